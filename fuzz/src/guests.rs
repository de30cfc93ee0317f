//! Target `guest_bytes`: the parsers of both guests' dialects.

use peerline_proto::testing::{GuestFrames, chat_key, chat_object, guest_body};
use peerline_testkit::guest_oracle;

use crate::input::cut;

/// Levels at which a chat object is no longer read.
const MOST_LEVELS: usize = 32;

/// Frames do not depend on how they are cut and are those of the definition; a body is its payload
/// again; a chat object is one exactly if the definition says so, and a line of it written anew is
/// the same line.
///
/// Input: four bytes for the lengths of the pieces in turn, one for the limit, then the stream.
pub fn guest_bytes(input: &[u8]) {
    let Some((plan, rest)) = input.split_first_chunk::<4>() else { return };
    let Some((limit, stream)) = rest.split_first() else { return };
    check_frames(stream, plan, usize::from(*limit));
    let (body, back) = guest_body(stream);
    assert_eq!(back, stream, "the payload of {body}");
    if let Ok(text) = core::str::from_utf8(stream) {
        check_object(text);
        check_key(text);
    }
}

/// The definition of frames: payloads, and the length that is too long or what is left.
fn frames(mut stream: &[u8], limit: usize) -> (Vec<Vec<u8>>, Result<usize, u32>) {
    let mut payloads = Vec::new();
    while let Some((header, rest)) = stream.split_first_chunk::<8>() {
        let len = u32::from_be_bytes([header[4], header[5], header[6], header[7]]);
        if len as usize > limit {
            return (payloads, Err(len));
        }
        let Some((payload, after)) = rest.split_at_checked(len as usize) else { break };
        payloads.push(payload.to_vec());
        stream = after;
    }
    (payloads, Ok(stream.len()))
}

fn check_frames(stream: &[u8], plan: &[u8; 4], limit: usize) {
    let (expected, end) = frames(stream, limit);
    for pieces in [vec![stream], cut(stream, plan), stream.chunks(1).collect()] {
        let (mut reader, mut payloads) = (GuestFrames::default(), Vec::new());
        let fed = pieces.iter().try_for_each(|piece| reader.feed(piece, limit, &mut payloads));
        assert_eq!(payloads, expected);
        assert_eq!(fed.map(|()| reader.pending()), end);
        assert!(reader.pending() < limit + 8 + 1, "more is kept than a frame");
    }
}

fn check_object(text: &str) {
    let read = chat_object(text);
    let defined = guest_oracle::chat_object(text);
    if let Some((kind, msg, originator, time)) = &read {
        // What the definition cannot hold, such as a number beyond all, is read all the same.
        let Some((word, value, who, when)) = &defined else { return };
        assert_eq!((who, when), (originator, time));
        assert_eq!(kind.to_uppercase(), word.replace('_', ""));
        let again: Option<[String; 2]> = guest_oracle::written_anew(msg);
        assert!(again.is_none_or(|_| !value.is_object()));
    } else if let Some((word, ..)) = defined {
        let known = ["PING", "PONG", "ADVERTISE", "ADVERTISE_REPLY", "BROADCAST", "TEST"];
        let deep = guest_oracle::depth(text.as_bytes()) > MOST_LEVELS;
        assert!(deep || !known.contains(&word.as_str()), "{word} is not read");
    }
}

fn check_key(text: &str) {
    let Some(anew) = guest_oracle::written_anew(text) else { return };
    if guest_oracle::depth(text.as_bytes()) > MOST_LEVELS {
        return;
    }
    let key = chat_key("who", text, "when");
    for other in anew {
        assert_eq!(chat_key("who", &other, "when"), key, "{text} and {other}");
    }
    let longer = format!("[{text}]");
    assert_ne!(chat_key("who", &longer, "when"), key, "another value");
    assert_ne!(chat_key("wh", text, "owhen"), key, "other words");
}
