//! Where a run's chances come from: one `u64`.

use std::time::Duration;

/// How many seeds a test runs: `usual`, or, in a longer run, as many times more as the environment
/// variable `PEERLINE_SEEDS` is times 2,048.
pub fn seeds(usual: u64) -> std::ops::Range<u64> {
    let asked = std::env::var("PEERLINE_SEEDS").ok().and_then(|text| text.parse::<u64>().ok());
    0..usual.saturating_mul(asked.unwrap_or(2_048).max(2_048)) / 2_048
}

/// A small generator (SplitMix64): quick, seedable, and the same everywhere.
#[derive(Clone, Debug)]
pub struct Entropy(u64);

impl Entropy {
    /// The generator of this seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }

    /// A number below `bound`; zero if `bound` is.
    pub fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(bound)) >> 64) as u64
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
            part.copy_from_slice(&self.next().to_le_bytes());
        }
        seed
    }
}
