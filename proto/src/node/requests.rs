//! Requests and replies: the application's verbs.

use core::time::Duration;

use crate::error::{ReplyError, RequestError};
use crate::exchange::{NakCode, ReplyTo, RequestId};
use crate::id::PeerId;
use crate::message::Payload;
use crate::node::Node;
use crate::time::Instant;

impl Node {
    /// Asks a node, which may be a neighbour or beyond, and waits for its replies at most until the
    /// deadline.
    ///
    /// # Errors
    /// See [`RequestError`]; nothing was asked.
    pub fn request(
        &mut self,
        _to: &PeerId,
        _kind: &str,
        _body: &Payload,
        _deadline: Duration,
        now: Instant,
    ) -> Result<RequestId, RequestError> {
        self.advance(now);
        Err(RequestError::NoRoute)
    }

    /// Answers a request. A request may have any number of replies; the last one ends it.
    ///
    /// # Errors
    /// See [`ReplyError`]; nothing was said.
    pub fn reply(
        &mut self,
        to: ReplyTo,
        kind: &str,
        body: &Payload,
        last: bool,
        now: Instant,
    ) -> Result<(), ReplyError> {
        self.advance(now);
        if let Some(done) = self.reply_to_guest(to, kind, body, last) {
            return done;
        }
        Err(ReplyError::Gone)
    }

    /// Answers a request with a no.
    ///
    /// # Errors
    /// See [`ReplyError`]; nothing was said.
    pub fn refuse(&mut self, to: ReplyTo, _code: NakCode, now: Instant) -> Result<(), ReplyError> {
        self.advance(now);
        if let Some(done) = self.refuse_guest(to) {
            return done;
        }
        Err(ReplyError::Gone)
    }
}
