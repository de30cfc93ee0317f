//! What each message does: one `on_*` per message, and what the peers' comings set off.

use alloc::borrow::Cow;
use alloc::boxed::Box;
use core::net::SocketAddr;
use core::ops::Range;
use core::time::Duration;

use crate::broadcast::{self, Key};
use crate::budget::Budget;
use crate::config::{DEFAULT_NETWORK, Listen};
use crate::error::{ByeReason, CloseReason, Violation};
use crate::event::Event;
use crate::id::{ConnId, NodeId, PeerId, Side};
use crate::limits::{MAX_BROADCAST_LINE, MAX_GUEST_NAME};
use crate::message::{Delivery, Kind, Message, place};
use crate::node::part::Parting;
use crate::node::{Node, chat};
use crate::peers::{Arrival, Verdict};
use crate::queue::{CONTROL_BURST, Class};
use crate::session::keepalive::KeepAlive;
use crate::session::{News, Phase, Ready, Superseded};
use crate::time::UnixTime;
use crate::wire::json::Span;
use crate::wire::lists::told;
use crate::wire::msg::{Addr, Broadcast, Bye, Hello, Msg};
use crate::wire::received::Received;
use crate::wire::{MIN_VERSION, VERSION, encode};

/// How much of a peer's words an error event repeats, bytes.
const MAX_ERROR_TEXT: usize = 64;
/// Addresses taken from one line: what an answer may hold. More are ignored.
const MAX_TOLD: usize = 256;

impl Node {
    /// The dispatch: one line each.
    pub(super) fn on_message(&mut self, conn: ConnId, msg: Msg<'_>, line: Received<'_>) {
        match msg {
            Msg::Hello(hello) => self.on_hello(conn, &hello),
            Msg::Ping { nonce } => self.on_ping(conn, nonce),
            Msg::Pong { nonce } => self.on_pong(conn, nonce),
            Msg::Bye(bye) => self.on_bye(conn, &bye),
            Msg::Getaddr { max } => self.on_getaddr(conn, max),
            Msg::Addr(addr) => self.on_addr(conn, &addr),
            Msg::Broadcast(broadcast) => self.on_broadcast(conn, &broadcast, line),
            Msg::Ihave { have } => self.on_ihave(conn, have),
            Msg::Graft { stream, want } => self.on_graft(conn, stream.as_ref(), want),
            Msg::Prune { stream } => self.on_prune(conn, stream.as_ref()),
            Msg::Message(direct) => self.on_direct(conn, &direct, line),
            Msg::Request(request) => self.on_request(conn, &request, line),
            Msg::Reply(reply) => self.on_reply(conn, &reply, line),
            Msg::Nak(nak) => self.on_nak(conn, &nak, line),
            Msg::Find(find) => self.on_find(conn, &find, line),
            Msg::Found(found) => self.on_found(conn, &found, line),
            Msg::Error(error) => self.on_error(conn, &error, line),
            // Counted where its phase was looked at.
            Msg::Unknown => {}
        }
    }

    // ---- hello ----

    fn on_hello(&mut self, conn: ConnId, hello: &Hello<'_>) {
        let Some(side) = self.links.get(conn).map(|link| link.side) else { return };
        let dialled = hello.nonce.and_then(|nonce| self.links.dialled_with(nonce));
        if let (Side::Listener, Some(dialled)) = (side, dialled) {
            return self.on_self_connection(conn, dialled);
        }
        match self.identify(hello).and_then(|peer| self.admit(conn, peer, hello)) {
            Ok((peer, version)) => self.welcome(conn, peer, version, hello),
            Err(reason) => self.turn_away(conn, reason, hello.version),
        }
    }

    /// Our own hello came back: both ends are ours, and so is the address.
    fn on_self_connection(&mut self, accepted: ConnId, dialled: ConnId) {
        if let Some(addr) = self.links.get(dialled).map(|link| link.addr) {
            self.book.mark_own(addr, self.now);
        }
        self.end(accepted, CloseReason::SelfConnection, Parting::Drop);
        self.end(dialled, CloseReason::SelfConnection, Parting::Drop);
    }

