//! S79 to S91: truth maintenance.

use steadfast::prelude::*;
use steadfast::{ChangeError, Error};

use crate::support::{durable, fire, memory, said, say};

#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Payment {
    order: u64,
    amount: i64,
}

#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Suspicious {
    order: u64,
}

#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Hold {
    order: u64,
}

#[rule(logical)]
fn suspicious(#[when(p.amount > 1000)] p: &Payment) -> Suspicious {
    say(format!("suspicious {}", p.order));
    Suspicious { order: p.order }
}

#[rule(logical)]
fn hold(s: &Suspicious) -> Hold {
    say(format!("hold {}", s.order));
    Hold { order: s.order }
}

ruleset!(suspicion = 1: suspicious; facts: Hold);
ruleset!(chain = 1: suspicious, hold);

fn pay(session: &mut Session, order: u64, amount: i64) -> Handle<Payment> {
    session.insert(Payment { order, amount }).unwrap()
}

fn suspects(session: &mut Session) -> Vec<Handle<Suspicious>> {
    session.query::<Suspicious>().unwrap().iter().map(Ref::handle).collect()
}

#[test]
fn s79_a_derived_fact_lives_as_long_as_a_match_supports_it() {
    let mut session = memory(suspicion());
    let payment = pay(&mut session, 1, 5000);
    fire(&mut session);
    assert_eq!(suspects(&mut session).len(), 1);
    session.update(payment, |p| p.amount = 10).unwrap();
    assert!(suspects(&mut session).is_empty());
    assert!(said().is_empty(), "nothing fires for the end of a match");
}

#[test]
fn s80_equal_derived_facts_are_one_fact_with_two_supports() {
    let mut session = memory(suspicion());
    let one = pay(&mut session, 7, 5000);
    let two = pay(&mut session, 7, 6000);
    assert_eq!(fire(&mut session), ["suspicious 7", "suspicious 7"]);
    let facts = suspects(&mut session);
    assert_eq!(facts.len(), 1);
    session.delete(one).unwrap();
    assert_eq!(suspects(&mut session), facts);
    session.delete(two).unwrap();
    assert!(suspects(&mut session).is_empty());
}

/// Raised for an order by any of its payments; when it was seen first does not tell alarms apart.
#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Alarm {
    #[fact(derived_key)]
    order: u64,
    first: i64,
    #[fact(derived_key)]
    kind: String,
}

#[rule(logical)]
fn alarm(#[when(p.amount > 1000)] p: &Payment) -> Alarm {
    Alarm { order: p.order, first: p.amount, kind: "high".into() }
}

ruleset!(alarms = 1: alarm);

fn raised(session: &mut Session) -> Vec<(Handle<Alarm>, i64)> {
    let alarms = session.query::<Alarm>().unwrap();
    alarms.iter().map(|alarm| (alarm.handle(), alarm.first)).collect()
}

#[test]
fn s80_a_derived_key_tells_derived_facts_apart_and_the_first_value_stays() {
    let mut session = memory(alarms());
    let one = pay(&mut session, 7, 5000);
    let two = pay(&mut session, 7, 6000);
    pay(&mut session, 8, 9000);
    assert_eq!(session.fire_all().unwrap().count, 3);
    let found = raised(&mut session);
    assert_eq!(found.iter().map(|it| it.1).collect::<Vec<_>>(), [5000, 9000]);
    // What the match derives anew is the same fact.
    session.update(two, |p| p.amount = 6001).unwrap();
    session.fire_all().unwrap();
    session.delete(one).unwrap();
    assert_eq!(raised(&mut session), found, "the second payment supports it");
    session.delete(two).unwrap();
    assert_eq!(raised(&mut session), found[1..]);
    // The next one is another fact.
    pay(&mut session, 7, 7000);
    session.fire_all().unwrap();
    assert_eq!(raised(&mut session).len(), 2);
    assert!(raised(&mut session).iter().all(|(handle, _)| *handle != found[0].0));
}

