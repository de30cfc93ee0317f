//! Every bound of a node in one place: a name, a default, a reason.
//!
//! Nothing a peer does makes the node hold more than these add up to;
//! [`Limits::worst_case_stranger`], [`Limits::worst_case_peer`] and [`Limits::worst_case_node`] do
//! the sum. A limit that is hit costs whoever hit it and is counted in [`Stats`](crate::Stats).

mod worst;

use core::time::Duration;

#[cfg(test)]
pub(crate) use worst::{ADDRESS_COST, RANGE_COST};

use crate::rules::Rules;

/// The longest line a node may send before its hello is answered, and the longest hello, in
/// bytes without the line end: fixed by the protocol.
pub const MAX_FIRST_LINE: usize = 4 * 1024;
/// The longest broadcast line, in bytes without the line end: fixed by the protocol, so that a
/// broadcast which one node takes is taken by all.
pub const MAX_BROADCAST_LINE: usize = 256 * 1024;
/// The longest line a node may offer to take: fixed by the protocol.
pub const MAX_LINE: usize = 16 * 1024 * 1024;
/// How deep JSON may nest; the line's own object is level 1: fixed by the protocol.
pub const MAX_DEPTH: usize = 32;
/// The longest name a guest may give itself, in bytes: fixed by the protocol.
pub const MAX_GUEST_NAME: usize = 64;

/// The bounds of a node. Start from [`Limits::default`] and change fields;
/// [`ConfigBuilder::build`](crate::ConfigBuilder::build) checks the result.
///
/// ```
/// use peerline_proto::{Config, Limits};
///
/// let mut limits = Limits::default();
/// limits.send_queue = 64 * 1024;
/// let config = Config::builder().limits(limits).build()?;
/// assert_eq!(config.limits().send_queue, 64 * 1024);
/// # Ok::<(), peerline_proto::ConfigError>(())
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
#[cfg_attr(feature = "testing", derive(Hash))]
pub struct Limits {
    /// Longest line taken from a peer after its hello, bytes. When longer: the connection ends.
    /// Default 256 KiB, the least the protocol allows; at most 16 MiB.
    pub max_line: usize,
    /// Longest `kind`, bytes; a longer one is the caller's error. Default 128: a kind is a name.
    pub max_kind: usize,

    /// Bytes waiting for one connection. When full: lower classes give way, then `send` answers
    /// `Full` and broadcasts skip. Default 1 MiB: 10 ms of a gigabit link.
    pub send_queue: usize,
    /// Room beyond `send_queue` for ping, pong, addr and bye, bytes. Default 16 KiB: a full answer
    /// to getaddr, so that a busy connection still proves it lives.
    pub control_reserve: usize,
    /// Bytes waiting for all connections together. When over: the largest queue gives first.
    /// Default 64 MiB: 64 peers that stall at once.
    pub queued_total: usize,
    /// Bytes of undelivered events. When over: whoever sends is not read until the application
    /// has caught up to half. Default 1 MiB: what one connection may have queued at the other end.
    pub event_queue: usize,

    /// Connections that have not yet completed a first line. When full: the oldest of the most
    /// crowded network group that has sent least goes. Default 256: 16 MiB never read, a second of
    /// joins at a busy bootstrap.
    pub half_open: usize,
    /// Connections that end in order. When full: the one that has taken longest is let go. Default
    /// 256, as many as may begin.
    pub closing: usize,
    /// Peers that dialled us. When full: one that nothing speaks for gives way, with `bye full`; if
    /// something speaks for each of them, the newcomer is told so. Default 64: half of what
    /// Bitcoin Core has, of which most are found free.
    pub max_inbound: usize,
    /// Connections we open on our own account. Default 8, as Bitcoin Core.
    pub target_outbound: usize,
    /// Mean time between two feelers, when all connections of our own are there: dials that only
    /// test an address. As long until another takes the place of one of two peers of a network
    /// group. Default 120 s, as Bitcoin Core.
    pub feeler_every: Duration,
    /// Mean time until another takes the place of the peer of least use among those we dialled.
    /// Default 10 min: a connection still lives for an hour, and in a parted network of a hundred
    /// somebody tries another every six seconds.
    pub rotate_every: Duration,
    /// No peer is up for this long: the application is told, once. Default 30 s, the longest wait
    /// until a bootstrap address is tried again.
    pub isolated_after: Duration,
    /// Addresses remembered whose owner broke the protocol. When full: the one that would be
    /// forgotten first goes. Default 1,024.
    pub discouraged: usize,
    /// How long such an address is not dialled, and gives way first; doubles each time. Default 10
    /// min.
    pub discourage_for: Duration,
    /// The longest such time, and how long it is remembered after. Default 24 h, as Bitcoin Core
    /// bans.
    pub discourage_max: Duration,
    /// Dials under way at once. Default 8: joins fast without a storm.
    pub max_dialing: usize,
    /// The same while connections are few and dials meet nobody: more with each that met nobody of
    /// late, up to this. Default 32: of a thousand nodes of which 50 live, one is met in two
    /// seconds.
    pub urgent_dialing: usize,
    /// Connections of one version 0 peer, each served. Default 4: two dials each way.
    pub guest_connections: usize,
    /// Connections of one native peer awaiting the decision which stays. When full: the next is
    /// refused. Default 4: both dial twice.
    pub rivals: usize,

