//! The sockets of a driver: reading, writing, dialling, and the node's actions on them.
//!
//! Decides what one socket may do in a turn: one read and one write. Every connection is in the
//! table from its beginning until the node's `Drop`, whatever happens to its socket; what ends on
//! the socket is reported once and then left alone. It never keeps bytes: what arrives goes to the
//! node at once, what leaves is written from the node's own queues.

use std::fmt;
use std::io::{ErrorKind, IoSlice};
use std::net::{SocketAddr, TcpStream};

use peerline_proto::{Action, ConnId, Instant, Node, TransportError};

use super::Key;
use crate::io::{AsDescriptor, Direction, Io};
use crate::log::CONNECTION;
use crate::net;

/// Bytes read from one socket in a turn. 64 KiB: below that the calls cost more than the bytes.
const READ: usize = 64 * 1024;

/// Pieces written to one socket in a turn. Sixty-four: small frames are coalesced by the node, so
/// these are mostly large.
const PIECES: usize = 64;

/// Bytes after which no further piece is added to a write. 256 KiB: what the kernel takes of a
/// socket with the options that ours have, and more.
const WRITE: usize = 256 * 1024;

/// Whether less read or written than asked for means that there is no more, so that the next edge
/// is certain to come. On Windows only `WouldBlock` means that.
const SHORT_IS_ALL: bool = cfg!(unix);

pub(super) struct Links<I: Io> {
    /// By the slot of the connection's id.
    slots: Vec<Option<Link<I::Socket>>>,
    /// Slots with something to read, or a dial to look at; each once, see `Link::to_read`.
    to_read: Vec<usize>,
    /// Slots with something to write; each once, see `Link::to_write`.
    to_write: Vec<usize>,
    /// What a round works on, kept for its memory; empty between rounds.
    round: Vec<usize>,
    buffer: Box<[u8]>,
}

struct Link<S> {
    conn: ConnId,
    socket: S,
    life: Life,
    /// An edge came, and nothing since said that there is no more.
    readable: bool,
    writable: bool,
    /// The loop told that the end has been received: short reads do not mean "no more".
    ended: bool,
    /// The node wants no bytes for now.
    paused: bool,
    /// Whether the slot is in the list of that name.
    to_read: bool,
    to_write: bool,
}

/// What has become of a socket. From `Dialing` on it goes down this list only.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
enum Life {
    Dialing,
    Open,
    /// Writing failed; what the other side had sent is read before that is reported.
    Draining(TransportError),
    /// The other side ended its half, and the node knows; only writing is left.
    HalfClosed,
    /// Reported as over; waits for the node's `Drop`.
    Over,
}

impl<I: Io> Links<I> {
    pub(super) fn new() -> Self {
        Self {
            slots: Vec::new(),
            to_read: Vec::new(),
            to_write: Vec::new(),
            round: Vec::new(),
            buffer: vec![0; READ].into_boxed_slice(),
        }
    }

    pub(super) fn is_busy(&self) -> bool {
        !self.to_read.is_empty() || !self.to_write.is_empty()
    }

    pub(super) fn clear(&mut self) {
        self.slots.clear();
        self.to_read.clear();
        self.to_write.clear();
    }

    // ---- edges

    pub(super) fn ready(&mut self, slot: usize, readable: bool, writable: bool) {
        let Some(link) = self.slots.get_mut(slot).and_then(Option::as_mut) else { return };
        link.readable |= readable;
        link.writable |= writable;
        if readable || link.life == Life::Dialing {
            link.list_read(slot, &mut self.to_read);
        }
        if writable && link.life != Life::Dialing {
            link.list_write(slot, &mut self.to_write);
        }
    }

    pub(super) fn ended(&mut self, slot: usize) {
        if let Some(link) = self.slots.get_mut(slot).and_then(Option::as_mut) {
            link.ended = true;
        }
        self.ready(slot, true, false);
    }

