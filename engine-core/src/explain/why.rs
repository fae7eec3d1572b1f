//! Why a fact is there.

use std::fmt;

use steadfast_wm::FactHandle;

use super::NamedFact;
use crate::engine::Engine;
use crate::network::Source;
use crate::store::Place;

/// Why a fact is there.
///
/// Its text is one line for the fact and one for each reason:
///
/// ```text
/// Hold f#7
///   is stated
///   is derived by shop::hold from s: Suspicious f#4
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Why {
    /// The fact.
    pub fact: NamedFact,
    /// Whether somebody stated it.
    pub stated: bool,
    /// The matches that support it, in the order of rules and facts.
    pub supports: Vec<Support>,
}

/// A match that supports a fact.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Support {
    /// Path of its rule.
    pub rule: String,
    /// Its facts, by the variables that hold them; a group is no fact.
    pub facts: Vec<(String, NamedFact)>,
}

impl Engine {
    /// Why a fact is there; `None` if it is not. Flush first: staged operations are not judged.
    pub fn why(&self, fact: FactHandle) -> Option<Why> {
        let place = self.store.locate(fact)?;
        let mut supports: Vec<(u32, u32)> = (self.supports.of_fact(&self.store, place))
            .map(|support| self.supports.get(support))
            .map(|support| (support.rule, support.token))
            .collect();
        supports.sort_by_cached_key(|&(rule, token)| (rule, self.members(rule as usize, token)));
        Some(Why {
            fact: self.named(place),
            stated: self.store.kind(place.kind).is_stated(place.slot),
            supports: supports.into_iter().map(|(rule, token)| self.support(rule, token)).collect(),
        })
    }

    fn support(&self, rule: u32, token: u32) -> Support {
        let (info, net) = (&self.infos[rule as usize], &self.rules[rule as usize].net);
        let row = net.terminal().row(token).iter().zip(net.positions());
        let variables = info.def.parts.iter().filter_map(crate::ir::Part::variable);
        let facts = row.zip(variables).filter_map(|((&slot, source), variable)| match source {
            Source::Facts(kind) => {
                Some((variable.to_owned(), self.named(Place { kind: *kind, slot })))
            }
            Source::Groups(_) => None,
        });
        Support { rule: info.path.clone(), facts: facts.collect() }
    }

    pub(super) fn named(&self, place: Place) -> NamedFact {
        let kind = self.store.kind(place.kind);
        NamedFact { kind: kind.fact.stored_name().into_owned(), handle: kind.handle(place.slot) }
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.fact)?;
        if self.stated {
            f.write_str("\n  is stated")?;
        }
        self.supports.iter().try_for_each(|support| write!(f, "\n  is derived by {support}"))
    }
}

impl fmt::Display for Support {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.rule)?;
        for (at, (variable, fact)) in self.facts.iter().enumerate() {
            write!(f, "{}{variable}: {fact}", if at == 0 { " from " } else { ", " })?;
        }
        Ok(())
    }
}
