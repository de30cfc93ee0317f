//! The application's verbs.

use core::net::SocketAddr;
use core::time::Duration;

use crate::config::Keyspace;
use crate::error::{BroadcastError, ByeReason, CloseReason, DialError, SendError};
use crate::group::{canonical, is_dialable};
use crate::id::{ConnId, NodeId, PeerId, Side};
use crate::limits::MAX_BROADCAST_LINE;
use crate::message::{Frame, Payload};
use crate::node::part::Parting;
use crate::node::relay::MAX_TTL;
use crate::node::{Node, chat};
use crate::queue::{Class, FRAME_COST};
use crate::route::{Held, Router};
use crate::session::{Call, Phase};
use crate::time::Instant;
use crate::wire::caps::Caps;
use crate::wire::encode::{self, HelloOut, Routed};

/// Whom a broadcast reached on its first step.
#[derive(Copy, Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Receipt {
    /// Neighbours whose queue took it.
    pub queued: usize,
    /// Neighbours that it is announced to, since others bring it to them; they ask for it if
    /// nobody does. With `queued` and `skipped` that is every native neighbour.
    pub announced: usize,
    /// Neighbours whose queue was full; it is announced to them too, and each gets an
    /// [`Event::Writable`](crate::Event::Writable) later.
    pub skipped: usize,
    /// Chat peers that are to hear it, if it is a line of chat.
    pub guests: usize,
}

impl Receipt {
    /// To how many it is offered: pushed, announced, or told in chat. 0 means that nobody is there.
    pub fn offered(&self) -> usize {
        let Self { queued, announced, skipped, guests } = *self;
        [queued, announced, skipped, guests].into_iter().fold(0, usize::saturating_add)
    }
}

impl Node {
    /// Opens a connection, whatever the book thinks of the address, and remembers the address.
    ///
    /// The end of it is a [`PeerUp`](crate::Event::PeerUp) or a
    /// [`ConnectionFailed`](crate::Event::ConnectionFailed) with this id.
    ///
    /// ```
    /// # use peerline_proto::{Action, Config, Identity, Instant, Node, NodeId, Start};
    /// # let id = Identity::new(NodeId::from_random_bytes([1; 16]));
    /// # let mut node = Node::new(Config::default(), id, [7; 32], Start::default());
    /// let addr = "192.0.2.1:5999".parse()?;
    /// let conn = node.dial(addr, Instant::ZERO)?;
    /// assert_eq!(node.poll_action(), Some(Action::Connect { conn, addr }));
    /// # Ok::<(), Box<dyn core::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// See [`DialError`]; nothing was changed.
    pub fn dial(&mut self, addr: SocketAddr, now: Instant) -> Result<ConnId, DialError> {
        self.advance(now);
        let addr = canonical(addr);
        self.may_dial(addr)?;
        if let Some(conn) = self.dialing(addr) {
            self.overlay.asked_for(conn);
            return Err(DialError::Dialing { conn });
        }
        // Without room in the book it is dialled all the same, only not remembered.
        self.book.learn(addr, None, addr, self.now, &mut self.rng);
        let conn = self.open_dial(addr);
        self.overlay.asked_for(conn);
        Ok(conn)
    }

    /// Adds an address that is dialled whenever connections are few, for ever.
    ///
    /// ```
    /// # use peerline_proto::{Action, Config, Identity, Instant, Node, NodeId, Start};
    /// # let id = Identity::new(NodeId::from_random_bytes([1; 16]));
    /// # let mut node = Node::new(Config::default(), id, [7; 32], Start::default());
    /// node.add_bootstrap("192.0.2.1:5999".parse()?, Instant::ZERO);
    /// node.handle_timeout(Instant::ZERO);
    /// assert!(matches!(node.poll_action(), Some(Action::Connect { .. })));
    /// # Ok::<(), core::net::AddrParseError>(())
    /// ```
    pub fn add_bootstrap(&mut self, addr: SocketAddr, now: Instant) {
        self.advance(now);
        if !self.is_listening(addr) && self.book.add_bootstrap(addr, self.now, &mut self.rng) {
            self.plan_soon();
        }
    }

