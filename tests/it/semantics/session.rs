//! S96 to S99, S104 and S105: globals, effects, the clock, queries, digests.

use steadfast::Error;
use steadfast::ir::Rule;
use steadfast::prelude::*;

use crate::support::{Disk, fire, memory, said, say};

#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Order {
    id: u64,
    amount: i64,
}

#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Late {
    order: u64,
    at: i64,
}

#[derive(Global, Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Limit(i64);

#[derive(Effect, PartialEq, Debug, Serialize, Deserialize)]
struct Tell {
    order: u64,
}

#[rule]
fn weigh(#[when(o.amount > 0)] o: &Order, cx: &mut Then) -> RuleResult {
    let limit = cx.global::<Limit>()?.map_or(0, |limit| limit.0);
    say(format!("{} of {limit}", o.amount));
    if o.amount > limit {
        cx.emit(Tell { order: o.id })?;
    }
    cx.insert_logical(Late { order: o.id, at: cx.now() })?;
    Ok(())
}

#[query]
fn large(#[when(o.amount >= 100)] o: &Order) -> u64 {
    o.id
}

#[query]
fn pairs(a: &Order, #[when(b.amount > a.amount)] b: &Order) -> (u64, u64) {
    (a.id, b.id)
}

/// Nothing is so heavy.
#[rule(group = "later")]
fn later(#[when(o.amount > 1_000_000)] o: &Order) {
    say(format!("later {}", o.id));
}

ruleset!(weighing = 1: weigh, later; queries: large, pairs; facts: Late);

fn order(session: &mut Session, id: u64, amount: i64) -> Handle<Order> {
    session.insert(Order { id, amount }).unwrap()
}

/// A condition cannot name a global: there is no syntax for it.
#[test]
fn s96_globals_are_typed_and_not_reactive() {
    let disk = Disk::new();
    let mut session = disk.open(weighing());
    assert_eq!(session.global::<Limit>().unwrap(), None);
    order(&mut session, 1, 500);
    session.set_global(Limit(100)).unwrap();
    assert_eq!(fire(&mut session), ["500 of 100"]);
    session.set_global(Limit(1000)).unwrap();
    assert!(fire(&mut session).is_empty(), "nobody notices");
    drop(session);
    let mut session = disk.open(weighing());
    assert_eq!(session.global::<Limit>().unwrap(), Some(Limit(1000)));
    order(&mut session, 2, 600);
    assert_eq!(fire(&mut session), ["600 of 1000"]);
}

#[test]
fn s97_the_outside_is_reached_by_effects_with_a_key() {
    let mut session = memory(weighing());
    order(&mut session, 1, 500);
    order(&mut session, 2, 600);
    fire(&mut session);
    let effects = session.effects::<Tell>().unwrap();
    let keys: Vec<_> = effects.iter().map(|effect| effect.key).collect();
    assert_eq!(effects.iter().map(|effect| effect.order).collect::<Vec<_>>(), [1, 2]);
    assert!(
        keys.iter().all(|key| (key.session, key.commit) == (session.id(), session.last_commit()))
    );
    assert_eq!(keys.iter().map(|key| key.ordinal).collect::<Vec<_>>(), [0, 1]);
}

#[test]
fn s98_time_is_what_the_session_was_told() {
    let mut session = memory(weighing());
    assert_eq!(session.now(), 0);
    session.advance_clock(5000).unwrap();
    let one = order(&mut session, 1, 5);
    fire(&mut session);
    assert_eq!(session.query::<Late>().unwrap()[0].at, 5000);
    // Time passes: no rule notices before something else happens.
    session.advance_clock(6000).unwrap();
    assert!(fire(&mut session).is_empty());
    assert!(session.advance_clock(5999).is_err());
    let commit = session.last_commit();
    session.advance_clock(6000).unwrap();
    assert_eq!(session.last_commit(), commit, "the same time is no operation");
    session.touch(one).unwrap();
    fire(&mut session);
    assert_eq!(session.query::<Late>().unwrap()[0].at, 6000);
}

