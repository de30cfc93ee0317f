//! What the application and the driver may ask, without changing anything.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

use crate::book::Told;
use crate::config::Config;
use crate::group::{Group, canonical};
use crate::id::{ConnId, NodeId, PeerId, Side};
use crate::links::Link;
use crate::node::Node;
use crate::quote::quoted_len;
use crate::session::Phase;
use crate::sorted::SortedMap;
use crate::stats::Stats;
use crate::time::{Instant, UnixTime};

/// Up to this many addresses in the book an answer holds all that are alive; above, a share.
const TELL_ALL: usize = 64;
/// The share of a larger book that one answer holds, per cent (as Bitcoin Core).
const TELL_SHARE: usize = 23;
/// Addresses for a version 0 node, which reads 1,200 bytes at once.
const TELL_V0: usize = 16;
/// Bytes of addresses for a version 0 node: with hello, ping and getaddr no more than 1,200.
const BYTES_V0: usize = 1000;
/// The longest IPv4 address and port as text, with the signs around a pair.
const ADDRESS_LEN: usize = 30;
/// The latest time that a line can hold: the largest integer that any JSON reader keeps exactly.
const LATEST: UnixTime = UnixTime::from_millis((1 << 53) - 1);
/// Other nodes named to one that we have no room for.
const ALTERNATIVES: usize = 8;

/// What is known of a peer.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct PeerInfo {
    /// Who it is.
    pub peer: PeerId,
    /// The connection that carries it.
    pub conn: ConnId,
    /// The other end of that connection.
    pub addr: SocketAddr,
    /// Who dialled.
    pub side: Side,
    /// The smoothed round trip, once one was measured.
    pub round_trip: Option<Duration>,
    /// Where it can be dialled, as far as it is known.
    pub listens: Option<SocketAddr>,
    /// Bytes waiting to be sent to it, with what keeping them costs.
    pub queued: usize,
    /// It has not answered a ping in time.
    pub suspect: bool,
    /// Broadcasts that came by this connection and that the application rejected.
    pub rejected: u64,
}

impl Node {
    /// Our own id.
    pub fn id(&self) -> NodeId {
        self.id
    }

