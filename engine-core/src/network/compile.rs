//! From a rule's definition to its network.

use std::sync::Arc;

use crate::fact::FieldMask;
use crate::ir::{Conditions, GroupPattern, Nested, Part, Pattern, RuleDef, Test, Window};
use crate::network::alpha::Content;
use crate::network::block::Block;
use crate::network::gate::Gate;
use crate::network::group::{Group, GroupPlan};
use crate::network::horizon::Horizon;
use crate::network::join::Join;
use crate::network::net::{Level, Net, Node};
use crate::network::plan::{Plan, Source};
use crate::network::subnet::{Subnet, SubnetPlan};

/// Builds the network of a rule; `kind_of` gives the kind of a pattern's facts.
pub(crate) fn compile(rule: &RuleDef, kind_of: impl Fn(&Pattern) -> u32) -> Net {
    let mut compiler = Compiler { levels: Vec::new(), positions: Vec::new(), depth: 0, kind_of };
    match gate_of(&rule.parts) {
        Some(gate) => compiler.behind(gate, &rule.parts),
        None => compiler.parts(&rule.parts),
    }
    Net::new(compiler.levels)
}

struct Compiler<K> {
    levels: Vec<Level>,
    /// Sources of the positions so far.
    positions: Vec<Source>,
    /// Inside of how many `not` or `exists` over several patterns.
    depth: u32,
    kind_of: K,
}

impl<K: Fn(&Pattern) -> u32> Compiler<K> {
    /// All parts but the first one, which is a gate, and then that.
    fn behind(&mut self, gate: &Pattern, parts: &[Part]) {
        let plan = self.plan(gate, parts, false);
        self.positions.push(Source::Facts(plan.kind));
        self.parts(&parts[1..]);
        self.push(Node::Gate(Gate::new(plan)), self.positions.clone());
    }

    /// Parts that stand side by side: those of the rule, or of a `not` or `exists` over several.
    fn parts(&mut self, parts: &[Part]) {
        for (at, part) in parts.iter().enumerate() {
            let from = &parts[at..];
            match part {
                Part::Each(pattern) => self.join(pattern, from),
                Part::Not(pattern) => self.block(pattern, from, false),
                Part::Exists(pattern) => self.block(pattern, from, true),
                Part::Group(group) => self.group(group, from),
                Part::Nested(nested) => self.nested(nested),
            }
        }
    }

    /// The plan of a pattern; `from` are its part and those behind it, side by side.
    /// `visited` says whether its facts are looked for.
    fn plan(&self, pattern: &Pattern, from: &[Part], visited: bool) -> Arc<Plan> {
        let concerns = self.concerns_of(pattern, from);
        let reads = concerns.without(pattern.ignore);
        let conditions = pattern.conditions.clone();
        let kind = (self.kind_of)(pattern);
        let same = |source: &Source| matches!(source, Source::Facts(of) if *of == kind);
        let positions = self.positions.iter().enumerate().filter(|(_, source)| same(source));
        let differs_from = positions.map(|(at, _)| at).filter(|_| pattern.distinct).collect();
        let window = pattern.window;
        let keys = conditions.keys.iter().map(|key| &key.test);
        let indexed = keys.chain(conditions.ranges.first().map(|range| &range.test));
        let indexed = union(indexed.flat_map(|test| &test.reads).collect(), self.positions.len());
        let content = Content::of(&conditions, window, visited);
        Arc::new(Plan {
            kind,
            reads,
            concerns,
            indexed,
            conditions,
            visited,
            content,
            window,
            position: self.positions.len(),
            differs_from,
        })
    }

    /// Fields of a pattern whose updates concern its matches: those that conditions read of its
    /// position, what it watches, and the times of events in a window.
    ///
    /// A `not` or `exists` is read by its own conditions only, an element of a group within the
    /// group, any other pattern also by the parts behind it.
    fn concerns_of(&self, pattern: &Pattern, from: &[Part]) -> FieldMask {
        let position = self.positions.len();
        let part = &from[0];
        let mut mask = match part {
            Part::Not(_) | Part::Exists(_) | Part::Nested(_) => {
                union(part_reads(part, true), position)
            }
            Part::Group(_) => union(part_reads(part, false), position),
            Part::Each(_) => from.iter().fold(FieldMask::NONE, |mask, other| {
                mask.union(union(part_reads(other, true), position))
            }),
        };
        // A touch re-arms also what reads no field, unless the pattern watches none.
        mask = mask.union(pattern.watch).union(FieldMask::WHOLE);
        if matches!(pattern.window, Some(Window::Time(_))) {
            mask = mask.union(pattern.fact.time_fields());
        }
        mask
    }

    fn push(&mut self, node: Node, own: Vec<Source>) {
        let left = std::mem::replace(&mut self.positions, own.clone());
        self.levels.push(Level::new(node, left, own));
    }

