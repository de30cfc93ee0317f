//! Keep-alive: when a quiet connection is probed, when its peer is suspect, and when it is dead.
//!
//! Any received byte is life. While we do not read a connection its clocks stand still, but we go
//! on pinging, so that the other side sees us alive. Sends nothing itself.

use core::time::Duration;

use crate::limits::Limits;
use crate::time::Instant;

/// The times the decision depends on; see [`Limits`].
#[derive(Copy, Clone, Debug)]
#[cfg_attr(feature = "testing", derive(Hash))]
pub(crate) struct Waits {
    ping_after: Duration,
    suspect_min: Duration,
    suspect_max: Duration,
    dead_after: Duration,
}

impl Waits {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            ping_after: limits.ping_after,
            suspect_min: limits.suspect_min,
            suspect_max: limits.suspect_max,
            dead_after: limits.dead_after,
        }
    }
}

/// What is due.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(crate) enum Due {
    Nothing,
    /// Send a ping and say so with [`KeepAlive::pinged`].
    Ping,
    /// The peer has not answered in time; it is suspect now.
    Suspect,
    /// The peer is dead.
    Dead,
}

/// The life of one connection.
#[derive(Copy, Clone, Debug)]
#[cfg_attr(feature = "testing", derive(Hash))]
pub(crate) struct KeepAlive {
    /// When the last byte came.
    heard: Instant,
    /// From when on silence counts: the last byte, or when we last woke.
    silent_since: Instant,
    probe: Option<Probe>,
    round_trip: Option<Duration>,
    /// When it was asked something, as long as no round trip was measured.
    asked: Option<Instant>,
    suspect: bool,
    /// Since when we do not read.
    frozen: Option<Instant>,
}

#[derive(Copy, Clone, Debug)]
#[cfg_attr(feature = "testing", derive(Hash))]
struct Probe {
    nonce: u64,
    sent: Instant,
    answered: bool,
}

