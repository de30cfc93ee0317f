//! What strangers can make a node hold, for a program whose allocator counts.

use std::net::SocketAddr;

use peerline_proto::{Config, Identity, Instant, Node, NodeId, Start};

/// So many connect, and each says a hello that never ends; the driver does what it is told, the
/// application takes its events. Returns the bytes that are held then, by what `held` counts.
pub fn strangers(count: u32, held: impl Fn() -> usize) -> usize {
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

/// What one stranger costs, beyond the node itself.
pub fn one_stranger(held: impl Fn() -> usize) -> usize {
    const SOME: u32 = 200;
    let none = strangers(0, &held);
    (strangers(SOME, &held) - none) / SOME as usize
}
