//! The session: rules, working memory and journal as one thing.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use steadfast_engine_core::ir::{Query, Ruleset};
use steadfast_engine_core::{
    ChangeError, Effect, Engine, Fact, FireOptions, Global, Handle, Pending, ReadError, Ref, Stage,
};
use steadfast_wm::{CommitSeq, Digest, EffectKey, Record, SafePoint, SessionId};

use crate::durable::{DurableBuilder, Recovery, Writer};
use crate::error::{Error, Result};
use crate::outbox::{Delivery, Outbox};
use crate::sink::Recorder;

/// A rule session: facts, pending matches and derived facts that outlive the process.
///
/// Every call that changes something is a commit of its own: when it returns `Ok`, what it did
/// survives what the session's level of durability promises ([`crate::Sync`]); when it returns an
/// error or panics, nothing of it happened, unless the error says otherwise. [`Session::transact`]
/// puts several changes into one commit.
///
/// A session is `Send` and not `Sync`: one thread uses it at a time.
pub struct Session {
    engine: Engine,
    writer: Option<Writer>,
    recorder: Recorder,
    outbox: Outbox,
    commit: CommitSeq,
    commit_every: u64,
    halt: Arc<AtomicBool>,
    failed: bool,
}

/// What a run of firings came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct Fired {
    /// How many consequences ran and were applied.
    pub count: u64,
    /// How many failed under `on_error = skip`: nothing of them was applied, their matches are used up.
    pub skipped: u64,
    /// Whether a consequence or a [`Halter`] stopped the run.
    pub halted: bool,
    /// The last commit of the run; none if there was nothing to do.
    pub commit: Option<CommitSeq>,
}

/// Stops a session's run of firings from outside, also from another thread.
///
/// The consequence that runs completes; pending matches stay pending for the next run. A halt between
/// runs stops the next one before its first firing.
#[derive(Clone, Debug)]
pub struct Halter(Arc<AtomicBool>);

impl Halter {
    /// Stops the run.
    pub fn halt(&self) {
        self.0.store(true, Ordering::Release);
    }
}

/// Sessions in memory are told apart by their number in the process.
static MEMORY_SESSIONS: AtomicU64 = AtomicU64::new(1);

impl Session {
    /// A session without a disk: for tests and what-if questions. It ends with its value.
    ///
    /// # Errors
    ///
    /// [`Error::Rules`] for an invalid ruleset.
    #[expect(clippy::needless_pass_by_value, reason = "callers hand over a fresh ruleset")]
    pub fn memory(ruleset: Ruleset) -> Result<Self> {
        let mut id = [0; 16];
        let number = MEMORY_SESSIONS.fetch_add(1, Ordering::Relaxed);
        id[..8].copy_from_slice(&number.to_le_bytes());
        let mut recorder = Recorder::default();
        let engine = Engine::new(&ruleset, SessionId::from_bytes(id), &mut recorder)
            .map_err(Error::Rules)?;
        Ok(Self::assemble(engine, Outbox::default(), CommitSeq::new(0), recorder, None))
    }

    /// A session in a directory of its own; [`DurableBuilder::open`] makes it or brings it back.
    pub fn durable(dir: impl Into<PathBuf>) -> DurableBuilder {
        DurableBuilder::new(dir.into())
    }

    pub(crate) fn assemble(
        engine: Engine,
        outbox: Outbox,
        commit: CommitSeq,
        recorder: Recorder,
        writer: Option<Writer>,
    ) -> Self {
        Self {
            engine,
            writer,
            recorder,
            outbox,
            commit,
            commit_every: u64::MAX,
            halt: Arc::new(AtomicBool::new(false)),
            failed: false,
        }
    }

    /// The session's identity: the same after every restart.
    pub fn id(&self) -> SessionId {
        self.engine.session()
    }

    /// What opening found; none for a session in memory.
    pub fn recovery(&self) -> Option<Recovery> {
        self.writer.as_ref().map(Writer::recovery)
    }

    /// The last commit; 0 before the first.
    pub fn last_commit(&self) -> CommitSeq {
        self.commit
    }

    /// Runs of firings commit after every so many firings instead of once at their end.
    ///
    /// With 1, a crash in a run loses no completed firing.
    ///
    /// # Panics
    ///
    /// If `firings` is 0.
    pub fn commit_every(&mut self, firings: u64) {
        assert!(firings > 0, "a commit has at least one firing");
        self.commit_every = firings;
    }

