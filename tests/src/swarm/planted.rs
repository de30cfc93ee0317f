//! Which rule each planted bug is planted for, and the hunt for it.
//!
//! A bug that breaks another rule first is not found yet: each rule has to prove that it can fail.

use std::fmt;

use peerline_proto::{Bug, Config};

use crate::explore::{explore, scenarios};
use crate::net::Rule;
use crate::swarm::{Options, run};

/// The rule that a bug is planted for.
pub fn rule_of(bug: Bug) -> Rule {
    match bug {
        Bug::DupDelivery => Rule::AtMostOnce,
        Bug::Echo => Rule::NoEcho,
        Bug::CutBody | Bug::FirstOfMany => Rule::Integrity,
        Bug::EventTwice => Rule::Grammar,
        Bug::MutualKill => Rule::OneConnection,
        Bug::SelfAddress => Rule::NoSelf,
        Bug::NoBackoff => Rule::NoDialStorm,
        Bug::NoHandshakeTimeout | Bug::HalfOpenUnbounded => Rule::Limits,
        Bug::UnboundedQueue => Rule::Memory,
        Bug::BrakeOff | Bug::NoWritable => Rule::BackPressure,
        Bug::ForwardTwice | Bug::TalksFirst => Rule::NoAmplification,
        Bug::AnyAddress
        | Bug::AnyNumberTold
        | Bug::TrustsTold
        | Bug::FullBucket
        | Bug::TellsAsker => Rule::AddressBook,
        Bug::BusyLoop => Rule::NoLivelock,
        Bug::CountsPieces => Rule::Cuts,
        Bug::BackwardTime => Rule::NoPanic,
        Bug::AnyDialect => Rule::Dialect,
        Bug::NotCounted | Bug::LostUnreported => Rule::Accounting,
        Bug::NoDrop | Bug::TimerAfterStop => Rule::Shutdown,
        Bug::BlamesAll => Rule::Privacy,
        Bug::NeverIsolated => Rule::Isolated,
        Bug::EndsNever | Bug::EndsTwice => Rule::EndsOnce,
        Bug::NoRedial => Rule::Connected,
        Bug::NoForward | Bug::LostUntold | Bug::EndlessPatience => Rule::Delivered,
        Bug::NoHurry => Rule::Rejoined,
        Bug::NoKeepAlive | Bug::NoWriteStall | Bug::AlwaysAnew => Rule::DeadNoticed,
        Bug::PingPong => Rule::Quiet,
        Bug::GivesUp => Rule::Retried,
        Bug::NeedsMajority => Rule::Minority,
        Bug::Remembers => Rule::Determinism,
        // These break no rule: the example `topology` shows what each makes worse.
        Bug::NoFeeler | Bug::NoHoming | Bug::NoRotation | Bug::NoGroups => Rule::Connected,
        Bug::NoNear | Bug::NoNews | Bug::NoOld => Rule::Limits,
        Bug::NoEviction | Bug::NoDiscouragement => Rule::Limits,
    }
}

/// What came of the hunt for a bug; shown as a row of a table.
#[derive(Debug)]
#[non_exhaustive]
pub struct Hunt {
    /// The bug.
    pub bug: Bug,
    /// The seed that broke the bug's own rule, if one did.
    pub seed: Option<u64>,
    /// How many seeds ran.
    pub seeds: u64,
    /// The failures that broke other rules.
    pub others: Vec<String>,
}

/// Runs seeds from `first` on until one breaks the bug's own rule, and at most so many.
pub fn hunt(bug: Bug, first: u64, most: u64) -> Hunt {
    let mut options = Options::new(first, most);
    options.planted = Some(bug);
    options.twice = rule_of(bug) == Rule::Determinism;
    let report = run(&options);
    let own = |run: &&super::Run| run.broken() == Some(rule_of(bug));
    let others = report.failed.iter().filter(|run| !own(run));
    let others = others.filter_map(|run| run.failure.as_deref()?.lines().next());
    Hunt {
        bug,
        seed: report.failed.iter().find(own).map(|run| run.seed),
        seeds: report.seeds,
        others: others.map(str::to_owned).collect(),
    }
}

/// The scenario and the states it takes the explorer to find a bug, if it does.
pub fn explored(bug: Bug, bound: usize) -> Option<(&'static str, usize, String)> {
    let mut limits = Config::default().limits().clone();
    limits.planted = Some(bug);
    let config = Config::builder().limits(limits).build().expect("the usual bounds");
    scenarios(&config).iter().find_map(|scenario| {
        let failure = explore(scenario, bound).err()?;
        Some((scenario.name, failure.states, failure.what))
    })
}

impl fmt::Display for Hunt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (bug, rule) = (format!("{:?}", self.bug), rule_of(self.bug).name());
        let verdict = self.seed.map_or_else(|| "MISSED".to_owned(), |seed| format!("seed {seed}"));
        write!(f, "{bug:<20} {rule:<28} {:>6} {verdict}", self.seeds)
    }
}
