//! Scopes: marks to which the whole state can be put back. Transactions are built on them.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use super::Engine;
use super::flush::FlushScratch;
use crate::network::Buffers;
use crate::trail::{Scope, Trailed};

impl Engine {
    /// Does what `body` does, then undoes all of it: facts, agenda, truth maintenance, counters.
    ///
    /// What `body` gives back is all that remains. The cost is proportional to what it changes, never
    /// to the size of the session. An engine that failed inside goes on, as after [`Engine::roll_back`].
    ///
    /// # Panics
    ///
    /// If `body` panics; everything is undone then, too. If so many scopes were opened that they have no more numbers.
    ///
    /// # Example
    ///
    /// ```
    /// # extern crate steadfast_engine_core as steadfast;
    /// # use serde::{Deserialize, Serialize};
    /// # use steadfast_engine_core::{Discard, Engine};
    /// # use steadfast_macros::{Fact, ruleset};
    /// #[derive(Fact, Clone, PartialEq, Serialize, Deserialize)]
    /// struct Order { id: u64 }
    /// ruleset!(shop = 1: ; facts: Order);
    ///
    /// let mut engine = Engine::new(&shop(), Default::default(), &mut Discard)?;
    /// let before = engine.digest();
    /// let (order, count) = engine.what_if(|engine| {
    ///     let order = engine.stage(&mut Discard, |stage| stage.insert(Order { id: 1 }))?;
    ///     Ok::<_, steadfast_engine_core::ChangeError>((order, engine.fact_count()))
    /// })?;
    /// assert_eq!((count, engine.fact_count(), engine.digest()), (1, 0, before));
    ///
    /// // The next fact has the number that was given back, and the handle from inside is not its (S22).
    /// let next = engine.stage(&mut Discard, |stage| stage.insert(Order { id: 2 }))?;
    /// assert_eq!(next.fact(), order.fact());
    /// assert!(engine.get(next).is_some() && engine.get(order).is_none());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn what_if<R>(&mut self, body: impl FnOnce(&mut Self) -> R) -> R {
        let around = self.scope;
        let scope = self.open_scope().expect("fewer than 2³² scopes");
        let result = catch_unwind(AssertUnwindSafe(|| body(self)));
        self.roll_back(scope);
        self.scope = around;
        result.unwrap_or_else(|panic| resume_unwind(panic))
    }

    /// Opens a scope: [`Engine::roll_back`] to it puts everything back to what it is now. `None` if 2³² - 1 scopes
    /// have been opened since the last time that none was open.
    ///
    /// Scopes lie in each other as they are opened. While one is open what is written is logged, which takes time and
    /// memory in proportion to what changes. Where nobody wants to roll back to a scope any more, nothing need be
    /// done.
    pub fn open_scope(&mut self) -> Option<Scope> {
        let scope = self.scope.next()?;
        // Afterwards nobody knows what was noted before.
        self.count_holds();
        self.scope = scope;
        Some(scope)
    }

    /// Puts everything back to what it was when the scope was opened: facts, agenda, truth maintenance, counters.
    /// The scope stays open, and those that were opened after it are over.
    ///
    /// It takes time in proportion to what changed since, and to the number of rules. An engine that failed in the
    /// scope goes on, unless a function of an accumulate panicked while it entered a member or let one go: nobody knows
    /// what it has left undone.
    ///
    /// # Panics
    ///
    /// If the scope is not open.
    pub fn roll_back(&mut self, scope: Scope) {
        assert!(scope.is_open() && scope <= self.scope, "the scope is open");
        if self.touched >= scope {
            self.undo_scope(scope);
            self.touched = scope.previous();
        }
        self.scope = scope;
    }

    /// Closes all scopes: what was done in them cannot be undone any more.
    pub fn close_scopes(&mut self) {
        if self.touched.is_open() {
            self.forget();
            self.touched = Scope::NONE;
        }
        self.scope = Scope::NONE;
    }

    /// How many bytes undoing everything in all open scopes takes, without what values own elsewhere; what
    /// [`Engine::open_scope`] calls memory.
    pub fn trail_bytes(&self) -> usize {
        if self.touched.is_open() { Trailed::trail_bytes(self) } else { 0 }
    }

    fn undo_scope(&mut self, scope: Scope) {
        let given = self.counters.get().next_handle;
        let failed_before = self.failed && self.failed_in < scope;
        let failed = self.failed && !failed_before;
        // Undoing what an aggregate function did is its own work, and may panic: nothing is to be trusted then.
        self.failed = true;
        let undone = catch_unwind(AssertUnwindSafe(|| self.undo(scope)));
        if failed {
            self.abandon_flush();
        }
        let is_torn = undone.is_err() || failed && self.rules.iter().any(|rule| rule.net.is_torn());
        (self.failed, self.failed_in) = (is_torn || failed_before, Scope::NONE);
        if let Some(drafts) = &mut self.drafts {
            drafts.next_handle = drafts.next_handle.max(given);
            drafts.recall(self.counters.get().next_handle);
        }
        self.scratch.agenda.clear();
        self.forget_turns();
        self.scratch.unreported.fill(self.rules.len());
        for (at, rule) in (0..).zip(&self.rules) {
            if !self.infos[at as usize].is_query {
                self.ranks.set(at, rule.terminal.best_salience());
            }
        }
    }

    /// Forgets what an evaluation remembers that did not come to its end.
    #[cold]
    fn abandon_flush(&mut self) {
        self.scratch = FlushScratch::wanting(self.scratch.wanted);
        self.buffers = Buffers::default();
        self.rules.iter_mut().for_each(|rule| rule.net.abandon());
        let memories = self.alphas.iter_mut().flat_map(|alpha| &mut alpha.memories);
        memories.for_each(|memory| memory.right.abandon());
    }
}
