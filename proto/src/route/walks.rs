//! Lines under way by keyspace, kept so that another neighbour may be tried: who has had each, how
//! far it may still go, and whether the last one took it.
//!
//! A neighbour that is silently dead takes a line as well as any. So behind a line goes a ping, and
//! its answer says that the line was read. One ping is under way to each neighbour, however many
//! lines; those that went after it wait for the next. Without an answer the lines go elsewhere, and
//! a refusal takes back what they may still go. Pure: [`node`](crate::node) sends.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::time::Duration;

use crate::id::NodeId;
use crate::limits::Limits;
use crate::message::Frame;
use crate::sorted::{SortedMap, SortedSet};
use crate::time::Instant;

/// What a kept line costs beyond its bytes: its name three times, its places in the tables.
pub(crate) const WALK_COST: usize = 768;
/// What each neighbour that had it costs more.
const TRIED_COST: usize = 32;

/// Lines of one neighbour that are watched at once; more go unwatched.
const WATCHED: usize = 1024;

/// A line's name: its id, its node, its try.
pub(crate) type Name = (Box<str>, NodeId, u64);

/// A line under way.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "testing", derive(Hash))]
pub(crate) struct Walk {
    pub(crate) to: NodeId,
    /// The neighbour it came from; ourselves if it is ours.
    pub(crate) before: NodeId,
    /// The neighbours that had it.
    pub(crate) tried: Vec<NodeId>,
    /// How far it may still go.
    pub(crate) left: u64,
    /// When it is of no use any more, if it is a request.
    pub(crate) deadline: Option<Instant>,
    pub(crate) frame: Frame,
    since: Instant,
    place: u64,
}

impl Walk {
    pub(crate) fn new(
        (to, before): (NodeId, NodeId),
        left: u64,
        deadline: Option<Instant>,
        frame: Frame,
        now: Instant,
    ) -> Self {
        Self { to, before, tried: Vec::new(), left, deadline, frame, since: now, place: 0 }
    }

    /// The neighbour that has it now.
    fn next(&self) -> Option<NodeId> {
        self.tried.last().copied()
    }
}

/// A ping behind the lines that went to a neighbour.
#[derive(Copy, Clone, Debug)]
#[cfg_attr(feature = "testing", derive(Hash))]
struct Probe {
    nonce: u64,
    sent: Instant,
    until: Instant,
    /// How many lines it stands behind.
    covers: usize,
}

/// A neighbour to which lines went.
#[derive(Clone, Debug, Default)]
#[cfg_attr(feature = "testing", derive(Hash))]
struct Neighbour {
    /// Lines that it has not shown to have taken, in the order they went.
    untaken: VecDeque<Name>,
    probe: Option<Probe>,
    /// Since when it has not answered.
    silent: Option<Instant>,
}

/// All of them.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "testing", derive(Hash))]
pub(crate) struct Walks {
    walks: SortedMap<Name, Walk>,
    /// The lines by when they came; each once, under its `place`.
    order: SortedMap<u64, Name>,
    count: u64,
    neighbours: SortedMap<NodeId, Neighbour>,
    /// How many names all neighbours have yet to take, of lines that ended too.
    watched: usize,
    /// When each ping is to be answered, so that none of the others is looked at.
    due: SortedSet<(Instant, NodeId)>,
    bytes: usize,
    capacity: usize,
    keep: Duration,
}

