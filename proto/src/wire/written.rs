//! Reads a broadcast, an announcement, or a line for one node, that lies there just as nodes write
//! it: the keys of the table in its order, no blanks, no escapes outside the body, and nothing
//! else.
//!
//! In a busy network nearly every line is such. Then no key has to be found, named or remembered:
//! what stands between the values is compared in one piece. A line that differs in anything is no
//! fault here; [`native`](super::native) reads it, in whatever order it comes. That both understand
//! the same by the same line is tested there.
#![deny(clippy::arithmetic_side_effects)]

use alloc::borrow::Cow;

use crate::limits::MAX_DEPTH;
use crate::wire::json::{Scan, Span, Wrong};
use crate::wire::lists;
use crate::wire::msg::{Broadcast, Direct, Msg, ReplyLine, RequestLine};

/// The message in this text; `None` if it is none that is read here, or differs in anything.
pub(super) fn message(text: &str) -> Option<Msg<'_>> {
    let mut line = Reader::at(text, 0);
    line.skip("{\"msgtype\":\"")?;
    let msg = match line.byte() {
        b'b' => Msg::Broadcast(line.broadcast()?),
        b'i' => Msg::Ihave { have: line.have()? },
        b'm' => Msg::Message(line.direct()?),
        b'r' if line.skip_if("request\"") => Msg::Request(line.request()?),
        b'r' => Msg::Reply(line.reply()?),
        _ => return None,
    };
    line.skip("}")?;
    (line.at == text.len()).then_some(msg)
}

/// Each reads what stands in a line but for its beginning and its end.
impl<'a> Reader<'a> {
    fn broadcast(&mut self) -> Option<Broadcast<'a>> {
        self.at = 0;
        let (originator, epoch) = self.stream()?;
        let seq = self.integer()?;
        let (time, kind) = self.time_and_kind()?;
        let (originator, msg) = (Cow::Borrowed(originator), self.value()?);
        Some(Broadcast { originator, epoch, seq, time, kind, msg })
    }

    /// What is announced. Blanks and escapes in it change nothing.
    fn have(&mut self) -> Option<Span<'a>> {
        self.skip("ihave\",\"have\":")?;
        let have = lists::announced_at(self.scan, self.at)?;
        self.at = self.at.wrapping_add(have.text.len());
        have.text.ends_with(']').then_some(have)
    }

    fn direct(&mut self) -> Option<Direct<'a>> {
        self.skip("message\"")?;
        let (direct, deadline) = self.routed()?;
        deadline.is_none().then_some(direct)
    }

    fn request(&mut self) -> Option<RequestLine<'a>> {
        let (direct, deadline) = self.routed()?;
        Some(RequestLine { direct, deadline: deadline? })
    }

    fn reply(&mut self) -> Option<ReplyLine<'a>> {
        self.skip("reply\",\"re\":")?;
        let re = Cow::Borrowed(self.plain()?);
        self.skip(",\"n\":")?;
        let n = self.integer()?;
        let (from, to) = self.ends()?;
        let kind = self.kind()?;
        let last = self.skip_if(",\"last\":true");
        Some(ReplyLine { re, n, from, to, kind, msg: self.msg()?, last })
    }

    /// A line for one node; with its deadline, if there is one.
    #[inline]
    fn routed(&mut self) -> Option<(Direct<'a>, Option<Span<'a>>)> {
        self.skip(",\"id\":")?;
        let id = Cow::Borrowed(self.plain()?);
        let (from, to) = self.ends()?;
        let kind = self.kind()?;
        self.skip(",\"time\":")?;
        let time = self.integer()?;
        self.skip(",\"ttl\":")?;
        let ttl = self.number()?;
        let is_request = self.skip_if(",\"deadline\":");
        let deadline = if is_request { Some(self.number()?) } else { None };
        let attempt = if self.skip_if(",\"try\":") { self.integer()? } else { 0 };
        let msg = self.msg()?;
        Some((Direct { id, from, to, time, ttl, attempt, kind, msg }, deadline))
    }

    #[inline]
    fn ends(&mut self) -> Option<(Cow<'a, str>, Cow<'a, str>)> {
        self.skip(",\"from\":")?;
        let from = self.plain()?;
        self.skip(",\"to\":")?;
        Some((Cow::Borrowed(from), Cow::Borrowed(self.plain()?)))
    }

    #[inline]
    fn kind(&mut self) -> Option<Span<'a>> {
        self.skip(",\"kind\":")?;
        self.value().filter(Span::is_plain)
    }

    #[inline]
    fn msg(&mut self) -> Option<Span<'a>> {
        self.skip(",\"msg\":")?;
        self.value()
    }

    /// An integer, and where it stands.
    #[inline]
    fn number(&mut self) -> Option<Span<'a>> {
        self.value().filter(|value| value.as_integer().is_some())
    }
}

