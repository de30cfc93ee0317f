//! Target `node_ops`: a script of everything that drivers, peers and applications may do, on one
//! node. Each operation is a byte and its arguments, so that a seed can be read.

use std::net::SocketAddr;
use std::time::Duration;

use peerline_proto::testing::encode_frame;
use peerline_proto::{
    Config, ConnId, Dialect, Instant, Limits, NodeId, Payload, PeerId, TransportError, UnixTime,
};

use crate::input::Input;
use crate::watched::{KIND, Watched};

/// Connections among which an operation chooses: the newest.
const NEWEST: usize = 16;
/// The most raw bytes at once, too few to forge a message of `KIND` in one go.
const RAW: usize = 32;

/// What `Closed` reports.
const REASONS: [TransportError; 7] = [
    TransportError::Eof,
    TransportError::Reset,
    TransportError::Refused,
    TransportError::TimedOut,
    TransportError::Unreachable,
    TransportError::Exhausted,
    TransportError::Other,
];

/// One node does what it may and no more, whatever is done to it.
///
/// Input: six bytes for the limits, one for when actions are drained, then the operations.
pub fn node_ops(input: &[u8]) {
    let mut input = Input::new(input);
    let config = small_config(&mut input);
    play(Watched::new(config), input);
}

/// Limits small enough to be met.
fn small_config(input: &mut Input<'_>) -> Config {
    let mut limits = Limits::default();
    let pair = |byte: u8| (usize::from(byte & 15), usize::from(byte >> 4));
    let (half_open, closing) = pair(input.byte());
    limits.half_open = 1 + half_open;
    limits.closing = 1 + closing;
    (limits.max_inbound, limits.target_outbound) = pair(input.byte());
    let (dialing, rivals) = pair(input.byte());
    (limits.max_dialing, limits.rivals) = (1 + dialing, 1 + rivals);
    let (guests, book) = pair(input.byte());
    (limits.guest_connections, limits.book) = (1 + guests, 1 + book);
    let (queue, events) = pair(input.byte());
    limits.send_queue = 4096 << queue;
    limits.queued_total = limits.send_queue << (events & 1);
    limits.control_reserve = 4096;
    limits.event_queue = 4096 << (events >> 1);
    let peers = usize::from(input.byte() % 8);
    Config::builder().limits(limits).max_peers(peers).build().expect("limits that fit")
}

/// Plays the operations to their end, and the end of the node.
pub(crate) fn play(node: Watched, mut input: Input<'_>) {
    let lazy = input.byte();
    let mut script = Script { node, clock: Instant::ZERO, made: 0 };
    script.node.node.listening(addr_of(0), Instant::ZERO);
    let mut count = 0_u8;
    while let Some(op) = input.next() {
        script.operate(op, &mut input);
        count = count.wrapping_add(1);
        if lazy == 0 || count % lazy == 0 {
            script.node.drain_actions();
        }
        script.node.check();
    }
    script.node.settle();
}

/// A script being played.
struct Script {
    node: Watched,
    /// What the driver tells as the time, which may run backwards.
    clock: Instant,
    /// Messages made so far.
    made: u64,
}

impl Script {
    fn operate(&mut self, op: u8, input: &mut Input<'_>) {
        match op % 24 {
            0 => self.node.dial(addr_of(input.byte()), self.clock),
            1 | 2 => self.node.accepted(addr_of(input.byte()), self.clock),
            3 | 4 => self.with_conn(input, |node, conn, clock, _| node.connected(conn, clock)),
            5 => self.with_conn(input, |node, conn, clock, input| {
                node.closed(conn, input.pick(&REASONS), clock);
            }),
            6 => self.with_conn(input, |node, conn, clock, input| {
                let most = usize::from(input.byte()) % RAW;
                node.received(conn, input.take(most), clock);
            }),
            7..=9 => self.line(input, usize::MAX),
            10 => {
                let most = usize::from(input.byte());
                self.line(input, most);
            }
            11 | 12 => self.with_conn(input, |node, conn, clock, input| {
                node.send(conn, 1 << (input.byte() % 20), clock);
            }),
            13 => self.with_conn(input, |node, conn, clock, input| {
                node.claim_sent(conn, 1 << (input.byte() % 64), clock);
            }),
            14 => self.loop_back(input),
            15 | 16 => self.tick(input.byte()),
            17 => self.advance_to_timeout(),
            18 => self.broadcast(input.byte()),
            19 => self.send(input),
            20 => {
                let peer = peer_of(input.byte());
                self.node.tell(self.clock).disconnect(&peer, self.clock);
            }
            21 => self.drain(input.byte()),
            22 => self.rare(input),
            _ => self.node.drain_actions(),
        }
    }

