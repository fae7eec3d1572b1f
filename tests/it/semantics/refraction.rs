//! S11 to S22: which changes make a match fire again.

use steadfast::ir::{Rule, RuleDef};
use steadfast::prelude::*;
use steadfast::{ChangeError, Ruleset};
use steadfast_engine_core::Discard;

use crate::support::{Disk, fire, memory, pending, say};

#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Order {
    #[fact(key)]
    id: u64,
    customer: u64,
    amount: i64,
    note: String,
}

fn order(id: u64, customer: u64, amount: i64) -> Order {
    Order { id, customer, amount, note: String::new() }
}

#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Customer {
    id: u64,
    name: String,
}

#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Big {
    order: u64,
}

#[rule(logical)]
fn big(#[when(o.amount > 100)] o: &Order) -> Big {
    say(format!("big {}", o.id));
    Big { order: o.id }
}

ruleset!(bigness = 1: big);

#[test]
fn s11_a_match_fires_once_and_stays_a_match() {
    let mut session = memory(bigness());
    session.insert(order(1, 1, 500)).unwrap();
    assert_eq!(fire(&mut session), ["big 1"]);
    assert!(fire(&mut session).is_empty());
    // It is dormant, not gone: what it supports lives.
    assert_eq!(session.query::<Big>().unwrap().len(), 1);
}

#[test]
fn s12_a_relevant_update_fires_again_what_is_still_true() {
    let mut session = memory(bigness());
    let one = session.insert(order(1, 1, 500)).unwrap();
    assert_eq!(fire(&mut session), ["big 1"]);
    session.update(one, |o| o.amount = 600).unwrap();
    assert_eq!(fire(&mut session), ["big 1"]);
}

#[test]
fn s13_update_of_a_pending_match_keeps_one_entry() {
    let mut session = memory(bigness());
    let one = session.insert(order(1, 1, 500)).unwrap();
    session.insert(order(2, 1, 500)).unwrap();
    assert_eq!(pending(&mut session).len(), 2);
    session.update(one, |o| o.amount = 600).unwrap();
    assert_eq!(pending(&mut session).len(), 2);
    // With a new trigger: order 2 is the older match now.
    assert_eq!(fire(&mut session), ["big 2", "big 1"]);
}

#[test]
fn s14_update_of_a_field_that_no_condition_reads_changes_no_match() {
    let mut session = memory(bigness());
    let one = session.insert(order(1, 1, 500)).unwrap();
    fire(&mut session);
    session.update(one, |o| o.note = "urgent".to_owned()).unwrap();
    session.update(one, |o| o.customer = 2).unwrap();
    assert!(pending(&mut session).is_empty());
}

#[test]
fn s15_an_update_that_leaves_every_field_equal_is_no_operation() {
    let mut session = memory(bigness());
    let one = session.insert(order(1, 1, 500)).unwrap();
    fire(&mut session);
    let (digest, commit) = (session.digest(), session.last_commit());
    session.update(one, |o| o.amount = 500).unwrap();
    session.modify(one, |_| {}).unwrap();
    assert_eq!((session.digest(), session.last_commit()), (digest, commit));
    assert!(fire(&mut session).is_empty());
}

#[test]
fn s15_neither_is_one_in_a_consequence_so_that_the_rule_does_not_run_for_ever() {
    #[rule]
    fn settle(o: Ref<Order>, cx: &mut Then) -> RuleResult {
        say("settle");
        cx.modify(o, |o| o.amount = o.amount.max(100))
    }
    ruleset!(settling = 1: settle);
    let mut session = memory(settling());
    session.insert(order(1, 1, 500)).unwrap();
    assert_eq!(fire(&mut session), ["settle"]);
}

#[test]
fn s16_touch_fires_every_match_of_a_fact_again_unless_its_pattern_watches_nothing() {
    #[rule]
    fn reads_nothing(o: &Order) {
        say(format!("nothing of {}", o.id));
    }
    #[rule]
    fn watches_nothing(
        #[when(o.amount > 0)]
        #[watch(none)]
        o: &Order,
    ) {
        say(format!("none of {}", o.id));
    }
    ruleset!(touching = 1: big, reads_nothing, watches_nothing);
    let mut session = memory(touching());
    let one = session.insert(order(1, 1, 500)).unwrap();
    assert_eq!(fire(&mut session), ["big 1", "nothing of 1", "none of 1"]);
    session.touch(one).unwrap();
    assert_eq!(fire(&mut session), ["big 1", "nothing of 1"]);
    assert_eq!(session.get(one).unwrap().amount, 500);
}

