//! The peerline protocol as a pure state machine: bytes and timer ticks in, actions and events out.
//!
//! This crate opens no socket, reads no clock, starts no thread, logs nothing and has no global
//! state. It is `no_std` with `alloc`. A driver owns the sockets and does what [`Action`]s say; the
//! same seed and the same inputs give the same bytes, on every platform.
//!
//! Most programs use a ready driver: `peerline-mio` or `peerline-smol`. To write your own, look at
//! [`Node`]: accept sockets and tell it, do its actions, feed it what you read, show it the time.
//!
//! ```text
//!           accepted connected received sent closed handle_timeout
//!                │        │        │      │     │        │
//! application ──►│  dial send broadcast disconnect shutdown
//!                ▼        ▼        ▼      ▼     ▼        ▼
//!              ┌───────────────────────────────────────────┐
//!              │                    Node                   │
//!              └──────┬───────────┬─────────────┬──────────┘
//!               poll_action   poll_event   poll_timeout   outgoing(conn)
//! ```
//!
//! Features: `std` lets searches use wider instructions; `testing` adds a module of that name, an
//! API for this project's own tests, without promise of stability. Neither changes what the node
//! does.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod action;
mod backoff;
#[doc(hidden)]
pub mod base64;
mod body;
mod book;
mod broadcast;
mod budget;
mod config;
mod ctime;
mod dialect;
mod error;
mod event;
mod events;
mod exchange;
mod group;
mod guests;
mod hash;
mod id;
mod limits;
mod links;
mod message;
mod node;
mod overlay;
mod peers;
#[cfg(peerline_planted)]
mod planted;
mod queue;
mod quote;
mod requests;
mod rng;
mod route;
mod rules;
mod seen;
mod session;
mod sorted;
mod stats;
mod table;
#[cfg(feature = "testing")]
pub mod testing;
mod time;
mod timers;
mod verdicts;
mod wire;

pub use action::Action;
pub use config::{Config, ConfigBuilder, GuestHosts, Keyspace, Listen};
#[doc(hidden)]
pub use ctime::ctime;
pub use dialect::Dialect;
pub use error::{
    BodyError, BookError, BroadcastError, ByeReason, CloseReason, ConfigError, DialError,
    JsonError, Refused, ReplyError, RequestError, SendError, TransportError, Violation,
};
pub use event::Event;
pub use exchange::{NakCode, Reply, ReplyTo, Request, RequestFailure, RequestId};
pub use id::{ConnId, Identity, NodeId, ParseIdError, PeerId, Side};
pub use limits::{Limits, MAX_BROADCAST_LINE, MAX_DEPTH, MAX_FIRST_LINE, MAX_GUEST_NAME, MAX_LINE};
pub use message::{Delivery, Message, Payload};
pub use node::{GuestInfo, Node, PeerInfo, Receipt};
#[cfg(peerline_planted)]
pub use planted::Bug;
pub use queue::Outgoing;
#[cfg(peerline_planted)]
pub use rules::TreeRule;
pub use stats::Stats;
pub use time::{Instant, Start, UnixTime};
pub use verdicts::{Verdict, VerdictToken};
