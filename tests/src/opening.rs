//! How a connection opens, by the definition alone: which dialect, and when its first message is
//! whole or refused.
//!
//! It looks at all bytes at once and keeps no state, as a model may.

use peerline_proto::{Dialect, MAX_DEPTH, MAX_FIRST_LINE, Violation};

/// Blanks that may come first.
const MOST_BLANKS: usize = 64;
/// Bytes of a frame before its payload.
pub const HEADER: usize = 8;

/// What a stream opens as.
#[derive(Debug)]
pub struct Opening {
    /// Bytes before the first message.
    pub blanks: usize,
    /// What the first message is, and how many bytes of the stream it takes to know.
    pub fate: Option<(usize, Fate)>,
}

/// What became of the first message.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub enum Fate {
    /// A native line; whether it is a valid one is not looked at.
    Line,
    /// A chat object.
    Object,
    /// A BTPeer frame of this kind.
    Frame([u8; 4]),
    /// The connection ends by this, with a length of 0 for lines, which depends on the cuts.
    Refused(Violation),
}

/// Which guests are spoken with.
#[derive(Copy, Clone, Debug)]
pub struct Spoken {
    /// Peers of the BTPeer dialect.
    pub btpeer: bool,
    /// Those of the chat dialect.
    pub chat: bool,
}

impl Spoken {
    /// Both.
    pub const ALL: Self = Self { btpeer: true, chat: true };
}

impl Opening {
    /// What these first bytes of a stream open.
    pub fn of(stream: &[u8], spoken: Spoken) -> Self {
        let blanks = stream.iter().take_while(|byte| is_blank(**byte)).count().min(MOST_BLANKS);
        let message = &stream[blanks..];
        let fate = match message.first() {
            None => None,
            Some(b'{') => object(message, spoken),
            Some(byte @ 0..=b' ') => refused(1, Violation::UnknownDialect { byte: *byte }),
            Some(_) if !spoken.btpeer => refused(1, off(Dialect::Btpeer)),
            Some(_) => frame(message),
        };
        Self { blanks, fate: fate.map(|(count, fate)| (blanks + count, fate)) }
    }
}

type Known = Option<(usize, Fate)>;

fn refused(at: usize, violation: Violation) -> Known {
    Some((at, Fate::Refused(violation)))
}

fn off(dialect: Dialect) -> Violation {
    Violation::DialectOff { dialect }
}

fn is_blank(byte: u8) -> bool {
    b" \t\r\n".contains(&byte)
}

/// The kind and the length of the payload of a frame whose header is there.
pub fn header(bytes: &[u8]) -> Option<([u8; 4], u32)> {
    let (kind, rest) = bytes.split_first_chunk::<4>()?;
    Some((*kind, u32::from_be_bytes(*rest.first_chunk()?)))
}

fn frame(message: &[u8]) -> Known {
    let (kind, len) = header(message)?;
    if len as usize > MAX_FIRST_LINE {
        return refused(HEADER, Violation::FrameTooLong { len, limit: MAX_FIRST_LINE });
    }
    let end = HEADER + len as usize;
    (message.len() >= end).then_some((end, Fate::Frame(kind)))
}

fn object(message: &[u8], spoken: Spoken) -> Known {
    let longer = Violation::LineTooLong { len: 0, limit: MAX_FIRST_LINE };
    let too_long =
        if message.len() > MAX_FIRST_LINE { refused(MAX_FIRST_LINE + 1, longer) } else { None };
    let held = &message[..message.len().min(MAX_FIRST_LINE)];
    let Some((at, key)) = deciding_key(held) else { return too_long };
    let malformed = |what| refused(at, Violation::Malformed { at: 0, what });
    match key {
        Key::Neither => malformed("neither msgtype nor msg_type"),
        Key::Native if held[..at].contains(&b'\n') => malformed("the line ends in the object"),
        Key::Native => {
            let end = message.iter().position(|byte| *byte == b'\n');
            let end = end.filter(|end| *end <= MAX_FIRST_LINE);
            end.map(|end| (end + 1, Fate::Line)).or(too_long)
        }
        Key::Chat if !spoken.chat => refused(at, off(Dialect::Chat)),
        Key::Chat => closing(held, 1).map(|end| (end, Fate::Object)).or(too_long),
    }
}

