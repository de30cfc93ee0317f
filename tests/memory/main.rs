//! What strangers can make a node hold, by an allocator that counts. A program of its own, with
//! one test, so that nothing else allocates meanwhile.
#![allow(clippy::unwrap_used)]

use std::alloc::System;
use std::net::SocketAddr;

use peerline_proto::{Config, Identity, Instant, Limits, Node, NodeId, Start};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

fn held() -> usize {
    let stats = ALLOCATOR.stats();
    stats.bytes_allocated.saturating_sub(stats.bytes_deallocated)
}

/// So many connect, and each says a hello that never ends; the driver does what it is told, the
/// application takes its events. Returns the bytes that are held then.
fn strangers(count: u32) -> usize {
    let id = Identity::new(NodeId::from_random_bytes([1; 16]));
    let before = held();
    let mut node = Node::new(Config::default(), id, [7; 32], Start::default());
    let words = format!("{{\"msgtype\":\"hello\",\"x\":\"{}", "y".repeat(4_000));
    for number in 0..count {
        let [_, a, b, c] = number.to_be_bytes();
        let from = SocketAddr::from(([203, a, b, c], 40_000));
        let conn = node.accepted(from, Instant::ZERO).unwrap();
        for piece in words.as_bytes().chunks(100) {
            node.received(conn, piece, Instant::ZERO);
        }
        while node.poll_action().is_some() || node.poll_event().is_some() {}
    }
    held() - before
}

#[test]
fn hostile_connections_cost_what_is_promised() {
    let none = strangers(0);
    let few = strangers(200);
    let each = (few - none) / 200;
    let many = strangers(10_000);
    println!("each {each} bytes, ten thousand {many} bytes");
    assert!(each <= 8 * 1024, "{each} bytes for one");
    assert!(each <= Limits::default().worst_case_stranger(), "{each} bytes for one");
    assert!(many <= 16 * 1024 * 1024, "{many} bytes for ten thousand");
}
