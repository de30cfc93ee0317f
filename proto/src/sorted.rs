//! Ordered maps and sets, small in code: entries lie sorted in chunks of a few KiB.
//!
//! The node holds some sixty kinds of them, and a balanced tree is compiled anew for each: half of
//! what it takes to build the core. These are searched twice by halves, for the chunk and in it. To
//! put in or take out moves at most a chunk, and now and then the list of chunks.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::borrow::Borrow;
use core::cmp::Ordering;
use core::fmt;
use core::iter;
use core::mem;
use core::ops::RangeInclusive;
use core::slice;

/// Values by key, in the order of the keys.
#[derive(Clone)]
pub(crate) struct SortedMap<K, V> {
    /// The first chunk, and mostly the only one.
    first: Vec<(K, V)>,
    /// If it is not the only one.
    more: Option<Box<More<K, V>>>,
}

#[derive(Clone)]
struct More<K, V> {
    /// The other chunks. None is longer than `ROOM` or empty, and two neighbours, the first chunk
    /// among them, hold more than `FEW`.
    chunks: Vec<Vec<(K, V)>>,
    /// How many entries there are in all chunks, the first one included.
    len: usize,
}

/// Where an entry is, or would be: its chunk, the first being 0, and its place there.
type Place = (usize, usize);

impl<K, V> SortedMap<K, V> {
    /// The most entries in a chunk: 4 KiB of them, but never so few that there are many chunks.
    const ROOM: usize = {
        let room = 4096 / size_of::<(K, V)>();
        if room < 16 {
            16
        } else if room > 64 {
            64
        } else {
            room
        }
    };
    /// Two chunks that hold no more become one, with room left.
    const FEW: usize = Self::ROOM - Self::ROOM / 8;

    pub(crate) const fn new() -> Self {
        Self { first: Vec::new(), more: None }
    }

