//! What a session shows: facts, rows of queries, pending matches, its digest.

use steadfast_engine_core::ir::Query;
use steadfast_engine_core::{Engine, Fact, Handle, KeyOf, Network, Pending, Ref, Waiting};
use steadfast_wm::Digest;

use super::Session;
use crate::error::{Error, Result};
use crate::outbox::Outbox;
use crate::sink::Recorder;

impl Session {
    /// All facts of a type in the order of their handles, of the default entry point; flushes first, so that derived facts are
    /// what the rules make of everything staged. Nothing fires.
    ///
    /// # Errors
    ///
    /// As [`Session::flush`].
    pub fn query<T: Fact>(&mut self) -> Result<Vec<Ref<'_, T>>> {
        self.flush()?;
        Ok(self.engine.facts())
    }

    /// The rows of a query of the ruleset in the order of their members; flushes first.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownQuery`]; else as [`Session::flush`].
    pub fn rows<Q: Query>(&mut self) -> Result<Vec<Q::Output>> {
        self.flush()?;
        let rows = self.engine.rows::<Q>();
        rows.ok_or_else(|| Error::UnknownQuery { path: Q::definition().path })
    }

    /// The fact of the default entry point with this key, if there is one; of several the oldest. Inserted and
    /// updated facts are as they are now; what rules derive is as of the last flush.
    ///
    /// Handles are the same after a restart; keys are for whoever has none, as a message that names an order. It takes as
    /// long as a look into a hash table, however many facts there are.
    ///
    /// # Example
    ///
    /// ```
    /// # use steadfast::prelude::*;
    /// #[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
    /// #[fact(unique)]
    /// struct Account { #[fact(key)] iban: String, blocked: bool }
    /// #[rule]
    /// fn blocked(#[when(a.blocked)] a: &Account) {}
    /// ruleset!(bank = 1: blocked);
    ///
    /// let mut session = Session::memory(bank())?;
    /// session.insert(Account { iban: "XX12".to_owned(), blocked: false })?;
    /// if let Some(account) = session.find::<Account>("XX12").map(|account| account.handle()) {
    ///     session.update(account, |account| account.blocked = true)?;
    /// }
    /// assert_eq!(session.fire_all()?.count, 1);
    /// # Ok::<(), steadfast::Error>(())
    /// ```
    pub fn find<T: Fact>(&self, key: &(impl KeyOf<T> + ?Sized)) -> Option<Ref<'_, T>> {
        self.engine.find(key)
    }

    /// A fact, if it lives.
    pub fn get<T: Fact>(&self, handle: impl Into<Handle<T>>) -> Option<&T> {
        self.engine.get(handle.into())
    }

    /// A fact's typed handle from its number, if such a fact of that type lives.
    pub fn handle<T: Fact>(&self, fact: steadfast_wm::FactHandle) -> Option<Handle<T>> {
        self.engine.handle(fact)
    }

    /// How many facts live.
    pub fn fact_count(&self) -> u64 {
        self.engine.fact_count()
    }

    /// All pending matches in firing order, as of the last flush.
    pub fn pending(&self) -> Vec<Pending> {
        self.engine.pending()
    }

    /// All matches that wait for a time of the clock, by time, as of the last flush.
    pub fn waiting(&self) -> Vec<Waiting> {
        self.engine.waiting()
    }

    /// The next moment at which time brings something about, as far as the last flush knows: a program
    /// that ticks the session need not do so before.
    pub fn next_moment(&self) -> Option<i64> {
        self.engine.next_moment()
    }

    /// The networks of all rules and queries with their figures, as of the last flush; to print, as DOT
    /// or Mermaid, and to find the level at which tuples abound.
    ///
    /// ```
    /// # use steadfast::prelude::*;
    /// # #[derive(Fact, Clone, PartialEq, Serialize, Deserialize)]
    /// # struct Order { id: u64, amount: i64 }
    /// #[rule]
    /// fn large(#[when(o.amount > 1000)] o: &Order) {}
    /// # ruleset!(shop = 1: large);
    /// let mut session = Session::memory(shop())?;
    /// session.insert(Order { id: 7, amount: 5000 })?;
    /// session.flush()?;
    /// let network = session.network();
    /// assert_eq!(network.rules[0].levels[0].text, "each o: Order\no.amount > 1000");
    /// assert_eq!(network.rules[0].pending, 1);
    /// assert!(network.to_mermaid().contains("1 facts, 1 tuples; 1 in, 1 out"));
    /// # Ok::<(), steadfast::Error>(())
    /// ```
    pub fn network(&self) -> Network {
        self.engine.network()
    }

    /// Digest of everything that the session's future depends on; see [`Engine::digest`]. It never
    /// flushes.
    pub fn digest(&self) -> Digest {
        self.engine.digest()
    }

    /// A copy in memory that shares nothing which can be written: for what-if questions. Handles of
    /// this session are good in it; its effects stay in it.
    #[must_use]
    pub fn fork(&self) -> Self {
        let (outbox, recorder) = (Outbox::default(), Recorder::default());
        Self::assemble(self.engine.clone(), outbox, self.commit, recorder, None)
    }

    /// The engine, to look at.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }
}
