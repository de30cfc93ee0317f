//! Lines under way by keyspace: each goes to one neighbour after another, until one has a way.
//!
//! A line that we passed on, or sent, is kept. It goes elsewhere when its neighbour refuses it,
//! goes, or does not answer the ping behind it. When nobody is left it is refused to the neighbour
//! it came from, with how far it may still go: so all nodes together try no more than its `ttl`
//! said at first.

use alloc::boxed::Box;
use core::time::Duration;

use crate::exchange::{NakCode, RequestFailure};
use crate::id::{ConnId, NodeId, PeerId};
use crate::message::Frame;
use crate::node::Node;
use crate::node::relay::{HOLD, MAX_TTL};
use crate::queue::Class;
use crate::route::{Name, Walk};
use crate::time::{Instant, UnixTime};
use crate::wire::encode::{self, Routed};
use crate::wire::msg::Msg;
use crate::wire::native;
use crate::wire::received::Received;

/// How often a message of ours begins anew when all neighbours of its first way were tried: twice
/// 32 nodes in all.
const MESSAGE_TRIES: u64 = 2;
/// The round trip to a neighbour where none was measured yet.
const UNMEASURED: Duration = Duration::from_millis(150);

impl Node {
    // ---- a line begins ----

    /// A line of ours went to a neighbour: we see to it that it was taken.
    pub(super) fn watch_own(
        &mut self,
        id: &str,
        (to, number): (NodeId, u64),
        (via, conn): (NodeId, ConnId),
        deadline: Option<Instant>,
        frame: Frame,
    ) {
        if !self.is_by_keyspace() || via == to {
            return;
        }
        let name: Name = (Box::from(id), self.id, number);
        let walk = Walk::new((to, self.id), MAX_TTL, deadline, frame, self.now);
        if self.walks.begin(name.clone(), walk, self.now) {
            self.watch(&name, via, conn);
        }
    }

    /// Passes a line of somebody else's on.
    pub(super) fn walk_from(
        &mut self,
        before: NodeId,
        ((id, from, number), to): ((&str, NodeId, u64), NodeId),
        (steps, left): (u64, Option<u64>),
        line: Received<'_>,
    ) -> Result<(), NakCode> {
        let name: Name = (Box::from(id), from, number);
        let deadline = left.map(|left| self.now + Duration::from_millis(left));
        let walk = Walk::new((to, before), steps, deadline, line.frame(), self.now);
        if !self.walks.begin(name.clone(), walk, self.now) {
            return Err(NakCode::TooLarge);
        }
        let gone = self.walk_on(&name);
        if gone.is_err() {
            self.walks.end(&name);
        }
        gone
    }

    // ---- it goes on ----

    /// Sends a line to the best neighbour that has not had it.
    fn walk_on(&mut self, name: &Name) -> Result<(), NakCode> {
        let mut why = NakCode::NoRoute;
        loop {
            let walk = self.walks.get(name).filter(|walk| walk.left > 1).ok_or(why)?;
            let mut avoid = walk.tried.clone();
            avoid.extend([walk.before, name.1]);
            let (via, conn) = self.next_hop(walk.to, &avoid).ok_or(why)?;
            let frame = onward(walk, self.now).ok_or(NakCode::Expired)?;
            let queued = if self.takes(conn, &frame) {
                let (links, stats) = (&mut self.links, &mut self.stats);
                let queued = links.enqueue(conn, frame, Class::Direct, stats, self.now);
                queued.map_err(|_full| NakCode::Busy)
            } else {
                Err(NakCode::TooLarge)
            };
            match queued {
                Ok(()) => {
                    self.watch(name, via, conn);
                    return Ok(());
                }
                Err(code) => {
                    why = code;
                    self.walks.passed_over(name, via);
                }
            }
        }
    }

    /// A neighbour has the line now; a ping follows it.
    fn watch(&mut self, name: &Name, via: NodeId, conn: ConnId) {
        let (id, from, number) = (&*name.0, name.1, name.2);
        self.relayed.passed((id, from), number, via);
        if from != self.id {
            self.count_relayed(true);
        }
        if self.walks.sent(name, via) {
            self.ping_hop(via, conn);
        }
    }

