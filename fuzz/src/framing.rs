//! Targets `frame_chunks` and `frame_bidi`: how a stream becomes lines, whatever the cuts.

use std::collections::VecDeque;

use peerline_proto::testing::Lines;
use peerline_proto::{
    Action, Config, ConnId, Delivery, Event, Identity, Instant, Limits, Node, NodeId, Payload,
    PeerId, Start, Violation,
};

use crate::input::{Input, cut};

/// The lines of a stream do not depend on how it is cut, and no more than a line is kept.
///
/// Input: a byte for the limit, four for the lengths of the pieces in turn, then the stream.
pub fn frame_chunks(input: &[u8]) {
    let Some(([limit, plan @ ..], stream)) = input.split_first_chunk::<5>() else { return };
    let limit = usize::from(*limit);
    let whole = feed(stream, &[stream], limit);
    let bytes: Vec<&[u8]> = stream.chunks(1).collect();
    assert_eq!(feed(stream, &bytes, limit), whole, "byte by byte");
    let pieces = cut(stream, plan);
    assert_eq!(feed(stream, &pieces, limit), whole, "cut by {plan:?}");
}

/// What became of a stream.
#[derive(Debug, Eq, PartialEq)]
struct Outcome {
    lines: Vec<Vec<u8>>,
    /// Bytes of the unfinished line; `None` after a violation, when nobody looks at them.
    pending: Option<usize>,
}

/// Feeds the pieces and holds each step to the stream: lines and pending bytes are what has
/// arrived, a line ends at its first line end, and only one over the limit is refused.
fn feed(stream: &[u8], pieces: &[&[u8]], limit: usize) -> Outcome {
    let mut framer = Lines::default();
    let mut lines = Vec::new();
    let (mut taken, mut arrived) = (0, 0);
    for piece in pieces {
        let before = lines.len();
        let fed = framer.feed(piece, limit, &mut lines);
        arrived += piece.len();
        for line in &lines[before..] {
            assert_eq!(content(line) + 1, line.len(), "one line end, and it is last");
            assert!(content(line) <= limit, "a line over the limit");
            assert_eq!(line, &stream[taken..taken + line.len()]);
            taken += line.len();
        }
        let open = &stream[taken..arrived];
        assert!(framer.pending() <= limit, "more than a line is kept");
        if let Err(violation) = fed {
            let len = content(open);
            assert!(len > limit, "a line within the limit is refused");
            assert_eq!(violation, Violation::LineTooLong { len, limit });
            return Outcome { lines, pending: None };
        }
        let new = &open[open.len().saturating_sub(piece.len())..];
        assert!(!new.contains(&b'\n'), "a whole line is held back");
        assert_eq!(framer.pending(), open.len());
    }
    Outcome { lines, pending: Some(framer.pending()) }
}

/// Bytes before the line end.
fn content(line: &[u8]) -> usize {
    line.iter().position(|byte| *byte == b'\n').unwrap_or(line.len())
}

/// Two nodes talk over pipes of a few bytes: all lines arrive, in order, and nothing stays behind.
///
/// Input: a byte for the queues, then operations of one byte and an argument.
pub fn frame_bidi(input: &[u8]) {
    let mut input = Input::new(input);
    let mut talk = Talk::begin(input.byte());
    while let Some(op) = input.next() {
        let from = usize::from(op & 1);
        let arg = input.byte();
        match op >> 1 & 7 {
            0 | 1 => talk.write(from, 1 + usize::from(arg)),
            2 | 3 => talk.read(from, 1 + usize::from(arg)),
            4 => talk.write(from, 64 << (arg % 16)),
            5 => talk.read(from, 64 << (arg % 16)),
            6 => talk.say(from, arg, true),
            _ => talk.say(from, arg, false),
        }
    }
    talk.end();
}

/// Two nodes that are peers, and the bytes between them.
struct Talk {
    nodes: [Node; 2],
    conns: [ConnId; 2],
    /// Bytes written by each and not read by the other.
    ways: [VecDeque<u8>; 2],
    /// Bodies that each node's queue took, and bodies that the other got: direct, broadcast.
    sent: [[Vec<String>; 2]; 2],
    got: [[Vec<String>; 2]; 2],
    count: u32,
}

