//! Lists of rules that have something to do.

/// Rules, each once, in their order once it is [sorted](RuleList::sort).
#[derive(Default)]
pub(super) struct RuleList {
    listed: Vec<bool>,
    pub(super) rules: Vec<usize>,
}

impl RuleList {
    #[inline]
    pub(super) fn insert(&mut self, rule: usize) {
        if self.listed.len() <= rule {
            self.grow(rule);
        }
        if !std::mem::replace(&mut self.listed[rule], true) {
            self.rules.push(rule);
        }
    }

    /// Takes one of the rules off the list, in no order.
    #[inline]
    pub(super) fn pop(&mut self) -> Option<usize> {
        let rule = self.rules.pop()?;
        self.listed[rule] = false;
        Some(rule)
    }

    #[cold]
    fn grow(&mut self, rule: usize) {
        self.listed.resize(rule + 1, false);
    }

    /// Lists all of so many rules.
    pub(super) fn fill(&mut self, rules: usize) {
        self.clear();
        self.listed.clear();
        self.listed.resize(rules, true);
        self.rules.extend(0..rules);
    }

    pub(super) fn sort(&mut self) {
        if self.rules.len() > 1 {
            self.rules.sort_unstable();
        }
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    #[inline]
    pub(super) fn clear(&mut self) {
        for &rule in &self.rules {
            self.listed[rule] = false;
        }
        self.rules.clear();
    }
}
