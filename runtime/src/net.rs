//! Sockets as the operating system makes them: options, listening, dialling, errors.
//!
//! Decides the options every socket gets and what each of the system's errors means to the node.
//! It never reads, writes or waits. The few error numbers that std has no stable name for are
//! written out here, which spares a dependency on the C library's names.

use std::io::{self, ErrorKind};
use std::net::{Ipv6Addr, SocketAddr, TcpListener, TcpStream};

use peerline_proto::TransportError;
use socket2::{Domain, Protocol, SockRef, Socket, Type};

use crate::io::AsDescriptor;

/// Connections the system may hold until we accept them. 1024: a second of joins at a busy
/// bootstrap; the system cuts it to its own bound.
const BACKLOG: i32 = 1024;

/// Bytes not yet sent that the kernel takes from us: what is beyond stays in the node's queues,
/// where a ping still overtakes a broadcast. 128 KiB is 1 ms of a gigabit link.
#[cfg(any(target_os = "android", target_os = "linux"))]
const NOTSENT_LOWAT: u32 = 128 * 1024;

#[cfg(unix)]
const EMFILE: i32 = 24;
#[cfg(unix)]
const ENFILE: i32 = 23;
#[cfg(any(target_os = "android", target_os = "linux"))]
const ENOBUFS: i32 = 105;
#[cfg(all(unix, not(any(target_os = "android", target_os = "linux"))))]
const ENOBUFS: i32 = 55;
/// A dial under way; the numbers of Linux, of the BSDs, and of the Solaris family.
#[cfg(unix)]
const EINPROGRESS: [i32; 3] = [115, 36, 150];

#[cfg(windows)]
const EMFILE: i32 = 10024;
#[cfg(windows)]
const ENFILE: i32 = EMFILE;
#[cfg(windows)]
const ENOBUFS: i32 = 10055;
#[cfg(windows)]
const EINPROGRESS: [i32; 1] = [10036];

/// A listener at this address, bound and non-blocking. `only_v6` keeps an unspecified IPv6
/// address from taking IPv4 connections too.
pub(crate) fn bind(addr: SocketAddr, only_v6: bool) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    if addr.is_ipv6() {
        socket.set_only_v6(only_v6)?;
    }
    // On Windows the option would let others take the port from us.
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&addr.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Whether the listener at `addr` must leave IPv4 alone, because the same port is asked for on
/// IPv4 separately.
pub(crate) fn only_v6(addr: SocketAddr, all: &[SocketAddr]) -> bool {
    let unspecified = addr.ip() == Ipv6Addr::UNSPECIFIED;
    let same_port = |other: &SocketAddr| other.is_ipv4() && other.port() == addr.port();
    unspecified && addr.port() != 0 && all.iter().any(same_port)
}

/// Starts a dial; the stream is connecting, or connected already.
pub(crate) fn dial(addr: SocketAddr) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    match socket.connect(&addr.into()) {
        Ok(()) => {}
        Err(error) if under_way(&error) => {}
        Err(error) => return Err(error),
    }
    Ok(socket.into())
}

/// The options of every connection. Each is an improvement only, so an error is no reason to
/// give the connection up.
pub(crate) fn set_options<S: AsDescriptor>(socket: &S) {
    let socket = SockRef::from(socket);
    socket.set_tcp_nodelay(true).ok();
    #[cfg(any(target_os = "android", target_os = "linux"))]
    socket.set_tcp_notsent_lowat(NOTSENT_LOWAT).ok();
}

/// Whether a dial has come to its end; an error if that was a bad one.
pub(crate) fn dial_ended<S: AsDescriptor>(socket: &S) -> io::Result<bool> {
    let socket = SockRef::from(socket);
    if let Some(error) = socket.take_error()? {
        return Err(error);
    }
    match socket.peer_addr() {
        Ok(_) => Ok(true),
        // Windows and macOS say `InvalidInput` for a dial under way.
        Err(error) if matches!(error.kind(), ErrorKind::NotConnected | ErrorKind::InvalidInput) => {
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

/// Our own end of a connection.
pub(crate) fn local_addr<S: AsDescriptor>(socket: &S) -> Option<SocketAddr> {
    SockRef::from(socket).local_addr().ok()?.as_socket()
}

/// Shuts down the writing half. If the connection is gone, reading tells.
pub(crate) fn finish<S: AsDescriptor>(socket: &S) {
    SockRef::from(socket).shutdown(std::net::Shutdown::Write).ok();
}

fn under_way(error: &io::Error) -> bool {
    error.kind() == ErrorKind::WouldBlock
        || error.raw_os_error().is_some_and(|number| EINPROGRESS.contains(&number))
}

/// Whether the system has no descriptors or memory left: waiting helps, trying again at once
/// does not.
pub(crate) fn exhausted(error: &io::Error) -> bool {
    let number = error.raw_os_error();
    error.kind() == ErrorKind::OutOfMemory
        || number.is_some_and(|number| [EMFILE, ENFILE, ENOBUFS].contains(&number))
}

/// What an error of the system means to the node.
pub fn transport_error(error: &io::Error) -> TransportError {
    if exhausted(error) {
        return TransportError::Exhausted;
    }
    #[allow(clippy::wildcard_enum_match_arm)] // std's enum: what has no name here is `Other`
    match error.kind() {
        ErrorKind::ConnectionRefused => TransportError::Refused,
        ErrorKind::ConnectionReset
        | ErrorKind::ConnectionAborted
        | ErrorKind::BrokenPipe
        | ErrorKind::NotConnected => TransportError::Reset,
        ErrorKind::UnexpectedEof => TransportError::Eof,
        ErrorKind::TimedOut => TransportError::TimedOut,
        ErrorKind::HostUnreachable
        | ErrorKind::NetworkUnreachable
        | ErrorKind::NetworkDown
        | ErrorKind::AddrNotAvailable => TransportError::Unreachable,
        _ => TransportError::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_the_system_have_a_meaning() {
        let check = |error: io::Error, expected| assert_eq!(transport_error(&error), expected);
        check(ErrorKind::ConnectionRefused.into(), TransportError::Refused);
        check(ErrorKind::BrokenPipe.into(), TransportError::Reset);
        check(ErrorKind::PermissionDenied.into(), TransportError::Other);
        check(io::Error::from_raw_os_error(EMFILE), TransportError::Exhausted);
        check(io::Error::from_raw_os_error(ENFILE), TransportError::Exhausted);
        check(io::Error::from_raw_os_error(ENOBUFS), TransportError::Exhausted);
    }

    #[test]
    fn both_families_listen_at_one_port_when_both_are_asked_for() {
        let all = ["0.0.0.0:7".parse().ok(), "[::]:7".parse().ok(), "[::]:8".parse().ok()];
        let all: Vec<SocketAddr> = all.into_iter().flatten().collect();
        let kept: Vec<bool> = all.iter().map(|addr| only_v6(*addr, &all)).collect();
        assert_eq!(kept, [false, true, false]);
    }

    #[test]
    fn a_dial_to_a_listener_ends_well() -> io::Result<()> {
        let listener = bind("127.0.0.1:0".parse().map_err(io::Error::other)?, false)?;
        let stream = dial(listener.local_addr()?)?;
        while !dial_ended(&stream)? {
            std::thread::yield_now();
        }
        set_options(&stream);
        Ok(())
    }
}
