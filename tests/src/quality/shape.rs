//! What a network looks like: who lives, who reaches whom, and over which links a stream goes.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use peerline_proto::{ConnId, PeerId, testing};

use super::Quality;
use super::wire::Wire;

impl Quality {
    /// The most dials of one node within one second, and of all together, since this second.
    pub fn most_dials(&self, since: u64) -> (u32, u32) {
        let mut seconds: BTreeMap<u64, u32> = BTreeMap::new();
        let mut most = 0;
        for ((second, _), count) in self.dials.iter().filter(|((second, _), _)| *second >= since) {
            *seconds.entry(*second).or_default() += count;
            most = most.max(*count);
        }
        (most, seconds.into_values().max().unwrap_or_default())
    }

    /// The parts of the living network, the largest first: who is whose peer, seen from both ends.
    pub fn parts(&self) -> Vec<Vec<usize>> {
        let ids: BTreeMap<PeerId, usize> =
            self.living().map(|index| (PeerId::Node(self.node(index).id()), index)).collect();
        let own = |index: usize| PeerId::Node(self.node(index).id());
        let peers = |index: usize| -> Vec<usize> {
            let known = self.node(index).peers().filter_map(|info| ids.get(&info.peer).copied());
            known.filter(|other| self.node(*other).peer(&own(index)).is_some()).collect()
        };
        let mut left: BTreeSet<usize> = ids.values().copied().collect();
        let mut parts = Vec::new();
        while let Some(first) = left.pop_first() {
            let (mut part, mut front) = (vec![first], vec![first]);
            while let Some(index) = front.pop() {
                let new: Vec<usize> =
                    peers(index).into_iter().filter(|peer| left.remove(peer)).collect();
                part.extend(&new);
                front.extend(new);
            }
            parts.push(part);
        }
        parts.sort_by_key(|part| std::cmp::Reverse(part.len()));
        parts
    }

    /// Lets time pass until the living are one part, and says how much.
    pub fn until_whole(&mut self, within: Duration) -> Option<Duration> {
        let from = self.now;
        while self.parts().len() > 1 {
            if self.now.saturating_since(from) >= within {
                return None;
            }
            self.run_for(Duration::from_millis(500));
        }
        Some(self.now.saturating_since(from))
    }

    /// The nodes that live.
    pub fn living(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.len()).filter(|index| self.is_alive(*index))
    }

    /// The living nodes that can be reached from one over living connections, itself included.
    pub fn component(&self, of: usize) -> BTreeSet<usize> {
        self.reached(of, |index| self.nodes[index].conns.values().collect())
    }

    /// The living nodes that are reached from one over these wires of each.
    fn reached<'q>(&'q self, of: usize, wires: impl Fn(usize) -> Vec<&'q Wire>) -> BTreeSet<usize> {
        let (mut found, mut front) = (BTreeSet::from([of]), vec![of]);
        while let Some(index) = front.pop() {
            let next = wires(index).into_iter().map(|wire| wire.peer);
            front.extend(next.filter(|peer| self.nodes[*peer].alive && found.insert(*peer)));
        }
        found
    }

    /// How many living nodes are not reached from the originator of a stream over eager links.
    pub fn unreached(&self, originator: usize) -> usize {
        let stream = (self.node(originator).id(), testing::epoch(self.node(originator)));
        let eager = |index: usize| {
            let (eager, _) = testing::tree(self.node(index), stream);
            eager.into_iter().filter_map(move |conn| self.nodes[index].conns.get(&conn)).collect()
        };
        self.living().count() - self.reached(originator, eager).len()
    }

    /// The parents of all nodes in a stream.
    pub fn parents(&self, originator: usize) -> Vec<Option<ConnId>> {
        let stream = (self.node(originator).id(), testing::epoch(self.node(originator)));
        (0..self.len()).map(|index| testing::tree(self.node(index), stream).1).collect()
    }

    /// How many living nodes have this node for their parent in a stream.
    pub fn children(&self, of: usize, originator: usize) -> usize {
        let parents = (0..).zip(self.parents(originator));
        let is_child = |(index, parent): (usize, Option<ConnId>)| {
            let wire = parent.and_then(|parent| self.nodes[index].conns.get(&parent));
            self.is_alive(index) && wire.is_some_and(|wire| wire.peer == of)
        };
        parents.map(is_child).filter(|is_child| *is_child).count()
    }
}
