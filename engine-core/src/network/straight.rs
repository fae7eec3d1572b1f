//! Straight ways: nets in which a change of one fact goes down from its level to the matches, level by level.
//!
//! In a net of joins and groups in which nothing else listens to facts of that kind, the only operation of a
//! flush changes one level, and the levels behind it by what that does. So nothing has to be noted, listed
//! or looked for before it is known what became of the matches, and when the last level is done, so is the
//! flush.

use std::any::Any;

use crate::aggregate::AggregateError;
use crate::network::alpha::Alpha;
use crate::network::context::{Buffers, Context};
use crate::network::inputs::with_inputs;
use crate::network::join::Join;
use crate::network::net::{Flush, Level, Net, Node, look_for_facts, resolve, tokens_of};
use crate::network::plan::Sources;
use crate::network::tokens::Tokens;
use crate::rows::Rows;
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

/// What became of the tokens of a level by a step.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Became {
    Nothing,
    /// One token came, and nothing else happened; no list holds it. So with the next two.
    Came(u32),
    /// Something changed that it depends on.
    Stayed(u32),
    /// It is dead; its row can be read until the flush ends.
    Went(u32),
    /// What the level lists.
    Listed,
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

    /// Takes a step down to the matches; says what became of them. As far as that is one token of each level no
    /// list holds it; otherwise levels list what happened until it is [forgotten](Net::forget_step).
    pub(crate) fn take_step(
        &mut self,
        flush: &Flush<'_>,
        alphas: &mut [Alpha],
        buffers: &mut Buffers,
        step: Step,
    ) -> Result<Became, AggregateError> {
        let first = step.level as usize;
        let is_single = first >= self.singly_from;
        let (before, rest) = self.levels.split_at_mut(first);
        let tokens = (&self.root, &*before);
        let mut became = rest[0].take_step(flush, tokens, alphas, buffers, (step, is_single));
        for at in first + 1..self.levels.len() {
            match became {
                Became::Nothing => break,
                Became::Listed => {
                    self.work_from(at, flush, alphas, buffers)?;
                    break;
                }
                Became::Came(_) | Became::Stayed(_) | Became::Went(_) => {
                    let (before, rest) = self.levels.split_at_mut(at);
                    let tokens = (&self.root, &*before);
                    became = rest[0].follow(flush, tokens, alphas, buffers, became)?;
                }
            }
        }
        Ok(became)
    }

    /// Brings the tokens of the levels from this one on up to date with what the levels before list.
    #[inline(never)] // it needs much, and most steps lead to one token of each level
    fn work_from(
        &mut self,
        from: usize,
        flush: &Flush<'_>,
        alphas: &mut [Alpha],
        buffers: &mut Buffers,
    ) -> Result<(), AggregateError> {
        for at in from..self.levels.len() {
            let (before, rest) = self.levels.split_at_mut(at);
            let level = &mut rest[0];
            let input = before.last().map_or(&self.root, |left| &left.tokens);
            let outer = || tokens_of(&self.root, before, level.node.left_level(at));
            if input.has_changes() || outer().has_changes() {
                level.work(flush, (&self.root, before), alphas, buffers)?;
            }
        }
        Ok(())
    }

    /// Forgets what a step did: the flush is over.
    #[inline]
    pub(crate) fn forget_step(&mut self, scope: Scope, step: Step, became: Became) {
        let is_listed = became == Became::Listed;
        if self.is_of_joins && !is_listed {
            return;
        }
        for level in &mut self.levels[step.level as usize..] {
            if is_listed {
                level.tokens.settle(scope);
            }
            if let Node::Group(group) = &mut level.node {
                group.end_flush(scope);
            }
        }
    }

    /// Whether the operation touches the matches of the level that its step began at: of those of a group,
    /// only if the fact is a member of it and the group's result is another one.
    #[inline]
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
                return group.renewed.unwrap_or_else(|| group.grouping.differs(context, context));
            }
        }
        true
    }
}

