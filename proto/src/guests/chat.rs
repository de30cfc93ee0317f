//! The chat network: whom we know there, what waits for them, and what was said before.
//!
//! Decides whether a line was heard already, when an original that does not answer is forgotten,
//! and how many connections to one are under way. It writes no object and dials nobody.

use alloc::collections::VecDeque;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use core::net::SocketAddr;
use core::time::Duration;

use crate::budget::Budget;
use crate::guests::{Remembered, Table};
use crate::id::NodeId;
use crate::limits::{GUEST_DIALS as DIALS, GUESTS_WAITING as WAITING, Limits};
use crate::seen::Recent;
use crate::session::Say;
use crate::sorted::SortedMap;
use crate::time::Instant;
use crate::wire::chat_key::chat_key;

/// Failed dials in a row after which a peer is forgotten; the original never forgets.
const FAILURES: u8 = 3;
/// Texts of the current second that are remembered. When full: the clock moves on for all.
const SPOKEN: usize = 1024;
/// Addresses told by others that are dialled at once, and the time until the next may be.
const TOLD: (u32, Duration) = (16, Duration::from_millis(500));

/// A name in chat: the one that was given, and four digits of the node's id.
pub(crate) fn chat_id(name: &str, node: NodeId) -> String {
    let digits: String = node.to_string().chars().take(4).collect();
    format!("{name}-{digits}")
}

/// What waits for a peer.
#[derive(Clone, Debug, Default)]
#[cfg_attr(feature = "testing", derive(Hash))]
struct Outbox {
    dialing: usize,
    waiting: VecDeque<Say>,
    /// When it was last told whom we know.
    told: Option<Instant>,
}

/// What becomes of an object for a peer.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Posted {
    /// Dial this address with it.
    Dial(SocketAddr),
    /// It waits for dials under way.
    Waits,
    /// Nobody by that name, or too much waits.
    Dropped,
}

/// The chat network as this node sees it.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "testing", derive(Hash))]
pub(crate) struct Chat {
    id: Arc<str>,
    /// Of the hash that stands for a line.
    key: (u64, u64),
    table: Table,
    outboxes: SortedMap<Arc<str>, Outbox>,
    /// Addresses told by others that may be dialled.
    told: Budget,
    heard: Recent<u64>,
    /// Of those, lines that were accepted where they had to be.
    accepted: Recent<u64>,
    /// The last second of each text of ours whose second may come again.
    spoken: SortedMap<u64, u64>,
    /// No line of ours has an earlier second.
    floor: u64,
    advertise_every: Duration,
}

impl Chat {
    pub(crate) fn new(id: &str, key: (u64, u64), limits: &Limits) -> Self {
        Self {
            id: id.into(),
            key,
            table: Table::new(limits.guests),
            outboxes: SortedMap::new(),
            told: Budget::new(TOLD.0, TOLD.1, Instant::ZERO),
            heard: Recent::new(limits.recent_ids),
            accepted: Recent::new(limits.recent_ids),
            spoken: SortedMap::new(),
            floor: 0,
            advertise_every: limits.getaddr_every,
        }
    }

    /// Our own id.
    pub(crate) fn id(&self) -> &Arc<str> {
        &self.id
    }

    pub(crate) fn table(&self) -> &Table {
        &self.table
    }

    // ---- who ----

    pub(crate) fn remember(
        &mut self,
        id: &str,
        addr: SocketAddr,
        host: &str,
        now: Instant,
    ) -> Remembered {
        let remembered = self.table.remember(id, addr, host, now);
        if let Some((gone, _)) = &remembered.evicted {
            self.outboxes.remove(gone);
        }
        remembered
    }

    pub(crate) fn forget(&mut self, id: &str) -> bool {
        self.outboxes.remove(id);
        self.table.forget(id).is_some()
    }

    /// Something came from a peer that may be known.
    pub(crate) fn heard_from(&mut self, id: &str, now: Instant) {
        if let Some(guest) = self.table.get_mut(id) {
            guest.heard = now;
        }
    }

    // ---- what is on its way to them ----

    /// Something for a peer.
    pub(crate) fn post(&mut self, to: &Arc<str>, say: &Say) -> Posted {
        let Some(guest) = self.table.get(to) else { return Posted::Dropped };
        self.outboxes.change(Arc::clone(to), |outbox| {
            if outbox.dialing < DIALS {
                outbox.dialing = outbox.dialing.saturating_add(1);
                return Posted::Dial(guest.addr);
            }
            if outbox.waiting.len() >= WAITING {
                return Posted::Dropped;
            }
            outbox.waiting.push_back(say.clone());
            Posted::Waits
        })
    }

    /// A dial to a peer ended: well, or not. Returns what is to be dialled next, if anything.
    pub(crate) fn dialled(&mut self, to: &str, well: bool) -> Option<(SocketAddr, Say)> {
        let guest = self.table.get_mut(to)?;
        guest.failures = if well { 0 } else { guest.failures.saturating_add(1) };
        let outbox = self.outboxes.get_mut(to)?;
        outbox.dialing = outbox.dialing.saturating_sub(1);
        let say = outbox.waiting.pop_front()?;
        outbox.dialing = outbox.dialing.saturating_add(1);
        Some((guest.addr, say))
    }

    /// Whether a peer failed so often that it is to be forgotten.
    pub(crate) fn is_given_up(&self, id: &str) -> bool {
        self.table.get(id).is_some_and(|guest| guest.failures >= FAILURES)
    }

