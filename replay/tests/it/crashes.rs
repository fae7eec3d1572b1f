//! Sessions on a simulated disk that loses its power, or their process, in the middle of any I/O call.
//!
//! Laws L1 and L2 (INV-71, INV-72): what comes back is the state of one commit, none that was acknowledged is missing,
//! none that was never appended is there, and the future from it is the one that it always had. A
//! second crash, during recovery, changes nothing.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use proptest::prelude::*;
use steadfast_engine_core::{ActionSink, ChangeError, Engine, RestoreError, RulesPolicy};
use steadfast_journal::testing::{Seeded, SimDisk};
use steadfast_journal::{Batch, Journal, Level, Options};
use steadfast_replay::{RebuildError, RecoverError, Recovered, recover};
use steadfast_wm::codec::v1;
use steadfast_wm::{CommitSeq, Record, SafePoint, SessionId};

use crate::changing::{Changes, Present};
use crate::random::{RuleSpec, Step, fire, rules, stage, steps};
use crate::recovered::{cases, quiet};

const DIR: &str = "/session";

#[derive(Default)]
struct Writer(Batch);

impl ActionSink for Writer {
    fn record(&mut self, record: &Record<'_>) {
        self.0.push_with(|bytes| v1::encode(record, bytes)).unwrap();
    }
}

/// A session on a disk, with a memory of what it was after every commit.
struct Session {
    disk: SimDisk,
    journal: Journal,
    engine: Engine,
    /// The rules that it works under.
    present: Present,
    commit: u64,
    level: Level,
    /// By commit: the engine as it was, for the digest and the future; 0 stands for "no session".
    history: Vec<Option<Engine>>,
    /// The last commit that was acknowledged.
    acknowledged: usize,
}

fn options(disk: &SimDisk, level: Level) -> Options {
    let storage = Arc::new(disk.clone());
    Options::new().storage(storage).level(level).segment_bytes(64 << 10).without_background()
}

impl Session {
    /// Opens what the disk holds; `None` if the disk stops meanwhile.
    fn open(
        disk: &SimDisk,
        (specs, changes): (&[RuleSpec], Changes),
        level: Level,
        history: Vec<Option<Engine>>,
    ) -> Option<Self> {
        let opened = Journal::open(Path::new(DIR), options(disk, level));
        let (journal, _) = match opened {
            Ok(opened) => opened,
            Err(_) if disk.has_crashed() => return None,
            Err(error) => panic!("a disk that only lost its power refuses: {error:?}"),
        };
        let (recovered, present) = match recover_any(&journal, specs) {
            Ok(recovered) => recovered,
            Err(_) if disk.has_crashed() => return None,
            Err(error) => panic!("what the journal kept cannot be recovered: {error:?}"),
        };
        let (engine, commit) = if let Some(recovered) = recovered {
            (recovered.engine, recovered.image.commit().get())
        } else {
            let mut first = Writer::default();
            let session = SessionId::from_bytes(*journal.session().as_bytes());
            let present = changes.start();
            let engine = Engine::new(&present.of(specs), session, &mut first).unwrap();
            let mut session = Self {
                disk: disk.clone(),
                journal,
                engine,
                present,
                commit: 0,
                level,
                history,
                acknowledged: 0,
            };
            session.commit(first, SafePoint::Staged);
            return Some(session);
        };
        let acknowledged = usize::try_from(commit).unwrap();
        let disk = disk.clone();
        Some(Self { disk, journal, engine, present, commit, level, history, acknowledged })
    }

    fn commit(&mut self, mut writer: Writer, point: SafePoint) {
        self.commit += 1;
        self.engine.commit(CommitSeq::new(self.commit), point, &mut writer);
        let at = usize::try_from(self.commit).unwrap();
        self.history.truncate(at);
        self.history.push(Some(self.engine.clone()));
        // A process that is gone acknowledges nothing, whatever its code went on to believe.
        if self.journal.commit(&writer.0, self.level).is_ok() && !self.disk.has_crashed() {
            self.acknowledged = at;
        }
    }

    /// What is due before a step becomes of the rules, with a commit of its own. If a crash takes that
    /// commit back, it is not due again.
    fn change(&mut self, changes: Changes, before: usize, specs: &[RuleSpec]) {
        let mut writer = Writer::default();
        let session = (&mut self.engine, &mut self.present);
        if changes.make(before, specs, session, &mut writer) {
            self.commit(writer, SafePoint::Evaluated);
        }
    }

    fn step(&mut self, step: Step) {
        let mut writer = Writer::default();
        let point = apply(&mut self.engine, step, &mut writer);
        self.commit(writer, point);
    }
}

/// Recovers under the rules that the session had last, which the journal knows.
fn recover_any(
    journal: &Journal,
    specs: &[RuleSpec],
) -> Result<(Option<Recovered>, Present), RecoverError> {
    let mut nothing = Writer::default();
    let mut attempts = Present::ALL.into_iter().map(|present| {
        let go_on = &mut |_| ControlFlow::Continue(());
        let rules = present.of(specs);
        let recovered = recover(journal, &rules, RulesPolicy::Reject, &mut nothing, go_on);
        assert!(nothing.0.is_empty(), "recovery itself is not journaled");
        recovered.map(|recovered| (recovered, present))
    });
    let fits = |outcome: &Result<_, RecoverError>| match outcome {
        Err(RecoverError::Rebuild(RebuildError::Restore(error))) => {
            !matches!(error, RestoreError::RulesChanged(_))
        }
        _ => true,
    };
    attempts.find(fits).expect("the rules are some of those there ever were")
}

