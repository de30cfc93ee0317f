//! Checks JSON and finds the members of its outer object, in one pass and without allocating.
//!
//! Accepts exactly what `serde_json::from_str::<serde_json::Value>` accepts, but for nesting, which
//! it limits; a differential fuzz target holds it to that. A member is a key, the span of its
//! value, and what the pass saw anyway: whether a string has escapes, and which integer it is.
//!
//! Each step takes a place in the text and gives the next one. Nothing is kept between steps and a
//! [`Fault`] is small, so all of it stays in registers. Nesting is tracked in a bit stack, not by
//! recursion, so hostile depth costs a comparison.

use alloc::borrow::Cow;
use alloc::string::String;

use crate::limits::MAX_DEPTH;
use crate::wire::plain::plain;

/// Where a text stops being what it should be, and how.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(crate) struct Fault {
    at: u32,
    wrong: Wrong,
}

/// What can be wrong with a text, or with the members of an object.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(crate) enum Wrong {
    NotObject,
    NotValue,
    NotKey,
    NoColon,
    NoEnd,
    Trailing,
    TooDeep,
    Control,
    OpenString,
    Escape,
    Hexadecimal,
    Surrogate,
    NotDigit,
    OutOfRange,
    NoMsgtype,
    Missing,
    Twice,
    Type,
}

impl Fault {
    pub(crate) fn new(at: usize, wrong: Wrong) -> Self {
        // Only a body of more than 4 GiB has places beyond, and it is too long for a line.
        Self { at: u32::try_from(at).unwrap_or(u32::MAX), wrong }
    }

    /// The byte at which it shows.
    pub(crate) fn at(self) -> usize {
        self.at as usize
    }

    pub(crate) fn what(self) -> &'static str {
        match self.wrong {
            Wrong::NotObject => "not an object",
            Wrong::NotValue => "not a value",
            Wrong::NotKey => "key is not a string",
            Wrong::NoColon => "no colon after a key",
            Wrong::NoEnd => "neither a comma nor an end",
            Wrong::Trailing => "trailing characters",
            Wrong::TooDeep => "nested too deeply",
            Wrong::Control => "a control character in a string",
            Wrong::OpenString => "a string without an end",
            Wrong::Escape => "an unknown escape",
            Wrong::Hexadecimal => "not four hexadecimal digits",
            Wrong::Surrogate => "half a surrogate pair",
            Wrong::NotDigit => "not a digit",
            Wrong::OutOfRange => "a number out of range",
            Wrong::NoMsgtype => "no msgtype",
            Wrong::Missing => "a required field is missing",
            Wrong::Twice => "a field occurs twice",
            Wrong::Type => "a field of the wrong type",
        }
    }
}

/// A string of the text, without its quotes.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(crate) struct Text<'a> {
    inner: &'a str,
    escaped: bool,
}

impl<'a> Text<'a> {
    /// The string's value.
    #[inline]
    pub(crate) fn unescape(self) -> Cow<'a, str> {
        if self.escaped { self.unescaped() } else { Cow::Borrowed(self.inner) }
    }

    #[cold]
    fn unescaped(self) -> Cow<'a, str> {
        // The scan has checked the string, so serde_json takes it.
        let quoted = ["\"", self.inner, "\""].concat();
        Cow::Owned(serde_json::from_str::<String>(&quoted).unwrap_or_default())
    }
}

/// The largest integer that is taken for one.
pub(super) const LARGEST: u64 = (1 << 53) - 1;
/// Its digits. None of so many is too large for 64 bits.
pub(super) const MOST_DIGITS: usize = 16;

/// What a value is.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
enum Form {
    /// A string without an escape.
    Plain,
    /// A string with an escape in it.
    Escaped,
    /// An integer from 0 to 2^53 - 1, written without sign, point and exponent.
    Integer(u64),
    /// Anything else.
    Other,
}

/// A value of the text: what it is, and where.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(crate) struct Span<'a> {
    pub(crate) text: &'a str,
    pub(crate) start: usize,
    form: Form,
}

