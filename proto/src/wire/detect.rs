//! Tells native lines from chat objects, and finds where a chat object ends.
//!
//! Both begin with `{`. The first key of the outer object that is `msgtype` or `msg_type`, once
//! unescaped, decides. Values are passed over by their quotes and brackets alone: whether the text
//! is JSON is for others to judge. Nothing is copied, and every cut of the stream gives the same.
#![deny(clippy::arithmetic_side_effects)]

use crate::limits::MAX_DEPTH;

/// What an object is.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "testing", derive(Hash))]
pub(crate) enum Found {
    /// `msgtype` came first.
    Native,
    /// `msg_type` came first.
    Chat,
    /// The object has ended without either, or cannot become JSON that is read here.
    Neither,
}

const NATIVE: &[u8] = b"msgtype";
const CHAT: &[u8] = b"msg_type";

/// Looks for the deciding key. Starts at the object's brace; blanks before it may be fed too.
#[derive(Clone, Debug, Default)]
#[cfg_attr(feature = "testing", derive(Hash))]
pub(crate) struct Scan {
    place: Place,
    line_ended: bool,
}

/// What the next byte belongs to.
#[derive(Clone, Debug, Default)]
#[cfg_attr(feature = "testing", derive(Hash))]
enum Place {
    /// Before the outer object.
    #[default]
    Before,
    /// Before a key.
    Member,
    Key(Key),
    /// Between a key and its colon.
    Colon,
    Value(Nesting),
    Decided(Found),
}

impl Scan {
    /// Reads on. Once it is decided the answer stays, and no more is read.
    pub(crate) fn feed(&mut self, bytes: &[u8]) -> Option<Found> {
        for byte in bytes {
            if let Place::Decided(found) = self.place {
                return Some(found);
            }
            self.line_ended |= *byte == b'\n';
            self.step(*byte);
        }
        match self.place {
            Place::Decided(found) => Some(found),
            Place::Before | Place::Member | Place::Key(_) | Place::Colon | Place::Value(_) => None,
        }
    }

    /// Whether a line has ended before the decision. A native line would have ended there.
    pub(crate) fn line_ended(&self) -> bool {
        self.line_ended
    }

    fn step(&mut self, byte: u8) {
        let blank = matches!(byte, b' ' | b'\t' | b'\r' | b'\n');
        let next = match &mut self.place {
            Place::Before | Place::Member | Place::Colon if blank => return,
            Place::Before if byte == b'{' => Place::Member,
            Place::Member if byte == b'"' => Place::Key(Key::default()),
            Place::Colon if byte == b':' => Place::Value(Nesting { depth: 1, text: Text::Outside }),
            Place::Before | Place::Member | Place::Colon => Place::Decided(Found::Neither),
            Place::Key(key) => match key.step(byte) {
                None => return,
                Some(KeyEnd::Broken) => Place::Decided(Found::Neither),
                Some(KeyEnd::Native) => Place::Decided(Found::Native),
                Some(KeyEnd::Chat) => Place::Decided(Found::Chat),
                Some(KeyEnd::Other) => Place::Colon,
            },
            Place::Value(nesting) => {
                let outer = nesting.depth == 1 && nesting.text == Text::Outside;
                if outer && byte == b',' {
                    Place::Member
                } else if nesting.step(byte) && nesting.depth <= MAX_DEPTH {
                    return;
                } else {
                    Place::Decided(Found::Neither)
                }
            }
            Place::Decided(_) => return,
        };
        self.place = next;
    }
}

/// A key being compared with the two names as it arrives.
#[derive(Clone, Debug, Default)]
#[cfg_attr(feature = "testing", derive(Hash))]
struct Key {
    /// Characters so far.
    len: usize,
    not_native: bool,
    not_chat: bool,
    escape: Escape,
}

/// Where in an escape a key stands.
#[derive(Copy, Clone, Debug, Default)]
#[cfg_attr(feature = "testing", derive(Hash))]
enum Escape {
    #[default]
    None,
    /// After the backslash.
    Begun,
    /// After the `u` and some of its four digits.
    Unicode { digits: u8, value: u16 },
}

/// How a key ends.
enum KeyEnd {
    Native,
    Chat,
    Other,
    /// It is no JSON string.
    Broken,
}

