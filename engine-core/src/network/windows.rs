//! Absences that are bounded in time: a `not` with a temporal join is decided when its time has passed.

use crate::ir::{Conditions, RangeJoin};
use crate::key::time_of;
use crate::network::net::{Net, Node, resolve};
use crate::network::plan::Sources;
use crate::rows::Rows;
use crate::store::Store;

impl Net {
    /// Levels of the match itself, not inside of a group or a subnetwork, that are bounded absences: of one
    /// pattern, or of several of which time bounds the tuples.
    pub(crate) fn bounded_absences(&self) -> Vec<usize> {
        let mut own = vec![true; self.levels.len()];
        for (at, level) in self.levels.iter().enumerate() {
            let outer = level.node.left_level(at).map_or(0, |outer| outer + 1);
            own[outer..at].fill(false);
        }
        let is_bounded = |at: &usize| match &self.levels[*at].node {
            Node::Block(block) => block.is_absence() && block.plan.conditions.is_bounded(),
            Node::Subnet(subnet) => subnet.plan.horizon.is_some(),
            Node::Join(_) | Node::Group(_) | Node::Gate(_) => false,
        };
        (0..self.levels.len()).filter(|&at| own[at]).filter(is_bounded).collect()
    }

    /// Levels inside of subnetworks of which tuples pass only when an absence is decided.
    pub(crate) fn deciding(&self) -> Vec<u32> {
        let levels = (0..).zip(&self.levels);
        levels.filter(|(_, level)| level.node.undecided().is_some()).map(|(at, _)| at).collect()
    }

    /// The first moment at which none of these absences of a match can be ended any more by what happens
    /// at that moment.
    pub(crate) fn decided(&self, store: &Store, absences: &[usize], token: u32) -> Option<i64> {
        let row = self.terminal().row(token);
        let mut decided = None;
        for &at in absences {
            let level = &self.levels[at];
            let mut sources = Sources::new();
            for source in &level.left {
                sources.push(resolve(store, &self.levels, *source));
            }
            // Rows only grow: the tuple before the absence is the first part of the match's.
            let rows = Rows::new(sources.as_slice(), &row[..level.left.len()]);
            let moment = match &level.node {
                Node::Block(block) => block.plan.conditions.decided(&rows),
                Node::Subnet(subnet) => {
                    subnet.plan.horizon.as_ref().map(|horizon| horizon.decided(&rows))
                }
                Node::Join(_) | Node::Group(_) | Node::Gate(_) => None,
            };
            decided = decided.max(moment);
        }
        decided
    }
}

/// The first moment at which no event that happens then is within the stretch of time that a temporal join
/// gives for a tuple; none if it gives no end.
pub(super) fn decided(range: &RangeJoin, rows: &Rows<'_>) -> Option<i64> {
    let width = range.width?;
    let mut orders = Vec::with_capacity(1);
    (range.outer)(rows, &mut orders);
    Some(time_of(orders[0].saturating_add(width)).saturating_add(1))
}

impl Conditions {
    /// Whether they are bounded in time by the tuple.
    pub(crate) fn is_bounded(&self) -> bool {
        self.ranges.iter().any(|range| range.width.is_some())
    }

    /// The first moment at which no event that happens then goes with a tuple any more, for the sake of
    /// its time; none if it may at any.
    pub(crate) fn decided(&self, rows: &Rows<'_>) -> Option<i64> {
        self.ranges.iter().filter_map(|range| decided(range, rows)).min()
    }
}
