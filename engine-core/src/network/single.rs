//! What single facts and tokens do to joins and groups on a straight way.

use crate::aggregate::{AggregateError, Refreshed};
use crate::chains::NONE;
use crate::network::context::Context;
use crate::network::group::{Group, Verdict};
use crate::network::inputs::Inputs;
use crate::network::join::Join;
use crate::network::right::RightMemory;
use crate::network::straight::Became;
use crate::network::tokens::Tokens;
use crate::rows::Rows;
use crate::trail::Scope;

/// What single facts and tokens do. Where more than one token comes of it they do as in any other flush, and list
/// what happened.
impl Join {
    pub(super) fn lose_right(&mut self, scope: Scope, entry: u32, out: &mut Tokens) -> Became {
        let token = *self.heads.get(entry);
        if token == NONE {
            return Became::Nothing;
        }
        if out.next_of_entry(token) != NONE {
            self.delete_right(scope, entry, out);
            return Became::Listed;
        }
        self.heads.set(scope, entry, NONE);
        self.left.children.remove(scope, token, out);
        out.kill_settled(scope, token);
        Became::Went(token)
    }

    /// A fact that goes with the unit tuple comes, as every one does.
    #[inline]
    pub(super) fn take_one(
        &mut self,
        scope: Scope,
        root: &Tokens,
        slot: u32,
        entry: u32,
        out: &mut Tokens,
    ) -> Became {
        let unit = self.unit().expect("the level hears");
        let token = match root.row(unit) {
            [] => out.add_alone(scope, unit, entry, slot),
            row => out.add_settled(scope, unit, entry, row, Some(slot)),
        };
        self.heads.set(scope, entry, token);
        Became::Came(token)
    }

    /// A fact stays under its key, and no pair of it is to be asked about.
    #[inline]
    pub(super) fn keep_settled(&mut self, entry: u32, out: &mut Tokens) -> Became {
        match *self.heads.get(entry) {
            NONE => Became::Nothing,
            token if out.next_of_entry(token) == NONE => Became::Stayed(token),
            mut token => {
                while token != NONE {
                    out.mark_updated(token);
                    token = out.next_of_entry(token);
                }
                Became::Listed
            }
        }
    }

    /// Takes in one left token, which is not the unit tuple; the candidate pairs are its pairs with right facts
    /// then.
    #[inline]
    pub(super) fn insert_one_left(
        &mut self,
        cx: &mut Context<'_>,
        (left, right): (&Tokens, &RightMemory),
        token: u32,
    ) {
        let codes = self.outer_code(cx, left, token);
        self.pair_left(cx, right, token, codes);
    }

    /// The same, given its key and order codes.
    #[inline]
    pub(super) fn pair_left(
        &mut self,
        cx: &mut Context<'_>,
        right: &RightMemory,
        token: u32,
        (code, order): (u64, u64),
    ) {
        // What is read on the way there comes while the other side is searched.
        self.left.warm_link(code);
        let pairs = &mut cx.buffers.pairs;
        pairs.clear();
        right.index.visit(code, self.plan.inner_bounds(order), |entry| {
            pairs.push((token, entry));
            true
        });
        self.left.take_in(cx.scope, token, (code, order));
    }

    /// The key and order codes of one left token.
    #[inline]
    pub(super) fn outer_code(
        &mut self,
        cx: &mut Context<'_>,
        left: &Tokens,
        token: u32,
    ) -> (u64, u64) {
        let row = Rows::new(cx.left_sources, left.row(token));
        let (code, exact) = self.plan.outer_code(&row, cx.buffers);
        self.exact &= exact;
        code
    }

    pub(super) fn meet_right(
        &mut self,
        cx: &mut Context<'_>,
        sides: (&Tokens, &RightMemory),
        entry: u32,
        out: &mut Tokens,
    ) -> Became {
        let pairs = &mut cx.buffers.pairs;
        pairs.clear();
        self.seek_left(cx.scope, sides, entry, pairs);
        self.pair(cx, sides, out)
    }

    pub(super) fn keep_right(
        &mut self,
        cx: &mut Context<'_>,
        sides: (&Tokens, &RightMemory),
        (entry, moved): (u32, bool),
        out: &mut Tokens,
    ) -> Became {
        self.update_right(cx, sides, &[(entry, moved)], out);
        Became::Listed
    }

    pub(super) fn lose_left(&mut self, scope: Scope, token: u32, out: &mut Tokens) -> Became {
        let child = self.left.children.first(scope, token, out);
        if child != NONE && out.next_sibling(child) != NONE {
            self.delete_left(scope, token, out);
            return Became::Listed;
        }
        if child != NONE {
            // It comes while the left token is taken out of the index.
            self.heads.warm(out.entry(child));
        }
        self.left.take_out(scope, token);
        if child == NONE {
            return Became::Nothing;
        }
        self.left.children.take(scope, token, out);
        out.unlink_entry(scope, child, &mut self.heads);
        out.kill_settled(scope, child);
        Became::Went(child)
    }

