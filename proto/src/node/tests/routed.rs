//! Lines for one node, and searches for it, at a node in between or at their end.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use super::*;

#[test]
fn a_message_goes_one_step_and_the_same_again_is_refused() {
    let mut scene = Scene::new();
    let [two, three] = [2, 3].map(|number| scene.meet(number));
    scene.counts("relayed 1", |scene| scene.message(two, (2, 3), 2));
    let heard = scene.heard(three, "message");
    assert_eq!((heard.len(), value(&heard[0], "ttl")), (1, "1".into()));
    assert!(scene.heard(two, "").is_empty());
    scene.counts("duplicates 1, not_for_us 1", |scene| scene.message(two, (2, 3), 2));
    let refused = r#"{"msgtype":"error","re":"a.1","code":"no_route"}"#;
    assert_eq!(scene.heard(two, ""), [refused]);
    assert!(scene.heard(three, "").is_empty());
}

#[test]
fn a_message_that_may_go_no_further_or_has_no_way_is_refused() {
    let mut scene = Scene::new();
    let [two, three] = [2, 3].map(|number| scene.meet(number));
    for (to, ttl) in [(3, 0), (3, 1), (9, 32)] {
        scene.counts("not_for_us 1", |scene| scene.message(two, (2, to), ttl));
        assert_eq!(scene.heard(two, "error").len(), 1, "{to} {ttl}");
        assert!(scene.heard(three, "").is_empty());
    }
}

#[test]
fn a_message_of_ours_that_comes_back_is_refused() {
    let mut scene = Scene::new();
    let two = scene.meet(2);
    scene.counts("duplicates 1, not_for_us 1", |scene| scene.message(two, (1, 3), 9));
    assert_eq!(scene.heard(two, "error").len(), 1);
    scene.counts("not_for_us 1", |scene| scene.request(two, (1, 3), (9, 9)));
    assert_eq!(scene.heard(two, "nak").len(), 1);
}

#[test]
fn a_message_for_us_is_delivered_once() {
    let mut scene = Scene::new();
    let two = scene.meet(2);
    scene.counts("delivered 1", |scene| scene.message(two, (2, 1), 1));
    scene.counts("duplicates 1", |scene| scene.message(two, (2, 1), 1));
    let messages = scene.events().into_iter().filter(|event| matches!(event, Event::Message(_)));
    assert_eq!(messages.count(), 1);
}

