//! The goals for broadcast trees as a table: each row runs a scenario at a size over some seeds and
//! says what is best known, what is wanted, what was measured, and whether that is met.

use std::fmt;
use std::time::Duration;

use super::crashes::{Reached, crash, later, silence, trickle};
use super::hostile::{floods, mutes};
use super::scenarios::{Burst, Figures, bursts, everybody, some};
use super::{Manner, Setup};

/// A row of the table, or a few that one run gives.
#[derive(Copy, Clone, Debug)]
pub struct Row {
    /// How it is asked for.
    pub name: &'static str,
    /// The sizes of network at which it is measured.
    pub sizes: &'static [usize],
    /// How many seeds, at a size.
    pub seeds: fn(usize) -> u64,
    /// Measures it.
    pub run: fn(usize, u64) -> Vec<Line>,
}

/// All of them.
pub const ROWS: &[Row] = &[
    Row { name: "everybody", sizes: &[100, 1000, 10_000], seeds: few, run: run_everybody },
    Row { name: "some", sizes: &[100, 1000, 10_000], seeds: few, run: run_some },
    Row { name: "bursts", sizes: &[100, 1000], seeds: few, run: run_bursts },
    Row { name: "cold", sizes: &[100, 1000], seeds: few, run: run_cold },
    Row { name: "crash", sizes: &[100, 1000], seeds: many, run: run_crash },
    Row { name: "later", sizes: &[100, 1000], seeds: several, run: run_later },
    Row { name: "trickle", sizes: &[1000, 10_000], seeds: few, run: run_trickle },
    Row { name: "silence", sizes: &[100, 1000], seeds: several, run: run_silence },
    Row { name: "mutes", sizes: &[100, 1000], seeds: few, run: run_mutes },
    Row { name: "floods", sizes: &[100], seeds: few, run: run_floods },
];

fn few(size: usize) -> u64 {
    if size < 1000 { 3 } else { 1 }
}

fn several(_: usize) -> u64 {
    5
}

fn many(_: usize) -> u64 {
    20
}

/// A line of the table.
#[derive(Clone, Debug)]
pub struct Line {
    /// What happens.
    pub scenario: String,
    /// The best that is known of others, or of an earlier attempt.
    pub known: &'static str,
    /// What is wanted.
    pub goal: &'static str,
    /// What it came to: mean over the seeds, and the worst.
    pub measured: String,
    /// Whether that is what is wanted.
    pub met: bool,
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { scenario, known, goal, measured, met } = self;
        let met = if *met { "met" } else { "**missed**" };
        write!(f, "| {scenario} | {known} | {goal} | {measured} | {met} |")
    }
}

/// The same figures over several seeds.
#[derive(Clone, Debug, Default)]
struct Over(Vec<Figures>);

impl Over {
    fn mean(&self, of: impl Fn(&Figures) -> f64) -> f64 {
        self.0.iter().map(of).sum::<f64>() / self.0.len().max(1) as f64
    }

    fn most(&self, of: impl Fn(&Figures) -> f64) -> f64 {
        self.0.iter().map(of).fold(0.0, f64::max)
    }

    fn missed(&self) -> usize {
        self.0.iter().map(|figures| figures.missed).sum()
    }

    /// Whether nothing was missed and the means are within these bounds: RMR, hops, milliseconds.
    fn within(&self, rmr: f64, ldh: f64, last: f64) -> bool {
        let means = [self.mean(|f| f.rmr), self.mean(|f| f.ldh), self.mean(last_ms)];
        self.missed() == 0 && means[0] <= rmr && means[1] <= ldh && means[2] <= last
    }
}

fn last_ms(figures: &Figures) -> f64 {
    figures.last.as_secs_f64() * 1000.0
}

impl fmt::Display for Over {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let worst = self.most(|figures| figures.worst.as_secs_f64() * 1000.0);
        let (rmr, most_rmr) = (self.mean(|figures| figures.rmr), self.most(|f| f.rmr));
        let (hops, most_hops) = (self.mean(|figures| figures.ldh), self.most(|f| f.ldh));
        let (last, control) = (self.mean(last_ms), self.mean(|figures| figures.control));
        write!(f, "RMR {rmr:.3} ({most_rmr:.3}), {hops:.1} ({most_hops:.1}) hops, ")?;
        write!(f, "last {last:.0} ({worst:.0}) ms, {control:.0} B, missed {}", self.missed())
    }
}

