//! Lines under way by keyspace, kept so that another neighbour may be tried: who has had each, how
//! far it may still go, and whether the last one took it.
//!
//! A neighbour that is silently dead takes a line as well as any. So behind a line goes a ping, and
//! its answer says that the line was read. One ping is under way to each neighbour, however many
//! lines; those that went after it wait for the next. Without an answer the lines go elsewhere, and
//! a refusal takes back what they may still go. Pure: [`node`](crate::node) sends.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use core::time::Duration;

use crate::id::NodeId;
use crate::limits::Limits;
use crate::message::Frame;
use crate::time::Instant;

/// What a kept line costs beyond its bytes.
pub(crate) const WALK_COST: usize = 512;

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
    walks: BTreeMap<Name, Walk>,
    /// The lines by when they came; each once, under its `place`.
    order: BTreeMap<u64, Name>,
    count: u64,
    neighbours: BTreeMap<NodeId, Neighbour>,
    bytes: usize,
    capacity: usize,
    keep: Duration,
}

impl Walks {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            walks: BTreeMap::new(),
            order: BTreeMap::new(),
            count: 0,
            neighbours: BTreeMap::new(),
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
        while let Some((_, oldest)) = self.order.first_key_value() {
            let old = self.walks.get(oldest).is_none_or(|walk| walk.since + self.keep <= now);
            if !old && self.bytes.saturating_add(cost) <= self.capacity {
                break;
            }
            let oldest = oldest.clone();
            self.end(&oldest);
        }
        if cost > self.capacity {
            return false;
        }
        self.count = self.count.saturating_add(1);
        self.bytes = self.bytes.saturating_add(cost);
        self.order.insert(self.count, name.clone());
        self.walks.insert(name, Walk { place: self.count, ..walk });
        true
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
        }
    }

    /// The line went to a neighbour. True if a ping is to follow it.
    pub(crate) fn sent(&mut self, name: &Name, via: NodeId) -> bool {
        let Some(walk) = self.walks.get_mut(name) else { return false };
        walk.tried.push(via);
        let neighbour = self.neighbours.entry(via).or_default();
        if neighbour.untaken.len() >= WATCHED {
            return false;
        }
        neighbour.untaken.push_back(name.clone());
        neighbour.probe.is_none()
    }

    /// A ping went out behind the lines that a neighbour has, and is to be answered in time.
    pub(crate) fn probing(&mut self, via: NodeId, nonce: u64, now: Instant, until: Instant) {
        if let Some(neighbour) = self.neighbours.get_mut(&via) {
            let covers = neighbour.untaken.len();
            neighbour.probe = Some(Probe { nonce, sent: now, until, covers });
        }
    }

    /// There is no room for a ping: its lines are not watched.
    pub(crate) fn not_probing(&mut self, via: NodeId) {
        self.neighbours.remove(&via);
    }

    /// A pong came. True if another ping is to follow what went meanwhile.
    pub(crate) fn pong(&mut self, via: NodeId, nonce: u64) -> bool {
        let Some(neighbour) = self.neighbours.get_mut(&via) else { return false };
        let Some(probe) = neighbour.probe.filter(|probe| probe.nonce == nonce) else {
            return false;
        };
        neighbour.untaken.drain(..probe.covers.min(neighbour.untaken.len()));
        neighbour.probe = None;
        let more = !neighbour.untaken.is_empty();
        if !more {
            self.neighbours.remove(&via);
        }
        more
    }

    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        let probes = self.neighbours.values().filter_map(|neighbour| neighbour.probe);
        let oldest = self.order.first_key_value().and_then(|(_, name)| self.walks.get(name));
        probes.map(|probe| probe.until).chain(oldest.map(|walk| walk.since + self.keep)).min()
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
        let mut probes =
            self.neighbours.iter().filter_map(|(via, neighbour)| Some((*via, neighbour.probe?)));
        let (via, probe) = probes.find(|(_, probe)| probe.until <= now)?;
        Some((via, probe.sent))
    }

    /// It lives, and is given longer.
    pub(crate) fn wait_longer(&mut self, via: NodeId, until: Instant) {
        if let Some(probe) = self.neighbours.get_mut(&via).and_then(|known| known.probe.as_mut()) {
            probe.until = until;
        }
    }

    /// It does not answer: the lines that are to go elsewhere.
    pub(crate) fn silent(&mut self, via: NodeId, now: Instant) -> VecDeque<Name> {
        let Some(neighbour) = self.neighbours.get_mut(&via) else { return VecDeque::new() };
        neighbour.probe = None;
        neighbour.silent = Some(now);
        self.untaken(via)
    }

    /// It is gone: the same.
    pub(crate) fn gone(&mut self, via: NodeId) -> VecDeque<Name> {
        let names = self.untaken(via);
        self.neighbours.remove(&via);
        names
    }

    fn untaken(&mut self, via: NodeId) -> VecDeque<Name> {
        let Some(neighbour) = self.neighbours.get_mut(&via) else { return VecDeque::new() };
        let mut names = core::mem::take(&mut neighbour.untaken);
        names.retain(|name| self.walks.get(name).is_some_and(|walk| walk.next() == Some(via)));
        names
    }

    /// Since when a neighbour has been silent, when that was last looked at.
    pub(crate) fn silent_since(&self, via: NodeId) -> Option<Instant> {
        self.neighbours.get(&via)?.silent
    }

    /// A neighbour refused the lines with this id that it has, which may go so much further.
    pub(crate) fn refused(&mut self, id: &str, via: NodeId, left: Option<u64>) -> Vec<Name> {
        let first = (Box::from(id), NodeId::new(uuid::Uuid::nil()), 0);
        let same = self.walks.range_mut(first..).take_while(|((known, ..), _)| **known == *id);
        let theirs = same.filter(|(_, walk)| walk.next() == Some(via));
        let mut names = Vec::new();
        for (name, walk) in theirs {
            // Nobody gives back more than he was given; who says nothing has used it up.
            walk.left = left.unwrap_or_default().min(walk.left.saturating_sub(1));
            names.push(name.clone());
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
        self.bytes = 0;
    }
}

fn cost(walk: &Walk) -> usize {
    walk.frame.len().saturating_add(WALK_COST)
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
