//! How the network runs: what happens next, what a host's node asks for, what packets do.

use std::cmp::Reverse;
use std::fmt::Write as _;
use std::hash::{Hash, Hasher};
use std::net::SocketAddr;
use std::time::Duration;

use peerline_proto::{
    Action, ConnId, Event, Instant, Message, Node, PeerInfo, TransportError, testing,
};

use crate::net::pipe::{Line, Packet, Pipe, Side};
use crate::net::{Host, HostId, Net, Rule, Stranger};

/// Calls of one node in one instant after which it is declared stuck.
const CALLS_PER_INSTANT: u32 = 1_000;
/// Steps after which everything is checked, and time.
const SWEEP_EVERY: u64 = 1_000;
const SWEEP_WITHIN: Duration = Duration::from_secs(1);

/// The kind of messages that are judged when they arrive.
pub(crate) const NUMBERED: &str = "SIM";

/// What happens next.
#[derive(Copy, Clone, Debug, Eq, PartialEq, Ord, PartialOrd)]
pub(crate) enum Due {
    /// A host's timer.
    Host(HostId),
    /// The next packet that a side of a pipe wrote.
    Way(u64, Side),
}

/// The hash of all that happened: FNV-1a over words.
#[derive(Clone, Debug)]
pub(crate) struct TraceHash(u64);

impl Default for TraceHash {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl TraceHash {
    pub(crate) fn get(&self) -> u64 {
        self.0
    }
}

impl Hasher for TraceHash {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        let words = bytes.chunks_exact(8);
        let mut last = [0; 8];
        let rest = words.remainder();
        last[..rest.len()].copy_from_slice(rest);
        words.for_each(|word| self.write_u64(u64::from_le_bytes(word.try_into().unwrap())));
        if !rest.is_empty() {
            self.write_u64(u64::from_le_bytes(last));
        }
    }

    // The same as their bytes would come to, in fewer steps.

    fn write_u8(&mut self, number: u8) {
        self.write_u64(number.into());
    }

    fn write_u16(&mut self, number: u16) {
        self.write_u64(number.into());
    }

    fn write_u32(&mut self, number: u32) {
        self.write_u64(number.into());
    }

    fn write_usize(&mut self, number: usize) {
        self.write_u64(number as u64);
    }

    fn write_u64(&mut self, word: u64) {
        self.0 = (self.0 ^ word).wrapping_mul(0x0000_0100_0000_01b3);
        self.0 ^= self.0 >> 29;
    }
}

impl Net {
    // ---- time ----

    /// What a host's clock shows.
    pub(super) fn local(&self, host: HostId) -> Instant {
        self.hosts[host].clock.local(self.now)
    }

    /// When something happens next.
    pub(super) fn next_step(&self) -> Option<Instant> {
        self.queue.peek().map(|Reverse((at, _, _))| (*at).max(self.now))
    }

    fn plan(&mut self, at: Instant, due: Due) {
        self.queued += 1;
        self.queue.push(Reverse((at, self.queued, due)));
    }

    /// Does what happens next.
    pub(super) fn step(&mut self) {
        let Some(Reverse((at, _, due))) = self.queue.pop() else { return };
        self.now = self.now.max(at);
        self.steps += 1;
        match due {
            Due::Host(host) if self.hosts[host].timer.is_some_and(|(_, fires)| fires == at) => {
                self.fire(host);
            }
            Due::Host(_) => {}
            Due::Way(id, from) => self.arrive(id, from),
        }
        if self.steps % SWEEP_EVERY == 0 || self.now.saturating_since(self.swept) >= SWEEP_WITHIN {
            self.sweep();
        }
    }

