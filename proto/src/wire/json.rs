//! Checks JSON and finds the members of its outer object, in one pass and without allocating.
//!
//! Accepts exactly what `serde_json::from_str::<serde_json::Value>` accepts, but for nesting, which
//! it limits; a differential fuzz target holds it to that. It interprets nothing: a member is a key
//! and the span of its value.
//!
//! Nesting is tracked in a bit stack, not by recursion, so hostile depth costs a comparison.

use alloc::borrow::Cow;
use alloc::string::String;

use crate::limits::MAX_DEPTH;

/// Where a text stops being JSON, and how.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(crate) struct Fault {
    pub(crate) at: usize,
    pub(crate) what: &'static str,
}

/// A string of the text, without its quotes.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(crate) struct Text<'a> {
    inner: &'a str,
    escaped: bool,
}

impl<'a> Text<'a> {
    /// The string's value.
    pub(crate) fn unescape(self) -> Cow<'a, str> {
        if !self.escaped {
            return Cow::Borrowed(self.inner);
        }
        // The scan has checked the string, so serde_json takes it.
        let quoted = ["\"", self.inner, "\""].concat();
        Cow::Owned(serde_json::from_str::<String>(&quoted).unwrap_or_default())
    }
}

/// A value of the text: what it is, and where.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(crate) struct Span<'a> {
    pub(crate) text: &'a str,
    pub(crate) start: usize,
    /// It is a string with an escape in it.
    escaped: bool,
}

impl<'a> Span<'a> {
    /// The value as a string, if it is one.
    pub(crate) fn as_text(&self) -> Option<Cow<'a, str>> {
        let inner = self.text.strip_prefix('"')?.strip_suffix('"')?;
        Some(Text { inner, escaped: self.escaped }.unescape())
    }

    /// The value as an integer from 0 to 2^53 - 1, if it is one.
    pub(crate) fn as_integer(&self) -> Option<u64> {
        // No number below 2^53 has more digits, and none of so many is too large for 64 bits.
        if self.text.len() > 16 {
            return None;
        }
        let mut number = 0_u64;
        for byte in self.text.bytes() {
            let digit = byte.wrapping_sub(b'0');
            if digit > 9 {
                return None;
            }
            number = number.wrapping_mul(10).wrapping_add(u64::from(digit));
        }
        (number < 1 << 53).then_some(number)
    }
}

/// Checks that `text` is one JSON value of at most `depth` levels.
pub(crate) fn check(text: &str, depth: usize) -> Result<(), Fault> {
    let mut scan = Scan { text, at: 0 };
    scan.blanks();
    scan.value(depth)?;
    scan.end()
}

/// Checks that `text` is one JSON object of at most 32 levels, and hands each member of it to
/// `each` in order. What `each` refuses ends the scan.
pub(crate) fn object<'a>(
    text: &'a str,
    mut each: impl FnMut(Text<'a>, Span<'a>) -> Result<(), Fault>,
) -> Result<(), Fault> {
    let mut scan = Scan { text, at: 0 };
    scan.blanks();
    scan.expect(b'{', "not an object")?;
    scan.blanks();
    if !scan.take(b'}') {
        loop {
            let key = scan.key()?;
            let value = scan.span(MAX_DEPTH - 1)?;
            each(key, value)?;
            if !scan.another(b'}')? {
                break;
            }
        }
    }
    scan.end()
}

/// Hands each element of an array to `each`; `None` if `text` is no array. The text must have been
/// checked before.
pub(crate) fn elements<'a>(span: Span<'a>, mut each: impl FnMut(Span<'a>)) -> Option<()> {
    let mut scan = Scan { text: span.text, at: 0 };
    scan.expect(b'[', "not an array").ok()?;
    scan.blanks();
    while !scan.take(b']') {
        let mut element = scan.span(MAX_DEPTH).ok()?;
        element.start = element.start.saturating_add(span.start);
        each(element);
        scan.blanks();
        scan.take(b',');
        scan.blanks();
    }
    Some(())
}

