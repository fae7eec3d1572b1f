//! A multimap from 64-bit codes to small numbers: the one index structure of the engine.
//!
//! Open addressing from codes to the head of a doubly linked chain through columns. It is for
//! lookup only: neither the order of the table nor that of a chain is ever observable (INV-40).

use crate::key::spread;
use crate::trail::{Cell, Column, KEPT, Scope, Sparse, trailed};

/// No number.
pub(crate) const NONE: u32 = u32::MAX;

const SLOTS_MIN: usize = 16;

/// A smaller table is near anyway.
const FAR_FROM: u32 = 1 << 14;

/// How many members of a batch are looked up side by side.
pub(crate) const ABREAST: usize = 32;

/// How many members of a bulk load are worked on at a time: what is gathered about them stays near, and takes the
/// memory of so many.
pub(crate) const BATCH: usize = if cfg!(test) { 2 } else { 32 * ABREAST };

/// Chains of members, by code.
///
/// The table holds heads alone: a probe verifies the code at the head, which whoever finds it reads next
/// anyway. So it stays small, and a lookup touches two places of memory.
#[derive(Clone, Debug)]
pub(crate) struct Chains {
    /// Heads of chains; `NONE` marks a free slot.
    heads: Column<u32>,
    occupied: Cell<u32>,
    /// How many members a bulk load still brings; a hint, not state.
    coming: u32,
    /// By member: its code, and its neighbors. Where most members have a code of their own, few have any.
    codes: Column<u64>,
    mates: Sparse<Mates>,
}

/// The neighbors of an element of a doubly linked list.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Mates {
    pub(crate) next: u32,
    pub(crate) prev: u32,
}

impl Mates {
    pub(crate) const NONE: Self = Self { next: NONE, prev: NONE };
}

trailed!(Chains { heads, occupied, codes, mates });

impl Default for Chains {
    fn default() -> Self {
        let (heads, codes) = (Column::default(), Column::default());
        let (occupied, mates) = (Cell::new(0), Sparse::new(Mates::NONE));
        Self { heads, occupied, coming: 0, codes, mates }
    }
}

impl Chains {
    /// The code under which a member was linked.
    #[inline]
    pub(crate) fn code(&self, member: u32) -> u64 {
        *self.codes.get(member)
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        *self.occupied.get() == 0
    }

    /// The first member with this code, or `NONE`.
    #[inline]
    pub(crate) fn first(&self, code: u64) -> u32 {
        self.slot(code).map_or(NONE, |slot| *self.heads.get(slot))
    }

    /// The member after this one, or `NONE`.
    #[inline]
    pub(crate) fn after(&self, member: u32) -> u32 {
        self.mates.get(member).next
    }

