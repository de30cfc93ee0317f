//! Many peers in one process that are only there: they say hello and answer pings.
//!
//! No node does this for ten thousand connections in one process, for a node has one to another.
//! They come from several addresses of the loopback network, as one has ports for fewer.

use std::io::{self, ErrorKind, Read, Write, stdin};
use std::net::{SocketAddr, TcpStream};
use std::thread::park_timeout;
use std::time::Duration;

use peerline_proto::NodeId;
use socket2::{Domain, Socket, Type};

use super::hold::allow;

/// Addresses they come from.
const SOURCES: usize = 8;
/// Between two rounds of listening; pings may wait seconds.
const ROUND: Duration = Duration::from_millis(200);

/// Dials `to` so often when it is told to, and stays.
pub(crate) fn crowd(to: &str, count: &str) {
    let (to, count): (SocketAddr, usize) = (to.parse().unwrap(), count.parse().unwrap());
    allow(count);
    println!("ready");
    stdin().read_line(&mut String::new()).unwrap();
    let mut peers: Vec<Peer> = (0..count).map(|index| Peer::dial(to, index)).collect();
    loop {
        park_timeout(ROUND);
        for (index, peer) in peers.iter_mut().enumerate() {
            peer.answer().unwrap_or_else(|error| panic!("peer {index}: {error}"));
        }
    }
}

struct Peer {
    socket: TcpStream,
    /// The beginning of a line.
    rest: Vec<u8>,
    /// What a node says when it lets us go.
    last: String,
}

impl Peer {
    fn dial(to: SocketAddr, index: usize) -> Self {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        let source = [127, 0, 0, 2 + (index % SOURCES) as u8];
        socket.bind(&SocketAddr::from((source, 0)).into()).unwrap();
        socket.connect(&to.into()).unwrap();
        let mut socket = TcpStream::from(socket);
        let mut id = [9; 16];
        id[..4].copy_from_slice(&(index as u32).to_be_bytes());
        let id = NodeId::from_random_bytes(id);
        writeln!(socket, "{{\"msgtype\":\"hello\",\"nodeid\":\"{id}\",\"version\":1}}").unwrap();
        socket.set_nonblocking(true).unwrap();
        Self { socket, rest: Vec::new(), last: String::new() }
    }

    fn answer(&mut self) -> io::Result<()> {
        let mut buffer = [0; 4096];
        loop {
            match self.socket.read(&mut buffer) {
                Ok(0) => return Err(io::Error::new(ErrorKind::UnexpectedEof, self.last.clone())),
                Ok(count) => self.hear(&buffer[..count])?,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }

    fn hear(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.rest.extend_from_slice(bytes);
        while let Some(end) = memchr::memchr(b'\n', &self.rest) {
            let mut line: Vec<u8> = self.rest.drain(..=end).collect();
            if line.starts_with(b"{\"msgtype\":\"ping\"") {
                line[13] = b'o'; // a pong is the ping with another letter
                self.socket.write_all(&line)?;
            } else if line.starts_with(b"{\"msgtype\":\"bye\"") {
                self.last = String::from_utf8_lossy(&line).into_owned();
            }
        }
        if self.rest.is_empty() {
            self.rest = Vec::new();
        }
        Ok(())
    }
}
