//! Runs of the simulator: seeds that once failed, new ones, the same one twice, attacks.
//!
//! `PEERLINE_SEEDS` says how many, `PEERLINE_SEED_BASE` from which on, `PEERLINE_SEED` which one.

use std::time::Duration;

use peerline_testkit::net::Net;
use peerline_testkit::swarm::{Options, Report, run, slowest_delivery};

/// Seeds of runs that found something, in the node or in the judge.
const REGRESS: [u64; 21] = [
    11,
    500_166,
    500_317,
    200_147,
    200_319,
    200_391,
    200_450,
    400_012,
    1098,
    9,
    45,
    66,
    7_340_272,
    7_341_339,
    7_000_491,
    7_000_828,
    7_000_926,
    13_571_713_259_059_895_855,
    9_900_000_983,
    11_802_480_757_408_665_171,
    11_802_480_757_408_665_744,
];

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

fn check(report: &Report) {
    print!("{report}");
    assert!(report.failed.is_empty(), "{report}");
}

#[test]
fn sim_one() {
    let options = Options::new(number("PEERLINE_SEED").unwrap_or(0), 1);
    check(&run(&options));
}

#[test]
fn sim_regress() {
    // All of them where many seeds are asked for: unoptimised, each takes seconds.
    let count = number("PEERLINE_SEEDS").map_or(2, |_| REGRESS.len());
    for seed in REGRESS.into_iter().take(count) {
        check(&run(&Options::new(seed, 1)));
    }
}

#[test]
fn sim_swarm() {
    let count = number("PEERLINE_SEEDS").unwrap_or(4);
    let report = run(&Options::new(number("PEERLINE_SEED_BASE").unwrap_or(0), count));
    println!("{}", report.summary());
    check(&report);
    if count >= 2_048 {
        let due = 1_000;
        let rare: Vec<_> = report.faults.iter().filter(|(_, count)| **count < due).collect();
        assert!(rare.is_empty(), "too few of {rare:?}");
        println!("=> each kind of fault at least {due} times");
        let never: Vec<_> = report.probes.iter().filter(|(_, count)| **count == 0).collect();
        assert!(never.is_empty(), "never seen: {never:?}");
    }
}

#[test]
fn sim_determinism() {
    let count = number("PEERLINE_SEEDS").map_or(1, |seeds| seeds / 8);
    let base = number("PEERLINE_SEED_BASE").unwrap_or(0);
    let mut options = Options::new(base, count);
    options.twice = true;
    check(&run(&options));
}

#[test]
fn sim_attack_does_not_slow_the_honest() {
    let (seeds, broadcasts) = number("PEERLINE_SEEDS").map_or((1, 100), |_| (2, 600));
    for seed in 0..seeds {
        let [calm, attacked] = [false, true].map(|hit| slowest_delivery(seed, broadcasts, hit));
        println!("seed {seed}: 99 of 100 within {calm:?}, attacked {attacked:?}");
        assert!(attacked <= calm.mul_f64(1.2), "seed {seed}: {calm:?} became {attacked:?}");
    }
}

#[test]
fn a_partition_holds_what_is_sent_and_delivers_it_when_it_heals() {
    let mut net = Net::new(3);
    let (a, b) = (net.add(), net.add());
    net.dial(a, b);
    net.run_for(Duration::from_secs(2));
    net.partition(&[a], &[b], true);
    net.broadcast(a, "NEWS", "held");
    net.run_for(Duration::from_secs(5));
    assert!(net.received(b).is_empty());
    net.heal();
    net.run_for(Duration::from_secs(1));
    assert_eq!(net.received(b).len(), 1);
    let state = net.to_string();
    assert!(state.contains("n0 10.0.0.0:5999 life 0: 1 peers, 1 sockets"), "{state}");
}

#[test]
fn a_host_that_is_started_again_comes_back_by_its_bootstrap() {
    let mut net = Net::new(4);
    let (a, b) = (net.add(), net.add());
    net.bootstrap(a, b);
    net.run_for(Duration::from_secs(2));
    net.vanish(a);
    net.run_for(Duration::from_secs(30));
    assert_eq!(net.node(b).peer_count(), 0, "a dead peer is noticed");
    net.restart(a);
    net.bootstrap(a, b);
    assert!(net.run_until(Duration::from_secs(2), |net| net.are_peers(a, b)));
}
