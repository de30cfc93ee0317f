//! What time does: deadlines of connections, decisions, dials, and the end of a shutdown.

use alloc::vec::Vec;
use core::time::Duration;

use crate::error::{ByeReason, CloseReason};
use crate::group::Group;
use crate::id::{ConnId, Side};
use crate::node::Node;
use crate::node::part::Parting;
use crate::overlay::{self, Groups, Probe, Surroundings, Targets};
use crate::session::keepalive::Due;
use crate::session::{Call, Phase, Ready};
use crate::time::Instant;

/// Least time between two thoughts about dialling, so that a storm of changes is one thought.
const PLAN_EVERY: Duration = Duration::from_millis(100);
/// By how much a dial in a hurry is shorter. 4: 2.5 s, time for a second attempt of TCP.
const HURRIED: u32 = 4;

impl Node {
    /// Does what is due. `due` is when it was.
    pub(super) fn tend(&mut self, due: Option<Instant>) {
        let late = self.config.limits().late_timer;
        if let Some(due) = due.filter(|due| self.now.saturating_since(*due) > late) {
            self.links.start_anew(due, self.now);
        }
        while let Some(conn) = self.links.due(self.now) {
            self.on_deadline(conn);
            self.links.reschedule(conn, self.now);
        }
        for peer in self.peers.due(self.now) {
            self.decide(&peer);
        }
        if self.stopping.is_none() {
            self.tend_trees();
        }
        self.tend_verdicts();
        self.tend_seeks();
        self.tend_requests();
        self.tend_overlay();
        self.tend_walks();
        if self.plan_at.is_some_and(|at| at <= self.now) {
            self.plan();
        }
        if self.stopping.is_some_and(|at| at <= self.now) {
            self.drop_everything();
        }
    }

    fn on_deadline(&mut self, conn: ConnId) {
        let (now, stall, waits) = (self.now, self.links.write_stall(), self.links.waits());
        #[cfg(peerline_planted)]
        let planted = self.config.limits().planted;
        let Some(link) = self.links.get_mut(conn) else { return };
        let stalled = link.is_stalled(stall, now);
        #[cfg(peerline_planted)]
        let stalled = stalled && planted != Some(crate::planted::Bug::NoWriteStall);
        match &mut link.phase {
            Phase::Closing(closing) if closing.until <= now || stalled => self.let_go(conn),
            Phase::Closing(_) => {}
            _ if stalled => self.end(conn, CloseReason::WriteStall, Parting::Drop),
            Phase::Guest(exchange) if exchange.deadline() <= now => self.on_guest_late(conn),
            Phase::Guest(_) => {}
            Phase::Dialing { until, .. } if *until <= now => {
                self.end(conn, CloseReason::DialTimeout, Parting::Drop);
            }
            #[cfg(peerline_planted)]
            Phase::Greeting(_) if planted == Some(crate::planted::Bug::NoHandshakeTimeout) => {}
            Phase::Greeting(greeting) if greeting.until <= now => {
                self.end(conn, CloseReason::HandshakeTimeout, Parting::Drop);
            }
            Phase::Dialing { .. } | Phase::Greeting(_) => {}
            Phase::Ready(Ready { superseded: Some(superseded), .. }) => {
                if superseded.until <= now {
                    let reason = CloseReason::Goodbye(ByeReason::Duplicate);
                    self.end(conn, reason, Parting::Drop);
                }
            }
            Phase::Ready(ready) => match ready.alive.poll(&waits, now) {
                Due::Nothing => {}
                Due::Suspect => self.on_suspect(conn),
                Due::Ping => self.ping(conn),
                #[cfg(peerline_planted)]
                Due::Dead if planted == Some(crate::planted::Bug::NoKeepAlive) => {}
                Due::Dead => self.end(conn, CloseReason::KeepAliveTimeout, Parting::Drop),
            },
        }
    }

    /// A peer does not answer. Where one is gone many may be: whoever was quiet for as long as this
    /// one may be silent is asked too, rather than found out one by one over `ping_after`.
    fn on_suspect(&mut self, conn: ConnId) {
        self.broadcasts.trees.suspect(conn, true);
        self.plan_soon();
        let (now, quiet) = (self.now, self.config.limits().suspect_min);
        let is_quiet = |ready: &Ready| {
            // Where two connections wait for a decision, it rests on pings of its own.
            let is_one = self.peers.conns(&ready.peer).len() == 1 && ready.superseded.is_none();
            let silent = now.saturating_since(ready.alive.last_heard()) >= quiet;
            is_one && silent && !ready.alive.awaits_pong()
        };
        let others = self.links.iter().filter_map(|(conn, link)| match &link.phase {
            Phase::Ready(ready) => Some(conn).filter(|_| is_quiet(ready)),
            Phase::Dialing { .. } | Phase::Greeting(_) | Phase::Guest(_) | Phase::Closing(_) => {
                None
            }
        });
        let others: Vec<ConnId> = others.collect();
        for other in others {
            self.ping(other);
            self.links.reschedule(other, now);
        }
    }