fn setups(count: usize, seeds: u64) -> impl Iterator<Item = Setup> {
    (1..=seeds).map(move |seed| Setup::new(count, seed))
}

fn run_everybody(count: usize, seeds: u64) -> Vec<Line> {
    let (casts, goal) = if count < 10_000 { (3000, 200.0) } else { (300, 250.0) };
    let hops = if count < 10_000 { 11.0 } else { 15.0 };
    let runs: Vec<Vec<Figures>> =
        setups(count, seeds).map(|setup| everybody(&setup, casts, 3)).collect();
    let (known, wanted) = match count {
        10_000 => (".3 / 40–56 / 1.2–1.6 s", "≤ .02 / 15 / 250 ms"),
        _ => (".42 / 20.7 / 606 ms", "≤ .02 / 11 / 200 ms"),
    };
    let thirds = (0..3).map(|third| {
        let over = Over(runs.iter().map(|parts| parts[third]).collect());
        let which = ["first", "second", "last"][third];
        Line {
            scenario: format!("{count}: everybody, {which} third of {casts}"),
            known,
            goal: wanted,
            met: over.within(0.02, hops, goal),
            measured: over.to_string(),
        }
    });
    thirds.collect()
}

fn run_some(count: usize, seeds: u64) -> Vec<Line> {
    // A tree settles within some 20 broadcasts; at the largest size 60 have to do.
    let each = if count < 10_000 { 120 } else { 60 };
    let (hops, last) = if count < 10_000 { (7.0, 130.0) } else { (9.0, 150.0) };
    let over = Over(setups(count, seeds).map(|setup| some(&setup, 20, each)[1]).collect());
    let isolated = over.mean(|figures| figures.control) / 1024.0;
    vec![
        Line {
            scenario: format!("{count}: 20 senders, second half of {each} each"),
            known: if count < 10_000 { ".07 / 13 / 361 ms" } else { ".07 / 32–52 / 0.9–1.4 s" },
            goal: if count < 10_000 { "≤ .01 / 7 / 130 ms" } else { "≤ .01 / 9 / 150 ms" },
            met: over.within(0.01, hops, last),
            measured: over.to_string(),
        },
        Line {
            scenario: format!("{count}: control bytes of a delivery of 1 KiB, isolated"),
            known: "3–4 messages per node",
            goal: "≤ 75 % of the body",
            met: isolated <= 0.75,
            measured: format!("{:.0} %", isolated * 100.0),
        },
    ]
}

/// Broadcasts of each sender in a burst.
const BURST: usize = 200;

fn run_bursts(count: usize, seeds: u64) -> Vec<Line> {
    let runs: Vec<Vec<Burst>> = setups(count, seeds)
        .map(|setup| bursts(&setup.jittered(15), 20, BURST, 5, false))
        .collect();
    let mut lines: Vec<Line> = (0..5).map(|burst| burst_line(count, burst, &runs)).collect();
    let last = Over(runs.iter().map(|run| run[4].figures).collect());
    let share = last.mean(|figures| figures.control) / 1024.0;
    lines.push(Line {
        scenario: format!("{count}: control bytes of a delivery of 1 KiB, in bursts"),
        known: "3–4 messages per node",
        goal: "≤ 20 % of the body",
        met: share <= 0.2,
        measured: format!("{:.0} %", share * 100.0),
    });
    lines
}

