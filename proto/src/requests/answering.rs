//! Requests of others: which are open, and what was said to those that are asked again.
//!
//! A request has one name here however often it is tried: a try of a running one joins it, one of
//! an answered one hears the same replies again, for a while and as far as there is room.

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use crate::exchange::ReplyTo;
use crate::id::NodeId;
use crate::limits::Limits;
use crate::message::Frame;
use crate::sorted::{SortedMap, SortedSet};
use crate::time::Instant;

/// What a reply that is kept costs beyond its bytes.
const KEPT_COST: usize = 80;

/// Who asks, under which id, and by which neighbour the latest try came.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "testing", derive(Hash))]
pub(crate) struct Asker {
    pub(crate) from: NodeId,
    pub(crate) id: Arc<str>,
    pub(crate) via: NodeId,
}

/// What a request is to those that came before.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Arrival {
    /// The application is to be told.
    New(ReplyTo),
    /// It is known: what was said so far.
    Again(Vec<Frame>),
    /// There is no room.
    Full,
}

#[derive(Clone, Debug)]
#[cfg_attr(feature = "testing", derive(Hash))]
struct Answer {
    asker: Asker,
    deadline: Instant,
    /// Replies said.
    count: u64,
    /// Those among them that are kept: all or none.
    said: Vec<Frame>,
    /// Not all are kept.
    torn: bool,
    ended: bool,
}

/// All requests of others.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "testing", derive(Hash))]
pub(crate) struct Answering {
    open: SortedMap<ReplyTo, Answer>,
    names: SortedMap<(NodeId, Arc<str>), ReplyTo>,
    /// Those that are not answered, by their deadlines.
    order: SortedSet<(Instant, ReplyTo)>,
    /// The answered ones, in the order of their ends, and when each is forgotten. All are kept for
    /// the same time, so they leave as they came.
    ended: VecDeque<(Instant, ReplyTo)>,
    count: u64,
    bytes: usize,
    most: usize,
    most_bytes: usize,
    keep: Duration,
}

impl Answering {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            open: SortedMap::new(),
            names: SortedMap::new(),
            order: SortedSet::new(),
            ended: VecDeque::new(),
            count: 0,
            bytes: 0,
            most: limits.answering,
            most_bytes: limits.replay_bytes,
            keep: limits.replay_for,
        }
    }

    /// Bytes of replies that are kept.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// A name for a request that came in, of whatever dialect.
    pub(crate) fn name(&mut self) -> ReplyTo {
        self.count = self.count.saturating_add(1);
        ReplyTo::new(self.count)
    }

    /// A request came.
    pub(crate) fn arrive(&mut self, asker: Asker, deadline: Instant, now: Instant) -> Arrival {
        self.expire(now);
        let key = (asker.from, Arc::clone(&asker.id));
        let known = self.names.get(&key).and_then(|name| self.open.get_mut(name));
        if let Some(known) = known {
            known.asker.via = asker.via;
            return Arrival::Again(known.said.clone());
        }
        if self.open.len() >= self.most && !self.forget_oldest_answered() {
            return Arrival::Full;
        }
        let name = self.name();
        let answer =
            Answer { asker, deadline, count: 0, said: Vec::new(), torn: false, ended: false };
        self.order.insert((deadline, name));
        self.names.insert(key, name);
        self.open.insert(name, answer);
        Arrival::New(name)
    }

    /// Who waits for the next reply, and its number; `None` if nobody does.
    pub(crate) fn next(&self, name: ReplyTo, now: Instant) -> Option<(&Asker, u64)> {
        let answer = self.open.get(&name)?;
        let open = !answer.ended && now < answer.deadline;
        open.then_some((&answer.asker, answer.count))
    }

    /// A reply was said, or, with `last`, the request is answered.
    pub(crate) fn said(&mut self, name: ReplyTo, frame: Frame, last: bool, now: Instant) {
        let fits = self.make_room(cost(&frame), name);
        let Some(answer) = self.open.get_mut(&name) else { return };
        answer.count = answer.count.saturating_add(1);
        if !fits || answer.torn {
            // Some of the replies are no answer.
            answer.torn = true;
            let freed: usize = answer.said.iter().map(cost).sum();
            answer.said = Vec::new();
            self.bytes = self.bytes.saturating_sub(freed);
        } else {
            self.bytes = self.bytes.saturating_add(cost(&frame));
            if last {
                answer.said.reserve_exact(1); // mostly the only one
            }
            answer.said.push(frame);
        }
        if last && !answer.ended {
            answer.ended = true;
            self.order.remove(&(answer.deadline, name));
            self.ended.push_back((now + self.keep, name));
        }
    }

    /// Whether so many more bytes may be kept, once older answers are forgotten.
    fn make_room(&mut self, bytes: usize, but: ReplyTo) -> bool {
        while self.bytes.saturating_add(bytes) > self.most_bytes {
            let oldest = self.ended.front().filter(|(_, name)| *name != but);
            if oldest.is_none() || !self.forget_oldest_answered() {
                return false;
            }
        }
        true
    }

    /// When the next one is to be forgotten: an own deadline, so that waking up for nothing changes
    /// nothing.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        let [open, answered] = [self.order.first(), self.ended.front()];
        open.into_iter().chain(answered).map(|(until, _)| *until).min()
    }

    /// Forgets those that nobody waits for any more.
    pub(crate) fn expire(&mut self, now: Instant) {
        while self.ended.front().is_some_and(|(until, _)| *until <= now) {
            self.forget_oldest_answered();
        }
        while let Some((_, name)) = self.order.first().copied().filter(|(until, _)| *until <= now) {
            self.order.pop_first();
            self.forget(name);
        }
    }

    fn forget_oldest_answered(&mut self) -> bool {
        let Some((_, oldest)) = self.ended.pop_front() else { return false };
        if self.ended.is_empty() {
            self.ended = VecDeque::new();
        }
        self.forget(oldest);
        true
    }

    /// Forgets one that is in no order any more.
    fn forget(&mut self, name: ReplyTo) {
        let Some(answer) = self.open.remove(&name) else { return };
        self.names.remove(&(answer.asker.from, answer.asker.id));
        let freed: usize = answer.said.iter().map(cost).sum();
        self.bytes = self.bytes.saturating_sub(freed);
    }

    pub(crate) fn clear(&mut self) {
        self.open.clear();
        self.names.clear();
        self.order.clear();
        self.ended.clear();
        self.bytes = 0;
    }
}

