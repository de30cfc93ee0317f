//! A few nodes on virtual time: handshake, broadcasts, duplicates, keep-alive, limits, ends.

use std::time::Duration;

use peerline_proto::{Config, Instant, Limits, Payload, TransportError, UnixTime};
use peerline_testkit::entropy::seeds;
use peerline_testkit::net::{HostId, Net};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn two_nodes_meet_and_talk_however_their_bytes_are_cut() {
    for seed in 0..50 {
        let mut net = Net::new(seed);
        let (a, b) = (net.add(), net.add());
        net.dial(a, b);
        assert!(net.run_until(SECOND, |net| net.are_peers(a, b)), "seed {seed}");
        assert_eq!(net.broadcast(a, "NEWS", "from a").queued, 1);
        assert_eq!(net.broadcast(b, "NEWS", "from b").queued, 1);
        net.run_for(SECOND);
        let got = |text: &str| [("NEWS".to_string(), format!("\"{text}\""))];
        assert_eq!(net.received(a), got("from b"), "seed {seed}");
        assert_eq!(net.received(b), got("from a"), "seed {seed}");
    }
}

#[test]
fn a_network_grows_from_one_address_and_each_broadcast_arrives_once_everywhere() {
    for seed in seeds(20) {
        let mut net = Net::new(seed);
        let hosts: Vec<HostId> = (0..10).map(|_| net.add()).collect();
        for host in &hosts[1..] {
            net.bootstrap(*host, hosts[0]);
        }
        net.run_for(Duration::from_secs(30));
        for host in &hosts {
            assert_eq!(net.node(*host).peer_count(), 9, "seed {seed} host {host}");
        }
        for host in &hosts {
            assert_eq!(net.broadcast(*host, "NEWS", &host.to_string()).queued, 9);
        }
        net.run_for(SECOND);
        for host in &hosts {
            let mut got: Vec<String> = net.received(*host).into_iter().map(|(_, b)| b).collect();
            got.sort();
            let others = hosts.iter().filter(|other| *other != host);
            let expected: Vec<String> = others.map(|other| format!("\"{other}\"")).collect();
            assert_eq!(got, expected, "seed {seed} host {host}");
        }
    }
}

#[test]
fn a_chain_forwards_to_its_end_byte_for_byte() {
    let mut net = Net::new(3);
    let mut limits = Limits::default();
    limits.full_mesh = 0;
    limits.target_outbound = 0;
    let config = Config::builder().limits(limits).build().unwrap();
    let hosts: Vec<HostId> = (0..5).map(|_| net.add_with(config.clone())).collect();
    for pair in hosts.windows(2) {
        net.dial(pair[0], pair[1]);
    }
    net.run_for(SECOND);
    net.start_trace();
    let text = "ä \u{1f600} \\ \" /";
    assert_eq!(net.broadcast(hosts[0], "K\"IND", text).queued, 1);
    net.run_for(SECOND);
    for host in &hosts[1..] {
        let body = serde_json::to_string(text).unwrap();
        assert_eq!(net.received(*host), [("K\"IND".to_string(), body)]);
    }
    let lines = net.trace().lines().filter_map(|line| line.split_once("> "));
    let lines: Vec<&str> = lines.map(|(_, line)| line).filter(|l| l.contains("broad")).collect();
    assert_eq!(lines.len(), 4);
    assert!(lines.iter().all(|line| *line == lines[0]));
}

/// Whatever the trees have become, and however full the queues are.
#[test]
fn a_receipt_names_every_neighbour_once() {
    let (mut lazy, mut full) = (0, 0);
    for seed in seeds(4) {
        let mut net = Net::new(seed);
        let mut limits = Limits::default();
        limits.send_queue = 8 * 1024;
        let config = Config::builder().limits(limits).build().unwrap();
        let hosts: Vec<HostId> = (0..8).map(|_| net.add_with(config.clone())).collect();
        let body = "x".repeat(3000);
        for number in 0..60 {
            if let Some(host) = hosts.get(number + 1).filter(|_| number < 7) {
                net.bootstrap(*host, hosts[0]);
                net.run_for(3 * SECOND);
            }
            for host in &hosts {
                let receipt = net.broadcast(*host, "NEWS", &body);
                let named = receipt.queued + receipt.announced + receipt.skipped;
                assert_eq!(named, net.node(*host).peer_count(), "seed {seed}: {receipt:?}");
                (lazy, full) = (lazy + receipt.announced, full + receipt.skipped);
            }
            if number % 10 > 3 {
                net.run_for(SECOND / 100);
            }
        }
    }
    assert!(lazy > 50 && full > 50, "{lazy} announced, {full} skipped");
}

