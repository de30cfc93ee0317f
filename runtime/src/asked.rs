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
    #[inline]
    pub(crate) fn has_room(&mut self, remote: &Remote, now: Instant) -> bool {
        self.brake.is_none() || self.is_released(remote, now)
    }

    fn is_released(&mut self, remote: &Remote, now: Instant) -> bool {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::RequestError::Behind;
    use crate::replies::tests::{remote, replies};
    use crate::replies::{REPLIES, REPLY_BYTES, channel};

    fn at(seconds: u64) -> Instant {
        Instant::ZERO + Duration::from_secs(seconds)
    }

    #[test]
    fn a_reader_that_stops_holds_the_others_up_for_a_while_only() {
        let (mut asked, remote) = (Asked::default(), remote());
        let (sink, stream) = channel(&remote);
        let mut replies = replies(REPLIES + 20, 10).into_iter();
        for reply in replies.by_ref().take(REPLIES) {
            asked.push(&sink, reply, &remote, at(0));
            assert!(asked.has_room(&remote, at(0)) && asked.next_due().is_none());
        }
        for reply in replies.by_ref().take(2) {
            asked.push(&sink, reply, &remote, at(1));
        }
        assert!(!asked.has_room(&remote, at(2)));
        assert_eq!(asked.next_due(), Some(at(1) + PATIENCE));
        assert!(asked.has_room(&remote, at(3)), "patience is over");
        for reply in replies {
            asked.push(&sink, reply, &remote, at(3));
            assert!(asked.has_room(&remote, at(3)), "the stream is left behind");
        }
        let heard: Vec<_> = stream.collect();
        assert_eq!(heard.len(), REPLIES + 3);
        assert!(matches!(heard.last(), Some(Err(Behind { .. }))));
    }

    #[test]
    fn a_reader_that_makes_room_in_time_loses_nothing() {
        let (mut asked, remote) = (Asked::default(), remote());
        let (sink, mut stream) = channel(&remote);
        for reply in replies(REPLIES + 1, 10) {
            asked.push(&sink, reply, &remote, at(0));
        }
        assert!(!asked.has_room(&remote, at(1)));
        let mut heard = stream.by_ref().take(REPLIES / 2 + 1);
        assert!(heard.all(|reply| reply.is_ok()));
        assert!(asked.has_room(&remote, at(1)) && asked.next_due().is_none());
        sink.end(None);
        assert_eq!(stream.filter(Result::is_ok).count(), REPLIES / 2);
    }

    /// Each stream has room, all together have none.
    #[test]
    fn streams_that_nobody_reads_are_bounded_together() {
        let (mut asked, remote) = (Asked::default(), remote());
        let reply = replies(1, REPLY_BYTES / 2).remove(0);
        let mut streams = Vec::new();
        let mut now = at(0);
        for _ in 0..3 * UNREAD_BYTES / REPLY_BYTES {
            let (sink, stream) = channel(&remote);
            asked.push(&sink, reply.clone(), &remote, now);
            sink.end(None);
            streams.push(stream);
            if !asked.has_room(&remote, now) {
                now = now + PATIENCE;
                assert!(asked.has_room(&remote, now));
            }
        }
        assert!(now < at(5), "only the first that has no room is waited for: {now:?}");
        assert!(remote.unread.load(Ordering::SeqCst) <= UNREAD_BYTES + REPLY_BYTES);
        let behind = streams.iter_mut().filter_map(Iterator::last);
        let behind = behind.filter(|last| matches!(last, Err(Behind { .. }))).count();
        assert!(behind > 0, "who has no room is told so");
        assert_eq!(remote.unread.load(Ordering::SeqCst), 0);
        let (sink, stream) = channel(&remote);
        asked.push(&sink, reply, &remote, now);
        sink.end(None);
        assert!(matches!(&stream.collect::<Vec<_>>()[..], [Ok(_)]), "there is room again");
    }
}
