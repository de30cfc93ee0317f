//! The driver with sockets that misbehave: a fake event loop on one thread, whose reads, writes
//! and accepts do what the test says. It tells every key as ready before each turn, which any
//! driver must bear. Waits are for a condition, with a deadline; nothing sleeps.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::VecDeque;
use std::io::{self, IoSlice, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Waker;
use std::thread;
use std::time::{Duration, Instant};

use peerline_proto::{CloseReason, Event, NodeId, PeerId, TransportError};
use socket2::{Domain, Type};

use super::Driver;
use crate::io::{AsDescriptor, Direction, Io};
use crate::{Builder, CommandError, Events, Handle, Runtime, SendError, Setup, StartError};

/// How long a test waits for what must happen.
const PATIENCE: Duration = Duration::from_secs(20);

/// What goes wrong.
#[derive(Default)]
struct Faults {
    /// Errors that `accept` gives first.
    accept: VecDeque<io::Error>,
    /// Most bytes one write takes; 0 means any.
    write_most: usize,
    /// Every how many reads and writes say `WouldBlock`; 0 means none.
    block_every: usize,
    calls: usize,
    /// How many reads say `WouldBlock` before one is done.
    reads_blocked: usize,
    /// Writes fail with this.
    write_error: Option<io::ErrorKind>,
}

impl Faults {
    fn blocks(&mut self) -> bool {
        self.calls += 1;
        self.block_every != 0 && self.calls % self.block_every == 0
    }
}

type Shared = Arc<Mutex<Faults>>;

struct Fake {
    faults: Shared,
    keys: Vec<usize>,
}

struct Socket {
    stream: TcpStream,
    faults: Shared,
}

#[cfg(unix)]
impl std::os::fd::AsFd for Socket {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

#[cfg(windows)]
impl std::os::windows::io::AsSocket for Socket {
    fn as_socket(&self) -> std::os::windows::io::BorrowedSocket<'_> {
        self.stream.as_socket()
    }
}

impl Io for Fake {
    type Socket = Socket;
    type Listener = TcpListener;

    fn register(&mut self, key: usize, stream: TcpStream) -> io::Result<Socket> {
        self.keys.push(key);
        Ok(Socket { stream, faults: Arc::clone(&self.faults) })
    }

    fn listen(&mut self, key: usize, listener: TcpListener) -> io::Result<TcpListener> {
        self.keys.push(key);
        Ok(listener)
    }

    fn accept(
        &mut self,
        _key: usize,
        listener: &TcpListener,
    ) -> io::Result<(TcpStream, SocketAddr)> {
        match self.faults.lock().unwrap().accept.pop_front() {
            Some(error) => Err(error),
            None => listener.accept(),
        }
    }

    fn try_read(socket: &Socket, buffer: &mut [u8]) -> io::Result<usize> {
        let mut faults = socket.faults.lock().unwrap();
        if faults.reads_blocked > 0 {
            faults.reads_blocked -= 1;
            return Err(io::ErrorKind::WouldBlock.into());
        }
        if faults.blocks() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        (&socket.stream).read(buffer)
    }

    fn try_write_vectored(socket: &Socket, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut faults = socket.faults.lock().unwrap();
        if let Some(kind) = faults.write_error {
            return Err(kind.into());
        }
        if faults.blocks() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        if faults.write_most == 0 {
            return (&socket.stream).write_vectored(parts);
        }
        let bytes: Vec<u8> = parts.iter().flat_map(|part| part.iter().copied()).collect();
        (&socket.stream).write(&bytes[..bytes.len().min(faults.write_most)])
    }

    fn rearm(&mut self, _key: usize, socket: &Socket, _side: Direction) -> bool {
        fn has_descriptor<S: AsDescriptor>(_: &S) {}
        has_descriptor(socket);
        false
    }
}

/// A node on the fake loop.
struct Bench {
    driver: Driver<Fake>,
}

impl Runtime for Bench {
    type Events = Events;

    fn new(setup: Setup) -> Result<(Self, Handle), StartError> {
        let fake = Fake { faults: Shared::default(), keys: Vec::new() };
        let (driver, handle) = Driver::new(setup, fake, Waker::noop().clone())?;
        Ok((Self { driver }, handle))
    }

    fn run(mut self) -> io::Result<()> {
        while !self.driver.is_stopped() {
            self.turn();
        }
        Ok(())
    }
}

impl Bench {
    fn turn(&mut self) -> Option<Duration> {
        let keys = self.driver.io().keys.clone();
        for key in keys {
            self.driver.ready(key, true, true);
        }
        self.driver.turn()
    }

    fn faults(&mut self) -> Shared {
        Arc::clone(&self.driver.io().faults)
    }

    fn peers(&self) -> usize {
        self.driver.node.peer_count()
    }
}

fn builder() -> Builder<Bench> {
    Builder::new().listen("127.0.0.1:0")
}

/// Turns the nodes until the condition holds.
fn spin(nodes: &mut [&mut Bench], mut done: impl FnMut(&[&mut Bench]) -> bool) {
    let begun = Instant::now();
    while !done(nodes) {
        assert!(begun.elapsed() < PATIENCE, "it did not happen in time");
        for node in nodes.iter_mut() {
            node.turn();
        }
        thread::yield_now();
    }
}

/// Two nodes that know each other.
fn pair(first: Builder<Bench>, second: Builder<Bench>) -> [(Bench, Handle); 2] {
    let (mut a, a_handle) = first.build().unwrap();
    let second = second.bootstrap(a_handle.local_addrs());
    let (mut b, b_handle) = second.build().unwrap();
    spin(&mut [&mut a, &mut b], |nodes| nodes.iter().all(|node| node.peers() == 1));
    [(a, a_handle), (b, b_handle)]
}

/// Counts calls of a handler.
fn counter() -> (Arc<AtomicUsize>, impl Fn() -> usize) {
    let count = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&count);
    (count, move || seen.load(Ordering::SeqCst))
}

