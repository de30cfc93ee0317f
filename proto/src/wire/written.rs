//! Reads a broadcast that lies there just as nodes write it: the keys of the table in its order, no
//! blanks, no escapes outside the body, and nothing else.
//!
//! In a busy network nearly every line is such. Then no key has to be found, named or remembered:
//! what stands between the values is compared in one piece. A line that differs in anything is no
//! fault here; [`native`](super::native) reads it, in whatever order it comes. That both understand
//! the same by the same line is tested there.
#![deny(clippy::arithmetic_side_effects)]

use alloc::borrow::Cow;

use crate::limits::MAX_DEPTH;
use crate::wire::json::{LARGEST, MOST_DIGITS, Scan, Span, Wrong};
use crate::wire::native::Broadcast;

/// The broadcast in this text; `None` if it is another message, or differs in anything.
pub(super) fn broadcast(text: &str) -> Option<Broadcast<'_>> {
    let mut line = Line { scan: Scan::of(text), at: 0 };
    line.skip("{\"msgtype\":\"broadcast\"")?;
    line.skip(",\"originator\":")?;
    let originator = line.plain()?;
    line.skip(",\"epoch\":")?;
    let epoch = line.integer()?;
    line.skip(",\"seq\":")?;
    let seq = line.integer()?;
    line.skip(",\"time\":")?;
    let time = line.integer()?;
    line.skip(",\"kind\":")?;
    let kind = line.value().filter(Span::is_plain)?;
    line.skip(",\"msg\":")?;
    let msg = line.value()?;
    line.skip("}")?;
    let originator = Cow::Borrowed(originator);
    let whole = line.at == text.len();
    whole.then_some(Broadcast { originator, epoch, seq, time, kind, msg })
}

/// A text, and how much of it is read.
struct Line<'a> {
    scan: Scan<'a>,
    at: usize,
}

impl<'a> Line<'a> {
    /// Steps over just these bytes.
    #[inline]
    fn skip(&mut self, expected: &str) -> Option<()> {
        let end = self.at.wrapping_add(expected.len());
        let found = self.scan.between(self.at, end) == expected.as_bytes();
        self.at = end;
        found.then_some(())
    }

    /// The inside of a string without escapes.
    #[inline]
    fn plain(&mut self) -> Option<&'a str> {
        let (end, escaped) = self.scan.string(self.at, Wrong::NotValue).ok()?;
        let inner = self.scan.text(self.at.wrapping_add(1), end.wrapping_sub(1));
        self.at = end;
        Some(inner).filter(|_| !escaped)
    }

    /// An integer without a leading zero. What follows it shows whether that is all of it.
    #[inline(always)] // called so often in one function that the compiler would not
    fn integer(&mut self) -> Option<u64> {
        let (end, number) = self.scan.digits(self.at).ok()?;
        let len = end.wrapping_sub(self.at);
        let zero = self.scan.between(self.at, end).first() == Some(&b'0');
        self.at = end;
        (len <= MOST_DIGITS && number <= LARGEST && (len == 1 || !zero)).then_some(number)
    }

    #[inline(always)] // called so often in one function that the compiler would not
    fn value(&mut self) -> Option<Span<'a>> {
        let value = self.scan.span(self.at, MAX_DEPTH - 1).ok()?;
        self.at = self.at.wrapping_add(value.text.len());
        Some(value)
    }
}