    /// Chooses a connection, of the newest the one that many back; none if there are none.
    fn conn(&self, back: u8) -> Option<ConnId> {
        let newest = self.node.all.len().min(NEWEST);
        let back = usize::from(back).checked_rem(newest)?;
        self.node.all.iter().rev().nth(back).copied()
    }

    fn with_conn(
        &mut self,
        input: &mut Input<'_>,
        act: impl FnOnce(&mut Watched, ConnId, Instant, &mut Input<'_>),
    ) {
        if let Some(conn) = self.conn(input.byte()) {
            act(&mut self.node, conn, self.clock, input);
        }
    }

    /// A valid line, or its first bytes.
    fn line(&mut self, input: &mut Input<'_>, most: usize) {
        let Some(conn) = self.conn(input.byte()) else { return };
        let bytes = words_of(input, self.node.node.id(), &self.node.epoch);
        self.node.received(conn, &bytes[..bytes.len().min(most)], self.clock);
    }

    /// What one connection says is heard on another: the node reached itself.
    fn loop_back(&mut self, input: &mut Input<'_>) {
        let (Some(from), Some(to)) = (self.conn(input.byte()), self.conn(input.byte())) else {
            return;
        };
        let bytes = self.node.send(from, usize::MAX, self.clock);
        self.node.received(to, &bytes, self.clock);
    }

    /// Lets time pass, stand, or run backwards, and fires the timer.
    fn tick(&mut self, step: u8) {
        self.clock = stepped(self.clock, step);
        self.node.tick(self.clock);
    }

    fn advance_to_timeout(&mut self) {
        if let Some(at) = self.node.node.poll_timeout() {
            self.clock = self.clock.max(at);
            self.node.tick(self.clock);
        }
    }

    fn body(&mut self, size: u8) -> Payload {
        self.made += 1;
        // One of 64 is large: its bytes cost time, and show little more.
        let shift = if size & 63 == 63 { 16 } else { size % 12 };
        let filler = "x".repeat(1 << shift);
        Payload::encode(&(self.made, filler)).expect("a text and a number")
    }

    fn broadcast(&mut self, size: u8) {
        let body = self.body(size);
        self.node.broadcast(&body, self.clock);
    }

    fn send(&mut self, input: &mut Input<'_>) {
        let to = peer_of(input.byte());
        let body = self.body(input.byte());
        let node = self.node.tell(self.clock);
        // A way may be sought among peers, even a while after they have gone, or dialled.
        let met = node.stats().connections_opened > 0;
        let possible = met || node.addresses().next().is_some();
        let sent = node.send(&to, "OWN", &body, self.clock);
        assert!(possible || sent.is_err(), "sent to nobody");
    }

    fn requests(&mut self, what: u8, input: &mut Input<'_>) {
        let (clock, choice) = (self.clock, input.byte());
        match what % 4 {
            0 | 1 => {
                let (to, body) = (peer_of(choice), self.body(choice >> 4));
                self.node.request(&to, &body, duration_of(input.byte()), clock);
            }
            2 => {
                let body = self.body(choice >> 4);
                self.node.answer(choice & 1 == 0, &body, clock);
            }
            _ => {
                let via = peer_of(choice);
                self.node.tell(clock).set_router(move |_| Some(via.clone()));
            }
        }
    }

    /// What an application does with guests.
    fn guests(&mut self, what: u8, input: &mut Input<'_>) {
        let (clock, choice) = (self.clock, input.byte());
        match what % 8 {
            0 | 1 => {
                let dialect = if choice & 4 == 0 { Dialect::Chat } else { Dialect::Btpeer };
                let _refused_perhaps = self.node.tell(clock).join(addr_of(choice), dialect, clock);
            }
            2 | 3 => {
                let body = self.body(choice >> 4);
                self.node.request_at(addr_of(choice), &body, duration_of(input.byte()), clock);
            }
            4 => {
                let (to, body) = (PeerId::Guest(guest(choice).into()), self.body(choice >> 4));
                self.node.request(&to, &body, duration_of(input.byte()), clock);
            }
            5 => {
                self.node.tell(clock).forget(&PeerId::Guest(guest(choice).into()), clock);
            }
            6 if choice & 1 == 0 => {
                let peer = PeerId::Guest(guest(choice >> 1).into());
                self.node.tell(clock).ask_for_peers(&peer, clock);
            }
            6 => self.node.tell(clock).check_live(clock),
            _ => {
                let text = Payload::encode(&choice.to_string()).expect("a text");
                let _refused_perhaps = self.node.tell(clock).broadcast("CHAT", &text, clock);
            }
        }
    }

    /// The application takes some events, or all.
    fn drain(&mut self, most: u8) {
        let mut left = if most >= 128 { usize::MAX } else { usize::from(most) };
        while left > 0 && self.node.take_event() {
            left -= 1;
        }
    }

    fn rare(&mut self, input: &mut Input<'_>) {
        let (what, clock) = (input.byte(), self.clock);
        match what {
            0..=127 => {}
            128..=191 => return self.requests(what, input),
            192..=255 => return self.guests(what, input),
        }
        match what % 8 {
            0 => self.node.shutdown(duration_of(input.byte()), clock),
            1..=3 => self.node.tell(clock).add_bootstrap(addr_of(input.byte()), clock),
            4 => {
                let unix = UnixTime::from_millis(input.number());
                self.node.tell(clock).wall_clock(unix, clock);
            }
            5 => self.node.tell(clock).listening(addr_of(input.byte()), clock),
            6 => self.node.node.count_handler_panic(),
            // Nobody tells the node, until something happens.
            _ => self.clock = stepped(clock, input.byte()),
        }
    }
}

/// One of a few addresses, some of them unusable.
fn addr_of(choice: u8) -> SocketAddr {
    let port = 4000 + u16::from(choice >> 4);
    match choice & 15 {
        0..=3 => SocketAddr::from(([10, 0, 0, choice & 3], port)),
        4..=7 => SocketAddr::from(([10, 0, choice & 3, 9], 7000)),
        8..=10 => SocketAddr::from(([198, 51, 100, choice & 3], port)),
        11 => SocketAddr::from(([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1], port)),
        12 => SocketAddr::from(([0, 0, 0, 0, 0, 0xffff, 0x0a00, 1], port)),
        13 => SocketAddr::from(([127, 0, 0, 1], port)),
        14 => SocketAddr::from(([0, 0, 0, 0], port)),
        _ => SocketAddr::from(([10, 0, 0, 1], 0)),
    }
}

/// One of a few peers: node 0 is the node itself.
fn peer_of(choice: u8) -> PeerId {
    match choice % 8 {
        6 => PeerId::Guest("guest".into()),
        7 => PeerId::Guest(String::new().into()),
        number => PeerId::Node(NodeId::from_random_bytes([number; 16])),
    }
}

/// A name as it stands on the wire.
fn name_of(choice: u8) -> String {
    match peer_of(choice) {
        PeerId::Node(id) => id.to_string(),
        PeerId::Guest(name) => name.to_string(),
        // PeerId may grow; these are the kinds there are.
        _ => String::new(),
    }
}

/// A duration: none, one of a session's times, or one that no clock holds.
fn duration_of(choice: u8) -> Duration {
    const MILLIS: [u64; 14] =
        [0, 1, 20, 100, 500, 1000, 3000, 5000, 8000, 10_000, 18_000, 60_000, 240_000, 3_600_000];
    match MILLIS.get(usize::from(choice & 15)) {
        Some(millis) => Duration::from_millis(*millis),
        None if choice & 1 == 0 => Duration::from_secs(86_400 << (choice >> 4)),
        None => Duration::MAX,
    }
}

/// The table of 256 steps: half forward, a quarter backwards, a quarter to the extremes.
fn stepped(clock: Instant, step: u8) -> Instant {
    let length = duration_of(step);
    let back = |times: u64| {
        let nanos = u64::try_from(length.as_nanos()).unwrap_or(u64::MAX);
        Instant::from_nanos(clock.as_nanos().saturating_sub(nanos.saturating_mul(times)))
    };
    match step >> 4 {
        times @ 0..=7 if step & 15 < 14 => clock + length.saturating_mul(u32::from(times) + 1),
        0..=7 => clock + Duration::from_nanos(u64::from(step)),
        times @ 8..=11 => back(u64::from(times) - 7),
        12 => Instant::from_nanos(u64::from(step & 15)),
        13 => clock + Duration::from_secs(86_400 << (step & 15)),
        14 => Instant::from_nanos(u64::MAX - (1 << (4 * (step & 15)))),
        _ => Instant::from_nanos(u64::MAX - u64::from(15 - (step & 15))),
    }
}

/// A valid line, or what a guest says.
fn words_of(input: &mut Input<'_>, own: NodeId, epoch: &str) -> Vec<u8> {
    match input.peek() {
        Some(kind @ 176..=191) => {
            input.byte();
            guest_words(kind, input.byte(), input.byte())
        }
        _ => line_of(input, own, epoch).into_bytes(),
    }
}

/// The name of one of a few guests, as their framework makes it.
fn guest(choice: u8) -> String {
    addr_of(choice % 12).to_string()
}

/// A frame or an object.
fn guest_words(kind: u8, a: u8, b: u8) -> Vec<u8> {
    let (name, port) = (guest(a), 4000 + u16::from(b >> 4));
    let frame = |kind, payload: &str| encode_frame(kind, payload.as_bytes()).expect("a kind");
    let object = |kind: &str, msg: &str| {
        let said = format!("\"originator\": \"{name}\", \"time\": \"{}\"", b & 15);
        format!("{{\"msg_type\": \"{kind}\", \"msg\": {msg}, {said}}}").into_bytes()
    };
    match kind % 16 {
        0 => frame("NAME", ""),
        1 => frame("LIST", ""),
        2 | 3 => frame("JOIN", &format!("{name} host{b} {port}")),
        4 => frame("QUIT", &name),
        5 => frame(["PING", "join", "A B", "erro"][usize::from(a & 3)], &name),
        6 => frame("R", &name),
        7 => frame("REPL", &name),
        8 => frame("REPL", &format!("{name} {} {port}", addr_of(b).ip())),
        9 => {
            let mut frame = frame("R", "");
            frame[4 + usize::from(a & 3)] = b;
            frame
        }
        10 => object("PING", &format!("[\"10.0.0.{b}\", {port}]")),
        11 => object("PONG", &format!("[\"10.0.0.{b}\", {port}]")),
        12 => object("ADVERTISE", "\"\""),
        13 => object("ADVERTISE_REPLY", &format!("[\"{b}\", [\"{}\", {port}]]", addr_of(b).ip())),
        14 => object("BROADCAST", &format!("[{}]", b & 7)),
        _ if b & 1 == 0 => object("TEST", "{}"),
        _ => object("ODD", &b.to_string()),
    }
}

/// A valid line. `own` is the node that will read it.
fn line_of(input: &mut Input<'_>, own: NodeId, epoch: &str) -> String {
    let (kind, a, b) = (input.byte(), input.byte(), input.byte());
    if kind >= 192 {
        return routed(kind, a, b, epoch);
    }
    match kind % 16 {
        0..=4 => hello(kind, a, b),
        5 => "{\"msgtype\":\"ping\"}\n".into(),
        6 => format!("{{\"msgtype\":\"ping\",\"nonce\":{a}}}\n"),
        7 => format!("{{\"msgtype\":\"pong\",\"nonce\":{a}}}\n"),
        8 => bye(a, b),
        9 => format!("{{\"msgtype\":\"getaddr\",\"max\":{a}}}\n"),
        10 => {
            let (first, second, name) = (addr_of(a), addr_of(b), name_of(a ^ b));
            let peers = format!("[[\"{first}\",\"{name}\"],[\"{second}\",\"\"]]");
            format!("{{\"msgtype\":\"addr\",\"peers\":{peers},\"ages\":[{a},{b}]}}\n")
        }
        11 | 12 => {
            let (name, epoch, seq) = (name_of(a % 6), a >> 7, u64::from(b) * 7 % 251);
            format!(
                "{{\"msgtype\":\"broadcast\",\"originator\":\"{name}\",\"epoch\":{epoch},\
                 \"seq\":{seq},\"time\":0,\"kind\":\"{KIND}\",\
                 \"msg\":[\"{name}\",{epoch},{seq}]}}\n"
            )
        }
        13 | 14 => {
            let (from, to) =
                (name_of(a % 6), if b & 7 == 7 { name_of(a) } else { own.to_string() });
            format!(
                "{{\"msgtype\":\"message\",\"id\":\"{b}\",\"from\":\"{from}\",\"to\":\"{to}\",\
                 \"time\":0,\"ttl\":1,\"kind\":\"{KIND}\",\"msg\":[\"{from}\",{b}]}}\n"
            )
        }
        _ if b & 1 == 0 => format!("{{\"msgtype\":\"error\",\"re\":\"{a}\",\"code\":\"{b}\"}}\n"),
        _ => "{\"msgtype\":\"odd\",\"a\":[1]}\n".into(),
    }
}

/// A line from one node for another, which may be for the node itself or for one beyond it.
fn routed(kind: u8, a: u8, b: u8, epoch: &str) -> String {
    let (from, to) = (name_of(a % 6), name_of((a >> 4) % 6));
    let (id, try_, n) = (b & 7, (b >> 3) & 3, b >> 5);
    let ends = format!("\"from\":\"{from}\",\"to\":\"{to}\"");
    match kind % 8 {
        0 | 1 => format!(
            "{{\"msgtype\":\"request\",\"id\":\"{id}\",{ends},\"kind\":\"R\",\"time\":0,\
             \"ttl\":{n},\"deadline\":{},\"try\":{try_},\"msg\":0}}\n",
            u32::from(a) * 100
        ),
        2 | 3 => format!(
            "{{\"msgtype\":\"reply\",\"re\":\"{}.{id}\",\"n\":{n},{ends},\"kind\":\"R\",\
             \"last\":{},\"msg\":0}}\n",
            epoch,
            try_ == 0
        ),
        4 => {
            let code = ["no_route", "busy", "refused", "odd"][usize::from(try_)];
            let re = if n & 1 == 0 { format!("{epoch}.{id}") } else { id.to_string() };
            format!("{{\"msgtype\":\"nak\",\"re\":\"{re}\",\"at\":\"{to}\",\"code\":\"{code}\"}}\n")
        }
        5 => format!("{{\"msgtype\":\"find\",\"id\":\"{id}\",{ends},\"ttl\":{n}}}\n"),
        6 => format!("{{\"msgtype\":\"found\",\"id\":\"{}.{id}\",{ends},\"ttl\":{n}}}\n", epoch),
        _ => format!(
            "{{\"msgtype\":\"message\",\"id\":\"{id}\",{ends},\"time\":0,\"ttl\":{n},\
             \"kind\":\"R\",\"msg\":0}}\n"
        ),
    }
}

fn hello(kind: u8, a: u8, b: u8) -> String {
    let name = name_of(a);
    let version = if a % 8 > 5 { kind % 16 / 4 } else { 1 };
    let extra = match b >> 4 {
        0..=7 => format!(",\"listen\":{}", 4000 + u16::from(b >> 4)),
        8 | 9 => format!(",\"listen\":\"{}\"", addr_of(b)),
        10 => ",\"network\":\"other\"".into(),
        11 => ",\"min_version\":1".into(),
        12 => format!(",\"nonce\":{b}"),
        13 => ",\"max\":16777216".into(),
        14 => ",\"listen\":\"nowhere\"".into(),
        _ => String::new(),
    };
    match version {
        0 => format!("{{\"msgtype\":\"hello\",\"nodeid\":\"{name}\"}}\n"),
        _ => format!(
            "{{\"msgtype\":\"hello\",\"nodeid\":\"{name}\",\"version\":{version}{extra}}}\n"
        ),
    }
}

fn bye(a: u8, b: u8) -> String {
    const WORDS: [&str; 8] =
        ["shutdown", "disconnect", "duplicate", "full", "network", "version", "odd", "duplicate"];
    let word = WORDS[usize::from(a % 8)];
    let retry = match b >> 6 {
        0 => String::new(),
        1 => format!(",\"retry\":{b}"),
        2 => ",\"retry\":9007199254740991".into(),
        _ => format!(",\"retry\":1,\"peers\":[[\"{}\",\"{}\"]]", addr_of(b), name_of(b)),
    };
    format!("{{\"msgtype\":\"bye\",\"reason\":\"{word}\"{retry}}}\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use peerline_proto::testing::decode;

    #[test]
    fn every_line_is_valid() {
        for (kind, a) in (0..16).chain(192..200).flat_map(|kind| (0..=255).map(move |a| (kind, a)))
        {
            let own = NodeId::from_random_bytes([0; 16]);
            let line = line_of(&mut Input::new(&[kind, a, a ^ 0x5a]), own, "00000000");
            assert!(matches!(decode(line.as_bytes()), Ok(Some(_))), "{line}");
        }
    }
}
