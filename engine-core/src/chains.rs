//! A multimap from 64-bit codes to small numbers: the one index structure of the engine.
//!
//! A table from codes to the head of a doubly linked chain through columns: with open addressing, or with a slot
//! for each code where codes are dense. It is for lookup only: neither the order of the table nor that of a chain
//! is ever observable (INV-40).

mod layout;

pub(crate) use layout::CodeRange;
use layout::Layout;

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
/// The table holds heads alone: a probe of a hash table verifies the code at the head. So it stays small, and a
/// lookup touches two places of memory; one, if the table is dense.
#[derive(Clone, Debug)]
pub(crate) struct Chains {
    /// Heads of chains; `NONE` marks a free slot.
    heads: Column<u32>,
    layout: Cell<Layout>,
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

trailed!(Chains { heads, layout, occupied, codes, mates });

impl Default for Chains {
    fn default() -> Self {
        let (heads, codes) = (Column::default(), Column::default());
        let (layout, occupied) = (Cell::new(Layout::Hashed), Cell::new(0));
        Self { heads, layout, occupied, coming: 0, codes, mates: Sparse::new(Mates::NONE) }
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
            match *self.layout.get() {
                Layout::Hashed => self.heads.warm(self.home(code)),
                Layout::Dense(first) => self.heads.warm(self.dense_slot(first, code).unwrap_or(0)),
            }
        }
    }

    fn warm_far(&self, codes: &[u64]) {
        if let Layout::Dense(first) = *self.layout.get() {
            let slots = codes.iter().map(|&code| self.dense_slot(first, code).unwrap_or(0));
            slots.for_each(|slot| self.heads.warm(slot));
            return;
        }
        let mut heads = [NONE; ABREAST];
        for (head, &code) in heads.iter_mut().zip(codes) {
            *head = *self.heads.get(self.home(code));
        }
        // A number behind all members is none.
        heads.iter().for_each(|&head| self.codes.warm(head));
    }

    /// Notes the code of a member that is not linked.
    #[expect(clippy::inline_always, reason = "members are linked in every change of an index")]
    #[inline(always)]
    pub(crate) fn note(&mut self, scope: Scope, member: u32, code: u64) {
        if member == self.codes.len() {
            self.codes.push(scope, code);
        } else {
            self.codes.reach(scope, member, &0);
            self.codes.set(scope, member, code);
        }
    }

    /// The same of many.
    pub(crate) fn note_all(&mut self, scope: Scope, members: &[u32], new: &[u64]) {
        let members = members.iter().zip(new);
        match self.codes.bare(scope) {
            Some(codes) => members.for_each(|(&member, &code)| put_code(codes, member, code)),
            None => members.for_each(|(&member, &code)| self.note(scope, member, code)),
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
            while !self.has_room(members.len()) {
                self.grow(scope);
            }
            let linked = match *self.layout.get() {
                Layout::Dense(first) => self.link_dense(scope, first, members, codes),
                Layout::Hashed => {
                    self.warm(codes);
                    self.link_hashed(scope, members, codes)
                }
            };
            let others = members.iter().zip(codes).skip(linked);
            others.for_each(|(&member, &code)| self.link(scope, member, code));
        }
    }

    /// Links the first ones of a few members that have slots, outside of scopes; says how many it has linked.
    fn link_dense(&mut self, scope: Scope, first: u64, members: &[u32], new: &[u64]) -> usize {
        let (heads, codes) = (self.heads.bare(scope), self.codes.bare(scope));
        let (Some(heads), Some(codes)) = (heads, codes) else { return 0 };
        let mut occupied = *self.occupied.get();
        let mut linked = 0;
        for (&member, &code) in members.iter().zip(new) {
            let slot = usize::try_from(code.wrapping_sub(first)).ok();
            let Some(head) = slot.and_then(|slot| heads.get_mut(slot)) else { break };
            let next = std::mem::replace(head, member);
            put_code(codes, member, code);
            occupied += put_before(&mut self.mates, scope, member, next);
            linked += 1;
        }
        self.coming = self.coming.saturating_sub(u32::try_from(linked).expect("they are a few"));
        self.occupied.set(scope, occupied);
        linked
    }

    /// Whether so many members more have room in the table: at most half full, a probe of another code's slot reads
    /// that code's head.
    #[inline]
    fn has_room(&self, more: usize) -> bool {
        (*self.occupied.get() as usize + more) * 2 <= self.heads.len() as usize
            || *self.layout.get() != Layout::Hashed
    }

    /// Links a few members for which there is room in a hash table, outside of scopes; says how many it has linked.
    fn link_hashed(&mut self, scope: Scope, members: &[u32], new: &[u64]) -> usize {
        let mask = self.mask();
        let (heads, codes) = (self.heads.bare(scope), self.codes.bare(scope));
        let (Some(heads), Some(codes)) = (heads, codes) else { return 0 };
        let mut occupied = *self.occupied.get();
        for (&member, &code) in members.iter().zip(new) {
            let mut slot = home(code, mask);
            let mut next = heads[slot as usize];
            while next != NONE && codes[next as usize] != code {
                slot = (slot + 1) & mask;
                next = heads[slot as usize];
            }
            heads[slot as usize] = member;
            put_code(codes, member, code);
            occupied += put_before(&mut self.mates, scope, member, next);
        }
        let few = u32::try_from(members.len()).expect("they are a few");
        self.coming = self.coming.saturating_sub(few);
        self.occupied.set(scope, occupied);
        members.len()
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

    /// The slot of this code, if it has members.
    #[inline]
    fn slot(&self, code: u64) -> Option<u32> {
        match *self.layout.get() {
            Layout::Hashed => self.hashed_slot(code),
            Layout::Dense(first) => {
                self.dense_slot(first, code).filter(|&slot| *self.heads.get(slot) != NONE)
            }
        }
    }

    #[inline]
    fn hashed_slot(&self, code: u64) -> Option<u32> {
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
        if !self.has_room(1) {
            self.grow(scope);
        }
        match *self.layout.get() {
            Layout::Hashed => self.own_slot(code),
            Layout::Dense(first) => match self.dense_slot(first, code) {
                Some(slot) => slot,
                None => self.widened_for(scope, first, code),
            },
        }
    }

    /// The slot of this code in a hash table, or the free slot where it belongs.
    #[inline]
    fn own_slot(&self, code: u64) -> u32 {
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
        if !self.condense(scope) {
            let slots = (self.heads.len() as usize * 2).max(SLOTS_MIN);
            self.rehash(scope, slots.max((self.codes_to_be() * 2).next_power_of_two()));
        }
    }

    /// Takes the heads to a hash table of so many slots.
    fn rehash(&mut self, scope: Scope, slots: usize) {
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
        self.occupied.set(scope, *self.occupied.get() - 1);
        if *self.layout.get() != Layout::Hashed {
            self.heads.set(scope, slot, NONE);
            return;
        }
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
    if member == codes.len() {
        codes.push(code);
        return;
    }
    if member > codes.len() {
        codes.resize(member + 1, 0);
    }
    codes[member] = code;
}

/// Puts a member before the one that was the first with its code, or `NONE`; says how many codes more have members.
#[inline]
fn put_before(mates: &mut Sparse<Mates>, scope: Scope, member: u32, next: u32) -> u32 {
    if next == NONE {
        mates.reset(member);
        return 1;
    }
    mates.set(scope, member, Mates { next, prev: NONE });
    mates.change(scope, next, |next| next.prev = member);
    0
}

#[cfg(test)]
mod tests;
