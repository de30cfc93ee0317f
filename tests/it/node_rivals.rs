//! Two connections between the same nodes: whatever the order of dials, exactly one stays.

use std::time::Duration;

use peerline_proto::{CloseReason, Config, Event, NodeId, PeerId, Side};
use peerline_testkit::entropy::{Entropy, seeds};
use peerline_testkit::net::{HostId, Net};

/// Counts of `PeerUp` and `PeerDown`.
fn ups_and_downs(net: &Net, host: HostId) -> (usize, usize) {
    let count = |test: fn(&Event) -> bool| net.events(host).iter().filter(|e| test(e)).count();
    (
        count(|event| matches!(event, Event::PeerUp { .. })),
        count(|event| matches!(event, Event::PeerDown { .. })),
    )
}

/// Both dial each other one to three times, at random moments.
fn dial_at_random(net: &mut Net, entropy: &mut Entropy, a: HostId, b: HostId) {
    let mut dials = Vec::new();
    for (from, to) in [(a, b), (b, a)] {
        for _ in 0..entropy.between(0, 3) {
            dials.push((entropy.below(3_000), from, to));
        }
    }
    dials.push((0, a, b));
    dials.sort_unstable();
    let start = net.now();
    for (millis, from, to) in dials {
        let at = start + Duration::from_millis(millis);
        net.run_for(at.saturating_since(net.now()));
        net.dial(from, to);
    }
}

#[test]
fn exactly_one_connection_survives_any_order_of_dials() {
    for seed in seeds(400) {
        let (mut net, mut entropy) = (Net::new(seed), Entropy::new(seed));
        net.latency(1, entropy.between(2, 500));
        let (a, b) = (net.add(), net.add());
        dial_at_random(&mut net, &mut entropy, a, b);
        net.run_for(Duration::from_secs(20));
        assert!(net.are_peers(a, b), "seed {seed}");
        assert_eq!((net.sockets(a), net.sockets(b)), (1, 1), "seed {seed}");
        for host in [a, b] {
            assert_eq!(ups_and_downs(&net, host), (1, 0), "seed {seed} host {host}");
        }
    }
}

#[test]
fn whoever_is_dialled_and_dials_back_takes_no_place_that_is_not_there() {
    let mut limits = Config::default().limits().clone();
    limits.max_inbound = 1;
    let narrow = Config::builder().limits(limits).build().expect("bounds that fit");
    for seed in seeds(40) {
        let mut net = Net::new(seed);
        let full = net.add_with(narrow.clone());
        let (first, other) = (net.add(), net.add());
        net.dial(first, full);
        net.dial(full, other);
        net.run_for(Duration::from_secs(2));
        assert!(net.are_peers(full, first) && net.are_peers(full, other), "seed {seed}");
        // The one that was dialled begins anew, and dials while its old connection is there.
        net.vanish(other);
        net.restart(other);
        net.dial(other, full);
        for _ in 0..300 {
            net.run_for(Duration::from_millis(100));
            let inbound = net.node(full).peers().filter(|peer| peer.side == Side::Listener);
            assert!(inbound.count() <= 1, "seed {seed}");
        }
        assert!(net.are_peers(full, first) && net.are_peers(full, other), "seed {seed}");
    }
}

#[test]
fn exactly_one_connection_survives_when_connections_break_meanwhile() {
    for seed in seeds(400) {
        let (mut net, mut entropy) = (Net::new(seed), Entropy::new(seed));
        net.latency(1, entropy.between(2, 500));
        let (a, b) = (net.add(), net.add());
        dial_at_random(&mut net, &mut entropy, a, b);
        for _ in 0..entropy.between(1, 3) {
            net.run_for(entropy.millis(0, 2_000));
            net.break_pipe(entropy.between(1, 6));
        }
        net.run_for(Duration::from_secs(30));
        assert!(net.are_peers(a, b), "seed {seed}");
        assert_eq!((net.sockets(a), net.sockets(b)), (1, 1), "seed {seed}");
        for host in [a, b] {
            let (ups, downs) = ups_and_downs(&net, host);
            assert_eq!(ups, downs + 1, "seed {seed} host {host}");
        }
    }
}

#[test]
fn nothing_sent_meanwhile_is_lost_or_doubled() {
    for seed in seeds(200) {
        let (mut net, mut entropy) = (Net::new(seed), Entropy::new(seed));
        let (a, b) = (net.add(), net.add());
        net.dial(a, b);
        assert!(net.run_until(Duration::from_secs(2), |net| net.are_peers(a, b)));
        dial_at_random(&mut net, &mut entropy, a, b);
        let mut expected = Vec::new();
        for number in 0..20 {
            assert_eq!(net.broadcast(a, "N", &number.to_string()).queued, 1, "seed {seed}");
            expected.push(format!("\"{number}\""));
            net.run_for(entropy.millis(0, 300));
        }
        net.run_for(Duration::from_secs(10));
        let mut bodies: Vec<String> = net.received(b).into_iter().map(|(_, body)| body).collect();
        bodies.sort_by_key(|body| body.trim_matches('"').parse::<u32>().unwrap());
        assert_eq!(bodies, expected, "seed {seed}");
    }
}

