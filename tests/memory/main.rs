//! What strangers and peers can make a node hold, by an allocator that counts, against what the
//! limits say. A program of its own, with one test, so that nothing else allocates meanwhile.
//! `PEERLINE_PART=book` measures the parts of that name alone.

use std::alloc::System;

use peerline_proto::Limits;
use peerline_testkit::hostile::{one_stranger, strangers};
use peerline_testkit::memory::{Filled, PARTS};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

fn held() -> usize {
    let stats = ALLOCATOR.stats();
    stats.bytes_allocated.saturating_sub(stats.bytes_deallocated)
}

#[test]
fn what_peers_make_a_node_hold_is_what_the_limits_say() {
    strangers_cost_what_is_promised();
    let only = std::env::var("PEERLINE_PART").unwrap_or_default();
    let mut over = Vec::new();
    for part in PARTS.iter().filter(|part| part.name.contains(&only)) {
        let Filled { held: bytes, most } = part.fill(&held);
        println!("{:40} {bytes:10} of {most:10} {:.2}", part.name, bytes as f64 / most as f64);
        if bytes > most || bytes < most / 4 {
            over.push(part.name);
        }
    }
    assert!(over.is_empty(), "not what is charged, or not filled: {over:?}");
}

fn strangers_cost_what_is_promised() {
    let (each, many) = (one_stranger(held), strangers(10_000, held));
    println!("each {each} bytes, ten thousand {many} bytes");
    assert!(each <= 8 * 1024, "{each} bytes for one");
    assert!(each <= Limits::default().worst_case_stranger(), "{each} bytes for one");
    assert!(many <= 16 * 1024 * 1024, "{many} bytes for ten thousand");
}
