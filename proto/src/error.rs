//! What can go wrong, one small enum per operation.
//!
//! A caller's fault is an `Err` of that call; a peer's fault ends its connection and arrives as a
//! [`CloseReason`] in an event. Each enum has a table: whose fault, whether state changed, and
//! whether to try again.

use core::net::SocketAddr;

use crate::dialect::Dialect;
use crate::id::ConnId;

/// Why a connection ended.
///
/// | variant | whose fault | dial again? |
/// |---|---|---|
/// | `Local` | nobody's: we ended it | as you like |
/// | `Goodbye` | nobody's: the other ended it | the node does, unless it said for how long not |
/// | `Duplicate` | nobody's: another connection to the same node stays | no need |
/// | `SelfConnection` | nobody's: the address is our own | not for an hour |
/// | `SameId` | unclear: somebody else carries our node id | no |
/// | `Full` | nobody's: we have no room for the peer | later |
/// | `Crowded` | nobody's: gave way to newer connections before its first line | later |
/// | `Network`, `Version` | configuration | no |
/// | `Transport` | the network's | the node does |
/// | `Violation` | the peer's | no |
/// | `DialTimeout`, `HandshakeTimeout` | the peer's or the network's | the node does |
/// | `KeepAliveTimeout`, `WriteStall` | the peer's or the network's | the node does |
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
#[cfg_attr(feature = "testing", derive(Hash))]
pub enum CloseReason {
    /// We ended it: `disconnect`, `shutdown`, an address that was only to be tested, a peer whose
    /// place another took, a call to a guest that is forgotten.
    #[error("closed here")]
    Local,
    /// The other side said bye.
    #[error("the peer said bye: {0}")]
    Goodbye(ByeReason),
    /// Another connection between the same two nodes stays.
    #[error("a second connection between the same nodes")]
    Duplicate,
    /// We reached ourselves.
    #[error("a connection to ourselves")]
    SelfConnection,
    /// The other side carries our own node id.
    #[error("the peer carries our own node id")]
    SameId,
    /// No room for another peer that dials us.
    #[error("no room: {peers} peers; the limit is {limit}")]
    Full {
        /// Peers of this kind.
        peers: usize,
        /// How many may be.
        limit: usize,
    },
    /// Too many connections without a first line; this one gave way.
    #[error("gave way to newer connections before its first line; the limit is {limit}")]
    Crowded {
        /// Connections without a first line allowed at once.
        limit: usize,
    },
    /// The other side belongs to another network.
    #[error("the peer belongs to another network")]
    Network,
    /// No protocol version in common.
    #[error(
        "no common version: the peer speaks {theirs_min} to {theirs}; we speak {ours_min} to {ours}"
    )]
    Version {
        /// The peer's highest version.
        theirs: u64,
        /// The peer's lowest version.
        theirs_min: u64,
        /// Our highest version.
        ours: u64,
        /// Our lowest version.
        ours_min: u64,
    },
    /// The transport failed or ended.
    #[error(transparent)]
    Transport(TransportError),
    /// The peer broke the protocol.
    #[error(transparent)]
    Violation(Violation),
    /// The dial was not answered in time.
    #[error("the dial was not answered in time")]
    DialTimeout,
    /// No hello in time.
    #[error("no hello in time")]
    HandshakeTimeout,
    /// Nothing received for too long.
    #[error("nothing received for too long")]
    KeepAliveTimeout,
    /// The peer did not read for too long.
    #[error("the peer did not read for too long")]
    WriteStall,
}

/// Why the other side said bye.
#[derive(Copy, Clone, Debug, Eq, PartialEq, Ord, PartialOrd, thiserror::Error)]
#[non_exhaustive]
#[cfg_attr(feature = "testing", derive(Hash))]
pub enum ByeReason {
    /// It stops.
    #[error("shutdown")]
    Shutdown,
    /// Its application ended this connection.
    #[error("disconnect")]
    Disconnect,
    /// Another connection between the same two nodes stays.
    #[error("duplicate")]
    Duplicate,
    /// It has no room.
    #[error("full")]
    Full,
    /// It belongs to another network.
    #[error("network")]
    Network,
    /// No protocol version in common.
    #[error("version")]
    Version,
    /// Something this version does not know.
    #[error("a reason unknown here")]
    Other,
}

