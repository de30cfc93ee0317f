//! What is measured: who publishes when, who dies, and what it came to.

use std::fmt;
use std::time::Duration;

use super::Quality;

/// What a row of broadcasts came to.
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
    /// Time until the last node had it, mean and worst.
    pub last: Duration,
    /// The worst of them.
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
        let took = |cast: &super::Cast| cast.last.saturating_since(cast.at);
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

/// Each broadcast from another sender, one a second; the very first, which floods, is left out. In
/// `parts` equal parts, so that one sees whether it gets worse.
pub fn everybody(
    count: usize,
    casts: usize,
    parts: usize,
    seed: u64,
    jitter: Duration,
) -> Vec<Figures> {
    let mut net = Quality::new(count, seed, jitter);
    net.connect(8);
    net.publish(0);
    net.run_for(Duration::from_secs(3));
    let mut figures = Vec::new();
    for _ in 0..parts {
        let part = Part::begin(&net);
        for _ in 0..casts / parts {
            let by = net.below(count);
            net.publish(by);
            net.run_for(Duration::from_secs(1));
        }
        net.run_for(Duration::from_secs(1));
        figures.push(part.end(&net, count - 1));
        net.forget_hops();
    }
    figures
}

/// Some senders again and again, the first and the second half of it.
pub fn some(
    count: usize,
    senders: usize,
    each: usize,
    seed: u64,
    jitter: Duration,
) -> Vec<Figures> {
    let mut net = Quality::new(count, seed, jitter);
    net.connect(8);
    let mut figures = Vec::new();
    for _ in 0..2 {
        let part = Part::begin(&net);
        for _ in 0..each / 2 {
            for sender in 0..senders {
                net.publish(sender * count / senders);
                net.run_for(Duration::from_millis(100));
            }
        }
        net.run_for(Duration::from_secs(1));
        figures.push(part.end(&net, count - 1));
        net.forget_hops();
    }
    figures
}

/// Bursts of all senders at once: for each burst its figures, how many nodes changed their parent
/// per broadcast (a share), and how many were not reached over eager links after it.
pub fn bursts(
    count: usize,
    senders: usize,
    bursts: usize,
    seed: u64,
    jitter: Duration,
) -> Vec<(Figures, f64, usize)> {
    let mut net = Quality::new(count, seed, jitter);
    net.connect(8);
    let mut rows = Vec::new();
    for _ in 0..bursts {
        let part = Part::begin(&net);
        let senders: Vec<usize> = (0..senders).map(|sender| sender * count / senders).collect();
        let mut changes = 0;
        for _ in 0..200 / senders.len().max(1) * senders.len() / senders.len().max(1) {
            for sender in &senders {
                let before = net.parents(*sender);
                net.publish(*sender);
                net.run_for(Duration::from_millis(5) / senders.len() as u32);
                let after = net.parents(*sender);
                changes += before.iter().zip(&after).filter(|(a, b)| a != b).count();
            }
        }
        net.run_for(Duration::from_secs(5));
        let figures = part.end(&net, count - 1);
        let share = changes as f64 / figures.casts.max(1) as f64 / count as f64;
        let unreached = senders.iter().map(|sender| net.unreached(*sender)).max().unwrap_or(0);
        rows.push((figures, share, unreached));
        net.forget_hops();
    }
    rows
}

/// A share of the nodes dies silently, then one of the living publishes for the first time: how
/// many of its component got it, and by when; and the same of a second broadcast 5 s later.
pub fn crash(count: usize, percent: usize, seed: u64) -> [(usize, usize, Duration); 2] {
    let mut net = Quality::new(count, seed, Duration::ZERO);
    net.connect(8);
    for sender in 0..5 {
        net.publish(sender * count / 5);
        net.run_for(Duration::from_secs(1));
    }
    let mut dead = 0;
    while dead < count * percent / 100 {
        let index = net.below(count);
        if net.is_alive(index) {
            net.crash(index);
            dead += 1;
        }
    }
    let living: Vec<usize> = net.living().collect();
    let by = living.into_iter().max_by_key(|index| net.component(*index).len()).unwrap_or(0);
    let component = net.component(by).len() - 1;
    let first = net.publish(by);
    net.run_for(Duration::from_secs(5));
    let second = net.publish(by);
    net.run_for(Duration::from_secs(30));
    [first, second].map(|number| {
        let cast = &net.casts[number];
        (cast.got, component, cast.last.saturating_since(cast.at))
    })
}
