//! The BTPeer dialect: what each request does here, and visits to the peers that speak it.
//!
//! Four types are answered here, in the words of the framework's own peers; every other type is the
//! application's. A guest speaks for itself: it is dialled where it speaks from, and only it can
//! take itself off the list.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;

use crate::dialect::Dialect;
use crate::error::{CloseReason, ReplyError, RequestError, TransportError, Violation};
use crate::event::Event;
use crate::exchange::{NakCode, Reply, ReplyTo, Request, RequestFailure, RequestId, Words};
use crate::group::{canonical, is_dialable};
use crate::id::{ConnId, PeerId, Side};
use crate::limits::MAX_GUEST_NAME;
use crate::message::Payload;
use crate::node::Node;
use crate::node::part::Parting;
use crate::queue::{FRAME_COST, Full};
use crate::session::btpeer::{Errand, Exchange, Visit};
use crate::session::{Call, Phase};
use crate::time::Instant;
use crate::wire::btpeer::{self, GuestFrame, Row};

/// Marks the names of requests that guests make or take, so that they are nobody else's.
const GUEST: u64 = 1 << 63;
/// Bytes of a frame's kind.
const KIND: usize = 4;
/// Peers taken from one answer to `LIST`. More are ignored.
const MAX_LISTED: usize = 256;

impl Node {
    // ---- a guest asks ----

    /// A whole frame came: a request, if the connection was accepted, else a reply.
    pub(super) fn on_frame(&mut self, conn: ConnId, frame: GuestFrame) {
        match self.links.get(conn).map(|link| &link.phase) {
            Some(Phase::Greeting(_)) => self.on_asked(conn, &frame),
            Some(Phase::Guest(Exchange::Visiting(_))) => self.on_answer(conn, frame),
            Some(
                Phase::Dialing { .. }
                | Phase::Ready(_)
                | Phase::Guest(Exchange::Answering { .. } | Exchange::Telling { .. })
                | Phase::Closing(_),
            )
            | None => {}
        }
    }

    fn on_asked(&mut self, conn: ConnId, frame: &GuestFrame) {
        let Some(source) = self.links.get(conn).map(|link| link.addr.ip()) else { return };
        let until = self.now + self.config.limits().guest_timeout;
        if let Some(link) = self.links.get_mut(conn) {
            link.phase = Phase::Guest(Exchange::Answering { token: 0, until, ended: false });
        }
        self.links.greeted(conn);
        self.links.reschedule(conn, self.now);
        if !self.rates.may(source, self.now) {
            self.stats.guests_ignored += 1;
            return self.exchanged(conn);
        }
        match frame.kind.as_str() {
            Some("NAME") => self.on_name(conn),
            Some("LIST") => self.on_list(conn),
            Some("JOIN") => self.on_join(conn, source, &frame.payload),
            Some("QUIT") => self.on_quit(conn, source, &frame.payload),
            Some("PING") => self.exchanged(conn),
            Some(kind) => self.on_guest_request(conn, kind, &frame.payload),
            None => {
                self.stats.unknown_types += 1;
                self.exchanged(conn);
            }
        }
    }

    fn on_name(&mut self, conn: ConnId) {
        let name = self.our_place(conn).map_or_else(|| self.id.to_string(), place_id);
        self.answer_and_end(conn, "REPL", &name);
    }

    fn on_list(&mut self, conn: ConnId) {
        let guests = self.btpeer.table.iter();
        let mut rows: Vec<String> = guests
            .map(|(id, guest)| Row { id, host: &guest.host, port: guest.addr.port() }.to_string())
            .collect();
        for peer in self.peers().filter(|peer| peer.peer.node().is_some()) {
            if let Some(addr) = peer.listens {
                rows.push(place_row((addr.ip(), addr.port())));
            }
        }
        self.answer(conn, "REPL", rows.len().to_string().as_bytes());
        for row in rows {
            self.answer(conn, "REPL", row.as_bytes());
        }
        self.exchanged(conn);
    }

