//! Explores every interleaving of small networks and prints what was seen.
//!
//! `cargo run --release -p peerline-testkit --example explore [STATES]`: at most so many states of
//! each scenario, by default 250,000. Where there are no more, the count is followed by `all`.

use std::time::Instant;

use peerline_proto::Config;
use peerline_testkit::explore::{Scenario, explore, scenarios};

const USUAL: usize = 250_000;

fn main() -> std::process::ExitCode {
    let asked = std::env::args().nth(1).and_then(|text| text.parse().ok());
    let bound = asked.unwrap_or(USUAL);
    let (mut states, mut failures, began) = (0, 0, Instant::now());
    println!(
        "| scenario | time passes, breaks, cuts | states | steps | settled | s | invariants |"
    );
    println!("|---|---|--:|--:|--:|--:|---|");
    for scenario in scenarios(&Config::default()) {
        match row(&scenario, bound) {
            Some(count) => states += count,
            None => failures += 1,
        }
    }
    let seconds = began.elapsed().as_secs_f64();
    println!(
        "\n{states} distinct states in {seconds:.1} s; scenarios with a broken rule: {failures}"
    );
    std::process::ExitCode::from(u8::from(failures > 0))
}

/// Explores a scenario and prints its row. Returns the states visited, if all rules held.
fn row(scenario: &Scenario, bound: usize) -> Option<usize> {
    let start = Instant::now();
    let result = explore(scenario, bound);
    let seconds = start.elapsed().as_secs_f64();
    let Scenario { name, time, breaks, cuts, .. } = scenario;
    print!("| {name} | {time}, {breaks}, {cuts} ");
    match result {
        Ok(report) => {
            let all = if report.complete { " all" } else { "" };
            let (states, steps, settled) = (report.states, report.steps, report.settled);
            println!("| {states}{all} | {steps} | {settled} | {seconds:.1} | held |");
            Some(states)
        }
        Err(failure) => {
            println!("| {} | | | {seconds:.1} | BROKEN |\n\n{failure}", failure.states);
            None
        }
    }
}
