//! What was seen: numbered streams as ranges, and single ids in two generations.
//!
//! A stream remembers its highest number and the ranges still missing below it, so that a million
//! broadcasts in order cost nothing, and a late one is told from a repeated one for as long as its
//! range is open. When in doubt it says *not taken*, never *new* twice.
#![deny(clippy::arithmetic_side_effects)]

use alloc::vec::Vec;
use core::time::Duration;

use crate::id::NodeId;
use crate::limits::Limits;
use crate::sorted::{SortedMap, SortedSet};
use crate::table::Table;
use crate::time::Instant;

/// Ids that a stream leaves behind when it is forgotten.
const REMEMBERED: u64 = 64;
/// How long a range in which a stream may go on is the last to be closed. If the stream is silent
/// for longer, it gives way as any other range does.
const GOES_ON: Duration = Duration::from_secs(600);

/// What a number is to those who have heard others.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(crate) enum Heard {
    /// Not heard before, and recorded now.
    New,
    /// Heard before.
    Duplicate,
    /// Cannot be recorded: too many holes.
    NotTaken,
}

/// Who published, and in which of its lives.
pub(crate) type StreamId = (NodeId, u32);

/// Numbers of one stream, and for how long the first of them was held back.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Range {
    pub(crate) stream: StreamId,
    pub(crate) from: u64,
    pub(crate) to: u64,
    pub(crate) hold: Duration,
}

/// The bounds of [`Streams`]; see the fields of the same name in [`Limits`].
#[derive(Copy, Clone, Debug)]
#[cfg_attr(feature = "testing", derive(Hash))]
pub(crate) struct SeenLimits {
    pub(crate) streams: usize,
    pub(crate) per_originator: usize,
    pub(crate) missing_ranges: usize,
    pub(crate) missing_for: Duration,
    pub(crate) recent_ids: usize,
}

impl SeenLimits {
    pub(crate) fn of(limits: &Limits) -> Self {
        Self {
            streams: limits.streams,
            per_originator: limits.streams_per_originator,
            missing_ranges: limits.missing_ranges,
            missing_for: limits.missing_for,
            recent_ids: limits.recent_ids,
        }
    }
}

/// The streams of all originators.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "testing", derive(Hash))]
pub(crate) struct Streams {
    limits: SeenLimits,
    streams: Table<StreamId, Stream>,
    /// The streams by when they were last heard; each stream once, under its `heard`.
    order: SortedMap<u64, StreamId>,
    clock: u64,
    forgotten: Recent<(StreamId, u64)>,
}

impl Streams {
    pub(crate) fn new(limits: SeenLimits) -> Self {
        Self {
            limits,
            streams: Table::default(),
            order: SortedMap::new(),
            clock: 1, // a stream that was never touched has 0
            forgotten: Recent::new(limits.recent_ids),
        }
    }

    /// Whether a number was heard, as far as that is known.
    pub(crate) fn has(&self, id: StreamId, seq: u64) -> bool {
        self.streams.get(&id).is_some_and(|stream| stream.has(seq))
            || self.forgotten.contains(&(id, seq))
    }

    /// The highest number heard of a stream.
    pub(crate) fn highest(&self, id: StreamId) -> Option<u64> {
        Some(self.streams.get(&id)?.highest)
    }

    /// Records number `seq`, counted from 1, of a stream.
    pub(crate) fn hear(&mut self, id: StreamId, seq: u64, now: Instant) -> Heard {
        if seq == 0 {
            return Heard::NotTaken;
        }
        if self.forgotten.contains(&(id, seq)) {
            return Heard::Duplicate;
        }
        let heard = match self.streams.get_mut(&id) {
            Some(stream) => {
                let heard = stream.record(seq, now, &self.limits);
                if stream.heard == self.clock {
                    return heard; // it was the last one heard before
                }
                heard
            }
            None => {
                self.make_room(id.0);
                self.streams.insert(id, Stream::first(seq, now));
                Heard::New
            }
        };
        self.touch(id);
        heard
    }