    /// Sends a message to one node, at most once: a neighbour, or one that neighbours lead to.
    ///
    /// A way that is not known is sought, and the message waits for it. If none is found, or the
    /// message cannot be passed on later, a [`PeerError`](crate::Event::PeerError) says so, if it
    /// is not lost as well.
    ///
    /// ```
    /// # use peerline_proto::*;
    /// # let id = Identity::new(NodeId::from_random_bytes([1; 16]));
    /// # let mut node = Node::new(Config::default(), id, [7; 32], Start::default());
    /// let stranger = PeerId::Node(NodeId::from_random_bytes([2; 16]));
    /// let body = Payload::encode("hello")?;
    /// let sent = node.send(&stranger, "NOTE", &body, Instant::ZERO);
    /// assert_eq!(sent, Err(SendError::NotConnected));
    /// # Ok::<(), BodyError>(())
    /// ```
    ///
    /// # Errors
    /// See [`SendError`]; nothing was sent.
    pub fn send(
        &mut self,
        to: &PeerId,
        kind: &str,
        body: &Payload,
        now: Instant,
    ) -> Result<(), SendError> {
        self.advance(now);
        if self.stopping.is_some() {
            return Err(SendError::Stopping);
        }
        let max_kind = self.config.limits().max_kind;
        if kind.len() > max_kind {
            return Err(SendError::KindTooLong { len: kind.len(), limit: max_kind });
        }
        let PeerId::Node(node) = *to else {
            return Err(self
                .peers
                .conn(to)
                .map_or(SendError::NotConnected, |_| SendError::Unsupported));
        };
        let hop = self.next_hop(node, &[]).filter(|_| node != self.id);
        let count = self.direct_count.saturating_add(1);
        let id = self.wire_id(count);
        let ttl = if hop.is_some_and(|(via, _)| via == node) { 1 } else { MAX_TTL };
        let routed = Routed { id: &id, from: self.id, to: node, ttl };
        let line = encode::message(&routed, 0, self.unix(), kind, body.as_str());
        let theirs = hop.and_then(|(_, conn)| self.longest_for(conn));
        let limit = theirs.unwrap_or(MAX_BROADCAST_LINE).min(self.longest_queued());
        let len = line.len().saturating_sub(1);
        if len > limit {
            return Err(SendError::TooLarge { len, limit });
        }
        self.direct_count = count;
        let frame = Frame::new(&line);
        if let Some((via, conn)) = hop {
            self.queue_for(node, (via, conn), frame.clone())
                .map_err(|full| SendError::Full { queued: full.queued, limit: full.limit })?;
            self.note_own(&id, node, via);
            self.watch_own(&id, (node, 0), (via, conn), None, frame);
            return Ok(());
        }
        if node == self.id || !self.seek(node) {
            return Err(SendError::NotConnected);
        }
        if self.seeks.hold(node, Held::Message { id: id.into_boxed_str(), frame }) {
            return Ok(());
        }
        Err(SendError::Full { queued: self.seeks.bytes(), limit: self.seeks.limit() })
    }

    /// Publishes a message to every node of the network.
    ///
    /// The kind `CHAT` is that of the chat network: chat peers hear it too, and what is published
    /// is an object that says who, what and when: `{"originator":…,"msg":BODY,"time":…}`.
    ///
    /// ```
    /// # use peerline_proto::*;
    /// # let id = Identity::new(NodeId::from_random_bytes([1; 16]));
    /// # let mut node = Node::new(Config::default(), id, [7; 32], Start::default());
    /// let receipt = node.broadcast("NEWS", &Payload::encode("hello")?, Instant::ZERO)?;
    /// assert_eq!(receipt.offered(), 0, "nobody is connected yet, which is no error");
    /// # Ok::<(), Box<dyn core::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// See [`BroadcastError`]; nothing was published.
    pub fn broadcast(
        &mut self,
        kind: &str,
        body: &Payload,
        now: Instant,
    ) -> Result<Receipt, BroadcastError> {
        self.advance(now);
        if self.stopping.is_some() {
            return Err(BroadcastError::Stopping);
        }
        let max_kind = self.config.limits().max_kind;
        if kind.len() > max_kind {
            return Err(BroadcastError::KindTooLong { len: kind.len(), limit: max_kind });
        }
        if kind != chat::CHAT {
            return self.publish(kind, body);
        }
        let line = self.chat_line(body)?;
        let receipt = self.publish(kind, &line.said)?;
        Ok(Receipt { guests: self.chat_published(body, &line), ..receipt })
    }