    fn on_join(&mut self, conn: ConnId, source: IpAddr, payload: &[u8]) {
        let (kind, text) = match self.try_join(conn, source, payload) {
            Ok(id) => ("REPL", format!("Join: peer added: {id}")),
            Err(text) => ("ERRO", text),
        };
        self.answer_and_end(conn, kind, &text);
    }

    fn try_join(
        &mut self,
        conn: ConnId,
        source: IpAddr,
        payload: &[u8],
    ) -> Result<Arc<str>, String> {
        let wrong = || String::from("Join: incorrect arguments");
        let [id, host, port] = btpeer::three_words(payload).ok_or_else(wrong)?;
        if self.is_full() {
            return Err("Join: too many peers".into());
        }
        if self.btpeer.table.get(id).is_some() || self.is_own_place(conn, id) {
            return Err(format!("Join: peer already inserted {id}"));
        }
        let port = port.parse().ok().filter(|_| id.len().max(host.len()) <= MAX_GUEST_NAME);
        let addr = self.guest_place(source, host, port.ok_or_else(wrong)?).ok_or_else(wrong)?;
        Ok(self.remember_btpeer(id, host, addr))
    }

    fn remember_btpeer(&mut self, id: &str, host: &str, addr: SocketAddr) -> Arc<str> {
        let remembered = self.btpeer.table.remember(id, addr, host, self.now);
        if let Some((gone, guest)) = remembered.evicted {
            self.guest_left(&gone, Dialect::Btpeer, guest.addr);
        }
        let id: Arc<str> = id.into();
        if remembered.new {
            let peer = PeerId::Guest(Arc::clone(&id));
            self.emit(Event::GuestJoined { peer, dialect: Dialect::Btpeer, addr });
        }
        id
    }

    /// Takes a guest off the list, if it is the guest itself that asks.
    fn on_quit(&mut self, conn: ConnId, source: IpAddr, payload: &[u8]) {
        let id = btpeer::word(payload).unwrap_or_default();
        let guest = self.btpeer.table.get(id).filter(|guest| guest.addr.ip() == source);
        let Some(addr) = guest.map(|guest| guest.addr) else {
            let text = format!("Quit: peer not found: {id}");
            return self.answer_and_end(conn, "ERRO", &text);
        };
        self.btpeer.table.forget(id);
        self.guest_left(id, Dialect::Btpeer, addr);
        self.answer_and_end(conn, "REPL", &format!("Quit: peer removed: {id}"));
    }

    /// Hands a request to the application.
    fn on_guest_request(&mut self, conn: ConnId, kind: &str, payload: &[u8]) {
        if self.btpeer.waiting() >= self.config.limits().guest_requests {
            self.stats.guests_ignored += 1;
            return self.exchanged(conn);
        }
        self.guest_count = self.guest_count.saturating_add(1);
        let number = GUEST.saturating_add(self.guest_count);
        let Some(link) = self.links.get_mut(conn) else { return };
        let from = self.btpeer.table.at(link.addr).cloned();
        let from = from.unwrap_or_else(|| link.addr.to_string().into());
        let Phase::Guest(Exchange::Answering { token, until, .. }) = &mut link.phase else {
            return;
        };
        *token = number;
        let until = *until;
        let source = link.addr;
        self.btpeer.asks(number, conn);
        let words = Words::Own { kind: kind.into(), body: btpeer::payload_to_body(payload).into() };
        let from = PeerId::Guest(from);
        let request = Request::new(ReplyTo::new(number), from, words, until, self.unix());
        self.emit(Event::Request(request.at(source)));
    }

    // ---- and is answered ----

    /// The application's reply to a guest; `None` if the request was no guest's.
    pub(super) fn reply_to_guest(
        &mut self,
        to: ReplyTo,
        kind: &str,
        body: &Payload,
        last: bool,
    ) -> Option<Result<(), ReplyError>> {
        let conn = self.btpeer.asker(to.number())?;
        let (len, limit) = (kind.len(), KIND);
        if len > limit {
            return Some(Err(ReplyError::KindTooLong { len, limit }));
        }
        if !btpeer::is_kind(kind) {
            return Some(Err(ReplyError::KindUnfit { len, limit }));
        }
        let payload = btpeer::body_to_payload(body.as_str());
        let (len, limit) = (payload.len(), self.config.limits().max_frame);
        if len > limit {
            return Some(Err(ReplyError::TooLarge { len, limit }));
        }
        let frame = btpeer::encode(kind, &payload).unwrap_or_default();
        let room = self.make_room_for_guests(frame.len()).map_err(|(_, full)| full);
        let queued =
            room.and_then(|()| self.links.enqueue_bytes(conn, frame, self.guest_queue(), self.now));
        if let Err(full) = queued {
            return Some(Err(ReplyError::Full { queued: full.queued, limit: full.limit }));
        }
        if last {
            self.exchanged(conn);
        }
        Some(Ok(()))
    }