    /// How many streams are followed.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn len(&self) -> usize {
        self.streams.len()
    }

    /// Makes the stream the one last heard.
    fn touch(&mut self, id: StreamId) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        self.order.remove(&stream.heard);
        self.clock = self.clock.saturating_add(1);
        stream.heard = self.clock;
        self.order.insert(self.clock, id);
    }

    /// Forgets streams until another one of `originator` fits.
    fn make_room(&mut self, originator: NodeId) {
        let own = || self.streams.range((originator, 0)..=(originator, u32::MAX));
        if own().count() >= self.limits.per_originator {
            let oldest = own().min_by_key(|(_, stream)| stream.heard).map(|(id, _)| *id);
            self.forget(oldest);
        }
        if self.streams.len() >= self.limits.streams {
            let oldest = self.order.first_key_value().map(|(_, id)| *id);
            self.forget(oldest);
        }
    }

    fn forget(&mut self, id: Option<StreamId>) {
        let Some(id) = id else { return };
        let Some(stream) = self.streams.remove(&id) else { return };
        self.order.remove(&stream.heard);
        let from = stream.highest.saturating_sub(REMEMBERED.saturating_sub(1)).max(1);
        for seq in (from..=stream.highest).filter(|seq| stream.find(*seq).is_none()) {
            self.forgotten.insert((id, seq));
        }
    }
}

/// One stream. A number is seen when it is not above `highest` and in no missing range.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "testing", derive(Hash))]
struct Stream {
    highest: u64,
    /// In order, disjoint, below `highest`, never empty ranges.
    missing: Vec<Missing>,
    /// When it was last heard, on the clock of [`Streams`].
    heard: u64,
    /// How many came in a row up to the highest.
    row: u32,
}

#[derive(Copy, Clone, Debug)]
#[cfg_attr(feature = "testing", derive(Hash))]
struct Missing {
    from: u64,
    to: u64,
    touched: Instant,
    /// How many came in a row just below it. A range that is closed adds nothing to the next.
    row: u32,
}

impl Stream {
    /// A stream whose first heard number is `seq`: what came before may still come.
    fn first(seq: u64, now: Instant) -> Self {
        let mut stream = Self { highest: seq, missing: Vec::new(), heard: 0, row: 1 };
        stream.open(0, Missing { from: 1, to: seq.saturating_sub(1), touched: now, row: 0 });
        stream
    }

    fn record(&mut self, seq: u64, now: Instant, limits: &SeenLimits) -> Heard {
        if seq > self.highest {
            return self.raise(seq, now, limits);
        }
        let Some(index) = self.find(seq) else { return Heard::Duplicate };
        let Some(range) = self.missing.get(index).copied() else { return Heard::Duplicate };
        let splits = range.from < seq && seq < range.to;
        if splits && !self.has_room(now, limits, Some(index)) {
            return Heard::NotTaken;
        }
        // Making room may have moved the range.
        let Some(index) = self.find(seq) else { return Heard::NotTaken };
        self.missing.remove(index);
        let row = if seq == range.from { range.row.saturating_add(1) } else { 1 };
        if seq == range.to {
            let above = self.missing.get_mut(index).map_or(&mut self.row, |above| &mut above.row);
            *above = above.saturating_add(row);
        }
        let touched = now;
        self.open(index, Missing { from: seq.saturating_add(1), row, touched, ..range });
        self.open(index, Missing { to: seq.saturating_sub(1), touched, ..range });
        Heard::New
    }

    fn raise(&mut self, seq: u64, now: Instant, limits: &SeenLimits) -> Heard {
        let next = self.highest.saturating_add(1);
        if seq > next && !self.has_room(now, limits, None) {
            return Heard::NotTaken;
        }
        let hole = Missing { from: next, to: seq.saturating_sub(1), touched: now, row: self.row };
        self.open(self.missing.len(), hole);
        self.row = if seq == next { self.row.saturating_add(1) } else { 1 };
        self.highest = seq;
        Heard::New
    }

    fn has(&self, seq: u64) -> bool {
        seq <= self.highest && self.find(seq).is_none()
    }

    fn find(&self, seq: u64) -> Option<usize> {
        let after = self.missing.partition_point(|range| range.to < seq);
        self.missing.get(after).filter(|range| range.from <= seq).map(|_| after)
    }

    /// Inserts a range at `index`, unless it is empty.
    fn open(&mut self, index: usize, range: Missing) {
        if range.from <= range.to {
            self.missing.insert(index.min(self.missing.len()), range);
        }
    }

