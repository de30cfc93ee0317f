//! The BTPeer dialect at one node: what guests ask and hear, and what visits to them bring.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use super::*;
use crate::config::{GuestHosts, Listen};
use crate::error::DialError;
use crate::exchange::{NakCode, RequestId};
use crate::wire::btpeer::{Frames, encode};

fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// Somebody at this address asks.
fn ask(scene: &mut Scene, from: &str, kind: &str, payload: &str) -> ConnId {
    let conn = scene.node.accepted(at(from), scene.now).unwrap();
    say(scene, conn, kind, payload);
    conn
}

fn say(scene: &mut Scene, conn: ConnId, kind: &str, payload: &str) {
    let frame = encode(kind, payload.as_bytes()).unwrap();
    scene.node.received(conn, &frame, scene.now);
}

/// The frames that wait for a guest.
fn frames(scene: &mut Scene, conn: ConnId) -> Vec<String> {
    let mut bytes = Vec::new();
    while !scene.node.outgoing(conn).is_empty() {
        let count = scene.node.outgoing(conn).copy_to(&mut bytes, usize::MAX);
        scene.node.sent(conn, count, scene.now);
    }
    let (mut rest, mut frames, mut told) = (&bytes[..], Frames::default(), Vec::new());
    while let Some(frame) = frames.next(&mut rest, usize::MAX).unwrap() {
        let kind = frame.kind.as_str().unwrap();
        told.push(format!("{kind} {}", String::from_utf8(frame.payload).unwrap()));
    }
    assert!(rest.is_empty());
    told
}

/// What is asked by one that is gone after its answer.
fn answers(scene: &mut Scene, from: &str, kind: &str, payload: &str) -> Vec<String> {
    let conn = ask(scene, from, kind, payload);
    let told = frames(scene, conn);
    assert!(scene.ordered().contains(&Action::Finish { conn }), "{kind}");
    told
}

/// The dials that the driver was told of, answered.
fn visited(scene: &mut Scene) -> Vec<(ConnId, SocketAddr)> {
    let actions = core::iter::from_fn(|| scene.node.poll_action());
    let dials = actions.filter_map(|action| {
        let Action::Connect { conn, addr } = action else { return None };
        Some((conn, addr))
    });
    let dials: Vec<_> = dials.collect();
    for (conn, _) in &dials {
        scene.node.connected(*conn, scene.now);
    }
    dials
}

fn visit(scene: &mut Scene) -> ConnId {
    let dials = visited(scene);
    assert_eq!(dials.len(), 1);
    dials[0].0
}

fn able(scene: &mut Scene) {
    assert_eq!(
        answers(scene, "192.0.2.2:9", "JOIN", "able 192.0.2.2 5"),
        ["REPL Join: peer added: able"]
    );
    assert_eq!(scene.told(), ["joined able 192.0.2.2:5"]);
}

// ---- where we are ----

#[test]
fn our_name_is_where_this_guest_reaches_us() {
    let uuid = format!("REPL {}", id(1));
    for (listens, local, from, expected) in [
        ("", "", "192.0.2.2:9", &*uuid),
        ("192.0.2.1:5", "", "192.0.2.2:9", "REPL 192.0.2.1:5"),
        ("0.0.0.0:5", "", "192.0.2.2:9", &uuid),
        ("0.0.0.0:5", "", "127.0.0.1:9", "REPL 127.0.0.1:5"),
        ("[::]:5", "", "[::1]:9", "REPL ::1:5"),
        ("0.0.0.0:5", "192.0.2.7:6", "192.0.2.2:9", "REPL 192.0.2.7:5"),
        ("192.0.2.1:5", "[::ffff:192.0.2.7]:6", "192.0.2.2:9", "REPL 192.0.2.7:5"),
    ] {
        let mut scene = Scene::new();
        if !listens.is_empty() {
            scene.node.listening(at(listens), scene.now);
        }
        let conn = scene.node.accepted(at(from), scene.now).unwrap();
        if !local.is_empty() {
            scene.node.local_addr(conn, at(local));
        }
        say(&mut scene, conn, "NAME", "");
        assert_eq!(frames(&mut scene, conn), [expected], "{listens} {local} {from}");
    }
    for (advertise, expected) in [
        (Listen::Port(7), "REPL 192.0.2.1:7"),
        (Listen::Addr(at("192.0.2.8:8")), "REPL 192.0.2.8:8"),
    ] {
        let mut scene = Scene::with(Config::builder().advertise(advertise).build().unwrap());
        scene.node.listening(at("192.0.2.1:5"), scene.now);
        assert_eq!(answers(&mut scene, "192.0.2.2:9", "NAME", ""), [expected]);
    }
}

