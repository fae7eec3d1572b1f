//! Facts of the unique type as they are worded (S23, S24, S82 to S87): what an attempt on one must come to.
//!
//! Staging looks at keys through indexes and at its own drafts; here is a list of facts.

use std::collections::BTreeMap;

use steadfast_wm::FactHandle;

use super::random::unique::{Attempt, Came, U, What};
use super::{Id, Naive};
use crate::fact::Fact;

#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a word of the semantics")]
struct Known {
    east: bool,
    value: U,
    stated: bool,
    /// Whether other matches derive it than the one at work.
    others: bool,
    /// Whether the match at work derived it before.
    before: bool,
    /// Whether it does so now.
    now: bool,
}

impl Known {
    fn is_derived(&self) -> bool {
        self.others || self.before || self.now
    }

    /// Whether it goes when the match at work has fired, as far as that has come.
    fn yields(&self) -> bool {
        self.before && !self.now && !self.others && !self.stated
    }
}

/// The facts of the unique type, for one consequence or transaction.
#[derive(Debug)]
pub(super) struct Sheet(BTreeMap<FactHandle, Known>);

impl Naive {
    /// What there is, before the consequence of a match or a transaction.
    pub(super) fn sheet(&self, by: Option<&Id>) -> Sheet {
        let facts = self.facts().into_iter().filter_map(|(handle, (name, bytes, _, stated))| {
            let supports = self.supports.get(&handle);
            let is_own = |id: &Id| Some(id) == by;
            let any =
                |own: bool| supports.is_some_and(|all| all.iter().any(|id| is_own(id) == own));
            let (others, before) = (any(false), any(true));
            let value = U::read(1, &bytes).ok().filter(|_| name.starts_with(U::NAME))?;
            let east = name != U::NAME;
            Some((handle, Known { east, value, stated, others, before, now: false }))
        });
        Sheet(facts.collect())
    }
}

impl Sheet {
    /// Takes the attempts in turn, each of which has come to what it must.
    pub(super) fn take(mut self, attempts: &[Attempt]) {
        for attempt in attempts {
            let may = self.may_come_to(attempt);
            assert!(may, "{attempt:?} of {:?}", self.0);
            self.note(attempt);
        }
        for (handle, known) in &self.0 {
            let same = |other: &Known| other.east == known.east && other.value.k == known.value.k;
            let stays = |other: &&FactHandle| *other != handle && !self.0[*other].yields();
            let twin = self.0.iter().filter(|(_, other)| same(other)).map(|it| it.0).find(stays);
            assert!(known.yields() || twin.is_none(), "{handle} and {twin:?} of {:?}", self.0);
        }
    }

    /// Live facts with the key of a value.
    fn with_key(&self, east: bool, value: &U) -> Vec<FactHandle> {
        let same = |known: &Known| known.east == east && known.value.k == value.k;
        self.0.iter().filter(|(_, known)| same(known)).map(|(handle, _)| *handle).collect()
    }

    /// The live fact that is equal in all fields.
    fn equal(&self, east: bool, value: &U) -> Option<FactHandle> {
        self.with_key(east, value).into_iter().find(|handle| self.0[handle].value == *value)
    }

    fn may_come_to(&self, Attempt { east, what, value, came }: &Attempt) -> bool {
        let refused_by = |facts: &[FactHandle]| match came {
            Came::Refused(None) => *what == What::Derive && !facts.is_empty(),
            Came::Refused(Some(by)) => facts.contains(by),
            Came::Fact(_) => false,
        };
        let is_new = || matches!(came, Came::Fact(handle) if !self.0.contains_key(handle));
        let is = |handle: FactHandle| *came == Came::Fact(handle);
        let same_key = self.with_key(*east, value);
        let equal = self.equal(*east, value);
        let promoted = equal.filter(|handle| !self.0[handle].stated);
        let others = |than: Option<FactHandle>| -> Vec<FactHandle> {
            same_key.iter().copied().filter(|handle| Some(*handle) != than).collect()
        };
        match *what {
            What::Insert => match promoted {
                Some(equal) if others(promoted).is_empty() => is(equal),
                _ if !others(promoted).is_empty() => refused_by(&others(promoted)),
                _ => is_new(),
            },
            What::InsertUnique if same_key.is_empty() => is_new(),
            What::InsertUnique => same_key.iter().any(|&handle| is(handle)),
            What::Derive => {
                let mut others = others(equal);
                others.retain(|handle| !self.0[handle].yields());
                match equal {
                    _ if !others.is_empty() => refused_by(&others),
                    Some(equal) => is(equal),
                    None => is_new(),
                }
            }
            What::Update(handle) => {
                let Some(known) = self.0.get(&handle) else {
                    return *came == Came::Refused(None);
                };
                let taken = self.with_key(known.east, value);
                if known.value == *value {
                    is(handle)
                } else if !known.stated {
                    *came == Came::Refused(None)
                } else if known.value.k != value.k && !taken.is_empty() {
                    refused_by(&taken)
                } else {
                    is(handle)
                }
            }
            What::Delete(handle) if self.0.contains_key(&handle) => is(handle),
            What::DeleteStated(handle) if self.0.get(&handle).is_some_and(|it| it.stated) => {
                is(handle)
            }
            What::Delete(_) | What::DeleteStated(_) => *came == Came::Refused(None),
        }
    }

    fn note(&mut self, Attempt { east, what, value, came }: &Attempt) {
        let Came::Fact(handle) = *came else { return };
        let new = |stated| Known {
            east: *east,
            value: value.clone(),
            stated,
            others: false,
            before: false,
            now: !stated,
        };
        match *what {
            What::Derive => self.0.entry(handle).or_insert_with(|| new(false)).now = true,
            What::Insert | What::InsertUnique => {
                let known = self.0.entry(handle).or_insert_with(|| new(true));
                known.stated |= known.value == *value;
            }
            What::Update(_) => {
                self.0.entry(handle).and_modify(|known| known.value = value.clone());
            }
            What::Delete(_) | What::DeleteStated(_) => {
                let known = &self.0[&handle];
                if known.stated && known.is_derived() {
                    self.0.entry(handle).and_modify(|known| known.stated = false);
                } else {
                    self.0.remove(&handle);
                }
            }
        }
    }
}
