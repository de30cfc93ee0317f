//! Reads the native messages: one JSON object, any key order, unknown fields ignored and counted.
//!
//! A line is valid when it is a JSON object of at most 32 levels in which the fields that the table
//! gives its `msgtype` occur at most once, have their types, and are there if required. What the
//! values mean is for others to judge; here a message is refused only for what its sender alone can
//! have got wrong. An unknown `msgtype` is valid.
#![deny(clippy::arithmetic_side_effects)]

use alloc::borrow::Cow;
use core::net::SocketAddr;

use crate::config::Listen;
use crate::error::{ByeReason, Violation};
use crate::exchange::NakCode;
use crate::wire::caps::Caps;
use crate::wire::field::{FIELDS, Field};
use crate::wire::json::{self, Fault, Members, Span, Wrong};
use crate::wire::words::{bye_reason, nak_code};
use crate::wire::written;

/// A message, borrowed from its line.
#[derive(Clone, Debug)]
pub(crate) enum Msg<'a> {
    Hello(Hello<'a>),
    Ping { nonce: Option<u64> },
    Pong { nonce: Option<u64> },
    Bye(Bye<'a>),
    Getaddr { max: Option<u64> },
    Addr(Addr<'a>),
    Broadcast(Broadcast<'a>),
    Ihave { have: Span<'a> },
    Graft { stream: Option<Named<'a>>, want: Option<Span<'a>> },
    Prune { stream: Option<Named<'a>> },
    Message(Direct<'a>),
    Request(RequestLine<'a>),
    Reply(ReplyLine<'a>),
    Nak(NakLine<'a>),
    Find(FindLine<'a>),
    Found(FindLine<'a>),
    Error(ErrorLine<'a>),
    Unknown,
}

/// The kinds of message, for the table of what is allowed when.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(crate) enum MsgKind {
    Hello,
    Ping,
    Pong,
    Bye,
    Getaddr,
    Addr,
    Broadcast,
    Ihave,
    Graft,
    Prune,
    Message,
    Request,
    Reply,
    Nak,
    Find,
    Found,
    Error,
    Unknown,
}

impl MsgKind {
    /// All of them, in the order of the protocol's table.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) const ALL: [Self; 18] = [
        Self::Hello,
        Self::Ping,
        Self::Pong,
        Self::Bye,
        Self::Getaddr,
        Self::Addr,
        Self::Broadcast,
        Self::Ihave,
        Self::Graft,
        Self::Prune,
        Self::Message,
        Self::Request,
        Self::Reply,
        Self::Nak,
        Self::Find,
        Self::Found,
        Self::Error,
        Self::Unknown,
    ];

    fn of(msgtype: &str) -> Self {
        match msgtype {
            "hello" => Self::Hello,
            "ping" => Self::Ping,
            "pong" => Self::Pong,
            "bye" => Self::Bye,
            "getaddr" => Self::Getaddr,
            "addr" => Self::Addr,
            "broadcast" => Self::Broadcast,
            "ihave" => Self::Ihave,
            "graft" => Self::Graft,
            "prune" => Self::Prune,
            "message" => Self::Message,
            "request" => Self::Request,
            "reply" => Self::Reply,
            "nak" => Self::Nak,
            "find" => Self::Find,
            "found" => Self::Found,
            "error" => Self::Error,
            _ => Self::Unknown,
        }
    }

    /// The fields of the message, each with whether it must be there.
    fn fields(self) -> &'static [(Field, bool)] {
        use Field as F;
        match self {
            Self::Hello => &[
                (F::Nodeid, true),
                (F::Version, false),
                (F::MinVersion, false),
                (F::Network, false),
                (F::Agent, false),
                (F::Nonce, false),
                (F::Listen, false),
                (F::You, false),
                (F::Max, false),
                (F::Caps, false),
            ],
            Self::Ping | Self::Pong => &[(F::Nonce, false)],
            Self::Bye => &[(F::Reason, false), (F::Retry, false), (F::Peers, false)],
            Self::Getaddr => &[(F::Max, false)],
            Self::Addr => &[(F::Peers, true), (F::Ages, false)],
            Self::Broadcast => &[
                (F::Originator, true),
                (F::Epoch, true),
                (F::Seq, true),
                (F::Time, true),
                (F::Kind, true),
                (F::Msg, true),
            ],
            Self::Ihave => &[(F::Have, true)],
            Self::Graft => &[(F::Originator, false), (F::Epoch, false), (F::Want, false)],
            Self::Prune => &[(F::Originator, false), (F::Epoch, false)],
            Self::Message => &[
                (F::Id, true),
                (F::From, true),
                (F::To, true),
                (F::Kind, true),
                (F::Time, true),
                (F::Ttl, true),
                (F::Try, false),
                (F::Msg, true),
            ],
            Self::Request => &[
                (F::Id, true),
                (F::From, true),
                (F::To, true),
                (F::Kind, true),
                (F::Time, true),
                (F::Ttl, true),
                (F::Deadline, true),
                (F::Try, false),
                (F::Msg, true),
            ],
            Self::Reply => &[
                (F::Re, true),
                (F::N, true),
                (F::From, true),
                (F::To, true),
                (F::Kind, true),
                (F::Msg, true),
                (F::Last, false),
            ],
            Self::Nak => &[(F::Re, true), (F::At, false), (F::Code, true), (F::Ttl, false)],
            Self::Find | Self::Found => {
                &[(F::Id, true), (F::From, true), (F::To, true), (F::Ttl, true)]
            }
            Self::Error => &[(F::Re, false), (F::Code, false), (F::Ttl, false)],
            Self::Unknown => &[],
        }
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Hello<'a> {
    pub(crate) nodeid: Cow<'a, str>,
    pub(crate) version: u64,
    pub(crate) min_version: u64,
    pub(crate) network: Option<Cow<'a, str>>,
    pub(crate) nonce: Option<u64>,
    pub(crate) listen: Option<Listen>,
    /// Where it sees us; nothing if what it says is no address.
    pub(crate) you: Option<SocketAddr>,
    pub(crate) max: Option<u64>,
    pub(crate) caps: Caps,
}

#[derive(Clone, Debug)]
pub(crate) struct Bye<'a> {
    pub(crate) reason: ByeReason,
    pub(crate) retry: Option<u64>,
    pub(crate) peers: Option<Span<'a>>,
}

#[derive(Clone, Debug)]
pub(crate) struct Addr<'a> {
    pub(crate) peers: Span<'a>,
}

#[derive(Clone, Debug)]
pub(crate) struct Broadcast<'a> {
    pub(crate) originator: Cow<'a, str>,
    pub(crate) epoch: u64,
    pub(crate) seq: u64,
    pub(crate) time: u64,
    pub(crate) kind: Span<'a>,
    pub(crate) msg: Span<'a>,
}

/// The name of a stream, as it came.
#[derive(Clone, Debug)]
pub(crate) struct Named<'a> {
    pub(crate) originator: Cow<'a, str>,
    pub(crate) epoch: u64,
}

#[derive(Clone, Debug)]
pub(crate) struct Direct<'a> {
    pub(crate) id: Cow<'a, str>,
    pub(crate) from: Cow<'a, str>,
    pub(crate) to: Cow<'a, str>,
    pub(crate) time: u64,
    pub(crate) ttl: Span<'a>,
    pub(crate) attempt: u64,
    pub(crate) kind: Span<'a>,
    pub(crate) msg: Span<'a>,
}

#[derive(Clone, Debug)]
pub(crate) struct RequestLine<'a> {
    pub(crate) direct: Direct<'a>,
    /// What is left of the asker's patience, milliseconds.
    pub(crate) deadline: Span<'a>,
}

#[derive(Clone, Debug)]
pub(crate) struct ReplyLine<'a> {
    pub(crate) re: Cow<'a, str>,
    pub(crate) n: u64,
    pub(crate) from: Cow<'a, str>,
    pub(crate) to: Cow<'a, str>,
    pub(crate) kind: Span<'a>,
    pub(crate) msg: Span<'a>,
    pub(crate) last: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct NakLine<'a> {
    pub(crate) re: Cow<'a, str>,
    pub(crate) at: Option<Cow<'a, str>>,
    pub(crate) code: NakCode,
    /// How far the line might still go, as its refuser counts.
    pub(crate) ttl: Option<u64>,
}

#[derive(Clone, Debug)]
pub(crate) struct FindLine<'a> {
    pub(crate) id: Cow<'a, str>,
    pub(crate) from: Cow<'a, str>,
    pub(crate) to: Cow<'a, str>,
    pub(crate) ttl: Span<'a>,
}

#[derive(Clone, Debug)]
pub(crate) struct ErrorLine<'a> {
    pub(crate) re: Cow<'a, str>,
    pub(crate) code: Cow<'a, str>,
    /// As in a [`NakLine`].
    pub(crate) ttl: Option<u64>,
}

impl Msg<'_> {
    pub(crate) fn kind(&self) -> MsgKind {
        match self {
            Self::Hello(_) => MsgKind::Hello,
            Self::Ping { .. } => MsgKind::Ping,
            Self::Pong { .. } => MsgKind::Pong,
            Self::Bye(_) => MsgKind::Bye,
            Self::Getaddr { .. } => MsgKind::Getaddr,
            Self::Addr(_) => MsgKind::Addr,
            Self::Broadcast(_) => MsgKind::Broadcast,
            Self::Ihave { .. } => MsgKind::Ihave,
            Self::Graft { .. } => MsgKind::Graft,
            Self::Prune { .. } => MsgKind::Prune,
            Self::Message(_) => MsgKind::Message,
            Self::Request(_) => MsgKind::Request,
            Self::Reply(_) => MsgKind::Reply,
            Self::Nak(_) => MsgKind::Nak,
            Self::Find(_) => MsgKind::Find,
            Self::Found(_) => MsgKind::Found,
            Self::Error(_) => MsgKind::Error,
            Self::Unknown => MsgKind::Unknown,
        }
    }
}

