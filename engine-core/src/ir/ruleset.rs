//! A named, versioned, ordered set of rules.

use std::collections::BTreeSet;

use crate::fact::Fact;
use crate::ir::check::problem_of;
use crate::ir::{RuleDef, Salience, Timer};
use crate::store::FactType;

/// A named and versioned set of rules in their declared order.
///
/// The order is part of conflict resolution: of two rules with equal salience the earlier one fires
/// first.
#[derive(Clone, Debug)]
pub struct Ruleset {
    name: String,
    version: u32,
    rules: Vec<RuleDef>,
    queries: Vec<RuleDef>,
    facts: Vec<FactType>,
}

/// Why rules do not make a ruleset.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RulesetError {
    /// Two rules have the same path.
    #[error("ruleset `{ruleset}` has two rules `{path}`: give one of them another name or module")]
    DuplicateRule {
        /// The ruleset.
        ruleset: String,
        /// The path.
        path: String,
    },
    /// Two fact types have the same stable name.
    #[error(
        "ruleset `{ruleset}` has two fact types named `{name}`: add #[fact(rename = \"…\")] to one"
    )]
    DuplicateFact {
        /// The ruleset.
        ruleset: String,
        /// The name.
        name: String,
    },
    /// A rule has no part at all, so that nothing could ever trigger it.
    #[error("rule `{path}` has no pattern: add one, or a `not`, or insert its facts yourself")]
    NoPattern {
        /// The rule.
        path: String,
    },
    /// A `not` or `exists` over several patterns has none.
    #[error("rule `{path}` has a `not` or `exists` {problem}")]
    Nested {
        /// The rule.
        path: String,
        /// What is wrong with it, and what to do.
        problem: &'static str,
    },
    /// The branches of a rule are not those of one rule.
    #[error("rule `{path}` has branches {problem}")]
    Branches {
        /// The rule.
        path: String,
        /// What is wrong with them, and what to do.
        problem: &'static str,
    },
    /// A group of a rule is not complete.
    #[error("rule `{path}` has a group {problem}")]
    Group {
        /// The rule.
        path: String,
        /// What is wrong with it, and what to do.
        problem: &'static str,
    },
    /// A window over time holds nothing.
    #[error("rule `{path}`, pattern `{pattern}`: its window is over no time: give it 1 ms or more")]
    Window {
        /// The rule.
        path: String,
        /// Variable of the pattern.
        pattern: String,
    },
    /// A field is named that its type does not have: so what reads it cannot be known.
    #[error(
        "rule `{path}`, pattern `{pattern}`: `{kind}` has no field `{field}`; it has `{fields}`"
    )]
    Field {
        /// The rule.
        path: String,
        /// Variable of the pattern.
        pattern: String,
        /// The fact type.
        kind: &'static str,
        /// The field that was named.
        field: String,
        /// The fields there are.
        fields: String,
    },
    /// Something does not stand where it can mean anything.
    #[error("rule `{path}`: {what} {problem}")]
    Misplaced {
        /// The rule.
        path: String,
        /// What was said of the rule.
        what: String,
        /// What is wrong with it, and what to do.
        problem: &'static str,
    },
    /// A condition is on variables that it does not see.
    #[error("rule `{path}`, pattern `{pattern}`: the condition `{condition}` {problem}")]
    Condition {
        /// The rule.
        path: String,
        /// Variable of the pattern, or of the group.
        pattern: String,
        /// The condition as written.
        condition: String,
        /// What is wrong with it, and what to do.
        problem: String,
    },
    /// A rule waits for a time that there is not.
    #[error("rule `{path}` {problem}")]
    Timing {
        /// The rule.
        path: String,
        /// What is wrong with it, and what to do.
        problem: String,
    },
    /// The schedule of a rule's timer cannot be read.
    #[error("the timer of rule `{path}` has no schedule `{text}`: {detail}")]
    Timer {
        /// The rule.
        path: String,
        /// The schedule as written.
        text: String,
        /// What is wrong with it.
        detail: String,
    },
    /// A rule has too many parts.
    #[error(
        "rule `{path}` has {parts} parts, at most {limit} are supported: let a rule of its own derive what some of them say together"
    )]
    TooManyParts {
        /// The rule.
        path: String,
        /// How many it has.
        parts: usize,
        /// How many are supported.
        limit: usize,
    },
}

