//! Guests: peers of the two older dialects, who come for one exchange at a time.
//!
//! Remembers who they are, where they listen, and how often they may speak. It dials nobody: its
//! parts, [`btpeer`] and [`chat`], tell the node what is due. Everything here is bounded by
//! [`Limits::guests`](crate::Limits::guests), for each dialect by itself.

pub(crate) mod btpeer;
pub(crate) mod chat;

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;

use crate::budget::Budget;
use crate::group::owner_of;
use crate::limits::RATED;
use crate::sorted::SortedMap;
use crate::time::Instant;

/// A guest as it is remembered.
#[derive(Clone, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "testing", derive(Hash))]
pub(crate) struct Guest {
    /// Where it is dialled.
    pub(crate) addr: SocketAddr,
    /// The host as the guest gave it, for listings.
    pub(crate) host: Box<str>,
    pub(crate) heard: Instant,
    /// Visits that failed since the last good one.
    pub(crate) failures: u8,
}

/// The guests of one dialect, by the ids they gave themselves.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "testing", derive(Hash))]
pub(crate) struct Table {
    guests: SortedMap<Arc<str>, Guest>,
    capacity: usize,
}

/// What remembering a guest changed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Remembered {
    /// It was not known before.
    pub(crate) new: bool,
    /// Who had to go: the one least recently heard.
    pub(crate) evicted: Option<(Arc<str>, Guest)>,
}

impl Table {
    pub(crate) fn new(capacity: usize) -> Self {
        Self { guests: SortedMap::new(), capacity }
    }

    pub(crate) fn len(&self) -> usize {
        self.guests.len()
    }

    pub(crate) fn get(&self, id: &str) -> Option<&Guest> {
        self.guests.get(id)
    }

    pub(crate) fn get_mut(&mut self, id: &str) -> Option<&mut Guest> {
        self.guests.get_mut(id)
    }

    /// The guests in order of their ids.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Arc<str>, &Guest)> {
        self.guests.iter()
    }

    /// Who is dialled at this address.
    pub(crate) fn at(&self, addr: SocketAddr) -> Option<&Arc<str>> {
        self.iter().find(|(_, guest)| guest.addr == addr).map(|(id, _)| id)
    }

    /// Whether one of them speaks from this address.
    pub(crate) fn speaks_from(&self, ip: IpAddr) -> bool {
        self.guests.values().any(|guest| guest.addr.ip() == ip)
    }

    pub(crate) fn remember(
        &mut self,
        id: &str,
        addr: SocketAddr,
        host: &str,
        now: Instant,
    ) -> Remembered {
        let guest = Guest { addr, host: host.into(), heard: now, failures: 0 };
        if let Some(known) = self.guests.get_mut(id) {
            *known = guest;
            return Remembered { new: false, evicted: None };
        }
        let evicted = (self.guests.len() >= self.capacity).then(|| self.evict()).flatten();
        self.guests.insert(id.into(), guest);
        Remembered { new: true, evicted }
    }

    pub(crate) fn forget(&mut self, id: &str) -> Option<Guest> {
        self.guests.remove(id)
    }

    fn evict(&mut self) -> Option<(Arc<str>, Guest)> {
        let (id, _) = self.guests.iter().min_by_key(|(_, guest)| guest.heard)?;
        self.guests.remove_entry(&Arc::clone(id))
    }
}

/// How often each owner of addresses may speak.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "testing", derive(Hash))]
pub(crate) struct Rates {
    burst: u32,
    every: Duration,
    buckets: SortedMap<IpAddr, (Instant, Budget)>,
}

impl Rates {
    pub(crate) fn new(burst: u32, every: Duration) -> Self {
        Self { burst, every, buckets: SortedMap::new() }
    }

    /// Whether the owner of this address may speak now; if so it has spoken. Loopback always may.
    pub(crate) fn may(&mut self, ip: IpAddr, now: Instant) -> bool {
        if ip.to_canonical().is_loopback() {
            return true;
        }
        let ip = owner_of(ip);
        if !self.buckets.contains_key(&ip) {
            self.make_room();
            self.buckets.insert(ip, (now, Budget::new(self.burst, self.every, now)));
        }
        let Some((last, bucket)) = self.buckets.get_mut(&ip) else { return false };
        *last = now;
        bucket.take(now)
    }

    fn make_room(&mut self) {
        if self.buckets.len() >= RATED {
            let quiet = self.buckets.iter().min_by_key(|(_, (last, _))| *last);
            quiet.map(|(ip, _)| *ip).and_then(|ip| self.buckets.remove(&ip));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::ZERO + Duration::from_secs(seconds)
    }

    fn addr(host: u8) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, host], 5999))
    }

    #[test]
    fn a_full_table_lets_the_one_least_recently_heard_go() {
        let mut table = Table::new(2);
        assert!(table.remember("a", addr(1), "a", at(1)).new);
        assert!(table.remember("b", addr(2), "b", at(2)).new);
        assert!(!table.remember("a", addr(1), "a", at(3)).new);
        let remembered = table.remember("c", addr(3), "c", at(4));
        assert_eq!(remembered.evicted.map(|(id, _)| id), Some("b".into()));
        assert_eq!((table.len(), table.at(addr(3))), (2, Some(&"c".into())));
        assert!(table.speaks_from(addr(1).ip()) && !table.speaks_from(addr(2).ip()));
        assert!(table.forget("a").is_some() && table.forget("a").is_none());
    }

    #[test]
    fn an_address_that_speaks_too_often_is_not_heard_and_others_are() {
        let mut rates = Rates::new(3, Duration::from_secs(1));
        let spoken = (0..10).filter(|_| rates.may(addr(1).ip(), at(0))).count();
        assert_eq!(spoken, 3);
        assert!(rates.may(addr(2).ip(), at(0)));
        assert!(rates.may(addr(1).ip(), at(1)) && !rates.may(addr(1).ip(), at(1)));
        let loopback = SocketAddr::from(([127, 0, 0, 1], 1)).ip();
        assert!((0..1000).all(|_| rates.may(loopback, at(0))));
    }

    #[test]
    fn only_so_many_addresses_are_rated() {
        let mut rates = Rates::new(1, Duration::from_secs(1));
        for number in 0..3000_u32 {
            assert!(rates.may(IpAddr::from(number.to_be_bytes()), at(u64::from(number))));
        }
        assert!(rates.buckets.len() <= RATED);
    }
}
