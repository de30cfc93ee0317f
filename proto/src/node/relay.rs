//! Lines for one node: whose they are, by which neighbour they go on, and what is said when they
//! cannot.
//!
//! A relay changes nothing in a line but the digits of `ttl` and `deadline`, passes each try of it
//! once, and keeps no line: what it cannot pass on it refuses at once, to the neighbour it came
//! from.

use alloc::borrow::{Cow, ToOwned};

use crate::event::Event;
use crate::exchange::NakCode;
use crate::id::{ConnId, NodeId, PeerId};
use crate::message::{Delivery, Frame, Message};
use crate::node::Node;
use crate::node::on::{cut, kind_of, range_of};
use crate::node::trees::GONE;
use crate::queue::Class;
use crate::session::Phase;
use crate::time::UnixTime;
use crate::wire::encode::{self, Routed};
use crate::wire::json::Span;
use crate::wire::msg::{Direct, ErrorLine, FindLine, NakLine, ReplyLine, RequestLine};
use crate::wire::received::Received;
use crate::wire::words::{nak_code, nak_word};

/// How many nodes may pass a line on: fixed by the protocol.
pub(super) const MAX_TTL: u64 = 32;
/// How far a search goes at most: fixed by the protocol.
pub(super) const SEEK_FAR: u64 = 4;
/// How far it goes first.
pub(super) const SEEK_NEAR: u64 = 2;
/// The longest id of a one-to-one line, bytes: fixed by the protocol.
const MAX_MESSAGE_ID: usize = 32;
/// What a relay takes off a deadline at least, milliseconds, so that no line goes on for ever.
pub(super) const HOLD: u64 = 1;

/// How far a line that comes may still go.
fn left_of(ttl: Span<'_>) -> u64 {
    ttl.as_integer().unwrap_or_default().min(MAX_TTL)
}

/// A line for somebody else.
struct Passing<'a> {
    id: &'a str,
    from: NodeId,
    to: NodeId,
    number: u64,
    ttl: Span<'a>,
    deadline: Option<Span<'a>>,
}

impl Node {
    // ---- one `on_*` per message ----

    pub(super) fn on_direct(&mut self, conn: ConnId, said: &Direct<'_>, line: Received<'_>) {
        let Some((from, to, via)) = self.ends_of(conn, &said.id, &said.from, &said.to) else {
            self.stats.not_taken += 1;
            return;
        };
        if from == self.id {
            // Ours went in a circle; the refusal finds back to us.
            self.stats.duplicates += 1;
            self.stats.not_for_us += 1;
            return self.say_no(conn, &said.id, NakCode::NoRoute, left_of(said.ttl), false);
        }
        self.routes.learn(from, via, false, self.now);
        if to != self.id {
            let (id, ttl) = (&*said.id, said.ttl);
            let passing = Passing { id, from, to, number: said.attempt, ttl, deadline: None };
            if let Err(code) = self.pass_on(conn, via, &passing, line) {
                self.stats.not_for_us += 1;
                self.say_no(conn, &said.id, code, left_of(ttl), false);
            }
            return;
        }
        if !self.direct_seen.insert((from, Cow::Owned(said.id.as_ref().to_owned()))) {
            self.stats.duplicates += 1;
            return;
        }
        self.deliver(Message {
            frame: line.frame(),
            from: PeerId::Node(from),
            conn,
            delivery: Delivery::Direct,
            time: UnixTime::from_millis(said.time),
            kind: kind_of(&said.kind),
            body: range_of(&said.msg),
            token: None,
        });
    }

