//! A peerline node on [mio]: with a thread of its own, on this thread, or in your own loop.
//!
//! ```
//! # use std::time::Duration;
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let node = peerline_mio::Builder::new()
//!     .listen("127.0.0.1:0")
//!     .bootstrap(["127.0.0.1:5998"])
//!     .on("NEWS", |_, message| println!("{}: {}", message.from(), message.body()))
//!     .start()?; // or .run(): drive here
//! node.broadcast("NEWS", &"hello").wait()?;
//! # node.shutdown(Duration::from_secs(1)).wait()?;
//! # Ok(())
//! # }
//! ```
//!
//! [`Builder`] sets a node up, [`Handle`] commands it from any thread, [`Cx`] from inside its
//! handlers. [`Embedded`] puts it into a `mio::Poll` that you have already.

#![forbid(unsafe_code)]

#[doc = include_str!("commands.md")]
pub mod commands {}

mod embedded;
mod io;
mod runner;

pub use mio;
pub use peerline_runtime::prelude::*;
pub use peerline_runtime::{Events, Replies, Runtime, proto};

pub use crate::embedded::Embedded;
pub use crate::io::Sockets;
pub use crate::runner::Runner;

/// Collects the settings and handlers of a node on mio.
pub type Builder = peerline_runtime::Builder<Runner>;