/// A position in a text. `at` never exceeds the text's length and is always a character boundary
/// when a span is cut.
struct Scan<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Scan<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn step(&mut self) {
        self.at = self.at.saturating_add(1);
    }

    fn fault<T>(&self, what: &'static str) -> Result<T, Fault> {
        Err(Fault { at: self.at, what })
    }

    fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        if found {
            self.step();
        }
        found
    }

    fn expect(&mut self, byte: u8, what: &'static str) -> Result<(), Fault> {
        if self.take(byte) { Ok(()) } else { self.fault(what) }
    }

    fn blanks(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\n' | b'\t' | b'\r')) {
            self.step();
        }
    }

    fn end(&mut self) -> Result<(), Fault> {
        self.blanks();
        if self.at == self.text.len() { Ok(()) } else { self.fault("trailing characters") }
    }

    /// A key, its colon, and the blanks around them.
    fn key(&mut self) -> Result<Text<'a>, Fault> {
        let start = self.at.saturating_add(1);
        let escaped = self.string("key is not a string")?;
        let inner = self.text.get(start..self.at.saturating_sub(1)).unwrap_or_default();
        self.blanks();
        self.expect(b':', "no colon after a key")?;
        self.blanks();
        Ok(Text { inner, escaped })
    }

    /// What separates members: true if another follows, false at `close`.
    fn another(&mut self, close: u8) -> Result<bool, Fault> {
        self.blanks();
        if self.take(close) {
            return Ok(false);
        }
        self.expect(b',', "neither a comma nor an end")?;
        self.blanks();
        Ok(true)
    }

    fn span(&mut self, depth: usize) -> Result<Span<'a>, Fault> {
        let start = self.at;
        let escaped = match self.peek() {
            Some(b'"') => self.string("not a string")?,
            _ => self.value(depth).map(|()| false)?,
        };
        Ok(Span { text: self.text.get(start..self.at).unwrap_or_default(), start, escaped })
    }

    /// One value of at most `depth` levels, without recursion.
    fn value(&mut self, depth: usize) -> Result<(), Fault> {
        let mut open = Stack::default();
        loop {
            if self.open_or_scalar(&mut open, depth)? {
                continue;
            }
            if !self.close(&mut open)? {
                return Ok(());
            }
        }
    }

    /// A scalar, an empty container, or the start of a container up to its first value: true if a
    /// value must follow.
    fn open_or_scalar(&mut self, open: &mut Stack, depth: usize) -> Result<bool, Fault> {
        let (kind, close) = match self.peek() {
            Some(b'{') => (Container::Object, b'}'),
            Some(b'[') => (Container::Array, b']'),
            _ => return self.scalar().map(|()| false),
        };
        if open.depth() >= depth {
            return self.fault("nested too deeply");
        }
        self.step();
        self.blanks();
        if self.take(close) {
            return Ok(false);
        }
        open.push(kind);
        if kind == Container::Object {
            self.key()?;
        }
        Ok(true)
    }

    /// After a value: closes what ends here; true if another value follows.
    fn close(&mut self, open: &mut Stack) -> Result<bool, Fault> {
        while let Some(container) = open.top() {
            let close = if container == Container::Object { b'}' } else { b']' };
            if !self.another(close)? {
                open.pop();
                continue;
            }
            if container == Container::Object {
                self.key()?;
            }
            return Ok(true);
        }
        Ok(false)
    }

    fn scalar(&mut self) -> Result<(), Fault> {
        match self.peek() {
            Some(b'"') => self.string("not a string").map(|_| ()),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.word("true"),
            Some(b'f') => self.word("false"),
            Some(b'n') => self.word("null"),
            _ => self.fault("not a value"),
        }
    }

    fn word(&mut self, word: &'static str) -> Result<(), Fault> {
        let end = self.at.saturating_add(word.len());
        if self.text.get(self.at..end) != Some(word) {
            return self.fault("not a value");
        }
        self.at = end;
        Ok(())
    }

    /// A string; true if it holds an escape.
    fn string(&mut self, what: &'static str) -> Result<bool, Fault> {
        self.expect(b'"', what)?;
        let mut escaped = false;
        loop {
            self.plain();
            match self.peek() {
                Some(b'"') => break,
                Some(b'\\') => self.escape()?,
                Some(_) => return self.fault("a control character in a string"),
                None => return self.fault("a string without an end"),
            }
            escaped = true;
        }
        self.step();
        Ok(escaped)
    }

    /// Steps over bytes that stand for themselves. Keys and words end within a few bytes, which a
    /// loop finds first; a wide search takes over where they do not.
    fn plain(&mut self) {
        let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
        let (near, far) = rest.split_at_checked(NEAR).unwrap_or((rest, &[]));
        let special = |byte: &u8| matches!(byte, b'"' | b'\\' | 0..=0x1f);
        let plain = near.iter().position(special).unwrap_or_else(|| {
            let end = memchr::memchr2(b'"', b'\\', far).unwrap_or(far.len());
            let control = first_control(far.get(..end).unwrap_or_default());
            near.len().saturating_add(control.unwrap_or(end))
        });
        self.at = self.at.saturating_add(plain);
    }

    fn escape(&mut self) -> Result<(), Fault> {
        self.step();
        match self.peek() {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.step(),
            Some(b'u') => return self.unicode(),
            _ => return self.fault("an unknown escape"),
        }
        Ok(())
    }

    /// `\uXXXX`, with the second half of a surrogate pair if it is a first half.
    fn unicode(&mut self) -> Result<(), Fault> {
        match self.four_digits()? {
            0xd800..=0xdbff => {
                if !(self.take(b'\\') && self.peek() == Some(b'u')) {
                    return self.fault("half a surrogate pair");
                }
                match self.four_digits()? {
                    0xdc00..=0xdfff => Ok(()),
                    _ => self.fault("half a surrogate pair"),
                }
            }
            0xdc00..=0xdfff => self.fault("half a surrogate pair"),
            _ => Ok(()),
        }
    }

    /// The number after a `u`.
    fn four_digits(&mut self) -> Result<u32, Fault> {
        self.step();
        let end = self.at.saturating_add(4);
        let digits = self.text.get(self.at..end).unwrap_or_default();
        if !(digits.len() == 4 && digits.bytes().all(|digit| digit.is_ascii_hexdigit())) {
            return self.fault("not four hexadecimal digits");
        }
        self.at = end;
        Ok(u32::from_str_radix(digits, 16).unwrap_or_default())
    }

    fn number(&mut self) -> Result<(), Fault> {
        let start = self.at;
        self.take(b'-');
        if !self.take(b'0') {
            self.digits()?;
        }
        let whole = self.at;
        if self.take(b'.') {
            self.digits()?;
        }
        let exponent = matches!(self.peek(), Some(b'e' | b'E'));
        if exponent {
            self.step();
            let _sign = self.take(b'+') || self.take(b'-');
            self.digits()?;
        }
        // Without an exponent, and with fewer digits than 1e308 has, no number is out of range.
        if exponent || whole.saturating_sub(start) > 300 {
            return self.in_range(start);
        }
        Ok(())
    }

    fn digits(&mut self) -> Result<(), Fault> {
        if !matches!(self.peek(), Some(b'0'..=b'9')) {
            return self.fault("not a digit");
        }
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.step();
        }
        Ok(())
    }

    /// Whether a number that could exceed a double does, by the judgement of serde_json.
    fn in_range(&self, start: usize) -> Result<(), Fault> {
        let number = self.text.get(start..self.at).unwrap_or_default();
        match serde_json::from_str::<serde_json::Number>(number) {
            Ok(_) => Ok(()),
            Err(_) => Err(Fault { at: start, what: "a number out of range" }),
        }
    }
}

