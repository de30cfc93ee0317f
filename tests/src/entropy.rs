//! Where a run's chances come from: one `u64`, or the bytes of a fuzzer.

use std::fmt::Debug;
use std::time::Duration;

/// How many seeds a test runs: `usual`, or, in a longer run, as many times more as the environment
/// variable `PEERLINE_SEEDS` is times 2,048.
pub fn seeds(usual: u64) -> std::ops::Range<u64> {
    let asked = std::env::var("PEERLINE_SEEDS").ok().and_then(|text| text.parse::<u64>().ok());
    0..usual.saturating_mul(asked.unwrap_or(2_048).max(2_048)) / 2_048
}

/// Where numbers come from: a seed, or the bytes that a fuzzer chooses.
pub trait Source: Debug + Send {
    /// The next number.
    fn number(&mut self) -> u64;
}

/// A small generator (SplitMix64): quick, seedable, and the same everywhere.
#[derive(Clone, Debug)]
struct Seed(u64);

impl Source for Seed {
    fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }
}

/// Bytes that somebody chose, two for each number, so that small changes have small effects; when
/// they are used up, a seed made of their count goes on.
#[derive(Clone, Debug)]
struct Bytes {
    bytes: Vec<u8>,
    at: usize,
    rest: Seed,
}

impl Source for Bytes {
    fn number(&mut self) -> u64 {
        let Some(pair) = self.bytes.get(self.at..self.at + 2) else { return self.rest.number() };
        self.at += 2;
        // The high bits decide: callers scale the number down. The low ones differ always, so that
        // no two nodes have one seed.
        u64::from(u16::from_be_bytes([pair[0], pair[1]])) << 48 | self.rest.number() >> 16
    }
}

/// Chances, drawn from a source.
#[derive(Debug)]
pub struct Entropy(Box<dyn Source>);

impl Entropy {
    /// Chances of this seed.
    pub fn new(seed: u64) -> Self {
        Self(Box::new(Seed(seed)))
    }

    /// Chances that these bytes decide, as far as they go.
    pub fn from_bytes(bytes: &[u8]) -> Self {
        let rest = Seed(bytes.len() as u64);
        Self(Box::new(Bytes { bytes: bytes.to_vec(), at: 0, rest }))
    }

    /// Chances of a source of one's own.
    pub fn from_source(source: impl Source + 'static) -> Self {
        Self(Box::new(source))
    }

    /// The next number.
    pub fn number(&mut self) -> u64 {
        self.0.number()
    }

    /// A number below `bound`; zero if `bound` is.
    pub fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.number()) * u128::from(bound)) >> 64) as u64
    }

    /// A number from `low` to `high`.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high.saturating_sub(low).saturating_add(1))
    }

    /// A duration of whole milliseconds between the two.
    pub fn millis(&mut self, low: u64, high: u64) -> Duration {
        Duration::from_millis(self.between(low, high))
    }

    /// True in `per_cent` of a hundred cases.
    pub fn chance(&mut self, per_cent: u64) -> bool {
        self.below(100) < per_cent
    }

    /// 32 bytes, for a node's seed.
    pub fn seed(&mut self) -> [u8; 32] {
        let mut seed = [0; 32];
        for part in seed.chunks_exact_mut(8) {
            part.copy_from_slice(&self.number().to_le_bytes());
        }
        seed
    }
}
