//! Lines under way by keyspace: whom they go to next, what is heard of them, how they end.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use super::*;

/// A node that routes by keyspace, and four neighbours that do: 2, from which lines come, and three
/// at which a line for 9 is tried one after the other.
struct Walking {
    scene: Scene,
    two: ConnId,
    next: [ConnId; 3],
}

const NEXT: [u8; 3] = [8, 0x0c, 0x40];

fn walking(change: impl FnOnce(&mut Limits)) -> Walking {
    let mut scene = Scene::keyspace(Keyspace::On, change);
    let two = scene.meet_by_id(2);
    let next = NEXT.map(|number| scene.meet_by_id(number));
    scene.events();
    Walking { scene, two, next }
}

impl Walking {
    /// How many lines of this type each of the three neighbours got.
    fn heard(&mut self, msgtype: &str) -> [usize; 3] {
        self.next.map(|conn| self.scene.heard(conn, msgtype).len())
    }

    fn refuse(&mut self, which: usize, more: &str) {
        let line = format!(r#"{{"msgtype":"error","re":"a.1"{more}}}"#);
        self.scene.say(self.next[which], &line);
    }

    /// What 2 is told of the end of its line: the code, and how far the line may still go.
    fn refused(&mut self) -> Vec<(String, String)> {
        let lines = self.scene.heard(self.two, "error");
        lines.iter().map(|line| (value(line, "code"), value(line, "ttl"))).collect()
    }

    /// Lets time pass in which all but some neighbours are heard.
    fn pass(&mut self, time: Duration, silent: &[usize]) {
        self.scene.run_for(time);
        self.scene.say(self.two, "");
        for which in (0..3).filter(|which| !silent.contains(which)) {
            self.scene.say(self.next[which], "");
        }
    }
}

/// How long a neighbour is waited for whose round trip was never measured.
const PATIENCE: Duration = Duration::from_millis(600);

#[test]
fn a_line_goes_to_the_nearest_with_a_ping_behind_it() {
    let mut walking = walking(|_| {});
    walking.scene.counts("relayed 1", |scene| scene.message(conn_of(scene, 2), (2, 9), 9));
    let text = walking.scene.heard(walking.next[0], "");
    assert_eq!(text.len(), 2, "{text:?}");
    assert!(text[0].starts_with(r#"{"msgtype":"message"#) && value(&text[0], "ttl") == "8");
    assert!(text[1].starts_with(r#"{"msgtype":"ping","nonce":"#));
    assert_eq!(walking.heard(""), [0; 3]);
    // The next line waits for the answer to that ping.
    let more = r#""id":"a.2","time":1,"ttl":9,"kind":"K","msg":1"#;
    walking.scene.pass(walking.two, "message", (2, 9), more);
    assert_eq!(walking.scene.heard(walking.next[0], "").len(), 1);
    let pong = format!(r#"{{"msgtype":"pong","nonce":{}}}"#, value(&text[1], "nonce"));
    walking.scene.say(walking.next[0], &pong);
    assert_eq!(walking.scene.heard(walking.next[0], "ping").len(), 1);
}

fn conn_of(scene: &Scene, number: u8) -> ConnId {
    scene.node.peers.conn(&PeerId::Node(id(number))).unwrap()
}

#[test]
fn a_refused_line_goes_to_one_after_another_while_it_may() {
    let mut walking = walking(|_| {});
    walking.scene.message(walking.two, (2, 9), 9);
    assert_eq!(walking.heard("message"), [1, 0, 0]);
    let busy = r#","code":"busy","ttl":5"#;
    walking.scene.counts("relayed 1", |scene| {
        let eight = conn_of(scene, 8);
        scene.say(eight, &format!(r#"{{"msgtype":"error","re":"a.1"{busy}}}"#));
    });
    let second = walking.scene.heard(walking.next[1], "message");
    assert_eq!((second.len(), value(&second[0], "ttl")), (1, "4".into()));
    walking.refuse(1, busy);
    let third = walking.scene.heard(walking.next[2], "message");
    assert_eq!((third.len(), value(&third[0], "ttl")), (1, "3".into()), "never more than given");
    assert!(walking.refused().is_empty());
    let before = walking.scene.node.stats().not_for_us;
    walking.refuse(2, r#","code":"busy","ttl":1"#);
    assert_eq!(walking.refused(), [(r#""no_route""#.into(), "1".into())]);
    assert_eq!(walking.scene.node.stats().not_for_us - before, 1);
    assert_eq!(walking.scene.node.walks.bytes(), 0);
    assert!(walking.scene.events().is_empty());
}

#[test]
fn a_line_that_may_go_no_further_ends_where_it_was_refused() {
    for (given_back, goes_on) in [("", false), (r#","ttl":1"#, false), (r#","ttl":2"#, true)] {
        let mut walking = walking(|_| {});
        walking.scene.message(walking.two, (2, 9), 9);
        walking.heard("");
        walking.refuse(0, &format!(r#","code":"no_route"{given_back}"#));
        assert_eq!(walking.heard("message"), [0, usize::from(goes_on), 0], "{given_back}");
        assert_eq!(walking.refused().len(), usize::from(!goes_on));
    }
}

#[test]
fn what_its_node_itself_says_and_what_others_would_say_too_is_the_end() {
    for (code, goes_on) in [("no_route", true), ("busy", true), ("refused", false)] {
        for (at, itself) in [("", false), (&format!(r#","at":"{}""#, id(9)), true)] {
            let mut walking = walking(|_| {});
            walking.scene.request(walking.two, (2, 9), (9, 9000));
            walking.heard("");
            let nak = format!(r#"{{"msgtype":"nak","re":"a.1","code":"{code}","ttl":7{at}}}"#);
            walking.scene.say(walking.next[0], &nak);
            let goes_on = goes_on && !itself;
            assert_eq!(walking.heard("request"), [0, usize::from(goes_on), 0], "{nak}");
            let passed = walking.scene.heard(walking.two, "nak");
            // One that goes on, however it ends, is refused by us.
            assert_eq!(passed, if goes_on { vec![] } else { vec![nak] });
        }
    }
}

#[test]
fn a_neighbour_that_is_the_node_itself_ends_it() {
    let mut walking = walking(|_| {});
    walking.scene.message(walking.two, (2, 8), 9);
    assert_eq!(walking.heard("message"), [1, 0, 0]);
    walking.refuse(0, r#","code":"busy","ttl":7"#);
    assert_eq!((walking.heard("message"), walking.refused().len()), ([0; 3], 1));
}

#[test]
fn a_line_that_a_neighbour_did_not_take_goes_elsewhere_when_that_is_gone() {
    for taken in [false, true] {
        let mut walking = walking(|_| {});
        walking.scene.message(walking.two, (2, 9), 9);
        let ping = walking.scene.heard(walking.next[0], "ping");
        let nonce = value(&ping[0], "nonce");
        if taken {
            let pong = format!(r#"{{"msgtype":"pong","nonce":{nonce}}}"#);
            walking.scene.say(walking.next[0], &pong);
        }
        walking.scene.node.closed(walking.next[0], TransportError::Reset, walking.scene.now);
        let next = walking.scene.heard(walking.next[1], "message");
        assert_eq!(next.len(), usize::from(!taken));
        assert!(next.iter().all(|line| value(line, "ttl") == "8"));
    }
}

#[test]
fn a_silent_neighbour_is_passed_over_until_it_is_heard() {
    let mut walking = walking(|_| {});
    walking.scene.message(walking.two, (2, 9), 9);
    walking.heard("");
    walking.scene.run_for(PATIENCE - Duration::from_nanos(1));
    assert_eq!(walking.heard("message"), [0; 3]);
    walking.scene.run_for(Duration::from_nanos(1));
    assert_eq!(walking.heard("message"), [0, 1, 0]);
    let hop = |walking: &Walking| walking.scene.node.next_hop(id(9), &[]).map(|(via, _)| via);
    let via = |which: usize| Some(id(NEXT[which]));
    assert_eq!(hop(&walking), via(1));
    assert!(walking.scene.node.is_silent(id(8), walking.next[0]));
    let itself = walking.scene.node.next_hop(id(8), &[]);
    assert_eq!(itself, Some((id(8), walking.next[0])), "for itself there is no other way");
    walking.pass(Duration::from_nanos(1), &[]);
    assert_eq!(hop(&walking), via(0));
}

#[test]
fn patience_is_four_round_trips_within_bounds() {
    for (millis, expected) in [(100, 400), (1, 200), (5_000, 2_000)] {
        let mut walking = walking(|limits| {
            limits.hop_min = Duration::from_millis(200);
            limits.hop_max = Duration::from_millis(2_000);
        });
        walking.scene.node.ping(walking.next[0]);
        walking.pass(Duration::from_millis(millis), &[0]);
        walking.scene.say(walking.next[0], r#"{"msgtype":"pong"}"#);
        walking.scene.message(walking.two, (2, 9), 9);
        walking.heard("");
        let expected = Duration::from_millis(expected);
        walking.scene.run_for(expected - Duration::from_nanos(1));
        assert_eq!(walking.heard("message"), [0; 3], "{millis}");
        walking.scene.run_for(Duration::from_nanos(1));
        assert_eq!(walking.heard("message"), [0, 1, 0], "{millis}");
    }
}

#[test]
fn a_neighbour_that_speaks_is_waited_for_but_not_for_ever() {
    let mut walking = walking(|_| {});
    walking.scene.message(walking.two, (2, 9), 9);
    walking.heard("");
    let most = Limits::default().suspect_max;
    let mut waited = Duration::ZERO;
    while walking.heard("message") == [0; 3] {
        walking.pass(PATIENCE / 2, &[]);
        waited += PATIENCE / 2;
        assert!(waited < most + PATIENCE * 2);
    }
    assert!(waited >= most, "{waited:?}");
}

#[test]
fn a_neighbour_that_is_not_read_is_waited_for() {
    let mut walking = walking(|_| {});
    walking.scene.message(walking.two, (2, 9), 9);
    walking.heard("");
    walking.scene.fall_behind();
    walking.scene.message(walking.next[0], (8, 1), 1); // one too many
    assert!(!walking.scene.node.wants_read(walking.next[0]));
    walking.scene.run_for(PATIENCE * 4);
    assert_eq!(walking.heard("message"), [0; 3]);
    walking.scene.events();
    walking.scene.run_for(Limits::default().suspect_max);
    assert_eq!(walking.heard("message")[1], 1);
}

#[test]
fn a_request_goes_on_with_what_is_left_of_its_time() {
    let mut walking = walking(|_| {});
    walking.scene.request(walking.two, (2, 9), (9, 1_000));
    let first = walking.scene.heard(walking.next[0], "request");
    // A millisecond when it was taken, and one when it went.
    assert_eq!(value(&first[0], "deadline"), "998");
    walking.scene.run_for(PATIENCE);
    let second = walking.scene.heard(walking.next[1], "request");
    assert_eq!(value(&second[0], "deadline"), "398");
    walking.pass(Duration::from_millis(397), &[]);
    let nak = r#"{"msgtype":"nak","re":"a.1","code":"no_route","ttl":7}"#;
    walking.scene.say(walking.next[1], nak);
    let third = walking.scene.heard(walking.next[2], "request");
    assert_eq!(value(&third[0], "deadline"), "1");
    let late = |millis: u64| {
        let mut walking = self::walking(|_| {});
        walking.scene.request(walking.two, (2, 9), (9, 1_000));
        walking.heard("");
        walking.pass(Duration::from_millis(millis), &[]);
        walking.scene.say(walking.next[0], nak);
        let codes = walking.scene.heard(walking.two, "nak");
        (walking.heard("request")[1], codes.first().map(|line| value(line, "code")))
    };
    assert_eq!(late(500), (1, None));
}

#[test]
fn time_that_is_up_ends_a_request_where_it_is() {
    for (left, expected) in [(2, "expired"), (3, "")] {
        let mut walking = walking(|_| {});
        walking.scene.request(walking.two, (2, 9), (9, left));
        let naks = walking.scene.heard(walking.two, "nak");
        let codes: Vec<String> = naks.iter().map(|line| value(line, "code")).collect();
        assert_eq!(codes.concat().trim_matches('"'), expected);
        assert_eq!(walking.heard("request"), [usize::from(expected.is_empty()), 0, 0]);
    }
}

#[test]
fn who_cannot_take_a_line_is_passed_over_and_the_last_reason_is_told() {
    let long = |takes: &[u8]| {
        let mut scene = Scene::keyspace(Keyspace::On, |limits| {
            limits.max_line = 2 * MAX_BROADCAST_LINE;
        });
        let two = scene.meet_by_id(2);
        let conns = [8, 0x0c].map(|number| {
            let max = 2 * MAX_BROADCAST_LINE * usize::from(takes.contains(&number));
            let more = format!(r#""caps":["route/1"],"max":{max}"#);
            scene.meet_at(&format!("192.0.2.{number}:1"), number, &more)
        });
        let text = "x".repeat(MAX_BROADCAST_LINE);
        let more = format!(r#""id":"a.1","time":1,"ttl":9,"kind":"K","msg":"{text}""#);
        scene.pass(two, "message", (2, 9), &more);
        let said = scene.heard(two, "error");
        let heard = conns.map(|conn| scene.heard(conn, "message").len());
        (heard, said.first().map(|line| value(line, "code")), scene.node.walks.bytes())
    };
    let (heard, said, _) = long(&[0x0c]);
    assert_eq!((heard, said), ([0, 1], None));
    let (heard, said, kept) = long(&[]);
    assert_eq!((heard, said.as_deref(), kept), ([0, 0], Some(r#""too_large""#), 0));
}

#[test]
fn a_full_neighbour_is_passed_over() {
    let mut walking = walking(|limits| limits.send_queue = 4096);
    let text = "x".repeat(2000);
    let pass = |walking: &mut Walking, number: u64| {
        let more = format!(r#""id":"a.{number}","time":1,"ttl":9,"kind":"K","msg":"{text}""#);
        walking.scene.pass(walking.two, "message", (2, 9), &more);
        walking.scene.heard(walking.two, "error").iter().map(|line| value(line, "code")).collect()
    };
    let codes: Vec<String> =
        (0..9).flat_map(|n| -> Vec<String> { pass(&mut walking, n) }).collect();
    let heard = walking.heard("message");
    assert!(heard[0] > 0 && heard.iter().all(|count| *count == heard[0]), "{heard:?}");
    assert_eq!(codes, vec![r#""busy""#; 9 - 3 * heard[0]]);
}

#[test]
fn what_has_no_room_at_all_is_refused() {
    let mut walking = walking(|limits| limits.walk_bytes = 1);
    walking.scene.message(walking.two, (2, 9), 9);
    assert_eq!(walking.refused(), [(r#""too_large""#.into(), "9".into())]);
}

#[test]
fn an_answer_from_one_that_had_the_request_before_finds_back() {
    let mut walking = walking(|_| {});
    walking.scene.request(walking.two, (2, 9), (9, 9_000));
    walking.scene.run_for(PATIENCE);
    assert_eq!(walking.heard("request"), [1, 1, 0]);
    let reply = |from: u8, last: bool| {
        let ends = format!(r#""from":"{}","to":"{}","last":{last}"#, id(from), id(2));
        format!(r#"{{"msgtype":"reply","re":"a.1","n":0,{ends},"kind":"K","msg":1}}"#)
    };
    let [eight, _, last] = walking.next;
    let scene = &mut walking.scene;
    scene.counts("not_for_us 1", |scene| scene.say(last, &reply(9, false)));
    scene.counts("not_for_us 1", |scene| scene.say(eight, &reply(5, false)));
    scene.counts("relayed 1", |scene| scene.say(eight, &reply(9, false)));
    assert!(scene.node.walks.bytes() > 0);
    scene.counts("relayed 1", |scene| scene.say(eight, &reply(9, true)));
    assert_eq!((scene.heard(walking.two, "reply").len(), scene.node.walks.bytes()), (2, 0));
}

// ---- ours ----

/// The id of a line of ours, which the first of the neighbours has.
fn ours(walking: &mut Walking, msgtype: &str) -> String {
    let lines = walking.scene.heard(walking.next[0], msgtype);
    assert_eq!((lines.len(), value(&lines[0], "ttl")), (1, "32".into()));
    value(&lines[0], "id")
}

#[test]
fn a_message_of_ours_begins_anew_once_and_is_lost_then() {
    let mut walking = walking(|limits| limits.siblings = 1);
    walking.scene.node.closed(walking.two, TransportError::Reset, walking.scene.now);
    walking.scene.events();
    walking.scene.node.send(&PeerId::Node(id(9)), "K", &body("m"), walking.scene.now).unwrap();
    let re = ours(&mut walking, "message");
    let no = |left: u64| format!(r#"{{"msgtype":"error","re":{re},"code":"busy","ttl":{left}}}"#);
    walking.scene.say(walking.next[0], &no(1));
    // Nothing was left of the first way: the next has the number of another.
    let again = walking.scene.heard(walking.next[1], "message");
    assert_eq!((value(&again[0], "try"), value(&again[0], "ttl")), ("1".into(), "31".into()));
    assert_eq!((value(&again[0], "id"), value(&again[0], "msg")), (re.clone(), r#""m""#.into()));
    assert!(walking.scene.events().is_empty());
    walking.scene.say(walking.next[1], &no(1));
    assert_eq!(walking.heard("message"), [0; 3], "there is no third");
    let told = walking.scene.events();
    let re = re.trim_matches('"');
    assert!(matches!(&told[..], [Event::PeerError { peer, re: known, code }]
        if *peer == PeerId::Node(id(1)) && **known == *re && **code == *"no_route"));
    assert_eq!(walking.scene.node.walks.bytes(), 0);
    assert_eq!(walking.scene.node.stats().not_for_us, 0);
}

#[test]
fn a_message_of_ours_to_a_neighbour_is_not_watched() {
    let mut walking = walking(|_| {});
    walking.scene.node.send(&PeerId::Node(id(8)), "K", &body("m"), walking.scene.now).unwrap();
    assert_eq!((walking.heard("ping"), walking.scene.node.walks.bytes()), ([0; 3], 0));
    walking.scene.node.send(&PeerId::Node(id(9)), "K", &body("m"), walking.scene.now).unwrap();
    assert_eq!(walking.heard("ping"), [1, 0, 0]);
    assert_eq!(walking.scene.node.stats().relayed, 0, "it is ours");
}

#[test]
fn a_request_of_ours_goes_elsewhere_and_is_refused_by_who_has_it() {
    let mut walking = walking(|_| {});
    let to = PeerId::Node(id(9));
    let asked = walking.scene.node.request(&to, "K", &body("r"), SECOND * 60, walking.scene.now);
    let asked = asked.unwrap();
    let re = ours(&mut walking, "request");
    let hop = |walking: &Walking| walking.scene.node.asked.get(asked).unwrap().hop;
    assert_eq!(hop(&walking), Some(id(8)));
    walking.scene.run_for(PATIENCE);
    assert_eq!((walking.heard("request"), hop(&walking)), ([0, 1, 0], Some(id(0x0c))));
    let refused = format!(r#"{{"msgtype":"nak","re":{re},"code":"refused","ttl":9}}"#);
    walking.scene.say(walking.next[0], &refused);
    assert!(walking.scene.events().is_empty(), "it has it no more");
    walking.scene.say(walking.next[1], &refused);
    assert!(matches!(&walking.scene.events()[..],
        [Event::RequestFailed { request, reason: RequestFailure::Nak { .. } }]
            if *request == asked));
}

#[test]
fn a_request_of_ours_is_tried_anew_where_nobody_is_left() {
    let mut walking = walking(|_| {});
    let to = PeerId::Node(id(9));
    let asked = walking.scene.node.request(&to, "K", &body("r"), SECOND * 60, walking.scene.now);
    let asked = asked.unwrap();
    let re = ours(&mut walking, "request");
    let no = format!(r#"{{"msgtype":"nak","re":{re},"code":"busy","ttl":1}}"#);
    walking.scene.say(walking.next[0], &no);
    let again = walking.scene.heard(walking.next[1], "request");
    assert_eq!((value(&again[0], "try"), value(&again[0], "ttl")), ("1".into(), "32".into()));
    assert_eq!(walking.scene.node.asked.get(asked).unwrap().hop, Some(id(0x0c)));
}