impl<'a> Span<'a> {
    /// The same value, its place counted from elsewhere.
    #[inline]
    pub(super) fn moved_to(self, start: usize) -> Self {
        Self { start, ..self }
    }

    /// Whether the value is a string without an escape in it.
    pub(crate) fn is_plain(&self) -> bool {
        self.form == Form::Plain
    }

    /// Whether the value is a string.
    pub(crate) fn is_text(&self) -> bool {
        matches!(self.form, Form::Plain | Form::Escaped)
    }

    /// The value as a string, if it is one.
    #[inline]
    pub(crate) fn as_text(&self) -> Option<Cow<'a, str>> {
        if !self.is_text() {
            return None;
        }
        let inner = self.text.get(1..self.text.len().wrapping_sub(1)).unwrap_or_default();
        Some(Text { inner, escaped: self.form == Form::Escaped }.unescape())
    }

    /// The value as an integer from 0 to 2^53 - 1, if it is one.
    pub(crate) fn as_integer(&self) -> Option<u64> {
        match self.form {
            Form::Integer(number) => Some(number),
            Form::Plain | Form::Escaped | Form::Other => None,
        }
    }
}

/// Whether all of a text stands for itself in a string.
pub(crate) fn is_plain(text: &str) -> bool {
    plain(text.as_bytes(), 0) == text.len()
}

/// Checks that `text` is one JSON value of at most `depth` levels.
pub(crate) fn check(text: &str, depth: usize) -> Result<(), Fault> {
    let scan = Scan { text };
    let at = scan.value(scan.blanks(0), depth)?;
    scan.end(at)
}

/// Checks that `text` is one JSON object of at most 32 levels, and hands each member of it to
/// `each` in order.
pub(crate) fn object<'a>(
    text: &'a str,
    mut each: impl FnMut(Text<'a>, Span<'a>),
) -> Result<(), Fault> {
    let mut members = Members::of(text)?;
    while !members.is_over() {
        let key = members.key()?;
        each(key, members.value()?);
    }
    Ok(())
}

/// The members of an object, one after the other: while it is not [over](Self::is_over), a key,
/// then its value. Once it is over, the whole text has been checked.
#[derive(Debug)]
pub(crate) struct Members<'a> {
    scan: Scan<'a>,
    at: usize,
    over: bool,
}

impl<'a> Members<'a> {
    #[inline]
    pub(crate) fn of(text: &'a str) -> Result<Self, Fault> {
        let scan = Scan { text };
        let at = scan.blanks(scan.expect(scan.blanks(0), b'{', Wrong::NotObject)?);
        let over = scan.byte(at) == b'}';
        if over {
            scan.end(at.wrapping_add(1))?;
        }
        Ok(Self { scan, at, over })
    }

    #[inline]
    pub(crate) fn is_over(&self) -> bool {
        self.over
    }

    #[inline]
    pub(crate) fn key(&mut self) -> Result<Text<'a>, Fault> {
        let (key, end) = self.scan.quoted(self.at, Wrong::NotKey)?;
        self.at = self.scan.colon(end)?;
        Ok(key)
    }

    /// The value of the key that was read last.
    #[inline]
    pub(crate) fn value(&mut self) -> Result<Span<'a>, Fault> {
        let scan = self.scan;
        let value = scan.span(self.at, MAX_DEPTH - 1)?;
        let at = scan.blanks(self.at.wrapping_add(value.text.len()));
        self.over = scan.byte(at) == b'}';
        if self.over {
            scan.end(at.wrapping_add(1))?;
        } else {
            self.at = scan.blanks(scan.expect(at, b',', Wrong::NoEnd)?);
        }
        Ok(value)
    }
}

/// A text that is looked at. Its steps take a place and give the one after what they passed, which
/// never exceeds the text's length and is a character boundary where a span is cut.
#[derive(Copy, Clone, Debug)]
pub(super) struct Scan<'a> {
    text: &'a str,
}

type Step = Result<usize, Fault>;

impl<'a> Scan<'a> {
    pub(super) fn of(text: &'a str) -> Self {
        Self { text }
    }

