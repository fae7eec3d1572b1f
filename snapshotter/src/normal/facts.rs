//! Facts: what became of each in the range.

use std::ops::Range;

use steadfast_wm::{FactHandle, Record, RuleTag, Seq, TypeTag};

use super::supports::Supports;
use super::{At, Survivor};
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

/// The last statement of a fact that is older than the range.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Statement {
    at: At,
    stated: bool,
    seq: Seq,
}

/// The deletion of a fact that is older than the range.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Gone {
    at: At,
    seq: Seq,
    origin: Option<RuleTag>,
    cascade: bool,
}

/// What became of a fact.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Change {
    Born(Born),
    /// It is older than the range.
    Old {
        updated: Option<Updated>,
        stated: Option<Statement>,
    },
    /// It is older than the range and was deleted.
    Gone(Gone),
}

/// An operation without its value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Operation {
    Insert {
        kind: TypeTag,
        version: u32,
        seq: Seq,
        origin: Option<RuleTag>,
        stated: bool,
        clock: i64,
    },
    Update {
        version: u32,
        mask: u64,
        seq: Seq,
        origin: Option<RuleTag>,
    },
    Delete {
        seq: Seq,
        origin: Option<RuleTag>,
        cascade: bool,
    },
    Stated {
        stated: bool,
        seq: Seq,
    },
}

/// An operation that no flush has matched: its value is in the arena.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Staged {
    at: At,
    handle: FactHandle,
    operation: Operation,
    value: Range<usize>,
}

/// The facts that the range changes.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(super) struct Facts {
    pub(super) changes: ByHandle<Change>,
    staged: Vec<Staged>,
    arena: Vec<u8>,
}

impl Facts {
    /// Takes in an operation; it remains as it is until the next flush.
    pub(super) fn stage(&mut self, at: At, record: &Record<'_>) {
        let (handle, operation, value) = match *record {
            Record::Insert { handle, kind, version, bytes, seq, origin, stated, clock } => {
                (handle, Operation::Insert { kind, version, seq, origin, stated, clock }, bytes)
            }
            Record::Update { handle, version, bytes, mask, seq, origin } => {
                (handle, Operation::Update { version, mask, seq, origin }, bytes)
            }
            Record::Delete { handle, seq, origin, cascade } => {
                (handle, Operation::Delete { seq, origin, cascade }, &[][..])
            }
            Record::Stated { handle, stated, seq } => {
                (handle, Operation::Stated { stated, seq }, &[][..])
            }
            ref other => unreachable!("only operations are staged, not {other:?}"),
        };
        let start = self.arena.len();
        self.arena.extend_from_slice(value);
        self.staged.push(Staged { at, handle, operation, value: start..self.arena.len() });
    }

    /// How many facts were born and live, and how many older ones were changed.
    pub(super) fn count(&self) -> (u64, u64) {
        let born = |(_, change): &(FactHandle, &Change)| matches!(change, Change::Born(_));
        let born = self.changes.unordered().filter(born).count() as u64;
        (born, self.changes.len() as u64 - born)
    }

    /// Facts that operations change which no flush has matched.
    pub(super) fn staged_changes(&self) -> impl Iterator<Item = FactHandle> {
        let changes = |staged: &&Staged| !matches!(staged.operation, Operation::Insert { .. });
        self.staged.iter().filter(changes).map(|staged| staged.handle)
    }

    /// Everything staged is in the facts from now on.
    pub(super) fn flush(&mut self, supports: &mut Supports) -> Result<(), FoldError> {
        let (mut staged, arena) =
            (std::mem::take(&mut self.staged), std::mem::take(&mut self.arena));
        for Staged { at, handle, operation, value } in staged.drain(..) {
            self.settle(at, handle, operation, &arena[value], supports)?;
        }
        // The memory is used again.
        (self.staged, self.arena) = (staged, arena);
        self.arena.clear();
        Ok(())
    }

    fn settle(
        &mut self,
        at: At,
        handle: FactHandle,
        operation: Operation,
        value: &[u8],
        supports: &mut Supports,
    ) -> Result<(), FoldError> {
        match operation {
            Operation::Insert { kind, version, seq, origin, stated, clock } => {
                let bytes = value.to_vec();
                let born = Born { at, kind, version, bytes, seq, origin, stated, clock };
                // A handle is given once: the place of another fact cannot be folded into this one.
                if self.changes.insert(handle, Change::Born(born)).is_some() {
                    return Err(FoldError::DuplicateFact { handle });
                }
            }
            Operation::Update { version, mask, seq, origin } => {
                self.update(at, handle, (version, value, mask, seq, origin));
            }
            Operation::Stated { stated, seq } => {
                let last = Some(Statement { at, stated, seq });
                match self.changes.get_mut(handle) {
                    Some(Change::Born(born)) => born.stated = stated,
                    Some(Change::Old { stated, .. }) => *stated = last,
                    Some(Change::Gone(_)) => {}
                    None => {
                        self.changes.insert(handle, Change::Old { updated: None, stated: last });
                    }
                }
            }
            Operation::Delete { seq, origin, cascade } => {
                supports.forget(handle);
                let gone = Change::Gone(Gone { at, seq, origin, cascade });
                match self.changes.get_mut(handle) {
                    Some(Change::Born(_)) => {
                        self.changes.remove(handle);
                    }
                    Some(Change::Gone(_)) => {}
                    Some(old @ Change::Old { .. }) => *old = gone,
                    None => drop(self.changes.insert(handle, gone)),
                }
            }
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
                    if let Some(Statement { at, stated, seq }) = *stated {
                        let record = Record::Stated { handle, stated, seq };
                        survivors.push((at, Survivor::Record(record)));
                    }
                }
                Change::Gone(gone) => {
                    let Gone { at, seq, origin, cascade } = *gone;
                    let record = Record::Delete { handle, seq, origin, cascade };
                    survivors.push((at, Survivor::Record(record)));
                }
            }
        }
        survivors.extend(
            self.staged.iter().map(|staged| (staged.at, Survivor::Record(self.record(staged)))),
        );
    }

    /// A staged operation as it was.
    fn record(&self, staged: &Staged) -> Record<'_> {
        let (handle, bytes) = (staged.handle, &self.arena[staged.value.clone()]);
        match staged.operation {
            Operation::Insert { kind, version, seq, origin, stated, clock } => {
                Record::Insert { handle, kind, version, bytes, seq, origin, stated, clock }
            }
            Operation::Update { version, mask, seq, origin } => {
                Record::Update { handle, version, bytes, mask, seq, origin }
            }
            Operation::Delete { seq, origin, cascade } => {
                Record::Delete { handle, seq, origin, cascade }
            }
            Operation::Stated { stated, seq } => Record::Stated { handle, stated, seq },
        }
    }
}
