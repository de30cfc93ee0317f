//! The scripts that every runtime passes, and what a runtime implements to be put through them.
//!
//! A runtime implements [`Runtime`] and [`Subject`], and calls [`check_all`] with a
//! [`Loopback`](loopback::Loopback) stage, which plays strangers on real sockets of the loopback
//! interface. The same scripts run on virtual time on a [`Simulated`](simulated::Simulated) stage.
//! Every stage must give the same text: the events of each node, in order.

pub mod loopback;
pub mod scripts;
pub mod simulated;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use peerline_proto::{
    CloseReason, Delivery, Event, Instant, Limits, NakCode, Node, NodeId, Payload, PeerId,
    PeerInfo, Receipt, ReplyTo, Request, RequestFailure, Side, Stats, Violation,
};

/// How a node under test is set up.
#[derive(Clone, Debug, Default)]
pub struct Setup {
    /// Its bounds.
    pub limits: Limits,
    /// Addresses that it dials for ever.
    pub bootstrap: Vec<SocketAddr>,
}

/// What a node under test is told to do.
#[derive(Clone, Debug)]
pub enum Command {
    /// Open a connection.
    Dial(SocketAddr),
    /// Publish to all.
    Broadcast(String, Payload),
    /// Send to one.
    Send(PeerId, String, Payload),
    /// Ask one, and wait this long for its replies.
    Request(PeerId, String, Payload, Duration),
    /// Ask whoever speaks frames at an address, and wait this long.
    RequestAt(SocketAddr, String, Payload, Duration),
    /// Answer, and whether that was the last of it.
    Reply(ReplyTo, String, Payload, bool),
    /// Answer with a no.
    Refuse(ReplyTo, NakCode),
    /// Part from one.
    Disconnect(PeerId),
    /// Stop within this time.
    Shutdown(Duration),
}

impl Command {
    /// Carries it out on a node at hand; an error is its text.
    ///
    /// # Errors
    /// Those of the command.
    pub fn apply(self, node: &mut Node, now: Instant) -> Result<Receipt, String> {
        match self {
            Self::Dial(addr) => done(node.dial(addr, now)),
            Self::Broadcast(kind, body) => {
                node.broadcast(&kind, &body, now).map_err(|error| error.to_string())
            }
            Self::Send(peer, kind, body) => done(node.send(&peer, &kind, &body, now)),
            Self::Request(peer, kind, body, within) => {
                done(node.request(&peer, &kind, &body, within, now))
            }
            Self::RequestAt(addr, kind, body, within) => {
                done(node.request_at(addr, &kind, &body, within, now))
            }
            Self::Reply(to, kind, body, last) => done(node.reply(to, &kind, &body, last, now)),
            Self::Refuse(to, code) => done(node.refuse(to, code, now)),
            Self::Disconnect(peer) => {
                node.disconnect(&peer, now);
                Ok(Receipt::default())
            }
            Self::Shutdown(within) => {
                node.shutdown(within, now);
                Ok(Receipt::default())
            }
        }
    }
}

/// What a command that gives no receipt comes to.
///
/// # Errors
/// Those of the command, as texts.
pub fn done<T, E: ToString>(done: Result<T, E>) -> Result<Receipt, String> {
    done.map(|_| Receipt::default()).map_err(|error| error.to_string())
}

/// A runtime: whatever can start a node that listens at one port of 127.0.0.1 of its choice.
pub trait Runtime {
    /// The running node.
    type Subject: Subject;

    /// Starts a node.
    fn start(&self, setup: Setup) -> Self::Subject;

    /// How many strangers a node must serve at once. A thousand, unless the runtime is not made
    /// for so many.
    fn crowd(&self) -> usize {
        1_000
    }
}

/// A running node. Nothing takes its events but [`next_event`](Self::next_event), so while that is
/// not called, the application does not drain. Dropping it stops it.
pub trait Subject {
    /// Where it listens.
    fn addr(&self) -> SocketAddr;
    /// Who it is.
    fn id(&self) -> NodeId;
    /// Carries out a command; an error is its text.
    fn command(&self, command: Command) -> Result<Receipt, String>;
    /// Its peers.
    fn peers(&self) -> Vec<PeerInfo>;
    /// Its counters.
    fn stats(&self) -> Stats;
    /// The next event, if one comes within the time.
    fn next_event(&self, within: Duration) -> Option<Event>;
    /// Whether it has stopped, or stops within the time.
    fn is_stopped(&self, within: Duration) -> bool;
}