    /// Who says hello: a node by its id, one of version 0 by whatever it calls itself.
    fn identify(&self, hello: &Hello<'_>) -> Result<PeerId, CloseReason> {
        let malformed = |what| CloseReason::Violation(Violation::Malformed { at: 0, what });
        let own = hello.nodeid.parse::<NodeId>() == Ok(self.id);
        if own {
            return Err(CloseReason::SameId);
        }
        if hello.version == 0 {
            if hello.nodeid.len() > MAX_GUEST_NAME {
                return Err(malformed("nodeid of more than 64 bytes"));
            }
            return Ok(PeerId::Guest(hello.nodeid.as_ref().into()));
        }
        let id = hello.nodeid.parse().map_err(|_| malformed("nodeid is not a UUID"))?;
        Ok(PeerId::Node(id))
    }

    /// Whether there is a common version, a common network, and room.
    fn admit(
        &mut self,
        conn: ConnId,
        peer: PeerId,
        hello: &Hello<'_>,
    ) -> Result<(PeerId, u64), CloseReason> {
        let version = hello.version.min(VERSION);
        if version < hello.min_version {
            return Err(CloseReason::Version {
                theirs: hello.version,
                theirs_min: hello.min_version,
                ours: VERSION,
                ours_min: MIN_VERSION,
            });
        }
        if hello.network.as_deref().unwrap_or(DEFAULT_NETWORK) != self.config.network() {
            return Err(CloseReason::Network);
        }
        match self.peers.conn(&peer) {
            None => self.has_room(conn)?,
            Some(_) => self.has_room_beside(conn, &peer)?,
        }
        Ok((peer, version))
    }

    /// Whether there is room for the peer of a connection, if need be in place of another that
    /// dialled us. Nobody makes room for one that broke the protocol of late.
    fn has_room(&mut self, conn: ConnId) -> Result<(), CloseReason> {
        let (max_peers, limit) = (self.config.max_peers(), self.config.limits().max_inbound);
        if max_peers != 0 && self.peers.len() >= max_peers {
            return Err(CloseReason::Full { peers: self.peers.len(), limit: max_peers });
        }
        let inbound = self.links.get(conn).filter(|link| link.side == Side::Listener);
        let Some(ip) = inbound.map(|link| link.addr.ip()) else { return Ok(()) };
        let full = |peers: usize| Err(CloseReason::Full { peers, limit });
        let unwanted = self.is_discouraged(ip);
        if self.peers.len() < limit && !unwanted {
            return Ok(()); // inbound ones are counted one by one: only when it may matter
        }
        let peers = self.inbound_peers();
        if unwanted && peers > limit / 2 {
            return full(peers);
        }
        if peers >= limit {
            self.make_room_for_inbound(limit);
        }
        let peers = self.inbound_peers();
        if peers >= limit { full(peers) } else { Ok(()) }
    }

    /// Whether there is room for one more connection of a peer. The first that it dialled itself
    /// takes a place of those who dial us, or whoever we dial could dial back past the limit.
    /// Nobody gives way to it: the peer is there.
    fn has_room_beside(&self, conn: ConnId, peer: &PeerId) -> Result<(), CloseReason> {
        let limit = self.config.limits().max_inbound;
        let counted = |conn| self.is_accepted(conn) && !self.has_dialled_us(peer);
        if self.peers.len() < limit || !counted(conn) {
            return Ok(());
        }
        let peers = self.inbound_peers();
        if peers < limit { Ok(()) } else { Err(CloseReason::Full { peers, limit }) }
    }

