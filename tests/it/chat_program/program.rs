//! The program, built once, and started in the ways the tests need.

use std::env;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use peerline_testkit::reserved::Reserved;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};

use super::PATIENCE;
use super::pty::Screen;

/// Where the program is. Built by the cargo and for the profile that built this test, so that
/// `cargo test` alone is enough, and never an old build is tested.
pub(super) fn path() -> &'static Path {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(build)
}

fn build() -> PathBuf {
    let this = env::current_exe().unwrap();
    let profile = this.parent().and_then(Path::parent).unwrap();
    let is_target = |dir: &&Path| dir.join("CACHEDIR.TAG").exists();
    let target = profile.ancestors().skip(1).find(is_target).expect("a target folder");
    let name = match profile.file_name().and_then(|name| name.to_str()).unwrap() {
        "debug" => "dev",
        name => name,
    };
    let output = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["build", "--package", "peerline", "--bin", "peerline", "--profile", name])
        .args(["--message-format", "json-render-diagnostics", "--target-dir"])
        .arg(target)
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    assert!(output.status.success(), "the program does not build");
    let text = String::from_utf8(output.stdout).unwrap();
    let mut artifacts = text.lines().filter_map(|line| {
        let message: serde_json::Value = serde_json::from_str(line).ok()?;
        let is_ours = message["target"]["name"] == "peerline";
        message["executable"].as_str().filter(|_| is_ours).map(PathBuf::from)
    });
    artifacts.next_back().expect("the program among what was built")
}

/// What a run without a terminal left.
pub(super) struct Run {
    pub(super) status: Option<i32>,
    pub(super) text: String,
    pub(super) errors: String,
}

/// Runs the program to its end, with nothing to read.
pub(super) fn run(args: &[&str]) -> Run {
    let mut child = Command::new(path())
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // Read meanwhile: what it prints may be more than a pipe holds.
    let text = read_all(child.stdout.take().unwrap());
    let errors = read_all(child.stderr.take().unwrap());
    let status = exit_status(&mut child);
    Run { status, text: text.join().unwrap(), errors: errors.join().unwrap() }
}

fn read_all(mut pipe: impl Read + Send + 'static) -> JoinHandle<String> {
    thread::spawn(move || {
        let mut text = String::new();
        pipe.read_to_string(&mut text).unwrap();
        text
    })
}

/// Runs a chat whose output goes away after the first line, and then has something to print.
pub(super) fn run_and_close_output() -> Run {
    let mut child = Command::new(path())
        .args(["chat", "--listen", &port()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut text = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut text).unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let process = pidfd_open(Pid::from_child(&child), PidfdFlags::empty()).unwrap();
    let mut ended = [PollFd::new(&process, PollFlags::IN)];
    let moment = Duration::from_millis(100);
    // More than once: a program that another test starts at this moment has our end of the pipe
    // too, until it begins. The writing fails if the program noticed before.
    for _ in 0..PATIENCE.as_millis() / moment.as_millis() {
        stdin.write_all(b"/help\n").ok();
        if poll(&mut ended, Some(&moment.try_into().unwrap())).unwrap() > 0 {
            break;
        }
    }
    let status = exit_status(&mut child);
    drop(stdin);
    let mut errors = String::new();
    child.stderr.take().unwrap().read_to_string(&mut errors).unwrap();
    Run { status, text, errors }
}

/// A free port, as text; who dials it when the program is gone meets nobody.
pub(super) fn port() -> String {
    Reserved::for_good().to_string()
}

/// A program at a terminal; killed when dropped.
pub(super) struct Chat {
    pub(super) screen: Screen,
    /// What others see as its name.
    pub(super) id: String,
    /// The command that others must type, without the program's name.
    pub(super) join: String,
    child: Child,
}

impl Chat {
    /// Starts a chat at a free port.
    pub(super) fn start(name: &str, runtime: &str, args: &[&str]) -> Self {
        let mut program = Command::new(path());
        program.args(["chat", "--name", name, "--runtime", runtime, "--listen", &port()]);
        program.args(args);
        let (mut screen, child) = Screen::start(&program);
        let me = screen.seen_after("* you are ");
        let id = me.split_once(", on ").expect("a runtime").0.to_owned();
        let join = screen.seen_after("* to join you: peerline ");
        Self { screen, id, join, child }
    }

    /// Starts a node without a chat at a free port.
    pub(super) fn start_node(runtime: &str) -> Self {
        let mut program = Command::new(path());
        program.args(["node", "--runtime", runtime, "--listen", &port()]);
        let (mut screen, child) = Screen::start(&program);
        let id = screen.seen_after("peerline node ");
        let join = screen.seen_after("to join: peerline ");
        Self { screen, id, join, child }
    }

    /// Starts a sharer of this folder at a free port.
    pub(super) fn start_share(folder: &str) -> Self {
        let mut program = Command::new(path());
        program.args(["share", folder, "--listen", &port()]);
        let (mut screen, child) = Screen::start(&program);
        let id = screen.seen_after("peerline share ");
        let join = screen.seen_after("listening at ");
        Self { screen, id, join, child }
    }

    /// Where it listens.
    pub(super) fn addr(&self) -> String {
        let mut words = self.join.split(' ').skip_while(|word| *word != "--join");
        words.nth(1).expect("an address").to_owned()
    }

    /// Kills it, without a chance to say anything.
    pub(super) fn kill(&mut self) {
        self.child.kill().unwrap();
    }

    /// Asks it to end.
    pub(super) fn terminate(&mut self) {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
    }

    /// Waits for its end.
    #[track_caller]
    pub(super) fn exit_status(&mut self) -> Option<i32> {
        exit_status(&mut self.child)
    }
}

impl Drop for Chat {
    fn drop(&mut self) {
        // It may have ended already.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

#[track_caller]
pub(super) fn exit_status(child: &mut Child) -> Option<i32> {
    let process = pidfd_open(Pid::from_child(child), PidfdFlags::empty()).unwrap();
    let mut ended = [PollFd::new(&process, PollFlags::IN)];
    let patience = PATIENCE.try_into().unwrap();
    if poll(&mut ended, Some(&patience)).unwrap() == 0 {
        child.kill().ok();
        panic!("the program does not end");
    }
    child.wait().unwrap().code()
}
