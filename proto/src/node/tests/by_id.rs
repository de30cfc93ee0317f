//! Links for routes: how large the network seems, which are dialled, asked and given up.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use alloc::collections::BTreeSet;

use super::told::far;
use super::*;
use crate::id::Side;
use crate::route::keyspace;
use crate::wire::caps::Caps;

/// What one says that knows of routes by keyspace, and one that wants nothing else.
const KNOWS: &str = r#""caps":["route/1"]"#;
const ALONE: &str = r#""caps":["route/1","id-link/1"]"#;

impl Scene {
    pub(super) fn keyspace(keyspace: Keyspace, change: impl FnOnce(&mut Limits)) -> Self {
        let mut limits = Limits::default();
        change(&mut limits);
        Self::with(Config::builder().keyspace(keyspace).limits(limits).build().unwrap())
    }

    /// A neighbour that routes by keyspace dials.
    pub(super) fn meet_by_id(&mut self, number: u8) -> ConnId {
        self.meet_at(&format!("192.0.2.{number}:40000"), number, KNOWS)
    }

    /// The book has so many addresses without nodes.
    fn know_guests(&mut self, count: usize) {
        for number in 0..count {
            self.reached(&far(number), &PeerId::Guest("g".into()));
        }
    }

    /// The book has nodes, each in a place of its own.
    fn know(&mut self, numbers: &[u8]) {
        for number in numbers {
            self.reached(&place(*number), &PeerId::Node(id(*number)));
        }
    }

    /// The nodes that were dialled for routes.
    fn dialled_by_id(&self) -> Vec<NodeId> {
        let known = |addr| self.node.book.get(addr).unwrap().peer.as_ref().unwrap().node();
        let ours = self.node.links.iter().filter(|(conn, _)| self.node.id_links.is_ours(*conn));
        let mut nodes: Vec<NodeId> = ours.map(|(_, link)| known(link.addr).unwrap()).collect();
        nodes.sort_unstable();
        nodes
    }
}

fn place(number: u8) -> String {
    format!("100.{number}.0.1:40000")
}

fn ids(numbers: &[u8]) -> Vec<NodeId> {
    numbers.iter().map(|number| id(*number)).collect()
}

// ---- how large the network seems ----