/// A message and how many of its line's fields are unknown here.
#[derive(Clone, Debug)]
pub(crate) struct Decoded<'a> {
    pub(crate) msg: Msg<'a>,
    pub(crate) unknown_fields: u32,
}

/// Reads one object.
///
/// # Errors
/// [`Violation::Malformed`] if the text is not valid.
pub(crate) fn decode(text: &str) -> Result<Decoded<'_>, Violation> {
    if let Some(broadcast) = written::broadcast(text) {
        return Ok(Decoded { msg: Msg::Broadcast(broadcast), unknown_fields: 0 });
    }
    read_any(text).map_err(|fault| Violation::Malformed { at: fault.at(), what: fault.what() })
}

/// Reads an object whose members may come in any order.
fn read_any(text: &str) -> Result<Decoded<'_>, Fault> {
    let mut fields = Fields::default();
    fields.read(text)?;
    let msgtype = fields.text(Field::Msgtype)?;
    let kind = MsgKind::of(&msgtype.ok_or_else(|| Fault::new(0, Wrong::NoMsgtype))?);
    let known = fields.check(kind)?;
    let unknown_fields = fields.unknown(known);
    Ok(Decoded { msg: fields.message(kind)?, unknown_fields })
}

/// The members of an object that some message knows.
#[derive(Debug)]
struct Fields<'a> {
    spans: [Option<Span<'a>>; FIELDS],
    /// A bit for each field that occurs.
    present: u64,
    /// A bit for each field that occurs more than once.
    repeated: u64,
    /// Members that no message knows.
    strangers: u32,
}

