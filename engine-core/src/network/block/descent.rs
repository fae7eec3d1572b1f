//! Left tokens that come to a `not` or an `exists`, or go, while its facts stay as they are.

use super::{Block, FREE, Hang};
use crate::chains::NONE;
use crate::network::context::Context;
use crate::network::right::RightMemory;
use crate::network::tokens::Tokens;
use crate::trail::Scope;

impl Block {
    /// Whether tuples pass as soon as they come, if they do.
    pub(crate) fn is_decided_at_once(&self) -> bool {
        self.undecided.is_none()
    }

    /// Left tokens are gone: their tokens go, which are added to `gone`.
    pub(crate) fn drop_of_lefts(
        &mut self,
        scope: Scope,
        lefts: &[u32],
        out: &mut Tokens,
        gone: &mut Vec<u32>,
    ) {
        for &left in lefts {
            let Hang { witness, child, .. } = *self.hangs.get(left);
            if witness == NONE {
                self.free.unlink(scope, left);
            } else {
                self.detach(scope, left);
            }
            self.hangs.set(scope, left, FREE);
            if child != NONE {
                out.kill_settled(scope, child);
                gone.push(child);
            }
        }
    }

    /// Left tokens have come: those that pass get a token, which are added to `came`.
    pub(crate) fn meet_lefts(
        &mut self,
        cx: &mut Context<'_>,
        (left, right): (&Tokens, &RightMemory),
        lefts: &[u32],
        (out, came): (&mut Tokens, &mut Vec<u32>),
    ) {
        self.insert_left(cx, left, lefts);
        self.seek_witnesses(cx, (left, right), lefts);
        for &token in lefts {
            if self.is_free(token) != self.exists {
                let child = out.add_settled(cx.scope, token, NONE, left.row(token), None);
                self.hangs.change(cx.scope, token, |hang| hang.child = child);
                came.push(child);
            }
        }
    }
}
