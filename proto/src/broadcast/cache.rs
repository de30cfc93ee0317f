//! Broadcasts kept for a while: to be pushed again to whoever missed them, and to be announced.
//!
//! A log in order of arrival, so that an announcement is a walk from where the last one ended, and
//! what is oldest goes first. Bounded by age and by bytes; when these are used up, by each link's
//! share of them, so that a flood over one link does not drive out what came over the others.

use alloc::collections::VecDeque;
use core::time::Duration;

use super::bits::{Bits, Index};
use crate::limits::Limits;
use crate::message::Frame;
use crate::rules::{Rules, TreeRule};
use crate::seen::StreamId;
use crate::sorted::SortedMap;
use crate::table::Table;
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
    /// In the order of their places. One that is driven out early leaves a gap in the numbers, and
    /// nothing in memory: else a flood over one link would make the log as long as it lasts.
    log: VecDeque<(u64, Entry)>,
    /// The place of the next one.
    end: u64,
    places: Places,
    /// Bytes charged for each link, and for ourselves.
    shares: Table<Option<Index>, usize>,
    charged: usize,
    capacity: usize,
    keep: Duration,
    rules: Rules,
}

impl Cache {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            log: VecDeque::new(),
            end: 0,
            places: Places::default(),
            shares: Table::default(),
            charged: 0,
            capacity: limits.cache,
            keep: limits.cache_for,
            rules: limits.rules(),
        }
    }

    #[cfg(test)]
    fn charged(&self) -> usize {
        self.charged
    }

    pub(crate) fn get_mut(&mut self, key: &Key) -> Option<&mut Entry> {
        let index = self.index_of(self.places.get(key)?);
        self.log.get_mut(index).map(|(_, entry)| entry)
    }

    /// Where in the log a place is, or the first one after it. There are few gaps.
    fn index_of(&self, place: u64) -> usize {
        let guess = usize::try_from(place.saturating_sub(self.start())).unwrap_or(usize::MAX);
        match self.log.get(guess) {
            Some((at, _)) if *at == place => guess,
            Some(_) | None => self.log.partition_point(|(at, _)| *at < place),
        }
    }

    /// The place of a broadcast, if it is kept.
    pub(crate) fn place(&self, key: &Key) -> Option<u64> {
        self.places.get(key)
    }

    /// The place after the newest entry.
    pub(crate) fn end(&self) -> u64 {
        self.end
    }

    /// The place of the oldest entry.
    pub(crate) fn start(&self) -> u64 {
        self.log.front().map_or(self.end, |(place, _)| *place)
    }

    /// The entries from a place on, each with its place.
    pub(crate) fn from(&self, place: u64) -> impl Iterator<Item = (u64, &Entry)> {
        self.log.iter().skip(self.index_of(place)).map(|(place, entry)| (*place, entry))
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
        let is_full = self.charged.saturating_add(cost) > self.capacity
            || !self.rules.has(TreeRule::ShareWhenFull);
        if is_full && from.is_some() {
            self.make_share_fit(from, cost);
        }
        while self.charged.saturating_add(cost) > self.capacity && !self.log.is_empty() {
            self.pop();
        }
        self.charged = self.charged.saturating_add(cost);
        self.charge(from, cost);
        self.places.insert(entry.key, self.end);
        self.log.push_back((self.end, entry));
        self.end = self.end.saturating_add(1);
    }

    /// Keeps a link within a quarter of the room, with so much more.
    fn make_share_fit(&mut self, from: Option<Index>, cost: usize) {
        let share = self.shares.get(&from).copied().unwrap_or_default();
        if share.saturating_add(cost) > self.capacity / 4 {
            self.shrink_share(from, (self.capacity / 4).saturating_sub(cost));
        }
    }

    /// Drops the oldest of one link until it is charged at most `allowed`.
    fn shrink_share(&mut self, from: Option<Index>, allowed: usize) {
        let mut over = self.shares.get(&from).copied().unwrap_or_default().saturating_sub(allowed);
        // An eighth more, so that a flood does not walk the log for each of its lines.
        over = over.saturating_add(self.capacity / 32);
        // In a burst over one link its lines are all there is: then nothing is moved.
        while over > 0 && self.log.front().is_some_and(|(_, first)| first.from == from) {
            over = over.saturating_sub(self.pop());
        }
        if over == 0 {
            return;
        }
        let (places, mut gone) = (&mut self.places, 0_usize);
        self.log.retain(|(_, entry)| {
            let stays = gone >= over || entry.from != from;
            if !stays {
                gone = gone.saturating_add(cost(entry));
                places.remove(&entry.key);
            }
            stays
        });
        self.discharge(from, gone);
    }

    /// Drops the oldest. Returns what it was charged.
    fn pop(&mut self) -> usize {
        let Some((_, entry)) = self.log.pop_front() else { return 0 };
        let cost = cost(&entry);
        self.places.remove(&entry.key);
        self.discharge(entry.from, cost);
        if self.log.is_empty() {
            self.log = VecDeque::new();
        }
        cost
    }

    /// Adds to what a link is charged.
    fn charge(&mut self, from: Option<Index>, bytes: usize) {
        match self.shares.get_mut(&from) {
            Some(share) => *share = share.saturating_add(bytes),
            None => self.shares.insert(from, bytes),
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
        self.log.front().map(|(_, entry)| entry.at)
    }

    /// A link is gone: its number may be another's from here on.
    pub(crate) fn forget(&mut self, index: Index) {
        for (_, entry) in &mut self.log {
            entry.have.clear(index);
            entry.from = entry.from.filter(|from| *from != index);
        }
        if let Some(share) = self.shares.remove(&Some(index)) {
            self.charge(None, share);
        }
    }
}

