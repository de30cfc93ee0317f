//! What others announced and we have not: whom to ask for it, and when.
//!
//! A broadcast that a tree brings comes sooner than anybody is asked. What does not come is asked
//! of its announcers in turn, until it is served or given up. Each round of them takes twice as
//! long as the one before: who announces what he does not serve, or what does not exist, would
//! else have us ask ten times a second. And who announces least is heard when there is no room.
//! Of the first few announcers it is kept how early they were; the others are asked after them, or
//! as many liars could keep a broadcast from us by being first.

use alloc::vec::Vec;
use core::time::Duration;

use super::bits::{Bits, Index};
use super::cache::Key;
use crate::sorted::{SortedMap, SortedSet};
use crate::time::Instant;

/// Announcers of one broadcast of which it is remembered how early they were.
const ANNOUNCERS: usize = 8;
/// Broadcasts looked at for one that gives way to another. Of a flood, nearly each one does.
const LOOKED_AT: usize = 64;

/// Somebody who says that it has a broadcast.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "testing", derive(Hash))]
pub(crate) struct Announcer {
    pub(crate) index: Index,
    /// When it could have pushed it to us: its announcement, less how long it held that back.
    pub(crate) could: Instant,
}

/// A broadcast that is missing.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "testing", derive(Hash))]
struct Want {
    announcers: Vec<Announcer>,
    /// Who announced it when there was no more room, and who of them was asked last.
    others: Bits,
    other: Index,
    /// Whom to ask next.
    turn: usize,
    /// How often one of the first was asked.
    asked: u32,
    due: Instant,
    until: Instant,
}

impl Want {
    /// Others take the place of announcers that are gone.
    fn fill(&mut self) {
        while self.announcers.len() < ANNOUNCERS {
            let Some(index) = self.others.next_after(self.other) else { return };
            self.others.clear(index);
            // As late as can be: nobody knows any more.
            self.announcers.push(Announcer { index, could: self.until });
        }
    }

    /// Whom to ask now, of those who are there, and in which round: the first announcers in turn,
    /// and after each round of them the others, each once.
    fn next(&mut self, is_there: impl Fn(Index) -> bool) -> Option<(Index, u32)> {
        let count = self.announcers.len();
        let round = |asked: u32| asked.checked_div(u32::try_from(count).unwrap_or(u32::MAX));
        while self.turn >= count {
            let Some(index) = self.others.next_after(self.other) else { break };
            self.others.clear(index);
            self.other = index;
            if is_there(index) {
                return Some((index, round(self.asked.saturating_sub(1))?));
            }
        }
        let turns = (0..count).filter_map(|step| {
            let turn = self.turn.saturating_add(step).checked_rem(count)?;
            let index = self.announcers.get(turn)?.index;
            is_there(index).then_some((turn, index))
        });
        let (turn, index) = turns.into_iter().next()?;
        self.turn = turn.saturating_add(1);
        let asked = self.asked;
        self.asked = asked.saturating_add(1);
        Some((index, round(asked)?))
    }
}

/// All that is missing.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "testing", derive(Hash))]
pub(crate) struct Repair {
    wants: SortedMap<Key, Want>,
    due: SortedSet<(Instant, Key)>,
    /// How many each link announced first.
    shares: SortedMap<Index, usize>,
    capacity: usize,
    give_up: Duration,
}

impl Repair {
    pub(crate) fn new(capacity: usize, give_up: Duration) -> Self {
        Self {
            wants: SortedMap::new(),
            due: SortedSet::new(),
            shares: SortedMap::new(),
            capacity,
            give_up,
        }
    }

    /// Nothing of a stream is missing from this number on.
    pub(crate) fn has_none_from(&self, (stream, seq): Key) -> bool {
        self.wants.range((stream, seq)..=(stream, u64::MAX)).next().is_none()
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.wants.len()
    }

