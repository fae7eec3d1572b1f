//! Why a rule does not match.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use steadfast_wm::{FactHandle, Member};

use super::NamedFact;
use super::search::Search;
use crate::engine::Engine;
use crate::error::{ConditionPlace, EvaluateError};

/// What keeps a rule from matching certain facts, pattern by pattern.
///
/// Its text has one line for each pattern:
///
/// ```text
/// shop::paid does not match
///   c: Customer f#1 holds
///   p: Payment f#3 fails at `p.amount >= o.amount`
///   not b: Block is blocked by Block f#9
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct WhyNot {
    /// Path of the rule.
    pub rule: String,
    /// The judgement on each pattern; one list for each branch of the rule.
    pub branches: Vec<Vec<Judgement>>,
    /// Whether the rule matches after all.
    pub matches: bool,
    /// Whether one of these matches is pending: else it has fired for its last trigger.
    pub pending: bool,
}

/// What became of one pattern.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Judgement {
    /// The pattern as `variable: Type`, with `not`, `exists` or `group` before it.
    pub pattern: String,
    /// What became of it.
    pub outcome: Outcome,
}

/// What became of one pattern.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Outcome {
    /// It holds; with the fact that was asked about or found, if it holds one.
    Holds(Option<NamedFact>),
    /// This is the first condition that fails. Of several candidates, the one that came farthest.
    Fails {
        /// The fact.
        fact: Option<NamedFact>,
        /// The condition as written.
        condition: String,
    },
    /// There is no fact, or no tuple of facts, that could be asked.
    NoCandidate,
    /// These facts are there and must not.
    Blocked(Vec<NamedFact>),
    /// An absence inside: nothing blocks it, and that is decided when the clock is there.
    Undecided {
        /// When, in milliseconds.
        until: i64,
    },
    /// It depends on an earlier pattern for which there is no candidate.
    NotAsked,
}

impl Engine {
    /// What keeps a rule from matching certain facts; `None` if there is no rule of this path.
    ///
    /// Each pattern takes the first of the given facts that are of its type and not taken yet, and is
    /// judged with it also if an earlier one has failed. A pattern that finds none looks among all facts
    /// of its type; `not`, `exists` and groups always do. Flush first: staged operations are not judged.
    ///
    /// It looks at no more than about a million combinations of facts, and answers from those.
    ///
    /// # Errors
    ///
    /// [`EvaluateError::ConditionPanicked`]; the engine goes on, as nothing was changed.
    pub fn why_not(
        &self,
        path: &str,
        facts: &[FactHandle],
    ) -> Result<Option<WhyNot>, EvaluateError> {
        let first = self.infos.iter().position(|info| info.path == path);
        let Some(first) = first else { return Ok(None) };
        let mut answer =
            WhyNot { rule: path.to_owned(), branches: Vec::new(), matches: false, pending: false };
        for at in self.branches_of(first) {
            let mut search = Search::new(self, facts);
            let parts = &self.infos[at].def.parts;
            let asked = catch_unwind(AssertUnwindSafe(|| search.ask(parts)));
            let judgements = asked.map_err(|panic| EvaluateError::ConditionPanicked {
                place: Some(ConditionPlace::of_rule(path.to_owned())),
                message: crate::engine::panic_message(panic.as_ref()),
            })?;
            answer.branches.push(judgements);
            answer.matches |= search.matches();
            answer.pending |= self.any_pending(at, &search.members());
        }
        Ok(Some(answer))
    }

    /// Whether one of these matches is pending.
    fn any_pending(&self, rule: usize, matches: &[Vec<Member>]) -> bool {
        let terminal = &self.rules[rule].terminal;
        let pending = terminal.in_order().map(|queued| self.members(rule, queued.token));
        !matches.is_empty() && pending.into_iter().any(|members| matches.contains(&members))
    }
}

impl fmt::Display for WhyNot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verb = match (self.matches, self.pending) {
            (false, _) => "does not match",
            (true, true) => "matches and is pending",
            (true, false) => "matches and has fired",
        };
        write!(f, "{} {verb}", self.rule)?;
        for (at, judgements) in self.branches.iter().enumerate() {
            if at > 0 {
                f.write_str("\n or")?;
            }
            judgements.iter().try_for_each(|judgement| write!(f, "\n  {judgement}"))?;
        }
        Ok(())
    }
}

impl fmt::Display for Judgement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.pattern)?;
        match &self.outcome {
            Outcome::Holds(None) => f.write_str(" holds"),
            Outcome::Holds(Some(fact)) => write!(f, " {} holds", fact.handle),
            Outcome::Fails { fact: None, condition } => write!(f, " fails at `{condition}`"),
            Outcome::Fails { fact: Some(fact), condition } => {
                write!(f, " {} fails at `{condition}`", fact.handle)
            }
            Outcome::NoCandidate => f.write_str(" has no candidate"),
            Outcome::Blocked(facts) => {
                for (at, fact) in facts.iter().enumerate() {
                    write!(f, "{}{fact}", if at == 0 { " is blocked by " } else { " with " })?;
                }
                Ok(())
            }
            Outcome::Undecided { until } => {
                write!(f, " is not blocked, which is decided at {until} ms")
            }
            Outcome::NotAsked => {
                f.write_str(" was not asked: a pattern before it has no candidate")
            }
        }
    }
}
