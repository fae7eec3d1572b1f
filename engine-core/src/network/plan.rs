//! The plan of one level: a pattern's conditions with what the engine needs to evaluate them.

use std::any::Any;

use smallvec::{SmallVec, smallvec};

use crate::fact::FieldMask;
use crate::ir::{Comparison, Conditions, KeyFn, Meaning, OrderFn, Test, Window};
use crate::key::{Codes, combine};
use crate::network::alpha::Content;
use crate::network::context::Buffers;
use crate::network::index::Bounds;
use crate::rows::Rows;
use crate::store::Store;
use crate::trail::clear;

/// What a position of a rule's rows holds.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Source {
    /// Facts of this kind.
    Facts(u32),
    /// Results of the group at this level.
    Groups(usize),
}

/// The sources of a row's positions. Up to eight need no allocation.
pub(crate) type Sources<'a> = SmallVec<[&'a dyn Any; 8]>;

/// A pattern with its conditions, ready to be evaluated.
pub(crate) struct Plan {
    pub(crate) kind: u32,
    /// Fields whose updates touch the matches of this pattern.
    pub(crate) reads: FieldMask,
    /// Fields whose updates decide which facts and tuples go with it, beside those: it may be told to
    /// ignore an update of what it reads, but not to match what does not pass any more.
    pub(crate) concerns: FieldMask,
    /// Those of them that decide under which key a fact is found.
    pub(crate) indexed: FieldMask,
    pub(crate) conditions: Conditions,
    /// Whether its facts are looked for: not where each of them goes with the unit tuple.
    pub(crate) visited: bool,
    /// What a memory of its facts holds, if that can be told; others may share it then.
    pub(crate) content: Option<Content>,
    pub(crate) window: Option<Window>,
    /// The position of its facts.
    pub(crate) position: usize,
    /// Positions of the tuple whose facts it must differ from.
    pub(crate) differs_from: Vec<usize>,
}

impl Plan {
    /// Fields that decide whether a fact passes its own conditions.
    pub(crate) fn tests(&self) -> FieldMask {
        let reads = self.conditions.alpha.iter().flat_map(|test| &test.reads);
        reads.fold(FieldMask::NONE, |mask, (_, fields)| mask.union(*fields))
    }

    pub(crate) fn is_ordered(&self) -> bool {
        !self.conditions.ranges.is_empty()
    }

    /// Whether a candidate from the index still has to pass a test.
    pub(crate) fn verifies(&self, exact: bool) -> bool {
        let conditions = &self.conditions;
        !self.differs_from.is_empty()
            || !conditions.ranges.is_empty()
            || !conditions.residual.is_empty()
            || !conditions.keys.is_empty() && !exact
    }

    /// Whether a fact is none of those of the tuple that it must differ from.
    pub(crate) fn differs(&self, row: &[u32], slot: u32) -> bool {
        self.differs_from.iter().all(|&position| row[position] != slot)
    }

    /// The tests that a candidate from the index has to pass.
    fn verification(&self, exact: bool) -> impl Iterator<Item = &Test> {
        let conditions = &self.conditions;
        let keys = if exact { &[] } else { &conditions.keys[..] };
        (keys.iter().map(|key| &key.test))
            .chain(conditions.ranges.iter().map(|range| &range.test))
            .chain(&conditions.residual)
    }

    /// Key codes of inner facts (rows with that fact alone); says whether they are exact.
    pub(crate) fn inner_codes(&self, rows: &Rows<'_>, scratch: &mut CodeScratch) -> bool {
        let keys = self.conditions.keys.iter().map(|key| &key.inner);
        codes(keys, rows, scratch)
    }

    /// Key codes of tuples; says whether they are exact.
    pub(crate) fn outer_codes(&self, rows: &Rows<'_>, scratch: &mut CodeScratch) -> bool {
        let keys = self.conditions.keys.iter().map(|key| &key.outer);
        codes(keys, rows, scratch)
    }

    /// Key and order codes of one inner fact, and whether they are exact.
    #[inline]
    pub(crate) fn inner_code(&self, row: &Rows<'_>, buffers: &mut Buffers) -> ((u64, u64), bool) {
        if let ([key], []) = (&*self.conditions.keys, &*self.conditions.ranges) {
            return only_code(&key.inner, row, buffers);
        }
        let keys = self.conditions.keys.iter().map(|key| &key.inner);
        code(keys, self.conditions.ranges.first().map(|range| &range.inner), row, buffers)
    }

    /// The same of one tuple.
    #[inline]
    pub(crate) fn outer_code(&self, row: &Rows<'_>, buffers: &mut Buffers) -> ((u64, u64), bool) {
        if let ([key], []) = (&*self.conditions.keys, &*self.conditions.ranges) {
            return only_code(&key.outer, row, buffers);
        }
        let keys = self.conditions.keys.iter().map(|key| &key.outer);
        code(keys, self.conditions.ranges.first().map(|range| &range.outer), row, buffers)
    }

    pub(crate) fn inner_orders(&self, rows: &Rows<'_>, orders: &mut Vec<u64>) {
        orders.clear();
        match self.conditions.ranges.first() {
            Some(range) => (range.inner)(rows, orders),
            None => orders.resize(rows.len(), 0),
        }
    }

