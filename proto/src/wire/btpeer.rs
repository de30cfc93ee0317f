//! The bytes of BTPeer: frames, the words in their payloads, and payloads as JSON bodies.
//!
//! A frame is four bytes of kind, a 32-bit big-endian length, and that many bytes. The length is
//! checked before anything is kept, and no more is reserved than twice what has arrived: a length
//! is a claim, and bytes have to be paid for.
#![deny(clippy::arithmetic_side_effects)]

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use crate::base64;
use crate::quote::{push_quoted, quoted_len};
use crate::wire::json::Members;

const HEADER: usize = 8;

/// The first eight bytes of a frame.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(crate) struct FrameHeader {
    pub(crate) kind: [u8; 4],
    pub(crate) len: u32,
}

impl FrameHeader {
    fn new([a, b, c, d, len @ ..]: [u8; HEADER]) -> Self {
        Self { kind: [a, b, c, d], len: u32::from_be_bytes(len) }
    }
}

/// The kind of a frame as it is compared: in capitals.
#[derive(Copy, Clone, Eq, PartialEq)]
#[cfg_attr(feature = "testing", derive(Hash))]
pub(crate) struct FrameKind([u8; 4]);

impl FrameKind {
    pub(crate) fn new(mut bytes: [u8; 4]) -> Self {
        bytes.make_ascii_uppercase();
        Self(bytes)
    }

    /// The kind without its padding, if that is a word of printable ASCII.
    pub(crate) fn as_str(&self) -> Option<&str> {
        let text = core::str::from_utf8(&self.0).ok()?.trim_end_matches('\0');
        is_kind(text).then_some(text)
    }
}

impl fmt::Debug for FrameKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FrameKind({})", self.0.escape_ascii())
    }
}

/// Whether a text can be the kind of a frame: one to four characters of printable ASCII.
pub(crate) fn is_kind(text: &str) -> bool {
    !text.is_empty() && text.len() <= 4 && text.bytes().all(|byte| matches!(byte, b' '..=b'~'))
}

/// A whole frame.
#[derive(Clone, Eq, PartialEq)]
#[cfg_attr(feature = "testing", derive(Hash))]
pub(crate) struct GuestFrame {
    pub(crate) kind: FrameKind,
    pub(crate) payload: Vec<u8>,
}

impl fmt::Debug for GuestFrame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GuestFrame({:?}, {} bytes)", self.kind, self.payload.len())
    }
}

/// A frame announces more than is taken.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(crate) struct FrameTooLong {
    pub(crate) len: u32,
    pub(crate) limit: usize,
}

/// Cuts a stream into frames: the state between two pieces of it.
#[derive(Clone, Default)]
#[cfg_attr(feature = "testing", derive(Hash))]
pub(crate) struct Frames {
    header: [u8; HEADER],
    /// How much of the header has arrived.
    known: usize,
    /// What has arrived of the payload. Empty while the header is not whole, and shorter than it
    /// says. No allocation while empty.
    payload: Vec<u8>,
}

impl Frames {
    /// Takes the next whole frame off the front of `input`. `None` when what is left is not a
    /// whole frame; it has been kept then, and `input` is empty.
    ///
    /// # Errors
    /// [`FrameTooLong`] when a header announces more than `limit` bytes. Nothing after the header
    /// is read then, and the error repeats.
    pub(crate) fn next(
        &mut self,
        input: &mut &[u8],
        limit: usize,
    ) -> Result<Option<GuestFrame>, FrameTooLong> {
        self.read_header(input);
        if self.known < HEADER {
            return Ok(None);
        }
        let FrameHeader { kind, len } = FrameHeader::new(self.header);
        let total = usize::try_from(len).unwrap_or(usize::MAX);
        if total > limit {
            return Err(FrameTooLong { len, limit });
        }
        let missing = total.saturating_sub(self.payload.len());
        let (more, rest) = input.split_at_checked(missing).unwrap_or((input, &[]));
        *input = rest;
        self.keep(more, total);
        if more.len() < missing {
            return Ok(None);
        }
        self.known = 0;
        let payload = core::mem::take(&mut self.payload);
        Ok(Some(GuestFrame { kind: FrameKind::new(kind), payload }))
    }

    /// Bytes of the unfinished frame.
    pub(crate) fn pending(&self) -> usize {
        self.known.saturating_add(self.payload.len())
    }

    /// What the unfinished frame says of its payload's length, once it has said it.
    pub(crate) fn announced(&self) -> Option<usize> {
        let len = FrameHeader::new(self.header).len;
        (self.known == HEADER).then_some(usize::try_from(len).unwrap_or(usize::MAX))
    }

