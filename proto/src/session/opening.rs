//! How a connection opens: which dialect its first bytes are, and its first complete message.
//!
//! Whoever dials speaks first, so only an accepted connection has a choice. The first byte that is
//! no blank tells a frame from an object; of an object, the first of the two keys that name a type
//! tells the native dialect from chat. The result depends on the bytes alone, not on how they are
//! cut. At most [`MAX_FIRST_LINE`] bytes are kept, and none of a stranger that is silent.

use alloc::borrow::Cow;
use alloc::vec::Vec;

use crate::dialect::{Dialect, Dialects};
use crate::error::Violation;
use crate::limits::MAX_FIRST_LINE;
use crate::wire::btpeer::{FrameTooLong, Frames, GuestFrame};
use crate::wire::detect::{Found, ObjectEnd, Scan};
use crate::wire::framing::Framer;

/// Blanks allowed before the first byte of a dialect.
pub(crate) const LEADING_BLANKS: u8 = 64;

/// What a connection has shown of itself.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "testing", derive(Hash))]
pub(crate) enum Opening {
    /// So many blanks.
    Blanks(u8),
    /// The start of an object in which neither key has come yet; the framer holds it.
    Object { scan: Scan, end: ObjectEnd },
    /// A native line.
    Native,
    /// The start of a chat object; the framer holds it.
    Chat(ObjectEnd),
    /// The start of a BTPeer frame.
    Btpeer(Frames),
}

/// A whole message, of whatever dialect.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum Input<'i> {
    /// A native line.
    Line(Cow<'i, [u8]>),
    /// A chat object.
    Object(Vec<u8>),
    /// A BTPeer frame.
    Frame(GuestFrame),
}

impl Opening {
    /// Of a connection that we accepted.
    pub(crate) const ANY: Self = Self::Blanks(0);

    /// Takes the first message off the front of `rest`; `None` until it is whole. Then all of
    /// `rest` has been taken.
    ///
    /// # Errors
    /// What only the sender can have got wrong.
    pub(crate) fn next<'i>(
        &mut self,
        rest: &mut &'i [u8],
        framer: &mut Framer,
        spoken: Dialects,
    ) -> Result<Option<Input<'i>>, Violation> {
        loop {
            let next = match self {
                Self::Blanks(blanks) => match skip_blanks(blanks, rest) {
                    Some(first) => Self::of(first, spoken)?,
                    None => return Ok(None),
                },
                Self::Object { scan, end } => match decide(scan, end, rest, framer)? {
                    Some(found) => Self::decided(found, scan, end, spoken)?,
                    None => return Ok(None),
                },
                Self::Native => return Ok(framer.next(rest, MAX_FIRST_LINE)?.map(Input::Line)),
                Self::Chat(end) => return Ok(whole(end, rest, framer)?.map(Input::Object)),
                Self::Btpeer(frames) => {
                    let frame = frames.next(rest, MAX_FIRST_LINE).map_err(too_long)?;
                    return Ok(frame.map(Input::Frame));
                }
            };
            *self = next;
        }
    }

    /// What an object turned out to be.
    fn decided(
        found: Found,
        scan: &Scan,
        end: &mut ObjectEnd,
        spoken: Dialects,
    ) -> Result<Self, Violation> {
        match found {
            Found::Native if !scan.line_ended() => Ok(Self::Native),
            Found::Native => Err(malformed("the line ends in the object")),
            Found::Chat if spoken.chat => Ok(Self::Chat(core::mem::take(end))),
            Found::Chat => Err(off(Dialect::Chat)),
            Found::Neither => Err(malformed("neither msgtype nor msg_type")),
        }
    }

    /// Bytes of a frame that is not whole yet. What there is of a line or object the framer holds.
    pub(crate) fn pending(&self) -> usize {
        match self {
            Self::Btpeer(frames) => frames.pending(),
            Self::Blanks(_) | Self::Object { .. } | Self::Native | Self::Chat(_) => 0,
        }
    }

    /// What the first byte that is no blank begins.
    fn of(first: u8, spoken: Dialects) -> Result<Self, Violation> {
        match first {
            b'{' => Ok(Self::Object { scan: Scan::default(), end: ObjectEnd::default() }),
            // Reserved for a secure transport to come.
            0x00..=0x1f | b' ' => Err(Violation::UnknownDialect { byte: first }),
            _ if spoken.btpeer => Ok(Self::Btpeer(Frames::default())),
            _ => Err(off(Dialect::Btpeer)),
        }
    }
}

pub(super) fn too_long(frame: FrameTooLong) -> Violation {
    Violation::FrameTooLong { len: frame.len, limit: frame.limit }
}

fn malformed(what: &'static str) -> Violation {
    Violation::Malformed { at: 0, what }
}

fn off(dialect: Dialect) -> Violation {
    Violation::DialectOff { dialect }
}

/// Looks for the key that decides what an object is. What does not decide is kept.
fn decide(
    scan: &mut Scan,
    end: &mut ObjectEnd,
    rest: &mut &[u8],
    framer: &mut Framer,
) -> Result<Option<Found>, Violation> {
    // No further than may be kept, so that cuts make no difference.
    let room = MAX_FIRST_LINE.saturating_sub(framer.pending());
    let found = scan.feed(rest.get(..room).unwrap_or(rest));
    if found.is_none() {
        let _not_ended = end.feed(rest);
        framer.hold(rest, MAX_FIRST_LINE)?;
    }
    Ok(found)
}

