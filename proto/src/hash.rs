//! A keyed hash: SipHash-2-4.
//!
//! Who does not know the key cannot choose values that hash alike. Bytes are hashed as they are,
//! numbers as little-endian bytes, so the result is the same on every platform.
#![deny(clippy::arithmetic_side_effects)]

/// A hash being computed.
#[derive(Clone, Debug)]
pub(crate) struct SipHasher {
    state: [u64; 4],
    /// Bytes that do not make a word yet, the first one lowest. Fewer than eight.
    word: u64,
    /// All bytes so far. Only its lowest eight bits matter.
    len: u64,
}

impl SipHasher {
    pub(crate) fn new((k0, k1): (u64, u64)) -> Self {
        let state = [
            k0 ^ 0x736f_6d65_7073_6575, // "somepseudorandomlygeneratedbytes"
            k1 ^ 0x646f_7261_6e64_6f6d,
            k0 ^ 0x6c79_6765_6e65_7261,
            k1 ^ 0x7465_6462_7974_6573,
        ];
        Self { state, word: 0, len: 0 }
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            let place = (self.len & 7) as u32;
            self.word |= u64::from(*byte).wrapping_shl(place.wrapping_mul(8));
            self.len = self.len.wrapping_add(1);
            if place == 7 {
                self.state = compress(self.state, self.word);
                self.word = 0;
            }
        }
    }

    pub(crate) fn write_u64(&mut self, number: u64) {
        self.write(&number.to_le_bytes());
    }

    /// A text and its length, so that two texts in a row are not taken for two others.
    pub(crate) fn write_text(&mut self, text: &str) {
        self.write_u64(text.len() as u64);
        self.write(text.as_bytes());
    }

    pub(crate) fn finish(&self) -> u64 {
        let [a, b, c, d] = compress(self.state, self.word | self.len.wrapping_shl(56));
        let state = (0..4).fold([a, b, c ^ 0xff, d], |state, _| round(state));
        state.iter().fold(0, |all, word| all ^ word)
    }
}

fn compress([a, b, c, d]: [u64; 4], word: u64) -> [u64; 4] {
    let [a, b, c, d] = round(round([a, b, c, d ^ word]));
    [a ^ word, b, c, d]
}

fn round([mut a, mut b, mut c, mut d]: [u64; 4]) -> [u64; 4] {
    a = a.wrapping_add(b);
    c = c.wrapping_add(d);
    b = b.rotate_left(13) ^ a;
    d = d.rotate_left(16) ^ c;
    a = a.rotate_left(32).wrapping_add(d);
    c = c.wrapping_add(b);
    b = b.rotate_left(17) ^ c;
    d = d.rotate_left(21) ^ a;
    [a, b, c.rotate_left(32), d]
}

#[cfg(test)]
mod tests {
    #![allow(clippy::indexing_slicing)]
    use super::*;
    use core::hash::Hasher as _;

    /// The bytes 0, 1, 2 … as key and as message.
    const KEY: (u64, u64) = (0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908);

    fn hash(key: (u64, u64), bytes: &[u8]) -> u64 {
        let mut hasher = SipHasher::new(key);
        hasher.write(bytes);
        hasher.finish()
    }

    #[test]
    fn the_published_vectors_are_met() {
        let expected: [u64; 16] = [
            0x726f_db47_dd0e_0e31,
            0x74f8_39c5_93dc_67fd,
            0x0d6c_8009_d9a9_4f5a,
            0x8567_6696_d7fb_7e2d,
            0xcf27_94e0_2771_87b7,
            0x1876_5564_cd99_a68d,
            0xcbc9_466e_58fe_e3ce,
            0xab02_00f5_8b01_d137,
            0x93f5_f579_9a93_2462,
            0x9e00_82df_0ba9_e4b0,
            0x7a5d_bbc5_94dd_b9f3,
            0xf4b3_2f46_226b_ada7,
            0x751e_8fbc_860e_e5fb,
            0x14ea_5627_c084_3d90,
            0xf723_ca90_8e7a_f2ee,
            0xa129_ca61_49be_45e5,
        ];
        for (len, expected) in (0..16_u8).zip(expected) {
            let message: alloc::vec::Vec<u8> = (0..len).collect();
            assert_eq!(hash(KEY, &message), expected, "{len} bytes");
        }
    }

    #[test]
    #[allow(deprecated)] // the standard library's own SipHash-2-4, as the judge
    fn the_standard_library_agrees_on_every_length_and_cut() {
        let message: alloc::vec::Vec<u8> = (0..300_u32).map(|n| (n * n % 251) as u8).collect();
        for len in 0..message.len() {
            let message = &message[..len];
            let mut judge = core::hash::SipHasher::new_with_keys(len as u64, u64::MAX);
            judge.write(message);
            assert_eq!(hash((len as u64, u64::MAX), message), judge.finish());
            let mut hasher = SipHasher::new((len as u64, u64::MAX));
            message.chunks(1 + len % 11).for_each(|piece| hasher.write(piece));
            assert_eq!(hasher.finish(), judge.finish());
        }
    }

    #[test]
    fn key_and_lengths_count() {
        assert_ne!(hash((0, 1), b"a"), hash((1, 0), b"a"));
        assert_ne!(hash(KEY, b""), hash(KEY, b"\0"));
        let both = |a, b| {
            let mut hasher = SipHasher::new(KEY);
            hasher.write_text(a);
            hasher.write_text(b);
            hasher.finish()
        };
        assert_ne!(both("a", "bc"), both("ab", "c"));
    }
}
