//! Three hosts, each in a network namespace of its own, on a bridge in a fourth. Nothing of it
//! touches the machine's own network, and all of it goes when the lab is dropped.

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

/// Set to 1 where the machine does not let a test make namespaces.
const LEAVE_OUT: &str = "PEERLINE_NO_NETNS";

/// The hosts and what is between them.
pub(super) struct Lab {
    /// Before the namespaces, so that the programs are gone first.
    hosts: Vec<Host>,
    _namespaces: Vec<Namespace>,
}

/// A namespace that lives as long as this does.
struct Namespace(String);

/// A host and the program on it.
pub(super) struct Host {
    namespace: String,
    child: Child,
    lines: Receiver<String>,
    /// All lines so far, for whoever wonders why a test failed.
    log: Vec<String>,
    /// The node's id.
    pub(super) id: String,
}

impl Lab {
    /// Three hosts that are all connected; `None` if the tests on namespaces are to be left out.
    pub(super) fn new(test: &str) -> Option<Self> {
        if std::env::var_os(LEAVE_OUT).is_some_and(|value| value == "1") {
            eprintln!("left out, for {LEAVE_OUT} is set: {test}");
            return None;
        }
        let hub = Namespace::new("hub");
        let program = build();
        hub.ip("link add bridge type bridge");
        hub.ip("link set bridge up");
        let mut namespaces = vec![hub];
        let mut hosts: Vec<Host> = Vec::new();
        for number in 1..=3 {
            namespaces.push(plug_in(number, &namespaces[0]));
            hosts.push(Host::new(number, &program, &namespaces[number]));
        }
        let mut lab = Self { hosts, _namespaces: namespaces };
        lab.meet();
        Some(lab)
    }

    fn meet(&mut self) {
        let ids: Vec<String> = self.hosts.iter().map(|host| host.id.clone()).collect();
        for host in &mut self.hosts {
            // A peer may be up before the program has told who it is itself.
            let to_come = |id: &&String| **id != host.id && !host.has_said(&format!("up {id}"));
            let missing: Vec<&String> = ids.iter().filter(to_come).collect();
            if !missing.is_empty() {
                host.wait_for_all("up", missing);
            }
        }
    }

    /// The hosts, each on its own.
    pub(super) fn three(&mut self) -> [&mut Host; 3] {
        let [a, b, c] = &mut self.hosts[..] else { panic!("there are three") };
        [a, b, c]
    }
}

/// A host's namespace, with one cable to the bridge.
fn plug_in(number: usize, hub: &Namespace) -> Namespace {
    let host = Namespace::new(&format!("host{number}"));
    let (name, hub_name) = (&host.0, &hub.0);
    let ends = format!("peer name port{number} netns {hub_name}");
    ip(&format!("link add eth0 netns {name} type veth {ends}"));
    hub.ip(&format!("link set port{number} master bridge up"));
    host.ip(&format!("addr add 10.77.0.{number}/24 dev eth0"));
    host.ip("link set eth0 up");
    host
}

fn addr(number: usize) -> SocketAddr {
    SocketAddr::from(([10, 77, 0, u8::try_from(number).unwrap()], 5999))
}

impl Namespace {
    fn new(role: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let (process, count) = (std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let name = format!("peerline-{process}-{count}-{role}");
        ip(&format!("netns add {name}"));
        Self(name)
    }

    fn ip(&self, order: &str) {
        ip(&format!("-n {} {order}", self.0));
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // A panic here would hide the one that brought us here.
        Command::new("ip").args(["netns", "del", &self.0]).status().ok();
    }
}

impl Host {
    fn new(number: usize, program: &Path, namespace: &Namespace) -> Self {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &namespace.0]).arg(program).arg(addr(number).to_string());
        command.args((number > 1).then(|| addr(1).to_string()));
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (give, lines) = channel();
        let output = BufReader::new(child.stdout.take().unwrap());
        thread::spawn(move || output.lines().map_while(Result::ok).all(|s| give.send(s).is_ok()));
        let (namespace, log) = (namespace.0.clone(), Vec::new());
        let mut host = Self { namespace, child, lines, log, id: String::new() };
        let mut ready = host.wait(Duration::from_secs(20), |line| line.starts_with("ready "));
        host.id = ready.split_off("ready ".len());
        host
    }

    /// The first line from now on that is the one waited for.
    pub(super) fn wait(&mut self, within: Duration, mut is_it: impl FnMut(&str) -> bool) -> String {
        let end = Instant::now() + within;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let Ok(line) = self.lines.recv_timeout(left) else {
                panic!("not within {within:?} on {}: {:#?}", self.namespace, self.log)
            };
            self.log.push(line.clone());
            if is_it(&line) {
                return line;
            }
        }
    }

    /// Waits for a line of this sort about each of these peers, in any order.
    pub(super) fn wait_for_all<'a>(
        &mut self,
        what: &str,
        peers: impl IntoIterator<Item = &'a String>,
    ) {
        let mut missing: Vec<&String> = peers.into_iter().collect();
        self.wait(Duration::from_secs(60), |line| {
            let about = line.strip_prefix(what).unwrap_or_default().trim_start();
            missing.retain(|peer| !about.starts_with(peer.as_str()));
            missing.is_empty()
        });
    }

    /// Whether the program has said anything like this so far.
    pub(super) fn has_said(&self, start: &str) -> bool {
        self.log.iter().any(|line| line.starts_with(start))
    }

    /// Packets that come to this host go through these rules, and nothing else.
    pub(super) fn filter(&self, rules: &str) {
        let table = format!(
            "flush ruleset\ntable ip test {{\nchain in {{\ntype filter hook input priority 0\n\
             {rules}\n}}\n}}\n"
        );
        let mut nft = self.inside(&["nft", "-f", "-"]).stdin(Stdio::piped()).spawn().unwrap();
        nft.stdin.take().unwrap().write_all(table.as_bytes()).unwrap();
        assert!(nft.wait().unwrap().success(), "nft does not take {table}");
    }

    /// The rules and how often they were used.
    pub(super) fn rules(&self) -> String {
        let output = self.inside(&["nft", "list", "ruleset"]).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    }

    /// Pulls the plug.
    pub(super) fn unplug(&self) {
        ip(&format!("-n {} link set eth0 down", self.namespace));
    }

    fn inside(&self, command: &[&str]) -> Command {
        let mut ip = Command::new("ip");
        ip.args(["netns", "exec", &self.namespace]).args(command);
        ip
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn ip(order: &str) {
    let done = Command::new("ip").args(order.split_whitespace()).output();
    let output = done.unwrap_or_else(|error| panic!("`ip` of iproute2 is needed: {error}"));
    assert!(
        output.status.success(),
        "ip {order}: {}without namespaces set {LEAVE_OUT}=1",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Builds the program of the hosts, beside the test itself.
fn build() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let profile = test.ancestors().nth(2).unwrap();
    let kind = profile.file_name().and_then(|name| name.to_str()).unwrap();
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["build", "--quiet", "--offline", "-p", "peerline-testkit", "--example", "host"]);
    command.args(["--profile", if kind == "debug" { "dev" } else { kind }]);
    command.arg("--target-dir").arg(profile.parent().unwrap());
    command.current_dir(env!("CARGO_MANIFEST_DIR"));
    assert!(command.status().unwrap().success(), "the program of the hosts does not build");
    profile.join("examples").join("host")
}
