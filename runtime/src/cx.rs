//! What a handler holds in its hand: the node itself, for the length of one call.
//!
//! Decides what an application may do from inside the driver: everything a [`Handle`] does, at
//! once and without a lock, and nothing that would take the node's outputs away from the driver.
//! It never waits.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use peerline_proto::{ConnId, Instant, Node, NodeId, Payload, PeerId, PeerInfo, Receipt, Stats};
use serde::Serialize;

use crate::error::{BroadcastError, DialError, SendError};
use crate::handle::Handle;
use crate::names::{Found, Names};
use crate::remote::Remote;

/// The node, as handlers and [`Handle::with`] see it. Every verb takes effect at once; what has to
/// be written is written when the handler returns.
pub struct Cx<'a> {
    pub(crate) node: &'a mut Node,
    pub(crate) names: &'a mut Names,
    pub(crate) remote: &'a Arc<Remote>,
    pub(crate) now: Instant,
}

impl Cx<'_> {
    /// Sends a message to one peer that is connected.
    ///
    /// # Errors
    /// See [`SendError`]; nothing is queued then.
    pub fn send<T: Serialize + ?Sized>(
        &mut self,
        to: impl Into<PeerId>,
        kind: &str,
        body: &T,
    ) -> Result<(), SendError> {
        let body = Payload::encode(body)?;
        self.send_payload(&to.into(), kind, &body)
    }

    /// Publishes a message to every node. The receipt says how many peers it was queued for.
    ///
    /// # Errors
    /// See [`BroadcastError`]; nothing is queued then.
    pub fn broadcast<T: Serialize + ?Sized>(
        &mut self,
        kind: &str,
        body: &T,
    ) -> Result<Receipt, BroadcastError> {
        let body = Payload::encode(body)?;
        self.broadcast_payload(kind, &body)
    }

    /// Like [`send`](Self::send), for a body that is JSON already.
    ///
    /// # Errors
    /// See [`SendError`]; nothing is queued then.
    pub fn send_payload(
        &mut self,
        to: &PeerId,
        kind: &str,
        body: &Payload,
    ) -> Result<(), SendError> {
        Ok(self.node.send(to, kind, body, self.now)?)
    }

    /// Like [`broadcast`](Self::broadcast), for a body that is JSON already.
    ///
    /// # Errors
    /// See [`BroadcastError`]; nothing is queued then.
    pub fn broadcast_payload(
        &mut self,
        kind: &str,
        body: &Payload,
    ) -> Result<Receipt, BroadcastError> {
        Ok(self.node.broadcast(kind, body, self.now)?)
    }

    /// Opens a connection. It ends in `PeerUp` or `ConnectionFailed`.
    ///
    /// # Errors
    /// See [`DialError`]; no connection is begun then.
    pub fn dial(&mut self, addr: SocketAddr) -> Result<ConnId, DialError> {
        Ok(self.node.dial(addr, self.now)?)
    }

    /// Adds an address, or a name with a port, that is dialled whenever connections are few. A
    /// name is looked up on another thread until it has an address.
    pub fn add_bootstrap(&mut self, addr: impl ToString) {
        let text = addr.to_string();
        match text.parse() {
            Ok(addr) => self.node.add_bootstrap(addr, self.now),
            Err(_) => self.names.add(text, self.now),
        }
    }

    /// Ends the connections to a peer. False if it is not connected.
    pub fn disconnect(&mut self, peer: &PeerId) -> bool {
        self.node.disconnect(peer, self.now)
    }

    /// Says bye, flushes, and stops the node within this time.
    pub fn shutdown(&mut self, within: Duration) {
        self.node.shutdown(within, self.now);
    }

    /// Everyone who is connected, in order of their ids.
    pub fn peers(&self) -> impl Iterator<Item = PeerInfo> + '_ {
        self.node.peers()
    }

    /// How many are connected.
    pub fn peer_count(&self) -> usize {
        self.node.peer_count()
    }

    /// One peer, if it is connected.
    pub fn peer(&self, peer: &PeerId) -> Option<PeerInfo> {
        self.node.peer(peer)
    }

    /// The node's counters.
    pub fn stats(&self) -> Stats {
        self.node.stats()
    }

    /// The node's id.
    pub fn id(&self) -> NodeId {
        self.node.id()
    }

    /// Where the node listens.
    pub fn local_addrs(&self) -> &[SocketAddr] {
        self.remote.listens()
    }

    /// The time of this turn: monotone, from an origin of the driver's.
    pub fn now(&self) -> Instant {
        self.now
    }

    /// A handle to the node, to be used after this call and from any thread. While one exists
    /// the node does not stop by itself.
    pub fn handle(&self) -> Handle {
        Handle::new(Arc::clone(self.remote))
    }

    /// A lookup of a bootstrap name ended.
    pub(crate) fn looked_up(&mut self, index: usize, found: Found) {
        for addr in self.names.answer(index, found, self.now) {
            self.node.add_bootstrap(addr, self.now);
        }
    }
}

impl fmt::Debug for Cx<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cx").field("now", &self.now).finish_non_exhaustive()
    }
}