#[test]
fn a_message_reaches_its_one_peer_and_nobody_else() {
    let mut net = Net::new(3);
    let (a, b, c) = (net.add(), net.add(), net.add());
    net.dial(a, b);
    net.dial(a, c);
    net.run_for(SECOND);
    let (to, body) = (net.id(b), Payload::encode("only you").unwrap());
    net.with(a, |node, now| node.send(&to, "NOTE", &body, now)).unwrap();
    net.run_for(SECOND);
    assert_eq!(net.received(b), [("NOTE".to_string(), "\"only you\"".to_string())]);
    assert!(net.received(c).is_empty());
}

#[test]
fn stale_names_of_connections_change_nothing() {
    let mut net = Net::new(3);
    let (a, b) = (net.add(), net.add());
    let conn = net.dial(a, b).unwrap();
    net.run_for(SECOND);
    net.kill(b);
    net.run_for(SECOND);
    let before = net.node(a).stats();
    net.with(a, |node, now| {
        node.connected(conn, now);
        node.received(conn, b"{\"msgtype\":\"hello\"}\n", now);
        node.sent(conn, 100, now);
        node.closed(conn, TransportError::Reset, now);
        assert!(node.outgoing(conn).is_empty() && !node.wants_read(conn));
    });
    assert_eq!(net.node(a).stats(), before);
}

#[test]
fn time_that_runs_backwards_or_jumps_harms_nobody() {
    let mut net = Net::new(3);
    let (a, b) = (net.add(), net.add());
    net.dial(a, b);
    net.run_for(SECOND);
    let ten_years = net.now() + Duration::from_secs(10 * 365 * 86_400);
    for jump in [Instant::ZERO, ten_years, Instant::ZERO] {
        net.with(a, |node, _| node.handle_timeout(jump));
    }
    net.with(a, |node, now| node.wall_clock(UnixTime::from_millis(u64::MAX), now));
    assert_eq!(net.broadcast(a, "STILL", "here").queued, 1);
    net.with(a, |node, _| node.handle_timeout(Instant::MAX));
    assert!(net.broadcast(a, "NOBODY", "is left at the end of time").queued <= 1);
}

#[test]
fn after_a_sleep_nobody_is_blamed() {
    let mut net = Net::new(3);
    let (a, b) = (net.add(), net.add());
    net.dial(a, b);
    net.run_for(SECOND);
    // The host of `a` sleeps for an hour: its timer fires that much late.
    let later = net.now() + Duration::from_secs(3600);
    net.with(a, |node, _| node.handle_timeout(later));
    assert!(net.node(a).peer(&net.id(b)).is_some());
}

#[test]
fn known_addresses_are_told_and_the_askers_own_is_not() {
    let mut net = Net::new(3);
    let (hub, a, b) = (net.add(), net.add(), net.add());
    net.bootstrap(a, hub);
    net.run_for(SECOND);
    net.start_trace();
    net.bootstrap(b, hub);
    net.run_for(2 * SECOND);
    let answer = format!("\"peers\":[[\"{}\",\"{}\"]]", net.addr(a), net.node(a).id());
    assert!(net.trace().contains(&answer), "{}", net.trace());
    assert!(net.are_peers(a, b), "who was told dials");
}

#[test]
fn the_same_seed_gives_the_same_run_to_the_byte() {
    let run = |seed| {
        let mut net = Net::new(seed);
        net.start_trace();
        let hosts: Vec<HostId> = (0..6).map(|_| net.add()).collect();
        for host in &hosts[1..] {
            net.bootstrap(*host, hosts[0]);
        }
        net.run_for(Duration::from_secs(20));
        let _whoever_is_there = net.broadcast(hosts[3], "NEWS", "x");
        net.kill(hosts[1]);
        net.run_for(Duration::from_secs(60));
        net.trace().to_owned()
    };
    for seed in 0..5 {
        assert_eq!(run(seed), run(seed), "seed {seed}");
    }
    assert_ne!(run(1), run(2));
}
