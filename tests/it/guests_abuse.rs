//! Hostile guests: what they cannot make a node do, however they ask.

use std::net::SocketAddr;
use std::time::Duration;

use peerline_proto::{
    CloseReason, Config, Dialect, Event, Limits, Payload, ReplyError, RequestError, Violation,
};
use peerline_testkit::net::{Cut, HostId, Net, Stranger};
use peerline_testkit::vectors::{frame, frames};
use serde_json::{Value, json};

const SECOND: Duration = Duration::from_secs(1);

fn place(number: u16) -> SocketAddr {
    let [high, low] = number.to_be_bytes();
    SocketAddr::from(([10, 6, high, low], 22_000))
}

/// A node on a network that cuts nothing.
fn setup() -> (Net, HostId) {
    let mut net = Net::new(5);
    net.cut(Cut::Whole);
    let host = net.add();
    (net, host)
}

/// Somebody at `from` says something and ends.
fn say(net: &mut Net, host: HostId, from: SocketAddr, bytes: &[u8]) -> Stranger {
    let stranger = net.intrude(host, SocketAddr::new(from.ip(), 40_000));
    net.say(stranger, bytes);
    net.hang_up(stranger);
    stranger
}

fn chat(kind: &str, name: &str, msg: &Value, time: u32) -> Vec<u8> {
    let object =
        json!({"msg_type": kind, "msg": msg, "originator": name, "time": time.to_string()});
    object.to_string().into_bytes()
}

fn place_of(addr: SocketAddr) -> Value {
    json!([addr.ip().to_string(), addr.port()])
}

/// A chat peer joins from its own address.
fn join(net: &mut Net, host: HostId, name: &str, addr: SocketAddr) {
    net.lure(addr);
    say(net, host, addr, &chat("PING", name, &place_of(addr), 0));
    net.run_for(SECOND / 5);
}

/// What the chat peer at an address was told, by kind.
fn told(net: &Net, addr: SocketAddr, kind: &str) -> usize {
    let said = net
        .lured(addr)
        .iter()
        .filter_map(|stranger| serde_json::from_slice::<Value>(net.heard_bytes(*stranger)).ok());
    said.filter(|object| object["msg_type"] == kind).count()
}

// ---- whom it dials

#[test]
fn a_guest_cannot_have_a_third_party_dialled() {
    let (mut net, host) = setup();
    let (guest, third) = (place(1), place(2));
    for addr in [guest, third] {
        net.lure(addr);
    }
    for kind in ["PING", "PONG"] {
        say(&mut net, host, guest, &chat(kind, "able", &place_of(third), 0));
    }
    let row = format!("{third} {} {}", third.ip(), third.port());
    say(&mut net, host, guest, &frame("JOIN", row.as_bytes()));
    net.run_for(SECOND);
    net.with(host, |node, now| {
        node.check_live(now);
        node.broadcast("CHAT", &Payload::encode("x").unwrap(), now).unwrap();
    });
    net.run_for(5 * SECOND);
    assert!(net.lured(third).is_empty());
    assert!(net.lured(guest).len() >= 3, "it is dialled where it speaks from");
    assert!(net.node(host).guests().all(|guest| guest.addr.ip() == place(1).ip()));
}

#[test]
fn a_stranger_s_word_on_others_is_ignored_and_a_guest_s_is_rationed() {
    let (mut net, host) = setup();
    for number in 100..400 {
        net.lure(place(number));
    }
    let called = |net: &Net| (100..400).filter(|n| !net.lured(place(*n)).is_empty()).count();
    let tell = |net: &mut Net, numbers: std::ops::Range<u16>| {
        for number in numbers {
            let msg = json!([format!("n{number}"), place_of(place(number))]);
            say(net, host, place(1), &chat("ADVERTISE_REPLY", "able", &msg, 0));
        }
    };
    tell(&mut net, 100..200);
    net.run_for(10 * SECOND);
    assert_eq!(called(&net), 0);
    join(&mut net, host, "able", place(1));
    tell(&mut net, 200..300);
    net.run_for(SECOND);
    assert!((1..=18).contains(&called(&net)), "{}", called(&net));
    tell(&mut net, 300..400);
    net.run_for(SECOND);
    assert!(called(&net) <= 22, "{}", called(&net));
}

#[test]
fn whoever_asks_in_another_s_name_has_nothing_sent_to_the_other() {
    let (mut net, host) = setup();
    for (name, number) in [("able", 1), ("baker", 2), ("charlie", 3)] {
        join(&mut net, host, name, place(number));
    }
    let ask = chat("ADVERTISE", "able", &json!(""), 0);
    for _ in 0..50 {
        say(&mut net, host, place(2), &ask);
        say(&mut net, host, place(9), &ask);
    }
    net.run_for(2 * SECOND);
    assert_eq!(told(&net, place(1), "ADVERTISE_REPLY"), 0);
    for _ in 0..50 {
        say(&mut net, host, place(1), &ask);
    }
    net.run_for(5 * SECOND);
    assert_eq!(told(&net, place(1), "ADVERTISE_REPLY"), 2, "once, one for each other peer");
}

