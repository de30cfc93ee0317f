//! What a seed draws before its run begins: how large the network is, what its links are like, and
//! which faults there are at which rate. Each run has some faults only, so that none hides another.

use peerline_proto::{Config, Keyspace, Limits};

use crate::entropy::Entropy;
use crate::net::Cut;

/// What the messages of a run come to, with all their copies.
const BYTES_PER_SECOND: u64 = 4_000_000;

/// A kind of thing that happens in the storm.
#[derive(Copy, Clone, Debug, Eq, PartialEq, Ord, PartialOrd)]
#[non_exhaustive]
pub enum Fault {
    /// A connection is reset at both ends.
    Reset,
    /// A connection is reset and loses what was on its way.
    Tear,
    /// An end is told that the other's half has ended.
    HalfClose,
    /// A connection stalls, up to a minute.
    Stall,
    /// Two groups of hosts do not reach each other.
    Partition,
    /// One group does not reach another, which reaches it.
    OneWay,
    /// All connections of some hosts stall one after another, and flow again in another order.
    Swizzle,
    /// A host dials where nobody answers.
    BlackHole,
    /// A host dials where nobody listens.
    Refused,
    /// A host dials an address that leads to itself.
    OwnAddress,
    /// Dials take up to two minutes to be answered.
    SlowDials,
    /// A host has no descriptors left.
    Exhausted,
    /// A host is gone without a word, and is started again later.
    Vanish,
    /// A host's program is killed, and started again later.
    Crash,
    /// A host leaves in order, and is started again later.
    Leave,
    /// A host parts from a peer.
    Disconnect,
    /// Two hosts dial each other at once.
    DialBoth,
    /// Nothing happens on a host for up to five seconds.
    Sleep,
    /// A host's clock jumps ahead, up to ten years.
    JumpAhead,
    /// A host's clock jumps back.
    JumpBack,
    /// An application does not take its events.
    NoDrain,
    /// A host does not read.
    NoRead,
    /// A host sends to one peer until it is told that the queue is full.
    Flood,
    /// A host asks others, neighbours or not, more at once than it has neighbours.
    Ask,
    /// A stranger does something hostile.
    Hostile,
}

impl Fault {
    /// All of them.
    pub const ALL: [Self; 25] = [
        Self::Reset,
        Self::Tear,
        Self::HalfClose,
        Self::Stall,
        Self::Partition,
        Self::OneWay,
        Self::Swizzle,
        Self::BlackHole,
        Self::Refused,
        Self::OwnAddress,
        Self::SlowDials,
        Self::Exhausted,
        Self::Vanish,
        Self::Crash,
        Self::Leave,
        Self::Disconnect,
        Self::DialBoth,
        Self::Sleep,
        Self::JumpAhead,
        Self::JumpBack,
        Self::NoDrain,
        Self::NoRead,
        Self::Flood,
        Self::Ask,
        Self::Hostile,
    ];
}

/// A run, before it begins.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) hosts: usize,
    /// Network groups they are in; with none each is one of its own.
    pub(crate) groups: u8,
    pub(crate) latency: (u64, u64),
    pub(crate) window: usize,
    pub(crate) bandwidth: u64,
    pub(crate) cut: Cut,
    pub(crate) config: Config,
    /// Faults, each as often as it stands here.
    pub(crate) faults: Vec<Fault>,
    /// Mean time between two faults, milliseconds.
    pub(crate) pace: u64,
    /// Mean time between two messages, milliseconds.
    pub(crate) talk: u64,
    /// The longest message, bytes.
    pub(crate) longest: u64,
    /// Of a hundred hosts, how many nobody can dial, have a clock that runs wrong, timers that
    /// fire late.
    pub(crate) behind_nat: u64,
    pub(crate) skewed: u64,
    pub(crate) late: u64,
}

impl Plan {
    /// The seed's second chances decide what was added later: what the first decide is as it was.
    pub(crate) fn draw(entropy: &mut Entropy, second: &mut Entropy) -> Self {
        let floor = entropy.below(30);
        let cut = match entropy.below(20) {
            0 => Cut::Bytes,
            1..=9 => Cut::Whole,
            _ => Cut::Random,
        };
        let longest = if cut == Cut::Bytes { 50 } else { 1 << entropy.between(4, 14) };
        let some = |entropy: &mut Entropy, per_cent| if entropy.chance(30) { per_cent } else { 0 };
        let mut faults = Vec::new();
        let share = entropy.between(0, 60);
        for fault in Fault::ALL {
            if entropy.chance(share) {
                faults.extend(std::iter::repeat_n(fault, 1 << entropy.below(4)));
            }
        }
        // A byte at a time, each byte costs what a message does otherwise.
        let mut hosts = size(entropy).min(if cut == Cut::Bytes { 6 } else { 30 });
        let mut max_inbound = Limits::default().max_inbound;
        // With fewer places nobody could be driven out, and who comes last would find none.
        if second.chance(5) && cut != Cut::Bytes {
            hosts = second.between(16, 30) as usize;
            max_inbound = second.between(14, 20) as usize;
        }
        Self {
            hosts,
            groups: if second.chance(40) { second.between(2, 8) as u8 } else { 0 },
            latency: (floor, floor + entropy.between(5, 100)),
            window: 1 << entropy.between(12, 16),
            bandwidth: if entropy.chance(30) { 1 << entropy.between(15, 20) } else { u64::MAX },
            cut,
            config: config(entropy, max_inbound),
            faults,
            pace: 1 << entropy.between(8, 13),
            talk: (1 << entropy.between(7, 12)).max(least_talk(hosts, longest)),
            longest,
            behind_nat: some(entropy, 20),
            skewed: some(entropy, 50),
            late: some(entropy, 20),
        }
    }
}

/// The least time between two messages, milliseconds, with which all their copies together are not
/// more than a run can carry in seconds.
fn least_talk(hosts: usize, longest: u64) -> u64 {
    let copies = (hosts * hosts.min(20)) as u64;
    copies * (longest / 2) * 1_000 / BYTES_PER_SECOND
}

/// Mostly small, where rare things happen often; now and then thirty.
fn size(entropy: &mut Entropy) -> usize {
    let most = if entropy.chance(10) { 30 } else { 10 };
    entropy.between(3, most) as usize
}

/// Small bounds in every other run, so that they are met; in some of those all route by keyspace.
fn config(entropy: &mut Entropy, max_inbound: usize) -> Config {
    let mut limits = Limits::default();
    limits.max_inbound = max_inbound;
    if entropy.chance(50) {
        limits.send_queue = 1 << entropy.between(15, 20);
        limits.queued_total = limits.send_queue * 4;
        limits.event_queue = 1 << entropy.between(12, 20);
        limits.half_open = 1 << entropy.between(2, 8);
        limits.closing = 1 << entropy.between(2, 8);
    }
    let keyspace = if limits.closing <= 16 { Keyspace::On } else { Keyspace::Off };
    Config::builder().limits(limits).keyspace(keyspace).build().expect("bounds that fit")
}
