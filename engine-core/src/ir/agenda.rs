//! What a rule says of its turn on the agenda beside its salience.

use std::fmt;
use std::sync::Arc;

use crate::ir::RuleBuilder;
use crate::then::Row;

/// The agenda group of rules that name none. It is always at the bottom of the focus and never leaves it.
pub const MAIN: &str = "MAIN";

/// Decides for a match that is about to fire whether it does.
pub type EnabledFn = Arc<dyn Fn(&Row<'_>) -> bool + Send + Sync>;

/// Where the matches of a rule stand on the agenda, and what keeps them from it or from firing.
#[derive(Clone, Debug)]
pub struct AgendaAttributes {
    /// Name of the agenda group; [`MAIN`] without.
    pub group: String,
    /// Whether the group gets the focus when a match of the rule becomes pending.
    pub auto_focus: bool,
    /// Whether matches stay dormant that are triggered while the group is active.
    pub lock_on_active: bool,
    /// Whether matches stay dormant that the rule itself triggers.
    pub no_loop: bool,
    /// Name of the activation group, of which one match fires and cancels all others.
    pub activation_group: Option<String>,
    /// Decides when a match is about to fire; those that it refuses are used up.
    pub enabled: Option<Enabled>,
}

impl Default for AgendaAttributes {
    fn default() -> Self {
        Self {
            group: MAIN.to_owned(),
            auto_focus: false,
            lock_on_active: false,
            no_loop: false,
            activation_group: None,
            enabled: None,
        }
    }
}

/// A condition that is asked when a match is about to fire, not when it is matched.
#[derive(Clone)]
pub struct Enabled {
    /// The expression as written.
    pub text: String,
    /// The expression itself.
    pub evaluate: EnabledFn,
}

impl fmt::Debug for Enabled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl RuleBuilder {
    /// Puts the rule into an agenda group; [`MAIN`] without.
    #[must_use]
    pub fn group(mut self, group: impl Into<String>) -> Self {
        self.agenda.group = group.into();
        self
    }

    /// Gives the rule's group the focus whenever a match of the rule becomes pending.
    #[must_use]
    pub fn auto_focus(mut self) -> Self {
        self.agenda.auto_focus = true;
        self
    }

    /// Keeps matches dormant that are triggered while the rule's group is active, by whatever it is.
    #[must_use]
    pub fn lock_on_active(mut self) -> Self {
        self.agenda.lock_on_active = true;
        self
    }

    /// Keeps matches dormant that the rule itself triggers.
    #[must_use]
    pub fn no_loop(mut self) -> Self {
        self.agenda.no_loop = true;
        self
    }

    /// Puts the rule into an activation group: one of its matches fires and cancels all others.
    #[must_use]
    pub fn activation_group(mut self, group: impl Into<String>) -> Self {
        self.agenda.activation_group = Some(group.into());
        self
    }

    /// Asks `enabled` when a match is about to fire; if it says no, the match is used up without firing.
    ///
    /// A panic in it stops the run with the match still pending.
    #[must_use]
    pub fn enabled(
        mut self,
        text: &str,
        enabled: impl Fn(&Row<'_>) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.agenda.enabled = Some(Enabled { text: text.to_owned(), evaluate: Arc::new(enabled) });
        self
    }
}
