//! What peers can make a node hold, part by part, for a program whose allocator counts.
//!
//! One node is driven by hand: its peers say what fills one part to its limit, as bytes, and the
//! driver does what it is told. Other parts are made small meanwhile, so that what is held is that
//! part. Each [`Part`] is compared with what [`Limits::worst_case_node`] charges for it.

mod fill;
mod guests;
mod own;

use std::net::SocketAddr;
use std::time::Duration;

use peerline_proto::{
    Action, Config, ConfigBuilder, ConnId, Event, Identity, Instant, Limits, Node, NodeId, ReplyTo,
    Start, testing,
};

pub use fill::PARTS;

/// A part of what a node may hold.
#[derive(Copy, Clone, Debug)]
pub struct Part {
    /// What is filled.
    pub name: &'static str,
    /// The parts of the sum that it is in.
    pub within: &'static [&'static str],
    /// Whatever is changed of the usual limits.
    pub limits: fn(&mut Limits),
    /// Whatever is changed of the other settings.
    pub config: fn(ConfigBuilder) -> ConfigBuilder,
    /// Fills it.
    pub fill: fn(&mut Crowd),
}

/// What a part came to.
#[derive(Copy, Clone, Debug)]
pub struct Filled {
    /// Bytes that the allocator counted.
    pub held: usize,
    /// Bytes that are charged.
    pub most: usize,
}

/// Bytes that the driver hands in at once.
const READ: usize = 64 * 1024;

impl Part {
    /// Fills it, and tells what that costs by what `held` counts. The peers are there before.
    pub fn fill(&self, held: &dyn Fn() -> usize) -> Filled {
        let mut limits = Limits::default();
        modest(&mut limits);
        (self.limits)(&mut limits);
        let parts = testing::worst_case_parts(&limits, READ);
        let of = |name: &&str| parts.iter().find(|(part, _)| part == name).expect("a part").1;
        let most = self.within.iter().map(of).sum();
        let config = (self.config)(Config::builder().limits(limits));
        let mut crowd = Crowd::new(config.build().expect("limits that fit"));
        let before = held();
        (self.fill)(&mut crowd);
        (crowd.dialled, crowd.asked) = (Vec::new(), Vec::new());
        Filled { held: held().saturating_sub(before), most }
    }
}

/// The other parts take as little as they can.
fn modest(limits: &mut Limits) {
    limits.cache = 1;
    limits.wanted = 1;
    limits.recent_ids = 1;
    limits.verdicts = 1;
    limits.routes = 1;
    limits.relayed = 1;
    limits.streams = 1;
    limits.answering = 1;
    limits.book = 1;
    limits.target_outbound = 0;
    limits.id_links = 0;
    limits.max_dialing = 1;
    limits.urgent_dialing = 1;
    limits.rivals = 1;
    limits.guest_connections = 1;
}

/// A node and those that dialled it.
#[derive(Debug)]
pub struct Crowd {
    /// The node.
    pub node: Node,
    /// The time.
    pub now: Instant,
    /// Whether the sockets take what is written to them.
    pub takes: bool,
    /// Whether the application takes its events.
    pub listens: bool,
    /// Connections that it wants.
    pub dialled: Vec<ConnId>,
    /// Requests that the application was told of.
    pub asked: Vec<ReplyTo>,
    strangers: u32,
}

impl Crowd {
    fn new(config: Config) -> Self {
        let id = Identity::new(NodeId::from_random_bytes([1; 16]));
        let mut node = Node::new(config, id, [7; 32], Start::default());
        node.listening(([192, 0, 2, 1], 5999).into(), Instant::ZERO);
        Self {
            node,
            now: Instant::ZERO,
            takes: true,
            listens: true,
            dialled: Vec::new(),
            asked: Vec::new(),
            strangers: 0,
        }
    }

    /// Somebody connects, from a network group of his own.
    pub fn stranger(&mut self) -> ConnId {
        let [_, a, b, c] = self.strangers.to_be_bytes();
        self.strangers += 1;
        self.from(SocketAddr::from(([20 + b, c, a, 1], 40_000)))
    }

    /// Somebody connects from there.
    pub fn from(&mut self, addr: SocketAddr) -> ConnId {
        let conn = self.node.accepted(addr, self.now).expect("is taken");
        self.drain();
        conn
    }

    /// A peer connects: the node of this number.
    pub fn peer(&mut self, number: u64) -> ConnId {
        let conn = self.stranger();
        self.greet(conn, &name(number));
        conn
    }

    /// So many peers connect.
    pub fn peers(&mut self, count: u64) -> Vec<ConnId> {
        (1..=count).map(|number| self.peer(number)).collect()
    }

    /// Somebody says who he is.
    pub fn greet(&mut self, conn: ConnId, name: &str) {
        self.say(conn, &format!("{{\"msgtype\":\"hello\",\"nodeid\":\"{name}\",\"version\":1}}\n"));
    }

    /// Bytes come, as much at once as a driver reads.
    pub fn say(&mut self, conn: ConnId, text: &str) {
        text.as_bytes().chunks(READ).for_each(|piece| self.hear(conn, piece));
    }

    /// The driver reads this.
    pub fn hear(&mut self, conn: ConnId, piece: &[u8]) {
        self.node.received(conn, piece, self.now);
        self.drain();
    }

    /// Time passes.
    pub fn wait(&mut self, time: Duration) {
        let until = self.now + time;
        while let Some(due) = self.node.poll_timeout().filter(|due| *due <= until) {
            self.now = self.now.max(due);
            self.node.handle_timeout(self.now);
            self.drain();
        }
        self.now = until;
        self.node.handle_timeout(until);
        self.drain();
    }

    /// The driver does what it is told, the application takes its events.
    pub fn drain(&mut self) {
        while let Some(action) = self.node.poll_action() {
            match action {
                Action::Send { conn } if self.takes => self.write(conn),
                Action::Connect { conn, .. } => self.dialled.push(conn),
                _ => {}
            }
        }
        while self.listens {
            match self.node.poll_event() {
                Some(Event::Request(request)) => self.asked.push(request.reply_to()),
                Some(_) => {} // Event may grow; no other is answered
                None => return,
            }
        }
    }

    fn write(&mut self, conn: ConnId) {
        while !self.node.outgoing(conn).is_empty() {
            let count = self.node.outgoing(conn).len();
            self.node.sent(conn, count, self.now);
        }
    }

    /// The limits.
    pub fn limits(&self) -> Limits {
        self.node.config().limits().clone()
    }
}

/// A node's id as text.
pub fn name(number: u64) -> String {
    let mut bytes = [9; 16];
    bytes[8..].copy_from_slice(&number.to_be_bytes());
    NodeId::from_random_bytes(bytes).to_string()
}

/// A broadcast's line.
pub fn broadcast(originator: &str, seq: u64, body: &str) -> String {
    format!(
        "{{\"msgtype\":\"broadcast\",\"originator\":\"{originator}\",\"epoch\":1,\"seq\":{seq},\
         \"time\":1,\"kind\":\"K\",\"msg\":\"{body}\"}}\n"
    )
}

/// A line for one node, of this one.
pub fn direct(id: &str, from: u64, to: &str, number: u64) -> String {
    format!(
        "{{\"msgtype\":\"message\",\"id\":\"{id}\",\"from\":\"{}\",\"to\":\"{to}\",\"kind\":\"K\",\
         \"time\":0,\"ttl\":9,\"try\":{number},\"msg\":0}}\n",
        name(from)
    )
}
