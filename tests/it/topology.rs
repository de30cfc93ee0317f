//! Who finds whom, at a small size and with bounds so loose that only a broken overlay is outside
//! them. The figures are printed by `--example topology`.

use std::net::SocketAddr;
use std::time::Duration;

use peerline_proto::{
    Action, CloseReason, Config, Event, Listen, Payload, PeerId, Side, TransportError,
};
use peerline_testkit::net::Net;
use peerline_testkit::quality::{Quality, Setup, crashes, topology};

const SECOND: Duration = Duration::from_secs(1);

fn usual() -> Config {
    Config::default()
}

#[test]
fn a_crowd_joins_by_one_bootstrap_without_a_storm() {
    let joined = topology::crowd(150, 1, &usual());
    assert!(joined.whole_after.is_some_and(|after| after <= 30 * SECOND), "{joined:?}");
    assert!(joined.most_inbound == 64 && joined.evicted > 0, "{joined:?}");
    assert!(joined.most_dials.0 <= 16 && joined.later_dials.1 <= 15, "{joined:?}");
    assert!(joined.peers.0 >= 8, "{joined:?}");
}

#[test]
fn a_network_that_was_parted_finds_together() {
    let took = topology::halves(100, 1, Duration::from_secs(600), &usual());
    assert!(took.is_some_and(|took| took <= 60 * SECOND), "{took:?}");
}

#[test]
fn a_bootstrap_that_begins_anew_is_found_by_those_who_have_all_they_want() {
    let took = topology::bootstrap_anew(60, 1, &usual());
    assert!(took.is_some_and(|took| took <= 90 * SECOND), "{took:?}");
}

#[test]
fn who_passes_on_nothing_keeps_nothing_from_anybody() {
    let (missed, wanted, took) = topology::mute(60, 30, 1, &usual());
    assert_eq!(missed, 0, "of {wanted}");
    assert!(took <= 2 * SECOND, "{took:?}");
}

#[test]
fn a_neighbour_that_floods_keeps_nothing_from_anybody() {
    let harm = topology::flood(30, 1, &usual());
    assert_eq!(harm.missed, 0, "{harm:?}");
    assert!(harm.most_held <= 1024 * 1024 && harm.worst <= SECOND, "{harm:?}");
}

#[test]
fn a_full_bootstrap_makes_room_for_who_knows_nobody_else() {
    let taken = topology::all_places_taken(1, &usual());
    assert_eq!((taken.honest.1, taken.newcomers.0), (20, 20), "{taken:?}");
}

#[test]
fn honest_peers_stay_when_a_node_is_overrun() {
    let first = topology::overrun(true, 1, &usual());
    assert!(first.honest.0 == 24 && first.honest.1 >= 20, "{first:?}");
    let last = topology::overrun(false, 1, &usual());
    let [near, news, _] = last.of_these;
    assert!(last.honest.0 == 24 && near >= 6 && news >= 3, "{last:?}");
}

#[test]
fn who_has_two_network_groups_gets_two_of_the_connections() {
    let (share, most, _) = topology::two_networks(30, 1, 600 * SECOND, &usual());
    assert!(share <= 30.0 && most <= 3, "{share:.0} %, {most} have most with him");
}

#[test]
fn who_met_only_those_that_pass_on_nothing_finds_others() {
    let mut limits = usual().limits().clone();
    limits.rotate_every = 10 * SECOND;
    let config = Config::builder().limits(limits).build().unwrap();
    let seeds = (1..=3).map(|seed| topology::black_holes(20, 60 * SECOND, seed, &config));
    let (first, last) = seeds.fold((0, 0), |(first, last), deaf| (first + deaf[0], last + deaf[6]));
    assert!(first >= 9 && last * 2 <= first, "{first} were deaf, and {last} still are");
}

#[test]
fn who_sends_garbage_does_not_drive_others_out() {
    let garbage = topology::garbage(1, &usual());
    assert!(garbage.honest == (64, 64) && garbage.evicted <= 10, "{garbage:?}");
}

#[test]
fn each_network_group_is_dialled_once_while_another_is_known() {
    let places = vec![Some("10.0.0.1:5999".parse().unwrap())];
    let mut net = Quality::at(places, &Setup::new(0, 1));
    let dialled = net.with_node(0, |node, now| {
        for number in 0..100_u8 {
            // Nine of ten are of one group.
            let second = if number % 10 == 0 { number } else { 1 };
            node.add_bootstrap(SocketAddr::from(([30, second, 1, number], 7)), now);
        }
        node.handle_timeout(now);
        let connects =
            std::iter::from_fn(|| node.poll_action()).filter_map(|action| match action {
                Action::Connect { addr, .. } => Some(addr.to_string()),
                _ => None, // nothing else is asked of a driver here, and it would be no dial
            });
        connects.collect::<Vec<String>>()
    });
    let groups: std::collections::BTreeSet<&str> =
        dialled.iter().filter_map(|addr| addr.split('.').nth(1)).collect();
    assert_eq!((dialled.len(), groups.len()), (8, 8), "{dialled:?}");
}

