//! Writes the native lines: `msgtype` first, whole, ended by one line end.

use alloc::string::String;
use core::fmt::{Display, Write as _};
use core::net::SocketAddr;

use uuid::Uuid;

use crate::config::Listen;
use crate::error::ByeReason;
use crate::exchange::NakCode;
use crate::id::NodeId;
use crate::message::{Frame, Payload};
use crate::quote::push_quoted;
use crate::seen::{Range, StreamId};
use crate::time::UnixTime;
use crate::wire::caps::Caps;
use crate::wire::json::{LARGEST, MOST_DIGITS};
use crate::wire::words::{bye_word, nak_word};
use crate::wire::{MIN_VERSION, VERSION};

/// What a hello says beyond the node id.
#[derive(Clone, Debug)]
pub(crate) struct HelloOut<'a> {
    pub(crate) network: &'a str,
    pub(crate) agent: &'a str,
    pub(crate) nonce: Option<u64>,
    pub(crate) listen: Option<Listen>,
    pub(crate) you: SocketAddr,
    pub(crate) max: usize,
    pub(crate) caps: Caps,
}

/// The hello that opens a session of version 1, and that a dialler sends to whomever it dials.
pub(crate) fn hello(id: NodeId, hello: &HelloOut<'_>) -> Frame {
    let mut line = Line::new("hello");
    line.id("nodeid", id);
    line.number("version", VERSION);
    line.number("min_version", MIN_VERSION);
    line.text("network", hello.network);
    line.text("agent", hello.agent);
    if let Some(nonce) = hello.nonce {
        line.number("nonce", nonce);
    }
    match hello.listen {
        Some(Listen::Port(port)) => line.number("listen", u64::from(port)),
        Some(Listen::Addr(addr)) => line.name("listen", addr),
        None => {}
    }
    line.name("you", hello.you);
    line.number("max", hello.max as u64);
    if hello.caps != Caps::default() {
        line.list("caps", hello.caps.words(), |line, word| push_quoted(&mut line.text, word));
    }
    line.finish()
}

/// The hello of the article, for a node of version 0.
pub(crate) fn hello_v0(id: NodeId) -> Frame {
    let mut line = Line::new("hello");
    line.id("nodeid", id);
    line.finish()
}

pub(crate) fn ping(nonce: Option<u64>) -> Frame {
    with_nonce("ping", nonce)
}

pub(crate) fn pong(nonce: Option<u64>) -> Frame {
    with_nonce("pong", nonce)
}

fn with_nonce(msgtype: &str, nonce: Option<u64>) -> Frame {
    let mut line = Line::new(msgtype);
    if let Some(nonce) = nonce {
        line.number("nonce", nonce);
    }
    line.finish()
}

pub(crate) fn bye(
    reason: ByeReason,
    retry_secs: Option<u64>,
    peers: &[(SocketAddr, NodeId)],
) -> Frame {
    let mut line = Line::new("bye");
    line.text("reason", bye_word(reason));
    if let Some(retry) = retry_secs {
        line.number("retry", retry);
    }
    if !peers.is_empty() {
        line.list("peers", peers, |line, (addr, id)| {
            line.open_pair(*addr);
            line.quoted_id(*id);
            line.raw("]");
        });
    }
    line.finish()
}

pub(crate) fn getaddr(max: Option<usize>) -> Frame {
    let mut line = Line::new("getaddr");
    if let Some(max) = max {
        line.number("max", max as u64);
    }
    line.finish()
}

/// Addresses with the names of their nodes, and their ages in seconds unless that is `None`.
pub(crate) fn addr(peers: &[(SocketAddr, String, u64)], ages: bool) -> Frame {
    let mut line = Line::new("addr");
    line.list("peers", peers, |line, (addr, name, _)| {
        line.open_pair(*addr);
        push_quoted(&mut line.text, name);
        line.raw("]");
    });
    if ages && !peers.is_empty() {
        line.list("ages", peers, |line, (_, _, age)| line.digits(*age));
    }
    line.finish()
}

