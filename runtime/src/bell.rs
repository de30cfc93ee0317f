//! What an event loop made of futures needs: edges that come as wakes, and a task that sleeps.
//!
//! Decides that one task drives the node and that every side of every socket has a waker of its
//! own, which notes the edge and wakes that task. It never drives anything itself, and knows no
//! executor. A socket's waker stays the same for as long as its key is used, so that a reactor can
//! see that it has it already.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Wake, Waker};

use crate::driver::Driver;
use crate::io::{Direction, Io};

/// Wakes the task that drives the node, and collects the edges that came meanwhile.
#[derive(Clone, Default)]
pub struct Bell(Arc<Shared>);

#[derive(Default)]
struct Shared(Mutex<Rung>);

#[derive(Default)]
struct Rung {
    edges: Vec<(usize, Direction)>,
    /// The task to wake; none once it has been woken.
    task: Option<Waker>,
    /// Room for the next edges, given back by `answer`.
    spare: Vec<(usize, Direction)>,
}

impl Bell {
    /// The waker for [`Driver::new`].
    pub fn waker(&self) -> Waker {
        Waker::from(Arc::clone(&self.0))
    }

    /// Tells the driver the edges that came, and wakes this task from now on. To be called at the
    /// beginning of each poll of the task, before [`Driver::turn`].
    pub fn answer<I: Io>(&self, task: &Waker, driver: &mut Driver<I>) {
        let mut rung = self.0.lock();
        rung.task = Some(task.clone());
        let spare = std::mem::take(&mut rung.spare);
        let mut edges = std::mem::replace(&mut rung.edges, spare);
        drop(rung);
        for (key, side) in edges.drain(..) {
            driver.ready(key, side == Direction::Read, side == Direction::Write);
        }
        self.0.lock().spare = edges;
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Rung> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ring(&self, edge: Option<(usize, Direction)>) {
        let mut rung = self.lock();
        rung.edges.extend(edge);
        // One wake is enough: whoever is woken answers, and leaves its waker again.
        let task = rung.task.take();
        drop(rung);
        if let Some(task) = task {
            task.wake();
        }
    }
}

impl Wake for Shared {
    fn wake(self: Arc<Self>) {
        self.ring(None);
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.ring(None);
    }
}

/// The wakers of all sockets, by key and side; for an [`Io`] to own.
pub struct Wakers {
    bell: Bell,
    made: Vec<[Waker; 2]>,
}

impl Wakers {
    /// Wakers that ring this bell.
    pub fn new(bell: &Bell) -> Self {
        Self { bell: bell.clone(), made: Vec::new() }
    }

    /// The waker of one side.
    pub fn of(&mut self, key: usize, side: Direction) -> Waker {
        while self.made.len() <= key {
            let key = self.made.len();
            self.made.push([Direction::Read, Direction::Write].map(|side| self.make(key, side)));
        }
        let made = self.made.get(key).map(|[read, write]| match side {
            Direction::Read => read.clone(),
            Direction::Write => write.clone(),
        });
        made.unwrap_or_else(|| self.make(key, side))
    }

    fn make(&self, key: usize, side: Direction) -> Waker {
        Waker::from(Arc::new(Edge { key, side, bell: self.bell.clone() }))
    }
}

/// One side of one socket.
struct Edge {
    key: usize,
    side: Direction,
    bell: Bell,
}

impl Wake for Edge {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.bell.0.ring(Some((self.key, self.side)));
    }
}

impl fmt::Debug for Bell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bell").field("edges", &self.0.lock().edges.len()).finish()
    }
}

impl fmt::Debug for Wakers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wakers").field("made", &self.made.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_side_keeps_its_waker() {
        let mut wakers = Wakers::new(&Bell::default());
        let read = wakers.of(5, Direction::Read);
        assert!(read.will_wake(&wakers.of(5, Direction::Read)));
        assert!(!read.will_wake(&wakers.of(5, Direction::Write)));
        assert!(!read.will_wake(&wakers.of(4, Direction::Read)));
    }

    #[test]
    fn a_task_is_woken_once_and_finds_every_edge() {
        let (bell, other) = (Bell::default(), Bell::default());
        let mut wakers = Wakers::new(&bell);
        bell.0.lock().task = Some(other.waker());
        other.0.lock().task = Some(Waker::noop().clone());
        wakers.of(2, Direction::Read).wake();
        assert!(other.0.lock().task.take().is_none(), "woken");
        wakers.of(3, Direction::Write).wake_by_ref();
        assert_eq!(bell.0.lock().edges, [(2, Direction::Read), (3, Direction::Write)]);
    }
}