    pub(super) fn on_request(&mut self, conn: ConnId, said: &RequestLine<'_>, line: Received<'_>) {
        let direct = &said.direct;
        let Some((from, to, via)) = self.ends_of(conn, &direct.id, &direct.from, &direct.to) else {
            self.stats.not_taken += 1;
            return;
        };
        let taken = if from == self.id {
            Err(NakCode::NoRoute) // ours: it went in a circle
        } else if to == self.id {
            self.routes.learn(from, via, false, self.now);
            self.on_own_request(conn, (from, via), said, line)
        } else {
            self.routes.learn(from, via, false, self.now);
            let (id, ttl, deadline) = (&*direct.id, direct.ttl, Some(said.deadline));
            let passing = Passing { id, from, to, number: direct.attempt, ttl, deadline };
            self.pass_on(conn, via, &passing, line)
        };
        if let Err(code) = taken {
            self.stats.not_for_us += u64::from(to != self.id);
            self.say_no(conn, &direct.id, code, left_of(direct.ttl), true);
        }
    }

    pub(super) fn on_reply(&mut self, conn: ConnId, said: &ReplyLine<'_>, line: Received<'_>) {
        let Some((from, to, via)) = self.ends_of(conn, &said.re, &said.from, &said.to) else {
            self.stats.not_taken += 1;
            return;
        };
        if to == self.id {
            return self.on_own_reply(conn, (from, via), said, line);
        }
        let back = self.relayed.back((&said.re, to), via).filter(|back| back.to == from);
        let back = back.map(|back| back.before);
        let Some(back) = back.or_else(|| self.walked_from((&said.re, to), from, via)) else {
            self.stats.not_for_us += 1;
            return;
        };
        self.routes.learn(from, via, true, self.now);
        if said.last {
            self.walks.answered((&said.re, to));
        }
        let frame = line.frame();
        let sent = self.peers.conn(&PeerId::Node(back)).is_some_and(|before| {
            let fits = self.takes(before, &frame);
            let (links, stats) = (&mut self.links, &mut self.stats);
            fits && links.enqueue(before, frame, Class::Direct, stats, self.now).is_ok()
        });
        self.count_relayed(sent);
    }

    pub(super) fn on_nak(&mut self, conn: ConnId, said: &NakLine<'_>, line: Received<'_>) {
        let Some(via) = self.speaker(conn).filter(|_| said.re.len() <= MAX_MESSAGE_ID) else {
            self.stats.not_taken += 1;
            return;
        };
        let at = said.at.as_deref().and_then(|at| at.parse().ok());
        self.on_walk_refused(&said.re, via, (said.code, at), said.ttl);
        if let Some(id) = self.own_id(&said.re).filter(|id| self.asked.get(*id).is_some()) {
            return self.on_own_nak(id, via, said);
        }
        self.pass_back(&said.re, via, line);
    }

    pub(super) fn on_error(&mut self, conn: ConnId, said: &ErrorLine<'_>, line: Received<'_>) {
        if said.code == GONE && self.on_gone(conn, &said.re) {
            return;
        }
        if let Some(via) = self.speaker(conn) {
            let goes_on =
                self.on_walk_refused(&said.re, via, (nak_code(&said.code), None), said.ttl);
            if self.pass_back(&said.re, via, line) || goes_on {
                return;
            }
        }
        if self.events.is_over() {
            // It is for information only, and twenty bytes of it would cost hundreds.
            self.stats.not_taken += 1;
            return;
        }
        let Some(peer) = self.ready_mut(conn).map(|ready| ready.peer.clone()) else { return };
        let (re, code) = (cut(&said.re), cut(&said.code));
        self.emit(Event::PeerError { peer, re, code });
        if self.events.is_over() {
            self.links.pause(conn, self.now);
        }
    }

