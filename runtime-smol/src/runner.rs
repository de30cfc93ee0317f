//! A node with a loop of its own.
//!
//! Decides that the loop is `smol::block_on` on the thread that runs the node: no other task
//! shares the thread, so none that blocks can hold the node up.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use peerline_runtime::proto::{Event, Reply};
use peerline_runtime::{Handle, RequestError, Runtime, Setup, StartError};
use smol::stream::Stream;

use crate::Embedded;

/// A node and its loop, made by [`Builder::build`](peerline_runtime::Builder::build).
#[derive(Debug)]
pub struct Runner {
    node: Embedded,
}

impl Runtime for Runner {
    type Events = Events;

    fn new(setup: Setup) -> Result<(Self, Handle), StartError> {
        let (node, handle) = Embedded::from_setup(setup)?;
        Ok((Self { node }, handle))
    }

    fn run(self) -> io::Result<()> {
        smol::block_on(self.node);
        Ok(())
    }
}

/// The events that no handler took, in order: a stream that ends when the node does.
///
/// Taking events is what lets the node go on: while 1,024 of them wait, or 1 MiB of messages,
/// nothing more is read from those who send. Dropping it gives the events back to `otherwise`.
#[derive(Debug)]
pub struct Events(peerline_runtime::Events);

impl From<peerline_runtime::Events> for Events {
    fn from(events: peerline_runtime::Events) -> Self {
        Self(events)
    }
}

impl Stream for Events {
    type Item = Event;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        self.0.poll_next(cx)
    }
}

/// The replies to a request, in order: each an `Ok`, then the end; or an `Err` in place of those
/// that did not come, and then the end. Made of what
/// [`Handle::request_stream`](crate::Handle::request_stream) gives:
/// `Replies::from(node.request_stream(…))`.
///
/// Read it, or drop it: 256 replies or 1 MiB may wait in it. Beyond that the node takes no more
/// from anybody until there is room, and after two seconds without a reader goes on without this
/// stream, which ends with [`Behind`](RequestError::Behind). Dropping it does not undo the request.
#[derive(Debug)]
pub struct Replies(peerline_runtime::Replies);

impl From<peerline_runtime::Replies> for Replies {
    fn from(replies: peerline_runtime::Replies) -> Self {
        Self(replies)
    }
}

impl Stream for Replies {
    type Item = Result<Reply, RequestError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_next(cx)
    }
}
