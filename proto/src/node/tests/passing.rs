//! A node in between: which neighbour leads where, and whose lines it does not take.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use super::*;

fn hops(scene: &Scene, to: u8) -> Vec<NodeId> {
    scene.node.routes.hops(id(to), scene.now).collect()
}

fn next(scene: &Scene, to: u8, avoid: &[u8]) -> Option<NodeId> {
    let avoid: Vec<NodeId> = avoid.iter().map(|number| id(*number)).collect();
    scene.node.next_hop(id(to), &avoid).map(|(via, _)| via)
}

/// Lines of every type that is for one node, with these ends.
fn lines(from: &str, to: &str) -> [String; 5] {
    let ends = format!(r#""from":"{from}","to":"{to}","ttl":9"#);
    let (reply, words) = (r#""re":"a.3","n":0"#, r#""kind":"K","msg":1"#);
    [
        format!(r#"{{"msgtype":"message","id":"a.1","time":1,{ends},{words}}}"#),
        format!(r#"{{"msgtype":"request","id":"a.2","time":1,{ends},"deadline":9,{words}}}"#),
        format!(r#"{{"msgtype":"reply",{reply},"from":"{from}","to":"{to}",{words}}}"#),
        format!(r#"{{"msgtype":"find","id":"a.4",{ends}}}"#),
        format!(r#"{{"msgtype":"found","id":"a.5",{ends}}}"#),
    ]
}

// ---- what is not taken ----

#[test]
fn lines_whose_ends_are_no_nodes_are_not_taken() {
    let mut scene = Scene::new();
    let [two, three] = [2, 3].map(|number| scene.meet(number));
    let (node, other) = (id(2).to_string(), id(3).to_string());
    for (from, to) in [("somebody", &*other), (&*node, "somebody")] {
        for line in lines(from, to) {
            scene.counts("not_taken 1", |scene| scene.say(two, &line));
        }
    }
    assert!(scene.heard(two, "").is_empty() && scene.heard(three, "").is_empty());
}

#[test]
fn a_guest_says_nothing_for_one_node() {
    let mut scene = Scene::new();
    let guest = scene.node.accepted(addr(2), scene.now).unwrap();
    scene.say(guest, r#"{"msgtype":"hello","version":0,"nodeid":"old"}"#);
    let three = scene.meet(3);
    for line in lines(&id(2).to_string(), &id(3).to_string()) {
        scene.counts("unknown_types 1", |scene| scene.say(guest, &line));
    }
    assert!(scene.heard(three, "").is_empty());
}

#[test]
fn an_error_is_told_unless_the_application_is_behind() {
    let mut scene = Scene::new();
    let two = scene.meet(2);
    scene.events();
    let error = r#"{"msgtype":"error","re":"r","code":"c"}"#;
    scene.counts("", |scene| scene.say(two, error));
    assert!(matches!(&scene.events()[..], [Event::PeerError { peer, re, code }]
        if *peer == PeerId::Node(id(2)) && **re == *"r" && **code == *"c"));
    scene.fall_behind();
    let before = scene.node.events.charged();
    scene.counts("not_taken 1", |scene| scene.say(two, error));
    assert_eq!(scene.node.events.charged(), before);
}

#[test]
fn an_error_about_what_is_gone_is_for_the_trees_if_it_is_well_formed() {
    for (re, told) in [(format!("{}/1/2-3", id(2)), false), ("a.1".into(), true)] {
        let mut scene = Scene::new();
        let two = scene.meet(2);
        scene.events();
        scene.say(two, &format!(r#"{{"msgtype":"error","re":"{re}","code":"gone"}}"#));
        assert_eq!(scene.events().len(), usize::from(told), "{re}");
    }
}

// ---- which neighbour leads where ----

#[test]
fn lines_teach_by_whom_their_nodes_are_reached() {
    let (nine, one) = (id(9).to_string(), id(1).to_string());
    let [message, request, reply, find, found] = lines(&nine, &one);
    for (line, learned) in
        [(message, true), (request, true), (reply, false), (find, true), (found, false)]
    {
        let mut scene = Scene::new();
        let two = scene.meet(2);
        scene.say(two, &line);
        assert_eq!(hops(&scene, 9), vec![id(2); usize::from(learned)], "{line}");
    }
    for line in lines(&nine, &id(3).to_string()) {
        let mut scene = Scene::new();
        let [two, three] = [2, 3].map(|number| scene.meet(number));
        // They answer what went the other way.
        scene.request(three, (3, 9), (9, 9_000));
        scene.say(two, &line);
        let unasked = line.contains(r#"msgtype":"reply"#) || line.contains(r#"msgtype":"found"#);
        assert_eq!(hops(&scene, 9), vec![id(2); usize::from(!unasked)], "{line}");
    }
}

#[test]
fn an_answer_confirms_a_way_for_us_and_for_others() {
    for asker in [1, 4] {
        let mut scene = Scene::new();
        let [two, three, four] = [2, 3, 4].map(|number| scene.meet(number));
        scene.message(two, (9, 1), 9);
        assert_eq!(hops(&scene, 9), [id(2)]);
        let re = if asker == 1 {
            let to = PeerId::Node(id(9));
            scene.node.request(&to, "K", &body("r"), SECOND * 9, scene.now).unwrap();
            value(&scene.heard(two, "request")[0], "id")
        } else {
            scene.request(four, (4, 9), (9, 9_000));
            r#""a.1""#.into()
        };
        let reply = format!(r#""re":{re},"n":0,"kind":"K","msg":1"#);
        scene.pass(two, "reply", (9, asker), &reply);
        scene.now = scene.now + SECOND;
        let more = r#""id":"a.7","time":1,"ttl":9,"kind":"K","msg":1"#;
        scene.pass(three, "message", (9, 1), more);
        assert_eq!(hops(&scene, 9), [id(2), id(3)], "a later word does not displace an answer");
    }
}

#[test]
fn what_was_found_leads_there_if_it_was_sought_and_by_us() {
    let mut scene = Scene::new();
    let two = scene.meet(2);
    scene.node.send(&PeerId::Node(id(9)), "K", &body("m"), scene.now).unwrap();
    let name = value(&scene.heard(two, "find")[0], "id");
    let found = |scene: &mut Scene, name: &str, from: u8| {
        scene.pass(two, "found", (from, 1), &format!(r#""id":{name},"ttl":9"#));
        hops(scene, from).len()
    };
    assert_eq!(found(&mut scene, &name, 8), 0, "nobody sought it");
    assert_eq!(found(&mut scene, r#""f.1""#, 9), 0, "it is not ours");
    assert_eq!(found(&mut scene, &name, 9), 1);
    assert_eq!(scene.heard(two, "message").len(), 1);
}

#[test]
fn a_node_is_reached_by_itself_by_who_was_heard_of_it_or_by_whom_the_application_says() {
    let mut scene = Scene::new();
    for number in [2, 3, 4] {
        scene.meet(number);
    }
    assert_eq!([next(&scene, 2, &[]), next(&scene, 9, &[])], [Some(id(2)), None]);
    scene.node.set_router(|to| {
        let says = if *to == PeerId::Node(id(9)) { 4 } else { 1 };
        Some(PeerId::Node(id(says)))
    });
    assert_eq!([next(&scene, 9, &[]), next(&scene, 8, &[])], [Some(id(4)), None]);
    let conns = [2, 3].map(|n| scene.node.peers.conn(&PeerId::Node(id(n))).unwrap());
    scene.message(conns[1], (9, 1), 9);
    assert_eq!(next(&scene, 9, &[]), Some(id(3)));
    assert_eq!([next(&scene, 9, &[3]), next(&scene, 9, &[3, 4])], [Some(id(4)), None]);
    scene.message(conns[0], (3, 1), 9);
    assert_eq!([next(&scene, 3, &[]), next(&scene, 3, &[3])], [Some(id(3)), Some(id(2))]);
    // Who does not answer is the last choice, and of several the first.
    let limits = Limits::default();
    scene.run_for(limits.ping_after + limits.suspect_max);
    assert!(conns.iter().all(|conn| scene.node.is_suspect(*conn)));
    assert_eq!(next(&scene, 9, &[]), Some(id(3)));
    let four = scene.node.peers.conn(&PeerId::Node(id(4))).unwrap();
    scene.say(four, "");
    assert!(!scene.node.is_suspect(four));
    assert_eq!([next(&scene, 9, &[]), next(&scene, 9, &[4])], [Some(id(4)), Some(id(3))]);
    scene.say(conns[0], "");
    assert_eq!(next(&scene, 9, &[]), Some(id(4)));
}

#[test]
fn a_line_does_not_go_back_to_whom_it_came_from_nor_to_its_node() {
    let mut scene = Scene::new();
    let [two, three] = [2, 3].map(|number| scene.meet(number));
    scene.message(three, (9, 1), 9);
    let more = |n: u8| format!(r#""id":"b.{n}","time":1,"ttl":9,"kind":"K","msg":1"#);
    scene.counts("not_for_us 1", |scene| scene.pass(two, "message", (3, 9), &more(1)));
    scene.counts("not_for_us 1", |scene| scene.pass(three, "message", (8, 9), &more(2)));
    scene.counts("relayed 1", |scene| scene.pass(two, "message", (8, 9), &more(3)));
}

#[test]
fn a_line_goes_32_steps_at_most() {
    for (ttl, left) in [(31, "30"), (32, "31"), (33, "31"), (99, "31")] {
        let mut scene = Scene::new();
        let [two, three] = [2, 3].map(|number| scene.meet(number));
        scene.message(two, (2, 3), ttl);
        assert_eq!(value(&scene.heard(three, "message")[0], "ttl"), left, "{ttl}");
    }
}

#[test]
fn a_refusal_says_how_far_a_line_might_go_to_who_understands_it() {
    for (ttl, knows, expected) in
        [(9, true, "9"), (99, true, "32"), (9, false, ""), (0, true, "0"), (1, true, "1")]
    {
        let mut scene = Scene::keyspace(Keyspace::Auto, |_| {});
        let more = if knows { r#""caps":["route/1"]"# } else { r#""max":1"# };
        let two = scene.meet_at("192.0.2.2:1", 2, more);
        scene.message(two, (2, 9), ttl);
        assert_eq!(value(&scene.heard(two, "error")[0], "ttl"), expected);
        let more = r#""id":"a.3","time":1,"deadline":0,"kind":"K","msg":1"#;
        scene.pass(two, "request", (2, 1), &format!(r#"{more},"ttl":{ttl}"#));
        assert_eq!(value(&scene.heard(two, "nak")[0], "ttl"), expected);
    }
}

// ---- what becomes of it ----

#[test]
fn a_line_that_is_too_long_or_has_no_room_is_refused() {
    let takes = 2 * MAX_BROADCAST_LINE;
    let mut scene = Scene::limited(|limits| limits.max_line = takes);
    let two = scene.meet(2);
    let three = scene.meet_at("192.0.2.3:1", 3, &format!(r#""max":{}"#, MAX_BROADCAST_LINE + 9));
    let message = |scene: &mut Scene, number: u8, len: usize| {
        let line = |text: &str| {
            let ends = format!(r#""from":"{}","to":"{}","ttl":9"#, id(2), id(3));
            let start = r#"{"msgtype":"message","time":1,"kind":"K""#;
            format!(r#"{start},"id":"a.{number}",{ends},"msg":"{text}"}}"#)
        };
        let text = "x".repeat(len - line("").len());
        scene.say(two, &line(&text));
        let no = scene.heard(two, "error");
        no.first().map(|line| value(line, "code").trim_matches('"').to_string())
    };
    assert_eq!(message(&mut scene, 1, MAX_BROADCAST_LINE + 9), None);
    assert_eq!(message(&mut scene, 2, MAX_BROADCAST_LINE + 10).as_deref(), Some("too_large"));
    assert_eq!(scene.heard(three, "message").len(), 1);
    let queue = Limits::default().send_queue;
    let codes: Vec<_> = (10..255)
        .map(|number| message(&mut scene, number, MAX_BROADCAST_LINE + 9))
        .take_while(|code| code.is_none())
        .collect();
    assert!(codes.len() > 1 && codes.len() <= queue / MAX_BROADCAST_LINE, "{codes:?}");
    let before = scene.node.stats();
    assert_eq!(message(&mut scene, 5, MAX_BROADCAST_LINE + 9).as_deref(), Some("busy"));
    assert_eq!(scene.node.stats().relayed, before.relayed);
}

#[test]
fn an_answer_whose_asker_is_gone_is_skipped() {
    let mut scene = Scene::new();
    let [two, three] = [2, 3].map(|number| scene.meet(number));
    scene.request(two, (2, 3), (9, 9_000));
    scene.node.closed(two, TransportError::Reset, scene.now);
    let reply = r#""re":"a.1","n":0,"kind":"K","msg":1"#;
    scene.counts("skipped 1", |scene| scene.pass(three, "reply", (3, 2), reply));
}

#[test]
fn a_refusal_unlearns_the_way_and_finds_back_to_each_that_is_there() {
    let mut scene = Scene::new();
    let [two, three, four] = [2, 3, 4].map(|number| scene.meet(number));
    scene.message(three, (9, 1), 9);
    for (conn, from) in [(two, 2), (four, 4)] {
        scene.message(conn, (from, 9), 9); // both call it the same
    }
    assert_eq!(scene.heard(three, "message").len(), 2);
    scene.events();
    scene.say(three, r#"{"msgtype":"error","re":"a.1","code":"busy"}"#);
    assert_eq!([two, four].map(|conn| scene.heard(conn, "error").len()), [1, 1]);
    assert_eq!(hops(&scene, 9), []);
    assert!(scene.events().is_empty());
}

#[test]
fn a_refusal_of_a_message_of_ours_is_told_and_unlearns_the_way_beyond_a_neighbour() {
    let mut scene = Scene::new();
    let [two, three] = [2, 3].map(|number| scene.meet(number));
    scene.message(two, (9, 1), 9);
    scene.message(two, (3, 1), 9);
    scene.events();
    for (to, conn) in [(9, two), (3, three)] {
        scene.node.send(&PeerId::Node(id(to)), "K", &body("m"), scene.now).unwrap();
        let line = scene.heard(conn, "message");
        let re = value(&line[0], "id");
        assert_eq!(value(&line[0], "ttl"), if to == 9 { "32" } else { "1" });
        scene.say(conn, &format!(r#"{{"msgtype":"error","re":{re},"code":"no_route"}}"#));
        assert!(matches!(&scene.events()[..], [Event::PeerError { .. }]), "{to}");
        assert_eq!(hops(&scene, 9).len(), 0);
    }
    assert_eq!(hops(&scene, 3), [id(2)], "to a neighbour there was nothing to unlearn");
    assert!(scene.heard(two, "").is_empty() && scene.heard(three, "").is_empty());
}

#[test]
fn a_line_is_not_too_long_with_its_end_of_line_beyond_what_is_taken() {
    let mut scene = Scene::new();
    let two = scene.meet(2);
    let takes = |len: usize| {
        let line = Frame::new(&("x".repeat(len) + "\n"));
        scene.node.takes(two, &line)
    };
    let most = scene.node.longest_for(two).unwrap();
    assert_eq!(most, MAX_BROADCAST_LINE);
    assert_eq!([most, most + 1].map(takes), [true, false]);
}

// ---- the saved book ----

#[test]
fn of_a_saved_book_our_own_addresses_are_left_out() {
    let mut before = Scene::new();
    before.reached("192.0.2.3:5", &PeerId::Node(id(3)));
    before.reached("192.0.2.4:5", &PeerId::Node(id(1))); // who we are
    before.reached("192.0.2.5:5", &PeerId::Node(id(4))); // where we listen
    let saved = before.node.export_book();
    let mut scene = Scene::new();
    scene.node.listening("192.0.2.5:5".parse().unwrap(), scene.now);
    scene.node.plan_at = None;
    assert_eq!(scene.node.import_book(&saved, scene.now), Ok(1));
    assert!(scene.node.addresses().eq(["192.0.2.3:5".parse().unwrap()]));
    assert!(scene.node.plan_at.is_some());
}
