//! The tree of one stream as this node sees it: a bit for each link, a parent, and who may become
//! it.

use alloc::collections::BTreeMap;
use core::time::Duration;

use super::bits::{Bits, Index};
use crate::time::Instant;

/// Least time between two wins that count.
const WINS_APART: Duration = Duration::from_millis(200);
/// Wins in a row after which a link is grafted.
const WINS: u8 = 3;
/// How long a candidate has to prove itself.
const CANDIDATE: Duration = Duration::from_secs(2);
/// How long one prune of a link is enough at most: longer than copies are on their way.
const PRUNE_AGAIN: Duration = Duration::from_secs(5);
/// How long a candidate that did not is not chosen by wins again; doubles each time.
const BANNED: Duration = Duration::from_secs(60);

/// The bits of one stream.
#[derive(Clone, Debug, Default)]
#[cfg_attr(feature = "testing", derive(Hash))]
pub(super) struct Tree {
    pub(super) eager: Bits,
    /// Links that we pruned of late and have not grafted since.
    pub(super) pruned: Bits,
    /// When the first of these was pruned.
    pub(super) pruned_since: Option<Instant>,
    pub(super) parent: Option<Index>,
    /// A link that was grafted, and until when it must have brought something. Its time does not
    /// begin before the stream goes on, or a stream that speaks rarely would never find a better
    /// parent, and pay a copy too many for each attempt.
    pub(super) candidate: Option<(Index, Option<Instant>)>,
    /// Whose announcement beat the payload, how often running, and when that last counted.
    pub(super) wins: Option<(Index, u8, Instant)>,
    /// Links that were candidates and brought nothing: until when, and for how long the next time.
    pub(super) banned: BTreeMap<Index, (Instant, Duration)>,
    /// The number of the first broadcast heard.
    pub(super) first: Option<u64>,
    /// When it was last used, on the clock of [`Trees`](super::trees::Trees).
    pub(super) used: u64,
}

impl Tree {
    /// A link was grafted: it may show what it can, from now on if something was asked of it, else
    /// from the next broadcast on.
    pub(super) fn try_out(&mut self, index: Index, asked: bool, now: Instant) {
        self.candidate = Some((index, asked.then_some(now + CANDIDATE)));
    }

    /// A link is to be pruned: whether to say so. Not again while copies arrive that were on their
    /// way, but again after a while: the word may have been lost in a full queue, or forgotten by a
    /// publisher that began anew.
    pub(super) fn prune(&mut self, index: Index, now: Instant) -> bool {
        let since = *self.pruned_since.get_or_insert(now);
        if now.saturating_since(since) >= PRUNE_AGAIN {
            (self.pruned, self.pruned_since) = (Bits::default(), Some(now));
        }
        self.pruned.set(index)
    }

    /// A link is grafted.
    pub(super) fn wanted_again(&mut self, index: Index) {
        self.pruned.clear(index);
    }

    /// A candidate whose time is over was none.
    pub(super) fn settle(&mut self, now: Instant) {
        let is_over = |until: Option<Instant>| until.is_some_and(|until| until <= now);
        let Some((index, _)) = self.candidate.filter(|(_, until)| is_over(*until)) else { return };
        self.candidate = None;
        let length = self.banned.get(&index).map_or(BANNED, |(_, next)| *next);
        self.banned.insert(index, (now + length, length.saturating_mul(2)));
    }

    /// A broadcast came first over a link: it is the parent if there is none or it is the
    /// candidate; any other candidate's time has begun.
    pub(super) fn came_by(&mut self, index: Index, now: Instant) {
        self.settle(now);
        let is_candidate = self.candidate.is_some_and(|(candidate, _)| candidate == index);
        if is_candidate || self.parent.is_none() {
            self.parent = Some(index);
        }
        self.candidate = self.candidate.filter(|_| !is_candidate);
        if let Some((_, until)) = &mut self.candidate {
            until.get_or_insert(now + CANDIDATE);
        }
        self.banned.remove(&index);
    }

    /// Counts a win of a link, if any; returns the link if it has won often enough.
    pub(super) fn count_win(&mut self, winner: Option<Index>, now: Instant) -> Option<Index> {
        if self.candidate.is_some() {
            return None;
        }
        let banned = |index: &Index| self.banned.get(index).is_some_and(|(until, _)| now < *until);
        let Some(winner) = winner.filter(|winner| !banned(winner)) else {
            self.wins = None;
            return None;
        };
        let (count, last) = match self.wins {
            Some((index, count, last)) if index == winner => (count, Some(last)),
            Some(_) | None => (0, None),
        };
        if last.is_some_and(|last| now.saturating_since(last) < WINS_APART) {
            return None;
        }
        let count = count.saturating_add(1);
        self.wins = (count < WINS).then_some((winner, count, now));
        (count >= WINS).then_some(winner)
    }

    pub(super) fn forget(&mut self, index: Index) {
        self.eager.clear(index);
        self.pruned.clear(index);
        self.parent = self.parent.filter(|parent| *parent != index);
        self.candidate = self.candidate.filter(|(candidate, _)| *candidate != index);
        self.wins = self.wins.filter(|(winner, _, _)| *winner != index);
        self.banned.remove(&index);
    }
}