    /// Sends a ping behind the lines that a neighbour has, in their class, lest it overtakes them.
    fn ping_hop(&mut self, via: NodeId, conn: ConnId) {
        let nonce = self.rng.json_integer();
        let (links, stats) = (&mut self.links, &mut self.stats);
        let ping = encode::ping(Some(nonce));
        if links.enqueue(conn, ping, Class::Direct, stats, self.now).is_ok() {
            self.walks.probing(via, nonce, self.now, self.now + self.patience(conn));
        } else {
            self.walks.not_probing(via);
        }
    }

    fn patience(&self, conn: ConnId) -> Duration {
        let limits = self.config.limits();
        let measured = self.session(conn).and_then(|ready| ready.alive.round_trip());
        let round_trip = measured.unwrap_or(UNMEASURED);
        round_trip.saturating_mul(4).clamp(limits.hop_min, limits.hop_max)
    }

    // ---- what is heard of it ----

    /// A pong may say that lines were taken.
    pub(super) fn on_hop_pong(&mut self, conn: ConnId, nonce: Option<u64>) {
        let (Some(via), Some(nonce)) = (self.speaker(conn), nonce) else { return };
        if self.walks.pong(via, nonce) {
            self.ping_hop(via, conn);
        }
    }

    /// Does what is due: what a neighbour did not take goes elsewhere.
    pub(super) fn tend_walks(&mut self) {
        self.walks.expire(self.now);
        while let Some((via, sent)) = self.walks.overdue(self.now) {
            if let Some(until) = self.more_time(via, sent) {
                self.walks.wait_longer(via, until);
                continue;
            }
            for name in self.walks.silent(via, self.now) {
                self.walk_elsewhere(&name);
            }
        }
    }

    /// Until when a neighbour that has not answered is waited for, if it is at all: it spoke since,
    /// or we do not listen.
    fn more_time(&self, via: NodeId, sent: Instant) -> Option<Instant> {
        let conn = self.peers.conn(&PeerId::Node(via))?;
        let spoke = self.last_heard(conn)? > sent;
        let most = sent + self.config.limits().suspect_max;
        let waits = self.links.is_paused(conn) || (spoke && self.now < most);
        Some(self.now + self.patience(conn)).filter(|until| waits && *until > self.now)
    }

    fn last_heard(&self, conn: ConnId) -> Option<Instant> {
        self.session(conn).map(|ready| ready.alive.last_heard())
    }

    /// Whether a neighbour left a ping behind a line unanswered, and was not heard since.
    pub(super) fn is_silent(&self, via: NodeId, conn: ConnId) -> bool {
        let since = self.walks.silent_since(via);
        since.is_some_and(|since| self.last_heard(conn).is_none_or(|heard| heard <= since))
    }

    /// A neighbour is gone, and with it what it did not take.
    pub(super) fn on_walk_gone(&mut self, node: NodeId) {
        for name in self.walks.gone(node) {
            self.walk_elsewhere(&name);
        }
    }

    /// A neighbour refused lines with this id, which may go so much further. True if one of them
    /// goes elsewhere, or its end is told already.
    pub(super) fn on_walk_refused(
        &mut self,
        id: &str,
        via: NodeId,
        (code, at): (NakCode, Option<NodeId>),
        left: Option<u64>,
    ) -> bool {
        let mut any = false;
        for name in self.walks.refused(id, via, left) {
            let to = self.walks.get(&name).map(|walk| walk.to);
            let by_itself = to == Some(via) || (to == at && at.is_some());
            if by_itself || is_final(code) {
                self.walks.end(&name);
                continue;
            }
            any = true;
            self.walk_elsewhere(&name);
        }
        any
    }

    /// The way back of a reply by `from` that came from one which had the request before another.
    pub(super) fn walked_from(
        &self,
        request: (&str, NodeId),
        from: NodeId,
        via: NodeId,
    ) -> Option<NodeId> {
        self.walks.back(request, via).filter(|walk| walk.to == from).map(|walk| walk.before)
    }

