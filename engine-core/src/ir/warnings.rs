//! What in a ruleset is allowed and probably not meant.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;

use crate::ir::impact::{Access, Link, links_of};
use crate::ir::{Part, RuleDef, Ruleset};
use crate::network::{Horizon, Unbounded};

/// Something in a ruleset that is allowed and probably not meant; see [`Ruleset::warnings`].
///
/// Its text says which rule, what about it, and what to do.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Warning {
    /// A rule derives facts of a type whose absence it needs: a derived fact may end the match that
    /// derives it, falls with it, and the match is there again.
    CancelsItself {
        /// Path of the rule.
        rule: String,
        /// Name of the type.
        fact: String,
    },
    /// A rule needs the absence of facts that other rules derive from what it derives: what holds
    /// depends on the order of firings, and may never settle.
    CycleThroughNegation {
        /// Path of the rule with the negation.
        rule: String,
        /// Name of the type whose absence it needs.
        fact: String,
        /// Paths of the rules that derive it from what this one derives, in that order.
        through: Vec<String>,
    },
    /// A rule updates facts of a type that rules derive: a derived fact cannot be updated until it is
    /// stated, so that the consequence fails on it.
    UpdatesDerived {
        /// Path of the rule that updates.
        rule: String,
        /// Name of the type.
        fact: String,
        /// Paths of the rules that derive it, in their order.
        derived_by: Vec<String>,
    },
    /// A `not` over several patterns has temporal conditions that bound some of them and not all: it is
    /// decided at once, not when the time has passed.
    DecidedAtOnce {
        /// Path of the rule.
        rule: String,
        /// Variable of the first pattern or group in it that may come at any time.
        variable: String,
    },
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CancelsItself { rule, fact } => write!(
                f,
                "rule `{rule}` derives `{fact}` and needs that there is no `{fact}`: what it derives may \
                 end the match that derives it, again and again; derive another type, or insert the \
                 fact instead of deriving it"
            ),
            Self::CycleThroughNegation { rule, fact, through } => write!(
                f,
                "rule `{rule}` needs that there is no `{fact}`, which is derived from what it derives, by \
                 way of `{}`: what holds depends on the order of firings; take the negation out of the \
                 circle, or insert one of the facts instead of deriving it",
                through.join("`, `")
            ),
            Self::UpdatesDerived { rule, fact, derived_by } => write!(
                f,
                "rule `{rule}` updates `{fact}`, which `{}` derives: a derived fact cannot be updated \
                 until it is stated; let the deriving rule derive another value, or match stated \
                 facts only, of a type of their own",
                derived_by.join("`, `")
            ),
            Self::DecidedAtOnce { rule, variable } => write!(
                f,
                "rule `{rule}` has a `not` over several patterns that no time bounds as a whole, so that it \
                 is decided at once: `{variable}` may come at any time; bound it as well, by an event of \
                 the match or another one inside, and by its beginning (`within`) if that may last"
            ),
        }
    }
}

impl Ruleset {
    /// What is allowed in this ruleset and probably not meant, rule by rule. None of it keeps a session
    /// from being opened.
    ///
    /// It knows types, not values: a rule may be named that is right, because what it derives never
    /// passes the conditions of its own `not`. It takes into account what is known of what rules write:
    /// see [`Ruleset::impact`]. Joins without a key are not in it: the macros warn of them where
    /// they are written.
    ///
    /// ```
    /// # extern crate steadfast_engine_core as steadfast;
    /// # use serde::{Deserialize, Serialize};
    /// # use steadfast_macros::{Fact, rule, ruleset};
    /// # use steadfast_engine_core::ir::Absent;
    /// # #[derive(Fact, Clone, PartialEq, Serialize, Deserialize)]
    /// # struct Order { id: u64 }
    /// # #[derive(Fact, Clone, PartialEq, Serialize, Deserialize)]
    /// # struct Open { order: u64 }
    /// #[rule(logical)]
    /// fn open(o: &Order, #[not(p.order == o.id)] p: Absent<Open>) -> Open { Open { order: o.id } }
    /// # ruleset!(shop = 1: open);
    /// let warnings = shop().warnings();
    /// assert!(warnings[0].to_string().contains("derives `Open` and needs that there is no `Open`"));
    /// ```
    pub fn warnings(&self) -> Vec<Warning> {
        let links: Vec<Vec<Link>> = self.rules().iter().map(links_of).collect();
        let mut warnings = Vec::new();
        for (at, rule) in self.rules().iter().enumerate() {
            cancelling(&links, at, rule, &mut warnings);
            updating_derived(&links, at, &mut warnings);
            for branch in std::iter::once(rule).chain(&rule.branches) {
                deciding_at_once(&rule.path, (&branch.parts, 0), &mut warnings);
            }
        }
        warnings
    }
}

