//! Transactions beside a twin that knows none: where the one makes a savepoint the other makes a copy of itself, and
//! where the one rolls back the other goes on from that copy.
//!
//! INV-76: after a roll back the digest is that of the copy, and so is the future. INV-77: what is not rolled back
//! fires, is numbered and is journaled as without a transaction, to the byte. INV-72: the journal says enough to go on
//! from.

use std::ops::ControlFlow;

use proptest::prelude::*;
use steadfast_engine_core::{Engine, RulesPolicy};
use steadfast_replay::rebuild;
use steadfast_snapshotter::{Image, normal_form};
use steadfast_txn::{Options, Root, SavepointId, TransactionError};
use steadfast_wm::codec::v1;
use steadfast_wm::{CommitSeq, SafePoint};

use crate::random::unique::{attempts, rules_of_unique_facts, steps_of_unique_facts};
use crate::random::{RuleSpec, fuse, rules, ruleset};
use crate::world::{
    Came, Deed, Log, SESSION, Transaction, cases, quiet, take, transactions, transactions_of,
};

/// An engine with its journal.
#[derive(Clone)]
struct Side {
    engine: Engine,
    log: Log,
}

/// A session, its twin, and how many commits they have made.
struct Twins {
    session: Side,
    twin: Side,
    commit: u64,
}

/// A savepoint, and what the twin was then: itself, and what it had done in the transaction.
struct Kept {
    id: SavepointId,
    twin: Side,
    done: Option<SafePoint>,
}

impl Twins {
    fn new(specs: &[RuleSpec], hears: bool) -> Self {
        let mut log = Log { hears, ..Log::default() };
        let mut engine = Engine::new(&ruleset(specs), SESSION, &mut log).unwrap();
        engine.commit(CommitSeq::new(1), SafePoint::Staged, &mut log);
        let session = Side { engine, log };
        Self { twin: session.clone(), session, commit: 1 }
    }

    fn same(&self, after: &dyn std::fmt::Debug) -> Result<(), TestCaseError> {
        let (session, twin) = (&self.session, &self.twin);
        prop_assert_eq!(session.engine.digest(), twin.engine.digest(), "after {:?}", after);
        prop_assert_eq!(&session.log, &twin.log, "after {:?}", after);
        Ok(())
    }

    fn transact(&mut self, transaction: &Transaction) -> Result<(), TestCaseError> {
        let before = self.twin.clone();
        let Side { engine, log } = &mut self.session;
        let mut root = Root::begin(engine, log, Options::default());
        let (mut kept, mut done): (Vec<Kept>, Option<SafePoint>) = (Vec::new(), None);
        for deed in &transaction.deeds {
            let Side { engine, log } = &mut self.session;
            if root.has_failed() {
                // Nothing is possible but to go back.
                prop_assert_eq!(root.check(engine), Err(TransactionError::Failed));
                prop_assert_eq!(root.savepoint(engine, log, "none"), Err(TransactionError::Failed));
                let Some(Kept { id, twin, done: then }) = kept.last() else { break };
                prop_assert_eq!(root.release(id), Err(TransactionError::Failed));
                root.rollback_to(engine, log, id).unwrap();
                (self.twin, done) = (twin.clone(), *then);
                self.same(&"a failure")?;
            }
            let Side { engine, log } = &mut self.session;
            match *deed {
                Deed::Step(step) => {
                    root.check(engine).unwrap();
                    drop(attempts());
                    let came = take(engine, step, log);
                    let tried = attempts();
                    prop_assert_eq!(came, take(&mut self.twin.engine, step, &mut self.twin.log));
                    prop_assert_eq!(tried, attempts(), "what consequences were told");
                    match came {
                        Came::Failed => root.fail(),
                        Came::Done(point) => {
                            root.did(point);
                            done = Some(point);
                        }
                    }
                }
                Deed::Panic(step, calls) => {
                    fuse::light(calls);
                    take(engine, step, log);
                    fuse::light(0);
                    root.fail();
                    continue;
                }
                Deed::Savepoint => {
                    let id = root.savepoint(engine, log, "some").unwrap();
                    kept.push(Kept { id, twin: self.twin.clone(), done });
                }
                Deed::RollBack(at) if !kept.is_empty() => {
                    let at = at % kept.len();
                    let gone: Vec<SavepointId> = kept.drain(at + 1..).map(|it| it.id).collect();
                    let Kept { id, twin, done: then } = &kept[at];
                    root.rollback_to(engine, log, id).unwrap();
                    (self.twin, done) = (twin.clone(), *then);
                    for id in gone {
                        let invalid = Err(TransactionError::InvalidSavepoint(id));
                        prop_assert_eq!(root.rollback_to(engine, log, &id), invalid);
                    }
                }
                Deed::Release(at) if !kept.is_empty() => {
                    let at = at % kept.len();
                    root.release(&kept[at].id).unwrap();
                    kept.truncate(at);
                }
                Deed::RollBack(_) | Deed::Release(_) => {}
            }
            prop_assert_eq!(root.depth(), kept.len());
            self.same(deed)?;
        }
        self.end(root, transaction.commits, (before, done))
    }

