//! Broadcasts: numbers our own, and tells whether one of another is new.
//!
//! Sends nothing. To whom a broadcast goes is for the [`trees`]; what is kept of it, for the
//! [`cache`]; whom to ask for one that is missing, for [`repair`].

mod bits;
mod cache;
mod held;
pub(crate) mod order;
pub(crate) mod ranges;
mod repair;
mod shared;
mod tree;
pub(crate) mod trees;

pub(crate) use cache::Key;

use core::time::Duration;

use self::trees::Trees;
use crate::id::{ConnId, NodeId};
use crate::limits::Limits;
use crate::rng::Rng;
use crate::rules::TreeRule;
use crate::seen::{Heard, SeenLimits, StreamId, Streams};
use crate::time::Instant;

/// What a received broadcast is.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(crate) enum Verdict {
    /// To be delivered and forwarded. The numbers just below it, back to the highest heard before,
    /// never came.
    New { hole: Option<(u64, u64)> },
    /// Heard before, or our own come back.
    Duplicate,
    /// Cannot be told from a repeated one.
    NotTaken,
    /// Under our own id, and not by us. True if a new epoch was taken for it.
    Impersonated { new_epoch: bool },
}

/// Our own stream, and those of others.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "testing", derive(Hash))]
pub(crate) struct Broadcasts {
    own: NodeId,
    /// Drawn at random, so that the numbers of an earlier life are not ours.
    epoch: u32,
    /// The last number we gave.
    seq: u64,
    /// When the epoch was last changed; our first is as old as we are.
    epoch_since: Option<Instant>,
    /// The last number of each of our former epochs; the last few are enough, as an echo older than
    /// their changes is long gone.
    former: [Option<(u32, u64)>; 4],
    new_epoch_every: Duration,
    streams: Streams,
    pub(crate) trees: Trees,
}

impl Broadcasts {
    pub(crate) fn new(own: NodeId, limits: &Limits, rng: &mut Rng) -> Self {
        let streams = Streams::new(SeenLimits::of(limits));
        Self {
            own,
            epoch: rng.u32(),
            seq: 0,
            epoch_since: None,
            former: [None; 4],
            new_epoch_every: limits.new_epoch_every,
            streams,
            trees: Trees::new(limits),
        }
    }

    /// Our epoch: with a counter, it names what we send over restarts too.
    pub(crate) fn epoch(&self) -> u32 {
        self.epoch
    }

    /// The epoch and number that our next broadcast will have.
    pub(crate) fn next(&self) -> (u32, u64) {
        (self.epoch, self.seq.saturating_add(1))
    }

    /// The broadcast with this number is published.
    pub(crate) fn published(&mut self, number: (u32, u64)) {
        self.seq = number.1;
    }

    /// Judges a received broadcast and remembers it.
    #[inline]
    pub(crate) fn hear(
        &mut self,
        originator: NodeId,
        epoch: u32,
        seq: u64,
        now: Instant,
        rng: &mut Rng,
    ) -> Verdict {
        if originator == self.own {
            return self.hear_own(epoch, seq, now, rng);
        }
        let highest = self.streams.highest((originator, epoch));
        match self.streams.hear((originator, epoch), seq, now) {
            Heard::New => {
                let hole =
                    highest.map(|highest| (highest.saturating_add(1), seq.saturating_sub(1)));
                Verdict::New { hole: hole.filter(|(from, to)| from <= to) }
            }
            Heard::Duplicate => Verdict::Duplicate,
            Heard::NotTaken => Verdict::NotTaken,
        }
    }

    /// A link announces a broadcast.
    pub(crate) fn announced(
        &mut self,
        (stream, seq): (StreamId, u64),
        conn: ConnId,
        hold: Duration,
        now: Instant,
    ) {
        let known = stream.0 == self.own || self.streams.has(stream, seq);
        if known {
            self.trees.announced_known((stream, seq), conn, hold, now);
        } else {
            self.trees.announced_new((stream, seq), conn, hold, now);
        }
    }

    /// A queue lost a broadcast that waited there: it is announced instead.
    pub(crate) fn lost(&mut self, key: Key, conn: ConnId, now: Instant) {
        if self.trees.rules.has(TreeRule::LostAnnounced) {
            self.trees.not_pushed(key, conn, now);
        }
    }

    /// A link has no longer what it was asked for. That is a word of one link: the number is not
    /// asked for any more, but is taken if it comes all the same.
    pub(crate) fn gone(&mut self, conn: ConnId, stream: StreamId, seqs: (u64, u64)) {
        self.trees.on_gone(conn, stream, seqs);
    }

    fn hear_own(&mut self, epoch: u32, seq: u64, now: Instant, rng: &mut Rng) -> Verdict {
        let current = Some((self.epoch, self.seq));
        let mut ours = self.former.iter().copied().chain([current]).flatten();
        if ours.any(|(known, last)| known == epoch && seq <= last) {
            return Verdict::Duplicate;
        }
        let since = self.epoch_since.map(|since| now.saturating_since(since));
        let new_epoch = since.is_none_or(|since| since >= self.new_epoch_every);
        if new_epoch {
            self.former.rotate_right(1);
            if let Some(first) = self.former.first_mut() {
                *first = current;
            }
            (self.epoch, self.seq, self.epoch_since) = (rng.u32(), 0, Some(now));
        }
        Verdict::Impersonated { new_epoch }
    }
}

