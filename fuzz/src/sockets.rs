//! Target `runtime_io`: the runtime's driver over sockets that do what a script says.
//!
//! Each call of the driver takes one byte of the script, so that reads, writes, accepts and edges
//! may be cut short, block, be interrupted or fail at any step. Nothing goes over a network: the
//! bytes lie ready in memory. Only the options of sockets are set on a real one, and the driver's
//! clock is real.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSlice};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use std::task::Waker;
use std::time::Duration;

use peerline_proto::testing::decode;
use peerline_proto::{Identity, NodeId};
use peerline_runtime::{
    Builder, Direction, Driver, Events, Handle, Io, Runtime, Setup, StartError,
};

use crate::input::Input;

/// Failed accepts in a run: so many in a row make the listener rest, for which nobody waits here.
const FAILED_ACCEPTS: u32 = 3;
/// Turns that end a run: far more than one byte at a time needs.
const TURNS: usize = 100_000;
/// Turns that may pass, busy, without a call to a socket: an edge too many costs one.
const IDLE_TURNS: u32 = 3;

/// What arrives is handed on, in order and once; what is written is whole lines; and the driver
/// sleeps when there is nothing to do.
///
/// Input: a byte for the peers, one for their messages, then the script.
pub fn runtime_io(input: &[u8]) {
    let mut input = Input::new(input);
    let peers = 1 + usize::from(input.byte() % 3);
    let messages = usize::from(input.byte() % 32);
    let stage = Arc::new(Mutex::new(Stage::new(peers, messages, input.rest())));
    let (mut bench, handle) = bench(&stage);
    bench.run_to_rest();
    let stats = handle.stats();
    bench.driver.turn();
    let stats = stats.wait().expect("the driver answers");
    check(&lock(&stage), messages, (stats.bytes_in, stats.bytes_out));
    handle.shutdown(Duration::ZERO).detach();
    for _ in 0..TURNS {
        bench.driver.turn();
        if bench.driver.is_stopped() {
            break;
        }
    }
    assert!(bench.driver.is_stopped(), "does not stop");
    assert!(lock(&stage).pipes.iter().all(|pipe| !pipe.held), "keeps a socket");
}

/// Everything between the driver and the script.
#[derive(Debug)]
struct Stage {
    script: VecDeque<u8>,
    pipes: Vec<Pipe>,
    /// How many have been accepted.
    accepted: usize,
    failed_accepts: u32,
    /// Calls of the driver.
    calls: usize,
    /// Bodies as the handler got them.
    got: Vec<String>,
}

/// One peer's connection.
#[derive(Debug)]
struct Pipe {
    to_read: VecDeque<u8>,
    read: u64,
    written: Vec<u8>,
    key: Option<usize>,
    /// The driver holds the socket.
    held: bool,
    /// The driver waits for these edges.
    waits: [bool; 2],
    /// It was cut short: by an error, or by its end.
    over: bool,
}

impl Stage {
    fn new(peers: usize, messages: usize, script: &[u8]) -> Self {
        Self {
            script: script.iter().copied().collect(),
            pipes: (0..peers).map(|peer| Pipe::new(peer, messages)).collect(),
            accepted: 0,
            failed_accepts: 0,
            calls: 0,
            got: Vec::new(),
        }
    }

    /// What the next call does; after the script's end everything works.
    fn step(&mut self) -> Step {
        self.calls += 1;
        let Some(byte) = self.script.pop_front() else { return Step::Most(usize::MAX) };
        match byte {
            0..=15 => Step::Most(1 + usize::from(byte)),
            16..=127 => Step::Most(usize::from(byte)),
            128..=167 => Step::Most(16 << (byte & 15)),
            168..=207 => Step::Fail(ErrorKind::WouldBlock),
            208..=231 => Step::Fail(ErrorKind::Interrupted),
            232..=247 => Step::Most(usize::MAX),
            248..=250 => Step::End,
            251 => Step::Fail(ErrorKind::ConnectionReset),
            252 => Step::Fail(ErrorKind::BrokenPipe),
            253 => Step::Fail(ErrorKind::TimedOut),
            254 => Step::Fail(ErrorKind::ConnectionAborted),
            255 => Step::Fail(ErrorKind::Other),
        }
    }

    fn accept(&mut self) -> io::Result<(TcpStream, SocketAddr)> {
        let step = self.step();
        if self.accepted == self.pipes.len() {
            return Err(ErrorKind::WouldBlock.into());
        }
        match step {
            Step::Fail(kind) if kind == ErrorKind::WouldBlock => Err(kind.into()),
            Step::Fail(kind) if self.failed_accepts < FAILED_ACCEPTS => {
                self.failed_accepts += 1;
                Err(kind.into())
            }
            Step::Fail(_) | Step::Most(_) | Step::End => {
                self.accepted += 1;
                let host = u8::try_from(self.accepted).unwrap_or_default();
                Ok((a_socket()?, SocketAddr::from(([192, 0, 2, host], 40_000))))
            }
        }
    }

