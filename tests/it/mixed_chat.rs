//! Chat between originals and nodes: who hears what, and how often.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use peerline_proto::Event;
use peerline_testkit::entropy::{Entropy, seeds};
use peerline_testkit::net::{HostId, Net};
use peerline_testkit::originals::World;
use peerline_testkit::originals::chat::WINDOW;
use serde_json::{Value, json};

const SECOND: Duration = Duration::from_secs(1);
/// Who said what, and when.
type Line = (String, Value, String);

fn place(number: u8) -> SocketAddr {
    SocketAddr::from(([10, 7, number, 1], 22_000 + u16::from(number)))
}

/// How often a node delivered each line of chat.
fn delivered(net: &Net, host: HostId) -> BTreeMap<String, u32> {
    let mut counts = BTreeMap::new();
    for event in net.events(host) {
        let Event::Message(message) = event else { continue };
        if message.kind() == "CHAT" {
            let said: Value = message.parse().unwrap();
            let line = key(&said["originator"], &said["msg"], &said["time"]);
            *counts.entry(line).or_default() += 1;
        }
    }
    counts
}

fn key(originator: &Value, msg: &Value, time: &Value) -> String {
    json!([originator, msg, time]).to_string()
}

fn key_of((who, what, when): &Line) -> String {
    key(&json!(who), what, &json!(when))
}

/// `count` nodes that know each other, and chat peers of whom each joins some of them.
fn world(seed: u64, count: usize, joined: &[&[HostId]]) -> (World, Vec<HostId>) {
    let mut world = World::new(seed);
    let hosts: Vec<HostId> = (0..count).map(|_| world.net.add()).collect();
    for host in &hosts[1..] {
        world.net.bootstrap(*host, hosts[0]);
    }
    world.run_for(5 * SECOND);
    for (number, hosts) in joined.iter().enumerate() {
        let chat = world.add_chat(&format!("original {number}"), place(number as u8 + 1));
        for host in *hosts {
            let addr = world.net.addr(*host);
            world.chat_joins(chat, addr);
        }
    }
    world.run_for(SECOND);
    (world, hosts)
}

#[test]
fn two_chat_peers_that_know_only_a_node_hear_each_other() {
    for seed in seeds(8) {
        let (mut world, _) = world(seed, 1, &[&[0], &[0]]);
        let lines = [
            world.chat_says(0, &json!("from the first")),
            world.chat_says(1, &json!({"from": ["the", 2.5, null]})),
        ];
        world.run_for(2 * SECOND);
        for (hears, says) in [(1, 0), (0, 1)] {
            assert_eq!(world.chat(hears).peers.len(), 1, "it knows the node alone");
            assert_eq!(world.chat(hears).shown, [lines[says].clone()]);
        }
    }
}

#[test]
fn a_line_of_a_node_reaches_originals_at_other_nodes_once() {
    for seed in seeds(8) {
        let (mut world, hosts) = world(seed, 4, &[&[1], &[1, 2], &[3]]);
        world.node_says(hosts[0], &json!("caf\u{e9}"));
        world.run_for(2 * SECOND);
        for chat in 0..3 {
            let shown = &world.chat(chat).shown;
            assert_eq!(shown.len(), 1, "seed {seed}");
            assert_eq!(shown[0].1, json!("caf\u{e9}"));
        }
        for host in &hosts[1..] {
            assert_eq!(delivered(&world.net, *host).into_values().collect::<Vec<_>>(), [1]);
        }
        assert!(delivered(&world.net, hosts[0]).is_empty(), "no echo");
    }
}

#[test]
fn the_same_words_in_one_second_are_two_lines() {
    let (mut world, hosts) = world(1, 2, &[&[1]]);
    for _ in 0..3 {
        world.node_says(hosts[0], &json!("again"));
    }
    world.run_for(2 * SECOND);
    assert_eq!(delivered(&world.net, hosts[1]).len(), 3);
    assert_eq!(world.chat(0).shown.len(), 3, "its window of (message, time) tells them apart");
}

/// A node that is asked by an original calls whom it is told of, and is told of others.
#[test]
fn originals_find_each_other_through_a_node() {
    let (mut world, hosts) = world(1, 1, &[&[0], &[0], &[0]]);
    let addr = world.net.addr(hosts[0]);
    world.chat_asks(0, addr);
    world.run_for(2 * SECOND);
    let known: Vec<&String> = world.chat(0).peers.keys().collect();
    assert_eq!(known.len(), 3, "{known:?}");
    assert!(world.chat(1).peers.contains_key("original 0"));
}

