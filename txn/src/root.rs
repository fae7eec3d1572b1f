//! A transaction that is open on an engine.

use std::sync::atomic::{AtomicU64, Ordering};

use steadfast_engine_core::{Engine, Scope};
use steadfast_wm::{CommitSeq, SafePoint};

use crate::savepoint::{Place, Savepoint};
use crate::{CommitError, MarkedSink, Options, SavepointId, TransactionError};

/// Roots are told apart by their number in the process.
static ROOTS: AtomicU64 = AtomicU64::new(1);

/// A transaction that is open on an engine, with its savepoints.
///
/// The owner of the engine gives it to each call, together with the sink, and says what was done meanwhile by
/// [`did`](Root::did) and [`fail`](Root::fail). A root that is dropped leaves its work in the engine and the scopes
/// open: it is to be [committed](Root::commit) or [aborted](Root::abort).
#[derive(Debug)]
#[must_use = "a root ends by a commit or an abort"]
pub struct Root<M> {
    number: u64,
    options: Options,
    start: Place<M>,
    /// The innermost last. Serials grow.
    savepoints: Vec<Savepoint<M>>,
    next_serial: u64,
    /// What it did last; nothing for a root in which nothing has been done, or all was rolled back.
    done: Option<SafePoint>,
    failed: bool,
}

impl<M> Root<M> {
    /// Begins a transaction.
    ///
    /// # Panics
    ///
    /// If another one is open on the engine.
    pub fn begin(engine: &mut Engine, sink: &impl MarkedSink<Mark = M>, options: Options) -> Self {
        let place = place(engine, sink, None).expect("the first scope has a number");
        assert!(place.scope == Scope::FIRST, "one root at a time is open on an engine");
        Self {
            number: ROOTS.fetch_add(1, Ordering::Relaxed),
            options,
            start: place,
            savepoints: Vec::new(),
            next_serial: 1,
            done: None,
            failed: false,
        }
    }

    /// Its number: no other root of this process has the same.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// How far it may go.
    pub fn options(&self) -> Options {
        self.options
    }

    /// Whether something failed in it, so that it takes no more work.
    pub fn has_failed(&self) -> bool {
        self.failed
    }

    /// How many savepoints there are.
    pub fn depth(&self) -> usize {
        self.savepoints.len()
    }

    /// Says whether it takes work.
    ///
    /// # Errors
    ///
    /// [`TransactionError::Failed`], [`TransactionError::TooLarge`].
    #[inline]
    pub fn check(&self, engine: &Engine) -> Result<(), TransactionError> {
        if self.failed {
            return Err(TransactionError::Failed);
        }
        match self.options.trail_bytes_max {
            None => Ok(()),
            Some(max) => match engine.trail_bytes() {
                bytes if bytes > max => Err(TransactionError::TooLarge { bytes, max }),
                _ => Ok(()),
            },
        }
    }

    /// Something was done, with this kind of safe point behind it.
    #[inline]
    pub fn did(&mut self, point: SafePoint) {
        self.done = Some(point);
    }

    /// A firing or an evaluation failed.
    pub fn fail(&mut self) {
        self.failed = true;
    }

    /// Makes a savepoint. Names may repeat; the id is exact.
    ///
    /// # Errors
    ///
    /// [`TransactionError::Failed`], [`TransactionError::TooDeep`].
    pub fn savepoint(
        &mut self,
        engine: &mut Engine,
        sink: &impl MarkedSink<Mark = M>,
        name: &str,
    ) -> Result<SavepointId, TransactionError> {
        if self.failed {
            return Err(TransactionError::Failed);
        }
        let max = self.options.depth_max;
        if self.savepoints.len() >= max {
            return Err(TransactionError::TooDeep { max });
        }
        let place = place(engine, sink, self.done).ok_or(TransactionError::TooDeep { max })?;
        let serial = self.next_serial;
        self.next_serial += 1;
        self.savepoints.push(Savepoint { serial, name: name.into(), place });
        Ok(SavepointId { root: self.number, serial })
    }

    /// The savepoint of this name, of several the one that was made last.
    pub fn find(&self, name: &str) -> Option<SavepointId> {
        let found = self.savepoints.iter().rev().find(|savepoint| &*savepoint.name == name)?;
        Some(SavepointId { root: self.number, serial: found.serial })
    }

