//! The folded state of a session.

mod digest;
mod presume;
mod records;

use std::collections::{BTreeMap, BTreeSet};

use steadfast_wm::{
    CommitSeq, Counters, FactHandle, Inserts, MatchId, Record, RuleTag, RulesetManifest, SafePoint,
    Seq, TypeTag,
};

use crate::by_handle::{ByHandle, Handles};
use crate::error::FoldError;
use crate::spare::Spare;

/// A fact as of the last flush.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fact {
    /// Its type.
    pub kind: TypeTag,
    /// Schema version of `bytes`.
    pub version: u32,
    /// Its value.
    pub bytes: Box<[u8]>,
    /// The last operation on it.
    pub seq: Seq,
    /// The rule that issued that operation, if one did.
    pub origin: Option<RuleTag>,
    /// Whether it is stated, not only derived.
    pub stated: bool,
    /// The session's clock at its insertion, in milliseconds.
    pub clock: i64,
}

impl Fact {
    /// Takes the fact away, and leaves one without a value.
    fn take(&mut self) -> Self {
        let bytes = std::mem::take(&mut self.bytes);
        Self { bytes, ..*self }
    }
}

/// An operation that no flush has matched yet, verbatim.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum StagedOperation {
    /// A fact enters.
    Insert {
        /// Its identity.
        handle: FactHandle,
        /// Everything else.
        fact: Fact,
    },
    /// A fact changes.
    Update {
        /// Its identity.
        handle: FactHandle,
        /// Schema version of `bytes`.
        version: u32,
        /// Its new value.
        bytes: Box<[u8]>,
        /// The fields that changed.
        mask: u64,
        /// The operation.
        seq: Seq,
        /// The rule that issued it, if one did.
        origin: Option<RuleTag>,
    },
    /// A fact leaves.
    Delete {
        /// Its identity.
        handle: FactHandle,
        /// The operation.
        seq: Seq,
        /// The rule that issued it, if one did.
        origin: Option<RuleTag>,
    },
    /// A fact becomes stated or ceases to be.
    Stated {
        /// Its identity.
        handle: FactHandle,
        /// What it becomes.
        stated: bool,
        /// The operation.
        seq: Seq,
    },
}

/// What lock-on-active must know of an agenda group.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct GroupMarks {
    /// Whether it is active.
    pub active: bool,
    /// The last operation before it last became active; 0 for none.
    pub activated: Seq,
    /// The last operation before it was last cleared; 0 for none.
    pub cleared: Seq,
}

/// An effect that waits for its acknowledgement.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Effect {
    /// Its topic.
    pub topic: String,
    /// Schema version of `bytes`.
    pub version: u32,
    /// Its payload.
    pub bytes: Box<[u8]>,
}

/// The folded state of a session: what its future depends on.
///
/// It stands for a state only at a commit boundary ([`Image::is_at_boundary`]); in between it holds
/// the first part of a commit.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Image {
    types: Vec<String>,
    manifest: Option<RulesetManifest>,
    facts: ByHandle<Fact>,
    staged: Vec<StagedOperation>,
    spare: Spare,
    /// Handles that the staged operations insert; those that they delete.
    born: Handles,
    dying: BTreeSet<FactHandle>,
    pending: BTreeMap<MatchId, (i32, Seq)>,
    waiting: BTreeMap<MatchId, i64>,
    focus: Vec<String>,
    group_marks: BTreeMap<String, GroupMarks>,
    justifications: BTreeMap<FactHandle, BTreeSet<MatchId>>,
    globals: BTreeMap<String, (u32, Box<[u8]>)>,
    clock: i64,
    evaluated: bool,
    counters: Counters,
    commit: CommitSeq,
    point: Option<SafePoint>,
    /// Effects of the commit that is not complete yet.
    emitted: BTreeMap<u32, Effect>,
    outbox: BTreeMap<(CommitSeq, u32), Effect>,
    within_commit: bool,
}

