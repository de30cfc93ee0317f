//! What runs came to, one and all, as numbers and as a table.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::time::{Duration, Instant};

use crate::net::{Net, Rule};
use crate::swarm::Fault;

/// One run.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Run {
    /// Its seed.
    pub seed: u64,
    /// How many hosts there were.
    pub hosts: usize,
    /// Why it failed: the rule's name comes first.
    pub failure: Option<String>,
    /// Packets and timers.
    pub steps: u64,
    /// Simulated time.
    pub simulated: Duration,
    /// Time that passed here.
    pub took: Duration,
    /// A number that two runs share if the same happened in them.
    pub hash: u64,
    /// What happened, if it was asked for.
    pub trace: String,
    /// How long the network took to be whole after the last fault.
    pub whole_after: Duration,
    /// How long it took after a partition of minutes, if there was one.
    pub together_after: Duration,
    /// How often each kind of fault was there.
    pub faults: BTreeMap<Fault, u64>,
    /// What nodes did that shows a path was taken.
    pub probes: BTreeMap<&'static str, u64>,
}

impl Run {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            seed,
            hosts: 0,
            failure: None,
            steps: 0,
            simulated: Duration::ZERO,
            took: Duration::ZERO,
            hash: 0,
            trace: String::new(),
            whole_after: Duration::ZERO,
            together_after: Duration::ZERO,
            faults: BTreeMap::new(),
            probes: BTreeMap::new(),
        }
    }

    /// The rule that was broken.
    pub fn broken(&self) -> Option<Rule> {
        self.failure.as_deref().map(Rule::of)
    }

    pub(crate) fn fault(&mut self, fault: Fault) {
        *self.faults.entry(fault).or_default() += 1;
    }

    pub(crate) fn probe(&mut self, name: &'static str, count: u64) {
        *self.probes.entry(name).or_default() += count;
    }

    /// How often this was seen.
    pub fn seen(&self, probe: &str) -> u64 {
        self.probes.get(probe).copied().unwrap_or_default()
    }

    /// Adds what the nodes counted.
    fn note_stats(&mut self, net: &Net) {
        for stats in net.stats() {
            self.probe("delivered", stats.delivered);
            self.probe("duplicate", stats.duplicates);
            self.probe("forwarded", stats.forwarded);
            self.probe("skipped: a queue was full", stats.skipped);
            self.probe("lost at close", stats.lost_at_close);
            self.probe("violation", stats.violations);
            self.probe("not taken", stats.not_taken);
            self.probe("not for us", stats.not_for_us);
            self.probe("address ignored", stats.addresses_ignored);
            self.probe("unknown field", stats.unknown_fields);
            self.probe("unknown type", stats.unknown_types);
        }
        for host in 0..net.hosts() {
            self.probe("room again", net.said_writable(host));
            let (answered, failed) = net.asked(host);
            self.probe("request answered", answered);
            self.probe("request failed", failed);
            for (name, count) in net.ends(host) {
                self.probe(name, *count);
            }
        }
    }

    pub(crate) fn finish(&mut self, net: &Net, took: Duration) {
        self.note_stats(net);
        self.probe("published", net.published());
        self.probe("arrived", net.delays().len() as u64);
        self.probe("connection made", net.connections());
        self.hosts = net.hosts();
        self.took = took;
        self.steps = net.steps();
        self.simulated = Duration::from_nanos(net.now().as_nanos());
        self.hash = net.trace_hash();
        self.trace = net.trace().to_owned();
    }
}

/// All runs.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Report {
    /// How many seeds ran.
    pub seeds: u64,
    /// Packets and timers.
    pub steps: u64,
    /// Simulated time.
    pub simulated: Duration,
    /// Time that passed here.
    pub took: Duration,
    /// The seed that took longest, and how long.
    pub slowest: (u64, Duration),
    /// The longest that a network took to be whole after the last fault.
    pub whole_after: Duration,
    /// The longest that it took after a partition of minutes.
    pub together_after: Duration,
    /// How often each kind of fault was there.
    pub faults: BTreeMap<Fault, u64>,
    /// What nodes did that shows a path was taken.
    pub probes: BTreeMap<&'static str, u64>,
    /// The runs that went well.
    pub passed: Vec<Run>,
    /// The runs that failed.
    pub failed: Vec<Run>,
    started: Instant,
}

impl Report {
    pub(crate) fn new() -> Self {
        let faults = Fault::ALL.into_iter().map(|fault| (fault, 0)).collect();
        Self {
            seeds: 0,
            steps: 0,
            simulated: Duration::ZERO,
            took: Duration::ZERO,
            slowest: (0, Duration::ZERO),
            whole_after: Duration::ZERO,
            together_after: Duration::ZERO,
            faults,
            probes: BTreeMap::new(),
            passed: Vec::new(),
            failed: Vec::new(),
            started: Instant::now(),
        }
    }

