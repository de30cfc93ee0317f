//! The stream of events that no handler took, from the driver to the application.
//!
//! Decides how many events may wait for an application that asked for them. It never drops one:
//! when it is full the driver leaves events in the node, whose own brake then stops the reading of
//! those who send. Made of std only; each runtime gives it the shape its users expect.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use peerline_proto::{Event, NakCode};

use crate::remote::Remote;

/// Events that may wait. When full: they stay in the node. Default 1,024: a burst of joins.
pub(crate) const EVENTS: usize = 1024;

/// Bytes of messages that may wait. When over: the same. Default 1 MiB, as much again as the node
/// holds.
pub(crate) const EVENT_BYTES: usize = 1024 * 1024;

/// The driver's end.
#[derive(Clone)]
pub(crate) struct Outlet(Arc<Shared>);

/// The application's end: the events that no handler took, in order.
///
/// An iterator that waits for the next event and ends when the node does. Taking events is what
/// lets the node go on: while 1,024 of them wait, or 1 MiB of messages, nothing more is read from
/// those who send. Dropping it gives the events back to `otherwise`.
pub struct Events(Arc<Shared>);

struct Shared {
    queue: Mutex<Queue>,
    more: Condvar,
}

#[derive(Default)]
struct Queue {
    events: VecDeque<Event>,
    bytes: usize,
    /// The driver found no room and waits to be told of some.
    blocked: bool,
    ended: bool,
    /// The reader dropped its end.
    unread: bool,
    reader: Option<Waker>,
    driver: Option<Arc<Remote>>,
}

impl Queue {
    fn has_room(&self) -> bool {
        self.events.len() < EVENTS && self.bytes < EVENT_BYTES
    }

    /// The next event, and the driver if it has to be woken for the room this makes. It is woken
    /// at half, so that it works in batches.
    fn take(&mut self) -> (Option<Event>, Option<Arc<Remote>>) {
        let event = self.events.pop_front();
        self.bytes = self.bytes.saturating_sub(event.as_ref().map_or(0, size));
        let low = self.events.len() <= EVENTS / 2 && self.bytes <= EVENT_BYTES / 2;
        let wake = self.blocked && low;
        self.blocked &= !wake;
        (event, if wake { self.driver.clone() } else { None })
    }
}

