//! How fast whole nodes are, beside what sockets can carry and what others do.
//!
//! `cargo bench -p peerline-testkit --bench speed -- [--runtime mio|smol] [--only PART,…]
//! [--size BYTES] [--seconds S] [--runs N] [--quick] [--no-peers] [--free]`. Parts: `two`, `line`,
//! `mesh`, `fan`, `trips`, `idle`, `core`, `sim`. Without `--only` all are measured; then the goals
//! are judged, the figures are kept in `benches/results`, and `--report` alone writes the tables
//! and pictures of `BENCHMARKS.md` from them.
//!
//! Every node is a process, node i on core i mod 2. Contestants take turns. Of each figure the
//! least, the middle and the most is kept. What was sent and did not arrive is counted.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(unreachable_pub)] // `child` is also part of another program

mod child;
mod core;
mod entrants;
mod goals;
mod idle;
mod node;
mod plot;
mod raw;
mod rows;
mod stage;
mod streams;
mod tables;
mod trips;
#[path = "../counts/workloads.rs"]
mod workloads;

use std::env;
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use entrants::Scene;
use rows::{Rows, load, machine, results};

const SIZES: [usize; 3] = [64, 1024, 16 * 1024];
const PARTS: [&str; 8] = ["two", "line", "mesh", "fan", "trips", "idle", "core", "sim"];

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).filter(|arg| arg != "--bench").collect();
    if play(&args) {
        return ExitCode::SUCCESS;
    }
    if args == ["--report"] {
        tables::report();
        return ExitCode::SUCCESS;
    }
    let Some(plan) = Plan::parse(&args) else {
        eprintln!("usage: see the head of tests/benches/speed/main.rs");
        return ExitCode::FAILURE;
    };
    plan.measure();
    ExitCode::SUCCESS
}

/// Whether this is one of the processes that are measured; its parent says which.
fn play(args: &[String]) -> bool {
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match words[..] {
        ["--node", ..] => entrants::play(&child::Task::parse(&args[1..]).expect("a task")),
        ["--echo", who] => trips::serve(who),
        ["--trip", who, to, millis] => trips::ask(who, to, millis),
        ["--hold", who, count] => idle::hold(who, count),
        ["--crowd", to, count] => idle::crowd(to, count),
        ["--talk", to, _] => idle::talk(to),
        _ => return false,
    }
    true
}

/// What to measure.
#[derive(Clone, Debug)]
struct Plan {
    runtimes: Vec<&'static str>,
    parts: Vec<&'static str>,
    sizes: Vec<usize>,
    seconds: f64,
    runs: usize,
    /// How long an idle node is watched.
    idle: Duration,
    /// How many connections a node is to hold.
    connections: usize,
    peers: bool,
    pinned: bool,
}

impl Plan {
    fn parse(args: &[String]) -> Option<Self> {
        let mut plan = Self {
            runtimes: vec!["mio", "smol"],
            parts: PARTS.to_vec(),
            sizes: SIZES.to_vec(),
            seconds: 0.8,
            runs: 5,
            idle: Duration::from_secs(60),
            connections: 10_000,
            peers: true,
            pinned: can_pin(),
        };
        let mut args = args.iter();
        while let Some(flag) = args.next() {
            match flag.as_str() {
                "--runtime" => {
                    let word = args.next()?;
                    plan.runtimes.retain(|runtime| runtime == word);
                }
                "--only" => {
                    let words: Vec<&str> = args.next()?.split(',').collect();
                    plan.parts.retain(|part| words.contains(part));
                }
                "--size" => plan.sizes = vec![args.next()?.parse().ok().filter(|size| *size > 2)?],
                "--seconds" => plan.seconds = args.next()?.parse().ok()?,
                "--runs" => plan.runs = args.next()?.parse().ok().filter(|runs| *runs > 0)?,
                "--quick" => {
                    (plan.seconds, plan.runs) = (0.2, 1);
                    plan.idle = Duration::from_secs(10);
                }
                "--connections" => plan.connections = args.next()?.parse().ok()?,
                "--no-peers" => plan.peers = false,
                "--free" => plan.pinned = false,
                _ => return None,
            }
        }
        (!plan.runtimes.is_empty() && !plan.parts.is_empty()).then_some(plan)
    }

    /// Whether a contestant takes part: each that is not of the runtime left out.
    fn wants(&self, word: &str) -> bool {
        let family = word.split('-').next().unwrap_or(word);
        !["mio", "smol"].contains(&family) || self.runtimes.contains(&family)
    }

    fn measure(&self) {
        let (mut rows, before) = (Rows::default(), load());
        for scene in Scene::ALL {
            if self.parts.contains(&scene.word()) {
                streams::measure(self, scene, &mut rows);
            }
        }
        let wants = |part: &str| self.parts.contains(&part);
        if wants("trips") {
            trips::measure(self, &mut rows);
        }
        if wants("idle") {
            idle::measure(self, &mut rows);
        }
        if wants("core") {
            core::measure(self, &mut rows);
        }
        if wants("sim") {
            core::simulate(self, &mut rows);
        }
        self.show(&mut rows, &before);
    }

    /// Prints all; and keeps it, if it is all.
    fn show(&self, rows: &mut Rows, before: &str) {
        let Self { runs, seconds, .. } = self;
        let place = if self.pinned { "node i on core i mod 2" } else { "no placement" };
        rows.remarks = vec![
            format!("{runs} runs of {seconds} s each, taking turns; {place}"),
            format!("{}; load before {before}, after {}", machine(), load()),
        ];
        println!("{}\n\n{}", rows.remarks.join("\n"), tables::all(rows));
        rows.fill_from(&Rows::read("build.csv"));
        for who in &self.runtimes {
            println!("{}", tables::goals(rows, who));
        }
        if self.parts.len() < PARTS.len() || self.sizes.len() < SIZES.len() {
            println!("Only a part was measured: nothing is kept.");
            return;
        }
        for who in &self.runtimes {
            let other = if *who == "mio" { "smol" } else { "mio" };
            let raw = format!("raw-{other}");
            let kept = rows.only(|(test, who, _)| {
                test != "build" && !who.starts_with(other) && !who.starts_with(&raw)
            });
            kept.write(&format!("{who}.csv"));
        }
        println!("Kept in {}; `--report` brings it into BENCHMARKS.md.", results().display());
    }
}

fn can_pin() -> bool {
    let mut command = Command::new("taskset");
    command.args(["-c", "1", "true"]).stdout(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}
