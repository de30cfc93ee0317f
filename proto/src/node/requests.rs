//! Requests and replies at their two ends: the verbs, and what a request, reply or nak for us does.

use alloc::string::String;
use alloc::sync::Arc;
use core::time::Duration;

use crate::error::{ReplyError, RequestError};
use crate::event::Event;
use crate::exchange::{NakCode, Reply, ReplyTo, Request, RequestFailure, RequestId, Words};
use crate::id::{ConnId, NodeId, PeerId};
use crate::limits::MAX_BROADCAST_LINE;
use crate::message::{Frame, Payload};
use crate::node::Node;
use crate::node::on::{kind_of, range_of};
use crate::node::relay::MAX_TTL;
use crate::queue::{Class, Full};
use crate::requests::{Arrival, Asker, Due, Pending};
use crate::route::Held;
use crate::time::{Instant, UnixTime};
use crate::wire::encode::{self, Routed};
use crate::wire::json::Span;
use crate::wire::msg::{NakLine, ReplyLine, RequestLine};
use crate::wire::received::Received;

/// Nodes beyond neighbours that are waited for at once.
const BEYOND: usize = 256;

impl Node {
    /// Asks a node, a neighbour or one beyond, and waits for its replies until the deadline (at
    /// most [`Limits::request_deadline`](crate::Limits)). Its end is the last
    /// [`Reply`](Event::Reply) or a [`RequestFailed`](Event::RequestFailed), one of them and once.
    ///
    /// The node sends it again over another neighbour, at most twice, if nothing is heard of it;
    /// the one who answers notices that.
    ///
    /// ```
    /// # use peerline_proto::*;
    /// # use core::time::Duration;
    /// # let id = Identity::new(NodeId::from_random_bytes([1; 16]));
    /// # let mut node = Node::new(Config::default(), id, [7; 32], Start::default());
    /// let stranger = PeerId::Node(NodeId::from_random_bytes([2; 16]));
    /// let body = Payload::encode("what time is it?")?;
    /// let asked = node.request(&stranger, "ASK", &body, Duration::from_secs(10), Instant::ZERO);
    /// assert_eq!(asked, Err(RequestError::NoRoute), "nobody is connected");
    /// # Ok::<(), BodyError>(())
    /// ```
    ///
    /// # Errors
    /// See [`RequestError`]; nothing was asked.
    pub fn request(
        &mut self,
        to: &PeerId,
        kind: &str,
        body: &Payload,
        deadline: Duration,
        now: Instant,
    ) -> Result<RequestId, RequestError> {
        self.advance(now);
        if self.stopping.is_some() {
            return Err(RequestError::Stopping);
        }
        let limits = self.config.limits();
        let (max_kind, longest) = (limits.max_kind, limits.request_deadline);
        if kind.len() > max_kind {
            return Err(RequestError::KindTooLong { len: kind.len(), limit: max_kind });
        }
        let to = match to {
            PeerId::Node(to) => *to,
            PeerId::Guest(name) => return self.request_of_guest(name, kind, body, deadline),
        };
        if to == self.id {
            return Err(RequestError::Own);
        }
        let bytes = kind.len().saturating_add(body.as_str().len());
        if let Err((bound, used, limit)) = self.asked.has_room(bytes) {
            return Err(RequestError::Busy { bound, used, limit });
        }
        let id = RequestId::new(self.direct_count.saturating_add(1));
        let until = self.now + deadline.min(longest);
        let pending = Pending::new(to, (kind, body), self.unix(), (self.now, until));
        let hop = self.next_hop(to, &[]);
        let line = self.request_line(id, &pending);
        let theirs = hop.and_then(|(_, conn)| self.longest_for(conn));
        let (len, limit) = (line.len().saturating_sub(1), theirs.unwrap_or(MAX_BROADCAST_LINE));
        let limit = limit.min(self.longest_queued());
        if len > limit {
            return Err(RequestError::TooLarge { len, limit });
        }
        self.direct_count = id.number();
        match hop {
            Some((via, conn)) => {
                let frame = Frame::new(&line);
                self.queue_for(to, (via, conn), frame.clone()).map_err(|full| {
                    RequestError::Full { queued: full.queued, limit: full.limit }
                })?;
                self.asked.add(id, pending);
                self.asked.sent(id, via, self.now);
                let name = self.wire_id(id.number());
                self.watch_own(&name, (to, 0), (via, conn), Some(until), frame);
            }
            None if self.seek(to) => {
                self.asked.add(id, pending);
                self.asked.seeks(id);
                self.seeks.hold(to, Held::Request(id));
            }
            None => return Err(RequestError::NoRoute),
        }
        Ok(id)
    }