    /// All members with this code.
    #[inline]
    pub(crate) fn members(&self, code: u64) -> impl Iterator<Item = u32> + '_ {
        self.members_from(self.first(code))
    }

    /// A member, or `NONE`, and those behind it in its chain.
    #[inline]
    pub(crate) fn members_from(&self, member: u32) -> impl Iterator<Item = u32> + '_ {
        std::iter::successors((member != NONE).then_some(member), |&member| {
            let next = self.after(member);
            (next != NONE).then_some(next)
        })
    }

    /// All members with the code of a linked one, which is among them.
    #[inline]
    pub(crate) fn mates_of(&self, member: u32) -> impl Iterator<Item = u32> + '_ {
        let before = |&member: &u32| {
            let prev = self.mates.get(member).prev;
            (prev != NONE).then_some(prev)
        };
        self.members_from(member).chain(std::iter::successors(before(&member), before))
    }

    /// Whether the table is so large that it is worth to have something of it near.
    #[inline]
    pub(crate) fn is_far(&self) -> bool {
        self.heads.len() >= FAR_FROM
    }

    /// Has what lookups and links of these codes, [a few](ABREAST), will touch [near](Column::warm).
    #[inline]
    pub(crate) fn warm(&self, codes: &[u64]) {
        if self.is_far() {
            self.warm_far(codes);
        }
    }

    /// Has near what leads to the members of a code.
    #[inline]
    pub(crate) fn warm_link(&self, code: u64) {
        if self.is_far() {
            self.heads.warm(self.home(code));
        }
    }

    fn warm_far(&self, codes: &[u64]) {
        let mut heads = [NONE; ABREAST];
        for (head, &code) in heads.iter_mut().zip(codes) {
            *head = *self.heads.get(self.home(code));
        }
        // A number behind all members is none.
        heads.iter().for_each(|&head| self.codes.warm(head));
    }

    /// Notes the code of a member that is not linked.
    #[inline]
    pub(crate) fn note(&mut self, scope: Scope, member: u32, code: u64) {
        if member == self.codes.len() {
            self.codes.push(scope, code);
        } else {
            self.codes.reach(scope, member, &0);
            self.codes.set(scope, member, code);
        }
    }

    /// Links a member that is not linked.
    #[inline]
    pub(crate) fn link(&mut self, scope: Scope, member: u32, code: u64) {
        let slot = self.slot_for_insert(scope, code);
        self.coming = self.coming.saturating_sub(1);
        let next = *self.heads.get(slot);
        self.note(scope, member, code);
        self.mates.set(scope, member, Mates { next, prev: NONE });
        if next == NONE {
            self.occupied.set(scope, *self.occupied.get() + 1);
        } else {
            self.mates.change(scope, next, |next| next.prev = member);
        }
        self.heads.set(scope, slot, member);
    }

    /// Links members that are not linked, as [`link`](Self::link) one by one.
    pub(crate) fn link_all(&mut self, scope: Scope, members: &[u32], codes: &[u64]) {
        for (members, codes) in members.chunks(ABREAST).zip(codes.chunks(ABREAST)) {
            self.warm(codes);
            // At most half full, also when all of them are there.
            while (*self.occupied.get() as usize + members.len()) * 2 > self.heads.len() as usize {
                self.grow(scope);
            }
            if !self.link_some(scope, members, codes) {
                let members = members.iter().zip(codes);
                members.for_each(|(&member, &code)| self.link(scope, member, code));
            }
        }
    }

    /// Links a few members for which there is room, outside of scopes; says whether it is outside.
    fn link_some(&mut self, scope: Scope, members: &[u32], new: &[u64]) -> bool {
        let mask = self.mask();
        let (heads, codes) = (self.heads.bare(scope), self.codes.bare(scope));
        let (Some(heads), Some(codes)) = (heads, codes) else { return false };
        let mut occupied = *self.occupied.get();
        for (&member, &code) in members.iter().zip(new) {
            let mut slot = home(code, mask);
            let mut next = heads[slot as usize];
            while next != NONE && codes[next as usize] != code {
                slot = (slot + 1) & mask;
                next = heads[slot as usize];
            }
            heads[slot as usize] = member;
            if member as usize == codes.len() {
                codes.push(code);
            } else {
                put_code(codes, member, code);
            }
            if next == NONE {
                occupied += 1;
                self.mates.reset(member);
            } else {
                self.mates.set(scope, member, Mates { next, prev: NONE });
                self.mates.change(scope, next, |next| next.prev = member);
            }
        }
        let few = u32::try_from(members.len()).expect("they are a few");
        self.coming = self.coming.saturating_sub(few);
        self.occupied.set(scope, occupied);
        true
    }

    /// Unlinks a linked member.
    #[inline]
    pub(crate) fn unlink(&mut self, scope: Scope, member: u32) {
        let Mates { next, prev } = *self.mates.get(member);
        if next != NONE {
            self.mates.change(scope, next, |next| next.prev = prev);
        }
        if prev != NONE {
            self.mates.change(scope, prev, |prev| prev.next = next);
            return;
        }
        let slot = self.slot(self.code(member)).expect("a linked member's chain is in the table");
        if next == NONE {
            self.free_slot(scope, slot);
        } else {
            self.heads.set(scope, slot, next);
        }
    }

    /// Unlinks all members of a code; gives the first of them, or `NONE`: the others come [after](Chains::after) it.
    #[inline]
    pub(crate) fn take(&mut self, scope: Scope, code: u64) -> u32 {
        let Some(slot) = self.slot(code) else { return NONE };
        let head = *self.heads.get(slot);
        self.free_slot(scope, slot);
        head
    }

    /// Whether to unlink so many members, all that there are, costs less at once than one by one.
    #[inline]
    pub(crate) fn is_reset_cheap(&self, members: usize) -> bool {
        const FEW: usize = if cfg!(test) { 0 } else { 4 };
        members > FEW && self.heads.len() as usize <= members * 16
    }

    /// Unlinks all members, outside of scopes; keeps the memory, unless that is much.
    pub(crate) fn reset(&mut self) {
        if self.codes.is_empty() {
            return;
        }
        if self.heads.len() as usize > KEPT {
            *self = Self::default();
            return;
        }
        self.heads.fill(NONE);
        self.codes.clear(Scope::NONE);
        self.mates.clear();
        self.occupied = Cell::new(0);
        self.coming = 0;
    }

    /// Unlinks all members, outside of scopes. Their codes are still known.
    pub(crate) fn unlink_all(&mut self) {
        self.heads.fill(NONE);
        self.occupied = Cell::new(0);
    }

    /// Makes room for so many members more; the table grows with the codes that they turn out to have.
    pub(crate) fn reserve(&mut self, more: u32) {
        self.codes.reserve(more);
        self.coming = more;
    }

    fn mask(&self) -> u32 {
        self.heads.len() - 1
    }

    #[inline]
    fn home(&self, code: u64) -> u32 {
        home(code, self.mask())
    }

    #[inline]
    fn slot(&self, code: u64) -> Option<u32> {
        if self.heads.is_empty() {
            return None;
        }
        let mask = self.mask();
        let mut slot = self.home(code);
        loop {
            let head = *self.heads.get(slot);
            if head == NONE {
                return None;
            }
            if self.code(head) == code {
                return Some(slot);
            }
            slot = (slot + 1) & mask;
        }
    }

    /// The slot of this code, or the free slot where it belongs.
    #[inline]
    fn slot_for_insert(&mut self, scope: Scope, code: u64) -> u32 {
        // At most half full: a probe of another code's slot reads that code's head.
        if (*self.occupied.get() as usize + 1) * 2 > self.heads.len() as usize {
            self.grow(scope);
        }
        let mask = self.mask();
        let mut slot = self.home(code);
        loop {
            let head = *self.heads.get(slot);
            if head == NONE || self.code(head) == code {
                return slot;
            }
            slot = (slot + 1) & mask;
        }
    }

    #[cold]
    fn grow(&mut self, scope: Scope) {
        let mut slots = (self.heads.len() as usize * 2).max(SLOTS_MIN);
        // If most members so far have a code of their own, those to come will too.
        let occupied = *self.occupied.get() as usize;
        if occupied * 2 > self.codes.len() as usize {
            let all = occupied + self.coming as usize;
            slots = slots.max((all * 2).next_power_of_two());
        }
        let old = self.heads.as_slice().to_vec();
        self.heads.replace(scope, vec![NONE; slots]);
        let mask = self.mask();
        for head in old {
            if head == NONE {
                continue;
            }
            let mut slot = self.home(self.code(head));
            while *self.heads.get(slot) != NONE {
                slot = (slot + 1) & mask;
            }
            self.heads.set(scope, slot, head);
        }
    }

    /// Frees a slot and moves later ones of its run back, so that no tombstone is needed.
    fn free_slot(&mut self, scope: Scope, slot: u32) {
        let mask = self.mask();
        let mut hole = slot;
        let mut at = slot;
        loop {
            at = (at + 1) & mask;
            let head = *self.heads.get(at);
            if head == NONE {
                break;
            }
            let from_home = at.wrapping_sub(self.home(self.code(head))) & mask;
            let from_hole = at.wrapping_sub(hole) & mask;
            if from_home >= from_hole {
                self.heads.set(scope, hole, head);
                hole = at;
            }
        }
        self.heads.set(scope, hole, NONE);
        self.occupied.set(scope, *self.occupied.get() - 1);
    }
}

