//! The coordinator: where a group's nodes agree on who leads.

mod local;

use std::sync::Arc;
use std::time::{Duration, Instant};

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
///
/// `testing::coordinator` is this contract as tests, for coordinators of your own.
pub trait Coordinator: Send {
    /// Says whom to wake when there is something to poll. Called once, before anything else.
    fn start(&mut self, wake: Arc<dyn Wake>);

    /// Asks for the record.
    fn read(&mut self);

    /// Replaces the record if it has this version; 0 if there is none yet.
    fn swap(&mut self, ticket: u64, expect: Version, record: GroupRecord);

    /// Holds the lease from now on, or lets it go, so that others need not wait for its end. Holding may fail: then
    /// another node has it, and it is tried again. A swap that makes this node the leader takes the lease for once, also
    /// from another node: a candidate has as long to become the leader.
    fn lead(&mut self, leads: bool);

    /// The next thing that it has to say.
    fn poll(&mut self) -> Option<CoordinatorEvent>;

    /// How long a lease outlives its holder.
    fn lease(&self) -> Duration;

    /// Until when this node has the lease for certain, by what it has heard so far: before that nobody else is told that
    /// it has expired. `None` if it does not have it. What is said here holds as far as clocks go at the same rate.
    fn held_until(&self) -> Option<Instant>;
}
