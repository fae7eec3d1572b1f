//! The buffer behind a stage: drafted operations in order, and their values by type.

mod derived;

use std::any::Any;
use std::cell::RefCell;

use serde::Serialize;
use steadfast_wm::FactHandle;
use steadfast_wm::codec::v1::append_postcard;

use super::changed::Changed;
use super::lookup::{Keyed, Latest, SCAN_MAX, decides, place_of, subjects};
use super::recalls::Recalls;
use crate::error::ChangeError;
use crate::fact::{Fact, FieldMask};
use crate::store::{AnyArena, Arena, FactType, Place, Store, typed};
use crate::trail::clear;

/// One drafted operation, or several insertions in a row.
#[derive(Debug)]
pub(crate) enum Draft {
    /// The facts have handles, and values in the arena of their kind, that follow one another from these on.
    Insert {
        kind: u32,
        handle: FactHandle,
        at: u32,
        count: u32,
        stated: bool,
        /// The code of its derived key, if it is not stated.
        derived: u64,
    },
    Update {
        kind: u32,
        handle: FactHandle,
        at: u32,
        mask: FieldMask,
        /// Its slot, unless the fact itself is only drafted.
        slot: u32,
    },
    Delete {
        kind: u32,
        handle: FactHandle,
        /// Its slot, unless the fact itself is only drafted.
        slot: u32,
    },
    /// A delete of a fact that rules also derive: it is derived only from now on.
    Unstate {
        handle: FactHandle,
    },
    /// An insert of a value that rules already derive: the fact becomes stated.
    State {
        handle: FactHandle,
    },
    /// The match that fires supports this fact.
    Support {
        handle: FactHandle,
    },
    Emit(Box<Named>),
    SetGlobal(Box<Named>),
    /// An agenda group gets the focus.
    Focus {
        group: u32,
    },
    /// All pending matches of an agenda group are cancelled.
    ClearGroup {
        group: u32,
    },
    Halt,
}

/// What decides which derived facts are one: the bytes of some of their fields, or of all, and their code.
pub(crate) struct DerivedKey<'a> {
    pub(crate) code: u64,
    bytes: &'a [u8],
}

/// A value that leaves the store's types: an effect or a global.
#[derive(Debug)]
pub(crate) struct Named {
    pub(crate) name: &'static str,
    pub(crate) version: u32,
    pub(crate) bytes: Box<[u8]>,
}

const _: () = assert!(size_of::<Draft>() <= 32, "bulk loads have one per fact");

/// What is staged for a fact of type `T`.
pub(crate) enum Staged<'a, T> {
    /// Nothing: the store decides.
    Nothing,
    /// This value, of a fact of this kind.
    Value(&'a T, u32),
    /// Its deletion, or a value of another type.
    Gone,
}

/// Place in the buffer to which it can be cut back.
#[derive(Clone, Debug)]
pub(crate) struct Mark {
    drafts: usize,
    arenas: Vec<usize>,
    keyed: usize,
    next_handle: u64,
    random: u64,
}

/// Drafted operations in order, their values by kind, and the counters as they would be after them.
#[derive(Default)]
pub(crate) struct Drafts {
    pub(crate) list: Vec<Draft>,
    pub(crate) arenas: Vec<Option<Box<dyn AnyArena>>>,
    /// Kinds whose arenas may hold values.
    used: Vec<u32>,
    /// By fact its latest draft with a value or its deletion; for lookup only, built when asked.
    latest: RefCell<Latest>,
    /// Facts that are older than the drafts of which one is changed or deleted.
    changed: Changed,
    /// Drafts that derive, state or unstate facts: as long as there is none, all staged facts are
    /// stated and nobody has to look.
    beliefs: usize,
    keyed: RefCell<Keyed>,
    base_handle: u64,
    pub(crate) next_handle: u64,
    pub(crate) random: u64,
    /// Numbers of facts that were given out by drafts which were never applied, or undone later.
    pub(crate) recalls: Recalls,
    /// Facts of unique types that only the match at work supports: they go unless it derives them again, so
    /// that another one may take their key.
    pub(crate) yielding: Vec<FactHandle>,
    /// Scratch: a fact as it is stored.
    bytes: RefCell<Vec<u8>>,
}

pub(crate) fn encode<T: Serialize>(
    kind: &'static str,
    value: &T,
) -> Result<Box<[u8]>, ChangeError> {
    let mut bytes = Vec::new();
    append(kind, value, &mut bytes)?;
    Ok(bytes.into())
}

