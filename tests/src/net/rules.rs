//! The rules that hold in every run, by name. One that is broken ends the run with its name, so
//! that a planted bug can be told from any other failure.

use std::fmt;

/// A rule: what must never happen (S), and what must in time (L).
#[derive(Copy, Clone, Debug, Eq, PartialEq, Ord, PartialOrd)]
pub enum Rule {
    /// No message reaches an application twice in one life of its node.
    AtMostOnce,
    /// Nobody gets what it published itself.
    NoEcho,
    /// What arrives was published by the one it names, to the byte, and to us if to one.
    Integrity,
    /// The events of a node follow their grammar.
    Grammar,
    /// Between two nodes one connection stays, at both ends.
    OneConnection,
    /// We are no peer of ours, and an address that reached us is left alone for an hour.
    NoSelf,
    /// Dials keep their distance.
    NoDialStorm,
    /// Counts of connections stay within their limits, and handshakes within their time.
    Limits,
    /// What is held stays within the sum of the limits.
    Memory,
    /// A full queue is said, and so is that there is room again; who sends to an application that
    /// is behind is not read.
    BackPressure,
    /// A stranger who said no hello is told nothing; a broadcast goes to each neighbour once.
    NoAmplification,
    /// What cannot be dialled, and what is told too fast, stays out of the address book.
    AddressBook,
    /// After a timer nothing is due; nothing spins.
    NoLivelock,
    /// How bytes are cut, and wake-ups for nothing, change nothing.
    Cuts,
    /// The same seed makes the same run.
    Determinism,
    /// Nothing panics.
    NoPanic,
    /// A connection that begins as no dialect ends at once.
    Dialect,
    /// What the counters say is what happened.
    Accounting,
    /// A shutdown ends in its time, and is silent for ever after.
    Shutdown,
    /// A bad line changes nothing on other connections.
    Privacy,
    /// Who is alone for long is told so, once, and nobody else is.
    Isolated,
    /// Each request of an application ends once.
    EndsOnce,
    /// The healed core becomes one component.
    Connected,
    /// What is published in a connected component reaches all of it.
    Delivered,
    /// A network that was parted for long, or a node without its bootstraps, comes together again.
    Rejoined,
    /// Dead peers are noticed.
    DeadNoticed,
    /// An idle network is quiet.
    Quiet,
    /// An address that once was good is tried again, however often it failed since.
    Retried,
    /// Who is cut off goes on among themselves.
    Minority,
}

impl Rule {
    /// All of them.
    pub const ALL: [Self; 29] = [
        Self::AtMostOnce,
        Self::NoEcho,
        Self::Integrity,
        Self::Grammar,
        Self::OneConnection,
        Self::NoSelf,
        Self::NoDialStorm,
        Self::Limits,
        Self::Memory,
        Self::BackPressure,
        Self::NoAmplification,
        Self::AddressBook,
        Self::NoLivelock,
        Self::Cuts,
        Self::Determinism,
        Self::NoPanic,
        Self::Dialect,
        Self::Accounting,
        Self::Shutdown,
        Self::Privacy,
        Self::Isolated,
        Self::EndsOnce,
        Self::Connected,
        Self::Delivered,
        Self::Rejoined,
        Self::DeadNoticed,
        Self::Quiet,
        Self::Retried,
        Self::Minority,
    ];

    /// Its name, as failures begin with it.
    pub fn name(self) -> &'static str {
        match self {
            Self::AtMostOnce => "S1 at-most-once",
            Self::NoEcho => "S2 no echo",
            Self::Integrity => "S3 integrity",
            Self::Grammar => "S4 event grammar",
            Self::OneConnection => "S5 one connection per peer",
            Self::NoSelf => "S6 self-connection",
            Self::NoDialStorm => "S7 no dial storm",
            Self::Limits => "S8 limits",
            Self::Memory => "S9 bounded memory",
            Self::BackPressure => "S10 back-pressure",
            Self::NoAmplification => "S11 no amplification",
            Self::AddressBook => "S12 address book",
            Self::NoLivelock => "S13 no livelock",
            Self::Determinism => "S14 determinism",
            Self::Cuts => "S15 cuts change nothing",
            Self::NoPanic => "S16 no panic",
            Self::Dialect => "S17 dialects",
            Self::Accounting => "S19 accounting",
            Self::Shutdown => "S20 shutdown",
            Self::Privacy => "S21 privacy of failure",
            Self::Isolated => "S22 alone is told once",
            Self::EndsOnce => "S23 requests end once",
            Self::Connected => "L1 one component",
            Self::Delivered => "L2 delivered to all",
            Self::Rejoined => "L3 together again",
            Self::DeadNoticed => "L4 dead peers noticed",
            Self::Quiet => "L4 idle is quiet",
            Self::Retried => "L5 tried again",
            Self::Minority => "L6 minority goes on",
        }
    }

    /// The rule that a failure names; a failure that names none is a panic.
    pub fn of(failure: &str) -> Self {
        let named = Self::ALL.into_iter().find(|rule| failure.starts_with(rule.name()));
        named.unwrap_or(Self::NoPanic)
    }

    /// Ends the run if the rule is broken.
    ///
    /// # Panics
    /// If `holds` is false, with the rule's name and `what`.
    #[track_caller]
    pub fn check(self, holds: bool, what: impl FnOnce() -> String) {
        if !holds {
            panic!("{self}: {}", what());
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
