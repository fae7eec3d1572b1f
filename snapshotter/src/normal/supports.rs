//! Justifications: what became of each in the range.

use std::collections::{BTreeMap, BTreeSet};

use steadfast_wm::{FactHandle, MatchId};

use super::{At, Kept, Survivor};

/// One support.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Support {
    last: Kept,
    /// Whether it is older than the range.
    is_old: bool,
}

/// The supports that the range changes.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(super) struct Supports {
    changes: BTreeMap<FactHandle, BTreeMap<MatchId, Support>>,
    /// Supports that the range withdraws and did not give.
    pub(super) old: BTreeSet<(FactHandle, MatchId)>,
}

impl Supports {
    pub(super) fn justify(&mut self, handle: FactHandle, by: &MatchId, at: At, bytes: &[u8]) {
        let last = Kept::new(at, bytes);
        let supports = self.changes.entry(handle).or_default();
        match supports.get_mut(by) {
            Some(support) => support.last = last,
            None => drop(supports.insert(by.clone(), Support { last, is_old: false })),
        }
    }

    /// A support was withdrawn: nothing remains of one that the range gave.
    pub(super) fn unjustify(&mut self, handle: FactHandle, by: &MatchId, at: At, bytes: &[u8]) {
        let supports = self.changes.entry(handle).or_default();
        match supports.get_mut(by) {
            Some(support) if support.is_old => support.last = Kept::new(at, bytes),
            Some(_) => drop(supports.remove(by)),
            None => {
                let last = Kept::new(at, bytes);
                supports.insert(by.clone(), Support { last, is_old: true });
                self.old.insert((handle, by.clone()));
            }
        }
    }

    /// The fact is gone, and with it all of its supports.
    pub(super) fn forget(&mut self, handle: FactHandle) {
        self.changes.remove(&handle);
    }

    /// The facts whose supports change.
    pub(super) fn facts(&self) -> impl Iterator<Item = FactHandle> {
        self.changes.keys().chain(self.old.iter().map(|(handle, _)| handle)).copied()
    }

    /// Adds the records that remain.
    pub(super) fn survivors<'a>(&'a self, survivors: &mut Vec<(At, Survivor<'a>)>) {
        let supports = self.changes.values().flat_map(BTreeMap::values);
        survivors.extend(
            supports.map(|support| (support.last.at, Survivor::Bytes(&support.last.bytes))),
        );
    }
}
