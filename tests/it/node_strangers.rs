//! Strangers at the door: what ends a connection, with which reason, and that it costs that one
//! alone.

use std::net::SocketAddr;
use std::time::Duration;

use peerline_proto::{
    ByeReason, CloseReason, Config, Dialect, Event, Limits, PeerId, Side, TransportError, Violation,
};
use peerline_testkit::net::{HostId, Net, Stranger};

const STRANGER: &str = "11111111-1111-4111-8111-111111111111";

fn from(number: u8) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, number], 40_000))
}

fn hello(id: &str, version: u64) -> String {
    format!("{{\"msgtype\":\"hello\",\"nodeid\":\"{id}\",\"version\":{version}}}\n")
}

/// A node, and a stranger connected to it.
fn setup(config: Config) -> (Net, HostId, Stranger) {
    let mut net = Net::new(11);
    let host = net.add_with(config);
    let stranger = net.intrude(host, from(1));
    (net, host, stranger)
}

/// Why connections failed, in order.
fn failures(net: &Net, host: HostId) -> Vec<CloseReason> {
    let reasons = net.events(host).iter().filter_map(|event| match event {
        Event::ConnectionFailed { reason, .. } => Some(reason.clone()),
        _ => None, // Event may grow; this asks for failures alone
    });
    reasons.collect()
}

/// Why peers went, in order.
fn downs(net: &Net, host: HostId) -> Vec<CloseReason> {
    let reasons = net.events(host).iter().filter_map(|event| match event {
        Event::PeerDown { reason, .. } => Some(reason.clone()),
        _ => None, // Event may grow; this asks for ends alone
    });
    reasons.collect()
}

/// These first bytes end in this violation.
fn check_first(bytes: impl AsRef<[u8]>, expected: Violation) {
    let (mut net, host, stranger) = setup(Config::default());
    net.say(stranger, bytes);
    net.run_for(Duration::from_secs(1));
    assert_eq!(failures(&net, host), [CloseReason::Violation(expected)]);
    assert!(net.is_cut(stranger));
    assert_eq!((net.heard(stranger).as_str(), net.sockets(host)), ("", 0));
    assert_eq!(net.node(host).stats().violations, 1);
}

/// After a good hello, these bytes end in this violation.
fn check_later(bytes: impl AsRef<[u8]>, expected: Violation) {
    let (mut net, host, stranger) = setup(Config::default());
    net.say(stranger, hello(STRANGER, 1));
    net.say(stranger, bytes);
    net.run_for(Duration::from_secs(1));
    assert_eq!(downs(&net, host), [CloseReason::Violation(expected)]);
    assert!(net.is_cut(stranger));
}

#[test]
fn bytes_of_no_dialect_end_at_once_and_get_no_answer() {
    check_first([0x16, 3, 1], Violation::UnknownDialect { byte: 0x16 });
    check_first([0x1f], Violation::UnknownDialect { byte: 0x1f });
    check_first([b' '; 65], Violation::UnknownDialect { byte: b' ' });
}

/// Anything else is a frame; the letters of another protocol make it a long one.
#[test]
fn what_is_no_object_is_a_frame_and_a_stranger_sends_no_long_one() {
    let len = u32::from_be_bytes(*b"/ HT");
    check_first("GET / HTTP/1.1\r\n", Violation::FrameTooLong { len, limit: 4096 });
    check_first(b"NAME\0\0\x10\x01", Violation::FrameTooLong { len: 4097, limit: 4096 });
}

#[test]
fn the_first_bytes_of_a_dialect_that_is_off_are_refused_by_its_name() {
    for (dialect, first) in [
        (Dialect::Btpeer, "N"),
        (Dialect::Btpeer, "NAME\0\0\0\0"),
        (Dialect::Btpeer, "[]"),
        (Dialect::Chat, "{\"msg_type\""),
        (Dialect::Chat, "{\"msg\":[\"10.0.0.1\",1],\"msg_type\":\"PING\"}"),
    ] {
        let config = Config::builder().speak(dialect, false).build().unwrap();
        let (mut net, host, stranger) = setup(config);
        net.say(stranger, first);
        net.run_for(Duration::from_secs(1));
        let expected = Violation::DialectOff { dialect };
        assert_eq!(failures(&net, host), [CloseReason::Violation(expected)], "{first}");
        assert_eq!((net.heard(stranger).as_str(), net.sockets(host)), ("", 0));
        let native = net.intrude(host, from(2));
        net.say(native, hello(STRANGER, 1));
        net.run_for(Duration::from_secs(1));
        assert_eq!(net.node(host).peer_count(), 1, "the native dialect is always on");
    }
}

