//! The address book: which addresses there are, which proved good, and when to try each again.
//!
//! Learns from everybody, but trusts only its own dials: an address is *proven* when one of them
//! completed a hello. What is told stands in the buckets of `New`, what is proven in those of
//! `Tried`; a proven address takes another's place there only after that one was dialled in vain.
//! It never dials; [`overlay`](crate::overlay) asks it whom.

mod answers;
mod buckets;
mod entry;
mod saved;
mod select;

use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

use crate::backoff;
use crate::group::{canonical, is_dialable};
use crate::id::PeerId;
use crate::limits::{ANCHORS, Limits};
use crate::rng::Rng;
use crate::sorted::SortedMap;
use crate::time::Instant;

pub(crate) use answers::{Answers, Told};
use buckets::Buckets;
pub(crate) use entry::Entry;
pub(crate) use entry::Place;
#[cfg(feature = "testing")]
pub(crate) use saved::sealed;

/// Own addresses remembered at once: interfaces times ports, with room. The oldest goes.
const OWN_ADDRESSES: usize = 64;
/// Proven addresses that wait for the test of one whose place they would take. When full: a
/// further one stays where it is, and asks again when it is next reached. 16: eight hours of tests.
const COLLISIONS: usize = 16;
/// Buckets searched for one that may give way to an address that was told, the fullest first. 8: a
/// line of 256 addresses looks at 65,536 places at most.
const SEARCHED: usize = 8;

/// A proven address that found its bucket of `Tried` full.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "testing", derive(Hash))]
struct Collision {
    /// In `Tried`; stays unless the next dial to it fails.
    incumbent: SocketAddr,
    /// In `New`; takes its place then.
    challenger: SocketAddr,
}

/// The book.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "testing", derive(Hash))]
pub(crate) struct Book {
    entries: SortedMap<SocketAddr, Entry>,
    /// Those of the entries that stand in a bucket.
    buckets: Buckets,
    /// The others: what the application gave.
    given: Vec<SocketAddr>,
    /// At most [`COLLISIONS`]; nobody is in two.
    collisions: Vec<Collision>,
    /// The peers to begin with after the next start.
    anchors: Vec<SocketAddr>,
    /// Those of the last run that were not dialled yet in this one.
    first: Vec<SocketAddr>,
    /// Addresses that reached ourselves, until when.
    own: SortedMap<SocketAddr, Instant>,
    capacity: usize,
    backoff_base: Duration,
    backoff_max: Duration,
    backoff_urgent: Duration,
    own_address: Duration,
    #[cfg(peerline_planted)]
    planted: Option<crate::planted::Bug>,
}

