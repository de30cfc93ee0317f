//! Who gives way when a peer dials us and there is no room: nearly as Bitcoin Core decides it.
//!
//! Peers are protected by what an attacker cannot have at will: a short way to us, news before the
//! others, age. Of the rest the youngest of the most crowded network group goes. Decides, and
//! closes nothing.

use alloc::vec::Vec;
use core::cmp::Ordering;
use core::time::Duration;

use crate::group::Group;
use crate::id::ConnId;
use crate::time::Instant;

/// How many peers each class protects.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Classes {
    /// By their round trip: nobody can be nearer than he is.
    pub(crate) near: usize,
    /// By the last broadcast that they were the first to bring.
    pub(crate) news: usize,
    /// By age, of a hundred that are left.
    pub(crate) old: usize,
}

impl Classes {
    /// As Bitcoin Core.
    pub(crate) const USUAL: Self = Self { near: 8, news: 4, old: 50 };
}

/// A peer that dialled us.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Inbound {
    pub(crate) conn: ConnId,
    pub(crate) group: Group,
    pub(crate) round_trip: Option<Duration>,
    /// When it last was the first to bring a broadcast.
    pub(crate) news: Option<Instant>,
    pub(crate) since: Instant,
    pub(crate) discouraged: bool,
}

impl Inbound {
    fn away(&self) -> Duration {
        self.round_trip.unwrap_or(Duration::MAX)
    }
}

/// Whose connection ends so that another may come; nobody's if all are protected.
pub(crate) fn victim(mut peers: Vec<Inbound>, classes: Classes) -> Option<ConnId> {
    // By id first, so that equals always stand in the same order.
    sort(&mut peers, |a, b| a.conn.cmp(&b.conn));
    let unwanted = peers.iter().filter(|peer| peer.discouraged);
    if let Some(youngest) = unwanted.max_by_key(|peer| peer.since) {
        return Some(youngest.conn);
    }
    sort(&mut peers, |a, b| a.away().cmp(&b.away()));
    protect(&mut peers, classes.near, |peer| peer.round_trip.is_some());
    sort(&mut peers, |a, b| b.news.cmp(&a.news));
    protect(&mut peers, classes.news, |peer| peer.news.is_some());
    sort(&mut peers, |a, b| a.since.cmp(&b.since));
    // Rounded up: where there is one place, whoever comes does not drive out whoever is there.
    let old = peers.len().saturating_mul(classes.old).div_ceil(100);
    protect(&mut peers, old, |_| true);
    youngest_of_the_crowd(peers)
}

/// Sorts by whatever is compared, built once for all of it.
fn sort(peers: &mut [Inbound], compare: fn(&Inbound, &Inbound) -> Ordering) {
    peers.sort_by(compare);
}

/// Takes the first `most` that deserve it out of the list of those who may go.
fn protect(peers: &mut Vec<Inbound>, most: usize, deserves: impl Fn(&Inbound) -> bool) {
    let count = peers.iter().take(most).take_while(|peer| deserves(peer)).count();
    peers.drain(..count);
}

fn youngest_of_the_crowd(mut peers: Vec<Inbound>) -> Option<ConnId> {
    sort(&mut peers, |a, b| a.group.cmp(&b.group).then(b.since.cmp(&a.since)));
    let crowd = peers.chunk_by(|a, b| a.group == b.group);
    let largest = crowd.max_by_key(|group| (group.len(), group.first().map(|peer| peer.since)))?;
    largest.first().map(|peer| peer.conn)
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::num::NonZeroU32;

    fn victim_of(peers: Vec<Inbound>) -> Option<ConnId> {
        victim(peers, Classes::USUAL)
    }

    fn conn(index: u32) -> ConnId {
        ConnId::new(index, NonZeroU32::MIN)
    }

    /// Peers of as many groups, the first one the oldest.
    fn peers(count: u32) -> Vec<Inbound> {
        let peer = |index: u32| Inbound {
            conn: conn(index),
            group: Group::V4([1, index as u8]),
            round_trip: None,
            news: None,
            since: Instant::ZERO + Duration::from_secs(u64::from(index)),
            discouraged: false,
        };
        (0..count).map(peer).collect()
    }

    #[test]
    fn nobody_goes_where_all_are_protected() {
        assert_eq!(victim_of(peers(0)), None);
        assert_eq!(victim_of(peers(1)), None);
        assert_eq!(victim_of(peers(2)), Some(conn(1)));
        let mut near = peers(8);
        near.iter_mut().for_each(|peer| peer.round_trip = Some(Duration::ZERO));
        assert_eq!(victim_of(near), None);
    }

    #[test]
    fn the_youngest_goes_where_nothing_else_tells() {
        assert_eq!(victim_of(peers(64)), Some(conn(63)));
    }

    #[test]
    fn the_most_crowded_group_loses_its_youngest() {
        let mut crowd = peers(64);
        for peer in crowd.iter_mut().filter(|peer| peer.conn >= conn(50) && peer.conn < conn(60)) {
            peer.group = Group::V4([9, 9]);
        }
        assert_eq!(victim_of(crowd), Some(conn(59)));
    }

    #[test]
    fn each_class_protects_the_one_that_would_have_gone() {
        let spared = |change: fn(&mut Inbound)| {
            let mut all = peers(64);
            all.iter_mut().filter(|peer| peer.conn == conn(63)).for_each(change);
            victim_of(all)
        };
        assert_eq!(spared(|peer| peer.round_trip = Some(Duration::ZERO)), Some(conn(62)));
        assert_eq!(spared(|peer| peer.news = Some(Instant::ZERO)), Some(conn(62)));
        assert_eq!(spared(|peer| peer.since = Instant::ZERO), Some(conn(62)));
    }

    #[test]
    fn of_each_class_only_so_many_are_protected() {
        let mut all = peers(64);
        let second = Duration::from_secs(1);
        all.iter_mut().for_each(|peer| peer.round_trip = Some(second));
        assert_eq!(victim_of(all.clone()), Some(conn(63)));
        all.iter_mut().for_each(|peer| peer.news = Some(Instant::ZERO));
        assert_eq!(victim_of(all), Some(conn(63)));
    }

    #[test]
    fn a_discouraged_one_goes_first() {
        let mut all = peers(64);
        for peer in all.iter_mut().take(3) {
            peer.discouraged = true;
        }
        assert_eq!(victim_of(all), Some(conn(2)));
    }
}
