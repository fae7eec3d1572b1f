//! What updated left tokens and right facts do in a join: their pairs are found again where that may matter.

use super::Join;
use crate::chains::NONE;
use crate::network::context::Context;
use crate::network::right::RightMemory;
use crate::network::tokens::Tokens;
use crate::trail::Scope;

impl Join {
    /// What updated left tokens and right facts do; says whether pairs of left tokens were found again.
    #[inline(never)] // many changes are none, and it needs much
    pub(super) fn update(
        &mut self,
        cx: &mut Context<'_>,
        (left, right): (&Tokens, &RightMemory),
        entries: &[(u32, bool)],
        out: &mut Tokens,
    ) -> bool {
        let lefts: Vec<u32> =
            left.updated.iter().copied().filter(|&token| left.is_live(token)).collect();
        let again = self.relink_left(cx, (left, right), &lefts, out);
        again.iter().for_each(|&token| self.rematch_left(cx, (left, right), token, out));
        self.update_right(cx, (left, right), entries, out);
        !again.is_empty()
    }

    /// Moves updated left tokens to their new keys. Gives those whose pairs must be found again; the
    /// children of the others are marked.
    fn relink_left(
        &mut self,
        cx: &mut Context<'_>,
        (left, right): (&Tokens, &RightMemory),
        tokens: &[u32],
        out: &mut Tokens,
    ) -> Vec<u32> {
        if tokens.is_empty() {
            return Vec::new();
        }
        let plan = &*self.plan;
        let exact = cx.left_rows(left, tokens, |rows, codes, orders| {
            plan.outer_orders(rows, orders);
            plan.outer_codes(rows, codes)
        });
        self.exact &= exact;
        let verifies = self.verifies(right);
        let mut again = Vec::new();
        for (at, &token) in tokens.iter().enumerate() {
            let code = (cx.buffers.codes.codes.as_slice()[at], cx.buffers.orders[at]);
            let moved = self.left.relink(cx.scope, token, code);
            if moved || verifies {
                again.push(token);
            } else {
                let mut child = self.left.children.first(cx.scope, token, out);
                while child != NONE {
                    out.mark_updated(child);
                    child = out.next_sibling(child);
                }
            }
        }
        again
    }

    /// Finds the pairs of updated right facts again where that may matter; marks the tokens of the others.
    pub(in crate::network) fn update_right(
        &mut self,
        cx: &mut Context<'_>,
        (left, right): (&Tokens, &RightMemory),
        entries: &[(u32, bool)],
        out: &mut Tokens,
    ) {
        let verifies = self.verifies(right);
        for &(entry, moved) in entries {
            if moved || verifies {
                self.rematch_right(cx, (left, right), entry, out);
                continue;
            }
            let mut token = *self.heads.get(entry);
            while token != NONE {
                out.mark_updated(token);
                token = out.next_of_entry(token);
            }
        }
    }

    /// Finds the pairs of an updated left token again: keeps, drops and adds children.
    pub(in crate::network) fn rematch_left(
        &mut self,
        cx: &mut Context<'_>,
        (left, right): (&Tokens, &RightMemory),
        token: u32,
        out: &mut Tokens,
    ) {
        let (code, order) = self.left.codes(token);
        cx.buffers.pairs.clear();
        let pairs = &mut cx.buffers.pairs;
        right.index.visit(code, self.plan.inner_bounds(order), |entry| {
            pairs.push((token, entry));
            true
        });
        cx.buffers.existing.clear();
        let mut child = self.left.children.first(cx.scope, token, out);
        while child != NONE {
            cx.buffers.existing.push((out.entry(child), child));
            child = out.next_sibling(child);
        }
        self.reconcile(cx, (left, right), out, |(_, entry)| entry);
    }

    pub(super) fn rematch_right(
        &mut self,
        cx: &mut Context<'_>,
        (left, right): (&Tokens, &RightMemory),
        entry: u32,
        out: &mut Tokens,
    ) {
        let (code, order) = right.index.codes(entry);
        cx.buffers.pairs.clear();
        let pairs = &mut cx.buffers.pairs;
        let index = self.left.opened(cx.scope, left);
        index.visit(code, self.plan.outer_bounds(order), |token| {
            pairs.push((token, entry));
            true
        });
        cx.buffers.existing.clear();
        let mut token = *self.heads.get(entry);
        while token != NONE {
            cx.buffers.existing.push((out.parent(token), token));
            token = out.next_of_entry(token);
        }
        self.reconcile(cx, (left, right), out, |(token, _)| token);
    }

    /// Compares the pairs that should be with the tokens that are; `side` is what tells them apart.
    fn reconcile(
        &mut self,
        cx: &mut Context<'_>,
        (left, right): (&Tokens, &RightMemory),
        out: &mut Tokens,
        side: impl Fn((u32, u32)) -> u32,
    ) {
        cx.verify_pairs(&self.plan, self.exact && right.exact, left, right);
        let mut pairs = std::mem::take(&mut cx.buffers.pairs);
        let mut existing = std::mem::take(&mut cx.buffers.existing);
        pairs.sort_unstable_by_key(|&pair| side(pair));
        existing.sort_unstable();
        let mut old = existing.iter().copied().peekable();
        for &pair in &pairs {
            while let Some((_, token)) = old.next_if(|&(key, _)| key < side(pair)) {
                self.drop_token(cx.scope, token, out);
            }
            match old.next_if(|&(key, _)| key == side(pair)) {
                Some((_, token)) => out.mark_updated(token),
                None => self.add(cx.scope, (left, right), pair, out),
            }
        }
        old.for_each(|(_, token)| self.drop_token(cx.scope, token, out));
        cx.buffers.pairs = pairs;
        cx.buffers.existing = existing;
    }

    fn drop_token(&mut self, scope: Scope, token: u32, out: &mut Tokens) {
        self.left.children.remove(scope, token, out);
        out.unlink_entry(scope, token, &mut self.heads);
        out.kill(scope, token);
    }
}