impl Default for Fields<'_> {
    fn default() -> Self {
        Self { spans: [None; FIELDS], present: 0, repeated: 0, strangers: 0 }
    }
}

impl<'a> Fields<'a> {
    /// Takes in the members of a text.
    fn read(&mut self, text: &'a str) -> Result<(), Fault> {
        let mut members = Members::of(text)?;
        while !members.is_over() {
            let field = Field::of(&members.key()?.unescape());
            self.put(field, members.value()?);
        }
        Ok(())
    }

    #[inline]
    fn put(&mut self, field: Option<Field>, value: Span<'a>) {
        let Some(field) = field else {
            self.strangers = self.strangers.saturating_add(1);
            return;
        };
        self.repeated |= self.present & field.bit();
        self.present |= field.bit();
        if let Some(slot) = self.spans.get_mut(field as usize) {
            *slot = Some(value);
        }
    }

    #[inline]
    fn span(&self, field: Field) -> Option<Span<'a>> {
        self.spans.get(field as usize).copied().flatten()
    }

    /// Checks the fields of this kind of message: each at most once, of its type, there if
    /// required. Returns how many there are.
    fn check(&self, kind: MsgKind) -> Result<u32, Fault> {
        let mut known = self.check_one(Field::Msgtype, true)?;
        for (field, required) in kind.fields() {
            known = known.saturating_add(self.check_one(*field, *required)?);
        }
        Ok(known)
    }

    /// Checks one field; 1 if it is there.
    #[inline]
    fn check_one(&self, field: Field, required: bool) -> Result<u32, Fault> {
        match self.spans.get(field as usize).and_then(Option::as_ref) {
            None if required => Err(Fault::new(0, Wrong::Missing)),
            None => Ok(0),
            Some(span) if self.repeated & field.bit() != 0 => {
                Err(Fault::new(span.start, Wrong::Twice))
            }
            Some(span) if !field.fits(span) => Err(Fault::new(span.start, Wrong::Type)),
            Some(_) => Ok(1),
        }
    }

    /// How many members there are beside those known to the message.
    fn unknown(&self, known: u32) -> u32 {
        self.strangers.saturating_add(self.present.count_ones().saturating_sub(known))
    }

    fn text(&self, field: Field) -> Result<Option<Cow<'a, str>>, Fault> {
        let Some(span) = self.span(field) else { return Ok(None) };
        span.as_text().map(Some).ok_or_else(|| Fault::new(span.start, Wrong::Type))
    }

    fn word(&self, field: Field) -> Result<Cow<'a, str>, Fault> {
        Ok(self.text(field)?.unwrap_or_default())
    }

    fn integer(&self, field: Field) -> Option<u64> {
        self.span(field)?.as_integer()
    }

    fn number(&self, field: Field) -> u64 {
        self.integer(field).unwrap_or_default()
    }

    fn required(&self, field: Field) -> Result<Span<'a>, Fault> {
        self.span(field).ok_or_else(|| Fault::new(0, Wrong::Missing))
    }

    fn message(&self, kind: MsgKind) -> Result<Msg<'a>, Fault> {
        Ok(match kind {
            MsgKind::Hello => Msg::Hello(self.hello()?),
            MsgKind::Ping => Msg::Ping { nonce: self.integer(Field::Nonce) },
            MsgKind::Pong => Msg::Pong { nonce: self.integer(Field::Nonce) },
            MsgKind::Bye => Msg::Bye(self.bye()?),
            MsgKind::Getaddr => Msg::Getaddr { max: self.integer(Field::Max) },
            MsgKind::Addr => Msg::Addr(Addr { peers: self.required(Field::Peers)? }),
            MsgKind::Broadcast => Msg::Broadcast(self.broadcast()?),
            MsgKind::Ihave => Msg::Ihave { have: self.required(Field::Have)? },
            MsgKind::Graft => Msg::Graft { stream: self.named()?, want: self.span(Field::Want) },
            MsgKind::Prune => Msg::Prune { stream: self.named()? },
            MsgKind::Message => Msg::Message(self.direct()?),
            MsgKind::Request => Msg::Request(RequestLine {
                direct: self.direct()?,
                deadline: self.required(Field::Deadline)?,
            }),
            MsgKind::Reply => Msg::Reply(self.reply()?),
            MsgKind::Nak => Msg::Nak(NakLine {
                re: self.word(Field::Re)?,
                at: self.text(Field::At)?,
                code: nak_code(&self.word(Field::Code)?),
                ttl: self.integer(Field::Ttl),
            }),
            MsgKind::Find => Msg::Find(self.find()?),
            MsgKind::Found => Msg::Found(self.find()?),
            MsgKind::Error => Msg::Error(self.error()?),
            MsgKind::Unknown => Msg::Unknown,
        })
    }

    fn hello(&self) -> Result<Hello<'a>, Fault> {
        let version = self.number(Field::Version);
        Ok(Hello {
            nodeid: self.word(Field::Nodeid)?,
            version,
            min_version: self.integer(Field::MinVersion).unwrap_or(version),
            network: self.text(Field::Network)?,
            nonce: self.integer(Field::Nonce),
            listen: self.listen()?,
            you: self.text(Field::You)?.and_then(|text| text.parse().ok()),
            max: self.integer(Field::Max),
            caps: Caps::read(self.span(Field::Caps)),
        })
    }

    /// Where the peer listens; nothing if what it says is neither a port nor an address.
    fn listen(&self) -> Result<Option<Listen>, Fault> {
        if let Some(port) = self.integer(Field::Listen) {
            return Ok(u16::try_from(port).ok().filter(|port| *port != 0).map(Listen::Port));
        }
        let Some(span) = self.span(Field::Listen) else { return Ok(None) };
        let text = span.as_text().unwrap_or_default();
        Ok(text.parse::<SocketAddr>().ok().map(Listen::Addr))
    }

    fn bye(&self) -> Result<Bye<'a>, Fault> {
        Ok(Bye {
            reason: bye_reason(&self.word(Field::Reason)?),
            retry: self.integer(Field::Retry),
            peers: self.span(Field::Peers),
        })
    }

    /// The stream that is named, if one is. Half a name is none that anybody has.
    fn named(&self) -> Result<Option<Named<'a>>, Fault> {
        let (originator, epoch) = (self.text(Field::Originator)?, self.integer(Field::Epoch));
        if originator.is_none() && epoch.is_none() {
            return Ok(None);
        }
        let (originator, epoch) = (originator.unwrap_or_default(), epoch.unwrap_or(u64::MAX));
        Ok(Some(Named { originator, epoch }))
    }

    fn broadcast(&self) -> Result<Broadcast<'a>, Fault> {
        Ok(Broadcast {
            originator: self.word(Field::Originator)?,
            epoch: self.number(Field::Epoch),
            seq: self.number(Field::Seq),
            time: self.number(Field::Time),
            kind: self.required(Field::Kind)?,
            msg: self.required(Field::Msg)?,
        })
    }

    fn direct(&self) -> Result<Direct<'a>, Fault> {
        Ok(Direct {
            id: self.word(Field::Id)?,
            from: self.word(Field::From)?,
            to: self.word(Field::To)?,
            time: self.number(Field::Time),
            ttl: self.required(Field::Ttl)?,
            attempt: self.number(Field::Try),
            kind: self.required(Field::Kind)?,
            msg: self.required(Field::Msg)?,
        })
    }

    fn reply(&self) -> Result<ReplyLine<'a>, Fault> {
        Ok(ReplyLine {
            re: self.word(Field::Re)?,
            n: self.number(Field::N),
            from: self.word(Field::From)?,
            to: self.word(Field::To)?,
            kind: self.required(Field::Kind)?,
            msg: self.required(Field::Msg)?,
            last: self.span(Field::Last).is_some_and(|span| span.text == "true"),
        })
    }

    fn find(&self) -> Result<FindLine<'a>, Fault> {
        Ok(FindLine {
            id: self.word(Field::Id)?,
            from: self.word(Field::From)?,
            to: self.word(Field::To)?,
            ttl: self.required(Field::Ttl)?,
        })
    }

    fn error(&self) -> Result<ErrorLine<'a>, Fault> {
        let (re, code) = (self.word(Field::Re)?, self.word(Field::Code)?);
        Ok(ErrorLine { re, code, ttl: self.integer(Field::Ttl) })
    }
}

