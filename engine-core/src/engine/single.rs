//! Transactions of one operation: what [`Engine::stage`] does for many, without drafts in between.
//!
//! Programs that fire after each change make nothing but these. What a stage would draft is decided by the
//! same checks, and is applied at once: the value moves from the caller into its table.

use steadfast_wm::FactHandle;
use steadfast_wm::codec::v1::append_postcard;

use super::Engine;
use crate::error::ChangeError;
use crate::fact::{Fact, Handle};
use crate::sink::ActionSink;
use crate::stage::{Admitted, Dismissed, Drafts, Revision, Stage};
use crate::store::Place;
use crate::trail::Scope;

impl Engine {
    /// Stages the insertion of one fact, as [`Engine::stage`] with [`Stage::insert`].
    ///
    /// # Errors
    ///
    /// As [`Engine::stage`] and [`Stage::insert`].
    pub fn stage_insert<T: Fact>(
        &mut self,
        sink: &mut dyn ActionSink,
        fact: T,
    ) -> Result<Handle<T>, ChangeError> {
        let handle = match self.empty_stage(sink)?.admit(&fact)? {
            Admitted::New { kind } => {
                self.encode_value(&fact, sink)?;
                let handle = self.next_handle();
                let scope = self.scope;
                let columns = self.store.kind_mut(kind);
                let slot = columns.next_slot(scope);
                columns.values_mut::<T>().put(scope, slot, fact);
                let seq = self.insert_placed(Place { kind, slot }, handle, None, true, None);
                if self.is_recorded() {
                    let bytes = &self.scratch.bytes;
                    sink.record(&self.insertion(kind, handle, seq, (None, true), bytes));
                }
                handle
            }
            Admitted::Equal { handle } => {
                self.set_stated(handle, true, sink);
                handle
            }
        };
        let given = self.drafts.as_ref().map_or(0, |drafts| drafts.recalls.count());
        Ok(Handle::given(handle, self.fingerprint, given))
    }

    /// Stages the change of one fact, as [`Engine::stage`] with [`Stage::update`]; says whether any field
    /// differs: otherwise it is no operation.
    ///
    /// # Errors
    ///
    /// As [`Engine::stage`] and [`Stage::update`].
    pub fn stage_update<T: Fact>(
        &mut self,
        sink: &mut dyn ActionSink,
        handle: Handle<T>,
        change: impl FnOnce(&mut T),
    ) -> Result<bool, ChangeError> {
        if let Some(place) = self.plain_place(sink, handle) {
            let scope = Scope::NONE;
            let kind = self.store.kind_mut(place.kind);
            if let Some(values) = kind.values_if::<T>() {
                let old = values.value(place.slot);
                let mut value = old.clone();
                change(&mut value);
                let mask = old.diff(&value);
                if mask.is_empty() {
                    return Ok(false);
                }
                values.replace(scope, place.slot, value);
                self.note_plain_update(place, mask);
                return Ok(true);
            }
        }
        let revision = self.empty_stage(sink)?.revise(handle, change)?;
        let Some(Revision { place, value, mask }) = revision else { return Ok(false) };
        self.encode_value(&value, sink)?;
        let old = self.before_update(place);
        let scope = self.scope;
        self.store.kind_mut(place.kind).values_mut::<T>().replace(scope, place.slot, value);
        let seq = self.update_placed(old, None, mask);
        if self.is_recorded() {
            let (handle, bytes) = (handle.fact(), &self.scratch.bytes);
            sink.record(&self.update_of(place.kind, handle, seq, (None, mask), bytes));
        }
        Ok(true)
    }

    /// Stages the deletion of one fact, as [`Engine::stage`] with [`Stage::delete`]; says whether it was
    /// there.
    ///
    /// # Errors
    ///
    /// As [`Engine::stage`] and [`Stage::delete`].
    pub fn stage_delete<T: Fact>(
        &mut self,
        sink: &mut dyn ActionSink,
        handle: Handle<T>,
    ) -> Result<bool, ChangeError> {
        match self.empty_stage(sink)?.dismiss(handle)? {
            Some(Dismissed::Whole { handle, .. }) => self.delete(handle, None, false, sink),
            Some(Dismissed::Statement { handle }) => self.set_stated(handle, false, sink),
            None => return Ok(false),
        }
        Ok(true)
    }

    /// The place of a fact of which nothing but the value has to be looked after if that becomes another one:
    /// somebody stated it and nothing was done to it since the last flush, no index finds it by its value, nobody
    /// wants to know the old value or to have records, and no scope is open. Whether it is of the type the caller says is for
    /// the caller to see, and so is why a handle is not good.
    #[inline]
    fn plain_place<T>(&mut self, sink: &dyn ActionSink, handle: Handle<T>) -> Option<Place> {
        self.heed(sink);
        let is_watched = self.failed || self.is_recorded() || self.scope.is_open();
        if is_watched || handle.session() != self.fingerprint {
            return None;
        }
        self.plain_place_of(handle.fact(), handle.given_after())
    }

    fn plain_place_of(&self, fact: FactHandle, given: u32) -> Option<Place> {
        if self.drafts.as_ref().is_some_and(|drafts| drafts.recalls.has(fact, given)) {
            return None;
        }
        let place = self.store.locate(fact)?;
        let alpha = &self.alphas[place.kind as usize];
        // Both are needed soon, and memory brings them while the value is waited for.
        alpha.memberships.warm(place.slot);
        let is_plain = self.store.kind(place.kind).is_plain(place.slot);
        (is_plain && !alpha.keeps_before).then_some(place)
    }

    /// A view in which nothing is staged.
    #[inline]
    fn empty_stage(&mut self, sink: &dyn ActionSink) -> Result<Stage<'_>, ChangeError> {
        if self.failed {
            return Err(ChangeError::Failed);
        }
        self.heed(sink);
        let drafts = self.drafts.get_or_insert_with(Drafts::boxed);
        let counters = self.counters.get();
        drafts.begin(counters.next_handle, counters.random);
        let names = (&self.globals, self.focus.names());
        Ok(Stage::new(&self.store, names, drafts, self.fingerprint, *self.clock.get()))
    }

    /// Serializes a value into the scratch if somebody wants records, so that one that cannot be stored
    /// changes nothing.
    #[inline]
    fn encode_value<T: Fact>(
        &mut self,
        value: &T,
        sink: &dyn ActionSink,
    ) -> Result<(), ChangeError> {
        if !self.is_recorded() {
            return Ok(());
        }
        self.scratch.bytes.clear();
        let (kind, max) = (T::NAME, sink.value_bytes_max());
        append_postcard(value, &mut self.scratch.bytes)
            .map_err(|error| ChangeError::Unserializable { kind, detail: error.to_string() })?;
        match self.scratch.bytes.len() {
            bytes if bytes > max => Err(ChangeError::TooLong { kind, bytes, max }),
            _ => Ok(()),
        }
    }
}
