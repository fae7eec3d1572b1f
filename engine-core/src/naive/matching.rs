//! Matching by enumeration.

use std::any::Any;
use std::collections::BTreeMap;
use std::rc::Rc;

use steadfast_wm::{FactHandle, Member};

use super::horizon::horizon;
use super::{Id, SCOPE};
use crate::aggregate::{Grouping, Member as GroupMember};
use crate::chains::NONE;
use crate::fact::FieldMask;
use crate::ir::{
    Conditions, GroupPattern, Nested, Part, Pattern, RangeJoin, RuleDef, Test, Window,
};
use crate::network::compile;
use crate::rows::Rows;
use crate::store::{Place, Store};
use crate::then::Positions;

/// By rule, path to the group in it, members of the outer tuple and key: the value's bytes and the
/// member tuples.
pub(super) type Groups =
    BTreeMap<(usize, Vec<usize>, Vec<Member>, Vec<u8>), (Vec<u8>, Vec<Vec<FactHandle>>)>;

/// What a position holds.
#[derive(Clone)]
enum Source {
    Facts(u32),
    Groups(Rc<Box<dyn Grouping>>),
}

#[derive(Clone, Default)]
pub(super) struct Sources {
    of: Vec<Source>,
    /// The kinds of those that hold facts; `NONE` of groups.
    kinds: Vec<u32>,
}

impl Sources {
    /// Whether a row holds the fact in this slot of this kind.
    fn holds(&self, kind: u32, inner: &Store, slot: u32, row: &[u32], store: &Store) -> bool {
        let fact = inner.kind(kind).handle(slot);
        row.iter().zip(&self.of).any(|(&at, source)| {
            matches!(source, Source::Facts(of) if *of == kind)
                && store.kind(kind).handle(at) == fact
        })
    }

    /// The first `width` positions of these, with what the others have behind.
    pub(super) fn with_tail_of(&self, width: usize, other: &Self) -> Self {
        let mut sources = Self::default();
        let of = self.of[..width].iter().chain(&other.of[width..]);
        of.for_each(|source| sources.push(source.clone()));
        sources
    }

    fn push(&mut self, source: Source) {
        self.kinds.push(match &source {
            Source::Facts(kind) => *kind,
            Source::Groups(_) => NONE,
        });
        self.of.push(source);
    }

    pub(super) fn resolve<'a>(&'a self, store: &'a Store) -> Vec<&'a dyn Any> {
        let resolved = self.of.iter().map(|source| match source {
            Source::Facts(kind) => store.source(*kind),
            Source::Groups(grouping) => grouping.results(),
        });
        resolved.collect()
    }
}

impl Positions for Sources {
    fn kinds(&self) -> &[u32] {
        &self.kinds
    }

    fn groups(&self, position: usize) -> Option<&dyn Any> {
        match self.of.get(position)? {
            Source::Facts(_) => None,
            Source::Groups(grouping) => Some(grouping.results()),
        }
    }
}

/// A match, or a member tuple of a `not` or `exists` over several patterns: its row and its members,
/// one of each per position.
#[derive(Clone)]
pub(super) struct Matched {
    pub(super) row: Vec<u32>,
    pub(super) members: Vec<Member>,
    pub(super) sources: Sources,
}

/// By rule, path to the nested part and members of the tuple before it: the member tuples.
pub(super) type Tuples = BTreeMap<(usize, Vec<usize>, Vec<Member>), BTreeMap<Vec<Member>, Matched>>;

/// Everything that one evaluation finds.
#[derive(Default)]
pub(super) struct Found {
    /// When absences inside of others are decided, of tuples that nothing blocks.
    pub(super) undecided: Vec<i64>,
    pub(super) matches: BTreeMap<Id, Matched>,
    pub(super) groups: Groups,
    pub(super) tuples: Tuples,
}

/// Kind and read fields of each pattern, taken from the compiled network, by its address.
pub(super) struct Shape(BTreeMap<usize, (u32, FieldMask)>);

fn kind_of(store: &Store, pattern: &Pattern) -> u32 {
    let kind = store.kinds.iter().position(|kind| kind.fact.id() == pattern.fact.id());
    u32::try_from(kind.unwrap()).unwrap()
}