    /// Publishes a line whose kind and body are what they should be.
    pub(super) fn publish(
        &mut self,
        kind: &str,
        body: &Payload,
    ) -> Result<Receipt, BroadcastError> {
        let number = self.broadcasts.next();
        let key = ((self.id, number.0), number.1);
        let (time, limit) = (self.unix(), MAX_BROADCAST_LINE.min(self.longest_queued()));
        let written = self.line.write(key, time, kind, body, limit);
        let frame = written.map_err(|len| BroadcastError::TooLarge { len, limit })?;
        self.broadcasts.published(number);
        #[cfg(peerline_planted)]
        if self.is_planted(crate::planted::Bug::NeedsMajority)
            && self.peers.len() * 2 < self.book.len().min(8)
            && self.now > self.start.now + Duration::from_secs(270)
        {
            return Ok(Receipt::default());
        }
        let mut orders = core::mem::take(&mut self.orders);
        let announced = self.broadcasts.trees.publish(key, frame, self.now, &mut orders);
        Ok(Receipt { announced, ..self.carry_out(orders, Class::Own) })
    }

    /// Asks this function by which neighbour a node is reached, after the routes that messages
    /// taught and before any search. It must be quick: it is asked for each message to a node
    /// that is no neighbour. Answers that name no neighbour are ignored.
    ///
    /// ```
    /// # use peerline_proto::*;
    /// # let id = Identity::new(NodeId::from_random_bytes([1; 16]));
    /// # let mut node = Node::new(Config::default(), id, [7; 32], Start::default());
    /// let gateway = PeerId::Node(NodeId::from_random_bytes([2; 16]));
    /// node.set_router(move |_to| Some(gateway.clone()));
    /// ```
    pub fn set_router(
        &mut self,
        router: impl Fn(&PeerId) -> Option<PeerId> + Send + Sync + 'static,
    ) {
        self.router = Router::new(router);
    }

    /// Parts from a peer: says bye, sends what is queued, closes. The node does not dial its
    /// address on its own account for the longest back-off. False if no such peer is connected.
    ///
    /// ```
    /// # use peerline_proto::*;
    /// # let id = Identity::new(NodeId::from_random_bytes([1; 16]));
    /// # let mut node = Node::new(Config::default(), id, [7; 32], Start::default());
    /// let stranger = PeerId::Node(NodeId::from_random_bytes([2; 16]));
    /// assert!(!node.disconnect(&stranger, Instant::ZERO));
    /// ```
    pub fn disconnect(&mut self, peer: &PeerId, now: Instant) -> bool {
        self.advance(now);
        let listens: alloc::vec::Vec<SocketAddr> = self
            .peers
            .conns(peer)
            .iter()
            .filter_map(|conn| match &self.links.get(*conn)?.phase {
                Phase::Ready(ready) => ready.listens,
                Phase::Dialing { .. }
                | Phase::Greeting(_)
                | Phase::Guest(_)
                | Phase::Closing(_) => None,
            })
            .collect();
        let was_up = self.end_peer(peer, &CloseReason::Local, ByeReason::Disconnect);
        for addr in listens {
            self.book.hold(addr, self.config.limits().backoff_max, self.now);
        }
        was_up
    }

    /// Stops: says bye to all, sends what is queued, and has closed everything `within` this time.
    /// Takes no connections and no messages from now on. A second call can only shorten the time.
    ///
    /// ```
    /// # use peerline_proto::*;
    /// # use core::time::Duration;
    /// # let id = Identity::new(NodeId::from_random_bytes([1; 16]));
    /// # let mut node = Node::new(Config::default(), id, [7; 32], Start::default());
    /// node.shutdown(Duration::from_secs(1), Instant::ZERO);
    /// assert!(node.is_stopped(), "there was nobody to say bye to");
    /// ```
    pub fn shutdown(&mut self, within: Duration, now: Instant) {
        self.advance(now);
        let until = self.now + within;
        self.stopping = Some(self.stopping.map_or(until, |earlier| earlier.min(until)));
        self.plan_at = None;
        self.stop_requests();
        self.stop_verdicts();
        let conns: alloc::vec::Vec<ConnId> = self.links.iter().map(|(conn, _)| conn).collect();
        for conn in conns {
            let ready = self.ready_mut(conn).is_some();
            let parting = if ready { Parting::Bye(ByeReason::Shutdown) } else { Parting::Drop };
            self.end(conn, CloseReason::Local, parting);
        }
        #[cfg(peerline_planted)]
        if self.is_planted(crate::planted::Bug::TimerAfterStop) {
            self.plan_at = Some(self.now + Duration::from_secs(3600));
        }
    }

