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
