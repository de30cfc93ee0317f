//! An echo on mio and nothing else: what a loop of its own costs.

use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::thread::spawn;

use peerline_mio::mio::net::{TcpListener, TcpStream};
use peerline_mio::mio::{Events, Interest, Poll, Token, Waker};

use super::{LINE, PATIENCE, Samples};

const SOCKET: Token = Token(0);
const WAKER: Token = Token(1);

pub(super) fn serve() {
    let (mut poll, mut events) = (Poll::new().unwrap(), Events::with_capacity(64));
    let mut listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    println!("at {}", listener.local_addr().unwrap());
    poll.registry().register(&mut listener, SOCKET, Interest::READABLE).unwrap();
    poll.poll(&mut events, Some(PATIENCE)).unwrap();
    let (socket, _) = listener.accept().unwrap();
    let mut line = Line::new(poll, socket);
    loop {
        line.wait();
        line.write();
    }
}

/// The loop's own thread asks.
pub(super) fn ask(to: &str, mut samples: Samples) -> Samples {
    let mut line = Line::dial(to);
    loop {
        samples.ask();
        line.write();
        line.wait();
        if !samples.answered() {
            return samples;
        }
    }
}

/// Another thread asks: by a channel and a waker there, by a channel back.
pub(super) fn ask_from_thread(to: &str, mut samples: Samples) -> Samples {
    let mut line = Line::dial(to);
    let waker = Arc::new(Waker::new(line.poll.registry(), WAKER).unwrap());
    let (command, commands) = channel();
    let (answer, answers) = channel();
    spawn(move || {
        loop {
            let woken = line.wait();
            if woken == WAKER {
                commands.try_iter().for_each(|()| line.write());
            } else if answer.send(()).is_err() {
                return;
            }
        }
    });
    loop {
        samples.ask();
        command.send(()).unwrap();
        waker.wake().unwrap();
        answers.recv_timeout(PATIENCE).unwrap();
        if !samples.answered() {
            return samples;
        }
    }
}

/// A connection whose lines all have one length.
struct Line {
    poll: Poll,
    events: Events,
    socket: TcpStream,
    bytes: [u8; LINE],
    have: usize,
}

impl Line {
    fn dial(to: &str) -> Self {
        let socket = std::net::TcpStream::connect(to).unwrap();
        socket.set_nonblocking(true).unwrap();
        Self::new(Poll::new().unwrap(), TcpStream::from_std(socket))
    }

    fn new(poll: Poll, mut socket: TcpStream) -> Self {
        socket.set_nodelay(true).unwrap();
        poll.registry().register(&mut socket, SOCKET, Interest::READABLE).unwrap();
        Self { poll, events: Events::with_capacity(64), socket, bytes: [b'x'; LINE], have: 0 }
    }

    fn write(&mut self) {
        assert_eq!(self.socket.write(&self.bytes).unwrap(), LINE); // alone in an empty buffer
    }

    /// Waits for a whole line, or for the waker.
    fn wait(&mut self) -> Token {
        loop {
            self.poll.poll(&mut self.events, Some(PATIENCE)).unwrap();
            assert!(!self.events.is_empty(), "no answer");
            if self.events.iter().any(|event| event.token() == WAKER) {
                return WAKER;
            }
            if self.is_whole() {
                return SOCKET;
            }
        }
    }

    fn is_whole(&mut self) -> bool {
        let mut any = false;
        loop {
            match self.socket.read(&mut self.bytes[self.have..]) {
                Ok(0) => std::process::exit(0), // the other side is done
                Ok(count) => (any, self.have) = (true, (self.have + count) % LINE),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    return any && self.have == 0;
                }
                Err(_) => std::process::exit(0),
            }
        }
    }
}
