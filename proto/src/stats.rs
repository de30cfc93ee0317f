//! Counters of everything that happens and of everything that is dropped.

/// Counts since the node was made. They only grow, and saturate nowhere within any run.
#[derive(Copy, Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
#[cfg_attr(feature = "testing", derive(Hash))]
pub struct Stats {
    /// Connections opened: dialled and accepted.
    pub connections_opened: u64,
    /// Connections ended.
    pub connections_closed: u64,
    /// Bytes received.
    pub bytes_in: u64,
    /// Bytes that sockets took.
    pub bytes_out: u64,
    /// Lines received that are valid.
    pub lines_in: u64,
    /// Lines queued, once for each connection.
    pub lines_out: u64,
    /// Messages of the application delivered: broadcasts, one-to-one, requests and replies.
    pub delivered: u64,
    /// Broadcasts and one-to-one lines received again, or too late.
    pub duplicates: u64,
    /// Broadcasts forwarded, once for each connection.
    pub forwarded: u64,
    /// Bytes of lines that shape the trees and repair what they missed: announcements, grafts,
    /// prunes.
    pub tree_bytes: u64,
    /// Lines dropped from full queues, or not put there.
    pub skipped: u64,
    /// Lines still queued when their connection ended.
    pub lost_at_close: u64,
    /// Lines of a `msgtype` that is unknown here.
    pub unknown_types: u64,
    /// Unknown fields in known lines.
    pub unknown_fields: u64,
    /// Messages of a kind for which the application has no handler; counted by the runtime through
    /// [`Node::count_unknown_kind`](crate::Node::count_unknown_kind).
    pub unknown_kinds: u64,
    /// Broadcasts not taken: an originator that is no node id, a number of 0, or a stream with too
    /// many holes.
    pub not_taken: u64,
    /// Broadcasts that the application judged to be ignored.
    pub ignored: u64,
    /// Broadcasts that the application rejected.
    pub rejected: u64,
    /// Broadcasts ignored because their verdict did not come in time, or there was no room to wait
    /// for it.
    pub verdicts_late: u64,
    /// One-to-one lines for somebody else that could not be passed on.
    pub not_for_us: u64,
    /// Messages of guests that came too fast, or asked for what they may not have.
    pub guests_ignored: u64,
    /// Chat objects that are none, or that could not be carried out: too long, nobody to take them,
    /// too many waiting.
    pub chat_dropped: u64,
    /// One-to-one lines passed on, and searches once for each connection.
    pub relayed: u64,
    /// Addresses told too fast, or over what the book holds.
    pub addresses_ignored: u64,
    /// Feelers that found somebody.
    pub felt: u64,
    /// Peers that we dialled and that gave way to another.
    pub rotated: u64,
    /// Peers that dialled us and gave way to another.
    pub evicted: u64,
    /// Pings not answered because too many answers wait.
    pub pings_ignored: u64,
    /// Connections that broke the protocol.
    pub violations: u64,
    /// Handlers of the application that panicked; counted by the runtime through
    /// [`Node::count_handler_panic`](crate::Node::count_handler_panic).
    pub handler_panics: u64,
}
