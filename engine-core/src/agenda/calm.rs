//! What becomes of the matches of calm rules in a calm engine: they have one salience, wait for nothing, hold no
//! events that expire and support no facts; no scope is open, and nobody wants records. What has to be asked elsewhere
//! is known here.

use steadfast_wm::Seq;

use super::{DORMANT, MatchState, Terminal};
use crate::chains::NONE;
use crate::trail::Scope;

impl Terminal {
    /// As [`enqueue_new`](Self::enqueue_new) of a calm rule in a calm engine, whose matches have one salience, wait
    /// for nothing, hold nothing and are in no record. Says whether it is the only one.
    #[expect(clippy::inline_always, reason = "a run in a calm engine does nothing else")]
    #[inline(always)]
    pub(crate) fn enqueue_calmly(&mut self, token: u32, trigger: Seq, salience: i32) -> bool {
        self.is_calm();
        let trigger = trigger.get();
        let place = self.by_age.push(Scope::NONE, token, trigger);
        let pending = *self.pending.get();
        self.pending.set(Scope::NONE, pending + 1);
        let state = MatchState { trigger, place, salience, first_support: NONE, changed: NONE };
        self.set_state(Scope::NONE, token, state);
        pending == 0
    }

    /// As [`enqueue`](Self::enqueue) of such a match that is there and dormant. Says whether it is the only one.
    #[inline]
    pub(crate) fn rearm_calmly(&mut self, token: u32, trigger: Seq, salience: i32) -> bool {
        self.is_calm();
        let trigger = trigger.get();
        let place = self.by_age.push(Scope::NONE, token, trigger);
        let pending = *self.pending.get();
        self.pending.set(Scope::NONE, pending + 1);
        if token >= self.states.len() {
            self.add_state(Scope::NONE, token, DORMANT);
        }
        self.states.change(Scope::NONE, token, |state| {
            (state.trigger, state.place, state.salience) = (trigger, place, salience);
        });
        pending == 0
    }

    /// Makes a pending match of such a rule dormant. Says whether none is pending then.
    #[expect(clippy::inline_always, reason = "a run in a calm engine does nothing else")]
    #[inline(always)]
    pub(crate) fn use_up_calmly(&mut self, token: u32) -> bool {
        self.is_calm();
        let mut place = NONE;
        self.states.change(Scope::NONE, token, |state| {
            (place, state.trigger, state.place) = (state.place, 0, NONE);
        });
        self.leave_calmly(place)
    }

    /// The same of a match that may be dormant. Says whether none is pending now and it was.
    #[inline]
    pub(crate) fn rest_calmly(&mut self, token: u32) -> bool {
        self.is_pending(token) && self.use_up_calmly(token)
    }

    /// Forgets a dead match of such a rule. Says whether none is pending now and it was.
    #[expect(clippy::inline_always, reason = "a run in a calm engine does nothing else")]
    #[inline(always)]
    pub(crate) fn drop_calmly(&mut self, token: u32) -> bool {
        self.is_calm();
        if token >= self.states.len() {
            return false;
        }
        let state = self.states.change(Scope::NONE, token, |it| std::mem::replace(it, DORMANT));
        state.trigger != 0 && self.leave_calmly(state.place)
    }

    #[expect(clippy::inline_always, reason = "a run in a calm engine does nothing else")]
    #[inline(always)]
    fn leave_calmly(&mut self, place: u32) -> bool {
        let pending = *self.pending.get() - 1;
        self.pending.set(Scope::NONE, pending);
        self.by_age.leave(Scope::NONE, &mut self.states, None, place);
        pending == 0
    }

    /// Holds what is said of calm rules in calm engines to be true.
    #[inline]
    fn is_calm(&self) {
        debug_assert!(!self.own_salience && !self.is_recorded && !self.has_supported);
        debug_assert!(self.turns.is_none() && !self.due.is_used());
    }
}
