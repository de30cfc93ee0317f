//! Every interleaving of two and three nodes that meet, end and return, as far as a bound goes.
//!
//! The bound is small by default; with `PEERLINE_SEEDS` at 2,048 or more it is that of the example
//! `explore`, where half of the scenarios come to their end: for an optimized build.

use peerline_proto::{Config, Instant, Node, testing};
use peerline_testkit::explore::{Report, Scenario, explore, scenarios};
use peerline_testkit::net::Net;

const SMALL: usize = 1_000;
const FULL: usize = 250_000;

fn bound() -> usize {
    let asked = std::env::var("PEERLINE_SEEDS").ok().and_then(|text| text.parse::<u64>().ok());
    if asked.is_some_and(|seeds| seeds >= 2_048) { FULL } else { SMALL }
}

fn check(scenario: &Scenario, bound: usize) -> Report {
    let found = explore(scenario, bound);
    found.unwrap_or_else(|failure| panic!("{}: {failure}", scenario.name))
}

#[test]
fn every_rule_holds_in_every_state_of_every_scenario() {
    let bound = bound();
    let reports: Vec<Report> =
        scenarios(&Config::default()).iter().map(|scenario| check(scenario, bound)).collect();
    let states: usize = reports.iter().map(|report| report.states).sum();
    assert!(reports.iter().all(|report| report.complete || report.states == bound));
    assert!(states >= if bound == FULL { 1_000_000 } else { 10 * SMALL }, "{states}");
}

#[test]
fn an_exploration_sees_the_same_states_each_time() {
    for scenario in scenarios(&Config::default()).iter().step_by(4) {
        assert_eq!(check(scenario, 300), check(scenario, 300), "{}", scenario.name);
    }
}

#[test]
fn what_is_not_so_is_found_by_the_shortest_way() {
    let mut scenario = scenarios(&Config::default()).swap_remove(0);
    scenario.links = 2..=2;
    scenario.time = 0;
    let failure = explore(&scenario, 5_000).unwrap_err();
    assert_eq!(failure.what, "1 connections stay; 2..=2 should");
    let first = failure.path.first().unwrap();
    assert!(first.ends_with("a dials b") || first.ends_with("b dials a"), "{failure}");
    assert!(failure.path.len() <= 20, "{failure}");
}

#[test]
fn a_copy_of_a_node_is_the_same_until_something_happens_to_it() {
    let mut net = Net::new(3);
    let (a, b) = (net.add(), net.add());
    net.dial(a, b);
    assert!(net.run_until(std::time::Duration::from_secs(1), |net| net.are_peers(a, b)));
    let mut copy: Node = net.node(a).clone();
    assert_eq!(testing::digest(&copy), testing::digest(net.node(a)));
    copy.handle_timeout(Instant::MAX);
    assert_ne!(testing::digest(&copy), testing::digest(net.node(a)));
}
