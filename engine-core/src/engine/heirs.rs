//! Matches that one round of a flush takes away and a later one brings back.

use std::collections::{BTreeMap, BTreeSet};

use steadfast_wm::Member;

use super::RuleState;
use super::flush::MatchLog;
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
