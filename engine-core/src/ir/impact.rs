//! Which rule writes what which rule reads, from the definitions alone.

use std::collections::{BTreeMap, BTreeSet};

use crate::draw::{Graph, Shape};
use crate::ir::{Part, RuleDef, Ruleset};

/// What a rule or query does with facts of a type.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[non_exhaustive]
pub enum Access {
    /// It matches facts that are there, or takes them into a group.
    Reads,
    /// It holds because facts are not there: inside of a `not`, or of an odd number of them.
    ReadsAbsence,
    /// Its consequence derives them.
    Derives,
    /// Its consequence makes them otherwise.
    Makes,
}

/// One link between a rule or query and a type of facts.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Link {
    /// Path of the rule or query.
    pub rule: String,
    /// What it does with the facts.
    pub access: Access,
    /// Name of their type, with `@` and the entry point if that has a name.
    pub fact: String,
}

/// Which rules and queries read and write which types of facts; see [`Ruleset::impact`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Impact {
    links: Vec<Link>,
}

impl Ruleset {
    /// Which rule writes what which rule or query reads.
    ///
    /// What a rule reads is known exactly. What it writes is what its definition says: what a logical
    /// rule returns, and what [`RuleBuilder::makes`](crate::ir::RuleBuilder::makes) and
    /// [`RuleBuilder::derives`](crate::ir::RuleBuilder::derives) name. What the body of a consequence
    /// inserts, updates, deletes or emits beside that is not in it.
    ///
    /// ```
    /// # extern crate steadfast_engine_core as steadfast;
    /// # use serde::{Deserialize, Serialize};
    /// # use steadfast_macros::{Fact, rule, ruleset};
    /// # #[derive(Fact, Clone, PartialEq, Serialize, Deserialize)]
    /// # struct Order { id: u64, amount: i64 }
    /// # #[derive(Fact, Clone, PartialEq, Serialize, Deserialize)]
    /// # struct Big { order: u64 }
    /// #[rule(logical)]
    /// fn big(#[when(o.amount > 1000)] o: &Order) -> Big { Big { order: o.id } }
    /// #[rule]
    /// fn tell(b: &Big) { println!("{}", b.order) }
    /// # ruleset!(shop = 1: big, tell);
    /// let impact = shop().impact();
    /// let big = shop().rules()[0].path.clone();
    /// assert_eq!(impact.affected_by(&big).len(), 1, "tell reads what big derives");
    /// assert!(impact.to_dot().starts_with("digraph {"));
    /// ```
    pub fn impact(&self) -> Impact {
        let links = self.rules().iter().chain(self.queries()).flat_map(links_of).collect();
        Impact { links }
    }
}

impl Impact {
    /// All links: rules in their declared order, then queries; of each what it reads, then what it
    /// writes, by name.
    pub fn links(&self) -> &[Link] {
        &self.links
    }

    /// The rules and queries that read what this rule writes, in their order; of none if there is no
    /// rule of this path.
    pub fn affected_by(&self, path: &str) -> Vec<&str> {
        let of_rule = self.links.iter().filter(|link| link.rule == path && link.access.writes());
        let written: BTreeSet<&str> = of_rule.map(|link| link.fact.as_str()).collect();
        let mut affected: Vec<&str> = Vec::new();
        for link in &self.links {
            let reads = !link.access.writes() && written.contains(link.fact.as_str());
            if reads && affected.last() != Some(&link.rule.as_str()) {
                affected.push(&link.rule);
            }
        }
        affected
    }

    /// The graph in the language of Graphviz: rules and queries as boxes, types as ellipses, each edge
    /// in the direction in which facts flow.
    pub fn to_dot(&self) -> String {
        self.graph().to_dot()
    }

    /// The graph as a Mermaid flowchart.
    pub fn to_mermaid(&self) -> String {
        self.graph().to_mermaid()
    }

    fn graph(&self) -> Graph {
        let mut graph = Graph::default();
        let (mut rules, mut facts) = (BTreeMap::new(), BTreeMap::new());
        for link in &self.links {
            let rule = *(rules.entry(&link.rule))
                .or_insert_with(|| graph.node(Shape::Box, link.rule.clone()));
            let fact = *(facts.entry(&link.fact))
                .or_insert_with(|| graph.node(Shape::Round, link.fact.clone()));
            match link.access {
                Access::Reads => graph.edge(fact, rule, ""),
                Access::ReadsAbsence => graph.edge(fact, rule, "not"),
                Access::Derives => graph.edge(rule, fact, "derives"),
                Access::Makes => graph.edge(rule, fact, "makes"),
            }
        }
        graph
    }
}

impl Access {
    fn writes(self) -> bool {
        matches!(self, Self::Derives | Self::Makes)
    }
}

/// The links of one rule, in order, each once.
pub(super) fn links_of(rule: &RuleDef) -> Vec<Link> {
    let mut found = BTreeSet::new();
    let mut reads = |access, fact: crate::store::FactType| {
        found.insert((access, fact.stored_name().into_owned()));
    };
    for part in rule.all_branches().flat_map(|branch| &branch.parts) {
        read(part, false, &mut reads);
    }
    let derives: Vec<_> = rule.derives.iter().map(crate::store::FactType::id).collect();
    for fact in &rule.makes {
        let access = if derives.contains(&fact.id()) { Access::Derives } else { Access::Makes };
        reads(access, *fact);
    }
    let link = |(access, fact)| Link { rule: rule.path.clone(), access, fact };
    found.into_iter().map(link).collect()
}

fn read(part: &Part, negated: bool, reads: &mut impl FnMut(Access, crate::store::FactType)) {
    let access = |negated| if negated { Access::ReadsAbsence } else { Access::Reads };
    match part {
        Part::Each(pattern) | Part::Exists(pattern) => reads(access(negated), pattern.fact),
        Part::Not(pattern) => reads(access(!negated), pattern.fact),
        Part::Group(group) => {
            group.elements.iter().for_each(|element| reads(access(negated), element.fact));
        }
        Part::Nested(nested) => {
            // A `not` around it turns the sense over.
            let negated = if nested.exists { negated } else { !negated };
            nested.parts.iter().for_each(|part| read(part, negated, reads));
        }
    }
}
