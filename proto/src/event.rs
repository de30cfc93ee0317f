//! What the node tells the application.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::SocketAddr;

use crate::dialect::Dialect;
use crate::error::CloseReason;
use crate::exchange::{Reply, Request, RequestFailure, RequestId};
use crate::id::{ConnId, PeerId, Side};
use crate::message::Message;

/// Something the application may want to know.
///
/// Three rules hold whatever happens: each `PeerUp` is followed by exactly one `PeerDown` of that
/// peer; each connection that ends without ending a peer gives exactly one `ConnectionFailed`, but
/// for one that carried a guest's exchange, which may give none; each request of ours ends in
/// exactly one last `Reply` or one `RequestFailed`.
#[derive(Clone, Debug)]
#[non_exhaustive]
#[cfg_attr(feature = "testing", derive(Hash))]
pub enum Event {
    /// A peer said hello and counts from now on.
    PeerUp {
        /// Who it is.
        peer: PeerId,
        /// The connection it came by.
        conn: ConnId,
        /// The other end of that connection.
        addr: SocketAddr,
        /// Who dialled.
        side: Side,
    },
    /// The last connection to a peer ended.
    PeerDown {
        /// Who it was.
        peer: PeerId,
        /// The connection that ended.
        conn: ConnId,
        /// Why it ended.
        reason: CloseReason,
    },
    /// A connection ended that was not the last one of a peer: a failed dial, a handshake that came
    /// to nothing, a duplicate.
    ConnectionFailed {
        /// The connection.
        conn: ConnId,
        /// Its other end.
        addr: SocketAddr,
        /// Who dialled.
        side: Side,
        /// Why it ended.
        reason: CloseReason,
        /// How many more inbound ones of the same network group failed while events waited
        /// undelivered; they are told by this count alone.
        repeats: u32,
    },
    /// A broadcast or a one-to-one message arrived.
    Message(Message),
    /// Somebody asks, and waits for an answer.
    Request(Request),
    /// The next reply to a request of ours.
    Reply(Reply),
    /// A request of ours ended without its last reply.
    RequestFailed {
        /// The request.
        request: RequestId,
        /// How it ended.
        reason: RequestFailure,
    },
    /// There is room again for a peer whose queue was full: after [`SendError::Full`], or after a
    /// broadcast that skipped it.
    ///
    /// [`SendError::Full`]: crate::SendError::Full
    Writable {
        /// The peer.
        peer: PeerId,
    },
    /// A peer reports that something of ours could not be done; or, with our own id as `peer` and
    /// `no_route` as `code`, no way was found for a message of ours after `send` had taken it.
    PeerError {
        /// Who reports: a neighbour, perhaps in the name of one beyond it, or we ourselves.
        peer: PeerId,
        /// The id of the message concerned, as its sender gave it, cut to 64 bytes.
        re: Box<str>,
        /// The peer's word for it, cut to 64 bytes; escape it before it reaches a terminal.
        code: Box<str>,
    },
    /// A guest is remembered from now on: it joined us, or we it.
    GuestJoined {
        /// Who it is.
        peer: PeerId,
        /// What it speaks.
        dialect: Dialect,
        /// Where it is dialled.
        addr: SocketAddr,
    },
    /// A guest is no longer remembered: it left, did not answer, was forgotten, or gave way to a
    /// newer one.
    GuestLeft {
        /// Who it was.
        peer: PeerId,
        /// What it spoke.
        dialect: Dialect,
        /// Where it was dialled.
        addr: SocketAddr,
    },
    /// A peer that was asked to add us did not.
    JoinRefused {
        /// Where it is.
        addr: SocketAddr,
        /// What it speaks.
        dialect: Dialect,
        /// Its words, cut to 64 bytes; escape them before they reach a terminal.
        text: Box<str>,
    },
    /// A guest told whom it knows. None of them is dialled unless the application says so.
    GuestPeers {
        /// Who told.
        from: PeerId,
        /// Their ids and addresses, as far as these are addresses.
        peers: Vec<(Arc<str>, SocketAddr)>,
    },
    /// A broadcast was judged by [`Verdict::Reject`](crate::Verdict::Reject).
    Rejected {
        /// Who published it. By its own word, or that of whoever passed it on.
        from: PeerId,
        /// The peer it came by, which may have known no better.
        via: PeerId,
    },
    /// No peer has been up for [`Limits::isolated_after`](crate::Limits): said once until one is
    /// again. Whoever is known goes on being dialled; the application may know others.
    Isolated,
    /// Somebody publishes broadcasts under our node id. They are not delivered; a new epoch was
    /// taken if the last one is older than [`Limits::new_epoch_every`](crate::Limits).
    Impersonated {
        /// The peer that passed it on, which is not to blame.
        via: PeerId,
    },
}