    fn read(&mut self, number: usize, buffer: &mut [u8]) -> io::Result<usize> {
        let step = self.step();
        let pipe = &mut self.pipes[number];
        let most = match step {
            Step::Most(most) => most.min(buffer.len()),
            Step::Fail(kind) => return Err(pipe.fail(kind)),
            Step::End => {
                pipe.over = true;
                pipe.to_read.clear();
                return Ok(0);
            }
        };
        if pipe.to_read.is_empty() {
            return if pipe.over { Ok(0) } else { Err(ErrorKind::WouldBlock.into()) };
        }
        let count = most.min(pipe.to_read.len());
        for (place, byte) in buffer.iter_mut().zip(pipe.to_read.drain(..count)) {
            *place = byte;
        }
        pipe.read += count as u64;
        Ok(count)
    }

    fn write(&mut self, number: usize, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        let step = self.step();
        let pipe = &mut self.pipes[number];
        let most = match step {
            Step::Most(most) => most,
            Step::Fail(kind) => return Err(pipe.fail(kind)),
            Step::End => return Ok(0),
        };
        let before = pipe.written.len();
        let bytes = parts.iter().flat_map(|part| part.iter().copied());
        pipe.written.extend(bytes.take(most));
        Ok(pipe.written.len() - before)
    }
}

/// What a call does.
#[derive(Copy, Clone, Debug)]
enum Step {
    /// Moves at most so many bytes.
    Most(usize),
    Fail(ErrorKind),
    /// The other side ended its half; a write takes nothing.
    End,
}

impl Pipe {
    /// A peer that says hello and then broadcasts.
    fn new(peer: usize, messages: usize) -> Self {
        let id = NodeId::from_random_bytes([peer as u8 + 1; 16]);
        let mut lines = format!("{{\"msgtype\":\"hello\",\"nodeid\":\"{id}\",\"version\":1}}\n");
        for seq in 1..=messages {
            lines.push_str(&format!(
                "{{\"msgtype\":\"broadcast\",\"originator\":\"{id}\",\"epoch\":1,\"seq\":{seq},\
                 \"time\":0,\"kind\":\"NEWS\",\"msg\":{}}}\n",
                body(peer, seq)
            ));
        }
        Self {
            to_read: lines.into_bytes().into(),
            read: 0,
            written: Vec::new(),
            key: None,
            held: false,
            waits: [false; 2],
            over: false,
        }
    }

    fn fail(&mut self, kind: ErrorKind) -> io::Error {
        self.over |= !matches!(kind, ErrorKind::WouldBlock | ErrorKind::Interrupted);
        kind.into()
    }
}

fn body(peer: usize, seq: usize) -> String {
    format!("[{peer},{seq}]")
}

/// Nothing is lost, made up, or left behind.
fn check(stage: &Stage, messages: usize, (bytes_in, bytes_out): (u64, u64)) {
    let read: u64 = stage.pipes.iter().map(|pipe| pipe.read).sum();
    assert_eq!(bytes_in, read, "bytes read and bytes handed on");
    let written: usize = stage.pipes.iter().map(|pipe| pipe.written.len()).sum();
    assert_eq!(bytes_out, written as u64, "bytes taken and bytes reported");
    for (number, pipe) in stage.pipes.iter().enumerate() {
        let mine = format!("[{number},");
        let got: Vec<&String> = stage.got.iter().filter(|body| body.starts_with(&mine)).collect();
        let first: Vec<String> = (1..=got.len()).map(|seq| body(number, seq)).collect();
        assert!(got.into_iter().eq(&first), "out of order: {:?}", stage.got);
        if !pipe.over {
            assert!(pipe.to_read.is_empty(), "{} bytes are not read", pipe.to_read.len());
            assert_eq!(first.len(), messages, "messages of peer {number}");
            assert_eq!(pipe.written.last(), Some(&b'\n'), "half a line is written");
        }
        for line in pipe.written.split_inclusive(|byte| *byte == b'\n') {
            let whole = line.last() == Some(&b'\n');
            assert!(!whole || matches!(decode(line), Ok(Some(_))), "it says what is no line");
        }
    }
}

// ---- the event loop ----

#[derive(Debug)]
struct Fake {
    stage: Arc<Mutex<Stage>>,
    listener: Option<usize>,
}

/// A socket of the driver: a real one for its options, and the number of its pipe.
#[derive(Debug)]
struct Socket {
    stream: TcpStream,
    stage: Arc<Mutex<Stage>>,
    number: usize,
}