#[test]
fn s80_within_a_firing_a_derived_key_tells_facts_apart_too() {
    #[rule]
    fn twice(p: &Payment, cx: &mut Then) -> RuleResult {
        let make = |first, kind: &str| Alarm { order: p.order, first, kind: kind.into() };
        let one = cx.insert_logical(make(1, "low"))?;
        assert_eq!(cx.insert_logical(make(2, "low"))?, one);
        assert_ne!(cx.insert_logical(make(1, "other"))?, one);
        // What it inserts is a fact of its own, unless it is equal in all fields.
        assert_ne!(cx.insert(make(3, "low"))?, one);
        assert_eq!(cx.insert(make(1, "low"))?, one);
        Ok(())
    }
    ruleset!(twofold = 1: twice; facts: Alarm);
    let mut session = memory(twofold());
    let payment = pay(&mut session, 1, 10);
    session.fire_all().unwrap();
    assert_eq!(raised(&mut session).len(), 3);
    session.delete(payment).unwrap();
    let left: Vec<i64> = raised(&mut session).iter().map(|it| it.1).collect();
    assert_eq!(left, [1, 3], "what was inserted stays");
}

#[test]
fn s82_s84_only_an_equal_value_states_a_fact_with_a_derived_key_and_a_stated_one_is_found_by_it() {
    let mut session = memory(alarms());
    let payment = pay(&mut session, 1, 5000);
    session.fire_all().unwrap();
    let derived = raised(&mut session)[0].0;
    let make = |first| Alarm { order: 1, first, kind: "high".into() };
    let other = session.insert(make(1)).unwrap();
    assert_ne!(other, derived);
    assert_eq!(session.insert(make(5000)).unwrap(), derived);
    session.delete(payment).unwrap();
    assert_eq!(raised(&mut session), [(derived, 5000), (other, 1)], "both are stated");
    session.delete(derived).unwrap();
    // A match that derives one with this key supports the one there is.
    let payment = pay(&mut session, 1, 8000);
    session.fire_all().unwrap();
    assert_eq!(raised(&mut session), [(other, 1)]);
    assert!(session.delete_stated(other).unwrap());
    assert_eq!(raised(&mut session), [(other, 1)], "it is derived now");
    session.delete(payment).unwrap();
    assert!(raised(&mut session).is_empty());
}

#[test]
fn s87_a_derived_fact_may_be_changed_outside_of_its_derived_key() {
    let dir = tempfile::tempdir().unwrap();
    let mut session = durable(dir.path()).open(alarms()).unwrap();
    let one = pay(&mut session, 1, 5000);
    session.fire_all().unwrap();
    let derived = raised(&mut session)[0].0;
    session.update(derived, |alarm| alarm.first = 1).unwrap();
    let refused = session.update(derived, |alarm| alarm.kind = "low".into()).unwrap_err();
    assert!(matches!(refused, Error::Change(ChangeError::JustifiedModify { .. })), "{refused:?}");
    drop(session);
    // A session that was opened again finds it by its derived key as before.
    let mut session = durable(dir.path()).open(alarms()).unwrap();
    let two = pay(&mut session, 1, 6000);
    session.fire_all().unwrap();
    assert_eq!(raised(&mut session), [(derived, 1)]);
    session.delete(one).unwrap();
    assert_eq!(raised(&mut session), [(derived, 1)]);
    session.delete(two).unwrap();
    assert!(raised(&mut session).is_empty());
}

#[test]
fn s81_one_match_supports_an_equal_fact_once() {
    #[rule]
    fn twice(p: &Payment, cx: &mut Then) -> RuleResult {
        let first = cx.insert_logical(Suspicious { order: p.order })?;
        let second = cx.insert_logical(Suspicious { order: p.order })?;
        assert_eq!(first, second);
        Ok(())
    }
    ruleset!(doubling = 1: twice; facts: Suspicious);
    let mut session = memory(doubling());
    let payment = pay(&mut session, 1, 5);
    session.fire_all().unwrap();
    assert_eq!(suspects(&mut session).len(), 1);
    session.delete(payment).unwrap();
    assert!(suspects(&mut session).is_empty());
}

