//! Which types of facts rules derive from which, as far as they did so: what a well-foundedness check
//! has to look at, and whether there is anything to look at.
//!
//! It is learned from the supports that rules make, so it costs nothing where rules derive nothing and
//! needs no declaration. It only grows, and it is no state: knowing too much makes a check look at more
//! facts and find the same. So it is neither trailed nor journaled.

use crate::network::{Net, Node};

/// What one rule reads and derives, as kinds.
#[derive(Clone, Default)]
struct Line {
    /// Kinds of facts that its matches stand on.
    reads: Vec<u32>,
    /// Whether matches stand on one of several facts: they may lose one and stay.
    chooses: bool,
    /// Whether they may lose it also by an insertion: one of the choices holds an absence.
    chooses_absence: bool,
    derives: Vec<u32>,
}

/// What rules derive from what.
#[derive(Clone, Default)]
pub(crate) struct Lineage {
    rules: Vec<Line>,
    /// By kind: whether its facts may stand on facts that stand on them.
    recursive: Vec<bool>,
}

impl Lineage {
    /// Adds a rule that has derived nothing yet.
    pub(crate) fn add_rule(&mut self, net: &Net) {
        let mut line = Line::default();
        for (at, level) in net.levels.iter().enumerate() {
            match &level.node {
                Node::Join(join) => line.reads.push(join.plan.kind),
                Node::Gate(gate) => line.reads.push(gate.plan.kind),
                Node::Block(block) if block.is_exists() => {
                    line.reads.push(block.plan.kind);
                    line.chooses = true;
                }
                Node::Group(group) => line.chooses |= group.grouping.keyed(),
                Node::Subnet(subnet) if subnet.plan.exists => {
                    line.chooses = true;
                    let inner = subnet.plan.outer_level.map_or(0, |outer| outer + 1)..at;
                    line.chooses_absence |=
                        net.levels[inner].iter().any(|level| level.node.is_absence());
                }
                Node::Block(_) | Node::Subnet(_) => {}
            }
        }
        self.rules.push(line);
    }

    /// Forgets rules; those behind them have other numbers from now on.
    pub(crate) fn remove_rules(&mut self, rules: std::ops::Range<usize>) {
        self.rules.drain(rules);
    }

    /// Notes that a rule derives facts of a kind.
    #[inline]
    pub(crate) fn note(&mut self, rule: usize, kind: u32) {
        if !self.rules[rule].derives.contains(&kind) {
            self.learn(rule, kind);
        }
    }

    #[cold]
    fn learn(&mut self, rule: usize, kind: u32) {
        self.rules[rule].derives.push(kind);
        let reads = self.rules.iter().flat_map(|line| line.reads.iter().chain(&line.derives));
        let kinds = reads.map(|kind| kind + 1).max().unwrap_or(0);
        self.recursive = (0..kinds).map(|kind| self.derived_from([kind]).contains(&kind)).collect();
    }

    /// Whether facts of a kind may stand on each other.
    pub(crate) fn is_recursive(&self, kind: u32) -> bool {
        self.recursive.get(kind as usize).is_some_and(|recursive| *recursive)
    }

    /// Whether facts of any kind may stand on each other.
    pub(crate) fn has_recursion(&self) -> bool {
        self.recursive.contains(&true)
    }

    /// Whether supports of a rule may lose what they stand on although its matches stay, in a flush of
    /// these changes.
    pub(crate) fn may_shake(&self, rule: usize, only_inserts: bool) -> bool {
        let line = &self.rules[rule];
        let chooses = if only_inserts { line.chooses_absence } else { line.chooses };
        chooses && line.derives.iter().any(|kind| self.is_recursive(*kind))
    }

    /// The kinds that rules derive from these, directly or by others; in order.
    pub(crate) fn derived_from(&self, kinds: impl IntoIterator<Item = u32>) -> Vec<u32> {
        let mut open: Vec<u32> = kinds.into_iter().collect();
        let mut derived = Vec::new();
        while let Some(kind) = open.pop() {
            for line in self.rules.iter().filter(|line| line.reads.contains(&kind)) {
                for &next in &line.derives {
                    if !derived.contains(&next) {
                        derived.push(next);
                        open.push(next);
                    }
                }
            }
        }
        derived.sort_unstable();
        derived
    }
}
