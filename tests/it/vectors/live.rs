//! The vectors on real sockets, against a node of each runtime.
//!
//! The bytes of the vectors name ports 47001 to 47003 at 127.0.0.1. A guest is dialled at the port
//! it names, but where it speaks from; so each bench speaks from a loopback address of its own, and
//! needs no port that another test may hold.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use peerline_proto::NakCode;
use peerline_runtime::{Builder, Handle, Runtime};
use peerline_testkit::reserved::Reserved;
use peerline_testkit::vectors::{Bench, End, File, Reaction, Then, answer_of, replay};
use socket2::{Domain, Socket, Type};

const PORTS: [u16; 2] = [47001, 47002];
/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long it is looked whether more comes than was due, and between two segments.
const QUIET: Duration = Duration::from_millis(20);
/// The patience of one read.
const LOOK: Duration = Duration::from_millis(5);

#[test]
fn every_vector_is_answered_as_its_file_demands_on_mio() {
    replay_all::<peerline_mio::Runner>(1);
}

#[test]
fn every_vector_is_answered_as_its_file_demands_on_smol() {
    replay_all::<peerline_smol::Runner>(2);
}

fn replay_all<R: Runtime>(number: u8) {
    for name in ["article", "btpeer", "chat"] {
        replay(&mut Live::start::<R>(number), &File::read(name), &[]);
    }
}

/// A running node, and the address from which peers speak to it.
struct Live {
    handle: Handle,
    ip: IpAddr,
    listeners: BTreeMap<u16, TcpListener>,
}

impl Live {
    fn start<R: Runtime>(number: u8) -> Self {
        let mut builder = Builder::<R>::new().listen(Reserved::for_good());
        for kind in ["QUER", "FGET"] {
            builder = builder.on_request(kind, move |_, request, responder| {
                let text: String = request.parse().unwrap();
                let done = match answer_of(kind, &text) {
                    Some((kind, text)) => responder.finish_as(kind, &text),
                    None => responder.refuse(NakCode::Refused),
                };
                done.detach();
            });
        }
        let handle = builder.start().unwrap();
        let [.., high, low] = std::process::id().to_be_bytes();
        let ip = IpAddr::V4(Ipv4Addr::new(127, 128 | high, low, number));
        Self { handle, ip, listeners: BTreeMap::new() }
    }

    fn connect(&self) -> TcpStream {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::new(self.ip, 0).into()).unwrap();
        socket.connect(&self.handle.local_addrs()[0].into()).unwrap();
        let stream = TcpStream::from(socket);
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(LOOK)).unwrap();
        stream
    }

    /// Takes what comes, for a moment.
    fn look(&mut self, stream: Option<&mut TcpStream>, reaction: &mut Reaction) {
        for (port, listener) in &self.listeners {
            while let Ok((caller, _)) = listener.accept() {
                let said = read_all(caller);
                reaction.messages.entry(*port).or_default().push(said);
            }
        }
        let mut buffer = [0; 4096];
        match stream.filter(|_| reaction.end == End::Open).map(|stream| stream.read(&mut buffer)) {
            Some(Ok(0)) => reaction.end = End::Eof,
            Some(Ok(count)) => reaction.reply.extend_from_slice(&buffer[..count]),
            Some(Err(error)) if is_timeout(error.kind()) => {}
            Some(Err(_)) => reaction.end = End::Reset,
            None => {}
        }
    }

    /// Waits until the node shows what is asked.
    fn await_that(&self, what: &str, is: impl Fn(&Handle) -> bool) {
        let end = Instant::now() + PATIENCE;
        while !is(&self.handle) {
            assert!(Instant::now() < end, "{what}");
            std::thread::yield_now();
        }
    }
}

fn is_timeout(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}

/// All that somebody says who called.
fn read_all(mut caller: TcpStream) -> Vec<u8> {
    caller.set_nonblocking(false).unwrap();
    caller.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut said = Vec::new();
    caller.read_to_end(&mut said).expect("a call ends in order");
    said
}

impl Bench for Live {
    fn play(
        &mut self,
        segments: &[&[u8]],
        then: Then,
        done: &dyn Fn(&Reaction) -> bool,
    ) -> Reaction {
        for port in PORTS {
            self.listeners.entry(port).or_insert_with(|| {
                let listener = TcpListener::bind((self.ip, port)).unwrap();
                listener.set_nonblocking(true).unwrap();
                listener
            });
        }
        let mut stream = Some(self.connect());
        let mut reaction = Reaction::default();
        for segment in segments {
            let said = stream.as_mut().map(|stream| stream.write_all(segment));
            // A node that has had enough may have closed.
            let _lost = said;
            let quiet = Instant::now() + QUIET;
            while segments.len() > 1 && Instant::now() < quiet {
                self.look(stream.as_mut(), &mut reaction);
            }
        }
        match (then, &stream) {
            (Then::Keep, _) | (_, None) => {}
            (Then::Shutdown, Some(stream)) => {
                // It may be closed already.
                let _closed = stream.shutdown(Shutdown::Write);
            }
            (Then::Close, Some(_)) => stream = None,
        }
        let end = Instant::now() + PATIENCE;
        while !done(&reaction) && Instant::now() < end {
            self.look(stream.as_mut(), &mut reaction);
        }
        let quiet = Instant::now() + QUIET;
        while Instant::now() < quiet {
            self.look(stream.as_mut(), &mut reaction);
        }
        drop(stream);
        self.await_that("the peer of the vector goes", |handle| {
            handle.peers().wait().unwrap().is_empty()
        });
        // What it still says on connections of its own is of this vector, not of the next.
        self.await_that("the calls of the vector end", |handle| {
            let stats = handle.stats().wait().unwrap();
            stats.connections_opened == stats.connections_closed
        });
        self.look(None, &mut reaction);
        reaction
    }

    fn check_live(&mut self) {
        self.listeners.clear();
        self.handle.check_live().wait().unwrap();
        self.await_that("peers that do not live go", |handle| {
            handle.guests().wait().unwrap().is_empty()
        });
    }
}
