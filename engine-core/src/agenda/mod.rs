//! The agenda: which matches are pending, in which order they fire, and what the journal knows of it.
//!
//! Of the agenda groups one has the focus ([`Focus`]). In each, rules are ranked by salience and
//! declared order ([`Ranks`]). Within a rule matches fire by
//! salience if they have one each, by trigger, then by members (INV-42); each has its place in one of
//! two queues ([`queue`]).

mod calm;
mod due;
mod focus;
mod queue;
mod ranks;

use std::cmp::Ordering;

use steadfast_wm::{MatchId, Seq};

use queue::{ByAge, BySalience};

use crate::chains::NONE;
use crate::trail::{BULK, Cell, Column, KEPT, Scope, trailed};

pub(crate) use due::DueQueue;
pub(crate) use focus::{Focus, GroupNames, Marks};
pub(crate) use ranks::Ranks;

/// A match that will fire.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pending {
    /// The match.
    pub id: MatchId,
    /// Its salience: its rule's, or its own.
    pub salience: i32,
    /// What made it pending.
    pub trigger: Seq,
}

/// What the agenda knows of a complete match.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MatchState {
    /// Its trigger while it is pending, else 0.
    pub(crate) trigger: u64,
    /// Its place in the rule's queue, or `NONE`.
    place: u32,
    /// Its salience, as of its trigger.
    salience: i32,
    /// Head of the list of facts that it supports.
    pub(crate) first_support: u32,
    /// Its place in the list of those that may differ from what the journal holds, or `NONE`: then the
    /// journal holds its trigger.
    changed: u32,
}

/// A match of which the pending state may differ from what the journal holds.
#[derive(Clone, Copy, Debug)]
#[repr(Rust, packed(4))] // a bulk load has one for each match
struct Changed {
    token: u32,
    /// The trigger that the journal holds for it as pending, or 0.
    journaled: u64,
}

const _: () = assert!(size_of::<MatchState>() == 24, "there is one for each match");

const DORMANT: MatchState =
    MatchState { trigger: 0, place: NONE, salience: 0, first_support: NONE, changed: NONE };

/// The complete matches of one rule.
#[derive(Clone, Default)]
pub(crate) struct Terminal {
    states: Column<MatchState>,
    /// Whether each match has a salience of its own; which of the queues is used.
    own_salience: bool,
    by_age: ByAge,
    by_salience: BySalience,
    pending: Cell<u32>,
    /// An entry counts if its match says that it is there: others are of matches that died since.
    changed: Column<Changed>,
    /// Dead matches that the journal still holds as pending.
    withdrawn: Column<MatchId>,
    /// Matches that wait for their time.
    pub(crate) due: DueQueue,
    /// Scratch: matches that became pending or ceased to be, for rules whose matches hold events that
    /// expire. Whoever ends an evaluation takes it.
    turns: Option<Vec<(u32, bool)>>,
    /// Whether somebody wants to know what becomes of the matches: otherwise the journal, if there is one, counts
    /// as holding what is pending at any time. Whoever calls says so, for all that the call does.
    is_recorded: bool,
    /// Whether a match has ever supported a fact. Nothing depends on it but the way that changes take, so that
    /// it is not trailed.
    has_supported: bool,
}

trailed!(Terminal { states, by_age, by_salience, pending, changed, withdrawn, due });

impl Terminal {
    /// No match yet, of a rule whose matches have one salience, or one each.
    pub(crate) fn new(own_salience: bool) -> Self {
        Self { own_salience, ..Self::default() }
    }

    /// Says whether somebody wants to know what becomes of the matches from now on.
    pub(crate) fn set_recorded(&mut self, is_recorded: bool) {
        self.is_recorded = is_recorded;
    }

    /// Notes from now on which matches become pending or cease to be.
    pub(crate) fn note_turns(&mut self) {
        self.turns = Some(Vec::new());
    }

    /// Matches that became pending (true) or ceased to be since this was last asked.
    pub(crate) fn take_turns(&mut self) -> Vec<(u32, bool)> {
        self.turns.as_mut().map(std::mem::take).unwrap_or_default()
    }

    #[inline]
    fn note_turn(&mut self, token: u32, pending: bool) {
        if let Some(turns) = &mut self.turns {
            turns.push((token, pending));
        }
    }

