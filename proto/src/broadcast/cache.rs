//! Broadcasts kept for a while: to be pushed again to whoever missed them, and to be announced.
//!
//! A log in order of arrival, so that an announcement is a walk from where the last one ended, and
//! what is oldest goes first. Bounded by age and by bytes; when these are used up, by each link's
//! share of them, so that a flood over one link does not drive out what came over the others.

use alloc::collections::{BTreeMap, VecDeque};
use core::time::Duration;

use super::bits::{Bits, Index};
use crate::limits::Limits;
use crate::message::Frame;
use crate::rules::{Rules, TreeRule};
use crate::seen::StreamId;
use crate::time::Instant;

/// What keeping one broadcast costs beyond its line.
pub(crate) const ENTRY_COST: usize = 256;

/// A broadcast: whose it is, and its number there.
pub(crate) type Key = (StreamId, u64);

/// One broadcast that is kept.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "testing", derive(Hash))]
pub(crate) struct Entry {
    pub(crate) key: Key,
    pub(crate) frame: Frame,
    /// When it came.
    pub(crate) at: Instant,
    /// By which link it came; none for our own.
    pub(crate) from: Option<Index>,
    /// The links that are known to have it: it came from them, was pushed to them, or they said so.
    pub(crate) have: Bits,
}

/// The log.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "testing", derive(Hash))]
pub(crate) struct Cache {
    /// An entry that was driven out early leaves its place empty.
    log: VecDeque<Option<Entry>>,
    /// The place of the first entry of `log`.
    first: u64,
    places: Places,
    /// Bytes charged for each link, and for ourselves.
    shares: BTreeMap<Option<Index>, usize>,
    charged: usize,
    capacity: usize,
    keep: Duration,
    rules: Rules,
}

impl Cache {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            log: VecDeque::new(),
            first: 0,
            places: Places::default(),
            shares: BTreeMap::new(),
            charged: 0,
            capacity: limits.cache,
            keep: limits.cache_for,
            rules: Rules::of(limits),
        }
    }

    #[cfg(test)]
    fn charged(&self) -> usize {
        self.charged
    }

    pub(crate) fn get_mut(&mut self, key: &Key) -> Option<&mut Entry> {
        let index = self.places.get(key)?.checked_sub(self.first)?;
        self.log.get_mut(usize::try_from(index).ok()?)?.as_mut()
    }

    /// The place of a broadcast, if it is kept.
    pub(crate) fn place(&self, key: &Key) -> Option<u64> {
        self.places.get(key)
    }

    /// The place after the newest entry.
    pub(crate) fn end(&self) -> u64 {
        self.first.saturating_add(self.log.len() as u64)
    }

    /// The place of the oldest entry.
    pub(crate) fn start(&self) -> u64 {
        self.first
    }

    /// The entries from a place on, each with its place.
    pub(crate) fn from(&self, place: u64) -> impl Iterator<Item = (u64, &Entry)> {
        let start = place.max(self.first);
        let skip = usize::try_from(start.saturating_sub(self.first)).unwrap_or(usize::MAX);
        let rest = self.log.iter().skip(skip);
        (start..).zip(rest).filter_map(|(place, entry)| Some((place, entry.as_ref()?)))
    }

    /// Keeps a broadcast. Without room, what came by the same link gives way if that has more than
    /// a quarter of it, the oldest otherwise. With room nothing does: in a burst most streams may
    /// come over one link, and a quarter would hold them for less time than repair takes.
    pub(crate) fn insert(&mut self, entry: Entry) {
        let (cost, from) = (cost(&entry), entry.from);
        if cost > self.capacity / 4 && from.is_some() || cost > self.capacity {
            return;
        }
        self.expire(entry.at);
        let share = self.shares.get(&from).copied().unwrap_or_default();
        let is_full = self.charged.saturating_add(cost) > self.capacity
            || !self.rules.has(TreeRule::ShareWhenFull);
        if is_full && from.is_some() && share.saturating_add(cost) > self.capacity / 4 {
            self.shrink_share(from, (self.capacity / 4).saturating_sub(cost));
        }
        while self.charged.saturating_add(cost) > self.capacity && !self.log.is_empty() {
            self.pop();
        }
        self.charged = self.charged.saturating_add(cost);
        let share = self.shares.entry(from).or_default();
        *share = share.saturating_add(cost);
        self.places.insert(entry.key, self.end());
        self.log.push_back(Some(entry));
    }

    /// Drops the oldest of one link until it is charged at most `allowed`.
    fn shrink_share(&mut self, from: Option<Index>, allowed: usize) {
        let mut over = self.shares.get(&from).copied().unwrap_or_default().saturating_sub(allowed);
        // An eighth more, so that a flood does not walk the log for each of its lines.
        over = over.saturating_add(self.capacity / 32);
        let mut gone = 0_usize;
        for slot in &mut self.log {
            if gone >= over {
                break;
            }
            if let Some(entry) = slot.take_if(|entry| entry.from == from) {
                gone = gone.saturating_add(cost(&entry));
                self.places.remove(&entry.key);
            }
        }
        self.discharge(from, gone);
        while self.log.front().is_some_and(Option::is_none) {
            self.pop();
        }
    }

    fn pop(&mut self) {
        let Some(slot) = self.log.pop_front() else { return };
        self.first = self.first.saturating_add(1);
        if let Some(entry) = slot {
            self.places.remove(&entry.key);
            self.discharge(entry.from, cost(&entry));
        }
        if self.log.is_empty() {
            self.log = VecDeque::new();
        }
    }

    fn discharge(&mut self, from: Option<Index>, bytes: usize) {
        self.charged = self.charged.saturating_sub(bytes);
        if let Some(share) = self.shares.get_mut(&from) {
            *share = share.saturating_sub(bytes);
            if *share == 0 {
                self.shares.remove(&from);
            }
        }
    }

    /// Drops what is too old.
    pub(crate) fn expire(&mut self, now: Instant) {
        while self.oldest().is_some_and(|at| now.saturating_since(at) >= self.keep) {
            self.pop();
        }
    }

    /// When something will be too old.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        Some(self.oldest()? + self.keep)
    }

    fn oldest(&self) -> Option<Instant> {
        // The first is never an empty place.
        self.log.front()?.as_ref().map(|entry| entry.at)
    }

    /// A link is gone: its number may be another's from here on.
    pub(crate) fn forget(&mut self, index: Index) {
        for entry in self.log.iter_mut().flatten() {
            entry.have.clear(index);
            entry.from = entry.from.filter(|from| *from != index);
        }
        if let Some(share) = self.shares.remove(&Some(index)) {
            let own = self.shares.entry(None).or_default();
            *own = own.saturating_add(share);
        }
    }
}

