//! The contexts of one group node: keys, states, results, and what each member contributed.

use std::any::Any;
use std::fmt;
use std::hash::Hash;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Aggregate, AggregateError, Group};
use crate::chains::{Chains, NONE};
use crate::key;
use crate::rows::Rows;
use crate::trail::{Column, Scope, Trailed};

/// How tuples are grouped and what is computed over each group; part of a rule's definition.
#[derive(Clone)]
pub struct GroupSpec {
    create: Arc<dyn Fn() -> Box<dyn Grouping> + Send + Sync>,
}

type KeyOf<K> = Arc<dyn Fn(&Rows<'_>, usize) -> K + Send + Sync>;
type InputOf<I> = Arc<dyn Fn(&Rows<'_>, usize) -> I + Send + Sync>;

impl GroupSpec {
    /// Groups by a key; an empty group does not exist.
    ///
    /// `key` and `input` get a batch and the number of a row in it.
    pub fn by_key<S, K, F>(
        key: impl Fn(&Rows<'_>, usize) -> K + Send + Sync + 'static,
        function: F,
        input: impl Fn(&Rows<'_>, usize) -> F::Input + Send + Sync + 'static,
    ) -> Self
    where
        S: 'static,
        K: Hash + Eq + Clone + Serialize + DeserializeOwned + Send + 'static,
        F: Aggregate,
    {
        Self::new::<S, K, F>(Arc::new(key), function, Arc::new(input), true)
    }

    /// Accumulates without a key: there is one result per outer tuple, also for no members.
    pub fn over_all<S, F>(
        function: F,
        input: impl Fn(&Rows<'_>, usize) -> F::Input + Send + Sync + 'static,
    ) -> Self
    where
        S: 'static,
        F: Aggregate,
    {
        Self::new::<S, (), F>(Arc::new(|_, _| ()), function, Arc::new(input), false)
    }

    fn new<S, K, F>(key: KeyOf<K>, function: F, input: InputOf<F::Input>, keyed: bool) -> Self
    where
        S: 'static,
        K: Hash + Eq + Clone + Serialize + Send + 'static,
        F: Aggregate,
    {
        let create = move || {
            let (key, input) = (Arc::clone(&key), Arc::clone(&input));
            Box::new(Contexts::<S, K, F>::new(key, function.clone(), input, keyed))
                as Box<dyn Grouping>
        };
        Self { create: Arc::new(create) }
    }

    pub(crate) fn create(&self) -> Box<dyn Grouping> {
        (self.create)()
    }
}

impl fmt::Debug for GroupSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("GroupSpec")
    }
}

/// One member of a group: its tuple and the outer tuple that it belongs to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Member<'a> {
    pub(crate) tuple: u32,
    pub(crate) outer: u32,
    /// Fact ids of the tuple; empty unless the function uses them.
    pub(crate) facts: &'a [u64],
}

/// The state of one group node behind its types.
pub(crate) trait Grouping: Trailed + Send {
    fn clone_box(&self) -> Box<dyn Grouping>;
    /// The [`GroupTable`] that rows refer to.
    fn results(&self) -> &dyn Any;
    /// Whether groups have a key; without one there is a context per outer tuple.
    fn keyed(&self) -> bool;
    fn uses_members(&self) -> bool;
    /// Opens the keyless context of an outer tuple.
    fn open(&mut self, scope: Scope, outer: u32) -> u32;
    /// Drops a context; its result stays readable until [`Grouping::end_flush`].
    fn close(&mut self, scope: Scope, context: u32);
    /// Adds the tuple in one row; gives its context.
    fn enter(&mut self, scope: Scope, rows: &Rows<'_>, row: usize, member: Member<'_>) -> u32;
    /// Takes a tuple away; gives the context that it was in.
    fn leave(&mut self, scope: Scope, tuple: u32) -> u32;
    fn context_of(&self, tuple: u32) -> u32;
    fn outer(&self, context: u32) -> u32;
    /// All contexts of an outer tuple, by a scan: only conditions that depend on an updated outer
    /// tuple need it.
    fn contexts_of(&self, outer: u32) -> Vec<u32>;
    /// All contexts in use.
    fn contexts(&self) -> Vec<u32>;
    /// Whether the function has an output.
    fn is_shown(&self, context: u32) -> bool;
    fn member_count(&self, context: u32) -> u32;
    /// Computes the result anew; says whether there is one and whether it changed.
    fn refresh(&mut self, scope: Scope, context: u32) -> Result<Refreshed, AggregateError>;
    /// Contexts that changed in this flush.
    fn changed(&self) -> Vec<u32>;
    /// Whether the result of `context` differs from the one that `start` had when the flush began.
    fn differs(&self, start: u32, context: u32) -> bool;
    /// Appends the canonical bytes of the group's key.
    fn key_bytes(&self, context: u32, bytes: &mut Vec<u8>);
    /// Appends the bytes of the group's result, for digests.
    fn result_bytes(&self, context: u32, bytes: &mut Vec<u8>);
    /// Contexts freed in this flush may be used again; the start of the next flush is now.
    fn end_flush(&mut self, scope: Scope);
}

/// What [`Grouping::refresh`] found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Refreshed {
    pub(crate) present: bool,
    pub(crate) changed: bool,
}

/// The results of one group node, by context: what rows see.
pub struct GroupTable<G> {
    results: Column<Option<G>>,
}

impl<G> GroupTable<G> {
    #[inline]
    pub(crate) fn value(&self, context: u32) -> &G {
        self.results.get(context).as_ref().expect("only groups with a result are in rows")
    }
}

impl<G> fmt::Debug for GroupTable<G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} groups", self.results.len())
    }
}

