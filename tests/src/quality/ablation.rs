//! Each rule of the trees left out: the run that is to show what it is good for.

use std::time::Duration;

use peerline_proto::{Config, TreeRule};

use super::Setup;
use super::crashes::{crash, silence};
use super::narrow::{
    begun_anew, behind_one, boasters, careless, crossing, cut_off, drowned, judged, late_link,
};
use super::scenarios::{Figures, bursts, everybody, some};

/// So many nodes, and `QuietAnew` is run with no more changes of links than usual.
const LARGE: usize = 1000;

/// What a rule's run came to, with it or without.
pub fn run(rule: TreeRule, holds: bool, count: usize, seed: u64) -> String {
    let mut limits = Config::default().limits().clone();
    limits.without = (!holds).then_some(rule);
    if matches!(rule, TreeRule::QuietAnew | TreeRule::Mend) && count < LARGE {
        // As many links change between two broadcasts as in a network ten times as large.
        limits.rotate_every = Duration::from_secs(60);
    }
    if rule == TreeRule::ShareWhenFull {
        limits.cache = 128 * 1024; // some ninety broadcasts
    }
    if rule == TreeRule::LostAnnounced {
        (limits.full_mesh, limits.target_outbound) = (0, 0); // who has one neighbour looks for none
    }
    let mut setup = Setup::new(count, seed);
    let builder = Config::builder().limits(limits);
    let builder = match rule {
        TreeRule::KnownSkipped => builder.validate("Q"),
        _ => builder,
    };
    setup.config = builder.build().expect("the usual bounds");
    match rule {
        TreeRule::QuietAnew if count >= LARGE => last(everybody(&setup, 3 * count, 3)),
        TreeRule::QuietAnew
        | TreeRule::SharedRace
        | TreeRule::Mend
        | TreeRule::BothEnds
        | TreeRule::SharedGraft => last(everybody(&setup, 10 * count, 2)),
        // Ten nodes, each of which speaks every ten seconds.
        TreeRule::RareStays => last(everybody(&Setup { count: 10, ..setup }, 400, 4)),
        TreeRule::Patience => last(everybody(&setup.jittered(5), 2 * count, 4)),
        TreeRule::SmallestPrunes => crossing(&setup, 8).to_string(),
        TreeRule::StartAnew => cut_off(&setup).to_string(),
        TreeRule::ShareWhenFull => drowned(&setup, 4).to_string(),
        TreeRule::PruneAgain => begun_anew(&setup, 60).to_string(),
        TreeRule::Candidate | TreeRule::WinsApart | TreeRule::ThreeWins => {
            let bursts = bursts(&setup.jittered(15), 20, 100, 3, false);
            let missed: usize = bursts.iter().map(|burst| burst.figures.missed).sum();
            bursts.last().map_or(String::new(), |last| format!("{last}  in all missed {missed}"))
        }
        // 30 nodes, each of which speaks every three seconds.
        TreeRule::CandidateWaits => some(&setup, 30, 30)[1].to_string(),
        TreeRule::Ban => boasters(&setup, 600).to_string(),
        TreeRule::KnownSkipped => judged(&setup).to_string(),
        TreeRule::LargerWaits | TreeRule::Sooner => some(&setup, 10, 60)[1].to_string(),
        TreeRule::Hurry => format!("{:?}", crash(&setup, 80)[0]),
        TreeRule::GapsClose => late_link(&setup).to_string(),
        TreeRule::Holes => careless(&setup, 400).to_string(),
        TreeRule::SuspectOut => format!("{:?}", silence(&setup)),
        TreeRule::LostAnnounced => behind_one(&setup).to_string(),
    }
}

fn last(parts: Vec<Figures>) -> String {
    parts.last().map_or(String::new(), ToString::to_string)
}