// ---- what guests ask ----

#[test]
fn guests_join_and_quit_for_themselves() {
    let mut scene = Scene::new();
    scene.node.listening(at("192.0.2.1:5"), scene.now);
    able(&mut scene);
    let guest = scene.node.guests().next().unwrap();
    assert_eq!((guest.peer, guest.dialect), (PeerId::Guest("able".into()), Dialect::Btpeer));
    assert_eq!((guest.addr, guest.heard), (at("192.0.2.2:5"), scene.now));
    let long = "x".repeat(64);
    for (payload, expected) in [
        ("able 192.0.2.2 5", "ERRO Join: peer already inserted able"),
        ("192.0.2.1:5 192.0.2.2 6", "ERRO Join: peer already inserted 192.0.2.1:5"),
        ("baker 192.0.2.2", "ERRO Join: incorrect arguments"),
        ("baker 192.0.2.2 x", "ERRO Join: incorrect arguments"),
        ("baker 192.0.2.2 0", "ERRO Join: incorrect arguments"),
        (&format!("{long}x 192.0.2.2 5"), "ERRO Join: incorrect arguments"),
        (&format!("b {long}x 5"), "ERRO Join: incorrect arguments"),
        (&format!("{long} {long} 5"), &*format!("REPL Join: peer added: {long}")),
    ] {
        assert_eq!(answers(&mut scene, "192.0.2.2:9", "JOIN", payload), [expected]);
    }
    assert_eq!(scene.told().len(), 1);
    for (from, payload, expected) in [
        ("192.0.2.3:9", "able", "ERRO Quit: peer not found: able"),
        ("192.0.2.2:9", "x", "ERRO Quit: peer not found: x"),
        ("192.0.2.2:9", "able", "REPL Quit: peer removed: able"),
        ("192.0.2.2:9", "able", "ERRO Quit: peer not found: able"),
    ] {
        assert_eq!(answers(&mut scene, from, "QUIT", payload), [expected]);
    }
    assert_eq!(scene.told(), ["left able 192.0.2.2:5"]);
}

#[test]
fn a_place_of_ours_is_nobody_elses_name() {
    for (name, ours) in [
        ("192.0.2.1:5", true),
        ("192.0.2.7:5", true),
        ("192.0.2.8:5", false),
        ("192.0.2.1:6", false),
        ("192.0.2.7:x", false),
        ("192.0.2.1", false),
    ] {
        let mut scene = Scene::new();
        scene.node.listening(at("192.0.2.1:5"), scene.now);
        let conn = scene.node.accepted(at("192.0.2.2:9"), scene.now).unwrap();
        scene.node.local_addr(conn, at("192.0.2.7:6"));
        say(&mut scene, conn, "JOIN", &format!("{name} 192.0.2.2 5"));
        let kind = if ours { "ERRO" } else { "REPL" };
        assert!(frames(&mut scene, conn)[0].starts_with(kind), "{name}");
    }
}

#[test]
fn a_guest_is_where_it_speaks_from_unless_any_host_is_taken() {
    for (hosts, expected) in [(GuestHosts::Source, "192.0.2.2:5"), (GuestHosts::Any, "192.0.2.3:5")]
    {
        let mut scene = Scene::with(Config::builder().guest_hosts(hosts).build().unwrap());
        ask(&mut scene, "192.0.2.2:9", "JOIN", "able 192.0.2.3 5");
        assert_eq!(scene.told(), [format!("joined able {expected}")]);
    }
}

