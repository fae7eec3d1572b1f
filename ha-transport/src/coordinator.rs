//! The coordinator: where a group's nodes agree on who leads.

mod local;

use std::sync::Arc;
use std::time::Duration;

use crate::group::GroupRecord;
use crate::ids::Version;
use crate::node::Swapped;
use crate::transport::Wake;

pub use local::LocalCoordinator;

/// What a coordinator has to say.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum CoordinatorEvent {
    /// The group's record: what was read, or a change that was noticed.
    Record(Version, GroupRecord),
    /// The group has no record yet.
    NoRecord,
    /// What became of a swap.
    Swapped {
        /// Which one.
        ticket: u64,
        /// What became of it.
        swapped: Swapped,
    },
    /// Nobody holds the lease. Said again and again as long as that is so.
    LeaseExpired,
}

/// One register for one group, changed by compare-and-swap, and a lease; for one node.
///
/// **Safety** rests on the register alone: it is linearizable, and what was answered stays. The lease only says when
/// it is time for another leader; a wrong one costs a needless change of the leader.
///
/// No call waits. Answers come through [`poll`](Self::poll), and whoever is to poll is woken.
pub trait Coordinator: Send {
    /// Says whom to wake when there is something to poll. Called once, before anything else.
    fn start(&mut self, wake: Arc<dyn Wake>);

    /// Asks for the record.
    fn read(&mut self);

    /// Replaces the record if it has this version; 0 if there is none yet.
    fn swap(&mut self, ticket: u64, expect: Version, record: GroupRecord);

    /// Holds the lease from now on, or lets it go. Holding may fail: then another node has it.
    fn lead(&mut self, leads: bool);

    /// The next thing that it has to say.
    fn poll(&mut self) -> Option<CoordinatorEvent>;

    /// How long a lease outlives its holder.
    fn lease(&self) -> Duration;
}
