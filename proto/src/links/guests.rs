//! What guests take of a node: exchanges under way, replies not handed on, bytes that wait.
//!
//! Words of the application to guests have a part of all queues and no more, so that guests that
//! read slowly leave the rest to peers. The node's own words to them are short and few, and bound
//! by all queues together.

use alloc::vec::Vec;

use super::{Link, Links};
use crate::action::Action;
use crate::id::ConnId;
use crate::limits::{GUEST_OBJECT, GUEST_UNCOUNTED};
use crate::queue::{FRAME_COST, Full};
use crate::session::btpeer::Exchange;
use crate::session::{Call, Callee, Phase};
use crate::time::Instant;

impl Links {
    /// Dials to guests on the application's account, and exchanges with those that we dialled so.
    pub(crate) fn guests_under_way(&self) -> usize {
        let visits = self.iter().filter(|(_, link)| match &link.phase {
            Phase::Dialing {
                call: Call::Btpeer(_) | Call::Chat { to: Callee::Joined, .. },
                ..
            } => true,
            Phase::Guest(Exchange::Visiting(_)) => true,
            // What is said to other chat peers has bounds of its own.
            Phase::Dialing {
                call: Call::Native { .. } | Call::Chat { to: Callee::Known(_) | Callee::Told, .. },
                ..
            }
            | Phase::Greeting(_)
            | Phase::Ready(_)
            | Phase::Guest(Exchange::Answering { .. } | Exchange::Telling { .. })
            | Phase::Closing(_) => false,
        });
        visits.count()
    }

    /// Dials to chat peers that others told us of.
    pub(crate) fn told_under_way(&self) -> usize {
        let told = self.iter().filter(|(_, link)| match &link.phase {
            Phase::Dialing { call: Call::Chat { to: Callee::Told, .. }, .. } => true,
            Phase::Dialing { .. }
            | Phase::Greeting(_)
            | Phase::Ready(_)
            | Phase::Guest(_)
            | Phase::Closing(_) => false,
        });
        told.count()
    }

    /// Bytes that replies of guests take which are not handed on, with so many more of this one, if
    /// those of this one are worth the count.
    pub(crate) fn held_of_guests(&self, conn: ConnId, more: usize) -> usize {
        let taken = |link: &Link| match &link.phase {
            Phase::Guest(Exchange::Visiting(visit)) => visit.taken(),
            Phase::Dialing { .. }
            | Phase::Greeting(_)
            | Phase::Ready(_)
            | Phase::Guest(_)
            | Phase::Closing(_) => 0,
        };
        let of_this = self.get(conn).map_or(0, taken).saturating_add(more);
        if of_this <= GUEST_UNCOUNTED {
            return 0;
        }
        self.iter().map(|(_, link)| taken(link)).fold(more, usize::saturating_add)
    }

    /// What guests are asked is not read on, as the application is behind.
    pub(crate) fn pause_visits(&mut self, now: Instant) {
        let visits = self.iter().filter(|(_, link)| match &link.phase {
            Phase::Guest(Exchange::Visiting(_)) => true,
            Phase::Dialing { .. }
            | Phase::Greeting(_)
            | Phase::Ready(_)
            | Phase::Guest(_)
            | Phase::Closing(_) => false,
        });
        let visits: Vec<ConnId> = visits.map(|(conn, _)| conn).collect();
        visits.into_iter().for_each(|conn| self.pause(conn, now));
    }

    /// Whether so many bytes of the application may wait for a guest.
    ///
    /// # Errors
    /// The bound that has no room for them, with what it would hold.
    pub(crate) fn room_for_guests(&self, len: usize) -> Result<(), (&'static str, Full)> {
        let cost = len.saturating_add(FRAME_COST);
        for (bound, queued, limit) in [
            ("guest_queued", self.guest_queued, self.guest_limit),
            ("queued_total", self.queued, self.queued_total),
        ] {
            let queued = queued.saturating_add(cost);
            if queued > limit {
                return Err((bound, Full { queued, limit }));
            }
        }
        Ok(())
    }

