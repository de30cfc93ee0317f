//! The quality of broadcast trees, measured: real nodes, real bytes, links of fixed length.
//!
//! Leaner than [`net`](crate::net), which tries every fault: here thousands of nodes are to be
//! driven through the public API and nothing else is to cost time. Each pair of nodes that connect
//! has one latency of 10 to 50 ms, to which each segment adds an exponential delay if asked for;
//! segments of a connection stay in order. One seed gives one run.

pub mod scenarios;
mod wire;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use peerline_proto::{
    Action, Config, ConnId, Event, Identity, Instant, Node, NodeId, Payload, Start, TransportError,
    UnixTime, testing,
};

use crate::entropy::Entropy;
use wire::{Wire, Wires};

/// The port of every node.
const PORT: u16 = 5999;

/// One broadcast and who got it.
#[derive(Clone, Debug)]
pub struct Cast {
    /// The node that published it.
    pub by: usize,
    /// When.
    pub at: Instant,
    /// Nodes that got it, the publisher left out.
    pub got: usize,
    /// When the last one got it.
    pub last: Instant,
    /// How many links it crossed to the node furthest away.
    pub hops: u32,
}

/// A network of nodes on virtual time.
#[derive(Debug)]
pub struct Quality {
    /// The time.
    pub now: Instant,
    nodes: Vec<Member>,
    by_addr: BTreeMap<SocketAddr, usize>,
    wires: Wires,
    agenda: BTreeSet<(Instant, usize)>,
    /// What was published, by number.
    pub casts: Vec<Cast>,
    rng: Entropy,
}

#[derive(Debug)]
struct Member {
    node: Node,
    alive: bool,
    /// When its timer is set, as the agenda has it.
    due: Option<Instant>,
    conns: BTreeMap<ConnId, Wire>,
    /// The hops after which it got each broadcast of late.
    hops: BTreeMap<usize, u32>,
}

fn addr_of(index: usize) -> SocketAddr {
    let index = u32::try_from(index).expect("a small network");
    SocketAddr::from((Ipv4Addr::from(0x0a00_0001 + index), PORT))
}

impl Quality {
    /// Nodes that know nobody. `jitter` is the mean of what each segment is delayed beyond its
    /// link's latency.
    pub fn new(count: usize, seed: u64, jitter: Duration) -> Self {
        let mut rng = Entropy::new(seed);
        let mut nodes = Vec::new();
        for index in 0..count {
            let (mut id, mut seed) = ([0; 16], [0; 32]);
            id.iter_mut().chain(&mut seed).for_each(|byte| *byte = rng.below(256) as u8);
            let identity = Identity::new(NodeId::from_random_bytes(id));
            let start = Start::new(Instant::ZERO, UnixTime::from_millis(1_700_000_000_000));
            let mut node = Node::new(Config::default(), identity, seed, start);
            node.listening(addr_of(index), Instant::ZERO);
            nodes.push(Member {
                node,
                alive: true,
                due: None,
                conns: BTreeMap::new(),
                hops: BTreeMap::new(),
            });
        }
        Self {
            now: Instant::ZERO,
            by_addr: (0..count).map(|index| (addr_of(index), index)).collect(),
            nodes,
            wires: Wires::new(jitter),
            agenda: BTreeSet::new(),
            casts: Vec::new(),
            rng,
        }
    }

    /// Every node dials `out` others at random, or all if there are no more; then time passes until
    /// all of them are connected and quiet.
    pub fn connect(&mut self, out: usize) {
        let count = self.nodes.len();
        for index in 0..count {
            let others = self.draw_others(index, out);
            for other in others {
                let now = self.now;
                self.nodes[index].node.dial(addr_of(other), now).ok();
            }
            self.after(index);
        }
        self.run_for(Duration::from_secs(3));
    }

    /// Whom a node dials.
    fn draw_others(&mut self, index: usize, out: usize) -> BTreeSet<usize> {
        let count = self.len();
        if out >= count - 1 {
            return (index + 1..count).collect();
        }
        let mut others = BTreeSet::new();
        while others.len() < out {
            others.insert(self.below(count));
            others.remove(&index);
        }
        others
    }

    /// How many nodes there are, dead ones included.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// A node, to be asked.
    pub fn node(&self, index: usize) -> &Node {
        &self.nodes[index].node
    }

    /// Whether a node lives.
    pub fn is_alive(&self, index: usize) -> bool {
        self.nodes[index].alive
    }

