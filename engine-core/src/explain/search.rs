//! Matching by enumeration, with a judgement on each pattern.
//!
//! It shares with the network the conditions and the facts, not the memories: so it can say which
//! condition fails, and of a pattern behind one that fails, too.

use std::any::Any;
use std::rc::Rc;

use steadfast_wm::{FactHandle, Member};

use super::NamedFact;
use super::why_not::{Judgement, Outcome};
use crate::aggregate::{Grouping, Member as GroupMember};
use crate::engine::Engine;
use crate::ir::{GroupPattern, Nested, Part, Pattern, Test, Window};
use crate::network::Horizon;
use crate::rows::Rows;
use crate::store::{Place, Store};
use crate::trail::Scope;

/// How many tuples go on from one pattern to the next.
const TUPLES_MAX: usize = 256;
/// How many pairs of tuple and fact are looked at in all.
const PAIRS_MAX: usize = 1 << 20;

/// What a position holds.
#[derive(Clone)]
enum Source {
    Facts(u32),
    Groups(Rc<Box<dyn Grouping>>),
}

/// A pattern has no candidate, so its position has no slot.
const HOLE: u32 = u32::MAX;

/// Tuples that passed, or the one that came farthest.
#[derive(Clone)]
struct Tuples {
    sources: Vec<Source>,
    rows: Vec<Vec<u32>>,
    /// Whether they passed everything so far.
    good: bool,
}

/// Enumerates the tuples of one rule.
pub(super) struct Search<'a> {
    engine: &'a Engine,
    /// Facts that were asked about and not taken yet.
    given: Vec<Place>,
    pairs: usize,
    /// Inside of how many `not` or `exists` over several patterns.
    depth: u32,
    found: Tuples,
}

/// The candidate of a pattern that came farthest without passing.
struct Farthest {
    /// How many tests it passed.
    passed: usize,
    row: Vec<u32>,
    condition: Option<String>,
}

impl<'a> Search<'a> {
    pub(super) fn new(engine: &'a Engine, facts: &[FactHandle]) -> Self {
        let given = facts.iter().filter_map(|&fact| engine.store.locate(fact)).collect();
        let found = Tuples { sources: Vec::new(), rows: vec![Vec::new()], good: true };
        Self { engine, given, pairs: 0, depth: 0, found }
    }

    pub(super) fn matches(&self) -> bool {
        self.found.good
    }

    /// The matches that were found, by their members.
    pub(super) fn members(&self) -> Vec<Vec<Member>> {
        if !self.found.good {
            return Vec::new();
        }
        let of_row = |row: &Vec<u32>| {
            let members = row.iter().zip(&self.found.sources).map(|(&slot, source)| match source {
                Source::Facts(kind) => Member::Fact(self.engine.store.kind(*kind).handle(slot)),
                Source::Groups(grouping) => {
                    let mut bytes = Vec::new();
                    grouping.key_bytes(slot, &mut bytes);
                    Member::Key(bytes.into())
                }
            });
            members.collect()
        };
        self.found.rows.iter().map(of_row).collect()
    }

    /// Judges the parts of a rule, one after the other.
    pub(super) fn ask(&mut self, parts: &[Part]) -> Vec<Judgement> {
        let mut tuples = self.found.clone();
        let judgements = parts
            .iter()
            .map(|part| {
                let outcome = self.part(part, &mut tuples);
                tuples.good &= matches!(outcome, Outcome::Holds(_));
                Judgement { pattern: describe(part), outcome }
            })
            .collect();
        self.found = tuples;
        judgements
    }

    fn part(&mut self, part: &Part, tuples: &mut Tuples) -> Outcome {
        match part {
            Part::Each(pattern) => self.each(pattern, tuples),
            Part::Not(pattern) => self.not(pattern, tuples),
            Part::Exists(pattern) => self.exists(pattern, tuples),
            Part::Group(group) => self.group(group, tuples),
            Part::Nested(nested) => self.nested(nested, tuples),
        }
    }

