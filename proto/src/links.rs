//! Every connection: its session, its queue, its deadline. The only place that emits actions.
//!
//! Knows nothing of other peers, books or broadcasts: [`node`](crate::node) says what to send and
//! when to end, and this file makes sure that each connection is opened once, half-closed at most
//! once, dropped exactly once, and that no queue passes its bound.

mod closing;
mod guests;

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::num::NonZeroU32;
use core::time::Duration;

use crate::action::Action;
use crate::dialect::Dialects;
use crate::error::Violation;
use crate::id::{ConnId, Side};
use crate::limits::Limits;
use crate::message::Frame;
use crate::queue::{Class, FRAME_COST, Full, Outgoing, Queue};
use crate::session::btpeer::Exchange;
use crate::session::keepalive::Waits;
use crate::session::opening::Input;
use crate::session::{Call, Phase, PhaseName, Ready};
use crate::sorted::{SortedMap, SortedSet};
use crate::stats::Stats;
use crate::time::Instant;
use crate::timers::Timers;
use crate::wire::framing::Framer;

/// One connection.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "testing", derive(Hash))]
pub(crate) struct Link {
    pub(crate) addr: SocketAddr,
    pub(crate) side: Side,
    /// Our own end, if the driver told.
    pub(crate) local: Option<SocketAddr>,
    pub(crate) phase: Phase,
    framer: Framer,
    queue: Queue,
    /// What is asked of a guest as soon as it takes our call; charged as if it were queued.
    question: Vec<u8>,
    /// What is charged counts as the guests' part.
    of_guest: bool,
    /// When the socket last took a byte, or the queue last was empty.
    progress: Instant,
    #[cfg(peerline_planted)]
    any_dialect: bool,
}

impl Link {
    /// Takes the next message off the received bytes. What arrives in a phase that reads nothing is
    /// discarded.
    pub(crate) fn next<'i>(
        &mut self,
        rest: &mut &'i [u8],
        taken: &Taken,
    ) -> Result<Option<Input<'i>>, Violation> {
        match &mut self.phase {
            Phase::Greeting(greeting) => {
                let next = greeting.opening.next(rest, &mut self.framer, taken.spoken);
                #[cfg(peerline_planted)]
                if self.any_dialect && matches!(next, Err(Violation::UnknownDialect { .. })) {
                    *rest = &[];
                    return Ok(None);
                }
                return next;
            }
            Phase::Guest(Exchange::Visiting(visit)) => {
                return Ok(visit.next(rest, taken.max_frame)?.map(Input::Frame));
            }
            Phase::Ready(_) => {}
            Phase::Closing(closing) if closing.loser.is_some() => {}
            Phase::Closing(_) | Phase::Dialing { .. } | Phase::Guest(_) => {
                *rest = &[];
                return Ok(None);
            }
        }
        Ok(self.framer.next(rest, taken.max_line)?.map(Input::Line))
    }

    /// Whether a native peer is there, and what comes next is the beginning of a line of it.
    pub(crate) fn is_between_lines(&self) -> bool {
        self.phase.name() == PhaseName::Ready && self.framer.pending() == 0
    }

    /// Bytes arrived. True if the peer was suspect until now.
    pub(crate) fn heard(&mut self, count: usize, now: Instant) -> bool {
        match &mut self.phase {
            Phase::Greeting(greeting) => greeting.bytes = greeting.bytes.saturating_add(count),
            Phase::Ready(ready) => {
                let was_suspect = ready.alive.is_suspect();
                ready.alive.heard(now);
                return was_suspect;
            }
            Phase::Dialing { .. } | Phase::Guest(_) | Phase::Closing(_) => {}
        }
        false
    }

    /// Bytes of messages that are not whole yet, and of replies held back.
    fn pending(&self) -> usize {
        let of_guest = match &self.phase {
            Phase::Greeting(greeting) => greeting.opening.pending(),
            Phase::Guest(Exchange::Visiting(visit)) => visit.held(),
            Phase::Dialing { .. } | Phase::Guest(_) | Phase::Ready(_) | Phase::Closing(_) => 0,
        };
        self.framer.pending().saturating_add(of_guest)
    }

    /// Bytes charged to the queue.
    pub(crate) fn queued(&self) -> usize {
        self.queue.charged()
    }

    /// Bytes charged to the queue, and to what waits for it to begin.
    fn charged(&self) -> usize {
        let cost = if self.question.is_empty() { 0 } else { FRAME_COST };
        self.queue.charged().saturating_add(self.question.len()).saturating_add(cost)
    }

    /// Broadcasts that wait behind what is about to be written.
    pub(crate) fn waiting_broadcasts(&self) -> impl Iterator<Item = &Frame> {
        self.queue.waiting_broadcasts()
    }

    /// Control frames that wait behind others.
    pub(crate) fn waiting_control(&self) -> usize {
        self.queue.waiting_control()
    }

    /// Whether nothing was written for too long.
    pub(crate) fn is_stalled(&self, write_stall: Duration, now: Instant) -> bool {
        !self.queue.is_empty() && now >= self.progress + write_stall
    }
}