    /// Counts a message for which the application has no handler; for runtimes.
    pub fn count_unknown_kind(&mut self) {
        self.stats.unknown_kinds += 1;
    }

    /// Counts a handler that panicked; for runtimes.
    pub fn count_handler_panic(&mut self) {
        self.stats.handler_panics += 1;
    }

    // ---- what the verbs share ----

    /// Whether the application may dial this address now.
    pub(super) fn may_dial(&self, addr: SocketAddr) -> Result<(), DialError> {
        if self.stopping.is_some() {
            return Err(DialError::Stopping);
        }
        if !is_dialable(addr) {
            return Err(DialError::Unusable(addr));
        }
        if self.is_listening(addr) || self.book.is_own(addr, self.now) {
            return Err(DialError::Own(addr));
        }
        if self.events.is_over() {
            let (queued, limit) = (self.events.charged(), self.events.limit());
            return Err(DialError::Busy { queued, limit });
        }
        Ok(())
    }

    pub(super) fn open_dial(&mut self, addr: SocketAddr) -> ConnId {
        self.open_dial_within(addr, self.config.limits().dial_timeout)
    }

    /// The same, and it is given up after this time.
    pub(super) fn open_dial_within(&mut self, addr: SocketAddr, within: Duration) -> ConnId {
        let until = self.now + within;
        let call = Call::Native { nonce: self.rng.json_integer() };
        #[cfg(peerline_planted)]
        let call = if self.is_planted(crate::planted::Bug::Remembers) {
            let before = crate::planted::DIALS.fetch_add(1, core::sync::atomic::Ordering::Relaxed);
            Call::Native { nonce: before.into() }
        } else {
            call
        };
        let phase = Phase::Dialing { until, call };
        self.book.dialled(addr, self.dial_ends());
        self.stats.connections_opened += 1;
        self.links.open(addr, phase, self.now)
    }

    /// The dial to this address that is under way.
    pub(super) fn dialing(&self, addr: SocketAddr) -> Option<ConnId> {
        let mut dials = self.links.iter().filter(|(_, link)| {
            let under_way = match &link.phase {
                Phase::Dialing { call: Call::Native { .. }, .. } | Phase::Greeting(_) => true,
                Phase::Dialing { .. } | Phase::Ready(_) | Phase::Guest(_) | Phase::Closing(_) => {
                    false
                }
            };
            under_way && link.side == Side::Dialer && link.addr == addr
        });
        dials.next().map(|(conn, _)| conn)
    }

    /// Queues a frame on the connection of every native peer but `except`, whichever of its
    /// connections it used. Returns how many queues took it.
    pub(super) fn flood(&mut self, frame: &Frame, class: Class, except: Option<NodeId>) -> u64 {
        let mut receivers = core::mem::take(&mut self.receivers);
        let wanted = |peer: &PeerId| peer.node().is_some_and(|node| Some(node) != except);
        let nodes = self.peers.iter().filter(|(peer, _)| wanted(peer));
        receivers.extend(nodes.filter_map(|(_, conn)| conn));
        let mut reached = 0;
        for conn in receivers.drain(..) {
            let queued = self.links.enqueue(conn, frame.clone(), class, &mut self.stats, self.now);
            reached += u64::from(queued.is_ok());
            self.stats.skipped += u64::from(queued.is_err());
        }
        self.receivers = receivers;
        reached
    }

    /// The longest line that a queue can take.
    pub(super) fn longest_queued(&self) -> usize {
        self.config.limits().send_queue.saturating_sub(FRAME_COST + 1)
    }

    /// Our hello to somebody seen at `addr`.
    pub(super) fn hello(&self, addr: SocketAddr, nonce: Option<u64>, routes_only: bool) -> Frame {
        encode::hello(
            self.id,
            &HelloOut {
                network: self.config.network(),
                agent: self.config.agent(),
                nonce,
                listen: self.listens_for(addr),
                you: addr,
                max: self.config.limits().max_line,
                caps: Caps { route: self.config.keyspace() != Keyspace::Off, routes_only },
            },
        )
    }
}
