//! Address books as other nodes and the next run see them.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use peerline_proto::{
    Action, Config, ConnId, Identity, Instant, Node, NodeId, Start, UnixTime, testing,
};
use peerline_testkit::eclipse::{Attack, Outcome, play};

const SECOND: Duration = Duration::from_secs(1);

fn at(seconds: u64) -> Instant {
    Instant::ZERO + Duration::from_secs(seconds)
}

fn public(a: u8, b: u8) -> SocketAddr {
    SocketAddr::from(([a, b, 30, 40], 5999))
}

fn node(seed: u8) -> Node {
    let id = Identity::new(NodeId::from_random_bytes([seed; 16]));
    let start = Start::new(Instant::ZERO, UnixTime::from_millis(1_700_000_000_000));
    Node::new(Config::default(), id, [seed; 32], start)
}

fn hello(number: u16) -> String {
    format!(
        "{{\"msgtype\":\"hello\",\"nodeid\":\"00000000-0000-4000-8000-00000000{number:04x}\",\
         \"version\":1}}\n"
    )
}

/// Takes the orders; tells whom it dials.
fn dials(node: &mut Node) -> Vec<(ConnId, SocketAddr)> {
    let mut dials = Vec::new();
    while let Some(action) = node.poll_action() {
        if let Action::Connect { conn, addr } = action {
            dials.push((conn, addr));
        }
    }
    dials
}

/// What waits for a connection, taken.
fn heard(node: &mut Node, conn: ConnId, now: Instant) -> String {
    let mut bytes = Vec::new();
    while !node.outgoing(conn).is_empty() {
        let count = node.outgoing(conn).copy_to(&mut bytes, usize::MAX);
        node.sent(conn, count, now);
    }
    while node.poll_event().is_some() {}
    String::from_utf8(bytes).unwrap()
}

/// Dials an address and finds a node there.
fn reach(node: &mut Node, addr: SocketAddr, number: u16, now: Instant) -> ConnId {
    let conn = node.dial(addr, now).unwrap();
    node.connected(conn, now);
    node.received(conn, hello(number).as_bytes(), now);
    dials(node);
    heard(node, conn, now);
    conn
}

/// The addresses that somebody at `addr` is told.
fn ask(node: &mut Node, addr: SocketAddr, number: u16, now: Instant) -> BTreeSet<String> {
    let conn = node.accepted(addr, now).unwrap();
    node.received(conn, hello(number).as_bytes(), now);
    ask_on(node, conn, now)
}

/// The addresses that are told on a connection.
fn ask_on(node: &mut Node, conn: ConnId, now: Instant) -> BTreeSet<String> {
    node.received(conn, b"{\"msgtype\":\"getaddr\",\"max\":256}\n", now);
    let said = heard(node, conn, now);
    let line = said.lines().find(|line| line.contains("\"addr\"")).unwrap();
    let line: serde_json::Value = serde_json::from_str(line).unwrap();
    let rows = line["peers"].as_array().unwrap().iter();
    rows.map(|row| row[0].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_small_book_is_told_whole_and_never_what_was_only_heard_of() {
    let mut node = node(1);
    let conns: Vec<_> =
        (0..30).map(|number| reach(&mut node, public(20, number), number.into(), at(1))).collect();
    let teller = reach(&mut node, public(21, 1), 99, at(1));
    node.received(teller, b"{\"msgtype\":\"addr\",\"peers\":[\"9.9.9.9:9\"]}\n", at(1));
    assert!(node.addresses().any(|addr| addr.to_string() == "9.9.9.9:9"));
    let told = ask(&mut node, public(22, 1), 100, at(2));
    assert_eq!(told.len(), 31);
    assert!(!told.contains("9.9.9.9:9"));
    let again = ask_on(&mut node, conns[7], at(3));
    assert!(!again.contains("20.7.30.40:5999"), "nobody is told his own address");
    assert_eq!(again.len(), 30);
}

#[test]
fn of_a_larger_book_a_whole_group_is_told_the_same_share_for_ten_minutes() {
    let mut node = node(2);
    for number in 0..200 {
        reach(&mut node, public(20, number), number.into(), at(1));
    }
    let first = ask(&mut node, public(30, 1), 300, at(2));
    assert_eq!(first.len(), 200 * 23 / 100);
    let second = ask(&mut node, public(30, 1), 301, at(60));
    assert_eq!(first, second, "another of the group");
    let other = ask(&mut node, public(31, 1), 302, at(60));
    assert!(first.intersection(&other).count() < 30, "another group");
    let private = SocketAddr::from(([10, 0, 0, 1], 40_000));
    let asked = [303, 304].map(|number| ask(&mut node, private, number, at(61)));
    assert_ne!(asked[0], asked[1], "who is a group of his own is told something else each time");
    for number in 200..250 {
        reach(&mut node, public(20, number), number.into(), at(601));
    }
    assert_eq!(ask(&mut node, public(30, 1), 305, at(601)), first);
    let later = ask(&mut node, public(30, 1), 306, at(602));
    assert_ne!(later, first);
}

#[test]
fn a_node_with_a_saved_book_needs_no_bootstrap() {
    let mut before = node(3);
    let conns: Vec<_> = (0..40)
        .map(|number| reach(&mut before, public(20, number), number.into(), at(1)))
        .collect();
    for conn in conns {
        before.closed(conn, peerline_proto::TransportError::Reset, at(100));
    }
    before.handle_timeout(at(110));
    let saved = before.export_book();
    let mut after = node(4);
    assert_eq!(after.import_book(&saved, at(0)), Ok(40));
    assert_eq!(after.export_book().len(), saved.len());
    after.handle_timeout(at(0));
    let known: BTreeSet<_> = before.addresses().collect();
    let dialled = dials(&mut after);
    assert!(dialled.len() >= 4 && dialled.iter().all(|(_, addr)| known.contains(addr)));
    let told = ask(&mut after, public(22, 1), 100, at(1));
    assert!(told.is_empty(), "what was alive in another run is not said to be alive");
}

#[test]
fn a_bad_book_leaves_a_node_as_it_was() {
    let mut node = node(5);
    node.add_bootstrap(public(20, 1), at(0));
    let mut bytes = node.export_book();
    let state = testing::digest(&node);
    bytes[40] ^= 1;
    assert!(node.import_book(&bytes, at(0)).is_err());
    assert_eq!(testing::digest(&node), state);
    assert_eq!(node.addresses().count(), 1);
    let own = node.export_book();
    node.listening(public(20, 1), at(0) + SECOND);
    let mut other = self::node(6);
    other.listening(public(20, 1), at(0));
    assert_eq!(other.import_book(&own, at(0)), Ok(0), "our own address is not for us");
}

/// The command is the example `eclipse`, over 200 seeds and 5 hours.
#[test]
fn who_holds_many_addresses_does_not_get_all_connections_of_who_restarts() {
    let attack = Attack { addresses: 4600, hours: 1 };
    let played: Vec<Outcome> = (0..4).map(|seed| play(&attack, seed)).collect();
    assert!(played.iter().all(|outcome| outcome.of_new > 50.0), "{played:?}");
    assert!(played.iter().all(|outcome| outcome.of_tried < 50.0), "{played:?}");
    assert!(!played.iter().any(|outcome| outcome.with_anchors || outcome.without), "{played:?}");
}
