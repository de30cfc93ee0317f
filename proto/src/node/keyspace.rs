//! Links for routes by keyspace: whether we keep them, which are dialled and given up, and what
//! both ends agree on.
//!
//! Such a link carries everything but broadcasts, so that these cost what they cost without it.
//! The dialler says in its hello what the link is for, and the listener that it knows the word; if
//! it does not, the link is one like any other.

use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

use crate::config::Keyspace;
use crate::error::{ByeReason, CloseReason};
use crate::id::{ConnId, NodeId, PeerId, Side};
use crate::node::Node;
use crate::node::part::Parting;
use crate::route::keyspace::{self, Known, Linked, Size};
use crate::session::{Phase, Ready};
use crate::sorted::{SortedMap, SortedSet};
use crate::time::Instant;
use crate::wire::caps::Caps;

/// From this many nodes on a search would ask too many of them: at 16 links each, four steps reach
/// 5,000.
const LARGE: u64 = 5_000;
/// With fewer known addresses no links are kept for routes: they would be missed for broadcasts.
const FEWEST_KNOWN: usize = 32;
/// How often the neighbours nearest to us are asked whom they know. Those near to us know who else
/// is, and who came meanwhile.
const ASK_EVERY: Duration = Duration::from_secs(60);
/// How many of them.
const ASKED: usize = 2;
/// How soon it is looked whether a link that was given up has gone: a round trip, mostly.
const TURN_EVERY: Duration = Duration::from_millis(200);

/// What is kept for it.
#[derive(Clone, Debug, Default)]
#[cfg_attr(feature = "testing", derive(Hash))]
pub(super) struct IdLinks {
    size: Size,
    large: bool,
    /// Connections that we dialled for routes, and to whom.
    dialled: SortedMap<ConnId, NodeId>,
    ask_at: Instant,
    /// What was last given up for broadcasts.
    turned: Option<Turned>,
    /// Connections that were asked for addresses more than once, and so tell many again.
    asked_again: SortedSet<ConnId>,
}

/// A link for routes that is to be one for broadcasts.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "testing", derive(Hash))]
enum Turned {
    /// It ends; then this is dialled.
    Ends(ConnId, SocketAddr),
    /// It was dialled anew.
    Dialled(ConnId),
}

impl IdLinks {
    /// Whether we dialled the connection for routes.
    pub(super) fn is_ours(&self, conn: ConnId) -> bool {
        self.dialled.contains_key(&conn)
    }

    pub(super) fn ended(&mut self, conn: ConnId) {
        self.dialled.remove(&conn);
        self.asked_again.remove(&conn);
    }

    /// An address was told while the book held so many.
    fn told(&mut self, known: bool, held: usize) {
        self.size.told(known, held);
        // Once large it is not small again before it is half as large.
        let limit = if self.large { LARGE / 2 } else { LARGE };
        self.large = self.size.estimate().map_or(self.large, |size| size >= limit);
    }
}

impl Node {
    /// How many nodes the network has, as far as can be told from how often we are told of one
    /// that we know.
    ///
    /// ```
    /// # use peerline_proto::*;
    /// # let id = Identity::new(NodeId::from_random_bytes([1; 16]));
    /// # let node = Node::new(Config::default(), id, [7; 32], Start::default());
    /// assert_eq!(node.network_size(), None, "nobody told anything yet");
    /// ```
    pub fn network_size(&self) -> Option<u64> {
        self.id_links.size.estimate()
    }

    /// Somebody tells of a node, which counts towards the size of the network unless it is told for
    /// being near to us, or once more.
    pub(super) fn note_told(&mut self, by: ConnId, node: Option<&PeerId>, addr: SocketAddr) {
        let far = node.and_then(PeerId::node).is_some_and(|id| keyspace::bucket(self.id, id) == 0);
        if far && !self.id_links.asked_again.contains(&by) {
            self.id_links.told(self.book.contains(addr), self.book.len());
        }
    }

    /// Whether we route by keyspace now.
    pub(super) fn is_by_keyspace(&self) -> bool {
        match self.config.keyspace() {
            Keyspace::Off => false,
            Keyspace::Auto => self.id_links.large,
            Keyspace::On => true,
        }
    }

    /// Whether both we and the peer of this connection know of it.
    pub(super) fn is_by_keyspace_with(&self, conn: ConnId) -> bool {
        self.session(conn).is_some_and(|ready| ready.by_keyspace)
    }

