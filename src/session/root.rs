//! Transactions over several steps, from the session's side.

use steadfast_journal::AppendError;
use steadfast_txn::{Options, Root, TransactionError};
use steadfast_wm::CommitSeq;

use super::Session;
use crate::error::{Error, Result};
use crate::sink::Mark;
use crate::transaction::Transaction;

impl Session {
    /// Begins a transaction: whatever is done in it is one commit, or never was.
    ///
    /// See [`Transaction`].
    ///
    /// # Errors
    ///
    /// [`Error::InTransaction`] in a transaction; [`Error::Failed`]; [`Error::Full`] while an earlier commit finds no
    /// space on the disk.
    pub fn begin(&mut self) -> Result<Transaction<'_>> {
        self.begin_with(Options::default())
    }

    /// The same with limits.
    ///
    /// # Errors
    ///
    /// As [`Session::begin`].
    pub fn begin_with(&mut self, options: Options) -> Result<Transaction<'_>> {
        self.outside("begin")?;
        self.ready()?;
        self.root = Some(Root::begin(&mut self.engine, &self.recorder, options));
        (self.recorder.in_root, self.is_watched) = (true, true);
        Ok(Transaction::new(self))
    }

    /// Does `body` in a transaction: it commits if that goes well, and is aborted if it fails or panics, which goes on
    /// then.
    ///
    /// # Errors
    ///
    /// What `body` gives back; else as [`Session::begin`] and [`Transaction::commit`].
    ///
    /// # Example
    ///
    /// ```
    /// # use steadfast::prelude::*;
    /// # #[derive(Fact, Clone, PartialEq, Serialize, Deserialize)]
    /// # struct Order { id: u64 }
    /// # ruleset!(shop = 1: ; facts: Order);
    /// let mut session = Session::memory(shop())?;
    /// let refused: Result<(), _> = session.transaction(|t| {
    ///     t.insert(Order { id: 1 })?;
    ///     t.fire_all()?;
    ///     Err(steadfast::Error::give_up("not this one"))
    /// });
    /// assert!(refused.is_err());
    /// assert_eq!(session.fact_count(), 0);
    /// # Ok::<(), steadfast::Error>(())
    /// ```
    pub fn transaction<R>(
        &mut self,
        body: impl FnOnce(&mut Transaction<'_>) -> Result<R>,
    ) -> Result<R> {
        let mut transaction = self.begin()?;
        let result = body(&mut transaction)?;
        transaction.commit()?;
        Ok(result)
    }

    /// Does `ask` in a transaction that is always aborted, and gives back what it found: no commit, no bytes in the
    /// journal, no effects. It takes time in proportion to what it changes, where a [`fork`](Session::fork) takes time
    /// in proportion to what there is.
    ///
    /// # Errors
    ///
    /// As [`Session::begin`]; [`Error::Transaction`] if what was done could not be undone.
    ///
    /// # Panics
    ///
    /// If `ask` does; everything is undone then, too.
    ///
    /// # Example
    ///
    /// ```
    /// # use steadfast::prelude::*;
    /// #[derive(Fact, Clone, PartialEq, Serialize, Deserialize)]
    /// struct Order { id: u64, amount: i64 }
    /// #[derive(Fact, Clone, PartialEq, Serialize, Deserialize)]
    /// struct Large { order: u64 }
    /// #[rule(logical)]
    /// fn large(#[when(o.amount > 1000)] o: &Order) -> Large { Large { order: o.id } }
    /// ruleset!(shop = 1: large);
    ///
    /// let mut session = Session::memory(shop())?;
    /// let order = session.insert(Order { id: 7, amount: 5 })?;
    /// let larges = session.what_if(|t| {
    ///     t.update(order, |order| order.amount = 5000)?;
    ///     t.fire_all()?;
    ///     Ok::<_, steadfast::Error>(t.query::<Large>()?.len())
    /// })??;
    /// assert_eq!((larges, session.query::<Large>()?.len()), (1, 0));
    /// # Ok::<(), steadfast::Error>(())
    /// ```
    pub fn what_if<R>(&mut self, ask: impl FnOnce(&mut Transaction<'_>) -> R) -> Result<R> {
        let mut transaction = self.begin()?;
        let answer = ask(&mut transaction);
        transaction.abort()?;
        Ok(answer)
    }

    /// Says that this call is not for transactions.
    #[inline]
    pub(super) fn outside(&self, call: &'static str) -> Result<()> {
        if self.root.is_some() { Err(Error::InTransaction { call }) } else { Ok(()) }
    }

    /// Whether the transaction that is open takes work.
    pub(super) fn root_ready(&self) -> Result<()> {
        if self.failed {
            return Err(Error::Failed);
        }
        let root = self.root.as_ref();
        Ok(root.map_or(Ok(()), |root| root.check(&self.engine))?)
    }

    /// The transaction that is open.
    pub(crate) fn root(&self) -> Option<&Root<Mark>> {
        self.root.as_ref()
    }

    pub(crate) fn savepoint_in_root(&mut self, name: &str) -> Result<steadfast_txn::SavepointId> {
        self.root_ready()?;
        let root = self.root.as_mut().ok_or(Error::Failed)?;
        Ok(root.savepoint(&mut self.engine, &self.recorder, name)?)
    }

    pub(crate) fn roll_root_back(&mut self, id: &steadfast_txn::SavepointId) -> Result<()> {
        let root = self.root.as_mut().ok_or(Error::Failed)?;
        let done = root.rollback_to(&mut self.engine, &mut self.recorder, id);
        self.failed |= done == Err(TransactionError::Broken);
        Ok(done?)
    }

    pub(crate) fn release_in_root(&mut self, id: &steadfast_txn::SavepointId) -> Result<()> {
        let root = self.root.as_mut().ok_or(Error::Failed)?;
        Ok(root.release(id)?)
    }

    /// Ends the transaction that is open, if one is, as a commit.
    pub(crate) fn commit_root(&mut self) -> Result<Option<CommitSeq>> {
        if let Some(why) = self.unwritable() {
            self.abort_root()?;
            return Err(why);
        }
        let Some(root) = self.take_root() else { return Ok(None) };
        let next = CommitSeq::new(self.commit.get() + 1);
        let committed = root.commit(&mut self.engine, &mut self.recorder, next);
        self.failed |= self.engine.has_failed();
        let Some(commit) = committed? else { return Ok(None) };
        self.publish(commit)?;
        Ok(Some(commit))
    }

    fn take_root(&mut self) -> Option<Root<Mark>> {
        let root = self.root.take();
        (self.recorder.in_root, self.is_watched) = (false, self.writer.is_some());
        root
    }

    /// Why the journal would not take what the transaction did, as far as that is known before.
    fn unwritable(&mut self) -> Option<Error> {
        if let Some(refused) = &self.recorder.refused {
            return Some(Self::refused(refused));
        }
        let bytes = self.recorder.batch.as_ref()?.byte_len();
        let max = self.writer.as_ref()?.commit_bytes_max();
        (bytes > max).then_some(Error::Append(AppendError::GroupTooLong { bytes, max }))
    }

    /// Ends the transaction that is open, if one is, as if it had never begun.
    pub(crate) fn abort_root(&mut self) -> Result<()> {
        let Some(root) = self.take_root() else { return Ok(()) };
        let aborted = root.abort(&mut self.engine, &mut self.recorder);
        self.failed |= aborted.is_err();
        Ok(aborted?)
    }
}
