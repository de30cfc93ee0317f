//! The one source of randomness: a ChaCha8 keystream under the seed given to the node.
//!
//! Same seed, same numbers, on every platform. A stream cipher and not a small generator, because
//! peers see some of our numbers (nonces, epochs) and must not learn the next ones from them.

use core::time::Duration;

/// A seeded generator.
#[derive(Clone)]
#[cfg_attr(feature = "testing", derive(Hash))]
pub(crate) struct Rng {
    key: [u32; 8],
    counter: u64,
    /// The unused words of the last block, taken from the end.
    block: [u32; 16],
    left: usize,
}

impl Rng {
    pub(crate) fn new(seed: [u8; 32]) -> Self {
        let mut key = [0; 8];
        for (word, bytes) in key.iter_mut().zip(seed.chunks_exact(4)) {
            *word = bytes.iter().rev().fold(0, |word, byte| (word << 8) | u32::from(*byte));
        }
        Self { key, counter: 0, block: [0; 16], left: 0 }
    }

    pub(crate) fn u32(&mut self) -> u32 {
        if self.left == 0 {
            self.block = chacha::<8>(&self.key, self.counter);
            self.counter = self.counter.wrapping_add(1);
            self.left = self.block.len();
        }
        self.left = self.left.saturating_sub(1);
        self.block.get(self.left).copied().unwrap_or_default()
    }

    pub(crate) fn u64(&mut self) -> u64 {
        (u64::from(self.u32()) << 32) | u64::from(self.u32())
    }

    /// A number below `bound`; zero if `bound` is. The bias of at most `bound / 2^64` is of no
    /// consequence for choosing peers and delays.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        let wide = u128::from(self.u64()) * u128::from(bound);
        (wide >> 64) as u64
    }

    /// A number that any JSON reader keeps exactly: below 2^53.
    pub(crate) fn json_integer(&mut self) -> u64 {
        self.u64() >> 11
    }

    /// `duration` ± `percent` per cent.
    pub(crate) fn jitter(&mut self, duration: Duration, percent: u32) -> Duration {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        let spread = nanos / 100 * u64::from(percent.min(100));
        let low = nanos.saturating_sub(spread);
        Duration::from_nanos(low.saturating_add(self.below(spread.saturating_mul(2))))
    }
}

impl core::fmt::Debug for Rng {
    /// Never the key: who reads a log must not learn the next nonce.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Rng").field("counter", &self.counter).finish_non_exhaustive()
    }
}

/// One ChaCha block of `ROUNDS` rounds with a 64-bit counter and a zero nonce.
fn chacha<const ROUNDS: usize>(key: &[u32; 8], counter: u64) -> [u32; 16] {
    let [k0, k1, k2, k3, k4, k5, k6, k7] = *key;
    let (low, high) = (counter as u32, (counter >> 32) as u32);
    let start = [
        0x6170_7865,
        0x3320_646e,
        0x7962_2d32,
        0x6b20_6574, // "expand 32-byte k"
        k0,
        k1,
        k2,
        k3,
        k4,
        k5,
        k6,
        k7,
        low,
        high,
        0,
        0,
    ];
    let mut x = start;
    for _ in 0..ROUNDS / 2 {
        x = double_round(x);
    }
    for (word, first) in x.iter_mut().zip(start) {
        *word = word.wrapping_add(first);
    }
    x
}

/// A column round and a diagonal round.
fn double_round(x: [u32; 16]) -> [u32; 16] {
    let [a0, a1, a2, a3, b0, b1, b2, b3, c0, c1, c2, c3, d0, d1, d2, d3] = x;
    let (a0, b0, c0, d0) = quarter(a0, b0, c0, d0);
    let (a1, b1, c1, d1) = quarter(a1, b1, c1, d1);
    let (a2, b2, c2, d2) = quarter(a2, b2, c2, d2);
    let (a3, b3, c3, d3) = quarter(a3, b3, c3, d3);
    let (a0, b1, c2, d3) = quarter(a0, b1, c2, d3);
    let (a1, b2, c3, d0) = quarter(a1, b2, c3, d0);
    let (a2, b3, c0, d1) = quarter(a2, b3, c0, d1);
    let (a3, b0, c1, d2) = quarter(a3, b0, c1, d2);
    [a0, a1, a2, a3, b0, b1, b2, b3, c0, c1, c2, c3, d0, d1, d2, d3]
}

fn quarter(mut a: u32, mut b: u32, mut c: u32, mut d: u32) -> (u32, u32, u32, u32) {
    a = a.wrapping_add(b);
    d = (d ^ a).rotate_left(16);
    c = c.wrapping_add(d);
    b = (b ^ c).rotate_left(12);
    a = a.wrapping_add(b);
    d = (d ^ a).rotate_left(8);
    c = c.wrapping_add(d);
    b = (b ^ c).rotate_left(7);
    (a, b, c, d)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn twenty_rounds_give_the_published_block() {
        // The all-zero key, counter and nonce (RFC 8439, A.1, test vector 1).
        let block = chacha::<20>(&[0; 8], 0);
        assert_eq!(block[..4], [0xade0_b876, 0x903d_f1a0, 0xe56a_5d40, 0x28bd_8653]);
    }

    #[test]
    fn the_same_seed_gives_the_same_numbers() {
        let (mut a, mut b) = (Rng::new([7; 32]), Rng::new([7; 32]));
        assert!((0..100).all(|_| a.u64() == b.u64()));
        assert_ne!(Rng::new([8; 32]).u64(), Rng::new([7; 32]).u64());
    }

    #[test]
    fn below_stays_below_and_jitter_within_its_share() {
        let mut rng = Rng::new([1; 32]);
        for bound in [0, 1, 2, 10, u64::MAX] {
            assert!((0..100).all(|_| rng.below(bound) < bound.max(1)));
        }
        for _ in 0..100 {
            let delay = rng.jitter(Duration::from_secs(10), 50);
            assert!(delay >= Duration::from_secs(5) && delay < Duration::from_secs(15));
        }
        assert!(rng.jitter(Duration::MAX, 50) > Duration::ZERO);
        assert!((0..100).all(|_| rng.json_integer() < 1 << 53));
    }
}
