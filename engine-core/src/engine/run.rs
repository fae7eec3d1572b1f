//! A run of firings: how far it goes, what its filter says, and when it seems to go round in a circle.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use steadfast_wm::{MatchId, Seq};

use super::Engine;
use super::apply::Firing;
use super::fire::{FireOptions, Fired, Outcome, panic_message};
use crate::then::Row;

/// How many firings a run may trigger itself unless somebody says otherwise.
pub(super) const MAX_FIRINGS: u64 = 1_000_000;

/// How many of its latest firings a run remembers, to tell a circle from them.
const REMEMBERED: usize = 64;

/// What a filter says of a match that is about to fire.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// It fires.
    Fire,
    /// It stays pending and is passed over for the rest of the run, unless something triggers it again.
    Keep,
    /// It is used up without firing: dormant, until something triggers it again. What it supports stays.
    Consume,
}

/// A match that is about to fire, as a filter sees it.
pub struct Activation<'a> {
    /// Path of its rule.
    pub rule: &'a str,
    /// Its agenda group.
    pub group: &'a str,
    /// The match.
    pub id: MatchId,
    /// Its salience.
    pub salience: i32,
    /// What made it pending.
    pub trigger: Seq,
    /// Its facts and groups.
    pub row: &'a Row<'a>,
}

impl fmt::Debug for Activation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Activation")
            .field("rule", &self.rule)
            .field("group", &self.group)
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

type Filter<'a> = &'a mut dyn FnMut(&Activation<'_>) -> Verdict;

/// One run of firings. It may be cut into parts, for commits in between: that makes no difference to
/// what fires.
///
/// # Example
///
/// ```
/// # extern crate steadfast_engine_core as steadfast;
/// # use serde::{Deserialize, Serialize};
/// # use steadfast_engine_core::{Discard, Engine, FireOptions, FireRun, Verdict};
/// # use steadfast_macros::{Fact, rule, ruleset};
/// #[derive(Fact, Clone, PartialEq, Serialize, Deserialize)]
/// struct Order { id: u64 }
/// #[rule]
/// fn ship(o: &Order) {}
/// ruleset!(shop = 1: ship);
///
/// let mut engine = Engine::new(&shop(), Default::default(), &mut Discard)?;
/// engine.stage(&mut Discard, |stage| stage.insert(Order { id: 1 }))?;
/// engine.stage(&mut Discard, |stage| stage.insert(Order { id: 2 }))?;
/// let mut not_yet = |activation: &steadfast::Activation<'_>| {
///     if activation.row.fact::<Order>(0).id == 1 { Verdict::Keep } else { Verdict::Fire }
/// };
/// let mut run = FireRun::new(FireOptions::default()).filter(&mut not_yet);
/// let fired = engine.fire_part(&mut run, u64::MAX, &mut Discard);
/// assert_eq!((fired.count, fired.finished, engine.pending_count()), (1, true, 1));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct FireRun<'a> {
    /// How many firings the limit leaves.
    pub(super) left: u64,
    /// How many consequences ran and were applied.
    pub(super) fired: u64,
    pub(super) guard: LoopGuard,
    go_on: Option<&'a dyn Fn() -> bool>,
    pub(super) filter: Option<Filter<'a>>,
    /// Matches that the filter keeps. Most runs have no filter, and make nothing of it.
    pub(super) kept: Option<Box<Kept>>,
}

/// Rule, token and trigger of matches that a filter keeps.
pub(super) type Kept = BTreeSet<(u32, u32, u64)>;

impl<'a> FireRun<'a> {
    /// A run that goes as far as the options say.
    pub fn new(options: FireOptions) -> Self {
        Self {
            left: options.limit.unwrap_or(u64::MAX),
            fired: 0,
            guard: LoopGuard::default(),
            go_on: None,
            filter: None,
            kept: None,
        }
    }

    /// Asks a filter about every match before it fires.
    #[must_use]
    pub fn filter(mut self, filter: Filter<'a>) -> Self {
        self.filter = Some(filter);
        self
    }

    /// Asks before every firing whether to go on.
    #[must_use]
    pub fn go_on_while(mut self, go_on: &'a dyn Fn() -> bool) -> Self {
        self.go_on = Some(go_on);
        self
    }

