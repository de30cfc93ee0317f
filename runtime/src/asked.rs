//! Requests of ours that wait for their end, and who is told of it.
//!
//! Decides that each request is told to whoever made it, and to nobody else, exactly once; one that
//! was made without a listener of its own goes the way of all events. When a reader of replies is
//! slower than they come, the driver waits for it, but not for long. It keeps no time of a request:
//! the node does.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::Ordering;
use std::time::Duration;

use peerline_proto::{Event, Instant, Reply, RequestId};

use crate::cx::Cx;
use crate::error::RequestError;
use crate::handlers::run_command;
use crate::pending::Answer;
use crate::remote::Remote;
use crate::replies::{Sink, UNREAD_BYTES, Watch};

/// How long the driver waits for a reader of replies that takes none. Two seconds: a reader at
/// work is not cut off, and peers bear such a pause.
const PATIENCE: Duration = Duration::from_secs(2);

/// What a handler wants done when its request has ended.
pub(crate) type OnEnd = dyn FnOnce(&mut Cx<'_>, Result<Reply, RequestError>) + Send;

/// Who made a request, and what he wants to hear.
pub(crate) enum Asker {
    /// The last reply.
    Last(Answer<Reply, RequestError>),
    /// The last reply, in a handler.
    Call(Box<OnEnd>),
    /// Every reply.
    All(Sink),
}

/// The requests that wait.
#[derive(Default)]
pub(crate) struct Asked {
    askers: HashMap<RequestId, Asker>,
    /// Whom the driver waits for, and until when.
    brake: Option<(Watch, Instant)>,
    /// It has waited in vain for room in all streams together, and there is still none.
    out_of_patience: bool,
}

impl Asker {
    /// The request has ended, or was not made.
    pub(crate) fn end(self, cx: &mut Cx<'_>, end: Result<Reply, RequestError>) {
        match self {
            Self::Last(answer) => answer.give(end),
            Self::Call(call) => run_command(cx, Box::new(move |cx| call(cx, end))),
            Self::All(sink) => match end {
                Ok(reply) => {
                    cx.asked.push(&sink, reply, cx.remote, cx.now);
                    sink.end(None);
                }
                Err(error) => sink.end(Some(error)),
            },
        }
    }
}

impl Asked {
    pub(crate) fn add(&mut self, request: RequestId, asker: Asker) {
        self.askers.insert(request, asker);
    }

    fn push(&mut self, sink: &Sink, reply: Reply, remote: &Remote, now: Instant) {
        if self.out_of_patience && remote.unread.load(Ordering::SeqCst) > UNREAD_BYTES {
            return sink.watch().give_up();
        }
        self.out_of_patience = false;
        if sink.push(reply) {
            self.brake = Some((sink.watch(), now + PATIENCE));
        }
    }

    /// Whether every reader has room for another reply. If not, he wakes the driver when he has.
    pub(crate) fn has_room(&mut self, remote: &Remote, now: Instant) -> bool {
        let Some((watch, until)) = &self.brake else { return true };
        // First the flag, then the look: a reader who makes room after the look sees the flag.
        remote.braked.store(true, Ordering::SeqCst);
        let crowded = remote.unread.load(Ordering::SeqCst) > UNREAD_BYTES;
        if crowded || !watch.has_room() {
            if now < *until {
                return false;
            }
            watch.give_up();
            self.out_of_patience = crowded;
        }
        remote.braked.store(false, Ordering::SeqCst);
        self.brake = None;
        true
    }

    /// Until when the driver waits for a reader.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.brake.as_ref().map(|(_, until)| *until)
    }
}

/// Tells a reply, or the end of a request, to whoever made it; gives the event back if it is
/// something else, or if its request was made without a listener.
pub(crate) fn tell(cx: &mut Cx<'_>, event: Event) -> Option<Event> {
    if let Event::Reply(reply) = event {
        return tell_reply(cx, reply);
    }
    if let Event::RequestFailed { request, reason } = event {
        let Some(asker) = cx.asked.askers.remove(&request) else {
            return Some(Event::RequestFailed { request, reason });
        };
        asker.end(cx, Err(reason.into()));
        return None;
    }
    Some(event)
}

fn tell_reply(cx: &mut Cx<'_>, reply: Reply) -> Option<Event> {
    let request = reply.request();
    let Some(asker) = cx.asked.askers.remove(&request) else { return Some(Event::Reply(reply)) };
    if reply.is_last() {
        asker.end(cx, Ok(reply));
        return None;
    }
    if let Asker::All(sink) = &asker {
        cx.asked.push(sink, reply, cx.remote, cx.now);
    }
    cx.asked.askers.insert(request, asker);
    None
}

impl fmt::Debug for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Asked").field("waiting", &self.askers.len()).finish_non_exhaustive()
    }
}
