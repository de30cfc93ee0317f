//! What must hold for every input, as functions that panic when it does not.
//!
//! The bodies are here and not in the targets: an ordinary test replays what was ever found, and
//! libFuzzer is compiled only with the feature `libfuzzer`. README.md says how to run them.
// A panic is how a target reports.
#![allow(clippy::panic, clippy::indexing_slicing)]

use peerline_proto::Violation;
use peerline_proto::testing::{Lines, decode};
use peerline_testkit::oracle::judge;

/// A fuzz target.
#[derive(Copy, Clone, Debug)]
pub struct Target {
    /// The name of its function, of its binary, and of its folders.
    pub name: &'static str,
    /// Panics if the input shows a fault.
    pub check: fn(&[u8]),
}

/// All of them.
pub const TARGETS: [Target; 2] = [
    Target { name: "frame_chunks", check: frame_chunks },
    Target { name: "msg_roundtrip", check: msg_roundtrip },
];

/// The lines of a stream do not depend on how it is cut, and no more than a line is kept.
///
/// Input: a byte for the limit, four for the lengths of the pieces in turn, then the stream.
pub fn frame_chunks(input: &[u8]) {
    let Some(([limit, plan @ ..], stream)) = input.split_first_chunk::<5>() else { return };
    let limit = usize::from(*limit);
    let whole = feed(stream, &[stream], limit);
    let bytes: Vec<&[u8]> = stream.chunks(1).collect();
    assert_eq!(feed(stream, &bytes, limit), whole, "byte by byte");
    let pieces = cut(stream, plan);
    assert_eq!(feed(stream, &pieces, limit), whole, "cut by {plan:?}");
}

/// What became of a stream.
#[derive(Debug, Eq, PartialEq)]
struct Outcome {
    lines: Vec<Vec<u8>>,
    /// Bytes of the unfinished line; `None` after a violation, when nobody looks at them.
    pending: Option<usize>,
}

/// Feeds the pieces and holds each step to the stream: lines and pending bytes are what has
/// arrived, a line ends at its first line end, and only one over the limit is refused.
fn feed(stream: &[u8], pieces: &[&[u8]], limit: usize) -> Outcome {
    let mut framer = Lines::default();
    let mut lines = Vec::new();
    let (mut taken, mut arrived) = (0, 0);
    for piece in pieces {
        let before = lines.len();
        let fed = framer.feed(piece, limit, &mut lines);
        arrived += piece.len();
        for line in &lines[before..] {
            assert_eq!(content(line) + 1, line.len(), "one line end, and it is last");
            assert!(content(line) <= limit, "a line over the limit");
            assert_eq!(line, &stream[taken..taken + line.len()]);
            taken += line.len();
        }
        let open = &stream[taken..arrived];
        assert!(framer.pending() <= limit, "more than a line is kept");
        if let Err(violation) = fed {
            let len = content(open);
            assert!(len > limit, "a line within the limit is refused");
            assert_eq!(violation, Violation::LineTooLong { len, limit });
            return Outcome { lines, pending: None };
        }
        let new = &open[open.len().saturating_sub(piece.len())..];
        assert!(!new.contains(&b'\n'), "a whole line is held back");
        assert_eq!(framer.pending(), open.len());
    }
    Outcome { lines, pending: Some(framer.pending()) }
}

/// Bytes before the line end.
fn content(line: &[u8]) -> usize {
    line.iter().position(|byte| *byte == b'\n').unwrap_or(line.len())
}

/// The stream in pieces of these lengths, over and over; whole if they are all zero.
fn cut<'a>(stream: &'a [u8], plan: &[u8]) -> Vec<&'a [u8]> {
    if plan.iter().all(|length| *length == 0) {
        return vec![stream];
    }
    let mut rest = stream;
    let mut pieces = Vec::new();
    for length in plan.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let (piece, left) = rest.split_at(rest.len().min(usize::from(*length)));
        pieces.push(piece);
        rest = left;
    }
    pieces
}

/// The parser and the definition of the wire agree on the line.
pub fn msg_roundtrip(line: &[u8]) {
    let decoded = decode(line);
    match (&decoded, judge(line)) {
        (Ok(None), None) => {}
        (Ok(Some((kind, unknown))), Some(Ok(expected))) => {
            assert_eq!(*kind, expected);
            check_valid(line, kind, *unknown);
        }
        (Err(violation), Some(Err(_))) => check_violation(line, violation),
        (_, judged) => panic!("the parser says {decoded:?}, the definition {judged:?}"),
    }
    let with_end = [line, b"\r\n"].concat();
    assert_eq!(decode(&with_end), decoded, "a line end changes the verdict");
}

/// Longer lines are not cut at every byte: that is quadratic, and finds nothing more.
const LONGEST_CUT: usize = 128;

/// A valid line stays what it is with blanks and one more unknown field, and no start of it is
/// valid.
fn check_valid(line: &[u8], kind: &str, unknown: u32) {
    let text = line.trim_ascii();
    let more = [b" \t\r\n{ \"\\u007a\\t\":[], ", &text[1..]].concat();
    assert_eq!(decode(&more), Ok(Some((kind.into(), unknown + 1))), "with an unknown field");
    for end in 1..text.len() {
        if text.len() > LONGEST_CUT {
            break;
        }
        assert!(decode(&text[..end]).is_err(), "the first {end} bytes are valid");
    }
}

/// A refusal points into the line.
fn check_violation(line: &[u8], violation: &Violation) {
    if let Violation::NotUtf8 { at } = violation {
        let error = core::str::from_utf8(line).map_err(|error| error.valid_up_to());
        assert_eq!(error, Err(*at));
    } else if let Violation::Malformed { at, what } = violation {
        assert!(*at <= line.len(), "{what} at byte {at} of {}", line.len());
    } else {
        panic!("no fault of a line: {violation:?}");
    }
}
