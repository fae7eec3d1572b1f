//! From a journal to an engine.

use std::ops::ControlFlow;

use steadfast_engine_core::ir::Ruleset;
use steadfast_engine_core::{
    ActionSink, Engine, FactImage, RestoreError, RestoreOptions, RulesPolicy, StagedImage,
};
use steadfast_journal::Journal;
use steadfast_snapshotter::{Fact, FoldJournalError, Folded, Image, StagedOperation, fold_journal};
use steadfast_wm::{FactHandle, SessionId};

/// What a recovery is doing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Phase {
    /// Reading the journal and folding it; counted in bytes.
    Fold,
    /// Putting facts back; counted in facts.
    Facts,
    /// Matching them; counted in rules.
    Network,
}

/// How far a recovery has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Progress {
    /// What it is doing.
    pub phase: Phase,
    /// How much of it is done.
    pub done: u64,
    /// How much there is to do.
    pub total: u64,
}

impl std::fmt::Display for Progress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (what, unit) = match self.phase {
            Phase::Fold => ("reading the journal", "bytes"),
            Phase::Facts => ("restoring facts", "facts"),
            Phase::Network => ("matching", "rules"),
        };
        write!(f, "{what}: {} of {} {unit}", self.done, self.total)
    }
}

/// A rebuilt engine and what else the image held.
#[derive(Debug)]
pub struct Recovered {
    /// The engine, as of the last safe point.
    pub engine: Engine,
    /// The image that it was rebuilt from: its outbox and its last commit are the caller's.
    pub image: Image,
    /// Whether the ruleset differs from the journal's: a commit is due for what that did.
    pub rules_changed: bool,
    /// How many records were folded.
    pub records: u64,
}

/// Why a session could not be recovered. No file was changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecoverError {
    /// The journal could not be folded.
    #[error(transparent)]
    Fold(#[from] FoldJournalError),
    /// The engine could not be rebuilt.
    #[error(transparent)]
    Rebuild(#[from] RebuildError),
}

/// Why an engine could not be rebuilt from an image.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RebuildError {
    /// The image has no ruleset or ends inside a commit.
    #[error("the journal's records end inside a commit or name no ruleset")]
    Incomplete,
    /// The engine refused.
    #[error(transparent)]
    Restore(#[from] RestoreError),
}

/// Recovers a session from its journal (INV-71, INV-72); `None` if the journal holds no record yet.
///
/// What a changed ruleset does is reported to `sink`; without a change `sink` sees nothing.
///
/// # Errors
///
/// [`RecoverError`]; nothing was changed.
pub fn recover(
    journal: &Journal,
    ruleset: &Ruleset,
    policy: RulesPolicy,
    sink: &mut dyn ActionSink,
    progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
) -> Result<Option<Recovered>, RecoverError> {
    let Folded { image, lsn, records } = fold_journal(journal, |done, total| {
        let (done, total) = (done.get(), total.get());
        progress(Progress { phase: Phase::Fold, done, total })
    })?;
    if lsn.is_none() {
        return Ok(None);
    }
    let session = SessionId::from_bytes(*journal.session().as_bytes());
    let (engine, rules_changed) = rebuild(&image, ruleset, session, policy, sink, progress)?;
    Ok(Some(Recovered { engine, image, rules_changed, records }))
}

/// Rebuilds an engine from an image; also says whether the ruleset differs from the image's.
///
/// # Errors
///
/// [`RebuildError`].
pub fn rebuild(
    image: &Image,
    ruleset: &Ruleset,
    session: SessionId,
    policy: RulesPolicy,
    sink: &mut dyn ActionSink,
    progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
) -> Result<(Engine, bool), RebuildError> {
    let manifest = image.manifest().filter(|_| image.is_at_boundary());
    let manifest = manifest.ok_or(RebuildError::Incomplete)?.clone();
    let mut restoring = Engine::restore(
        ruleset,
        RestoreOptions {
            session,
            types: image.types().to_vec(),
            manifest,
            policy,
            evaluated: image.is_evaluated(),
            counters: image.counters(),
            clock: image.clock(),
        },
    )?;
    let facts = image.facts();
    let total = facts.len() as u64;
    for (done, (handle, fact)) in (0_u64..).zip(facts) {
        if done.is_multiple_of(4096) {
            report(progress, Phase::Facts, done, total)?;
        }
        restoring.fact(fact_image(handle, fact))?;
    }
    report(progress, Phase::Facts, total, total)?;
    for (name, version, bytes) in image.globals() {
        restoring.global(name.to_owned(), version, bytes);
    }
    for (id, salience, trigger) in image.pending() {
        restoring.pending(id.clone(), salience, trigger);
    }
    for (id, due) in image.waiting() {
        restoring.waiting(id.clone(), due);
    }
    restoring.focus(image.focus());
    for (group, marks) in image.group_marks() {
        restoring.group_marks(group, marks.active, marks.activated, marks.cleared);
    }
    for (handle, by) in image.justifications() {
        restoring.justification(handle, by.clone());
    }
    let staged = image.staged().iter().map(staged_image);
    let mut matching = |done, total| progress(Progress { phase: Phase::Network, done, total });
    Ok(restoring.finish(staged, &mut matching, sink)?)
}

fn report(
    progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
    phase: Phase,
    done: u64,
    total: u64,
) -> Result<(), RestoreError> {
    if progress(Progress { phase, done, total }).is_break() {
        return Err(RestoreError::Stopped);
    }
    Ok(())
}

fn fact_image(handle: FactHandle, fact: &Fact) -> FactImage<'_> {
    FactImage {
        handle,
        kind: fact.kind,
        version: fact.version,
        bytes: &fact.bytes,
        seq: fact.seq,
        origin: fact.origin,
        stated: fact.stated,
        clock: fact.clock,
    }
}

fn staged_image(operation: &StagedOperation) -> StagedImage<'_> {
    match operation {
        StagedOperation::Insert { handle, fact } => StagedImage::Insert(fact_image(*handle, fact)),
        StagedOperation::Update { handle, version, bytes, mask, seq, origin } => {
            StagedImage::Update {
                handle: *handle,
                version: *version,
                bytes,
                mask: *mask,
                seq: *seq,
                origin: *origin,
            }
        }
        StagedOperation::Delete { handle, seq, origin } => {
            StagedImage::Delete { handle: *handle, seq: *seq, origin: *origin }
        }
        // Its number is behind it: nothing is matched by it.
        StagedOperation::Stated { handle, stated, seq: _ } => {
            StagedImage::Stated { handle: *handle, stated: *stated }
        }
    }
}