#[test]
fn the_first_line_is_short_and_a_hello() {
    let long = format!("{{\"msgtype\":\"hello\",\"x\":\"{}\"}}\n", "y".repeat(5000));
    let (mut net, host, stranger) = setup(Config::default());
    net.say(stranger, long);
    net.run_for(Duration::from_secs(1));
    let reasons = failures(&net, host);
    let [CloseReason::Violation(Violation::LineTooLong { len, limit: 4096 })] = reasons[..] else {
        panic!("{reasons:?}");
    };
    assert!(len > 4096);
    check_first("{\"msgtype\":\"ping\"}\n", Violation::NotHello);
    check_first("{\"msgtype\":\"nonsense\"}\n", Violation::NotHello);
    let what = "neither msgtype nor msg_type";
    check_first("{}\n", Violation::Malformed { at: 0, what });
    check_first(b"{\"msgtype\":\"\xff\"}\n", Violation::NotUtf8 { at: 12 });
}

#[test]
fn a_hello_must_name_a_node() {
    let what = "nodeid is not a UUID";
    check_first(hello("me", 1), Violation::Malformed { at: 0, what });
    let what = "nodeid of more than 64 bytes";
    check_first(hello(&"n".repeat(65), 0), Violation::Malformed { at: 0, what });
}

#[test]
fn after_the_hello_the_same_rules_hold_with_longer_lines() {
    check_later(hello(STRANGER, 1), Violation::SecondHello);
    check_later("{\"msgtype\":\"ping\",\"nonce\":-1}\n", {
        Violation::Malformed { at: 26, what: "a field of the wrong type" }
    });
    check_later(b"{\"msgtype\":\"x\",\"\xc3\":1}\n", Violation::NotUtf8 { at: 16 });
    let (mut net, host, stranger) = setup(Config::default());
    net.say(stranger, hello(STRANGER, 1));
    net.say(stranger, "x".repeat(300 * 1024));
    net.run_for(Duration::from_secs(1));
    let reasons = downs(&net, host);
    let [CloseReason::Violation(Violation::LineTooLong { len, limit: 262_144 })] = reasons[..]
    else {
        panic!("{reasons:?}");
    };
    assert!(len > 262_144);
}

#[test]
fn a_silent_stranger_has_ten_seconds() {
    let (mut net, host, stranger) = setup(Config::default());
    net.run_for(Duration::from_secs(10));
    assert!(!net.is_cut(stranger));
    net.run_for(Duration::from_secs(1));
    assert_eq!(failures(&net, host), [CloseReason::HandshakeTimeout]);
    assert!(net.is_cut(stranger));
}

#[test]
fn a_line_a_minute_buys_a_stranger_nothing() {
    let (mut net, host, stranger) = setup(Config::default());
    net.say(stranger, "{");
    for _ in 0..9 {
        net.say(stranger, " ");
        net.run_for(Duration::from_secs(1));
    }
    net.run_for(Duration::from_secs(2));
    assert_eq!(failures(&net, host), [CloseReason::HandshakeTimeout]);
}

#[test]
fn another_network_or_version_is_told_so_and_closed_in_order() {
    let with = |fields| format!("{{\"msgtype\":\"hello\",\"nodeid\":\"{STRANGER}\",{fields}}}\n");
    for (line, word, expected) in [
        (with("\"version\":1,\"network\":\"x\""), "network", CloseReason::Network),
        (
            with("\"version\":9,\"min_version\":7"),
            "version",
            CloseReason::Version { theirs: 9, theirs_min: 7, ours: 1, ours_min: 0 },
        ),
    ] {
        let (mut net, host, stranger) = setup(Config::default());
        net.say(stranger, line);
        net.run_for(Duration::from_secs(3));
        assert_eq!(failures(&net, host), [expected]);
        let told = format!("{{\"msgtype\":\"bye\",\"reason\":\"{word}\"}}\n");
        assert_eq!((net.heard(stranger), net.is_cut(stranger)), (told, true));
        assert_eq!(net.sockets(host), 0, "the linger is over");
    }
}