    /// The guest that gives way when there is no room for so many bytes: of those that have had
    /// `flush_timeout` to read their last answer, the one that left most. None, if all of them
    /// together would not be enough.
    pub(crate) fn guest_to_give_way(&self, len: usize, now: Instant) -> Option<ConnId> {
        let cost = len.saturating_add(FRAME_COST);
        let over = |queued: usize, limit| queued.saturating_add(cost).saturating_sub(limit);
        let over_part = over(self.guest_queued, self.guest_limit);
        let over = over_part.max(over(self.queued, self.queued_total));
        let slow = self.iter().filter(|(_, link)| match &link.phase {
            Phase::Closing(closing) => link.of_guest && now >= closing.since + self.flush_timeout,
            Phase::Dialing { .. } | Phase::Greeting(_) | Phase::Ready(_) | Phase::Guest(_) => false,
        });
        let slow: Vec<(ConnId, usize)> = slow.map(|(conn, link)| (conn, link.charged())).collect();
        let left = slow.iter().fold(0, |sum: usize, (_, left)| sum.saturating_add(*left));
        let most = slow.into_iter().max_by_key(|(_, left)| *left);
        most.filter(|_| over > 0 && left >= over).map(|(conn, _)| conn)
    }

    /// Bytes that wait for guests, and their bound: those of the application, and for each guest
    /// twice what control lines may have, for the longest list.
    #[cfg(feature = "testing")]
    pub(crate) fn kept_for_guests(&self) -> (usize, usize) {
        let guests = self.iter().filter(|(_, link)| link.of_guest).count();
        let own = guests.saturating_mul(self.control_reserve).saturating_mul(2);
        (self.guest_queued, self.guest_limit.saturating_add(own))
    }

    /// What a guest is to be asked once it takes our call. It is charged from now on.
    pub(crate) fn will_ask(&mut self, conn: ConnId, question: Vec<u8>) {
        let Some(link) = self.get_mut(conn) else { return };
        let before = link.charged();
        (link.question, link.of_guest) = (question, true);
        let after = link.charged();
        self.recharge(true, before, after);
    }

    /// What a guest is to be asked, which from now on is not charged here.
    pub(crate) fn take_question(&mut self, conn: ConnId) -> Vec<u8> {
        let Some(link) = self.get_mut(conn) else { return Vec::new() };
        let before = link.charged();
        let question = core::mem::take(&mut link.question);
        let (after, of_guest) = (link.charged(), link.of_guest);
        self.recharge(of_guest, before, after);
        question
    }

    /// Queues a guest's bytes behind those that wait, up to `limit` in all. The first words on a
    /// connection, if they are as short as one object of chat, go past the bound of all queues
    /// together, as control lines do: without them there would be no exchange to wait for. The sum
    /// of all limits counts them with the connection.
    ///
    /// # Errors
    /// [`Full`] when there is no room for them in its queue or in all together. A connection that
    /// is gone or closing takes nothing and says nothing.
    pub(crate) fn enqueue_bytes(
        &mut self,
        conn: ConnId,
        bytes: Vec<u8>,
        limit: usize,
        now: Instant,
    ) -> Result<(), Full> {
        let Some(link) = self.get(conn).filter(|link| matches!(link.phase, Phase::Guest(_))) else {
            return Ok(());
        };
        let (before, was_empty) = (link.charged(), link.queue.is_empty());
        let cost = bytes.len().saturating_add(FRAME_COST);
        let is_short = was_empty && cost <= GUEST_OBJECT;
        if !is_short && self.queued.saturating_add(cost) > self.queued_total {
            return Err(Full { queued: self.queued, limit: self.queued_total });
        }
        let Some(link) = self.get_mut(conn) else { return Ok(()) };
        link.queue.push_bytes(bytes, limit)?;
        if was_empty {
            link.progress = now;
        }
        let (after, was_of_guest) = (link.charged(), core::mem::replace(&mut link.of_guest, true));
        if !was_of_guest {
            self.guest_queued = self.guest_queued.saturating_add(before);
        }
        self.recharge(true, before, after);
        if was_empty {
            self.actions.push_back(Action::Send { conn });
        }
        self.timers_at_most(conn, now + self.write_stall);
        Ok(())
    }

    /// What is charged to a connection has changed.
    pub(super) fn recharge(&mut self, of_guest: bool, before: usize, after: usize) {
        self.queued = self.queued.saturating_sub(before).saturating_add(after);
        if of_guest {
            self.guest_queued = self.guest_queued.saturating_sub(before).saturating_add(after);
        }
    }
}
