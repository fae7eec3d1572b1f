//! Live queries.

use std::marker::PhantomData;

use steadfast_engine_core::RowChanges;
use steadfast_engine_core::ir::Query;

use super::Session;
use crate::error::{Error, Result};

/// A subscription to the rows of a query; see [`Session::live`].
pub struct Live<Q> {
    number: u64,
    query: PhantomData<fn() -> Q>,
}

impl<Q> std::fmt::Debug for Live<Q> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Live({})", self.number)
    }
}

impl Session {
    /// Subscribes to the rows of a query: from now on [`Session::changes`] tells what each evaluation changed
    /// in them. The rows that there are now, [`Session::rows`] gives.
    ///
    /// A subscription costs what changes in its query, and nothing else does. It ends with the process. An
    /// update counts if the query's conditions read the field, or `#[watch]` names it.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownQuery`]; [`Error::InTransaction`]; else as [`Session::flush`], which comes first.
    ///
    /// # Example
    ///
    /// ```
    /// use steadfast::prelude::*;
    ///
    /// #[derive(Fact, Clone, Debug, PartialEq, Serialize, Deserialize)]
    /// struct Order { id: u64, open: bool }
    /// #[query]
    /// fn open(#[when(o.open)] o: &Order) -> u64 { o.id }
    /// ruleset!(shop = 1: ; queries: open);
    ///
    /// let mut session = Session::memory(shop())?;
    /// let live = session.live::<open>()?;
    /// let order = session.insert(Order { id: 7, open: true })?;
    /// let changes = session.changes(&live)?;
    /// assert_eq!(changes[0].added[0].1, 7);
    /// session.delete(order)?;
    /// assert_eq!(session.changes(&live)?[0].removed.len(), 1);
    /// # Ok::<(), steadfast::Error>(())
    /// ```
    pub fn live<Q: Query>(&mut self) -> Result<Live<Q>>
    where
        Q::Output: Send + 'static,
    {
        self.outside("live")?;
        self.flush()?;
        let number = self.engine.subscribe::<Q>();
        let unknown = || Error::UnknownQuery { path: Q::definition().path };
        Ok(Live { number: number.ok_or_else(unknown)?, query: PhantomData })
    }

    /// What evaluations changed in the rows of a live query since this was last asked: one entry for each
    /// evaluation that changed something. Flushes first. What a transaction did is told when it has committed.
    ///
    /// # Errors
    ///
    /// [`Error::InTransaction`]; else as [`Session::flush`].
    pub fn changes<Q: Query>(&mut self, live: &Live<Q>) -> Result<Vec<RowChanges<Q::Output>>>
    where
        Q::Output: Send + 'static,
    {
        self.outside("changes")?;
        self.flush()?;
        Ok(self.engine.take_changes::<Q>(live.number))
    }

    /// Ends a live query.
    #[expect(clippy::needless_pass_by_value, reason = "it is of no use afterwards")]
    pub fn end_live<Q: Query>(&mut self, live: Live<Q>) {
        self.engine.unsubscribe(live.number);
    }
}