#[test]
fn the_size_rests_on_sixteen_tellings_of_known_nodes_far_from_us() {
    let mut scene = Scene::new();
    let two = scene.meet(2);
    scene.know_guests(2);
    scene.know(&[0x90]);
    let known = place(0x90);
    let tell = |scene: &mut Scene, times: usize, addr: &str, name: &str| {
        let pair = format!(r#"["{addr}","{name}"]"#);
        let pairs = vec![pair; times].join(",");
        scene.say(two, &format!(r#"{{"msgtype":"addr","peers":[{pairs}]}}"#));
    };
    let [away, near] = [0x90, 7].map(|number| id(number).to_string());
    tell(&mut scene, 20, &known, &near);
    tell(&mut scene, 20, &known, "guest");
    tell(&mut scene, 15, &known, &away);
    assert_eq!(scene.node.network_size(), None);
    tell(&mut scene, 1, &known, &away);
    assert_eq!(scene.node.network_size(), Some(3));
    tell(&mut scene, 16, "100.1.2.3:5", &away);
    assert_eq!(scene.node.network_size(), Some((17 * 3 + 15 * 4) / 31), "it is known then");
}

#[test]
fn a_network_is_large_from_five_thousand_on_and_until_it_is_half_as_large() {
    let mut scene = Scene::keyspace(Keyspace::Auto, |_| {});
    let two = scene.meet(2);
    scene.know_guests(99);
    scene.know(&[0x90]);
    let far = PeerId::Node(id(0x90));
    let tell = |scene: &mut Scene, addr: &str, times: usize| {
        for _ in 0..times {
            scene.node.note_told(two, Some(&far), addr.parse().unwrap());
        }
        (scene.node.network_size().unwrap_or_default(), scene.node.is_by_keyspace())
    };
    let (known, other) = (place(0x90), "100.1.2.3:5");
    assert_eq!(tell(&mut scene, &known, 16), (100, false));
    assert_eq!(tell(&mut scene, other, 783), (4993, false));
    assert_eq!(tell(&mut scene, other, 1), (5000, true));
    assert_eq!(tell(&mut scene, &known, 16), (2550, true));
    assert!(tell(&mut scene, other, 0).1);
    assert_eq!(tell(&mut scene, &known, 1), (2475, false));
}

#[test]
fn whether_routes_are_by_keyspace_is_set_or_seen() {
    for (keyspace, expected) in
        [(Keyspace::Off, false), (Keyspace::Auto, false), (Keyspace::On, true)]
    {
        assert_eq!(Scene::keyspace(keyspace, |_| {}).node.is_by_keyspace(), expected);
    }
}

#[test]
fn both_ends_have_to_know_of_it_and_the_dialler_says_what_it_is_for() {
    for (keyspace, more, expected) in [
        (Keyspace::Off, ALONE, (false, false)),
        (Keyspace::Auto, ALONE, (true, true)),
        (Keyspace::On, ALONE, (true, true)),
        (Keyspace::On, KNOWS, (true, false)),
        (Keyspace::On, r#""caps":["id-link/1"]"#, (false, false)),
        (Keyspace::On, r#""max":1"#, (false, false)),
    ] {
        let mut scene = Scene::keyspace(keyspace, |_| {});
        let two = scene.meet_at("192.0.2.2:1", 2, more);
        let found = (scene.node.is_by_keyspace_with(two), scene.node.is_routes_only(two));
        assert_eq!(found, expected, "{keyspace:?} {more}");
        // What we dial is for what we say.
        let three = scene.dial_at("192.0.2.3:1", 3, more);
        let found = (scene.node.is_by_keyspace_with(three), scene.node.is_routes_only(three));
        assert_eq!(found, (expected.0, false), "{keyspace:?} {more}");
    }
    let scene = Scene::keyspace(Keyspace::On, |_| {});
    let caps = Caps { route: true, routes_only: true };
    let nobody = Scene::new().meet(2);
    assert_eq!(scene.node.agreed(nobody, Side::Dialer, caps), (true, false));
    assert!(!scene.node.is_by_keyspace_with(nobody) && !scene.node.is_routes_only(nobody));
}

#[test]
fn the_nearest_neighbours_are_those_that_route_by_keyspace() {
    for (keyspace, expected) in [(Keyspace::On, ids(&[8, 0x0c, 0x40])), (Keyspace::Auto, ids(&[]))]
    {
        let mut scene = Scene::keyspace(keyspace, |_| {});
        for number in [0x40, 8, 0x0c] {
            scene.meet_by_id(number);
        }
        scene.meet(9);
        assert_eq!(scene.node.nearest_links(id(9)), expected);
    }
}

#[test]
fn who_routes_by_keyspace_is_told_first_whom_it_wants() {
    let mut scene = Scene::keyspace(Keyspace::On, |_| {});
    let all: Vec<u8> = (0x10..0x38).chain(0x80..0x98).collect();
    assert_eq!(all.len(), 64);
    scene.know(&all);
    let nearest = keyspace::nearest(id(2), ids(&all).into_iter(), 16);
    let nearest: BTreeSet<NodeId> = nearest.iter().copied().collect();
    let buckets = |nodes: &BTreeSet<NodeId>| -> BTreeSet<u32> {
        nodes.iter().map(|node| keyspace::bucket(id(2), *node)).collect()
    };
    let beyond = buckets(&ids(&all).into_iter().collect()).len() - buckets(&nearest).len();
    assert!(beyond > 0);
    let two = scene.meet_by_id(2);
    let three = scene.meet(3);
    let count = (nearest.len() + beyond) as u64;
    let told = |scene: &mut Scene, conn: ConnId| -> BTreeSet<NodeId> {
        let rows = scene.node.addresses_for(conn, Some(count));
        rows.into_iter().map(|(_, name, _)| name.parse().unwrap()).collect()
    };
    let first = told(&mut scene, two);
    assert!(
        first.is_superset(&nearest) && buckets(&first).len() == buckets(&nearest).len() + beyond
    );
    assert!(!told(&mut scene, three).is_superset(&nearest));
}

// ---- which are dialled ----

#[test]
fn links_are_dialled_where_enough_are_known_to_fill_each_bucket() {
    let planned = |keyspace: Keyspace, guests: usize| {
        let mut scene = Scene::keyspace(keyspace, |limits| limits.siblings = 1);
        scene.know_guests(guests);
        scene.know(&[0x80, 0x40, 0x41, 2]);
        scene.node.plan_id_links();
        scene
    };
    assert_eq!(planned(Keyspace::On, 27).dialled_by_id(), []);
    assert_eq!(planned(Keyspace::Auto, 28).dialled_by_id(), []);
    let scene = planned(Keyspace::On, 28);
    let dialled = scene.dialled_by_id();
    assert_eq!(dialled.len(), 3);
    assert!(dialled.starts_with(&ids(&[2])) && dialled.ends_with(&ids(&[0x80])));
    let again = scene.node.plan_at.unwrap();
    assert_eq!(again, scene.now + SECOND * 60, "the nearest are asked again");
}

#[test]
fn what_is_dialled_says_that_it_is_for_routes_and_is_no_peer_of_ours() {
    let mut scene = Scene::keyspace(Keyspace::On, |limits| limits.siblings = 1);
    scene.know_guests(32);
    scene.know(&[0x80]);
    scene.node.plan_id_links();
    let conn = scene.node.dialing(place(0x80).parse().unwrap()).unwrap();
    scene.node.connected(conn, scene.now);
    let hello = scene.heard(conn, "hello");
    assert_eq!(value(&hello[0], "caps"), r#"["route/1","id-link/1"]"#);
    scene.greet_with(conn, 0x80, KNOWS);
    assert!(scene.node.is_routes_only(conn) && scene.node.id_links.is_ours(conn));
    assert_eq!((scene.node.anchors(), scene.around().outbound), (vec![], 0));
    scene.node.closed(conn, TransportError::Reset, scene.now);
    assert!(!scene.node.id_links.is_ours(conn));
}

#[test]
fn no_more_are_dialled_than_there_may_be() {
    let dialled = |dials: usize, links: usize, max_peers: usize| {
        let mut limits = Limits { siblings: 1, ..Limits::default() };
        (limits.max_dialing, limits.id_links) = (dials, links);
        let builder = Config::builder().keyspace(Keyspace::On).max_peers(max_peers);
        let mut scene = Scene::with(builder.limits(limits).build().unwrap());
        scene.know_guests(32);
        scene.know(&[0x80, 0x40, 0x20, 0x10]);
        scene.meet(8);
        scene.node.dial("192.0.2.77:1".parse().unwrap(), scene.now).unwrap();
        scene.node.plan_id_links();
        let first = scene.dialled_by_id().len();
        scene.node.plan_id_links();
        assert_eq!(scene.dialled_by_id().len(), first, "no more the second time");
        first
    };
    assert_eq!(dialled(9, 9, 0), 4);
    assert_eq!([1, 2, 3].map(|dials| dialled(dials, 9, 0)), [0, 1, 2]);
    assert_eq!([0, 1, 3].map(|links| dialled(9, links, 0)), [0, 1, 3]);
    assert_eq!([1, 2, 3].map(|peers| dialled(9, 9, peers)), [0, 1, 2]);
}

#[test]
fn only_who_is_known_free_and_due_is_dialled() {
    let mut scene = Scene::keyspace(Keyspace::On, |limits| limits.siblings = 9);
    scene.know_guests(32);
    scene.know(&[1, 2, 3, 4, 5, 6]); // ourselves, three that are not free, one at rest
    scene.node.discourage(place(2).parse::<SocketAddr>().unwrap().ip());
    scene.meet_at(&place(3), 7, r#""max":1"#); // another is there
    scene.meet(4); // it is linked
    let rests = place(5).parse().unwrap();
    scene.node.book.hold(rests, SECOND * 5, scene.now);
    scene.node.plan_id_links();
    assert_eq!(scene.dialled_by_id(), ids(&[6]));
    scene.now = scene.now + SECOND * 5;
    scene.node.now = scene.now;
    scene.node.plan_id_links();
    assert_eq!(scene.dialled_by_id(), ids(&[5, 6]));
}

// ---- which are given up, and asked ----

/// Two links for routes in one bucket, which others made superfluous.
fn superfluous(change: impl FnOnce(&mut Limits)) -> (Scene, [ConnId; 2]) {
    let mut scene = Scene::keyspace(Keyspace::On, |limits| {
        limits.siblings = 2;
        change(limits);
    });
    scene.know_guests(32);
    scene.know(&[0x80, 0x81]);
    scene.node.plan_id_links();
    assert_eq!(scene.dialled_by_id(), ids(&[0x80, 0x81]));
    let conns = [0x80, 0x81].map(|number| {
        let conn = scene.node.dialing(place(number).parse().unwrap()).unwrap();
        scene.node.connected(conn, scene.now);
        scene.greet_with(conn, number, KNOWS);
        conn
    });
    for number in [2, 3] {
        scene.meet_by_id(number); // nearer
    }
    (scene, conns)
}

#[test]
fn a_link_that_is_not_needed_is_given_up_once_in_a_while() {
    let (mut scene, conns) = superfluous(|_| {});
    scene.node.plan_id_links();
    assert_eq!(scene.dialled_by_id().len(), 2, "not yet");
    scene.now = scene.now + SECOND * 60;
    scene.node.now = scene.now;
    scene.node.plan_id_links();
    // The distance of 0x81 from us is the smaller one.
    assert_eq!(scene.dialled_by_id(), ids(&[0x81]));
    let bye = scene.heard(conns[0], "bye");
    assert_eq!(bye, [r#"{"msgtype":"bye","reason":"other"}"#]);
    scene.now = scene.now + SECOND * 60;
    scene.node.now = scene.now;
    scene.node.plan_id_links();
    assert_eq!(scene.dialled_by_id(), ids(&[0x81]), "its bucket has no other");
}

#[test]
fn a_link_that_is_not_needed_is_given_up_at_once_where_there_are_as_many_as_may_be() {
    for (most, left) in [(2, 1), (3, 2)] {
        let (mut scene, _) = superfluous(|limits| limits.id_links = most);
        scene.node.plan_id_links();
        assert_eq!(scene.dialled_by_id().len(), left, "{most}");
    }
}

#[test]
fn a_link_that_the_application_wants_or_that_is_one_like_others_stays() {
    let (mut scene, conns) = superfluous(|limits| limits.id_links = 2);
    scene.node.overlay.asked_for(conns[0]);
    scene.node.plan_id_links();
    assert_eq!(scene.dialled_by_id(), ids(&[0x80]), "the other one went");
    let (mut scene, conns) = superfluous(|limits| limits.id_links = 2);
    for conn in conns {
        scene.node.ready_mut(conn).unwrap().routes_only = false;
    }
    scene.node.plan_id_links();
    assert_eq!(scene.dialled_by_id().len(), 2);
}

#[test]
fn the_two_nearest_are_asked_each_minute_and_what_they_tell_more_often_counts_not() {
    let mut scene = Scene::keyspace(Keyspace::On, |_| {});
    scene.know_guests(31);
    scene.know(&[0x90]);
    let conns = [2, 3, 0x40].map(|number| scene.meet_by_id(number));
    scene.node.plan_id_links();
    let asked = |scene: &mut Scene| conns.map(|conn| scene.heard(conn, "getaddr").len());
    assert_eq!(asked(&mut scene), [1, 1, 0]);
    let far = PeerId::Node(id(0x90));
    for (conn, expected) in [(conns[0], None), (conns[2], Some(32))] {
        for _ in 0..16 {
            scene.node.note_told(conn, Some(&far), place(0x90).parse().unwrap());
        }
        assert_eq!(scene.node.network_size(), expected);
    }
    let start = scene.now;
    for (time, expected) in [
        (SECOND * 60 - Duration::from_nanos(1), [0, 0, 0]),
        (SECOND * 60, [1, 1, 0]),
        (SECOND * 61, [0, 0, 0]),
    ] {
        scene.now = start + time;
        scene.node.now = scene.now;
        scene.node.plan_id_links();
        assert_eq!(asked(&mut scene), expected, "{time:?}");
    }
}

// ---- when there is no other ----

#[test]
fn where_all_links_are_for_routes_one_after_the_other_is_dialled_anew() {
    let mut scene = Scene::keyspace(Keyspace::On, |limits| limits.siblings = 2);
    scene.know_guests(32);
    scene.know(&[0x80, 0x81]);
    scene.node.plan_id_links();
    let conns = [0x80, 0x81].map(|number| {
        let conn = scene.node.dialing(place(number).parse().unwrap()).unwrap();
        scene.node.connected(conn, scene.now);
        scene.greet_with(conn, number, KNOWS);
        conn
    });
    let other = scene.meet_by_id(2);
    scene.node.turn_an_id_link();
    assert_eq!(scene.dialled_by_id().len(), 2, "broadcasts go by another");

    scene.node.closed(other, TransportError::Reset, scene.now);
    let soon = Some(scene.now + Duration::from_millis(200));
    for _ in 0..2 {
        assert_eq!(scene.node.turn_an_id_link(), soon);
        assert_eq!(scene.dialled_by_id(), ids(&[0x81]), "one at a time");
    }
    let bye = scene.heard(conns[0], "bye");
    assert_eq!(bye, [r#"{"msgtype":"bye","reason":"other"}"#]);
    let dialing = |scene: &Scene, number| scene.node.dialing(place(number).parse().unwrap());
    assert_eq!(dialing(&scene, 0x80), None, "it is not gone yet");
    scene.node.closed(conns[0], TransportError::Eof, scene.now);
    assert_eq!(scene.node.turn_an_id_link(), None);
    let again = dialing(&scene, 0x80).unwrap();
    assert_eq!(scene.node.turn_an_id_link(), None);
    scene.node.closed(again, TransportError::Refused, scene.now);
    assert_eq!(scene.node.turn_an_id_link(), soon, "that one was not there");
    assert_eq!(scene.dialled_by_id(), ids(&[]));
    scene.node.closed(conns[1], TransportError::Reset, scene.now);
    assert_eq!(scene.node.turn_an_id_link(), None);
    let again = dialing(&scene, 0x81).unwrap();
    scene.node.connected(again, scene.now);
    let hello = scene.heard(again, "hello");
    assert!(hello.len() == 1 && !hello[0].contains("id-link"), "{hello:?}");
    scene.greet_with(again, 0x81, KNOWS);
    assert!(!scene.node.is_routes_only(again));
    scene.node.turn_an_id_link();
    assert!(scene.node.is_open(again), "there is one again");
}

#[test]
fn who_dialled_us_for_routes_is_dialled_where_it_says_it_listens() {
    let mut scene = Scene::keyspace(Keyspace::On, |_| {});
    let silent = scene.meet_at("192.0.2.3:1", 3, ALONE);
    scene.node.turn_an_id_link();
    assert!(scene.heard(silent, "bye").is_empty(), "nobody knows where");
    let two = scene.meet_at("192.0.2.2:1", 2, &format!(r#"{ALONE},"listen":7"#));
    scene.node.turn_an_id_link();
    assert_eq!(scene.heard(two, "bye").len(), 1);
    scene.node.closed(two, TransportError::Eof, scene.now);
    scene.node.turn_an_id_link();
    assert!(scene.node.dialing("192.0.2.2:7".parse().unwrap()).is_some());
}
