//! The lines of our own broadcasts, one written over the other.
//!
//! What a line has in common with the last one is written once: up to the number as long as the
//! epoch is the same, and from the number to the body as long as the kind and the millisecond are.
//! In a burst that leaves the number and the body.

use alloc::string::String;

use crate::message::{Frame, Payload};
use crate::seen::StreamId;
use crate::time::UnixTime;
use crate::wire::encode::Line;
use crate::wire::json::LARGEST;

/// Bytes kept from one line to the next: most lines, and little beside what a node holds.
const KEPT: usize = 16 * 1024;

/// The last line, or nothing, with its parts.
#[derive(Clone, Debug, Default)]
pub(crate) struct OwnLine {
    text: String,
    /// Whose line it is, and how many bytes of it say so.
    of: Option<(StreamId, usize)>,
    /// The number of the last line, and its digits.
    number: (u64, String),
    /// What stands between the number and the body, and what that was made of.
    middle: String,
    made_of: Option<(UnixTime, String)>,
}

/// Nothing that a node does depends on what is kept here.
#[cfg(feature = "testing")]
impl core::hash::Hash for OwnLine {
    fn hash<H: core::hash::Hasher>(&self, _state: &mut H) {}
}

impl OwnLine {
    /// A broadcast of ours, of at most `limit` bytes.
    ///
    /// # Errors
    /// The length that it would have.
    pub(crate) fn write(
        &mut self,
        (stream, seq): (StreamId, u64),
        time: UnixTime,
        kind: &str,
        body: &Payload,
        limit: usize,
    ) -> Result<Frame, usize> {
        self.write_number(seq);
        self.write_middle(time, kind);
        let buffer = core::mem::take(&mut self.text);
        let mut line = match self.of.filter(|(of, _)| *of == stream) {
            Some((_, bytes)) => Line::continued(buffer, bytes),
            None => Self::begin(buffer, stream),
        };
        let begun = line.len();
        line.reserve(self.middle.len().saturating_add(body.as_str().len()));
        line.raw(&self.number.1);
        line.raw(&self.middle);
        line.raw(body.as_str());
        let text = line.text_with_end();
        let len = text.len().saturating_sub(1);
        let written = if len > limit { Err(len) } else { Ok(Frame::new(&text)) };
        let is_kept = text.capacity() <= KEPT;
        self.of = Some((stream, begun)).filter(|_| is_kept);
        self.text = if is_kept { text } else { String::new() };
        written
    }

    fn begin(buffer: String, (originator, epoch): StreamId) -> Line {
        let mut line = Line::over(buffer, "broadcast");
        line.id("originator", originator);
        line.number("epoch", u64::from(epoch));
        line.key("seq");
        line
    }

    /// Most numbers differ from the one before in their last digit alone.
    fn write_number(&mut self, seq: u64) {
        let (last, digits) = &mut self.number;
        let is_next = seq <= LARGEST && Some(seq) == last.checked_add(1);
        let digit = digits.pop().filter(|digit| is_next && *digit != '9');
        match digit.and_then(|digit| char::from_digit(digit.to_digit(10)? + 1, 10)) {
            Some(digit) => digits.push(digit),
            None => {
                let mut line = Line::continued(core::mem::take(digits), 0);
                line.digits(seq);
                *digits = line.into_text();
            }
        }
        *last = seq;
    }

    fn write_middle(&mut self, time: UnixTime, kind: &str) {
        if self.made_of.as_ref().is_some_and(|(at, of)| *at == time && of == kind) {
            return;
        }
        let mut line = Line::continued(core::mem::take(&mut self.middle), 0);
        line.number("time", time.as_millis());
        line.text("kind", kind);
        line.key("msg");
        self.middle = line.into_text();
        let mut of = self.made_of.take().map_or_else(String::new, |(_, of)| of);
        of.clear();
        of.push_str(kind);
        self.made_of = Some((time, of));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::id::NodeId;
    use alloc::format;
    use alloc::string::ToString;

    fn expected(id: NodeId, epoch: u32, seq: u64, time: u64, kind: &str, body: &str) -> String {
        format!(
            "{{\"msgtype\":\"broadcast\",\"originator\":\"{id}\",\"epoch\":{epoch},\"seq\":{seq},\
             \"time\":{time},\"kind\":{},\"msg\":{body}}}\n",
            serde_json::to_string(kind).unwrap(),
        )
    }

    #[test]
    fn a_line_does_not_depend_on_the_lines_before_it() {
        let long = format!("\"{}\"", "x".repeat(2 * KEPT));
        let mut line = OwnLine::default();
        // From step to step one part changes, or none, and each does beside all others.
        for step in 0..128_u64 {
            let bit = |place: u32| usize::try_from((step ^ step >> 1) >> place & 1).unwrap();
            let id = NodeId::from_random_bytes([1 + u8::try_from(bit(0)).unwrap(); 16]);
            let epoch = *[7, 4_000_000_000].get(bit(1)).unwrap();
            let seq = *[9, 1_234_567].get(bit(2)).unwrap() + step;
            let time = *[3, 1_795_233_600_123].get(bit(3)).unwrap();
            let kind = *["NEWS", "a \"kind\""].get(bit(4)).unwrap();
            let body = *["1", long.as_str()].get(bit(5)).unwrap();
            let text = expected(id, epoch, seq, time, kind, body);
            let (number, at) = (((id, epoch), seq), UnixTime::from_millis(time));
            let payload = Payload::from_json(body).unwrap();
            let len = text.len() - 1;
            assert_eq!(line.write(number, at, kind, &payload, len - 1), Err(len));
            let frame = line.write(number, at, kind, &payload, len).unwrap();
            assert_eq!(frame.as_bytes(), text.as_bytes());
        }
    }

    #[test]
    fn numbers_are_written_whatever_came_before() {
        let mut line = OwnLine::default();
        let runs = [0..210, 9_998..10_003, 7..12, 11..12, LARGEST - 2..LARGEST + 3];
        for seq in runs.into_iter().flatten().chain([0, u64::MAX, 0, 1]) {
            line.write_number(seq);
            assert_eq!(line.number.1, seq.min(LARGEST).to_string());
        }
    }

    #[test]
    fn a_long_line_is_not_kept() {
        let mut line = OwnLine::default();
        let stream = (NodeId::from_random_bytes([1; 16]), 1);
        for (len, is_kept) in [(10, true), (4 * KEPT, false), (KEPT / 2, true)] {
            let body = Payload::from_json(format!("\"{}\"", "x".repeat(len))).unwrap();
            let said = line.write((stream, 1), UnixTime::from_millis(1), "K", &body, usize::MAX);
            assert!(said.is_ok_and(|frame| frame.len() > len));
            assert_eq!((line.of.is_some(), line.text.capacity() > 0), (is_kept, is_kept));
            assert!(line.text.capacity() <= KEPT);
        }
    }
}
