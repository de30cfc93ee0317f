//! Runs drawn by a seed: a network warms up, a storm of faults passes over it, it calms down, and
//! everybody leaves. Every rule that holds for any node is checked all the time, and in the calm
//! that the network is whole again.
//!
//! A failure names the rule that was broken, and the seed alone repeats it.

mod aftermath;
mod gang;
mod plan;
#[cfg(peerline_planted)]
mod planted;
mod report;
mod storm;

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use peerline_proto::{Config, Keyspace, NodeId, PeerId};

use crate::entropy::Entropy;
use crate::net::{HostId, Net, Rule};
use crate::swarm::gang::Gang;
use crate::swarm::plan::Plan;
use crate::swarm::storm::Storm;

pub use plan::Fault;
#[cfg(peerline_planted)]
pub use planted::{Hunt, explored, hunt, rule_of};
pub use report::{Report, Run};

/// What makes another seed of a seed.
const SECOND_CHANCES: u64 = 0x0dd5_0dd5_0dd5_0dd5;
const SECOND: Duration = Duration::from_secs(1);
const WARM_UP: Duration = Duration::from_secs(20);
const STORM: Duration = Duration::from_secs(150);
/// From the last fault to one component: an unanswered dial, and the urgent back-off.
const WHOLE_WITHIN: Duration = Duration::from_secs(30);
/// The same where timers fire late: a node that was woken late gives every deadline its time once
/// more, and is late again for each.
const WHOLE_WITHIN_LATE: Duration = Duration::from_secs(60);
/// From the hello that one end had to one connection at both: the larger id's wait and the time to
/// answer, with late timers.
const AGREED_WITHIN: Duration = Duration::from_secs(15);
const CALM: Duration = Duration::from_secs(40);
const PARTING: Duration = Duration::from_secs(8);

/// What to run.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Options {
    /// The first seed.
    pub first: u64,
    /// How many seeds.
    pub count: u64,
    /// Stop at the first failure.
    pub stop_at_failure: bool,
    /// Keep what happens as text.
    pub trace: bool,
    /// Run each seed twice: the same must happen.
    pub twice: bool,
    /// How many hosts, if not as the seed draws.
    pub hosts: Option<usize>,
    /// All route by keyspace, not only those whose seed says so.
    pub keyspace: bool,
    /// The bug that is to be found.
    #[cfg(peerline_planted)]
    pub planted: Option<peerline_proto::Bug>,
}

impl Options {
    /// So many seeds from `first`.
    pub fn new(first: u64, count: u64) -> Self {
        Self {
            first,
            count,
            stop_at_failure: true,
            trace: false,
            twice: false,
            hosts: None,
            keyspace: false,
            #[cfg(peerline_planted)]
            planted: None,
        }
    }
}

/// Runs the seeds, as many at once as there are processors. The report does not depend on how many.
pub fn run(options: &Options) -> Report {
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let (next, stop) = (AtomicU64::new(0), AtomicBool::new(false));
    let (runs, mut report) = (Mutex::new(Vec::new()), Report::new());
    thread::scope(|scope| {
        for _ in 0..threads {
            let some = std::iter::from_fn(|| run_next(options, &next, &stop));
            scope.spawn(|| some.for_each(|run| runs.lock().unwrap().push(run)));
        }
    });
    let mut runs = runs.into_inner().unwrap();
    runs.sort_by_key(|run| run.seed);
    for run in runs {
        report.add(run);
    }
    report
}

/// The next seed's run; none when all are taken, or one has failed and that is enough.
fn run_next(options: &Options, next: &AtomicU64, stop: &AtomicBool) -> Option<Run> {
    let index = next.fetch_add(1, Ordering::Relaxed);
    if index >= options.count || stop.load(Ordering::Relaxed) {
        return None;
    }
    let run = run_seed(options.first.saturating_add(index), options);
    let found = |rule: Rule| sought(options).is_none_or(|sought| sought == rule);
    stop.fetch_or(options.stop_at_failure && run.broken().is_some_and(found), Ordering::Relaxed);
    Some(run)
}