    /// Longest payload of a BTPeer frame sent, or taken as a reply to a request of ours, bytes; a
    /// request of a stranger is at most [`MAX_FIRST_LINE`]. When longer: refused before anything is
    /// kept. Default 16 MiB: the framework answers with whole files.
    pub max_frame: usize,
    /// Bytes of replies to all our requests of guests that are not handed on yet: what is reserved
    /// for those that come, and of those that came what they become as bodies. When over: the visit
    /// that brought more ends. Default 64 MiB, as the queues.
    pub guest_bytes: usize,
    /// Guests remembered, of each dialect. When full: the one least recently heard goes. Default
    /// 64.
    pub guests: usize,
    /// Bytes that wait for guests: replies to them, and requests of ours from the command on. When
    /// full: the command answers so. Never more than half of `queued_total`. Default 32 MiB, that
    /// half: guests that read slowly leave the other to peers.
    pub guest_queued: usize,
    /// Exchanges with guests under way on our own account: visits, and calls of chat. When full:
    /// the command answers so. Default 64; those that guests set off come on top, four for each
    /// guest remembered, and `guest_told`.
    pub guest_visits: usize,
    /// Calls under way to addresses that chat peers told us of. When full: the next such address is
    /// ignored. Default 16, as many as may be called at once.
    pub guest_told: usize,
    /// Requests of guests that wait for the application. When full: the next is closed without an
    /// answer. Default 64.
    pub guest_requests: usize,
    /// How long a request of a guest may wait for the application, and how long a step of joining
    /// a guest may take. Default 60 s, after which the framework gives up too.
    pub guest_timeout: Duration,
    /// Messages of guests taken at once from one address, or IPv6 network of 64 bits, before it
    /// must slow down. Default 256; loopback is exempt.
    pub guest_burst: u32,
    /// Time until a guest's address may send one more. Default 62.5 ms (16/s).
    pub guest_every: Duration,

    /// From the dial to the connection. Default 10 s: two lost SYNs (1 s + 2 s + 4 s).
    pub dial_timeout: Duration,
    /// From the connection to the hello. Default 10 s.
    pub handshake_timeout: Duration,
    /// No byte received for this long: a ping goes out. Default 8 s.
    pub ping_after: Duration,
    /// Least time a ping may go unanswered before the peer is suspect. Default 3 s.
    pub suspect_min: Duration,
    /// Most time a ping may go unanswered before the peer is suspect; between the two it is four
    /// times the smoothed round trip. Default 5 s.
    pub suspect_max: Duration,
    /// No byte received for this long: closed. Default 18 s: two pings and their time to answer.
    pub dead_after: Duration,
    /// A queue that is not empty and loses no byte for this long: closed. Default 15 s.
    pub write_stall: Duration,
    /// How long a closing connection may take to flush. Default 5 s.
    pub flush_timeout: Duration,
    /// How long a closing connection is read to the other's end. Default 1 s.
    pub linger: Duration,
    /// A timer that fires this much late means that we slept, not that the peers died: all
    /// deadlines start anew, but not twice within the longest of them. Default 1 s.
    pub late_timer: Duration,
    /// Of two connections to one node the older stays if it had a byte within this time, or
    /// answers a ping within it. Default 2 s.
    pub duplicate_fresh: Duration,
    /// How long the larger node id waits for the smaller one's decision. Default 5 s.
    pub duplicate_wait: Duration,

