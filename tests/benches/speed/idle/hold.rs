//! The node that is dialled, and the one peer that talks.

use std::fs;
use std::io::stdin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread::park;

use peerline_proto::{Event, Limits, Payload, PeerId};
use peerline_runtime::{Builder, Cx, Runtime};
use peerline_testkit::descriptors;

use crate::child::cpu;

/// Bytes of a message's body.
const BODY: usize = 64;
/// Connections besides the crowd's, and files that a process has open anyway.
const SPARE: usize = 64;

/// A node that may be dialled by so many. Everything else is as by default.
pub(crate) fn hold(who: &str, count: &str) {
    let count: usize = count.parse().unwrap();
    allow(count);
    if who == "mio" {
        serve::<peerline_mio::Runner>(count);
    } else {
        serve::<peerline_smol::Runner>(count);
    }
}

/// Ends the process with what to do, if it may not have so many connections.
pub(super) fn allow(count: usize) {
    if let Err(error) = descriptors::allow((count + SPARE) as u64) {
        eprintln!("{error}");
        std::process::exit(1);
    }
}

fn serve<R: Runtime>(count: usize) {
    let mut limits = Limits::default();
    limits.max_inbound = limits.max_inbound.max(count + 1);
    let heard = Arc::new(AtomicU64::new(0));
    let hearing = Arc::clone(&heard);
    let peers = Arc::new(AtomicU64::new(0));
    let (up, down) = (Arc::clone(&peers), Arc::clone(&peers));
    let node = Builder::<R>::new()
        .limits(limits)
        .listen("127.0.0.1:0")
        .on_peer_up(move |_, _| {
            up.fetch_add(1, Relaxed);
        })
        .on_peer_down(move |_, _, _| {
            down.fetch_sub(1, Relaxed);
        })
        .on("NOTE", move |_, _| {
            hearing.fetch_add(1, Relaxed);
        })
        .start()
        .unwrap();
    println!("at {}", node.local_addrs()[0]);
    for _ in stdin().lines() {
        let (peers, heard) = (peers.load(Relaxed), heard.load(Relaxed));
        println!("sample {peers} {} {} {heard}", resident(), cpu());
    }
}

/// KiB of memory that this process has pages for.
fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    number.expect("the kernel says it")
}

/// A node that sends messages to its one peer as fast as they are taken.
pub(crate) fn talk(to: &str) {
    let body = Payload::encode(&"x".repeat(BODY - 2)).unwrap();
    let again = body.clone();
    let _node = Builder::<peerline_mio::Runner>::new()
        .bootstrap([to])
        .on_peer_up(move |cx, peer| fill(cx, &peer, &body))
        .otherwise(move |cx, event| {
            if let Event::Writable { peer } = event {
                fill(cx, &peer, &again);
            }
        })
        .start()
        .unwrap();
    loop {
        park(); // the parent ends it
    }
}

fn fill(cx: &mut Cx<'_>, peer: &PeerId, body: &Payload) {
    while cx.send_payload(peer, "NOTE", body).is_ok() {}
}
