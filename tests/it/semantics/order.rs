//! S1 to S10: in which order matches fire.

use steadfast::prelude::*;
use steadfast::{Ruleset, ir::Rule};

use crate::support::{Disk, fire, memory, pending, said, say};

#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Job {
    id: u64,
}

fn jobs(session: &mut Session, ids: impl IntoIterator<Item = u64>) {
    for id in ids {
        session.insert(Job { id }).unwrap();
    }
}

#[rule]
fn first(j: &Job) {
    say(format!("first {}", j.id));
}

#[rule]
fn second(j: &Job) {
    say(format!("second {}", j.id));
}

#[rule(salience = 10)]
fn urgent(j: &Job) {
    say(format!("urgent {}", j.id));
}

#[rule(salience = -10)]
fn couple(a: &Job, #[cross] b: &Job) {
    say(format!("couple {} {}", a.id, b.id));
}

ruleset!(all = 1: first, couple, second, urgent);

#[test]
fn s01_salience_then_rule_then_trigger_then_members_decide() {
    let mut session = memory(all());
    jobs(&mut session, [1, 2]);
    let expected = [
        // Salience comes first, whatever was inserted first.
        "urgent 1",
        "urgent 2", // Then the place of the rule in the ruleset.
        "first 1",
        "first 2",
        "second 1",
        "second 2",
        // Then the trigger: `couple 1 1` was complete before job 2 came. Then the members.
        "couple 1 1",
        "couple 1 2",
        "couple 2 1",
        "couple 2 2",
    ];
    assert_eq!(fire(&mut session), expected);
}

#[test]
fn s02_the_place_in_the_ruleset_decides_not_the_place_in_the_program() {
    ruleset!(forwards = 1: first, second);
    ruleset!(backwards = 1: second, first);
    for (rules, expected) in
        [(forwards(), ["first 1", "second 1"]), (backwards(), ["second 1", "first 1"])]
    {
        let mut session = memory(rules);
        jobs(&mut session, [1]);
        assert_eq!(fire(&mut session), expected);
    }
}

#[test]
fn s03_matches_of_a_rule_fire_oldest_first_however_many_patterns_it_has() {
    #[rule]
    fn one(a: &Job) {
        say(format!("{}", a.id));
    }
    #[rule]
    fn two(a: &Job, #[when(b.id == a.id)] b: &Job) {
        say(format!("{}", b.id));
    }
    #[rule]
    fn three(a: &Job, #[when(b.id == a.id)] b: &Job, #[when(c.id == b.id)] c: &Job) {
        say(format!("{}", c.id));
    }
    for rule in [one::definition(), two::definition(), three::definition()] {
        let mut session = memory(Ruleset::new("patterns", 1).rule(rule));
        jobs(&mut session, 0..6);
        assert_eq!(fire(&mut session), ["0", "1", "2", "3", "4", "5"]);
    }
}

#[test]
fn s04_equal_operations_give_equal_firings_in_memory_and_on_disk() {
    let run = |session: &mut Session| {
        jobs(session, [3, 1]);
        session.fire(2).unwrap();
        jobs(session, [2]);
        session.fire_all().unwrap();
        (said(), session.digest())
    };
    let disk = Disk::new();
    let runs =
        [memory(all()), memory(all()), disk.open(all())].map(|mut session| run(&mut session));
    assert_eq!(runs[0], runs[1]);
    assert_eq!(runs[0], runs[2]);
    assert_eq!(runs[0].0.len(), 3 * 3 + 3 * 3);

    // Between two evaluations it makes no difference how the work is cut into commits.
    let cut = |session: &mut Session| {
        session.commit_every(1);
        let two = session.transact(|stage| {
            stage.insert(Job { id: 3 })?;
            stage.insert(Job { id: 1 })?;
            Ok(())
        });
        two.unwrap();
        session.fire(1).unwrap();
        session.fire(1).unwrap();
        jobs(session, [2]);
        session.fire_all().unwrap();
        (said(), session.digest())
    };
    let disk = Disk::new();
    for mut session in [memory(all()), disk.open(all())] {
        assert_eq!(cut(&mut session), runs[0]);
    }
}

/// What is out of an `i32`'s range does not compile: see the macros' own `arguments` test.
#[test]
fn s05_the_least_salience_is_legal_and_fires_last() {
    #[rule(salience = -2147483648)]
    fn least(j: &Job) {
        say(format!("least {}", j.id));
    }
    #[rule(salience = 2147483647)]
    fn most(j: &Job) {
        say(format!("most {}", j.id));
    }
    ruleset!(extremes = 1: least, first, most);
    let mut session = memory(extremes());
    jobs(&mut session, [1]);
    assert_eq!(fire(&mut session), ["most 1", "first 1", "least 1"]);
}

#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Call {
    id: u64,
    floor: i32,
    from: String,
}

fn call(id: u64, floor: i32, from: &str) -> Call {
    Call { id, floor, from: from.to_owned() }
}

const LOBBY: i32 = 2;

/// The salience reads `floor`, which no condition reads.
#[rule(salience = 10 - c.floor)]
fn serve(#[when(c.from != "nobody")] c: &Call) {
    say(format!("serve {} at {}", c.id, c.floor));
}

#[rule(salience = LOBBY + 5)]
fn greet(c: &Call) {
    say(format!("greet {}", c.id));
}

/// By how many of one caller there are.
#[rule(salience = i32::try_from(g.0).unwrap_or(i32::MAX))]
fn crowd(
    #[group_by(c.from.clone())]
    #[aggregate(count())]
    g: Group<Call, String, (u64,)>,
) {
    say(format!("crowd {} of {}", g.0, g.key));
}

ruleset!(lifts = 1: crowd, serve, greet);

