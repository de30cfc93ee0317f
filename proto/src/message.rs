//! What the application sends and gets: [`Payload`], [`Message`], and the shared [`Frame`].

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use core::fmt;
use core::ops::Range;

use serde::{Deserialize, Serialize};

use crate::body::{self, Encoded};
use crate::error::BodyError;
use crate::id::{ConnId, PeerId};
use crate::limits::MAX_DEPTH;
use crate::time::UnixTime;
use crate::verdicts::VerdictToken;
use crate::wire::json;

/// One encoded line with its line end. A clone shares the text, and so may lines that came one
/// behind the other.
#[derive(Clone)]
pub(crate) struct Frame {
    text: Arc<str>,
    from: u32,
    to: u32,
}

impl Frame {
    /// A frame of this text, which must be a whole line.
    pub(crate) fn new(line: &str) -> Self {
        Self::of(Arc::from(line), 0..place(line.len()))
    }

    /// A frame of a whole line of this text. It keeps all of the text in memory.
    pub(crate) fn part(text: &Arc<str>, line: &Range<u32>) -> Self {
        Self::of(Arc::clone(text), line.clone())
    }

    /// Takes the text: to count it up and down would wait until all of it is written.
    fn of(text: Arc<str>, line: Range<u32>) -> Self {
        let frame = Self { text, from: line.start, to: line.end };
        debug_assert!(frame.text().ends_with('\n') && frame.text().matches('\n').count() == 1);
        frame
    }

    #[inline]
    fn text(&self) -> &str {
        self.text.get(self.from as usize..self.to as usize).unwrap_or_default()
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.to.saturating_sub(self.from) as usize
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.text.as_bytes().get(self.from as usize..self.to as usize).unwrap_or_default()
    }

    /// Whether the two keep the same text in memory.
    pub(crate) fn is_with(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.text, &other.text)
    }

    /// Whether it keeps little more than itself in memory.
    pub(crate) fn is_alone(&self) -> bool {
        self.len() >= self.text.len() / 2
    }

    /// The same, in memory of its own if it keeps much more than itself.
    pub(crate) fn alone(self) -> Self {
        if self.is_alone() {
            return self;
        }
        let text: Arc<str> = self.text().into();
        Self { to: place(text.len()), from: 0, text }
    }

    /// A part of the line; empty if the range is not one of it.
    pub(crate) fn slice(&self, range: &Range<u32>) -> &str {
        self.text().get(range.start as usize..range.end as usize).unwrap_or_default()
    }
}

/// A place in a line. Beyond 4 GiB there are none.
pub(crate) fn place(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}

impl PartialEq for Frame {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for Frame {}

#[cfg(feature = "testing")]
impl core::hash::Hash for Frame {
    fn hash<H: core::hash::Hasher>(&self, state: &mut H) {
        self.as_bytes().hash(state);
    }
}

impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Frame({} bytes)", self.len())
    }
}

/// A message's body: JSON text, checked once, on the caller's thread, before it meets the node.
///
/// ```
/// use peerline_proto::Payload;
///
/// let body = Payload::encode(&("hello", 3))?;
/// assert_eq!(body.as_str(), r#"["hello",3]"#);
/// assert!(Payload::from_json("{").is_err());
/// # Ok::<(), peerline_proto::BodyError>(())
/// ```
#[derive(Clone, Eq, PartialEq)]
#[cfg_attr(feature = "testing", derive(Hash))]
pub struct Payload(Box<str>);

impl Payload {
    /// The JSON of a value.
    ///
    /// # Errors
    /// [`BodyError::Json`] if serde_json cannot convert it, [`BodyError::Malformed`] if it nests
    /// more than 31 levels deep.
    pub fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Self, BodyError> {
        match body::encode(value)? {
            Encoded::Text(text) => Ok(Self(text.into_boxed_str())),
            Encoded::Unchecked(text) => Self::from_json(text),
        }
    }

    /// A text that is JSON already. Line ends between its tokens become blanks.
    ///
    /// # Errors
    /// [`BodyError::Malformed`] if it is not JSON or nests more than 31 levels deep.
    pub fn from_json(text: impl Into<String>) -> Result<Self, BodyError> {
        let mut text = text.into();
        json::check(&text, MAX_DEPTH - 1)
            .map_err(|fault| BodyError::Malformed { at: fault.at(), what: fault.what() })?;
        if memchr::memchr2(b'\n', b'\r', text.as_bytes()).is_some() {
            text = text.replace(['\n', '\r'], " ");
        }
        Ok(Self(text.into_boxed_str()))
    }

    /// The JSON text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Payload({} bytes)", self.0.len())
    }
}

/// How a message came.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
#[cfg_attr(feature = "testing", derive(Hash))]
pub enum Delivery {
    /// To every node.
    Broadcast,
    /// To us alone.
    Direct,
}