/// What the driver reports of a socket that ended, in the terms of any operating system.
#[derive(Copy, Clone, Debug, Eq, PartialEq, Ord, PartialOrd, thiserror::Error)]
#[non_exhaustive]
#[cfg_attr(feature = "testing", derive(Hash))]
pub enum TransportError {
    /// The other side refused the connection.
    #[error("connection refused")]
    Refused,
    /// The other side reset the connection, or it broke.
    #[error("connection reset")]
    Reset,
    /// The other side ended its writing half: nothing more will arrive.
    #[error("end of stream")]
    Eof,
    /// The operating system gave up waiting.
    #[error("timed out")]
    TimedOut,
    /// No route to the address.
    #[error("unreachable")]
    Unreachable,
    /// We have no descriptors or memory for another socket.
    #[error("out of descriptors or memory")]
    Exhausted,
    /// Anything else.
    #[error("transport error")]
    Other,
}

/// How a peer broke the protocol. Only what the sender alone can have produced is a violation;
/// what a line says of third parties never is.
#[derive(Copy, Clone, Debug, Eq, PartialEq, Ord, PartialOrd, thiserror::Error)]
#[non_exhaustive]
#[cfg_attr(feature = "testing", derive(Hash))]
pub enum Violation {
    /// A line longer than we offered to take. `len` counts what had arrived of it.
    #[error("line is {len} bytes; the limit is {limit}")]
    LineTooLong {
        /// Bytes of the line that had arrived.
        len: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// A line that is not UTF-8.
    #[error("line is not UTF-8 at byte {at}")]
    NotUtf8 {
        /// Bytes before the first bad one.
        at: usize,
    },
    /// A line that is not the JSON it should be.
    #[error("{what} at byte {at}")]
    Malformed {
        /// Bytes before the fault.
        at: usize,
        /// What is wrong, in a few words.
        what: &'static str,
    },
    /// First bytes of no dialect that is spoken here.
    #[error("first byte {byte:#04x} begins no dialect spoken here")]
    UnknownDialect {
        /// The first byte.
        byte: u8,
    },
    /// First bytes of a dialect that is switched off.
    #[error("the {dialect} dialect is switched off here")]
    DialectOff {
        /// The dialect.
        dialect: Dialect,
    },
    /// A frame longer than is taken. Refused before anything is kept of it.
    #[error("frame is {len} bytes; the limit is {limit}")]
    FrameTooLong {
        /// Bytes announced.
        len: u32,
        /// Bytes allowed.
        limit: usize,
    },
    /// Guests answer more at once than is kept for all of them together.
    #[error("{held} bytes of replies are held for guests; the limit is {limit}")]
    TooMuch {
        /// Bytes held.
        held: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// Something other than hello came first.
    #[error("the first line is not a hello")]
    NotHello,
    /// A hello came twice.
    #[error("a second hello")]
    SecondHello,
}

/// Why a socket that was accepted is not taken: drop it.
///
/// | variant | whose fault | state changed? | retry? |
/// |---|---|---|---|
/// | `Busy` | the application's: it does not poll events | no | when it does |
/// | `Stopping` | nobody's | no | no |
#[derive(Copy, Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// The application is too far behind with its events.
    #[error("{queued} bytes of events wait; the limit is {limit}")]
    Busy {
        /// Bytes of events that wait.
        queued: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// The node shuts down.
    #[error("the node is shutting down")]
    Stopping,
}

/// Why [`Node::dial`](crate::Node::dial) does not dial.
///
/// | variant | whose fault | state changed? | retry? |
/// |---|---|---|---|
/// | `Unusable` | the caller's | no | no |
/// | `Own` | the caller's | no | no |
/// | `Dialing` | nobody's: it is under way | no | no need |
/// | `DialectOff` | configuration | no | no |
/// | `TooMany` | nobody's: enough guests are being visited | no | when one visit has ended |
/// | `Busy` | the application's: it does not poll events | no | when it does |
/// | `Stopping` | nobody's | no | no |
#[derive(Copy, Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum DialError {
    /// Nobody can be reached there: port 0, or an unspecified, broadcast or multicast address.
    #[error("{0} is no address to dial")]
    Unusable(SocketAddr),
    /// The address is known to be our own.
    #[error("{0} is our own address")]
    Own(SocketAddr),
    /// A dial to the address is under way.
    #[error("{conn} to this address is under way")]
    Dialing {
        /// The dial under way.
        conn: ConnId,
    },
    /// The dialect is switched off.
    #[error("the {dialect} dialect is switched off here")]
    DialectOff {
        /// The dialect.
        dialect: Dialect,
    },
    /// Too many guests are being visited.
    #[error("{under_way} visits to guests are under way; the limit is {limit}")]
    TooMany {
        /// Visits under way.
        under_way: usize,
        /// How many may be.
        limit: usize,
    },
    /// The application is too far behind with its events.
    #[error("{queued} bytes of events wait; the limit is {limit}")]
    Busy {
        /// Bytes of events that wait.
        queued: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// The node shuts down.
    #[error("the node is shutting down")]
    Stopping,
}

/// Why [`Node::send`](crate::Node::send) does not send.
///
/// | variant | whose fault | state changed? | retry? |
/// |---|---|---|---|
/// | `NotConnected` | nobody's | no | after `PeerUp` |
/// | `Unsupported` | the caller's: the peer's dialect has no such message | no | no |
/// | `Full` | nobody's: the peer is slow | no | after `Writable` |
/// | `TooLarge`, `KindTooLong` | the caller's | no | no |
/// | `Stopping` | nobody's | no | no |
#[derive(Copy, Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// No such peer is connected, and there is nobody to ask for a way to it.
    #[error("no such peer is connected")]
    NotConnected,
    /// The peer's dialect has no one-to-one messages.
    #[error("the peer's dialect has no one-to-one messages")]
    Unsupported,
    /// The peer's queue is full. [`Event::Writable`](crate::Event::Writable) follows.
    #[error("{queued} bytes wait for the peer; the limit is {limit}")]
    Full {
        /// Bytes that wait.
        queued: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// The line would be longer than the peer takes.
    #[error("line is {len} bytes; the limit is {limit}")]
    TooLarge {
        /// Bytes of the line.
        len: usize,
        /// Bytes the peer takes.
        limit: usize,
    },
    /// The kind is too long.
    #[error("kind is {len} bytes; the limit is {limit}")]
    KindTooLong {
        /// Bytes of the kind.
        len: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// The node shuts down.
    #[error("the node is shutting down")]
    Stopping,
}

/// Why [`Node::request`](crate::Node::request) does not ask.
///
/// | variant | whose fault | state changed? | retry? |
/// |---|---|---|---|
/// | `NoRoute` | nobody's: there is nobody to ask for a way | no | after `PeerUp` |
/// | `Unsupported` | the caller's: the peer's dialect has no such message | no | no |
/// | `Own` | the caller's | no | no |
/// | `Full` | nobody's: the peer is slow | no | after `Writable` |
/// | `Busy` | the caller's: too many are pending, by number or by bytes | no | when one has ended |
/// | `TooLarge`, `KindTooLong`, `KindUnfit` | the caller's | no | no |
/// | `Stopping` | nobody's | no | no |
#[derive(Copy, Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// No way to the node is known, and nobody is there to ask for one.
    #[error("no route, and nobody to ask for one")]
    NoRoute,
    /// The peer's dialect has no requests.
    #[error("the peer's dialect has no requests")]
    Unsupported,
    /// The node is this one.
    #[error("a request to ourselves")]
    Own,
    /// The queue on the way is full. [`Event::Writable`](crate::Event::Writable) follows.
    #[error("{queued} bytes wait on the way; the limit is {limit}")]
    Full {
        /// Bytes that wait.
        queued: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// Too many requests are pending, or too many bytes of them.
    #[error("{bound} is at {used}; the limit is {limit}")]
    Busy {
        /// Which of the [`Limits`](crate::Limits).
        bound: &'static str,
        /// Requests, or bytes, this one's among them.
        used: usize,
        /// How many may be.
        limit: usize,
    },
    /// The line would be longer than the next node takes.
    #[error("line is {len} bytes; the limit is {limit}")]
    TooLarge {
        /// Bytes of the line.
        len: usize,
        /// Bytes the next node takes.
        limit: usize,
    },
    /// The kind is too long.
    #[error("kind is {len} bytes; the limit is {limit}")]
    KindTooLong {
        /// Bytes of the kind.
        len: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// No frame of a guest carries the kind: it is empty, or not printable ASCII.
    #[error("kind has {len} bytes; a guest takes 1 to {limit}, of printable ASCII")]
    KindUnfit {
        /// Bytes of the kind.
        len: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// The node shuts down.
    #[error("the node is shutting down")]
    Stopping,
}

/// Why [`Node::reply`](crate::Node::reply) and [`Node::refuse`](crate::Node::refuse) do not answer.
///
/// | variant | whose fault | state changed? | retry? |
/// |---|---|---|---|
/// | `Gone` | nobody's: answered already, or nobody waits any more | no | no |
/// | `Full` | nobody's: the way back is slow | no | after `Writable` |
/// | `TooLarge`, `KindTooLong`, `KindUnfit` | the caller's | no | no |
/// | `Stopping` | nobody's | no | no |
#[derive(Copy, Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ReplyError {
    /// The request has had its last reply, or its deadline has passed.
    #[error("answered already, or too late")]
    Gone,
    /// The queue on the way back is full. [`Event::Writable`](crate::Event::Writable) follows.
    #[error("{queued} bytes wait on the way; the limit is {limit}")]
    Full {
        /// Bytes that wait.
        queued: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// The line would be longer than the next node takes.
    #[error("line is {len} bytes; the limit is {limit}")]
    TooLarge {
        /// Bytes of the line.
        len: usize,
        /// Bytes the next node takes.
        limit: usize,
    },
    /// The kind is too long.
    #[error("kind is {len} bytes; the limit is {limit}")]
    KindTooLong {
        /// Bytes of the kind.
        len: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// No frame of a guest carries the kind: it is empty, or not printable ASCII.
    #[error("kind has {len} bytes; a guest takes 1 to {limit}, of printable ASCII")]
    KindUnfit {
        /// Bytes of the kind.
        len: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// The node shuts down.
    #[error("the node is shutting down")]
    Stopping,
}

/// Why [`Node::broadcast`](crate::Node::broadcast) does not broadcast. A broadcast to nobody is no
/// error: the receipt says so.
///
/// | variant | whose fault | state changed? | retry? |
/// |---|---|---|---|
/// | `TooLarge`, `KindTooLong`, `TooDeep` | the caller's | no | no |
/// | `Stopping` | nobody's | no | no |
#[derive(Copy, Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum BroadcastError {
    /// The line would be longer than a broadcast may be.
    #[error("line is {len} bytes; the limit is {limit}")]
    TooLarge {
        /// Bytes of the line.
        len: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// The kind is too long.
    #[error("kind is {len} bytes; the limit is {limit}")]
    KindTooLong {
        /// Bytes of the kind.
        len: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// The body of a line of chat, which stands in an object of its own, nests too deeply.
    #[error("a line of chat nests {depth} levels deep; the limit is {limit}")]
    TooDeep {
        /// Levels of the body.
        depth: usize,
        /// Levels allowed.
        limit: usize,
    },
    /// The node shuts down.
    #[error("the node is shutting down")]
    Stopping,
}

/// Why a value or text is no [`Payload`](crate::Payload), or a body not the value asked for.
///
/// | variant | whose fault | state changed? | retry? |
/// |---|---|---|---|
/// | `Json` | the caller's (encoding) or the sender's (parsing) | no | no |
/// | `Malformed` | the caller's | no | no |
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BodyError {
    /// The value does not convert to JSON, or the JSON not to the value.
    #[error(transparent)]
    Json(JsonError),
    /// The text is not JSON, or nests too deeply for a message.
    #[error("{what} at byte {at}")]
    Malformed {
        /// Bytes before the fault.
        at: usize,
        /// What is wrong, in a few words.
        what: &'static str,
    },
}

/// What serde_json said; its type is kept private, so that its version is not part of this API.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct JsonError(#[from] serde_json::Error);

impl From<serde_json::Error> for BodyError {
    fn from(error: serde_json::Error) -> Self {
        Self::Json(JsonError(error))
    }
}

/// Why bytes are no saved book, or not any more.
///
/// | variant | whose fault | state changed? | retry? |
/// |---|---|---|---|
/// | all | whoever wrote, kept or chose the bytes | no | with other bytes |
#[derive(Copy, Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum BookError {
    /// It is longer than any book that this node would save.
    #[error("the book is {len} bytes; the limit is {limit}")]
    TooLarge {
        /// Its length.
        len: usize,
        /// The longest that is read.
        limit: usize,
    },
    /// It does not begin as a book does.
    #[error("this is no book: it begins with {got:#018x}, not {expected:#018x}")]
    Foreign {
        /// Its first eight bytes, as a little-endian number.
        got: u64,
        /// Those of a book.
        expected: u64,
    },
    /// A later version wrote it.
    #[error("the book is of version {got}; the one known is {known}")]
    Version {
        /// Its version.
        got: u16,
        /// The version that is read.
        known: u16,
    },
    /// Something is missing, or too much.
    #[error("the book is {len} bytes; it says that it has {expected}")]
    Length {
        /// Its length.
        len: usize,
        /// The length that it gives.
        expected: usize,
    },
    /// Its bytes are not those that were written.
    #[error("the book is damaged: its checksum is {got:#018x}, that of its bytes {expected:#018x}")]
    Damaged {
        /// The checksum in it.
        got: u64,
        /// That of its bytes.
        expected: u64,
    },
    /// What is written in it makes no sense.
    #[error("{what} at byte {at} of the book")]
    Malformed {
        /// Bytes before the fault.
        at: usize,
        /// What is wrong, in a few words.
        what: &'static str,
    },
}

/// Which setting does not fit.
///
/// | variant | whose fault | state changed? | retry? |
/// |---|---|---|---|
/// | all | the caller's | no | with other settings |
#[derive(Copy, Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A number below the least that works.
    #[error("{field} is {got}; the least is {min}")]
    TooSmall {
        /// The setting.
        field: &'static str,
        /// Its value (durations in milliseconds).
        got: u64,
        /// The least that works.
        min: u64,
    },
    /// A number above the most that works.
    #[error("{field} is {got}; the most is {max}")]
    TooLarge {
        /// The setting.
        field: &'static str,
        /// Its value (durations in milliseconds).
        got: u64,
        /// The most that works.
        max: u64,
    },
    /// Two settings in the wrong order.
    #[error("{lower} is {got_lower}, not below {upper}, which is {got_upper}")]
    Order {
        /// The setting that must be lower.
        lower: &'static str,
        /// Its value (durations in milliseconds).
        got_lower: u64,
        /// The setting that must be higher.
        upper: &'static str,
        /// Its value (durations in milliseconds).
        got_upper: u64,
    },
}