impl Shape {
    pub(super) fn of(rule: &RuleDef, store: &Store) -> Self {
        let net = compile(rule, |pattern| kind_of(store, pattern));
        let plans = net.in_order_of_parts().filter_map(|level| level.node.plan());
        let plans = plans.map(|plan| (plan.kind, plan.reads));
        let patterns = rule.parts.iter().flat_map(Part::patterns);
        Self(patterns.map(|pattern| std::ptr::from_ref(pattern).addr()).zip(plans).collect())
    }

    pub(super) fn of_pattern(&self, pattern: &Pattern) -> (u32, FieldMask) {
        self.0[&std::ptr::from_ref(pattern).addr()]
    }
}

/// How many positions a part adds.
pub(super) fn width(part: &Part) -> usize {
    usize::from(matches!(part, Part::Each(_) | Part::Group(_)))
}

fn passes<'a>(
    mut tests: impl Iterator<Item = &'a Test>,
    sources: &[&dyn Any],
    row: &[u32],
) -> bool {
    let rows = Rows::new(sources, row);
    tests.all(|test| {
        let mut passed = Vec::new();
        (test.evaluate)(&rows, &mut passed);
        passed == [true]
    })
}

fn join_tests(conditions: &Conditions) -> impl Iterator<Item = &Test> {
    (conditions.keys.iter().map(|key| &key.test))
        .chain(conditions.ranges.iter().map(|range| &range.test))
        .chain(&conditions.residual)
}

/// Whether a fact in `inner` goes with a tuple in `store`.
fn fits(
    pattern: &Pattern,
    kind: u32,
    slot: u32,
    inner: &Store,
    left: (&Sources, &[u32], &Store),
    now: i64,
) -> bool {
    if pattern.distinct && left.0.holds(kind, inner, slot, left.1, left.2) {
        return false;
    }
    let alone = [inner.source(kind)];
    if !passes(pattern.conditions.alpha.iter(), &alone, &[slot]) {
        return false;
    }
    if !is_in_window(pattern, kind, slot, inner, now) {
        return false;
    }
    let mut sources = left.0.resolve(left.2);
    sources.truncate(left.1.len());
    sources.push(inner.source(kind));
    let mut row = left.1.to_vec();
    row.push(slot);
    passes(join_tests(&pattern.conditions), &sources, &row)
}

/// Whether a fact that passes the conditions on it alone is one of the last ones that do.
fn is_in_window(pattern: &Pattern, kind: u32, slot: u32, store: &Store, now: i64) -> bool {
    let length = match pattern.window {
        None => return true,
        Some(Window::Time(_)) => return leaves(pattern, kind, slot, store).unwrap() > now,
        Some(Window::Length(length)) => length,
    };
    let alone = [store.source(kind)];
    let all = store.in_order(kind).into_iter();
    let passing = all.filter(|(_, slot)| passes(pattern.conditions.alpha.iter(), &alone, &[*slot]));
    let passing: Vec<FactHandle> = passing.map(|(handle, _)| handle).collect();
    let length = usize::try_from(length.get()).unwrap();
    passing.iter().rev().take(length).any(|handle| *handle == store.kind(kind).handle(slot))
}

/// When no event any more can go with a tuple for the sake of its time.
pub(super) fn decided(pattern: &Pattern, rows: &Rows<'_>) -> Option<i64> {
    let bounds = pattern.conditions.ranges.iter().filter_map(|range| last(range, rows));
    bounds.min().map(|last| last.min(i64::MAX - 1) + 1)
}

/// The last moment at which an event goes with a tuple, for the sake of its time.
pub(super) fn last(range: &RangeJoin, rows: &Rows<'_>) -> Option<i64> {
    let width = range.width?;
    let mut orders = Vec::new();
    (range.outer)(rows, &mut orders);
    let last = i128::from(orders[0]) + i128::from(width) - (1_i128 << 63);
    Some(i64::try_from(last).unwrap_or(i64::MAX))
}

/// When a fact that passes the conditions on it alone leaves the pattern's window over time.
fn leaves(pattern: &Pattern, kind: u32, slot: u32, store: &Store) -> Option<i64> {
    let Some(Window::Time(millis)) = pattern.window else { return None };
    let alone = [store.source(kind)];
    let columns = store.kind(kind);
    let is_event = pattern.fact.is_event();
    let time = if is_event { columns.table.end(slot) } else { columns.clock(slot) };
    passes(pattern.conditions.alpha.iter(), &alone, &[slot]).then(|| time.saturating_add(millis))
}

