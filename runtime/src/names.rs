//! Host names, resolved off the loop: bootstrap names until they have an address, others once.
//!
//! Decides how many names are looked up at once and when a bootstrap name is tried again. It never
//! blocks the driver: a lookup runs on a short-lived thread, of which there are at most a few, and
//! its answer comes back as a command. What becomes of the addresses is the node's affair.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use peerline_proto::Instant;

use crate::log::RESOLVE;
use crate::remote::Remote;

/// Lookups at once. Four: the system's resolver rarely does more in parallel, and each costs a
/// thread.
const LOOKUP_THREADS: usize = 4;

/// Lookups that may wait for a thread. When full: the lookup fails, and a bootstrap name is tried
/// again later. Default 256.
const LOOKUPS: usize = 256;

/// Addresses taken from one name. Sixteen: more than a name with a reason has.
pub(crate) const ADDRESSES: usize = 16;

/// Bootstrap names remembered. When full: another one is ignored, with a warning. Default 1,024.
const NAMES: usize = 1024;

/// First wait before a name is looked up again; doubles with each failure. Two seconds.
const RETRY_FIRST: Duration = Duration::from_secs(2);

/// Longest wait before a name is looked up again. One minute: a network that comes back is
/// noticed soon, and a resolver that is down is not hammered.
const RETRY_MOST: Duration = Duration::from_secs(60);

/// The addresses of a name.
pub(crate) type Found = io::Result<Vec<SocketAddr>>;

type Job = (String, Box<dyn FnOnce(Found) + Send>);

/// The threads that look names up.
#[derive(Clone, Default)]
pub(crate) struct Lookups(Arc<Mutex<Work>>);

#[derive(Default)]
struct Work {
    threads: usize,
    jobs: VecDeque<Job>,
}

impl Lookups {
    /// Looks a name up, and tells `then`, on another thread or, if there is no room, on this one.
    pub(crate) fn ask(&self, name: String, then: impl FnOnce(Found) + Send + 'static) {
        let mut work = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if work.jobs.len() >= LOOKUPS {
            drop(work);
            return then(Err(io::Error::other("too many lookups at once")));
        }
        work.jobs.push_back((name, Box::new(then)));
        if work.threads == LOOKUP_THREADS {
            return;
        }
        work.threads += 1;
        drop(work);
        let lookups = self.clone();
        let thread = thread::Builder::new().name("peerline-resolve".into());
        if let Err(error) = thread.spawn(move || while lookups.do_one() {}) {
            self.give_up(&error);
        }
    }

    /// Does one job; false if there was none, and the thread must end.
    fn do_one(&self) -> bool {
        let mut work = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((name, then)) = work.jobs.pop_front() else {
            work.threads -= 1;
            return false;
        };
        drop(work);
        then(look_up(&name));
        true
    }

    /// No thread could be made: the newest job fails, unless another thread has it.
    fn give_up(&self, error: &io::Error) {
        let mut work = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        work.threads -= 1;
        let job = if work.threads == 0 { work.jobs.pop_back() } else { None };
        drop(work);
        if let Some((_, then)) = job {
            then(Err(io::Error::new(error.kind(), error.to_string())));
        }
    }
}

/// Looks a name with a port up, here and now.
pub(crate) fn look_up(name: &str) -> Found {
    let mut found: Vec<SocketAddr> = name.to_socket_addrs()?.take(ADDRESSES).collect();
    found.dedup();
    if found.is_empty() {
        return Err(io::Error::new(io::ErrorKind::NotFound, "the name has no address"));
    }
    Ok(found)
}

/// The bootstrap names of one node.
#[derive(Debug, Default)]
pub(crate) struct Names {
    names: Vec<Name>,
}

struct Name {
    text: String,
    state: State,
    failures: u32,
}

enum State {
    Due(Instant),
    Asked,
    Found,
}

impl Names {
    /// Adds a name, to be looked up at the next turn.
    pub(crate) fn add(&mut self, text: String, now: Instant) {
        if self.names.iter().any(|name| name.text == text) {
            return;
        }
        if self.names.len() >= NAMES {
            log::warn!(target: RESOLVE, "{text:?} ignored: {NAMES} bootstrap names are known");
            return;
        }
        self.names.push(Name { text, state: State::Due(now), failures: 0 });
    }

    /// When the next name is due.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.names.iter().filter_map(Name::due).min()
    }

    /// Has the names looked up that are due.
    pub(crate) fn ask(&mut self, remote: &Arc<Remote>, now: Instant) {
        for (index, name) in self.names.iter_mut().enumerate() {
            if name.due().is_none_or(|due| due > now) {
                continue;
            }
            name.state = State::Asked;
            let back = Arc::clone(remote);
            remote.lookups.ask(name.text.clone(), move |found| {
                back.push_answer(Box::new(move |cx| cx.looked_up(index, found)));
            });
        }
    }

    /// A lookup ended. The addresses it found, if any.
    pub(crate) fn answer(&mut self, index: usize, found: Found, now: Instant) -> Vec<SocketAddr> {
        let Some(name) = self.names.get_mut(index) else { return Vec::new() };
        let error = match found {
            Ok(addrs) => {
                name.state = State::Found;
                return addrs;
            }
            Err(error) => error,
        };
        let delay = RETRY_FIRST.saturating_mul(1 << name.failures.min(8)).min(RETRY_MOST);
        name.state = State::Due(now + delay);
        name.failures += 1;
        let level = if name.failures == 1 { log::Level::Warn } else { log::Level::Debug };
        let text = &name.text;
        log::log!(target: RESOLVE, level, "cannot resolve {text:?}: {error}; again in {delay:?}");
        Vec::new()
    }
}

impl Name {
    fn due(&self) -> Option<Instant> {
        match self.state {
            State::Due(at) => Some(at),
            State::Asked | State::Found => None,
        }
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} ({} failures)", self.text, self.failures)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::sync::mpsc;

    #[test]
    fn more_names_than_threads_are_all_answered() {
        let lookups = Lookups::default();
        let (give, take) = mpsc::channel();
        for port in 1..=40 {
            let give = give.clone();
            lookups.ask(format!("127.0.0.1:{port}"), move |found| {
                give.send(found.unwrap().len()).unwrap();
            });
        }
        drop(give);
        assert_eq!(take.iter().sum::<usize>(), 40);
    }

    #[test]
    fn a_name_that_fails_is_due_later_and_later() {
        let mut names = Names::default();
        names.add("nowhere:1".into(), Instant::ZERO);
        names.add("nowhere:1".into(), Instant::ZERO);
        assert_eq!(names.next_due(), Some(Instant::ZERO));
        let delays = [2, 4, 8, 16, 32, 60, 60, 60, 60, 60, 60, 60];
        for secs in delays {
            let failed = Err(io::ErrorKind::NotFound.into());
            assert_eq!(names.answer(0, failed, Instant::ZERO), []);
            assert_eq!(names.next_due(), Some(Instant::ZERO + Duration::from_secs(secs)));
        }
        let addr = "127.0.0.1:1".parse().unwrap();
        assert_eq!(names.answer(0, Ok(vec![addr]), Instant::ZERO), [addr]);
        assert_eq!(names.next_due(), None);
    }
}