    /// Name of a savepoint that there is.
    pub fn name(&self, id: &SavepointId) -> Option<&str> {
        self.position(id).ok().map(|at| &*self.savepoints[at].name)
    }

    /// Rolls back to the state just behind a savepoint. It stays, those that were made later are no more, and a root
    /// that had failed takes work again.
    ///
    /// # Errors
    ///
    /// [`TransactionError::InvalidSavepoint`], [`TransactionError::ForeignSavepoint`];
    /// [`TransactionError::Broken`], after which it can only be aborted.
    pub fn rollback_to(
        &mut self,
        engine: &mut Engine,
        sink: &mut impl MarkedSink<Mark = M>,
        id: &SavepointId,
    ) -> Result<(), TransactionError> {
        let at = self.position(id)?;
        self.savepoints.truncate(at + 1);
        let place = &self.savepoints[at].place;
        go_back(engine, sink, place);
        self.done = place.done;
        self.failed = engine.has_failed();
        if self.failed { Err(TransactionError::Broken) } else { Ok(()) }
    }

    /// Gives a savepoint up, and all that were made later: what was done since belongs to what is around it.
    ///
    /// # Errors
    ///
    /// [`TransactionError::InvalidSavepoint`], [`TransactionError::ForeignSavepoint`], [`TransactionError::Failed`].
    pub fn release(&mut self, id: &SavepointId) -> Result<(), TransactionError> {
        if self.failed {
            return Err(TransactionError::Failed);
        }
        let at = self.position(id)?;
        self.savepoints.truncate(at);
        Ok(())
    }

    /// Ends the transaction as one commit under this number: what is still staged is evaluated, the net changes of the
    /// agenda and the counters are reported, and nothing of it can be undone any more. `None` if nothing has been done,
    /// or all was rolled back: then nothing happens.
    ///
    /// # Errors
    ///
    /// [`CommitError`]; it was aborted then.
    pub fn commit(
        self,
        engine: &mut Engine,
        sink: &mut impl MarkedSink<Mark = M>,
        commit: CommitSeq,
    ) -> Result<Option<CommitSeq>, CommitError> {
        if self.failed {
            self.abort(engine, sink)?;
            return Err(TransactionError::RolledBack.into());
        }
        let Some(done) = self.done else {
            // What was rolled back has left nothing behind.
            engine.close_scopes();
            return Ok(None);
        };
        let flushed = match engine.flush(sink) {
            Ok(flushed) => flushed,
            Err(error) => {
                self.abort(engine, sink)?;
                return Err(CommitError::Evaluate(error));
            }
        };
        let is_evaluated = flushed || done == SafePoint::Staged;
        let point = if is_evaluated { SafePoint::Evaluated } else { done };
        engine.commit(commit, point, sink);
        engine.close_scopes();
        Ok(Some(commit))
    }

    /// Ends the transaction as if it had never begun.
    ///
    /// # Errors
    ///
    /// [`TransactionError::Broken`]: the engine takes no more work then.
    pub fn abort(
        self,
        engine: &mut Engine,
        sink: &mut impl MarkedSink<Mark = M>,
    ) -> Result<(), TransactionError> {
        go_back(engine, sink, &self.start);
        engine.close_scopes();
        if engine.has_failed() { Err(TransactionError::Broken) } else { Ok(()) }
    }

    /// Where the savepoint is among those there are.
    fn position(&self, id: &SavepointId) -> Result<usize, TransactionError> {
        if id.root != self.number {
            return Err(TransactionError::ForeignSavepoint(*id));
        }
        let found = self.savepoints.binary_search_by_key(&id.serial, |savepoint| savepoint.serial);
        found.map_err(|_| TransactionError::InvalidSavepoint(*id))
    }
}

/// The place where an engine and its sink are; none if the scopes have no more numbers.
fn place<M>(
    engine: &mut Engine,
    sink: &impl MarkedSink<Mark = M>,
    done: Option<SafePoint>,
) -> Option<Place<M>> {
    Some(Place { scope: engine.open_scope()?, sink: sink.mark(), done })
}

fn go_back<M>(engine: &mut Engine, sink: &mut impl MarkedSink<Mark = M>, place: &Place<M>) {
    engine.roll_back(place.scope);
    sink.cut(&place.sink);
}