    /// Inserts a fact.
    ///
    /// # Errors
    ///
    /// As [`Session::transact`], with [`ChangeError::KeyViolation`] for a unique type.
    pub fn insert<T: Fact>(&mut self, fact: T) -> Result<Handle<T>> {
        self.transact(|stage| Ok(stage.insert(fact)?))
    }

    /// Inserts a fact unless one with an equal key exists; gives the handle of the one there is.
    ///
    /// # Errors
    ///
    /// As [`Session::transact`].
    pub fn insert_unique<T: Fact>(&mut self, fact: T) -> Result<Handle<T>> {
        self.transact(|stage| Ok(stage.insert_unique(fact)?))
    }

    /// Changes a fact. A change that leaves every field equal is no operation and no commit.
    ///
    /// # Errors
    ///
    /// As [`Session::transact`], with [`ChangeError::StaleHandle`] and the others of
    /// [`Stage::update`].
    pub fn update<T: Fact>(
        &mut self,
        handle: impl Into<Handle<T>>,
        change: impl FnOnce(&mut T),
    ) -> Result<()> {
        self.transact(|stage| Ok(stage.update(handle, change)?))
    }

    /// The same as [`Session::update`], under the name that consequences use.
    ///
    /// # Errors
    ///
    /// As [`Session::update`].
    pub fn modify<T: Fact>(
        &mut self,
        handle: impl Into<Handle<T>>,
        change: impl FnOnce(&mut T),
    ) -> Result<()> {
        self.update(handle, change)
    }

    /// Re-arms everything that matches a fact as if all of its fields had changed.
    ///
    /// # Errors
    ///
    /// As [`Session::update`].
    pub fn touch<T: Fact>(&mut self, handle: impl Into<Handle<T>>) -> Result<()> {
        self.transact(|stage| Ok(stage.touch(handle)?))
    }

    /// Deletes a fact; says whether it was there.
    ///
    /// # Errors
    ///
    /// As [`Session::transact`].
    pub fn delete<T: Fact>(&mut self, handle: impl Into<Handle<T>>) -> Result<bool> {
        self.transact(|stage| Ok(stage.delete(handle)?))
    }