impl Book {
    /// An empty book. `key` decides which address falls into which bucket, and is nobody's
    /// business.
    pub(crate) fn new(limits: &Limits, private_exempt: bool, key: (u64, u64)) -> Self {
        Self {
            entries: SortedMap::new(),
            buckets: Buckets::new(key, private_exempt),
            given: Vec::new(),
            collisions: Vec::new(),
            anchors: Vec::new(),
            first: Vec::new(),
            own: SortedMap::new(),
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

    pub(crate) fn contains(&self, addr: SocketAddr) -> bool {
        self.entries.contains_key(&canonical(addr))
    }

    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn get(&self, addr: SocketAddr) -> Option<&Entry> {
        self.entries.get(&canonical(addr))
    }

    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = (SocketAddr, &Entry)> {
        self.entries.iter().map(|(addr, entry)| (*addr, entry))
    }

    /// The peers to begin with after the next start.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn anchors(&self) -> &[SocketAddr] {
        &self.anchors
    }

    /// Sets them; the first two count.
    pub(crate) fn set_anchors(&mut self, mut anchors: Vec<SocketAddr>) {
        anchors.truncate(ANCHORS);
        self.anchors = anchors;
    }

    // ---- what is told ----

    /// Adds an address that is never given up. False if it is unusable or our own.
    pub(crate) fn add_bootstrap(&mut self, addr: SocketAddr, now: Instant, rng: &mut Rng) -> bool {
        let addr = canonical(addr);
        let known = self.add(addr, None, None, now, rng);
        if let Some(entry) = self.entries.get_mut(&addr).filter(|entry| !entry.is_given()) {
            let place = core::mem::replace(&mut entry.place, Place::Given);
            self.buckets.remove(place, addr);
            self.given.push(addr);
            self.collisions.retain(|collision| !collision.is_about(addr));
        }
        known
    }

    /// Adds an address that somebody at `source` told, or the application dials. False if it is
    /// unusable, our own, or there is no room.
    pub(crate) fn learn(
        &mut self,
        addr: SocketAddr,
        peer: Option<PeerId>,
        source: SocketAddr,
        now: Instant,
        rng: &mut Rng,
    ) -> bool {
        self.add(addr, peer, Some(source), now, rng)
    }

    /// `source` is who told it, if we know no better.
    fn add(
        &mut self,
        addr: SocketAddr,
        peer: Option<PeerId>,
        source: Option<SocketAddr>,
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
        let place = self.buckets.new_place(addr, source.unwrap_or(addr));
        if !self.has_room(place, source.is_some(), now, rng) {
            return false;
        }
        self.buckets.insert(place, addr);
        self.entries.insert(addr, Entry::new(peer, place, now));
        #[cfg(peerline_planted)]
        if let Some(entry) = self.entries.get_mut(&addr) {
            entry.proven |= self.planted == Some(crate::planted::Bug::TrustsTold);
        }
        true
    }

    /// Breaks off if tables and entries disagree.
    #[cfg(feature = "testing")]
    pub(crate) fn check_invariants(&self) {
        let mut standing: SortedMap<Place, usize> = SortedMap::new();
        for entry in self.entries.values() {
            standing.change(entry.place, |count| *count += 1);
        }
        let standing = |place| standing.get(&place).copied().unwrap_or_default();
        let is_at = |addr: &SocketAddr, place| {
            self.entries.get(addr).is_some_and(|entry| entry.place == place)
        };
        let new = self.buckets.new_table().iter().map(|(b, held)| (Place::New(*b), held));
        let tried = self.buckets.tried_table().iter().map(|(b, held)| (Place::Tried(*b), held));
        for (place, held) in new.chain(tried) {
            assert!(!held.is_empty() && held.len() <= buckets::BUCKET, "{place:?}: {held:?}");
            assert!(held.iter().all(|addr| is_at(addr, place)), "{place:?}: {held:?}");
            assert_eq!(held.len(), standing(place), "{place:?}");
        }
        assert!(self.given.iter().all(|addr| is_at(addr, Place::Given)));
        assert_eq!(self.given.len(), standing(Place::Given));
        let proven = |entry: &Entry| entry.proven || !matches!(entry.place, Place::Tried(_));
        assert!(self.entries.values().all(proven), "tried and not proven");
        assert!(self.entries.len() <= self.capacity);
        assert!(self.collisions.len() <= COLLISIONS && self.anchors.len() <= ANCHORS);
        for Collision { incumbent, challenger } in &self.collisions {
            let places =
                [incumbent, challenger].map(|addr| self.entries.get(addr).map(|e| e.place));
            assert!(matches!(places, [Some(Place::Tried(_)), Some(Place::New(_))]), "{places:?}");
        }
    }

    // ---- room ----

    /// Whether there is room in a bucket of `New`, made if need be.
    ///
    /// A full bucket gives of its own. A full book gives of its fullest buckets, which are those of
    /// whoever tells most.
    fn has_room(&mut self, place: Place, told: bool, now: Instant, rng: &mut Rng) -> bool {
        let is_full = self.buckets.is_full(place);
        #[cfg(peerline_planted)]
        let is_full = is_full && self.planted != Some(crate::planted::Bug::FullBucket);
        if is_full {
            return self.make_room(place, told, now, rng);
        }
        if self.entries.len() < self.capacity {
            return true;
        }
        let searched = if told { SEARCHED } else { usize::MAX };
        // What is sure displaces what rests only where nothing else is left.
        let fullest = self.buckets.fullest(searched);
        let spare = fullest.iter().any(|place| self.make_room(*place, true, now, rng));
        spare || (!told && fullest.iter().any(|place| self.make_room(*place, false, now, rng)))
    }

    /// Drops an address of this bucket that was never reached, at random but first of those that
    /// failed; for one that is sure also one that rests, the next to be tried, or at last the one
    /// longest silent.
    ///
    /// One that failed of late stays as long as it rests, for learned anew it would be dialled at
    /// once: whoever tells many addresses would have us knock at one of them again and again.
    fn make_room(&mut self, place: Place, told: bool, now: Instant, rng: &mut Rng) -> bool {
        let held = self.buckets.at(place).iter();
        let held: Vec<_> =
            held.filter_map(|addr| self.entries.get(addr).map(|entry| (*addr, entry))).collect();
        let spare = || held.iter().filter(|(_, entry)| entry.is_spare(now));
        let failed = || spare().filter(|(_, entry)| entry.failures > 0);
        let (spares, failures) = (spare().count(), failed().count());
        let choice = if failures == 0 { spares } else { failures };
        let index = usize::try_from(rng.below(choice as u64)).unwrap_or(0);
        let resting = held.iter().filter(|(_, entry)| !entry.proven);
        let resting = || resting.min_by_key(|(_, entry)| entry.not_before);
        let silent = || held.iter().min_by_key(|(_, entry)| entry.liveliness());
        let victim = match choice {
            0 if told => None,
            0 => resting().or_else(silent),
            _ if failures == 0 => spare().nth(index),
            _ => failed().nth(index),
        };
        let victim = victim.map(|(addr, _)| *addr);
        victim.is_some_and(|addr| self.remove(addr))
    }

    /// Forgets an address. False if it is unknown.
    fn remove(&mut self, addr: SocketAddr) -> bool {
        let Some(entry) = self.entries.remove(&addr) else { return false };
        self.buckets.remove(entry.place, addr);
        self.given.retain(|given| *given != addr);
        self.first.retain(|first| *first != addr);
        self.collisions.retain(|collision| !collision.is_about(addr));
        true
    }

    // ---- what became of dials ----

    /// The address is dialled; the dial is over by `until`.
    pub(crate) fn dialled(&mut self, addr: SocketAddr, until: Instant) {
        let addr = canonical(addr);
        self.first.retain(|first| *first != addr);
        if let Some(entry) = self.entries.get_mut(&addr) {
            entry.trying = Some(until);
        }
    }

    /// A dial of ours completed a hello with this peer.
    pub(crate) fn reached(&mut self, addr: SocketAddr, peer: &PeerId, now: Instant, rng: &mut Rng) {
        let addr = canonical(addr);
        self.add(addr, None, None, now, rng);
        let Some(entry) = self.entries.get_mut(&addr) else { return };
        entry.peer = Some(peer.clone());
        entry.proven = true;
        entry.linked = true;
        entry.alive = Some(now);
        entry.trying = None;
        entry.failures = 0;
        if core::mem::take(&mut entry.held) {
            // Somebody dialled in spite of it, and was welcome: the peace is over.
            entry.not_before = now;
        }
        self.collisions.retain(|collision| collision.incumbent != addr);
        self.promote(addr);
    }

    /// Moves a proven address from `New` to `Tried`, or has it wait for the test of another.
    fn promote(&mut self, addr: SocketAddr) {
        let place = self.buckets.tried_place(addr);
        if !self.buckets.is_full(place) {
            return self.move_to(place, addr);
        }
        let known =
            self.entries.get(&addr).is_none_or(|entry| !matches!(entry.place, Place::New(_)));
        let waits = self.collisions.iter().any(|collision| collision.is_about(addr));
        if known || waits || self.collisions.len() >= COLLISIONS {
            return;
        }
        let tested = |addr: SocketAddr| self.collisions.iter().any(|other| other.is_about(addr));
        let bucket = self.buckets.at(place).iter().filter(|addr| !tested(**addr));
        let entries = bucket.filter_map(|addr| self.entries.get(addr).map(|entry| (*addr, entry)));
        let silent = entries.filter(|(_, entry)| !entry.linked);
        let incumbent = silent.min_by_key(|(_, entry)| entry.liveliness()).map(|(addr, _)| addr);
        if let Some(incumbent) = incumbent {
            self.collisions.push(Collision { incumbent, challenger: addr });
        }
    }

    /// Moves an address into a bucket that has room, unless the application gave it or it is tried.
    fn move_to(&mut self, place: Place, addr: SocketAddr) {
        let Some(entry) = self.entries.get_mut(&addr) else { return };
        if let Place::New(_) = entry.place {
            let before = core::mem::replace(&mut entry.place, place);
            self.buckets.remove(before, addr);
            self.buckets.insert(place, addr);
        }
    }

    /// A dial failed.
    pub(crate) fn failed(&mut self, addr: SocketAddr, now: Instant, rng: &mut Rng) {
        let (addr, base, max) = (canonical(addr), self.backoff_base, self.backoff_max);
        let Some(entry) = self.entries.get_mut(&addr) else { return };
        entry.not_before = now + backoff::delay(entry.failures, base, max, rng);
        #[cfg(peerline_planted)]
        if self.planted == Some(crate::planted::Bug::NoBackoff) {
            entry.not_before = now;
        }
        entry.failures = entry.failures.saturating_add(1);
        entry.trying = None;
        entry.last_try = Some(now);
        entry.held = false;
        self.give_way(addr, now, rng);
    }

    /// An address of `Tried` whose place another wants has failed the test: they change places, as
    /// far as there is room.
    fn give_way(&mut self, addr: SocketAddr, now: Instant, rng: &mut Rng) {
        let test = self.collisions.iter().find(|collision| collision.incumbent == addr).copied();
        let Some(Collision { challenger, .. }) = test else { return };
        self.collisions.retain(|collision| collision.incumbent != addr);
        let Some(entry) = self.entries.get(&addr) else { return };
        let (tried, new) = (entry.place, self.buckets.new_place(addr, addr));
        self.buckets.remove(tried, addr);
        self.move_to(tried, challenger);
        if self.buckets.is_full(new) && !self.make_room(new, false, now, rng) {
            self.remove(addr);
            return;
        }
        self.buckets.insert(new, addr);
        if let Some(entry) = self.entries.get_mut(&addr) {
            entry.place = new;
        }
    }

    /// A connection that we dialled, with a peer that was up, ended; `alive` is when it was last
    /// heard.
    pub(crate) fn ended(&mut self, addr: SocketAddr, alive: Instant, now: Instant, rng: &mut Rng) {
        let delay = rng.jitter(self.backoff_base, 50);
        let Some(entry) = self.entries.get_mut(&canonical(addr)) else { return };
        entry.linked = false;
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
        self.remove(addr);
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
        let hurried = urgent && !entry.held && (entry.is_given() || entry.proven);
        let soonest = entry.last_try.map_or(entry.not_before, |tried| tried + self.backoff_urgent);
        if hurried { entry.not_before.min(soonest) } else { entry.not_before }
    }
}

impl Collision {
    fn is_about(&self, addr: SocketAddr) -> bool {
        self.incumbent == addr || self.challenger == addr
    }
}

#[cfg(test)]
mod tests;
