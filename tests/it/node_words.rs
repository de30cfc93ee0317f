//! What each word of a peer sets off, and what the verbs of the application refuse: the cases that
//! a run between well-behaved nodes never meets.

use std::net::SocketAddr;
use std::time::Duration;

use peerline_proto::{
    Action, BroadcastError, CloseReason, Config, ConnId, DialError, Event, Identity, Instant,
    Limits, Listen, Node, NodeId, Payload, PeerId, Refused, SendError, Start, TransportError,
    Violation,
};
use peerline_testkit::net::{HostId, Net, Stranger};

const SECOND: Duration = Duration::from_secs(1);
const STRANGER: &str = "11111111-1111-4111-8111-111111111111";

fn from(number: u8) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, number], 40_000))
}

/// A node, and a stranger that has said hello with these fields.
fn met(config: Config, fields: &str) -> (Net, HostId, Stranger) {
    let mut net = Net::new(5);
    let host = net.add_with(config);
    let stranger = net.intrude(host, from(1));
    net.say(stranger, format!("{{\"msgtype\":\"hello\",\"nodeid\":\"{STRANGER}\"{fields}}}\n"));
    net.run_for(SECOND);
    (net, host, stranger)
}

fn with_limits(change: impl FnOnce(&mut Limits)) -> Config {
    let mut limits = Limits::default();
    change(&mut limits);
    Config::builder().limits(limits).build().unwrap()
}

fn say(net: &mut Net, stranger: Stranger, line: &str) {
    net.say(stranger, format!("{line}\n"));
    net.run_for(SECOND);
}

#[test]
fn what_a_peer_reports_is_told_cut_to_whole_characters() {
    let (mut net, host, stranger) = met(Config::default(), ",\"version\":1");
    let long = "x".repeat(63) + "ä";
    say(&mut net, stranger, &format!("{{\"msgtype\":\"error\",\"re\":\"7\",\"code\":\"{long}\"}}"));
    let told = net.events(host).last().cloned();
    let Some(Event::PeerError { peer, re, code }) = told else { panic!("{told:?}") };
    assert_eq!(peer.to_string(), STRANGER);
    assert_eq!((&*re, &*code), ("7", "x".repeat(63).as_str()));
}

#[test]
fn an_unknown_message_is_counted_with_its_fields_and_ends_nothing() {
    let (mut net, host, stranger) = met(Config::default(), ",\"version\":1");
    let before = net.node(host).stats();
    say(&mut net, stranger, "{\"msgtype\":\"news\",\"a\":1,\"seq\":2}");
    let after = net.node(host).stats();
    assert_eq!(after.unknown_types - before.unknown_types, 1);
    assert_eq!(after.unknown_fields - before.unknown_fields, 2);
    assert_eq!(net.node(host).peer_count(), 1);
}

fn broadcast(originator: &str, epoch: u64, seq: u64, body: &str) -> String {
    format!(
        "{{\"msgtype\":\"broadcast\",\"originator\":\"{originator}\",\"epoch\":{epoch},\
         \"seq\":{seq},\"time\":0,\"kind\":\"K\",\"msg\":\"{body}\"}}"
    )
}

#[test]
fn a_broadcast_that_names_no_stream_is_not_taken() {
    let (mut net, host, stranger) = met(Config::default(), ",\"version\":1");
    for line in [
        broadcast("me", 1, 1, ""),
        broadcast(STRANGER, 1 << 32, 1, ""),
        broadcast(STRANGER, 1, 0, ""),
    ] {
        say(&mut net, stranger, &line);
    }
    assert_eq!((net.node(host).stats().not_taken, net.received(host).len()), (3, 0));
    say(&mut net, stranger, &broadcast(STRANGER, u64::from(u32::MAX), 1, ""));
    say(&mut net, stranger, &broadcast(STRANGER, u64::from(u32::MAX), 1, ""));
    assert_eq!((net.node(host).stats().duplicates, net.received(host).len()), (1, 1));
}

