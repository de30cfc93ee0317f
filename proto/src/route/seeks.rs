//! The searches for a way to a node, and what waits for them.
//!
//! A search asks in rings, the near neighbourhood first, then dials if an address is known; each
//! stage has its time. Bounded by number, and by the bytes of the messages that wait.
#![deny(clippy::arithmetic_side_effects)]

use alloc::boxed::Box;
use alloc::vec::Vec;

use crate::exchange::RequestId;
use crate::id::{ConnId, NodeId};
use crate::limits::Limits;
use crate::message::Frame;
use crate::sorted::SortedMap;
use crate::time::Instant;

/// What a waiting message costs beyond its bytes.
pub(crate) const HELD_COST: usize = 128;

/// How far a search is.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "testing", derive(Hash))]
pub(crate) enum Stage {
    /// Neighbours of neighbours were asked.
    Near,
    /// Those within four steps were asked.
    Far,
    /// An address that may be the node's is dialled.
    Dial(ConnId),
}

/// What waits for a way.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "testing", derive(Hash))]
pub(crate) enum Held {
    /// A message, by its id.
    Message { id: Box<str>, frame: Frame },
    /// A request; its text is kept where it is pending.
    Request(RequestId),
}

/// A search.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "testing", derive(Hash))]
pub(crate) struct Seek {
    pub(crate) stage: Stage,
    pub(crate) until: Instant,
    pub(crate) held: Vec<Held>,
    /// The application was told that there is no room for more messages.
    pub(crate) owed: bool,
}

/// All searches.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "testing", derive(Hash))]
pub(crate) struct Seeks {
    seeks: SortedMap<NodeId, Seek>,
    bytes: usize,
    capacity: usize,
    held_bytes: usize,
}

impl Seeks {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            seeks: SortedMap::new(),
            bytes: 0,
            capacity: limits.seeks,
            held_bytes: limits.held_bytes,
        }
    }

    /// Bytes of what waits.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn limit(&self) -> usize {
        self.held_bytes
    }

    /// Whether another search may begin.
    pub(crate) fn has_room(&self) -> bool {
        self.seeks.len() < self.capacity
    }

    pub(crate) fn contains(&self, to: NodeId) -> bool {
        self.seeks.contains_key(&to)
    }

    pub(crate) fn begin(&mut self, to: NodeId, stage: Stage, until: Instant) {
        self.seeks.insert(to, Seek { stage, until, held: Vec::new(), owed: false });
    }

    /// Lets something wait for a search that is under way; false if there is no room for it.
    pub(crate) fn hold(&mut self, to: NodeId, held: Held) -> bool {
        let cost = cost(&held);
        let Some(seek) = self.seeks.get_mut(&to) else { return false };
        if self.bytes.saturating_add(cost) > self.held_bytes {
            seek.owed = true;
            return false;
        }
        self.bytes = self.bytes.saturating_add(cost);
        seek.held.push(held);
        true
    }

    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.seeks.values().map(|seek| seek.until).min()
    }

    /// A search whose stage is over.
    pub(crate) fn due(&self, now: Instant) -> Option<(NodeId, Stage)> {
        let (to, seek) = self.seeks.iter().find(|(_, seek)| seek.until <= now)?;
        Some((*to, seek.stage))
    }

    pub(crate) fn go_on(&mut self, to: NodeId, stage: Stage, until: Instant) {
        if let Some(seek) = self.seeks.get_mut(&to) {
            seek.stage = stage;
            seek.until = until;
        }
    }

    /// The node that this connection was dialled for.
    pub(crate) fn dialled_for(&self, conn: ConnId) -> Option<NodeId> {
        let (to, _) = self.seeks.iter().find(|(_, seek)| seek.stage == Stage::Dial(conn))?;
        Some(*to)
    }

    /// The search is over, for better or worse.
    pub(crate) fn end(&mut self, to: NodeId) -> Option<Seek> {
        let seek = self.seeks.remove(&to)?;
        let freed: usize = seek.held.iter().map(cost).sum();
        self.bytes = self.bytes.saturating_sub(freed);
        Some(seek)
    }

    pub(crate) fn clear(&mut self) {
        self.seeks.clear();
        self.bytes = 0;
    }
}