    /// Several changes as one: applied and committed as a whole (safe point *staged*), or not at all
    /// if `body` fails or panics. Inside, reads see the changes; rules see them at the next flush.
    ///
    /// # Errors
    ///
    /// What `body` gives back ([`Error::give_up`] for reasons of its own); [`Error::Full`] if the disk
    /// is; [`Error::Append`] or [`Error::Wait`] if the journal failed.
    pub fn transact<R>(&mut self, body: impl FnOnce(&mut Stage<'_>) -> Result<R>) -> Result<R> {
        self.ready()?;
        let before = self.engine.counters();
        let result = self.engine.stage(&mut self.recorder, body)?;
        let changed = self.engine.counters() != before || !self.recorder.effects.is_empty();
        if changed {
            self.commit_work(SafePoint::Staged)?;
        }
        Ok(result)
    }

    /// Advances the session's clock, in milliseconds since an epoch of your choice.
    ///
    /// # Errors
    ///
    /// [`ChangeError::ClockBackwards`]; else as [`Session::transact`].
    pub fn advance_clock(&mut self, millis: i64) -> Result<()> {
        self.ready()?;
        if self.engine.now() != millis {
            self.engine.advance_clock(millis, &mut self.recorder)?;
            self.commit_work(SafePoint::Staged)?;
        }
        Ok(())
    }

    /// The session's clock in milliseconds.
    pub fn now(&self) -> i64 {
        self.engine.now()
    }

    /// Sets a global. Globals are not reactive: no rule notices.
    ///
    /// # Errors
    ///
    /// As [`Session::transact`].
    pub fn set_global<G: Global>(&mut self, global: G) -> Result<()> {
        self.transact(|stage| Ok(stage.set_global(global)?))
    }

    /// A global, if it is set.
    ///
    /// # Errors
    ///
    /// [`ReadError`] if the stored value does not fit the type.
    pub fn global<G: Global>(&self) -> Result<Option<G>, ReadError> {
        self.engine.global()
    }

    /// Fires pending matches in order until none is pending.
    ///
    /// # Errors
    ///
    /// As [`Session::fire`].
    pub fn fire_all(&mut self) -> Result<Fired> {
        self.run(None)
    }

    /// Fires at most `limit` pending matches in order; the others stay pending.
    ///
    /// # Errors
    ///
    /// [`Error::Fire`] if a consequence fails: what fired before it is committed, its match stays
    /// pending and the session goes on. [`Error::Evaluate`] if the network cannot be evaluated; the
    /// journal's errors as in [`Session::transact`].
    pub fn fire(&mut self, limit: u64) -> Result<Fired> {
        self.run(Some(limit))
    }

    fn run(&mut self, limit: Option<u64>) -> Result<Fired> {
        self.ready()?;
        let mut total = Fired::default();
        loop {
            let left = limit.map(|limit| limit - total.count - total.skipped);
            let chunk = left.unwrap_or(u64::MAX).min(self.commit_every);
            let halt = Arc::clone(&self.halt);
            let mut fired = self.engine.fire_while(
                FireOptions { limit: Some(chunk) },
                &mut self.recorder,
                |_| !halt.load(Ordering::Acquire),
            );
            total.count += fired.count;
            total.skipped += fired.skipped;
            let stopped = self.halt.swap(false, Ordering::AcqRel);
            total.halted |= fired.halted || stopped;
            if let Some(error) = fired.error.take_if(|_| self.engine.has_failed()) {
                self.failed = true;
                return Err(error.into());
            }
            if fired.changed {
                let fired_any = fired.count + fired.skipped > 0;
                let point = if fired_any { SafePoint::Fired } else { SafePoint::Evaluated };
                total.commit = Some(self.commit_work(point)?);
            }
            if let Some(error) = fired.error {
                return Err(error.into());
            }
            let spent = limit.is_some_and(|limit| total.count + total.skipped >= limit);
            if total.halted || spent || self.engine.pending_count() == 0 {
                return Ok(total);
            }
        }
    }

    /// A handle that stops this session's runs of firings, from any thread.
    pub fn halter(&self) -> Halter {
        Halter(Arc::clone(&self.halt))
    }

    /// Matches what is staged without firing anything (safe point *evaluated*).
    ///
    /// # Errors
    ///
    /// As [`Session::fire`].
    pub fn flush(&mut self) -> Result<()> {
        self.ready()?;
        let flushed = self.engine.flush(&mut self.recorder);
        self.failed |= self.engine.has_failed();
        if flushed.map_err(Error::Evaluate)? {
            self.commit_work(SafePoint::Evaluated)?;
        }
        Ok(())
    }

    /// All facts of a type in the order of their handles; flushes first, so that derived facts are
    /// what the rules make of everything staged. Nothing fires.
    ///
    /// # Errors
    ///
    /// As [`Session::flush`].
    pub fn query<T: Fact>(&mut self) -> Result<Vec<Ref<'_, T>>> {
        self.flush()?;
        Ok(self.engine.facts())
    }

    /// The rows of a query of the ruleset in the order of their members; flushes first.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownQuery`]; else as [`Session::flush`].
    pub fn rows<Q: Query>(&mut self) -> Result<Vec<Q::Output>> {
        self.flush()?;
        let rows = self.engine.rows::<Q>();
        rows.ok_or_else(|| Error::UnknownQuery { path: Q::definition().path })
    }

    /// A fact, if it lives.
    pub fn get<T: Fact>(&self, handle: impl Into<Handle<T>>) -> Option<&T> {
        self.engine.get(handle.into())
    }

    /// A fact's typed handle from its number, if such a fact of that type lives.
    pub fn handle<T: Fact>(&self, fact: steadfast_wm::FactHandle) -> Option<Handle<T>> {
        self.engine.handle(fact)
    }

    /// How many facts live.
    pub fn fact_count(&self) -> u64 {
        self.engine.fact_count()
    }

    /// All pending matches in firing order, as of the last flush.
    pub fn pending(&self) -> Vec<Pending> {
        self.engine.pending()
    }

    /// Effects of a type that nobody has acknowledged, in the order in which they were emitted.
    ///
    /// Only effects whose commit is acknowledged at the session's level are delivered; this waits for
    /// that. They are delivered again, under the same keys, until they are acknowledged.
    ///
    /// # Errors
    ///
    /// [`Error::Wait`] if their commits did not become durable; [`Error::Read`] if a stored effect
    /// does not fit the type.
    pub fn effects<E: Effect>(&mut self) -> Result<Vec<Delivery<E>>> {
        // INV-79: nothing leaves before its commit is acknowledged.
        if let Some(commit) = self.outbox.last_commit(E::TOPIC) {
            self.wait_durable(commit)?;
        }
        self.outbox.deliveries(self.id())
    }

    /// How many effects of all types nobody has acknowledged.
    pub fn effect_count(&self) -> usize {
        self.outbox.len()
    }

