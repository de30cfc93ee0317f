//! A network of real nodes on virtual time: byte pipes between them, one seed, no sockets.
//!
//! Pipes behave like TCP: ordered, cut anywhere, with latency, a window, a half-close each way and
//! resets. Everything that happens after the first call is decided by the seed. After every step
//! the rules that hold for any node are checked: the grammar of its events, one drop for each
//! connection, no deadline left in the past.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use peerline_proto::{
    Action, Config, ConnId, Delivery, DialError, Event, Identity, Instant, Node, NodeId, Payload,
    PeerId, Receipt, Start, TransportError, UnixTime,
};

use crate::entropy::Entropy;
use crate::pipe::{Cut, Packet, Pipe, Raw, Side};

/// Names one host of a [`Net`]: they count from 0.
pub type HostId = usize;

/// A connection whose one end the test itself holds.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub struct Stranger(u64);

/// Bytes that may be between two hosts, unread, in each direction: a small socket buffer.
const WINDOW: usize = 64 * 1024;
/// Steps of one instant after which a run is declared stuck.
const STEPS_PER_INSTANT: u32 = 100_000;

/// A host: a node, its sockets, and the application's log of events.
#[derive(Debug)]
struct Host {
    node: Node,
    addr: SocketAddr,
    sockets: BTreeMap<ConnId, (u64, Side)>,
    events: Vec<Event>,
    grammar: Grammar,
    /// The application polls its events.
    drains: bool,
    /// The host reads its sockets.
    reads: bool,
    /// The host is there at all.
    up: bool,
}