fn append<T: Serialize>(
    kind: &'static str,
    value: &T,
    bytes: &mut Vec<u8>,
) -> Result<(), ChangeError> {
    append_postcard(value, bytes).map_err(|error| unserializable(kind, &error))
}

pub(crate) fn unserializable(kind: &'static str, error: &postcard::Error) -> ChangeError {
    ChangeError::Unserializable { kind, detail: error.to_string() }
}

impl Drafts {
    /// An empty buffer. An engine makes one.
    #[cold]
    pub(crate) fn boxed() -> Box<Self> {
        Box::default()
    }

    /// How many inserts of each kind there are, so that columns can make room at once.
    pub(crate) fn inserts_by_kind(&self) -> Vec<u32> {
        let mut counts = vec![0; self.arenas.len()];
        for draft in &self.list {
            if let Draft::Insert { kind, count, .. } = draft {
                counts[*kind as usize] += count;
            }
        }
        counts
    }

    /// Empties the buffer and takes over the session's counters.
    #[inline]
    pub(crate) fn begin(&mut self, next_handle: u64, random: u64) {
        if !self.list.is_empty() {
            self.clear();
        }
        // What was drafted last and not applied.
        self.recalls.recall(next_handle, self.next_handle);
        self.base_handle = next_handle;
        self.next_handle = next_handle;
        self.random = random;
        self.yielding.clear();
    }

    /// Whether a fact goes when the consequence is over, as far as that has come: neither derived again nor
    /// stated meanwhile.
    pub(crate) fn yields(&self, handle: FactHandle) -> bool {
        self.yielding.contains(&handle)
            && !self.supports(handle)
            && self.stated(handle) != Some(true)
    }

    /// Takes back the numbers of facts from this one on.
    pub(crate) fn recall(&mut self, first: u64) {
        self.recalls.recall(first, self.next_handle);
        self.next_handle = first;
    }

    /// Empty ones of an engine that has the same past.
    pub(crate) fn of_fork(&self) -> Self {
        let (next_handle, recalls) = (self.next_handle, self.recalls.clone());
        Self { next_handle, recalls, ..Self::default() }
    }

    fn clear(&mut self) {
        for &kind in &self.used {
            self.arenas[kind as usize].as_mut().expect("it was used").clear();
        }
        self.used.clear();
        self.changed.forget(&self.list);
        clear(&mut self.list);
        self.latest.get_mut().clear();
        self.beliefs = 0;
        self.keyed.get_mut().clear();
    }

    pub(crate) fn len(&self) -> usize {
        self.list.len()
    }

    /// Takes the drafts out, but for their values.
    #[cfg(test)]
    pub(crate) fn take_list(&mut self) -> Vec<Draft> {
        self.changed.forget(&self.list);
        std::mem::take(&mut self.list)
    }

    /// How many facts they insert.
    pub(crate) fn insertions(&self) -> usize {
        let insertions = self.next_handle - self.base_handle;
        usize::try_from(insertions).expect("usize has 64 bits")
    }

    /// Adds a draft that changes no fact of the store.
    #[inline]
    pub(crate) fn push(&mut self, draft: Draft) {
        self.beliefs += usize::from(concerns_belief(&draft));
        self.list.push(draft);
    }

    /// Adds the deletion of a fact, which has no slot if it is only drafted.
    #[inline]
    pub(crate) fn delete(&mut self, handle: FactHandle, Place { kind, slot }: Place) {
        self.changed.note(Place { kind, slot });
        self.list.push(Draft::Delete { kind, handle, slot });
    }

    /// Puts a value into the arena of its kind; gives its place there.
    #[expect(clippy::inline_always, reason = "it is most of what is done for each value")]
    #[inline(always)]
    fn put<T: Fact>(&mut self, kind: u32, value: T) -> u32 {
        let arena = match self.arenas.get_mut(kind as usize) {
            Some(Some(arena)) => arena,
            _ => open(&mut self.arenas, kind, FactType::of::<T>()),
        };
        let arena = typed::<T>(&mut **arena);
        if arena.0.is_empty() {
            self.used.push(kind);
        }
        arena.0.push(Some(value));
        u32::try_from(arena.0.len() - 1).expect("fewer than 2³² staged values")
    }

    fn peek<T: Fact>(&self, kind: u32, at: u32) -> Option<&T> {
        let arena = self.arenas.get(kind as usize)?.as_ref()?;
        let arena: &dyn Any = &**arena;
        arena.downcast_ref::<Arena<T>>()?.0.get(at as usize)?.as_ref()
    }