/// Numbers of a stream that somebody announces: the first, the last, and for how long the first was
/// held back, in milliseconds.
#[derive(Clone, Debug)]
pub(crate) struct Announced<'a> {
    pub(crate) stream: Named<'a>,
    pub(crate) from: u64,
    pub(crate) to: u64,
    pub(crate) hold: u64,
}

/// Hands each range of a checked `have` field to `each`.
pub(crate) fn announced<'a>(have: Span<'a>, mut each: impl FnMut(Announced<'a>)) {
    json::elements(have, |entry| {
        let mut parts = [None, None, None];
        let mut free = parts.iter_mut();
        json::elements(entry, |part| {
            if let Some(slot) = free.next() {
                *slot = Some(part);
            }
        });
        let [Some(originator), Some(epoch), Some(ranges)] = parts else { return };
        let originator = originator.as_text().unwrap_or_default();
        let stream = Named { originator, epoch: epoch.as_integer().unwrap_or(u64::MAX) };
        json::elements(ranges, |range| {
            if let [Some(from), Some(to), Some(hold)] = integers(range) {
                each(Announced { stream: stream.clone(), from, to, hold });
            }
        });
    });
}

/// Hands each range of a checked `want` field to `each`.
pub(crate) fn wanted(want: Span<'_>, mut each: impl FnMut(u64, u64)) {
    json::elements(want, |range| {
        if let [Some(from), Some(to)] = integers(range) {
            each(from, to);
        }
    });
}

