//! Rules that come and go while a session works.

use proptest::prelude::*;
use steadfast_engine_core::ir::Ruleset;
use steadfast_engine_core::{ActionSink, Engine};

use crate::random::{RuleSpec, ruleset};

/// Before which steps the last rule comes and the first one goes; rules that stay do neither.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Changes {
    comes: Option<usize>,
    goes: Option<usize>,
}

/// Which rules are there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Present {
    last: bool,
    first: bool,
}

impl Changes {
    pub(crate) fn any() -> impl Strategy<Value = Self> {
        let at = |chance| prop::option::weighted(chance, 0..12_usize);
        (at(0.7), at(0.5)).prop_map(|(comes, goes)| Self { comes, goes })
    }

    /// No rule comes or goes.
    pub(crate) const NONE: Self = Self { comes: None, goes: None };

    /// What is there when a session begins.
    pub(crate) fn start(self) -> Present {
        Present { last: self.comes.is_none(), first: true }
    }

    /// Changes the rules as is due before a step; says whether anything was.
    pub(crate) fn make(
        self,
        before: usize,
        specs: &[RuleSpec],
        (engine, present): (&mut Engine, &mut Present),
        sink: &mut dyn ActionSink,
    ) -> bool {
        let comes = self.comes == Some(before) && !present.last;
        let goes = self.goes == Some(before) && present.first;
        let all = ruleset(specs);
        if comes {
            engine.add_rule(all.rules().last().unwrap(), sink).unwrap();
            present.last = true;
        }
        if goes && present.of(specs).rules().iter().any(|rule| rule.path == all.rules()[0].path) {
            engine.remove_rule(&all.rules()[0].path, sink).unwrap();
            present.first = false;
        }
        comes || goes
    }
}

impl Present {
    /// All that there can be: what a journal holds is one of them.
    pub(crate) const ALL: [Self; 4] = [
        Self { last: true, first: true },
        Self { last: false, first: true },
        Self { last: true, first: false },
        Self { last: false, first: false },
    ];

    /// The ruleset that they make.
    pub(crate) fn of(self, specs: &[RuleSpec]) -> Ruleset {
        let all = ruleset(specs);
        let last = all.rules().len() - 1;
        let is_there = |at: usize| (at > 0 || self.first) && (at < last || self.last);
        let rules = (0..).zip(all.rules()).filter(|(at, _)| is_there(*at));
        let empty = Ruleset::new(all.name(), all.version());
        let rules = rules.fold(empty, |rules, (_, rule)| rules.rule(rule.clone()));
        all.fact_types().into_iter().fold(rules, Ruleset::fact_type)
    }
}
