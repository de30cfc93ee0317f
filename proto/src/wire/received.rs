//! A line as it came: its text, and how it is kept and passed on.
//!
//! Byte for byte from brace to brace; a relay writes other digits for two of its numbers.
#![deny(clippy::arithmetic_side_effects)]

use alloc::string::String;
use core::fmt::Write as _;

use crate::error::Violation;
use crate::message::Frame;
use crate::wire::json::Span;

/// A line as it came, and its text: the line without the blanks around it.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Received<'a> {
    line: &'a str,
    pub(crate) text: &'a str,
}

impl<'a> Received<'a> {
    /// The line, if it is UTF-8.
    pub(crate) fn new(line: &'a [u8]) -> Result<Self, Violation> {
        match core::str::from_utf8(line) {
            Ok(line) => Ok(Self { line, text: without_blanks(line) }),
            Err(error) => Err(Violation::NotUtf8 { at: error.valid_up_to() }),
        }
    }

    /// The text with other digits in place of these numbers of it, and one line end: how a relay
    /// passes a line on.
    pub(crate) fn frame_with(&self, mut numbers: [Option<(Span<'_>, u64)>; 2]) -> Frame {
        if !numbers.is_sorted_by_key(|number| number.map(|(span, _)| span.start)) {
            numbers.reverse();
        }
        let mut line = String::with_capacity(self.text.len().saturating_add(16));
        let mut kept = 0;
        for (span, number) in numbers.into_iter().flatten() {
            line.push_str(self.text.get(kept..span.start).unwrap_or_default());
            let _infallible = write!(line, "{number}");
            kept = span.start.saturating_add(span.text.len());
        }
        line.push_str(self.text.get(kept..).unwrap_or_default());
        line.push('\n');
        Frame::new(&line)
    }

    /// The text with one line end, to be kept and passed on. Nearly always that is the line.
    pub(crate) fn frame(&self) -> Frame {
        if self.line.strip_suffix('\n') == Some(self.text) {
            return Frame::new(self.line);
        }
        Frame::new(&[self.text, "\n"].concat())
    }
}

/// A line without the blanks around it. Nearly always that is all but its end.
fn without_blanks(line: &str) -> &str {
    match line.strip_suffix('\n') {
        Some(text) if text.starts_with('{') && text.ends_with('}') => text,
        Some(_) | None => line.trim_matches([' ', '\t', '\r', '\n']),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::arithmetic_side_effects)]
    use super::*;
    use crate::wire::json;
    use alloc::vec::Vec;

    #[test]
    fn a_frame_is_the_text_and_one_line_end() {
        for line in ["{}\n", "{}\r\n", " {}\n", "{} \n", "\t{}", "{}\n\n"] {
            let frame = Received::new(line.as_bytes()).map(|line| line.frame());
            assert_eq!(frame, Ok(Frame::new("{}\n")), "{line:?}");
        }
    }

    #[test]
    fn in_transit_only_the_digits_of_two_numbers_change() {
        for (line, expected) in [
            (r#" {"ttl" : 32 ,"x":[1],"deadline":5}"#, r#"{"ttl" : 31 ,"x":[1],"deadline":12345}"#),
            (r#"{"x":1.0,"deadline":99999,"ttl":10}"#, r#"{"x":1.0,"deadline":12345,"ttl":31}"#),
        ] {
            let line = Received { line, text: line.trim() };
            let mut members = Vec::new();
            let found = json::object(line.text, |key, value| {
                members.push((key.unescape().into_owned(), value));
            });
            assert_eq!(found, Ok(()));
            let number = |name: &str, number: u64| {
                let found = members.iter().find(|(key, _)| key == name);
                found.map(|(_, span)| (*span, number))
            };
            let sent = line.frame_with([number("ttl", 31), number("deadline", 12_345)]);
            assert_eq!(sent, Frame::new(&[expected, "\n"].concat()));
        }
    }
}
