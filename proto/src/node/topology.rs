//! Whom we are connected to: what the overlay decides, carried out on the book and the links.
//!
//! Gathers what each decision needs, and opens or ends what it says. Which is which is in
//! [`overlay`](crate::overlay).

use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};

use crate::config::{Config, Listen};
use crate::error::{ByeReason, CloseReason};
use crate::event::Event;
use crate::group::{Group, canonical, is_local};
use crate::id::{ConnId, PeerId, Side};
use crate::node::Node;
use crate::node::part::Parting;
use crate::overlay::evict::{self, Classes, Inbound};
use crate::overlay::rotate::{self, Outbound};
use crate::overlay::{Groups, Overlay, Probe, Surroundings, external};
use crate::session::{Phase, Ready};
use crate::time::Instant;

impl Node {
    // ---- what time does ----

    /// Says that we are alone, and tries another address, if it is time.
    pub(super) fn tend_overlay(&mut self) {
        if self.stopping.is_some() {
            return;
        }
        let lonely = self.overlay.is_lonely(self.peers.len(), self.now);
        #[cfg(peerline_planted)]
        let lonely = lonely && !self.is_planted(crate::planted::Bug::NeverIsolated);
        if lonely {
            self.emit(Event::Isolated);
        }
        while let Some(probe) = self.overlay.next_probe(self.now) {
            self.try_another(probe);
            self.plan_soon();
        }
    }

    /// Dials one that is not connected: to feel for it, or to change it for another.
    fn try_another(&mut self, probe: Probe) {
        #[cfg(peerline_planted)]
        match probe {
            Probe::Feeler if self.is_planted(crate::planted::Bug::NoFeeler) => return,
            Probe::Rotation if self.is_planted(crate::planted::Bug::NoRotation) => return,
            Probe::Feeler | Probe::Rotation => {}
        }
        let around = self.surroundings();
        let targets = self.targets();
        let busy = around.dialing >= targets.max_dialing || self.overlay.is_probing();
        if busy || self.events.is_over() || around.outbound < targets.outbound {
            return;
        }
        // Where two share a group that was all there was, it need not wait for the next rotation.
        let other = match probe {
            Probe::Rotation => self.draw_other(false, &around),
            Probe::Feeler if self.is_crowded() => self.draw_other(true, &around),
            Probe::Feeler => None,
        };
        let (drawn, probe) = match other {
            None if probe == Probe::Feeler => (self.draw_feeler(&around), Probe::Feeler),
            _ => (other, Probe::Rotation),
        };
        let Some(addr) = drawn else { return };
        let conn = self.open_dial(addr);
        self.overlay.probing(conn, probe);
    }

    /// An address that may take a place; of a group `apart`, one that no connection of ours is in.
    fn draw_other(&mut self, apart: bool, around: &Surroundings) -> Option<SocketAddr> {
        let peers = around.peers.len().saturating_add(around.dialing);
        if peers >= self.targets().max_peers {
            return None;
        }
        let exempt = self.config.private_exempt();
        let mut groups = Groups::new(false, around);
        let drawn = self.select(false, around, &mut groups);
        drawn.filter(|addr| !apart || !around.groups.contains(&Group::of(*addr, exempt)))
    }

    /// Whether two connections of ours are in one network group.
    fn is_crowded(&self) -> bool {
        !rotate::crowded(&self.outbound().collect::<Vec<Outbound>>()).is_empty()
    }

    /// An address to feel for: one that was given, or one whose place in the book another wants.
    fn draw_feeler(&mut self, around: &Surroundings) -> Option<SocketAddr> {
        let home = self.overlay.goes_home(self.book.len(), &mut self.rng);
        #[cfg(peerline_planted)]
        let home = home && !self.is_planted(crate::planted::Bug::NoHoming);
        let Self { book, overlay, rng, now, .. } = self;
        let (overlay, now) = (&*overlay, *now);
        let mut skip = |addr: SocketAddr, peer: Option<&PeerId>| {
            around.has(addr, peer) || overlay.discouraged.is_marked(addr.ip(), now)
        };
        let given = if home { book.given(now, rng, &mut skip) } else { None };
        given.or_else(|| book.feeler(now).filter(|addr| !skip(*addr, None)))
    }

    // ---- peers that come ----

    /// A dial said hello. True if that was all we wanted of it.
    pub(super) fn is_felt(&mut self, conn: ConnId, peer: &PeerId) -> bool {
        let is_ours = self.links.get(conn).is_some_and(|link| link.side == Side::Dialer);
        if is_ours {
            self.overlay.dial_met(true, self.spare_dials());
        }
        let is_feeler = self.overlay.purpose(conn) == Some(Probe::Feeler);
        let is_enough = is_feeler || (is_ours && self.is_surplus(conn));
        if !is_enough {
            return false;
        }
        if !self.peers.conns(peer).is_empty() {
            // The peer may have decided that this one stays, and given up the others for it.
            self.overlay.keeps(conn);
            return false;
        }
        self.stats.felt += 1;
        self.end(conn, CloseReason::Local, Parting::Bye(ByeReason::Other));
        true
    }

