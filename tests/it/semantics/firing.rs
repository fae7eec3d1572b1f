//! S31 to S36: running, halting, and consequences that fail.

use steadfast::prelude::*;
use steadfast::{Error, Failure, FireError};

use crate::support::{Disk, fire, memory, said, say};

#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Job {
    id: u64,
}

#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Done {
    job: u64,
}

#[rule]
fn work(j: &Job) {
    say(format!("work {}", j.id));
}

ruleset!(working = 1: work);

fn jobs(session: &mut Session, ids: impl IntoIterator<Item = u64>) {
    for id in ids {
        session.insert(Job { id }).unwrap();
    }
}

#[test]
fn s31_a_run_counts_its_firings_and_stops_at_its_limit() {
    let mut session = memory(working());
    jobs(&mut session, 1..=5);
    assert_eq!(session.fire(0).unwrap().count, 0);
    assert!(said().is_empty());
    assert_eq!(session.fire(2).unwrap().count, 2);
    assert_eq!(said(), ["work 1", "work 2"]);
    assert_eq!(session.pending().len(), 3);
    assert_eq!(session.fire_all().unwrap().count, 3);
    assert_eq!(said(), ["work 3", "work 4", "work 5"]);
    let nothing = session.fire_all().unwrap();
    assert_eq!((nothing.count, nothing.commit), (0, None));
}

#[test]
fn s32_a_consequence_that_halts_completes_and_the_rest_stays_pending() {
    #[rule]
    fn careful(j: &Job, cx: &mut Then) -> RuleResult {
        say(format!("careful {}", j.id));
        if j.id == 2 {
            cx.halt();
        }
        cx.insert(Done { job: j.id })?;
        Ok(())
    }
    ruleset!(care = 1: careful; facts: Done);
    let mut session = memory(care());
    jobs(&mut session, 1..=4);
    let fired = session.fire_all().unwrap();
    assert_eq!((fired.count, fired.halted), (2, true));
    assert_eq!(said(), ["careful 1", "careful 2"]);
    assert_eq!(session.query::<Done>().unwrap().len(), 2);
    assert_eq!(session.pending().len(), 2);
    assert!(!session.fire_all().unwrap().halted);
    assert_eq!(said(), ["careful 3", "careful 4"]);
}

#[test]
fn s33_what_was_submitted_before_a_halt_from_outside_is_applied_before_it() {
    let mut session = memory(working());
    let halter = session.halter();
    jobs(&mut session, 1..=2);
    std::thread::spawn(move || halter.halt()).join().unwrap();
    let fired = session.fire_all().unwrap();
    assert_eq!((fired.count, fired.halted), (0, true));
    assert_eq!(session.pending().len(), 2, "evaluated, not fired");
    assert_eq!(fire(&mut session), ["work 1", "work 2"]);
}

/// Fails for job 2, after it has asked for changes.
fn try_work(j: &Job, cx: &mut Then) -> RuleResult {
    say(format!("try {}", j.id));
    cx.insert(Done { job: j.id })?;
    cx.insert_logical(Done { job: j.id + 100 })?;
    cx.random();
    if j.id == 2 {
        return Err(RuleError::new("no tools"));
    }
    Ok(())
}

fn done(session: &mut Session) -> Vec<u64> {
    session.query::<Done>().unwrap().iter().map(|done| done.job).collect()
}

#[test]
fn s34_a_failing_consequence_changes_nothing_and_stops_the_run_or_is_skipped() {
    #[rule]
    fn strict(j: &Job, cx: &mut Then) -> RuleResult {
        try_work(j, cx)
    }
    #[rule(on_error = "skip")]
    fn lenient(j: &Job, cx: &mut Then) -> RuleResult {
        try_work(j, cx)
    }
    ruleset!(stopping = 1: strict; facts: Done);
    let mut session = memory(stopping());
    jobs(&mut session, 1..=3);
    let error = session.fire_all().unwrap_err();
    let Error::Fire(FireError::Consequence { rule, failure, fired, .. }) = error else {
        panic!("{error:?}")
    };
    assert_eq!((rule.as_str(), fired), ("it::semantics::firing::strict", 1));
    assert_eq!(failure, Failure::Error(RuleError::new("no tools")));
    assert_eq!(said(), ["try 1", "try 2"]);
    assert_eq!(done(&mut session), [1, 101]);
    assert_eq!(session.pending().len(), 2, "the failed match is still pending, and next");
    let digest = session.digest();
    session.fire_all().unwrap_err();
    assert_eq!(said(), ["try 2"]);
    assert_eq!(session.digest(), digest);

    ruleset!(skipping = 1: lenient; facts: Done);
    let mut session = memory(skipping());
    jobs(&mut session, 1..=3);
    let fired = session.fire_all().unwrap();
    assert_eq!((fired.count, fired.skipped), (2, 1));
    assert_eq!(said(), ["try 1", "try 2", "try 3"]);
    assert_eq!(done(&mut session), [1, 101, 3, 103]);
    assert!(fire(&mut session).is_empty(), "the failed match is used up");
}