    fn end(
        &mut self,
        root: Root<(usize, usize, usize)>,
        commits: bool,
        (before, done): (Side, Option<SafePoint>),
    ) -> Result<(), TestCaseError> {
        let Side { engine, log } = &mut self.session;
        let failed = root.has_failed();
        if !commits {
            root.abort(engine, log).unwrap();
            self.twin = before;
            return self.same(&"an abort");
        }
        let next = CommitSeq::new(self.commit + 1);
        match root.commit(engine, log, next) {
            Err(_) => {
                // The twin would fail in that evaluation as well, or has failed.
                let fails = failed || self.twin.engine.flush(&mut self.twin.log).is_err();
                prop_assert!(fails, "it commits if nothing failed");
                self.twin = before;
            }
            Ok(commit) => {
                prop_assert!(!failed, "what has failed does not commit");
                prop_assert_eq!(commit, done.map(|_| next));
                if let Some(done) = done {
                    let flushed = self.twin.engine.flush(&mut self.twin.log).unwrap();
                    let evaluated = flushed || done == SafePoint::Staged;
                    let point = if evaluated { SafePoint::Evaluated } else { done };
                    self.twin.engine.commit(next, point, &mut self.twin.log);
                    self.commit += 1;
                }
            }
        }
        self.same(&"a commit")
    }

    /// What a restart would bring back, from the journal as it is or in its normal form.
    fn recovered(&self, specs: &[RuleSpec], normalized: bool) -> Engine {
        let bytes = &self.session.log.bytes;
        let normal = normalized.then(|| normal_form(bytes, true).unwrap());
        let mut rest = normal.as_deref().unwrap_or(bytes);
        let mut image = Image::default();
        while !rest.is_empty() {
            let (record, after) = v1::decode(rest).unwrap();
            image.apply(&record).unwrap();
            rest = after;
        }
        assert_eq!(image.commit().get(), self.commit);
        let mut nothing = Log::default();
        let (engine, changed) = rebuild(
            &image,
            &ruleset(specs),
            SESSION,
            RulesPolicy::Reject,
            &mut nothing,
            &mut |_| ControlFlow::Continue(()),
        )
        .unwrap();
        assert!(!changed && nothing == Log::default());
        engine
    }
}

/// Transactions one after the other; after some of them a restart.
fn live(
    specs: &[RuleSpec],
    transactions: &[Transaction],
    (hears, restarts): (bool, u8),
) -> Result<(), TestCaseError> {
    let mut twins = Twins::new(specs, hears);
    for (at, transaction) in (0..).zip(transactions) {
        twins.transact(transaction)?;
        let recovered = twins.recovered(specs, at % 2 == 0);
        prop_assert_eq!(recovered.digest(), twins.session.engine.digest(), "restart {}", at);
        if restarts >> at & 1 != 0 {
            twins.session.engine = recovered;
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(cases(5_000))]

    #[test]
    fn what_is_rolled_back_never_was_and_what_is_not_makes_no_difference(
        specs in rules(), transactions in transactions(), hears in any::<bool>(), restarts in any::<u8>(),
    ) {
        quiet();
        live(&specs, &transactions, (hears, restarts))?;
    }

    /// Who has a key is no part of a digest: but what the next one who wants it is told.
    #[test]
    fn keys_are_given_back_with_what_is_rolled_back(
        specs in rules_of_unique_facts(),
        transactions in transactions_of(steps_of_unique_facts()),
        restarts in any::<u8>(),
    ) {
        quiet();
        live(&specs, &transactions, (false, restarts))?;
    }
}