fn burst_line(count: usize, burst: usize, runs: &[Vec<Burst>]) -> Line {
    let of_burst: Vec<&Burst> = runs.iter().map(|run| &run[burst]).collect();
    let over = Over(of_burst.iter().map(|burst| burst.figures).collect());
    let changes = of_burst.iter().map(|burst| burst.changes).sum::<f64>() / runs.len() as f64;
    let unreached = of_burst.iter().map(|burst| burst.unreached).max().unwrap_or(0);
    let rmr = [0.25, 0.25, f64::MAX, 0.05, 0.05][burst];
    Line {
        scenario: format!(
            "{count}: 20 senders, 15 ms jitter, 200 each at once, burst {}",
            burst + 1
        ),
        known: "1.5, cycles of parents, 24 % change parent",
        goal: [
            "RMR ≤ .25; ≤ 1 % change parent",
            "RMR ≤ .25; ≤ 1 % change parent",
            "≤ 1 % change parent; all reached",
            "RMR ≤ .05; ≤ 1 % change parent; all reached",
            "RMR ≤ .05; ≤ 1 % change parent; all reached",
        ][burst],
        met: over.within(rmr, f64::MAX, f64::MAX)
            && changes <= 0.01
            && (burst < 2 || unreached == 0),
        measured: format!("{over}, {:.2} % change, unreached {unreached}", changes * 100.0),
    }
}

/// The first words of a network are a burst: no goal, shown for honesty.
fn run_cold(count: usize, seeds: u64) -> Vec<Line> {
    let runs: Vec<Figures> = setups(count, seeds)
        .map(|setup| bursts(&setup.jittered(15), 20, BURST, 1, true)[0].figures)
        .collect();
    let over = Over(runs);
    vec![Line {
        scenario: format!("{count}: the same burst as the network's first words"),
        known: "–",
        goal: "nothing missed",
        met: over.missed() == 0,
        measured: over.to_string(),
    }]
}

fn run_crash(count: usize, seeds: u64) -> Vec<Line> {
    let goals = [
        (50, 1.5, ".70", "all of the component, ≤ 1.5 s"),
        (70, 2.5, ".77", "all of the component, ≤ 2.5 s"),
        (80, 3.5, ".09", "all of the component, ≤ 3.5 s"),
        (90, 6.0, ".006", "all of the component, ≤ 6 s"),
    ];
    let lines = goals.map(|(percent, within, known, goal)| {
        let runs: Vec<[Reached; 2]> =
            setups(count, seeds).map(|setup| crash(&setup, percent)).collect();
        let first = mean_and_worst(runs.iter().map(|run| run[0].last));
        let second = mean_and_worst(runs.iter().map(|run| run[1].last));
        let whole = runs.iter().filter(|run| run[0].all() && run[1].all()).count();
        let share: f64 = runs.iter().map(|run| (run[0].of + 1) as f64).sum::<f64>()
            / (seeds as usize * (count - count * percent / 100)) as f64;
        Line {
            scenario: format!("{count}: first broadcast after {percent} % crash silently"),
            known,
            goal,
            met: whole == runs.len() && first.0.as_secs_f64() <= within,
            measured: format!(
                "whole component in {whole} of {seeds} seeds ({share:.3} of the living), last {} \
                 ({}) ms; the next, 5 s later, {} ({}) ms",
                first.0.as_millis(),
                first.1.as_millis(),
                second.0.as_millis(),
                second.1.as_millis()
            ),
        }
    });
    lines.into()
}

fn mean_and_worst(times: impl ExactSizeIterator<Item = Duration> + Clone) -> (Duration, Duration) {
    let count = u32::try_from(times.len()).unwrap_or(u32::MAX).max(1);
    (times.clone().sum::<Duration>() / count, times.max().unwrap_or_default())
}

fn run_later(count: usize, seeds: u64) -> Vec<Line> {
    let cases = [(90, 5, 1.0, 20), (95, 5, 0.99, 20), (90, 20, 1.0, 1), (95, 20, 0.99, 1)];
    let lines = cases.map(|(percent, after, share, within)| {
        let runs: Vec<Reached> = setups(count, seeds)
            .map(|setup| later(&setup, percent, Duration::from_secs(after)))
            .collect();
        let got: usize = runs.iter().map(|run| run.got).sum();
        let of: usize = runs.iter().map(|run| run.of).sum();
        let reached = got as f64 / of.max(1) as f64;
        let (mean, worst) = mean_and_worst(runs.iter().map(|run| run.last));
        Line {
            scenario: format!("{count}: second broadcast, {percent} % dead, {after} s after"),
            known: if percent == 90 { ".912" } else { ".277" },
            goal: match (percent, within) {
                (90, 20) => "1.000 within 20 s",
                (90, _) => "1.000 within 1 s",
                (_, 20) => "≥ .99 within 20 s",
                _ => "≥ .99 within 1 s",
            },
            met: reached >= share && worst <= Duration::from_secs(within),
            measured: format!("{reached:.3}, last {} ({}) ms", mean.as_millis(), worst.as_millis()),
        }
    });
    lines.into()
}

