//! Requests of ours: which reply comes next, when another try is due, and when time is up.
//!
//! Each request leaves this table once, and that is its one end. Replies are handed out in order of
//! their numbers, each once; what comes before its turn waits, within bounds.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::time::Duration;

use crate::exchange::{RequestId, Words};
use crate::id::NodeId;
use crate::limits::Limits;
use crate::message::Payload;
use crate::sorted::{SortedMap, SortedSet};
use crate::time::{Instant, UnixTime};

/// How often a request is sent at most.
pub(crate) const TRIES: u64 = 3;

/// How often a neighbour that is slow to answer is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What a reply that waits for its turn costs beyond its bytes.
const EARLY_COST: usize = 192;

/// A request of ours.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "testing", derive(Hash))]
pub(crate) struct Pending {
    pub(crate) to: NodeId,
    pub(crate) kind: Box<str>,
    pub(crate) body: Payload,
    pub(crate) time: UnixTime,
    pub(crate) deadline: Instant,
    /// Without a word for this long, another try is due.
    patience: Duration,
    retry_at: Option<Instant>,
    /// Tries so far.
    pub(crate) tries: u64,
    /// The neighbour that has the latest try.
    pub(crate) hop: Option<NodeId>,
    /// The neighbours that had one.
    pub(crate) tried: Vec<NodeId>,
    /// A way was sought for it.
    pub(crate) sought: bool,
    next: u64,
    /// The number of the last reply, once that came.
    last: Option<u64>,
    early: SortedMap<u64, Words>,
}

impl Pending {
    pub(crate) fn new(
        to: NodeId,
        (kind, body): (&str, &Payload),
        time: UnixTime,
        (now, deadline): (Instant, Instant),
    ) -> Self {
        let tries = u32::try_from(TRIES).unwrap_or(u32::MAX).max(1);
        let patience = deadline.saturating_since(now).checked_div(tries).unwrap_or_default();
        Self {
            to,
            kind: kind.into(),
            body: body.clone(),
            time,
            deadline,
            patience,
            retry_at: None,
            tries: 0,
            hop: None,
            tried: Vec::new(),
            sought: false,
            next: 0,
            last: None,
            early: SortedMap::new(),
        }
    }

    /// Bytes kept for another try.
    fn size(&self) -> usize {
        self.kind.len().saturating_add(self.body.as_str().len())
    }

    fn due(&self) -> Instant {
        self.retry_at.map_or(self.deadline, |at| at.min(self.deadline))
    }

    fn early_bytes(&self) -> usize {
        self.early.values().map(cost).fold(0, usize::saturating_add)
    }
}

/// What is due for a request.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(crate) enum Due {
    /// Nothing was heard of it: another try.
    Retry,
    /// Its time is up.
    Timeout,
}

/// All requests of ours.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "testing", derive(Hash))]
pub(crate) struct Asked {
    pending: SortedMap<RequestId, Pending>,
    /// Each request once, under its [`Pending::due`].
    order: SortedSet<(Instant, RequestId)>,
    bytes: usize,
    early_bytes: usize,
    most: usize,
    most_bytes: usize,
    most_early: usize,
    most_early_bytes: usize,
}