    /// A link has a broadcast that we have not. It is asked for after `patience`, or sooner if
    /// another has announced it before. False if there is no room, in all or for this link.
    pub(crate) fn announced(
        &mut self,
        key: Key,
        announcer: Announcer,
        patience: Duration,
        now: Instant,
    ) -> bool {
        if let Some(want) = self.wants.get_mut(&key) {
            let known = want.announcers.iter().any(|known| known.index == announcer.index);
            if !known && want.announcers.len() < ANNOUNCERS {
                want.announcers.push(announcer);
                self.hurry(key, now + patience);
            } else if !known {
                want.others.set(announcer.index);
            }
            return true;
        }
        let share = self.share(announcer.index);
        if share >= self.capacity / 4 || !self.has_room(share) {
            return false;
        }
        self.shares.insert(announcer.index, share.saturating_add(1));
        let (due, until) = (now + patience, now + self.give_up);
        let announcers = Vec::from([announcer]);
        let (others, other) = (Bits::default(), 0);
        self.wants.insert(key, Want { announcers, others, other, turn: 0, asked: 0, due, until });
        self.due.insert((due, key));
        true
    }

    /// How many a link announced first.
    fn share(&self, index: Index) -> usize {
        self.shares.get(&index).copied().unwrap_or_default()
    }

    /// Whether there is room for one more of a link that has so many. If not, one of a link with
    /// more gives way: a few links that flood do not keep the others from being heard.
    fn has_room(&mut self, share: usize) -> bool {
        if self.wants.len() < self.capacity {
            return true;
        }
        let has_more = |key: &Key| {
            let first = self.wants.get(key).and_then(|want| want.announcers.first());
            first.is_some_and(|first| self.share(first.index) > share.saturating_add(1))
        };
        let victim = self.due.iter_back().take(LOOKED_AT).map(|(_, key)| *key).find(has_more);
        victim.is_some_and(|key| !self.came(&key).is_empty())
    }

    /// Somebody new has what others were asked for in vain: he is asked next, and not only when
    /// their time is over.
    fn hurry(&mut self, key: Key, at: Instant) {
        let Some(want) = self.wants.get_mut(&key).filter(|want| want.asked > 0) else { return };
        want.turn = want.announcers.len().saturating_sub(1);
        self.due.remove(&(want.due, key));
        want.due = want.due.min(at);
        self.due.insert((want.due, key));
    }

    /// Whether somebody was asked for it.
    pub(crate) fn was_asked(&self, key: &Key) -> bool {
        self.wants.get(key).is_some_and(|want| want.asked > 0)
    }

    /// It came. Who were the first that had announced it before.
    pub(crate) fn came(&mut self, key: &Key) -> Vec<Announcer> {
        let Some(want) = self.wants.remove(key) else { return Vec::new() };
        self.due.remove(&(want.due, *key));
        self.discharge(&want);
        want.announcers
    }

    /// A link has it no longer. Whoever is left is asked; if nobody is, it is given up.
    pub(crate) fn has_not(&mut self, key: &Key, index: Index) {
        let Some(want) = self.wants.get_mut(key) else { return };
        want.others.clear(index);
        let is_alone = want.others.next_after(0).is_none();
        if is_alone && want.announcers.iter().all(|announcer| announcer.index == index) {
            self.came(key);
            return;
        }
        let was_first = want.announcers.first().is_some_and(|first| first.index == index);
        if was_first {
            let want = want.clone();
            self.discharge(&want);
        }
        let Some(want) = self.wants.get_mut(key) else { return };
        want.announcers.retain(|announcer| announcer.index != index);
        want.fill();
        if let Some(first) = want.announcers.first().filter(|_| was_first) {
            self.shares.change(first.index, |share| *share = share.saturating_add(1));
        }
    }

