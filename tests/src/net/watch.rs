//! What one node has said and done so far, to judge what it does next: one watch per life of a
//! node. Each check costs what the step touched; [`Watch::sweep`] looks at everything.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use peerline_proto::{
    ByeReason, CloseReason, ConnId, Delivery, Event, Instant, Message, Node, PeerId, Side, Stats,
    TransportError, testing,
};

use crate::net::rules::Rule;

/// What is slow in a lively simulation, and may pass in a real network: time on top of deadlines.
const TICK: Duration = Duration::from_millis(50);

/// The most that is read at once, with the unfinished line before it, and what each message in it
/// is charged on top.
const READ_AT_ONCE: usize = 384 * 1024;
/// Addresses that chat peers told and that may be called on at once.
const TOLD: usize = 64;
const BYE: &[u8] = b"{\"msgtype\":\"bye\"";

/// A connection until it ends.
#[derive(Copy, Clone, Debug)]
struct Conn {
    addr: SocketAddr,
    dialled: bool,
    since: Instant,
    /// It said hello.
    up: bool,
}

/// What is known of an address that was dialled.
#[derive(Copy, Clone, Debug, Default)]
struct Dialled {
    in_flight: bool,
    failures: u32,
    last_failure: Option<Instant>,
}

/// The watch.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    up: BTreeMap<PeerId, ConnId>,
    open: BTreeMap<ConnId, Conn>,
    told_ended: BTreeSet<ConnId>,
    dropped: BTreeSet<ConnId>,
    dialled: BTreeMap<SocketAddr, Dialled>,
    own: BTreeMap<SocketAddr, Instant>,
    delivered: Vec<u64>,
    last: Stats,
    /// Bytes that the driver moved.
    bytes_in: u64,
    bytes_out: u64,
    /// Lines that were written whole.
    lines_written: u64,
    /// Those among them that are known to be a bye.
    byes: u64,
    /// The node's clock runs as it should, and its timers are in time.
    pub(crate) timely: bool,
    /// Its application dials only through the book.
    pub(crate) by_book: bool,
    /// Its application has not taken all events, so what they would tell is not known.
    pub(crate) behind: bool,
    /// It had not, at some time.
    pub(crate) was_behind: bool,
    /// Nothing is wrong anywhere, so that nothing excuses the node.
    pub(crate) strict: bool,
    /// When a byte last came.
    heard: BTreeMap<ConnId, Instant>,
    /// Since when nothing was written though something waits.
    stuck: BTreeMap<ConnId, Instant>,
    /// Connections whose end was told by a number alone.
    told_together: usize,
    most_peers: usize,
    /// Peers whose queue was full, and of whom it has not been said that there is room again.
    owed: BTreeSet<PeerId>,
    /// How often it was said that there is room again.
    pub(crate) writable: u64,
    /// How connections ended.
    pub(crate) ends: BTreeMap<&'static str, u64>,
}

impl Watch {
    pub(crate) fn new(timely: bool, by_book: bool) -> Self {
        Self { timely, by_book, ..Self::default() }
    }

    // ---- what the driver does ----

    pub(crate) fn on_connect(&mut self, node: &Node, conn: ConnId, addr: SocketAddr, now: Instant) {
        self.on_open(conn, addr, true, now);
        let limits = node.config().limits();
        let own = self.own.get(&addr).is_some_and(|until| now < *until);
        Rule::NoSelf.check(!own, || format!("{addr} reached ourselves and is dialled again"));
        if testing::calls_guest(node, conn) {
            // Each exchange with a guest has a connection of its own.
            let calls = self.open.keys().filter(|conn| testing::calls_guest(node, **conn)).count();
            let most = 5 * limits.guests + limits.guest_visits + TOLD;
            return Rule::NoDialStorm.check(calls <= most, || format!("{calls} calls to guests"));
        }
        let dialled = self.dialled.entry(addr).or_default();
        let twice = dialled.in_flight && self.by_book && !self.behind;
        Rule::NoDialStorm.check(!twice, || format!("two dials to {addr} at once"));
        dialled.in_flight = true;
        if !self.by_book || self.behind {
            return;
        }
        if let (Some(last), true) = (dialled.last_failure, dialled.failures > 0) {
            let factor = 1_u32 << (dialled.failures - 1).min(20);
            let full = limits.backoff_base.saturating_mul(factor) / 2;
            let least = full.min(limits.backoff_urgent).saturating_sub(TICK);
            let waited = now.saturating_since(last);
            Rule::NoDialStorm.check(waited >= least, || {
                format!("{addr} is dialled {waited:?} after failure {}", dialled.failures)
            });
        }
        let dials = self.open.values().filter(|conn| conn.dialled && !conn.up).count();
        // Among them are rivals that said hello and wait for the decision which of them stays.
        let most = 2 * limits.max_dialing;
        Rule::NoDialStorm.check(dials <= most, || format!("{dials} dials are under way"));
    }