    /// Ends a connection whose hello we cannot take; a node of version 1 is told why.
    fn turn_away(&mut self, conn: ConnId, reason: CloseReason, version: u64) {
        let bye = match &reason {
            CloseReason::Violation(violation) => return self.violation(conn, *violation),
            CloseReason::Full { .. } => ByeReason::Full,
            CloseReason::Network => ByeReason::Network,
            CloseReason::Version { .. } => ByeReason::Version,
            CloseReason::SameId
            | CloseReason::Local
            | CloseReason::Goodbye(_)
            | CloseReason::Duplicate
            | CloseReason::SelfConnection
            | CloseReason::Crowded { .. }
            | CloseReason::Transport(_)
            | CloseReason::DialTimeout
            | CloseReason::HandshakeTimeout
            | CloseReason::KeepAliveTimeout
            | CloseReason::WriteStall => return self.end(conn, reason, Parting::Drop),
        };
        let parting = if version == 0 { Parting::Silent } else { Parting::Bye(bye) };
        self.end(conn, reason, parting);
    }

    /// The hello is good: the connection has a peer.
    fn welcome(&mut self, conn: ConnId, peer: PeerId, version: u64, hello: &Hello<'_>) {
        let Some(link) = self.links.get(conn) else { return };
        let (side, addr) = (link.side, link.addr);
        let (listens, elsewhere) = match side {
            Side::Dialer => (Some(addr), None),
            Side::Listener => where_it_listens(addr, hello.listen),
        };
        let mut ready = self.ready(peer.clone(), version, hello, listens);
        (ready.by_keyspace, ready.routes_only) = self.agreed(conn, side, hello.caps);
        if let Some(link) = self.links.get_mut(conn) {
            link.phase = Phase::Ready(ready);
        }
        self.links.greeted(conn);
        if side == Side::Listener {
            let hello = if version == 0 {
                encode::hello_v0(self.id)
            } else {
                self.hello(addr, None, false)
            };
            self.control(conn, hello);
        }
        self.note_address(side, addr, &peer, listens.or(elsewhere));
        if self.is_felt(conn, &peer) {
            return;
        }
        let most = match &peer {
            PeerId::Node(_) => self.config.limits().rivals,
            PeerId::Guest(_) => self.config.limits().guest_connections,
        };
        match self.peers.arrive(&peer, conn, most, self.now, self.waits()) {
            Arrival::First => self.on_peer_up(conn, peer, addr, side, version),
            Arrival::Another => self.introduce(conn, version),
            Arrival::Rival => self.decide(&peer),
            Arrival::TooMany => {
                self.end(conn, CloseReason::Duplicate, Parting::Bye(ByeReason::Duplicate))
            }
        }
        self.links.reschedule(conn, self.now);
    }

    fn ready(
        &self,
        peer: PeerId,
        version: u64,
        hello: &Hello<'_>,
        listens: Option<SocketAddr>,
    ) -> Ready {
        let limits = self.config.limits();
        let offered = hello.max.map_or(0, |max| usize::try_from(max).unwrap_or(usize::MAX));
        Ready {
            peer,
            version,
            alive: KeepAlive::new(self.now),
            max_line: offered.clamp(MAX_BROADCAST_LINE, crate::limits::MAX_LINE),
            listens,
            getaddr_answered: None,
            budget: Budget::new(limits.addr_burst, limits.addr_every, self.now),
            rejected: 0,
            since: self.now,
            sees: hello.you.map(|addr| addr.ip().to_canonical()),
            news: News::default(),
            by_keyspace: false,
            routes_only: false,
            superseded: None,
        }
    }

    /// What the hello teaches about addresses.
    fn note_address(
        &mut self,
        side: Side,
        addr: SocketAddr,
        peer: &PeerId,
        listens: Option<SocketAddr>,
    ) {
        match (side, listens) {
            (Side::Dialer, _) => self.book.reached(addr, peer, self.now, &mut self.rng),
            (Side::Listener, Some(listens)) => self.learn(listens, Some(peer.clone()), addr),
            (Side::Listener, None) => {}
        }
    }

