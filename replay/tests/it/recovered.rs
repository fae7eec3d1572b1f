//! Random rulesets, random histories, a crash after any commit: the rebuilt session has the digest of
//! the uninterrupted one, and its whole future, including what it journals from then on.
//!
//! INV-50: it journals the same bytes, and tells listeners the same. INV-41: handles and numbers go on
//! where they were. INV-60: consequences, some of which panic, do not run meanwhile.
//!
//! The records go through their bytes and the fold, as on disk; where bytes end is the journal's
//! part and tested there.

use std::ops::ControlFlow;

use proptest::prelude::*;
use steadfast_engine_core::{ActionSink, AgendaEvent, Engine, RulesPolicy};
use steadfast_replay::rebuild;
use steadfast_snapshotter::{Image, normal_form};
use steadfast_wm::codec::v1;
use steadfast_wm::{CommitSeq, MatchId, Record, SafePoint, SessionId};

use crate::changing::{Changes, Present};
use crate::random::unique::{Attempt, attempts, rules_of_unique_facts, steps_of_unique_facts};
use crate::random::{RuleSpec, Step, fire, fuse, rules, stage_on, steps};

const SESSION: SessionId = SessionId::from_bytes([5; 16]);

/// A journal in memory: the bytes of all records, and what fired since the last look; for half of the
/// histories also what listeners hear.
#[derive(Clone, Default)]
struct Log {
    bytes: Vec<u8>,
    fired: Vec<MatchId>,
    hears: bool,
    heard: Vec<AgendaEvent>,
}

impl ActionSink for Log {
    fn record(&mut self, record: &Record<'_>) {
        v1::encode(record, &mut self.bytes);
        if let Record::Fired { by } = record {
            self.fired.push(by.clone());
        }
    }

    fn agenda_event(&mut self, event: AgendaEvent) {
        self.heard.push(event);
    }

    fn wants_agenda_events(&self) -> bool {
        self.hears
    }
}

/// What a step came to.
#[derive(PartialEq, Debug)]
struct Came {
    fired: Vec<MatchId>,
    attempts: Vec<Attempt>,
    /// What was journaled, to the byte.
    journaled: Vec<String>,
    heard: Vec<AgendaEvent>,
}

/// An engine and its journal.
struct Session {
    engine: Engine,
    log: Log,
    /// The rules that it works under.
    present: Present,
    commit: u64,
    /// Where each commit ends in the journal.
    ends: Vec<usize>,
}

impl Session {
    fn new(specs: &[RuleSpec], present: Present, hears: bool) -> Self {
        let mut log = Log { hears, ..Log::default() };
        let engine = Engine::new(&present.of(specs), SESSION, &mut log).unwrap();
        let mut session = Self { engine, log, present, commit: 0, ends: Vec::new() };
        session.commit(SafePoint::Staged);
        session
    }

    fn commit(&mut self, point: SafePoint) {
        self.commit += 1;
        self.engine.commit(CommitSeq::new(self.commit), point, &mut self.log);
        self.ends.push(self.log.bytes.len());
    }

    /// Brings the journal into its normal form, in two tiers that meet behind a commit.
    fn normalize(&mut self, commit: usize) {
        let end = self.ends[commit % self.ends.len()];
        let (base, young) = self.log.bytes.split_at(end);
        let mut bytes = normal_form(base, true).unwrap();
        bytes.extend(normal_form(young, false).unwrap());
        self.ends = vec![bytes.len()];
        self.log.bytes = bytes;
    }

    /// What is due before a step becomes of the rules, with a commit of its own; gives what was journaled.
    fn change(&mut self, changes: Changes, before: usize, specs: &[RuleSpec]) -> Vec<String> {
        let start = self.log.bytes.len();
        let session = (&mut self.engine, &mut self.present);
        if changes.make(before, specs, session, &mut self.log) {
            self.commit(SafePoint::Evaluated);
        }
        told(&self.log.bytes[start..])
    }