impl Image {
    /// Folds one record in. There is no record that it passes over (INV-62).
    ///
    /// # Errors
    ///
    /// [`FoldError`] if the record contradicts those before it; the image is as it was.
    pub fn apply(&mut self, record: &Record<'_>) -> Result<(), FoldError> {
        self.within_commit = !matches!(record, Record::Commit { .. } | Record::Acknowledge { .. });
        match record {
            Record::Insert { .. } | Record::Update { .. } | Record::Delete { .. } => {
                self.stage(record)?;
            }
            Record::Inserts(inserts) => self.stage_run(inserts)?,
            Record::Stated { handle, stated, seq } => {
                self.check_live("statement", *handle)?;
                let (handle, stated, seq) = (*handle, *stated, *seq);
                self.staged.push(StagedOperation::Stated { handle, stated, seq });
            }
            Record::Ruleset { manifest, .. } => self.manifest = Some(manifest.clone()),
            Record::Type { tag, name } => self.name_type(*tag, name)?,
            Record::Justify { handle, by } => {
                self.check_live("justification", *handle)?;
                self.justifications.entry(*handle).or_default().insert(by.clone());
            }
            Record::Unjustify { handle, by } => {
                let supports = self.justifications.get_mut(handle).filter(|all| all.contains(by));
                let Some(supports) = supports else {
                    let what = "withdrawal of a justification";
                    return Err(FoldError::UnknownFact { what, handle: *handle });
                };
                supports.remove(by);
                // A fact without a justification is one that never had any: nothing tells them apart.
                if supports.is_empty() {
                    self.justifications.remove(handle);
                }
            }
            Record::Evaluated | Record::Fired { .. } => self.flush(),
            Record::Pending { by, salience, trigger } => {
                self.pending.insert(by.clone(), (*salience, *trigger));
            }
            Record::Withdrawn { by } => {
                self.pending.remove(by);
            }
            Record::Due { by, at } => self.wait(by, *at),
            Record::Focus { groups } => {
                self.focus = groups.iter().map(|group| (*group).to_owned()).collect();
            }
            Record::GroupMarks { group, active, activated, cleared } => {
                let (active, activated, cleared) = (*active, *activated, *cleared);
                self.mark_group(group, GroupMarks { active, activated, cleared });
            }
            Record::SetGlobal { name, version, bytes, .. } => {
                self.globals.insert((*name).to_owned(), (*version, (*bytes).into()));
            }
            Record::Clock { millis, .. } => self.clock = *millis,
            Record::Effect { ordinal, topic, version, bytes } => {
                let topic = (*topic).to_owned();
                let effect = Effect { topic, version: *version, bytes: (*bytes).into() };
                self.emitted.insert(*ordinal, effect);
            }
            Record::Acknowledge { commit, ordinal } => {
                if self.outbox.remove(&(*commit, *ordinal)).is_none() {
                    let (commit, ordinal) = (*commit, *ordinal);
                    return Err(FoldError::UnknownEffect { commit, ordinal });
                }
            }
            Record::Commit { commit, point, counters } => {
                self.close_commit(*commit, *point, *counters)?;
            }
            Record::Folded { through } => {
                if through.get() <= self.commit.get() {
                    return Err(FoldError::CommitOrder { found: *through, last: self.commit });
                }
                self.commit = *through;
            }
        }
        Ok(())
    }

    /// A match waits for this time from now on, or no longer.
    fn wait(&mut self, by: &MatchId, due: Option<i64>) {
        match due {
            Some(due) => drop(self.waiting.insert(by.clone(), due)),
            None => drop(self.waiting.remove(by)),
        }
    }

    /// Stages insertions that follow one another: all of them or none.
    fn stage_run(&mut self, inserts: &Inserts<'_>) -> Result<(), FoldError> {
        let handles = (inserts.handle.get()..).map(FactHandle::new);
        for (handle, _) in handles.zip(inserts.values.iter()) {
            self.check_new(handle, inserts.kind)?;
        }
        inserts.records().try_for_each(|record| self.stage(&record))
    }