    fn on_peer_up(
        &mut self,
        conn: ConnId,
        peer: PeerId,
        addr: SocketAddr,
        side: Side,
        version: u64,
    ) {
        let node = peer.node();
        self.emit(Event::PeerUp { peer: peer.clone(), conn, addr, side });
        self.introduce(conn, version);
        self.update_trees(&peer, None);
        self.arrived(conn);
        if let Some(node) = node {
            self.found_way(node);
        }
        self.plan_soon();
    }

    /// The first lines after the hellos: a version 0 node expects them, others are asked for
    /// addresses.
    fn introduce(&mut self, conn: ConnId, version: u64) {
        if version == 0 {
            self.ping(conn);
            let known = self.addresses_for(conn, None);
            self.control(conn, encode::addr(&known, false));
        }
        self.ask_addresses(conn);
    }

    /// Asks a native peer for addresses, which then do not count as unasked.
    pub(super) fn ask_addresses(&mut self, conn: ConnId) {
        let (answer, now) = (self.config.limits().addr_answer, self.now);
        let Some(ready) = self.ready_mut(conn) else { return };
        ready.budget.grant(u32::try_from(answer).unwrap_or(u32::MAX));
        ready.alive.asked(now);
        let max = (ready.version != 0).then_some(answer);
        self.control(conn, encode::getaddr(max));
    }

    /// Applies the rule on two connections to one node.
    pub(super) fn decide(&mut self, peer: &PeerId) {
        let Some(older) = self.peers.conn(peer) else { return };
        let Some(ready) = self.ready_mut(older) else { return };
        let (heard, given_up) = (ready.alive.last_heard(), ready.superseded.is_some());
        let verdict = if given_up {
            self.peers.give_up_first(peer)
        } else {
            self.peers.decide(peer, heard, self.now, self.waits())
        };
        match verdict {
            Verdict::Wait => {}
            Verdict::Ask(conn) => self.ping(conn),
            Verdict::Keep { close, .. } => {
                for conn in close {
                    self.end(conn, CloseReason::Duplicate, Parting::Bye(ByeReason::Duplicate));
                }
                self.update_trees(peer, None);
            }
        }
    }

    // ---- keep-alive ----

    fn on_ping(&mut self, conn: ConnId, nonce: Option<u64>) {
        let Some(link) = self.links.get(conn) else { return };
        if link.waiting_control() >= CONTROL_BURST {
            self.stats.pings_ignored += 1;
            return;
        }
        self.control(conn, encode::pong(nonce));
    }

    fn on_pong(&mut self, conn: ConnId, nonce: Option<u64>) {
        let now = self.now;
        self.on_hop_pong(conn, nonce);
        let Some(ready) = self.ready_mut(conn) else { return };
        if ready.alive.answered(nonce, now) {
            let (peer, round_trip) = (ready.peer.clone(), ready.alive.round_trip());
            if let Some(round_trip) = round_trip {
                self.broadcasts.trees.measured(conn, round_trip);
            }
            #[cfg(peerline_planted)]
            if self.is_planted(crate::planted::Bug::PingPong) {
                self.ping(conn);
            }
            self.decide(&peer);
        }
    }

    /// Sends a ping and remembers it.
    pub(super) fn ping(&mut self, conn: ConnId) {
        let (nonce, now) = (self.rng.json_integer(), self.now);
        let Some(ready) = self.ready_mut(conn) else { return };
        ready.alive.pinged(nonce, now);
        let frame = encode::ping((ready.version != 0).then_some(nonce));
        self.control(conn, frame);
    }

    // ---- bye ----