    /// The settings.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The peers that are up, in order of their ids.
    pub fn peers(&self) -> impl Iterator<Item = PeerInfo> + '_ {
        self.peers.iter().filter_map(|(peer, conn)| self.info(peer, conn?))
    }

    /// How many peers are up.
    pub fn peer_count(&self) -> usize {
        self.peers.len()
    }

    /// One peer, if it is up.
    pub fn peer(&self, peer: &PeerId) -> Option<PeerInfo> {
        self.info(peer, self.peers.conn(peer)?)
    }

    fn info(&self, peer: &PeerId, conn: ConnId) -> Option<PeerInfo> {
        let link = self.links.get(conn)?;
        let Phase::Ready(ready) = &link.phase else { return None };
        Some(PeerInfo {
            peer: peer.clone(),
            conn,
            addr: link.addr,
            side: link.side,
            round_trip: ready.alive.round_trip(),
            listens: ready.listens,
            queued: link.queued(),
            suspect: ready.alive.is_suspect(),
            rejected: ready.rejected,
        })
    }

    /// Whether the connection has not been dropped yet.
    pub fn is_open(&self, conn: ConnId) -> bool {
        self.links.get(conn).is_some()
    }

    /// Whether the driver should read this connection: the level behind
    /// [`PauseReading`](crate::Action::PauseReading) and
    /// [`ResumeReading`](crate::Action::ResumeReading).
    pub fn wants_read(&self, conn: ConnId) -> bool {
        self.links.get(conn).is_some() && !self.links.is_paused(conn)
    }

    /// Whether the node was shut down and every connection is gone.
    pub fn is_stopped(&self) -> bool {
        self.stopping.is_some() && self.links.is_empty()
    }

    /// Whether the node was told to shut down.
    pub fn is_stopping(&self) -> bool {
        self.stopping.is_some()
    }

    /// The addresses that listeners are bound to.
    pub fn listen_addrs(&self) -> &[SocketAddr] {
        &self.listening
    }

    /// The addresses in the book.
    pub fn addresses(&self) -> impl ExactSizeIterator<Item = SocketAddr> + '_ {
        self.book.iter().map(|(addr, _)| addr)
    }

    /// Bytes held for others: queues, unfinished lines, undelivered events, what waits for a
    /// verdict, and what requests and messages keep until they are answered or find a way.
    pub fn buffered(&self) -> usize {
        let requests = self.asked.bytes().saturating_add(self.answering.bytes());
        let waiting = requests.saturating_add(self.seeks.bytes());
        let waiting = waiting.saturating_add(self.verdicts.bytes());
        let waiting = waiting.saturating_add(self.walks.bytes());
        self.links.buffered().saturating_add(self.events.charged()).saturating_add(waiting)
    }

    /// What [`buffered`](Self::buffered) counts beside peers' queues, lines and events, part by
    /// part: its name, its bytes and their bound.
    #[cfg(feature = "testing")]
    pub(crate) fn kept(&self) -> [(&'static str, usize, usize); 6] {
        let limits = self.config.limits();
        let (for_guests, most_for_guests) = self.links.kept_for_guests();
        let asked = limits.pending_bytes.saturating_add(limits.early_bytes);
        [
            ("words to guests", for_guests, most_for_guests),
            ("requests", self.asked.bytes(), asked),
            ("answers", self.answering.bytes(), limits.replay_bytes),
            ("searches", self.seeks.bytes(), limits.held_bytes),
            ("verdicts", self.verdicts.bytes(), limits.verdict_bytes),
            ("walks", self.walks.bytes(), limits.walk_bytes),
        ]
    }

    /// The counters.
    pub fn stats(&self) -> Stats {
        self.stats
    }

    #[cfg(feature = "testing")]
    pub(crate) fn book(&self) -> &crate::book::Book {
        &self.book
    }

    #[cfg(feature = "testing")]
    pub(crate) fn is_behind(&self) -> bool {
        self.events.is_over()
    }

    // ---- for the other files of the node ----

    /// The wall-clock time, as messages carry it: a clock gone wild must not make our lines ones
    /// that nobody takes.
    pub(super) fn unix(&self) -> UnixTime {
        self.start.unix_at(self.now).min(LATEST)
    }

    pub(super) fn inbound_peers(&self) -> usize {
        self.peers.iter().filter(|(peer, _)| self.has_dialled_us(peer)).count()
    }

    /// Whether some connection of a peer, which may be a rival yet, was dialled by it.
    pub(super) fn has_dialled_us(&self, peer: &PeerId) -> bool {
        self.peers.conns(peer).iter().any(|conn| self.is_accepted(*conn))
    }

    pub(super) fn is_accepted(&self, conn: ConnId) -> bool {
        self.links.get(conn).is_some_and(|link| link.side == Side::Listener)
    }

    /// Whether one of our listeners is reached there.
    pub(super) fn is_listening(&self, addr: SocketAddr) -> bool {
        self.external_addr() == Some(canonical(addr)) || is_listening(&self.listening, addr)
    }

    /// The addresses to tell the peer of this connection: alive of late, reached by a dial of ours
    /// or by the peer's own word, never the asker's. With each its node's name and its age in
    /// seconds.
    pub(super) fn addresses_for(
        &mut self,
        asker: ConnId,
        max: Option<u64>,
    ) -> Vec<(SocketAddr, String, u64)> {
        let Some(ready) = self.ready_mut(asker) else { return Vec::new() };
        let (name, version) = (ready.peer.clone(), ready.version);
        let Some(source) = self.links.get(asker).map(|link| link.addr) else { return Vec::new() };
        let told = self.told_to(source);
        let told = told.into_iter().filter(|(addr, peer, _)| {
            let asks = *peer == name || self.is_at(asker, *addr);
            #[cfg(peerline_planted)]
            let asks = asks && !self.is_planted(crate::planted::Bug::TellsAsker);
            !asks && (version != 0 || addr.is_ipv4())
        });
        let asked = max.and_then(|max| usize::try_from(max).ok()).unwrap_or(usize::MAX);
        let told: Vec<Told> = told.collect();
        let mut wanted = self.wanted_by(asker, told.iter().map(|(_, peer, _)| peer));
        let (first, rest): (Vec<_>, Vec<_>) =
            told.into_iter().partition(|(_, peer, _)| wanted.remove(peer));
        let told = first.into_iter().chain(rest);
        let count = if version == 0 { asked.min(TELL_V0) } else { asked };
        let (mut bytes, mut rows, now) = (0_usize, Vec::new(), self.now);
        for (addr, peer, at) in told.take(count) {
            let row = (addr, wire_name(&peer), now.saturating_since(at).as_secs());
            bytes = bytes.saturating_add(quoted_len(&row.1)).saturating_add(ADDRESS_LEN);
            if version == 0 && bytes > BYTES_V0 {
                break;
            }
            rows.push(row);
        }
        rows
    }

    /// What is told to somebody at this address: all there is of a small book; of a larger one a
    /// share, and to the whole group of the asker the same for a while. An asker whose address is a
    /// group of its own is told something else each time.
    fn told_to(&mut self, source: SocketAddr) -> Vec<Told> {
        let (group, known) = (Group::of(source, self.config.private_exempt()), self.book.len());
        let keeps = known > TELL_ALL && !matches!(group, Group::Exempt(_));
        if let Some(told) = self.answers.get(group, self.now).filter(|_| keeps) {
            return told.to_vec();
        }
        let share = if known > TELL_ALL { known * TELL_SHARE / 100 } else { TELL_ALL };
        let count = share.min(self.config.limits().addr_answer);
        let (mut alive, mut told) = (self.alive_addresses(), Vec::new());
        while told.len() < count && !alive.is_empty() {
            let index = usize::try_from(self.rng.below(alive.len() as u64)).unwrap_or_default();
            told.push(alive.swap_remove(index));
        }
        if keeps {
            self.answers.keep(group, told.clone(), self.now);
        }
        told
    }

    /// Whether the connection's other end is at, or listens at, this address.
    fn is_at(&self, conn: ConnId, addr: SocketAddr) -> bool {
        let Some(link) = self.links.get(conn) else { return false };
        let Phase::Ready(ready) = &link.phase else { return false };
        link.addr == addr || ready.listens == Some(addr)
    }

    /// Addresses that were alive of late, with who is there and when it was last heard.
    fn alive_addresses(&self) -> Vec<Told> {
        let within = self.config.limits().advertise_within;
        let mut alive: SortedMap<SocketAddr, (PeerId, Instant)> = SortedMap::new();
        for (addr, entry) in self.book.iter().filter(|(_, entry)| entry.proven) {
            if let (Some(peer), Some(at)) = (&entry.peer, entry.alive) {
                alive.insert(addr, (peer.clone(), at));
            }
        }
        for (_, link) in self.links.iter() {
            alive.extend(connected_address(link));
        }
        alive.retain(|_, (_, at)| self.now.saturating_since(*at) <= within);
        alive.into_iter().map(|(addr, (peer, at))| (addr, peer, at)).collect()
    }

    /// Nodes to name to one that we have no room for: others each time, so that those whom a
    /// crowded bootstrap sends on do not all go to the same eight.
    pub(super) fn alternatives(&mut self) -> Vec<(SocketAddr, NodeId)> {
        let alive = self.alive_addresses().into_iter();
        let nodes = alive.filter_map(|(addr, peer, _)| peer.node().map(|node| (addr, node)));
        let (mut nodes, mut named): (Vec<_>, Vec<_>) = (nodes.collect(), Vec::new());
        while named.len() < ALTERNATIVES && !nodes.is_empty() {
            let index = usize::try_from(self.rng.below(nodes.len() as u64)).unwrap_or_default();
            named.push(nodes.swap_remove(index));
        }
        named
    }
}

/// Whether one of these listeners is reached there.
pub(super) fn is_listening(listening: &[SocketAddr], addr: SocketAddr) -> bool {
    let addr = canonical(addr);
    listening.iter().any(|own| {
        let anywhere = own.ip().is_unspecified() && addr.ip().is_loopback();
        *own == addr || (anywhere && own.port() == addr.port())
    })
}

/// Where the peer of a connection can be dialled, who it is, and when it was last heard.
fn connected_address(link: &Link) -> Option<(SocketAddr, (PeerId, Instant))> {
    let Phase::Ready(ready) = &link.phase else { return None };
    Some((ready.listens?, (ready.peer.clone(), ready.alive.last_heard())))
}

/// A peer's name as it stands on the wire.
fn wire_name(peer: &PeerId) -> String {
    match peer {
        PeerId::Node(id) => id.to_string(),
        PeerId::Guest(name) => name.to_string(),
    }
}
