//! What a group node is to the network: a grouping behind its types, and the table of its results.

use std::any::Any;
use std::fmt;
use std::hash::Hash;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::contexts::{Contexts, Functions};
use super::{Aggregate, AggregateError};
use crate::rows::Rows;
use crate::trail::{Column, Scope, Trailed};

/// How tuples are grouped and what is computed over each group; part of a rule's definition.
#[derive(Clone)]
pub struct GroupSpec {
    create: Arc<dyn Fn() -> Box<dyn Grouping> + Send + Sync>,
    rescans: bool,
}

pub(super) type KeyOf<K> = Arc<dyn Fn(&Rows<'_>, usize) -> K + Send + Sync>;
pub(super) type InputOf<I> = Arc<dyn Fn(&Rows<'_>, usize) -> I + Send + Sync>;

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
        let functions = Functions { key_of: key, function, input_of: input, keyed };
        let create =
            move || Box::new(Contexts::<S, K, F>::new(functions.clone())) as Box<dyn Grouping>;
        Self { create: Arc::new(create), rescans: F::RESCANS }
    }

    /// Whether a change of one member costs a look at all of its group ([`Aggregate::RESCANS`]).
    pub fn rescans(&self) -> bool {
        self.rescans
    }

    pub(crate) fn create(&self) -> Box<dyn Grouping> {
        (self.create)()
    }
}

impl fmt::Debug for GroupSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.rescans { "GroupSpec(rescan)" } else { "GroupSpec" })
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
    /// Makes [`Grouping::contexts_of`] possible; there are no contexts yet.
    fn index_outers(&mut self);
    /// Opens the keyless context of an outer tuple.
    fn open(&mut self, scope: Scope, outer: u32) -> u32;
    /// Drops a context; its result stays readable until [`Grouping::end_flush`].
    fn close(&mut self, scope: Scope, context: u32);
    /// Adds the tuple in the one row to the context that was opened for it, or to that of its key;
    /// gives the context.
    fn enter(
        &mut self,
        scope: Scope,
        rows: &Rows<'_>,
        opened: Option<u32>,
        member: Member<'_>,
    ) -> u32;
    /// Has what a few tuples contribute [near](Column::warm).
    fn warm(&self, tuples: &[u32]);
    /// As leaving and entering again; gives the context that it was in and the one that it is in.
    fn change(
        &mut self,
        scope: Scope,
        rows: &Rows<'_>,
        opened: Option<u32>,
        member: Member<'_>,
    ) -> (u32, u32);
    /// As [`Grouping::change`] of a tuple, given with its outer one, if it stays in its context, which is given; else
    /// nothing is done. Nothing is remembered of the context.
    fn alter(
        &mut self,
        scope: Scope,
        rows: &Rows<'_>,
        opened: Option<u32>,
        member: (u32, u32),
    ) -> Option<u32>;
    /// As [`Grouping::alter`] and [`Grouping::refresh`]. Unless the context has no result any more, nothing is remembered of it: whoever
    /// calls does nothing else in the flush.
    fn renew(
        &mut self,
        scope: Scope,
        rows: &Rows<'_>,
        opened: Option<u32>,
        member: (u32, u32),
    ) -> Result<Option<(u32, Refreshed)>, AggregateError>;
    /// Takes a tuple away; gives the context that it was in.
    fn leave(&mut self, scope: Scope, tuple: u32) -> u32;
    fn context_of(&self, tuple: u32) -> u32;
    fn outer(&self, context: u32) -> u32;
    /// Forgets what a flush remembers that did not come to its end; what it has written is to be undone.
    fn abandon(&mut self);
    /// Whether the function panicked while it changed a state in a scope: it cannot be put back then.
    fn is_torn(&self) -> bool;
    /// All contexts of an outer tuple, in no particular order; for those who said
    /// [`Grouping::index_outers`].
    fn contexts_of(&self, outer: u32) -> Vec<u32>;
    /// All contexts in use.
    fn contexts(&self) -> Vec<u32>;
    /// Whether the function has an output.
    fn is_shown(&self, context: u32) -> bool;
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
    pub(super) results: Column<Option<G>>,
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
