//! The answer to a command, from the driver to whoever asked.
//!
//! Decides how an answer is waited for: as a future, by blocking, or not at all. It never undoes a
//! command and never leaves its owner hanging: the giving end answers `Stopped` when it is dropped
//! unused, whatever the reason. Made of one mutex and one condition variable, so that it works on
//! any thread and under any executor.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use crate::error::CommandError;
use crate::remote::Remote;

/// The answer to a command, which is on its way whether or not anybody waits for it.
///
/// `.await` it, [`wait`](Self::wait) for it, or let go of it with [`detach`](Self::detach).
/// Dropping it, also halfway through an `.await`, only loses the answer: the command is still
/// done. If the node ends first the answer is `Stopped`.
#[must_use = "the command is done anyway: wait for the answer, or say `.detach()`"]
pub struct Pending<T, E> {
    slot: Arc<Slot<T, E>>,
    /// Who answers; none if the answer was there from the start.
    remote: Option<Arc<Remote>>,
}

struct Slot<T, E> {
    state: Mutex<State<T, E>>,
    given: Condvar,
}

enum State<T, E> {
    Waiting(Waiter),
    Given(Result<T, E>),
    Taken,
}

/// Who is to be woken. Known, since waking nobody costs a call into the kernel too.
enum Waiter {
    Nobody,
    Task(Waker),
    Thread,
}

impl<T, E> Slot<T, E> {
    fn lock(&self) -> MutexGuard<'_, State<T, E>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T, E: From<CommandError>> Pending<T, E> {
    /// The two ends of an answer.
    pub(crate) fn new(remote: Arc<Remote>) -> (Answer<T, E>, Self) {
        let state = Mutex::new(State::Waiting(Waiter::Nobody));
        let slot = Arc::new(Slot { state, given: Condvar::new() });
        (Answer(Some(Arc::clone(&slot))), Self { slot, remote: Some(remote) })
    }

    /// An answer that is known already.
    pub(crate) fn known(answer: Result<T, E>) -> Self {
        let state = Mutex::new(State::Given(answer));
        Self { slot: Arc::new(Slot { state, given: Condvar::new() }), remote: None }
    }

    /// Blocks until the answer is there.
    ///
    /// # Errors
    /// Those of the command. On the thread that drives the node, where the answer could never
    /// come, `WouldDeadlock` at once; the command is done all the same.
    pub fn wait(self) -> Result<T, E> {
        let mut state = self.slot.lock();
        loop {
            if let Some(answer) = state.take() {
                return answer;
            }
            if self.remote.as_ref().is_some_and(|remote| remote.driven_here()) {
                return Err(CommandError::WouldDeadlock.into());
            }
            *state = State::Waiting(Waiter::Thread);
            state = self.slot.given.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Lets go of the answer. The command is done.
    pub fn detach(self) {}
}

impl<T, E: From<CommandError>> State<T, E> {
    /// The answer, once; asked again it is `Stopped`.
    fn take(&mut self) -> Option<Result<T, E>> {
        match std::mem::replace(self, Self::Taken) {
            Self::Given(answer) => Some(answer),
            Self::Taken => Some(Err(CommandError::Stopped.into())),
            waiting @ Self::Waiting(_) => {
                *self = waiting;
                None
            }
        }
    }
}

impl<T, E: From<CommandError>> Future for Pending<T, E> {
    type Output = Result<T, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.slot.lock();
        if let Some(answer) = state.take() {
            return Poll::Ready(answer);
        }
        *state = State::Waiting(Waiter::Task(cx.waker().clone()));
        Poll::Pending
    }
}

impl<T, E> fmt::Debug for Pending<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pending").finish_non_exhaustive()
    }
}

/// The giving end.
pub(crate) struct Answer<T, E: From<CommandError>>(Option<Arc<Slot<T, E>>>);

impl<T, E: From<CommandError>> Answer<T, E> {
    pub(crate) fn give(mut self, answer: Result<T, E>) {
        self.fill(answer);
    }