/// The first integers of an array.
fn integers<const N: usize>(array: Span<'_>) -> [Option<u64>; N] {
    let mut parts = [None; N];
    let mut free = parts.iter_mut();
    json::elements(array, |part| {
        if let Some(slot) = free.next() {
            *slot = part.as_integer();
        }
    });
    parts
}

/// An address that somebody tells: of a named node, or the teller's own.
#[derive(Clone, Debug)]
pub(crate) struct Told<'a> {
    pub(crate) addr: Cow<'a, str>,
    pub(crate) node: Option<Cow<'a, str>>,
}

/// Hands each entry of a checked `peers` field to `each`.
pub(crate) fn told<'a>(peers: Span<'a>, mut each: impl FnMut(Told<'a>)) {
    json::elements(peers, |entry| {
        if let Some(addr) = entry.as_text() {
            return each(Told { addr, node: None });
        }
        let mut parts = [None, None];
        let mut free = parts.iter_mut();
        json::elements(entry, |part| {
            if let Some(slot) = free.next() {
                *slot = part.as_text();
            }
        });
        if let [Some(addr), node] = parts {
            each(Told { addr, node });
        }
    });
}

#[cfg(test)]
mod tests {
    #![allow(clippy::arithmetic_side_effects, clippy::indexing_slicing)]
    use super::*;
    use alloc::format;
    use alloc::string::String;
    use alloc::vec::Vec;

