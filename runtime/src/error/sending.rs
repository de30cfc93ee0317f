//! Why a dial, a message or a broadcast was not begun.
//!
//! Decides how the words of the node for these become ours: all that it says with its numbers, and
//! what a later node may say as a text.

use std::error::Error;
use std::fmt;
use std::io;
use std::net::SocketAddr;

use peerline_proto as proto;
use peerline_proto::{BodyError, ConnId, Dialect};

use super::CommandError;

with_command_errors!(DialError, SendError, BroadcastError);

/// Why a dial was not begun. How it ends is told by an event.
///
/// | variant | whose fault | state changed? | retry? |
/// |---|---|---|---|
/// | `Resolve` | the caller's or the resolver's | no | later |
/// | `Unusable`, `Own` | the caller's | no | no |
/// | `Dialing` | nobody's: it is under way | no | no need |
/// | `DialectOff` | the configuration's | no | no |
/// | `TooMany` | nobody's: enough guests are being visited | no | when one visit has ended |
/// | `Behind` | the application's: it does not take its events | no | when it does |
/// | `Busy`, `Stopped`, `WouldDeadlock` | see [`CommandError`] | | |
/// | `Other` | unknown to this version | no | no |
#[derive(Debug)]
#[non_exhaustive]
pub enum DialError {
    /// The name has no address.
    Resolve {
        /// The name.
        name: String,
        /// What the resolver said.
        error: io::Error,
    },
    /// Nobody can be reached there.
    Unusable(SocketAddr),
    /// The address is our own.
    Own(SocketAddr),
    /// A dial to the address is under way.
    Dialing {
        /// The dial under way.
        conn: ConnId,
    },
    /// The dialect is switched off.
    DialectOff {
        /// The dialect.
        dialect: Dialect,
    },
    /// Too many guests are being visited.
    TooMany {
        /// Visits under way.
        under_way: usize,
        /// How many may be.
        limit: usize,
    },
    /// The application is too far behind with its events.
    Behind {
        /// Bytes of events that wait.
        queued: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// Too many commands wait for the driver.
    Busy {
        /// What waits, in words.
        what: &'static str,
        /// How many wait.
        waiting: usize,
        /// How many may.
        limit: usize,
    },
    /// The node has ended, or is about to.
    Stopped,
    /// Waiting here would wait for ever.
    WouldDeadlock,
    /// Something else, in the node's words.
    Other(String),
}

impl From<proto::DialError> for DialError {
    fn from(error: proto::DialError) -> Self {
        match error {
            proto::DialError::Unusable(addr) => Self::Unusable(addr),
            proto::DialError::Own(addr) => Self::Own(addr),
            proto::DialError::Dialing { conn } => Self::Dialing { conn },
            proto::DialError::DialectOff { dialect } => Self::DialectOff { dialect },
            proto::DialError::TooMany { under_way, limit } => Self::TooMany { under_way, limit },
            proto::DialError::Busy { queued, limit } => Self::Behind { queued, limit },
            proto::DialError::Stopping => Self::Stopped,
            // The enum may grow; what is new there has no word here yet.
            other => Self::Other(other.to_string()),
        }
    }
}

impl fmt::Display for DialError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Resolve { name, error } => write!(f, "cannot resolve {name:?}: {error}"),
            Self::Unusable(addr) => write!(f, "{addr} is no address to dial"),
            Self::Own(addr) => write!(f, "{addr} is our own address"),
            Self::Dialing { conn } => write!(f, "{conn} to this address is under way"),
            Self::DialectOff { dialect } => {
                write!(f, "the {dialect} dialect is switched off here")
            }
            Self::TooMany { under_way, limit } => {
                write!(f, "{under_way} visits to guests are under way; the limit is {limit}")
            }
            Self::Behind { queued, limit } => {
                write!(f, "{queued} bytes of events wait; the limit is {limit}")
            }
            &Self::Busy { what, waiting, limit } => {
                CommandError::Busy { what, waiting, limit }.fmt(f)
            }
            Self::Stopped => CommandError::Stopped.fmt(f),
            Self::WouldDeadlock => CommandError::WouldDeadlock.fmt(f),
            Self::Other(text) => f.write_str(text),
        }
    }
}

impl Error for DialError {}