    /// One step and its commit.
    fn step(&mut self, step: Step) -> Came {
        // What the opening under other rules told is no part of it.
        self.log.heard.clear();
        drop(attempts());
        let before = self.log.bytes.len();
        let point = take(&mut self.engine, step, &mut self.log);
        self.commit(point);
        Came {
            fired: std::mem::take(&mut self.log.fired),
            attempts: attempts(),
            journaled: told(&self.log.bytes[before..]),
            heard: std::mem::take(&mut self.log.heard),
        }
    }

    /// Takes steps, some of them twice and one after the other in scopes of their own, and undoes all of it.
    fn try_out(&mut self, steps: &[Step]) {
        let before = self.engine.digest();
        let (first, second) = steps.split_at(steps.len() / 2);
        self.engine.what_if(|engine| {
            take_all(engine, first);
            let inside = engine.digest();
            for steps in [second, steps, &[]] {
                engine.what_if(|engine| take_all(engine, steps));
                assert_eq!(engine.digest(), inside, "the outer scope is as it was");
            }
            take_all(engine, second);
        });
        self.engine.what_if(|engine| fail(engine, steps));
        assert_eq!(self.engine.digest(), before, "nothing has happened");
    }

    fn image(&self) -> Image {
        let mut image = Image::default();
        let mut rest = self.log.bytes.as_slice();
        while !rest.is_empty() {
            let (record, after) = v1::decode(rest).unwrap();
            image.apply(&record).unwrap();
            rest = after;
        }
        image
    }

    /// The session as it is opened under other rules, with a commit of what that does.
    fn reopened(&self, specs: &[RuleSpec], policy: RulesPolicy) -> Self {
        let image = self.image();
        let mut log = self.log.clone();
        let ruleset = Present::ALL[0].of(specs);
        let mut goes_on = |_| ControlFlow::Continue(());
        let (engine, changed) =
            rebuild(&image, &ruleset, SESSION, policy, &mut log, &mut goes_on).unwrap();
        let (commit, ends) = (image.commit().get(), self.ends.clone());
        let mut session = Self { engine, log, present: Present::ALL[0], commit, ends };
        if changed {
            session.commit(SafePoint::Evaluated);
        }
        session
    }

    /// The session as a restart would bring it back.
    fn recovered(&self, specs: &[RuleSpec]) -> Self {
        let image = self.image();
        let mut nothing = Log::default();
        let (engine, changed) = rebuild(
            &image,
            &self.present.of(specs),
            SESSION,
            RulesPolicy::Reject,
            &mut nothing,
            &mut |_| ControlFlow::Continue(()),
        )
        .unwrap();
        assert!(!changed && nothing.bytes.is_empty(), "nothing happens during recovery");
        let (log, ends) = (self.log.clone(), self.ends.clone());
        Self { engine, log, present: self.present, commit: image.commit().get(), ends }
    }
}

/// Records as they are told, and all of their bytes.
fn told(bytes: &[u8]) -> Vec<String> {
    let mut rest = bytes;
    let mut told = Vec::new();
    while !rest.is_empty() {
        let (record, after) = v1::decode(rest).unwrap();
        told.push(format!("{record:?} {:?}", &rest[..rest.len() - after.len()]));
        rest = after;
    }
    told
}

/// Takes steps that nobody hears of.
fn take_all(engine: &mut Engine, steps: &[Step]) {
    for &step in steps {
        take(engine, step, &mut Log::default());
    }
}

/// Takes steps until a function of the rules that panics leaves the engine failed, or there are no more.
fn fail(engine: &mut Engine, steps: &[Step]) {
    let mut log = Log::default();
    fuse::light(7);
    for &step in steps {
        match step {
            Step::Flush => drop(engine.flush(&mut log)),
            Step::Advance(by) => drop(engine.advance_clock(engine.now() + by, &mut log)),
            Step::Fire(limit) => drop(fire(engine, limit, false, &mut log)),
            Step::FireFiltered(limit) => drop(fire(engine, limit, true, &mut log)),
            _ => stage_on(engine, step, &mut log),
        }
        if engine.has_failed() {
            break;
        }
    }
    fuse::light(0);
}