    pub(crate) fn len(&self) -> usize {
        match &self.more {
            Some(more) => more.len,
            None => self.first.len(),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.first.is_empty()
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::new();
    }

    pub(crate) fn iter(&self) -> Iter<'_, K, V> {
        Iter { entries: self.first.iter(), chunks: self.others().iter() }
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = &K> {
        self.iter().map(|(key, _)| key)
    }

    pub(crate) fn values(&self) -> impl Iterator<Item = &V> {
        self.iter().map(|(_, value)| value)
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (&K, &mut V)> {
        let others = self.more.iter_mut().flat_map(|more| &mut more.chunks);
        let entries = self.first.iter_mut().chain(others.flatten());
        entries.map(|(key, value)| (&*key, value))
    }

    pub(crate) fn values_mut(&mut self) -> impl Iterator<Item = &mut V> {
        self.iter_mut().map(|(_, value)| value)
    }

    pub(crate) fn first_key_value(&self) -> Option<(&K, &V)> {
        self.first.first().map(|(key, value)| (key, value))
    }

    pub(crate) fn last_key_value(&self) -> Option<(&K, &V)> {
        self.others().last().unwrap_or(&self.first).last().map(|(key, value)| (key, value))
    }

    pub(crate) fn pop_first(&mut self) -> Option<(K, V)> {
        self.take((0, 0))
    }

    pub(crate) fn retain(&mut self, mut keep: impl FnMut(&K, &mut V) -> bool) {
        let mut keep_of = |chunk: &mut Vec<(K, V)>| {
            chunk.retain_mut(|(key, value)| keep(key, value));
            shrink(chunk);
        };
        keep_of(&mut self.first);
        let Some(more) = &mut self.more else { return };
        more.chunks.iter_mut().for_each(keep_of);
        more.chunks.dedup_by(|next, one| Self::join(one, next));
        more.len = self.first.len() + more.chunks.iter().map(Vec::len).sum::<usize>();
        self.join_at(0);
    }

    fn others(&self) -> &[Vec<(K, V)>] {
        match &self.more {
            Some(more) => &more.chunks,
            None => &[],
        }
    }

    fn chunk(&self, chunk: usize) -> Option<&Vec<(K, V)>> {
        match chunk.checked_sub(1) {
            None => Some(&self.first),
            Some(other) => self.others().get(other),
        }
    }

    fn chunk_mut(&mut self, chunk: usize) -> Option<&mut Vec<(K, V)>> {
        match chunk.checked_sub(1) {
            None => Some(&mut self.first),
            Some(other) => self.more.as_mut()?.chunks.get_mut(other),
        }
    }

    fn put(&mut self, (chunk, at): Place, entry: (K, V)) {
        let is_last = chunk == self.others().len();
        let Some(entries) = self.chunk_mut(chunk) else { return };
        if entries.len() < Self::ROOM {
            entries.insert(at, entry);
        } else {
            // What grows at its end leaves full chunks behind.
            let half = if is_last && at == Self::ROOM { at } else { Self::ROOM / 2 };
            let mut rest = entries.split_off(half);
            match at.checked_sub(half) {
                Some(at) => rest.insert(at, entry),
                None => entries.insert(at, entry),
            }
            match &mut self.more {
                Some(more) => more.chunks.insert(chunk, rest),
                None => {
                    let (chunks, len) = (Vec::from([rest]), Self::ROOM);
                    self.more = Some(Box::new(More { chunks, len }));
                }
            }
        }
        if let Some(more) = &mut self.more {
            more.len += 1;
        }
    }

    fn take(&mut self, (chunk, at): Place) -> Option<(K, V)> {
        let entries = self.chunk_mut(chunk)?;
        let entry = (at < entries.len()).then(|| entries.remove(at))?;
        shrink(entries);
        if let Some(more) = &mut self.more {
            more.len -= 1;
            self.join_at(chunk);
            self.join_at(chunk.saturating_sub(1));
        }
        Some(entry)
    }

    /// Makes one of a chunk and the next, if they are small.
    fn join_at(&mut self, chunk: usize) {
        let Some(more) = &mut self.more else { return };
        let Some((before, after)) = more.chunks.split_at_mut_checked(chunk) else { return };
        let one = before.last_mut().unwrap_or(&mut self.first);
        if after.first_mut().is_some_and(|next| Self::join(one, next)) {
            more.chunks.remove(chunk);
        }
        if more.chunks.is_empty() {
            self.more = None;
        }
    }

    /// Puts all into one, if they are small.
    fn join(one: &mut Vec<(K, V)>, next: &mut Vec<(K, V)>) -> bool {
        let small = one.is_empty() || next.is_empty() || one.len() + next.len() <= Self::FEW;
        if small {
            one.append(next);
        }
        small
    }
}

impl<K: Ord, V> SortedMap<K, V> {
    /// Where the key is, or else where it would be.
    fn find<Q: Ord + ?Sized>(&self, key: &Q) -> Result<Place, Place>
    where
        K: Borrow<Q>,
    {
        let begin = |chunk: &Vec<(K, V)>| match chunk.first() {
            Some((first, _)) => first.borrow().cmp(key),
            None => Ordering::Less,
        };
        let chunk = match search(self.others(), begin) {
            Ok(other) => return Ok((other + 1, 0)),
            Err(chunk) => chunk,
        };
        let Some(entries) = self.chunk(chunk) else { return Err((chunk, 0)) };
        match search(entries, |(known, _)| known.borrow().cmp(key)) {
            Ok(at) => Ok((chunk, at)),
            Err(at) => Err((chunk, at)),
        }
    }

    pub(crate) fn contains_key<Q: Ord + ?Sized>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
    {
        !self.is_empty() && self.find(key).is_ok()
    }

    pub(crate) fn get<Q: Ord + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        if self.is_empty() {
            return None; // without a search, as most are empty mostly
        }
        let (chunk, at) = self.find(key).ok()?;
        self.chunk(chunk)?.get(at).map(|(_, value)| value)
    }

    pub(crate) fn get_mut<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        let (chunk, at) = self.find(key).ok()?;
        self.chunk_mut(chunk)?.get_mut(at).map(|(_, value)| value)
    }