impl Level {
    /// Does to its tokens what a fact does in its right memory; lists that if several tokens come of it, or if
    /// it may not be taken on token by token.
    #[inline]
    fn take_step(
        &mut self,
        flush: &Flush<'_>,
        tokens: (&Tokens, &[Self]),
        alphas: &[Alpha],
        buffers: &mut Buffers,
        (step, is_single): (Step, bool),
    ) -> Became {
        let Node::Join(join) = &mut self.node else { unreachable!("steps begin at joins") };
        let (Step { entry, way, .. }, scope) = (step, flush.scope);
        // What needs no look at facts and tuples is done at once.
        let became = match way {
            Way::Leaves if is_single => join.lose_right(scope, entry, &mut self.tokens),
            Way::Enters if is_single && join.takes_all() && !join.is_deaf() => join.take_one(
                scope,
                tokens.0,
                join.right(alphas).slot(entry),
                entry,
                &mut self.tokens,
            ),
            Way::Stays { moved: false } if is_single && !join.verifies(join.right(alphas)) => {
                join.keep_settled(entry, &mut self.tokens)
            }
            _ => return self.take_step_on(flush, tokens, alphas, buffers, (step, is_single)),
        };
        self.count(became);
        became
    }

    #[inline(never)] // what it needs is not gathered where it is not called
    fn take_step_on(
        &mut self,
        flush: &Flush<'_>,
        (root, before): (&Tokens, &[Self]),
        alphas: &[Alpha],
        buffers: &mut Buffers,
        (step, is_single): (Step, bool),
    ) -> Became {
        let Node::Join(join) = &mut self.node else { unreachable!("steps begin at joins") };
        let Step { entry, way, .. } = step;
        let out = &mut self.tokens;
        let mut cx = Context::new(flush, &[], buffers);
        // Without left tokens there is nobody to meet, and the facts may not be in the index yet.
        if join.is_deaf() && way != Way::Leaves {
            return Became::Nothing;
        }
        let sides = (before.last().map_or(root, |left| &left.tokens), join.right(alphas));
        let mut sources = Sources::new();
        if way != Way::Leaves && join.verifies(sides.1) {
            sources.extend(self.left.iter().map(|it| resolve(flush.store, before, *it)));
            cx.left_sources = sources.as_slice();
        }
        let became = match way {
            Way::Enters if is_single => join.meet_right(&mut cx, sides, entry, out),
            Way::Stays { moved } if is_single => {
                join.keep_right(&mut cx, sides, (entry, moved), out)
            }
            Way::Leaves => {
                join.delete_right(cx.scope, entry, out);
                Became::Listed
            }
            Way::Enters => {
                join.insert_right(&mut cx, sides, &[entry], out);
                Became::Listed
            }
            Way::Stays { moved } => {
                join.update_right(&mut cx, sides, &[(entry, moved)], out);
                Became::Listed
            }
        };
        self.count(became);
        became
    }

    /// Does to its tokens what follows from the only change of those before it, which is one token.
    #[inline]
    fn follow(
        &mut self,
        flush: &Flush<'_>,
        tokens: (&Tokens, &[Self]),
        alphas: &mut [Alpha],
        buffers: &mut Buffers,
        left: Became,
    ) -> Result<Became, AggregateError> {
        let became = match (&mut self.node, left) {
            (Node::Join(join), Became::Went(token)) => {
                join.lose_left(flush.scope, token, &mut self.tokens)
            }
            (Node::Join(_), _) => self.follow_to_join(flush, tokens, alphas, buffers, left),
            (Node::Group(_), Became::Stayed(token)) => match self.renew(flush, tokens, token)? {
                Some(became) => became,
                None => self.follow_to_group(flush, tokens, buffers, left)?,
            },
            (Node::Group(_), _) => self.follow_to_group(flush, tokens, buffers, left)?,
            (Node::Block(_) | Node::Subnet(_) | Node::Gate(_), _) => {
                unreachable!("they are on no straight way")
            }
        };
        self.count(became);
        Ok(became)
    }