#[test]
fn s99_queries_are_ordered_up_to_date_and_fire_nothing() {
    #[query]
    fn elsewhere(o: &Order) -> u64 {
        o.id
    }
    let mut session = memory(weighing());
    for (id, amount) in [(1, 500), (2, 50), (3, 100), (4, 500)] {
        order(&mut session, id, amount);
    }
    assert_eq!(session.rows::<large>().unwrap(), [1, 3, 4]);
    let expected = [(2, 1), (2, 3), (2, 4), (3, 1), (3, 4)];
    assert_eq!(session.rows::<pairs>().unwrap(), expected);
    assert!(said().is_empty());
    assert_eq!(session.pending().len(), 4);

    let error = session.rows::<elsewhere>().unwrap_err();
    assert!(matches!(error, Error::UnknownQuery { .. }), "{error:?}");
}

#[rule(timer = "5s")]
fn remind(o: &Order) {
    say(format!("remind {}", o.id));
}

#[test]
fn s104_equal_histories_have_equal_digests_and_any_difference_shows() {
    type Change = (&'static str, fn(&mut Session));
    let base = || {
        let mut session = memory(weighing());
        order(&mut session, 1, 500);
        order(&mut session, 2, 5);
        session.fire(1).unwrap();
        session
    };
    let digest = base().digest();
    assert_eq!(base().digest(), digest);
    let changes: [Change; 14] = [
        ("the focus", |s| s.focus("later").unwrap()),
        ("a fact", |s| _ = order(s, 3, 5)),
        ("a value", |s| {
            let one = s.query::<Order>().unwrap()[0].handle();
            s.update(one, |o| o.amount = 501).unwrap();
        }),
        ("a firing", |s| _ = s.fire_all().unwrap()),
        ("a global", |s| s.set_global(Limit(1)).unwrap()),
        ("the clock", |s| s.advance_clock(1).unwrap()),
        ("a support", |s| {
            let derived = s.query::<Late>().unwrap()[0].handle();
            s.delete(derived).unwrap();
        }),
        ("the statement of what is derived", |s| _ = s.insert(Late { order: 1, at: 0 }).unwrap()),
        ("an operation that is not evaluated", |s| {
            let one = s.query::<Order>().unwrap()[0].handle();
            s.touch(one).unwrap();
        }),
        ("an evaluation", |s| {
            let one = s.query::<Order>().unwrap()[0].handle();
            s.touch(one).unwrap();
            s.flush().unwrap();
        }),
        ("a number that was drawn", |s| _ = s.transact(|stage| Ok(stage.random())).unwrap()),
        ("what is cancelled", |s| s.clear_group("MAIN").unwrap()),
        ("a match that waits", |s| s.add_rule(&remind::definition()).unwrap()),
        ("a fact that came and went", |s| {
            let passing = order(s, 3, 5);
            s.delete(passing).unwrap();
            s.flush().unwrap();
        }),
    ];
    let mut digests = std::collections::BTreeMap::from([(digest, "nothing")]);
    for (what, change) in changes {
        let mut session = base();
        change(&mut session);
        let other = digests.insert(session.digest(), what);
        assert_eq!(other, None, "{what} makes a difference");
    }
    said();
}

#[test]
fn s105_a_restored_session_fires_nothing_by_itself_and_goes_on_as_if_nothing_had_been() {
    let disk = Disk::new();
    let mut session = disk.open(weighing());
    let one = order(&mut session, 1, 500);
    order(&mut session, 2, 600);
    session.fire(1).unwrap();
    assert_eq!(said(), ["500 of 0"]);
    let mut restored = disk.crash().open(weighing());
    assert!(said().is_empty());
    assert_eq!(restored.digest(), session.digest());
    for session in [&mut session, &mut restored] {
        session.update(one, |o| o.amount = 700).unwrap();
        order(session, 3, 5);
        assert_eq!(fire(session), ["600 of 0", "700 of 0", "5 of 0"]);
    }
    assert_eq!(restored.digest(), session.digest());
}