    /// The bytes from one place to another; none if there are no such places.
    #[inline]
    pub(super) fn between(self, from: usize, to: usize) -> &'a [u8] {
        self.text.as_bytes().get(from..to).unwrap_or_default()
    }

    /// The same as text.
    #[inline]
    pub(super) fn text(self, from: usize, to: usize) -> &'a str {
        self.text.get(from..to).unwrap_or_default()
    }

    /// The byte at a place; 0 at the end, which like the byte 0 begins and continues nothing.
    #[inline]
    pub(super) fn byte(self, at: usize) -> u8 {
        self.text.as_bytes().get(at).copied().unwrap_or_default()
    }

    #[inline]
    fn expect(self, at: usize, byte: u8, wrong: Wrong) -> Step {
        if self.byte(at) == byte { Ok(at.wrapping_add(1)) } else { Err(Fault::new(at, wrong)) }
    }

    #[inline]
    pub(super) fn blanks(self, at: usize) -> usize {
        if self.byte(at) > b' ' { at } else { self.some_blanks(at) }
    }

    #[cold]
    fn some_blanks(self, mut at: usize) -> usize {
        while matches!(self.byte(at), b' ' | b'\n' | b'\t' | b'\r') {
            at = at.wrapping_add(1);
        }
        at
    }

    fn end(self, at: usize) -> Result<(), Fault> {
        let at = self.blanks(at);
        if at == self.text.len() { Ok(()) } else { Err(Fault::new(at, Wrong::Trailing)) }
    }

    /// The colon after a key, and the blanks around it.
    #[inline]
    fn colon(self, at: usize) -> Step {
        Ok(self.blanks(self.expect(self.blanks(at), b':', Wrong::NoColon)?))
    }

    /// A value, and what it is.
    #[inline]
    pub(super) fn span(self, start: usize, depth: usize) -> Result<Span<'a>, Fault> {
        let (end, form) = match self.byte(start) {
            b'"' => {
                let (end, escaped) = self.string(start, Wrong::NotValue)?;
                (end, if escaped { Form::Escaped } else { Form::Plain })
            }
            b'-' | b'0'..=b'9' => {
                let (end, integer) = self.number(start)?;
                (end, integer.map_or(Form::Other, Form::Integer))
            }
            _ => (self.value(start, depth)?, Form::Other),
        };
        Ok(Span { text: self.text(start, end), start, form })
    }

    /// An array that was gone through.
    pub(super) fn array(self, start: usize, end: usize) -> Span<'a> {
        Span { text: self.text(start, end), start, form: Form::Other }
    }

    /// One value of at most `depth` levels, without recursion.
    fn value(self, mut at: usize, depth: usize) -> Step {
        let mut open = Stack::default();
        loop {
            at = match self.byte(at) {
                b'"' => self.string(at, Wrong::NotValue)?.0,
                b'-' | b'0'..=b'9' => self.number(at)?.0,
                b't' => self.word(at, "true")?,
                b'f' => self.word(at, "false")?,
                b'n' => self.word(at, "null")?,
                b'{' | b'[' => match self.enter(at, &mut open, depth)? {
                    (at, true) => at,
                    (first, false) => {
                        at = first;
                        continue;
                    }
                },
                _ => return Err(Fault::new(at, Wrong::NotValue)),
            };
            at = self.leave(at, &mut open);
            if open.is_empty() {
                return Ok(at);
            }
            at = self.blanks(self.expect(at, b',', Wrong::NoEnd)?);
            at = self.key_in(open, at)?;
        }
    }

    /// The start of a container up to its first value; or all of it, if it is empty, and true.
    #[inline]
    fn enter(self, at: usize, open: &mut Stack, depth: usize) -> Result<(usize, bool), Fault> {
        if open.has(depth) {
            return Err(Fault::new(at, Wrong::TooDeep));
        }
        open.push(self.byte(at) == b'{');
        let at = self.blanks(at.wrapping_add(1));
        if self.byte(at) == open.close() {
            open.pop();
            return Ok((at.wrapping_add(1), true));
        }
        Ok((self.key_in(*open, at)?, false))
    }

    /// What ends after a value, and the blanks behind it if something is still open.
    #[inline]
    fn leave(self, mut at: usize, open: &mut Stack) -> usize {
        while !open.is_empty() {
            at = self.blanks(at);
            if self.byte(at) != open.close() {
                break;
            }
            open.pop();
            at = at.wrapping_add(1);
        }
        at
    }

    /// What comes before a value: in an object its key and a colon, in an array nothing.
    #[inline(always)] // it takes fewer steps than a call does
    fn key_in(self, open: Stack, at: usize) -> Step {
        if open.is_object() { self.colon(self.string(at, Wrong::NotKey)?.0) } else { Ok(at) }
    }

    fn word(self, at: usize, word: &'static str) -> Step {
        let end = at.wrapping_add(word.len());
        if self.between(at, end) != word.as_bytes() {
            return Err(Fault::new(at, Wrong::NotValue));
        }
        Ok(end)
    }

    /// A string; with it, whether it holds an escape.
    #[inline(always)] // it takes fewer steps than a call does
    pub(super) fn string(self, at: usize, wrong: Wrong) -> Result<(usize, bool), Fault> {
        let at = plain(self.text.as_bytes(), self.expect(at, b'"', wrong)?);
        if self.byte(at) == b'"' {
            return Ok((at.wrapping_add(1), false));
        }
        Ok((self.escaped(at)?, true))
    }

    /// A string, and where it ends.
    #[inline]
    pub(super) fn quoted(self, start: usize, wrong: Wrong) -> Result<(Text<'a>, usize), Fault> {
        let (end, escaped) = self.string(start, wrong)?;
        let inner = self.text(start.wrapping_add(1), end.wrapping_sub(1));
        Ok((Text { inner, escaped }, end))
    }

    /// The rest of a string from its first byte on that does not stand for itself, and is no quote.
    fn escaped(self, mut at: usize) -> Step {
        loop {
            at = match self.byte(at) {
                b'"' => return Ok(at.wrapping_add(1)),
                b'\\' => self.escape(at.wrapping_add(1))?,
                0x20.. => plain(self.text.as_bytes(), at),
                _ if at == self.text.len() => return Err(Fault::new(at, Wrong::OpenString)),
                _ => return Err(Fault::new(at, Wrong::Control)),
            };
        }
    }

    /// What follows a backslash.
    #[inline]
    fn escape(self, at: usize) -> Step {
        match self.byte(at) {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Ok(at.wrapping_add(1)),
            b'u' => self.unicode(at.wrapping_add(1)),
            _ => Err(Fault::new(at, Wrong::Escape)),
        }
    }

    /// What follows `\u`: four digits, and the second half of a surrogate pair after a first half.
    #[inline]
    fn unicode(self, at: usize) -> Step {
        let first = self.four_digits(at)?;
        let at = at.wrapping_add(4);
        match first {
            0xd800..=0xdbff => self.second_half(at),
            0xdc00..=0xdfff => Err(Fault::new(at, Wrong::Surrogate)),
            _ => Ok(at),
        }
    }

    fn second_half(self, at: usize) -> Step {
        let at = self.expect(at, b'\\', Wrong::Surrogate)?;
        let at = self.expect(at, b'u', Wrong::Surrogate)?;
        let second = self.four_digits(at)?;
        let at = at.wrapping_add(4);
        if matches!(second, 0xdc00..=0xdfff) {
            return Ok(at);
        }
        Err(Fault::new(at, Wrong::Surrogate))
    }

    #[inline]
    fn four_digits(self, at: usize) -> Result<u32, Fault> {
        let rest = self.text.as_bytes().get(at..).unwrap_or_default();
        let (mut number, mut all) = (0, 0);
        for digit in rest.first_chunk::<4>().unwrap_or(&[0; 4]) {
            let digit = hexadecimal(*digit);
            number = (number << 4) | u32::from(digit);
            all |= digit;
        }
        if all == NO_DIGIT { Err(Fault::new(at, Wrong::Hexadecimal)) } else { Ok(number) }
    }

    /// A number; with it, which integer it is, if it is one from 0 to 2^53 - 1.
    #[inline]
    fn number(self, start: usize) -> Result<(usize, Option<u64>), Fault> {
        let negative = self.byte(start) == b'-';
        let first = start.wrapping_add(usize::from(negative));
        let (end, number) = match self.byte(first) {
            b'0' => (first.wrapping_add(1), 0),
            _ => self.digits(first)?,
        };
        let len = end.wrapping_sub(start);
        if matches!(self.byte(end), b'.' | b'e' | b'E') || len > 300 {
            return Ok((self.rest_of_number(start, end)?, None));
        }
        let fits = !negative && len <= MOST_DIGITS && number <= LARGEST;
        Ok((end, fits.then_some(number)))
    }

    /// The fraction and the exponent of a number, and whether it is too large for a double.
    fn rest_of_number(self, start: usize, mut at: usize) -> Step {
        let whole = at.wrapping_sub(start);
        if self.byte(at) == b'.' {
            at = self.digits(at.wrapping_add(1))?.0;
        }
        let exponent = matches!(self.byte(at), b'e' | b'E');
        if exponent {
            let sign = matches!(self.byte(at.wrapping_add(1)), b'+' | b'-');
            at = self.digits(at.wrapping_add(1).wrapping_add(usize::from(sign)))?.0;
        }
        // Without an exponent, and with fewer digits than 1e308 has, no number is out of range.
        let number = self.text(start, at);
        let may_exceed = exponent || whole > 300;
        if may_exceed && serde_json::from_str::<serde_json::Number>(number).is_err() {
            return Err(Fault::new(start, Wrong::OutOfRange));
        }
        Ok(at)
    }

    /// An integer from 0 to 2^53 - 1 without a leading zero, and where its digits end. What is
    /// there shows whether that is all of the number.
    #[inline(always)] // called so often in one function that the compiler would not
    pub(super) fn integer(self, start: usize) -> Option<(usize, u64)> {
        let (end, number) = self.digits(start).ok()?;
        let len = end.wrapping_sub(start);
        let zero = self.byte(start) == b'0';
        let fits = len <= MOST_DIGITS && number <= LARGEST && (len == 1 || !zero);
        fits.then_some((end, number))
    }

    /// One digit or more; with them, the number they make, if it fits.
    #[inline]
    fn digits(self, mut at: usize) -> Result<(usize, u64), Fault> {
        if !self.byte(at).is_ascii_digit() {
            return Err(Fault::new(at, Wrong::NotDigit));
        }
        let mut number = 0_u64;
        loop {
            let digit = self.byte(at).wrapping_sub(b'0');
            if digit > 9 {
                return Ok((at, number));
            }
            number = number.wrapping_mul(10).wrapping_add(u64::from(digit));
            at = at.wrapping_add(1);
        }
    }
}

/// What stands for no digit: whatever digits are joined to it, it stays.
const NO_DIGIT: u8 = 0xff;

/// What a byte is as a hexadecimal digit.
#[inline]
fn hexadecimal(byte: u8) -> u8 {
    match byte {
        b'0'..=b'9' => byte.wrapping_sub(b'0'),
        b'a'..=b'f' => byte.wrapping_sub(b'a' - 10),
        b'A'..=b'F' => byte.wrapping_sub(b'A' - 10),
        _ => NO_DIGIT,
    }
}

/// The containers open around a place: one bit each, up to 63.
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
    /// Whether so many levels are open.
    fn has(self, depth: usize) -> bool {
        self.bits >> depth != 0
    }

    fn push(&mut self, object: bool) {
        self.bits = (self.bits << 1) | u64::from(object);
    }

    fn pop(&mut self) {
        self.bits >>= 1;
    }

    fn is_empty(self) -> bool {
        self.bits == 1
    }

    fn is_object(self) -> bool {
        self.bits & 1 == 1
    }

    /// What ends the innermost container.
    fn close(self) -> u8 {
        if self.is_object() { b'}' } else { b']' }
    }
}

#[cfg(test)]
mod tests;