    /// The same of a join, where the token came or stayed.
    #[inline(never)] // it needs more than one that went
    fn follow_to_join(
        &mut self,
        flush: &Flush<'_>,
        (root, before): (&Tokens, &[Self]),
        alphas: &mut [Alpha],
        buffers: &mut Buffers,
        left: Became,
    ) -> Became {
        self.taken += u64::from(matches!(left, Became::Came(_)));
        look_for_facts(&self.node, flush, (1, alphas), buffers);
        let Node::Join(join) = &mut self.node else { unreachable!("the caller looked") };
        let input = before.last().map_or(root, |left| &left.tokens);
        let sides = (input, join.right(alphas));
        let out = &mut self.tokens;
        let mut follow = |sources: &[&dyn Any]| {
            let mut cx = Context::new(flush, sources, buffers);
            match left {
                Became::Came(token) => join.meet_left(&mut cx, sides, token, out),
                Became::Stayed(token) => join.keep_left(&mut cx, sides, token, out),
                Became::Went(_) | Became::Nothing | Became::Listed => {
                    unreachable!("the caller looked")
                }
            }
        };
        if let [source] = *self.left {
            // Most joins have one position before them, and to list that is more than to look at it.
            return follow(&[resolve(flush.store, before, source)]);
        }
        let mut sources = Sources::new();
        self.left.iter().for_each(|&it| sources.push(resolve(flush.store, before, it)));
        follow(sources.as_slice())
    }

    /// The same of a group of which a member stays, if it stays in the group.
    #[inline]
    fn renew(
        &mut self,
        flush: &Flush<'_>,
        (root, before): (&Tokens, &[Self]),
        token: u32,
    ) -> Result<Option<Became>, AggregateError> {
        let Node::Group(group) = &mut self.node else { unreachable!("the caller looked") };
        let Some((last, _)) = before.split_last() else { unreachable!("groups have elements") };
        if !group.plan.having.is_empty() {
            return Ok(None);
        }
        let elements = before[before.len() - group.plan.elements..].iter().rev();
        let outer = elements.fold(token, |token, level| level.tokens.parent(token));
        let row = last.tokens.row(token);
        let out = &mut self.tokens;
        let at = |source| resolve(flush.store, before, source);
        let mut renew = |sources: &[&dyn Any]| {
            group.renew(flush.scope, &Rows::new(sources, row), (token, outer))
        };
        let renewed = match *last.own {
            // To list one or two positions is more than to look at them.
            [first] => renew(&[at(first)]),
            [first, second] => renew(&[at(first), at(second)]),
            ref positions => renew(&positions.iter().map(|&it| at(it)).collect::<Sources<'_>>()),
        };
        let Some((context, verdict)) = renewed? else { return Ok(None) };
        let outer_level = group.plan.outer_level;
        let outer = || tokens_of(root, before, outer_level);
        Ok(Some(group.obey(flush.scope, outer, (verdict, context), out)))
    }

    /// The same of a group.
    #[inline(never)] // that its members change is most of what happens to it
    fn follow_to_group(
        &mut self,
        flush: &Flush<'_>,
        (root, before): (&Tokens, &[Self]),
        buffers: &mut Buffers,
        left: Became,
    ) -> Result<Became, AggregateError> {
        self.taken += u64::from(matches!(left, Became::Came(_)));
        let Node::Group(group) = &mut self.node else { unreachable!("the caller looked") };
        let mut sources = Sources::new();
        if !group.plan.having.is_empty() {
            self.left.iter().for_each(|&it| sources.push(resolve(flush.store, before, it)));
        }
        let mut cx = Context::new(flush, sources.as_slice(), buffers);
        let shape = (group.plan.elements, group.plan.outer_level);
        with_inputs(shape, flush.store, (root, before), |inputs| {
            group.process_one(&mut cx, inputs, left, &mut self.tokens)
        })
    }

    fn count(&mut self, became: Became) {
        self.given += match became {
            Became::Came(_) => 1,
            Became::Listed => self.tokens.inserted().len() as u64,
            Became::Nothing | Became::Stayed(_) | Became::Went(_) => 0,
        };
    }
}
