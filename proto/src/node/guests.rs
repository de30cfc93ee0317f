//! What the guest dialects share: how an exchange ends, where we and they are, and the
//! application's verbs on peers of every dialect.

use alloc::string::ToString;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::config::{GuestHosts, Listen};
use crate::dialect::Dialect;
use crate::error::{CloseReason, DialError, TransportError};
use crate::event::Event;
use crate::exchange::RequestFailure;
use crate::group::{canonical, is_dialable};
use crate::guests::{Guest, Table};
use crate::id::{ConnId, PeerId};
use crate::links::Link;
use crate::node::Node;
use crate::node::part::Parting;
use crate::session::btpeer::{Errand, Exchange};
use crate::session::{Call, Callee, Phase, Say};
use crate::time::Instant;
use crate::wire::chat::{self, Stamp};

/// What is known of a guest that is remembered.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct GuestInfo {
    /// Who it is.
    pub peer: PeerId,
    /// What it speaks.
    pub dialect: Dialect,
    /// Where it is dialled.
    pub addr: SocketAddr,
    /// When it was last heard.
    pub heard: Instant,
}

impl Node {
    // ---- the application's verbs ----

    /// Joins the peer at an address, in its dialect. A native peer is dialled. A BTPeer peer is
    /// asked its name, to add us, and whom it knows; a chat peer is told that we are here.
    ///
    /// The end of it is a [`PeerUp`](Event::PeerUp), a [`GuestJoined`](Event::GuestJoined), a
    /// [`JoinRefused`](Event::JoinRefused), or a [`ConnectionFailed`](Event::ConnectionFailed);
    /// a chat peer that answers nothing gives none of them.
    ///
    /// ```
    /// # use peerline_proto::*;
    /// # let id = Identity::new(NodeId::from_random_bytes([1; 16]));
    /// # let mut node = Node::new(Config::default(), id, [7; 32], Start::default());
    /// let addr = "192.0.2.1:5999".parse()?;
    /// let conn = node.join(addr, Dialect::Chat, Instant::ZERO)?;
    /// assert_eq!(node.poll_action(), Some(Action::Connect { conn, addr }));
    /// # Ok::<(), Box<dyn core::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// See [`DialError`]; nothing was changed.
    pub fn join(
        &mut self,
        addr: SocketAddr,
        dialect: Dialect,
        now: Instant,
    ) -> Result<ConnId, DialError> {
        if dialect == Dialect::Native {
            return self.dial(addr, now);
        }
        self.advance(now);
        let addr = canonical(addr);
        self.may_dial(addr)?;
        if !self.config.speaks(dialect) {
            return Err(DialError::DialectOff { dialect });
        }
        self.may_visit().map_err(|(under_way, limit)| DialError::TooMany { under_way, limit })?;
        let within = self.config.limits().guest_timeout;
        Ok(match dialect {
            Dialect::Native | Dialect::Btpeer => self.visit(addr, Errand::Name, Vec::new(), within),
            Dialect::Chat => self.call_chat(addr, Say::Ping, Callee::Joined),
        })
    }

