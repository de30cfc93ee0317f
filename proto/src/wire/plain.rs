//! Finds where a string stops standing for itself: at a quote, a backslash or a control character.
//!
//! Knows nothing of strings beyond that. The first bytes are searched in blocks or eight at a time
//! in one word; what is longer by `memchr`, and then looked through for control characters.

/// The first place from `at` on of a byte that does not stand for itself in a string, or the end.
/// Most strings end, or are interrupted, within eight bytes.
#[inline]
pub(super) fn plain(bytes: &[u8], at: usize) -> usize {
    let rest = bytes.get(at..).unwrap_or_default();
    let Some(word) = rest.first_chunk::<8>() else { return plain_near(bytes, at) };
    match specials(u64::from_le_bytes(*word)) {
        0 => plain_near(bytes, at.wrapping_add(8)),
        special => at.wrapping_add(special.trailing_zeros() as usize / 8),
    }
}

/// What [`plain`] says where that is not plain at once.
#[inline(never)]
fn plain_near(bytes: &[u8], mut at: usize) -> usize {
    let mut rest = bytes.get(at..).unwrap_or_default();
    if let Some((_, behind)) = rest.split_first_chunk::<64>().filter(|(b, _)| all_plain(b)) {
        return plain_far(behind, at.wrapping_add(64));
    }
    if let Some((_, behind)) = rest.split_first_chunk::<32>().filter(|(b, _)| all_plain(b)) {
        (rest, at) = (behind, at.wrapping_add(32));
    }
    while let Some((word, behind)) = rest.split_first_chunk::<8>() {
        let special = specials(u64::from_le_bytes(*word));
        if special != 0 {
            return at.wrapping_add(special.trailing_zeros() as usize / 8);
        }
        (rest, at) = (behind, at.wrapping_add(8));
    }
    at.wrapping_add(rest.iter().position(is_special).unwrap_or(rest.len()))
}

/// The same for the rest of a long string, which begins at this place. Two searches for one thing
/// each are faster than one for both.
fn plain_far(rest: &[u8], at: usize) -> usize {
    let end = memchr::memchr2(b'"', b'\\', rest).unwrap_or(rest.len());
    let before = rest.get(..end).unwrap_or_default();
    let has_control = least(before) < b' ';
    let end = if has_control { before.iter().position(is_special).unwrap_or(end) } else { end };
    at.wrapping_add(end)
}

/// The least of these bytes. Each of a few lanes has its own, so that no step waits for another;
/// the last bytes may be looked at twice.
fn least(bytes: &[u8]) -> u8 {
    let least = |bytes: &[u8]| bytes.iter().fold(u8::MAX, |least, byte| least.min(*byte));
    let Some(mut lanes) = bytes.last_chunk::<64>().copied() else { return least(bytes) };
    for block in bytes.chunks_exact(lanes.len()) {
        lanes.iter_mut().zip(block).for_each(|(least, byte)| *least = (*least).min(*byte));
    }
    least(&lanes)
}

fn is_special(byte: &u8) -> bool {
    matches!(byte, b'"' | b'\\' | 0..0x20)
}

/// Whether all of these bytes stand for themselves. Without a branch for each, so that the compiler
/// looks at many of them at a time.
#[inline(always)] // a call would cost as much as a short block
fn all_plain<const N: usize>(block: &[u8; N]) -> bool {
    // With one bit turned a quote lies next to the control characters, and a blank lies above it.
    let is_special = |byte: u8| u8::from((byte ^ 2) <= 0x20) | u8::from(byte == b'\\');
    block.iter().fold(0, |found, byte| found | is_special(*byte)) == 0
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
    fn in_a_long_string_the_first_of_two_counts() {
        for (first, second) in [(0, b'"'), (b'"', 0x1f), (b'\\', b'"'), (b'\n', b'\\')] {
            for at in [0, 7, 63, 64, 65, 127, 128, 191, 200] {
                let mut bytes = vec![b'x'; 300];
                bytes.iter_mut().skip(at + 90).for_each(|place| *place = second);
                bytes.iter_mut().skip(at).take(1).for_each(|place| *place = first);
                assert_eq!(plain(&bytes, 0), at, "{first} and {second}");
            }
        }
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
