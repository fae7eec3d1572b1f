//! The focus as it is worded: every group has marks, whoever asks for them.

use std::collections::BTreeMap;

use crate::agenda::GroupNames;
use crate::ir::{MAIN, Ruleset};

#[derive(Default)]
pub(super) struct Marks {
    active: bool,
    activated: u64,
    pub(super) cleared: u64,
}

pub(super) struct Agenda {
    /// For staging only.
    pub(super) names: GroupNames,
    /// From `MAIN` up to the group that fires.
    pub(super) stack: Vec<String>,
    pub(super) marks: BTreeMap<String, Marks>,
}

impl Agenda {
    pub(super) fn new(ruleset: &Ruleset) -> Self {
        let names = GroupNames::of(ruleset.rules());
        Self { names, stack: vec![MAIN.to_owned()], marks: BTreeMap::new() }
    }

    fn mark(&mut self, group: &str) -> &mut Marks {
        self.marks.entry(group.to_owned()).or_default()
    }

    fn top(&self) -> String {
        self.stack.last().unwrap().clone()
    }

    pub(super) fn push(&mut self, group: &str, last: u64) {
        let top = self.top();
        if group != top {
            self.mark(&top).active = false;
            self.stack.push(group.to_owned());
            let marks = self.mark(group);
            (marks.active, marks.activated) = (true, last);
        }
    }

    pub(super) fn settle(&mut self, last: u64, is_empty: impl Fn(&str) -> bool) {
        while self.stack.len() > 1 && is_empty(&self.top()) {
            let popped = self.stack.pop().unwrap();
            self.mark(&popped).active = false;
        }
        let top = self.top();
        let empty = is_empty(&top);
        let marks = self.mark(&top);
        if empty {
            marks.active = false;
        } else if !marks.active {
            (marks.active, marks.activated) = (true, last);
        }
    }

    pub(super) fn locks(&self, group: &str, trigger: u64) -> bool {
        let marks = self.marks.get(group);
        let locks =
            |marks: &Marks| marks.active && trigger > marks.activated || trigger <= marks.cleared;
        marks.is_some_and(locks)
    }
}
