//! Target `text_addr`: names and addresses as text, in and out.

use std::net::SocketAddr;

use peerline_proto::testing::decode;
use peerline_proto::{
    BodyError, Config, Identity, Instant, Node, NodeId, Payload, PeerId, Start, Violation,
};

/// The longest guest name that is a name at all, and an address is never longer.
const LONGEST: usize = 64;

/// What is read as a name or an address is written the same, and only what is one is read.
///
/// Input: the text.
pub fn text_addr(input: &[u8]) {
    check_positions(input);
    let Ok(text) = std::str::from_utf8(input) else { return };
    check_node_id(text);
    check_guest(text);
    check_payload(text);
    if text.len() <= LONGEST {
        check_listen(text);
    }
}

/// A fault is at a byte of the text or right behind it.
fn check_positions(line: &[u8]) {
    match decode(line) {
        Err(Violation::Malformed { at, .. } | Violation::NotUtf8 { at }) => {
            assert!(at <= line.len(), "{at} of {}", line.len());
        }
        Ok(_) => {}
        Err(other) => panic!("no fault of a text: {other}"),
    }
}

/// Hyphens in four places and hexadecimal digits in all others, or nothing.
fn check_node_id(text: &str) {
    let fits = |(index, byte): (usize, u8)| match index {
        8 | 13 | 18 | 23 => byte == b'-',
        _ => byte.is_ascii_hexdigit(),
    };
    let is_id = text.len() == 36 && text.bytes().enumerate().all(fits);
    match text.parse::<NodeId>() {
        Ok(id) => {
            assert!(is_id, "{text:?} is a node id");
            assert_eq!(id.to_string(), text.to_ascii_lowercase());
            assert_eq!(id.to_string().parse(), Ok(id));
        }
        Err(error) => {
            assert!(!is_id, "{text:?} is no node id");
            assert_eq!(error.len, text.len());
        }
    }
}

/// Whatever a guest calls itself, its name is harmless on a terminal.
fn check_guest(text: &str) {
    let shown = PeerId::Guest(text.into()).to_string();
    let harmful = |c: char| c.is_control() || ('\u{202a}'..='\u{202e}').contains(&c);
    assert!(!shown.contains(harmful), "{shown:?}");
    let debug = format!("{:?}", PeerId::Guest(text.into()));
    assert!(!debug.contains(harmful), "{debug:?}");
    let plain = |c: char| c.is_ascii_alphanumeric();
    if text.chars().all(plain) {
        assert_eq!(shown, format!("guest {text}"));
    }
}

fn check_payload(text: &str) {
    match Payload::from_json(text) {
        Ok(payload) => {
            let again = Payload::from_json(payload.as_str());
            assert_eq!(again.unwrap(), payload);
            assert!(!payload.as_str().contains(['\n', '\r']));
        }
        Err(BodyError::Malformed { at, .. }) => assert!(at <= text.len(), "{at}"),
        Err(other) => panic!("no fault of a text: {other}"),
    }
}

/// A node is told the text as the place where a peer listens, and as an address to dial; it takes
/// from it what the standard library reads in it, and tells it to others as the same address.
fn check_listen(text: &str) {
    let quoted = Payload::encode(text).unwrap();
    let told: Option<SocketAddr> = text.parse().ok();
    let mut node = node();
    let conn = greeted(&mut node, 2, quoted.as_str());
    let peer = node.peers().next().expect("a hello with an odd place is still a hello");
    // A port of another host, or an address that nobody can dial, is kept from the book alone.
    let here = |addr: SocketAddr| addr.ip().to_canonical() == peer.addr.ip();
    let expected = told.filter(|addr| here(*addr));
    assert_eq!(peer.listens.map(|addr| addr.port()), expected.map(|addr| addr.port()));
    let line = format!("{{\"msgtype\":\"addr\",\"peers\":[[{},\"n\"]]}}\n", quoted.as_str());
    node.received(conn, line.as_bytes(), Instant::ZERO);
    let known: Vec<SocketAddr> = node.addresses().collect();
    let canonical = told.map(|addr| SocketAddr::new(addr.ip().to_canonical(), addr.port()));
    for addr in &known {
        assert_eq!(Some(*addr), canonical, "made up from {text:?}");
        assert_eq!(addr.to_string().parse(), Ok(*addr));
        assert!(addr.port() != 0 && !addr.ip().is_unspecified() && !addr.ip().is_multicast());
    }
    if let Some(alive) = peer.listens.filter(|addr| addr.port() != 0) {
        check_retold(&mut node, alive);
    }
}

/// Another peer asks for addresses: it gets the one that is alive, in words that are an address.
fn check_retold(node: &mut Node, alive: SocketAddr) {
    let conn = greeted(node, 3, "1");
    let before = lines(node, conn).len();
    node.received(conn, b"{\"msgtype\":\"getaddr\"}\n", Instant::ZERO);
    let answer = lines(node, conn).split_off(before);
    let text = format!("\"{alive}\"");
    assert!(answer.contains(&text), "{text} is not in {answer:?}");
}

fn node() -> Node {
    let id = Identity::new(NodeId::from_random_bytes([1; 16]));
    Node::new(Config::default(), id, [7; 32], Start::default())
}

/// A peer of this number that has said hello, and where it listens.
fn greeted(node: &mut Node, number: u8, listen: &str) -> peerline_proto::ConnId {
    let addr = SocketAddr::new([192, 0, 2, number].into(), 40_000);
    let conn = node.accepted(addr, Instant::ZERO).unwrap();
    let id = NodeId::from_random_bytes([number; 16]);
    let hello = format!(
        "{{\"msgtype\":\"hello\",\"nodeid\":\"{id}\",\"version\":1,\"listen\":{listen}}}\n"
    );
    node.received(conn, hello.as_bytes(), Instant::ZERO);
    conn
}

/// All that waits for a connection.
fn lines(node: &Node, conn: peerline_proto::ConnId) -> String {
    let mut bytes = Vec::new();
    node.outgoing(conn).copy_to(&mut bytes, usize::MAX);
    String::from_utf8(bytes).unwrap()
}