    /// Changes the value of a key that has the default one before, if it has none.
    pub(crate) fn change<R>(&mut self, key: K, change: impl FnOnce(&mut V) -> R) -> R
    where
        V: Default,
    {
        if let Some(value) = self.get_mut(&key) {
            return change(value);
        }
        let mut value = V::default();
        let result = change(&mut value);
        self.insert(key, value);
        result
    }

    /// Gives back the value that the key had before.
    pub(crate) fn insert(&mut self, key: K, value: V) -> Option<V> {
        let entries = self.others().last().unwrap_or(&self.first);
        let found = match entries.last() {
            Some((last, _)) if key <= *last => self.find(&key),
            // What comes in order needs no search.
            Some(_) | None => Err((self.others().len(), entries.len())),
        };
        match found {
            Ok((chunk, at)) => {
                let (_, known) = self.chunk_mut(chunk)?.get_mut(at)?;
                Some(mem::replace(known, value))
            }
            Err(place) => {
                self.put(place, (key, value));
                None
            }
        }
    }

    pub(crate) fn remove<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        self.remove_entry(key).map(|(_, value)| value)
    }

    pub(crate) fn remove_entry<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<(K, V)>
    where
        K: Borrow<Q>,
    {
        let place = self.find(key).ok()?;
        self.take(place)
    }

    /// The entries from one key to another, both included.
    pub(crate) fn range(&self, keys: RangeInclusive<K>) -> impl Iterator<Item = (&K, &V)> {
        let (Ok((chunk, at)) | Err((chunk, at))) = self.find(keys.start());
        let entries = self.chunk(chunk).and_then(|entries| entries.get(at..)).unwrap_or_default();
        let (entries, chunks) =
            (entries.iter(), self.others().get(chunk..).unwrap_or_default().iter());
        Iter { entries, chunks }.take_while(move |(key, _)| *key <= keys.end())
    }
}

/// The place of an item among others in order, or else where it would be.
fn search<T>(items: &[T], compare: impl Fn(&T) -> Ordering) -> Result<usize, usize> {
    let (mut from, mut to) = (0, items.len());
    while from < to {
        let middle = usize::midpoint(from, to);
        let Some(item) = items.get(middle) else { break };
        match compare(item) {
            Ordering::Less => from = middle + 1,
            Ordering::Equal => return Ok(middle),
            Ordering::Greater => to = middle,
        }
    }
    Err(from)
}

/// Gives memory back of which less than a third is used; not that of a few entries.
fn shrink<T>(entries: &mut Vec<T>) {
    if entries.len() < entries.capacity() / 3 && entries.capacity() > 4 {
        entries.shrink_to(entries.len() * 2);
    }
}

/// Entries in order.
pub(crate) struct Iter<'a, K, V> {
    entries: slice::Iter<'a, (K, V)>,
    chunks: slice::Iter<'a, Vec<(K, V)>>,
}

impl<'a, K, V> Iterator for Iter<'a, K, V> {
    type Item = (&'a K, &'a V);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some((key, value)) = self.entries.next() {
                return Some((key, value));
            }
            self.entries = self.chunks.next()?.iter();
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.chunks.as_slice().iter().map(Vec::len).sum::<usize>() + self.entries.len();
        (left, Some(left))
    }
}

impl<K, V> ExactSizeIterator for Iter<'_, K, V> {}

impl<K, V> Default for SortedMap<K, V> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K: fmt::Debug, V: fmt::Debug> fmt::Debug for SortedMap<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

/// What is in it counts, not where it lies.
impl<K: PartialEq, V: PartialEq> PartialEq for SortedMap<K, V> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

#[cfg(feature = "testing")]
impl<K: core::hash::Hash, V: core::hash::Hash> core::hash::Hash for SortedMap<K, V> {
    fn hash<H: core::hash::Hasher>(&self, state: &mut H) {
        self.len().hash(state);
        self.iter().for_each(|entry| entry.hash(state));
    }
}

