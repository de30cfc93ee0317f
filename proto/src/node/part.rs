//! How connections end: one way for all of them, so that each gives its one event and no more.

use crate::error::{ByeReason, CloseReason, Violation};
use crate::event::Event;
use crate::exchange::{NakCode, RequestFailure};
use crate::id::{ConnId, PeerId, Side};
use crate::node::Node;
use crate::peers::Departure;
use crate::session::btpeer::Exchange;
use crate::session::{Call, Phase};
use crate::time::Instant;
use crate::wire::encode;

/// How we part.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(super) enum Parting {
    /// At once: there is nobody to talk to.
    Drop,
    /// In order, with a bye if the other side knows byes.
    Bye(ByeReason),
    /// In order, without a word: it said bye, or knows none.
    Silent,
}

impl Node {
    /// A peer broke the protocol.
    pub(super) fn violation(&mut self, conn: ConnId, violation: Violation) {
        let Some(link) = self.links.get(conn) else { return };
        // A dial that does not end in hello is a failed dial, no more.
        let closing = matches!(link.phase, Phase::Closing(_));
        let blame = match &link.phase {
            Phase::Greeting(_) => link.side == Side::Listener,
            Phase::Ready(_) | Phase::Closing(_) => true,
            // What a guest that we dialled answers wrongly is a failed dial as well.
            Phase::Dialing { .. } | Phase::Guest(_) => false,
        };
        self.stats.violations += u64::from(blame);
        if blame {
            self.discourage(link.addr.ip());
        }
        if closing {
            return self.let_go(conn);
        }
        self.end(conn, CloseReason::Violation(violation), Parting::Drop);
        #[cfg(peerline_planted)]
        if self.is_planted(crate::planted::Bug::BlamesAll) {
            let other = self.peers.iter().find_map(|(_, conn)| conn);
            other.into_iter().for_each(|conn| self.ping(conn));
        }
    }

    /// Ends a connection that has not begun to end: tells the application, the book and the other
    /// side.
    pub(super) fn end(&mut self, conn: ConnId, reason: CloseReason, parting: Parting) {
        let Some(link) = self.links.get(conn) else { return };
        let (addr, side) = (link.addr, link.side);
        let (peer, version, heard) = match &link.phase {
            Phase::Closing(_) => return,
            Phase::Ready(ready) => {
                (Some(ready.peer.clone()), ready.version, Some(ready.alive.last_heard()))
            }
            Phase::Dialing { .. } | Phase::Greeting(_) | Phase::Guest(_) => (None, 1, None),
        };
        let call = match &link.phase {
            Phase::Dialing { call, .. } => Some(call.clone()),
            Phase::Guest(Exchange::Visiting(visit)) => Some(Call::Btpeer(visit.clone())),
            Phase::Greeting(_) | Phase::Ready(_) | Phase::Guest(_) | Phase::Closing(_) => None,
        };
        let failure = unreached(&reason);
        let is_native = !matches!(call, Some(Call::Btpeer(_) | Call::Chat { .. }));
        if side == Side::Dialer && is_native {
            match heard {
                Some(heard) => self.book.ended(addr, heard, self.now, &mut self.rng),
                None => self.book.failed(addr, self.now, &mut self.rng),
            }
            if reason == CloseReason::DialTimeout {
                self.overlay.dial_met(false, self.spare_dials());
            }
        }
        self.overlay.ended(conn);
        let owed = self.links.is_blocked(conn);
        let loser = peer.clone().filter(|_| reason == CloseReason::Duplicate);
        let left = peer.as_ref().map(|peer| self.peers.depart(peer, conn));
        if let Some(peer) = &peer {
            self.update_trees(peer, Some(conn));
        }
        let (gone, stays) = match left {
            Some(Departure::Last) => (peer, None),
            Some(Departure::StillUp | Departure::Stranger) | None => (None, peer.filter(|_| owed)),
        };
        if gone.is_some() && self.peers.len() == 0 {
            self.overlay.alone(self.now);
        }
        self.id_links.ended(conn);
        #[cfg(peerline_planted)]
        if let (Some(peer), true) = (&gone, self.is_planted(crate::planted::Bug::EventTwice)) {
            self.emit(Event::PeerDown { peer: peer.clone(), conn, reason: reason.clone() });
        }
        let gone_node = gone.as_ref().and_then(PeerId::node);
        self.emit(match gone {
            Some(peer) => Event::PeerDown { peer, conn, reason },
            None => Event::ConnectionFailed { conn, addr, side, reason, repeats: 0 },
        });
        self.part(conn, parting, version, loser);
        if let Some(call) = call {
            self.on_guest_unreached(addr, &call, failure);
        }
        if let Some(peer) = stays {
            // What was full went with the connection; the peer has another.
            self.emit(Event::Writable { peer });
        }
        self.tell_beyond(conn);
        self.on_dial_ended(conn);
        if let Some(node) = gone_node {
            self.on_hop_gone(node);
        }
        self.tell_room();
        self.plan_soon();
    }

