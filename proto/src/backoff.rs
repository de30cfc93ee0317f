//! How long to wait before an address is dialled again.
#![deny(clippy::arithmetic_side_effects)]

use core::time::Duration;

use crate::rng::Rng;

/// The spread of a delay, per cent to either side: enough to part nodes that failed together.
const JITTER: u32 = 50;

/// `base × 2^failures` ± 50 %, at most `max`.
pub(crate) fn delay(failures: u32, base: Duration, max: Duration, rng: &mut Rng) -> Duration {
    let factor = 1_u32.checked_shl(failures).unwrap_or(u32::MAX);
    rng.jitter(base.saturating_mul(factor).min(max), JITTER).min(max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_the_most() {
        let mut rng = Rng::new([1; 32]);
        let (base, max) = (Duration::from_secs(2), Duration::from_secs(3600));
        for (failures, middle) in [(0, 2), (1, 4), (5, 64), (10, 2048)] {
            for _ in 0..50 {
                let delay = delay(failures, base, max, &mut rng).as_secs_f64() / f64::from(middle);
                assert!((0.5..1.5).contains(&delay), "{failures} {delay}");
            }
        }
        for failures in [12, 31, 32, u32::MAX] {
            let delay = delay(failures, base, max, &mut rng);
            assert!(delay <= max && delay >= max / 2, "{failures} {delay:?}");
        }
    }
}