/// Takes a step; gives what a commit behind it is.
fn take(engine: &mut Engine, step: Step, sink: &mut Log) -> SafePoint {
    match step {
        Step::Flush => {
            engine.flush(sink).unwrap();
            SafePoint::Evaluated
        }
        Step::Advance(by) => {
            engine.advance_clock(engine.now() + by, sink).unwrap();
            SafePoint::Evaluated
        }
        Step::Fire(limit) => {
            drop(fire(engine, limit, false, sink));
            SafePoint::Fired
        }
        Step::FireFiltered(limit) => {
            drop(fire(engine, limit, true, sink));
            SafePoint::Fired
        }
        _ => {
            stage_on(engine, step, sink);
            SafePoint::Staged
        }
    }
}

/// Crashes after every `every`-th step, beginning with the `first`; with a `tier`, the journal is
/// normalized before, in two tiers of which the first has so many commits.
fn crash(
    (specs, changes): (&[RuleSpec], Changes),
    steps: &[Step],
    (first, every): (usize, usize),
    tier: Option<usize>,
) -> Result<(), TestCaseError> {
    let mut uninterrupted = Session::new(specs, changes.start(), first % 2 == 0);
    let mut crashing = Session::new(specs, changes.start(), first % 2 == 0);
    for (at, &step) in steps.iter().enumerate() {
        if at >= first && (at - first).is_multiple_of(every) {
            if let Some(commit) = tier {
                crashing.normalize(commit);
            }
            crashing = crashing.recovered(specs);
            let (old, new) = (uninterrupted.engine.digest(), crashing.engine.digest());
            prop_assert_eq!(old, new, "digest after a crash before step {}", at);
        }
        let told = uninterrupted.change(changes, at, specs);
        prop_assert_eq!(told, crashing.change(changes, at, specs), "rules before step {}", at);
        prop_assert_eq!(uninterrupted.step(step), crashing.step(step), "step {}", at);
        let (old, new) = (uninterrupted.engine.digest(), crashing.engine.digest());
        prop_assert_eq!(old, new, "digest after step {}", at);
    }
    // The journals tell the same story, however often one of them was read back.
    prop_assert_eq!(&uninterrupted.image(), &crashing.image());
    let twice = crashing.recovered(specs).recovered(specs);
    prop_assert_eq!(twice.engine.digest(), crashing.engine.digest(), "a second crash");
    Ok(())
}

/// As [`crash`], where the session that crashes tries out what comes before it does it, after a crash and
/// otherwise; the other one never does.
fn crash_and_undo(
    (specs, changes): (&[RuleSpec], Changes),
    steps: &[Step],
    (first, every): (usize, usize),
) -> Result<(), TestCaseError> {
    let mut plain = Session::new(specs, changes.start(), first % 2 == 0);
    let mut trying = Session::new(specs, changes.start(), first % 2 == 0);
    for (at, &step) in steps.iter().enumerate() {
        if at >= first && (at - first).is_multiple_of(every) {
            trying = trying.recovered(specs);
        }
        let told = plain.change(changes, at, specs);
        prop_assert_eq!(told, trying.change(changes, at, specs), "rules before step {}", at);
        trying.try_out(&steps[at..]);
        prop_assert_eq!(plain.step(step), trying.step(step), "step {}", at);
        let (plain, trying) = (plain.engine.digest(), trying.engine.digest());
        prop_assert_eq!(plain, trying, "digest after step {}", at);
    }
    prop_assert_eq!(&plain.image(), &trying.image(), "what is undone is not journaled");
    Ok(())
}