#[test]
fn s82_stating_a_derived_fact_keeps_its_handle_and_outlives_its_supports() {
    let mut session = memory(suspicion());
    let payment = pay(&mut session, 1, 5000);
    fire(&mut session);
    let derived = suspects(&mut session)[0];
    assert_eq!(session.insert(Suspicious { order: 1 }).unwrap(), derived);
    session.delete(payment).unwrap();
    assert_eq!(suspects(&mut session), [derived]);
}

#[test]
fn s83_deleting_a_stated_fact_leaves_it_derived_while_a_match_supports_it() {
    let mut session = memory(suspicion());
    let stated = session.insert(Suspicious { order: 1 }).unwrap();
    let payment = pay(&mut session, 1, 5000);
    fire(&mut session);
    assert!(session.delete(stated).unwrap());
    assert_eq!(suspects(&mut session), [stated]);
    session.delete(payment).unwrap();
    assert!(suspects(&mut session).is_empty());
}

#[test]
fn s84_deriving_what_is_stated_makes_no_second_fact() {
    let mut session = memory(suspicion());
    let stated = session.insert(Suspicious { order: 1 }).unwrap();
    session.insert(Suspicious { order: 1 }).unwrap();
    pay(&mut session, 1, 5000);
    fire(&mut session);
    assert_eq!(session.query::<Suspicious>().unwrap().len(), 2);
    // The oldest of the stated ones took the support.
    session.delete(stated).unwrap();
    assert_eq!(suspects(&mut session).len(), 2);
}

#[test]
fn s85_a_derived_fact_that_is_deleted_comes_back_with_a_new_trigger_only() {
    let mut session = memory(suspicion());
    let payment = pay(&mut session, 1, 5000);
    fire(&mut session);
    let derived = suspects(&mut session)[0];
    assert!(session.delete(derived).unwrap());
    assert!(fire(&mut session).is_empty());
    assert!(suspects(&mut session).is_empty());
    session.update(payment, |p| p.amount = 6000).unwrap();
    assert_eq!(fire(&mut session), ["suspicious 1"]);
    assert_eq!(suspects(&mut session).len(), 1);
}

#[test]
fn s87_a_derived_fact_cannot_be_changed_until_it_is_stated() {
    #[rule]
    fn correct(s: Ref<Suspicious>, cx: &mut Then) -> RuleResult {
        cx.touch(s)?;
        let refused = cx.update(s, |s| s.order = 2).unwrap_err();
        assert!(matches!(refused, ChangeError::JustifiedModify { .. }), "{refused:?}");
        // Inserting its equal states it, which is what makes it a fact to be changed.
        assert_eq!(cx.insert(Suspicious { order: s.order })?, s.handle());
        cx.modify(s, |s| s.order += 10)
    }
    let mut session = memory(suspicion());
    pay(&mut session, 1, 5000);
    fire(&mut session);
    let derived = suspects(&mut session)[0];
    let error = session.update(derived, |s| s.order = 2).unwrap_err();
    assert!(matches!(error, Error::Change(ChangeError::JustifiedModify { .. })), "{error:?}");
    // What leaves it as it is may be done: nothing, and a touch.
    session.update(derived, |s| s.order = 1).unwrap();
    session.touch(derived).unwrap();
    assert!(fire(&mut session).is_empty(), "no rule looks at it");
    assert_eq!(suspects(&mut session), [derived]);
    session.insert(Suspicious { order: 1 }).unwrap();
    session.update(derived, |s| s.order = 2).unwrap();

    ruleset!(correction = 1: suspicious, correct);
    let mut session = memory(correction());
    pay(&mut session, 1, 5000);
    assert_eq!(session.fire(2).unwrap().count, 2);
    assert_eq!(session.query::<Suspicious>().unwrap()[0].order, 11);
    said();
}