    pub(super) fn is_routes_only(&self, conn: ConnId) -> bool {
        self.session(conn).is_some_and(|ready| ready.routes_only)
    }

    pub(super) fn session(&self, conn: ConnId) -> Option<&Ready> {
        match &self.links.get(conn)?.phase {
            Phase::Ready(ready) => Some(ready),
            Phase::Dialing { .. } | Phase::Greeting(_) | Phase::Guest(_) | Phase::Closing(_) => {
                None
            }
        }
    }

    /// What the hellos agree on: whether both know of routes by keyspace, and whether the
    /// connection is for those alone.
    pub(super) fn agreed(&self, conn: ConnId, side: Side, theirs: Caps) -> (bool, bool) {
        let both = theirs.route && self.config.keyspace() != Keyspace::Off;
        let alone = match side {
            Side::Dialer => self.id_links.is_ours(conn),
            Side::Listener => theirs.routes_only,
        };
        (both, both && alone)
    }

    /// The neighbours that route by keyspace, the nearest to an id first; none if we do not.
    pub(super) fn nearest_links(&self, to: NodeId) -> Vec<NodeId> {
        if !self.is_by_keyspace() {
            return Vec::new();
        }
        let by_keyspace = self.neighbours().filter(|(_, conn)| self.is_by_keyspace_with(*conn));
        let mut ids: Vec<NodeId> = by_keyspace.map(|(id, _)| id).collect();
        keyspace::sort_by_distance(to, &mut ids);
        ids
    }

