//! Requests at their two ends: what is refused at once, tried again, answered, and given up.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use super::*;
use crate::exchange::{NakCode, RequestId};

fn ask(scene: &mut Scene, to: u8, seconds: u32) -> Result<RequestId, RequestError> {
    let to = PeerId::Node(id(to));
    scene.node.request(&to, "K", &body("r"), SECOND * seconds, scene.now)
}

/// Why requests ended since.
fn ended(scene: &mut Scene) -> Vec<(RequestId, RequestFailure)> {
    let ended = scene.events().into_iter().filter_map(|event| {
        let Event::RequestFailed { request, reason } = event else { return None };
        Some((request, reason))
    });
    ended.collect()
}

/// Lets time pass in which these are heard every second.
fn pass(scene: &mut Scene, seconds: u32, conns: &[ConnId]) {
    for _ in 0..seconds {
        scene.run_for(SECOND);
        conns.iter().for_each(|conn| scene.say(*conn, ""));
    }
}

fn nak(scene: &mut Scene, conn: ConnId, re: &str, (code, at): (&str, Option<u8>)) {
    let at = at.map_or(String::new(), |at| format!(r#","at":"{}""#, id(at)));
    scene.say(conn, &format!(r#"{{"msgtype":"nak","re":{re},"code":"{code}"{at}}}"#));
}

// ---- a request that is not asked ----

#[test]
fn a_request_is_refused_at_once_with_the_reason() {
    let mut scene = Scene::limited(|limits| (limits.max_kind, limits.pending_requests) = (3, 2));
    let two = scene.meet(2);
    let to = PeerId::Node(id(2));
    let ask_kind = |scene: &mut Scene, kind: &str| {
        scene.node.request(&to, kind, &body("r"), SECOND, scene.now)
    };
    assert_eq!(ask(&mut scene, 1, 9), Err(RequestError::Own));
    let long = ask_kind(&mut scene, "four");
    assert_eq!(long, Err(RequestError::KindTooLong { len: 4, limit: 3 }));
    let first = ask_kind(&mut scene, "ABC").unwrap();
    let second = ask(&mut scene, 2, 9).unwrap();
    assert_eq!((first.number(), second.number()), (1, 2), "what is not asked has no number");
    let busy = Err(RequestError::Busy { bound: "pending_requests", used: 3, limit: 2 });
    assert_eq!(ask(&mut scene, 2, 9), busy);
    assert_eq!(scene.heard(two, "request").len(), 2);
    scene.events();
    scene.node.shutdown(SECOND, scene.now);
    assert_eq!(ask(&mut scene, 2, 9), Err(RequestError::Stopping));
    let stopping = [first, second].map(|request| (request, RequestFailure::Stopping));
    assert_eq!(ended(&mut scene), stopping);
}

#[test]
fn a_request_is_as_long_as_who_is_asked_takes() {
    for (queue, beyond, expected) in [
        (1 << 20, false, MAX_BROADCAST_LINE),
        (1 << 20, true, MAX_BROADCAST_LINE),
        (4096, false, 0),
    ] {
        let mut scene = Scene::limited(|limits| limits.send_queue = queue);
        let two = scene.meet(2);
        let to = PeerId::Node(id(if beyond { 9 } else { 2 }));
        let expected = if expected == 0 { scene.node.longest_queued() } else { expected };
        let asks = |scene: &mut Scene, len: usize| {
            scene.node.request(&to, "K", &body(&"x".repeat(len)), SECOND, scene.now)
        };
        let long = asks(&mut scene, MAX_BROADCAST_LINE);
        let Err(RequestError::TooLarge { len, limit }) = long else { panic!("{long:?}") };
        assert_eq!(limit, expected);
        let most = MAX_BROADCAST_LINE - (len - limit);
        let over = asks(&mut scene, most + 1);
        assert_eq!(over, Err(RequestError::TooLarge { len: limit + 1, limit }));
        assert!(asks(&mut scene, most).is_ok());
        let said = scene.heard(two, "request");
        assert!(said.iter().all(|line| line.len() == limit) && said.is_empty() == beyond);
    }
}

#[test]
fn a_request_asks_for_no_longer_than_may_be() {
    let longest = Duration::from_secs(5);
    let mut scene = Scene::limited(|limits| limits.request_deadline = longest);
    let two = scene.meet(2);
    for (seconds, said) in [(4, "4000"), (5, "5000"), (6, "5000"), (0, "1")] {
        ask(&mut scene, 2, seconds).unwrap();
        assert_eq!(value(&scene.heard(two, "request")[0], "deadline"), said);
    }
}

#[test]
fn a_full_neighbour_is_told_of_when_it_has_room_again() {
    let mut scene = Scene::limited(|limits| limits.send_queue = 4096);
    let two = scene.meet(2);
    scene.message(two, (9, 1), 9); // it leads to 9
    scene.events();
    let text = body(&"x".repeat(1000));
    let fill = |scene: &mut Scene, to: u8| loop {
        let to = PeerId::Node(id(to));
        let asked = scene.node.request(&to, "K", &text, SECOND * 60, scene.now);
        let Err(error) = asked else { continue };
        assert!(matches!(error, RequestError::Full { limit: 4096, .. }), "{error:?}");
        break scene.node.asked.bytes();
    };
    let kept = fill(&mut scene, 2);
    assert_eq!(fill(&mut scene, 9), kept, "what is refused is not kept");
    let full = scene.node.links.get(two).unwrap().queued();
    assert!(full <= 4096 && scene.events().is_empty());
    scene.heard(two, "");
    let told: Vec<PeerId> = scene
        .events()
        .into_iter()
        .filter_map(|event| {
            let Event::Writable { peer } = event else { return None };
            Some(peer)
        })
        .collect();
    assert_eq!(told, [2, 9].map(|number| PeerId::Node(id(number))));
}

#[test]
fn of_many_nodes_that_are_waited_for_the_first_is_told_early() {
    let mut scene = Scene::limited(|limits| limits.send_queue = 4096);
    let two = scene.meet(2);
    scene.events();
    let text = body(&"x".repeat(3000));
    let far = |number: u16| {
        let [high, low] = number.to_be_bytes();
        let mut bytes = [5; 16];
        (bytes[0], bytes[1]) = (high, low);
        NodeId::from_random_bytes(bytes)
    };
    scene.node.set_router(|_| Some(PeerId::Node(id(2))));
    let mut refused = 0;
    let mut told = Vec::new();
    for number in 0..300_u16 {
        let to = PeerId::Node(far(0x1000 + number));
        let asked = scene.node.request(&to, "K", &text, SECOND, scene.now);
        refused += usize::from(asked.is_err());
        told.extend(scene.events());
    }
    assert!(refused > 257);
    assert_eq!(told.len(), refused - 256);
    assert!(told.iter().all(|event| matches!(event, Event::Writable { .. })));
    scene.heard(two, "");
    assert_eq!(scene.events().len(), 1 + 256, "the neighbour, and all that are left");
    assert!(scene.node.beyond.is_empty());
}

// ---- a request that is tried again ----

#[test]
fn a_no_is_believed_of_whom_was_asked_and_of_its_node_for_good() {
    for (code, at, ends) in [
        ("no_route", None, false),
        ("no_route", Some(9), true),
        ("busy", Some(8), false),
        ("busy", Some(9), true),
        ("too_large", None, false),
        ("made_up", None, false),
        ("no_handler", None, true),
        ("refused", None, true),
        ("expired", None, true),
    ] {
        let mut scene = Scene::new();
        let [two, three] = [2, 3].map(|number| scene.meet(number));
        scene.message(three, (9, 1), 9);
        scene.now = scene.now + SECOND;
        scene.message(two, (9, 1), 9); // the later one is asked first
        scene.events();
        let asked = ask(&mut scene, 9, 60).unwrap();
        let line = scene.heard(two, "request");
        let re = value(&line[0], "id");
        nak(&mut scene, three, &re, ("refused", Some(9)));
        assert_eq!(ended(&mut scene), [], "it was not asked");
        nak(&mut scene, two, &re, (code, at));
        let again = scene.heard(three, "request");
        assert_eq!(again.len(), usize::from(!ends), "{code} {at:?}");
        assert_eq!(
            ended(&mut scene).iter().map(|(id, _)| *id).collect::<Vec<_>>(),
            if ends { vec![asked] } else { vec![] }
        );
        let leads = scene.node.routes.hops(id(9), scene.now).any(|via| via == id(2));
        assert_eq!(leads, ends, "who has no way is not asked for one again");
    }
}

#[test]
fn a_no_of_a_neighbour_that_is_the_node_itself_is_the_end() {
    let mut scene = Scene::new();
    let two = scene.meet(2);
    let asked = ask(&mut scene, 2, 60).unwrap();
    let re = value(&scene.heard(two, "request")[0], "id");
    scene.events();
    nak(&mut scene, two, &re, ("busy", Some(3)));
    let failure = RequestFailure::Nak { code: NakCode::Busy, at: Some(PeerId::Node(id(3))) };
    assert_eq!(ended(&mut scene), [(asked, failure)]);
    nak(&mut scene, two, &re, ("busy", None));
    assert_eq!(ended(&mut scene), [], "it ended");
}

#[test]
fn a_name_that_is_not_written_as_ours_is_not_ours() {
    let mut scene = Scene::new();
    let two = scene.meet(2);
    let asked = ask(&mut scene, 2, 60).unwrap();
    let re = value(&scene.heard(two, "request")[0], "id");
    scene.events();
    let re = re.trim_matches('"');
    let (epoch, count) = re.split_once('.').unwrap();
    for other in [format!("{epoch}.0{count}"), format!("{epoch}.+{count}"), count.into()] {
        assert_eq!(scene.node.own_id(&other), None, "{other}");
        nak(&mut scene, two, &format!(r#""{other}""#), ("refused", None));
        assert_eq!(ended(&mut scene), [], "{other}");
    }
    assert_eq!(scene.node.own_id(re), Some(asked));
}

#[test]
fn who_owes_an_answer_is_pinged_once() {
    let mut scene = Scene::new();
    let two = scene.meet(2);
    ask(&mut scene, 2, 9).unwrap();
    scene.heard(two, "");
    pass(&mut scene, 3, &[two]);
    let ping = scene.heard(two, "ping");
    assert_eq!(ping.len(), 1);
    pass(&mut scene, 1, &[two]);
    assert!(scene.heard(two, "ping").is_empty(), "that one is not answered yet");
    let nonce = value(&ping[0], "nonce");
    scene.say(two, &format!(r#"{{"msgtype":"pong","nonce":{nonce}}}"#));
    pass(&mut scene, 1, &[two]);
    assert_eq!(scene.heard(two, "ping").len(), 1);
    scene.node.probe(two);
    assert!(scene.heard(two, "ping").is_empty());
    scene.node.closed(two, TransportError::Reset, scene.now);
    scene.counts("", |scene| scene.node.probe(two));
}

#[test]
fn a_request_whose_neighbour_goes_is_tried_by_another_or_sought() {
    let mut scene = Scene::new();
    let [two, three] = [2, 3].map(|number| scene.meet(number));
    scene.message(three, (9, 1), 9);
    scene.now = scene.now + SECOND;
    scene.message(two, (9, 1), 9);
    let asked = ask(&mut scene, 9, 60).unwrap();
    scene.heard(two, "");
    scene.events();
    scene.node.closed(two, TransportError::Reset, scene.now);
    let again = scene.heard(three, "request");
    assert_eq!((again.len(), value(&again[0], "try")), (1, "1".into()));
    let four = scene.meet(4);
    scene.heard(four, "");
    scene.node.closed(three, TransportError::Reset, scene.now);
    assert_eq!(scene.heard(four, "find").len(), 1, "no way is known");
    assert_eq!(ended(&mut scene), []);
    scene.node.closed(four, TransportError::Reset, scene.now);
    let limits = Limits::default();
    scene.run_for(limits.find_near + limits.find_far);
    let at = Some(PeerId::Node(id(1)));
    let failure = RequestFailure::Nak { code: NakCode::NoRoute, at };
    assert_eq!(ended(&mut scene), [(asked, failure)]);
}

#[test]
fn a_request_to_one_that_is_suspect_is_tried_by_others() {
    let mut scene = Scene::new();
    let [two, three] = [2, 3].map(|number| scene.meet(number));
    scene.message(three, (2, 1), 9);
    ask(&mut scene, 2, 60).unwrap();
    assert_eq!(scene.heard(two, "request").len(), 1);
    pass(&mut scene, 22, &[three]);
    assert_eq!(scene.node.peer(&PeerId::Node(id(2))), None, "it is dead");
    let again = scene.heard(three, "request");
    assert_eq!((again.len(), value(&again[0], "try")), (1, "1".into()));
}

#[test]
fn a_request_is_tried_three_times() {
    let mut scene = Scene::new();
    let conns = [2, 3, 4, 5].map(|number| scene.meet(number));
    for conn in conns {
        scene.message(conn, (9, 1), 9);
    }
    let asked = ask(&mut scene, 9, 60).unwrap();
    scene.events();
    let mut tried = 0;
    for _ in 0..59 {
        tried += conns.map(|conn| scene.heard(conn, "request").len()).iter().sum::<usize>();
        pass(&mut scene, 1, &conns);
    }
    assert_eq!((tried, ended(&mut scene)), (3, vec![]));
    pass(&mut scene, 1, &conns);
    assert_eq!(ended(&mut scene), [(asked, RequestFailure::Timeout)]);
    assert!(!scene.node.routes.knows(id(9)), "three led nowhere, and more are not kept");
}

#[test]
fn who_cannot_take_a_request_is_passed_over_for_one_that_can() {
    let mut scene = Scene::limited(|limits| limits.max_line = 2 * MAX_BROADCAST_LINE);
    let max = 2 * MAX_BROADCAST_LINE;
    let long = format!(r#""max":{max}"#);
    let two = scene.meet_at("192.0.2.2:1", 2, &long);
    let three = scene.meet(3);
    let four = scene.meet_at("192.0.2.4:1", 4, &long);
    for conn in [four, three, two] {
        scene.message(conn, (9, 1), 9);
        scene.now = scene.now + SECOND;
    }
    let text = body(&"x".repeat(MAX_BROADCAST_LINE));
    let to = PeerId::Node(id(9));
    scene.node.request(&to, "K", &text, SECOND * 60, scene.now).unwrap();
    let re = value(&scene.heard(two, "request")[0], "id");
    nak(&mut scene, two, &re, ("no_route", None));
    assert_eq!([three, four].map(|conn| scene.heard(conn, "request").len()), [0, 1]);
}

// ---- a request of another ----

fn said(scene: &mut Scene, conn: ConnId, deadline: u64, number: u64) -> Vec<ReplyTo> {
    let numbers = format!(r#""ttl":1,"deadline":{deadline},"try":0"#);
    let more = format!(r#""id":"a.{number}","time":7,{numbers},"kind":"K","msg":1"#);
    scene.pass(conn, "request", (2, 1), &more);
    let told = scene.events().into_iter().filter_map(|event| {
        let Event::Request(request) = event else { return None };
        Some(request.reply_to())
    });
    told.collect()
}

#[test]
fn an_answer_is_refused_with_the_reason() {
    let mut scene = Scene::limited(|limits| limits.max_kind = 3);
    let two = scene.meet(2);
    let name = said(&mut scene, two, 9_000, 1)[0];
    let r = body("r");
    let long = scene.node.reply(name, "four", &r, true, scene.now);
    assert_eq!(long, Err(ReplyError::KindTooLong { len: 4, limit: 3 }));
    assert_eq!(scene.node.reply(name, "ABC", &r, false, scene.now), Ok(()));
    assert_eq!(scene.node.refuse(name, NakCode::Refused, scene.now), Ok(()));
    let lines = scene.heard(two, "");
    assert_eq!((lines.len(), value(&lines[1], "code")), (2, r#""refused""#.into()));
    assert_eq!(value(&lines[1], "at"), format!(r#""{}""#, id(1)));
    assert_eq!(scene.node.refuse(name, NakCode::Refused, scene.now), Err(ReplyError::Gone));
    let late = said(&mut scene, two, 9_000, 2)[0];
    scene.now = scene.now + SECOND * 9;
    assert_eq!(scene.node.refuse(late, NakCode::Refused, scene.now), Err(ReplyError::Gone));
    let stopped = said(&mut scene, two, 9_000, 3)[0];
    scene.node.shutdown(SECOND, scene.now);
    let stopping = Err(ReplyError::Stopping);
    assert_eq!(scene.node.refuse(stopped, NakCode::Refused, scene.now), stopping);
    assert_eq!(scene.node.reply(stopped, "K", &r, true, scene.now), stopping);
}

#[test]
fn an_answer_that_finds_no_room_is_not_said() {
    let mut scene = Scene::limited(|limits| limits.send_queue = 4096);
    let two = scene.meet(2);
    let name = said(&mut scene, two, 9_000, 1)[0];
    let text = body(&"x".repeat(1500));
    let reply = |scene: &mut Scene| scene.node.reply(name, "K", &text, false, scene.now);
    let mut count = 0;
    let full = loop {
        if let Err(full) = reply(&mut scene) {
            break full;
        }
        count += 1;
    };
    assert!(matches!(full, ReplyError::Full { limit: 4096, .. }), "{full:?}");
    assert_eq!(scene.heard(two, "reply").len(), count);
    assert!(matches!(&scene.events()[..], [Event::Writable { .. }]));
    assert_eq!(reply(&mut scene), Ok(()));
    assert_eq!(value(&scene.heard(two, "reply")[0], "n"), count.to_string(), "no number is lost");
}

#[test]
fn answers_go_where_the_latest_try_came_from_or_to_who_asked() {
    let mut scene = Scene::new();
    let [two, three] = [2, 3].map(|number| scene.meet(number));
    let name = said(&mut scene, three, 9_000, 1)[0];
    let reply = |scene: &mut Scene| {
        scene.node.reply(name, "K", &body("r"), false, scene.now).unwrap();
        [two, three].map(|conn| scene.heard(conn, "reply").len())
    };
    assert_eq!(reply(&mut scene), [0, 1]);
    scene.node.closed(three, TransportError::Reset, scene.now);
    assert_eq!(reply(&mut scene), [1, 0]);
}

#[test]
fn a_request_that_finds_no_room_is_told_so() {
    let mut scene = Scene::limited(|limits| limits.answering = 2);
    let two = scene.meet(2);
    let asked = [1, 2, 3].map(|number| said(&mut scene, two, 9_000, number).len());
    assert_eq!(asked, [1, 1, 0]);
    let codes = |scene: &mut Scene| -> Vec<String> {
        scene.heard(two, "nak").iter().map(|line| value(line, "code")).collect()
    };
    assert_eq!(codes(&mut scene), [r#""busy""#]);
    let mut scene = Scene::new();
    let two = scene.meet(2);
    scene.fall_behind();
    scene.counts("", |scene| assert!(said(scene, two, 9_000, 1).is_empty()));
    let said = scene.heard(two, "nak");
    assert_eq!(value(&said[0], "code"), r#""busy""#);
}

#[test]
fn a_request_is_told_with_its_time_and_no_longer_than_may_be() {
    let mut scene = Scene::limited(|limits| limits.request_deadline = SECOND * 5);
    let two = scene.meet(2);
    for (left, expected) in [(1, 1), (4_999, 4_999), (5_000, 5_000), (5_001, 5_000)] {
        scene.request_numbered(two, left);
        let request = scene.events().into_iter().find_map(|event| {
            let Event::Request(request) = event else { return None };
            Some(request)
        });
        let deadline = request.unwrap().deadline();
        assert_eq!(deadline, scene.now + Duration::from_millis(expected));
    }
}

impl Scene {
    fn request_numbered(&mut self, conn: ConnId, deadline: u64) {
        let numbers = format!(r#""ttl":1,"deadline":{deadline},"try":0"#);
        let more = format!(r#""id":"b.{deadline}","time":7,{numbers},"kind":"K","msg":1"#);
        self.pass(conn, "request", (2, 1), &more);
    }
}

#[test]
fn answers_said_again_are_lost_where_there_is_no_room() {
    let mut scene = Scene::limited(|limits| limits.send_queue = 4096);
    let two = scene.meet(2);
    let name = said(&mut scene, two, 9_000, 1)[0];
    for last in [false, true] {
        scene.node.reply(name, "K", &body(&"x".repeat(1500)), last, scene.now).unwrap();
    }
    // The first ones wait still.
    scene.counts("duplicates 1, skipped 2", |scene| scene.request(two, (2, 1), (1, 9_000)));
    assert_eq!(scene.heard(two, "reply").len(), 2);
    scene.counts("duplicates 1", |scene| scene.request(two, (2, 1), (1, 9_000)));
    assert_eq!(scene.heard(two, "reply").len(), 2);
}

#[test]
fn who_asks_more_than_is_taken_is_not_read() {
    for line in ["request", "reply", "message", "error"] {
        let mut scene = Scene::limited(|limits| limits.event_queue = 4096);
        let two = scene.meet(2);
        let asked = ask(&mut scene, 2, 60).unwrap();
        let re = scene.node.wire_id(asked.number());
        let mut said = 0;
        while scene.node.wants_read(two) && said < 99 {
            match line {
                "request" => scene.request_numbered(two, 9_000 + said),
                "message" => {
                    let more = format!(r#""id":"c.{said}","time":1,"ttl":1,"kind":"K","msg":1"#);
                    scene.pass(two, "message", (2, 1), &more);
                }
                "error" => scene.say(two, r#"{"msgtype":"error","re":"x","code":"y"}"#),
                _ => {
                    let more = format!(r#""re":"{re}","n":{said},"kind":"K","msg":1"#);
                    scene.pass(two, "reply", (2, 1), &more);
                }
            }
            said += 1;
            assert_eq!(scene.node.wants_read(two), !scene.node.events.is_over(), "{line}");
        }
        assert!(said < 20, "{line}");
        scene.events();
        assert!(scene.node.wants_read(two));
    }
}

#[test]
fn a_node_that_stops_keeps_nothing_of_others() {
    let mut scene = Scene::keyspace(Keyspace::On, |_| {});
    let [two, three] = [2, 3].map(|number| scene.meet_by_id(number));
    said(&mut scene, two, 9_000, 1);
    scene.message(two, (2, 9), 9);
    scene.message(three, (8, 1), 9);
    scene.node.seek(id(0x50));
    assert!(scene.node.walks.bytes() > 0 && scene.node.routes.knows(id(8)));
    scene.node.shutdown(SECOND, scene.now);
    assert_eq!((scene.node.walks.bytes(), scene.node.answering.next_deadline()), (0, None));
    assert!(!scene.node.routes.knows(id(8)) && !scene.node.seeks.contains(id(0x50)));
    assert!(scene.node.relayed.refused("a.1", id(3)).is_empty());
}