#[test]
fn s88_supports_that_a_match_does_not_issue_again_are_withdrawn_after_it_fired_again() {
    #[rule]
    fn some(#[watch(amount)] p: &Payment, cx: &mut Then) -> RuleResult {
        say(format!("{} pays {}", p.order, p.amount));
        cx.insert_logical(Suspicious { order: p.order })?;
        if p.amount > 1000 {
            cx.insert_logical(Hold { order: p.order })?;
        }
        Ok(())
    }
    #[rule]
    fn seen(s: &Suspicious) {
        say(format!("seen {}", s.order));
    }
    ruleset!(some_of_them = 1: some, seen; facts: Hold);
    let mut session = memory(some_of_them());
    let payment = pay(&mut session, 1, 5000);
    assert_eq!(fire(&mut session), ["1 pays 5000", "seen 1"]);
    let kept = suspects(&mut session);
    session.update(payment, |p| p.amount = 10).unwrap();
    // Not before it fires: until then the match supports what it did.
    assert_eq!(session.query::<Hold>().unwrap().len(), 1);
    assert_eq!(fire(&mut session), ["1 pays 10"], "what is issued again is not news");
    assert_eq!(suspects(&mut session), kept);
    assert!(session.query::<Hold>().unwrap().is_empty());
}

#[test]
fn s90_a_consequence_that_fails_leaves_the_supports_as_they_were() {
    #[rule]
    fn fragile(#[watch(amount)] p: &Payment, cx: &mut Then) -> RuleResult {
        if p.amount < 0 {
            cx.insert_logical(Hold { order: p.order })?;
            return Err(RuleError::new("negative"));
        }
        cx.insert_logical(Suspicious { order: p.order })?;
        Ok(())
    }
    ruleset!(fragility = 1: fragile; facts: Suspicious, Hold);
    let mut session = memory(fragility());
    let payment = pay(&mut session, 1, 5);
    session.fire_all().unwrap();
    session.update(payment, |p| p.amount = -5).unwrap();
    session.fire_all().unwrap_err();
    assert_eq!(suspects(&mut session).len(), 1);
    assert!(session.query::<Hold>().unwrap().is_empty());
}

#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Link(u64);

#[test]
fn s91_a_long_chain_of_supports_falls_in_one_evaluation() {
    #[rule(logical)]
    fn next(#[when(l.0 < 2000)] l: &Link) -> Link {
        Link(l.0 + 1)
    }
    ruleset!(chain = 1: next);
    let mut session = memory(chain());
    let first = session.insert(Link(0)).unwrap();
    session.fire_all().unwrap();
    assert_eq!(session.query::<Link>().unwrap().len(), 2001);
    session.delete(first).unwrap();
    session.flush().unwrap();
    assert_eq!(session.fact_count(), 0);
}

#[test]
fn s91_cascades_go_by_rule_and_fact_and_end_before_anything_fires() {
    #[rule(salience = -1)]
    fn calm(p: &Payment, #[not(h.order == p.order)] h: Absent<Hold>) {
        say(format!("{} is free", p.order));
    }
    ruleset!(releasing = 1: suspicious, hold, calm);
    let mut session = memory(releasing());
    let payment = pay(&mut session, 1, 5000);
    assert_eq!(fire(&mut session), ["suspicious 1", "hold 1"]);
    // Two links deep: the hold goes in the evaluation in which the suspicion ends.
    session.update(payment, |p| p.amount = 10).unwrap();
    assert_eq!(fire(&mut session), ["1 is free"]);
    assert_eq!(session.fact_count(), 1);
}

