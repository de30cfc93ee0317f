//! One connection's life: its phase, what may be said in it, and when it runs out.
//!
//! ```text
//!             dial                         accept
//!               │                             │
//!           Dialing ──connected──► Greeting ◄─┘
//!               │                     │ hello
//!               │                   Ready
//!               │                     │ bye, disconnect, duplicate
//!               │                  Closing ── flushed, then the other's end or 1 s
//!               └──────── failed ──► Drop ◄───┘
//! ```
//!
//! Knows neither the other connections nor the node; it is told, and asked.

pub(crate) mod keepalive;

use core::net::SocketAddr;

use crate::id::PeerId;
use crate::limits::MAX_FIRST_LINE;
use crate::session::keepalive::KeepAlive;
use crate::time::Instant;
use crate::wire::native::MsgKind;

/// Blanks allowed before the first byte of a dialect.
pub(crate) const LEADING_BLANKS: u8 = 64;

/// Where a connection is in its life, with what belongs to that part of it alone.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "testing", derive(Hash))]
pub(crate) enum Phase {
    /// We dialled; the transport has not answered.
    Dialing { until: Instant, nonce: u64 },
    /// The transport is there; the other's first line is not.
    Greeting(Greeting),
    /// A peer is there.
    Ready(Ready),
    /// It ends in order: what is queued goes out, then the other's end is awaited.
    Closing(Closing),
}

/// Before the other's hello.
#[derive(Copy, Clone, Debug)]
#[cfg_attr(feature = "testing", derive(Hash))]
pub(crate) struct Greeting {
    pub(crate) until: Instant,
    pub(crate) since: Instant,
    /// Bytes received.
    pub(crate) bytes: usize,
    /// Blanks before the first other byte; `None` once that was seen.
    pub(crate) blanks: Option<u8>,
}

/// A session with a peer.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "testing", derive(Hash))]
pub(crate) struct Ready {
    pub(crate) peer: PeerId,
    pub(crate) version: u64,
    pub(crate) alive: KeepAlive,
    /// The longest line the peer takes.
    pub(crate) max_line: usize,
    /// Where the peer can be dialled, as far as we know.
    pub(crate) listens: Option<SocketAddr>,
    /// When we last answered its getaddr.
    pub(crate) getaddr_answered: Option<Instant>,
    pub(crate) budget: Budget,
    pub(crate) superseded: Option<Superseded>,
}

/// The other side said that another connection stays, and we have not met that one yet: it is still
/// on its way. Until then this one goes on carrying the peer; the other side reads it to its end.
#[derive(Copy, Clone, Debug)]
#[cfg_attr(feature = "testing", derive(Hash))]
pub(crate) struct Superseded {
    /// How long we wait for the other one.
    pub(crate) until: Instant,
    /// The other side's half is shut.
    pub(crate) ended: bool,
}

/// The end of a connection.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "testing", derive(Hash))]
pub(crate) struct Closing {
    pub(crate) since: Instant,
    pub(crate) until: Instant,
    /// Our writing half is shut.
    pub(crate) finished: bool,
    /// The other's is.
    pub(crate) ended: bool,
    /// Lost to another connection of this peer: what still arrives counts.
    pub(crate) loser: Option<PeerId>,
}

impl Phase {
    pub(crate) fn name(&self) -> PhaseName {
        match self {
            Self::Dialing { .. } => PhaseName::Dialing,
            Self::Greeting(_) => PhaseName::Greeting,
            Self::Ready(ready) if ready.version == 0 => PhaseName::ReadyV0,
            Self::Ready(_) => PhaseName::Ready,
            Self::Closing(closing) if closing.loser.is_some() => PhaseName::Losing,
            Self::Closing(_) => PhaseName::Closing,
        }
    }

    /// Whose words arrive, if anybody's.
    pub(crate) fn speaker(&self) -> Option<&PeerId> {
        match self {
            Self::Ready(ready) => Some(&ready.peer),
            Self::Closing(closing) => closing.loser.as_ref(),
            Self::Dialing { .. } | Self::Greeting(_) => None,
        }
    }

    /// The longest line taken now, given the longest ever.
    pub(crate) fn line_limit(&self, max_line: usize) -> usize {
        match self {
            Self::Dialing { .. } | Self::Greeting(_) => MAX_FIRST_LINE,
            Self::Ready(_) | Self::Closing(_) => max_line,
        }
    }
}