#[cfg(test)]
mod tests {
    use core::num::NonZeroU32;

    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::ZERO + Duration::from_secs(seconds)
    }

    fn setup() -> (Broadcasts, Rng, NodeId) {
        let own = NodeId::from_random_bytes([1; 16]);
        let mut rng = Rng::new([1; 32]);
        (Broadcasts::new(own, &Limits::default(), &mut rng), rng, own)
    }

    #[test]
    fn our_own_come_back_as_duplicates() {
        let (mut broadcasts, mut rng, own) = setup();
        let (epoch, seq) = broadcasts.next();
        broadcasts.published((epoch, seq));
        assert_eq!(broadcasts.hear(own, epoch, seq, at(0), &mut rng), Verdict::Duplicate);
    }

    #[test]
    fn a_forger_under_our_id_costs_an_epoch_a_minute_at_most() {
        let (mut broadcasts, mut rng, own) = setup();
        let first = broadcasts.next();
        broadcasts.published(first);
        let forged = |broadcasts: &mut Broadcasts, rng: &mut Rng, seconds| {
            broadcasts.hear(own, first.0, 99, at(seconds), rng)
        };
        assert_eq!(forged(&mut broadcasts, &mut rng, 1), Verdict::Impersonated { new_epoch: true });
        assert_eq!(
            forged(&mut broadcasts, &mut rng, 60),
            Verdict::Impersonated { new_epoch: false }
        );
        assert_eq!(
            forged(&mut broadcasts, &mut rng, 61),
            Verdict::Impersonated { new_epoch: true }
        );
        assert_ne!(broadcasts.epoch(), first.0);
        assert_eq!(broadcasts.next().1, 1);
        assert_eq!(broadcasts.hear(own, first.0, 1, at(62), &mut rng), Verdict::Duplicate);
    }

    #[test]
    fn a_number_of_another_is_new_once_and_0_is_none() {
        let (mut broadcasts, mut rng, _) = setup();
        let other = NodeId::from_random_bytes([2; 16]);
        let mut hear = |seq| broadcasts.hear(other, 5, seq, at(0), &mut rng);
        assert_eq!(
            [hear(1), hear(1), hear(0)],
            [Verdict::New { hole: None }, Verdict::Duplicate, Verdict::NotTaken]
        );
    }

    #[test]
    fn what_a_link_says_is_gone_is_taken_if_it_comes() {
        let (mut broadcasts, mut rng, _) = setup();
        let (other, conn) = (NodeId::from_random_bytes([2; 16]), ConnId::new(1, NonZeroU32::MIN));
        let mut hear = |to: &mut Broadcasts, seq| to.hear(other, 5, seq, Instant::ZERO, &mut rng);
        broadcasts.trees.link_up(conn, false, at(0));
        hear(&mut broadcasts, 1);
        assert_eq!(hear(&mut broadcasts, 3), Verdict::New { hole: Some((2, 2)) }, "made up");
        broadcasts.announced(((other, 5), 2), conn, Duration::ZERO, at(0));
        broadcasts.gone(conn, (other, 5), (2, 2));
        assert_eq!(hear(&mut broadcasts, 2), Verdict::New { hole: None });
    }

    #[test]
    fn only_what_is_not_ours_and_not_heard_is_waited_for() {
        let other = NodeId::from_random_bytes([2; 16]);
        for (is_own, seq, expected) in [(true, 1, false), (false, 1, false), (false, 2, true)] {
            let (mut broadcasts, mut rng, own) = setup();
            let conn = ConnId::new(1, NonZeroU32::MIN);
            broadcasts.trees.link_up(conn, false, at(0));
            broadcasts.hear(other, 5, 1, at(0), &mut rng);
            assert_eq!(broadcasts.trees.next_deadline(), None);
            let stream = (if is_own { own } else { other }, 5);
            broadcasts.announced((stream, seq), conn, Duration::ZERO, at(0));
            assert_eq!(broadcasts.trees.next_deadline().is_some(), expected, "{is_own} {seq}");
        }
    }

    #[test]
    fn our_numbers_are_of_our_epoch_and_what_is_above_the_last_is_not_ours() {
        let (mut broadcasts, mut rng, own) = setup();
        let (epoch, _) = broadcasts.next();
        assert_eq!((broadcasts.epoch(), broadcasts.next()), (epoch, (epoch, 1)));
        assert_ne!(epoch, 0, "drawn");
        broadcasts.published((epoch, 1));
        assert_eq!(broadcasts.next(), (epoch, 2));
        let mut hear = |epoch, seq| broadcasts.hear(own, epoch, seq, at(0), &mut rng);
        assert_eq!(hear(epoch, 1), Verdict::Duplicate);
        assert_eq!(hear(epoch, 2), Verdict::Impersonated { new_epoch: true });
        assert_eq!(hear(epoch, 1), Verdict::Duplicate, "of our former epoch");
        assert_eq!(hear(epoch, 2), Verdict::Impersonated { new_epoch: false });
        assert_eq!(hear(epoch ^ 1, 1), Verdict::Impersonated { new_epoch: false });
    }

    #[test]
    fn a_hole_is_what_lies_between_the_highest_and_the_next() {
        let (mut broadcasts, mut rng, _) = setup();
        let other = NodeId::from_random_bytes([2; 16]);
        let mut hear = |seq| broadcasts.hear(other, 5, seq, at(0), &mut rng);
        let new = |hole| Verdict::New { hole };
        assert_eq!([hear(5), hear(6), hear(8)], [new(None), new(None), new(Some((7, 7)))]);
        assert_eq!([hear(12), hear(7)], [new(Some((9, 11))), new(None)]);
    }
}