    // ---- what was said ----

    /// Records a line; false if it was heard before.
    pub(crate) fn is_new(&mut self, originator: &str, msg: &str, time: &str) -> bool {
        self.heard.insert(chat_key(originator, msg, time, self.key))
    }

    /// Records that a line may be passed on; only where lines are judged before that.
    pub(crate) fn accept(&mut self, originator: &str, msg: &str, time: &str) {
        self.accepted.insert(chat_key(originator, msg, time, self.key));
    }

    /// Whether it may.
    pub(crate) fn is_accepted(&self, originator: &str, msg: &str, time: &str) -> bool {
        self.accepted.contains(&chat_key(originator, msg, time, self.key))
    }

    /// The second for a text of ours: the clock's, moved on rather than repeated.
    pub(crate) fn second(&mut self, msg: &str, clock: u64) -> u64 {
        let text = chat_key("", msg, "", self.key);
        let clock = clock.max(self.floor);
        self.spoken.retain(|_, last| *last >= clock);
        let second = self.spoken.get(&text).map_or(clock, |last| last.saturating_add(1));
        self.spoken.insert(text, second);
        if self.spoken.len() > SPOKEN {
            let latest = self.spoken.values().max().copied().unwrap_or(clock);
            self.floor = latest.saturating_add(1);
            self.spoken.clear();
        }
        second
    }

    // ---- what may be done ----

    /// Whether a peer that asks whom we know is to be told; if so it has been.
    pub(crate) fn may_tell(&mut self, id: &Arc<str>, now: Instant) -> bool {
        self.outboxes.change(Arc::clone(id), |outbox| {
            let past = outbox.told.map(|at| now.saturating_since(at));
            let soon = past.is_some_and(|past| past < self.advertise_every);
            if !soon {
                outbox.told = Some(now);
            }
            !soon
        })
    }

    /// Whether an address that somebody told may be dialled; if so it has been.
    pub(crate) fn may_call_told(&mut self, now: Instant) -> bool {
        self.told.take(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeSet;

    fn at(seconds: u64) -> Instant {
        Instant::ZERO + Duration::from_secs(seconds)
    }

    fn chat() -> (Chat, Arc<str>) {
        let mut chat = Chat::new("peerline-0101", (1, 2), &Limits::default());
        chat.remember("able", SocketAddr::from(([10, 0, 0, 1], 47001)), "10.0.0.1", at(0));
        (chat, "able".into())
    }

    #[test]
    fn a_line_is_new_once_however_it_is_written() {
        let (mut chat, _) = chat();
        assert!(chat.is_new("able", "\"caf\\u00e9\"", "t"));
        assert!(!chat.is_new("able", "\"café\"", "t"));
        assert!(chat.is_new("baker", "\"café\"", "t") && chat.is_new("able", "\"café\"", "u"));
    }

    #[test]
    fn the_same_words_never_carry_the_same_second() {
        let (mut chat, _) = chat();
        let seconds = [chat.second("\"a\"", 7), chat.second("\"a\"", 7), chat.second("\"b\"", 7)];
        assert_eq!(seconds, [7, 8, 7]);
        assert_eq!((chat.second("\"a\"", 7), chat.second("\"a\"", 100)), (9, 100));
        let mut seen = BTreeSet::new();
        for number in 0..3 * SPOKEN {
            let text = format!("{}", number % (2 * SPOKEN));
            assert!(seen.insert((chat.second(&text, 200), text)), "a repeated second");
            assert!(chat.spoken.len() <= SPOKEN);
        }
    }

    #[test]
    fn a_peer_is_dialled_a_few_times_at_once_and_the_rest_waits() {
        let (mut chat, able) = chat();
        let say = Say::Ping;
        let posted = (0..300).map(|_| chat.post(&able, &say));
        let posted: alloc::vec::Vec<Posted> = posted.collect();
        let count = |what: fn(&Posted) -> bool| posted.iter().filter(|one| what(one)).count();
        assert_eq!(count(|one| matches!(one, Posted::Dial(_))), DIALS);
        assert_eq!(count(|one| *one == Posted::Waits), WAITING);
        assert_eq!(count(|one| *one == Posted::Dropped), 300 - WAITING - DIALS);
        let mut next = 0;
        while chat.dialled(&able, true).is_some() {
            next += 1;
        }
        assert_eq!(next, WAITING);
        assert_eq!(chat.post(&"nobody".into(), &say), Posted::Dropped);
    }

    #[test]
    fn three_failures_in_a_row_are_enough() {
        let (mut chat, able) = chat();
        for (well, given_up) in
            [(false, false), (false, false), (true, false), (false, false), (false, false)]
        {
            chat.dialled(&able, well);
            assert_eq!(chat.is_given_up(&able), given_up);
        }
        chat.dialled(&able, false);
        assert!(chat.is_given_up(&able) && chat.forget(&able) && !chat.forget(&able));
    }

    #[test]
    fn who_asks_too_often_is_not_told() {
        let (mut chat, able) = chat();
        assert!(chat.may_tell(&able, at(0)) && !chat.may_tell(&able, at(9)));
        assert!(chat.may_tell(&able, at(10)));
        let told = (0..100).filter(|_| chat.may_call_told(at(0))).count();
        assert_eq!(told, 16);
    }
}
