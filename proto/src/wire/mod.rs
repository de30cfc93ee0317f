//! The native dialect's bytes: lines, JSON, and the messages they hold.
//!
//! Knows no connection and no node. [`framing`] cuts lines, [`json`] checks them, [`native`] reads
//! their messages, [`encode`] writes ours. Every length and every level is limited here, before
//! anything is kept.

pub(crate) mod encode;
pub(crate) mod framing;
pub(crate) mod json;
pub(crate) mod native;

/// The highest protocol version spoken here.
pub(crate) const VERSION: u64 = 1;
/// The lowest protocol version spoken here: the article's node.
pub(crate) const MIN_VERSION: u64 = 0;