/// How long broadcasts take in a small network with fixed latencies, of a hundred the slowest but
/// one, with or without an attack of everything that strangers may do. A tenth of a second passes
/// between two.
pub fn slowest_delivery(seed: u64, broadcasts: usize, attacked: bool) -> Duration {
    let mut net = Net::new(seed);
    net.latency(10, 40);
    net.forget_events();
    let hosts: Vec<HostId> = (0..6).map(|_| net.add()).collect();
    for host in &hosts[1..] {
        net.bootstrap(*host, hosts[0]);
    }
    net.run_for(WARM_UP);
    let (mut gang, mut entropy) = (Gang::default(), Entropy::new(seed));
    for round in 0..broadcasts {
        for _ in 0..10 {
            if attacked {
                gang.act(&mut net, &mut entropy);
            }
            net.run_for(SECOND / 100);
        }
        net.publish(hosts[round % hosts.len()], None, 100);
    }
    net.run_for(5 * SECOND);
    let mut delays = net.delays().to_vec();
    delays.sort_unstable();
    assert_eq!(delays.len(), broadcasts * (hosts.len() - 1), "broadcasts are missing");
    delays[delays.len() * 99 / 100]
}

/// Runs one seed.
pub fn run_seed(seed: u64, options: &Options) -> Run {
    let mut run = run_once(seed, options);
    if options.twice && run.failure.is_none() {
        let again = run_once(seed, options);
        let [first, second] = [&run, &again].map(|run| (run.steps, run.hash));
        if first != second {
            let what = format!("{first:?} steps and hash, then {second:?}");
            run.failure = Some(format!("{}: {what}", Rule::Determinism));
        }
    }
    run
}

