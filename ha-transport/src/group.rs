//! Who belongs to a group, and how many of them must have a batch.

use crate::ids::{Epoch, NodeId, Seq};

/// How many followers must have a batch on their disks before it is committed.
///
/// With n members and k acknowledgements of followers, a committed batch is on k + 1 nodes, and a new leader asks
/// n − k members, which have at least one node in common with any k + 1.
///
/// | policy | k | what is committed survives | a new leader needs |
/// |---|---|---|---|
/// | `Async` | 0 | if the old leader comes back | every member, or [force](crate::Input::Force) |
/// | `SemiSync(k)` | k, at most n − 1 | any k nodes that are lost | n − k members |
/// | `Majority` | ⌊n/2⌋ | any minority | a majority |
/// | `All` | n − 1 | all nodes but one | any one member |
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Policy {
    /// None: the leader's own disk is enough.
    Async,
    /// So many.
    SemiSync(u32),
    /// So many that with the leader they are a majority.
    Majority,
    /// All of them.
    #[default]
    All,
}

impl Policy {
    /// How many followers of a group of so many members must acknowledge.
    ///
    /// # Example
    ///
    /// ```
    /// use steadfast_ha_transport::Policy;
    ///
    /// assert_eq!(Policy::Majority.acknowledgements(5), 2);
    /// assert_eq!(Policy::All.acknowledgements(2), 1);
    /// assert_eq!(Policy::SemiSync(2).acknowledgements(2), 1);
    /// ```
    pub fn acknowledgements(self, members: usize) -> usize {
        let others = members.saturating_sub(1);
        match self {
            Self::Async => 0,
            Self::SemiSync(k) => others.min(usize::try_from(k).unwrap_or(usize::MAX)),
            Self::Majority => members / 2,
            Self::All => others,
        }
    }

    /// How many members must have promised a new leader to obey nobody before it.
    pub fn promises(self, members: usize) -> usize {
        members - self.acknowledgements(members)
    }
}

/// How far the choice of a leader has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Phase {
    /// A candidate asks the members.
    Electing,
    /// The leader leads.
    Active,
}

/// What a new leader took over without having asked enough members, by an operator's order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Forced {
    /// The epoch of that leader.
    pub epoch: Epoch,
    /// The last batch that it adopted. What an earlier leader committed behind it is lost.
    pub adopted: Seq,
}

/// What the coordinator keeps of a group: the one thing that nodes must agree on. It changes by
/// compare-and-swap on its version alone.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GroupRecord {
    /// The epoch of the leader.
    pub epoch: Epoch,
    /// The leader, or the candidate that asks the members.
    pub leader: NodeId,
    /// Who counts for commits and for the choice of a leader, the leader among them; ascending, without repetition.
    pub members: Vec<NodeId>,
    /// How far the choice of the leader has come.
    pub phase: Phase,
    /// The group does not take batches with fewer members than this, and is not made smaller.
    pub members_min: u32,
    /// The last leader that took over by force.
    pub forced: Option<Forced>,
}

impl GroupRecord {
    /// The record of a group that begins. The first of the members is the first to want to lead. Of three founders or
    /// more two must stay, of others one, unless you say otherwise.
    ///
    /// # Panics
    ///
    /// If there are no members.
    pub fn new(members: impl IntoIterator<Item = NodeId>) -> Self {
        let mut members: Vec<_> = members.into_iter().collect();
        members.sort_unstable();
        members.dedup();
        let leader = *members.first().expect("a group has members");
        let members_min = if members.len() < 3 { 1 } else { 2 };
        let phase = Phase::Electing;
        Self { epoch: Epoch(0), leader, members, phase, members_min, forced: None }
    }

    /// Whether a node is a member.
    pub fn has(&self, node: NodeId) -> bool {
        self.members.binary_search(&node).is_ok()
    }

    /// The record with one member more.
    #[must_use]
    pub fn with(&self, node: NodeId) -> Self {
        let mut record = self.clone();
        if let Err(at) = record.members.binary_search(&node) {
            record.members.insert(at, node);
        }
        record
    }

    /// The record without a member.
    #[must_use]
    pub fn without(&self, node: NodeId) -> Self {
        let mut record = self.clone();
        record.members.retain(|&member| member != node);
        record
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn promises_and_copies_meet() {
        for members in 1..9 {
            for policy in [
                Policy::Async,
                Policy::SemiSync(1),
                Policy::SemiSync(3),
                Policy::Majority,
                Policy::All,
            ] {
                let (copies, promises) =
                    (policy.acknowledgements(members) + 1, policy.promises(members));
                assert!(copies <= members && promises >= 1, "{policy:?} of {members}");
                assert!(copies + promises > members, "{policy:?} of {members}");
            }
        }
    }

    #[test]
    fn members_are_a_set() {
        let record = GroupRecord::new([NodeId(3), NodeId(1), NodeId(3)]);
        assert_eq!(record.members, [NodeId(1), NodeId(3)]);
        assert_eq!(record.with(NodeId(2)).members, [NodeId(1), NodeId(2), NodeId(3)]);
        assert_eq!(record.with(NodeId(1)), record);
        assert_eq!(record.without(NodeId(1)).members, [NodeId(3)]);
    }
}