    fn join(&mut self, pattern: &Pattern, from: &[Part]) {
        let conditions = &pattern.conditions;
        let keyed = !conditions.keys.is_empty() || !conditions.ranges.is_empty();
        let plan = self.plan(pattern, from, keyed || !self.levels.is_empty());
        let mut own = self.positions.clone();
        own.push(Source::Facts(plan.kind));
        self.push(Node::Join(Join::new(plan)), own);
    }

    fn block(&mut self, pattern: &Pattern, from: &[Part], exists: bool) {
        let plan = self.plan(pattern, from, true);
        // The match itself waits for what bounds an absence in time; a tuple inside comes about then.
        let waits = self.depth > 0 && !exists && plan.conditions.is_bounded();
        self.push(Node::Block(Block::new(plan, exists, waits)), self.positions.clone());
    }

    /// A subnetwork: the inner parts hang from the outer tuples, and its last level asks of each outer
    /// tuple whether some inner tuple extends it.
    fn nested(&mut self, nested: &Nested) {
        let outer_level = self.levels.len().checked_sub(1);
        let outer = self.positions.clone();
        self.depth += 1;
        self.parts(&nested.parts);
        self.depth -= 1;
        let plan = SubnetPlan {
            outer_level,
            outer_width: outer.len(),
            exists: nested.exists,
            horizon: Horizon::of(nested, outer.len()).ok(),
            inside: self.depth > 0,
        };
        self.push(Node::Subnet(Subnet::new(plan)), outer.clone());
        // What hangs behind it sees the outer tuple, not the inner one.
        self.levels.last_mut().expect("just pushed").left = outer;
    }

    fn group(&mut self, group: &GroupPattern, from: &[Part]) {
        let outer_level = self.levels.len().checked_sub(1);
        let outer = self.positions.clone();
        group.elements.iter().for_each(|element| self.join(element, from));
        let first = self.levels.len() - group.elements.len();
        let element_reads = self.levels[first..].iter().map(|level| match &level.node {
            Node::Join(join) => (join.plan.kind, join.plan.reads),
            _ => unreachable!("elements are joins"),
        });
        let plan = GroupPlan {
            outer_level,
            elements: group.elements.len(),
            outer_width: outer.len(),
            element_reads: element_reads.collect(),
            having: group.having.clone(),
            slides: group.elements.iter().any(|element| element.window.is_some()),
        };
        let mut own = outer.clone();
        own.push(Source::Groups(self.levels.len()));
        let node = Node::Group(Group::new(plan, group.spec.create()));
        self.push(node, own);
        // Conditions on the result see the outer tuple, not the members.
        self.levels.last_mut().expect("just pushed").left = outer;
    }
}

/// The first pattern, if the other parts are patterns alone and none of them asks anything of its fact.
fn gate_of(parts: &[Part]) -> Option<&Pattern> {
    let (Part::Each(gate), others) = parts.split_first()? else { return None };
    // Conditions that do not say what they read may read it.
    let is_apart = |test: &Test| {
        !test.reads.is_empty() && test.reads.iter().all(|(position, _)| *position != 0)
    };
    let asks_nothing = |part: &Part| match part {
        Part::Each(pattern) | Part::Not(pattern) | Part::Exists(pattern) => {
            !(pattern.distinct && pattern.fact.id() == gate.fact.id())
                && joins(&pattern.conditions).all(is_apart)
        }
        Part::Group(_) | Part::Nested(_) => false,
    };
    let is_alone = joins(&gate.conditions).next().is_none();
    (is_alone && !others.is_empty() && others.iter().all(asks_nothing)).then_some(gate)
}

/// Conditions on more than the fact alone.
fn joins(conditions: &Conditions) -> impl Iterator<Item = &Test> {
    (conditions.keys.iter().map(|key| &key.test))
        .chain(conditions.ranges.iter().map(|range| &range.test))
        .chain(&conditions.residual)
}

fn tests(conditions: &Conditions) -> impl Iterator<Item = &Test> {
    conditions.alpha.iter().chain(joins(conditions))
}

/// Everything that a part reads; of a group, conditions on its result only if asked for.
fn part_reads(part: &Part, with_having: bool) -> Vec<&(usize, FieldMask)> {
    match part {
        Part::Each(pattern) | Part::Not(pattern) | Part::Exists(pattern) => {
            tests(&pattern.conditions).flat_map(|test| &test.reads).collect()
        }
        Part::Group(group) => {
            let elements = group.elements.iter().flat_map(|element| tests(&element.conditions));
            let having = group.having.iter().filter(|_| with_having);
            let reads = elements.chain(having).flat_map(|test| &test.reads);
            reads.chain(&group.reads).collect()
        }
        Part::Nested(nested) => {
            nested.parts.iter().flat_map(|part| part_reads(part, with_having)).collect()
        }
    }
}

fn union(reads: Vec<&(usize, FieldMask)>, position: usize) -> FieldMask {
    let of_position = reads.into_iter().filter(|(of, _)| *of == position);
    of_position.fold(FieldMask::NONE, |mask, (_, fields)| mask.union(*fields))
}
