//! Who is up, by which connections, and which of two connections to the same node stays.
//!
//! The rule: only the smaller node id decides. It keeps the older connection if that had a byte of
//! late or answers a ping, else the newest; the larger id waits, and applies the same rule only if
//! no decision comes. So the two sides never each close what the other keeps.
//!
//! Decides, and closes nothing itself. Guests have no such rule: each of their connections is
//! served, and the guest is up while one is.

use alloc::vec::Vec;

use crate::id::{ConnId, NodeId, PeerId};
use crate::sorted::SortedMap;
use crate::time::Instant;

/// The peers that are up.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "testing", derive(Hash))]
pub(crate) struct Peers {
    own: NodeId,
    table: SortedMap<PeerId, Entry>,
    pending: SortedMap<PeerId, Decision>,
}

#[derive(Clone, Debug)]
#[cfg_attr(feature = "testing", derive(Hash))]
struct Entry {
    /// In order of their hellos; the first carries the peer. Never empty.
    conns: Vec<ConnId>,
}

/// A decision between connections that is still open.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "testing", derive(Hash))]
enum Decision {
    /// The other side decides; if it has not by then, we do.
    Theirs { until: Instant },
    /// We asked the older connection; if it has not spoken by then, it goes.
    Ours { asked: Instant, until: Instant },
}

/// What a new connection is to its peer.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(crate) enum Arrival {
    /// The peer is up now.
    First,
    /// One more connection of a guest.
    Another,
    /// One of two or more to a node; a decision is due.
    Rival,
    /// One too many.
    TooMany,
}

/// What is left of a peer when a connection ends.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(crate) enum Departure {
    /// Nothing: the peer is down.
    Last,
    /// The peer is up by another connection.
    StillUp,
    /// The connection was none of the peer's.
    Stranger,
}

/// What the rule says now.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Verdict {
    /// Nothing to decide, or not yet.
    Wait,
    /// Ping this connection; its answer, or the lack of one, decides.
    Ask(ConnId),
    /// The first stays, the others are to be closed.
    Keep { stays: ConnId, close: Vec<ConnId> },
}

/// How long the two sides wait; see [`Limits`](crate::Limits).
#[derive(Copy, Clone, Debug)]
pub(crate) struct Waits {
    pub(crate) fresh: core::time::Duration,
    pub(crate) theirs: core::time::Duration,
    #[cfg(peerline_planted)]
    pub(crate) mutual_kill: bool,
}

impl Peers {
    pub(crate) fn new(own: NodeId) -> Self {
        Self { own, table: SortedMap::new(), pending: SortedMap::new() }
    }

    pub(crate) fn len(&self) -> usize {
        self.table.len()
    }

    /// The peers and the connections that carry them.
    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = (&PeerId, Option<ConnId>)> {
        self.table.iter().map(|(peer, entry)| (peer, entry.conns.first().copied()))
    }

    /// The connection that carries a peer.
    pub(crate) fn conn(&self, peer: &PeerId) -> Option<ConnId> {
        self.table.get(peer)?.conns.first().copied()
    }

    /// All connections of a peer.
    pub(crate) fn conns(&self, peer: &PeerId) -> &[ConnId] {
        self.table.get(peer).map_or(&[], |entry| &entry.conns)
    }

    /// A connection completed its hello. `most` bounds the connections of one peer.
    pub(crate) fn arrive(
        &mut self,
        peer: &PeerId,
        conn: ConnId,
        most: usize,
        now: Instant,
        waits: Waits,
    ) -> Arrival {
        #[cfg(peerline_planted)]
        let decides_at_once = waits.mutual_kill;
        let Some(entry) = self.table.get_mut(peer) else {
            self.table.insert(peer.clone(), Entry { conns: Vec::from([conn]) });
            return Arrival::First;
        };
        if entry.conns.len() >= most {
            return Arrival::TooMany;
        }
        entry.conns.push(conn);
        match peer {
            PeerId::Guest(_) => Arrival::Another,
            PeerId::Node(theirs) => {
                let until = if self.own < *theirs { now } else { now + waits.theirs };
                #[cfg(peerline_planted)]
                let until = if decides_at_once { now } else { until };
                if !self.pending.contains_key(peer) {
                    self.pending.insert(peer.clone(), Decision::Theirs { until });
                }
                Arrival::Rival
            }
        }
    }

    /// A connection ended.
    pub(crate) fn depart(&mut self, peer: &PeerId, conn: ConnId) -> Departure {
        let Some(entry) = self.table.get_mut(peer) else { return Departure::Stranger };
        let Some(index) = entry.conns.iter().position(|known| *known == conn) else {
            return Departure::Stranger;
        };
        entry.conns.remove(index);
        let left = entry.conns.len();
        if left <= 1 {
            self.pending.remove(peer);
        }
        if left > 0 {
            return Departure::StillUp;
        }
        self.table.remove(peer);
        Departure::Last
    }

