//! How often something may be done: a bucket of tokens that refills with time up to its burst.

use core::time::Duration;

use crate::time::Instant;

/// A bucket of tokens that refills with time.
#[derive(Copy, Clone, Debug)]
#[cfg_attr(feature = "testing", derive(Hash))]
pub(crate) struct Budget {
    tokens: u32,
    burst: u32,
    every: Duration,
    since: Instant,
}

impl Budget {
    pub(crate) fn new(burst: u32, every: Duration, now: Instant) -> Self {
        Self { tokens: burst, burst, every, since: now }
    }

    /// More than the bucket holds, for once: what we asked for ourselves.
    pub(crate) fn grant(&mut self, tokens: u32) {
        self.tokens = self.tokens.saturating_add(tokens);
    }

    /// Takes a token; false if there is none.
    pub(crate) fn take(&mut self, now: Instant) -> bool {
        self.refill(now);
        let has = self.tokens > 0;
        self.tokens = self.tokens.saturating_sub(1);
        has
    }

    fn refill(&mut self, now: Instant) {
        let passed = now.saturating_since(self.since).as_nanos();
        let due = passed / self.every.as_nanos().max(1);
        if due == 0 || self.tokens >= self.burst {
            self.since = if self.tokens >= self.burst { now } else { self.since };
            return;
        }
        let due = u32::try_from(due).unwrap_or(u32::MAX);
        self.tokens = self.tokens.saturating_add(due).min(self.burst);
        self.since = self.since + self.every.saturating_mul(due);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::time::Duration;

    #[test]
    fn a_budget_refills_with_time_up_to_its_burst() {
        let at = |seconds| Instant::ZERO + Duration::from_secs(seconds);
        let mut budget = Budget::new(2, Duration::from_secs(10), at(0));
        assert!(budget.take(at(0)) && budget.take(at(0)) && !budget.take(at(9)));
        assert!(budget.take(at(10)) && !budget.take(at(10)));
        assert!(budget.take(at(1000)) && budget.take(at(1000)) && !budget.take(at(1000)));
        budget.grant(1);
        assert!(budget.take(at(1000)) && !budget.take(at(1000)));
        assert!(budget.take(Instant::MAX));
    }

    #[test]
    fn what_was_granted_is_not_lost_to_the_burst() {
        let at = |seconds| Instant::ZERO + Duration::from_secs(seconds);
        let mut budget = Budget::new(2, Duration::from_secs(10), at(0));
        budget.grant(3);
        for _ in 0..5 {
            assert!(budget.take(at(100)));
        }
        assert!(!budget.take(at(100)));
    }
}
