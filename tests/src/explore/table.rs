//! All scenarios, explored one after another and told as a table.

use std::io::{self, Write};
use std::time::Instant;

use peerline_proto::Config;

use crate::explore::{Scenario, explore, scenarios};

/// Explores every scenario, so many states of each at most, and writes a row for each. Returns the
/// states visited where all rules held, and the number of scenarios where one was broken. Where
/// there are no more states, their count is followed by `all`.
///
/// # Errors
/// Those of `out`.
pub fn tell_all(out: &mut impl Write, bound: usize) -> io::Result<(usize, usize)> {
    let (mut states, mut failures, began) = (0, 0, Instant::now());
    writeln!(
        out,
        "| scenario | time passes, breaks, cuts | states | steps | settled | s | invariants |\n\
         |---|---|--:|--:|--:|--:|---|"
    )?;
    for scenario in scenarios(&Config::default()) {
        match tell(out, &scenario, bound)? {
            Some(count) => states += count,
            None => failures += 1,
        }
    }
    let seconds = began.elapsed().as_secs_f64();
    writeln!(
        out,
        "\n{states} distinct states in {seconds:.1} s; scenarios with a broken rule: {failures}"
    )?;
    Ok((states, failures))
}

/// Explores a scenario and writes its row. Returns the states visited, if all rules held.
fn tell(out: &mut impl Write, scenario: &Scenario, bound: usize) -> io::Result<Option<usize>> {
    let start = Instant::now();
    let result = explore(scenario, bound);
    let seconds = start.elapsed().as_secs_f64();
    let Scenario { name, time, breaks, cuts, .. } = scenario;
    write!(out, "| {name} | {time}, {breaks}, {cuts} ")?;
    match result {
        Ok(report) => {
            let all = if report.complete { " all" } else { "" };
            let (states, steps, settled) = (report.states, report.steps, report.settled);
            writeln!(out, "| {states}{all} | {steps} | {settled} | {seconds:.1} | held |")?;
            Ok(Some(states))
        }
        Err(failure) => {
            writeln!(out, "| {} | | | {seconds:.1} | BROKEN |\n\n{failure}", failure.states)?;
            Ok(None)
        }
    }
}
