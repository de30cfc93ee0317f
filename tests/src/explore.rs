//! Every interleaving in the small: all orders in which packets, commands and timers can come.
//!
//! A node is a value, so a whole network is one: it is copied at each point where more than one
//! thing may happen next, and a state seen before, told by its digest, is not visited again. The
//! rules are checked in every state; from every state where only time can go on, the network is
//! left alone for a minute and must come to the end that the [`Scenario`] names.
//!
//! Finds what a random run meets once in a million; what needs more than a handful of connections
//! or passages of time it never sees.

mod host;
mod pipe;
mod scenarios;
mod table;
mod world;

use std::collections::{HashSet, VecDeque};
use std::fmt;
use std::ops::RangeInclusive;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::Duration;

use peerline_proto::Config;

use crate::net::HostId;
use world::{Choice, World, name};

pub use scenarios::scenarios;
pub use table::tell_all;

/// States visited in search of the shortest way to a fault; they are held in memory all at once.
const WIDE: usize = 50_000;

/// What somebody does to a host, once, at any moment.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub enum Command {
    /// One dials another.
    Dial {
        /// Who dials.
        from: HostId,
        /// Whom.
        to: HostId,
    },
    /// Shuts down in order, within two seconds.
    Shutdown(HostId),
    /// The program is killed: its sockets are reset.
    Kill(HostId),
    /// The host loses its power: nobody is told.
    Vanish(HostId),
    /// It starts again with the same id at the same address.
    Restart(HostId),
    /// It broadcasts, once it has a peer.
    Broadcast(HostId),
}

impl Command {
    fn host(self) -> HostId {
        match self {
            Self::Dial { from: host, .. }
            | Self::Shutdown(host)
            | Self::Kill(host)
            | Self::Vanish(host)
            | Self::Restart(host)
            | Self::Broadcast(host) => host,
        }
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = name(self.host());
        match self {
            Self::Dial { to, .. } => write!(f, "{host} dials {}", name(*to)),
            Self::Shutdown(_) => write!(f, "{host} shuts down"),
            Self::Kill(_) => write!(f, "{host} is killed"),
            Self::Vanish(_) => write!(f, "{host} vanishes"),
            Self::Restart(_) => write!(f, "{host} restarts"),
            Self::Broadcast(_) => write!(f, "{host} broadcasts"),
        }
    }
}

/// What is explored, and what must come of it.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// What happens, in a few words.
    pub name: &'static str,
    /// The byte that a host's id is made of, and its settings. Two may have one id.
    pub hosts: Vec<(u8, Config)>,
    /// Each in its order; the scripts among each other in any.
    pub scripts: Vec<Vec<Command>>,
    /// How often time may pass.
    pub time: u32,
    /// How many connections may break.
    pub breaks: u32,
    /// How many packets may arrive in two halves.
    pub cuts: u32,
    /// No packet is on its way for longer.
    pub slowest: Duration,
    /// Connections that stay in the end, each the one that carries both its ends' peers.
    pub links: RangeInclusive<usize>,
    /// Hosts that never see a peer go down.
    pub steady: Vec<HostId>,
    /// Every broadcast that was queued is delivered.
    pub lossless: bool,
}

/// What an exploration saw. Equal for equal explorations.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub struct Report {
    /// Distinct states visited.
    pub states: usize,
    /// Steps tried from one state to the next.
    pub steps: usize,
    /// States from which only time goes on; the network came to its end from each.
    pub settled: usize,
    /// Whether there are no more states.
    pub complete: bool,
    /// Made of all states, whatever the order of visits.
    pub fingerprint: u64,
}

impl Report {
    fn failure(&self, what: String, path: Vec<String>) -> Failure {
        Failure { what, path, states: self.states }
    }
}

/// A rule that does not hold, and how to get there.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Failure {
    /// Which rule.
    pub what: String,
    /// What happened before, step by step.
    pub path: Vec<String>,
    /// States visited until it was found.
    pub states: usize,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, steps, states) = (&self.what, self.path.len(), self.states);
        writeln!(f, "{what} after {steps} steps, found in {states} states:")?;
        self.path.iter().try_for_each(|step| writeln!(f, "  {step}"))
    }
}

/// Visits the states of a scenario, at most `bound` of them.
///
/// # Errors
/// The first rule found not to hold, by the shortest way there if that is a short one.
pub fn explore(scenario: &Scenario, bound: usize) -> Result<Report, Box<Failure>> {
    search(scenario, bound, false).map_err(|found| {
        let shortest = search(scenario, bound.min(WIDE), true).err();
        Box::new(Failure { states: found.states, ..shortest.unwrap_or(found) })
    })
}

/// A state to go on from, and how it was reached.
struct Open {
    world: World,
    digest: u64,
    path: Option<Rc<Step>>,
}

struct Step {
    choice: Choice,
    before: Option<Rc<Self>>,
}

/// Visits what was found last first, for little memory, or first first, for short ways.
fn search(scenario: &Scenario, bound: usize, wide: bool) -> Result<Report, Failure> {
    let mut seen = HashSet::new();
    let mut report = Report { states: 0, steps: 0, settled: 0, complete: true, fingerprint: 0 };
    let start = Open { world: World::new(scenario), digest: 0, path: None };
    let mut open = VecDeque::from([start]);
    while let Some(here) = if wide { open.pop_front() } else { open.pop_back() } {
        let Open { world, digest, path } = here;
        let mut choices = world.choices(scenario);
        // Any order will do; one that differs from state to state sees more when it is cut short.
        let by = usize::try_from(digest % 64).unwrap_or(0) % choices.len().max(1);
        choices.rotate_left(by);
        if world.is_quiet(&choices) {
            report.settled += 1;
            let left_alone = world.clone();
            if let Some(what) = guarded(|| left_alone.settle(scenario)) {
                return Err(report.failure(what, words(scenario, path)));
            }
        }
        for choice in choices {
            report.steps += 1;
            let mut next = world.clone();
            let what = guarded(|| {
                next.apply(scenario, choice);
                next.fault.take()
            });
            let path = Some(Rc::new(Step { choice, before: path.clone() }));
            if let Some(what) = what {
                return Err(report.failure(what, words(scenario, path)));
            }
            let digest = next.digest();
            if report.states == bound {
                report.complete = false;
            } else if seen.insert(digest) {
                report.states += 1;
                report.fingerprint = report.fingerprint.wrapping_add(digest);
                open.push_back(Open { world: next, digest, path });
            }
        }
    }
    Ok(report)
}

/// A panic of a node is a fault like any other.
fn guarded(call: impl FnOnce() -> Option<String>) -> Option<String> {
    catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|_| Some("a node panicked".to_owned()))
}

/// A path in words: what happened is done again.
fn words(scenario: &Scenario, path: Option<Rc<Step>>) -> Vec<String> {
    let mut choices = Vec::new();
    let mut step = path.as_ref();
    while let Some(Step { choice, before }) = step.map(Rc::as_ref) {
        choices.push(*choice);
        step = before.as_ref();
    }
    let mut world = World::new(scenario);
    let mut told = Vec::new();
    for choice in choices.into_iter().rev() {
        told.push(world.describe(scenario, choice));
        if guarded(|| {
            world.apply(scenario, choice);
            None
        })
        .is_some()
        {
            break;
        }
    }
    told
}
