//! Runs of firings, and flushes without any.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use steadfast_engine_core::{ActionSink, Activation, FireOptions, FireRun, Verdict};
use steadfast_wm::{CommitSeq, SafePoint};

use super::Session;
use crate::error::{Error, Result};

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
    /// The last commit of the run; none if there was nothing to do, or in a transaction.
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

impl Session {
    /// Runs of firings commit after every so many firings instead of once at their end. In a transaction they
    /// do not.
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

    /// A run of firings stops with an error, [`FireError::SuspectedLoop`], after so many firings that it
    /// triggered itself; without this call after 1,000,000. Matches that were pending when it began do not
    /// count. What fired stands, and the next run goes on where this one stopped.
    ///
    /// [`FireError::SuspectedLoop`]: crate::FireError::SuspectedLoop
    pub fn max_firings(&mut self, firings: u64) {
        self.max_firings = firings;
    }

    /// Fires pending matches in order until none is pending in the agenda group that has the focus.
    ///
    /// # Errors
    ///
    /// As [`Session::fire`].
    pub fn fire_all(&mut self) -> Result<Fired> {
        self.run(FireOptions::default(), None)
    }

    /// Fires at most `limit` pending matches in order; the others stay pending.
    ///
    /// # Errors
    ///
    /// [`Error::Fire`] if a consequence fails or the run seems not to end: what fired before is committed,
    /// the match stays pending and the session goes on. [`Error::Evaluate`] if the network cannot be evaluated. A
    /// transaction has failed then. [`Error::Transaction`] in one that takes no more work; the journal's errors as in [`Session::transact`].
    pub fn fire(&mut self, limit: u64) -> Result<Fired> {
        self.run(FireOptions { limit: Some(limit) }, None)
    }

    /// As [`Session::fire`] or, without a limit, [`Session::fire_all`], and asks `filter` about every match
    /// before it fires: whether it does, is kept for a later run, or is used up.
    ///
    /// Matches that are kept or used up do not count for the limit. As long as the agenda group that has
    /// the focus has kept matches, it keeps the focus.
    ///
    /// # Errors
    ///
    /// As [`Session::fire`]; also if the filter panics: the match is still pending then.
    ///
    /// # Example
    ///
    /// ```
    /// # use steadfast::prelude::*;
    /// use steadfast::Verdict;
    ///
    /// # #[derive(Fact, Clone, PartialEq, Serialize, Deserialize)]
    /// # struct Order { id: u64 }
    /// #[rule]
    /// fn ship(o: &Order) {}
    /// #[rule]
    /// fn invoice(o: &Order) {}
    /// ruleset!(shop = 1: ship, invoice);
    ///
    /// let mut session = Session::memory(shop())?;
    /// session.insert(Order { id: 1 })?;
    /// let fired = session.fire_filtered(None, |activation| {
    ///     if activation.rule.ends_with("::ship") { Verdict::Fire } else { Verdict::Keep }
    /// })?;
    /// assert_eq!((fired.count, session.pending().len()), (1, 1));
    /// # Ok::<(), steadfast::Error>(())
    /// ```
    pub fn fire_filtered(
        &mut self,
        limit: Option<u64>,
        mut filter: impl FnMut(&Activation<'_>) -> Verdict,
    ) -> Result<Fired> {
        self.run(FireOptions { limit }, Some(&mut filter))
    }

    fn run(
        &mut self,
        options: FireOptions,
        filter: Option<&mut dyn FnMut(&Activation<'_>) -> Verdict>,
    ) -> Result<Fired> {
        self.ready()?;
        let has_parts = self.commit_every < u64::MAX
            || self.recorder.wants_records()
            || self.root.as_ref().is_some_and(|root| root.options().bounds_trail());
        if has_parts || filter.is_some() || self.may_be_halted() {
            return self.run_watched(options, filter);
        }
        let fired = self.engine.fire_all(options, self.max_firings, &mut self.recorder);
        if fired.error.is_some() || fired.skipped > 0 || fired.halted {
            let mut total = Fired::default();
            self.close_part(fired, &mut total)?;
            return Ok(total);
        }
        let count = fired.count;
        let point = if count > 0 { SafePoint::Fired } else { SafePoint::Evaluated };
        let commit = if fired.changed { self.commit_work(point)? } else { None };
        Ok(Fired { count, commit, ..Fired::default() })
    }

    /// Whether somebody may halt runs: nobody else where there is no other handle to the flag.
    #[inline]
    fn may_be_halted(&self) -> bool {
        Arc::strong_count(&self.halt) > 1 || self.halt.load(Ordering::Acquire)
    }

    /// A run that the flag of the halters may stop, and a commit may cut into parts.
    #[inline(never)] // in memory nobody could halt most runs, or cut them
    fn run_watched(
        &mut self,
        options: FireOptions,
        filter: Option<&mut dyn FnMut(&Activation<'_>) -> Verdict>,
    ) -> Result<Fired> {
        let halt = self.may_be_halted().then(|| Arc::clone(&self.halt));
        let go_on = || halt.as_ref().is_none_or(|halt| !halt.load(Ordering::Acquire));
        let mut run = FireRun::new(options).max_firings(self.max_firings);
        if halt.is_some() {
            run = run.go_on_while(&go_on);
        }
        if let Some(filter) = filter {
            run = run.filter(filter);
        }
        let mut total = Fired::default();
        let firings = self.part_firings();
        loop {
            let part = self.engine.fire_part(&mut run, firings, &mut self.recorder);
            // Nearly always it is not set, and a read costs less than an exchange.
            total.halted |= !go_on() && self.halt.swap(false, Ordering::AcqRel);
            if self.close_part(part, &mut total)? || total.halted {
                return Ok(total);
            }
            // Of a transaction: whether it has become too large.
            if let Some(root) = &self.root {
                root.check(&self.engine)?;
            }
        }
    }

    /// How many firings a part of a run has.
    fn part_firings(&self) -> u64 {
        const BETWEEN_LOOKS: u64 = 256;
        match &self.root {
            None => self.commit_every,
            Some(root) if root.options().bounds_trail() => BETWEEN_LOOKS,
            Some(_) => u64::MAX,
        }
    }

    /// Commits a part of a run, if there is anything to commit; says whether the run is over.
    #[inline(never)] // most runs in memory have one part, and go well
    fn close_part(
        &mut self,
        part: steadfast_engine_core::Fired,
        total: &mut Fired,
    ) -> Result<bool> {
        total.count += part.count;
        total.skipped += part.skipped;
        total.halted |= part.halted;
        if part.error.is_some() && (self.engine.has_failed() || self.root.is_some()) {
            self.fail();
        } else if part.changed {
            let fired_any = part.count + part.skipped > 0;
            let point = if fired_any { SafePoint::Fired } else { SafePoint::Evaluated };
            total.commit = self.commit_work(point)?.or(total.commit);
        }
        match part.error {
            Some(error) => Err((*error).into()),
            None => Ok(part.finished),
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
        self.note_failure();
        if flushed.map_err(Error::Evaluate)? {
            self.commit_work(SafePoint::Evaluated)?;
        }
        Ok(())
    }
}
