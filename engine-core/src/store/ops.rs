//! Staged operations, as a flush sees them.

use steadfast_wm::{RuleTag, Seq};

use crate::fact::FieldMask;

/// What one operation did to a fact.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Change {
    Insert,
    Update,
    Delete,
}

/// One staged operation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Op {
    pub(crate) what: Change,
    pub(crate) seq: Seq,
    pub(crate) kind: u32,
    pub(crate) slot: u32,
    pub(crate) mask: FieldMask,
    /// The issuing rule's tag plus one; 0 for the outside.
    pub(crate) issuer: u32,
    /// The operation before it on the same fact in this flush, plus one.
    pub(crate) previous: u32,
}

impl Op {
    /// The rule whose consequence issued it, if one did.
    pub(crate) fn issuer(&self) -> Option<RuleTag> {
        self.issuer.checked_sub(1).map(RuleTag::new)
    }
}

/// The operations of a flush.
#[derive(Clone, Copy)]
pub(crate) struct Ops<'a> {
    pub(crate) list: &'a [Op],
    /// Whether all of them are insertions; the first one's number then tells which facts are new.
    pub(crate) only_inserts: bool,
    pub(crate) first_seq: Seq,
    /// Of a flush that time brought about: the number of what left windows over time.
    pub(crate) passing: Option<Seq>,
}

impl<'a> Ops<'a> {
    pub(crate) fn new(list: &'a [Op], only_inserts: bool) -> Self {
        let first_seq = list.first().map_or(Seq::new(u64::MAX), |op| op.seq);
        Self { list, only_inserts, first_seq, passing: None }
    }

    /// The same, of a flush that time brought about.
    pub(crate) fn at(self, passing: Option<Seq>) -> Self {
        Self { passing, ..self }
    }

    /// The number of the last thing that happened in the flush.
    pub(crate) fn last_seq(&self) -> Option<Seq> {
        self.list.last().map(|op| op.seq).or(self.passing)
    }
}