    /// An insertion gives a new handle to a fact of a type with a name.
    fn check_new(&self, handle: FactHandle, kind: TypeTag) -> Result<(), FoldError> {
        if self.is_live(handle) || self.dying.contains(&handle) {
            return Err(FoldError::DuplicateFact { handle });
        }
        if kind.get() as usize >= self.types.len() {
            return Err(FoldError::UnknownType { handle, kind });
        }
        Ok(())
    }

    fn stage(&mut self, record: &Record<'_>) -> Result<(), FoldError> {
        match record {
            Record::Insert { handle, kind, version, bytes, seq, origin, stated, clock } => {
                let (handle, kind) = (*handle, *kind);
                self.check_new(handle, kind)?;
                let fact = Fact {
                    kind,
                    version: *version,
                    bytes: self.spare.fill(bytes),
                    seq: *seq,
                    origin: *origin,
                    stated: *stated,
                    clock: *clock,
                };
                self.born.insert(handle);
                self.staged.push(StagedOperation::Insert { handle, fact });
            }
            Record::Update { handle, version, bytes, mask, seq, origin } => {
                self.check_live("update", *handle)?;
                let value = self.spare.fill(bytes);
                self.staged.extend(std::iter::once_with(|| StagedOperation::Update {
                    handle: *handle,
                    version: *version,
                    bytes: value,
                    mask: *mask,
                    seq: *seq,
                    origin: *origin,
                }));
            }
            Record::Delete { handle, seq, origin, .. } => {
                self.check_live("deletion", *handle)?;
                let (handle, seq, origin) = (*handle, *seq, *origin);
                self.dying.insert(handle);
                self.staged.push(StagedOperation::Delete { handle, seq, origin });
            }
            _ => {}
        }
        Ok(())
    }

    fn is_live(&self, handle: FactHandle) -> bool {
        let known = self.facts.contains(handle) || self.born.contains(handle);
        known && !self.dying.contains(&handle)
    }

    fn check_live(&self, what: &'static str, handle: FactHandle) -> Result<(), FoldError> {
        if self.is_live(handle) { Ok(()) } else { Err(FoldError::UnknownFact { what, handle }) }
    }

    fn name_type(&mut self, tag: TypeTag, name: &str) -> Result<(), FoldError> {
        let expected = u32::try_from(self.types.len()).unwrap_or(u32::MAX);
        if tag.get() != expected || self.types.iter().any(|known| known == name) {
            let (name, found) = (name.to_owned(), tag.get());
            return Err(FoldError::DictionaryOrder { name, found, expected });
        }
        self.types.push(name.to_owned());
        Ok(())
    }

    /// Everything staged is in the facts from now on.
    fn flush(&mut self) {
        self.evaluated = true;
        self.born.clear();
        self.dying.clear();
        // In place: an operation is long, and moving it costs more than what is done with it.
        for operation in &mut self.staged {
            match operation {
                StagedOperation::Update { handle, version, bytes, seq, origin, .. } => {
                    if let Some(fact) = self.facts.get_mut(*handle) {
                        (fact.version, fact.seq, fact.origin) = (*version, *seq, *origin);
                        std::mem::swap(&mut fact.bytes, bytes);
                    }
                    self.spare.keep(std::mem::take(bytes));
                }
                StagedOperation::Insert { handle, fact } => {
                    self.facts.insert(*handle, fact.take());
                }
                StagedOperation::Delete { handle, .. } => {
                    if let Some(fact) = self.facts.remove(*handle) {
                        self.spare.keep(fact.bytes);
                    }
                    self.justifications.remove(handle);
                }
                StagedOperation::Stated { handle, stated, .. } => {
                    if let Some(fact) = self.facts.get_mut(*handle) {
                        fact.stated = *stated;
                    }
                }
            }
        }
        self.staged.clear();
    }

