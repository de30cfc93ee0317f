//! The application's verbs at one node, and the searches that they set off.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use super::*;
use crate::error::{DialError, SendError};
use crate::queue::FRAME_COST;

const INSTANT: Duration = Duration::from_nanos(1);

fn send(scene: &mut Scene, to: u8, text: &str) -> Result<(), SendError> {
    scene.node.send(&PeerId::Node(id(to)), "K", &body(text), scene.now)
}

/// A neighbour says where node 9 is.
fn place(scene: &mut Scene, conn: ConnId) -> SocketAddr {
    scene.say(conn, &format!(r#"{{"msgtype":"addr","peers":[["10.0.0.9:5","{}"]]}}"#, id(9)));
    "10.0.0.9:5".parse().unwrap()
}

/// Lets all plans and dials of our own account be, so that dials are those of searches.
fn quiet() -> Scene {
    Scene::limited(|limits| {
        limits.target_outbound = 0;
        limits.full_mesh = 0;
    })
}

// ---- dials ----

#[test]
fn what_may_not_be_dialled_is_said_at_once() {
    let mut scene = Scene::new();
    scene.node.listening(addr(1), scene.now);
    let nowhere = "192.0.2.2:0".parse().unwrap();
    assert_eq!(scene.node.dial(nowhere, scene.now), Err(DialError::Unusable(nowhere)));
    assert_eq!(scene.node.dial(addr(1), scene.now), Err(DialError::Own(addr(1))));
    assert_eq!(scene.node.addresses().len(), 0);
    let conn = scene.node.dial(addr(2), scene.now).unwrap();
    assert!(scene.node.overlay.is_asked_for(conn));
    assert_eq!(scene.node.addresses().len(), 1);
    for _ in 0..2 {
        let again = scene.node.dial(addr(2), scene.now);
        assert_eq!(again, Err(DialError::Dialing { conn }));
        scene.node.connected(conn, scene.now);
    }
    scene.greet(conn, 2);
    assert!(scene.node.dial(addr(2), scene.now).is_ok(), "it is no dial any more");
    while !scene.node.events.is_over() {
        scene.node.message_lost("x".into());
    }
    let busy = scene.node.dial(addr(3), scene.now);
    assert!(matches!(busy, Err(DialError::Busy { queued, limit }) if queued > limit));
    scene.node.shutdown(SECOND, scene.now);
    assert_eq!(scene.node.dial(addr(3), scene.now), Err(DialError::Stopping));
    assert_eq!(scene.node.join(addr(3), Dialect::Chat, scene.now), Err(DialError::Stopping));
}

#[test]
fn a_dial_that_is_under_way_is_the_applications_once_it_asks() {
    let mut scene = Scene::new();
    scene.node.add_bootstrap(addr(2), scene.now);
    scene.node.handle_timeout(scene.now);
    let conn = scene.node.dialing(addr(2)).unwrap();
    assert!(!scene.node.overlay.is_asked_for(conn));
    assert_eq!(scene.node.dial(addr(2), scene.now), Err(DialError::Dialing { conn }));
    assert!(scene.node.overlay.is_asked_for(conn));
}

#[test]
fn guests_that_call_or_are_called_are_no_dials() {
    let mut scene = Scene::new();
    scene.node.join(addr(2), Dialect::Chat, scene.now).unwrap();
    scene.node.accepted(addr(3), scene.now).unwrap();
    assert_eq!([2, 3].map(|number| scene.node.dialing(addr(number))), [None; 2]);
}

#[test]
fn a_bootstrap_address_is_thought_of_if_it_can_be_dialled() {
    let nowhere = "192.0.2.2:0".parse().unwrap();
    for (at, expected) in [(addr(2), true), (nowhere, false), (addr(1), false)] {
        let mut scene = Scene::new();
        scene.node.listening(addr(1), scene.now);
        scene.node.add_bootstrap(at, scene.now);
        assert_eq!(scene.node.plan_at.is_some(), expected);
    }
}

#[test]
fn our_hello_says_whether_we_route_by_keyspace() {
    for (keyspace, expected) in [(Keyspace::On, r#"["route/1"]"#), (Keyspace::Off, "")] {
        let mut scene = Scene::with(Config::builder().keyspace(keyspace).build().unwrap());
        let conn = scene.node.dial(addr(2), scene.now).unwrap();
        scene.node.connected(conn, scene.now);
        let hello = &scene.heard(conn, "hello")[0];
        assert_eq!(value(hello, "caps"), expected);
        assert_eq!(value(hello, "max"), MAX_BROADCAST_LINE.to_string());
    }
}

// ---- messages ----

#[test]
fn a_message_has_a_name_of_its_own_and_as_many_steps_as_it_needs() {
    let mut scene = Scene::new();
    let two = scene.meet(2);
    scene.message(two, (9, 1), 9);
    let mut names = Vec::new();
    for (to, ttl) in [(2, "1"), (9, "32"), (2, "1")] {
        assert_eq!(send(&mut scene, to, "m"), Ok(()));
        let said = scene.heard(two, "message");
        assert_eq!((said.len(), &*value(&said[0], "ttl")), (1, ttl));
        assert_eq!(value(&said[0], "from"), format!("\"{}\"", id(1)));
        names.push(value(&said[0], "id"));
    }
    let last = |name: &String| name.trim_matches('"').rsplit_once('.').unwrap().1.parse::<u64>();
    let numbers: Vec<u64> = names.iter().map(|name| last(name).unwrap()).collect();
    assert_eq!(numbers, [1, 2, 3]);
}

#[test]
fn a_message_is_for_a_node_that_is_not_us() {
    let mut scene = Scene::new();
    assert_eq!(send(&mut scene, 9, "m"), Err(SendError::NotConnected));
    scene.meet(2);
    let old = scene.meet_old(3, "old");
    scene.heard(old, "");
    assert_eq!(send(&mut scene, 1, "m"), Err(SendError::NotConnected));
    let guest = |scene: &mut Scene, name: &str| {
        scene.node.send(&PeerId::Guest(name.into()), "K", &body("m"), scene.now)
    };
    assert_eq!(guest(&mut scene, "old"), Err(SendError::Unsupported));
    assert_eq!(guest(&mut scene, "other"), Err(SendError::NotConnected));
    let kind = |scene: &mut Scene, len: usize| {
        scene.node.send(&PeerId::Node(id(2)), &"k".repeat(len), &body("m"), scene.now)
    };
    assert_eq!(kind(&mut scene, 129), Err(SendError::KindTooLong { len: 129, limit: 128 }));
    assert_eq!(kind(&mut scene, 128), Ok(()));
    scene.node.shutdown(SECOND, scene.now);
    assert_eq!(send(&mut scene, 2, "m"), Err(SendError::Stopping));
}

#[test]
fn a_message_is_as_long_as_its_neighbour_and_our_queue_take() {
    for (max, queue, most) in [
        (1, 1024 * 1024, MAX_BROADCAST_LINE),
        (300_000, 1024 * 1024, 300_000),
        (300_000, 5000, 5000 - FRAME_COST - 1),
    ] {
        let mut scene = Scene::limited(|limits| limits.send_queue = queue);
        let conn = scene.node.accepted(addr(2), scene.now).unwrap();
        scene.hello(conn, &id(2).to_string(), &format!(r#","version":1,"max":{max}"#));
        scene.heard(conn, "");
        let long = send(&mut scene, 2, &"x".repeat(most));
        let Err(SendError::TooLarge { len, limit }) = long else { panic!("{long:?}") };
        assert_eq!(limit, most);
        let fits = "x".repeat(most - (len - limit));
        let over = send(&mut scene, 2, &(fits.clone() + "x"));
        assert_eq!(over, Err(SendError::TooLarge { len: most + 1, limit: most }));
        assert_eq!(send(&mut scene, 2, &fits), Ok(()));
        let said = scene.heard(conn, "message");
        assert_eq!(said[0].len(), most);
        let name = value(&said[0], "id");
        assert!(name.ends_with(".1\""), "what was not sent has no name: {name}");
    }
}

#[test]
fn the_applications_word_is_a_way_if_it_names_a_neighbour() {
    let mut scene = Scene::new();
    let [two, three] = [2, 3].map(|number| scene.meet(number));
    scene.node.set_router(|to| (*to == PeerId::Node(id(9))).then(|| PeerId::Node(id(3))));
    assert_eq!(send(&mut scene, 9, "m"), Ok(()));
    assert_eq!([two, three].map(|conn| scene.heard(conn, "message").len()), [0, 1]);
    assert_eq!(send(&mut scene, 8, "m"), Ok(()));
    assert_eq!([two, three].map(|conn| scene.heard(conn, "find").len()), [1, 1]);
}

#[test]
fn what_runtimes_count_is_counted() {
    let mut scene = Scene::new();
    scene.counts("unknown_kinds 2", |scene| {
        scene.node.count_unknown_kind();
        scene.node.count_unknown_kind();
    });
    scene.counts("handler_panics 2", |scene| {
        scene.node.count_handler_panic();
        scene.node.count_handler_panic();
    });
}

#[test]
fn a_receipt_counts_whoever_it_is_offered_to() {
    let receipt = Receipt { queued: 1, announced: 20, skipped: 300, guests: 4000 };
    assert_eq!(receipt.offered(), 4321);
}

#[test]
fn all_connections_of_a_peer_are_parted_from() {
    let mut scene = Scene::new();
    let first = scene.meet(0);
    let second = scene.node.accepted(addr(20), scene.now).unwrap();
    scene.hello(second, &id(0).to_string(), r#","version":1,"listen":7"#);
    for conn in [first, second] {
        scene.heard(conn, "");
    }
    assert!(scene.node.disconnect(&PeerId::Node(id(0)), scene.now));
    assert_eq!([first, second].map(|conn| scene.heard(conn, "bye").len()), [1, 1]);
    let held = scene.node.book.iter().next().unwrap().1.not_before;
    assert_eq!(held, scene.now + Limits::default().backoff_max);
}

// ---- searches ----

#[test]
fn a_search_asks_near_then_far_then_dials_and_then_gives_up() {
    let limits = Limits::default();
    let mut scene = quiet();
    let two = scene.meet(2);
    let at = place(&mut scene, two);
    scene.heard(two, "");
    assert_eq!(send(&mut scene, 9, "m"), Ok(()));
    let ttl = |scene: &mut Scene| -> Vec<String> {
        scene.heard(two, "find").iter().map(|line| value(line, "ttl")).collect()
    };
    assert_eq!(ttl(&mut scene), ["2"]);
    scene.run_for(limits.find_near - INSTANT);
    assert!(ttl(&mut scene).is_empty());
    scene.run_for(INSTANT);
    assert_eq!(ttl(&mut scene), ["4"]);
    scene.run_for(limits.find_far - INSTANT);
    assert!(scene.dialled().is_empty());
    scene.told();
    scene.run_for(INSTANT);
    assert_eq!(scene.dialled(), [at]);
    scene.run_for(limits.dial_timeout - INSTANT);
    assert!(scene.told().is_empty());
    scene.run_for(INSTANT);
    let told = scene.told();
    assert_eq!(told.len(), 2);
    assert!(told[1].starts_with("error 1 ") && told[1].ends_with(" no_route"), "{told:?}");
}

#[test]
fn a_search_ends_when_what_it_dialled_is_the_node() {
    let mut scene = quiet();
    let two = scene.meet(2);
    place(&mut scene, two);
    assert_eq!(send(&mut scene, 9, "m"), Ok(()));
    scene.run_for(Limits::default().find_near + Limits::default().find_far);
    let dial = scene.node.dialing("10.0.0.9:5".parse().unwrap()).unwrap();
    scene.node.connected(dial, scene.now);
    scene.hello(dial, &id(9).to_string(), r#","version":1"#);
    assert_eq!(value(&scene.heard(dial, "message")[0], "msg"), r#""m""#);
    assert_eq!(scene.node.seeks.bytes(), 0);
}

#[test]
fn with_nobody_to_ask_the_node_is_dialled_at_once_where_it_may_be() {
    let limits = Limits::default();
    for (change, expected) in [(0, true), (1, false), (2, false), (3, true), (4, false)] {
        let mut scene = Scene::limited(|limits| {
            limits.target_outbound = 0;
            limits.full_mesh = 0;
            limits.max_dialing = 2;
        });
        let two = scene.meet(2);
        let at = place(&mut scene, two);
        scene.node.closed(two, TransportError::Reset, scene.now);
        let dials = if change == 1 { 2 } else { 1 };
        (20..20 + dials).for_each(|number| _ = scene.node.dial(addr(number), scene.now));
        scene.dialled();
        match change {
            2 => scene.node.listening(at, scene.now),
            3 => _ = scene.node.dial(at, scene.now),
            4 => scene.node.book.hold(at, SECOND, scene.now),
            _ => {}
        }
        assert_eq!(send(&mut scene, 9, "m").is_ok(), expected, "{change}");
        assert_eq!(scene.dialled(), vec![at; usize::from(expected)]);
        if expected {
            scene.told();
            scene.run_for(limits.dial_timeout);
            let lost = scene.told().iter().filter(|told| told.starts_with("error")).count();
            assert_eq!(lost, 1);
        }
    }
}

#[test]
fn so_much_waits_for_a_way_and_no_more_and_the_application_hears_when_it_is_over() {
    let mut scene = Scene::limited(|limits| {
        limits.seeks = 1;
        limits.held_bytes = 1000;
    });
    let two = scene.meet(2);
    assert_eq!(send(&mut scene, 9, "m"), Ok(()));
    let one = scene.node.seeks.bytes();
    assert!(one > 128);
    let mut held = 1;
    let full = loop {
        match send(&mut scene, 9, "m") {
            Ok(()) => held += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(held, 1000 / one);
    assert_eq!(full, SendError::Full { queued: held * one, limit: 1000 });
    assert_eq!(send(&mut scene, 8, "m"), Err(SendError::NotConnected), "too many are sought");
    assert_eq!(scene.heard(two, "find").len(), 1);
    scene.told();
    scene.meet(9);
    let told = scene.told();
    assert_eq!(told, ["up 9", "writable 9"]);
    let nine = scene.node.peers.conn(&PeerId::Node(id(9))).unwrap();
    assert_eq!(scene.node.peer(&PeerId::Node(id(9))).unwrap().queued, 0, "{nine:?}");
    assert_eq!(scene.node.seeks.bytes(), 0);
    // Where none is found, it is over as well.
    let mut scene = Scene::limited(|limits| limits.held_bytes = 1000);
    scene.meet(2);
    while send(&mut scene, 9, "m").is_ok() {}
    scene.told();
    scene.run_for(Limits::default().find_near + Limits::default().find_far);
    let told = scene.told();
    assert_eq!((told.len(), &*told[held]), (held + 1, "writable 9"));
}

/// Fills the queue of a neighbour, so that not even a search has room there.
fn fill(scene: &mut Scene, to: u8) {
    for text in ["x".repeat(1000), String::new()] {
        while send(scene, to, &text).is_ok() {}
    }
}

#[test]
fn a_search_is_counted_where_it_has_no_room() {
    let mut scene = Scene::limited(|limits| limits.send_queue = 4096);
    let [two, three, four] = [2, 3, 4].map(|number| scene.meet(number));
    fill(&mut scene, 3);
    scene.counts("skipped 1, relayed 1", |scene| {
        scene.pass(two, "find", (2, 9), r#""id":"f.1","ttl":3"#);
    });
    assert_eq!([three, four].map(|conn| scene.heard(conn, "find").len()), [0, 1]);
    fill(&mut scene, 3);
    scene.counts("skipped 1", |scene| assert_eq!(send(scene, 9, "m"), Ok(())));
    let mut scene = Scene::limited(|limits| limits.send_queue = 4096);
    (2..5).for_each(|number| _ = scene.meet(number));
    (2..5).for_each(|number| fill(&mut scene, number));
    scene.counts("skipped 3", |scene| {
        assert_eq!(send(scene, 9, "m"), Err(SendError::NotConnected));
    });
}

// ---- places of connections ----

#[test]
fn a_connection_in_the_place_of_another_has_its_own_time() {
    let limits = Limits::default();
    let mut scene = quiet();
    let first = scene.node.accepted(addr(2), scene.now).unwrap();
    scene.run_for(SECOND * 5);
    scene.node.closed(first, TransportError::Reset, scene.now);
    let dial = scene.node.dial(addr(3), scene.now).unwrap();
    assert_eq!((dial.slot(), dial == first), (first.slot(), false));
    scene.told();
    scene.run_for(limits.dial_timeout - INSTANT);
    assert!(scene.told().is_empty() && scene.node.is_open(dial));
    scene.run_for(INSTANT);
    assert!(!scene.node.is_open(dial));
    let accepted = scene.node.accepted(addr(4), scene.now).unwrap();
    scene.run_for(SECOND * 5);
    scene.node.closed(accepted, TransportError::Reset, scene.now);
    let again = scene.node.accepted(addr(5), scene.now).unwrap();
    scene.run_for(limits.handshake_timeout - INSTANT);
    assert!(scene.node.is_open(again) && !scene.node.is_open(accepted));
    scene.run_for(INSTANT);
    assert!(!scene.node.is_open(again));
}
