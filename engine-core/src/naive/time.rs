//! Time, as the semantics are worded: every moment on the clock's way in turn.

use std::collections::BTreeSet;

use super::{Id, Naive};
use crate::ir::Late;

impl Naive {
    pub(super) fn advance(&mut self, by: i64) {
        if by == 0 {
            return;
        }
        if !self.ops.is_empty() && self.depends_on_time() {
            self.flush();
        }
        self.seq();
        self.clock += by;
        while let Some(moment) = self.next_moment().filter(|&moment| moment <= self.clock) {
            self.moment = Some(moment);
            self.fall_due(moment);
        }
        self.moment = None;
    }

    fn depends_on_time(&self) -> bool {
        self.rules.iter().any(|rule| rule.timing.timer.is_some())
    }

    fn next_moment(&self) -> Option<i64> {
        self.waiting.values().copied().min()
    }

    fn now(&self) -> i64 {
        self.moment.unwrap_or(self.clock)
    }

    fn fall_due(&mut self, moment: i64) {
        let due = self.waiting.iter().filter(|(_, due)| **due <= moment);
        let mut fallen: Vec<(i64, Id)> = due.map(|(id, due)| (*due, id.clone())).collect();
        fallen.sort_by_key(|(due, id)| {
            let (place, branch) = self.names[id.0];
            (*due, place, id.1.clone(), branch)
        });
        let mut focusing = BTreeSet::new();
        for (due, id) in fallen {
            let timing = self.rules[id.0].timing.clone();
            let (last, next) = timing.timer.map_or((due, None), |it| it.reached(due, self.clock));
            self.waiting.remove(&id);
            if let Some(next) = next {
                self.waiting.insert(id.clone(), next);
            }
            match timing.late {
                Late::Drop { grace } if self.clock - last > grace => self.missed.push((id, last)),
                _ if self.pending.contains_key(&id) => {}
                _ => {
                    let seq = self.seq();
                    let salience = self.salience(id.0, &self.found.matches[&id]);
                    if self.rules[id.0].agenda.auto_focus {
                        focusing.insert(id.0);
                    }
                    self.pending.insert(id, (salience, seq));
                }
            }
        }
        self.focus_automatically(focusing);
    }

    /// Whether a match that is new or re-armed has to wait; notes since when.
    pub(super) fn holds_back(&mut self, id: &Id) -> bool {
        let Some(timer) = self.rules[id.0].timing.timer.clone() else { return false };
        if self.pending.contains_key(id) {
            return false;
        }
        if self.waiting.contains_key(id) {
            return true;
        }
        let now = self.now();
        let Some(first) = timer.first(now) else { return true };
        let at_once = first <= now;
        let due = if at_once { timer.reached(first, now).1 } else { Some(first) };
        if let Some(due) = due {
            self.waiting.insert(id.clone(), due);
        }
        !at_once
    }
}