    #[inline]
    pub(crate) fn state(&self, token: u32) -> MatchState {
        self.states.as_slice().get(token as usize).copied().unwrap_or(DORMANT)
    }

    #[inline]
    pub(crate) fn set_first_support(&mut self, scope: Scope, token: u32, support: u32) {
        self.has_supported |= support != NONE;
        self.states.reach(scope, token, &DORMANT);
        self.states.change(scope, token, |state| state.first_support = support);
    }

    /// Whether a match may support a fact.
    #[inline]
    pub(crate) fn may_support(&self) -> bool {
        self.has_supported
    }

    /// Whether a match supports a fact.
    #[inline]
    pub(crate) fn supports(&self, token: u32) -> bool {
        self.has_supported && self.state(token).first_support != NONE
    }

    pub(crate) fn pending_count(&self) -> u32 {
        *self.pending.get()
    }

    /// Salience of the match that fires next; none if none is pending.
    pub(crate) fn best_salience(&self) -> Option<i32> {
        if self.own_salience {
            self.by_salience.first_salience()
        } else {
            (*self.pending.get() > 0).then_some(0)
        }
    }

    /// A new token is dormant until it is queued.
    #[inline]
    pub(crate) fn reset(&mut self, scope: Scope, token: u32) {
        self.set_state(scope, token, DORMANT);
    }

