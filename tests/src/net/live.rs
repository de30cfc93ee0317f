//! What a connection has brought and was written so far, as far as a [`Watch`](super::watch::Watch)
//! judges by it. It is forgotten when the connection is dropped.

use peerline_proto::{Instant, MAX_FIRST_LINE};

use crate::guest_oracle;
use crate::opening::{Fate, HEADER, Opening, Spoken};

/// Blanks that may come first.
const BLANKS: usize = 64;
/// Bytes after which it is known what a stream opens as: blanks, a header, a line that is too long.
const LONGEST_OPENING: usize = BLANKS + HEADER + MAX_FIRST_LINE + 1;

/// A connection that is not dropped yet.
#[derive(Debug, Default)]
pub(super) struct Live {
    /// It is a guest's.
    pub(super) guest: bool,
    /// When a byte last came.
    pub(super) heard: Option<Instant>,
    /// It has brought a whole line.
    pub(super) spoke: bool,
    /// Since when nothing was written though something waits.
    pub(super) stuck: Option<Instant>,
    /// Bytes of an unfinished line.
    pub(super) unfinished: usize,
    /// Blanks, as long as nothing else has come.
    undecided: Option<usize>,
    /// It brings frames.
    frames: bool,
    /// The first bytes of one that was accepted, until it is known what they open.
    first: Option<Vec<u8>>,
}

impl Live {
    pub(super) fn new(dialled: bool) -> Self {
        let first = (!dialled).then(Vec::new);
        Self { undecided: Some(0), first, ..Self::default() }
    }

    /// It has brought blanks at most.
    pub(super) fn is_undecided(&self) -> bool {
        self.undecided.is_some()
    }

    /// Bytes came. True if they are now seen to begin nothing that a node may go on to listen to.
    pub(super) fn on_bytes(&mut self, bytes: &[u8], now: Instant) -> bool {
        self.heard = Some(now);
        let refused = self.is_refused(bytes);
        let end = memchr::memrchr(b'\n', bytes);
        self.unfinished = end.map_or(self.unfinished + bytes.len(), |end| bytes.len() - end - 1);
        let foreign = self.is_foreign(bytes);
        // A frame has no line end; how long it is, is told by the bytes after its four letters.
        self.spoke |= end.is_some() || (self.frames && self.unfinished >= HEADER);
        refused || foreign
    }

    /// Whether the first message is known now, and is none.
    fn is_refused(&mut self, bytes: &[u8]) -> bool {
        let Some(first) = &mut self.first else { return false };
        let before = first.len();
        first.extend(&bytes[..bytes.len().min(LONGEST_OPENING - before)]);
        if !self.guest {
            self.guest = guest_oracle::begins_as_guest(first, before);
            self.spoke |= self.guest;
        }
        let known = Opening::of(first, Spoken::ALL).fate;
        if known.is_some() {
            self.first = None;
        }
        known.is_some_and(|(_, fate)| matches!(fate, Fate::Refused(_)))
    }

    fn is_foreign(&mut self, bytes: &[u8]) -> bool {
        let Some(blanks) = &mut self.undecided else { return false };
        let more = bytes.iter().position(|byte| !b" \t\r\n".contains(byte));
        *blanks += more.unwrap_or(bytes.len());
        let (first, blanks) = (more.map(|at| bytes[at]), *blanks);
        if let Some(first) = first {
            self.undecided = None;
            self.frames |= first != b'{';
        }
        // From `!` on it may be a frame, which is judged by its length.
        blanks > BLANKS || first.is_some_and(|first| first < b' ')
    }
}
