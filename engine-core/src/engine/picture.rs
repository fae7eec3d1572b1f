//! The network as a picture: what it is made of, with the figures of this moment.

use super::Engine;
use crate::draw::{Graph, Shape};
use crate::ir::{Conditions, GroupPattern, Part, Pattern};
use crate::network::Net;
use crate::network::alpha::Alpha;
use crate::network::net::Level;

/// The networks of all rules and queries; see [`Engine::network`].
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Network {
    /// Rules in their declared order, then queries; of a rule with branches each branch.
    pub rules: Vec<RuleNetwork>,
}

/// The network of one rule, of one branch of it, or of a query.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct RuleNetwork {
    /// Path of the rule or query.
    pub rule: String,
    /// Which of the rule's branches this is, from 0.
    pub branch: u16,
    /// Whether it is that of a query.
    pub is_query: bool,
    /// Its levels, from the root to the complete matches.
    pub levels: Vec<NetworkLevel>,
    /// Matches that will fire.
    pub pending: u64,
    /// Matches that wait for a time of the clock.
    pub waiting: u64,
}

/// One level of a network.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct NetworkLevel {
    /// What stands there: the pattern with its conditions as written, one a line; of the end of a
    /// subnetwork only what it asks of its tuples.
    pub text: String,
    /// The level whose tuples it extends or passes on, by its place; `None` for the root.
    pub left: Option<usize>,
    /// The level of the inner tuples, of a group and of the end of a subnetwork.
    pub inner: Option<usize>,
    /// Facts that pass the conditions on them alone, of a level that has a memory of them.
    pub facts: Option<u64>,
    /// How many levels, of all rules and queries, take their facts from the same memory, this one included:
    /// those whose patterns ask the same of their facts.
    pub listeners: Option<u64>,
    /// Tuples that stand there now.
    pub tuples: u64,
    /// Tuples that have come to it since the session was opened: those of the inner level, if it has
    /// one.
    pub taken: u64,
    /// Tuples that have left it since the session was opened.
    pub given: u64,
}

impl Engine {
    /// The network of every rule and query with its figures, as of the last flush. It changes nothing.
    ///
    /// What is counted since the session was opened is no state of the session: a restored one begins
    /// at what it took to build its network, and what is rolled back stays counted.
    pub fn network(&self) -> Network {
        let rules = self.infos.iter().zip(&self.rules).map(|(info, rule)| RuleNetwork {
            rule: info.path.clone(),
            branch: info.branch,
            is_query: info.is_query,
            levels: levels(&self.alphas, &rule.net, &info.def.parts),
            pending: u64::from(rule.terminal.pending_count()),
            waiting: rule.terminal.due.iter().map(|_| 1).sum(),
        });
        Network { rules: rules.collect() }
    }
}

impl Network {
    /// The picture in the language of Graphviz.
    pub fn to_dot(&self) -> String {
        self.graph().to_dot()
    }

    /// The picture as a Mermaid flowchart.
    pub fn to_mermaid(&self) -> String {
        self.graph().to_mermaid()
    }

    fn graph(&self) -> Graph {
        let mut graph = Graph::default();
        for rule in &self.rules {
            let word = if rule.is_query { "query" } else { "rule" };
            let branched = self.rules.iter().filter(|other| other.rule == rule.rule).count() > 1;
            let branch = if branched { format!(" branch {}", rule.branch) } else { String::new() };
            graph.group(format!("{word} {}{branch}", rule.rule));
            let nodes: Vec<usize> =
                rule.levels.iter().map(|level| graph.node(Shape::Box, level.label())).collect();
            for (level, &node) in rule.levels.iter().zip(&nodes) {
                if let Some(left) = level.left {
                    graph.edge(nodes[left], node, "");
                }
                if let Some(inner) = level.inner {
                    graph.edge(nodes[inner], node, "inner");
                }
            }
            let matches = rule.levels.last().map_or(0, |level| level.tuples);
            let RuleNetwork { pending, waiting, .. } = rule;
            let label = if rule.is_query {
                format!("{matches} rows")
            } else {
                format!("{matches} matches, {pending} pending, {waiting} waiting")
            };
            let end = graph.node(Shape::Round, label);
            if let Some(&last) = nodes.last() {
                graph.edge(last, end, "");
            }
        }
        graph
    }
}

impl NetworkLevel {
    fn label(&self) -> String {
        let shared = self.listeners.filter(|&listeners| listeners > 1);
        let shared = shared.map_or_else(String::new, |by| format!(" shared by {by}"));
        let facts = self.facts.map_or_else(String::new, |facts| format!("{facts} facts{shared}, "));
        let Self { text, tuples, taken, given, .. } = self;
        format!("{text}\n{facts}{tuples} tuples; {taken} in, {given} out")
    }
}

fn levels(alphas: &[Alpha], net: &Net, parts: &[Part]) -> Vec<NetworkLevel> {
    let mut texts = Vec::new();
    parts.iter().for_each(|part| describe(part, &mut texts));
    if net.is_gated {
        texts.rotate_left(1);
    }
    debug_assert_eq!(texts.len(), net.levels.len(), "one text for each level");
    let describe = |(at, (text, level)): (usize, (String, &Level))| {
        let left = level.node.left_level(at);
        let memory = level.node.memory(alphas);
        NetworkLevel {
            text,
            left,
            inner: level.node.plan().is_none().then(|| at - 1),
            facts: memory.map(|memory| memory.right.fact_count()),
            listeners: memory.map(|memory| memory.listeners.len() as u64),
            tuples: level.tokens.live().map(|_| 1).sum(),
            taken: level.taken,
            given: level.given,
        }
    };
    texts.into_iter().zip(&net.levels).enumerate().map(describe).collect()
}

/// Texts of the levels of a part, in the order in which the network has them.
fn describe(part: &Part, texts: &mut Vec<String>) {
    match part {
        Part::Each(each) => texts.push(pattern("each", each)),
        Part::Not(not) => texts.push(pattern("not", not)),
        Part::Exists(exists) => texts.push(pattern("exists", exists)),
        Part::Group(of) => {
            texts.extend(of.elements.iter().map(|element| pattern("element", element)));
            texts.push(group(of));
        }
        Part::Nested(nested) => {
            nested.parts.iter().for_each(|part| describe(part, texts));
            let word = if nested.exists { "exists" } else { "not" };
            texts.push(format!("{word} (inner tuples)"));
        }
    }
}

fn pattern(word: &str, pattern: &Pattern) -> String {
    let mut text = format!("{word} {}: {}", pattern.variable, pattern.fact.stored_name());
    if pattern.distinct {
        text.push_str(" distinct");
    }
    for condition in conditions(&pattern.conditions) {
        text.push('\n');
        text.push_str(condition);
    }
    text
}

fn conditions(conditions: &Conditions) -> impl Iterator<Item = &str> {
    let Conditions { alpha, keys, ranges, residual, constants: _ } = conditions;
    let tests = (alpha.iter())
        .chain(keys.iter().map(|key| &key.test))
        .chain(ranges.iter().map(|range| &range.test))
        .chain(residual);
    tests.map(|test| test.text.as_str())
}

fn group(group: &GroupPattern) -> String {
    let mut text = format!("group {}: {}", group.variable, group.function_text);
    if !group.key_text.is_empty() {
        text.push_str(" by ");
        text.push_str(&group.key_text);
    }
    for test in &group.having {
        text.push_str("\nhaving ");
        text.push_str(&test.text);
    }
    text
}