#[test]
fn whoever_finds_no_room_is_told_of_others() {
    let limits = |inbound| {
        let mut limits = Limits::default();
        limits.max_inbound = inbound;
        Config::builder().limits(limits).build().unwrap()
    };
    let mut net = Net::new(4);
    let (full, peer) = (net.add_with(limits(1)), net.add());
    net.dial(peer, full);
    assert!(net.run_until(Duration::from_secs(1), |net| net.are_peers(full, peer)));
    let stranger = net.intrude(full, from(9));
    net.say(stranger, hello(STRANGER, 1));
    net.run_for(Duration::from_secs(2));
    let told = net.heard(stranger);
    let peers = format!("\"peers\":[[\"{}\",\"{}\"]]", net.addr(peer), net.node(peer).id());
    assert!(told.contains("\"reason\":\"full\",\"retry\":15") && told.contains(&peers), "{told}");
    assert_eq!(failures(&net, full), [CloseReason::Full { peers: 1, limit: 1 }]);
}

#[test]
fn strangers_beyond_the_limit_push_out_the_most_crowded_group() {
    let mut limits = Limits::default();
    limits.half_open = 3;
    let mut net = Net::new(4);
    let host = net.add_with(Config::builder().limits(limits).build().unwrap());
    let lone = net.intrude(host, "198.51.100.1:1".parse().unwrap());
    let crowd: Vec<Stranger> = (1..=3).map(|number| net.intrude(host, from(number))).collect();
    net.say(crowd[0], "{");
    net.run_for(Duration::from_secs(1));
    assert!(!net.is_cut(lone));
    assert_eq!(failures(&net, host), [CloseReason::Crowded { limit: 3 }]);
    assert_eq!(crowd.iter().filter(|stranger| net.is_cut(**stranger)).count(), 1);
}

#[test]
fn a_version_0_node_gets_what_the_article_speaks_and_nothing_else() {
    let (mut net, host, stranger) = setup(Config::default());
    net.say(stranger, format!("{{\"nodeid\": \"{STRANGER}\", \"msgtype\": \"hello\"}}\n"));
    net.run_for(Duration::from_secs(1));
    let own = net.node(host).id();
    let expected = format!(
        "{{\"msgtype\":\"hello\",\"nodeid\":\"{own}\"}}\n{{\"msgtype\":\"ping\"}}\n\
         {{\"msgtype\":\"addr\",\"peers\":[]}}\n{{\"msgtype\":\"getaddr\"}}\n"
    );
    assert_eq!(net.heard(stranger), expected);
    net.say(
        stranger,
        "{\"msgtype\": \"ping\"}\n{\"msgtype\": \"nope\"}\n{\"msgtype\": \"pong\"}\n",
    );
    assert_eq!(net.broadcast(host, "NEWS", "not for version 0").queued, 0);
    net.run_for(Duration::from_secs(1));
    assert_eq!(net.heard(stranger), expected + "{\"msgtype\":\"pong\"}\n");
    net.with(host, |node, now| node.shutdown(Duration::from_secs(1), now));
    net.run_for(Duration::from_secs(1));
    assert!(!net.heard(stranger).contains("bye"));
}

#[test]
fn a_version_0_node_is_served_on_each_of_its_connections() {
    let (mut net, host, first) = setup(Config::default());
    let second = net.intrude(host, from(2));
    for stranger in [first, second] {
        net.say(stranger, hello(STRANGER, 0));
        net.run_for(Duration::from_secs(1));
        net.say(stranger, "{\"msgtype\": \"ping\"}\n");
    }
    net.run_for(Duration::from_secs(7));
    for stranger in [first, second] {
        assert!(net.heard(stranger).ends_with("{\"msgtype\":\"pong\"}\n"));
    }
    let guest = PeerId::Guest(STRANGER.into());
    assert!(net.node(host).peer(&guest).is_some());
    net.hang_up(first);
    net.run_for(Duration::from_secs(1));
    assert!(net.node(host).peer(&guest).is_some(), "up while one connection is");
    net.hang_up(second);
    net.run_for(Duration::from_secs(1));
    assert_eq!(downs(&net, host), [CloseReason::Transport(TransportError::Eof)]);
    let ups = net.events(host).iter().filter(|event| matches!(event, Event::PeerUp { .. }));
    assert_eq!(ups.count(), 1);
}

