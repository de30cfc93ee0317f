//! The shared tree as this node sees it: with whom streams begin that have no tree of their own.
//!
//! First broadcasts shape it: one that comes twice takes a link out, one that has to be asked for
//! puts one in. Peers come and go meanwhile, and both would in time make it a long tree, or none.
//! So a link of it that goes is made good by others at once, and a link over which one first
//! broadcast after another could have come much sooner is put in. Sends nothing.

use core::time::Duration;

use super::bits::{Bits, Index};
use super::cache::Key;
use super::tree::{Race, WINS};
use crate::rules::{Rules, TreeRule};
use crate::seen::StreamId;
use crate::time::Instant;

/// How long the smallest stream of late keeps the others from pruning the tree.
const CROSSING: Duration = Duration::from_secs(1);
/// Least time by which a link must have been sooner to win: three times what a stream's own tree
/// asks for, as no one tree is the shortest for every originator.
const MARGIN: Duration = Duration::from_millis(30);
/// How long links that go are counted before others are put in.
const COLLECT: Duration = Duration::from_millis(20);
/// Links put in for each that went. The next first broadcast takes out the slower ones.
const FOR_ONE: usize = 2;

/// Its bits, and what changes them.
#[derive(Clone, Debug, Default)]
#[cfg_attr(feature = "testing", derive(Hash))]
pub(super) struct Shared {
    /// The bits with which a stream begins.
    pub(super) eager: Bits,
    /// Those of them over which a first broadcast might go since they are.
    tried: Bits,
    /// The smallest stream of which a first broadcast was heard of late.
    smallest: Option<(StreamId, Instant)>,
    /// The first broadcast whose race is on.
    race: Option<Race>,
    /// Who won races, how many running.
    wins: Option<(Index, u8)>,
    /// Links that went and were not made good.
    lost: usize,
    mend_at: Option<Instant>,
}

impl Shared {
    pub(super) fn has(&self, index: Index) -> bool {
        self.eager.has(index)
    }

    /// A link is of the tree from now on; false if it was already.
    pub(super) fn add(&mut self, index: Index) -> bool {
        let is_new = self.eager.set(index);
        if is_new {
            self.tried.clear(index);
        }
        is_new
    }

    /// A link is not of the tree.
    pub(super) fn remove(&mut self, index: Index) {
        self.eager.clear(index);
    }

    /// A stream's first broadcast came, or is published.
    pub(super) fn heard_first(&mut self, stream: StreamId, now: Instant) {
        self.tried = self.eager.clone();
        let recent = self.smallest.filter(|(_, since)| now.saturating_since(*since) <= CROSSING);
        if recent.is_none_or(|(smallest, _)| stream < smallest) {
            self.smallest = Some((stream, now));
        }
    }

    /// Whether copies of a stream's first broadcast take links out.
    pub(super) fn is_pruned_by(&self, stream: StreamId) -> bool {
        self.smallest.is_some_and(|(smallest, _)| smallest == stream)
    }

    // ---- a shorter way ----

    /// The race of a first broadcast begins, unless one is on. Returns the link to be put in, if
    /// one has now won often enough.
    pub(super) fn race(&mut self, race: Race) -> Option<Index> {
        if self.race.as_ref().is_some_and(|on| on.is_on(race.at)) {
            return None;
        }
        let best = race.best.filter(|(index, could)| self.is_win(*index, *could, race.at));
        let over = self.race.replace(Race { best, ..race })?;
        let Some((winner, _)) = over.best else {
            self.wins = None;
            return None;
        };
        let before = self.wins.filter(|(index, _)| *index == winner).map_or(0, |(_, count)| count);
        let count = before.saturating_add(1);
        self.wins = (count < WINS).then_some((winner, count));
        (count >= WINS).then_some(winner)
    }

    /// A link could have brought a broadcast by then.
    pub(super) fn enter(&mut self, key: Key, index: Index, could: Instant) {
        let Some(at) = self.race.as_ref().filter(|race| race.key == key).map(|race| race.at) else {
            return;
        };
        if self.is_win(index, could, at) {
            self.race.iter_mut().for_each(|race| race.enter(index, could));
        }
    }

    /// Who is of the tree and did not bring it has nothing to win.
    fn is_win(&self, index: Index, could: Instant, at: Instant) -> bool {
        !self.has(index) && at.saturating_since(could) >= MARGIN
    }

    // ---- links that go ----

    /// A link is gone. If it was of use, both its ends put others in: it cut off few nodes, mostly,
    /// and nearly all other links lead to the rest.
    pub(super) fn forget(&mut self, index: Index, rules: Rules, now: Instant) {
        if self.has(index) && self.tried.has(index) && rules.has(TreeRule::Mend) {
            self.lost = self.lost.saturating_add(1);
            self.mend_at.get_or_insert(now + COLLECT);
        }
        self.remove(index);
        self.wins = self.wins.filter(|(winner, _)| *winner != index);
        if let Some(race) = &mut self.race {
            race.best = race.best.filter(|(best, _)| *best != index);
        }
    }