#[test]
fn a_broadcast_is_no_longer_than_every_node_must_take() {
    let config = with_limits(|limits| limits.max_line = 1 << 20);
    let (mut net, host, stranger) = met(config, ",\"version\":1");
    let most = 262_144 - broadcast(STRANGER, 1, 1, "").len();
    say(&mut net, stranger, &broadcast(STRANGER, 1, 1, &"x".repeat(most)));
    assert_eq!(net.received(host).len(), 1);
    say(&mut net, stranger, &broadcast(STRANGER, 1, 2, &"x".repeat(most + 1)));
    let last = net.events(host).last().cloned();
    let Some(Event::PeerDown { reason, .. }) = last else { panic!("{last:?}") };
    let expected = Violation::LineTooLong { len: 262_145, limit: 262_144 };
    assert_eq!(reason, CloseReason::Violation(expected));
}

#[test]
fn a_broadcast_in_our_name_is_told_once_and_not_delivered() {
    let (mut net, host, stranger) = met(Config::default(), ",\"version\":1");
    let own = net.node(host).id().to_string();
    for seq in 1..=3 {
        say(&mut net, stranger, &broadcast(&own, 1, seq, "forged"));
    }
    let vias: Vec<String> = net
        .events(host)
        .iter()
        .filter_map(|event| match event {
            Event::Impersonated { via } => Some(via.to_string()),
            _ => None, // Event may grow; this asks for one kind alone
        })
        .collect();
    assert_eq!(vias, [STRANGER]);
    assert_eq!((net.node(host).stats().not_taken, net.received(host).len()), (3, 0));
}

#[test]
fn a_message_is_for_us_and_comes_once() {
    let (mut net, host, stranger) = met(Config::default(), ",\"version\":1");
    let own = net.node(host).id().to_string();
    let message = |id: &str, from: &str, to: &str| {
        format!(
            "{{\"msgtype\":\"message\",\"id\":\"{id}\",\"from\":\"{from}\",\"to\":\"{to}\",\
             \"kind\":\"K\",\"time\":0,\"ttl\":1,\"msg\":0}}"
        )
    };
    for line in [
        message("1", STRANGER, &own),
        message("1", STRANGER, &own),
        message("2", STRANGER, STRANGER),
        message("3", "me", &own),
        message("3", STRANGER, "you"),
        message(&"4".repeat(33), STRANGER, &own),
        message(&"5".repeat(32), STRANGER, &own),
    ] {
        say(&mut net, stranger, &line);
    }
    let stats = net.node(host).stats();
    assert_eq!((stats.duplicates, stats.not_for_us, stats.not_taken), (1, 1, 3));
    assert_eq!(net.received(host).len(), 2);
    let answer = "{\"msgtype\":\"error\",\"re\":\"2\",\"code\":\"no_route\"}\n";
    assert_eq!(net.heard(stranger).matches(answer).count(), 1);
}

#[test]
fn a_peer_is_dialled_where_it_says_if_that_is_where_it_is() {
    for (listen, here, learned) in [
        ("7001", Some("192.0.2.1:7001"), "192.0.2.1:7001"),
        ("\"192.0.2.1:7001\"", Some("192.0.2.1:7001"), "192.0.2.1:7001"),
        ("\"[::ffff:192.0.2.1]:7001\"", Some("192.0.2.1:7001"), "192.0.2.1:7001"),
        ("\"198.51.100.1:7001\"", None, "198.51.100.1:7001"),
    ] {
        let (net, host, _) = met(Config::default(), &format!(",\"version\":1,\"listen\":{listen}"));
        let peer = net.node(host).peers().next().unwrap();
        assert_eq!(peer.listens.map(|addr| addr.to_string()).as_deref(), here, "{listen}");
        let known: Vec<String> = net.node(host).addresses().map(|addr| addr.to_string()).collect();
        assert_eq!(known, [learned], "{listen}");
    }
    let (net, host, _) = met(Config::default(), ",\"version\":1");
    assert_eq!(net.node(host).addresses().count(), 0);
}

#[test]
fn a_dialler_hears_where_we_advertise() {
    let place: SocketAddr = "198.51.100.7:99".parse().unwrap();
    let config = Config::builder().advertise(Listen::Addr(place)).build().unwrap();
    assert_eq!(config.advertise(), Some(Listen::Addr(place)));
    let (net, host, stranger) = met(config, ",\"version\":1");
    assert!(net.heard(stranger).contains(&format!("\"listen\":\"{place}\",\"you\":")));
    assert_eq!(net.node(host).listen_addrs(), [net.addr(host)]);
    assert_eq!(net.node(host).config().advertise(), Some(Listen::Addr(place)));
}