    /// Whether somebody still holds the other end.
    pub(crate) fn is_wanted(&self) -> bool {
        self.0.as_ref().is_some_and(|slot| Arc::strong_count(slot) > 1)
    }

    fn fill(&mut self, answer: Result<T, E>) {
        let Some(slot) = self.0.take() else { return };
        let before = std::mem::replace(&mut *slot.lock(), State::Given(answer));
        match before {
            State::Waiting(Waiter::Thread) => slot.given.notify_one(),
            State::Waiting(Waiter::Task(waker)) => waker.wake(),
            State::Waiting(Waiter::Nobody) | State::Given(_) | State::Taken => {}
        }
    }
}

impl<T, E: From<CommandError>> Drop for Answer<T, E> {
    fn drop(&mut self) {
        self.fill(Err(CommandError::Stopped.into()));
    }
}

impl<T, E: From<CommandError>> fmt::Debug for Answer<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use peerline_proto::NodeId;
    use std::sync::mpsc;
    use std::task::Wake;
    use std::thread;

    type Ends = (Answer<u8, CommandError>, Pending<u8, CommandError>);

    fn ends() -> (Ends, Arc<Remote>) {
        let id = NodeId::from_random_bytes([7; 16]);
        let remote = Remote::new(id, Vec::new(), Waker::noop().clone());
        (Pending::new(Arc::clone(&remote)), remote)
    }

    /// Tells a channel that it was woken.
    struct Tell(mpsc::Sender<()>);

    impl Wake for Tell {
        fn wake(self: Arc<Self>) {
            self.0.send(()).unwrap();
        }
    }

    #[test]
    fn an_answer_wakes_who_waits() {
        let ((answer, pending), _) = ends();
        let waiting = thread::spawn(move || pending.wait());
        answer.give(Ok(7));
        assert_eq!(waiting.join().unwrap(), Ok(7));
    }

    #[test]
    fn an_answer_wakes_a_task() {
        let ((answer, mut pending), _) = ends();
        let (give, take) = mpsc::channel();
        let waker = Waker::from(Arc::new(Tell(give)));
        let mut cx = Context::from_waker(&waker);
        assert!(Pin::new(&mut pending).poll(&mut cx).is_pending());
        answer.give(Ok(7));
        take.recv().unwrap();
        assert_eq!(Pin::new(&mut pending).poll(&mut cx), Poll::Ready(Ok(7)));
        let again = Pin::new(&mut pending).poll(&mut cx);
        assert_eq!(again, Poll::Ready(Err(CommandError::Stopped)));
    }

    #[test]
    fn an_answer_never_given_is_stopped() {
        let ((answer, pending), _) = ends();
        drop(answer);
        assert_eq!(pending.wait(), Err(CommandError::Stopped));
    }

    #[test]
    fn dropped_and_forgotten_pendings_hurt_nobody() {
        let ((answer, pending), _) = ends();
        pending.detach();
        assert!(!answer.is_wanted());
        answer.give(Ok(7));
        let ((answer, pending), _) = ends();
        std::mem::forget(pending);
        answer.give(Ok(7));
    }

    #[test]
    fn waiting_on_the_driving_thread_would_deadlock() {
        let ((answer, pending), remote) = ends();
        remote.drive();
        assert_eq!(pending.wait(), Err(CommandError::WouldDeadlock));
        drop(answer);
        let (answer, pending) = Pending::<u8, CommandError>::new(Arc::clone(&remote));
        answer.give(Ok(7));
        assert_eq!(pending.wait(), Ok(7), "an answer that is there is no deadlock");
        let (answer, pending) = Pending::<u8, CommandError>::new(Arc::clone(&remote));
        let waiting = thread::spawn(move || pending.wait());
        answer.give(Ok(8));
        assert_eq!(waiting.join().unwrap(), Ok(8), "another thread may wait");
    }
}
