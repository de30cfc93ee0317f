//! The answering end of a request, in the hands of the application.
//!
//! Decides that no request is left without an answer: a responder that is dropped refuses, and a
//! last reply that cannot be sent becomes a refusal. Everything it says takes the way of commands,
//! so that it may be said from any thread and inside a handler, in the order in which it was said.

use std::fmt;
use std::sync::Arc;

use peerline_proto::{NakCode, Payload, ReplyTo, Request};
use serde::Serialize;

use crate::cx::Cx;
use crate::error::ReplyError;
use crate::pending::Pending;
use crate::remote::Remote;

/// The kind of replies unless another one is given; the four letters that guests know.
const REPL: &str = "REPL";

/// Answers one request: at once or later, once or several times, from any thread.
///
/// Each answer is queued for the driver, in order, and its [`Pending`] tells whether it was queued
/// for whoever asked; cancelling does not take it back. Inside a handler an answer is sent when the
/// handler has returned: `.detach()` it there. 16,384 answers or 8 MiB of them may wait for the
/// driver, beside its commands; beyond that an answer is `Busy`.
///
/// Dropped before it has finished, also by a handler that panics, it refuses. It does not keep the
/// node running.
///
/// ```
/// # use peerline_runtime::{Builder, Handle, Responder, Runtime};
/// # fn demo<R: Runtime>() -> Builder<R> {
/// Builder::new()
///     .on_request("TIME", |cx, _, responder| responder.finish(&cx.stats().bytes_in).detach())
///     .on_request("WORK", |_, request, responder| {
///         let body = request.body().to_owned();
///         std::thread::spawn(move || {
///             responder.send(&"at it").wait()?;
///             responder.finish(&body.len()).wait()
///         });
///     })
/// # }
/// ```
#[must_use = "dropped, it refuses"]
pub struct Responder {
    remote: Arc<Remote>,
    /// None once it has finished.
    to: Option<ReplyTo>,
}

impl Responder {
    pub(crate) fn new(remote: &Arc<Remote>, request: &Request) -> Self {
        Self { remote: Arc::clone(remote), to: Some(request.reply_to()) }
    }

    /// Sends a reply of kind `REPL`, after which others follow.
    ///
    /// # Errors
    /// Through the answer: see [`ReplyError`]. This reply was not sent, and another may be tried.
    pub fn send<T: Serialize + ?Sized>(&self, body: &T) -> Pending<(), ReplyError> {
        self.send_as(REPL, body)
    }

    /// Sends a reply of this kind, after which others follow. Guests read four bytes of it.
    ///
    /// # Errors
    /// Through the answer: see [`ReplyError`]. This reply was not sent, and another may be tried.
    pub fn send_as<T: Serialize + ?Sized>(&self, kind: &str, body: &T) -> Pending<(), ReplyError> {
        match self.to {
            Some(to) => self.say(to, kind, Payload::encode(body).map_err(ReplyError::Body), false),
            None => Pending::known(Err(ReplyError::Gone)),
        }
    }

    /// Sends the last reply, of kind `REPL`.
    ///
    /// # Errors
    /// Through the answer: see [`ReplyError`]. Whoever asked hears a no then, as far as there is
    /// a way.
    pub fn finish<T: Serialize + ?Sized>(self, body: &T) -> Pending<(), ReplyError> {
        self.finish_as(REPL, body)
    }

    /// Sends the last reply, of this kind. Guests read four bytes of it.
    ///
    /// # Errors
    /// Through the answer: see [`ReplyError`]. Whoever asked hears a no then, as far as there is
    /// a way.
    pub fn finish_as<T: Serialize + ?Sized>(
        mut self,
        kind: &str,
        body: &T,
    ) -> Pending<(), ReplyError> {
        match self.to.take() {
            Some(to) => self.say(to, kind, Payload::encode(body).map_err(ReplyError::Body), true),
            None => Pending::known(Err(ReplyError::Gone)),
        }
    }

    /// Says no. A guest is closed without a word.
    ///
    /// # Errors
    /// Through the answer: see [`ReplyError`].
    pub fn refuse(mut self, code: NakCode) -> Pending<(), ReplyError> {
        let Some(to) = self.to.take() else { return Pending::known(Err(ReplyError::Gone)) };
        let (answer, pending) = Pending::new(Arc::clone(&self.remote));
        self.remote.push_answer(Box::new(move |cx| answer.give(refuse(cx, to, code))));
        pending
    }

    fn say(
        &self,
        to: ReplyTo,
        kind: &str,
        body: Result<Payload, ReplyError>,
        last: bool,
    ) -> Pending<(), ReplyError> {
        let (answer, pending) = Pending::new(Arc::clone(&self.remote));
        let (kind, bytes) = (Box::<str>::from(kind), kind.len());
        let queued = body.and_then(|body| {
            let bytes = bytes.saturating_add(body.as_str().len());
            let say = move |cx: &mut Cx<'_>| answer.give(reply(cx, to, (&kind, &body), last));
            self.remote.push_reply(Box::new(say), bytes).map_err(ReplyError::from)
        });
        let Err(error) = queued else { return pending };
        if last {
            let code = no_instead(&error).unwrap_or(NakCode::Refused);
            self.remote.push_answer(Box::new(move |cx| drop(refuse(cx, to, code))));
        }
        Pending::known(Err(error))
    }
}

