//! What others do, measured by the same harness: programs on tokio's codec, message-io, libp2p's
//! gossipsub and iroh-gossip.
//!
//! `cargo build --release` in this folder; `benches/speed` then finds the program and plays it. It
//! stands outside the workspace, with a lock file of its own. Each contestant has the settings it
//! comes with, but for what its module names; each runs a node on one thread, or, where it is
//! free, on tokio's default runtime, which has a thread for each core.

#![forbid(unsafe_code)]

#[allow(dead_code, unused_imports)] // the harness uses the rest
#[path = "../../benches/speed/child/mod.rs"]
mod child;
mod gossipsub;
mod iroh;
mod lines;
mod message_io;
mod remote;

use std::sync::Arc;

use child::{Contestant, Meter, Task};

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let task = args.split_first().filter(|(flag, _)| *flag == "--node");
    let task = task.and_then(|(_, rest)| Task::parse(rest)).expect("benches/speed says the task");
    let meter = Arc::new(Meter::default());
    let (name, free) = match task.who.strip_suffix("-free") {
        Some(name) => (name, true),
        None => (task.who.as_str(), false),
    };
    let mut contestant: Box<dyn Contestant> = match name {
        "lines" => Box::new(lines::start(&task, &meter, lines::Way::Text)),
        "lines-json" => Box::new(lines::start(&task, &meter, lines::Way::Json)),
        "lines-each" => Box::new(lines::start(&task, &meter, lines::Way::Each)),
        "message-io" => Box::new(message_io::Framed::start(&task, &meter)),
        "anonymous" => Box::new(gossipsub::start(&task, &meter, gossipsub::Way::Noise, free)),
        "plain" => Box::new(gossipsub::start(&task, &meter, gossipsub::Way::Plain, free)),
        "signed" => Box::new(gossipsub::start(&task, &meter, gossipsub::Way::Signed, free)),
        "iroh" => Box::new(iroh::start(&task, &meter, free)),
        other => panic!("no contestant is called {other}"),
    };
    child::play(&task, &meter, &mut *contestant);
}

/// A body of this size: what it is, a number that makes it like no other, and filling.
fn body(first: u8, number: u64, size: usize) -> Vec<u8> {
    let mut body = vec![b'x'; size.max(9)];
    body[0] = first;
    body[1..9].copy_from_slice(&number.to_le_bytes());
    body
}
