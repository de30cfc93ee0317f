//! What one node has said and done so far, to judge what it does next: one watch per life of a
//! node. Each check costs what the step touched; [`Watch::sweep`] looks at everything.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use peerline_proto::{
    ByeReason, CloseReason, ConnId, Delivery, Event, Instant, Message, Node, PeerId, PeerInfo,
    Side, Stats, TransportError, testing,
};

use crate::net::asked::Asked;
use crate::net::book::is_full;
use crate::net::by_conn::ByConn;
use crate::net::live::Live;
use crate::net::pipe::READ_AT_ONCE;
use crate::net::rules::Rule;

/// What is slow in a lively simulation, and may pass in a real network: time on top of deadlines.
const TICK: Duration = Duration::from_millis(50);

/// What one read of a connection may hold as events: its bytes, and for each message in it, of
/// which the shortest has half as many, what an event is charged on top.
const ONE_READ: usize = 3 * READ_AT_ONCE;

/// How long after a sleep or a jump of the clock a host is not judged by time: whatever was open
/// before has had its time again, and is over or has spoken.
pub(crate) const SETTLES: Duration = Duration::from_secs(60);
const BYE: &[u8] = b"{\"msgtype\":\"bye\"";

/// A connection until it ends.
#[derive(Copy, Clone, Debug)]
pub(super) struct Conn {
    pub(super) addr: SocketAddr,
    pub(super) dialled: bool,
    since: Instant,
    /// It said hello.
    up: bool,
    /// It was seen to carry a peer, though the application was not told yet.
    carried: bool,
    /// The application dialled, not the node on its own account.
    by_application: bool,
    /// It is dropped, and its end was not told yet.
    dropped: bool,
}

/// What is known of an address that was dialled.
#[derive(Copy, Clone, Debug, Default)]
pub(super) struct Dialled {
    in_flight: u32,
    failures: u32,
    last_failure: Option<Instant>,
}

/// The watch.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    up: BTreeMap<PeerId, ConnId>,
    pub(super) open: BTreeMap<ConnId, Conn>,
    told_ended: BTreeSet<ConnId>,
    /// Dials that met nobody in their time.
    met_nobody: usize,
    dropped: BTreeSet<ConnId>,
    pub(super) dialled: BTreeMap<SocketAddr, Dialled>,
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
    /// How late its timers are at most.
    pub(crate) lateness: Duration,
    /// Its application dials at this moment.
    pub(crate) by_application: bool,
    /// Lines of chat came to it.
    chats: bool,
    /// Its application has not taken all events, so what they would tell is not known.
    pub(crate) behind: bool,
    /// Connections that it was told not to read since it fell behind: each has brought more.
    paused: BTreeSet<ConnId>,
    /// Nothing is wrong anywhere, so that nothing excuses the node.
    pub(crate) strict: bool,
    /// Connections that are not dropped.
    live: ByConn<Live>,
    /// Addresses in the book when it was last looked at.
    pub(super) known: usize,
    /// There were once as many as there is room for, in all or in a bucket.
    pub(super) was_full: bool,
    /// Connections whose end was told by a number alone.
    told_together: usize,
    most_peers: usize,
    /// Since when no peer is up, as far as that is known.
    alone_since: Option<Instant>,
    /// When it was first seen that no peer is up.
    seen_alone: Option<Instant>,
    /// The application was told that nobody is there, and nobody came since.
    told_alone: bool,
    /// Peers whose queue was full, and of whom it has not been said that there is room again.
    owed: BTreeSet<PeerId>,
    /// How often it was said that there is room again.
    pub(crate) writable: u64,
    /// How connections ended.
    pub(crate) ends: BTreeMap<&'static str, u64>,
    /// What it asked, until its end.
    pub(super) asked: Asked,
}

/// A dial that ends sooner met somebody, or was refused: a hurried one has as long.
const SHORTEST_DIAL: Duration = Duration::from_millis(2_500);

impl Watch {
    // ---- what the driver does ----

