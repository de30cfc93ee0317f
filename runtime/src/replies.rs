//! The replies to one request, from the driver to whoever asked for all of them.
//!
//! Decides how many may wait for a reader that is slower than they come. It never waits itself and
//! never drops one without saying so: over the bound the driver stops taking events, so that the
//! node's own brake works, and a reader that takes none for a while ends its stream with an error.
//! Made of std only; each runtime gives it the shape its users expect.

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use peerline_proto::Reply;

use crate::error::{CommandError, RequestError};
use crate::remote::Remote;

/// Replies of one stream that may wait. When full: see [`Replies`]. 256: a listing.
pub(crate) const REPLIES: usize = 256;

/// Bytes of replies that may wait in one stream. When over: the same. Default 1 MiB, what one
/// connection may have queued at the other end.
pub(crate) const REPLY_BYTES: usize = 1024 * 1024;

/// Bytes that may wait in all streams of a node. When over: the same. Default 64 MiB, as much as
/// may wait to be sent.
pub(crate) const UNREAD_BYTES: usize = 64 * 1024 * 1024;

/// The driver's end. Dropped before its time it says `Stopped`.
pub(crate) struct Sink(Arc<Shared>);

/// What the driver looks at while it waits for a reader.
pub(crate) struct Watch(Arc<Shared>);

/// The replies to a request, in order: each an `Ok`, and nothing after the last. A request that
/// ends without its last reply gives one `Err`, and then nothing more.
///
/// An iterator that waits for the next reply. 256 replies or 1 MiB may wait in it, and 64 MiB in
/// all streams of a node. Beyond that the node takes no more from anybody until there is room; if
/// nothing is read for two seconds it goes on without this stream, which ends with
/// [`Behind`](RequestError::Behind) after what it holds. So read it, or drop it: dropping it does
/// not undo the request, only its replies are lost.
#[must_use = "the request is made anyway: read the replies, or drop them"]
pub struct Replies(Arc<Shared>);

struct Shared {
    queue: Mutex<Queue>,
    more: Condvar,
    remote: Arc<Remote>,
}

#[derive(Default)]
struct Queue {
    replies: VecDeque<Reply>,
    bytes: usize,
    /// Nothing more will come.
    ended: bool,
    /// What is told once before the end.
    error: Option<RequestError>,
    /// The reader dropped its end.
    unread: bool,
    reader: Option<Waker>,
}

/// Bytes a reply is charged for.
fn size(reply: &Reply) -> usize {
    reply.body().len() + reply.kind().len()
}

/// Both ends.
pub(crate) fn channel(remote: &Arc<Remote>) -> (Sink, Replies) {
    let (queue, remote) = (Mutex::default(), Arc::clone(remote));
    let shared = Arc::new(Shared { queue, more: Condvar::new(), remote });
    (Sink(Arc::clone(&shared)), Replies(shared))
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next item, if there is one: `Some(None)` is the end.
    fn take(&self, queue: &mut Queue) -> Option<Option<Result<Reply, RequestError>>> {
        let Some(reply) = queue.replies.pop_front() else {
            return match queue.error.take() {
                Some(error) => Some(Some(Err(error))),
                None => queue.ended.then_some(None),
            };
        };
        let bytes = size(&reply);
        queue.bytes = queue.bytes.saturating_sub(bytes);
        self.remote.unread.fetch_sub(bytes, Ordering::SeqCst);
        Some(Some(Ok(reply)))
    }

    fn end(&self, error: Option<RequestError>) {
        let mut queue = self.lock();
        if queue.ended {
            return;
        }
        queue.ended = true;
        queue.error = error.filter(|_| !queue.unread);
        self.tell(queue);
    }

    fn tell(&self, mut queue: MutexGuard<'_, Queue>) {
        let reader = queue.reader.take();
        drop(queue);
        self.more.notify_one();
        if let Some(reader) = reader {
            reader.wake();
        }
    }

    /// Wakes the driver if it waits for room, and there may be some. At half, so that it works in
    /// batches.
    fn make_room(&self, queue: MutexGuard<'_, Queue>) {
        let low = queue.is_low();
        drop(queue);
        if low && self.remote.braked.swap(false, Ordering::SeqCst) {
            self.remote.nudge();
        }
    }
}

impl Queue {
    fn is_over(&self) -> bool {
        self.replies.len() > REPLIES || self.bytes > REPLY_BYTES
    }

    fn is_low(&self) -> bool {
        self.replies.len() <= REPLIES / 2 && self.bytes <= REPLY_BYTES / 2
    }

    fn is_silent(&self) -> bool {
        self.replies.is_empty() && self.error.is_none() && !self.ended
    }
}

