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
//! A guest's connection carries one exchange: BTPeer leads to Guest, chat to Closing at once.
//! Knows neither the other connections nor the node; it is told, and asked.

pub(crate) mod btpeer;
pub(crate) mod keepalive;
pub(crate) mod opening;

use alloc::sync::Arc;
use core::net::{IpAddr, SocketAddr};

use crate::budget::Budget;
use crate::id::PeerId;
use crate::session::btpeer::{Exchange, Visit};
use crate::session::keepalive::KeepAlive;
use crate::session::opening::Opening;
use crate::time::Instant;
use crate::wire::msg::MsgKind;

/// Where a connection is in its life, with what belongs to that part of it alone.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "testing", derive(Hash))]
pub(crate) enum Phase {
    /// We dialled; the transport has not answered.
    Dialing { until: Instant, call: Call },
    /// The transport is there; the other's first line is not.
    Greeting(Greeting),
    /// A peer is there.
    Ready(Ready),
    /// A guest's one exchange is under way.
    Guest(Exchange),
    /// It ends in order: what is queued goes out, then the other's end is awaited.
    Closing(Closing),
}

/// What a dial is for, and in which dialect.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "testing", derive(Hash))]
pub(crate) enum Call {
    /// A session; the nonce of our hello.
    Native { nonce: u64 },
    /// A request to a BTPeer peer.
    Btpeer(Visit),
    /// An object for a chat peer.
    Chat { say: Say, to: Callee },
}

/// Which chat peer is called.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "testing", derive(Hash))]
pub(crate) enum Callee {
    /// One that is remembered, by the id it gave itself.
    Known(Arc<str>),
    /// One that the application joins.
    Joined,
    /// One that another told us of.
    Told,
}

/// What a chat peer is told.
#[derive(Clone, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "testing", derive(Hash))]
pub(crate) enum Say {
    /// That we are here; where that is, is known when the connection is.
    Ping,
    /// That we heard it is there.
    Pong,
    /// An object that is written already.
    Object(Arc<str>),
}

/// Before the other's first message.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "testing", derive(Hash))]
pub(crate) struct Greeting {
    pub(crate) until: Instant,
    pub(crate) since: Instant,
    /// Bytes received.
    pub(crate) bytes: usize,
    pub(crate) opening: Opening,
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
    /// Broadcasts that came by it and were rejected.
    pub(crate) rejected: u64,
    /// When it said hello.
    pub(crate) since: Instant,
    /// Where it says that it sees us.
    pub(crate) sees: Option<IpAddr>,
    pub(crate) news: News,
    /// Both of us route by keyspace.
    pub(crate) by_keyspace: bool,
    /// The connection carries no broadcasts.
    pub(crate) routes_only: bool,
    pub(crate) superseded: Option<Superseded>,
}

/// What a peer was the first to bring.
#[derive(Copy, Clone, Debug, Default)]
#[cfg_attr(feature = "testing", derive(Hash))]
pub(crate) struct News {
    /// How many broadcasts.
    pub(crate) count: u64,
    /// When the last one came.
    pub(crate) last: Option<Instant>,
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
    /// Until when that may be put off while the other reads.
    pub(crate) latest: Instant,
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
            // Whatever a guest goes on to say is discarded.
            Self::Closing(_) | Self::Guest(_) => PhaseName::Closing,
        }
    }

    /// Whose words arrive, if anybody's.
    pub(crate) fn speaker(&self) -> Option<&PeerId> {
        match self {
            Self::Ready(ready) => Some(&ready.peer),
            Self::Closing(closing) => closing.loser.as_ref(),
            Self::Dialing { .. } | Self::Greeting(_) | Self::Guest(_) => None,
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
        (PhaseName::Losing, M::Broadcast | M::Message | M::Request | M::Reply) => Reception::Handle,
        (PhaseName::Losing, M::Nak | M::Find | M::Found) => Reception::Handle,
        (PhaseName::Losing, _) => Reception::Discard,
    }
}
