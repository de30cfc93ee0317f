//! Target `dialect_detect`: what the first bytes of a connection decide.

use peerline_proto::testing::decode;
use peerline_proto::{
    Action, CloseReason, Config, ConnId, Event, Identity, Instant, MAX_FIRST_LINE, Node, NodeId,
    Start, Violation,
};
use peerline_testkit::guest_oracle;

use crate::input::cut;

/// Blanks that may come first, and the byte that then decides.
const MOST: usize = 65;
/// Levels at which an object is given up.
const MOST_LEVELS: usize = 32;

/// The dialect is decided once, the same for any cut; what follows the blanks is read as if they
/// had not been there. Of an object, the first key that names a type decides, by the definition.
///
/// Input: four bytes for the lengths of the pieces in turn, then the stream.
pub fn dialect_detect(input: &[u8]) {
    let Some((plan, stream)) = input.split_first_chunk::<4>() else { return };
    if stream.len() > MAX_FIRST_LINE {
        return;
    }
    let verdict = judge(stream);
    let whole = listen(&[stream], verdict);
    let pieces = cut(stream, plan);
    assert_eq!(listen(&pieces, verdict), whole, "cut by {plan:?}");
    // Behind the deciding byte single bytes are for `frame_chunks` to try.
    let (first, rest) = stream.split_at(stream.len().min(MOST + 1));
    let bytes: Vec<&[u8]> = first.chunks(1).chain([rest]).collect();
    assert_eq!(listen(&bytes, verdict), whole, "byte by byte");
    let Some((at, dialect)) = verdict else { return };
    if !matches!(dialect, Dialect::Unknown(_)) {
        let payload = &stream[at - 1..];
        assert_eq!(listen(&[payload], judge(payload)), whole, "without blanks");
    }
}

/// What is spoken.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
enum Dialect {
    /// An object that names its type by `msgtype`, or a start of one of which it is not known.
    Native,
    /// A whole object whose first such key is `msg_type`.
    Chat,
    Btpeer,
    Unknown(u8),
}

/// The definition: which dialect, and how many bytes it takes to know that of the first byte.
fn judge(stream: &[u8]) -> Option<(usize, Dialect)> {
    let blanks = stream.iter().take_while(|byte| b" \t\r\n".contains(byte)).count();
    let at = blanks.min(MOST - 1);
    let dialect = match *stream.get(at)? {
        b'{' if is_chat(&stream[at..]) => Dialect::Chat,
        b'{' => Dialect::Native,
        first @ ..=b' ' => Dialect::Unknown(first),
        _ => Dialect::Btpeer,
    };
    Some((at + 1, dialect))
}

fn is_chat(text: &[u8]) -> bool {
    let first = guest_oracle::first_key(text);
    let len = first.map_or(0, |(_, len)| len);
    guest_oracle::depth(&text[..len]) < MOST_LEVELS
        && first.is_some_and(|(key, _)| key == "msg_type")
}

/// What became of a connection.
#[derive(Debug, Eq, PartialEq)]
struct Heard {
    /// The events: why connections ended, or what there was, as text.
    events: Vec<String>,
    actions: Vec<Action>,
    sent: Vec<u8>,
    open: bool,
}

/// A node hears the pieces; after each it knows as much as the bytes so far tell, and no more.
fn listen(pieces: &[&[u8]], verdict: Option<(usize, Dialect)>) -> Heard {
    let id = Identity::new(NodeId::from_random_bytes([1; 16]));
    let mut node = Node::new(Config::default(), id, [7; 32], Start::default());
    let addr = "192.0.2.1:40000".parse().unwrap();
    let conn = node.accepted(addr, Instant::ZERO).unwrap();
    let (mut arrived, mut events, mut actions) = (0, Vec::new(), Vec::new());
    for piece in pieces {
        node.received(conn, piece, Instant::ZERO);
        arrived += piece.len();
        match verdict {
            Some((at, _)) if arrived < at => check_undecided(&node, conn),
            None => check_undecided(&node, conn),
            Some((_, Dialect::Unknown(byte))) => check_unknown(&mut node, conn, byte, &mut events),
            Some(_) => {}
        }
        while let Some(event) = node.poll_event() {
            events.push(format!("{event:?}"));
        }
        actions.extend(core::iter::from_fn(|| node.poll_action()));
    }
    let mut sent = Vec::new();
    node.outgoing(conn).copy_to(&mut sent, usize::MAX);
    check_sent(&node, verdict, &sent, &events);
    actions.retain(|action| !matches!(action, Action::Send { .. }));
    Heard { events, actions, sent, open: node.is_open(conn) }
}

/// What is said is of the dialect that was spoken.
fn check_sent(node: &Node, verdict: Option<(usize, Dialect)>, sent: &[u8], events: &[String]) {
    match verdict {
        Some((_, Dialect::Native)) => {
            for line in sent.split_inclusive(|byte| *byte == b'\n') {
                assert!(matches!(decode(line), Ok(Some(_))), "it says what is no line");
            }
        }
        Some((_, Dialect::Chat)) => {
            assert!(sent.is_empty(), "a chat object is answered elsewhere");
            assert_eq!((node.stats().violations, node.peer_count()), (0, 0), "{events:?}");
        }
        Some((_, Dialect::Btpeer)) => assert_eq!(node.peer_count(), 0),
        Some((_, Dialect::Unknown(_))) | None => assert!(sent.is_empty()),
    }
}

/// Blanks cost nothing and are not answered.
fn check_undecided(node: &Node, conn: ConnId) {
    assert!(node.is_open(conn) && node.wants_read(conn), "closed before it could know");
    assert_eq!(node.buffered(), 0, "keeps blanks");
    assert!(node.outgoing(conn).is_empty(), "answers blanks");
    assert_eq!(node.peer_count(), 0);
}

/// A dialect that is not spoken is closed without a word, whatever follows.
fn check_unknown(node: &mut Node, conn: ConnId, byte: u8, events: &mut Vec<String>) {
    assert!(!node.is_open(conn) && node.outgoing(conn).is_empty());
    if events.is_empty() {
        let event = node.poll_event().expect("its end is told");
        let Event::ConnectionFailed { reason, .. } = &event else { panic!("{event:?}") };
        assert_eq!(*reason, CloseReason::Violation(Violation::UnknownDialect { byte }));
        events.push(format!("{event:?}"));
    }
}
