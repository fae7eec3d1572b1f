//! SF0011 to SF0014 and SF0017 to SF0021: work that a session refuses, or fails at.

use steadfast::prelude::*;
use steadfast::{Error, FactHandle, SessionId};

use super::report;
use crate::support::{Disk, fire, memory, said, say};

#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
#[fact(unique)]
struct Customer {
    #[fact(key)]
    id: u64,
}

#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Order {
    id: u64,
    amount: i64,
}

#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Big {
    order: u64,
}

#[rule(logical)]
fn big(#[when(o.amount > 100)] o: &Order) -> Big {
    Big { order: o.id }
}

ruleset!(shop = 1: big; facts: Customer);

#[test]
fn sf0011_each_change_that_is_refused_says_why_and_changes_nothing() {
    let disk = Disk::new();
    let mut session = disk.open(shop());
    session.advance_clock(1000).unwrap();
    let customer = session.insert(Customer { id: 1 }).unwrap();
    let order = session.insert(Order { id: 1, amount: 500 }).unwrap();
    session.fire_all().unwrap();
    let derived = session.query::<Big>().unwrap()[0].handle();
    let dead = session.insert(Customer { id: 2 }).unwrap();
    session.delete(dead).unwrap();
    let stranger = memory(shop()).insert(Order { id: 1, amount: 5 }).unwrap();
    let digest = session.digest();
    let errors = [
        session.insert(Customer { id: 1 }).unwrap_err(),
        session.update(dead, |c| c.id = 3).unwrap_err(),
        session.update(stranger, |o| o.amount = 6).unwrap_err(),
        session.update(derived, |b| b.order = 7).unwrap_err(),
        session.advance_clock(999).unwrap_err(),
        session.focus("billing").unwrap_err(),
    ];
    let expected = [
        format!("a `Customer` with the same key exists: {customer:?}"),
        format!("fact {dead:?} of type `Customer` does not exist (any more)"),
        format!(
            "fact {stranger:?} of type `Order` belongs to another session ({:08x}, this one is {:08x})",
            stranger.session(),
            order.session()
        ),
        format!(
            "`Big` {derived:?} is derived by rules; its value cannot be changed from outside them"
        ),
        "the clock is at 1000 ms and cannot go back to 999 ms".to_owned(),
        "no rule of the ruleset is in an agenda group `billing`".to_owned(),
    ];
    for (error, expected) in errors.iter().zip(expected) {
        let expected =
            format!("error SF0011: {expected}\n  help: nothing was applied; correct the change");
        assert_eq!(report(error, &disk), expected);
    }
    assert_eq!(session.digest(), digest);
    assert_eq!(disk.crash().open(shop()).digest(), digest);
}

#[rule]
fn careful(#[when(o.amount < 0)] o: &Order) -> RuleResult {
    say(format!("careful {}", o.id));
    let tools: Result<(), std::num::ParseIntError> = "none".parse::<u8>().map(drop);
    Ok(tools?)
}

#[rule]
fn brittle(#[when(o.amount == 0)] o: &Order) {
    say(format!("brittle {}", o.id));
    panic!("order {} broke", o.id);
}

ruleset!(trouble = 1: careful, brittle);

#[test]
fn sf0012_a_consequence_that_fails_is_named_with_its_facts_and_stays_pending_over_a_restart() {
    let cases = [
        (
            -5,
            "error SF0012: rule `it::errors::work::careful` failed on [f#1]: invalid digit found in string",
        ),
        (
            0,
            "error SF0012: rule `it::errors::work::brittle` failed on [f#1]: panicked: order 1 broke",
        ),
    ];
    for (amount, expected) in cases {
        let disk = Disk::new();
        let mut session = disk.open(trouble());
        let order = session.insert(Order { id: 1, amount }).unwrap();
        let expected = format!(
            "{expected}
  help: the match is still pending: correct what it needs and fire again, or declare the rule on_error = skip"
        );
        assert_eq!(report(&session.fire_all().unwrap_err(), &disk), expected);
        assert_eq!(said().len(), 1);
        let digest = session.digest();
        drop(session);

        let mut session = disk.open(trouble());
        assert!(said().is_empty());
        assert_eq!(session.digest(), digest);
        assert_eq!(report(&session.fire_all().unwrap_err(), &disk), expected);
        assert_eq!(said().len(), 1);
        session.update(order, |o| o.amount = 5).unwrap();
        assert!(fire(&mut session).is_empty(), "what it needs is corrected");
    }
}