/// The phases as the protocol's table names them.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(crate) enum PhaseName {
    Dialing,
    Greeting,
    ReadyV0,
    Ready,
    Losing,
    Closing,
}

#[cfg(feature = "testing")]
impl PhaseName {
    /// All of them, in the order of the protocol's table.
    pub(crate) const ALL: [Self; 6] =
        [Self::Dialing, Self::Greeting, Self::ReadyV0, Self::Ready, Self::Losing, Self::Closing];
}

/// What becomes of a message in a phase.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(crate) enum Reception {
    /// It is acted upon.
    Handle,
    /// It is counted as unknown and ignored.
    Unknown,
    /// It is read and discarded.
    Discard,
    /// It ends the connection: something else had to come first.
    NotHello,
    /// It ends the connection: once is enough.
    SecondHello,
}

/// The protocol's table of states: what becomes of which message when.
pub(crate) fn reception(phase: PhaseName, msg: MsgKind) -> Reception {
    use MsgKind as M;
    match (phase, msg) {
        (PhaseName::Dialing | PhaseName::Closing, _) => Reception::Discard,
        (PhaseName::Greeting, M::Hello | M::Bye) => Reception::Handle,
        (PhaseName::Greeting, _) => Reception::NotHello,
        (PhaseName::Ready | PhaseName::ReadyV0, M::Hello) => Reception::SecondHello,
        (PhaseName::ReadyV0, M::Ping | M::Pong | M::Getaddr | M::Addr) => Reception::Handle,
        (PhaseName::ReadyV0, _) => Reception::Unknown,
        (PhaseName::Ready, M::Unknown) => Reception::Unknown,
        (PhaseName::Ready, _) => Reception::Handle,
        (PhaseName::Losing, M::Broadcast | M::Message) => Reception::Handle,
        (PhaseName::Losing, _) => Reception::Discard,
    }
}

/// What the first byte that is no blank says.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(crate) enum Dialect {
    /// Nothing yet: only blanks so far.
    Undecided,
    /// The native one.
    Native,
    /// None that is spoken here.
    Unknown(u8),
}

impl Greeting {
    /// Looks at the next bytes until the dialect is known, and takes the blanks off their front.
    /// The result depends on the bytes alone, not on how they are cut.
    pub(crate) fn detect(&mut self, bytes: &mut &[u8]) -> Dialect {
        let Some(mut blanks) = self.blanks else { return Dialect::Native };
        while let Some((first, rest)) = bytes.split_first() {
            match first {
                b' ' | b'\t' | b'\r' | b'\n' if blanks < LEADING_BLANKS => {
                    blanks = blanks.saturating_add(1);
                    *bytes = rest;
                }
                b'{' => {
                    self.blanks = None;
                    return Dialect::Native;
                }
                other => return Dialect::Unknown(*other),
            }
        }
        self.blanks = Some(blanks);
        Dialect::Undecided
    }
}

/// A token bucket for the addresses that a peer tells.
#[derive(Copy, Clone, Debug)]
#[cfg_attr(feature = "testing", derive(Hash))]
pub(crate) struct Budget {
    tokens: u32,
    burst: u32,
    every: core::time::Duration,
    since: Instant,
}

impl Budget {
    pub(crate) fn new(burst: u32, every: core::time::Duration, now: Instant) -> Self {
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

    fn greeting() -> Greeting {
        let until = Instant::ZERO + Duration::from_secs(10);
        Greeting { until, since: Instant::ZERO, bytes: 0, blanks: Some(0) }
    }

    /// The decision on the whole, which every cut must repeat.
    fn check(bytes: &[u8], expected: Dialect) {
        let mut whole = bytes;
        assert_eq!(greeting().detect(&mut whole), expected);
        for cut in 0..bytes.len() {
            let (mut a, mut b) = bytes.split_at(cut);
            let mut greeting = greeting();
            let first = greeting.detect(&mut a);
            let cut_result =
                if first == Dialect::Undecided { greeting.detect(&mut b) } else { first };
            assert_eq!(cut_result, expected, "cut at {cut}");
        }
    }

    #[test]
    fn the_first_byte_that_is_no_blank_decides() {
        check(b"", Dialect::Undecided);
        check(b" \t\r\n", Dialect::Undecided);
        check(b" \r\n{x", Dialect::Native);
        check(b"\0{", Dialect::Unknown(0));
        check(b"  PING", Dialect::Unknown(b'P'));
        check(&[b' '; 64], Dialect::Undecided);
        check(&[b' '; 65], Dialect::Unknown(b' '));
    }

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