fn run_once(seed: u64, options: &Options) -> Run {
    let (mut run, mut net, began) = (Run::new(seed), Net::new(seed), Instant::now());
    if options.trace {
        net.start_trace();
    }
    let result = catch_unwind(AssertUnwindSafe(|| play(&mut net, options, &mut run)));
    run.finish(&net, began.elapsed());
    if let Err(cause) = result {
        let text = cause.downcast_ref::<String>().cloned();
        let text = text.or_else(|| cause.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        let text = text.unwrap_or_else(|| "a panic without words".to_owned());
        run.failure = Some(format!("{text}\n{net}"));
    }
    run
}

/// The phases of a run.
fn play(net: &mut Net, options: &Options, run: &mut Run) {
    let mut entropy = Entropy::new(run.seed ^ 0x5eed_5eed_5eed_5eed);
    let mut plan = Plan::draw(&mut entropy, &mut Entropy::new(run.seed ^ SECOND_CHANCES));
    plan.hosts = options.hosts.unwrap_or(plan.hosts);
    plan.config = planted(routed(plan.config, options), options);
    let mut storm = Storm::begin(net, plan, entropy);
    net.strict(true);
    net.run_for(WARM_UP);
    net.strict(false);
    storm.pass(net, STORM, run);
    storm.heal(net);
    check_calm(net, run);
    let (mut entropy, bootstraps) = storm.into_rest();
    aftermath::play(net, &mut entropy, &bootstraps, run);
    for host in 0..net.hosts() {
        net.with(host, |node, now| node.shutdown(PARTING, now));
    }
    net.run_for(2 * PARTING);
    run.probe("stopped in time", net.check_stopped());
    net.sweep();
}

/// The rule that is to be broken, where one is.
#[cfg(not(peerline_planted))]
fn sought(_options: &Options) -> Option<Rule> {
    None
}

#[cfg(peerline_planted)]
fn sought(options: &Options) -> Option<Rule> {
    options.planted.map(rule_of)
}

#[cfg(not(peerline_planted))]
fn planted(config: Config, _options: &Options) -> Config {
    config
}

/// The settings, with routes by keyspace where all are to have them.
fn routed(config: Config, options: &Options) -> Config {
    if !options.keyspace {
        return config;
    }
    let limits = config.limits().clone();
    Config::builder().limits(limits).keyspace(Keyspace::On).build().expect("bounds that fit")
}

/// The settings, with the bug that is to be found.
#[cfg(peerline_planted)]
fn planted(config: Config, options: &Options) -> Config {
    let mut limits = config.limits().clone();
    limits.planted = options.planted;
    Config::builder().limits(limits).keyspace(config.keyspace()).build().expect("bounds that fit")
}

/// The healed network becomes whole, delivers everything, and is quiet.
fn check_calm(net: &mut Net, run: &mut Run) {
    let within = if net.has_late_timers() { WHOLE_WITHIN_LATE } else { WHOLE_WITHIN };
    let took = becomes_whole(net, within);
    Rule::Connected.check(took.is_some(), || format!("not whole after {within:?}"));
    run.whole_after = took.unwrap_or(within);
    net.run_for(CALM);
    Rule::Connected.check(is_whole(net), || "whole no more".to_owned());
    check_connections(net);
    let serials: Vec<u64> = (0..net.hosts()).map(|host| net.publish(host, None, 20).0).collect();
    net.run_for(20 * SECOND);
    for (serial, from) in serials.iter().zip(0..) {
        for to in (0..net.hosts()).filter(|to| *to != from) {
            let got = net.got(to, *serial);
            Rule::Delivered.check(got, || format!("host {to} misses {serial} of {from}"));
        }
    }
    net.check_owed();
    net.check_asked();
    check_quiet(net);
}

/// Lets time pass until the network is whole, and says how much. Asks again only when somebody met
/// or parted.
fn becomes_whole(net: &mut Net, within: Duration) -> Option<Duration> {
    let (mut asked, from) = (None, net.now());
    let whole = net.run_until(within, |net| {
        asked.replace(net.meetings()) != Some(net.meetings()) && is_whole(net)
    });
    whole.then(|| net.now().saturating_since(from))
}

/// Both ends agree on who is whose peer, by one connection, and all of them are there. Who has just
/// met may not have heard of it at both ends, so it is asked again when that is over.
fn check_connections(net: &mut Net) {
    let before = disagreements(net);
    if before.is_empty() {
        return;
    }
    net.run_for(AGREED_WITHIN);
    for ((host, peer), (rule, what)) in disagreements(net) {
        rule.check(!before.contains_key(&(host, peer)), || what);
    }
}

/// What is wrong between which host and which of its peers.
fn disagreements(net: &Net) -> BTreeMap<(HostId, PeerId), (Rule, String)> {
    let (by_id, mut found) = (by_id(net), BTreeMap::new());
    for host in 0..net.hosts() {
        for info in net.node(host).peers() {
            let other = host_of(&by_id, &info.peer);
            let count = other.map_or(0, |other| net.connections_between(host, other));
            let wrong = match other {
                None => (Rule::DeadNoticed, format!("{} is long gone", info.peer)),
                Some(other) if net.node(other).peer(&net.id(host)).is_none() => {
                    (Rule::OneConnection, format!("{other} does not know of {host}"))
                }
                Some(other) if count != 1 => {
                    (Rule::OneConnection, format!("{count} connections of {host} and {other}"))
                }
                Some(_) => continue,
            };
            found.insert((host, info.peer), wrong);
        }
    }
    found
}

/// In half a minute without a message, each connection carries two pings or three, and as many
/// answers.
fn check_quiet(net: &mut Net) {
    let lines =
        |net: &Net| -> u64 { (0..net.hosts()).map(|host| net.node(host).stats().lines_out).sum() };
    let before = lines(net);
    net.run_for(20 * SECOND);
    let links: usize = (0..net.hosts()).map(|host| net.node(host).peer_count()).sum();
    let (said, most) = (lines(net) - before, 10 * links + 40 * net.hosts());
    Rule::Quiet.check(said <= most as u64, || format!("{said} lines on {links} idle links"));
}

/// Whether every host reaches every other over peers.
fn is_whole(net: &Net) -> bool {
    let by_id = by_id(net);
    let mut seen = BTreeSet::from([0]);
    let mut next = vec![0];
    while let Some(host) = next.pop() {
        for info in net.node(host).peers() {
            let known = host_of(&by_id, &info.peer);
            let back = |other: &HostId| net.node(*other).peer(&net.id(host)).is_some();
            next.extend(known.filter(back).filter(|other| seen.insert(*other)));
        }
    }
    seen.len() == net.hosts()
}

/// Hosts by the names of their nodes.
fn by_id(net: &Net) -> BTreeMap<NodeId, HostId> {
    (0..net.hosts()).map(|host| (net.node(host).id(), host)).collect()
}

fn host_of(by_id: &BTreeMap<NodeId, HostId>, peer: &PeerId) -> Option<HostId> {
    by_id.get(&peer.node()?).copied()
}
