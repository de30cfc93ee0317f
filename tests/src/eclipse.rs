//! How often who holds many addresses gets all of a victim's outbound connections: the attack of
//! Heilman et al. (USENIX Security 2015) on the address book, on virtual time.
//!
//! The book is the real one. Around it stands what the overlay does, without bytes: 8 outbound
//! connections, one per network group; a feeler every 2 min; a rotation every 10 min; 2 anchors.
//! The attackers hold all 64 inbound places, connect anew each half hour, and tell as much as the
//! limits let them, half of it their own addresses and half invented ones. Then the victim restarts
//! from its saved book, and dials until it has its 8. Attackers always answer.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use peerline_proto::testing::AddressBook;
use peerline_proto::{Instant, Limits, PeerId, Start, UnixTime};

use crate::entropy::Entropy;

const OUTBOUND: usize = 8;
const ANCHORS: usize = 2;
const INBOUND: usize = 64;
const FEELER: Duration = Duration::from_secs(120);
const ROTATION: u64 = 5; // feelers
const RECONNECT: u64 = 15; // feelers
/// What the attackers know beforehand of the victim's network: nothing. What the victim knows.
const HONEST: u64 = 2000;
/// Honest addresses that a dial of the victim's has reached before.
const MET: u64 = 120;
/// Of the honest, per cent that are gone when they are dialled.
const GONE: u64 = 30;

/// An attack.
#[derive(Copy, Clone, Debug)]
pub struct Attack {
    /// Addresses that the attacker holds, each in a network group of its own as far as groups go.
    pub addresses: u64,
    /// How long it goes on before the victim restarts.
    pub hours: u64,
}

/// What came of one.
#[derive(Copy, Clone, Debug, Default)]
pub struct Outcome {
    /// All outbound connections go to attackers after a restart with anchors.
    pub with_anchors: bool,
    /// The same without anchors.
    pub without: bool,
    /// Attackers among the addresses that dials reached, per cent.
    pub of_tried: f64,
    /// Attackers and invented addresses among the others, per cent.
    pub of_new: f64,
    /// Attackers among the eight before the restart.
    pub before: usize,
    /// Dials after a restart without anchors until there were eight connections.
    pub dials: u32,
}

/// Plays one attack.
pub fn play(attack: &Attack, seed: u64) -> Outcome {
    let mut victim = Victim::new(attack, seed);
    victim.live_before();
    for turn in 0..attack.hours * 3600 / FEELER.as_secs() {
        victim.turn(turn);
    }
    let (of_tried, of_new) = victim.shares();
    let before = victim.hostile(&victim.outbound);
    let restarted = [true, false].map(|anchored| victim.restart(anchored));
    let dials = restarted[1].dials;
    let eclipsed = restarted.map(|after| after.hostile(&after.outbound) == OUTBOUND);
    Outcome { with_anchors: eclipsed[0], without: eclipsed[1], of_tried, of_new, before, dials }
}

struct Victim {
    attack: Attack,
    entropy: Entropy,
    limits: Limits,
    book: AddressBook,
    now: Instant,
    /// The oldest first.
    outbound: Vec<SocketAddr>,
    seed: u64,
    dials: u32,
}

/// What an address is, told by its first byte.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
enum Kind {
    Honest,
    Attacker,
    Invented,
}

fn kind(addr: SocketAddr) -> Kind {
    match addr {
        SocketAddr::V4(addr) if addr.ip().octets()[0] < 64 => Kind::Honest,
        SocketAddr::V4(addr) if addr.ip().octets()[0] < 128 => Kind::Attacker,
        SocketAddr::V4(_) | SocketAddr::V6(_) => Kind::Invented,
    }
}

/// An address of a kind: one in 12,288 groups of its own, then the same groups again.
fn address(kind: Kind, number: u64) -> SocketAddr {
    let base = match kind {
        Kind::Honest => 12,
        Kind::Attacker => 64,
        Kind::Invented => 128,
    };
    let spread = number.wrapping_mul(7919);
    let (a, b, c) = (base + (spread % 48) as u8, (spread / 48 % 256) as u8, spread / 12_288);
    SocketAddr::from(([a, b, (c % 256) as u8, 1 + (c / 256 % 200) as u8], 5999))
}

fn group(addr: SocketAddr) -> Option<[u8; 2]> {
    let SocketAddr::V4(addr) = addr else { return None };
    let [a, b, ..] = addr.ip().octets();
    Some([a, b])
}

impl Victim {
    fn new(attack: &Attack, seed: u64) -> Self {
        let (mut entropy, limits) = (Entropy::new(seed), Limits::default());
        let mut key = [0; 32];
        key.iter_mut().for_each(|byte| *byte = entropy.below(256) as u8);
        let (book, outbound) = (AddressBook::new(&limits, true, key), Vec::new());
        let now = Instant::ZERO;
        Self { attack: *attack, entropy, limits, book, now, outbound, seed, dials: 0 }
    }

    fn peer() -> PeerId {
        PeerId::Guest("x".into())
    }

