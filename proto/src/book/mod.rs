//! The address book: which addresses there are, which proved good, and when to try each again.
//!
//! Learns from everybody, but trusts only its own dials: an address is *proven* when one of them
//! completed a hello. It never dials; [`overlay`](crate::overlay) asks it whom.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

use crate::backoff;
use crate::group::{canonical, is_dialable};
use crate::id::PeerId;
use crate::limits::Limits;
use crate::rng::Rng;
use crate::time::Instant;

/// Own addresses remembered at once: interfaces times ports, with room. The oldest goes.
const OWN_ADDRESSES: usize = 64;

/// One address.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "testing", derive(Hash))]
pub(crate) struct Entry {
    /// Who was found there, or is said to be.
    pub(crate) peer: Option<PeerId>,
    /// Given by the application: retried for ever, never dropped.
    pub(crate) bootstrap: bool,
    /// A dial of ours completed a hello.
    pub(crate) proven: bool,
    /// The last sign of life on a connection that we dialled.
    pub(crate) alive: Option<Instant>,
    /// Dials that failed since the last good one.
    failures: u32,
    /// No dial before this.
    pub(crate) not_before: Instant,
    /// A dial is under way, and is over by then.
    trying: Option<Instant>,
    /// When the last dial ended, for the cap on retries of urgent addresses.
    last_try: Option<Instant>,
    /// The other side or the application asked for peace until `not_before`.
    held: bool,
}

impl Entry {
    /// Nothing would be lost with it but an address that somebody told: it was never reached, is
    /// not being tried, and is not to be left alone for a while.
    fn is_spare(&self, now: Instant) -> bool {
        let tried = self.trying.is_some_and(|until| until > now);
        !self.bootstrap && !self.proven && !tried && self.not_before <= now
    }
}

/// The book.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "testing", derive(Hash))]
pub(crate) struct Book {
    entries: BTreeMap<SocketAddr, Entry>,
    /// Addresses that reached ourselves, until when.
    own: BTreeMap<SocketAddr, Instant>,
    capacity: usize,
    backoff_base: Duration,
    backoff_max: Duration,
    backoff_urgent: Duration,
    own_address: Duration,
    #[cfg(peerline_planted)]
    planted: Option<crate::planted::Bug>,
}