/// A body of 200,000 bytes arrives whole although the sockets take it in `faults`' pieces.
fn check_large_message(set: impl Fn(&mut Faults)) {
    let body = "x".repeat(200_000);
    let (count, seen) = counter();
    let expected = format!("\"{body}\"");
    let first = builder().on("BIG", move |_, message| {
        assert_eq!(message.body(), expected);
        count.fetch_add(1, Ordering::SeqCst);
    });
    let [(mut a, _a), (mut b, b_handle)] = pair(first, builder());
    set(&mut a.faults().lock().unwrap());
    set(&mut b.faults().lock().unwrap());
    b_handle.broadcast("BIG", &body).detach();
    spin(&mut [&mut a, &mut b], |_| seen() == 1);
}

#[test]
fn a_large_message_arrives_through_partial_writes() {
    check_large_message(|faults| faults.write_most = 777);
}

#[test]
fn a_large_message_arrives_through_sockets_that_block() {
    check_large_message(|faults| {
        faults.write_most = 5000;
        faults.block_every = 2;
    });
}

#[test]
fn a_node_without_descriptors_accepts_later() {
    let (mut a, a_handle) = builder().build().unwrap();
    let emfile = || io::Error::from_raw_os_error(if cfg!(windows) { 10024 } else { 24 });
    a.faults().lock().unwrap().accept =
        VecDeque::from([io::ErrorKind::ConnectionAborted.into(), emfile(), emfile()]);
    a.turn();
    let sleep = a.turn().unwrap();
    assert!(sleep > Duration::ZERO && sleep <= Duration::from_millis(100), "{sleep:?}");
    let (mut b, _b) = builder().bootstrap(a_handle.local_addrs()).build().unwrap();
    spin(&mut [&mut a, &mut b], |nodes| nodes.iter().all(|node| node.peers() == 1));
    assert!(a.faults().lock().unwrap().accept.is_empty());
}