/// An announcement: what we have, as ranges of streams, with how long each was held back.
pub(crate) fn ihave(ranges: &[Range]) -> Frame {
    let mut line = Line::with_room("ihave", ranges.len().saturating_mul(96));
    line.list("have", ranges.chunk_by(|a, b| a.stream == b.stream), |line, same| {
        if let Some(Range { stream: (originator, epoch), .. }) = same.first() {
            line.raw("[");
            line.quoted_id(*originator);
            line.raw(",");
            line.digits(u64::from(*epoch));
            line.raw(",");
        }
        line.items(same, |line, range| {
            let hold = u64::try_from(range.hold.as_millis()).unwrap_or(u64::MAX);
            line.numbers(&[range.from, range.to, hold]);
        });
        line.raw("]");
    });
    line.finish()
}

/// Asks for a stream, or for the shared tree, and for some numbers of it now.
pub(crate) fn graft(stream: Option<StreamId>, want: &[(u64, u64)]) -> Frame {
    let mut line = Line::new("graft");
    line.stream(stream);
    if !want.is_empty() {
        line.list("want", want, |line, (from, to)| line.numbers(&[*from, *to]));
    }
    line.finish()
}

/// Wants a stream no more, or nothing by way of the shared tree.
pub(crate) fn prune(stream: Option<StreamId>) -> Frame {
    let mut line = Line::new("prune");
    line.stream(stream);
    line.finish()
}

/// From whom a line goes to whom, its name, and how many nodes may pass it on.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Routed<'a> {
    pub(crate) id: &'a str,
    pub(crate) from: NodeId,
    pub(crate) to: NodeId,
    pub(crate) ttl: u64,
}

/// The id of a one-to-one line: eight hexadecimal digits of the epoch, a dot, and the count.
pub(crate) fn message_id(epoch: u32, count: u64) -> String {
    let mut line = Line::continued(String::with_capacity(9 + MOST_DIGITS), 0);
    for place in (0..8).rev() {
        let digit = epoch >> (4 * place) & 15;
        line.text.push(char::from_digit(digit, 16).unwrap_or('0'));
    }
    line.raw(".");
    line.digits(count);
    line.into_text()
}

/// A one-to-one message of ours. Its first try, which nearly always is the only one, has no number.
pub(crate) fn message(
    routed: &Routed<'_>,
    attempt: u64,
    time: UnixTime,
    kind: &str,
    body: &str,
) -> String {
    let mut line = Line::with_room("message", kind.len().saturating_add(body.len()));
    line.routed(routed, time, kind);
    if attempt > 0 {
        line.number("try", attempt);
    }
    line.json("msg", body);
    line.text_with_end()
}

/// A request of ours; `deadline` is in milliseconds.
pub(crate) fn request(
    routed: &Routed<'_>,
    (deadline, attempt): (u64, u64),
    time: UnixTime,
    kind: &str,
    body: &str,
) -> String {
    let mut line = Line::with_room("request", kind.len().saturating_add(body.len()));
    line.routed(routed, time, kind);
    line.number("deadline", deadline);
    line.number("try", attempt);
    line.json("msg", body);
    line.text_with_end()
}

/// A reply of ours to the request `re`.
pub(crate) fn reply(
    re: &str,
    (from, to): (NodeId, NodeId),
    (n, last): (u64, bool),
    kind: &str,
    body: &Payload,
) -> String {
    let mut line = Line::with_room("reply", kind.len().saturating_add(body.as_str().len()));
    line.text("re", re);
    line.number("n", n);
    line.id("from", from);
    line.id("to", to);
    line.text("kind", kind);
    if last {
        line.json("last", "true");
    }
    line.json("msg", body.as_str());
    line.text_with_end()
}

/// A no to the request `re`, said by `at`; with how far it might still go, where that is known of.
pub(crate) fn nak(re: &str, at: NodeId, code: NakCode, ttl: Option<u64>) -> Frame {
    let mut line = Line::new("nak");
    line.text("re", re);
    line.id("at", at);
    line.text("code", nak_word(code));
    line.left(ttl);
    line.finish()
}

pub(crate) fn find(routed: &Routed<'_>) -> Frame {
    with_ends("find", routed)
}

pub(crate) fn found(routed: &Routed<'_>) -> Frame {
    with_ends("found", routed)
}

