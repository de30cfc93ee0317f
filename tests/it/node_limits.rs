//! Slow peers, slow applications, silence and ends: who pays, and how much.

use std::time::Duration;

use peerline_proto::{
    ByeReason, CloseReason, Config, Event, Identity, Instant, Limits, Node, NodeId, Payload,
    PeerId, SendError, Start, UnixTime, testing,
};
use peerline_testkit::net::{HostId, Net};

const SECOND: Duration = Duration::from_secs(1);

/// Hosts that are all connected to the first.
fn star(net: &mut Net, hosts: usize) -> Vec<HostId> {
    let hosts: Vec<HostId> = (0..hosts).map(|_| net.add()).collect();
    for host in &hosts[1..] {
        net.dial(*host, hosts[0]);
    }
    let met = net
        .run_until(5 * SECOND, |net| hosts[1..].iter().all(|host| net.are_peers(hosts[0], *host)));
    assert!(met);
    hosts
}

fn downs(net: &Net, host: HostId) -> Vec<(PeerId, CloseReason)> {
    let reasons = net.events(host).iter().filter_map(|event| match event {
        Event::PeerDown { peer, reason, .. } => Some((peer.clone(), reason.clone())),
        _ => None, // Event may grow; this asks for ends alone
    });
    reasons.collect()
}

#[test]
fn a_peer_that_never_reads_costs_its_queue_and_then_its_place() {
    let mut net = Net::new(1);
    let hosts = star(&mut net, 3);
    let (hub, deaf, healthy) = (hosts[0], hosts[1], hosts[2]);
    net.read(deaf, false);
    let (body, limit) = ("x".repeat(10_000), Limits::default().send_queue);
    let mut skipped = 0;
    for _ in 0..400 {
        skipped += net.broadcast(hub, "BULK", &body).skipped;
        net.run_for(Duration::from_millis(20));
        assert!(net.node(hub).buffered() <= limit + 300_000, "{}", net.node(hub).buffered());
    }
    assert!(skipped > 0);
    net.run_for(SECOND);
    assert_eq!(net.received(healthy).len(), 400, "nobody else is delayed");
    net.run_for(20 * SECOND);
    assert_eq!(downs(&net, hub)[0], (net.id(deaf), CloseReason::WriteStall));
    assert_eq!(net.node(hub).buffered(), 0);
}