/// Why a message to one peer was not queued.
///
/// | variant | whose fault | state changed? | retry? |
/// |---|---|---|---|
/// | `NotConnected` | nobody's | no | after `PeerUp` |
/// | `Unsupported` | the caller's: the peer's dialect has no such message | no | no |
/// | `Full` | nobody's: the peer is slow | no | after `Writable` |
/// | `TooLarge`, `KindTooLong`, `Body` | the caller's | no | no |
/// | `Busy`, `Stopped`, `WouldDeadlock` | see [`CommandError`] | | |
/// | `Other` | unknown to this version | no | no |
#[derive(Debug)]
#[non_exhaustive]
pub enum SendError {
    /// No such peer is connected.
    NotConnected,
    /// The peer's dialect has no one-to-one messages.
    Unsupported,
    /// The peer's queue is full.
    Full {
        /// Bytes that wait.
        queued: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// The line would be longer than the peer takes.
    TooLarge {
        /// Bytes of the line.
        len: usize,
        /// Bytes the peer takes.
        limit: usize,
    },
    /// The kind is too long.
    KindTooLong {
        /// Bytes of the kind.
        len: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// The body does not convert to JSON.
    Body(BodyError),
    /// Too many commands wait for the driver.
    Busy {
        /// What waits, in words.
        what: &'static str,
        /// How many wait.
        waiting: usize,
        /// How many may.
        limit: usize,
    },
    /// The node has ended, or is about to.
    Stopped,
    /// Waiting here would wait for ever.
    WouldDeadlock,
    /// Something else, in the node's words.
    Other(String),
}

impl From<BodyError> for SendError {
    fn from(error: BodyError) -> Self {
        Self::Body(error)
    }
}

impl From<proto::SendError> for SendError {
    fn from(error: proto::SendError) -> Self {
        match error {
            proto::SendError::NotConnected => Self::NotConnected,
            proto::SendError::Unsupported => Self::Unsupported,
            proto::SendError::Full { queued, limit } => Self::Full { queued, limit },
            proto::SendError::TooLarge { len, limit } => Self::TooLarge { len, limit },
            proto::SendError::KindTooLong { len, limit } => Self::KindTooLong { len, limit },
            proto::SendError::Stopping => Self::Stopped,
            // The enum may grow; what is new there has no word here yet.
            other => Self::Other(other.to_string()),
        }
    }
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotConnected => f.write_str("no such peer is connected"),
            Self::Unsupported => f.write_str("the peer's dialect has no one-to-one messages"),
            Self::Full { queued, limit } => {
                write!(f, "{queued} bytes wait for the peer; the limit is {limit}")
            }
            Self::TooLarge { len, limit } => {
                write!(f, "line is {len} bytes; the limit is {limit}")
            }
            Self::KindTooLong { len, limit } => {
                write!(f, "kind is {len} bytes; the limit is {limit}")
            }
            Self::Body(error) => error.fmt(f),
            &Self::Busy { what, waiting, limit } => {
                CommandError::Busy { what, waiting, limit }.fmt(f)
            }
            Self::Stopped => CommandError::Stopped.fmt(f),
            Self::WouldDeadlock => CommandError::WouldDeadlock.fmt(f),
            Self::Other(text) => f.write_str(text),
        }
    }
}

impl Error for SendError {}

/// Why a broadcast was not made. One that reaches nobody is no error: the receipt says so.
///
/// | variant | whose fault | state changed? | retry? |
/// |---|---|---|---|
/// | `TooLarge`, `KindTooLong`, `TooDeep`, `Body` | the caller's | no | no |
/// | `Busy`, `Stopped`, `WouldDeadlock` | see [`CommandError`] | | |
/// | `Other` | unknown to this version | no | no |
#[derive(Debug)]
#[non_exhaustive]
pub enum BroadcastError {
    /// The line would be longer than a broadcast may be.
    TooLarge {
        /// Bytes of the line.
        len: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// The kind is too long.
    KindTooLong {
        /// Bytes of the kind.
        len: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// A line of chat, which stands in an object of its own, nests too deeply.
    TooDeep {
        /// Levels of the body.
        depth: usize,
        /// Levels allowed.
        limit: usize,
    },
    /// The body does not convert to JSON.
    Body(BodyError),
    /// Too many commands wait for the driver.
    Busy {
        /// What waits, in words.
        what: &'static str,
        /// How many wait.
        waiting: usize,
        /// How many may.
        limit: usize,
    },
    /// The node has ended, or is about to.
    Stopped,
    /// Waiting here would wait for ever.
    WouldDeadlock,
    /// Something else, in the node's words.
    Other(String),
}

impl From<BodyError> for BroadcastError {
    fn from(error: BodyError) -> Self {
        Self::Body(error)
    }
}

impl From<proto::BroadcastError> for BroadcastError {
    fn from(error: proto::BroadcastError) -> Self {
        match error {
            proto::BroadcastError::TooLarge { len, limit } => Self::TooLarge { len, limit },
            proto::BroadcastError::KindTooLong { len, limit } => Self::KindTooLong { len, limit },
            proto::BroadcastError::TooDeep { depth, limit } => Self::TooDeep { depth, limit },
            proto::BroadcastError::Stopping => Self::Stopped,
            // The enum may grow; what is new there has no word here yet.
            other => Self::Other(other.to_string()),
        }
    }
}

impl fmt::Display for BroadcastError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge { len, limit } => {
                write!(f, "line is {len} bytes; the limit is {limit}")
            }
            Self::KindTooLong { len, limit } => {
                write!(f, "kind is {len} bytes; the limit is {limit}")
            }
            Self::TooDeep { depth, limit } => {
                write!(f, "a line of chat nests {depth} levels deep; the limit is {limit}")
            }
            Self::Body(error) => error.fmt(f),
            &Self::Busy { what, waiting, limit } => {
                CommandError::Busy { what, waiting, limit }.fmt(f)
            }
            Self::Stopped => CommandError::Stopped.fmt(f),
            Self::WouldDeadlock => CommandError::WouldDeadlock.fmt(f),
            Self::Other(text) => f.write_str(text),
        }
    }
}

impl Error for BroadcastError {}