    /// Whether a dial that was one more than usual, as others met nobody, met somebody when there
    /// are enough already.
    fn is_surplus(&mut self, conn: ConnId) -> bool {
        // This one is counted.
        let awake = self.ready_outbound().filter(|(_, _, ready)| !ready.alive.is_suspect());
        let is_enough = awake.count() > self.targets().outbound;
        self.overlay.was_extra(conn) && is_enough
    }

    /// How many dials there may be beyond the usual number.
    pub(super) fn spare_dials(&self) -> usize {
        let limits = self.config.limits();
        limits.urgent_dialing.saturating_sub(limits.max_dialing)
    }

    /// A peer is up that was not.
    pub(super) fn arrived(&mut self, conn: ConnId) {
        self.overlay.is_lonely(self.peers.len(), self.now);
        // Who dials us has no say in it, so there is nothing new to be looked for.
        if self.links.get(conn).is_some_and(|link| link.side == Side::Dialer) {
            self.hear_where_we_are();
        }
        if self.overlay.purpose(conn) == Some(Probe::Rotation) {
            self.overlay.ended(conn);
            self.give_up_least_useful(conn);
        }
    }

    /// The new one is there: the one of least use goes, if there are more than there should be.
    fn give_up_least_useful(&mut self, new: ConnId) {
        let targets = self.targets();
        let outbound: Vec<Outbound> = self.outbound().collect();
        if outbound.len() <= targets.outbound || self.book.len() <= targets.full_mesh {
            return;
        }
        if let Some(conn) = rotate::least_useful(outbound, new, self.now) {
            self.stats.rotated += 1;
            self.end(conn, CloseReason::Local, Parting::Bye(ByeReason::Other));
        }
    }

    /// Takes up where enough of those that we dialled see us.
    fn hear_where_we_are(&mut self) {
        let exempt = self.config.private_exempt();
        let said = self
            .ready_outbound()
            .filter_map(|(_, addr, ready)| Some((Group::of(addr, exempt), ready.sees?)));
        let Some(ip) = external::agreed(said).filter(|ip| self.overlay.external != Some(*ip))
        else {
            return;
        };
        self.overlay.external = Some(ip);
        if let Some(addr) = self.external_addr() {
            self.book.mark_own(addr, self.now);
        }
    }

    /// Makes room for a peer that dials us, if nothing speaks for one of those that did.
    pub(super) fn make_room_for_inbound(&mut self, limit: usize) {
        #[cfg(peerline_planted)]
        if self.is_planted(crate::planted::Bug::NoEviction) {
            return;
        }
        let exempt = self.config.private_exempt();
        let inbound = self.peers.iter().filter_map(|(_, conn)| {
            let conn = conn?;
            let link = self.links.get(conn).filter(|link| link.side == Side::Listener)?;
            let Phase::Ready(ready) = &link.phase else { return None };
            Some(Inbound {
                conn,
                group: Group::of(link.addr, exempt),
                round_trip: ready.alive.round_trip(),
                news: ready.news.last,
                since: ready.since,
                discouraged: self.is_discouraged(link.addr.ip()),
            })
        });
        let inbound: Vec<Inbound> = inbound.collect();
        let peers = inbound.len();
        let classes = Classes::USUAL;
        #[cfg(peerline_planted)]
        let classes = match self.config.limits().planted {
            Some(crate::planted::Bug::NoNear) => Classes { near: 0, ..classes },
            Some(crate::planted::Bug::NoNews) => Classes { news: 0, ..classes },
            Some(crate::planted::Bug::NoOld) => Classes { old: 0, ..classes },
            _ => classes,
        };
        if let Some(victim) = evict::victim(inbound, classes) {
            self.stats.evicted += 1;
            self.end(victim, CloseReason::Full { peers, limit }, Parting::Bye(ByeReason::Full));
        }
    }

    // ---- who broke the protocol ----

    pub(super) fn discourage(&mut self, ip: IpAddr) {
        self.overlay.discouraged.mark(ip, self.now);
    }

    pub(super) fn is_discouraged(&self, ip: IpAddr) -> bool {
        self.overlay.discouraged.is_marked(ip, self.now)
    }

    // ---- what there is ----

    /// Which network groups there are beyond our connections.
    fn known_groups<'a>(&'a self, around: &'a Surroundings) -> impl Iterator<Item = Group> + 'a {
        let exempt = self.config.private_exempt();
        let free = self.book.iter().filter(|(addr, entry)| !around.has(*addr, entry.peer.as_ref()));
        free.map(move |(addr, _)| Group::of(addr, exempt))
    }

