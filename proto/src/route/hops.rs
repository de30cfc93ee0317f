//! Learned hops: by which neighbours a node was heard of late.
//!
//! What a message's `from` says teaches an *unconfirmed* hop, for anybody can write a `from`; a
//! reply that came back confirms it. An unconfirmed hop never displaces a confirmed one. Of the
//! destinations the one least recently used goes first.

use alloc::vec::Vec;
use core::time::Duration;

use crate::id::NodeId;
use crate::limits::Limits;
use crate::sorted::SortedMap;
use crate::time::Instant;

/// The hops of all destinations.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "testing", derive(Hash))]
pub(crate) struct Routes {
    destinations: SortedMap<NodeId, Destination>,
    /// The destinations by when they were last used; each once, under its `used`.
    order: SortedMap<u64, NodeId>,
    clock: u64,
    capacity: usize,
    per_node: usize,
    keep: Duration,
}

#[derive(Clone, Debug, Default)]
#[cfg_attr(feature = "testing", derive(Hash))]
struct Destination {
    hops: Vec<Hop>,
    used: u64,
}

#[derive(Copy, Clone, Debug)]
#[cfg_attr(feature = "testing", derive(Hash))]
struct Hop {
    via: NodeId,
    confirmed: bool,
    at: Instant,
}

impl Routes {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            destinations: SortedMap::new(),
            order: SortedMap::new(),
            clock: 0,
            capacity: limits.routes,
            per_node: limits.hops_per_route,
            keep: limits.route_for,
        }
    }

    pub(crate) fn knows(&self, to: NodeId) -> bool {
        self.destinations.contains_key(&to)
    }

    /// The hops towards a node: confirmed ones first, then the latest.
    pub(crate) fn hops(&self, to: NodeId, now: Instant) -> impl Iterator<Item = NodeId> + use<> {
        let known = self.destinations.get(&to).map_or(&[][..], |known| &known.hops);
        let fresh = known.iter().filter(|hop| now < hop.at + self.keep);
        let mut hops: Vec<Hop> = fresh.copied().collect();
        hops.sort_by_key(|hop| core::cmp::Reverse((hop.confirmed, hop.at)));
        hops.into_iter().map(|hop| hop.via)
    }

    /// A line of `to` came by `via`; `confirmed` if it is an answer to one of ours or one that we
    /// passed on.
    pub(crate) fn learn(&mut self, to: NodeId, via: NodeId, confirmed: bool, now: Instant) {
        if to == via {
            return; // a neighbour needs no route
        }
        if !self.knows(to) {
            self.make_room();
        }
        let (hop, most, keep) = (Hop { via, confirmed, at: now }, self.per_node, self.keep);
        self.destinations.change(to, |destination| destination.hear(hop, most, keep));
        self.touch(to);
    }

    /// The hop came to nothing.
    pub(crate) fn forget(&mut self, to: NodeId, via: NodeId) {
        let Some(destination) = self.destinations.get_mut(&to) else { return };
        destination.hops.retain(|hop| hop.via != via);
        if destination.hops.is_empty() {
            self.order.remove(&destination.used);
            self.destinations.remove(&to);
        }
    }

    /// The neighbour is gone.
    pub(crate) fn forget_neighbour(&mut self, via: NodeId) {
        let order = &mut self.order;
        self.destinations.retain(|_, destination| {
            destination.hops.retain(|hop| hop.via != via);
            if destination.hops.is_empty() {
                order.remove(&destination.used);
            }
            !destination.hops.is_empty()
        });
    }

    pub(crate) fn clear(&mut self) {
        self.destinations.clear();
        self.order.clear();
    }

    fn touch(&mut self, to: NodeId) {
        let Some(destination) = self.destinations.get_mut(&to) else { return };
        if destination.used == self.clock && self.clock != 0 {
            return; // it was the last one used before
        }
        self.order.remove(&destination.used);
        self.clock = self.clock.saturating_add(1);
        destination.used = self.clock;
        self.order.insert(self.clock, to);
    }

    fn make_room(&mut self) {
        while self.destinations.len() >= self.capacity {
            let Some((_, oldest)) = self.order.pop_first() else { return };
            self.destinations.remove(&oldest);
        }
    }
}