#[test]
fn a_request_goes_on_while_a_millisecond_of_its_time_is_left() {
    let mut scene = Scene::new();
    let [two, three] = [2, 3].map(|number| scene.meet(number));
    for deadline in [0, 1] {
        scene.counts("not_for_us 1", |scene| scene.request(two, (2, 3), (9, deadline)));
        let said = scene.heard(two, "nak");
        assert_eq!((said.len(), value(&said[0], "code")), (1, r#""expired""#.into()));
        assert_eq!(value(&said[0], "at"), format!(r#""{}""#, id(1)));
    }
    scene.counts("relayed 1", |scene| scene.request(two, (2, 3), (9, 2)));
    let heard = scene.heard(three, "request");
    assert_eq!((heard.len(), value(&heard[0], "deadline")), (1, "1".into()));
}

#[test]
fn an_id_of_more_than_32_bytes_is_not_taken() {
    let mut scene = Scene::new();
    let [two, three] = [2, 3].map(|number| scene.meet(number));
    for (len, expected) in [(32, "relayed 1"), (33, "not_taken 1")] {
        let id = "x".repeat(len);
        let more = format!(r#""id":"{id}","time":1,"ttl":9,"kind":"K","msg":1"#);
        scene.counts(expected, |scene| scene.pass(two, "message", (2, 3), &more));
    }
    assert_eq!(scene.heard(three, "message").len(), 1);
    let nak = |len| format!(r#"{{"msgtype":"nak","re":"{}","code":"busy"}}"#, "x".repeat(len));
    scene.counts("", |scene| scene.say(two, &nak(32)));
    scene.counts("not_taken 1", |scene| scene.say(two, &nak(33)));
}

/// The answer of neighbour 3 to a request of neighbour 2, of so many bytes.
fn answer(scene: &mut Scene, three: ConnId, (from, len): (u8, usize)) {
    let line = |text: &str| {
        let ends = format!(r#""from":"{}","to":"{}""#, id(from), id(2));
        format!(r#"{{"msgtype":"reply","re":"a.1","n":0,{ends},"kind":"K","msg":"{text}"}}"#)
    };
    let room = len.saturating_sub(line("").len());
    scene.say(three, &line(&"x".repeat(room)));
}

#[test]
fn an_answer_finds_back_from_whom_it_was_asked_of_alone() {
    let mut scene = Scene::new();
    let [two, three, four] = [2, 3, 4].map(|number| scene.meet(number));
    scene.request(two, (2, 3), (9, 9000));
    scene.counts("not_for_us 1", |scene| answer(scene, three, (4, 0)));
    scene.counts("not_for_us 1", |scene| answer(scene, four, (3, 0)));
    assert!(scene.heard(two, "").is_empty());
    scene.counts("relayed 1", |scene| answer(scene, three, (3, 0)));
    assert_eq!(scene.heard(two, "reply").len(), 1);
}

#[test]
fn an_answer_goes_back_if_it_is_not_too_long_for_the_asker() {
    for (len, expected) in
        [(MAX_BROADCAST_LINE, "relayed 1"), (MAX_BROADCAST_LINE + 1, "skipped 1")]
    {
        let mut scene = Scene::limited(|limits| limits.max_line = 2 * MAX_BROADCAST_LINE);
        let [two, three] = [2, 3].map(|number| scene.meet(number));
        scene.request(two, (2, 3), (9, 9000));
        scene.counts(expected, |scene| answer(scene, three, (3, len)));
    }
}

#[test]
fn a_refusal_goes_back_to_whom_it_belongs_and_else_to_the_application() {
    let mut scene = Scene::new();
    let [two, three] = [2, 3].map(|number| scene.meet(number));
    scene.events();
    let error = r#"{"msgtype":"error","re":"a.1","code":"busy"}"#;
    scene.message(two, (2, 3), 9);
    scene.say(three, error);
    assert_eq!(scene.heard(two, ""), [error]);
    assert!(scene.events().is_empty());
    scene.say(three, error);
    assert!(scene.heard(two, "").is_empty());
    let told = scene.events();
    assert!(matches!(&told[..], [Event::PeerError { peer, re, code }]
        if *peer == PeerId::Node(id(3)) && **re == *"a.1" && **code == *"busy"));
}

// ---- searches ----

#[test]
fn a_search_goes_on_to_others_while_it_may_and_once() {
    let find = |ttl: u64| format!(r#""id":"f.1","ttl":{ttl}"#);
    for (ttl, expected) in [(0, ""), (1, ""), (2, "relayed 2"), (99, "relayed 2")] {
        let mut scene = Scene::new();
        let [two, three, four] = [2, 3, 4].map(|number| scene.meet(number));
        scene.counts(expected, |scene| scene.pass(two, "find", (2, 9), &find(ttl)));
        scene.counts("", |scene| scene.pass(three, "find", (2, 9), &find(ttl)));
        scene.counts("", |scene| scene.pass(three, "find", (1, 9), &find(ttl)));
        assert!(scene.heard(two, "").is_empty());
        for conn in [three, four] {
            let heard = scene.heard(conn, "find");
            assert_eq!(heard.len(), usize::from(ttl > 1));
            let left = heard.first().map(|line| value(line, "ttl"));
            assert_eq!(left, (ttl > 1).then(|| (ttl.min(4) - 1).to_string()));
        }
    }
}

#[test]
fn a_search_for_us_or_for_a_neighbour_is_not_passed_around() {
    let mut scene = Scene::new();
    let [two, three, four] = [2, 3, 4].map(|number| scene.meet(number));
    scene.counts("", |scene| scene.pass(two, "find", (2, 1), r#""id":"f.1","ttl":1"#));
    let found = scene.heard(two, "");
    assert_eq!((found.len(), value(&found[0], "from")), (1, format!(r#""{}""#, id(1))));
    assert!(found[0].starts_with(r#"{"msgtype":"found","id":"f.1""#));
    scene.counts("", |scene| scene.pass(two, "find", (2, 3), r#""id":"f.2","ttl":2"#));
    assert_eq!((scene.heard(three, "find").len(), scene.heard(four, "").len()), (1, 0));
}

#[test]
fn what_was_found_goes_back_once_and_while_it_may() {
    for (ttl, expected) in [(1, "not_for_us 1"), (2, "relayed 1")] {
        let mut scene = Scene::new();
        let [two, three] = [2, 3].map(|number| scene.meet(number));
        scene.pass(two, "find", (2, 9), r#""id":"f.1","ttl":4"#);
        let found = format!(r#""id":"f.1","ttl":{ttl}"#);
        scene.counts("not_for_us 1", |scene| {
            scene.pass(three, "found", (9, 2), r#""id":"f.2","ttl":9"#);
        });
        scene.counts(expected, |scene| scene.pass(three, "found", (9, 2), &found));
        let heard = scene.heard(two, "found");
        let left: Vec<String> = heard.iter().map(|line| value(line, "ttl")).collect();
        assert_eq!(left, if ttl > 1 { vec!["1"] } else { vec![] });
        scene.counts("not_for_us 1", |scene| scene.pass(three, "found", (9, 2), &found));
    }
}

#[test]
fn what_waits_for_a_way_goes_when_one_is_found() {
    let mut scene = Scene::new();
    let two = scene.meet(2);
    scene.node.send(&PeerId::Node(id(9)), "K", &body("m"), scene.now).unwrap();
    scene.node.request(&PeerId::Node(id(9)), "K", &body("r"), SECOND * 20, scene.now).unwrap();
    let find = scene.heard(two, "");
    assert_eq!((find.len(), value(&find[0], "ttl")), (1, "2".into()));
    let more = format!(r#""id":{},"ttl":9"#, value(&find[0], "id"));
    scene.pass(two, "found", (9, 1), &more);
    let heard = scene.heard(two, "");
    let bodies: Vec<String> = heard.iter().map(|line| value(line, "msg")).collect();
    assert_eq!(bodies, [r#""m""#, r#""r""#]);
}

#[test]
fn what_waits_for_a_way_is_lost_when_there_is_none() {
    let mut scene = Scene::new();
    scene.meet(2);
    scene.node.send(&PeerId::Node(id(9)), "K", &body("m"), scene.now).unwrap();
    let asked = scene.node.request(&PeerId::Node(id(9)), "K", &body("r"), SECOND * 60, scene.now);
    scene.events();
    let limits = Limits::default();
    scene.run_for(limits.find_near + limits.find_far);
    let told = scene.events();
    assert!(matches!(&told[..], [Event::PeerError { peer, code, .. },
        Event::RequestFailed { request, reason: RequestFailure::Nak { .. } }]
        if *peer == PeerId::Node(id(1)) && **code == *"no_route" && Ok(*request) == asked));
}

#[test]
fn alone_there_is_nobody_to_ask() {
    let mut scene = Scene::new();
    let asked = scene.node.request(&PeerId::Node(id(9)), "K", &body("r"), SECOND, scene.now);
    assert_eq!(asked, Err(RequestError::NoRoute));
}

#[test]
fn a_dial_is_under_way_until_the_hello_and_what_is_accepted_is_none() {
    let mut scene = Scene::new();
    scene.node.accepted(addr(9), scene.now).unwrap();
    scene.meet(8);
    assert_eq!(scene.node.dials_under_way(), 0);
    scene.counts("connections_opened 2", |scene| {
        let conns = [2, 3].map(|number| scene.node.dial(addr(number), scene.now).unwrap());
        assert_eq!(scene.node.dials_under_way(), 2);
        scene.node.connected(conns[0], scene.now);
        assert_eq!(scene.node.dials_under_way(), 2);
        scene.greet(conns[0], 2);
        assert_eq!(scene.node.dials_under_way(), 1);
    });
}
