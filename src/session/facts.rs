//! Changes: facts, globals and the clock, each call a commit.

use steadfast_engine_core::{Fact, Global, Handle, ReadError, Stage};
use steadfast_wm::SafePoint;

use super::Session;
use crate::error::Result;

impl Session {
    /// Inserts a fact.
    ///
    /// # Errors
    ///
    /// As [`Session::transact`], with [`crate::ChangeError::KeyViolation`] for a unique type.
    pub fn insert<T: Fact>(&mut self, fact: T) -> Result<Handle<T>> {
        self.ready()?;
        let handle = self.engine.stage_insert(&mut self.recorder, fact)?;
        self.commit_staged(true)?;
        Ok(handle)
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
    /// As [`Session::transact`], with [`crate::ChangeError::StaleHandle`] and the others of
    /// [`Stage::update`].
    pub fn update<T: Fact>(
        &mut self,
        handle: impl Into<Handle<T>>,
        change: impl FnOnce(&mut T),
    ) -> Result<()> {
        self.ready()?;
        let changed = self.engine.stage_update(&mut self.recorder, handle.into(), change)?;
        self.commit_staged(changed)
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
        self.ready()?;
        let deleted = self.engine.stage_delete(&mut self.recorder, handle.into())?;
        self.commit_staged(deleted)?;
        Ok(deleted)
    }

    /// Takes the statement of a fact back; says whether it was stated. What rules derive stays, so that
    /// this does nothing to a fact that is only derived.
    ///
    /// # Errors
    ///
    /// As [`Session::transact`].
    pub fn delete_stated<T: Fact>(&mut self, handle: impl Into<Handle<T>>) -> Result<bool> {
        self.transact(|stage| Ok(stage.delete_stated(handle)?))
    }

    /// Several changes as one: applied and committed as a whole (safe point *staged*), or not at all
    /// if `body` fails or panics. Inside, reads see the changes; rules see them at the next flush.
    ///
    /// # Errors
    ///
    /// What `body` gives back ([`crate::Error::give_up`] for reasons of its own); [`crate::Error::Full`] if the disk
    /// is; [`crate::Error::Append`] or [`crate::Error::Wait`] if the journal failed.
    pub fn transact<R>(&mut self, body: impl FnOnce(&mut Stage<'_>) -> Result<R>) -> Result<R> {
        self.ready()?;
        let before = self.engine.counters();
        let result = self.engine.stage(&mut self.recorder, body)?;
        let changed = self.engine.counters() != before || !self.recorder.effects.is_empty();
        self.commit_staged(changed)?;
        Ok(result)
    }

    /// Commits what was staged, unless that is nothing.
    #[inline]
    fn commit_staged(&mut self, changed: bool) -> Result<()> {
        if changed || self.engine.has_agenda_changes() {
            self.commit_work(SafePoint::Staged)?;
        }
        Ok(())
    }

    /// Advances the session's clock, in milliseconds since an epoch of your choice, and with it
    /// everything that time brings about: matches whose time has come are pending afterwards. Nothing
    /// fires. All of it is one commit; the clock has no effect by itself, and no rule sees another one.
    ///
    /// What is staged counts as done before: it is matched first, at the old time. A long step does what
    /// many short ones would have done, apart from firings in between.
    ///
    /// # Errors
    ///
    /// [`crate::ChangeError::ClockBackwards`], [`crate::Error::Evaluate`]; else as [`Session::transact`].
    pub fn advance_clock(&mut self, millis: i64) -> Result<()> {
        self.ready()?;
        if self.engine.now() != millis {
            let advanced = self.engine.advance_clock(millis, &mut self.recorder);
            self.note_failure();
            let point = if advanced? { SafePoint::Evaluated } else { SafePoint::Staged };
            self.commit_work(point)?;
        }
        Ok(())
    }

    /// Advances the session's clock to a time of the outside, for programs that drive it by a clock of
    /// theirs: as [`Session::advance_clock`], but a time that is not later is no error and no operation,
    /// so that an outside clock that is set back lets the session's stand still until it has caught up.
    /// Says whether the clock moved.
    ///
    /// # Errors
    ///
    /// As [`Session::advance_clock`].
    pub fn tick(&mut self, millis: i64) -> Result<bool> {
        let moves = millis > self.now();
        if moves {
            self.advance_clock(millis)?;
        }
        Ok(moves)
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
}
