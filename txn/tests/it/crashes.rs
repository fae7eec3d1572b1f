//! Transactions on a simulated disk that loses its power, or their process, in the middle of any I/O call.
//!
//! INV-71: what comes back is the end of a transaction, never its middle; none that was acknowledged is missing, and
//! of those that were aborted or rolled back there is no trace. INV-72: it goes on as if it had never stopped.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use proptest::prelude::*;
use steadfast_engine_core::{ActionSink, ChangeError, Engine, RulesPolicy};
use steadfast_journal::testing::{Seeded, SimDisk};
use steadfast_journal::{Batch, BatchMark, Journal, Level, Options as JournalOptions};
use steadfast_replay::recover;
use steadfast_txn::{MarkedSink, Options, Root};
use steadfast_wm::codec::v1;
use steadfast_wm::{CommitSeq, Record, SafePoint, SessionId};

use crate::random::{RuleSpec, Step, rules, ruleset, stage};
use crate::world::{Came, Deed, Transaction, cases, quiet, take, transactions};

const DIR: &str = "/session";

#[derive(Default)]
struct Writer(Batch);

impl ActionSink for Writer {
    fn record(&mut self, record: &Record<'_>) {
        self.0.push_with(|bytes| v1::encode(record, bytes)).unwrap();
    }
}

impl MarkedSink for Writer {
    type Mark = BatchMark;

    fn mark(&self) -> BatchMark {
        self.0.mark()
    }

    fn cut(&mut self, mark: &BatchMark) {
        self.0.truncate(*mark);
    }
}

/// A session on a disk, with a memory of what it was after every commit.
struct Session {
    disk: SimDisk,
    journal: Journal,
    engine: Engine,
    commit: u64,
    level: Level,
    /// By commit: the engine as it was; 0 stands for "no session".
    history: Vec<Option<Engine>>,
    acknowledged: usize,
}

impl Session {
    /// Opens what the disk holds; `None` if the disk stops meanwhile.
    fn open(
        disk: &SimDisk,
        specs: &[RuleSpec],
        level: Level,
        history: Vec<Option<Engine>>,
    ) -> Option<Self> {
        let storage = Arc::new(disk.clone());
        let options = JournalOptions::new().storage(storage).level(level).segment_bytes(64 << 10);
        let (journal, _) = match Journal::open(Path::new(DIR), options.without_background()) {
            Ok(opened) => opened,
            Err(_) if disk.has_crashed() => return None,
            Err(error) => panic!("a disk that only lost its power refuses: {error:?}"),
        };
        let mut writer = Writer::default();
        let go_on = &mut |_| ControlFlow::Continue(());
        let rules = ruleset(specs);
        let recovered = match recover(&journal, &rules, RulesPolicy::Reject, &mut writer, go_on) {
            Ok(recovered) => recovered,
            Err(_) if disk.has_crashed() => return None,
            Err(error) => panic!("what the journal kept cannot be recovered: {error:?}"),
        };
        assert!(writer.0.is_empty(), "recovery itself is not journaled");
        let disk = disk.clone();
        if let Some(recovered) = recovered {
            let (engine, commit) = (recovered.engine, recovered.image.commit().get());
            let acknowledged = usize::try_from(commit).unwrap();
            return Some(Self { disk, journal, engine, commit, level, history, acknowledged });
        }
        let id = SessionId::from_bytes(*journal.session().as_bytes());
        let mut engine = Engine::new(&rules, id, &mut writer).unwrap();
        engine.commit(CommitSeq::new(1), SafePoint::Staged, &mut writer);
        let (commit, acknowledged) = (0, 0);
        let mut session = Self { disk, journal, engine, commit, level, history, acknowledged };
        session.append(&writer);
        Some(session)
    }

    /// Appends what a commit has recorded.
    fn append(&mut self, writer: &Writer) {
        self.commit += 1;
        let at = usize::try_from(self.commit).unwrap();
        self.history.truncate(at);
        self.history.push(Some(self.engine.clone()));
        // A process that is gone acknowledges nothing, whatever its code went on to believe.
        if self.journal.commit(&writer.0, self.level).is_ok() && !self.disk.has_crashed() {
            self.acknowledged = at;
        }
    }

    fn transact(&mut self, transaction: &Transaction) {
        let mut writer = Writer::default();
        let next = CommitSeq::new(self.commit + 1);
        if transact(&mut self.engine, transaction, next, &mut writer) {
            self.append(&writer);
        } else {
            assert!(writer.0.is_empty(), "what is undone leaves nothing to journal");
        }
    }
}

