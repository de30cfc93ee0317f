//! How guests fill what a node keeps of them: replies that are not whole, words that wait for
//! them, visits and calls under way, what was said before.

use std::net::SocketAddr;
use std::time::Duration;

use peerline_proto::{ConnId, Limits, Payload, PeerId, TransportError};
use serde_json::json;

use super::{Crowd, name};
use crate::vectors::frame;

/// Where the guest of this number listens.
fn place(number: usize) -> SocketAddr {
    let [high, low] = (number as u16).to_be_bytes();
    SocketAddr::from(([50 + high, low, 7, 7], 22_000))
}

/// The longest name that a guest may give itself.
fn long_name(number: usize) -> String {
    format!("{number:0>64}")
}

fn body(len: usize) -> Payload {
    Payload::encode(&"x".repeat(len)).expect("a text")
}

fn chat(kind: &str, name: &str, msg: &serde_json::Value) -> String {
    json!({"msg_type": kind, "msg": msg, "originator": name, "time": "0"}).to_string()
}

/// All that we call take it, say nothing, and end.
fn answer_calls(crowd: &mut Crowd) {
    for conn in std::mem::take(&mut crowd.dialled) {
        crowd.node.connected(conn, crowd.now);
        crowd.drain();
        crowd.node.closed(conn, TransportError::Eof, crowd.now);
        crowd.drain();
    }
}

/// Somebody says something to us, and ends.
fn say_and_go(crowd: &mut Crowd, from: SocketAddr, words: &[u8]) {
    let conn = crowd.from(from);
    crowd.hear(conn, words);
    crowd.node.closed(conn, TransportError::Eof, crowd.now);
    crowd.drain();
}

// ---- replies to us ----

pub(super) fn few_bytes(limits: &mut Limits) {
    limits.guest_bytes = 32 << 20;
    limits.max_frame = 4 << 20;
}

pub(super) fn no_bytes(limits: &mut Limits) {
    limits.guest_bytes = 64 * 1024;
    limits.max_frame = 64 * 1024;
}

/// Visits that were taken, as many as there may be.
fn visit_all(crowd: &mut Crowd) -> Vec<ConnId> {
    for number in 0..64 {
        let asked = crowd.node.request_at(
            place(number),
            "FGET",
            &body(1),
            Duration::from_secs(60),
            crowd.now,
        );
        assert!(asked.is_ok(), "{asked:?}");
    }
    crowd.drain();
    let visits = std::mem::take(&mut crowd.dialled);
    assert_eq!(visits.len(), 64);
    for conn in &visits {
        crowd.node.connected(*conn, crowd.now);
        crowd.drain();
    }
    visits
}

/// So much of a long reply comes by each of them.
fn begin_replies(crowd: &mut Crowd, arrived: usize) {
    let visits = visit_all(crowd);
    let reply = frame("REPL", &vec![b'x'; 4 << 20]);
    for conn in &visits {
        let piece = reply.get(..arrived).unwrap_or(&reply);
        piece.chunks(super::READ / 2).for_each(|piece| crowd.hear(*conn, piece));
    }
}

/// A little more than half of each, for which there is room as soon as it has come.
pub(super) fn replies(crowd: &mut Crowd) {
    begin_replies(crowd, (2 << 20) + 40_000);
}

/// By each a reply comes whole that is six times as long as a body, and one more, as far as they
/// are read.
pub(super) fn untaken(crowd: &mut Crowd) {
    let visits = visit_all(crowd);
    crowd.listens = false;
    let reply = [frame("REPL", &vec![1; 4 << 20]), frame("REPL", b"")].concat();
    for conn in visits {
        for piece in reply.chunks(super::READ) {
            if crowd.node.wants_read(conn) {
                crowd.hear(conn, piece);
            }
        }
    }
}

pub(super) fn small_replies(crowd: &mut Crowd) {
    begin_replies(crowd, 256 * 1024);
}

// ---- words for them ----

/// All chat peers that may be remembered, and nobody answers our calls any more.
pub(super) fn words(crowd: &mut Crowd) {
    let guests = crowd.limits().guests;
    for number in 0..guests {
        let (at, name) = (place(number), long_name(number));
        say_and_go(crowd, at, chat("PING", &name, &json!([at.ip(), at.port()])).as_bytes());
        answer_calls(crowd);
    }
    crowd.wait(Duration::from_secs(6));
    assert_eq!(crowd.node.guests().count(), guests);
    for number in 0..140 {
        let said = crowd.node.broadcast("CHAT", &body(1_880 + number % 10), crowd.now);
        assert!(said.is_ok(), "{said:?}");
        crowd.drain();
    }
    assert_eq!(crowd.dialled.len(), 4 * guests);
}

/// Each BTPeer peer is asked whom it knows, and tells a long list that does not end.
pub(super) fn lists(crowd: &mut Crowd) {
    let guests: Vec<PeerId> = (0..64).map(|number| join(crowd, number)).collect();
    for guest in &guests {
        assert!(crowd.node.ask_for_peers(guest, crowd.now));
    }
    crowd.drain();
    for conn in std::mem::take(&mut crowd.dialled) {
        crowd.node.connected(conn, crowd.now);
        crowd.drain();
        tell_list(crowd, conn);
    }
}

fn join(crowd: &mut Crowd, number: usize) -> PeerId {
    let (at, name) = (place(number), long_name(number));
    let row = format!("{name} {} {}", at.ip(), at.port());
    say_and_go(crowd, at, &frame("JOIN", row.as_bytes()));
    PeerId::Guest(name.into())
}

fn tell_list(crowd: &mut Crowd, conn: ConnId) {
    crowd.hear(conn, &frame("REPL", b"300"));
    for number in 0..300 {
        let (at, name) = (place(number), long_name(number));
        let row = format!("{name} {} {}", at.ip(), at.port());
        crowd.hear(conn, &frame("REPL", row.as_bytes()));
    }
}

// ---- what they say ----

/// The application answers none of them.
pub(super) fn requests(crowd: &mut Crowd) {
    for _ in 0..crowd.limits().guest_requests {
        let conn = crowd.stranger();
        crowd.hear(conn, &frame("FGET", &[b'x'; 4_000]));
    }
    assert_eq!(crowd.asked.len(), crowd.limits().guest_requests);
}

/// What is said is known again, and may be told; and so many owners of addresses speak.
pub(super) fn ids(crowd: &mut Crowd) {
    for number in 0..2 * crowd.limits().recent_ids - 1 {
        let body = Payload::encode(&number.to_string()).expect("a text");
        let said = crowd.node.broadcast("CHAT", &body, crowd.now);
        assert!(said.is_ok(), "{said:?}");
        crowd.drain();
    }
    for number in 0..2_000 {
        say_and_go(crowd, place(number), chat("TEST", &name(1), &json!(1)).as_bytes());
    }
    crowd.wait(Duration::from_secs(6));
}
