//! Base64 with the standard alphabet and padding: how binary bodies travel in JSON.
//!
//! Reading is strict: every text that is taken is the one that writing gives.
#![deny(clippy::arithmetic_side_effects)]

use alloc::string::String;
use alloc::vec::Vec;

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// The text of these bytes.
pub fn encode(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3).saturating_mul(4));
    for group in bytes.chunks(3) {
        let (a, b, c) = (part(group, 0), part(group, 1), part(group, 2));
        let bits = a << 16 | b << 8 | c;
        text.push(letter(bits >> 18));
        text.push(letter(bits >> 12));
        text.push(if group.len() > 1 { letter(bits >> 6) } else { '=' });
        text.push(if group.len() > 2 { letter(bits) } else { '=' });
    }
    text
}

/// The bytes, or `None` if the text is not what [`encode`] makes of any.
pub fn decode(text: &str) -> Option<Vec<u8>> {
    let (groups, rest) = (text.as_bytes().chunks_exact(4), text.len() % 4);
    if rest != 0 {
        return None;
    }
    let mut bytes = Vec::with_capacity((text.len() / 4).saturating_mul(3));
    let mut ended = false;
    for group in groups {
        if ended {
            return None;
        }
        let letters = group.iter().rposition(|letter| *letter != b'=')?.saturating_add(1);
        ended = letters < 4;
        let known = group.get(..letters)?.iter().try_fold(0, |bits: u32, letter| {
            let value = value(*letter)?;
            Some(bits << 6 | value)
        })?;
        let bits = known.checked_shl(6_u32.saturating_mul(4_u32.saturating_sub(letters as u32)))?;
        let [_, a, b, c] = bits.to_be_bytes();
        match letters {
            2 if (b, c) == (0, 0) => bytes.push(a),
            3 if c == 0 => bytes.extend([a, b]),
            4 => bytes.extend([a, b, c]),
            _ => return None,
        }
    }
    Some(bytes)
}

/// A byte of a group; 0 past its end.
fn part(group: &[u8], index: usize) -> u32 {
    group.get(index).copied().map_or(0, u32::from)
}

/// The letter of the lowest six bits.
fn letter(bits: u32) -> char {
    ALPHABET.get((bits & 63) as usize).copied().map_or('=', char::from)
}

fn value(letter: u8) -> Option<u32> {
    let within = |first: u8, base: u32| u32::from(letter.wrapping_sub(first)).saturating_add(base);
    match letter {
        b'A'..=b'Z' => Some(within(b'A', 0)),
        b'a'..=b'z' => Some(within(b'a', 26)),
        b'0'..=b'9' => Some(within(b'0', 52)),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::indexing_slicing)]
    use super::*;
    use crate::rng::Rng;

    #[test]
    fn the_published_vectors_are_met() {
        // RFC 4648, section 10.
        for (bytes, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(encode(bytes.as_bytes()), text);
            assert_eq!(decode(text).as_deref(), Some(bytes.as_bytes()));
        }
        assert_eq!(encode(&[0xfb, 0xff, 0xfe]), "+//+");
    }

    #[test]
    fn whatever_is_written_is_read_back() {
        let mut rng = Rng::new([3; 32]);
        for len in 0..200 {
            let bytes: Vec<u8> = (0..len).map(|_| rng.u32() as u8).collect();
            assert_eq!(decode(&encode(&bytes)), Some(bytes));
        }
    }

    #[test]
    fn nothing_else_is_read() {
        for text in [
            "Z",
            "Zg",
            "Zg=",
            "Zh==",
            "Zm9=",
            "Zg==Zg==",
            "=",
            "====",
            "Z===",
            "Zg=g",
            "=Zg=",
            "Zm9v\n",
            " Zm9v",
            "Zm-v",
            "Zm_v",
            "Zm9vZ",
            "Zm\u{f6}v",
            "Z\u{20ac}",
        ] {
            assert_eq!(decode(text), None, "{text}");
        }
        let mut rng = Rng::new([4; 32]);
        for _ in 0..20_000 {
            let len = rng.below(9);
            let letters = b"AQgZw059+/=-";
            let pick = |_| char::from(letters[rng.below(letters.len() as u64) as usize]);
            let text: String = (0..len).map(pick).collect();
            if let Some(bytes) = decode(&text) {
                assert_eq!(encode(&bytes), text);
            }
        }
    }
}