/// Takes a chat object, once it is whole.
fn whole(
    end: &mut ObjectEnd,
    rest: &mut &[u8],
    framer: &mut Framer,
) -> Result<Option<Vec<u8>>, Violation> {
    let count = end.feed(rest);
    let ends = count.unwrap_or(rest.len());
    let (mut object, after) = rest.split_at_checked(ends).unwrap_or((rest, &[]));
    framer.hold(&mut object, MAX_FIRST_LINE)?;
    *rest = after;
    Ok(count.map(|_| framer.take()))
}

/// Takes blanks off the front, and shows the first other byte, which stays.
fn skip_blanks(blanks: &mut u8, rest: &mut &[u8]) -> Option<u8> {
    while let Some((first, after)) = rest.split_first() {
        match first {
            b' ' | b'\t' | b'\r' | b'\n' if *blanks < LEADING_BLANKS => {
                *blanks = blanks.saturating_add(1);
                *rest = after;
            }
            other => return Some(*other),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    #![allow(clippy::indexing_slicing, clippy::unwrap_used)]
    use super::*;
    use alloc::string::String;
    use alloc::{format, vec};

    const ALL: Dialects = Dialects { btpeer: true, chat: true };

    /// What these bytes open as, in pieces, with how much is left over.
    fn opened(pieces: &[&[u8]], spoken: Dialects) -> String {
        let (mut opening, mut framer) = (Opening::ANY, Framer::default());
        let mut left = 0;
        let mut found = String::from("nothing yet");
        for piece in pieces {
            let mut rest = *piece;
            if found == "nothing yet" {
                match opening.next(&mut rest, &mut framer, spoken) {
                    Ok(None) => assert!(rest.is_empty(), "all is kept"),
                    Ok(Some(input)) => found = format!("{input:?}"),
                    Err(violation) => return format!("{violation}"),
                }
            }
            left += rest.len();
        }
        format!("{found}, {left} left")
    }

    #[test]
    fn the_first_byte_that_is_no_blank_decides() {
        for (bytes, expected) in [
            (&b" \t\r\n{\"msgtype\":\"ping\"}\n{"[..], "Line"),
            (b"{\"msg\":1,\"msgtype\":\"x\"}\nrest", "Line"),
            (b"{\"x\":{\"msg_type\":1},\"msgtype\":\"x\"}\n", "Line"),
            (b"\n{\"msg_type\":\"PING\"}rest", "Object"),
            (b"{\"msgtyp\\u0065\":\"x\",\"msg_type\":1}\n", "Line"),
            (b"{\"msg_type\":\"}\\\"{\",\"msgtype\":1} {", "Object"),
            (b"  NAME\0\0\0\x03abcrest", "Frame"),
            (b"name\0\0\0\0", "Frame"),
            (b"[]", "nothing yet"),
            (b"", "nothing yet"),
            (b"{\"msg\":\"msg_type", "nothing yet"),
            (b"\x16\x03\x01", "first byte 0x16"),
            (b"\x1f", "first byte 0x1f"),
            (b"{}", "neither msgtype nor msg_type"),
            (b"{\"a\":[{\"msgtype\":1}]}\n", "neither msgtype nor msg_type"),
            (b"{\"a\":1,\n\"msgtype\":\"hello\"}\n", "the line ends in the object"),
            (b"NAME\xff\xff\xff\xffx", "frame is 4294967295 bytes"),
        ] {
            let whole = opened(&[bytes], ALL);
            assert!(whole.contains(expected), "{}: {whole}", bytes.escape_ascii());
            for at in 0..=bytes.len() {
                let (head, tail) = bytes.split_at(at);
                assert_eq!(opened(&[head, tail], ALL), whole, "{} {at}", bytes.escape_ascii());
            }
            let single: Vec<&[u8]> = bytes.chunks(1).collect();
            assert_eq!(opened(&single, ALL), whole, "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn a_dialect_that_is_off_is_named_however_long_its_object_takes() {
        let spoken = Dialects { btpeer: false, chat: false };
        let object = b"{\"msg\":\"x\",\"msg_type\":\"PING\"}";
        for at in 0..=object.len() {
            let (head, tail) = object.split_at(at);
            assert!(opened(&[head, tail], spoken).contains("chat dialect is switched off"));
        }
        assert!(opened(&[b"N"], spoken).contains("BTPeer dialect is switched off"));
    }

    #[test]
    fn a_type_beyond_the_first_line_is_too_late_however_the_bytes_are_cut() {
        let none = Dialects { btpeer: false, chat: false };
        let ends = ["\"msg_type\":1}", "\"msgtype\":1}\n", "\"x\":1}"];
        for (spoken, end) in
            [ALL, none].into_iter().flat_map(|spoken| ends.map(|end| (spoken, end)))
        {
            let bytes = format!("{{\"a\":\"{}\",{end}", "x".repeat(MAX_FIRST_LINE));
            let bytes = bytes.as_bytes();
            for pieces in [vec![bytes], bytes.chunks(1).collect(), bytes.chunks(4096).collect()] {
                let told = opened(&pieces, spoken);
                assert!(told.contains("the limit is 4096"), "{told}");
            }
        }
    }
}
