//! What strangers can make a node hold, by an allocator that counts. A program of its own, with
//! one test, so that nothing else allocates meanwhile.

use std::alloc::System;

use peerline_proto::Limits;
use peerline_testkit::hostile::{one_stranger, strangers};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

fn held() -> usize {
    let stats = ALLOCATOR.stats();
    stats.bytes_allocated.saturating_sub(stats.bytes_deallocated)
}

#[test]
fn hostile_connections_cost_what_is_promised() {
    let (each, many) = (one_stranger(held), strangers(10_000, held));
    println!("each {each} bytes, ten thousand {many} bytes");
    assert!(each <= 8 * 1024, "{each} bytes for one");
    assert!(each <= Limits::default().worst_case_stranger(), "{each} bytes for one");
    assert!(many <= 16 * 1024 * 1024, "{many} bytes for ten thousand");
}
