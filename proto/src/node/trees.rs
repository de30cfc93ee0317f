//! Broadcasts between the trees and the connections: what is heard goes in, what is to be sent goes
//! to the queues, and a queue that is full says so.

use alloc::vec::Vec;

use crate::broadcast::Key;
use crate::broadcast::order::Order;
use crate::broadcast::ranges::{MOST_RANGES, count, end_of};
use crate::broadcast::trees::MOST_IDS;
use crate::id::{ConnId, PeerId};
use crate::message::Frame;
use crate::node::{Node, Receipt};
use crate::queue::Class;
use crate::seen::StreamId;
use crate::session::Phase;
use crate::sorted::{SortedMap, SortedSet};
use crate::wire::encode;
use crate::wire::json::Span;
use crate::wire::lists::{announced, wanted};
use crate::wire::msg::{Msg, Named};
use crate::wire::native::{self, Decoded};
use crate::wire::received::Received;

/// Bytes that may wait on a connection for an announcement to be written all the same: what is
/// staged for one write.
const ROOM: usize = 64 * 1024;

/// The word for what was asked for and is no longer there.
pub(super) const GONE: &str = "gone";

impl Node {
    // ---- which links there are ----

    /// Tells the trees which connections carry native peers, after some peer came, went, or changed
    /// its connection.
    pub(super) fn update_trees(&mut self, peer: &PeerId, ended: Option<ConnId>) {
        let PeerId::Node(id) = peer else { return };
        let (carrier, others) = match self.peers.conns(peer) {
            [carrier, others @ ..] => (Some(*carrier), others),
            [] => (None, [].as_slice()),
        };
        for conn in ended.iter().chain(others) {
            self.broadcasts.trees.link_down(*conn, self.now);
        }
        let kept = carrier.filter(|carrier| !self.is_routes_only(*carrier));
        let Some(carrier) = kept else { return };
        self.broadcasts.trees.link_up(carrier, self.id > *id, self.now);
        let round_trip = self.ready_mut(carrier).and_then(|ready| ready.alive.round_trip());
        if let Some(round_trip) = round_trip {
            self.broadcasts.trees.measured(carrier, round_trip);
        }
    }

    #[cfg(feature = "testing")]
    pub(crate) fn tree(&self, stream: StreamId) -> (Vec<ConnId>, Option<ConnId>) {
        (self.broadcasts.trees.eager(&stream), self.broadcasts.trees.parent(&stream))
    }

    #[cfg(feature = "testing")]
    pub(crate) fn time(&self) -> crate::time::Instant {
        self.now
    }

    #[cfg(feature = "testing")]
    pub(crate) fn own_epoch(&self) -> u32 {
        self.broadcasts.epoch()
    }

    // ---- messages ----

    pub(super) fn on_ihave(&mut self, conn: ConnId, have: Span<'_>) {
        let (mut ranges, mut ids) = (0_usize, 0_u64);
        let taken = announced(have, &mut |range| {
            ranges = ranges.saturating_add(1);
            let Some(stream) = stream_of(&range.stream) else { return };
            if ranges > MOST_RANGES || range.from == 0 {
                return;
            }
            let room = MOST_IDS.saturating_sub(ids);
            if room == 0 {
                return;
            }
            let to = end_of((range.from, range.to), room);
            ids = ids.saturating_add(count((range.from, to)));
            let hold = core::time::Duration::from_millis(range.hold);
            for seq in range.from..=to {
                self.broadcasts.announced((stream, seq), conn, hold, self.now);
            }
        });
        debug_assert_eq!(taken, Some(()), "the line was checked");
    }

