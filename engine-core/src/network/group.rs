//! Groups: one token per group of member tuples, with an accumulated value.

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use steadfast_wm::{Member, Seq};

use crate::aggregate::{AggregateError, Grouping, Member as GroupMember};
use crate::chains::NONE;
use crate::fact::FieldMask;
use crate::ir::Test;
use crate::network::join::Context;
use crate::network::plan::Sources;
use crate::network::tokens::Tokens;
use crate::rows::Rows;
use crate::store::{Ops, Store};
use crate::trail::{Column, Scope, Trailed};

/// What a group node needs to know of its rule.
pub(crate) struct GroupPlan {
    /// Level of the outer tuples: the one before the first element; `None` for the root.
    pub(crate) outer_level: Option<usize>,
    /// Levels of its elements, outermost first.
    pub(crate) elements: usize,
    /// Positions of the outer tuples.
    pub(crate) outer_width: usize,
    /// Kind and read fields of each element, for triggers.
    pub(crate) element_reads: Vec<(u32, FieldMask)>,
    pub(crate) having: Vec<Test>,
}

/// A group node.
pub(crate) struct Group {
    pub(crate) plan: Arc<GroupPlan>,
    pub(crate) grouping: Box<dyn Grouping>,
    /// By outer token: the head of its groups' tokens, and its context if groups have no key.
    children: Column<u32>,
    opened: Column<u32>,
    /// By context: its token, or `NONE`.
    tokens: Column<u32>,
    /// Scratch of the current flush: members that entered, left or changed.
    moves: Vec<Move>,
    triggers: Option<BTreeMap<u32, Seq>>,
    gone: Option<BTreeMap<Identity, u32>>,
}

/// Members of the outer tuple, and the key.
type Identity = (Vec<Member>, Vec<u8>);

/// A member tuple enters or leaves a context; one that changes does both.
#[derive(Clone, Copy)]
struct Move {
    context: u32,
    member: u32,
    enters: bool,
}

impl Clone for Group {
    fn clone(&self) -> Self {
        Self {
            plan: Arc::clone(&self.plan),
            grouping: self.grouping.clone_box(),
            children: self.children.clone(),
            opened: self.opened.clone(),
            tokens: self.tokens.clone(),
            moves: self.moves.clone(),
            triggers: self.triggers.clone(),
            gone: self.gone.clone(),
        }
    }
}

impl Trailed for Group {
    fn undo(&mut self, scope: Scope) {
        self.grouping.undo(scope);
        self.children.undo(scope);
        self.opened.undo(scope);
        self.tokens.undo(scope);
    }
    fn forget(&mut self) {
        self.grouping.forget();
        self.children.forget();
        self.opened.forget();
        self.tokens.forget();
    }
}

/// The levels that a group node reads: its members and its outer tuples.
pub(crate) struct Inputs<'a> {
    pub(crate) members: &'a Tokens,
    pub(crate) outer: &'a Tokens,
    /// Gives the outer token of a member.
    pub(crate) outer_of: &'a dyn Fn(u32) -> u32,
    /// Sources of the members' positions.
    pub(crate) member_sources: &'a [&'a dyn Any],
}

/// What the trigger of a group is computed from.
pub(crate) struct TriggerContext<'a> {
    pub(crate) store: &'a Store,
    pub(crate) ops: Ops<'a>,
    pub(crate) members: &'a Tokens,
    pub(crate) outer: &'a Tokens,
    /// Whether the flush had more than one round.
    pub(crate) cascaded: bool,
    /// The members of an outer token, live or dead.
    pub(crate) identity: &'a dyn Fn(u32) -> Vec<Member>,
}

impl Group {
    pub(crate) fn new(plan: GroupPlan, grouping: Box<dyn Grouping>) -> Self {
        Self {
            plan: Arc::new(plan),
            grouping,
            children: Column::default(),
            opened: Column::default(),
            tokens: Column::default(),
            moves: Vec::new(),
            triggers: None,
            gone: None,
        }
    }

