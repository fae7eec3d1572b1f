//! The typed state of one group node: contexts, their states and results, and what each member
//! contributed.

use std::any::Any;
use std::hash::Hash;
use std::hint::black_box;
use std::sync::Arc;

use serde::Serialize;

use super::grouping::{GroupTable, Grouping, InputOf, KeyOf, Member, Refreshed};
use super::states::States;
use super::{Aggregate, AggregateError, Group};
use crate::chains::{Chains, NONE};
use crate::key;
use crate::rows::Rows;
use crate::trail::{Column, Scope, Trailed};

/// How a group node computes: the parts of a rule's definition that contexts use.
pub(super) struct Functions<K, F: Aggregate> {
    pub(super) key_of: KeyOf<K>,
    pub(super) function: F,
    pub(super) input_of: InputOf<F::Input>,
    /// Whether groups have a key.
    pub(super) keyed: bool,
}

impl<K, F: Aggregate> Clone for Functions<K, F> {
    fn clone(&self) -> Self {
        Self {
            key_of: Arc::clone(&self.key_of),
            function: self.function.clone(),
            input_of: Arc::clone(&self.input_of),
            keyed: self.keyed,
        }
    }
}

/// What a member has put into its group.
#[derive(Clone)]
struct Contribution<I> {
    context: u32,
    facts: Box<[u64]>,
    input: I,
}

/// The result that a context had when the flush began.
#[derive(Clone)]
struct Start<O> {
    context: u32,
    output: Option<O>,
}

/// The typed state of a group node.
pub(super) struct Contexts<S: 'static, K, F: Aggregate> {
    functions: Functions<K, F>,
    keys: Column<Option<K>>,
    outers: Column<u32>,
    counts: Column<u32>,
    states: States<F>,
    /// Whether the function has an output; a result that vanished is kept until the flush ends.
    shown: Column<bool>,
    table: GroupTable<Group<S, K, F::Output>>,
    /// Contexts by outer tuple and key, if groups have one.
    lookup: Chains,
    /// Contexts by outer tuple, if somebody asks for them.
    by_outer: Option<Chains>,
    free: Column<u32>,
    contributions: Column<Option<Contribution<F::Input>>>,
    /// Scratch of the current flush: results at its start (and by context its place in them, plus
    /// one), and contexts dropped in it.
    start: Vec<Start<F::Output>>,
    start_of: Vec<u32>,
    closed: Vec<u32>,
}

