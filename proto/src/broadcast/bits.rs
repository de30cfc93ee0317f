//! A set of small numbers: which links.
//!
//! The first 128 lie in the set itself, so that a node of usual size allocates nothing for one.
//! Every broadcast that is kept has a set, so its size is what reading and dropping them costs.

use alloc::boxed::Box;
use alloc::vec::Vec;

/// The number of a link within the trees: small, dense, used again.
pub(crate) type Index = u16;

/// Bits of a word.
const WIDTH: Index = 64;
/// Words that lie in the set itself.
const LOW: usize = 2;

/// The set.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[cfg_attr(feature = "testing", derive(Hash))]
pub(crate) struct Bits {
    low: [u64; LOW],
    /// The words above these; none as long as no number was so high.
    high: Option<Box<[u64]>>,
}

impl Bits {
    #[inline]
    pub(crate) fn has(&self, index: Index) -> bool {
        let (word, bit) = place(index);
        let word = match word.checked_sub(LOW) {
            None => self.low.get(word),
            Some(word) => self.high.as_ref().and_then(|high| high.get(word)),
        };
        word.is_some_and(|word| word & bit != 0)
    }

    /// Adds a number; true if it was not there.
    #[inline]
    pub(crate) fn set(&mut self, index: Index) -> bool {
        let (word, bit) = place(index);
        if word >= LOW {
            self.make_room(word.saturating_sub(LOW).saturating_add(1));
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
        let high = self.high.as_deref().unwrap_or_default();
        if self.low.iter().chain(high).all(|word| *word == 0) {
            return None;
        }
        let words = Index::try_from(high.len().saturating_add(LOW)).unwrap_or(Index::MAX);
        let end = words.saturating_mul(WIDTH);
        let mut numbers = (index.saturating_add(1)..end).chain(0..=index);
        numbers.find(|number| self.has(*number))
    }

    /// Sees to it that there are so many words above the low ones.
    fn make_room(&mut self, words: usize) {
        if self.high.as_ref().is_none_or(|high| high.len() < words) {
            let mut longer = self.high.take().map_or_else(Vec::new, Vec::from);
            longer.resize(words, 0);
            self.high = Some(longer.into_boxed_slice());
        }
    }

    fn word(&mut self, word: usize) -> Option<&mut u64> {
        match word.checked_sub(LOW) {
            None => self.low.get_mut(word),
            Some(word) => self.high.as_mut()?.get_mut(word),
        }
    }
}

fn place(index: Index) -> (usize, u64) {
    let bit = 1_u64.checked_shl(u32::from(index % WIDTH)).unwrap_or_default();
    (usize::from(index / WIDTH), bit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_in_the_set_from_set_to_clear() {
        let mut bits = Bits::default();
        for index in [0, 1, 63, 64, 127, 128, 129, 191, 192, 1000] {
            assert!(!bits.has(index) && bits.set(index) && !bits.set(index) && bits.has(index));
            assert!(!bits.has(index + 2));
            assert_eq!(bits.high.is_some(), index > 127, "{index}");
        }
        for index in [0, 63, 127, 128, 1000, 5000] {
            bits.clear(index);
            assert!(!bits.has(index));
        }
        assert!([1, 64, 129, 191, 192].iter().all(|index| bits.has(*index)));
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
