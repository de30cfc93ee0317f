//! The workloads whose instructions are counted.
//!
//! Each prepares nodes in memory and gives back what is to be counted, a fixed number of steps of
//! it. What the nodes hear was written by real nodes; a driver is stood in for by [`Stage`], whose
//! sockets take everything at once.

use std::hint::black_box;
use std::net::SocketAddr;
use std::time::Duration;

use peerline_proto::{
    Action, Config, ConnId, Event, Identity, Instant, Limits, Node, NodeId, Payload, PeerId, Start,
};

/// One thing that is counted.
pub(crate) struct Workload {
    pub(crate) name: &'static str,
    /// Steps in one run: the table has instructions for one.
    pub(crate) times: u64,
    pub(crate) prepare: fn(u64) -> Work,
}

pub(crate) type Work = Box<dyn FnMut()>;

const fn workload(name: &'static str, times: u64, prepare: fn(u64) -> Work) -> Workload {
    Workload { name, times, prepare }
}

pub(crate) const WORKLOADS: [Workload; 13] = [
    workload("receive_64", 4_000, |times| receive(times, &text(64))),
    workload("receive_1k", 4_000, |times| receive(times, &text(1024))),
    workload("receive_escapes", 1_000, |times| receive(times, &escapes())),
    workload("receive_nested", 1_000, |times| receive(times, &nested())),
    workload("duplicate_1k", 2_000, duplicate),
    workload("forward_1_to_8", 1_000, forward),
    workload("broadcast_to_64", 200, broadcast),
    workload("publish_1k", 8_000, publish),
    workload("send_direct_1k", 2_000, send_direct),
    workload("ping_pong", 2_000, ping_pong),
    workload("handshake", 200, handshake),
    workload("join_among_1000", 100, join_among),
    workload("idle_timers_1000", 1_000, idle_timers),
];

/// What a driver reads at once.
const READ: usize = 64 * 1024;
/// What ids are made of.
const LISTENER: u8 = 1;
const PUBLISHER: u8 = 2;
const START: Instant = Instant::ZERO;

// ---- bodies

/// A JSON string of this many bytes, quotes included.
fn text(len: usize) -> String {
    format!("\"{}\"", "x".repeat(len - 2))
}

/// About 1 KiB of a string with an escape in every eight bytes.
fn escapes() -> String {
    format!("\"{}\"", "a \\\"q\\\" \\n\\u00e4 ".repeat(46))
}

/// About 1 KiB of objects in arrays, twenty levels deep.
fn nested() -> String {
    let deep = format!("{}1{}", "{\"a\":[".repeat(10), "]}".repeat(10));
    let row = format!("{{\"id\":12345,\"on\":true,\"of\":[1.5,null,\"x\"],\"deep\":{deep}}}");
    format!("[{row},{row},{row},{row},{row},{row},{row}]")
}

// ---- workloads

fn receive(times: u64, body: &str) -> Work {
    let mut stage = Stage::with_peers(1);
    let bytes = broadcasts(times, body);
    Box::new(move || {
        assert_eq!(stage.hear(0, &bytes), times);
    })
}

fn duplicate(times: u64) -> Work {
    let mut stage = Stage::with_peers(2);
    let bytes = broadcasts(times, &text(1024));
    assert_eq!(stage.hear(0, &bytes), times);
    Box::new(move || {
        assert_eq!(stage.hear(1, &bytes), 0);
        assert_eq!(stage.node.stats().duplicates, times);
    })
}

fn forward(times: u64) -> Work {
    let mut stage = Stage::with_peers(9);
    let bytes = broadcasts(times, &text(1024));
    Box::new(move || {
        assert_eq!(stage.hear(0, &bytes), times);
        assert_eq!(stage.node.stats().forwarded, 8 * times);
    })
}

fn broadcast(times: u64) -> Work {
    let mut stage = Stage::with_peers(64);
    let body = "x".repeat(1022);
    Box::new(move || {
        for _ in 0..times {
            let body = Payload::encode(&body).unwrap();
            assert_eq!(stage.node.broadcast("NEWS", &body, START).unwrap().queued, 64);
            stage.settle();
        }
    })
}