    fn kind_of(&self, pattern: &Pattern) -> u32 {
        let kinds = self.engine.store.kinds.iter();
        let kind = kinds.into_iter().position(|kind| kind.fact.id() == pattern.fact.id());
        u32::try_from(kind.expect("types of rules are registered")).expect("few types")
    }

    fn slots(&self, kind: u32) -> Vec<u32> {
        self.engine.store.in_order(kind).into_iter().map(|(_, slot)| slot).collect()
    }

    fn each(&mut self, pattern: &Pattern, tuples: &mut Tuples) -> Outcome {
        let kind = self.kind_of(pattern);
        let given = self.given.iter().position(|place| place.kind == kind);
        let given = given.map(|at| self.given.remove(at).slot);
        let candidates = given.map_or_else(|| self.slots(kind), |slot| vec![slot]);
        let outcome = match self.extend(pattern, kind, tuples, &candidates) {
            Ok(rows) => {
                let fact = Place { kind, slot: rows[0][rows[0].len() - 1] };
                tuples.rows = rows;
                Outcome::Holds(Some(self.engine.named(fact)))
            }
            Err(Some(Farthest { row, condition: Some(condition), .. })) => {
                let fact = Place { kind, slot: row[row.len() - 1] };
                tuples.rows = vec![row];
                Outcome::Fails { fact: Some(self.engine.named(fact)), condition }
            }
            Err(farthest) => {
                // Either there is no candidate, or it cannot be judged without an earlier one.
                let asked = farthest.is_some();
                let mut row = tuples.rows[0].clone();
                row.push(given.unwrap_or(HOLE));
                tuples.rows = vec![row];
                if asked { Outcome::NotAsked } else { Outcome::NoCandidate }
            }
        };
        tuples.sources.push(Source::Facts(kind));
        outcome
    }

    fn not(&mut self, pattern: &Pattern, tuples: &mut Tuples) -> Outcome {
        let kind = self.kind_of(pattern);
        let candidates = self.slots(kind);
        let mut free = Vec::new();
        let mut blocker = None;
        for row in &tuples.rows {
            let alone = Tuples { rows: vec![row.clone()], ..tuples.clone() };
            match self.extend(pattern, kind, &alone, &candidates) {
                Ok(rows) => {
                    let slot = rows[0][rows[0].len() - 1];
                    blocker = blocker.or(Some(Place { kind, slot }));
                }
                Err(Some(Farthest { condition: None, .. })) => return Outcome::NotAsked,
                Err(_) => free.push(row.clone()),
            }
        }
        let until = (self.depth > 0)
            .then(|| {
                let decided = |rows: &Rows<'_>| pattern.conditions.decided(rows);
                self.keep_decided(decided, &tuples.sources, &mut free)
            })
            .flatten();
        match (blocker, until) {
            (Some(blocker), None) if free.is_empty() => {
                Outcome::Blocked(vec![self.engine.named(blocker)])
            }
            (_, Some(until)) if free.is_empty() => Outcome::Undecided { until },
            _ => {
                tuples.rows = free;
                Outcome::Holds(None)
            }
        }
    }