    /// The application does not answer a guest: the connection ends without a byte.
    pub(super) fn refuse_guest(&mut self, to: ReplyTo) -> Option<Result<(), ReplyError>> {
        let conn = self.btpeer.asker(to.number())?;
        self.exchanged(conn);
        Some(Ok(()))
    }

    fn answer_and_end(&mut self, conn: ConnId, kind: &str, text: &str) {
        self.answer(conn, kind, text.as_bytes());
        self.exchanged(conn);
    }

    /// One frame of ours; one that has no room is lost, and counted.
    fn answer(&mut self, conn: ConnId, kind: &str, payload: &[u8]) {
        let Some(frame) = btpeer::encode(kind, payload) else { return };
        if self.links.enqueue_bytes(conn, frame, self.guest_queue(), self.now).is_err() {
            self.stats.skipped += 1;
        }
    }

    /// Sees that so many bytes may wait for a guest: others that read slowly give way.
    fn make_room_for_guests(&mut self, len: usize) -> Result<(), (&'static str, Full)> {
        while let Some(slow) = self.links.guest_to_give_way(len, self.now) {
            self.let_go(slow);
        }
        self.links.room_for_guests(len)
    }

    /// Bytes that may wait for one guest: the longest frame, and the short ones around it.
    fn guest_queue(&self) -> usize {
        let limits = self.config.limits();
        limits.max_frame.saturating_add(limits.control_reserve).saturating_add(FRAME_COST)
    }

    // ---- we ask ----

    /// Dials a peer in the BTPeer dialect and asks it; what, its errand says, but for a request of
    /// the application.
    pub(super) fn visit(
        &mut self,
        addr: SocketAddr,
        errand: Errand,
        request: Vec<u8>,
        within: Duration,
    ) -> ConnId {
        let until = self.now + within;
        let call = Call::Btpeer(Visit::new(errand, until));
        let until = until.min(self.now + self.config.limits().dial_timeout);
        self.stats.connections_opened += 1;
        let conn = self.links.open(addr, Phase::Dialing { until, call }, self.now);
        self.links.will_ask(conn, request);
        conn
    }

