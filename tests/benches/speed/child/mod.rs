//! A node of a benchmark, as a process: what it is told, what it tells, how it counts.
//!
//! The same for every contestant, ours and others: one file of plain std, so that nobody is timed
//! by another clock. The parent speaks in lines over stdin, and the child answers over stdout; see
//! [`play`]. A contestant supplies a [`Contestant`]: an address, links, and messages published as
//! fast as its [`Pace`] allows.

mod meter;
mod pace;

use std::io::{BufRead, Stdin, stdin};
use std::sync::Arc;
use std::thread::park_timeout;
use std::time::{Duration, Instant};

pub use meter::{Meter, cpu};
pub use pace::{Next, Pace, Window};

/// Longest wait for links, and for messages that are still on their way.
const PATIENCE: Duration = Duration::from_secs(10);
/// So long without any message means that what is missing is lost.
const SILENCE: Duration = Duration::from_secs(1);
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// The first byte of a body says what it is.
pub const WARM: u8 = b'w';
/// A message that counts.
pub const COUNTED: u8 = b'x';
/// The last one, which does not count.
pub const LAST: u8 = b'e';

/// What one process does.
#[derive(Clone, Debug)]
pub struct Task {
    /// Which contestant.
    pub who: String,
    /// The place in the network; node 0 publishes.
    pub index: usize,
    /// How many nodes there are.
    pub nodes: usize,
    /// How many links this one will have.
    pub degree: usize,
    /// Whether others dial it.
    pub listens: bool,
    /// Bytes of a body.
    pub size: usize,
    /// How long to publish.
    pub time: Duration,
    /// Messages that may be under way beyond the slowest receiver; 0: the transport decides.
    pub window: u64,
}

impl Task {
    /// From the arguments after `--node`.
    pub fn parse(args: &[String]) -> Option<Self> {
        let [who, index, nodes, degree, listens, size, millis, window] = args else { return None };
        Some(Self {
            who: who.clone(),
            index: index.parse().ok()?,
            nodes: nodes.parse().ok()?,
            degree: degree.parse().ok()?,
            listens: listens.parse().ok()?,
            size: size.parse().ok()?,
            time: Duration::from_millis(millis.parse().ok()?),
            window: window.parse().ok()?,
        })
    }

    /// The arguments that [`parse`](Self::parse) takes.
    pub fn args(&self) -> Vec<String> {
        let Self { who, index, nodes, degree, listens, size, time, window } = self;
        let numbers = [*index as u64, *nodes as u64, *degree as u64].map(|n| n.to_string());
        let mut args = vec![who.clone()];
        args.extend(numbers);
        args.extend([listens.to_string(), size.to_string(), time.as_millis().to_string()]);
        args.push(window.to_string());
        args
    }

    /// Whether this one publishes.
    pub fn publishes(&self) -> bool {
        self.index == 0
    }
}

/// A program under test.
pub trait Contestant {
    /// Where others reach it, in one word.
    fn address(&mut self) -> String;
    /// Opens a link; it may come about later.
    fn dial(&mut self, to: &str);
    /// Links that are there, or what comes closest.
    fn links(&self) -> usize;
    /// Publishes one message that does not count.
    fn warm(&mut self);
    /// Begins to publish by this pace. [`Pace::next`] says [`Next::Done`] at the end.
    fn begin(&mut self, pace: Pace);
    /// The publisher waited for room, and there is some.
    fn resume(&self) -> Box<dyn Fn() + Send>;
}

/// Does what the parent says, to the end of its input.
///
/// | the parent | the child |
/// |---|---|
/// | | `at ADDRESS PROGRESS` |
/// | `meet PROGRESS ADDRESS…`: dial these | `met`, with as many links |
/// | `whole` | `whole`, with all its links |
/// | `warm MILLIS`: publish now and then | `warm` |
/// | `go` | `sent MESSAGES WALL CPU STALLED`, seconds and 0 or 1 |
/// | `await MESSAGES` | `got MESSAGES WALL CPU`, with those or after a silence |
pub fn play(task: &Task, meter: &Arc<Meter>, contestant: &mut dyn Contestant) {
    let window = Window::open(task, contestant.resume());
    println!("at {} {}", contestant.address(), window.address());
    let input = stdin();
    while let Some(line) = read(&input) {
        let mut words = line.split_whitespace();
        match (words.next(), words.next()) {
            (Some("meet"), Some(progress)) => {
                meter.report_to(progress, task);
                let dialled = words.map(|addr| contestant.dial(addr)).count();
                wait_for(|| contestant.links() >= dialled);
                println!("met");
            }
            (Some("whole"), None) => {
                wait_for(|| contestant.links() >= task.degree);
                println!("whole");
            }
            (Some("warm"), Some(millis)) => {
                let until = Instant::now() + Duration::from_millis(millis.parse().unwrap());
                while Instant::now() < until {
                    contestant.warm();
                    pass(Duration::from_millis(20));
                }
                println!("warm");
            }
            (Some("go"), None) => {
                let (pace, end) = Pace::new(task, &window);
                contestant.begin(pace);
                let (count, wall, cpu) = end.wait(task.time + PATIENCE);
                println!("sent {count} {wall} {cpu} {}", u8::from(window.is_stalled()));
            }
            (Some("await"), Some(count)) => {
                let count = count.parse().unwrap();
                wait_while_moving(meter, count);
                let (messages, wall, cpu) = meter.totals();
                println!("got {messages} {wall} {cpu}");
            }
            _ => panic!("no such command: {line}"),
        }
    }
}

fn read(input: &Stdin) -> Option<String> {
    let mut line = String::new();
    (input.lock().read_line(&mut line).unwrap() > 0).then_some(line)
}

/// Waits without work; a benchmark may, for nothing here can be woken for.
fn pass(time: Duration) {
    let until = Instant::now() + time;
    while let Some(left) = until.checked_duration_since(Instant::now()).filter(|t| !t.is_zero()) {
        park_timeout(left);
    }
}

fn wait_for(mut done: impl FnMut() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < until, "links are missing after {PATIENCE:?}");
        pass(LOOK_EVERY);
    }
}

fn wait_while_moving(meter: &Meter, count: u64) {
    let (mut seen, mut since) = (0, Instant::now());
    while !meter.has(count) && since.elapsed() < SILENCE {
        let now = meter.messages();
        if now != seen {
            (seen, since) = (now, Instant::now());
        }
        pass(LOOK_EVERY);
    }
}
