//! S23 to S30: insert, update and delete.

use std::cell::Cell;

use steadfast::prelude::*;
use steadfast::{ChangeError, Error};

use crate::support::{fire, memory, pending, said, say};

#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Order {
    #[fact(key)]
    id: u64,
    amount: i64,
}

#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
#[fact(unique)]
struct Customer {
    #[fact(key)]
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

ruleset!(shop = 1: big; facts: Customer);

#[test]
fn s23_insert_makes_a_new_fact_and_insert_unique_looks_for_the_key() {
    let mut session = memory(shop());
    let one = session.insert(Order { id: 1, amount: 5 }).unwrap();
    let equal = session.insert(Order { id: 1, amount: 5 }).unwrap();
    assert_ne!(one, equal);
    // Of several facts with the key, the oldest is it; the value is not changed.
    let found = session.insert_unique(Order { id: 1, amount: 99 }).unwrap();
    assert_eq!((found, session.get(found).unwrap().amount), (one, 5));
    let new = session.insert_unique(Order { id: 2, amount: 99 }).unwrap();
    assert_eq!(session.get(new).unwrap().amount, 99);
    // A type without a key has nothing to look for.
    let big = session.insert_unique(Big { order: 1 }).unwrap();
    assert_ne!(session.insert_unique(Big { order: 1 }).unwrap(), big);
}

#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Seat {
    #[fact(key)]
    row: u32,
    taken: bool,
    #[fact(key)]
    letter: String,
}

#[rule(logical)]
fn first_row(#[when(s.row == 1)] s: &Seat) -> Customer {
    Customer { id: 100, name: s.letter.clone() }
}

ruleset!(cabin = 1: first_row; facts: Seat, Seat from "rear");

#[test]
fn s23_find_gives_the_oldest_fact_with_a_key() {
    let mut session = memory(cabin());
    let seat = |row, letter: &str| Seat { row, taken: false, letter: letter.to_owned() };
    let key = |row, letter: &str| (row, letter.to_owned());
    let find = |session: &Session, row, letter| {
        session.find::<Seat>(&key(row, letter)).map(|seat| seat.handle())
    };
    let [first, second, other] = [(7, "A"), (7, "A"), (7, "B")]
        .map(|(row, letter)| session.insert(seat(row, letter)).unwrap());
    assert_eq!(find(&session, 7, "A"), Some(first));
    assert_eq!(find(&session, 7, "B"), Some(other));
    assert_eq!(find(&session, 8, "A"), None);
    // The key goes with the fact, and changes with it.
    session.delete(first).unwrap();
    assert_eq!(find(&session, 7, "A"), Some(second));
    session.update(second, |seat| seat.row = 8).unwrap();
    assert_eq!((find(&session, 7, "A"), find(&session, 8, "A")), (None, Some(second)));
    // What is staged counts, and the oldest of what is staged and what is not.
    let staged = session.transact(|stage| {
        stage.update(other, |seat| (seat.row, seat.letter) = (9, "C".to_owned()))?;
        let late = stage.insert(seat(9, "C"))?;
        assert_eq!(stage.find::<Seat>(&key(9, "C")).map(|seat| seat.handle()), Some(other));
        stage.delete(other)?;
        assert_eq!(stage.find::<Seat>(&key(9, "C")).map(|seat| seat.handle()), Some(late));
        stage.update(late, |seat| (seat.row, seat.letter) = (8, "A".to_owned()))?;
        assert_eq!(stage.find::<Seat>(&key(8, "A")).map(|seat| seat.handle()), Some(second));
        assert!(stage.find::<Seat>(&key(9, "C")).is_none());
        Err::<(), _>(Error::give_up("that was all"))
    });
    assert!(staged.is_err());
    assert_eq!((find(&session, 7, "B"), find(&session, 9, "C")), (Some(other), None));
    // Each entry point has its own, and what rules derive is found as of the last flush.
    let rear = session.entry("rear").insert(seat(1, "A")).unwrap();
    assert_eq!(session.entry("rear").find::<Seat>(&key(1, "A")).unwrap().handle(), rear);
    assert_eq!(find(&session, 1, "A"), None);
    session.insert(seat(1, "D")).unwrap();
    assert!(session.find::<Customer>(&100).is_none());
    session.fire_all().unwrap();
    assert_eq!(session.find::<Customer>(&100).unwrap().name, "D");
}