#[test]
fn a_silent_older_connection_gives_way_to_a_newer() {
    let mut net = Net::new(7);
    let (a, b) = (net.add(), net.add());
    net.dial(a, b);
    assert!(net.run_until(Duration::from_secs(2), |net| net.are_peers(a, b)));
    // The first connection's bytes stop arriving, without a word; then one side dials again.
    net.run_for(Duration::from_secs(3));
    net.freeze_pipe(1);
    net.dial(b, a);
    net.run_for(Duration::from_secs(12));
    assert!(net.are_peers(a, b));
    assert_eq!(net.broadcast(a, "N", "over the new one").queued, 1);
    net.run_for(Duration::from_secs(1));
    assert_eq!(net.received(b).len(), 1);
    assert_eq!(ups_and_downs(&net, a), (1, 0));
}

#[test]
fn a_clone_of_a_peer_is_closed_as_a_duplicate_and_the_peer_stays() {
    let mut net = Net::new(3);
    let id = NodeId::from_random_bytes([9; 16]);
    let (hub, peer) = (net.add(), net.add_named(id, Config::default(), 1));
    let clone = net.add_named(id, Config::default(), 2);
    net.dial(peer, hub);
    assert!(net.run_until(Duration::from_secs(2), |net| net.are_peers(hub, peer)));
    net.dial(clone, hub);
    net.run_for(Duration::from_secs(8));
    assert_eq!(ups_and_downs(&net, hub), (1, 0));
    let carried = net.node(hub).peer(&PeerId::Node(id)).unwrap().addr.ip();
    assert_eq!(carried, net.addr(peer).ip());
}

#[test]
fn what_a_rival_connection_says_does_not_go_back_by_the_other() {
    let mut net = Net::new(3);
    let hub = net.add_named(NodeId::from_random_bytes([9; 16]), Config::default(), 0);
    let name = |number| format!("0000000{number}-0000-4000-8000-000000000000");
    // The smaller node decides, and the first two, which are one, do not.
    let [first, rival, other] = [1, 1, 2].map(|number| {
        let stranger = net.intrude(hub, "203.0.113.1:1024".parse().unwrap());
        let name = name(number);
        let hello = format!("{{\"msgtype\":\"hello\",\"nodeid\":\"{name}\",\"version\":1}}\n");
        net.say(stranger, hello);
        net.run_for(Duration::from_millis(300));
        stranger
    });
    assert_eq!((net.sockets(hub), net.node(hub).peer_count()), (3, 2));
    let line = format!(
        "{{\"msgtype\":\"broadcast\",\"originator\":\"{}\",\"epoch\":1,\"seq\":1,\
         \"time\":1,\"kind\":\"N\",\"msg\":\"x\"}}\n",
        name(7)
    );
    net.say(rival, line);
    net.run_for(Duration::from_millis(300));
    let told = [first, rival, other].map(|stranger| net.heard(stranger).contains("broadcast"));
    assert_eq!(told, [false, false, true]);
}

#[test]
fn two_of_the_same_id_part_at_once() {
    let mut net = Net::new(3);
    let id = NodeId::from_random_bytes([9; 16]);
    let a = net.add_named(id, Config::default(), 0);
    let b = net.add_named(id, Config::default(), 1);
    net.dial(a, b);
    net.run_for(Duration::from_secs(1));
    assert_eq!(ups_and_downs(&net, b), (0, 0));
    let failed = net
        .events(b)
        .iter()
        .any(|event| matches!(event, Event::ConnectionFailed { reason: CloseReason::SameId, .. }));
    assert!(failed);
}

#[test]
fn a_node_that_reaches_itself_remembers_the_address_for_an_hour() {
    let mut net = Net::new(5);
    let a = net.add();
    let alias = "10.9.9.9:5999".parse().unwrap();
    net.alias(alias, a);
    net.with(a, |node, now| node.add_bootstrap(alias, now));
    net.run_for(Duration::from_secs(60));
    let told = net.events(a).iter().filter(|event| !matches!(event, Event::Isolated));
    let failures: Vec<&Event> = told.collect();
    assert_eq!(failures.len(), 2, "both ends once, and no second dial: {failures:?}");
    for event in failures {
        let found =
            matches!(event, Event::ConnectionFailed { reason: CloseReason::SelfConnection, .. });
        assert!(found, "{event:?}");
    }
    assert_eq!(net.sockets(a), 0);
    assert!(net.dial_addr(a, alias).is_err());
}
