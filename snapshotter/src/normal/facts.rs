//! Facts: what became of each in the range.

use std::ops::Range;

use steadfast_wm::codec::v1;
use steadfast_wm::{FactHandle, Record, RuleTag, Seq, TypeTag};

use super::supports::Supports;
use super::{At, Kept, Survivor};
use crate::by_handle::ByHandle;
use crate::error::FoldError;

/// A fact that the range inserts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Born {
    at: At,
    kind: TypeTag,
    version: u32,
    bytes: Vec<u8>,
    seq: Seq,
    origin: Option<RuleTag>,
    stated: bool,
    clock: i64,
}

/// The last update of a fact that is older than the range.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Updated {
    at: At,
    version: u32,
    bytes: Vec<u8>,
    mask: u64,
    seq: Seq,
    origin: Option<RuleTag>,
}

/// What became of a fact.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Change {
    Born(Born),
    /// It is older than the range.
    Old {
        updated: Option<Updated>,
        stated: Option<Kept>,
    },
    /// It is older than the range and was deleted.
    Gone(Kept),
}

/// An operation that no flush has matched: its bytes in the arena.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Staged {
    at: At,
    bytes: Range<usize>,
}

/// The facts that the range changes.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(super) struct Facts {
    pub(super) changes: ByHandle<Change>,
    staged: Vec<Staged>,
    arena: Vec<u8>,
}

impl Facts {
    /// Takes in an operation; it remains verbatim until the next flush.
    pub(super) fn stage(&mut self, at: At, bytes: &[u8]) {
        let start = self.arena.len();
        self.arena.extend_from_slice(bytes);
        self.staged.push(Staged { at, bytes: start..self.arena.len() });
    }

    /// How many facts were born and live, and how many older ones were changed.
    pub(super) fn count(&self) -> (u64, u64) {
        let born = |(_, change): &(FactHandle, &Change)| matches!(change, Change::Born(_));
        let born = self.changes.unordered().filter(born).count() as u64;
        (born, self.changes.len() as u64 - born)
    }

    /// The operations that no flush has matched.
    pub(super) fn staged(&self) -> impl Iterator<Item = Record<'_>> {
        self.staged.iter().map(|staged| {
            let (record, _) = v1::decode(&self.arena[staged.bytes.clone()])
                .expect("these are the bytes that the record was decoded from");
            record
        })
    }

    /// Everything staged is in the facts from now on.
    pub(super) fn flush(&mut self, supports: &mut Supports) -> Result<(), FoldError> {
        let (mut staged, arena) =
            (std::mem::take(&mut self.staged), std::mem::take(&mut self.arena));
        for operation in staged.drain(..) {
            let bytes = &arena[operation.bytes];
            let (record, _) =
                v1::decode(bytes).expect("these are the bytes that the record was decoded from");
            self.settle(operation.at, &record, bytes, supports)?;
        }
        // The memory is used again.
        (self.staged, self.arena) = (staged, arena);
        self.arena.clear();
        Ok(())
    }

    fn settle(
        &mut self,
        at: At,
        record: &Record<'_>,
        encoded: &[u8],
        supports: &mut Supports,
    ) -> Result<(), FoldError> {
        match record {
            Record::Insert { handle, kind, version, bytes, seq, origin, stated, clock } => {
                let (kind, version, bytes) = (*kind, *version, bytes.to_vec());
                let (seq, origin, stated, clock) = (*seq, *origin, *stated, *clock);
                let born = Born { at, kind, version, bytes, seq, origin, stated, clock };
                // A handle is given once: the place of another fact cannot be folded into this one.
                if self.changes.insert(*handle, Change::Born(born)).is_some() {
                    return Err(FoldError::DuplicateFact { handle: *handle });
                }
            }
            Record::Update { handle, version, bytes, mask, seq, origin } => {
                let update = (*version, *bytes, *mask, *seq, *origin);
                self.update(at, *handle, update);
            }
            Record::Stated { handle, stated, .. } => match self.changes.get_mut(*handle) {
                Some(Change::Born(born)) => born.stated = *stated,
                Some(Change::Old { stated, .. }) => *stated = Some(Kept::new(at, encoded)),
                Some(Change::Gone(_)) => {}
                None => {
                    let stated = Some(Kept::new(at, encoded));
                    self.changes.insert(*handle, Change::Old { updated: None, stated });
                }
            },
            Record::Delete { handle, .. } => {
                supports.forget(*handle);
                match self.changes.get_mut(*handle) {
                    Some(Change::Born(_)) => {
                        self.changes.remove(*handle);
                    }
                    Some(Change::Gone(_)) => {}
                    old @ (Some(Change::Old { .. }) | None) => {
                        let gone = Change::Gone(Kept::new(at, encoded));
                        match old {
                            Some(old) => *old = gone,
                            None => drop(self.changes.insert(*handle, gone)),
                        }
                    }
                }
            }
            other => unreachable!("only operations are staged, not {other:?}"),
        }
        Ok(())
    }

    fn update(
        &mut self,
        at: At,
        handle: FactHandle,
        (version, bytes, mask, seq, origin): (u32, &[u8], u64, Seq, Option<RuleTag>),
    ) {
        let replace = |old: &mut Vec<u8>| {
            old.clear();
            old.extend_from_slice(bytes);
        };
        match self.changes.get_mut(handle) {
            Some(Change::Born(born)) => {
                replace(&mut born.bytes);
                (born.version, born.seq, born.origin) = (version, seq, origin);
            }
            Some(Change::Old { updated: Some(updated), .. }) => {
                replace(&mut updated.bytes);
                (updated.at, updated.version) = (at, version);
                (updated.seq, updated.origin) = (seq, origin);
                updated.mask |= mask;
            }
            Some(Change::Gone(_)) => {}
            old @ (Some(Change::Old { .. }) | None) => {
                let bytes = bytes.to_vec();
                let new = Some(Updated { at, version, bytes, mask, seq, origin });
                match old {
                    Some(Change::Old { updated, .. }) => *updated = new,
                    _ => {
                        self.changes.insert(handle, Change::Old { updated: new, stated: None });
                    }
                }
            }
        }
    }

    /// Adds the records that remain.
    pub(super) fn survivors<'a>(&'a self, survivors: &mut Vec<(At, Survivor<'a>)>) {
        // Whoever asks sorts them by their place.
        for (handle, change) in self.changes.unordered() {
            match change {
                Change::Born(born) => {
                    let &Born { at, kind, version, ref bytes, seq, origin, stated, clock } = born;
                    let record =
                        Record::Insert { handle, kind, version, bytes, seq, origin, stated, clock };
                    survivors.push((at, Survivor::Record(record)));
                }
                Change::Old { updated, stated } => {
                    if let Some(updated) = updated {
                        let &Updated { at, version, ref bytes, mask, seq, origin } = updated;
                        let record = Record::Update { handle, version, bytes, mask, seq, origin };
                        survivors.push((at, Survivor::Record(record)));
                    }
                    survivors.extend(
                        stated.as_ref().map(|kept| (kept.at, Survivor::Bytes(&kept.bytes))),
                    );
                }
                Change::Gone(kept) => survivors.push((kept.at, Survivor::Bytes(&kept.bytes))),
            }
        }
        for staged in &self.staged {
            let bytes = &self.arena[staged.bytes.clone()];
            survivors.push((staged.at, Survivor::Bytes(bytes)));
        }
    }
}