impl<S, K, F> Contexts<S, K, F>
where
    K: Hash + Eq + Clone,
    F: Aggregate,
{
    pub(super) fn new(functions: Functions<K, F>) -> Self {
        Self {
            states: States::new(functions.function.clone()),
            functions,
            keys: Column::default(),
            outers: Column::default(),
            counts: Column::default(),
            shown: Column::default(),
            table: GroupTable { results: Column::default() },
            lookup: Chains::default(),
            by_outer: None,
            free: Column::default(),
            contributions: Column::default(),
            start: Vec::new(),
            start_of: Vec::new(),
            closed: Vec::new(),
        }
    }

    fn code(outer: u32, key: &K) -> u64 {
        key::combine(u64::from(outer), key::code_of(key))
    }

    fn is(&self, context: u32, outer: u32, key: &K) -> bool {
        *self.outers.get(context) == outer && self.keys.get(context).as_ref() == Some(key)
    }

    /// The context of this outer tuple and key, which is made if there is none.
    fn of_key(&mut self, scope: Scope, outer: u32, key: K) -> u32 {
        let code = Self::code(outer, &key);
        let found = self.lookup.members(code).find(|&context| self.is(context, outer, &key));
        found.unwrap_or_else(|| {
            let context = self.create(scope, outer, key);
            self.lookup.link(scope, context, code);
            context
        })
    }

    fn create(&mut self, scope: Scope, outer: u32, key: K) -> u32 {
        let context = if let Some(context) = self.free.pop(scope) {
            self.keys.set(scope, context, Some(key));
            self.outers.set(scope, context, outer);
            self.counts.set(scope, context, 0);
            self.states.renew(scope, context);
            self.shown.set(scope, context, false);
            context
        } else {
            self.keys.push(scope, Some(key));
            self.outers.push(scope, outer);
            self.counts.push(scope, 0);
            self.states.push(scope);
            self.shown.push(scope, false);
            self.table.results.push(scope, None);
            self.keys.len() - 1
        };
        if let Some(by_outer) = &mut self.by_outer {
            by_outer.link(scope, context, u64::from(outer));
        }
        context
    }

    /// Takes a context out of the indexes; it is free when the flush ends.
    fn retire(&mut self, scope: Scope, context: u32) {
        if self.functions.keyed {
            self.lookup.unlink(scope, context);
        }
        if let Some(by_outer) = &mut self.by_outer {
            by_outer.unlink(scope, context);
        }
        self.closed.push(context);
    }

    /// Remembers the result that a context had when the flush began.
    #[inline]
    fn note_start(&mut self, context: u32) {
        let at = context as usize;
        if self.start_of.len() <= at {
            self.start_of.resize(at + 1, 0);
        }
        if self.start_of[at] == 0 {
            let group = self.table.results.get(context).as_ref();
            let output = group.map(|group| group.value.clone());
            self.start.push(Start { context, output });
            self.start_of[at] = u32::try_from(self.start.len()).expect("fewer than 2³² groups");
        }
    }

    fn count(&mut self, scope: Scope, context: u32, count: impl FnOnce(u32) -> u32) {
        self.counts.set(scope, context, count(*self.counts.get(context)));
    }

    /// As [`Grouping::alter`].
    #[expect(clippy::inline_always, reason = "it is most of what its two callers do")]
    #[inline(always)]
    fn alter_contribution(
        &mut self,
        scope: Scope,
        rows: &Rows<'_>,
        opened: Option<u32>,
        (tuple, outer): (u32, u32),
    ) -> Option<u32> {
        let old = self.contributions.get(tuple).as_ref().expect("members have entered");
        let context = old.context;
        let stays = match opened {
            Some(opened) => opened == context,
            None => self.is(context, outer, &(self.functions.key_of)(rows, 0)),
        };
        if !stays {
            return None;
        }
        let input = (self.functions.input_of)(rows, 0);
        self.states.leave(scope, context, &old.facts, &old.input);
        self.states.enter(scope, context, &old.facts, &input);
        self.contributions.change(scope, tuple, |contribution| {
            contribution.as_mut().expect("just seen").input = input;
        });
        Some(context)
    }

    /// Puts what a tuple contributes into a context.
    fn put(&mut self, scope: Scope, context: u32, input: F::Input, member: Member<'_>) {
        self.note_start(context);
        self.states.enter(scope, context, member.facts, &input);
        self.count(scope, context, |count| count + 1);
        let contribution = Contribution { context, facts: member.facts.into(), input };
        self.contributions.reach(scope, member.tuple, &None);
        self.contributions.set(scope, member.tuple, Some(contribution));
    }
}

impl<S, K, F> Contexts<S, K, F>
where
    S: 'static,
    K: Clone,
    F: Aggregate,
{
    /// Notes the result that a context has now; says whether there is one, and whether it is another one than before.
    #[inline]
    fn show(&mut self, scope: Scope, context: u32, output: Option<F::Output>) -> Refreshed {
        let old = self.table.results.get(context).as_ref().map(|group| &group.value);
        let changed = !same(old, output.as_ref());
        let present = output.is_some();
        if present != *self.shown.get(context) {
            self.shown.set(scope, context, present);
        }
        // A result that vanishes stays readable until the flush ends: its rows are still named. One
        // that is equal to the old one may be another one to the bit, such as a negative zero.
        if let Some(value) = output {
            if old.is_some() && !scope.is_open() {
                self.table.results.change(scope, context, |group| {
                    group.as_mut().expect("just seen").value = value;
                });
            } else {
                let key = self.keys.get(context).clone().expect("contexts in use have a key");
                self.table.results.set(scope, context, Some(Group::new(key, value)));
            }
        }
        Refreshed { present, changed }
    }
}

