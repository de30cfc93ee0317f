//! The dialects' bytes: lines, frames, JSON, and the messages they hold.
//!
//! Knows no connection and no node. [`framing`] cuts lines, [`json`] checks them, [`native`] reads
//! the messages of [`msg`] in them, [`encode`] writes ours, and [`own`] our broadcasts. [`detect`]
//! tells dialects apart that begin with a brace; [`btpeer`] and [`chat`] read and write what guests
//! say, and [`chat_key`] knows it again.
//! Every length and every level is limited here, before anything is kept.

pub(crate) mod btpeer;
pub(crate) mod caps;
pub(crate) mod chat;
pub(crate) mod chat_key;
pub(crate) mod detect;
pub(crate) mod encode;
mod field;
pub(crate) mod framing;
pub(crate) mod json;
pub(crate) mod lists;
pub(crate) mod msg;
pub(crate) mod native;
pub(crate) mod own;
mod plain;
pub(crate) mod received;
pub(crate) mod run;
pub(crate) mod words;
mod written;

/// The highest protocol version spoken here.
pub(crate) const VERSION: u64 = 1;
/// The lowest protocol version spoken here: the article's node.
pub(crate) const MIN_VERSION: u64 = 0;
