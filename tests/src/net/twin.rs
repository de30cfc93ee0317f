//! What a node would be had its bytes come otherwise: a copy from before is given the same bytes in
//! other cuts, with wake-ups for nothing between them, and must end up the same; and for a line
//! that ends its connection, another copy is told that the connection broke, and nobody else may
//! see a difference.
//!
//! Draws no chances, so that a run is the same with and without.

use std::hash::{Hash, Hasher};
use std::slice::Chunks;

use peerline_proto::{ConnId, Instant, Node, TransportError, testing};

use crate::net::run::TraceHash;
use crate::net::{HostId, Net, Rule};

/// Of so many reads one is repeated in other cuts: a copy costs more than the read.
const CUT_EVERY: u64 = 256;
/// Steps of the network from one copy to the next at least: where each byte is a read of its own,
/// a step has dozens of them.
const APART: u64 = 128;
/// A node that holds more is not copied: that would cost more than anything that happens to it.
const LIGHT: usize = 64 * 1024;
/// Of so many reads from strangers that may end their connections, one is judged by what the
/// others see of it.
const BLAME_EVERY: u64 = 4;

/// Hands bytes over. True if the application was behind already, got one more message by them, and
/// the connection that brought it is read on.
fn received(node: &mut Node, conn: ConnId, bytes: &[u8], now: Instant) -> bool {
    let (behind, delivered) = (testing::is_behind(node), node.stats().delivered);
    node.received(conn, bytes, now);
    let was_heard = behind && node.stats().delivered > delivered;
    was_heard && node.wants_read(conn) && node.peers().any(|peer| peer.conn == conn)
}

impl Net {
    /// A node takes bytes that arrived.
    pub(super) fn receive(&mut self, host: HostId, conn: ConnId, bytes: &[u8], hostile: bool) {
        self.reads += 1;
        let now = self.local(host);
        let watch = &mut self.hosts[host].watch;
        // A byte alone ends nothing unless it is the first or ends a line.
        let may_end = bytes.len() > 1 || bytes == b"\n" || watch.is_undecided(conn);
        let foreign = watch.on_bytes_in(conn, bytes, now);
        // After a jump back the node's time is ahead of the clock, and what is due is not known.
        let idle = self.now >= self.hosts[host].excused;
        let cuts = self.reads % CUT_EVERY == 0 && self.steps >= self.copied + APART;
        let blame = hostile && may_end && self.reads % BLAME_EVERY == 0;
        let node = &mut self.hosts[host].node;
        let before = ((cuts || blame) && node.buffered() <= LIGHT).then(|| node.clone());
        if cuts && before.is_some() {
            self.copied = self.steps;
        }
        let read_on = received(node, conn, bytes, now);
        Rule::BackPressure.check(!read_on, || format!("{conn} is read though its host is behind"));
        let stays = foreign && node.is_open(conn) && !node.is_stopping();
        Rule::Dialect.check(!stays, || format!("host {host} listens to no dialect on {conn}"));
        match before {
            Some(twin) if !node.is_open(conn) => {
                let others: Vec<ConnId> = self.hosts[host].sockets.conns().collect();
                check_others(&self.hosts[host].node, twin, conn, &others, now);
            }
            Some(twin) if cuts => {
                let piece = 1 + (self.reads / CUT_EVERY % 61) as usize;
                check_cuts(node, twin, conn, bytes.chunks(piece), idle, now);
            }
            Some(_) | None => {}
        }
        self.pump(host);
    }
}

/// In other pieces the same bytes make the same node, and so do wake-ups for nothing.
fn check_cuts(
    node: &Node,
    mut twin: Node,
    conn: ConnId,
    pieces: Chunks<'_, u8>,
    idle: bool,
    now: Instant,
) {
    for piece in pieces.clone() {
        twin.received(conn, piece, now);
        if idle && twin.poll_timeout().is_none_or(|at| at > now) {
            twin.handle_timeout(now);
        }
    }
    Rule::Cuts.check(state(node) == state(&twin), || {
        let (count, other) = (pieces.len(), difference(node, &twin));
        format!("bytes on {conn} in {count} pieces make another node: {other}")
    });
}

/// To the others, one that sent a bad line is one whose connection broke.
fn check_others(node: &Node, mut twin: Node, conn: ConnId, others: &[ConnId], now: Instant) {
    let (was, is) = (twin.stats(), node.stats());
    if is.violations == was.violations || is.lines_in != was.lines_in {
        return;
    }
    twin.closed(conn, TransportError::Reset, now);
    for other in others.iter().filter(|other| **other != conn) {
        let seen = [node, &twin].map(|node| {
            let bytes = node.outgoing(*other).chunks().flatten().copied().collect::<Vec<u8>>();
            (node.is_open(*other), node.wants_read(*other), bytes)
        });
        let same = seen[0] == seen[1];
        Rule::Privacy.check(same, || format!("a bad line on {conn} is felt on {other}"));
    }
    let same = node.poll_timeout() == twin.poll_timeout() && node.peers().eq(twin.peers());
    Rule::Privacy.check(same, || format!("a bad line on {conn} is more than its end"));
}

/// Where two nodes differ first, as they are shown.
fn difference(node: &Node, twin: &Node) -> String {
    let [node, twin] = [node, twin].map(|node| format!("{node:#?}"));
    let mut lines = node.lines().zip(twin.lines()).enumerate();
    let first = lines.find(|(_, (node, twin))| node != twin).map(|(at, _)| at);
    let Some(at) = first else { return "in nothing that is shown".to_owned() };
    let [node, twin] = [node, twin].map(|text| {
        let near = text.lines().skip(at.saturating_sub(4)).take(8).map(str::trim);
        near.collect::<Vec<_>>().join(" ")
    });
    format!("{node} | {twin}")
}

fn state(node: &Node) -> u64 {
    let mut hash = TraceHash::default();
    node.hash(&mut hash);
    hash.finish()
}
