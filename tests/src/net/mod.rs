//! A network of real nodes on virtual time: byte pipes between them, one seed, no sockets.
//!
//! Pipes behave like TCP: ordered, cut anywhere, with latency, bandwidth, a window, a half-close
//! each way and resets. Everything that happens after the first call is decided by the seed. After
//! every step the [rules](Rule) that hold for any node are checked on what the step touched, and
//! every 1,000 steps on everything. How it runs is in `run`, what can go wrong in `faults`.

mod asked;
mod book;
mod by_conn;
mod clock;
mod faults;
mod live;
mod pipe;
mod pipes;
mod rules;
mod run;
mod stranger;
mod twin;
mod watch;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use peerline_proto::{
    Config, ConnId, DialError, Event, Identity, Instant, Node, NodeId, Payload, PeerId, Receipt,
    SendError, Start, Stats, UnixTime,
};

use crate::entropy::Entropy;
use crate::net::by_conn::ByConn;
use crate::net::clock::{Clock, TRUE};
use crate::net::pipe::Pipe;
use crate::net::pipes::Pipes;
use crate::net::run::{Due, NUMBERED, TraceHash};
use crate::net::watch::Watch;

pub use pipe::{Cut, Side};
pub use rules::Rule;

/// Names one host of a [`Net`]: they count from 0.
pub type HostId = usize;

/// A connection whose one end the test itself holds.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub struct Stranger(u64);

/// Bytes that may be between two hosts, unread, in each direction: a small socket buffer.
const WINDOW: usize = 64 * 1024;

/// A host: a node, its sockets, its clock, and the application's log of events.
#[derive(Debug)]
struct Host {
    node: Node,
    config: Config,
    addr: SocketAddr,
    sockets: ByConn<(u64, Side)>,
    events: Vec<Event>,
    watch: Watch,
    clock: Clock,
    /// For what the host is to be woken, and when, as far as the queue knows.
    timer: Option<(Instant, Instant)>,
    /// How late its timers may fire.
    lateness: Duration,
    /// Its clock jumped or it slept: until then it is not judged by time.
    excused: Instant,
    /// The application polls its events.
    drains: bool,
    /// The host reads its sockets.
    reads: bool,
    /// The host is there at all.
    up: bool,
    /// Nothing happens on it for now, and nothing is lost.
    asleep: bool,
    /// Nobody can dial it.
    behind_nat: bool,
    /// It has no descriptors left for another socket.
    exhausted: bool,
    /// Nothing comes from it or reaches it for now.
    clogged: bool,
    /// The life of the node: restarts so far.
    life: u32,
}

/// What the messages of the application are, so that each arrival can be judged.
#[derive(Debug)]
pub(crate) struct Publication {
    pub(crate) from: HostId,
    pub(crate) at: Instant,
    /// The only one to get it, if it is not a broadcast.
    pub(crate) to: Option<HostId>,
    pub(crate) body: String,
}