/// What decides an object.
enum Key {
    Native,
    Chat,
    Neither,
}

/// The first of the two keys, or where it is sure that neither can come.
fn deciding_key(text: &[u8]) -> Option<(usize, Key)> {
    let mut at = 1;
    loop {
        at = skip_blanks(text, at);
        if *text.get(at)? != b'"' {
            return Some((at + 1, Key::Neither));
        }
        let (end, name) = string(text, at + 1)?;
        match name.as_deref() {
            Some("msgtype") => return Some((end, Key::Native)),
            Some("msg_type") => return Some((end, Key::Chat)),
            None => return Some((end, Key::Neither)),
            Some(_) => {}
        }
        at = skip_blanks(text, end);
        if *text.get(at)? != b':' {
            return Some((at + 1, Key::Neither));
        }
        at = match value(text, at + 1)? {
            Ok(comma) => comma + 1,
            Err(end) => return Some((end, Key::Neither)),
        };
    }
}

fn skip_blanks(text: &[u8], at: usize) -> usize {
    at + text[at..].iter().take_while(|byte| is_blank(**byte)).count()
}

/// Where the string ends whose first character is at `at`, and what it says if that can be told
/// apart from the two names; no text if it is no string.
fn string(text: &[u8], mut at: usize) -> Option<(usize, Option<String>)> {
    let mut said = String::new();
    loop {
        match *text.get(at)? {
            b'"' => return Some((at + 1, Some(said))),
            b'\\' => match escape(text, at)? {
                Ok((end, char)) => {
                    said.push(char);
                    at = end;
                }
                Err(end) => return Some((end, None)),
            },
            0..=0x1f => return Some((at + 1, None)),
            other => {
                said.push(char::from(other));
                at += 1;
            }
        }
    }
}

/// Behind the escape that begins at `at`, and a character for it: any for those in neither name. An
/// error where it is sure to be no escape.
fn escape(text: &[u8], at: usize) -> Option<Result<(usize, char), usize>> {
    match *text.get(at + 1)? {
        b'u' => {}
        letter if b"\"\\/bfnrt".contains(&letter) => return Some(Ok((at + 2, '?'))),
        _ => return Some(Err(at + 2)),
    }
    let mut value = 0;
    for place in at + 2..at + 6 {
        let Some(digit) = char::from(*text.get(place)?).to_digit(16) else {
            return Some(Err(place + 1));
        };
        value = value * 16 + digit;
    }
    // Half a pair is in neither name.
    Some(Ok((at + 6, char::from_u32(value).unwrap_or('?'))))
}

/// Where the comma behind a value is; an error where the object ends or lies too deep before one.
fn value(text: &[u8], from: usize) -> Option<Result<usize, usize>> {
    let (mut depth, mut at) = (1_usize, from);
    loop {
        match *text.get(at)? {
            b',' if depth == 1 => return Some(Ok(at)),
            b'"' => at = quoted(text, at)? - 1,
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth -= 1,
            _ => {}
        }
        at += 1;
        if depth == 0 || depth > MAX_DEPTH {
            return Some(Err(at));
        }
    }
}

/// Behind the string that begins at `at`, whatever it holds.
fn quoted(text: &[u8], at: usize) -> Option<usize> {
    let mut at = at + 1;
    loop {
        match *text.get(at)? {
            b'"' => return Some(at + 1),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

/// Behind the bracket that closes what is open at `from`, by quotes and brackets alone.
fn closing(text: &[u8], from: usize) -> Option<usize> {
    let (mut depth, mut at) = (1_usize, from);
    while depth > 0 {
        match *text.get(at)? {
            b'"' => at = quoted(text, at)? - 1,
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth -= 1,
            _ => {}
        }
        at += 1;
    }
    Some(at)
}
