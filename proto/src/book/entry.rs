//! What is known of one address: who is there, whether it proved good, when it may be dialled.

use crate::id::PeerId;
use crate::time::{Instant, UnixTime};

/// Where an address stands.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "testing", derive(Hash, PartialOrd, Ord))]
pub(crate) enum Place {
    /// Given by the application: in no bucket, never dropped.
    Given,
    /// Told by others, or not yet let into `Tried`: in this bucket.
    New(u16),
    /// Reached by a dial of ours: in this bucket.
    Tried(u16),
}

/// One address.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "testing", derive(Hash))]
pub(crate) struct Entry {
    /// Who was found there, or is said to be.
    pub(crate) peer: Option<PeerId>,
    /// Its bucket.
    pub(super) place: Place,
    /// A dial of ours completed a hello.
    pub(crate) proven: bool,
    /// A connection that we dialled stands, or stood when this was last heard of.
    pub(super) linked: bool,
    /// The other side or the application asked for peace until `not_before`.
    pub(super) held: bool,
    /// Dials that failed since the last good one.
    pub(crate) failures: u32,
    /// The last sign of life on a connection that we dialled, in this run.
    pub(crate) alive: Option<Instant>,
    /// The same of earlier runs: what came before the origin of time has no `Instant`.
    pub(super) alive_before: UnixTime,
    /// No dial before this.
    pub(crate) not_before: Instant,
    /// A dial is under way, and is over by then.
    pub(super) trying: Option<Instant>,
    /// When the last dial ended, for the cap on retries of urgent addresses.
    pub(super) last_try: Option<Instant>,
}

impl Entry {
    pub(super) fn new(peer: Option<PeerId>, place: Place, now: Instant) -> Self {
        Self {
            peer,
            place,
            proven: false,
            linked: false,
            held: false,
            failures: 0,
            alive: None,
            alive_before: UnixTime::default(),
            not_before: now,
            trying: None,
            last_try: None,
        }
    }

    #[cfg(feature = "testing")]
    pub(crate) fn place(&self) -> Place {
        self.place
    }

    pub(super) fn is_given(&self) -> bool {
        self.place == Place::Given
    }

    /// A dial is under way.
    pub(super) fn is_trying(&self, now: Instant) -> bool {
        self.trying.is_some_and(|until| until > now)
    }

    /// Nothing would be lost with it but an address that somebody told: it was never reached, is
    /// not being tried, and is not to be left alone for a while.
    pub(super) fn is_spare(&self, now: Instant) -> bool {
        !self.is_given() && !self.proven && !self.is_trying(now) && self.not_before <= now
    }

    /// By when it last gave a sign of life: the longest silent is the smallest.
    pub(super) fn liveliness(&self) -> (Option<Instant>, UnixTime) {
        (self.alive, self.alive_before)
    }
}