    /// Asks a BTPeer peer at an address, and collects its replies until it closes.
    ///
    /// The kind has at most four ASCII characters. A body that is a JSON string is sent as its
    /// text, `{"base64": …}` as the bytes it stands for, anything else as its JSON. Of a reply, the
    /// bytes become a body in the same way.
    ///
    /// ```
    /// # use peerline_proto::*;
    /// # use core::time::Duration;
    /// # let id = Identity::new(NodeId::from_random_bytes([1; 16]));
    /// # let mut node = Node::new(Config::default(), id, [7; 32], Start::default());
    /// let addr = "192.0.2.1:5999".parse()?;
    /// let body = Payload::encode("report.txt")?;
    /// let patience = Duration::from_secs(5);
    /// let request = node.request_at(addr, "FGET", &body, patience, Instant::ZERO)?;
    /// assert!(matches!(node.poll_action(), Some(Action::Connect { .. })));
    /// # let _ = request;
    /// # Ok::<(), Box<dyn core::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// See [`RequestError`]; nothing was asked.
    pub fn request_at(
        &mut self,
        addr: SocketAddr,
        kind: &str,
        body: &Payload,
        deadline: Duration,
        now: Instant,
    ) -> Result<RequestId, RequestError> {
        self.advance(now);
        let (addr, limits) = (canonical(addr), self.config.limits());
        if self.stopping.is_some() {
            return Err(RequestError::Stopping);
        }
        if !self.config.speaks(Dialect::Btpeer) || !is_dialable(addr) {
            return Err(RequestError::Unsupported);
        }
        if self.is_listening(addr) {
            return Err(RequestError::Own);
        }
        let (len, limit) = (kind.len(), KIND);
        if len > limit {
            return Err(RequestError::KindTooLong { len, limit });
        }
        if !btpeer::is_kind(kind) {
            return Err(RequestError::KindUnfit { len, limit });
        }
        let payload = btpeer::body_to_payload(body.as_str());
        if payload.len() > limits.max_frame {
            return Err(RequestError::TooLarge { len: payload.len(), limit: limits.max_frame });
        }
        let is_busy = |(bound, used, limit)| RequestError::Busy { bound, used, limit };
        self.may_visit().map_err(|(visits, limit)| {
            is_busy(("guest_visits", visits.saturating_add(1), limit))
        })?;
        let frame = btpeer::encode(kind, &payload).unwrap_or_default();
        let room = self.make_room_for_guests(frame.len());
        room.map_err(|(bound, full)| is_busy((bound, full.queued, full.limit)))?;
        self.guest_count = self.guest_count.saturating_add(1);
        let number = GUEST.saturating_add(self.guest_count);
        self.visit(addr, Errand::Request(number), frame, deadline);
        Ok(RequestId::new(number))
    }

    /// How many bytes of the reply under way have come, and how many there will be, as far as it
    /// says; `None` for a request that is not of a BTPeer peer, or has ended. Looks at every
    /// connection, so it is for showing how far a long reply is, now and then.
    ///
    /// ```
    /// # use peerline_proto::*;
    /// # use core::time::Duration;
    /// # let id = Identity::new(NodeId::from_random_bytes([1; 16]));
    /// # let mut node = Node::new(Config::default(), id, [7; 32], Start::default());
    /// let (addr, body) = ("192.0.2.1:5999".parse()?, Payload::encode("report.txt")?);
    /// let within = Duration::from_secs(5);
    /// let request = node.request_at(addr, "FGET", &body, within, Instant::ZERO)?;
    /// assert_eq!(node.progress(request), None, "nobody is connected yet");
    /// # Ok::<(), Box<dyn core::error::Error>>(())
    /// ```
    pub fn progress(&self, request: RequestId) -> Option<(usize, Option<usize>)> {
        let errand = Errand::Request(request.number());
        self.links.iter().find_map(|(_, link)| match &link.phase {
            Phase::Guest(Exchange::Visiting(visit)) if visit.errand == errand => {
                Some(visit.progress())
            }
            Phase::Dialing { .. }
            | Phase::Greeting(_)
            | Phase::Ready(_)
            | Phase::Guest(_)
            | Phase::Closing(_) => None,
        })
    }

    /// Asks a guest by its name.
    pub(super) fn request_of_guest(
        &mut self,
        name: &str,
        kind: &str,
        body: &Payload,
        deadline: Duration,
    ) -> Result<RequestId, RequestError> {
        let addr = self.btpeer.table.get(name).map(|guest| guest.addr);
        let addr = addr.ok_or(RequestError::Unsupported)?;
        self.request_at(addr, kind, body, deadline, self.now)
    }

    /// The peer took the connection: asks it.
    pub(super) fn on_visit_connected(&mut self, conn: ConnId, visit: Visit) {
        let errand = visit.errand;
        if let Some(link) = self.links.get_mut(conn) {
            link.phase = Phase::Guest(Exchange::Visiting(visit));
        }
        let frame = match errand {
            Errand::Request(_) => self.links.take_question(conn),
            Errand::Name => btpeer::encode("NAME", &[]).unwrap_or_default(),
            Errand::Join => self.join_frame(conn),
            Errand::List => btpeer::encode("LIST", &[]).unwrap_or_default(),
            Errand::Alive => btpeer::encode("PING", &[]).unwrap_or_default(),
        };
        if self.links.enqueue_bytes(conn, frame, self.guest_queue(), self.now).is_err() {
            self.stats.skipped += 1;
        }
        self.links.reschedule(conn, self.now);
        if self.events.is_over() {
            self.links.pause(conn, self.now);
        }
        if errand == Errand::Alive {
            self.exchanged(conn);
        }
    }