/// Bytes an event is charged for.
fn size(event: &Event) -> usize {
    // The others are small: their number bounds them.
    if let Event::Message(message) = event {
        message.body().len() + message.kind().len()
    } else if let Event::Request(request) = event {
        request.body().len() + request.kind().len()
    } else if let Event::Reply(reply) = event {
        reply.body().len() + reply.kind().len()
    } else {
        0
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Both ends.
pub(crate) fn channel() -> (Outlet, Events) {
    let shared = Arc::new(Shared { queue: Mutex::default(), more: Condvar::new() });
    (Outlet(Arc::clone(&shared)), Events(shared))
}

impl Outlet {
    /// Whom to wake when there is room again.
    pub(crate) fn connect(&self, driver: &Arc<Remote>) {
        self.0.lock().driver = Some(Arc::clone(driver));
    }

    /// Whether there is room for another event; if not, the reader wakes the driver when there is.
    pub(crate) fn has_room(&self) -> bool {
        let mut queue = self.0.lock();
        let room = queue.unread || queue.has_room();
        queue.blocked = !room;
        room
    }

    /// Adds an event; gives it back if nobody reads.
    pub(crate) fn push(&self, event: Event) -> Result<(), Event> {
        let mut queue = self.0.lock();
        if queue.unread {
            return Err(event);
        }
        queue.bytes += size(&event);
        queue.events.push_back(event);
        let reader = queue.reader.take();
        drop(queue);
        self.tell(reader);
        Ok(())
    }

    /// Nothing more will come.
    pub(crate) fn end(&self) {
        let mut queue = self.0.lock();
        queue.ended = true;
        queue.driver = None;
        let reader = queue.reader.take();
        drop(queue);
        self.tell(reader);
    }

    fn tell(&self, reader: Option<Waker>) {
        self.0.more.notify_one();
        if let Some(reader) = reader {
            reader.wake();
        }
    }
}

impl Events {
    /// The next event if there is one now.
    pub fn try_next(&mut self) -> Option<Event> {
        let (event, driver) = self.0.lock().take();
        wake(driver);
        event
    }

    /// The next event, or `None` when the node has ended, or when none came within `patience`.
    pub fn next_within(&mut self, patience: Duration) -> Option<Event> {
        let waits = |queue: &mut Queue| queue.events.is_empty() && !queue.ended;
        let queue = self.0.lock();
        let (mut queue, _) = self
            .0
            .more
            .wait_timeout_while(queue, patience, waits)
            .unwrap_or_else(PoisonError::into_inner);
        let (event, driver) = queue.take();
        drop(queue);
        wake(driver);
        event
    }

    /// The next event for a task: `None` when the node has ended. Cancelling loses nothing.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        let mut queue = self.0.lock();
        if queue.events.is_empty() && !queue.ended {
            queue.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let (event, driver) = queue.take();
        drop(queue);
        wake(driver);
        Poll::Ready(event)
    }
}

impl Iterator for Events {
    type Item = Event;

    /// Blocks until there is one. Not for the thread that drives the node.
    fn next(&mut self) -> Option<Event> {
        let mut queue = self.0.lock();
        while queue.events.is_empty() && !queue.ended {
            queue = self.0.more.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
        let (event, driver) = queue.take();
        drop(queue);
        wake(driver);
        event
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        let mut queue = self.0.lock();
        queue.unread = true;
        let left = std::mem::take(&mut queue.events);
        let driver = queue.driver.take();
        drop(queue);
        if let Some(driver) = &driver {
            left.iter().for_each(|event| refuse(driver, event));
        }
        drop(left);
        wake(driver);
    }
}

/// Refuses a request that nobody will read.
fn refuse(driver: &Remote, event: &Event) {
    if let Event::Request(request) = event {
        let to = request.reply_to();
        driver.push_answer(Box::new(move |cx| {
            cx.node.refuse(to, NakCode::NoHandler, cx.now).ok();
        }));
    }
}

fn wake(driver: Option<Arc<Remote>>) {
    if let Some(driver) = driver {
        driver.nudge();
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Events").field("waiting", &self.0.lock().events.len()).finish()
    }
}

impl fmt::Debug for Outlet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outlet").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use peerline_proto::{NodeId, PeerId};
    use std::thread;

    fn event() -> Event {
        Event::Writable { peer: PeerId::from(NodeId::from_random_bytes([7; 16])) }
    }

    #[test]
    fn a_full_stream_has_room_again_at_half() {
        let (outlet, mut events) = channel();
        let remote =
            Remote::new(NodeId::from_random_bytes([7; 16]), Vec::new(), Waker::noop().clone());
        outlet.connect(&remote);
        for _ in 0..EVENTS {
            assert!(outlet.has_room());
            assert!(outlet.push(event()).is_ok());
        }
        assert!(!outlet.has_room());
        assert!(remote.may_sleep());
        while events.0.lock().events.len() > EVENTS / 2 {
            assert!(remote.may_sleep(), "not woken before half is taken");
            assert!(events.try_next().is_some());
        }
        assert!(!remote.may_sleep(), "woken");
        assert!(outlet.has_room());
    }

    #[test]
    fn a_reader_sees_all_and_then_the_end() {
        let (outlet, events) = channel();
        let reader = thread::spawn(move || events.count());
        for _ in 0..100 {
            assert!(outlet.push(event()).is_ok());
        }
        outlet.end();
        assert_eq!(reader.join().ok(), Some(100));
    }

    #[test]
    fn a_dropped_reader_gives_events_back() {
        let (outlet, events) = channel();
        assert!(outlet.push(event()).is_ok());
        drop(events);
        assert!(outlet.has_room());
        assert!(outlet.push(event()).is_err());
    }
}