#[test]
fn s24_a_second_fact_with_the_key_of_a_unique_type_is_refused() {
    let mut session = memory(shop());
    let ann = session.insert(Customer { id: 1, name: "Ann".to_owned() }).unwrap();
    let bob = session.insert(Customer { id: 2, name: "Bob".to_owned() }).unwrap();
    let digest = session.digest();
    let inserted = session.insert(Customer { id: 1, name: "Anna".to_owned() });
    let updated = session.update(bob, |c| c.id = 1);
    for error in [inserted.unwrap_err(), updated.unwrap_err()] {
        let Error::Change(ChangeError::KeyViolation { existing, .. }) = error else {
            panic!("{error:?}")
        };
        assert_eq!(existing, ann.fact());
    }
    assert_eq!(session.digest(), digest);
    // The key is free again once its fact is gone, also within one transaction.
    let replaced = session.transact(|stage| {
        stage.delete(ann)?;
        Ok(stage.insert(Customer { id: 1, name: "Anna".to_owned() })?)
    });
    assert!(replaced.unwrap() > bob);
}

#[test]
fn s25_deleting_a_dead_fact_is_nothing_and_updating_it_an_error() {
    let mut session = memory(shop());
    let one = session.insert(Order { id: 1, amount: 500 }).unwrap();
    fire(&mut session);
    assert!(session.delete(one).unwrap());
    assert!(!session.delete(one).unwrap());
    let digest = session.digest();
    let error = session.update(one, |o| o.amount = 600).unwrap_err();
    assert!(matches!(error, Error::Change(ChangeError::StaleHandle { .. })), "{error:?}");
    assert_eq!(session.digest(), digest);
    assert_eq!(session.fact_count(), 1, "the derived fact goes with the next evaluation");
    // No ghost fires.
    assert!(fire(&mut session).is_empty());
    assert_eq!(session.fact_count(), 0);
}

#[test]
fn s26_a_handle_of_another_session_is_refused() {
    let (mut here, mut there) = (memory(shop()), memory(shop()));
    let mine = here.insert(Order { id: 1, amount: 5 }).unwrap();
    let theirs = there.insert(Order { id: 1, amount: 5 }).unwrap();
    assert_eq!(mine.fact(), theirs.fact(), "the same number, another session");
    for error in [
        here.update(theirs, |o| o.amount = 6).unwrap_err(),
        here.touch(theirs).unwrap_err(),
        here.delete(theirs).unwrap_err(),
    ] {
        assert!(matches!(error, Error::Change(ChangeError::WrongSession { .. })), "{error:?}");
    }
    assert!(here.get(theirs).is_none());
    // By number a fact is found only as what it is.
    assert_eq!(here.handle::<Order>(mine.fact()), Some(mine));
    assert_eq!(here.handle::<Customer>(mine.fact()), None);
}

#[test]
fn s27_a_consequence_keeps_its_view_of_a_fact_that_it_deletes() {
    #[rule]
    fn discard(o: Ref<Order>, cx: &mut Then) -> RuleResult {
        cx.insert_logical(Big { order: o.id })?;
        assert!(cx.delete(o)?);
        say(format!("discarded {} of {}", o.id, o.amount));
        assert!(cx.get(o).is_none());
        // The match has ended already: what it derives now has nothing to stand on (S94).
        cx.insert_logical(Big { order: o.id + 100 })?;
        Ok(())
    }
    #[rule]
    fn seen(b: &Big) {
        say(format!("seen {}", b.order));
    }
    ruleset!(discarding = 1: discard, seen);
    let mut session = memory(discarding());
    session.insert(Order { id: 1, amount: 5 }).unwrap();
    // What the match derived goes with it, before anybody sees it.
    assert_eq!(fire(&mut session), ["discarded 1 of 5"]);
    assert_eq!(session.fact_count(), 0);
}

thread_local!(static MAY_BE_ASKED: Cell<bool> = const { Cell::new(true) });

fn is_small(order: &Order) -> bool {
    assert!(MAY_BE_ASKED.get(), "a deletion asked a condition");
    order.amount < 10
}