    pub(super) fn meet_left(
        &mut self,
        cx: &mut Context<'_>,
        sides: (&Tokens, &RightMemory),
        token: u32,
        out: &mut Tokens,
    ) -> Became {
        let (left, right) = sides;
        let (code, order) = self.outer_code(cx, left, token);
        if self.verifies(right) {
            self.pair_left(cx, right, token, (code, order));
            return self.pair(cx, sides, out);
        }
        // What is read on the way there comes while the other side is searched.
        self.left.warm_link(code);
        let (mut met, mut meets_more) = (NONE, false);
        right.index.visit(code, self.plan.inner_bounds(order), |entry| {
            meets_more = met != NONE;
            met = entry;
            !meets_more
        });
        if meets_more {
            self.pair_left(cx, right, token, (code, order));
            self.add_all(cx, sides, out);
            return Became::Listed;
        }
        self.left.take_in(cx.scope, token, (code, order));
        if met == NONE {
            return Became::Nothing;
        }
        let new = out.add_settled(cx.scope, token, met, left.row(token), Some(right.slot(met)));
        self.hang(cx.scope, new, (token, met), out);
        Became::Came(new)
    }

    pub(super) fn keep_left(
        &mut self,
        cx: &mut Context<'_>,
        (left, right): (&Tokens, &RightMemory),
        token: u32,
        out: &mut Tokens,
    ) -> Became {
        let code = self.outer_code(cx, left, token);
        let moved = self.left.relink(cx.scope, token, code);
        if moved || self.verifies(right) {
            self.rematch_left(cx, (left, right), token, out);
            return Became::Listed;
        }
        let mut child = self.left.children.first(cx.scope, token, out);
        if child == NONE {
            return Became::Nothing;
        }
        if out.next_sibling(child) == NONE {
            return Became::Stayed(child);
        }
        while child != NONE {
            out.mark_updated(child);
            child = out.next_sibling(child);
        }
        Became::Listed
    }

    /// Makes tokens of the candidate pairs that pass.
    #[inline]
    fn pair(
        &mut self,
        cx: &mut Context<'_>,
        sides: (&Tokens, &RightMemory),
        out: &mut Tokens,
    ) -> Became {
        let (left, right) = sides;
        cx.verify_pairs(&self.plan, self.exact && right.exact, left, right);
        match *cx.buffers.pairs {
            [] => Became::Nothing,
            [(parent, entry)] => {
                let (row, slot) = (left.row(parent), right.slot(entry));
                let token = out.add_settled(cx.scope, parent, entry, row, Some(slot));
                self.hang(cx.scope, token, (parent, entry), out);
                Became::Came(token)
            }
            _ => {
                self.add_all(cx, sides, out);
                Became::Listed
            }
        }
    }
}

impl Group {
    /// As [`process`](Self::process) of the only change of a flush: one member comes, stays or goes. Nobody asks
    /// for triggers after it.
    pub(super) fn process_one(
        &mut self,
        cx: &mut Context<'_>,
        inputs: &Inputs<'_>,
        member: Became,
        out: &mut Tokens,
    ) -> Result<Became, AggregateError> {
        let context = match member {
            Became::Came(token) => self.enter(cx, inputs, token),
            Became::Went(token) => self.grouping.leave(cx.scope, token),
            Became::Stayed(token) => {
                let (left, entered) = self.change(cx, inputs, token);
                if left != entered {
                    self.settle(cx, inputs, left, out)?;
                    self.settle(cx, inputs, entered, out)?;
                    return Ok(Became::Listed);
                }
                entered
            }
            Became::Nothing | Became::Listed => unreachable!("one member is something else"),
        };
        let verdict = self.judge(cx, inputs, context)?;
        Ok(self.obey(cx.scope, || inputs.outer, (verdict, context), out))
    }

    /// A member stays in its group, if it does, and may have given it another result: all that happens in the flush,
    /// so that nobody has to remember how the group was when that began. The group has no conditions.
    pub(super) fn renew(
        &mut self,
        scope: Scope,
        rows: &Rows<'_>,
        (token, outer): (u32, u32),
    ) -> Result<Option<(u32, Verdict)>, AggregateError> {
        let opened = self.opened_for(outer);
        let renewed = self.grouping.renew(scope, rows, opened, (token, outer))?;
        let Some((context, Refreshed { present, changed })) = renewed else { return Ok(None) };
        self.renewed = present.then_some(changed);
        Ok(Some((context, self.verdict((context, outer), present, changed))))
    }

    /// Does to its tokens what was found of the only context with a change.
    #[inline]
    pub(super) fn obey<'a>(
        &mut self,
        scope: Scope,
        outers: impl FnOnce() -> &'a Tokens,
        (verdict, context): (Verdict, u32),
        out: &mut Tokens,
    ) -> Became {
        match verdict {
            Verdict::Comes(outer) => {
                let row = outers().row(outer);
                let token = out.add_settled(scope, outer, context, row, Some(context));
                self.hang(scope, token, (outer, context), out);
                Became::Came(token)
            }
            Verdict::Changes(token) => Became::Stayed(token),
            Verdict::Goes(token) => {
                self.unhang(scope, token, out);
                out.kill_settled(scope, token);
                Became::Went(token)
            }
            Verdict::Remains => Became::Nothing,
        }
    }
}