    pub(crate) fn outer_orders(&self, rows: &Rows<'_>, orders: &mut Vec<u64>) {
        orders.clear();
        match self.conditions.ranges.first() {
            Some(range) => (range.outer)(rows, orders),
            None => orders.resize(rows.len(), 0),
        }
    }

    /// Bounds of inner order codes that a tuple with this order code can match.
    pub(crate) fn inner_bounds(&self, outer: u64) -> Bounds {
        let first = self.conditions.ranges.first();
        let width = first.and_then(|range| range.width);
        match first.map(|range| range.comparison) {
            None => (0, u64::MAX),
            Some(Comparison::AtMost) => (0, outer),
            Some(Comparison::AtLeast) => {
                (outer, width.map_or(u64::MAX, |width| outer.saturating_add(width)))
            }
        }
    }

    /// Bounds of outer order codes that an inner fact with this order code can match.
    pub(crate) fn outer_bounds(&self, inner: u64) -> Bounds {
        let first = self.conditions.ranges.first();
        let width = first.and_then(|range| range.width);
        match first.map(|range| range.comparison) {
            None => (0, u64::MAX),
            Some(Comparison::AtMost) => (inner, u64::MAX),
            Some(Comparison::AtLeast) => {
                (width.map_or(0, |width| inner.saturating_sub(width)), inner)
            }
        }
    }

    /// Whether rows of a tuple and an inner fact pass; one answer per row.
    pub(crate) fn verify(&self, exact: bool, rows: &Rows<'_>, answers: &mut Answers) {
        answers.all(self.verification(exact), rows);
    }

    /// Whether one inner fact passes its own conditions, apart from one that is decided already.
    #[expect(clippy::inline_always, reason = "two ways ask for each fact, of few conditions each")]
    #[inline(always)]
    pub(crate) fn takes(&self, decided: Option<usize>, table: &dyn Any, slot: u32) -> bool {
        let tests = &*self.conditions.alpha;
        match decided {
            None => tests.iter().all(|test| test.takes(table, slot)),
            Some(decided) => {
                let others = tests[..decided].iter().chain(&tests[decided + 1..]);
                others.into_iter().all(|test| test.takes(table, slot))
            }
        }
    }

    /// Whether inner facts pass their own conditions, apart from one that is decided already; one answer
    /// per row.
    pub(crate) fn alpha(&self, decided: Option<usize>, rows: &Rows<'_>, answers: &mut Answers) {
        let tests = self.conditions.alpha.iter().enumerate();
        let asked = tests.filter(|(at, _)| Some(*at) != decided).map(|(_, test)| test);
        answers.all(asked, rows);
    }
}

impl Content {
    /// What a memory of the facts of a pattern holds, if all of its conditions tell what they ask.
    pub(crate) fn of(
        conditions: &Conditions,
        window: Option<Window>,
        visited: bool,
    ) -> Option<Self> {
        // What is in a window is known to the pattern alone.
        if window.is_some() {
            return None;
        }
        let tests = conditions.alpha.iter().map(|test| test.meaning.clone());
        let keys = conditions.keys.iter().map(|key| key.meaning.clone());
        let order = match conditions.ranges.first() {
            Some(range) => Some(range.meaning.clone()?),
            None => None,
        };
        let tests: Option<Vec<Meaning>> = tests.collect();
        Some(Self { tests: tests?, keys: keys.collect::<Option<_>>()?, order, visited })
    }
}

/// Buffers for codes of keys with several parts.
#[derive(Default)]
pub(crate) struct CodeScratch {
    pub(crate) codes: Codes,
    part: Codes,
}

impl CodeScratch {
    /// Codes of so many rows without a key.
    pub(crate) fn set_alike(&mut self, count: usize) {
        self.codes.clear();
        self.codes.codes_mut().resize(count, 0);
    }

    pub(crate) fn clear(&mut self) {
        clear(self.codes.codes_mut());
        clear(self.part.codes_mut());
    }
}

fn codes<'a>(
    keys: impl Iterator<Item = &'a KeyFn>,
    rows: &Rows<'_>,
    scratch: &mut CodeScratch,
) -> bool {
    let CodeScratch { codes, part } = scratch;
    codes.clear();
    part.clear();
    let mut parts = 0;
    for key in keys {
        key(rows, if parts == 0 { codes } else { part });
        parts += 1;
    }
    match parts {
        0 => codes.codes_mut().resize(rows.len(), 0),
        1 => {}
        2 => return join_two(codes, part) && codes.is_exact() && part.is_exact(),
        _ => return join_parts(codes, part, parts) && codes.is_exact() && part.is_exact(),
    }
    codes.is_exact()
}

/// As [`code`] of a key of one part where there is no order, as most are.
#[inline]
fn only_code(key: &KeyFn, row: &Rows<'_>, buffers: &mut Buffers) -> ((u64, u64), bool) {
    let codes = &mut buffers.codes.codes;
    codes.clear();
    key(row, codes);
    ((codes.as_slice()[0], 0), codes.is_exact())
}

