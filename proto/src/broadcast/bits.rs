//! A set of small numbers: which links.
//!
//! The first 128 lie in the set itself, so that a node of usual size allocates nothing for one.

use alloc::vec::Vec;

/// The number of a link within the trees: small, dense, used again.
pub(crate) type Index = u16;

const WIDTH: Index = 128;

/// The set.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[cfg_attr(feature = "testing", derive(Hash))]
pub(crate) struct Bits {
    low: u128,
    high: Vec<u128>,
}

impl Bits {
    pub(crate) fn has(&self, index: Index) -> bool {
        let (word, bit) = place(index);
        let word = if word == 0 { Some(&self.low) } else { self.high.get(word.saturating_sub(1)) };
        word.is_some_and(|word| word & bit != 0)
    }

    /// Adds a number; true if it was not there.
    pub(crate) fn set(&mut self, index: Index) -> bool {
        let (word, bit) = place(index);
        if word > self.high.len() {
            self.high.resize(word, 0);
        }
        let Some(word) = self.word(word) else { return false };
        let new = *word & bit == 0;
        *word |= bit;
        new
    }

    pub(crate) fn clear(&mut self, index: Index) {
        let (word, bit) = place(index);
        if let Some(word) = self.word(word) {
            *word &= !bit;
        }
    }

    /// The next number behind this one; behind the last comes the first again.
    pub(crate) fn next_after(&self, index: Index) -> Option<Index> {
        if self.low == 0 && self.high.iter().all(|word| *word == 0) {
            return None;
        }
        let words = Index::try_from(self.high.len().saturating_add(1)).unwrap_or(Index::MAX);
        let end = words.saturating_mul(WIDTH);
        let mut numbers = (index.saturating_add(1)..end).chain(0..=index);
        numbers.find(|number| self.has(*number))
    }

    fn word(&mut self, word: usize) -> Option<&mut u128> {
        if word == 0 { Some(&mut self.low) } else { self.high.get_mut(word.saturating_sub(1)) }
    }
}

fn place(index: Index) -> (usize, u128) {
    let bit = 1_u128.checked_shl(u32::from(index % WIDTH)).unwrap_or_default();
    (usize::from(index / WIDTH), bit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_in_the_set_from_set_to_clear() {
        let mut bits = Bits::default();
        for index in [0, 1, 127, 128, 129, 1000] {
            assert!(!bits.has(index) && bits.set(index) && !bits.set(index) && bits.has(index));
            assert!(!bits.has(index + 2));
        }
        for index in [0, 127, 128, 1000, 5000] {
            bits.clear(index);
            assert!(!bits.has(index));
        }
        assert!(bits.has(1) && bits.has(129));
    }

    #[test]
    fn behind_the_last_number_comes_the_first_again() {
        let mut bits = Bits::default();
        assert_eq!(bits.next_after(5), None);
        assert!(bits.set(3) && bits.set(300));
        let next = [0, 3, 299, 300, 5000].map(|index| bits.next_after(index));
        assert_eq!(next, [3, 300, 300, 3, 3].map(Some));
    }
}