/// Where the search for a code begins.
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "the mask keeps the low bits")]
fn home(code: u64, mask: u32) -> u32 {
    spread(code) as u32 & mask
}

/// Notes the code of a member that may be behind all others.
#[inline]
fn put_code(codes: &mut Vec<u64>, member: u32, code: u64) {
    let member = member as usize;
    if member >= codes.len() {
        codes.resize(member + 1, 0);
    }
    codes[member] = code;
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;
    use crate::trail::Trailed;

    fn sorted(chains: &Chains, code: u64) -> Vec<u32> {
        let mut members: Vec<u32> = chains.members(code).collect();
        members.sort_unstable();
        members
    }

    /// Random links and unlinks against a map of sets; codes collide in the table on purpose.
    #[test]
    fn behaves_as_a_map_of_sets_and_undoes() {
        let mut chains = Chains::default();
        let mut model: BTreeMap<u64, BTreeSet<u32>> = BTreeMap::new();
        let mut random = 1_u64;
        let mut step = |chains: &mut Chains, model: &mut BTreeMap<u64, BTreeSet<u32>>, scope| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let member = u32::try_from(random >> 33).unwrap() % 200;
            let code = (random >> 40) % 64;
            let old = model.iter().find(|(_, set)| set.contains(&member)).map(|(code, _)| *code);
            if let Some(old) = old {
                chains.unlink(scope, member);
                model.get_mut(&old).unwrap().remove(&member);
            } else {
                chains.link(scope, member, code);
                model.entry(code).or_default().insert(member);
            }
        };
        for _ in 0..5_000 {
            step(&mut chains, &mut model, Scope::NONE);
        }
        // All of a code at once, and then all of them anew.
        for code in 0..8 {
            let mut taken = Vec::new();
            let mut member = chains.take(Scope::NONE, code);
            while member != NONE {
                taken.push(member);
                member = chains.after(member);
            }
            taken.sort_unstable();
            let known = model.insert(code, BTreeSet::new()).unwrap_or_default();
            assert_eq!(taken, known.into_iter().collect::<Vec<_>>());
        }
        let linked: BTreeSet<u32> = model.values().flatten().copied().collect();
        let unlinked: Vec<u32> = (0..200).filter(|member| !linked.contains(member)).collect();
        let codes: Vec<u64> = unlinked.iter().map(|&member| u64::from(member) % 64).collect();
        chains.link_all(Scope::NONE, &unlinked, &codes);
        for (&member, &code) in unlinked.iter().zip(&codes) {
            model.entry(code).or_default().insert(member);
        }
        let kept = model.clone();
        let scope = Scope::NONE.inner();
        for _ in 0..500 {
            step(&mut chains, &mut model, scope);
        }
        for code in 0..64 {
            let expected: Vec<u32> = model.get(&code).into_iter().flatten().copied().collect();
            assert_eq!(sorted(&chains, code), expected);
        }
        chains.undo(scope);
        for code in 0..64 {
            let expected: Vec<u32> = kept.get(&code).into_iter().flatten().copied().collect();
            assert_eq!(sorted(&chains, code), expected, "after undoing");
        }
    }
}