    /// The other side shut its half of a connection that another is to replace: that is no end yet.
    pub(super) fn on_superseded_end(&mut self, conn: ConnId) {
        if let Some(superseded) = self.ready_mut(conn).and_then(|ready| ready.superseded.as_mut()) {
            superseded.ended = true;
        }
    }

    pub(super) fn part(
        &mut self,
        conn: ConnId,
        parting: Parting,
        version: u64,
        loser: Option<PeerId>,
    ) {
        let latest = self.stopping.unwrap_or(Instant::MAX);
        let bye = match parting {
            Parting::Drop => return self.let_go(conn),
            Parting::Bye(reason) if version != 0 => Some(self.bye(reason)),
            Parting::Bye(_) | Parting::Silent => None,
        };
        self.stats.connections_closed += 1;
        self.links.close(conn, bye, loser, latest, self.now);
        if let Some(oldest) = self.links.one_closing_too_many(self.config.limits().closing) {
            self.let_go(oldest);
        }
    }

    fn bye(&mut self, reason: ByeReason) -> crate::message::Frame {
        let limits = self.config.limits();
        let (urgent, longest) = (limits.backoff_urgent.as_secs(), limits.backoff_max.as_secs());
        let (retry, peers) = match reason {
            ByeReason::Full => (Some(urgent), self.alternatives()),
            ByeReason::Disconnect => (Some(longest), Default::default()),
            ByeReason::Shutdown
            | ByeReason::Duplicate
            | ByeReason::Network
            | ByeReason::Version
            | ByeReason::Other => (None, Default::default()),
        };
        encode::bye(reason, retry, &peers)
    }

    /// Lets go of a connection's socket now.
    pub(super) fn let_go(&mut self, conn: ConnId) {
        let Some(link) = self.links.get(conn) else { return };
        if !matches!(link.phase, Phase::Closing(_)) {
            self.stats.connections_closed += 1;
        }
        #[cfg(peerline_planted)]
        if self.is_planted(crate::planted::Bug::LostUnreported) {
            self.links.drop_now(conn);
            return;
        }
        self.stop_waiting(conn);
        self.stats.lost_at_close += self.links.drop_now(conn);
    }

    /// Nobody waits on a connection for the application's answer any more.
    pub(super) fn stop_waiting(&mut self, conn: ConnId) {
        let phase = self.links.get(conn).map(|link| &link.phase);
        if let Some(Phase::Guest(Exchange::Answering { token, .. })) = phase {
            self.btpeer.answered(*token);
        }
    }

    /// Ends all connections of a peer. False if there is none.
    pub(super) fn end_peer(&mut self, peer: &PeerId, reason: &CloseReason, bye: ByeReason) -> bool {
        let conns = self.peers.conns(peer).to_vec();
        for conn in &conns {
            self.end(*conn, reason.clone(), Parting::Bye(bye));
        }
        !conns.is_empty()
    }
}

/// What the end of a visit means to the request it was for.
fn unreached(reason: &CloseReason) -> RequestFailure {
    match reason {
        CloseReason::Local => RequestFailure::Stopping,
        CloseReason::Violation(_) => RequestFailure::Nak { code: NakCode::TooLarge, at: None },
        CloseReason::Transport(_) | CloseReason::DialTimeout => {
            RequestFailure::Nak { code: NakCode::NoRoute, at: None }
        }
        CloseReason::Goodbye(_)
        | CloseReason::Duplicate
        | CloseReason::SelfConnection
        | CloseReason::SameId
        | CloseReason::Full { .. }
        | CloseReason::Crowded { .. }
        | CloseReason::Network
        | CloseReason::Version { .. }
        | CloseReason::HandshakeTimeout
        | CloseReason::KeepAliveTimeout
        | CloseReason::WriteStall => RequestFailure::Timeout,
    }
}
