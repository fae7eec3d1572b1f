//! What passes with time inside of patterns: facts leave windows, and absences inside of others are decided.

use super::Engine;
use super::distribute::leave;
use crate::error::EvaluateError;
use crate::network::Undecided;
use crate::sink::ActionSink;

impl Engine {
    /// Whether facts leave some pattern with time.
    pub(super) fn has_windows_over_time(&self) -> bool {
        self.alphas.iter().any(|alpha| alpha.elapses)
    }

    /// The next moment at which a fact leaves a window.
    pub(super) fn next_window_end(&self) -> Option<i64> {
        let alphas = self.alphas.iter().filter(|alpha| alpha.elapses);
        let inputs = alphas.flat_map(|alpha| &alpha.inputs).filter(|input| input.elapses);
        let ends = inputs.filter_map(|input| {
            let right = self.rules[input.net as usize].net.right(input.level);
            right.recent.as_ref().and_then(|recent| recent.next_end())
        });
        ends.min()
    }

    /// Facts that are about to be deleted leave their windows.
    pub(super) fn leave_recent(&mut self, kind: u32, slots: &[u32]) {
        let alpha = &self.alphas[kind as usize];
        for &slot in slots {
            for (input, entry) in alpha.memberships(slot) {
                let input = alpha.inputs[input as usize];
                let right = self.rules[input.net as usize].net.right_mut(input.level).0;
                if let Some(recent) = &mut right.recent {
                    recent.leave(self.scope, entry);
                }
            }
        }
    }

    /// The next moment at which an absence inside of others is decided.
    pub(super) fn next_decision(&self) -> Option<i64> {
        let levels = self.deciding.iter().flat_map(|&at| {
            let levels = self.infos[at].deciding.iter();
            levels.map(move |&level| self.rules[at].net.undecided(level))
        });
        levels.filter_map(Undecided::next).min()
    }

    /// Takes facts out of the windows that they leave at this moment, lets those tuples pass of which an
    /// absence is decided, and matches what that does.
    ///
    /// Nothing happened to these facts. What comes about by that alone has the number of the moment as its
    /// trigger: one for all of it.
    pub(super) fn pass(
        &mut self,
        moment: i64,
        sink: &mut dyn ActionSink,
    ) -> Result<(), EvaluateError> {
        let (left, decided) = (self.leave_windows(moment), self.decide(moment));
        let Some(of_rules) = left.max(decided) else { return Ok(()) };
        // What a session counts does not depend on its queries.
        let passing = if of_rules { self.next_seq() } else { self.last_seq() };
        self.scratch.passing = Some(passing);
        let matched = self.match_rounds(None, sink);
        self.scratch.passing = None;
        matched
    }

    /// Says whether anything left a window, and if so, whether one of a rule, not of a query.
    fn leave_windows(&mut self, moment: i64) -> Option<bool> {
        let mut any = None;
        for alpha in self.alphas.iter_mut().filter(|alpha| alpha.elapses) {
            for place in 0..alpha.input_count() {
                let input = alpha.inputs[place as usize];
                let rule = input.net as usize;
                let net = &mut self.rules[rule].net;
                let is_deaf = net.is_deaf(input.level);
                let (right, delta) = net.right_mut(input.level);
                let Some(recent) = &mut right.recent else { continue };
                let over = recent.take_until(self.scope, moment);
                if over.is_empty() {
                    continue;
                }
                any = any.max(Some(!self.infos[rule].is_query));
                for entry in over {
                    alpha.part(self.scope, right.slot(entry), place);
                    leave(self.scope, right, delta, is_deaf, entry);
                }
                if !delta.is_empty() {
                    net.wake(input.level);
                    self.scratch.dirty.insert(rule);
                }
            }
        }
        any
    }

    /// The same of tuples that nothing blocks until their absence is decided.
    fn decide(&mut self, moment: i64) -> Option<bool> {
        let mut any = None;
        for &rule in &self.deciding {
            let net = &mut self.rules[rule].net;
            for &level in &self.infos[rule].deciding {
                if net.decide(self.scope, level, moment) {
                    net.wake(level);
                    self.scratch.dirty.insert(rule);
                    any = any.max(Some(!self.infos[rule].is_query));
                }
            }
        }
        any
    }
}