    /// Addresses remembered. When full: one never reached, else the least recently alive, goes,
    /// and no such one that failed of late for one that is only told.
    /// Default 4,096.
    pub book: usize,
    /// Up to this many known addresses a node connects to all of them. Default 12.
    pub full_mesh: usize,
    /// First delay before an address is dialled again; doubles with each failure, ± 50 %. Default
    /// 2 s.
    pub backoff_base: Duration,
    /// Longest delay before an address is dialled again. Default 1 h.
    pub backoff_max: Duration,
    /// Longest delay for bootstrap addresses and those that ever answered, while connections are
    /// few. Default 15 s: with an unanswered dial before it, who is alone is back in half a minute.
    pub backoff_urgent: Duration,
    /// How long an address that reached ourselves is not dialled. Default 1 h.
    pub own_address: Duration,
    /// How long after its last sign of life an address is told to others. Default 240 s.
    pub advertise_within: Duration,
    /// Addresses in one `addr` line. Default 256.
    pub addr_answer: usize,
    /// Addresses a peer may tell us unasked before it must slow down. Default 64.
    pub addr_burst: u32,
    /// Time until a peer may tell us one more address unasked. Default 10 s (0.1/s).
    pub addr_every: Duration,
    /// Least time between two answered `getaddr` of one connection. Default 10 s.
    pub getaddr_every: Duration,

    /// Streams of broadcasts followed. When full: the least recently heard goes, and leaves its
    /// last 64 ids. Default 4,096.
    pub streams: usize,
    /// Streams followed per originator. Default 4: three restarts within the memory of the others.
    pub streams_per_originator: usize,
    /// Bytes of broadcasts kept, to be announced and pushed to who missed them. When full: the
    /// oldest goes, of the link that brings more if that has a quarter. Default 8 MiB.
    pub cache: usize,
    /// How long a broadcast is kept. Default 30 s: longer than anybody looks for it.
    pub cache_for: Duration,
    /// Broadcasts looked for at once, a quarter of them announced by one link. When full: further
    /// announcements are ignored. Default 8,192.
    pub wanted: usize,
    /// How long a broadcast that was announced is looked for. Default 30 s, as long as others keep
    /// it.
    pub repair_for: Duration,
    /// Missing ranges per stream. When full: the longest untouched is closed, if old enough; last
    /// of all those where the stream may go on. Default 32.
    pub missing_ranges: usize,
    /// How long a missing range is kept open at least before another may take its place. Default 0:
    /// a fast sender skips a peer more often than repair can follow, and everything behind the last
    /// hole would be lost.
    pub missing_for: Duration,
    /// Ids remembered one by one: of closed streams, and of one-to-one messages. Two generations
    /// of this many each. Default 8,192.
    pub recent_ids: usize,
    /// Broadcasts that wait for the application's verdict, and those remembered that were not
    /// accepted; a quarter of each limit for one link. When full: the next is ignored. Default
    /// 4,096, so that one link's are a thousand, as many as events may wait.
    pub verdicts: usize,
    /// Bytes of those that wait. When full: the same. Default 4 MiB, a quarter of it as much as
    /// events may hold.
    pub verdict_bytes: usize,
    /// How long one waits; then it is ignored. Default 10 s: others look for it for 30.
    pub verdict_within: Duration,
    /// Least time between two changes of our own epoch. Default 60 s.
    pub new_epoch_every: Duration,

    /// Nodes to which a route is remembered. When full: the least recently used goes. Default
    /// 8,192: a network of the size that routes without coordinates serve.
    pub routes: usize,
    /// Neighbours remembered per route. Default 3: one for each try of a request.
    pub hops_per_route: usize,
    /// How long a hop is remembered after it was last heard of. Default 10 min.
    pub route_for: Duration,
    /// Lines passed on that are remembered, for their way back. When full: the oldest goes, and
    /// answers to it are lost. Default 16,384, as many as may be pending.
    pub relayed: usize,
    /// How long a line passed on is remembered. Default 120 s.
    pub relayed_for: Duration,
    /// Searches for a node under way. When full: `no_route` at once. Default 1,024.
    pub seeks: usize,
    /// Bytes of messages that wait for a search. When full: `send` answers `Full`. Default 1 MiB,
    /// as the queue of one connection.
    pub held_bytes: usize,
    /// How long neighbours of neighbours have to answer a search. Default 500 ms: two steps there
    /// and back at 125 ms each.
    pub find_near: Duration,
    /// How long those within four steps have. Default 1 s.
    pub find_far: Duration,