    pub(crate) fn on_open(&mut self, conn: ConnId, addr: SocketAddr, dialled: bool, now: Instant) {
        let new = !self.dropped.contains(&conn);
        Rule::Grammar.check(new, || format!("{conn} is used again"));
        let before = self.open.insert(conn, Conn { addr, dialled, since: now, up: false });
        Rule::Grammar.check(before.is_none(), || format!("{conn} is opened twice"));
    }

    pub(crate) fn on_drop(&mut self, conn: ConnId) {
        self.dropped.insert(conn);
        self.heard.remove(&conn);
        self.stuck.remove(&conn);
    }

    pub(crate) fn on_bytes_in(&mut self, conn: ConnId, count: usize, now: Instant) {
        self.bytes_in += count as u64;
        self.heard.insert(conn, now);
    }

    pub(crate) fn on_bytes_out(&mut self, conn: ConnId, bytes: &[u8]) {
        self.bytes_out += bytes.len() as u64;
        self.stuck.remove(&conn);
        let last = bytes.strip_suffix(b"\n").map(|text| text.rsplit(|byte| *byte == b'\n'));
        let bye = last.and_then(|mut lines| lines.next());
        // A bye is counted as no line out by the node.
        self.byes += u64::from(bye.is_some_and(|line| line.starts_with(BYE)));
        self.lines_written += bytes.iter().filter(|byte| **byte == b'\n').count() as u64;
    }

    // ---- what the node says ----

    pub(crate) fn on_event(&mut self, node: &Node, event: &Event, now: Instant) {
        match event {
            Event::PeerUp { peer, conn, side, .. } => self.on_peer_up(node, peer, *conn, *side),
            Event::PeerDown { peer, conn, reason } => {
                let was = self.up.remove(peer).is_some();
                Rule::Grammar.check(was, || format!("{peer} is down twice"));
                self.owed.remove(peer);
                let lost = *reason == CloseReason::Goodbye(ByeReason::Duplicate);
                Rule::OneConnection.check(!(self.strict && lost), || {
                    format!("both ends of {conn} and its rival were given up")
                });
                self.on_end(*conn, reason, true, now);
            }
            Event::ConnectionFailed { conn, addr, reason, repeats, .. } => {
                self.told_together += *repeats as usize;
                if (reason, self.open.get(conn).is_some_and(|conn| conn.dialled))
                    == (&CloseReason::SelfConnection, true)
                {
                    self.own.insert(*addr, now + node.config().limits().own_address);
                }
                self.on_end(*conn, reason, false, now);
            }
            Event::Message(message) => self.on_message(node, message),
            Event::Writable { peer } => {
                self.owed.remove(peer);
                self.writable += 1;
            }
            _ => {} // Event may grow; these have no grammar
        }
    }

    fn on_peer_up(&mut self, node: &Node, peer: &PeerId, conn: ConnId, side: Side) {
        let ourselves = *peer == PeerId::Node(node.id());
        Rule::NoSelf.check(!ourselves, || "we are our own peer".to_owned());
        let before = self.up.insert(peer.clone(), conn);
        Rule::Grammar.check(before.is_none(), || format!("{peer} is up twice"));
        self.most_peers = self.most_peers.max(self.up.len());
        let ended = self.told_ended.contains(&conn);
        Rule::Grammar.check(!ended, || format!("{conn} has ended and brings {peer}"));
        if let Some(open) = self.open.get_mut(&conn) {
            open.up = true;
            let sides = open.dialled == (side == Side::Dialer);
            Rule::Grammar.check(sides, || format!("{conn} has changed sides"));
        }
        self.reached(conn);
    }

    /// The dial came to something.
    fn reached(&mut self, conn: ConnId) {
        let addr = self.open.get(&conn).filter(|conn| conn.dialled).map(|conn| conn.addr);
        if let Some(dialled) = addr.and_then(|addr| self.dialled.get_mut(&addr)) {
            *dialled = Dialled::default();
        }
    }