#[test]
fn a_fifth_connection_of_a_version_0_node_is_one_too_many() {
    let (mut net, host, _) = setup(Config::default());
    let strangers: Vec<Stranger> = (1..=5).map(|number| net.intrude(host, from(number))).collect();
    for stranger in &strangers {
        net.say(*stranger, hello("someone", 0));
        net.run_for(Duration::from_secs(1));
    }
    net.run_for(Duration::from_secs(2));
    let cut: Vec<bool> = strangers.iter().map(|stranger| net.is_cut(*stranger)).collect();
    assert_eq!(cut, [false, false, false, false, true]);
}

#[test]
fn a_dial_that_meets_a_violator_is_a_failed_dial_and_no_more() {
    let mut net = Net::new(2);
    let host = net.add();
    let addr = from(7);
    net.lure(addr);
    net.with(host, |node, now| node.dial(addr, now)).unwrap();
    net.run_for(Duration::from_secs(1));
    let stranger = net.lured(addr)[0];
    assert!(net.heard(stranger).len() <= 1_200, "a version 0 node reads no more at once");
    net.say(stranger, "SSH-2.0-x\r\n");
    net.run_for(Duration::from_secs(1));
    let expected = Violation::Malformed { at: 0, what: "not an object" };
    assert_eq!(failures(&net, host), [CloseReason::Violation(expected)]);
    assert_eq!(net.node(host).stats().violations, 0);
}

#[test]
fn a_bye_in_place_of_a_hello_is_a_failed_dial_with_its_reason() {
    let mut net = Net::new(2);
    let host = net.add();
    let (addr, other) = (from(7), from(8));
    net.lure(addr);
    net.lure(other);
    net.with(host, |node, now| node.dial(addr, now)).unwrap();
    net.run_for(Duration::from_secs(1));
    let peers = format!("[[\"{other}\",\"{STRANGER}\"]]");
    let bye = "{\"msgtype\":\"bye\",\"reason\":\"full\",\"retry\":600,\"peers\":";
    let bye = format!("{bye}{peers}}}\n");
    net.say(net.lured(addr)[0], bye);
    net.run_for(Duration::from_secs(300));
    assert_eq!(failures(&net, host)[0], CloseReason::Goodbye(ByeReason::Full));
    assert_eq!(net.lured(addr).len(), 1, "it is held as long as it asked");
    assert!(!net.lured(other).is_empty(), "the alternative is tried");
}

#[test]
fn who_dialled_is_told_apart() {
    let mut net = Net::new(2);
    let (a, b) = (net.add(), net.add());
    net.dial(a, b);
    assert!(net.run_until(Duration::from_secs(1), |net| net.are_peers(a, b)));
    let side = |host, other| net.node(host).peer(&net.id(other)).unwrap().side;
    assert_eq!((side(a, b), side(b, a)), (Side::Dialer, Side::Listener));
    let listens = |host, other| net.node(host).peer(&net.id(other)).unwrap().listens;
    assert_eq!(listens(a, b), Some(net.addr(b)));
    assert_eq!(listens(b, a), Some(net.addr(a)), "source address, port of the hello");
}

#[test]
fn a_peer_that_said_bye_is_dialled_again() {
    let mut net = Net::new(7);
    let (host, addr) = (net.add(), "10.9.9.9:5999".parse().unwrap());
    net.lure(addr);
    net.with(host, |node, now| node.add_bootstrap(addr, now));
    net.run_for(Duration::from_secs(1));
    let stranger = net.lured(addr)[0];
    net.say(stranger, hello(STRANGER, 1));
    net.say(stranger, "{\"msgtype\":\"bye\",\"reason\":\"shutdown\"}\n");
    net.hang_up(stranger);
    net.run_for(Duration::from_secs(10));
    assert_eq!(downs(&net, host), [CloseReason::Goodbye(ByeReason::Shutdown)]);
    assert!(net.lured(addr).len() > 1, "the address is free again");
}