    fn fault(text: &str) -> Option<&'static str> {
        match decode(text) {
            Err(Violation::Malformed { what, .. }) => Some(what),
            _ => None,
        }
    }

    #[test]
    fn fields_of_other_messages_are_unknown_and_free() {
        let decoded = decode(r#"{"seq":"x","msgtype":"ping","seq":1,"zzz":{},"nonce":7}"#);
        let decoded = decoded.map(|decoded| (decoded.msg.kind(), decoded.unknown_fields));
        assert_eq!(decoded, Ok((MsgKind::Ping, 2)));
    }

    /// A broadcast that differs from what nodes write in one place at most, as `written` and
    /// `read_any` understand it.
    #[track_caller]
    fn both(line: &str) -> (Option<String>, Option<String>) {
        let written = written::broadcast(line).map(Msg::Broadcast);
        let any = read_any(line).ok().filter(|decoded| decoded.unknown_fields == 0);
        let shown = |msg: &Msg<'_>| format!("{msg:?}");
        (written.as_ref().map(shown), any.map(|decoded| shown(&decoded.msg)))
    }

    #[test]
    fn what_nodes_write_is_understood_as_any_line_is() {
        let id = "67e55044-10b1-426f-9247-bb680e5fe0c8";
        let start = format!(r#"{{"msgtype":"broadcast","originator":"{id}","epoch":12,"seq":3"#);
        for body in ["1", "-1.5e3", "\"\"", r#""a\u00e4\n""#, "null", "[]", r#"{"a":[{}]}"#] {
            let line = format!(r#"{start},"time":1795233600123,"kind":"NEWS","msg":{body}}}"#);
            let (written, any) = both(&line);
            assert!(written.is_some(), "{line}");
            assert_eq!(written, any, "{line}");
        }
        let line = format!(r#"{start},"time":9,"kind":"N","msg":[1,"x"]}}"#);
        for more in ["}", " ", "x", ",", "\n", "{}"] {
            assert_eq!(both(&[&line, more].concat()).0, None, "{more:?}");
        }
        // One byte after the other is left out, or is another one.
        let mut read = 0;
        for at in 0..line.len() {
            for other in ["", " ", "\"", "\\", "0", "1", "9", "}", ",", "\u{1}", "a", "-"] {
                let changed = [&line[..at], other, &line[at + 1..]].concat();
                let (written, any) = both(&changed);
                read += usize::from(written.is_some());
                assert!(written.is_none() || written == any, "{changed}");
            }
        }
        assert!(read > 300, "{read} changed lines were read as written");
    }

    #[test]
    fn own_fields_are_checked() {
        assert_eq!(fault(r#"{"msgtype":"ping","nonce":-1}"#), Some("a field of the wrong type"));
        assert_eq!(
            fault(r#"{"msgtype":"ping","nonce":1,"nonce":1}"#),
            Some("a field occurs twice")
        );
        assert_eq!(fault(r#"{"msgtype":"ping","msgtype":"ping"}"#), Some("a field occurs twice"));
        assert_eq!(fault(r#"{"msgtype":"hello"}"#), Some("a required field is missing"));
        assert_eq!(fault(r#"{"msgtype":1}"#), Some("a field of the wrong type"));
        assert_eq!(fault("{}"), Some("no msgtype"));
        assert_eq!(fault("[]"), Some("not an object"));
        assert_eq!(
            fault(r#"{"msgtype":"addr","peers":[["a","b","c"]]}"#),
            Some("a field of the wrong type")
        );
    }

    #[test]
    fn keys_and_words_are_compared_unescaped() {
        let decoded = decode(r#"{"msgt\u0079pe":"pin\u0067"}"#).map(|decoded| decoded.msg.kind());
        assert_eq!(decoded, Ok(MsgKind::Ping));
    }

    #[test]
    fn each_field_has_its_name_and_every_kind_its_bits() {
        for kind in MsgKind::ALL {
            let bits = kind.fields().iter().map(|(field, _)| field.bit());
            assert_eq!(bits.clone().sum::<u64>(), bits.fold(0, |all, bit| all | bit), "{kind:?}");
        }
    }

    #[test]
    fn told_addresses_are_bare_or_named() {
        let line = r#"{"msgtype":"addr","peers":["1.2.3.4:5",["6.7.8.9:10","n"]]}"#;
        let mut seen = Vec::new();
        if let Ok(Decoded { msg: Msg::Addr(addr), .. }) = decode(line) {
            told(addr.peers, |told| seen.push(format!("{} {:?}", told.addr, told.node)));
        }
        assert_eq!(seen, ["1.2.3.4:5 None", "6.7.8.9:10 Some(\"n\")"]);
    }
}
