//! A network of processes, put up, measured once, and taken down.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use crate::entrants::{Entrant, Scene};

/// One process, spoken to in lines. Dropped, it is ended.
pub(crate) struct Process {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
    name: String,
}

impl Process {
    /// Starts a program, on one core if one is named.
    pub(crate) fn start(path: &Path, core: Option<usize>, args: &[String]) -> Result<Self, String> {
        let mut command = match core {
            Some(core) => {
                let mut command = Command::new("taskset");
                command.args(["-c", &core.to_string()]).arg(path);
                command
            }
            None => Command::new(path),
        };
        command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped());
        let name = args.join(" ");
        let mut child = command.spawn().map_err(|error| format!("{}: {error}", path.display()))?;
        let (input, output) = (child.stdin.take(), BufReader::new(child.stdout.take().unwrap()));
        Ok(Self { child, input, output, name })
    }

    pub(crate) fn tell(&mut self, line: &str) -> Result<(), String> {
        let input = self.input.as_mut().expect("not ended");
        writeln!(input, "{line}").map_err(|error| format!("{}: {error}", self.name))
    }

    /// The words of the next line, which begins with `what`.
    pub(crate) fn hear(&mut self, what: &str) -> Result<Vec<String>, String> {
        let mut line = String::new();
        let read = self.output.read_line(&mut line);
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        match words.split_first() {
            Some((first, rest)) if first == what => Ok(rest.to_vec()),
            _ => Err(format!("{}: {what} expected, {line:?} came ({read:?})", self.name)),
        }
    }

    pub(crate) fn ask(&mut self, line: &str) -> Result<Vec<String>, String> {
        self.tell(line)?;
        self.hear(line.split(' ').next().unwrap_or_default())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.input.take());
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What one node counted.
#[derive(Copy, Clone, Debug, Default)]
pub(crate) struct Count {
    messages: f64,
    pub(crate) wall: f64,
    pub(crate) cpu: f64,
}

/// One measurement.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    pub(crate) sent: Count,
    pub(crate) received: Vec<Count>,
}

impl Run {
    /// Deliveries, of all receivers together.
    pub(crate) fn delivered(&self) -> f64 {
        self.received.iter().map(|count| count.messages).sum()
    }

    /// Seconds from the first to the last, of the slowest receiver.
    pub(crate) fn wall(&self) -> f64 {
        self.received.iter().map(|count| count.wall).fold(0.0, f64::max)
    }

    pub(crate) fn rate(&self) -> f64 {
        self.delivered() / self.wall()
    }

    /// CPU seconds for one delivery, of all processes together.
    pub(crate) fn cpu_each(&self) -> f64 {
        let received: f64 = self.received.iter().map(|count| count.cpu).sum();
        (received + self.sent.cpu) / self.delivered()
    }

    /// Messages sent and not received, or received more than once.
    pub(crate) fn lost(&self) -> f64 {
        let missing = |count: &Count| (self.sent.messages - count.messages).abs();
        self.received.iter().map(missing).sum()
    }
}

/// Measures once.
pub(crate) fn run(
    scene: Scene,
    entrant: &Entrant,
    size: usize,
    time: Duration,
    pinned: bool,
) -> Result<Run, String> {
    let mut nodes = put_up(scene, entrant, size, time, pinned)?;
    nodes[0].ask(&format!("warm {}", entrant.settle().as_millis()))?;
    nodes[0].tell("go")?;
    let sent = nodes[0].hear("sent")?;
    let messages = sent.first().cloned().unwrap_or_default();
    for node in &mut nodes[1..] {
        node.tell(&format!("await {messages}"))?;
    }
    let received = nodes[1..].iter_mut().map(|node| count(&node.hear("got")?));
    Ok(Run { sent: count(&sent)?, received: received.collect::<Result<_, _>>()? })
}

fn put_up(
    scene: Scene,
    entrant: &Entrant,
    size: usize,
    time: Duration,
    pinned: bool,
) -> Result<Vec<Process>, String> {
    let (mut nodes, mut addresses, mut progress) = (Vec::new(), Vec::new(), String::new());
    for index in 0..scene.nodes() {
        let task = scene.task(entrant, index, size, time);
        let mut args = vec!["--node".to_owned()];
        args.extend(task.args());
        let core = (pinned && entrant.pinned).then_some(index % 2);
        let mut node = Process::start(&entrant.path(), core, &args)?;
        let [address, own] =
            <[String; 2]>::try_from(node.hear("at")?).map_err(|words| format!("{words:?}"))?;
        if task.publishes() {
            progress = own;
        }
        addresses.push(address);
        let dialled = &addresses[scene.dials(index)];
        node.tell(&format!("meet {progress} {}", dialled.join(" ")))?;
        node.hear("met")?;
        nodes.push(node);
    }
    for node in &mut nodes {
        node.ask("whole")?;
    }
    Ok(nodes)
}

fn count(words: &[String]) -> Result<Count, String> {
    let mut numbers = words.iter().map_while(|word| word.parse::<f64>().ok());
    match (numbers.next(), numbers.next(), numbers.next()) {
        (Some(messages), Some(wall), Some(cpu)) => Ok(Count { messages, wall, cpu }),
        _ => Err(format!("no count: {words:?}")),
    }
}