    /// Marks that say nothing are not kept.
    fn mark_group(&mut self, group: &str, marks: GroupMarks) {
        if marks == GroupMarks::default() {
            self.group_marks.remove(group);
        } else {
            self.group_marks.insert(group.to_owned(), marks);
        }
    }

    fn close_commit(
        &mut self,
        commit: CommitSeq,
        point: SafePoint,
        counters: Counters,
    ) -> Result<(), FoldError> {
        if commit.get() != self.commit.get() + 1 {
            return Err(FoldError::CommitOrder { found: commit, last: self.commit });
        }
        if !self.emitted.is_empty() {
            let emitted = std::mem::take(&mut self.emitted);
            let effects = emitted.into_iter().map(|(ordinal, effect)| ((commit, ordinal), effect));
            self.outbox.extend(effects);
        }
        (self.commit, self.point, self.counters) = (commit, Some(point), counters);
        Ok(())
    }

    /// Whether the last record completed a commit, so that the image stands for a state.
    pub fn is_at_boundary(&self) -> bool {
        !self.within_commit
    }

    /// The dictionary of types: names by number.
    pub fn types(&self) -> &[String] {
        &self.types
    }

    /// The rules that the session works under; `None` before the first record.
    pub fn manifest(&self) -> Option<&RulesetManifest> {
        self.manifest.as_ref()
    }

    /// Facts as of the last flush, by handle.
    pub fn facts(&self) -> impl ExactSizeIterator<Item = (FactHandle, &Fact)> {
        self.facts.sorted()
    }

    /// Operations since the last flush, in order.
    pub fn staged(&self) -> &[StagedOperation] {
        &self.staged
    }

    /// The pending set: matches with salience and trigger.
    pub fn pending(&self) -> impl ExactSizeIterator<Item = (&MatchId, i32, Seq)> {
        self.pending.iter().map(|(id, (salience, trigger))| (id, *salience, *trigger))
    }

    /// Matches that wait for a time of the clock, in milliseconds.
    pub fn waiting(&self) -> impl ExactSizeIterator<Item = (&MatchId, i64)> {
        self.waiting.iter().map(|(id, due)| (id, *due))
    }

    /// The focus: agenda groups above `MAIN`, the one that fires last.
    pub fn focus(&self) -> &[String] {
        &self.focus
    }

    /// Agenda groups that were active or cleared, with their marks.
    pub fn group_marks(&self) -> impl ExactSizeIterator<Item = (&str, GroupMarks)> {
        self.group_marks.iter().map(|(group, marks)| (group.as_str(), *marks))
    }

    /// Justifications: facts with the matches that support them.
    pub fn justifications(&self) -> impl Iterator<Item = (FactHandle, &MatchId)> {
        let facts = self.justifications.iter();
        facts.flat_map(|(handle, matches)| matches.iter().map(|by| (*handle, by)))
    }

    /// Globals: names with version and value.
    pub fn globals(&self) -> impl Iterator<Item = (&str, u32, &[u8])> {
        let globals = self.globals.iter();
        globals.map(|(name, (version, bytes))| (name.as_str(), *version, &**bytes))
    }

    /// The clock in milliseconds.
    pub fn clock(&self) -> i64 {
        self.clock
    }

    /// Whether the session was ever evaluated. Before that every match is new.
    pub fn is_evaluated(&self) -> bool {
        self.evaluated
    }

    /// The counters at the last commit boundary.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// The last commit; 0 before the first.
    pub fn commit(&self) -> CommitSeq {
        self.commit
    }

    /// What kind of boundary the last commit ended at.
    pub fn point(&self) -> Option<SafePoint> {
        self.point
    }

    /// Effects that nobody has acknowledged, by commit and place in it.
    pub fn outbox(&self) -> impl ExactSizeIterator<Item = (CommitSeq, u32, &Effect)> {
        self.outbox.iter().map(|((commit, ordinal), effect)| (*commit, *ordinal, effect))
    }
}

#[cfg(test)]
mod tests;