    /// Links of our own dialling that carry no broadcasts, for routes by keyspace. When full: one
    /// that is not needed goes, else none is added. Default 24: one for each bucket of 16 million
    /// nodes.
    pub id_links: usize,
    /// Nodes nearest to ourselves that are linked. Default 6: with 2, of 10,000 nodes of which half
    /// are silently dead, 1 line in 200 found its destination cut off by those around it; with 6,
    /// 1 in 1,400.
    pub siblings: usize,
    /// Bytes of lines that were passed on by keyspace and may have to go elsewhere. When full: the
    /// oldest are given up. Default 4 MiB: 64 KiB for each of 64 neighbours.
    pub walk_bytes: usize,
    /// How long such a line is kept. Default 30 s, as answers for another try.
    pub walk_for: Duration,
    /// Least time in which a neighbour has to show that it took a line, before the line goes
    /// elsewhere. Default 300 ms.
    pub hop_min: Duration,
    /// Most such time; between the two it is four times the smoothed round trip. Default 2 s, so
    /// that a try of a request has time for some.
    pub hop_max: Duration,

    /// Requests of ours that wait for an answer. When full: `request` answers `Busy`. Default
    /// 16,384.
    pub pending_requests: usize,
    /// Bytes of those requests, kept for another try. When full: `Busy`. Default 16 MiB: 1 KiB for
    /// each.
    pub pending_bytes: usize,
    /// Replies to one request that came before their turn. When full: not taken. Default 64.
    pub early_replies: usize,
    /// Bytes of such replies, of all requests. When full: not taken. Default 4 MiB.
    pub early_bytes: usize,
    /// The longest deadline; a longer one counts as this. Default 10 min.
    pub request_deadline: Duration,
    /// Requests of others that are open, or answered and remembered. When full of open ones: `nak
    /// busy`. Default 16,384, as many as one node may have pending.
    pub answering: usize,
    /// Bytes of replies remembered for tries that come again. When full: the oldest go. Default 8
    /// MiB.
    pub replay_bytes: usize,
    /// How long an answered request is remembered. Default 30 s.
    pub replay_for: Duration,
    /// The bug that is planted, if any.
    #[cfg(peerline_planted)]
    #[doc(hidden)]
    pub planted: Option<crate::planted::Bug>,
    /// The rule of the trees that is left out, if any.
    #[cfg(peerline_planted)]
    #[doc(hidden)]
    pub without: Option<crate::rules::TreeRule>,
}

/// Objects waiting for one chat peer. When full: the next is dropped and counted. 128: what is to
/// be told of a full table, and what is said meanwhile.
pub(crate) const GUESTS_WAITING: usize = 128;
/// Dials to one chat peer under way. When reached: the rest waits. 4, as many as it may hold of
/// ours.
pub(crate) const GUEST_DIALS: usize = 4;
/// Bytes of one guest's replies, or of a list of its, that are not worth counting all guests'. 64
/// KiB: a read.
pub(crate) const GUEST_UNCOUNTED: usize = 64 * 1024;
/// Bytes of a chat object, and what keeping it costs.
pub(crate) const GUEST_OBJECT: usize = 2048 + 64;

/// Owners of addresses whose rate of messages is known. When full: the one longest quiet goes.
/// 1,024: more than speak within a burst's time.
pub(crate) const RATED: usize = 1024;

/// Connections that lost to another of the same peer and are read to their ends. When full: the
/// oldest is not. 64, as many as there are inbound peers.
pub(crate) const LOSERS: usize = 64;
/// Peers to begin with after a start. 2, as Bitcoin Core.
pub(crate) const ANCHORS: usize = 2;
/// Answers to `getaddr` kept, one for each network group that asks. When full: the oldest goes. 64,
/// as many as there are inbound peers.
pub(crate) const ANSWERS: usize = 64;
/// Bytes of a saved book before its key.
pub(crate) const BOOK_HEAD: usize = 14;
/// Bytes of a saved book beside head and addresses: key, counts, anchors, checksum.
const BOOK_FRAME: usize = 16 + 1 + 4 + 8 + ANCHORS * 19;
/// The most bytes of an address in a saved book: what it is, 16 and a port, a guest's name, its
/// place, two times, its failures.
const BOOK_ENTRY: usize = 19 + 1 + MAX_GUEST_NAME + 2 + 16 + 1;

/// The most bytes of a saved book of so many addresses.
pub(crate) fn book_bytes(addresses: usize) -> usize {
    addresses.saturating_mul(BOOK_ENTRY).saturating_add(BOOK_HEAD + BOOK_FRAME)
}