    #[expect(
        clippy::inline_always,
        reason = "it is most of what is done for a match that comes or goes"
    )]
    #[inline(always)]
    fn set_state(&mut self, scope: Scope, token: u32, state: MatchState) {
        match token.cmp(&self.states.len()) {
            Ordering::Less => self.states.set(scope, token, state),
            Ordering::Equal => self.states.push(scope, state),
            Ordering::Greater => self.add_state(scope, token, state),
        }
    }

    #[inline(never)] // most tokens are used again, or the next ones
    fn add_state(&mut self, scope: Scope, token: u32, state: MatchState) {
        self.states.reach(scope, token, &DORMANT);
        self.states.set(scope, token, state);
    }

    /// Puts a match at its place in the queue.
    #[expect(
        clippy::inline_always,
        reason = "it is most of what is done for a match that comes or goes"
    )]
    #[inline(always)]
    fn push(&mut self, scope: Scope, token: u32, trigger: u64, salience: i32) -> u32 {
        if self.own_salience {
            self.by_salience.push(scope, token, trigger, salience)
        } else {
            self.by_age.push(scope, token, trigger)
        }
    }

    /// Queues a match that is new, as [`reset`](Self::reset) and [`enqueue`](Self::enqueue).
    pub(crate) fn enqueue_new(&mut self, scope: Scope, token: u32, trigger: u64, salience: i32) {
        let place = self.push(scope, token, trigger, salience);
        self.set_new(scope, (token, trigger), salience, place);
    }

    /// Notes that a new match is pending at its place.
    #[expect(clippy::inline_always, reason = "it is most of what is done for a match that comes")]
    #[inline(always)]
    fn set_new(&mut self, scope: Scope, (token, trigger): (u32, u64), salience: i32, place: u32) {
        self.pending.set(scope, *self.pending.get() + 1);
        self.note_turn(token, true);
        let changed = self.note_change(scope, token, &DORMANT);
        let state = MatchState { trigger, place, salience, first_support: NONE, changed };
        self.set_state(scope, token, state);
    }

    /// Queues matches that are new, given with their triggers in the order of triggers and members. The first
    /// ones of a bulk load are taken as they lie.
    pub(crate) fn enqueue_all_new(
        &mut self,
        scope: Scope,
        matches: &mut Vec<(u64, u32)>,
        salience: i32,
    ) {
        const MANY: usize = if cfg!(test) { 1 } else { KEPT };
        if matches.len() >= BULK {
            let more = u32::try_from(matches.len()).expect("matches are addressed by u32");
            self.states.reserve(more);
            if self.is_recorded {
                self.changed.reserve(more);
            }
        }
        if matches.len() <= MANY || self.own_salience || !self.by_age.is_empty() {
            for &(trigger, token) in &*matches {
                self.enqueue_new(scope, token, trigger, salience);
            }
            return;
        }
        for (place, &(trigger, token)) in (0..).zip(&*matches) {
            self.set_new(scope, (token, trigger), salience, place);
        }
        self.by_age.fill(scope, std::mem::take(matches));
    }

    /// Calls `visit` with the [few](crate::chains::ABREAST) matches that fire next, if they stand side by side;
    /// some may have left.
    pub(crate) fn next_few(&self, visit: impl FnMut(u32)) {
        if !self.own_salience {
            self.by_age.next_few(visit);
        }
    }

    /// Queues a match; the caller queues those of a flush in the order of triggers and members.
    pub(crate) fn enqueue(&mut self, scope: Scope, token: u32, trigger: u64, salience: i32) {
        self.states.reach(scope, token, &DORMANT);
        let old = *self.states.get(token);
        if old.trigger == 0 {
            self.pending.set(scope, *self.pending.get() + 1);
            self.note_turn(token, true);
        }
        let place = self.push(scope, token, trigger, salience);
        let changed = self.note_change(scope, token, &old);
        let state = MatchState { trigger, place, salience, changed, ..old };
        self.states.set(scope, token, state);
        if old.place != NONE {
            self.leave(scope, &old);
        }
    }

    /// Takes a match out of its queue, given as it was queued.
    #[expect(
        clippy::inline_always,
        reason = "it is most of what is done for a match that comes or goes"
    )]
    #[inline(always)]
    fn leave(&mut self, scope: Scope, queued: &MatchState) {
        if self.own_salience {
            self.by_salience.leave(scope, &mut self.states, queued);
        } else {
            self.by_age.leave(scope, &mut self.states, None, queued.place);
        }
    }

    /// Lists a match whose pending state is about to change, if somebody wants to know; gives its place in the list.
    #[inline]
    fn note_change(&mut self, scope: Scope, token: u32, old: &MatchState) -> u32 {
        if old.changed != NONE || !self.is_recorded {
            return old.changed;
        }
        self.changed.push(scope, Changed { token, journaled: old.trigger });
        self.changed.len() - 1
    }

    /// The trigger that the journal holds for a match as pending, or 0.
    fn journaled(&self, state: &MatchState) -> u64 {
        match state.changed {
            NONE => state.trigger,
            at => self.changed.get(at).journaled,
        }
    }

    /// Whether a match is pending.
    #[inline]
    pub(crate) fn is_pending(&self, token: u32) -> bool {
        self.state(token).trigger != 0
    }

    /// Makes a match dormant.
    #[inline]
    pub(crate) fn dequeue(&mut self, scope: Scope, token: u32) {
        let old = self.state(token);
        if old.trigger != 0 {
            self.dequeue_pending(scope, token, &old);
        }
    }

    #[inline]
    fn dequeue_pending(&mut self, scope: Scope, token: u32, old: &MatchState) {
        let changed = self.note_change(scope, token, old);
        self.states.change(scope, token, |state| {
            (state.trigger, state.place, state.changed) = (0, NONE, changed);
        });
        self.pending.set(scope, *self.pending.get() - 1);
        self.note_turn(token, false);
        self.leave(scope, old);
    }

    /// Puts a new token in the place of a dead one with the same identity.
    pub(crate) fn inherit(&mut self, scope: Scope, dead: u32, heir: u32) {
        let old = self.state(dead);
        let changed = if self.is_recorded {
            let journaled = self.journaled(&old);
            self.changed.push(scope, Changed { token: heir, journaled });
            self.changed.len() - 1
        } else {
            NONE
        };
        let state = MatchState { first_support: NONE, changed, ..old };
        self.states.reach(scope, heir, &DORMANT);
        self.states.set(scope, heir, state);
        self.states.set(scope, dead, DORMANT);
        if state.place != NONE {
            if self.own_salience {
                self.by_salience.replace(scope, &state, heir);
            } else {
                self.by_age.replace(scope, &state, heir);
            }
        }
        if self.due.is_used() {
            self.due.inherit(scope, dead, heir);
        }
    }

    /// Forgets a dead match; `identity` is asked for if the journal still holds it as pending.
    pub(crate) fn bury(&mut self, scope: Scope, token: u32, identity: impl Fn() -> MatchId) {
        let state = self.state(token);
        // What the journal holds is the same before and after it.
        let is_journaled = self.is_recorded && self.journaled(&state) != 0;
        if state.trigger != 0 {
            self.dequeue_pending(scope, token, &state);
        }
        if self.due.is_used() {
            self.due.bury(scope, token, &identity);
        }
        if is_journaled {
            self.withdrawn.push(scope, identity());
        }
        if token < self.states.len() {
            self.states.set(scope, token, DORMANT);
        }
    }

    /// Forgets all matches that there are: they are dead.
    pub(crate) fn bury_all(
        &mut self,
        scope: Scope,
        tokens: impl Iterator<Item = u32>,
        identity: impl Fn(u32) -> MatchId,
    ) {
        for token in tokens {
            let state = self.state(token);
            if state.trigger != 0 {
                self.note_turn(token, false);
            }
            if self.due.is_used() {
                self.due.bury(scope, token, || identity(token));
            }
            if self.is_recorded && self.journaled(&state) != 0 {
                self.withdrawn.push(scope, identity(token));
            }
            if token < self.states.len() {
                self.states.set(scope, token, DORMANT);
            }
        }
        self.pending.set(scope, 0);
        self.by_age.clear(scope);
        self.by_salience.clear(scope);
    }

    /// The match that fires next.
    pub(crate) fn first(&self) -> Option<u32> {
        if self.own_salience { self.by_salience.first() } else { self.by_age.first() }
    }

    /// The same with its trigger.
    #[inline]
    pub(crate) fn first_queued(&self) -> Option<(u32, Seq)> {
        if self.own_salience {
            return self.by_salience.first().map(|token| (token, self.queued(token).trigger));
        }
        self.by_age.first_queued()
    }

    /// All pending matches in firing order.
    pub(crate) fn in_order(&self) -> impl Iterator<Item = Queued> + '_ {
        let tokens = self.by_age.in_order(&self.states, None);
        let tokens = tokens.chain(self.by_salience.in_order(&self.states));
        tokens.map(|token| self.queued(token))
    }

    pub(crate) fn queued(&self, token: u32) -> Queued {
        let state = self.states.get(token);
        Queued { token, salience: state.salience, trigger: Seq::new(state.trigger) }
    }

    /// Whether the rule may rank otherwise now that a match left.
    #[inline]
    pub(crate) fn ranks_anew(&self) -> bool {
        self.own_salience || *self.pending.get() == 0
    }

    /// Whether there may be a net change.
    pub(crate) fn may_have_changed(&self) -> bool {
        !self.changed.is_empty() || !self.withdrawn.is_empty()
    }

    /// What changed in the pending set since this was last called: matches that left, and those that
    /// entered or have a new trigger.
    pub(crate) fn net_change(&mut self, scope: Scope) -> NetChange {
        let mut change = NetChange::default();
        for at in 0..self.changed.len() {
            let Changed { token, journaled } = *self.changed.get(at);
            let state = *self.states.get(token);
            if state.changed != at {
                continue;
            }
            self.states.change(scope, token, |state| state.changed = NONE);
            if state.trigger == journaled {
                continue;
            }
            if state.trigger == 0 {
                change.left.push(token);
            } else {
                let MatchState { salience, trigger, .. } = state;
                change.entered.push(Queued { token, salience, trigger: Seq::new(trigger) });
            }
        }
        self.changed.clear(scope);
        change.dead = self.withdrawn.as_slice().to_vec();
        self.withdrawn.clear(scope);
        change
    }

    /// Declares that the journal holds exactly what is pending now, or that nobody wants to know.
    pub(crate) fn mark_journaled(&mut self, scope: Scope) {
        for at in 0..self.changed.len() {
            let token = self.changed.get(at).token;
            self.states.change(scope, token, |state| state.changed = NONE);
        }
        self.changed.clear(scope);
        if !self.withdrawn.is_empty() {
            self.withdrawn.clear(scope);
        }
    }
}