impl Key {
    fn step(&mut self, byte: u8) -> Option<KeyEnd> {
        match (self.escape, byte) {
            (Escape::None, b'"') => return Some(self.end()),
            (Escape::None, b'\\') => self.escape = Escape::Begun,
            (Escape::None, 0..=0x1f) => return Some(KeyEnd::Broken),
            (Escape::None, _) => self.put(u16::from(byte)),
            (Escape::Begun, b'u') => self.escape = Escape::Unicode { digits: 0, value: 0 },
            // None of these characters is in either name, so which one it is does not matter.
            (Escape::Begun, b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.put(0),
            (Escape::Begun, _) => return Some(KeyEnd::Broken),
            (Escape::Unicode { digits, value }, _) => return self.digit(digits, value, byte),
        }
        None
    }

    fn digit(&mut self, digits: u8, value: u16, byte: u8) -> Option<KeyEnd> {
        let Some(digit) = char::from(byte).to_digit(16) else { return Some(KeyEnd::Broken) };
        let value = (value << 4) | digit as u16;
        match digits {
            3.. => self.put(value),
            _ => self.escape = Escape::Unicode { digits: digits.saturating_add(1), value },
        }
        None
    }

    /// A character, or a part of one beyond ASCII, which is in neither name.
    fn put(&mut self, character: u16) {
        let is_next = |name: &[u8]| name.get(self.len).copied().map(u16::from) == Some(character);
        self.not_native |= !is_next(NATIVE);
        self.not_chat |= !is_next(CHAT);
        self.len = self.len.saturating_add(1);
        self.escape = Escape::None;
    }

    fn end(&self) -> KeyEnd {
        match self.len {
            7 if !self.not_native => KeyEnd::Native,
            8 if !self.not_chat => KeyEnd::Chat,
            _ => KeyEnd::Other,
        }
    }
}

const _: () = assert!(NATIVE.len() == 7 && CHAT.len() == 8, "the lengths that `Key::end` takes");

/// Finds the end of the outer object. Starts at its brace; blanks before it may be fed too.
#[derive(Clone, Debug, Default)]
#[cfg_attr(feature = "testing", derive(Hash))]
pub(crate) struct ObjectEnd {
    nesting: Nesting,
    ended: bool,
}

impl ObjectEnd {
    /// Reads on. The count of bytes of this piece up to and with the closing brace, or `None` if
    /// the object goes on. After the end that is 0.
    pub(crate) fn feed(&mut self, bytes: &[u8]) -> Option<usize> {
        if self.ended {
            return Some(0);
        }
        let end = bytes.iter().position(|byte| {
            let inside = self.nesting.depth > 0;
            !self.nesting.step(*byte) && inside
        });
        self.ended = end.is_some();
        end.map(|end| end.saturating_add(1))
    }
}

/// How deep a position lies, by quotes and brackets alone. A brace may close a bracket: then the
/// text is no JSON, which its reader will notice.
#[derive(Clone, Debug, Default)]
#[cfg_attr(feature = "testing", derive(Hash))]
struct Nesting {
    depth: usize,
    text: Text,
}

/// Where a string is concerned.
#[derive(Copy, Clone, Debug, Default, Eq, PartialEq)]
#[cfg_attr(feature = "testing", derive(Hash))]
enum Text {
    #[default]
    Outside,
    Inside,
    /// After a backslash.
    Escaped,
}

impl Nesting {
    /// Takes the next byte; false if nothing is open after it.
    fn step(&mut self, byte: u8) -> bool {
        match (self.text, byte) {
            (Text::Outside, b'"') => self.text = Text::Inside,
            (Text::Outside, b'{' | b'[') => self.depth = self.depth.saturating_add(1),
            (Text::Outside, b'}' | b']') => self.depth = self.depth.saturating_sub(1),
            (Text::Outside, _) => {}
            (Text::Inside, b'"') => self.text = Text::Outside,
            (Text::Inside, b'\\') => self.text = Text::Escaped,
            (Text::Inside, _) => {}
            (Text::Escaped, _) => self.text = Text::Inside,
        }
        self.depth > 0
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::arithmetic_side_effects, clippy::indexing_slicing)]
    use super::*;
    use crate::rng::Rng;
    use alloc::format;
    use alloc::string::{String, ToString as _};
    use alloc::vec::Vec;

