//! An API for this project's own tests and fuzz targets, without promise of stability.
//!
//! It shows parts that are private otherwise, and adds no behaviour.

mod book;

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use crate::error::Violation;
use crate::id::{ConnId, NodeId};
use crate::limits::Limits;
use crate::node::Node;
use crate::seen::{self, SeenLimits, Streams};
use crate::session::{self, PhaseName};
use crate::time::Instant;
use crate::wire::framing::Framer;
use crate::wire::msg::MsgKind;
use crate::wire::native;
use crate::wire::received::Received;
use crate::wire::{self, btpeer, chat};

pub use book::{AddressBook, Shelf, book, failures, sealed_book};

/// Reads one line as a node does: `Ok(None)` for an empty one, else the name of its kind and the
/// number of its fields that are unknown.
///
/// # Errors
/// The violation that would end the connection.
pub fn decode(line: &[u8]) -> Result<Option<(String, u32)>, Violation> {
    let text = Received::new(line)?.text;
    if text.is_empty() {
        return Ok(None);
    }
    let decoded = native::decode(text)?;
    Ok(Some((kind_name(decoded.msg.kind()), decoded.unknown_fields)))
}

/// Whether a node takes this line, read as it reads it: without an allocation.
pub fn is_valid(line: &[u8]) -> bool {
    Received::new(line).is_ok_and(|line| native::decode(line.text).is_ok())
}

fn kind_name(kind: MsgKind) -> String {
    format!("{kind:?}").to_lowercase()
}

/// Whether a connection of a node is a dial or visit to a guest, and so no native one.
pub fn calls_guest(node: &Node, conn: ConnId) -> bool {
    node.calls_guest(conn)
}

/// A BTPeer frame; `None` if the kind is not one to four printable characters.
pub fn encode_frame(kind: &str, payload: &[u8]) -> Option<Vec<u8>> {
    btpeer::encode(kind, payload)
}

/// Cuts a stream into BTPeer frames as a connection does.
#[derive(Clone, Debug, Default)]
pub struct GuestFrames(btpeer::Frames);

impl GuestFrames {
    /// Feeds a piece of the stream and appends the payloads of the whole frames to `payloads`.
    ///
    /// # Errors
    /// The length that is over the limit.
    pub fn feed(
        &mut self,
        mut piece: &[u8],
        limit: usize,
        payloads: &mut Vec<Vec<u8>>,
    ) -> Result<(), u32> {
        while let Some(frame) = self.0.next(&mut piece, limit).map_err(|long| long.len)? {
            payloads.push(frame.payload);
        }
        Ok(())
    }

    /// Bytes kept of an unfinished frame.
    pub fn pending(&self) -> usize {
        self.0.pending()
    }
}

/// A payload of BTPeer as the body that the application sees, and back.
pub fn guest_body(payload: &[u8]) -> (String, Vec<u8>) {
    let body = btpeer::payload_to_body(payload);
    let back = btpeer::body_to_payload(&body);
    (body, back)
}

/// Type, `msg`, originator and time of a chat object, if it is one.
pub fn chat_object(text: &str) -> Option<(String, String, String, String)> {
    let object = chat::parse(text).ok()?;
    let (kind, msg) = (format!("{:?}", object.msg_type), object.msg.text.into());
    Some((kind, msg, object.originator.into_owned(), object.time.into_owned()))
}

/// The number by which a line of chat is known again.
pub fn chat_key(originator: &str, msg: &str, time: &str) -> u64 {
    wire::chat_key::chat_key(originator, msg, time, (1, 2))
}

/// Cuts a stream into lines as a connection does.
#[derive(Clone, Debug, Default)]
pub struct Lines(Framer);

impl Lines {
    /// Feeds a piece of the stream and appends the whole lines to `lines`.
    ///
    /// # Errors
    /// The violation that would end the connection.
    pub fn feed(
        &mut self,
        mut piece: &[u8],
        limit: usize,
        lines: &mut Vec<Vec<u8>>,
    ) -> Result<(), Violation> {
        while let Some(line) = self.0.next(&mut piece, limit)? {
            lines.push(line.into_owned());
        }
        Ok(())
    }

    /// Bytes kept of an unfinished line.
    pub fn pending(&self) -> usize {
        self.0.pending()
    }
}

/// What a number of a stream is.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub enum Heard {
    /// Not heard before.
    New,
    /// Heard before, or so long ago that nobody knows.
    Duplicate,
    /// Cannot be told from a repeated one.
    NotTaken,
}

/// The streams of broadcasts that a node follows.
#[derive(Clone, Debug)]
pub struct Seen(Streams);

impl Seen {
    /// No streams yet.
    pub fn new(limits: &Limits) -> Self {
        Self(Streams::new(SeenLimits::of(limits)))
    }

    /// Judges a number of the stream of an originator and epoch, and remembers it.
    pub fn hear(&mut self, stream: (NodeId, u32), seq: u64, now: Instant) -> Heard {
        match self.0.hear(stream, seq, now) {
            seen::Heard::New => Heard::New,
            seen::Heard::Duplicate => Heard::Duplicate,
            seen::Heard::NotTaken => Heard::NotTaken,
        }
    }

    /// Streams followed.
    #[allow(clippy::len_without_is_empty)] // a count to check, nothing to ask otherwise
    pub fn len(&self) -> usize {
        self.0.len()
    }
}

/// The table of states as Markdown: what becomes of which message in which phase.
pub fn state_table() -> String {
    let mut table = String::from("| |");
    for phase in PhaseName::ALL {
        table.push_str(&format!(" {phase:?} |"));
    }
    table.push_str("\n|---|");
    table.push_str(&"---|".repeat(PhaseName::ALL.len()));
    for kind in MsgKind::ALL {
        table.push_str(&format!("\n| {} |", kind_name(kind)));
        for phase in PhaseName::ALL {
            table.push_str(&format!(" {:?} |", session::reception(phase, kind)));
        }
    }
    table.push('\n');
    table
}

/// The connections to which a node pushes the broadcasts of this originator's present stream, which
/// has this epoch; and the one by which they come to it.
pub fn tree(node: &Node, stream: (NodeId, u32)) -> (Vec<ConnId>, Option<ConnId>) {
    node.tree(stream)
}

/// What a node keeps beside queues, unfinished lines and events, part by part: its name, its bytes
/// and their bound.
pub fn kept(node: &Node) -> impl Iterator<Item = (&'static str, usize, usize)> + use<> {
    node.kept().into_iter()
}

/// What [`Limits::worst_case_node`] adds up, part by part: its name and its bytes.
pub fn worst_case_parts(limits: &Limits, read: usize) -> Vec<(&'static str, usize)> {
    limits.worst_case_parts(read).into()
}

/// The time as a node has it: the latest it was told.
pub fn time(node: &Node) -> Instant {
    node.time()
}

/// The epoch of a node's own broadcasts.
pub fn epoch(node: &Node) -> u32 {
    node.own_epoch()
}

/// A number that two nodes share if they are in the same state, down to the last timer, but for
/// accidents of 1 in 2^64.
pub fn digest(node: &Node) -> u64 {
    let mut hasher = Fnv(0xcbf2_9ce4_8422_2325);
    core::hash::Hash::hash(node, &mut hasher);
    core::hash::Hasher::finish(&hasher)
}

/// Whether the application is so far behind with its events that who sends is not read.
pub fn is_behind(node: &Node) -> bool {
    node.is_behind()
}

/// FNV-1a: the same number in every process, unlike the standard hasher.
struct Fnv(u64);

impl core::hash::Hasher for Fnv {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}