impl Talk {
    fn begin(queue: u8) -> Self {
        let mut limits = Limits::default();
        limits.send_queue = 8192 << (queue % 8);
        let config = Config::builder().limits(limits).build().unwrap();
        let mut nodes = [1, 2].map(|number| {
            let id = Identity::new(NodeId::from_random_bytes([number; 16]));
            Node::new(config.clone(), id, [number; 32], Start::default())
        });
        let addr = "192.0.2.1:5999".parse().unwrap();
        let dialled = nodes[0].dial(addr, Instant::ZERO).unwrap();
        let accepted = nodes[1].accepted(addr, Instant::ZERO).unwrap();
        nodes[0].connected(dialled, Instant::ZERO);
        let (ways, sent, got) = Default::default();
        let mut talk =
            Self { nodes, conns: [dialled, accepted], ways, sent, got, count: u32::from(queue) };
        talk.flush();
        assert!(talk.nodes.iter().all(|node| node.peer_count() == 1), "no peers");
        talk
    }

    /// The socket of one node takes a part of what it shows.
    fn write(&mut self, from: usize, most: usize) {
        let (node, conn) = (&mut self.nodes[from], self.conns[from]);
        let mut bytes = Vec::new();
        let count = node.outgoing(conn).copy_to(&mut bytes, most);
        assert!(count == most || count == node.outgoing(conn).len(), "shows less than it has");
        node.sent(conn, count, Instant::ZERO);
        self.ways[from].extend(bytes);
    }

    /// The other one reads a part of what has arrived.
    fn read(&mut self, from: usize, most: usize) {
        let count = most.min(self.ways[from].len());
        let bytes: Vec<u8> = self.ways[from].drain(..count).collect();
        let to = 1 - from;
        self.nodes[to].received(self.conns[to], &bytes, Instant::ZERO);
        while let Some(action) = self.nodes[to].poll_action() {
            assert_ne!(action, Action::Drop { conn: self.conns[to] }, "the lines are broken");
        }
        while let Some(event) = self.nodes[to].poll_event() {
            if let Event::Message(message) = event {
                let lane = usize::from(message.delivery() == Delivery::Broadcast);
                self.got[from][lane].push(message.body().to_owned());
            }
        }
    }

    fn say(&mut self, from: usize, size: u8, directly: bool) {
        self.count += 1;
        // Few are large: their bytes cost time, and show nothing more.
        let shift = [0, 1, 2, 3, 4, 5, 6, 7, 0, 0, 0, 0, 0, 0, 0, 8][usize::from(size >> 4)];
        let filler = "y".repeat(usize::from(size & 15) << shift);
        let body = Payload::encode(&(self.count, filler)).unwrap();
        let to = PeerId::Node(self.nodes[1 - from].id());
        let node = &mut self.nodes[from];
        // A direct message may make the newest broadcasts give way.
        let taken = if directly {
            let before = node.stats().skipped;
            let taken = node.send(&to, "BIDI", &body, Instant::ZERO).is_ok();
            let gave_way = usize::try_from(node.stats().skipped - before).unwrap();
            let lane = &mut self.sent[from][1];
            lane.truncate(lane.len() - gave_way);
            taken
        } else {
            let receipt = node.broadcast("BIDI", &body, Instant::ZERO);
            receipt.is_ok_and(|receipt| receipt.queued == 1)
        };
        if taken {
            self.sent[from][usize::from(!directly)].push(body.as_str().to_owned());
        }
    }

    /// Moves all there is, until both are silent.
    fn flush(&mut self) {
        while self.nodes.iter().zip(self.conns).any(|(node, conn)| !node.outgoing(conn).is_empty())
            || self.ways.iter().any(|way| !way.is_empty())
        {
            for from in [0, 1] {
                self.write(from, usize::MAX);
                self.read(from, usize::MAX);
            }
        }
    }

    fn end(mut self) {
        self.flush();
        assert_eq!(self.got, self.sent, "lost, doubled or out of order");
        for node in &mut self.nodes {
            while node.poll_event().is_some() {}
            assert_eq!(node.buffered(), 0, "something is left behind");
        }
        let [a, b] = self.nodes.each_ref().map(Node::stats);
        assert_eq!((a.bytes_in, b.bytes_in), (b.bytes_out, a.bytes_out));
    }
}
