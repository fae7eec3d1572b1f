//! Facts by their derived keys, with what is drafted.

use steadfast_wm::FactHandle;

use super::{DerivedKey, Drafts, unserializable};
use crate::error::ChangeError;
use crate::fact::{Fact, append_derived_key};
use crate::key::code_of;
use crate::store::{Place, Store};

impl Drafts {
    /// Shows a fact's derived key.
    pub(crate) fn with_derived_key<T: Fact, R>(
        &self,
        fact: &T,
        look: impl FnOnce(&Self, &DerivedKey<'_>) -> R,
    ) -> Result<R, ChangeError> {
        let mut bytes = self.bytes.take();
        bytes.clear();
        let appended = append_derived_key(fact, &mut bytes);
        let seen =
            appended.map(|()| look(self, &DerivedKey { code: code_of(&*bytes), bytes: &bytes }));
        self.bytes.replace(bytes);
        seen.map_err(|error| unserializable(T::NAME, &error))
    }

    /// The fact with this derived key: the lowest stated one, else the derived one.
    #[inline]
    pub(crate) fn same(
        &self,
        store: &Store,
        kind: u32,
        key: &DerivedKey<'_>,
    ) -> Option<FactHandle> {
        // What is derived is mostly new, and all that its match does.
        let is_new = self.list.is_empty() && store.kind(kind).has_no_belief(key.code);
        if is_new { None } else { self.first_same(store, kind, key) }
    }

    #[inline(never)]
    fn first_same(&self, store: &Store, kind: u32, key: &DerivedKey<'_>) -> Option<FactHandle> {
        let mut same = self.all_same(store, kind, key);
        same.sort_unstable_by_key(|&(handle, stated)| (!stated, handle));
        same.first().map(|&(handle, _)| handle)
    }

    /// The fact with this derived key that is only derived.
    pub(crate) fn same_justified(
        &self,
        store: &Store,
        kind: u32,
        key: &DerivedKey<'_>,
    ) -> Option<FactHandle> {
        let same = self.all_same(store, kind, key);
        same.iter().filter(|(_, stated)| !stated).map(|&(handle, _)| handle).min()
    }

    /// Live facts with this derived key, each with whether it is stated.
    fn all_same(&self, store: &Store, kind: u32, key: &DerivedKey<'_>) -> Vec<(FactHandle, bool)> {
        let DerivedKey { code, bytes: key } = *key;
        let mut found = Vec::new();
        let mut scratch = Vec::new();
        if let Some(columns) = store.kinds.get(kind as usize) {
            let mut consider = |slot: u32| {
                let handle = columns.handle(slot);
                let live = store.locate(handle) == Some(Place { kind, slot });
                if !live || self.change(Place { kind, slot }) {
                    return;
                }
                scratch.clear();
                if columns.table.append_derived_key(slot, &mut scratch).is_ok() && scratch == key {
                    let stated = self.stated(handle).unwrap_or(columns.is_stated(slot));
                    found.push((handle, stated));
                }
            };
            if *columns.believed.get() {
                columns.beliefs.members(code).for_each(&mut consider);
            } else {
                // The first derived fact of its type: no index yet. Applying it builds one.
                (0..columns.slot_count()).for_each(&mut consider);
            }
        }
        for (handle, arena, at) in self.staged_values(kind) {
            scratch.clear();
            if arena.append_derived_key(at, &mut scratch).is_ok() && scratch == key {
                let in_store = || {
                    store.locate(handle).map(|place| store.kind(place.kind).is_stated(place.slot))
                };
                let stated = self.stated(handle).or_else(in_store).unwrap_or(true);
                found.push((handle, stated));
            }
        }
        found
    }
}
