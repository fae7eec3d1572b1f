//! Straight ways: nets in which a change of one fact goes down from its level to the matches, level by level.
//!
//! In a net of joins and groups in which nothing else listens to facts of that kind, the only operation of a
//! flush changes one level, and the levels behind it by what that does. So nothing has to be noted, listed
//! or looked for before it is known what became of the matches, and when the last level is done, so is the
//! flush.

use crate::aggregate::AggregateError;
use crate::chains::NONE;
use crate::network::alpha::Alpha;
use crate::network::context::{Buffers, Context};
use crate::network::group::{Group, Verdict};
use crate::network::inputs::{Inputs, with_inputs};
use crate::network::join::Join;
use crate::network::net::{Flush, Level, Net, Node, look_for_facts, resolve, tokens_of};
use crate::network::plan::Sources;
use crate::network::right::RightMemory;
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
        let mut became = Became::Nothing;
        for at in first..self.levels.len() {
            let (before, rest) = self.levels.split_at_mut(at);
            let (level, tokens) = (&mut rest[0], (&self.root, &*before));
            if at == first {
                became = level.take_step(flush, tokens, alphas, buffers, (step, is_single));
            } else if became == Became::Listed {
                let input = before.last().map_or(&self.root, |left| &left.tokens);
                let outer = || tokens_of(&self.root, before, level.node.left_level(at));
                if input.has_changes() || outer().has_changes() {
                    level.work(flush, tokens, alphas, buffers)?;
                }
            } else if became == Became::Nothing {
                break;
            } else {
                became = level.follow(flush, tokens, alphas, buffers, became)?;
            }
        }
        Ok(became)
    }

    /// Forgets what a step did: the flush is over.
    #[inline]
    pub(crate) fn forget_step(&mut self, scope: Scope, step: Step, became: Became) {
        if self.is_of_joins && became != Became::Listed {
            return;
        }
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
    /// Does to its tokens what a fact does in its right memory; lists that if several tokens come of it, or if
    /// it may not be taken on token by token.
    fn take_step(
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
            Way::Leaves if is_single => join.lose_right(cx.scope, entry, out),
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
    fn follow(
        &mut self,
        flush: &Flush<'_>,
        (root, before): (&Tokens, &[Self]),
        alphas: &mut [Alpha],
        buffers: &mut Buffers,
        left: Became,
    ) -> Result<Became, AggregateError> {
        self.taken += u64::from(matches!(left, Became::Came(_)));
        if !matches!(left, Became::Went(_)) {
            look_for_facts(&self.node, flush, (1, alphas), buffers);
        }
        let mut sources = Sources::new();
        let out = &mut self.tokens;
        let became = match &mut self.node {
            Node::Join(join) => {
                if !matches!(left, Became::Went(_)) {
                    sources.extend(self.left.iter().map(|it| resolve(flush.store, before, *it)));
                }
                let mut cx = Context::new(flush, sources.as_slice(), buffers);
                let sides = (before.last().map_or(root, |left| &left.tokens), join.right(alphas));
                match left {
                    Became::Came(token) => join.meet_left(&mut cx, sides, token, out),
                    Became::Stayed(token) => join.keep_left(&mut cx, sides, token, out),
                    Became::Went(token) => join.lose_left(cx.scope, token, out),
                    Became::Nothing | Became::Listed => unreachable!("it is one token"),
                }
            }
            Node::Group(group) => {
                if !group.plan.having.is_empty() {
                    sources.extend(self.left.iter().map(|it| resolve(flush.store, before, *it)));
                }
                let mut cx = Context::new(flush, sources.as_slice(), buffers);
                let shape = (group.plan.elements, group.plan.outer_level);
                with_inputs(shape, flush.store, (root, before), |inputs| {
                    group.process_one(&mut cx, inputs, left, out)
                })?
            }
            Node::Block(_) | Node::Subnet(_) | Node::Gate(_) => {
                unreachable!("they are on no straight way")
            }
        };
        self.count(became);
        Ok(became)
    }

    fn count(&mut self, became: Became) {
        self.given += match became {
            Became::Came(_) => 1,
            Became::Listed => self.tokens.inserted().len() as u64,
            Became::Nothing | Became::Stayed(_) | Became::Went(_) => 0,
        };
    }
}

/// What single facts and tokens do. Where more than one token comes of it they do as in any other flush, and list
/// what happened.
impl Join {
    fn lose_right(&mut self, scope: Scope, entry: u32, out: &mut Tokens) -> Became {
        let token = *self.heads.get(entry);
        if token == NONE {
            return Became::Nothing;
        }
        if out.next_of_entry(token) != NONE {
            self.delete_right(scope, entry, out);
            return Became::Listed;
        }
        self.heads.set(scope, entry, NONE);
        self.left.children.remove(scope, token, out);
        out.kill_settled(scope, token);
        Became::Went(token)
    }

    fn meet_right(
        &mut self,
        cx: &mut Context<'_>,
        sides: (&Tokens, &RightMemory),
        entry: u32,
        out: &mut Tokens,
    ) -> Became {
        let pairs = &mut cx.buffers.pairs;
        pairs.clear();
        self.seek_left(cx.scope, sides, entry, pairs);
        self.pair(cx, sides, out)
    }

    fn keep_right(
        &mut self,
        cx: &mut Context<'_>,
        sides: (&Tokens, &RightMemory),
        (entry, moved): (u32, bool),
        out: &mut Tokens,
    ) -> Became {
        let token = *self.heads.get(entry);
        let is_settled = !moved && !self.verifies(sides.1);
        match token {
            NONE if is_settled => Became::Nothing,
            token if is_settled && out.next_of_entry(token) == NONE => Became::Stayed(token),
            _ => {
                self.update_right(cx, sides, &[(entry, moved)], out);
                Became::Listed
            }
        }
    }

    fn lose_left(&mut self, scope: Scope, token: u32, out: &mut Tokens) -> Became {
        let child = self.left.children.first(scope, token, out);
        if child != NONE && out.next_sibling(child) != NONE {
            self.delete_left(scope, token, out);
            return Became::Listed;
        }
        if child != NONE {
            // It comes while the left token is taken out of the index.
            self.heads.warm(out.entry(child));
        }
        self.left.take_out(scope, token);
        if child == NONE {
            return Became::Nothing;
        }
        self.left.children.take(scope, token, out);
        out.unlink_entry(scope, child, &mut self.heads);
        out.kill_settled(scope, child);
        Became::Went(child)
    }

    fn meet_left(
        &mut self,
        cx: &mut Context<'_>,
        sides: (&Tokens, &RightMemory),
        token: u32,
        out: &mut Tokens,
    ) -> Became {
        self.insert_one_left(cx, sides, token);
        self.pair(cx, sides, out)
    }

    fn keep_left(
        &mut self,
        cx: &mut Context<'_>,
        (left, right): (&Tokens, &RightMemory),
        token: u32,
        out: &mut Tokens,
    ) -> Became {
        let code = self.outer_code(cx, left, token);
        let moved = self.left.relink(cx.scope, token, code);
        if moved || self.verifies(right) {
            self.rematch_left(cx, (left, right), token, out);
            return Became::Listed;
        }
        let mut child = self.left.children.first(cx.scope, token, out);
        if child == NONE {
            return Became::Nothing;
        }
        if out.next_sibling(child) == NONE {
            return Became::Stayed(child);
        }
        while child != NONE {
            out.mark_updated(child);
            child = out.next_sibling(child);
        }
        Became::Listed
    }

    /// Makes tokens of the candidate pairs that pass.
    #[inline]
    fn pair(
        &mut self,
        cx: &mut Context<'_>,
        sides: (&Tokens, &RightMemory),
        out: &mut Tokens,
    ) -> Became {
        let (left, right) = sides;
        cx.verify_pairs(&self.plan, self.exact && right.exact, left, right);
        match *cx.buffers.pairs {
            [] => Became::Nothing,
            [(parent, entry)] => {
                let (row, slot) = (left.row(parent), right.slot(entry));
                let token = out.add_settled(cx.scope, parent, entry, row, Some(slot));
                self.hang(cx.scope, token, (parent, entry), out);
                Became::Came(token)
            }
            _ => {
                self.add_all(cx, sides, out);
                Became::Listed
            }
        }
    }
}

impl Group {
    /// As [`process`](Self::process) of the only change of a flush: one member comes, stays or goes. Nobody asks
    /// for triggers after it.
    fn process_one(
        &mut self,
        cx: &mut Context<'_>,
        inputs: &Inputs<'_>,
        member: Became,
        out: &mut Tokens,
    ) -> Result<Became, AggregateError> {
        let context = match member {
            Became::Came(token) => self.enter(cx, inputs, token),
            Became::Went(token) => self.grouping.leave(cx.scope, token),
            Became::Stayed(token) => {
                let (left, entered) = self.change(cx, inputs, token);
                if left != entered {
                    self.settle(cx, inputs, left, out)?;
                    self.settle(cx, inputs, entered, out)?;
                    return Ok(Became::Listed);
                }
                entered
            }
            Became::Nothing | Became::Listed => unreachable!("one member is something else"),
        };
        let scope = cx.scope;
        let became = self.judge(cx, inputs, context)?;
        match became {
            Verdict::Comes(outer) => {
                let row = inputs.outer.row(outer);
                let token = out.add_settled(scope, outer, context, row, Some(context));
                self.hang(scope, token, (outer, context), out);
                Ok(Became::Came(token))
            }
            Verdict::Changes(token) => Ok(Became::Stayed(token)),
            Verdict::Goes(token) => {
                self.unhang(scope, token, out);
                out.kill_settled(scope, token);
                Ok(Became::Went(token))
            }
            Verdict::Remains => Ok(Became::Nothing),
        }
    }
}