    fn on_bye(&mut self, conn: ConnId, bye: &Bye<'_>) {
        if bye.reason == ByeReason::Duplicate && self.is_only_one(conn) {
            return self.on_superseded(conn);
        }
        let Some(link) = self.links.get(conn) else { return };
        let place = match &link.phase {
            Phase::Ready(ready) => ready.listens,
            Phase::Dialing { .. } | Phase::Greeting(_) | Phase::Guest(_) | Phase::Closing(_) => {
                (link.side == Side::Dialer).then_some(link.addr)
            }
        };
        let reason = match bye.reason {
            ByeReason::Duplicate => CloseReason::Duplicate,
            ByeReason::Shutdown
            | ByeReason::Disconnect
            | ByeReason::Full
            | ByeReason::Network
            | ByeReason::Version
            | ByeReason::Other => CloseReason::Goodbye(bye.reason),
        };
        if let Some(peers) = bye.peers {
            self.learn_all(conn, peers);
        }
        self.end(conn, reason, Parting::Silent);
        if let (Some(addr), Some(retry)) = (place, bye.retry) {
            self.book.hold(addr, Duration::from_secs(retry), self.now);
        }
    }

    /// Whether the connection is all that its peer has.
    fn is_only_one(&mut self, conn: ConnId) -> bool {
        let Some(peer) = self.ready_mut(conn).map(|ready| ready.peer.clone()) else { return false };
        self.peers.conns(&peer) == [conn]
    }

    /// Another connection stays, by the other side's word, and we have not met it yet.
    fn on_superseded(&mut self, conn: ConnId) {
        let until = self.now + self.config.limits().linger;
        if let Some(ready) = self.ready_mut(conn) {
            ready.superseded = Some(Superseded { until, ended: false });
        }
        self.links.reschedule(conn, self.now);
    }

    // ---- addresses ----

    fn on_getaddr(&mut self, conn: ConnId, max: Option<u64>) {
        let (now, every) = (self.now, self.config.limits().getaddr_every);
        let Some(ready) = self.ready_mut(conn) else { return };
        let soon = ready.getaddr_answered.is_some_and(|at| now.saturating_since(at) < every);
        if soon {
            return;
        }
        ready.getaddr_answered = Some(now);
        let (version, peer) = (ready.version, ready.peer.clone());
        // A connection whose fate is open carries hello, ping, pong and bye alone.
        if version != 0 && self.peers.conn(&peer) != Some(conn) {
            return;
        }
        let known = self.addresses_for(conn, max);
        self.control(conn, encode::addr(&known, version != 0));
    }

    fn on_addr(&mut self, conn: ConnId, addr: &Addr<'_>) {
        let now = self.now;
        let round_trip = self.ready_mut(conn).and_then(|ready| ready.alive.replied(now));
        if let Some(round_trip) = round_trip {
            self.broadcasts.trees.measured(conn, round_trip);
        }
        self.learn_all(conn, addr.peers);
    }

    /// Learns what a peer tells, as far as its budget goes.
    fn learn_all(&mut self, conn: ConnId, peers: Span<'_>) {
        let mut budget = match self.ready_mut(conn) {
            Some(ready) => ready.budget,
            // A bye in place of a hello names at most eight others.
            None => Budget::new(8, Duration::MAX, self.now),
        };
        let Some(source) = self.links.get(conn).map(|link| link.addr) else { return };
        let teller = self.ready_mut(conn).map(|ready| ready.peer.clone());
        let mut seen = 0_usize;
        let taken = told(peers, &mut |told| {
            seen = seen.saturating_add(1);
            let Ok(addr) = told.addr.parse::<SocketAddr>() else { return };
            #[cfg(peerline_planted)]
            if self.is_planted(crate::planted::Bug::AnyNumberTold) {
                budget.grant(1);
            }
            if seen > MAX_TOLD || !budget.take(self.now) {
                self.stats.addresses_ignored += 1;
                return;
            }
            let named = told.node.as_deref().map(|name| name.parse().ok().map(PeerId::Node));
            self.note_told(conn, named.as_ref().and_then(Option::as_ref), addr);
            self.learn(addr, named.unwrap_or_else(|| teller.clone()), source);
        });
        debug_assert_eq!(taken, Some(()), "the line was checked");
        if let Some(ready) = self.ready_mut(conn) {
            ready.budget = budget;
        }
    }

