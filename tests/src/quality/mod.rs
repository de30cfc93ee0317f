//! The quality of broadcast trees, measured: real nodes, real bytes, links of fixed length.
//!
//! Leaner than [`net`](crate::net), which tries every fault: here thousands of nodes are to be
//! driven through the public API and nothing else is to cost time. Each pair of nodes that connect
//! has one latency of 10 to 50 ms, to which each segment adds an exponential delay if asked for;
//! segments of a connection stay in order. One seed gives one run.

#[cfg(peerline_planted)]
pub mod ablation;
pub mod crashes;
pub mod hostile;
pub mod narrow;
pub mod routes;
pub mod rows;
pub mod scenarios;
mod shape;
pub mod topology;
mod wire;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use peerline_proto::{
    Action, Config, ConnId, Event, Identity, Instant, Node, NodeId, Payload, Start, TransportError,
    UnixTime, VerdictToken,
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
    /// Nodes of the audience that got it, the publisher left out.
    pub got: usize,
    /// When the last of these got it.
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
    /// The number of the first of which it is known by which ways it came.
    first_known: usize,
    /// Whether a node counts; all do until somebody says otherwise.
    audience: Vec<bool>,
    /// Between those below this number and the others nothing passes.
    parted_at: usize,
    /// Dials by whom in which second.
    dials: BTreeMap<(u64, usize), u32>,
    /// Where each can be dialled.
    places: Vec<Option<SocketAddr>>,
    /// What went to one node, by number.
    pub directs: Vec<routes::Direct>,
    /// How many links each of those crossed to each node it came to.
    ways: BTreeMap<(usize, usize), u8>,
    /// What waits for a verdict, since when, and at whom.
    waiting: VecDeque<(Instant, usize, VerdictToken)>,
    rng: Entropy,
}

/// A network to be made: so many nodes, what draws its chances, and what each node is like.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Nodes.
    pub count: usize,
    /// One seed, one run.
    pub seed: u64,
    /// The mean of what each segment is delayed beyond its link's latency.
    pub jitter: Duration,
    /// Of every node.
    pub config: Config,
}

impl Setup {
    /// Default limits, no jitter.
    pub fn new(count: usize, seed: u64) -> Self {
        Self { count, seed, jitter: Duration::ZERO, config: Config::default() }
    }

    /// With so much jitter, in the mean.
    #[must_use]
    pub fn jittered(mut self, millis: u64) -> Self {
        self.jitter = Duration::from_millis(millis);
        self
    }

    /// The network, every node having dialled eight others.
    pub fn connected(&self) -> Quality {
        let mut net = Quality::new(self);
        net.connect(8);
        net
    }
}

/// What a node does of what it should.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub enum Manner {
    /// All.
    Honest,
    /// It forwards and announces nothing of others.
    Silent,
    /// It announces what it has and neither forwards nor serves it.
    Lies,
    /// Nor does it answer who asks it for something.
    Deaf,
    /// All, but it loses a fifth of the broadcasts on each connection, the first time.
    Careless,
    /// It writes nothing.
    Mute,
}

#[derive(Debug)]
struct Member {
    node: Node,
    alive: bool,
    manner: Manner,
    /// When its timer is set, as the agenda has it.
    due: Option<Instant>,
    conns: BTreeMap<ConnId, Wire>,
    /// The hops after which it got each broadcast of late; 0 if it did not, or published it.
    hops: Vec<u8>,
    /// Whom it dials is near.
    near: bool,
    /// How often it was told that nobody is there.
    isolated: usize,
    /// What it lost of broadcasts, by number.
    lost: BTreeSet<(ConnId, usize)>,
}

impl Member {
    /// Notes that the broadcast at this place of [`hops`](Self::hops) came by a way of that length.
    fn note_way(&mut self, place: usize, hops: u8) {
        if self.hops.len() <= place {
            self.hops.resize(place + 1, 0);
        }
        if self.hops[place] == 0 {
            self.hops[place] = hops;
        }
    }