impl KeepAlive {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            heard: now,
            silent_since: now,
            probe: None,
            round_trip: None,
            asked: None,
            suspect: false,
            frozen: None,
        }
    }

    /// When the last byte came.
    pub(crate) fn last_heard(&self) -> Instant {
        self.heard
    }

    /// The smoothed round trip, once one was measured.
    pub(crate) fn round_trip(&self) -> Option<Duration> {
        self.round_trip
    }

    pub(crate) fn is_suspect(&self) -> bool {
        self.suspect
    }

    /// Whether a ping went out and has not been answered yet.
    pub(crate) fn awaits_pong(&self) -> bool {
        self.open_probe().is_some()
    }

    /// A byte came.
    pub(crate) fn heard(&mut self, now: Instant) {
        self.heard = now;
        self.silent_since = now;
        self.suspect = false;
    }

    /// All clocks start anew: we slept. When the last byte came is as true as before.
    pub(crate) fn start_anew(&mut self, now: Instant) {
        self.silent_since = now;
        self.suspect = false;
        self.probe = None;
        self.frozen = self.frozen.map(|_| now);
    }

    /// A ping went out.
    pub(crate) fn pinged(&mut self, nonce: u64, now: Instant) {
        self.probe = Some(Probe { nonce, sent: now, answered: false });
    }

    /// A pong came; one without a nonce answers the last ping. True if it answered.
    pub(crate) fn answered(&mut self, nonce: Option<u64>, now: Instant) -> bool {
        let Some(probe) = &mut self.probe else { return false };
        if probe.answered || nonce.is_some_and(|nonce| nonce != probe.nonce) {
            return false;
        }
        probe.answered = true;
        let sample = now.saturating_since(probe.sent);
        let smoothed = self.round_trip.map_or(sample, |old| (old * 7 + sample) / 8);
        self.round_trip = Some(smoothed);
        true
    }

    /// The peer was asked for something that it answers at once.
    pub(crate) fn asked(&mut self, now: Instant) {
        self.asked = Some(now).filter(|_| self.round_trip.is_none());
    }

    /// What may be the answer came. Returns the round trip if none was measured before: a busy
    /// connection is not pinged for a long time.
    pub(crate) fn replied(&mut self, now: Instant) -> Option<Duration> {
        let asked = self.asked.take().filter(|_| self.round_trip.is_none())?;
        self.round_trip = Some(now.saturating_since(asked));
        self.round_trip
    }

    /// We stop reading.
    pub(crate) fn freeze(&mut self, now: Instant) {
        self.frozen = self.frozen.or(Some(now));
    }

    /// We read again: the time between does not count.
    pub(crate) fn thaw(&mut self, now: Instant) {
        let Some(since) = self.frozen.take() else { return };
        let away = now.saturating_since(since);
        self.heard = self.heard + away;
        self.silent_since = self.silent_since + away;
        if let Some(probe) = &mut self.probe {
            probe.sent = probe.sent + away;
        }
    }

    /// When [`poll`](Self::poll) is to be asked next.
    pub(crate) fn next_deadline(&self, waits: &Waits) -> Instant {
        if self.frozen.is_some() {
            return self.next_ping(waits);
        }
        let dead = self.silent_since + waits.dead_after;
        match self.open_probe() {
            Some(_) if self.suspect => dead,
            Some(probe) => dead.min(probe.sent + self.patience(waits)),
            None => dead.min(self.next_ping(waits)),
        }
    }

    /// What is due now.
    pub(crate) fn poll(&mut self, waits: &Waits, now: Instant) -> Due {
        if now < self.next_deadline(waits) {
            return Due::Nothing;
        }
        if self.frozen.is_some() {
            return Due::Ping;
        }
        if now >= self.silent_since + waits.dead_after {
            return Due::Dead;
        }
        match self.open_probe() {
            Some(_) => {
                self.suspect = true;
                Due::Suspect
            }
            None => Due::Ping,
        }
    }

    /// The ping that nothing came after.
    fn open_probe(&self) -> Option<Probe> {
        self.probe.filter(|probe| !probe.answered && probe.sent >= self.silent_since)
    }

    fn next_ping(&self, waits: &Waits) -> Instant {
        let quiet = self.silent_since + waits.ping_after;
        self.probe.map_or(quiet, |probe| quiet.max(probe.sent + waits.ping_after))
    }

    /// How long a ping may go unanswered.
    fn patience(&self, waits: &Waits) -> Duration {
        let measured = self.round_trip.unwrap_or_default().saturating_mul(4);
        measured.clamp(waits.suspect_min, waits.suspect_max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Instant {
        Instant::ZERO + Duration::from_millis(millis)
    }

    fn setup() -> (KeepAlive, Waits) {
        (KeepAlive::new(at(0)), Waits::new(&Limits::default()))
    }

    #[test]
    fn a_quiet_peer_is_pinged_suspected_and_given_up() {
        let (mut alive, waits) = setup();
        assert_eq!(alive.poll(&waits, at(7_999)), Due::Nothing);
        assert_eq!(alive.poll(&waits, at(8_000)), Due::Ping);
        alive.pinged(1, at(8_000));
        assert_eq!(alive.poll(&waits, at(10_999)), Due::Nothing);
        assert_eq!(alive.poll(&waits, at(11_000)), Due::Suspect);
        assert!(alive.is_suspect());
        assert_eq!(alive.poll(&waits, at(17_999)), Due::Nothing);
        assert_eq!(alive.poll(&waits, at(18_000)), Due::Dead);
    }

    #[test]
    fn any_byte_is_life() {
        let (mut alive, waits) = setup();
        alive.pinged(1, at(8_000));
        assert_eq!(alive.poll(&waits, at(11_000)), Due::Suspect);
        alive.heard(at(12_000));
        assert!(!alive.is_suspect());
        assert_eq!(alive.next_deadline(&waits), at(20_000));
    }

    #[test]
    fn a_pong_measures_the_round_trip_once() {
        let (mut alive, _) = setup();
        alive.pinged(7, at(100));
        assert!(!alive.answered(Some(8), at(150)));
        assert!(alive.answered(Some(7), at(180)));
        assert!(!alive.answered(Some(7), at(500)));
        assert_eq!(alive.round_trip(), Some(Duration::from_millis(80)));
        alive.pinged(9, at(1_000));
        assert!(alive.answered(None, at(1_160)));
        assert_eq!(alive.round_trip(), Some(Duration::from_millis(90)));
    }

    #[test]
    fn slow_round_trips_earn_patience_within_bounds() {
        let (mut alive, waits) = setup();
        for (round_trip, patience) in [(10, 3_000), (1_000, 4_000), (9_000, 5_000)] {
            alive.round_trip = Some(Duration::from_millis(round_trip));
            assert_eq!(alive.patience(&waits), Duration::from_millis(patience));
        }
    }

    #[test]
    fn while_we_do_not_read_we_ping_and_nobody_dies() {
        let (mut alive, waits) = setup();
        alive.freeze(at(1_000));
        assert_eq!(alive.poll(&waits, at(60_000)), Due::Ping);
        alive.pinged(1, at(60_000));
        assert_eq!(alive.poll(&waits, at(67_999)), Due::Nothing);
        alive.thaw(at(70_000));
        assert_eq!(alive.last_heard(), at(69_000));
        assert!(!alive.is_suspect());
    }

    #[test]
    fn after_a_sleep_all_clocks_start_anew() {
        let (mut alive, waits) = setup();
        alive.pinged(1, at(8_000));
        alive.start_anew(at(3_600_000));
        assert_eq!(alive.poll(&waits, at(3_607_999)), Due::Nothing);
        assert_eq!(alive.poll(&waits, at(3_608_000)), Due::Ping);
        assert_eq!(alive.last_heard(), at(0));
    }

    #[test]
    fn the_time_we_did_not_read_is_not_the_peers_fault() {
        let (mut alive, waits) = setup();
        alive.pinged(1, at(8_000));
        alive.freeze(at(9_000));
        alive.freeze(at(10_000));
        alive.thaw(at(19_000));
        assert_eq!(alive.last_heard(), at(10_000));
        assert_eq!(alive.poll(&waits, at(20_999)), Due::Nothing);
        assert_eq!(alive.poll(&waits, at(21_000)), Due::Suspect);
        assert_eq!(alive.poll(&waits, at(27_999)), Due::Nothing);
        assert_eq!(alive.poll(&waits, at(28_000)), Due::Dead);
    }

    #[test]
    fn a_byte_of_the_pings_own_instant_is_older_than_the_ping() {
        let (mut alive, waits) = setup();
        alive.heard(at(8_000));
        alive.pinged(1, at(8_000));
        assert_eq!(alive.next_deadline(&waits), at(11_000));
        assert!(alive.answered(None, at(8_100)));
        assert_eq!(alive.next_deadline(&waits), at(16_000), "an answered ping waits for nothing");
    }
}
