//! The driver of a peerline node: sockets, clock, commands and handlers, on no event loop.
//!
//! Applications use it through a runtime, `peerline-mio` or `peerline-smol`, which re-exports
//! what is meant for them. Those who bring an event loop of their own supply [`Io`], and a loop
//! that calls [`Driver::ready`] and [`Driver::turn`]; that is all a runtime is. For a loop made of
//! futures [`Bell`] and [`Wakers`] turn wakes into edges.
//!
//! The protocol itself is in `peerline-proto`, re-exported as [`proto`]. Nothing here decides
//! about it: no timer, limit or retry of the protocol lives outside that crate.

#![forbid(unsafe_code)]

mod asked;
mod bell;
mod builder;
mod clock;
mod cx;
mod driver;
mod error;
mod events;
mod handle;
mod handlers;
mod io;
mod log;
mod names;
mod net;
mod pending;
mod remote;
mod replies;
mod responder;
mod saved;

pub use peerline_proto as proto;

pub use crate::bell::{Bell, Wakers};
pub use crate::builder::{Builder, Runtime, Setup};
pub use crate::clock::{Clock, seed};
pub use crate::cx::Cx;
pub use crate::driver::Driver;
pub use crate::error::{
    BroadcastError, CommandError, DialError, ReplyError, RequestError, SaveError, SendError,
    StartError,
};
pub use crate::events::Events;
pub use crate::handle::Handle;
pub use crate::io::{AsDescriptor, Direction, Io};
pub use crate::log::log_event;
pub use crate::net::transport_error;
pub use crate::pending::Pending;
pub use crate::replies::Replies;
pub use crate::responder::Responder;

/// What applications need beside a runtime's own types: each runtime re-exports this. That is all
/// of `peerline_proto` but what only whoever drives a node has in hand.
pub mod prelude {
    pub use crate::{
        BroadcastError, CommandError, Cx, DialError, Handle, Pending, ReplyError, RequestError,
        Responder, SaveError, SendError, StartError,
    };
    pub use peerline_proto::{
        BodyError, BookError, ByeReason, CloseReason, ConfigError, ConnId, Delivery, Dialect,
        Event, GuestHosts, GuestInfo, Identity, Instant, JsonError, Keyspace, Limits, Listen,
        MAX_BROADCAST_LINE, MAX_DEPTH, MAX_FIRST_LINE, MAX_GUEST_NAME, MAX_LINE, Message, NakCode,
        NodeId, ParseIdError, Payload, PeerId, PeerInfo, Receipt, Reply, ReplyTo, Request,
        RequestFailure, RequestId, Side, Stats, TransportError, UnixTime, Verdict, VerdictToken,
        Violation,
    };
}
