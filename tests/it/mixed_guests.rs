//! BTPeer peers and the article's node beside real nodes, all dialects in one network.

use std::net::SocketAddr;
use std::time::Duration;

use peerline_proto::{Config, Dialect, Event, PeerId};
use peerline_testkit::entropy::seeds;
use peerline_testkit::net::{HostId, Stranger};
use peerline_testkit::originals::World;
use peerline_testkit::originals::article::READ_AT_ONCE;
use peerline_testkit::vectors::{frame, frames};
use serde_json::json;

const SECOND: Duration = Duration::from_secs(1);

fn place(number: u8) -> SocketAddr {
    SocketAddr::from(([10, 8, number, 1], 21_000 + u16::from(number)))
}

/// Nodes that know each other.
fn nodes(world: &mut World, count: usize) -> Vec<HostId> {
    let hosts: Vec<HostId> = (0..count).map(|_| world.net.add()).collect();
    for host in &hosts[1..] {
        world.net.bootstrap(*host, hosts[0]);
    }
    world.run_for(5 * SECOND);
    hosts
}

/// The texts of the frames that somebody was answered.
fn told(world: &World, stranger: Stranger) -> Vec<String> {
    assert!(
        world.net.is_cut(stranger) && !world.net.was_reset(stranger),
        "the close ends the list"
    );
    let frames = frames(world.net.heard_bytes(stranger)).expect("whole frames");
    frames.into_iter().map(|(_, text)| text).collect()
}

fn ask(world: &mut World, from: SocketAddr, host: HostId, kind: &str, text: &str) -> Vec<String> {
    let stranger = world.btpeer_asks(from, host, &frame(kind, text.as_bytes()));
    world.run_for(3 * SECOND);
    told(world, stranger)
}

// ---- BTPeer

#[test]
fn a_list_names_btpeer_guests_and_native_peers_and_no_chat_peer() {
    let mut world = World::new(1);
    let hosts = nodes(&mut world, 3);
    let (guest, chat) = (world.add_btpeer(place(1)), world.add_chat("able", place(2)));
    let join = world.btpeer(guest).join();
    let joined = world.btpeer_asks(place(1), hosts[0], &join);
    let addr = world.net.addr(hosts[0]);
    world.chat_joins(chat, addr);
    world.run_for(SECOND);
    assert_eq!(told(&world, joined), ["Join: peer added: 10.8.1.1:21001"]);
    let mut rows = ask(&mut world, place(3), hosts[0], "LIST", "");
    rows[1..].sort();
    let row = |addr: SocketAddr| format!("{addr} {} {}", addr.ip(), addr.port());
    let mut expected: Vec<String> =
        hosts[1..].iter().map(|host| row(world.net.addr(*host))).collect();
    expected.push(row(place(1)));
    expected.sort();
    expected.insert(0, "3".into());
    assert_eq!(rows, expected);
}

#[test]
fn a_btpeer_is_joined_in_three_visits_and_leaves_when_it_does_not_answer() {
    for seed in seeds(4) {
        let mut world = World::new(seed);
        let host = nodes(&mut world, 1)[0];
        let guest = world.add_btpeer(place(1));
        world.net.with(host, |node, now| node.join(place(1), Dialect::Btpeer, now)).unwrap();
        world.run_for(3 * SECOND);
        let addr = world.net.addr(host);
        let known: Vec<String> = world.btpeer(guest).peers.keys().cloned().collect();
        assert_eq!(known, [addr.to_string()]);
        world.net.with(host, |node, now| node.check_live(now));
        world.run_for(3 * SECOND);
        assert_eq!(world.net.node(host).guests().count(), 1, "it lives");
        world.net.unlure(place(1));
        world.net.with(host, |node, now| node.check_live(now));
        world.run_for(3 * SECOND);
        assert_eq!(world.net.node(host).guests().count(), 0);
        let left = world.net.events(host).iter();
        assert_eq!(left.filter(|event| matches!(event, Event::GuestLeft { .. })).count(), 1);
    }
}