#[test]
fn a_full_queue_is_told_and_so_is_room() {
    let mut net = Net::new(1);
    let hosts = star(&mut net, 2);
    let (hub, slow) = (hosts[0], hosts[1]);
    net.read(slow, false);
    let (to, body) = (net.id(slow), Payload::encode(&"x".repeat(50_000)).unwrap());
    let mut sent = 0;
    let full = loop {
        match net.with(hub, |node, now| node.send(&to, "BULK", &body, now)) {
            Ok(()) => sent += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(full, SendError::Full { limit: 1_048_576, .. }), "{full:?}");
    net.read(slow, true);
    net.run_for(5 * SECOND);
    assert_eq!(net.received(slow).len(), sent, "all that was taken arrives");
    let told = |event: &&Event| matches!(event, Event::Writable { peer } if *peer == to);
    assert_eq!(net.events(hub).iter().filter(told).count(), 1);
}

#[test]
fn an_application_that_does_not_poll_stalls_its_senders_only() {
    let mut net = Net::new(1);
    let hosts = star(&mut net, 3);
    let (hub, sender, other) = (hosts[0], hosts[1], hosts[2]);
    net.drain(hub, false);
    let (to, body) = (net.id(hub), Payload::encode(&"x".repeat(10_000)).unwrap());
    let mut sent = 0;
    for _ in 0..300 {
        sent += u32::from(net.with(sender, |node, now| node.send(&to, "B", &body, now)).is_ok());
        net.run_for(Duration::from_millis(10));
        assert!(net.node(hub).buffered() <= Limits::default().event_queue + 2 * 65_536 + 20_000);
    }
    assert!(sent > 105, "more than the event queue holds was sent");
    // The hub still forwards nothing of the sender, but broadcasts its own to the other.
    assert_eq!(net.broadcast(hub, "NEWS", "hub lives").queued, 2);
    net.run_for(SECOND);
    assert_eq!(net.received(other).len(), 1);
    net.drain(hub, true);
    net.run_for(10 * SECOND);
    assert_eq!(net.received(hub).len(), sent as usize, "nothing was lost");
    assert!(downs(&net, hub).is_empty() && downs(&net, sender).is_empty());
}

#[test]
fn a_host_that_vanishes_is_gone_within_twenty_seconds() {
    for seed in 0..20 {
        let mut net = Net::new(seed);
        let hosts = star(&mut net, 3);
        net.run_for(3 * SECOND);
        net.vanish(hosts[1]);
        net.run_for(7 * SECOND);
        assert!(downs(&net, hosts[0]).is_empty());
        net.run_for(13 * SECOND);
        let expected = (net.id(hosts[1]), CloseReason::KeepAliveTimeout);
        assert_eq!(downs(&net, hosts[0]), [expected], "seed {seed}");
        assert!(net.are_peers(hosts[0], hosts[2]));
    }
}

#[test]
fn a_killed_program_is_noticed_in_one_trip() {
    let mut net = Net::new(1);
    let hosts = star(&mut net, 2);
    net.kill(hosts[1]);
    net.run_for(Duration::from_millis(200));
    assert_eq!(downs(&net, hosts[0]).len(), 1);
}

#[test]
fn a_quiet_network_stays_up_on_a_ping_each_way_in_eight_seconds() {
    let mut net = Net::new(1);
    let hosts = star(&mut net, 2);
    let before = net.node(hosts[0]).stats();
    net.run_for(800 * SECOND);
    let after = net.node(hosts[0]).stats();
    assert!(net.are_peers(hosts[0], hosts[1]));
    let lines = after.lines_out - before.lines_out;
    assert!((90..=210).contains(&lines), "{lines} lines in 800 s");
}

#[test]
fn shutdown_says_bye_sends_what_is_queued_and_ends_in_time() {
    for seed in 0..50 {
        let mut net = Net::new(seed);
        let hosts = star(&mut net, 4);
        for number in 0..100 {
            assert_eq!(net.broadcast(hosts[0], "LAST", &number.to_string()).queued, 3);
        }
        net.with(hosts[0], |node, now| node.shutdown(2 * SECOND, now));
        let stopped = net.run_until(2 * SECOND, |net| net.node(hosts[0]).is_stopped());
        assert!(stopped, "seed {seed}");
        net.run_for(SECOND);
        for host in &hosts[1..] {
            assert_eq!(net.received(*host).len(), 100, "seed {seed}");
            let reason = CloseReason::Goodbye(ByeReason::Shutdown);
            assert_eq!(downs(&net, *host), [(net.id(hosts[0]), reason)]);
        }
        assert_eq!(net.node(hosts[0]).poll_timeout(), None);
        assert_eq!(net.node(hosts[0]).stats().lost_at_close, 0);
    }
}

#[test]
fn shutdown_ends_in_time_even_when_nobody_reads_and_says_what_was_lost() {
    let mut net = Net::new(1);
    let hosts = star(&mut net, 2);
    net.read(hosts[1], false);
    for _ in 0..50 {
        let _full_or_not = net.broadcast(hosts[0], "BULK", &"x".repeat(10_000));
    }
    net.with(hosts[0], |node, now| node.shutdown(2 * SECOND, now));
    assert!(net.run_until(2 * SECOND, |net| net.node(hosts[0]).is_stopped()));
    assert!(net.node(hosts[0]).stats().lost_at_close > 0);
}

#[test]
fn who_was_disconnected_stays_away() {
    let mut net = Net::new(1);
    let hosts = star(&mut net, 2);
    let peer = net.id(hosts[1]);
    assert!(net.with(hosts[0], |node, now| node.disconnect(&peer, now)));
    net.run_for(600 * SECOND);
    assert_eq!(downs(&net, hosts[0]), [(peer.clone(), CloseReason::Local)]);
    let reason = CloseReason::Goodbye(ByeReason::Disconnect);
    assert_eq!(downs(&net, hosts[1]), [(net.id(hosts[0]), reason)]);
    assert!(!net.are_peers(hosts[0], hosts[1]));
    assert!(!net.with(hosts[0], |node, now| node.disconnect(&peer, now)));
}

#[test]
fn all_queues_together_are_bounded_and_the_largest_gives() {
    let mut limits = Limits::default();
    limits.send_queue = 400_000;
    limits.queued_total = 1_000_000;
    let mut net = Net::new(1);
    let hub = net.add_with(Config::builder().limits(limits).build().unwrap());
    let leaves: Vec<HostId> = (0..5).map(|_| net.add()).collect();
    for leaf in &leaves {
        net.dial(*leaf, hub);
    }
    assert!(net.run_until(5 * SECOND, |net| net.node(hub).peer_count() == 5));
    for leaf in &leaves[..4] {
        net.read(*leaf, false);
    }
    for _ in 0..100 {
        let _skips_some = net.broadcast(hub, "BULK", &"x".repeat(10_000));
        net.run_for(Duration::from_millis(10));
        assert!(net.node(hub).buffered() <= 1_000_000 + 20_000, "{}", net.node(hub).buffered());
    }
    net.run_for(SECOND);
    assert!(net.received(leaves[4]).len() > 90, "{}", net.received(leaves[4]).len());
}

#[test]
fn a_body_too_large_is_the_callers_error_and_nothing_is_sent() {
    let mut net = Net::new(1);
    let hosts = star(&mut net, 2);
    let (to, body) = (net.id(hosts[1]), Payload::encode(&"x".repeat(262_144)).unwrap());
    let broadcast = net.with(hosts[0], |node, now| node.broadcast("B", &body, now));
    let text = broadcast.unwrap_err().to_string();
    assert!(text.ends_with("the limit is 262144"), "{text}");
    let sent = net.with(hosts[0], |node, now| node.send(&to, "B", &body, now));
    assert!(matches!(sent, Err(SendError::TooLarge { limit: 262_144, .. })), "{sent:?}");
    let kind = "k".repeat(129);
    let sent = net.with(hosts[0], |node, now| node.send(&to, &kind, &body, now));
    assert_eq!(sent, Err(SendError::KindTooLong { len: 129, limit: 128 }));
    net.run_for(SECOND);
    assert!(net.received(hosts[1]).is_empty() && net.are_peers(hosts[0], hosts[1]));
}

#[test]
fn what_a_slow_peer_was_skipped_costs_it_only_that() {
    let mut net = Net::new(1);
    let hosts = star(&mut net, 2);
    let (hub, slow) = (hosts[0], hosts[1]);
    let (mut queued, body) = (0, "x".repeat(50_000));
    for number in 0..2_000 {
        // It reads in bursts: the queue fills and empties, and each time leaves a hole.
        net.read(slow, number % 40 > 30);
        queued += net.broadcast(hub, "BULK", &body).queued;
        net.run_for(Duration::from_millis(1));
    }
    net.read(slow, true);
    net.run_for(10 * SECOND);
    assert!(queued < 1_900, "some were skipped, or this shows nothing");
    // More, as some of what was skipped is repaired.
    assert!(net.received(slow).len() >= queued, "all that was queued arrives and is taken");
}

#[test]
fn a_broadcast_that_gave_way_in_a_queue_is_announced_and_got() {
    let mut net = Net::new(1);
    let hosts = star(&mut net, 3);
    let (hub, far, slow) = (hosts[0], hosts[1], hosts[2]);
    net.read(slow, false);
    for _ in 0..20 {
        assert_eq!(net.broadcast(far, "NEWS", &"x".repeat(45_000)).queued, 1);
    }
    net.run_for(SECOND);
    let (to, body) = (net.id(slow), Payload::encode(&"x".repeat(200_000)).unwrap());
    let before = net.node(hub).stats().skipped;
    for _ in 0..4 {
        assert!(net.with(hub, |node, now| node.send(&to, "BULK", &body, now)).is_ok());
    }
    let skipped = net.node(hub).stats().skipped - before;
    assert!(skipped >= 10, "{skipped} broadcasts gave way");
    net.read(slow, true);
    net.run_for(5 * SECOND);
    let got = net.received(slow);
    assert_eq!(got.iter().filter(|(kind, _)| kind == "BULK").count(), 4);
    assert_eq!(got.iter().filter(|(kind, _)| kind == "NEWS").count(), 20);
}

#[test]
fn connections_that_end_in_order_are_bounded() {
    let mut limits = Limits::default();
    limits.closing = 10;
    let mut net = Net::new(1);
    let host = net.add_with(Config::builder().limits(limits).build().unwrap());
    let hello = "{\"msgtype\":\"hello\",\"nodeid\":\"x\",\"version\":0,\"network\":\"other\"}\n";
    for number in 0..200 {
        let from = std::net::SocketAddr::from(([192, 0, 2, number], 40_000));
        let stranger = net.intrude(host, from);
        net.say(stranger, hello);
    }
    net.run_for(SECOND);
    assert!(net.sockets(host) <= 10, "{}", net.sockets(host));
    assert_eq!(net.events(host).len(), 200);
}

#[test]
fn whose_a_message_is_is_the_word_of_whoever_passes_it_on() {
    let mut net = Net::new(1);
    let hosts = star(&mut net, 2);
    let (to, own) = (net.node(hosts[0]).id(), net.node(hosts[1]).id());
    let stranger = net.intrude(hosts[0], "192.0.2.1:1".parse().unwrap());
    let id = "11111111-1111-4111-8111-111111111111";
    net.say(stranger, format!("{{\"msgtype\":\"hello\",\"nodeid\":\"{id}\",\"version\":1}}\n"));
    for from in [own.to_string(), id.to_string()] {
        net.say(
            stranger,
            format!(
                "{{\"msgtype\":\"message\",\"id\":\"1\",\"from\":\"{from}\",\"to\":\"{to}\",\
             \"kind\":\"{from}\",\"time\":0,\"ttl\":1,\"msg\":0}}\n"
            ),
        );
    }
    net.run_for(SECOND);
    let got: Vec<String> = net.received(hosts[0]).into_iter().map(|(kind, _)| kind).collect();
    assert_eq!(got, [own.to_string(), id.to_string()], "a `from` is a claim");
    let forged = to.to_string();
    net.say(
        stranger,
        format!(
            "{{\"msgtype\":\"message\",\"id\":\"2\",\"from\":\"{forged}\",\"to\":\"{to}\",\
             \"kind\":\"K\",\"time\":0,\"ttl\":1,\"msg\":0}}\n"
        ),
    );
    net.run_for(SECOND);
    assert_eq!(net.received(hosts[0]).len(), 2, "nobody is told what he says himself");
}

/// A node that nobody has told anything yet.
fn idle_node() -> Node {
    let id = Identity::new(NodeId::from_random_bytes([1; 16]));
    Node::new(Config::default(), id, [7; 32], Start::default())
}

#[test]
fn a_node_that_stopped_has_no_deadline_whatever_it_is_told() {
    let mut node = idle_node();
    node.shutdown(SECOND, Instant::ZERO);
    node.add_bootstrap("192.0.2.1:5999".parse().unwrap(), Instant::ZERO);
    assert!(node.is_stopped());
    assert_eq!(node.poll_timeout(), None);
}

#[test]
fn a_request_that_a_duplicate_brings_while_the_node_stops_is_not_taken() {
    let mut limits = Limits::default();
    limits.rivals = 1;
    let config = Config::builder().limits(limits).build().unwrap();
    let id = Identity::new(NodeId::from_random_bytes([1; 16]));
    let mut node = Node::new(config, id, [7; 32], Start::default());
    let (own, peer) = (node.id(), NodeId::from_random_bytes([2; 16]));
    let hello = format!("{{\"msgtype\":\"hello\",\"nodeid\":\"{peer}\",\"version\":1}}\n");
    let mut conns = Vec::new();
    for port in [1, 2, 3] {
        let addr = std::net::SocketAddr::from(([192, 0, 2, 1], port));
        conns.push(node.accepted(addr, Instant::ZERO).unwrap());
        node.received(conns[conns.len() - 1], hello.as_bytes(), Instant::ZERO);
    }
    node.shutdown(SECOND, Instant::ZERO);
    let request = format!(
        "{{\"msgtype\":\"request\",\"id\":\"1\",\"from\":\"{peer}\",\"to\":\"{own}\",\
         \"kind\":\"R\",\"time\":0,\"ttl\":1,\"deadline\":60000,\"try\":0,\"msg\":0}}\n"
    );
    for conn in conns {
        node.received(conn, request.as_bytes(), Instant::ZERO);
    }
    node.handle_timeout(Instant::ZERO + SECOND);
    assert!(node.is_stopped());
    assert_eq!(node.poll_timeout(), None);
    let asked = |event| matches!(event, Event::Request(_));
    assert!(!std::iter::from_fn(|| node.poll_event()).any(asked));
}

#[test]
fn what_is_due_at_the_end_of_time_is_due_never() {
    let mut node = idle_node();
    node.add_bootstrap("192.0.2.1:5999".parse().unwrap(), Instant::ZERO);
    for _ in 0..3 {
        node.handle_timeout(Instant::MAX);
    }
    assert_eq!(node.poll_timeout(), None);
}

#[test]
fn a_node_whose_clock_went_wild_is_still_understood() {
    let mut net = Net::new(1);
    let hosts = star(&mut net, 2);
    net.with(hosts[0], |node, now| node.wall_clock(UnixTime::from_millis(u64::MAX), now));
    net.broadcast(hosts[0], "NEWS", "hello");
    net.run_for(SECOND);
    assert_eq!(net.received(hosts[1]), [("NEWS".to_string(), "\"hello\"".to_string())]);
}

#[test]
fn room_is_told_also_when_it_was_the_others_who_had_none() {
    let mut limits = Limits::default();
    limits.send_queue = 300_000;
    limits.queued_total = 300_000;
    let mut net = Net::new(1);
    let hub = net.add_with(Config::builder().limits(limits).build().unwrap());
    let (slow, quick) = (net.add(), net.add());
    for leaf in [slow, quick] {
        net.dial(leaf, hub);
    }
    assert!(net.run_until(5 * SECOND, |net| net.node(hub).peer_count() == 2));
    net.read(slow, false);
    let body = Payload::encode(&"x".repeat(50_000)).unwrap();
    let (to_slow, to_quick) = (net.id(slow), net.id(quick));
    while net.with(hub, |node, now| node.send(&to_slow, "B", &body, now)).is_ok() {}
    let full = net.with(hub, |node, now| node.send(&to_quick, "B", &body, now));
    assert!(matches!(full, Err(SendError::Full { .. })), "{full:?}");
    net.read(slow, true);
    net.run_for(5 * SECOND);
    for peer in [to_slow, to_quick] {
        let told = |event: &&Event| matches!(event, Event::Writable { peer: p } if *p == peer);
        assert_eq!(net.events(hub).iter().filter(told).count(), 1, "{peer}");
    }
}

#[test]
fn who_asks_again_for_what_waits_for_it_gets_it_once() {
    let mut net = Net::new(5);
    net.window(4096);
    let host = net.add();
    let stranger = net.intrude(host, ([192, 0, 2, 10], 40_000).into());
    let id = "11111111-1111-4111-8111-111111111111";
    net.say(stranger, format!("{{\"msgtype\":\"hello\",\"nodeid\":\"{id}\",\"version\":1}}\n"));
    net.run_for(SECOND);
    net.turn_deaf(stranger);
    // More than the window and one write: what comes after waits.
    for number in 1..=200 {
        net.broadcast(host, "K", &format!("{number} {}", "x".repeat(1000)));
    }
    let (own, epoch) = (net.node(host).id(), testing::epoch(net.node(host)));
    let named = format!("\"originator\":\"{own}\",\"epoch\":{epoch}");
    for _ in 0..3 {
        net.say(stranger, format!("{{\"msgtype\":\"graft\",{named},\"want\":[[101,200]]}}\n"));
        net.run_for(SECOND);
    }
    net.listen(stranger);
    net.run_for(5 * SECOND);
    let count = |net: &Net, number: u32| {
        net.heard(stranger).matches(&format!("\"msg\":\"{number} x")).count()
    };
    for number in 1..=200 {
        assert_eq!(count(&net, number), 1, "{number}");
    }
    net.say(stranger, format!("{{\"msgtype\":\"graft\",{named},\"want\":[[150,150]]}}\n"));
    net.run_for(SECOND);
    assert_eq!(count(&net, 150), 2, "nothing waits, so it is served");
}

#[test]
fn of_what_one_line_announces_512_numbers_are_asked_for() {
    let mut net = Net::new(5);
    let host = net.add();
    let stranger = net.intrude(host, ([192, 0, 2, 10], 40_000).into());
    let id = "11111111-1111-4111-8111-111111111111";
    net.say(stranger, format!("{{\"msgtype\":\"hello\",\"nodeid\":\"{id}\",\"version\":1}}\n"));
    net.run_for(SECOND);
    let last = (1_u64 << 53) - 1; // the highest that a line can say
    let have = format!("[[\"{id}\",1,[[{last},{last},0],[1,600,0],[700,700,0]]]]");
    net.say(stranger, format!("{{\"msgtype\":\"ihave\",\"have\":{have}}}\n"));
    net.run_for(SECOND);
    let wanted = format!("\"want\":[[1,511],[{last},{last}]]");
    let heard = net.heard(stranger);
    assert!(heard.contains(&wanted), "{heard}");
}