    pub(crate) fn on_connect(&mut self, node: &Node, conn: ConnId, addr: SocketAddr, now: Instant) {
        // Its clock may have been set back; the node's time stands still then.
        let now = now.max(testing::time(node));
        self.on_open(conn, addr, true, now);
        let limits = node.config().limits();
        let own = self.own.get(&addr).is_some_and(|until| now < *until);
        Rule::NoSelf.check(!own, || format!("{addr} reached ourselves and is dialled again"));
        if testing::calls_guest(node, conn) {
            self.live.of(conn).guest = true;
            // Each exchange with a guest has a connection of its own.
            let calls = self.open.keys().filter(|conn| testing::calls_guest(node, **conn)).count();
            let most = 5 * limits.guests + limits.guest_visits + limits.guest_told;
            return Rule::NoDialStorm.check(calls <= most, || format!("{calls} calls to guests"));
        }
        let dialled = self.dialled.entry(addr).or_default();
        dialled.in_flight += 1;
        // An application dials when it likes, and while it is behind ends are not known.
        if self.by_application || self.behind {
            return;
        }
        let twice = dialled.in_flight > 1;
        Rule::NoDialStorm.check(!twice, || format!("two dials to {addr} at once"));
        if let (Some(last), true) = (dialled.last_failure, dialled.failures > 0) {
            // A full bucket forgets an address that has rested, and with it how often it failed;
            // learned anew it begins with the shortest rest. Who remembers gives the whole.
            let known = testing::failures(node, addr).unwrap_or_default().min(dialled.failures);
            let forgets = known < dialled.failures && (self.was_full || is_full(node));
            let failures = if forgets { known.max(1) } else { dialled.failures };
            let factor = 1_u32 << (failures - 1).min(20);
            let full = limits.backoff_base.saturating_mul(factor) / 2;
            let least = full.min(limits.backoff_urgent).saturating_sub(TICK);
            let waited = now.saturating_since(last);
            Rule::NoDialStorm.check(waited >= least, || {
                format!("{addr} is dialled {waited:?} after failure {}", dialled.failures)
            });
        }
        // Whoever has spoken may be a rival that waits for the decision which of them stays.
        let silent =
            |id: &ConnId| self.live.get(*id).is_some_and(|it| it.heard.is_none() && !it.guest);
        let dials = self.open.iter().filter(|(_, it)| it.dialled && !it.up && !it.by_application);
        let dials = dials.filter(|(id, _)| silent(id));
        // More than usual only as dials met nobody, three for each.
        let more = limits.max_dialing.saturating_add(self.met_nobody.saturating_mul(3));
        let most = more.min(limits.urgent_dialing).max(limits.max_dialing);
        let dials = dials.count();
        Rule::NoDialStorm.check(dials <= most, || format!("{dials} dials are under way"));
    }

    pub(crate) fn on_open(&mut self, conn: ConnId, addr: SocketAddr, dialled: bool, now: Instant) {
        let new = !self.dropped.contains(&conn);
        Rule::Grammar.check(new, || format!("{conn} is used again"));
        let by_application = dialled && self.by_application;
        let new = Conn {
            addr,
            dialled,
            since: now,
            up: false,
            carried: false,
            by_application,
            dropped: false,
        };
        let before = self.open.insert(conn, new);
        Rule::Grammar.check(before.is_none(), || format!("{conn} is opened twice"));
        self.live.insert(conn, Live::new(dialled));
    }

    pub(crate) fn on_drop(&mut self, conn: ConnId, now: Instant) {
        self.dropped.insert(conn);
        if self.live.remove(conn).is_some_and(|live| live.guest) {
            // A guest's exchange ends without an event.
            self.open.remove(&conn);
        } else if let Some(open) = self.open.get_mut(&conn) {
            open.dropped = true;
            if open.dialled {
                // The event comes later, and what is dialled in its place before.
                let long = now.saturating_since(open.since) >= SHORTEST_DIAL;
                self.met_nobody += usize::from(!open.up && long);
                let dialled = self.dialled.entry(open.addr).or_default();
                dialled.in_flight = dialled.in_flight.saturating_sub(1);
            }
        }
    }

    /// True if the first byte that is no blank is now seen to be of no dialect, or never comes.
    pub(crate) fn on_bytes_in(&mut self, conn: ConnId, bytes: &[u8], now: Instant) -> bool {
        self.bytes_in += bytes.len() as u64;
        self.live.of(conn).on_bytes(bytes, now)
    }

