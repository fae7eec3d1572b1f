//! What a recovery tells on its way and of what it found, and that it can be stopped anywhere.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use proptest::strategy::{Strategy as _, ValueTree as _};
use proptest::test_runner::TestRunner;
use steadfast_engine_core::ir::Ruleset;
use steadfast_engine_core::{ActionSink, Engine, Global, RestoreError, RulesPolicy};
use steadfast_journal::testing::SimDisk;
use steadfast_journal::{Batch, End, From, Journal, Level, Options};
use steadfast_replay::{Phase, Progress, RebuildError, RecoverError, Recovered, rebuild, recover};
use steadfast_snapshotter::Image;
use steadfast_wm::codec::v1;
use steadfast_wm::{CommitSeq, Counters, Record, SafePoint, SessionId};

use crate::random::{Kind, Step, rules, ruleset, stage_on};

#[derive(Default)]
struct Writer(Batch);

impl ActionSink for Writer {
    fn record(&mut self, record: &Record<'_>) {
        self.0.push_with(|bytes| v1::encode(record, bytes)).unwrap();
    }
}

/// Two random rules, the same each time.
fn some_rules() -> Ruleset {
    let mut runner = TestRunner::deterministic();
    let mut specs = || rules().new_tree(&mut runner).unwrap().current();
    std::iter::repeat_with(|| ruleset(&specs())).find(|rules| rules.rules().len() == 2).unwrap()
}

fn open(disk: &SimDisk) -> Journal {
    let options = Options::new().storage(Arc::new(disk.clone())).without_background();
    Journal::open(Path::new("/session"), options).unwrap().0
}

/// A session under these rules: so many commits of so many facts each.
fn session(rules: &Ruleset, commits: u64, facts: i64) -> Journal {
    let journal = open(&SimDisk::new(1));
    let mut writer = Writer::default();
    let id = SessionId::from_bytes(*journal.session().as_bytes());
    let mut engine = Engine::new(rules, id, &mut writer).unwrap();
    for commit in 1..=commits {
        for key in 0..facts {
            stage_on(&mut engine, Step::Insert(Kind::A, key, 1), &mut writer);
        }
        engine.flush(&mut writer).unwrap();
        engine.commit(CommitSeq::new(commit), SafePoint::Evaluated, &mut writer);
        journal.append(&writer.0, End::SafePoint).unwrap();
        writer.0.clear();
    }
    journal.wait(journal.positions().appended, Level::Process).unwrap();
    journal
}

