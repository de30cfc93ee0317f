//! What waits to be sent on one connection: four classes, one bound, no copy of large frames.
//!
//! The first [`STAGE`] bytes are *staged*: their order is fixed, so what a driver was shown stays
//! true while it writes. Behind them wait the classes, highest first. Small frames are copied
//! together into the last staged piece when it still waits, so that a busy connection writes few
//! large pieces; large ones are shared with all other queues they are in.
//!
//! Decides nothing about connections: who is full, and what then, is for its caller.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;

use crate::message::Frame;

/// Bytes whose order is fixed: one write's worth. More would delay a ping behind more broadcasts.
const STAGE: usize = 64 * 1024;
/// Frames up to this length are copied together: cheaper than a piece of their own in a vectored
/// write (measured: 5 ns against 23 ns at 256 bytes, equal near 1.5 KiB).
const SMALL: usize = 1024;
/// Length up to which a piece of small frames grows.
const PIECE: usize = 16 * 1024;
/// What a queued frame costs beyond its bytes: the reference count, the places in two queues.
pub(crate) const FRAME_COST: usize = 64;
/// Unsent control frames after which pongs are not queued: the burst of pings a peer may send.
pub(crate) const CONTROL_BURST: usize = 128;

/// What a frame is to the queue. Higher classes are sent first, lower ones dropped first.
#[derive(Copy, Clone, Debug, Eq, PartialEq, Ord, PartialOrd)]
pub(crate) enum Class {
    /// Hello, ping, pong, getaddr, addr, error.
    Control,
    /// One-to-one messages.
    Direct,
    /// Our own broadcasts.
    Own,
    /// Broadcasts of others.
    Forwarded,
}

impl Class {
    /// The highest class that may be dropped from any queue for this one, when all queues together
    /// are full. A message that was taken gives way to control lines alone; a broadcast also to one
    /// of its own class, so that those whose queues are long do not starve the others.
    pub(crate) fn victim(self) -> Self {
        match self {
            Self::Control => Self::Direct,
            Self::Direct | Self::Own => Self::Own,
            Self::Forwarded => Self::Forwarded,
        }
    }
}

/// There is no room, not even in place of lower classes.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(crate) struct Full {
    pub(crate) queued: usize,
    pub(crate) limit: usize,
}

/// The queue of one connection. Holds no allocation while empty.
#[derive(Clone, Debug, Default)]
#[cfg_attr(feature = "testing", derive(Hash))]
pub(crate) struct Queue {
    staged: Staged,
    /// Unsent bytes of `staged`.
    staged_bytes: usize,
    /// Sent bytes of the first staged piece; less than its length.
    offset: usize,
    waiting: Lanes,
    /// Bytes and costs of all frames of `waiting`.
    held: usize,
}

/// What waits, by class. Nothing does on nearly all connections, so they have no lanes then.
#[derive(Clone, Debug, Default)]
#[cfg_attr(feature = "testing", derive(Hash))]
struct Lanes(Option<Box<[Lane; 4]>>);

impl Lanes {
    fn all(&self) -> &[Lane] {
        self.0.as_ref().map_or(&[], |lanes| lanes.as_slice())
    }

    fn all_mut(&mut self) -> &mut [Lane] {
        self.0.as_mut().map_or(&mut [], |lanes| lanes.as_mut_slice())
    }

    fn push(&mut self, frame: Frame, class: Class) {
        let lanes = self.0.get_or_insert_default();
        if let Some(lane) = lanes.get_mut(class as usize) {
            lane.push(frame);
        }
    }
}

/// Pieces in order. The first lies in place: a queue that each write empties needs no memory.
#[derive(Clone, Debug, Default)]
#[cfg_attr(feature = "testing", derive(Hash))]
struct Staged {
    /// None only if there is no piece at all.
    first: Option<Piece>,
    rest: VecDeque<Piece>,
}

impl Staged {
    fn len(&self) -> usize {
        self.rest.len().saturating_add(usize::from(self.first.is_some()))
    }

    fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    fn push(&mut self, piece: Piece) {
        if self.first.is_none() {
            self.first = Some(piece);
        } else {
            self.rest.push_back(piece);
        }
    }

