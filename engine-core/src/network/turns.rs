//! Facts that came to a right memory, changed in it or left it in one flush: what the triggers of `not` and
//! `exists` are computed from.

use std::sync::OnceLock;

use crate::chains::{CodeRange, NONE};
use crate::key::spread;

/// A right fact that was touched in this flush.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Turn {
    pub(crate) slot: u32,
    /// Its entry, or `NONE` if it left.
    pub(crate) entry: u32,
    /// Its key code when the flush began, if it was in the memory.
    pub(crate) start: Option<u64>,
}

/// Scratch of a flush: the turns of one memory.
#[derive(Clone, Default)]
pub(crate) struct Turns {
    pub(crate) list: Vec<Turn>,
    /// Turns by the codes that they start and end with; made when it is needed.
    by_code: OnceLock<ByCode>,
}

/// Up to so many turns are looked through one by one.
const FEW_TURNS: usize = 8;

impl Turns {
    /// The first turn of a fact.
    pub(crate) fn of(&self, slot: u32) -> Option<&Turn> {
        self.list.iter().find(|turn| turn.slot == slot)
    }

    /// The greatest answer among the turns that may start or end with a code; `now` gives the code that an
    /// entry has.
    pub(crate) fn greatest<T: Ord>(
        &self,
        code: u64,
        now: impl Fn(Turn) -> Option<u64>,
        mut ask: impl FnMut(Turn) -> Option<T>,
    ) -> Option<T> {
        if self.list.len() <= FEW_TURNS {
            return self.list.iter().filter_map(|turn| ask(*turn)).max();
        }
        let by_code = self.by_code.get_or_init(|| self.index(now));
        let turns = by_code.members(code).map(|turn| self.list[turn as usize]);
        turns.filter_map(ask).max()
    }

    /// A turn is found by each of its codes, as two members.
    fn index(&self, now: impl Fn(Turn) -> Option<u64>) -> ByCode {
        let mut members = Vec::with_capacity(self.list.len());
        for (turn, &Turn { start, .. }) in (0..).zip(&self.list) {
            let now = now(self.list[turn as usize]).filter(|&now| start != Some(now));
            let codes = start.into_iter().chain(now);
            members.extend(codes.map(|code| Member { code, turn, next: NONE }));
        }
        ByCode::of(members)
    }

    pub(crate) fn clear(&mut self) {
        crate::trail::clear(&mut self.list);
        self.by_code.take();
    }
}

/// Turns by code. It is filled once, loses nothing, and is no state: less to do than in
/// [`Chains`](crate::chains::Chains).
#[derive(Clone, Default)]
struct ByCode {
    /// From codes to the last of their members, or `NONE`: a slot for each code from this one on if they are dense,
    /// otherwise with open addressing, and at most half full.
    heads: Vec<u32>,
    first: Option<u64>,
    members: Vec<Member>,
}

#[derive(Clone, Copy)]
struct Member {
    code: u64,
    turn: u32,
    /// The member of the same code before it, or `NONE`.
    next: u32,
}

impl ByCode {
    fn of(members: Vec<Member>) -> Self {
        let range = CodeRange::of(members.iter().map(|member| member.code));
        let dense = range.slots(members.len());
        let slots = dense.unwrap_or_else(|| (members.len() * 2).next_power_of_two());
        let first = dense.map(|_| range.first());
        let mut by_code = Self { heads: vec![NONE; slots], first, members };
        for at in 0..by_code.members.len() {
            let slot = by_code.slot(by_code.members[at].code).expect("the table is for its codes");
            let member = u32::try_from(at).expect("fewer than 2³¹ turns");
            by_code.members[at].next = std::mem::replace(&mut by_code.heads[slot], member);
        }
        by_code
    }

    /// Where the head of a code is, or would be; nowhere if it has none in a dense table.
    #[inline]
    fn slot(&self, code: u64) -> Option<usize> {
        match self.first {
            Some(first) => {
                let slot = usize::try_from(code.wrapping_sub(first)).ok()?;
                (slot < self.heads.len()).then_some(slot)
            }
            None => Some(self.hashed_slot(code)),
        }
    }

    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "the mask keeps the low bits")]
    fn hashed_slot(&self, code: u64) -> usize {
        let mask = self.heads.len() - 1;
        let mut slot = spread(code) as usize & mask;
        loop {
            let head = self.heads[slot];
            if head == NONE || self.members[head as usize].code == code {
                return slot;
            }
            slot = (slot + 1) & mask;
        }
    }

    /// The turns with a code.
    fn members(&self, code: u64) -> impl Iterator<Item = u32> + '_ {
        let member = |at: u32| (at != NONE).then(|| self.members[at as usize]);
        let first = self.slot(code).and_then(|slot| member(self.heads[slot]));
        std::iter::successors(first, move |before| member(before.next)).map(|member| member.turn)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Turns are found by the codes that they start and end with, near ones and far ones.
    #[test]
    fn turns_are_found_by_both_codes() {
        for spread_by in [1_u64, 3, 1 << 40] {
            for first in [0_u64, 7_u64.wrapping_neg()] {
                let code = |at: u64| first.wrapping_add(at.wrapping_mul(spread_by));
                let list: Vec<Turn> = (0..60_u32)
                    .map(|slot| Turn {
                        slot,
                        entry: if slot % 3 == 0 { NONE } else { slot },
                        start: (slot % 4 > 0).then(|| code(u64::from(slot % 10))),
                    })
                    .collect();
                let turns = Turns { list: list.clone(), ..Turns::default() };
                let now = |turn: Turn| (turn.entry != NONE).then(|| code(u64::from(turn.slot % 7)));
                for at in 0..12 {
                    let of = |turn: &&Turn| [turn.start, now(**turn)].contains(&Some(code(at)));
                    let expected = list.iter().filter(of).map(|turn| turn.slot).max();
                    let found = turns.greatest(code(at), now, |turn| Some(turn.slot));
                    assert_eq!(found, expected, "{at} by {spread_by} from {first}");
                }
            }
        }
    }
}