#[test]
fn peers_that_change_places_all_the_time_miss_nothing() {
    let (missed, wanted, rotated, evicted) = topology::restless(40, 1, 30 * SECOND);
    assert_eq!(missed, 0, "of {wanted}");
    assert!(rotated > 100 && evicted > 10, "{rotated} rotated, {evicted} gave way");
}

#[test]
fn who_listens_nowhere_is_reached_through_others_alone() {
    let count = 30;
    let place = |index: usize| SocketAddr::from(([10, 1, 0, index as u8], 5999));
    let places = (0..count).map(|index| (index + 1 < count).then(|| place(index))).collect();
    let mut net = Quality::at(places, &Setup::new(0, 1));
    let hidden = count - 1;
    (1..count).for_each(|index| net.bootstrap(index, 0));
    net.run_for(60 * SECOND);
    let id = PeerId::Node(net.node(hidden).id());
    let stranger = (0..hidden).find(|index| net.node(*index).peer(&id).is_none());
    let from = stranger.expect("not everybody is its peer");
    let body = Payload::encode("0000000000").expect("a text");
    let number = net.publish(0);
    assert_eq!(number, 0);
    net.run_for(SECOND);
    let before = net.node(hidden).stats().delivered;
    net.with_node(from, |node, now| node.send(&id, "Q", &body, now)).expect("it is sought");
    net.run_for(5 * SECOND);
    assert_eq!(net.node(hidden).stats().delivered, before + 1);
    let known = net.node(from).addresses().chain(net.node(0).addresses());
    let ip = net.source(hidden).ip();
    assert!(known.into_iter().all(|addr| addr.ip() != ip), "nobody could dial it");
    assert_eq!(net.node(hidden).peers().filter(|peer| peer.side == Side::Listener).count(), 0);
}

#[test]
fn who_is_alone_is_told_once_and_again_when_it_is_alone_anew() {
    let mut net = Net::new(1);
    let (a, b) = (net.add(), net.add());
    let told =
        |net: &Net| net.events(a).iter().filter(|event| matches!(event, Event::Isolated)).count();
    for host in [a, b] {
        net.with(host, |node, _| assert!(node.poll_timeout().is_some()));
    }
    net.run_for(29 * SECOND);
    assert_eq!(told(&net), 0);
    net.run_for(120 * SECOND);
    assert_eq!(told(&net), 1);
    net.bootstrap(a, b);
    net.run_for(5 * SECOND);
    net.vanish(b);
    net.run_for(120 * SECOND);
    assert_eq!(told(&net), 2);
    net.restart(b);
    assert!(net.run_until(60 * SECOND, |net| net.are_peers(a, b)), "it is dialled for ever");
}

/// The hello of a node that sees us there.
fn seeing(index: usize, you: &str) -> String {
    let id = format!("00000000-0000-4000-8000-{index:012}");
    format!("{{\"msgtype\":\"hello\",\"nodeid\":\"{id}\",\"version\":1,\"you\":\"{you}\"}}\n")
}

/// Where that node is: each in a network group of its own.
fn group(index: usize) -> SocketAddr {
    SocketAddr::from(([20 + index as u8, 1, 1, 1], 7))
}

/// A node that dialled peers of as many groups, which see it at these addresses; what it says in
/// its next hello.
fn seen_at(seen: &[&str]) -> (Option<SocketAddr>, String) {
    let mut net = Quality::at(vec![Some("10.0.0.1:5999".parse().unwrap())], &Setup::new(0, 1));
    net.with_node(0, |node, now| {
        for (index, you) in seen.iter().enumerate() {
            let conn = node.dial(group(index), now).unwrap();
            node.connected(conn, now);
            node.received(conn, seeing(index, you).as_bytes(), now);
        }
        let conn = node.dial("30.1.1.1:7".parse().unwrap(), now).unwrap();
        node.connected(conn, now);
        let mut bytes = Vec::new();
        node.outgoing(conn).copy_to(&mut bytes, usize::MAX);
        while let Some(action) = node.poll_action() {
            assert!(!matches!(action, Action::Drop { .. }), "{action:?}");
        }
        (node.external_addr(), String::from_utf8(bytes).unwrap())
    })
}

#[test]
fn three_groups_say_where_we_are_and_then_we_say_so_too() {
    let (external, hello) = seen_at(&["9.9.9.9:1", "9.9.9.9:2", "9.9.9.8:3"]);
    assert!(external.is_none() && hello.contains("\"listen\":5999"), "{hello}");
    let (external, hello) = seen_at(&["9.9.9.9:1", "9.9.9.9:2", "9.9.9.9:3"]);
    assert_eq!(external, Some("9.9.9.9:5999".parse().unwrap()));
    assert!(hello.contains("\"listen\":\"9.9.9.9:5999\""), "{hello}");
    let (external, hello) = seen_at(&["10.9.9.9:1", "10.9.9.9:2", "10.9.9.9:3"]);
    assert_eq!(external, Some("10.9.9.9:5999".parse().unwrap()));
    assert!(hello.contains("\"listen\":5999"), "of no use to others: {hello}");
}