/// The moments at which facts leave windows over time of a rule.
pub(super) fn window_ends(rule: &RuleDef, store: &Store) -> Vec<i64> {
    let patterns = rule.parts.iter().flat_map(Part::patterns);
    let ends = patterns.flat_map(|pattern| {
        let kind = kind_of(store, pattern);
        let facts = store.in_order(kind).into_iter();
        facts.filter_map(move |(_, slot)| leaves(pattern, kind, slot, store))
    });
    ends.collect()
}

/// Whether a fact went with a tuple before this flush, and whether it does now.
pub(super) fn goes(
    pattern: &Pattern,
    kind: u32,
    left: &[u32],
    handle: FactHandle,
    (base, store, sources): &((&Store, i64), (&Store, i64), &Sources),
) -> (bool, bool) {
    let goes_in = |(inner, now): (&Store, i64)| match inner.locate(handle) {
        Some(Place { kind: of, slot }) if of == kind => {
            fits(pattern, kind, slot, inner, (sources, left, store.0), now)
        }
        _ => false,
    };
    (goes_in(*base), goes_in(*store))
}

struct Partial {
    row: Vec<u32>,
    members: Vec<Member>,
}

/// All matches of a rule over a store.
pub(super) fn match_rule(
    at: usize,
    rule: &RuleDef,
    (store, now): (&Store, i64),
    found: &mut Found,
) {
    let mut sources = Sources::default();
    let start = vec![Partial { row: vec![], members: vec![] }];
    let mut chain = Chain { rule: at, store, now, found };
    for Partial { row, members } in chain.extend(&rule.parts, &[], start, &mut sources) {
        let matched = Matched { row, members: members.clone(), sources: sources.clone() };
        found.matches.insert((at, members), matched);
    }
}

struct Chain<'a> {
    rule: usize,
    store: &'a Store,
    now: i64,
    found: &'a mut Found,
}

impl Chain<'_> {
    /// All tuples that parts side by side make of tuples before them. `path` is where the parts stand.
    fn extend(
        &mut self,
        parts: &[Part],
        path: &[usize],
        mut partials: Vec<Partial>,
        sources: &mut Sources,
    ) -> Vec<Partial> {
        let (store, now) = (self.store, self.now);
        for (place, part) in parts.iter().enumerate() {
            match part {
                Part::Each(pattern) => {
                    partials = each(pattern, partials, sources, (store, now));
                    sources.push(Source::Facts(kind_of(store, pattern)));
                }
                Part::Not(pattern) | Part::Exists(pattern) => {
                    let exists = matches!(part, Part::Exists(_));
                    let kind = kind_of(store, pattern);
                    let waits = !exists && !path.is_empty();
                    let undecided = &mut self.found.undecided;
                    partials.retain(|partial| {
                        let left = (&*sources, &partial.row[..], store);
                        let mut facts = store.in_order(kind).into_iter();
                        let passes = facts
                            .any(|(_, slot)| fits(pattern, kind, slot, store, left, now))
                            == exists;
                        let resolved = sources.resolve(store);
                        let rows = Rows::new(&resolved, &partial.row);
                        let decided = decided(pattern, &rows);
                        let later = decided.filter(|decided| passes && waits && *decided > now);
                        undecided.extend(later);
                        passes && later.is_none()
                    });
                }
                Part::Group(group) => {
                    let at = (self.rule, [path, &[place]].concat());
                    let groups = &mut self.found.groups;
                    partials = group_by(&at, group, &partials, sources, (store, now), groups);
                }
                Part::Nested(nested) => {
                    let waits = !nested.exists && !path.is_empty();
                    let path = [path, &[place]].concat();
                    partials.retain(|partial| {
                        let none = self.member_tuples(nested, &path, partial, sources);
                        let passes = none != nested.exists;
                        let resolved = sources.resolve(store);
                        let rows = Rows::new(&resolved, &partial.row);
                        let decided = horizon(nested, &rows, partial.row.len());
                        let later = decided.filter(|decided| passes && waits && *decided > now);
                        self.found.undecided.extend(later);
                        passes && later.is_none()
                    });
                }
            }
        }
        partials
    }

    /// Finds and keeps the member tuples of a nested part; says whether there is none.
    fn member_tuples(
        &mut self,
        nested: &Nested,
        path: &[usize],
        outer: &Partial,
        sources: &Sources,
    ) -> bool {
        let mut inner = sources.clone();
        let start = Partial { row: outer.row.clone(), members: outer.members.clone() };
        let tuples = self.extend(&nested.parts, path, vec![start], &mut inner);
        let none = tuples.is_empty();
        let tuples = tuples.into_iter().map(|Partial { row, members }| {
            (members.clone(), Matched { row, members, sources: inner.clone() })
        });
        let key = (self.rule, path.to_vec(), outer.members.clone());
        self.found.tuples.insert(key, tuples.collect());
        none
    }
}