    fn discharge(&mut self, want: &Want) {
        let Some(first) = want.announcers.first() else { return };
        if let Some(share) = self.shares.get_mut(&first.index) {
            *share = share.saturating_sub(1);
            if *share == 0 {
                self.shares.remove(&first.index);
            }
        }
    }

    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.due.first().map(|(at, _)| *at)
    }

    /// Takes out a broadcast whose time has come and says whom to ask for it; `None` when none is
    /// due. `wait` says how long to wait for an answer of a link before the next is asked, and
    /// nothing for a link that is gone.
    pub(crate) fn ask(
        &mut self,
        now: Instant,
        wait: impl Fn(Index) -> Option<Duration>,
    ) -> Option<(Key, Index)> {
        loop {
            let (at, key) = self.due.first().copied().filter(|(at, _)| *at <= now)?;
            self.due.remove(&(at, key));
            let Some(want) = self.wants.get_mut(&key) else { continue };
            let next = want.next(|index| wait(index).is_some()).filter(|_| now < want.until);
            let next = next.and_then(|(index, round)| Some((index, round, wait(index)?)));
            let Some((index, round, patience)) = next else {
                self.came(&key);
                continue;
            };
            let longer = 1_u32.checked_shl(round).unwrap_or(u32::MAX);
            want.due = now + patience.saturating_mul(longer);
            let due = want.due;
            self.due.insert((due, key));
            return Some((key, index));
        }
    }

    /// A link is gone: its number may be another's from here on.
    pub(crate) fn forget(&mut self, index: Index) {
        let mut shares: SortedMap<Index, usize> = SortedMap::new();
        let due = &mut self.due;
        self.wants.retain(|key, want| {
            want.announcers.retain(|announcer| announcer.index != index);
            want.others.clear(index);
            want.fill();
            let Some(first) = want.announcers.first() else {
                due.remove(&(want.due, *key));
                return false;
            };
            shares.change(first.index, |share| *share = share.saturating_add(1));
            true
        });
        self.shares = shares;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::NodeId;

    fn at(millis: u64) -> Instant {
        Instant::ZERO + Duration::from_millis(millis)
    }

    fn key(seq: u64) -> Key {
        ((NodeId::from_random_bytes([1; 16]), 7), seq)
    }

    fn by(index: Index) -> Announcer {
        Announcer { index, could: at(0) }
    }

    fn repair() -> Repair {
        Repair::new(8, Duration::from_secs(30))
    }

    const PATIENCE: Duration = Duration::from_millis(300);

    fn always(_: Index) -> Option<Duration> {
        Some(Duration::from_millis(100))
    }

    #[test]
    fn announcers_are_asked_in_turn_until_it_comes() {
        let mut repair = repair();
        assert!(repair.announced(key(1), by(1), PATIENCE, at(0)));
        assert!(repair.announced(key(1), by(2), PATIENCE, at(50)));
        assert_eq!(repair.ask(at(299), always), None);
        assert_eq!(repair.ask(at(300), always), Some((key(1), 1)));
        assert_eq!(repair.ask(at(399), always), None);
        assert_eq!(repair.ask(at(400), always), Some((key(1), 2)));
        assert_eq!(repair.ask(at(500), always), Some((key(1), 1)));
        assert_eq!(repair.ask(at(699), always), None, "the second round takes twice as long");
        assert_eq!(repair.came(&key(1)).len(), 2);
        assert_eq!((repair.ask(at(9_000), always), repair.next_deadline()), (None, None));
    }

    #[test]
    fn who_never_serves_is_asked_a_few_times() {
        let mut repair = repair();
        repair.announced(key(1), by(1), PATIENCE, at(0));
        let asked = |repair: &mut Repair, from: u64, to: u64| {
            (from..to).step_by(10).filter(|now| repair.ask(at(*now), always).is_some()).count()
        };
        // After 300, 400, 600, 1,000, 1,800, 3,400, 6,600, 13,000 and 25,800 ms.
        assert_eq!(asked(&mut repair, 0, 20_000), 8);
        repair.announced(key(1), by(2), PATIENCE, at(20_000));
        assert_eq!(repair.ask(at(20_299), always), None);
        assert_eq!(repair.ask(at(20_300), always), Some((key(1), 2)), "somebody new is asked");
        assert!(asked(&mut repair, 20_310, 40_000) <= 8);
        assert_eq!(repair.len(), 0);
    }

    #[test]
    fn announcers_beyond_the_first_few_are_asked_after_them() {
        let mut repair = repair();
        assert!((1..=11).all(|link| repair.announced(key(1), by(link), PATIENCE, at(0))));
        repair.forget(9);
        let mut asked = (300..2_000).step_by(100).filter_map(|now| repair.ask(at(now), always));
        let first: Vec<Index> = asked.by_ref().take(11).map(|(_, link)| link).collect();
        assert_eq!(first, [1, 2, 3, 4, 5, 6, 7, 8, 10, 11, 1], "and then from the beginning");
        (1..=8).for_each(|link| repair.has_not(&key(1), link));
        assert_eq!(repair.len(), 0, "the others were asked");
    }

    #[test]
    fn others_take_the_place_of_announcers_that_are_gone() {
        let mut repair = repair();
        assert!((1..=10).all(|link| repair.announced(key(1), by(link), PATIENCE, at(0))));
        (1..=8).for_each(|link| repair.has_not(&key(1), link));
        assert_eq!((repair.len(), repair.share(9)), (1, 1));
        repair.forget(9);
        assert_eq!((repair.ask(at(300), always), repair.share(10)), (Some((key(1), 10)), 1));
        repair.forget(10);
        assert_eq!((repair.len(), repair.shares.len()), (0, 0));
    }

    #[test]
    fn who_announces_least_is_heard_when_there_is_no_room() {
        let mut repair = repair();
        for link in 1..5 {
            let seqs = u64::from(link) * 100..;
            let taken = seqs
                .take(9)
                .filter(|seq| repair.announced(key(*seq), by(link), PATIENCE, at(u64::from(link))));
            assert_eq!(taken.count(), 2, "a quarter");
        }
        assert!(repair.announced(key(1), by(9), PATIENCE, at(9)));
        assert_eq!((repair.len(), repair.due.len()), (8, 8));
        assert_eq!(repair.share(4), 1, "of those with more, the latest gave way");
        assert!(!repair.announced(key(2), by(9), PATIENCE, at(9)), "nobody has two more");
        assert!(!repair.announced(key(500), by(4), PATIENCE, at(9)), "nor than this one");
        assert_eq!(repair.ask(at(400), always), Some((key(100), 1)));
    }

    #[test]
    fn it_is_given_up_after_a_while_or_when_nobody_is_left() {
        let mut repair = repair();
        repair.announced(key(1), by(1), PATIENCE, at(0));
        assert!(repair.ask(at(29_999), always).is_some());
        assert_eq!((repair.ask(at(30_100), always), repair.len()), (None, 0));
        repair.announced(key(2), by(1), PATIENCE, at(0));
        assert_eq!((repair.ask(at(1000), |_| None), repair.len()), (None, 0));
        repair.announced(key(3), by(1), PATIENCE, at(0));
        repair.forget(1);
        assert_eq!((repair.len(), repair.next_deadline()), (0, None));
    }

    #[test]
    fn who_has_it_no_longer_is_not_asked_again() {
        let mut repair = repair();
        repair.announced(key(1), by(1), PATIENCE, at(0));
        repair.announced(key(1), by(2), PATIENCE, at(0));
        repair.has_not(&key(1), 1);
        assert_eq!((repair.shares.get(&1), repair.shares.get(&2)), (None, Some(&1)));
        assert_eq!(repair.ask(at(300), always), Some((key(1), 2)));
        assert_eq!(repair.ask(at(400), always), Some((key(1), 2)));
        repair.has_not(&key(1), 2);
        assert_eq!((repair.len(), repair.shares.len(), repair.next_deadline()), (0, 0, None));
    }

    #[test]
    fn one_link_announces_a_quarter_of_what_may_be_wanted() {
        let mut repair = repair();
        let taken = (0..100).filter(|seq| repair.announced(key(*seq), by(1), PATIENCE, at(0)));
        assert_eq!(taken.count(), 2);
        assert!(repair.announced(key(200), by(2), PATIENCE, at(0)));
        repair.came(&key(0));
        assert!(repair.announced(key(300), by(1), PATIENCE, at(0)));
        for index in 3..9 {
            repair.announced(key(1000 + u64::from(index)), by(index), PATIENCE, at(0));
        }
        assert_eq!(repair.len(), 8);
    }

    #[test]
    fn of_eight_announcers_it_is_kept_how_early_they_were() {
        let mut repair = repair();
        for link in [1, 2, 2, 3, 4, 5, 6, 7, 8, 9, 1] {
            assert!(repair.announced(key(1), by(link), PATIENCE, at(0)));
        }
        let first: Vec<Index> = repair.came(&key(1)).iter().map(|known| known.index).collect();
        assert_eq!(first, [1, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!((repair.len(), repair.next_deadline(), repair.shares.len()), (0, None, 0));
        assert!(repair.came(&key(1)).is_empty());
    }

    #[test]
    fn it_is_known_what_is_missing_from_a_number_on_and_what_was_asked_for() {
        let mut repair = repair();
        repair.announced(key(5), by(1), PATIENCE, at(0));
        let other = ((NodeId::from_random_bytes([2; 16]), 7), 9);
        repair.announced(other, by(2), PATIENCE, at(1));
        let none = |repair: &Repair, seq| repair.has_none_from(key(seq));
        assert_eq!([4, 5, 6].map(|seq| none(&repair, seq)), [false, false, true]);
        assert_eq!([key(5), other, key(6)].map(|key| repair.was_asked(&key)), [false; 3]);
        assert_eq!(
            (repair.next_deadline(), repair.ask(at(300), always)),
            (Some(at(300)), Some((key(5), 1)),)
        );
        assert_eq!([key(5), other].map(|key| repair.was_asked(&key)), [true, false]);
        assert_eq!(repair.next_deadline(), Some(at(301)));
        repair.came(&key(5));
        assert!(none(&repair, 0) && !repair.was_asked(&key(5)));
    }

    #[test]
    fn somebody_new_does_not_put_off_when_the_next_is_asked() {
        let mut repair = repair();
        repair.announced(key(1), by(1), PATIENCE, at(0));
        assert_eq!(repair.ask(at(300), always), Some((key(1), 1)));
        repair.announced(key(1), by(2), PATIENCE, at(350));
        assert_eq!((repair.next_deadline(), repair.due.len()), (Some(at(400)), 1));
        assert_eq!(repair.ask(at(400), always), Some((key(1), 2)), "its turn is next");
        let mut unasked = self::repair();
        unasked.announced(key(1), by(1), PATIENCE, at(0));
        unasked.announced(key(1), by(2), Duration::ZERO, at(50));
        assert_eq!(unasked.next_deadline(), Some(at(300)), "nobody was asked in vain");
    }

    #[test]
    fn who_is_gone_is_passed_over_and_waited_for_by_nobody() {
        let mut repair = repair();
        for link in 1..=3 {
            repair.announced(key(1), by(link), PATIENCE, at(0));
        }
        let but =
            |gone: Index| move |link| Some(Duration::from_millis(100)).filter(|_| link != gone);
        assert_eq!(repair.ask(at(300), but(1)), Some((key(1), 2)));
        assert_eq!(repair.ask(at(400), but(3)), Some((key(1), 1)));
        assert_eq!(repair.ask(at(500), but(2)), Some((key(1), 3)));
        // Three were asked: the next round takes twice as long.
        assert_eq!(repair.ask(at(600), but(9)), Some((key(1), 1)));
        assert_eq!(repair.next_deadline(), Some(at(800)));
    }

    #[test]
    fn a_share_passes_to_the_next_announcer_and_only_then() {
        let mut repair = repair();
        for link in [1, 2, 3] {
            repair.announced(key(1), by(link), PATIENCE, at(0));
        }
        repair.has_not(&key(1), 2);
        assert_eq!([1, 2, 3].map(|link| repair.share(link)), [1, 0, 0]);
        repair.has_not(&key(2), 1);
        repair.has_not(&key(1), 1);
        assert_eq!([1, 2, 3].map(|link| repair.share(link)), [0, 0, 1]);
        repair.announced(key(2), by(3), PATIENCE, at(0));
        assert_eq!(repair.share(3), 2);
        repair.came(&key(1));
        assert_eq!((repair.share(3), repair.shares.len()), (1, 1));
        repair.forget(3);
        assert_eq!((repair.len(), repair.share(3), repair.due.len()), (0, 0, 0));
    }

    #[test]
    fn one_more_than_another_is_not_enough_to_give_way() {
        let mut repair = Repair::new(12, Duration::from_secs(30));
        for (seq, link) in (0..12).map(|seq| (seq, [1, 1, 1, 2, 2, 2, 3, 3, 4, 4, 5, 5])) {
            let link = link.get(usize::try_from(seq).unwrap_or_default()).copied();
            assert!(link.is_some_and(|link| repair.announced(
                key(seq),
                by(link),
                PATIENCE,
                at(seq)
            )));
        }
        assert!(
            !repair.announced(key(90), by(3), PATIENCE, at(90)),
            "3 has two, the most is three"
        );
        assert!(repair.announced(key(91), by(6), PATIENCE, at(91)), "6 has none");
        let shares = [1, 2, 3, 4, 5, 6].map(|link| repair.share(link));
        assert_eq!(shares, [3, 3, 2, 2, 1, 1], "the latest gave way");
    }
}