    /// Stops with an error after so many firings that the run itself triggered; 1,000,000 without. Matches
    /// that were pending when it began fire once each and do not count.
    #[must_use]
    pub fn max_firings(mut self, firings: u64) -> Self {
        self.guard.max = firings;
        self
    }

    /// The run has begun, and fired so often.
    pub(super) fn begin_after(&mut self, last: Seq, fired: u64) {
        self.guard.begin(last);
        (self.fired, self.left) = (fired, self.left - fired);
    }

    /// Counts what became of a match.
    #[inline]
    pub(super) fn note(&mut self, outcome: Outcome, fired: &mut Fired) {
        match outcome {
            Outcome::Applied { halt } => {
                (self.fired, self.left) = (self.fired + 1, self.left - 1);
                fired.count += 1;
                (fired.changed, fired.halted, fired.finished) = (true, halt, halt);
            }
            Outcome::Skipped => {
                self.left -= 1;
                fired.skipped += 1;
                fired.changed = true;
            }
            Outcome::Kept => {}
            Outcome::Consumed => fired.changed = true,
            Outcome::Failed(error) => (fired.error, fired.finished) = (Some(error), true),
        }
    }

    pub(super) fn goes_on(&self) -> bool {
        self.left > 0 && self.go_on.is_none_or(|go_on| go_on())
    }
}

impl fmt::Debug for FireRun<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FireRun").field("left", &self.left).finish_non_exhaustive()
    }
}

/// Finds runs without end.
#[derive(Debug)]
pub(super) struct LoopGuard {
    max: u64,
    /// The last operation before the run; above all numbers before it begins.
    since: Seq,
    /// How many firings the run triggered itself.
    count: u64,
    /// The rules of the latest of them: that of each at the place of its number.
    recent: Vec<u32>,
}

/// Where the rule of a firing is remembered.
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "it is less than is remembered")]
fn place(count: u64) -> usize {
    (count % REMEMBERED as u64) as usize
}

impl Default for LoopGuard {
    fn default() -> Self {
        Self { max: MAX_FIRINGS, since: Self::NOT_BEGUN, count: 0, recent: Vec::new() }
    }
}

impl LoopGuard {
    const NOT_BEGUN: Seq = Seq::new(u64::MAX);

    /// The run begins, unless it has begun before.
    #[inline]
    pub(super) fn begin(&mut self, last: Seq) {
        if self.since == Self::NOT_BEGUN {
            self.since = last;
        }
    }

    /// Counts a firing; says whether it is one too many.
    #[inline]
    pub(super) fn counts(&mut self, rule: usize, trigger: Seq) -> bool {
        trigger > self.since && self.count_own(rule)
    }

    #[inline]
    fn count_own(&mut self, rule: usize) -> bool {
        if self.count >= self.max {
            return true;
        }
        let rule = u32::try_from(rule).expect("few rules");
        match self.recent.get_mut(place(self.count)) {
            Some(place) => *place = rule,
            None => self.recent.push(rule),
        }
        self.count += 1;
        false
    }

    /// The rules that fired last: one turn of the circle that they went round, else all of them, each
    /// once.
    pub(super) fn cycle(&self) -> Vec<u32> {
        let mut recent = self.recent.clone();
        if recent.len() == REMEMBERED {
            // The oldest one is where the next one would be put.
            recent.rotate_left(place(self.count));
        }
        let repeats = |period: &usize| {
            let (before, last) = recent.split_at(recent.len() - period);
            before.ends_with(last)
        };
        if let Some(period) = (1..=recent.len() / 2).find(repeats) {
            return recent[recent.len() - period..].to_vec();
        }
        recent.iter().copied().collect::<BTreeSet<u32>>().into_iter().collect()
    }
}

impl Engine {
    /// The match that fires next, if it is not one of those that the run passes over.
    #[inline]
    pub(super) fn next_match(&mut self, run: &FireRun<'_>) -> Option<Firing> {
        let group = self.focus.top();
        if let Some(kept) = &run.kept {
            return self.next_not_kept(group, kept);
        }
        let rule = self.ranks.best(group)? as usize;
        let rule = if self.infos[rule].is_plain { rule } else { self.best_branch(rule) };
        let first = self.rules[rule].terminal.first_queued();
        let (token, trigger) = first.expect("the rule's queue is active");
        Some(Firing { rule, token, trigger })
    }

