//! `peerline simulate`: networks on virtual time, in storms that a seed draws.
//!
//! Decides how runs are shown: one seed as a table, several as a row each. What happens in a run,
//! and which rules it is held to, is the testkit's. A run that failed is told with the one command
//! that repeats it. Much of the text in a trace came from hostile strangers, so all of it is
//! escaped.

use std::fmt::Display;
use std::io::{self, Write};
use std::panic;
use std::thread;
use std::time::{Duration, Instant};

use peerline_testkit::swarm::{Options, Report, Run, run as run_seeds};

use crate::args::SimulateArgs;
use crate::end::{End, Failure};
use crate::escape;

/// What a table of one seed shows of all that was seen, in the words of the reader and the testkit.
const MESSAGES: [(&str, &str); 6] = [
    ("messages published", "published"),
    ("delivered", "arrived"),
    ("forwarded", "forwarded"),
    ("copies suppressed", "duplicate"),
    ("skipped, queue full", "skipped: a queue was full"),
    ("lost with connections", "lost at close"),
];

/// Runs the seeds and shows them; [`End::Failed`] if one broke a rule.
pub(crate) fn run(args: &SimulateArgs) -> Result<End, Failure> {
    // A broken rule panics. It is told in the table, in the same words.
    panic::set_hook(Box::new(|_| {}));
    Ok(show(&mut io::stdout(), args)?)
}

fn show(out: &mut impl Write, args: &SimulateArgs) -> io::Result<End> {
    let (began, mut simulated, mut failed) = (Instant::now(), Duration::ZERO, Vec::new());
    if args.seeds > 1 {
        writeln!(out, "{}", row("seed", "nodes", "simulated s", ROW))?;
    }
    // So many at once as there are processors, so that rows appear while others run.
    let at_once = thread::available_parallelism().map_or(1, usize::from) as u64;
    let mut done = 0;
    while done < args.seeds {
        let count = at_once.min(args.seeds.saturating_sub(done));
        let report = run_seeds(&options(args, done, count));
        for run in in_order(report) {
            show_run(out, args, &run)?;
            simulated = simulated.saturating_add(run.simulated);
            failed.extend(run.failure.is_some().then_some(run));
        }
        done = done.saturating_add(count);
    }
    if args.seeds > 1 {
        let (hours, speed) = (simulated.as_secs_f64() / 3600.0, times(simulated, began.elapsed()));
        let (seeds, bad) = (args.seeds, failed.len());
        writeln!(out, "\n{seeds} seeds, {hours:.2} h in {speed} × real time; failed: {bad}")?;
    }
    for run in &failed {
        show_failure(out, args, run)?;
    }
    Ok(if failed.is_empty() { End::Done } else { End::Failed })
}

fn options(args: &SimulateArgs, done: u64, count: u64) -> Options {
    let mut options = Options::new(args.seed.saturating_add(done), count);
    options.hosts = args.nodes.map(|nodes| nodes as usize);
    options.trace = args.trace;
    options.stop_at_failure = false;
    options
}

fn in_order(report: Report) -> Vec<Run> {
    let mut runs = report.passed;
    runs.extend(report.failed);
    runs.sort_by_key(|run| run.seed);
    runs
}

/// Real time that a simulation saves.
fn times(simulated: Duration, took: Duration) -> u64 {
    (simulated.as_secs_f64() / took.as_secs_f64().max(1e-9)) as u64
}

fn verdict(run: &Run) -> &'static str {
    if run.failure.is_none() { "every rule held" } else { "FAILED" }
}

// ---- one line after another

fn show_run(out: &mut impl Write, args: &SimulateArgs, run: &Run) -> io::Result<()> {
    for line in run.trace.lines() {
        writeln!(out, "{}", escape::text(line, usize::MAX))?;
    }
    if args.seeds == 1 {
        return show_table(out, run);
    }
    let faults: u64 = run.faults.values().sum();
    let cells = [
        run.steps.to_string(),
        run.seen("published").to_string(),
        run.seen("arrived").to_string(),
        run.seen("connection made").to_string(),
        faults.to_string(),
        times(run.simulated, run.took).to_string(),
        format!("{:016x}", run.hash),
        verdict(run).to_owned(),
    ];
    let cells = cells.each_ref().map(String::as_str);
    writeln!(out, "{}", row(run.seed, run.hosts, run.simulated.as_secs(), cells))
}