/// To one peer, whose socket takes a batch of them at a time, from a body that is JSON already.
fn publish(times: u64) -> Work {
    let mut stage = Stage::with_peers(1);
    let body = Payload::from_json(text(1024)).unwrap();
    Box::new(move || {
        for index in 0..times {
            assert_eq!(stage.node.broadcast("NEWS", &body, START).unwrap().queued, 1);
            if index % 400 == 0 {
                stage.settle();
            }
        }
        stage.settle();
    })
}

fn send_direct(times: u64) -> Work {
    let mut stage = Stage::with_peers(1);
    let (to, body) = (PeerId::Node(peer_id(0)), "x".repeat(1022));
    Box::new(move || {
        for _ in 0..times {
            let body = Payload::encode(&body).unwrap();
            stage.node.send(&to, "NOTE", &body, START).unwrap();
            stage.settle();
        }
    })
}

/// A message of 64 bytes, and one back.
fn ping_pong(times: u64) -> Work {
    let mut pair = Pair::new(0);
    pair.meet();
    let body = Payload::from_json(text(64)).unwrap();
    let ids = [pair.nodes[0].id(), pair.nodes[1].id()].map(PeerId::Node);
    Box::new(move || {
        for _ in 0..times {
            for from in [0, 1] {
                pair.nodes[from].send(&ids[1 - from], "PING", &body, START).unwrap();
                pair.exchange();
                assert_eq!(pair.messages(1 - from), 1);
            }
        }
    })
}

/// Two new nodes, up to the peer at both.
fn handshake(times: u64) -> Work {
    Box::new(move || {
        for run in 0..times {
            Pair::new(run).meet();
        }
    })
}

/// One more peer, where there are a thousand.
fn join_among(times: u64) -> Work {
    let (before, after) = (1000, 1000 + times as usize);
    let mut stage = Stage::new(LISTENER, many(after), before);
    Box::new(move || {
        for index in before..after {
            stage.join(index);
            stage.settle();
        }
        assert_eq!(stage.node.peer_count(), after);
    })
}

/// A minute of an idle connection, of a thousand: peers that answer pings and say nothing else.
fn idle_timers(times: u64) -> Work {
    let mut stage = Stage::new(LISTENER, many(times as usize), times as usize);
    let until = START + Duration::from_secs(60);
    Box::new(move || {
        while let Some(now) = stage.node.poll_timeout().filter(|now| *now <= until) {
            stage.now = now.max(stage.now);
            stage.node.handle_timeout(stage.now);
            stage.answer_pings();
        }
        assert_eq!(stage.node.peer_count() as u64, times);
    })
}

/// Room for so many peers.
fn many(peers: usize) -> Limits {
    let mut limits = Limits::default();
    (limits.max_inbound, limits.half_open) = (2 * peers, 2 * peers);
    limits
}

/// Broadcasts as a node writes them.
fn broadcasts(times: u64, body: &str) -> Vec<u8> {
    let mut stage = Stage::new(PUBLISHER, Limits::default(), 1);
    let body = Payload::from_json(body).unwrap();
    let mut bytes = Vec::new();
    for _ in 0..times {
        stage.node.broadcast("NEWS", &body, START).unwrap();
        stage.node.outgoing(stage.conns[0]).copy_to(&mut bytes, usize::MAX);
        stage.settle();
    }
    bytes
}

// ---- one node among peers that are only bytes

struct Stage {
    node: Node,
    conns: Vec<ConnId>,
    now: Instant,
}

impl Stage {
    fn with_peers(count: usize) -> Self {
        Self::new(LISTENER, Limits::default(), count)
    }

    fn new(id: u8, limits: Limits, count: usize) -> Self {
        let config = Config::builder().limits(limits).build().unwrap();
        let identity = Identity::new(NodeId::from_random_bytes([id; 16]));
        let node = Node::new(config, identity, [7; 32], Start::default());
        let mut stage = Self { node, conns: Vec::new(), now: START };
        for index in 0..count {
            stage.join(index);
        }
        stage.settle();
        assert_eq!(stage.node.peer_count(), count);
        stage
    }

    /// A peer that dialled us says hello.
    fn join(&mut self, index: usize) {
        let addr = SocketAddr::from(([127, 0, 0, 1], 10_000 + index as u16));
        let conn = self.node.accepted(addr, START).unwrap();
        self.conns.push(conn);
        let id = peer_id(index);
        let hello = format!("{{\"msgtype\":\"hello\",\"nodeid\":\"{id}\",\"version\":1}}\n");
        self.node.received(conn, hello.as_bytes(), START);
    }