#[test]
fn there_is_no_room_for_more_peers_than_there_may_be() {
    let mut scene = Scene::with(Config::builder().max_peers(2).build().unwrap());
    scene.meet(3);
    scene.told();
    assert!(!scene.node.is_full());
    able(&mut scene);
    assert!(scene.node.is_full());
    assert_eq!(
        answers(&mut scene, "192.0.2.2:9", "JOIN", "baker 192.0.2.2 5"),
        ["ERRO Join: too many peers"]
    );
    let mut scene = Scene::limited(|limits| limits.guests = 1);
    able(&mut scene);
    assert!(!scene.node.is_full());
    ask(&mut scene, "192.0.2.3:9", "JOIN", "baker 192.0.2.3 5");
    assert_eq!(scene.told(), ["left able 192.0.2.2:5", "joined baker 192.0.2.3:5"]);
}

#[test]
fn a_list_has_guests_and_nodes_that_listen() {
    let mut scene = Scene::new();
    able(&mut scene);
    scene.meet(3);
    scene.dial(4);
    let old = scene.node.dial(addr(5), scene.now).unwrap();
    scene.node.connected(old, scene.now);
    scene.hello(old, "old", "");
    assert_eq!(
        answers(&mut scene, "192.0.2.9:9", "LIST", ""),
        ["REPL 2", "REPL able 192.0.2.2 5", "REPL 192.0.2.4:40000 192.0.2.4 40000"]
    );
}

#[test]
fn a_guest_that_asks_nothing_that_is_known_hears_nothing() {
    let mut scene = Scene::new();
    assert!(answers(&mut scene, "192.0.2.2:9", "PING", "").is_empty());
    let conn = scene.node.accepted(at("192.0.2.2:9"), scene.now).unwrap();
    scene.counts("connections_closed 1, unknown_types 1", |scene| {
        scene.node.received(conn, b"A\x01BC\0\0\0\0", scene.now);
    });
    assert!(frames(&mut scene, conn).is_empty() && scene.told().is_empty());
}

#[test]
fn an_address_that_asks_too_often_is_not_heard() {
    let mut scene = Scene::limited(|limits| limits.guest_burst = 2);
    for expected in [1, 1, 0] {
        assert_eq!(answers(&mut scene, "192.0.2.2:9", "NAME", "").len(), expected);
    }
    assert_eq!(scene.node.stats().guests_ignored, 1);
    assert_eq!(answers(&mut scene, "192.0.2.3:9", "NAME", "").len(), 1);
    scene.now = scene.now + Limits::default().guest_every;
    assert_eq!(answers(&mut scene, "192.0.2.2:9", "NAME", "").len(), 1);
}

