//! Broadcasts of one stream that come together and change nothing in its tree.
//!
//! A burst comes by the parent, while a race is on and nothing is missing but what came before:
//! then what is done with one broadcast is done with the next, and only the first is looked at from
//! all sides.

use alloc::vec::Vec;

use super::{Order, Trees};
use crate::broadcast::bits::{Bits, Index};
use crate::broadcast::cache::{Entry, Key};
use crate::id::ConnId;
use crate::message::Frame;
use crate::time::Instant;

/// What broadcasts of one stream do that change nothing, for the moment.
#[derive(Debug)]
pub(crate) struct Steady {
    from: Index,
    /// The number of the stream's first broadcast, which is none of them.
    first: Option<u64>,
    /// The least number of them: below it some may be missing.
    least: u64,
    push: Vec<ConnId>,
    /// Who has each of them when it is pushed.
    have: Bits,
    /// Somebody else is to be told of them.
    announced: bool,
}

impl Steady {
    /// Whether it holds for this broadcast.
    pub(crate) fn holds_for(&self, seq: u64, hole: Option<(u64, u64)>) -> bool {
        hole.is_none() && self.first != Some(seq) && seq >= self.least
    }
}

impl Trees {
    /// What the next broadcasts of a stream do, from this one on, that come by the same link in the
    /// same moment, if they change nothing: the link is the parent, nobody may take its place now,
    /// and none of them was announced before.
    pub(crate) fn steady(&self, key: Key, conn: ConnId, now: Instant) -> Option<Steady> {
        let (stream, least) = key;
        let index = *self.indices.get(&conn)?;
        let tree = self.trees.get(&stream)?;
        if !(tree.is_steady(index, self.rules, now) && self.repair.has_none_from(key)) {
            return None;
        }
        let links = (0..).zip(&self.links).filter_map(|(to, link)| Some((to, link.as_ref()?)));
        let (mut push, mut have, mut announced) = (Vec::new(), Bits::default(), false);
        have.set(index);
        for (to, link) in links.filter(|(to, _)| *to != index) {
            if tree.eager.has(to) && !link.suspect {
                have.set(to);
                push.push(link.conn);
            } else {
                announced = true;
            }
        }
        Some(Steady { from: index, first: tree.first, least, push, have, announced })
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
        // Who had the first of them need not have the others.
        if steady.announced {
            self.announce_soon(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::NodeId;
    use crate::limits::Limits;
    use crate::rng::Rng;
    use alloc::format;
    use core::num::NonZeroU32;
    use core::time::Duration;

    fn conn(slot: u64) -> ConnId {
        ConnId::new(u32::try_from(slot).unwrap_or_default(), NonZeroU32::MIN)
    }

    /// A node of four links, what it ordered, and how many broadcasts changed nothing.
    struct Side(Trees, Vec<Order>, u32);

    impl Side {
        fn new() -> Self {
            let mut trees = Trees::new(&Limits::default());
            (0..4).for_each(|slot| trees.link_up(conn(slot), slot == 1, Instant::ZERO));
            Self(trees, Vec::new(), 0)
        }

        /// Something other than a burst happens.
        fn meanwhile(&mut self, what: u64, key: Key, link: u64, now: Instant) {
            let Self(trees, out, _) = self;
            let (conn, (stream, seq)) = (conn(link), key);
            match what {
                0 => trees.duplicate((stream, seq.saturating_sub(1)), conn, now, out),
                1 => drop(trees.announced_new(key, conn, Duration::ZERO, now)),
                2 => trees.announced_known((stream, seq - 1), conn, Duration::ZERO, now),
                3 => trees.on_prune(conn, Some(stream)),
                4 => trees.on_graft(conn, Some(stream), [(seq - 1, seq - 1)].into_iter(), out),
                5 => trees.suspect(conn, now.as_nanos() % 2 == 0),
                _ => {
                    trees.tend(now, out);
                    let mut due = Vec::new();
                    trees.announcements_due(now, &mut due);
                    due.iter().for_each(|conn| drop(trees.announcement(*conn, now)));
                }
            }
        }

        fn gets(&mut self, burst: &[Key], link: u64, now: Instant, together: bool) {
            let (mut steady, Self(trees, out, quick)) = (None::<Steady>, self);
            for (index, key) in burst.iter().enumerate() {
                let frame = Frame::new(&format!("{}\n", key.1));
                let may = index > 0 && together && steady.is_none();
                let found = may.then(|| trees.steady(*key, conn(link), now)).flatten();
                steady = steady.or(found);
                let holds = steady.as_ref().filter(|steady| steady.holds_for(key.1, None));
                *quick += u32::from(holds.is_some());
                match holds {
                    Some(steady) => trees.received_more(*key, frame, steady, now, out),
                    None => trees.received(*key, frame, conn(link), None, now, out),
                }
            }
        }
    }

    #[test]
    fn a_burst_does_what_its_broadcasts_do_one_by_one() {
        let mut rng = Rng::new([8; 32]);
        let (mut single, mut together) = (Side::new(), Side::new());
        let stream = (NodeId::from_random_bytes([9; 16]), 7);
        let (mut now, mut seq, mut late) = (Instant::ZERO, 1, None);
        for round in 1..=2000 {
            now = now + Duration::from_millis(rng.below(150));
            let (what, other) = (rng.below(12), rng.below(4));
            let link = if rng.below(8) == 0 { rng.below(4) } else { 0 };
            let count = 1 + rng.below(6);
            let mut burst: Vec<Key> = (seq..seq + count).map(|seq| (stream, seq)).collect();
            // Now and then the first is announced only, and comes at the end of a later burst.
            match late.take() {
                Some(key) if rng.below(3) == 0 => burst.push(key),
                Some(key) => late = Some(key),
                None if rng.below(4) == 0 && count > 1 => late = Some(burst.remove(0)),
                None => {}
            }
            // Now and then all the others have the first already, and none of those behind it.
            let known = burst.first().copied().filter(|_| rng.below(3) == 0);
            let others = known.into_iter().flat_map(|key| (0..4).map(move |link| (key, link)));
            let others: Vec<_> = others.filter(|(_, other)| *other != link).collect();
            for (side, is_together) in [(&mut single, false), (&mut together, true)] {
                side.meanwhile(what, (stream, seq), other, now);
                let held = late.filter(|held| *held == (stream, seq));
                held.into_iter().for_each(|key| side.meanwhile(1, key, other, now));
                others.iter().for_each(|(key, other)| side.meanwhile(1, *key, *other, now));
                side.gets(&burst, link, now, is_together);
            }
            seq += count;
            assert_eq!(format!("{:?}", single.1), format!("{:?}", together.1), "{seq}");
            if round % 20 == 0 {
                assert_eq!(format!("{:?}", single.0), format!("{:?}", together.0), "{seq}");
            }
            (single.1, together.1) = (Vec::new(), Vec::new());
        }
        assert!(single.2 == 0 && together.2 > 1000, "{}", together.2);
    }
}
