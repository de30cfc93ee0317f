//! A connection of the BTPeer dialect: one request, then replies until the end of the stream.
//!
//! Accepted, it has asked, and waits for the application's answer; what it sends beyond its request
//! is never read. Dialled, it was asked, and its frames are collected. Who asks what is for the
//! node to know.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::SocketAddr;

use crate::error::Violation;
use crate::session::opening::too_long;
use crate::time::Instant;
use crate::wire::btpeer::{Frames, GuestFrame};

/// What a visit to a peer is for.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "testing", derive(Hash))]
pub(crate) enum Errand {
    /// A request of the application, by its number.
    Request(u64),
    /// To ask for its name, the first step of joining it.
    Name,
    /// To be added to its peers, the second.
    Join,
    /// To hear whom it knows, the third.
    List,
    /// To see whether it lives.
    Alive,
}

/// A visit to a peer, from the dial to the end of its answer.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "testing", derive(Hash))]
pub(crate) struct Visit {
    pub(crate) errand: Errand,
    /// When there must have been an end.
    pub(crate) until: Instant,
    frames: Frames,
    /// The newest reply, held back until it is known whether it is the last.
    pub(crate) held: Option<GuestFrame>,
    /// Bytes of the body that it becomes.
    pub(crate) held_len: usize,
    /// Replies handed on.
    pub(crate) replies: u64,
    /// Whom it knows, as far as it has told.
    pub(crate) rows: Vec<(Arc<str>, SocketAddr)>,
}

impl Visit {
    pub(crate) fn new(errand: Errand, until: Instant) -> Self {
        Self {
            errand,
            until,
            frames: Frames::default(),
            held: None,
            held_len: 0,
            replies: 0,
            rows: Vec::new(),
        }
    }

    /// Takes the next reply off the front of `rest`.
    pub(crate) fn next(
        &mut self,
        rest: &mut &[u8],
        max_frame: usize,
    ) -> Result<Option<GuestFrame>, Violation> {
        self.frames.next(rest, max_frame).map_err(too_long)
    }

    /// Bytes that have come of the reply under way, and its length. A reply held back is whole.
    pub(crate) fn progress(&self) -> (usize, Option<usize>) {
        let whole = self.held.as_ref().map(|frame| frame.payload.len());
        let under_way = self.frames.announced().map(|len| (self.frames.arrived(), Some(len)));
        under_way.or_else(|| whole.map(|len| (len, whole))).unwrap_or_default()
    }

    /// Bytes that replies take, or will when they are handed on.
    pub(crate) fn taken(&self) -> usize {
        self.frames.reserved().saturating_add(self.held_len)
    }

    /// Bytes held of replies.
    pub(crate) fn held(&self) -> usize {
        let whole = self.held.as_ref().map_or(0, |frame| frame.payload.len());
        self.frames.pending().saturating_add(whole)
    }
}

/// What an exchange is.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "testing", derive(Hash))]
pub(crate) enum Exchange {
    /// It asked, and the application has not said its last word.
    Answering {
        /// The application's name for the request.
        token: u64,
        /// When it is closed without one.
        until: Instant,
        /// The other side has shut its half, which is no end.
        ended: bool,
    },
    /// We asked.
    Visiting(Visit),
    /// We say one thing, and hear nothing.
    Telling {
        /// When it must have been said.
        until: Instant,
    },
}

impl Exchange {
    pub(crate) fn deadline(&self) -> Instant {
        match self {
            Self::Answering { until, .. } | Self::Telling { until } => *until,
            Self::Visiting(visit) => visit.until,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::wire::btpeer::encode;

    #[test]
    fn a_visit_knows_how_far_its_reply_has_come() {
        let mut visit = Visit::new(Errand::Name, Instant::ZERO);
        let state = |visit: &Visit| (visit.progress(), visit.held());
        assert_eq!(state(&visit), ((0, None), 0));
        let frame = encode("REPL", b"12345").unwrap();
        let (mut start, mut end) = (frame.get(..10).unwrap(), frame.get(10..).unwrap());
        assert!(visit.next(&mut start, 5).unwrap().is_none() && start.is_empty());
        assert_eq!(state(&visit), ((2, Some(5)), 10));
        visit.held = visit.next(&mut end, 5).unwrap();
        assert_eq!(state(&visit), ((5, Some(5)), 5));
        let mut next = frame.get(..9).unwrap();
        assert!(visit.next(&mut next, 5).unwrap().is_none());
        assert_eq!(state(&visit), ((1, Some(5)), 14), "the reply under way counts");
        assert!(Visit::new(Errand::Name, Instant::ZERO).next(&mut &*frame, 4).is_err());
    }

    #[test]
    fn each_exchange_has_its_deadline() {
        let at = |seconds| Instant::ZERO + core::time::Duration::from_secs(seconds);
        let answering = Exchange::Answering { token: 1, until: at(1), ended: false };
        let visiting = Exchange::Visiting(Visit::new(Errand::Alive, at(2)));
        let telling = Exchange::Telling { until: at(3) };
        assert_eq!([answering, visiting, telling].map(|one| one.deadline()), [1, 2, 3].map(at));
    }
}