    /// Reads bytes of a peer as a driver does. Returns how many messages were delivered.
    fn hear(&mut self, peer: usize, bytes: &[u8]) -> u64 {
        let pieces = bytes.chunks(READ);
        pieces
            .map(|piece| {
                self.node.received(self.conns[peer], piece, self.now);
                self.settle()
            })
            .sum()
    }

    /// Writes all there is and takes all events. Returns how many were messages.
    fn settle(&mut self) -> u64 {
        while let Some(action) = self.node.poll_action() {
            let Action::Send { conn } = action else { continue };
            write(&mut self.node, conn, self.now, |_| {});
        }
        messages(&mut self.node)
    }

    /// Writes all there is; whoever is pinged answers.
    fn answer_pings(&mut self) {
        while let Some(action) = self.node.poll_action() {
            let Action::Send { conn } = action else { continue };
            let mut sent = Vec::new();
            write(&mut self.node, conn, self.now, |chunk| sent.extend_from_slice(chunk));
            if sent.starts_with(b"{\"msgtype\":\"ping\"") {
                sent[13] = b'o'; // a pong is the ping with another letter
                self.node.received(conn, &sent, self.now);
            }
        }
    }
}

fn peer_id(index: usize) -> NodeId {
    let mut bytes = [9; 16];
    bytes[..4].copy_from_slice(&(index as u32).to_be_bytes());
    NodeId::from_random_bytes(bytes)
}

fn write(node: &mut Node, conn: ConnId, now: Instant, mut each: impl FnMut(&[u8])) {
    loop {
        let mut count = 0;
        for chunk in node.outgoing(conn).chunks() {
            count += black_box(chunk).len();
            each(chunk);
        }
        if count == 0 {
            return;
        }
        node.sent(conn, count, now);
    }
}

fn messages(node: &mut Node) -> u64 {
    let mut count = 0;
    while let Some(event) = node.poll_event() {
        count += u64::from(matches!(black_box(event), Event::Message(_)));
    }
    count
}

// ---- two nodes and the bytes between them

struct Pair {
    nodes: [Node; 2],
    conns: [Option<ConnId>; 2],
    buffer: Vec<u8>,
}

impl Pair {
    fn new(run: u64) -> Self {
        let nodes = [1, 2].map(|number| {
            let mut bytes = [number; 16];
            bytes[..8].copy_from_slice(&run.to_be_bytes());
            let identity = Identity::new(NodeId::from_random_bytes(bytes));
            Node::new(Config::default(), identity, [number; 32], Start::default())
        });
        Self { nodes, conns: [None; 2], buffer: Vec::new() }
    }

    /// From the dial to the peer.
    fn meet(&mut self) {
        let addr = SocketAddr::from(([127, 0, 0, 1], 10_000));
        let dialled = self.nodes[0].dial(addr, START).unwrap();
        let accepted = self.nodes[1].accepted(addr, START).unwrap();
        self.conns = [Some(dialled), Some(accepted)];
        self.nodes[0].connected(dialled, START);
        self.exchange();
        for side in [0, 1] {
            assert_eq!(self.messages(side), 0);
            assert_eq!(self.nodes[side].peer_count(), 1);
        }
    }

    /// Carries bytes both ways until there are no more.
    fn exchange(&mut self) {
        loop {
            let before = self.nodes[0].stats().bytes_out + self.nodes[1].stats().bytes_out;
            for from in [0, 1] {
                self.carry(from);
            }
            if self.nodes[0].stats().bytes_out + self.nodes[1].stats().bytes_out == before {
                return;
            }
        }
    }

    fn carry(&mut self, from: usize) {
        while self.nodes[from].poll_action().is_some() {}
        let Some((conn, other)) = self.conns[from].zip(self.conns[1 - from]) else { return };
        self.buffer.clear();
        let count = self.nodes[from].outgoing(conn).copy_to(&mut self.buffer, usize::MAX);
        if count > 0 {
            self.nodes[from].sent(conn, count, START);
            self.nodes[1 - from].received(other, &self.buffer, START);
        }
    }

    fn messages(&mut self, side: usize) -> u64 {
        messages(&mut self.nodes[side])
    }
}
