//! What the application sees of requests: [`Request`], [`Reply`], their names, and how they fail.
//!
//! Values only. A request or reply shares the line it came in, as a message does; one that came in
//! another dialect has texts of its own.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::fmt;
use core::net::SocketAddr;
use core::ops::Range;

use serde::Deserialize;

use crate::error::BodyError;
use crate::id::PeerId;
use crate::message::{Frame, Kind};
use crate::time::{Instant, UnixTime};

/// Names one request of ours, from [`Node::request`](crate::Node::request) to its end.
#[derive(Copy, Clone, Eq, PartialEq, Ord, PartialOrd, Hash)]
pub struct RequestId(u64);

impl RequestId {
    pub(crate) const fn new(number: u64) -> Self {
        Self(number)
    }

    pub(crate) const fn number(self) -> u64 {
        self.0
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "request {}", self.0)
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// Names one request that came in, for [`Node::reply`](crate::Node::reply) and
/// [`Node::refuse`](crate::Node::refuse).
#[derive(Copy, Clone, Eq, PartialEq, Ord, PartialOrd, Hash)]
pub struct ReplyTo(u64);

impl ReplyTo {
    pub(crate) const fn new(number: u64) -> Self {
        Self(number)
    }

    pub(crate) const fn number(self) -> u64 {
        self.0
    }
}

impl fmt::Debug for ReplyTo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "reply to {}", self.0)
    }
}

impl fmt::Display for ReplyTo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// Why somebody on the way, or at its end, does not carry out a request.
#[derive(Copy, Clone, Debug, Eq, PartialEq, Ord, PartialOrd, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum NakCode {
    /// It knows no way to the node.
    #[error("no route")]
    NoRoute,
    /// The deadline passed on the way.
    #[error("expired")]
    Expired,
    /// It has no room.
    #[error("busy")]
    Busy,
    /// The line is too long for the next node.
    #[error("too large")]
    TooLarge,
    /// The application has no handler for the kind.
    #[error("no handler")]
    NoHandler,
    /// The application does not want to.
    #[error("refused")]
    Refused,
    /// A word that this version does not know.
    #[error("a reason unknown here")]
    Other,
}

/// How a request of ours ended without its last reply.
///
/// | variant | whose fault | send it again? |
/// |---|---|---|
/// | `Nak` | see [`NakCode`] | after `Busy` and `NoRoute`, later |
/// | `Timeout` | unclear: it may have been carried out | if twice does no harm |
/// | `Stopping` | nobody's | no |
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
#[cfg_attr(feature = "testing", derive(Hash))]
pub enum RequestFailure {
    /// Somebody said no. If that was we ourselves, for want of a route, `at` is our own id.
    #[error("{code}")]
    Nak {
        /// What it said.
        code: NakCode,
        /// Who says so, by its own word.
        at: Option<PeerId>,
    },
    /// No last reply in time, or not all before it.
    #[error("no answer in time")]
    Timeout,
    /// The node shuts down.
    #[error("the node is shutting down")]
    Stopping,
}

/// A kind and a body: parts of the line they came in, or texts of their own.
#[derive(Clone)]
#[cfg_attr(feature = "testing", derive(Hash))]
pub(crate) enum Words {
    Line { frame: Frame, kind: Kind, body: Range<u32> },
    Own { kind: Arc<str>, body: Arc<str> },
}

impl Words {
    pub(crate) fn kind(&self) -> &str {
        match self {
            Self::Line { frame, kind: Kind::Plain(range), .. } => frame.slice(range),
            Self::Line { kind: Kind::Unescaped(text), .. } => text,
            Self::Own { kind, .. } => kind,
        }
    }

    pub(crate) fn body(&self) -> &str {
        match self {
            Self::Line { frame, body, .. } => frame.slice(body),
            Self::Own { body, .. } => body,
        }
    }

    /// Bytes they hold on to.
    pub(crate) fn size(&self) -> usize {
        match self {
            Self::Line { frame, .. } => frame.len(),
            Self::Own { kind, body } => kind.len().saturating_add(body.len()),
        }
    }
}

impl fmt::Debug for Words {
    /// Sizes, not contents.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Words({} bytes)", self.size())
    }
}

/// A request received: answer it with [`Node::reply`](crate::Node::reply) or
/// [`Node::refuse`](crate::Node::refuse) before its deadline.
#[derive(Clone)]
#[cfg_attr(feature = "testing", derive(Hash))]
pub struct Request {
    reply_to: ReplyTo,
    from: PeerId,
    words: Words,
    deadline: Instant,
    time: UnixTime,
    /// Apart, so that events stay small.
    source: Option<Box<SocketAddr>>,
}

impl Request {
    pub(crate) const fn new(
        reply_to: ReplyTo,
        from: PeerId,
        words: Words,
        deadline: Instant,
        time: UnixTime,
    ) -> Self {
        Self { reply_to, from, words, deadline, time, source: None }
    }

    /// The same, from a guest whose connection comes from here.
    pub(crate) fn at(mut self, source: SocketAddr) -> Self {
        self.source = Some(Box::new(source));
        self
    }

    /// Its name, for the answer.
    pub fn reply_to(&self) -> ReplyTo {
        self.reply_to
    }

    /// Who asks, by its own word or that of whoever passed it on.
    pub fn from(&self) -> &PeerId {
        &self.from
    }

    /// Where a guest's connection comes from, which is more than its word; none if a native peer
    /// asks, whose request may have come a long way.
    pub fn source(&self) -> Option<SocketAddr> {
        self.source.as_deref().copied()
    }