impl<K: Ord, V> Extend<(K, V)> for SortedMap<K, V> {
    fn extend<I: IntoIterator<Item = (K, V)>>(&mut self, entries: I) {
        for (key, value) in entries {
            self.insert(key, value);
        }
    }
}

impl<K: Ord, V> FromIterator<(K, V)> for SortedMap<K, V> {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(entries: I) -> Self {
        let mut map = Self::new();
        map.extend(entries);
        map
    }
}

impl<K, V> IntoIterator for SortedMap<K, V> {
    type Item = (K, V);
    type IntoIter = iter::Flatten<alloc::vec::IntoIter<Vec<(K, V)>>>;

    fn into_iter(self) -> Self::IntoIter {
        let mut chunks = self.more.map_or_else(Vec::new, |more| more.chunks);
        chunks.insert(0, self.first);
        chunks.into_iter().flatten()
    }
}

/// What is in it, in order.
#[derive(Clone, PartialEq)]
#[cfg_attr(feature = "testing", derive(Hash))]
pub(crate) struct SortedSet<T> {
    entries: SortedMap<T, ()>,
}

impl<T> SortedSet<T> {
    pub(crate) const fn new() -> Self {
        Self { entries: SortedMap::new() }
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.entries.iter().map(|(item, ())| item)
    }

    /// From the last to the first.
    pub(crate) fn iter_back(&self) -> impl Iterator<Item = &T> {
        let chunks = self.entries.others().iter().rev().chain([&self.entries.first]);
        chunks.flat_map(|chunk| chunk.iter().rev()).map(|(item, ())| item)
    }

    pub(crate) fn first(&self) -> Option<&T> {
        self.entries.first_key_value().map(|(item, ())| item)
    }

    pub(crate) fn pop_first(&mut self) -> Option<T> {
        self.entries.pop_first().map(|(item, ())| item)
    }

    pub(crate) fn clear(&mut self) {
        self.entries.clear();
    }

    pub(crate) fn retain(&mut self, mut keep: impl FnMut(&T) -> bool) {
        self.entries.retain(|item, ()| keep(item));
    }
}

impl<T: Ord> SortedSet<T> {
    pub(crate) fn contains<Q: Ord + ?Sized>(&self, item: &Q) -> bool
    where
        T: Borrow<Q>,
    {
        self.entries.contains_key(item)
    }

    /// False if it is in it already.
    pub(crate) fn insert(&mut self, item: T) -> bool {
        self.entries.insert(item, ()).is_none()
    }

    /// Whether it was in it.
    pub(crate) fn remove<Q: Ord + ?Sized>(&mut self, item: &Q) -> bool
    where
        T: Borrow<Q>,
    {
        self.entries.remove(item).is_some()
    }
}

impl<T> Default for SortedSet<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: fmt::Debug> fmt::Debug for SortedSet<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

impl<T: Ord> Extend<T> for SortedSet<T> {
    fn extend<I: IntoIterator<Item = T>>(&mut self, items: I) {
        for item in items {
            self.insert(item);
        }
    }
}

impl<T: Ord> FromIterator<T> for SortedSet<T> {
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Self {
        let mut set = Self::new();
        set.extend(items);
        set
    }
}