#[test]
fn the_most_peers_are_the_most_whoever_dials() {
    let config = Config::builder().max_peers(1).build().unwrap();
    let (mut net, host, first) = met(config, ",\"version\":1");
    let second = net.intrude(host, from(2));
    let other = STRANGER.replace('1', "2");
    say(
        &mut net,
        second,
        &format!("{{\"msgtype\":\"hello\",\"nodeid\":\"{other}\",\"version\":1}}"),
    );
    let told = net.heard(second);
    assert!(told.starts_with("{\"msgtype\":\"bye\",\"reason\":\"full\",\"retry\":15"), "{told}");
    let last = net.events(host).last().cloned();
    let Some(Event::ConnectionFailed { reason, .. }) = last else { panic!("{last:?}") };
    assert_eq!(reason, CloseReason::Full { peers: 1, limit: 1 });
    assert!(!net.is_cut(first) && net.node(host).peer_count() == 1);
}

#[test]
fn pings_are_not_answered_while_too_many_answers_wait() {
    let (mut net, host, stranger) = met(Config::default(), ",\"version\":1");
    net.turn_deaf(stranger);
    for _ in 0..20 {
        net.say(stranger, "{\"msgtype\":\"ping\"}\n".repeat(1_000));
        net.run_for(Duration::from_millis(50));
    }
    assert!(net.node(host).stats().pings_ignored > 10_000);
    assert!(net.node(host).buffered() < 100_000, "{}", net.node(host).buffered());
}

#[test]
fn addresses_told_too_fast_are_ignored_and_counted() {
    let (mut net, host, stranger) = met(Config::default(), ",\"version\":1");
    let line = |most: u32| {
        let peers: Vec<String> =
            (0..most).map(|n| format!("\"10.1.{}.{}:9\"", n >> 8, n & 255)).collect();
        format!("{{\"msgtype\":\"addr\",\"peers\":[{}]}}", peers.join(","))
    };
    let limits = Limits::default();
    let budget = u64::from(limits.addr_burst) + limits.addr_answer as u64;
    let ignored = |net: &Net| net.node(host).stats().addresses_ignored;
    say(&mut net, stranger, &line(257));
    assert_eq!(ignored(&net), 1, "one line has 256 at most");
    say(&mut net, stranger, &line(100));
    assert_eq!(ignored(&net), 1 + 256 + 100 - budget);
    assert_eq!(net.node(host).addresses().count(), 256);
    say(&mut net, stranger, "{\"msgtype\":\"addr\",\"peers\":[\"nowhere\"]}");
    assert_eq!(ignored(&net), 1 + 256 + 100 - budget, "what is no address costs nothing");
}

#[test]
fn addresses_are_told_once_in_ten_seconds() {
    let (mut net, _, stranger) = met(Config::default(), ",\"version\":1");
    let answers = |net: &Net| net.heard(stranger).matches("\"msgtype\":\"addr\"").count();
    for (wait, expected) in [(8, 1), (1, 1), (1, 2)] {
        say(&mut net, stranger, "{\"msgtype\":\"getaddr\"}");
        assert_eq!(answers(&net), expected);
        net.run_for(wait * SECOND);
    }
}

#[test]
fn no_verb_does_anything_after_the_shutdown() {
    let (mut net, host, _) = met(Config::default(), ",\"version\":1");
    let (peer, body) = (PeerId::Node(STRANGER.parse().unwrap()), Payload::encode("x").unwrap());
    net.with(host, |node, now| {
        node.shutdown(SECOND, now);
        assert_eq!(node.dial(from(9), now), Err(DialError::Stopping));
        assert_eq!(node.send(&peer, "K", &body, now), Err(SendError::Stopping));
        assert_eq!(node.broadcast("K", &body, now), Err(BroadcastError::Stopping));
        assert_eq!(node.accepted(from(9), now), Err(Refused::Stopping));
        node.add_bootstrap(from(9), now);
        node.handle_timeout(now);
    });
    net.run_for(2 * SECOND);
    assert!(net.node(host).is_stopping() && net.node(host).is_stopped());
    assert_eq!(net.node(host).poll_timeout(), None);
}

