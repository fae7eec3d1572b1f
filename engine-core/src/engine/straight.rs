//! A flush of one operation and rules of one pattern: from the fact straight to the agenda.

use steadfast_wm::MatchId;

use super::{Engine, RuleInfo};
use crate::chains::NONE;
use crate::network::Straight;
use crate::store::{Change, Op};

impl Engine {
    /// The only operation of a flush in which nothing else happens, and nobody listens to the order of
    /// what it does to several rules.
    pub(super) fn only_op(&self) -> Option<Op> {
        let [op] = *self.ops.as_slice() else { return None };
        let alone = *self.evaluated.get() && self.scratch.passing.is_none() && !self.is_heard();
        alone.then_some(op)
    }

    /// Does to the agenda what the flush's only operation did to the memory of a rule of one pattern; says
    /// whether that could be done. Otherwise it is left for the network.
    ///
    /// The same comes about as by way of the network, with less to remember.
    pub(super) fn match_straight(&mut self, at: usize, op: &Op) -> bool {
        if !self.infos[at].straight {
            return false;
        }
        let (scope, rule) = (self.scope, &mut self.rules[at]);
        let Some(change) = rule.net.take_straight() else { return true };
        match change {
            Straight::Came(entry) => {
                let token = rule.net.straight_enter(scope, entry);
                rule.terminal.reset(scope, token);
                let trigger = if self.reads(at, op) { op.seq } else { self.last_seq() };
                self.enqueue(at, [(trigger.get(), token)]);
            }
            Straight::Stays(entry) => {
                let token = rule.net.straight_token(entry);
                if self.reads(at, op) {
                    self.enqueue(at, [(op.seq.get(), token)]);
                }
            }
            Straight::Goes(entry) => {
                let token = rule.net.straight_token(entry);
                if rule.terminal.state(token).first_support != NONE {
                    rule.net.put_back(change);
                    return false;
                }
                let (net, store) = (&rule.net, &self.store);
                let RuleInfo { tag, branch, .. } = self.infos[at];
                rule.terminal.bury(scope, token, || MatchId {
                    rule: tag,
                    branch,
                    members: net.members(store, token),
                });
                rule.net.straight_leave(scope, entry, token);
                self.enqueue(at, []);
            }
        }
        true
    }

    /// Whether the operation touches what the pattern reads.
    fn reads(&self, at: usize, op: &Op) -> bool {
        let plan = self.rules[at].net.levels[0].node.plan().expect("joins have plans");
        op.what != Change::Update || op.mask.intersects(plan.reads)
    }
}
