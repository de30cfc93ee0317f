//! What the trees want sent.

use alloc::vec::Vec;

use super::cache::Key;
use crate::id::ConnId;
use crate::message::Frame;
use crate::seen::StreamId;

/// Something to be sent.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "testing", derive(Hash))]
pub(crate) enum Order {
    /// A broadcast.
    Push { conn: ConnId, frame: Frame, key: Key },
    /// Do not push this stream to us; without one, not in the shared tree.
    Prune { conn: ConnId, stream: Option<StreamId> },
    /// Push this stream to us, and these broadcasts of it now.
    Graft { conn: ConnId, stream: Option<StreamId>, want: Vec<(u64, u64)> },
    /// What was asked for is no longer there: these numbers of a stream.
    Gone { conn: ConnId, stream: StreamId, seqs: (u64, u64) },
    /// Look whether the link lives: it should have brought something.
    Ping { conn: ConnId },
}

/// Says that a number is gone: with the one before it, if that is gone too.
pub(super) fn gone(out: &mut Vec<Order>, conn: ConnId, stream: StreamId, seq: u64) {
    if let Some(Order::Gone { stream: same, seqs: (_, to), .. }) = out.last_mut() {
        if *same == stream && to.saturating_add(1) == seq {
            *to = seq;
            return;
        }
    }
    out.push(Order::Gone { conn, stream, seqs: (seq, seq) });
}
