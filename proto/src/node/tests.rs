//! A node alone among neighbours that the test plays: what single lines do, and what they count.
//!
//! Networks of nodes are elsewhere; here each effect is looked at by itself, and nothing that is
//! not named may change.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::panic
)]

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;

use super::*;
use crate::config::Keyspace;
use crate::dialect::Dialect;
use crate::error::{ReplyError, RequestError};
use crate::exchange::{ReplyTo, RequestFailure};
use crate::id::PeerId;
use crate::limits::{Limits, MAX_BROADCAST_LINE};
use crate::message::Payload;
use crate::overlay::Probe;
use crate::verdicts::Verdict;

mod asking;
mod by_id;
mod chats;
mod dialled;
mod ends;
mod greet;
mod guests;
mod moments;
mod passing;
mod routed;
mod spread;
mod told;
mod verbs;
mod walking;

const SECOND: Duration = Duration::from_secs(1);

fn id(number: u8) -> NodeId {
    NodeId::from_random_bytes([number; 16])
}

fn addr(number: u8) -> SocketAddr {
    format!("192.0.2.{number}:40000").parse().unwrap()
}

fn body(text: &str) -> Payload {
    Payload::encode(text).unwrap()
}

/// The node under test, whose id is number 1.
struct Scene {
    node: Node,
    now: Instant,
}

impl Scene {
    fn new() -> Self {
        Self::with(Config::default())
    }

    fn with(config: Config) -> Self {
        let now = Instant::ZERO + SECOND;
        let node = Node::new(
            config,
            Identity::new(id(1)),
            [7; 32],
            Start::new(now, UnixTime::from_millis(0)),
        );
        Self { node, now }
    }

    fn limited(change: impl FnOnce(&mut Limits)) -> Self {
        let mut limits = Limits::default();
        change(&mut limits);
        Self::with(Config::builder().limits(limits).build().unwrap())
    }

    /// A neighbour dials, and says hello.
    fn meet(&mut self, number: u8) -> ConnId {
        let conn = self.node.accepted(addr(number), self.now).unwrap();
        self.greet(conn, number);
        conn
    }

    /// We dial a neighbour, which says hello.
    fn dial(&mut self, number: u8) -> ConnId {
        let conn = self.node.dial(addr(number), self.now).unwrap();
        self.node.connected(conn, self.now);
        self.greet(conn, number);
        conn
    }

