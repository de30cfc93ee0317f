//! Reads broadcasts that lie one behind the other, each just as nodes write it.
//!
//! In a burst a line differs from the one before it in its number and its body: what comes before
//! the number, and what stands between it and the body, is compared in one piece each. What differs
//! is read member by member, and compared with from there on. It takes no line that
//! [`native`](super::native) would refuse or read otherwise, and stops at the first it does not
//! take.
#![deny(clippy::arithmetic_side_effects)]

use alloc::borrow::Cow;

use crate::wire::json::Span;
use crate::wire::msg::Broadcast;
use crate::wire::written::Reader;

/// How each such line begins.
pub(crate) const START: &[u8] = b"{\"msgtype\":\"broadcast\",";

/// Lines that lie one behind the other.
#[derive(Debug)]
pub(crate) struct Run<'a> {
    text: &'a str,
    at: usize,
    stream: Stream<'a>,
    middle: Middle<'a>,
}

/// The head of a line: all before its number.
#[derive(Debug, Default)]
struct Stream<'a> {
    head: &'a str,
    originator: &'a str,
    epoch: u64,
}

/// What stands between the number of a line and its body.
#[derive(Debug, Default)]
struct Middle<'a> {
    text: &'a str,
    time: u64,
    /// Where the kind stands in it.
    kind: Option<Span<'a>>,
}

/// One line of a run.
#[derive(Debug)]
pub(crate) struct Line<'a> {
    /// Where it begins and ends in the run, its end included.
    pub(crate) from: usize,
    pub(crate) to: usize,
    /// It is of the same stream as the line before.
    pub(crate) same_stream: bool,
    pub(crate) said: Broadcast<'a>,
}

impl<'a> Run<'a> {
    /// The lines of a text.
    pub(crate) fn of(text: &'a str) -> Self {
        Self { text, at: 0, stream: Stream::default(), middle: Middle::default() }
    }

    /// The next line, unless it is none that is read here.
    #[inline]
    pub(crate) fn next(&mut self) -> Option<Line<'a>> {
        let from = self.at;
        let mut line = Reader::at(self.text, from);
        let same_stream = line.skips_all(self.stream.head);
        if !same_stream {
            line = Reader::at(self.text, from);
            self.stream = Stream::read(&mut line)?;
        }
        let seq = line.integer()?;
        let middle = line.at;
        if !line.skips_all(self.middle.text) {
            line.at = middle;
            self.middle = Middle::read(&mut line)?;
        }
        let kind = self.middle.kind?;
        let msg = self.body(&mut line)?;
        line.skip("}\n")?;
        self.at = line.at;
        let said = Broadcast {
            originator: Cow::Borrowed(self.stream.originator),
            epoch: self.stream.epoch,
            seq,
            time: self.middle.time,
            kind: kind.moved_to(middle.wrapping_add(kind.start).wrapping_sub(from)),
            msg: msg.moved_to(msg.start.wrapping_sub(from)),
        };
        Some(Line { from, to: line.at, same_stream, said })
    }

    #[inline]
    fn body(&self, line: &mut Reader<'a>) -> Option<Span<'a>> {
        if line.is_at(b'"') {
            return line.value();
        }
        // Between the parts of a list or an object a line end would pass for a blank.
        let rest = self.text.as_bytes().get(line.at..)?;
        let end = line.at.wrapping_add(memchr::memchr(b'\n', rest)?);
        let mut alone = Reader::at(self.text.get(..end)?, line.at);
        let value = alone.value()?;
        line.at = alone.at;
        Some(value)
    }
}

impl<'a> Stream<'a> {
    fn read(line: &mut Reader<'a>) -> Option<Self> {
        let from = line.at;
        let (originator, epoch) = line.stream()?;
        Some(Self { head: line.since(from), originator, epoch })
    }
}