    fn on_end(&mut self, conn: ConnId, reason: &CloseReason, was_up: bool, now: Instant) {
        *self.ends.entry(name_of(reason)).or_default() += 1;
        let first = self.told_ended.insert(conn);
        Rule::Grammar.check(first, || format!("{conn} ended twice"));
        let known = *reason != CloseReason::Transport(TransportError::Other);
        Rule::Grammar.check(known, || format!("{conn} ended for no reason"));
        let Some(open) = self.open.remove(&conn) else { return };
        if !open.dialled {
            return;
        }
        let dialled = self.dialled.entry(open.addr).or_default();
        dialled.in_flight = false;
        // Any other end may have come after a hello, as a rival's.
        let failed = matches!(
            reason,
            CloseReason::Transport(TransportError::Refused)
                | CloseReason::DialTimeout
                | CloseReason::HandshakeTimeout
        );
        if failed && !was_up && !self.behind {
            dialled.failures += 1;
            dialled.last_failure = Some(now);
        } else {
            *dialled = Dialled::default();
        }
    }

    fn on_message(&mut self, node: &Node, message: &Message) {
        let known = matches!(message.delivery(), Delivery::Broadcast | Delivery::Direct);
        Rule::Grammar.check(known && !message.body().is_empty(), || format!("{message:?}"));
        let own = message.from().node() == Some(node.id());
        Rule::NoEcho.check(!own, || format!("{message:?} is our own"));
    }

    /// The message with this number arrived.
    pub(crate) fn on_delivery(&mut self, serial: u64) {
        let (word, bit) = ((serial / 64) as usize, 1_u64 << (serial % 64));
        if word >= self.delivered.len() {
            self.delivered.resize(word + 1, 0);
        }
        let before = self.delivered[word] & bit;
        Rule::AtMostOnce.check(before == 0, || format!("message {serial} arrived twice"));
        self.delivered[word] |= bit;
    }

    pub(crate) fn has(&self, serial: u64) -> bool {
        let word = self.delivered.get((serial / 64) as usize).copied().unwrap_or_default();
        word & (1 << (serial % 64)) != 0
    }

    /// A send to this peer was refused as its queue is full.
    pub(crate) fn on_full(&mut self, peer: PeerId) {
        self.owed.insert(peer);
    }

    /// Whoever was told that a queue is full was told that there is room again.
    pub(crate) fn check_owed(&self) {
        let owed = &self.owed;
        Rule::BackPressure.check(owed.is_empty(), || format!("no word of room at {owed:?}"));
    }

    // ---- everything ----

    /// Looks at everything that can be seen of the node.
    pub(crate) fn sweep(&mut self, node: &Node, sockets: usize, now: Instant) {
        if self.timely && !self.behind {
            self.check_life(node, now);
        }
        self.check_counts(node, sockets, now);
        self.check_memory(node, sockets);
        self.check_counters(node);
    }

    fn check_counts(&self, node: &Node, sockets: usize, now: Instant) {
        let limits = node.config().limits();
        Rule::Shutdown.check(!node.is_stopped() || sockets == 0, || {
            format!("stopped with {sockets} sockets")
        });
        let inbound = node.peers().filter(|peer| peer.side == Side::Listener).count();
        Rule::Limits.check(inbound <= limits.max_inbound, || format!("{inbound} inbound peers"));
        let max = node.config().max_peers();
        Rule::Limits
            .check(max == 0 || node.peer_count() <= max, || format!("{} peers", node.peer_count()));
        for peer in node.peers() {
            let known = self.up.contains_key(&peer.peer) || node.buffered() > 0;
            Rule::Grammar.check(known, || format!("{} is up unannounced", peer.peer));
        }
        let waiting = self.open.values().filter(|conn| !conn.up && !conn.dialled);
        let rivals = limits.rivals * node.peer_count();
        let most = limits.half_open + rivals + self.told_together;
        let count = waiting.count();
        Rule::Limits.check(self.behind || count <= most, || format!("{count} without hello"));
        self.check_handshakes(node, now);
    }

    fn check_handshakes(&self, node: &Node, now: Instant) {
        let limits = node.config().limits();
        let (greet, dial) = (limits.handshake_timeout, limits.dial_timeout);
        // A rival says hello too, and then may wait for the other side's decision.
        let more = limits.duplicate_wait + limits.duplicate_fresh + limits.late_timer + TICK;
        for (conn, open) in
            self.open.iter().filter(|(_, open)| self.timely && !open.up && !self.behind)
        {
            let dialled = if open.dialled { dial } else { Duration::ZERO };
            let age = now.saturating_since(open.since);
            let is_peer = node.peers().any(|peer| peer.conn == *conn);
            let most = greet + dialled + more;
            let fine = age <= most || is_peer;
            Rule::Limits.check(fine, || format!("{conn} is without hello for {age:?}"));
        }
    }

    /// A connection is read again: while it was not, its clock stood still.
    pub(crate) fn on_resume(&mut self, conn: ConnId, now: Instant) {
        self.heard.insert(conn, now);
    }