/// The network.
///
/// ```
/// use std::time::Duration;
/// use peerline_testkit::net::Net;
///
/// let mut net = Net::new(1);
/// let (a, b) = (net.add(), net.add());
/// net.dial(a, b);
/// assert!(net.run_until(Duration::from_secs(1), |net| net.are_peers(a, b)));
/// let receipt = net.broadcast(a, "NEWS", "hello");
/// assert_eq!(receipt.queued, 1);
/// net.run_for(Duration::from_secs(1));
/// assert_eq!(net.received(b), [("NEWS".to_string(), "\"hello\"".to_string())]);
/// ```
///
/// An application's own protocol is tested the same way, with whatever may go wrong:
///
/// ```
/// use std::time::Duration;
/// use peerline_proto::{Event, Payload};
/// use peerline_testkit::net::{HostId, Net};
///
/// /// Answers each question that a host got.
/// fn answer(net: &mut Net, host: HostId) {
///     for event in net.drain_events(host) {
///         let Event::Message(question) = event else { continue };
///         if question.kind() == "ASK" {
///             let (to, body) = (question.from().into(), Payload::encode("42").unwrap());
///             let _gone = net.with(host, |node, now| node.send(&to, "ANSWER", &body, now));
///         }
///     }
/// }
///
/// let mut net = Net::new(7);
/// let (asks, answers) = (net.add(), net.add());
/// net.bootstrap(asks, answers);
/// net.run_for(Duration::from_secs(1));
/// net.partition(&[asks], &[answers], false);
/// net.run_for(Duration::from_secs(60));
/// net.heal();
/// assert!(net.run_until(Duration::from_secs(60), |net| net.are_peers(asks, answers)));
/// net.broadcast(asks, "ASK", "the question");
/// net.run_for(Duration::from_secs(1));
/// answer(&mut net, answers);
/// net.run_for(Duration::from_secs(1));
/// assert_eq!(net.received(asks), [("ANSWER".to_string(), "\"42\"".to_string())]);
/// ```
#[derive(Debug)]
pub struct Net {
    now: Instant,
    entropy: Entropy,
    hosts: Vec<Host>,
    by_addr: BTreeMap<SocketAddr, HostId>,
    pipes: Pipes,
    /// What happens when; the second number keeps the order of one instant.
    queue: BinaryHeap<Reverse<(Instant, u64, Due)>>,
    queued: u64,
    /// What is read at once: one buffer for all, as a runtime has it.
    read_buffer: Vec<u8>,
    /// Empty buffers for packets: each is filled again and again.
    spare: Vec<Vec<u8>>,
    steps: u64,
    /// When everything was last checked.
    swept: Instant,
    /// How often a peer came or went.
    meetings: u64,
    /// How often a node was given bytes.
    reads: u64,
    /// The step at which a node was last copied to see whether cuts matter.
    copied: u64,
    /// Addresses where a host is reached beside its own.
    aliases: BTreeMap<SocketAddr, HostId>,
    /// Addresses where the test itself listens, and who dialled there.
    lures: BTreeMap<SocketAddr, Vec<Stranger>>,
    /// Addresses that never answer.
    black_holes: BTreeSet<SocketAddr>,
    /// From the first of a pair to the second, nothing passes.
    parted: BTreeSet<(HostId, HostId)>,
    /// Of a hundred dials, how many take up to two minutes to be answered.
    slow_dials: u64,
    /// Network groups of new hosts; with none each is a group of its own.
    groups: u8,
    latency: (u64, u64),
    window: usize,
    bandwidth: u64,
    cut: Cut,
    published: Vec<Publication>,
    /// The last counters of nodes that were started again.
    former: Vec<Stats>,
    /// How long numbered messages took to arrive.
    delays: Vec<Duration>,
    /// Whether events are kept for the test to read.
    keeps_events: bool,
    hash: TraceHash,
    trace: Option<String>,
}

impl Net {
    /// An empty network. The seed decides everything that is not said.
    pub fn new(seed: u64) -> Self {
        Self::with_entropy(Entropy::new(seed))
    }

    /// An empty network with these chances.
    pub fn with_entropy(entropy: Entropy) -> Self {
        Self {
            now: Instant::ZERO,
            entropy,
            hosts: Vec::new(),
            by_addr: BTreeMap::new(),
            pipes: Pipes::default(),
            queue: BinaryHeap::new(),
            queued: 0,
            read_buffer: Vec::new(),
            spare: Vec::new(),
            steps: 0,
            swept: Instant::ZERO,
            meetings: 0,
            reads: 0,
            copied: 0,
            aliases: BTreeMap::new(),
            lures: BTreeMap::new(),
            black_holes: BTreeSet::new(),
            parted: BTreeSet::new(),
            slow_dials: 0,
            groups: 0,
            latency: (5, 50),
            window: WINDOW,
            bandwidth: u64::MAX,
            cut: Cut::Random,
            published: Vec::new(),
            former: Vec::new(),
            delays: Vec::new(),
            keeps_events: true,
            hash: TraceHash::default(),
            trace: None,
        }
    }

    /// Network groups over which the addresses of new hosts are spread. Default none: they have
    /// private ones, each a group of its own.
    pub fn groups(&mut self, count: u8) {
        self.groups = count;
    }

    /// Latencies of new pipes, milliseconds from least to most. Default 5 to 50.
    pub fn latency(&mut self, least: u64, most: u64) {
        self.latency = (least, most);
    }

