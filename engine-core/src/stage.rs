//! Staged changes: what a consequence or a user transaction wants, buffered until it is applied.

mod changed;
mod checks;
mod drafts;
mod keys;
mod lookup;
mod recalls;

use std::fmt;

use steadfast_wm::FactHandle;

use crate::agenda::GroupNames;
use crate::chains::NONE;
use crate::error::{ChangeError, RuleResult};
use crate::fact::{Effect, Fact, FieldMask, Global, Handle, ReadError};
use crate::store::{DEFAULT_ENTRY, Entry, Place, Store};
use crate::then::Ref;

pub(crate) use checks::{Admitted, Dismissed, Revision};
pub(crate) use drafts::{Draft, Drafts, Mark, Named, Staged};

use crate::globals::Globals;
use drafts::{DerivedKey, encode};

/// A view of the working memory in which changes are staged.
///
/// Reads see what is staged; nobody else does until it is applied, all of it or nothing.
pub struct Stage<'a> {
    store: &'a Store,
    globals: &'a Globals,
    groups: &'a GroupNames,
    drafts: &'a mut Drafts,
    session: u32,
    clock: i64,
    /// The entry point that it works on, and its name.
    entry: Entry,
    entry_name: &'a str,
    /// Whether handles of facts of other entry points are good here.
    anywhere: bool,
}

impl<'a> Stage<'a> {
    #[inline]
    pub(crate) fn new(
        store: &'a Store,
        (globals, groups): (&'a Globals, &'a GroupNames),
        drafts: &'a mut Drafts,
        session: u32,
        clock: i64,
    ) -> Self {
        let (entry, entry_name) = (Entry::DEFAULT, DEFAULT_ENTRY);
        Self { store, globals, groups, drafts, session, clock, entry, entry_name, anywhere: false }
    }

    /// Takes handles of any entry point: a consequence changes the facts of its match where they are.
    #[inline]
    pub(crate) fn anywhere(mut self) -> Self {
        self.anywhere = true;
        self
    }