#[test]
fn a_failed_dial_is_told() {
    // Bound, and nobody listens: no other test is given the port.
    let bound = socket2::Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    bound.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    let free = bound.local_addr().unwrap().as_socket().unwrap();
    let (builder, mut events) = builder().events();
    let (mut node, handle) = builder.build().unwrap();
    handle.dial(free).detach();
    let mut told = None;
    spin(&mut [&mut node], |_| {
        told = events.try_next();
        told.is_some()
    });
    let Some(Event::ConnectionFailed { addr, reason, .. }) = told else { panic!("{told:?}") };
    assert_eq!(addr, free);
    assert_eq!(reason, CloseReason::Transport(TransportError::Refused));
}

#[test]
fn a_panicking_handler_is_counted_and_the_others_live() {
    let (count, seen) = counter();
    let first = builder().on("NEWS", |_, _| panic!("on purpose")).on("NEWS", move |_, _| {
        count.fetch_add(1, Ordering::SeqCst);
    });
    let [(mut a, a_handle), (mut b, b_handle)] = pair(first, builder());
    for _ in 0..3 {
        b_handle.broadcast("NEWS", &1).detach();
    }
    spin(&mut [&mut a, &mut b], |_| seen() == 3);
    a_handle.with(|_| panic!("on purpose")).detach();
    a.turn();
    assert_eq!(a.driver.node.stats().handler_panics, 4);
}

#[test]
fn what_no_handler_takes_is_counted_or_goes_to_otherwise() {
    let (count, seen) = counter();
    let first = builder().otherwise(move |_, event| {
        if let Event::Message(message) = event {
            assert_eq!(message.kind(), "ODD");
            count.fetch_add(1, Ordering::SeqCst);
        }
    });
    let [(mut a, a_handle), (mut b, b_handle)] = pair(first, builder());
    b_handle.broadcast("ODD", &1).detach();
    spin(&mut [&mut a, &mut b], |_| seen() == 1);
    assert_eq!(a.driver.node.stats().unknown_kinds, 0);
    a_handle.broadcast("ODD", &1).detach();
    spin(&mut [&mut a, &mut b], |nodes| {
        nodes.iter().any(|node| node.driver.node.stats().unknown_kinds == 1)
    });
}

#[test]
fn an_answer_of_a_handler_leaves_in_the_same_turn() {
    let (count, seen) = counter();
    let first = builder().on_request("PING", move |_, _, responder| {
        count.fetch_add(1, Ordering::SeqCst);
        responder.finish(&1).detach();
    });
    let [(mut a, a_handle), (mut b, b_handle)] = pair(first, builder());
    for times in 1..=3 {
        b_handle.request(a_handle.id(), "PING", &1, PATIENCE).detach();
        b.turn();
        spin(&mut [&mut a], |_| seen() == times);
        let sent = a.driver.node.stats().bytes_out;
        a.turn();
        assert_eq!(a.driver.node.stats().bytes_out, sent, "nothing was left over");
    }
}

#[test]
fn commands_of_eight_threads_are_all_answered() {
    let (node, handle) = builder().build().unwrap();
    let running = thread::spawn(move || node.run());
    let threads: Vec<_> = (0..8)
        .map(|_| {
            let handle = handle.clone();
            thread::spawn(move || (0..500).all(|_| handle.broadcast("NEWS", &1).wait().is_ok()))
        })
        .collect();
    assert!(threads.into_iter().all(|thread| thread.join().unwrap()));
    assert!(handle.shutdown(Duration::from_secs(1)).wait().is_ok());
    running.join().unwrap().unwrap();
    assert_eq!(handle.peers().wait(), Err(CommandError::Stopped));
}

#[test]
fn a_full_command_queue_is_busy_and_then_done() {
    let (mut node, handle) = builder().build().unwrap();
    let waiting: Vec<_> = (0..crate::remote::COMMANDS).map(|_| handle.stats()).collect();
    let busy = CommandError::Busy { what: "commands", waiting: 1024, limit: 1024 };
    assert_eq!(handle.stats().wait(), Err(busy));
    node.turn();
    assert!(waiting.into_iter().all(|pending| pending.wait().is_ok()));
}