    /// Answers a request. It may have any number of replies; the last one ends it.
    ///
    /// A reply that is taken may still be lost on its way; it is kept for a while, for another try
    /// of the same request.
    ///
    /// # Errors
    /// See [`ReplyError`]; nothing was said.
    pub fn reply(
        &mut self,
        to: ReplyTo,
        kind: &str,
        body: &Payload,
        last: bool,
        now: Instant,
    ) -> Result<(), ReplyError> {
        self.advance(now);
        if let Some(done) = self.reply_to_guest(to, kind, body, last) {
            return done;
        }
        if self.stopping.is_some() {
            return Err(ReplyError::Stopping);
        }
        let max_kind = self.config.limits().max_kind;
        if kind.len() > max_kind {
            return Err(ReplyError::KindTooLong { len: kind.len(), limit: max_kind });
        }
        let (asker, n) = self.answering.next(to, self.now).ok_or(ReplyError::Gone)?;
        let (from, via) = (asker.from, asker.via);
        let line = encode::reply(&asker.id, (self.id, from), (n, last), kind, body);
        self.answer_line(to, (from, via), &line, last)
    }

    /// Answers a request with a no.
    ///
    /// # Errors
    /// See [`ReplyError`]; nothing was said.
    pub fn refuse(&mut self, to: ReplyTo, code: NakCode, now: Instant) -> Result<(), ReplyError> {
        self.advance(now);
        if let Some(done) = self.refuse_guest(to) {
            return done;
        }
        if self.stopping.is_some() {
            return Err(ReplyError::Stopping);
        }
        let (asker, _) = self.answering.next(to, self.now).ok_or(ReplyError::Gone)?;
        let (from, via) = (asker.from, asker.via);
        let frame = encode::nak(&asker.id, self.id, code, None);
        self.answer_with(to, (from, via), frame, true)
    }

    fn answer_line(
        &mut self,
        name: ReplyTo,
        asker: (NodeId, NodeId),
        line: &str,
        last: bool,
    ) -> Result<(), ReplyError> {
        let theirs = self.way_back(asker).and_then(|conn| self.longest_for(conn));
        let limit = theirs.unwrap_or(MAX_BROADCAST_LINE).min(self.longest_queued());
        let len = line.len().saturating_sub(1);
        if len > limit {
            return Err(ReplyError::TooLarge { len, limit });
        }
        self.answer_with(name, asker, Frame::new(line), last)
    }

    /// Sends an answer back and keeps it. Without a way back it is only kept: another try of the
    /// same request may bring one.
    fn answer_with(
        &mut self,
        name: ReplyTo,
        asker: (NodeId, NodeId),
        frame: Frame,
        last: bool,
    ) -> Result<(), ReplyError> {
        if let Some(conn) = self.way_back(asker) {
            self.queue_direct(conn, frame.clone())
                .map_err(|full| ReplyError::Full { queued: full.queued, limit: full.limit })?;
        } else {
            self.stats.skipped += 1;
        }
        self.answering.said(name, frame, last, self.now);
        Ok(())
    }