    /// Its lines but for the broadcasts that it loses on this connection.
    fn without_some(&mut self, conn: ConnId, bytes: &[u8]) -> Vec<u8> {
        let lines = bytes.split_inclusive(|byte| *byte == b'\n');
        let mut is_lost = |line: &[u8]| {
            let number = numbers_in(line).find(|number| number / 10 % 5 == 2);
            number.is_some_and(|number| self.lost.insert((conn, number)))
        };
        lines.filter(|line| !is_lost(line)).flatten().copied().collect()
    }
}

fn addr_of(index: usize) -> SocketAddr {
    let index = u32::try_from(index).expect("a small network");
    SocketAddr::from((Ipv4Addr::from(0x0a00_0001 + index), PORT))
}

/// An address in a network group of its own.
fn public_addr_of(index: usize) -> SocketAddr {
    let [high, low] = u16::try_from(index + 0x0b00).expect("a small network").to_be_bytes();
    SocketAddr::from((Ipv4Addr::new(high, low, 1, 1), PORT))
}

impl Quality {
    /// Nodes that know nobody.
    pub fn new(setup: &Setup) -> Self {
        let places = (0..setup.count).map(|index| Some(addr_of(index))).collect();
        Self::at(places, setup)
    }

    /// The same at these addresses, as many as there are; one without is nowhere to be dialled.
    pub fn at(places: Vec<Option<SocketAddr>>, setup: &Setup) -> Self {
        let (count, mut rng) = (places.len(), Entropy::new(setup.seed));
        let mut nodes = Vec::new();
        for place in &places {
            let (mut id, mut seed) = ([0; 16], [0; 32]);
            id.iter_mut().chain(&mut seed).for_each(|byte| *byte = rng.below(256) as u8);
            let identity = Identity::new(NodeId::from_random_bytes(id));
            let start = Start::new(Instant::ZERO, UnixTime::from_millis(1_700_000_000_000));
            let mut node = Node::new(setup.config.clone(), identity, seed, start);
            if let Some(addr) = *place {
                node.listening(addr, Instant::ZERO);
            }
            nodes.push(Member {
                node,
                alive: true,
                manner: Manner::Honest,
                due: None,
                conns: BTreeMap::new(),
                hops: Vec::new(),
                near: false,
                isolated: 0,
                lost: BTreeSet::new(),
            });
        }
        Self {
            now: Instant::ZERO,
            by_addr: (0..count).filter_map(|index| Some((places[index]?, index))).collect(),
            places,
            nodes,
            wires: Wires::new(setup.jitter),
            agenda: BTreeSet::new(),
            casts: Vec::new(),
            first_known: 0,
            ways: BTreeMap::new(),
            audience: vec![true; count],
            parted_at: 0,
            dials: BTreeMap::new(),
            directs: Vec::new(),
            waiting: VecDeque::new(),
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
                let addr = self.places[other].expect("it can be dialled");
                self.nodes[index].node.dial(addr, now).ok();
            }
            self.after(index);
        }
        self.run_for(Duration::from_secs(3));
    }

    /// As [`connect`](Self::connect), but the lower half of the nodes and the upper know nothing of
    /// each other.
    pub fn connect_two_halves(&mut self, out: usize) {
        let half = self.len() / 2;
        for index in 0..self.len() {
            let now = self.now;
            let base = if index < half { 0 } else { half };
            for _ in 0..out {
                let other = self.below(half) + base;
                self.nodes[index].node.dial(addr_of(other), now).ok();
            }
            self.after(index);
        }
        self.run_for(Duration::from_secs(3));
    }

    /// One node of the lower half dials one of the upper.
    pub fn bridge(&mut self) {
        let (now, upper) = (self.now, self.len() - 1);
        self.nodes[0].node.dial(addr_of(upper), now).ok();
        self.after(0);
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

    /// From now on a node does so much of what it should.
    pub fn behave(&mut self, index: usize, manner: Manner) {
        self.nodes[index].manner = manner;
    }

    /// Only these count when it is said who got a broadcast. Returns how many that are.
    pub fn watch(&mut self, audience: &BTreeSet<usize>) -> usize {
        self.audience = (0..self.len()).map(|index| audience.contains(&index)).collect();
        audience.len()
    }

    /// The peers on all connections of a node that are established, each as often as there are
    /// connections.
    pub fn neighbours(&self, of: usize) -> impl Iterator<Item = usize> + '_ {
        self.nodes[of].conns.values().filter(|wire| wire.theirs.is_some()).map(|wire| wire.peer)
    }

    /// Says these lines on every connection of a node, in its name.
    pub fn say(&mut self, by: usize, lines: &[u8]) {
        let conns: Vec<(ConnId, ConnId)> = self.nodes[by]
            .conns
            .iter()
            .filter_map(|(conn, wire)| Some((*conn, wire.theirs.filter(|_| !wire.ended)?)))
            .collect();
        for (conn, theirs) in conns {
            let bytes = lines.to_vec();
            self.send(by, conn, wire::What::Bytes { conn: theirs, bytes, hops: Vec::new() });
        }
    }

    /// So many different nodes, drawn, but not these.
    pub fn draw(&mut self, count: usize, but: &BTreeSet<usize>) -> BTreeSet<usize> {
        let mut drawn = BTreeSet::new();
        while drawn.len() < count.min(self.len() - but.len()) {
            let index = self.below(self.len());
            if !but.contains(&index) {
                drawn.insert(index);
            }
        }
        drawn
    }

    /// Publishes a broadcast of about 1 KiB. Returns its number.
    pub fn publish(&mut self, by: usize) -> usize {
        let number = self.casts.len();
        let body = format!("{number:010}{}", "x".repeat(1012));
        let body = Payload::encode(&body).expect("a text");
        let now = self.now;
        self.casts.push(Cast { by, at: now, got: 0, last: now, hops: 0 });
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
                    self.note_way(to, number, hop);
                }
                self.nodes[to].node.received(conn, &bytes, now);
            }
            wire::What::Room { conn } => {
                self.nodes[to].conns.get_mut(&conn).into_iter().for_each(|wire| wire.busy = false);
                self.write(to, conn);
            }
            wire::What::End { conn } => {
                self.nodes[to].node.closed(conn, TransportError::Eof, now);
            }
        }
        self.after(to);
    }

    fn on_syn(&mut self, to: usize, from: usize, conn: ConnId, latency: Duration) {
        let now = self.now;
        let source = self.source(from);
        let Ok(theirs) = self.nodes[to].node.accepted(source, now) else { return };
        let wire = Wire::new(from, latency, Some(conn));
        self.nodes[to].conns.insert(theirs, wire);
        let what = wire::What::Accepted { conn, theirs };
        self.send(to, theirs, what);
    }

    fn send(&mut self, from: usize, conn: ConnId, what: wire::What) {
        let parted_at = self.parted_at;
        if let Some(wire) = self.nodes[from].conns.get_mut(&conn) {
            if (from < parted_at) != (wire.peer < parted_at) {
                return;
            }
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
            self.nodes[index].isolated += usize::from(matches!(event, Event::Isolated));
            let Some(event) = self.direct(index, event) else { continue };
            if let Event::Message(message) = event {
                let token = message.token().map(|token| (self.now, index, token));
                self.waiting.extend(token);
                let number = message.body().get(1..11).and_then(|number| number.parse().ok());
                number.into_iter().for_each(|number| self.got(index, number));
            }
        }
        self.schedule(index);
    }

    /// A node got a broadcast of ours.
    fn got(&mut self, index: usize, number: usize) {
        let hops = self.way(index, number);
        let Some(cast) = self.casts.get_mut(number).filter(|_| self.audience[index]) else {
            return;
        };
        cast.got += 1;
        cast.last = self.now;
        cast.hops = cast.hops.max(hops.into());
    }

    fn note_way(&mut self, to: usize, number: usize, hops: u8) {
        if number >= routes::FIRST {
            self.ways.entry((number, to)).or_insert(hops);
        } else if let Some(place) = number.checked_sub(self.first_known) {
            self.nodes[to].note_way(place, hops);
        }
    }

    /// How many links a broadcast crossed to a node, if that is still known.
    fn way(&self, index: usize, number: usize) -> u8 {
        if number >= routes::FIRST {
            return self.ways.get(&(number, index)).copied().unwrap_or(0);
        }
        let place = number.checked_sub(self.first_known);
        place.and_then(|place| self.nodes[index].hops.get(place)).copied().unwrap_or(0)
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
        let second = self.now.as_nanos() / 1_000_000_000;
        *self.dials.entry((second, index)).or_default() += 1;
        let Some(to) = self.by_addr.get(&addr).copied() else { return };
        let near = if self.nodes[index].near { 10 } else { 1 };
        let latency = Duration::from_micros(self.rng.between(10_000, 50_000) / near);
        self.nodes[index].conns.insert(conn, Wire::new(to, latency, None));
        self.send(index, conn, wire::What::Syn { from: index, conn, latency });
    }

    fn write(&mut self, index: usize, conn: ConnId) {
        let now = self.now;
        loop {
            let member = &mut self.nodes[index];
            let wire = member.conns.get(&conn);
            let narrow = wire.and_then(|wire| Some((wire.narrow?, wire.busy)));
            let mut bytes = Vec::new();
            if narrow.is_some_and(|(_, busy)| busy)
                || member.node.outgoing(conn).copy_to(&mut bytes, usize::MAX) == 0
            {
                break;
            }
            if let Some((rate, _)) = narrow {
                let line = bytes.iter().position(|byte| *byte == b'\n').map_or(0, |end| end + 1);
                bytes.truncate(line);
                self.occupy(index, conn, line, rate);
            }
            let member = &mut self.nodes[index];
            member.node.sent(conn, bytes.len(), now);
            if member.manner == Manner::Careless {
                bytes = member.without_some(conn, &bytes);
            } else if member.manner != Manner::Honest {
                let own = member.node.id().to_string();
                bytes = what_is_said(&bytes, member.manner, &own);
            }
            if bytes.is_empty() {
                continue;
            }
            let numbers = numbers_in(&bytes);
            let hops = numbers.map(|number| (number, self.way(index, number).saturating_add(1)));
            let hops: Vec<(usize, u8)> = hops.collect();
            let wire = self.nodes[index].conns.get(&conn);
            let Some(theirs) = wire.and_then(|wire| wire.theirs) else { break };
            self.send(index, conn, wire::What::Bytes { conn: theirs, bytes, hops });
        }
    }

    /// So many bytes are on their way into a narrow wire: it takes no more until they are.
    fn occupy(&mut self, index: usize, conn: ConnId, bytes: usize, rate: u32) {
        let until = self.now + Duration::from_secs_f64(bytes as f64 / f64::from(rate));
        let wire = self.nodes[index].conns.get_mut(&conn);
        wire.into_iter().for_each(|wire| wire.busy = true);
        self.wires.deliver_at(until, index, wire::What::Room { conn });
    }

    fn end(&mut self, index: usize, conn: ConnId) {
        let Some(wire) = self.nodes[index].conns.get_mut(&conn) else { return };
        if let Some(theirs) = wire.theirs.filter(|_| !std::mem::replace(&mut wire.ended, true)) {
            self.send(index, conn, wire::What::End { conn: theirs });
        }
    }

    /// Adds an address that a node dials for ever.
    pub fn bootstrap(&mut self, index: usize, other: usize) {
        let (addr, now) = (self.places[other].expect("it can be dialled"), self.now);
        self.nodes[index].node.add_bootstrap(addr, now);
        self.after(index);
    }

    /// Between the first so many nodes and the others nothing passes; with 0 everything does.
    pub fn part(&mut self, at: usize) {
        self.parted_at = at;
    }

    /// Whom a node dials from now on is at a tenth of the usual distance.
    pub fn near(&mut self, index: usize) {
        self.nodes[index].near = true;
    }

    /// Where a node's connections come from.
    pub fn source(&self, index: usize) -> SocketAddr {
        let addr = self.places[index].unwrap_or_else(|| addr_of(index));
        SocketAddr::new(addr.ip(), 40_000)
    }

    /// How often a node was told that nobody is there.
    pub fn isolated(&self, index: usize) -> usize {
        self.nodes[index].isolated
    }

    /// A node's program is killed; to the others it is as if its connections had ended.
    pub fn stop(&mut self, index: usize) {
        let conns: Vec<ConnId> = self.nodes[index].conns.keys().copied().collect();
        conns.into_iter().for_each(|conn| self.end(index, conn));
        self.nodes[index].conns.clear();
        self.crash(index);
    }

    /// A node that was stopped, or that is not wanted any more, runs anew and knows nobody. Its
    /// connections must be gone at the other ends.
    pub fn start(&mut self, index: usize, config: Config) {
        let start = Start::new(self.now, UnixTime::from_millis(1_700_000_000_000));
        let mut seed = [0; 32];
        seed.iter_mut().for_each(|byte| *byte = self.rng.below(256) as u8);
        let id = Identity::new(self.node(index).id());
        let mut node = Node::new(config, id, seed, start);
        if let Some(addr) = self.places[index] {
            node.listening(addr, self.now);
        }
        let member = &mut self.nodes[index];
        (member.node, member.alive) = (node, true);
        self.after(index);
    }

    /// Puts bytes on a node's connection that the node knows nothing of.
    pub fn inject(&mut self, index: usize, conn: ConnId, bytes: &[u8]) {
        let theirs = self.nodes[index].conns.get(&conn).and_then(|wire| wire.theirs);
        if let Some(theirs) = theirs {
            let bytes = bytes.to_vec();
            self.send(index, conn, wire::What::Bytes { conn: theirs, bytes, hops: Vec::new() });
        }
    }

    /// Calls a node and does what it asks for.
    pub fn with_node<R>(&mut self, index: usize, call: impl FnOnce(&mut Node, Instant) -> R) -> R {
        let now = self.now;
        let result = call(&mut self.nodes[index].node, now);
        self.after(index);
        result
    }

    /// A number below `bound` from the run's own randomness.
    pub fn below(&mut self, bound: usize) -> usize {
        self.rng.below(bound as u64) as usize
    }

    /// A sum over all nodes.
    pub fn sum(&self, of: impl Fn(&Node) -> u64) -> u64 {
        self.nodes.iter().map(|member| of(&member.node)).sum()
    }

    /// Forgets by which ways the broadcasts so far came.
    pub fn forget_ways(&mut self) {
        self.first_known = self.casts.len();
        self.nodes.iter_mut().for_each(|member| member.hops = Vec::new());
    }
}

