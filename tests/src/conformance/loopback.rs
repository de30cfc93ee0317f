//! The stage of real sockets: a runtime's nodes on the loopback interface, strangers beside them.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use peerline_proto::{Event, NodeId, PeerInfo, Receipt, Stats};

use super::{Command, PATIENCE, Runtime, Setup, Stage, Subject};
use crate::descriptors;
use crate::reserved::Reserved;

/// Open files that a process needs in which several stages run at once: two for each stranger of a
/// crowd, on half a dozen stages.
const DESCRIPTORS: u64 = 14_000;

/// The stage of a runtime.
#[allow(missing_debug_implementations)] // a runtime under test need not have one
pub struct Loopback<R: Runtime> {
    runtime: R,
    nodes: Vec<R::Subject>,
    strangers: Vec<Stranger>,
    nowhere: Vec<Reserved>,
}

/// A raw connection to a node.
struct Stranger {
    /// `None` once it broke the connection.
    stream: Option<TcpStream>,
    heard: Vec<u8>,
    cut: bool,
}

impl<R: Runtime> Loopback<R> {
    /// An empty stage.
    ///
    /// # Panics
    /// If the process may not have the sockets that the scripts need.
    pub fn new(runtime: R) -> Self {
        descriptors::allow(DESCRIPTORS).unwrap_or_else(|error| panic!("{error}"));
        Self { runtime, nodes: Vec::new(), strangers: Vec::new(), nowhere: Vec::new() }
    }
}

impl Stranger {
    /// Reads what there is, waiting for the first of it up to `within`.
    fn listen(&mut self, within: Duration) {
        let Some(stream) = &mut self.stream else { return };
        let mut buffer = [0; 64 * 1024];
        let mut waits = !within.is_zero();
        if waits {
            stream.set_read_timeout(Some(within)).expect("a socket");
        }
        loop {
            stream.set_nonblocking(!waits).expect("a socket");
            waits = false;
            match stream.read(&mut buffer) {
                Ok(0) => break self.cut = true,
                Ok(count) => self.heard.extend_from_slice(&buffer[..count]),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) if is_timeout(error.kind()) => break,
                Err(_) => break self.cut = true,
            }
        }
        stream.set_nonblocking(false).expect("a socket");
    }
}

fn is_timeout(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

impl<R: Runtime> Stage for Loopback<R> {
    fn start(&mut self, setup: Setup) -> usize {
        self.nodes.push(self.runtime.start(setup));
        self.nodes.len() - 1
    }

    fn addr(&self, node: usize) -> SocketAddr {
        self.nodes[node].addr()
    }

    fn id(&self, node: usize) -> NodeId {
        self.nodes[node].id()
    }

    fn command(&mut self, node: usize, command: Command) -> Result<Receipt, String> {
        self.nodes[node].command(command)
    }

    fn peers(&self, node: usize) -> Vec<PeerInfo> {
        self.nodes[node].peers()
    }

    fn stats(&self, node: usize) -> Stats {
        self.nodes[node].stats()
    }

    fn next_event(&mut self, node: usize, within: Duration) -> Option<Event> {
        self.nodes[node].next_event(within)
    }

    fn is_stopped(&mut self, node: usize, within: Duration) -> bool {
        self.nodes[node].is_stopped(within)
    }

    fn crowd(&self) -> usize {
        self.runtime.crowd()
    }

    fn nowhere(&mut self) -> SocketAddr {
        let reserved = Reserved::new();
        let addr = reserved.addr();
        self.nowhere.push(reserved);
        addr
    }

    fn connect(&mut self, node: usize) -> usize {
        let stream = TcpStream::connect(self.addr(node)).expect("the node listens");
        stream.set_nodelay(true).expect("a socket");
        stream.set_write_timeout(Some(PATIENCE)).expect("a socket");
        self.strangers.push(Stranger { stream: Some(stream), heard: Vec::new(), cut: false });
        self.strangers.len() - 1
    }

    fn say(&mut self, stranger: usize, bytes: &[u8]) {
        if let Some(stream) = &mut self.strangers[stranger].stream {
            // A node that has had enough may have closed: then the rest is lost, as promised.
            let _lost = stream.write_all(bytes);
        }
    }

    fn heard(&mut self, stranger: usize) -> String {
        self.strangers[stranger].listen(Duration::ZERO);
        String::from_utf8_lossy(&self.strangers[stranger].heard).into_owned()
    }

    /// It reads only when it is asked what it heard, and nobody asks a deaf one.
    fn turn_deaf(&mut self, _stranger: usize) {}

    fn listen(&mut self, _stranger: usize) {}

    fn sip(&mut self, stranger: usize, most: usize, within: Duration) -> Vec<u8> {
        let Some(stream) = &mut self.strangers[stranger].stream else { return Vec::new() };
        stream.set_read_timeout(Some(within)).expect("a socket");
        let mut bytes = vec![0; most];
        let count = stream.read(&mut bytes).unwrap_or_default();
        bytes.truncate(count);
        bytes
    }

    fn hang_up(&mut self, stranger: usize) {
        if let Some(stream) = &self.strangers[stranger].stream {
            stream.shutdown(Shutdown::Write).expect("a socket");
        }
    }

    fn leave(&mut self, stranger: usize) {
        self.strangers[stranger].stream = None;
    }

    fn reset(&mut self, stranger: usize) {
        if let Some(stream) = self.strangers[stranger].stream.take() {
            let socket = socket2::Socket::from(stream);
            socket.set_linger(Some(Duration::ZERO)).expect("a socket");
        }
    }

    fn is_cut(&mut self, stranger: usize, within: Duration) -> bool {
        let end = Instant::now() + within;
        while !self.strangers[stranger].cut && Instant::now() < end {
            self.strangers[stranger].listen(Duration::from_millis(100));
        }
        self.strangers[stranger].cut
    }

    fn was_reset(&mut self, stranger: usize) -> bool {
        let stream = self.strangers[stranger].stream.as_ref();
        stream.is_some_and(|stream| !matches!(stream.take_error(), Ok(None)))
    }
}
