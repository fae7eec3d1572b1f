//! Agenda groups: which of them has the focus, and what lock-on-active must know of them.

use std::sync::Arc;

use steadfast_wm::{Digester, Record, Seq};

use crate::ir::{MAIN, RuleDef};
use crate::sink::ActionSink;
use crate::trail::{Cell, Column, Scope, trailed};

/// Number of the group that is always at the bottom of the focus.
const BOTTOM: u32 = 0;

/// Names of agenda groups by number; `MAIN` is the first.
#[derive(Clone, Debug, Default)]
pub(crate) struct GroupNames(Arc<[String]>);

impl GroupNames {
    /// The groups that rules name, in the order of the rules.
    pub(crate) fn of<'a>(rules: impl IntoIterator<Item = &'a RuleDef>) -> Self {
        let mut names = vec![MAIN.to_owned()];
        for rule in rules {
            if !names.contains(&rule.agenda.group) {
                names.push(rule.agenda.group.clone());
            }
        }
        Self(names.into())
    }

    pub(crate) fn count(&self) -> u32 {
        u32::try_from(self.0.len()).expect("fewer groups than rules")
    }

    pub(crate) fn find(&self, name: &str) -> Option<u32> {
        (0..).zip(self.0.iter()).find(|(_, known)| *known == name).map(|(group, _)| group)
    }

    pub(crate) fn name(&self, group: u32) -> &str {
        &self.0[group as usize]
    }
}

/// What lock-on-active must know of a group. Sequence numbers are those of the last operation before.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Marks {
    /// Whether it has the focus and has had something to fire since it got it.
    pub(crate) active: bool,
    /// When it last became active.
    pub(crate) activated: Seq,
    /// When it was last cleared.
    pub(crate) cleared: Seq,
}

/// The focus: a stack of agenda groups, of which the top fires.
#[derive(Clone)]
pub(crate) struct Focus {
    names: GroupNames,
    /// By group: whether a rule of it is lock-on-active. Marks are kept of these groups only, so that
    /// the others cost nothing.
    locking: Vec<bool>,
    /// Whether there is `MAIN` alone and no lock, so that there is nothing to keep.
    plain: bool,
    /// The groups above `MAIN`, the top last.
    stack: Column<u32>,
    /// By group.
    marks: Column<Marks>,
    /// What the journal holds of both.
    journaled_stack: Cell<Vec<u32>>,
    journaled_marks: Column<Marks>,
    /// Whether stack or marks were written since the last commit boundary.
    changed: Cell<bool>,
}

trailed!(Focus { stack, marks, journaled_stack, journaled_marks, changed });

