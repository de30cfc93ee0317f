//! The buckets of the book: which one an address falls into, and what is in each.
//!
//! A keyed hash chooses, so that nobody can aim at a bucket. Who tells many addresses reaches only
//! a few buckets of `New` with them, by the group that the teller is in; who holds many addresses
//! reaches only a few buckets of `Tried`, by the group that they are in. An address stands in one
//! bucket, the first that it was told into. A bucket that holds nothing takes no memory.

use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};

use crate::book::entry::Place;
use crate::group::Group;
use crate::hash::SipHasher;
use crate::sorted::SortedMap;

/// Buckets of addresses that others told.
pub(super) const NEW_BUCKETS: u16 = 256;
/// Buckets of addresses that our dials reached.
pub(super) const TRIED_BUCKETS: u16 = 64;
/// Addresses in a bucket.
pub(super) const BUCKET: usize = 32;
/// Buckets of `New` that tellers of one group reach: a sixteenth.
const SOURCE_BUCKETS: u64 = 16;
/// Buckets of `Tried` that addresses of one group reach: an eighth.
const GROUP_BUCKETS: u64 = 8;

/// The addresses of one table, by bucket.
pub(super) type Table = SortedMap<u16, Vec<SocketAddr>>;

/// Both tables, and the key to them.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "testing", derive(Hash))]
pub(super) struct Buckets {
    key: (u64, u64),
    private_exempt: bool,
    /// No bucket is empty, none holds more than [`BUCKET`].
    new: Table,
    /// The same.
    tried: Table,
}

impl Buckets {
    pub(super) fn new(key: (u64, u64), private_exempt: bool) -> Self {
        Self { key, private_exempt, new: Table::new(), tried: Table::new() }
    }

    pub(super) fn key(&self) -> (u64, u64) {
        self.key
    }

    pub(super) fn set_key(&mut self, key: (u64, u64)) {
        self.key = key;
    }

    /// The bucket of `New` for what `source` tells.
    pub(super) fn new_place(&self, addr: SocketAddr, source: SocketAddr) -> Place {
        let (source, group) = (self.source(source), Group::of(addr, self.private_exempt));
        let choice = self.hash(1, &[&source, &group], 0) % SOURCE_BUCKETS;
        Place::New(number(self.hash(2, &[&source], choice), NEW_BUCKETS))
    }

    /// The bucket of `Tried` for an address.
    pub(super) fn tried_place(&self, addr: SocketAddr) -> Place {
        let (itself, group) = (Group::Exempt(addr), Group::of(addr, self.private_exempt));
        let choice = self.hash(3, &[&itself], 0) % GROUP_BUCKETS;
        Place::Tried(number(self.hash(4, &[&group], choice), TRIED_BUCKETS))
    }

    /// What tellers count by: their group, or, where each address is a group of its own, the host,
    /// for ports cost nothing.
    fn source(&self, source: SocketAddr) -> Group {
        match Group::of(source, self.private_exempt) {
            Group::Exempt(addr) => Group::Exempt(SocketAddr::new(addr.ip(), 0)),
            group @ (Group::V4(_) | Group::V6(_)) => group,
        }
    }

    fn hash(&self, purpose: u8, groups: &[&Group], choice: u64) -> u64 {
        let mut hasher = SipHasher::new(self.key);
        hasher.write(&[purpose]);
        for group in groups {
            write_group(&mut hasher, group);
        }
        hasher.write_u64(choice);
        hasher.finish()
    }

    pub(super) fn new_table(&self) -> &Table {
        &self.new
    }

    pub(super) fn tried_table(&self) -> &Table {
        &self.tried
    }

    /// What is in a bucket.
    pub(super) fn at(&self, place: Place) -> &[SocketAddr] {
        let bucket = match place {
            Place::Given => None,
            Place::New(bucket) => self.new.get(&bucket),
            Place::Tried(bucket) => self.tried.get(&bucket),
        };
        bucket.map_or(&[], Vec::as_slice)
    }

    pub(super) fn is_full(&self, place: Place) -> bool {
        self.at(place).len() >= BUCKET
    }

    pub(super) fn insert(&mut self, place: Place, addr: SocketAddr) {
        match place {
            Place::Given => {}
            Place::New(bucket) => self.new.change(bucket, |held| held.push(addr)),
            Place::Tried(bucket) => self.tried.change(bucket, |held| held.push(addr)),
        }
    }

    pub(super) fn remove(&mut self, place: Place, addr: SocketAddr) {
        let (table, bucket) = match place {
            Place::Given => return,
            Place::New(bucket) => (&mut self.new, bucket),
            Place::Tried(bucket) => (&mut self.tried, bucket),
        };
        let Some(held) = table.get_mut(&bucket) else { return };
        held.retain(|other| *other != addr);
        if held.is_empty() {
            table.remove(&bucket);
        }
    }