    fn pop_first(&mut self) {
        self.first = self.rest.pop_front();
        if self.rest.is_empty() && self.rest.capacity() > 0 {
            self.rest = VecDeque::new();
        }
    }

    /// A frame is to follow. If the last one came with others, and neither the one before it nor
    /// the next is one of these, it keeps no more than itself in memory.
    fn part_last(&mut self, next: &Frame) {
        let last = self.rest.back().or(self.first.as_ref()).and_then(Piece::shared);
        let is_parted = last.is_some_and(|last| {
            let is_with = |other: &Frame| last.is_with(other);
            !last.is_alone() && !is_with(next) && !self.before_last().is_some_and(is_with)
        });
        if let Some(Piece::Shared(last)) = self.last_mut().filter(|_| is_parted) {
            *last = last.clone().alone();
        }
    }

    /// The frame before the last one, if others may share it.
    fn before_last(&self) -> Option<&Frame> {
        let before = match self.rest.len().checked_sub(2) {
            Some(index) => self.rest.get(index),
            None => self.first.as_ref().filter(|_| !self.rest.is_empty()),
        };
        before.and_then(Piece::shared)
    }

    fn last_mut(&mut self) -> Option<&mut Piece> {
        self.rest.back_mut().or(self.first.as_mut())
    }

    fn iter(&self) -> impl Iterator<Item = &Piece> {
        self.first.iter().chain(&self.rest)
    }
}

/// The frames of one class that are not staged.
#[derive(Clone, Debug, Default)]
#[cfg_attr(feature = "testing", derive(Hash))]
struct Lane {
    frames: VecDeque<Frame>,
    /// Bytes and costs of `frames`.
    charged: usize,
}

impl Lane {
    fn push(&mut self, frame: Frame) {
        self.charged = self.charged.saturating_add(cost(&frame));
        // What waits here may be all that is left of those it came with.
        self.frames.push_back(frame.alone());
    }

    /// The oldest frame, to be staged.
    fn pop_first(&mut self) -> Option<Frame> {
        let frame = self.frames.pop_front();
        self.take_off(frame)
    }

    /// The newest frame, to be dropped.
    fn pop_last(&mut self) -> Option<Frame> {
        let frame = self.frames.pop_back();
        self.take_off(frame)
    }

    fn take_off(&mut self, frame: Option<Frame>) -> Option<Frame> {
        self.charged = self.charged.saturating_sub(frame.as_ref().map_or(0, cost));
        if self.frames.is_empty() {
            self.frames = VecDeque::new();
        }
        frame
    }
}

/// Makes room for a piece of this length: by doubling, but never past what a piece may hold.
fn grow(bytes: &mut Vec<u8>, len: usize) {
    if len > bytes.capacity() {
        let room = bytes.capacity().saturating_mul(2).clamp(len, PIECE);
        bytes.reserve_exact(room.saturating_sub(bytes.len()));
    }
}

/// What a frame is charged.
fn cost(frame: &Frame) -> usize {
    frame.len().saturating_add(FRAME_COST)
}

#[derive(Clone, Debug)]
#[cfg_attr(feature = "testing", derive(Hash))]
enum Piece {
    Shared(Frame),
    Copied { bytes: Vec<u8>, frames: u32 },
}

impl Piece {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Shared(frame) => frame.as_bytes(),
            Self::Copied { bytes, .. } => bytes,
        }
    }

    fn frames(&self) -> u32 {
        match self {
            Self::Shared(_) => 1,
            Self::Copied { frames, .. } => *frames,
        }
    }

    /// The frame, if it is one that others may share.
    fn shared(&self) -> Option<&Frame> {
        match self {
            Self::Shared(frame) => Some(frame),
            Self::Copied { .. } => None,
        }
    }
}

impl Queue {
    /// Bytes charged: what waits, and what keeping it costs.
    pub(crate) fn charged(&self) -> usize {
        self.staged_bytes
            .saturating_add(self.staged.len().saturating_mul(FRAME_COST))
            .saturating_add(self.held)
    }

