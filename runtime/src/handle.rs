//! The node from another thread: every command, and what becomes of it when nobody waits.
//!
//! Decides nothing about the protocol: each command is a closure that the driver runs on a [`Cx`].
//! Bodies are encoded here, on the caller's thread. It never blocks; only waiting for the answer
//! does. When the last handle is dropped the node says bye and stops.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use peerline_proto::{ConnId, NodeId, Payload, PeerId, PeerInfo, Receipt, Stats};
use serde::Serialize;

use crate::cx::Cx;
use crate::error::{BroadcastError, CommandError, DialError, SendError};
use crate::names::Found;
use crate::pending::{Answer, Pending};
use crate::remote::Remote;

/// A node that runs elsewhere. Clones are handles to the same node, and may be sent to any thread.
///
/// Each command queues its work for the driver and answers with a [`Pending`]. Up to 1,024
/// commands may wait; beyond that the answer is `Busy`, and nothing was done. **Cancelling**, that
/// is dropping the `Pending` before its answer, never undoes a command.
///
/// When the last handle is dropped the node says bye to its peers and stops within five seconds.
pub struct Handle {
    remote: Arc<Remote>,
}

impl Handle {
    pub(crate) fn new(remote: Arc<Remote>) -> Self {
        remote.handle_made();
        Self { remote }
    }

    /// The node's id.
    pub fn id(&self) -> NodeId {
        self.remote.id()
    }

    /// Where the node listens, with the ports it was given.
    pub fn local_addrs(&self) -> &[SocketAddr] {
        self.remote.listens()
    }

    /// Opens a connection to an address, or to a name with a port, which is looked up on another
    /// thread. All addresses of a name are dialled, and the answer names each dial begun; how it
    /// ends is told by `PeerUp` or `ConnectionFailed`. Cancelling does not stop the dials.
    ///
    /// # Errors
    /// Through the answer: see [`DialError`]. If several addresses fail it is the last one's.
    pub fn dial(&self, addr: impl ToString) -> Pending<Vec<ConnId>, DialError> {
        let text = addr.to_string();
        if let Ok(addr) = text.parse::<SocketAddr>() {
            return self.ask(move |cx| cx.dial(addr).map(|conn| vec![conn]));
        }
        let (answer, pending) = Pending::new(Arc::clone(&self.remote));
        let remote = Arc::clone(&self.remote);
        self.remote
            .lookups
            .ask(text.clone(), move |found| dial_found(&remote, text, found, answer));
        pending
    }

    /// Adds an address, or a name with a port, that is dialled whenever connections are few, for
    /// ever. A name is looked up until it has an address. Cancelling does not remove it.
    ///
    /// # Errors
    /// Through the answer: see [`CommandError`].
    pub fn add_bootstrap(&self, addr: impl ToString) -> Pending<(), CommandError> {
        let text = addr.to_string();
        self.with(move |cx| cx.add_bootstrap(text))
    }

    /// Sends a message to one peer that is connected. The answer comes when the message is queued
    /// for the peer, not when it has arrived. Cancelling does not take it back.
    ///
    /// # Errors
    /// Through the answer: see [`SendError`].
    pub fn send<T: Serialize + ?Sized>(
        &self,
        to: impl Into<PeerId>,
        kind: &str,
        body: &T,
    ) -> Pending<(), SendError> {
        let (to, kind) = (to.into(), Box::<str>::from(kind));
        match Payload::encode(body) {
            Ok(body) => self.ask(move |cx| cx.send_payload(&to, &kind, &body)),
            Err(error) => Pending::known(Err(error.into())),
        }
    }

    /// Publishes a message to every node. The receipt says how many peers it was queued for.
    /// Cancelling does not take it back.
    ///
    /// # Errors
    /// Through the answer: see [`BroadcastError`].
    pub fn broadcast<T: Serialize + ?Sized>(
        &self,
        kind: &str,
        body: &T,
    ) -> Pending<Receipt, BroadcastError> {
        let kind = Box::<str>::from(kind);
        match Payload::encode(body) {
            Ok(body) => self.ask(move |cx| cx.broadcast_payload(&kind, &body)),
            Err(error) => Pending::known(Err(error.into())),
        }
    }

