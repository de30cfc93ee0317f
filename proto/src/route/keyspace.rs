//! The keyspace: which links a node wants by the ids of others, and whom to tell an asker of.
//!
//! The distance of two ids is their XOR. A *bucket* of ours is the set of ids that share so many
//! leading bits with our own and no more. We want one link of our own dialling for each bucket, and
//! links with the nearest ids of all, the *siblings*: then a neighbour that is nearer to an id than
//! we are is there for any id, and several for one that is near. Pure: it dials nobody.

use alloc::vec::Vec;
use core::net::SocketAddr;

use crate::id::NodeId;
use crate::rng::Rng;
use crate::sorted::{SortedMap, SortedSet};

/// Bits of an id.
const BITS: u32 = 128;
/// How many of the nodes nearest to an asker it is told: so that one answer of a node near to it
/// names its siblings, also when some of them are gone.
const TOLD_NEAREST: usize = 16;

/// How far apart two ids are.
pub(crate) fn distance(one: NodeId, other: NodeId) -> u128 {
    one.uuid().as_u128() ^ other.uuid().as_u128()
}

/// How many leading bits two ids share: the bucket of the one among the other's.
pub(crate) fn bucket(one: NodeId, other: NodeId) -> u32 {
    distance(one, other).leading_zeros()
}

/// A node that may be dialled.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Known {
    pub(crate) id: NodeId,
    pub(crate) addr: SocketAddr,
}

/// The links there are.
#[derive(Clone, Debug, Default)]
pub(crate) struct Linked {
    /// Nodes that we dialled or are dialling, for whatever reason.
    pub(crate) own: SortedSet<NodeId>,
    /// All neighbours, those among them.
    pub(crate) all: SortedSet<NodeId>,
}

/// Whom to dial so that each bucket and each of so many siblings is linked; at most `room`, the
/// nearest buckets first. A node that is linked or dialled already is none of the known.
pub(crate) fn missing(
    own: NodeId,
    known: &[Known],
    linked: &Linked,
    siblings: usize,
    room: usize,
    rng: &mut Rng,
) -> Vec<SocketAddr> {
    let mut chosen: SortedMap<NodeId, SocketAddr> = SortedMap::new();
    let free = || known.iter().filter(|known| !linked.all.contains(&known.id));
    let ids = free().map(|known| known.id).chain(linked.all.iter().copied());
    let nearest = nearest(own, ids, siblings);
    for known in free().filter(|known| nearest.contains(&known.id)) {
        chosen.insert(known.id, known.addr);
    }
    let mut empty: SortedMap<u32, Vec<Known>> = SortedMap::new();
    let mut filled: SortedSet<u32> = linked.own.iter().map(|id| bucket(own, *id)).collect();
    filled.extend(chosen.keys().map(|id| bucket(own, *id)));
    for known in free().filter(|known| !filled.contains(&bucket(own, known.id))) {
        let bits = BITS.saturating_sub(bucket(own, known.id));
        empty.change(bits, |candidates| candidates.push(*known));
    }
    for candidates in empty.values() {
        let index = usize::try_from(rng.below(candidates.len() as u64)).unwrap_or_default();
        if let Some(known) = candidates.get(index) {
            chosen.insert(known.id, known.addr);
        }
    }
    let mut chosen: Vec<(NodeId, SocketAddr)> = chosen.into_iter().collect();
    chosen.sort_by_key(|(id, _)| distance(own, *id));
    chosen.into_iter().take(room).map(|(_, addr)| addr).collect()
}

/// Of the links kept for routes alone, one that is neither a sibling nor the only one of ours in
/// its bucket.
pub(crate) fn superfluous(
    own: NodeId,
    for_routes: &SortedSet<NodeId>,
    linked: &Linked,
    siblings: usize,
) -> Option<NodeId> {
    let nearest = nearest(own, linked.all.iter().copied(), siblings);
    let in_bucket = |id: NodeId| {
        linked.own.iter().filter(move |other| bucket(own, **other) == bucket(own, id)).count()
    };
    let spare = for_routes.iter().filter(|id| !nearest.contains(id) && in_bucket(**id) > 1);
    spare.max_by_key(|id| distance(own, **id)).copied()
}

