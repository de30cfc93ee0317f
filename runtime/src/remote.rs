//! What the driver shares with other threads: the command queue and the way to wake it.
//!
//! Decides when a wake-up is due: once per sleep, however many commands arrive. It never runs a
//! command; that is the driver's. One mutex guards everything, and nothing of the caller's
//! (closures, wakers, answers) runs or is dropped while it is held.

use std::cell::Cell;
use std::collections::VecDeque;
use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Duration;

use peerline_proto::{NodeId, Stats};

use crate::cx::Cx;
use crate::error::CommandError;
use crate::names::Lookups;
use crate::pending::Answer;

/// Commands that may wait. When full: `Busy`. 1,024 is what a turn does in about a millisecond.
pub(crate) const COMMANDS: usize = 1024;

/// Answers to requests that may wait beside them, so that a handler can answer whatever it was
/// asked in one turn. When full: `Busy`, and whoever asked hears `nak busy`. 16,384, as many as
/// one node may have pending with us.
pub(crate) const ANSWERS: usize = 16_384;

/// Bytes of those answers. When over: the same. Default 8 MiB: eight connections' queues.
pub(crate) const ANSWER_BYTES: usize = 8 * 1024 * 1024;

/// How long the shutdown may take that follows the drop of the last handle. Five seconds, as long
/// as the node lets one connection flush by default.
const LAST_HANDLE_GRACE: Duration = Duration::from_secs(5);

/// What another thread wants done on the driver.
pub(crate) type Command = Box<dyn FnOnce(&mut Cx<'_>) + Send>;

/// The driver's shared part.
pub(crate) struct Remote {
    id: NodeId,
    listens: Vec<SocketAddr>,
    pub(crate) lookups: Lookups,
    queue: Mutex<Queue>,
    waker: Waker,
    handles: AtomicUsize,
    /// Bytes of replies that wait for the application, of all its streams.
    pub(crate) unread: AtomicUsize,
    /// The driver waits for room in one of those streams.
    pub(crate) braked: AtomicBool,
    /// The thread of the last turn; 0 before the first.
    driven_by: AtomicU64,
}

#[derive(Default)]
struct Queue {
    commands: VecDeque<Command>,
    /// How many of them are answers to requests.
    answers: usize,
    answer_bytes: usize,
    /// The driver sleeps, or is about to: the next one who has something wakes it.
    asleep: bool,
    /// Something other than a command happened since the driver last looked.
    nudged: bool,
    /// The node is to shut down within this time, once the commands before it are done.
    shutdown: Option<Duration>,
    /// The driver has ended, with these counters; nothing is taken any more.
    stopped: Option<Stats>,
    /// Those who wait for that.
    waiters: Vec<Answer<(), CommandError>>,
}

thread_local! {
    /// This thread's number; 0 until it is asked for.
    static THREAD: Cell<u64> = const { Cell::new(0) };
}

fn this_thread() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    THREAD.with(|number| {
        if number.get() == 0 {
            number.set(NEXT.fetch_add(1, Ordering::Relaxed));
        }
        number.get()
    })
}

/// Whether one more of these may wait.
fn has_room(what: &'static str, waiting: usize, limit: usize) -> Result<(), CommandError> {
    if waiting < limit { Ok(()) } else { Err(CommandError::Busy { what, waiting, limit }) }
}

impl Remote {
    pub(crate) fn new(id: NodeId, listens: Vec<SocketAddr>, waker: Waker) -> Arc<Self> {
        Arc::new(Self {
            id,
            listens,
            lookups: Lookups::default(),
            queue: Mutex::default(),
            waker,
            handles: AtomicUsize::new(0),
            unread: AtomicUsize::new(0),
            braked: AtomicBool::new(false),
            driven_by: AtomicU64::new(0),
        })
    }

    pub(crate) fn id(&self) -> NodeId {
        self.id
    }