    /// When the next decision is due.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.pending
            .values()
            .map(|decision| match decision {
                Decision::Theirs { until } | Decision::Ours { until, .. } => *until,
            })
            .min()
    }

    /// The peers with a decision due.
    pub(crate) fn due(&self, now: Instant) -> Vec<PeerId> {
        let due = self.pending.iter().filter(|(_, decision)| match decision {
            Decision::Theirs { until } | Decision::Ours { until, .. } => *until <= now,
        });
        due.map(|(peer, _)| peer.clone()).collect()
    }

    /// Applies the rule. `last_byte` is when the connection that carries the peer was last heard.
    pub(crate) fn decide(
        &mut self,
        peer: &PeerId,
        last_byte: Instant,
        now: Instant,
        waits: Waits,
    ) -> Verdict {
        let Some(decision) = self.pending.get(peer).copied() else { return Verdict::Wait };
        let conns = self.conns(peer);
        let (Some(older), Some(newest)) = (conns.first().copied(), conns.last().copied()) else {
            return Verdict::Wait;
        };
        match decision {
            Decision::Theirs { until } if now < until => Verdict::Wait,
            Decision::Theirs { .. } if now.saturating_since(last_byte) < waits.fresh => {
                self.keep(peer, older)
            }
            Decision::Theirs { .. } => {
                let ours = Decision::Ours { asked: now, until: now + waits.fresh };
                self.pending.insert(peer.clone(), ours);
                Verdict::Ask(older)
            }
            Decision::Ours { asked, .. } if last_byte > asked => self.keep(peer, older),
            Decision::Ours { until, .. } if now < until => Verdict::Wait,
            Decision::Ours { .. } => self.keep(peer, newest),
        }
    }

    /// The other side has decided against the first connection: the newest stays.
    pub(crate) fn give_up_first(&mut self, peer: &PeerId) -> Verdict {
        match self.conns(peer) {
            [_, .., newest] => self.keep(peer, *newest),
            [] | [_] => Verdict::Wait,
        }
    }

    /// The connection carries the peer from now on, as the other side decided or the rule did.
    fn keep(&mut self, peer: &PeerId, stays: ConnId) -> Verdict {
        self.pending.remove(peer);
        let Some(entry) = self.table.get_mut(peer) else { return Verdict::Wait };
        let close = entry.conns.iter().copied().filter(|conn| *conn != stays).collect();
        if let Some(place) = entry.conns.iter().position(|conn| *conn == stays) {
            let first = entry.conns.remove(place);
            entry.conns.insert(0, first);
        }
        Verdict::Keep { stays, close }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use core::num::NonZeroU32;
    use core::time::Duration;

    const WAITS: Waits = Waits {
        fresh: Duration::from_secs(2),
        theirs: Duration::from_secs(5),
        #[cfg(peerline_planted)]
        mutual_kill: false,
    };

    fn conn(slot: u32) -> ConnId {
        ConnId::new(slot, NonZeroU32::MIN)
    }

    fn at(seconds: u64) -> Instant {
        Instant::ZERO + Duration::from_secs(seconds)
    }

    /// Two connections to one peer, the second at 10 s, seen by the smaller or the larger id.
    fn rivals(smaller: bool) -> (Peers, PeerId) {
        let (low, high) = (NodeId::from_random_bytes([1; 16]), NodeId::from_random_bytes([2; 16]));
        let (own, other) = if smaller { (low, high) } else { (high, low) };
        let (mut peers, peer) = (Peers::new(own), PeerId::Node(other));
        assert_eq!(peers.arrive(&peer, conn(1), 4, at(0), WAITS), Arrival::First);
        assert_eq!(peers.arrive(&peer, conn(2), 4, at(10), WAITS), Arrival::Rival);
        (peers, peer)
    }

    #[test]
    fn the_smaller_id_keeps_a_live_older_connection_at_once() {
        let (mut peers, peer) = rivals(true);
        let keep = Verdict::Keep { stays: conn(1), close: Vec::from([conn(2)]) };
        assert_eq!(peers.decide(&peer, at(9), at(10), WAITS), keep);
        assert_eq!(peers.decide(&peer, at(9), at(10), WAITS), Verdict::Wait);
    }

    #[test]
    fn a_silent_older_connection_is_asked_and_then_given_up() {
        let (mut peers, peer) = rivals(true);
        assert_eq!(peers.decide(&peer, at(1), at(10), WAITS), Verdict::Ask(conn(1)));
        assert_eq!(peers.decide(&peer, at(1), at(11), WAITS), Verdict::Wait);
        let keep = Verdict::Keep { stays: conn(2), close: Vec::from([conn(1)]) };
        assert_eq!(peers.decide(&peer, at(1), at(12), WAITS), keep);
        assert_eq!(peers.conn(&peer), Some(conn(2)));
    }

    #[test]
    fn an_answer_saves_the_older_connection() {
        let (mut peers, peer) = rivals(true);
        assert_eq!(peers.decide(&peer, at(1), at(10), WAITS), Verdict::Ask(conn(1)));
        let keep = Verdict::Keep { stays: conn(1), close: Vec::from([conn(2)]) };
        assert_eq!(peers.decide(&peer, at(11), at(11), WAITS), keep);
    }

    #[test]
    fn the_larger_id_waits_and_then_decides_alike() {
        let (mut peers, peer) = rivals(false);
        assert_eq!(peers.next_deadline(), Some(at(15)));
        assert_eq!(peers.decide(&peer, at(9), at(10), WAITS), Verdict::Wait);
        let keep = Verdict::Keep { stays: conn(1), close: Vec::from([conn(2)]) };
        assert_eq!(peers.decide(&peer, at(14), at(15), WAITS), keep);
    }

    #[test]
    fn a_connection_that_ends_leaves_the_other() {
        let (mut peers, peer) = rivals(true);
        assert_eq!(peers.depart(&peer, conn(1)), Departure::StillUp);
        assert_eq!((peers.conn(&peer), peers.next_deadline()), (Some(conn(2)), None));
        assert_eq!(peers.depart(&peer, conn(1)), Departure::Stranger);
        assert_eq!(peers.depart(&peer, conn(2)), Departure::Last);
        assert_eq!(peers.len(), 0);
    }

    #[test]
    fn a_guest_may_have_several_and_no_more_than_that() {
        let mut peers = Peers::new(NodeId::from_random_bytes([1; 16]));
        let peer = PeerId::Guest("x".into());
        let mut arrive = |slot| peers.arrive(&peer, conn(slot), 2, at(0), WAITS);
        assert_eq!(
            [arrive(1), arrive(2), arrive(3)],
            [Arrival::First, Arrival::Another, Arrival::TooMany]
        );
        assert_eq!(peers.conns(&peer), [conn(1), conn(2)]);
        assert_eq!(peers.depart(&peer, conn(1)), Departure::StillUp);
    }

    #[test]
    fn a_decision_is_due_at_its_time_and_not_before() {
        let (peers, peer) = rivals(false);
        assert_eq!((peers.due(at(14)), peers.due(at(15))), (Vec::new(), Vec::from([peer])));
        assert_eq!(peers.len(), 1);
    }

    #[test]
    fn only_a_byte_after_the_question_is_an_answer() {
        let (mut peers, peer) = rivals(true);
        assert_eq!(peers.decide(&peer, at(8), at(10), WAITS), Verdict::Ask(conn(1)), "2 s is late");
        assert_eq!(peers.decide(&peer, at(10), at(10), WAITS), Verdict::Wait);
    }

    #[test]
    fn what_the_other_side_gave_up_goes_if_there_is_another() {
        let (mut peers, peer) = rivals(false);
        let keep = Verdict::Keep { stays: conn(2), close: Vec::from([conn(1)]) };
        assert_eq!(peers.give_up_first(&peer), keep);
        assert_eq!(peers.depart(&peer, conn(1)), Departure::StillUp);
        assert_eq!(peers.give_up_first(&peer), Verdict::Wait);
        assert_eq!(peers.decide(&peer, at(1), at(99), WAITS), Verdict::Wait);
    }

    #[test]
    fn a_decision_stays_open_while_there_are_two() {
        let (mut peers, peer) = rivals(false);
        assert_eq!(peers.arrive(&peer, conn(3), 4, at(11), WAITS), Arrival::Rival);
        assert_eq!(peers.next_deadline(), Some(at(15)), "the first rival's");
        assert_eq!(peers.depart(&peer, conn(2)), Departure::StillUp);
        assert_eq!(peers.next_deadline(), Some(at(15)));
        assert_eq!(peers.conns(&peer), [conn(1), conn(3)]);
        assert_eq!(peers.depart(&peer, conn(3)), Departure::StillUp);
        assert_eq!((peers.next_deadline(), peers.len()), (None, 1));
        let other = PeerId::Guest("x".into());
        assert_eq!(peers.depart(&other, conn(1)), Departure::Stranger);
        assert_eq!((peers.conn(&other), peers.conns(&other)), (None, &[][..]));
        assert!(peers.iter().eq([(&peer, Some(conn(1)))]));
    }

    #[test]
    fn who_stays_carries_the_peer_and_the_others_stand_behind() {
        let (mut peers, peer) = rivals(true);
        assert_eq!(peers.arrive(&peer, conn(3), 4, at(10), WAITS), Arrival::Rival);
        let close = Vec::from([conn(1), conn(2)]);
        assert_eq!(peers.give_up_first(&peer), Verdict::Keep { stays: conn(3), close });
        assert_eq!(peers.conns(&peer), [conn(3), conn(1), conn(2)]);
    }
}
