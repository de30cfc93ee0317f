//! Messages per second from one node to another, beside what the socket itself could carry.
//!
//! `cargo bench -p peerline-testkit --bench two_nodes -- [--runtime mio|smol] [--size BYTES]
//! [--seconds S] [--runs N] [--encode] [--free]`. Each run is two processes: the sender's on core
//! 0, the receiver's on core 1, for every contestant alike (`taskset`; with `--free`, or without
//! it, wherever the system puts them). Contestants take turns: a slow minute hits all of them.
//!
//! A row counts what arrived, from the first message to the last. CPU is of sender and receiver,
//! the kernel's part included. Whatever was queued and did not arrive is said, and fails the run.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod node;
mod raw;

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Command, ExitCode, Stdio};
use std::time::Duration;
use std::{env, fs};

const SIZES: [usize; 3] = [64, 1024, 16 * 1024];

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).filter(|arg| arg != "--bench").collect();
    if let Some(role) = Role::parse(&args) {
        role.play();
        return ExitCode::SUCCESS;
    }
    match Plan::parse(&args) {
        Some(plan) => plan.run(),
        None => {
            eprintln!(
                "options: --runtime mio|smol --size BYTES --seconds S --runs N --encode --free"
            );
            ExitCode::FAILURE
        }
    }
}

/// Who carries the messages.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
enum Contestant {
    /// TCP, lines of the payload alone.
    Payload,
    /// TCP, lines as a node writes them: no node can do better.
    Limit,
    Mio,
    Smol,
}

impl Contestant {
    const ALL: [Self; 4] = [Self::Payload, Self::Limit, Self::Mio, Self::Smol];

    fn name(self) -> &'static str {
        match self {
            Self::Payload => "raw, payload alone",
            Self::Limit => "raw, whole lines: the limit",
            Self::Mio => "peerline on mio",
            Self::Smol => "peerline on smol",
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Payload => "payload",
            Self::Limit => "limit",
            Self::Mio => "mio",
            Self::Smol => "smol",
        }
    }

    fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|contestant| contestant.word() == word)
    }
}

// ---- the two ends, each a process of its own

/// What one process does.
struct Role {
    contestant: Contestant,
    size: usize,
    time: Duration,
    /// Bodies are made of a string each time, and not JSON already.
    encode: bool,
    /// The receiver's address; none for the receiver itself.
    to: Option<String>,
}

impl Role {
    fn parse(args: &[String]) -> Option<Self> {
        let [flag, contestant, size, millis, encode, to @ ..] = args else { return None };
        let contestant = Contestant::parse(contestant).filter(|_| flag == "--role")?;
        let time = Duration::from_millis(millis.parse().ok()?);
        let (size, encode) = (size.parse().ok()?, encode == "encode");
        Some(Self { contestant, size, time, encode, to: to.first().cloned() })
    }

    fn play(&self) {
        use node::{receive, send};
        use {peerline_mio::Runner as MioRunner, peerline_smol::Runner as SmolRunner};
        let Self { size, time, encode, .. } = *self;
        match (self.contestant, &self.to) {
            (Contestant::Payload, Some(to)) => raw::send(&raw::payload(size), to, time),
            (Contestant::Limit, Some(to)) => raw::send(&raw::whole_line(size), to, time),
            (Contestant::Payload | Contestant::Limit, None) => raw::receive(time),
            (Contestant::Mio, Some(to)) => send::<MioRunner>(size, encode, to, time),
            (Contestant::Mio, None) => receive::<MioRunner>(time),
            (Contestant::Smol, Some(to)) => send::<SmolRunner>(size, encode, to, time),
            (Contestant::Smol, None) => receive::<SmolRunner>(time),
        }
    }
}

/// What an end has counted; told to the parent as one line.
#[derive(Copy, Clone, Debug, Default)]
struct Count {
    messages: u64,
    wall: f64,
    cpu: f64,
}

impl Count {
    fn tell(self) {
        println!("{} {} {}", self.messages, self.wall, self.cpu);
    }

    fn parse(line: &str) -> Option<Self> {
        let mut words = line.split_whitespace();
        let messages = words.next()?.parse().ok()?;
        let wall = words.next()?.parse().ok()?;
        Some(Self { messages, wall, cpu: words.next()?.parse().ok()? })
    }
}

/// CPU seconds of this process so far, of all its threads.
fn cpu() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
    let ticks = after_name.split(' ').skip(11).take(2).filter_map(|word| word.parse::<f64>().ok());
    ticks.sum::<f64>() / 100.0 // USER_HZ
}

/// The processor as the kernel names it.
fn machine() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let models = info.lines().filter_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let models: Vec<&str> = models.map(|(_, model)| model).collect();
    format!("{} × {}", models.len(), models.first().unwrap_or(&"unknown"))
}

/// Processes that wanted a core in the last minute, on average.
fn load() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().unwrap_or_default().to_owned()
}

// ---- the parent

struct Plan {
    contestants: Vec<Contestant>,
    sizes: Vec<usize>,
    seconds: f64,
    runs: usize,
    encode: bool,
    pinned: bool,
}