    /// Of the nodes that may be told, those that an asker wants before others if it routes by
    /// keyspace.
    pub(super) fn wanted_by<'p>(
        &self,
        asker: ConnId,
        known: impl Iterator<Item = &'p PeerId> + Clone,
    ) -> SortedSet<PeerId> {
        let id = self.speaker(asker).filter(|_| self.is_by_keyspace_with(asker));
        let told = id.map(|id| keyspace::to_tell(id, known.filter_map(PeerId::node)));
        told.iter().flat_map(SortedSet::iter).map(|id| PeerId::Node(*id)).collect()
    }

    fn neighbours(&self) -> impl Iterator<Item = (NodeId, ConnId)> + '_ {
        self.peers.iter().filter_map(|(peer, conn)| Some((peer.node()?, conn?)))
    }

    /// Dials for what is missing in our table; now and then gives up a link that is not needed
    /// there, and asks those near to us for more.
    pub(super) fn plan_id_links(&mut self) {
        if !self.is_by_keyspace() || self.book.len() < FEWEST_KNOWN {
            return;
        }
        let linked = self.linked();
        let limits = self.config.limits();
        let (siblings, most) = (limits.siblings, limits.id_links);
        let max_peers = Some(self.config.max_peers()).filter(|max| *max != 0);
        let under_way = self.dials_under_way();
        let room = limits
            .max_dialing
            .saturating_sub(under_way)
            .min(most.saturating_sub(self.id_links.dialled.len()))
            .min(max_peers.map_or(usize::MAX, |max| max.saturating_sub(linked.all.len())));
        let known = self.dialable_nodes();
        let rng = &mut self.rng;
        for addr in keyspace::missing(self.id, &known, &linked, siblings, room, rng) {
            let to = known.iter().find(|known| known.addr == addr).map(|known| known.id);
            let conn = self.open_dial(addr);
            self.id_links.dialled.extend(to.map(|to| (conn, to)));
        }
        if self.id_links.dialled.len() >= most || self.now >= self.id_links.ask_at {
            self.give_up_id_link(&linked, siblings);
        }
        self.ask_nearest();
        self.plan_at =
            Some(self.plan_at.map_or(self.id_links.ask_at, |at| at.min(self.id_links.ask_at)));
    }

    /// Whom we are linked with, and whom we are dialling.
    pub(super) fn linked(&self) -> Linked {
        let mut linked = Linked::default();
        for (id, conn) in self.neighbours() {
            linked.all.insert(id);
            if self.links.get(conn).is_some_and(|link| link.side == Side::Dialer) {
                linked.own.insert(id);
            }
        }
        linked.own.extend(self.id_links.dialled.values().copied());
        linked.all.extend(self.id_links.dialled.values().copied());
        linked
    }

    /// The nodes whose addresses are known and due, where no connection goes yet.
    fn dialable_nodes(&self) -> Vec<Known> {
        let busy: SortedSet<SocketAddr> = self.links.iter().map(|(_, link)| link.addr).collect();
        let due = self.book.iter().filter(|(_, entry)| self.book.due(entry, false) <= self.now);
        let known = due.filter_map(|(addr, entry)| {
            let id = entry.peer.as_ref().and_then(PeerId::node)?;
            Some(Known { id, addr })
        });
        let free = |addr: SocketAddr| !busy.contains(&addr) && !self.is_discouraged(addr.ip());
        known.filter(|known| known.id != self.id && free(known.addr)).collect()
    }

    fn give_up_id_link(&mut self, linked: &Linked, siblings: usize) {
        let may_go = |conn: ConnId| self.is_routes_only(conn) && !self.overlay.is_asked_for(conn);
        let up = self.id_links.dialled.iter().filter(|(conn, _)| may_go(**conn));
        let for_routes: SortedSet<NodeId> = up.map(|(_, id)| *id).collect();
        let spare = keyspace::superfluous(self.id, &for_routes, linked, siblings);
        let conn = spare.and_then(|id| self.peers.conn(&PeerId::Node(id)));
        if let Some(conn) = conn.filter(|conn| self.id_links.is_ours(*conn)) {
            // Not as a disconnect, which asks for peace: it may want us as we do not want it.
            self.end(conn, CloseReason::Local, Parting::Bye(ByeReason::Other));
        }
    }

    /// No broadcast goes by a link for routes. Where all other links are gone, as when those behind
    /// them are cut off, one is given up and its node dialled anew as any other is: nobody else
    /// would, as it is connected.
    ///
    /// Returns when to look again, if that is not told by anything else.
    pub(super) fn turn_an_id_link(&mut self) -> Option<Instant> {
        let for_broadcasts = |(_, conn): (NodeId, ConnId)| !self.is_routes_only(conn);
        if self.neighbours().any(for_broadcasts) {
            self.id_links.turned = None;
            return None;
        }
        match self.id_links.turned {
            Some(Turned::Ends(conn, addr)) => self.dial_turned(conn, addr),
            Some(Turned::Dialled(conn)) if self.is_open(conn) && !self.is_routes_only(conn) => {}
            Some(Turned::Dialled(_)) | None => self.give_up_for_broadcasts(),
        }
        let ends = matches!(self.id_links.turned, Some(Turned::Ends(..)));
        ends.then_some(self.now + TURN_EVERY)
    }

    fn give_up_for_broadcasts(&mut self) {
        // One that we dialled can be dialled; of others we have their word.
        let own = self.neighbours().filter_map(|(_, conn)| {
            let link = self.links.get(conn).filter(|link| link.side == Side::Dialer)?;
            Some((conn, link.addr))
        });
        let theirs = self.neighbours();
        let theirs = theirs.filter_map(|(_, conn)| Some((conn, self.session(conn)?.listens?)));
        let chosen = own.chain(theirs).next();
        self.id_links.turned = chosen.map(|(conn, addr)| Turned::Ends(conn, addr));
        if let Some((conn, _)) = chosen {
            self.end(conn, CloseReason::Local, Parting::Bye(ByeReason::Other));
        }
    }

    /// Dials once the old connection is gone, unless somebody else did.
    fn dial_turned(&mut self, old: ConnId, addr: SocketAddr) {
        let limits = self.config.limits();
        if self.is_open(old) || self.dials_under_way() >= limits.max_dialing {
            return;
        }
        let known = self.links.iter().find(|(_, link)| link.addr == addr).map(|(conn, _)| conn);
        let conn = known.unwrap_or_else(|| self.open_dial(addr));
        self.id_links.turned = Some(Turned::Dialled(conn));
    }

    fn ask_nearest(&mut self) {
        if self.now < self.id_links.ask_at {
            return;
        }
        self.id_links.ask_at = self.now + ASK_EVERY;
        let nearest = self.nearest_links(self.id).into_iter().take(ASKED);
        let conns: Vec<ConnId> =
            nearest.filter_map(|id| self.peers.conn(&PeerId::Node(id))).collect();
        for conn in conns {
            self.ask_addresses(conn);
            self.id_links.asked_again.insert(conn);
        }
    }
}