impl Asked {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            pending: SortedMap::new(),
            order: SortedSet::new(),
            bytes: 0,
            early_bytes: 0,
            most: limits.pending_requests,
            most_bytes: limits.pending_bytes,
            most_early: limits.early_replies,
            most_early_bytes: limits.early_bytes,
        }
    }

    /// Bytes held: of requests for another try, of replies before their turn.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.saturating_add(self.early_bytes)
    }

    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.order.first().map(|(at, _)| *at)
    }

    pub(crate) fn get(&self, id: RequestId) -> Option<&Pending> {
        self.pending.get(&id)
    }

    /// Whether another one of these bytes may be pending; else the bound it would pass, with what,
    /// and the limit.
    pub(crate) fn has_room(&self, bytes: usize) -> Result<(), (&'static str, usize, usize)> {
        let count = self.pending.len().saturating_add(1);
        if count > self.most {
            return Err(("pending_requests", count, self.most));
        }
        let bytes = self.bytes.saturating_add(bytes);
        if bytes > self.most_bytes {
            return Err(("pending_bytes", bytes, self.most_bytes));
        }
        Ok(())
    }

    pub(crate) fn add(&mut self, id: RequestId, pending: Pending) {
        self.bytes = self.bytes.saturating_add(pending.size());
        self.order.insert((pending.due(), id));
        self.pending.insert(id, pending);
    }

    /// Changes a request and keeps its place in the order of time.
    fn change<R>(&mut self, id: RequestId, change: impl FnOnce(&mut Pending) -> R) -> Option<R> {
        let pending = self.pending.get_mut(&id)?;
        let before = pending.due();
        let result = change(pending);
        let after = pending.due();
        if before != after {
            self.order.remove(&(before, id));
            self.order.insert((after, id));
        }
        Some(result)
    }

    /// A neighbour took a try.
    pub(crate) fn sent(&mut self, id: RequestId, hop: NodeId, now: Instant) {
        self.change(id, |pending| {
            pending.tries = pending.tries.saturating_add(1);
            pending.hop = Some(hop);
            pending.tried.push(hop);
            let more = pending.tries < TRIES;
            pending.retry_at = more.then(|| now + pending.patience);
        });
    }

    /// The latest try went to another neighbour, of which nothing was heard.
    pub(crate) fn moved(&mut self, id: RequestId, hop: NodeId) {
        self.change(id, |pending| {
            pending.hop = Some(hop);
            pending.tried.push(hop);
        });
    }

    /// Its neighbour is to be looked at again soon.
    pub(crate) fn look_again(&mut self, id: RequestId, now: Instant) {
        self.change(id, |pending| {
            let soon = pending.patience.clamp(Duration::from_millis(1), LOOK_EVERY);
            pending.retry_at = Some(now + soon);
        });
    }

    /// No further try but when its neighbour goes.
    pub(crate) fn waits(&mut self, id: RequestId) {
        self.change(id, |pending| pending.retry_at = None);
    }

    /// The neighbour that had the latest try has it no more.
    pub(crate) fn lost_hop(&mut self, id: RequestId) {
        self.change(id, |pending| pending.hop = None);
    }

    /// A way is sought: all neighbours may be tried again when one is found.
    pub(crate) fn seeks(&mut self, id: RequestId) {
        self.change(id, |pending| {
            pending.sought = true;
            pending.retry_at = None;
            pending.tried.clear();
        });
    }

    /// The requests whose latest try this neighbour has.
    pub(crate) fn by_hop(&self, hop: NodeId) -> Vec<RequestId> {
        let theirs = self.pending.iter().filter(|(_, pending)| pending.hop == Some(hop));
        theirs.map(|(id, _)| *id).collect()
    }

    /// A request for which something is due.
    pub(crate) fn due(&self, now: Instant) -> Option<(RequestId, Due)> {
        let (at, id) = *self.order.first()?;
        let pending = self.pending.get(&id).filter(|_| at <= now)?;
        let timeout = pending.deadline <= now;
        Some((id, if timeout { Due::Timeout } else { Due::Retry }))
    }

    /// Ends a request.
    pub(crate) fn end(&mut self, id: RequestId) -> Option<Pending> {
        let pending = self.pending.remove(&id)?;
        self.order.remove(&(pending.due(), id));
        self.bytes = self.bytes.saturating_sub(pending.size());
        self.early_bytes = self.early_bytes.saturating_sub(pending.early_bytes());
        Some(pending)
    }

    /// Any request, for the end of all.
    pub(crate) fn first(&self) -> Option<RequestId> {
        self.pending.keys().next().copied()
    }

    /// A reply came. False if it is not wanted: known, after the last, or there is no room.
    pub(crate) fn hear(
        &mut self,
        id: RequestId,
        (n, last): (u64, bool),
        words: Words,
        now: Instant,
    ) -> bool {
        let (most, most_bytes) = (self.most_early, self.most_early_bytes);
        let (held, size) = (self.early_bytes, cost(&words));
        let taken = self.change(id, |pending| {
            let after = pending.last.is_some_and(|last| n > last);
            // A last one below others would unsay what was said.
            let below = last && pending.early.last_key_value().is_some_and(|(most, _)| *most > n);
            if n < pending.next || pending.early.contains_key(&n) || after || below {
                return false;
            }
            let early = n > pending.next;
            let full = pending.early.len() >= most || held.saturating_add(size) > most_bytes;
            if early && full {
                return false;
            }
            pending.last = pending.last.or_else(|| last.then_some(n));
            pending.early.insert(n, words);
            if pending.retry_at.is_some() {
                pending.retry_at = Some(now + pending.patience);
            }
            true
        });
        if taken == Some(true) {
            self.early_bytes = held.saturating_add(size);
        }
        taken.unwrap_or_default()
    }

    /// Takes the next reply, if its turn has come: its number, whether it is the last, its words.
    pub(crate) fn next_reply(&mut self, id: RequestId) -> Option<(u64, bool, Words)> {
        let pending = self.pending.get_mut(&id)?;
        let n = pending.next;
        let words = pending.early.remove(&n)?;
        pending.next = n.saturating_add(1);
        self.early_bytes = self.early_bytes.saturating_sub(cost(&words));
        Some((n, pending.last == Some(n), words))
    }
}

