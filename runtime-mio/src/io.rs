//! Sockets on a mio registry.
//!
//! Decides nothing: each socket is registered once, edge-triggered, for both sides, and never
//! again. The driver's keys are tokens from a base on, so that a caller's own tokens, and
//! those of further nodes, have room beside them.

use std::io::{self, IoSlice, Read, Write};
use std::net::SocketAddr;

use mio::net::{TcpListener, TcpStream};
use mio::{Interest, Registry, Token};
use peerline_runtime::{Direction, Io};

/// Tokens of one node. 2^24: eight million connections, more than a process has descriptors for.
const TOKENS: usize = 1 << 24;

/// The sockets of one node.
#[derive(Debug)]
pub struct Sockets {
    registry: Registry,
    base: usize,
}

impl Sockets {
    pub(crate) fn new(registry: Registry, base: Token) -> Self {
        Self { registry, base: base.0 }
    }

    /// The driver's key of a token; none if the token is not ours.
    pub(crate) fn key(&self, token: Token) -> Option<usize> {
        token.0.checked_sub(self.base).filter(|key| *key < TOKENS)
    }

    fn token(&self, key: usize) -> io::Result<Token> {
        let number = self.base.checked_add(key).filter(|_| key < TOKENS);
        number.map(Token).ok_or_else(|| io::Error::other("no token left"))
    }
}

impl Io for Sockets {
    type Socket = TcpStream;
    type Listener = TcpListener;

    fn register(&mut self, key: usize, stream: std::net::TcpStream) -> io::Result<TcpStream> {
        let mut stream = TcpStream::from_std(stream);
        let both = Interest::READABLE | Interest::WRITABLE;
        self.registry.register(&mut stream, self.token(key)?, both)?;
        Ok(stream)
    }

    fn listen(&mut self, key: usize, listener: std::net::TcpListener) -> io::Result<TcpListener> {
        let mut listener = TcpListener::from_std(listener);
        self.registry.register(&mut listener, self.token(key)?, Interest::READABLE)?;
        Ok(listener)
    }

    fn accept(
        &mut self,
        _key: usize,
        listener: &TcpListener,
    ) -> io::Result<(std::net::TcpStream, SocketAddr)> {
        let (stream, addr) = listener.accept()?;
        Ok((stream.into(), addr))
    }

    fn try_read(mut socket: &TcpStream, buffer: &mut [u8]) -> io::Result<usize> {
        socket.read(buffer)
    }

    fn try_write_vectored(mut socket: &TcpStream, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        // The plain call costs the kernel less, and most writes have one part.
        if let [part] = parts { socket.write(part) } else { socket.write_vectored(parts) }
    }

    /// Nothing to do: the next edge comes by itself.
    fn rearm(&mut self, _key: usize, _socket: &TcpStream, _side: Direction) -> bool {
        false
    }
}
