//! Who is connected to whom, measured: a crowd that joins, a partition that heals, a bootstrap that
//! begins anew, neighbours that do harm. Each scenario takes the settings of all nodes, so that a
//! build with planted bugs shows what each part of the overlay is good for.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use peerline_proto::{Config, ConnId, Node, PeerId, Side};

use super::{Manner, PORT, Quality, Setup, addr_of, public_addr_of};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

fn setup(seed: u64, config: &Config) -> Setup {
    Setup { config: config.clone(), ..Setup::new(0, seed) }
}

/// What came of a crowd that joins by one bootstrap.
#[derive(Clone, Debug)]
pub struct Joined {
    /// When all were one component, if they were within a minute.
    pub whole_after: Option<Duration>,
    /// The most inbound peers that the bootstrap had at the end of any tenth of a second.
    pub most_inbound: usize,
    /// The most dials of one node in one second, and of all together.
    pub most_dials: (u32, u32),
    /// The same in the second half of the minute.
    pub later_dials: (u32, u32),
    /// The fewest and the most peers of any node but the bootstrap, at the end.
    pub peers: (usize, usize),
    /// How many gave way at the bootstrap.
    pub evicted: u64,
}

/// Everybody starts at once and knows one address.
pub fn crowd(count: usize, seed: u64, config: &Config) -> Joined {
    let places = (0..count).map(|index| Some(addr_of(index))).collect();
    let mut net = Quality::at(places, &setup(seed, config));
    (1..count).for_each(|index| net.bootstrap(index, 0));
    let (mut most_inbound, mut whole_after) = (0, None);
    for tenth in 1..=600 {
        net.run_for(SECOND / 10);
        let inbound = net.node(0).peers().filter(|peer| peer.side == Side::Listener).count();
        most_inbound = most_inbound.max(inbound);
        if whole_after.is_none() && tenth % 5 == 0 && net.parts().len() == 1 {
            whole_after = Some(SECOND / 10 * tenth);
        }
    }
    let peers = || (1..count).map(|index| net.node(index).peer_count());
    Joined {
        whole_after,
        most_inbound,
        most_dials: net.most_dials(0),
        later_dials: net.most_dials(30),
        peers: (peers().min().unwrap_or(0), peers().max().unwrap_or(0)),
        evicted: net.node(0).stats().evicted,
    }
}

/// A network in which everybody has found everybody that it wants to.
pub fn settled(count: usize, seed: u64, config: &Config) -> Quality {
    let places = (0..count).map(|index| Some(addr_of(index))).collect();
    let mut net = Quality::at(places, &setup(seed, config));
    for index in 1..count {
        let other = net.below(index);
        net.bootstrap(index, 0);
        net.bootstrap(index, other);
        net.run_for(SECOND / 20);
    }
    net.run_for(MINUTE);
    assert_eq!(net.parts().len(), 1, "the network never was one");
    net
}

/// Two halves do not reach each other for so long; then, how long until they are one, at most ten
/// minutes.
pub fn halves(count: usize, seed: u64, parted: Duration, config: &Config) -> Option<Duration> {
    let mut net = settled(count, seed, config);
    net.part(count / 2);
    net.run_for(parted);
    assert!(net.parts().len() > 1, "nothing was parted");
    net.part(0);
    net.until_whole(10 * MINUTE)
}

/// The bootstrap of a network begins anew and knows nobody: how long until it is back among the
/// others, at most ten minutes.
pub fn bootstrap_anew(count: usize, seed: u64, config: &Config) -> Option<Duration> {
    let mut net = settled(count, seed, config);
    net.stop(0);
    net.run_for(2 * MINUTE);
    net.start(0, config.clone());
    net.until_whole(10 * MINUTE)
}

/// Of a hundred, this many pass on nothing. How many deliveries to the others were missed, of how
/// many, and the longest time that one took.
pub fn mute(count: usize, percent: usize, seed: u64, config: &Config) -> (usize, usize, Duration) {
    let mut net = settled(count, seed, config);
    let mutes = count * percent / 100;
    (1..=mutes).for_each(|index| net.behave(index, Manner::Lies));
    let honest = count - mutes - 1;
    let mut wanted = 0;
    for round in 0..20 {
        net.publish(mutes + 1 + round * 7 % honest);
        wanted += count - 1;
        net.run_for(SECOND);
    }
    net.run_for(MINUTE / 2);
    let got: usize = net.casts.iter().map(|cast| cast.got).sum();
    let took = net.casts.iter().map(|cast| cast.last.saturating_since(cast.at));
    (wanted - got, wanted, took.max().unwrap_or_default())
}