    /// Bytes that [`make_room`](Self::make_room) could free.
    pub(crate) fn droppable(&self, victim: Class) -> usize {
        self.waiting.all().iter().skip(victim as usize).map(|lane| lane.charged).sum()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.staged.is_empty()
    }

    /// Frames not wholly sent.
    pub(crate) fn frames(&self) -> u64 {
        let staged: u64 = self.staged.iter().map(|piece| u64::from(piece.frames())).sum();
        let waiting: usize = self.waiting.all().iter().map(|lane| lane.frames.len()).sum();
        staged.saturating_add(waiting as u64)
    }

    /// Control frames that are not staged yet.
    pub(crate) fn waiting_control(&self) -> usize {
        self.waiting.all().first().map_or(0, |lane| lane.frames.len())
    }

    /// Broadcasts that are not staged yet.
    pub(crate) fn waiting_broadcasts(&self) -> impl Iterator<Item = &Frame> {
        self.waiting.all().iter().skip(Class::Own as usize).flat_map(|lane| &lane.frames)
    }

    /// Queues a frame. `limit` bounds what is charged afterwards; lower classes give way, the
    /// newest first. Returns the frames that gave way.
    #[inline]
    pub(crate) fn push(
        &mut self,
        frame: Frame,
        class: Class,
        limit: usize,
    ) -> Result<Vec<Frame>, Full> {
        let allowed = limit.saturating_sub(cost(&frame));
        let over = self.charged().saturating_sub(allowed);
        if over > 0 && over > self.below(class) || cost(&frame) > limit {
            return Err(Full { queued: self.charged(), limit });
        }
        // While there is room in the stage, nothing waits behind it.
        if self.staged_bytes < STAGE {
            self.append(frame);
            return Ok(Vec::new());
        }
        let dropped = match over {
            0 => Vec::new(),
            _ => self.drop_from((class as usize).saturating_add(1), allowed),
        };
        self.held = self.held.saturating_add(cost(&frame));
        self.waiting.push(frame, class);
        Ok(dropped)
    }

    /// Queues bytes behind all that is staged, for a connection without classes. `limit` bounds
    /// what is charged afterwards.
    pub(crate) fn push_bytes(&mut self, bytes: Vec<u8>, limit: usize) -> Result<(), Full> {
        let cost = bytes.len().saturating_add(FRAME_COST);
        if self.charged().saturating_add(cost) > limit {
            return Err(Full { queued: self.charged(), limit });
        }
        self.staged_bytes = self.staged_bytes.saturating_add(bytes.len());
        self.staged.push(Piece::Copied { bytes, frames: 1 });
        Ok(())
    }

    /// Drops the lowest classes, up to and with `victim`, until at most `allowed` bytes are charged
    /// or none is left. Returns the dropped ones.
    pub(crate) fn make_room(&mut self, victim: Class, allowed: usize) -> Vec<Frame> {
        self.drop_from(victim as usize, allowed)
    }

    /// Bytes waiting in classes below this one.
    fn below(&self, class: Class) -> usize {
        let lower = self.waiting.all().iter().skip((class as usize).saturating_add(1));
        lower.map(|lane| lane.charged).sum()
    }

    /// Drops from the lanes at and below `first`, the lowest first.
    fn drop_from(&mut self, first: usize, allowed: usize) -> Vec<Frame> {
        let mut dropped = Vec::new();
        while self.charged() > allowed {
            let lower = self.waiting.all_mut().iter_mut().skip(first);
            let Some(frame) = lower.rev().find_map(Lane::pop_last) else { break };
            self.held = self.held.saturating_sub(cost(&frame));
            dropped.push(frame);
        }
        self.let_go();
        dropped
    }

    /// Without frames there are no lanes.
    fn let_go(&mut self) {
        if self.held == 0 {
            self.waiting = Lanes::default();
        }
    }

    /// Fixes the order of the next frames, up to the size of the stage.
    fn stage(&mut self) {
        while self.held > 0 && self.staged_bytes < STAGE {
            let Some(frame) = self.waiting.all_mut().iter_mut().find_map(Lane::pop_first) else {
                break;
            };
            self.held = self.held.saturating_sub(cost(&frame));
            self.append(frame);
        }
        self.let_go();
    }