/// The nearest first.
pub(crate) fn sort_by_distance(to: NodeId, ids: &mut [NodeId]) {
    ids.sort_unstable_by_key(|id| distance(to, *id));
}

/// The ids nearest to one.
pub(crate) fn nearest(
    to: NodeId,
    ids: impl Iterator<Item = NodeId>,
    count: usize,
) -> SortedSet<NodeId> {
    let mut ids: Vec<NodeId> = ids.filter(|id| *id != to).collect();
    sort_by_distance(to, &mut ids);
    ids.dedup();
    ids.into_iter().take(count).collect()
}

/// Whom an asker is to be told of before others: the nearest to it, and one of each of its buckets.
pub(crate) fn to_tell(
    asker: NodeId,
    ids: impl Iterator<Item = NodeId> + Clone,
) -> SortedSet<NodeId> {
    let mut told = nearest(asker, ids.clone(), TOLD_NEAREST);
    let mut buckets: SortedSet<u32> = told.iter().map(|id| bucket(asker, *id)).collect();
    told.extend(ids.filter(|id| *id != asker && buckets.insert(bucket(asker, *id))));
    told
}

/// How large the network is, by how often we are told of somebody we know.
///
/// Each address that is told is known already with the share of the network that the book holds.
/// So what the book held at each telling, summed, over the tellings of somebody known is the size.
/// Whoever tells of nodes that are not there makes it too large, which costs some links.
#[derive(Copy, Clone, Debug, Default)]
#[cfg_attr(feature = "testing", derive(Hash))]
pub(crate) struct Size {
    held: u64,
    known: u64,
}

/// Tellings of somebody known that an estimate rests on: with 16 it is off by a quarter.
const ENOUGH: u64 = 16;
/// After so many the older half counts half, so that the estimate follows the network.
const RECENT: u64 = 256;

impl Size {
    /// An address was told while the book held so many.
    pub(crate) fn told(&mut self, known: bool, held: usize) {
        self.held = self.held.saturating_add(held as u64);
        self.known = self.known.saturating_add(u64::from(known));
        if self.known >= RECENT {
            self.held /= 2;
            self.known /= 2;
        }
    }