    fn learn(&mut self, addr: SocketAddr, peer: Option<PeerId>, source: SocketAddr) {
        if self.is_listening(addr) || peer == Some(PeerId::Node(self.id)) {
            return;
        }
        if self.book.learn(addr, peer, source, self.now, &mut self.rng) {
            self.plan_soon();
        } else {
            self.stats.addresses_ignored += 1;
        }
    }

    // ---- what is for the application ----

    fn on_broadcast(&mut self, conn: ConnId, said: &Broadcast<'_>, line: Received<'_>) {
        if line.text.len() > MAX_BROADCAST_LINE {
            let (len, limit) = (line.text.len(), MAX_BROADCAST_LINE);
            return self.violation(conn, Violation::LineTooLong { len, limit });
        }
        let (Ok(originator), Ok(epoch)) = (said.originator.parse(), u32::try_from(said.epoch))
        else {
            self.stats.not_taken += 1;
            return;
        };
        let key = ((originator, epoch), said.seq);
        let verdict = self.broadcasts.hear(originator, epoch, said.seq, self.now, &mut self.rng);
        #[cfg(peerline_planted)]
        let verdict = self.plant_in_verdict(verdict, originator);
        match verdict {
            broadcast::Verdict::New { hole } => self.on_new_broadcast(conn, key, hole, said, line),
            broadcast::Verdict::Duplicate => self.on_duplicate(conn, key),
            broadcast::Verdict::NotTaken => self.stats.not_taken += 1,
            broadcast::Verdict::Impersonated { new_epoch } => self.on_impersonated(conn, new_epoch),
        }
    }

    fn on_new_broadcast(
        &mut self,
        conn: ConnId,
        key: Key,
        hole: Option<(u64, u64)>,
        said: &Broadcast<'_>,
        line: Received<'_>,
    ) {
        let (frame, originator) = (line.frame(), key.0.0);
        let from = self.speaker(conn);
        self.learn_way(originator, from);
        let judged = self.config.validates_some()
            && self.is_judged(&said.kind.as_text().unwrap_or_default());
        let mut orders = core::mem::take(&mut self.orders);
        let (now, link, line) = (self.now, self.carrier(conn), frame.clone());
        self.count_news(link, 1);
        if judged {
            self.broadcasts.trees.received_to_judge(key, line, (link, hole), now, &mut orders);
        } else {
            self.broadcasts.trees.received(key, line, link, hole, now, &mut orders);
        }
        #[cfg(peerline_planted)]
        self.plant_in_orders(&mut orders);
        let reached = self.carry_out(orders, Class::Forwarded);
        self.stats.forwarded += reached.queued as u64;
        let message = Message {
            frame,
            from: PeerId::Node(originator),
            conn,
            delivery: Delivery::Broadcast,
            time: UnixTime::from_millis(said.time),
            kind: kind_of(&said.kind),
            body: range_of(&said.msg),
            token: None,
        };
        if judged {
            return self.ask_about(key, from, message);
        }
        if message.kind() == chat::CHAT && !self.is_new_chat(said.msg.text) {
            return;
        }
        self.deliver(message);
    }

    /// Broadcasts teach only where nothing is known: there are many of them.
    pub(super) fn learn_way(&mut self, originator: NodeId, via: Option<NodeId>) {
        if let Some(via) = via.filter(|_| !self.routes.knows(originator)) {
            self.routes.learn(originator, via, false, self.now);
        }
    }

    /// A link was the first to bring so many.
    pub(super) fn count_news(&mut self, link: ConnId, count: u64) {
        let now = self.now;
        if let Some(ready) = self.ready_mut(link) {
            ready.news = News { count: ready.news.count.saturating_add(count), last: Some(now) };
        }
    }

    /// The connection that carries the peer of this one, which may have lost to it.
    pub(super) fn carrier(&self, conn: ConnId) -> ConnId {
        let peer = self.links.get(conn).and_then(|link| link.phase.speaker());
        peer.and_then(|peer| self.peers.conn(peer)).unwrap_or(conn)
    }