    /// Bytes that its payload may take now: no more is reserved than twice what has arrived.
    pub(crate) fn reserved(&self) -> usize {
        self.announced().unwrap_or_default().min(self.payload.len().saturating_mul(2))
    }

    /// Bytes of that payload which have arrived.
    pub(crate) fn arrived(&self) -> usize {
        self.payload.len()
    }

    fn read_header(&mut self, input: &mut &[u8]) {
        let missing = self.header.get_mut(self.known..).unwrap_or_default();
        let count = missing.len().min(input.len());
        let (more, rest) = input.split_at_checked(count).unwrap_or((input, &[]));
        for (slot, byte) in missing.iter_mut().zip(more) {
            *slot = *byte;
        }
        self.known = self.known.saturating_add(count);
        *input = rest;
    }

    fn keep(&mut self, bytes: &[u8], total: usize) {
        let needed = self.payload.len().saturating_add(bytes.len());
        if needed > self.payload.capacity() {
            let doubled = self.payload.capacity().saturating_mul(2).min(total);
            let target = needed.max(doubled);
            self.payload.reserve_exact(target.saturating_sub(self.payload.len()));
        }
        self.payload.extend_from_slice(bytes);
    }
}

impl fmt::Debug for Frames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Frames({} bytes pending)", self.pending())
    }
}

/// A frame, or `None` if `kind` is not one to four bytes of printable ASCII or the payload is
/// longer than a frame can say.
pub(crate) fn encode(kind: &str, payload: &[u8]) -> Option<Vec<u8>> {
    if !is_kind(kind) {
        return None;
    }
    let len = u32::try_from(payload.len()).ok()?;
    let mut frame = Vec::with_capacity(HEADER.saturating_add(payload.len()));
    frame.extend_from_slice(kind.as_bytes());
    frame.resize(4, 0);
    frame.extend_from_slice(&len.to_be_bytes());
    frame.extend_from_slice(payload);
    Some(frame)
}

/// A payload of one word, such as the id in QUIT: the text without the blanks around it.
pub(crate) fn word(payload: &[u8]) -> Option<&str> {
    core::str::from_utf8(payload).ok().map(str::trim)
}

/// A payload of three words, with any white space between them.
pub(crate) fn three_words(payload: &[u8]) -> Option<[&str; 3]> {
    let mut words = core::str::from_utf8(payload).ok()?.split_whitespace();
    let three = [words.next()?, words.next()?, words.next()?];
    words.next().is_none().then_some(three)
}

/// A peer as JOIN and LIST name it.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(crate) struct Row<'a> {
    pub(crate) id: &'a str,
    pub(crate) host: &'a str,
    /// Never 0.
    pub(crate) port: u16,
}

impl<'a> Row<'a> {
    pub(crate) fn parse(payload: &'a [u8]) -> Option<Self> {
        let [id, host, port] = three_words(payload)?;
        let port = port.parse().ok().filter(|port| *port != 0)?;
        Some(Self { id, host, port })
    }
}

impl fmt::Display for Row<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.id, self.host, self.port)
    }
}

/// A payload as a JSON body: a string if it is UTF-8, else `{"base64":"…"}`.
pub(crate) fn payload_to_body(payload: &[u8]) -> String {
    let Ok(text) = core::str::from_utf8(payload) else {
        return format!("{{\"base64\":\"{}\"}}", base64::encode(payload));
    };
    let mut body = String::with_capacity(text.len().saturating_add(2));
    push_quoted(&mut body, text);
    body
}