    /// How many links are to be put in now, of those that are `fit`; new ones of the tree count.
    pub(super) fn missing(&mut self, fit: impl Iterator<Item = Index>, now: Instant) -> usize {
        if self.mend_at.is_none_or(|at| at > now) {
            return 0;
        }
        self.mend_at = None;
        let lost = core::mem::take(&mut self.lost);
        let new = fit.filter(|index| self.has(*index) && !self.tried.has(*index)).count();
        lost.saturating_mul(FOR_ONE).saturating_sub(new)
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.mend_at
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::NodeId;
    use crate::limits::Limits;

    fn at(millis: u64) -> Instant {
        Instant::ZERO + Duration::from_millis(millis)
    }

    fn stream(number: u8) -> StreamId {
        (NodeId::from_random_bytes([number; 16]), 7)
    }

    /// A tree of links 0 and 1, both of use.
    fn shared() -> Shared {
        let mut shared = Shared::default();
        assert!(shared.add(0) && shared.add(1) && !shared.add(1));
        shared.heard_first(stream(1), at(0));
        shared
    }

    /// The race of a first broadcast that came then, and who could have brought it.
    fn race(shared: &mut Shared, number: u8, now: u64, by: Index, could: u64) -> Option<Index> {
        let race = Race { key: (stream(number), 1), at: at(now), best: None };
        let won = shared.race(race);
        shared.enter((stream(number), 1), by, at(could));
        won
    }

    #[test]
    fn a_link_that_wins_three_times_running_is_put_in() {
        let mut shared = shared();
        assert_eq!(race(&mut shared, 1, 1000, 5, 970), None);
        assert_eq!(race(&mut shared, 2, 2000, 5, 1970), None);
        assert_eq!(race(&mut shared, 3, 3000, 5, 2970), None);
        assert_eq!(race(&mut shared, 4, 4000, 5, 3970), Some(5), "of whichever streams");
        assert_eq!(race(&mut shared, 5, 5000, 5, 4971), None, "begins anew, and 29 ms are none");
        let rest = [6, 7, 8, 9].map(|n| race(&mut shared, n, u64::from(n) * 1000, 5, 0));
        assert_eq!(rest, [None, None, None, Some(5)]);
    }

    #[test]
    fn who_is_of_the_tree_wins_nothing_and_one_in_200_ms_counts() {
        let mut shared = shared();
        let own = (1..9).filter_map(|n| race(&mut shared, n, u64::from(n) * 1000, 1, 0));
        assert_eq!(own.count(), 0);
        let mut quick = (10..19).filter_map(|n| race(&mut shared, n, u64::from(n) * 100, 5, 0));
        assert_eq!(quick.next(), None);
        let gone = (20..23).filter_map(|n| race(&mut shared, n, u64::from(n) * 1000, 5, 0));
        assert_eq!(gone.count(), 0);
        shared.forget(5, Limits::default().rules(), at(23_000));
        assert_eq!(race(&mut shared, 24, 24_000, 6, 0), None);
    }

    #[test]
    fn two_are_put_in_for_one_that_goes_if_it_was_of_use() {
        let (mut shared, rules) = (shared(), Limits::default().rules());
        shared.add(2);
        shared.forget(2, rules, at(0));
        shared.forget(3, rules, at(0));
        assert_eq!((shared.next_deadline(), shared.missing(0..9, at(100))), (None, 0));
        shared.forget(1, rules, at(100));
        assert_eq!(shared.next_deadline(), Some(at(120)));
        assert_eq!((shared.missing(0..9, at(119)), shared.missing(0..9, at(120))), (0, 2));
        assert_eq!((shared.missing(0..9, at(120)), shared.next_deadline()), (0, None));
        shared.add(4);
        shared.forget(0, rules, at(200));
        assert_eq!(shared.missing([4, 5, 6].into_iter(), at(220)), 1, "one is new anyway");
    }

    #[test]
    fn of_first_broadcasts_within_a_second_the_smallest_stream_prunes() {
        let mut shared = Shared::default();
        let mut hear = |number, millis| {
            shared.heard_first(stream(number), at(millis));
            (1..9).find(|number| shared.is_pruned_by(stream(*number)))
        };
        assert_eq!((hear(3, 0), hear(5, 1000)), (Some(3), Some(3)));
        assert_eq!(hear(5, 1001), Some(5), "that was long ago");
        assert_eq!((hear(4, 1002), hear(4, 1900), hear(6, 2002)), (Some(4), Some(4), Some(4)));
        assert_eq!(hear(6, 2003), Some(6), "counted from when it was first heard");
    }

    #[test]
    fn who_leads_when_a_race_begins_has_to_be_clearly_sooner_and_not_of_the_tree() {
        for (index, sooner, expected) in [(5, 30, Some(5)), (5, 29, None), (1, 30, None)] {
            let mut shared = shared();
            let won = (1..=4_u8).map(|number| {
                let now = u64::from(number) * 1000;
                let best = Some((index, at(now - sooner)));
                shared.race(Race { key: (stream(number), 1), at: at(now), best })
            });
            assert_eq!(won.last().flatten(), expected, "{index} {sooner}");
        }
    }

    #[test]
    fn what_is_of_use_is_said_of_the_links_that_were_there() {
        let (mut shared, rules) = (shared(), Limits::default().rules());
        shared.remove(0);
        assert!(!shared.has(0) && shared.has(1));
        shared.forget(0, rules, at(0));
        assert_eq!(shared.next_deadline(), None, "it was not of the tree");
        shared.add(0);
        shared.forget(0, rules, at(0));
        assert_eq!(shared.next_deadline(), None, "nothing went over it since");
        shared.add(0);
        shared.heard_first(stream(2), at(0));
        shared.forget(0, rules, at(0));
        shared.forget(1, rules, at(10));
        assert_eq!((shared.next_deadline(), shared.missing(0..9, at(20))), (Some(at(20)), 4));
    }

    #[test]
    fn a_win_of_another_link_begins_a_new_row() {
        let mut shared = shared();
        for (number, by, expected) in
            [(1, 5, None), (2, 6, None), (3, 6, None), (4, 6, None), (5, 6, Some(6))]
        {
            let now = u64::from(number) * 1000;
            assert_eq!(race(&mut shared, number, now, by, now - 30), expected, "{number}");
        }
    }
}