    pub(super) fn on_duplicate(&mut self, conn: ConnId, key: Key) {
        self.stats.duplicates += 1;
        let mut orders = core::mem::take(&mut self.orders);
        let link = self.carrier(conn);
        self.broadcasts.trees.duplicate(key, link, self.now, &mut orders);
        self.carry_out(orders, Class::Forwarded);
    }

    pub(super) fn on_impersonated(&mut self, conn: ConnId, new_epoch: bool) {
        self.stats.not_taken += 1;
        let via = self.ready_mut(conn).map(|ready| ready.peer.clone());
        if let (true, Some(via)) = (new_epoch, via) {
            self.emit(Event::Impersonated { via });
        }
    }

    pub(super) fn deliver(&mut self, message: Message) {
        let conn = message.conn;
        #[cfg(peerline_planted)]
        let message = if self.is_planted(crate::planted::Bug::CutBody) {
            Message { body: message.body.start..message.body.end - 1, ..message }
        } else {
            message
        };
        self.stats.delivered += 1;
        self.emit(Event::Message(message));
        #[cfg(peerline_planted)]
        if self.is_planted(crate::planted::Bug::BrakeOff) {
            return;
        }
        if self.events.is_over() {
            self.links.pause(conn, self.now);
        }
    }

    /// Tells the application of every peer that it waited for and that has room again.
    pub(super) fn tell_room(&mut self) {
        while let Some(conn) = self.links.unblock() {
            self.on_writable(conn);
        }
    }

    fn on_writable(&mut self, conn: ConnId) {
        let Some(peer) = self.ready_mut(conn).map(|ready| ready.peer.clone()) else { return };
        #[cfg(peerline_planted)]
        if self.is_planted(crate::planted::Bug::NoWritable) {
            return;
        }
        self.emit(Event::Writable { peer });
        self.tell_beyond(conn);
    }

    pub(super) fn ready_mut(&mut self, conn: ConnId) -> Option<&mut Ready> {
        match &mut self.links.get_mut(conn)?.phase {
            Phase::Ready(ready) => Some(ready),
            Phase::Dialing { .. } | Phase::Greeting(_) | Phase::Guest(_) | Phase::Closing(_) => {
                None
            }
        }
    }
}

/// Where a peer that dialled us can be dialled: first, if that is where it dialled from; second, if
/// it names another host.
fn where_it_listens(
    source: SocketAddr,
    listen: Option<Listen>,
) -> (Option<SocketAddr>, Option<SocketAddr>) {
    match listen {
        None => (None, None),
        Some(Listen::Port(port)) => (Some(SocketAddr::new(source.ip(), port)), None),
        Some(Listen::Addr(addr)) if addr.ip().to_canonical() == source.ip() => {
            (Some(SocketAddr::new(source.ip(), addr.port())), None)
        }
        Some(Listen::Addr(addr)) => (None, Some(addr)),
    }
}

/// The kind of a message: its place in the frame, or its own text if the line has it escaped.
pub(super) fn kind_of(span: &Span<'_>) -> Kind {
    match span.as_text() {
        Some(Cow::Owned(text)) => Kind::Unescaped(text.into()),
        Some(Cow::Borrowed(_)) | None => {
            let inside = span.text.len().saturating_sub(2);
            let start = span.start.saturating_add(1);
            Kind::Plain(place(start)..place(start.saturating_add(inside)))
        }
    }
}

pub(super) fn range_of(span: &Span<'_>) -> Range<u32> {
    place(span.start)..place(span.start.saturating_add(span.text.len()))
}

/// The first bytes of a text, whole characters.
pub(super) fn cut(text: &str) -> Box<str> {
    let end = (0..=MAX_ERROR_TEXT.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    text.get(..end.unwrap_or_default()).unwrap_or_default().into()
}
