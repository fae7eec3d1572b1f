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
    /// A node takes a snapshot of what is not committed.
    SnapshotsAboveCommitted,
    /// A node drops batches that are in no snapshot.
    TrimsAboveSnapshot,
    /// A node whose log is replaced by a snapshot forgets what it has promised since.
    ReplacesPromise,
    /// A follower acknowledges a piece of a snapshot that is not durable.
    AcknowledgesPieceBeforeSync,
    /// A follower takes over a snapshot that is older than what it knows to be committed.
    InstallsOlder,
    /// A follower takes over a snapshot although its log has all of it, and more that it has acknowledged.
    ReplacesMatchingLog,
    /// A follower takes over a snapshot without having looked whether it is what was written.
    InstallsUnchecked,
}
