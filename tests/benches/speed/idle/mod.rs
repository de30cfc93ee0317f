//! What connections cost that are only there: memory, CPU, the cost of a message beside them.
//!
//! A node on core 0 is dialled by many peers in another process on core 1, which say hello, answer
//! pings, and are silent otherwise. Memory is what the node's process holds more than before them,
//! by the kernel's count of its pages, over their number. The message's cost is CPU of the node for
//! each that one more peer sends as fast as it can.

mod crowd;
mod hold;

use std::sync::mpsc::{Receiver, channel};
use std::thread::{park_timeout, spawn};
use std::time::{Duration, Instant};

pub(crate) use crowd::crowd;
pub(crate) use hold::{hold, talk};

use crate::Plan;
use crate::rows::{Rows, Spread};
use crate::stage::Process;

/// Peers of the node whose idle CPU is measured, as many as may dial it by default.
const PEERS: usize = 64;
/// Longest wait for all connections.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks at how many there are.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// Joins are over, and what they needed is given back.
const SETTLE: Duration = Duration::from_millis(500);

pub(crate) fn measure(plan: &Plan, rows: &mut Rows) {
    let quiet: Vec<_> = plan.runtimes.iter().map(|who| (*who, quiet(who, plan))).collect();
    for (who, minute) in quiet {
        match minute.recv().unwrap() {
            Ok(cpu) => rows.add("idle/64", who, "cpu-percent", Spread::of([cpu])),
            Err(error) => eprintln!("{who}, idle: {error}"),
        }
    }
    for count in [PEERS, plan.connections] {
        let mut runs: Vec<Vec<Figures>> = vec![Vec::new(); plan.runtimes.len()];
        for turn in 0..plan.runs.min(3) * plan.runtimes.len() {
            let index = turn % plan.runtimes.len();
            match among(plan.runtimes[index], count, plan) {
                Ok(figures) => runs[index].push(figures),
                Err(error) => eprintln!("{} with {count}: {error}", plan.runtimes[index]),
            }
        }
        for (who, runs) in plan.runtimes.iter().zip(&runs).filter(|(_, runs)| !runs.is_empty()) {
            let test = format!("idle/{count}");
            let mut add = |figure: &str, value: fn(&Figures) -> f64| {
                rows.add(&test, who, figure, Spread::of(runs.iter().map(value)));
            };
            add("bytes-each", |figures| figures.bytes);
            add("setups", |figures| figures.setups);
            add("message-ns", |figures| figures.message);
        }
    }
}

/// Of one node with many connections.
#[derive(Copy, Clone, Debug)]
struct Figures {
    bytes: f64,
    setups: f64,
    message: f64,
}

/// What the node's process says of itself.
#[derive(Copy, Clone, Debug)]
struct Sample {
    peers: f64,
    kib: f64,
    cpu: f64,
    messages: f64,
}

struct Held {
    process: Process,
    address: String,
}

impl Held {
    fn start(who: &str, count: usize, plan: &Plan) -> Result<Self, String> {
        let own = std::env::current_exe().map_err(|error| error.to_string())?;
        let args = ["--hold", who, &count.to_string()].map(str::to_owned);
        let mut process = Process::start(&own, plan.pinned.then_some(0), &args)?;
        let address = process.hear("at")?.concat();
        Ok(Self { process, address })
    }

    fn sample(&mut self) -> Result<Sample, String> {
        let words = self.process.ask("sample")?;
        let numbers: Vec<f64> = words.iter().filter_map(|word| word.parse().ok()).collect();
        match numbers[..] {
            [peers, kib, cpu, messages] => Ok(Sample { peers, kib, cpu, messages }),
            _ => Err(format!("no sample: {words:?}")),
        }
    }

    /// Lets a process dial it.
    fn other(&self, role: &str, last: &str, plan: &Plan) -> Result<Process, String> {
        let own = std::env::current_exe().map_err(|error| error.to_string())?;
        let args = [role, &self.address, last].map(str::to_owned);
        Process::start(&own, plan.pinned.then_some(1), &args)
    }

    fn wait_for(&mut self, peers: usize) -> Result<(), String> {
        let until = Instant::now() + PATIENCE;
        while self.sample()?.peers < peers as f64 {
            if Instant::now() > until {
                return Err(format!("{} of {peers} peers came", self.sample()?.peers));
            }
            pass(LOOK_EVERY);
        }
        Ok(())
    }
}

fn among(who: &str, count: usize, plan: &Plan) -> Result<Figures, String> {
    let mut node = Held::start(who, count, plan)?;
    let before = node.sample()?;
    let mut crowd = node.other("--crowd", &count.to_string(), plan)?;
    crowd.hear("ready")?;
    crowd.tell("dial")?;
    let began = Instant::now();
    node.wait_for(count)?;
    let setups = count as f64 / began.elapsed().as_secs_f64();
    pass(SETTLE);
    let after = node.sample()?;
    let _talker = node.other("--talk", "-", plan)?;
    node.wait_for(count + 1)?;
    pass(SETTLE);
    let first = node.sample()?;
    pass(Duration::from_secs_f64(plan.seconds));
    let last = node.sample()?;
    if last.peers < count as f64 {
        return Err(format!("{} of {count} peers are left", last.peers));
    }
    let message = (last.cpu - first.cpu) / (last.messages - first.messages) * 1e9;
    let bytes = (after.kib - before.kib) * 1024.0 / count as f64;
    Ok(Figures { bytes, setups, message })
}

/// How much of a core an idle node takes. All runtimes are measured at once, being idle.
fn quiet(who: &'static str, plan: &Plan) -> Receiver<Result<f64, String>> {
    let (done, result) = channel();
    let plan = plan.clone();
    spawn(move || done.send(minute(who, &plan)).unwrap());
    result
}

fn minute(who: &str, plan: &Plan) -> Result<f64, String> {
    let mut node = Held::start(who, PEERS, plan)?;
    let mut crowd = node.other("--crowd", &PEERS.to_string(), plan)?;
    crowd.hear("ready")?;
    crowd.tell("dial")?;
    node.wait_for(PEERS)?;
    pass(SETTLE);
    let (first, began) = (node.sample()?, Instant::now());
    pass(plan.idle);
    let last = node.sample()?;
    if last.peers < PEERS as f64 {
        return Err(format!("{} of {PEERS} peers are left", last.peers));
    }
    Ok((last.cpu - first.cpu) / began.elapsed().as_secs_f64() * 100.0)
}

/// Lets time pass: there is nothing to wake for.
fn pass(time: Duration) {
    let until = Instant::now() + time;
    while let Some(left) = until.checked_duration_since(Instant::now()).filter(|t| !t.is_zero()) {
        park_timeout(left);
    }
}