/// Where scripts are played: nodes, and strangers that speak raw bytes. Nodes and strangers are
/// counted from 0.
pub trait Stage {
    /// Starts a node.
    fn start(&mut self, setup: Setup) -> usize;
    /// Where a node listens.
    fn addr(&self, node: usize) -> SocketAddr;
    /// Who a node is.
    fn id(&self, node: usize) -> NodeId;
    /// See [`Subject::command`].
    fn command(&mut self, node: usize, command: Command) -> Result<Receipt, String>;
    /// See [`Subject::peers`].
    fn peers(&self, node: usize) -> Vec<PeerInfo>;
    /// See [`Subject::stats`].
    fn stats(&self, node: usize) -> Stats;
    /// See [`Subject::next_event`].
    fn next_event(&mut self, node: usize, within: Duration) -> Option<Event>;
    /// See [`Subject::is_stopped`].
    fn is_stopped(&mut self, node: usize, within: Duration) -> bool;
    /// How many strangers a node must serve at once.
    fn crowd(&self) -> usize;
    /// An address where nobody listens.
    fn nowhere(&mut self) -> SocketAddr;

    /// A stranger connects to a node.
    fn connect(&mut self, node: usize) -> usize;
    /// A stranger writes; what the node does not take any more is lost.
    fn say(&mut self, stranger: usize, bytes: &[u8]);
    /// What a stranger was told so far, as far as it reads.
    fn heard(&mut self, stranger: usize) -> String;
    /// A stranger reads no more.
    fn turn_deaf(&mut self, stranger: usize);
    /// A stranger reads again.
    fn listen(&mut self, stranger: usize);
    /// A deaf stranger reads once, so many bytes at most. None if none come within the time.
    fn sip(&mut self, stranger: usize, most: usize, within: Duration) -> Vec<u8>;
    /// A stranger ends its half.
    fn hang_up(&mut self, stranger: usize);
    /// A stranger that was told nothing closes its socket.
    fn leave(&mut self, stranger: usize);
    /// A stranger breaks the connection.
    fn reset(&mut self, stranger: usize);
    /// Whether the node ends a stranger's connection within the time.
    fn is_cut(&mut self, stranger: usize, within: Duration) -> bool;
    /// Whether the node broke a stranger's connection that had ended in order.
    fn was_reset(&mut self, stranger: usize) -> bool;
}

/// How long a script waits for anything: a sign that something hangs, not a measure of speed.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// The node id of strangers that say hello.
pub const STRANGER: &str = "11111111-1111-4111-8111-111111111111";

/// The whole text that the scripts must give, on every stage.
pub fn expected() -> &'static str {
    include_str!("../../golden/conformance.txt")
}

/// Plays all scripts, each on a stage of its own, and returns what happened.
pub fn play_all<S: Stage>(mut stage: impl FnMut() -> S) -> String {
    let mut text = String::new();
    for (name, script) in scripts::ALL {
        let _playing = Playing(name);
        let mut stage = stage();
        let mut play = Play::new(&mut stage);
        script(&mut play);
        text.push_str(&format!("# {name}\n{}\n", play.text()));
    }
    text
}

/// Says which script it was that failed.
struct Playing(&'static str);

impl Drop for Playing {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the script that failed: {}", self.0);
        }
    }
}

/// Plays all scripts and compares.
///
/// # Panics
/// If a script waits in vain, or the events differ from those expected.
pub fn check_all<S: Stage>(stage: impl FnMut() -> S) {
    let text = play_all(stage);
    let differs = text.lines().zip(expected().lines()).find(|(ours, theirs)| ours != theirs);
    assert_eq!(differs, None, "a line differs from the expected one; all of it:\n{text}");
    assert_eq!(text.lines().count(), expected().lines().count());
}

/// A script being played: the stage, and each node's events so far.
#[allow(missing_debug_implementations)] // a stage has nothing to show but its nodes
pub struct Play<'a> {
    stage: &'a mut dyn Stage,
    names: BTreeMap<PeerId, String>,
    logs: Vec<Vec<String>>,
}

impl<'a> Play<'a> {
    fn new(stage: &'a mut dyn Stage) -> Self {
        let mut names = BTreeMap::new();
        let stranger: NodeId = STRANGER.parse().expect("a constant UUID");
        names.insert(PeerId::Node(stranger), "stranger".to_owned());
        Self { stage, names, logs: Vec::new() }
    }

    /// The stage.
    pub fn stage(&mut self) -> &mut dyn Stage {
        self.stage
    }

