//! What hellos, byes and addresses do: who is let in, who is turned away, what is learned.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use super::*;
use crate::config::Listen;
use crate::error::DialError;
use crate::limits::MAX_LINE;
use crate::node::on::cut;

const VERSION_1: &str = r#","version":1"#;

fn name(number: u8) -> String {
    id(number).to_string()
}

fn knows(scene: &Scene, number: u8) -> bool {
    scene.node.addresses().any(|known| known == addr(number))
}

// ---- who says hello ----

#[test]
fn our_own_hello_that_comes_back_ends_both_ends() {
    let mut scene = Scene::new();
    let dial = scene.node.dial(addr(9), scene.now).unwrap();
    scene.node.connected(dial, scene.now);
    let ours = scene.heard(dial, "hello");
    let nonce = value(&ours[0], "nonce");
    let back = scene.node.accepted(addr(8), scene.now).unwrap();
    scene.say(back, &ours[0]);
    assert_eq!(scene.told(), ["failed: a connection to ourselves"; 2], "{nonce}");
    assert!(!scene.node.is_open(back) && !scene.node.is_open(dial));
    assert_eq!(scene.node.dial(addr(9), scene.now), Err(DialError::Own(addr(9))));
    assert!(scene.node.dial(addr(8), scene.now).is_ok());
}

