//! What must hold for every input, as functions that panic when it does not.
//!
//! The bodies are here and not in the targets: an ordinary test replays what was ever found, and
//! libFuzzer is compiled only with the feature `libfuzzer`. README.md says how to run them.
// A panic is how a target reports.
#![allow(clippy::panic, clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used)]
// Events and reasons may grow; a target asks for some.
#![allow(clippy::wildcard_enum_match_arm)]

mod book;
mod canary;
mod dialect;
mod framing;
mod guests;
mod input;
mod message;
mod network;
mod ops;
mod seen;
mod sockets;
mod text;
mod time;
mod watched;

pub use book::{addr_book, book_load};
pub use canary::canary;
pub use dialect::dialect_detect;
pub use framing::{frame_bidi, frame_chunks};
pub use guests::guest_bytes;
pub use message::msg_roundtrip;
pub use network::mini_net;
pub use ops::node_ops;
pub use seen::seen_streams;
pub use sockets::runtime_io;
pub use text::text_addr;
pub use time::time_math;

/// A fuzz target.
#[derive(Copy, Clone, Debug)]
pub struct Target {
    /// The name of its function, of its binary, and of its folders.
    pub name: &'static str,
    /// Panics if the input shows a fault.
    pub check: fn(&[u8]),
}

/// All of them but [`canary()`], which panics by design.
pub const TARGETS: [Target; 13] = [
    Target { name: "addr_book", check: addr_book },
    Target { name: "book_load", check: book_load },
    Target { name: "dialect_detect", check: dialect_detect },
    Target { name: "frame_bidi", check: frame_bidi },
    Target { name: "frame_chunks", check: frame_chunks },
    Target { name: "guest_bytes", check: guest_bytes },
    Target { name: "mini_net", check: mini_net },
    Target { name: "msg_roundtrip", check: msg_roundtrip },
    Target { name: "node_ops", check: node_ops },
    Target { name: "runtime_io", check: runtime_io },
    Target { name: "seen_streams", check: seen_streams },
    Target { name: "text_addr", check: text_addr },
    Target { name: "time_math", check: time_math },
];