/// Which of these changes of a matched order fire its rule again.
fn rearming(rule: RuleDef) -> Vec<&'static str> {
    type Change = fn(&mut Order);
    let changes: [(&str, Change); 4] = [
        ("id", |o| o.id = 9),
        ("customer", |o| o.customer = 2),
        ("amount", |o| o.amount += 1),
        ("note", |o| o.note.push('!')),
    ];
    let mut session = memory(Ruleset::new("reads", 1).rule(rule).fact::<Customer>());
    customers(&mut session);
    let one = session.insert(order(1, 1, 500)).unwrap();
    fire(&mut session);
    let rearms = |(field, change): (&'static str, Change)| {
        let mut session = session.fork();
        session.update(one, change).unwrap();
        (!fire(&mut session).is_empty()).then_some(field)
    };
    changes.into_iter().filter_map(rearms).collect()
}

#[test]
fn s17_a_pattern_reads_what_conditions_use_not_what_the_consequence_uses() {
    #[rule]
    fn alpha(#[when(o.amount > 0)] o: &Order) {
        say(format!("{} {}", o.id, o.note));
    }
    #[rule]
    fn key(c: &Customer, #[when(o.customer == c.id)] o: &Order) {
        say(format!("{} {}", c.name, o.note));
    }
    #[rule]
    fn residual_of_a_later_pattern(
        o: &Order,
        #[cross]
        #[when(c.name.len() + o.note.len() < 99)]
        c: &Customer,
    ) {
        say(format!("{} {}", c.name, o.amount));
    }
    #[rule]
    fn key_of_a_later_pattern(o: &Order, #[when(c.id == o.customer)] c: &Customer) {
        say(format!("{} {}", c.name, o.note));
    }
    #[rule]
    fn key_of_an_absence(o: &Order, #[not(b.order == o.id)] b: Absent<Big>) {
        say(o.note.clone());
    }
    #[rule]
    fn range_of_a_group(
        o: &Order,
        #[aggregate(count())]
        #[when(x.amount <= o.amount)]
        g: Group<Order, (), (u64,)>,
    ) {
        say(format!("{} below {}", g.0, o.id));
    }
    #[rule]
    fn nothing(o: &Order) {
        say(format!("{} {} {}", o.id, o.amount, o.note));
    }
    #[rule]
    fn not_this_one(
        #[when(o.amount > 0)]
        #[watch(none)]
        o: &Order,
    ) {
        say(o.note.clone());
    }
    let rules = [
        (alpha::definition(), vec!["amount"]),
        (key::definition(), vec!["customer"]),
        (residual_of_a_later_pattern::definition(), vec!["note"]),
        (key_of_a_later_pattern::definition(), vec!["customer"]),
        (key_of_an_absence::definition(), vec!["id"]),
        (range_of_a_group::definition(), vec!["amount"]),
        (nothing::definition(), vec![]),
        (not_this_one::definition(), vec![]),
    ];
    for (rule, expected) in rules {
        let path = rule.path.clone();
        assert_eq!(rearming(rule), expected, "{path}");
    }
}

/// Unknown and repeated fields do not compile: see the macros' own `watch` test.
#[test]
fn s18_watch_adds_fields_to_those_read_or_takes_them_away() {
    #[rule]
    fn adds(
        #[when(o.amount > 0)]
        #[watch(note)]
        o: &Order,
    ) {
        say("adds");
    }
    #[rule]
    fn takes(
        #[when(o.amount > 0 && o.id > 0)]
        #[watch(!amount)]
        o: &Order,
    ) {
        say("takes");
    }
    #[rule]
    fn all(#[watch(*)] o: &Order) {
        say("all");
    }
    #[rule]
    fn all_but(#[watch(*, !note)] o: &Order) {
        say("all_but");
    }
    #[rule]
    fn none(
        #[when(o.amount > 0)]
        #[watch(!*)]
        o: &Order,
    ) {
        say("none");
    }
    #[rule]
    fn none_but(
        #[when(o.amount > 0)]
        #[watch(!*, customer)]
        o: &Order,
    ) {
        say("none_but");
    }
    let rules = [
        (adds::definition(), vec!["amount", "note"]),
        (takes::definition(), vec!["id"]),
        (all::definition(), vec!["id", "customer", "amount", "note"]),
        (all_but::definition(), vec!["id", "customer", "amount"]),
        (none::definition(), vec![]),
        (none_but::definition(), vec!["customer"]),
    ];
    for (rule, expected) in rules {
        let path = rule.path.clone();
        assert_eq!(rearming(rule), expected, "{path}");
    }
}

#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Owned {
    order: u64,
}

#[rule(logical)]
fn owned(c: &Customer, #[when(o.customer == c.id)] o: &Order) -> Owned {
    say(format!("{} owns {}", c.name, o.id));
    Owned { order: o.id }
}

