//! Rules of one pattern in a flush of one operation: a fact that passes is a match, and pending as such. Nothing
//! is told to their networks.

use steadfast_wm::MatchId;

use super::{Engine, RuleInfo, RuleState};
use crate::chains::NONE;
use crate::store::{Change, Op};

impl Engine {
    /// A fact that a rule of one pattern takes is a match.
    #[inline]
    pub(super) fn enter_bare(&mut self, op: &Op, place: u32, at: usize) {
        let (scope, alpha) = (self.scope, &mut self.alphas[op.kind as usize]);
        let entry = alpha.memories[place as usize].right.admit(scope, op.slot);
        alpha.memberships.join(scope, op.slot, place, entry);
        let rule = &mut self.rules[at];
        let token = rule.net.bare_enter(scope, entry, op.slot);
        let trigger = if self.is_read(op, at) { op.seq } else { self.last_seq() };
        self.enqueue_new(at, trigger, token);
    }

    /// Takes the fact out of one memory. Of a rule of one pattern that listens alone the match goes with it,
    /// unless something has to be taken from what it supports: the network does that.
    pub(super) fn leave_one(&mut self, op: &Op, place: u32, entry: u32) {
        let (scope, alpha) = (self.scope, &self.alphas[op.kind as usize]);
        let bare = alpha.memories[place as usize].bare;
        let at = bare as usize;
        let token = if bare == NONE { NONE } else { self.rules[at].net.bare_token(entry) };
        if token == NONE || self.rules[at].terminal.supports(token) {
            self.distribution(0).leave(op.kind, place, op.slot, entry);
            return;
        }
        let was_pending = self.rules[at].terminal.is_pending(token);
        let RuleState { net, terminal, .. } = &mut self.rules[at];
        let store = &self.store;
        let RuleInfo { tag, branch, .. } = self.infos[at];
        terminal.bury(scope, token, || MatchId {
            rule: tag,
            branch,
            members: net.members(store, token),
        });
        let ranks_anew = was_pending && terminal.ranks_anew();
        net.bare_leave(scope, entry, token);
        let alpha = &mut self.alphas[op.kind as usize];
        alpha.memberships.part(scope, op.slot, place);
        alpha.memories[place as usize].right.dismiss(scope, entry);
        self.note_unreported(at);
        if ranks_anew {
            self.enqueued(at, false);
        }
    }

    /// A match of a rule of one pattern is there as before, and is pending again if the operation touches it.
    pub(super) fn stay_bare(&mut self, op: &Op, at: usize, entry: u32) {
        if self.is_read(op, at) {
            let token = self.rules[at].net.bare_token(entry);
            self.enqueue(at, [(op.seq.get(), token)]);
        }
    }

    /// Whether the operation touches what the pattern of such a rule reads: its own, for others may have made
    /// the memory.
    fn is_read(&self, op: &Op, rule: usize) -> bool {
        let plan = self.rules[rule].net.levels[0].node.plan().expect("joins have plans");
        op.what != Change::Update || op.mask.intersects(plan.reads)
    }
}