impl Destination {
    fn hear(&mut self, new: Hop, most: usize, keep: Duration) {
        self.hops.retain(|hop| new.at < hop.at + keep);
        if let Some(known) = self.hops.iter_mut().find(|hop| hop.via == new.via) {
            known.at = new.at;
            known.confirmed |= new.confirmed;
            return;
        }
        if self.hops.len() >= most {
            let worst = self.hops.iter().enumerate().min_by_key(|(_, hop)| (hop.confirmed, hop.at));
            let Some((index, worst)) = worst else { return };
            if worst.confirmed && !new.confirmed {
                return;
            }
            self.hops.remove(index);
        }
        self.hops.push(new);
    }
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

    fn routes(capacity: usize) -> Routes {
        Routes::new(&Limits { routes: capacity, ..Limits::default() })
    }

    fn hops(routes: &Routes, to: u8, now: u64) -> Vec<NodeId> {
        routes.hops(node(to), at(now)).collect()
    }

    #[test]
    fn an_unconfirmed_hop_never_displaces_a_confirmed_one() {
        let mut routes = routes(10);
        for via in [1, 2, 3] {
            routes.learn(node(9), node(via), true, at(u64::from(via)));
        }
        routes.learn(node(9), node(4), false, at(4));
        assert_eq!(hops(&routes, 9, 5), [node(3), node(2), node(1)]);
        routes.learn(node(9), node(5), true, at(5));
        assert_eq!(hops(&routes, 9, 5), [node(5), node(3), node(2)]);
        routes.learn(node(9), node(2), false, at(6));
        assert_eq!(hops(&routes, 9, 6), [node(2), node(5), node(3)], "once confirmed, it stays");
    }

    #[test]
    fn a_hop_lasts_ten_minutes_and_a_forgotten_one_not_at_all() {
        let mut routes = routes(10);
        routes.learn(node(9), node(1), false, at(0));
        routes.learn(node(9), node(2), true, at(300));
        assert_eq!(hops(&routes, 9, 599), [node(2), node(1)]);
        assert_eq!(hops(&routes, 9, 600), [node(2)]);
        routes.forget(node(9), node(2));
        routes.forget_neighbour(node(1));
        assert!(hops(&routes, 9, 0).is_empty() && !routes.knows(node(9)));
        routes.learn(node(1), node(1), true, at(0));
        assert!(!routes.knows(node(1)), "a neighbour needs no route");
        assert!(routes.order.is_empty());
    }

    #[test]
    fn the_destination_least_recently_used_goes_first() {
        let mut routes = routes(3);
        for to in [1, 2, 3, 1, 4] {
            routes.learn(node(to), node(9), false, at(0));
        }
        let known: Vec<bool> = (1..=4).map(|to| routes.knows(node(to))).collect();
        assert_eq!(known, [true, false, true, true]);
        assert_eq!(routes.order.len(), 3);
    }

    #[test]
    fn a_confirmed_hop_that_is_too_old_gives_way() {
        for (seconds, expected) in [(599, 1), (600, 2)] {
            let limits = Limits { hops_per_route: 1, ..Limits::default() };
            let mut routes = Routes::new(&limits);
            routes.learn(node(9), node(1), true, at(0));
            routes.learn(node(9), node(2), false, at(seconds));
            assert_eq!(hops(&routes, 9, seconds), [node(expected)]);
        }
    }

    #[test]
    fn a_neighbour_that_goes_leaves_what_others_lead_to() {
        let mut routes = routes(10);
        for (to, via) in [(8, 1), (9, 1), (9, 2)] {
            routes.learn(node(to), node(via), false, at(0));
        }
        routes.forget(node(9), node(7));
        routes.forget_neighbour(node(1));
        assert_eq!((hops(&routes, 8, 0), hops(&routes, 9, 0)), (Vec::new(), Vec::from([node(2)])));
        assert_eq!(routes.order.len(), 1);
        routes.forget(node(9), node(2));
        assert!(routes.order.is_empty());
        routes.learn(node(9), node(2), false, at(0));
        routes.clear();
        assert!(!routes.knows(node(9)) && routes.order.is_empty());
    }
}
