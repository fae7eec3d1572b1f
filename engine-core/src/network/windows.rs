//! Absences that are bounded in time: a `not` with a temporal join is decided when its time has passed.

use crate::key::time_of;
use crate::network::net::{Net, Node, resolve};
use crate::network::plan::Sources;
use crate::rows::Rows;
use crate::store::Store;

impl Net {
    /// Levels of the match itself, not inside of a group or a subnetwork, that are bounded absences.
    pub(crate) fn bounded_absences(&self) -> Vec<usize> {
        let mut own = vec![true; self.levels.len()];
        for (at, level) in self.levels.iter().enumerate() {
            let outer = level.node.left_level(at).map_or(0, |outer| outer + 1);
            own[outer..at].fill(false);
        }
        let is_bounded = |at: &usize| match &self.levels[*at].node {
            Node::Block(block) => {
                let ranges = &block.plan.conditions.ranges;
                block.is_absence() && ranges.iter().any(|range| range.width.is_some())
            }
            Node::Join(_) | Node::Group(_) | Node::Subnet(_) => false,
        };
        (0..self.levels.len()).filter(|&at| own[at]).filter(is_bounded).collect()
    }

    /// The first moment at which none of these absences of a match can be ended any more by what happens
    /// at that moment.
    pub(crate) fn decided(&self, store: &Store, absences: &[usize], token: u32) -> Option<i64> {
        let row = self.terminal().row(token);
        let mut decided = None;
        for &at in absences {
            let level = &self.levels[at];
            let Node::Block(block) = &level.node else { continue };
            let mut sources = Sources::new();
            for source in &level.left {
                sources.push(resolve(store, &self.levels, *source));
            }
            // Rows only grow: the tuple before the absence is the first part of the match's.
            let rows = Rows::new(sources.as_slice(), &row[..level.left.len()]);
            for range in &block.plan.conditions.ranges {
                let Some(width) = range.width else { continue };
                let mut orders = Vec::with_capacity(1);
                (range.outer)(&rows, &mut orders);
                let last = time_of(orders[0].saturating_add(width));
                decided = decided.max(Some(last.saturating_add(1)));
            }
        }
        decided
    }
}