    /// How many nodes there are, once that can be said.
    pub(crate) fn estimate(&self) -> Option<u64> {
        if self.known < ENOUGH { None } else { self.held.checked_div(self.known) }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use alloc::format;

    /// A node whose id begins with this byte.
    fn node(first: u8) -> NodeId {
        NodeId::new(uuid::Uuid::from_u128(u128::from(first) << 120))
    }

    fn known(first: u8) -> Known {
        Known { id: node(first), addr: addr(first) }
    }

    fn addr(first: u8) -> SocketAddr {
        format!("10.0.0.{first}:5999").parse().unwrap()
    }

    fn set(ids: &[u8]) -> SortedSet<NodeId> {
        ids.iter().map(|id| node(*id)).collect()
    }

    fn missing_of(ids: &[u8], own: &[u8], all: &[u8], siblings: usize) -> Vec<SocketAddr> {
        let known: Vec<Known> = ids.iter().map(|id| known(*id)).collect();
        let linked = Linked { own: set(own), all: set(all) };
        missing(node(0), &known, &linked, siblings, 100, &mut Rng::new([3; 32]))
    }

    #[test]
    fn a_bucket_is_how_many_leading_bits_are_shared() {
        assert_eq!(bucket(node(0), node(0b1000_0000)), 0);
        assert_eq!(bucket(node(0b0101_0000), node(0b0100_0000)), 3);
        assert_eq!(bucket(node(7), node(7)), 128);
    }

    #[test]
    fn each_bucket_gets_one_link_of_our_own_and_the_nearest_are_all_linked() {
        let ids = [0x80, 0x90, 0x40, 0x50, 0x20, 3, 2, 1];
        let dialled = missing_of(&ids, &[], &[], 2);
        assert_eq!(dialled.len(), 5, "three far buckets, two siblings: {dialled:?}");
        assert_eq!(dialled.get(..2), Some(&[addr(1), addr(2)][..]), "the nearest come first");
        let dialled = missing_of(&ids, &[0x80, 0x40], &[0x80, 0x40], 2);
        assert_eq!(dialled, [addr(1), addr(2), addr(0x20)]);
    }

    #[test]
    fn who_dialled_us_is_a_sibling_but_fills_no_bucket() {
        let dialled = missing_of(&[0x90, 2, 1], &[], &[0x80, 1], 2);
        assert_eq!(dialled, [addr(2), addr(0x90)]);
        assert_eq!(missing_of(&[0x80], &[], &[0x80], 2), [], "it is linked, whoever dialled");
    }

    #[test]
    fn there_is_no_more_than_there_is_room_for() {
        let known = [0x80, 0x40, 0x20, 0x10].map(known);
        let linked = Linked::default();
        let dialled = missing(node(0), &known, &linked, 1, 2, &mut Rng::new([3; 32]));
        assert_eq!(dialled, [addr(0x10), addr(0x20)]);
    }

    #[test]
    fn a_link_goes_only_if_its_bucket_and_the_siblings_are_served_without_it() {
        let linked = |own: &[u8]| Linked { own: set(own), all: set(own) };
        let goes = |ids: &[u8]| superfluous(node(0), &set(ids), &linked(ids), 2);
        assert_eq!(goes(&[1, 2, 0x80, 0x40]), None);
        assert_eq!(goes(&[1, 2, 0x80, 0x90]), Some(node(0x90)));
        assert_eq!(goes(&[1, 2, 3, 0x80]), Some(node(3)), "2 shares its bucket and is nearer");
    }

    #[test]
    fn an_asker_is_told_its_nearest_and_one_of_each_bucket() {
        let far = (0..60).map(|id| node(0x80 + id));
        let near = (1..40).map(node);
        let told = to_tell(node(0), far.chain(near));
        assert_eq!(
            told.len(),
            TOLD_NEAREST + 2,
            "beyond 16 nearest two buckets are left: {told:?}"
        );
        assert!((1..=16).all(|id| told.contains(&node(id))));
        assert_eq!(told.iter().filter(|id| **id >= node(0x80)).count(), 1);
    }

    /// What is made of twice as many tellings, at random, as there are nodes.
    fn estimate_of(nodes: u64) -> u64 {
        let (mut rng, mut size, mut book) = (Rng::new([9; 32]), Size::default(), SortedSet::new());
        for _ in 0..nodes * 2 {
            let told = rng.below(nodes);
            size.told(book.contains(&told), book.len());
            book.extend(Some(told).filter(|_| book.len() < 4096));
        }
        size.estimate().unwrap()
    }

    #[test]
    fn the_size_is_told_by_how_often_the_known_are_told() {
        for nodes in [50, 1_000, 20_000] {
            let estimate = estimate_of(nodes);
            assert!(estimate > nodes / 2 && estimate < nodes * 2, "{estimate} of {nodes}");
        }
        assert_eq!(Size::default().estimate(), None);
    }

    #[test]
    fn the_older_half_of_what_was_told_counts_half() {
        for (known, expected) in [(254, 15), (255, 15), (256, 20), (257, 19)] {
            let mut size = Size::default();
            (0..known).for_each(|_| size.told(true, 10));
            assert_eq!(size.estimate(), Some(10));
            (0..128).for_each(|_| size.told(false, 10));
            assert_eq!(size.estimate(), Some(expected), "{known}");
        }
        let mut size = Size::default();
        (0..ENOUGH - 1).for_each(|_| size.told(true, 10));
        assert_eq!(size.estimate(), None);
        size.told(true, 10);
        assert_eq!(size.estimate(), Some(10));
    }

    #[test]
    fn the_nearest_are_so_many_and_each_once() {
        let ids = || [5, 1, 1, 0, 2].map(node).into_iter();
        assert_eq!(
            [0, 1, 2, 9].map(|count| nearest(node(0), ids(), count)),
            [set(&[]), set(&[1]), set(&[1, 2]), set(&[1, 2, 5]),]
        );
        assert_eq!(to_tell(node(0), ids()), set(&[1, 2, 5]), "not itself");
    }
}