impl<S, K, F> Grouping for Contexts<S, K, F>
where
    S: 'static,
    K: Hash + Eq + Clone + Serialize + Send + 'static,
    F: Aggregate,
{
    fn clone_box(&self) -> Box<dyn Grouping> {
        Box::new(self.clone())
    }

    fn results(&self) -> &dyn Any {
        &self.table
    }

    fn keyed(&self) -> bool {
        self.functions.keyed
    }

    fn uses_members(&self) -> bool {
        F::USES_MEMBERS
    }

    fn index_outers(&mut self) {
        self.by_outer = Some(Chains::default());
    }

    fn open(&mut self, scope: Scope, outer: u32) -> u32 {
        let rows = Rows::new(&[], &[]);
        let key = (self.functions.key_of)(&rows, 0);
        let context = self.create(scope, outer, key);
        self.note_start(context);
        context
    }

    fn close(&mut self, scope: Scope, context: u32) {
        self.note_start(context);
        self.retire(scope, context);
    }

    fn enter(
        &mut self,
        scope: Scope,
        rows: &Rows<'_>,
        opened: Option<u32>,
        member: Member<'_>,
    ) -> u32 {
        let input = (self.functions.input_of)(rows, 0);
        let context = opened.unwrap_or_else(|| {
            let key = (self.functions.key_of)(rows, 0);
            self.of_key(scope, member.outer, key)
        });
        self.put(scope, context, input, member);
        context
    }

    fn warm(&self, tuples: &[u32]) {
        for &tuple in tuples.iter().filter(|_| tuples.len() > 1) {
            black_box(self.context_of(tuple));
        }
    }

    fn change(
        &mut self,
        scope: Scope,
        rows: &Rows<'_>,
        opened: Option<u32>,
        member: Member<'_>,
    ) -> (u32, u32) {
        let old = self.contributions.get(member.tuple).as_ref().expect("members have entered");
        let context = old.context;
        let key = opened.is_none().then(|| (self.functions.key_of)(rows, 0));
        let stays = match (&key, opened) {
            (Some(key), _) => self.is(context, member.outer, key),
            (None, opened) => opened == Some(context),
        };
        if stays {
            let input = (self.functions.input_of)(rows, 0);
            self.note_start(context);
            let old = self.contributions.get(member.tuple).as_ref().expect("members have entered");
            self.states.leave(scope, context, &old.facts, &old.input);
            self.states.enter(scope, context, member.facts, &input);
            let contribution = Contribution { context, facts: member.facts.into(), input };
            self.contributions.set(scope, member.tuple, Some(contribution));
            return (context, context);
        }
        self.leave(scope, member.tuple);
        let input = (self.functions.input_of)(rows, 0);
        let entered = match (key, opened) {
            (Some(key), _) => self.of_key(scope, member.outer, key),
            (None, opened) => opened.expect("without a key the context is given"),
        };
        self.put(scope, entered, input, member);
        (context, entered)
    }

    fn alter(
        &mut self,
        scope: Scope,
        rows: &Rows<'_>,
        opened: Option<u32>,
        member: (u32, u32),
    ) -> Option<u32> {
        self.alter_contribution(scope, rows, opened, member)
    }

    fn renew(
        &mut self,
        scope: Scope,
        rows: &Rows<'_>,
        opened: Option<u32>,
        member: (u32, u32),
    ) -> Result<Option<(u32, Refreshed)>, AggregateError> {
        let altered = self.alter_contribution(scope, rows, opened, member);
        let Some(context) = altered else { return Ok(None) };
        let output = self.states.output(context)?;
        if output.is_none() {
            // It stays readable until the flush ends, which somebody must remember.
            self.note_start(context);
        }
        Ok(Some((context, self.show(scope, context, output))))
    }

    fn leave(&mut self, scope: Scope, tuple: u32) -> u32 {
        let contribution = self.contributions.get(tuple).as_ref().expect("members have entered");
        let context = contribution.context;
        self.note_start(context);
        let contribution = self.contributions.get(tuple).as_ref().expect("members have entered");
        self.states.leave(scope, context, &contribution.facts, &contribution.input);
        self.count(scope, context, |count| count - 1);
        self.contributions.set(scope, tuple, None);
        context
    }

    fn context_of(&self, tuple: u32) -> u32 {
        let contributions = self.contributions.as_slice();
        let contribution = contributions.get(tuple as usize).and_then(Option::as_ref);
        contribution.map_or(NONE, |contribution| contribution.context)
    }

    fn outer(&self, context: u32) -> u32 {
        *self.outers.get(context)
    }

    fn contexts_of(&self, outer: u32) -> Vec<u32> {
        let by_outer = self.by_outer.as_ref().expect("the index was asked for");
        by_outer.members(u64::from(outer)).collect()
    }

    fn contexts(&self) -> Vec<u32> {
        (0..self.keys.len()).filter(|&context| self.keys.get(context).is_some()).collect()
    }

    fn is_shown(&self, context: u32) -> bool {
        *self.shown.get(context)
    }

    fn refresh(&mut self, scope: Scope, context: u32) -> Result<Refreshed, AggregateError> {
        let is_empty_group = self.functions.keyed && *self.counts.get(context) == 0;
        let output = if is_empty_group { None } else { self.states.output(context)? };
        if output.is_none() {
            // As above, if nobody has done so.
            self.note_start(context);
        }
        Ok(self.show(scope, context, output))
    }

    fn changed(&self) -> Vec<u32> {
        self.start.iter().map(|start| start.context).collect()
    }

    fn differs(&self, start: u32, context: u32) -> bool {
        let now = self.table.results.get(context).as_ref().filter(|_| *self.shown.get(context));
        let now = now.map(|group| &group.value);
        match self.start_of.get(start as usize) {
            Some(&place) if place > 0 => !same(self.start[place as usize - 1].output.as_ref(), now),
            _ => start != context,
        }
    }

    fn key_bytes(&self, context: u32, bytes: &mut Vec<u8>) {
        let key = self.keys.get(context).as_ref().expect("contexts in use have a key");
        steadfast_wm::codec::v1::append_postcard(key, bytes)
            .expect("keys of groups serialize: they are plain data");
    }

    fn result_bytes(&self, context: u32, bytes: &mut Vec<u8>) {
        if let Some(group) = self.table.results.get(context) {
            append_output(&group.value, bytes);
        }
    }

    fn abandon(&mut self) {
        (self.start, self.start_of, self.closed) = (Vec::new(), Vec::new(), Vec::new());
    }

    fn is_torn(&self) -> bool {
        self.states.is_torn()
    }

    fn end_flush(&mut self, scope: Scope) {
        for at in 0..self.start.len() {
            let context = self.start[at].context;
            self.start_of[context as usize] = 0;
            if !*self.shown.get(context) && self.table.results.get(context).is_some() {
                self.table.results.set(scope, context, None);
            }
            if self.functions.keyed && *self.counts.get(context) == 0 {
                self.retire(scope, context);
            }
        }
        self.start.clear();
        for at in 0..self.closed.len() {
            let context = self.closed[at];
            self.keys.set(scope, context, None);
            self.states.renew(scope, context);
            self.table.results.set(scope, context, None);
            self.free.push(scope, context);
        }
        self.closed.clear();
    }
}