/// A token in a queue.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Queued {
    pub(crate) token: u32,
    pub(crate) salience: i32,
    pub(crate) trigger: Seq,
}

/// Net change of one rule's pending matches since the last commit boundary.
#[derive(Default, Debug)]
pub(crate) struct NetChange {
    pub(crate) entered: Vec<Queued>,
    pub(crate) left: Vec<u32>,
    pub(crate) dead: Vec<MatchId>,
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: Scope = Scope::NONE;

    fn queued(token: u32, salience: i32, trigger: u64) -> Queued {
        Queued { token, salience, trigger: Seq::new(trigger) }
    }

    #[test]
    fn requeued_matches_move_to_the_end() {
        let mut terminal = Terminal::default();
        terminal.enqueue(NONE, 0, 5, 1);
        terminal.enqueue(NONE, 1, 6, 1);
        terminal.enqueue(NONE, 0, 7, 1);
        assert_eq!(terminal.pending_count(), 2);
        assert_eq!(terminal.first(), Some(1));
        terminal.dequeue(NONE, 1);
        assert_eq!(terminal.first(), Some(0));
        assert_eq!(terminal.in_order().collect::<Vec<_>>(), [queued(0, 1, 7)]);
    }

    #[test]
    fn a_salience_of_its_own_goes_before_age_until_the_next_trigger() {
        let mut terminal = Terminal::new(true);
        for (token, salience) in [(0, 1), (1, 9), (2, 1), (3, i32::MIN)] {
            terminal.enqueue(NONE, token, 5, salience);
        }
        let order =
            |terminal: &Terminal| terminal.in_order().map(|it| it.token).collect::<Vec<_>>();
        assert_eq!(order(&terminal), [1, 0, 2, 3]);
        terminal.enqueue(NONE, 1, 6, 1);
        terminal.enqueue(NONE, 3, 6, 2);
        assert_eq!((order(&terminal), terminal.pending_count()), (vec![3, 0, 2, 1], 4));
        terminal.inherit(NONE, 3, 7);
        terminal.dequeue(NONE, 0);
        assert_eq!((order(&terminal), terminal.best_salience()), (vec![7, 2, 1], Some(2)));
        terminal.bury(NONE, 7, || unreachable!("not journaled"));
        assert_eq!((terminal.first(), terminal.best_salience()), (Some(2), Some(1)));
    }