impl<'a> Middle<'a> {
    fn read(line: &mut Reader<'a>) -> Option<Self> {
        let from = line.at;
        let (time, kind) = line.time_and_kind()?;
        let kind = Some(kind.moved_to(kind.start.wrapping_sub(from)));
        Some(Self { text: line.since(from), time, kind })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::arithmetic_side_effects, clippy::indexing_slicing)]
    use super::*;
    use crate::rng::Rng;
    use crate::wire::msg::Msg;
    use crate::wire::native::decode;
    use alloc::format;
    use alloc::string::String;
    use alloc::vec::Vec;

    fn line(rng: &mut Rng) -> String {
        let originator = ["67e55044-10b1-426f-9247-bb680e5fe0c8", "x", ""][rng.below(3) as usize];
        let (epoch, seq, time) = (rng.below(2), rng.below(3000), 1_700_000_000_000 + rng.below(2));
        let kind = ["NEWS", "N\u{e4}", "CHAT"][rng.below(3) as usize];
        let body = ["\"x\"", "\"\\n\u{20ac}\"", "[1, 2]", "{\"a\":{}}", "null", "-1.5e3", "\"\""]
            [rng.below(7) as usize];
        format!(
            "{{\"msgtype\":\"broadcast\",\"originator\":\"{originator}\",\"epoch\":{epoch},\
             \"seq\":{seq},\"time\":{time},\"kind\":\"{kind}\",\"msg\":{body}}}\n"
        )
    }

    /// Compares each line with what is read when it stands alone. Returns how many were taken.
    fn taken(text: &str) -> usize {
        let mut run = Run::of(text);
        let (mut at, mut count, mut before) = (0, 0, None);
        while let Some(line) = run.next() {
            let alone = &text[line.from..line.to];
            assert!(line.from == at && alone.ends_with('\n') && alone.matches('\n').count() == 1);
            let Ok(Msg::Broadcast(said)) = decode(&alone[..alone.len() - 1]).map(|read| read.msg)
            else {
                unreachable!("{alone} is not taken alone")
            };
            assert_eq!(format!("{said:?}"), format!("{:?}", line.said), "{alone}");
            let stream = Some((said.originator.into_owned(), said.epoch));
            assert!(!line.same_stream || before == stream, "{alone}");
            (before, at, count) = (stream, line.to, count + 1);
        }
        count
    }

    #[test]
    fn lines_are_read_as_if_each_stood_alone() {
        let mut rng = Rng::new([4; 32]);
        for _ in 0..300 {
            let count = 1 + rng.below(20) as usize;
            let text: String = (0..count).map(|_| line(&mut rng)).collect();
            assert_eq!(taken(&text), count, "{text}");
        }
    }

    #[test]
    fn no_line_is_taken_that_would_be_refused() {
        let mut rng = Rng::new([5; 32]);
        let mut stopped = 0;
        for _ in 0..20_000 {
            let mut bytes: Vec<u8> = (0..3).flat_map(|_| line(&mut rng).into_bytes()).collect();
            let at = rng.below(bytes.len() as u64) as usize;
            let new = b"\n\r \"\\{}[],:0\x01a"[rng.below(14) as usize];
            match rng.below(3) {
                0 => drop(bytes.remove(at)),
                1 => bytes.insert(at, new),
                _ => bytes[at] = new,
            }
            let Ok(text) = String::from_utf8(bytes) else { continue };
            stopped += usize::from(taken(&text) < 3);
        }
        assert!(stopped > 10_000, "{stopped}");
    }

    #[test]
    fn a_body_does_not_go_on_in_the_next_line() {
        let mut rng = Rng::new([6; 32]);
        let text = line(&mut rng);
        for body in ["[1,\n2]", "{\n}", "\"a\nb\"", "1\n"] {
            let (head, _) = text.split_once("\"msg\":").unwrap_or_default();
            assert_eq!(taken(&format!("{head}\"msg\":{body}}}\n")), 0, "{body:?}");
        }
    }
}
