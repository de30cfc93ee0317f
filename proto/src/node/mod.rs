//! The node: every part together. Inputs come in, actions and events go out, nothing else happens.
//!
//! This file holds the whole machine on a few screens: the struct, the inputs, the outputs. What a
//! message does is in [`on`], what the application may ask in [`commands`] and [`queries`], what
//! time does in [`tend`], how connections end in [`part`].

mod book;
mod btpeer;
mod chat;
mod commands;
mod guests;
mod keyspace;
mod news;
mod on;
mod part;
mod queries;
mod relay;
mod requests;
mod seek;
mod tend;
mod topology;
mod trees;
mod verdicts;
mod walk;

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::net::SocketAddr;

use crate::action::Action;
use crate::book::{Answers, Book};
use crate::broadcast::Broadcasts;
use crate::broadcast::order::Order;
use crate::config::Config;
use crate::error::{CloseReason, Refused, TransportError, Violation};
use crate::event::Event;
use crate::events::Events;
use crate::group::canonical;
use crate::guests::Rates;
use crate::guests::btpeer::Btpeer;
use crate::guests::chat::{Chat, chat_id};
use crate::id::{ConnId, Identity, NodeId};
use crate::links::{Links, Taken};
use crate::message::Frame;
use crate::overlay::Overlay;
use crate::peers::{self, Peers};
use crate::queue::{Class, Outgoing};
use crate::requests::{Answering, Asked};
use crate::rng::Rng;
use crate::route::{Relayed, Router, Routes, Seeks, Walks};
use crate::seen::Recent;
use crate::session::opening::{Input, Opening};
use crate::session::{Call, Greeting, Phase, Reception, reception};
use crate::sorted::SortedSet;
use crate::stats::Stats;
use crate::time::{Instant, Start, UnixTime};
use crate::verdicts::Verdicts;
use crate::wire::native;
use crate::wire::own::OwnLine;
use crate::wire::received::Received;

pub use commands::Receipt;
pub use guests::GuestInfo;
pub use queries::PeerInfo;

use keyspace::IdLinks;
use news::News;
use part::Parting;
use verdicts::Waits;

