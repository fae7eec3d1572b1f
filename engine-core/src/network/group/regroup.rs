//! Groups of which many members change in one flush: it is noted which groups they are, and when all have changed,
//! each shows what it came to.

use steadfast_wm::Seq;

use super::Group;
use crate::aggregate::{AggregateError, Refreshed};
use crate::chains::{ABREAST, NONE};
use crate::network::alpha::Alpha;
use crate::network::context::{Buffers, Context};
use crate::network::descent::Descended;
use crate::network::inputs::{Inputs, with_inputs};
use crate::network::net::{Flush, Level, Net, Node, tokens_of};
use crate::network::straight::Became;
use crate::network::tokens::Tokens;
use crate::rows::Rows;
use crate::trail::Scope;

/// What becomes of facts in a right memory.
#[derive(Default)]
pub(crate) struct FactChanges {
    /// Entries.
    pub(crate) leaving: Vec<u32>,
    /// Slots, and when they have entered entries.
    pub(crate) entering: Vec<u32>,
    /// Entries; under the same key.
    pub(crate) staying: Vec<u32>,
}

impl FactChanges {
    pub(crate) fn clear(&mut self) {
        self.leaving.clear();
        self.entering.clear();
        self.staying.clear();
    }
}

impl Net {
    /// Whether a group is all that follows the join of this level, each tuple of which is a member, and one that
    /// stays under its key stays a tuple.
    pub(crate) fn regroups(&self, level: u32, alphas: &[Alpha]) -> bool {
        let [Level { node: Node::Join(join), .. }, Level { node: Node::Group(group), .. }] =
            &self.levels[level as usize..]
        else {
            return false;
        };
        group.plan.elements == 1
            && group.plan.having.is_empty()
            && !group.plan.slides
            && !join.verifies(join.right(alphas))
    }

    /// Tells the group behind a level of what facts do in the memory of that one.
    pub(crate) fn regroup(
        &mut self,
        flush: &Flush<'_>,
        (alphas, buffers): (&[Alpha], &mut Buffers),
        (level, changes): (u32, &FactChanges),
        descended: &mut Descended,
    ) {
        let at = level as usize;
        self.levels[at].lose_facts(flush.scope, &changes.leaving, descended);
        self.members_changed(flush, buffers, (at, &descended.next), |group, _, _, token| {
            let context = group.grouping.leave(flush.scope, token);
            (context, context)
        });
        descended.next.clear();
        let (before, rest) = self.levels.split_at_mut(at);
        rest[0].meet_facts(
            flush,
            (&self.root, before),
            (alphas, buffers),
            &changes.entering,
            descended,
        );
        self.members_changed(flush, buffers, (at, &descended.next), |group, cx, inputs, token| {
            let context = group.enter(cx, inputs, token);
            (context, context)
        });
        self.levels[at + 1].taken += descended.next.len() as u64;
        descended.next.clear();
        let Level { node: Node::Join(join), tokens, .. } = &self.levels[at] else {
            unreachable!("it begins at a join")
        };
        for &entry in &changes.staying {
            let mut token = *join.heads.get(entry);
            while token != NONE {
                descended.next.push(token);
                token = tokens.next_of_entry(token);
            }
        }
        self.members_changed(flush, buffers, (at, &descended.next), Group::alter);
        descended.next.clear();
    }

    /// Tells a group of members that changed, by what gives the groups that they were in and are in.
    fn members_changed(
        &mut self,
        flush: &Flush<'_>,
        buffers: &mut Buffers,
        (at, members): (usize, &[u32]),
        change: impl Fn(&mut Group, &mut Context<'_>, &Inputs<'_>, u32) -> (u32, u32),
    ) {
        if members.is_empty() {
            return;
        }
        let (before, rest) = self.levels.split_at_mut(at + 1);
        let Node::Group(group) = &mut rest[0].node else { unreachable!("it is a group") };
        let plan = before[at].node.plan().expect("it is a join");
        let (columns, position) = (flush.store.kind(plan.kind), plan.position);
        let shape = (group.plan.elements, group.plan.outer_level);
        let mut cx = Context::new(flush, &[], buffers);
        with_inputs(shape, flush.store, (&self.root, before), |inputs| {
            for few in members.chunks(ABREAST) {
                group.grouping.warm(few);
                for &token in few {
                    // The last operation on a fact is the only one here.
                    let seq = columns.recency(inputs.members.row(token)[position]);
                    let (left, entered) = change(group, &mut cx, inputs, token);
                    group.touch(left, seq);
                    if entered != left {
                        group.touch(entered, seq);
                    }
                }
            }
        });
    }

    /// Lists what became of the tokens of groups that were told of members, each with the last operation that changed
    /// one.
    pub(crate) fn show_groups(
        &mut self,
        scope: Scope,
        level: u32,
        became: &mut Vec<(u64, Became)>,
    ) -> Result<(), AggregateError> {
        let (before, rest) = self.levels.split_at_mut(level as usize + 1);
        let Level { node: Node::Group(group), tokens, given, .. } = &mut rest[0] else {
            unreachable!("it is a group")
        };
        let outer_level = group.plan.outer_level;
        let outers = || tokens_of(&self.root, before, outer_level);
        let shown = group.show_touched(scope, outers, tokens, became);
        let came = became.iter().filter(|(_, became)| matches!(became, Became::Came(_)));
        *given += came.count() as u64;
        group.end_flush(scope);
        shown
    }
}

impl Group {
    /// As [`change`](Self::change); of a context in which the member stays nobody remembers how it was when the flush
    /// began.
    pub(super) fn alter(
        &mut self,
        cx: &mut Context<'_>,
        inputs: &Inputs<'_>,
        token: u32,
    ) -> (u32, u32) {
        let outer = (inputs.outer_of)(token);
        let rows = Rows::new(inputs.member_sources, inputs.members.row(token));
        let opened = self.opened_for(outer);
        match self.grouping.alter(cx.scope, &rows, opened, (token, outer)) {
            Some(context) => (context, context),
            None => self.change(cx, inputs, token),
        }
    }

    /// Notes that an operation changed a member that a context has or had, in a flush of which
    /// [all is shown](Self::show_touched) at its end.
    #[inline]
    pub(super) fn touch(&mut self, context: u32, seq: Seq) {
        self.triggers.computed = true;
        self.triggers.raise(context, seq);
    }

    /// Lists what became of the tokens of contexts that were [touched](Self::touch), each with the last operation
    /// that did it. The group has no conditions, and its outer tuples are as they were.
    pub(super) fn show_touched<'a>(
        &mut self,
        scope: Scope,
        outers: impl Fn() -> &'a Tokens,
        out: &mut Tokens,
        became: &mut Vec<(u64, Became)>,
    ) -> Result<(), AggregateError> {
        for at in 0..self.triggers.set.len() {
            let context = self.triggers.set[at];
            self.tokens.reach(scope, context, &NONE);
            let outer = self.grouping.outer(context);
            let Refreshed { present, changed } = self.grouping.refresh(scope, context)?;
            let verdict = self.verdict((context, outer), present, changed);
            let came_to = self.obey(scope, &outers, (verdict, context), out);
            if came_to != Became::Nothing {
                became.push((self.triggers.of[context as usize].get(), came_to));
            }
        }
        Ok(())
    }
}