#[test]
fn s06_a_match_may_have_a_salience_of_its_own() {
    let mut session = memory(lifts());
    for call in [call(1, 8, "ann"), call(2, 3, "bob"), call(3, 0, "ann"), call(4, 8, "bob")] {
        session.insert(call).unwrap();
    }
    let expected = [
        "serve 3 at 0", // 10
        "serve 2 at 3", // 7, and an earlier rule than `greet`
        "greet 1",
        "greet 2",
        "greet 3",
        "greet 4",
        // 2: an earlier rule goes first; its matches by trigger: the highest number of a member.
        "crowd 2 of ann",
        "crowd 2 of bob",
        "serve 1 at 8",
        "serve 4 at 8",
    ];
    assert_eq!(fire(&mut session), expected);
}

#[test]
fn s06_it_is_computed_anew_with_each_trigger_and_not_between_them() {
    let mut session = memory(lifts());
    let first = session.insert(call(1, 8, "ann")).unwrap();
    session.insert(call(2, 7, "bob")).unwrap();
    let serve = |session: &mut Session| {
        let all = fire(session).into_iter();
        all.filter(|said| said.starts_with("serve")).collect::<Vec<_>>()
    };
    session.flush().unwrap();
    // Nothing that counts for the rule: the match keeps its trigger and its salience.
    session.update(first, |call| call.floor = 0).unwrap();
    session.flush().unwrap();
    let saliences = |session: &Session| {
        let pending = session.pending().into_iter();
        pending.map(|pending| pending.salience).collect::<Vec<_>>()
    };
    assert_eq!(saliences(&session), [7, 7, 3, 2, 1, 1]);
    assert_eq!(serve(&mut session.fork()), ["serve 2 at 7", "serve 1 at 0"]);
    // Something that counts: now the salience is that of the floor.
    session.update(first, |call| call.from = "eve".to_owned()).unwrap();
    session.flush().unwrap();
    assert_eq!(saliences(&session), [10, 7, 7, 3, 1, 1]);
    assert_eq!(serve(&mut session), ["serve 1 at 0", "serve 2 at 7"]);
}

#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Alarm {
    id: u64,
}

#[rule(salience = 10)]
fn answer(a: &Alarm) {
    say(format!("answer {}", a.id));
}

#[rule]
fn raise(j: &Job, cx: &mut Then) -> RuleResult {
    say(format!("raise {}", j.id));
    cx.insert(Alarm { id: j.id })?;
    Ok(())
}

#[test]
fn s07_the_best_match_is_chosen_anew_after_every_firing() {
    ruleset!(alarms = 1: raise, answer);
    let mut session = memory(alarms());
    jobs(&mut session, [1, 2, 3]);
    assert_eq!(
        fire(&mut session),
        ["raise 1", "answer 1", "raise 2", "answer 2", "raise 3", "answer 3"]
    );
}

#[test]
fn s08_what_a_consequence_activates_fires_next_only_if_its_rule_is_better() {
    #[rule]
    fn later(a: &Alarm) {
        say(format!("later {}", a.id));
    }
    ruleset!(alarms = 1: raise, later, answer);
    let mut session = memory(alarms());
    jobs(&mut session, [1, 2]);
    let expected = ["raise 1", "answer 1", "raise 2", "answer 2", "later 1", "later 2"];
    assert_eq!(fire(&mut session), expected);
}

#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Word(String);

#[test]
fn s09_an_earlier_rule_that_is_activated_again_goes_first_again() {
    #[rule]
    fn a(#[when(w.0 == "a")] w: &Word) {
        say(w.0.clone());
    }
    #[rule]
    fn b(#[when(w.0 == "b")] w: &Word) {
        say(w.0.clone());
    }
    #[rule]
    fn c(#[when(w.0 == "start")] w: &Word, cx: &mut Then) -> RuleResult {
        say("c");
        cx.insert(Word("a".to_owned()))?;
        cx.insert(Word("b".to_owned()))?;
        Ok(())
    }
    #[rule]
    fn d(#[when(w.0 == "start")] w: &Word, cx: &mut Then) -> RuleResult {
        say("d");
        cx.insert(Word("a".to_owned()))?;
        cx.insert(Word("b".to_owned()))?;
        Ok(())
    }
    #[rule]
    fn e(#[when(w.0 == "start")] w: &Word) {
        say("e");
    }
    ruleset!(words = 1: a, b, c, d, e);
    let mut session = memory(words());
    for word in ["a", "b", "start"] {
        session.insert(Word(word.to_owned())).unwrap();
    }
    assert_eq!(fire(&mut session).concat(), "abcabdabe");
}

#[test]
fn s10_a_match_that_becomes_false_before_its_turn_never_fires() {
    #[rule]
    fn cancel(j: &Job, #[when(a.id == j.id)] a: Ref<Alarm>, cx: &mut Then) -> RuleResult {
        say(format!("cancel {}", a.id));
        cx.delete(a)?;
        Ok(())
    }
    #[rule]
    fn late(a: &Alarm) {
        say(format!("late {}", a.id));
    }
    ruleset!(alarms = 1: cancel, late);
    let mut session = memory(alarms());
    jobs(&mut session, [1]);
    session.insert(Alarm { id: 1 }).unwrap();
    session.insert(Alarm { id: 2 }).unwrap();
    assert_eq!(pending(&mut session).len(), 3);
    assert_eq!(fire(&mut session), ["cancel 1", "late 2"]);

    // Created and cancelled between two evaluations: as if it had never been.
    let passing = session.insert(Alarm { id: 3 }).unwrap();
    session.delete(passing).unwrap();
    assert!(pending(&mut session).is_empty());
    assert!(fire(&mut session).is_empty());
}
