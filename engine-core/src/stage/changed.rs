//! Which facts of the store drafts change.

use super::drafts::Draft;
use crate::chains::NONE;
use crate::store::Place;

/// By kind a bit for each slot: whether a draft changes or deletes the fact there.
///
/// Most facts are changed once in a transaction. That nothing is staged for one is told without a look through
/// the drafts, and as long as nobody asks for another one, they need not be found by fact.
#[derive(Default)]
pub(super) struct Changed {
    kinds: Vec<Vec<u64>>,
}

impl Changed {
    #[inline]
    pub(super) fn has(&self, Place { kind, slot }: Place) -> bool {
        let words = self.kinds.get(kind as usize);
        let word = words.and_then(|words| words.get(word_of(slot)));
        word.is_some_and(|word| word & bit_of(slot) != 0)
    }

    /// Notes that a draft changes the fact in a place, if that has a slot.
    #[inline]
    pub(super) fn note(&mut self, place: Place) {
        let Place { kind, slot } = place;
        let words = self.kinds.get_mut(kind as usize);
        match words.and_then(|words| words.get_mut(word_of(slot))) {
            Some(word) => *word |= bit_of(slot),
            None => self.grow(place),
        }
    }

    /// Notes what drafts change.
    pub(super) fn note_all(&mut self, drafts: &[Draft]) {
        drafts.iter().filter_map(place_of).for_each(|place| self.note(place));
    }

    #[cold]
    fn grow(&mut self, Place { kind, slot }: Place) {
        if slot == NONE {
            return;
        }
        if self.kinds.len() <= kind as usize {
            self.kinds.resize_with(kind as usize + 1, Vec::new);
        }
        let words = &mut self.kinds[kind as usize];
        // Whoever changes facts in the order of their slots asks for the next words soon.
        words.resize(word_of(slot) + 1 + word_of(slot) / 2, 0);
        words[word_of(slot)] |= bit_of(slot);
    }

    /// Forgets what drafts change, and others that are near them: of those that stay it must be noted again.
    pub(super) fn forget(&mut self, drafts: &[Draft]) {
        if self.kinds.is_empty() {
            return;
        }
        let words = self.kinds.iter().map(Vec::len).sum::<usize>();
        if words <= drafts.len() * NEAR {
            self.kinds.iter_mut().for_each(|words| words.fill(0));
            return;
        }
        for Place { kind, slot } in drafts.iter().filter_map(place_of) {
            self.kinds[kind as usize][word_of(slot)] = 0;
        }
    }
}

/// For each draft so many words are forgotten as fast one behind the other as one that has to be found.
const NEAR: usize = if cfg!(test) { 1 } else { 32 };

/// The place of the fact in the store that a draft changes.
#[inline]
fn place_of(draft: &Draft) -> Option<Place> {
    match *draft {
        Draft::Update { kind, slot, .. } | Draft::Delete { kind, slot, .. } if slot != NONE => {
            Some(Place { kind, slot })
        }
        _ => None,
    }
}

#[inline]
fn word_of(slot: u32) -> usize {
    slot as usize / 64
}

#[inline]
fn bit_of(slot: u32) -> u64 {
    1 << (slot % 64)
}