#[test]
fn a_second_shutdown_only_shortens_the_first() {
    for (first, second) in [(5, 1), (1, 5)] {
        let (mut net, host, stranger) = met(Config::default(), ",\"version\":1");
        net.turn_deaf(stranger);
        let ends = net.now() + SECOND;
        net.with(host, |node, now| {
            node.shutdown(first * SECOND, now);
            node.shutdown(second * SECOND, now);
        });
        let stopped = net.run_until(2 * SECOND, |net| net.node(host).is_stopped());
        assert!(stopped && net.now() <= ends + Duration::from_millis(50));
    }
}

#[test]
fn what_cannot_be_sent_says_why() {
    let (mut net, host, _) = met(Config::default(), ",\"version\":0");
    let guest = PeerId::Guest(STRANGER.into());
    let body = Payload::encode("x").unwrap();
    let kind = "k".repeat(129);
    net.with(host, |node, now| {
        assert_eq!(node.send(&guest, "K", &body, now), Err(SendError::Unsupported));
        let nobody = PeerId::Guest("nobody".into());
        assert_eq!(node.send(&nobody, "K", &body, now), Err(SendError::NotConnected));
        let broadcast = node.broadcast(&kind, &body, now);
        assert_eq!(broadcast, Err(BroadcastError::KindTooLong { len: 129, limit: 128 }));
        assert!(node.broadcast(&kind[1..], &body, now).is_ok());
        let unusable: SocketAddr = "224.0.0.1:9".parse().unwrap();
        assert_eq!(node.dial(unusable, now), Err(DialError::Unusable(unusable)));
    });
}

#[test]
fn all_queues_together_can_be_full_before_one_is() {
    let config = with_limits(|limits| {
        limits.send_queue = 100_000;
        limits.queued_total = 100_000;
    });
    let mut net = Net::new(5);
    let (hub, leaves) = (net.add_with(config), [net.add(), net.add()]);
    for leaf in leaves {
        net.dial(leaf, hub);
    }
    assert!(net.run_until(5 * SECOND, |net| net.node(hub).peer_count() == 2));
    for leaf in leaves {
        net.read(leaf, false);
    }
    let body = Payload::encode(&"x".repeat(60_000)).unwrap();
    let to = leaves.map(|leaf| net.id(leaf));
    let sent = net.with(hub, |node, now| to.each_ref().map(|to| node.send(to, "K", &body, now)));
    assert_eq!(sent[0], Ok(()));
    assert!(matches!(sent[1], Err(SendError::Full { limit: 100_000, .. })), "{sent:?}");
}

// ---- one node, driven by hand ----

fn node(config: Config) -> Node {
    let id = Identity::new(NodeId::from_random_bytes([3; 16]));
    Node::new(config, id, [7; 32], Start::default())
}

fn at(millis: u64) -> Instant {
    Instant::ZERO + Duration::from_millis(millis)
}

fn actions(node: &mut Node) -> Vec<Action> {
    std::iter::from_fn(|| node.poll_action()).collect()
}

#[test]
fn an_application_that_is_behind_gets_no_new_connections() {
    let mut node = node(with_limits(|limits| limits.event_queue = 4096));
    let stranger = |number| SocketAddr::from(([100, number, 0, 1], 9));
    for number in 0..17 {
        let conn = node.accepted(stranger(number), at(0)).unwrap();
        node.received(conn, b"\0", at(0));
    }
    let refused = Refused::Busy { queued: 17 * 256, limit: 4096 };
    assert_eq!(node.accepted(stranger(99), at(0)), Err(refused));
    let busy = DialError::Busy { queued: 17 * 256, limit: 4096 };
    assert_eq!(node.dial(stranger(99), at(0)), Err(busy));
    node.add_bootstrap(stranger(99), at(0));
    let _drops = actions(&mut node);
    node.handle_timeout(at(1));
    assert_eq!((actions(&mut node), node.poll_timeout()), (vec![], Some(at(2_001))));
    assert!(node.poll_event().is_some() && node.accepted(stranger(100), at(2)).is_ok());
    node.handle_timeout(at(2_001));
    assert!(matches!(actions(&mut node)[..], [Action::Connect { .. }]));
}

/// What is left of a dial, a stranger and a closing connection at these times.
fn open(node: &mut Node, conns: [ConnId; 3], now: Instant) -> [bool; 3] {
    node.handle_timeout(now);
    conns.map(|conn| node.is_open(conn))
}

