//! A node under watch: every input goes through here, and after each the node is held to a naive
//! model of sets and counters.
//!
//! The model knows no protocol. It knows which connections there are, what was announced of them,
//! how many bytes went in and out, and what the limits say.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use peerline_proto::testing::{Lines, calls_guest, decode};
use peerline_proto::{
    Action, Config, ConnId, Delivery, Event, Identity, Instant, MAX_LINE, NakCode, Node, NodeId,
    Payload, PeerId, Reply, ReplyError, ReplyTo, RequestError, RequestId, Side, Start,
    TransportError, UnixTime,
};
use peerline_testkit::opening::{Fate, HEADER, Opening, Spoken, header};

/// The kind of the messages whose body names them, so that a repeated one is seen.
pub(crate) const KIND: &str = "OPS";
/// What one more dial of the application may cost beyond its queue: see `Limits`.
const DIAL_COST: usize = 1024;
/// Connections to one chat peer at once.
const GUEST_DIALS: usize = 4;
/// Longer objects the original chat does not read.
const LONGEST_OBJECT: usize = 2048;

/// The node and its model.
#[derive(Debug)]
pub(crate) struct Watched {
    pub(crate) node: Node,
    /// The latest time told, which is the node's.
    pub(crate) now: Instant,
    /// All connections ever, in order.
    pub(crate) all: Vec<ConnId>,
    /// Those whose drop has not been polled.
    live: BTreeMap<ConnId, Conn>,
    up: BTreeMap<PeerId, ConnId>,
    /// Connections whose end was told, and how many more ends were told as a number.
    ended: BTreeSet<ConnId>,
    repeats: u64,
    /// Connections that carried a guest's exchange, whose end may be no event.
    exchanges: BTreeSet<ConnId>,
    /// Those of them that the node itself answered, whose end never is one.
    answered: BTreeSet<ConnId>,
    delivered: BTreeSet<String>,
    /// By which connection a broadcast came first, and what was written where.
    came_by: BTreeMap<String, ConnId>,
    written: BTreeSet<(ConnId, String)>,
    bytes_in: u64,
    bytes_out: u64,
    longest_read: usize,
    /// Dials of the application, which no limit bounds, and all dials.
    dials: usize,
    dialled: usize,
    stop_by: Option<Instant>,
    /// Requests of the node: the number of the next reply, until they end.
    asked: BTreeMap<RequestId, u64>,
    /// Requests of others that the application holds.
    open: Vec<ReplyTo>,
    /// The first half of the ids of the node's own lines, once one was seen.
    pub(crate) epoch: String,
}

/// What the model knows of a connection.
#[derive(Debug, Default)]
struct Conn {
    accepted: bool,
    /// The node dialled it on its own account, and was told no answer.
    planned: bool,
    /// It is a visit to a guest, or a call.
    visits: bool,
    finished: bool,
    paused: bool,
    /// What came of the first message, until it is known what it is.
    heard: Vec<u8>,
    opened: bool,
    sent: Lines,
    /// What was written to a guest and is no whole frame yet.
    said: Vec<u8>,
}

impl Watched {
    pub(crate) fn new(config: Config) -> Self {
        let start = Start::new(Instant::ZERO, UnixTime::from_millis(1_600_000_000_000));
        let id = Identity::new(NodeId::from_random_bytes([0; 16]));
        Self {
            node: Node::new(config, id, [7; 32], start),
            now: Instant::ZERO,
            all: Vec::new(),
            live: BTreeMap::new(),
            up: BTreeMap::new(),
            ended: BTreeSet::new(),
            repeats: 0,
            exchanges: BTreeSet::new(),
            answered: BTreeSet::new(),
            delivered: BTreeSet::new(),
            came_by: BTreeMap::new(),
            written: BTreeSet::new(),
            bytes_in: 0,
            bytes_out: 0,
            longest_read: 0,
            dials: 0,
            dialled: 0,
            stop_by: None,
            asked: BTreeMap::new(),
            open: Vec::new(),
            epoch: "0".to_owned(),
        }
    }

    // ---- inputs ----

    /// The node, for what the model has no part in but the time.
    pub(crate) fn tell(&mut self, clock: Instant) -> &mut Node {
        self.now = self.now.max(clock);
        &mut self.node
    }

    pub(crate) fn accepted(&mut self, addr: SocketAddr, clock: Instant) {
        self.now = self.now.max(clock);
        let stopping = self.stop_by.is_some();
        if let Ok(conn) = self.node.accepted(addr, clock) {
            assert!(!stopping, "accepted while it stops");
            self.all.push(conn);
            let new = Conn { accepted: true, ..Conn::default() };
            assert!(self.live.insert(conn, new).is_none(), "{conn} is used twice");
        }
    }

