//! Indexes of one side of a join: by key, and within a key by order if the join has a range.

use crate::chains::{ABREAST, Chains, NONE};
use crate::network::ordered::Ordered;
use crate::trail::{BULK, Cell, Scope, Trailed};

/// Members by key code, or by key code and order code.
#[derive(Clone)]
pub(crate) enum Index {
    Hash(Chains),
    Ordered(Box<Ordered>),
    /// Of the root: its unit tuple goes with every right fact.
    Root(Cell<Option<u32>>),
    /// Of the right facts of the root: the unit tuple is there before all of them and never changes,
    /// so that nobody looks for them.
    Unvisited,
}

impl Trailed for Index {
    fn undo(&mut self, scope: Scope) {
        match self {
            Self::Hash(chains) => chains.undo(scope),
            Self::Ordered(ordered) => ordered.undo(scope),
            Self::Root(token) => token.undo(scope),
            Self::Unvisited => {}
        }
    }
    fn forget(&mut self) {
        match self {
            Self::Hash(chains) => chains.forget(),
            Self::Ordered(ordered) => ordered.forget(),
            Self::Root(token) => token.forget(),
            Self::Unvisited => {}
        }
    }
    fn trail_bytes(&self) -> usize {
        match self {
            Self::Hash(chains) => chains.trail_bytes(),
            Self::Ordered(ordered) => ordered.trail_bytes(),
            Self::Root(token) => token.trail_bytes(),
            Self::Unvisited => 0,
        }
    }
}

/// Inclusive bounds of order codes.
pub(crate) type Bounds = (u64, u64);

impl Index {
    pub(crate) fn new(ordered: bool) -> Self {
        if ordered { Self::Ordered(Box::default()) } else { Self::Hash(Chains::default()) }
    }

    /// Has what lookups and links of these key codes will touch near.
    #[inline]
    pub(crate) fn warm(&self, codes: &[u64]) {
        if let Self::Hash(chains) = self
            && codes.len() > 1
        {
            chains.warm(codes);
        }
    }

    /// Whether it is so large that it is worth to have something of it near.
    #[inline]
    pub(crate) fn is_far(&self) -> bool {
        matches!(self, Self::Hash(chains) if chains.is_far())
    }

    /// The same of what leads there alone, of one key code.
    #[inline]
    pub(crate) fn warm_link(&self, code: u64) {
        if let Self::Hash(chains) = self {
            chains.warm_link(code);
        }
    }

    /// The same of a few members of an index, which may be this one.
    #[inline]
    pub(crate) fn warm_by(&self, of: &Self, members: &[u32]) {
        if members.len() > 1 && self.is_far() {
            let mut codes = [0; ABREAST];
            let ahead = codes.iter_mut().zip(members);
            ahead.for_each(|(code, &member)| *code = of.codes(member).0);
            self.warm(&codes[..members.len()]);
        }
    }

    /// Whether all of so many members can be unlinked at once, at less cost than one by one.
    #[inline]
    pub(crate) fn can_be_reset(&self, scope: Scope, members: usize) -> bool {
        match self {
            Self::Hash(chains) => !scope.is_open() && chains.is_reset_cheap(members),
            Self::Ordered(_) | Self::Root(_) | Self::Unvisited => false,
        }
    }

    /// Unlinks all members, outside of scopes.
    pub(crate) fn reset(&mut self) {
        if let Self::Hash(chains) = self {
            chains.reset();
        }
    }

    /// Unlinks all members, outside of scopes, and knows their codes still.
    pub(crate) fn unlink_all(&mut self) {
        match self {
            Self::Hash(chains) => chains.unlink_all(),
            Self::Ordered(_) | Self::Root(_) | Self::Unvisited => {
                unreachable!("whoever asks has seen that it can be reset")
            }
        }
    }

    #[inline]
    pub(crate) fn link(&mut self, scope: Scope, member: u32, code: u64, order: u64) {
        match self {
            Self::Hash(chains) => chains.link(scope, member, code),
            Self::Ordered(ordered) => ordered.link(scope, member, (code, order)),
            Self::Root(token) => token.set(scope, Some(member)),
            Self::Unvisited => {}
        }
    }

    /// Links members that are not linked, with their key and order codes.
    pub(crate) fn link_all(
        &mut self,
        scope: Scope,
        members: &[u32],
        codes: &[u64],
        orders: &[u64],
    ) {
        if let Self::Hash(chains) = self {
            chains.link_all(scope, members, codes);
            return;
        }
        for ((&member, &code), &order) in members.iter().zip(codes).zip(orders) {
            self.link(scope, member, code, order);
        }
    }

    /// Notes the codes of a member that is not linked.
    #[inline]
    pub(crate) fn note(&mut self, scope: Scope, member: u32, codes: (u64, u64)) {
        match self {
            Self::Hash(chains) => chains.note(scope, member, codes.0),
            Self::Ordered(ordered) => ordered.note(scope, member, codes),
            Self::Root(_) | Self::Unvisited => {}
        }
    }

