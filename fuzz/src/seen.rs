//! Target `seen_streams`: streams as ranges, against sets of numbers.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use peerline_proto::testing::{Heard, Seen};
use peerline_proto::{Instant, Limits, NodeId};

use crate::input::Input;

/// Numbers that a stream which is forgotten leaves behind.
const REMEMBERED: u64 = 64;

/// No number is new twice, and one that is new is refused only where the limits say so.
///
/// Input: four bytes for the limits, then for each number a byte that chooses its stream and how it
/// is given, and one or eight for the number itself.
pub fn seen_streams(input: &[u8]) {
    let mut input = Input::new(input);
    let mut limits = Limits::default();
    limits.streams = 1 + usize::from(input.byte() % 8);
    limits.streams_per_originator = 1 + usize::from(input.byte() % 4);
    limits.missing_ranges = 1 + usize::from(input.byte() % 32);
    limits.missing_for = Duration::from_secs(u64::from(input.byte() % 4));
    // So many that none is forgotten in one input.
    limits.recent_ids = 1 << 20;
    let mut model = Model { seen: Seen::new(&limits), limits, streams: BTreeMap::new(), last: 0 };
    let mut now = Instant::ZERO;
    while let Some(how) = input.next() {
        let stream = (how & 3, u32::from(how >> 2 & 3));
        match how >> 4 {
            0..=11 => model.hear(stream, u64::from(input.byte()), now),
            12 => model.hear(stream, model.last.saturating_add(u64::from(input.byte())), now),
            13 => model.hear(stream, u64::MAX - u64::from(input.byte()), now),
            14 => model.hear(stream, input.number(), now),
            _ => now = now + Duration::from_millis(u64::from(input.byte()) * 100),
        }
    }
}

/// What was heard, in the plainest way.
struct Model {
    seen: Seen,
    limits: Limits,
    streams: BTreeMap<(u8, u32), Stream>,
    /// The number given last.
    last: u64,
}

#[derive(Debug, Default)]
struct Stream {
    heard: BTreeSet<u64>,
    /// It was forgotten, or had once as many holes as may be: one may have been closed since.
    holey: bool,
}

impl Model {
    fn hear(&mut self, stream: (u8, u32), seq: u64, now: Instant) {
        self.last = seq;
        let may_forget = self.may_forget();
        let id = (NodeId::from_random_bytes([stream.0; 16]), stream.1);
        let heard = self.seen.hear(id, seq, now);
        let most = self.limits.missing_ranges;
        let known = self.streams.entry(stream).or_default();
        let highest = known.heard.last().copied().unwrap_or_default();
        match heard {
            Heard::New => {
                let again = !known.heard.insert(seq);
                let old = seq <= highest.saturating_sub(REMEMBERED);
                assert!(!again || (may_forget && old), "{seq} of {stream:?} is new twice");
            }
            Heard::Duplicate if known.heard.contains(&seq) => {}
            Heard::Duplicate => {
                assert!(known.holey && seq < highest, "{seq} of {stream:?} was never heard");
            }
            Heard::NotTaken => {
                let full = known.holes() >= most || may_forget;
                assert!(seq == 0 || full, "{seq} of {stream:?} is refused without need");
            }
        }
        known.holey |= may_forget || known.holes() >= most;
        assert!(self.seen.len() <= self.limits.streams, "more streams than may be");
    }

    /// Whether any stream may have been forgotten so far, or will be by the next number.
    fn may_forget(&self) -> bool {
        let of = |node: u8| self.streams.keys().filter(|(by, _)| *by == node).count();
        self.streams.len() >= self.limits.streams
            || (0..4).any(|node| of(node) >= self.limits.streams_per_originator)
    }
}

impl Stream {
    /// Runs of numbers below the highest that were not heard.
    fn holes(&self) -> usize {
        let mut before = 0;
        let mut holes = 0;
        for seq in &self.heard {
            holes += usize::from(*seq != before + 1);
            before = *seq;
        }
        holes
    }
}
