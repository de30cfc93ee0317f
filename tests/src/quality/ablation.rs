//! Each rule of the trees left out: the run that is to show what it is good for.

use std::collections::BTreeSet;
use std::time::Duration;

use peerline_proto::{Config, TreeRule};

use super::crashes::{crash, silence, trickle};
use super::hostile::mutes;
use super::scenarios::{Figures, Part, bursts, everybody, some, warm};
use super::{Manner, Setup};

/// What a rule's run came to, with it or without.
pub fn run(rule: TreeRule, holds: bool, count: usize, seed: u64) -> String {
    let mut limits = Config::default().limits().clone();
    limits.without = (!holds).then_some(rule);
    if matches!(rule, TreeRule::QuietAnew | TreeRule::Mend) {
        // As many links change between two broadcasts as in a network ten times as large.
        limits.rotate_every = Duration::from_secs(60);
    }
    let mut setup = Setup::new(count, seed);
    setup.config = Config::builder().limits(limits).build().expect("the usual bounds");
    match rule {
        TreeRule::QuietAnew
        | TreeRule::SharedRace
        | TreeRule::Mend
        | TreeRule::BothEnds
        | TreeRule::SharedGraft => last(everybody(&setup, 10 * count, 2)),
        // Ten nodes, each of which speaks every ten seconds.
        TreeRule::RareStays => last(everybody(&Setup { count: 10, ..setup }, 400, 4)),
        TreeRule::Patience => last(everybody(&setup.jittered(5), 2 * count, 4)),
        TreeRule::SmallestPrunes | TreeRule::StartAnew => crossing(&setup).to_string(),
        TreeRule::Candidate
        | TreeRule::WinsApart
        | TreeRule::ThreeWins
        | TreeRule::ShareWhenFull
        | TreeRule::PruneAgain => {
            let bursts = bursts(&setup.jittered(15), 20, 100, 3, false);
            let missed: usize = bursts.iter().map(|burst| burst.figures.missed).sum();
            bursts.last().map_or(String::new(), |last| format!("{last}  in all missed {missed}"))
        }
        TreeRule::CandidateWaits => last(everybody(&setup, 20 * count, 2)),
        TreeRule::Ban => mutes(&setup, 30, Manner::Lies, 300).to_string(),
        TreeRule::LargerWaits | TreeRule::Sooner | TreeRule::KnownSkipped => {
            some(&setup, 10, 60)[1].to_string()
        }
        TreeRule::Hurry => format!("{:?}", crash(&setup, 80)[0]),
        TreeRule::GapsClose => late_link(&setup),
        TreeRule::Holes => trickle(&setup, count / 100, 50).to_string(),
        TreeRule::SuspectOut => {
            let [first, second] = crash(&setup, 80);
            format!("{:?}, {first:?}, {second:?}", silence(&setup))
        }
        TreeRule::LostAnnounced => "a test shows it: a_broadcast_that_gave_way_in_a_queue".into(),
    }
}

fn last(parts: Vec<Figures>) -> String {
    parts.last().map_or(String::new(), ToString::to_string)
}

/// Eight nodes publish for the first time at once, three times; then others, one a second.
fn crossing(setup: &Setup) -> Figures {
    let mut net = warm(setup);
    let speakers = net.draw(24, &BTreeSet::new());
    let speakers: Vec<usize> = speakers.into_iter().collect();
    for together in speakers.chunks(8) {
        for by in together {
            net.publish(*by);
        }
        net.run_for(Duration::from_secs(3));
    }
    let part = Part::begin(&net);
    for by in (0..net.len()).filter(|by| !speakers.contains(by)).take(40) {
        net.publish(by);
        net.run_for(Duration::from_secs(1));
    }
    part.end(&net, setup.count - 1)
}

/// A part of the network is not connected to the rest while ten nodes publish, and is then.
fn late_link(setup: &Setup) -> String {
    let mut net = super::Quality::new(setup);
    net.connect_two_halves(8);
    let part = Part::begin(&net);
    for by in 0..10 {
        net.publish(by);
    }
    net.run_for(Duration::from_secs(2));
    net.bridge();
    net.run_for(Duration::from_secs(10));
    part.end(&net, setup.count - 1).to_string()
}
