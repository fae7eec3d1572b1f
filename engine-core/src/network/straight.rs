//! Straight ways: nets in which a change of one fact goes down from its level to the matches, level by level.
//!
//! In a net of joins and groups in which nothing else listens to facts of that kind, the only operation of a
//! flush changes one level, and the levels behind it by what that does. So nothing has to be noted, listed
//! or looked for before it is known what became of the matches, and when the last level is done, so is the
//! flush.

use crate::aggregate::AggregateError;
use crate::network::alpha::Alpha;
use crate::network::context::{Buffers, Context};
use crate::network::join::Join;
use crate::network::net::{Flush, Level, Net, Node, look_for_facts, resolve, tokens_of};
use crate::network::plan::Sources;
use crate::network::tokens::Tokens;
use crate::store::{Change, Op};
use crate::trail::Scope;

/// What the only operation of a flush does in the right memory of a level.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step {
    pub(crate) level: u32,
    pub(crate) entry: u32,
    pub(crate) way: Way,
}

/// What becomes of a fact in a right memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Way {
    Enters,
    Stays {
        /// Whether under another key.
        moved: bool,
    },
    Leaves,
}

impl Net {
    /// Whether what a fact does in the memory of this level may be taken straight down.
    pub(crate) fn is_straight_from(&self, level: usize) -> bool {
        let Node::Join(Join { plan, .. }) = &self.levels[level].node else { return false };
        let is_plain = |node: &Node| match node {
            Node::Join(join) => join.plan.window.is_none(),
            Node::Group(_) => true,
            Node::Block(_) | Node::Subnet(_) | Node::Gate(_) => false,
        };
        let plans = self.levels.iter().filter_map(|level| level.node.plan());
        self.levels.iter().all(|level| is_plain(&level.node))
            && plans.filter(|other| other.kind == plan.kind).count() == 1
    }

    /// Takes a step down to the matches. What it did to them is listed by the last level until it is
    /// [forgotten](Net::forget_step).
    pub(crate) fn take_step(
        &mut self,
        flush: &Flush<'_>,
        alphas: &mut [Alpha],
        buffers: &mut Buffers,
        step: Step,
    ) -> Result<(), AggregateError> {
        let first = step.level as usize;
        for at in first..self.levels.len() {
            let (before, rest) = self.levels.split_at_mut(at);
            let level = &mut rest[0];
            let input = before.last().map_or(&self.root, |left| &left.tokens);
            if at == first {
                level.take_step(flush, (&self.root, before), alphas, buffers, step);
            } else {
                let outer = || tokens_of(&self.root, before, level.node.left_level(at));
                if !input.has_changes() && !outer().has_changes() {
                    continue;
                }
                if !input.inserted().is_empty() {
                    look_for_facts(&level.node, flush, alphas, buffers);
                }
                level.work(flush, (&self.root, before), alphas, buffers)?;
                level.taken += input.inserted().len() as u64;
            }
            level.given += level.tokens.inserted().len() as u64;
        }
        Ok(())
    }

    /// Forgets what a step did: the flush is over.
    pub(crate) fn forget_step(&mut self, scope: Scope, step: Step) {
        for level in &mut self.levels[step.level as usize..] {
            level.tokens.settle(scope);
            if let Node::Group(group) = &mut level.node {
                group.end_flush(scope);
            }
        }
    }

    /// Whether the operation touches the matches of the level that its step began at: of those of a group,
    /// only if the fact is a member of it and the group's result is another one.
    pub(crate) fn touches(&self, op: &Op, step: Step, token: u32) -> bool {
        let first = step.level as usize;
        let plan = self.levels[first].node.plan().expect("steps begin at joins");
        let is_read = op.what != Change::Update || op.mask.intersects(plan.reads);
        if !is_read || self.is_of_joins {
            return is_read;
        }
        for level in &self.levels[first + 1..] {
            if let Node::Group(group) = &level.node
                && group.plan.outer_level.is_none_or(|outer| outer < first)
            {
                let context = self.terminal().row(token)[level.own.len() - 1];
                return group.grouping.differs(context, context);
            }
        }
        true
    }
}

impl Level {
    /// Does to its tokens what a fact does in its right memory.
    fn take_step(
        &mut self,
        flush: &Flush<'_>,
        (root, before): (&Tokens, &[Self]),
        alphas: &[Alpha],
        buffers: &mut Buffers,
        Step { entry, way, .. }: Step,
    ) {
        let Node::Join(join) = &mut self.node else { unreachable!("steps begin at joins") };
        let out = &mut self.tokens;
        if way == Way::Leaves {
            join.delete_right(flush.scope, entry, out);
            return;
        }
        // Without left tokens there is nobody to meet, and the facts may not be in the index yet.
        if join.is_deaf() {
            return;
        }
        let sides = (before.last().map_or(root, |left| &left.tokens), join.right(alphas));
        let mut sources = Sources::new();
        if join.verifies(sides.1) {
            sources.extend(self.left.iter().map(|it| resolve(flush.store, before, *it)));
        }
        let mut cx = Context::new(flush, sources.as_slice(), buffers);
        match way {
            Way::Enters => join.insert_right(&mut cx, sides, &[entry], out),
            Way::Stays { moved } => join.update_right(&mut cx, sides, &[(entry, moved)], out),
            Way::Leaves => {}
        }
    }
}