    /// Its kind. A peer chose it: escape it before it reaches a terminal.
    pub fn kind(&self) -> &str {
        self.words.kind()
    }

    /// Its body, as the JSON text that was sent.
    pub fn body(&self) -> &str {
        self.words.body()
    }

    /// Its body as a value, which may borrow from the request.
    ///
    /// # Errors
    /// [`BodyError::Json`] if the body is not such a value.
    pub fn parse<'a, T: Deserialize<'a>>(&'a self) -> Result<T, BodyError> {
        Ok(serde_json::from_str(self.body())?)
    }

    /// When nobody waits for an answer any more.
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// When it was asked, by the asker's clock.
    pub fn time(&self) -> UnixTime {
        self.time
    }

    /// Bytes it holds on to.
    pub(crate) fn size(&self) -> usize {
        self.words.size()
    }
}

impl fmt::Debug for Request {
    /// Sizes, not contents.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("reply_to", &self.reply_to)
            .field("from", &self.from)
            .field("kind", &self.kind())
            .field("body_len", &self.body().len())
            .finish_non_exhaustive()
    }
}

/// A reply received: the next of its request, in order.
#[derive(Clone)]
#[cfg_attr(feature = "testing", derive(Hash))]
pub struct Reply {
    request: RequestId,
    n: u64,
    last: bool,
    from: PeerId,
    words: Words,
}

impl Reply {
    pub(crate) const fn new(
        request: RequestId,
        n: u64,
        last: bool,
        from: PeerId,
        words: Words,
    ) -> Self {
        Self { request, n, last, from, words }
    }

    /// The request it answers.
    pub fn request(&self) -> RequestId {
        self.request
    }

    /// Its number, counted from 0 without a hole.
    pub fn n(&self) -> u64 {
        self.n
    }

    /// Whether it ends the request.
    pub fn is_last(&self) -> bool {
        self.last
    }

    /// Who answers, by its own word or that of whoever passed it on.
    pub fn from(&self) -> &PeerId {
        &self.from
    }

    /// Its kind. A peer chose it: escape it before it reaches a terminal.
    pub fn kind(&self) -> &str {
        self.words.kind()
    }

    /// Its body, as the JSON text that was sent.
    pub fn body(&self) -> &str {
        self.words.body()
    }

    /// Its body as a value, which may borrow from the reply.
    ///
    /// # Errors
    /// [`BodyError::Json`] if the body is not such a value.
    pub fn parse<'a, T: Deserialize<'a>>(&'a self) -> Result<T, BodyError> {
        Ok(serde_json::from_str(self.body())?)
    }

    /// Bytes it holds on to.
    pub(crate) fn size(&self) -> usize {
        self.words.size()
    }
}

impl fmt::Debug for Reply {
    /// Sizes, not contents.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reply")
            .field("request", &self.request)
            .field("n", &self.n)
            .field("last", &self.last)
            .field("from", &self.from)
            .field("kind", &self.kind())
            .field("body_len", &self.body().len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;

    fn guest() -> PeerId {
        PeerId::Guest("g".into())
    }

    #[test]
    fn words_are_read_from_a_line_or_are_texts_of_their_own() {
        let frame = Frame::new("{\"kind\":\"K\",\"msg\":[1,2]}\n");
        let line = Words::Line { frame: frame.clone(), kind: Kind::Plain(9..10), body: 18..23 };
        let escaped = Words::Line { frame, kind: Kind::Unescaped("K".into()), body: 18..23 };
        let own = Words::Own { kind: "K".into(), body: "[1,2]".into() };
        for (words, size) in [(line, 25), (escaped, 25), (own, 6)] {
            assert_eq!((words.kind(), words.body(), words.size()), ("K", "[1,2]", size));
            let (at, time) = (Instant::ZERO, UnixTime::from_millis(7));
            let request = Request::new(ReplyTo::new(1), guest(), words.clone(), at, time);
            let reply = Reply::new(RequestId::new(2), 3, true, guest(), words);
            assert_eq!(request.parse::<(u8, u8)>().ok(), Some((1, 2)));
            assert_eq!(reply.parse::<(u8, u8)>().ok(), Some((1, 2)));
            assert_eq!((request.size(), reply.size()), (size, size));
            assert_eq!((request.kind(), request.body()), ("K", "[1,2]"));
            assert_eq!((reply.kind(), reply.body()), ("K", "[1,2]"));
            assert_eq!((request.reply_to(), request.from()), (ReplyTo::new(1), &guest()));
            assert_eq!((reply.request(), reply.from()), (RequestId::new(2), &guest()));
            assert_eq!((reply.n(), reply.is_last()), (3, true));
            assert_eq!(format!("{:?}", reply.words), format!("Words({size} bytes)"));
            assert_eq!((request.time(), request.deadline()), (time, at));
            assert_eq!(request.source(), None);
            let source = SocketAddr::from(([192, 0, 2, 1], 7));
            assert_eq!(request.clone().at(source).source(), Some(source));
            let shown = format!("{request:?} {reply:?}");
            assert!(shown.contains("body_len: 5") && !shown.contains("[1,2]"), "{shown}");
        }
    }

    #[test]
    fn names_say_what_they_name() {
        let (request, reply) = (RequestId::new(7), ReplyTo::new(8));
        assert_eq!(
            format!("{request} {request:?} {reply} {reply:?}"),
            "request 7 request 7 reply to 8 reply to 8"
        );
        assert_eq!((request.number(), reply.number()), (7, 8));
    }
}
