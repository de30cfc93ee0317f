//! Explores every interleaving of small networks and prints what was seen.
//!
//! `cargo run --release -p peerline-testkit --example explore [STATES]`: at most so many states of
//! each scenario, by default 400,000.

use std::time::Instant;

use peerline_proto::Config;
use peerline_testkit::explore::{explore, scenarios};

const USUAL: usize = 400_000;

fn main() -> std::process::ExitCode {
    let asked = std::env::args().nth(1).and_then(|text| text.parse().ok());
    let bound = asked.unwrap_or(USUAL);
    let (mut states, mut failures, began) = (0, 0, Instant::now());
    println!("| scenario | states | | steps | settled | seconds | invariants |");
    println!("|---|--:|---|--:|--:|--:|---|");
    for scenario in scenarios(&Config::default()) {
        let start = Instant::now();
        let result = explore(&scenario, bound);
        let (name, seconds) = (scenario.name, start.elapsed().as_secs_f64());
        match result {
            Ok(report) => {
                let all = if report.complete { "all" } else { "bound" };
                let (steps, settled) = (report.steps, report.settled);
                states += report.states;
                let count = report.states;
                println!(
                    "| {name} | {count} | {all} | {steps} | {settled} | {seconds:.1} | held |"
                );
            }
            Err(failure) => {
                failures += 1;
                println!("| {name} | | | | | {seconds:.1} | BROKEN |\n{failure}");
            }
        }
    }
    let seconds = began.elapsed().as_secs_f64();
    println!("{states} distinct states in {seconds:.1} s, {failures} scenarios broken");
    std::process::ExitCode::from(u8::from(failures > 0))
}