    /// Starts a node; they are called a, b, c, …
    pub fn start(&mut self, setup: Setup) -> usize {
        let node = self.stage.start(setup);
        let name = char::from(b'a' + u8::try_from(node).expect("a few nodes"));
        self.names.insert(PeerId::Node(self.stage.id(node)), name.to_string());
        self.logs.push(Vec::new());
        node
    }

    /// Two nodes with short time-outs that are connected, a having dialled b.
    pub fn pair(&mut self, limits: &Limits) -> (usize, usize) {
        let setup = Setup { limits: limits.clone(), bootstrap: Vec::new() };
        let (a, b) = (self.start(setup.clone()), self.start(setup));
        self.dial(a, b);
        self.wait(a, "up b, dialled");
        self.wait(b, "up a");
        (a, b)
    }

    /// One node dials another.
    pub fn dial(&mut self, from: usize, to: usize) {
        let addr = self.stage.addr(to);
        self.command(from, Command::Dial(addr)).expect("it can dial");
    }

    /// Carries out a command.
    pub fn command(&mut self, node: usize, command: Command) -> Result<Receipt, String> {
        self.stage.command(node, command)
    }

    /// A node publishes a text to `reached` others: to some of them itself, to the rest by these.
    pub fn broadcast(&mut self, node: usize, kind: &str, text: &str, reached: usize) {
        let body = Payload::encode(text).expect("a text is JSON");
        let receipt = self.command(node, Command::Broadcast(kind.to_owned(), body));
        let queued = receipt.expect("it can publish").queued;
        assert!((1..=reached).contains(&queued), "{queued} of {reached}");
    }

    /// A node sends a text to another.
    pub fn send(&mut self, from: usize, to: usize, kind: &str, text: &str) -> Result<(), String> {
        let (peer, body) = (self.peer(to), Payload::encode(text).expect("a text is JSON"));
        self.command(from, Command::Send(peer, kind.to_owned(), body)).map(|_| ())
    }

    /// A node asks another with a text.
    pub fn ask(&mut self, from: usize, to: usize, kind: &str, text: &str) -> Result<(), String> {
        let (peer, body) = (self.peer(to), Payload::encode(text).expect("a text is JSON"));
        let ask = Command::Request(peer, kind.to_owned(), body, PATIENCE);
        self.command(from, ask).map(|_| ())
    }

    /// Waits for a request, which must be this one.
    ///
    /// # Panics
    /// Like [`wait`](Self::wait).
    pub fn wait_for_request(&mut self, node: usize, expected: &str) -> Request {
        let event = self.next_event(node);
        let text = self.describe(&event);
        assert_eq!(text, expected, "node {node}, after {:#?}", self.logs[node]);
        self.logs[node].push(text);
        let Event::Request(request) = event else { panic!("node {node}: no request") };
        request
    }

    /// A node answers with a text.
    pub fn reply(
        &mut self,
        node: usize,
        request: &Request,
        text: &str,
        last: bool,
    ) -> Result<(), String> {
        let body = Payload::encode(text).expect("a text is JSON");
        let reply = Command::Reply(request.reply_to(), "REPL".to_owned(), body, last);
        self.command(node, reply).map(|_| ())
    }

    /// The name of a node to others.
    pub fn peer(&self, node: usize) -> PeerId {
        PeerId::Node(self.stage.id(node))
    }

    /// A stranger connects and says hello; the node sees it come up.
    pub fn stranger(&mut self, node: usize) -> usize {
        let stranger = self.stage.connect(node);
        self.stage.say(stranger, hello().as_bytes());
        self.wait(node, "up stranger");
        stranger
    }

    /// Waits for a node's next event, which must be this one.
    ///
    /// # Panics
    /// If it is another one, or none comes.
    pub fn wait(&mut self, node: usize, expected: &str) {
        let event = self.next(node);
        assert_eq!(event, expected, "node {node}, after {:#?}", self.logs[node]);
        self.logs[node].push(event);
    }

    /// A node's next event as text, without noting it.
    pub fn next(&mut self, node: usize) -> String {
        let event = self.next_event(node);
        self.describe(&event)
    }

    /// A node's next event, without noting it.
    ///
    /// # Panics
    /// If none comes.
    pub fn next_event(&mut self, node: usize) -> Event {
        let event = self.stage.next_event(node, PATIENCE);
        event
            .unwrap_or_else(|| panic!("node {node} says nothing more after {:#?}", self.logs[node]))
    }