    /// A node is silent from now on: what is sent to it vanishes.
    pub fn crash(&mut self, index: usize) {
        self.nodes[index].alive = false;
    }

    /// Publishes a broadcast of about 1 KiB. Returns its number.
    pub fn publish(&mut self, by: usize) -> usize {
        let number = self.casts.len();
        let body = format!("{number:010}{}", "x".repeat(1012));
        let body = Payload::encode(&body).expect("a text");
        let now = self.now;
        self.casts.push(Cast { by, at: now, got: 0, last: now, hops: 0 });
        self.nodes[by].hops.insert(number, 0);
        self.nodes[by].node.broadcast("Q", &body, now).expect("it fits");
        self.after(by);
        number
    }

    /// Lets time pass.
    pub fn run_for(&mut self, time: Duration) {
        let until = self.now + time;
        loop {
            let timer = self.agenda.first().map(|(at, _)| *at);
            let segment = self.wires.next();
            let Some(next) = timer.into_iter().chain(segment).min().filter(|at| *at <= until)
            else {
                break;
            };
            self.now = next;
            if segment == Some(next) {
                self.deliver();
            } else if let Some((_, index)) = self.agenda.pop_first() {
                self.wake(index);
            }
        }
        self.now = until;
    }

    fn wake(&mut self, index: usize) {
        let now = self.now;
        let member = &mut self.nodes[index];
        member.due = None;
        if member.alive {
            member.node.handle_timeout(now);
            self.after(index);
        }
    }

    fn deliver(&mut self) {
        let Some(segment) = self.wires.take() else { return };
        let (to, now) = (segment.to, self.now);
        if !self.nodes[to].alive {
            return;
        }
        match segment.what {
            wire::What::Syn { from, conn, latency } => self.on_syn(to, from, conn, latency),
            wire::What::Accepted { conn, theirs } => {
                if let Some(wire) = self.nodes[to].conns.get_mut(&conn) {
                    wire.theirs = Some(theirs);
                }
                self.nodes[to].node.connected(conn, now);
            }
            wire::What::Bytes { conn, bytes, hops } => {
                for (number, hop) in hops {
                    let known = self.nodes[to].hops.entry(number).or_insert(hop);
                    *known = (*known).min(hop);
                }
                self.nodes[to].node.received(conn, &bytes, now);
            }
            wire::What::End { conn } => {
                self.nodes[to].node.closed(conn, TransportError::Eof, now);
            }
        }
        self.after(to);
    }

    fn on_syn(&mut self, to: usize, from: usize, conn: ConnId, latency: Duration) {
        let now = self.now;
        let source = SocketAddr::from((Ipv4Addr::from(0x0a00_0001 + from as u32), 40_000));
        let Ok(theirs) = self.nodes[to].node.accepted(source, now) else { return };
        let wire = Wire::new(from, latency, Some(conn));
        self.nodes[to].conns.insert(theirs, wire);
        let what = wire::What::Accepted { conn, theirs };
        self.send(to, theirs, what);
    }

    fn send(&mut self, from: usize, conn: ConnId, what: wire::What) {
        if let Some(wire) = self.nodes[from].conns.get_mut(&conn) {
            self.wires.send(wire, what, self.now, &mut self.rng);
        }
    }

    /// Carries out what a node ordered, and notes what it delivered.
    fn after(&mut self, index: usize) {
        while let Some(action) = self.nodes[index].node.poll_action() {
            match action {
                Action::Connect { conn, addr } => self.connect_to(index, conn, addr),
                Action::Send { conn } => self.write(index, conn),
                Action::Finish { conn } => self.end(index, conn),
                Action::Drop { conn } => {
                    self.end(index, conn);
                    self.nodes[index].conns.remove(&conn);
                }
                Action::PauseReading { .. } | Action::ResumeReading { .. } => {}
            }
        }
        while let Some(event) = self.nodes[index].node.poll_event() {
            if let Event::Message(message) = event {
                let number: usize = message.body()[1..11].parse().expect("ours");
                let hops = self.nodes[index].hops.get(&number).copied().unwrap_or(0);
                let cast = &mut self.casts[number];
                cast.got += 1;
                cast.last = self.now;
                cast.hops = cast.hops.max(hops);
            }
        }
        self.schedule(index);
    }