fn with_ends(msgtype: &str, routed: &Routed<'_>) -> Frame {
    let mut line = Line::new(msgtype);
    line.ends(routed);
    line.number("ttl", routed.ttl);
    line.finish()
}

pub(crate) fn error(re: &str, code: &str, ttl: Option<u64>) -> Frame {
    let mut line = Line::new("error");
    line.text("re", re);
    line.text("code", code);
    line.left(ttl);
    line.finish()
}

/// A line being written.
pub(super) struct Line {
    text: String,
}

impl Line {
    fn new(msgtype: &str) -> Self {
        Self::with_room(msgtype, 0)
    }

    fn with_room(msgtype: &str, room: usize) -> Self {
        Self::over(String::with_capacity(room.saturating_add(256)), msgtype)
    }

    /// Over what the buffer holds.
    pub(super) fn over(text: String, msgtype: &str) -> Self {
        let mut line = Self::continued(text, 0);
        line.raw("{\"msgtype\":\"");
        line.raw(msgtype);
        line.raw("\"");
        line
    }

    /// A line of which the first bytes are written.
    pub(super) fn continued(mut text: String, bytes: usize) -> Self {
        text.truncate(bytes);
        Self { text }
    }

    pub(super) fn len(&self) -> usize {
        self.text.len()
    }

    pub(super) fn reserve(&mut self, room: usize) {
        self.text.reserve(room.saturating_add(MOST_DIGITS).saturating_add(2));
    }

    pub(super) fn raw(&mut self, text: &str) {
        self.text.push_str(text);
    }

    #[inline]
    pub(super) fn key(&mut self, key: &str) {
        self.text.push_str(",\"");
        self.text.push_str(key);
        self.text.push_str("\":");
    }

    #[inline]
    pub(super) fn text(&mut self, key: &str, value: &str) {
        self.key(key);
        push_quoted(&mut self.text, value);
    }

    #[inline]
    pub(super) fn number(&mut self, key: &str, value: u64) {
        self.key(key);
        self.digits(value);
    }

    /// A number alone, two digits at a time.
    pub(super) fn digits(&mut self, value: u64) {
        // Ours come from settings, and may be larger than a reader takes.
        let mut value = value.min(LARGEST);
        let mut digits = [b'0'; MOST_DIGITS];
        let mut first = MOST_DIGITS;
        for pair in digits.rchunks_exact_mut(2) {
            let two = (value % 100) as u8;
            if let [ten, one] = pair {
                (*ten, *one) = (ten.wrapping_add(two / 10), one.wrapping_add(two % 10));
            }
            value /= 100;
            first = first.wrapping_sub(if value == 0 && two < 10 { 1 } else { 2 });
            if value == 0 {
                break;
            }
        }
        let digits = digits.get(first..).unwrap_or_default();
        self.text.push_str(core::str::from_utf8(digits).unwrap_or_default());
    }

    /// A value that shows itself without anything to escape.
    fn name(&mut self, key: &str, value: impl Display) {
        self.key(key);
        let _infallible = write!(self.text, "\"{value}\"");
    }

    pub(super) fn id(&mut self, key: &str, id: NodeId) {
        self.key(key);
        self.quoted_id(id);
    }

    fn quoted_id(&mut self, id: NodeId) {
        self.text.push('"');
        self.text.push_str(id.uuid().hyphenated().encode_lower(&mut Uuid::encode_buffer()));
        self.text.push('"');
    }

    fn stream(&mut self, stream: Option<StreamId>) {
        if let Some((originator, epoch)) = stream {
            self.id("originator", originator);
            self.number("epoch", u64::from(epoch));
        }
    }

    fn ends(&mut self, routed: &Routed<'_>) {
        self.text("id", routed.id);
        self.id("from", routed.from);
        self.id("to", routed.to);
    }

    fn routed(&mut self, routed: &Routed<'_>, time: UnixTime, kind: &str) {
        self.ends(routed);
        self.text("kind", kind);
        self.number("time", time.as_millis());
        self.number("ttl", routed.ttl);
    }

    fn left(&mut self, ttl: Option<u64>) {
        if let Some(ttl) = ttl {
            self.number("ttl", ttl);
        }
    }