/// How far a string is searched byte by byte.
const NEAR: usize = 12;

/// The first control character. Blocks without one are passed without a branch for each byte.
fn first_control(bytes: &[u8]) -> Option<usize> {
    let is_control = |byte: &u8| *byte < 0x20;
    let any = |block: &[u8]| block.iter().fold(false, |any, byte| any | is_control(byte));
    bytes.chunks(64).any(any).then(|| bytes.iter().position(is_control)).flatten()
}

#[derive(Copy, Clone, Debug, Eq, PartialEq)]
enum Container {
    Array,
    Object,
}

/// The containers open around a position: one bit each, up to 63.
#[derive(Copy, Clone, Debug)]
struct Stack {
    /// A leading 1, then one bit per level: 1 for an object.
    bits: u64,
}

const _: () = assert!(MAX_DEPTH < 63, "the stack has room for every level");

impl Default for Stack {
    fn default() -> Self {
        Self { bits: 1 }
    }
}

impl Stack {
    fn depth(self) -> usize {
        63_usize.saturating_sub(self.bits.leading_zeros() as usize)
    }

    fn push(&mut self, container: Container) {
        self.bits = (self.bits << 1) | u64::from(container == Container::Object);
    }

    fn pop(&mut self) {
        self.bits >>= 1;
    }

