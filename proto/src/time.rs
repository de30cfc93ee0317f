//! Time as the node sees it: numbers the driver supplies, never a clock.
//!
//! [`Instant`] is monotone and counts from an origin the driver picks; [`UnixTime`] is wall-clock
//! time and only ever travels inside messages. All arithmetic saturates, so that no pair of
//! times, however wrong, can panic or wrap.

use core::fmt;
use core::ops::Add;
use core::time::Duration;

/// A point in time: nanoseconds since an origin that the driver picks once.
///
/// ```
/// use core::time::Duration;
/// use peerline_proto::Instant;
///
/// let later = Instant::ZERO + Duration::from_secs(2);
/// assert_eq!(later.saturating_since(Instant::ZERO), Duration::from_secs(2));
/// assert_eq!(Instant::ZERO.saturating_since(later), Duration::ZERO);
/// assert_eq!(later.to_string(), "2.000s");
/// ```
#[derive(Copy, Clone, Debug, Default, Eq, PartialEq, Ord, PartialOrd, Hash)]
pub struct Instant(u64);

impl Instant {
    /// The origin.
    pub const ZERO: Self = Self(0);
    /// The last representable instant, 584 years after the origin.
    pub const MAX: Self = Self(u64::MAX);

    /// The instant `nanos` nanoseconds after the origin.
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since the origin.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// How long after `earlier` this is; zero if it is not after it.
    pub const fn saturating_since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Instant {
    /// This long before; not before the origin.
    pub(crate) fn earlier(self, by: Duration) -> Self {
        let nanos = u64::try_from(by.as_nanos()).unwrap_or(u64::MAX);
        Self(self.0.saturating_sub(nanos))
    }

    /// The earliest of these. What is due at the end of time is due never: no later time could move
    /// it.
    pub(crate) fn first_of<const N: usize>(parts: [Option<Self>; N]) -> Option<Self> {
        let never = |part: &Option<Self>| part.unwrap_or(Self::MAX);
        let first = parts.iter().map(never).fold(Self::MAX, Self::min);
        Some(first).filter(|first| *first < Self::MAX)
    }
}

impl Add<Duration> for Instant {
    type Output = Self;

    /// Saturates at [`Instant::MAX`].
    fn add(self, duration: Duration) -> Self {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(nanos))
    }
}

impl fmt::Display for Instant {
    /// Seconds with milliseconds: `12.250s`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.0 / 1_000_000;
        write!(f, "{}.{:03}s", millis / 1000, millis % 1000)
    }
}

/// Wall-clock time: milliseconds since 1970-01-01 00:00:00 UTC.
#[derive(Copy, Clone, Debug, Default, Eq, PartialEq, Ord, PartialOrd, Hash)]
pub struct UnixTime(u64);

impl UnixTime {
    /// The time `millis` milliseconds after the start of 1970.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// Milliseconds since the start of 1970.
    pub const fn as_millis(self) -> u64 {
        self.0
    }
}

/// The two clocks, read together once by the driver when the node is made.
///
/// From then on the node derives wall-clock time from [`Instant`]; the driver says only when the
/// wall clock jumped ([`Node::wall_clock`](crate::Node::wall_clock)).
#[derive(Copy, Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
#[cfg_attr(feature = "testing", derive(Hash))]
pub struct Start {
    /// The monotone time of the reading.
    pub now: Instant,
    /// The wall-clock time of the same moment.
    pub unix: UnixTime,
}

impl Start {
    /// Both readings of one moment.
    pub const fn new(now: Instant, unix: UnixTime) -> Self {
        Self { now, unix }
    }

    /// The wall-clock time at `now`, from this reading on.
    pub(crate) fn unix_at(self, now: Instant) -> UnixTime {
        let passed = now.saturating_since(self.now).as_millis();
        UnixTime(self.unix.0.saturating_add(u64::try_from(passed).unwrap_or(u64::MAX)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extreme_times_saturate() {
        assert_eq!(Instant::MAX + Duration::MAX, Instant::MAX);
        assert_eq!(Instant::ZERO + Duration::MAX, Instant::MAX);
        let start = Start::new(Instant::ZERO, UnixTime(u64::MAX));
        assert_eq!(start.unix_at(Instant::MAX), UnixTime(u64::MAX));
    }

    #[test]
    fn wall_clock_follows_the_monotone_clock() {
        let start = Start::new(Instant::from_nanos(5_000_000_000), UnixTime(1_000));
        assert_eq!(start.unix_at(Instant::from_nanos(7_000_000_000)), UnixTime(3_000));
        assert_eq!(start.unix_at(Instant::ZERO), UnixTime(1_000));
    }
}