    pub(crate) fn dial(&mut self, addr: SocketAddr, clock: Instant) {
        self.now = self.now.max(clock);
        if let Ok(conn) = self.node.dial(addr, clock) {
            self.dials += 1;
            self.dialled += 1;
            self.all.push(conn);
            assert!(self.live.insert(conn, Conn::default()).is_none(), "{conn} is used twice");
        }
    }

    pub(crate) fn connected(&mut self, conn: ConnId, clock: Instant) {
        self.now = self.now.max(clock);
        self.on_answered(conn);
        if self.node.is_open(conn) && self.live.get(&conn).is_some_and(|conn| conn.visits) {
            self.exchanges.insert(conn);
        }
        self.node.connected(conn, clock);
    }

    pub(crate) fn received(&mut self, conn: ConnId, bytes: &[u8], clock: Instant) {
        self.now = self.now.max(clock);
        if self.node.is_open(conn) {
            self.bytes_in += bytes.len() as u64;
            self.on_opening(conn, bytes);
        }
        self.longest_read = self.longest_read.max(bytes.len());
        self.node.received(conn, bytes, clock);
    }

    /// Sees whether the first message of an accepted connection is a guest's.
    fn on_opening(&mut self, id: ConnId, bytes: &[u8]) {
        let Some(conn) = self.live.get_mut(&id).filter(|conn| conn.accepted && !conn.opened) else {
            return;
        };
        conn.heard.extend_from_slice(bytes);
        let opening = Opening::of(&conn.heard, Spoken { btpeer: true, chat: true });
        let Some((_, fate)) = opening.fate else { return };
        conn.opened = true;
        conn.heard = Vec::new();
        match fate {
            Fate::Line | Fate::Refused(_) => return,
            Fate::Object => self.answered.insert(id),
            // The application may be asked, and the node stop before it answers.
            Fate::Frame(kind) => is_own_kind(kind) && self.answered.insert(id),
        };
        self.exchanges.insert(id);
    }

    /// Whoever gets a request or a search knows how the next ids will begin.
    fn learn_epoch(&mut self, line: &[u8]) {
        let own = format!("\",\"from\":\"{}\"", self.node.id());
        let line = String::from_utf8_lossy(line);
        let id = line.split_once(&own).and_then(|(before, _)| before.rsplit_once("\"id\":\""));
        if let Some((epoch, _)) = id.and_then(|(_, id)| id.split_once('.')) {
            epoch.clone_into(&mut self.epoch);
        }
    }

    /// Writes up to `most` bytes, and reads them as the peer would; returns them.
    pub(crate) fn send(&mut self, conn: ConnId, most: usize, clock: Instant) -> Vec<u8> {
        self.now = self.now.max(clock);
        let mut bytes = Vec::new();
        let count = self.node.outgoing(conn).copy_to(&mut bytes, most);
        assert_eq!(count, bytes.len());
        self.bytes_out += count as u64;
        self.node.sent(conn, count, clock);
        if self.exchanges.contains(&conn) {
            self.said_to_guest(conn, &bytes);
            return bytes;
        }
        let mut lines = Vec::new();
        if let Some(conn) = self.live.get_mut(&conn) {
            assert!(!conn.finished || bytes.is_empty(), "bytes after the end");
            conn.sent.feed(&bytes, MAX_LINE, &mut lines).expect("a line of bounded length");
        }
        for line in lines {
            let valid = matches!(decode(&line), Ok(Some(_)));
            assert!(valid, "no line: {}", String::from_utf8_lossy(&line));
            self.learn_epoch(&line);
            self.forwarded(conn, &line);
        }
        bytes
    }

    /// To a guest go whole frames, or one object.
    fn said_to_guest(&mut self, id: ConnId, bytes: &[u8]) {
        let Some(conn) = self.live.get_mut(&id) else { return };
        assert!(!conn.finished || bytes.is_empty(), "bytes after the end");
        conn.said.extend_from_slice(bytes);
        if conn.said.first() == Some(&b'{') {
            let opening = Opening::of(&conn.said, Spoken { btpeer: true, chat: true });
            let whole = matches!(opening.fate, None | Some((_, Fate::Object)));
            assert!(whole && conn.said.len() <= LONGEST_OBJECT, "{:?}", opening.fate);
            return;
        }
        while let Some((kind, len)) = header(&conn.said) {
            assert!(kind.is_ascii() && len as usize <= self.node.config().limits().max_frame);
            let whole = HEADER + len as usize;
            if conn.said.len() < whole {
                break;
            }
            conn.said.drain(..whole);
        }
    }