    fn json(&mut self, key: &str, value: &str) {
        self.key(key);
        self.text.push_str(value);
    }

    /// The beginning of a pair: an address, of which nothing is to be escaped.
    fn open_pair(&mut self, addr: SocketAddr) {
        let _infallible = write!(self.text, "[\"{addr}\",");
    }

    fn numbers(&mut self, numbers: &[u64]) {
        self.items(numbers, |line, number| line.digits(*number));
    }

    fn list<T>(
        &mut self,
        key: &str,
        items: impl IntoIterator<Item = T>,
        write: impl FnMut(&mut Self, T),
    ) {
        self.key(key);
        self.items(items, write);
    }

    /// An array; `write` writes each of its elements.
    fn items<T>(
        &mut self,
        items: impl IntoIterator<Item = T>,
        mut write: impl FnMut(&mut Self, T),
    ) {
        self.raw("[");
        for (index, item) in items.into_iter().enumerate() {
            if index > 0 {
                self.raw(",");
            }
            write(self, item);
        }
        self.raw("]");
    }

    pub(super) fn into_text(self) -> String {
        self.text
    }

    pub(super) fn text_with_end(mut self) -> String {
        self.text.push_str("}\n");
        self.text
    }

    fn finish(self) -> Frame {
        Frame::new(&self.text_with_end())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::wire::native::decode;
    use crate::wire::received::Received;
    use alloc::format;
    use alloc::string::ToString;
    use alloc::vec::Vec;

    #[test]
    fn numbers_and_ids_are_written_as_a_formatter_would() {
        let powers = (0..16).map(|power| 10_u64.pow(power));
        let around = powers.flat_map(|power| [power - 1, power, power + 1]);
        for number in around.chain([1_795_233_600_123, LARGEST - 1, LARGEST]) {
            let mut line = Line::new("x");
            line.number("n", number);
            assert_eq!(line.text, format!("{{\"msgtype\":\"x\",\"n\":{number}"));
        }
        for (epoch, count) in [(0, 0), (0x00ab_cdef, 7), (u32::MAX, LARGEST), (0x1234_5678, 1000)] {
            assert_eq!(message_id(epoch, count), format!("{epoch:08x}.{count}"));
        }
        let id = NodeId::from_random_bytes([0xab; 16]);
        let mut line = Line::over("old".into(), "x");
        line.id("i", id);
        assert_eq!(line.text, format!("{{\"msgtype\":\"x\",\"i\":\"{id}\""));
    }

    #[test]
    fn no_number_is_larger_than_a_reader_takes() {
        for frame in [bye(ByeReason::Disconnect, Some(u64::MAX), &[]), getaddr(Some(usize::MAX))] {
            let line = Received::new(frame.as_bytes().strip_suffix(b"\n").unwrap()).unwrap();
            assert!(decode(line.text).is_ok(), "{}", line.text);
        }
    }

    /// What is written, without the end of the line.
    fn text(frame: &Frame) -> &str {
        core::str::from_utf8(frame.as_bytes()).unwrap().strip_suffix('\n').unwrap()
    }

    #[test]
    fn each_line_is_written_to_the_letter() {
        let [id, other] = [1, 2].map(|number| NodeId::from_random_bytes([number; 16]));
        let addr: SocketAddr = "192.0.2.1:5".parse().unwrap();
        let routed = Routed { id: "a.1", from: id, to: other, ttl: 3 };
        let caps = Caps { route: true, routes_only: true };
        let listen = Some(Listen::Addr(addr));
        let (network, agent, nonce) = ("n", "a\"", Some(7));
        let long = HelloOut { network, agent, nonce, listen, you: addr, max: 9, caps };
        let (listen, caps) = (Some(Listen::Port(5)), Caps::default());
        let short = HelloOut { nonce: None, listen, caps, ..long.clone() };
        let v0_start = format!(r#"{{"msgtype":"hello","nodeid":"{id}""#);
        let hello_start = format!("{v0_start},\"version\":1,\"min_version\":0");
        let words: Vec<String> = long.caps.words().map(|word| format!("\"{word}\"")).collect();
        let (words, at) = (words.join(","), r#""listen":"192.0.2.1:5""#);
        let names = r#""network":"n","agent":"a\"""#;
        let you = r#""you":"192.0.2.1:5","max":9"#;
        let ends = format!(r#""from":"{id}","to":"{other}""#);
        let bye_start = r#"{"msgtype":"bye","reason":"full""#;
        let rows = [(addr, "one".to_string(), 4), (addr, "two".to_string(), 5)];
        let pairs = r#"[["192.0.2.1:5","one"],["192.0.2.1:5","two"]]"#;
        for (frame, expected) in [
            (
                hello(id, &long),
                format!("{hello_start},{names},\"nonce\":7,{at},{you},\"caps\":[{words}]}}"),
            ),
            (hello(id, &short), format!("{hello_start},{names},\"listen\":5,{you}}}")),
            (hello_v0(id), format!("{v0_start}}}")),
            (ping(Some(7)), r#"{"msgtype":"ping","nonce":7}"#.into()),
            (pong(None), r#"{"msgtype":"pong"}"#.into()),
            (bye(ByeReason::Full, None, &[]), format!("{bye_start}}}")),
            (
                bye(ByeReason::Full, Some(8), &[(addr, id)]),
                format!(r#"{bye_start},"retry":8,"peers":[["192.0.2.1:5","{id}"]]}}"#),
            ),
            (getaddr(None), r#"{"msgtype":"getaddr"}"#.into()),
            (getaddr(Some(4)), r#"{"msgtype":"getaddr","max":4}"#.into()),
            (super::addr(&rows, false), format!(r#"{{"msgtype":"addr","peers":{pairs}}}"#)),
            (
                super::addr(&rows, true),
                format!(r#"{{"msgtype":"addr","peers":{pairs},"ages":[4,5]}}"#),
            ),
            (super::addr(&[], true), r#"{"msgtype":"addr","peers":[]}"#.into()),
            (find(&routed), format!(r#"{{"msgtype":"find","id":"a.1",{ends},"ttl":3}}"#)),
            (found(&routed), format!(r#"{{"msgtype":"found","id":"a.1",{ends},"ttl":3}}"#)),
            (
                nak("a.1", id, NakCode::Busy, Some(3)),
                format!(r#"{{"msgtype":"nak","re":"a.1","at":"{id}","code":"busy","ttl":3}}"#),
            ),
            (error("a.1", "gone", None), r#"{"msgtype":"error","re":"a.1","code":"gone"}"#.into()),
        ] {
            assert_eq!(text(&frame), expected);
        }
    }

    #[test]
    fn lines_of_one_node_for_another_are_written_to_the_letter() {
        let [id, other] = [1, 2].map(|number| NodeId::from_random_bytes([number; 16]));
        let routed = Routed { id: "a.1", from: id, to: other, ttl: 3 };
        let time = UnixTime::from_millis(6);
        let ends = format!(r#""from":"{id}","to":"{other}""#);
        let start = format!(r#""id":"a.1",{ends},"kind":"K","time":6,"ttl":3"#);
        let body = Payload::from_json("[1]").unwrap();
        let reply_start = format!(r#"{{"msgtype":"reply","re":"a.1","n":2,{ends},"kind":"K""#);
        for (line, expected) in [
            (
                message(&routed, 0, time, "K", "[1]"),
                format!(r#"{{"msgtype":"message",{start},"msg":[1]}}"#),
            ),
            (
                message(&routed, 1, time, "K", "[1]"),
                format!(r#"{{"msgtype":"message",{start},"try":1,"msg":[1]}}"#),
            ),
            (
                request(&routed, (8, 0), time, "K", "[1]"),
                format!(r#"{{"msgtype":"request",{start},"deadline":8,"try":0,"msg":[1]}}"#),
            ),
            (
                reply("a.1", (id, other), (2, false), "K", &body),
                format!(r#"{reply_start},"msg":[1]}}"#),
            ),
            (
                reply("a.1", (id, other), (2, true), "K", &body),
                format!(r#"{reply_start},"last":true,"msg":[1]}}"#),
            ),
        ] {
            assert_eq!(line, expected + "\n");
        }
    }
}
