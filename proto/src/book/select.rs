//! Whom the overlay may dial: a draw from the book.
//!
//! Half of the draws begin with addresses that proved good, half with those that others told, so
//! that neither a network gone stale nor a flood of invented addresses is all that is tried. A
//! bucket is drawn first and then one of its addresses: many addresses in few buckets gain little.
//! If a few draws meet nobody who is due, all are gone through from a random start.

use core::net::SocketAddr;

use crate::book::Book;
use crate::book::buckets::Table;
use crate::book::entry::Entry;
use crate::id::PeerId;
use crate::rng::Rng;
use crate::time::Instant;

/// Draws before all addresses are gone through. 16: with a tenth of them due, four of five such
/// rounds meet one.
const DRAWS: usize = 16;
/// While connections are few, one draw in so many begins with what the application gave. 4: two of
/// eight dials at once, and not so many that everybody crowds there.
const GIVEN_FIRST: u64 = 4;

/// Where to look.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
enum Pool {
    Given,
    New,
    Tried,
}

impl Book {
    /// An address to dial: due, and not one that `skip` says no to. `urgent` is while connections
    /// are few.
    pub(crate) fn select(
        &self,
        urgent: bool,
        now: Instant,
        rng: &mut Rng,
        skip: &mut dyn FnMut(SocketAddr, Option<&PeerId>) -> bool,
    ) -> Option<SocketAddr> {
        let mut fits = |addr: SocketAddr, entry: &Entry| {
            let due = self.due(entry, urgent) <= now && !entry.is_trying(now);
            due && !skip(addr, entry.peer.as_ref())
        };
        let first = self
            .first
            .iter()
            .find(|addr| self.entries.get(addr).is_some_and(|entry| fits(**addr, entry)));
        if let Some(anchor) = first {
            return Some(*anchor);
        }
        pools(urgent, rng).into_iter().find_map(|pool| self.draw(pool, rng, &mut fits))
    }

    /// An address worth a short connection to see whether it is alive: one whose place another
    /// wants.
    pub(crate) fn feeler(&self, now: Instant) -> Option<SocketAddr> {
        let fits =
            |entry: &Entry| !entry.linked && !entry.is_trying(now) && self.due(entry, false) <= now;
        let mut tested = self.collisions.iter().map(|collision| collision.incumbent);
        tested.find(|addr| self.entries.get(addr).is_some_and(fits))
    }

    /// An address that the application gave: due, and not one that `skip` says no to.
    pub(crate) fn given(
        &self,
        now: Instant,
        rng: &mut Rng,
        skip: &mut dyn FnMut(SocketAddr, Option<&PeerId>) -> bool,
    ) -> Option<SocketAddr> {
        let mut fits = |addr: SocketAddr, entry: &Entry| {
            let due = self.due(entry, false) <= now && !entry.is_trying(now);
            due && !skip(addr, entry.peer.as_ref())
        };
        self.draw(Pool::Given, rng, &mut fits)
    }

    /// When the next address comes due that is not due yet and that `skip` does not say no to.
    pub(crate) fn next_due(
        &self,
        urgent: bool,
        now: Instant,
        skip: &mut dyn FnMut(SocketAddr, Option<&PeerId>) -> bool,
    ) -> Option<Instant> {
        let entries = self.entries.iter();
        let later = entries.map(|(addr, entry)| (addr, entry, self.due(entry, urgent)));
        let later = later.filter(|(addr, entry, due)| {
            *due > now && *due < Instant::MAX && !skip(**addr, entry.peer.as_ref())
        });
        later.map(|(_, _, due)| due).min()
    }

    fn draw(
        &self,
        pool: Pool,
        rng: &mut Rng,
        fits: &mut dyn FnMut(SocketAddr, &Entry) -> bool,
    ) -> Option<SocketAddr> {
        let mut fits =
            |addr: SocketAddr| self.entries.get(&addr).is_some_and(|entry| fits(addr, entry));
        match pool {
            Pool::Given => from_one(&self.given, rng, &mut fits),
            Pool::New => from_table(self.buckets.new_table(), rng, &mut fits),
            Pool::Tried => from_table(self.buckets.tried_table(), rng, &mut fits),
        }
    }
}

/// Where to look first, second and third.
fn pools(urgent: bool, rng: &mut Rng) -> [Pool; 3] {
    let given_first = urgent && rng.below(GIVEN_FIRST) == 0;
    let tried_first = rng.below(2) == 0;
    match (given_first, tried_first) {
        (true, true) => [Pool::Given, Pool::Tried, Pool::New],
        (true, false) => [Pool::Given, Pool::New, Pool::Tried],
        (false, true) => [Pool::Tried, Pool::New, Pool::Given],
        (false, false) => [Pool::New, Pool::Tried, Pool::Given],
    }
}

fn from_table(
    table: &Table,
    rng: &mut Rng,
    fits: &mut dyn FnMut(SocketAddr) -> bool,
) -> Option<SocketAddr> {
    for _ in 0..DRAWS {
        let (_, bucket) = table.iter().nth(below(table.len(), rng))?;
        let drawn = bucket.get(below(bucket.len(), rng)).copied();
        if let Some(addr) = drawn.filter(|addr| fits(*addr)) {
            return Some(addr);
        }
    }
    let start = below(table.len(), rng);
    let rotated = table.values().skip(start).chain(table.values().take(start));
    rotated.into_iter().find_map(|bucket| from_one(bucket, rng, fits))
}

/// One of these, all of which are looked at if need be.
fn from_one(
    bucket: &[SocketAddr],
    rng: &mut Rng,
    fits: &mut dyn FnMut(SocketAddr) -> bool,
) -> Option<SocketAddr> {
    let (before, after) = bucket.split_at_checked(below(bucket.len(), rng))?;
    after.iter().chain(before).copied().find(|addr| fits(*addr))
}

fn below(bound: usize, rng: &mut Rng) -> usize {
    usize::try_from(rng.below(bound as u64)).unwrap_or_default()
}