    /// A line was written. A broadcast does not go back where it came from, whichever of the two
    /// is seen first: events may be taken late.
    fn forwarded(&mut self, conn: ConnId, line: &[u8]) {
        let text = String::from_utf8_lossy(line);
        let broadcast = text.split_once(&format!("\"kind\":\"{KIND}\",\"msg\":"));
        let Some(body) = broadcast.and_then(|(_, end)| end.trim_end().strip_suffix('}')) else {
            return;
        };
        assert_ne!(self.came_by.get(body), Some(&conn), "{body} is sent back");
        self.written.insert((conn, body.to_owned()));
    }

    /// The socket claims to have taken bytes, perhaps more than there were.
    pub(crate) fn claim_sent(&mut self, conn: ConnId, count: usize, clock: Instant) {
        self.now = self.now.max(clock);
        let waiting = self.node.outgoing(conn).len();
        self.bytes_out += waiting.min(count) as u64;
        let mut bytes = Vec::new();
        self.node.outgoing(conn).copy_to(&mut bytes, count);
        if self.exchanges.contains(&conn) {
            self.said_to_guest(conn, &bytes);
        } else if let Some(conn) = self.live.get_mut(&conn) {
            conn.sent.feed(&bytes, MAX_LINE, &mut Vec::new()).expect("a line of bounded length");
        }
        self.node.sent(conn, count, clock);
    }

    pub(crate) fn closed(&mut self, conn: ConnId, why: TransportError, clock: Instant) {
        self.now = self.now.max(clock);
        self.on_answered(conn);
        self.node.closed(conn, why, clock);
    }

    fn on_answered(&mut self, conn: ConnId) {
        if let Some(conn) = self.live.get_mut(&conn) {
            conn.planned = false;
        }
    }

    /// Fires the timer. Nothing stays due.
    pub(crate) fn tick(&mut self, clock: Instant) {
        self.now = self.now.max(clock);
        self.node.handle_timeout(clock);
        if let Some(at) = self.node.poll_timeout() {
            assert!(at > self.now, "due at {at}, and it is {}", self.now);
        }
        if self.stop_by.is_some_and(|by| by <= self.now) {
            assert!(self.node.is_stopped(), "not stopped in time");
        }
    }

    pub(crate) fn broadcast(&mut self, body: &Payload, clock: Instant) {
        self.now = self.now.max(clock);
        if let Ok(receipt) = self.node.broadcast("OWN", body, clock) {
            assert!(self.stop_by.is_none());
            assert!(receipt.queued + receipt.skipped <= self.node.peer_count());
        }
    }

    pub(crate) fn request(
        &mut self,
        to: &PeerId,
        body: &Payload,
        deadline: Duration,
        clock: Instant,
    ) {
        self.now = self.now.max(clock);
        if let Ok(id) = self.node.request(to, "R", body, deadline, clock) {
            assert!(self.stop_by.is_none() && *to != PeerId::Node(self.node.id()));
            assert!(self.asked.insert(id, 0).is_none(), "{id} is used twice");
        }
    }

    /// Asks whoever listens at an address, in the dialect of guests.
    pub(crate) fn request_at(
        &mut self,
        to: SocketAddr,
        body: &Payload,
        deadline: Duration,
        clock: Instant,
    ) {
        self.now = self.now.max(clock);
        match self.node.request_at(to, "R", body, deadline, clock) {
            Ok(id) => {
                assert!(self.stop_by.is_none());
                assert!(self.asked.insert(id, 0).is_none(), "{id} is used twice");
            }
            Err(RequestError::Busy { used, limit, .. }) => assert!(used > limit),
            // RequestError may grow; the others are for other targets.
            Err(_) => {}
        }
    }

    /// Answers the latest request, or refuses it if the last word is due.
    pub(crate) fn answer(&mut self, last: bool, body: &Payload, clock: Instant) {
        self.now = self.now.max(clock);
        let Some(to) = self.open.last().copied() else { return };
        let said = self.node.reply(to, "R", body, last, clock);
        if said == Err(ReplyError::Gone) || (said.is_ok() && last) {
            self.open.pop();
            let again = self.node.refuse(to, NakCode::Busy, clock);
            assert!(again.is_err(), "answered twice");
        }
    }