    pub(super) fn on_graft(
        &mut self,
        conn: ConnId,
        stream: Option<&Named<'_>>,
        want: Option<Span<'_>>,
    ) {
        let named = match stream.map(stream_of) {
            Some(None) => return,
            Some(Some(stream)) => Some(stream),
            None => None,
        };
        let mut ranges = Vec::new();
        if let Some(want) = want {
            let taken = wanted(want, &mut |from, to| {
                ranges.extend(Some((from, to)).filter(|_| ranges.len() < MOST_RANGES));
            });
            debug_assert_eq!(taken, Some(()), "the line was checked");
        }
        let mut orders = core::mem::take(&mut self.orders);
        self.broadcasts.trees.on_graft(conn, named, ranges.into_iter(), &mut orders);
        self.leave_out_waiting(conn, &mut orders);
        self.carry_out(orders, Class::Forwarded);
    }

    /// Who asks again for what waits in its queue gets no second copy: a narrow link would have
    /// more to carry with each time that it is late.
    fn leave_out_waiting(&self, conn: ConnId, orders: &mut Vec<Order>) {
        let Some(link) = self.links.get(conn) else { return };
        let mut waiting = link.waiting_broadcasts().peekable();
        if waiting.peek().is_none() {
            return;
        }
        let pushes = orders.iter().filter_map(|order| match order {
            Order::Push { frame, key, .. } => Some((frame.as_bytes(), *key)),
            Order::Prune { .. } | Order::Graft { .. } | Order::Gone { .. } | Order::Ping { .. } => {
                None
            }
        });
        let asked: SortedMap<&[u8], Key> = pushes.collect();
        let waiting = waiting.filter_map(|frame| asked.get(frame.as_bytes()).copied());
        let waiting: SortedSet<Key> = waiting.collect();
        orders.retain(|order| match order {
            Order::Push { key, .. } => !waiting.contains(key),
            Order::Prune { .. } | Order::Graft { .. } | Order::Gone { .. } | Order::Ping { .. } => {
                true
            }
        });
    }

    pub(super) fn on_prune(&mut self, conn: ConnId, stream: Option<&Named<'_>>) {
        match stream.map(stream_of) {
            Some(None) => {}
            Some(stream) => self.broadcasts.trees.on_prune(conn, stream),
            None => self.broadcasts.trees.on_prune(conn, None),
        }
    }

    /// Two planted bugs: what was heard before is new, or is if it is ours.
    #[cfg(peerline_planted)]
    pub(super) fn plant_in_verdict(
        &self,
        verdict: crate::broadcast::Verdict,
        originator: crate::id::NodeId,
    ) -> crate::broadcast::Verdict {
        use crate::broadcast::Verdict;

        let again = self.is_planted(crate::planted::Bug::DupDelivery)
            || (self.is_planted(crate::planted::Bug::Echo) && originator == self.id);
        if again && verdict == Verdict::Duplicate { Verdict::New { hole: None } } else { verdict }
    }

    /// Two planted bugs: nothing is passed on, or all of it twice.
    #[cfg(peerline_planted)]
    pub(super) fn plant_in_orders(&self, orders: &mut Vec<Order>) {
        if self.is_planted(crate::planted::Bug::NoForward) {
            orders.clear();
        }
        if self.is_planted(crate::planted::Bug::ForwardTwice) {
            orders.extend(orders.clone());
        }
    }

    /// A link has no longer what it was asked for. False if the words are not ours.
    pub(super) fn on_gone(&mut self, conn: ConnId, re: &str) -> bool {
        let mut words = re.split(['/']);
        let (Some(originator), Some(epoch), Some(seqs)) =
            (words.next(), words.next(), words.next())
        else {
            return false;
        };
        let stream = originator.parse().ok().zip(epoch.parse().ok());
        let seqs = seqs.split_once('-');
        let seqs = seqs.and_then(|(from, to)| from.parse().ok().zip(to.parse().ok()));
        if let (Some(stream), Some(seqs)) = (stream, seqs) {
            self.broadcasts.gone(conn, stream, seqs);
        }
        stream.is_some() && seqs.is_some()
    }

    // ---- what is to be sent ----