/// A guest asks the application.
fn asked_by(scene: &mut Scene, from: &str) -> (ConnId, ReplyTo) {
    let conn = ask(scene, from, "FGET", "x.txt");
    let request = scene.events().into_iter().find_map(|event| {
        let Event::Request(request) = event else { return None };
        assert_eq!((request.kind(), request.body()), ("FGET", r#""x.txt""#));
        Some(request.reply_to())
    });
    (conn, request.unwrap())
}

#[test]
fn the_application_answers_a_guest_until_its_last_word() {
    let mut scene = Scene::limited(|limits| limits.max_frame = 5000);
    let (conn, name) = asked_by(&mut scene, "192.0.2.2:9");
    let reply = |scene: &mut Scene, kind: &str, text: &str, last| {
        scene.node.reply(name, kind, &body(text), last, scene.now)
    };
    let long = ReplyError::KindTooLong { len: 5, limit: 4 };
    assert_eq!(reply(&mut scene, "REPLY", "x", true), Err(long));
    let unfit = ReplyError::KindUnfit { len: 2, limit: 4 };
    assert_eq!(reply(&mut scene, "ä", "x", true), Err(unfit));
    let large = ReplyError::TooLarge { len: 5001, limit: 5000 };
    assert_eq!(reply(&mut scene, "REPL", &"x".repeat(5001), true), Err(large));
    assert_eq!(reply(&mut scene, "REPL", &"x".repeat(5000), false), Ok(()));
    assert_eq!(frames(&mut scene, conn)[0].len(), 5005);
    assert_eq!(reply(&mut scene, "REPL", "end", true), Ok(()));
    assert_eq!(frames(&mut scene, conn), ["REPL end"]);
    assert_eq!(reply(&mut scene, "REPL", "more", true), Err(ReplyError::Gone));
}

#[test]
fn so_many_guests_wait_for_the_application_and_no_more() {
    let mut scene = Scene::limited(|limits| limits.guest_requests = 2);
    let (first, name) = asked_by(&mut scene, "192.0.2.2:9");
    let (second, other) = asked_by(&mut scene, "192.0.2.2:8");
    assert_ne!(name, other);
    scene.counts("connections_opened 1, connections_closed 1, guests_ignored 1", |scene| {
        ask(scene, "192.0.2.2:7", "FGET", "x.txt");
    });
    assert!(scene.told().is_empty());
    // One that breaks, or is refused, leaves its place.
    scene.counts("connections_closed 1", |scene| {
        scene.node.closed(first, TransportError::Reset, scene.now);
    });
    assert!(!scene.node.is_open(first));
    let gone = scene.node.reply(name, "REPL", &body("x"), true, scene.now);
    assert_eq!(gone, Err(ReplyError::Gone));
    asked_by(&mut scene, "192.0.2.2:6");
    assert_eq!(scene.node.refuse(other, NakCode::Refused, scene.now), Ok(()));
    assert!(frames(&mut scene, second).is_empty());
    asked_by(&mut scene, "192.0.2.2:5");
}

#[test]
fn a_guest_that_shut_its_half_still_hears_the_answer_and_one_that_waits_too_long_nothing() {
    let mut scene = Scene::new();
    let (conn, name) = asked_by(&mut scene, "192.0.2.2:9");
    scene.node.closed(conn, TransportError::Eof, scene.now);
    assert!(scene.node.is_open(conn));
    assert_eq!(scene.node.reply(name, "REPL", &body("x"), true, scene.now), Ok(()));
    assert_eq!(frames(&mut scene, conn), ["REPL x"]);
    assert!(!scene.node.is_open(conn), "both halves are shut");
    let (conn, name) = asked_by(&mut scene, "192.0.2.2:9");
    scene.run_for(Limits::default().guest_timeout - Duration::from_nanos(1));
    assert!(scene.node.is_open(conn) && !scene.ordered().contains(&Action::Finish { conn }));
    scene.run_for(Duration::from_nanos(1));
    assert!(scene.ordered().contains(&Action::Finish { conn }));
    let gone = scene.node.reply(name, "REPL", &body("x"), true, scene.now);
    assert_eq!(gone, Err(ReplyError::Gone));
}

// ---- what we ask ----

fn request(scene: &mut Scene, kind: &str) -> Result<RequestId, RequestError> {
    scene.node.request_at(at("192.0.2.2:5"), kind, &body("x"), SECOND * 30, scene.now)
}

fn outcome(scene: &mut Scene) -> Vec<String> {
    let events = scene.events().into_iter().filter(|event| !matches!(event, Event::Isolated));
    let told = events.map(|event| {
        if let Event::Reply(reply) = event {
            return format!("{} {} {} {}", reply.n(), reply.is_last(), reply.kind(), reply.body());
        }
        let Event::RequestFailed { reason, .. } = event else { return words(&event) };
        if let RequestFailure::Nak { code, .. } = reason {
            return format!("{code:?}");
        }
        format!("{reason:?}")
    });
    told.collect()
}

#[test]
fn a_guest_is_asked_and_its_last_reply_is_the_one_before_the_end() {
    let mut scene = Scene::new();
    let name = request(&mut scene, "FGET").unwrap();
    let conn = visit(&mut scene);
    assert_eq!(frames(&mut scene, conn), ["FGET x"]);
    assert_eq!(scene.node.progress(name), Some((0, None)));
    say(&mut scene, conn, "REPL", "one");
    assert!(scene.told().is_empty(), "it is held back");
    say(&mut scene, conn, "REPL", "two");
    assert_eq!(outcome(&mut scene), [r#"0 false REPL "one""#]);
    assert_eq!(scene.node.progress(name), Some((3, Some(3))));
    scene.counts("connections_closed 1", |scene| {
        scene.node.closed(conn, TransportError::Eof, scene.now);
    });
    assert_eq!(outcome(&mut scene), [r#"1 true REPL "two""#]);
    assert_eq!(scene.node.progress(name), None);
}

#[test]
fn a_guest_that_does_not_answer_is_told_of_by_what_was_wrong() {
    let failed = "failed: the connection ended";
    let mut scene = Scene::new();
    request(&mut scene, "FGET").unwrap();
    let conn = visit(&mut scene);
    scene.node.closed(conn, TransportError::Eof, scene.now);
    let told = outcome(&mut scene);
    assert_eq!((told.len(), &*told[0]), (2, "NoHandler"), "{failed} {told:?}");
    request(&mut scene, "FGET").unwrap();
    let (conn, _) = {
        let action = core::iter::from_fn(|| scene.node.poll_action()).last();
        let Some(Action::Connect { conn, addr }) = action else { panic!("{action:?}") };
        (conn, addr)
    };
    scene.node.closed(conn, TransportError::Reset, scene.now);
    let told = outcome(&mut scene);
    assert_eq!((told.len(), &*told[1]), (2, "NoRoute"), "{told:?}");
    request(&mut scene, "FGET").unwrap();
    let conn = visit(&mut scene);
    frames(&mut scene, conn);
    say(&mut scene, conn, "REPL", "one");
    scene.run_for(SECOND * 30 - Duration::from_nanos(1));
    assert!(scene.node.is_open(conn) && outcome(&mut scene).is_empty());
    scene.run_for(Duration::from_nanos(1));
    assert_eq!(outcome(&mut scene), [r#"0 false REPL "one""#, "Timeout"]);
    assert!(!scene.node.is_open(conn));
    request(&mut scene, "FGET").unwrap();
    scene.node.shutdown(SECOND, scene.now);
    assert!(outcome(&mut scene).contains(&"Stopping".to_string()));
}

#[test]
fn what_cannot_be_asked_of_a_guest_is_said_at_once() {
    let mut scene = Scene::limited(|limits| {
        limits.guest_visits = 1;
        limits.max_frame = 5000;
    });
    scene.node.listening(at("192.0.2.1:5"), scene.now);
    let ask = |scene: &mut Scene, to: &str, kind: &str, len: usize| {
        scene.node.request_at(at(to), kind, &body(&"x".repeat(len)), SECOND, scene.now).map(|_| ())
    };
    let two = "192.0.2.2:5";
    assert_eq!(ask(&mut scene, "192.0.2.1:5", "K", 1), Err(RequestError::Own));
    assert_eq!(ask(&mut scene, "192.0.2.2:0", "K", 1), Err(RequestError::Unsupported));
    let long = RequestError::KindTooLong { len: 5, limit: 4 };
    assert_eq!(ask(&mut scene, two, "KKKKK", 1), Err(long));
    let unfit = RequestError::KindUnfit { len: 0, limit: 4 };
    assert_eq!(ask(&mut scene, two, "", 1), Err(unfit));
    let large = RequestError::TooLarge { len: 5001, limit: 5000 };
    assert_eq!(ask(&mut scene, two, "KKKK", 5001), Err(large));
    assert_eq!(ask(&mut scene, two, "KKKK", 5000), Ok(()));
    let busy = RequestError::Busy { bound: "guest_visits", used: 2, limit: 1 };
    assert_eq!(ask(&mut scene, two, "K", 1), Err(busy));
    let join = scene.node.join(at(two), Dialect::Btpeer, scene.now);
    assert_eq!(join, Err(DialError::TooMany { under_way: 1, limit: 1 }));
    scene.node.shutdown(SECOND, scene.now);
    assert_eq!(ask(&mut scene, two, "K", 1), Err(RequestError::Stopping));
    let silent = Config::builder().speak(Dialect::Btpeer, false).build().unwrap();
    let mut scene = Scene::with(silent);
    assert_eq!(ask(&mut scene, two, "K", 1), Err(RequestError::Unsupported));
    let join = scene.node.join(at(two), Dialect::Btpeer, scene.now);
    assert_eq!(join, Err(DialError::DialectOff { dialect: Dialect::Btpeer }));
}

#[test]
fn a_visit_is_given_up_where_nobody_takes_it() {
    let mut scene = Scene::new();
    request(&mut scene, "FGET").unwrap();
    scene.run_for(Limits::default().dial_timeout - Duration::from_nanos(1));
    assert!(scene.told().is_empty());
    scene.run_for(Duration::from_nanos(1));
    let told = outcome(&mut scene);
    assert_eq!(told, ["failed: the dial was not answered in time", "NoRoute"]);
    // A request with less time than a dial has no more.
    scene.node.request_at(at("192.0.2.2:5"), "K", &body("x"), SECOND, scene.now).unwrap();
    scene.run_for(SECOND);
    assert_eq!(outcome(&mut scene).len(), 2);
}

#[test]
fn we_join_a_guest_by_its_name_and_ask_whom_it_knows() {
    let mut scene = Scene::new();
    scene.node.listening(at("192.0.2.1:5"), scene.now);
    scene.node.join(at("192.0.2.2:5"), Dialect::Btpeer, scene.now).unwrap();
    let conn = visit(&mut scene);
    assert_eq!(frames(&mut scene, conn), ["NAME "]);
    say(&mut scene, conn, "REPL", "able");
    let conn = visit(&mut scene);
    assert_eq!(frames(&mut scene, conn), ["JOIN 192.0.2.1:5 192.0.2.1 5"]);
    assert!(scene.told().is_empty());
    say(&mut scene, conn, "REPL", "Join: peer added");
    assert_eq!(scene.told(), ["joined able 192.0.2.2:5"]);
    let conn = visit(&mut scene);
    assert_eq!(frames(&mut scene, conn), ["LIST "]);
    say(&mut scene, conn, "REPL", "3");
    say(&mut scene, conn, "REPL", "baker 192.0.2.3 6");
    say(&mut scene, conn, "REPL", "carol nowhere 6");
    say(&mut scene, conn, "REPL", &format!("{} 192.0.2.4 6", "x".repeat(65)));
    say(&mut scene, conn, "REPL", &format!("{} 192.0.2.5 6", "y".repeat(64)));
    scene.node.closed(conn, TransportError::Eof, scene.now);
    let [Event::GuestPeers { from, peers }] = &scene.events()[..] else { panic!("no list") };
    assert_eq!(*from, PeerId::Guest("able".into()));
    let peers: Vec<_> = peers.iter().map(|(name, addr)| (name.len(), addr.to_string())).collect();
    assert_eq!(peers, [(5, "192.0.2.3:6".into()), (64, "192.0.2.5:6".to_string())]);
    // Known by name from now on.
    let to = PeerId::Guest("able".into());
    assert!(scene.node.request(&to, "FGET", &body("x"), SECOND, scene.now).is_ok());
    assert_eq!(visited(&mut scene)[0].1, at("192.0.2.2:5"));
    let other = PeerId::Guest("baker".into());
    let unknown = scene.node.request(&other, "FGET", &body("x"), SECOND, scene.now);
    assert_eq!(unknown, Err(RequestError::Unsupported));
}

#[test]
fn a_guest_that_does_not_take_us_is_not_remembered() {
    for (name, answer) in [
        (("REPL", "able"), Some(("ERRO", "no"))),
        (("ERRO", "able"), None),
        (("REPL", ""), None),
        (("REPL", &*"x".repeat(65)), None),
    ] {
        let mut scene = Scene::new();
        scene.node.join(at("192.0.2.2:5"), Dialect::Btpeer, scene.now).unwrap();
        let conn = visit(&mut scene);
        say(&mut scene, conn, name.0, name.1);
        let told = scene.told();
        assert_eq!(told.len(), usize::from(answer.is_none()), "{name:?} {told:?}");
        if let Some((kind, text)) = answer {
            let conn = visit(&mut scene);
            assert_eq!(frames(&mut scene, conn), ["JOIN "], "we listen nowhere");
            say(&mut scene, conn, kind, text);
            let refused = &scene.events()[..];
            assert!(matches!(refused, [Event::JoinRefused { text, .. }] if **text == *"no"));
        }
        assert!(visited(&mut scene).is_empty());
        assert_eq!(scene.node.guests().count(), 0);
    }
}

#[test]
fn so_many_rows_of_a_list_are_taken_and_no_more() {
    let mut scene = Scene::new();
    able(&mut scene);
    visited(&mut scene);
    assert!(scene.node.ask_for_peers(&PeerId::Guest("able".into()), scene.now));
    let conn = visit(&mut scene);
    for number in 0..257 {
        say(&mut scene, conn, "REPL", &format!("g{number} 192.0.2.3 6"));
    }
    scene.node.closed(conn, TransportError::Eof, scene.now);
    let [Event::GuestPeers { peers, .. }] = &scene.events()[..] else { panic!("no list") };
    assert_eq!(peers.len(), 256);
    assert!(!scene.node.ask_for_peers(&PeerId::Guest("baker".into()), scene.now));
    assert!(!scene.node.ask_for_peers(&PeerId::Node(id(2)), scene.now));
    let two = scene.meet(2);
    assert!(scene.node.ask_for_peers(&PeerId::Node(id(2)), scene.now));
    assert_eq!(scene.heard(two, "getaddr").len(), 1);
    scene.node.shutdown(SECOND, scene.now);
    assert!(!scene.node.ask_for_peers(&PeerId::Guest("able".into()), scene.now));
}

#[test]
fn who_does_not_live_is_looked_for_and_left() {
    let mut scene = Scene::limited(|limits| limits.guest_visits = 2);
    for name in ["able", "baker", "carol"] {
        ask(&mut scene, "192.0.2.2:9", "JOIN", &format!("{name} 192.0.2.2 {}", name.len()));
    }
    let two = scene.meet(2);
    scene.told();
    visited(&mut scene);
    scene.node.check_live(scene.now);
    assert_eq!(scene.heard(two, "ping").len(), 1);
    let dials = visited(&mut scene);
    assert_eq!(dials.len(), 2);
    for (conn, _) in &dials {
        assert_eq!(frames(&mut scene, *conn), ["PING "]);
    }
    assert!(scene.told().is_empty());
    scene.run_for(Limits::default().linger);
    scene.node.check_live(scene.now);
    let dialled = core::iter::from_fn(|| scene.node.poll_action()).find_map(|action| {
        let Action::Connect { conn, addr } = action else { return None };
        Some((conn, addr))
    });
    let (conn, lost) = dialled.unwrap();
    scene.node.closed(conn, TransportError::Reset, scene.now);
    assert!(scene.told().contains(&format!("left able {lost}")));
    visited(&mut scene);
    scene.node.shutdown(SECOND, scene.now);
    scene.node.check_live(scene.now);
    assert!(visited(&mut scene).is_empty());
}

#[test]
fn a_guest_that_is_forgotten_is_struck_off() {
    let mut scene = Scene::new();
    able(&mut scene);
    assert!(scene.node.forget(&PeerId::Guest("able".into()), scene.now));
    assert_eq!(scene.told(), ["left able 192.0.2.2:5"]);
    assert!(!scene.node.forget(&PeerId::Guest("able".into()), scene.now));
    scene.meet(2);
    assert!(scene.node.forget(&PeerId::Node(id(2)), scene.now));
    assert!(!scene.node.forget(&PeerId::Node(id(2)), scene.now));
    assert_eq!(scene.told(), ["up 2", "down 2: closed here"]);
    scene.meet_old(3, "old");
    scene.told();
    assert!(scene.node.forget(&PeerId::Guest("old".into()), scene.now));
    assert_eq!(scene.told(), ["down old: closed here"]);
}

#[test]
fn replies_held_back_are_bounded_together() {
    let mut scene = Scene::limited(|limits| limits.guest_bytes = 150_000);
    request(&mut scene, "FGET").unwrap();
    let conn = visit(&mut scene);
    scene.counts("", |scene| say(scene, conn, "REPL", &"x".repeat(140_000)));
    let mut scene = Scene::limited(|limits| limits.guest_bytes = 150_000);
    request(&mut scene, "FGET").unwrap();
    let conn = visit(&mut scene);
    frames(&mut scene, conn);
    scene.counts("connections_closed 1", |scene| say(scene, conn, "REPL", &"x".repeat(160_000)));
    assert!(outcome(&mut scene).contains(&"TooLarge".to_string()));
}
