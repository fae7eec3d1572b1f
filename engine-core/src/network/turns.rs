//! Facts that came to a right memory, changed in it or left it in one flush: what the triggers of `not` and
//! `exists` are computed from.

use std::sync::OnceLock;

use crate::chains::Chains;
use crate::trail::Scope;

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
    by_code: OnceLock<Chains>,
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
        let turns = by_code.members(code).map(|member| self.list[member as usize / 2]);
        turns.filter_map(ask).max()
    }

    /// A turn is found by each of its codes, as two members.
    fn index(&self, now: impl Fn(Turn) -> Option<u64>) -> Chains {
        let mut by_code = Chains::default();
        by_code.reserve(u32::try_from(self.list.len() * 2).expect("fewer than 2³¹ turns"));
        for (member, turn) in (0..).step_by(2).zip(&self.list) {
            let now = now(*turn);
            if let Some(start) = turn.start {
                by_code.link(Scope::NONE, member, start);
            }
            if let Some(now) = now.filter(|&now| turn.start != Some(now)) {
                by_code.link(Scope::NONE, member + 1, now);
            }
        }
        by_code
    }

    pub(crate) fn clear(&mut self) {
        crate::trail::clear(&mut self.list);
        self.by_code.take();
    }
}