    /// Bytes that may be unread in each direction of new pipes. Default 64 KiB.
    pub fn window(&mut self, bytes: usize) {
        self.window = bytes;
    }

    /// Bytes per second of new pipes. Default without bound.
    pub fn bandwidth(&mut self, bytes: u64) {
        self.bandwidth = bytes;
    }

    /// How bytes are cut on their way. Default at random.
    pub fn cut(&mut self, cut: Cut) {
        self.cut = cut;
    }

    /// Records from now on what happens, as text.
    pub fn start_trace(&mut self) {
        self.trace = Some(String::new());
    }

    /// What happened since [`start_trace`](Self::start_trace).
    pub fn trace(&self) -> &str {
        self.trace.as_deref().unwrap_or_default()
    }

    /// A host with default settings.
    pub fn add(&mut self) -> HostId {
        self.add_with(Config::default())
    }

    /// A host with these settings.
    pub fn add_with(&mut self, config: Config) -> HostId {
        let number = self.hosts.len();
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&self.entropy.seed()[..16]);
        self.add_named(NodeId::from_random_bytes(bytes), config, number)
    }

    /// A host with this node id; it may be one that another host has.
    pub fn add_named(&mut self, id: NodeId, config: Config, number: usize) -> HostId {
        let low = u16::try_from(number).unwrap_or(u16::MAX).to_be_bytes();
        let group = number.checked_rem(usize::from(self.groups));
        let [net, group] = group.map_or([10, 0], |group| [20, group as u8]);
        let addr = SocketAddr::from(([net, group, low[0], low[1]], 5999));
        let clock = Clock::new(TRUE);
        let node = self.new_node(id, &config, addr, clock);
        self.hosts.push(Host {
            node,
            config,
            addr,
            sockets: ByConn::default(),
            events: Vec::new(),
            watch: Watch::default(),
            clock,
            timer: None,
            lateness: Duration::ZERO,
            excused: Instant::ZERO,
            drains: true,
            reads: true,
            up: true,
            asleep: false,
            behind_nat: false,
            exhausted: false,
            clogged: false,
            life: 0,
        });
        let host = self.hosts.len() - 1;
        self.by_addr.entry(addr).or_insert(host);
        // A node that nothing ever happens to has a timer, too.
        self.plan_host(host);
        host
    }

    fn new_node(&mut self, id: NodeId, config: &Config, addr: SocketAddr, clock: Clock) -> Node {
        let now = clock.local(self.now);
        let start = Start::new(now, UnixTime::from_millis(1_600_000_000_000));
        let mut node = Node::new(config.clone(), Identity::new(id), self.entropy.seed(), start);
        node.listening(addr, now);
        node
    }

    // ---- what a test asks ----

    /// The time.
    pub fn now(&self) -> Instant {
        self.now
    }

    /// A host's node.
    pub fn node(&self, host: HostId) -> &Node {
        &self.hosts[host].node
    }

    /// A host's address.
    pub fn addr(&self, host: HostId) -> SocketAddr {
        self.hosts[host].addr
    }

    /// The name by which others know a host.
    pub fn id(&self, host: HostId) -> PeerId {
        PeerId::Node(self.node(host).id())
    }

    /// All events of a host so far.
    pub fn events(&self, host: HostId) -> &[Event] {
        &self.hosts[host].events
    }

    /// Takes the events of a host so far out of its log.
    pub fn drain_events(&mut self, host: HostId) -> Vec<Event> {
        std::mem::take(&mut self.hosts[host].events)
    }

    /// Kind and body of all broadcasts and messages a host got so far.
    pub fn received(&self, host: HostId) -> Vec<(String, String)> {
        let messages = self.events(host).iter().filter_map(|event| match event {
            Event::Message(message) => Some(message),
            _ => None, // Event may grow; this asks for messages alone
        });
        messages.map(|message| (message.kind().to_owned(), message.body().to_owned())).collect()
    }

    /// Whether both hosts see each other as peers.
    pub fn are_peers(&self, a: HostId, b: HostId) -> bool {
        self.node(a).peer(&self.id(b)).is_some() && self.node(b).peer(&self.id(a)).is_some()
    }

    /// Sockets that a host holds.
    pub fn sockets(&self, host: HostId) -> usize {
        self.hosts[host].sockets.len()
    }

    /// How many hosts there are, up or not.
    pub fn hosts(&self) -> usize {
        self.hosts.len()
    }

    /// Whether a host is there.
    pub fn is_up(&self, host: HostId) -> bool {
        self.hosts[host].up
    }

    /// Whether a host can be dialled.
    pub(crate) fn is_dialable(&self, host: HostId) -> bool {
        self.hosts[host].up && !self.hosts[host].behind_nat
    }

    /// Whether nothing happens on a host for now.
    pub fn is_asleep(&self, host: HostId) -> bool {
        self.hosts[host].asleep
    }

    /// How many connections two hosts have, seen from both ends.
    pub fn connections_between(&self, a: HostId, b: HostId) -> usize {
        let both = |pipe: &Pipe| {
            let ends = [Side::Dialer, Side::Acceptor].map(|side| pipe.end(side).map(|end| end.0));
            ends == [Some(a), Some(b)] || ends == [Some(b), Some(a)]
        };
        self.pipes.iter().filter(|(_, pipe)| both(pipe)).count()
    }

    /// How often a host's application was told that there is room again.
    pub(crate) fn said_writable(&self, host: HostId) -> u64 {
        self.hosts[host].watch.writable
    }

    /// A number that grows when a peer comes or goes, or a host does.
    pub(crate) fn meetings(&self) -> u64 {
        self.meetings
    }

    /// How a host's connections ended.
    pub(crate) fn ends(&self, host: HostId) -> &BTreeMap<&'static str, u64> {
        &self.hosts[host].watch.ends
    }

    /// Whoever was told that a queue is full was told that there is room again.
    pub(crate) fn check_owed(&self) {
        self.hosts.iter().for_each(|host| host.watch.check_owed());
    }

    /// Nothing is wrong in the network from now on, or something may be: nodes are judged by it.
    pub(crate) fn strict(&mut self, strict: bool) {
        self.hosts.iter_mut().for_each(|host| host.watch.strict = strict);
    }

    /// Events are judged and not kept.
    pub fn forget_events(&mut self) {
        self.keeps_events = false;
    }

    /// A number that two runs share if the same happened in them.
    pub fn trace_hash(&self) -> u64 {
        self.hash.get()
    }

    /// What nodes counted: those there are, and those that were before them.
    pub(crate) fn stats(&self) -> impl Iterator<Item = Stats> {
        self.former.iter().copied().chain(self.hosts.iter().map(|host| host.node.stats()))
    }

    /// How many numbered messages were published.
    pub(crate) fn published(&self) -> u64 {
        self.published.len() as u64
    }

    /// How many connections were begun, those of strangers among them.
    pub(crate) fn connections(&self) -> u64 {
        self.pipes.made()
    }

    /// How many steps were made: packets and timers.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    // ---- what a test does ----

    /// Calls a host's node and does what it asks for.
    pub fn with<R>(&mut self, host: HostId, call: impl FnOnce(&mut Node, Instant) -> R) -> R {
        let now = self.local(host);
        let result = call(&mut self.hosts[host].node, now);
        self.pump(host);
        result
    }

    /// Lets one host dial another.
    pub fn dial(&mut self, from: HostId, to: HostId) -> Option<ConnId> {
        let addr = self.addr(to);
        self.dial_addr(from, addr).ok()
    }

    /// Lets a host dial an address.
    pub fn dial_addr(&mut self, from: HostId, addr: SocketAddr) -> Result<ConnId, DialError> {
        self.hosts[from].watch.by_application = true;
        let dialled = self.with(from, |node, now| node.dial(addr, now));
        self.hosts[from].watch.by_application = false;
        dialled
    }

    /// Gives a host another one's address for ever.
    pub fn bootstrap(&mut self, from: HostId, to: HostId) {
        let addr = self.addr(to);
        self.with(from, |node, now| node.add_bootstrap(addr, now));
    }

    /// Lets a host broadcast a text.
    pub fn broadcast(&mut self, from: HostId, kind: &str, text: &str) -> Receipt {
        let body = Payload::encode(text).expect("a text is JSON");
        self.with(from, |node, now| node.broadcast(kind, &body, now)).expect("it fits")
    }

    /// Lets a host publish a numbered message, to all or to one, whose arrivals are judged.
    /// Returns its number and how many neighbours' queues took it.
    pub(crate) fn publish(
        &mut self,
        from: HostId,
        to: Option<HostId>,
        padding: usize,
    ) -> (u64, usize) {
        let serial = self.published.len();
        let text = format!("{serial} {}", "x".repeat(padding));
        let body = Payload::encode(&text).expect("a text is JSON");
        self.published.push(Publication { from, at: self.now, to, body: body.as_str().to_owned() });
        let peer = to.map(|to| self.id(to));
        let Some(peer) = peer else {
            let sent = self.with(from, |node, now| node.broadcast(NUMBERED, &body, now));
            return (serial as u64, sent.map_or(0, |receipt| receipt.queued));
        };
        let now = self.local(from);
        let sent = self.hosts[from].node.send(&peer, NUMBERED, &body, now);
        if matches!(sent, Err(SendError::Full { .. })) {
            self.hosts[from].watch.on_full(peer);
        }
        self.pump(from);
        (serial as u64, usize::from(sent.is_ok()))
    }

    /// How long numbered messages took to arrive, each at each host.
    pub(crate) fn delays(&self) -> &[Duration] {
        &self.delays
    }

    /// Whether a host got the message with this number in its present life.
    pub(crate) fn got(&self, host: HostId, serial: u64) -> bool {
        self.hosts[host].watch.has(serial)
    }

    /// Whether a host's application polls its events. It does by default.
    pub fn drain(&mut self, host: HostId, drains: bool) {
        self.hosts[host].drains = drains;
        self.hosts[host].watch.behind |= !drains;
        self.pump(host);
    }

    /// Takes one event of a host whose application does not drain by itself.
    pub fn take_event(&mut self, host: HostId) -> Option<Event> {
        let event = self.hosts[host].node.poll_event()?;
        let (now, Host { node, watch, .. }) = (self.local(host), &mut self.hosts[host]);
        watch.on_event(node, &event, now);
        self.pump(host);
        Some(event)
    }

    /// Whether a host reads its sockets. It does by default.
    pub fn read(&mut self, host: HostId, reads: bool) {
        self.hosts[host].reads = reads;
        self.read_all(host);
        self.pump(host);
    }

    /// Lets time pass.
    pub fn run_for(&mut self, duration: Duration) {
        let end = self.now + duration;
        while self.next_step().is_some_and(|at| at <= end) {
            self.step();
        }
        self.now = end;
    }

    /// Lets time pass until the condition holds; false if it does not within `limit`.
    pub fn run_until(&mut self, limit: Duration, mut done: impl FnMut(&Self) -> bool) -> bool {
        let end = self.now + limit;
        while !done(self) {
            if self.next_step().is_none_or(|at| at > end) {
                self.now = end;
                return done(self);
            }
            self.step();
        }
        true
    }

    /// Lets time pass, step by step, as long as `goes_on` says so after each and at most for
    /// `limit`.
    pub fn run_while(&mut self, limit: Duration, mut goes_on: impl FnMut(&mut Self) -> bool) {
        let end = self.now + limit;
        while goes_on(self) {
            if self.next_step().is_none_or(|at| at > end) {
                self.now = end;
                return;
            }
            self.step();
        }
    }
}

impl fmt::Display for Net {
    /// The state of the network, a line for each host.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "at {}, {} steps, {} pipes", self.now, self.steps, self.pipes.len())?;
        for (number, host) in self.hosts.iter().enumerate() {
            let flags = [
                (!host.up, "down"),
                (host.asleep, "asleep"),
                (host.clogged, "clogged"),
                (host.behind_nat, "behind NAT"),
                (!host.drains, "not draining"),
                (!host.reads, "not reading"),
            ];
            let said: Vec<&str> =
                flags.iter().filter(|(set, _)| *set).map(|(_, word)| *word).collect();
            let (addr, peers, held) = (host.addr, host.node.peer_count(), host.node.buffered());
            let (life, sockets) = (host.life, host.sockets.len());
            write!(f, "n{number} {addr} life {life}: {peers} peers, {sockets} sockets, ")?;
            writeln!(f, "{held} bytes held {}", said.join(", "))?;
        }
        Ok(())
    }
}
