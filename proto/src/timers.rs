//! One deadline per slot, lazily: a deadline that moves later is left where it is, fires early, and
//! is set anew. So the busiest event, bytes received, touches no timer.

use alloc::vec::Vec;

use crate::sorted::SortedSet;
use crate::time::Instant;

/// The deadlines of all slots.
#[derive(Clone, Debug, Default)]
#[cfg_attr(feature = "testing", derive(Hash))]
pub(crate) struct Timers {
    queue: SortedSet<(Instant, u32)>,
    /// By slot: its entry in `queue`.
    set: Vec<Option<Instant>>,
}

impl Timers {
    /// The earliest deadline.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.queue.first().map(|(at, _)| *at)
    }

    /// Makes sure that the slot's deadline is not after `at`.
    #[inline]
    pub(crate) fn at_most(&mut self, slot: u32, at: Instant) {
        match self.set.get(slot as usize).copied().flatten() {
            Some(set) if set <= at => {}
            _ => self.replace(slot, Some(at)),
        }
    }

    /// Forgets the slot's deadline.
    pub(crate) fn clear(&mut self, slot: u32) {
        self.replace(slot, None);
    }

    /// Takes out the first slot whose deadline is not after `now`.
    pub(crate) fn due(&mut self, now: Instant) -> Option<u32> {
        let (at, slot) = *self.queue.first()?;
        if at > now {
            return None;
        }
        self.clear(slot);
        Some(slot)
    }

    fn replace(&mut self, slot: u32, at: Option<Instant>) {
        let index = slot as usize;
        if index >= self.set.len() {
            self.set.resize(index.saturating_add(1), None);
        }
        let Some(set) = self.set.get_mut(index) else { return };
        if let Some(old) = core::mem::replace(set, at) {
            self.queue.remove(&(old, slot));
        }
        self.queue.extend(at.map(|at| (at, slot)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(nanos: u64) -> Instant {
        Instant::from_nanos(nanos)
    }

    #[test]
    fn a_deadline_only_moves_earlier() {
        let mut timers = Timers::default();
        timers.at_most(3, at(10));
        timers.at_most(3, at(20));
        timers.at_most(1, at(15));
        assert_eq!(timers.next(), Some(at(10)));
        timers.at_most(3, at(5));
        assert_eq!((timers.due(at(4)), timers.due(at(5))), (None, Some(3)));
        assert_eq!((timers.due(at(14)), timers.due(at(15)), timers.next()), (None, Some(1), None));
    }

    #[test]
    fn a_cleared_slot_is_silent() {
        let mut timers = Timers::default();
        timers.at_most(0, at(1));
        timers.clear(0);
        timers.clear(7);
        assert_eq!((timers.next(), timers.due(Instant::MAX)), (None, None));
    }
}