    pub(super) fn on_find(&mut self, conn: ConnId, said: &FindLine<'_>, line: Received<'_>) {
        let Some((from, to, via)) = self.ends_of(conn, &said.id, &said.from, &said.to) else {
            self.stats.not_taken += 1;
            return;
        };
        let (id, number) = (&*said.id, 0);
        let fresh = from != self.id && self.relayed.note((id, from), to, number, via, self.now);
        if !fresh {
            return; // one of the ways that a search goes is enough
        }
        self.routes.learn(from, via, false, self.now);
        if to == self.id {
            let routed = Routed { id, from: self.id, to: from, ttl: MAX_TTL };
            return self.control(conn, encode::found(&routed));
        }
        let ttl = said.ttl.as_integer().unwrap_or_default().min(SEEK_FAR);
        if ttl <= 1 {
            return;
        }
        let frame = line.frame_with([Some((said.ttl, ttl.saturating_sub(1))), None]);
        match self.peers.conn(&PeerId::Node(to)) {
            Some(theirs) => self.control(theirs, frame),
            None => {
                self.stats.relayed += self.flood(&frame, Class::Forwarded, Some(via));
            }
        }
    }

    pub(super) fn on_found(&mut self, conn: ConnId, said: &FindLine<'_>, line: Received<'_>) {
        let Some((from, to, via)) = self.ends_of(conn, &said.id, &said.from, &said.to) else {
            self.stats.not_taken += 1;
            return;
        };
        if to == self.id {
            let ours = self.own_id(&said.id).is_some() && self.seeks.contains(from);
            if ours {
                self.routes.learn(from, via, false, self.now);
                self.found_way(from);
            }
            return;
        }
        let ttl = said.ttl.as_integer().unwrap_or_default().min(MAX_TTL);
        let back = self.relayed.back_of_search((&said.id, to), via);
        let Some(back) = back.filter(|back| back.to == from && ttl > 1) else {
            self.stats.not_for_us += 1;
            return;
        };
        self.routes.learn(from, via, false, self.now);
        let frame = line.frame_with([Some((said.ttl, ttl.saturating_sub(1))), None]);
        if let Some(before) = self.peers.conn(&PeerId::Node(back.before)) {
            self.control(before, frame);
            self.stats.relayed += 1;
        }
    }

    // ---- the way on ----

    /// By which neighbour a node is reached: itself, a learned hop, the application's word, the id
    /// nearest to it if that is how we route. Suspect ones are the last choice.
    pub(super) fn next_hop(&self, to: NodeId, avoid: &[NodeId]) -> Option<(NodeId, ConnId)> {
        let told = core::iter::once_with(|| self.router.next(&PeerId::Node(to))?.node()).flatten();
        let by_id = core::iter::once_with(|| self.nearest_links(to)).flatten();
        let all = core::iter::once(to).chain(self.routes.hops(to, self.now)).chain(told);
        let mut last_choice = None;
        for via in all.chain(by_id).filter(|via| *via != self.id && !avoid.contains(via)) {
            let Some(conn) = self.peers.conn(&PeerId::Node(via)) else { continue };
            if via != to && self.is_silent(via, conn) {
                continue;
            }
            if !self.is_suspect(conn) {
                return Some((via, conn));
            }
            last_choice = last_choice.or(Some((via, conn)));
        }
        last_choice
    }

    fn pass_on(
        &mut self,
        conn: ConnId,
        via: NodeId,
        passing: &Passing<'_>,
        line: Received<'_>,
    ) -> Result<(), NakCode> {
        let Passing { id, from, to, number, ttl, deadline } = *passing;
        let steps = ttl.as_integer().unwrap_or_default().min(MAX_TTL);
        if steps <= 1 {
            return Err(NakCode::NoRoute);
        }
        let deadline = match deadline {
            None => None,
            Some(span) => Some((span, self.time_left(span).ok_or(NakCode::Expired)?)),
        };
        if !self.relayed.note((id, from), to, number, via, self.now) {
            self.stats.duplicates += 1;
            return Err(NakCode::NoRoute);
        }
        if self.is_by_keyspace() {
            let left = deadline.map(|(_, left)| left);
            return self.walk_from(via, ((id, from, number), to), (steps, left), line);
        }
        let (next, onward) = self.next_hop(to, &[via, from]).ok_or(NakCode::NoRoute)?;
        let frame = line.frame_with([Some((ttl, steps.saturating_sub(1))), deadline]);
        if !self.takes(onward, &frame) {
            return Err(NakCode::TooLarge);
        }
        debug_assert_ne!(conn, onward);
        self.links
            .enqueue(onward, frame, Class::Direct, &mut self.stats, self.now)
            .map_err(|_full| NakCode::Busy)?;
        self.relayed.passed((id, from), number, next);
        self.count_relayed(true);
        Ok(())
    }