    /// As the ranks and queues would say if the kept matches were not in them.
    #[inline(never)] // few runs have a filter
    fn next_not_kept(&self, group: u32, kept: &Kept) -> Option<Firing> {
        let of_group = (0_u32..).zip(&self.rules).zip(&self.infos).filter(|((_, state), info)| {
            !info.is_query && info.turn.group == group && state.terminal.pending_count() > 0
        });
        let firsts = of_group.filter_map(|((rule, state), info)| {
            let is_kept = |token, trigger: Seq| kept.contains(&(rule, token, trigger.get()));
            let mut queued = state.terminal.in_order();
            let first = queued.find(|queued| !is_kept(queued.token, queued.trigger))?;
            let key = (Reverse(first.salience), info.place, first.trigger);
            let rule = rule as usize;
            Some((key, Firing { rule, token: first.token, trigger: first.trigger }))
        });
        // Branches of one rule share its place.
        let first = firsts.min_by(|a, b| {
            let members = |(_, it): &(_, Firing)| self.members(it.rule, it.token);
            a.0.cmp(&b.0).then_with(|| members(a).cmp(&members(b)))
        });
        first.map(|(_, firing)| firing)
    }

    /// Asks `enabled` and the filter; the error is what a panic of theirs says.
    pub(super) fn verdict(
        &self,
        rule: usize,
        token: u32,
        filter: Option<&mut Filter<'_>>,
    ) -> Result<Verdict, String> {
        let info = &self.infos[rule];
        if let Some(enabled) = &info.turn.enabled {
            let ask = || self.with_row(rule, token, |row| (enabled.evaluate)(row));
            let answer = catch_unwind(AssertUnwindSafe(ask));
            let enabled = answer.map_err(|panic| {
                format!("`enabled` panicked: {}", panic_message(panic.as_ref()))
            })?;
            if !enabled {
                return Ok(Verdict::Consume);
            }
        }
        let Some(filter) = filter else { return Ok(Verdict::Fire) };
        let queued = self.rules[rule].terminal.queued(token);
        let ask = || {
            self.with_row(rule, token, |row| {
                filter(&Activation {
                    rule: &info.path,
                    group: self.focus.names().name(info.turn.group),
                    id: self.match_id(rule, token),
                    salience: queued.salience,
                    trigger: queued.trigger,
                    row,
                })
            })
        };
        catch_unwind(AssertUnwindSafe(ask))
            .map_err(|panic| format!("the filter panicked: {}", panic_message(panic.as_ref())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guard(max: u64, rules: impl IntoIterator<Item = usize>) -> (LoopGuard, bool) {
        let mut guard = LoopGuard { max, ..LoopGuard::default() };
        guard.begin(Seq::new(10));
        let too_many = rules.into_iter().any(|rule| guard.counts(rule, Seq::new(11)));
        (guard, too_many)
    }

    #[test]
    fn a_circle_is_told_by_one_turn_of_it() {
        let circle = |rules: &[usize]| guard(1000, rules.iter().copied()).0.cycle();
        assert_eq!(circle(&[7, 3, 3, 3]), [3]);
        assert_eq!(circle(&[9, 1, 2, 3, 1, 2, 3]), [1, 2, 3]);
        assert_eq!(circle(&[1, 1, 2, 1, 1, 2]), [1, 1, 2]);
        assert_eq!(circle(&[5, 4, 5, 9]), [4, 5, 9]);
        let long: Vec<usize> = (0..500).map(|at| at % 20).collect();
        assert_eq!(circle(&long).len(), 20);
    }

    #[test]
    fn only_what_the_run_triggered_itself_counts() {
        let (mut guard, too_many) = guard(2, [1, 1]);
        assert!(!too_many && !guard.counts(1, Seq::new(10)));
        guard.begin(Seq::new(99));
        assert!(guard.counts(1, Seq::new(11)));
    }
}
