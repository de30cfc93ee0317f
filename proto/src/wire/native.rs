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
use crate::error::Violation;
use crate::wire::caps::Caps;
use crate::wire::field::{FIELDS, Field};
use crate::wire::json::{Fault, Members, Span, Wrong};
use crate::wire::msg::{
    Addr, Broadcast, Bye, Direct, ErrorLine, FindLine, Hello, Msg, MsgKind, NakLine, Named,
    ReplyLine, RequestLine,
};
use crate::wire::words::{bye_reason, nak_code};
use crate::wire::written;

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
    if let Some(msg) = written::message(text) {
        return Ok(Decoded { msg, unknown_fields: 0 });
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

#[cfg(test)]
mod tests;