    /// What is left of a deadline once we had the line; `None` if nothing is.
    fn time_left(&self, span: Span<'_>) -> Option<u64> {
        let left = span.as_integer()?.checked_sub(HOLD)?;
        (left > 0).then_some(left)
    }

    /// Sends a refusal back to whoever the line came from. True if that was somebody else.
    fn pass_back(&mut self, re: &str, via: NodeId, line: Received<'_>) -> bool {
        let mut passed = false;
        for back in self.relayed.refused(re, via) {
            self.routes.forget(back.to, via);
            passed |= back.before != self.id;
            if let Some(before) = self.peers.conn(&PeerId::Node(back.before)) {
                self.control(before, line.frame());
            }
        }
        passed
    }

    /// A message of ours goes to `to` by `via`: a refusal is to be known again.
    pub(super) fn note_own(&mut self, id: &str, to: NodeId, via: NodeId) {
        if to != via {
            self.relayed.note((id, self.id), to, 0, self.id, self.now);
            self.relayed.passed((id, self.id), 0, via);
        }
    }

    /// Says no to a line, to the neighbour that it came from.
    pub(super) fn say_no(
        &mut self,
        conn: ConnId,
        id: &str,
        code: NakCode,
        left: u64,
        is_request: bool,
    ) {
        let left = Some(left).filter(|_| self.is_by_keyspace_with(conn));
        let frame = if is_request {
            encode::nak(id, self.id, code, left)
        } else {
            encode::error(id, nak_word(code), left)
        };
        self.control(conn, frame);
    }

    pub(super) fn count_relayed(&mut self, sent: bool) {
        self.stats.relayed += u64::from(sent);
        self.stats.skipped += u64::from(!sent);
    }

    /// Whose a line is, for whom, and by which neighbour it came. Nothing if it is no line of a
    /// node for a node.
    fn ends_of(
        &self,
        conn: ConnId,
        id: &str,
        from: &str,
        to: &str,
    ) -> Option<(NodeId, NodeId, NodeId)> {
        let via = self.speaker(conn).filter(|_| id.len() <= MAX_MESSAGE_ID)?;
        Some((from.parse().ok()?, to.parse().ok()?, via))
    }

    /// The native node at the other end.
    pub(super) fn speaker(&self, conn: ConnId) -> Option<NodeId> {
        self.links.get(conn)?.phase.speaker()?.node()
    }

    pub(super) fn is_suspect(&self, conn: ConnId) -> bool {
        self.links.get(conn).is_some_and(|link| match &link.phase {
            Phase::Ready(ready) => ready.alive.is_suspect(),
            Phase::Dialing { .. } | Phase::Greeting(_) | Phase::Guest(_) | Phase::Closing(_) => {
                false
            }
        })
    }

    /// Whether a line is not too long for the peer.
    pub(super) fn takes(&self, conn: ConnId, frame: &Frame) -> bool {
        self.longest_for(conn).is_some_and(|most| frame.len() <= most.saturating_add(1))
    }

    /// The longest line that the peer takes.
    pub(super) fn longest_for(&self, conn: ConnId) -> Option<usize> {
        match &self.links.get(conn)?.phase {
            Phase::Ready(ready) => Some(ready.max_line),
            Phase::Dialing { .. } | Phase::Greeting(_) | Phase::Guest(_) | Phase::Closing(_) => {
                None
            }
        }
    }
}