    /// Does what the trees ordered. Says how many queues took a broadcast.
    pub(super) fn carry_out(&mut self, mut orders: Vec<Order>, class: Class) -> Receipt {
        let mut receipt = Receipt::default();
        for order in orders.drain(..) {
            match order {
                Order::Push { conn, frame, key } => {
                    let pushed = self.push(conn, frame, key, class);
                    receipt.queued += usize::from(pushed);
                    receipt.skipped += usize::from(!pushed);
                }
                Order::Prune { conn, stream } => self.shape(conn, encode::prune(stream)),
                Order::Graft { conn, stream, want } => {
                    self.shape(conn, encode::graft(stream, &want));
                }
                Order::Gone { conn, stream: (originator, epoch), seqs: (from, to) } => {
                    let re = alloc::format!("{originator}/{epoch}/{from}-{to}");
                    self.shape(conn, encode::error(&re, GONE, None));
                }
                Order::Ping { conn } => self.probe(conn),
            }
        }
        self.orders = orders;
        receipt
    }

    /// Queues a broadcast; false if there is no room for it, and it is announced instead.
    fn push(&mut self, conn: ConnId, frame: Frame, key: Key, class: Class) -> bool {
        let queued = self.links.enqueue(conn, frame, class, &mut self.stats, self.now).is_ok();
        if !queued {
            self.stats.skipped += 1;
            self.broadcasts.trees.not_pushed(key, conn, self.now);
            if class == Class::Own {
                self.links.block(conn);
            }
        }
        queued
    }

    /// Broadcasts that gave way to others in a queue are announced there instead.
    pub(super) fn announce_dropped(&mut self) {
        for (conn, frame) in self.links.take_dropped() {
            #[cfg(peerline_planted)]
            if self.is_planted(crate::planted::Bug::LostUntold) {
                continue;
            }
            if let Some(key) = key_of(&frame) {
                self.broadcasts.lost(key, conn, self.now);
            }
        }
    }

    /// A line that shapes a tree, or repairs what it missed.
    fn shape(&mut self, conn: ConnId, frame: Frame) {
        self.stats.tree_bytes += frame.len() as u64;
        self.control(conn, frame);
    }

    /// Asks for what is missing, and announces what was not pushed.
    pub(super) fn tend_trees(&mut self) {
        let mut orders = core::mem::take(&mut self.orders);
        self.broadcasts.trees.tend(self.now, &mut orders);
        self.carry_out(orders, Class::Forwarded);
        let mut due = core::mem::take(&mut self.receivers);
        self.broadcasts.trees.announcements_due(self.now, &mut due);
        for conn in due.drain(..) {
            self.announce(conn);
        }
        self.receivers = due;
    }

    fn announce(&mut self, conn: ConnId) {
        let Some(link) = self.links.get(conn) else { return };
        let (queued, theirs) = match &link.phase {
            Phase::Ready(ready) => (link.queued(), ready.version),
            Phase::Dialing { .. } | Phase::Greeting(_) | Phase::Guest(_) | Phase::Closing(_) => {
                return;
            }
        };
        if theirs == 0 {
            return;
        }
        if queued > ROOM {
            return self.broadcasts.trees.postpone(conn, self.now);
        }
        let ranges = self.broadcasts.trees.announcement(conn, self.now);
        if !ranges.is_empty() {
            self.shape(conn, encode::ihave(&ranges));
        }
    }
}

/// Which broadcast a line is, if it is one. Read again, since it is rare that this is asked.
fn key_of(frame: &Frame) -> Option<Key> {
    let line = Received::new(frame.as_bytes()).ok()?;
    let Ok(Decoded { msg: Msg::Broadcast(said), .. }) = native::decode(line.text) else {
        return None;
    };
    let stream = (said.originator.parse().ok()?, u32::try_from(said.epoch).ok()?);
    Some((stream, said.seq))
}

/// The stream that a line names, if there can be one.
fn stream_of(named: &Named<'_>) -> Option<StreamId> {
    Some((named.originator.parse().ok()?, u32::try_from(named.epoch).ok()?))
}
