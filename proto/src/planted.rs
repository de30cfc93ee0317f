//! Bugs planted to prove that the simulator would find them. Compiled with
//! `--cfg peerline_planted` alone, never into anything that is shipped; which one is there is said
//! by [`Limits::planted`](crate::Limits), so that one build holds them all.

/// How many dials there were in this process, which no node may know.
pub(crate) static DIALS: core::sync::atomic::AtomicU32 = core::sync::atomic::AtomicU32::new(0);

/// A bug.
#[derive(Copy, Clone, Debug, Eq, PartialEq, Ord, PartialOrd, Hash)]
pub enum Bug {
    /// A broadcast heard before is delivered again.
    DupDelivery,
    /// Our own broadcast is delivered to us when it comes back.
    Echo,
    /// The last byte of a message's body is cut off.
    CutBody,
    /// Of broadcasts that arrive together, each has the body of the first.
    FirstOfMany,
    /// The application is told twice that a peer went.
    EventTwice,
    /// Both ends of two connections decide at once which stays.
    MutualKill,
    /// An address that reached us is not remembered as our own.
    SelfAddress,
    /// A failed address is dialled again at once.
    NoBackoff,
    /// Who says no hello may stay.
    NoHandshakeTimeout,
    /// Any number of connections may be without hello.
    HalfOpenUnbounded,
    /// A queue takes whatever comes.
    UnboundedQueue,
    /// Who sends is read though the application is behind.
    BrakeOff,
    /// Nobody is told that there is room again.
    NoWritable,
    /// Each broadcast is forwarded twice.
    ForwardTwice,
    /// The thought about dialling is due again as soon as it is thought.
    BusyLoop,
    /// Time that runs backwards is not expected.
    BackwardTime,
    /// Bytes sent are not counted.
    NotCounted,
    /// Lines lost at the end of a connection are not counted.
    LostUnreported,
    /// A socket is not let go of.
    NoDrop,
    /// A timer outlives the shutdown.
    TimerAfterStop,
    /// Nothing is dialled any more after the first half minute.
    NoRedial,
    /// Broadcasts are not forwarded.
    NoForward,
    /// A dead peer stays.
    NoKeepAlive,
    /// A peer that does not read stays.
    NoWriteStall,
    /// An answer to a ping is answered by a ping.
    PingPong,
    /// Whoever was told late that time passed starts all deadlines anew, each time.
    AlwaysAnew,
    /// Whoever connects is told something before it spoke.
    TalksFirst,
    /// Any address is remembered.
    AnyAddress,
    /// A peer may tell any number of addresses.
    AnyNumberTold,
    /// How often bytes came is counted.
    CountsPieces,
    /// Every first byte begins our dialect.
    AnyDialect,
    /// The others are asked something when one sends a bad line.
    BlamesAll,
    /// An address that was good waits as long as any other, also when connections are few.
    NoHurry,
    /// An address that failed five times is never tried again.
    GivesUp,
    /// With half of its peers gone a node publishes nothing.
    NeedsMajority,
    /// What a node says depends on what was done in the same process before.
    Remembers,
    /// An address that somebody told counts as one that a dial of ours reached.
    TrustsTold,
    /// A bucket of the book takes whatever comes.
    FullBucket,
    /// Who asks for addresses is told his own.
    TellsAsker,
    /// The application is not told that nobody is there.
    NeverIsolated,
    /// The application is not told that a request failed.
    EndsNever,
    /// The application is told twice that a request failed.
    EndsTwice,
    /// What gave way in a full queue is not announced.
    LostUntold,
    /// What was announced is waited for without end.
    EndlessPatience,
    /// Nothing is dialled only to see who is there: to show what feelers are good for, as all that
    /// follow show it of another part of the overlay.
    NoFeeler,
    /// No feeler prefers a bootstrap address.
    NoHoming,
    /// Nobody's place is taken by another.
    NoRotation,
    /// Any number of our connections goes to one network group.
    NoGroups,
    /// Nobody gives way to one that dials us.
    NoEviction,
    /// Nobody who dialled us is protected by being near.
    NoNear,
    /// Nor by his news.
    NoNews,
    /// Nor by his age.
    NoOld,
    /// Who broke the protocol is treated like everybody.
    NoDiscouragement,
}

impl Bug {
    /// All of them.
    pub const ALL: [Self; 44] = [
        Self::DupDelivery,
        Self::Echo,
        Self::CutBody,
        Self::FirstOfMany,
        Self::EventTwice,
        Self::MutualKill,
        Self::SelfAddress,
        Self::NoBackoff,
        Self::NoHandshakeTimeout,
        Self::HalfOpenUnbounded,
        Self::UnboundedQueue,
        Self::BrakeOff,
        Self::NoWritable,
        Self::ForwardTwice,
        Self::BusyLoop,
        Self::BackwardTime,
        Self::NotCounted,
        Self::LostUnreported,
        Self::NoDrop,
        Self::TimerAfterStop,
        Self::NoRedial,
        Self::NoForward,
        Self::NoKeepAlive,
        Self::NoWriteStall,
        Self::PingPong,
        Self::AlwaysAnew,
        Self::TalksFirst,
        Self::AnyAddress,
        Self::AnyNumberTold,
        Self::CountsPieces,
        Self::AnyDialect,
        Self::BlamesAll,
        Self::NoHurry,
        Self::GivesUp,
        Self::NeedsMajority,
        Self::Remembers,
        Self::TrustsTold,
        Self::FullBucket,
        Self::TellsAsker,
        Self::NeverIsolated,
        Self::EndsNever,
        Self::EndsTwice,
        Self::LostUntold,
        Self::EndlessPatience,
    ];

    /// Those that break no rule, but make something worse: each a part of the overlay left out.
    pub const PARTS: [Self; 9] = [
        Self::NoFeeler,
        Self::NoHoming,
        Self::NoRotation,
        Self::NoGroups,
        Self::NoEviction,
        Self::NoNear,
        Self::NoNews,
        Self::NoOld,
        Self::NoDiscouragement,
    ];
}