    fn schedule(&mut self, index: usize) {
        let member = &mut self.nodes[index];
        let due = member.node.poll_timeout().filter(|_| member.alive);
        let due = due.map(|due| due.max(self.now));
        if member.due != due {
            member.due.map(|due| self.agenda.remove(&(due, index)));
            due.map(|due| self.agenda.insert((due, index)));
            member.due = due;
        }
    }

    fn connect_to(&mut self, index: usize, conn: ConnId, addr: SocketAddr) {
        let Some(to) = self.by_addr.get(&addr).copied() else { return };
        let latency = Duration::from_micros(self.rng.between(10_000, 50_000));
        self.nodes[index].conns.insert(conn, Wire::new(to, latency, None));
        self.send(index, conn, wire::What::Syn { from: index, conn, latency });
    }

    fn write(&mut self, index: usize, conn: ConnId) {
        let now = self.now;
        loop {
            let member = &mut self.nodes[index];
            let mut bytes = Vec::new();
            if member.node.outgoing(conn).copy_to(&mut bytes, usize::MAX) == 0 {
                break;
            }
            member.node.sent(conn, bytes.len(), now);
            let hops = numbers_in(&bytes)
                .map(|number| (number, member.hops.get(&number).map_or(1, |hops| hops + 1)));
            let hops: Vec<(usize, u32)> = hops.collect();
            let Some(theirs) = member.conns.get(&conn).and_then(|wire| wire.theirs) else { break };
            self.send(index, conn, wire::What::Bytes { conn: theirs, bytes, hops });
        }
    }

    fn end(&mut self, index: usize, conn: ConnId) {
        let Some(wire) = self.nodes[index].conns.get_mut(&conn) else { return };
        if let Some(theirs) = wire.theirs.filter(|_| !std::mem::replace(&mut wire.ended, true)) {
            self.send(index, conn, wire::What::End { conn: theirs });
        }
    }

    /// How many living nodes are not reached from the originator of a stream over eager links.
    pub fn unreached(&self, originator: usize) -> usize {
        let stream = (self.node(originator).id(), testing::epoch(self.node(originator)));
        let eager = |index: usize| {
            let (eager, _) = testing::tree(self.node(index), stream);
            eager.into_iter().filter_map(move |conn| self.nodes[index].conns.get(&conn)).collect()
        };
        self.living().count() - self.reached(originator, eager).len()
    }

    /// The nodes that live.
    pub fn living(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.len()).filter(|index| self.is_alive(*index))
    }

    /// The living nodes that can be reached from one over living connections, itself included.
    pub fn component(&self, of: usize) -> BTreeSet<usize> {
        self.reached(of, |index| self.nodes[index].conns.values().collect())
    }

    /// The living nodes that are reached from one over these wires of each.
    fn reached<'q>(&'q self, of: usize, wires: impl Fn(usize) -> Vec<&'q Wire>) -> BTreeSet<usize> {
        let (mut found, mut front) = (BTreeSet::from([of]), vec![of]);
        while let Some(index) = front.pop() {
            let next = wires(index).into_iter().map(|wire| wire.peer);
            front.extend(next.filter(|peer| self.nodes[*peer].alive && found.insert(*peer)));
        }
        found
    }

    /// The parents of all nodes in a stream.
    pub fn parents(&self, originator: usize) -> Vec<Option<ConnId>> {
        let stream = (self.node(originator).id(), testing::epoch(self.node(originator)));
        (0..self.len()).map(|index| testing::tree(self.node(index), stream).1).collect()
    }

    /// A number below `bound` from the run's own randomness.
    pub fn below(&mut self, bound: usize) -> usize {
        self.rng.below(bound as u64) as usize
    }

    /// A sum over all nodes.
    pub fn sum(&self, of: impl Fn(&Node) -> u64) -> u64 {
        self.nodes.iter().map(|member| of(&member.node)).sum()
    }

    /// Forgets by which ways old broadcasts came.
    pub fn forget_hops(&mut self) {
        self.nodes.iter_mut().for_each(|member| member.hops.clear());
    }
}

/// The numbers of the broadcasts in a segment.
fn numbers_in(bytes: &[u8]) -> impl Iterator<Item = usize> + '_ {
    bytes
        .split(|byte| *byte == b'\n')
        .filter(|line| line.starts_with(b"{\"msgtype\":\"broadcast\""))
        .filter_map(|line| {
            let at = line.windows(7).position(|window| window == b"\"msg\":\"")? + 7;
            std::str::from_utf8(line.get(at..at + 10)?).ok()?.parse().ok()
        })
}
