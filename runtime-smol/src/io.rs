//! Sockets on smol's reactor.
//!
//! Decides nothing: each side of a socket has a waker that notes the edge and wakes the task which
//! drives the node. The reactor may answer a question about readiness once from memory, so a
//! question answered with "ready" is asked again before it is believed.

use std::io::{self, IoSlice, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::task::{Context, Poll, Waker};

use peerline_runtime::{Bell, Direction, Io, Wakers};
use smol::Async;

/// How often a side is asked whether it is ready before a "ready" is believed. The first answer
/// may be stale; three is one to spare.
const ASK: usize = 3;

/// The sockets of one node.
#[derive(Debug)]
pub struct Sockets {
    wakers: Wakers,
}

impl Sockets {
    pub(crate) fn new(bell: &Bell) -> Self {
        Self { wakers: Wakers::new(bell) }
    }
}

impl Io for Sockets {
    type Socket = Async<TcpStream>;
    type Listener = Async<TcpListener>;

    fn register(&mut self, _key: usize, stream: TcpStream) -> io::Result<Async<TcpStream>> {
        Async::new_nonblocking(stream)
    }

    fn listen(&mut self, _key: usize, listener: TcpListener) -> io::Result<Async<TcpListener>> {
        Async::new_nonblocking(listener)
    }

    fn accept(
        &mut self,
        key: usize,
        listener: &Async<TcpListener>,
    ) -> io::Result<(TcpStream, SocketAddr)> {
        let accepted = listener.get_ref().accept();
        if accepted.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock) {
            let waker = self.wakers.of(key, Direction::Read);
            if is_ready(&waker, |cx| listener.poll_readable(cx)) {
                // Ready although nobody waited: better asked again than waited for in vain.
                waker.wake();
            }
        }
        accepted
    }

    fn try_read(socket: &Async<TcpStream>, buffer: &mut [u8]) -> io::Result<usize> {
        socket.get_ref().read(buffer)
    }

    fn try_write_vectored(socket: &Async<TcpStream>, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut socket = socket.get_ref();
        // The plain call costs the kernel less, and most writes have one part.
        if let [part] = parts { socket.write(part) } else { socket.write_vectored(parts) }
    }

    fn rearm(&mut self, key: usize, socket: &Async<TcpStream>, side: Direction) -> bool {
        let waker = self.wakers.of(key, side);
        match side {
            Direction::Read => is_ready(&waker, |cx| socket.poll_readable(cx)),
            Direction::Write => is_ready(&waker, |cx| socket.poll_writable(cx)),
        }
    }
}

/// Asks until the answer is "not yet", which leaves the waker behind. True if it never is; an
/// error counts as ready, for the next read or write will find it.
fn is_ready(waker: &Waker, mut ask: impl FnMut(&mut Context<'_>) -> Poll<io::Result<()>>) -> bool {
    let mut cx = Context::from_waker(waker);
    (0..ASK).all(|_| ask(&mut cx).is_ready())
}