    /// A `JOIN` of ours, which names the address that this connection comes from, if we listen.
    fn join_frame(&self, conn: ConnId) -> Vec<u8> {
        let row = self.our_place(conn).map(place_row).unwrap_or_default();
        btpeer::encode("JOIN", row.as_bytes()).unwrap_or_default()
    }

    fn on_answer(&mut self, conn: ConnId, frame: GuestFrame) {
        let Some(link) = self.links.get_mut(conn) else { return };
        let addr = link.addr;
        let Phase::Guest(Exchange::Visiting(visit)) = &mut link.phase else { return };
        match visit.errand {
            Errand::Request(number) => self.on_reply_frame(conn, addr, number, frame),
            Errand::Name => self.on_named(conn, addr, &frame),
            Errand::Join => self.on_join_answered(conn, addr, &frame),
            Errand::List => {
                let row = Row::parse(&frame.payload).and_then(listed);
                visit.rows.extend(row.filter(|_| visit.rows.len() < MAX_LISTED));
            }
            Errand::Alive => {}
        }
    }

    /// A reply came whole. It is held back, and the one before it is not the last.
    fn on_reply_frame(&mut self, conn: ConnId, addr: SocketAddr, number: u64, frame: GuestFrame) {
        let len = btpeer::body_len(&frame.payload);
        if !self.hold_for_guest(conn, len) {
            return;
        }
        let Some(link) = self.links.get_mut(conn) else { return };
        let Phase::Guest(Exchange::Visiting(visit)) = &mut link.phase else { return };
        visit.held_len = len;
        if let Some(reply) = visit.held.replace(frame) {
            let n = visit.replies;
            visit.replies = n.saturating_add(1);
            self.on_guest_reply(addr, number, n, &reply, false);
        }
        if self.events.is_over() {
            // A reply of each of them would be more than all of them may hold.
            self.links.pause_visits(self.now);
        }
    }

    /// Whether so many more bytes may be held of a guest's replies; if not, the visit ends.
    pub(super) fn hold_for_guest(&mut self, conn: ConnId, more: usize) -> bool {
        let limit = self.config.limits().guest_bytes;
        let held = self.links.held_of_guests(conn, more);
        if held > limit {
            self.violation(conn, Violation::TooMuch { held, limit });
        }
        held <= limit
    }

    fn on_guest_reply(
        &mut self,
        addr: SocketAddr,
        number: u64,
        n: u64,
        frame: &GuestFrame,
        last: bool,
    ) {
        let id = self.btpeer.table.at(addr).cloned();
        let from = PeerId::Guest(id.unwrap_or_else(|| addr.to_string().into()));
        let kind = frame.kind.as_str().unwrap_or_default();
        let body = btpeer::payload_to_body(&frame.payload);
        let words = Words::Own { kind: kind.into(), body: body.into() };
        self.emit(Event::Reply(Reply::new(RequestId::new(number), n, last, from, words)));
    }

    /// The peer that we are joining gave its id: asks to be added to its peers.
    fn on_named(&mut self, conn: ConnId, addr: SocketAddr, frame: &GuestFrame) {
        let id = btpeer::word(&frame.payload).unwrap_or_default();
        let is_good = frame.kind.as_str() == Some("REPL")
            && !id.is_empty()
            && id.len() <= MAX_GUEST_NAME
            && !id.contains(char::is_whitespace);
        if !is_good {
            return self.end_visit(conn);
        }
        self.exchanged(conn);
        self.btpeer.joins(addr, id);
        let within = self.config.limits().guest_timeout;
        self.visit(addr, Errand::Join, Vec::new(), within);
    }

