//! Matches that a flush takes away and brings back, and those that it leaves as good as new.

use std::collections::{BTreeMap, BTreeSet};

use steadfast_wm::Member;

use super::flush::MatchLog;
use super::{Engine, RuleState};
use crate::store::Store;
use crate::trail::Scope;

/// Finds among new tokens those that stand for matches of the flush's start that an earlier round took
/// away, and lets them take their place. A match whose supports were withdrawn meanwhile is new.
pub(super) fn adopt(scope: Scope, store: &Store, rule: &mut RuleState, log: &mut MatchLog) {
    let identity = |token| rule.net.members(store, token);
    let gone: BTreeMap<Vec<Member>, usize> =
        log.gone.iter().enumerate().map(|(at, &(token, _))| (identity(token), at)).collect();
    let mut adopted = BTreeSet::new();
    for &token in rule.net.terminal().inserted() {
        let Some(&at) = gone.get(&identity(token)) else { continue };
        let (dead, lost_supports) = log.gone[at];
        if !lost_supports {
            rule.terminal.inherit(scope, dead, token);
            log.heirs.insert(token);
            adopted.insert(at);
        }
    }
    let mut at = 0;
    log.gone.retain(|_| {
        at += 1;
        !adopted.contains(&(at - 1))
    });
}

impl Engine {
    /// Matches of a rule that lost a fact which they supported, because that had no foundation, are as good as
    /// new: not pending, and waiting for nothing.
    pub(super) fn renew_bereft(&mut self, at: usize) {
        let bereft = self.scratch.bereft.range((at, 0)..=(at, u32::MAX));
        for token in bereft.map(|&(_, token)| token).collect::<Vec<u32>>() {
            if self.rules[at].terminal.is_pending(token) {
                self.make_dormant(at, token);
            }
            let due = &mut self.rules[at].terminal.due;
            if due.is_used() {
                due.set(self.scope, token, None);
            }
        }
    }
}