    #[test]
    fn a_queue_stays_small_behind_a_match_that_does_not_leave() {
        for own_salience in [false, true] {
            let mut terminal = Terminal::new(own_salience);
            (0..3).for_each(|token| terminal.enqueue(NONE, token, 1, 0));
            for trigger in 2..1000 {
                terminal.enqueue(NONE, 1, trigger, 0);
                assert!(terminal.by_age.len() <= 8, "{} places", terminal.by_age.len());
            }
            let order: Vec<u32> = terminal.in_order().map(|it| it.token).collect();
            assert_eq!((order, terminal.first()), (vec![0, 2, 1], Some(0)));
        }
    }

    #[test]
    fn matches_that_come_and_fire_in_turns_keep_their_order() {
        let mut terminal = Terminal::default();
        let mut fired = Vec::new();
        for token in 0..100 {
            terminal.enqueue(NONE, token, u64::from(token) + 1, 0);
            if token % 3 > 0 {
                let first = terminal.first().unwrap();
                terminal.dequeue(NONE, first);
                fired.push(first);
            }
        }
        fired.extend(terminal.in_order().map(|it| it.token));
        assert_eq!(fired, (0..100).collect::<Vec<_>>());
    }

    #[test]
    fn net_change_hides_what_came_and_went() {
        let mut terminal = Terminal { is_recorded: true, ..Terminal::default() };
        terminal.enqueue(NONE, 0, 5, 0);
        terminal.enqueue(NONE, 1, 5, 0);
        terminal.dequeue(NONE, 0);
        assert_eq!(terminal.net_change(NONE).entered, [queued(1, 0, 5)]);
        terminal.dequeue(NONE, 1);
        terminal.enqueue(NONE, 1, 9, 0);
        let change = terminal.net_change(NONE);
        assert_eq!((change.entered.as_slice(), change.left.len()), (&[queued(1, 0, 9)][..], 0));
    }

    #[test]
    fn what_nobody_wants_to_know_counts_as_journaled() {
        let mut terminal = Terminal::default();
        terminal.enqueue(NONE, 0, 5, 0);
        terminal.enqueue(NONE, 1, 5, 0);
        terminal.dequeue(NONE, 1);
        assert!(!terminal.may_have_changed());
        terminal.set_recorded(true);
        terminal.dequeue(NONE, 0);
        terminal.enqueue(NONE, 1, 6, 0);
        let change = terminal.net_change(NONE);
        assert_eq!((change.entered, change.left), (vec![queued(1, 0, 6)], vec![0]));
    }
}