/// Branches of one rule.
const BRANCHES_MAX: usize = 256;

impl Ruleset {
    /// An empty ruleset.
    pub fn new(name: impl Into<String>, version: u32) -> Self {
        Self {
            name: name.into(),
            version,
            rules: Vec::new(),
            queries: Vec::new(),
            facts: Vec::new(),
        }
    }

    /// Adds a rule behind the others.
    #[must_use]
    pub fn rule(mut self, rule: RuleDef) -> Self {
        self.rules.push(rule);
        self
    }

    /// Adds a query. Queries do not take part in conflict resolution.
    #[must_use]
    pub fn query(mut self, query: RuleDef) -> Self {
        self.queries.push(query);
        self
    }

    /// Makes a fact type known that no rule reads, so that a journal that holds it can be opened.
    #[must_use]
    pub fn fact<T: Fact>(mut self) -> Self {
        self.facts.push(FactType::of::<T>());
        self
    }

    /// As [`Ruleset::fact`], for facts that come through a named entry point.
    #[must_use]
    pub fn fact_from<T: Fact>(mut self, entry: &'static str) -> Self {
        self.facts.push(FactType::of::<T>().from_entry(entry));
        self
    }

    /// As [`Ruleset::fact`], for a type that is known by its description.
    #[must_use]
    pub fn fact_type(mut self, fact: FactType) -> Self {
        self.facts.push(fact);
        self
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its declared version.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// Its rules in their declared order.
    pub fn rules(&self) -> &[RuleDef] {
        &self.rules
    }

    /// Its queries.
    pub fn queries(&self) -> &[RuleDef] {
        &self.queries
    }

    /// The fact types of its rules and queries and those declared beside them, in order, each once
    /// for each entry point.
    pub fn fact_types(&self) -> Vec<FactType> {
        let mut seen = BTreeSet::new();
        let defs = self.rules.iter().chain(&self.queries);
        let all = defs.flat_map(RuleDef::fact_types).chain(self.facts.iter().copied());
        all.filter(|fact| seen.insert(fact.id())).collect()
    }

    /// Checks what a session relies on.
    ///
    /// # Errors
    ///
    /// [`RulesetError`], naming the rule or type.
    pub fn check(&self) -> Result<(), RulesetError> {
        let mut paths = BTreeSet::new();
        for rule in self.rules.iter().chain(&self.queries) {
            let path = rule.path.clone();
            if !paths.insert(&rule.path) {
                return Err(RulesetError::DuplicateRule { ruleset: self.name.clone(), path });
            }
            if let Some(Timer::Unreadable { text, detail }) = &rule.timing.timer {
                let (text, detail) = (text.clone(), detail.clone());
                return Err(RulesetError::Timer { path, text, detail });
            }
            if let Some(problem) = problem_of_branches(rule) {
                return Err(RulesetError::Branches { path, problem });
            }
            let problem = rule.all_branches().find_map(|branch| problem_of(rule, branch));
            problem.map_or(Ok(()), Err)?;
        }
        let mut names = BTreeSet::new();
        for fact in self.fact_types() {
            if !names.insert(fact.stored_name()) {
                let name = fact.stored_name().into_owned();
                return Err(RulesetError::DuplicateFact { ruleset: self.name.clone(), name });
            }
        }
        Ok(())
    }
}

/// What keeps branches from being those of one rule.
fn problem_of_branches(rule: &RuleDef) -> Option<&'static str> {
    if rule.branches.len() >= BRANCHES_MAX {
        return Some("beyond the 256 that are supported: split it");
    }
    if rule.branches.iter().any(|branch| !branch.branches.is_empty()) {
        return Some("inside of branches: join them with `or`, which leaves them flat");
    }
    let of_one_kind = |branch: &RuleDef| match (&rule.salience, &branch.salience) {
        (Salience::Fixed(of_rule), Salience::Fixed(of_branch)) => of_rule == of_branch,
        (Salience::Of { .. }, Salience::Of { .. }) => true,
        _ => false,
    };
    if !rule.branches.iter().all(of_one_kind) {
        return Some("of different salience: a rule has one, or computes it in every branch");
    }
    None
}
