//! Tools to prove a peerline node, and programs built on one, without a network.
//!
//! [`net`] runs real nodes over byte pipes on virtual time: same seed, same run. [`oracle`] says
//! which lines are valid, in the plainest way there is, as the judge over the parser.

pub mod conformance;
pub mod entropy;
pub mod net;
pub mod oracle;
mod pipe;

pub use pipe::{Cut, Side};