/// What of its lines a node says in truth.
fn what_is_said(bytes: &[u8], manner: Manner, own: &str) -> Vec<u8> {
    let lines = bytes.split_inclusive(|byte| *byte == b'\n');
    let is_said = |line: &&[u8]| {
        let text = String::from_utf8_lossy(line);
        let of_another = text.contains("\"msgtype\":\"broadcast\"") && !text.contains(own);
        let announces = text.contains("\"msgtype\":\"ihave\"");
        let answers = text.contains("\"msgtype\":\"error\"");
        !of_another
            && match manner {
                Manner::Honest | Manner::Lies | Manner::Careless => true,
                Manner::Silent => !announces,
                Manner::Deaf => !announces && !answers,
                Manner::Mute => false,
            }
    };
    lines.filter(is_said).flatten().copied().collect()
}

/// How the lines begin whose hops are counted.
const NUMBERED: [&[u8]; 3] =
    [b"{\"msgtype\":\"broadcast\"", b"{\"msgtype\":\"message\"", b"{\"msgtype\":\"request\""];

/// The numbers of the broadcasts in a segment.
fn numbers_in(bytes: &[u8]) -> impl Iterator<Item = usize> + '_ {
    bytes
        .split(|byte| *byte == b'\n')
        .filter(|line| NUMBERED.iter().any(|start| line.starts_with(start)))
        .filter_map(|line| {
            let at = line.windows(7).position(|window| window == b"\"msg\":\"")? + 7;
            std::str::from_utf8(line.get(at..at + 10)?).ok()?.parse().ok()
        })
}
