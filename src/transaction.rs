//! Transactions over several steps.

use std::fmt;
use std::ops::{Deref, DerefMut};

use steadfast_txn::{SavepointId, TransactionError};
use steadfast_wm::CommitSeq;

use crate::error::{Error, Result};
use crate::session::Session;

/// A transaction over several steps: what is done until it commits is one commit, or never was.
///
/// Made by [`Session::begin`]. It dereferences to the session: what a program does with a session, it does with a
/// transaction in the same words – insert, update, advance the clock, fire, query –, and a function that takes
/// `&mut Session` can be given either. Reads see what was done. Nothing is journaled, no effect leaves and no listener
/// hears anything before [`commit`](Transaction::commit).
///
/// What is not for transactions gives [`Error::InTransaction`]: to begin another one, rules that come and go
/// ([`Session::add_rule`]), live queries ([`Session::live`], [`Session::changes`]), acknowledgements and
/// [`Session::normalize`].
///
/// A firing or an evaluation that fails leaves the transaction *failed*: every call gives [`TransactionError::Failed`]
/// until it is rolled back to a savepoint, and it does not commit. A change that is refused, as one with a stale handle,
/// leaves nothing behind, and the transaction goes on.
///
/// A transaction that is dropped is aborted, also by a panic. A crash does the same: nothing of it was journaled.
///
/// # Example
///
/// ```
/// use steadfast::prelude::*;
///
/// #[derive(Fact, Clone, PartialEq, Serialize, Deserialize)]
/// struct Order { id: u64, amount: i64 }
/// #[derive(Fact, Clone, PartialEq, Serialize, Deserialize)]
/// struct Large { order: u64 }
/// #[rule(logical)]
/// fn large(#[when(o.amount > 1000)] o: &Order) -> Large { Large { order: o.id } }
/// ruleset!(shop = 1: large);
///
/// let mut session = Session::memory(shop())?;
/// let mut t = session.begin()?;
/// let order = t.insert(Order { id: 7, amount: 5 })?;
/// let before = t.savepoint("before the raise")?;
/// t.update(order, |order| order.amount = 5000)?;
/// t.fire_all()?;
/// assert_eq!(t.query::<Large>()?.len(), 1);
/// t.rollback_to(&before)?;
/// assert_eq!(t.query::<Large>()?.len(), 0);
/// t.commit()?;
/// assert_eq!(session.get(order).map(|order| order.amount), Some(5));
/// # Ok::<(), steadfast::Error>(())
/// ```
pub struct Transaction<'a> {
    session: &'a mut Session,
}

/// Whether a transaction takes work.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum TransactionStatus {
    /// It does.
    Active,
    /// Something failed in it: it is to be rolled back to a savepoint, or aborted.
    Failed,
}

impl<'a> Transaction<'a> {
    pub(crate) fn new(session: &'a mut Session) -> Self {
        Self { session }
    }

    /// Whether it takes work.
    pub fn status(&self) -> TransactionStatus {
        match self.session.root() {
            Some(root) if !root.has_failed() => TransactionStatus::Active,
            _ => TransactionStatus::Failed,
        }
    }

    /// How many savepoints lie in each other.
    pub fn depth(&self) -> usize {
        self.session.root().map_or(0, steadfast_txn::Root::depth)
    }

    /// How much memory undoing it takes, in bytes, without what values own elsewhere. To ask takes time in proportion to
    /// the number of rules and types.
    pub fn trail_bytes(&self) -> usize {
        self.session.engine().trail_bytes()
    }

    /// Makes a savepoint: a place to which the transaction can be rolled back. Names may repeat; the id is exact.
    ///
    /// # Errors
    ///
    /// [`TransactionError::Failed`], [`TransactionError::TooLarge`]; [`TransactionError::TooDeep`] if as many lie in
    /// each other as its [limits](Session::begin_with) allow, 65,536 without.
    pub fn savepoint(&mut self, name: &str) -> Result<SavepointId> {
        self.session.savepoint_in_root(name)
    }

    /// The savepoint of this name, of several the one that was made last.
    pub fn savepoint_named(&self, name: &str) -> Option<SavepointId> {
        self.session.root()?.find(name)
    }

    /// Rolls back to the state just behind a savepoint: facts, agenda, clock, globals, effects, counters, all that a
    /// [`Session::digest`] tells apart. The savepoint stays, those that were made later are no more, and a
    /// transaction that had failed takes work again.
    ///
    /// It takes time in proportion to what changed since. Handles of facts that were inserted since are refused from now
    /// on, also when others have got their numbers.
    ///
    /// # Errors
    ///
    /// [`TransactionError::InvalidSavepoint`] for one that is no more, [`TransactionError::ForeignSavepoint`] for one of
    /// another transaction: nothing was done then. [`TransactionError::Broken`] if a function of an accumulate panicked
    /// in the middle of a step: the session takes no more work.
    pub fn rollback_to(&mut self, savepoint: &SavepointId) -> Result<()> {
        self.session.roll_root_back(savepoint)
    }

    /// Gives a savepoint up, and those that were made later. What was done since stays, and goes if what is around the
    /// savepoint is rolled back.
    ///
    /// # Errors
    ///
    /// [`TransactionError::InvalidSavepoint`], [`TransactionError::ForeignSavepoint`],
    /// [`TransactionError::Failed`].
    pub fn release(&mut self, savepoint: &SavepointId) -> Result<()> {
        self.session.release_in_root(savepoint)
    }

    /// Ends it as one commit: what is still staged is evaluated, and all that was done goes to the journal as one group,
    /// which is there as a whole after a crash, or not at all. Effects may leave from now on, listeners are told. Gives
    /// the commit's number; none if nothing has been done, or all was rolled back: then nothing happens.
    ///
    /// # Errors
    ///
    /// [`TransactionError::RolledBack`] if it had failed; [`Error::Evaluate`] if what was staged could not be evaluated;
    /// [`Error::Change`] if something of it cannot be journaled. It was aborted then, and the session goes on.
    /// [`Error::Full`], [`Error::Append`] and [`Error::Wait`] as of every commit, which was made in memory then.
    pub fn commit(self) -> Result<Option<CommitSeq>> {
        self.session.commit_root()
    }

    /// Ends it as if it had never begun. Dropping it does the same, without telling whether that worked.
    ///
    /// # Errors
    ///
    /// [`TransactionError::Broken`] as of [`Transaction::rollback_to`].
    pub fn abort(self) -> Result<()> {
        self.session.abort_root()
    }
}

impl Drop for Transaction<'_> {
    fn drop(&mut self) {
        // That it did not work the session's next call tells.
        let _told_by_the_next_call = self.session.abort_root();
    }
}

impl Deref for Transaction<'_> {
    type Target = Session;
    fn deref(&self) -> &Session {
        self.session
    }
}

impl DerefMut for Transaction<'_> {
    fn deref_mut(&mut self) -> &mut Session {
        self.session
    }
}

impl fmt::Debug for Transaction<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transaction")
            .field("status", &self.status())
            .field("depth", &self.depth())
            .finish_non_exhaustive()
    }
}

impl From<steadfast_txn::CommitError> for Error {
    fn from(error: steadfast_txn::CommitError) -> Self {
        match error {
            steadfast_txn::CommitError::Transaction(error) => Self::Transaction(error),
            steadfast_txn::CommitError::Evaluate(error) => Self::Evaluate(error),
            // The enum may grow; whatever it is, nothing was committed.
            _ => Self::Transaction(TransactionError::RolledBack),
        }
    }
}