    fn append(&mut self, frame: Frame) {
        self.staged_bytes = self.staged_bytes.saturating_add(frame.len());
        self.staged.part_last(&frame);
        let small = frame.len() <= SMALL && !self.staged.is_empty();
        if !small {
            self.staged.push(Piece::Shared(frame));
            return;
        }
        if let Some(Piece::Copied { bytes, frames }) = self.staged.last_mut() {
            let len = bytes.len().saturating_add(frame.len());
            if len <= PIECE {
                grow(bytes, len);
                bytes.extend_from_slice(frame.as_bytes());
                *frames = frames.saturating_add(1);
                return;
            }
        }
        self.staged.push(Piece::Copied { bytes: frame.as_bytes().to_vec(), frames: 1 });
    }

    /// The socket took `count` of the shown bytes; more than were shown counts as all of them.
    /// Returns how many it was.
    #[inline]
    pub(crate) fn sent(&mut self, count: usize) -> usize {
        let count = count.min(self.staged_bytes);
        self.staged_bytes = self.staged_bytes.saturating_sub(count);
        self.offset = self.offset.saturating_add(count);
        while let Some(first) = self.staged.first.as_ref().map(|piece| piece.bytes().len()) {
            if self.offset < first {
                break;
            }
            self.offset = self.offset.saturating_sub(first);
            self.staged.pop_first();
        }
        self.stage();
        count
    }

    pub(crate) fn outgoing(&self) -> Outgoing<'_> {
        Outgoing { queue: Some(self) }
    }
}

/// The bytes waiting for a connection, borrowed from the node.
///
/// A piece is one frame or several; all of them together are at most about 64 KiB or one frame,
/// and more follows when these are reported [`sent`](crate::Node::sent).
#[derive(Copy, Clone, Debug)]
pub struct Outgoing<'a> {
    queue: Option<&'a Queue>,
}

impl<'a> Outgoing<'a> {
    pub(crate) const NOTHING: Self = Self { queue: None };