    /// An address to dial and to stay with.
    pub(super) fn select(
        &mut self,
        urgent: bool,
        around: &Surroundings,
        groups: &mut Groups,
    ) -> Option<SocketAddr> {
        let drawn = self.draw(urgent, around, groups).or_else(|| {
            groups.weigh(self.known_groups(around));
            self.draw(urgent, around, groups)
        })?;
        groups.take(Group::of(drawn, self.config.private_exempt()));
        Some(drawn)
    }

    fn draw(&mut self, urgent: bool, around: &Surroundings, groups: &Groups) -> Option<SocketAddr> {
        let Self { book, overlay, rng, now, config, .. } = self;
        let mut skip = skips(overlay, around, groups, config, *now);
        book.select(urgent, *now, rng, &mut skip)
    }

    /// When the next such address comes due.
    pub(super) fn next_due(
        &self,
        urgent: bool,
        around: &Surroundings,
        groups: &Groups,
    ) -> Option<Instant> {
        let mut skip = skips(&self.overlay, around, groups, &self.config, self.now);
        self.book.next_due(urgent, self.now, &mut skip)
    }

    /// Notes whom to return to first after a restart: whoever of those that we dialled has been
    /// there longest. With nobody there the last ones stay.
    pub(super) fn remember_anchors(&mut self) {
        let anchors = self.anchors();
        if !anchors.is_empty() {
            self.book.set_anchors(anchors);
        }
    }

    /// Those peers that we dialled, with where; one whose fate is open is among them. Links for
    /// routes are none of them: who is dialled for his id can choose that id.
    fn ready_outbound(&self) -> impl Iterator<Item = (ConnId, SocketAddr, &Ready)> {
        let dialled = self.links.iter().filter(|(_, link)| link.side == Side::Dialer);
        dialled.filter(|(conn, _)| !self.id_links.is_ours(*conn)).filter_map(|(conn, link)| {
            match &link.phase {
                Phase::Ready(ready) => Some((conn, link.addr, ready)),
                Phase::Dialing { .. }
                | Phase::Greeting(_)
                | Phase::Guest(_)
                | Phase::Closing(_) => None,
            }
        })
    }

    /// The peers that we dialled, each by the connection that carries it.
    fn outbound(&self) -> impl Iterator<Item = Outbound> {
        let exempt = self.config.private_exempt();
        let group = move |addr| Group::of(addr, exempt);
        #[cfg(peerline_planted)]
        let group = move |addr| match self.is_planted(crate::planted::Bug::NoGroups) {
            true => Group::Exempt(addr),
            false => group(addr),
        };
        let carried = |conn: ConnId, peer: &PeerId| self.peers.conn(peer) == Some(conn);
        self.ready_outbound().filter(move |(conn, _, ready)| carried(*conn, &ready.peer)).map(
            move |(conn, addr, ready)| Outbound {
                conn,
                addr,
                group: group(addr),
                since: ready.since,
                news: ready.news.count,
                asked: self.overlay.is_asked_for(conn),
            },
        )
    }

    /// How many addresses there are whose owner broke the protocol of late.
    pub fn discouraged(&self) -> usize {
        self.overlay.discouraged.count(self.now)
    }

    /// Where our anchors are: the two peers that we dialled and that have been there longest.
    pub fn anchors(&self) -> Vec<SocketAddr> {
        rotate::anchors(self.outbound().collect())
    }

    // ---- where we are ----

    /// Where we can be reached from outside, as far as we know: the address at which peers of three
    /// network groups see us, at our own port. `None` if they do not agree, or nobody listens.
    pub fn external_addr(&self) -> Option<SocketAddr> {
        let port = match self.config.advertise() {
            Some(Listen::Port(port)) => port,
            Some(Listen::Addr(addr)) => addr.port(),
            None => self.listening.first()?.port(),
        };
        Some(canonical(SocketAddr::new(self.overlay.external?, port)))
    }

    /// Where a peer at this address is told that we listen. Our own port will do for most: it sees
    /// where we come from. But that may not be where we are found, if we are known elsewhere.
    pub(super) fn listens_for(&self, peer: SocketAddr) -> Option<Listen> {
        if let Some(set) = self.config.advertise() {
            return Some(set);
        }
        let port = self.listening.first()?.port();
        let outside = |addr: &SocketAddr| !is_local(addr.ip()) && !is_local(peer.ip());
        let known = self.external_addr().filter(outside);
        Some(known.map_or(Listen::Port(port), Listen::Addr))
    }
}

/// Which addresses are not dialled though they are due: those connected, those of a group that has
/// enough, those of who broke the protocol.
fn skips<'a>(
    overlay: &'a Overlay,
    around: &'a Surroundings,
    groups: &'a Groups,
    config: &'a Config,
    now: Instant,
) -> impl FnMut(SocketAddr, Option<&PeerId>) -> bool + 'a {
    let exempt = config.private_exempt();
    move |addr, peer| {
        around.has(addr, peer)
            || !groups.may(Group::of(addr, exempt))
            || overlay.discouraged.is_marked(addr.ip(), now)
    }
}
