//! Target `dialect_detect`: what the first bytes of a connection decide.

use peerline_proto::testing::decode;
use peerline_proto::{
    CloseReason, Config, ConnId, Event, Identity, Instant, Node, NodeId, Start, Violation,
};

use crate::input::cut;

/// Blanks that may come first, and the byte that then decides.
const MOST: usize = 65;

/// The dialect is decided once, by at most 65 bytes, the same for any cut; what follows the blanks
/// is read as if they had not been there.
///
/// Input: four bytes for the lengths of the pieces in turn, then the stream.
pub fn dialect_detect(input: &[u8]) {
    let Some((plan, stream)) = input.split_first_chunk::<4>() else { return };
    let verdict = judge(stream);
    let whole = listen(&[stream], verdict);
    let pieces = cut(stream, plan);
    assert_eq!(listen(&pieces, verdict), whole, "cut by {plan:?}");
    // Behind the deciding byte single bytes are for `frame_chunks` to try.
    let (first, rest) = stream.split_at(stream.len().min(MOST + 1));
    let bytes: Vec<&[u8]> = first.chunks(1).chain([rest]).collect();
    assert_eq!(listen(&bytes, verdict), whole, "byte by byte");
    if let Some((at, Dialect::Native)) = verdict {
        let payload = &stream[at - 1..];
        assert_eq!(listen(&[payload], judge(payload)), whole, "without blanks");
    }
}

/// What is spoken.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
enum Dialect {
    Native,
    Unknown(u8),
}

/// The definition: which dialect, and how many bytes it takes to know.
fn judge(stream: &[u8]) -> Option<(usize, Dialect)> {
    let blanks = stream.iter().take_while(|byte| b" \t\r\n".contains(byte)).count();
    let at = blanks.min(MOST - 1);
    let first = *stream.get(at)?;
    Some((at + 1, if first == b'{' { Dialect::Native } else { Dialect::Unknown(first) }))
}

/// What became of a connection.
#[derive(Debug, Eq, PartialEq)]
struct Heard {
    /// The events: why a connection ended, or nothing.
    events: Vec<Option<CloseReason>>,
    sent: Vec<u8>,
    open: bool,
}

/// A node hears the pieces; after each it knows as much as the bytes so far tell, and no more.
fn listen(pieces: &[&[u8]], verdict: Option<(usize, Dialect)>) -> Heard {
    let id = Identity::new(NodeId::from_random_bytes([1; 16]));
    let mut node = Node::new(Config::default(), id, [7; 32], Start::default());
    let addr = "192.0.2.1:40000".parse().unwrap();
    let conn = node.accepted(addr, Instant::ZERO).unwrap();
    let (mut arrived, mut events, mut first_line) = (0, Vec::new(), false);
    for piece in pieces {
        node.received(conn, piece, Instant::ZERO);
        arrived += piece.len();
        first_line |= piece.contains(&b'\n');
        match verdict {
            Some((at, _)) if arrived < at => check_undecided(&node, conn),
            None => check_undecided(&node, conn),
            Some((_, Dialect::Native)) if !first_line && node.is_open(conn) => {
                assert!(node.buffered() > 0, "the payload is not kept");
            }
            Some((_, Dialect::Native)) => {}
            Some((_, Dialect::Unknown(byte))) => check_unknown(&mut node, conn, byte, &mut events),
        }
        while let Some(event) = node.poll_event() {
            events.push(reason_of(event));
        }
        while node.poll_action().is_some() {}
    }
    let mut sent = Vec::new();
    node.outgoing(conn).copy_to(&mut sent, usize::MAX);
    for line in sent.split_inclusive(|byte| *byte == b'\n') {
        assert!(matches!(decode(line), Ok(Some(_))), "it says what is no line");
    }
    Heard { events, sent, open: node.is_open(conn) }
}

/// Blanks cost nothing and are not answered.
fn check_undecided(node: &Node, conn: ConnId) {
    assert!(node.is_open(conn) && node.wants_read(conn), "closed before it could know");
    assert_eq!(node.buffered(), 0, "keeps blanks");
    assert!(node.outgoing(conn).is_empty(), "answers blanks");
    assert_eq!(node.peer_count(), 0);
}

/// A dialect that is not spoken is closed without a word, whatever follows.
fn check_unknown(node: &mut Node, conn: ConnId, byte: u8, events: &mut Vec<Option<CloseReason>>) {
    assert!(!node.is_open(conn) && node.outgoing(conn).is_empty());
    if events.is_empty() {
        let reason = node.poll_event().and_then(reason_of);
        assert_eq!(reason, Some(CloseReason::Violation(Violation::UnknownDialect { byte })));
        events.push(reason);
    }
}

fn reason_of(event: Event) -> Option<CloseReason> {
    match event {
        Event::ConnectionFailed { reason, .. } | Event::PeerDown { reason, .. } => Some(reason),
        _ => None,
    }
}