impl<T: Ord, const N: usize> From<[T; N]> for SortedSet<T> {
    fn from(items: [T; N]) -> Self {
        items.into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;
    use alloc::collections::BTreeMap;

    type Map = SortedMap<u64, u64>;

    fn check(map: &Map, model: &BTreeMap<u64, u64>) {
        assert_eq!((map.len(), map.iter().len()), (model.len(), model.len()));
        assert!(map.iter().eq(model) && map.is_empty() == model.is_empty());
        let chunks: Vec<&Vec<(u64, u64)>> = iter::once(&map.first).chain(map.others()).collect();
        let held: usize = chunks.iter().map(|chunk| chunk.capacity()).sum();
        assert!(held <= 4 + 3 * map.len(), "{held} places for {}", map.len());
        assert!(chunks.iter().all(|chunk| chunk.len() <= Map::ROOM));
        let is_apart = |one: &Vec<_>, next: &Vec<_>| one.len() + next.len() > Map::FEW;
        assert!(chunks.iter().zip(map.others()).all(|(one, next)| is_apart(one, next)));
        assert!(
            !map.others().iter().any(Vec::is_empty) && map.first.is_empty() == model.is_empty()
        );
    }

    /// Does something with one of so many keys to both of them.
    fn step((map, model): (&mut Map, &mut BTreeMap<u64, u64>), keys: u64, rng: &mut Rng) {
        let (key, value) = (rng.below(keys), rng.below(1000));
        match rng.below(7) {
            0 | 1 => assert_eq!(map.insert(key, value), model.insert(key, value)),
            2 => assert_eq!(map.remove(&key), model.remove(&key)),
            3 => assert_eq!(map.get_mut(&key), model.get_mut(&key)),
            4 => {
                map.change(key, |known| *known += value);
                *model.entry(key).or_default() += value;
            }
            5 => {
                let to = key + value;
                assert!(map.range(key..=to).eq(model.range(key..=to)));
            }
            _ => assert_eq!(map.get(&key), model.get(&key)),
        }
    }

    #[test]
    fn it_is_the_map_that_it_stands_for() {
        for keys in [5, 300, 3000] {
            let mut rng = Rng::new([5; 32]);
            let (mut map, mut model) = (SortedMap::new(), BTreeMap::new());
            for _ in 0..keys * 4 {
                step((&mut map, &mut model), keys, &mut rng);
                check(&map, &model);
            }
            let some = rng.below(7) + 2;
            map.retain(|key, _| key % some != 0);
            model.retain(|key, _| key % some != 0);
            check(&map, &model);
            assert_eq!(map.last_key_value(), model.last_key_value());
            for key in (0..keys).map(|_| rng.below(keys)) {
                assert_eq!(map.remove(&key), model.remove(&key));
                check(&map, &model);
            }
            while !model.is_empty() {
                let key = rng.below(keys);
                assert_eq!(map.remove_entry(&key), model.remove_entry(&key));
                assert_eq!(map.first_key_value(), model.first_key_value());
                assert_eq!(map.pop_first(), model.pop_first());
                check(&map, &model);
            }
            assert_eq!(map.pop_first(), None);
        }
    }

    #[test]
    fn what_comes_in_order_fills_the_chunks() {
        let map: Map = (0..1000).map(|key| (key, key)).collect();
        assert_eq!(map.others().len(), 1000 / Map::ROOM);
        assert_eq!(map.first.len(), Map::ROOM);
        assert!(map.into_iter().eq((0..1000).map(|key| (key, key))));
    }

    #[test]
    fn what_few_are_kept_of_lies_together() {
        let mut map: Map = (0..1000).map(|key| (key, key)).collect();
        map.retain(|key, _| key % 100 == 0);
        check(&map, &(0..10).map(|key| (key * 100, key * 100)).collect());
        assert_eq!(map.others().len(), 0);
        map.retain(|_, _| false);
        check(&map, &BTreeMap::new());
    }

    #[test]
    fn a_set_counts_what_is_in_it() {
        let mut set = SortedSet::from([3, 1, 2, 3]);
        assert_eq!((set.len(), set.contains(&3), set.contains(&4)), (3, true, false));
        assert!(set.iter().eq(&[1, 2, 3]) && set.iter_back().eq(&[3, 2, 1]));
        assert_eq!((set.insert(1), set.insert(4)), (false, true));
        assert_eq!((set.remove(&2), set.remove(&2), set.pop_first()), (true, false, Some(1)));
        set.retain(|item| *item > 3);
        assert_eq!((set.first(), &set), (Some(&4), &SortedSet::from([4])));
        set.clear();
        assert!(set.is_empty() && set != SortedSet::from([4]));
    }
}