    /// Waits for a node's next event: true, and not noted, if it is the one that may come `early`;
    /// false if it is the `expected` one.
    ///
    /// # Panics
    /// Like [`wait`](Self::wait).
    pub fn comes_early(&mut self, node: usize, early: &str, expected: &str) -> bool {
        let event = self.next(node);
        let is_early = event == early;
        if !is_early {
            assert_eq!(event, expected, "node {node}, after {:#?}", self.logs[node]);
            self.logs[node].push(event);
        }
        is_early
    }

    /// Waits like [`wait`](Self::wait), while a stranger reads what it is told.
    ///
    /// # Panics
    /// Like [`wait`](Self::wait).
    pub fn wait_while_hearing(&mut self, node: usize, stranger: usize, expected: &str) {
        let mut event = None;
        for _ in 0..400 {
            self.stage.heard(stranger);
            event = self.stage.next_event(node, Duration::from_millis(50));
            if event.is_some() {
                break;
            }
        }
        let event = event.map(|event| self.describe(&event));
        assert_eq!(event.as_deref(), Some(expected), "node {node}");
        self.logs[node].extend(event);
    }

    /// Writes into a node's log what a script found out otherwise.
    pub fn note(&mut self, node: usize, text: &str) {
        self.logs[node].push(text.to_owned());
    }

    /// Whether a node says nothing more for a moment.
    pub fn is_quiet(&mut self, node: usize) -> bool {
        self.next_soon(node).is_none()
    }

    /// A node's next event as text, without noting it, if it comes within a moment.
    pub fn next_soon(&mut self, node: usize) -> Option<String> {
        let event = self.stage.next_event(node, Duration::from_millis(50));
        event.map(|event| self.describe(&event))
    }

    /// Guests without a name are named by where they are, which differs from stage to stage.
    fn name(&self, peer: &PeerId) -> String {
        let unknown = || if peer.node().is_some() { peer.to_string() } else { "a guest".into() };
        self.names.get(peer).cloned().unwrap_or_else(unknown)
    }

    fn describe(&self, event: &Event) -> String {
        let dialled = |side: &Side| match side {
            Side::Dialer => ", dialled",
            Side::Listener => "",
        };
        match event {
            Event::PeerUp { peer, side, .. } => format!("up {}{}", self.name(peer), dialled(side)),
            Event::PeerDown { peer, reason, .. } => {
                format!("down {}: {}", self.name(peer), describe_reason(reason))
            }
            Event::ConnectionFailed { side, reason, .. } => {
                format!("failed{}: {}", dialled(side), describe_reason(reason))
            }
            Event::Message(message) => {
                let how = match message.delivery() {
                    Delivery::Broadcast => "broadcast",
                    _ => "message", // Delivery may grow
                };
                let from = self.name(message.from());
                format!("{how} of {from}: {} {}", message.kind(), message.body())
            }
            Event::Request(request) => {
                let from = self.name(request.from());
                format!("request of {from}: {} {}", request.kind(), request.body())
            }
            Event::Reply(reply) => {
                let (from, last) = (self.name(reply.from()), reply.is_last());
                let end = if last { ", the last" } else { "" };
                format!("reply {} of {from}: {} {}{end}", reply.n(), reply.kind(), reply.body())
            }
            Event::RequestFailed { reason, .. } => match reason {
                RequestFailure::Nak { code, at: Some(at) } => {
                    format!("request failed: {code}, says {}", self.name(at))
                }
                other => format!("request failed: {other}"), // RequestFailure may grow
            },
            Event::Writable { peer } => format!("writable {}", self.name(peer)),
            other => format!("{other:?}"), // Event may grow; scripts know the above
        }
    }

    fn text(&self) -> String {
        let mut text = String::new();
        for (node, log) in (b'a'..).zip(&self.logs) {
            for line in log {
                text.push_str(&format!("{}: {line}\n", char::from(node)));
            }
        }
        text
    }
}

/// A reason without what depends on timing: how much of a line had arrived.
fn describe_reason(reason: &CloseReason) -> String {
    match reason {
        CloseReason::Violation(Violation::LineTooLong { limit, .. }) => {
            format!("line is too long; the limit is {limit}")
        }
        other => other.to_string(), // the rest is the same everywhere
    }
}

/// A stranger's hello.
pub fn hello() -> String {
    format!("{{\"msgtype\":\"hello\",\"nodeid\":\"{STRANGER}\",\"version\":1}}\n")
}

/// The hello of one of many strangers.
pub fn hello_of(number: usize) -> String {
    hello().replace("11111111-1111", &format!("{number:08x}-0000"))
}