/// What is taken from the other side, and in which dialects.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Taken {
    pub(crate) max_line: usize,
    pub(crate) max_frame: usize,
    pub(crate) spoken: Dialects,
}

/// The connections of a node.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "testing", derive(Hash))]
pub(crate) struct Links {
    slots: Vec<Slot>,
    /// Slots without a connection, the last one used next.
    free: Vec<u32>,
    actions: VecDeque<Action>,
    timers: Timers,
    /// Bytes charged to all queues: the sum over the links.
    queued: usize,
    /// The part of them that is for guests.
    guest_queued: usize,
    /// Accepted connections without a first line.
    half_open: SortedSet<ConnId>,
    /// Dials whose hello may still come back to us, by its nonce.
    nonces: SortedMap<u64, ConnId>,
    /// Connections that the driver was told not to read.
    paused: SortedSet<ConnId>,
    /// Connections for which the application waits.
    blocked: SortedSet<ConnId>,
    /// Frames that gave way in a queue, until [`take_dropped`](Self::take_dropped).
    dropped: Vec<(ConnId, Frame)>,
    /// Connections that end in order, by when they began to.
    closing: SortedSet<(Instant, ConnId)>,
    send_queue: usize,
    control_reserve: usize,
    queued_total: usize,
    guest_limit: usize,
    write_stall: Duration,
    flush_timeout: Duration,
    guest_timeout: Duration,
    linger: Duration,
    dial_timeout: Duration,
    handshake_timeout: Duration,
    waits: Waits,
    /// The longest that a connection may have before it is pinged, answers or goes.
    longest_wait: Duration,
    /// When all deadlines last started anew.
    anew: Option<Instant>,
    #[cfg(peerline_planted)]
    planted: Option<crate::planted::Bug>,
}

#[derive(Clone, Debug)]
#[cfg_attr(feature = "testing", derive(Hash))]
struct Slot {
    generation: NonZeroU32,
    link: Option<Link>,
}