/// Where the entries lie, stream by stream.
#[derive(Clone, Debug, Default)]
#[cfg_attr(feature = "testing", derive(Hash))]
struct Places {
    /// No stream has none.
    streams: Table<StreamId, Numbers>,
}

impl Places {
    fn get(&self, (stream, seq): &Key) -> Option<u64> {
        self.streams.get(stream)?.get(*seq)
    }

    fn insert(&mut self, (stream, seq): Key, place: u64) {
        if let Some(numbers) = self.streams.get_mut(&stream) {
            return numbers.insert(seq, place);
        }
        let mut numbers = Numbers::default();
        numbers.insert(seq, place);
        self.streams.insert(stream, numbers);
    }

    fn remove(&mut self, (stream, seq): &Key) {
        let Some(numbers) = self.streams.get_mut(stream) else { return };
        numbers.remove(*seq);
        if numbers.is_empty() {
            self.streams.remove(stream);
        }
    }
}

/// The places of one stream by number. Nearly all come in order, and leave in order.
#[derive(Clone, Debug, Default)]
#[cfg_attr(feature = "testing", derive(Hash))]
struct Numbers {
    /// Those that came in order, each with its place; [`GONE`] once it was driven out early. The
    /// first is not gone, nor are more than half and [`ROOM`].
    ordered: VecDeque<(u64, u64)>,
    /// How many are gone.
    gone: usize,
    /// Those that came after a higher one.
    late: SortedMap<u64, u64>,
}

/// In place of a place.
const GONE: u64 = u64::MAX;
/// Numbers for which memory is kept, however few there are.
const ROOM: usize = 64;

impl Numbers {
    fn is_empty(&self) -> bool {
        self.ordered.is_empty() && self.late.is_empty()
    }

    fn get(&self, seq: u64) -> Option<u64> {
        let found = self.ordered.binary_search_by_key(&seq, |(seq, _)| *seq).ok();
        let found = found.and_then(|index| self.ordered.get(index)).map(|(_, place)| *place);
        found.filter(|place| *place != GONE).or_else(|| self.late.get(&seq).copied())
    }

    fn insert(&mut self, seq: u64, place: u64) {
        match self.ordered.back() {
            Some((last, _)) if *last >= seq => {
                self.late.insert(seq, place);
            }
            Some(_) | None => self.ordered.push_back((seq, place)),
        }
    }

