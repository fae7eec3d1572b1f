//! Which tokens of a join hang from which of its left tokens.

use crate::chains::NONE;
use crate::network::tokens::{EntryHeads, Tokens};
use crate::trail::{Cell, Scope, Sparse, trailed};

/// By left token the list of its children.
///
/// They are listed when it is asked for the first time what hangs from a left token: when one goes or changes.
/// Where left tokens only come there are no lists.
#[derive(Clone)]
pub(super) struct Children {
    /// The first child of each, as far as they are listed.
    heads: EntryHeads,
    listed: Cell<bool>,
}

trailed!(Children { heads, listed });

impl Default for Children {
    fn default() -> Self {
        Self { heads: Sparse::new(NONE), listed: Cell::new(false) }
    }
}

impl Children {
    /// Whether they are listed.
    #[inline]
    pub(super) fn are_listed(&self) -> bool {
        *self.listed.get()
    }

    /// The first child of a left token, or `NONE`; the others are its siblings.
    #[inline]
    pub(super) fn first(&mut self, scope: Scope, token: u32, out: &mut Tokens) -> u32 {
        if !self.are_listed() {
            self.list(scope, out);
        }
        *self.heads.get(token)
    }

    #[cold]
    #[inline(never)]
    fn list(&mut self, scope: Scope, out: &mut Tokens) {
        self.listed.set(scope, true);
        for token in 0..out.count() {
            if out.is_live(token) {
                self.link(scope, token, out.parent(token), out);
            }
        }
    }

    #[inline]
    fn link(&mut self, scope: Scope, token: u32, parent: u32, out: &mut Tokens) {
        out.put_before_sibling(scope, token, *self.heads.get(parent));
        self.heads.set(scope, parent, token);
    }

    /// Hangs a new token from its parent.
    #[inline]
    pub(super) fn add(&mut self, scope: Scope, token: u32, parent: u32, out: &mut Tokens) {
        if self.are_listed() {
            self.link(scope, token, parent, out);
        }
    }

    /// Takes a token from its parent.
    #[inline]
    pub(super) fn remove(&mut self, scope: Scope, token: u32, out: &mut Tokens) {
        if self.are_listed()
            && let Some(next) = out.part_from_siblings(scope, token)
        {
            self.heads.set(scope, out.parent(token), next);
        }
    }

    /// Gives the first child of a left token that goes, or `NONE`: whoever asks takes all of them away.
    #[inline]
    pub(super) fn take(&mut self, scope: Scope, token: u32, out: &mut Tokens) -> u32 {
        let first = self.first(scope, token, out);
        self.heads.set(scope, token, NONE);
        first
    }

    /// Has what is read of left tokens near, if it is.
    #[inline]
    pub(super) fn warm(&self, token: u32) {
        if self.are_listed() {
            self.heads.warm(token);
        }
    }

    /// The first child of a left token, if it is known.
    #[inline]
    pub(super) fn peek(&self, token: u32) -> u32 {
        *self.heads.get(token)
    }

    /// All are gone, outside of scopes.
    pub(super) fn clear(&mut self) {
        self.heads.clear();
        self.listed.set(Scope::NONE, false);
    }
}
