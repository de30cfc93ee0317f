//! What a handler holds in its hand: the node itself, for the length of one call.
//!
//! Decides what an application may do from inside the driver: everything a [`Handle`] does, at
//! once and without a lock, and nothing that would take the node's outputs away from the driver.
//! It never waits.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use peerline_proto::{
    ConnId, Dialect, GuestInfo, Instant, NakCode, Node, NodeId, Payload, PeerId, PeerInfo, Receipt,
    Reply, ReplyTo, Request, RequestId, Stats, Verdict, VerdictToken,
};
use serde::Serialize;

use crate::asked::{Asked, Asker};
use crate::error::{BroadcastError, DialError, ReplyError, RequestError, SendError};
use crate::handle::Handle;
use crate::names::{Found, Names};
use crate::remote::Remote;
use crate::responder::Responder;
use crate::saved::BookFile;

/// The node, as handlers and [`Handle::with`] see it. Every verb takes effect at once; what has to
/// be written is written when the handler returns.
pub struct Cx<'a> {
    pub(crate) node: &'a mut Node,
    pub(crate) names: &'a mut Names,
    pub(crate) asked: &'a mut Asked,
    pub(crate) book: &'a mut BookFile,
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

    /// Publishes a message to every node. The receipt says for how many neighbours it was queued,
    /// and to how many it is announced; with nobody connected it is 0, and no error.
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

    /// Judges a broadcast by its [`token`](peerline_proto::Message::token): it is passed on, or
    /// not. False if that is too late, or was done before.
    pub fn verdict(&mut self, token: VerdictToken, verdict: Verdict) -> bool {
        self.node.verdict(token, verdict, self.now)
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

    /// Asks a node, a neighbour or one beyond, and calls `on_end` once, with the last reply or with
    /// how the request ended without it; replies before the last are passed over. The deadline
    /// counts from now. The call is made on this thread, in a later turn; it is not made if the
    /// driver is dropped instead of shut down.
    ///
    /// # Errors
    /// See [`RequestError`]; nothing was asked then, and `on_end` is not called.
    pub fn request<T: Serialize + ?Sized>(
        &mut self,
        to: impl Into<PeerId>,
        kind: &str,
        body: &T,
        deadline: Duration,
        on_end: impl FnOnce(&mut Cx<'_>, Result<Reply, RequestError>) + Send + 'static,
    ) -> Result<RequestId, RequestError> {
        let body = Payload::encode(body)?;
        let request = self.request_payload(&to.into(), kind, &body, deadline)?;
        self.asked.add(request, Asker::Call(Box::new(on_end)));
        Ok(request)
    }

    /// Like [`request`](Self::request), of whoever speaks the BTPeer dialect at an address; see
    /// [`Handle::request_at`].
    ///
    /// # Errors
    /// See [`RequestError`]; nothing was asked then, and `on_end` is not called.
    pub fn request_at<T: Serialize + ?Sized>(
        &mut self,
        addr: SocketAddr,
        kind: &str,
        body: &T,
        deadline: Duration,
        on_end: impl FnOnce(&mut Cx<'_>, Result<Reply, RequestError>) + Send + 'static,
    ) -> Result<RequestId, RequestError> {
        let body = Payload::encode(body)?;
        let request = self.request_payload_at(addr, kind, &body, deadline)?;
        self.asked.add(request, Asker::Call(Box::new(on_end)));
        Ok(request)
    }

    /// Asks with a body that is JSON already, and without a listener: every reply, and the end if
    /// it is no reply, comes as an event that names this request.
    ///
    /// # Errors
    /// See [`RequestError`]; nothing was asked then.
    pub fn request_payload(
        &mut self,
        to: &PeerId,
        kind: &str,
        body: &Payload,
        deadline: Duration,
    ) -> Result<RequestId, RequestError> {
        Ok(self.node.request(to, kind, body, deadline, self.now)?)
    }

    /// Like [`request_payload`](Self::request_payload), of whoever speaks the BTPeer dialect at an
    /// address.
    ///
    /// # Errors
    /// See [`RequestError`]; nothing was asked then.
    pub fn request_payload_at(
        &mut self,
        addr: SocketAddr,
        kind: &str,
        body: &Payload,
        deadline: Duration,
    ) -> Result<RequestId, RequestError> {
        Ok(self.node.request_at(addr, kind, body, deadline, self.now)?)
    }

    /// Answers a request at once, with a body that is JSON already: one reply of several, or the
    /// last one. For requests that came as events; where there is a [`Responder`], use that.
    ///
    /// # Errors
    /// See [`ReplyError`]; nothing was said then, not even a no.
    pub fn reply_payload(
        &mut self,
        to: ReplyTo,
        kind: &str,
        body: &Payload,
        last: bool,
    ) -> Result<(), ReplyError> {
        Ok(self.node.reply(to, kind, body, last, self.now)?)
    }

    /// Answers a request that came as an event with a no. A guest is closed without a word.
    ///
    /// # Errors
    /// See [`ReplyError`]; nothing was said then.
    pub fn refuse(&mut self, to: ReplyTo, code: NakCode) -> Result<(), ReplyError> {
        Ok(self.node.refuse(to, code, self.now)?)
    }

    /// How many bytes of the reply under way have come, and how many there will be; see
    /// [`Node::progress`].
    pub fn progress(&self, request: RequestId) -> Option<(usize, Option<usize>)> {
        self.node.progress(request)
    }

    /// What answers a request that came as an event. Dropped, it refuses; so make it once.
    pub fn responder(&self, request: &Request) -> Responder {
        Responder::new(self.remote, request)
    }

    /// Joins the peer at an address, in its dialect: a native one is dialled, a BTPeer one is asked
    /// to add us, a chat one is told that we are here. How it ends is told by `PeerUp`,
    /// `GuestJoined`, `JoinRefused` or `ConnectionFailed`; a chat peer may say nothing.
    ///
    /// # Errors
    /// See [`DialError`]; no connection is begun then.
    pub fn add(&mut self, addr: SocketAddr, dialect: Dialect) -> Result<ConnId, DialError> {
        Ok(self.node.join(addr, dialect, self.now)?)
    }

    /// Forgets a peer: a connected one is parted from, a guest is struck off the lists. False if
    /// it is not known.
    pub fn forget(&mut self, peer: &PeerId) -> bool {
        self.node.forget(peer, self.now)
    }

    /// Asks a peer whom it knows. Addresses of native peers enter the book, a chat peer's answers
    /// are called upon, a BTPeer peer's come as `GuestPeers`. False if the peer is not known, or a
    /// BTPeer peer and as many guests are visited as may be.
    pub fn ask_for_peers(&mut self, peer: &PeerId) -> bool {
        self.node.ask_for_peers(peer, self.now)
    }

    /// Looks whether all known peers live. Those that do not are told as `PeerDown` or `GuestLeft`.
    pub fn check_live(&mut self) {
        self.node.check_live(self.now);
    }

    /// The peers and guests of this id or name; if there is none, those whose id or name begins
    /// so. In order, none for an empty text.
    pub fn find(&self, text: &str) -> Vec<PeerId> {
        let mut known: Vec<PeerId> = self.node.peers().map(|info| info.peer).collect();
        known.extend(self.node.guests().map(|guest| guest.peer));
        known.sort_unstable();
        known.dedup();
        let lower = text.to_ascii_lowercase();
        let matching = |matches: &dyn Fn(&str, &str) -> bool| -> Vec<PeerId> {
            let is_meant = |peer: &&PeerId| match peer.node() {
                Some(id) => matches(&id.to_string(), &lower),
                None => guest_name(peer).is_some_and(|name| matches(name, text)),
            };
            known.iter().filter(is_meant).cloned().collect()
        };
        let named = matching(&|name, text| name == text);
        if !named.is_empty() || text.is_empty() {
            return named;
        }
        matching(&|name, text| name.starts_with(text))
    }

    /// How many peers there are: those connected, and the BTPeer guests, which come and go.
    pub fn count(&self) -> usize {
        let guests = self.node.guests().filter(|guest| guest.dialect == Dialect::Btpeer);
        self.node.peer_count().saturating_add(guests.count())
    }

    /// How many there may be; 0 means any number within `Limits`.
    pub fn max_peers(&self) -> usize {
        self.node.config().max_peers()
    }

    /// Whether there are as many as there may be.
    pub fn is_full(&self) -> bool {
        self.node.is_full()
    }

    /// The guests that are remembered, those of each dialect in order of their names.
    pub fn guests(&self) -> impl Iterator<Item = GuestInfo> + '_ {
        self.node.guests()
    }

    /// Our name in chat.
    pub fn chat_id(&self) -> &str {
        self.node.chat_id()
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

    /// The node itself, for all that it may be asked: [`Node::external_addr`],
    /// [`Node::network_size`], [`Node::addresses`] and more.
    pub fn node(&self) -> &Node {
        self.node
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

fn guest_name(peer: &PeerId) -> Option<&str> {
    if let PeerId::Guest(name) = peer { Some(name) } else { None }
}

impl fmt::Debug for Cx<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cx").field("now", &self.now).finish_non_exhaustive()
    }
}