    /// The neighbour that the latest try came from, or the asker itself. Nobody else would know
    /// where an answer belongs.
    fn way_back(&self, (from, via): (NodeId, NodeId)) -> Option<ConnId> {
        let neighbours = [via, from];
        neighbours.iter().find_map(|node| self.peers.conn(&PeerId::Node(*node)))
    }

    // ---- what comes for us ----

    /// A request for us.
    pub(super) fn on_own_request(
        &mut self,
        conn: ConnId,
        (from, via): (NodeId, NodeId),
        said: &RequestLine<'_>,
        line: Received<'_>,
    ) -> Result<(), NakCode> {
        let left = said.deadline.as_integer().unwrap_or_default();
        if left == 0 {
            return Err(NakCode::Expired);
        }
        // A duplicate that ends is read to its end, even while the node stops.
        if self.events.is_over() || self.stopping.is_some() {
            return Err(NakCode::Busy);
        }
        let longest = self.config.limits().request_deadline;
        let deadline = self.now + Duration::from_millis(left).min(longest);
        let asker = Asker { from, id: Arc::from(&*said.direct.id), via };
        match self.answering.arrive(asker, deadline, self.now) {
            Arrival::Full => return Err(NakCode::Busy),
            Arrival::Again(frames) => {
                self.stats.duplicates += 1;
                for frame in frames {
                    // What does not fit is lost, as any line may be.
                    let fits = self.queue_direct(conn, frame).is_ok();
                    self.stats.skipped += u64::from(!fits);
                }
            }
            Arrival::New(name) => {
                let words = words_of(&said.direct.kind, &said.direct.msg, line);
                let time = UnixTime::from_millis(said.direct.time);
                self.stats.delivered += 1;
                let request = Request::new(name, PeerId::Node(from), words, deadline, time);
                self.emit_to_application(conn, Event::Request(request));
            }
        }
        Ok(())
    }

    /// A reply to us.
    pub(super) fn on_own_reply(
        &mut self,
        conn: ConnId,
        (from, via): (NodeId, NodeId),
        said: &ReplyLine<'_>,
        line: Received<'_>,
    ) {
        let id = self.own_id(&said.re);
        let Some(id) = id.filter(|id| self.asked.get(*id).is_some_and(|asked| asked.to == from))
        else {
            self.stats.duplicates += 1;
            return;
        };
        self.routes.learn(from, via, true, self.now);
        let words = words_of(&said.kind, &said.msg, line);
        if !self.asked.hear(id, (said.n, said.last), words, self.now) {
            self.stats.duplicates += 1;
            return;
        }
        while let Some((n, last, words)) = self.asked.next_reply(id) {
            self.stats.delivered += 1;
            if last {
                self.asked.end(id);
                self.walks.answered((&said.re, self.id));
            }
            let reply = Reply::new(id, n, last, PeerId::Node(from), words);
            self.emit_to_application(conn, Event::Reply(reply));
        }
    }

    /// A no to a request of ours.
    pub(super) fn on_own_nak(&mut self, id: RequestId, via: NodeId, said: &NakLine<'_>) {
        let Some(pending) = self.asked.get(id).filter(|pending| pending.hop == Some(via)) else {
            return;
        };
        let at = said.at.as_deref().and_then(|at| at.parse::<NodeId>().ok());
        let to = pending.to;
        let by_itself = at == Some(to) || via == to;
        let final_word = match said.code {
            NakCode::NoHandler | NakCode::Refused | NakCode::Expired => true,
            NakCode::NoRoute | NakCode::Busy | NakCode::TooLarge | NakCode::Other => by_itself,
        };
        let failure = RequestFailure::Nak { code: said.code, at: at.map(PeerId::Node) };
        if final_word {
            return self.fail(id, failure);
        }
        self.routes.forget(to, via);
        self.asked.lost_hop(id);
        self.try_again(id, failure);
    }

