//! The tree of one stream as this node sees it: a bit for each link, a parent, and who may become
//! it.

use core::time::Duration;

use super::bits::{Bits, Index};
use super::cache::Key;
use crate::rules::{Rules, TreeRule};
use crate::sorted::SortedMap;
use crate::time::Instant;

/// Least time between two wins that count.
const WINS_APART: Duration = Duration::from_millis(200);
/// Wins in a row after which a link is grafted.
pub(super) const WINS: u8 = 3;
/// How long a candidate has to prove itself.
const CANDIDATE: Duration = Duration::from_secs(2);
/// How long one prune of a link is enough at most: longer than copies are on their way.
const PRUNE_AGAIN: Duration = Duration::from_secs(5);
/// How soon one broadcast has to follow another for its race to count: who speaks less often gains
/// less by a tree of its own than it costs.
const OFTEN: Duration = Duration::from_secs(5);
/// How long a stream is quiet until it has no tree of its own any more: not long, as links come and
/// go meanwhile, and nothing mends it.
const QUIET: Duration = Duration::from_secs(25);
/// How long a candidate that did not is not chosen by wins again; doubles each time.
const BANNED: Duration = Duration::from_secs(60);
/// Links banned at once from one tree. When full: the one that would be free first is. 8: it takes
/// three wins and two seconds each, and a tree should cost little more than its stream.
const MOST_BANNED: usize = 8;

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
    /// The broadcast whose race is on.
    pub(super) race: Option<Race>,
    /// Who won races, how many running.
    pub(super) wins: Option<(Index, u8)>,
    /// Links that were candidates and brought nothing: until when, and for how long the next time.
    pub(super) banned: SortedMap<Index, (Instant, Duration)>,
    /// The number of the first broadcast heard.
    pub(super) first: Option<u64>,
    /// When a new one was last heard.
    pub(super) heard: Instant,
    /// That one came long after the one before.
    pub(super) is_rare: bool,
    /// When it was last used, on the clock of [`Trees`](super::trees::Trees).
    pub(super) used: u64,
}

/// A broadcast, and who could have brought it clearly before the link it came by. That is known
/// some time after it came, as announcements are held back.
#[derive(Copy, Clone, Debug)]
#[cfg_attr(feature = "testing", derive(Hash))]
pub(super) struct Race {
    pub(super) key: Key,
    /// When it came.
    pub(super) at: Instant,
    /// The best of the others, and when it could have.
    pub(super) best: Option<(Index, Instant)>,
}

impl Race {
    /// Whether it is too early for another.
    pub(super) fn is_on(&self, now: Instant) -> bool {
        now.saturating_since(self.at) < WINS_APART
    }

    /// A link could have brought it by then.
    pub(super) fn enter(&mut self, index: Index, could: Instant) {
        if self.best.is_none_or(|(_, best)| could < best) {
            self.best = Some((index, could));
        }
    }
}

impl Tree {
    /// A link was grafted: it may show what it can, from now on if something was asked of it, else
    /// from the next broadcast on.
    pub(super) fn try_out(&mut self, index: Index, asked: bool, rules: Rules, now: Instant) {
        if !rules.has(TreeRule::Candidate) {
            self.parent = Some(index);
            return;
        }
        let begins = asked || !rules.has(TreeRule::CandidateWaits);
        self.candidate = Some((index, begins.then_some(now + CANDIDATE)));
    }