impl Book {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            entries: BTreeMap::new(),
            own: BTreeMap::new(),
            capacity: limits.book,
            backoff_base: limits.backoff_base,
            backoff_max: limits.backoff_max,
            backoff_urgent: limits.backoff_urgent,
            own_address: limits.own_address,
            #[cfg(peerline_planted)]
            planted: limits.planted,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    #[cfg(test)]
    fn get(&self, addr: SocketAddr) -> Option<&Entry> {
        self.entries.get(&canonical(addr))
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (SocketAddr, &Entry)> {
        self.entries.iter().map(|(addr, entry)| (*addr, entry))
    }

    /// Adds an address that is never given up. False if it is unusable or our own.
    pub(crate) fn add_bootstrap(&mut self, addr: SocketAddr, now: Instant, rng: &mut Rng) -> bool {
        let known = self.add(addr, None, false, now, rng);
        if let Some(entry) = self.entries.get_mut(&canonical(addr)) {
            entry.bootstrap = true;
        }
        known
    }

    /// Adds an address somebody told. False if it is unusable, our own, or there is no room.
    pub(crate) fn learn(
        &mut self,
        addr: SocketAddr,
        peer: Option<PeerId>,
        now: Instant,
        rng: &mut Rng,
    ) -> bool {
        self.add(addr, peer, true, now, rng)
    }

    fn add(
        &mut self,
        addr: SocketAddr,
        peer: Option<PeerId>,
        told: bool,
        now: Instant,
        rng: &mut Rng,
    ) -> bool {
        let addr = canonical(addr);
        let usable = is_dialable(addr);
        #[cfg(peerline_planted)]
        let usable = usable || self.planted == Some(crate::planted::Bug::AnyAddress);
        if !usable || self.is_own(addr, now) {
            return false;
        }
        if let Some(entry) = self.entries.get_mut(&addr) {
            entry.peer = entry.peer.take().or(peer);
            return true;
        }
        if self.entries.len() >= self.capacity && !self.make_room(told, now, rng) {
            return false;
        }
        let entry = Entry {
            peer,
            bootstrap: false,
            proven: false,
            alive: None,
            failures: 0,
            not_before: now,
            trying: None,
            last_try: None,
            held: false,
        };
        self.entries.insert(addr, entry);
        true
    }

    /// Drops an address never reached, chosen at random; else the proven one least recently alive.
    ///
    /// One that failed of late stays as long as it rests, for learned anew it would be dialled at
    /// once: whoever tells many addresses would have us knock at one of them again and again. What
    /// was only `told` waits for such room, what is sure takes the place of the next to be tried.
    fn make_room(&mut self, told: bool, now: Instant, rng: &mut Rng) -> bool {
        let free = || self.entries.iter().filter(|(_, entry)| !entry.bootstrap);
        let spare: Vec<SocketAddr> =
            free().filter(|(_, entry)| entry.is_spare(now)).map(|(addr, _)| *addr).collect();
        let index = usize::try_from(rng.below(spare.len() as u64)).unwrap_or(0);
        let resting = free().filter(|(_, entry)| !entry.proven);
        let resting = resting.min_by_key(|(_, entry)| entry.not_before).map(|(addr, _)| *addr);
        let oldest = || free().min_by_key(|(_, entry)| entry.alive).map(|(addr, _)| *addr);
        let victim = match (spare.get(index), resting) {
            (Some(addr), _) => Some(*addr),
            (None, Some(_)) if told => None,
            (None, resting) => resting.or_else(oldest),
        };
        victim.is_some_and(|addr| self.entries.remove(&addr).is_some())
    }

    /// The address is dialled; the dial is over by `until`.
    pub(crate) fn dialled(&mut self, addr: SocketAddr, until: Instant) {
        if let Some(entry) = self.entries.get_mut(&canonical(addr)) {
            entry.trying = Some(until);
        }
    }

    /// A dial of ours completed a hello with this peer.
    pub(crate) fn reached(&mut self, addr: SocketAddr, peer: &PeerId, now: Instant, rng: &mut Rng) {
        self.add(addr, None, false, now, rng);
        if let Some(entry) = self.entries.get_mut(&canonical(addr)) {
            entry.peer = Some(peer.clone());
            entry.proven = true;
            entry.alive = Some(now);
            entry.trying = None;
            entry.failures = 0;
            if core::mem::take(&mut entry.held) {
                // Somebody dialled in spite of it, and was welcome: the peace is over.
                entry.not_before = now;
            }
        }
    }

    /// A dial failed.
    pub(crate) fn failed(&mut self, addr: SocketAddr, now: Instant, rng: &mut Rng) {
        let (base, max) = (self.backoff_base, self.backoff_max);
        let Some(entry) = self.entries.get_mut(&canonical(addr)) else { return };
        entry.not_before = now + backoff::delay(entry.failures, base, max, rng);
        #[cfg(peerline_planted)]
        if self.planted == Some(crate::planted::Bug::NoBackoff) {
            entry.not_before = now;
        }
        entry.failures = entry.failures.saturating_add(1);
        entry.trying = None;
        entry.last_try = Some(now);
        entry.held = false;
    }

    /// A connection that we dialled, with a peer that was up, ended; `alive` is when it was last
    /// heard.
    pub(crate) fn ended(&mut self, addr: SocketAddr, alive: Instant, now: Instant, rng: &mut Rng) {
        let delay = rng.jitter(self.backoff_base, 50);
        let Some(entry) = self.entries.get_mut(&canonical(addr)) else { return };
        entry.alive = entry.alive.max(Some(alive));
        entry.not_before = entry.not_before.max(now + delay);
        entry.last_try = Some(now);
    }

    /// The address is not to be dialled for this long, whoever asks but the application.
    pub(crate) fn hold(&mut self, addr: SocketAddr, duration: Duration, now: Instant) {
        let until = now + duration.min(self.backoff_max);
        if let Some(entry) = self.entries.get_mut(&canonical(addr)) {
            entry.not_before = entry.not_before.max(until);
            entry.held = true;
        }
    }

    /// The address reached ourselves.
    pub(crate) fn mark_own(&mut self, addr: SocketAddr, now: Instant) {
        #[cfg(peerline_planted)]
        if self.planted == Some(crate::planted::Bug::SelfAddress) {
            return;
        }
        let addr = canonical(addr);
        self.entries.remove(&addr);
        self.own.insert(addr, now + self.own_address);
        if self.own.len() > OWN_ADDRESSES {
            let first = self.own.iter().min_by_key(|(_, until)| **until).map(|(addr, _)| *addr);
            self.own.remove(&first.unwrap_or(addr));
        }
    }

    pub(crate) fn is_own(&self, addr: SocketAddr, now: Instant) -> bool {
        self.own.get(&canonical(addr)).is_some_and(|until| *until > now)
    }

    /// When the address may be dialled. While connections are few (`urgent`), bootstrap addresses
    /// and those that ever answered wait no longer than the urgent back-off.
    pub(crate) fn due(&self, entry: &Entry, urgent: bool) -> Instant {
        #[cfg(peerline_planted)]
        match self.planted {
            Some(crate::planted::Bug::NoHurry) => return entry.not_before,
            Some(crate::planted::Bug::GivesUp) if entry.failures >= 5 => return Instant::MAX,
            _ => {}
        }
        let hurried = urgent && !entry.held && (entry.bootstrap || entry.proven);
        let soonest = entry.last_try.map_or(entry.not_before, |tried| tried + self.backoff_urgent);
        if hurried { entry.not_before.min(soonest) } else { entry.not_before }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use alloc::format;

    fn addr(number: u16) -> SocketAddr {
        format!("10.0.{}.{}:5999", number >> 8, number & 255).parse().unwrap()
    }

    fn book(capacity: usize) -> (Book, Rng) {
        let limits = Limits { book: capacity, ..Limits::default() };
        (Book::new(&limits), Rng::new([5; 32]))
    }

    #[test]
    fn unusable_and_own_addresses_stay_out() {
        let (mut book, mut rng) = book(10);
        assert!(!book.learn("0.0.0.0:1".parse().unwrap(), None, Instant::ZERO, &mut rng));
        assert!(book.learn(addr(1), None, Instant::ZERO, &mut rng));
        book.mark_own(addr(1), Instant::ZERO);
        assert!(book.get(addr(1)).is_none());
        assert!(!book.learn(addr(1), None, Instant::ZERO, &mut rng));
        let later = Instant::ZERO + Duration::from_secs(3600);
        assert!(book.learn(addr(1), None, later, &mut rng), "an hour later it may be another's");
    }

    #[test]
    fn a_full_book_keeps_what_is_proven_and_given() {
        let (mut book, mut rng) = book(10);
        assert!(book.add_bootstrap(addr(0), Instant::ZERO, &mut rng));
        assert!(book.learn(addr(1), None, Instant::ZERO, &mut rng));
        book.reached(addr(1), &PeerId::Guest("x".into()), Instant::ZERO, &mut rng);
        for number in 2..1000 {
            assert!(book.learn(addr(number), None, Instant::ZERO, &mut rng));
            assert!(book.len() <= 10);
        }
        assert!(book.get(addr(0)).is_some() && book.get(addr(1)).is_some());
    }

    #[test]
    fn only_given_addresses_leave_no_room() {
        let (mut book, mut rng) = book(3);
        for number in 0..3 {
            assert!(book.add_bootstrap(addr(number), Instant::ZERO, &mut rng));
        }
        assert!(!book.learn(addr(4), None, Instant::ZERO, &mut rng));
    }

    #[test]
    fn failures_push_an_address_back_but_never_a_given_one_for_long() {
        let (mut book, mut rng) = book(10);
        book.add_bootstrap(addr(0), Instant::ZERO, &mut rng);
        book.learn(addr(1), None, Instant::ZERO, &mut rng);
        for _ in 0..20 {
            book.failed(addr(0), Instant::ZERO, &mut rng);
            book.failed(addr(1), Instant::ZERO, &mut rng);
        }
        let due = |number, urgent| book.due(book.get(addr(number)).unwrap(), urgent);
        let seconds = |at: Instant| at.saturating_since(Instant::ZERO).as_secs();
        assert_eq!(seconds(due(0, true)), 30);
        assert!(seconds(due(0, false)) >= 1800);
        assert!(seconds(due(1, true)) >= 1800);
    }

    #[test]
    fn a_held_address_waits_even_when_connections_are_few() {
        let (mut book, mut rng) = book(10);
        book.add_bootstrap(addr(0), Instant::ZERO, &mut rng);
        book.hold(addr(0), Duration::from_secs(600), Instant::ZERO);
        let due = book.due(book.get(addr(0)).unwrap(), true);
        assert_eq!(due, Instant::ZERO + Duration::from_secs(600));
    }

    #[test]
    fn own_addresses_are_bounded_and_the_oldest_goes() {
        let (mut book, _) = book(10);
        let at = |number| Instant::ZERO + Duration::from_secs(u64::from(number));
        for number in 0..=64 {
            book.mark_own(addr(number), at(number));
        }
        let is_own = |number| book.is_own(addr(number), at(64));
        assert_eq!((is_own(0), is_own(1), is_own(64)), (false, true, true));
    }

    fn seconds(seconds: u64) -> Instant {
        Instant::ZERO + Duration::from_secs(seconds)
    }

    #[test]
    fn a_good_dial_forgives_the_failures_before_it() {
        let (mut book, mut rng) = book(10);
        let guest = PeerId::Guest("x".into());
        for _ in 0..20 {
            book.failed(addr(1), Instant::ZERO, &mut rng);
        }
        assert!(book.get(addr(1)).is_none(), "a failure teaches no address");
        book.learn(addr(1), None, Instant::ZERO, &mut rng);
        for _ in 0..20 {
            book.failed(addr(1), Instant::ZERO, &mut rng);
        }
        book.reached(addr(1), &guest, seconds(5), &mut rng);
        book.failed(addr(1), seconds(5), &mut rng);
        let entry = book.get(addr(1)).unwrap();
        let wait = book.due(entry, false).saturating_since(seconds(5));
        assert!(wait <= 2 * Limits::default().backoff_base, "{wait:?}");
        assert_eq!((entry.alive, entry.peer.clone()), (Some(seconds(5)), Some(guest)));
    }

    #[test]
    fn an_address_whose_connection_ended_rests_a_moment() {
        let (mut book, mut rng) = book(10);
        book.learn(addr(1), None, Instant::ZERO, &mut rng);
        book.reached(addr(1), &PeerId::Guest("x".into()), seconds(50), &mut rng);
        book.ended(addr(1), seconds(90), seconds(100), &mut rng);
        let entry = book.get(addr(1)).unwrap();
        assert_eq!((entry.alive, entry.last_try), (Some(seconds(90)), Some(seconds(100))));
        let wait = entry.not_before.saturating_since(seconds(100));
        let base = Limits::default().backoff_base;
        assert!(wait >= base / 2 && wait <= base * 3 / 2, "{wait:?}");
        book.ended(addr(1), seconds(80), seconds(100), &mut rng);
        assert_eq!(book.get(addr(1)).unwrap().alive, Some(seconds(90)), "the latest sign counts");
    }

    #[test]
    fn nobody_can_ask_for_more_peace_than_the_longest_wait() {
        let (mut book, mut rng) = book(10);
        book.add_bootstrap(addr(0), Instant::ZERO, &mut rng);
        book.hold(addr(0), Duration::MAX, seconds(1));
        let due = book.due(book.get(addr(0)).unwrap(), true);
        assert_eq!(due, seconds(1) + Limits::default().backoff_max);
        book.hold(addr(0), Duration::ZERO, seconds(2));
        assert_eq!(
            book.due(book.get(addr(0)).unwrap(), true),
            due,
            "a shorter one takes none back"
        );
        book.failed(addr(0), seconds(3), &mut rng);
        assert!(book.due(book.get(addr(0)).unwrap(), true) < due, "a dial of ours ends the peace");
    }

    #[test]
    fn a_full_book_of_proven_addresses_forgets_the_one_longest_silent() {
        let (mut book, mut rng) = book(3);
        for (number, alive) in [(1, 20), (2, 10), (3, 30)] {
            book.reached(addr(number), &PeerId::Guest("x".into()), seconds(alive), &mut rng);
        }
        assert!(book.learn(addr(4), None, seconds(40), &mut rng));
        let left = [1, 2, 3, 4].map(|number| book.get(addr(number)).is_some());
        assert_eq!(left, [true, false, true, true]);
    }

    #[test]
    fn an_address_that_is_tried_or_rests_is_not_forgotten_for_what_is_told() {
        let (mut book, mut rng) = book(3);
        let [tried, failed, told, more] = [1, 2, 3, 4].map(addr);
        for addr in [tried, failed, told] {
            assert!(book.learn(addr, None, seconds(0), &mut rng));
        }
        book.failed(failed, seconds(0), &mut rng);
        book.dialled(tried, seconds(20));
        assert!(book.learn(more, None, seconds(0), &mut rng));
        assert!(book.get(told).is_none(), "the only one that nothing is known of");
        book.failed(more, seconds(0), &mut rng);
        assert!(!book.learn(told, None, seconds(0), &mut rng));
        assert!(book.learn(told, None, seconds(20), &mut rng), "the dial is over, or the rest");
        let (given, guest) = (addr(5), PeerId::Guest("x".into()));
        for addr in [tried, failed, told, more] {
            book.failed(addr, seconds(20), &mut rng);
        }
        assert!(book.add_bootstrap(given, seconds(20), &mut rng));
        book.reached(addr(6), &guest, seconds(20), &mut rng);
        assert!(book.get(given).is_some() && book.get(addr(6)).is_some(), "sure ones find room");
    }

    #[test]
    fn a_dial_that_succeeds_in_spite_of_a_hold_ends_it() {
        let (mut book, mut rng) = book(10);
        let (peer, hour) = (PeerId::Guest("x".into()), Duration::from_secs(3600));
        assert!(book.add_bootstrap(addr(1), Instant::ZERO, &mut rng));
        book.hold(addr(1), hour, Instant::ZERO);
        assert_eq!(book.due(book.get(addr(1)).unwrap(), true), Instant::ZERO + hour);
        book.reached(addr(1), &peer, Instant::ZERO, &mut rng);
        book.ended(addr(1), Instant::ZERO, Instant::ZERO, &mut rng);
        let due = book.due(book.get(addr(1)).unwrap(), true);
        assert!(due <= Instant::ZERO + Duration::from_secs(3), "{due}");
    }
}
