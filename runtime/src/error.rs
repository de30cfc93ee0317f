//! What can go wrong with a command or a start: one flat enum for each.
//!
//! Decides how the node's own errors and the three that only a driver knows (`Busy`, `Stopped`,
//! `WouldDeadlock`) are put into one type, so that a caller matches once. It never hides which of
//! them it was. Each table says whose fault it is, whether anything changed, and whether trying
//! again helps.

use std::error::Error;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use peerline_proto as proto;
use peerline_proto::{BodyError, ConfigError, ConnId, Dialect, NakCode, PeerId, RequestFailure};

/// Why a command that the node itself always takes was not done.
///
/// | variant | whose fault | state changed? | retry? |
/// |---|---|---|---|
/// | `Busy` | the caller's: commands come faster than they are done | no | later |
/// | `Stopped` | nobody's: the node has ended | the command may have been done | no |
/// | `WouldDeadlock` | the caller's: waits on the driver's thread | done later | do not wait |
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum CommandError {
    /// The command queue is full.
    Busy,
    /// The node ended before it answered.
    Stopped,
    /// Waiting here would wait for ever.
    WouldDeadlock,
}

impl fmt::Display for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Busy => "the command queue is full",
            Self::Stopped => "the node has stopped",
            Self::WouldDeadlock => "waiting on the thread that drives the node would never end",
        })
    }
}

impl Error for CommandError {}

/// The three stand in the enum of each command that can fail otherwise too.
macro_rules! with_command_errors {
    ($($name:ident),*) => { $(
        impl From<CommandError> for $name {
            fn from(error: CommandError) -> Self {
                match error {
                    CommandError::Busy => Self::Busy,
                    CommandError::Stopped => Self::Stopped,
                    CommandError::WouldDeadlock => Self::WouldDeadlock,
                }
            }
        }
    )* };
}

with_command_errors!(DialError, SendError, BroadcastError, SaveError);

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
    /// The command queue is full.
    Busy,
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
            Self::Busy => CommandError::Busy.fmt(f),
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
    /// The command queue is full.
    Busy,
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
            Self::Busy => CommandError::Busy.fmt(f),
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
    /// The command queue is full.
    Busy,
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
            Self::Busy => CommandError::Busy.fmt(f),
            Self::Stopped => CommandError::Stopped.fmt(f),
            Self::WouldDeadlock => CommandError::WouldDeadlock.fmt(f),
            Self::Other(text) => f.write_str(text),
        }
    }
}

impl Error for BroadcastError {}

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
/// | `TooLarge`, `KindTooLong`, `Body` | the caller's | no | no |
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
    /// The body does not convert to JSON.
    Body(BodyError),
    /// The command queue is full.
    Busy,
    /// The node has ended, or is about to.
    Stopped,
    /// Waiting here would wait for ever.
    WouldDeadlock,
    /// Something else, in the node's words.
    Other(String),
}

impl From<CommandError> for RequestError {
    fn from(error: CommandError) -> Self {
        match error {
            CommandError::Busy => Self::Busy,
            CommandError::Stopped => Self::Stopped,
            CommandError::WouldDeadlock => Self::WouldDeadlock,
        }
    }
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
            Self::Body(error) => error.fmt(f),
            Self::Busy => CommandError::Busy.fmt(f),
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
/// | `TooLarge`, `KindTooLong`, `Body` | the caller's | no | no |
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
    /// The body does not convert to JSON.
    Body(BodyError),
    /// The queue of answers is full.
    Busy,
    /// The node has ended, or is about to.
    Stopped,
    /// Waiting here would wait for ever.
    WouldDeadlock,
    /// Something else, in the node's words.
    Other(String),
}

impl From<CommandError> for ReplyError {
    fn from(error: CommandError) -> Self {
        match error {
            CommandError::Busy => Self::Busy,
            CommandError::Stopped => Self::Stopped,
            CommandError::WouldDeadlock => Self::WouldDeadlock,
        }
    }
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
            Self::Body(error) => error.fmt(f),
            Self::Busy => f.write_str("the queue of answers is full"),
            Self::Stopped => CommandError::Stopped.fmt(f),
            Self::WouldDeadlock => CommandError::WouldDeadlock.fmt(f),
            Self::Other(text) => f.write_str(text),
        }
    }
}

impl Error for ReplyError {}

/// Why the address book was not saved.
///
/// | variant | whose fault | state changed? | retry? |
/// |---|---|---|---|
/// | `NoBook` | the caller's: the node was given no file | no | no |
/// | `Write` | the file system's | no: the file is as it was | when there is room, say |
/// | `Busy`, `Stopped`, `WouldDeadlock` | see [`CommandError`] | | |
#[derive(Debug)]
#[non_exhaustive]
pub enum SaveError {
    /// The node has no file for its book.
    NoBook,
    /// The file could not be written.
    Write(io::Error),
    /// The command queue is full, or too many wait for a save.
    Busy,
    /// The node has ended, or is about to.
    Stopped,
    /// Waiting here would wait for ever.
    WouldDeadlock,
}

impl fmt::Display for SaveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoBook => f.write_str("the node has no file for its address book"),
            Self::Write(error) => write!(f, "cannot write the address book: {error}"),
            Self::Busy => CommandError::Busy.fmt(f),
            Self::Stopped => CommandError::Stopped.fmt(f),
            Self::WouldDeadlock => CommandError::WouldDeadlock.fmt(f),
        }
    }
}

impl Error for SaveError {}

/// Why a node did not start, or could not go on.
///
/// | variant | whose fault | state changed? | retry? |
/// |---|---|---|---|
/// | `Config`, `Address` | the caller's | no | with other settings |
/// | `Listen` | somebody else has the address, or it is not ours | no | later, or elsewhere |
/// | `Book` | the caller's: no such folder, or no right to read | no | with another path |
/// | `System` | the operating system's | no | later |
#[derive(Debug)]
#[non_exhaustive]
pub enum StartError {
    /// A setting does not fit.
    Config(ConfigError),
    /// A text is no address to listen at.
    Address {
        /// The text.
        text: String,
        /// What is wrong with it.
        error: io::Error,
    },
    /// We cannot listen there.
    Listen {
        /// Where.
        addr: SocketAddr,
        /// What the system said.
        error: io::Error,
    },
    /// The file of the address book cannot be read. One that is no book is no error.
    Book {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// The system gave no randomness, thread or event queue.
    System(io::Error),
}

impl From<ConfigError> for StartError {
    fn from(error: ConfigError) -> Self {
        Self::Config(error)
    }
}

impl From<io::Error> for StartError {
    fn from(error: io::Error) -> Self {
        Self::System(error)
    }
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(error) => error.fmt(f),
            Self::Address { text, error } => write!(f, "{text:?} is no address: {error}"),
            Self::Listen { addr, error } => write!(f, "cannot listen at {addr}: {error}"),
            Self::Book { path, error } => {
                write!(f, "cannot read the address book {}: {error}", path.display())
            }
            Self::System(error) => error.fmt(f),
        }
    }
}

impl Error for StartError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Config(_) => None,
            Self::Address { error, .. } | Self::Listen { error, .. } | Self::Book { error, .. } => {
                Some(error)
            }
            Self::System(error) => error.source(),
        }
    }
}