/// A peer-to-peer node as a state machine.
///
/// **Inputs** (`accepted`, `connected`, `received`, `sent`, `closed`, `handle_timeout`,
/// `listening`, `wall_clock`) tell what the transport and the clock did. **Commands** (`dial`,
/// `send`, `broadcast`, …) tell what the application wants. **Outputs** (`poll_action`,
/// `poll_event`, `poll_timeout`, `outgoing`) tell what is to be done. All are total: no bytes,
/// times or stale ids make them panic.
///
/// There is no contract of use. Inputs may be batched before outputs are drained, outputs drained
/// in any order; draining late only delays. Ids of connections that are gone are ignored. Time that
/// runs backwards stands still.
///
/// ```
/// use peerline_proto::{Action, Config, Identity, Instant, Node, NodeId, Start, UnixTime};
///
/// let id = NodeId::from_random_bytes([1; 16]);
/// let start = Start::new(Instant::ZERO, UnixTime::from_millis(0));
/// let mut node = Node::new(Config::default(), Identity::new(id), [7; 32], start);
///
/// // A program would accept a socket; here the driver is this test.
/// let conn = node.accepted("192.0.2.1:40000".parse()?, Instant::ZERO)?;
/// node.received(conn, b"GET / HTTP/1.1\r\n", Instant::ZERO);
/// assert_eq!(node.poll_action(), Some(Action::Drop { conn }));
/// assert!(matches!(node.poll_event(), Some(peerline_proto::Event::ConnectionFailed { .. })));
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
#[derive(Debug)]
#[cfg_attr(feature = "testing", derive(Clone, Hash))]
pub struct Node {
    /// In a box, as it is large and a node may be moved.
    config: Box<Config>,
    id: NodeId,
    rng: Rng,
    start: Start,
    /// The latest time of any input.
    now: Instant,
    links: Links,
    peers: Peers,
    book: Book,
    /// What was told of it.
    answers: Answers,
    overlay: Overlay,
    broadcasts: Broadcasts,
    /// One-to-one messages delivered, so that a repeated one is not delivered again.
    direct_seen: Recent<(NodeId, Cow<'static, str>)>,
    /// Counts our one-to-one messages; with the first epoch it names them over restarts too.
    direct_count: u64,
    direct_epoch: u32,
    router: Router,
    routes: Routes,
    relayed: Relayed,
    seeks: Seeks,
    walks: Walks,
    id_links: IdLinks,
    /// Nodes beyond a neighbour whose queue was full when something was to go to them.
    beyond: SortedSet<(ConnId, NodeId)>,
    asked: Asked,
    answering: Answering,
    events: Events,
    stats: Stats,
    listening: Vec<SocketAddr>,
    /// When to think about dialling again; `None` until something changes.
    plan_at: Option<Instant>,
    /// Not before this.
    plan_after: Instant,
    /// When everything must be gone, once the node shuts down.
    stopping: Option<Instant>,
    /// Reused for the receivers of a broadcast; empty in between.
    receivers: Vec<ConnId>,
    /// Reused for what the trees order; empty in between.
    orders: Vec<Order>,
    /// Reused for broadcasts that came together; empty in between.
    news: Vec<News>,
    /// The line of our last broadcast, for the next one.
    line: OwnLine,
    btpeer: Btpeer,
    chat: Chat,
    rates: Rates,
    verdicts: Verdicts<Waits>,
    /// Counts the requests of guests, and ours to them.
    guest_count: u64,
}

impl Node {
    /// A node that knows nobody yet.
    ///
    /// `seed` is all its randomness: use 32 random bytes, or fixed ones for a run that can be
    /// repeated to the byte.
    pub fn new(config: Config, identity: Identity, seed: [u8; 32], start: Start) -> Self {
        let mut rng = Rng::new(seed);
        let (id, limits) = (identity.id(), config.limits());
        let broadcasts = Broadcasts::new(id, limits, &mut rng);
        Self {
            id,
            start,
            now: start.now,
            links: Links::new(limits),
            peers: Peers::new(id),
            book: Book::new(limits, config.private_exempt(), (rng.u64(), rng.u64())),
            answers: Answers::default(),
            overlay: Overlay::new(limits, start.now),
            direct_seen: Recent::new(limits.recent_ids),
            direct_count: 0,
            direct_epoch: broadcasts.epoch(),
            broadcasts,
            router: Router::default(),
            routes: Routes::new(limits),
            relayed: Relayed::new(limits),
            seeks: Seeks::new(limits),
            walks: Walks::new(limits),
            id_links: IdLinks::default(),
            beyond: SortedSet::new(),
            asked: Asked::new(limits),
            answering: Answering::new(limits),
            events: Events::new(limits.event_queue),
            stats: Stats::default(),
            listening: Vec::new(),
            plan_at: None,
            plan_after: start.now,
            stopping: None,
            receivers: Vec::new(),
            orders: Vec::new(),
            news: Vec::new(),
            line: OwnLine::default(),
            btpeer: Btpeer::new(limits),
            chat: Chat::new(&chat_id(config.chat_name(), id), (rng.u64(), rng.u64()), limits),
            rates: Rates::new(limits.guest_burst, limits.guest_every),
            verdicts: Verdicts::new(limits),
            guest_count: 0,
            rng,
            config: Box::new(config),
        }
    }

    // ---- inputs: what the transport tells ----

    /// A listener is bound to this address; say so once for each.
    pub fn listening(&mut self, addr: SocketAddr, now: Instant) {
        self.advance(now);
        self.listening.push(canonical(addr));
    }

    /// A socket was accepted.
    ///
    /// # Errors
    /// [`Refused`]: drop the socket; nothing was changed.
    pub fn accepted(&mut self, addr: SocketAddr, now: Instant) -> Result<ConnId, Refused> {
        self.advance(now);
        if self.stopping.is_some() {
            return Err(Refused::Stopping);
        }
        if self.events.is_over() {
            return Err(Refused::Busy {
                queued: self.events.charged(),
                limit: self.events.limit(),
            });
        }
        self.make_room_for_half_open();
        let greeting = self.greeting(Opening::ANY);
        self.stats.connections_opened += 1;
        let conn = self.links.open(canonical(addr), Phase::Greeting(greeting), self.now);
        #[cfg(peerline_planted)]
        if self.is_planted(crate::planted::Bug::TalksFirst) {
            let hello = self.hello(addr, None, false);
            self.control(conn, hello);
        }
        Ok(conn)
    }