const ROW: [&str; 8] =
    ["events", "published", "delivered", "links", "faults", "× real", "hash", "verdict"];

/// A row of a table of several seeds.
fn row(
    seed: impl Display,
    nodes: impl Display,
    simulated: impl Display,
    rest: [&str; 8],
) -> String {
    let [events, published, delivered, links, faults, times, hash, verdict] = rest;
    format!(
        "{seed:>8} {nodes:>5} {simulated:>11} {events:>8} {published:>9} {delivered:>9} \
         {links:>6} {faults:>6} {times:>7} {hash:>16} {verdict}"
    )
}

fn show_table(out: &mut impl Write, run: &Run) -> io::Result<()> {
    let mut line = |name: &str, value: &dyn Display| writeln!(out, "{name:<24}{value:>20}");
    line("seed", &run.seed)?;
    line("nodes", &run.hosts)?;
    line("simulated seconds", &run.simulated.as_secs())?;
    line("events", &run.steps)?;
    for (name, probe) in MESSAGES {
        line(name, &run.seen(probe))?;
    }
    line("connections", &run.seen("connection made"))?;
    line("faults", &run.faults.values().sum::<u64>())?;
    for (fault, count) in &run.faults {
        line(&format!("  {fault:?}"), count)?;
    }
    line("times real time", &times(run.simulated, run.took))?;
    line("trace hash", &format!("{:016x}", run.hash))?;
    line("verdict", &verdict(run))
}

/// Why a run failed, and how to see it again.
fn show_failure(out: &mut impl Write, args: &SimulateArgs, run: &Run) -> io::Result<()> {
    writeln!(out, "\nseed {} failed:", run.seed)?;
    for line in run.failure.iter().flat_map(|failure| failure.lines()) {
        writeln!(out, "  {}", escape::text(line, escape::MOST_TEXT))?;
    }
    let nodes = args.nodes.map(|nodes| format!(" --nodes {nodes}")).unwrap_or_default();
    writeln!(out, "again: peerline simulate --seed {}{nodes} --trace", run.seed)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn shown(seed: u64, seeds: u64, nodes: Option<u16>) -> (String, End) {
        let args = SimulateArgs { nodes, seed, seeds, trace: false, verbose: 0 };
        let mut out = Vec::new();
        let end = show(&mut out, &args).unwrap();
        (String::from_utf8(out).unwrap(), end)
    }

    #[test]
    fn a_failure_is_told_with_the_command_that_repeats_it() {
        // Where there is no node, the first to be asked for something is missed.
        let (text, end) = shown(5, 2, Some(0));
        assert_eq!(end, End::Failed, "{text}");
        assert!(text.contains("seed 5 failed:\n  index out of bounds"), "{text}");
        assert!(text.ends_with("again: peerline simulate --seed 6 --nodes 0 --trace\n"), "{text}");
        assert!(text.contains("2 seeds, ") && text.contains("failed: 2"), "{text}");
    }

    #[test]
    fn what_a_stranger_said_reaches_no_terminal_as_it_is() {
        let args = SimulateArgs { nodes: Some(0), seed: 0, seeds: 1, trace: true, verbose: 0 };
        let mut run = in_order(run_seeds(&options(&args, 0, 1))).swap_remove(0);
        run.trace = "heard \u{1b}[2J\nand \u{9b}1m".to_owned();
        run.failure = Some("S3 \u{202e}\nagain".to_owned());
        let mut out = Vec::new();
        show_run(&mut out, &args, &run).unwrap();
        show_failure(&mut out, &args, &run).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(text.starts_with("heard \\u{1b}[2J\nand \\u{9b}1m\nseed "), "{text}");
        assert!(text.contains("  S3 \\u{202e}\n  again\n"), "{text}");
    }
}
