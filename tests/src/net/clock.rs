//! The clock of one host: it may run fast or slow, and jump. Timers of a host fire by it.

use std::time::Duration;

use peerline_proto::Instant;

const MILLION: u128 = 1_000_000;
/// True speed, in millionths.
pub(crate) const TRUE: u64 = 1_000_000;

/// A clock over the time of the network.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Clock {
    /// From this moment of the network's time on...
    since: Instant,
    /// ...the clock goes on from here...
    base: Instant,
    /// ...at so many millionths of the true speed.
    rate: u64,
}

impl Clock {
    pub(crate) fn new(rate: u64) -> Self {
        Self { since: Instant::ZERO, base: Instant::ZERO, rate }
    }

    /// What the clock shows.
    pub(crate) fn local(&self, now: Instant) -> Instant {
        let passed = now.saturating_since(self.since);
        if self.rate == TRUE {
            return self.base + passed;
        }
        self.base + nanos(passed.as_nanos() * u128::from(self.rate) / MILLION)
    }

    /// When the clock shows this, or later by less than a tick.
    pub(crate) fn global(&self, local: Instant) -> Instant {
        let ahead = local.saturating_since(self.base);
        if self.rate == TRUE {
            return self.since + ahead;
        }
        self.since + nanos((ahead.as_nanos() * MILLION).div_ceil(u128::from(self.rate)))
    }

    /// Jumps.
    pub(crate) fn jump(&mut self, now: Instant, by: Duration, back: bool) {
        let local = self.local(now);
        let back_to = local.saturating_since(Instant::ZERO).saturating_sub(by);
        self.base = if back { Instant::ZERO + back_to } else { local + by };
        self.since = now;
    }
}

fn nanos(nanos: u128) -> Duration {
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}