    /// It took us, or not. One that did is kept, and asked whom it knows.
    fn on_join_answered(&mut self, conn: ConnId, addr: SocketAddr, frame: &GuestFrame) {
        let Some(id) = self.btpeer.joined(addr) else { return self.exchanged(conn) };
        self.exchanged(conn);
        if frame.kind.as_str() != Some("REPL") {
            let text = String::from_utf8_lossy(&frame.payload);
            let text = super::on::cut(&text);
            return self.emit(Event::JoinRefused { addr, dialect: Dialect::Btpeer, text });
        }
        self.remember_btpeer(&id, &addr.ip().to_string(), addr);
        let within = self.config.limits().guest_timeout;
        self.visit(addr, Errand::List, Vec::new(), within);
    }

    // ---- how visits end ----

    /// The peer has said all, or time is up; what it said stands.
    pub(super) fn end_visit(&mut self, conn: ConnId) {
        let Some((addr, visit)) = self.take_visit(conn) else { return };
        let errand = visit.errand;
        match (errand, visit.held) {
            (Errand::Request(number), Some(last)) => {
                self.on_guest_reply(addr, number, visit.replies, &last, true);
                self.exchanged(conn);
            }
            (Errand::List, _) => {
                let from = self.btpeer.table.at(addr).cloned();
                let peers = visit.rows;
                let from = PeerId::Guest(from.unwrap_or_else(|| addr.to_string().into()));
                self.emit(Event::GuestPeers { from, peers });
                self.exchanged(conn);
            }
            (Errand::Alive, _) => self.exchanged(conn),
            (Errand::Request(_) | Errand::Name | Errand::Join, _) => {
                let failure = RequestFailure::Nak { code: NakCode::NoHandler, at: None };
                self.visit_failed(addr, errand, failure);
                self.emit(Event::ConnectionFailed {
                    conn,
                    addr,
                    side: Side::Dialer,
                    reason: CloseReason::Transport(TransportError::Eof),
                    repeats: 0,
                });
                self.exchanged(conn);
            }
        }
    }

    /// The peer did not end in time: no reply of it is the last.
    pub(super) fn visit_late(&mut self, conn: ConnId) {
        let Some((addr, visit)) = self.take_visit(conn) else { return };
        let Errand::Request(number) = visit.errand else {
            return self.end(conn, CloseReason::HandshakeTimeout, Parting::Drop);
        };
        if let Some(held) = visit.held {
            self.on_guest_reply(addr, number, visit.replies, &held, false);
        }
        let request = RequestId::new(number);
        self.emit(Event::RequestFailed { request, reason: RequestFailure::Timeout });
        self.let_go(conn);
    }

    fn take_visit(&mut self, conn: ConnId) -> Option<(SocketAddr, Visit)> {
        let link = self.links.get_mut(conn)?;
        let Phase::Guest(Exchange::Visiting(visit)) = &mut link.phase else { return None };
        let empty = Visit::new(visit.errand, visit.until);
        Some((link.addr, core::mem::replace(visit, empty)))
    }

    /// A visit came to nothing.
    pub(super) fn visit_failed(
        &mut self,
        addr: SocketAddr,
        errand: Errand,
        reason: RequestFailure,
    ) {
        match errand {
            Errand::Request(number) => {
                let request = RequestId::new(number);
                self.emit(Event::RequestFailed { request, reason });
            }
            Errand::Join => {
                self.btpeer.joined(addr);
            }
            Errand::Alive => {
                let id = self.btpeer.table.at(addr).cloned();
                if let Some(id) = id {
                    self.btpeer.table.forget(&id);
                    self.guest_left(&id, Dialect::Btpeer, addr);
                }
            }
            Errand::Name | Errand::List => {}
        }
    }
}

/// An id as the framework makes it: host and port.
fn place_id((host, port): (IpAddr, u16)) -> String {
    format!("{host}:{port}")
}

/// A peer with such an id, as `JOIN` and `LIST` name it.
fn place_row((host, port): (IpAddr, u16)) -> String {
    let (id, host) = (place_id((host, port)), host.to_string());
    Row { id: &id, host: &host, port }.to_string()
}

/// A row of a list, if it names an address.
fn listed(row: Row<'_>) -> Option<(Arc<str>, SocketAddr)> {
    let addr = SocketAddr::new(row.host.parse().ok()?, row.port);
    Some((row.id.into(), canonical(addr))).filter(|_| row.id.len() <= MAX_GUEST_NAME)
}
