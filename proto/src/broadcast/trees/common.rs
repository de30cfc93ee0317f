//! What the streams have in common: the shared tree, and when they go by it.
//!
//! Which links are of it is for the `Shared` tree to say; here is what that means to the trees of
//! streams, and what others are told.

use alloc::vec::Vec;

use super::{Order, Trees};
use crate::broadcast::bits::Index;
use crate::broadcast::cache::Key;
use crate::rules::TreeRule;
use crate::seen::StreamId;
use crate::time::Instant;

impl Trees {
    /// Notes a stream's first broadcast; true if this is it.
    pub(super) fn note_first(&mut self, key: Key, now: Instant) -> bool {
        self.let_go_if_quiet(key.0, now);
        let Some(tree) = self.tree(key.0) else { return false };
        tree.hear(now);
        let is_first = *tree.first.get_or_insert(key.1) == key.1;
        if is_first {
            self.shared.heard_first(key.0, now);
        }
        is_first
    }

    /// A stream that was quiet for long has no tree of its own any more, and begins anew: links
    /// come and go, and each would break the trees of all streams where it breaks the shared one
    /// now, which is mended at once.
    pub(super) fn let_go_if_quiet(&mut self, stream: StreamId, now: Instant) {
        let tree = self.trees.get(&stream).filter(|_| self.rules.has(TreeRule::QuietAnew));
        if let Some(used) = tree.filter(|tree| tree.is_quiet(now)).map(|tree| tree.used) {
            self.order.remove(&used);
            self.trees.remove(&stream);
        }
    }

    /// A link is of the shared tree from now on, at both ends.
    pub(super) fn graft_shared(&mut self, index: Index, out: &mut Vec<Order>) {
        let Some(conn) = self.link(index).map(|link| link.conn) else { return };
        if self.rules.has(TreeRule::BothEnds) {
            self.shared.add(index);
        }
        out.push(Order::Graft { conn, stream: None, want: Vec::new() });
    }

    /// Puts others in for links of the shared tree that went: the nearest.
    pub(super) fn mend(&mut self, now: Instant, out: &mut Vec<Order>) {
        let links =
            (0..).zip(&self.links).filter_map(|(index, link)| Some((index, link.as_ref()?)));
        let fit = links.filter(|(_, link)| !link.suspect);
        let missing = self.shared.missing(fit.clone().map(|(index, _)| index), now);
        if missing == 0 {
            return;
        }
        let others = fit.filter(|(index, _)| !self.shared.has(*index));
        let mut others: Vec<_> = others.map(|(index, link)| (link.round_trip, index)).collect();
        others.sort_unstable();
        others.iter().take(missing).for_each(|(_, index)| self.graft_shared(*index, out));
    }
}
