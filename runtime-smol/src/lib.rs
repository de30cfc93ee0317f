//! A peerline node on [smol]: with a thread of its own, on this thread, or on your own executor.
//!
//! ```
//! # use std::time::Duration;
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # smol::block_on(async {
//! let node = peerline_smol::Builder::new()
//!     .listen("127.0.0.1:0")
//!     .bootstrap(["127.0.0.1:5998"])
//!     .on("NEWS", |_, message| println!("{}: {}", message.from(), message.body()))
//!     .start()?; // or .run(): drive here
//! node.broadcast("NEWS", &"hello").await?; // or .wait()
//! # node.shutdown(Duration::from_secs(1)).await?;
//! # Ok(())
//! # })
//! # }
//! ```
//!
//! [`Builder`] sets a node up, [`Handle`] commands it from any thread, [`Cx`] from inside its
//! handlers. [`Embedded`] is a node as a future, for an executor that you have already.

#![forbid(unsafe_code)]

#[doc = include_str!("commands.md")]
pub mod commands {}

mod embedded;
mod io;
mod runner;

pub use peerline_runtime::prelude::*;
pub use peerline_runtime::{Runtime, proto};
pub use smol;

pub use crate::embedded::Embedded;
pub use crate::io::Sockets;
pub use crate::runner::{Events, Replies, Runner};

/// Collects the settings and handlers of a node on smol.
pub type Builder = peerline_runtime::Builder<Runner>;