    /// A node that has been in the network for a while.
    fn live_before(&mut self) {
        for number in 0..HONEST {
            let teller = address(Kind::Honest, self.entropy.below(HONEST));
            self.book.learn(address(Kind::Honest, number), teller, self.now);
        }
        for _ in 0..MET {
            let met = address(Kind::Honest, self.entropy.below(HONEST));
            self.try_out(met, false);
        }
        self.connect();
    }

    /// Whether somebody answers there. The gone are the same all the time.
    fn answers(&self, addr: SocketAddr) -> bool {
        match kind(addr) {
            Kind::Attacker => true,
            Kind::Invented => false,
            Kind::Honest => Entropy::new(self.seed ^ u64::from(addr_bits(addr))).below(100) >= GONE,
        }
    }

    /// Dials; the connection ends at once unless it is to stay.
    fn try_out(&mut self, addr: SocketAddr, stays: bool) -> bool {
        self.dials += 1;
        self.book.dialled(addr, self.now + Duration::from_secs(20));
        if !self.answers(addr) {
            self.book.failed(addr, self.now);
            return false;
        }
        self.book.reached(addr, &Self::peer(), self.now);
        if !stays {
            self.book.ended(addr, self.now, self.now);
        }
        true
    }

    /// Dials until there are eight, one per group.
    fn connect(&mut self) {
        while self.outbound.len() < OUTBOUND {
            let taken: BTreeSet<_> = self.outbound.iter().map(|addr| group(*addr)).collect();
            let drawn = self.book.select(true, self.now, &mut |addr| taken.contains(&group(addr)));
            match drawn {
                Some(addr) if self.try_out(addr, true) => self.outbound.push(addr),
                Some(_) => {}
                None => self.now = self.now + Duration::from_secs(1),
            }
        }
        self.book.set_anchors(self.outbound.iter().take(ANCHORS).copied().collect());
    }

    /// Two minutes of the attack.
    fn turn(&mut self, turn: u64) {
        let slowly = FEELER.as_secs() / self.limits.addr_every.as_secs();
        let anew = if turn % RECONNECT == 0 {
            u64::from(self.limits.addr_burst) + self.limits.addr_answer as u64
        } else {
            0
        };
        for _ in 0..INBOUND {
            let teller = address(Kind::Attacker, self.entropy.below(self.attack.addresses));
            for _ in 0..slowly + anew {
                let told = self.lie();
                self.book.learn(told, teller, self.now);
            }
        }
        self.hear_of_honest();
        if let Some(addr) = self.book.feeler(self.now) {
            self.try_out(addr, false);
        }
        if turn % ROTATION == ROTATION - 1 {
            self.rotate();
        }
        self.now = self.now + FEELER;
    }

    /// What an attacker tells.
    fn lie(&mut self) -> SocketAddr {
        if self.entropy.chance(50) {
            return address(Kind::Attacker, self.entropy.below(self.attack.addresses));
        }
        address(Kind::Invented, self.entropy.below(1 << 24))
    }

    /// Honest neighbours tell of honest nodes as slowly as they may.
    fn hear_of_honest(&mut self) {
        for neighbour in self.outbound.clone() {
            if kind(neighbour) == Kind::Honest {
                let told = address(Kind::Honest, self.entropy.below(HONEST));
                self.book.learn(told, neighbour, self.now);
            }
        }
    }

    /// The youngest connection but the anchors goes for another.
    fn rotate(&mut self) {
        let place = ANCHORS as u64 + self.entropy.below((OUTBOUND - ANCHORS) as u64);
        let left = self.outbound.remove(place as usize);
        self.book.ended(left, self.now, self.now);
        self.connect();
    }

    /// What it is after a restart from what it saved.
    fn restart(&self, anchored: bool) -> Self {
        let start = Start::new(self.now, UnixTime::from_millis(1 << 40));
        let mut book = self.book.clone();
        if !anchored {
            book.set_anchors(Vec::new());
        }
        let saved = book.export(start, self.now);
        let mut after = Self::new(&self.attack, self.seed);
        after.now = self.now + Duration::from_secs(60);
        let start = Start::new(after.now, UnixTime::from_millis((1 << 40) + 60_000));
        after.book.import(&saved, start, after.now).expect("what was saved");
        after.connect();
        after
    }

    fn hostile(&self, outbound: &[SocketAddr]) -> usize {
        outbound.iter().filter(|addr| kind(**addr) == Kind::Attacker).count()
    }

    /// Attackers among the tried, and whoever is not honest among the others, per cent.
    fn shares(&self) -> (f64, f64) {
        let share = |tried: bool| {
            let there = self.book.iter().filter(|(.., proven)| *proven == tried);
            let (mut bad, mut all) = (0_u32, 0_u32);
            for (addr, ..) in there {
                all += 1;
                bad += u32::from(kind(addr) != Kind::Honest);
            }
            100.0 * f64::from(bad) / f64::from(all.max(1))
        };
        (share(true), share(false))
    }
}

fn addr_bits(addr: SocketAddr) -> u32 {
    match addr {
        SocketAddr::V4(addr) => u32::from(*addr.ip()),
        SocketAddr::V6(_) => 0,
    }
}