#[test]
fn a_nonce_means_ourselves_only_from_one_who_dialled() {
    let mut scene = Scene::new();
    let dial = scene.node.dial(addr(9), scene.now).unwrap();
    scene.node.connected(dial, scene.now);
    let nonce = value(&scene.heard(dial, "hello")[0], "nonce");
    scene.hello(dial, &name(9), &format!(r#"{VERSION_1},"nonce":{nonce}"#));
    assert_eq!(scene.told(), ["up 9"]);
}

#[test]
fn names_are_taken_as_their_version_has_them() {
    let long = "x".repeat(64);
    for (name, version, expected) in [
        (name(1), 1, vec!["failed: the peer carries our own node id".to_string()]),
        (name(1), 0, vec!["failed: the peer carries our own node id".into()]),
        (long.clone(), 0, vec![format!("up {long}")]),
        (long.clone() + "x", 0, vec!["failed: nodeid of more than 64 bytes at byte 0".into()]),
        (long, 1, vec!["failed: nodeid is not a UUID at byte 0".into()]),
    ] {
        let mut scene = Scene::new();
        let conn = scene.node.accepted(addr(2), scene.now).unwrap();
        let wrong = expected[0].contains("nodeid");
        let counted = if wrong { "connections_closed 1, violations 1" } else { "" };
        let closed = if expected[0].contains("own") { "connections_closed 1" } else { counted };
        scene.counts(closed, |scene| {
            scene.hello(conn, &name, &format!(r#","version":{version}"#));
        });
        assert_eq!(scene.told(), expected);
        assert_eq!(scene.heard(conn, "bye").len(), 0);
    }
}

#[test]
fn a_network_other_than_ours_is_none_of_ours() {
    for (ours, theirs, version, expected) in [
        (None, "", 1, "up 2"),
        (None, r#","network":"peerline""#, 1, "up 2"),
        (None, r#","network":"other""#, 1, "failed: the peer belongs to another network"),
        (Some("other"), "", 1, "failed: the peer belongs to another network"),
        (Some("other"), r#","network":"other""#, 1, "up 2"),
        (Some("other"), "", 0, "failed: the peer belongs to another network"),
    ] {
        let config = match ours {
            Some(ours) => Config::builder().network(ours).build().unwrap(),
            None => Config::default(),
        };
        let mut scene = Scene::with(config);
        let conn = scene.node.accepted(addr(2), scene.now).unwrap();
        scene.hello(conn, &name(2), &format!(r#","version":{version}{theirs}"#));
        assert_eq!(scene.told(), [expected], "{ours:?} {theirs} {version}");
        let byes = scene.heard(conn, "bye");
        let said = [r#"{"msgtype":"bye","reason":"network"}"#];
        assert_eq!(byes, &said[..usize::from(expected != "up 2" && version == 1)]);
    }
}

#[test]
fn the_hello_back_is_in_the_words_of_the_version() {
    let mut scene = Scene::new();
    let conn = scene.node.accepted(addr(2), scene.now).unwrap();
    scene.hello(conn, "two", "");
    let said = scene.heard(conn, "");
    assert_eq!(said[0], format!(r#"{{"msgtype":"hello","nodeid":"{}"}}"#, id(1)));
    assert_eq!(
        said[1..],
        [r#"{"msgtype":"ping"}"#, r#"{"msgtype":"addr","peers":[]}"#, r#"{"msgtype":"getaddr"}"#]
    );
    let conn = scene.node.accepted(addr(3), scene.now).unwrap();
    scene.hello(conn, &name(3), VERSION_1);
    let said = scene.heard(conn, "");
    assert_eq!(value(&said[0], "you"), r#""192.0.2.3:40000""#);
    assert_eq!((value(&said[0], "nonce"), value(&said[0], "caps")), (String::new(), String::new()));
    assert_eq!(said[1..], [r#"{"msgtype":"getaddr","max":256}"#]);
    let conn = scene.node.dial(addr(4), scene.now).unwrap();
    scene.node.connected(conn, scene.now);
    assert_eq!(scene.heard(conn, "").len(), 1);
    scene.hello(conn, &name(4), VERSION_1);
    assert_eq!(scene.heard(conn, ""), [r#"{"msgtype":"getaddr","max":256}"#]);
}

#[test]
fn a_line_to_a_peer_is_as_long_as_it_says_and_never_shorter_than_a_broadcast() {
    for (max, expected) in [
        ("", MAX_BROADCAST_LINE),
        (r#","max":1"#, MAX_BROADCAST_LINE),
        (r#","max":300000"#, 300_000),
        (r#","max":99999999999"#, MAX_LINE),
    ] {
        let mut scene = Scene::new();
        let conn = scene.node.accepted(addr(2), scene.now).unwrap();
        scene.hello(conn, &name(2), &format!("{VERSION_1}{max}"));
        assert_eq!(scene.node.longest_for(conn), Some(expected), "{max}");
    }
}

// ---- room ----

#[test]
fn there_are_no_more_peers_than_there_may_be() {
    let config = Config::builder().max_peers(2).build().unwrap();
    let mut scene = Scene::with(config);
    let two = scene.meet(2);
    scene.dial(3);
    scene.told();
    let conn = scene.node.accepted(addr(4), scene.now).unwrap();
    scene.counts("connections_closed 1", |scene| scene.hello(conn, &name(4), VERSION_1));
    assert_eq!(scene.told(), ["failed: no room: 2 peers; the limit is 2"]);
    let said = scene.heard(conn, "");
    assert_eq!(
        (value(&said[0], "reason"), value(&said[0], "retry")),
        ("\"full\"".into(), "15".into())
    );
    assert!(value(&said[0], "peers").contains("192.0.2.3:40000"));
    scene.node.closed(two, TransportError::Reset, scene.now);
    scene.meet(4);
    assert!(scene.is_up(4));
}

#[test]
fn those_we_dial_take_no_place_of_those_who_dial_us() {
    let mut scene = Scene::limited(|limits| limits.max_inbound = 2);
    (2..4).for_each(|number| _ = scene.dial(number));
    let near = [4, 5].map(|number| scene.meet(number));
    scene.told();
    scene.dial(6);
    assert_eq!(scene.told(), ["up 6"]);
    scene.counts("connections_opened 1, connections_closed 1, evicted 1", |scene| {
        scene.meet(7);
    });
    assert_eq!(scene.told(), ["down 5: no room: 2 peers; the limit is 2", "up 7"]);
    let seven = scene.node.peers.conn(&PeerId::Node(id(7))).unwrap();
    for conn in [near[0], seven] {
        scene.say(conn, r#"{"msgtype":"addr","peers":[]}"#); // now both are near
    }
    scene.counts("connections_opened 1, connections_closed 1", |scene| {
        scene.meet(8);
    });
    assert_eq!(scene.told(), ["failed: no room: 2 peers; the limit is 2"]);
}

#[test]
fn who_broke_the_protocol_takes_a_place_of_the_lower_half_alone() {
    let mut scene = Scene::limited(|limits| limits.max_inbound = 4);
    let meet = |scene: &mut Scene, number: u8| {
        let conn = scene.node.accepted(addr(9), scene.now).unwrap();
        scene.greet(conn, number);
        scene.is_up(number)
    };
    let bad = scene.node.accepted(addr(9), scene.now).unwrap();
    scene.counts("connections_closed 1, violations 1", |scene| scene.say(bad, "{}"));
    assert_eq!(scene.node.discouraged(), 1);
    scene.told();
    assert_eq!([2, 3, 4].map(|number| meet(&mut scene, number)), [true; 3]);
    assert!(!meet(&mut scene, 5));
    assert_eq!(scene.told().last().unwrap(), "failed: no room: 3 peers; the limit is 4");
    scene.meet(6);
    assert!(scene.is_up(6));
}

#[test]
fn a_peer_that_we_dialled_and_that_dials_back_takes_a_place() {
    for (limit, expected) in [(2, true), (1, false)] {
        let mut scene = Scene::limited(|limits| limits.max_inbound = limit);
        let zero = scene.dial(0);
        scene.meet(3);
        scene.told();
        let conn = scene.node.accepted(addr(20), scene.now).unwrap();
        scene.hello(conn, &name(0), VERSION_1);
        assert_eq!(
            scene
                .node
                .links
                .get(conn)
                .is_some_and(|link| { matches!(link.phase, Phase::Ready(_)) }),
            expected,
            "{limit}"
        );
        let told = scene.told();
        let full = "failed: no room: 1 peers; the limit is 1";
        assert_eq!(told, &[full][usize::from(expected)..]);
        // One more of a peer that dialled us already is no more than its other one.
        if expected {
            let conn = scene.node.accepted(addr(21), scene.now).unwrap();
            scene.hello(conn, &name(0), VERSION_1);
            assert!(scene.told().is_empty());
        }
        assert!(scene.node.is_open(zero));
    }
}

#[test]
fn a_second_dial_of_ours_needs_no_place() {
    let mut scene = Scene::limited(|limits| limits.max_inbound = 1);
    scene.meet(0);
    scene.told();
    let conn = scene.node.dial(addr(20), scene.now).unwrap();
    scene.node.connected(conn, scene.now);
    scene.hello(conn, &name(0), VERSION_1);
    assert!(scene.told().is_empty());
}

#[test]
fn a_guest_may_have_several_connections_and_a_node_some_rivals() {
    let mut scene = Scene::limited(|limits| {
        limits.guest_connections = 2;
        limits.rivals = 3;
    });
    scene.meet_old(2, "two");
    let second = scene.meet_old(3, "two");
    assert_eq!(scene.told(), ["up two"]);
    scene.counts("connections_opened 1, connections_closed 1", |scene| {
        scene.meet_old(4, "two");
    });
    assert_eq!(scene.told(), ["failed: a second connection between the same nodes"]);
    assert_eq!(scene.node.peers.conns(&PeerId::Guest("two".into())).len(), 2);
    // Each is introduced, though the peer was up.
    scene.node.closed(second, TransportError::Reset, scene.now);
    let third = scene.node.accepted(addr(4), scene.now).unwrap();
    scene.hello(third, "two", "");
    assert_eq!(scene.heard(third, "").len(), 4);
    let conns = [5, 6, 7, 8].map(|number| {
        let conn = scene.node.accepted(addr(number), scene.now).unwrap();
        scene.hello(conn, &name(0), VERSION_1);
        conn
    });
    let byes = conns.map(|conn| scene.heard(conn, "bye").len());
    assert_eq!(byes, [0, 0, 0, 1]);
}

// ---- where it listens ----

#[test]
fn where_a_peer_listens_is_where_it_dialled_from_or_where_it_names() {
    for (listen, listens, learned) in [
        ("", None, vec![]),
        (r#","listen":5"#, Some("192.0.2.2:5"), vec!["192.0.2.2:5"]),
        (r#","listen":"192.0.2.2:6""#, Some("192.0.2.2:6"), vec!["192.0.2.2:6"]),
        (r#","listen":"192.0.2.7:6""#, None, vec!["192.0.2.7:6"]),
        (r#","listen":"192.0.2.1:6""#, None, vec![]),
    ] {
        let mut scene = Scene::new();
        scene.node.listening("192.0.2.1:6".parse().unwrap(), scene.now);
        let conn = scene.node.accepted(addr(2), scene.now).unwrap();
        scene.hello(conn, &name(2), &format!("{VERSION_1}{listen}"));
        let info = scene.node.peer(&PeerId::Node(id(2))).unwrap();
        assert_eq!(info.listens, listens.map(|text| text.parse().unwrap()), "{listen}");
        let known: Vec<String> = scene.node.addresses().map(|addr| addr.to_string()).collect();
        assert_eq!(known, learned, "{listen}");
    }
    let mut scene = Scene::new();
    scene.dial(2);
    let info = scene.node.peer(&PeerId::Node(id(2))).unwrap();
    assert_eq!(info.listens, Some(addr(2)));
    let proven = scene.node.book.iter().find(|(known, _)| *known == addr(2)).unwrap();
    assert!(proven.1.proven && proven.1.peer == Some(PeerId::Node(id(2))));
}

#[test]
fn our_hello_names_where_we_listen() {
    let config = Config::builder().advertise(Listen::Port(7)).build().unwrap();
    let mut scene = Scene::with(config);
    let conn = scene.node.accepted(addr(2), scene.now).unwrap();
    scene.hello(conn, &name(2), VERSION_1);
    assert_eq!(value(&scene.heard(conn, "hello")[0], "listen"), "7");
}

// ---- addresses ----

#[test]
fn getaddr_is_answered_once_in_a_while() {
    let every = Limits::default().getaddr_every;
    let mut scene = Scene::new();
    let two = scene.meet(2);
    scene.dial(3);
    let line = r#"{"msgtype":"getaddr","max":5}"#;
    let known =
        format!(r#"{{"msgtype":"addr","peers":[["192.0.2.3:40000","{}"]],"ages":[0]}}"#, id(3));
    scene.say(two, line);
    scene.say(two, line);
    assert_eq!(scene.heard(two, "addr"), [known]);
    scene.now = scene.now + (every - Duration::from_nanos(1));
    scene.say(two, line);
    assert!(scene.heard(two, "addr").is_empty());
    scene.now = scene.now + Duration::from_nanos(1);
    scene.say(two, line);
    assert_eq!(scene.heard(two, "addr").len(), 1);
    scene.now = scene.now + every;
    scene.say(two, r#"{"msgtype":"getaddr","max":0}"#);
    assert_eq!(scene.heard(two, "addr"), [r#"{"msgtype":"addr","peers":[]}"#]);
}

#[test]
fn getaddr_is_answered_to_a_node_of_version_0_and_not_to_a_rival() {
    let mut scene = Scene::new();
    let old = scene.meet_old(2, "two");
    scene.dial(3);
    scene.say(old, r#"{"msgtype":"getaddr"}"#);
    let known = format!(r#"{{"msgtype":"addr","peers":[["192.0.2.3:40000","{}"]]}}"#, id(3));
    assert_eq!(scene.heard(old, "addr"), [known]);
    scene.meet(0);
    let rival = scene.node.accepted(addr(20), scene.now).unwrap();
    scene.greet(rival, 0);
    scene.say(rival, r#"{"msgtype":"getaddr"}"#);
    assert!(scene.heard(rival, "addr").is_empty());
}

fn row(number: usize) -> String {
    format!(r#"["10.{}.{}.1:5","x"]"#, number / 250, number % 250)
}

fn tell(scene: &mut Scene, conn: ConnId, numbers: core::ops::Range<usize>) {
    let rows: Vec<String> = numbers.map(row).collect();
    scene.say(conn, &format!(r#"{{"msgtype":"addr","peers":[{}]}}"#, rows.join(",")));
}

#[test]
fn addresses_are_taken_as_far_as_was_asked_for_and_a_few_more() {
    let limits = Limits::default();
    let mut scene = Scene::new();
    let two = scene.meet(2);
    assert_eq!(limits.addr_answer, 256);
    scene.counts("addresses_ignored 1", |scene| tell(scene, two, 0..257));
    assert_eq!(scene.node.addresses().len(), 256);
    let more = limits.addr_burst as usize;
    scene.counts("addresses_ignored 3", |scene| tell(scene, two, 300..303 + more));
    scene.now = scene.now + limits.addr_every;
    scene.counts("addresses_ignored 1", |scene| tell(scene, two, 500..502));
}

#[test]
fn what_is_told_has_its_own_name_or_that_of_the_teller() {
    let mut scene = Scene::new();
    let two = scene.meet(2);
    let rows = format!(r#"["10.0.0.1:5","{}"],"10.0.0.2:5",["10.0.0.3:5","{}"]"#, id(7), id(1));
    scene.say(two, &format!(r#"{{"msgtype":"addr","peers":[{rows},"nowhere"]}}"#));
    let known: Vec<_> = scene
        .node
        .book
        .iter()
        .map(|(addr, entry)| (addr.to_string(), entry.peer.clone()))
        .collect();
    let named = |number| Some(PeerId::Node(id(number)));
    assert_eq!(known[0], ("10.0.0.1:5".into(), named(7)));
    assert_eq!(known[1].0, "10.0.0.2:5");
    assert_eq!(known.len(), 2, "what is said to be ours is nobody's: {known:?}");
}

// ---- bye ----

#[test]
fn a_bye_in_place_of_a_hello_names_a_few_others() {
    let mut scene = Scene::new();
    let conn = scene.node.dial(addr(2), scene.now).unwrap();
    scene.node.connected(conn, scene.now);
    let rows: Vec<String> = (0..9).map(row).collect();
    scene.counts("connections_closed 1, addresses_ignored 1", |scene| {
        let peers = rows.join(",");
        scene.say(
            conn,
            &format!(r#"{{"msgtype":"bye","reason":"full","retry":77,"peers":[{peers}]}}"#),
        );
    });
    assert_eq!(scene.told(), ["failed: the peer said bye: full"]);
    assert_eq!(scene.node.addresses().len(), 1 + 8);
    let held = scene.node.book.iter().find(|(known, _)| *known == addr(2)).unwrap().1;
    assert_eq!(held.not_before, scene.now + SECOND * 77);
    assert!(scene.heard(conn, "bye").is_empty());
}

#[test]
fn a_bye_holds_the_address_where_the_peer_listens_if_it_says_how_long() {
    for (retry, expected) in [("", false), (r#","retry":1000"#, true)] {
        let mut scene = Scene::new();
        let conn = scene.node.accepted(addr(2), scene.now).unwrap();
        scene.hello(conn, &name(2), &format!(r#"{VERSION_1},"listen":40000"#));
        assert!(knows(&scene, 2));
        scene.told();
        scene.say(conn, &format!(r#"{{"msgtype":"bye","reason":"shutdown"{retry}}}"#));
        assert_eq!(scene.told(), ["down 2: the peer said bye: shutdown"]);
        let not_before = scene.node.book.iter().next().unwrap().1.not_before;
        assert_eq!(not_before == scene.now + SECOND * 1000, expected);
        assert_eq!(not_before > scene.now + SECOND * 999, expected);
    }
}

#[test]
fn a_bye_of_one_that_dialled_and_said_no_hello_holds_nothing() {
    let mut scene = Scene::new();
    scene.node.add_bootstrap(addr(2), scene.now);
    let before = scene.node.book.iter().next().unwrap().1.not_before;
    let conn = scene.node.accepted(addr(2), scene.now).unwrap();
    scene.say(conn, r#"{"msgtype":"bye","reason":"shutdown","retry":1000}"#);
    assert_eq!(scene.told(), ["failed: the peer said bye: shutdown"]);
    assert_eq!(scene.node.book.iter().next().unwrap().1.not_before, before);
}

#[test]
fn a_bye_to_the_only_connection_waits_a_while_for_the_other() {
    let linger = Limits::default().linger;
    let mut scene = Scene::new();
    let two = scene.meet(2);
    scene.told();
    scene.counts("", |scene| scene.say(two, r#"{"msgtype":"bye","reason":"duplicate"}"#));
    scene.run_for(linger - Duration::from_nanos(1));
    scene.node.closed(two, TransportError::Eof, scene.now);
    assert!(scene.told().is_empty() && scene.is_up(2));
    let at = scene.node.poll_timeout();
    assert_eq!(at, Some(scene.now + Duration::from_nanos(1)));
    scene.run_for(Duration::from_nanos(1));
    assert_eq!(scene.told(), ["down 2: the peer said bye: duplicate"]);
    assert!(!scene.node.is_open(two));
}

#[test]
fn a_bye_to_one_of_two_connections_leaves_the_other() {
    let mut scene = Scene::new();
    let first = scene.meet(0);
    let second = scene.node.accepted(addr(20), scene.now).unwrap();
    scene.greet(second, 0);
    scene.told();
    scene.say(first, r#"{"msgtype":"bye","reason":"duplicate"}"#);
    assert_eq!(scene.told(), ["failed: a second connection between the same nodes"]);
    assert_eq!(scene.node.peers.conn(&PeerId::Node(id(0))), Some(second));
}

// ---- small things ----

#[test]
fn words_of_others_are_cut_between_characters() {
    assert_eq!(&*cut(&"x".repeat(65)), "x".repeat(64));
    assert_eq!(&*cut(&"x".repeat(64)), "x".repeat(64));
    assert_eq!(&*cut(&("x".repeat(63) + "ä")), "x".repeat(63));
    assert_eq!((&*cut(""), &*cut("ä")), ("", "ä"));
}

#[test]
fn pongs_measure_a_round_trip_if_they_are_the_answer() {
    let mut scene = Scene::new();
    let two = scene.meet(2);
    scene.node.check_live(scene.now);
    let nonce = value(&scene.heard(two, "ping")[0], "nonce");
    scene.now = scene.now + SECOND;
    let round_trip = |scene: &Scene| scene.node.peer(&PeerId::Node(id(2))).unwrap().round_trip;
    scene.counts("", |scene| scene.say(two, r#"{"msgtype":"pong","nonce":1}"#));
    assert_eq!(round_trip(&scene), None);
    scene.say(two, &format!(r#"{{"msgtype":"pong","nonce":{nonce}}}"#));
    assert_eq!(round_trip(&scene), Some(SECOND));
}

#[test]
fn the_first_addresses_measure_a_round_trip_too() {
    let mut scene = Scene::new();
    let two = scene.meet(2);
    scene.now = scene.now + SECOND * 2;
    scene.say(two, r#"{"msgtype":"addr","peers":[]}"#);
    let round_trip = scene.node.peer(&PeerId::Node(id(2))).unwrap().round_trip;
    assert_eq!(round_trip, Some(SECOND * 2));
}

#[test]
fn a_ping_is_answered_with_its_nonce_or_none() {
    let mut scene = Scene::new();
    let two = scene.meet(2);
    scene.say(two, r#"{"msgtype":"ping","nonce":5}"#);
    scene.say(two, r#"{"msgtype":"ping"}"#);
    assert_eq!(scene.heard(two, ""), [r#"{"msgtype":"pong","nonce":5}"#, r#"{"msgtype":"pong"}"#]);
    let old = scene.meet_old(3, "three");
    scene.node.check_live(scene.now);
    assert_eq!(scene.heard(old, ""), [r#"{"msgtype":"ping"}"#]);
}