#[test]
fn s91_of_one_cascade_facts_go_by_the_place_of_the_rule_and_then_by_age() {
    #[rule(logical, salience = -1)]
    fn early(#[when(p.amount > 1000)] p: &Payment) -> Hold {
        Hold { order: p.order }
    }
    #[rule(logical, salience = 1)]
    fn late(#[when(p.amount > 1000)] p: &Payment) -> Suspicious {
        Suspicious { order: p.order }
    }
    ruleset!(both = 1: early, late);
    let mut session = memory(both());
    let payments = [1, 2].map(|order| pay(&mut session, order, 5000));
    session.fire_all().unwrap();
    let holds: Vec<_> =
        session.query::<Hold>().unwrap().iter().map(|it| it.handle().fact()).collect();
    let suspects: Vec<_> = suspects(&mut session).into_iter().map(Handle::fact).collect();
    assert!(suspects < holds, "what the later rule derived is older");
    let gone = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let into = std::sync::Arc::clone(&gone);
    session.listen(move |event| {
        if let steadfast::Event::Deleted { fact, cascade: true, .. } = event {
            into.lock().unwrap().push(*fact);
        }
    });
    session
        .transact(|stage| {
            stage.delete(payments[1])?;
            stage.delete(payments[0])?;
            Ok(())
        })
        .unwrap();
    session.flush().unwrap();
    assert_eq!(*gone.lock().unwrap(), [holds, suspects].concat());
}

#[test]
fn supports_of_a_chain_are_derived_link_by_link() {
    let mut session = memory(chain());
    pay(&mut session, 1, 5000);
    assert_eq!(fire(&mut session), ["suspicious 1", "hold 1"]);
}

#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Flag {
    order: u64,
}

/// Derives a hold and ends its own match: the hold is there in the first round of the flush and gone
/// in the second.
#[rule(salience = 10)]
fn flash(f: Ref<Flag>, cx: &mut Then) -> RuleResult {
    say(format!("flash {}", f.order));
    cx.insert_logical(Hold { order: f.order })?;
    cx.delete(f)?;
    Ok(())
}

#[test]
fn a_match_that_a_later_round_of_a_flush_brings_back_was_updated_or_is_new_if_it_lost_supports() {
    #[rule]
    fn free(p: &Payment, #[not(h.order == p.order)] h: Absent<Hold>) {
        say(format!("free {}", p.order));
    }
    #[rule(logical)]
    fn mark(p: &Payment, #[not(h.order == p.order)] h: Absent<Hold>) -> Suspicious {
        say(format!("mark {}", p.order));
        Suspicious { order: p.order }
    }
    ruleset!(flashes = 1: flash, free, mark);
    let mut session = memory(flashes());
    pay(&mut session, 1, 5);
    assert_eq!(fire(&mut session), ["free 1", "mark 1"]);
    let marked = suspects(&mut session);
    session.insert(Flag { order: 1 }).unwrap();
    // What only `mark` supported went with the first round, so it has to be derived anew.
    assert_eq!(fire(&mut session), ["flash 1", "mark 1"]);
    assert_ne!(suspects(&mut session), marked);
}

/// What an order costs: one sheet for each order.
#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
#[fact(unique)]
struct Sheet {
    #[fact(key)]
    order: u64,
    amount: i64,
}

#[rule(logical)]
fn sheet(#[watch(amount)] p: &Payment) -> Sheet {
    Sheet { order: p.order, amount: p.amount }
}

/// Derives a sheet, and then the one that it may have derived before.
#[rule]
fn two_sheets(#[watch(amount)] p: &Payment, cx: &mut Then) -> RuleResult {
    cx.insert_logical(Sheet { order: p.order, amount: p.amount })?;
    cx.insert_logical(Sheet { order: p.order, amount: 1 })?;
    Ok(())
}

ruleset!(sheets = 1: sheet);
ruleset!(pairs = 1: two_sheets; facts: Sheet);