fn each(
    pattern: &Pattern,
    partials: Vec<Partial>,
    sources: &Sources,
    (store, now): (&Store, i64),
) -> Vec<Partial> {
    let kind = kind_of(store, pattern);
    let mut longer = Vec::new();
    for partial in partials {
        for (handle, slot) in store.in_order(kind) {
            if fits(pattern, kind, slot, store, (sources, &partial.row, store), now) {
                longer.push(Partial {
                    row: partial.row.iter().copied().chain([slot]).collect(),
                    members: with(&partial.members, Member::Fact(handle)),
                });
            }
        }
    }
    longer
}

fn with(members: &[Member], member: Member) -> Vec<Member> {
    members.iter().cloned().chain([member]).collect()
}

fn group_by(
    at: &(usize, Vec<usize>),
    group: &GroupPattern,
    partials: &[Partial],
    sources: &mut Sources,
    (store, now): (&Store, i64),
    groups: &mut Groups,
) -> Vec<Partial> {
    let mut grouping = group.spec.create();
    let mut tuple = 0;
    let mut found: Vec<(u32, u32, Vec<Vec<FactHandle>>)> = Vec::new();
    for (outer, partial) in (0..).zip(partials) {
        let opened = (!grouping.keyed()).then(|| grouping.open(SCOPE, outer));
        found.extend(opened.map(|context| (context, outer, Vec::new())));
        let mut inner = sources.clone();
        let start = Partial { row: partial.row.clone(), members: vec![] };
        let mut tuples = vec![start];
        for element in &group.elements {
            tuples = each(element, tuples, &inner, (store, now));
            inner.push(Source::Facts(kind_of(store, element)));
        }
        for member in tuples {
            let handles: Vec<FactHandle> = member
                .members
                .iter()
                .map(|member| match member {
                    Member::Fact(handle) => *handle,
                    Member::Key(_) => unreachable!("elements are facts"),
                })
                .collect();
            let facts: Vec<u64> = handles.iter().map(|handle| handle.get()).collect();
            let resolved = inner.resolve(store);
            let rows = Rows::new(&resolved, &member.row);
            let member = GroupMember { tuple, outer, facts: &facts };
            let context = grouping.enter(SCOPE, &rows, opened, member);
            tuple += 1;
            match found.iter_mut().find(|(of, ..)| *of == context) {
                Some((_, _, members)) => members.push(handles),
                None => found.push((context, outer, vec![handles])),
            }
        }
    }
    let shown: Vec<bool> = found
        .iter()
        .map(|(context, ..)| grouping.refresh(SCOPE, *context).unwrap().present)
        .collect();
    let grouping = Rc::new(grouping);
    let mut results = Vec::new();
    let outer_sources = sources.clone();
    sources.push(Source::Groups(Rc::clone(&grouping)));
    for ((context, outer, members), shown) in found.into_iter().zip(shown) {
        if !shown {
            continue;
        }
        let partial = &partials[outer as usize];
        let (mut key, mut value) = (Vec::new(), Vec::new());
        grouping.key_bytes(context, &mut key);
        grouping.result_bytes(context, &mut value);
        let at = (at.0, at.1.clone(), partial.members.clone(), key.clone());
        groups.insert(at, (value, members));
        let row: Vec<u32> = partial.row.iter().copied().chain([context]).collect();
        let mut resolved = outer_sources.resolve(store);
        resolved.push(grouping.results());
        if passes(group.having.iter(), &resolved, &row) {
            results.push(Partial { row, members: with(&partial.members, Member::Key(key.into())) });
        }
    }
    results
}