impl Walks {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            walks: SortedMap::new(),
            order: SortedMap::new(),
            count: 0,
            neighbours: SortedMap::new(),
            watched: 0,
            due: SortedSet::new(),
            bytes: 0,
            capacity: limits.walk_bytes,
            keep: limits.walk_for,
        }
    }

    /// Bytes kept.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn get(&self, name: &Name) -> Option<&Walk> {
        self.walks.get(name)
    }

    /// Keeps a line; the oldest go to make room. False if there is no room for it at all.
    pub(crate) fn begin(&mut self, name: Name, walk: Walk, now: Instant) -> bool {
        let cost = cost(&walk);
        self.end(&name);
        self.expire(now);
        if cost > self.capacity {
            return false;
        }
        self.make_room(cost, &name);
        self.count = self.count.saturating_add(1);
        self.bytes = self.bytes.saturating_add(cost);
        self.order.insert(self.count, name.clone());
        self.walks.insert(name, Walk { place: self.count, ..walk });
        true
    }

    /// Gives up the oldest lines but one, until there is room for so many bytes.
    fn make_room(&mut self, cost: usize, but: &Name) {
        while self.bytes.saturating_add(cost) > self.capacity {
            let Some(oldest) = self.order.values().find(|name| *name != but).cloned() else {
                return;
            };
            self.end(&oldest);
        }
    }

    /// Forgets a line.
    pub(crate) fn end(&mut self, name: &Name) -> Option<Walk> {
        let walk = self.walks.remove(name)?;
        self.order.remove(&walk.place);
        self.bytes = self.bytes.saturating_sub(cost(&walk));
        Some(walk)
    }

    /// The line was answered to its end, whichever try of it.
    pub(crate) fn answered(&mut self, (id, from): (&str, NodeId)) {
        for name in self.tries((id, from)) {
            self.end(&name);
        }
    }

    fn tries(&self, (id, from): (&str, NodeId)) -> Vec<Name> {
        let (first, last) = ((Box::from(id), from, 0), (Box::from(id), from, u64::MAX));
        self.walks.range(first..=last).map(|(name, _)| name.clone()).collect()
    }

    /// A neighbour was found unfit for the line before it had it.
    pub(crate) fn passed_over(&mut self, name: &Name, via: NodeId) {
        if let Some(walk) = self.walks.get_mut(name) {
            walk.tried.push(via);
            self.bytes = self.bytes.saturating_add(TRIED_COST);
            self.make_room(0, name);
        }
    }

    /// The line went to a neighbour. True if a ping is to follow it.
    pub(crate) fn sent(&mut self, name: &Name, via: NodeId) -> bool {
        self.passed_over(name, via);
        if !self.walks.contains_key(name) {
            return false;
        }
        self.forget_ended();
        self.neighbours.change(via, |neighbour| {
            if neighbour.untaken.len() >= WATCHED {
                return false;
            }
            neighbour.untaken.push_back(name.clone());
            self.watched = self.watched.saturating_add(1);
            neighbour.probe.is_none()
        })
    }

    /// Lines that ended are not watched any more, once there are many of them: a neighbour that
    /// refuses each, and answers no ping, would have us keep their names.
    fn forget_ended(&mut self) {
        if self.watched < self.walks.len().saturating_add(WATCHED) {
            return;
        }
        self.watched = 0;
        for (via, neighbour) in self.neighbours.iter_mut() {
            let (mut place, mut gone) = (0_usize, 0_usize);
            let covers = neighbour.probe.map_or(0, |probe| probe.covers);
            neighbour.untaken.retain(|name| {
                let stays = self.walks.get(name).is_some_and(|walk| walk.next() == Some(*via));
                gone = gone.saturating_add(usize::from(!stays && place < covers));
                place = place.saturating_add(1);
                stays
            });
            neighbour.untaken.shrink_to_fit();
            self.watched = self.watched.saturating_add(neighbour.untaken.len());
            if let Some(probe) = &mut neighbour.probe {
                probe.covers = covers.saturating_sub(gone);
            }
        }
    }

    /// A ping went out behind the lines that a neighbour has, and is to be answered in time.
    pub(crate) fn probing(&mut self, via: NodeId, nonce: u64, now: Instant, until: Instant) {
        if let Some(neighbour) = self.neighbours.get(&via) {
            let covers = neighbour.untaken.len();
            self.set_probe(via, Some(Probe { nonce, sent: now, until, covers }));
        }
    }

    fn set_probe(&mut self, via: NodeId, probe: Option<Probe>) {
        let Some(neighbour) = self.neighbours.get_mut(&via) else { return };
        if let Some(old) = core::mem::replace(&mut neighbour.probe, probe) {
            self.due.remove(&(old.until, via));
        }
        if let Some(new) = probe {
            self.due.insert((new.until, via));
        }
    }

    /// There is no room for a ping: its lines are not watched.
    pub(crate) fn not_probing(&mut self, via: NodeId) {
        self.forget(via);
    }

    /// Nothing is known of a neighbour any more.
    fn forget(&mut self, via: NodeId) {
        self.set_probe(via, None);
        if let Some(neighbour) = self.neighbours.remove(&via) {
            self.watched = self.watched.saturating_sub(neighbour.untaken.len());
        }
    }

    /// A pong came. True if another ping is to follow what went meanwhile.
    pub(crate) fn pong(&mut self, via: NodeId, nonce: u64) -> bool {
        let Some(neighbour) = self.neighbours.get_mut(&via) else { return false };
        let Some(probe) = neighbour.probe.filter(|probe| probe.nonce == nonce) else {
            return false;
        };
        let taken = probe.covers.min(neighbour.untaken.len());
        neighbour.untaken.drain(..taken);
        let more = !neighbour.untaken.is_empty();
        self.watched = self.watched.saturating_sub(taken);
        self.set_probe(via, None);
        if !more {
            self.forget(via);
        }
        more
    }

    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        let oldest = self.order.first_key_value().and_then(|(_, name)| self.walks.get(name));
        let ends = oldest.map(|walk| walk.since + self.keep);
        self.due.first().map(|(until, _)| *until).into_iter().chain(ends).min()
    }

    /// Forgets what is too old to be answered.
    pub(crate) fn expire(&mut self, now: Instant) {
        while let Some((_, name)) = self.order.first_key_value() {
            if self.walks.get(name).is_some_and(|walk| now < walk.since + self.keep) {
                return;
            }
            let name = name.clone();
            self.end(&name);
        }
    }

    /// A neighbour that did not answer a ping in time, and when that was sent.
    pub(crate) fn overdue(&self, now: Instant) -> Option<(NodeId, Instant)> {
        let (_, via) = self.due.first().filter(|(until, _)| *until <= now)?;
        let probe = self.neighbours.get(via)?.probe?;
        Some((*via, probe.sent))
    }

    /// It lives, and is given longer.
    pub(crate) fn wait_longer(&mut self, via: NodeId, until: Instant) {
        if let Some(probe) = self.neighbours.get(&via).and_then(|known| known.probe) {
            self.set_probe(via, Some(Probe { until, ..probe }));
        }
    }

    /// It does not answer: the lines that are to go elsewhere.
    pub(crate) fn silent(&mut self, via: NodeId, now: Instant) -> VecDeque<Name> {
        self.set_probe(via, None);
        if let Some(neighbour) = self.neighbours.get_mut(&via) {
            neighbour.silent = Some(now);
        }
        self.untaken(via)
    }

    /// It is gone: the same.
    pub(crate) fn gone(&mut self, via: NodeId) -> VecDeque<Name> {
        let names = self.untaken(via);
        self.forget(via);
        names
    }

    fn untaken(&mut self, via: NodeId) -> VecDeque<Name> {
        let Some(neighbour) = self.neighbours.get_mut(&via) else { return VecDeque::new() };
        let mut names = core::mem::take(&mut neighbour.untaken);
        self.watched = self.watched.saturating_sub(names.len());
        names.retain(|name| self.walks.get(name).is_some_and(|walk| walk.next() == Some(via)));
        names
    }

    /// Since when a neighbour has been silent, when that was last looked at.
    pub(crate) fn silent_since(&self, via: NodeId) -> Option<Instant> {
        self.neighbours.get(&via)?.silent
    }

    /// A neighbour refused the lines with this id that it has, which may go so much further.
    pub(crate) fn refused(&mut self, id: &str, via: NodeId, left: Option<u64>) -> Vec<Name> {
        let [least, most] = [uuid::Uuid::nil(), uuid::Uuid::max()].map(NodeId::new);
        let (first, last) = ((Box::from(id), least, 0), (Box::from(id), most, u64::MAX));
        let same = self.walks.range(first..=last);
        let theirs = same.filter(|(_, walk)| walk.next() == Some(via));
        let names: Vec<Name> = theirs.map(|(name, _)| name.clone()).collect();
        for name in &names {
            let Some(walk) = self.walks.get_mut(name) else { continue };
            // Nobody gives back more than he was given; who says nothing has used it up.
            walk.left = left.unwrap_or_default().min(walk.left.saturating_sub(1));
        }
        names
    }

    /// The way back of an answer to a line, of whichever try, that came from a neighbour which had
    /// it, if not as the last.
    pub(crate) fn back(&self, (id, from): (&str, NodeId), via: NodeId) -> Option<&Walk> {
        let (first, last) = ((Box::from(id), from, 0), (Box::from(id), from, u64::MAX));
        let mut tries = self.walks.range(first..=last).map(|(_, walk)| walk);
        tries.find(|walk| walk.tried.contains(&via))
    }

    pub(crate) fn clear(&mut self) {
        self.walks.clear();
        self.order.clear();
        self.neighbours.clear();
        self.due.clear();
        (self.watched, self.bytes) = (0, 0);
    }
}

