//! Searches for a node that no known way leads to: neighbours of neighbours, those within four
//! steps, then a dial if an address is known.

use alloc::boxed::Box;

use crate::event::Event;
use crate::exchange::{NakCode, RequestId};
use crate::id::{ConnId, NodeId, PeerId, Side};
use crate::message::Frame;
use crate::node::Node;
use crate::node::relay::{SEEK_FAR, SEEK_NEAR};
use crate::queue::Class;
use crate::route::{Held, Seek, Stage};
use crate::session::Phase;
use crate::time::Instant;
use crate::wire::encode::{self, Routed};
use crate::wire::words::nak_word;

impl Node {
    /// Makes sure that a way is sought. False if there is nobody to ask and nothing to dial, or too
    /// many are sought already.
    pub(super) fn seek(&mut self, to: NodeId) -> bool {
        if self.seeks.contains(to) {
            return true;
        }
        if !self.seeks.has_room() {
            return false;
        }
        // Where we route by keyspace, a search would reach too many.
        if !self.is_by_keyspace() && self.ask_around(to, SEEK_NEAR) {
            self.seeks.begin(to, Stage::Near, self.now + self.config.limits().find_near);
            return true;
        }
        let Some(conn) = self.dial_for(to) else { return false };
        self.seeks.begin(to, Stage::Dial(conn), self.dial_ends());
        true
    }

    /// Asks all neighbours. False if there is none.
    fn ask_around(&mut self, to: NodeId, ttl: u64) -> bool {
        self.direct_count = self.direct_count.saturating_add(1);
        let name = self.wire_id(self.direct_count);
        let frame = encode::find(&Routed { id: &name, from: self.id, to, ttl });
        self.flood(&frame, Class::Direct, None) > 0
    }

    /// Dials where the node is said to be, unless too much is dialled or it was in vain of late.
    fn dial_for(&mut self, to: NodeId) -> Option<ConnId> {
        let peer = PeerId::Node(to);
        // A second connection to a neighbour would only be its rival, and as slow as it.
        if self.peers.conn(&peer).is_some() {
            return None;
        }
        let known = self.book.iter().filter(|(_, entry)| entry.peer.as_ref() == Some(&peer));
        let due = known.filter(|(_, entry)| entry.not_before <= self.now);
        let addr = due.map(|(addr, _)| addr).find(|addr| !self.is_listening(*addr))?;
        if let Some(conn) = self.dialing(addr) {
            return Some(conn);
        }
        let room = self.dials_under_way() < self.config.limits().max_dialing;
        if !room || self.events.is_over() {
            return None;
        }
        Some(self.open_dial(addr))
    }

    pub(super) fn dials_under_way(&self) -> usize {
        let dialing = self.links.iter().filter(|(_, link)| match &link.phase {
            Phase::Dialing { .. } | Phase::Greeting(_) => link.side == Side::Dialer,
            Phase::Ready(_) | Phase::Guest(_) | Phase::Closing(_) => false,
        });
        dialing.count()
    }

    pub(super) fn dial_ends(&self) -> Instant {
        let limits = self.config.limits();
        self.now + limits.dial_timeout + limits.handshake_timeout
    }

    /// Does what is due for searches.
    pub(super) fn tend_seeks(&mut self) {
        while let Some((to, stage)) = self.seeks.due(self.now) {
            let far = self.now + self.config.limits().find_far;
            match stage {
                _ if self.next_hop(to, &[]).is_some() => self.found_way(to),
                Stage::Near if self.ask_around(to, SEEK_FAR) => {
                    self.seeks.go_on(to, Stage::Far, far);
                }
                Stage::Near | Stage::Far => match self.dial_for(to) {
                    Some(conn) => self.seeks.go_on(to, Stage::Dial(conn), self.dial_ends()),
                    None => self.no_way(to),
                },
                Stage::Dial(_) => self.no_way(to),
            }
        }
    }

    /// A connection ended without a peer: perhaps it was dialled for a search.
    pub(super) fn on_dial_ended(&mut self, conn: ConnId) {
        if let Some(to) = self.seeks.dialled_for(conn) {
            self.no_way(to);
        }
    }

    /// There may be a way now: what waits goes.
    pub(super) fn found_way(&mut self, to: NodeId) {
        let Some(seek) = self.seeks.end(to) else { return };
        let owed = seek.owed;
        for held in seek.held {
            match held {
                Held::Message { id, frame } => self.send_held(to, id, frame),
                Held::Request(request) if self.send_again(request) => {}
                Held::Request(request) if self.is_held(request) => {}
                Held::Request(request) => self.fail(request, self.no_route()),
            }
        }
        self.tell_owed(to, owed);
    }

    fn send_held(&mut self, to: NodeId, id: Box<str>, frame: Frame) {
        let hop = self.next_hop(to, &[]).filter(|(_, conn)| self.takes(*conn, &frame));
        match hop {
            Some((via, conn)) if self.queue_direct(conn, frame.clone()).is_ok() => {
                self.note_own(&id, to, via);
                self.watch_own(&id, (to, 0), (via, conn), None, frame);
            }
            Some(_) | None => self.message_lost(id),
        }
    }

    /// Nobody knows a way.
    fn no_way(&mut self, to: NodeId) {
        let Some(Seek { held, owed, .. }) = self.seeks.end(to) else { return };
        for held in held {
            match held {
                Held::Message { id, .. } => self.message_lost(id),
                // A neighbour may still have an earlier try of it.
                Held::Request(request) if self.is_held(request) => {}
                Held::Request(request) => self.fail(request, self.no_route()),
            }
        }
        self.tell_owed(to, owed);
    }

    fn is_held(&self, request: RequestId) -> bool {
        self.asked.get(request).is_some_and(|pending| pending.hop.is_some())
    }

    pub(super) fn message_lost(&mut self, re: Box<str>) {
        let (peer, code) = (PeerId::Node(self.id), nak_word(NakCode::NoRoute).into());
        self.emit(Event::PeerError { peer, re, code });
    }

    fn tell_owed(&mut self, to: NodeId, owed: bool) {
        if owed {
            self.emit(Event::Writable { peer: PeerId::Node(to) });
        }
    }
}
