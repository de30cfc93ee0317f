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

/// Says that a number is gone: with the one before it, if the same link was told that that is gone.
pub(super) fn gone(out: &mut Vec<Order>, conn: ConnId, stream: StreamId, seq: u64) {
    if let Some(Order::Gone { conn: to_whom, stream: same, seqs: (_, to) }) = out.last_mut() {
        if (*to_whom, *same) == (conn, stream) && to.saturating_add(1) == seq {
            *to = seq;
            return;
        }
    }
    out.push(Order::Gone { conn, stream, seqs: (seq, seq) });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::NodeId;
    use core::num::NonZeroU32;

    #[test]
    fn numbers_of_one_stream_that_follow_each_other_are_gone_together() {
        let ([conn, another], mut out) =
            ([1, 2].map(|slot| ConnId::new(slot, NonZeroU32::MIN)), Vec::new());
        let [one, other] = [1, 2].map(|number| (NodeId::from_random_bytes([number; 16]), 7));
        for (stream, seq) in [(one, 4), (one, 5), (one, 7), (other, 8), (other, 9), (one, 9)] {
            gone(&mut out, conn, stream, seq);
        }
        out.push(Order::Ping { conn });
        gone(&mut out, conn, one, 10);
        gone(&mut out, another, one, 11);
        let told = out.iter().filter_map(|order| match order {
            Order::Gone { conn, stream, seqs } => Some((*conn, *stream, *seqs)),
            Order::Push { .. } | Order::Prune { .. } | Order::Graft { .. } | Order::Ping { .. } => {
                None
            }
        });
        let expected =
            [(one, (4, 5)), (one, (7, 7)), (other, (8, 9)), (one, (9, 9)), (one, (10, 10))];
        let expected = expected.map(|(stream, seqs)| (conn, stream, seqs));
        let expected = expected.into_iter().chain([(another, one, (11, 11))]);
        assert_eq!(told.collect::<Vec<_>>(), expected.collect::<Vec<_>>());
    }
}