impl Plan {
    fn parse(args: &[String]) -> Option<Self> {
        let mut plan = Self {
            contestants: Contestant::ALL.to_vec(),
            sizes: SIZES.to_vec(),
            seconds: 1.0,
            runs: 5,
            encode: false,
            pinned: Command::new("taskset")
                .args(["-c", "1", "true"])
                .status()
                .is_ok_and(|status| status.success()),
        };
        let mut args = args.iter();
        while let Some(flag) = args.next() {
            match flag.as_str() {
                "--runtime" => {
                    let one = Contestant::parse(args.next()?)?;
                    plan.contestants = vec![Contestant::Payload, Contestant::Limit, one];
                }
                "--size" => plan.sizes = vec![args.next()?.parse().ok().filter(|size| *size > 2)?],
                "--seconds" => plan.seconds = args.next()?.parse().ok()?,
                "--runs" => plan.runs = args.next()?.parse().ok().filter(|runs| *runs > 0)?,
                "--encode" => plan.encode = true,
                "--free" => plan.pinned = false,
                _ => return None,
            }
        }
        Some(plan)
    }

    fn run(&self) -> ExitCode {
        let place =
            if self.pinned { "sender on core 0, receiver on core 1" } else { "no placement" };
        let body = if self.encode { "made of a string each time" } else { "JSON already" };
        println!("{} runs of {} s each; {place}; bodies {body}", self.runs, self.seconds);
        println!("{}; load before: {}", machine(), load());
        let mut lost = 0;
        for size in &self.sizes {
            let mut results: Vec<Vec<Run>> = vec![Vec::new(); self.contestants.len()];
            for turn in 0..self.runs * self.contestants.len() {
                let index = turn % self.contestants.len();
                results[index].push(self.one(self.contestants[index], *size));
            }
            lost += self.show(*size, &results);
        }
        println!("\nload after: {}", load());
        if lost == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }

    fn one(&self, contestant: Contestant, size: usize) -> Run {
        let (mut receiver, mut heard) = self.spawn(1, contestant, size, None);
        let mut addr = String::new();
        heard.read_line(&mut addr).unwrap();
        let (mut sender, mut told) = self.spawn(0, contestant, size, Some(addr.trim()));
        let count = |out: &mut BufReader<ChildStdout>, child: &mut Child| {
            let mut line = String::new();
            out.read_line(&mut line).unwrap();
            assert!(child.wait().unwrap().success(), "{contestant:?} failed at {size} bytes");
            Count::parse(&line).expect("a count")
        };
        let (received, sent) = (count(&mut heard, &mut receiver), count(&mut told, &mut sender));
        Run { sent, received }
    }

    fn spawn(
        &self,
        core: usize,
        contestant: Contestant,
        size: usize,
        to: Option<&str>,
    ) -> (Child, BufReader<ChildStdout>) {
        let own = env::current_exe().unwrap();
        let mut command = if self.pinned {
            let mut command = Command::new("taskset");
            command.args(["-c", &core.to_string()]).arg(own);
            command
        } else {
            Command::new(own)
        };
        let millis = format!("{:.0}", self.seconds * 1000.0);
        let encode = if self.encode { "encode" } else { "ready" };
        command.args(["--role", contestant.word(), &size.to_string(), &millis, encode]).args(to);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        (child, out)
    }

    /// Prints the table of one size. Returns how many messages were lost.
    fn show(&self, size: usize, results: &[Vec<Run>]) -> u64 {
        println!("\n{size} B: messages delivered per second, in thousands\n");
        println!(
            "| | min | median | max | × the limit | wall s | CPU s sender / receiver | lost |"
        );
        println!("|---|---|---|---|---|---|---|---|");
        let limit = self.contestants.iter().position(|one| *one == Contestant::Limit);
        let limit = limit.map(|index| median(&results[index], Run::rate).1).unwrap_or(f64::NAN);
        let mut all_lost = 0;
        for (contestant, runs) in self.contestants.iter().zip(results) {
            let (min, middle, max) = median(runs, Run::rate);
            let wall = median(runs, |run| run.received.wall).1;
            let sender = median(runs, |run| run.sent.cpu).1;
            let receiver = median(runs, |run| run.received.cpu).1;
            let each = |count: &Count| count.cpu / count.messages as f64 * 1e9;
            let sender_each = median(runs, |run| each(&run.sent)).1;
            let receiver_each = median(runs, |run| each(&run.received)).1;
            let lost: u64 = runs.iter().map(Run::lost).sum();
            all_lost += lost;
            println!(
                "| {} | {:.0} | {:.0} | {:.0} | {:.2} | {wall:.2} | {sender:.2} / {receiver:.2} | \
                 {sender_each:.0} / {receiver_each:.0} | {} |",
                contestant.name(),
                min / 1e3,
                middle / 1e3,
                max / 1e3,
                middle / limit,
                if lost == 0 { "none".into() } else { lost.to_string() },
            );
        }
        all_lost
    }
}

#[derive(Copy, Clone, Debug)]
struct Run {
    sent: Count,
    received: Count,
}

impl Run {
    fn rate(&self) -> f64 {
        self.received.messages as f64 / self.received.wall
    }

    fn lost(&self) -> u64 {
        self.sent.messages.abs_diff(self.received.messages)
    }
}

/// The least, the middle and the most of a figure.
fn median(runs: &[Run], figure: impl Fn(&Run) -> f64) -> (f64, f64, f64) {
    let mut all: Vec<f64> = runs.iter().map(figure).collect();
    all.sort_by(f64::total_cmp);
    (all[0], all[all.len() / 2], all[all.len() - 1])
}