/// Recovers, and stops after so many calls of the progress; gives what these said.
fn recover_until(
    journal: &Journal,
    rules: &Ruleset,
    calls: usize,
) -> (Result<Option<Recovered>, RecoverError>, Vec<Progress>) {
    let mut told = Vec::new();
    let mut progress = |progress| {
        told.push(progress);
        if told.len() > calls { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let mut nothing = Writer::default();
    let recovered = recover(journal, rules, RulesPolicy::Reject, &mut nothing, &mut progress);
    assert!(nothing.0.is_empty(), "recovery itself is not journaled");
    (recovered, told)
}

fn of_phase(told: &[Progress], phase: Phase) -> Vec<(u64, u64)> {
    let of = told.iter().filter(|progress| progress.phase == phase);
    of.map(|progress| (progress.done, progress.total)).collect()
}

#[test]
fn a_recovery_tells_how_far_it_has_come() {
    let rules = ruleset(&[]);
    let journal = session(&rules, 1100, 8);
    let (recovered, told) = recover_until(&journal, &rules, usize::MAX);
    assert_eq!(recovered.unwrap().unwrap().engine.fact_count(), 8800);
    let end = journal.positions().appended.get();
    let [(middle, total), last] = of_phase(&told, Phase::Fold)[..] else { panic!("{told:?}") };
    // After 1,024 of 1,100 groups of about the same length.
    assert!(total == end && end * 9 / 10 < middle && middle < end, "{middle} of {total}");
    assert_eq!(last, (end, end));
    let facts = [0, 4096, 8192, 8800].map(|done| (done, 8800));
    assert_eq!(of_phase(&told, Phase::Facts), facts);
    assert_eq!(of_phase(&told, Phase::Network), [(0, 0)]);
    assert!(told.is_sorted_by_key(|progress| match progress.phase {
        Phase::Fold => 0,
        Phase::Facts => 1,
        Phase::Network => 2,
    }));
    let rules = some_rules();
    let (recovered, told) = recover_until(&session(&rules, 3, 2), &rules, usize::MAX);
    recovered.unwrap().unwrap();
    let matching = of_phase(&told, Phase::Network);
    // Branches count as rules.
    let total = matching[0].1;
    assert!(total >= 2 && matching == (0..=total).map(|done| (done, total)).collect::<Vec<_>>());
}

#[test]
fn progress_is_told_for_people() {
    let shown = |phase| Progress { phase, done: 3, total: 17 }.to_string();
    assert_eq!(shown(Phase::Fold), "reading the journal: 3 of 17 bytes");
    assert_eq!(shown(Phase::Facts), "restoring facts: 3 of 17 facts");
    assert_eq!(shown(Phase::Network), "matching: 3 of 17 rules");
}

#[test]
fn a_recovery_that_is_stopped_anywhere_gives_no_engine() {
    let rules = some_rules();
    let journal = session(&rules, 3, 2);
    let (_, told) = recover_until(&journal, &rules, usize::MAX);
    for calls in 0..told.len() - 1 {
        let (stopped, so_far) = recover_until(&journal, &rules, calls);
        assert_eq!(so_far, told[..=calls], "nothing is done any more");
        let as_asked = match told[calls].phase {
            Phase::Fold => matches!(stopped, Err(RecoverError::Fold(_))),
            Phase::Facts | Phase::Network => matches!(
                stopped,
                Err(RecoverError::Rebuild(RebuildError::Restore(RestoreError::Stopped)))
            ),
        };
        assert!(as_asked, "{:?}: {stopped:?}", told[calls]);
    }
}

#[test]
fn a_recovery_says_what_it_found() {
    let rules = some_rules();
    let journal = session(&rules, 3, 2);
    let mut reader = journal.read(From::Start).unwrap();
    let mut count = 0;
    while let Some(group) = reader.next_group().unwrap() {
        count += group.record_count() as u64;
    }
    let (recovered, _) = recover_until(&journal, &rules, usize::MAX);
    let Recovered { engine, image, rules_changed, records } = recovered.unwrap().unwrap();
    assert_eq!(engine.session(), SessionId::from_bytes(*journal.session().as_bytes()));
    assert_eq!((image.commit(), rules_changed, records), (CommitSeq::new(3), false, count));
    let mut writer = Writer::default();
    let go_on = &mut |_| ControlFlow::Continue(());
    let other = ruleset(&[]);
    let changed = recover(&journal, &other, RulesPolicy::KeepFired, &mut writer, go_on);
    assert!(changed.unwrap().unwrap().rules_changed && !writer.0.is_empty());
    assert!(
        recover_until(&open(&SimDisk::new(2)), &rules, usize::MAX)
            .0
            .is_ok_and(|found| found.is_none())
    );
}

/// INV-72: what is not complete is no session.
#[test]
fn an_image_in_the_middle_of_a_commit_is_no_session() {
    let rules = some_rules();
    let mut writer = Writer::default();
    let id = SessionId::from_bytes([7; 16]);
    let mut engine = Engine::new(&rules, id, &mut writer).unwrap();
    engine.commit(CommitSeq::new(1), SafePoint::Staged, &mut writer);
    stage_on(&mut engine, Step::Insert(Kind::A, 1, 1), &mut writer);
    engine.commit(CommitSeq::new(2), SafePoint::Staged, &mut writer);
    let mut image = Image::default();
    let mut whole = Vec::new();
    for record in [None].into_iter().chain(writer.0.records().map(Some)) {
        if let Some(record) = record {
            let record = v1::decode_payload(record.tag(), record.version(), record.payload());
            let record = record.unwrap();
            image.apply(&record).unwrap();
            whole.push(matches!(record, Record::Commit { .. }));
        }
        let go_on = &mut |_| ControlFlow::Continue(());
        let mut nothing = Writer::default();
        let policy = RulesPolicy::Reject;
        match rebuild(&image, &rules, id, policy, &mut nothing, go_on) {
            Ok(_) => assert_eq!(whole.last(), Some(&true)),
            Err(RebuildError::Incomplete) => assert_ne!(whole.last(), Some(&true)),
            Err(other) => panic!("{other:?}"),
        }
    }
    assert_eq!(whole.iter().filter(|is_whole| **is_whole).count(), 2);
}

/// Handles, numbers, firings and random numbers go on where they were.
#[test]
fn every_counter_comes_back() {
    let rules = ruleset(&[]);
    let mut writer = Writer::default();
    let id = SessionId::from_bytes([7; 16]);
    let mut engine = Engine::new(&rules, id, &mut writer).unwrap();
    engine.commit(CommitSeq::new(1), SafePoint::Staged, &mut writer);
    let counters = Counters { next_handle: 11, next_seq: 22, firings: 33, random: 44 };
    let mut image = Image::default();
    for record in writer.0.records() {
        let record = v1::decode_payload(record.tag(), record.version(), record.payload());
        let mut record = record.unwrap();
        if let Record::Commit { counters: of, .. } = &mut record {
            *of = counters;
        }
        image.apply(&record).unwrap();
    }
    let go_on = &mut |_| ControlFlow::Continue(());
    let policy = RulesPolicy::Reject;
    let (engine, _) = rebuild(&image, &rules, id, policy, &mut Writer::default(), go_on).unwrap();
    assert_eq!(engine.counters(), counters);
}

#[derive(Clone, PartialEq, Debug, serde::Serialize, serde::Deserialize)]
struct Limit(u64);

impl Global for Limit {
    const NAME: &'static str = "Limit";
    const VERSION: u32 = 3;
}

/// Random histories set none.
#[test]
fn globals_come_back_with_their_versions() {
    let rules = ruleset(&[]);
    let mut writer = Writer::default();
    let id = SessionId::from_bytes([7; 16]);
    let mut engine = Engine::new(&rules, id, &mut writer).unwrap();
    engine.stage(&mut writer, |stage| stage.set_global(Limit(70_000))).unwrap();
    engine.commit(CommitSeq::new(1), SafePoint::Staged, &mut writer);
    let mut image = Image::default();
    for record in writer.0.records() {
        let record = v1::decode_payload(record.tag(), record.version(), record.payload());
        image.apply(&record.unwrap()).unwrap();
    }
    let go_on = &mut |_| ControlFlow::Continue(());
    let policy = RulesPolicy::Reject;
    let (back, _) = rebuild(&image, &rules, id, policy, &mut Writer::default(), go_on).unwrap();
    assert_eq!(back.global::<Limit>().unwrap(), Some(Limit(70_000)));
    assert_eq!(back.digest(), engine.digest());
}
