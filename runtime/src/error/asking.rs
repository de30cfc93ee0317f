//! Why a request has no answer, and why an answer was not sent.
//!
//! Decides how the three ways in which a request fails are one type: it was not asked, somebody
//! said no, or nobody answered.

use std::error::Error;
use std::fmt;

use peerline_proto as proto;
use peerline_proto::{BodyError, NakCode, PeerId, RequestFailure};

use super::CommandError;

with_command_errors!(RequestError, ReplyError);

/// Why a request was not made, or how it ended without its last reply.
///
/// | variant | whose fault | was it asked? | retry? |
/// |---|---|---|---|
/// | `Nak` | see [`NakCode`] | it was not carried out | after `Busy`, `NoRoute` |
/// | `Timeout` | unclear | it may have been carried out | if twice does no harm |
/// | `Behind` | the application's: it does not read its replies | yes | with a reader |
/// | `NoRoute` | nobody's: there is nobody to ask for a way | no | after `PeerUp` |
/// | `Unsupported`, `Own` | the caller's | no | no |
/// | `Full` | nobody's: the way is slow | no | after `Writable` |
/// | `TooMany` | the caller's: too many are pending | no | when one has ended |
/// | `TooLarge`, `KindTooLong`, `KindUnfit`, `Body` | the caller's | no | no |
/// | `Busy` | see [`CommandError`] | no | later |
/// | `Stopped` | see [`CommandError`] | it may have been | no |
/// | `WouldDeadlock` | see [`CommandError`] | yes | do not wait |
/// | `Other` | unknown to this version | unclear | no |
#[derive(Debug)]
#[non_exhaustive]
pub enum RequestError {
    /// Somebody on the way, or at its end, said no.
    Nak {
        /// What it said.
        code: NakCode,
        /// Who says so, by its own word; for want of a route, it may be we ourselves.
        at: Option<PeerId>,
    },
    /// The last reply did not come in time, or not all before it.
    Timeout,
    /// Replies came faster than they were read, and what came then is lost.
    Behind {
        /// Bytes of replies that wait, here or in all.
        queued: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// No way to the node is known, and nobody is there to ask for one.
    NoRoute,
    /// The peer's dialect has no requests, or is switched off here.
    Unsupported,
    /// A request to ourselves.
    Own,
    /// The queue on the way is full.
    Full {
        /// Bytes that wait.
        queued: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// Too many requests are pending, by number or by bytes.
    TooMany {
        /// Which of the `Limits`.
        bound: &'static str,
        /// Requests, or bytes, this one's among them.
        used: usize,
        /// How many may be.
        limit: usize,
    },
    /// The line would be longer than the next node takes.
    TooLarge {
        /// Bytes of the line.
        len: usize,
        /// Bytes the next node takes.
        limit: usize,
    },
    /// The kind is too long.
    KindTooLong {
        /// Bytes of the kind.
        len: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// No frame of a guest carries the kind: it is empty, or not printable ASCII.
    KindUnfit {
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

impl From<BodyError> for RequestError {
    fn from(error: BodyError) -> Self {
        Self::Body(error)
    }
}

impl From<proto::RequestError> for RequestError {
    fn from(error: proto::RequestError) -> Self {
        match error {
            proto::RequestError::NoRoute => Self::NoRoute,
            proto::RequestError::Unsupported => Self::Unsupported,
            proto::RequestError::Own => Self::Own,
            proto::RequestError::Full { queued, limit } => Self::Full { queued, limit },
            proto::RequestError::Busy { bound, used, limit } => {
                Self::TooMany { bound, used, limit }
            }
            proto::RequestError::TooLarge { len, limit } => Self::TooLarge { len, limit },
            proto::RequestError::KindTooLong { len, limit } => Self::KindTooLong { len, limit },
            proto::RequestError::KindUnfit { len, limit } => Self::KindUnfit { len, limit },
            proto::RequestError::Stopping => Self::Stopped,
            // The enum may grow; what is new there has no word here yet.
            other => Self::Other(other.to_string()),
        }
    }
}

impl From<RequestFailure> for RequestError {
    fn from(failure: RequestFailure) -> Self {
        match failure {
            RequestFailure::Nak { code, at } => Self::Nak { code, at },
            RequestFailure::Timeout => Self::Timeout,
            RequestFailure::Stopping => Self::Stopped,
            // The enum may grow; what is new there has no word here yet.
            other => Self::Other(other.to_string()),
        }
    }
}

impl fmt::Display for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nak { code, at: Some(at) } => write!(f, "{code}, says {at}"),
            Self::Nak { code, at: None } => code.fmt(f),
            Self::Timeout => f.write_str("no answer in time"),
            Self::Behind { queued, limit } => {
                write!(f, "{queued} bytes of replies wait to be read; the limit is {limit}")
            }
            Self::NoRoute => f.write_str("no route, and nobody to ask for one"),
            Self::Unsupported => f.write_str("the peer's dialect has no requests"),
            Self::Own => f.write_str("a request to ourselves"),
            Self::Full { queued, limit } => {
                write!(f, "{queued} bytes wait on the way; the limit is {limit}")
            }
            Self::TooMany { bound, used, limit } => {
                write!(f, "{bound} is at {used}; the limit is {limit}")
            }
            Self::TooLarge { len, limit } => {
                write!(f, "line is {len} bytes; the limit is {limit}")
            }
            Self::KindTooLong { len, limit } => {
                write!(f, "kind is {len} bytes; the limit is {limit}")
            }
            Self::KindUnfit { len, limit } => {
                write!(f, "kind has {len} bytes; a guest takes 1 to {limit}, of printable ASCII")
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

impl Error for RequestError {}

/// Why an answer to a request was not queued. If it was to be the last one, whoever asked is told
/// a no in its place, as far as there is a way.
///
/// | variant | whose fault | state changed? | retry? |
/// |---|---|---|---|
/// | `Gone` | nobody's: answered already, or nobody waits any more | no | no |
/// | `Full` | nobody's: the way back is slow | no | after `Writable` |
/// | `TooLarge`, `KindTooLong`, `KindUnfit`, `Body` | the caller's | no | no |
/// | `Busy` | the caller's: answers come faster than they are sent | no | later |
/// | `Stopped`, `WouldDeadlock` | see [`CommandError`] | | |
/// | `Other` | unknown to this version | no | no |
#[derive(Debug)]
#[non_exhaustive]
pub enum ReplyError {
    /// The request has had its last reply, or its deadline has passed.
    Gone,
    /// The queue on the way back is full.
    Full {
        /// Bytes that wait.
        queued: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// The line would be longer than the next node takes.
    TooLarge {
        /// Bytes of the line.
        len: usize,
        /// Bytes the next node takes.
        limit: usize,
    },
    /// The kind is too long; guests read four bytes of it.
    KindTooLong {
        /// Bytes of the kind.
        len: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// No frame of a guest carries the kind: it is empty, or not printable ASCII.
    KindUnfit {
        /// Bytes of the kind.
        len: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// The body does not convert to JSON.
    Body(BodyError),
    /// Too many answers wait for the driver.
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

impl From<BodyError> for ReplyError {
    fn from(error: BodyError) -> Self {
        Self::Body(error)
    }
}

impl From<proto::ReplyError> for ReplyError {
    fn from(error: proto::ReplyError) -> Self {
        match error {
            proto::ReplyError::Gone => Self::Gone,
            proto::ReplyError::Full { queued, limit } => Self::Full { queued, limit },
            proto::ReplyError::TooLarge { len, limit } => Self::TooLarge { len, limit },
            proto::ReplyError::KindTooLong { len, limit } => Self::KindTooLong { len, limit },
            proto::ReplyError::KindUnfit { len, limit } => Self::KindUnfit { len, limit },
            proto::ReplyError::Stopping => Self::Stopped,
            // The enum may grow; what is new there has no word here yet.
            other => Self::Other(other.to_string()),
        }
    }
}

impl fmt::Display for ReplyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gone => f.write_str("answered already, or too late"),
            Self::Full { queued, limit } => {
                write!(f, "{queued} bytes wait on the way; the limit is {limit}")
            }
            Self::TooLarge { len, limit } => {
                write!(f, "line is {len} bytes; the limit is {limit}")
            }
            Self::KindTooLong { len, limit } => {
                write!(f, "kind is {len} bytes; the limit is {limit}")
            }
            Self::KindUnfit { len, limit } => {
                write!(f, "kind has {len} bytes; a guest takes 1 to {limit}, of printable ASCII")
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

impl Error for ReplyError {}