#[test]
fn whoever_dials_us_has_no_part_in_where_we_are() {
    let mut net = Quality::at(vec![Some("10.0.0.1:5999".parse().unwrap())], &Setup::new(0, 1));
    net.with_node(0, |node, now| {
        let mut conns = Vec::new();
        for (index, you) in ["9.9.9.9:1", "9.9.9.8:1"].iter().cycle().take(6).enumerate() {
            let conn = node.dial(group(index), now).unwrap();
            node.connected(conn, now);
            node.received(conn, seeing(index, you).as_bytes(), now);
            conns.push(conn);
        }
        let first = node.external_addr();
        assert_eq!(first, Some("9.9.9.9:5999".parse().unwrap()), "three groups against three");
        node.closed(conns[0], TransportError::Reset, now);
        for index in 6..9 {
            let conn = node.accepted(group(index), now).unwrap();
            node.received(conn, seeing(index, "9.9.9.9:1").as_bytes(), now);
        }
        assert_eq!((node.external_addr(), node.peers().count()), (first, 8));
        let conn = node.dial(group(9), now).unwrap();
        node.connected(conn, now);
        node.received(conn, seeing(9, "9.9.9.7:1").as_bytes(), now);
        assert_eq!(
            node.external_addr(),
            Some("9.9.9.8:5999".parse().unwrap()),
            "three against two"
        );
    });
}

#[test]
fn what_is_set_to_be_advertised_is_advertised_whatever_others_see() {
    let config = Config::builder().advertise(Listen::Port(7000)).build().unwrap();
    let places = vec![Some("10.0.0.1:5999".parse().unwrap())];
    let mut net = Quality::at(places, &Setup { config, ..Setup::new(0, 1) });
    let hello = net.with_node(0, |node, now| {
        let conn = node.dial("30.1.1.1:7".parse().unwrap(), now).unwrap();
        node.connected(conn, now);
        let mut bytes = Vec::new();
        node.outgoing(conn).copy_to(&mut bytes, usize::MAX);
        String::from_utf8(bytes).unwrap()
    });
    assert!(hello.contains("\"listen\":7000"), "{hello}");
}

#[test]
fn an_address_that_broke_the_protocol_is_refused_only_where_it_is_crowded() {
    let mut limits = Config::default().limits().clone();
    limits.max_inbound = 4;
    let config = Config::builder().limits(limits).build().unwrap();
    let places = vec![Some("10.0.0.1:5999".parse().unwrap())];
    let mut net = Quality::at(places, &Setup { config, ..Setup::new(0, 1) });
    net.with_node(0, |node, now| {
        let mut says = |number: u16, ip: [u8; 4], line: &str| {
            let conn = node.accepted(SocketAddr::from((ip, number)), now).unwrap();
            node.received(conn, line.as_bytes(), now);
            let full = |event: &Event| match event {
                Event::ConnectionFailed { conn: at, reason, .. } => {
                    *at == conn && matches!(reason, CloseReason::Full { .. })
                }
                _ => false, // Event may grow; only these tell of a refusal
            };
            let events: Vec<Event> = std::iter::from_fn(|| node.poll_event()).collect();
            (node.discouraged(), node.peer_count(), events.iter().any(full))
        };
        let hello = |number: u16| {
            let id = format!("00000000-0000-4000-8000-{number:012}");
            format!("{{\"msgtype\":\"hello\",\"nodeid\":\"{id}\",\"version\":1}}\n")
        };
        let (bad, good) = ([50, 1, 1, 1], [60, 1, 1, 1]);
        assert_eq!(says(1, bad, "{\"msgtype\":}\n"), (1, 0, false));
        assert_eq!(says(2, bad, &hello(2)), (1, 1, false), "there is room");
        assert_eq!(says(3, good, &hello(3)), (1, 2, false));
        assert_eq!(says(4, good, &hello(4)), (1, 3, false));
        assert_eq!(says(5, bad, &hello(5)), (1, 3, true), "it is half full");
        assert_eq!(says(6, good, &hello(6)), (1, 4, false));
        assert_eq!(says(7, good, &hello(7)), (1, 4, false), "the discouraged one gives way");
        assert_eq!(says(8, good, &hello(8)), (1, 4, false), "then the youngest");
    });
}

#[test]
fn the_few_that_survive_a_crash_find_each_other_among_the_dead() {
    for seed in 1..=3 {
        let reached = crashes::later(&Setup::new(100, seed), 95, 20 * SECOND);
        assert!(reached.all() && reached.last <= SECOND, "seed {seed}: {reached:?}");
    }
}
