//! Scopes: marks to which the whole state can be put back. Transactions are built on them.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use super::Engine;
use crate::trail::{Scope, Trailed};

impl Engine {
    /// Does what `body` does, then undoes all of it: facts, agenda, truth maintenance, counters.
    ///
    /// What `body` gives back is all that remains. The cost is proportional to what it changes, never
    /// to the size of the session. An engine that fails inside stays failed: an evaluation that stopped
    /// in its middle leaves more behind than its state.
    ///
    /// # Panics
    ///
    /// If `body` panics; everything is undone then, too.
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
        let scope = self.open_scope();
        let result = catch_unwind(AssertUnwindSafe(|| body(self)));
        self.undo_scope(scope);
        result.unwrap_or_else(|panic| resume_unwind(panic))
    }

    /// Opens a scope inside the current one.
    pub(crate) fn open_scope(&mut self) -> Scope {
        self.count_holds();
        self.scope = self.scope.inner();
        self.scope
    }

    /// Puts everything back to what it was when the scope was opened.
    pub(crate) fn undo_scope(&mut self, scope: Scope) {
        let given = self.counters.get().next_handle;
        self.undo(scope);
        if let Some(drafts) = &mut self.drafts {
            drafts.next_handle = drafts.next_handle.max(given);
            drafts.recall(self.counters.get().next_handle);
        }
        self.scope = scope.outer();
        self.forget_turns();
        self.scratch.unreported.fill(self.rules.len());
        for (at, rule) in (0..).zip(&self.rules) {
            if !self.infos[at as usize].is_query {
                self.ranks.set(at, rule.terminal.best_salience());
            }
        }
        if !self.scope.is_open() {
            self.forget();
        }
    }
}