#[test]
fn waiting_in_a_handler_would_deadlock() {
    let (count, seen) = counter();
    let (mut node, _handle) = builder()
        .every(Duration::from_millis(1), move |cx| {
            let answer = cx.handle().stats().wait();
            assert_eq!(answer, Err(CommandError::WouldDeadlock));
            count.fetch_add(1, Ordering::SeqCst);
        })
        .build()
        .unwrap();
    spin(&mut [&mut node], |_| seen() == 2);
    assert_eq!(node.driver.node.stats().handler_panics, 0);
}

#[test]
fn a_command_for_nobody_has_a_plain_error() {
    let (mut node, handle) = builder().build().unwrap();
    let sent = handle.send(NodeId::from_random_bytes([1; 16]), "NEWS", &1);
    node.turn();
    assert!(matches!(sent.wait(), Err(SendError::NotConnected)));
}

#[test]
fn the_last_handle_dropped_stops_the_node() {
    let [(mut a, a_handle), (mut b, b_handle)] = pair(builder(), builder());
    drop(a_handle);
    spin(&mut [&mut a, &mut b], |nodes| nodes[0].driver.is_stopped());
    spin(&mut [&mut b], |nodes| nodes[0].peers() == 0);
    assert!(!b.driver.is_stopped());
    let stopped = b_handle.stopped();
    drop(b);
    assert_eq!(stopped.wait(), Ok(()));
}

#[test]
fn a_peer_that_says_bye_and_cannot_be_written_to_is_heard() {
    let (builder_a, mut events) = builder().events();
    let [(mut a, a_handle), (mut b, b_handle)] = pair(builder_a, builder());
    let b_id = PeerId::from(b_handle.id());
    b_handle.shutdown(Duration::from_millis(1)).detach();
    spin(&mut [&mut b], |nodes| nodes[0].driver.is_stopped());
    a.faults().lock().unwrap().write_error = Some(io::ErrorKind::BrokenPipe);
    a.faults().lock().unwrap().reads_blocked = 1;
    a_handle.broadcast("NEWS", &1).detach();
    let mut down = None;
    spin(&mut [&mut a], |_| {
        down = events.try_next().filter(|event| matches!(event, Event::PeerDown { .. }));
        down.is_some()
    });
    let Some(Event::PeerDown { peer, reason, .. }) = down else { panic!("{down:?}") };
    assert_eq!(peer, b_id);
    assert!(matches!(reason, CloseReason::Goodbye(_)), "{reason:?}");
}

#[test]
fn an_unread_stream_stops_the_sender_and_loses_nothing() {
    let (builder_a, mut events) = builder().events();
    let [(mut a, _a), (mut b, b_handle)] = pair(builder_a, builder());
    let body = "x".repeat(100_000);
    let (mut queued, mut told) = (0, 0);
    let begun = Instant::now();
    // Until the brake is felt at the sending end.
    loop {
        let receipt = b_handle.broadcast("BIG", &body);
        b.turn();
        // Enough turns to read as much as is sent in one.
        for _ in 0..4 {
            a.turn();
        }
        let receipt = receipt.wait().unwrap();
        queued += receipt.queued;
        if receipt.skipped > 0 {
            break;
        }
        assert!(begun.elapsed() < PATIENCE && queued < 1_000, "no brake after {queued}");
    }
    let mut take = || {
        let messages = std::iter::from_fn(|| events.try_next());
        told += messages.filter(|event| matches!(event, Event::Message(_))).count();
        told
    };
    // No edge is told: the driver remembers what the pause left unread.
    let before = a.driver.node.stats().delivered;
    for _ in 0..10 {
        take();
        a.driver.turn();
    }
    assert!(a.driver.node.stats().delivered > before);
    spin(&mut [&mut a, &mut b], |_| take() == queued);
}
