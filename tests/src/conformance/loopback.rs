//! The stage of real sockets: a runtime's nodes on the loopback interface, strangers beside them.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use peerline_proto::{Event, NodeId, PeerInfo, Receipt, Stats};

use super::{Command, PATIENCE, Runtime, Setup, Stage, Subject};

/// The stage of a runtime.
#[allow(missing_debug_implementations)] // a runtime under test need not have one
pub struct Loopback<R: Runtime> {
    runtime: R,
    nodes: Vec<R::Subject>,
    strangers: Vec<Stranger>,
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
    pub fn new(runtime: R) -> Self {
        Self { runtime, nodes: Vec::new(), strangers: Vec::new() }
    }
}

impl Stranger {
    /// Reads what there is, waiting for it up to `within`.
    fn listen(&mut self, within: Duration) {
        let Some(stream) = &mut self.stream else { return };
        stream.set_read_timeout(Some(within.max(Duration::from_millis(1)))).expect("a socket");
        let mut buffer = [0; 64 * 1024];
        loop {
            match stream.read(&mut buffer) {
                Ok(0) => break self.cut = true,
                Ok(count) => self.heard.extend_from_slice(&buffer[..count]),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) if is_timeout(error.kind()) => break,
                Err(_) => break self.cut = true,
            }
            let soon = Some(Duration::from_millis(1));
            stream.set_read_timeout(soon).expect("a socket");
        }
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

    /// A port that was free a moment ago.
    fn nowhere(&mut self) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
        listener.local_addr().expect("a bound socket")
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
        self.strangers[stranger].listen(Duration::from_millis(1));
        String::from_utf8_lossy(&self.strangers[stranger].heard).into_owned()
    }

    /// It reads only when it is asked what it heard, and nobody asks a deaf one.
    fn turn_deaf(&mut self, _stranger: usize) {}

    fn hang_up(&mut self, stranger: usize) {
        if let Some(stream) = &self.strangers[stranger].stream {
            stream.shutdown(Shutdown::Write).expect("a socket");
        }
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
}
