//! A port of the loopback interface that is nobody else's for as long as a test needs it, whether
//! somebody listens there or not.
//!
//! A port that was merely free a moment ago may be another test's by now: then somebody answers
//! where nobody should.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::ops::RangeInclusive;
use std::sync::{Mutex, PoisonError};

use socket2::{Domain, Socket, Type};

/// The ports in the bytes of `tests/fixtures/vectors`.
const NAMED: RangeInclusive<u16> = 47001..=47003;

/// The port. Whoever calls it is refused while nobody [listens](Self::listen).
#[derive(Debug)]
pub struct Reserved {
    socket: Socket,
}

impl Reserved {
    /// A free port.
    ///
    /// # Panics
    /// If there is none.
    #[allow(clippy::new_without_default)] // it takes something of the system's
    pub fn new() -> Self {
        Self { socket: bound(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))) }
    }

    /// The address of one that this process never gives back: who still dials it when its listener
    /// is gone is refused, and does not meet the next test. Nor is it one that vectors name, for
    /// whoever hears them dials those.
    ///
    /// # Panics
    /// If there is none.
    pub fn for_good() -> SocketAddr {
        static KEPT: Mutex<Vec<Reserved>> = Mutex::new(Vec::new());
        loop {
            let reserved = Self::new();
            let addr = reserved.addr();
            KEPT.lock().unwrap_or_else(PoisonError::into_inner).push(reserved);
            if !NAMED.contains(&addr.port()) {
                return addr;
            }
        }
    }

    /// Its address.
    ///
    /// # Panics
    /// If the system has lost it.
    pub fn addr(&self) -> SocketAddr {
        let addr = self.socket.local_addr().ok().and_then(|addr| addr.as_socket());
        addr.expect("a bound socket")
    }

    /// Listens there. When that ends callers are refused again, and the port stays reserved.
    ///
    /// # Panics
    /// If somebody listens there already.
    pub fn listen(&self) -> TcpListener {
        let socket = bound(self.addr());
        socket.listen(128).expect("loopback");
        socket.into()
    }
}

/// Two sockets may be bound to one address if both say so, and neither of them listens yet.
fn bound(addr: SocketAddr) -> Socket {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.set_reuse_address(true).expect("a socket");
    socket.bind(&addr.into()).expect("loopback");
    socket
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::ErrorKind;
    use std::net::TcpStream;

    #[test]
    fn an_address_for_good_is_not_given_out_again() {
        let addr = Reserved::for_good();
        let listener = TcpListener::bind(addr).unwrap();
        assert!(TcpStream::connect(addr).is_ok());
        drop(listener);
        let others: Vec<TcpListener> =
            (0..1_000).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        assert!(others.iter().all(|other| other.local_addr().unwrap() != addr));
        let refused = TcpStream::connect(addr).map_err(|error| error.kind());
        assert_eq!(refused.err(), Some(ErrorKind::ConnectionRefused));
    }

    #[test]
    fn a_reserved_port_refuses_until_somebody_listens_and_again_after() {
        let reserved = Reserved::new();
        let refused = || TcpStream::connect(reserved.addr()).map_err(|error| error.kind());
        assert_eq!(refused().err(), Some(ErrorKind::ConnectionRefused));
        let listener = reserved.listen();
        assert!(refused().is_ok());
        drop(listener);
        assert_eq!(refused().err(), Some(ErrorKind::ConnectionRefused));
        let others: Vec<Reserved> = (0..1_000).map(|_| Reserved::new()).collect();
        assert!(others.iter().all(|other| other.addr() != reserved.addr()));
    }
}