#[test]
fn sf0021_whether_a_match_fires_may_be_what_cannot_be_told() {
    #[rule(on_error = "skip", enabled = 100 / o.amount > 3)]
    fn share(o: &Order) {
        say(format!("share {}", o.id));
    }
    ruleset!(shares = 1: share);
    let disk = Disk::new();
    let mut session = disk.open(shares());
    session.insert(Order { id: 1, amount: 0 }).unwrap();
    let expected = "error SF0021: whether rule `it::errors::work::share` fires on [f#1] could not be told: `enabled` panicked: attempt to divide by zero
  help: the match is still pending: correct what panicked and fire again";
    assert_eq!(report(&session.fire_all().unwrap_err(), &disk), expected);
    assert_eq!((said().len(), session.pending().len()), (0, 1));
}

#[test]
fn sf0020_a_run_that_seems_not_to_end_names_the_rules_that_fire_again_and_again() {
    #[rule]
    fn rise(#[when(o.amount >= 0)] o: Ref<Order>, cx: &mut Then) -> RuleResult {
        cx.modify(o, |o| o.amount += 1)
    }
    ruleset!(rising = 1: rise);
    let disk = Disk::new();
    let mut session = disk.open(rising());
    session.max_firings(50);
    session.insert(Order { id: 1, amount: 0 }).unwrap();
    let expected = "error SF0020: after 51 firings the run seems not to end: it::errors::work::rise fires again and again
  help: see whether the rules trigger each other without end; if not, raise max_firings or fire again";
    assert_eq!(report(&session.fire_all().unwrap_err(), &disk), expected);
    assert_eq!((session.pending().len(), session.query::<Order>().unwrap()[0].amount), (1, 51));
    let digest = session.digest();
    assert_eq!(disk.crash().open(rising()).digest(), digest);
}

fn fine(order: &Order) -> bool {
    assert!(order.amount != 13, "unlucky");
    order.amount > 0
}

#[rule]
fn superstitious(#[when(fine(o))] o: &Order) {
    say(format!("fine {}", o.id));
}

#[rule]
fn total(#[aggregate(sum(o.amount))] g: Group<Order, (), (i64,)>) {
    say(format!("total {}", g.0));
}

ruleset!(superstition = 1: superstitious, total);

#[test]
fn sf0013_and_sf0014_a_condition_that_panics_stops_the_session_until_it_is_reopened() {
    let disk = Disk::new();
    let mut session = disk.open(superstition());
    session.insert(Order { id: 1, amount: 5 }).unwrap();
    assert_eq!(fire(&mut session), ["fine 1", "total 5"]);
    session.insert(Order { id: 2, amount: 13 }).unwrap();
    let error = session.fire_all().unwrap_err();
    let expected = "error SF0013: condition `fine(o)` of rule `it::errors::work::superstitious` panicked on Order f#2: unlucky; the session takes no more work
  help: reopen the session: nothing is evaluated by that, so that the fact can be corrected or deleted first; or correct the rule";
    assert_eq!(report(&error, &disk), expected);
    let stopped = "error SF0014: the session stopped after an earlier error
  help: reopen the session: it comes back at its last safe point";
    let errors = [
        session.fire_all().unwrap_err(),
        session.flush().unwrap_err(),
        session.query::<Order>().map(drop).unwrap_err(),
        session.insert(Order { id: 3, amount: 5 }).map(drop).unwrap_err(),
        session.advance_clock(1).unwrap_err(),
    ];
    for error in errors {
        assert_eq!(report(&error, &disk), stopped);
    }
    said();
    drop(session);

    // It comes back where the fact is staged and nothing has looked at it: it can be taken away.
    let mut session = disk.open(superstition());
    let unlucky = session.handle::<Order>(FactHandle::new(2)).unwrap();
    session.delete(unlucky).unwrap();
    session.insert(Order { id: 3, amount: 5 }).unwrap();
    assert_eq!(fire(&mut session), ["fine 3", "total 10"]);
}

fn unlike(one: &Order, other: &Order) -> bool {
    assert!(one.amount + other.amount != 13, "unlucky together");
    one.amount > other.amount
}

#[rule]
fn pairs(#[when(o.amount > 0)] o: &Order, #[when(p.id > o.id && unlike(o, p))] p: &Order) {
    say(format!("{} and {}", o.id, p.id));
}

#[rule(salience = if o.amount == 13 { panic!("no rank") } else { 1 })]
fn ranked(o: &Order) {
    say(format!("ranked {}", o.id));
}

