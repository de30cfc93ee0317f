//! The program as scripts use it: commands into a pipe, lines out of two.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use super::PATIENCE;
use super::program::{exit_status, path, port};

/// A program behind pipes; killed when dropped.
pub(crate) struct Piped {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: Receiver<String>,
    stderr: Receiver<String>,
    /// Lines read.
    seen: Vec<String>,
    /// Its node's id.
    pub(crate) id: String,
    /// Where it listens.
    pub(crate) addr: String,
}

impl Piped {
    /// Starts a node or a sharer at a free port.
    pub(crate) fn start(args: &[&str]) -> Self {
        let mut child = Command::new(path())
            .args(args)
            .args(["--listen", &port()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stdin = child.stdin.take();
        let stdout = lines(child.stdout.take().unwrap());
        let stderr = lines(child.stderr.take().unwrap());
        let note = |words: &str| loop {
            let line = stderr.recv_timeout(PATIENCE).expect("a note on stderr");
            if let Some(rest) = line.strip_prefix(words) {
                return rest.to_owned();
            }
        };
        let me = note(&format!("peerline {} ", args[0]));
        let id = me.split(' ').next().unwrap().to_owned();
        let addr = note("listening at ");
        Self { child, stdin, stdout, stderr, seen: Vec::new(), id, addr }
    }

    /// Where it listens.
    pub(crate) fn port(&self) -> u16 {
        self.addr.rsplit_once(':').unwrap().1.parse().unwrap()
    }

    /// Writes a line.
    pub(crate) fn say(&mut self, line: &str) {
        let stdin = self.stdin.as_mut().expect("not closed yet");
        writeln!(stdin, "{line}").unwrap();
    }

    /// Ends its standard input.
    pub(crate) fn close_stdin(&mut self) {
        self.stdin = None;
    }

    /// The next line that begins so; those before it are passed over.
    #[track_caller]
    pub(crate) fn line(&mut self, begin: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let Ok(line) = self.stdout.recv_timeout(left) else {
                let notes: Vec<String> = self.stderr.try_iter().collect();
                panic!("no line {begin:?} after {:#?}, {notes:#?}", self.seen)
            };
            self.seen.push(line.clone());
            if line.starts_with(begin) {
                return line;
            }
        }
    }

    /// Says a command, which is done, again and again, until this line comes.
    #[track_caller]
    pub(crate) fn ask_until(&mut self, command: &str, line: &str) {
        let deadline = Instant::now() + PATIENCE;
        while !self.seen.iter().any(|seen| seen == line) {
            assert!(Instant::now() < deadline, "no line {line:?} after {:#?}", self.seen);
            assert_eq!(self.ask(command), "ok");
            self.seen.extend(self.stdout.recv_timeout(Duration::from_millis(200)));
        }
    }

    /// Says a command; the answer to it.
    #[track_caller]
    pub(crate) fn ask(&mut self, command: &str) -> String {
        self.say(command);
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let line = self.stdout.recv_timeout(left);
            let line =
                line.unwrap_or_else(|_| panic!("no answer to {command:?}: {:#?}", self.seen));
            self.seen.push(line.clone());
            if ["ok", "error"].contains(&line.split(' ').next().unwrap_or_default()) {
                return line;
            }
        }
    }

    /// Whether a line that begins so was among those read till now.
    pub(crate) fn has_told(&self, begin: &str) -> bool {
        self.seen.iter().any(|line| line.starts_with(begin))
    }

    /// How it ended.
    #[track_caller]
    pub(crate) fn exit_status(&mut self) -> Option<i32> {
        exit_status(&mut self.child)
    }
}

impl Drop for Piped {
    fn drop(&mut self) {
        // It may have ended already.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Lines as they come; a line is never told before its end.
fn lines(pipe: impl Read + Send + 'static) -> Receiver<String> {
    let (tell, told) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(pipe).lines() {
            if tell.send(line.unwrap()).is_err() {
                return;
            }
        }
    });
    told
}