    /// The same of many, with their key and order codes.
    pub(crate) fn note_all(
        &mut self,
        scope: Scope,
        members: &[u32],
        codes: &[u64],
        orders: &[u64],
    ) {
        if let Self::Hash(chains) = self {
            chains.note_all(scope, members, codes);
            return;
        }
        for ((&member, &code), &order) in members.iter().zip(codes).zip(orders) {
            self.note(scope, member, (code, order));
        }
    }

    /// Notes the codes that a member has now that is not linked; says whether they are others than before.
    #[inline]
    pub(crate) fn renote(&mut self, scope: Scope, member: u32, codes: (u64, u64)) -> bool {
        let moves = self.codes(member) != codes;
        if moves {
            self.note(scope, member, codes);
        }
        moves
    }

    /// Links [a few](ABREAST) members of which the codes are noted.
    pub(crate) fn link_noted(&mut self, scope: Scope, members: &[u32]) {
        let (mut codes, mut orders) = ([0; ABREAST], [0; ABREAST]);
        for ((&member, code), order) in members.iter().zip(&mut codes).zip(&mut orders) {
            (*code, *order) = self.codes(member);
        }
        self.link_all(scope, members, &codes[..members.len()], &orders);
    }

    /// Makes room for so many members more.
    pub(crate) fn reserve(&mut self, more: usize) {
        if let Self::Hash(chains) = self
            && more >= BULK
        {
            chains.reserve(u32::try_from(more).expect("members are addressed by u32"));
        }
    }

    #[inline]
    pub(crate) fn unlink(&mut self, scope: Scope, member: u32) {
        match self {
            Self::Hash(chains) => chains.unlink(scope, member),
            Self::Ordered(ordered) => ordered.unlink(scope, member),
            Self::Root(token) => token.set(scope, None),
            Self::Unvisited => {}
        }
    }

    /// Unlinks all members under this key within the bounds, and calls `visit` with each.
    #[inline]
    pub(crate) fn take(
        &mut self,
        scope: Scope,
        code: u64,
        bounds: Bounds,
        mut visit: impl FnMut(u32),
    ) {
        let Self::Hash(chains) = self else {
            let mut members = Vec::new();
            self.visit(code, bounds, |member| {
                members.push(member);
                true
            });
            for member in members {
                self.unlink(scope, member);
                visit(member);
            }
            return;
        };
        let mut member = chains.take(scope, code);
        while member != NONE {
            let next = chains.after(member);
            visit(member);
            member = next;
        }
    }

    /// Takes a linked member to these codes; says whether they are others than before.
    #[inline]
    pub(crate) fn relink(&mut self, scope: Scope, member: u32, codes: (u64, u64)) -> bool {
        let moves = self.codes(member) != codes;
        if moves {
            self.unlink(scope, member);
            self.link(scope, member, codes.0, codes.1);
        }
        moves
    }

    /// The key and order codes under which a member was linked last.
    #[inline]
    pub(crate) fn codes(&self, member: u32) -> (u64, u64) {
        match self {
            Self::Hash(chains) => (chains.code(member), 0),
            Self::Ordered(ordered) => ordered.codes(member),
            Self::Root(_) | Self::Unvisited => (0, 0),
        }
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        match self {
            Self::Hash(chains) => chains.is_empty(),
            Self::Ordered(ordered) => ordered.is_empty(),
            Self::Root(token) => token.get().is_none(),
            Self::Unvisited => true,
        }
    }

    /// Whether there is a member under this key within the bounds.
    #[inline]
    pub(crate) fn holds(&self, code: u64, bounds: Bounds) -> bool {
        match self {
            Self::Hash(chains) => chains.first(code) != NONE,
            Self::Ordered(ordered) => ordered.holds(code, bounds),
            Self::Root(token) => token.get().is_some(),
            Self::Unvisited => false,
        }
    }

    /// Calls `visit` with every member under the key of a member: it is found without a lookup where there is no
    /// order.
    #[inline]
    pub(crate) fn visit_mates(&self, member: u32, mut visit: impl FnMut(u32)) {
        match self {
            Self::Hash(chains) => chains.mates_of(member).for_each(visit),
            Self::Ordered(ordered) => {
                let (code, _) = ordered.codes(member);
                ordered.visit(code, (0, u64::MAX), |member| {
                    visit(member);
                    true
                });
            }
            Self::Root(_) | Self::Unvisited => {}
        }
    }

    /// Calls `visit` with every member under this key within the bounds until it says stop.
    #[inline]
    pub(crate) fn visit(&self, code: u64, bounds: Bounds, mut visit: impl FnMut(u32) -> bool) {
        match self {
            Self::Hash(chains) => {
                let mut member = chains.first(code);
                while member != NONE && visit(member) {
                    member = chains.after(member);
                }
            }
            Self::Ordered(ordered) => ordered.visit(code, bounds, visit),
            Self::Root(token) => {
                if let Some(token) = *token.get() {
                    visit(token);
                }
            }
            Self::Unvisited => {}
        }
    }
}