impl Links {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            slots: Vec::new(),
            free: Vec::new(),
            actions: VecDeque::new(),
            timers: Timers::default(),
            queued: 0,
            guest_queued: 0,
            half_open: SortedSet::new(),
            nonces: SortedMap::new(),
            paused: SortedSet::new(),
            blocked: SortedSet::new(),
            dropped: Vec::new(),
            closing: SortedSet::new(),
            send_queue: limits.send_queue,
            control_reserve: limits.control_reserve,
            queued_total: limits.queued_total,
            guest_limit: limits.guest_queued.min(limits.queued_total / 2),
            write_stall: limits.write_stall,
            flush_timeout: limits.flush_timeout,
            guest_timeout: limits.guest_timeout,
            linger: limits.linger,
            dial_timeout: limits.dial_timeout,
            handshake_timeout: limits.handshake_timeout,
            waits: Waits::new(limits),
            longest_wait: longest_wait(limits),
            anew: None,
            #[cfg(peerline_planted)]
            planted: limits.planted,
        }
    }

    // ---- which there are ----

    pub(crate) fn is_empty(&self) -> bool {
        self.slots.len() == self.free.len()
    }

    pub(crate) fn get(&self, conn: ConnId) -> Option<&Link> {
        let slot = self.slots.get(conn.slot())?;
        slot.link.as_ref().filter(|_| slot.generation == conn.generation())
    }

    pub(crate) fn get_mut(&mut self, conn: ConnId) -> Option<&mut Link> {
        let slot = self.slots.get_mut(conn.slot())?;
        slot.link.as_mut().filter(|_| slot.generation == conn.generation())
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (ConnId, &Link)> {
        (0..).zip(&self.slots).filter_map(|(index, slot)| {
            slot.link.as_ref().map(|link| (ConnId::new(index, slot.generation), link))
        })
    }

    /// Accepted connections without a first line.
    pub(crate) fn half_open(&self) -> &SortedSet<ConnId> {
        &self.half_open
    }

    /// The dial whose hello carried this nonce.
    pub(crate) fn dialled_with(&self, nonce: u64) -> Option<ConnId> {
        self.nonces.get(&nonce).copied()
    }

    // ---- opening and closing ----

    /// A new connection: dialled if its phase is [`Phase::Dialing`], else accepted.
    pub(crate) fn open(&mut self, addr: SocketAddr, phase: Phase, now: Instant) -> ConnId {
        let side = match &phase {
            Phase::Dialing { .. } => Side::Dialer,
            Phase::Greeting(_) | Phase::Ready(_) | Phase::Guest(_) | Phase::Closing(_) => {
                Side::Listener
            }
        };
        let nonce = match &phase {
            Phase::Dialing { call: Call::Native { nonce }, .. } => Some(*nonce),
            Phase::Dialing { .. }
            | Phase::Greeting(_)
            | Phase::Ready(_)
            | Phase::Guest(_)
            | Phase::Closing(_) => None,
        };
        let link = Link {
            addr,
            side,
            local: None,
            phase,
            framer: Framer::default(),
            queue: Queue::default(),
            question: Vec::new(),
            of_guest: false,
            progress: now,
            #[cfg(peerline_planted)]
            any_dialect: self.planted == Some(crate::planted::Bug::AnyDialect),
        };
        let conn = self.place(link);
        if let Some(nonce) = nonce {
            self.nonces.insert(nonce, conn);
        }
        match side {
            Side::Dialer => self.actions.push_back(Action::Connect { conn, addr }),
            Side::Listener => {
                self.half_open.insert(conn);
            }
        }
        self.reschedule(conn, now);
        conn
    }

    fn place(&mut self, link: Link) -> ConnId {
        if let Some(index) = self.free.pop() {
            if let Some(slot) = self.slots.get_mut(index as usize) {
                slot.link = Some(link);
                return ConnId::new(index, slot.generation);
            }
        }
        let index = u32::try_from(self.slots.len()).unwrap_or(u32::MAX);
        self.slots.push(Slot { generation: NonZeroU32::MIN, link: Some(link) });
        ConnId::new(index, NonZeroU32::MIN)
    }

    /// The first line is there: the connection no longer counts as half open.
    pub(crate) fn greeted(&mut self, conn: ConnId) {
        self.half_open.remove(&conn);
        self.nonces.retain(|_, dial| *dial != conn);
    }

    /// Lets go of a connection now. Returns how many of its frames are lost.
    pub(crate) fn drop_now(&mut self, conn: ConnId) -> u64 {
        let Some(link) = self.take(conn) else { return 0 };
        self.recharge(link.of_guest, link.charged(), 0);
        self.greeted(conn);
        self.paused.remove(&conn);
        self.blocked.remove(&conn);
        if let Phase::Closing(closing) = &link.phase {
            self.closing.remove(&(closing.since, conn));
        }
        #[cfg(peerline_planted)]
        if self.planted == Some(crate::planted::Bug::NoDrop) {
            return link.queue.frames();
        }
        self.actions.push_back(Action::Drop { conn });
        link.queue.frames()
    }

    /// Empties the slot. One whose generations are used up is never used again.
    fn take(&mut self, conn: ConnId) -> Option<Link> {
        let index = u32::try_from(conn.slot()).ok()?;
        let slot = self.slots.get_mut(conn.slot())?;
        let link = slot.link.take_if(|_| slot.generation == conn.generation())?;
        self.timers.clear(index);
        if let Some(next) = slot.generation.checked_add(1) {
            slot.generation = next;
            self.free.push(index);
        }
        Some(link)
    }

    // ---- sending ----

    /// Queues a frame on a connection.
    ///
    /// # Errors
    /// [`Full`] when its queue is, or all queues together are, and nothing of lower class can give
    /// way. A connection that is gone or closing takes nothing and says nothing.
    pub(crate) fn enqueue(
        &mut self,
        conn: ConnId,
        frame: Frame,
        class: Class,
        stats: &mut Stats,
        now: Instant,
    ) -> Result<(), Full> {
        let Some(link) = self.get_mut(conn) else { return Ok(()) };
        if matches!(link.phase, Phase::Closing(_) | Phase::Dialing { .. }) {
            return Ok(());
        }
        if link.queue.is_empty() {
            link.progress = now;
        }
        let cost = frame.len().saturating_add(FRAME_COST);
        let control = class == Class::Control;
        if self.is_over(cost) {
            stats.skipped += self.relieve(cost, class.victim());
            if !control && self.is_over(cost) {
                return Err(Full { queued: self.queued, limit: self.queued_total });
            }
        }
        let limit = if control { self.control_limit() } else { self.send_queue };
        #[cfg(peerline_planted)]
        let limit = match self.planted {
            Some(crate::planted::Bug::UnboundedQueue) => usize::MAX,
            _ => limit,
        };
        stats.skipped += self.push(conn, frame, class, limit)?;
        stats.lines_out += 1;
        self.timers_at_most(conn, now + self.write_stall);
        Ok(())
    }

    /// Whether so many bytes more are too many for all queues together.
    fn is_over(&self, cost: usize) -> bool {
        self.queued.saturating_add(cost) > self.queued_total
    }

    fn control_limit(&self) -> usize {
        self.send_queue.saturating_add(self.control_reserve)
    }

    /// Pushes a frame, keeps the total, and asks for a write if none was under way. Returns how
    /// many frames of lower class gave way.
    #[inline] // what it looks up was just looked up
    fn push(
        &mut self,
        conn: ConnId,
        frame: Frame,
        class: Class,
        limit: usize,
    ) -> Result<u64, Full> {
        let Some(link) = self.get_mut(conn) else { return Ok(0) };
        let (was_empty, before) = (link.queue.is_empty(), link.queue.charged());
        let dropped = link.queue.push(frame, class, limit)?;
        let after = link.queue.charged();
        self.queued = self.queued.saturating_sub(before).saturating_add(after);
        if was_empty {
            self.actions.push_back(Action::Send { conn });
        }
        Ok(if dropped.is_empty() { 0 } else { self.gave_way(conn, dropped) })
    }

    /// Keeps what gave way, to be announced. Returns how many frames that is.
    fn gave_way(&mut self, conn: ConnId, frames: Vec<Frame>) -> u64 {
        let count = frames.len() as u64;
        self.dropped.extend(frames.into_iter().map(|frame| (conn, frame)));
        count
    }

    /// The frames that gave way since this was last asked, each with its connection.
    pub(crate) fn take_dropped(&mut self) -> Vec<(ConnId, Frame)> {
        core::mem::take(&mut self.dropped)
    }

    /// Makes room for `cost` bytes below the total: the queue that could give most gives, until
    /// there is room for a sixteenth more, so that not every frame in a flood looks for the largest
    /// queue again. Returns how many frames gave way.
    fn relieve(&mut self, cost: usize, victim: Class) -> u64 {
        let mut dropped = 0_u64;
        let goal = self.queued_total.saturating_sub(self.queued_total / 16).saturating_sub(cost);
        while self.queued > goal {
            let links = (0..).zip(&mut self.slots).filter_map(|(index, slot)| {
                let conn = ConnId::new(index, slot.generation);
                slot.link.as_mut().map(|link| (conn, link))
            });
            let largest = links.max_by_key(|(_, link)| link.queue.droppable(victim));
            let Some((conn, largest)) = largest else { break };
            let before = largest.queue.charged();
            let allowed = before.saturating_sub(self.queued.saturating_sub(goal));
            let gave = largest.queue.make_room(victim, allowed);
            self.queued =
                self.queued.saturating_sub(before.saturating_sub(largest.queue.charged()));
            if gave.is_empty() {
                break;
            }
            dropped = dropped.saturating_add(self.gave_way(conn, gave));
        }
        dropped
    }

    /// The socket took `count` bytes.
    pub(crate) fn sent(&mut self, conn: ConnId, count: usize, stats: &mut Stats, now: Instant) {
        let Some(link) = self.get_mut(conn) else { return };
        let before = link.queue.charged();
        let count = link.queue.sent(count);
        if count > 0 {
            link.progress = now;
        }
        let (after, of_guest) = (link.queue.charged(), link.of_guest);
        self.recharge(of_guest, before, after);
        stats.bytes_out += count as u64;
        self.finish_if_flushed(conn, now);
    }

    /// The application waits for room in the connection's queue.
    pub(crate) fn block(&mut self, conn: ConnId) {
        if self.get(conn).is_some() {
            self.blocked.insert(conn);
        }
    }

    /// Takes a connection for which there is room again: in its own queue and in all together,
    /// either of which may have been what was full. What guests leave is what there is.
    pub(crate) fn unblock(&mut self) -> Option<ConnId> {
        let of_peers = self.queued.saturating_sub(self.guest_queued);
        let left = self.queued_total.saturating_sub(self.guest_queued);
        if self.blocked.is_empty() || of_peers > left / 2 {
            return None;
        }
        let half = self.send_queue / 2;
        let has_room = |conn: &&ConnId| self.get(**conn).is_none_or(|link| link.queued() <= half);
        let conn = self.blocked.iter().find(has_room).copied()?;
        self.blocked.remove(&conn);
        Some(conn)
    }

    /// Whether the application waits for the connection.
    pub(crate) fn is_blocked(&self, conn: ConnId) -> bool {
        self.blocked.contains(&conn)
    }

    pub(crate) fn outgoing(&self, conn: ConnId) -> Outgoing<'_> {
        self.get(conn).map_or(Outgoing::NOTHING, |link| link.queue.outgoing())
    }

    /// Bytes charged to all queues, and bytes of unfinished lines.
    pub(crate) fn buffered(&self) -> usize {
        let pending: usize = self.iter().map(|(_, link)| link.pending()).sum();
        self.queued.saturating_add(pending)
    }

    // ---- reading ----

    /// Tells the driver not to read a connection.
    pub(crate) fn pause(&mut self, conn: ConnId, now: Instant) {
        let Some(link) = self.get_mut(conn) else { return };
        match &mut link.phase {
            Phase::Ready(ready) => ready.alive.freeze(now),
            Phase::Guest(Exchange::Visiting(_)) => {}
            Phase::Dialing { .. } | Phase::Greeting(_) | Phase::Guest(_) | Phase::Closing(_) => {
                return;
            }
        }
        if self.paused.insert(conn) {
            self.actions.push_back(Action::PauseReading { conn });
        }
        self.reschedule(conn, now);
    }

    /// Tells the driver to read all connections again.
    pub(crate) fn resume_all(&mut self, now: Instant) {
        while let Some(conn) = self.paused.first().copied() {
            self.resume(conn, now);
        }
    }

    fn resume(&mut self, conn: ConnId, now: Instant) {
        if !self.paused.remove(&conn) {
            return;
        }
        self.actions.push_back(Action::ResumeReading { conn });
        if let Some(Link { phase: Phase::Ready(ready), .. }) = self.get_mut(conn) {
            ready.alive.thaw(now);
        }
        self.reschedule(conn, now);
    }

    pub(crate) fn is_paused(&self, conn: ConnId) -> bool {
        self.paused.contains(&conn)
    }

    // ---- outputs and time ----

    pub(crate) fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.timers.next()
    }

    /// Takes out the first connection whose deadline is not after `now`. It may be early: ask the
    /// connection, then [`reschedule`](Self::reschedule) it.
    pub(crate) fn due(&mut self, now: Instant) -> Option<ConnId> {
        let index = self.timers.due(now)?;
        let slot = self.slots.get(index as usize)?;
        Some(ConnId::new(index, slot.generation))
    }

    /// Sets the connection's deadline to what it is now.
    pub(crate) fn reschedule(&mut self, conn: ConnId, now: Instant) {
        let Some(link) = self.get(conn) else { return };
        let mut at = match &link.phase {
            Phase::Dialing { until, .. } => *until,
            Phase::Greeting(greeting) => greeting.until,
            Phase::Ready(Ready { superseded: Some(superseded), .. }) => superseded.until,
            Phase::Ready(ready) => ready.alive.next_deadline(&self.waits),
            Phase::Guest(exchange) => exchange.deadline(),
            Phase::Closing(closing) => closing.until,
        };
        if !link.queue.is_empty() {
            at = at.min(link.progress + self.write_stall);
        }
        // Never now or earlier: whatever was due was done, so this only guards against spinning.
        self.timers_at_most(conn, at.max(now + Duration::from_millis(1)));
    }

    fn timers_at_most(&mut self, conn: ConnId, at: Instant) {
        if let Ok(index) = u32::try_from(conn.slot()) {
            self.timers.at_most(index, at);
        }
    }

    /// All deadlines start anew: we slept, and the peers are not to blame. Not twice within the
    /// longest of them: on a machine that is always late everything would have its time for ever,
    /// and the dead would stay. What is `due` then came after whatever had its time anew before.
    pub(crate) fn start_anew(&mut self, due: Instant, now: Instant) {
        #[cfg(peerline_planted)]
        if self.planted == Some(crate::planted::Bug::AlwaysAnew) {
            self.anew = None;
        }
        if self.anew.is_some_and(|anew| due <= anew + self.longest_wait) {
            return;
        }
        self.anew = Some(now);
        let conns: Vec<ConnId> = self.iter().map(|(conn, _)| conn).collect();
        let (dial, greet) = (now + self.dial_timeout, now + self.handshake_timeout);
        let (flush, linger) = (now + self.flush_timeout, now + self.linger);
        for conn in conns {
            let Some(link) = self.get_mut(conn) else { continue };
            link.progress = now;
            match &mut link.phase {
                Phase::Dialing { until, .. } => *until = dial,
                Phase::Greeting(greeting) => greeting.until = greet,
                Phase::Ready(ready) => ready.alive.start_anew(now),
                // The deadline of a request is the application's, whoever slept.
                Phase::Guest(_) => {}
                Phase::Closing(closing) if closing.finished => closing.until = linger,
                Phase::Closing(closing) => closing.until = flush,
            }
            self.reschedule(conn, now);
        }
    }

    pub(crate) fn waits(&self) -> Waits {
        self.waits
    }

    pub(crate) fn write_stall(&self) -> Duration {
        self.write_stall
    }
}

fn longest_wait(limits: &Limits) -> Duration {
    let Limits { dial_timeout, handshake_timeout, flush_timeout, linger, .. } = *limits;
    let closing = flush_timeout.max(linger);
    limits.dead_after.max(limits.write_stall).max(dial_timeout).max(handshake_timeout).max(closing)
}

#[cfg(test)]
mod tests;
