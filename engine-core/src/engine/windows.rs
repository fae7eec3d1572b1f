//! Windows over time: what leaves them as the clock moves on.

use super::Engine;
use crate::error::EvaluateError;
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

    /// Takes facts out of the windows that they leave at this moment, and matches what that does.
    ///
    /// Nothing happened to these facts. What comes about by their leaving alone has the number of the
    /// moment as its trigger: one for all that leave at it.
    pub(super) fn leave_windows(
        &mut self,
        moment: i64,
        sink: &mut dyn ActionSink,
    ) -> Result<(), EvaluateError> {
        let (mut any, mut of_rules) = (false, false);
        for alpha in self.alphas.iter_mut().filter(|alpha| alpha.elapses) {
            for place in 0..alpha.input_count() {
                let input = alpha.inputs[place as usize];
                let rule = input.net as usize;
                let is_deaf = self.rules[rule].net.is_deaf(input.level);
                let net = &mut self.rules[rule].net;
                let (right, delta) = net.right_mut(input.level);
                let Some(recent) = &mut right.recent else { continue };
                let over = recent.take_until(self.scope, moment);
                if over.is_empty() {
                    continue;
                }
                any = true;
                of_rules |= !self.infos[rule].is_query;
                for entry in over {
                    alpha.part(self.scope, right.slot(entry), place);
                    if is_deaf {
                        right.dismiss(self.scope, entry);
                    } else {
                        delta.deleted.push(entry);
                    }
                }
                if !delta.is_empty() {
                    net.wake(input.level);
                    self.scratch.dirty.insert(rule);
                }
            }
        }
        if !any {
            return Ok(());
        }
        // What a session counts does not depend on its queries.
        let passing = if of_rules { self.next_seq() } else { self.last_seq() };
        self.scratch.passing = Some(passing);
        let matched = self.match_rounds(None, sink);
        self.scratch.passing = None;
        matched
    }
}
