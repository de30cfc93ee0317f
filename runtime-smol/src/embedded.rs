//! A node as one task, for whatever executor.
//!
//! Decides only when the task lets others run: after each turn. It never blocks, and spawns
//! nothing. The task sleeps on a timer that is moved only when the next deadline is earlier, since
//! waking too early costs less than moving it each time.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use peerline_runtime::proto::Instant;
use peerline_runtime::{Bell, Driver, Handle, Setup, StartError};
use smol::Timer;

use crate::Builder;
use crate::io::Sockets;

/// A node as a future, which ends when the node has stopped. Spawn it on an executor of yours; it
/// is `Send`. Dropping it ends the node at once, without a bye.
///
/// ```
/// use std::time::Duration;
/// use peerline_smol::{Builder, Embedded, smol};
///
/// smol::block_on(async {
///     let executor = smol::Executor::new();
///     let (node, handle) = Embedded::new(Builder::new().listen("127.0.0.1:0"))?;
///     let task = executor.spawn(node);
///     let work = async {
///         handle.broadcast("NEWS", &"hello").await?;
///         handle.shutdown(Duration::from_secs(1)).await?;
///         task.await;
///         Ok::<(), Box<dyn std::error::Error>>(())
///     };
///     executor.run(work).await
/// })
/// # .map_err(|error: Box<dyn std::error::Error>| error)
/// # .unwrap();
/// ```
#[must_use = "a future does nothing unless it is spawned or awaited"]
pub struct Embedded {
    driver: Driver<Sockets>,
    bell: Bell,
    timer: Timer,
    /// When the timer fires, by the driver's clock; none if it does not.
    fires: Option<Instant>,
}

impl Embedded {
    /// Makes the node, which listens from here on.
    ///
    /// # Errors
    /// See [`StartError`]; nothing is left behind then.
    pub fn new(builder: Builder) -> Result<(Self, Handle), StartError> {
        Self::from_setup(builder.setup()?)
    }

    pub(crate) fn from_setup(setup: Setup) -> Result<(Self, Handle), StartError> {
        let bell = Bell::default();
        let (driver, handle) = Driver::new(setup, Sockets::new(&bell), bell.waker())?;
        Ok((Self { driver, bell, timer: Timer::never(), fires: None }, handle))
    }

    /// Sees to it that the task wakes in time. True if the time has come already.
    fn sleep(&mut self, time: Duration, cx: &mut Context<'_>) -> bool {
        let due = self.driver.now() + time;
        if self.fires.is_none_or(|fires| due < fires) {
            self.timer.set_after(time);
            self.fires = Some(due);
        }
        let fired = Pin::new(&mut self.timer).poll(cx).is_ready();
        if fired {
            self.fires = None;
        }
        fired
    }
}

impl Future for Embedded {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        this.bell.answer(cx.waker(), &mut this.driver);
        let sleep = this.driver.turn();
        if this.driver.is_stopped() {
            return Poll::Ready(());
        }
        let again = match sleep {
            Some(Duration::ZERO) => true,
            Some(time) => this.sleep(time, cx),
            None => false,
        };
        if again {
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }
}

impl fmt::Debug for Embedded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Embedded").field(&self.driver).finish()
    }
}