    /// The request that this id names, if it is one of ours.
    pub(super) fn own_id(&self, re: &str) -> Option<RequestId> {
        let count = re.split_once('.')?.1.parse().ok()?;
        // Written anew, for a number is read in more ways than it is written.
        (self.wire_id(count) == re).then(|| RequestId::new(count))
    }

    // ---- tries ----

    /// Does what is due for requests of ours.
    pub(super) fn tend_requests(&mut self) {
        while let Some((id, due)) = self.asked.due(self.now) {
            let Some(pending) = self.asked.get(id) else { return };
            let (to, hop) = (pending.to, pending.hop);
            let conn = hop.and_then(|hop| self.peers.conn(&PeerId::Node(hop)));
            if let Some(conn) = conn {
                self.probe(conn);
            }
            let alive = conn.is_some_and(|conn| !self.is_suspect(conn));
            if due == Due::Retry && hop == Some(to) && alive {
                // It has the request itself: to be slow is no reason to ask it again.
                self.asked.look_again(id, self.now);
                continue;
            }
            if let Some(hop) = hop {
                self.routes.forget(to, hop);
            }
            match due {
                Due::Timeout => self.fail(id, RequestFailure::Timeout),
                Due::Retry => self.try_again(id, RequestFailure::Timeout),
            }
        }
        self.answering.expire(self.now);
    }

    /// Finds out whether a neighbour that owes an answer, or a broadcast, is there at all. A ping
    /// that is out already is answered or not: another would put off the time when silence counts.
    pub(super) fn probe(&mut self, conn: ConnId) {
        let probing = self.ready_mut(conn).is_none_or(|ready| ready.alive.awaits_pong());
        if !probing {
            self.ping(conn);
            self.links.reschedule(conn, self.now);
        }
    }

    /// A neighbour is gone, and with it what it had of ours.
    pub(super) fn on_hop_gone(&mut self, node: NodeId) {
        self.routes.forget_neighbour(node);
        self.on_walk_gone(node);
        for id in self.asked.by_hop(node) {
            self.asked.lost_hop(id);
            self.try_again(id, self.no_route());
        }
    }

    /// Tries another neighbour, seeks a way, or lets the request be. It ends for `why` if nobody
    /// has it and nothing is left to try.
    pub(super) fn try_again(&mut self, id: RequestId, why: RequestFailure) {
        let seeking = |pending: &&Pending| pending.sought && self.seeks.contains(pending.to);
        if self.asked.get(id).filter(seeking).is_some() {
            return self.asked.waits(id); // the end of the search decides
        }
        if self.send_again(id) {
            return;
        }
        let Some(pending) = self.asked.get(id) else { return };
        let (to, held, sought) = (pending.to, pending.hop.is_some(), pending.sought);
        let tries_left = pending.tries < crate::requests::TRIES;
        if tries_left && !sought && self.seek(to) {
            self.asked.seeks(id);
            self.seeks.hold(to, Held::Request(id));
        } else if held {
            self.asked.waits(id);
        } else {
            self.fail(id, why);
        }
    }

    /// Sends a request over a neighbour that has not had it. False if there is none, or no try is
    /// left.
    pub(super) fn send_again(&mut self, id: RequestId) -> bool {
        let Some(pending) = self.asked.get(id) else { return true };
        if pending.tries >= crate::requests::TRIES {
            return false;
        }
        let (to, mut avoid) = (pending.to, pending.tried.clone());
        let (number, until) = (pending.tries, pending.deadline);
        let line = self.request_line(id, pending);
        while let Some((via, conn)) = self.next_hop(to, &avoid) {
            let frame = Frame::new(&line);
            if self.takes(conn, &frame) && self.queue_direct(conn, frame.clone()).is_ok() {
                self.asked.sent(id, via, self.now);
                let name = self.wire_id(id.number());
                self.watch_own(&name, (to, number), (via, conn), Some(until), frame);
                return true;
            }
            avoid.push(via);
        }
        false
    }

