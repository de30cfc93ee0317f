//! A node in a process that may open no more files: this test itself, run again as a child, with a
//! limit of its own. The strangers are outside.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write, stdin};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};
use std::{fs, thread};

use peerline_runtime::Runtime;
use peerline_testkit::conformance::hello_of;
use peerline_testkit::descriptors;

use super::{PATIENCE, node};

/// Set in the child.
const CHILD: &str = "PEERLINE_STARVED_CHILD";

/// Connections that the child may have at once; four times as many want one.
const ROOM: u64 = 10;

pub(super) fn accepts_again<R: Runtime>(test: &str) {
    if std::env::var_os(CHILD).is_some() {
        return child::<R>();
    }
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([test, "--exact", "--nocapture"]).env(CHILD, "1");
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let (give, lines) = channel();
    let output = BufReader::new(child.stdout.take().unwrap());
    thread::spawn(move || output.lines().map_while(Result::ok).all(|s| give.send(s).is_ok()));
    let wait = |start: &str| loop {
        let line = lines.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("no line {start}"));
        if let Some(rest) = line.strip_prefix(start) {
            break rest.to_owned();
        }
    };
    let addr: SocketAddr = wait("listens ").parse().unwrap();
    let strangers: Vec<TcpStream> = (0..4 * ROOM as usize)
        .map(|number| {
            let mut stream = TcpStream::connect(addr).unwrap();
            stream.write_all(hello_of(number).as_bytes()).unwrap();
            stream
        })
        .collect();
    assert!(wait("log cannot accept ").contains("again in"), "it says when");
    serve_all(strangers);
    drop(child.stdin.take());
    wait("stopped");
    assert!(child.wait().unwrap().success());
}

/// Every stranger that was greeted leaves, until all were.
fn serve_all(mut strangers: Vec<TcpStream>) {
    let end = Instant::now() + PATIENCE;
    while !strangers.is_empty() {
        let before = strangers.len();
        assert!(Instant::now() < end, "{before} are never served");
        strangers.retain_mut(|stranger| {
            stranger.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
            let mut buffer = [0; 4096];
            let count = stranger.read(&mut buffer).unwrap_or_default();
            !String::from_utf8_lossy(&buffer[..count]).contains("\"msgtype\":\"hello\"")
        });
    }
}

fn child<R: Runtime>() {
    log::set_logger(&Print).unwrap();
    log::set_max_level(log::LevelFilter::Warn);
    let node = node::<R>().start().unwrap();
    // What is opened at first use is open now.
    node.stats().wait().unwrap();
    let names = fs::read_dir("/proc/self/fd").unwrap().map(|entry| entry.unwrap().file_name());
    let numbers = names.filter_map(|name| name.to_str()?.parse::<u64>().ok());
    let used: BTreeSet<u64> = numbers.collect();
    let last = (0..).filter(|number| !used.contains(number)).nth(ROOM as usize).unwrap();
    descriptors::limit(last).unwrap();
    // The harness has begun a line of its own.
    println!("\nlistens {}", node.local_addrs()[0]);
    stdin().read_to_end(&mut Vec::new()).unwrap();
    node.shutdown(Duration::from_secs(1)).wait().unwrap();
    println!("stopped");
}

/// Tells the parent what is logged.
struct Print;

impl log::Log for Print {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        println!("log {}", record.args());
    }

    fn flush(&self) {}
}