    /// The same view, on the named entry point: what is inserted comes through it, what is looked up
    /// by value or listed came through it, and handles are those of its facts.
    ///
    /// An entry point is a way in for facts of any type. A fact stays in the one that it came through, and
    /// only patterns that name it see it. Keys and equality are its own: `insert_unique` and unique types
    /// look at the facts of this entry point alone. The default one has no name.
    ///
    /// # Example
    ///
    /// ```
    /// # extern crate steadfast_engine_core as steadfast;
    /// # use serde::{Deserialize, Serialize};
    /// # use steadfast::{Discard, Engine, ir::Ruleset};
    /// # use steadfast_macros::Fact;
    /// #[derive(Fact, Clone, Serialize, Deserialize)]
    /// struct Order { id: u64 }
    ///
    /// let rules = Ruleset::new("shop", 1).fact::<Order>().fact_from::<Order>("east");
    /// let mut engine = Engine::new(&rules, Default::default(), &mut Discard)?;
    /// engine.stage(&mut Discard, |stage| {
    ///     stage.insert(Order { id: 1 })?;
    ///     stage.entry("east").insert(Order { id: 2 })
    /// })?;
    /// assert_eq!(engine.facts::<Order>()[0].id, 1);
    /// assert_eq!(engine.facts_from::<Order>("east")[0].id, 2);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn entry<'b>(&'b mut self, name: &'b str) -> Stage<'b> {
        Stage {
            store: self.store,
            globals: self.globals,
            groups: self.groups,
            drafts: self.drafts,
            session: self.session,
            clock: self.clock,
            entry: self.store.entry(name),
            entry_name: name,
            anywhere: false,
        }
    }

    /// Inserts a fact; it gets a new handle, whatever equal facts exist.
    ///
    /// A fact that so far only rules derive and that equals this one becomes stated and keeps its
    /// handle.
    ///
    /// # Errors
    ///
    /// [`ChangeError::UnknownType`] or [`ChangeError::UnknownEntryPoint`] if the ruleset does not name
    /// the type;
    /// [`ChangeError::KeyViolation`] if the type is declared unique and a fact has its key.
    pub fn insert<T: Fact>(&mut self, fact: T) -> Result<Handle<T>, ChangeError> {
        let handle = match self.admit(&fact)? {
            Admitted::New { kind } => self.drafts.insert(kind, fact),
            Admitted::Equal { handle } => {
                self.drafts.push(Draft::State { handle });
                handle
            }
        };
        Ok(self.typed(handle))
    }

    /// Inserts a fact unless one with an equal key exists; gives the handle of the one there is. If that is
    /// derived and equal in all fields it becomes stated, as for [`Stage::insert`].
    ///
    /// # Errors
    ///
    /// As [`Stage::insert`].
    pub fn insert_unique<T: Fact>(&mut self, fact: T) -> Result<Handle<T>, ChangeError> {
        let kind = self.kind::<T>()?;
        match self.find_key(kind, &fact) {
            Some(existing) if self.justified_equal(kind, &fact)? != Some(existing) => {
                Ok(self.typed(existing))
            }
            _ => self.insert(fact),
        }
    }

    /// Changes a fact. A change that leaves every field equal is no operation at all.
    ///
    /// # Errors
    ///
    /// [`ChangeError::StaleHandle`] for a dead fact, [`ChangeError::WrongSession`] for a handle of
    /// another session, [`ChangeError::WrongEntryPoint`] for a fact of another entry point,
    /// [`ChangeError::JustifiedModify`] for a fact that only rules derive, unless its type declares a
    /// derived key and that stays,
    /// [`ChangeError::KeyViolation`] if the new key is taken and the type is declared unique.
    pub fn update<T: Fact>(
        &mut self,
        handle: impl Into<Handle<T>>,
        change: impl FnOnce(&mut T),
    ) -> Result<(), ChangeError> {
        let handle = handle.into();
        if let Some(Revision { place, value, mask }) = self.revise(handle, change)? {
            let Place { kind, slot } = place;
            self.drafts.update(kind, handle.fact(), value, mask, slot);
        }
        Ok(())
    }

    /// Changes a fact; the same as [`Stage::update`], with the result type of a consequence.
    ///
    /// # Errors
    ///
    /// As [`Stage::update`].
    pub fn modify<T: Fact>(
        &mut self,
        handle: impl Into<Handle<T>>,
        change: impl FnOnce(&mut T),
    ) -> RuleResult {
        Ok(self.update(handle, change)?)
    }

    /// Re-arms everything that matches a fact as if all of its fields had changed.
    ///
    /// # Errors
    ///
    /// [`ChangeError::StaleHandle`], [`ChangeError::WrongSession`] or [`ChangeError::WrongEntryPoint`].
    pub fn touch<T: Fact>(&mut self, handle: impl Into<Handle<T>>) -> Result<(), ChangeError> {
        let handle = handle.into();
        let (value, Place { kind, slot }) = self.live(handle)?;
        let value = value.clone();
        self.drafts.update(kind, handle.fact(), value, FieldMask::ALL, slot);
        Ok(())
    }

    /// Deletes a fact; says whether it was there. Deleting a dead fact is no operation.
    ///
    /// A stated fact that rules also derive lives on as a derived one; deleting a derived fact takes
    /// all its supports away.
    ///
    /// # Errors
    ///
    /// [`ChangeError::WrongSession`] or [`ChangeError::WrongEntryPoint`].
    pub fn delete<T: Fact>(&mut self, handle: impl Into<Handle<T>>) -> Result<bool, ChangeError> {
        let Some(dismissed) = self.dismiss(handle.into())? else { return Ok(false) };
        match dismissed {
            Dismissed::Whole { handle, place } => self.drafts.delete(handle, place),
            Dismissed::Statement { handle } => self.drafts.push(Draft::Unstate { handle }),
        }
        Ok(true)
    }

    /// Takes the statement of a fact back; says whether it was stated. What rules derive stays.
    ///
    /// # Errors
    ///
    /// [`ChangeError::WrongSession`].
    pub fn delete_stated<T: Fact>(
        &mut self,
        handle: impl Into<Handle<T>>,
    ) -> Result<bool, ChangeError> {
        let handle = handle.into();
        match self.live(handle) {
            Ok(_) if !self.stated(handle.fact()) => Ok(false),
            _ => self.delete(handle),
        }
    }

    /// Gives an agenda group the focus: its matches fire before all others, until none of them is
    /// pending. What has the focus already keeps it.
    ///
    /// # Errors
    ///
    /// [`ChangeError::UnknownGroup`] if no rule is in such a group.
    pub fn focus(&mut self, group: &str) -> Result<(), ChangeError> {
        let group = self.group(group)?;
        self.drafts.push(Draft::Focus { group });
        Ok(())
    }

    /// Cancels all pending matches of an agenda group: they become dormant. Operations that are staged
    /// make matches pending again when they are matched, but not of rules that are lock-on-active.
    ///
    /// # Errors
    ///
    /// [`ChangeError::UnknownGroup`] if no rule is in such a group.
    pub fn clear_group(&mut self, group: &str) -> Result<(), ChangeError> {
        let group = self.group(group)?;
        self.drafts.push(Draft::ClearGroup { group });
        Ok(())
    }

    /// A fact, if it lives.
    pub fn get<T: Fact>(&self, handle: impl Into<Handle<T>>) -> Option<&T> {
        self.live(handle.into()).ok().map(|(value, _)| value)
    }

    /// All facts of a type in the order of their handles, with what is staged.
    pub fn query<T: Fact>(&self) -> Vec<Ref<'_, T>> {
        let Some(kind) = self.store.kind_of::<T>(self.entry) else { return Vec::new() };
        let handles = self.drafts.live_handles(self.store, kind);
        let facts = handles.into_iter().filter_map(|handle| {
            let handle = self.typed(handle);
            Some(Ref::new(self.live(handle).ok()?.0, handle))
        });
        facts.collect()
    }

    /// Emits an effect to the outside: it leaves the session through the outbox, once its commit is
    /// durable.
    ///
    /// # Errors
    ///
    /// [`ChangeError::Unserializable`].
    #[expect(clippy::needless_pass_by_value, reason = "an effect leaves the consequence")]
    pub fn emit<E: Effect>(&mut self, effect: E) -> Result<(), ChangeError> {
        let bytes = encode(E::TOPIC, &effect)?;
        let effect = Named { name: E::TOPIC, version: E::VERSION, bytes };
        self.drafts.push(Draft::Emit(Box::new(effect)));
        Ok(())
    }

    /// Sets a global.
    ///
    /// # Errors
    ///
    /// [`ChangeError::Unserializable`].
    #[expect(clippy::needless_pass_by_value, reason = "a global is given away")]
    pub fn set_global<G: Global>(&mut self, global: G) -> Result<(), ChangeError> {
        let bytes = encode(G::NAME, &global)?;
        let global = Named { name: G::NAME, version: G::VERSION, bytes };
        self.drafts.push(Draft::SetGlobal(Box::new(global)));
        Ok(())
    }

    /// A global, if it is set.
    ///
    /// # Errors
    ///
    /// [`ReadError`] if the stored value does not fit the type.
    pub fn global<G: Global>(&self) -> Result<Option<G>, ReadError> {
        let staged = self.drafts.global(G::NAME);
        match staged.or_else(|| self.globals.get(G::NAME)) {
            Some((version, bytes)) => G::read(version, bytes).map(Some),
            None => Ok(None),
        }
    }

    /// The session's clock in milliseconds; it moves only when it is advanced.
    pub fn now(&self) -> i64 {
        self.clock
    }

    /// The next number of the session's own generator: the same after a restart, and drawn again if
    /// the work that drew it fails.
    pub fn random(&mut self) -> u64 {
        self.drafts.random()
    }

    pub(crate) fn draft_logical<T: Fact>(&mut self, fact: T) -> Result<Handle<T>, ChangeError> {
        let kind = self.kind::<T>()?;
        let same =
            |drafts: &Drafts, key: &DerivedKey<'_>| (key.code, drafts.same(self.store, kind, key));
        let (derived, same) = self.drafts.with_derived_key(&fact, same)?;
        let counts = |handle| Some(handle) != same && !self.drafts.yields(handle);
        if T::UNIQUE
            && let Some(existing) = self.find_key_of(kind, &fact, counts)
        {
            return Err(ChangeError::KeyViolation { kind: T::NAME, existing });
        }
        if let Some(handle) = same {
            self.drafts.push(Draft::Support { handle });
            return Ok(self.typed(handle));
        }
        let handle = self.drafts.derive(kind, fact, derived);
        self.drafts.push(Draft::Support { handle });
        Ok(self.typed(handle))
    }

    pub(crate) fn draft_halt(&mut self) {
        self.drafts.push(Draft::Halt);
    }

    pub(crate) fn mark(&self) -> Mark {
        self.drafts.mark()
    }

    pub(crate) fn drop_after(&mut self, mark: &Mark) {
        self.drafts.drop_after(mark);
    }

    fn kind<T: Fact>(&self) -> Result<u32, ChangeError> {
        let Some(kind) = self.store.kind_of::<T>(self.entry) else {
            let (kind, entry) = (T::NAME, self.entry_name.to_owned());
            return Err(match self.entry {
                Entry::DEFAULT => ChangeError::UnknownType { kind },
                _ => ChangeError::UnknownEntryPoint { kind, entry },
            });
        };
        Ok(kind)
    }

    fn group(&self, name: &str) -> Result<u32, ChangeError> {
        let group = self.groups.find(name);
        group.ok_or_else(|| ChangeError::UnknownGroup { group: name.to_owned() })
    }

    pub(crate) fn typed<T>(&self, handle: FactHandle) -> Handle<T> {
        Handle::given(handle, self.session, self.drafts.recalls.count())
    }

    /// The value of a fact, and its place; without a slot if the value is only staged.
    #[inline]
    fn live<T: Fact>(&self, handle: Handle<T>) -> Result<(&T, Place), ChangeError> {
        let fact = handle.fact();
        let is_own = handle.session() == self.session;
        if is_own
            && !self.drafts.recalls.has(fact, handle.given_after())
            && let Some((value, place)) = self.find_live(fact)
            && (self.anywhere || self.store.kind(place.kind).entry == self.entry)
        {
            return Ok((value, place));
        }
        Err(self.not_live(handle))
    }

    #[inline]
    fn find_live<T: Fact>(&self, fact: FactHandle) -> Option<(&T, Place)> {
        if !self.drafts.is_older(fact) {
            return self.find_staged(fact);
        }
        let place = self.store.locate(fact)?;
        if self.drafts.change(place) {
            return self.find_staged(fact);
        }
        // Whoever changes it needs it soon, and waits for the value anyway.
        self.store.kind(place.kind).warm(place.slot);
        Some((self.store.value(place)?, place))
    }

    /// The staged value of a fact, and its kind.
    #[inline(never)] // most changes are the first of their transaction
    fn find_staged<T: Fact>(&self, fact: FactHandle) -> Option<(&T, Place)> {
        match self.drafts.value::<T>(fact) {
            Staged::Value(value, kind) => Some((value, Place { kind, slot: NONE })),
            Staged::Gone | Staged::Nothing => None,
        }
    }

    /// Why a handle is not good here.
    #[cold]
    fn not_live<T: Fact>(&self, handle: Handle<T>) -> ChangeError {
        let (fact, kind) = (handle.fact(), T::NAME);
        if handle.session() != self.session {
            let (found, own) = (handle.session(), self.session);
            return ChangeError::WrongSession { handle: fact, kind, found, own };
        }
        let is_recalled = self.drafts.recalls.has(fact, handle.given_after());
        let of_kind = match self.drafts.value::<T>(fact) {
            Staged::Value(_, kind) => Some(kind),
            Staged::Gone => None,
            Staged::Nothing => match self.store.locate(fact) {
                Some(place) if self.store.value::<T>(place).is_none() && !is_recalled => {
                    return ChangeError::WrongType { handle: fact, kind };
                }
                place => place.map(|place| place.kind),
            },
        };
        match of_kind.filter(|_| !is_recalled) {
            Some(of_kind) => self.wrong_entry(handle, self.store.kind(of_kind).fact.entry()),
            None => ChangeError::StaleHandle { handle: fact, kind },
        }
    }

    fn wrong_entry<T: Fact>(&self, handle: Handle<T>, found: &'static str) -> ChangeError {
        let own = self.entry_name.to_owned();
        ChangeError::WrongEntryPoint { handle: handle.fact(), kind: T::NAME, found, own }
    }

    fn stated(&self, fact: FactHandle) -> bool {
        self.drafts.stated(fact).unwrap_or_else(|| {
            let place = self.store.locate(fact);
            place.is_none_or(|place| self.store.kind(place.kind).is_stated(place.slot))
        })
    }

    /// The same, of a fact whose place is known: without a slot if its value is only staged.
    #[inline]
    fn stated_at(&self, fact: FactHandle, place: Place) -> bool {
        if place.slot == NONE || self.drafts.concern_belief() {
            return self.stated(fact);
        }
        self.store.kind(place.kind).is_stated(place.slot)
    }

    /// Whether some match supports the fact, of which the place is known: without a slot if its value is only
    /// staged.
    #[inline]
    fn derived_at(&self, fact: FactHandle, place: Place) -> bool {
        let known = (place.slot != NONE).then_some(place);
        self.drafts.supports(fact)
            || known.or_else(|| self.store.locate(fact)).is_some_and(|place| {
                *self.store.kind(place.kind).first_support.get(place.slot) != NONE
            })
    }
}

impl fmt::Debug for Stage<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} staged changes", self.drafts.len())
    }
}