    /// Thinks about dialling, and dials.
    fn plan(&mut self) {
        self.plan_at = None;
        self.plan_after = self.now + PLAN_EVERY;
        if self.stopping.is_some() {
            return;
        }
        #[cfg(peerline_planted)]
        if self.is_planted(crate::planted::Bug::NoRedial)
            && self.now > self.start.now + Duration::from_secs(30)
        {
            return;
        }
        if self.events.is_over() {
            self.plan_at = Some(self.now + self.config.limits().backoff_base);
            return;
        }
        self.remember_anchors();
        let turn_at = self.turn_an_id_link();
        let around = self.surroundings();
        let mut targets = self.targets();
        let awake = self.peers.len().saturating_sub(around.suspect);
        let urgent = awake < targets.outbound.min(self.book.len());
        targets.spare = if urgent { self.overlay.spare_dials() } else { 0 };
        let room = overlay::room(self.book.len(), &around, &targets);
        if room.complete {
            self.overlay.complete(self.now, &mut self.rng);
        }
        let within = self.dial_within(urgent, &targets);
        let mut groups = Groups::new(room.all, &around);
        for _ in 0..room.dials {
            let Some(addr) = self.select(urgent, &around, &mut groups) else { break };
            let conn = self.open_dial_within(addr, within);
            if targets.spare > 0 && !room.all {
                self.overlay.dialled_extra(conn);
            }
        }
        let next = if room.wanted > 0 { self.next_due(urgent, &around, &groups) } else { None };
        self.plan_at = next.map(|at| at.max(self.plan_after)).into_iter().chain(turn_at).min();
        self.plan_id_links();
        #[cfg(peerline_planted)]
        if self.is_planted(crate::planted::Bug::BusyLoop) {
            self.plan_at = Some(self.now);
        }
    }

    /// How long a dial may take. While peers are few, and more are known than are dialled at once,
    /// one that does not answer is not to keep the next waiting: after a crash most do not.
    fn dial_within(&self, urgent: bool, targets: &Targets) -> Duration {
        let usual = self.config.limits().dial_timeout;
        if urgent && self.book.len() > targets.max_dialing { usual / HURRIED } else { usual }
    }

    pub(super) fn targets(&self) -> Targets {
        let limits = self.config.limits();
        Targets {
            full_mesh: limits.full_mesh,
            outbound: limits.target_outbound,
            max_dialing: limits.max_dialing,
            spare: 0,
            max_peers: Some(self.config.max_peers()).filter(|max| *max != 0).unwrap_or(usize::MAX),
        }
    }

    /// What is connected or under way.
    pub(super) fn surroundings(&self) -> Surroundings {
        let mut around = Surroundings::default();
        let exempt = self.config.private_exempt();
        for (conn, link) in self.links.iter() {
            let dialled = link.side == Side::Dialer;
            let ours = dialled && !self.id_links.is_ours(conn);
            let mut suspect = false;
            let (dialing, listens) = match &link.phase {
                // Over already; when it may be dialled again, the book says.
                Phase::Closing(_) => continue,
                // Guests are none of the overlay's.
                Phase::Guest(_)
                | Phase::Dialing { call: Call::Btpeer(_) | Call::Chat { .. }, .. } => continue,
                Phase::Dialing { call: Call::Native { .. }, .. } | Phase::Greeting(_) => {
                    (dialled, None)
                }
                Phase::Ready(ready) => {
                    suspect = ready.alive.is_suspect();
                    let carries = self.peers.conn(&ready.peer) == Some(conn);
                    around.suspect += usize::from(suspect && carries);
                    (false, ready.listens)
                }
            };
            let counts = ours && !suspect && self.overlay.purpose(conn) != Some(Probe::Feeler);
            around.outbound += usize::from(counts);
            around.groups.extend(counts.then(|| Group::of(link.addr, exempt)));
            around.dialing += usize::from(dialing);
            around.addrs.extend(dialled.then_some(link.addr).into_iter().chain(listens));
        }
        #[cfg(peerline_planted)]
        if self.is_planted(crate::planted::Bug::NoGroups) {
            around.groups.clear();
        }
        around.peers = self.peers.iter().map(|(peer, _)| peer.clone()).collect();
        around
    }

    /// Makes room for one more connection without a first line: of the most crowded group, the one
    /// that has sent least, and of those the oldest, goes.
    pub(super) fn make_room_for_half_open(&mut self) {
        #[cfg(peerline_planted)]
        if self.is_planted(crate::planted::Bug::HalfOpenUnbounded) {
            return;
        }
        let limit = self.config.limits().half_open;
        if self.links.half_open().len() < limit {
            return;
        }
        if let Some(victim) = self.most_crowding() {
            self.end(victim, CloseReason::Crowded { limit }, Parting::Drop);
        }
    }

    fn most_crowding(&self) -> Option<ConnId> {
        let exempt = self.config.private_exempt();
        let half_open = self.links.half_open().iter().filter_map(|conn| {
            let link = self.links.get(*conn)?;
            let Phase::Greeting(greeting) = &link.phase else { return None };
            Some((Group::of(link.addr, exempt), greeting.bytes, greeting.since, *conn))
        });
        let mut crowd: Vec<_> = half_open.collect();
        crowd.sort_unstable();
        let largest = crowd.chunk_by(|a, b| a.0 == b.0).max_by_key(|group| {
            // Of equally large groups, the one whose best victim has sent least, and is oldest.
            let victim = group.first().map(|(_, bytes, since, _)| (*bytes, *since));
            (group.len(), core::cmp::Reverse(victim))
        })?;
        largest.first().map(|(_, _, _, conn)| *conn)
    }

    /// The time to shut down in order is over.
    fn drop_everything(&mut self) {
        let conns: Vec<ConnId> = self.links.iter().map(|(conn, _)| conn).collect();
        for conn in conns {
            self.end(conn, CloseReason::Local, Parting::Drop);
            self.let_go(conn);
        }
    }
}