#[test]
fn s28_deletion_never_evaluates_a_condition() {
    #[rule(logical)]
    fn small(
        #[when(is_small(o))] o: &Order,
        #[when(p.id == o.id && is_small(p))] p: &Order,
    ) -> Big {
        Big { order: p.id }
    }
    ruleset!(smallness = 1: small);
    let mut session = memory(smallness());
    let orders = [1, 2, 3].map(|id| session.insert(Order { id, amount: 5 }).unwrap());
    fire(&mut session);
    assert_eq!(session.query::<Big>().unwrap().len(), 3);
    MAY_BE_ASKED.set(false);
    for order in orders {
        session.delete(order).unwrap();
    }
    assert!(session.query::<Big>().unwrap().is_empty());
}

thread_local!(static GONE: Cell<u64> = const { Cell::new(0) });

fn is_large(order: &Order) -> bool {
    assert_ne!(order.id, GONE.get(), "it was asked about a fact that is gone");
    order.amount > 9
}

#[test]
fn s28_a_deletion_that_ends_an_absence_asks_about_the_facts_that_are_left_alone() {
    #[rule(logical)]
    fn nobody_above(
        #[when(!is_large(o))] o: &Order,
        #[not(is_large(p) && p.amount > o.amount)] p: Absent<Order>,
    ) -> Big {
        Big { order: o.id }
    }
    ruleset!(heights = 1: nobody_above);
    let mut session = memory(heights());
    session.insert(Order { id: 1, amount: 5 }).unwrap();
    let [two, three] =
        [(2, 20), (3, 30)].map(|(id, amount)| session.insert(Order { id, amount }).unwrap());
    fire(&mut session);
    for (id, order) in [(2, two), (3, three)] {
        assert!(session.query::<Big>().unwrap().is_empty());
        GONE.set(id);
        session.delete(order).unwrap();
        session.fire_all().unwrap();
    }
    assert_eq!(session.query::<Big>().unwrap().len(), 1);
}

#[test]
fn s29_facts_are_listed_in_the_order_of_their_handles() {
    let mut session = memory(shop());
    let handles: Vec<_> =
        (0..9).map(|id| session.insert(Order { id, amount: 5 }).unwrap()).collect();
    for at in [0, 4, 5] {
        session.delete(handles[at]).unwrap();
    }
    session.flush().unwrap();
    // New facts may use the places of old ones; nobody can tell.
    session.update(handles[8], |o| o.amount = 6).unwrap();
    for id in 9..12 {
        session.insert(Order { id, amount: 5 }).unwrap();
    }
    let ids: Vec<u64> = session.query::<Order>().unwrap().iter().map(|order| order.id).collect();
    assert_eq!(ids, [1, 2, 3, 6, 7, 8, 9, 10, 11]);
}

#[test]
fn s30_operations_are_staged_until_a_query_or_a_run_evaluates_them_together() {
    #[rule]
    fn pair(#[when(a.amount > 0)] a: &Order, #[when(b.id == a.id && b.amount < 0)] b: &Order) {
        say(format!("pair {} {}", a.amount, b.amount));
    }
    ruleset!(pairs = 1: pair, big);
    let mut session = memory(pairs());
    let plus = session.insert(Order { id: 1, amount: 5 }).unwrap();
    session.insert(Order { id: 1, amount: -5 }).unwrap();
    assert!(session.engine().has_staged());
    assert_eq!(session.pending().len(), 0, "pending as of the last evaluation");
    // The update arrives before anything looked: it never paired 5 with -5.
    session.update(plus, |o| o.amount = 7).unwrap();
    assert_eq!(pending(&mut session).len(), 1);
    assert_eq!(fire(&mut session), ["pair 7 -5"]);

    // What rules derive is up to date in a query; nothing fires for it.
    session.update(plus, |o| o.amount = 700).unwrap();
    assert!(session.query::<Big>().unwrap().is_empty());
    fire(&mut session);
    assert_eq!(session.query::<Big>().unwrap().len(), 1);
    session.update(plus, |o| o.amount = 8).unwrap();
    assert!(session.query::<Big>().unwrap().is_empty());
    assert!(said().is_empty());
}
