//! A network so small that it can be copied: nodes, the packets between them, and nothing that
//! happens by itself. What may happen next is a list of choices; somebody else chooses.
//!
//! Packets keep their order within one direction of a connection and no other. Time stands still
//! until a choice lets it pass. A rule that does not hold is kept as the world's fault.

use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::hash::{Hash, Hasher};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use peerline_proto::{
    Action, ConnId, Identity, Instant, Node, NodeId, Payload, PeerId, Start, UnixTime,
};

use crate::Side;
use crate::explore::host::Host;
use crate::explore::pipe::{End, Packet, Pipe};
use crate::explore::{Command, Scenario};
use crate::net::HostId;

/// How far time passes when it passes without a timer, unless packets may not be so slow: so far
/// that after three times an older connection is in doubt.
const WAIT: Duration = Duration::from_millis(800);
/// How often timers may fire at one instant.
const FIRES: usize = 1000;
/// How long a world is left alone before it must be at peace: all time-outs, and a dial after.
const CALM: Duration = Duration::from_secs(60);
const SIDES: [Side; 2] = [Side::Dialer, Side::Acceptor];

/// Something that may happen next.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(super) enum Choice {
    /// The first packet on its way arrives.
    Arrive { pipe: usize, to: Side },
    /// Half of its bytes do.
    Half { pipe: usize, to: Side },
    /// Time passes until the earliest timer fires.
    Timer,
    /// Time passes and no timer fires.
    Wait,
    /// The next command of a script is carried out.
    Command { script: usize },
    /// A connection breaks at both ends.
    Break { pipe: usize },
}

/// The whole of it.
#[derive(Clone, Debug)]
pub(super) struct World {
    now: Instant,
    hosts: Vec<Arc<Host>>,
    /// By host, once it is known.
    digests: Vec<Option<u64>>,
    pipes: Vec<Pipe>,
    /// By script: commands carried out.
    done: Vec<usize>,
    time_left: u32,
    breaks_left: u32,
    cuts_left: u32,
    /// Broadcasts queued for somebody.
    owed: usize,
    /// The first rule that did not hold.
    pub(super) fault: Option<String>,
}

impl World {
    pub(super) fn new(scenario: &Scenario) -> Self {
        let mut world = Self {
            now: Instant::ZERO,
            hosts: Vec::new(),
            digests: vec![None; scenario.hosts.len()],
            pipes: Vec::new(),
            done: vec![0; scenario.scripts.len()],
            time_left: scenario.time,
            breaks_left: scenario.breaks,
            cuts_left: scenario.cuts,
            owed: 0,
            fault: None,
        };
        for number in 0..scenario.hosts.len() {
            let host = world.host(scenario, number, 0);
            world.hosts.push(Arc::new(host));
        }
        world
    }

