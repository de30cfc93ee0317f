//! Round trips of one message, in processes that share a core, beside raw echoes of the same loop.
//!
//! Across cores every echo takes as long as waking the other core does, so that nothing is told
//! apart there. A raw echo sends lines as long as a request of ours with a body of 64 bytes. With
//! *hops*, a second thread asks and is answered: for nodes by a `Handle`, for echoes by a channel
//! and a waker.

mod mio_echo;
mod node;
mod smol_echo;

use std::time::{Duration, Instant};

use crate::Plan;
use crate::rows::{Rows, Spread};
use crate::stage::Process;

/// Bytes of a body.
pub(crate) const BODY: usize = 64;
/// Bytes of a line with such a body, of the requests and replies here on average.
pub(crate) const LINE: usize = 256;
/// Round trips that do not count.
const WARM_UP: usize = 200;
/// Longest wait for one answer.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);
const CORE: usize = 0;

/// Contestant and baseline, of each runtime and way.
const PAIRS: [(&str, &str); 4] = [
    ("mio", "raw-mio"),
    ("mio-hops", "raw-mio-hops"),
    ("smol", "raw-smol"),
    ("smol-hops", "raw-smol-hops"),
];

pub(crate) fn measure(plan: &Plan, rows: &mut Rows) {
    let pairs = PAIRS.iter().filter(|(who, _)| plan.wants(who));
    let words: Vec<&str> = pairs.flat_map(|(who, raw)| [*who, *raw]).collect();
    let mut runs: Vec<Vec<[f64; 2]>> = vec![Vec::new(); words.len()];
    for turn in 0..plan.runs * words.len() {
        let index = turn % words.len();
        match run(words[index], plan) {
            Ok(trip) => runs[index].push(trip),
            Err(error) => eprintln!("{}: {error}", words[index]),
        }
    }
    for (who, runs) in words.iter().zip(&runs) {
        rows.add("trip/64", who, "p50-us", Spread::of(runs.iter().map(|run| run[0])));
        rows.add("trip/64", who, "p99-us", Spread::of(runs.iter().map(|run| run[1])));
    }
}

fn run(who: &str, plan: &Plan) -> Result<[f64; 2], String> {
    let own = std::env::current_exe().map_err(|error| error.to_string())?;
    let core = plan.pinned.then_some(CORE);
    let args = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>();
    let mut server = Process::start(&own, core, &args(&["--echo", who]))?;
    let at = server.hear("at")?.concat();
    let millis = format!("{:.0}", plan.seconds * 1000.0);
    let mut client = Process::start(&own, core, &args(&["--trip", who, &at, &millis]))?;
    let figures = client.hear("trip")?;
    let figure = |index: usize| figures.get(index).and_then(|word| word.parse().ok());
    figure(0).zip(figure(1)).map(|(p50, p99)| [p50, p99]).ok_or_else(|| "no figures".into())
}

/// The server's process.
pub(crate) fn serve(who: &str) {
    match who.trim_end_matches("-hops") {
        "raw-mio" => mio_echo::serve(),
        "raw-smol" => smol_echo::serve(),
        "mio" => node::serve::<peerline_mio::Runner>(),
        _ => node::serve::<peerline_smol::Runner>(),
    }
}

/// The client's process.
pub(crate) fn ask(who: &str, to: &str, millis: &str) {
    let samples = Samples::new(Duration::from_millis(millis.parse().unwrap()));
    let hops = who.ends_with("-hops");
    let samples = match who.trim_end_matches("-hops") {
        "raw-mio" if hops => mio_echo::ask_from_thread(to, samples),
        "raw-mio" => mio_echo::ask(to, samples),
        "raw-smol" if hops => smol_echo::ask_from_thread(to, samples),
        "raw-smol" => smol_echo::ask(to, samples),
        "mio" if hops => node::ask_by_handle::<peerline_mio::Runner>(to, samples),
        "mio" => node::ask::<peerline_mio::Runner>(to, samples),
        _ if hops => node::ask_by_handle::<peerline_smol::Runner>(to, samples),
        _ => node::ask::<peerline_smol::Runner>(to, samples),
    };
    samples.tell();
}

/// How long each round trip took.
pub(crate) struct Samples {
    nanos: Vec<u64>,
    time: Duration,
    began: Instant,
    asked: Instant,
}

impl Samples {
    fn new(time: Duration) -> Self {
        let now = Instant::now();
        Self { nanos: Vec::with_capacity(1 << 20), time, began: now, asked: now }
    }

    pub(crate) fn ask(&mut self) {
        self.asked = Instant::now();
    }

    /// Whether to go on.
    pub(crate) fn answered(&mut self) -> bool {
        self.nanos.push(self.asked.elapsed().as_nanos() as u64);
        self.began.elapsed() < self.time || self.nanos.len() < 2 * WARM_UP
    }

    fn tell(mut self) {
        let counted = &mut self.nanos[WARM_UP..];
        counted.sort_unstable();
        let at = |percent: usize| counted[(counted.len() - 1) * percent / 100] as f64 / 1e3;
        println!("trip {:.3} {:.3}", at(50), at(99));
    }
}