    fn greet(&mut self, conn: ConnId, number: u8) {
        self.say(conn, &format!(r#"{{"msgtype":"hello","nodeid":"{}","version":1}}"#, id(number)));
        self.heard(conn, "");
    }

    fn say(&mut self, conn: ConnId, line: &str) {
        self.node.received(conn, format!("{line}\n").as_bytes(), self.now);
    }

    /// A line of one node for another.
    fn pass(&mut self, conn: ConnId, msgtype: &str, (from, to): (u8, u8), more: &str) {
        let (from, to) = (id(from), id(to));
        self.say(conn, &format!(r#"{{"msgtype":"{msgtype}",{more},"from":"{from}","to":"{to}"}}"#));
    }

    fn message(&mut self, conn: ConnId, ends: (u8, u8), ttl: u64) {
        let more = format!(r#""id":"a.1","time":1,"ttl":{ttl},"kind":"K","msg":1"#);
        self.pass(conn, "message", ends, &more);
    }

    fn request(&mut self, conn: ConnId, ends: (u8, u8), (ttl, deadline): (u64, u64)) {
        let numbers = format!(r#""ttl":{ttl},"deadline":{deadline},"try":0"#);
        let more = format!(r#""id":"a.1","time":1,{numbers},"kind":"K","msg":1"#);
        self.pass(conn, "request", ends, &more);
    }

    /// Takes what waits for a neighbour: the lines of this type.
    fn heard(&mut self, conn: ConnId, msgtype: &str) -> Vec<String> {
        let mut bytes = Vec::new();
        while !self.node.outgoing(conn).is_empty() {
            let count = self.node.outgoing(conn).copy_to(&mut bytes, usize::MAX);
            self.node.sent(conn, count, self.now);
        }
        let start = format!(r#"{{"msgtype":"{msgtype}"#);
        let text = String::from_utf8(bytes).unwrap();
        text.lines().filter(|line| line.starts_with(&start)).map(String::from).collect()
    }

    /// What is counted while something happens, but for bytes and lines.
    #[track_caller]
    fn counts(&mut self, expected: &str, act: impl FnOnce(&mut Self)) {
        let before = numbers(self.node.stats());
        act(self);
        let after = numbers(self.node.stats());
        let changed = before.iter().zip(&after).filter(|(one, other)| one != other);
        let changed: Vec<String> = changed
            .filter(|(_, (name, _))| !name.starts_with("bytes_") && !name.starts_with("lines_"))
            .map(|((_, was), (name, is))| format!("{name} {}", is.wrapping_sub(*was)))
            .collect();
        assert_eq!(changed.join(", "), expected);
    }

    fn events(&mut self) -> Vec<Event> {
        core::iter::from_fn(|| self.node.poll_event()).collect()
    }

    /// What the application was told, in a few words each.
    fn told(&mut self) -> Vec<String> {
        self.events().iter().map(words).collect()
    }

    /// What the driver was told, but for dials.
    fn ordered(&mut self) -> Vec<Action> {
        let actions = core::iter::from_fn(|| self.node.poll_action());
        actions.filter(|action| !matches!(action, Action::Connect { .. })).collect()
    }

    /// Where the driver was told to dial.
    fn dialled(&mut self) -> Vec<SocketAddr> {
        let actions = core::iter::from_fn(|| self.node.poll_action());
        let dials = actions.filter_map(|action| {
            let Action::Connect { addr, .. } = action else { return None };
            Some(addr)
        });
        dials.collect()
    }

    fn is_up(&self, number: u8) -> bool {
        self.node.peer(&PeerId::Node(id(number))).is_some()
    }

    /// A hello with more fields than the least.
    fn hello(&mut self, conn: ConnId, name: &str, more: &str) {
        self.say(conn, &format!(r#"{{"msgtype":"hello","nodeid":"{name}"{more}}}"#));
    }

    /// A neighbour of version 0 dials, and is greeted.
    fn meet_old(&mut self, number: u8, name: &str) -> ConnId {
        let conn = self.node.accepted(addr(number), self.now).unwrap();
        self.hello(conn, name, "");
        self.heard(conn, "");
        conn
    }

    /// Lets so much time pass, with everything that is due on its way.
    fn run_for(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(at) = self.node.poll_timeout().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.node.handle_timeout(self.now);
        }
        self.now = end;
    }
}

/// The counters by name.
fn numbers(stats: Stats) -> Vec<(String, u64)> {
    let text = format!("{stats:?}");
    let inside = text.trim_start_matches("Stats {").trim_end_matches('}');
    let pairs = inside.split(',').filter_map(|pair| pair.split_once(':'));
    pairs.map(|(name, number)| (name.trim().into(), number.trim().parse().unwrap())).collect()
}

fn who(peer: &PeerId) -> String {
    let number = (0..=9).find(|number| *peer == PeerId::Node(id(*number)));
    match (number, peer) {
        (Some(number), _) => number.to_string(),
        (None, PeerId::Guest(name)) => name.to_string(),
        (None, PeerId::Node(id)) => id.to_string(),
    }
}

fn words(event: &Event) -> String {
    match event {
        Event::PeerUp { peer, .. } => format!("up {}", who(peer)),
        Event::PeerDown { peer, reason, .. } => format!("down {}: {reason}", who(peer)),
        Event::ConnectionFailed { reason, .. } => format!("failed: {reason}"),
        Event::Message(message) => {
            format!("{} {} of {}", message.kind(), message.body(), who(message.from()))
        }
        Event::Writable { peer } => format!("writable {}", who(peer)),
        Event::GuestJoined { peer, addr, .. } => format!("joined {} {addr}", who(peer)),
        Event::GuestLeft { peer, addr, .. } => format!("left {} {addr}", who(peer)),
        Event::Impersonated { via } => format!("impersonated {}", who(via)),
        Event::Rejected { from, via } => format!("rejected {} {}", who(from), who(via)),
        Event::PeerError { peer, re, code } => format!("error {} {re} {code}", who(peer)),
        Event::Request(_)
        | Event::Reply(_)
        | Event::RequestFailed { .. }
        | Event::JoinRefused { .. }
        | Event::GuestPeers { .. }
        | Event::Isolated => format!("{event:?}"),
    }
}

fn value(line: &str, key: &str) -> String {
    let value = serde_json::from_str::<serde_json::Value>(line).unwrap();
    value.get(key).map(ToString::to_string).unwrap_or_default()
}

// ---- requests at their ends ----

/// A request of neighbour 2 that is for us.
fn asked(scene: &mut Scene) -> (ConnId, ReplyTo) {
    let two = scene.meet(2);
    scene.counts("delivered 1", |scene| scene.request(two, (2, 1), (1, 9000)));
    let name = scene.events().into_iter().find_map(|event| {
        let Event::Request(request) = event else { return None };
        Some(request.reply_to())
    });
    (two, name.unwrap())
}

#[test]
fn a_reply_is_as_long_as_the_asker_takes_and_no_longer() {
    let mut scene = Scene::new();
    let (two, name) = asked(&mut scene);
    let text = |len: usize| body(&"x".repeat(len));
    let long = scene.node.reply(name, "K", &text(MAX_BROADCAST_LINE), true, scene.now);
    let Err(ReplyError::TooLarge { len, limit }) = long else { panic!("{long:?}") };
    assert_eq!(limit, MAX_BROADCAST_LINE);
    let most = MAX_BROADCAST_LINE - (len - limit);
    let over = scene.node.reply(name, "K", &text(most + 1), true, scene.now);
    assert_eq!(over, Err(ReplyError::TooLarge { len: limit + 1, limit }));
    assert!(scene.heard(two, "").is_empty());
    assert_eq!(scene.node.reply(name, "K", &text(most), true, scene.now), Ok(()));
    let said = scene.heard(two, "reply");
    assert_eq!((said.len(), said[0].len()), (1, limit));
    assert_eq!(scene.node.reply(name, "K", &text(0), true, scene.now), Err(ReplyError::Gone));
}

#[test]
fn a_reply_without_a_way_back_is_kept_for_the_next_try() {
    let mut scene = Scene::new();
    let (two, name) = asked(&mut scene);
    scene.node.closed(two, TransportError::Reset, scene.now);
    scene.counts("skipped 1", |scene| {
        assert_eq!(scene.node.reply(name, "K", &body("r"), true, scene.now), Ok(()));
    });
    let two = scene.meet(2);
    scene.counts("duplicates 1", |scene| scene.request(two, (2, 1), (1, 9000)));
    assert_eq!(scene.heard(two, "reply").len(), 1);
}

#[test]
fn a_request_for_us_without_time_is_refused() {
    let mut scene = Scene::new();
    let two = scene.meet(2);
    scene.counts("", |scene| scene.request(two, (2, 1), (1, 0)));
    assert_eq!(value(&scene.heard(two, "nak")[0], "code"), r#""expired""#);
    scene.counts("delivered 1", |scene| scene.request(two, (2, 1), (1, 1)));
}

#[test]
fn a_reply_counts_once_and_from_the_one_who_was_asked() {
    let mut scene = Scene::new();
    let [two, three] = [2, 3].map(|number| scene.meet(number));
    let asked = scene.node.request(&PeerId::Node(id(2)), "K", &body("r"), SECOND * 9, scene.now);
    asked.unwrap();
    let re = value(&scene.heard(two, "request")[0], "id");
    let reply =
        |n: u64, last: bool| format!(r#""re":{re},"n":{n},"last":{last},"kind":"K","msg":1"#);
    scene.counts("duplicates 1", |scene| scene.pass(three, "reply", (3, 1), &reply(0, false)));
    scene.counts("delivered 1", |scene| scene.pass(two, "reply", (2, 1), &reply(0, false)));
    scene.counts("duplicates 1", |scene| scene.pass(two, "reply", (2, 1), &reply(0, false)));
    scene.counts("", |scene| scene.pass(two, "reply", (2, 1), &reply(2, true)));
    scene.counts("delivered 2", |scene| scene.pass(two, "reply", (2, 1), &reply(1, false)));
    scene.counts("duplicates 1", |scene| scene.pass(two, "reply", (2, 1), &reply(3, false)));
}

#[test]
fn a_neighbour_that_has_the_request_itself_is_not_asked_again() {
    let mut scene = Scene::new();
    let [two, three] = [2, 3].map(|number| scene.meet(number));
    scene.events();
    let to = PeerId::Node(id(2));
    let asked = scene.node.request(&to, "K", &body("r"), SECOND * 9, scene.now).unwrap();
    for passed in 0..9 {
        assert!(scene.events().is_empty(), "{passed}");
        scene.run_for(SECOND);
        for conn in [two, three] {
            scene.say(conn, "");
        }
    }
    assert_eq!((scene.heard(two, "request").len(), scene.heard(three, "request").len()), (1, 0));
    assert!(matches!(&scene.events()[..],
        [Event::RequestFailed { request, reason: RequestFailure::Timeout }] if *request == asked));
}

#[test]
fn a_request_beyond_a_neighbour_goes_by_another_when_nothing_is_heard() {
    let mut scene = Scene::new();
    let [two, three] = [2, 3].map(|number| scene.meet(number));
    for conn in [two, three] {
        scene.message(conn, (9, 1), 9); // so both lead there
    }
    let to = PeerId::Node(id(9));
    scene.node.request(&to, "K", &body("r"), SECOND * 9, scene.now).unwrap();
    let tries = |scene: &mut Scene| [two, three].map(|conn| scene.heard(conn, "request").len());
    let first = tries(&mut scene);
    assert_eq!(first[0] + first[1], 1);
    for _ in 0..9 {
        scene.run_for(SECOND / 2);
        for conn in [two, three] {
            scene.say(conn, "");
        }
    }
    let then = tries(&mut scene);
    assert_eq!([first[0] + then[0], first[1] + then[1]], [1, 1], "each was asked");
}

// ---- others ----

#[test]
fn pings_beyond_a_burst_of_answers_are_ignored() {
    let mut scene = Scene::new();
    let two = scene.meet(2);
    let ping = r#"{"msgtype":"ping","nonce":1}"#;
    let waiting = |scene: &Scene| scene.node.links.get(two).unwrap().waiting_control();
    let mut said = 0;
    while waiting(&scene) < crate::queue::CONTROL_BURST {
        scene.counts("", |scene| scene.say(two, ping));
        said += 1;
    }
    scene.counts("pings_ignored 2", |scene| (0..2).for_each(|_| scene.say(two, ping)));
    assert_eq!(scene.heard(two, "pong").len(), said);
    scene.counts("", |scene| scene.say(two, ping));
}

#[test]
fn whoever_asks_for_too_new_a_version_is_turned_away() {
    for (min_version, is_up) in [(0, true), (1, true), (2, false)] {
        let mut scene = Scene::new();
        let conn = scene.node.accepted(addr(2), scene.now).unwrap();
        let numbers = format!(r#""version":2,"min_version":{min_version}"#);
        scene.say(conn, &format!(r#"{{"msgtype":"hello","nodeid":"{}",{numbers}}}"#, id(2)));
        assert_eq!(scene.node.peer_count(), usize::from(is_up), "{min_version}");
        assert_eq!(scene.heard(conn, "bye").len(), usize::from(!is_up));
    }
}

#[test]
fn one_half_open_connection_too_many_ends_the_oldest() {
    let mut scene = Scene::limited(|limits| limits.half_open = 2);
    let first = scene.node.accepted(addr(2), scene.now).unwrap();
    scene.now = scene.now + SECOND;
    let second = scene.node.accepted(addr(3), scene.now).unwrap();
    assert!(scene.node.is_open(first) && scene.events().is_empty());
    let third = scene.node.accepted(addr(4), scene.now).unwrap();
    let ended = scene.events();
    assert!(matches!(&ended[..], [Event::ConnectionFailed { conn, reason, .. }]
        if *conn == first && *reason == CloseReason::Crowded { limit: 2 }));
    let open: Vec<ConnId> = scene.node.links.half_open().iter().copied().collect();
    assert_eq!(open.len(), 2);
    assert!(open.contains(&second) && open.contains(&third));
}

#[test]
fn silent_peers_are_suspect_and_counted_each() {
    let mut scene = Scene::new();
    for number in [2, 3] {
        scene.meet(number);
    }
    assert_eq!(scene.node.surroundings().suspect, 0);
    let limits = Limits::default();
    scene.run_for(limits.ping_after + limits.suspect_max);
    assert_eq!((scene.node.peer_count(), scene.node.surroundings().suspect), (2, 2));
}

#[test]
fn a_listener_is_reached_at_its_address_and_everywhere_here_if_it_says_so() {
    let addr = |text: &str| text.parse::<SocketAddr>().unwrap();
    for (own, at, expected) in [
        ("192.0.2.1:5", "192.0.2.1:5", true),
        ("192.0.2.1:5", "192.0.2.1:6", false),
        ("192.0.2.1:5", "192.0.2.2:5", false),
        ("192.0.2.1:5", "127.0.0.1:5", false),
        ("0.0.0.0:5", "127.0.0.1:5", true),
        ("0.0.0.0:5", "127.0.0.1:6", false),
        ("0.0.0.0:5", "192.0.2.1:5", false),
        ("[::]:5", "[::1]:5", true),
        ("192.0.2.1:5", "[::ffff:192.0.2.1]:5", true),
    ] {
        let mut scene = Scene::new();
        scene.node.listening(addr(own), scene.now);
        assert_eq!(scene.node.is_listening(addr(at)), expected, "{own} {at}");
    }
}

#[test]
fn a_message_for_a_chat_peer_is_dropped_and_counted_while_chat_is_spoken() {
    for (speaks, stops, expected) in
        [(true, false, "chat_dropped 1"), (false, false, ""), (true, true, ""), (false, true, "")]
    {
        let config = Config::builder().speak(Dialect::Chat, speaks).build().unwrap();
        let mut scene = Scene::with(config);
        if stops {
            scene.node.shutdown(SECOND, scene.now);
        }
        scene.counts(expected, |scene| {
            assert!(!scene.node.post_object(&"nobody".into(), Some("{}")));
        });
    }
}

#[test]
fn a_dial_that_was_only_to_see_who_is_there_stays_if_its_peer_may_want_it() {
    for extra in [false, true] {
        let mut scene = Scene::limited(|limits| limits.target_outbound = 0);
        // The smaller id decides, so we do not.
        let first = scene.meet(0);
        let dials = [0, 3].map(|number| {
            let conn = scene.node.open_dial(addr(10 + number));
            match extra {
                true => scene.node.overlay.dialled_extra(conn),
                false => scene.node.overlay.probing(conn, Probe::Feeler),
            }
            scene.node.connected(conn, scene.now);
            scene.greet(conn, number);
            conn
        });
        scene.events();
        assert_eq!(
            dials.map(|conn| scene.node.ready_mut(conn).is_some()),
            [true, false],
            "{extra}"
        );
        // The peer had decided before it could know.
        scene.say(first, r#"{"msgtype":"bye","reason":"duplicate"}"#);
        scene.run_for(SECOND);
        assert_eq!(scene.node.peers.conn(&PeerId::Node(id(0))), Some(dials[0]), "{extra}");
        let down = |event: &Event| matches!(event, Event::PeerDown { .. });
        assert!(!scene.events().iter().any(down), "{extra}");
    }
}

#[test]
fn links_that_we_dialled_are_our_own_by_keyspace() {
    let config = Config::builder().keyspace(Keyspace::On).build().unwrap();
    let mut scene = Scene::with(config);
    scene.meet(2);
    scene.dial(3);
    let linked = scene.node.linked();
    assert!(linked.own.iter().eq([&id(3)]));
    assert!(linked.all.iter().eq([&id(2), &id(3)]));
}

#[test]
fn news_are_taken_between_lines_from_peers_that_are_up() {
    let mut scene = Scene::new();
    let conn = scene.node.accepted(addr(2), scene.now).unwrap();
    let seq = |seq: u64| {
        let (id, end) = (id(2), r#""time":1,"kind":"K","msg":1}"#);
        format!(r#"{{"msgtype":"broadcast","originator":"{id}","epoch":1,"seq":{seq},{end}"#) + "\n"
    };
    let taken = |scene: &mut Scene, text: &str| {
        let mut rest = text.as_bytes();
        scene.node.hear_news(conn, &mut rest, &mut 8192);
        rest.len()
    };
    let first = seq(1);
    assert_eq!(taken(&mut scene, &first), first.len(), "it said no hello yet");
    scene.greet(conn, 2);
    scene.counts("delivered 2", |scene| {
        assert_eq!(taken(scene, &format!("{}{}rest", seq(1), seq(2))), 4);
    });
    scene.node.received(conn, b"{\"half", scene.now);
    assert_eq!(taken(&mut scene, &first), first.len(), "it belongs to a line that began");
}

#[test]
fn words_of_a_link_that_something_is_gone_are_read_exactly() {
    let mut scene = Scene::new();
    let two = scene.meet(2);
    let id = id(2);
    for (re, expected) in [
        (format!("{id}/1/2-3"), true),
        (format!("{id}/1/2"), false),
        (format!("{id}/1"), false),
        (format!("{id}/x/2-3"), false),
        (format!("{id}/1/2-x"), false),
        ("x/1/2-3".into(), false),
        (String::new(), false),
    ] {
        assert_eq!(scene.node.on_gone(two, &re), expected, "{re}");
    }
}

#[test]
fn a_line_that_shapes_a_tree_is_said_and_its_bytes_are_counted() {
    let mut scene = Scene::new();
    let [two, three] = [2, 3].map(|number| scene.meet(number));
    let line = |seq: u64| {
        let (id, end) = (id(2), r#""time":1,"kind":"K","msg":1}"#);
        format!(r#"{{"msgtype":"broadcast","originator":"{id}","epoch":1,"seq":{seq},{end}"#)
    };
    scene.counts("delivered 1, forwarded 1", |scene| scene.say(two, &line(1)));
    scene.heard(three, "");
    let before = scene.node.stats().tree_bytes;
    scene.say(three, &line(1));
    let prunes = scene.heard(three, "");
    assert!(!prunes.is_empty());
    assert!(prunes.iter().all(|line| line.starts_with(r#"{"msgtype":"prune""#)), "{prunes:?}");
    let bytes: usize = prunes.iter().map(|line| line.len() + 1).sum();
    assert_eq!(scene.node.stats().tree_bytes - before, bytes as u64);
}

#[test]
fn a_broadcast_goes_on_when_it_is_accepted_and_else_not() {
    for (verdict, expected) in [
        (Verdict::Accept, "forwarded 1"),
        (Verdict::Ignore, "ignored 1"),
        (Verdict::Reject, "rejected 1"),
    ] {
        let config = Config::builder().validate("K").build().unwrap();
        let mut scene = Scene::with(config);
        let [two, three] = [2, 3].map(|number| scene.meet(number));
        let start = format!(r#"{{"msgtype":"broadcast","originator":"{}","epoch":1"#, id(2));
        scene.say(two, &format!(r#"{start},"seq":1,"time":1,"kind":"K","msg":1}}"#));
        assert!(scene.heard(three, "broadcast").is_empty());
        let token = scene.events().into_iter().find_map(|event| {
            let Event::Message(message) = event else { return None };
            message.token()
        });
        scene.counts(expected, |scene| {
            assert!(scene.node.verdict(token.unwrap(), verdict, scene.now));
        });
        let passed = scene.heard(three, "broadcast").len();
        assert_eq!(passed, usize::from(verdict == Verdict::Accept));
        assert!(!scene.node.verdict(token.unwrap(), verdict, scene.now), "it was judged");
        let told = scene.events();
        assert_eq!(matches!(&told[..], [Event::Rejected { .. }]), verdict == Verdict::Reject);
        assert_eq!(told.len(), usize::from(verdict == Verdict::Reject));
        let rejected = scene.node.peer(&PeerId::Node(id(2))).unwrap().rejected;
        assert_eq!(rejected, u64::from(verdict == Verdict::Reject));
    }
}

#[cfg(feature = "testing")]
#[test]
fn what_is_kept_is_told_part_by_part() {
    let mut scene = Scene::new();
    scene.meet(2);
    let limits = Limits::default();
    let names = ["words to guests", "requests", "answers", "searches", "verdicts", "walks"];
    assert_eq!(scene.node.kept().map(|(name, _, _)| name), names);
    assert_eq!(scene.node.kept().map(|(_, bytes, _)| bytes), [0; 6]);
    let most = scene.node.kept().map(|(_, _, most)| most);
    assert_eq!(most[0], scene.node.links.kept_for_guests().1);
    let asked = limits.pending_bytes + limits.early_bytes;
    let others = [limits.replay_bytes, limits.held_bytes, limits.verdict_bytes, limits.walk_bytes];
    assert_eq!((most[1], &most[2..]), (asked, &others[..]));
    scene.node.request(&PeerId::Node(id(9)), "K", &body("12345"), SECOND, scene.now).unwrap();
    scene.node.send(&PeerId::Node(id(9)), "K", &body("m"), scene.now).unwrap();
    let kept = scene.node.kept().map(|(_, bytes, _)| bytes);
    assert_eq!((kept[0], kept[1], kept[2], kept[4], kept[5]), (0, 8, 0, 0, 0));
    assert_eq!(kept[3], scene.node.seeks.bytes());
    assert!(kept[3] > 0);
}