    /// Of tuples that nothing blocks keeps those of which that is decided; gives when the next one is.
    fn keep_decided(
        &self,
        decided: impl Fn(&Rows<'_>) -> Option<i64>,
        sources: &[Source],
        free: &mut Vec<Vec<u32>>,
    ) -> Option<i64> {
        let resolved = resolve(&self.engine.store, sources);
        let mut next: Option<i64> = None;
        free.retain(|row| {
            let known = !row.contains(&HOLE);
            let decided = known.then(|| decided(&Rows::new(&resolved, row)));
            let later = decided.flatten().filter(|&decided| decided > self.engine.now());
            next = next.into_iter().chain(later).min();
            later.is_none()
        });
        next
    }

    fn exists(&mut self, pattern: &Pattern, tuples: &mut Tuples) -> Outcome {
        let kind = self.kind_of(pattern);
        let candidates = self.slots(kind);
        match self.extend(pattern, kind, tuples, &candidates) {
            Ok(mut rows) => {
                let fact = Place { kind, slot: rows[0][rows[0].len() - 1] };
                rows.iter_mut().for_each(|row| row.truncate(tuples.sources.len()));
                rows.dedup();
                tuples.rows = rows;
                Outcome::Holds(Some(self.engine.named(fact)))
            }
            Err(Some(Farthest { row, condition: Some(condition), .. })) => {
                let fact = Place { kind, slot: row[row.len() - 1] };
                Outcome::Fails { fact: Some(self.engine.named(fact)), condition }
            }
            Err(Some(_)) => Outcome::NotAsked,
            Err(None) => Outcome::NoCandidate,
        }
    }

    fn nested(&mut self, nested: &Nested, tuples: &mut Tuples) -> Outcome {
        let width = tuples.sources.len();
        let horizon = (self.depth > 0).then(|| Horizon::of(nested, width).ok()).flatten();
        let given = std::mem::take(&mut self.given);
        self.depth += 1;
        let mut kept = Vec::new();
        let mut against = None;
        for row in &tuples.rows {
            let mut inner = Tuples { rows: vec![row.clone()], good: true, ..tuples.clone() };
            let mut failed = None;
            for part in &nested.parts {
                let outcome = self.part(part, &mut inner);
                if !matches!(outcome, Outcome::Holds(_)) {
                    failed = Some(outcome);
                    break;
                }
            }
            if failed.is_none() == nested.exists {
                kept.push(row.clone());
            } else {
                against.get_or_insert_with(|| match failed {
                    Some(outcome) => outcome,
                    None => Outcome::Blocked(self.facts_of(&inner, width)),
                });
            }
        }
        self.given = given;
        self.depth -= 1;
        let until = horizon.and_then(|horizon| {
            let decided = |rows: &Rows<'_>| Some(horizon.decided(rows));
            self.keep_decided(decided, &tuples.sources, &mut kept)
        });
        match (against, until) {
            (_, Some(until)) if kept.is_empty() => Outcome::Undecided { until },
            (Some(against), None) if kept.is_empty() => against,
            _ => {
                tuples.rows = kept;
                Outcome::Holds(None)
            }
        }
    }

    /// The facts of the first of some tuples, from a position on.
    fn facts_of(&self, tuples: &Tuples, from: usize) -> Vec<NamedFact> {
        let positions = tuples.rows[0].iter().zip(&tuples.sources).skip(from);
        let facts = positions.filter_map(|(&slot, source)| match source {
            Source::Facts(kind) => Some(self.engine.named(Place { kind: *kind, slot })),
            Source::Groups(_) => None,
        });
        facts.collect()
    }

    fn group(&mut self, group: &GroupPattern, tuples: &mut Tuples) -> Outcome {
        let mut grouping = group.spec.create();
        let mut contexts: Vec<(u32, usize)> = Vec::new();
        let holes = tuples.rows.iter().any(|row| row.contains(&HOLE));
        let mut number = 0;
        for (outer, row) in tuples.rows.iter().enumerate() {
            let outer_token = u32::try_from(outer).expect("few tuples");
            let opened = (!grouping.keyed()).then(|| grouping.open(Scope::NONE, outer_token));
            contexts.extend(opened.map(|context| (context, outer)));
            let mut inner = Tuples { rows: vec![row.clone()], good: true, ..tuples.clone() };
            for element in &group.elements {
                let kind = self.kind_of(element);
                let candidates = self.slots(kind);
                inner.rows = self
                    .extend_up_to(element, kind, &inner, &candidates, PAIRS_MAX)
                    .unwrap_or_default();
                inner.sources.push(Source::Facts(kind));
            }
            for member in &inner.rows {
                let elements = member.iter().zip(&inner.sources).skip(tuples.sources.len());
                let facts: Vec<u64> = elements
                    .filter_map(|(&slot, source)| match source {
                        Source::Facts(kind) => Some(self.engine.store.kind(*kind).handle(slot)),
                        Source::Groups(_) => None,
                    })
                    .map(FactHandle::get)
                    .collect();
                let resolved = resolve(&self.engine.store, &inner.sources);
                let rows = Rows::new(&resolved, member);
                let entering = GroupMember { tuple: number, outer: outer_token, facts: &facts };
                let context = grouping.enter(Scope::NONE, &rows, opened, entering);
                number += 1;
                if !contexts.contains(&(context, outer)) {
                    contexts.push((context, outer));
                }
            }
        }
        if holes {
            contexts.clear();
        }
        contexts.retain(|&(context, _)| {
            grouping.refresh(Scope::NONE, context).is_ok_and(|refreshed| refreshed.present)
        });
        let grouping = Rc::new(grouping);
        let before = tuples.sources.clone();
        tuples.sources.push(Source::Groups(Rc::clone(&grouping)));
        self.having(group, tuples, (&before, &grouping), &contexts, holes)
    }

    /// Keeps the groups that pass the conditions on the result.
    fn having(
        &self,
        group: &GroupPattern,
        tuples: &mut Tuples,
        (before, grouping): (&[Source], &Rc<Box<dyn Grouping>>),
        contexts: &[(u32, usize)],
        holes: bool,
    ) -> Outcome {
        let mut sources = resolve(&self.engine.store, before);
        sources.push(grouping.results());
        let mut rows = Vec::new();
        let mut farthest: Option<(usize, Vec<u32>, String)> = None;
        for &(context, outer) in contexts {
            let row: Vec<u32> = tuples.rows[outer].iter().copied().chain([context]).collect();
            match first_failing(group.having.iter(), &sources, &row) {
                None => rows.push(row),
                Some((passed, test)) => {
                    if farthest.as_ref().is_none_or(|(best, ..)| passed > *best) {
                        farthest = Some((passed, row, test.text.clone()));
                    }
                }
            }
        }
        if !rows.is_empty() {
            tuples.rows = rows;
            return Outcome::Holds(None);
        }
        if let Some((_, row, condition)) = farthest {
            tuples.rows = vec![row];
            return Outcome::Fails { fact: None, condition };
        }
        tuples.rows = vec![tuples.rows[0].iter().copied().chain([HOLE]).collect()];
        if holes { Outcome::NotAsked } else { Outcome::NoCandidate }
    }

    /// The tuples with each candidate that passes, the first of them; or the candidate that came
    /// farthest, without a condition if that could not be asked.
    fn extend(
        &mut self,
        pattern: &Pattern,
        kind: u32,
        tuples: &Tuples,
        candidates: &[u32],
    ) -> Result<Vec<Vec<u32>>, Option<Farthest>> {
        self.extend_up_to(pattern, kind, tuples, candidates, TUPLES_MAX)
    }

    fn extend_up_to(
        &mut self,
        pattern: &Pattern,
        kind: u32,
        tuples: &Tuples,
        candidates: &[u32],
        max: usize,
    ) -> Result<Vec<Vec<u32>>, Option<Farthest>> {
        let store = &self.engine.store;
        let alone = [store.source(kind)];
        let mut sources = resolve(store, &tuples.sources);
        sources.push(store.source(kind));
        let joins: Vec<&Test> = join_tests(pattern).collect();
        let mut rows = Vec::new();
        let mut farthest: Option<Farthest> = None;
        let pairs =
            tuples.rows.iter().flat_map(|row| candidates.iter().map(move |&slot| (row, slot)));
        for (row, slot) in pairs {
            if self.pairs == PAIRS_MAX || rows.len() == max {
                break;
            }
            self.pairs += 1;
            let longer: Vec<u32> = row.iter().copied().chain([slot]).collect();
            let holes: Vec<usize> = (0..row.len()).filter(|&at| row[at] == HOLE).collect();
            let (passed, condition) = if let Some((passed, test)) =
                first_failing(pattern.conditions.alpha.iter(), &alone, &[slot])
            {
                (passed, Some(test.text.clone()))
            } else {
                let alpha = pattern.conditions.alpha.len();
                let same = |(&at, source): (&u32, &Source)| {
                    at == slot && matches!(source, Source::Facts(of) if *of == kind)
                };
                let asked = joins.iter().filter(|test| !reads_any(test, &holes)).copied();
                if let Some(window) =
                    pattern.window.filter(|_| !self.is_in_window(pattern, kind, slot))
                {
                    (alpha, Some(window.to_string()))
                } else if pattern.distinct && row.iter().zip(&tuples.sources).any(same) {
                    (alpha, Some("distinct".to_owned()))
                } else if let Some((passed, test)) = first_failing(asked, &sources, &longer) {
                    (alpha + 1 + passed, Some(test.text.clone()))
                } else if joins.iter().any(|test| reads_any(test, &holes)) {
                    (usize::MAX, None)
                } else {
                    rows.push(longer);
                    continue;
                }
            };
            if farthest.as_ref().is_none_or(|best| passed > best.passed) {
                farthest = Some(Farthest { passed, row: longer, condition });
            }
        }
        if rows.is_empty() { Err(farthest) } else { Ok(rows) }
    }

    /// Whether a fact that passes the pattern's conditions on it alone is in its window: of a length, if
    /// fewer younger ones pass than that.
    fn is_in_window(&self, pattern: &Pattern, kind: u32, slot: u32) -> bool {
        let store = &self.engine.store;
        let length = match pattern.window {
            None => return true,
            Some(Window::Time(millis)) => {
                let end = store.kind(kind).time(slot).saturating_add(millis);
                return end > self.engine.now();
            }
            Some(Window::Length(length)) => length,
        };
        let handle = store.kind(kind).handle(slot);
        let alone = [store.source(kind)];
        let passes =
            |slot| first_failing(pattern.conditions.alpha.iter(), &alone, &[slot]).is_none();
        let younger = store.in_order(kind).into_iter().rev();
        let younger = younger.take_while(|(other, _)| *other > handle);
        let length = usize::try_from(length.get()).unwrap_or(usize::MAX);
        younger.filter(|(_, other)| passes(*other)).take(length).count() < length
    }
}

fn resolve<'a>(store: &'a Store, sources: &'a [Source]) -> Vec<&'a dyn Any> {
    let resolved = sources.iter().map(|source| match source {
        Source::Facts(kind) => store.source(*kind),
        Source::Groups(grouping) => grouping.results(),
    });
    resolved.collect()
}

fn join_tests(pattern: &Pattern) -> impl Iterator<Item = &Test> {
    let conditions = &pattern.conditions;
    (conditions.keys.iter().map(|key| &key.test))
        .chain(conditions.ranges.iter().map(|range| &range.test))
        .chain(&conditions.residual)
}

fn reads_any(test: &Test, positions: &[usize]) -> bool {
    test.reads.iter().any(|(position, _)| positions.contains(position))
}

/// The first test that a row does not pass, with how many it passed before.
fn first_failing<'t>(
    tests: impl Iterator<Item = &'t Test>,
    sources: &[&dyn Any],
    row: &[u32],
) -> Option<(usize, &'t Test)> {
    let rows = Rows::new(sources, row);
    tests.enumerate().find(|(_, test)| {
        let mut passed = Vec::new();
        (test.evaluate)(&rows, &mut passed);
        passed != [true]
    })
}

/// A part in the words of a rule.
fn describe(part: &Part) -> String {
    let pattern =
        |pattern: &Pattern| format!("{}: {}", pattern.variable, pattern.fact.stored_name());
    let all = |patterns: &[&Pattern]| {
        patterns.iter().map(|of| pattern(of)).collect::<Vec<_>>().join(", ")
    };
    match part {
        Part::Each(each) => pattern(each),
        Part::Not(not) => format!("not {}", pattern(not)),
        Part::Exists(exists) => format!("exists {}", pattern(exists)),
        Part::Group(group) => format!("group {} of {}", group.variable, all(&part.patterns())),
        Part::Nested(nested) => {
            let word = if nested.exists { "exists" } else { "not" };
            format!("{word} ({})", all(&part.patterns()))
        }
    }
}
