//! Absences that are bounded in time: a `not` with a temporal join is decided when its time has passed.

use crate::ir::{Conditions, RangeJoin};
use crate::key::time_of;
use crate::network::net::{Net, Node, resolve};
use crate::network::plan::{Plan, Sources};
use crate::rows::Rows;
use crate::store::Store;

impl Net {
    /// Levels of the match itself, not inside of a group or a subnetwork, that are bounded absences: of one
    /// pattern, or of several of which each is bounded by the match.
    pub(crate) fn bounded_absences(&self) -> Vec<usize> {
        let mut own = vec![true; self.levels.len()];
        for (at, level) in self.levels.iter().enumerate() {
            let outer = level.node.left_level(at).map_or(0, |outer| outer + 1);
            own[outer..at].fill(false);
        }
        let is_bounded = |at: &usize| match &self.levels[*at].node {
            Node::Block(block) => block.is_absence() && block.plan.is_bounded(),
            Node::Subnet(subnet) => !subnet.plan.exists && self.are_bounded(*at),
            Node::Join(_) | Node::Group(_) => false,
        };
        (0..self.levels.len()).filter(|&at| own[at]).filter(is_bounded).collect()
    }

    /// Levels inside of subnetworks of which tuples pass only when an absence is decided.
    pub(crate) fn deciding(&self) -> Vec<u32> {
        let deciding =
            |node: &Node| matches!(node, Node::Block(block) if block.undecided.is_some());
        let levels = (0..).zip(&self.levels).filter(|(_, level)| deciding(&level.node));
        levels.map(|(at, _)| at).collect()
    }

    /// Whether the patterns of a subnetwork are there, and each is bounded in time by the tuple before it.
    fn are_bounded(&self, at: usize) -> bool {
        let plans = self.inner_plans(at);
        let width = self.levels[at].left.len();
        !plans.is_empty() && plans.iter().all(|(own, plan)| bounds(plan, width, *own).count() > 0)
    }

    /// The patterns that a subnetwork's member tuples hold, with their positions.
    fn inner_plans(&self, at: usize) -> Vec<(usize, &Plan)> {
        let outer = self.levels[at].node.left_level(at);
        let mut plans = Vec::new();
        let mut inner = at.checked_sub(1);
        while inner != outer
            && let Some(level_at) = inner
        {
            let level = &self.levels[level_at];
            match &level.node {
                Node::Join(join) => plans.push((level.left.len(), &*join.plan)),
                // A group may have another value at any time.
                Node::Group(_) => return Vec::new(),
                Node::Block(_) | Node::Subnet(_) => {}
            }
            inner = level.node.left_level(level_at);
        }
        plans
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
            let width = level.left.len();
            let rows = Rows::new(sources.as_slice(), &row[..width]);
            match &level.node {
                Node::Block(block) => decided = decided.max(block.plan.conditions.decided(&rows)),
                _ => {
                    for (own, plan) in self.inner_plans(at) {
                        let moments =
                            bounds(plan, width, own).filter_map(|range| range.decided(&rows));
                        decided = decided.max(moments.max());
                    }
                }
            }
        }
        decided
    }
}

impl RangeJoin {
    /// The first moment at which no event that happens then is within the stretch of time that this gives
    /// for a tuple; none if it gives no end.
    fn decided(&self, rows: &Rows<'_>) -> Option<i64> {
        let width = self.width?;
        let mut orders = Vec::with_capacity(1);
        (self.outer)(rows, &mut orders);
        Some(time_of(orders[0].saturating_add(width)).saturating_add(1))
    }
}

impl Conditions {
    /// The first moment at which no event that happens then goes with a tuple any more, for the sake of
    /// its time; none if it may at any.
    pub(crate) fn decided(&self, rows: &Rows<'_>) -> Option<i64> {
        self.ranges.iter().filter_map(|range| range.decided(rows)).max()
    }
}

/// The bounds in time that the first `width` positions give the pattern at position `own`.
fn bounds(plan: &Plan, width: usize, own: usize) -> impl Iterator<Item = &RangeJoin> {
    let ranges = plan.conditions.ranges.iter().filter(|range| range.width.is_some());
    ranges.filter(move |range| {
        range.test.reads.iter().all(|(position, _)| *position < width || *position == own)
    })
}