#[derive(Clone)]
struct Contribution<I> {
    context: u32,
    facts: Box<[u64]>,
    input: I,
}

/// The typed state of a group node.
struct Contexts<S: 'static, K, F: Aggregate> {
    key_of: KeyOf<K>,
    function: F,
    input_of: InputOf<F::Input>,
    keyed: bool,
    keys: Column<Option<K>>,
    outers: Column<u32>,
    counts: Column<u32>,
    states: Column<F::State>,
    /// Whether the function has an output; a result that vanished is kept until the flush ends.
    shown: Column<bool>,
    table: GroupTable<Group<S, K, F::Output>>,
    lookup: Chains,
    free: Column<u32>,
    contributions: Column<Option<Contribution<F::Input>>>,
    /// Scratch of the current flush: results at its start (and by context its place in them, plus
    /// one), and contexts dropped in it.
    start: Vec<(u32, Option<F::Output>)>,
    start_of: Vec<u32>,
    closed: Vec<u32>,
}

impl<S, K, F> Contexts<S, K, F>
where
    K: Hash + Eq + Clone,
    F: Aggregate,
{
    fn new(key_of: KeyOf<K>, function: F, input_of: InputOf<F::Input>, keyed: bool) -> Self {
        Self {
            key_of,
            function,
            input_of,
            keyed,
            keys: Column::default(),
            outers: Column::default(),
            counts: Column::default(),
            states: Column::default(),
            shown: Column::default(),
            table: GroupTable { results: Column::default() },
            lookup: Chains::default(),
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

    fn find(&self, outer: u32, key: &K) -> Option<u32> {
        self.lookup.members(Self::code(outer, key)).find(|&context| {
            *self.outers.get(context) == outer && self.keys.get(context).as_ref() == Some(key)
        })
    }

    fn create(&mut self, scope: Scope, outer: u32, key: K) -> u32 {
        let code = Self::code(outer, &key);
        let context = if let Some(context) = self.free.pop(scope) {
            self.keys.set(scope, context, Some(key));
            self.outers.set(scope, context, outer);
            self.counts.set(scope, context, 0);
            self.states.set(scope, context, F::State::default());
            self.shown.set(scope, context, false);
            context
        } else {
            self.keys.push(scope, Some(key));
            self.outers.push(scope, outer);
            self.counts.push(scope, 0);
            self.states.push(scope, F::State::default());
            self.shown.push(scope, false);
            self.table.results.push(scope, None);
            self.keys.len() - 1
        };
        self.lookup.link(scope, context, code);
        context
    }

    /// Remembers the result that a context had when the flush began.
    fn note_start(&mut self, context: u32) {
        let at = context as usize;
        if self.start_of.len() <= at {
            self.start_of.resize(at + 1, 0);
        }
        if self.start_of[at] == 0 {
            let value = self.table.results.get(context).as_ref().map(|group| group.value.clone());
            self.start.push((context, value));
            self.start_of[at] = u32::try_from(self.start.len()).expect("fewer than 2³² groups");
        }
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
        self.keyed
    }

    fn uses_members(&self) -> bool {
        F::USES_MEMBERS
    }

    fn open(&mut self, scope: Scope, outer: u32) -> u32 {
        let rows = Rows::new(&[], &[]);
        let key = (self.key_of)(&rows, 0);
        let context = self.create(scope, outer, key);
        self.note_start(context);
        context
    }

    fn close(&mut self, scope: Scope, context: u32) {
        self.note_start(context);
        self.lookup.unlink(scope, context);
        self.closed.push(context);
    }

    fn enter(&mut self, scope: Scope, rows: &Rows<'_>, row: usize, member: Member<'_>) -> u32 {
        let key = (self.key_of)(rows, row);
        let input = (self.input_of)(rows, row);
        let context = match self.find(member.outer, &key) {
            Some(context) => context,
            None => self.create(scope, member.outer, key),
        };
        self.note_start(context);
        let function = &self.function;
        self.states.change(scope, context, |state| function.enter(state, member.facts, &input));
        self.counts.set(scope, context, *self.counts.get(context) + 1);
        let contribution = Contribution { context, facts: member.facts.into(), input };
        self.contributions.reach(scope, member.tuple, &None);
        self.contributions.set(scope, member.tuple, Some(contribution));
        context
    }

    fn leave(&mut self, scope: Scope, tuple: u32) -> u32 {
        let contribution = self.contributions.get(tuple).clone().expect("members have entered");
        self.contributions.set(scope, tuple, None);
        let context = contribution.context;
        self.note_start(context);
        let function = &self.function;
        self.states.change(scope, context, |state| {
            function.leave(state, &contribution.facts, &contribution.input);
        });
        self.counts.set(scope, context, *self.counts.get(context) - 1);
        context
    }

    fn context_of(&self, tuple: u32) -> u32 {
        self.contributions.get(tuple).as_ref().map_or(NONE, |contribution| contribution.context)
    }

    fn outer(&self, context: u32) -> u32 {
        *self.outers.get(context)
    }

    fn contexts_of(&self, outer: u32) -> Vec<u32> {
        let contexts = self.contexts().into_iter();
        contexts.filter(|&context| *self.outers.get(context) == outer).collect()
    }

    fn contexts(&self) -> Vec<u32> {
        (0..self.keys.len()).filter(|&context| self.keys.get(context).is_some()).collect()
    }

    fn is_shown(&self, context: u32) -> bool {
        *self.shown.get(context)
    }

    fn member_count(&self, context: u32) -> u32 {
        *self.counts.get(context)
    }

    fn refresh(&mut self, scope: Scope, context: u32) -> Result<Refreshed, AggregateError> {
        let empty_group = self.keyed && self.member_count(context) == 0;
        let output =
            if empty_group { None } else { self.function.output(self.states.get(context))? };
        let old = self.table.results.get(context).as_ref().map(|group| &group.value);
        let changed = old != output.as_ref();
        let present = output.is_some();
        self.shown.set(scope, context, present);
        // A result that vanishes stays readable until the flush ends: its rows are still named.
        if let (true, Some(value)) = (changed, output) {
            let key = self.keys.get(context).clone().expect("contexts in use have a key");
            self.table.results.set(scope, context, Some(Group::new(key, value)));
        }
        Ok(Refreshed { present, changed })
    }

    fn changed(&self) -> Vec<u32> {
        self.start.iter().map(|(context, _)| *context).collect()
    }

    fn differs(&self, start: u32, context: u32) -> bool {
        let now = self.table.results.get(context).as_ref().filter(|_| *self.shown.get(context));
        let now = now.map(|group| &group.value);
        match self.start_of.get(start as usize) {
            Some(&place) if place > 0 => self.start[place as usize - 1].1.as_ref() != now,
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
            steadfast_wm::codec::v1::append_postcard(&group.value, bytes)
                .expect("results of groups serialize: they are plain data");
        }
    }

    fn end_flush(&mut self, scope: Scope) {
        for at in 0..self.start.len() {
            let context = self.start[at].0;
            self.start_of[context as usize] = 0;
            let empty = self.keyed && self.member_count(context) == 0;
            if !*self.shown.get(context) {
                self.table.results.set(scope, context, None);
            }
            if empty {
                self.lookup.unlink(scope, context);
                self.closed.push(context);
            }
        }
        self.start.clear();
        for context in std::mem::take(&mut self.closed) {
            self.keys.set(scope, context, None);
            self.table.results.set(scope, context, None);
            self.free.push(scope, context);
        }
    }
}

impl<S: 'static, K: Clone, F: Aggregate> Clone for Contexts<S, K, F> {
    fn clone(&self) -> Self {
        Self {
            key_of: Arc::clone(&self.key_of),
            function: self.function.clone(),
            input_of: Arc::clone(&self.input_of),
            keyed: self.keyed,
            keys: self.keys.clone(),
            outers: self.outers.clone(),
            counts: self.counts.clone(),
            states: self.states.clone(),
            shown: self.shown.clone(),
            table: GroupTable { results: self.table.results.clone() },
            lookup: self.lookup.clone(),
            free: self.free.clone(),
            contributions: self.contributions.clone(),
            start: self.start.clone(),
            start_of: self.start_of.clone(),
            closed: self.closed.clone(),
        }
    }
}

impl<S, K, F: Aggregate> Trailed for Contexts<S, K, F> {
    fn undo(&mut self, scope: Scope) {
        let Self { keys, outers, counts, states, shown, table, .. } = self;
        keys.undo(scope);
        outers.undo(scope);
        counts.undo(scope);
        states.undo(scope);
        shown.undo(scope);
        table.results.undo(scope);
        self.lookup.undo(scope);
        self.free.undo(scope);
        self.contributions.undo(scope);
    }

    fn forget(&mut self) {
        let Self { keys, outers, counts, states, shown, table, .. } = self;
        keys.forget();
        outers.forget();
        counts.forget();
        states.forget();
        shown.forget();
        table.results.forget();
        self.lookup.forget();
        self.free.forget();
        self.contributions.forget();
    }
}