/// A message received. It shares the line it came in, and up to 8 KiB of lines that came with it; a
/// clone costs a reference.
#[derive(Clone)]
#[cfg_attr(feature = "testing", derive(Hash))]
pub struct Message {
    pub(crate) frame: Frame,
    pub(crate) from: PeerId,
    pub(crate) conn: ConnId,
    pub(crate) delivery: Delivery,
    pub(crate) time: UnixTime,
    pub(crate) kind: Kind,
    pub(crate) body: Range<u32>,
    pub(crate) token: Option<VerdictToken>,
}

/// A kind: a part of the frame, or its own text where the line has it escaped.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "testing", derive(Hash))]
pub(crate) enum Kind {
    Plain(Range<u32>),
    Unescaped(Arc<str>),
}

impl Message {
    /// Who published it. By its own word, or that of whoever passed it on.
    pub fn from(&self) -> &PeerId {
        &self.from
    }

    /// The connection it came by.
    pub fn conn(&self) -> ConnId {
        self.conn
    }

    /// Whether it was for everyone or for us.
    pub fn delivery(&self) -> Delivery {
        self.delivery
    }

    /// When it was published, by the publisher's clock.
    pub fn time(&self) -> UnixTime {
        self.time
    }

    /// Its kind. A peer chose it: escape it before it reaches a terminal.
    pub fn kind(&self) -> &str {
        match &self.kind {
            Kind::Plain(range) => self.frame.slice(range),
            Kind::Unescaped(text) => text,
        }
    }

    /// Its body, as the JSON text that was sent.
    pub fn body(&self) -> &str {
        self.frame.slice(&self.body)
    }

    /// Its body as a value, which may borrow from the message.
    ///
    /// # Errors
    /// [`BodyError::Json`] if the body is not such a value.
    pub fn parse<'a, T: Deserialize<'a>>(&'a self) -> Result<T, BodyError> {
        Ok(serde_json::from_str(self.body())?)
    }

    /// What to judge it by, if it waits for a verdict of the application: see
    /// [`ConfigBuilder::validate`](crate::ConfigBuilder::validate).
    pub fn token(&self) -> Option<VerdictToken> {
        self.token
    }

    /// Bytes it holds on to.
    pub(crate) fn size(&self) -> usize {
        self.frame.len()
    }
}

impl fmt::Debug for Message {
    /// Sizes, not contents.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message")
            .field("from", &self.from)
            .field("conn", &self.conn)
            .field("delivery", &self.delivery)
            .field("kind", &self.kind())
            .field("body_len", &self.body.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    use core::num::NonZeroU32;

    fn message() -> Message {
        Message {
            frame: Frame::new("{\"kind\":\"K\",\"msg\":[1,2]}\n"),
            from: crate::id::NodeId::from_random_bytes([1; 16]).into(),
            conn: ConnId::new(0, NonZeroU32::MIN),
            delivery: Delivery::Direct,
            time: UnixTime::from_millis(77),
            kind: Kind::Plain(9..10),
            body: 18..23,
            token: None,
        }
    }

    #[test]
    fn a_frame_parts_from_a_text_that_is_much_longer() {
        let text: Arc<str> = "{1}\n{2}\n{3}\n".into();
        let frame = Frame::part(&text, &(4..8));
        let alone = frame.clone().alone();
        assert!(alone == frame && !alone.is_with(&frame) && alone.as_bytes() == b"{2}\n");
        assert!(alone.clone().alone().is_with(&alone), "it keeps nothing else");
    }

    #[test]
    fn a_message_is_read_from_its_line() {
        let message = message();
        assert_eq!((message.kind(), message.body(), message.size()), ("K", "[1,2]", 25));
        assert_eq!(
            (message.time(), message.delivery()),
            (UnixTime::from_millis(77), Delivery::Direct)
        );
        assert_eq!(message.parse::<(u8, u8)>().ok(), Some((1, 2)));
        assert!(message.parse::<&str>().is_err());
    }

    #[test]
    fn what_is_shown_of_a_payload_is_its_size() {
        let payload = Payload::from_json("\"secret\"");
        let shown = format!("{payload:?} {:?} {:?}", message().frame, message());
        assert!(shown.starts_with("Ok(Payload(8 bytes)) Frame(25 bytes) Message {"), "{shown}");
        assert!(shown.contains("kind: \"K\", body_len: 5") && !shown.contains("[1,2]"), "{shown}");
    }

    #[test]
    fn line_ends_between_tokens_become_blanks() {
        let payload = Payload::from_json("[1,\r\n2]");
        assert_eq!(payload.as_ref().map(Payload::as_str).ok(), Some("[1,  2]"));
        let deep = |levels| Payload::from_json("[".repeat(levels) + &"]".repeat(levels)).is_ok();
        assert_eq!((deep(31), deep(32)), (true, false));
    }
}
