//! One connection of an explored network: packets on their way, in order, and who is at its ends.
//!
//! It has no latency and no window: a packet is there until somebody chooses that it arrives.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use peerline_proto::{ConnId, Instant, Node, TransportError};

use crate::Side;
use crate::net::HostId;

/// What travels.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(super) enum Packet {
    Syn,
    Accepted,
    Refused,
    Bytes(Arc<[u8]>),
    Fin,
    Reset,
}

/// Who is at the end of a connection.
#[derive(Copy, Clone, Debug, Eq, Hash, PartialEq)]
pub(super) enum End {
    /// The system answered; the program has not accepted yet.
    Backlog,
    Open(ConnId),
    Closed,
    /// The host vanished without a word.
    Silent,
}

/// A connection.
#[derive(Clone, Debug, Hash)]
pub(super) struct Pipe {
    pub(super) hosts: [HostId; 2],
    pub(super) ends: [End; 2],
    /// By the side that writes: packets and when they were written.
    pub(super) ways: [VecDeque<(Instant, Packet)>; 2],
    pub(super) finished: [bool; 2],
    pub(super) broken: bool,
}

impl Pipe {
    /// Whether a host holds an end of it.
    pub(super) fn is_open(&self) -> bool {
        self.ends.iter().any(|end| matches!(end, End::Open(_)))
    }

    pub(super) fn next_is_bytes(&self, to: Side) -> bool {
        let next = self.ways[to.other() as usize].front();
        next.is_some_and(|(_, packet)| matches!(packet, Packet::Bytes(_)))
    }

    /// Cuts the next bytes in two.
    pub(super) fn halve(&mut self, to: Side) {
        let way = &mut self.ways[to.other() as usize];
        let Some((sent, Packet::Bytes(bytes))) = way.pop_front() else { return };
        let (first, second) = bytes.split_at(bytes.len() / 2);
        way.push_front((sent, Packet::Bytes(second.into())));
        way.push_front((sent, Packet::Bytes(first.into())));
    }
}

impl Packet {
    /// Tells a node that this arrived.
    pub(super) fn tell(&self, node: &mut Node, conn: ConnId, now: Instant) {
        match self {
            Self::Syn => {}
            Self::Accepted => node.connected(conn, now),
            Self::Refused => node.closed(conn, TransportError::Refused, now),
            Self::Bytes(bytes) => node.received(conn, bytes, now),
            Self::Fin => node.closed(conn, TransportError::Eof, now),
            Self::Reset => node.closed(conn, TransportError::Reset, now),
        }
    }
}

impl fmt::Display for Packet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Bytes(bytes) = self else { return write!(f, "{self:?}") };
        let text = String::from_utf8_lossy(bytes);
        for line in text.lines() {
            let kind = line.split('"').nth(3).unwrap_or(line);
            let duplicate = if line.contains("\"duplicate\"") { " duplicate" } else { "" };
            write!(f, "{kind}{duplicate} ")?;
        }
        Ok(())
    }
}