    // ---- new connections

    /// Asks the node about a connection that was accepted, and takes it if it does.
    pub(super) fn admit(
        &mut self,
        io: &mut I,
        node: &mut Node,
        stream: TcpStream,
        addr: SocketAddr,
        now: Instant,
    ) {
        match node.accepted(addr, now) {
            Ok(conn) => {
                if let Ok(local) = stream.local_addr() {
                    node.local_addr(conn, local);
                }
                self.register(io, node, conn, stream, Life::Open, now);
            }
            Err(refused) => log::debug!(target: CONNECTION, "{addr} not accepted: {refused}"),
        }
        self.act(io, node, now);
    }

    fn dial(&mut self, io: &mut I, node: &mut Node, conn: ConnId, addr: SocketAddr, now: Instant) {
        match net::dial(addr) {
            Ok(stream) => self.register(io, node, conn, stream, Life::Dialing, now),
            Err(error) => node.closed(conn, net::transport_error(&error), now),
        }
    }

    /// Puts a socket into the table. The node's actions are not looked at before that, for the
    /// first of them may be about this connection.
    fn register(
        &mut self,
        io: &mut I,
        node: &mut Node,
        conn: ConnId,
        stream: TcpStream,
        life: Life,
        now: Instant,
    ) {
        net::set_options(&stream);
        let key = Key::Connection(conn.slot()).number();
        let socket = match stream.set_nonblocking(true).and_then(|()| io.register(key, stream)) {
            Ok(socket) => socket,
            Err(error) => return node.closed(conn, net::transport_error(&error), now),
        };
        if self.slots.len() <= conn.slot() {
            self.slots.resize_with(conn.slot() + 1, || None);
        }
        let Some(place) = self.slots.get_mut(conn.slot()) else { return };
        // A socket that is still here belongs to a connection whose `Drop` is on its way.
        let link = place.insert(Link::new(conn, socket, life));
        // Ready until it turns out otherwise: a first read and a look at the dial arm the socket.
        link.list_read(conn.slot(), &mut self.to_read);
    }

    // ---- actions

    /// Does what the node asks, until it asks for nothing more.
    pub(super) fn act(&mut self, io: &mut I, node: &mut Node, now: Instant) {
        while let Some(action) = node.poll_action() {
            match action {
                Action::Connect { conn, addr } => self.dial(io, node, conn, addr, now),
                Action::Send { conn } => self.with(conn, Self::on_send),
                Action::PauseReading { conn } => self.with(conn, |_, link| link.paused = true),
                Action::ResumeReading { conn } => self.with(conn, Self::on_resume),
                Action::Finish { conn } => self.with(conn, |_, link| net::finish(&link.socket)),
                Action::Drop { conn } => self.on_drop(conn),
            }
        }
    }