ruleset!(ownership = 1: owned);

fn customers(session: &mut Session) -> [Handle<Customer>; 2] {
    [(1, "Ann"), (2, "Bob")]
        .map(|(id, name)| session.insert(Customer { id, name: name.to_owned() }).unwrap())
}

#[test]
fn s19_a_changed_join_key_leaves_one_partner_for_another() {
    let mut session = memory(ownership());
    let [ann, _] = customers(&mut session);
    let one = session.insert(order(1, 1, 0)).unwrap();
    assert_eq!(fire(&mut session), ["Ann owns 1"]);
    session.update(one, |o| o.customer = 2).unwrap();
    assert_eq!(fire(&mut session), ["Bob owns 1"]);

    // Both sides move, the match is the same before and after: what it supports keeps its handle.
    session.update(one, |o| o.customer = 1).unwrap();
    fire(&mut session);
    let fact = session.query::<Owned>().unwrap()[0].handle();
    let both = session.transact(|stage| {
        stage.update(ann, |c| c.id = 3)?;
        stage.update(one, |o| o.customer = 3)?;
        Ok(())
    });
    both.unwrap();
    assert_eq!(session.query::<Owned>().unwrap()[0].handle(), fact);
    assert_eq!(fire(&mut session), ["Ann owns 1"]);
    assert_eq!(session.query::<Owned>().unwrap()[0].handle(), fact);
}

#[test]
fn s20_an_update_that_keeps_the_join_key_fires_again_in_order() {
    #[rule]
    fn spends(c: &Customer, #[when(o.customer == c.id && o.amount > 0)] o: &Order) {
        say(format!("{} spends {}", c.name, o.amount));
    }
    ruleset!(spending = 1: spends);
    let mut session = memory(spending());
    let [ann, _] = customers(&mut session);
    let one = session.insert(order(1, 1, 10)).unwrap();
    session.insert(order(2, 1, 20)).unwrap();
    session.insert(order(3, 2, 30)).unwrap();
    assert_eq!(fire(&mut session), ["Ann spends 10", "Ann spends 20", "Bob spends 30"]);
    // One update of the left side updates all its matches: one trigger, ordered by members.
    session.touch(ann).unwrap();
    assert_eq!(fire(&mut session), ["Ann spends 10", "Ann spends 20"]);
    session.touch(ann).unwrap();
    session.update(one, |o| o.amount = 15).unwrap();
    assert_eq!(fire(&mut session), ["Ann spends 20", "Ann spends 15"]);
}

#[test]
fn s21_several_changes_of_one_fact_between_evaluations_count_as_one() {
    let mut session = memory(bigness());
    // Insertion and update: an insertion of the last value.
    let one = session.insert(order(1, 1, 5)).unwrap();
    session.update(one, |o| o.amount = 500).unwrap();
    session.update(one, |o| o.amount = 501).unwrap();
    assert_eq!(fire(&mut session), ["big 1"]);

    // Two updates, one of them of a field that matters; there and back again still counts.
    session.update(one, |o| o.amount = 502).unwrap();
    session.update(one, |o| o.note = "urgent".to_owned()).unwrap();
    session.update(one, |o| o.amount = 501).unwrap();
    assert_eq!(fire(&mut session), ["big 1"]);

    // Insertion and deletion: nothing.
    let two = session.insert(order(2, 1, 500)).unwrap();
    session.delete(two).unwrap();
    assert!(fire(&mut session).is_empty());

    // Update and deletion: a deletion.
    session.update(one, |o| o.amount = 900).unwrap();
    session.delete(one).unwrap();
    assert!(fire(&mut session).is_empty());
    assert!(session.query::<Big>().unwrap().is_empty());

    // Deletion and insertion of an equal value: a new fact.
    let three = session.insert(order(3, 1, 500)).unwrap();
    assert_eq!(fire(&mut session), ["big 3"]);
    session.delete(three).unwrap();
    let again = session.insert(order(3, 1, 500)).unwrap();
    assert_ne!(again, three);
    assert_eq!(fire(&mut session), ["big 3"]);
}

thread_local!(static KEPT: std::cell::RefCell<Vec<Handle<Order>>> = const { std::cell::RefCell::new(Vec::new()) });

fn keep(handle: Handle<Order>) {
    KEPT.with_borrow_mut(|kept| kept.push(handle));
}

#[rule(on_error = "skip")]
fn fails(#[when(c.name == "fails")] c: &Customer, cx: &mut Then) -> RuleResult {
    keep(cx.insert(order(c.id, 1, 1))?);
    Err(RuleError::new("no"))
}