/// Three rulesets after one another, each for some steps, with crashes.
fn change_and_crash(
    specs: &[Vec<RuleSpec>; 3],
    steps: &[Vec<Step>; 3],
    policies: (bool, bool),
    (first, every): (usize, usize),
) -> Result<(), TestCaseError> {
    let policy = |keep| if keep { RulesPolicy::KeepFired } else { RulesPolicy::Reevaluate };
    let policies = [RulesPolicy::Reject, policy(policies.0), policy(policies.1)];
    let mut uninterrupted = Session::new(&specs[0], Present::ALL[0], first % 2 == 0);
    for (at, (specs, policy)) in specs.iter().zip(policies).enumerate() {
        if at > 0 {
            uninterrupted = uninterrupted.reopened(specs, policy);
        }
        let mut crashing = uninterrupted.recovered(specs);
        for (at, &step) in steps[at].iter().enumerate() {
            if at >= first && (at - first).is_multiple_of(every) {
                crashing = crashing.recovered(specs);
            }
            let (old, new) = (uninterrupted.engine.digest(), crashing.engine.digest());
            prop_assert_eq!(old, new, "digest before step {}", at);
            prop_assert_eq!(uninterrupted.step(step), crashing.step(step), "step {}", at);
        }
        prop_assert_eq!(&uninterrupted.image(), &crashing.image(), "the same story");
    }
    Ok(())
}

/// Panics of consequences are part of the game; their messages are not.
pub(crate) fn quiet() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let default = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if info.payload().downcast_ref::<&str>() != Some(&"the consequence's own") {
                default(info);
            }
        }));
    });
}

pub(crate) fn cases(default: u32) -> ProptestConfig {
    let cases = std::env::var("STEADFAST_CASES").ok().and_then(|cases| cases.parse().ok());
    let soaks = std::env::var_os("STEADFAST_SOAK").is_some();
    let default = if soaks { default * 20 } else { default };
    ProptestConfig { cases: cases.unwrap_or(default), ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(cases(3_000))]

    #[test]
    fn recovered_is_uninterrupted(
        specs in rules(),
        steps in steps(),
        first in 0..8_usize,
        every in 1..6_usize,
    ) {
        quiet();
        crash((&specs, Changes::NONE), &steps, (first, every), None)?;
    }

    /// Facts of which there is one for each key: who has a key is not journaled, but follows from the facts.
    #[test]
    fn keys_of_a_unique_type_are_those_of_an_uninterrupted_session(
        specs in rules_of_unique_facts(),
        steps in steps_of_unique_facts(),
        first in 0..8_usize,
        every in 1..6_usize,
        tier in prop::option::of(0..8_usize),
    ) {
        quiet();
        crash((&specs, Changes::NONE), &steps, (first, every), tier)?;
    }

    /// INV-74: what normalization leaves is what the future depends on, whatever came before.
    #[test]
    fn normalized_is_uninterrupted(
        specs in rules(),
        steps in steps(),
        first in 0..8_usize,
        every in 1..6_usize,
        tier in 0..8_usize,
    ) {
        quiet();
        crash((&specs, Changes::NONE), &steps, (first, every), Some(tier))?;
    }

    /// S93, S103: a rule comes and one goes while the session works; what it had last it has again.
    #[test]
    fn recovered_is_uninterrupted_while_rules_come_and_go(
        specs in rules(),
        changes in Changes::any(),
        steps in steps(),
        first in 0..8_usize,
        every in 1..6_usize,
        tier in prop::option::of(0..8_usize),
    ) {
        quiet();
        crash((&specs, changes), &steps, (first, every), tier)?;
    }
}

// Each of these takes several sessions through a history.
proptest! {
    #![proptest_config(cases(1_000))]

    /// What is undone in scopes inside of scopes leaves nothing behind, before a crash and after it, while
    /// rules come and go.
    #[test]
    fn recovered_is_uninterrupted_whatever_was_undone(
        specs in rules(),
        changes in Changes::any(),
        steps in steps(),
        first in 0..8_usize,
        every in 1..6_usize,
    ) {
        quiet();
        crash_and_undo((&specs, changes), &steps, (first, every))?;
    }
    /// A session that goes on under other rules is the same after a crash, whatever these make of it.
    #[test]
    fn recovered_is_uninterrupted_after_the_rules_have_changed(
        specs in (rules(), rules(), rules()),
        steps in (steps(), steps(), steps()),
        policies in (any::<bool>(), any::<bool>()),
        first in 0..8_usize,
        every in 1..6_usize,
    ) {
        quiet();
        change_and_crash(&[specs.0, specs.1, specs.2], &[steps.0, steps.1, steps.2], policies, (first, every))?;
    }
}
