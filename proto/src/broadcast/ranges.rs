//! Numbers of broadcasts put together to ranges, as lines carry them.

use alloc::vec::Vec;

use super::cache::Entry;
use crate::seen::Range;
use crate::time::Instant;

/// Ranges in one announcement, and in one that is taken: fixed by the protocol.
pub(crate) const MOST_RANGES: usize = 64;

/// Adds a broadcast to an announcement; false if there is no room for another range.
pub(super) fn add(ranges: &mut Vec<Range>, entry: &Entry, now: Instant) -> bool {
    let (stream, seq) = entry.key;
    let hold = now.saturating_since(entry.at);
    let next = |range: &&mut Range| range.stream == stream && range.to.saturating_add(1) == seq;
    if let Some(range) = ranges.iter_mut().find(next) {
        range.to = seq;
        return true;
    }
    if ranges.len() >= MOST_RANGES {
        return false;
    }
    ranges.push(Range { stream, from: seq, to: seq, hold });
    true
}

/// The last number of a range of which so many count, one at least. The highest number there is
/// counts as any other.
pub(crate) fn end_of((from, to): (u64, u64), most: u64) -> u64 {
    to.min(from.saturating_add(most.saturating_sub(1)))
}

/// How many numbers a range has; none if it ends before it begins.
pub(crate) fn count((from, to): (u64, u64)) -> u64 {
    to.checked_sub(from).map_or(0, |more| more.saturating_add(1))
}

/// Sorted numbers as ranges.
pub(super) fn ranges_of(seqs: &[u64]) -> Vec<(u64, u64)> {
    let mut ranges: Vec<(u64, u64)> = Vec::new();
    for seq in seqs {
        match ranges.last_mut() {
            Some((_, to)) if to.saturating_add(1) == *seq => *to = *seq,
            Some(_) | None => ranges.push((*seq, *seq)),
        }
    }
    ranges
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::NodeId;
    use crate::message::Frame;
    use core::time::Duration;

    fn stream(number: u8) -> (NodeId, u32) {
        (NodeId::from_random_bytes([number; 16]), 7)
    }

    #[test]
    fn numbers_that_follow_each_other_are_one_range() {
        assert_eq!(ranges_of(&[]), []);
        assert_eq!(ranges_of(&[4]), [(4, 4)]);
        assert_eq!(ranges_of(&[1, 2, 3, 5, 8, 9]), [(1, 3), (5, 5), (8, 9)]);
    }

    #[test]
    fn a_range_grows_by_its_next_number_and_there_are_64() {
        let at = |millis| Instant::ZERO + Duration::from_millis(millis);
        let entry = |number: u8, seq: u64, millis: u64| Entry {
            key: (stream(number), seq),
            frame: Frame::new("{}\n"),
            at: at(millis),
            from: None,
            have: Default::default(),
        };
        let mut ranges = Vec::new();
        let said = [(1, 5, 10), (2, 6, 20), (1, 6, 30), (1, 8, 40), (1, 7, 50)];
        for (number, seq, millis) in said {
            assert!(add(&mut ranges, &entry(number, seq, millis), at(100)));
        }
        let found = ranges.iter().map(|range| (range.stream, range.from, range.to, range.hold));
        let hold = Duration::from_millis;
        let expected =
            [(stream(1), 5, 7, hold(90)), (stream(2), 6, 6, hold(80)), (stream(1), 8, 8, hold(60))];
        assert!(found.eq(expected), "{ranges:?}");
        for number in 4..=64 {
            assert!(add(&mut ranges, &entry(number, 1, 0), at(0)));
        }
        assert_eq!(ranges.len(), MOST_RANGES);
        assert!(!add(&mut ranges, &entry(65, 1, 0), at(0)), "there is no room for another");
        assert!(add(&mut ranges, &entry(64, 2, 0), at(0)), "but for more of one");
    }
}
