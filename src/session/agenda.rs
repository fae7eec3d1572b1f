//! The agenda: pending matches, and the groups that have the focus.

use super::Session;
use crate::error::Result;

impl Session {
    /// Gives an agenda group the focus: its matches fire before all others, until none of them is
    /// pending. What has the focus already keeps it. The focus survives restarts.
    ///
    /// # Errors
    ///
    /// As [`Session::transact`], with [`crate::ChangeError::UnknownGroup`] if no rule is in such a group.
    ///
    /// # Example
    ///
    /// ```
    /// # use steadfast::prelude::*;
    /// # #[derive(Fact, Clone, PartialEq, Serialize, Deserialize)]
    /// # struct Order { id: u64 }
    /// #[rule(group = "billing")]
    /// fn bill(o: &Order) {}
    /// ruleset!(shop = 1: bill);
    ///
    /// let mut session = Session::memory(shop())?;
    /// session.insert(Order { id: 1 })?;
    /// assert_eq!(session.fire_all()?.count, 0, "the group does not have the focus");
    /// session.focus("billing")?;
    /// assert_eq!(session.fire_all()?.count, 1);
    /// assert_eq!(session.focus_stack(), ["MAIN"], "nothing is left to bill");
    /// # Ok::<(), steadfast::Error>(())
    /// ```
    pub fn focus(&mut self, group: &str) -> Result<()> {
        self.transact(|stage| Ok(stage.focus(group)?))
    }

    /// Cancels all pending matches of an agenda group: they become dormant. Operations that are staged
    /// make matches pending again when they are matched, but not of rules that are lock-on-active.
    ///
    /// # Errors
    ///
    /// As [`Session::focus`].
    pub fn clear_group(&mut self, group: &str) -> Result<()> {
        self.transact(|stage| Ok(stage.clear_group(group)?))
    }

    /// Names of the agenda groups that have the focus, from `MAIN` at the bottom up to the one whose
    /// matches fire now.
    pub fn focus_stack(&self) -> Vec<&str> {
        self.engine.focus_stack()
    }
}