    fn with(&mut self, conn: ConnId, act: impl FnOnce(&mut Lists<'_>, &mut Link<I::Socket>)) {
        let link = self.slots.get_mut(conn.slot()).and_then(Option::as_mut);
        if let Some(link) = link.filter(|link| link.conn == conn) {
            act(&mut Lists { to_read: &mut self.to_read, to_write: &mut self.to_write }, link);
        }
    }

    fn on_send(lists: &mut Lists<'_>, link: &mut Link<I::Socket>) {
        if link.writable && link.life != Life::Dialing {
            link.list_write(link.conn.slot(), lists.to_write);
        }
    }

    fn on_resume(lists: &mut Lists<'_>, link: &mut Link<I::Socket>) {
        link.paused = false;
        if link.readable {
            link.list_read(link.conn.slot(), lists.to_read);
        }
    }

    fn on_drop(&mut self, conn: ConnId) {
        let Some(place) = self.slots.get_mut(conn.slot()) else { return };
        if place.as_ref().is_some_and(|link| link.conn == conn) {
            *place = None;
        }
    }

    // ---- reading

    /// Reads each ready socket once.
    pub(super) fn read_round(&mut self, io: &mut I, node: &mut Node, now: Instant) {
        let mut round = std::mem::replace(&mut self.to_read, std::mem::take(&mut self.round));
        for slot in round.drain(..) {
            self.read_one(slot, io, node, now);
            self.act(io, node, now);
        }
        self.round = round;
    }

    fn read_one(&mut self, slot: usize, io: &mut I, node: &mut Node, now: Instant) {
        let Some(link) = self.slots.get_mut(slot).and_then(Option::as_mut) else { return };
        link.to_read = false;
        let more = match link.life {
            Life::Dialing => {
                // Whatever was queued for it during the dial can leave now.
                link.list_write(slot, &mut self.to_write);
                link.look_at_dial(io, node, now)
            }
            Life::Open | Life::Draining(_) if link.readable && !link.paused => {
                link.read(io, node, &mut self.buffer, now)
            }
            Life::Open | Life::Draining(_) | Life::HalfClosed | Life::Over => false,
        };
        if more {
            link.list_read(slot, &mut self.to_read);
        }
    }

    // ---- writing

    /// Writes to each ready socket once.
    pub(super) fn write_round(&mut self, io: &mut I, node: &mut Node, now: Instant) {
        let mut round = std::mem::replace(&mut self.to_write, std::mem::take(&mut self.round));
        for slot in round.drain(..) {
            self.write_one(slot, io, node, now);
            self.act(io, node, now);
        }
        self.round = round;
    }

    fn write_one(&mut self, slot: usize, io: &mut I, node: &mut Node, now: Instant) {
        let Some(link) = self.slots.get_mut(slot).and_then(Option::as_mut) else { return };
        link.to_write = false;
        let more = match link.life {
            Life::Open | Life::HalfClosed => link.writable && link.write(io, node, now),
            Life::Dialing | Life::Draining(_) | Life::Over => false,
        };
        if more {
            link.list_write(slot, &mut self.to_write);
        }
        if matches!(link.life, Life::Draining(_)) {
            link.list_read(slot, &mut self.to_read);
        }
    }
}

/// The two ready lists, apart from the table.
struct Lists<'a> {
    to_read: &'a mut Vec<usize>,
    to_write: &'a mut Vec<usize>,
}

impl<S> Link<S> {
    fn new(conn: ConnId, socket: S, life: Life) -> Self {
        Self {
            conn,
            socket,
            life,
            readable: true,
            writable: true,
            ended: false,
            paused: false,
            to_read: false,
            to_write: false,
        }
    }

    fn key(&self) -> usize {
        Key::Connection(self.conn.slot()).number()
    }

    fn list_read(&mut self, slot: usize, list: &mut Vec<usize>) {
        if !std::mem::replace(&mut self.to_read, true) {
            list.push(slot);
        }
    }

    fn list_write(&mut self, slot: usize, list: &mut Vec<usize>) {
        if !std::mem::replace(&mut self.to_write, true) {
            list.push(slot);
        }
    }

    fn over(&mut self, node: &mut Node, why: TransportError, now: Instant) {
        self.life = Life::Over;
        node.closed(self.conn, why, now);
    }
}

/// One step on a socket. Each answers whether there is more to do at once.
impl<S: AsDescriptor> Link<S> {
    fn look_at_dial<I: Io<Socket = S>>(
        &mut self,
        io: &mut I,
        node: &mut Node,
        now: Instant,
    ) -> bool {
        match net::dial_ended(&self.socket) {
            Ok(true) => {
                self.life = Life::Open;
                (self.readable, self.writable) = (true, true);
                if let Some(local) = net::local_addr(&self.socket) {
                    node.local_addr(self.conn, local);
                }
                node.connected(self.conn, now);
                true
            }
            Ok(false) => io.rearm(self.key(), &self.socket, Direction::Write),
            Err(error) => {
                self.over(node, net::transport_error(&error), now);
                false
            }
        }
    }