#[rule]
fn tries(#[when(c.name == "tries")] c: &Customer, cx: &mut Then) -> RuleResult {
    let tried = cx.scope(|cx| {
        keep(cx.insert(order(c.id, 2, 2))?);
        Err::<(), _>(RuleError::new("no"))
    });
    assert!(tried.is_err());
    let other = cx.insert(order(c.id, 3, 3))?;
    // It has the number, and still the handle is not its.
    KEPT.with_borrow(|kept| {
        let tried = *kept.last().unwrap();
        assert_eq!(tried.fact(), other.fact());
        assert!(cx.get(tried).is_none() && cx.get(other).is_some());
        assert!(cx.update(tried, |o| o.amount = 0).is_err());
    });
    Ok(())
}

#[test]
fn s22_a_handle_of_undone_work_is_stale_when_its_number_is_given_again() {
    ruleset!(undoing = 1: fails, tries; facts: Order);
    let mut session = memory(undoing());
    let before = session.insert(order(1, 1, 1)).unwrap();
    let undone = session.transact::<()>(|stage| {
        keep(stage.insert(order(2, 1, 1))?);
        keep(stage.insert(order(3, 1, 1))?);
        Err(steadfast::Error::give_up("changed my mind"))
    });
    undone.unwrap_err();
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        session.transact::<()>(|stage| {
            keep(stage.insert(order(2, 1, 1))?);
            std::panic::resume_unwind(Box::new("and away"))
        })
    }));
    assert!(panicked.is_err());
    for name in ["fails", "tries"] {
        session.insert(Customer { id: 4, name: name.to_owned() }).unwrap();
    }
    session.fire_all().unwrap();
    let late = [5, 6, 7].map(|id| session.insert(order(id, 1, 1)).unwrap());
    let kept = KEPT.take();
    assert_eq!(kept.len(), 5);
    let digest = session.digest();
    for stale in kept {
        // A fact lives under the number,
        assert!(session.engine().type_of(stale.fact()).is_some());
        // which the handle does not reach.
        assert!(session.get(stale).is_none());
        let updated = session.update(stale, |o| o.amount = 0).unwrap_err();
        assert!(matches!(updated, steadfast::Error::Change(ChangeError::StaleHandle { .. })));
        assert!(!session.delete(stale).unwrap());
    }
    assert_eq!(session.digest(), digest);
    for good in late.into_iter().chain([before]) {
        assert!(session.get(good).is_some());
        session.update(good, |o| o.amount += 1).unwrap();
    }
    // A session that goes on from here knows it, too.
    let stale = late[0];
    let mut fork = session.fork();
    let undone = fork.transact::<()>(|stage| {
        keep(stage.insert(order(8, 1, 1))?);
        Err(steadfast::Error::give_up("changed my mind"))
    });
    undone.unwrap_err();
    let next = fork.insert(order(9, 1, 1)).unwrap();
    assert_eq!(
        KEPT.take().pop().map(|kept| (kept.fact(), fork.get(kept).is_some())),
        Some((next.fact(), false))
    );
    assert!(fork.get(stale).is_some());
    // What is inserted alone is no exception.
    let mut engine = fork.engine().clone();
    let undone = engine.what_if(|engine| engine.stage_insert(&mut Discard, order(10, 1, 1)));
    let (undone, next) = (undone.unwrap(), engine.stage_insert(&mut Discard, order(11, 1, 1)));
    let next = next.unwrap();
    assert_eq!(undone.fact(), next.fact());
    assert!(engine.get(undone).is_none() && engine.get(next).is_some());
}

#[test]
fn s22_operations_are_numbered_without_gaps_and_handles_are_given_once() {
    let disk = Disk::new();
    let mut session = disk.open(bigness());
    let next = |session: &Session| session.engine().counters().next_seq;
    let start = next(&session);
    let one = session.insert(order(1, 1, 5)).unwrap();
    session.update(one, |o| o.amount = 6).unwrap();
    session.delete(one).unwrap();
    assert_eq!(next(&session), start + 3);
    let two = session.insert(order(2, 1, 5)).unwrap();
    assert!(two > one);

    // What was rolled back gives its numbers back.
    let given_up = session.transact::<()>(|stage| {
        stage.insert(order(3, 1, 5))?;
        Err(steadfast::Error::give_up("changed my mind"))
    });
    given_up.unwrap_err();
    let three = session.insert(order(3, 1, 5)).unwrap();
    assert_eq!(three.fact().get(), two.fact().get() + 1);

    // A restart does not begin again.
    session.delete(three).unwrap();
    session.close().unwrap();
    let mut session = disk.open(bigness());
    let four = session.insert(order(4, 1, 5)).unwrap();
    assert_eq!(four.fact().get(), three.fact().get() + 1);
}
