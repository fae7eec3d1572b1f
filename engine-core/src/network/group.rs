//! Groups: one token per group of member tuples, with an accumulated value.

pub(crate) mod regroup;
mod scratch;

use std::collections::BTreeMap;
use std::sync::Arc;

use steadfast_wm::{Member, Seq};

use scratch::{Marked, Moves, Triggers};

use crate::aggregate::{AggregateError, Grouping, Member as GroupMember};
use crate::chains::{ABREAST, NONE};
use crate::fact::FieldMask;
use crate::ir::Test;
use crate::network::context::Context;
use crate::network::inputs::Inputs;
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
    /// Whether a window decides which facts are in the memory of one of its elements.
    pub(crate) slides: bool,
}

/// A group node.
pub(crate) struct Group {
    pub(crate) plan: Arc<GroupPlan>,
    pub(crate) grouping: Box<dyn Grouping>,
    /// Whether groups have a key.
    keyed: bool,
    /// By outer token: the head of its groups' tokens, and its context if groups have no key.
    children: Column<u32>,
    opened: Column<u32>,
    /// By context: its token, or `NONE`.
    tokens: Column<u32>,
    /// Scratch of the round: contexts whose members changed.
    touched: Marked,
    /// Scratch of the current flush.
    moves: Moves,
    triggers: Triggers,
    gone: Option<BTreeMap<Identity, u32>>,
    row: Vec<u32>,
    /// Scratch of a flush in which nothing happens but that a member stays in its group, and this has a result:
    /// whether it is another one. Nothing else is to be remembered then.
    pub(super) renewed: Option<bool>,
}

/// Members of the outer tuple, and the key.
type Identity = (Vec<Member>, Vec<u8>);