impl Focus {
    pub(crate) fn new<'a>(names: GroupNames, rules: impl IntoIterator<Item = &'a RuleDef>) -> Self {
        let mut locking = vec![false; names.count() as usize];
        for rule in rules.into_iter().filter(|rule| rule.agenda.lock_on_active) {
            let group = names.find(&rule.agenda.group).expect("groups of rules have names");
            locking[group as usize] = true;
        }
        let mut marks = Column::default();
        marks.reach(Scope::NONE, names.count() - 1, &Marks::default());
        Self {
            plain: locking == [false],
            names,
            locking,
            stack: Column::default(),
            journaled_marks: marks.clone(),
            marks,
            journaled_stack: Cell::new(Vec::new()),
            changed: Cell::new(false),
        }
    }

    /// The rules are others from now on: groups have other numbers, and only groups that lock have marks.
    /// Gives the new numbers by the old ones, and the groups of which the journal holds marks in vain.
    pub(crate) fn rules_changed(
        &mut self,
        scope: Scope,
        rules: &[&RuleDef],
    ) -> (Vec<Option<u32>>, Vec<String>) {
        let names = GroupNames::of(rules.iter().copied());
        let mut next = Self::new(names, rules.iter().copied());
        let groups = 0..self.names.count();
        let moved: Vec<Option<u32>> =
            groups.clone().map(|group| next.names.find(self.names.name(group))).collect();
        let of = |group: u32| moved.get(group as usize).copied().flatten();
        let stack: Vec<u32> = self.stack.as_slice().iter().filter_map(|&group| of(group)).collect();
        let journaled = self.journaled_stack.get().iter();
        // A group that is no more has no number: so the stack differs from the journal's.
        let journaled = journaled.map(|&group| of(group).unwrap_or(u32::MAX)).collect();
        let shorter = stack.len() < self.stack.as_slice().len();
        next.changed.set(scope, self.has_changed() || shorter);
        next.stack.replace(scope, stack);
        next.journaled_stack.set(scope, journaled);
        let mut unmarked = Vec::new();
        for group in groups {
            let (marks, journaled) = (*self.marks.get(group), *self.journaled_marks.get(group));
            match of(group).filter(|&group| next.locking[group as usize]) {
                Some(group) => {
                    next.marks.set(scope, group, marks);
                    next.journaled_marks.set(scope, group, journaled);
                }
                None if journaled != Marks::default() => {
                    unmarked.push(self.names.name(group).to_owned());
                }
                None => {}
            }
        }
        *self = next;
        (moved, unmarked)
    }

    pub(crate) fn names(&self) -> &GroupNames {
        &self.names
    }

    /// The group that fires.
    #[inline]
    pub(crate) fn top(&self) -> u32 {
        self.stack.as_slice().last().copied().unwrap_or(BOTTOM)
    }

    /// All groups of the stack from `MAIN` up to the top.
    pub(crate) fn stack(&self) -> impl DoubleEndedIterator<Item = u32> + '_ {
        std::iter::once(BOTTOM).chain(self.stack.as_slice().iter().copied())
    }

    /// Whether the rules know nothing of groups, so that nothing of them ever changes. While rules that did
    /// have left something on the stack, that has to go first.
    #[inline]
    pub(crate) fn is_plain(&self) -> bool {
        self.plain && self.stack.is_empty()
    }

    /// By group: how many groups have their turn before it.
    pub(crate) fn turns(&self) -> Vec<u32> {
        let mut turns = vec![u32::MAX; self.names.count() as usize];
        let mut next = 0;
        for group in self.stack().rev().chain(0..self.names.count()) {
            let turn = &mut turns[group as usize];
            if *turn == u32::MAX {
                *turn = next;
                next += 1;
            }
        }
        turns
    }

    /// Whether something is to be journaled.
    #[inline]
    pub(crate) fn has_changed(&self) -> bool {
        *self.changed.get()
    }

    /// Something of the agenda changed that no operation tells.
    pub(crate) fn set_changed(&mut self, scope: Scope) {
        if !self.has_changed() {
            self.changed.set(scope, true);
        }
    }

    /// Gives a group the focus, unless it has it; the group that had it is not active any more.
    pub(crate) fn push(&mut self, scope: Scope, group: u32, last: Seq) {
        let top = self.top();
        if group != top {
            self.deactivate(scope, top);
            self.stack.push(scope, group);
            self.set_changed(scope);
            self.activate(scope, group, last);
        }
    }

    /// Takes empty groups off the stack. The group that then has the focus is active if it has
    /// something to fire; `MAIN` is not active while it is empty.
    pub(crate) fn settle(&mut self, scope: Scope, last: Seq, is_empty: impl Fn(u32) -> bool) {
        while let Some(&top) = self.stack.as_slice().last()
            && is_empty(top)
        {
            self.stack.pop(scope);
            self.set_changed(scope);
            self.deactivate(scope, top);
        }
        let top = self.top();
        if is_empty(top) {
            self.deactivate(scope, top);
        } else if !self.marks.get(top).active {
            self.activate(scope, top, last);
        }
    }

    /// Operations up to the last one give lock-on-active rules of the group no match any more.
    pub(crate) fn clear(&mut self, scope: Scope, group: u32, last: Seq) {
        self.mark(scope, group, Marks { cleared: last, ..*self.marks.get(group) });
    }

    /// Whether lock-on-active keeps a match of the group dormant that this operation triggers.
    pub(crate) fn locks_out(&self, group: u32, trigger: Seq) -> bool {
        let marks = self.marks.get(group);
        (marks.active && trigger > marks.activated) || trigger <= marks.cleared
    }

    fn activate(&mut self, scope: Scope, group: u32, last: Seq) {
        self.mark(scope, group, Marks { active: true, activated: last, ..*self.marks.get(group) });
    }

    fn deactivate(&mut self, scope: Scope, group: u32) {
        self.mark(scope, group, Marks { active: false, ..*self.marks.get(group) });
    }

    fn mark(&mut self, scope: Scope, group: u32, marks: Marks) {
        if self.locking[group as usize] && *self.marks.get(group) != marks {
            self.marks.set(scope, group, marks);
            self.set_changed(scope);
        }
    }

    /// Reports the net change since the last commit boundary.
    #[inline]
    pub(crate) fn commit(&mut self, scope: Scope, sink: &mut dyn ActionSink) {
        if self.has_changed() {
            self.commit_changes(scope, sink);
        }
    }

    #[inline(never)] // most commits change nothing of it
    fn commit_changes(&mut self, scope: Scope, sink: &mut dyn ActionSink) {
        self.changed.set(scope, false);
        if self.journaled_stack.get().as_slice() != self.stack.as_slice() {
            self.journaled_stack.set(scope, self.stack.as_slice().to_vec());
            let groups = self.stack.as_slice().iter().map(|&group| self.names.name(group));
            sink.record(&Record::Focus { groups: groups.collect() });
        }
        for group in 0..self.marks.len() {
            let marks = *self.marks.get(group);
            if marks != *self.journaled_marks.get(group) {
                self.journaled_marks.set(scope, group, marks);
                let Marks { active, activated, cleared } = marks;
                let group = self.names.name(group);
                sink.record(&Record::GroupMarks { group, active, activated, cleared });
            }
        }
    }

    /// Puts the stack back to what was journaled. Groups that no rule names any more are left out;
    /// that is a change to be journaled.
    pub(crate) fn restore_stack(&mut self, scope: Scope, groups: &[String]) {
        let found: Vec<u32> = groups.iter().filter_map(|name| self.names.find(name)).collect();
        if found.len() == groups.len() {
            self.journaled_stack.set(scope, found.clone());
        } else {
            // No stack of this ruleset is the journal's.
            self.journaled_stack.set(scope, vec![u32::MAX]);
            self.set_changed(scope);
        }
        self.stack.replace(scope, found);
    }

    /// Puts the marks of a group back; says whether they still mean something.
    pub(crate) fn restore_marks(&mut self, scope: Scope, group: &str, marks: Marks) -> bool {
        let found = self.names.find(group).filter(|&group| self.locking[group as usize]);
        if let Some(group) = found {
            self.marks.set(scope, group, marks);
            self.journaled_marks.set(scope, group, marks);
        }
        found.is_some()
    }

    pub(crate) fn digest(&self, digester: &mut Digester) {
        digester.section("agenda groups");
        for &group in self.stack.as_slice() {
            digester.bytes(self.names.name(group).as_bytes());
        }
        for (group, marks) in (0..).zip(self.marks.as_slice()) {
            if *marks != Marks::default() {
                digester.bytes(self.names.name(group).as_bytes());
                digester.number(u64::from(marks.active));
                digester.number(marks.activated.get());
                digester.number(marks.cleared.get());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ir::RuleBuilder;

    const NONE: Scope = Scope::NONE;

    /// `MAIN` (0) and `a` (1), both with a lock-on-active rule, and `b` (2) without.
    fn focus() -> Focus {
        let rule = |group: &str| RuleBuilder::new(group).group(group);
        let rules = [
            rule("a").lock_on_active().then(|_, _| Ok(())),
            rule("b").then(|_, _| Ok(())),
            rule(MAIN).lock_on_active().then(|_, _| Ok(())),
        ];
        Focus::new(GroupNames::of(&rules), &rules)
    }

    fn stack(focus: &Focus) -> Vec<u32> {
        focus.stack().collect()
    }

    #[test]
    fn a_group_is_pushed_unless_it_is_the_top_and_popped_when_it_is_empty() {
        let mut focus = focus();
        [1, 1, 2, 1, 0].iter().for_each(|&group| focus.push(NONE, group, Seq::new(5)));
        assert_eq!(stack(&focus), [0, 1, 2, 1, 0]);
        focus.settle(NONE, Seq::new(6), |group| group == 0 || group == 1);
        assert_eq!(stack(&focus), [0, 1, 2]);
        focus.settle(NONE, Seq::new(6), |_| true);
        assert_eq!(stack(&focus), [0]);
    }

    #[test]
    fn a_group_is_active_from_its_focus_until_another_one_has_it() {
        let mut focus = focus();
        focus.settle(NONE, Seq::new(3), |group| group != 0);
        assert!(focus.locks_out(0, Seq::new(4)) && !focus.locks_out(0, Seq::new(3)));
        focus.push(NONE, 1, Seq::new(5));
        assert!(!focus.locks_out(0, Seq::new(6)), "another group has the focus");
        assert!(focus.locks_out(1, Seq::new(6)));
        focus.settle(NONE, Seq::new(7), |group| group == 1);
        assert!(focus.locks_out(0, Seq::new(8)) && !focus.locks_out(0, Seq::new(7)));
        focus.settle(NONE, Seq::new(9), |_| true);
        assert!(!focus.locks_out(0, Seq::new(10)), "MAIN is empty");
        focus.clear(NONE, 1, Seq::new(11));
        assert!(focus.locks_out(1, Seq::new(11)) && !focus.locks_out(1, Seq::new(12)));
    }

    #[test]
    fn a_group_without_lock_on_active_has_no_marks() {
        let mut focus = focus();
        focus.push(NONE, 2, Seq::new(5));
        focus.clear(NONE, 2, Seq::new(5));
        assert!(!focus.locks_out(2, Seq::new(1)) && !focus.locks_out(2, Seq::new(6)));
    }
}