    /// The line of the next try.
    fn request_line(&self, id: RequestId, pending: &Pending) -> String {
        let left = pending.deadline.saturating_since(self.now).as_millis();
        let left = u64::try_from(left).unwrap_or(u64::MAX).max(1);
        let name = self.wire_id(id.number());
        let routed = Routed { id: &name, from: self.id, to: pending.to, ttl: MAX_TTL };
        let numbers = (left, pending.tries);
        encode::request(&routed, numbers, pending.time, &pending.kind, pending.body.as_str())
    }

    pub(super) fn wire_id(&self, count: u64) -> String {
        encode::message_id(self.direct_epoch, count)
    }

    /// The one way for a request of ours to end without a last reply.
    pub(super) fn fail(&mut self, request: RequestId, reason: RequestFailure) {
        if self.asked.end(request).is_some() {
            #[cfg(peerline_planted)]
            if self.is_planted(crate::planted::Bug::EndsNever) {
                return;
            }
            #[cfg(peerline_planted)]
            if self.is_planted(crate::planted::Bug::EndsTwice) {
                self.emit(Event::RequestFailed { request, reason: reason.clone() });
            }
            self.emit(Event::RequestFailed { request, reason });
        }
    }

    pub(super) fn no_route(&self) -> RequestFailure {
        let at = Some(PeerId::Node(self.id));
        RequestFailure::Nak { code: NakCode::NoRoute, at }
    }

    /// The node stops: nothing waits any more.
    pub(super) fn stop_requests(&mut self) {
        while let Some(id) = self.asked.first() {
            self.fail(id, RequestFailure::Stopping);
        }
        self.seeks.clear();
        self.answering.clear();
        self.relayed.clear();
        self.walks.clear();
        self.routes.clear();
    }

    // ---- what both ends share ----

    /// Queues a line of ours that one node is to get; who is refused is told of room later.
    pub(super) fn queue_direct(&mut self, conn: ConnId, frame: Frame) -> Result<(), Full> {
        let queued = self.links.enqueue(conn, frame, Class::Direct, &mut self.stats, self.now);
        if queued.is_err() {
            self.links.block(conn);
        }
        queued
    }

    /// Queues a line for a node at the neighbour that leads to it; the application is told of room
    /// for the node it named, which is not always the neighbour.
    pub(super) fn queue_for(
        &mut self,
        to: NodeId,
        (via, conn): (NodeId, ConnId),
        frame: Frame,
    ) -> Result<(), Full> {
        let queued = self.queue_direct(conn, frame);
        if queued.is_err() && to != via {
            self.beyond.insert((conn, to));
            if self.beyond.len() > BEYOND {
                // Told too early, it may try and wait once more.
                let first = self.beyond.pop_first();
                first.into_iter().for_each(|(_, node)| self.tell_writable(node));
            }
        }
        queued
    }

    /// A connection has room again, or is gone: whoever waits for a node beyond it may try again.
    pub(super) fn tell_beyond(&mut self, conn: ConnId) {
        loop {
            let waits = self.beyond.iter().find(|(by, _)| *by == conn).copied();
            let Some(waits) = waits else { return };
            self.beyond.remove(&waits);
            self.tell_writable(waits.1);
        }
    }

    fn tell_writable(&mut self, node: NodeId) {
        self.emit(Event::Writable { peer: PeerId::Node(node) });
    }

    /// Tells the application, and stops reading the sender if it is behind.
    fn emit_to_application(&mut self, conn: ConnId, event: Event) {
        self.emit(event);
        if self.events.is_over() {
            self.links.pause(conn, self.now);
        }
    }
}

/// Kind and body, as parts of their line.
fn words_of(kind: &Span<'_>, body: &Span<'_>, line: Received<'_>) -> Words {
    Words::Line { frame: line.frame(), kind: kind_of(kind), body: range_of(body) }
}