    /// It has brought blanks at most.
    pub(crate) fn is_undecided(&self, conn: ConnId) -> bool {
        self.live.get(conn).is_some_and(Live::is_undecided)
    }

    /// The node was told not to read this connection.
    pub(crate) fn on_pause(&mut self, conn: ConnId) {
        self.paused.insert(conn);
    }

    /// The application has taken all events.
    pub(crate) fn catch_up(&mut self) {
        self.behind = false;
        self.paused.clear();
    }

    /// So many peers are up now.
    pub(crate) fn on_peers(&mut self, count: usize) {
        self.most_peers = self.most_peers.max(count);
    }

    pub(crate) fn on_bytes_out(&mut self, conn: ConnId, bytes: &[u8]) {
        self.bytes_out += bytes.len() as u64;
        if let Some(live) = self.live.get_mut(conn) {
            live.stuck = None;
            let first = !live.spoke && self.open.get(&conn).is_some_and(|open| !open.dialled);
            Rule::NoAmplification
                .check(!first, || format!("{conn} said nothing and is told something"));
        }
        let (mut line, mut from) = (&bytes[..0], 0);
        for end in memchr::memchr_iter(b'\n', bytes) {
            (line, from) = (&bytes[from..end], end + 1);
            self.lines_written += 1;
            self.check_told(conn, line);
        }
        // A bye is counted as no line out by the node, and is the last that is written.
        self.byes += u64::from(from == bytes.len() && line.starts_with(BYE));
    }

    // ---- what the node says ----

