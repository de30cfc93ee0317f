//! Broadcasts of one stream that come together and change nothing in its tree.
//!
//! A burst comes by the parent, while a race is on and nothing is missing: then what is done with
//! one broadcast is done with the next, and only the first is looked at from all sides.

use alloc::vec::Vec;

use super::{Order, Trees};
use crate::broadcast::bits::{Bits, Index};
use crate::broadcast::cache::{Entry, Key};
use crate::id::ConnId;
use crate::message::Frame;
use crate::seen::StreamId;
use crate::time::Instant;

/// What broadcasts of one stream do that change nothing, for the moment.
#[derive(Debug)]
pub(crate) struct Steady {
    from: Index,
    /// The number of the stream's first broadcast, which is none of them.
    first: Option<u64>,
    push: Vec<ConnId>,
    /// Who has each of them when it is pushed.
    have: Bits,
}

impl Steady {
    /// Whether it holds for this broadcast.
    pub(crate) fn holds_for(&self, seq: u64, hole: Option<(u64, u64)>) -> bool {
        hole.is_none() && self.first != Some(seq)
    }
}

impl Trees {
    /// What the next broadcasts of a stream do that come by the same link in the same moment, if
    /// they change nothing: the link is the parent, nobody may take its place now, and none of them
    /// was announced before.
    pub(crate) fn steady(&self, stream: StreamId, conn: ConnId, now: Instant) -> Option<Steady> {
        let index = *self.indices.get(&conn)?;
        let tree = self.trees.get(&stream)?;
        if !(tree.is_steady(index, self.rules, now) && self.repair.is_empty()) {
            return None;
        }
        let links = (0..).zip(&self.links).filter_map(|(to, link)| Some((to, link.as_ref()?)));
        let eager = links.filter(|(to, link)| *to != index && tree.eager.has(*to) && !link.suspect);
        let mut have = Bits::default();
        have.set(index);
        let push = eager.map(|(to, link)| (have.set(to), link.conn).1).collect();
        Some(Steady { from: index, first: tree.first, push, have })
    }

    /// As [`received`](Self::received), once that has said what is to be done.
    pub(crate) fn received_more(
        &mut self,
        key: Key,
        frame: Frame,
        steady: &Steady,
        now: Instant,
        out: &mut Vec<Order>,
    ) {
        let push = steady.push.iter();
        out.extend(push.map(|conn| Order::Push { conn: *conn, frame: frame.clone(), key }));
        let (from, have) = (Some(steady.from), steady.have.clone());
        self.cache.insert(Entry { key, frame, at: now, from, have });
    }
}