    /// Says that an effect was delivered; it is not delivered again.
    ///
    /// When this returns the acknowledgement survives the process; a power cut may deliver the effect
    /// once more, under the same key.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownEffect`] for a key that does not wait; [`Error::Full`] if the disk is full: the
    /// effect then still waits.
    pub fn acknowledge(&mut self, key: EffectKey) -> Result<()> {
        self.ready()?;
        if key.session != self.id() {
            return Err(Error::UnknownEffect { key });
        }
        self.outbox.check(key)?;
        if let Some(writer) = &mut self.writer {
            let (commit, ordinal) = (key.commit, key.ordinal);
            writer.acknowledge(&Record::Acknowledge { commit, ordinal })?;
        }
        self.outbox.remove(key);
        Ok(())
    }

    /// Waits until a commit is acknowledged at the session's level.
    ///
    /// # Errors
    ///
    /// [`Error::Wait`]; the session takes no more work then. [`Error::Full`] if the commit still
    /// waits for space on the disk.
    pub fn wait_durable(&mut self, commit: CommitSeq) -> Result<()> {
        self.ready()?;
        let Some(writer) = &mut self.writer else { return Ok(()) };
        let waited = writer.wait(commit);
        self.failed |= waited.is_err();
        waited
    }

    /// Makes room in the journal for so many bytes, ahead of a load that is faster than the disk can give
    /// new segments. A fact takes its own bytes and about thirty more. Nothing changes for a session in
    /// memory.
    ///
    /// # Errors
    ///
    /// [`Error::Full`] if the disk has no such room; the session goes on. [`Error::Append`].
    pub fn reserve(&mut self, bytes: u64) -> Result<()> {
        self.ready()?;
        let Some(writer) = &mut self.writer else { return Ok(()) };
        let reserved = writer.reserve(bytes);
        self.failed |= matches!(reserved, Err(Error::Append(_)));
        reserved
    }

    /// Digest of everything that the session's future depends on; see [`Engine::digest`]. It never
    /// flushes.
    pub fn digest(&self) -> Digest {
        self.engine.digest()
    }

    /// A copy in memory that shares nothing which can be written: for what-if questions. Handles of
    /// this session are good in it; its effects stay in it.
    #[must_use]
    pub fn fork(&self) -> Self {
        let (outbox, recorder) = (Outbox::default(), Recorder::default());
        Self::assemble(self.engine.clone(), outbox, self.commit, recorder, None)
    }

    /// The engine, to look at.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Closes the session: everything becomes durable and the journal records that it ended in order.
    ///
    /// Dropping a session closes it too, without telling whether that worked.
    ///
    /// # Errors
    ///
    /// [`Error::Close`]; what was acknowledged is safe. [`Error::Full`] if a commit still waits for
    /// space on the disk.
    pub fn close(mut self) -> Result<()> {
        match self.writer.take() {
            Some(mut writer) => {
                writer.retry()?;
                writer.close()
            }
            None => Ok(()),
        }
    }

    /// Whether the session takes work: not after a failure, and not while a commit finds no space.
    fn ready(&mut self) -> Result<()> {
        if self.failed || self.engine.has_failed() {
            return Err(Error::Failed);
        }
        let Some(writer) = &mut self.writer else { return Ok(()) };
        let retried = writer.retry();
        self.failed |= matches!(&retried, Err(error) if !matches!(error, Error::Full { .. }));
        retried
    }

    /// Commits the records that opening made, if there are any.
    pub(crate) fn commit_records(&mut self, point: SafePoint) -> Result<()> {
        if self.recorder.has_records() {
            self.commit_work(point)?;
        }
        Ok(())
    }

    fn commit_work(&mut self, point: SafePoint) -> Result<CommitSeq> {
        let commit = CommitSeq::new(self.commit.get() + 1);
        self.engine.commit(commit, point, &mut self.recorder);
        self.commit = commit;
        self.outbox.add(commit, self.recorder.effects.drain(..));
        let (Some(writer), Some(batch)) = (&mut self.writer, &mut self.recorder.batch) else {
            return Ok(commit);
        };
        if let Some(refused) = self.recorder.refused.take() {
            self.failed = true;
            let detail = refused.to_string();
            return Err(ChangeError::Unserializable { kind: "a record", detail }.into());
        }
        let appended = writer.append(commit, batch);
        self.failed |= matches!(&appended, Err(error) if !matches!(error, Error::Full { .. }));
        appended.map(|()| commit)
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("engine", &self.engine)
            .field("commit", &self.commit)
            .field("effects", &self.outbox.len())
            .finish_non_exhaustive()
    }
}
