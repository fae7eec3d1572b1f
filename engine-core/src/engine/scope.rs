//! Scopes: marks to which the whole state can be put back. Transactions are built on them; here they
//! prove that every write of state is trailed.

use super::Engine;
use crate::trail::{Scope, Trailed};

impl Engine {
    /// Opens a scope inside the current one.
    pub(crate) fn open_scope(&mut self) -> Scope {
        self.scope = self.scope.inner();
        self.scope
    }

    /// Puts everything back to what it was when the scope was opened.
    pub(crate) fn undo_scope(&mut self, scope: Scope) {
        self.undo(scope);
        self.scope = scope.outer();
        for (at, rule) in (0..).zip(&self.rules) {
            if !self.infos[at as usize].is_query {
                self.ranks.set_active(at, rule.terminal.has_pending());
            }
        }
        if !self.scope.is_open() {
            self.forget();
        }
    }
}
