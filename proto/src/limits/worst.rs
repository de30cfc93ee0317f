//! What all bounds add up to: the most that peers can make a node hold.
//!
//! Each part has its count, or its bytes, in [`Limits`](super::Limits), and a cost that tests hold
//! to what an allocator counts. Tables are counted as they are when half empty.

use super::{
    ANSWERS, GUEST_DIALS, GUEST_OBJECT, GUEST_UNCOUNTED, GUESTS_WAITING, LOSERS, Limits,
    MAX_FIRST_LINE, RATED,
};

/// Bytes of a connection itself: its state, its slot, its deadline, its places in the tables.
const LINK_COST: usize = 1024;
/// Bytes of our own first lines to somebody who has not said hello: hello, or bye with others.
const FIRST_WORDS: usize = 2048;
/// Bytes of an address in the book, or of one of our own: its entry in a table that may be half
/// empty, its place in a bucket that may be too, a guest's name.
pub(crate) const ADDRESS_COST: usize = 448;
/// Bytes of a stream and of its place in the order.
const STREAM_COST: usize = 192;
/// Bytes of a stream's tree.
const TREE_COST: usize = 1088;
/// Bytes of a broadcast that is looked for, and of those who announced it.
const WANT_COST: usize = 512;
/// Bytes of a broadcast that waits for a verdict, or was not accepted, beyond its line.
const VERDICT_COST: usize = 448;
/// Bytes of one missing range.
pub(crate) const RANGE_COST: usize = 32;
/// Bytes of a single id and of its place in a set.
const ID_COST: usize = 96;

/// Bytes of a line of chat as it is known again, by its number.
const NUMBER_COST: usize = 24;
/// Bytes of how often an owner of addresses may speak.
const RATE_COST: usize = 128;
/// Bytes of the names of lines that ended, and of which it is not known whether they were taken.
const UNTAKEN: usize = 128 * 1024;

/// Bytes of a destination and of its place in the order.
const ROUTE_COST: usize = 192;
/// Bytes of one hop.
const HOP_COST: usize = 32;
/// Bytes of a line passed on: its name twice, its tries.
const RELAYED_COST: usize = 512;
/// Bytes of a request of ours beyond its text, and of the event that tells its end.
const PENDING_COST: usize = 768;
/// Bytes of a request of somebody else's: its name twice, its places in the tables.
const ANSWERING_COST: usize = 512;
/// Bytes of an address in an answer that is kept.
const TOLD_COST: usize = 80;
/// Bytes of broadcasts that share one piece of memory, and of which one may be left.
const TOGETHER: usize = 8 * 1024;
/// The least that a broadcast is charged that is kept.
const CACHED_LEAST: usize = 384;
/// Bytes of one that is kept beyond what it is charged, if it is of a stream of its own.
const CACHED_COST: usize = 256;
/// Bytes that lines may keep beside themselves, as they came with others: the first that waits for
/// a connection, and those whose order is fixed there.
const SHOWN: usize = TOGETHER + 3 * 64 * 1024;
/// Bytes that one byte of a read may become, when it holds the shortest messages there are: who
/// sends is not read any more when too many events wait, and they come a read at a time.
const READ_COST: usize = 4;

impl Limits {
    /// Bytes that a connection without hello can make the node hold, 7 KiB by default.
    pub fn worst_case_stranger(&self) -> usize {
        MAX_FIRST_LINE + 1 + FIRST_WORDS + LINK_COST
    }

    /// Bytes that one connection of a peer can make the node hold, 1.3 MiB by default, most of them
    /// in its queue; its undelivered events not counted, which all peers share.
    pub fn worst_case_peer(&self) -> usize {
        sum([self.max_line, 1, self.send_queue, self.control_reserve, LINK_COST])
    }

    /// Bytes that all peers together can make the node hold, when the driver hands in at most
    /// `read` bytes at once and the application dials nobody beyond `target_outbound`.
    ///
    /// ```
    /// use peerline_proto::Limits;
    ///
    /// let bytes = Limits::default().worst_case_node(64 * 1024);
    /// assert_eq!(bytes >> 20, 480, "in MiB, by default");
    /// ```
    pub fn worst_case_node(&self, read: usize) -> usize {
        sum(self.worst_case_parts(read).map(|(_, bytes)| bytes))
    }