#[test]
fn a_btpeer_without_room_is_not_kept() {
    let mut world = World::new(1);
    let host = nodes(&mut world, 1)[0];
    let guest = world.add_btpeer(place(1));
    world.btpeer(guest).max_peers = 1;
    world.btpeer(guest).peers.insert("x:1".into(), ("x".into(), "1".into()));
    world.net.with(host, |node, now| node.join(place(1), Dialect::Btpeer, now)).unwrap();
    world.run_for(3 * SECOND);
    let refused = world.net.events(host).iter().find_map(|event| match event {
        Event::JoinRefused { text, .. } => Some(text.to_string()),
        _ => None, // Event may grow; this asks for one
    });
    assert_eq!(refused.as_deref(), Some("Join: too many peers"));
    assert_eq!(world.net.node(host).guests().count(), 0);
}

#[test]
fn a_full_node_takes_no_guest_before_it_looks_at_the_words() {
    let mut world = World::new(1);
    let host = world.net.add_with(Config::builder().max_peers(1).build().unwrap());
    let first = ask(&mut world, place(1), host, "JOIN", "a:1 a 1");
    assert_eq!(first, ["Join: peer added: a:1"]);
    let full = ask(&mut world, place(2), host, "JOIN", "b:1 b 1");
    assert_eq!(full, ["Join: too many peers"]);
    let again = ask(&mut world, place(1), host, "JOIN", "a:1 a 1");
    assert_eq!(again, ["Join: too many peers"], "checked first");
    let wrong = ask(&mut world, place(2), host, "JOIN", "b:1 b");
    assert_eq!(wrong, ["Join: incorrect arguments"]);
}

#[test]
fn our_own_id_is_taken_already() {
    let mut world = World::new(1);
    let host = nodes(&mut world, 1)[0];
    let addr = world.net.addr(host);
    let row = format!("{addr} {} {}", addr.ip(), addr.port());
    let told = ask(&mut world, place(1), host, "JOIN", &row);
    assert_eq!(told, [format!("Join: peer already inserted {addr}")]);
    assert_eq!(ask(&mut world, place(1), host, "NAME", ""), [addr.to_string()]);
}

#[test]
fn a_guest_takes_nobody_but_itself_off_the_list() {
    let mut world = World::new(1);
    let hosts = nodes(&mut world, 2);
    ask(&mut world, place(1), hosts[0], "JOIN", "10.8.1.1:21001 10.8.1.1 21001");
    let native = world.net.addr(hosts[1]).to_string();
    for name in ["10.8.1.1:21001", native.as_str()] {
        let told = ask(&mut world, place(2), hosts[0], "QUIT", name);
        assert_eq!(told, [format!("Quit: peer not found: {name}")]);
    }
    assert_eq!(world.net.node(hosts[0]).guests().count(), 1);
    assert!(world.net.are_peers(hosts[0], hosts[1]));
    let told = ask(&mut world, place(1), hosts[0], "QUIT", "10.8.1.1:21001");
    assert_eq!(told, ["Quit: peer removed: 10.8.1.1:21001"]);
    assert_eq!(world.net.node(hosts[0]).guests().count(), 0);
}

// ---- the article's node

/// All that a node wrote to the article's nodes pleased them, and there were so many connections.
fn check_articles(world: &World, connections: usize) {
    assert_eq!(world.articles().count(), connections);
    for article in world.articles() {
        assert!(article.faults.is_empty(), "{:?} after {:?}", article.faults, article.lines);
        assert_eq!(article.lines[0], "hello");
        let count = |kind: &str| article.lines.iter().filter(|line| *line == kind).count();
        assert_eq!(count("hello"), 1, "exactly once");
        let others = ["ping", "pong", "addr", "getaddr"].map(count);
        assert!(others.iter().all(|count| *count > 0), "{:?}", article.lines);
    }
}