/// Bytes of the body that a payload becomes.
pub(crate) fn body_len(payload: &[u8]) -> usize {
    let Ok(text) = core::str::from_utf8(payload) else {
        let binary = payload.len().div_ceil(3).saturating_mul(4);
        return binary.saturating_add(r#"{"base64":""}"#.len());
    };
    quoted_len(text).saturating_add(2)
}

/// A JSON body as a payload: the text of a string, the bytes of exactly `{"base64":"…"}`, and any
/// other JSON as it is written. The inverse of [`payload_to_body`].
pub(crate) fn body_to_payload(body: &str) -> Vec<u8> {
    match body.trim_start().bytes().next() {
        Some(b'"') => serde_json::from_str::<String>(body).ok().map(String::into_bytes),
        Some(b'{') => binary(body),
        _ => None,
    }
    .unwrap_or_else(|| body.as_bytes().into())
}

/// The bytes of an object with the one member `base64`.
fn binary(body: &str) -> Option<Vec<u8>> {
    let mut members = Members::of(body).ok().filter(|members| !members.is_over())?;
    let (key, value) = (members.key().ok()?, members.value().ok()?);
    let only = members.is_over() && key.unescape() == "base64";
    value.as_text().filter(|_| only).and_then(|text| base64::decode(&text))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::arithmetic_side_effects, clippy::indexing_slicing, clippy::unwrap_used)]
    use super::*;
    use crate::rng::Rng;
    use alloc::string::ToString;
    use alloc::vec;

    fn frame(kind: &str, payload: &[u8]) -> GuestFrame {
        let mut bytes = [0; 4];
        bytes[..kind.len()].copy_from_slice(kind.as_bytes());
        GuestFrame { kind: FrameKind::new(bytes), payload: payload.into() }
    }

    /// Feeds the pieces and collects the frames, up to an error.
    fn frames<'a>(
        pieces: impl IntoIterator<Item = &'a [u8]>,
        limit: usize,
    ) -> (Vec<GuestFrame>, Option<FrameTooLong>, Frames) {
        let (mut state, mut found) = (Frames::default(), vec![]);
        for piece in pieces {
            let mut rest = piece;
            loop {
                match state.next(&mut rest, limit) {
                    Ok(Some(frame)) => found.push(frame),
                    Ok(None) => break,
                    Err(error) => return (found, Some(error), state),
                }
            }
            assert!(rest.is_empty());
        }
        (found, None, state)
    }

    #[test]
    fn a_body_is_as_long_as_is_said_before_it_is_made() {
        let binary = (0..9).map(|len| vec![0xff; len]);
        let texts = ["", "plain", "\u{1}\n\"\\", "äöü"].map(|text| text.as_bytes().to_vec());
        for payload in binary.chain(texts) {
            assert_eq!(body_len(&payload), payload_to_body(&payload).len(), "{payload:?}");
        }
    }

    #[test]
    fn known_frames_are_written_and_read() {
        let golden: [(&[u8], &str, &[u8]); 5] = [
            (b"NAME\0\0\0\0", "NAME", b""),
            (
                b"JOIN\0\0\0\x1f127.0.0.1:47001 127.0.0.1 47001",
                "JOIN",
                b"127.0.0.1:47001 127.0.0.1 47001",
            ),
            (b"FGET\0\0\0\x0cno such file", "FGET", b"no such file"),
            (b"ERRO\0\0\0\x14Join: too many peers", "ERRO", b"Join: too many peers"),
            (b"GO\0\0\0\0\0\x01\xff", "GO", b"\xff"),
        ];
        for (bytes, kind, payload) in golden {
            assert_eq!(encode(kind, payload).as_deref(), Some(bytes), "{kind}");
            let (found, error, state) = frames([bytes], 100);
            assert_eq!((found, error), (vec![frame(kind, payload)], None));
            assert_eq!(state.pending(), 0);
        }
    }

    #[test]
    fn every_cut_gives_the_same_frames() {
        let stream = b"REPL\0\0\0\x012REPL\0\0\0\0REPL\0\0\0\x03abcREPL\0\0\0\x06ab";
        let expected = [frame("REPL", b"2"), frame("REPL", b""), frame("REPL", b"abc")];
        for cut in 0..=stream.len() {
            let (a, b) = stream.split_at(cut);
            let (found, error, state) = frames([a, b], 6);
            assert_eq!((&found[..], error), (&expected[..], None), "cut at {cut}");
            assert_eq!(state.pending(), 10);
        }
        let (found, error, state) = frames(stream.chunks(1), 6);
        assert_eq!((&found[..], error, state.pending()), (&expected[..], None, 10));
        assert_eq!((state.announced(), state.arrived()), (Some(6), 2));
        let (found, error, state) = frames([&b"NA"[..]], 6);
        assert_eq!((found, error, state.pending()), (vec![], None, 2));
        assert_eq!((state.announced(), state.arrived()), (None, 0));
    }

    #[test]
    fn too_long_is_refused_by_the_header_alone() {
        for stream in [&b"NAME\xff\xff\xff\xff"[..], b"NAME\xff\xff\xff\xffpayload"] {
            for chunk in [1, 3, 100] {
                let (found, error, mut state) = frames(stream.chunks(chunk), 1000);
                let expected = FrameTooLong { len: u32::MAX, limit: 1000 };
                assert_eq!((found, error), (vec![], Some(expected)));
                assert_eq!((state.pending(), state.payload.capacity()), (8, 0));
                assert_eq!(state.next(&mut &b"x"[..], 1000), Err(expected));
            }
        }
        assert_eq!(frames([&b"NAME\0\0\0\x05"[..]], 5).1, None);
        assert!(frames([&b"NAME\0\0\0\x05"[..]], 4).1.is_some());
    }

    #[test]
    fn no_more_is_reserved_than_twice_what_came() {
        let mut state = Frames::default();
        assert_eq!(state.next(&mut &b"NAME\xff\xff\xff\xff"[..], usize::MAX), Ok(None));
        assert_eq!(state.payload.capacity(), 0);
        for count in 1..5000 {
            assert_eq!(state.next(&mut &b"x"[..], usize::MAX), Ok(None));
            assert!(state.payload.capacity() <= 2 * count, "{count}");
        }
        let mut state = Frames::default();
        let mut stream = encode("DATA", &[7; 5000]).unwrap();
        let last = stream.split_off(stream.len() - 1);
        for byte in stream.chunks(1) {
            assert_eq!(state.next(&mut &*byte, 5000), Ok(None));
            assert!(state.payload.capacity() <= 5000);
        }
        assert_eq!(state.next(&mut &last[..], 5000), Ok(Some(frame("DATA", &[7; 5000]))));
        assert_eq!((state.payload.capacity(), state.pending()), (0, 0));
    }

    #[test]
    fn kinds_are_capitals_without_padding() {
        let kind = |bytes| FrameKind::new(bytes).as_str().map(ToString::to_string);
        assert_eq!(kind(*b"name").as_deref(), Some("NAME"));
        assert_eq!(kind(*b"Go\0\0").as_deref(), Some("GO"));
        assert_eq!(kind(*b"A B!").as_deref(), Some("A B!"));
        for bytes in [
            *b"\0\0\0\0",
            *b"\0abc",
            *b"a\0b\0",
            *b"\xff\xfe\xfd\xfc",
            *b"ab\x7f\0",
            *b"\xc3\xa4bc",
            *b"a\nbc",
        ] {
            assert_eq!(kind(bytes), None, "{bytes:?}");
        }
        for kind in ["", "FIVES", "\u{e4}", "a\0", "a\n"] {
            assert_eq!(encode(kind, b""), None, "{kind:?}");
        }
    }

    #[test]
    fn words_are_split_at_any_white_space() {
        let row = Row { id: "a:1", host: "a", port: 1 };
        for payload in ["a:1 a 1", " a:1\ta\r\n 1\n"] {
            assert_eq!(Row::parse(payload.as_bytes()), Some(row));
        }
        assert_eq!(row.to_string(), "a:1 a 1");
        for payload in [
            &b""[..],
            b"a",
            b"a b",
            b"a b 1 c",
            b"a b 0",
            b"a b 65536",
            b"a b -1",
            b"a b x",
            b"a b 1.0",
            b"\xff b 1",
        ] {
            assert_eq!(Row::parse(payload), None, "{}", payload.escape_ascii());
        }
        assert_eq!(three_words(b"127.0.0.1:47001 key 0"), Some(["127.0.0.1:47001", "key", "0"]));
        assert_eq!(word(b" nobody:9\n"), Some("nobody:9"));
        assert_eq!(word(b"\xff"), None);
    }

    #[test]
    fn payloads_come_back_from_their_bodies() {
        assert_eq!(payload_to_body(b"a\"b\n"), "\"a\\\"b\\u000a\"");
        assert_eq!(payload_to_body(b"\xff\0"), r#"{"base64":"/wA="}"#);
        let mut rng = Rng::new([8; 32]);
        for len in 0..300 {
            let bytes: Vec<u8> = (0..len % 30).map(|_| rng.u32() as u8 >> (len % 3)).collect();
            let body = payload_to_body(&bytes);
            assert!(serde_json::from_str::<serde_json::Value>(&body).is_ok(), "{body}");
            assert_eq!(body_to_payload(&body), bytes);
        }
    }

    #[test]
    fn only_strings_and_base64_are_unwrapped() {
        let check = |body: &str, payload: &[u8]| assert_eq!(body_to_payload(body), payload);
        check(r#" "a\u00e4\ud83d\ude00" "#, "a\u{e4}\u{1f600}".as_bytes());
        check(r#"{ "b\u0061se64" : "\u005a\u0067==" }"#, b"f");
        check(r#"{"base64":""}"#, b"");
        for body in [
            "1",
            "[1, 2]",
            "null",
            "{}",
            r#"{"base64":"Zg="}"#,
            r#"{"base64":1}"#,
            r#"{"base64":"Zg==","a":1}"#,
            r#"{"base64":"Zg==","base64":"Zg=="}"#,
            r#"{"a":1,"base64":"Zg=="}"#,
            r#"{"base65":"Zg=="}"#,
            r#""\ud800""#,
            "\"",
            "{",
            "",
        ] {
            check(body, body.as_bytes());
        }
    }
}
