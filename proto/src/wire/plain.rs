//! Finds where a string stops standing for itself: at a quote, a backslash or a control character.
//!
//! Knows nothing of strings beyond that. Short ones are searched eight bytes at a time in one word,
//! long ones with `memchr` and one more pass.

/// The first place from `at` on of a byte that does not stand for itself in a string, or the end.
/// Most strings end, or are interrupted, within eight bytes.
#[inline]
pub(super) fn plain(bytes: &[u8], at: usize) -> usize {
    let rest = bytes.get(at..).unwrap_or_default();
    let Some(word) = rest.first_chunk::<8>() else { return plain_far(bytes, at) };
    match specials(u64::from_le_bytes(*word)) {
        0 => plain_near(bytes, at.wrapping_add(8)),
        special => at.wrapping_add(special.trailing_zeros() as usize / 8),
    }
}

/// How far a string is searched eight bytes at a time: longer than words and ids are. A wider
/// search takes over where they do not end, which costs more to begin.
const NEAR: usize = 64;

/// What [`plain`] says where that is not plain at once.
#[inline(never)]
fn plain_near(bytes: &[u8], mut at: usize) -> usize {
    let rest = bytes.get(at..).unwrap_or_default();
    for word in rest.get(..NEAR).unwrap_or(rest).chunks_exact(8) {
        let special = specials(word.try_into().map_or(0, u64::from_le_bytes));
        if special != 0 {
            return at.wrapping_add(special.trailing_zeros() as usize / 8);
        }
        at = at.wrapping_add(8);
    }
    plain_far(bytes, at)
}

/// The same for a long search and for the last few bytes.
#[inline(never)]
fn plain_far(bytes: &[u8], at: usize) -> usize {
    let rest = bytes.get(at..).unwrap_or_default();
    let end = memchr::memchr2(b'"', b'\\', rest).unwrap_or(rest.len());
    let control = first_control(rest.get(..end).unwrap_or_default());
    at.wrapping_add(control.unwrap_or(end))
}

/// The high bit of each byte that is a quote, a backslash or a control character. Bits above the
/// lowest one may be wrong: a borrow reaches up from a byte that was found.
#[inline]
fn specials(word: u64) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let quotes = (word ^ (ONES * b'"' as u64)).wrapping_sub(ONES);
    let backslashes = (word ^ (ONES * b'\\' as u64)).wrapping_sub(ONES);
    let controls = word.wrapping_sub(ONES * 0x20);
    (quotes | backslashes | controls) & !word & (ONES << 7)
}

/// The first control character. The least byte is found without a branch for each, and what is left
/// of a long text behind the last whole block is looked at with the bytes before it.
fn first_control(bytes: &[u8]) -> Option<usize> {
    let least = |bytes: &[u8]| bytes.iter().fold(u8::MAX, |least, byte| least.min(*byte));
    let blocks = bytes.get(..bytes.len() / BLOCK * BLOCK).unwrap_or_default();
    let last = bytes.last_chunk::<BLOCK>().map_or(bytes, <[u8; BLOCK]>::as_slice);
    if least(blocks).min(least(last)) >= 0x20 {
        return None;
    }
    bytes.iter().position(|byte| *byte < 0x20)
}

/// Bytes that a round of the search looks at.
const BLOCK: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    #[test]
    fn the_first_byte_that_does_not_stand_for_itself_is_found() {
        let places = [(1, 0), (7, 6), (8, 3), (16, 9), (80, 70), (300, 130), (301, 300)];
        for (byte, (len, at)) in (0..=u8::MAX).flat_map(|byte| places.map(|place| (byte, place))) {
            let special = matches!(byte, b'"' | b'\\' | 0..=0x1f);
            let expected = if special { at } else { len };
            // Behind it lie others, which must not matter.
            let mut bytes = vec![b'x'; len];
            bytes.iter_mut().skip(at).for_each(|place| *place = byte);
            assert_eq!(plain(&bytes, 0), expected, "{byte} at {at} of {len}");
            assert_eq!(plain(&bytes, at), expected, "{byte} from {at} of {len}");
        }
        assert_eq!((plain(b"", 0), plain(b"ab", 2), plain(b"ab", 9)), (0, 2, 9));
    }

    #[test]
    fn a_byte_that_was_found_does_not_hide_an_earlier_one() {
        for (first, second) in [(b'!', b'"'), (b'#', b'"'), (b'[', b'\\'), (b' ', 0x1f), (0x80, 0)]
        {
            for at in 1..8 {
                let mut word = [first; 8];
                word.iter_mut().skip(at).for_each(|place| *place = second);
                assert_eq!(plain(&word, 0), at, "{first} and {second}");
            }
        }
    }
}
