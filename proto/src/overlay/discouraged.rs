//! Addresses whose owner broke the protocol, for a while.
//!
//! A whole network group is never held to account for one of its members, and loopback never at
//! all: it is ourselves and whoever shares this machine. Bounded; decides nothing itself.

use core::net::IpAddr;
use core::time::Duration;

use crate::group::owner_of;
use crate::limits::Limits;
use crate::sorted::SortedMap;
use crate::time::Instant;

/// The table.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "testing", derive(Hash))]
pub(crate) struct Discouraged {
    /// Never more than `capacity`.
    marks: SortedMap<IpAddr, Mark>,
    capacity: usize,
    first: Duration,
    longest: Duration,
    #[cfg(peerline_planted)]
    ignored: bool,
}

#[derive(Copy, Clone, Debug)]
#[cfg_attr(feature = "testing", derive(Hash))]
struct Mark {
    until: Instant,
    /// How often it was marked before.
    before: u32,
}

impl Discouraged {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            marks: SortedMap::new(),
            capacity: limits.discouraged,
            first: limits.discourage_for,
            longest: limits.discourage_max,
            #[cfg(peerline_planted)]
            ignored: limits.planted == Some(crate::planted::Bug::NoDiscouragement),
        }
    }

    /// Whoever is at this address broke the protocol.
    pub(crate) fn mark(&mut self, ip: IpAddr, now: Instant) {
        if ip.to_canonical().is_loopback() || self.capacity == 0 {
            return;
        }
        let longest = self.longest;
        // Who has behaved for as long as the longest mark lasts begins anew.
        self.marks.retain(|_, mark| mark.until + longest > now);
        let owner = owner_of(ip);
        let before = self.marks.get(&owner).map_or(0, |mark| mark.before.saturating_add(1));
        if !self.marks.contains_key(&owner) && self.marks.len() >= self.capacity {
            let soonest = self.marks.iter().min_by_key(|(_, mark)| mark.until);
            let soonest = soonest.map(|(owner, _)| *owner);
            soonest.map(|owner| self.marks.remove(&owner));
        }
        let factor = 1_u32.checked_shl(before).unwrap_or(u32::MAX);
        let until = now + self.first.saturating_mul(factor).min(longest);
        self.marks.insert(owner, Mark { until, before });
    }

    /// Whether whoever is at this address is to be avoided.
    pub(crate) fn is_marked(&self, ip: IpAddr, now: Instant) -> bool {
        #[cfg(peerline_planted)]
        if self.ignored {
            return false;
        }
        self.marks.get(&owner_of(ip)).is_some_and(|mark| mark.until > now)
    }

    /// How many are to be avoided now.
    pub(crate) fn count(&self, now: Instant) -> usize {
        self.marks.values().filter(|mark| mark.until > now).count()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn at(minutes: u64) -> Instant {
        Instant::ZERO + Duration::from_secs(60 * minutes)
    }

    #[test]
    fn the_time_doubles_up_to_a_day_and_good_conduct_is_remembered() {
        let mut table = Discouraged::new(&Limits::default());
        let mut now = at(0);
        for minutes in [10, 20, 40, 80, 160, 320, 640, 1280, 1440, 1440] {
            table.mark(ip("1.2.3.4"), now);
            let last = now + Duration::from_secs(60 * minutes - 1);
            let over = now + Duration::from_secs(60 * minutes);
            assert!(table.is_marked(ip("1.2.3.4"), last), "{minutes}");
            assert!(!table.is_marked(ip("1.2.3.4"), over), "{minutes}");
            now = over;
        }
        now = now + Duration::from_secs(24 * 3600);
        table.mark(ip("1.2.3.4"), now);
        assert!(!table.is_marked(ip("1.2.3.4"), now + Duration::from_secs(600)));
    }

    #[test]
    fn an_owner_is_an_address_or_a_network_of_64_bits_and_never_loopback() {
        let mut table = Discouraged::new(&Limits::default());
        for marked in ["1.2.3.4", "2001:db8:0:1::1", "127.0.0.1", "::1"] {
            table.mark(ip(marked), at(0));
        }
        let marked = |text| table.is_marked(ip(text), at(1));
        assert!(marked("1.2.3.4") && marked("::ffff:1.2.3.4"));
        assert!(marked("2001:db8:0:1:9::9") && !marked("2001:db8:0:2::1"));
        assert!(!marked("1.2.3.5") && !marked("127.0.0.1") && !marked("::1"));
        assert_eq!(table.count(at(1)), 2);
    }

    #[test]
    fn a_full_table_forgets_the_one_that_ends_first() {
        let limits = Limits { discouraged: 2, ..Limits::default() };
        let mut table = Discouraged::new(&limits);
        table.mark(ip("1.0.0.1"), at(0));
        table.mark(ip("1.0.0.1"), at(0));
        table.mark(ip("1.0.0.2"), at(1));
        table.mark(ip("1.0.0.3"), at(2));
        let marked = [1, 2, 3].map(|last| table.is_marked(IpAddr::from([1, 0, 0, last]), at(3)));
        assert_eq!(marked, [true, false, true]);
        let mut none = Discouraged::new(&Limits { discouraged: 0, ..Limits::default() });
        none.mark(ip("1.0.0.1"), at(0));
        assert_eq!(none.count(at(0)), 0);
    }
}