// ---- how much it makes of how little

#[test]
fn a_flood_from_one_address_is_cut_to_its_rate_and_others_are_heard() {
    let (mut net, host) = setup();
    join(&mut net, host, "able", place(1));
    for time in 0..1_000 {
        say(&mut net, host, place(1), &chat("BROADCAST", "able", &json!("flood"), time));
    }
    net.run_for(SECOND);
    join(&mut net, host, "baker", place(2));
    net.run_for(SECOND);
    let lines = net.received(host).iter().filter(|(kind, _)| kind == "CHAT").count();
    assert!((200..=256 + 16 * 2).contains(&lines), "{lines}");
    assert_eq!(told(&net, place(2), "PONG"), 1);
    assert!(net.node(host).stats().guests_ignored >= 700);
}

#[test]
fn a_line_of_chat_is_told_once_to_each_other_peer_however_often_it_comes() {
    let (mut net, host) = setup();
    for (name, number) in [("able", 1), ("baker", 2), ("charlie", 3)] {
        join(&mut net, host, name, place(number));
    }
    for _ in 0..20 {
        for number in 1..4 {
            let said = chat("BROADCAST", "able", &json!("once"), 0);
            say(&mut net, host, place(number), &said);
        }
    }
    net.run_for(5 * SECOND);
    let told: Vec<usize> = (1..4).map(|number| told(&net, place(number), "BROADCAST")).collect();
    assert_eq!(told, [0, 1, 1]);
    assert_eq!(net.received(host).len(), 1);
}

#[test]
fn of_more_guests_than_are_remembered_the_least_recently_heard_goes() {
    let (mut net, host) = setup();
    for number in 0..70 {
        join(&mut net, host, &format!("n{number}"), place(number));
        let row = format!("b{number}:1 b 1");
        say(&mut net, host, place(number), &frame("JOIN", row.as_bytes()));
        say(&mut net, host, place(0), &chat("TEST", "n0", &json!(number), 0));
        net.run_for(SECOND / 5);
    }
    let known = |dialect| net.node(host).guests().filter(move |guest| guest.dialect == dialect);
    assert_eq!((known(Dialect::Chat).count(), known(Dialect::Btpeer).count()), (64, 64));
    let has = |name: &str| known(Dialect::Chat).any(|guest| guest.peer.to_string().ends_with(name));
    assert!(has(" n0") && !has(" n1") && has(" n69"), "n0 was heard again and again");
    let left = net.events(host).iter().filter(|event| matches!(event, Event::GuestLeft { .. }));
    assert_eq!(left.count(), 12);
}

#[test]
fn names_that_come_and_go_set_off_no_more_dials_than_those_remembered_may() {
    let (mut net, host) = setup();
    for number in 0..1000 {
        let addr = place(number);
        net.black_hole(addr);
        say(&mut net, host, addr, &chat("PING", &format!("n{number}"), &place_of(addr), 0));
        net.run_for(SECOND / 200);
    }
    net.run_for(SECOND);
    let guests = net.node(host).guests().count();
    assert_eq!((guests, net.sockets(host)), (64, 64), "one dial to each that is remembered");
}

// ---- how long, and how big

#[test]
fn a_message_of_a_guest_must_be_whole_within_the_handshake() {
    for bytes in [frame("NAME", &[b'x'; 100]), chat("PING", "able", &place_of(place(1)), 0)] {
        let (mut net, host) = setup();
        let stranger = net.intrude(host, place(1));
        for byte in &bytes {
            net.say(stranger, [*byte]);
            net.run_for(SECOND / 4);
        }
        assert!(net.is_cut(stranger));
        let reasons = net.events(host).iter().filter_map(|event| match event {
            Event::ConnectionFailed { reason, .. } => Some(reason.clone()),
            _ => None, // Event may grow; this asks for failures alone
        });
        assert_eq!(reasons.collect::<Vec<_>>(), [CloseReason::HandshakeTimeout]);
        assert_eq!(net.node(host).guests().count(), 0);
    }
}

