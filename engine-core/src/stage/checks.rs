//! What a change comes to, decided before it is staged.

use steadfast_wm::FactHandle;

use super::Stage;
use super::drafts::unserializable;
use crate::error::ChangeError;
use crate::fact::{Fact, FieldMask, Handle, append_derived_key};
use crate::store::Place;

/// What inserting a fact comes to: it is new, or makes one stated that is equal and only derived.
pub(crate) enum Admitted {
    New { kind: u32 },
    Equal { handle: FactHandle },
}

/// A change of a fact that may be made: where it is, without a slot if it is only staged; its new value, and
/// the fields that differ.
pub(crate) struct Revision<T> {
    pub(crate) place: Place,
    pub(crate) value: T,
    pub(crate) mask: FieldMask,
}

/// What deleting a fact comes to: all of it goes, which is in this place, without a slot if it is only staged; or
/// only its statement, as rules derive it too.
pub(crate) enum Dismissed {
    Whole { handle: FactHandle, place: Place },
    Statement { handle: FactHandle },
}

impl Stage<'_> {
    /// What inserting a fact comes to.
    #[inline]
    pub(crate) fn admit<T: Fact>(&self, fact: &T) -> Result<Admitted, ChangeError> {
        let kind = self.kind::<T>()?;
        let equal = self.justified_equal(kind, fact)?;
        let is_other = |handle| Some(handle) != equal;
        if T::UNIQUE
            && let Some(existing) = self.find_key_of(kind, fact, is_other)
        {
            return Err(ChangeError::KeyViolation { kind: T::NAME, existing });
        }
        Ok(equal.map_or(Admitted::New { kind }, |handle| Admitted::Equal { handle }))
    }

    /// What a change comes to; nothing if it leaves every field equal.
    #[inline]
    pub(crate) fn revise<T: Fact>(
        &self,
        handle: Handle<T>,
        change: impl FnOnce(&mut T),
    ) -> Result<Option<Revision<T>>, ChangeError> {
        let (old, place) = self.live(handle)?;
        let mut value = old.clone();
        change(&mut value);
        let mask = old.diff(&value);
        if mask.is_empty() {
            return Ok(None);
        }
        if !self.stated_at(handle.fact(), place) && !keeps_derived_key(old, &value)? {
            return Err(ChangeError::JustifiedModify { handle: handle.fact(), kind: T::NAME });
        }
        if T::UNIQUE
            && T::KEYED
            && !old.same_key(&value)
            && let Some(existing) = self.find_key(place.kind, &value)
        {
            return Err(ChangeError::KeyViolation { kind: T::NAME, existing });
        }
        Ok(Some(Revision { place, value, mask }))
    }

    /// What deleting a fact comes to; nothing if it is dead.
    #[inline]
    pub(crate) fn dismiss<T: Fact>(
        &self,
        handle: Handle<T>,
    ) -> Result<Option<Dismissed>, ChangeError> {
        match self.live(handle) {
            Ok((_, place)) => {
                let handle = handle.fact();
                let lives_on = self.derived_at(handle, place) && self.stated(handle);
                Ok(Some(if lives_on {
                    Dismissed::Statement { handle }
                } else {
                    Dismissed::Whole { handle, place }
                }))
            }
            Err(ChangeError::StaleHandle { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// Whether two values that differ are one fact where rules derive both.
fn keeps_derived_key<T: Fact>(old: &T, new: &T) -> Result<bool, ChangeError> {
    if !T::HAS_DERIVED_KEY {
        return Ok(false);
    }
    let bytes = |fact| {
        let mut bytes = Vec::new();
        append_derived_key(fact, &mut bytes).map_err(|error| unserializable(T::NAME, &error))?;
        Ok(bytes)
    };
    Ok(bytes(old)? == bytes(new)?)
}