    /// The guests that are remembered, those of each dialect in order of their names.
    pub fn guests(&self) -> impl Iterator<Item = GuestInfo> + '_ {
        let btpeer = infos(Dialect::Btpeer, &self.btpeer.table);
        btpeer.chain(infos(Dialect::Chat, self.chat.table()))
    }

    /// Whether there are as many peers, guests among them, as there may be.
    pub fn is_full(&self) -> bool {
        let max = self.config.max_peers();
        max != 0 && self.peers.len().saturating_add(self.btpeer.table.len()) >= max
    }

    /// Forgets a peer: a native one is parted from, a guest is struck off the lists. False if it is
    /// not known.
    ///
    /// ```
    /// # use peerline_proto::*;
    /// # let id = Identity::new(NodeId::from_random_bytes([1; 16]));
    /// # let mut node = Node::new(Config::default(), id, [7; 32], Start::default());
    /// assert!(!node.forget(&PeerId::Guest("10.0.0.1:5999".into()), Instant::ZERO));
    /// ```
    pub fn forget(&mut self, peer: &PeerId, now: Instant) -> bool {
        self.advance(now);
        let was_up = self.disconnect(peer, now);
        let PeerId::Guest(name) = peer else { return was_up };
        let btpeer = self.btpeer.table.forget(name);
        let chat = self.chat.table().get(name).cloned();
        self.chat.forget(name);
        let known = btpeer.is_some() || chat.is_some();
        for (dialect, guest) in [(Dialect::Btpeer, btpeer), (Dialect::Chat, chat)] {
            if let Some(guest) = guest {
                self.guest_left(name, dialect, guest.addr);
            }
        }
        was_up || known
    }

    /// Asks a peer whom it knows. Addresses of native peers enter the book; a chat peer's answers
    /// are called upon; a BTPeer peer's come as [`GuestPeers`](Event::GuestPeers). False if the
    /// peer is not known, or a guest and `guest_visits` are under way, or the node stops.
    ///
    /// ```
    /// # use peerline_proto::*;
    /// # let id = Identity::new(NodeId::from_random_bytes([1; 16]));
    /// # let mut node = Node::new(Config::default(), id, [7; 32], Start::default());
    /// assert!(!node.ask_for_peers(&PeerId::Guest("able".into()), Instant::ZERO));
    /// ```
    pub fn ask_for_peers(&mut self, peer: &PeerId, now: Instant) -> bool {
        self.advance(now);
        if let Some(conn) = self.peers.conn(peer) {
            self.ask_addresses(conn);
            return true;
        }
        let PeerId::Guest(name) = peer else { return false };
        if self.stopping.is_some() {
            return false;
        }
        if let Some(addr) = self.btpeer.table.get(name).map(|guest| guest.addr) {
            if self.may_visit().is_err() {
                return false;
            }
            let within = self.config.limits().guest_timeout;
            self.visit(addr, Errand::List, Vec::new(), within);
            return true;
        }
        let known = self.chat.table().get(name).is_some();
        if known {
            let time = self.chat_time(self.clock_seconds());
            let object = chat::advertise(Stamp { originator: self.chat.id(), time: &time });
            self.post_object(&Arc::clone(name), object.as_deref());
        }
        known
    }

    /// Looks whether all known peers live: pings the native ones, visits the BTPeer ones. Those
    /// that do not are told as down, or as left.
    ///
    /// ```
    /// # use peerline_proto::*;
    /// # let id = Identity::new(NodeId::from_random_bytes([1; 16]));
    /// # let mut node = Node::new(Config::default(), id, [7; 32], Start::default());
    /// node.check_live(Instant::ZERO);
    /// assert_eq!(node.poll_action(), None, "nobody is known yet");
    /// ```
    pub fn check_live(&mut self, now: Instant) {
        self.advance(now);
        if self.stopping.is_some() {
            return;
        }
        let conns: Vec<ConnId> = self.peers.iter().filter_map(|(_, conn)| conn).collect();
        for conn in conns {
            self.ping(conn);
        }
        let guests = self.btpeer.table.iter().map(|(_, guest)| guest.addr);
        let room = self.config.limits().guest_visits.saturating_sub(self.links.guests_under_way());
        let addrs: Vec<SocketAddr> = guests.take(room).collect();
        let within = self.config.limits().dial_timeout;
        for addr in addrs {
            self.visit(addr, Errand::Alive, Vec::new(), within);
        }
    }

    /// Whether another visit may begin; else how many are under way, and the limit.
    pub(super) fn may_visit(&self) -> Result<(), (usize, usize)> {
        let (under_way, limit) = (self.links.guests_under_way(), self.config.limits().guest_visits);
        if under_way < limit { Ok(()) } else { Err((under_way, limit)) }
    }

    /// Our name in chat.
    pub fn chat_id(&self) -> &str {
        self.chat.id()
    }

    // ---- how exchanges go ----

    /// A dial to a guest was answered.
    pub(super) fn on_guest_connected(&mut self, conn: ConnId, call: Call) {
        match call {
            Call::Native { .. } => {}
            Call::Btpeer(visit) => self.on_visit_connected(conn, visit),
            Call::Chat { say, to } => {
                let until = self.now + self.config.limits().flush_timeout;
                if let Some(link) = self.links.get_mut(conn) {
                    link.phase = Phase::Guest(Exchange::Telling { until });
                }
                self.on_chat_connected(conn, &say, &to);
            }
        }
    }

    /// A dial or visit to a guest came to nothing.
    pub(super) fn on_guest_unreached(
        &mut self,
        addr: SocketAddr,
        call: &Call,
        failure: RequestFailure,
    ) {
        match call {
            Call::Native { .. } => {}
            Call::Btpeer(visit) => self.visit_failed(addr, visit.errand, failure),
            Call::Chat { to: Callee::Known(to), .. } => self.chat_called(to, false),
            Call::Chat { to: Callee::Joined | Callee::Told, .. } => {}
        }
    }

    /// The transport of an exchange ended.
    pub(super) fn on_guest_closed(&mut self, conn: ConnId, why: TransportError) {
        let Some(Phase::Guest(exchange)) = self.links.get_mut(conn).map(|link| &mut link.phase)
        else {
            return;
        };
        match exchange {
            Exchange::Answering { ended, .. } if why == TransportError::Eof => *ended = true,
            Exchange::Answering { .. } | Exchange::Telling { .. } => self.let_go(conn),
            Exchange::Visiting(_) => self.end_visit(conn),
        }
    }

    /// An exchange took too long.
    pub(super) fn on_guest_late(&mut self, conn: ConnId) {
        let Some(Phase::Guest(exchange)) = self.links.get(conn).map(|link| &link.phase) else {
            return;
        };
        match exchange {
            Exchange::Answering { .. } | Exchange::Telling { .. } => self.exchanged(conn),
            Exchange::Visiting(_) => self.visit_late(conn),
        }
    }

    /// An exchange is over: what is queued goes out, and the connection ends in order, which is no
    /// event.
    pub(super) fn exchanged(&mut self, conn: ConnId) {
        if matches!(self.links.get(conn).map(|link| &link.phase), Some(Phase::Closing(_)) | None) {
            return;
        }
        self.stop_waiting(conn);
        self.part(conn, Parting::Silent, 1, None);
    }

    /// The last words of a connection that carries no more than them.
    pub(super) fn say_and_end(&mut self, conn: ConnId, words: Vec<u8>) {
        let limit = self.config.limits().send_queue;
        if self.links.enqueue_bytes(conn, words, limit, self.now).is_err() {
            self.stats.skipped += 1;
        }
        self.exchanged(conn);
    }

    /// Whether a connection is a dial or visit to a guest.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn calls_guest(&self, conn: ConnId) -> bool {
        let phase = self.links.get(conn).map(|link| &link.phase);
        match phase {
            Some(Phase::Dialing { call, .. }) => !matches!(call, Call::Native { .. }),
            Some(Phase::Guest(Exchange::Visiting(_) | Exchange::Telling { .. })) => true,
            Some(
                Phase::Greeting(_)
                | Phase::Ready(_)
                | Phase::Guest(Exchange::Answering { .. })
                | Phase::Closing(_),
            )
            | None => false,
        }
    }

    pub(super) fn guest_left(&mut self, name: &str, dialect: Dialect, addr: SocketAddr) {
        self.emit(Event::GuestLeft { peer: PeerId::Guest(name.into()), dialect, addr });
        if dialect == Dialect::Chat {
            self.give_up_calls(name);
        }
    }

    /// Calls to a chat peer end with it: how many there may be is counted by those remembered, and
    /// names that come and go would set off any number.
    fn give_up_calls(&mut self, name: &str) {
        let is_called = |link: &Link| match &link.phase {
            Phase::Dialing { call: Call::Chat { to: Callee::Known(to), .. }, .. } => **to == *name,
            Phase::Dialing { .. }
            | Phase::Greeting(_)
            | Phase::Ready(_)
            | Phase::Guest(_)
            | Phase::Closing(_) => false,
        };
        let calls = self.links.iter().filter(|(_, link)| is_called(link)).map(|(conn, _)| conn);
        let calls: Vec<ConnId> = calls.collect();
        for conn in calls {
            self.end(conn, CloseReason::Local, Parting::Drop);
        }
    }

    // ---- where we and they are ----

    /// Where a guest that names a host and a port is dialled; nowhere if that is no place, or ours.
    pub(super) fn guest_place(&self, source: IpAddr, host: &str, port: u16) -> Option<SocketAddr> {
        let named = match self.config.guest_hosts() {
            GuestHosts::Source => None,
            GuestHosts::Any => host.parse().ok(),
        };
        let addr = canonical(SocketAddr::new(named.unwrap_or(source), port));
        Some(addr).filter(|addr| is_dialable(*addr) && !self.is_listening(*addr))
    }

    /// The port that guests are told.
    pub(super) fn our_port(&self) -> Option<u16> {
        match self.config.advertise() {
            Some(Listen::Port(port)) => Some(port),
            Some(Listen::Addr(addr)) => Some(addr.port()),
            None => self.listening.first().map(SocketAddr::port),
        }
    }

    /// The host that the guest of a connection is told: the configured one, else the one that the
    /// connection itself uses.
    pub(super) fn our_host(&self, conn: ConnId) -> Option<IpAddr> {
        if let Some(Listen::Addr(addr)) = self.config.advertise() {
            return Some(addr.ip());
        }
        let link = self.links.get(conn)?;
        let bound = self.listening.iter().map(SocketAddr::ip).find(|ip| !ip.is_unspecified());
        let loopback = link.addr.ip().is_loopback().then(|| match link.addr.ip() {
            IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::LOCALHOST),
            IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::LOCALHOST),
        });
        link.local.map(|local| local.ip().to_canonical()).or(bound).or(loopback)
    }

    /// Our address as a guest is told it; none if we listen nowhere.
    pub(super) fn our_place(&self, conn: ConnId) -> Option<(IpAddr, u16)> {
        Some((self.our_host(conn)?, self.our_port()?))
    }

    /// Whether an id, which is a host and a port, is one of ours.
    pub(super) fn is_own_place(&self, conn: ConnId, id: &str) -> bool {
        let Some((host, port)) = id.rsplit_once(':') else { return false };
        if port.parse().ok() != self.our_port() {
            return false;
        }
        let ours = self.our_host(conn).map(|ours| ours.to_string());
        let is_bound = self.listening.iter().any(|own| own.ip().to_string() == host);
        ours.as_deref() == Some(host) || is_bound
    }
}

fn infos(dialect: Dialect, table: &Table) -> impl Iterator<Item = GuestInfo> + '_ {
    table.iter().map(move |(name, guest): (&Arc<str>, &Guest)| GuestInfo {
        peer: PeerId::Guest(Arc::clone(name)),
        dialect,
        addr: guest.addr,
        heard: guest.heard,
    })
}
