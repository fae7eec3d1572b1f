//! Facts: what became of each in the range.

use steadfast_wm::{FactHandle, Record, RuleTag, Seq, TypeTag};

use super::supports::Supports;
use super::{At, Survivor};
use crate::by_handle::ByHandle;
use crate::error::FoldError;
use crate::spare::Spare;

/// A fact that the range inserts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Born {
    at: At,
    kind: TypeTag,
    version: u32,
    bytes: Box<[u8]>,
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
    bytes: Box<[u8]>,
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

/// An operation that no flush has matched.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Staged {
    at: At,
    handle: FactHandle,
    operation: Operation,
    /// Empty if the operation has none.
    value: Box<[u8]>,
}

/// The facts that the range changes.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(super) struct Facts {
    pub(super) changes: ByHandle<Change>,
    staged: Vec<Staged>,
    spare: Spare,
}

impl Facts {
    /// Takes in an operation; it remains as it is until the next flush.
    pub(super) fn stage(&mut self, at: At, record: &Record<'_>) {
        let staged = match *record {
            Record::Update { handle, version, bytes, mask, seq, origin } => {
                let operation = Operation::Update { version, mask, seq, origin };
                Staged { at, handle, operation, value: self.spare.fill(bytes) }
            }
            Record::Insert { handle, kind, version, bytes, seq, origin, stated, clock } => {
                let operation = Operation::Insert { kind, version, seq, origin, stated, clock };
                Staged { at, handle, operation, value: self.spare.fill(bytes) }
            }
            Record::Delete { handle, seq, origin, cascade } => {
                let operation = Operation::Delete { seq, origin, cascade };
                Staged { at, handle, operation, value: Box::default() }
            }
            Record::Stated { handle, stated, seq } => {
                let operation = Operation::Stated { stated, seq };
                Staged { at, handle, operation, value: Box::default() }
            }
            ref other => unreachable!("only operations are staged, not {other:?}"),
        };
        self.staged.push(staged);
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

    /// Older facts of which the range says whether they are stated, with what it says last.
    pub(super) fn statements(&self) -> impl Iterator<Item = (FactHandle, bool)> {
        self.changes.unordered().filter_map(|(handle, change)| match change {
            Change::Old { stated, .. } => Some((handle, (*stated)?.stated)),
            Change::Born(_) | Change::Gone(_) => None,
        })
    }

    /// Everything staged is in the facts from now on.
    pub(super) fn flush(&mut self, supports: &mut Supports) -> Result<(), FoldError> {
        let Self { changes, staged, spare } = self;
        // In place: an operation is long, and moving it costs more than what is done with it.
        for staged in &mut *staged {
            settle(changes, spare, staged, supports)?;
        }
        staged.clear();
        Ok(())
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
            self.staged.iter().map(|staged| (staged.at, Survivor::Record(staged.record()))),
        );
    }
}

impl Staged {
    /// The operation as it was.
    fn record(&self) -> Record<'_> {
        let (handle, bytes) = (self.handle, &*self.value);
        match self.operation {
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

/// Lets a fact have become what the operation makes of it.
fn settle(
    changes: &mut ByHandle<Change>,
    spare: &mut Spare,
    staged: &mut Staged,
    supports: &mut Supports,
) -> Result<(), FoldError> {
    let (at, handle) = (staged.at, staged.handle);
    match staged.operation {
        Operation::Update { .. } => update(changes, spare, staged),
        Operation::Insert { kind, version, seq, origin, stated, clock } => {
            let bytes = std::mem::take(&mut staged.value);
            let born = Born { at, kind, version, bytes, seq, origin, stated, clock };
            // A handle is given once: the place of another fact cannot be folded into this one.
            if changes.insert(handle, Change::Born(born)).is_some() {
                return Err(FoldError::DuplicateFact { handle });
            }
        }
        Operation::Stated { stated, seq } => {
            let last = Some(Statement { at, stated, seq });
            match changes.get_mut(handle) {
                Some(Change::Born(born)) => born.stated = stated,
                Some(Change::Old { stated, .. }) => *stated = last,
                Some(Change::Gone(_)) => {}
                None => {
                    changes.insert(handle, Change::Old { updated: None, stated: last });
                }
            }
        }
        Operation::Delete { seq, origin, cascade } => {
            supports.forget(handle);
            let gone = Change::Gone(Gone { at, seq, origin, cascade });
            match changes.get_mut(handle) {
                Some(Change::Born(born)) => {
                    spare.keep(std::mem::take(&mut born.bytes));
                    changes.remove(handle);
                }
                Some(Change::Gone(_)) => {}
                Some(old @ Change::Old { .. }) => *old = gone,
                None => drop(changes.insert(handle, gone)),
            }
        }
    }
    Ok(())
}

fn update(changes: &mut ByHandle<Change>, spare: &mut Spare, staged: &mut Staged) {
    let Operation::Update { version, mask, seq, origin } = staged.operation else { return };
    let (at, handle) = (staged.at, staged.handle);
    let old = match changes.get_mut(handle) {
        Some(Change::Born(born)) => {
            (born.version, born.seq, born.origin) = (version, seq, origin);
            Some(&mut born.bytes)
        }
        Some(Change::Old { updated: Some(updated), .. }) => {
            (updated.at, updated.version) = (at, version);
            (updated.seq, updated.origin) = (seq, origin);
            updated.mask |= mask;
            Some(&mut updated.bytes)
        }
        Some(Change::Gone(_)) => None,
        old @ (Some(Change::Old { .. }) | None) => {
            let bytes = std::mem::take(&mut staged.value);
            let new = Some(Updated { at, version, bytes, mask, seq, origin });
            match old {
                Some(Change::Old { updated, .. }) => *updated = new,
                _ => drop(changes.insert(handle, Change::Old { updated: new, stated: None })),
            }
            return;
        }
    };
    if let Some(old) = old {
        std::mem::swap(old, &mut staged.value);
    }
    spare.keep(std::mem::take(&mut staged.value));
}
