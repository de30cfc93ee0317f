//! The only place of the workspace that reads a clock or the system's randomness.
//!
//! Decides what "now" is in the node's terms, and when the wall clock has jumped. It never waits
//! and sets no timer. Monotone time counts from the moment the clock was made; wall-clock time is
//! read when the node starts and then only every few seconds, to compare it with what the monotone
//! clock says it should be.

use std::io;
use std::time::{Duration, SystemTime};

use peerline_proto::{Instant, Start, UnixTime};

/// Least time between two looks at the wall clock. Five seconds: a jump then costs messages at
/// most that long a wrong time, and a busy loop reads one clock, not two.
const WALL_EVERY: Duration = Duration::from_secs(5);

/// A difference that counts as a jump. One second: slewing by a time service stays below it, a
/// suspended machine does not.
const WALL_JUMP: Duration = Duration::from_secs(1);

/// Reads the clocks for a node.
#[derive(Debug)]
pub struct Clock {
    origin: std::time::Instant,
    /// Both clocks at the last agreement: the start, or the last jump.
    agreed: Start,
    looked: Instant,
}

impl Clock {
    /// A clock whose origin is this moment.
    #[allow(clippy::new_without_default)] // a default value that reads the clock would surprise
    pub fn new() -> Self {
        let start = Start::new(Instant::ZERO, unix_time());
        Self { origin: std::time::Instant::now(), agreed: start, looked: Instant::ZERO }
    }

    /// The time on the node's scale.
    pub fn now(&self) -> Instant {
        Instant::ZERO + self.origin.elapsed()
    }

    /// Both clocks at the last moment they were compared and set.
    pub fn start(&self) -> Start {
        self.agreed
    }

    /// The wall-clock time, if it jumped since the last look. Looks at most every five seconds.
    pub fn jumped(&mut self, now: Instant) -> Option<UnixTime> {
        if now.saturating_since(self.looked) < WALL_EVERY {
            return None;
        }
        self.looked = now;
        self.compare(now, unix_time())
    }

    fn compare(&mut self, now: Instant, unix: UnixTime) -> Option<UnixTime> {
        let passed = now.saturating_since(self.agreed.now).as_millis();
        let passed = u64::try_from(passed).unwrap_or(u64::MAX);
        let expected = self.agreed.unix.as_millis().saturating_add(passed);
        let apart = Duration::from_millis(expected.abs_diff(unix.as_millis()));
        if apart < WALL_JUMP {
            return None;
        }
        self.agreed = Start::new(now, unix);
        Some(unix)
    }
}

/// The wall clock; a machine set to before 1970 has 1970.
fn unix_time() -> UnixTime {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    UnixTime::from_millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// A seed for a node, from the operating system.
///
/// # Errors
/// The system has no randomness to give.
pub fn seed() -> io::Result<[u8; 32]> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(|error| io::Error::other(error.to_string()))?;
    Ok(seed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clock(now_secs: u64, unix_millis: u64) -> Clock {
        let now = Instant::ZERO + Duration::from_secs(now_secs);
        let mut clock = Clock::new();
        clock.agreed = Start::new(now, UnixTime::from_millis(unix_millis));
        clock
    }

    #[test]
    fn a_jump_either_way_is_told_once() {
        for unix in [1_000_000, 60_000] {
            let mut clock = clock(10, 100_000);
            let later = Instant::ZERO + Duration::from_secs(20);
            let unix = UnixTime::from_millis(unix);
            assert_eq!(clock.compare(later, unix), Some(unix));
            assert_eq!(clock.compare(later, unix), None);
        }
    }

    #[test]
    fn a_clock_that_is_slewed_does_not_jump() {
        let later = Instant::ZERO + Duration::from_secs(20);
        let mut clock = clock(10, 100_000);
        assert_eq!(clock.compare(later, UnixTime::from_millis(110_400)), None);
    }

    #[test]
    fn two_seeds_differ() {
        assert_ne!(seed().ok(), seed().ok());
    }
}
