//! What a group node remembers in a round and in a flush, and no longer.

use steadfast_wm::Seq;

/// A set of contexts, in the order in which they came.
#[derive(Clone, Default)]
pub(super) struct Marked {
    pub(super) list: Vec<u32>,
    pub(super) marks: Vec<bool>,
}

impl Marked {
    #[inline]
    pub(super) fn add(&mut self, context: u32) {
        let at = context as usize;
        if self.marks.len() <= at {
            self.marks.resize(at + 1, false);
        }
        if !std::mem::replace(&mut self.marks[at], true) {
            self.list.push(context);
        }
    }

    pub(super) fn clear(&mut self) {
        self.list.iter().for_each(|&context| self.marks[context as usize] = false);
        self.list.clear();
    }
}

/// The member tuples that entered, left or changed in the current flush, and the context that each was
/// in when it began: `NONE` for one that is new.
#[derive(Clone, Default)]
pub(super) struct Moves {
    pub(super) list: Vec<(u32, u32)>,
    pub(super) seen: Vec<bool>,
}

impl Moves {
    #[inline]
    pub(super) fn note(&mut self, member: u32, context: u32) {
        let at = member as usize;
        if self.seen.len() <= at {
            self.seen.resize(at + 1, false);
        }
        if !std::mem::replace(&mut self.seen[at], true) {
            self.list.push((member, context));
        }
    }

    pub(super) fn clear(&mut self) {
        self.list.iter().for_each(|&(member, _)| self.seen[member as usize] = false);
        self.list.clear();
    }
}

/// By context, the highest operation on a tuple that is a member now or was one before the flush.
#[derive(Clone, Default)]
pub(super) struct Triggers {
    pub(super) computed: bool,
    /// [`Triggers::NONE`] where there is none.
    pub(super) of: Vec<Seq>,
    pub(super) set: Vec<u32>,
}

impl Triggers {
    /// Below all numbers of operations.
    pub(super) const NONE: Seq = Seq::new(0);

    pub(super) fn raise(&mut self, context: u32, seq: Seq) {
        let at = context as usize;
        if self.of.len() <= at {
            self.of.resize(at + 1, Self::NONE);
        }
        let of = &mut self.of[at];
        if *of == Self::NONE {
            self.set.push(context);
        }
        *of = seq.max(*of);
    }

    pub(super) fn get(&self, context: u32) -> Option<Seq> {
        self.of.get(context as usize).copied().filter(|&seq| seq != Self::NONE)
    }

    pub(super) fn clear(&mut self) {
        if self.computed {
            self.computed = false;
            self.set.iter().for_each(|&context| self.of[context as usize] = Self::NONE);
            self.set.clear();
        }
    }
}