    /// The answer on the whole, which every cut into two and the cut into bytes must repeat, with
    /// where it came.
    #[track_caller]
    fn check(text: &str, expected: Option<Found>) {
        let bytes = text.as_bytes();
        let mut whole = Scan::default();
        assert_eq!(whole.feed(bytes), expected, "{text}");
        for cut in 0..=bytes.len() {
            let mut scan = Scan::default();
            let first = scan.feed(&bytes[..cut]);
            assert!(first.is_none() || first == expected, "{text} cut at {cut}");
            assert_eq!(scan.feed(&bytes[cut..]), expected, "{text} cut at {cut}");
            assert_eq!(scan.line_ended(), whole.line_ended(), "{text} cut at {cut}");
        }
        let mut scan = Scan::default();
        let found = bytes.chunks(1).filter_map(|byte| scan.feed(byte)).next();
        assert_eq!(found, expected, "{text}");
        assert_eq!(scan.line_ended(), whole.line_ended(), "{text}");
    }

    #[test]
    fn the_first_of_the_two_keys_decides() {
        check(r#"{"msgtype":"hello"}"#, Some(Found::Native));
        check(r#"{"msg_type": "PING"}"#, Some(Found::Chat));
        check(r#"{"msg": "msgtype", "msg_type":"#, Some(Found::Chat));
        check(r#"{"msg":{"msg_type":1,"x":["}"]},"msgtype""#, Some(Found::Native));
        check(r#"{"msg_type":1,"msgtype":1}"#, Some(Found::Chat));
        check(r#"{"msgtype":1,"msg_type":1}"#, Some(Found::Native));
        check(" \r\n {\"msg_type\"", Some(Found::Chat));
        check(
            r#"{"msg_typ":1,"msgtypes":2,"msg_type2":3,"Msgtype":4,"":5,"msgtype""#,
            Some(Found::Native),
        );
    }

    #[test]
    fn keys_are_compared_unescaped() {
        let escape = |name: &str| {
            name.bytes().fold(String::new(), |text, byte| text + &format!("\\u{byte:04x}"))
        };
        check(&format!("{{\"{}\"", escape("msgtype")), Some(Found::Native));
        check(
            &format!("{{\"{}\"", escape("msg_type").to_uppercase().replace("\\U", "\\u")),
            Some(Found::Chat),
        );
        check(r#"{"msg\u005Ftype""#, Some(Found::Chat));
        check(
            r#"{"msg\u015ftype":1,"msg\ud800type":2,"msg\\_type":3,"msg\_type""#,
            Some(Found::Neither),
        );
        check(r#"{"m\tsgtype":1,"\"msgtype":2,"msgtype\n":3,"msgtype""#, Some(Found::Native));
        check(r#"{"\u12g4""#, Some(Found::Neither));
        check(r#"{"äöü😀":1,"msg_type""#, Some(Found::Chat));
    }

    #[test]
    fn values_are_passed_over() {
        check(r#"{"a":"}\"]\\","b":[{},[",\"msgtype\":"],-1.5e3],"msg_type""#, Some(Found::Chat));
        check(r#"{"a":"\u0022,","msgtype""#, Some(Found::Native));
        check(r#"{"a":{"msgtype":{"msg_type":{}}}"#, None);
        check(r#"{"a":{"msgtype":{"msg_type":{}}}}"#, Some(Found::Neither));
        check(r#"{"a":"msgtype"#, None);
        check(r#"{"msgtype"#, None);
        check(r#"{"msgtype\"#, None);
        check("", None);
    }

    #[test]
    fn what_cannot_become_an_object_is_neither() {
        for text in [
            "{}",
            "{ }",
            "x",
            "[",
            "{,",
            "{1",
            "{[",
            "{\"a\"}",
            "{\"a\",",
            "{\"a\":1}",
            "{\"a\":]",
            "{\"a\":1,}",
            "{\"a\":1,,",
            "{\"a\nb",
            "{\"a\\x",
            "{\"a\":1}{\"msgtype\":",
            "{\"a\":[}}",
        ] {
            check(text, Some(Found::Neither));
        }
        let nested = |depth| format!("{{\"a\":{}", "[".repeat(depth));
        check(&nested(MAX_DEPTH - 1), None);
        check(&nested(MAX_DEPTH), Some(Found::Neither));
        check(&format!("{{\"{}", "\\u".repeat(9)), Some(Found::Neither));
    }

    #[test]
    fn a_line_end_before_the_decision_is_told_and_one_after_it_is_not() {
        let ended = |text: &str| {
            let mut scan = Scan::default();
            scan.feed(text.as_bytes());
            scan.feed(b"\n");
            scan.line_ended()
        };
        assert!(!ended("{\"msgtype\""));
        assert!(!ended("{\"msgtype\":\n1}"));
        assert!(!ended("{\"a\":\"\\n\",\r\"msgtype\""));
        assert!(ended("{\n\"msgtype\""));
        assert!(ended("{\"a\":\n1,\"msgtype\""));
        assert!(ended("{\"a\":[\"\n\"],\"msgtype\""));
    }

    #[test]
    fn a_scan_is_small() {
        assert!(size_of::<Scan>() <= 32, "{}", size_of::<Scan>());
        assert!(size_of::<ObjectEnd>() <= 32, "{}", size_of::<ObjectEnd>());
    }

    #[test]
    fn the_end_is_found_at_every_cut() {
        let object = r#" {"a":"}\"{","b":[{"c":"\\"},[]],"d":{}}"#;
        let text = format!("{object} {{}}\n");
        for cut in 0..=text.len() {
            let mut end = ObjectEnd::default();
            let (a, b) = text.as_bytes().split_at(cut);
            let found = end.feed(a).or_else(|| end.feed(b).map(|count| cut + count));
            assert_eq!(found, Some(object.len()), "cut at {cut}");
            assert_eq!(end.feed(b"}"), Some(0));
        }
        for text in ["", "{", "{\"a\":\"}", "{\"a\":\"\\\"}", "}}", "]", "x", "{[}"] {
            assert_eq!(ObjectEnd::default().feed(text.as_bytes()), None, "{text}");
        }
        let deep = "{".repeat(100_000) + &"}".repeat(100_000);
        assert_eq!(ObjectEnd::default().feed(deep.as_bytes()), Some(200_000));
    }

    /// An object of random members, and what decides it.
    fn random(rng: &mut Rng) -> (String, Option<Found>) {
        let mut found = None;
        let members: Vec<String> = (0..rng.below(5))
            .map(|_| {
                let (key, what) = [
                    ("msgtype", Some(Found::Native)),
                    ("msg_type", Some(Found::Chat)),
                    (r"m\u0073gtype", Some(Found::Native)),
                    (r#"\"msgtype"#, None),
                    ("msg", None),
                ][rng.below(5) as usize];
                found = found.or(what);
                let value =
                    ["1", "\"}\"", "{}", r#"{"msgtype":[{"msg_type":"\\"}]}"#, "[[\"\\\"\"],null]"]
                        [rng.below(5) as usize];
                format!("\"{key}\":{value}")
            })
            .collect();
        (format!("{{{}}}", members.join([",", " , "][rng.below(2) as usize])), found)
    }

    #[test]
    fn random_objects_are_told_apart_and_ended() {
        let mut rng = Rng::new([5; 32]);
        for _ in 0..2000 {
            let (text, found) = random(&mut rng);
            check(&text, Some(found.unwrap_or(Found::Neither)));
            let more = text.to_string() + "{}";
            assert_eq!(ObjectEnd::default().feed(more.as_bytes()), Some(text.len()));
        }
    }

    #[test]
    fn random_bytes_do_no_harm_at_any_cut() {
        let mut rng = Rng::new([6; 32]);
        for _ in 0..5000 {
            let letters = b"{}[]\":,\\u0 \nmsgtype_\xff";
            let pick = |_| letters[rng.below(letters.len() as u64) as usize];
            let bytes: Vec<u8> = b"{\"".iter().copied().chain((0..40).map(pick)).collect();
            let (mut whole, mut cut) = (Scan::default(), Scan::default());
            let found = whole.feed(&bytes);
            assert_eq!(bytes.chunks(1).filter_map(|byte| cut.feed(byte)).next(), found);
            let mut cut = ObjectEnd::default();
            let ends: Vec<usize> = bytes.chunks(1).filter_map(|byte| cut.feed(byte)).collect();
            let end = ObjectEnd::default().feed(&bytes);
            assert_eq!(end.is_some(), !ends.is_empty());
            assert_eq!(end.unwrap_or(bytes.len()) + ends.len().saturating_sub(1), bytes.len());
        }
    }
}
