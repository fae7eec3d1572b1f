//! Patterns that compare a field to a constant, found by the field's value instead of asked one by one.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::fact::FieldMask;
use crate::ir::KeyFn;
use crate::key::{Codes, spread};
use crate::network::alpha::Memory;
use crate::rows::Rows;
use crate::trail::clear;

/// From so many patterns on that compare one field, looking them up costs less than asking each.
const WORTH: usize = if cfg!(test) { 1 } else { 4 };

/// How the patterns of one kind are asked whether they take a fact.
#[derive(Clone, Default)]
pub(crate) struct Arrangement {
    /// Memories that are asked for every fact, with the fields that somebody who listens reads.
    pub(crate) plain: Vec<(u32, FieldMask)>,
    pub(crate) switches: Vec<Switch>,
    /// By memory: how a switch finds it.
    cases: Vec<Option<Case>>,
}

/// How a switch finds a memory.
#[derive(Clone, Copy)]
pub(crate) struct Case {
    pub(crate) switch: usize,
    /// Code of the constant.
    pub(crate) code: u64,
    /// The comparison, by its place among the pattern's conditions, if equal codes mean equal values: then
    /// it need not be asked again.
    pub(crate) decided: Option<usize>,
}

impl Arrangement {
    pub(crate) fn of(memories: &[Memory]) -> Self {
        let mut paths: BTreeMap<&str, usize> = BTreeMap::new();
        for memory in memories {
            for constant in &memory.plan.conditions.constants {
                *paths.entry(&constant.path).or_default() += 1;
            }
        }
        let worth = |path: &str| paths[path] >= WORTH;
        let mut arrangement = Self::default();
        let mut known: BTreeMap<&str, usize> = BTreeMap::new();
        for (place, memory) in (0..).zip(memories) {
            let constants = memory.plan.conditions.constants.iter().filter(|it| worth(&it.path));
            // Windows are told of every fact, and a path of many patterns divides best.
            let windowed = memory.slides || memory.elapses;
            let best = constants.max_by_key(|it| paths[&*it.path]).filter(|_| !windowed);
            let Some(constant) = best else {
                arrangement.plain.push((place, memory.reads));
                arrangement.cases.push(None);
                continue;
            };
            let switches = &mut arrangement.switches;
            let switch = *known.entry(&constant.path).or_insert_with(|| {
                switches.push(Switch::new(Arc::clone(&constant.inner)));
                switches.len() - 1
            });
            let test = &memory.plan.conditions.alpha[constant.test];
            let decides = test.reads.iter().map(|(_, fields)| *fields);
            switches[switch].reads = switches[switch].reads.union(memory.reads);
            switches[switch].decides = decides.fold(switches[switch].decides, FieldMask::union);
            let decided = constant.exact.then_some(constant.test);
            arrangement.cases.push(Some(Case { switch, code: constant.code, decided }));
        }
        for (at, switch) in arrangement.switches.iter_mut().enumerate() {
            let cases = (0..).zip(&arrangement.cases);
            let of_switch = cases.filter_map(|(place, case)| {
                case.filter(|case| case.switch == at).map(|case| (case.code, place))
            });
            switch.set_cases(of_switch.collect());
        }
        arrangement
    }

    /// How many memories are asked for every fact, and how many switches find others.
    #[inline]
    pub(crate) fn counts(&self) -> (usize, usize) {
        (self.plain.len(), self.switches.len())
    }

    pub(crate) fn case(&self, place: u32) -> Option<Case> {
        self.cases[place as usize]
    }
}

/// Patterns that compare the same field to a constant each.
#[derive(Clone)]
pub(crate) struct Switch {
    field: KeyFn,
    /// Fields that the patterns read, and those that decide which of them take a fact.
    pub(crate) reads: FieldMask,
    pub(crate) decides: FieldMask,
    /// Open addressing from codes to ranges of `memories`; at most half full. An empty range is a free slot.
    slots: Vec<(u64, u32, u32)>,
    memories: Vec<u32>,
}

impl Switch {
    fn new(field: KeyFn) -> Self {
        let (reads, decides) = (FieldMask::NONE, FieldMask::NONE);
        Self { field, reads, decides, slots: Vec::new(), memories: Vec::new() }
    }

    fn set_cases(&mut self, mut cases: Vec<(u64, u32)>) {
        cases.sort_unstable();
        self.slots = vec![(0, 0, 0); (cases.len() * 2).next_power_of_two()];
        self.memories = cases.iter().map(|(_, place)| *place).collect();
        let mut end = 0;
        for run in cases.chunk_by(|a, b| a.0 == b.0) {
            let start = end;
            end += u32::try_from(run.len()).expect("few patterns");
            let slot = self.slot(run[0].0);
            self.slots[slot] = (run[0].0, start, end);
        }
    }

    /// Codes of the field, one per row.
    pub(crate) fn codes(&self, rows: &Rows<'_>, codes: &mut Codes) {
        codes.clear();
        (self.field)(rows, codes);
    }

    /// The memories whose constant has this code.
    #[inline]
    pub(crate) fn memories(&self, code: u64) -> &[u32] {
        let (_, start, end) = self.slots[self.slot(code)];
        &self.memories[start as usize..end as usize]
    }

    /// The slot of a code, or the free one where it belongs.
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "the mask keeps the low bits")]
    fn slot(&self, code: u64) -> usize {
        let mask = self.slots.len() - 1;
        let mut slot = spread(code) as usize & mask;
        while self.slots[slot].2 != 0 && self.slots[slot].0 != code {
            slot = (slot + 1) & mask;
        }
        slot
    }
}

/// Scratch: by memory, what a switch found for it.
#[derive(Default)]
pub(crate) struct Buckets {
    of: Vec<Vec<u32>>,
    /// Memories with a bucket that is not empty, in the order in which they were met.
    filled: Vec<u32>,
}

impl Buckets {
    #[inline]
    pub(crate) fn put(&mut self, place: u32, what: u32) {
        if self.of.len() <= place as usize {
            self.of.resize_with(place as usize + 1, Vec::new);
        }
        let bucket = &mut self.of[place as usize];
        if bucket.is_empty() {
            self.filled.push(place);
        }
        bucket.push(what);
    }

    pub(crate) fn filled(&self) -> impl Iterator<Item = (u32, &[u32])> {
        self.filled.iter().map(|&place| (place, &*self.of[place as usize]))
    }

    pub(crate) fn clear(&mut self) {
        for &place in &self.filled {
            clear(&mut self.of[place as usize]);
        }
        self.filled.clear();
    }
}