#[test]
fn sf0013_what_panicked_is_told_as_far_as_it_is_known() {
    ruleset!(paired = 1: superstitious, pairs);
    let insert = |session: &mut Session, amounts: &[i64]| {
        let facts = amounts.iter().zip(1..).map(|(&amount, id)| Order { id, amount });
        let inserted = session.transact(|stage| Ok(facts.map(|fact| stage.insert(fact)).collect()));
        inserted.map(|handles: Result<Vec<_>, _>| drop(handles.unwrap())).unwrap();
        session.flush().unwrap_err().to_string()
    };
    // Among many facts it is this one, and of two rules the one that asks.
    let found = insert(&mut memory(paired()), &[1, 2, 13, 4]);
    let expected = "condition `fine(o)` of rule `it::errors::work::superstitious` panicked on Order f#3: unlucky; the session takes no more work";
    assert_eq!(found, expected);
    // Of a condition on two facts the rule is known; alone, or one of many changes.
    let expected = "a condition of rule `it::errors::work::pairs` panicked: unlucky together; the session takes no more work";
    assert_eq!(insert(&mut memory(paired()), &[6, 7]), expected);
    let mut session = memory(paired());
    session.insert(Order { id: 9, amount: 6 }).unwrap();
    session.flush().unwrap();
    assert_eq!(insert(&mut session, &[7]), expected);
    ruleset!(ranking = 1: ranked);
    let expected = "a condition of rule `it::errors::work::ranked` panicked: no rank; the session takes no more work";
    assert_eq!(insert(&mut memory(ranking()), &[13]), expected);
    assert_eq!(insert(&mut memory(ranking()), &[13, 1]), expected);
}

thread_local!(static IN_A_MOOD: std::cell::Cell<bool> = const { std::cell::Cell::new(false) });

fn moody(order: &Order) -> bool {
    assert!(!IN_A_MOOD.get(), "not today");
    order.amount > 0
}

#[rule]
fn mood(#[when(moody(o))] o: &Order) {
    say(format!("fine {}", o.id));
}

#[test]
fn sf0013_a_condition_that_panics_while_the_session_is_restored_opens_nothing() {
    ruleset!(moods = 1: mood);
    let disk = Disk::new();
    let mut session = disk.open(moods());
    session.insert(Order { id: 1, amount: 5 }).unwrap();
    assert_eq!(fire(&mut session), ["fine 1"]);
    let digest = session.digest();
    drop(session);
    IN_A_MOOD.set(true);
    let expected = "error SF0013: the session could not be recovered
  condition `moody(o)` of rule `it::errors::work::mood` panicked on Order f#1: not today; the session takes no more work
  help: reopen the session: nothing is evaluated by that, so that the fact can be corrected or deleted first; or correct the rule";
    assert_eq!(report(&disk.try_open(moods()).unwrap_err(), &disk), expected);
    IN_A_MOOD.set(false);
    assert_eq!(disk.open(moods()).digest(), digest);
}

#[test]
fn sf0013_a_sum_that_does_not_fit_is_an_error_and_never_a_wrapped_number() {
    let disk = Disk::new();
    let mut session = memory(superstition());
    session.insert(Order { id: 1, amount: i64::MAX }).unwrap();
    session.insert(Order { id: 2, amount: 1 }).unwrap();
    let error = session.fire_all().unwrap_err();
    let expected = "error SF0013: an accumulate of rule `it::errors::work::total` has no result; the session takes no more work
  sum is 9223372036854775808, which does not fit i64
  help: reopen the session: nothing is evaluated by that, so that the fact can be corrected or deleted first; or correct the rule";
    assert_eq!(report(&error, &disk), expected);
}

#[test]
fn sf0017_a_transaction_that_gives_up_says_why() {
    let disk = Disk::new();
    let mut session = memory(shop());
    let error = session.transact::<()>(|_| Err(Error::give_up("no stock"))).unwrap_err();
    let expected = "error SF0017: the transaction was given up: no stock
  help: nothing was applied";
    assert_eq!(report(&error, &disk), expected);
}

#[test]
fn sf0018_sf0019_and_sf0022_what_is_not_there_is_named() {
    #[query]
    fn elsewhere(o: &Order) -> u64 {
        o.id
    }
    let disk = Disk::new();
    let mut session = memory(shop());
    let key = steadfast::EffectKey {
        session: SessionId::from_bytes([0xab; 16]),
        commit: session.last_commit(),
        ordinal: 3,
    };
    let expected = "error SF0018: no effect abababab-abab-abab-abab-abababababab/0/3 waits for an acknowledgement
  help: acknowledge each delivered effect once";
    assert_eq!(report(&session.acknowledge(key).unwrap_err(), &disk), expected);
    let expected = "error SF0019: the ruleset has no query `it::errors::work::elsewhere`
  help: name the query in the ruleset (`queries: …`)";
    assert_eq!(report(&session.rows::<elsewhere>().unwrap_err(), &disk), expected);
    let expected = "error SF0022: the ruleset has no rule `nowhere`
  help: name a rule by its whole path, as `engine().rule_paths()` gives it";
    assert_eq!(report(&session.why_not_rule("nowhere", &[]).unwrap_err(), &disk), expected);
    assert_eq!(report(&session.remove_rule("nowhere").unwrap_err(), &disk), expected);
}
