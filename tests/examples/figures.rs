//! The figures of reliability, measured one after another and printed with what they must reach.
//!
//! `RUSTFLAGS='--cfg peerline_planted' cargo run --profile sim --target-dir target/planted
//! -p peerline-testkit --example figures [SEEDS [FIRST [STATES]]]`: by default 256 seeds from 0 on,
//! and 250,000 states of each scenario. Fails if one is missed. Without the flag all the same but
//! the planted bugs. The fuzz targets print theirs by `fuzz/smoke`.

use std::alloc::System;
use std::io;

use peerline_testkit::explore::tell_all;
use peerline_testkit::hostile::{one_stranger, strangers};
use peerline_testkit::swarm::{Options, run, slowest_delivery};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

fn held() -> usize {
    let stats = ALLOCATOR.stats();
    stats.bytes_allocated.saturating_sub(stats.bytes_deallocated)
}

/// Prints a figure and its goal; counts those missed.
fn figure(missed: &mut u32, what: &str, value: f64, goal: f64, at_least: bool) {
    let reached = if at_least { value >= goal } else { value <= goal };
    let (sign, verdict) =
        (if at_least { ">=" } else { "<=" }, if reached { "reached" } else { "MISSED" });
    *missed += u32::from(!reached);
    println!("{what:<52}{value:>14.2}   {sign} {goal:<10} {verdict}");
}

fn main() -> io::Result<std::process::ExitCode> {
    let mut args = std::env::args().skip(1).map_while(|arg| arg.parse::<u64>().ok());
    let (count, first) = (args.next().unwrap_or(256), args.next().unwrap_or(0));
    let (mut missed, bound) = (0, args.next().unwrap_or(250_000) as usize);
    // First, while nothing else allocates.
    let (each, many) = (one_stranger(held), strangers(10_000, held));
    std::panic::set_hook(Box::new(|_| {})); // a broken rule is told below

    println!("# Every order of events\n");
    let (states, broken) = tell_all(&mut io::stdout(), bound)?;

    println!("\n# Seeds\n");
    let mut options = Options::new(first, count);
    options.stop_at_failure = false;
    let report = run(&options);
    print!("{report}");

    println!("\n# Figures\n");
    let mut show = |what: &str, value: f64, goal: f64, at_least: bool| {
        figure(&mut missed, what, value, goal, at_least);
    };
    show("distinct states explored", states as f64, 1e6, true);
    show("scenarios with a broken rule", broken as f64, 0.0, false);
    show("seeds that broke a rule", report.failed.len() as f64, 0.0, false);
    let rarest = report.faults.values().min().copied().unwrap_or_default();
    let due = 1_000 * report.seeds / 2_048; // the goal is for 2,048 seeds
    show("the rarest fault, times", rarest as f64, due as f64, true);
    let stopped = report.probes.get("stopped in time").copied().unwrap_or_default();
    let nodes: usize = report.passed.iter().map(|run| run.hosts).sum();
    show("nodes that stopped in time, all accounted for", stopped as f64, nodes as f64, true);
    show("bytes of one connection without hello", each as f64, 8192.0, false);
    show("MiB of ten thousand", many as f64 / 1_048_576.0, 16.0, false);
    let ratio = |seed| {
        let (calm, attacked) =
            (slowest_delivery(seed, 600, false), slowest_delivery(seed, 600, true));
        attacked.as_secs_f64() / calm.as_secs_f64()
    };
    let worst = (0..4).map(ratio).fold(0.0, f64::max);
    show("honest p99 under attack, times that in peace", worst, 1.2, false);
    #[cfg(peerline_planted)]
    {
        let all = peerline_proto::Bug::ALL;
        let hunt = |bug| peerline_testkit::swarm::hunt(bug, first, 500);
        let caught = all.into_iter().filter(|bug| hunt(*bug).seed.is_some()).count();
        show("planted bugs caught by their own rule", caught as f64, all.len() as f64, true);
    }
    println!("\n{missed} missed");
    Ok(std::process::ExitCode::from(u8::from(missed > 0)))
}
