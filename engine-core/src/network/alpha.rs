//! The alpha side: which facts are in which right memories.

use std::sync::Arc;

use crate::chains::NONE;
use crate::fact::FieldMask;
use crate::network::plan::Plan;
use crate::network::switch::Arrangement;
use crate::trail::{Column, Scope, Sparse, trailed};

/// A right memory: a rule and a level in it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Input {
    pub(crate) net: u32,
    pub(crate) level: u32,
    /// Fields that it reads, and those of them that decide whether a fact is in it.
    pub(crate) reads: FieldMask,
    pub(crate) tests: FieldMask,
    /// Whether it is that of a `not` or an `exists`, which must know values from before a flush.
    pub(crate) blocks: bool,
    /// Whether a window over the last facts decides which of those that pass are in it.
    pub(crate) slides: bool,
    /// Whether facts leave it with time.
    pub(crate) elapses: bool,
}

/// One fact in one right memory.
#[derive(Clone, Copy, Debug)]
struct Membership {
    /// Place of the memory in its kind's list of inputs; `NONE` of a fact that is in no memory.
    input: u32,
    entry: u32,
}

const NOWHERE: Membership = Membership { input: NONE, entry: NONE };

/// The right memories that facts of one kind go to, and which facts are in which.
#[derive(Clone)]
pub(crate) struct Alpha {
    pub(crate) inputs: Vec<Input>,
    /// The patterns of the inputs.
    pub(crate) plans: Vec<Arc<Plan>>,
    /// How they are asked; made when it is needed.
    arrangement: Option<Box<Arrangement>>,
    /// Fields that some input reads: an update of others concerns nobody.
    pub(crate) reads: FieldMask,
    /// Whether some input must know values from before a flush: a `not` or an `exists`.
    pub(crate) keeps_before: bool,
    /// Whether some input has a window over the last facts, and whether one has a window over time.
    pub(crate) slides: bool,
    pub(crate) elapses: bool,
    /// By fact the first of its memories, and the first of its other ones: most facts are in one.
    first: Column<Membership>,
    next: Sparse<u32>,
    /// The others, each with the next one.
    more: Column<(Membership, u32)>,
    free: Column<u32>,
}

trailed!(Alpha { first, next, more, free });

impl Default for Alpha {
    fn default() -> Self {
        Self {
            inputs: Vec::new(),
            plans: Vec::new(),
            arrangement: None,
            reads: FieldMask::NONE,
            keeps_before: false,
            slides: false,
            elapses: false,
            first: Column::default(),
            next: Sparse::new(NONE),
            more: Column::default(),
            free: Column::default(),
        }
    }
}

impl Alpha {
    pub(crate) fn add_input(&mut self, input: Input, plan: Arc<Plan>) {
        self.arrangement = None;
        self.plans.push(plan);
        self.reads = self.reads.union(input.reads);
        self.keeps_before |= input.blocks;
        self.slides |= input.slides;
        self.elapses |= input.elapses;
        self.inputs.push(input);
    }

