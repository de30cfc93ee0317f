//! Broadcasts that are known and may not be told: those that wait for a verdict, and those that
//! were not accepted.
//!
//! A copy of one prunes its link like any other copy, and nobody is asked for it again. Who asks
//! for it hears that it is gone; if it is accepted it goes to everybody who has it not, whether or
//! not they asked. How many wait is bounded by whoever holds them back.

use alloc::collections::VecDeque;

use super::bits::Index;
use super::cache::{Entry, Key};
use crate::sorted::SortedMap;

#[derive(Clone, Debug)]
#[cfg_attr(feature = "testing", derive(Hash))]
pub(crate) struct Held {
    waiting: SortedMap<Key, Entry>,
    /// By which link each came that was not accepted.
    refused: SortedMap<Key, Option<Index>>,
    order: VecDeque<Key>,
    /// Those remembered that were not accepted. When full: the oldest is forgotten, and its copies
    /// prune no more.
    capacity: usize,
}

impl Held {
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            waiting: SortedMap::new(),
            refused: SortedMap::new(),
            order: VecDeque::new(),
            capacity,
        }
    }

    pub(crate) fn wait(&mut self, entry: Entry) {
        self.waiting.insert(entry.key, entry);
    }

    /// It was accepted: here it is.
    pub(crate) fn accept(&mut self, key: &Key) -> Option<Entry> {
        self.waiting.remove(key)
    }

    /// It was not, and never will be.
    pub(crate) fn refuse(&mut self, key: &Key) {
        let Some(entry) = self.waiting.remove(key) else { return };
        if self.order.len() >= self.capacity {
            let oldest = self.order.pop_front();
            oldest.map(|oldest| self.refused.remove(&oldest));
        }
        self.refused.insert(*key, entry.from);
        self.order.push_back(*key);
    }

    /// A link has one of these. By which link it came first, if it is one.
    pub(crate) fn has(&mut self, key: &Key, index: Index) -> Option<Option<Index>> {
        if let Some(entry) = self.waiting.get_mut(key) {
            entry.have.set(index);
            return Some(entry.from);
        }
        self.refused.get(key).copied()
    }

    /// A link is gone: its number may be another's from here on.
    pub(crate) fn forget(&mut self, index: Index) {
        for entry in self.waiting.values_mut() {
            entry.have.clear(index);
            entry.from = entry.from.filter(|from| *from != index);
        }
        for from in self.refused.values_mut() {
            *from = from.filter(|from| *from != index);
        }
    }

    /// Nothing waits any more.
    pub(crate) fn clear(&mut self) {
        *self = Self::new(self.capacity);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broadcast::bits::Bits;
    use crate::id::NodeId;
    use crate::message::Frame;
    use crate::time::Instant;

    fn key(seq: u64) -> Key {
        ((NodeId::from_random_bytes([1; 16]), 7), seq)
    }

    fn entry(seq: u64, from: Index) -> Entry {
        let (frame, at) = (Frame::new("{}\n"), Instant::ZERO);
        Entry { key: key(seq), frame, at, from: Some(from), have: Bits::default() }
    }

    #[test]
    fn what_is_accepted_knows_who_has_it() {
        let mut held = Held::new(2);
        held.wait(entry(1, 5));
        assert_eq!((held.has(&key(1), 9), held.has(&key(2), 9)), (Some(Some(5)), None));
        held.forget(5);
        let accepted = held.accept(&key(1));
        assert!(accepted.is_some_and(|entry| entry.have.has(9) && entry.from.is_none()));
        assert!(held.accept(&key(1)).is_none());
    }

    #[test]
    fn what_is_refused_is_remembered_for_a_while_and_never_accepted() {
        let mut held = Held::new(2);
        for seq in 1..=3 {
            held.wait(entry(seq, 4));
            held.refuse(&key(seq));
        }
        held.refuse(&key(9));
        assert!(held.accept(&key(3)).is_none());
        assert_eq!(
            [1, 2, 3].map(|seq| held.has(&key(seq), 1)),
            [None, Some(Some(4)), Some(Some(4))]
        );
        held.forget(4);
        assert_eq!(held.has(&key(3), 1), Some(None));
        held.clear();
        assert_eq!((held.has(&key(3), 1), held.order.len()), (None, 0));
    }
}