fn run_trickle(count: usize, seeds: u64) -> Vec<Line> {
    let (die, casts) = (count / 200, 100);
    let over = Over(setups(count, seeds).map(|setup| trickle(&setup, die, casts)).collect());
    vec![Line {
        scenario: format!("{count}: {die} die silently with each of {casts} messages"),
        known: "100 % with detected failures (Plumtree)",
        goal: "100 %",
        met: over.missed() == 0,
        measured: over.to_string(),
    }]
}

fn run_silence(count: usize, seeds: u64) -> Vec<Line> {
    let runs: Vec<(Duration, Duration)> =
        setups(count, seeds).map(|setup| silence(&setup)).collect();
    let demoted = mean_and_worst(runs.iter().map(|run| run.0));
    let gone = mean_and_worst(runs.iter().map(|run| run.1));
    vec![Line {
        scenario: format!("{count}: a host falls silent while broadcasts flow"),
        known: "20 min (Bitcoin), 35 s (libp2p)",
        goal: "nobody's parent ≤ 5 s, gone ≤ 20 s",
        met: demoted.1 <= Duration::from_secs(5) && gone.1 <= Duration::from_secs(20),
        measured: format!(
            "nobody's parent after {} ({}) ms, gone after {} ({}) ms",
            demoted.0.as_millis(),
            demoted.1.as_millis(),
            gone.0.as_millis(),
            gone.1.as_millis()
        ),
    }]
}

fn run_mutes(count: usize, seeds: u64) -> Vec<Line> {
    let lines = [(Manner::Silent, "forward nothing"), (Manner::Lies, "announce, forward nothing")];
    let lines = lines.map(|(manner, what)| {
        let over = Over(setups(count, seeds).map(|setup| mutes(&setup, 30, manner, 200)).collect());
        Line {
            scenario: format!("{count}: 30 % {what}"),
            known: "gameable scores",
            goal: "100 % to honest nodes",
            met: over.missed() == 0,
            measured: over.to_string(),
        }
    });
    lines.into()
}

fn run_floods(count: usize, seeds: u64) -> Vec<Line> {
    let over = Over(setups(count, seeds).map(|setup| floods(&setup, 100)).collect());
    let memory = memory_per_node(count);
    vec![Line {
        scenario: format!(
            "{count}: 30 % forward nothing, 5 % flood announcements, grafts and broadcasts, \
             2 % say garbage, 2 % a byte every 10 s"
        ),
        known: "unbounded memory",
        goal: "100 % to honest nodes, ≤ 32 MiB per node",
        met: over.missed() == 0 && memory.is_none_or(|mib| mib <= 32.0),
        measured: over.to_string(),
    }]
}

/// A number in a file of `/proc/self`, by its line's name or else its place. Linux alone has it.
fn proc(file: &str, name: &str) -> Option<f64> {
    let text = std::fs::read_to_string(format!("/proc/self/{file}")).ok()?;
    let line = text.lines().find(|line| line.starts_with(name))?;
    line[name.len()..].split_whitespace().next()?.parse().ok()
}

/// CPU seconds of this process so far.
pub fn cpu_seconds() -> Option<f64> {
    Some(proc("schedstat", "")? / 1e9)
}

/// The most that this process held, in MiB, divided by so many nodes: all that is on its way
/// between them counts too.
pub fn memory_per_node(count: usize) -> Option<f64> {
    Some(proc("status", "VmHWM:")? / 1024.0 / count as f64)
}
