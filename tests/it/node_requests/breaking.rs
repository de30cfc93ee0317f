//! Requests at random while routers lie, connections tear, and nodes come and go: each ends once.

use std::collections::BTreeMap;

use peerline_proto::{NodeId, PeerId};
use peerline_testkit::entropy::{Entropy, seeds};
use peerline_testkit::net::Net;

use super::{Book, PATIENCE, SECOND, ask, ask_for, body, network, serve};

#[test]
fn whatever_routers_say_each_node_passes_a_try_once() {
    let mut most = 0;
    for seed in seeds(20) {
        let (mut net, mut entropy) = (Net::new(seed), Entropy::new(seed));
        let pairs: Vec<(usize, usize)> = (0..8).map(|at| (at, (at + 1) % 8)).collect();
        let chords = [(0, 4), (1, 5), (2, 6), (3, 7)];
        let hosts = network(&mut net, 8, &[&pairs[..], &chords].concat());
        for (at, host) in hosts.iter().enumerate() {
            let neighbours = [at + 1, at + 7, at + 4].map(|next| net.id(hosts[next % 8]));
            let turn = entropy.number() as usize;
            // Another neighbour for each destination, whether that leads there or not.
            let router = move |to: &PeerId| {
                let low = to.node()?.uuid().as_u128() as usize;
                Some(neighbours[low.wrapping_add(turn) % 3].clone())
            };
            net.with(*host, |node, _| node.set_router(router));
        }
        net.start_trace();
        let mut asked = Vec::new();
        for number in 0..10 {
            let nowhere = PeerId::Node(NodeId::from_random_bytes([100 + number; 16]));
            asked.push(ask_for(&mut net, hosts[0], &nowhere, PATIENCE).unwrap());
        }
        net.run_for(PATIENCE);
        let mut book = Book::default();
        book.note(&mut net, hosts[0]);
        for id in asked {
            assert_eq!(book.of(id), ["failed: no route"], "seed {seed}");
        }
        for ((id, attempt), passed) in passages(net.trace()) {
            assert!(passed <= 8, "seed {seed}: {id} try {attempt} was sent {passed} times");
            most = most.max(passed);
        }
    }
    assert!(most >= 4, "{most}: no request went far");
}

#[test]
fn a_neighbour_that_does_not_answer_is_not_dialled_once_more() {
    let mut net = Net::new(5);
    let hosts = network(&mut net, 2, &[(0, 1)]);
    assert!(net.are_peers(hosts[0], hosts[1]));
    net.freeze_pipe(1);
    let id = ask(&mut net, hosts[0], hosts[1]).unwrap();
    net.run_for(PATIENCE);
    assert_eq!(net.connections_between(hosts[0], hosts[1]), 1);
    let mut book = Book::default();
    book.note(&mut net, hosts[0]);
    assert_eq!(book.of(id).len(), 1, "{:?}", book.of(id));
}

/// How often each try of each request was sent, by its origin and by relays.
fn passages(trace: &str) -> BTreeMap<(String, u64), usize> {
    let mut passages = BTreeMap::new();
    let lines = trace.lines().filter_map(|line| line.split_once("> ")).map(|(_, line)| line);
    for line in lines.filter(|line| line.starts_with("{\"msgtype\":\"request\"")) {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        let name = (line["id"].to_string(), line["try"].as_u64().unwrap());
        *passages.entry(name).or_default() += 1;
    }
    passages
}

/// Requests between hosts at random while connections tear and nodes come and go.
fn churn(seed: u64) {
    let (mut net, mut entropy) = (Net::new(seed), Entropy::new(seed));
    let count = entropy.between(5, 10) as usize;
    let mut pairs: Vec<(usize, usize)> = (1..count).map(|end| (end - 1, end)).collect();
    for _ in 0..count {
        let pair = [entropy.below(count as u64) as usize, entropy.below(count as u64) as usize];
        pairs.extend((pair[0] != pair[1]).then_some((pair[0], pair[1])));
    }
    let hosts = network(&mut net, count, &pairs);
    let (mut books, mut asked) = (vec![Book::default(); count], Vec::new());
    for _ in 0..150 {
        // The last host only answers, for it comes and goes, and then forgets what it asked.
        let (from, to) = (entropy.below(count as u64 - 1) as usize, entropy.below(count as u64));
        let deadline = entropy.millis(100, 8_000);
        let peer = net.id(hosts[to as usize]);
        let id = ask_for(&mut net, hosts[from], &peer, deadline);
        asked.extend(id.map(|id| (from, id)));
        match entropy.below(10) {
            0 => {
                let pipes = net.pipes();
                if let Some(pipe) = pipes.get(entropy.below(pipes.len().max(1) as u64) as usize) {
                    net.tear_pipe(*pipe);
                }
            }
            1 | 2 => {
                let (a, b) = pairs[entropy.below(pairs.len() as u64) as usize];
                let _already_there = net.dial(hosts[a], hosts[b]);
            }
            3 => net.restart(hosts[count - 1]),
            _ => {}
        }
        net.run_for(entropy.millis(0, 200));
        settle(&mut net, &mut books, &mut entropy);
    }
    for _ in 0..100 {
        net.run_for(SECOND / 5);
        settle(&mut net, &mut books, &mut entropy);
    }
    let mut answered = 0;
    for (host, id) in &asked {
        let words = books[*host].of(*id);
        assert_eq!(books[*host].ends(*id), 1, "seed {seed}, host {host}, {id}: {words:?}");
        answered += usize::from(!words[0].starts_with("failed"));
    }
    assert!(answered > 5, "seed {seed}: {answered} of {} answered", asked.len());
}

/// Every host answers some of what it was asked, in one to three replies.
fn settle(net: &mut Net, books: &mut [Book], entropy: &mut Entropy) {
    for (host, book) in books.iter_mut().enumerate() {
        for to in book.note(net, host) {
            let replies = entropy.below(4);
            for n in 0..replies {
                let text = body("x");
                let last = n + 1 == replies;
                let _gone = net.with(host, |node, now| node.reply(to, "A", &text, last, now));
            }
        }
    }
}

#[test]
fn every_request_ends_once_whatever_breaks() {
    for seed in seeds(25) {
        churn(seed);
    }
}

#[test]
fn ten_thousand_at_once_with_half_of_the_answerers_killed_end_each_once() {
    let mut net = Net::new(3);
    let pairs: Vec<(usize, usize)> = (1..=10).map(|end| (0, end)).collect();
    let hosts = network(&mut net, 11, &pairs);
    let mut asked = Vec::new();
    for number in 0..10_000 {
        let to = hosts[1 + number % 10];
        asked.push(ask(&mut net, hosts[0], to).unwrap());
        if number == 5_000 {
            for host in &hosts[1..=5] {
                net.kill(*host);
            }
        }
        if number % 1_000 == 999 {
            net.run_for(SECOND / 10);
        }
        // The dead are no neighbours any more; what is sought for them is in vain.
    }
    let mut book = Book::default();
    serve(&mut net, &mut book, 2 * PATIENCE);
    let (mut answered, mut failed) = (0, 0);
    for id in asked {
        assert_eq!(book.ends(id), 1, "{id}: {:?}", book.of(id));
        let good = book.of(id)[0].ends_with("last");
        *(if good { &mut answered } else { &mut failed }) += 1;
    }
    assert!(answered >= 5_000 && failed >= 2_500, "{answered} answered, {failed} failed");
    assert_eq!(net.node(hosts[0]).buffered(), 0);
}