impl Limits {
    /// Bytes of a saved book at most, 412 KiB by default.
    ///
    /// ```
    /// assert_eq!(peerline_proto::Limits::default().book_bytes() >> 10, 412);
    /// ```
    pub fn book_bytes(&self) -> usize {
        book_bytes(self.book)
    }

    /// The rules of the trees that hold: all, but in a build for leaving them out.
    pub(crate) fn rules(&self) -> Rules {
        Rules {
            #[cfg(peerline_planted)]
            without: self.without,
            #[cfg(peerline_planted)]
            planted: self.planted,
        }
    }
}

/// The defaults; each has its reason at its field.
pub(crate) const DEFAULTS: Limits = Limits {
    max_line: MAX_BROADCAST_LINE,
    max_kind: 128,
    send_queue: 1024 * 1024,
    control_reserve: 16 * 1024,
    queued_total: 64 * 1024 * 1024,
    event_queue: 1024 * 1024,
    half_open: 256,
    closing: 256,
    max_inbound: 64,
    target_outbound: 8,
    feeler_every: Duration::from_secs(120),
    rotate_every: Duration::from_secs(600),
    isolated_after: Duration::from_secs(30),
    discouraged: 1024,
    discourage_for: Duration::from_secs(600),
    discourage_max: Duration::from_secs(24 * 3600),
    max_dialing: 8,
    urgent_dialing: 32,
    guest_connections: 4,
    rivals: 4,
    max_frame: MAX_LINE,
    guest_bytes: 64 * 1024 * 1024,
    guests: 64,
    guest_queued: 32 * 1024 * 1024,
    guest_visits: 64,
    guest_told: 16,
    guest_requests: 64,
    guest_timeout: Duration::from_secs(60),
    guest_burst: 256,
    guest_every: Duration::from_micros(62_500),
    dial_timeout: Duration::from_secs(10),
    handshake_timeout: Duration::from_secs(10),
    ping_after: Duration::from_secs(8),
    suspect_min: Duration::from_secs(3),
    suspect_max: Duration::from_secs(5),
    dead_after: Duration::from_secs(18),
    write_stall: Duration::from_secs(15),
    flush_timeout: Duration::from_secs(5),
    linger: Duration::from_secs(1),
    late_timer: Duration::from_secs(1),
    duplicate_fresh: Duration::from_secs(2),
    duplicate_wait: Duration::from_secs(5),
    book: 4096,
    full_mesh: 12,
    backoff_base: Duration::from_secs(2),
    backoff_max: Duration::from_secs(3600),
    backoff_urgent: Duration::from_secs(15),
    own_address: Duration::from_secs(3600),
    advertise_within: Duration::from_secs(240),
    addr_answer: 256,
    addr_burst: 64,
    addr_every: Duration::from_secs(10),
    getaddr_every: Duration::from_secs(10),
    streams: 4096,
    streams_per_originator: 4,
    cache: 8 * 1024 * 1024,
    cache_for: Duration::from_secs(30),
    wanted: 8192,
    repair_for: Duration::from_secs(30),
    missing_ranges: 32,
    missing_for: Duration::ZERO,
    recent_ids: 8192,
    verdicts: 4096,
    verdict_bytes: 4 * 1024 * 1024,
    verdict_within: Duration::from_secs(10),
    new_epoch_every: Duration::from_secs(60),
    routes: 8192,
    hops_per_route: 3,
    route_for: Duration::from_secs(600),
    relayed: 16_384,
    relayed_for: Duration::from_secs(120),
    seeks: 1024,
    held_bytes: 1024 * 1024,
    find_near: Duration::from_millis(500),
    find_far: Duration::from_secs(1),
    id_links: 24,
    siblings: 6,
    walk_bytes: 4 * 1024 * 1024,
    walk_for: Duration::from_secs(30),
    hop_min: Duration::from_millis(300),
    hop_max: Duration::from_secs(2),
    pending_requests: 16_384,
    pending_bytes: 16 * 1024 * 1024,
    early_replies: 64,
    early_bytes: 4 * 1024 * 1024,
    request_deadline: Duration::from_secs(600),
    answering: 16_384,
    replay_bytes: 8 * 1024 * 1024,
    replay_for: Duration::from_secs(30),
    #[cfg(peerline_planted)]
    planted: None,
    #[cfg(peerline_planted)]
    without: None,
};

impl Default for Limits {
    fn default() -> Self {
        DEFAULTS
    }
}