/// What keeping a reply costs.
fn cost(words: &Words) -> usize {
    words.size().saturating_add(EARLY_COST)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn node(number: u8) -> NodeId {
        NodeId::from_random_bytes([number; 16])
    }

    fn at(seconds: u64) -> Instant {
        Instant::ZERO + Duration::from_secs(seconds)
    }

    fn words(text: &str) -> Words {
        Words::Own { kind: "K".into(), body: text.into() }
    }

    const ID: RequestId = RequestId::new(1);

    fn asked(limits: Limits) -> Asked {
        let mut asked = Asked::new(&limits);
        let body = Payload::encode("x").unwrap();
        let pending = Pending::new(node(9), ("K", &body), UnixTime::default(), (at(0), at(30)));
        asked.add(ID, pending);
        asked
    }

    fn hear(asked: &mut Asked, n: u64, last: bool) -> bool {
        asked.hear(ID, (n, last), words(&"x".repeat(10)), at(1))
    }

    fn taken(asked: &mut Asked) -> Vec<(u64, bool)> {
        core::iter::from_fn(|| asked.next_reply(ID)).map(|(n, last, _)| (n, last)).collect()
    }

    #[test]
    fn replies_are_handed_out_in_order_each_once() {
        let mut asked = asked(Limits::default());
        for (n, last, fresh) in
            [(2, true, true), (0, false, true), (0, false, false), (3, false, false)]
        {
            assert_eq!(hear(&mut asked, n, last), fresh, "{n}");
        }
        assert_eq!(taken(&mut asked), [(0, false)]);
        assert!(!hear(&mut asked, 0, false) && hear(&mut asked, 1, false));
        assert!(!hear(&mut asked, 2, true));
        assert_eq!(taken(&mut asked), [(1, false), (2, true)]);
        let size = asked.get(ID).unwrap().size();
        assert_eq!((asked.bytes(), size), (size, 4));
        assert!(asked.end(ID).is_some() && asked.end(ID).is_none());
        assert_eq!((asked.bytes(), asked.next_deadline()), (0, None));
    }

    #[test]
    fn a_last_reply_below_one_that_came_is_not_taken() {
        let mut asked = asked(Limits::default());
        assert!(hear(&mut asked, 5, false) && !hear(&mut asked, 3, true));
        assert!(hear(&mut asked, 6, true));
    }

    #[test]
    fn what_comes_before_its_turn_is_bounded_by_count_and_bytes() {
        let mut by_count = asked(Limits { early_replies: 2, ..Limits::default() });
        let fresh: Vec<bool> = [1, 2, 3, 0].map(|n| hear(&mut by_count, n, false)).into();
        assert_eq!(fresh, [true, true, false, true]);
        assert_eq!(taken(&mut by_count).len(), 3);
        let mut by_bytes = asked(Limits { early_bytes: 15 + EARLY_COST, ..Limits::default() });
        assert!(hear(&mut by_bytes, 1, false) && !hear(&mut by_bytes, 2, false));
        assert!(hear(&mut by_bytes, 0, false), "its turn has come");
    }

    #[test]
    fn tries_are_a_third_of_the_time_apart_and_three() {
        let mut asked = asked(Limits::default());
        assert_eq!(asked.next_deadline(), Some(at(30)));
        asked.sent(ID, node(1), at(0));
        assert_eq!((asked.due(at(9)), asked.due(at(10))), (None, Some((ID, Due::Retry))));
        asked.sent(ID, node(2), at(10));
        assert!(hear(&mut asked, 0, false));
        assert_eq!(asked.next_deadline(), Some(at(11)), "a word of it starts the time anew");
        asked.sent(ID, node(3), at(20));
        assert_eq!((asked.due(at(29)), asked.due(at(30))), (None, Some((ID, Due::Timeout))));
        assert_eq!((asked.by_hop(node(3)), asked.by_hop(node(2)).len()), (Vec::from([ID]), 0));
    }

    #[test]
    fn there_is_room_for_so_many_and_so_many_bytes() {
        let asked = asked(Limits { pending_requests: 2, pending_bytes: 8, ..Limits::default() });
        assert_eq!((asked.has_room(4), asked.has_room(5)), (Ok(()), Err(("pending_bytes", 9, 8))));
        let full = self::asked(Limits { pending_requests: 1, ..Limits::default() });
        assert_eq!(full.has_room(0), Err(("pending_requests", 2, 1)));
    }

    #[test]
    fn replies_before_their_turn_may_take_all_the_room() {
        for (room, expected) in [(10 + EARLY_COST, false), (11 + EARLY_COST, true)] {
            let mut asked = asked(Limits { early_bytes: room, ..Limits::default() });
            assert_eq!(hear(&mut asked, 1, false), expected);
            assert_eq!(asked.bytes(), 4 + if expected { room } else { 0 });
        }
    }

    #[test]
    fn a_last_reply_may_be_the_next_and_nothing_is_beyond_it() {
        let mut asked = asked(Limits::default());
        assert!(hear(&mut asked, 3, true) && !hear(&mut asked, 4, false));
        assert!(!hear(&mut asked, 3, true) && hear(&mut asked, 2, false));
        assert!(hear(&mut asked, 0, false) && hear(&mut asked, 1, false));
        assert_eq!(taken(&mut asked), [(0, false), (1, false), (2, false), (3, true)]);
        assert!(!asked.hear(RequestId::new(7), (0, false), words("x"), at(1)), "nobody asked");
    }

    #[test]
    fn what_becomes_of_a_try_is_known_of_its_request() {
        let mut asked = asked(Limits::default());
        let state = |asked: &Asked| {
            let pending = asked.get(ID).unwrap();
            (pending.tries, pending.hop, pending.tried.clone(), pending.sought)
        };
        asked.sent(ID, node(1), at(0));
        asked.moved(ID, node(2));
        assert_eq!(state(&asked), (1, Some(node(2)), Vec::from([node(1), node(2)]), false));
        assert_eq!(asked.next_deadline(), Some(at(10)), "where it went on its time goes on");
        asked.lost_hop(ID);
        assert_eq!((state(&asked).1, asked.by_hop(node(2)).len()), (None, 0));
        asked.waits(ID);
        assert_eq!(asked.next_deadline(), Some(at(30)));
        asked.look_again(ID, at(12));
        assert_eq!(asked.next_deadline(), Some(at(13)));
        asked.seeks(ID);
        assert_eq!(state(&asked), (1, None, Vec::new(), true));
        assert_eq!((asked.next_deadline(), asked.first()), (Some(at(30)), Some(ID)));
        asked.end(ID);
        assert_eq!((asked.first(), asked.due(at(99))), (None, None));
    }

    #[test]
    fn one_that_has_no_time_is_looked_at_no_more_than_each_millisecond() {
        let mut asked = Asked::new(&Limits::default());
        let body = Payload::encode("x").unwrap();
        let nanos = |nanos| at(0) + Duration::from_nanos(nanos);
        let pending = Pending::new(node(9), ("K", &body), UnixTime::default(), (at(0), at(0)));
        asked.add(ID, Pending { deadline: at(1), ..pending });
        asked.look_again(ID, at(0));
        assert_eq!(asked.next_deadline(), Some(nanos(1_000_000)));
    }
}
