//! What is worth exploring: meetings, ends and returns of two or three nodes.
//!
//! Says only what may happen and what must come of it. Most nodes here dial nobody on their own
//! account, so that what is left is the rule on two connections; those that do must find each other
//! again whatever happens.

use std::time::Duration;

use peerline_proto::Config;

use crate::explore::{Command, Scenario};
use crate::net::HostId;

/// What the rule on two connections allows: less than half of the time in which a ping must be
/// answered.
const SLOWEST: Duration = Duration::from_millis(900);
/// What a connection that lost to another allows: it is read for a second after its bye.
const SLOWEST_LOSSLESS: Duration = Duration::from_millis(490);

/// The scenarios of nodes with these limits, but for those on dialling, which are set here.
///
/// # Panics
/// When the limits do not fit.
pub fn scenarios(config: &Config) -> Vec<Scenario> {
    let (quiet, busy) = (dialling(config, 0), dialling(config, 8));
    let mut all = meetings(&quiet);
    all.extend(clones(&quiet));
    all.extend(ends(&quiet));
    all.extend(returns(&quiet));
    all.extend(on_their_own(&busy));
    all
}

/// `outbound` is how many a node dials on its own account.
fn dialling(config: &Config, outbound: usize) -> Config {
    let mut limits = config.limits().clone();
    limits.target_outbound = outbound;
    limits.full_mesh = outbound;
    Config::builder().limits(limits).build().expect("the limits fit")
}

/// Nodes of these ids, and nothing happens.
fn among(name: &'static str, ids: &[u8], config: &Config) -> Scenario {
    Scenario {
        name,
        hosts: ids.iter().map(|id| (*id, config.clone())).collect(),
        scripts: Vec::new(),
        time: 2,
        breaks: 0,
        cuts: 0,
        slowest: SLOWEST,
        links: 1..=1,
        steady: Vec::new(),
        lossless: false,
    }
}

fn dial(from: HostId, to: HostId) -> Command {
    Command::Dial { from, to }
}

fn meetings(config: &Config) -> Vec<Scenario> {
    let both = vec![vec![dial(0, 1)], vec![dial(1, 0)]];
    let twice = vec![vec![dial(0, 1), dial(0, 1)], vec![dial(1, 0)]];
    let talk = [vec![Command::Broadcast(0)], vec![Command::Broadcast(1)]];
    let steady = vec![0, 1];
    vec![
        Scenario {
            scripts: both.clone(),
            steady: steady.clone(),
            time: 4,
            ..among("both dial each other", &[1, 2], config)
        },
        Scenario {
            scripts: twice.clone(),
            steady: steady.clone(),
            ..among("the smaller dials twice, the larger once", &[1, 2], config)
        },
        Scenario {
            scripts: twice,
            steady: steady.clone(),
            ..among("the larger dials twice, the smaller once", &[2, 1], config)
        },
        Scenario {
            scripts: both.iter().cloned().chain(talk).collect(),
            steady,
            slowest: SLOWEST_LOSSLESS,
            lossless: true,
            ..among("both dial and broadcast meanwhile", &[1, 2], config)
        },
        Scenario {
            scripts: both.clone(),
            steady: vec![0, 1],
            cuts: 2,
            ..among("both dial, packets come in halves", &[1, 2], config)
        },
        Scenario {
            scripts: both.clone(),
            breaks: 1,
            links: 0..=1,
            ..among("both dial, a connection breaks", &[1, 2], config)
        },
    ]
}

fn clones(config: &Config) -> Vec<Scenario> {
    let scripts = vec![vec![dial(1, 0)], vec![dial(2, 0)]];
    let steady = vec![0];
    vec![
        Scenario {
            scripts: scripts.clone(),
            steady: steady.clone(),
            ..among("a peer of a larger id and its clone dial", &[1, 2, 2], config)
        },
        Scenario {
            scripts,
            steady,
            ..among("a peer of a smaller id and its clone dial", &[2, 1, 1], config)
        },
        Scenario {
            scripts: vec![vec![dial(1, 0)], vec![dial(0, 2)], vec![dial(2, 1)]],
            steady: vec![0],
            ..among("a node, its peer and a clone dial in a ring", &[1, 2, 2], config)
        },
        Scenario {
            scripts: vec![vec![dial(1, 0)], vec![dial(0, 2)], vec![dial(2, 1)]],
            steady: vec![0],
            ..among("the same, the clones' id smaller", &[2, 1, 1], config)
        },
    ]
}

fn ends(config: &Config) -> Vec<Scenario> {
    let both = [vec![dial(0, 1)], vec![dial(1, 0)]];
    let down = |host| vec![Command::Shutdown(host)];
    let with = |more: Vec<Vec<Command>>| both.iter().cloned().chain(more).collect::<Vec<_>>();
    let bare = |name| Scenario { links: 0..=0, ..among(name, &[1, 2], config) };
    vec![
        Scenario { scripts: with(vec![down(0)]), ..bare("the smaller shuts down while dialling") },
        Scenario { scripts: with(vec![down(1)]), ..bare("the larger shuts down while dialling") },
        Scenario { scripts: with(vec![down(0), down(1)]), ..bare("both shut down while dialling") },
    ]
}

fn returns(config: &Config) -> Vec<Scenario> {
    let again = |end| vec![dial(1, 0), end, Command::Restart(1), dial(1, 0)];
    let bare =
        |name, ids: &[u8]| Scenario { lossless: false, links: 0..=1, ..among(name, ids, config) };
    vec![
        Scenario {
            scripts: vec![again(Command::Kill(1))],
            ..bare("a larger is killed and restarts", &[1, 2])
        },
        Scenario {
            scripts: vec![again(Command::Vanish(1))],
            time: 4,
            ..bare("a larger vanishes and restarts", &[1, 2])
        },
        Scenario {
            scripts: vec![again(Command::Vanish(1))],
            time: 4,
            ..bare("a smaller vanishes and restarts", &[2, 1])
        },
    ]
}

fn on_their_own(config: &Config) -> Vec<Scenario> {
    let both = vec![vec![dial(0, 1)], vec![dial(1, 0)]];
    let again = |end| both.iter().cloned().chain([vec![end, Command::Restart(1)]]).collect();
    vec![
        Scenario {
            scripts: both.clone(),
            slowest: Duration::MAX,
            time: 3,
            ..among("both dial, packets of any age", &[1, 2], config)
        },
        Scenario {
            scripts: both.clone(),
            breaks: 2,
            ..among("both dial again whatever breaks", &[1, 2], config)
        },
        Scenario {
            scripts: again(Command::Kill(1)),
            ..among("both dial, one is killed and restarts", &[1, 2], config)
        },
        Scenario {
            scripts: again(Command::Shutdown(1)),
            ..among("both dial, one shuts down and restarts", &[1, 2], config)
        },
        Scenario {
            scripts: vec![vec![dial(0, 1)], vec![dial(1, 2)], vec![dial(2, 0)]],
            links: 3..=3,
            time: 0,
            steady: vec![0, 1, 2],
            ..among("three dial in a ring", &[1, 2, 3], config)
        },
    ]
}
