//! An ordered map that finds what it found last without a search.
//!
//! Broadcasts come in bursts of one stream over one connection: what is looked up is nearly always
//! what was looked up before. The values lie in slots, and the last slot found is tried first. What
//! it remembers shows in nothing but the time a search takes.
#![deny(clippy::arithmetic_side_effects)]

use alloc::vec::Vec;
use core::ops::RangeInclusive;

use crate::sorted::SortedMap;

/// The map.
#[derive(Clone, Debug)]
pub(crate) struct Table<K, V> {
    /// The slot of each key.
    index: SortedMap<K, usize>,
    slots: Vec<Option<(K, V)>>,
    /// Slots without a value.
    free: Vec<usize>,
    /// The slot that was found last; it may be free since.
    last: usize,
}

impl<K, V> Default for Table<K, V> {
    fn default() -> Self {
        Self { index: SortedMap::new(), slots: Vec::new(), free: Vec::new(), last: 0 }
    }
}

impl<K: Copy + Ord, V> Table<K, V> {
    pub(crate) fn len(&self) -> usize {
        self.index.len()
    }

    pub(crate) fn contains_key(&self, key: &K) -> bool {
        self.slot(key).is_some()
    }

    #[inline]
    pub(crate) fn get(&self, key: &K) -> Option<&V> {
        self.at(self.slot(key)?)
    }

    #[inline]
    fn at(&self, slot: usize) -> Option<&V> {
        self.slots.get(slot)?.as_ref().map(|(_, value)| value)
    }

    /// The value, which is tried first from here on.
    #[inline]
    pub(crate) fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        let slot = self.slot(key)?;
        self.last = slot;
        self.slots.get_mut(slot)?.as_mut().map(|(_, value)| value)
    }

    #[inline]
    fn slot(&self, key: &K) -> Option<usize> {
        match self.slots.get(self.last) {
            Some(Some((last, _))) if last == key => Some(self.last),
            Some(_) | None => self.index.get(key).copied(),
        }
    }

    /// Puts a value in place of what the key had, if anything.
    pub(crate) fn insert(&mut self, key: K, value: V) {
        let known = self.slot(&key);
        let slot = known.or_else(|| self.free.pop()).unwrap_or(self.slots.len());
        match self.slots.get_mut(slot) {
            Some(place) => *place = Some((key, value)),
            None => self.slots.push(Some((key, value))),
        }
        if known.is_none() {
            self.index.insert(key, slot);
        }
        self.last = slot;
    }

    pub(crate) fn remove(&mut self, key: &K) -> Option<V> {
        let slot = self.index.remove(key)?;
        self.free.push(slot);
        let (_, value) = self.slots.get_mut(slot)?.take()?;
        if self.index.is_empty() {
            *self = Self::default(); // holds no memory while empty
        }
        Some(value)
    }

    /// Keys and values in order.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.index.iter().filter_map(|(key, slot)| Some((key, self.at(*slot)?)))
    }

    /// The same from one key to another, both included.
    pub(crate) fn range(&self, keys: RangeInclusive<K>) -> impl Iterator<Item = (&K, &V)> {
        self.index.range(keys).filter_map(|(key, slot)| Some((key, self.at(*slot)?)))
    }

    /// The values, in no order that means anything.
    pub(crate) fn values_mut(&mut self) -> impl Iterator<Item = &mut V> {
        self.slots.iter_mut().flatten().map(|(_, value)| value)
    }
}

/// What is in it counts, not where it lies.
#[cfg(feature = "testing")]
impl<K: Copy + Ord + core::hash::Hash, V: core::hash::Hash> core::hash::Hash for Table<K, V> {
    fn hash<H: core::hash::Hasher>(&self, state: &mut H) {
        self.len().hash(state);
        self.iter().for_each(|entry| entry.hash(state));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;
    use alloc::collections::BTreeMap;

    #[test]
    fn it_is_the_map_that_it_stands_for() {
        let mut rng = Rng::new([5; 32]);
        let (mut table, mut model) = (Table::default(), BTreeMap::new());
        for value in 0..5000_u32 {
            let (key, other) = (rng.below(20), rng.below(20));
            match rng.below(4) {
                0 => {
                    table.insert(key, value);
                    model.insert(key, value);
                }
                1 => assert_eq!(table.remove(&key), model.remove(&key)),
                _ => assert_eq!(table.get_mut(&key), model.get_mut(&key)),
            }
            assert_eq!((table.get(&other), table.len()), (model.get(&other), model.len()));
            let (from, to) = (key.min(other), key.max(other));
            assert!(table.range(from..=to).eq(model.range(from..=to)), "{from} {to}");
            let mut values: Vec<u32> = table.values_mut().map(|value| *value).collect();
            let mut expected: Vec<u32> = model.values().copied().collect();
            values.sort_unstable();
            expected.sort_unstable();
            assert_eq!(values, expected);
        }
        let most = table.slots.len();
        assert!(most <= 20, "slots are used again: {most}");
    }

    #[test]
    fn nothing_is_held_while_it_is_empty() {
        let mut table = Table::default();
        table.insert(1, 1);
        assert_eq!((table.remove(&1), table.remove(&1)), (Some(1), None));
        assert_eq!((table.slots.capacity(), table.free.capacity()), (0, 0));
    }
}