#[test]
fn a_length_is_believed_only_as_far_as_bytes_have_come() {
    let (mut net, host) = setup();
    let before = net.node(host).buffered();
    let strangers: Vec<Stranger> =
        (0..100).map(|number| net.intrude(host, place(number))).collect();
    for stranger in &strangers {
        net.say(*stranger, b"FGET\0\0\x10\0abc");
    }
    net.run_for(SECOND);
    let held = net.node(host).buffered() - before;
    assert!(held <= 100 * 64, "{held} bytes for 100 times three");
    let (mut net, host) = setup();
    let stranger = net.intrude(host, place(1));
    net.say(stranger, b"NAME\xff\xff\xff\xff");
    net.run_for(SECOND);
    let failed = net.events(host).iter().any(|event| {
        matches!(
            event,
            Event::ConnectionFailed {
                reason: CloseReason::Violation(Violation::FrameTooLong { .. }),
                ..
            }
        )
    });
    assert!(failed && net.is_cut(stranger));
}

#[test]
fn a_guest_that_reads_nothing_is_let_go() {
    let (mut net, host) = setup();
    net.window(16);
    let strangers: Vec<Stranger> = (0..50).map(|number| net.intrude(host, place(number))).collect();
    for stranger in &strangers {
        net.turn_deaf(*stranger);
        net.say(*stranger, frame("NAME", b""));
    }
    net.run_for(10 * SECOND);
    assert_eq!((net.sockets(host), net.node(host).buffered()), (0, 0));
}

#[test]
fn only_the_first_request_of_a_connection_is_read() {
    let (mut net, host) = setup();
    let row = "10.6.0.1:22000 10.6.0.1 22000";
    let twice = [frame("NAME", b""), frame("JOIN", row.as_bytes())].concat();
    let stranger = say(&mut net, host, place(1), &twice);
    net.run_for(3 * SECOND);
    assert_eq!(frames(net.heard_bytes(stranger)).map(|frames| frames.len()), Some(1));
    assert!(!net.was_reset(stranger), "the answer is not destroyed by what is unread");
    assert_eq!(net.node(host).guests().count(), 0);
}

// ---- what the application still may

#[test]
fn guests_that_answer_nothing_do_not_keep_the_application_from_visiting() {
    let (mut net, host) = setup();
    for number in 0..64 {
        let addr = place(number);
        net.black_hole(addr);
        say(&mut net, host, addr, &chat("PING", &format!("n{number}"), &place_of(addr), 0));
    }
    net.run_for(SECOND);
    for number in 0..3 {
        let body = Payload::encode(&number).unwrap();
        net.with(host, |node, now| node.broadcast("CHAT", &body, now)).unwrap();
    }
    net.lure(place(100));
    let body = Payload::encode("").unwrap();
    let asked = net.with(host, |node, now| node.request_at(place(100), "NAME", &body, SECOND, now));
    assert!(asked.is_ok(), "{asked:?}");
    assert!(net.with(host, |node, now| node.join(place(100), Dialect::Chat, now)).is_ok());
}

#[test]
fn a_kind_that_no_frame_can_carry_is_the_caller_s_error() {
    let (mut net, host) = setup();
    let body = Payload::encode("").unwrap();
    let limit = 4;
    for (kind, len) in [("", 0), ("TOOLONG", 7), ("\u{e9}", 2), ("A\n", 2)] {
        let too_long = len > limit;
        let asked = net.with(host, |node, now| node.request_at(place(1), kind, &body, SECOND, now));
        let fault = match too_long {
            true => RequestError::KindTooLong { len, limit },
            false => RequestError::KindUnfit { len, limit },
        };
        assert_eq!(asked, Err(fault), "{kind:?}");
        let stranger = net.intrude(host, place(2));
        net.say(stranger, frame("ASKS", b""));
        net.run_for(SECOND);
        let request = net.events(host).iter().rev().find_map(|event| match event {
            Event::Request(request) => Some(request.reply_to()),
            _ => None, // Event may grow; this asks for requests alone
        });
        let to = request.unwrap();
        let replied = net.with(host, |node, now| node.reply(to, kind, &body, true, now));
        let fault = match too_long {
            true => ReplyError::KindTooLong { len, limit },
            false => ReplyError::KindUnfit { len, limit },
        };
        assert_eq!(replied, Err(fault), "{kind:?}");
        net.with(host, |node, now| node.reply(to, "REPL", &body, true, now)).unwrap();
    }
}

#[test]
fn what_waits_for_the_application_is_bounded_and_the_rest_is_closed_unanswered() {
    let mut limits = Limits::default();
    limits.guest_requests = 3;
    let mut net = Net::new(5);
    let host = net.add_with(Config::builder().limits(limits).build().unwrap());
    let asks: Vec<Stranger> =
        (0..5).map(|number| say(&mut net, host, place(number), &frame("ASKS", b"x"))).collect();
    net.run_for(3 * SECOND);
    let waiting = asks.iter().filter(|stranger| !net.is_cut(**stranger)).count();
    assert_eq!(waiting, 3);
    net.run_for(60 * SECOND);
    assert!(asks.iter().all(|stranger| net.is_cut(*stranger) && !net.was_reset(*stranger)));
}
