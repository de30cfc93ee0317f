//! What an event loop supplies to the driver: six functions on non-blocking sockets.
//!
//! Decides nothing. Readiness is edge-triggered: the loop tells the driver once when a side of a
//! socket becomes ready ([`Driver::ready`](crate::Driver::ready)), and the driver takes what there
//! is until it finds nothing more, then asks to be told again with [`Io::rearm`]. A loop that
//! registers its sockets edge-triggered has nothing to do there. A listener is asked again by
//! `accept` itself. Keys are small numbers chosen by the driver and used again; an edge told for
//! a key that is gone, or told too often, is harmless.

use std::io::{self, IoSlice};
use std::net::{SocketAddr, TcpListener, TcpStream};

#[cfg(unix)]
pub use std::os::fd::AsFd as AsDescriptor;
#[cfg(windows)]
pub use std::os::windows::io::AsSocket as AsDescriptor;

/// One of the two sides of a socket.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub enum Direction {
    /// What arrives.
    Read,
    /// What is sent.
    Write,
}

/// An event loop's sockets.
pub trait Io {
    /// A connection. The driver sets options, half-closes it and asks for its errors through its
    /// descriptor; it is closed when dropped.
    type Socket: AsDescriptor;
    /// A listener.
    type Listener;

    /// Takes a non-blocking stream, which may still be connecting, and reports its edges under
    /// this key from now on.
    ///
    /// # Errors
    /// Whatever the event loop says; the driver then gives the connection up.
    fn register(&mut self, key: usize, stream: TcpStream) -> io::Result<Self::Socket>;

    /// Takes a non-blocking listener, and reports under this key, as readable, that connections
    /// wait.
    ///
    /// # Errors
    /// Whatever the event loop says; the node then does not start.
    fn listen(&mut self, key: usize, listener: TcpListener) -> io::Result<Self::Listener>;

    /// Accepts one connection. When it answers `WouldBlock` it has made sure that the key becomes
    /// readable again.
    ///
    /// # Errors
    /// Those of the operating system; `WouldBlock` if nobody waits.
    fn accept(
        &mut self,
        key: usize,
        listener: &Self::Listener,
    ) -> io::Result<(TcpStream, SocketAddr)>;

    /// Reads once.
    ///
    /// # Errors
    /// Those of the operating system; `WouldBlock` if there is nothing.
    fn try_read(socket: &Self::Socket, buffer: &mut [u8]) -> io::Result<usize>;

    /// Writes once.
    ///
    /// # Errors
    /// Those of the operating system; `WouldBlock` if there is no room.
    fn try_write_vectored(socket: &Self::Socket, parts: &[IoSlice<'_>]) -> io::Result<usize>;

    /// After `WouldBlock`, or less read or written than asked for: see to it that this side's
    /// next edge is told. True if the side is known to be ready already.
    fn rearm(&mut self, key: usize, socket: &Self::Socket, side: Direction) -> bool;
}
