//! Left memories: the tokens that a join has on its left side, by key.

use crate::chains::ABREAST;
use crate::network::children::Children;
use crate::network::index::{Bounds, Index};
use crate::network::tokens::Tokens;
use crate::trail::{Cell, Scope, trailed};

/// From so many tokens on it is worth to have something of them near.
const FAR_FROM: u32 = 1 << 14;

/// The left tokens of a join: an index by key, and the children of each.
///
/// The index is made when the first right fact looks for tokens. Where right facts stay as they are, tokens come and
/// go without it.
#[derive(Clone)]
pub(super) struct LeftMemory {
    index: Index,
    /// Whether the tokens are in the index, which knows their codes anyway; and if not, how many there are.
    indexed: Cell<bool>,
    waiting: Cell<u32>,
    pub(super) children: Children,
}

trailed!(LeftMemory { index, indexed, waiting, children });

impl LeftMemory {
    pub(super) fn new(index: Index) -> Self {
        let indexed = Cell::new(matches!(index, Index::Root(_)));
        Self { index, indexed, waiting: Cell::new(0), children: Children::default() }
    }

    /// Whether it is that of the root, of which the unit tuple goes with every right fact.
    #[inline]
    pub(super) fn is_root(&self) -> bool {
        matches!(self.index, Index::Root(_))
    }

    /// The unit tuple, if it is there and this is the root's.
    #[inline]
    pub(super) fn unit(&self) -> Option<u32> {
        match &self.index {
            Index::Root(unit) => *unit.get(),
            Index::Hash(_) | Index::Ordered(_) | Index::Unvisited => None,
        }
    }

    /// Puts the unit tuple in, or takes it out.
    pub(super) fn set_unit(&mut self, scope: Scope, token: Option<u32>) {
        let Index::Root(unit) = &mut self.index else { unreachable!("only the root has one") };
        unit.set(scope, token);
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        if *self.indexed.get() { self.index.is_empty() } else { *self.waiting.get() == 0 }
    }

    /// Whether there may be a token under this key within the bounds.
    #[inline]
    pub(super) fn may_hold(&self, code: u64, bounds: Bounds) -> bool {
        if *self.indexed.get() { self.index.holds(code, bounds) } else { !self.is_empty() }
    }

    /// The key and order codes of a token.
    #[inline]
    pub(super) fn codes(&self, token: u32) -> (u64, u64) {
        self.index.codes(token)
    }

    /// The index, made if it was not yet: from now on right facts look for tokens. `left` has them, and those that
    /// came in this round, which are not in here yet.
    #[inline]
    pub(super) fn opened(&mut self, scope: Scope, left: &Tokens) -> &Index {
        if !*self.indexed.get() {
            self.index_all(scope, left);
        }
        &self.index
    }

    #[cold]
    fn index_all(&mut self, scope: Scope, left: &Tokens) {
        let tokens: Vec<u32> = if *self.waiting.get() == 0 {
            Vec::new()
        } else {
            left.live().filter(|&token| !left.is_inserted(token)).collect()
        };
        debug_assert_eq!(tokens.len(), *self.waiting.get() as usize, "it has all that came before");
        self.indexed.set(scope, true);
        self.waiting.set(scope, 0);
        self.index.reserve(tokens.len());
        for tokens in tokens.chunks(ABREAST) {
            self.index.link_noted(scope, tokens);
        }
    }

    /// Makes room for so many tokens more.
    pub(super) fn reserve(&mut self, more: usize) {
        if *self.indexed.get() {
            self.index.reserve(more);
        }
    }

    /// Has what leads to the tokens of a key near.
    #[inline]
    pub(super) fn warm_link(&self, code: u64) {
        if *self.indexed.get() {
            self.index.warm_link(code);
        }
    }

    /// Has a few tokens and what leads to them in the index near; says whether there are so many that it is worth
    /// to have near what goes with them as well.
    pub(super) fn warm_by_tokens(&self, tokens: &[u32]) -> bool {
        let is_worth = tokens.len() > 1 && tokens.iter().any(|&token| token >= FAR_FROM);
        if is_worth && *self.indexed.get() {
            self.index.warm_by(&self.index, tokens);
        }
        is_worth
    }

    #[inline]
    pub(super) fn take_in(&mut self, scope: Scope, token: u32, (code, order): (u64, u64)) {
        if *self.indexed.get() {
            self.index.link(scope, token, code, order);
        } else {
            self.index.note(scope, token, (code, order));
            self.waiting.set(scope, *self.waiting.get() + 1);
        }
    }

    /// Takes in tokens, given with their key and order codes.
    pub(super) fn take_all_in(
        &mut self,
        scope: Scope,
        tokens: &[u32],
        (codes, orders): (&[u64], &[u64]),
    ) {
        if *self.indexed.get() {
            self.index.link_all(scope, tokens, codes, orders);
            return;
        }
        self.index.note_all(scope, tokens, codes, orders);
        let more = u32::try_from(tokens.len()).expect("tokens are addressed by u32");
        self.waiting.set(scope, *self.waiting.get() + more);
    }

    /// Takes a token out.
    #[inline]
    pub(super) fn take_out(&mut self, scope: Scope, token: u32) {
        if *self.indexed.get() {
            self.index.unlink(scope, token);
        } else {
            self.waiting.set(scope, *self.waiting.get() - 1);
        }
    }

    /// Whether all of so many tokens can be taken out at once, at less cost than one by one.
    pub(super) fn can_be_reset(&self, scope: Scope, tokens: usize) -> bool {
        self.index.can_be_reset(scope, tokens)
    }

    /// Takes all tokens out, outside of scopes.
    pub(super) fn reset(&mut self) {
        self.index.reset();
        self.children.clear();
        self.indexed.set(Scope::NONE, false);
        self.waiting.set(Scope::NONE, 0);
    }

    /// Takes a token to these codes; says whether they are others than before.
    #[inline]
    pub(super) fn relink(&mut self, scope: Scope, token: u32, codes: (u64, u64)) -> bool {
        if *self.indexed.get() {
            return self.index.relink(scope, token, codes);
        }
        self.index.renote(scope, token, codes)
    }
}
