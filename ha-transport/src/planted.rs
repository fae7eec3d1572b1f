//! Bugs that negative controls plant: each check must fail when the bug that it looks for is there.

/// A bug that a test plants in a node.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[doc(hidden)]
pub enum Planted {
    /// A candidate leads without having asked enough members.
    LeadsWithoutPromises,
    /// A follower acknowledges what is not durable.
    AcknowledgesBeforeSync,
    /// A follower acknowledges its whole log, whatever the leader's is.
    AcknowledgesOwnLength,
    /// A member promises before that is on its disk.
    PromisesBeforeStoring,
    /// Nodes obey lower epochs.
    IgnoresEpochs,
    /// A candidate adopts the longest log.
    ChoosesLongest,
    /// A batch that comes again drops those behind it.
    StalePrepareTruncates,
    /// A node that comes back drops what it does not know to be committed (KIP-101).
    TruncatesToCommitted,
    /// A leader counts on a smaller group before the coordinator has it.
    ShrinksAtOnce,
    /// A leader makes the group smaller whoever has what.
    ShrinksWithoutCopies,
    /// A leader makes the group smaller with what is committed on enough members, and not what it adopted.
    ShrinksWithoutAdopted,
    /// A leader makes the group larger by whoever has what.
    GrowsWithoutCopies,
    /// A leader commits what was sealed in an earlier epoch by counting copies (Raft, figure 8).
    CommitsEarlierEpochs,
    /// A node that comes back leads in the epoch in which it led before.
    LeadsAgain,
    /// What waits to be proposed when a leader is deposed is proposed when it leads again.
    ProposesInLaterReigns,
}
