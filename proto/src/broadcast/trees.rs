//! Broadcast trees: to whom a broadcast is pushed, to whom it is announced, and how the one becomes
//! the other.
//!
//! For each stream and link one bit: *eager*, we push to it; *lazy*, we announce. A copy too many
//! prunes the link it came by; a copy too late grafts a better one. A stream begins with the bits
//! of the *shared* tree, which first broadcasts shape. What must hold is not that everyone has a
//! parent, which nodes in a circle have too, but that everyone is reached from the originator over
//! eager links: so a link becomes the parent only when it has proved itself, as *candidate*.
//!
//! Every rule was needed; PROTOCOL.md says for what. Writes nothing: it fills a list of [`Order`]s.

mod announce;
mod common;
#[cfg(feature = "testing")]
mod shape;
mod steady;

pub(crate) use steady::Steady;

use alloc::vec::Vec;
use core::time::Duration;

use super::bits::{Bits, Index};
use super::cache::{Cache, Entry, Key};
use super::held::Held;
use super::order::{Order, gone};
use super::ranges::{count, end_of, ranges_of};
use super::repair::{Announcer, Repair};
use super::shared::Shared;
use super::tree::{Race, Tree};
use crate::id::ConnId;
use crate::limits::Limits;
use crate::message::Frame;
use crate::rules::{Rules, TreeRule};
use crate::seen::StreamId;
use crate::sorted::{SortedMap, SortedSet};
use crate::table::Table;
use crate::time::Instant;

/// How much longer the larger node id of a link waits, so that not both announce.
const LARGER_WAITS: Duration = Duration::from_millis(100);
/// What an announcement may have been held back at most, when its sender's speed is judged.
const MOST_HOLD: Duration = Duration::from_millis(150);
/// Least time by which an announcement must have beaten the payload to count as a win.
const MARGIN: Duration = Duration::from_millis(10);
/// Least and most patience with a broadcast that was announced.
const PATIENCE: (Duration, Duration) = (Duration::from_millis(300), Duration::from_millis(1000));
/// Least time between asking two announcers for the same broadcast.
const ASK_AGAIN: Duration = Duration::from_millis(100);
/// The longest hole below a number that is taken for missing.
const LONGEST_HOLE: u64 = 256;
/// Broadcasts in one announcement, and in one that is taken: fixed by the protocol.
pub(crate) const MOST_IDS: u64 = 512;
/// Streams that a new link hears of.
const MOST_STREAMS: usize = 256;
/// The round trip of a link on which none was measured yet.
const UNMEASURED: Duration = Duration::from_millis(100);

/// A link as the trees see it.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "testing", derive(Hash))]
struct Link {
    conn: ConnId,
    /// Our node id is the larger one: we announce later than the other.
    waits: bool,
    round_trip: Duration,
    suspect: bool,
    /// Where the next announcement to it begins.
    announced: u64,
}

/// The trees of all streams, and what feeds them.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "testing", derive(Hash))]
pub(crate) struct Trees {
    links: Vec<Option<Link>>,
    indices: Table<ConnId, Index>,
    shared: Shared,
    trees: Table<StreamId, Tree>,
    order: SortedMap<u64, StreamId>,
    clock: u64,
    cache: Cache,
    /// What is known and not told.
    held: Held,
    repair: Repair,
    /// When announcements are due: of links that wait, and of those that do not.
    announce: [Option<Instant>; 2],
    /// Links that had no room for an announcement, and when they are asked again.
    postponed: SortedSet<(Instant, Index)>,
    /// What the cache holds before this place is announced without waiting.
    hurried: u64,
    capacity: usize,
    pub(super) rules: Rules,
}