    /// The socket of a connection is bound to this address: what a guest is told that we are at. To
    /// be said, if it is known, right after [`accepted`](Self::accepted) and before
    /// [`connected`](Self::connected); without it a guess must do.
    pub fn local_addr(&mut self, conn: ConnId, local: SocketAddr) {
        if let Some(link) = self.links.get_mut(conn) {
            link.local = Some(canonical(local));
        }
    }

    /// The good answer to [`Action::Connect`].
    pub fn connected(&mut self, conn: ConnId, now: Instant) {
        self.advance(now);
        let Some(link) = self.links.get(conn) else { return };
        let (Phase::Dialing { call, .. }, addr) = (&link.phase, link.addr) else { return };
        let nonce = match call {
            Call::Native { nonce } => *nonce,
            Call::Btpeer(_) | Call::Chat { .. } => {
                return self.on_guest_connected(conn, call.clone());
            }
        };
        let greeting = self.greeting(Opening::Native);
        if let Some(link) = self.links.get_mut(conn) {
            link.phase = Phase::Greeting(greeting);
        }
        let hello = self.hello(addr, Some(nonce), self.id_links.is_ours(conn));
        self.control(conn, hello);
        self.links.reschedule(conn, self.now);
    }

    /// Bytes arrived, in any portions.
    pub fn received(&mut self, conn: ConnId, bytes: &[u8], now: Instant) {
        self.advance(now);
        let Some(link) = self.links.get_mut(conn) else { return };
        if link.heard(bytes.len(), self.now) {
            self.broadcasts.trees.suspect(conn, false);
        }
        self.stats.bytes_in += bytes.len() as u64;
        #[cfg(peerline_planted)]
        if self.is_planted(crate::planted::Bug::CountsPieces) {
            self.stats.unknown_fields += 1;
        }
        let mut rest = bytes;
        let mut most = news::FEW;
        loop {
            self.hear_news(conn, &mut rest, &mut most);
            let Some(input) = self.next_input(conn, &mut rest) else { break };
            match input {
                Input::Line(line) => self.on_line(conn, &line),
                Input::Object(object) => self.on_object(conn, &object),
                Input::Frame(frame) => self.on_frame(conn, frame),
            }
        }
        self.hold_for_guest(conn, 0);
    }

    /// The socket took `count` of the bytes that [`outgoing`](Self::outgoing) showed.
    pub fn sent(&mut self, conn: ConnId, count: usize, now: Instant) {
        self.advance(now);
        self.links.sent(conn, count, &mut self.stats, self.now);
        #[cfg(peerline_planted)]
        if self.is_planted(crate::planted::Bug::NotCounted) {
            self.stats.bytes_out = self.stats.bytes_out.saturating_sub(1);
        }
        self.tell_room();
    }

    /// The dial failed, the connection broke, or, with [`TransportError::Eof`], the other side
    /// ended its half. Answered by the connection's one [`Action::Drop`], after an end of stream
    /// perhaps not at once.
    pub fn closed(&mut self, conn: ConnId, why: TransportError, now: Instant) {
        self.advance(now);
        let Some(link) = self.links.get(conn) else { return };
        match link.phase {
            Phase::Closing(_) if why == TransportError::Eof => self.links.ended(conn),
            Phase::Closing(_) => self.let_go(conn),
            Phase::Ready(ref ready) if why == TransportError::Eof && ready.superseded.is_some() => {
                self.on_superseded_end(conn);
            }
            Phase::Guest(_) => self.on_guest_closed(conn, why),
            Phase::Dialing { .. } | Phase::Greeting(_) | Phase::Ready(_) => {
                self.end(conn, CloseReason::Transport(why), Parting::Drop);
            }
        }
    }

    /// Time passed: does what is due. Early, late and repeated calls do no harm.
    pub fn handle_timeout(&mut self, now: Instant) {
        let due = self.poll_timeout();
        self.advance(now);
        self.tend(due);
    }

    /// The wall clock jumped: it says `unix` now.
    pub fn wall_clock(&mut self, unix: UnixTime, now: Instant) {
        self.advance(now);
        self.start = Start::new(self.now, unix);
    }

    // ---- outputs: in any order, at any time ----

    /// The next order to the driver. Drain after every input and command.
    #[must_use]
    pub fn poll_action(&mut self) -> Option<Action> {
        self.links.poll_action()
    }

