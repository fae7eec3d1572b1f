//! What a consequence sees: its match, and the actions it may take.

use std::any::Any;
use std::fmt;
use std::ops::{Deref, DerefMut};

use crate::aggregate::GroupTable;
use crate::chains::NONE;
use crate::fact::{Fact, Handle};
use crate::stage::Stage;
use crate::store::{Kind, Store, Table};

pub(crate) use crate::error::{RuleError, RuleResult};

/// A fact of the current match together with its handle.
///
/// It dereferences to the fact as it was when the consequence began, whatever the consequence does
/// to it meanwhile.
pub struct Ref<'a, T> {
    value: &'a T,
    handle: Handle<T>,
}

impl<'a, T> Ref<'a, T> {
    pub(crate) fn new(value: &'a T, handle: Handle<T>) -> Self {
        Self { value, handle }
    }

    /// The fact's handle, to modify or delete it, or to keep.
    pub fn handle(&self) -> Handle<T> {
        self.handle
    }

    /// The fact, for as long as the match lives.
    pub fn get(&self) -> &'a T {
        self.value
    }
}

impl<T> Clone for Ref<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for Ref<'_, T> {}
impl<T> Deref for Ref<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        self.value
    }
}
impl<T: fmt::Debug> fmt::Debug for Ref<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} = {:?}", self.handle, self.value)
    }
}
impl<T> From<Ref<'_, T>> for Handle<T> {
    fn from(reference: Ref<'_, T>) -> Self {
        reference.handle
    }
}
impl<T> From<&Ref<'_, T>> for Handle<T> {
    fn from(reference: &Ref<'_, T>) -> Self {
        reference.handle
    }
}

/// The match that fires.
#[derive(Clone, Copy)]
pub struct Row<'a> {
    store: &'a Store,
    positions: &'a dyn Positions,
    kinds: &'a [u32],
    slots: &'a [u32],
    session: u32,
    branch: u16,
}

/// What stands at the positions of a rule's matches.
pub(crate) trait Positions {
    /// By position the kind of its facts; `NONE` of a position of groups.
    fn kinds(&self) -> &[u32];
    /// The table of the groups at a position.
    fn groups(&self, position: usize) -> Option<&dyn Any>;
}

impl<'a> Row<'a> {
    #[inline]
    pub(crate) fn new(
        store: &'a Store,
        positions: &'a dyn Positions,
        slots: &'a [u32],
        session: u32,
    ) -> Self {
        Self { store, positions, kinds: positions.kinds(), slots, session, branch: 0 }
    }

    #[inline]
    pub(crate) fn in_branch(mut self, branch: u16) -> Self {
        self.branch = branch;
        self
    }

    /// The branch of the rule that matched; 0 for rules without branches.
    pub fn branch(&self) -> u16 {
        self.branch
    }

    /// The fact at a position.
    ///
    /// # Panics
    ///
    /// If the position holds no fact of this type; the macros rule that out.
    pub fn fact<T: Fact>(&self, position: usize) -> &'a T {
        self.value(position).0
    }

    /// The fact at a position with its handle.
    ///
    /// # Panics
    ///
    /// As [`Row::fact`].
    pub fn reference<T: Fact>(&self, position: usize) -> Ref<'a, T> {
        let (value, kind) = self.value(position);
        let handle = kind.handle(self.slots[position]);
        Ref::new(value, Handle::new(handle, self.session))
    }

    #[inline]
    fn value<T: Fact>(&self, position: usize) -> (&'a T, &'a Kind) {
        let kind = self.kinds[position];
        if kind != NONE {
            let kind = self.store.kind(kind);
            let table: &dyn Any = &*kind.table;
            if let Some(table) = table.downcast_ref::<Table<T>>() {
                return (table.value(self.slots[position]), kind);
            }
        }
        misplaced::<T>(position)
    }

    /// The group at a position.
    ///
    /// # Panics
    ///
    /// If the position holds no group of this type; the macros rule that out.
    pub fn group<G: 'static>(&self, position: usize) -> &'a G {
        let table = self.positions.groups(position).and_then(<dyn Any>::downcast_ref);
        let table: &GroupTable<G> = table.unwrap_or_else(|| misplaced::<G>(position));
        table.value(self.slots[position])
    }
}

#[cold]
fn misplaced<T>(position: usize) -> ! {
    panic!("position {position} holds no `{}`", std::any::type_name::<T>())
}

impl fmt::Debug for Row<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Row of {} positions", self.slots.len())
    }
}

/// What a consequence may do. All of it is buffered: if the consequence returns `Ok` it is applied
/// as a whole, after an error or a panic nothing of it happened.
///
/// It may change the facts of its match and others by their handles, whichever entry point they came
/// through; what it inserts comes through the default one, or through the one that
/// [`Stage::entry`] names. What it derives is in the default one.
///
/// Reads see the consequence's own writes; matching happens after it returns. There is no clock but
/// the session's, no randomness but the session's, and no way to the outside but [`Stage::emit`].
pub struct Then<'a> {
    stage: Stage<'a>,
}

impl<'a> Then<'a> {
    #[inline]
    pub(crate) fn new(stage: Stage<'a>) -> Self {
        Self { stage: stage.anywhere() }
    }

    /// Inserts a fact that exists for as long as some match supports it: here the one that fires.
    ///
    /// If an equal fact exists the match supports that one, whose handle is returned.
    ///
    /// # Errors
    ///
    /// [`ChangeError`](crate::ChangeError) as for an insert.
    pub fn insert_logical<T: Fact>(&mut self, fact: T) -> Result<Handle<T>, RuleError> {
        Ok(self.stage.draft_logical(fact)?)
    }

    /// Lets this consequence complete, then stops the run; pending matches stay pending.
    pub fn halt(&mut self) {
        self.stage.draft_halt();
    }

    /// Runs `body`; if it fails, nothing that it did happens, and the consequence goes on.
    ///
    /// # Errors
    ///
    /// The error of `body`.
    pub fn scope<R>(
        &mut self,
        body: impl FnOnce(&mut Self) -> Result<R, RuleError>,
    ) -> Result<R, RuleError> {
        let mark = self.stage.mark();
        let result = body(self);
        if result.is_err() {
            self.stage.drop_after(&mark);
        }
        result
    }
}

impl<'a> Deref for Then<'a> {
    type Target = Stage<'a>;
    fn deref(&self) -> &Stage<'a> {
        &self.stage
    }
}
impl DerefMut for Then<'_> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.stage
    }
}
impl fmt::Debug for Then<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Then({:?})", self.stage)
    }
}