/// Replies; if it was to be the last one and cannot be sent, refuses.
fn reply(
    cx: &mut Cx<'_>,
    to: ReplyTo,
    (kind, body): (&str, &Payload),
    last: bool,
) -> Result<(), ReplyError> {
    let done = cx.node.reply(to, kind, body, last, cx.now).map_err(ReplyError::from);
    if let (Some(code), true) = (done.as_ref().err().and_then(no_instead), last) {
        // If this has no way either, the asker's deadline tells.
        refuse(cx, to, code).ok();
    }
    done
}

fn refuse(cx: &mut Cx<'_>, to: ReplyTo, code: NakCode) -> Result<(), ReplyError> {
    Ok(cx.node.refuse(to, code, cx.now)?)
}

/// The no that stands for a last reply which could not be sent; none if nobody waits for it.
fn no_instead(error: &ReplyError) -> Option<NakCode> {
    match error {
        ReplyError::Gone | ReplyError::Stopped | ReplyError::WouldDeadlock => None,
        ReplyError::Full { .. } | ReplyError::Busy { .. } => Some(NakCode::Busy),
        ReplyError::TooLarge { .. } => Some(NakCode::TooLarge),
        ReplyError::KindTooLong { .. }
        | ReplyError::KindUnfit { .. }
        | ReplyError::Body(_)
        | ReplyError::Other(_) => Some(NakCode::Refused),
    }
}

impl Drop for Responder {
    fn drop(&mut self) {
        if let Some(to) = self.to.take() {
            let refuse = move |cx: &mut Cx<'_>| drop(refuse(cx, to, NakCode::Refused));
            self.remote.push_answer(Box::new(refuse));
        }
    }
}

impl fmt::Debug for Responder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Responder").field(&self.to).finish()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;
    use crate::asked::Asked;
    use crate::names::Names;
    use crate::remote::ANSWERS;
    use crate::replies::tests::{node, remote};
    use crate::saved::BookFile;
    use peerline_proto::{ConnId, Event, Instant, Node};
    use std::collections::VecDeque;

    /// A node that a guest has asked something.
    fn asked() -> (Node, ConnId, Request) {
        let (mut node, now) = (node(), Instant::ZERO);
        let conn = node.accepted("192.0.2.1:4000".parse().unwrap(), now).unwrap();
        node.received(conn, b"ASKS\0\0\0\x04what", now);
        let Some(Event::Request(request)) = node.poll_event() else { panic!("no request") };
        (node, conn, request)
    }

    /// Does what is queued. Returns what the guest is told.
    fn told(node: &mut Node, conn: ConnId, remote: &Arc<Remote>) -> String {
        let mut commands = VecDeque::new();
        remote.take(&mut commands);
        let (mut names, mut asked) = (Names::default(), Asked::default());
        let (names, asked) = (&mut names, &mut asked);
        let book = &mut BookFile::default();
        let mut cx = Cx { node, names, asked, book, remote, now: Instant::ZERO };
        commands.into_iter().for_each(|command| command(&mut cx));
        let mut bytes = Vec::new();
        node.outgoing(conn).copy_to(&mut bytes, usize::MAX);
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn an_answer_for_which_the_queue_has_no_room_is_a_no() {
        let (mut node, conn, request) = asked();
        let remote = remote();
        for _ in 0..ANSWERS {
            remote.push_reply(Box::new(|_| {}), 1).unwrap();
        }
        let responder = Responder::new(&remote, &request);
        assert!(matches!(responder.send(&1).wait(), Err(ReplyError::Busy { .. })));
        assert!(matches!(responder.finish(&1).wait(), Err(ReplyError::Busy { .. })));
        assert_eq!(told(&mut node, conn, &remote), "");
        let late = node.reply(request.reply_to(), REPL, &body(), true, Instant::ZERO);
        assert_eq!(late, Err(peerline_proto::ReplyError::Gone), "the guest was told no");
    }

    fn body() -> Payload {
        Payload::encode("late").unwrap()
    }

    #[test]
    fn answers_keep_their_order_and_the_end_comes_once() {
        let (mut node, conn, request) = asked();
        let remote = remote();
        let responder = Responder::new(&remote, &request);
        responder.send(&"a").detach();
        responder.send_as("DATA", &"b").detach();
        let last = responder.finish(&"c");
        let said = "REPL\0\0\0\x01aDATA\0\0\0\x01bREPL\0\0\0\x01c";
        assert_eq!(told(&mut node, conn, &remote), said);
        assert!(last.wait().is_ok());
        assert!(remote.take(&mut VecDeque::new()).is_none(), "nothing more was said");
        assert!(remote.may_sleep());
    }

    #[test]
    fn a_responder_outlives_its_node() {
        let (node, _, request) = asked();
        let remote = remote();
        let [kept, finished] = [(); 2].map(|()| Responder::new(&remote, &request));
        let queued = finished.finish(&1);
        remote.stop(node.stats());
        assert!(matches!(queued.wait(), Err(ReplyError::Stopped)));
        assert!(matches!(kept.send(&1).wait(), Err(ReplyError::Stopped)));
        let refused = kept.refuse(NakCode::Busy).wait();
        assert!(matches!(refused, Err(ReplyError::Stopped)));
    }
}