#[test]
fn after_a_sleep_every_connection_has_its_time_again() {
    let limits = Limits::default();
    let mut node = node(Config::default());
    let dialled = node.dial(from(1), at(0)).unwrap();
    let stranger = node.accepted(from(2), at(0)).unwrap();
    let closing = node.accepted(from(3), at(0)).unwrap();
    node.received(closing, b"{\"msgtype\":\"hello\",\"nodeid\":\"x\",\"network\":\"y\"}\n", at(0));
    let hour = at(3_600_000);
    assert_eq!(open(&mut node, [dialled, stranger, closing], hour), [true; 3]);
    for (after, expected) in [
        (limits.linger, [true, true, false]),
        (limits.dial_timeout.max(limits.handshake_timeout), [false; 3]),
    ] {
        let just = after - Duration::from_millis(1);
        let before = open(&mut node, [dialled, stranger, closing], hour + just);
        assert_ne!(before, expected, "{after:?}");
        assert_eq!(open(&mut node, [dialled, stranger, closing], hour + after), expected);
    }
}

/// A node whose every timer fires this late, until its one peer, which is silent from the start on,
/// is down, or ten minutes are over: when it is down, and how many pings went out before.
fn silent_peer_goes(node: &mut Node, late: Duration) -> Option<(Instant, u64)> {
    let conn = node.accepted(from(1), at(0)).unwrap();
    let hello = format!("{{\"msgtype\":\"hello\",\"nodeid\":\"{STRANGER}\",\"version\":1}}\n");
    node.received(conn, hello.as_bytes(), at(0));
    let before = node.stats().lines_out;
    let mut now = at(0);
    while now < at(600_000) && node.is_open(conn) {
        let shown = node.outgoing(conn).len();
        node.sent(conn, shown, now);
        now = node.poll_timeout()? + late;
        node.handle_timeout(now);
    }
    (!node.is_open(conn)).then_some((now, node.stats().lines_out - before))
}

#[test]
fn a_dead_peer_goes_though_every_timer_is_five_seconds_late() {
    let (limits, late) = (Limits::default(), 5 * SECOND);
    let (gone, pings) = silent_peer_goes(&mut node(Config::default()), late).expect("it goes");
    assert!(gone <= at(0) + 2 * (limits.dead_after + late), "{gone}");
    assert!(pings > 0, "it is asked before");
}

#[test]
fn a_sleep_is_no_byte_when_a_newer_connection_stands_against_an_older() {
    let mut node = node(Config::default());
    let hello = format!("{{\"msgtype\":\"hello\",\"nodeid\":\"{STRANGER}\",\"version\":1}}\n");
    let older = node.accepted(from(1), at(0)).unwrap();
    node.received(older, hello.as_bytes(), at(0));
    node.handle_timeout(at(3_600_000));
    let newer = node.accepted(from(2), at(3_600_000)).unwrap();
    node.received(newer, hello.as_bytes(), at(3_600_000));
    // Whichever side decides, the older one is asked, and says nothing.
    for millis in (3_600_000..3_610_000).step_by(500) {
        node.handle_timeout(at(millis));
    }
    let carries = node.peers().map(|peer| peer.conn).collect::<Vec<_>>();
    assert_eq!(carries, [newer]);
}

#[test]
fn dials_that_fail_at_once_do_not_use_up_the_book_in_one_instant() {
    let mut node = node(Config::default());
    for number in 0..200 {
        node.add_bootstrap(SocketAddr::from(([198, 51, 100, number], 5999)), at(0));
    }
    let mut dials = 0;
    while node.poll_timeout() == Some(at(0)) {
        node.handle_timeout(at(0));
        for action in actions(&mut node) {
            let Action::Connect { conn, .. } = action else { continue };
            dials += 1;
            node.closed(conn, TransportError::Exhausted, at(0));
        }
    }
    assert_eq!(dials, Limits::default().max_dialing);
    assert_eq!(node.poll_timeout(), Some(at(100)));
}

#[test]
fn what_is_shown_of_a_node_holds_no_key() {
    let mut net = Net::new(1);
    let host = net.add();
    let routed = net.with(host, |node, _| {
        node.set_router(|_| None);
        format!("{node:?}")
    });
    assert!(routed.contains("Router(the application's)"), "{routed}");
    let shown = routed.split("Rng {").nth(1).expect("it has randomness");
    assert!(shown.trim_start().starts_with("counter"), "{shown}");
    assert!(!shown.split('}').next().expect("an end").contains("key"), "{shown}");
}
