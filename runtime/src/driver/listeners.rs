//! The listeners of a driver: binding, accepting, and resting when the system has nothing left.
//!
//! Decides how many connections are accepted in a turn and how long a listener rests after the
//! system ran out of descriptors or memory. Whether a connection is taken is the node's decision;
//! what becomes of it, the links'. It never closes a listener before the end.

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use peerline_proto::{Instant, Node};

use super::Key;
use super::links::Links;
use crate::error::StartError;
use crate::io::Io;
use crate::log::LISTEN;
use crate::net;

/// Connections one listener may accept in a turn. Sixty-four: a burst of joins in four turns,
/// with the reads of the others in between.
const ACCEPTS: usize = 64;

/// First rest of a listener that the system gives no more sockets; doubles each time. 100 ms:
/// connections end at about that pace.
const REST_FIRST: Duration = Duration::from_millis(100);

/// Longest rest. One second: the kernel's queue holds what comes meanwhile.
const REST_MOST: Duration = Duration::from_secs(1);

pub(super) struct Listeners<I: Io> {
    all: Vec<Listener<I::Listener>>,
}

struct Listener<L> {
    listener: L,
    addr: SocketAddr,
    state: State,
    /// How long the next rest is.
    rest: Duration,
}

#[derive(Copy, Clone, Debug, Eq, PartialEq)]
enum State {
    /// Nobody waits; the next edge says so.
    Idle,
    /// Somebody may wait.
    Ready,
    /// The system has nothing left.
    Resting { until: Instant },
}

/// What to do after an accept that did not succeed.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
enum Failure {
    Nobody,
    Exhausted,
    /// That connection is gone; the next one may be well.
    ThisOne,
}

impl Failure {
    fn of(error: &io::Error) -> Self {
        if error.kind() == ErrorKind::WouldBlock {
            Self::Nobody
        } else if net::exhausted(error) {
            Self::Exhausted
        } else {
            Self::ThisOne
        }
    }
}

impl<I: Io> Listeners<I> {
    pub(super) fn bind(io: &mut I, addrs: &[SocketAddr]) -> Result<Self, StartError> {
        let mut all = Vec::new();
        for addr in addrs {
            let key = Key::Listener(all.len()).number();
            let listener = Listener::bind(io, key, *addr, net::only_v6(*addr, addrs));
            all.push(listener.map_err(|error| StartError::Listen { addr: *addr, error })?);
        }
        Ok(Self { all })
    }

    /// The addresses listened at, with the ports the system chose.
    pub(super) fn addrs(&self) -> Vec<SocketAddr> {
        self.all.iter().map(|listener| listener.addr).collect()
    }

    pub(super) fn ready(&mut self, index: usize) {
        if let Some(listener) = self.all.get_mut(index) {
            listener.state = match listener.state {
                State::Idle | State::Ready => State::Ready,
                resting @ State::Resting { .. } => resting,
            };
        }
    }

    pub(super) fn is_busy(&self) -> bool {
        self.all.iter().any(|listener| listener.state == State::Ready)
    }

    /// When the next rest is over.
    pub(super) fn next_due(&self) -> Option<Instant> {
        let rests = self.all.iter().filter_map(|listener| match listener.state {
            State::Resting { until } => Some(until),
            State::Idle | State::Ready => None,
        });
        rests.min()
    }

    /// Accepts what waits, up to the budget.
    pub(super) fn accept_round(
        &mut self,
        links: &mut Links<I>,
        io: &mut I,
        node: &mut Node,
        now: Instant,
    ) {
        let due = self.all.iter_mut().enumerate().filter(|(_, listener)| listener.is_due(now));
        for (index, listener) in due {
            let key = Key::Listener(index).number();
            accept_some(listener, key, io, now, |io, stream, addr| {
                links.admit(io, node, stream, addr, now);
            });
        }
    }

    pub(super) fn clear(&mut self) {
        self.all.clear();
    }
}

impl<L> Listener<L> {
    fn bind<I: Io<Listener = L>>(
        io: &mut I,
        key: usize,
        addr: SocketAddr,
        only_v6: bool,
    ) -> io::Result<Self> {
        let listener = net::bind(addr, only_v6)?;
        let addr = listener.local_addr()?;
        let listener = io.listen(key, listener)?;
        // Ready, so that the first turn asks and, on loops that need it, arms.
        Ok(Self { listener, addr, state: State::Ready, rest: REST_FIRST })
    }

    fn is_due(&self, now: Instant) -> bool {
        match self.state {
            State::Idle => false,
            State::Ready => true,
            State::Resting { until } => until <= now,
        }
    }

    fn rest(&mut self, now: Instant, error: &io::Error) {
        let level = if self.rest == REST_FIRST { log::Level::Warn } else { log::Level::Debug };
        let Self { addr, rest, .. } = self;
        log::log!(target: LISTEN, level, "cannot accept at {addr}: {error}; again in {rest:?}");
        self.state = State::Resting { until: now + self.rest };
        self.rest = (self.rest * 2).min(REST_MOST);
    }
}

/// Accepts up to the budget on one listener.
fn accept_some<I: Io>(
    listener: &mut Listener<I::Listener>,
    key: usize,
    io: &mut I,
    now: Instant,
    mut take: impl FnMut(&mut I, TcpStream, SocketAddr),
) {
    listener.state = State::Ready;
    let mut accepted = 0;
    for attempt in 1..=ACCEPTS {
        let error = match io.accept(key, &listener.listener) {
            Ok((stream, addr)) => {
                accepted += 1;
                listener.rest = REST_FIRST;
                take(io, stream, addr);
                continue;
            }
            Err(error) => error,
        };
        match Failure::of(&error) {
            Failure::Nobody => {
                listener.state = State::Idle;
                return;
            }
            Failure::Exhausted => return listener.rest(now, &error),
            // A whole turn of nothing else is a listener that is broken: it must not keep us busy.
            Failure::ThisOne if attempt == ACCEPTS && accepted == 0 => {
                return listener.rest(now, &error);
            }
            Failure::ThisOne => log::debug!(target: LISTEN, "one not accepted: {error}"),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn listener() -> Listener<()> {
        let addr = "127.0.0.1:1".parse().unwrap();
        Listener { listener: (), addr, state: State::Ready, rest: REST_FIRST }
    }

    #[test]
    fn rests_double_up_to_a_second() {
        let mut listener = listener();
        let error = ErrorKind::OutOfMemory.into();
        for millis in [100, 200, 400, 800, 1000, 1000] {
            listener.rest(Instant::ZERO, &error);
            let until = Instant::ZERO + Duration::from_millis(millis);
            assert_eq!(listener.state, State::Resting { until });
            assert!(listener.is_due(until));
            assert!(!listener.is_due(Instant::from_nanos(until.as_nanos() - 1)));
        }
    }

    #[test]
    fn errors_of_accept_are_told_apart() {
        let check = |error: io::Error, expected| assert_eq!(Failure::of(&error), expected);
        check(ErrorKind::WouldBlock.into(), Failure::Nobody);
        check(ErrorKind::OutOfMemory.into(), Failure::Exhausted);
        check(ErrorKind::ConnectionAborted.into(), Failure::ThisOne);
    }
}
