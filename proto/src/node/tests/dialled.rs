//! Whom a node dials beyond the usual, whom it gives up for another, and where it says it is.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use super::told::far;
use super::*;
use crate::config::Listen;
use crate::group::Group;
use crate::id::Side;
use crate::overlay::Groups;

/// A node that wants one peer of its own, and feels for others or changes them.
fn probing(probe: Probe, change: impl FnOnce(&mut Limits)) -> Scene {
    let mut scene = Scene::limited(|limits| {
        (limits.full_mesh, limits.target_outbound) = (0, 1);
        let (often, never) = (SECOND, SECOND * 1_000_000);
        (limits.feeler_every, limits.rotate_every) = match probe {
            Probe::Feeler => (often, never),
            Probe::Rotation => (never, often),
        };
        change(limits);
    });
    scene.dial_at(&far(1), 1 + 1, r#""max":1"#);
    scene
}

/// What is dialled, and for what, when something else is to be tried.
fn tried(scene: &mut Scene) -> Vec<(SocketAddr, Option<Probe>)> {
    let dials = |scene: &Scene| -> Vec<(ConnId, SocketAddr)> {
        let dialled = scene.node.links.iter().filter(|(_, link)| link.side == Side::Dialer);
        dialled.map(|(conn, link)| (conn, link.addr)).collect()
    };
    let before = dials(scene);
    let Node { overlay, rng, .. } = &mut scene.node;
    overlay.complete(scene.now, rng);
    scene.now = scene.now + SECOND * 2;
    scene.node.now = scene.now;
    scene.node.tend_overlay();
    let new = dials(scene).into_iter().filter(|dial| !before.contains(dial));
    new.map(|(conn, addr)| (addr, scene.node.overlay.purpose(conn))).collect()
}

fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// Somebody tells of an address.
fn learn(scene: &mut Scene, addr: &str) {
    let Node { book, rng, .. } = &mut scene.node;
    assert!(book.learn(at(addr), None, at("198.51.100.1:1"), scene.now, rng));
}

// ---- others are tried ----

#[test]
fn a_feeler_goes_to_who_was_given_and_is_not_connected() {
    let mut scene = probing(Probe::Feeler, |_| {});
    assert_eq!(tried(&mut scene), [], "nobody else is known");
    learn(&mut scene, &far(5));
    assert_eq!(tried(&mut scene), [], "it was not given");
    scene.node.add_bootstrap(at(&far(1)), scene.now);
    assert_eq!(tried(&mut scene), [], "it is connected");
    scene.node.add_bootstrap(at(&far(2)), scene.now);
    scene.node.discourage(at(&far(2)).ip());
    assert_eq!(tried(&mut scene), [], "it broke the protocol");
    scene.node.add_bootstrap(at(&far(3)), scene.now);
    assert_eq!(tried(&mut scene), [(at(&far(3)), Some(Probe::Feeler))]);
    assert!(scene.node.plan_at.is_some(), "what is next is thought about");
    scene.node.add_bootstrap(at(&far(4)), scene.now);
    assert_eq!(tried(&mut scene), [], "one at a time");
}

#[test]
fn a_rotation_goes_to_anybody_not_connected() {
    let mut scene = probing(Probe::Rotation, |_| {});
    assert_eq!(tried(&mut scene), []);
    learn(&mut scene, &far(5));
    assert_eq!(tried(&mut scene), [(at(&far(5)), Some(Probe::Rotation))]);
}

#[test]
fn nobody_is_tried_beyond_the_dials_there_may_be() {
    for (most, expected) in [(1, 0), (2, 1)] {
        let mut scene = probing(Probe::Feeler, |limits| limits.max_dialing = most);
        scene.node.add_bootstrap(at(&far(2)), scene.now);
        scene.node.dial(at(&far(3)), scene.now).unwrap();
        assert_eq!(tried(&mut scene).len(), expected, "{most}");
    }
}

#[test]
fn nobody_is_tried_while_peers_are_missing_or_events_are_too_many() {
    let given = |target: usize| {
        let mut scene = probing(Probe::Feeler, |limits| limits.target_outbound = target);
        scene.node.add_bootstrap(at(&far(2)), scene.now);
        scene
    };
    assert_eq!([1, 2].map(|target| tried(&mut given(target)).len()), [1, 0]);
    let mut scene = given(1);
    scene.fall_behind();
    assert_eq!(tried(&mut scene), []);
    scene.events();
    assert_eq!(tried(&mut scene).len(), 1);
    let mut scene = given(1);
    scene.node.shutdown(SECOND * 9, scene.now);
    assert_eq!(tried(&mut scene), []);
}

#[test]
fn no_peer_is_changed_where_no_other_has_room() {
    for (max_peers, expected) in [(1, 0), (2, 0), (3, 1), (0, 1)] {
        let mut limits = Limits { full_mesh: 0, target_outbound: 1, ..Limits::default() };
        (limits.feeler_every, limits.rotate_every) = (SECOND * 1_000_000, SECOND);
        let config = Config::builder().limits(limits).max_peers(max_peers).build().unwrap();
        let mut scene = Scene::with(config);
        scene.dial_at(&far(1), 2, r#""max":1"#);
        scene.node.dial(at(&far(2)), scene.now).unwrap();
        learn(&mut scene, &far(5));
        assert_eq!(tried(&mut scene).len(), expected, "{max_peers}");
    }
}

#[test]
fn where_two_share_a_group_another_is_looked_for_at_once() {
    let known = |others: &[&str]| {
        let mut scene = probing(Probe::Feeler, |_| {});
        scene.dial_at("20.1.7.7:40000", 3, r#""max":1"#); // the group of the first
        others.iter().for_each(|addr| learn(&mut scene, addr));
        tried(&mut scene)
    };
    let apart = far(5);
    assert_eq!(known(&["20.1.8.8:40000"]), [], "it is in the same");
    assert_eq!(known(&[&apart]), [(at(&apart), Some(Probe::Rotation))]);
    assert_eq!(known(&["20.1.8.8:40000", &apart]), [(at(&apart), Some(Probe::Rotation))]);
}

#[test]
fn an_address_of_a_free_group_is_chosen_and_of_another_only_if_there_is_none() {
    let drawn = |others: &[&str]| {
        let mut scene = probing(Probe::Feeler, |_| {});
        others.iter().for_each(|addr| learn(&mut scene, addr));
        let around = scene.around();
        let mut groups = Groups::new(false, &around);
        let drawn = scene.node.select(false, &around, &mut groups);
        (drawn, drawn.map(|addr| groups.may(Group::of(addr, true))))
    };
    let (same, apart) = ("20.1.8.8:40000", far(5));
    assert_eq!(drawn(&[]), (None, None));
    assert_eq!(drawn(&[same]), (Some(at(same)), Some(true)), "there is none");
    for _ in 0..8 {
        assert_eq!(drawn(&[same, "20.1.9.9:1", &apart]), (Some(at(&apart)), Some(false)));
    }
}

#[test]
fn who_broke_the_protocol_is_not_dialled_and_not_waited_for() {
    let mut scene = probing(Probe::Feeler, |_| {});
    learn(&mut scene, &far(5));
    let drawn = |scene: &mut Scene| {
        let around = scene.around();
        let mut groups = Groups::new(true, &around);
        let due = scene.node.next_due(false, &around, &groups);
        (scene.node.select(false, &around, &mut groups), due.is_some())
    };
    assert_eq!((drawn(&mut scene).0, scene.node.discouraged()), (Some(at(&far(5))), 0));
    scene.node.discourage(at(&far(5)).ip());
    assert!(scene.node.is_discouraged(at(&far(5)).ip()));
    assert!(!scene.node.is_discouraged(at(&far(6)).ip()));
    assert_eq!((drawn(&mut scene), scene.node.discouraged()), ((None, false), 1));
}

// ---- who comes ----

#[test]
fn whom_a_feeler_meets_is_left_again() {
    let mut scene = probing(Probe::Feeler, |_| {});
    let conn = scene.node.open_dial(at(&far(2)));
    scene.node.overlay.probing(conn, Probe::Feeler);
    scene.node.connected(conn, scene.now);
    scene.events();
    scene.counts("connections_closed 1, felt 1", |scene| {
        let said = format!(r#"{{"msgtype":"hello","version":1,"nodeid":"{}"}}"#, id(7));
        scene.say(conn, &said);
    });
    assert_eq!(scene.heard(conn, "bye"), [r#"{"msgtype":"bye","reason":"other"}"#]);
    assert!(matches!(&scene.events()[..], [Event::ConnectionFailed { .. }]));
    assert_eq!(scene.node.peer_count(), 1);
    assert!(scene.node.book.get(at(&far(2))).unwrap().proven);
    assert!(!scene.node.overlay.is_probing(), "another may follow");
}

#[test]
fn one_more_than_usual_is_left_again_when_there_are_enough() {
    // One awake peer of ours, or none, and as many as are wanted.
    for (target, is_suspect, felt) in [(0, false, 1), (1, false, 1), (2, false, 0), (1, true, 0)] {
        let mut scene = probing(Probe::Feeler, |limits| limits.target_outbound = target);
        if is_suspect {
            let limits = Limits::default();
            scene.run_for(limits.ping_after + limits.suspect_max);
        }
        let conn = scene.node.open_dial(at(&far(2)));
        scene.node.overlay.dialled_extra(conn);
        scene.node.connected(conn, scene.now);
        scene.greet(conn, 7);
        assert_eq!(scene.node.stats().felt, felt, "{target} {is_suspect}");
        assert_eq!(scene.node.peer(&PeerId::Node(id(7))).is_none(), felt == 1);
    }
    let mut scene = probing(Probe::Feeler, |_| {});
    scene.dial_at(&far(2), 7, r#""max":1"#);
    assert_eq!(scene.node.stats().felt, 0, "it was none");
}

#[test]
fn dials_that_meet_nobody_allow_for_more_and_one_that_meets_somebody_for_fewer() {
    let mut scene = probing(Probe::Feeler, |limits| limits.urgent_dialing = 8 + 13);
    assert_eq!(scene.node.spare_dials(), 13);
    let spare = |scene: &Scene| scene.node.overlay.spare_dials();
    for expected in [3, 6, 9, 12, 13, 13] {
        scene.node.open_dial(at(&far(3)));
        for _ in 0..10 {
            scene.run_for(SECOND);
            let peer = scene.node.peers().next().unwrap().conn;
            scene.say(peer, "");
        }
        assert_eq!(spare(&scene), expected);
    }
    scene.meet(9);
    assert_eq!(spare(&scene), 13, "who dials us says nothing of whom we dial");
    scene.dial_at(&far(4), 7, r#""max":1"#);
    assert_eq!(spare(&scene), 1);
}

#[test]
fn a_peer_that_came_for_another_takes_the_place_of_the_one_of_least_use() {
    let changed = |target: usize, full_mesh: usize| {
        let mut scene = probing(Probe::Rotation, |limits| {
            (limits.target_outbound, limits.full_mesh) = (target, full_mesh);
        });
        for number in [3, 4] {
            scene.now = scene.now + SECOND;
            let conn = scene.node.open_dial(at(&far(number.into())));
            scene.node.connected(conn, scene.now);
            scene.greet(conn, number);
        }
        let conn = scene.node.open_dial(at(&far(5)));
        scene.node.overlay.probing(conn, Probe::Rotation);
        scene.node.connected(conn, scene.now);
        scene.events();
        let before = scene.node.stats().rotated;
        scene.greet(conn, 5);
        assert!(!scene.node.overlay.is_probing());
        let gone = scene.events().into_iter().find_map(|event| {
            let Event::PeerDown { peer, reason, .. } = event else { return None };
            Some((peer, reason))
        });
        assert_eq!(scene.node.stats().rotated - before, u64::from(gone.is_some()));
        gone
    };
    let four = Some((PeerId::Node(id(4)), CloseReason::Local));
    assert_eq!([2, 3, 4].map(|target| changed(target, 0)), [four.clone(), four.clone(), None]);
    assert_eq!([3, 4].map(|full_mesh| changed(1, full_mesh)), [four, None]);
}

#[test]
fn who_dials_us_changes_nothing_of_whom_we_dialled() {
    let mut scene = probing(Probe::Rotation, |_| {});
    for number in [3, 4] {
        scene.dial_at(&far(number.into()), number, r#""max":1"#);
    }
    scene.meet(9);
    assert_eq!((scene.node.stats().rotated, scene.node.peer_count()), (0, 4));
}

#[test]
fn a_node_alone_for_long_says_so_once() {
    let isolated = |scene: &mut Scene| {
        scene.events().iter().filter(|event| matches!(event, Event::Isolated)).count()
    };
    let after = Limits::default().isolated_after;
    let mut scene = Scene::new();
    scene.run_for(after - Duration::from_nanos(1));
    assert_eq!(isolated(&mut scene), 0);
    scene.run_for(Duration::from_nanos(1));
    assert_eq!(isolated(&mut scene), 1);
    scene.run_for(after * 3);
    assert_eq!(isolated(&mut scene), 0);
    let mut scene = Scene::new();
    let two = scene.meet(2);
    scene.run_for(after / 6);
    for _ in 0..9 {
        scene.say(two, "");
        scene.run_for(after / 6);
    }
    assert_eq!(isolated(&mut scene), 0, "somebody was there");
    scene.node.closed(two, TransportError::Reset, scene.now);
    scene.run_for(after);
    assert_eq!(isolated(&mut scene), 1);
}

#[test]
fn a_full_node_lets_the_youngest_go_that_nothing_speaks_for() {
    let mut scene = Scene::limited(|limits| limits.max_inbound = 4);
    let meet = |scene: &mut Scene, number: u8| {
        scene.now = scene.now + SECOND;
        scene.meet_at(&far(number.into()), number, r#""max":1"#)
    };
    let conns = [2, 3, 4, 5].map(|number| meet(&mut scene, number));
    scene.events();
    scene.counts("connections_opened 1, connections_closed 1, evicted 1", |scene| {
        meet(scene, 6);
    });
    let gone = |scene: &mut Scene| {
        scene.events().into_iter().find_map(|event| {
            let Event::PeerDown { conn, reason, .. } = event else { return None };
            Some((conn, reason))
        })
    };
    let full = CloseReason::Full { peers: 4, limit: 4 };
    assert_eq!(gone(&mut scene), Some((conns[3], full.clone())));
    let bye = scene.heard(conns[3], "bye");
    assert_eq!((bye.len(), value(&bye[0], "reason")), (1, r#""full""#.into()));
    scene.node.discourage(at(&far(3)).ip());
    meet(&mut scene, 7);
    assert_eq!(gone(&mut scene), Some((conns[1], full.clone())), "it broke the protocol");
    // What it was the first to bring speaks for one.
    let six = scene.node.peers.conn(&PeerId::Node(id(6))).unwrap();
    let seven = scene.node.peers.conn(&PeerId::Node(id(7))).unwrap();
    scene.node.count_news(seven, 1);
    meet(&mut scene, 8);
    assert_eq!(gone(&mut scene), Some((six, full.clone())));
    // So does a short way.
    let eight = scene.node.peers.conn(&PeerId::Node(id(8))).unwrap();
    scene.node.ping(eight);
    scene.say(eight, r#"{"msgtype":"pong"}"#);
    meet(&mut scene, 9);
    assert_eq!(gone(&mut scene), Some((conns[2], full)));
}

#[test]
fn whom_we_dialled_does_not_give_way() {
    let mut scene = Scene::limited(|limits| limits.max_inbound = 1);
    scene.dial(2);
    scene.node.make_room_for_inbound(1);
    assert_eq!((scene.node.stats().evicted, scene.node.peer_count()), (0, 1));
}

// ---- whom to return to ----

#[test]
fn the_two_longest_there_are_the_anchors_and_stay_so_without_peers() {
    let mut scene = Scene::new();
    let anchors = |scene: &Scene| scene.node.book.anchors().to_vec();
    scene.meet(9);
    let mut conns = Vec::new();
    for number in [2, 3, 4] {
        scene.now = scene.now + SECOND;
        conns.push(scene.dial(number));
    }
    assert_eq!(scene.node.anchors(), [addr(2), addr(3)]);
    scene.node.remember_anchors();
    assert_eq!(anchors(&scene), [addr(2), addr(3)]);
    for conn in conns {
        scene.node.closed(conn, TransportError::Reset, scene.now);
    }
    scene.node.remember_anchors();
    assert_eq!((anchors(&scene), scene.node.anchors()), (vec![addr(2), addr(3)], vec![]));
}

#[test]
fn a_rival_that_we_dialled_is_no_anchor_before_it_carries_its_peer() {
    let mut scene = Scene::new();
    scene.meet(0);
    let dialled = scene.dial(0);
    assert!(scene.node.ready_mut(dialled).is_some());
    assert_eq!(scene.node.anchors(), []);
}

// ---- where we are ----

/// Peers of so many groups, dialled or not, say that they see us there.
fn seen(scene: &mut Scene, groups: u8, dialled: bool, you: &str) {
    for number in 2..2 + groups {
        let (addr, more) = (far(number.into()), format!(r#""you":"{you}""#));
        match dialled {
            true => scene.dial_at(&addr, number, &more),
            false => scene.meet_at(&addr, number, &more),
        };
    }
}

#[test]
fn we_are_where_three_groups_that_we_dialled_see_us() {
    let you = "203.0.113.9:7";
    for (groups, dialled, known) in [(2, true, false), (3, true, true), (4, false, false)] {
        let mut scene = Scene::new();
        scene.node.listening(at("192.0.2.1:5"), scene.now);
        seen(&mut scene, groups, dialled, you);
        let expected = known.then(|| at("203.0.113.9:5"));
        assert_eq!(scene.node.external_addr(), expected, "{groups} {dialled}");
        let is_own = scene.node.book.is_own(at("203.0.113.9:5"), scene.now);
        assert_eq!(is_own, known);
    }
}

#[test]
fn where_we_are_is_taken_up_once() {
    let mut scene = Scene::new();
    scene.node.listening(at("192.0.2.1:5"), scene.now);
    seen(&mut scene, 3, true, "203.0.113.9:7");
    scene.now = scene.now + Limits::default().own_address;
    assert!(!scene.node.book.is_own(at("203.0.113.9:5"), scene.now));
    for conn in scene.node.peers().map(|peer| peer.conn).collect::<Vec<_>>() {
        scene.say(conn, "");
    }
    scene.dial_at(&far(9), 9, r#""you":"203.0.113.9:7""#);
    assert!(!scene.node.book.is_own(at("203.0.113.9:5"), scene.now), "it was known");
}

#[test]
fn our_port_is_the_advertised_one_or_the_first_we_listen_at() {
    for (advertise, expected) in [
        (None, "203.0.113.9:5"),
        (Some(Listen::Port(6)), "203.0.113.9:6"),
        (Some(Listen::Addr(at("198.51.100.1:7"))), "203.0.113.9:7"),
    ] {
        let builder = Config::builder();
        let config = match advertise {
            Some(listen) => builder.advertise(listen).build(),
            None => builder.build(),
        };
        let mut scene = Scene::with(config.unwrap());
        assert_eq!(scene.node.external_addr(), None, "nobody has seen us");
        scene.node.overlay.external = Some(at("203.0.113.9:1").ip());
        assert_eq!(scene.node.external_addr().is_some(), advertise.is_some(), "nobody listens");
        scene.node.listening(at("192.0.2.1:5"), scene.now);
        scene.node.listening(at("192.0.2.1:8"), scene.now);
        assert_eq!(scene.node.external_addr(), Some(at(expected)));
    }
}

#[test]
fn who_is_outside_is_told_where_we_are_seen_and_others_our_port() {
    let mut scene = Scene::new();
    let listens = |scene: &Scene, peer: &str| scene.node.listens_for(at(peer));
    assert_eq!(listens(&scene, "198.51.100.1:1"), None, "nobody listens");
    scene.node.listening(at("0.0.0.0:5"), scene.now);
    assert_eq!(listens(&scene, "198.51.100.1:1"), Some(Listen::Port(5)));
    scene.node.overlay.external = Some(at("203.0.113.9:1").ip());
    let outside = Some(Listen::Addr(at("203.0.113.9:5")));
    assert_eq!(listens(&scene, "198.51.100.1:1"), outside);
    for local in ["127.0.0.1:1", "10.0.0.1:1", "[::1]:1"] {
        assert_eq!(listens(&scene, local), Some(Listen::Port(5)), "{local}");
    }
    scene.node.overlay.external = Some(at("10.0.0.9:1").ip());
    assert_eq!(listens(&scene, "198.51.100.1:1"), Some(Listen::Port(5)));
    let set = Config::builder().advertise(Listen::Port(9)).build().unwrap();
    assert_eq!(listens(&Scene::with(set), "198.51.100.1:1"), Some(Listen::Port(9)));
}

#[test]
fn a_feeler_goes_to_one_whose_place_another_wants_if_it_is_not_connected() {
    let mut scene = probing(Probe::Feeler, |_| {});
    let (mut number, due) = (0_u16, scene.now + SECOND * 5);
    let wanted = loop {
        let Node { book, rng, .. } = &mut scene.node;
        if let Some(wanted) = book.feeler(due) {
            break wanted;
        }
        let [high, low] = number.to_be_bytes();
        let addr = SocketAddr::from(([30, 1, high, low], 40000));
        book.reached(addr, &PeerId::Guest("g".into()), scene.now, rng);
        book.ended(addr, scene.now, scene.now, rng);
        number += 1;
    };
    scene.now = due;
    assert_eq!(tried(&mut scene), [(wanted, Some(Probe::Feeler))]);
    scene.node.closed(scene.node.dialing(wanted).unwrap(), TransportError::Reset, scene.now);
    scene.meet_at(&wanted.to_string(), 9, r#""listen":40000"#);
    scene.now = scene.now + SECOND * 3;
    assert_eq!(tried(&mut scene), []);
}
