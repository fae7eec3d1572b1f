//! Runs of firings, and flushes without any.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use steadfast_engine_core::FireOptions;
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

impl Session {
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
            let halt = &*self.halt;
            let mut fired = self.engine.fire_while(
                FireOptions { limit: Some(chunk) },
                &mut self.recorder,
                |_| !halt.load(Ordering::Acquire),
            );
            total.count += fired.count;
            total.skipped += fired.skipped;
            // Nearly always it is not set, and a read costs less than an exchange.
            let stopped = halt.load(Ordering::Acquire) && halt.swap(false, Ordering::AcqRel);
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
            if total.halted || spent || !self.engine.has_pending() {
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
}
