//! One host of an explored network: a node, its sockets, and what its events told so far.
//!
//! Checks the rules that hold for any node at any time.

use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{Hash, Hasher};
use std::net::SocketAddr;

use peerline_proto::{ConnId, Event, Node, PeerId, testing};

use crate::Side;

/// A host. What is shared between copies of a world is copied when it changes.
#[derive(Clone, Debug)]
pub(super) struct Host {
    pub(super) node: Node,
    pub(super) addr: SocketAddr,
    pub(super) sockets: BTreeMap<ConnId, (usize, Side)>,
    pub(super) up: BTreeMap<PeerId, ConnId>,
    pub(super) ended: BTreeSet<ConnId>,
    pub(super) downs: u32,
    pub(super) published: u32,
    pub(super) got: BTreeSet<(PeerId, String)>,
    pub(super) alive: bool,
    /// It ended without a word.
    pub(super) silent: bool,
    pub(super) lives: u8,
}

impl Host {
    pub(super) fn digest(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        testing::digest(&self.node).hash(&mut hasher);
        for (conn, (pipe, side)) in &self.sockets {
            (conn, pipe, *side as usize).hash(&mut hasher);
        }
        (&self.up, &self.ended, self.downs).hash(&mut hasher);
        (self.published, &self.got, self.alive, self.silent, self.lives).hash(&mut hasher);
        hasher.finish()
    }

    /// Takes an event; says what is wrong with it.
    pub(super) fn note(&mut self, event: Event) -> Option<String> {
        match event {
            Event::PeerUp { peer, conn, .. } => {
                let again = self.up.insert(peer, conn).is_some();
                again.then(|| "a peer is up twice".to_owned())
            }
            Event::PeerDown { peer, conn, .. } => {
                self.downs += 1;
                let unknown = self.up.remove(&peer).is_none();
                let again = !self.ended.insert(conn);
                (unknown || again).then(|| format!("{conn} ended twice, or its peer went down so"))
            }
            Event::ConnectionFailed { conn, .. } => {
                (!self.ended.insert(conn)).then(|| format!("{conn} ended twice"))
            }
            Event::Message(message) => {
                let fresh = self.got.insert((message.from().clone(), message.body().to_owned()));
                (!fresh).then(|| "a broadcast was delivered twice".to_owned())
            }
            _ => None, // Event may grow; these have no grammar
        }
    }

    /// Says which rule for any node at any time does not hold.
    pub(super) fn check(&self) -> Option<String> {
        if !self.alive {
            return None;
        }
        if let Some(conn) = self.sockets.keys().find(|conn| !self.node.is_open(**conn)) {
            return Some(format!("{conn} is gone and was not dropped"));
        }
        if self.node.is_stopped() && !self.sockets.is_empty() {
            return Some("stopped with sockets open".to_owned());
        }
        let known: BTreeSet<PeerId> = self.node.peers().map(|info| info.peer).collect();
        if !known.iter().eq(self.up.keys()) {
            return Some("the peers are not those that the events tell".to_owned());
        }
        let mut carriers = self.node.peers().map(|info| info.conn);
        let lost =
            carriers.find(|conn| !self.sockets.contains_key(conn) || self.ended.contains(conn));
        lost.map(|conn| format!("a peer is carried by {conn}, which is over"))
    }
}
