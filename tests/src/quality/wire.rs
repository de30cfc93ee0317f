//! Segments on their way: in order on each connection, each with its link's latency and jitter.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use peerline_proto::{ConnId, Instant};

use crate::entropy::Entropy;

/// One side of a connection.
#[derive(Debug)]
pub(super) struct Wire {
    pub(super) peer: usize,
    /// What the other side calls it, once that is known.
    pub(super) theirs: Option<ConnId>,
    pub(super) ended: bool,
    /// Bytes a second that it carries, if it is narrow.
    pub(super) narrow: Option<u32>,
    /// What is written is still on its way into it.
    pub(super) busy: bool,
    latency: Duration,
    /// When the last segment arrives: none overtakes it.
    last: Instant,
}

impl Wire {
    pub(super) fn new(peer: usize, latency: Duration, theirs: Option<ConnId>) -> Self {
        let (ended, narrow, busy) = (false, None, false);
        Self { peer, theirs, ended, narrow, busy, latency, last: Instant::ZERO }
    }
}

/// What a segment is.
#[derive(Debug)]
pub(super) enum What {
    Syn {
        from: usize,
        conn: ConnId,
        latency: Duration,
    },
    Accepted {
        conn: ConnId,
        theirs: ConnId,
    },
    /// Bytes, and after how many hops each broadcast in them arrives.
    Bytes {
        conn: ConnId,
        bytes: Vec<u8>,
        hops: Vec<(usize, u8)>,
    },
    End {
        conn: ConnId,
    },
    /// To the writer itself: what it wrote has left, so it may write more.
    Room {
        conn: ConnId,
    },
}

#[derive(Debug)]
pub(super) struct Segment {
    pub(super) to: usize,
    pub(super) what: What,
}

/// All segments on their way.
#[derive(Debug)]
pub(super) struct Wires {
    jitter: Duration,
    order: BinaryHeap<Reverse<(Instant, u64, usize)>>,
    slots: Vec<Option<Segment>>,
    free: Vec<usize>,
    count: u64,
}

impl Wires {
    pub(super) fn new(jitter: Duration) -> Self {
        Self { jitter, order: BinaryHeap::new(), slots: Vec::new(), free: Vec::new(), count: 0 }
    }

    pub(super) fn next(&self) -> Option<Instant> {
        self.order.peek().map(|Reverse((at, _, _))| *at)
    }

    pub(super) fn take(&mut self) -> Option<Segment> {
        let Reverse((_, _, slot)) = self.order.pop()?;
        self.free.push(slot);
        self.slots[slot].take()
    }

    pub(super) fn send(&mut self, wire: &mut Wire, what: What, now: Instant, rng: &mut Entropy) {
        let mut at = now + wire.latency;
        if !self.jitter.is_zero() {
            let uniform = (rng.below(1 << 30) + 1) as f64 / (1_u64 << 30) as f64;
            at = at + self.jitter.mul_f64(-uniform.ln());
        }
        wire.last = wire.last.max(at);
        self.deliver_at(wire.last, wire.peer, what);
    }

    /// Delivers something to a node then.
    pub(super) fn deliver_at(&mut self, at: Instant, to: usize, what: What) {
        let segment = Some(Segment { to, what });
        let slot = match self.free.pop() {
            Some(slot) => {
                self.slots[slot] = segment;
                slot
            }
            None => {
                self.slots.push(segment);
                self.slots.len() - 1
            }
        };
        self.count += 1;
        self.order.push(Reverse((at, self.count, slot)));
    }
}
