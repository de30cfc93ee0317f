//! One TCP connection, as far as two programs can tell: two directions of packets on their way,
//! what has arrived and is unread, and who is at the ends.
//!
//! A way that is held delivers nothing; what is on it stays in order and arrives later.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use peerline_proto::{ConnId, Instant};

use crate::entropy::Entropy;
use crate::net::HostId;

/// An end of a pipe.
#[derive(Copy, Clone, Debug, Eq, PartialEq, Ord, PartialOrd)]
pub enum Side {
    /// Who dialled.
    Dialer,
    /// Who accepted.
    Acceptor,
}

impl Side {
    /// The end across.
    pub fn other(self) -> Self {
        match self {
            Self::Dialer => Self::Acceptor,
            Self::Acceptor => Self::Dialer,
        }
    }
}

/// The most that a driver reads or writes at once.
pub(crate) const READ_AT_ONCE: usize = 64 * 1024;

/// A window that was full opens again by this much or by half of itself, as hosts on the internet
/// do it: else a reader that once read a byte would be sent bytes alone for ever.
const SEGMENT: usize = 1460;

/// How bytes are cut on their way.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub enum Cut {
    /// As much as there is.
    Whole,
    /// Anywhere.
    Random,
    /// After every byte.
    Bytes,
}

impl Cut {
    /// The most bytes of the next portion.
    pub(crate) fn portion(self, entropy: &mut Entropy) -> usize {
        match self {
            Self::Whole => READ_AT_ONCE,
            Self::Random => 1 << entropy.below(17),
            Self::Bytes => 1,
        }
    }
}

/// What travels.
#[derive(Clone, Debug)]
pub(crate) enum Packet {
    Syn { from: SocketAddr, to: Option<HostId> },
    Accepted,
    Refused,
    Bytes(Vec<u8>),
    Fin,
    Reset,
}

/// What a new pipe is like.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Line {
    pub(crate) latency: Duration,
    /// Bytes that may be between the ends, unread, in each direction.
    pub(crate) window: usize,
    /// Bytes per second.
    pub(crate) bandwidth: u64,
}

/// The pipe.
#[derive(Debug)]
pub(crate) struct Pipe {
    pub(crate) line: Line,
    /// By the side that writes.
    ways: [Way; 2],
    /// The hosts that dialled and accepted, for as long as the pipe is there.
    pub(crate) hosts: [Option<HostId>; 2],
    ends: [Option<(HostId, ConnId)>; 2],
    /// Nothing arrives any more.
    pub(crate) frozen: bool,
    /// The end that the test itself holds, if any.
    pub(crate) raw: Option<Raw>,
}

/// An end without a node: the test reads and writes it.
#[derive(Debug)]
pub(crate) struct Raw {
    pub(crate) side: Side,
    /// All that came.
    pub(crate) heard: Vec<u8>,
    /// It takes what comes.
    pub(crate) reads: bool,
    /// The other side ended or reset the connection.
    pub(crate) cut: bool,
    /// It was a reset, perhaps after an end in order.
    pub(crate) reset: bool,
    /// The test will not ask for it again.
    pub(crate) forgotten: bool,
}

impl Raw {
    pub(crate) fn new(side: Side) -> Self {
        Self { side, heard: Vec::new(), reads: true, cut: false, reset: false, forgotten: false }
    }
}

/// One direction.
#[derive(Debug, Default)]
struct Way {
    on_the_way: VecDeque<(Instant, Packet)>,
    /// Arrived and unread.
    arrived: VecDeque<u8>,
    fin: bool,
    /// Bytes on the way and unread.
    unread: usize,
    /// When the last byte has left.
    busy_until: Instant,
    /// The unfinished line, for a trace.
    line: Vec<u8>,
}

impl Pipe {
    pub(crate) fn new(line: Line) -> Self {
        Self {
            line,
            ways: Default::default(),
            hosts: [None; 2],
            ends: [None; 2],
            frozen: false,
            raw: None,
        }
    }

    pub(crate) fn attach(&mut self, side: Side, host: HostId, conn: ConnId) {
        self.ends[side as usize] = Some((host, conn));
        self.hosts[side as usize] = Some(host);
    }

    /// The end is closed. True if bytes for it were unread.
    pub(crate) fn detach(&mut self, side: Side) -> bool {
        self.ends[side as usize] = None;
        !self.ways[side.other() as usize].arrived.is_empty()
    }

    /// The test takes what has arrived at its end.
    pub(crate) fn read_raw(&mut self) {
        let Some(raw) = &mut self.raw else { return };
        let way = &mut self.ways[raw.side.other() as usize];
        if raw.reads {
            way.unread -= way.arrived.len();
            raw.heard.extend(way.arrived.drain(..));
            raw.cut |= way.fin;
        }
    }

    /// What a side has written and is on its way is lost, as a reset does it.
    pub(crate) fn lose_bytes(&mut self, from: Side) {
        let way = &mut self.ways[from as usize];
        way.on_the_way.retain(|(_, packet)| !matches!(packet, Packet::Bytes(_)));
        way.unread = way.arrived.len();
    }

    /// The test may still ask for it.
    pub(crate) fn is_held_by_test(&self) -> bool {
        self.raw.as_ref().is_some_and(|raw| !raw.forgotten)
    }