    /// How the inputs are asked whether they take a fact; to be [given back](Alpha::arranged).
    #[inline]
    #[expect(
        clippy::unnecessary_box_returns,
        reason = "it is taken out and put back with each change"
    )]
    pub(crate) fn arrangement(&mut self) -> Box<Arrangement> {
        let Self { inputs, plans, arrangement, .. } = self;
        arrangement.take().unwrap_or_else(|| Box::new(Arrangement::of(inputs, plans)))
    }

    #[inline]
    pub(crate) fn arranged(&mut self, arrangement: Box<Arrangement>) {
        self.arrangement = Some(arrangement);
    }

    pub(crate) fn input_count(&self) -> u32 {
        u32::try_from(self.inputs.len()).expect("few patterns")
    }

    /// Keeps those inputs for which `keep` says what they are from now on.
    pub(crate) fn retain_inputs(&mut self, keep: impl Fn(Input) -> Option<Input>) {
        let inputs = std::mem::take(&mut self.inputs);
        let plans = std::mem::take(&mut self.plans);
        self.arrangement = None;
        self.reads = FieldMask::NONE;
        (self.keeps_before, self.slides, self.elapses) = (false, false, false);
        let mut places = Vec::with_capacity(inputs.len());
        for (input, plan) in inputs.into_iter().zip(plans) {
            let kept = keep(input);
            places.push(kept.map(|_| self.input_count()));
            if let Some(input) = kept {
                self.add_input(input, plan);
            }
        }
        for slot in 0..self.first.len() {
            let memberships: Vec<(u32, u32)> = self.memberships(slot).collect();
            self.part_all(Scope::NONE, slot);
            for (input, entry) in memberships {
                if let Some(place) = places[input as usize] {
                    self.join(Scope::NONE, slot, place, entry);
                }
            }
        }
    }

    /// Notes that a fact is in the memory of an input.
    #[inline]
    pub(crate) fn join(&mut self, scope: Scope, slot: u32, input: u32, entry: u32) {
        let membership = Membership { input, entry };
        if slot == self.first.len() {
            self.first.push(scope, membership);
            return;
        }
        self.first.reach(scope, slot, &NOWHERE);
        if self.first.get(slot).input == NONE {
            self.first.set(scope, slot, membership);
            return;
        }
        let linked = (membership, *self.next.get(slot));
        let at = if let Some(at) = self.free.pop(scope) {
            self.more.set(scope, at, linked);
            at
        } else {
            self.more.push(scope, linked);
            self.more.len() - 1
        };
        self.next.set(scope, slot, at);
    }

    /// The first membership of a fact, if it has one.
    #[inline]
    fn first(&self, slot: u32) -> Option<Membership> {
        let first = self.first.as_slice().get(slot as usize)?;
        (first.input != NONE).then_some(*first)
    }

    /// The entry of a fact in the memory of an input.
    #[inline]
    pub(crate) fn entry(&self, slot: u32, input: u32) -> Option<u32> {
        self.memberships(slot).find(|(of, _)| *of == input).map(|(_, entry)| entry)
    }

    /// The entries of a fact in the memories of all inputs; `NONE` where it is in none.
    pub(crate) fn entries(&self, slot: u32, entries: &mut Vec<u32>) {
        entries.clear();
        entries.resize(self.inputs.len(), NONE);
        for (input, entry) in self.memberships(slot) {
            entries[input as usize] = entry;
        }
    }

    /// All memories that a fact is in, as pairs of input and entry.
    #[inline]
    pub(crate) fn memberships(&self, slot: u32) -> impl Iterator<Item = (u32, u32)> + '_ {
        let first = self.first(slot).map(|first| (first, *self.next.get(slot)));
        let next = |&(_, next): &(Membership, u32)| (next != NONE).then(|| *self.more.get(next));
        std::iter::successors(first, next).map(|(Membership { input, entry }, _)| (input, entry))
    }

    /// Notes that a fact has left the memory of an input.
    pub(crate) fn part(&mut self, scope: Scope, slot: u32, input: u32) {
        let mut at = *self.next.get(slot);
        if self.first.get(slot).input == input {
            if at == NONE {
                self.first.set(scope, slot, NOWHERE);
            } else {
                let (first, next) = *self.more.get(at);
                self.first.set(scope, slot, first);
                self.next.set(scope, slot, next);
                self.free.push(scope, at);
            }
            return;
        }
        let mut previous = NONE;
        while at != NONE {
            let (membership, next) = *self.more.get(at);
            if membership.input == input {
                if previous == NONE {
                    self.next.set(scope, slot, next);
                } else {
                    self.more.change(scope, previous, |previous| previous.1 = next);
                }
                self.free.push(scope, at);
                return;
            }
            (previous, at) = (at, next);
        }
    }

    /// Notes that a fact has left all memories.
    pub(crate) fn part_all(&mut self, scope: Scope, slot: u32) {
        if self.first(slot).is_none() {
            return;
        }
        let mut at = *self.next.get(slot);
        while at != NONE {
            self.free.push(scope, at);
            at = self.more.get(at).1;
        }
        self.first.set(scope, slot, NOWHERE);
        self.next.set(scope, slot, NONE);
    }
}