/// Does a transaction on an engine; says whether there is a commit of it.
fn transact(
    engine: &mut Engine,
    transaction: &Transaction,
    commit: CommitSeq,
    writer: &mut Writer,
) -> bool {
    let mut root = Root::begin(engine, writer, Options::default());
    let mut kept = Vec::new();
    for &deed in &transaction.deeds {
        if root.has_failed() {
            let Some(id) = kept.last() else { break };
            root.rollback_to(engine, writer, id).unwrap();
        }
        match deed {
            Deed::Step(step) | Deed::Panic(step, _) => match take_drafted(engine, step, writer) {
                Came::Done(point) => root.did(point),
                Came::Failed => root.fail(),
            },
            Deed::Savepoint => kept.push(root.savepoint(engine, writer, "").unwrap()),
            Deed::RollBack(at) if !kept.is_empty() => {
                kept.truncate(at % kept.len() + 1);
                root.rollback_to(engine, writer, kept.last().unwrap()).unwrap();
            }
            Deed::Release(at) if !kept.is_empty() => {
                let at = at % kept.len();
                root.release(&kept[at]).unwrap();
                kept.truncate(at);
            }
            Deed::RollBack(_) | Deed::Release(_) => {}
        }
    }
    if transaction.commits {
        return matches!(root.commit(engine, writer, commit), Ok(Some(_)));
    }
    root.abort(engine, writer).unwrap();
    false
}

/// Takes a step; what is staged by way of drafts.
fn take_drafted(engine: &mut Engine, step: Step, writer: &mut Writer) -> Came {
    if let Step::Flush | Step::Advance(_) | Step::Fire(_) | Step::FireFiltered(_) = step {
        return take(engine, step, writer);
    }
    let staged = engine.stage(writer, |view| {
        stage(step, view);
        Ok::<(), ChangeError>(())
    });
    staged.unwrap();
    Came::Done(SafePoint::Staged)
}

/// What a crash does: after so many I/O calls that change something, to the process or the whole machine.
#[derive(Clone, Copy, Debug)]
struct Crash {
    after: u64,
    power: bool,
    seed: u64,
}

fn crashes() -> impl Strategy<Value = Vec<Crash>> {
    let crash = (0..40_u64, any::<bool>(), any::<u64>());
    prop::collection::vec(crash.prop_map(|(after, power, seed)| Crash { after, power, seed }), 1..5)
}

/// The session is that of a commit, and of none before the last acknowledged one.
fn check(session: &Session, at_least: usize) -> Result<(), TestCaseError> {
    let commit = usize::try_from(session.commit).unwrap();
    prop_assert!(commit >= at_least, "commit {} of {} acknowledged", commit, at_least);
    prop_assert!(commit < session.history.len(), "commit {} was never made", commit);
    if let Some(engine) = &session.history[commit] {
        prop_assert_eq!(session.engine.digest(), engine.digest(), "state of commit {}", commit);
    }
    Ok(())
}

fn live(
    specs: &[RuleSpec],
    transactions: &[Transaction],
    crashes: &[Crash],
) -> Result<(), TestCaseError> {
    let mut disk = SimDisk::new(7);
    let (mut history, mut at_least) = (vec![None], 0);
    let mut pending = transactions.iter();
    for crash in crashes {
        let level = if crash.power { Level::Batch } else { Level::Process };
        disk.crash_after(crash.after);
        // The process is gone: nobody closes anything in order.
        let mut killed = None;
        if let Some(mut session) = Session::open(&disk, specs, level, history.clone()) {
            check(&session, at_least)?;
            while !disk.has_crashed()
                && let Some(transaction) = pending.next()
            {
                session.transact(transaction);
            }
            // What a kill would have kept, a power cut need not.
            at_least = if crash.power { session.acknowledged } else { at_least };
            history.clone_from(&session.history);
            killed = Some(session);
        }
        disk = if crash.power { disk.power_cut(&mut Seeded::new(crash.seed)) } else { disk.kill() };
        drop(killed);
    }
    let session = Session::open(&disk, specs, Level::Batch, history);
    let mut session = session.expect("this disk does not stop");
    check(&session, at_least)?;
    let commit = usize::try_from(session.commit).unwrap();
    let Some(mut twin) = session.history[commit].clone() else { return Ok(()) };
    for transaction in transactions {
        let next = CommitSeq::new(session.commit + 1);
        session.transact(transaction);
        transact(&mut twin, transaction, next, &mut Writer::default());
        prop_assert_eq!(session.engine.digest(), twin.digest(), "after {:?}", transaction);
    }
    Ok(())
}

proptest! {
    #![proptest_config(cases(1_000))]

    #[test]
    fn what_comes_back_after_a_crash_is_the_end_of_a_transaction(
        specs in rules(), transactions in prop::collection::vec(transactions(), 1..3), crashes in crashes(),
    ) {
        quiet();
        live(&specs, &transactions.concat(), &crashes)?;
    }
}