impl Clone for Group {
    fn clone(&self) -> Self {
        Self {
            plan: Arc::clone(&self.plan),
            grouping: self.grouping.clone_box(),
            keyed: self.keyed,
            children: self.children.clone(),
            opened: self.opened.clone(),
            tokens: self.tokens.clone(),
            touched: self.touched.clone(),
            moves: self.moves.clone(),
            triggers: self.triggers.clone(),
            gone: self.gone.clone(),
            row: self.row.clone(),
            renewed: self.renewed,
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
    fn trail_bytes(&self) -> usize {
        self.grouping.trail_bytes()
            + self.children.trail_bytes()
            + self.opened.trail_bytes()
            + self.tokens.trail_bytes()
    }
}

/// What becomes of the token of a context.
pub(super) enum Verdict {
    /// It comes, at this outer token.
    Comes(u32),
    /// It stays, with another result.
    Changes(u32),
    Goes(u32),
    /// It is as it was, or there is none.
    Remains,
}

/// What the trigger of a group is computed from.
pub(crate) struct TriggerContext<'a> {
    pub(crate) store: &'a Store,
    pub(crate) ops: &'a Ops<'a>,
    pub(crate) members: &'a Tokens,
    pub(crate) outer: &'a Tokens,
    /// Whether the flush had more than one round.
    pub(crate) cascaded: bool,
    /// The members of an outer token, live or dead.
    pub(crate) identity: &'a dyn Fn(u32) -> Vec<Member>,
}

impl Group {
    pub(crate) fn new(plan: GroupPlan, mut grouping: Box<dyn Grouping>) -> Self {
        // Only an updated outer tuple asks for its groups, for the sake of conditions on them.
        if grouping.keyed() && plan.outer_level.is_some() && !plan.having.is_empty() {
            grouping.index_outers();
        }
        Self {
            plan: Arc::new(plan),
            keyed: grouping.keyed(),
            grouping,
            children: Column::default(),
            opened: Column::default(),
            tokens: Column::default(),
            touched: Marked::default(),
            moves: Moves::default(),
            triggers: Triggers::default(),
            gone: None,
            row: Vec::new(),
            renewed: None,
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
        for &token in &inputs.members.deleted {
            let context = self.grouping.leave(scope, token);
            self.moves.note(token, context);
            self.touched.add(context);
        }
        for (at, &token) in inputs.members.updated.iter().enumerate() {
            if at % ABREAST == 0 {
                let updated = &inputs.members.updated;
                self.grouping.warm(&updated[at..updated.len().min(at + ABREAST)]);
            }
            if inputs.members.is_live(token) {
                let (left, entered) = self.change(cx, inputs, token);
                self.moves.note(token, left);
                self.touched.add(left);
                self.touched.add(entered);
            }
        }
        for &token in &inputs.outer.deleted {
            self.close(scope, token, out);
        }
        for &token in inputs.outer.inserted() {
            self.children.reach(scope, token, &NONE);
            self.children.set(scope, token, NONE);
            if !self.keyed {
                let context = self.grouping.open(scope, token);
                self.opened.reach(scope, token, &NONE);
                self.opened.set(scope, token, context);
                self.touched.add(context);
            }
        }
        for &token in inputs.members.inserted() {
            let context = self.enter(cx, inputs, token);
            self.moves.note(token, NONE);
            self.touched.add(context);
        }
        for at in 0..self.touched.list.len() {
            self.settle(cx, inputs, self.touched.list[at], out)?;
        }
        self.touched.clear();
        for &token in &inputs.outer.updated {
            if inputs.outer.is_live(token) {
                self.update_outer(cx, inputs, token, out);
            }
        }
        Ok(())
    }

    pub(super) fn enter(&mut self, cx: &mut Context<'_>, inputs: &Inputs<'_>, token: u32) -> u32 {
        let row = inputs.members.row(token);
        let outer = (inputs.outer_of)(token);
        let facts = self.facts(cx.store, row);
        let member = GroupMember { tuple: token, outer, facts: &facts };
        let rows = Rows::new(inputs.member_sources, row);
        let opened = self.opened_for(outer);
        self.grouping.enter(cx.scope, &rows, opened, member)
    }

    /// Gives the context that a member was in, and the one that it is in.
    pub(super) fn change(
        &mut self,
        cx: &mut Context<'_>,
        inputs: &Inputs<'_>,
        token: u32,
    ) -> (u32, u32) {
        let row = inputs.members.row(token);
        let outer = (inputs.outer_of)(token);
        let facts = self.facts(cx.store, row);
        let member = GroupMember { tuple: token, outer, facts: &facts };
        let rows = Rows::new(inputs.member_sources, row);
        let opened = self.opened_for(outer);
        self.grouping.change(cx.scope, &rows, opened, member)
    }

    /// Fact ids of a member tuple, if the function uses them.
    fn facts(&self, store: &Store, row: &[u32]) -> Vec<u64> {
        if !self.grouping.uses_members() {
            return Vec::new();
        }
        let elements = row.iter().skip(self.plan.outer_width).zip(&self.plan.element_reads);
        elements.map(|(&slot, &(kind, _))| store.kind(kind).handle(slot).get()).collect()
    }

    /// The context of an outer token, if groups have no key.
    #[inline]
    pub(super) fn opened_for(&self, outer: u32) -> Option<u32> {
        (!self.keyed).then(|| *self.opened.get(outer))
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
        if !self.keyed {
            let context = *self.opened.get(outer);
            self.opened.set(scope, outer, NONE);
            self.grouping.close(scope, context);
        }
    }

    /// Computes a context's result and makes, updates or kills its token.
    pub(super) fn settle(
        &mut self,
        cx: &mut Context<'_>,
        inputs: &Inputs<'_>,
        context: u32,
        out: &mut Tokens,
    ) -> Result<(), AggregateError> {
        match self.judge(cx, inputs, context)? {
            Verdict::Comes(outer) => {
                let row = inputs.outer.row(outer);
                let token = out.add(cx.scope, outer, context, row, Some(context));
                self.hang(cx.scope, token, (outer, context), out);
            }
            Verdict::Changes(token) => out.mark_updated(token),
            Verdict::Goes(token) => self.drop_token(cx.scope, token, out),
            Verdict::Remains => {}
        }
        Ok(())
    }

    /// Computes a context's result, and what becomes of its token by it.
    pub(super) fn judge(
        &mut self,
        cx: &mut Context<'_>,
        inputs: &Inputs<'_>,
        context: u32,
    ) -> Result<Verdict, AggregateError> {
        self.tokens.reach(cx.scope, context, &NONE);
        let outer = self.grouping.outer(context);
        if !inputs.outer.is_live(outer) {
            return Ok(Verdict::Remains);
        }
        let refreshed = self.grouping.refresh(cx.scope, context)?;
        let shown = refreshed.present && self.having(cx, inputs, context, outer);
        Ok(self.verdict((context, outer), shown, refreshed.changed))
    }

    /// What becomes of the token of a context that is shown from now on, or not, with another result or the same.
    #[inline]
    pub(super) fn verdict(
        &self,
        (context, outer): (u32, u32),
        shown: bool,
        changed: bool,
    ) -> Verdict {
        let token = self.tokens.as_slice().get(context as usize).copied().unwrap_or(NONE);
        match (shown, token) {
            (true, NONE) => Verdict::Comes(outer),
            (true, token) if changed => Verdict::Changes(token),
            (false, token) if token != NONE => Verdict::Goes(token),
            _ => Verdict::Remains,
        }
    }

    /// Links a new token of a context.
    pub(super) fn hang(
        &mut self,
        scope: Scope,
        token: u32,
        (outer, context): (u32, u32),
        out: &mut Tokens,
    ) {
        out.link_sibling(scope, token, &mut self.children, outer);
        self.tokens.set(scope, context, token);
    }

    /// Unlinks the token of a context.
    pub(super) fn unhang(&mut self, scope: Scope, token: u32, out: &mut Tokens) {
        self.tokens.set(scope, out.entry(token), NONE);
        out.unlink_sibling(scope, token, &mut self.children);
    }

    fn drop_token(&mut self, scope: Scope, token: u32, out: &mut Tokens) {
        self.unhang(scope, token, out);
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
        let contexts = match self.opened_for(outer) {
            Some(context) => vec![context],
            None => self.grouping.contexts_of(outer),
        };
        for context in contexts {
            let hidden = *self.tokens.get(context) == NONE && self.grouping.is_shown(context);
            if hidden && self.having(cx, inputs, context, outer) {
                let row = inputs.outer.row(outer);
                let token = out.add(cx.scope, outer, context, row, Some(context));
                self.hang(cx.scope, token, (outer, context), out);
            }
        }
    }

    #[inline]
    fn having(
        &mut self,
        cx: &mut Context<'_>,
        inputs: &Inputs<'_>,
        context: u32,
        outer: u32,
    ) -> bool {
        self.plan.having.is_empty() || self.has(cx, inputs, context, outer)
    }

    #[inline(never)] // most groups have no conditions
    fn has(&mut self, cx: &mut Context<'_>, inputs: &Inputs<'_>, context: u32, outer: u32) -> bool {
        self.row.clear();
        self.row.extend_from_slice(inputs.outer.row(outer));
        self.row.push(context);
        let mut sources = Sources::new();
        cx.left_sources.iter().for_each(|source| sources.push(*source));
        sources.push(self.grouping.results());
        let rows = Rows::new(sources.as_slice(), &self.row);
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
        if !self.triggers.computed {
            self.compute_triggers(cx.store, cx.ops, cx.members);
        }
        let touched = self.triggers.get(context).max(self.triggers.get(start));
        // A member that slid in or out was not touched itself.
        let slid = || cx.ops.last_seq().filter(|_| self.plan.slides);
        touched.or_else(slid)
    }

    /// Highest sequence number of this flush's operations that touched a member of a group, before or
    /// after, whose value at the flush's end is another one than at its start.
    ///
    /// `context` stands for the group in a tuple that is gone, and `whose` is the outer tuple.
    pub(crate) fn closing_trigger(
        &mut self,
        cx: &TriggerContext<'_>,
        context: u32,
        whose: Vec<Member>,
    ) -> Option<Seq> {
        let lives = |context: &u32| cx.outer.is_live(self.grouping.outer(*context));
        let (start, end) = if cx.cascaded {
            // Several contexts may have stood for it in turn.
            let mut key = Vec::new();
            self.grouping.key_bytes(context, &mut key);
            let group = (whose, key);
            let mut all = self.grouping.changed();
            all.retain(|&context| self.identity(cx, context) == group);
            let was = |context: &u32| !cx.outer.is_new(self.grouping.outer(*context));
            let start = all.iter().copied().find(was).unwrap_or(context);
            (start, all.into_iter().chain([context]).find(lives))
        } else {
            (context, Some(context).filter(lives))
        };
        if end.is_some_and(|end| !self.grouping.differs(start, end)) {
            return None;
        }
        if !self.triggers.computed {
            self.compute_triggers(cx.store, cx.ops, cx.members);
        }
        let touched = end.and_then(|end| self.triggers.get(end)).max(self.triggers.get(start));
        let slid = || cx.ops.last_seq().filter(|_| self.plan.slides);
        touched.or_else(slid)
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

    fn compute_triggers(&mut self, store: &Store, ops: &Ops<'_>, members: &Tokens) {
        self.triggers.computed = true;
        for &(member, start) in &self.moves.list {
            let slots = members.row(member).iter().skip(self.plan.outer_width);
            let reads = slots.zip(&self.plan.element_reads);
            let touched = reads
                .filter_map(|(&slot, &(kind, reads))| store.touched(ops, kind, slot, reads))
                .max();
            let Some(seq) = touched else { continue };
            let context = self.grouping.context_of(member);
            if context != NONE {
                self.triggers.raise(context, seq);
            }
            if start != NONE && start != context {
                self.triggers.raise(start, seq);
            }
        }
    }

    #[inline]
    pub(crate) fn end_flush(&mut self, scope: Scope) {
        if self.renewed.take().is_none() {
            self.forget_flush(scope);
        }
    }

    /// Forgets what a flush remembers that did not come to its end.
    pub(crate) fn abandon(&mut self) {
        self.touched = Marked::default();
        self.moves = Moves::default();
        self.triggers = Triggers::default();
        (self.gone, self.renewed) = (None, None);
        self.grouping.abandon();
    }

    fn forget_flush(&mut self, scope: Scope) {
        self.moves.clear();
        self.triggers.clear();
        self.gone = None;
        self.grouping.end_flush(scope);
    }
}