    /// A link is to be pruned: whether to say so. Not again while copies arrive that were on their
    /// way, but again after a while: the word may have been lost in a full queue, or forgotten by a
    /// publisher that began anew.
    pub(super) fn prune(&mut self, index: Index, rules: Rules, now: Instant) -> bool {
        let since = *self.pruned_since.get_or_insert(now);
        let is_long_ago = now.saturating_since(since) >= PRUNE_AGAIN;
        if is_long_ago && rules.has(TreeRule::PruneAgain) {
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
        if self.banned.len() >= MOST_BANNED && !self.banned.contains_key(&index) {
            let first = self.banned.iter().min_by_key(|(_, (until, _))| *until);
            let first = first.map(|(free, _)| *free);
            first.map(|free| self.banned.remove(&free));
        }
        self.banned.insert(index, (now + length, length.saturating_mul(2)));
    }

    /// A broadcast came first over a link: it is the parent if there is none or it is the
    /// candidate; any other candidate's time has begun.
    pub(super) fn came_by(&mut self, index: Index, now: Instant) {
        self.settle(now);
        let is_candidate = self.candidate.is_some_and(|(candidate, _)| candidate == index);
        if is_candidate || self.parent.is_none() {
            // What was won against another parent counts no more.
            (self.parent, self.wins, self.race) = (Some(index), None, None);
        }
        self.candidate = self.candidate.filter(|_| !is_candidate);
        if let Some((_, until)) = &mut self.candidate {
            until.get_or_insert(now + CANDIDATE);
        }
        self.banned.remove(&index);
    }

    /// Whether nothing changes when more broadcasts come by a link now.
    pub(super) fn is_steady(&self, index: Index, rules: Rules, now: Instant) -> bool {
        let is_on = self.race.as_ref().is_some_and(|race| race.is_on(now));
        self.parent == Some(index)
            && self.candidate.is_none()
            && !self.banned.contains_key(&index)
            && (is_on && rules.has(TreeRule::WinsApart))
    }

    /// A race begins, unless one is on: in a burst of broadcasts one in 200 ms is enough. Returns
    /// the link that has now won often enough.
    pub(super) fn race(&mut self, race: Race, rules: Rules) -> Option<Index> {
        if self.is_rare && rules.has(TreeRule::RareStays) {
            (self.race, self.wins) = (None, None);
            return None;
        }
        let is_on = self.race.as_ref().is_some_and(|on| on.is_on(race.at));
        if is_on && rules.has(TreeRule::WinsApart) {
            return None;
        }
        let over = self.race.replace(race)?;
        self.count_win(over.best.map(|(winner, _)| winner), rules, race.at)
    }

    /// Whether a link may be in races: one that is banned keeps nobody else from winning.
    pub(super) fn may_win(&self, index: Index, rules: Rules, now: Instant) -> bool {
        let is_banned = self.banned.get(&index).is_some_and(|(until, _)| now < *until);
        !(is_banned && rules.has(TreeRule::Ban))
    }

    /// Counts a win of a link, if any; returns the link if it has won often enough.
    fn count_win(&mut self, winner: Option<Index>, rules: Rules, now: Instant) -> Option<Index> {
        if self.candidate.is_some() {
            return None;
        }
        let may_win = |winner: &Index| self.may_win(*winner, rules, now);
        let winner = winner.filter(may_win).filter(|winner| self.parent != Some(*winner));
        let Some(winner) = winner else {
            self.wins = None;
            return None;
        };
        let before = self.wins.filter(|(index, _)| *index == winner).map_or(0, |(_, count)| count);
        let count = before.saturating_add(1);
        let enough = if rules.has(TreeRule::ThreeWins) { WINS } else { 1 };
        self.wins = (count < enough).then_some((winner, count));
        (count >= enough).then_some(winner)
    }

    /// A new broadcast was heard.
    pub(super) fn hear(&mut self, now: Instant) {
        self.is_rare = now.saturating_since(self.heard) > OFTEN;
        self.heard = now;
    }

    /// Whether nothing was heard of the stream for long.
    pub(super) fn is_quiet(&self, now: Instant) -> bool {
        now.saturating_since(self.heard) >= QUIET
    }

    pub(super) fn forget(&mut self, index: Index) {
        self.eager.clear(index);
        self.pruned.clear(index);
        self.parent = self.parent.filter(|parent| *parent != index);
        self.candidate = self.candidate.filter(|(candidate, _)| *candidate != index);
        self.wins = self.wins.filter(|(winner, _)| *winner != index);
        if let Some(race) = &mut self.race {
            race.best = race.best.filter(|(best, _)| *best != index);
        }
        self.banned.remove(&index);
    }
}

#[cfg(test)]
mod tests;