    pub(crate) fn add(&mut self, run: Run) {
        self.seeds += 1;
        self.steps += run.steps;
        self.simulated += run.simulated;
        self.whole_after = self.whole_after.max(run.whole_after);
        if run.took > self.slowest.1 {
            self.slowest = (run.seed, run.took);
        }
        self.together_after = self.together_after.max(run.together_after);
        for (fault, count) in &run.faults {
            *self.faults.entry(*fault).or_default() += count;
        }
        for (probe, count) in &run.probes {
            *self.probes.entry(probe).or_default() += count;
        }
        if run.failure.is_some() {
            self.failed.push(run)
        } else {
            self.passed.push(run)
        }
        self.took = self.started.elapsed();
    }

    /// How long it took those runs that went well, or that had this at all: so many of a thousand
    /// took no longer.
    fn within(&self, per_mille: usize, of: impl Fn(&Run) -> Duration) -> Duration {
        let mut all: Vec<Duration> = self.passed.iter().map(of).collect();
        all.retain(|took| !took.is_zero());
        all.sort_unstable();
        let at = (all.len() * per_mille / 1_000).min(all.len().saturating_sub(1));
        all.get(at).copied().unwrap_or_default()
    }

    /// A few lines for the log of a longer run, each beginning with `=> `.
    pub fn summary(&self) -> String {
        let first = self.passed.iter().chain(&self.failed).map(|run| run.seed).min();
        let mut text = format!(
            "=> {} seeds from {}, {} of them failed: {} steps, {:.0} simulated hours\n",
            self.seeds,
            first.unwrap_or_default(),
            self.failed.len(),
            self.steps,
            self.simulated.as_secs_f64() / 3600.0
        );
        let [whole, together] = [Self::whole as fn(&Run) -> Duration, Self::together].map(|of| {
            let [most, middle] = [990, 500].map(|per_mille| self.within(per_mille, of));
            format!("{:.1} s, 99 of 100 {:.1} s", middle.as_secs_f64(), most.as_secs_f64())
        });
        let _infallible = writeln!(
            text,
            "=> whole after the last fault: half {whole}, all {:.1} s\n\
             => whole after minutes parted: half {together}, all {:.1} s",
            self.whole_after.as_secs_f64(),
            self.together_after.as_secs_f64()
        );
        let faults: Vec<String> =
            self.faults.iter().map(|(fault, count)| format!("{fault:?} {count}")).collect();
        for some in faults.chunks(8) {
            let _infallible = writeln!(text, "=> faults: {}", some.join(", "));
        }
        text.trim_end().to_owned()
    }

    fn whole(run: &Run) -> Duration {
        run.whole_after
    }

    fn together(run: &Run) -> Duration {
        run.together_after
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (simulated, took) = (self.simulated.as_secs_f64(), self.took.as_secs_f64().max(1e-9));
        writeln!(f, "seeds                {:>12}", self.seeds)?;
        writeln!(f, "steps                {:>12}", self.steps)?;
        writeln!(f, "simulated hours      {:>12.2}", simulated / 3600.0)?;
        writeln!(f, "seeds per second     {:>12.1}", self.seeds as f64 / took)?;
        writeln!(f, "steps per second     {:>12.0}", self.steps as f64 / took)?;
        writeln!(f, "times real time      {:>12.0}", simulated / took)?;
        let (seed, slowest) = self.slowest;
        writeln!(f, "slowest seed, s      {:>12.1} (seed {seed})", slowest.as_secs_f64())?;
        writeln!(f, "whole again after, s {:>12.1}", self.whole_after.as_secs_f64())?;
        writeln!(f, "after minutes parted {:>12.1}", self.together_after.as_secs_f64())?;
        for (fault, count) in &self.faults {
            writeln!(f, "fault {:<15}{count:>12}", format!("{fault:?}"))?;
        }
        for (probe, count) in &self.probes {
            writeln!(f, "saw {probe:<30}{count:>12}")?;
        }
        writeln!(f, "failures             {:>12}", self.failed.len())?;
        for run in &self.failed {
            let failure = run.failure.as_deref().unwrap_or_default();
            writeln!(f, "seed {}: {failure}", run.seed)?;
            let again = "cargo test --profile sim -p peerline-testkit sim_one -- --nocapture";
            writeln!(f, "  again: PEERLINE_SEED={} {again}", run.seed)?;
        }
        Ok(())
    }
}