    /// Ends the connections to a peer; false if it is not connected. Cancelling does not keep
    /// them.
    ///
    /// # Errors
    /// Through the answer: see [`CommandError`].
    pub fn disconnect(&self, peer: impl Into<PeerId>) -> Pending<bool, CommandError> {
        let peer = peer.into();
        self.with(move |cx| cx.disconnect(&peer))
    }

    /// Everyone who is connected. Cancelling has no effect but to lose the answer.
    ///
    /// # Errors
    /// Through the answer: see [`CommandError`].
    pub fn peers(&self) -> Pending<Vec<PeerInfo>, CommandError> {
        self.with(|cx| cx.peers().collect())
    }

    /// One peer, if it is connected. Cancelling has no effect but to lose the answer.
    ///
    /// # Errors
    /// Through the answer: see [`CommandError`].
    pub fn peer(&self, peer: impl Into<PeerId>) -> Pending<Option<PeerInfo>, CommandError> {
        let peer = peer.into();
        self.with(move |cx| cx.peer(&peer))
    }

    /// The node's counters. Cancelling has no effect but to lose the answer.
    ///
    /// # Errors
    /// Through the answer: see [`CommandError`].
    pub fn stats(&self) -> Pending<Stats, CommandError> {
        self.with(|cx| cx.stats())
    }

    /// Says bye, flushes, and stops the node within this time, after the commands before it. Done
    /// also when the command queue is full. The answer comes when the node has stopped and its
    /// sockets are closed. Cancelling does not keep it running.
    ///
    /// # Errors
    /// Through the answer, like [`stopped`](Self::stopped). A node that has stopped already is no
    /// error.
    pub fn shutdown(&self, within: Duration) -> Pending<(), CommandError> {
        self.remote.shutdown(within);
        self.stopped()
    }

    /// The answer comes when the node has stopped, whoever stopped it. Cancelling has no effect
    /// on the node.
    ///
    /// # Errors
    /// Through the answer: `Busy` if 1,024 others wait for this already, and `WouldDeadlock`.
    pub fn stopped(&self) -> Pending<(), CommandError> {
        let (answer, pending) = Pending::new(Arc::clone(&self.remote));
        self.remote.when_stopped(answer);
        pending
    }

    /// Runs a closure on the driver, with the node in its hand, and answers with what it returns.
    /// Several commands in one such closure are done together. It must not block; if it panics
    /// the answer is `Stopped`. Cancelling does not keep it from running.
    ///
    /// # Errors
    /// Through the answer: see [`CommandError`].
    pub fn with<R: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Cx<'_>) -> R + Send + 'static,
    ) -> Pending<R, CommandError> {
        self.ask(move |cx| Ok(work(cx)))
    }

    fn ask<T, E>(
        &self,
        work: impl FnOnce(&mut Cx<'_>) -> Result<T, E> + Send + 'static,
    ) -> Pending<T, E>
    where
        T: Send + 'static,
        E: From<CommandError> + Send + 'static,
    {
        let (answer, pending) = Pending::new(Arc::clone(&self.remote));
        match self.remote.push(Box::new(move |cx| answer.give(work(cx)))) {
            Ok(()) => pending,
            Err(error) => Pending::known(Err(error.into())),
        }
    }
}

/// A lookup for a dial ended, on a thread of its own.
fn dial_found(
    remote: &Arc<Remote>,
    name: String,
    found: Found,
    answer: Answer<Vec<ConnId>, DialError>,
) {
    match found {
        Ok(addrs) => remote.push_answer(Box::new(move |cx| answer.give(dial_all(cx, addrs)))),
        Err(error) => answer.give(Err(DialError::Resolve { name, error })),
    }
}

/// Dials each address; an error only if no dial was begun.
fn dial_all(cx: &mut Cx<'_>, addrs: Vec<SocketAddr>) -> Result<Vec<ConnId>, DialError> {
    let mut conns = Vec::new();
    let mut failed = None;
    for addr in addrs {
        match cx.dial(addr) {
            Ok(conn) => conns.push(conn),
            Err(error) => failed = Some(error),
        }
    }
    match failed {
        Some(error) if conns.is_empty() => Err(error),
        Some(_) | None => Ok(conns),
    }
}

impl Clone for Handle {
    fn clone(&self) -> Self {
        Self::new(Arc::clone(&self.remote))
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.remote.handle_dropped();
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Handle").field(&self.id()).finish()
    }
}