    /// Whether one more range may open; closes the longest untouched one but `keep` if that is old
    /// enough. Where the next numbers of the originator may lie comes last: the lowest, if none
    /// came yet, and the one behind the most that came in a row. Numbers made up far ahead open
    /// ranges at will, and would have closed what is yet to be sent; to make up a row costs a line
    /// for each.
    fn has_room(&mut self, now: Instant, limits: &SeenLimits, keep: Option<usize>) -> bool {
        if self.missing.len() < limits.missing_ranges {
            return true;
        }
        // Of two with as many, the lower one.
        let most = self.missing.iter().enumerate().rev().max_by_key(|(_, range)| range.row);
        let most = most.map_or(0, |(index, _)| index);
        let goes_on = |(index, range): &(usize, &Missing)| {
            let is_young = now.saturating_since(range.touched) < GOES_ON;
            is_young && (*index == 0 || *index == most)
        };
        let others = self.missing.iter().enumerate().filter(|(index, _)| Some(*index) != keep);
        let oldest = others.min_by_key(|range| (goes_on(range), range.1.touched));
        let Some((index, range)) = oldest else { return false };
        let old = now.saturating_since(range.touched) >= limits.missing_for;
        if old {
            self.missing.remove(index);
        }
        old
    }
}

/// Ids seen lately: two generations, so that each is remembered for one to two times `capacity`
/// later ids.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "testing", derive(Hash))]
pub(crate) struct Recent<K> {
    capacity: usize,
    young: SortedSet<K>,
    old: SortedSet<K>,
}

impl<K: Ord> Recent<K> {
    pub(crate) fn new(capacity: usize) -> Self {
        Self { capacity, young: SortedSet::new(), old: SortedSet::new() }
    }

    pub(crate) fn contains(&self, id: &K) -> bool {
        self.young.contains(id) || self.old.contains(id)
    }