#[test]
fn the_article_s_node_is_content_whoever_dials() {
    for seed in seeds(8) {
        let mut world = World::new(seed);
        let hosts = nodes(&mut world, 4);
        world.add_article("22222222-2222-4222-8222-222222222222", place(1));
        world.add_article("a node of the article", place(2));
        world.article_dials(0, hosts[0]);
        world.net.dial_addr(hosts[1], place(2)).unwrap();
        world.run_for(30 * SECOND);
        for host in [hosts[0], hosts[1]] {
            let guests = world.net.node(host).peers().filter(|peer| peer.peer.node().is_none());
            assert_eq!(guests.count(), 1, "seed {seed}");
        }
        world.net.broadcast(hosts[2], "NEWS", "not for the article");
        world.node_says(hosts[0], &json!("nor this"));
        world.run_for(5 * SECOND);
        check_articles(&world, world.articles().count());
        let told = world.articles().flat_map(|article| &article.told).count();
        assert!(told > 0, "it hears of native nodes");
        hosts.iter().for_each(|host| {
            world.net.with(*host, |node, now| node.shutdown(SECOND, now));
        });
        world.run_for(2 * SECOND);
        check_articles(&world, world.articles().count());
    }
}

#[test]
fn hello_ping_addr_and_getaddr_in_one_segment_are_read_by_the_dialler() {
    let mut world = World::new(1);
    let host = nodes(&mut world, 1)[0];
    world.net.lure(place(1));
    world.net.dial_addr(host, place(1)).unwrap();
    world.run_for(SECOND);
    let stranger = world.net.lured(place(1))[0];
    let first = world.net.heard_bytes(stranger).to_vec();
    assert!(first.ends_with(b"\n") && first.len() <= READ_AT_ONCE, "one whole line");
    let said = concat!(
        "{\"nodeid\": \"v0\", \"msgtype\": \"hello\"}\n{\"msgtype\": \"ping\"}\n",
        "{\"msgtype\": \"addr\", \"peers\": [\"10.8.1.1:21001\"]}\n{\"msgtype\": \"getaddr\"}\n"
    );
    world.net.say(stranger, said);
    world.run_for(SECOND);
    let peer = world.net.node(host).peer(&PeerId::Guest("v0".into()));
    assert!(peer.is_some());
    let heard = world.net.heard(stranger);
    // One addr is of its own accord, one answers.
    for (kind, times) in [("pong", 1), ("ping", 1), ("addr", 2), ("getaddr", 1)] {
        let line = format!("{{\"msgtype\":\"{kind}\"");
        assert_eq!(heard.matches(&line).count(), times, "{kind}: {heard}");
    }
}

// ---- all of them

/// Native nodes, chat peers, BTPeer peers and the article's node, with faults among the nodes: what
/// is published reaches every node, once, and nothing comes back; the rules of the net hold.
#[test]
fn a_network_of_all_dialects_keeps_the_rules_of_native_nodes() {
    for seed in seeds(8) {
        let mut world = World::new(seed);
        let hosts = nodes(&mut world, 5);
        let chats: Vec<usize> =
            (1..4).map(|number| world.add_chat(&format!("chat {number}"), place(number))).collect();
        for (number, chat) in chats.iter().enumerate() {
            for host in [hosts[number], hosts[number + 1]] {
                let addr = world.net.addr(host);
                world.chat_joins(*chat, addr);
            }
        }
        for number in 5..8 {
            let guest = world.add_btpeer(place(number));
            let join = world.btpeer(guest).join();
            world.btpeer_asks(place(number), hosts[usize::from(number) - 4], &join);
        }
        world.add_article("of the article", place(9));
        world.article_dials(0, hosts[4]);
        world.run_for(5 * SECOND);
        for round in 0..5 {
            for (number, host) in hosts.iter().enumerate() {
                world.net.broadcast(*host, "NEWS", &format!("{round} {number}"));
            }
            world.chat_says(chats[round % 3], &json!(round));
            world.run_for(SECOND);
        }
        world.run_for(10 * SECOND);
        world.net.sweep();
        for (number, host) in hosts.iter().enumerate() {
            let mut news = world.net.received(*host);
            news.retain(|(kind, _)| kind == "NEWS");
            news.sort();
            let count = news.len();
            news.dedup();
            assert_eq!((count, news.len()), (5 * 4, 5 * 4), "seed {seed}, node {number}");
            let own = format!(" {number}\"");
            assert!(news.iter().all(|(_, body)| !body.ends_with(&own)), "no echo");
            let lines = world.net.received(*host);
            assert_eq!(lines.iter().filter(|(kind, _)| kind == "CHAT").count(), 5, "seed {seed}");
        }
        check_articles(&world, 1);
    }
}