#[test]
fn a_node_calls_on_those_whom_an_original_tells_it_of() {
    let (mut world, hosts) = world(1, 1, &[&[0]]);
    let other = world.add_chat("hidden", place(9));
    world.chat_joins(other, place(1));
    world.run_for(SECOND);
    let original = world.net.node(hosts[0]).guests().next().unwrap().peer;
    assert!(world.net.with(hosts[0], |node, now| node.ask_for_peers(&original, now)));
    world.run_for(2 * SECOND);
    let guests = world.net.node(hosts[0]).guests().map(|guest| guest.peer.to_string());
    assert_eq!(guests.collect::<Vec<_>>(), ["guest hidden", "guest original 0"]);
}

#[test]
fn an_original_that_is_gone_is_forgotten_and_the_others_hear_on() {
    let (mut world, hosts) = world(1, 1, &[&[0], &[0]]);
    world.kill_chat(0);
    for number in 0..4 {
        world.node_says(hosts[0], &json!(number));
        world.run_for(2 * SECOND);
    }
    let guests = world.net.node(hosts[0]).guests().map(|guest| guest.peer.to_string());
    assert_eq!(guests.collect::<Vec<_>>(), ["guest original 1"]);
    assert_eq!(world.chat(1).shown.len(), 4);
}

/// Several bridges, a triangle of originals, some that write anew what they pass on, two time
/// zones. At most `in_flight` lines are said within a second. Returns how often an original showed
/// a line again.
fn mixed(seed: u64, in_flight: usize) -> usize {
    let joined: [&[HostId]; 5] = [&[0, 1], &[1], &[1, 2], &[2], &[0]];
    let (mut world, hosts) = world(seed, 4, &joined);
    let mut entropy = Entropy::new(seed);
    for chat in 0..joined.len() {
        world.chat(chat).rewrites = entropy.chance(50);
        world.chat(chat).offset = [0, 7_200][chat % 2];
    }
    for (from, to) in [(0, 1), (1, 2), (2, 0)] {
        world.chat_joins(from, place(to + 1));
    }
    world.run_for(SECOND);
    let mut lines = Vec::new();
    for number in 0..in_flight {
        let msg = match entropy.below(3) {
            0 => json!(format!("line {number} \u{fc}\u{1f600}\"\\")),
            1 => json!({"n": number, "x": [1.5, null, true, "\u{e9}"]}),
            _ => json!(number as f64 * 100.0),
        };
        match entropy.below(joined.len() as u64 + 1) as usize {
            chat if chat < joined.len() => lines.push(world.chat_says(chat, &msg)),
            _ => world.node_says(hosts[3], &msg),
        }
        world.run_for(entropy.millis(0, if in_flight < WINDOW { 30 } else { 6 }));
    }
    world.run_for(5 * SECOND);
    for host in &hosts {
        let counts = delivered(&world.net, *host);
        for line in &lines {
            assert_eq!(counts.get(&key_of(line)), Some(&1), "seed {seed}, node {host}: {line:?}");
        }
        let twice: Vec<_> = counts.iter().filter(|(_, count)| **count != 1).collect();
        assert!(twice.is_empty(), "seed {seed}, node {host}: {twice:?}");
    }
    let mut again = 0;
    for chat in 0..joined.len() {
        let name = world.chat(chat).name.clone();
        for line in lines.iter().filter(|(who, ..)| *who != name) {
            let count = world.chat(chat).shown.iter().filter(|shown| *shown == line).count();
            assert!(count >= 1, "seed {seed}, {name}: {line:?}");
            again += count - 1;
        }
    }
    again
}

#[test]
fn few_lines_are_shown_once_by_all_whatever_the_bridges() {
    let again: usize = seeds(8).map(|seed| mixed(seed, WINDOW - 1)).sum();
    assert_eq!(again, 0);
}

/// More lines than an original knows again go round in the triangle for ever; each node of ours
/// delivers each once all the same.
#[test]
fn thirty_lines_in_a_triangle_of_originals_are_delivered_once_at_each_node() {
    let again: usize = seeds(2).map(|seed| mixed(seed, 30)).sum();
    assert!(again > 0, "the originals go round");
}