    /// Brings contexts and tokens up to date with one round's changes.
    ///
    /// # Errors
    ///
    /// [`AggregateError`] when a function has no result.
    pub(crate) fn process(
        &mut self,
        cx: &mut Context<'_>,
        inputs: &Inputs<'_>,
        out: &mut Tokens,
    ) -> Result<(), AggregateError> {
        let scope = cx.scope;
        let mut touched = Vec::new();
        for &token in &inputs.members.deleted {
            self.leave(scope, token, &mut touched);
        }
        for &token in &inputs.members.updated {
            if inputs.members.is_live(token) {
                self.leave(scope, token, &mut touched);
                self.enter(cx, inputs, token, &mut touched);
            }
        }
        for &token in &inputs.outer.deleted {
            self.close(scope, token, out);
        }
        for &token in inputs.outer.inserted() {
            self.children.reach(scope, token, &NONE);
            self.children.set(scope, token, NONE);
            if !self.grouping.keyed() {
                let context = self.grouping.open(scope, token);
                self.opened.reach(scope, token, &NONE);
                self.opened.set(scope, token, context);
                touched.push(context);
            }
        }
        for &token in inputs.members.inserted() {
            self.enter(cx, inputs, token, &mut touched);
        }
        touched.sort_unstable();
        touched.dedup();
        for context in touched {
            self.settle(cx, inputs, context, out)?;
        }
        for &token in &inputs.outer.updated {
            if inputs.outer.is_live(token) {
                self.update_outer(cx, inputs, token, out);
            }
        }
        Ok(())
    }

    fn enter(
        &mut self,
        cx: &mut Context<'_>,
        inputs: &Inputs<'_>,
        token: u32,
        touched: &mut Vec<u32>,
    ) {
        let row = inputs.members.row(token);
        let mut facts = Vec::new();
        if self.grouping.uses_members() {
            let elements = row.iter().skip(self.plan.outer_width);
            facts.extend(
                elements
                    .zip(&self.plan.element_reads)
                    .map(|(&slot, &(kind, _))| cx.store.kind(kind).handle(slot).get()),
            );
        }
        let outer = (inputs.outer_of)(token);
        let member = GroupMember { tuple: token, outer, facts: &facts };
        let rows = Rows::new(inputs.member_sources, row);
        let context = self.grouping.enter(cx.scope, &rows, 0, member);
        self.moves.push(Move { context, member: token, enters: true });
        touched.push(context);
    }

    fn leave(&mut self, scope: Scope, token: u32, touched: &mut Vec<u32>) {
        let context = self.grouping.leave(scope, token);
        self.moves.push(Move { context, member: token, enters: false });
        touched.push(context);
    }

    /// Drops what hangs at a dead outer token.
    fn close(&mut self, scope: Scope, outer: u32, out: &mut Tokens) {
        let mut child = *self.children.get(outer);
        while child != NONE {
            let next = out.next_sibling(child);
            self.tokens.set(scope, out.entry(child), NONE);
            out.kill(scope, child);
            child = next;
        }
        self.children.set(scope, outer, NONE);
        if !self.grouping.keyed() {
            let context = *self.opened.get(outer);
            self.opened.set(scope, outer, NONE);
            self.grouping.close(scope, context);
        }
    }

    /// Computes a context's result and makes, updates or kills its token.
    fn settle(
        &mut self,
        cx: &mut Context<'_>,
        inputs: &Inputs<'_>,
        context: u32,
        out: &mut Tokens,
    ) -> Result<(), AggregateError> {
        let scope = cx.scope;
        self.tokens.reach(scope, context, &NONE);
        let outer = self.grouping.outer(context);
        if !inputs.outer.is_live(outer) {
            return Ok(());
        }
        let refreshed = self.grouping.refresh(scope, context)?;
        let token = *self.tokens.get(context);
        let shown = refreshed.present
            && (if refreshed.changed || token == NONE {
                self.having(cx, inputs, context, outer)
            } else {
                true
            });
        match (shown, token) {
            (true, NONE) => {
                let token = out.add(scope, outer, context, inputs.outer.row(outer), Some(context));
                out.link_sibling(scope, token, &mut self.children, outer);
                self.tokens.set(scope, context, token);
            }
            (true, token) if refreshed.changed => out.mark_updated(token),
            (false, token) if token != NONE => self.drop_token(scope, token, out),
            _ => {}
        }
        Ok(())
    }

    fn drop_token(&mut self, scope: Scope, token: u32, out: &mut Tokens) {
        self.tokens.set(scope, out.entry(token), NONE);
        out.unlink_sibling(scope, token, &mut self.children);
        out.kill(scope, token);
    }