    fn walk_elsewhere(&mut self, name: &Name) {
        match self.walk_on(name) {
            Ok(()) => self.on_own_moved(name),
            Err(code) => self.walk_ends(name, code),
        }
    }

    fn on_own_moved(&mut self, name: &Name) {
        let request = self.own_id(&name.0).filter(|_| name.1 == self.id);
        let next = self.walks.get(name).and_then(|walk| walk.tried.last().copied());
        if let (Some(request), Some(next)) = (request, next) {
            self.asked.moved(request, next);
        }
    }

    // ---- it ends ----

    /// Nobody is left who might take the line.
    fn walk_ends(&mut self, name: &Name, code: NakCode) {
        let Some(walk) = self.walks.end(name) else { return };
        let (id, from, number) = (&*name.0, name.1, name.2);
        self.relayed.withdrawn((id, from), number);
        if from != self.id {
            self.stats.not_for_us += 1;
            let before = self.peers.conn(&PeerId::Node(walk.before));
            if let Some(conn) = before {
                self.say_no(conn, id, code, walk.left, walk.deadline.is_some());
            }
            return;
        }
        let request = self.own_id(id).filter(|id| self.asked.get(*id).is_some());
        if let Some(request) = request {
            self.asked.lost_hop(request);
            self.try_again(request, RequestFailure::Nak { code, at: None });
        } else if walk.deadline.is_none() {
            self.send_anew(name, &walk);
        }
    }

    /// Begins a message of ours anew by other ways, or tells that it is lost.
    fn send_anew(&mut self, name: &Name, walk: &Walk) {
        let number = name.2.saturating_add(1);
        let line = again(walk, (&name.0, self.id), number).filter(|_| number < MESSAGE_TRIES);
        let again: Name = (name.0.clone(), self.id, number);
        if let Some(frame) = line {
            let mut anew = Walk::new((walk.to, self.id), MAX_TTL, None, frame, self.now);
            // Whoever had it would lead to where it has been.
            anew.tried.clone_from(&walk.tried);
            if self.walks.begin(again.clone(), anew, self.now) && self.walk_on(&again).is_ok() {
                return;
            }
            self.walks.end(&again);
        }
        self.message_lost(name.0.clone());
    }
}

/// Whether another way would hear the same.
fn is_final(code: NakCode) -> bool {
    match code {
        NakCode::NoHandler | NakCode::Refused | NakCode::Expired => true,
        NakCode::NoRoute | NakCode::Busy | NakCode::TooLarge | NakCode::Other => false,
    }
}

/// The line as it goes on: with one step less to go, and what is left of its time.
fn onward(walk: &Walk, now: Instant) -> Option<Frame> {
    let line = Received::new(walk.frame.as_bytes()).ok()?;
    let left = walk.left.saturating_sub(1);
    let msg = native::decode(line.text).ok()?.msg;
    if let (Msg::Request(request), Some(deadline)) = (&msg, walk.deadline) {
        let time = u64::try_from(deadline.saturating_since(now).as_millis()).unwrap_or(u64::MAX);
        let time = time.checked_sub(HOLD).filter(|time| *time > 0)?;
        let numbers = [Some((request.direct.ttl, left)), Some((request.deadline, time))];
        return Some(line.frame_with(numbers));
    }
    let Msg::Message(direct) = msg else { return None };
    Some(line.frame_with([Some((direct.ttl, left)), None]))
}

/// A message of ours as another try.
fn again(walk: &Walk, (id, from): (&str, NodeId), number: u64) -> Option<Frame> {
    let line = Received::new(walk.frame.as_bytes()).ok()?;
    let Msg::Message(direct) = native::decode(line.text).ok()?.msg else { return None };
    let routed = Routed { id, from, to: walk.to, ttl: MAX_TTL };
    let (time, kind) = (UnixTime::from_millis(direct.time), direct.kind.as_text()?);
    Some(Frame::new(&encode::message(&routed, number, time, &kind, direct.msg.text)))
}