    pub(crate) fn listens(&self) -> &[SocketAddr] {
        &self.listens
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    // ---- what other threads do

    /// Queues a command.
    pub(crate) fn push(&self, command: Command) -> Result<(), CommandError> {
        self.put(command, |queue| {
            has_room("commands", queue.commands.len() - queue.answers, COMMANDS)
        })
    }

    /// Queues a command past the bound: for what is bounded where it is asked for, as lookups and
    /// refusals are.
    pub(crate) fn push_answer(&self, command: Command) {
        self.put(command, |queue| {
            queue.answers += 1;
            Ok(())
        })
        .ok();
    }

    /// Queues an answer to a request, which holds this many bytes, within a bound of its own.
    pub(crate) fn push_reply(&self, command: Command, bytes: usize) -> Result<(), CommandError> {
        self.put(command, |queue| {
            has_room("answers", queue.answers, ANSWERS)?;
            has_room("bytes of answers", queue.answer_bytes, ANSWER_BYTES)?;
            queue.answers += 1;
            queue.answer_bytes = queue.answer_bytes.saturating_add(bytes);
            Ok(())
        })
    }

    fn put(
        &self,
        command: Command,
        admit: impl FnOnce(&mut Queue) -> Result<(), CommandError>,
    ) -> Result<(), CommandError> {
        let mut queue = self.lock();
        let stopped = queue.stopped.is_some();
        let admitted = if stopped { Err(CommandError::Stopped) } else { admit(&mut queue) };
        if admitted.is_err() {
            drop(queue);
            return admitted;
        }
        queue.commands.push_back(command);
        self.rouse(queue);
        Ok(())
    }

    /// Wakes the driver for another reason than a command.
    pub(crate) fn nudge(&self) {
        let mut queue = self.lock();
        queue.nudged = true;
        self.rouse(queue);
    }

    /// Answers when the driver has ended.
    pub(crate) fn when_stopped(&self, answer: Answer<(), CommandError>) {
        let mut queue = self.lock();
        if queue.stopped.is_some() {
            drop(queue);
            return answer.give(Ok(()));
        }
        let (wanted, forgotten) =
            std::mem::take(&mut queue.waiters).into_iter().partition(Answer::is_wanted);
        queue.waiters = wanted;
        let room = has_room("callers for the stop", queue.waiters.len(), COMMANDS);
        if room.is_ok() {
            queue.waiters.push(answer);
            drop(queue);
        } else {
            drop(queue);
            answer.give(room);
        }
        drop::<Vec<_>>(forgotten);
    }

    /// The node's last counters, once the driver has ended.
    pub(crate) fn last_stats(&self) -> Option<Stats> {
        self.lock().stopped
    }

    pub(crate) fn handle_made(&self) {
        self.handles.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn handle_dropped(&self) {
        if self.handles.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.shutdown(LAST_HANDLE_GRACE);
        }
    }

    /// Shuts the node down after the commands queued so far. Never refused, however many wait.
    pub(crate) fn shutdown(&self, within: Duration) {
        let mut queue = self.lock();
        queue.shutdown = Some(queue.shutdown.map_or(within, |before| before.min(within)));
        queue.nudged = true;
        self.rouse(queue);
    }

    /// Whether this is the thread of the last turn, where waiting would wait for ever.
    pub(crate) fn driven_here(&self) -> bool {
        self.driven_by.load(Ordering::Acquire) == this_thread()
    }

    fn rouse(&self, mut queue: MutexGuard<'_, Queue>) {
        let asleep = std::mem::take(&mut queue.asleep);
        drop(queue);
        if asleep {
            self.waker.wake_by_ref();
        }
    }

    // ---- what the driver does

    /// A turn begins on this thread.
    pub(crate) fn drive(&self) {
        self.driven_by.store(this_thread(), Ordering::Release);
    }

    /// Exchanges the queued commands for an empty queue. After them the node is to shut down, if
    /// there is a time within which.
    pub(crate) fn take(&self, commands: &mut VecDeque<Command>) -> Option<Duration> {
        let mut queue = self.lock();
        queue.asleep = false;
        queue.nudged = false;
        (queue.answers, queue.answer_bytes) = (0, 0);
        std::mem::swap(&mut queue.commands, commands);
        queue.shutdown.take()
    }

    /// The driver wants to sleep. False if there is something to do first.
    pub(crate) fn may_sleep(&self) -> bool {
        let mut queue = self.lock();
        queue.asleep = queue.commands.is_empty() && !queue.nudged;
        queue.asleep
    }

    /// The driver has ended, with these counters: everybody who waits is told.
    pub(crate) fn stop(&self, last: Stats) {
        let mut queue = self.lock();
        queue.stopped = Some(last);
        let commands = std::mem::take(&mut queue.commands);
        let waiters = std::mem::take(&mut queue.waiters);
        drop(queue);
        drop(commands);
        for waiter in waiters {
            waiter.give(Ok(()));
        }
    }
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remote").field("id", &self.id).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::pending::Pending;
    use std::task::Wake;

    /// Counts how often it is woken.
    #[derive(Default)]
    pub(crate) struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn remote() -> (Arc<Remote>, Arc<Count>) {
        let count = Arc::new(Count::default());
        let id = NodeId::from_random_bytes([7; 16]);
        (Remote::new(id, Vec::new(), Waker::from(Arc::clone(&count))), count)
    }

    fn command() -> Command {
        Box::new(|_| {})
    }

    #[test]
    fn a_sleeping_driver_is_woken_once() {
        let (remote, count) = remote();
        remote.push(command()).unwrap();
        assert_eq!(count.0.load(Ordering::SeqCst), 0, "it is not asleep yet");
        assert!(!remote.may_sleep(), "a command waits");
        remote.take(&mut VecDeque::new());
        assert!(remote.may_sleep());
        for _ in 0..10 {
            remote.push(command()).unwrap();
            remote.nudge();
        }
        assert_eq!(count.0.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn a_nudge_before_the_sleep_prevents_it() {
        let (remote, _) = remote();
        remote.nudge();
        assert!(!remote.may_sleep());
        remote.take(&mut VecDeque::new());
        assert!(remote.may_sleep());
    }

    fn busy(what: &'static str, limit: usize) -> Result<(), CommandError> {
        Err(CommandError::Busy { what, waiting: limit, limit })
    }

    #[test]
    fn a_full_queue_is_busy_and_takes_the_drivers_own_answers() {
        let (remote, _) = remote();
        for _ in 0..COMMANDS {
            remote.push(command()).unwrap();
        }
        assert_eq!(remote.push(command()), busy("commands", COMMANDS));
        remote.push_answer(command());
        assert_eq!(remote.lock().commands.len(), COMMANDS + 1);
    }

    #[test]
    fn answers_have_a_bound_of_their_own() {
        let (remote, _) = remote();
        for _ in 0..ANSWERS {
            remote.push_reply(command(), 1).unwrap();
        }
        assert_eq!(remote.push_reply(command(), 1), busy("answers", ANSWERS));
        for _ in 0..COMMANDS {
            remote.push(command()).unwrap();
        }
        assert_eq!(remote.push(command()), busy("commands", COMMANDS));
        let mut commands = VecDeque::new();
        remote.take(&mut commands);
        assert_eq!(commands.len(), ANSWERS + COMMANDS);
        remote.push_reply(command(), ANSWER_BYTES).unwrap();
        assert_eq!(remote.push_reply(command(), 1), busy("bytes of answers", ANSWER_BYTES));
        remote.take(&mut VecDeque::new());
        remote.push_reply(command(), 1).unwrap();
        assert_eq!(remote.push(command()), Ok(()));
    }

    #[test]
    fn the_end_answers_everybody() {
        let (remote, _) = remote();
        let (answer, pending) = Pending::<(), CommandError>::new(Arc::clone(&remote));
        remote.push(Box::new(move |_| answer.give(Ok(())))).unwrap();
        let (answer, stopped) = Pending::new(Arc::clone(&remote));
        remote.when_stopped(answer);
        remote.stop(Stats::default());
        assert_eq!(pending.wait(), Err(CommandError::Stopped));
        assert_eq!(stopped.wait(), Ok(()));
        assert_eq!(remote.push(command()), Err(CommandError::Stopped));
        let (answer, late) = Pending::new(Arc::clone(&remote));
        remote.when_stopped(answer);
        assert_eq!(late.wait(), Ok(()));
    }

    #[test]
    fn counters_asked_for_before_the_end_and_after_it_are_the_last() {
        let (remote, _) = remote();
        let handle = crate::Handle::new(Arc::clone(&remote));
        let waiting = handle.stats();
        let mut last = Stats::default();
        last.lost_at_close = 3;
        remote.stop(last);
        assert_eq!((waiting.wait(), handle.stats().wait()), (Ok(last), Ok(last)));
    }

    #[test]
    fn forgotten_waiters_make_room() {
        let (remote, _) = remote();
        for _ in 0..COMMANDS * 2 {
            let (answer, pending) = Pending::new(Arc::clone(&remote));
            remote.when_stopped(answer);
            pending.detach();
        }
        let kept: Vec<_> = (0..=COMMANDS)
            .map(|_| {
                let (answer, pending) = Pending::new(Arc::clone(&remote));
                remote.when_stopped(answer);
                pending
            })
            .collect();
        let mut answers = kept.into_iter().rev();
        assert_eq!(answers.next().unwrap().wait(), busy("callers for the stop", COMMANDS));
        remote.stop(Stats::default());
        assert!(answers.all(|pending| pending.wait().is_ok()));
    }

    #[test]
    fn the_last_handle_is_noticed_once() {
        let (remote, _) = remote();
        let handle = crate::Handle::new(Arc::clone(&remote));
        let second = handle.clone();
        drop(handle);
        assert_eq!(remote.take(&mut VecDeque::new()), None);
        drop(second);
        assert_eq!(remote.take(&mut VecDeque::new()), Some(LAST_HANDLE_GRACE));
        assert_eq!(remote.take(&mut VecDeque::new()), None);
    }

    #[test]
    fn the_shortest_shutdown_counts() {
        let (remote, _) = remote();
        for secs in [3, 1, 2] {
            remote.shutdown(Duration::from_secs(secs));
        }
        assert_eq!(remote.take(&mut VecDeque::new()), Some(Duration::from_secs(1)));
    }
}
