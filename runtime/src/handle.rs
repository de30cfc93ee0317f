//! The node from another thread: every command, and what becomes of it when nobody waits.
//!
//! Decides nothing about the protocol: each command is a closure that the driver runs on a [`Cx`].
//! Bodies are encoded here, on the caller's thread. It never blocks; only waiting for the answer
//! does. When the last handle is dropped the node says bye and stops.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use peerline_proto::{
    BodyError, ConnId, Dialect, GuestInfo, NodeId, Payload, PeerId, PeerInfo, Receipt, Reply,
    Request, RequestId, Stats, Verdict, VerdictToken,
};
use serde::Serialize;

use crate::asked::Asker;
use crate::cx::Cx;
use crate::error::{BroadcastError, CommandError, DialError, RequestError, SaveError, SendError};
use crate::names::Found;
use crate::pending::{Answer, Pending};
use crate::remote::{Command, Remote};
use crate::replies::{self, Replies};
use crate::responder::Responder;

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
        self.add(addr, Dialect::Native)
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

    /// Publishes a message to every node. The receipt says for how many neighbours it was queued,
    /// and to how many it is announced; with nobody connected it is 0, and no error.
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

    /// Judges a broadcast by its [`token`](peerline_proto::Message::token): it is passed on, or
    /// not. False if that is too late, or was done before. Cancelling does not take it back.
    ///
    /// # Errors
    /// Through the answer: see [`CommandError`].
    pub fn verdict(&self, token: VerdictToken, verdict: Verdict) -> Pending<bool, CommandError> {
        self.with(move |cx| cx.verdict(token, verdict))
    }

    /// Asks a node, a neighbour or one beyond, for a single answer: the last reply, or how the
    /// request ended without it. Replies before the last are passed over. The deadline counts from
    /// when the driver takes the command. Cancelling does not take the request back.
    ///
    /// # Errors
    /// Through the answer: see [`RequestError`].
    pub fn request<T: Serialize + ?Sized>(
        &self,
        to: impl Into<PeerId>,
        kind: &str,
        body: &T,
        deadline: Duration,
    ) -> Pending<Reply, RequestError> {
        let (to, kind) = (to.into(), Box::<str>::from(kind));
        self.one_reply(Payload::encode(body), move |cx, body| {
            cx.request_payload(&to, &kind, body, deadline)
        })
    }

    /// Like [`request`](Self::request), for all replies: a stream of them, to be read while they
    /// come. Cancelling, that is dropping it, does not take the request back.
    ///
    /// # Errors
    /// Through the stream: see [`RequestError`].
    pub fn request_stream<T: Serialize + ?Sized>(
        &self,
        to: impl Into<PeerId>,
        kind: &str,
        body: &T,
        deadline: Duration,
    ) -> Replies {
        let (to, kind) = (to.into(), Box::<str>::from(kind));
        self.all_replies(Payload::encode(body), move |cx, body| {
            cx.request_payload(&to, &kind, body, deadline)
        })
    }

    /// Like [`request`](Self::request), of whoever speaks the BTPeer dialect at an address: dials
    /// it, asks, and takes replies until it closes. The kind has at most four ASCII characters. A
    /// body that is a JSON string is sent as its text, `{"base64": …}` as the bytes it stands for,
    /// anything else as its JSON; the bytes of a reply become a body in the same way.
    ///
    /// # Errors
    /// Through the answer: see [`RequestError`].
    pub fn request_at<T: Serialize + ?Sized>(
        &self,
        addr: SocketAddr,
        kind: &str,
        body: &T,
        deadline: Duration,
    ) -> Pending<Reply, RequestError> {
        let kind = Box::<str>::from(kind);
        self.one_reply(Payload::encode(body), move |cx, body| {
            cx.request_payload_at(addr, &kind, body, deadline)
        })
    }

    /// Like [`request_at`](Self::request_at), for all replies.
    ///
    /// # Errors
    /// Through the stream: see [`RequestError`].
    pub fn request_stream_at<T: Serialize + ?Sized>(
        &self,
        addr: SocketAddr,
        kind: &str,
        body: &T,
        deadline: Duration,
    ) -> Replies {
        let kind = Box::<str>::from(kind);
        self.all_replies(Payload::encode(body), move |cx, body| {
            cx.request_payload_at(addr, &kind, body, deadline)
        })
    }

    /// What answers a request that came as an event. Dropped, it refuses; so make it once.
    pub fn responder(&self, request: &Request) -> Responder {
        Responder::new(&self.remote, request)
    }

    /// Joins the peer at an address, or at a name with a port, in its dialect: a native one is
    /// dialled, a BTPeer one is asked to add us, a chat one is told that we are here. A name is
    /// looked up on another thread, and each of its addresses called. The answer names each
    /// connection begun; how it ends is told by `PeerUp`, `GuestJoined`, `JoinRefused` or
    /// `ConnectionFailed`, and a chat peer may say nothing. Cancelling does not stop it.
    ///
    /// # Errors
    /// Through the answer: see [`DialError`]. If several addresses fail it is the last one's.
    pub fn add(&self, addr: impl ToString, dialect: Dialect) -> Pending<Vec<ConnId>, DialError> {
        let text = addr.to_string();
        if let Ok(addr) = text.parse::<SocketAddr>() {
            return self.ask(move |cx| cx.add(addr, dialect).map(|conn| vec![conn]));
        }
        let (answer, pending) = Pending::new(Arc::clone(&self.remote));
        let remote = Arc::clone(&self.remote);
        self.remote
            .lookups
            .ask(text.clone(), move |found| add_found(&remote, text, dialect, found, answer));
        pending
    }

    /// Forgets a peer: a connected one is parted from, a guest is struck off the lists. False if
    /// it is not known. Cancelling does not keep it.
    ///
    /// # Errors
    /// Through the answer: see [`CommandError`].
    pub fn forget(&self, peer: impl Into<PeerId>) -> Pending<bool, CommandError> {
        let peer = peer.into();
        self.with(move |cx| cx.forget(&peer))
    }

    /// Asks a peer whom it knows. Addresses of native peers enter the book, a chat peer's answers
    /// are called upon, a BTPeer peer's come as `GuestPeers`. False if the peer is not known, or a
    /// BTPeer peer and as many guests are visited as may be.
    /// Cancelling does not take the question back.
    ///
    /// # Errors
    /// Through the answer: see [`CommandError`].
    pub fn ask_for_peers(&self, peer: impl Into<PeerId>) -> Pending<bool, CommandError> {
        let peer = peer.into();
        self.with(move |cx| cx.ask_for_peers(&peer))
    }

    /// Looks whether all known peers live. Those that do not are told as `PeerDown` or
    /// `GuestLeft`. Cancelling does not keep it from looking.
    ///
    /// # Errors
    /// Through the answer: see [`CommandError`].
    pub fn check_live(&self) -> Pending<(), CommandError> {
        self.with(|cx| cx.check_live())
    }

    /// The peers and guests of this id or name; if there is none, those whose id or name begins
    /// so. In order, none for an empty text. Cancelling has no effect but to lose the answer.
    ///
    /// # Errors
    /// Through the answer: see [`CommandError`].
    pub fn find(&self, text: impl Into<String>) -> Pending<Vec<PeerId>, CommandError> {
        let text = text.into();
        self.with(move |cx| cx.find(&text))
    }

    /// How many peers there are: those connected, and the BTPeer guests, which come and go.
    /// Cancelling has no effect but to lose the answer.
    ///
    /// # Errors
    /// Through the answer: see [`CommandError`].
    pub fn count(&self) -> Pending<usize, CommandError> {
        self.with(|cx| cx.count())
    }

    /// How many there may be; 0 means any number within `Limits`. Cancelling has no effect but to
    /// lose the answer.
    ///
    /// # Errors
    /// Through the answer: see [`CommandError`].
    pub fn max_peers(&self) -> Pending<usize, CommandError> {
        self.with(|cx| cx.max_peers())
    }

    /// Whether there are as many as there may be. Cancelling has no effect but to lose the
    /// answer.
    ///
    /// # Errors
    /// Through the answer: see [`CommandError`].
    pub fn is_full(&self) -> Pending<bool, CommandError> {
        self.with(|cx| cx.is_full())
    }

    /// The guests that are remembered. Cancelling has no effect but to lose the answer.
    ///
    /// # Errors
    /// Through the answer: see [`CommandError`].
    pub fn guests(&self) -> Pending<Vec<GuestInfo>, CommandError> {
        self.with(|cx| cx.guests().collect())
    }

    /// Our name in chat. Cancelling has no effect but to lose the answer.
    ///
    /// # Errors
    /// Through the answer: see [`CommandError`].
    pub fn chat_id(&self) -> Pending<String, CommandError> {
        self.with(|cx| cx.chat_id().to_owned())
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

    /// The node's counters. Of a node that has stopped they are its last ones, for ever: what the
    /// end lost is in them, as `lost_at_close`. Cancelling has no effect but to lose the answer.
    ///
    /// # Errors
    /// Through the answer: `Busy` and `WouldDeadlock`, see [`CommandError`].
    pub fn stats(&self) -> Pending<Stats, CommandError> {
        let (answer, pending) = Pending::new(Arc::clone(&self.remote));
        let asked = AskedStats { remote: Arc::clone(&self.remote), answer: Some(answer) };
        match self.remote.push(Box::new(move |cx| asked.give(cx.stats()))) {
            Err(busy @ CommandError::Busy { .. }) => Pending::known(Err(busy)),
            Ok(()) | Err(CommandError::Stopped | CommandError::WouldDeadlock) => pending,
        }
    }

    /// Saves the address book to its file now. The answer comes when the disk has it. Cancelling
    /// does not keep it from being saved.
    ///
    /// # Errors
    /// Through the answer: see [`SaveError`].
    pub fn save_book(&self) -> Pending<(), SaveError> {
        let (answer, pending) = Pending::new(Arc::clone(&self.remote));
        match self.remote.push(Box::new(move |cx| cx.book.save(cx.node, answer))) {
            Ok(()) => pending,
            Err(error) => Pending::known(Err(error.into())),
        }
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

    fn one_reply(
        &self,
        body: Result<Payload, BodyError>,
        make: impl Make,
    ) -> Pending<Reply, RequestError> {
        let (answer, pending) = Pending::new(Arc::clone(&self.remote));
        let queued = body.map_err(RequestError::from).and_then(|body| {
            let command = begin(Asker::Last(answer), body, make);
            self.remote.push(command).map_err(RequestError::from)
        });
        match queued {
            Ok(()) => pending,
            Err(error) => Pending::known(Err(error)),
        }
    }

    fn all_replies(&self, body: Result<Payload, BodyError>, make: impl Make) -> Replies {
        let (sink, replies) = replies::channel(&self.remote);
        let queued = body.map_err(RequestError::from).and_then(|body| {
            let command = begin(Asker::All(sink), body, make);
            self.remote.push(command).map_err(RequestError::from)
        });
        match queued {
            Ok(()) => replies,
            Err(error) => Replies::failed(&self.remote, error),
        }
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

/// Who waits for the counters. If the driver ends before it comes to this, they are the last ones.
struct AskedStats {
    remote: Arc<Remote>,
    answer: Option<Answer<Stats, CommandError>>,
}

impl AskedStats {
    fn give(mut self, stats: Stats) {
        if let Some(answer) = self.answer.take() {
            answer.give(Ok(stats));
        }
    }
}

impl Drop for AskedStats {
    fn drop(&mut self) {
        if let Some(answer) = self.answer.take() {
            answer.give(self.remote.last_stats().ok_or(CommandError::Stopped));
        }
    }
}

/// Makes a request of this body.
trait Make: FnOnce(&mut Cx<'_>, &Payload) -> Made + Send + 'static {}

impl<F: FnOnce(&mut Cx<'_>, &Payload) -> Made + Send + 'static> Make for F {}

type Made = Result<RequestId, RequestError>;

/// The command that makes a request and notes who asks.
fn begin(asker: Asker, body: Payload, make: impl Make) -> Command {
    Box::new(move |cx| match make(cx, &body) {
        Ok(request) => cx.asked.add(request, asker),
        Err(error) => asker.end(cx, Err(error)),
    })
}

/// A lookup ended, on a thread of its own.
fn add_found(
    remote: &Arc<Remote>,
    name: String,
    dialect: Dialect,
    found: Found,
    answer: Answer<Vec<ConnId>, DialError>,
) {
    match found {
        Ok(addrs) => {
            remote.push_answer(Box::new(move |cx| answer.give(add_all(cx, addrs, dialect))));
        }
        Err(error) => answer.give(Err(DialError::Resolve { name, error })),
    }
}

/// Calls at each address; an error only if no call was begun.
fn add_all(
    cx: &mut Cx<'_>,
    addrs: Vec<SocketAddr>,
    dialect: Dialect,
) -> Result<Vec<ConnId>, DialError> {
    let mut conns = Vec::new();
    let mut failed = None;
    for addr in addrs {
        match cx.add(addr, dialect) {
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