    /// Something has arrived for the test that it has not read.
    pub(crate) fn has_raw_unread(&self) -> bool {
        let way = |raw: &Raw| &self.ways[raw.side.other() as usize];
        self.raw.as_ref().is_some_and(|raw| !way(raw).arrived.is_empty())
    }

    pub(crate) fn end(&self, side: Side) -> Option<(HostId, ConnId)> {
        self.ends[side as usize]
    }

    /// Nobody is there, and nothing is on its way.
    pub(crate) fn is_over(&self) -> bool {
        self.ends == [None; 2] && self.ways.iter().all(|way| way.on_the_way.is_empty())
    }

    /// Puts a packet on its way, behind those before it; returns when it arrives, if nothing else
    /// does at that moment.
    pub(crate) fn transmit(
        &mut self,
        from: Side,
        packet: Packet,
        now: Instant,
        jitter: Duration,
    ) -> Option<Instant> {
        let way = &mut self.ways[from as usize];
        let mut left = now;
        if let Packet::Bytes(bytes) = &packet {
            way.unread += bytes.len();
            let takes = bytes.len() as u64 * 1_000_000_000 / self.line.bandwidth.max(1);
            way.busy_until = way.busy_until.max(now) + Duration::from_nanos(takes);
            left = way.busy_until;
        }
        let before = way.on_the_way.back().map_or(now, |(at, _)| *at);
        let at = before.max(left + self.line.latency + jitter);
        match (way.on_the_way.back_mut(), packet) {
            (Some((last, Packet::Bytes(before))), Packet::Bytes(bytes)) if *last == at => {
                before.extend_from_slice(&bytes);
                None
            }
            (last, packet) => {
                let alone = last.is_none_or(|(last, _)| *last != at);
                way.on_the_way.push_back((at, packet));
                alone.then_some(at)
            }
        }
    }

    /// When the next packet written by a side arrives.
    pub(crate) fn next_arrival(&self, from: Side) -> Option<Instant> {
        self.ways[from as usize].on_the_way.front().map(|(at, _)| *at)
    }

    /// The next packet written by a side that has arrived.
    pub(crate) fn take(&mut self, from: Side, now: Instant) -> Option<Packet> {
        let way = &mut self.ways[from as usize];
        way.on_the_way.front().filter(|(at, _)| *at <= now)?;
        way.on_the_way.pop_front().map(|(_, packet)| packet)
    }

    /// Everything on its way is lost.
    pub(crate) fn lose(&mut self) {
        for way in &mut self.ways {
            let lost = way.on_the_way.drain(..).map(|(_, packet)| match packet {
                Packet::Bytes(bytes) => bytes.len(),
                Packet::Syn { .. }
                | Packet::Accepted
                | Packet::Refused
                | Packet::Fin
                | Packet::Reset => 0,
            });
            way.unread -= lost.sum::<usize>();
        }
    }

    /// Bytes or the end of the stream are there to be read at `to`. Gives back what held the bytes,
    /// empty.
    pub(crate) fn deliver(&mut self, to: Side, packet: Packet) -> Option<Vec<u8>> {
        let way = &mut self.ways[to.other() as usize];
        match packet {
            Packet::Bytes(mut bytes) => {
                way.arrived.extend(&bytes);
                bytes.clear();
                return Some(bytes);
            }
            Packet::Fin => way.fin = true,
            Packet::Syn { .. } | Packet::Accepted | Packet::Refused | Packet::Reset => {}
        }
        None
    }

    /// Reads at most `most` bytes at an end, in place of what is in the buffer.
    pub(crate) fn read(&mut self, at: Side, most: usize, into: &mut Vec<u8>) {
        let way = &mut self.ways[at.other() as usize];
        let count = most.min(way.arrived.len());
        way.unread -= count;
        into.clear();
        let (front, back) = way.arrived.as_slices();
        into.extend_from_slice(&front[..count.min(front.len())]);
        into.extend_from_slice(&back[..count.saturating_sub(front.len())]);
        way.arrived.drain(..count);
    }

    /// The end of the stream, once.
    pub(crate) fn take_fin(&mut self, at: Side) -> Option<()> {
        let way = &mut self.ways[at.other() as usize];
        (way.arrived.is_empty() && std::mem::take(&mut way.fin)).then_some(())
    }

    /// Bytes that a side may still write; none while they are too few for a segment.
    pub(crate) fn room(&self, from: Side) -> usize {
        let room = self.line.window.saturating_sub(self.ways[from as usize].unread);
        if room < SEGMENT.min(self.line.window / 2) { 0 } else { room }
    }

    /// Nothing that a side wrote is on its way or unread.
    pub(crate) fn is_all_read(&self, from: Side) -> bool {
        self.ways[from as usize].unread == 0
    }

    /// The lines that these bytes complete.
    pub(crate) fn lines(&mut self, from: Side, bytes: &[u8]) -> Vec<String> {
        let way = &mut self.ways[from as usize];
        way.line.extend_from_slice(bytes);
        let mut lines = Vec::new();
        while let Some(end) = way.line.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = way.line.drain(..=end).collect();
            lines.push(String::from_utf8_lossy(&line).trim_end().to_owned());
        }
        lines
    }
}
