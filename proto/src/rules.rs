//! The rules of the trees by name, each of which can be left out in a build made for that.
//!
//! With `--cfg peerline_planted` [`Limits::without`](crate::Limits) names a rule that the node does
//! not follow, so that a run shows what it is good for. Otherwise all hold, and asking costs
//! nothing.

/// A rule.
#[cfg_attr(not(peerline_planted), allow(unreachable_pub))] // only that build exports it
#[derive(Copy, Clone, Debug, Eq, PartialEq, Hash)]
pub enum TreeRule {
    /// Whoever prunes or grafts the shared tree sets its own bit too.
    BothEnds,
    /// What is repaired of a stream's first broadcast grafts the shared tree too.
    SharedGraft,
    /// Of first broadcasts that cross, the smallest stream alone prunes the shared tree.
    SmallestPrunes,
    /// A grafted link is the parent only when a broadcast came over it first.
    Candidate,
    /// A candidate's time begins with the stream's next broadcast.
    CandidateWaits,
    /// Wins count at most once in 200 ms.
    WinsApart,
    /// It takes three wins to be grafted.
    ThreeWins,
    /// A candidate that brought nothing is not chosen again for a while.
    Ban,
    /// What was announced is waited for 300 ms at least, not 100.
    Patience,
    /// The larger node id of a link announces later, and not what the other announced.
    LargerWaits,
    /// But it does if it had it so much sooner.
    Sooner,
    /// What had to be asked for is announced at once, by the larger too.
    Hurry,
    /// A new link hears what is kept.
    GapsClose,
    /// A hole counts as announced by who brought a later number.
    Holes,
    /// Nothing is pushed to who is known to have it.
    KnownSkipped,
    /// A suspect peer is nobody's parent and hears announcements alone.
    SuspectOut,
    /// A stream that was quiet begins anew with the shared tree.
    QuietAnew,
    /// Wins do not count in a stream that speaks less than every 5 s.
    RareStays,
    /// A link that was sooner at three first broadcasts running is put into the shared tree.
    SharedRace,
    /// For a link of the shared tree that goes, others are put in.
    Mend,
    /// A publisher whom all have pruned pushes to all.
    StartAnew,
    /// A prune is said again when copies still come.
    PruneAgain,
    /// What a full queue lost is announced.
    LostAnnounced,
    /// A link's share of the cache counts when the cache is full.
    ShareWhenFull,
}

impl TreeRule {
    /// All of them.
    #[cfg(peerline_planted)]
    pub const ALL: [Self; 24] = [
        Self::BothEnds,
        Self::SharedGraft,
        Self::SmallestPrunes,
        Self::Candidate,
        Self::CandidateWaits,
        Self::WinsApart,
        Self::ThreeWins,
        Self::Ban,
        Self::Patience,
        Self::LargerWaits,
        Self::Sooner,
        Self::Hurry,
        Self::GapsClose,
        Self::Holes,
        Self::KnownSkipped,
        Self::SuspectOut,
        Self::QuietAnew,
        Self::RareStays,
        Self::SharedRace,
        Self::Mend,
        Self::StartAnew,
        Self::PruneAgain,
        Self::LostAnnounced,
        Self::ShareWhenFull,
    ];
}

/// Which of them hold.
#[derive(Copy, Clone, Debug)]
#[cfg_attr(feature = "testing", derive(Hash))]
pub(crate) struct Rules {
    #[cfg(peerline_planted)]
    pub(crate) without: Option<TreeRule>,
    /// A bug, where it is one of the trees.
    #[cfg(peerline_planted)]
    pub(crate) planted: Option<crate::planted::Bug>,
}

impl Rules {
    /// Whether a rule holds.
    pub(crate) fn has(self, _rule: TreeRule) -> bool {
        #[cfg(peerline_planted)]
        if self.without == Some(_rule) {
            return false;
        }
        true
    }
}