/// What the events of one node have said so far, to check the next.
#[derive(Debug, Default)]
struct Grammar {
    up: BTreeMap<PeerId, ConnId>,
    ended: BTreeMap<ConnId, ()>,
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
#[derive(Debug)]
pub struct Net {
    now: Instant,
    entropy: Entropy,
    hosts: Vec<Host>,
    pipes: BTreeMap<u64, Pipe>,
    next_pipe: u64,
    /// Addresses where a host is reached beside its own.
    aliases: BTreeMap<SocketAddr, HostId>,
    /// Addresses where the test itself listens, and who dialled there.
    lures: BTreeMap<SocketAddr, Vec<Stranger>>,
    latency: (u64, u64),
    cut: Cut,
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
            pipes: BTreeMap::new(),
            next_pipe: 0,
            aliases: BTreeMap::new(),
            lures: BTreeMap::new(),
            latency: (5, 50),
            cut: Cut::Random,
            trace: None,
        }
    }

    /// Latencies of new pipes, milliseconds from least to most. Default 5 to 50.
    pub fn latency(&mut self, least: u64, most: u64) {
        self.latency = (least, most);
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
        let addr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, low[0], low[1])), 5999);
        let start = Start::new(self.now, UnixTime::from_millis(1_600_000_000_000));
        let mut node = Node::new(config, Identity::new(id), self.entropy.seed(), start);
        node.listening(addr, self.now);
        self.hosts.push(Host {
            node,
            addr,
            sockets: BTreeMap::new(),
            events: Vec::new(),
            grammar: Grammar::default(),
            drains: true,
            reads: true,
            up: true,
        });
        self.hosts.len() - 1
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

    // ---- what a test does ----

    /// Calls a host's node and does what it asks for.
    pub fn with<R>(&mut self, host: HostId, call: impl FnOnce(&mut Node, Instant) -> R) -> R {
        let result = call(&mut self.hosts[host].node, self.now);
        self.pump(host);
        result
    }

    /// Lets one host dial another.
    pub fn dial(&mut self, from: HostId, to: HostId) -> Option<ConnId> {
        let addr = self.addr(to);
        self.with(from, |node, now| node.dial(addr, now).ok())
    }

    /// Lets a host dial an address.
    pub fn dial_addr(&mut self, from: HostId, addr: SocketAddr) -> Result<ConnId, DialError> {
        self.with(from, |node, now| node.dial(addr, now))
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

    /// Whether a host's application polls its events. It does by default.
    pub fn drain(&mut self, host: HostId, drains: bool) {
        self.hosts[host].drains = drains;
        self.pump(host);
    }

    /// Takes one event of a host whose application does not drain by itself.
    pub fn take_event(&mut self, host: HostId) -> Option<Event> {
        let event = self.hosts[host].node.poll_event()?;
        self.hosts[host].grammar.check(&event);
        self.pump(host);
        Some(event)
    }

    /// Whether a host reads its sockets. It does by default.
    pub fn read(&mut self, host: HostId, reads: bool) {
        self.hosts[host].reads = reads;
        self.read_all(host);
        self.pump(host);
    }

    /// The host is gone without a word: nothing reaches it, nothing comes from it.
    pub fn vanish(&mut self, host: HostId) {
        self.hosts[host].up = false;
    }

    /// The host's program is killed: its sockets are reset.
    pub fn kill(&mut self, host: HostId) {
        self.hosts[host].up = false;
        for (pipe, side) in std::mem::take(&mut self.hosts[host].sockets).into_values() {
            self.transmit(pipe, side, Packet::Reset);
        }
    }

    /// Ends the `number`-th connection ever made by a reset at both ends.
    pub fn break_pipe(&mut self, number: u64) {
        for side in [Side::Dialer, Side::Acceptor] {
            self.transmit(number, side, Packet::Reset);
        }
    }

    /// From now on nothing more arrives through the `number`-th connection ever made.
    pub fn freeze_pipe(&mut self, number: u64) {
        if let Some(pipe) = self.pipes.get_mut(&number) {
            pipe.frozen = true;
        }
    }

    /// A host is reached at this address too, without knowing.
    pub fn alias(&mut self, addr: SocketAddr, host: HostId) {
        self.aliases.insert(addr, host);
    }

    // ---- where the test itself is one end ----

    /// Opens a connection to a host; the test speaks at the other end.
    pub fn intrude(&mut self, host: HostId, from: SocketAddr) -> Stranger {
        let id = self.new_pipe();
        self.hold(id, Side::Dialer);
        self.transmit(id, Side::Dialer, Packet::Syn { from, to: Some(host) });
        Stranger(id)
    }

    /// The test listens at this address.
    pub fn lure(&mut self, addr: SocketAddr) {
        self.lures.entry(addr).or_default();
    }

    /// Who dialled an address where the test listens.
    pub fn lured(&self, addr: SocketAddr) -> &[Stranger] {
        self.lures.get(&addr).map_or(&[], Vec::as_slice)
    }

    /// The test writes.
    pub fn say(&mut self, stranger: Stranger, bytes: impl AsRef<[u8]>) {
        let side = self.raw(stranger).side;
        self.transmit(stranger.0, side, Packet::Bytes(bytes.as_ref().to_vec()));
    }

    /// The test ends its half.
    pub fn hang_up(&mut self, stranger: Stranger) {
        let side = self.raw(stranger).side;
        self.transmit(stranger.0, side, Packet::Fin);
    }

    /// The test breaks the connection.
    pub fn break_off(&mut self, stranger: Stranger) {
        let side = self.raw(stranger).side;
        self.transmit(stranger.0, side, Packet::Reset);
    }

    /// The test stops reading.
    pub fn turn_deaf(&mut self, stranger: Stranger) {
        if let Some(raw) = self.pipes.get_mut(&stranger.0).and_then(|pipe| pipe.raw.as_mut()) {
            raw.reads = false;
        }
    }

    /// The test reads again.
    pub fn listen(&mut self, stranger: Stranger) {
        let Some(pipe) = self.pipes.get_mut(&stranger.0) else { return };
        let Some(raw) = &mut pipe.raw else { return };
        raw.reads = true;
        let side = raw.side;
        pipe.read_raw();
        self.write_other(stranger.0, side);
    }

    /// Whether something waits for the test, which does not read by itself.
    pub fn has_unread(&self, stranger: Stranger) -> bool {
        self.pipes.get(&stranger.0).is_some_and(Pipe::has_raw_unread)
    }

    /// The test reads at most so many bytes, once.
    pub fn sip(&mut self, stranger: Stranger, most: usize) -> Vec<u8> {
        let side = self.raw(stranger).side;
        let bytes = self.pipes.get_mut(&stranger.0).and_then(|pipe| pipe.read(side, most));
        self.write_other(stranger.0, side);
        bytes.unwrap_or_default()
    }

    /// All that the test was told on a connection.
    pub fn heard(&self, stranger: Stranger) -> String {
        String::from_utf8_lossy(&self.raw(stranger).heard).into_owned()
    }

    /// Whether the node ended the connection.
    pub fn is_cut(&self, stranger: Stranger) -> bool {
        self.raw(stranger).cut
    }

    /// Whether the node broke the connection.
    pub fn was_reset(&self, stranger: Stranger) -> bool {
        self.raw(stranger).reset
    }

    fn hold(&mut self, id: u64, side: Side) {
        if let Some(pipe) = self.pipes.get_mut(&id) {
            pipe.raw = Some(Raw::new(side));
        }
    }

    fn raw(&self, stranger: Stranger) -> &Raw {
        let raw = self.pipes.get(&stranger.0).and_then(|pipe| pipe.raw.as_ref());
        raw.expect("a stranger's pipe stays")
    }

    /// Lets time pass.
    pub fn run_for(&mut self, duration: Duration) {
        let end = self.now + duration;
        while self.next_event().is_some_and(|at| at <= end) {
            self.step();
        }
        self.now = end;
    }

    /// Lets time pass until the condition holds; false if it does not within `limit`.
    pub fn run_until(&mut self, limit: Duration, mut done: impl FnMut(&Self) -> bool) -> bool {
        let end = self.now + limit;
        while !done(self) {
            if self.next_event().is_none_or(|at| at > end) {
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
            if self.next_event().is_none_or(|at| at > end) {
                self.now = end;
                return;
            }
            self.step();
        }
    }

    // ---- how it runs ----

    /// When something happens next.
    fn next_event(&self) -> Option<Instant> {
        let up = self.hosts.iter().filter(|host| host.up);
        let timers = up.filter_map(|host| host.node.poll_timeout());
        let arrivals = self.pipes.values().filter_map(Pipe::next_arrival);
        timers.chain(arrivals).min().map(|at| at.max(self.now))
    }

    /// Does what happens next.
    fn step(&mut self) {
        let Some(at) = self.next_event() else { return };
        self.now = at;
        let due = |(id, pipe): (&u64, &Pipe)| pipe.next_arrival().filter(|t| *t <= at).map(|_| *id);
        let pipes: Vec<u64> = self.pipes.iter().filter_map(due).collect();
        for pipe in pipes {
            self.arrive(pipe);
        }
        for host in 0..self.hosts.len() {
            self.fire(host);
        }
    }

    /// Fires a host's timer until nothing is due.
    fn fire(&mut self, host: HostId) {
        let now = self.now;
        for _ in 0..STEPS_PER_INSTANT {
            let due = self.hosts[host].node.poll_timeout().is_some_and(|at| at <= now);
            if !due || !self.hosts[host].up {
                return;
            }
            self.with(host, Node::handle_timeout);
        }
        panic!("host {host} spins at {now}");
    }

    /// Takes what arrived out of a pipe, in order.
    fn arrive(&mut self, id: u64) {
        while let Some((to, packet)) = self.pipes.get_mut(&id).and_then(|pipe| pipe.take(self.now))
        {
            self.on_packet(id, to, packet);
        }
        if self.pipes.get(&id).is_some_and(|pipe| pipe.raw.is_none() && pipe.is_over()) {
            self.pipes.remove(&id);
        }
    }

    fn on_packet(&mut self, id: u64, to: Side, packet: Packet) {
        if let Packet::Syn { from, to } = packet {
            return self.on_syn(id, to, from);
        }
        if self.pipes.get(&id).is_some_and(|p| p.raw.as_ref().is_some_and(|raw| raw.side == to)) {
            return self.on_raw_packet(id, to, packet);
        }
        let Some((host, conn)) = self.pipes.get(&id).and_then(|pipe| pipe.end(to)) else {
            if matches!(packet, Packet::Bytes(_)) {
                self.transmit(id, to, Packet::Reset);
            }
            return;
        };
        if !self.hosts[host].up {
            return;
        }
        match packet {
            Packet::Syn { .. } => {}
            Packet::Accepted => self.with(host, |node, now| node.connected(conn, now)),
            Packet::Refused => self.close_end(host, conn, TransportError::Refused),
            Packet::Reset => self.close_end(host, conn, TransportError::Reset),
            Packet::Fin | Packet::Bytes(_) => {
                if let Some(pipe) = self.pipes.get_mut(&id) {
                    pipe.deliver(to, packet);
                }
                self.read_end(host, conn);
            }
        }
    }

    /// A packet for the test itself.
    fn on_raw_packet(&mut self, id: u64, to: Side, packet: Packet) {
        let Some(pipe) = self.pipes.get_mut(&id) else { return };
        let reset = matches!(packet, Packet::Reset);
        let ends = reset || matches!(packet, Packet::Refused);
        pipe.deliver(to, packet);
        pipe.read_raw();
        if let Some(raw) = &mut pipe.raw {
            raw.cut |= ends;
            raw.reset |= reset;
        }
        self.write_other(id, to);
    }

    fn on_syn(&mut self, id: u64, to: Option<HostId>, from: SocketAddr) {
        let Some(host) = to else { return self.transmit(id, Side::Acceptor, Packet::Refused) };
        if !self.hosts[host].up {
            return;
        }
        match self.hosts[host].node.accepted(from, self.now) {
            Ok(conn) => {
                self.hosts[host].sockets.insert(conn, (id, Side::Acceptor));
                if let Some(pipe) = self.pipes.get_mut(&id) {
                    pipe.attach(Side::Acceptor, host, conn);
                }
                self.transmit(id, Side::Acceptor, Packet::Accepted);
            }
            Err(_) => {
                self.transmit(id, Side::Acceptor, Packet::Accepted);
                self.transmit(id, Side::Acceptor, Packet::Reset);
            }
        }
        self.pump(host);
    }

    fn close_end(&mut self, host: HostId, conn: ConnId, why: TransportError) {
        self.with(host, |node, now| node.closed(conn, why, now));
    }

    /// Reads what waits for a connection, in portions, as far as the host and its node want to
    /// read.
    fn read_end(&mut self, host: HostId, conn: ConnId) {
        loop {
            let Host { node, sockets, reads, .. } = &self.hosts[host];
            let Some((id, side)) = sockets.get(&conn).copied() else { return };
            if !*reads || !node.wants_read(conn) {
                return;
            }
            let Some(pipe) = self.pipes.get_mut(&id) else { return };
            let Some(bytes) = pipe.read(side, self.cut.portion(&mut self.entropy)) else { break };
            self.with(host, |node, now| node.received(conn, &bytes, now));
            self.write_other(id, side);
        }
        let ended = self.hosts[host].sockets.get(&conn).copied();
        if ended.and_then(|(id, side)| self.pipes.get_mut(&id)?.take_fin(side)).is_some() {
            self.close_end(host, conn, TransportError::Eof);
        }
    }

    fn read_all(&mut self, host: HostId) {
        let conns: Vec<ConnId> = self.hosts[host].sockets.keys().copied().collect();
        for conn in conns {
            self.read_end(host, conn);
        }
    }

    /// A read made room: lets the other side write on.
    fn write_other(&mut self, id: u64, side: Side) {
        let writer = self.pipes.get(&id).and_then(|pipe| pipe.end(side.other()));
        if let Some((host, conn)) = writer {
            self.write(host, conn);
            self.pump(host);
        }
    }

    /// Writes what a connection has, as far as the window goes.
    fn write(&mut self, host: HostId, conn: ConnId) {
        let Some((id, side)) = self.hosts[host].sockets.get(&conn).copied() else { return };
        if !self.hosts[host].up {
            return;
        }
        loop {
            let Some(pipe) = self.pipes.get(&id) else { return };
            let room = WINDOW.saturating_sub(pipe.unread(side));
            let mut bytes = Vec::new();
            let portion = self.cut.portion(&mut self.entropy).min(room);
            let count = self.hosts[host].node.outgoing(conn).copy_to(&mut bytes, portion);
            if count == 0 {
                return;
            }
            self.note_bytes(host, id, side, &bytes);
            self.transmit(id, side, Packet::Bytes(bytes));
            self.hosts[host].node.sent(conn, count, self.now);
        }
    }

    /// Puts a packet on its way from `side`.
    fn transmit(&mut self, id: u64, side: Side, packet: Packet) {
        let jitter = self.entropy.millis(0, self.latency.0);
        if let Some(pipe) = self.pipes.get_mut(&id) {
            pipe.transmit(side, packet, self.now, jitter);
        }
    }

    fn new_pipe(&mut self) -> u64 {
        self.next_pipe += 1;
        let latency = self.entropy.millis(self.latency.0, self.latency.1);
        self.pipes.insert(self.next_pipe, Pipe::new(latency));
        self.next_pipe
    }

    /// Does the node's actions, takes its events, checks the rules.
    fn pump(&mut self, host: HostId) {
        while let Some(action) = self.hosts[host].node.poll_action() {
            self.note(host, format_args!("{action:?}"));
            self.act(host, action);
        }
        while self.hosts[host].drains {
            let Some(event) = self.hosts[host].node.poll_event() else { break };
            self.note(host, format_args!("{event:?}"));
            self.hosts[host].grammar.check(&event);
            self.hosts[host].events.push(event);
            if self.hosts[host].node.poll_timeout().is_some() {
                self.act_on_events(host);
            }
        }
        self.check(host);
    }

    /// Polling events may resume reading.
    fn act_on_events(&mut self, host: HostId) {
        while let Some(action) = self.hosts[host].node.poll_action() {
            self.note(host, format_args!("{action:?}"));
            self.act(host, action);
        }
    }

    fn act(&mut self, host: HostId, action: Action) {
        match action {
            Action::Connect { conn, addr } => self.connect(host, conn, addr),
            Action::Send { conn } => self.write(host, conn),
            Action::PauseReading { .. } => {}
            Action::ResumeReading { conn } => self.read_end(host, conn),
            Action::Finish { conn } => {
                if let Some((id, side)) = self.hosts[host].sockets.get(&conn).copied() {
                    self.transmit(id, side, Packet::Fin);
                }
            }
            Action::Drop { conn } => self.drop_socket(host, conn),
        }
    }

    fn connect(&mut self, host: HostId, conn: ConnId, addr: SocketAddr) {
        let id = self.new_pipe();
        let port = 40_000 + (id % 20_000) as u16;
        let from = SocketAddr::new(self.addr(host).ip(), port);
        let alias = self.aliases.get(&addr).copied();
        let to = alias.or_else(|| self.hosts.iter().position(|host| host.addr == addr));
        if let Some(pipe) = self.pipes.get_mut(&id) {
            pipe.attach(Side::Dialer, host, conn);
        }
        self.hosts[host].sockets.insert(conn, (id, Side::Dialer));
        if let Some(lured) = self.lures.get_mut(&addr) {
            lured.push(Stranger(id));
            self.hold(id, Side::Acceptor);
            return self.transmit(id, Side::Acceptor, Packet::Accepted);
        }
        self.transmit(id, Side::Dialer, Packet::Syn { from, to });
    }

    fn drop_socket(&mut self, host: HostId, conn: ConnId) {
        let socket = self.hosts[host].sockets.remove(&conn);
        let (id, side) = socket.unwrap_or_else(|| panic!("host {host} drops {conn} twice"));
        let Some(pipe) = self.pipes.get_mut(&id) else { return };
        let last = if pipe.detach(side) { Packet::Reset } else { Packet::Fin };
        self.transmit(id, side, last);
    }

    // ---- what is checked and noted ----

    fn check(&self, host: HostId) {
        let Host { node, sockets, up: true, .. } = &self.hosts[host] else { return };
        assert!(node.is_stopped() <= sockets.is_empty(), "host {host} stopped with sockets");
        for info in node.peers() {
            assert!(sockets.contains_key(&info.conn), "host {host} has a peer without a socket");
        }
    }

    fn note(&mut self, host: HostId, what: std::fmt::Arguments<'_>) {
        if let Some(trace) = &mut self.trace {
            let _infallible = writeln!(trace, "{} n{host} {what}", self.now);
        }
    }

    /// Notes whole lines as they are written.
    fn note_bytes(&mut self, host: HostId, id: u64, side: Side, bytes: &[u8]) {
        if self.trace.is_none() {
            return;
        }
        let lines = self.pipes.get_mut(&id).map(|pipe| pipe.lines(side, bytes)).unwrap_or_default();
        for line in lines {
            self.note(host, format_args!("pipe {id} > {line}"));
        }
    }
}

impl Grammar {
    /// Each `PeerUp` has one `PeerDown`, each connection one end.
    fn check(&mut self, event: &Event) {
        match event {
            Event::PeerUp { peer, conn, .. } => {
                let before = self.up.insert(peer.clone(), *conn);
                assert!(before.is_none(), "{peer} is up twice");
            }
            Event::PeerDown { peer, conn, .. } => {
                assert!(self.up.remove(peer).is_some(), "{peer} is down twice");
                self.end(*conn);
            }
            Event::ConnectionFailed { conn, .. } => self.end(*conn),
            Event::Message(message) => {
                let known = matches!(message.delivery(), Delivery::Broadcast | Delivery::Direct);
                assert!(known && !message.body().is_empty());
            }
            _ => {} // Event may grow; these have no grammar
        }
    }

    fn end(&mut self, conn: ConnId) {
        assert!(self.ended.insert(conn, ()).is_none(), "{conn} ended twice");
    }
}
