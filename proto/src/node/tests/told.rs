//! What a node tells: its application of its peers, and its peers of addresses.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use alloc::collections::BTreeSet;

use super::*;
use crate::budget::Budget;
use crate::id::Side;
use crate::overlay::Surroundings;

impl Scene {
    /// A hello with more to it than a name.
    pub(super) fn greet_with(&mut self, conn: ConnId, number: u8, more: &str) {
        let start = r#"{"msgtype":"hello","version":1"#;
        self.say(conn, &format!(r#"{start},"nodeid":"{}",{more}}}"#, id(number)));
        self.heard(conn, "");
    }

    /// A neighbour dials from somewhere, and says hello.
    pub(super) fn meet_at(&mut self, addr: &str, number: u8, more: &str) -> ConnId {
        let conn = self.node.accepted(addr.parse().unwrap(), self.now).unwrap();
        self.greet_with(conn, number, more);
        conn
    }

    /// We dial somewhere, and find a neighbour.
    pub(super) fn dial_at(&mut self, addr: &str, number: u8, more: &str) -> ConnId {
        let conn = self.node.dial(addr.parse().unwrap(), self.now).unwrap();
        self.node.connected(conn, self.now);
        self.greet_with(conn, number, more);
        conn
    }

    /// The book has an address where a dial of ours found this peer now.
    pub(super) fn reached(&mut self, addr: &str, peer: &PeerId) {
        let Node { book, rng, .. } = &mut self.node;
        book.reached(addr.parse().unwrap(), peer, self.now, rng);
    }

    /// The application takes no events, until there are too many.
    pub(super) fn fall_behind(&mut self) {
        while !self.node.events.is_over() {
            self.node.emit(Event::Isolated);
        }
    }

    pub(super) fn around(&self) -> Surroundings {
        self.node.surroundings()
    }

    /// Asks for addresses, and takes the answer: where, who, how many seconds ago.
    fn told_of(&mut self, conn: ConnId, max: &str) -> Vec<(String, String, u64)> {
        self.node.ready_mut(conn).unwrap().getaddr_answered = None;
        self.say(conn, &format!(r#"{{"msgtype":"getaddr"{max}}}"#));
        let line = self.heard(conn, "addr").pop().unwrap();
        let line = serde_json::from_str::<serde_json::Value>(&line).unwrap();
        let text = |value: &serde_json::Value| value.as_str().unwrap().to_string();
        let ages = line.get("ages").map(|ages| ages.as_array().unwrap().clone());
        let age = |index: usize| ages.as_ref().map_or(0, |ages| ages[index].as_u64().unwrap());
        let pairs = line["peers"].as_array().unwrap().iter().enumerate();
        pairs.map(|(at, pair)| (text(&pair[0]), text(&pair[1]), age(at))).collect()
    }

    fn places(&mut self, conn: ConnId) -> BTreeSet<String> {
        self.told_of(conn, "").into_iter().map(|(addr, _, _)| addr).collect()
    }
}

/// An address of a network group of its own.
pub(super) fn far(number: usize) -> String {
    format!("{}.{}.0.1:40000", 20 + number / 200, number % 200)
}

fn named(number: usize) -> PeerId {
    PeerId::Node(NodeId::from_random_bytes(
        [(number as u64).to_le_bytes(); 2].concat().try_into().unwrap(),
    ))
}

/// The book has so many addresses of as many groups, all alive.
pub(super) fn fill(scene: &mut Scene, count: usize) {
    for number in 0..count {
        scene.reached(&far(number), &named(number));
    }
    assert_eq!(scene.node.book.len(), count);
}

// ---- the application ----

#[test]
fn a_peer_is_told_of_as_it_is() {
    let mut scene = Scene::new();
    let three = scene.dial(3);
    let two = scene.meet_at("192.0.2.2:777", 2, r#""listen":40002"#);
    let peers: Vec<_> = scene.node.peers().collect();
    let facts = |at: usize| (peers[at].peer.clone(), peers[at].conn, peers[at].addr);
    let at = |text: &str| text.parse::<SocketAddr>().unwrap();
    assert_eq!(facts(0), (PeerId::Node(id(2)), two, at("192.0.2.2:777")));
    assert_eq!(facts(1), (PeerId::Node(id(3)), three, addr(3)));
    assert_eq!([0, 1].map(|n| peers[n].side), [Side::Listener, Side::Dialer]);
    let listens = [0, 1].map(|n| peers[n].listens);
    assert_eq!(listens, [Some(at("192.0.2.2:40002")), Some(addr(3))]);
    for peer in peers {
        let quiet = (peer.round_trip, peer.queued, peer.suspect, peer.rejected);
        assert_eq!(quiet, (None, 0, false, 0));
    }
    assert_eq!(scene.node.peer_count(), 2);
    assert_eq!(scene.node.peer(&PeerId::Node(id(4))), None);
    scene.say(two, r#"{"msgtype":"ping","nonce":1}"#);
    let limits = Limits::default();
    scene.run_for(limits.ping_after + limits.suspect_max);
    let info = scene.node.peer(&PeerId::Node(id(2))).unwrap();
    assert!(info.queued > 0 && info.suspect);
}

#[test]
fn a_round_trip_is_from_the_ping_to_its_pong() {
    let mut scene = Scene::new();
    let two = scene.meet(2);
    scene.node.ping(two);
    scene.now = scene.now + SECOND;
    scene.say(two, r#"{"msgtype":"pong"}"#);
    assert_eq!(scene.node.peer(&PeerId::Node(id(2))).unwrap().round_trip, Some(SECOND));
}

#[cfg(feature = "testing")]
#[test]
fn the_application_is_behind_when_too_much_waits_for_it() {
    let mut scene = Scene::new();
    assert!(!scene.node.events.is_over());
    scene.fall_behind();
    assert!(scene.node.events.is_over());
}

#[test]
fn a_connection_is_read_while_it_is_open_and_not_paused() {
    let mut scene = Scene::new();
    let two = scene.meet(2);
    let wants = |scene: &Scene| (scene.node.is_open(two), scene.node.wants_read(two));
    assert_eq!(wants(&scene), (true, true));
    scene.fall_behind();
    scene.message(two, (2, 1), 1);
    assert_eq!(wants(&scene), (true, false));
    scene.events();
    assert_eq!(wants(&scene), (true, true));
    scene.node.closed(two, TransportError::Reset, scene.now);
    assert_eq!(wants(&scene), (false, false));
}

#[test]
fn a_node_is_stopped_when_it_was_told_and_nothing_is_open() {
    let mut scene = Scene::new();
    let state = |scene: &Scene| (scene.node.is_stopping(), scene.node.is_stopped());
    assert_eq!(state(&scene), (false, false), "nothing is open, but nobody said so");
    let two = scene.meet(2);
    scene.node.shutdown(SECOND, scene.now);
    assert_eq!(state(&scene), (true, false));
    scene.run_for(SECOND);
    assert_eq!(state(&scene), (true, true));
    assert!(!scene.node.is_open(two));
}

#[test]
fn what_was_set_up_is_told() {
    let config = Config::builder().max_peers(7).build().unwrap();
    let mut scene = Scene::with(config.clone());
    scene.node.listening(addr(1), scene.now);
    scene.node.add_bootstrap(addr(2), scene.now);
    assert_eq!((scene.node.id(), scene.node.config()), (id(1), &config));
    assert_eq!(scene.node.listen_addrs(), [addr(1)]);
    assert!(scene.node.addresses().eq([addr(2)]));
}

#[test]
fn what_is_held_is_counted_each_part() {
    let mut scene = Scene::with(Config::builder().validate("K").build().unwrap());
    let two = scene.meet(2);
    scene.events();
    assert_eq!(scene.node.buffered(), 0);
    scene.message(two, (2, 1), 1);
    let events = scene.node.events.charged();
    assert!(events > 0 && scene.node.buffered() == events);
    scene.events();
    scene.node.received(two, b"{\"ms", scene.now);
    let unfinished = scene.node.buffered();
    assert!(unfinished >= 4 && unfinished == scene.node.links.buffered());
    scene.say(two, r#"gtype":"x"}"#);
    scene.node.send(&PeerId::Node(id(9)), "K", &body("m"), scene.now).unwrap();
    scene.heard(two, "");
    assert_eq!(scene.node.buffered(), scene.node.seeks.bytes());
    let text = "x".repeat(50);
    scene.node.request(&PeerId::Node(id(2)), "K", &body(&text), SECOND, scene.now).unwrap();
    scene.heard(two, "");
    assert_eq!(scene.node.buffered(), scene.node.seeks.bytes() + "K".len() + text.len() + 2);
}

#[test]
fn a_clock_gone_wild_is_told_as_the_latest_time_there_is() {
    let mut scene = Scene::new();
    let two = scene.meet(2);
    let latest = (1 << 53) - 1;
    for (clock, said) in [(5, 5), (latest, latest), (latest + 1, latest), (u64::MAX, latest)] {
        scene.node.wall_clock(UnixTime::from_millis(clock), scene.now);
        scene.node.send(&PeerId::Node(id(2)), "K", &body("m"), scene.now).unwrap();
        assert_eq!(value(&scene.heard(two, "message")[0], "time"), said.to_string());
    }
}

#[test]
fn who_dialled_us_is_known_also_of_a_rival() {
    let mut scene = Scene::new();
    let two = scene.meet(2);
    let three = scene.dial(3);
    assert_eq!(scene.node.inbound_peers(), 1);
    assert_eq!([two, three].map(|conn| scene.node.is_accepted(conn)), [true, false]);
    assert!(!scene.node.has_dialled_us(&PeerId::Node(id(3))));
    let rival = scene.node.accepted(addr(33), scene.now).unwrap();
    assert!(scene.node.is_accepted(rival));
    scene.node.ready_mut(three).unwrap().alive.asked(scene.now);
    scene.now = scene.now + SECOND * 5;
    scene.greet(rival, 3);
    assert_eq!(scene.node.inbound_peers(), 2);
    assert!(scene.node.has_dialled_us(&PeerId::Node(id(3))));
}

// ---- addresses ----

#[test]
fn who_asks_is_told_who_was_reached_or_says_where_it_is() {
    let mut scene = Scene::new();
    scene.dial(3);
    scene.meet_at("192.0.2.4:777", 4, r#""listen":40004"#);
    scene.meet(5); // does not say where
    scene.node.add_bootstrap(addr(6), scene.now); // nobody was ever there
    let two = scene.meet(2);
    scene.run_for(SECOND * 2);
    let names = [3, 4].map(|number| id(number).to_string());
    let addrs = ["192.0.2.3:40000", "192.0.2.4:40004"];
    let mut told = scene.told_of(two, "");
    told.sort();
    let expected = [0, 1].map(|at| (addrs[at].to_string(), names[at].clone(), 2));
    assert_eq!(told, expected);
    for (max, count) in [(0, 0), (1, 1), (2, 2), (3, 2)] {
        assert_eq!(scene.told_of(two, &format!(r#","max":{max}"#)).len(), count);
    }
}

#[test]
fn nobody_is_told_of_itself() {
    let mut scene = Scene::new();
    let (five, six) = (PeerId::Node(id(5)), PeerId::Node(id(6)));
    scene.reached("192.0.2.2:40000", &five); // where 2 dials from
    scene.reached("192.0.2.3:40003", &five); // where 3 listens
    scene.reached("192.0.2.7:40007", &six); // who 6 is
    let two = scene.meet(2);
    let three = scene.meet_at("192.0.2.3:777", 3, r#""listen":40003"#);
    let six = scene.meet_at("192.0.2.6:777", 6, r#""listen":40006"#);
    let all = ["192.0.2.2:40000", "192.0.2.3:40003", "192.0.2.6:40006", "192.0.2.7:40007"];
    for (conn, but) in [(two, &[0][..]), (three, &[1][..]), (six, &[2, 3][..])] {
        let told = scene.places(conn);
        let expected = (0..4).filter(|at| !but.contains(at)).map(|at| all[at].to_string());
        assert_eq!(told, expected.collect(), "all but {but:?}");
    }
}

#[test]
fn who_was_silent_for_longer_than_is_advertised_is_not_told() {
    let mut scene = Scene::new();
    scene.reached("192.0.2.3:40000", &PeerId::Node(id(3)));
    scene.now = scene.now + Limits::default().advertise_within;
    let two = scene.meet(2);
    assert_eq!(scene.told_of(two, "")[0].2, 240);
    scene.now = scene.now + Duration::from_nanos(1);
    scene.say(two, "");
    assert!(scene.told_of(two, "").is_empty());
}

#[test]
fn of_a_large_book_a_share_is_told_and_the_same_to_a_whole_group() {
    for (count, told) in [(64, 64), (65, 14), (100, 23)] {
        let mut scene = Scene::new();
        fill(&mut scene, count);
        let [two, three] = [2, 3].map(|number| scene.meet(number));
        let other = scene.meet_at("198.51.100.4:777", 4, r#""max":1"#);
        let [first, second, third] = [two, three, other].map(|conn| scene.places(conn));
        assert_eq!([first.len(), second.len(), third.len()], [told; 3]);
        assert!(first == second && (first == third) == (count == 64));
        scene.now = scene.now + Limits::default().advertise_within + SECOND;
        let kept = if count > 64 { first } else { BTreeSet::new() };
        assert_eq!(scene.places(two), kept, "nobody was heard for long");
    }
}

#[test]
fn a_private_address_is_a_group_of_its_own_and_hears_others_each_time() {
    let mut scene = Scene::new();
    fill(&mut scene, 65);
    let two = scene.meet_at("10.0.0.2:777", 2, r#""max":1"#);
    let [first, second] = [0, 1].map(|_| scene.places(two));
    assert_eq!([first.len(), second.len()], [14; 2]);
    assert_ne!(first, second);
}

#[test]
fn no_more_is_told_than_an_answer_holds() {
    let mut scene = Scene::limited(|limits| limits.addr_answer = 3);
    fill(&mut scene, 65);
    let two = scene.meet(2);
    assert_eq!(scene.told_of(two, "").len(), 3);
}

/// What one of version 0 is told at first, and after a question.
fn told_v0(scene: &mut Scene) -> Vec<(String, String, u64)> {
    let conn = scene.node.accepted(addr(2), scene.now).unwrap();
    scene.say(conn, r#"{"msgtype":"hello","version":0,"nodeid":"old"}"#);
    let first = scene.heard(conn, "addr");
    assert_eq!(first.len(), 1);
    scene.told_of(conn, "")
}

#[test]
fn one_of_version_0_is_told_what_it_reads_at_once() {
    let guest = |len: usize| PeerId::Guest("g".repeat(len).into());
    for (names, expected) in [
        (&[2; 20][..], 16), // so many
        (&[2; 16], 16),
        (&[2; 15], 15),
        (&[64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 30], 11), // a thousand bytes
        (&[64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 31], 10),
    ] {
        let mut scene = Scene::new();
        for (at, len) in names.iter().enumerate() {
            scene.reached(&far(at), &guest(*len));
        }
        assert_eq!(told_v0(&mut scene).len(), expected, "{names:?}");
    }
    let mut scene = Scene::new();
    scene.reached("[2001:db8::3]:40000", &guest(2));
    scene.reached("192.0.2.3:40000", &PeerId::Node(id(3)));
    let told = told_v0(&mut scene);
    let expected = ("192.0.2.3:40000".into(), id(3).to_string(), 0);
    assert_eq!(told, [expected], "it knows no other addresses");
    let three = scene.meet(3);
    assert_eq!(scene.told_of(three, ""), [("[2001:db8::3]:40000".into(), "gg".into(), 0)]);
}

#[test]
fn who_finds_no_room_is_told_of_eight_nodes() {
    for (count, named) in [(0, 0), (7, 7), (8, 8), (9, 8)] {
        let mut scene = Scene::new();
        fill(&mut scene, count);
        scene.reached("192.0.2.3:40000", &PeerId::Guest("g".into()));
        let nodes: BTreeSet<_> = scene.node.alternatives().into_iter().collect();
        assert_eq!(nodes.len(), named);
        let known = |(addr, node): &(SocketAddr, NodeId)| {
            let entry = scene.node.book.get(*addr).unwrap();
            entry.peer == Some(PeerId::Node(*node))
        };
        assert!(nodes.iter().all(known));
    }
    let mut scene = Scene::new();
    fill(&mut scene, 20);
    assert_ne!(scene.node.alternatives(), scene.node.alternatives(), "others each time");
}

#[test]
fn where_we_are_seen_is_where_we_listen_and_is_not_learned() {
    let mut scene = Scene::new();
    let outside = |port: u16| SocketAddr::from(([203, 0, 113, 9], port));
    scene.node.overlay.external = Some(outside(1).ip());
    assert_eq!((scene.node.external_addr(), scene.node.is_listening(outside(5))), (None, false));
    scene.node.listening("0.0.0.0:5".parse().unwrap(), scene.now);
    assert_eq!(scene.node.external_addr(), Some(outside(5)));
    assert_eq!([5, 6].map(|port| scene.node.is_listening(outside(port))), [true, false]);
    let two = scene.meet(2);
    let budget = Budget::new(9, SECOND, scene.now);
    scene.node.ready_mut(two).unwrap().budget = budget;
    let [own, other] = [5, 6].map(outside);
    scene.counts("", |scene| {
        scene.say(two, &format!(r#"{{"msgtype":"addr","peers":[["{own}","x"],["{other}","x"]]}}"#));
    });
    assert!(scene.node.addresses().eq([other]));
}