#[test]
fn s34_a_rule_may_decide_by_the_failure_whether_its_match_is_skipped() {
    fn is_a_lack(failure: &Failure) -> bool {
        match failure {
            Failure::Error(error) => error.to_string().contains("no tools"),
            Failure::Panic(message) => panic!("it decides nothing of panics: {message}"),
        }
    }
    #[rule(on_error = skip_if(is_a_lack))]
    fn choosy(j: &Job, cx: &mut Then) -> RuleResult {
        try_work(j, cx)?;
        match j.id {
            4 => Err(RuleError::new("no strength")),
            5 => panic!("no hope"),
            _ => Ok(()),
        }
    }
    ruleset!(choosing = 1: choosy; facts: Done);
    let disk = Disk::new();
    let mut session = disk.open(choosing());
    jobs(&mut session, 1..=5);
    for left in [4, 5] {
        // Job 2 is skipped; the others stop the run, and stay pending.
        session.fire_all().unwrap_err();
        assert_eq!(done(&mut session), [1, 101, 3, 103]);
        assert_eq!(session.pending().len(), 6 - left);
        let restored = disk.crash().open(choosing());
        assert_eq!(restored.digest(), session.digest());
        let first = session.query::<Job>().unwrap().iter().find(|it| it.id == 4).map(Ref::handle);
        if let Some(first) = first {
            session.delete(first).unwrap();
        }
    }
    assert_eq!(said(), ["try 1", "try 2", "try 3", "try 4", "try 5"]);
}

#[test]
fn s35_a_panic_in_a_consequence_is_an_error_and_the_session_goes_on() {
    #[rule]
    fn brittle(j: &Job, cx: &mut Then) -> RuleResult {
        cx.insert(Done { job: j.id })?;
        assert!(j.id != 2, "job {} broke", j.id);
        Ok(())
    }
    ruleset!(breaking = 1: brittle; facts: Done);
    let mut session = memory(breaking());
    jobs(&mut session, 1..=3);
    let error = session.fire_all().unwrap_err();
    let Error::Fire(FireError::Consequence { failure, .. }) = error else { panic!("{error:?}") };
    assert_eq!(failure, Failure::Panic("job 2 broke".to_owned()));
    assert_eq!(done(&mut session), [1]);
    // Correct what it needs, and it goes on where it stopped.
    let two = session.query::<Job>().unwrap()[1].handle();
    session.delete(two).unwrap();
    assert_eq!(session.fire_all().unwrap().count, 1);
    assert_eq!(done(&mut session), [1, 3]);
}

#[test]
fn s36_a_consequence_reads_its_own_writes_and_rules_see_them_afterwards() {
    #[rule]
    fn plan(j: &Job, cx: &mut Then) -> RuleResult {
        let before = cx.query::<Done>().len();
        let handle = cx.insert(Done { job: j.id })?;
        cx.modify(handle, |done| done.job += 10)?;
        assert_eq!(cx.get(handle).map(|done| done.job), Some(j.id + 10));
        say(format!("plan {}: {} then {}", j.id, before, cx.query::<Done>().len()));
        Ok(())
    }
    #[rule(salience = 1)]
    fn seen(d: &Done) {
        say(format!("seen {}", d.job));
    }
    ruleset!(planning = 1: plan, seen);
    let mut session = memory(planning());
    jobs(&mut session, 1..=2);
    let expected = ["plan 1: 0 then 1", "seen 11", "plan 2: 1 then 2", "seen 12"];
    assert_eq!(fire(&mut session), expected);
}

#[test]
fn a_scope_that_fails_takes_back_its_own_part_of_a_consequence() {
    #[rule]
    fn attempt(j: &Job, cx: &mut Then) -> RuleResult {
        cx.insert(Done { job: j.id })?;
        let inner = cx.scope(|cx| {
            cx.insert(Done { job: 99 })?;
            Err::<(), _>(RuleError::new("not this part"))
        });
        assert!(inner.is_err());
        cx.insert(Done { job: j.id + 1 })?;
        Ok(())
    }
    ruleset!(attempts = 1: attempt; facts: Done);
    let mut session = memory(attempts());
    jobs(&mut session, [1]);
    session.fire_all().unwrap();
    assert_eq!(done(&mut session), [1, 2]);
}