/// Where the entries lie. Stream by stream, so that most comparisons are of two numbers: each
/// broadcast enters here and leaves.
#[derive(Clone, Debug, Default)]
#[cfg_attr(feature = "testing", derive(Hash))]
struct Places {
    /// No stream has none.
    streams: BTreeMap<StreamId, BTreeMap<u64, u64>>,
}

impl Places {
    fn get(&self, (stream, seq): &Key) -> Option<u64> {
        self.streams.get(stream)?.get(seq).copied()
    }

    fn insert(&mut self, (stream, seq): Key, place: u64) {
        self.streams.entry(stream).or_default().insert(seq, place);
    }

    fn remove(&mut self, (stream, seq): &Key) {
        let Some(places) = self.streams.get_mut(stream) else { return };
        places.remove(seq);
        if places.is_empty() {
            self.streams.remove(stream);
        }
    }
}

fn cost(entry: &Entry) -> usize {
    entry.frame.len().saturating_add(ENTRY_COST)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::id::NodeId;
    use alloc::vec::Vec;

    fn at(millis: u64) -> Instant {
        Instant::ZERO + Duration::from_millis(millis)
    }

    fn stream() -> StreamId {
        (NodeId::from_random_bytes([1; 16]), 7)
    }

    fn entry(seq: u64, from: Option<Index>, now: Instant) -> Entry {
        let frame = Frame::new(&alloc::format!("{}\n", "x".repeat(743)));
        Entry { key: (stream(), seq), frame, at: now, from, have: Bits::default() }
    }

    fn cache() -> Cache {
        Cache::new(&Limits { cache: 64_000, ..Limits::default() })
    }

    /// How many have a place, and of how many streams.
    fn places(cache: &Cache) -> (usize, usize) {
        let streams = &cache.places.streams;
        (streams.values().map(BTreeMap::len).sum(), streams.len())
    }

    fn kept(cache: &Cache) -> Vec<u64> {
        cache.from(0).map(|(_, entry)| entry.key.1).collect()
    }

    #[test]
    fn the_oldest_goes_when_there_is_no_room() {
        let mut cache = cache();
        (1..=100).for_each(|seq| cache.insert(entry(seq, None, at(seq))));
        assert_eq!(kept(&cache), (37..=100).collect::<Vec<u64>>());
        assert_eq!((cache.charged(), cache.start(), cache.end()), (64_000, 36, 100));
        assert_eq!(places(&cache), (64, 1));
        assert!(cache.get_mut(&(stream(), 36)).is_none());
        assert!(cache.get_mut(&(stream(), 37)).is_some());
    }

    #[test]
    fn without_room_one_link_keeps_a_quarter_and_the_rest_stays() {
        let mut cache = cache();
        (1..=10).for_each(|seq| cache.insert(entry(seq, Some(1), at(seq))));
        (101..=150).for_each(|seq| cache.insert(entry(seq, Some(2), at(seq))));
        assert_eq!(kept(&cache).len(), 60, "as long as there is room all stay");
        (151..=1000).for_each(|seq| cache.insert(entry(seq, Some(2), at(seq))));
        let (one, two): (Vec<u64>, Vec<u64>) = kept(&cache).into_iter().partition(|seq| *seq < 100);
        assert_eq!(one.len(), 10);
        assert!((12..=54).contains(&two.len()) && two.last() == Some(&1000), "{two:?}");
        assert!(cache.get_mut(&(stream(), 1000)).is_some());
        cache.forget(2);
        assert!(cache.from(0).all(|(_, entry)| entry.from != Some(2)));
    }

    #[test]
    fn what_is_too_old_goes_by_itself() {
        let mut cache = cache();
        cache.insert(entry(1, None, at(0)));
        cache.insert(entry(2, None, at(10)));
        assert_eq!(cache.next_deadline(), Some(at(30_000)));
        cache.expire(at(30_000));
        assert_eq!((kept(&cache), cache.next_deadline()), (Vec::from([2]), Some(at(30_010))));
        cache.expire(at(99_000));
        assert_eq!((cache.charged(), cache.next_deadline()), (0, None));
        assert_eq!(places(&cache), (0, 0));
    }

    #[test]
    fn a_line_over_the_share_is_not_kept() {
        let mut cache = Cache::new(&Limits { cache: 3000, ..Limits::default() });
        cache.insert(entry(1, Some(1), at(0)));
        assert_eq!(cache.charged(), 0);
        cache.insert(entry(1, None, at(0)));
        assert_eq!(cache.charged(), 1000);
    }
}