/// What a hostile neighbour did.
#[derive(Clone, Debug)]
pub struct Harm {
    /// Deliveries to honest nodes that were missed.
    pub missed: usize,
    /// The most bytes that any honest node held for others.
    pub most_held: usize,
    /// The longest that a broadcast took.
    pub worst: Duration,
}

/// A neighbour of many floods them with announcements of what nobody published, and with lines
/// that mean nothing, a hundred lines a second on each connection.
pub fn flood(count: usize, seed: u64, config: &Config) -> Harm {
    let mut net = settled(count, seed, config);
    let (hostile, mut most_held) = (1, 0);
    for round in 0..5 {
        net.publish(2 + round % (count - 2));
        for tick in 0..10_u64 {
            let conns: Vec<ConnId> = net.node(hostile).peers().map(|peer| peer.conn).collect();
            for (way, conn) in conns.into_iter().enumerate() {
                net.inject(hostile, conn, &nonsense(round as u64 * 10 + tick, way));
            }
            net.run_for(SECOND / 10);
            let held = net.living().map(|index| net.node(index).buffered()).max();
            most_held = most_held.max(held.unwrap_or_default());
        }
    }
    net.run_for(MINUTE / 2);
    let missed = |cast: &super::Cast| (count - 1).saturating_sub(cast.got);
    let took = net.casts.iter().map(|cast| cast.last.saturating_since(cast.at));
    Harm {
        missed: net.casts.iter().map(missed).sum(),
        most_held,
        worst: took.max().unwrap_or_default(),
    }
}

/// Ten lines: announcements of 64 ranges of streams that nobody has, and an unknown word.
fn nonsense(number: u64, way: usize) -> Vec<u8> {
    let mut lines = Vec::new();
    for line in 0..10_u64 {
        let id = format!("{:08x}-0000-4000-8000-{way:012x}", number * 10 + line);
        let ranges: Vec<String> =
            (0..64).map(|at| format!("[{},{},0]", at * 20, at * 20 + 8)).collect();
        let have = format!("[[\"{id}\",{},[{}]]]", number % 1000, ranges.join(","));
        lines.extend(format!("{{\"msgtype\":\"ihave\",\"have\":{have}}}\n").into_bytes());
        lines.extend(b"{\"msgtype\":\"whatever\",\"n\":1}\n");
    }
    lines
}

/// What a node with as many inbound peers as it takes went through.
#[derive(Clone, Debug)]
pub struct Besieged {
    /// Honest inbound peers before and after.
    pub honest: (usize, usize),
    /// Of those at the end that came by their own dials: who is near, who brought news, others.
    pub of_these: [usize; 3],
    /// How many gave way.
    pub evicted: u64,
    /// How many newcomers, honest ones, have a peer at the end, of how many.
    pub newcomers: (usize, usize),
}

/// A node that takes so many, in a network of honest peers that dial it.
struct Siege {
    net: Quality,
    honest: usize,
    attackers: usize,
}

impl Siege {
    /// Node 0 is besieged. If `spread`, the honest share one network group, and each attacker has
    /// one of his own; else the other way round, and attackers even share one address.
    fn new(honest: usize, attackers: usize, spread: bool, seed: u64, config: &Config) -> Self {
        let shared =
            |index: usize| SocketAddr::from((Ipv4Addr::new(200, 1, 1, 1), PORT + 1 + index as u16));
        let together = |index: usize| SocketAddr::from(([100, 1, 1, index as u8], PORT));
        let place = |index: usize| match (index <= honest, spread) {
            (true, true) => together(index),
            (true, false) | (false, true) => public_addr_of(index),
            (false, false) => shared(index),
        };
        let places = (0..=honest + attackers).map(|index| Some(place(index))).collect();
        let net = Quality::at(places, &setup(seed, config));
        Self { net, honest, attackers }
    }

    /// It dials the besieged node, and a moment passes.
    fn come(&mut self, index: usize) {
        self.dial(index);
        self.net.run_for(SECOND / 5);
    }

    /// The attackers from this number on come, all before any that gave way may dial again.
    fn wave(&mut self, from: usize) {
        for number in from..self.attackers {
            self.dial(self.attacker(number));
            self.net.run_for(SECOND / 10);
        }
        self.net.run_for(SECOND);
    }