    /// An updated outer tuple updates its groups' tokens; conditions on them are evaluated again.
    fn update_outer(
        &mut self,
        cx: &mut Context<'_>,
        inputs: &Inputs<'_>,
        outer: u32,
        out: &mut Tokens,
    ) {
        let mut child = *self.children.get(outer);
        while child != NONE {
            let next = out.next_sibling(child);
            let context = out.entry(child);
            if self.plan.having.is_empty() || self.having(cx, inputs, context, outer) {
                out.mark_updated(child);
            } else {
                self.drop_token(cx.scope, child, out);
            }
            child = next;
        }
        if self.plan.having.is_empty() {
            return;
        }
        for context in self.grouping.contexts_of(outer) {
            let hidden = *self.tokens.get(context) == NONE && self.grouping.is_shown(context);
            if hidden && self.having(cx, inputs, context, outer) {
                let row = inputs.outer.row(outer);
                let token = out.add(cx.scope, outer, context, row, Some(context));
                out.link_sibling(cx.scope, token, &mut self.children, outer);
                self.tokens.set(cx.scope, context, token);
            }
        }
    }

    fn having(&self, cx: &mut Context<'_>, inputs: &Inputs<'_>, context: u32, outer: u32) -> bool {
        if self.plan.having.is_empty() {
            return true;
        }
        let mut row = inputs.outer.row(outer).to_vec();
        row.push(context);
        let mut sources = Sources::new();
        cx.left_sources.iter().for_each(|source| sources.push(*source));
        sources.push(self.grouping.results());
        let rows = Rows::new(sources.as_slice(), &row);
        cx.buffers.answers.all(self.plan.having.iter(), &rows);
        cx.buffers.answers.passed[0]
    }

    /// Highest sequence number of this flush's operations that touched a member of a group whose
    /// value differs from the one at the start of the flush.
    pub(crate) fn trigger(&mut self, cx: &TriggerContext<'_>, context: u32) -> Option<Seq> {
        let start = self.context_at_start(cx, context);
        if !self.grouping.differs(start, context) {
            return None;
        }
        if self.triggers.is_none() {
            self.triggers = Some(self.all_triggers(cx.store, cx.ops, cx.members));
        }
        let triggers = self.triggers.as_ref()?;
        let of = |context| triggers.get(&context).copied();
        of(context).max(of(start))
    }

    /// The context that stood for the same group when the flush began: another one if a cascade took
    /// its outer tuple away and a later round brought it back.
    fn context_at_start(&mut self, cx: &TriggerContext<'_>, context: u32) -> u32 {
        let outer = self.grouping.outer(context);
        if !cx.cascaded || !cx.outer.is_new(outer) {
            return context;
        }
        let gone = self.gone.take().unwrap_or_else(|| {
            let changed = self.grouping.changed().into_iter();
            let dead = changed.filter(|&context| !cx.outer.is_live(self.grouping.outer(context)));
            dead.map(|context| (self.identity(cx, context), context)).collect()
        });
        let found = gone.get(&self.identity(cx, context)).copied();
        self.gone = Some(gone);
        found.unwrap_or(context)
    }

    fn identity(&self, cx: &TriggerContext<'_>, context: u32) -> Identity {
        let mut key = Vec::new();
        self.grouping.key_bytes(context, &mut key);
        ((cx.identity)(self.grouping.outer(context)), key)
    }

    /// By context, the highest operation on a tuple that is a member now or was one before the flush.
    fn all_triggers(&self, store: &Store, ops: Ops<'_>, members: &Tokens) -> BTreeMap<u32, Seq> {
        let mut triggers = BTreeMap::new();
        let mut entered = BTreeSet::new();
        for &Move { context, member, enters } in &self.moves {
            let counts = if enters {
                entered.insert((context, member));
                self.grouping.context_of(member) == context
            } else {
                !entered.contains(&(context, member))
            };
            if !counts {
                continue;
            }
            let slots = members.row(member).iter().skip(self.plan.outer_width);
            for (&slot, &(kind, reads)) in slots.zip(&self.plan.element_reads) {
                if let Some(seq) = store.touched(ops, kind, slot, reads) {
                    let trigger = triggers.entry(context).or_insert(seq);
                    *trigger = seq.max(*trigger);
                }
            }
        }
        triggers
    }

    pub(crate) fn end_flush(&mut self, scope: Scope) {
        self.moves.clear();
        self.triggers = None;
        self.gone = None;
        self.grouping.end_flush(scope);
    }
}
