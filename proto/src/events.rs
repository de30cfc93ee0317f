//! The events that wait for the application, bounded by what they hold.
//!
//! An application that does not poll is felt by those who send to it: over the bound the node stops
//! reading them, and takes no new connections.

use alloc::collections::VecDeque;
use core::net::SocketAddr;

use crate::event::Event;
use crate::group::Group;
use crate::id::Side;

/// What an event is charged beyond the message it holds.
const EVENT_COST: usize = 256;
/// Events for which room is kept while there are none: what one read of small messages brings.
const ROOM: usize = 512;
/// How far back a failed connection looks for one to be counted with.
const COALESCE_DEPTH: usize = 16;

/// The queue.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "testing", derive(Hash))]
pub(crate) struct Events {
    queue: VecDeque<Event>,
    charged: usize,
    limit: usize,
}

impl Events {
    pub(crate) fn new(limit: usize) -> Self {
        Self { queue: VecDeque::new(), charged: 0, limit }
    }

    /// Bytes charged.
    pub(crate) fn charged(&self) -> usize {
        self.charged
    }

    pub(crate) fn limit(&self) -> usize {
        self.limit
    }

    /// The application is behind.
    pub(crate) fn is_over(&self) -> bool {
        self.charged > self.limit
    }

    /// The application has caught up.
    pub(crate) fn has_room(&self) -> bool {
        self.charged <= self.limit / 2
    }

    #[inline]
    pub(crate) fn push(&mut self, event: Event, private_exempt: bool) {
        if !self.has_room() && self.coalesce(&event, private_exempt) {
            return;
        }
        self.charged = self.charged.saturating_add(cost(&event));
        self.queue.push_back(event);
    }

    #[inline]
    pub(crate) fn pop(&mut self) -> Option<Event> {
        let event = self.queue.pop_front()?;
        self.charged = self.charged.saturating_sub(cost(&event));
        if self.queue.is_empty() && self.queue.capacity() > ROOM {
            self.queue = VecDeque::new();
        }
        Some(event)
    }

    /// Counts a failed inbound connection with an undelivered one of its group.
    fn coalesce(&mut self, event: &Event, private_exempt: bool) -> bool {
        let Some(addr) = inbound_failure(event) else { return false };
        let group = Group::of(addr, private_exempt);
        for earlier in self.queue.iter_mut().rev().take(COALESCE_DEPTH) {
            let same = inbound_failure(earlier)
                .is_some_and(|addr| Group::of(addr, private_exempt) == group);
            if let (true, Event::ConnectionFailed { repeats, .. }) = (same, earlier) {
                *repeats = repeats.saturating_add(1);
                return true;
            }
        }
        false
    }
}

fn inbound_failure(event: &Event) -> Option<SocketAddr> {
    match event {
        Event::ConnectionFailed { addr, side: Side::Listener, .. } => Some(*addr),
        Event::ConnectionFailed { .. }
        | Event::PeerUp { .. }
        | Event::PeerDown { .. }
        | Event::Message(_)
        | Event::Request(_)
        | Event::Reply(_)
        | Event::RequestFailed { .. }
        | Event::Writable { .. }
        | Event::PeerError { .. }
        | Event::GuestJoined { .. }
        | Event::GuestLeft { .. }
        | Event::JoinRefused { .. }
        | Event::GuestPeers { .. }
        | Event::Rejected { .. }
        | Event::Isolated
        | Event::Impersonated { .. } => None,
    }
}

fn cost(event: &Event) -> usize {
    match event {
        Event::Message(message) => EVENT_COST.saturating_add(message.size()),
        Event::Request(request) => EVENT_COST.saturating_add(request.size()),
        Event::Reply(reply) => EVENT_COST.saturating_add(reply.size()),
        Event::GuestPeers { peers, .. } => {
            EVENT_COST.saturating_add(peers.len().saturating_mul(EVENT_COST / 2))
        }
        Event::PeerUp { .. }
        | Event::PeerDown { .. }
        | Event::GuestJoined { .. }
        | Event::GuestLeft { .. }
        | Event::JoinRefused { .. }
        | Event::ConnectionFailed { .. }
        | Event::RequestFailed { .. }
        | Event::Writable { .. }
        | Event::PeerError { .. }
        | Event::Rejected { .. }
        | Event::Isolated
        | Event::Impersonated { .. } => EVENT_COST,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::error::CloseReason;
    use crate::id::ConnId;
    use core::num::NonZeroU32;

    fn failed(addr: &str) -> Event {
        Event::ConnectionFailed {
            conn: ConnId::new(0, NonZeroU32::MIN),
            addr: addr.parse().unwrap(),
            side: Side::Listener,
            reason: CloseReason::HandshakeTimeout,
            repeats: 0,
        }
    }

    #[test]
    fn failures_of_one_group_are_counted_together_when_the_application_is_behind() {
        let mut events = Events::new(4096);
        for index in 0..1000 {
            events.push(failed(&alloc::format!("1.2.{}.{}:9", index / 250, index % 250)), true);
        }
        assert!(events.charged() <= 4096);
        let mut told = 0;
        while let Some(Event::ConnectionFailed { repeats, .. }) = events.pop() {
            told += 1 + repeats;
        }
        assert_eq!((told, events.charged()), (1000, 0));
    }

    #[test]
    fn failures_of_different_groups_are_told_each() {
        let mut events = Events::new(1024);
        for index in 0..20 {
            events.push(failed(&alloc::format!("1.{index}.0.1:9")), true);
        }
        assert_eq!((events.charged(), events.limit()), (20 * EVENT_COST, 1024));
        assert!(events.is_over() && !events.has_room());
        while let Some(Event::ConnectionFailed { repeats, .. }) = events.pop() {
            assert_eq!(repeats, 0);
        }
        assert!(events.has_room() && !events.is_over());
    }

    #[test]
    fn the_bound_itself_is_not_over_and_half_of_it_is_room() {
        let mut events = Events::new(4 * EVENT_COST);
        for (index, (over, room)) in
            [(false, true), (false, true), (false, false), (false, false), (true, false)]
                .into_iter()
                .enumerate()
        {
            events.push(failed(&alloc::format!("1.{index}.0.1:9")), true);
            assert_eq!((events.is_over(), events.has_room()), (over, room), "{index}");
        }
    }
}
