//! What keeps the parts of a rule from being matched. The macros rule most of it out; who builds rules at
//! run time can take a variable for another one.
//!
//! Conditions are closures over rows. They are asked about no row at all, over positions of the types that
//! the rule has there: that runs nothing of the user's, and shows which positions and types they ask for.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::aggregate::Grouping;
use crate::ir::{
    Conditions, GroupPattern, KeyJoin, Late, Nested, Part, Pattern, RangeJoin, RuleDef,
    RulesetError, Test, Timer, Window,
};
use crate::key::Codes;
use crate::rows::{Misplaced, Rows};
use crate::store::AnyTable;

/// Parts of one rule, elements of groups and what stands inside of others included.
const PARTS_MAX: usize = 64;

/// What is wrong with the parts of a rule, or with one of its branches.
pub(super) fn problem_of(rule: &RuleDef, branch: &RuleDef) -> Option<RulesetError> {
    let path = || rule.path.clone();
    if let Some(mistake) = branch.mistakes.first() {
        return Some(mistake.clone());
    }
    if branch.parts.is_empty() {
        return Some(RulesetError::NoPattern { path: path() });
    }
    let parts = branch.parts.iter().map(count).sum();
    if parts > PARTS_MAX {
        return Some(RulesetError::TooManyParts { path: path(), parts, limit: PARTS_MAX });
    }
    let mut check = Check { path: &rule.path, before: Vec::new() };
    check.parts(&branch.parts).err().or_else(|| problem_of_timing(branch, path))
}

fn count(part: &Part) -> usize {
    match part {
        Part::Each(_) | Part::Not(_) | Part::Exists(_) => 1,
        Part::Group(group) => group.elements.len(),
        // Itself as well: it may hold nothing but others.
        Part::Nested(nested) => 1 + nested.parts.iter().map(count).sum::<usize>(),
    }
}

fn problem_of_timing(rule: &RuleDef, path: impl Fn() -> String) -> Option<RulesetError> {
    let problem = match (&rule.timing.timer, rule.timing.late) {
        (Some(Timer::After(delay)), _) if *delay < 0 => {
            format!("waits {delay} ms: give it a delay of 0 or more")
        }
        (Some(Timer::Every { initial, .. }), _) if *initial < 0 => {
            format!("waits {initial} ms at first: give it a delay of 0 or more")
        }
        (Some(Timer::Every { every, .. }), _) if *every < 1 => {
            format!("repeats every {every} ms: give it an interval of 1 or more")
        }
        (_, Late::Drop { grace }) if grace < 0 => {
            format!("drops what is {grace} ms late: give it a grace of 0 or more")
        }
        _ => return None,
    };
    Some(RulesetError::Timing { path: path(), problem })
}

/// What a position holds, with nothing in it.
enum Empty {
    Facts(Box<dyn AnyTable>),
    Group(Box<dyn Grouping>),
}

impl Empty {
    fn source(&self) -> &dyn Any {
        match self {
            Self::Facts(table) => &**table,
            Self::Group(grouping) => grouping.results(),
        }
    }
}

/// A walk through the parts of a rule.
struct Check<'a> {
    path: &'a str,
    /// The positions before the part at hand.
    before: Vec<Empty>,
}

impl Check<'_> {
    fn parts(&mut self, parts: &[Part]) -> Result<(), RulesetError> {
        for part in parts {
            match part {
                Part::Each(pattern) => {
                    self.pattern(pattern)?;
                    self.before.push(Empty::Facts(pattern.fact.new_table()));
                }
                Part::Not(pattern) | Part::Exists(pattern) => self.pattern(pattern)?,
                Part::Group(group) => self.group(group)?,
                Part::Nested(nested) => self.nested(nested)?,
            }
        }
        Ok(())
    }

    fn nested(&mut self, nested: &Nested) -> Result<(), RulesetError> {
        if nested.parts.is_empty() {
            let problem = "without a pattern: add one inside";
            return Err(RulesetError::Nested { path: self.path.to_owned(), problem });
        }
        let outside = self.before.len();
        self.parts(&nested.parts)?;
        self.before.truncate(outside);
        Ok(())
    }

    fn group(&mut self, group: &GroupPattern) -> Result<(), RulesetError> {
        let path = || self.path.to_owned();
        if group.elements.is_empty() {
            let problem = "of nothing: add an element";
            return Err(RulesetError::Group { path: path(), problem });
        }
        if group.is_open() {
            let problem =
                "whose elements are never closed: call `group_by` or `accumulate` behind them";
            return Err(RulesetError::Group { path: path(), problem });
        }
        let outside = self.before.len();
        for element in &group.elements {
            self.pattern(element)?;
            self.before.push(Empty::Facts(element.fact.new_table()));
        }
        if let Some(&(position, _)) =
            group.reads.iter().find(|(position, _)| *position >= self.before.len())
        {
            let problem = missing(position);
            return Err(self.condition(&group.variable, &group.function_text, problem));
        }
        self.before.truncate(outside);
        self.before.push(Empty::Group(group.spec.create()));
        let sources: Vec<&dyn Any> = self.before.iter().map(Empty::source).collect();
        for test in &group.having {
            asked(&test.text, &sources, |rows| (test.evaluate)(rows, &mut Vec::new())).map_err(
                |(condition, problem)| self.condition(&group.variable, condition, problem),
            )?;
        }
        Ok(())
    }

    fn pattern(&self, pattern: &Pattern) -> Result<(), RulesetError> {
        if matches!(pattern.window, Some(Window::Time(millis)) if millis < 1) {
            let (path, pattern) = (self.path.to_owned(), pattern.variable.clone());
            return Err(RulesetError::Window { path, pattern });
        }
        let own = pattern.fact.new_table();
        let own: &dyn Any = &*own;
        let before: Vec<&dyn Any> = self.before.iter().map(Empty::source).collect();
        of_own(&pattern.conditions, (own, before.len()))
            .and_then(|()| of_joins(&pattern.conditions, &before, own))
            .map_err(|(condition, problem)| self.condition(&pattern.variable, condition, problem))
    }

    fn condition(&self, pattern: &str, condition: &str, problem: String) -> RulesetError {
        RulesetError::Condition {
            path: self.path.to_owned(),
            pattern: pattern.to_owned(),
            condition: condition.to_owned(),
            problem,
        }
    }
}