    /// Puts a host's next timer into the queue.
    pub(super) fn plan_host(&mut self, host: HostId) {
        let it = &self.hosts[host];
        let Some(due) = it.node.poll_timeout().filter(|_| it.up && !it.asleep) else { return };
        let due = it.clock.global(due);
        if it.timer.is_some_and(|(earlier, _)| earlier <= due) {
            return;
        }
        let lateness = it.lateness.as_millis() as u64;
        let late = if lateness > 0 { self.entropy.millis(0, lateness) } else { Default::default() };
        let fires = (due + late).max(self.now);
        self.hosts[host].timer = Some((due, fires));
        self.plan(fires, Due::Host(host));
    }

    /// Fires a host's timer until nothing is due.
    fn fire(&mut self, host: HostId) {
        self.hosts[host].timer = None;
        for _ in 0..CALLS_PER_INSTANT {
            let now = self.local(host);
            let due = self.hosts[host].node.poll_timeout().is_some_and(|at| at <= now);
            if !due || !self.hosts[host].up || self.hosts[host].asleep {
                return self.plan_host(host);
            }
            self.with(host, Node::handle_timeout);
        }
        let now = self.now;
        Rule::NoLivelock.check(false, || format!("host {host} spins at {now}"));
    }

    // ---- packets ----

    /// Whether nothing of what a side wrote arrives for now.
    fn is_held(&self, id: u64, from: Side) -> bool {
        let Some(pipe) = self.pipes.get(id) else { return true };
        let to = from.other();
        let (Some(writer), reader) = (pipe.hosts[from as usize], pipe.hosts[to as usize]) else {
            return pipe.frozen || pipe.hosts[to as usize].is_some_and(|h| self.hosts[h].asleep);
        };
        let clogged = |host: HostId| self.hosts[host].clogged;
        let Some(reader) = reader else { return pipe.frozen || clogged(writer) };
        pipe.frozen
            || clogged(writer)
            || clogged(reader)
            || self.hosts[reader].asleep
            || self.parted.contains(&(writer, reader))
    }

    /// What was held may flow again.
    pub(super) fn release(&mut self) {
        let all: Vec<u64> = self.pipes.iter().map(|(id, _)| id).collect();
        for id in all {
            self.release_pipe(id);
        }
    }

    pub(super) fn release_pipe(&mut self, id: u64) {
        for from in [Side::Dialer, Side::Acceptor] {
            let next = self.pipes.get(id).and_then(|pipe| pipe.next_arrival(from));
            if let Some(at) = next.filter(|_| !self.is_held(id, from)) {
                self.plan(at.max(self.now), Due::Way(id, from));
            }
        }
    }

    /// Takes what arrived out of a pipe, in order.
    fn arrive(&mut self, id: u64, from: Side) {
        while !self.is_held(id, from) {
            let now = self.now;
            let Some(packet) = self.pipes.get_mut(id).and_then(|pipe| pipe.take(from, now)) else {
                break;
            };
            self.on_packet(id, from.other(), packet);
        }
        if self.pipes.get(id).is_some_and(|pipe| !pipe.is_held_by_test() && pipe.is_over()) {
            self.pipes.remove(id);
        }
    }

    fn on_packet(&mut self, id: u64, to: Side, packet: Packet) {
        if let Packet::Syn { from, to } = packet {
            return self.on_syn(id, to, from);
        }
        if self.pipes.get(id).is_some_and(|p| p.raw.as_ref().is_some_and(|raw| raw.side == to)) {
            return self.on_raw_packet(id, to, packet);
        }
        let Some((host, conn)) = self.pipes.get(id).and_then(|pipe| pipe.end(to)) else {
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
            Packet::Accepted => {
                let local = self.hosts[host].addr;
                self.with(host, |node, now| {
                    node.local_addr(conn, local);
                    node.connected(conn, now);
                });
            }
            Packet::Refused => self.close_end(host, conn, TransportError::Refused),
            Packet::Reset => self.close_end(host, conn, TransportError::Reset),
            Packet::Fin | Packet::Bytes(_) => {
                if let Some(pipe) = self.pipes.get_mut(id) {
                    self.spare.extend(pipe.deliver(to, packet));
                }
                self.read_end(host, conn);
            }
        }
    }

