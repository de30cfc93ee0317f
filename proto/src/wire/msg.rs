//! The native messages as values borrowed from their line, and the table of their fields.
//!
//! Decides which messages there are, which fields each may have, and which of them it must have.
//! Reads nothing: `native` does, and `written` what is just as nodes write it.
#![deny(clippy::arithmetic_side_effects)]

use alloc::borrow::Cow;
use core::net::SocketAddr;

use crate::config::Listen;
use crate::error::ByeReason;
use crate::exchange::NakCode;
use crate::wire::caps::Caps;
use crate::wire::field::Field;
use crate::wire::json::Span;

/// A message, borrowed from its line.
#[derive(Clone, Debug)]
pub(crate) enum Msg<'a> {
    Hello(Hello<'a>),
    Ping { nonce: Option<u64> },
    Pong { nonce: Option<u64> },
    Bye(Bye<'a>),
    Getaddr { max: Option<u64> },
    Addr(Addr<'a>),
    Broadcast(Broadcast<'a>),
    Ihave { have: Span<'a> },
    Graft { stream: Option<Named<'a>>, want: Option<Span<'a>> },
    Prune { stream: Option<Named<'a>> },
    Message(Direct<'a>),
    Request(RequestLine<'a>),
    Reply(ReplyLine<'a>),
    Nak(NakLine<'a>),
    Find(FindLine<'a>),
    Found(FindLine<'a>),
    Error(ErrorLine<'a>),
    Unknown,
}

/// The kinds of message, for the table of what is allowed when.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(crate) enum MsgKind {
    Hello,
    Ping,
    Pong,
    Bye,
    Getaddr,
    Addr,
    Broadcast,
    Ihave,
    Graft,
    Prune,
    Message,
    Request,
    Reply,
    Nak,
    Find,
    Found,
    Error,
    Unknown,
}

impl MsgKind {
    /// All of them, in the order of the protocol's table.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) const ALL: [Self; 18] = [
        Self::Hello,
        Self::Ping,
        Self::Pong,
        Self::Bye,
        Self::Getaddr,
        Self::Addr,
        Self::Broadcast,
        Self::Ihave,
        Self::Graft,
        Self::Prune,
        Self::Message,
        Self::Request,
        Self::Reply,
        Self::Nak,
        Self::Find,
        Self::Found,
        Self::Error,
        Self::Unknown,
    ];

    pub(super) fn of(msgtype: &str) -> Self {
        match msgtype {
            "hello" => Self::Hello,
            "ping" => Self::Ping,
            "pong" => Self::Pong,
            "bye" => Self::Bye,
            "getaddr" => Self::Getaddr,
            "addr" => Self::Addr,
            "broadcast" => Self::Broadcast,
            "ihave" => Self::Ihave,
            "graft" => Self::Graft,
            "prune" => Self::Prune,
            "message" => Self::Message,
            "request" => Self::Request,
            "reply" => Self::Reply,
            "nak" => Self::Nak,
            "find" => Self::Find,
            "found" => Self::Found,
            "error" => Self::Error,
            _ => Self::Unknown,
        }
    }

    /// The fields of the message, each with whether it must be there.
    pub(super) fn fields(self) -> &'static [(Field, bool)] {
        use Field as F;
        match self {
            Self::Hello => &[
                (F::Nodeid, true),
                (F::Version, false),
                (F::MinVersion, false),
                (F::Network, false),
                (F::Agent, false),
                (F::Nonce, false),
                (F::Listen, false),
                (F::You, false),
                (F::Max, false),
                (F::Caps, false),
            ],
            Self::Ping | Self::Pong => &[(F::Nonce, false)],
            Self::Bye => &[(F::Reason, false), (F::Retry, false), (F::Peers, false)],
            Self::Getaddr => &[(F::Max, false)],
            Self::Addr => &[(F::Peers, true), (F::Ages, false)],
            Self::Broadcast => &[
                (F::Originator, true),
                (F::Epoch, true),
                (F::Seq, true),
                (F::Time, true),
                (F::Kind, true),
                (F::Msg, true),
            ],
            Self::Ihave => &[(F::Have, true)],
            Self::Graft => &[(F::Originator, false), (F::Epoch, false), (F::Want, false)],
            Self::Prune => &[(F::Originator, false), (F::Epoch, false)],
            Self::Message => &[
                (F::Id, true),
                (F::From, true),
                (F::To, true),
                (F::Kind, true),
                (F::Time, true),
                (F::Ttl, true),
                (F::Try, false),
                (F::Msg, true),
            ],
            Self::Request => &[
                (F::Id, true),
                (F::From, true),
                (F::To, true),
                (F::Kind, true),
                (F::Time, true),
                (F::Ttl, true),
                (F::Deadline, true),
                (F::Try, false),
                (F::Msg, true),
            ],
            Self::Reply => &[
                (F::Re, true),
                (F::N, true),
                (F::From, true),
                (F::To, true),
                (F::Kind, true),
                (F::Msg, true),
                (F::Last, false),
            ],
            Self::Nak => &[(F::Re, true), (F::At, false), (F::Code, true), (F::Ttl, false)],
            Self::Find | Self::Found => {
                &[(F::Id, true), (F::From, true), (F::To, true), (F::Ttl, true)]
            }
            Self::Error => &[(F::Re, false), (F::Code, false), (F::Ttl, false)],
            Self::Unknown => &[],
        }
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Hello<'a> {
    pub(crate) nodeid: Cow<'a, str>,
    pub(crate) version: u64,
    pub(crate) min_version: u64,
    pub(crate) network: Option<Cow<'a, str>>,
    pub(crate) nonce: Option<u64>,
    pub(crate) listen: Option<Listen>,
    /// Where it sees us; nothing if what it says is no address.
    pub(crate) you: Option<SocketAddr>,
    pub(crate) max: Option<u64>,
    pub(crate) caps: Caps,
}

#[derive(Clone, Debug)]
pub(crate) struct Bye<'a> {
    pub(crate) reason: ByeReason,
    pub(crate) retry: Option<u64>,
    pub(crate) peers: Option<Span<'a>>,
}

#[derive(Clone, Debug)]
pub(crate) struct Addr<'a> {
    pub(crate) peers: Span<'a>,
}

#[derive(Clone, Debug)]
pub(crate) struct Broadcast<'a> {
    pub(crate) originator: Cow<'a, str>,
    pub(crate) epoch: u64,
    pub(crate) seq: u64,
    pub(crate) time: u64,
    pub(crate) kind: Span<'a>,
    pub(crate) msg: Span<'a>,
}

/// The name of a stream, as it came.
#[derive(Clone, Debug)]
pub(crate) struct Named<'a> {
    pub(crate) originator: Cow<'a, str>,
    pub(crate) epoch: u64,
}

#[derive(Clone, Debug)]
pub(crate) struct Direct<'a> {
    pub(crate) id: Cow<'a, str>,
    pub(crate) from: Cow<'a, str>,
    pub(crate) to: Cow<'a, str>,
    pub(crate) time: u64,
    pub(crate) ttl: Span<'a>,
    pub(crate) attempt: u64,
    pub(crate) kind: Span<'a>,
    pub(crate) msg: Span<'a>,
}

#[derive(Clone, Debug)]
pub(crate) struct RequestLine<'a> {
    pub(crate) direct: Direct<'a>,
    /// What is left of the asker's patience, milliseconds.
    pub(crate) deadline: Span<'a>,
}

#[derive(Clone, Debug)]
pub(crate) struct ReplyLine<'a> {
    pub(crate) re: Cow<'a, str>,
    pub(crate) n: u64,
    pub(crate) from: Cow<'a, str>,
    pub(crate) to: Cow<'a, str>,
    pub(crate) kind: Span<'a>,
    pub(crate) msg: Span<'a>,
    pub(crate) last: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct NakLine<'a> {
    pub(crate) re: Cow<'a, str>,
    pub(crate) at: Option<Cow<'a, str>>,
    pub(crate) code: NakCode,
    /// How far the line might still go, as its refuser counts.
    pub(crate) ttl: Option<u64>,
}

#[derive(Clone, Debug)]
pub(crate) struct FindLine<'a> {
    pub(crate) id: Cow<'a, str>,
    pub(crate) from: Cow<'a, str>,
    pub(crate) to: Cow<'a, str>,
    pub(crate) ttl: Span<'a>,
}

#[derive(Clone, Debug)]
pub(crate) struct ErrorLine<'a> {
    pub(crate) re: Cow<'a, str>,
    pub(crate) code: Cow<'a, str>,
    /// As in a [`NakLine`].
    pub(crate) ttl: Option<u64>,
}

impl Msg<'_> {
    pub(crate) fn kind(&self) -> MsgKind {
        match self {
            Self::Hello(_) => MsgKind::Hello,
            Self::Ping { .. } => MsgKind::Ping,
            Self::Pong { .. } => MsgKind::Pong,
            Self::Bye(_) => MsgKind::Bye,
            Self::Getaddr { .. } => MsgKind::Getaddr,
            Self::Addr(_) => MsgKind::Addr,
            Self::Broadcast(_) => MsgKind::Broadcast,
            Self::Ihave { .. } => MsgKind::Ihave,
            Self::Graft { .. } => MsgKind::Graft,
            Self::Prune { .. } => MsgKind::Prune,
            Self::Message(_) => MsgKind::Message,
            Self::Request(_) => MsgKind::Request,
            Self::Reply(_) => MsgKind::Reply,
            Self::Nak(_) => MsgKind::Nak,
            Self::Find(_) => MsgKind::Find,
            Self::Found(_) => MsgKind::Found,
            Self::Error(_) => MsgKind::Error,
            Self::Unknown => MsgKind::Unknown,
        }
    }
}

/// Numbers of a stream that somebody announces: the first, the last, and for how long the first was
/// held back, in milliseconds.
#[derive(Clone, Debug)]
pub(crate) struct Announced<'a> {
    pub(crate) stream: Named<'a>,
    pub(crate) from: u64,
    pub(crate) to: u64,
    pub(crate) hold: u64,
}

/// An address that somebody tells: of a named node, or the teller's own.
#[derive(Clone, Debug)]
pub(crate) struct Told<'a> {
    pub(crate) addr: Cow<'a, str>,
    pub(crate) node: Option<Cow<'a, str>>,
}