    /// Peers that say nothing, and peers that read nothing, go.
    fn check_life(&mut self, node: &Node, now: Instant) {
        let limits = node.config().limits();
        for info in node.peers() {
            let heard = *self.heard.entry(info.conn).or_insert(now);
            let silent = now.saturating_since(heard);
            let fine = silent <= limits.dead_after + Duration::from_secs(1);
            Rule::DeadNoticed.check(fine || !node.wants_read(info.conn), || {
                format!("{} on {} has been silent for {silent:?}", info.peer, info.conn)
            });
            if node.outgoing(info.conn).is_empty() {
                self.stuck.remove(&info.conn);
                continue;
            }
            let since = *self.stuck.entry(info.conn).or_insert(now);
            let stuck = now.saturating_since(since);
            Rule::DeadNoticed.check(stuck <= limits.write_stall + TICK, || {
                format!("{} has read nothing for {stuck:?}", info.peer)
            });
        }
    }

    /// Queues, unfinished lines and events within the limits; for each connection that is open,
    /// one more line, as it may come in one piece.
    fn check_memory(&self, node: &Node, sockets: usize) {
        let limits = node.config().limits();
        // A connection whose last words wait as events may be gone.
        let control = (sockets + 2) * (limits.control_reserve + READ_AT_ONCE);
        let most =
            limits.event_queue + limits.queued_total.min(sockets * limits.send_queue) + control;
        let held = node.buffered();
        Rule::Memory.check(held <= most, || format!("{held} bytes are held; {most} at most"));
        for peer in node.peers() {
            let most = limits.send_queue + limits.control_reserve;
            let queued = peer.queued;
            Rule::Memory.check(queued <= most, || format!("{queued} bytes wait for one peer"));
        }
    }

    fn check_counters(&mut self, node: &Node) {
        let (was, is) = (self.last, node.stats());
        let grow = |name: &str, was: u64, is: u64| {
            Rule::Accounting.check(was <= is, || format!("{name} fell from {was} to {is}"));
        };
        grow("bytes_in", was.bytes_in, is.bytes_in);
        grow("lines_in", was.lines_in, is.lines_in);
        grow("delivered", was.delivered, is.delivered);
        grow("skipped", was.skipped, is.skipped);
        self.last = is;
        let bytes = (is.bytes_in, is.bytes_out);
        let moved = (self.bytes_in, self.bytes_out);
        Rule::Accounting.check(bytes == moved, || format!("{bytes:?} bytes for {moved:?}"));
        // What is neither ended nor dropped is open; events that wait hide some ends.
        let open = is.connections_opened - is.connections_closed;
        let fine = open <= self.open.len() as u64;
        Rule::Accounting.check(fine, || format!("{open} connections open by the counters"));
        let copies = is.delivered.saturating_mul(self.most_peers as u64);
        Rule::NoAmplification.check(is.forwarded <= copies || self.was_behind, || {
            format!("{} forwarded of {} delivered", is.forwarded, is.delivered)
        });
    }

    /// After a shutdown everything is told, and every line accounted for.
    pub(crate) fn check_end(&self, node: &Node) {
        Rule::Grammar.check(self.up.is_empty(), || format!("{:?} never went", self.up));
        // Failures of one group that waited undelivered are told by their number alone.
        let untold = self.open.len() <= self.told_together;
        Rule::Grammar.check(untold, || format!("no end of {:?}", self.open));
        let stats = node.stats();
        let (opened, closed) = (stats.connections_opened, stats.connections_closed);
        Rule::Accounting.check(opened == closed, || format!("{opened} opened, {closed} closed"));
        let gone = self.lines_written - self.byes + stats.lost_at_close + stats.skipped;
        Rule::Accounting.check(gone >= stats.lines_out, || {
            format!("of {} lines {gone} were written, lost or dropped", stats.lines_out)
        });
    }
}

/// How a connection ended, as a probe.
fn name_of(reason: &CloseReason) -> &'static str {
    match reason {
        CloseReason::Local => "end: local",
        CloseReason::Goodbye(_) => "end: goodbye",
        CloseReason::Duplicate => "end: duplicate",
        CloseReason::SelfConnection => "end: ourselves",
        CloseReason::SameId => "end: our own id",
        CloseReason::Full { .. } => "end: full",
        CloseReason::Crowded { .. } => "end: crowded",
        CloseReason::Network => "end: network",
        CloseReason::Version { .. } => "end: version",
        CloseReason::Transport(_) => "end: transport",
        CloseReason::Violation(_) => "end: violation",
        CloseReason::DialTimeout => "end: dial timeout",
        CloseReason::HandshakeTimeout => "end: handshake timeout",
        CloseReason::KeepAliveTimeout => "end: keep-alive",
        CloseReason::WriteStall => "end: write stall",
        _ => "end: other", // CloseReason may grow
    }
}
