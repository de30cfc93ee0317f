//! What is measured of nodes that die silently: who is still reached, and by when.

use std::collections::BTreeSet;
use std::time::Duration;

use peerline_proto::Instant;

use super::scenarios::{Figures, Part, warm};
use super::{Quality, Setup};

/// How far a broadcast came.
#[derive(Copy, Clone, Debug)]
pub struct Reached {
    /// Who got it.
    pub got: usize,
    /// Who should have.
    pub of: usize,
    /// When the last of them got it, after it was published.
    pub last: Duration,
}

impl Reached {
    fn by(net: &Quality, number: usize, of: usize) -> Self {
        let cast = &net.casts[number];
        Self { got: cast.got, of, last: cast.last.saturating_since(cast.at) }
    }

    /// Whether all of them got it.
    pub fn all(&self) -> bool {
        self.got == self.of
    }
}

/// A network in which some broadcasts went around, and then so many of a hundred nodes died; and
/// the living node whose component is the largest.
fn after_crash(setup: &Setup, percent: usize) -> (Quality, usize) {
    let mut net = warm(setup);
    for sender in 1..5 {
        net.publish(sender * setup.count / 5);
        net.run_for(Duration::from_secs(1));
    }
    let dead = net.draw(setup.count * percent / 100, &BTreeSet::new());
    dead.into_iter().for_each(|index| net.crash(index));
    let living: Vec<usize> = net.living().collect();
    let by = living.into_iter().max_by_key(|index| net.component(*index).len()).unwrap_or(0);
    (net, by)
}

/// A node publishes for the first time right after a crash, and again 5 s later: how much of the
/// component that the crash left around it was reached, without new connections.
pub fn crash(setup: &Setup, percent: usize) -> [Reached; 2] {
    let (mut net, by) = after_crash(setup, percent);
    let component = net.component(by);
    let others = net.watch(&component) - 1;
    let first = net.publish(by);
    net.run_for(Duration::from_secs(5));
    let second = net.publish(by);
    net.run_for(Duration::from_secs(35));
    [first, second].map(|number| Reached::by(&net, number, others))
}

/// A node publishes right after a crash and again so much later: how many of all that live got the
/// second broadcast, new connections allowed.
pub fn later(setup: &Setup, percent: usize, later: Duration) -> Reached {
    let (mut net, by) = after_crash(setup, percent);
    let living: BTreeSet<usize> = net.living().collect();
    let others = net.watch(&living) - 1;
    net.publish(by);
    net.run_for(later);
    let second = net.publish(by);
    net.run_for(Duration::from_secs(40));
    Reached::by(&net, second, others)
}

/// With every message some nodes die, half a second apart: what those got that live to the end.
pub fn trickle(setup: &Setup, die: usize, casts: usize) -> Figures {
    let mut net = warm(setup);
    let mut victims = net.draw(die * casts, &BTreeSet::new());
    let living: BTreeSet<usize> = (0..net.len()).filter(|node| !victims.contains(node)).collect();
    let others = net.watch(&living) - 1;
    let part = Part::begin(&net);
    for _ in 0..casts {
        let at = net.below(living.len());
        if let Some(by) = living.iter().nth(at) {
            net.publish(*by);
        }
        (0..die).filter_map(|_| victims.pop_last()).for_each(|victim| net.crash(victim));
        net.run_for(Duration::from_millis(500));
    }
    net.run_for(Duration::from_secs(40));
    part.end(&net, others)
}

/// Ten nodes publish in turn, ten broadcasts a second, and a node that is none of them falls
/// silent: after what time it was nobody's parent any more, and when nobody had a connection to it.
pub fn silence(setup: &Setup) -> (Duration, Duration) {
    let mut net = warm(setup);
    let senders: Vec<usize> = (0..10).map(|sender| sender * setup.count / 10).collect();
    let speak = |net: &mut Quality, rounds: usize| {
        for number in 0..rounds * senders.len() {
            net.publish(senders[number % senders.len()]);
            net.run_for(Duration::from_millis(100));
        }
    };
    speak(&mut net, 10);
    let children = |net: &Quality, of: usize| -> usize {
        senders.iter().map(|sender| net.children(of, *sender)).sum()
    };
    // One that has children, or there would be nothing to see.
    let quiet = (0..net.len()).filter(|index| !senders.contains(index));
    let victim = quiet.max_by_key(|index| children(&net, *index)).unwrap_or(1);
    net.crash(victim);
    let (from, mut demoted, mut gone) = (net.now, net.now, None::<Instant>);
    for _ in 0..250 {
        net.publish(senders[net.casts.len() % senders.len()]);
        net.run_for(Duration::from_millis(100));
        if children(&net, victim) > 0 {
            demoted = net.now;
        }
        let alone = net.living().all(|index| net.neighbours(index).all(|peer| peer != victim));
        if alone && gone.is_none() {
            gone = Some(net.now);
        }
    }
    let gone = gone.map_or(Duration::MAX, |gone| gone.saturating_since(from));
    (demoted.saturating_since(from), gone)
}
