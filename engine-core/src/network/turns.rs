//! Facts that came to a right memory, changed in it or left it in one flush: what the triggers of `not` and
//! `exists` are computed from.

use std::sync::OnceLock;

use crate::chains::NONE;
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
        let mut by_code = ByCode::with_room(self.list.len());
        for (at, turn) in (0..).zip(&self.list) {
            let now = now(*turn);
            if let Some(start) = turn.start {
                by_code.put(start, at);
            }
            if let Some(now) = now.filter(|&now| turn.start != Some(now)) {
                by_code.put(now, at);
            }
        }
        by_code
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
    /// Open addressing from codes to the last of their members, or `NONE`; at most half full.
    heads: Vec<u32>,
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
    /// Room for so many turns with two codes each.
    fn with_room(turns: usize) -> Self {
        Self {
            heads: vec![NONE; (turns * 4).next_power_of_two()],
            members: Vec::with_capacity(turns),
        }
    }

    /// Where the head of a code is, or would be.
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "the mask keeps the low bits")]
    fn slot(&self, code: u64) -> usize {
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

    fn put(&mut self, code: u64, turn: u32) {
        let slot = self.slot(code);
        let member = u32::try_from(self.members.len()).expect("fewer than 2³¹ turns");
        let next = std::mem::replace(&mut self.heads[slot], member);
        self.members.push(Member { code, turn, next });
    }

    /// The turns with a code.
    fn members(&self, code: u64) -> impl Iterator<Item = u32> + '_ {
        let member = |at: u32| (at != NONE).then(|| self.members[at as usize]);
        let first = member(self.heads[self.slot(code)]);
        std::iter::successors(first, move |before| member(before.next)).map(|member| member.turn)
    }
}
