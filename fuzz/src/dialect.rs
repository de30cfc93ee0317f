//! Target `dialect_detect`: what the first bytes of a connection decide.

use std::mem::Discriminant;
use std::net::SocketAddr;

use peerline_proto::testing::decode;
use peerline_proto::{
    Action, CloseReason, Config, ConnId, Dialect, Event, Identity, Instant, Node, NodeId, Start,
    Violation,
};
use peerline_testkit::opening::{Fate, HEADER, Opening, Spoken, header};

use crate::input::cut;

/// Of the stream, so many bytes come one by one. Behind them that is for other targets to try.
const SINGLE: usize = 66;
/// A length of this or more as the first of the plan makes each [`FILLER`] a long text.
const STRETCHED: u8 = 240;
const FILLER: u8 = b'~';
const STRETCH: usize = 1000;
/// A length of this or more as the last of the plan switches dialects off by its lowest bits.
const SWITCHED: u8 = 224;

/// The dialect is decided once, at the same byte for any cut, and so is whether the first message
/// is taken; blanks before it change nothing.
///
/// Input: four bytes for the lengths of the pieces in turn, then the stream.
pub fn dialect_detect(input: &[u8]) {
    let Some((plan, stream)) = input.split_first_chunk::<4>() else { return };
    let [.., last] = *plan;
    let off = if last >= SWITCHED { last } else { 0 };
    let spoken = Spoken { btpeer: off & 1 == 0, chat: off & 2 == 0 };
    let stretched;
    let stream = if plan[0] >= STRETCHED {
        stretched = stretch(stream);
        &stretched[..]
    } else {
        stream
    };
    let opening = Opening::of(stream, spoken);
    let whole = listen(&[stream], &opening, spoken);
    let pieces = cut(stream, plan);
    assert_eq!(listen(&pieces, &opening, spoken), whole, "cut by {plan:?}");
    let (first, rest) = stream.split_at(stream.len().min(SINGLE));
    let bytes: Vec<&[u8]> = first.chunks(1).chain([rest]).collect();
    assert_eq!(listen(&bytes, &opening, spoken), whole, "byte by byte");
    let message = &stream[opening.blanks..];
    // What is refused for one blank too many would be taken.
    if opening.blanks > 0 && message.first().is_some_and(|first| *first > b' ') {
        let again = listen(&[message], &Opening::of(message, spoken), spoken);
        assert_eq!(again, whole, "without blanks");
    }
}

fn stretch(stream: &[u8]) -> Vec<u8> {
    let mut stretched = Vec::new();
    for byte in stream {
        let count = if *byte == FILLER { STRETCH } else { 1 };
        stretched.resize(stretched.len() + count, *byte);
    }
    stretched
}

/// What became of a connection.
#[derive(Debug, Eq, PartialEq)]
struct Heard {
    events: Vec<Told>,
    /// Whom the node then dials.
    dials: Vec<SocketAddr>,
    sent: Vec<u8>,
    open: bool,
}

/// An event.
#[derive(Debug, Eq, PartialEq)]
enum Told {
    /// A connection ended, with the length of a line that is too long left out.
    End(CloseReason),
    Other(Discriminant<Event>),
}

/// A node hears the pieces; after each it knows as much as the bytes so far tell, and no more.
fn listen(pieces: &[&[u8]], opening: &Opening, spoken: Spoken) -> Heard {
    let id = Identity::new(NodeId::from_random_bytes([1; 16]));
    let config = Config::builder().speak(Dialect::Btpeer, spoken.btpeer);
    let config = config.speak(Dialect::Chat, spoken.chat).build().unwrap();
    let mut node = Node::new(config, id, [7; 32], Start::default());
    node.listening("192.0.2.9:4000".parse().unwrap(), Instant::ZERO);
    let addr: SocketAddr = "192.0.2.1:40000".parse().unwrap();
    let conn = node.accepted(addr, Instant::ZERO).unwrap();
    let mut heard = Heard { events: Vec::new(), dials: Vec::new(), sent: Vec::new(), open: true };
    let mut arrived = 0;
    for piece in pieces {
        node.received(conn, piece, Instant::ZERO);
        arrived += piece.len();
        while let Some(event) = node.poll_event() {
            heard.events.push(told(&event));
        }
        match opening.fate {
            Some((at, fate)) if at <= arrived => check_known(&node, conn, fate, &heard.events),
            _ => {
                check_unknown(&node, conn, arrived.saturating_sub(opening.blanks));
                assert!(heard.events.is_empty(), "told before it could know");
            }
        }
        while let Some(action) = node.poll_action() {
            if let Action::Connect { addr, .. } = action {
                heard.dials.push(addr);
            }
        }
    }
    node.outgoing(conn).copy_to(&mut heard.sent, usize::MAX);
    heard.open = node.is_open(conn);
    check_said(opening, &heard, addr);
    heard
}

fn told(event: &Event) -> Told {
    let (Event::ConnectionFailed { reason, .. } | Event::PeerDown { reason, .. }) = event else {
        return Told::Other(std::mem::discriminant(event));
    };
    Told::End(match reason {
        CloseReason::Violation(Violation::LineTooLong { limit, .. }) => {
            CloseReason::Violation(Violation::LineTooLong { len: 0, limit: *limit })
        }
        other => other.clone(),
    })
}

/// Blanks cost nothing, the start of a message costs its bytes, and neither is answered.
fn check_unknown(node: &Node, conn: ConnId, kept: usize) {
    assert!(node.is_open(conn) && node.wants_read(conn), "closed before it could know");
    assert_eq!(node.buffered(), kept, "bytes kept");
    assert!(node.outgoing(conn).is_empty(), "answers what is not whole");
    assert_eq!(node.peer_count(), 0);
}

/// What is refused is closed without a word; a guest's exchange ends without an event.
fn check_known(node: &Node, conn: ConnId, fate: Fate, events: &[Told]) {
    match fate {
        Fate::Refused(violation) => {
            assert!(!node.is_open(conn) && node.outgoing(conn).is_empty());
            assert_eq!(events, [Told::End(CloseReason::Violation(violation))]);
        }
        Fate::Object | Fate::Frame(_) => {
            let ends = events.iter().any(|event| matches!(event, Told::End(_)));
            assert!(!ends, "a whole exchange is told as an end");
        }
        Fate::Line => {}
    }
}

/// A guest is answered in its dialect, and nobody is dialled in its name but itself.
fn check_said(opening: &Opening, heard: &Heard, source: SocketAddr) {
    let mut said = &heard.sent[..];
    match opening.fate {
        Some((_, Fate::Frame(_))) => {
            while !said.is_empty() {
                let (_, len) = header(said).expect("a whole header");
                said = &said[HEADER + len as usize..];
            }
        }
        Some((_, Fate::Object)) => assert!(said.is_empty(), "an object is answered by a dial"),
        Some((_, Fate::Line | Fate::Refused(_))) | None => {
            for line in said.split_inclusive(|byte| *byte == b'\n') {
                assert!(matches!(decode(line), Ok(Some(_))), "it says what is no line");
            }
            return;
        }
    }
    assert!(heard.dials.iter().all(|addr| addr.ip() == source.ip()), "dials a third party");
}