fn amounts(session: &mut Session) -> Vec<i64> {
    session.query::<Sheet>().unwrap().iter().map(|sheet| sheet.amount).collect()
}

#[test]
fn s24_a_derived_fact_does_not_take_the_key_of_another_one() {
    let mut session = memory(sheets());
    pay(&mut session, 1, 5);
    fire(&mut session);
    // Neither that of one that another match derives, nor that of a stated one.
    let second = pay(&mut session, 1, 6);
    let error = session.fire_all().unwrap_err();
    assert!(error.report().contains("a `Sheet` with the same key exists"), "{}", error.report());
    assert_eq!(amounts(&mut session), [5]);
    session.delete(second).unwrap();
    session.insert(Sheet { order: 2, amount: 1 }).unwrap();
    pay(&mut session, 2, 7);
    assert!(session.fire_all().is_err());
    assert_eq!(amounts(&mut session), [5, 1]);

    let mut session = memory(pairs());
    let payment = pay(&mut session, 1, 1);
    fire(&mut session);
    session.update(payment, |p| p.amount = 2).unwrap();
    assert!(session.fire_all().is_err(), "what goes does not stay beside what takes its key");
    assert_eq!(amounts(&mut session), [1]);
}

#[test]
fn s24_a_match_that_fires_again_replaces_what_it_derived_under_a_key() {
    let mut session = memory(sheets());
    let payment = pay(&mut session, 1, 5);
    fire(&mut session);
    for amount in [6, 7, 5] {
        session.update(payment, |p| p.amount = amount).unwrap();
        fire(&mut session);
        assert_eq!(amounts(&mut session), [amount]);
    }
}

/// Derives the sheet of a payment; of a large one, states the small sheet and tries to derive a large one.
#[rule]
fn states_the_old_one(#[watch(amount)] p: &Payment, cx: &mut Then) -> RuleResult {
    if p.amount > 1 {
        cx.insert(Sheet { order: p.order, amount: 1 })?;
        let refused = cx.insert_logical(Sheet { order: p.order, amount: p.amount });
        assert!(refused.is_err(), "what is stated meanwhile does not go");
    } else {
        cx.insert_logical(Sheet { order: p.order, amount: p.amount })?;
    }
    Ok(())
}

ruleset!(stating = 1: states_the_old_one; facts: Sheet);

#[test]
fn s24_what_a_match_derived_and_states_now_keeps_its_key() {
    let mut session = memory(stating());
    let payment = pay(&mut session, 1, 1);
    fire(&mut session);
    session.update(payment, |p| p.amount = 2).unwrap();
    assert_eq!(session.fire_all().unwrap().count, 1);
    assert_eq!(amounts(&mut session), [1]);
    session.delete(payment).unwrap();
    assert_eq!(amounts(&mut session), [1], "it is stated");
}

#[test]
fn s82_a_derived_fact_of_a_unique_type_is_stated_like_others() {
    let mut session = memory(sheets());
    for order in [1, 2, 3] {
        pay(&mut session, order, 5);
    }
    fire(&mut session);
    let facts: Vec<_> = session.query::<Sheet>().unwrap().iter().map(Ref::handle).collect();
    assert_eq!(session.insert(Sheet { order: 1, amount: 5 }).unwrap(), facts[0]);
    assert_eq!(session.insert_unique(Sheet { order: 2, amount: 5 }).unwrap(), facts[1]);
    // One that only has the key is found, and stays derived.
    assert_eq!(session.insert_unique(Sheet { order: 3, amount: 9 }).unwrap(), facts[2]);
    let stated = |session: &mut Session, at: usize| session.why(facts[at]).unwrap().unwrap().stated;
    assert!(stated(&mut session, 0) && stated(&mut session, 1) && !stated(&mut session, 2));
    assert!(session.insert(Sheet { order: 3, amount: 9 }).is_err());
}