    fn remove(&mut self, seq: u64) {
        match self.ordered.front() {
            Some((first, _)) if *first == seq => self.remove_first(),
            Some(_) | None => self.remove_early(seq),
        }
    }

    fn remove_first(&mut self) {
        self.ordered.pop_front();
        while self.ordered.front().is_some_and(|(_, place)| *place == GONE) {
            self.ordered.pop_front();
            self.gone = self.gone.saturating_sub(1);
        }
        self.shrink();
    }

    fn shrink(&mut self) {
        let capacity = self.ordered.capacity();
        if capacity > ROOM && self.ordered.len() < capacity / 4 {
            self.ordered.shrink_to(capacity / 2);
        }
    }

    fn remove_early(&mut self, seq: u64) {
        let found = self.ordered.binary_search_by_key(&seq, |(seq, _)| *seq).ok();
        match found.and_then(|index| self.ordered.get_mut(index)) {
            Some((_, place)) if *place != GONE => {
                *place = GONE;
                self.gone = self.gone.saturating_add(1);
            }
            Some(_) | None => {
                self.late.remove(&seq);
            }
        }
        if self.gone > ROOM && self.gone > self.ordered.len() / 2 {
            self.ordered.retain(|(_, place)| *place != GONE);
            self.gone = 0;
            self.shrink();
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
    use alloc::collections::BTreeMap;
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
        let live = |numbers: &Numbers| {
            let ordered = numbers.ordered.iter().filter(|(_, place)| *place != GONE);
            ordered.count() + numbers.late.len()
        };
        (streams.iter().map(|(_, numbers)| live(numbers)).sum(), streams.len())
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
    fn a_flood_over_one_link_leaves_nothing_behind_what_came_before_it() {
        let mut cache = cache();
        cache.insert(entry(1, Some(1), at(0)));
        for seq in 2..=20_000 {
            let mut other = entry(seq, Some(2), at(0));
            // Numbers of the same stream, and of one that has no others.
            other.key.0.1 = 7 + u32::try_from(seq % 2).unwrap();
            cache.insert(other);
        }
        assert_eq!(kept(&cache).first(), Some(&1), "its quarter is its own");
        let room = |cache: &Cache| {
            let streams = cache.places.streams.iter().map(|(_, of)| of.ordered.capacity());
            (cache.log.capacity(), streams.max().unwrap())
        };
        assert!(room(&cache).0 <= 128 && room(&cache).1 <= 4 * ROOM, "{:?}", room(&cache));
        for (place, seq) in [(0, 1), (19_999, 20_000)] {
            let key = (if seq == 1 { stream() } else { (stream().0, 7) }, seq);
            assert_eq!(cache.place(&key), Some(place));
            assert_eq!(cache.get_mut(&key).unwrap().key, key);
        }
        assert_eq!(cache.from(19_990).next().unwrap().0, 19_990);
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
    fn places_are_found_in_whatever_order_they_come_and_go() {
        let mut rng = crate::rng::Rng::new([6; 32]);
        let (mut numbers, mut model) = (Numbers::default(), BTreeMap::new());
        for place in 0..20_000 {
            // Mostly in order, as from a publisher; the first go first, as they grow old.
            let late = rng.below(8) == 0;
            let seq = if late { rng.below(20_000) } else { place };
            model.entry(seq).or_insert_with(|| {
                numbers.insert(seq, place);
                place
            });
            let first = model.keys().next().copied();
            let some = rng.below(20_000);
            for gone in first.filter(|_| model.len() > 1000).into_iter().chain([some]) {
                numbers.remove(gone);
                model.remove(&gone);
            }
            for seq in [seq, some, rng.below(20_000)] {
                assert_eq!(numbers.get(seq), model.get(&seq).copied(), "{seq}");
            }
        }
        while let Some((seq, _)) = model.pop_first() {
            numbers.remove(seq);
        }
        assert!(numbers.is_empty() && numbers.ordered.capacity() <= ROOM);
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
