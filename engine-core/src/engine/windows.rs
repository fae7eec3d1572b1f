//! What passes with time inside of patterns: facts leave windows, and absences inside of others are decided.

use super::Engine;
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
        let memories = alphas.flat_map(|alpha| &alpha.memories);
        let recent = memories.filter_map(|memory| memory.right.recent.as_ref());
        let ends = recent.filter_map(|recent| recent.next_end());
        ends.min()
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
        if !self.has_windows_over_time() {
            return None;
        }
        let queries: Vec<bool> = self.infos.iter().map(|info| info.is_query).collect();
        self.distribution(0).leave_windows(moment, |rule| queries[rule])
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
