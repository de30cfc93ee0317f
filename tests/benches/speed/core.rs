//! The node without sockets, by the clock, and the network on virtual time.

use std::time::Instant;

use peerline_testkit::swarm::{self, Options};

use crate::Plan;
use crate::rows::{Rows, Spread};
use crate::workloads::WORKLOADS;

/// Times the steps that callgrind counts.
const MORE: u64 = 10;
/// Workloads whose steps are connections: ten times as many do not fit into one node.
const CROWDS: [&str; 2] = ["join_among_1000", "idle_timers_1000"];
/// Hosts of the simulated networks.
const HOSTS: usize = 30;

/// Steps per second of the workloads that are counted by `--bench counts` too, on one core.
pub(crate) fn measure(plan: &Plan, rows: &mut Rows) {
    let mut runs: Vec<Vec<f64>> = vec![Vec::new(); WORKLOADS.len()];
    for turn in 0..plan.runs * WORKLOADS.len() {
        let index = turn % WORKLOADS.len();
        let workload = &WORKLOADS[index];
        let more = if CROWDS.contains(&workload.name) { 1 } else { MORE };
        let times = workload.times * more;
        let mut work = (workload.prepare)(times);
        let began = Instant::now();
        work();
        runs[index].push(times as f64 / began.elapsed().as_secs_f64());
    }
    for (workload, runs) in WORKLOADS.iter().zip(runs) {
        rows.add("core", workload.name, "rate", Spread::of(runs));
    }
}

/// Packets and timers per second, and how much faster than time, all rules checked after each.
pub(crate) fn simulate(plan: &Plan, rows: &mut Rows) {
    let mut options = Options::new(0, 2 * plan.runs as u64);
    options.hosts = Some(HOSTS);
    options.stop_at_failure = false;
    let report = swarm::run(&options);
    let runs = || report.passed.iter().chain(&report.failed);
    let test = format!("sim/{HOSTS}");
    let steps = runs().map(|run| run.steps as f64 / run.took.as_secs_f64());
    rows.add(&test, "core", "rate", Spread::of(steps));
    let times = runs().map(|run| run.simulated.as_secs_f64() / run.took.as_secs_f64());
    rows.add(&test, "core", "times-real", Spread::of(times));
}