    /// An application dials the besieged node.
    fn dial(&mut self, index: usize) {
        let addr = self.net.places[0].expect("it listens");
        self.net.with_node(index, |node, now| node.dial(addr, now).is_ok());
    }

    /// Whether it is there by its own dial: the besieged node also dials those that gave way.
    fn is_inbound(&self, index: usize) -> bool {
        let id = PeerId::Node(self.net.node(index).id());
        self.net.node(0).peer(&id).is_some_and(|peer| peer.side == Side::Listener)
    }

    fn honest_peers(&self) -> usize {
        let is_peer = |index: &usize| {
            let id = PeerId::Node(self.net.node(*index).id());
            self.net.node(0).peer(&id).is_some()
        };
        (1..=self.honest).filter(is_peer).count()
    }

    fn among(&self, these: std::ops::RangeInclusive<usize>) -> usize {
        these.filter(|index| self.is_inbound(*index)).count()
    }

    fn attacker(&self, number: usize) -> usize {
        self.honest + 1 + number % self.attackers
    }
}

/// Attackers hold every inbound place of a bootstrap, all from one network; then honest nodes come
/// that know nobody else.
pub fn all_places_taken(seed: u64, config: &Config) -> Besieged {
    let most = config.limits().max_inbound;
    let mut siege = Siege::new(20, most, false, seed, config);
    for number in 0..most {
        let index = siege.attacker(number);
        siege.dial(index);
        siege.net.run_for(SECOND / 10);
    }
    siege.net.run_for(10 * SECOND);
    (1..=siege.honest).for_each(|index| siege.net.bootstrap(index, 0));
    siege.net.run_for(MINUTE);
    let found = (1..=siege.honest).filter(|index| siege.net.node(*index).peer_count() > 0).count();
    Besieged {
        honest: (0, siege.honest_peers()),
        of_these: [0; 3],
        evicted: siege.net.node(0).stats().evicted,
        newcomers: (found, siege.honest),
    }
}

/// Attackers in as many network groups come to a node whose honest peers all share one group, which
/// so is the most crowded. The first eight of the honest are near, the last four bring
/// broadcasts, which nobody else passes on. Either the honest come first, or as many attackers as
/// there is room for beside them; then more attackers than there are places. How many of the honest
/// stay.
pub fn overrun(honest_first: bool, seed: u64, config: &Config) -> Besieged {
    let (most, honest) = (config.limits().max_inbound, 24);
    let mut siege = Siege::new(honest, 3 * most, true, seed, config);
    (1..=8).for_each(|index| siege.net.near(index));
    let old = if honest_first { 0 } else { most - honest };
    for number in 0..old {
        siege.come(siege.attacker(number));
    }
    siege.net.run_for(MINUTE);
    (1..=honest).for_each(|index| siege.come(index));
    siege.net.run_for(MINUTE);
    let quiet = (1..siege.net.len()).filter(|index| !(21..=24).contains(index));
    quiet.collect::<Vec<_>>().into_iter().for_each(|index| siege.net.behave(index, Manner::Silent));
    for index in 21..=24 {
        siege.net.publish(index);
        siege.net.run_for(SECOND);
    }
    let before = siege.honest_peers();
    siege.wave(old);
    Besieged {
        honest: (before, siege.honest_peers()),
        of_these: [siege.among(1..=8), siege.among(21..=24), siege.among(9..=20)],
        evicted: siege.net.node(0).stats().evicted,
        newcomers: (0, 0),
    }
}

/// One address dials a full node ten times a second, under a new name each time, and sends what
/// nobody sends. How many gave way to it, within a minute.
pub fn garbage(seed: u64, config: &Config) -> Besieged {
    let most = config.limits().max_inbound;
    let mut siege = Siege::new(most, 100, false, seed, config);
    for index in 1..=most {
        siege.dial(index);
        siege.net.run_for(SECOND / 10);
    }
    siege.net.run_for(10 * SECOND);
    let before = siege.honest_peers();
    for number in 0..600 {
        let index = siege.attacker(number);
        siege.dial(index);
        siege.net.run_for(SECOND / 10);
        let spoken = siege.attacker(number + 98);
        let conns: Vec<ConnId> = siege.net.node(spoken).peers().map(|peer| peer.conn).collect();
        conns.into_iter().for_each(|conn| siege.net.inject(spoken, conn, b"{\"msgtype\":}\n"));
    }
    siege.net.run_for(SECOND);
    Besieged {
        honest: (before, siege.honest_peers()),
        of_these: [0; 3],
        evicted: siege.net.node(0).stats().evicted,
        newcomers: (0, 0),
    }
}