    fn on_reply(&mut self, reply: &Reply) {
        let next = self.asked.get_mut(&reply.request()).expect("an answer to what was asked");
        assert_eq!(*next, reply.n(), "replies in order");
        *next += 1;
        if reply.is_last() {
            self.asked.remove(&reply.request());
        }
    }

    pub(crate) fn shutdown(&mut self, within: Duration, clock: Instant) {
        self.now = self.now.max(clock);
        let by = self.now + within;
        self.stop_by = Some(self.stop_by.map_or(by, |earlier| earlier.min(by)));
        self.node.shutdown(within, clock);
    }

    // ---- outputs ----

    pub(crate) fn drain_actions(&mut self) {
        while let Some(action) = self.node.poll_action() {
            self.on_action(action);
        }
    }

    fn on_action(&mut self, action: Action) {
        let conn = action.conn();
        match action {
            Action::Connect { addr, .. } => self.on_connect(conn, addr),
            Action::Send { .. } => assert!(self.live.contains_key(&conn)),
            Action::PauseReading { .. } => {
                assert!(!std::mem::replace(&mut self.known(conn).paused, true), "paused twice");
            }
            Action::ResumeReading { .. } => {
                assert!(std::mem::take(&mut self.known(conn).paused), "was not paused");
            }
            Action::Finish { .. } => {
                assert!(!std::mem::replace(&mut self.known(conn).finished, true), "ended twice");
            }
            Action::Drop { .. } => {
                assert!(self.live.remove(&conn).is_some(), "{conn} is dropped twice");
                assert!(!self.node.is_open(conn) && self.node.outgoing(conn).is_empty());
            }
        }
    }

    fn known(&mut self, conn: ConnId) -> &mut Conn {
        self.live.get_mut(&conn).unwrap_or_else(|| panic!("{conn} is not there"))
    }

    fn on_connect(&mut self, conn: ConnId, addr: SocketAddr) {
        assert!(addr.port() != 0 && !addr.ip().is_unspecified() && !addr.ip().is_multicast());
        if self.all.contains(&conn) {
            return;
        }
        self.dialled += 1;
        self.all.push(conn);
        let visits = calls_guest(&self.node, conn);
        let new = Conn { planned: !visits, visits, ..Conn::default() };
        assert!(self.live.insert(conn, new).is_none(), "{conn} is used twice");
    }

    /// Takes an event; false if there is none.
    pub(crate) fn take_event(&mut self) -> bool {
        let Some(event) = self.node.poll_event() else { return false };
        match &event {
            Event::PeerUp { peer, conn, .. } => {
                assert!(self.up.insert(peer.clone(), *conn).is_none(), "{peer} is up twice");
            }
            Event::PeerDown { peer, conn, .. } => {
                assert!(self.up.remove(peer).is_some(), "{peer} is down twice");
                self.end(*conn);
            }
            Event::ConnectionFailed { conn, repeats, .. } => {
                self.repeats += u64::from(*repeats);
                self.end(*conn);
            }
            Event::Message(message) => self.on_message(message),
            Event::Request(request) => self.open.push(request.reply_to()),
            Event::Reply(reply) => self.on_reply(reply),
            Event::RequestFailed { request, .. } => {
                assert!(self.asked.remove(request).is_some(), "{request} ended twice");
            }
            // Event may grow; these have no grammar.
            _ => {}
        }
        true
    }

    fn end(&mut self, conn: ConnId) {
        assert!(self.ended.insert(conn), "{conn} ended twice");
        assert!(!self.answered.contains(&conn), "the end of {conn}, a whole exchange, is told");
    }

    fn on_message(&mut self, message: &peerline_proto::Message) {
        assert_ne!(message.from().node(), Some(self.node.id()), "its own message");
        if message.kind() == KIND {
            let broadcast = message.delivery() == Delivery::Broadcast;
            if broadcast {
                let (conn, body) = (message.conn(), message.body().to_owned());
                assert!(!self.written.contains(&(conn, body.clone())), "{body} was sent back");
                self.came_by.insert(body, conn);
            }
            let name = format!("{broadcast} {}", message.body());
            assert!(self.delivered.insert(name), "{} is delivered twice", message.body());
        }
    }

    // ---- rules that hold at any time ----

