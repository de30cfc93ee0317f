//! Tools to prove a peerline node, and programs built on one, without a network.
//!
//! [`net`] runs real nodes over byte pipes on virtual time: same seed, same run. [`oracle`] says
//! which lines are valid, in the plainest way there is, as the judge over the parser. [`explore`]
//! visits every order of events in a very small network.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
// A tool for tests fails loudly.
#![allow(clippy::wildcard_enum_match_arm)] // events and reasons may grow; a test asks for some

pub mod conformance;
pub mod descriptors;
pub mod eclipse;
pub mod entropy;
pub mod explore;
pub mod guest_oracle;
pub mod hostile;
pub mod memory;
pub mod net;
pub mod opening;
pub mod oracle;
pub mod originals;
pub mod quality;
pub mod reserved;
pub mod swarm;
pub mod vectors;

pub use net::{Cut, Side};