/// Whether time bounds some patterns of an absence in vain.
fn deciding_at_once(rule: &str, (parts, mut width): (&[Part], usize), warnings: &mut Vec<Warning>) {
    for part in parts {
        if let Part::Nested(nested) = part {
            let unbounded = Horizon::of(nested, width).err().filter(|unbounded| unbounded.in_vain);
            warnings.extend(unbounded.map(|Unbounded { variable, .. }| Warning::DecidedAtOnce {
                rule: rule.to_owned(),
                variable,
            }));
            deciding_at_once(rule, (&nested.parts, width), warnings);
        }
        width += usize::from(part.variable().is_some());
    }
}

fn types(links: &[Link], access: Access) -> impl Iterator<Item = &str> {
    let of_access = links.iter().filter(move |link| link.access == access);
    of_access.map(|link| link.name.as_str())
}

/// Whether a rule updates what rules derive.
fn updating_derived(links: &[Vec<Link>], at: usize, warnings: &mut Vec<Warning>) {
    for fact in types(&links[at], Access::Updates) {
        let derives = |links: &&Vec<Link>| types(links, Access::Derives).any(|of| of == fact);
        let derived_by: Vec<String> =
            links.iter().filter(derives).map(|links| links[0].rule.clone()).collect();
        if !derived_by.is_empty() {
            let (rule, fact) = (links[at][0].rule.clone(), fact.to_owned());
            warnings.push(Warning::UpdatesDerived { rule, fact, derived_by });
        }
    }
}

/// Whether what a rule derives comes back to it through a negation of its own.
fn cancelling(links: &[Vec<Link>], at: usize, rule: &RuleDef, warnings: &mut Vec<Warning>) {
    for fact in types(&links[at], Access::ReadsAbsence) {
        let (rule, fact_name) = (rule.path.clone(), fact.to_owned());
        if types(&links[at], Access::Derives).any(|derived| derived == fact) {
            warnings.push(Warning::CancelsItself { rule, fact: fact_name });
        } else if let Some(through) = way(links, at, fact) {
            let through = through.into_iter().map(|rule| links[rule][0].rule.clone()).collect();
            warnings.push(Warning::CycleThroughNegation { rule, fact: fact_name, through });
        }
    }
}

/// The shortest way by which other rules derive a type from what a rule derives; of several the one by
/// the earliest rules.
fn way(links: &[Vec<Link>], from: usize, fact: &str) -> Option<Vec<usize>> {
    let mut came_from = BTreeMap::from([(from, from)]);
    let mut open = VecDeque::from([from]);
    while let Some(rule) = open.pop_front() {
        for (next, of_next) in links.iter().enumerate() {
            let mut reads = of_next.iter().filter(|link| link.access.reads());
            let follows =
                reads.any(|link| types(&links[rule], Access::Derives).any(|of| of == link.name));
            if !follows || came_from.contains_key(&next) {
                continue;
            }
            came_from.insert(next, rule);
            open.push_back(next);
            if types(of_next, Access::Derives).any(|derived| derived == fact) {
                let mut way = vec![next];
                while came_from[&way[way.len() - 1]] != from {
                    way.push(came_from[&way[way.len() - 1]]);
                }
                way.reverse();
                return Some(way);
            }
        }
    }
    None
}
