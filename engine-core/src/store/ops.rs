//! Staged operations, as a flush sees them.

use std::ops::Range;

use steadfast_wm::{RuleTag, Seq};

use crate::fact::FieldMask;

/// What one operation did to a fact.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Change {
    Insert,
    Update,
    Delete,
}

/// One staged operation; or a run of insertions, of facts in slots that follow one another, with numbers that
/// do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Op {
    pub(crate) what: Change,
    /// Its number; of a run that of the first fact, which is the one in `slot`.
    pub(crate) seq: Seq,
    pub(crate) kind: u32,
    pub(crate) slot: u32,
    /// How many facts it is about: 1 unless it is a run.
    pub(crate) count: u32,
    pub(crate) mask: FieldMask,
    /// The issuing rule's tag plus one; 0 for the outside.
    pub(crate) issuer: u32,
    /// The operation before it on the same fact in this flush, plus one.
    pub(crate) previous: u32,
    /// Where the fact's value before the flush is kept, marked with `BEFORE`; `NONE` if it is not.
    pub(crate) before: u32,
}

impl Op {
    /// The slots of its facts.
    #[inline]
    pub(crate) fn slots(&self) -> Range<u32> {
        self.slot..self.slot + self.count
    }

    /// The number of what it did to the fact in one of its slots.
    #[inline]
    pub(crate) fn seq_of(&self, slot: u32) -> Seq {
        debug_assert!(self.slots().contains(&slot), "it is about that fact");
        Seq::new(self.seq.get() + u64::from(slot - self.slot))
    }

    /// The number of the last thing that it did.
    pub(crate) fn last_seq(&self) -> Seq {
        self.seq_of(self.slots().end - 1)
    }

    /// The rule whose consequence issued it, if one did.
    pub(crate) fn issuer(&self) -> Option<RuleTag> {
        self.issuer.checked_sub(1).map(RuleTag::new)
    }
}

/// A set of kinds that may hold more than was put in: a bit each, the last one for all from the 63rd on.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct KindSet(u64);

impl KindSet {
    pub(crate) const ALL: Self = Self(u64::MAX);

    /// The set of one kind.
    #[inline]
    pub(crate) fn of(kind: u32) -> Self {
        let mut set = Self::default();
        set.insert(kind);
        set
    }

    #[inline]
    pub(crate) fn insert(&mut self, kind: u32) {
        self.0 |= 1 << kind.min(63);
    }

    #[inline]
    pub(crate) fn may_hold(self, kind: u32) -> bool {
        self.0 >> kind.min(63) & 1 != 0
    }
}

/// The operations of a flush.
#[derive(Clone, Copy)]
pub(crate) struct Ops<'a> {
    pub(crate) list: &'a [Op],
    /// Whether all of them are insertions; the first one's number then tells which facts are new.
    pub(crate) only_inserts: bool,
    pub(crate) first_seq: Seq,
    /// Kinds that they concern.
    pub(crate) kinds: KindSet,
    /// Of a flush that time brought about: the number of what left windows over time.
    pub(crate) passing: Option<Seq>,
}

impl<'a> Ops<'a> {
    pub(crate) fn new(list: &'a [Op], kinds: KindSet, only_inserts: bool) -> Self {
        let first_seq = list.first().map_or(Seq::new(u64::MAX), |op| op.seq);
        Self { list, only_inserts, first_seq, kinds, passing: None }
    }

    /// The same, of a flush that time brought about.
    pub(crate) fn at(self, passing: Option<Seq>) -> Self {
        Self { passing, ..self }
    }

    /// The run of insertions that is all that was done to facts of a kind, if it is one.
    pub(crate) fn only_run(&self, kind: u32) -> Option<Op> {
        /// Among more there is hardly one alone.
        const MOST: usize = 16;
        if !self.only_inserts || self.list.len() > MOST {
            return None;
        }
        let mut of_kind = self.list.iter().filter(|op| op.kind == kind);
        let first = of_kind.next().filter(|op| op.count > 1)?;
        of_kind.next().is_none().then_some(*first)
    }

    /// The number of the last thing that happened in the flush.
    pub(crate) fn last_seq(&self) -> Option<Seq> {
        self.list.last().map(Op::last_seq).or(self.passing)
    }
}