/// A text, and how much of it is read.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    scan: Scan<'a>,
    pub(super) at: usize,
}

impl<'a> Reader<'a> {
    #[inline]
    pub(super) fn at(text: &'a str, at: usize) -> Self {
        Self { scan: Scan::of(text), at }
    }

    /// All before the number: the originator and the epoch in it.
    #[inline]
    pub(super) fn stream(&mut self) -> Option<(&'a str, u64)> {
        self.skip("{\"msgtype\":\"broadcast\"")?;
        self.skip(",\"originator\":")?;
        let originator = self.plain()?;
        self.skip(",\"epoch\":")?;
        let epoch = self.integer()?;
        self.skip(",\"seq\":")?;
        Some((originator, epoch))
    }

    /// All between the number and the body: the time and the kind in it.
    #[inline]
    pub(super) fn time_and_kind(&mut self) -> Option<(u64, Span<'a>)> {
        self.skip(",\"time\":")?;
        let time = self.integer()?;
        self.skip(",\"kind\":")?;
        let kind = self.value().filter(Span::is_plain)?;
        self.skip(",\"msg\":")?;
        Some((time, kind))
    }

    /// What was read since then.
    pub(super) fn since(&self, from: usize) -> &'a str {
        self.scan.text(from, self.at)
    }

    /// Whether this byte comes next.
    #[inline]
    pub(super) fn is_at(&self, byte: u8) -> bool {
        self.byte() == byte
    }

    /// Whether just these bytes come next.
    #[inline]
    fn is_next(&self, expected: &str) -> bool {
        let end = self.at.wrapping_add(expected.len());
        self.scan.between(self.at, end) == expected.as_bytes()
    }

    #[inline]
    fn byte(&self) -> u8 {
        self.scan.byte(self.at)
    }

    /// Steps over just these bytes if they come next.
    #[inline]
    fn skip_if(&mut self, expected: &str) -> bool {
        let is_next = self.is_next(expected);
        if is_next {
            self.at = self.at.wrapping_add(expected.len());
        }
        is_next
    }

    /// Steps over just these bytes, if there are any. If it is false, the place means nothing.
    #[inline]
    pub(super) fn skips_all(&mut self, expected: &str) -> bool {
        !expected.is_empty() && self.skip(expected).is_some()
    }

    /// Steps over just these bytes.
    #[inline]
    pub(super) fn skip(&mut self, expected: &str) -> Option<()> {
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
    pub(super) fn integer(&mut self) -> Option<u64> {
        let (end, number) = self.scan.integer(self.at)?;
        self.at = end;
        Some(number)
    }

    #[inline(always)] // called so often in one function that the compiler would not
    pub(super) fn value(&mut self) -> Option<Span<'a>> {
        let value = self.scan.span(self.at, MAX_DEPTH - 1).ok()?;
        self.at = self.at.wrapping_add(value.text.len());
        Some(value)
    }
}