fn apply(engine: &mut Engine, step: Step, writer: &mut Writer) -> SafePoint {
    match step {
        Step::Flush => {
            engine.flush(writer).unwrap();
            SafePoint::Evaluated
        }
        Step::Advance(by) => {
            engine.advance_clock(engine.now() + by, writer).unwrap();
            SafePoint::Evaluated
        }
        Step::Fire(limit) => {
            drop(fire(engine, limit, false, writer));
            SafePoint::Fired
        }
        Step::FireFiltered(limit) => {
            drop(fire(engine, limit, true, writer));
            SafePoint::Fired
        }
        _ => {
            let view = |view: &mut steadfast_engine_core::Stage<'_>| {
                stage(step, view);
                Ok::<(), ChangeError>(())
            };
            engine.stage(writer, view).unwrap();
            SafePoint::Staged
        }
    }
}

/// What a crash does.
#[derive(Clone, Copy, Debug)]
struct Crash {
    /// After so many I/O calls that change something.
    after: u64,
    /// Whether the power goes, not only the process.
    power: bool,
    /// Whether the recovery is stopped by a crash of its own, and after how many calls.
    again: Option<u64>,
    seed: u64,
}

impl Crash {
    fn of(self, disk: &SimDisk) -> SimDisk {
        if self.power { disk.power_cut(&mut Seeded::new(self.seed)) } else { disk.kill() }
    }
}

fn crash_strategy() -> impl Strategy<Value = Crash> {
    (0..60_u64, any::<bool>(), prop::option::of(0..20_u64), any::<u64>())
        .prop_map(|(after, power, again, seed)| Crash { after, power, again, seed })
}

fn run(
    (specs, changes): (&[RuleSpec], Changes),
    steps: &[Step],
    crashes: &[Crash],
    level: Level,
) -> Result<(), TestCaseError> {
    let mut disk = SimDisk::new(7);
    let mut history = vec![None];
    let mut at_least = 0;
    let mut pending = steps.iter().copied().enumerate();
    for &crash in crashes {
        disk.crash_after(crash.after);
        let of = (specs, changes);
        // The process is gone: nobody closes anything in order. What it held is given back when another disk
        // has taken over.
        let mut killed = Vec::new();
        if let Some(mut session) = Session::open(&disk, of, level, history.clone()) {
            check(&session, at_least)?;
            while !disk.has_crashed()
                && let Some((at, step)) = pending.next()
            {
                session.change(changes, at, specs);
                session.step(step);
            }
            at_least = session.acknowledged;
            history.clone_from(&session.history);
            killed.push(session);
        }
        disk = crash.of(&disk);
        killed.clear();
        if let Some(after) = crash.again {
            disk.crash_after(after);
            killed.extend(Session::open(&disk, of, level, history.clone()));
            disk = crash.of(&disk);
            killed.clear();
        }
    }
    let session = Session::open(&disk, (specs, changes), level, history);
    let session = session.expect("this disk does not stop");
    check(&session, at_least)?;
    future(session, steps)
}

/// The recovered session is that of a commit, and of none before the last acknowledged one.
fn check(session: &Session, at_least: usize) -> Result<(), TestCaseError> {
    let commit = usize::try_from(session.commit).unwrap();
    prop_assert!(commit >= at_least, "commit {} of {} acknowledged", commit, at_least);
    prop_assert!(commit < session.history.len(), "commit {} was never made", commit);
    if let Some(engine) = &session.history[commit] {
        prop_assert_eq!(session.engine.digest(), engine.digest(), "state of commit {}", commit);
    }
    Ok(())
}

/// From there on it behaves like a session that never stopped.
fn future(mut session: Session, steps: &[Step]) -> Result<(), TestCaseError> {
    let commit = usize::try_from(session.commit).unwrap();
    let Some(mut twin) = session.history[commit].clone() else { return Ok(()) };
    for &step in steps {
        session.step(step);
        apply(&mut twin, step, &mut Writer::default());
        prop_assert_eq!(session.engine.digest(), twin.digest(), "after {:?}", step);
    }
    Ok(())
}

proptest! {
    #![proptest_config(cases(1_000))]

    #[test]
    fn what_comes_back_after_power_cuts_is_an_acknowledged_state_or_a_later_one(
        specs in rules(),
        changes in Changes::any(),
        steps in steps(),
        crashes in prop::collection::vec(crash_strategy(), 1..4),
    ) {
        quiet();
        run((&specs, changes), &steps, &crashes, Level::Batch)?;
    }

    #[test]
    fn what_comes_back_after_kills_is_an_acknowledged_state_or_a_later_one(
        specs in rules(),
        changes in Changes::any(),
        steps in steps(),
        mut crashes in prop::collection::vec(crash_strategy(), 1..4),
    ) {
        quiet();
        crashes.iter_mut().for_each(|crash| crash.power = false);
        run((&specs, changes), &steps, &crashes, Level::Process)?;
    }
}