    pub(crate) fn check(&self) {
        let node = &self.node;
        let limits = node.config().limits();
        let peers = node.peer_count();
        assert_eq!(node.peers().count(), peers);
        let most = node.config().max_peers();
        assert!(most == 0 || peers <= most, "{peers} peers of {most}");
        let mut inbound = 0;
        for info in node.peers() {
            assert!(node.is_open(info.conn), "a peer without a connection");
            let limit = limits.send_queue.saturating_add(limits.control_reserve);
            assert!(info.queued <= limit, "{} bytes of {limit} queued", info.queued);
            inbound += usize::from(info.side == Side::Listener);
        }
        // A peer that was dialled may be carried by a connection of its own in the end.
        assert!(inbound <= limits.max_inbound.saturating_add(self.dialled));
        let per_peer = limits.rivals.max(limits.guest_connections).saturating_add(1);
        let most = limits.half_open.saturating_add(limits.closing);
        let most = most.saturating_add(peers.saturating_mul(per_peer));
        let most = most.saturating_add(limits.guest_requests);
        let open = self.open(|conn| conn.accepted);
        assert!(open <= most, "{open} accepted connections; at most {most}");
        let planned = self.open(|conn| conn.planned);
        let most = limits.max_dialing.max(limits.urgent_dialing);
        assert!(planned <= most, "{planned} dials under way");
        let visits = self.open(|conn| conn.visits && !conn.finished);
        let most = limits.guest_visits.saturating_add(limits.guests.saturating_mul(GUEST_DIALS));
        let most = most.saturating_add(limits.guest_told).saturating_add(limits.closing);
        assert!(visits <= most, "{visits} guests visited or called; at most {most}");
        self.check_memory();
        self.check_counters();
        if node.is_stopped() {
            assert!(node.poll_timeout().is_none(), "stopped with a deadline");
            assert_eq!(peers, 0);
        }
    }

    fn open(&self, which: impl Fn(&Conn) -> bool) -> usize {
        self.live.iter().filter(|(id, conn)| which(conn) && self.node.is_open(**id)).count()
    }

    fn check_memory(&self) {
        let limits = self.node.config().limits();
        let line = limits.max_line.saturating_add(limits.control_reserve);
        let dial = line.saturating_add(DIAL_COST).saturating_add(self.longest_read);
        let dials = self.dials.saturating_mul(dial);
        let most = limits.worst_case_node(self.longest_read).saturating_add(dials);
        assert!(self.node.buffered() <= most, "{} of {most} bytes", self.node.buffered());
    }

    fn check_counters(&self) {
        let stats = self.node.stats();
        assert_eq!(stats.bytes_in, self.bytes_in);
        assert_eq!(stats.bytes_out, self.bytes_out);
        assert!(stats.connections_closed <= stats.connections_opened);
        assert!(self.all.len() as u64 <= stats.connections_opened);
        assert!(stats.delivered >= self.delivered.len() as u64);
    }

    /// Shuts down, lets time run out, and holds the account.
    pub(crate) fn settle(mut self) {
        self.shutdown(Duration::from_millis(10), self.now);
        self.tick(self.now + Duration::from_millis(10));
        self.drain_actions();
        while self.take_event() {}
        self.drain_actions();
        self.check();
        assert!(self.node.is_stopped() && self.live.is_empty(), "{:?}", self.live);
        let stats = self.node.stats();
        assert_eq!(stats.connections_opened, stats.connections_closed);
        assert_eq!(self.all.len() as u64, stats.connections_opened);
        self.check_ends();
        assert!(self.up.is_empty(), "{:?} never went down", self.up);
        assert!(self.asked.is_empty(), "{:?} never ended", self.asked);
        self.node.handle_timeout(Instant::MAX);
        assert!(self.node.poll_timeout().is_none() && self.node.poll_action().is_none());
        assert!(self.node.poll_event().is_none(), "stopped and not silent");
        assert_eq!(self.node.buffered(), 0, "keeps what nobody waits for");
    }

    /// Each connection was told as ended once: by name, in a count, or, if it carried a guest's
    /// exchange, perhaps not at all.
    fn check_ends(&self) {
        let nameless: Vec<&ConnId> =
            self.all.iter().filter(|conn| !self.ended.contains(conn)).collect();
        let owed = nameless.iter().filter(|conn| !self.exchanges.contains(conn)).count();
        let (owed, most) = (owed as u64, nameless.len() as u64);
        let told = self.repeats;
        assert!(owed <= told && told <= most, "{told} ends are counted, not {owed} to {most}");
    }
}

/// What the node answers without its application.
fn is_own_kind(kind: [u8; 4]) -> bool {
    [b"NAME", b"LIST", b"JOIN", b"QUIT", b"PING"].iter().any(|own| own.eq_ignore_ascii_case(&kind))
}