/// What keeping a reply costs.
fn cost(frame: &Frame) -> usize {
    frame.len().saturating_add(KEPT_COST)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::panic)]
    use super::*;

    fn node(number: u8) -> NodeId {
        NodeId::from_random_bytes([number; 16])
    }

    fn at(seconds: u64) -> Instant {
        Instant::ZERO + Duration::from_secs(seconds)
    }

    fn answering(most: usize, bytes: usize) -> Answering {
        Answering::new(&Limits { answering: most, replay_bytes: bytes, ..Limits::default() })
    }

    fn arrive(answering: &mut Answering, id: &str, via: u8, now: u64) -> Arrival {
        let asker = Asker { from: node(1), id: id.into(), via: node(via) };
        answering.arrive(asker, at(10), at(now))
    }

    #[track_caller]
    fn new(arrival: Arrival) -> ReplyTo {
        let Arrival::New(name) = arrival else { panic!("{arrival:?}") };
        name
    }

    fn frame() -> Frame {
        Frame::new("{}\n")
    }

    #[test]
    fn a_running_one_is_joined_and_an_answered_one_replayed() {
        let mut answering = answering(10, 1_000);
        let name = new(arrive(&mut answering, "a", 2, 0));
        answering.said(name, frame(), false, at(1));
        assert_eq!(arrive(&mut answering, "a", 3, 1), Arrival::Again(Vec::from([frame()])));
        let next = answering.next(name, at(1)).map(|(asker, n)| (asker.via, n));
        assert_eq!(next, Some((node(3), 1)), "replies go where the latest try came from");
        answering.said(name, frame(), true, at(2));
        assert!(answering.next(name, at(2)).is_none(), "answered");
        let all = Arrival::Again(Vec::from([frame(), frame()]));
        assert_eq!(arrive(&mut answering, "a", 2, 31), all);
        assert!(matches!(arrive(&mut answering, "a", 2, 32), Arrival::New(_)), "forgotten");
    }

    #[test]
    fn nobody_waits_after_the_deadline() {
        let mut answering = answering(10, 100);
        let name = new(arrive(&mut answering, "a", 2, 0));
        assert!(answering.next(name, at(9)).is_some() && answering.next(name, at(10)).is_none());
        answering.expire(at(10));
        assert!(answering.open.is_empty() && answering.names.is_empty());
    }

    #[test]
    fn what_is_next_forgotten_is_open_or_answered() {
        let mut answering = answering(10, 1_000);
        let [first, second] = ["a", "b"].map(|id| new(arrive(&mut answering, id, 2, 0)));
        assert_eq!(answering.next_deadline(), Some(at(10)));
        answering.said(first, frame(), true, at(1));
        assert_eq!(answering.next_deadline(), Some(at(10)), "the open one");
        answering.said(second, frame(), true, at(2));
        assert_eq!(answering.next_deadline(), Some(at(31)), "the one answered first");
        answering.expire(at(31));
        assert_eq!((answering.open.len(), answering.next_deadline()), (1, Some(at(32))));
        answering.expire(at(32));
        assert_eq!((answering.open.len(), answering.names.len()), (0, 0));
        assert_eq!(answering.next_deadline(), None);
    }

    #[test]
    fn open_ones_are_bounded_and_answered_ones_give_way() {
        let mut answering = answering(2, 100);
        let name = new(arrive(&mut answering, "a", 2, 0));
        new(arrive(&mut answering, "b", 2, 0));
        assert_eq!(arrive(&mut answering, "c", 2, 0), Arrival::Full);
        answering.said(name, frame(), true, at(1));
        new(arrive(&mut answering, "c", 2, 1));
        assert_eq!((answering.open.len(), answering.bytes()), (2, 0));
    }

    #[test]
    fn what_is_kept_is_bounded_and_all_of_an_answer_or_nothing() {
        let one = 3 + KEPT_COST;
        let mut answering = answering(10, 2 * one + 1);
        let first = new(arrive(&mut answering, "a", 2, 0));
        answering.said(first, frame(), true, at(0));
        let second = new(arrive(&mut answering, "b", 2, 1));
        answering.said(second, frame(), false, at(1));
        assert_eq!(answering.bytes(), 2 * one);
        answering.said(second, frame(), false, at(1));
        assert_eq!(answering.bytes(), 2 * one, "the older answer went");
        answering.said(second, frame(), true, at(1));
        assert_eq!(answering.bytes(), 0, "three do not fit");
        assert_eq!(arrive(&mut answering, "b", 2, 2), Arrival::Again(Vec::new()));
        answering.clear();
        assert!(answering.ended.is_empty() && answering.order.is_empty());
    }
}