/// The codes of one row, and whether that of its key is exact.
#[inline]
fn code<'a>(
    keys: impl Iterator<Item = &'a KeyFn>,
    order: Option<&OrderFn>,
    row: &Rows<'_>,
    Buffers { codes: scratch, orders, .. }: &mut Buffers,
) -> ((u64, u64), bool) {
    orders.clear();
    let order = order.map_or(0, |order| {
        order(row, orders);
        orders[0]
    });
    let exact = codes(keys, row, scratch);
    ((scratch.codes.as_slice()[0], order), exact)
}

/// As [`join_parts`], of two parts: most keys with several parts have as many.
fn join_two(codes: &mut Codes, others: &Codes) -> bool {
    let mut all_fit = true;
    for (code, &part) in codes.codes_mut().iter_mut().zip(others.as_slice()) {
        if (*code | part) >> 32 == 0 {
            *code = *code << 32 | part;
        } else {
            *code = combine(*code, part);
            all_fit = false;
        }
    }
    all_fit
}

/// Makes one code of several parts in each row: side by side if each is small enough, so that the code still
/// stands for their values alone. Says whether that went with all of them; it depends on the values, so that
/// equal ones always have equal codes.
fn join_parts(codes: &mut Codes, others: &Codes, parts: usize) -> bool {
    let bits = 64 / parts;
    let (rows, others) = (codes.as_slice().len(), others.as_slice());
    let mut all_fit = true;
    for (row, code) in codes.codes_mut().iter_mut().enumerate() {
        let others = others[row..].iter().step_by(rows);
        let fits = |part: &u64| part >> bits == 0;
        if fits(code) && others.clone().all(fits) {
            *code = others.fold(*code, |code, part| code << bits | part);
        } else {
            *code = others.fold(*code, |code, &part| combine(code, part));
            all_fit = false;
        }
    }
    all_fit
}

/// Answers of tests over a batch, all of them combined.
#[derive(Default)]
pub(crate) struct Answers {
    pub(crate) passed: Vec<bool>,
    one: Vec<bool>,
    kept: Vec<u32>,
}

impl Answers {
    pub(crate) fn clear(&mut self) {
        clear(&mut self.passed);
        clear(&mut self.one);
        clear(&mut self.kept);
    }

    /// Evaluates the tests in order, each only on rows that passed those before it: a condition may
    /// guard the next one.
    pub(crate) fn all<'a>(&mut self, tests: impl Iterator<Item = &'a Test>, rows: &Rows<'_>) {
        self.passed.clear();
        let mut first = true;
        for test in tests {
            if first {
                (test.evaluate)(rows, &mut self.passed);
                first = false;
            } else if self.passed.contains(&false) {
                self.narrow(test, rows);
            } else {
                self.passed.clear();
                (test.evaluate)(rows, &mut self.passed);
            }
        }
        if first {
            self.passed.resize(rows.len(), true);
        }
        debug_assert_eq!(self.passed.len(), rows.len(), "one answer per row");
    }

    fn narrow(&mut self, test: &Test, rows: &Rows<'_>) {
        self.kept.clear();
        for (row, _) in self.passed.iter().enumerate().filter(|(_, passed)| **passed) {
            self.kept.extend_from_slice(rows.slots_of(row));
        }
        if self.kept.is_empty() {
            return;
        }
        self.one.clear();
        (test.evaluate)(&rows.with_slots(&self.kept), &mut self.one);
        let mut answers = self.one.iter();
        for passed in self.passed.iter_mut().filter(|passed| **passed) {
            *passed = *answers.next().expect("one answer per row");
        }
    }
}

/// The sources of the facts of one pattern alone.
pub(crate) fn alone(store: &Store, kind: u32) -> Sources<'_> {
    smallvec![store.source(kind)]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Codes of rows of these parts, and whether they stand for their values alone.
    fn joined(rows: &[&[u64]]) -> (Vec<u64>, bool) {
        let (mut codes, mut others) = (Codes::default(), Codes::default());
        let parts = rows[0].len();
        rows.iter().for_each(|row| codes.push_exact(row[0]));
        for part in 1..parts {
            rows.iter().for_each(|row| others.push_exact(row[part]));
        }
        let exact = join_parts(&mut codes, &others, parts);
        (codes.as_slice().to_vec(), exact)
    }

    #[test]
    fn small_parts_stand_side_by_side_and_large_ones_are_mixed() {
        let small = u64::from(u32::MAX);
        let (codes, exact) = joined(&[&[1, 2], &[2, 1], &[small, small]]);
        assert_eq!((codes, exact), (vec![1 << 32 | 2, 2 << 32 | 1, u64::MAX], true));
        let (codes, exact) = joined(&[&[1, 2], &[1, small + 1]]);
        assert_eq!(codes[0], 1 << 32 | 2, "a code depends on its own values alone");
        assert!(!exact);
        let (codes, exact) = joined(&[&[1, 2, 3], &[1 << 20, 0, 1 << 20]]);
        assert_eq!((codes[0], exact), (1 << 42 | 2 << 21 | 3, true));
        assert!(!joined(&[&[1, 2, 1 << 21]]).1);
    }
}