    /// A packet for the test itself.
    fn on_raw_packet(&mut self, id: u64, to: Side, packet: Packet) {
        let Some(pipe) = self.pipes.get_mut(id) else { return };
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
        if !self.hosts[host].up || self.hosts[host].behind_nat {
            return;
        }
        if self.hosts[host].exhausted {
            return self.transmit(id, Side::Acceptor, Packet::Reset);
        }
        let now = self.local(host);
        match self.hosts[host].node.accepted(from, now) {
            Ok(conn) => {
                let local = self.hosts[host].addr;
                self.hosts[host].node.local_addr(conn, local);
                self.hosts[host].watch.on_open(conn, from, false, now);
                self.hosts[host].sockets.insert(conn, (id, Side::Acceptor));
                if let Some(pipe) = self.pipes.get_mut(id) {
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
    /// read; then the other side may write on.
    fn read_end(&mut self, host: HostId, conn: ConnId) {
        let Some((id, side)) = self.hosts[host].sockets.get(conn).copied() else { return };
        let before = self.pipes.get(id).map(|pipe| pipe.room(side.other()));
        let mut bytes = std::mem::take(&mut self.read_buffer);
        self.read_portions((id, side), (host, conn), &mut bytes);
        self.read_buffer = bytes;
        if self.pipes.get(id).map(|pipe| pipe.room(side.other())) != before {
            self.write_other(id, side);
        }
    }

    fn read_portions(&mut self, at: (u64, Side), end: (HostId, ConnId), bytes: &mut Vec<u8>) {
        let ((id, side), (host, conn)) = (at, end);
        // What was read may have made the node drop the connection.
        let is_there = |pipe: &&mut Pipe| pipe.end(side) == Some(end);
        loop {
            let Host { node, reads, .. } = &self.hosts[host];
            if !*reads || !node.wants_read(conn) {
                return;
            }
            let Some(pipe) = self.pipes.get_mut(id).filter(is_there) else { return };
            let hostile = pipe.raw.is_some();
            pipe.read(side, self.cut.portion(&mut self.entropy), bytes);
            if bytes.is_empty() {
                break;
            }
            self.receive(host, conn, bytes, hostile);
        }
        let pipe = self.pipes.get_mut(id).filter(is_there);
        if pipe.and_then(|pipe| pipe.take_fin(side)).is_some() {
            self.close_end(host, conn, TransportError::Eof);
        }
    }

    pub(super) fn read_all(&mut self, host: HostId) {
        let conns: Vec<ConnId> = self.hosts[host].sockets.conns().collect();
        for conn in conns {
            self.read_end(host, conn);
        }
    }

    /// A read made room: lets the other side write on.
    pub(super) fn write_other(&mut self, id: u64, side: Side) {
        let writer = self.pipes.get(id).and_then(|pipe| pipe.end(side.other()));
        if let Some((host, conn)) = writer {
            self.write(host, conn);
            self.pump(host);
        }
    }

    /// Writes what a connection has, as far as the window goes.
    fn write(&mut self, host: HostId, conn: ConnId) {
        let Some((id, side)) = self.hosts[host].sockets.get(conn).copied() else { return };
        if !self.hosts[host].up || self.hosts[host].asleep {
            return;
        }
        loop {
            let Some(pipe) = self.pipes.get(id) else { return };
            let room = pipe.room(side);
            let portion = self.cut.portion(&mut self.entropy).min(room);
            let outgoing = self.hosts[host].node.outgoing(conn);
            let mut bytes = self.spare.pop().unwrap_or_default();
            let count = outgoing.copy_to(&mut bytes, portion);
            if count == 0 {
                return self.spare.push(bytes);
            }
            self.note_bytes(host, id, side, &bytes);
            self.hosts[host].watch.on_bytes_out(conn, &bytes);
            self.transmit(id, side, Packet::Bytes(bytes));
            let now = self.local(host);
            self.hosts[host].node.sent(conn, count, now);
        }
    }

    /// Puts a packet on its way from `side`.
    pub(super) fn transmit(&mut self, id: u64, side: Side, packet: Packet) {
        let slow = matches!(packet, Packet::Syn { .. }) && self.slow_dials > 0;
        let most = if slow && self.entropy.chance(self.slow_dials) { 130_000 } else { 0 };
        let jitter = self.entropy.millis(0, self.latency.0.max(most));
        if let Some(pipe) = self.pipes.get_mut(id) {
            if let Some(at) = pipe.transmit(side, packet, self.now, jitter) {
                self.plan(at, Due::Way(id, side));
            }
        }
    }

    pub(super) fn new_pipe(&mut self) -> u64 {
        let latency = self.entropy.millis(self.latency.0, self.latency.1);
        let line = Line { latency, window: self.window, bandwidth: self.bandwidth };
        self.pipes.add(Pipe::new(line))
    }

    /// Does the node's actions and takes its events.
    pub(super) fn pump(&mut self, host: HostId) {
        self.do_actions(host);
        let Host { node, watch, .. } = &mut self.hosts[host];
        watch.on_peers(node.peer_count());
        while self.hosts[host].drains {
            let Some(event) = self.hosts[host].node.poll_event() else {
                self.hosts[host].watch.catch_up();
                break;
            };
            self.on_event(host, event);
            self.do_actions(host);
        }
        self.plan_host(host);
    }

    fn do_actions(&mut self, host: HostId) {
        while let Some(action) = self.hosts[host].node.poll_action() {
            self.note(host, format_args!("{action:?}"));
            (self.now, host, action).hash(&mut self.hash);
            self.act(host, action);
        }
    }

    fn on_event(&mut self, host: HostId, event: Event) {
        self.note(host, format_args!("{event:?}"));
        (self.now, host, &event).hash(&mut self.hash);
        self.meetings += u64::from(matches!(event, Event::PeerUp { .. } | Event::PeerDown { .. }));
        let now = self.local(host);
        let Host { node, watch, .. } = &mut self.hosts[host];
        watch.on_event(node, &event, now);
        if let Event::Message(message) = &event {
            self.on_message(host, message);
        }
        if let Event::Request(request) = &event {
            self.answer(host, request);
        }
        if self.keeps_events {
            self.hosts[host].events.push(event);
        }
    }

    /// Judges a message of the tests' own kind against what was published.
    fn on_message(&mut self, host: HostId, message: &Message) {
        if message.kind() != NUMBERED {
            return;
        }
        let digits = message.body().trim_start_matches('"').split(' ').next();
        let serial = digits.and_then(|digits| digits.parse::<usize>().ok()).unwrap_or(usize::MAX);
        let Some(said) = self.published.get(serial) else {
            return Rule::Integrity.check(false, || format!("{message:?} was never published"));
        };
        let same = said.body == message.body()
            && message.from().node() == Some(self.node(said.from).id())
            && said.to.is_none_or(|to| to == host);
        Rule::Integrity.check(same, || format!("{message:?} is not what was published"));
        self.delays.push(self.now.saturating_since(said.at));
        self.hosts[host].watch.on_delivery(serial as u64);
    }

    fn act(&mut self, host: HostId, action: Action) {
        match action {
            Action::Connect { conn, addr } => self.connect(host, conn, addr),
            Action::Send { conn } => self.write(host, conn),
            Action::PauseReading { conn } => self.hosts[host].watch.on_pause(conn),
            Action::ResumeReading { conn } => {
                let now = self.local(host);
                self.hosts[host].watch.on_resume(conn, now);
                self.read_end(host, conn);
            }
            Action::Finish { conn } => {
                if let Some((id, side)) = self.hosts[host].sockets.get(conn).copied() {
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
        let to = self.aliases.get(&addr).or_else(|| self.by_addr.get(&addr)).copied();
        let now = self.local(host);
        let Host { node, watch, .. } = &mut self.hosts[host];
        watch.on_connect(node, conn, addr, now);
        if let Some(pipe) = self.pipes.get_mut(id) {
            pipe.attach(Side::Dialer, host, conn);
        }
        self.hosts[host].sockets.insert(conn, (id, Side::Dialer));
        if let Some(lured) = self.lures.get_mut(&addr) {
            lured.push(Stranger(id));
            self.hold(id, Side::Acceptor);
            return self.transmit(id, Side::Acceptor, Packet::Accepted);
        }
        if self.hosts[host].exhausted {
            return self.close_end(host, conn, TransportError::Exhausted);
        }
        if let (Some(pipe), Some(to)) = (self.pipes.get_mut(id), to) {
            pipe.hosts[Side::Acceptor as usize] = Some(to);
        }
        if !self.black_holes.contains(&addr) {
            self.transmit(id, Side::Dialer, Packet::Syn { from, to });
        }
    }

    fn drop_socket(&mut self, host: HostId, conn: ConnId) {
        let socket = self.hosts[host].sockets.remove(conn);
        Rule::Grammar.check(socket.is_some(), || format!("host {host} drops {conn} twice"));
        // Its clock may have been set back; the node's time stands still then.
        let now = self.local(host).max(testing::time(&self.hosts[host].node));
        self.hosts[host].watch.on_drop(conn, now);
        let Some((id, side)) = socket else { return };
        let Some(pipe) = self.pipes.get_mut(id) else { return };
        let last = if pipe.detach(side) { Packet::Reset } else { Packet::Fin };
        self.transmit(id, side, last);
    }

    // ---- what is checked and noted ----

    /// Checks that nodes which were shut down have stopped, are silent, and told everything.
    /// Returns how many there are.
    pub fn check_stopped(&mut self) -> u64 {
        let mut stopped = 0;
        for host in 0..self.hosts.len() {
            let Host { node, watch, up, .. } = &mut self.hosts[host];
            if !*up || !node.is_stopping() {
                continue;
            }
            let silent = node.poll_timeout().is_none() && node.poll_action().is_none();
            let over = node.is_stopped() && silent;
            Rule::Shutdown.check(over, || format!("host {host} has not stopped"));
            watch.check_end(node);
            stopped += 1;
        }
        stopped
    }

    /// Checks everything that can be seen of all nodes.
    pub fn sweep(&mut self) {
        self.swept = self.now;
        for host in 0..self.hosts.len() {
            let now = self.local(host);
            let Host { node, watch, sockets, up, asleep, excused, .. } = &mut self.hosts[host];
            if !*up {
                continue;
            }
            let timely = !*asleep && self.now >= *excused;
            let mut peers: Vec<PeerInfo> = Vec::with_capacity(node.peer_count());
            peers.extend(node.peers());
            watch.sweep(node, &peers, sockets.len(), timely, now);
            for info in &peers {
                let there = sockets.contains(info.conn);
                Rule::Grammar.check(there, || format!("host {host} has a peer without a socket"));
            }
        }
    }

    fn note(&mut self, host: HostId, what: std::fmt::Arguments<'_>) {
        if let Some(trace) = &mut self.trace {
            let _infallible = writeln!(trace, "{} n{host} {what}", self.now);
        }
    }

    /// Notes whole lines as they are written.
    fn note_bytes(&mut self, host: HostId, id: u64, side: Side, bytes: &[u8]) {
        (id, bytes).hash(&mut self.hash);
        if self.trace.is_none() {
            return;
        }
        let lines = self.pipes.get_mut(id).map(|pipe| pipe.lines(side, bytes)).unwrap_or_default();
        for line in lines {
            self.note(host, format_args!("pipe {id} > {line}"));
        }
    }
}