    /// The fullest buckets of `New`, at most so many, the fullest first.
    pub(super) fn fullest(&self, most: usize) -> Vec<Place> {
        let mut buckets: Vec<_> =
            self.new.iter().map(|(bucket, held)| (held.len(), *bucket)).collect();
        if most < buckets.len() {
            // To sort all of them for the sake of a few is what a full book would spend most on.
            buckets.select_nth_unstable_by(most, |a, b| b.cmp(a));
            buckets.truncate(most);
        }
        buckets.sort_unstable_by(|a, b| b.cmp(a));
        buckets.into_iter().map(|(_, bucket)| Place::New(bucket)).collect()
    }
}

/// A hash as a number below `buckets`.
fn number(hash: u64, buckets: u16) -> u16 {
    (hash % u64::from(buckets)) as u16
}

fn write_group(hasher: &mut SipHasher, group: &Group) {
    match group {
        Group::V4(bytes) => {
            hasher.write(&[4]);
            hasher.write(bytes);
        }
        Group::V6(bytes) => {
            hasher.write(&[6]);
            hasher.write(bytes);
        }
        Group::Exempt(addr) => {
            hasher.write(&[0]);
            match addr.ip() {
                IpAddr::V4(ip) => hasher.write(&ip.octets()),
                IpAddr::V6(ip) => hasher.write(&ip.octets()),
            }
            hasher.write(&addr.port().to_le_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use alloc::collections::BTreeSet;

    fn addr(a: u8, b: u8, c: u8) -> SocketAddr {
        SocketAddr::from(([a, b, c, 1], 5999))
    }

    /// The numbers of the buckets that these fall into.
    fn spread(places: impl Iterator<Item = Place>) -> BTreeSet<u16> {
        let bucket = |place| match place {
            Place::Given => None,
            Place::New(bucket) | Place::Tried(bucket) => Some(bucket),
        };
        places.map(|place| bucket(place).unwrap()).collect()
    }

    #[test]
    fn tellers_of_one_group_reach_a_sixteenth_of_new_and_all_groups_the_whole() {
        let buckets = Buckets::new((1, 2), true);
        let told = |source: SocketAddr| {
            let others = (0..=255).flat_map(|a| (0..8).map(move |b| addr(a, b, 1)));
            others.map(move |addr| (addr, source))
        };
        let here = [addr(20, 30, 1), addr(20, 30, 2)].into_iter().flat_map(told);
        let few = spread(here.map(|(addr, source)| buckets.new_place(addr, source)));
        assert!(few.len() <= 16 && few.len() >= 12, "{few:?}");
        let host = (1..=99).map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
        let local = spread(host.flat_map(told).map(|(addr, from)| buckets.new_place(addr, from)));
        assert!(local.len() <= 16, "the ports of one host are one teller");
        let everywhere = (0..200).flat_map(|a| told(addr(a, 30, 1)));
        let all = spread(everywhere.map(|(addr, source)| buckets.new_place(addr, source)));
        assert_eq!(all.len(), usize::from(NEW_BUCKETS));
    }

    #[test]
    fn addresses_of_one_group_reach_an_eighth_of_tried_and_exempt_ones_the_whole() {
        let buckets = Buckets::new((1, 2), true);
        let near = (0..=255).map(|c| buckets.tried_place(addr(20, 30, c)));
        let few = spread(near);
        assert!(few.len() <= 8 && few.len() >= 5, "{few:?}");
        let private = (0..=255).flat_map(|b| (0..8).map(move |c| addr(10, b, c)));
        let all = spread(private.map(|addr| buckets.tried_place(addr)));
        assert_eq!(all.len(), usize::from(TRIED_BUCKETS));
    }

    #[test]
    fn another_key_means_other_buckets() {
        let places = |key| {
            let buckets = Buckets::new(key, true);
            (0..50).map(move |c| buckets.tried_place(addr(c, 1, 1))).collect::<Vec<_>>()
        };
        assert_eq!(places((1, 2)), places((1, 2)));
        assert_ne!(places((1, 2)), places((1, 3)));
    }

    #[test]
    fn the_fullest_come_first_however_many_are_asked_for() {
        let mut buckets = Buckets::new((1, 2), true);
        for (bucket, held) in [(3, 2), (9, 5), (4, 5), (1, 1)] {
            (0..held).for_each(|host| buckets.insert(Place::New(bucket), addr(1, 1, host)));
        }
        let all = [Place::New(9), Place::New(4), Place::New(3), Place::New(1)];
        for most in 0..=5 {
            assert!(buckets.fullest(most).iter().eq(all.iter().take(most)), "{most}");
        }
    }

    #[test]
    fn an_empty_bucket_is_none() {
        let mut buckets = Buckets::new((1, 2), true);
        buckets.insert(Place::New(7), addr(1, 1, 1));
        assert_eq!(buckets.at(Place::New(7)), [addr(1, 1, 1)]);
        buckets.remove(Place::New(7), addr(1, 1, 1));
        assert!(buckets.new_table().is_empty() && buckets.at(Place::New(7)).is_empty());
    }
}
