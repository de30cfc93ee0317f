//! What is measured of trees that grow and settle: who publishes when, and what it came to.

use std::fmt;
use std::time::Duration;

use peerline_proto::ConnId;

use super::{Cast, Quality, Setup};

/// What some broadcasts came to.
#[derive(Copy, Clone, Debug, Default)]
pub struct Figures {
    /// Broadcasts.
    pub casts: usize,
    /// Deliveries that should have been and were not.
    pub missed: usize,
    /// Copies too many, per node and broadcast.
    pub rmr: f64,
    /// Hops to the node furthest away, mean over the broadcasts.
    pub ldh: f64,
    /// Time until the last node had it, mean over the broadcasts.
    pub last: Duration,
    /// The worst of these times.
    pub worst: Duration,
    /// Bytes of announcements, grafts and prunes per delivery.
    pub control: f64,
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:6} casts  missed {:4}  RMR {:.3}  LDH {:5.1}  last {:4} ms (worst {:4})  {:4.0} B",
            self.casts,
            self.missed,
            self.rmr,
            self.ldh,
            self.last.as_millis(),
            self.worst.as_millis(),
            self.control
        )
    }
}

/// Watches a part of a run.
#[derive(Debug)]
pub struct Part {
    first: usize,
    duplicates: u64,
    control: u64,
}

impl Part {
    /// From now on.
    pub fn begin(net: &Quality) -> Self {
        Self {
            first: net.casts.len(),
            duplicates: net.sum(|node| node.stats().duplicates),
            control: net.sum(|node| node.stats().tree_bytes),
        }
    }

    /// Until now. `audience` is how many should have got each broadcast, its publisher left out.
    pub fn end(self, net: &Quality, audience: usize) -> Figures {
        let casts = &net.casts[self.first..];
        let count = casts.len().max(1) as f64;
        let duplicates = net.sum(|node| node.stats().duplicates) - self.duplicates;
        let control = net.sum(|node| node.stats().tree_bytes) - self.control;
        let got: usize = casts.iter().map(|cast| cast.got).sum();
        let took = |cast: &Cast| cast.last.saturating_since(cast.at);
        Figures {
            casts: casts.len(),
            missed: (audience * casts.len()).saturating_sub(got),
            rmr: duplicates as f64 / count / audience.max(1) as f64,
            ldh: casts.iter().map(|cast| f64::from(cast.hops)).sum::<f64>() / count,
            last: casts.iter().map(took).sum::<Duration>() / casts.len().max(1) as u32,
            worst: casts.iter().map(took).max().unwrap_or_default(),
            control: control as f64 / got.max(1) as f64,
        }
    }
}

/// A network whose very first broadcast, which floods, is over.
pub(super) fn warm(setup: &Setup) -> Quality {
    let mut net = setup.connected();
    net.publish(0);
    net.run_for(Duration::from_secs(3));
    net
}

/// Each broadcast from a node that is drawn anew, one a second; the very first, which floods, is
/// left out. In equal parts, so that one sees whether it gets worse.
pub fn everybody(setup: &Setup, casts: usize, parts: usize) -> Vec<Figures> {
    let mut net = warm(setup);
    let mut figures = Vec::new();
    for _ in 0..parts {
        net.forget_ways();
        let part = Part::begin(&net);
        for _ in 0..casts / parts {
            let by = net.below(setup.count);
            net.publish(by);
            net.run_for(Duration::from_secs(1));
        }
        net.run_for(Duration::from_secs(1));
        figures.push(part.end(&net, setup.count - 1));
    }
    figures
}

/// Some senders again and again, a tenth of a second apart: the first and the second half of it.
pub fn some(setup: &Setup, senders: usize, each: usize) -> [Figures; 2] {
    let mut net = setup.connected();
    [(); 2].map(|()| {
        net.forget_ways();
        let part = Part::begin(&net);
        for number in 0..each / 2 * senders {
            net.publish(number % senders * setup.count / senders);
            net.run_for(Duration::from_millis(100));
        }
        net.run_for(Duration::from_secs(1));
        part.end(&net, setup.count - 1)
    })
}

/// What a burst came to.
#[derive(Copy, Clone, Debug, Default)]
pub struct Burst {
    /// As of any broadcasts.
    pub figures: Figures,
    /// Which share of the nodes changed its parent, per broadcast.
    pub changes: f64,
    /// How many nodes were not reached over eager links after it, in the worst stream.
    pub unreached: usize,
}

impl fmt::Display for Burst {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (figures, unreached) = (self.figures, self.unreached);
        write!(f, "{figures}  changes {:.3} %  unreached {unreached}", self.changes * 100.0)
    }
}

/// Bursts: of each sender so many broadcasts 5 ms apart, all senders at once. Between two of them
/// the network is quiet for 5 s. One broadcast went before, unless the network is to be `cold`.
pub fn bursts(setup: &Setup, senders: usize, each: usize, bursts: usize, cold: bool) -> Vec<Burst> {
    let mut net = if cold { setup.connected() } else { warm(setup) };
    let senders: Vec<usize> =
        (1..=senders).map(|sender| sender * setup.count / senders - 1).collect();
    let mut parents: Vec<Parents> =
        senders.iter().map(|sender| Parents::of(&net, *sender)).collect();
    let mut rows = Vec::new();
    for _ in 0..bursts {
        net.forget_ways();
        let part = Part::begin(&net);
        let mut changes = 0;
        for _ in 0..each {
            for sender in &senders {
                net.publish(*sender);
            }
            net.run_for(Duration::from_millis(5));
            changes += parents.iter_mut().map(|parents| parents.changes(&net)).sum::<usize>();
        }
        for _ in 0..100 {
            net.run_for(Duration::from_millis(50));
            changes += parents.iter_mut().map(|parents| parents.changes(&net)).sum::<usize>();
        }
        let figures = part.end(&net, setup.count - 1);
        rows.push(Burst {
            figures,
            changes: changes as f64 / figures.casts.max(1) as f64 / setup.count as f64,
            unreached: senders.iter().map(|sender| net.unreached(*sender)).max().unwrap_or(0),
        });
    }
    rows
}

/// The parents of all nodes in a stream, as they were last seen.
struct Parents {
    originator: usize,
    known: Vec<Option<ConnId>>,
}

impl Parents {
    fn of(net: &Quality, originator: usize) -> Self {
        Self { originator, known: net.parents(originator) }
    }

    /// How many nodes have another parent than when this was last asked; a first one is no change.
    fn changes(&mut self, net: &Quality) -> usize {
        let mut changes = 0;
        for (known, parent) in self.known.iter_mut().zip(net.parents(self.originator)) {
            if let Some(parent) = parent {
                changes += usize::from(known.is_some_and(|known| known != parent));
                *known = Some(parent);
            }
        }
        changes
    }
}