/// Honest nodes, each in a network group of its own, and more than twice as many of an attacker in
/// two groups, which are there first: what share of the connections that honest nodes opened
/// goes to him after such a time, per cent, how many of them opened most to him, and how many
/// nothing else.
pub fn two_networks(
    honest: usize,
    seed: u64,
    lasts: Duration,
    config: &Config,
) -> (f64, usize, usize) {
    let attackers = 5 * honest / 2;
    let his = |index: usize| {
        let number = u8::try_from(index / 2 % 250).expect("below 250") + 1;
        let third = u8::try_from(index / 500).expect("few") + 1;
        SocketAddr::from((Ipv4Addr::new(200, 1 + (index % 2) as u8, third, number), PORT))
    };
    let place = |index: usize| if index < honest { public_addr_of(index) } else { his(index) };
    let places = (0..honest + attackers).map(|index| Some(place(index))).collect();
    let mut net = Quality::at(places, &setup(seed, config));
    for index in (1..honest + attackers).rev() {
        net.bootstrap(index, 0);
        net.run_for(SECOND / 50);
    }
    net.run_for(lasts);
    let opened = |node: &Node| {
        let ours: Vec<SocketAddr> =
            node.peers().filter(|peer| peer.side == Side::Dialer).map(|peer| peer.addr).collect();
        let to_him = ours.iter().filter(|addr| addr.ip().to_string().starts_with("200.")).count();
        (ours.len(), to_him)
    };
    let rows: Vec<(usize, usize)> = (0..honest).map(|index| opened(net.node(index))).collect();
    let all: usize = rows.iter().map(|(all, _)| all).sum();
    let his: usize = rows.iter().map(|(_, his)| his).sum();
    let lost = rows.iter().filter(|(all, his)| all == his).count();
    let most = rows.iter().filter(|(all, his)| 2 * his > *all).count();
    (his as f64 * 100.0 / all.max(1) as f64, most, lost)
}

/// Of the listening nodes 4 are honest and 60 of an attacker: they take connections, answer pings
/// and pass on nothing. So many more that listen nowhere begin with one of his. How many of these
/// get nothing that the honest publish, at first and after each of six such times.
pub fn black_holes(hidden: usize, each: Duration, seed: u64, config: &Config) -> Vec<usize> {
    let (honest, listening) = (4, 64);
    let place = |index: usize| (index < listening).then(|| public_addr_of(index));
    let places = (0..listening + hidden).map(place).collect();
    let mut net = Quality::at(places, &setup(seed, config));
    (honest..listening).for_each(|index| net.behave(index, Manner::Silent));
    for index in 1..listening + hidden {
        let base = if index < listening { 0 } else { honest };
        let other = base + net.below(index.min(listening) - base);
        net.bootstrap(index, other);
        net.run_for(SECOND / 5);
    }
    net.run_for(MINUTE);
    net.watch(&(listening..listening + hidden).collect());
    let deaf = |net: &mut Quality| {
        let number = net.publish(0);
        net.run_for(MINUTE / 2);
        hidden - net.casts[number].got
    };
    let mut rows = vec![deaf(&mut net)];
    for _ in 0..6 {
        net.run_for(each);
        rows.push(deaf(&mut net));
    }
    rows
}

/// Broadcasts go on for this long in a network whose links change all the time, for peers take
/// each other's places as often as every few seconds: what was missed, of how many deliveries, how
/// many peers were changed for others, and how many gave way.
pub fn restless(count: usize, seed: u64, lasts: Duration) -> (usize, usize, u64, u64) {
    let mut limits = Config::default().limits().clone();
    limits.rotate_every = 10 * SECOND;
    limits.feeler_every = 10 * SECOND;
    limits.max_inbound = 17; // one more than are protected whatever they do
    let config = Config::builder().limits(limits).build().expect("bounds that fit");
    let mut net = settled(count, seed, &config);
    for round in 0..lasts.as_millis() as usize / 200 {
        net.publish(round * 7 % count);
        net.run_for(SECOND / 5);
    }
    net.run_for(MINUTE);
    let wanted = net.casts.len() * (count - 1);
    let got: usize = net.casts.iter().map(|cast| cast.got).sum();
    let (rotated, evicted) =
        (|node: &Node| node.stats().rotated, |node: &Node| node.stats().evicted);
    (wanted - got, wanted, net.sum(rotated), net.sum(evicted))
}