    /// Drafts the insertion of a stated fact.
    pub(crate) fn insert<T: Fact>(&mut self, kind: u32, value: T) -> FactHandle {
        self.insert_as(kind, value, (true, 0))
    }

    /// Drafts the insertion of a derived fact, of which the derived key has this code.
    pub(crate) fn derive<T: Fact>(&mut self, kind: u32, value: T, derived: u64) -> FactHandle {
        self.insert_as(kind, value, (false, derived))
    }

    #[inline]
    fn insert_as<T: Fact>(
        &mut self,
        kind: u32,
        value: T,
        (stated, derived): (bool, u64),
    ) -> FactHandle {
        let handle = FactHandle::new(self.next_handle);
        self.next_handle += 1;
        self.note_key(kind, handle, &value);
        let at = self.put(kind, value);
        if !(stated && self.extends_run(kind, handle, at)) {
            self.push(Draft::Insert { kind, handle, at, count: 1, stated, derived });
        }
        handle
    }

    /// Takes the next fact into the run of insertions that the last draft is, if it follows that one.
    #[inline]
    fn extends_run(&mut self, kind: u32, fact: FactHandle, place: u32) -> bool {
        let Some(Draft::Insert { kind: of, handle, at, count, stated: true, .. }) =
            self.list.last_mut()
        else {
            return false;
        };
        let follows = *of == kind && *at + *count == place;
        debug_assert!(
            !follows || handle.get() + u64::from(*count) == fact.get(),
            "behind the last draft nobody else has taken a handle"
        );
        *count += u32::from(follows);
        follows
    }

    #[inline]
    pub(crate) fn update<T: Fact>(
        &mut self,
        kind: u32,
        handle: FactHandle,
        value: T,
        mask: FieldMask,
        slot: u32,
    ) {
        self.note_key(kind, handle, &value);
        let at = self.put(kind, value);
        self.changed.note(Place { kind, slot });
        self.list.push(Draft::Update { kind, handle, at, mask, slot });
    }

    #[inline]
    fn note_key<T: Fact>(&mut self, kind: u32, handle: FactHandle, value: &T) {
        if let Some(code) = value.key_code() {
            self.keyed.get_mut().facts.push((kind, code, handle));
        }
    }

    /// Whether a fact is older than the drafts, if it is one.
    #[inline]
    pub(crate) fn is_older(&self, handle: FactHandle) -> bool {
        handle.get() < self.base_handle
    }

    /// Whether a draft changes or deletes the fact in this place of the store.
    #[inline]
    pub(crate) fn change(&self, place: Place) -> bool {
        self.changed.has(place)
    }

    #[inline(never)] // most changes are the first of their transaction
    fn latest(&self, handle: FactHandle) -> Option<&Draft> {
        if self.list.len() > SCAN_MAX {
            let at = self.latest.borrow_mut().find(&self.list, handle);
            return at.map(|at| &self.list[at as usize]);
        }
        self.list.iter().rev().find(|draft| decides(draft, handle))
    }

