//! What a connection has brought and was written so far, as far as a [`Watch`](super::watch::Watch)
//! judges by it. It is forgotten when the connection is dropped.

use peerline_proto::{Instant, MAX_FIRST_LINE};

use crate::guest_oracle;

/// Blanks that may come first.
const BLANKS: usize = 64;
/// Bytes of a frame before its payload.
const FRAME_HEADER: usize = 8;

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
    /// The first bytes, if it may be a guest's.
    first: Vec<u8>,
}

impl Live {
    pub(super) fn new() -> Self {
        Self { undecided: Some(0), ..Self::default() }
    }

    /// It has brought blanks at most.
    pub(super) fn is_undecided(&self) -> bool {
        self.undecided.is_some()
    }

    /// Bytes came; `first` says that they may be a guest's first ones. True if the first byte that
    /// is no blank is now seen to be of no dialect, or never comes.
    pub(super) fn on_bytes(&mut self, bytes: &[u8], first: bool, now: Instant) -> bool {
        self.heard = Some(now);
        if first && !self.guest {
            let before = self.first.len();
            self.first.extend(&bytes[..bytes.len().min(MAX_FIRST_LINE - before)]);
            self.guest = guest_oracle::begins_as_guest(&self.first, before);
            self.spoke |= self.guest;
        }
        let end = memchr::memrchr(b'\n', bytes);
        self.unfinished = end.map_or(self.unfinished + bytes.len(), |end| bytes.len() - end - 1);
        let foreign = self.is_foreign(bytes);
        // A frame has no line end; how long it is, is told by the bytes after its four letters.
        self.spoke |= end.is_some() || (self.frames && self.unfinished >= FRAME_HEADER);
        foreign
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
