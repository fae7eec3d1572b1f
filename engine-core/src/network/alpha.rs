//! The alpha side: which facts are in which right memories.

use std::sync::Arc;

use crate::chains::NONE;
use crate::fact::FieldMask;
use crate::network::plan::Plan;
use crate::network::switch::Arrangement;
use crate::trail::{Column, Scope, trailed};

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
    /// Place of the memory in its kind's list of inputs.
    input: u32,
    entry: u32,
    next: u32,
}

/// The right memories that facts of one kind go to, and which facts are in which.
#[derive(Clone, Default)]
pub(crate) struct Alpha {
    pub(crate) inputs: Vec<Input>,
    /// The patterns of the inputs.
    pub(crate) plans: Vec<Arc<Plan>>,
    /// How they are asked; made when it is needed.
    arrangement: Option<Arc<Arrangement>>,
    /// Fields that some input reads: an update of others concerns nobody.
    pub(crate) reads: FieldMask,
    /// Whether some input must know values from before a flush: a `not` or an `exists`.
    pub(crate) keeps_before: bool,
    /// Whether some input has a window over the last facts, and whether one has a window over time.
    pub(crate) slides: bool,
    pub(crate) elapses: bool,
    first: Column<u32>,
    memberships: Column<Membership>,
    free: Column<u32>,
}

trailed!(Alpha { first, memberships, free });

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

    /// How the inputs are asked whether they take a fact.
    pub(crate) fn arrangement(&mut self) -> Arc<Arrangement> {
        let Self { inputs, plans, arrangement, .. } = self;
        Arc::clone(arrangement.get_or_insert_with(|| Arc::new(Arrangement::of(inputs, plans))))
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
            // The list is built from its end.
            for (input, entry) in memberships.into_iter().rev() {
                if let Some(place) = places[input as usize] {
                    self.join(Scope::NONE, slot, place, entry);
                }
            }
        }
    }

    /// Notes that a fact is in the memory of an input.
    pub(crate) fn join(&mut self, scope: Scope, slot: u32, input: u32, entry: u32) {
        self.first.reach(scope, slot, &NONE);
        let membership = Membership { input, entry, next: *self.first.get(slot) };
        let at = if let Some(at) = self.free.pop(scope) {
            self.memberships.set(scope, at, membership);
            at
        } else {
            self.memberships.push(scope, membership);
            self.memberships.len() - 1
        };
        self.first.set(scope, slot, at);
    }

    /// The entry of a fact in the memory of an input.
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
    pub(crate) fn memberships(&self, slot: u32) -> impl Iterator<Item = (u32, u32)> + '_ {
        let first = if slot < self.first.len() { *self.first.get(slot) } else { NONE };
        std::iter::successors((first != NONE).then_some(first), |&at| {
            let next = self.memberships.get(at).next;
            (next != NONE).then_some(next)
        })
        .map(|at| {
            let Membership { input, entry, .. } = *self.memberships.get(at);
            (input, entry)
        })
    }

    /// Notes that a fact has left the memory of an input.
    pub(crate) fn part(&mut self, scope: Scope, slot: u32, input: u32) {
        let mut previous = NONE;
        let mut at = *self.first.get(slot);
        while at != NONE {
            let Membership { input: of, next, .. } = *self.memberships.get(at);
            if of == input {
                if previous == NONE {
                    self.first.set(scope, slot, next);
                } else {
                    self.memberships.change(scope, previous, |membership| membership.next = next);
                }
                self.free.push(scope, at);
                return;
            }
            (previous, at) = (at, next);
        }
    }

    /// Notes that a fact has left all memories.
    pub(crate) fn part_all(&mut self, scope: Scope, slot: u32) {
        if slot >= self.first.len() {
            return;
        }
        let mut at = *self.first.get(slot);
        while at != NONE {
            self.free.push(scope, at);
            at = self.memberships.get(at).next;
        }
        self.first.set(scope, slot, NONE);
    }
}