/// A condition, and what is wrong with it.
type Problem<'a> = (&'a str, String);

/// Conditions on the pattern's own fact see that alone.
fn of_own<'a>(
    conditions: &'a Conditions,
    (own, position): (&dyn Any, usize),
) -> Result<(), Problem<'a>> {
    let alone = [own];
    for test in &conditions.alpha {
        asked(&test.text, &alone, |rows| (test.evaluate)(rows, &mut Vec::new()))?;
        if test.reads.iter().any(|(read, _)| *read != position) {
            let problem = "is on another variable than its own: add it behind that variable's part";
            return Err((&test.text, problem.to_owned()));
        }
    }
    for constant in &conditions.constants {
        asked(&constant.path, &alone, |rows| (constant.inner)(rows, &mut Codes::default()))?;
    }
    for KeyJoin { inner, test, .. } in &conditions.keys {
        asked(&test.text, &alone, |rows| inner(rows, &mut Codes::default()))?;
    }
    for RangeJoin { inner, test, .. } in &conditions.ranges {
        asked(&test.text, &alone, |rows| inner(rows, &mut Vec::new()))?;
    }
    Ok(())
}

/// Others see what is before it, too; those that an index serves are between both.
fn of_joins<'a>(
    conditions: &'a Conditions,
    before: &[&dyn Any],
    own: &dyn Any,
) -> Result<(), Problem<'a>> {
    let position = before.len();
    let all: Vec<&dyn Any> = before.iter().copied().chain([own]).collect();
    let keys = conditions.keys.iter().map(|key| &key.test);
    let indexed: Vec<&Test> =
        keys.chain(conditions.ranges.iter().map(|range| &range.test)).collect();
    for test in &indexed {
        if position == 0 {
            return Err((&test.text, "joins with what is before, and there is nothing".to_owned()));
        }
        if !test.reads.is_empty() && test.reads.iter().all(|(read, _)| *read != position) {
            let problem = "is not on the variable of the last part, which it joins";
            return Err((&test.text, problem.to_owned()));
        }
    }
    for test in indexed.into_iter().chain(&conditions.residual) {
        if let Some((read, _)) = test.reads.iter().find(|(read, _)| *read > position) {
            return Err((&test.text, missing(*read)));
        }
        asked(&test.text, &all, |rows| (test.evaluate)(rows, &mut Vec::new()))?;
    }
    for KeyJoin { outer, test, .. } in &conditions.keys {
        asked(&test.text, before, |rows| outer(rows, &mut Codes::default()))?;
    }
    for RangeJoin { outer, test, .. } in &conditions.ranges {
        asked(&test.text, before, |rows| outer(rows, &mut Vec::new()))?;
    }
    Ok(())
}

fn missing(position: usize) -> String {
    format!(
        "reads a variable at position {position}, which is not there: it sees the variables of its own part \
         and those before it, not what is inside of another `not` or `exists`"
    )
}

/// Asks a closure about no rows; says what it looks for in vain.
fn asked<'a>(
    condition: &'a str,
    sources: &[&dyn Any],
    ask: impl FnOnce(&Rows<'_>),
) -> Result<(), Problem<'a>> {
    if sources.is_empty() {
        // That would be one row, of nothing.
        return Ok(());
    }
    let rows = Rows::new(sources, &[]);
    let Err(payload) = catch_unwind(AssertUnwindSafe(|| ask(&rows))) else { return Ok(()) };
    match payload.downcast::<Misplaced>() {
        Ok(misplaced) => {
            let problem = format!(
                "looks for a `{}` at position {}, where there is none: it sees the variables of its own \
                 part and those before it, of this rule",
                misplaced.wanted, misplaced.position
            );
            Err((condition, problem))
        }
        // It fails on its own account; that is told when a fact is there.
        Err(_) => Ok(()),
    }
}