    /// How many bytes there are.
    pub fn len(&self) -> usize {
        self.queue.map_or(0, |queue| queue.staged_bytes)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The pieces in order, none of them empty.
    pub fn chunks(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let mut skip = self.queue.map_or(0, |queue| queue.offset);
        self.queue.into_iter().flat_map(|queue| queue.staged.iter()).map(move |piece| {
            let bytes = piece.bytes().get(skip..).unwrap_or_default();
            skip = 0;
            bytes
        })
    }

    /// Appends up to `max` of the bytes to `buffer`, for drivers that cannot borrow while they
    /// write. Returns how many.
    pub fn copy_to(&self, buffer: &mut Vec<u8>, max: usize) -> usize {
        let before = buffer.len();
        for chunk in self.chunks() {
            let room = max.saturating_sub(buffer.len().saturating_sub(before));
            if room == 0 {
                break;
            }
            buffer.extend_from_slice(chunk.get(..room).unwrap_or(chunk));
        }
        buffer.len().saturating_sub(before)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    use alloc::string::{String, ToString};
    use alloc::sync::Arc;

    fn frame(text: &str) -> Frame {
        Frame::new(&format!("{text}\n"))
    }

    fn drain(queue: &mut Queue, step: usize) -> String {
        let mut out = Vec::new();
        while !queue.is_empty() {
            let before = out.len();
            queue.outgoing().copy_to(&mut out, step);
            assert_eq!(queue.sent(out.len() - before), out.len() - before);
        }
        assert_eq!(queue.charged(), 0);
        String::from_utf8(out).unwrap_or_default()
    }

    #[test]
    fn higher_classes_pass_what_is_not_staged() {
        let mut queue = Queue::default();
        let big = "b".repeat(STAGE);
        for (text, class) in [
            (big.as_str(), Class::Forwarded),
            ("f", Class::Forwarded),
            ("o", Class::Own),
            ("d", Class::Direct),
            ("c", Class::Control),
        ] {
            assert_eq!(queue.push(frame(text), class, 1 << 20).map(|gave| gave.len()), Ok(0));
        }
        assert!(queue.waiting.0.is_some());
        assert_eq!(drain(&mut queue, 1000), format!("{big}\nc\nd\no\nf\n"));
        assert!(queue.waiting.0.is_none(), "an idle connection has no lanes");
    }

    #[test]
    fn what_was_shown_stays_first() {
        let mut queue = Queue::default();
        assert_eq!(
            queue.push(frame("broadcast"), Class::Forwarded, 1 << 20).map(|gave| gave.len()),
            Ok(0)
        );
        let shown: Vec<u8> = queue.outgoing().chunks().flatten().copied().collect();
        assert_eq!(
            queue.push(frame("ping"), Class::Control, 1 << 20).map(|gave| gave.len()),
            Ok(0)
        );
        assert_eq!(queue.sent(shown.len()), shown.len());
        assert_eq!(drain(&mut queue, 3), "ping\n");
    }

    #[test]
    fn any_step_of_writing_gives_the_same_bytes() {
        for step in [1, 2, 7, 1024, 1 << 20] {
            let mut queue = Queue::default();
            let mut expected = String::new();
            for index in 0..200 {
                let text = "x".repeat(index * 17);
                expected.push_str(&text);
                expected.push('\n');
                assert_eq!(
                    queue.push(frame(&text), Class::Own, 1 << 20).map(|gave| gave.len()),
                    Ok(0)
                );
            }
            assert_eq!(queue.frames(), 200);
            assert_eq!(drain(&mut queue, step), expected, "{step}");
        }
    }

    #[test]
    fn small_frames_share_a_piece_when_the_queue_is_busy() {
        let mut queue = Queue::default();
        for _ in 0..100 {
            assert_eq!(
                queue.push(frame("small"), Class::Own, 1 << 20).map(|gave| gave.len()),
                Ok(0)
            );
        }
        assert_eq!(queue.outgoing().chunks().count(), 2);
    }

    #[test]
    fn one_of_many_that_came_together_keeps_no_more_than_itself() {
        let width = SMALL + 10;
        let line = |number: usize| format!("{number:0>width$}\n");
        let of_many = |number: usize| {
            let (text, len) = (Arc::<str>::from((0..9).map(line).collect::<String>()), SMALL + 11);
            let range = |number: usize| (number * len) as u32..((number + 1) * len) as u32;
            let frames = [number, number + 1].map(|number| Frame::part(&text, &range(number)));
            (Arc::downgrade(&text), frames)
        };
        let mut queue = Queue::default();
        let (alone, [one, _]) = of_many(3);
        let (together, [first, second]) = of_many(5);
        for frame in [one, first, second, frame("x")] {
            assert!(queue.push(frame, Class::Own, 1 << 20).is_ok());
        }
        assert_eq!((alone.strong_count(), together.strong_count()), (0, 2));
        assert_eq!(drain(&mut queue, 7), [line(3), line(5), line(6), "x\n".into()].concat());
        assert_eq!(queue.push(frame(&"x".repeat(STAGE)), Class::Own, 1 << 20).map(|_| ()), Ok(()));
        let (waits, [one, two]) = of_many(0);
        assert!(queue.push(one, Class::Own, 1 << 20).is_ok());
        assert_eq!(waits.strong_count(), 1, "only of the frame that is not queued");
        drop(two);
    }

    #[test]
    fn a_full_queue_drops_lower_classes_newest_first_and_then_refuses() {
        let limit = STAGE + 1000;
        let mut queue = Queue::default();
        let big = "b".repeat(STAGE);
        assert_eq!(
            queue.push(frame(&big), Class::Forwarded, 2 * STAGE).map(|gave| gave.len()),
            Ok(0)
        );
        let mut taken = 0;
        while queue.push(frame(&format!("f{taken}")), Class::Forwarded, limit).is_ok() {
            taken += 1;
        }
        assert!(taken > 5);
        assert_eq!(queue.push(frame("d"), Class::Direct, limit).map(|gave| gave.len()), Ok(1));
        let full = queue.push(frame(&"o".repeat(2000)), Class::Own, limit);
        assert_eq!(full, Err(Full { queued: queue.charged(), limit }));
        let out = drain(&mut queue, 1 << 20);
        assert!(out.contains("\nd\nf0\n") && out.contains(&format!("\nf{}\n", taken - 2)));
        assert!(!out.contains(&(taken - 1).to_string()));
    }

    #[test]
    fn the_charge_is_what_the_frames_cost() {
        let mut queue = Queue::default();
        let big = "b".repeat(2 * STAGE);
        assert_eq!(queue.push(frame(&big), Class::Own, 1 << 20).map(|gave| gave.len()), Ok(0));
        assert_eq!(queue.charged(), big.len() + 1 + FRAME_COST);
        assert_eq!(queue.push(frame("x"), Class::Own, 1 << 20).map(|gave| gave.len()), Ok(0));
        assert_eq!(queue.charged(), big.len() + 3 + 2 * FRAME_COST);
        assert_eq!(queue.sent(usize::MAX), big.len() + 1);
        assert_eq!(queue.charged(), 2 + FRAME_COST);
    }

    #[test]
    fn what_waits_is_told_by_class() {
        let mut queue = Queue::default();
        let big = "b".repeat(STAGE);
        let all = [
            (big.as_str(), Class::Own),
            ("f", Class::Forwarded),
            ("oo", Class::Own),
            ("ddd", Class::Direct),
            ("cccc", Class::Control),
            ("ccccc", Class::Control),
        ];
        assert_eq!((queue.waiting_control(), queue.waiting_broadcasts().count()), (0, 0));
        for (text, class) in all {
            assert_eq!(queue.push(frame(text), class, 1 << 20).map(|gave| gave.len()), Ok(0));
        }
        let broadcasts: Vec<&[u8]> = queue.waiting_broadcasts().map(Frame::as_bytes).collect();
        assert_eq!(broadcasts, [b"oo\n".as_slice(), b"f\n"]);
        assert_eq!((queue.waiting_control(), queue.frames()), (2, 6));
        let (f, o, d) = (2 + FRAME_COST, 3 + FRAME_COST, 4 + FRAME_COST);
        let droppable = [Class::Forwarded, Class::Own, Class::Direct].map(|c| queue.droppable(c));
        assert_eq!(droppable, [f, f + o, f + o + d]);
        let below = [Class::Forwarded, Class::Own, Class::Direct].map(|c| queue.below(c));
        assert_eq!(below, [0, f, f + o]);
    }

    #[test]
    fn bytes_are_queued_up_to_the_limit_and_not_past_it() {
        let mut queue = Queue::default();
        let limit = 2 * FRAME_COST + 7;
        assert_eq!(queue.push_bytes(b"abc".to_vec(), limit), Ok(()));
        let full = Err(Full { queued: 3 + FRAME_COST, limit });
        assert_eq!(queue.push_bytes(b"defgh".to_vec(), limit), full);
        assert_eq!(queue.push_bytes(b"defg".to_vec(), limit), Ok(()));
        assert_eq!((queue.charged(), queue.frames(), queue.outgoing().len()), (limit, 2, 7));
        assert_eq!(drain(&mut queue, 2), "abcdefg");
    }

    #[test]
    fn a_frame_that_just_fits_is_queued_and_what_gives_way_is_what_is_needed() {
        let mut queue = Queue::default();
        let cost = 2 + FRAME_COST;
        let big = STAGE + 1 + FRAME_COST;
        let mut push = |text: &str, class, limit| queue.push(frame(text), class, limit);
        let gave = |texts: &[&str]| Ok(texts.iter().map(|text| frame(text)).collect());
        assert!(push(&"b".repeat(STAGE), Class::Own, big - 1).is_err());
        assert_eq!(push(&"b".repeat(STAGE), Class::Own, big), gave(&[]));
        assert!(push("1", Class::Forwarded, big + cost - 1).is_err());
        assert_eq!(push("1", Class::Forwarded, big + cost), gave(&[]));
        assert_eq!(push("2", Class::Forwarded, big + 2 * cost), gave(&[]));
        assert!(push("3", Class::Forwarded, big + 2 * cost).is_err(), "of the same class");
        assert_eq!(push("o", Class::Own, big + 2 * cost), gave(&["2"]));
        assert_eq!(push("d", Class::Direct, big + cost), gave(&["1", "o"]));
        assert!(push("e", Class::Direct, big + cost).is_err());
    }
}