    /// The same part by part.
    pub(crate) fn worst_case_parts(&self, read: usize) -> [(&'static str, usize); 33] {
        let per_peer = self.rivals.max(self.guest_connections);
        let inbound = self.max_inbound.saturating_mul(per_peer);
        let dialing = self.max_dialing.max(self.urgent_dialing);
        let dialled = sum([self.target_outbound, self.id_links, dialing]);
        let connections = sum([inbound, dialled]);
        let peers = sum([self.max_inbound, dialled]);
        let line = sum([self.max_line, 1, self.control_reserve, LINK_COST]);
        let ranges = self.missing_ranges.checked_next_power_of_two().unwrap_or(usize::MAX);
        let holes = ranges.saturating_mul(RANGE_COST);
        let (bits, tree) = (bits(peers), TREE_COST.saturating_add(bits(peers).saturating_mul(2)));
        let kept = (self.cache / CACHED_LEAST).saturating_mul(CACHED_COST.saturating_add(bits));
        let hops = self.hops_per_route.saturating_mul(HOP_COST);
        let outbox = GUESTS_WAITING.saturating_mul(GUEST_OBJECT).saturating_add(LINK_COST);
        let calls = self.guests.saturating_mul(GUEST_DIALS);
        let uncounted = self.guest_visits.saturating_mul(GUEST_UNCOUNTED);
        let under_way = sum([self.guest_visits, self.guest_told, calls]);
        [
            ("half open", self.half_open.saturating_mul(self.worst_case_stranger())),
            ("closing", self.closing.saturating_mul(LINK_COST)),
            ("losers", LOSERS.saturating_mul(self.max_line.saturating_add(1))),
            ("lines", connections.saturating_mul(line)),
            ("reads", connections.saturating_mul(read.saturating_mul(READ_COST))),
            ("shown", peers.saturating_mul(SHOWN)),
            ("queues", self.queued_total),
            ("events", self.event_queue),
            ("book", self.book.saturating_mul(ADDRESS_COST)),
            ("answers", self.addr_answer.saturating_mul(ANSWERS * TOLD_COST)),
            ("discouraged", self.discouraged.saturating_mul(ID_COST)),
            ("streams", self.streams.saturating_mul(sum([STREAM_COST, tree, holes]))),
            ("cache", sum([self.cache, kept, peers.saturating_mul(TOGETHER)])),
            ("wanted", self.wanted.saturating_mul(WANT_COST.saturating_add(bits))),
            ("recent ids", self.recent_ids.saturating_mul(4).saturating_mul(ID_COST)),
            ("verdicts", self.verdicts.saturating_mul(bits.saturating_add(2 * VERDICT_COST))),
            ("judged", self.verdict_bytes),
            ("routes", self.routes.saturating_mul(ROUTE_COST.saturating_add(hops))),
            ("relayed", self.relayed.saturating_mul(RELAYED_COST)),
            ("seeks", self.seeks.saturating_mul(ROUTE_COST)),
            ("pending", self.pending_requests.saturating_mul(PENDING_COST)),
            ("answering", self.answering.saturating_mul(ANSWERING_COST)),
            ("held", self.held_bytes),
            ("walks", self.walk_bytes.saturating_add(UNTAKEN)),
            ("asked", self.pending_bytes),
            ("early", self.early_bytes),
            ("replay", self.replay_bytes),
            ("guest replies", sum([self.guest_bytes, self.max_frame, uncounted])),
            ("guests", self.guests.saturating_mul(outbox.saturating_add(ADDRESS_COST * 2))),
            ("guest calls", under_way.saturating_mul(LINK_COST + GUEST_OBJECT)),
            ("guest requests", self.guest_requests.saturating_mul(LINK_COST)),
            ("guest ids", self.recent_ids.saturating_mul(4).saturating_mul(NUMBER_COST)),
            ("guest rates", RATED.saturating_mul(RATE_COST)),
        ]
    }
}

/// Bytes of a set of links beyond those that lie in the set itself: a bit each, by words.
fn bits(links: usize) -> usize {
    if links <= 128 { 0 } else { (links / 128).saturating_mul(32).max(64) }
}

fn sum<const N: usize>(parts: [usize; N]) -> usize {
    parts.into_iter().fold(0, usize::saturating_add)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stranger_is_cheap() {
        assert!(Limits::default().worst_case_stranger() <= 8 * 1024);
    }

    #[test]
    fn no_limits_overflow_the_sum() {
        let limits = Limits { max_line: usize::MAX, streams: usize::MAX, ..Limits::default() };
        assert_eq!(limits.worst_case_node(usize::MAX), usize::MAX);
        assert_eq!(limits.worst_case_peer(), usize::MAX);
    }
}
