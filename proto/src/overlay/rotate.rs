//! Which of the connections that we opened is of least use, and which two are our anchors.
//!
//! Use is what a peer brought first, by the time it had for that. The two oldest stay whatever
//! they brought: they are the anchors, by which we find back after a restart. Decides, and closes
//! nothing.

use alloc::vec::Vec;
use core::cmp::Reverse;
use core::net::SocketAddr;

use crate::group::Group;
use crate::id::ConnId;
use crate::limits::ANCHORS;
use crate::sorted::SortedSet;
use crate::time::Instant;

/// A peer that we dialled.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Outbound {
    pub(crate) conn: ConnId,
    pub(crate) addr: SocketAddr,
    pub(crate) group: Group,
    pub(crate) since: Instant,
    /// Broadcasts that it was the first to bring.
    pub(crate) news: u64,
    /// The application dialled it: it is not ours to drop.
    pub(crate) asked: bool,
}

/// Whose place another takes: of those neither the application's nor an anchor nor `new`, first one
/// whose network group has another, then the one that brought least news an hour, and of equals the
/// youngest.
pub(crate) fn least_useful(mut peers: Vec<Outbound>, new: ConnId, now: Instant) -> Option<ConnId> {
    sort_by_age(&mut peers);
    let crowded = crowded(&peers);
    let may_go = peers.iter().skip(ANCHORS).filter(|peer| !peer.asked && peer.conn != new);
    let least = may_go.min_by_key(|peer| {
        let seconds = now.saturating_since(peer.since).as_secs().max(1);
        let alone = !crowded.contains(&peer.group);
        (alone, peer.news.saturating_mul(3600) / seconds, Reverse(peer.since), Reverse(peer.conn))
    });
    least.map(|peer| peer.conn)
}

fn sort_by_age(peers: &mut [Outbound]) {
    peers.sort_by_key(|peer| (peer.since, peer.conn));
}

/// The groups that more than one of these is in.
pub(crate) fn crowded(peers: &[Outbound]) -> SortedSet<Group> {
    let mut seen = SortedSet::new();
    peers.iter().map(|peer| peer.group).filter(|group| !seen.insert(*group)).collect()
}

/// The addresses of the two oldest.
pub(crate) fn anchors(mut peers: Vec<Outbound>) -> Vec<SocketAddr> {
    sort_by_age(&mut peers);
    peers.into_iter().take(ANCHORS).map(|peer| peer.addr).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::net::Ipv4Addr;
    use core::num::NonZeroU32;
    use core::time::Duration;

    fn conn(index: u32) -> ConnId {
        ConnId::new(index, NonZeroU32::MIN)
    }

    /// Peers that brought so much, a second apart, the first one the oldest.
    fn peers(news: &[u64]) -> Vec<Outbound> {
        let peer = |(index, news): (u32, &u64)| Outbound {
            conn: conn(index),
            addr: SocketAddr::from((Ipv4Addr::from(index), 1)),
            group: Group::V4([1, index as u8]),
            since: Instant::ZERO + Duration::from_secs(u64::from(index)),
            news: *news,
            asked: false,
        };
        (0..).zip(news).map(peer).collect()
    }

    fn goes(peers: Vec<Outbound>) -> Option<ConnId> {
        least_useful(peers, conn(99), Instant::ZERO + Duration::from_secs(3600))
    }

    #[test]
    fn who_brought_least_goes_but_no_anchor() {
        assert_eq!(goes(peers(&[0, 0, 9, 2, 9])), Some(conn(3)));
        assert_eq!(goes(peers(&[0, 0, 3, 3, 3])), Some(conn(4)), "of equals the youngest");
        assert_eq!(goes(peers(&[0, 0])), None);
    }

    #[test]
    fn who_shares_a_group_goes_before_who_brought_less() {
        let mut all = peers(&[9, 9, 0, 9, 9, 8]);
        for peer in all.iter_mut().filter(|peer| [conn(0), conn(3), conn(4)].contains(&peer.conn)) {
            peer.group = Group::V4([9, 9]);
        }
        assert_eq!(crowded(&all), SortedSet::from([Group::V4([9, 9])]));
        assert_eq!(goes(all), Some(conn(4)));
        assert_eq!(goes(peers(&[9, 9, 0, 9, 9, 8])), Some(conn(2)));
    }

    #[test]
    fn what_the_application_dialled_and_the_new_one_stay() {
        let mut all = peers(&[0, 0, 9, 2, 9]);
        all.iter_mut().filter(|peer| peer.conn == conn(3)).for_each(|peer| peer.asked = true);
        assert_eq!(goes(all.clone()), Some(conn(4)));
        let now = Instant::ZERO + Duration::from_secs(3600);
        assert_eq!(least_useful(all, conn(4), now), Some(conn(2)));
    }

    #[test]
    fn use_is_by_time() {
        let mut all = peers(&[0, 0, 100, 50]);
        all.iter_mut()
            .filter(|peer| peer.conn == conn(3))
            .for_each(|peer| peer.since = Instant::ZERO + Duration::from_secs(3540));
        assert_eq!(goes(all), Some(conn(2)), "fifty in a minute are more than a hundred an hour");
    }

    #[test]
    fn the_two_oldest_are_the_anchors() {
        let found = anchors(peers(&[0, 0, 0]));
        assert_eq!(found, [0, 1].map(|ip| SocketAddr::from((Ipv4Addr::from(ip), 1))));
    }
}