    fn read<I: Io<Socket = S>>(
        &mut self,
        io: &mut I,
        node: &mut Node,
        buffer: &mut [u8],
        now: Instant,
    ) -> bool {
        match I::try_read(&self.socket, buffer) {
            Ok(0) => self.on_end(node, now),
            Ok(count) => {
                let all = SHORT_IS_ALL && count < buffer.len() && !self.ended;
                node.received(self.conn, buffer.get(..count).unwrap_or(buffer), now);
                if all && self.life == Life::Open {
                    self.readable = io.rearm(self.key(), &self.socket, Direction::Read);
                }
                self.readable
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => true,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                self.on_nothing_to_read(io, node, now)
            }
            Err(error) => {
                self.over(node, net::transport_error(&error), now);
                false
            }
        }
    }

    /// The other side ended its half.
    fn on_end(&mut self, node: &mut Node, now: Instant) -> bool {
        match self.life {
            Life::Draining(why) => self.over(node, why, now),
            Life::Dialing | Life::Open | Life::HalfClosed | Life::Over => {
                self.life = Life::HalfClosed;
                node.closed(self.conn, TransportError::Eof, now);
            }
        }
        false
    }

    fn on_nothing_to_read<I: Io<Socket = S>>(
        &mut self,
        io: &mut I,
        node: &mut Node,
        now: Instant,
    ) -> bool {
        if let Life::Draining(why) = self.life {
            self.over(node, why, now);
            return false;
        }
        self.ended = false;
        self.readable = io.rearm(self.key(), &self.socket, Direction::Read);
        self.readable
    }

    fn write<I: Io<Socket = S>>(&mut self, io: &mut I, node: &mut Node, now: Instant) -> bool {
        let (asked, wrote) = {
            let mut parts = [IoSlice::new(&[]); PIECES];
            let (count, bytes) = gather(node.outgoing(self.conn).chunks(), &mut parts);
            if bytes == 0 {
                return false;
            }
            (bytes, I::try_write_vectored(&self.socket, parts.get(..count).unwrap_or(&parts)))
        };
        match wrote {
            Ok(count) if count > 0 => {
                node.sent(self.conn, count, now);
                if SHORT_IS_ALL && count < asked {
                    self.writable = io.rearm(self.key(), &self.socket, Direction::Write);
                }
                self.writable && !node.outgoing(self.conn).is_empty()
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => true,
            Err(error) if error.kind() != ErrorKind::WouldBlock => {
                self.on_write_failed(node, net::transport_error(&error), now);
                false
            }
            // Nothing taken without an error is a full socket too.
            Ok(_) | Err(_) => {
                self.writable = io.rearm(self.key(), &self.socket, Direction::Write);
                self.writable
            }
        }
    }

    /// The other side may have said why before it went: that is read first.
    fn on_write_failed(&mut self, node: &mut Node, why: TransportError, now: Instant) {
        if self.life == Life::Open && !self.paused {
            self.life = Life::Draining(why);
            self.readable = true;
        } else {
            self.over(node, why, now);
        }
    }
}

/// The first pieces of what waits, and how many bytes they are.
fn gather<'a>(
    chunks: impl Iterator<Item = &'a [u8]>,
    parts: &mut [IoSlice<'a>; PIECES],
) -> (usize, usize) {
    let (mut count, mut bytes) = (0, 0);
    for (part, chunk) in parts.iter_mut().zip(chunks) {
        *part = IoSlice::new(chunk);
        count += 1;
        bytes += chunk.len();
        if bytes >= WRITE {
            break;
        }
    }
    (count, bytes)
}

impl<I: Io> fmt::Debug for Links<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Links")
            .field("sockets", &self.slots.iter().flatten().count())
            .field("to_read", &self.to_read.len())
            .field("to_write", &self.to_write.len())
            .finish_non_exhaustive()
    }
}
