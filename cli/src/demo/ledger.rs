//! Who should have got what, and what arrived.
//!
//! Decides the verdict. Each message that is due is entered before it is sent; what arrives is
//! counted against that. A message that nobody expected where it arrived is a stray.

use std::collections::BTreeMap;

/// What a message is for.
#[derive(Copy, Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Purpose {
    /// A broadcast.
    News,
    /// A message to one node.
    Note,
    /// The answer to it.
    Echo,
}

impl Purpose {
    /// The kind by which it travels.
    pub(super) fn kind(self) -> &'static str {
        match self {
            Self::News => "NEWS",
            Self::Note => "NOTE",
            Self::Echo => "ECHO",
        }
    }
}

/// A message, as sender and receiver know it.
#[derive(Copy, Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Letter {
    pub(super) purpose: Purpose,
    /// Its sender, counted from 0.
    pub(super) from: usize,
    /// Tells the letters of one sender apart.
    pub(super) number: u32,
}

/// Counts of messages.
#[derive(Copy, Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Count {
    /// Due.
    pub(super) due: usize,
    /// Arrived at least once.
    pub(super) arrived: usize,
    /// Arrivals beyond the first.
    pub(super) repeats: usize,
}

impl Count {
    /// Due and not arrived.
    pub(super) fn missing(&self) -> usize {
        self.due - self.arrived
    }
}

/// The book of it.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    /// Arrivals of each message due, by receiver.
    due: BTreeMap<(usize, Letter), usize>,
    strays: usize,
}

impl Ledger {
    /// A message will be sent to this node.
    pub(super) fn expect(&mut self, to: usize, letter: Letter) {
        self.due.entry((to, letter)).or_default();
    }

    /// A message came to this node.
    pub(super) fn arrived(&mut self, at: usize, letter: Letter) {
        match self.due.get_mut(&(at, letter)) {
            Some(times) => *times += 1,
            None => self.strays += 1,
        }
    }

    /// Something came that is no message of ours.
    pub(super) fn stray(&mut self) {
        self.strays += 1;
    }

    /// Messages that came where they were not due.
    pub(super) fn strays(&self) -> usize {
        self.strays
    }

    /// Whether everything due so far has arrived.
    pub(super) fn is_complete(&self) -> bool {
        self.due.values().all(|times| *times > 0)
    }

    /// Whether everything due arrived exactly once, and nothing else did.
    pub(super) fn is_right(&self) -> bool {
        self.strays == 0 && self.due.values().all(|times| *times == 1)
    }

    /// The counts of one node and purpose.
    pub(super) fn count(&self, at: usize, purpose: Purpose) -> Count {
        self.sum(|to, letter| to == at && letter.purpose == purpose)
    }

    /// All counts together.
    pub(super) fn total(&self) -> Count {
        self.sum(|_, _| true)
    }

    fn sum(&self, belongs: impl Fn(usize, &Letter) -> bool) -> Count {
        let mut count = Count::default();
        for ((to, letter), times) in &self.due {
            if belongs(*to, letter) {
                count.due += 1;
                count.arrived += usize::from(*times > 0);
                count.repeats += times.saturating_sub(1);
            }
        }
        count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEWS: Letter = Letter { purpose: Purpose::News, from: 0, number: 1 };

    fn ledger() -> Ledger {
        let mut ledger = Ledger::default();
        ledger.expect(1, NEWS);
        ledger.expect(2, NEWS);
        ledger
    }

    #[test]
    fn every_message_once_is_right() {
        let mut ledger = ledger();
        assert!(!ledger.is_complete());
        ledger.arrived(1, NEWS);
        ledger.arrived(2, NEWS);
        assert!(ledger.is_complete() && ledger.is_right());
        assert_eq!(ledger.total(), Count { due: 2, arrived: 2, repeats: 0 });
    }

    #[test]
    fn a_missing_message_is_wrong() {
        let mut ledger = ledger();
        ledger.arrived(1, NEWS);
        assert!(!ledger.is_complete() && !ledger.is_right());
        assert_eq!(ledger.total().missing(), 1);
        assert_eq!(ledger.count(2, Purpose::News).missing(), 1);
        assert_eq!(ledger.count(1, Purpose::News).missing(), 0);
    }

    #[test]
    fn a_repeated_message_is_wrong() {
        let mut ledger = ledger();
        for at in [1, 2, 2] {
            ledger.arrived(at, NEWS);
        }
        assert!(ledger.is_complete() && !ledger.is_right());
        assert_eq!(ledger.count(2, Purpose::News).repeats, 1);
    }

    #[test]
    fn a_message_in_the_wrong_place_is_wrong() {
        for (at, letter) in [(0, NEWS), (1, Letter { number: 2, ..NEWS })] {
            let mut ledger = ledger();
            ledger.arrived(1, NEWS);
            ledger.arrived(2, NEWS);
            ledger.arrived(at, letter);
            assert!(ledger.is_complete() && !ledger.is_right());
            assert_eq!(ledger.strays(), 1);
        }
    }
}