fn cost(walk: &Walk) -> usize {
    let tried = walk.tried.len().saturating_mul(TRIED_COST);
    walk.frame.len().saturating_add(WALK_COST).saturating_add(tried)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeSet;

    fn node(number: u8) -> NodeId {
        NodeId::from_random_bytes([number; 16])
    }

    fn at(seconds: u64) -> Instant {
        Instant::ZERO + Duration::from_secs(seconds)
    }

    fn walks(walk_bytes: usize) -> Walks {
        Walks::new(&Limits { walk_bytes, ..Limits::default() })
    }

    fn name(id: &str) -> Name {
        (id.into(), node(1), 0)
    }

    fn walk(now: u64) -> Walk {
        Walk::new((node(9), node(2)), 32, None, Frame::new("{}\n"), at(now))
    }

    /// What is counted is what is there.
    fn check(walks: &Walks) {
        let names = walks.neighbours.values().map(|neighbour| neighbour.untaken.len());
        assert_eq!(walks.watched, names.sum::<usize>());
        let probes = walks.neighbours.iter();
        let probes = probes.filter_map(|(via, known)| Some((known.probe?.until, *via)));
        assert!(walks.due.iter().copied().eq(probes.collect::<BTreeSet<_>>()));
    }

    #[test]
    fn what_waits_is_counted_whatever_comes_in_whatever_order() {
        let (mut walks, mut rng) = (walks(20_000), crate::rng::Rng::new([5; 32]));
        let mut seen = [0_usize; 2];
        for step in 0..10_000_u64 {
            let now = at(step / 100);
            let id = alloc::format!("{}", rng.below(600));
            let via = node(u8::try_from(3 + rng.below(5)).unwrap_or_default());
            let nonce = rng.below(2);
            match rng.below(2_000) {
                0 => _ = walks.gone(via),
                1 => walks.not_probing(via),
                2 => _ = walks.silent(via, now),
                3 => walks.wait_longer(via, now + Duration::from_secs(2)),
                4 => walks.answered((&id, node(1))),
                5 if rng.below(9) == 0 => walks.clear(),
                5..8 => _ = walks.pong(via, nonce),
                8..12 => walks.probing(via, nonce, now, now + Duration::from_secs(1)),
                12 => walks.expire(now),
                _ => {
                    walks.begin(name(&id), walk(step / 100), now);
                    walks.sent(&name(&id), via);
                }
            }
            check(&walks);
            seen = [seen[0].max(walks.watched), seen[1].max(walks.due.len())];
        }
        assert!(seen[0] > WATCHED && seen[1] > 2, "{seen:?}");
    }

    #[test]
    fn an_answered_ping_says_that_the_lines_before_it_were_taken() {
        let mut walks = walks(10_000);
        for id in ["a", "b", "c"] {
            assert!(walks.begin(name(id), walk(0), at(0)));
        }
        assert!(walks.sent(&name("a"), node(5)), "a ping is to follow");
        walks.probing(node(5), 77, at(0), at(1));
        assert!(!walks.sent(&name("b"), node(5)), "one is under way");
        assert!(!walks.pong(node(5), 78) && walks.pong(node(5), 77), "b is not covered");
        walks.probing(node(5), 79, at(1), at(2));
        assert_eq!((walks.overdue(at(1)), walks.overdue(at(2))), (None, Some((node(5), at(1)))));
        assert_eq!(walks.silent(node(5), at(2)), [name("b")]);
        assert_eq!(walks.silent_since(node(5)), Some(at(2)));
        assert!(walks.sent(&name("c"), node(5)));
        walks.probing(node(5), 80, at(3), at(4));
        assert!(!walks.pong(node(5), 80));
        assert_eq!(walks.silent_since(node(5)), None, "who answers is not silent");
    }

    #[test]
    fn a_line_that_went_elsewhere_is_not_its_former_holders_any_more() {
        let mut walks = walks(10_000);
        let _kept = walks.begin(name("a"), walk(0), at(0));
        assert!(walks.sent(&name("a"), node(5)) && walks.sent(&name("a"), node(6)));
        assert!(walks.gone(node(5)).is_empty());
        assert!(walks.refused("a", node(5), None).is_empty());
        assert_eq!(walks.gone(node(6)), [name("a")]);
        let back = |via| walks.back(("a", node(1)), node(via)).map(|walk| walk.before);
        assert_eq!([back(5), back(6), back(7)], [Some(node(2)), Some(node(2)), None]);
    }

    #[test]
    fn a_refusal_gives_back_what_was_not_used_and_never_more() {
        let mut walks = walks(10_000);
        let _kept = walks.begin(name("a"), walk(0), at(0));
        let _kept = walks.begin(name("aa"), walk(0), at(0));
        for (left, expected) in [(Some(20), 20), (Some(1000), 19), (None, 0)] {
            walks.sent(&name("a"), node(5));
            assert_eq!(walks.refused("a", node(5), left), [name("a")]);
            assert_eq!(walks.get(&name("a")).map(|walk| walk.left), Some(expected));
        }
    }

    #[test]
    fn whoever_had_a_line_is_charged_and_older_lines_make_room() {
        let mut walks = walks(2 * (WALK_COST + 3) + TRIED_COST);
        for id in ["a", "b"] {
            assert!(walks.begin(name(id), walk(0), at(0)));
        }
        assert!(walks.sent(&name("b"), node(5)));
        assert_eq!(walks.bytes(), 2 * (WALK_COST + 3) + TRIED_COST);
        walks.passed_over(&name("a"), node(5));
        assert!(walks.get(&name("b")).is_none(), "a is the oldest, and the one that goes on");
        assert_eq!(walks.bytes(), WALK_COST + 3 + TRIED_COST);
        assert!(!walks.sent(&name("b"), node(5)), "it was given up");
        walks.end(&name("a"));
        assert_eq!(walks.bytes(), 0);
    }

    #[test]
    fn lines_that_ended_are_forgotten_when_they_are_many_and_pings_cover_what_they_did() {
        let mut walks = walks(WALK_COST * 8);
        assert!(walks.begin(name("a"), walk(0), at(0)) && walks.sent(&name("a"), node(5)));
        for number in 0..3 * WATCHED {
            let (line, via) = (name(&alloc::format!("{number}")), node(5 + (number % 8) as u8));
            assert!(walks.begin(line.clone(), walk(0), at(0)));
            walks.sent(&line, via);
            if number == 8 {
                walks.probing(node(5), 77, at(0), at(1));
                assert!(walks.begin(name("b"), walk(0), at(0)));
                walks.sent(&name("b"), node(5));
            }
            walks.end(&line);
        }
        let names = |walks: &Walks| -> usize {
            walks.neighbours.values().map(|neighbour| neighbour.untaken.len()).sum()
        };
        assert!(names(&walks) <= walks.walks.len() + WATCHED, "{} are kept", names(&walks));
        assert!(walks.pong(node(5), 77), "what went after the ping is not covered");
        let left = walks.gone(node(5));
        assert!(!left.contains(&name("a")), "and what went before it was taken");
        assert!(left.contains(&name("b")));
    }

    #[test]
    fn what_is_kept_is_bounded_by_bytes_and_by_time() {
        let mut walks = walks(2 * (WALK_COST + 3));
        for (id, seconds) in [("a", 0), ("b", 1), ("c", 2)] {
            assert!(walks.begin(name(id), walk(seconds), at(seconds)));
        }
        assert!(walks.get(&name("a")).is_none() && walks.get(&name("b")).is_some());
        assert_eq!((walks.bytes(), walks.next_deadline()), (2 * (WALK_COST + 3), Some(at(31))));
        walks.expire(at(31));
        assert!(walks.get(&name("b")).is_none() && walks.get(&name("c")).is_some());
        walks.answered(("c", node(1)));
        assert_eq!((walks.bytes(), walks.next_deadline()), (0, None));
        let mut none = Walks::new(&Limits { walk_bytes: 1, ..Limits::default() });
        assert!(!none.begin(name("a"), walk(0), at(0)) && none.get(&name("a")).is_none());
        let _kept = walks.begin(name("d"), walk(3), at(3));
        walks.clear();
        assert_eq!((walks.bytes(), walks.next_deadline()), (0, None));
    }

    #[test]
    fn a_line_that_takes_all_the_room_has_room() {
        for (room, expected) in [(WALK_COST + 2, false), (WALK_COST + 3, true)] {
            let mut walks = walks(room);
            assert_eq!(walks.begin(name("a"), walk(0), at(0)), expected);
            assert_eq!(walks.bytes(), if expected { room } else { 0 });
        }
    }
}