    /// What is staged for a fact.
    #[inline]
    pub(crate) fn value<T: Fact>(&self, handle: FactHandle) -> Staged<'_, T> {
        match self.latest(handle) {
            None => Staged::Nothing,
            Some(draft) => {
                let value = place_of(draft, handle)
                    .and_then(|(kind, at)| Some(Staged::Value(self.peek(kind, at)?, kind)));
                value.unwrap_or(Staged::Gone)
            }
        }
    }

    /// Whether any draft decides what facts stand on.
    #[inline]
    pub(crate) fn concern_belief(&self) -> bool {
        self.beliefs > 0
    }

    /// Whether a fact will be stated, if the drafts decide it.
    pub(crate) fn stated(&self, handle: FactHandle) -> Option<bool> {
        if self.beliefs == 0 {
            return (handle.get() >= self.base_handle).then_some(true);
        }
        self.list.iter().rev().find_map(|draft| match draft {
            Draft::State { handle: of } if *of == handle => Some(true),
            Draft::Unstate { handle: of } if *of == handle => Some(false),
            Draft::Insert { stated, .. } if decides(draft, handle) => Some(*stated),
            _ => None,
        })
    }

    pub(crate) fn supports(&self, handle: FactHandle) -> bool {
        let supports =
            |draft: &Draft| matches!(draft, Draft::Support { handle: of } if *of == handle);
        self.beliefs > 0 && self.list.iter().any(supports)
    }

    /// The oldest fact that counts and that drafts gave a key of this code that is the same.
    pub(crate) fn with_key<T: Fact>(
        &self,
        kind: u32,
        code: u64,
        is_same: impl Fn(&T) -> bool,
        counts: impl Fn(FactHandle) -> bool,
    ) -> Option<FactHandle> {
        self.keyed.borrow_mut().index();
        let keyed = self.keyed.borrow();
        let holds = |handle: &FactHandle| match self.value::<T>(*handle) {
            Staged::Value(value, _) => is_same(value),
            Staged::Nothing | Staged::Gone => false,
        };
        keyed.find(kind, code).filter(holds).filter(|&handle| counts(handle)).min()
    }

    /// Whether the drafts derive facts of this kind.
    pub(crate) fn derives(&self, kind: u32) -> bool {
        self.beliefs > 0
            && self.list.iter().any(|draft| {
                matches!(draft, Draft::Insert { kind: of, stated: false, .. } if *of == kind)
            })
    }

    /// The latest staged value of each fact of a kind that is not deleted.
    fn staged_values(
        &self,
        kind: u32,
    ) -> impl Iterator<Item = (FactHandle, &dyn AnyArena, u32)> + '_ {
        let of_kind = self.list.iter().filter(move |draft| match draft {
            Draft::Insert { kind: of, .. } | Draft::Update { kind: of, .. } => *of == kind,
            _ => false,
        });
        of_kind.flat_map(move |draft| {
            let latest = subjects(draft).filter(move |&handle| self.is_latest(handle, draft));
            latest.filter_map(move |handle| {
                let (_, at) = place_of(draft, handle)?;
                let arena = self.arenas[kind as usize].as_deref().expect("`open` made it");
                Some((handle, arena, at))
            })
        })
    }

    fn is_latest(&self, handle: FactHandle, draft: &Draft) -> bool {
        self.latest(handle).is_some_and(|latest| std::ptr::eq(latest, draft))
    }

    /// Handles of a kind's facts with the drafts applied, in order; some of them are deleted.
    pub(crate) fn live_handles(&self, store: &Store, kind: u32) -> Vec<FactHandle> {
        let mut handles: Vec<FactHandle> =
            store.in_order(kind).into_iter().map(|(handle, _)| handle).collect();
        let inserts = self
            .list
            .iter()
            .filter(|draft| matches!(draft, Draft::Insert { kind: of, .. } if *of == kind));
        handles.extend(inserts.flat_map(subjects));
        handles
    }

    pub(crate) fn global(&self, name: &str) -> Option<(u32, &[u8])> {
        self.list.iter().rev().find_map(|draft| match draft {
            Draft::SetGlobal(global) if global.name == name => {
                Some((global.version, &*global.bytes))
            }
            _ => None,
        })
    }

    /// `SplitMix64`: one addition of state, so that its state is one number.
    pub(crate) fn random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn mark(&self) -> Mark {
        Mark {
            drafts: self.list.len(),
            arenas: self.arenas.iter().map(|it| it.as_ref().map_or(0, |it| it.len())).collect(),
            keyed: self.keyed.borrow().facts.len(),
            next_handle: self.next_handle,
            random: self.random,
        }
    }

    pub(crate) fn drop_after(&mut self, mark: &Mark) {
        self.changed.forget(&self.list[mark.drafts..]);
        self.list.truncate(mark.drafts);
        self.changed.note_all(&self.list);
        if let Some(Draft::Insert { handle, count, .. }) = self.list.last_mut() {
            // The last one may have become longer since.
            let kept = mark.next_handle - handle.get();
            *count = u32::try_from(kept).map_or(*count, |kept| kept.min(*count));
        }
        self.beliefs = self.list.iter().filter(|draft| concerns_belief(draft)).count();
        for (at, arena) in self.arenas.iter_mut().enumerate() {
            let length = mark.arenas.get(at).copied().unwrap_or(0);
            if let Some(arena) = arena {
                arena.truncate(length);
            }
        }
        self.recall(mark.next_handle);
        self.random = mark.random;
        self.latest.get_mut().clear();
        self.keyed.get_mut().truncate(mark.keyed);
    }
}

/// Makes the arena of a kind.
#[cold]
fn open(
    arenas: &mut Vec<Option<Box<dyn AnyArena>>>,
    kind: u32,
    fact: FactType,
) -> &mut Box<dyn AnyArena> {
    let place = kind as usize;
    if arenas.len() <= place {
        arenas.resize_with(place + 1, || None);
    }
    arenas[place].insert(fact.new_arena())
}

fn concerns_belief(draft: &Draft) -> bool {
    matches!(
        draft,
        Draft::State { .. }
            | Draft::Unstate { .. }
            | Draft::Support { .. }
            | Draft::Insert { stated: false, .. }
    )
}
