//! Facts by their keys and by equality, with what is staged.

use steadfast_wm::FactHandle;

use super::drafts::DerivedKey;
use super::{Drafts, Stage};
use crate::error::ChangeError;
use crate::fact::Fact;
use crate::keyed::KeyOf;
use crate::store::Place;
use crate::then::Ref;

impl Stage<'_> {
    /// The fact with this key, if there is one; of several the oldest.
    ///
    /// Takes as long as a look into a hash table, however many facts there are.
    ///
    /// # Example
    ///
    /// ```
    /// # extern crate steadfast_engine_core as steadfast;
    /// # use serde::{Deserialize, Serialize};
    /// # use steadfast::{Discard, Engine, ir::Ruleset};
    /// # use steadfast_macros::Fact;
    /// #[derive(Fact, Clone, Serialize, Deserialize)]
    /// struct Seat { #[fact(key)] row: u32, #[fact(key)] letter: char, taken: bool }
    ///
    /// let rules = Ruleset::new("cabin", 1).fact::<Seat>();
    /// let mut engine = Engine::new(&rules, Default::default(), &mut Discard)?;
    /// engine.stage(&mut Discard, |stage| {
    ///     stage.insert(Seat { row: 7, letter: 'A', taken: false })?;
    ///     let seat = stage.find::<Seat>(&(7, 'A')).expect("it is staged").handle();
    ///     assert!(stage.find::<Seat>(&(7, 'B')).is_none());
    ///     stage.update(seat, |seat| seat.taken = true)
    /// })?;
    /// assert!(engine.find::<Seat>(&(7, 'A')).is_some_and(|seat| seat.taken));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn find<T: Fact>(&self, key: &(impl KeyOf<T> + ?Sized)) -> Option<Ref<'_, T>> {
        let kind = self.store.kind_of::<T>(self.entry)?;
        let (code, is_same) = (key.code(), |fact: &T| key.is_of(fact));
        let staged = self.drafts.with_key(kind, code, is_same, |_| true);
        let other = self.oldest_untouched(kind, code, is_same, |_| true);
        let handle = self.typed(staged.into_iter().chain(other).min()?);
        Some(Ref::new(self.get(handle)?, handle))
    }

    pub(super) fn find_key<T: Fact>(&self, kind: u32, fact: &T) -> Option<FactHandle> {
        self.find_key_of(kind, fact, |_| true)
    }

    /// The fact with this fact's key among those that count: of what is staged if there is one, for the other may be
    /// one that goes with what its match derives now.
    pub(super) fn find_key_of<T: Fact>(
        &self,
        kind: u32,
        fact: &T,
        counts: impl Fn(FactHandle) -> bool,
    ) -> Option<FactHandle> {
        let code = fact.key_code()?;
        let is_same = |other: &T| other.same_key(fact);
        let staged = self.drafts.with_key(kind, code, is_same, &counts);
        staged.or_else(|| self.oldest_untouched(kind, code, is_same, counts))
    }

    /// The oldest fact with a key of this code that is the same, among those that count and of which nothing
    /// is staged.
    fn oldest_untouched<T: Fact>(
        &self,
        kind: u32,
        code: u64,
        is_same: impl Fn(&T) -> bool,
        counts: impl Fn(FactHandle) -> bool,
    ) -> Option<FactHandle> {
        let columns = self.store.kinds.get(kind as usize)?;
        let untouched =
            columns.with_key(code).filter(|&slot| !self.drafts.change(Place { kind, slot }));
        let equal = untouched.map(|slot| columns.handle(slot)).filter(|&handle| {
            counts(handle)
                && (self.store.locate(handle))
                    .and_then(|place| self.store.value::<T>(place))
                    .is_some_and(&is_same)
        });
        equal.min()
    }

    /// The fact that a plain insert promotes: equal, and only derived.
    pub(super) fn justified_equal<T: Fact>(
        &self,
        kind: u32,
        fact: &T,
    ) -> Result<Option<FactHandle>, ChangeError> {
        let believed = (self.store.kinds.get(kind as usize)).is_some_and(|k| *k.believed.get());
        if !believed && !self.drafts.derives(kind) {
            return Ok(None);
        }
        let same =
            |drafts: &Drafts, key: &DerivedKey<'_>| drafts.same_justified(self.store, kind, key);
        let same = self.drafts.with_derived_key(fact, same)?;
        Ok(same.filter(|&handle| !T::HAS_DERIVED_KEY || self.is_equal(handle, fact)))
    }

    /// Whether a fact is equal in all fields, those included that are not in its derived key.
    fn is_equal<T: Fact>(&self, handle: FactHandle, fact: &T) -> bool {
        let live = self.live(self.typed::<T>(handle));
        live.is_ok_and(|(value, _)| value.diff(fact).is_empty())
    }
}
