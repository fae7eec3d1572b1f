//! Which rule writes what which rule reads, from the definitions alone.

use std::collections::{BTreeMap, BTreeSet};

use crate::draw::{Graph, Shape};
use crate::ir::{Part, RuleDef, Ruleset, Writes};
use crate::store::FactType;

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
    /// Its consequence inserts them.
    Makes,
    /// Its consequence updates them.
    Updates,
    /// Its consequence deletes them.
    Deletes,
    /// Its consequence inserts, updates, touches or deletes them; which of it is not told.
    Changes,
    /// Its consequence emits effects of this topic.
    Emits,
    /// Its consequence sets this global.
    SetsGlobal,
}

/// One link between a rule or query and a type of facts, a topic of effects or a global.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Link {
    /// Path of the rule or query.
    pub rule: String,
    /// What it does with it.
    pub access: Access,
    /// Name of the type, with `@` and the entry point if that has a name; or of the topic or global.
    pub name: String,
}

/// Which rules and queries read and write which types of facts; see [`Ruleset::impact`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Impact {
    links: Vec<Link>,
    unseen: Vec<String>,
}

impl Ruleset {
    /// Which rule writes what which rule or query reads.
    ///
    /// What a rule reads is known exactly. What it writes is what its definition says: what a logical
    /// rule returns, what `#[rule]` sees in the body of its function and is told by `writes(…)`, and what
    /// [`RuleBuilder::writes`](crate::ir::RuleBuilder::writes) names. If `#[rule]` has not seen everything,
    /// [`Impact::unseen`] has the rule.
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
        let unseen = self.rules().iter().filter(|rule| rule.writes.unseen);
        let unseen = unseen.map(|rule| rule.path.clone()).collect();
        Impact { links, unseen }
    }
}

impl Impact {
    /// All links: rules in their declared order, then queries; of each what it reads, then what it
    /// writes, by name.
    pub fn links(&self) -> &[Link] {
        &self.links
    }

    /// Paths of the rules that may write what is in no link, in their order: their functions hand the
    /// context on, or call it with what is not seen to be of a type. `#[rule(writes(…))]` says what it is.
    pub fn unseen(&self) -> &[String] {
        &self.unseen
    }

    /// The rules and queries that read facts which this rule writes, in their order; of none if there is
    /// no rule of this path.
    pub fn affected_by(&self, path: &str) -> Vec<&str> {
        let of_rule = self.links.iter().filter(|link| link.rule == path && link.access.writes());
        let written: BTreeSet<&str> = of_rule.map(|link| link.name.as_str()).collect();
        let mut affected: Vec<&str> = Vec::new();
        for link in &self.links {
            let reads = link.access.reads() && written.contains(link.name.as_str());
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
        let (mut rules, mut others) = (BTreeMap::new(), BTreeMap::new());
        for link in &self.links {
            let rule = *(rules.entry(&link.rule))
                .or_insert_with(|| graph.node(Shape::Box, link.rule.clone()));
            // A topic or a global may be called as a type of facts is.
            let sort = link.access.sort();
            let other = *(others.entry((sort, &link.name)))
                .or_insert_with(|| graph.node(Shape::Round, format!("{sort}{}", link.name)));
            match link.access {
                Access::Reads => graph.edge(other, rule, ""),
                Access::ReadsAbsence => graph.edge(other, rule, "not"),
                Access::Derives => graph.edge(rule, other, "derives"),
                Access::Makes => graph.edge(rule, other, "makes"),
                Access::Updates => graph.edge(rule, other, "updates"),
                Access::Deletes => graph.edge(rule, other, "deletes"),
                Access::Changes => graph.edge(rule, other, "changes"),
                Access::Emits => graph.edge(rule, other, "emits"),
                Access::SetsGlobal => graph.edge(rule, other, "sets"),
            }
        }
        graph
    }
}

impl Access {
    /// Whether it depends on facts.
    pub(super) fn reads(self) -> bool {
        matches!(self, Self::Reads | Self::ReadsAbsence)
    }

    /// Whether it writes facts.
    fn writes(self) -> bool {
        matches!(self, Self::Derives | Self::Makes | Self::Updates | Self::Deletes | Self::Changes)
    }

    /// What stands before the name in a picture: nothing for facts.
    fn sort(self) -> &'static str {
        match self {
            Self::Emits => "effect ",
            Self::SetsGlobal => "global ",
            _ => "",
        }
    }
}

/// The links of one rule, in order, each once.
pub(super) fn links_of(rule: &RuleDef) -> Vec<Link> {
    let mut found = BTreeSet::new();
    let mut note = |access, fact: FactType| {
        found.insert((access, fact.stored_name().into_owned()));
    };
    for part in rule.all_branches().flat_map(|branch| &branch.parts) {
        read(part, false, &mut note);
    }
    let Writes { makes, derives, updates, deletes, changes, emits, globals, unseen: _ } =
        &rule.writes;
    for (access, facts) in [
        (Access::Derives, derives),
        (Access::Makes, makes),
        (Access::Updates, updates),
        (Access::Deletes, deletes),
        (Access::Changes, changes),
    ] {
        facts.iter().for_each(|&fact| note(access, fact));
    }
    for (access, names) in [(Access::Emits, emits), (Access::SetsGlobal, globals)] {
        found.extend(names.iter().map(|&name| (access, name.to_owned())));
    }
    let link = |(access, name)| Link { rule: rule.path.clone(), access, name };
    found.into_iter().map(link).collect()
}

fn read(part: &Part, negated: bool, reads: &mut impl FnMut(Access, FactType)) {
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
