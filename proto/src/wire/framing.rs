//! Cuts a stream of bytes into lines.
//!
//! Whole lines are handed out where they lie; only an unfinished one is copied, and no byte is
//! searched twice for its end. The limit is checked before anything is kept, so a peer can make us
//! hold one line of the length we offered, and nothing while the stream rests between lines.
#![deny(clippy::arithmetic_side_effects)]

use alloc::borrow::Cow;
use alloc::vec::Vec;

use crate::error::Violation;

/// The state between two pieces of a stream.
#[derive(Clone, Debug, Default)]
#[cfg_attr(feature = "testing", derive(Hash))]
pub(crate) struct Framer {
    /// The start of an unfinished line or object. A line's holds no line end. No allocation while
    /// empty.
    tail: Vec<u8>,
}

impl Framer {
    /// Takes the next whole line, line end included, off the front of `input`. `None` when what is
    /// left is not a whole line; it has been kept then, and `input` is empty.
    ///
    /// # Errors
    /// [`Violation::LineTooLong`] when the line, without its end, is longer than `limit`.
    pub(crate) fn next<'i>(
        &mut self,
        input: &mut &'i [u8],
        limit: usize,
    ) -> Result<Option<Cow<'i, [u8]>>, Violation> {
        let end = memchr::memchr(b'\n', input);
        let content = end.unwrap_or(input.len());
        let len = self.tail.len().saturating_add(content);
        if len > limit {
            return Err(Violation::LineTooLong { len, limit });
        }
        let Some(end) = end else {
            self.keep(input, limit);
            *input = &[];
            return Ok(None);
        };
        let (line, rest) = input.split_at_checked(end.saturating_add(1)).unwrap_or((input, &[]));
        *input = rest;
        if self.tail.is_empty() {
            return Ok(Some(Cow::Borrowed(line)));
        }
        self.keep(line, limit);
        Ok(Some(Cow::Owned(core::mem::take(&mut self.tail))))
    }

    /// Keeps all of `input`, which has no end that anybody knows yet.
    ///
    /// # Errors
    /// [`Violation::LineTooLong`] when more than `limit` bytes would be held.
    pub(crate) fn hold(&mut self, input: &mut &[u8], limit: usize) -> Result<(), Violation> {
        let len = self.tail.len().saturating_add(input.len());
        if len > limit {
            return Err(Violation::LineTooLong { len, limit });
        }
        self.keep(input, limit);
        *input = &[];
        Ok(())
    }

    /// What is held, and nothing of it from here on.
    pub(crate) fn take(&mut self) -> Vec<u8> {
        core::mem::take(&mut self.tail)
    }

    /// Bytes of the unfinished line.
    pub(crate) fn pending(&self) -> usize {
        self.tail.len()
    }

    /// Bytes held on to: grows by doubling, so that single bytes are cheap, but never past the
    /// limit and a line end.
    #[cfg(test)]
    fn capacity(&self) -> usize {
        self.tail.capacity()
    }

    fn keep(&mut self, bytes: &[u8], limit: usize) {
        let needed = self.tail.len().saturating_add(bytes.len());
        if needed > self.tail.capacity() {
            let doubled = self.tail.capacity().saturating_mul(2).min(limit.saturating_add(1));
            let target = needed.max(doubled);
            self.tail.reserve_exact(target.saturating_sub(self.tail.len()));
        }
        self.tail.extend_from_slice(bytes);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::arithmetic_side_effects, clippy::unwrap_used)]
    use super::*;
    use alloc::vec;

    /// Feeds the pieces and collects the lines, up to a violation.
    fn lines<'a>(
        pieces: impl IntoIterator<Item = &'a [u8]>,
        limit: usize,
    ) -> (Vec<Vec<u8>>, Option<Violation>, Framer) {
        let mut framer = Framer::default();
        let mut lines = vec![];
        for piece in pieces {
            let mut rest = piece;
            loop {
                match framer.next(&mut rest, limit) {
                    Ok(Some(line)) => lines.push(line.into_owned()),
                    Ok(None) => break,
                    Err(violation) => return (lines, Some(violation), framer),
                }
            }
        }
        (lines, None, framer)
    }

    #[test]
    fn every_cut_gives_the_same_lines() {
        let stream = b"one\n\ntwo\r\nthree";
        let whole = lines([&stream[..]], 5);
        assert_eq!(whole.0, [&b"one\n"[..], b"\n", b"two\r\n"]);
        for cut in 0..=stream.len() {
            let (a, b) = stream.split_at(cut);
            let (cut_lines, violation, framer) = lines([a, b], 5);
            assert_eq!((cut_lines, violation, framer.pending()), (whole.0.clone(), None, 5));
        }
        let bytes = lines(stream.chunks(1), 5);
        assert_eq!((bytes.0, bytes.2.pending()), (whole.0, 5));
    }

    #[test]
    fn a_line_of_the_limit_passes_and_one_byte_more_does_not() {
        for chunk in [1, 2, 3, 100] {
            assert_eq!(lines(b"12345\n".chunks(chunk), 5).1, None);
            let too_long = lines(b"123456\n".chunks(chunk), 5).1;
            assert_eq!(too_long, Some(Violation::LineTooLong { len: 6, limit: 5 }), "{chunk}");
        }
        let all = lines([&b"1234567890"[..]], 5).1;
        assert_eq!(all, Some(Violation::LineTooLong { len: 10, limit: 5 }));
    }

    #[test]
    fn nothing_is_held_between_lines_and_never_more_than_a_line() {
        let mut framer = Framer::default();
        for _ in 0..1000 {
            assert_eq!(framer.next(&mut &b"x"[..], 1000), Ok(None));
            assert!(framer.capacity() <= 1001);
        }
        assert_eq!(framer.next(&mut &b"\n"[..], 1000).map(|line| line.unwrap().len()), Ok(1001));
        assert_eq!(framer.capacity(), 0);
    }
}