impl Drop for Socket {
    fn drop(&mut self) {
        lock(&self.stage).pipes[self.number].held = false;
    }
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
        let mut stage = lock(&self.stage);
        let number = stage.accepted - 1;
        let pipe = &mut stage.pipes[number];
        (pipe.key, pipe.held) = (Some(key), true);
        Ok(Socket { stream, stage: Arc::clone(&self.stage), number })
    }

    fn listen(&mut self, key: usize, listener: TcpListener) -> io::Result<TcpListener> {
        self.listener = Some(key);
        Ok(listener)
    }

    fn accept(&mut self, _: usize, _: &TcpListener) -> io::Result<(TcpStream, SocketAddr)> {
        lock(&self.stage).accept()
    }

    fn try_read(socket: &Socket, buffer: &mut [u8]) -> io::Result<usize> {
        lock(&socket.stage).read(socket.number, buffer)
    }

    fn try_write_vectored(socket: &Socket, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        lock(&socket.stage).write(socket.number, parts)
    }

    /// Some loops know at once, if there is more to read.
    fn rearm(&mut self, _: usize, socket: &Socket, side: Direction) -> bool {
        let mut stage = lock(&self.stage);
        let known = stage.script.pop_front().is_some_and(|byte| byte & 1 == 1);
        let pipe = &mut stage.pipes[socket.number];
        let ready = known && (side == Direction::Write || !pipe.to_read.is_empty());
        pipe.waits[side as usize] = !ready;
        ready
    }
}

/// The driver on the fake loop.
#[derive(Debug)]
struct Bench {
    driver: Driver<Fake>,
    stage: Arc<Mutex<Stage>>,
}

/// Only to have a [`Setup`]: the driver is made from it by hand.
struct Never;

impl Runtime for Never {
    type Events = Events;

    fn new(_: Setup) -> Result<(Self, Handle), StartError> {
        Err(io::Error::from(ErrorKind::Unsupported).into())
    }

    fn run(self) -> io::Result<()> {
        Ok(())
    }
}

fn bench(stage: &Arc<Mutex<Stage>>) -> (Bench, Handle) {
    let log = Arc::clone(stage);
    let setup = Builder::<Never>::new()
        .identity(Identity::new(NodeId::from_random_bytes([100; 16])))
        .seed([7; 32])
        .listen("127.0.0.1:0")
        .on("NEWS", move |_, message| lock(&log).got.push(message.body().to_owned()))
        .setup()
        .expect("settings that fit");
    let fake = Fake { stage: Arc::clone(stage), listener: None };
    let (driver, handle) = Driver::new(setup, fake, Waker::noop().clone()).expect("a port is free");
    (Bench { driver, stage: Arc::clone(stage) }, handle)
}

impl Bench {
    /// Turns until nobody waits for anything.
    fn run_to_rest(&mut self) {
        let (mut idle, mut calls) = (0, 0);
        for _ in 0..TURNS {
            let sleeps = self.driver.turn() != Some(Duration::ZERO);
            if sleeps && !self.tell_edges() {
                return;
            }
            if sleeps {
                continue;
            }
            let now = lock(&self.stage).calls;
            idle = if now == calls { idle + 1 } else { 0 };
            calls = now;
            assert!(idle <= IDLE_TURNS, "busy with nothing");
        }
        panic!("no rest after {TURNS} turns");
    }

    /// Tells the edges that the driver waits for and that would come; false if none would.
    fn tell_edges(&mut self) -> bool {
        let mut edges = Vec::new();
        let mut stage = lock(&self.stage);
        for pipe in stage.pipes.iter_mut().filter(|pipe| pipe.held) {
            let [reads, writes] = &mut pipe.waits;
            let readable = *reads && (!pipe.to_read.is_empty() || pipe.over);
            let edge = (readable, std::mem::take(writes));
            *reads &= !readable;
            edges.extend(pipe.key.filter(|_| edge != (false, false)).map(|key| (key, edge)));
        }
        let waiting = stage.accepted < stage.pipes.len();
        drop(stage);
        let listener = self.driver.io().listener.filter(|_| waiting);
        edges.extend(listener.map(|key| (key, (true, false))));
        for (key, (readable, writable)) in &edges {
            self.driver.ready(*key, *readable, *writable);
        }
        !edges.is_empty()
    }
}

/// A real socket, on which the driver sets options. All are one, made once.
fn a_socket() -> io::Result<TcpStream> {
    static SOCKET: OnceLock<(TcpStream, TcpListener)> = OnceLock::new();
    let (socket, _) = SOCKET.get_or_init(|| {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let addr = listener.local_addr().expect("it is bound");
        (TcpStream::connect(addr).expect("somebody listens"), listener)
    });
    socket.try_clone()
}

fn lock(stage: &Arc<Mutex<Stage>>) -> MutexGuard<'_, Stage> {
    stage.lock().expect("nobody panics and goes on")
}