    /// The next event for the application. Take as many as it has room for: what is left makes the
    /// node read its senders more slowly.
    #[must_use]
    pub fn poll_event(&mut self) -> Option<Event> {
        let event = self.events.pop()?;
        if self.events.has_room() {
            self.links.resume_all(self.now);
        }
        Some(event)
    }

    /// When to call [`handle_timeout`](Self::handle_timeout) next; it may be in the past.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let running = self.stopping.is_none();
        Instant::first_of([
            self.links.next_deadline(),
            self.peers.next_deadline(),
            self.plan_at,
            self.asked.next_deadline(),
            self.answering.next_deadline(),
            self.seeks.next_deadline(),
            self.verdicts.next_deadline(),
            self.walks.next_deadline(),
            self.broadcasts.trees.next_deadline().filter(|_| running),
            self.overlay.next_deadline().filter(|_| running),
            self.stopping.filter(|_| !self.links.is_empty()),
        ])
    }

    /// The bytes waiting for a connection; none for one that is gone.
    pub fn outgoing(&self, conn: ConnId) -> Outgoing<'_> {
        self.links.outgoing(conn)
    }

    // ---- what the inputs share ----

    /// Time never runs backwards here. What queues lost since is told: a queue that lost something
    /// is full, so an input comes when its socket takes bytes, if none comes sooner.
    fn advance(&mut self, now: Instant) {
        #[cfg(peerline_planted)]
        if self.is_planted(crate::planted::Bug::BackwardTime) {
            let _passed = now.as_nanos() - self.now.as_nanos();
        }
        self.now = self.now.max(now);
        self.announce_dropped();
    }

    fn greeting(&self, opening: Opening) -> Greeting {
        let until = self.now + self.config.limits().handshake_timeout;
        Greeting { until, since: self.now, bytes: 0, opening }
    }

    fn next_input<'i>(&mut self, conn: ConnId, rest: &mut &'i [u8]) -> Option<Input<'i>> {
        let limits = self.config.limits();
        let (max_line, max_frame) = (limits.max_line, limits.max_frame);
        let taken = Taken { max_line, max_frame, spoken: self.config.dialects() };
        match self.links.get_mut(conn)?.next(rest, &taken) {
            Ok(input) => input,
            Err(violation) => {
                self.violation(conn, violation);
                None
            }
        }
    }

    fn on_line(&mut self, conn: ConnId, line: &[u8]) {
        let line = match Received::new(line) {
            Ok(line) if line.text.is_empty() => return,
            Ok(line) => line,
            Err(violation) => return self.violation(conn, violation),
        };
        let decoded = match native::decode(line.text) {
            Ok(decoded) => decoded,
            Err(violation) => return self.violation(conn, violation),
        };
        self.stats.lines_in += 1;
        self.stats.unknown_fields += u64::from(decoded.unknown_fields);
        let Some(link) = self.links.get(conn) else { return };
        match reception(link.phase.name(), decoded.msg.kind()) {
            Reception::Handle => self.on_message(conn, decoded.msg, line),
            Reception::Unknown => self.stats.unknown_types += 1,
            Reception::Discard => {}
            Reception::NotHello => self.violation(conn, Violation::NotHello),
            Reception::SecondHello => self.violation(conn, Violation::SecondHello),
        }
    }

    /// Whether this bug is planted.
    #[cfg(peerline_planted)]
    fn is_planted(&self, bug: crate::planted::Bug) -> bool {
        self.config.limits().planted == Some(bug)
    }

    fn emit(&mut self, event: Event) {
        self.events.push(event, self.config.private_exempt());
    }

    /// Queues a control line; one that does not fit is dropped and counted.
    fn control(&mut self, conn: ConnId, frame: Frame) {
        if self.links.enqueue(conn, frame, Class::Control, &mut self.stats, self.now).is_err() {
            self.stats.skipped += 1;
        }
    }

    fn plan_soon(&mut self) {
        if self.stopping.is_some() {
            return;
        }
        let soon = self.now.max(self.plan_after);
        self.plan_at = Some(self.plan_at.map_or(soon, |at| at.min(soon)));
    }

    fn waits(&self) -> peers::Waits {
        let limits = self.config.limits();
        peers::Waits {
            fresh: limits.duplicate_fresh,
            theirs: limits.duplicate_wait,
            #[cfg(peerline_planted)]
            mutual_kill: self.is_planted(crate::planted::Bug::MutualKill),
        }
    }
}

#[cfg(test)]
mod tests;
