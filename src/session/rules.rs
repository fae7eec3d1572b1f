//! Rules that come and go while a session is open, and answers about them.

use steadfast_engine_core::ir::{Rule, RuleDef};
use steadfast_engine_core::{Fact, Handle, RulesError, Why, WhyNot};
use steadfast_wm::{FactHandle, SafePoint};

use super::Session;
use crate::error::{Error, Result};

impl Session {
    /// Adds a rule behind all others. What is staged is evaluated first; then all matches of the new rule
    /// are pending, in the order of their facts.
    ///
    /// The change of the rules is a commit. Opening the session again needs a ruleset that has the rule in
    /// the same place (`shop().rule(extra)`); any other is a changed ruleset, for which the policy decides
    /// ([`crate::RulesPolicy`]).
    ///
    /// # Errors
    ///
    /// [`Error::Rules`] if the rule does not fit in with the others; [`Error::InTransaction`];
    /// [`Error::Evaluate`], after which the session takes no more work; the journal's errors as in [`Session::transact`].
    ///
    /// # Example
    ///
    /// ```
    /// use steadfast::prelude::*;
    /// use steadfast::ir::Rule;
    ///
    /// #[derive(Fact, Clone, Debug, PartialEq, Serialize, Deserialize)]
    /// struct Order { id: u64, amount: i64 }
    /// #[derive(Fact, Clone, Debug, PartialEq, Serialize, Deserialize)]
    /// struct Large { order: u64 }
    ///
    /// #[rule(logical)]
    /// fn large(#[when(o.amount > 1000)] o: &Order) -> Large { Large { order: o.id } }
    ///
    /// ruleset!(shop = 1: ; facts: Order);
    ///
    /// let mut session = Session::memory(shop())?;
    /// session.insert(Order { id: 7, amount: 5000 })?;
    /// session.fire_all()?;
    /// session.add_rule(&large::definition())?;
    /// assert_eq!(session.fire_all()?.count, 1);
    /// session.remove_rule(&large::definition().path)?;
    /// assert!(session.query::<Large>()?.is_empty());
    /// # Ok::<(), steadfast::Error>(())
    /// ```
    pub fn add_rule(&mut self, rule: &RuleDef) -> Result<()> {
        self.outside("add_rule")?;
        self.ready()?;
        let added = self.engine.add_rule(rule, &mut self.recorder);
        self.rules_changed(added)
    }

    /// Removes a rule by its path. What is staged is evaluated first; then its pending matches are
    /// withdrawn, and derived facts that only it supported fall. All of that is one commit.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownRule`]; else as [`Session::add_rule`].
    pub fn remove_rule(&mut self, path: &str) -> Result<()> {
        self.outside("remove_rule")?;
        self.ready()?;
        let removed = self.engine.remove_rule(path, &mut self.recorder);
        self.rules_changed(removed)
    }

    fn rules_changed(&mut self, changed: Result<(), RulesError>) -> Result<()> {
        self.failed |= self.engine.has_failed();
        changed.map_err(|error| match error {
            RulesError::Ruleset(error) => Error::Rules(error),
            RulesError::UnknownRule { path } => Error::UnknownRule { path },
            RulesError::Evaluate(error) => Error::Evaluate(error),
            error => unreachable!("the facade changes rules outside of transactions: {error}"),
        })?;
        self.commit_work(SafePoint::Evaluated)?;
        Ok(())
    }

    /// Why a fact is there: whether it is stated, and which matches derive it. `None` if it is not there;
    /// flushes first. The answer prints as text.
    ///
    /// # Errors
    ///
    /// As [`Session::flush`].
    ///
    /// # Example
    ///
    /// ```
    /// # use steadfast::prelude::*;
    /// # #[derive(Fact, Clone, Debug, PartialEq, Serialize, Deserialize)]
    /// # struct Order { id: u64, amount: i64 }
    /// # #[derive(Fact, Clone, Debug, PartialEq, Serialize, Deserialize)]
    /// # struct Large { order: u64 }
    /// # #[rule(logical)]
    /// # fn large(#[when(o.amount > 1000)] o: &Order) -> Large { Large { order: o.id } }
    /// # ruleset!(shop = 1: large);
    /// let mut session = Session::memory(shop())?;
    /// let order = session.insert(Order { id: 7, amount: 5000 })?;
    /// session.fire_all()?;
    /// let derived = session.query::<Large>()?[0].handle();
    /// let why = session.why(derived)?.expect("it is there");
    /// assert!(!why.stated);
    /// assert_eq!(why.supports[0].facts[0].1.handle, order.fact());
    /// println!("{why}");
    /// # Ok::<(), steadfast::Error>(())
    /// ```
    pub fn why<T: Fact>(&mut self, fact: impl Into<Handle<T>>) -> Result<Option<Why>> {
        let handle = fact.into();
        self.flush()?;
        Ok(self.engine.get(handle).and_then(|_| self.engine.why(handle.fact())))
    }

    /// What keeps a rule from matching certain facts: the first condition that fails, pattern by pattern.
    /// Flushes first. The answer prints as text.
    ///
    /// Each pattern takes the first of the facts that are of its type; a pattern that finds none there looks
    /// among all facts of its type.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownRule`]; [`Error::Evaluate`] if a condition panics; else as [`Session::flush`].
    ///
    /// # Example
    ///
    /// ```
    /// # use steadfast::prelude::*;
    /// # #[derive(Fact, Clone, Debug, PartialEq, Serialize, Deserialize)]
    /// # struct Order { id: u64, amount: i64 }
    /// # #[derive(Fact, Clone, Debug, PartialEq, Serialize, Deserialize)]
    /// # struct Large { order: u64 }
    /// # #[rule(logical)]
    /// # fn large(#[when(o.amount > 1000)] o: &Order) -> Large { Large { order: o.id } }
    /// # ruleset!(shop = 1: large);
    /// let mut session = Session::memory(shop())?;
    /// let order = session.insert(Order { id: 7, amount: 50 })?;
    /// let answer = session.why_not::<large>(&[order.fact()])?;
    /// assert!(answer.to_string().ends_with("o: Order f#1 fails at `o.amount > 1000`"), "{answer}");
    /// # Ok::<(), steadfast::Error>(())
    /// ```
    pub fn why_not<R: Rule>(&mut self, facts: &[FactHandle]) -> Result<WhyNot> {
        self.why_not_rule(&R::definition().path, facts)
    }

    /// As [`Session::why_not`], for a rule or query by its path.
    ///
    /// # Errors
    ///
    /// As [`Session::why_not`].
    pub fn why_not_rule(&mut self, path: &str, facts: &[FactHandle]) -> Result<WhyNot> {
        self.flush()?;
        let answer = self.engine.why_not(path, facts).map_err(Error::Evaluate)?;
        answer.ok_or_else(|| Error::UnknownRule { path: path.to_owned() })
    }
}