    pub(crate) fn on_event(&mut self, node: &Node, event: &Event, now: Instant) {
        let now = now.max(testing::time(node));
        match event {
            Event::PeerUp { peer, conn, side, .. } => self.on_peer_up(node, peer, *conn, *side),
            Event::Isolated => self.on_isolated(node, now),
            Event::PeerDown { peer, conn, reason } => {
                let was = self.up.remove(peer).is_some();
                Rule::Grammar.check(was, || format!("{peer} is down twice"));
                self.owed.remove(peer);
                let lost = *reason == CloseReason::Goodbye(ByeReason::Duplicate);
                // The rival that was left may have had to give way to another peer.
                let gave_way = node.stats().evicted > 0;
                Rule::OneConnection.check(!(self.strict && lost) || gave_way, || {
                    format!("both ends of {conn} and its rival were given up")
                });
                self.on_end(*conn, reason, true, now);
                // Told late, it is not known since when.
                self.alone_since = Some(now).filter(|_| self.up.is_empty() && !self.behind);
            }
            Event::ConnectionFailed { conn, addr, reason, repeats, .. } => {
                self.told_together += *repeats as usize;
                // Told late, it is not known since when.
                let dialled = self.open.get(conn).is_some_and(|conn| conn.dialled);
                if dialled && !self.behind && *reason == CloseReason::SelfConnection {
                    self.own.insert(*addr, now + node.config().limits().own_address);
                }
                self.on_end(*conn, reason, false, now);
            }
            Event::Message(message) => self.on_message(node, message),
            Event::Reply(reply) => self.asked.on_reply(reply),
            Event::RequestFailed { request, .. } => self.asked.on_failure(*request),
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
        let ended = self.told_ended.contains(&conn);
        Rule::Grammar.check(!ended, || format!("{conn} has ended and brings {peer}"));
        if let Some(open) = self.open.get_mut(&conn) {
            open.up = true;
            let sides = open.dialled == (side == Side::Dialer);
            Rule::Grammar.check(sides, || format!("{conn} has changed sides"));
        }
        self.reached(conn);
        (self.alone_since, self.seen_alone, self.told_alone) = (None, None, false);
    }

    fn on_isolated(&mut self, node: &Node, now: Instant) {
        let (alone, told) = (self.up.is_empty(), std::mem::replace(&mut self.told_alone, true));
        Rule::Isolated.check(alone && !told, || format!("{:?} is up, told: {told}", self.up));
        let after = node.config().limits().isolated_after;
        let waited = self.alone_since.map(|since| now.saturating_since(since));
        let soon = waited.is_some_and(|waited| waited < after);
        Rule::Isolated.check(!soon, || format!("told after {waited:?}"));
    }

    /// Who is alone for long has been told.
    fn check_alone(&mut self, node: &Node, now: Instant) {
        if !self.up.is_empty() || self.told_alone || self.behind || node.is_stopping() {
            return;
        }
        // From its start on nobody was there; that was not seen, so it is at least since now.
        let since = self.alone_since.or(self.seen_alone).unwrap_or(now);
        self.seen_alone = Some(since);
        let most = self.patience(node, node.config().limits().isolated_after);
        let alone = now.saturating_since(since);
        Rule::Isolated.check(alone <= most, || format!("alone for {alone:?}, and not told"));
    }

    /// The dial came to something.
    fn reached(&mut self, conn: ConnId) {
        let addr = self.open.get(&conn).filter(|conn| conn.dialled).map(|conn| conn.addr);
        if let Some(dialled) = addr.and_then(|addr| self.dialled.get_mut(&addr)) {
            (dialled.failures, dialled.last_failure) = (0, None);
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
        dialled.in_flight = dialled.in_flight.saturating_sub(u32::from(!open.dropped));
        // Any other end may have come after a hello, as a rival's.
        let failed = matches!(
            reason,
            CloseReason::Transport(TransportError::Refused)
                | CloseReason::DialTimeout
                | CloseReason::HandshakeTimeout
        );
        if failed && !was_up && !self.behind && !open.by_application {
            dialled.failures += 1;
            dialled.last_failure = Some(now);
        } else {
            (dialled.failures, dialled.last_failure) = (0, None);
        }
    }

    fn on_message(&mut self, node: &Node, message: &Message) {
        let known = matches!(message.delivery(), Delivery::Broadcast | Delivery::Direct);
        Rule::Grammar.check(known && !message.body().is_empty(), || format!("{message:?}"));
        self.chats |= message.kind() == "CHAT";
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
    pub(crate) fn sweep(
        &mut self,
        node: &Node,
        peers: &[PeerInfo],
        sockets: usize,
        timely: bool,
        now: Instant,
    ) {
        for info in peers {
            self.open.entry(info.conn).and_modify(|open| open.carried = true);
        }
        if timely {
            self.check_life(node, peers, now);
            self.check_handshakes(node, now);
            self.check_alone(node, now);
        }
        self.check_counts(node, peers, sockets);
        self.check_memory(node, peers, sockets);
        self.check_counters(node);
        self.check_book(node);
    }

    fn check_counts(&self, node: &Node, peers: &[PeerInfo], sockets: usize) {
        let limits = node.config().limits();
        Rule::Shutdown.check(!node.is_stopped() || sockets == 0, || {
            format!("stopped with {sockets} sockets")
        });
        let inbound = peers.iter().filter(|peer| peer.side == Side::Listener).count();
        Rule::Limits.check(inbound <= limits.max_inbound, || format!("{inbound} inbound peers"));
        let max = node.config().max_peers();
        Rule::Limits
            .check(max == 0 || node.peer_count() <= max, || format!("{} peers", node.peer_count()));
        let waits = node.buffered() > 0;
        for peer in peers {
            let known = waits || self.up.contains_key(&peer.peer);
            Rule::Grammar.check(known, || format!("{} is up unannounced", peer.peer));
        }
        let rivals = limits.rivals * node.peer_count();
        // Ends that the application has not taken: what closes in order is among the open.
        let closing = if self.behind { limits.closing + 1 } else { 0 };
        let most = limits.half_open + rivals + closing;
        // Guests are counted apart, as they say no hello.
        let waiting = self.waiting().filter(|(_, open, _)| !open.dialled);
        let count = waiting.filter(|(_, _, guest)| !guest).count();
        Rule::Limits.check(count <= most, || format!("{count} without hello"));
    }

    /// Connections that are there and never carried a peer, and whether they are a guest's.
    fn waiting(&self) -> impl Iterator<Item = (ConnId, &Conn, bool)> {
        let waits = |open: &Conn| !open.dropped && !open.up && !open.carried;
        let waiting = self.open.iter().filter(move |(_, open)| waits(open));
        let guest = |id: &ConnId| self.live.get(*id).is_some_and(|live| live.guest);
        waiting.map(move |(id, open)| (*id, open, guest(id)))
    }

    /// How long something may take, at most, that the node gives this long: when timers are so
    /// late that it takes itself for one that slept, it may get its time once more.
    fn patience(&self, node: &Node, given: Duration) -> Duration {
        let late = self.lateness * 12 / 10; // by a clock that runs fast
        let once = given + late + TICK;
        if late > node.config().limits().late_timer { 2 * once } else { once }
    }

    fn check_handshakes(&self, node: &Node, now: Instant) {
        let limits = node.config().limits();
        let (greet, dial) = (limits.handshake_timeout, limits.dial_timeout);
        // A rival says hello too, and then may wait for the other side's decision. While the
        // application is behind, one that ends in order is among them.
        let closing = if self.behind { limits.flush_timeout } else { Duration::ZERO };
        let more = self.patience(node, limits.duplicate_wait + limits.duplicate_fresh + closing);
        let most = [Duration::ZERO, dial].map(|dial| self.patience(node, greet + dial) + more);
        // A guest has its own time, which is longer.
        for (conn, open, _) in self.waiting().filter(|(_, _, guest)| !guest) {
            let (age, most) = (now.saturating_since(open.since), most[usize::from(open.dialled)]);
            Rule::Limits.check(age <= most, || {
                format!("{conn} of {} is without hello for {age:?}", open.addr)
            });
        }
    }

    /// A connection is read again: while it was not, its clock stood still.
    pub(crate) fn on_resume(&mut self, conn: ConnId, now: Instant) {
        if let Some(live) = self.live.get_mut(conn) {
            live.heard = Some(now);
        }
    }

    /// Peers that say nothing, and peers that read nothing, go.
    fn check_life(&mut self, node: &Node, peers: &[PeerInfo], now: Instant) {
        let limits = node.config().limits();
        let patience =
            [limits.dead_after, limits.write_stall].map(|most| self.patience(node, most));
        for info in peers {
            let live = self.live.of(info.conn);
            let heard = *live.heard.get_or_insert(now);
            let silent = now.saturating_since(heard);
            let fine = silent <= patience[0];
            Rule::DeadNoticed.check(fine || !node.wants_read(info.conn), || {
                format!("{} on {} has been silent for {silent:?}", info.peer, info.conn)
            });
            if node.outgoing(info.conn).is_empty() {
                live.stuck = None;
                continue;
            }
            let stuck = now.saturating_since(*live.stuck.get_or_insert(now));
            Rule::DeadNoticed.check(stuck <= patience[1], || {
                format!("{} has read nothing for {stuck:?}", info.peer)
            });
        }
    }

    /// Queues and events within the limits, and no more of a line than came of it. Whoever sends
    /// what is too much is not read from then on; what it had sent in one piece is taken.
    fn check_memory(&self, node: &Node, peers: &[PeerInfo], sockets: usize) {
        let limits = node.config().limits();
        let reads = (self.paused.len() + 1) * ONE_READ;
        let queues =
            limits.queued_total.min(sockets * limits.send_queue) + sockets * limits.control_reserve;
        let unfinished: usize = self.live.values().map(|live| live.unfinished).sum();
        let most = limits.event_queue + queues + unfinished + reads;
        let mut held = node.buffered();
        for (part, bytes, most) in testing::kept(node) {
            Rule::Memory
                .check(bytes <= most, || format!("{bytes} bytes of {part}; {most} at most"));
            held -= bytes;
        }
        Rule::Memory.check(held <= most, || format!("{held} bytes are held; {most} at most"));
        for peer in peers {
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
        // Of a line of chat each bridge makes a broadcast; all are passed on, one is delivered.
        let known = if self.chats { is.duplicates } else { 0 };
        let copies = (is.delivered + known).saturating_mul(self.most_peers as u64);
        Rule::NoAmplification.check(is.forwarded <= copies, || {
            format!("{} forwarded of {} delivered", is.forwarded, is.delivered)
        });
    }

    /// After a shutdown everything is told, and every line accounted for.
    pub(crate) fn check_end(&self, node: &Node) {
        self.asked.check_none_is_open();
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