/// What waiting costs. A request is charged where it is pending.
fn cost(held: &Held) -> usize {
    match held {
        Held::Message { frame, .. } => frame.len().saturating_add(HELD_COST),
        Held::Request(_) => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::num::NonZeroU32;

    #[test]
    fn what_waits_is_bounded_and_freed_with_its_search() {
        let (to, until) = (NodeId::from_random_bytes([1; 16]), Instant::from_nanos(7));
        let mut seeks = Seeks::new(&Limits { seeks: 1, held_bytes: 200, ..Limits::default() });
        let message = || Held::Message { id: "1".into(), frame: Frame::new("{}\n") };
        assert!(!seeks.hold(to, message()), "nobody seeks");
        seeks.begin(to, Stage::Near, until);
        assert!(!seeks.has_room() && seeks.contains(to));
        assert!(seeks.hold(to, message()) && !seeks.hold(to, message()));
        assert!(seeks.hold(to, Held::Request(RequestId::new(1))));
        assert_eq!((seeks.bytes(), seeks.next_deadline()), (131, Some(until)));
        assert_eq!((seeks.due(Instant::ZERO), seeks.due(until)), (None, Some((to, Stage::Near))));
        let conn = ConnId::new(3, NonZeroU32::MIN);
        seeks.go_on(to, Stage::Dial(conn), Instant::MAX);
        assert_eq!((seeks.dialled_for(conn), seeks.due(until)), (Some(to), None));
        let seek = seeks.end(to);
        assert_eq!(seek.map(|seek| (seek.held.len(), seek.owed)), Some((2, true)));
        assert_eq!((seeks.bytes(), seeks.next_deadline()), (0, None));
    }

    #[test]
    fn so_many_searches_may_be_under_way_and_each_ends_by_itself() {
        let [one, two, three] = [1, 2, 3].map(|number| NodeId::from_random_bytes([number; 16]));
        let (conn, at) = (ConnId::new(3, NonZeroU32::MIN), Instant::from_nanos);
        let mut seeks = Seeks::new(&Limits { seeks: 2, held_bytes: 262, ..Limits::default() });
        assert!(seeks.has_room() && seeks.limit() == 262);
        seeks.begin(one, Stage::Near, at(9));
        assert!(seeks.has_room());
        seeks.begin(two, Stage::Dial(conn), at(7));
        assert!(!seeks.has_room() && !seeks.contains(three));
        assert_eq!((seeks.next_deadline(), seeks.dialled_for(conn)), (Some(at(7)), Some(two)));
        assert_eq!(seeks.dialled_for(ConnId::new(4, NonZeroU32::MIN)), None);
        assert_eq!((seeks.due(at(6)), seeks.due(at(7))), (None, Some((two, Stage::Dial(conn)))));
        let message = || Held::Message { id: "1".into(), frame: Frame::new("{}\n") };
        assert!(seeks.hold(one, message()) && seeks.hold(two, message()), "131 bytes each");
        seeks.go_on(three, Stage::Far, at(0));
        seeks.go_on(one, Stage::Far, at(3));
        assert_eq!(
            (seeks.due(at(3)), seeks.next_deadline()),
            (Some((one, Stage::Far)), Some(at(3)))
        );
        assert!(seeks.end(one).is_some_and(|seek| !seek.owed && seek.held.len() == 1));
        assert!(seeks.end(one).is_none() && seeks.has_room());
        assert_eq!(seeks.bytes(), 131);
        seeks.clear();
        assert_eq!((seeks.bytes(), seeks.contains(two)), (0, false));
    }
}