fn append_output<O: Serialize>(output: &O, bytes: &mut Vec<u8>) {
    steadfast_wm::codec::v1::append_postcard(output, bytes)
        .expect("results of groups serialize: they are plain data");
}

/// Whether two results are one and the same. What is unequal to itself, as NaN is, is compared to the
/// bit.
#[expect(clippy::eq_op, reason = "it asks what is not equal to itself")]
fn same<O: PartialEq + Serialize>(a: Option<&O>, b: Option<&O>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => a == b || (a != a && b != b && same_bytes(a, b)),
        (a, b) => a.is_none() && b.is_none(),
    }
}

#[cold]
fn same_bytes<O: Serialize>(a: &O, b: &O) -> bool {
    let (mut of_a, mut of_b) = (Vec::new(), Vec::new());
    append_output(a, &mut of_a);
    append_output(b, &mut of_b);
    of_a == of_b
}

impl<S: 'static, K: Clone, F: Aggregate> Clone for Contexts<S, K, F> {
    fn clone(&self) -> Self {
        Self {
            functions: self.functions.clone(),
            keys: self.keys.clone(),
            outers: self.outers.clone(),
            counts: self.counts.clone(),
            states: self.states.clone(),
            shown: self.shown.clone(),
            table: GroupTable { results: self.table.results.clone() },
            lookup: self.lookup.clone(),
            by_outer: self.by_outer.clone(),
            free: self.free.clone(),
            contributions: self.contributions.clone(),
            start: self.start.clone(),
            start_of: self.start_of.clone(),
            closed: self.closed.clone(),
        }
    }
}

impl<S, K, F: Aggregate> Contexts<S, K, F> {
    /// Everything that is trailed.
    fn parts(&mut self) -> [&mut dyn Trailed; 9] {
        let Self {
            keys, outers, counts, states, shown, table, lookup, free, contributions, ..
        } = self;
        [keys, outers, counts, states, shown, &mut table.results, lookup, free, contributions]
    }
}

impl<S, K, F: Aggregate> Trailed for Contexts<S, K, F> {
    fn undo(&mut self, scope: Scope) {
        self.parts().into_iter().for_each(|part| part.undo(scope));
        self.by_outer.iter_mut().for_each(|index| index.undo(scope));
    }

    fn forget(&mut self) {
        self.parts().into_iter().for_each(Trailed::forget);
        self.by_outer.iter_mut().for_each(Trailed::forget);
    }

    fn trail_bytes(&self) -> usize {
        let Self {
            keys, outers, counts, states, shown, table, lookup, free, contributions, ..
        } = self;
        let parts: [&dyn Trailed; 9] =
            [keys, outers, counts, states, shown, &table.results, lookup, free, contributions];
        let bytes: usize = parts.into_iter().map(Trailed::trail_bytes).sum();
        bytes + self.by_outer.as_ref().map_or(0, Trailed::trail_bytes)
    }
}