impl Sink {
    pub(crate) fn watch(&self) -> Watch {
        Watch(Arc::clone(&self.0))
    }

    /// Adds a reply; it is not kept if nobody reads. True if more is waiting now than should.
    pub(crate) fn push(&self, reply: Reply) -> bool {
        let mut queue = self.0.lock();
        if queue.unread || queue.ended {
            return false;
        }
        let bytes = size(&reply);
        let before = self.0.remote.unread.fetch_add(bytes, Ordering::SeqCst);
        queue.bytes = queue.bytes.saturating_add(bytes);
        queue.replies.push_back(reply);
        let over = queue.is_over() || before.saturating_add(bytes) > UNREAD_BYTES;
        self.0.tell(queue);
        over
    }

    /// Nothing more will come, but an error if there is one. Said twice, the first counts.
    pub(crate) fn end(&self, error: Option<RequestError>) {
        self.0.end(error);
    }
}

impl Watch {
    /// Whether the reader has caught up, or is gone.
    pub(crate) fn has_room(&self) -> bool {
        let queue = self.0.lock();
        queue.unread || queue.is_low()
    }

    /// Ends a stream whose reader is too slow.
    pub(crate) fn give_up(&self) {
        let (queued, unread) = (self.0.lock().bytes, self.0.remote.unread.load(Ordering::SeqCst));
        let behind = if unread > UNREAD_BYTES {
            RequestError::Behind { queued: unread, limit: UNREAD_BYTES }
        } else {
            RequestError::Behind { queued, limit: REPLY_BYTES }
        };
        self.0.end(Some(behind));
    }
}

impl Replies {
    /// Replies of a request that was not made.
    pub(crate) fn failed(remote: &Arc<Remote>, error: RequestError) -> Self {
        let (sink, replies) = channel(remote);
        sink.end(Some(error));
        replies
    }

    /// The next item if there is one now; also `None` at the end.
    pub fn try_next(&mut self) -> Option<Result<Reply, RequestError>> {
        let mut queue = self.0.lock();
        let taken = self.0.take(&mut queue);
        self.0.make_room(queue);
        taken.flatten()
    }

    /// The next item, or `None` at the end, or when none came within `patience`.
    pub fn next_within(&mut self, patience: Duration) -> Option<Result<Reply, RequestError>> {
        if self.0.remote.driven_here() {
            return self.try_next().or_else(|| self.refuse_to_wait());
        }
        let queue = self.0.lock();
        let waited = self.0.more.wait_timeout_while(queue, patience, |queue| queue.is_silent());
        let (mut queue, _) = waited.unwrap_or_else(PoisonError::into_inner);
        let taken = self.0.take(&mut queue);
        self.0.make_room(queue);
        taken.flatten()
    }

    /// The next item for a task: `None` at the end. Cancelling loses nothing.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Reply, RequestError>>> {
        let mut queue = self.0.lock();
        let Some(taken) = self.0.take(&mut queue) else {
            queue.reader = Some(cx.waker().clone());
            return Poll::Pending;
        };
        self.0.make_room(queue);
        Poll::Ready(taken)
    }

    /// On the thread that drives the node no reply can come while it waits.
    fn refuse_to_wait(&self) -> Option<Result<Reply, RequestError>> {
        let mut queue = self.0.lock();
        let ended = std::mem::replace(&mut queue.ended, true);
        (!ended).then(|| Err(CommandError::WouldDeadlock.into()))
    }
}

impl Iterator for Replies {
    type Item = Result<Reply, RequestError>;

