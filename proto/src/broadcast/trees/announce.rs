//! Announcements: what goes to whom it is not pushed to, and when.
//!
//! What is kept is a log in which each link has a place: nothing is queued. Writes nothing; who
//! writes says when a queue had no room.

use alloc::vec::Vec;
use core::time::Duration;

use super::{LARGER_WAITS, MOST_IDS, Trees};
use crate::broadcast::bits::Bits;
use crate::broadcast::ranges::add;
use crate::id::ConnId;
use crate::seen::Range;
use crate::time::Instant;

/// How long announcements are collected before they are written.
const COLLECT: Duration = Duration::from_millis(20);

impl Trees {
    pub(super) fn announce_soon(&mut self, now: Instant) {
        let [waiting, others] = &mut self.announce;
        waiting.get_or_insert(now + COLLECT + LARGER_WAITS);
        others.get_or_insert(now + COLLECT);
    }

    /// The connections to which announcements are due; each is then to be
    /// [announced](Self::announcement) to, or [postponed](Self::postpone).
    pub(crate) fn announcements_due(&mut self, now: Instant, conns: &mut Vec<ConnId>) {
        let is_due = |at: &Option<Instant>| at.is_some_and(|at| at <= now);
        let [waiting, others] = &self.announce;
        let (waiting, others) = (is_due(waiting), is_due(others));
        let mut late = Bits::default();
        while let Some((_, index)) = self.postponed.first().filter(|(at, _)| *at <= now) {
            late.set(*index);
            self.postponed.pop_first();
        }
        let links = (0..).zip(&self.links);
        for (index, link) in links.filter_map(|(index, link)| Some((index, link.as_ref()?))) {
            let due = if link.waits { waiting } else { others };
            if due || late.has(index) {
                conns.push(link.conn);
            }
        }
        for (slot, due) in self.announce.iter_mut().zip([waiting, others]) {
            if due {
                *slot = None;
            }
        }
    }

    /// The connection has no room for an announcement now.
    pub(crate) fn postpone(&mut self, conn: ConnId, now: Instant) {
        if let Some(index) = self.indices.get(&conn) {
            self.postponed.insert((now + COLLECT, *index));
        }
    }

    /// What is to be announced on a connection, and is from now on. What does not fit in one line
    /// follows soon.
    pub(crate) fn announcement(&mut self, conn: ConnId, now: Instant) -> Vec<Range> {
        let Some(index) = self.indices.get(&conn).copied() else { return Vec::new() };
        let Some(link) = self.link(index) else { return Vec::new() };
        // Who waits announces only what is old enough.
        let ripe = if link.waits { LARGER_WAITS } else { Duration::ZERO };
        let mut ranges: Vec<Range> = Vec::new();
        let (mut ids, mut upto, mut more) = (0, link.announced.max(self.cache.start()), false);
        for (place, entry) in self.cache.from(link.announced) {
            let known = entry.have.has(index);
            let ripe = place < self.hurried || now.saturating_since(entry.at) >= ripe;
            if !ripe || !(known || (ids < MOST_IDS && add(&mut ranges, entry, now))) {
                more = true;
                break;
            }
            ids = ids.saturating_add(u64::from(!known));
            upto = place.saturating_add(1);
        }
        if let Some(link) = self.link_of_mut(conn) {
            link.announced = upto;
        }
        if more {
            self.postpone(conn, now);
        }
        ranges
    }
}