    fn top(self) -> Option<Container> {
        if self.bits <= 1 {
            return None;
        }
        Some(if self.bits & 1 == 1 { Container::Object } else { Container::Array })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;
    use alloc::vec::Vec;
    use alloc::{format, vec};

    /// Texts on which our check and serde_json's must agree.
    const TEXTS: &[&str] = &[
        "",
        " ",
        "{}",
        "[]",
        "[[]]",
        "{\"a\":1}",
        "{\"a\":1,}",
        "{,}",
        "[1,]",
        "[,]",
        "[1 2]",
        "nul",
        "null",
        "nulll",
        "true",
        "false",
        "tru",
        "\"",
        "\"a",
        "\"a\"",
        "\"\\\"",
        "\"\\u00e4\"",
        "\"\\ud800\"",
        "\"\\ud800\\u0041\"",
        "\"\\ud83d\\ude00\"",
        "\"\\ude00\"",
        "\"\\u12\"",
        "\"\\u123g\"",
        "\"\\x\"",
        "\"\t\"",
        "\"\u{7f}\"",
        "0",
        "-0",
        "00",
        "01",
        "-",
        "+1",
        "1.",
        ".1",
        "1.5",
        "1e",
        "1e5",
        "1E+5",
        "1e-5",
        "1e308",
        "1e309",
        "-1e309",
        "1e-400",
        "0e999999",
        "123456789012345678901234567890",
        "{\"a\" : [ 1 , {} ] } ",
        "{\"a\":1}x",
        "{1:2}",
        "{\"a\"}",
        "{\"a\":}",
        "\u{feff}{}",
        "{\"a\":{\"b\":[{\"c\":null}]}}",
        "[{]}",
        "[}",
        "{]",
        "1e99999999999",
        "\"\\ud800\\u\"",
        "\"\\ud800\\",
        "1.7976931348623157e308",
        "1.7976931348623159e308",
        "\r\n{}\t",
    ];

    #[test]
    fn agrees_with_serde_json_on_every_text() {
        for text in TEXTS {
            let ours = check(text, MAX_DEPTH).is_ok();
            let theirs = serde_json::from_str::<serde_json::Value>(text).is_ok();
            assert_eq!(ours, theirs, "{text}");
        }
        let long = format!("1{}", "0".repeat(400));
        assert_eq!(
            check(&long, 1).is_ok(),
            serde_json::from_str::<serde_json::Value>(&long).is_ok()
        );
    }

    #[test]
    fn what_does_not_stand_for_itself_is_found_wherever_it_is() {
        for special in ["\"", "\\", "\\n", "\u{1f}", "\u{0}", "\n", "\u{7f}", "\u{ff}"] {
            for (before, after) in (0..150).flat_map(|len| [(len, 0), (len, 70)]) {
                let text = format!("\"{}{special}{}\"", "x".repeat(before), "y".repeat(after));
                let theirs = serde_json::from_str::<serde_json::Value>(&text).is_ok();
                assert_eq!(check(&text, 1).is_ok(), theirs, "{text}");
            }
        }
    }

    #[test]
    fn nesting_is_counted_exactly() {
        for depth in 1..=40 {
            let text = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
            assert_eq!(check(&text, MAX_DEPTH).is_ok(), depth <= MAX_DEPTH, "{depth}");
            let text = format!("{{\"a\":{text}}}");
            assert_eq!(object(&text, |_, _| Ok(())).is_ok(), depth < MAX_DEPTH, "{depth}");
        }
        assert!(check(&"[".repeat(1_000_000), MAX_DEPTH).is_err());
    }

    #[test]
    fn members_come_in_order_with_their_spans() {
        let mut seen = Vec::new();
        let text = r#" {"a" : [1, 2] ,"b\u0031":"x\ty", "c":-1.5e3} "#;
        let done = object(text, |key, value| {
            assert_eq!(text.get(value.start..value.start + value.text.len()), Some(value.text));
            seen.push((key.unescape().to_string(), value.text.to_string()));
            Ok(())
        });
        assert_eq!(done, Ok(()));
        let expected = [("a", "[1, 2]"), ("b1", r#""x\ty""#), ("c", "-1.5e3")];
        assert_eq!(seen, expected.map(|(key, value)| (key.to_string(), value.to_string())));
    }

    #[test]
    fn values_convert_only_when_they_are_of_the_type() {
        let span = |text: &'static str| Span { text, start: 0, escaped: text.contains('\\') };
        assert_eq!(span("12").as_integer(), Some(12));
        assert_eq!(span("9007199254740991").as_integer(), Some((1 << 53) - 1));
        for text in ["9007199254740992", "-1", "-0", "1.0", "1e2", "\"1\"", "null"] {
            assert_eq!(span(text).as_integer(), None, "{text}");
        }
        assert_eq!(span(r#""a\nb""#).as_text().as_deref(), Some("a\nb"));
        assert_eq!(span("12").as_text(), None);
        let mut texts = vec![];
        let done = elements(span(r#"[1, [2,3],"x" ]"#), |element| texts.push(element.text));
        assert_eq!((done, texts), (Some(()), vec!["1", "[2,3]", "\"x\""]));
        assert_eq!(elements(span("{}"), |_| ()), None);
    }
}
