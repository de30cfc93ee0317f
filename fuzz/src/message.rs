//! Target `msg_roundtrip`: the parser against the definition of the wire.

use peerline_proto::Violation;
use peerline_proto::testing::decode;
use peerline_testkit::oracle::judge;

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