    /// Remembers an id; true if it was not remembered.
    pub(crate) fn insert(&mut self, id: K) -> bool {
        if self.old.contains(&id) {
            return false;
        }
        if self.young.len() >= self.capacity && !self.young.contains(&id) {
            self.old = core::mem::take(&mut self.young);
        }
        self.young.insert(id)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::arithmetic_side_effects)]
    use super::*;
    use crate::rng::Rng;
    use alloc::collections::BTreeSet;

    const LIMITS: SeenLimits = SeenLimits {
        streams: 8,
        per_originator: 4,
        missing_ranges: 32,
        missing_for: Duration::from_secs(600),
        recent_ids: 1000,
    };

    fn node(number: u8) -> NodeId {
        NodeId::from_random_bytes([number; 16])
    }

    fn stream() -> Streams {
        Streams::new(LIMITS)
    }

    #[test]
    fn agrees_with_a_set_in_any_order() {
        let mut rng = Rng::new([3; 32]);
        for _ in 0..200 {
            let (mut streams, mut model) = (stream(), BTreeSet::new());
            for seq in (0..200).map(|_| 1 + rng.below(40)) {
                let heard = streams.hear((node(1), 7), seq, Instant::ZERO);
                assert_eq!(heard == Heard::New, model.insert(seq), "{seq} {model:?}");
            }
        }
    }

    #[test]
    fn what_came_before_the_first_is_missing_not_seen() {
        let mut streams = stream();
        for (seq, expected) in [
            (5, Heard::New),
            (5, Heard::Duplicate),
            (1, Heard::New),
            (1, Heard::Duplicate),
            (0, Heard::NotTaken),
        ] {
            assert_eq!(streams.hear((node(1), 7), seq, Instant::ZERO), expected, "{seq}");
        }
    }

    #[test]
    fn a_hole_too_many_is_not_taken_until_an_old_one_closes() {
        let mut streams = stream();
        let id = (node(1), 7);
        for index in 1..=32 {
            assert_eq!(streams.hear(id, index * 2, Instant::ZERO), Heard::New);
        }
        assert_eq!(streams.hear(id, 66, Instant::ZERO), Heard::NotTaken);
        assert_eq!(streams.hear(id, 65, Instant::ZERO), Heard::New, "opens no hole");
        let later = Instant::ZERO + LIMITS.missing_for;
        assert_eq!(streams.hear(id, 67, later), Heard::New);
        assert_eq!(streams.hear(id, 1, later), Heard::Duplicate, "its range was closed");
        assert_eq!(streams.hear(id, 3, later), Heard::New);
    }

    /// What is heard of a stream, in order, while somebody makes up numbers of it far ahead.
    fn heard_among_made_up(made_up: u64) -> Vec<Heard> {
        let limits = SeenLimits { missing_for: Duration::ZERO, ..LIMITS };
        let (mut streams, mut rng) = (Streams::new(limits), Rng::new([5; 32]));
        let id = (node(1), 7);
        let mut now = Instant::ZERO;
        let mut heard = Vec::new();
        for seq in 1..50 {
            for _ in 0..made_up {
                now = now + Duration::from_millis(1);
                streams.hear(id, 100_000 + rng.below(1 << 30), now);
            }
            heard.push(streams.hear(id, seq, now));
            assert!(streams.streams.get(&id).is_some_and(|stream| stream.missing.len() <= 32));
        }
        heard
    }

    #[test]
    fn numbers_made_up_far_ahead_close_nothing_that_is_yet_to_come() {
        for made_up in [1, 10, 33, 200] {
            let heard = heard_among_made_up(made_up);
            assert!(heard.iter().all(|heard| *heard == Heard::New), "{made_up} {heard:?}");
        }
    }

    #[test]
    fn nor_do_they_when_the_stream_was_joined_late() {
        let limits = SeenLimits { missing_for: Duration::ZERO, ..LIMITS };
        let mut streams = Streams::new(limits);
        let id = (node(1), 7);
        for seq in 500..510 {
            assert_eq!(streams.hear(id, seq, Instant::ZERO), Heard::New);
        }
        for index in 1..200 {
            let now = Instant::ZERO + Duration::from_millis(index);
            streams.hear(id, 100_000 + 2 * index, now);
        }
        assert_eq!(streams.hear(id, 510, Instant::ZERO), Heard::New);
        assert_eq!(streams.hear(id, 1, Instant::ZERO), Heard::New);
    }

    #[test]
    fn a_range_costs_what_is_charged_for_it() {
        assert!(size_of::<Missing>() <= crate::limits::RANGE_COST);
    }

    #[test]
    fn the_largest_numbers_do_no_harm() {
        let mut streams = stream();
        let id = (node(1), 7);
        for (seq, expected) in [
            (u64::MAX, Heard::New),
            (u64::MAX, Heard::Duplicate),
            (u64::MAX - 1, Heard::New),
            (1, Heard::New),
        ] {
            assert_eq!(streams.hear(id, seq, Instant::MAX), expected, "{seq}");
        }
    }

    #[test]
    fn a_forgotten_stream_leaves_its_last_ids() {
        let mut streams = stream();
        for epoch in 0..5 {
            for seq in 1..=100 {
                assert_eq!(streams.hear((node(1), epoch), seq, Instant::ZERO), Heard::New);
            }
        }
        assert_eq!(streams.len(), 4, "the first epoch is forgotten");
        for seq in 37..=100 {
            assert_eq!(streams.hear((node(1), 0), seq, Instant::ZERO), Heard::Duplicate);
        }
        assert_eq!(streams.hear((node(1), 0), 101, Instant::ZERO), Heard::New);
    }

    #[test]
    fn the_least_recently_heard_stream_goes_first() {
        let mut streams = stream();
        for number in 0..8 {
            assert_eq!(streams.hear((node(number), 1), 1, Instant::ZERO), Heard::New);
        }
        assert_eq!(streams.hear((node(0), 1), 2, Instant::ZERO), Heard::New);
        assert_eq!(streams.hear((node(9), 1), 1, Instant::ZERO), Heard::New);
        assert_eq!((streams.len(), streams.order.len()), (8, 8));
        assert!(streams.streams.contains_key(&(node(0), 1)));
        assert!(!streams.streams.contains_key(&(node(1), 1)));
    }

    #[test]
    fn recent_ids_last_one_to_two_generations() {
        let mut recent = Recent::new(10);
        for id in 0..100_u32 {
            assert!(recent.insert(id));
            assert!(!recent.insert(id));
            assert!((id.saturating_sub(9)..=id).all(|id| recent.contains(&id)));
            assert!(recent.young.len() + recent.old.len() <= 20);
        }
        assert!(!recent.contains(&0));
    }

    #[test]
    fn without_room_a_range_shrinks_but_does_not_split() {
        let mut streams = stream();
        let id = (node(1), 7);
        for seq in (0..32).map(|index| 10 + 2 * index) {
            assert_eq!(streams.hear(id, seq, Instant::ZERO), Heard::New);
        }
        let later = Instant::ZERO + LIMITS.missing_for;
        for (seq, now, expected) in [
            (5, Instant::ZERO, Heard::NotTaken),
            (1, Instant::ZERO, Heard::New),
            (9, Instant::ZERO, Heard::New),
            (5, Instant::ZERO, Heard::NotTaken),
            (5, later, Heard::New),
            (11, later, Heard::Duplicate),
            (4, later, Heard::New),
            (6, later, Heard::New),
        ] {
            assert_eq!(streams.hear(id, seq, now), expected, "{seq}");
        }
    }

    #[test]
    fn what_is_missing_or_yet_to_come_was_not_heard() {
        let mut streams = stream();
        let id = (node(1), 7);
        assert_eq!(streams.highest(id), None);
        for seq in [3, 5] {
            streams.hear(id, seq, Instant::ZERO);
        }
        let has = [0, 1, 2, 3, 4, 5, 6].map(|seq| streams.has(id, seq));
        assert_eq!(has[1..], [false, false, true, false, true, false]);
        assert!(!streams.has((node(1), 8), 3) && !streams.has((node(2), 7), 3));
        assert_eq!(streams.highest(id), Some(5));
    }

    #[test]
    fn what_a_forgotten_stream_had_not_heard_is_new() {
        let mut streams = Streams::new(SeenLimits { streams: 1, ..LIMITS });
        let (one, other) = ((node(1), 7), (node(2), 7));
        for (id, seq) in [(one, 1), (one, 3), (other, 1)] {
            assert_eq!(streams.hear(id, seq, Instant::ZERO), Heard::New);
        }
        assert_eq!((streams.len(), streams.order.len(), streams.highest(one)), (1, 1, None));
        assert_eq!([1, 2, 3, 4].map(|seq| streams.has(one, seq)), [true, false, true, false]);
    }

    #[test]
    fn a_range_in_which_something_came_is_as_young_as_that() {
        let id = (node(1), 7);
        let at = |seconds| Instant::ZERO + Duration::from_secs(seconds);
        for (seq, ranges) in [(1, 1), (9, 1), (5, 2)] {
            let mut streams = Streams::new(SeenLimits { missing_ranges: ranges, ..LIMITS });
            assert_eq!(streams.hear(id, 10, at(0)), Heard::New);
            assert_eq!(streams.hear(id, seq, at(300)), Heard::New, "{seq}");
            let later = [899, 900].map(|second| streams.hear(id, 12, at(second)));
            assert_eq!(later, [Heard::NotTaken, Heard::New], "{seq}");
        }
    }

    #[test]
    fn how_many_came_in_a_row_is_known_below_each_range() {
        let mut streams = stream();
        let id = (node(1), 7);
        let mut rows = |seq| {
            assert_eq!(streams.hear(id, seq, Instant::ZERO), Heard::New);
            let stream = streams.streams.get(&id);
            let missing = stream.into_iter().flat_map(|stream| &stream.missing);
            let ranges = missing.map(|range| (range.from, range.to, range.row));
            (ranges.collect::<Vec<_>>(), stream.map_or(0, |stream| stream.row))
        };
        assert_eq!(rows(10), (Vec::from([(1, 9, 0)]), 1));
        assert_eq!(rows(1), (Vec::from([(2, 9, 1)]), 1));
        assert_eq!(rows(2), (Vec::from([(3, 9, 2)]), 1));
        assert_eq!(rows(9), (Vec::from([(3, 8, 2)]), 2));
        assert_eq!(rows(5), (Vec::from([(3, 4, 2), (6, 8, 1)]), 2));
        assert_eq!(rows(4), (Vec::from([(3, 3, 2), (6, 8, 2)]), 2));
        assert_eq!(rows(3), (Vec::from([(6, 8, 5)]), 2));
        assert_eq!(rows(13), (Vec::from([(6, 8, 5), (11, 12, 2)]), 1));
        assert_eq!(rows(14), (Vec::from([(6, 8, 5), (11, 12, 2)]), 2));
        assert_eq!([rows(6), rows(7), rows(8)].map(|rows| rows.0.len()), [2, 2, 1]);
        assert_eq!(rows(11), (Vec::from([(12, 12, 11)]), 2));
        assert_eq!(rows(12), (Vec::new(), 14));
    }
}
