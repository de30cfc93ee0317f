//! A node on plain threads, without any runtime crate: two for each connection, one to accept, one
//! for the clock. They share the node under a lock and look at it whenever something changed.
//! Events stay in the node until they are asked for, so its own bound on them holds.
#![allow(clippy::unwrap_used)] // a poisoned lock means that a thread panicked: the others may too

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::{collections::BTreeMap, thread::spawn, time::Duration};

use peerline_proto::{Action, ConnId, Event, Instant, Node, NodeId, TransportError};

/// The node and its sockets, what to wait on, and when time began.
#[derive(Debug)]
pub struct Threads(Mutex<(Node, Sockets)>, Condvar, std::time::Instant);

type Sockets = BTreeMap<ConnId, TcpStream>;

impl Threads {
    /// Runs a node that was told no other time than zero.
    pub fn start(mut node: Node, listener: TcpListener) -> io::Result<Arc<Self>> {
        node.listening(listener.local_addr()?, Instant::ZERO);
        let state = Mutex::new((node, Sockets::new()));
        let this = Arc::new(Self(state, Condvar::new(), std::time::Instant::now()));
        let (door, clock) = (this.clone(), this.clone());
        spawn(move || listener.incoming().flatten().all(|stream| door.accept(stream)));
        spawn(move || clock.tick());
        Ok(this)
    }

    /// Calls the node and does what it asks for.
    pub fn with<R>(self: &Arc<Self>, call: impl FnOnce(&mut Node, Instant) -> R) -> R {
        let (node, sockets) = &mut *self.0.lock().unwrap();
        let result = call(node, Instant::ZERO + self.2.elapsed());
        while let Some(action) = node.poll_action() {
            match (action, sockets.get(&action.conn())) {
                (Action::Connect { conn, addr }, _) => {
                    let this = self.clone();
                    spawn(move || this.connection(conn, TcpStream::connect(addr)));
                }
                (Action::Finish { .. }, Some(socket)) => drop(socket.shutdown(Shutdown::Write)),
                // That ends the threads of the connection.
                (Action::Drop { .. }, Some(socket)) => drop(socket.shutdown(Shutdown::Both)),
                _ => {} // the threads of the connection see to it
            }
        }
        sockets.retain(|conn, _| node.is_open(*conn));
        self.1.notify_all();
        result
    }

    /// The next event, if one comes in time.
    pub fn next_event(self: &Arc<Self>, within: Duration) -> Option<Event> {
        let (mut event, state) = (None, self.0.lock().unwrap());
        let none = |state: &mut (Node, _)| (event = state.0.poll_event(), event.is_none()).1;
        drop(self.1.wait_timeout_while(state, within, none));
        self.with(|_, _| event) // room for events may have set off actions
    }

    fn accept(self: &Arc<Self>, stream: TcpStream) -> bool {
        let (this, addr) = (self.clone(), stream.peer_addr().ok());
        if let Some(Ok(conn)) = addr.map(|addr| self.with(|node, now| node.accepted(addr, now))) {
            spawn(move || this.connection(conn, Ok(stream)));
        }
        !self.with(|node, _| node.is_stopping())
    }

    /// The life of a connection; this thread reads.
    fn connection(self: Arc<Self>, conn: ConnId, stream: io::Result<TcpStream>) {
        let end = stream.and_then(|stream| self.read(conn, stream));
        self.with(|node, now| node.closed(conn, end.unwrap_or(TransportError::Refused), now));
    }

    fn read(self: &Arc<Self>, conn: ConnId, mut stream: TcpStream) -> io::Result<TransportError> {
        let (this, output, mut buffer) = (self.clone(), stream.try_clone()?, [0; 64 * 1024]);
        self.0.lock().unwrap().1.insert(conn, stream.try_clone()?);
        self.with(|node, now| node.connected(conn, now)); // an accepted one is so already
        spawn(move || this.write(conn, output));
        while self.wait(conn, |node| !node.wants_read(conn)).0.is_open(conn) {
            match stream.read(&mut buffer).map(|count| buffer.get(..count).unwrap_or_default()) {
                // That it broke the writer may have been told, and nobody is told twice. But then
                // it has no other end any more.
                Ok([]) if stream.peer_addr().is_ok() => return Ok(TransportError::Eof),
                Ok(bytes @ [_, ..]) => self.with(|node, now| node.received(conn, bytes, now)),
                Ok([]) | Err(_) => break,
            }
        }
        Ok(TransportError::Reset)
    }

    fn write(self: &Arc<Self>, conn: ConnId, mut stream: TcpStream) {
        loop {
            let mut bytes = Vec::new();
            let waiting = |node: &Node| node.outgoing(conn).is_empty();
            self.wait(conn, waiting).0.outgoing(conn).copy_to(&mut bytes, 64 * 1024);
            let Ok(count @ 1..) = stream.write(&bytes) else { break };
            self.with(|node, now| node.sent(conn, count, now));
        }
        self.0.lock().unwrap().1.remove(&conn);
    }

    /// Waits while the connection is there and `idle` holds.
    fn wait(&self, conn: ConnId, idle: impl Fn(&Node) -> bool) -> MutexGuard<'_, (Node, Sockets)> {
        let idles = |state: &mut (Node, Sockets)| state.0.is_open(conn) && idle(&state.0);
        self.1.wait_while(self.0.lock().unwrap(), idles).unwrap()
    }

    fn tick(self: &Arc<Self>) {
        while !self.with(|node, now| (node.handle_timeout(now), node.is_stopped()).1) {
            let (state, now) = (self.0.lock().unwrap(), Instant::ZERO + self.2.elapsed());
            let due = state.0.poll_timeout().map(|at| at.saturating_since(now));
            drop(self.1.wait_timeout(state, due.unwrap_or(Duration::from_secs(60))));
        }
    }
}

fn main() -> io::Result<()> {
    let identity = peerline_proto::Identity::new(NodeId::from_random_bytes([1; 16]));
    let node = Node::new(Default::default(), identity, [7; 32], Default::default());
    let threads = Threads::start(node, TcpListener::bind("127.0.0.1:0")?)?;
    threads.with(|node, _| println!("listening at {:?}", node.listen_addrs()));
    Ok(())
}