impl Trees {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            links: Vec::new(),
            indices: Table::default(),
            shared: Shared::default(),
            trees: Table::default(),
            order: SortedMap::new(),
            clock: 0,
            cache: Cache::new(limits),
            held: Held::new(limits.verdicts),
            repair: Repair::new(limits.wanted, limits.repair_for),
            announce: [None; 2],
            postponed: SortedSet::new(),
            hurried: 0,
            capacity: limits.streams,
            rules: limits.rules(),
        }
    }

    // ---- links ----

    /// This connection carries a native peer. `larger` says whether our id is the larger of the
    /// two.
    pub(crate) fn link_up(&mut self, conn: ConnId, larger: bool, now: Instant) {
        if self.indices.contains_key(&conn) {
            return;
        }
        let free = self.links.iter().position(Option::is_none).unwrap_or(self.links.len());
        let Ok(index) = Index::try_from(free) else { return };
        let link = Link {
            conn,
            waits: larger && self.rules.has(TreeRule::LargerWaits),
            round_trip: UNMEASURED,
            suspect: false,
            announced: match self.rules.has(TreeRule::GapsClose) {
                true => self.oldest_to_tell(),
                false => self.cache.end(),
            },
        };
        match self.links.get_mut(free) {
            Some(slot) => *slot = Some(link),
            None => self.links.push(Some(link)),
        }
        self.indices.insert(conn, index);
        self.shared.add(index);
        if self.cache.end() > self.cache.start() {
            self.announce_soon(now);
        }
    }

    /// The place from which a new link is told what we have: so far back that it hears of at most
    /// so many streams.
    fn oldest_to_tell(&self) -> u64 {
        let mut streams = SortedSet::new();
        let mut start = self.cache.start();
        let entries: Vec<(u64, StreamId)> =
            self.cache.from(start).map(|(place, entry)| (place, entry.key.0)).collect();
        for (place, stream) in entries.into_iter().rev() {
            streams.insert(stream);
            if streams.len() > MOST_STREAMS {
                start = place.saturating_add(1);
                break;
            }
        }
        start
    }

    /// This connection carries nobody any more.
    pub(crate) fn link_down(&mut self, conn: ConnId, now: Instant) {
        let Some(index) = self.indices.remove(&conn) else { return };
        if let Some(slot) = self.links.get_mut(usize::from(index)) {
            *slot = None;
        }
        self.shared.forget(index, self.rules, now);
        self.postponed.retain(|(_, postponed)| *postponed != index);
        for tree in self.trees.values_mut() {
            tree.forget(index);
        }
        self.cache.forget(index);
        self.held.forget(index);
        self.repair.forget(index);
    }

    /// A round trip was measured.
    pub(crate) fn measured(&mut self, conn: ConnId, round_trip: Duration) {
        if let Some(link) = self.link_of_mut(conn) {
            link.round_trip = round_trip;
        }
    }

    /// The peer does not answer, or answers again. One that does not is nobody's parent, and hears
    /// announcements alone.
    pub(crate) fn suspect(&mut self, conn: ConnId, suspect: bool) {
        let Some(index) = self.indices.get(&conn).copied() else { return };
        let suspect = suspect && self.rules.has(TreeRule::SuspectOut);
        let Some(link) = self.link_of_mut(conn) else { return };
        let was = core::mem::replace(&mut link.suspect, suspect);
        if suspect && !was {
            for tree in self.trees.values_mut() {
                tree.parent = tree.parent.filter(|parent| *parent != index);
                tree.candidate = tree.candidate.filter(|(candidate, _)| *candidate != index);
            }
        }
    }

    fn link(&self, index: Index) -> Option<&Link> {
        self.links.get(usize::from(index))?.as_ref()
    }

    fn link_of_mut(&mut self, conn: ConnId) -> Option<&mut Link> {
        let index = self.indices.get(&conn)?;
        self.links.get_mut(usize::from(*index))?.as_mut()
    }

    fn round_trip(&self, index: Index) -> Duration {
        self.link(index).map_or(UNMEASURED, |link| link.round_trip)
    }

    // ---- payloads ----

    /// We publish: pushes to eager links, and remembers it to be announced to the others. Returns
    /// how many these are.
    pub(crate) fn publish(
        &mut self,
        key: Key,
        frame: Frame,
        now: Instant,
        out: &mut Vec<Order>,
    ) -> usize {
        let entry = Entry { key, frame, at: now, from: None, have: Bits::default() };
        self.note_first(key, now);
        self.start_anew_if_alone(key.0);
        self.spread(entry, out)
    }

    /// A publisher whom all have pruned begins its tree anew: else everybody would wait for its
    /// announcements. First broadcasts that cross can bring that about.
    fn start_anew_if_alone(&mut self, stream: StreamId) {
        let is_fit = |link: &Option<Link>| link.as_ref().is_some_and(|link| !link.suspect);
        let fit = (0..).zip(&self.links).filter(|(_, link)| is_fit(link));
        let Some(tree) = self.trees.get_mut(&stream) else { return };
        let is_heard = fit.clone().any(|(index, _)| tree.eager.has(index));
        if is_heard || !self.rules.has(TreeRule::StartAnew) {
            return;
        }
        for (index, _) in fit {
            tree.eager.set(index);
        }
    }

    /// A new broadcast came over a link. `hole` are the numbers just below it that never came.
    pub(crate) fn received(
        &mut self,
        key: Key,
        frame: Frame,
        conn: ConnId,
        hole: Option<(u64, u64)>,
        now: Instant,
        out: &mut Vec<Order>,
    ) {
        let entry = self.arrive(key, frame, (conn, hole), now, out);
        self.spread(entry, out);
    }

    /// The same, but it is passed on only when it is [accepted](Self::accept).
    pub(crate) fn received_to_judge(
        &mut self,
        key: Key,
        frame: Frame,
        from: (ConnId, Option<(u64, u64)>),
        now: Instant,
        out: &mut Vec<Order>,
    ) {
        let entry = self.arrive(key, frame, from, now, out);
        self.held.wait(entry);
    }

    /// What a broadcast that comes changes, but for whom it is passed on to.
    fn arrive(
        &mut self,
        key: Key,
        frame: Frame,
        (conn, hole): (ConnId, Option<(u64, u64)>),
        now: Instant,
        out: &mut Vec<Order>,
    ) -> Entry {
        if self.repair.was_asked(&key) && self.rules.has(TreeRule::Hurry) {
            // Where our tree is cut, those of the nodes around us may be.
            self.hurried = self.cache.end().saturating_add(1);
            self.announce = [Some(now); 2];
        }
        let announcers = self.repair.came(&key);
        let is_first = self.note_first(key, now);
        let Some(index) = self.indices.get(&conn).copied() else {
            // By a connection that lost to another one: it is nobody's way.
            return Entry { key, frame, at: now, from: None, have: Bits::default() };
        };
        let best = self.best(key.0, &announcers, index, now);
        let rules = self.rules;
        let race = Race { key, at: now, best };
        let winner = self.tree(key.0).and_then(|tree| {
            tree.came_by(index, now);
            if is_first { None } else { tree.race(race, rules) }
        });
        if let Some(winner) = winner {
            self.graft(key.0, winner, Vec::new(), now, out);
        }
        if is_first && rules.has(TreeRule::SharedRace) {
            let better = self.shared.race(race);
            better.into_iter().for_each(|better| self.graft_shared(better, out));
        }
        let mut have = Bits::default();
        have.set(index);
        for announcer in announcers {
            have.set(announcer.index);
        }
        if let Some(hole) = hole.filter(|_| self.rules.has(TreeRule::Holes)) {
            self.miss(key.0, hole, index, now);
        }
        Entry { key, frame, at: now, from: Some(index), have }
    }

    /// A broadcast that was to be judged may be passed on.
    pub(crate) fn accept(&mut self, key: &Key, now: Instant, out: &mut Vec<Order>) {
        if let Some(entry) = self.held.accept(key) {
            // Nobody could have had it from us sooner.
            self.spread(Entry { at: now, ..entry }, out);
        }
    }

    /// A broadcast that was to be judged is not passed on.
    pub(crate) fn refuse(&mut self, key: &Key) {
        self.held.refuse(key);
    }

    /// Nothing is to be judged any more.
    pub(crate) fn stop_judging(&mut self) {
        self.held.clear();
    }

    /// A link has a broadcast that we have. By which link it came to us.
    fn link_has(&mut self, key: &Key, index: Index) -> Option<Option<Index>> {
        let Some(entry) = self.cache.get_mut(key) else { return self.held.has(key, index) };
        entry.have.set(index);
        Some(entry.from)
    }

    /// A broadcast that we have came once more.
    pub(crate) fn duplicate(&mut self, key: Key, conn: ConnId, now: Instant, out: &mut Vec<Order>) {
        let Some(index) = self.indices.get(&conn).copied() else { return };
        let Some(from) = self.link_has(&key, index) else { return };
        if from == Some(index) {
            return;
        }
        let rules = self.rules;
        let prunes_shared = self.shared.is_pruned_by(key.0) || !rules.has(TreeRule::SmallestPrunes);
        let Some(tree) = self.tree(key.0) else { return };
        tree.settle(now);
        let is_first = tree.first == Some(key.1);
        let loser = if tree.candidate.is_some_and(|(candidate, _)| candidate == index) {
            tree.candidate = None;
            Some(index)
        } else if tree.parent == Some(index) {
            // A candidate that was first before it was one has still to show what it can.
            from.filter(|from| tree.candidate.is_none_or(|(candidate, _)| candidate != *from))
        } else {
            Some(index)
        };
        let Some(loser) = loser else { return };
        let prunes = tree.prune(loser, rules, now);
        let Some(conn) = self.link(loser).map(|link| link.conn) else { return };
        if prunes {
            out.push(Order::Prune { conn, stream: Some(key.0) });
        }
        if is_first && prunes_shared && self.shared.has(loser) {
            if rules.has(TreeRule::BothEnds) {
                self.shared.remove(loser);
            }
            out.push(Order::Prune { conn, stream: None });
        }
    }

    /// A queue had no room for a broadcast that was pushed, or lost it to another: it is announced
    /// instead, also when later ones were announced already.
    pub(crate) fn not_pushed(&mut self, key: Key, conn: ConnId, now: Instant) {
        let Some(index) = self.indices.get(&conn).copied() else { return };
        let Some(place) = self.cache.place(&key) else { return };
        if let Some(entry) = self.cache.get_mut(&key) {
            entry.have.clear(index);
        }
        if let Some(link) = self.link_of_mut(conn) {
            link.announced = link.announced.min(place);
        }
        self.announce_soon(now);
    }

    /// Pushes to whom it is to be pushed and keeps it. Returns to how many it is announced.
    fn spread(&mut self, mut entry: Entry, out: &mut Vec<Order>) -> usize {
        let mut lazy = 0_usize;
        let tree = self.trees.get(&entry.key.0);
        let eager = tree.map_or(&self.shared.eager, |tree| &tree.eager);
        for (index, link) in (0..).zip(&self.links) {
            let Some(link) = link else { continue };
            let is_known = entry.from == Some(index) || self.rules.has(TreeRule::KnownSkipped);
            if is_known && entry.have.has(index) {
                continue;
            }
            if !eager.has(index) || link.suspect {
                lazy = lazy.saturating_add(1);
                continue;
            }
            entry.have.set(index);
            let frame = entry.frame.clone();
            out.push(Order::Push { conn: link.conn, frame, key: entry.key });
        }
        let at = entry.at;
        self.cache.insert(entry);
        if lazy > 0 {
            self.announce_soon(at);
        }
        lazy
    }

    fn plant(&mut self, stream: StreamId) {
        let is_full = self.trees.len() >= self.capacity;
        if let Some((_, oldest)) = is_full.then(|| self.order.pop_first()).flatten() {
            self.trees.remove(&oldest);
        }
        let eager = self.shared.eager.clone();
        self.trees.insert(stream, Tree { eager, ..Tree::default() });
    }

    /// The tree of a stream, always; a new one begins with the bits of the shared one.
    fn tree(&mut self, stream: StreamId) -> Option<&mut Tree> {
        if !self.trees.contains_key(&stream) {
            self.plant(stream);
        }
        let tree = self.trees.get_mut(&stream)?;
        if tree.used != self.clock || self.clock == 0 {
            self.order.remove(&tree.used);
            self.clock = self.clock.saturating_add(1);
            tree.used = self.clock;
            self.order.insert(self.clock, stream);
        }
        Some(tree)
    }

    /// The announcer that could have pushed a broadcast first, and clearly before the link by which
    /// it came.
    fn best(
        &self,
        stream: StreamId,
        by: &[Announcer],
        from: Index,
        now: Instant,
    ) -> Option<(Index, Instant)> {
        let tree = self.trees.get(&stream);
        let may_win = |index| tree.is_none_or(|tree| tree.may_win(index, self.rules, now));
        let others = by.iter().filter(|other| other.index != from && may_win(other.index));
        let best = others.min_by_key(|announcer| announcer.could)?;
        self.is_sooner(best.index, best.could, now).then_some((best.index, best.could))
    }

    /// Whether a link that could have brought something then is clearly better than one that did
    /// `now`.
    fn is_sooner(&self, index: Index, could: Instant, now: Instant) -> bool {
        let Some(link) = self.link(index).filter(|link| !link.suspect) else { return false };
        now.saturating_since(could) >= Self::margin(link.round_trip)
    }

    /// By how much a link must have been sooner to be better: each change of parents costs a copy
    /// too many, which a small gain is not worth.
    fn margin(round_trip: Duration) -> Duration {
        (round_trip / 4).max(MARGIN)
    }

    // ---- repair ----

    /// How long we wait for the tree to bring what a link announced.
    fn patience(&self, index: Index, hold: Duration) -> Duration {
        #[cfg(peerline_planted)]
        if self.rules.planted == Some(crate::planted::Bug::EndlessPatience) {
            return Duration::from_secs(3600);
        }
        let (least, most) = PATIENCE;
        let least = if self.rules.has(TreeRule::Patience) { least } else { ASK_AGAIN };
        self.round_trip(index).saturating_mul(2).saturating_add(hold).clamp(least, most)
    }

    /// Numbers that a link must have, since it brought a later one.
    fn miss(&mut self, stream: StreamId, (from, to): (u64, u64), index: Index, now: Instant) {
        let from = from.max(to.saturating_sub(LONGEST_HOLE.saturating_sub(1)));
        let patience = self.patience(index, Duration::ZERO);
        for seq in from..=to {
            let announcer = Announcer { index, could: now };
            self.repair.announced((stream, seq), announcer, patience, now);
        }
    }

    /// A link announces that it has a broadcast which we have not. False if that cannot be
    /// remembered.
    pub(crate) fn announced_new(
        &mut self,
        key: Key,
        conn: ConnId,
        hold: Duration,
        now: Instant,
    ) -> bool {
        let Some(index) = self.indices.get(&conn).copied() else { return false };
        let could = now.earlier(hold.min(MOST_HOLD));
        let patience = self.patience(index, hold);
        self.repair.announced(key, Announcer { index, could }, patience, now)
    }

    /// A link announces a broadcast which we have.
    pub(crate) fn announced_known(&mut self, key: Key, conn: ConnId, hold: Duration, now: Instant) {
        let Some(index) = self.indices.get(&conn).copied() else { return };
        let Some(link) = self.link(index) else { return };
        let (waits, round_trip) = (link.waits, link.round_trip);
        let (margin, rules) = (Self::margin(round_trip), self.rules);
        let Some(entry) = self.cache.get_mut(&key) else {
            self.held.has(&key, index);
            return;
        };
        let theirs = now.earlier(hold.min(MOST_HOLD));
        // Who had it that much sooner says so all the same, or it would never be found out.
        let sooner = waits && entry.at + round_trip + margin < theirs;
        if !(sooner && rules.has(TreeRule::Sooner)) {
            entry.have.set(index);
        }
        let (at, from) = (entry.at, entry.from);
        if from.is_some_and(|from| from != index) && self.is_sooner(index, theirs, at) {
            let tree = self.trees.get_mut(&key.0);
            let tree = tree.filter(|tree| tree.may_win(index, rules, now));
            let race = tree.and_then(|tree| tree.race.as_mut()).filter(|race| race.key == key);
            race.into_iter().for_each(|race| race.enter(index, theirs));
            self.shared.enter(key, index, theirs);
        }
    }

    /// Does what is due but announcing: asks for what is missing, drops what is too old.
    pub(crate) fn tend(&mut self, now: Instant, out: &mut Vec<Order>) {
        self.cache.expire(now);
        self.mend(now, out);
        let mut asked: SortedMap<(Index, StreamId), SortedSet<u64>> = SortedMap::new();
        let links = &self.links;
        let wait = |index: Index| {
            let link = links.get(usize::from(index))?.as_ref()?;
            Some(link.round_trip.saturating_mul(2).max(ASK_AGAIN))
        };
        while let Some(((stream, seq), index)) = self.repair.ask(now, wait) {
            asked.change((index, stream), |seqs| seqs.insert(seq));
        }
        for ((index, stream), seqs) in asked {
            let seqs: Vec<u64> = seqs.iter().copied().collect();
            self.graft(stream, index, ranges_of(&seqs), now, out);
        }
    }

    /// Asks a link to push a stream to us from here on. It is the candidate until it has proved
    /// itself.
    fn graft(
        &mut self,
        stream: StreamId,
        index: Index,
        want: Vec<(u64, u64)>,
        now: Instant,
        out: &mut Vec<Order>,
    ) {
        let Some(conn) = self.link(index).map(|link| link.conn) else { return };
        self.let_go_if_quiet(stream, now);
        // Of a stream that is known by announcements alone there is nothing to remember: whoever
        // makes streams up would drive out the trees of those that are real.
        let (mut is_first, mut late) = (true, None);
        if let Some(tree) = self.trees.get_mut(&stream) {
            tree.settle(now);
            tree.wanted_again(index);
            if tree.parent != Some(index) {
                tree.try_out(index, !want.is_empty(), self.rules, now);
            }
            is_first = tree
                .first
                .is_none_or(|first| want.iter().any(|(from, to)| (*from..=*to).contains(&first)));
            late = tree.parent.filter(|parent| *parent != index && !want.is_empty());
        }
        out.push(Order::Graft { conn, stream: Some(stream), want });
        if is_first && !self.shared.has(index) && self.rules.has(TreeRule::SharedGraft) {
            self.graft_shared(index, out);
        }
        if let Some(conn) = late.and_then(|parent| self.link(parent)).map(|link| link.conn) {
            out.push(Order::Ping { conn });
        }
    }

    // ---- what others order ----

    /// A link asks for a stream, or for the shared tree, and for some broadcasts now.
    pub(crate) fn on_graft(
        &mut self,
        conn: ConnId,
        stream: Option<StreamId>,
        want: impl Iterator<Item = (u64, u64)>,
        out: &mut Vec<Order>,
    ) {
        let Some(index) = self.indices.get(&conn).copied() else { return };
        let Some(stream) = stream else {
            self.shared.add(index);
            return;
        };
        let mut served = false;
        let mut room = MOST_IDS;
        for (from, to) in want {
            let to = end_of((from, to), room);
            room = room.saturating_sub(count((from, to)));
            for seq in from..=to {
                match self.serve((stream, seq), index, conn) {
                    Some(order) => out.push(order),
                    None => gone(out, conn, stream, seq),
                }
                served |= !matches!(out.last(), Some(Order::Gone { .. }));
            }
            if room == 0 {
                break;
            }
        }
        // A stream of which we have nothing has no tree here, whoever asks for it.
        if served || self.trees.contains_key(&stream) {
            if let Some(tree) = self.tree(stream) {
                tree.eager.set(index);
            }
        }
    }

    /// What a link asked for, if it is still there.
    fn serve(&mut self, key: Key, index: Index, conn: ConnId) -> Option<Order> {
        let entry = self.cache.get_mut(&key)?;
        entry.have.set(index);
        Some(Order::Push { conn, frame: entry.frame.clone(), key })
    }

    /// A link has no longer what it was asked for.
    pub(crate) fn on_gone(&mut self, conn: ConnId, stream: StreamId, (from, to): (u64, u64)) {
        let Some(index) = self.indices.get(&conn).copied() else { return };
        for seq in from..=end_of((from, to), MOST_IDS) {
            self.repair.has_not(&(stream, seq), index);
        }
    }

    /// A link does not want a stream pushed, or nothing by way of the shared tree.
    pub(crate) fn on_prune(&mut self, conn: ConnId, stream: Option<StreamId>) {
        let Some(index) = self.indices.get(&conn).copied() else { return };
        match stream {
            None => self.shared.remove(index),
            // A prune of a stream that we never heard of changes nothing.
            Some(stream) => {
                if let Some(tree) = self.trees.get_mut(&stream) {
                    tree.eager.clear(index);
                }
            }
        }
    }

    // ---- time ----

    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        let [waiting, others] = self.announce;
        let postponed = self.postponed.first().map(|(at, _)| *at);
        let [asked, old] = [self.repair.next_deadline(), self.cache.next_deadline()];
        let mended = self.shared.next_deadline();
        Instant::first_of([waiting, others, postponed, asked, old, mended])
    }
}

#[cfg(test)]
mod tests;