    /// Blocks until there is one. On the thread that drives the node, where none could come,
    /// `WouldDeadlock` and then the end.
    fn next(&mut self) -> Option<Self::Item> {
        if self.0.remote.driven_here() {
            return self.try_next().or_else(|| self.refuse_to_wait());
        }
        let mut queue = self.0.lock();
        loop {
            if let Some(taken) = self.0.take(&mut queue) {
                self.0.make_room(queue);
                return taken;
            }
            queue = self.0.more.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Drop for Replies {
    fn drop(&mut self) {
        let mut queue = self.0.lock();
        let ended = queue.ended;
        let left =
            std::mem::replace(&mut *queue, Queue { ended, unread: true, ..Queue::default() });
        self.0.remote.unread.fetch_sub(left.bytes, Ordering::SeqCst);
        self.0.make_room(queue);
        drop(left);
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.end(Some(RequestError::Stopped));
    }
}

impl fmt::Debug for Replies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replies").field("waiting", &self.0.lock().replies.len()).finish()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;
    use peerline_proto::{
        Action, Config, Event, Identity, Instant, Node, NodeId, Payload, Start, TransportError,
    };

    pub(crate) fn node() -> Node {
        let identity = Identity::new(NodeId::from_random_bytes([7; 16]));
        Node::new(Config::default(), identity, [7; 32], Start::default())
    }

    pub(crate) fn remote() -> Arc<Remote> {
        Remote::new(NodeId::from_random_bytes([7; 16]), Vec::new(), Waker::noop().clone())
    }

    fn reply_in(event: Event) -> Option<Reply> {
        if let Event::Reply(reply) = event { Some(reply) } else { None }
    }

    /// Replies with bodies of about this length, the last one last.
    pub(crate) fn replies(count: usize, len: usize) -> Vec<Reply> {
        let (mut node, now) = (node(), Instant::ZERO);
        let (body, deadline) = (Payload::encode(&1).unwrap(), Duration::from_secs(5));
        let addr = "192.0.2.1:5999".parse().unwrap();
        node.request_at(addr, "ASKS", &body, deadline, now).unwrap();
        let Some(Action::Connect { conn, .. }) = node.poll_action() else { panic!("no dial") };
        node.connected(conn, now);
        let mut frame = b"REPL".to_vec();
        frame.extend(u32::try_from(len).unwrap().to_be_bytes());
        frame.resize(frame.len() + len, b'x');
        let mut replies = Vec::new();
        for _ in 0..count {
            node.received(conn, &frame, now);
            let events = core::iter::from_fn(|| node.poll_event());
            replies.extend(events.filter_map(reply_in));
        }
        node.closed(conn, TransportError::Eof, now);
        let Some(Event::Reply(last)) = node.poll_event() else { panic!("no last reply") };
        assert!(last.is_last());
        replies.push(last);
        assert_eq!(replies.len(), count);
        replies
    }

    #[test]
    fn a_full_stream_has_room_again_at_half() {
        let remote = remote();
        let (sink, mut stream) = channel(&remote);
        let mut replies = replies(REPLIES + 1, 10).into_iter();
        for reply in replies.by_ref().take(REPLIES) {
            assert!(!sink.push(reply), "no more than may wait");
        }
        assert!(sink.push(replies.next().unwrap()));
        remote.braked.store(true, Ordering::SeqCst);
        while stream.0.lock().replies.len() > REPLIES / 2 {
            assert!(remote.may_sleep() && !sink.watch().has_room(), "not before half is taken");
            assert!(matches!(stream.try_next(), Some(Ok(_))));
        }
        assert!(!remote.may_sleep() && sink.watch().has_room(), "woken");
        assert!(!remote.braked.load(Ordering::SeqCst), "and once");
    }

    #[test]
    fn bytes_fill_a_stream_too_and_go_with_its_reader() {
        let remote = remote();
        let (sink, stream) = channel(&remote);
        let full = replies(5, REPLY_BYTES / 4).into_iter().map(|reply| sink.push(reply));
        assert_eq!(full.collect::<Vec<_>>(), [false, false, false, true, true]);
        assert!(remote.unread.load(Ordering::SeqCst) > REPLY_BYTES);
        remote.braked.store(true, Ordering::SeqCst);
        drop(stream);
        assert_eq!(remote.unread.load(Ordering::SeqCst), 0);
        assert!(sink.watch().has_room() && !remote.may_sleep(), "woken");
        assert!(!sink.push(replies(1, 10).remove(0)), "nobody reads it");
        assert_eq!(remote.unread.load(Ordering::SeqCst), 0);
    }

    #[test]
    fn a_stream_ends_once_however_it_ends() {
        let remote = remote();
        let (sink, stream) = channel(&remote);
        sink.push(replies(1, 10).remove(0));
        sink.end(None);
        sink.end(Some(RequestError::Timeout));
        assert!(!sink.push(replies(1, 10).remove(0)), "it is over");
        drop(sink);
        assert!(matches!(&stream.collect::<Vec<_>>()[..], [Ok(_)]));

        let (sink, mut stream) = channel(&remote);
        drop(sink);
        assert!(matches!(stream.next(), Some(Err(RequestError::Stopped))));
        assert!(stream.next().is_none() && stream.try_next().is_none());
        let busy = CommandError::Busy { what: "commands", waiting: 1, limit: 1 };
        let mut failed = Replies::failed(&remote, busy.into());
        assert!(matches!(failed.next_within(Duration::ZERO), Some(Err(RequestError::Busy { .. }))));
        let mut cx = Context::from_waker(Waker::noop());
        assert!(matches!(failed.poll_next(&mut cx), Poll::Ready(None)));
    }
}
