//! A node with a loop of its own.
//!
//! Decides only how many events one poll may bring. It never looks at an event: all of them are
//! the node's, or the waker's.

use std::io;
use std::sync::Arc;

use mio::{Events, Poll, Token, Waker};
use peerline_runtime::{Handle, Runtime, Setup, StartError};

use crate::Embedded;

/// The waker's token; the node's are above it.
const WAKE: Token = Token(0);

/// Events taken in one poll. 1,024; what is beyond comes with the next.
const EVENTS: usize = 1024;

/// A node and its loop, made by [`Builder::build`](peerline_runtime::Builder::build).
#[derive(Debug)]
pub struct Runner {
    poll: Poll,
    node: Embedded,
    /// Kept, for a poll whose waker is gone cannot be woken.
    _waker: Arc<Waker>,
}

impl Runtime for Runner {
    type Events = peerline_runtime::Events;

    fn new(setup: Setup) -> Result<(Self, Handle), StartError> {
        let poll = Poll::new()?;
        let waker = Arc::new(Waker::new(poll.registry(), WAKE)?);
        let (node, handle) =
            Embedded::from_setup(setup, poll.registry(), &waker, Token(WAKE.0 + 1))?;
        Ok((Self { poll, node, _waker: waker }, handle))
    }

    fn run(mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(EVENTS);
        loop {
            let sleep = self.node.turn();
            if self.node.is_stopped() {
                return Ok(());
            }
            match self.poll.poll(&mut events, sleep) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                ended => ended?,
            }
            for event in &events {
                self.node.ready(event);
            }
        }
    }
}