    fn host(&self, scenario: &Scenario, number: HostId, life: u8) -> Host {
        let (id, config) = &scenario.hosts[number];
        let low = u8::try_from(number).unwrap_or(u8::MAX);
        let addr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, 0, low)), 5999);
        let id = Identity::new(NodeId::from_random_bytes([*id; 16]));
        let start = Start::new(self.now, UnixTime::from_millis(1_600_000_000_000));
        let mut seed = [low; 32];
        seed[0] = life;
        let mut node = Node::new(config.clone(), id, seed, start);
        node.listening(addr, self.now);
        Host {
            node,
            addr,
            sockets: BTreeMap::new(),
            up: BTreeMap::new(),
            ended: BTreeSet::new(),
            downs: 0,
            published: 0,
            got: BTreeSet::new(),
            alive: true,
            silent: false,
            lives: life,
        }
    }

    /// A number that two worlds share if they are the same, but for accidents.
    pub(super) fn digest(&mut self) -> u64 {
        let mut whole = DefaultHasher::new();
        for (host, known) in self.hosts.iter().zip(&mut self.digests) {
            known.get_or_insert_with(|| host.digest()).hash(&mut whole);
        }
        (self.now, &self.pipes, &self.done).hash(&mut whole);
        (self.time_left, self.breaks_left, self.cuts_left, self.owed).hash(&mut whole);
        whole.finish()
    }

    // ---- what may happen ----

    pub(super) fn choices(&self, scenario: &Scenario) -> Vec<Choice> {
        let mut choices: Vec<Choice> = Vec::new();
        for (pipe, to) in (0..self.pipes.len()).flat_map(|pipe| SIDES.map(|to| (pipe, to))) {
            let arrives = self.can_arrive(pipe, to);
            choices.extend(arrives.then_some(Choice::Arrive { pipe, to }));
            let cuts = arrives && self.cuts_left > 0 && self.pipes[pipe].next_is_bytes(to);
            choices.extend(cuts.then_some(Choice::Half { pipe, to }));
        }
        let scripts = 0..scenario.scripts.len();
        let ready = scripts.filter(|script| self.next_command(scenario, *script).is_some());
        choices.extend(ready.map(|script| Choice::Command { script }));
        if self.breaks_left > 0 {
            let whole = |pipe: &usize| !self.pipes[*pipe].broken && self.pipes[*pipe].is_open();
            let pipes = (0..self.pipes.len()).filter(whole);
            choices.extend(pipes.map(|pipe| Choice::Break { pipe }));
        }
        if let (Some(timer), true) = (self.next_timer(), self.time_left > 0) {
            let oldest = self.oldest_packet().map_or(Instant::MAX, |sent| sent + scenario.slowest);
            choices.extend((timer <= oldest).then_some(Choice::Timer));
            let wait = self.now + WAIT.min(scenario.slowest);
            choices.extend((wait < timer && wait <= oldest).then_some(Choice::Wait));
        }
        choices
    }

    /// Nothing happens any more unless time passes.
    pub(super) fn is_quiet(&self, choices: &[Choice]) -> bool {
        choices.iter().all(|choice| match choice {
            Choice::Timer | Choice::Wait | Choice::Break { .. } => true,
            Choice::Arrive { .. } | Choice::Half { .. } | Choice::Command { .. } => false,
        })
    }

    fn can_arrive(&self, id: usize, to: Side) -> bool {
        let pipe = &self.pipes[id];
        let Some((_, packet)) = pipe.ways[to.other() as usize].front() else { return false };
        let host = &self.hosts[pipe.hosts[to as usize]];
        match pipe.ends[to as usize] {
            End::Backlog => host.alive && *packet == Packet::Syn,
            End::Open(conn) => match packet {
                Packet::Bytes(_) | Packet::Fin => host.node.wants_read(conn),
                Packet::Syn | Packet::Accepted | Packet::Refused | Packet::Reset => true,
            },
            End::Closed | End::Silent => false,
        }
    }

    fn next_command(&self, scenario: &Scenario, script: usize) -> Option<Command> {
        let command = *scenario.scripts[script].get(self.done[script])?;
        let host = &self.hosts[command.host()];
        let possible = match command {
            Command::Dial { .. } | Command::Kill(_) | Command::Vanish(_) => host.alive,
            Command::Shutdown(_) => host.alive && !host.node.is_stopping(),
            Command::Broadcast(_) => host.alive && host.node.peer_count() > 0,
            Command::Restart(_) => !host.alive || host.node.is_stopped(),
        };
        possible.then_some(command)
    }

    fn next_timer(&self) -> Option<Instant> {
        let alive = self.hosts.iter().filter(|host| host.alive);
        alive.filter_map(|host| host.node.poll_timeout()).min()
    }

    fn oldest_packet(&self) -> Option<Instant> {
        let ways = self.pipes.iter().flat_map(|pipe| &pipe.ways);
        ways.flatten().map(|(sent, _)| *sent).min()
    }

    /// A choice in words.
    pub(super) fn describe(&self, scenario: &Scenario, choice: Choice) -> String {
        match choice {
            Choice::Arrive { pipe, to } => {
                let host = name(self.pipes[pipe].hosts[to as usize]);
                let packet = self.pipes[pipe].ways[to.other() as usize].front();
                let what = packet.map_or(String::new(), |(_, packet)| packet.to_string());
                format!("{}  {host} gets on pipe {pipe}: {what}", self.now)
            }
            Choice::Half { pipe, to } => {
                let host = name(self.pipes[pipe].hosts[to as usize]);
                format!("{}  {host} gets on pipe {pipe} half of what is next", self.now)
            }
            Choice::Timer => {
                let at = self.next_timer().unwrap_or(self.now);
                format!("{}  time passes to {at}, a timer fires", self.now)
            }
            Choice::Wait => {
                let at = self.now + WAIT.min(scenario.slowest);
                format!("{}  time passes to {at}", self.now)
            }
            Choice::Command { script } => {
                let command = self.next_command(scenario, script);
                format!("{}  {}", self.now, command.map_or(String::new(), |c| c.to_string()))
            }
            Choice::Break { pipe } => format!("{}  pipe {pipe} breaks", self.now),
        }
    }

    // ---- what happens ----

    pub(super) fn apply(&mut self, scenario: &Scenario, choice: Choice) {
        match choice {
            Choice::Arrive { pipe, to } => self.arrive(pipe, to),
            Choice::Half { pipe, to } => {
                self.cuts_left -= 1;
                self.pipes[pipe].halve(to);
                self.arrive(pipe, to);
            }
            Choice::Timer => {
                self.time_left = self.time_left.saturating_sub(1);
                self.now = self.next_timer().unwrap_or(self.now).max(self.now);
            }
            Choice::Wait => {
                self.time_left = self.time_left.saturating_sub(1);
                self.now = self.now + WAIT.min(scenario.slowest);
            }
            Choice::Command { script } => {
                if let Some(command) = self.next_command(scenario, script) {
                    self.done[script] += 1;
                    self.command(scenario, command);
                }
            }
            Choice::Break { pipe } => {
                self.breaks_left -= 1;
                self.break_pipe(pipe);
            }
        }
        self.fire_all();
        for host in scenario.steady.iter().filter(|host| self.hosts[**host].downs > 0) {
            self.fault.get_or_insert_with(|| format!("{} saw its peer go down", name(*host)));
        }
    }

    fn command(&mut self, scenario: &Scenario, command: Command) {
        match command {
            Command::Dial { from, to } => {
                let addr = self.hosts[to].addr;
                self.with(from, |node, now| {
                    let _refused_at_times = node.dial(addr, now);
                });
            }
            Command::Shutdown(host) => {
                self.with(host, |node, now| node.shutdown(Duration::from_secs(2), now));
            }
            Command::Kill(host) => self.die(host, Packet::Reset),
            Command::Vanish(host) => self.die(host, Packet::Syn),
            Command::Restart(host) => {
                let life = self.hosts[host].lives + 1;
                self.hosts[host] = Arc::new(self.host(scenario, host, life));
                self.digests[host] = None;
                self.reset_silent(host);
            }
            Command::Broadcast(host) => self.broadcast(host),
        }
    }

    fn broadcast(&mut self, host: HostId) {
        let body = Payload::encode(&self.hosts[host].published).expect("a number is JSON");
        let now = self.now;
        let sender = self.change(host);
        sender.published += 1;
        let receipt = sender.node.broadcast("N", &body, now).expect("it fits");
        self.owed += receipt.queued;
        self.pump(host);
    }

    /// A host ends: with resets, or, told by any other packet, in silence.
    fn die(&mut self, host: HostId, last: Packet) {
        let dying = self.change(host);
        dying.alive = false;
        dying.silent = last != Packet::Reset;
        dying.sockets.clear();
        dying.up.clear();
        let end = if last == Packet::Reset { End::Closed } else { End::Silent };
        for (id, side) in self.ends_at(host) {
            let pipe = &mut self.pipes[id];
            pipe.ends[side as usize] = end;
            pipe.ways[side.other() as usize].clear();
            if end == End::Closed {
                self.transmit(id, side, Packet::Reset);
            }
        }
    }

    /// A host that vanished is back: it knows nothing of its connections, and says so as soon as
    /// somebody writes there.
    fn reset_silent(&mut self, host: HostId) {
        for (id, side) in self.ends_at(host) {
            let pipe = &mut self.pipes[id];
            if pipe.ends[side as usize] == End::Silent {
                pipe.ends[side as usize] = End::Closed;
            }
        }
    }

    /// The ends of connections that a host has and has not closed.
    fn ends_at(&self, host: HostId) -> Vec<(usize, Side)> {
        let ends = (0..self.pipes.len()).flat_map(|pipe| SIDES.map(|side| (pipe, side)));
        let open = |(id, side): &(usize, Side)| {
            let pipe = &self.pipes[*id];
            pipe.hosts[*side as usize] == host && pipe.ends[*side as usize] != End::Closed
        };
        ends.filter(open).collect()
    }

    fn break_pipe(&mut self, id: usize) {
        let pipe = &mut self.pipes[id];
        pipe.broken = true;
        for side in SIDES {
            let way = &mut pipe.ways[side as usize];
            way.clear();
            if matches!(pipe.ends[side.other() as usize], End::Open(_)) {
                way.push_back((self.now, Packet::Reset));
            }
        }
    }

    fn arrive(&mut self, id: usize, to: Side) {
        let pipe = &mut self.pipes[id];
        let Some((_, packet)) = pipe.ways[to.other() as usize].pop_front() else { return };
        let host = pipe.hosts[to as usize];
        let (Packet::Syn, End::Backlog) = (&packet, pipe.ends[to as usize]) else {
            let End::Open(conn) = pipe.ends[to as usize] else { return };
            return self.with(host, |node, now| packet.tell(node, conn, now));
        };
        let port = 40_000 + u16::try_from(id).unwrap_or_default();
        let from = SocketAddr::new(self.hosts[pipe.hosts[to.other() as usize]].addr.ip(), port);
        let now = self.now;
        match self.change(host).node.accepted(from, now) {
            Ok(conn) => {
                self.change(host).sockets.insert(conn, (id, to));
                self.pipes[id].ends[to as usize] = End::Open(conn);
            }
            Err(_) => self.close_end(id, to),
        }
        self.pump(host);
    }

    fn with(&mut self, host: HostId, call: impl FnOnce(&mut Node, Instant)) {
        let now = self.now;
        call(&mut self.change(host).node, now);
        self.pump(host);
    }

    /// A host, to be changed.
    fn change(&mut self, host: HostId) -> &mut Host {
        self.digests[host] = None;
        Arc::make_mut(&mut self.hosts[host])
    }

    /// Fires what is due, as a driver does before it sleeps.
    fn fire_all(&mut self) {
        let now = self.now;
        for host in 0..self.hosts.len() {
            let mut fires = 0;
            while self.is_due(host) && fires < FIRES {
                self.with(host, |node, now| node.handle_timeout(now));
                fires += 1;
            }
            if self.is_due(host) {
                self.fault.get_or_insert_with(|| format!("{} spins at {now}", name(host)));
            }
        }
    }

    fn is_due(&self, host: HostId) -> bool {
        let host = &self.hosts[host];
        host.alive && host.node.poll_timeout().is_some_and(|at| at <= self.now)
    }

    /// Does the node's actions, takes its events, checks the rules.
    fn pump(&mut self, host: HostId) {
        loop {
            if let Some(action) = self.change(host).node.poll_action() {
                self.act(host, action);
            } else if let Some(event) = self.change(host).node.poll_event() {
                let fault = self.change(host).note(event);
                self.fault = self.fault.take().or(fault);
            } else {
                break;
            }
        }
        let fault = self.hosts[host].check();
        self.fault = self.fault.take().or_else(|| fault.map(|f| format!("{}: {f}", name(host))));
    }

    fn act(&mut self, host: HostId, action: Action) {
        let Action::Connect { conn, addr } = action else {
            let Some((id, side)) = self.hosts[host].sockets.get(&action.conn()).copied() else {
                let fault = format!("{}: {action:?} for a dead connection", name(host));
                self.fault.get_or_insert(fault);
                return;
            };
            match action {
                Action::Send { conn } => self.write(host, conn, id, side),
                Action::Finish { .. } => self.transmit(id, side, Packet::Fin),
                Action::Drop { conn } => {
                    self.change(host).sockets.remove(&conn);
                    self.close_end(id, side);
                }
                Action::Connect { .. }
                | Action::PauseReading { .. }
                | Action::ResumeReading { .. } => {}
            }
            return;
        };
        self.connect(host, conn, addr);
    }

    /// Opens a connection. The other's system answers at once, its program when it accepts.
    fn connect(&mut self, host: HostId, conn: ConnId, addr: SocketAddr) {
        let to = self.hosts.iter().position(|host| host.addr == addr).unwrap_or(host);
        let there = &self.hosts[to];
        let (end, answer) = match there.alive && !there.node.is_stopped() {
            true => (End::Backlog, Some(Packet::Accepted)),
            false if there.silent => (End::Silent, None),
            false => (End::Closed, Some(Packet::Refused)),
        };
        let id = self.pipes.len();
        let mut ways = [VecDeque::new(), VecDeque::new()];
        ways[Side::Acceptor as usize].extend(answer.map(|answer| (self.now, answer)));
        if end == End::Backlog {
            ways[Side::Dialer as usize].push_back((self.now, Packet::Syn));
        }
        self.pipes.push(Pipe {
            hosts: [host, to],
            ends: [End::Open(conn), end],
            ways,
            finished: [false; 2],
            broken: false,
        });
        self.change(host).sockets.insert(conn, (id, Side::Dialer));
    }

    /// Writes all that a connection has.
    fn write(&mut self, host: HostId, conn: ConnId, id: usize, side: Side) {
        let mut bytes = Vec::new();
        let now = self.now;
        while self.hosts[host].node.outgoing(conn).copy_to(&mut bytes, usize::MAX) > 0 {
            let count = bytes.len();
            self.transmit(id, side, Packet::Bytes(bytes.as_slice().into()));
            self.change(host).node.sent(conn, count, now);
            bytes.clear();
        }
    }

    /// Puts a packet on its way; an end that is closed answers bytes by a reset.
    fn transmit(&mut self, id: usize, from: Side, packet: Packet) {
        let now = self.now;
        let pipe = &mut self.pipes[id];
        if pipe.broken {
            return;
        }
        pipe.finished[from as usize] |= packet == Packet::Fin;
        match pipe.ends[from.other() as usize] {
            End::Backlog | End::Open(_) => pipe.ways[from as usize].push_back((now, packet)),
            End::Silent => {}
            End::Closed => {
                let back = &mut pipe.ways[from.other() as usize];
                let resets = back.back().is_some_and(|(_, packet)| *packet == Packet::Reset);
                let open = matches!(pipe.ends[from as usize], End::Open(_));
                if open && !resets && matches!(packet, Packet::Bytes(_)) {
                    back.push_back((now, Packet::Reset));
                }
            }
        }
    }

    /// An end is closed: by a reset if bytes for it are unread, for they will be answered so.
    fn close_end(&mut self, id: usize, side: Side) {
        let pipe = &mut self.pipes[id];
        pipe.ends[side as usize] = End::Closed;
        let unread = &mut pipe.ways[side.other() as usize];
        let lost = unread.iter().any(|(_, packet)| matches!(packet, Packet::Bytes(_)));
        unread.clear();
        if lost {
            self.transmit(id, side, Packet::Reset);
        } else if !pipe.finished[side as usize] {
            self.transmit(id, side, Packet::Fin);
        }
    }

    // ---- what must hold when all is calm ----

    /// Leaves the world alone, packets at once, the rest of the scripts as soon as can be, timers
    /// on time, and says what is wrong then.
    pub(super) fn settle(mut self, scenario: &Scenario) -> Option<String> {
        let end = self.now + CALM;
        self.breaks_left = 0;
        while self.fault.is_none() {
            let choices = self.choices(scenario);
            let arrival = choices.iter().find(|c| matches!(c, Choice::Arrive { .. }));
            let command = choices.iter().find(|c| matches!(c, Choice::Command { .. }));
            let next = arrival.or(command).copied();
            if next.is_none() && self.next_timer().is_none_or(|at| at > end) {
                break;
            }
            self.apply(scenario, next.unwrap_or(Choice::Timer));
        }
        self.fault.take().or_else(|| self.unrest(scenario))
    }

    /// What is not as it must be at the end.
    fn unrest(&self, scenario: &Scenario) -> Option<String> {
        let open: Vec<&Pipe> = self.pipes.iter().filter(|pipe| pipe.is_open()).collect();
        if !scenario.links.contains(&open.len()) {
            return Some(format!("{} connections stay; {:?} should", open.len(), scenario.links));
        }
        if let Some(pipe) = open.iter().find(|pipe| !self.carries(pipe)) {
            let [a, b] = pipe.hosts.map(name);
            return Some(format!("{a} and {b} do not keep the same connection"));
        }
        let got: usize = self.hosts.iter().map(|host| host.got.len()).sum();
        // More, if one that came later was told of what it missed.
        if scenario.lossless && got < self.owed {
            return Some(format!("{} broadcasts were queued, {got} delivered", self.owed));
        }
        let stuck = |host: &&Arc<Host>| host.node.is_stopping() && !host.node.is_stopped();
        self.hosts.iter().find(stuck).map(|host| format!("{} has not stopped", host.addr))
    }

    /// Whether both ends of a connection have each other as peers by it.
    fn carries(&self, pipe: &Pipe) -> bool {
        SIDES.iter().all(|side| {
            let host = &self.hosts[pipe.hosts[*side as usize]];
            let other = self.hosts[pipe.hosts[side.other() as usize]].node.id();
            let carrier = host.node.peer(&PeerId::Node(other)).map(|info| End::Open(info.conn));
            carrier == Some(pipe.ends[*side as usize])
        })
    }
}

/// `a` for the first host, and so on.
pub(super) fn name(host: HostId) -> char {
    char::from(b'a' + u8::try_from(host).unwrap_or_default().min(25))
}
