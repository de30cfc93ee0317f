//! A node in a mio loop that exists already.
//!
//! Decides nothing: it hands the loop's events to the driver, and tells the loop how long it may
//! sleep. It never polls. The loop's own waker wakes it for commands from other threads; it needs
//! no event of its own for that, only a [`turn`](Embedded::turn) after every poll.

use std::fmt;
use std::sync::Arc;
use std::task::{Wake, Waker};
use std::time::Duration;

use mio::event::Event;
use mio::{Registry, Token};
use peerline_runtime::{Driver, Handle, Setup, StartError};

use crate::Builder;
use crate::io::Sockets;

/// A node in a loop of yours.
///
/// ```
/// use std::sync::Arc;
/// use std::time::Duration;
/// use peerline_mio::{Builder, Embedded, mio};
///
/// const WAKE: mio::Token = mio::Token(0);
/// const NODE: mio::Token = mio::Token(100); // and 2^24 - 1 more
///
/// let mut poll = mio::Poll::new()?;
/// let mut events = mio::Events::with_capacity(256);
/// let waker = Arc::new(mio::Waker::new(poll.registry(), WAKE)?);
/// let builder = Builder::new().listen("127.0.0.1:0");
/// let (mut node, handle) = Embedded::new(builder, poll.registry(), &waker, NODE)?;
///
/// handle.shutdown(Duration::from_secs(1)).detach();
/// loop {
///     let sleep = node.turn();
///     if node.is_stopped() {
///         break;
///     }
///     poll.poll(&mut events, sleep)?;
///     for event in &events {
///         if !node.ready(event) {
///             // an event of your own
///         }
///     }
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Embedded {
    driver: Driver<Sockets>,
}

impl Embedded {
    /// Makes the node on your registry. It uses 2^24 tokens from `base` on; `waker` is that of
    /// your `Poll`, which allows one only, and must live as long as the `Poll`.
    ///
    /// # Errors
    /// See [`StartError`]; nothing is left behind then.
    pub fn new(
        builder: Builder,
        registry: &Registry,
        waker: &Arc<mio::Waker>,
        base: Token,
    ) -> Result<(Self, Handle), StartError> {
        Self::from_setup(builder.setup()?, registry, waker, base)
    }

    pub(crate) fn from_setup(
        setup: Setup,
        registry: &Registry,
        waker: &Arc<mio::Waker>,
        base: Token,
    ) -> Result<(Self, Handle), StartError> {
        let sockets = Sockets::new(registry.try_clone()?, base);
        let bell = Waker::from(Arc::new(Bell(Arc::clone(waker))));
        let (driver, handle) = Driver::new(setup, sockets, bell)?;
        Ok((Self { driver }, handle))
    }

    /// Takes an event of the poll; false if it is not this node's.
    pub fn ready(&mut self, event: &Event) -> bool {
        let Some(key) = self.driver.io().key(event.token()) else { return false };
        self.driver.ready(key, event.is_readable(), event.is_writable());
        // One edge may stand for bytes and for the end behind them.
        if event.is_read_closed() || event.is_error() {
            self.driver.ended(key);
        }
        true
    }

    /// Does what there is to do; never blocks. Call it once before the first poll and after every
    /// poll, whatever the poll brought. Returns how long the next poll may sleep.
    pub fn turn(&mut self) -> Option<Duration> {
        self.driver.turn()
    }

    /// Whether the node has stopped; turns do nothing any more.
    pub fn is_stopped(&self) -> bool {
        self.driver.is_stopped()
    }
}

/// The loop's waker in the form the driver knows.
struct Bell(Arc<mio::Waker>);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // Fails only if the poll is gone, and then there is nobody to wake.
        self.0.wake().ok();
    }
}

impl fmt::Debug for Embedded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Embedded").field(&self.driver).finish()
    }
}
