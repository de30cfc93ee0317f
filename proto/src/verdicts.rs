//! Broadcasts that wait for the application's verdict: how many, for how long, and which verdict
//! came too late.
//!
//! A quarter of the room is each link's, so that a flood over one does not cost the others their
//! verdicts. What becomes of a broadcast is not decided here: it is handed back, to be passed on
//! or forgotten.

use core::fmt;
use core::num::NonZeroU64;
use core::time::Duration;

use crate::id::ConnId;
use crate::limits::Limits;
use crate::sorted::SortedMap;
use crate::time::Instant;

/// What the application thinks of a broadcast that is to be judged before it is passed on.
#[derive(Copy, Clone, Debug, Eq, PartialEq, Hash)]
pub enum Verdict {
    /// It is passed on.
    Accept,
    /// It is neither passed on nor announced.
    Ignore,
    /// The same, and reported: counted for the peer it came by, and told as an event.
    Reject,
}

/// Names one broadcast that waits for a [`Verdict`]. No two of a node are the same.
#[derive(Copy, Clone, Eq, PartialEq, Ord, PartialOrd, Hash)]
pub struct VerdictToken(NonZeroU64);

impl fmt::Debug for VerdictToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "verdict {}", self.0)
    }
}

/// Those that wait, in the order in which they came.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "testing", derive(Hash))]
pub(crate) struct Verdicts<W> {
    waiting: SortedMap<VerdictToken, Waiting<W>>,
    /// How many came by each link, and their bytes.
    shares: SortedMap<ConnId, (usize, usize)>,
    last: NonZeroU64,
    bytes: usize,
    most: usize,
    most_bytes: usize,
    within: Duration,
}

#[derive(Clone, Debug)]
#[cfg_attr(feature = "testing", derive(Hash))]
struct Waiting<W> {
    what: W,
    conn: ConnId,
    bytes: usize,
    until: Instant,
}

impl<W> Verdicts<W> {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            waiting: SortedMap::new(),
            shares: SortedMap::new(),
            last: NonZeroU64::MIN,
            bytes: 0,
            most: limits.verdicts,
            most_bytes: limits.verdict_bytes,
            within: limits.verdict_within,
        }
    }

    /// Bytes of what waits.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Names a broadcast of so many bytes, which came by this link, and keeps it. Gives it back if
    /// there is no room: then it is too late for a verdict already.
    pub(crate) fn hold(
        &mut self,
        what: W,
        conn: ConnId,
        bytes: usize,
        now: Instant,
    ) -> (VerdictToken, Option<W>) {
        self.last = self.last.saturating_add(1);
        let token = VerdictToken(self.last);
        let (count, charged) = self.shares.get(&conn).copied().unwrap_or_default();
        let sum = charged.saturating_add(bytes);
        if count >= (self.most / 4).max(1) || sum > self.most_bytes / 4 {
            return (token, Some(what));
        }
        if self.waiting.len() >= self.most || self.bytes.saturating_add(bytes) > self.most_bytes {
            return (token, Some(what));
        }
        self.shares.insert(conn, (count.saturating_add(1), sum));
        self.bytes = self.bytes.saturating_add(bytes);
        self.waiting.insert(token, Waiting { what, conn, bytes, until: now + self.within });
        (token, None)
    }

    /// The broadcast of this name, which waits no longer; none if it does not.
    pub(crate) fn take(&mut self, token: VerdictToken) -> Option<W> {
        let waiting = self.waiting.remove(&token)?;
        self.bytes = self.bytes.saturating_sub(waiting.bytes);
        if let Some((count, bytes)) = self.shares.get_mut(&waiting.conn) {
            *count = count.saturating_sub(1);
            *bytes = bytes.saturating_sub(waiting.bytes);
            if *count == 0 {
                self.shares.remove(&waiting.conn);
            }
        }
        Some(waiting.what)
    }

    /// One that waits in vain.
    pub(crate) fn late(&mut self, now: Instant) -> Option<W> {
        let (token, _) = self.waiting.first_key_value().filter(|(_, one)| one.until <= now)?;
        self.take(*token)
    }

    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        // All have the same patience, so the first is the first due.
        self.waiting.first_key_value().map(|(_, waiting)| waiting.until)
    }

    pub(crate) fn clear(&mut self) {
        self.waiting.clear();
        self.shares.clear();
        self.bytes = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::num::NonZeroU32;

    fn at(seconds: u64) -> Instant {
        Instant::ZERO + Duration::from_secs(seconds)
    }

    fn conn(slot: u32) -> ConnId {
        ConnId::new(slot, NonZeroU32::MIN)
    }

    fn verdicts() -> Verdicts<u64> {
        let within = Duration::from_secs(10);
        let limits =
            Limits { verdicts: 8, verdict_bytes: 800, verdict_within: within, ..Limits::default() };
        Verdicts::new(&limits)
    }

    #[test]
    fn what_waits_is_taken_once() {
        let mut verdicts = verdicts();
        let (token, refused) = verdicts.hold(7, conn(1), 100, at(0));
        assert_eq!((refused, verdicts.bytes()), (None, 100));
        assert_eq!((verdicts.take(token), verdicts.take(token)), (Some(7), None));
        assert_eq!((verdicts.bytes(), verdicts.shares.len()), (0, 0));
    }

    #[test]
    fn one_link_has_a_quarter_of_the_room_by_count_and_by_bytes() {
        let mut verdicts = verdicts();
        let mut held = |link, bytes| verdicts.hold(0, conn(link), bytes, at(0)).1.is_none();
        assert_eq!([held(1, 10), held(1, 10), held(1, 10)], [true, true, false]);
        assert_eq!([held(2, 200), held(2, 1), held(3, 201)], [true, false, false]);
        assert_eq!([held(3, 100), held(3, 100), held(4, 1)], [true, true, true]);
        assert_eq!([held(4, 1), held(5, 1), held(6, 1)], [true, true, false]);
    }

    #[test]
    fn what_nobody_judges_is_late_in_the_order_of_its_coming() {
        let mut verdicts = verdicts();
        verdicts.hold(1, conn(1), 1, at(0));
        let (second, _) = verdicts.hold(2, conn(2), 1, at(1));
        verdicts.hold(3, conn(3), 1, at(2));
        assert_eq!((verdicts.next_deadline(), verdicts.late(at(9))), (Some(at(10)), None));
        assert_eq!((verdicts.late(at(11)), verdicts.take(second)), (Some(1), Some(2)));
        assert_eq!((verdicts.late(at(11)), verdicts.next_deadline()), (None, Some(at(12))));
        verdicts.clear();
        assert_eq!((verdicts.next_deadline(), verdicts.bytes()), (None, 0));
    }
}
