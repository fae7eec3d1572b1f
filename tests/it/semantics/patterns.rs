//! S59, S61, S62 and entry points: patterns of several facts, and of several kinds.

use steadfast::prelude::*;
use steadfast::{ChangeError, Error};

use crate::support::{fire, memory, pending, say};

#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Order {
    #[fact(key)]
    id: u64,
    customer: u64,
    amount: i64,
}

#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Line {
    id: u64,
    order: u64,
    done: bool,
}

#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Check {
    line: u64,
}

#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Complete {
    order: u64,
}

#[rule(logical)]
fn complete(o: &Order, #[forall(l: Line, l.order == o.id; l.done)] _all: Forall<Line>) -> Complete {
    say(format!("{} is complete", o.id));
    Complete { order: o.id }
}

#[rule]
fn checked(
    o: &Order,
    #[forall(l: Line, l.order == o.id; c: Check, c.line == l.id)] _all: Forall<(Line, Check)>,
) {
    say(format!("{} is checked", o.id));
}

#[rule]
fn unchecked_lines(
    o: &Order,
    #[not(l: Line, l.order == o.id && !l.done; c: Check, c.line == l.id)] _n: Absent<(Line, Check)>,
) {
    say(format!("{} has no check of an open line", o.id));
}

#[rule]
fn checks_of_open_lines(
    o: &Order,
    #[exists(l: Line, l.order == o.id; c: Check, c.line == l.id; !l.done)] _some: Exists<(
        Line,
        Check,
    )>,
) {
    say(format!("{} has a check of an open line", o.id));
}

ruleset!(forms = 1: complete);
ruleset!(controls = 1: checked);
ruleset!(gaps = 1: unchecked_lines);
ruleset!(works = 1: checks_of_open_lines);

fn order(id: u64) -> Order {
    Order { id, customer: 1, amount: 100 }
}

fn line(id: u64, order: u64) -> Line {
    Line { id, order, done: false }
}

#[test]
fn s59_forall_holds_of_nothing_and_ends_with_the_first_that_lacks_it() {
    let mut session = memory(forms());
    session.insert(order(1)).unwrap();
    assert_eq!(fire(&mut session), ["1 is complete"]);
    let one = session.insert(line(10, 1)).unwrap();
    let two = session.insert(line(11, 1)).unwrap();
    session.insert(line(20, 2)).unwrap();
    assert!(session.query::<Complete>().unwrap().is_empty());
    session.update(one, |l| l.done = true).unwrap();
    assert!(fire(&mut session).is_empty(), "one is not done yet");
    session.update(two, |l| l.done = true).unwrap();
    assert_eq!(fire(&mut session), ["1 is complete"]);
    // What still holds of all is no news.
    session.insert(Line { id: 12, order: 1, done: true }).unwrap();
    session.delete(one).unwrap();
    assert!(fire(&mut session).is_empty());
    assert_eq!(session.query::<Complete>().unwrap().len(), 1);
}

#[test]
fn s59_forall_over_two_patterns_fires_in_the_order_of_what_came_last() {
    let mut session = memory(controls());
    for id in 1..=2 {
        session.insert(line(10 * id, id)).unwrap();
        session.insert(order(id)).unwrap();
    }
    assert!(fire(&mut session).is_empty());
    // The second is complete first, by the check of its only line.
    session.insert(Check { line: 20 }).unwrap();
    session.insert(Check { line: 10 }).unwrap();
    assert_eq!(fire(&mut session), ["2 is checked", "1 is checked"]);
    let gone = session.query::<Check>().unwrap()[0].handle();
    session.delete(gone).unwrap();
    session.insert(Check { line: 20 }).unwrap();
    assert!(fire(&mut session).is_empty(), "one check for another");
}

#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Waiver {
    line: u64,
}

#[rule]
fn settled(
    o: &Order,
    #[forall(l: Line, l.order == o.id; or(c: Check, c.line == l.id); or(w: Waiver, w.line == l.id))]
    _all: Forall<(Line, Check, Waiver)>,
) {
    say(format!("{} is settled", o.id));
}

#[rule]
fn something_happened(
    #[exists(or(w: Waiver); or(l: Line, l.done; c: Check, c.line == l.id))] _some: Exists<(
        Waiver,
        Line,
        Check,
    )>,
) {
    say("something happened");
}

ruleset!(waivers = 1: settled, something_happened);

#[test]
fn s61_of_branches_inside_of_an_absence_one_has_to_hold() {
    let mut session = memory(waivers());
    session.insert(order(1)).unwrap();
    assert_eq!(fire(&mut session), ["1 is settled"]);
    let line = session.insert(line(10, 1)).unwrap();
    assert!(fire(&mut session).is_empty());
    let waiver = session.insert(Waiver { line: 10 }).unwrap();
    assert_eq!(fire(&mut session), ["1 is settled", "something happened"]);
    // One branch takes the place of the other in one evaluation.
    session.delete(waiver).unwrap();
    let check = session.insert(Check { line: 10 }).unwrap();
    session.update(line, |l| l.done = true).unwrap();
    assert!(fire(&mut session).is_empty(), "it holds as it did");
    session.delete(check).unwrap();
    assert!(fire(&mut session).is_empty(), "now neither does");
    session.insert(Check { line: 10 }).unwrap();
    assert_eq!(fire(&mut session), ["1 is settled", "something happened"]);
}

#[test]
fn s61_a_not_over_several_patterns_is_blocked_by_facts_that_go_together() {
    let mut session = memory(gaps());
    session.insert(order(1)).unwrap();
    assert_eq!(fire(&mut session), ["1 has no check of an open line"]);
    let open = session.insert(line(10, 1)).unwrap();
    session.insert(Check { line: 99 }).unwrap();
    assert!(fire(&mut session).is_empty(), "neither alone blocks, and nothing has changed");
    let check = session.insert(Check { line: 10 }).unwrap();
    session.flush().unwrap();
    // Another pair takes the place of the first in one evaluation.
    session.delete(check).unwrap();
    session.insert(line(11, 1)).unwrap();
    session.insert(Check { line: 11 }).unwrap();
    assert!(fire(&mut session).is_empty());
    // The last one goes, by any of its facts.
    session.update(open, |l| l.order = 2).unwrap();
    assert!(fire(&mut session).is_empty());
    let last = session.query::<Line>().unwrap()[1].handle();
    session.update(last, |l| l.done = true).unwrap();
    assert_eq!(fire(&mut session), ["1 has no check of an open line"]);
}

#[test]
fn s61_what_ended_the_last_block_decides_the_order() {
    let mut session = memory(gaps());
    for id in 1..=3 {
        session.insert(line(10 * id, id)).unwrap();
        session.insert(Check { line: 10 * id }).unwrap();
        session.insert(order(id)).unwrap();
    }
    assert!(fire(&mut session).is_empty());
    let lines: Vec<_> = session.query::<Line>().unwrap().iter().map(Ref::handle).collect();
    let checks: Vec<_> = session.query::<Check>().unwrap().iter().map(Ref::handle).collect();
    session.delete(checks[2]).unwrap();
    session.update(lines[0], |l| l.done = true).unwrap();
    session.delete(lines[1]).unwrap();
    let said = fire(&mut session);
    let first: Vec<&str> = said.iter().map(|said| &said[..1]).collect();
    assert_eq!(first, ["3", "1", "2"]);
}

#[test]
fn s61_an_exists_over_several_patterns_is_one_match_however_many_there_are() {
    let mut session = memory(works());
    session.insert(order(1)).unwrap();
    session.insert(line(10, 1)).unwrap();
    assert!(fire(&mut session).is_empty());
    let check = session.insert(Check { line: 10 }).unwrap();
    assert_eq!(fire(&mut session), ["1 has a check of an open line"]);
    session.insert(Check { line: 10 }).unwrap();
    assert!(fire(&mut session).is_empty());
    session.delete(check).unwrap();
    assert!(fire(&mut session).is_empty());
    let line = session.query::<Line>().unwrap()[0].handle();
    session.update(line, |l| l.done = true).unwrap();
    session.flush().unwrap();
    session.update(line, |l| l.done = false).unwrap();
    assert_eq!(fire(&mut session), ["1 has a check of an open line"]);
}

#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Voucher {
    order: u64,
}

#[rule]
fn discount(
    #[or(o.amount > 50)]
    #[or(v: Voucher, v.order == o.id)]
    o: Ref<Order>,
    cx: &mut Then,
) -> RuleResult {
    say(format!("{} at {}", o.id, cx.query::<Voucher>().len()));
    Ok(())
}

#[rule]
fn which(
    o: &Order,
    #[or(v: Voucher, v.order == o.id)]
    #[or(l: Line, l.order == o.id; not(c: Check, c.line == l.id))]
    either: Either,
) {
    say(format!("{} by {}", o.id, either.branch()));
}

#[query]
fn reasons(
    #[or(o.amount > 50)]
    #[or(v: Voucher, v.order == o.id)]
    o: &Order,
) -> u64 {
    o.id
}

ruleset!(discounts = 1: discount; queries: reasons);
ruleset!(ways = 1: which);

#[test]
fn s62_each_branch_of_an_or_is_matched_on_its_own() {
    let mut session = memory(discounts());
    session.insert(Order { id: 1, customer: 1, amount: 10 }).unwrap();
    assert!(fire(&mut session).is_empty());
    session.insert(Voucher { order: 1 }).unwrap();
    assert_eq!(fire(&mut session), ["1 at 1"]);
    session.insert(order(2)).unwrap();
    session.insert(Voucher { order: 2 }).unwrap();
    assert_eq!(fire(&mut session), ["2 at 2", "2 at 2"], "it satisfies both");
    assert_eq!(session.rows::<reasons>().unwrap(), [1, 2, 2]);
}

#[test]
fn s62_branches_fire_as_one_rule_by_trigger_then_members_then_branch() {
    let mut session = memory(ways());
    session.insert(order(1)).unwrap();
    session.insert(order(2)).unwrap();
    session.insert(line(10, 1)).unwrap();
    session.insert(Voucher { order: 2 }).unwrap();
    session.insert(line(20, 2)).unwrap();
    session.insert(Voucher { order: 1 }).unwrap();
    let branches: Vec<u16> = pending(&mut session).iter().map(|id| id.branch).collect();
    assert_eq!(branches, [1, 0, 1, 0]);
    assert_eq!(fire(&mut session), ["1 by 1", "2 by 0", "2 by 1", "1 by 0"]);
    session.insert(Check { line: 10 }).unwrap();
    assert!(fire(&mut session).is_empty());
}

#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
#[fact(unique)]
struct Gate {
    #[fact(key)]
    number: u32,
    open: bool,
}

#[rule]
fn transfer(
    #[from("east")] e: Ref<Gate>,
    #[when(w.number == e.number)]
    #[from("west")]
    w: &Gate,
    #[not(d.number == e.number)] d: Absent<Gate>,
    cx: &mut Then,
) -> RuleResult {
    say(format!("{} from east to west, open: {}", w.number, e.open));
    cx.modify(e, |e| e.open = false)
}

#[rule(logical)]
fn echo(
    #[from("east")]
    #[when(!e.open)]
    e: &Gate,
) -> Gate {
    Gate { number: e.number + 100, open: false }
}

ruleset!(gates = 1: transfer, echo);

fn gate(number: u32) -> Gate {
    Gate { number, open: true }
}

#[test]
fn s26_each_entry_point_has_its_own_facts_handles_and_keys() {
    let mut session = memory(gates());
    let plain = session.insert(gate(1)).unwrap();
    let east = session.entry("east").insert(gate(1)).unwrap();
    let west = session.entry("west").insert(gate(1)).unwrap();
    assert!(fire(&mut session).is_empty(), "the plain gate blocks");
    assert_eq!(session.query::<Gate>().unwrap().len(), 1);
    assert_eq!(session.entry("east").query::<Gate>().unwrap().len(), 1);
    let taken = session.entry("east").insert(gate(1)).unwrap_err();
    assert!(matches!(taken, Error::Change(ChangeError::KeyViolation { .. })), "{taken}");
    assert_eq!(session.entry("east").insert_unique(gate(1)).unwrap(), east);

    // A handle is good where its fact came through, for whoever changes it from outside.
    let refused = session.update(east, |g| g.open = false).unwrap_err();
    let expected = format!(
        "fact {east:?} of type `Gate` came through entry point `east`, not `` (the default one has no \
         name)"
    );
    assert!(refused.to_string().contains(&expected), "{refused}");
    let refused = session.entry("east").delete(west).unwrap_err();
    assert!(matches!(refused, Error::Change(ChangeError::WrongEntryPoint { .. })), "{refused}");
    let refused = session.entry("north").insert(gate(1)).unwrap_err();
    assert!(matches!(refused, Error::Change(ChangeError::UnknownEntryPoint { .. })), "{refused}");
    assert_eq!(session.get(east).map(|g| g.number), Some(1), "reading is free");

    // A consequence changes the facts of its match where they are; what it derives is in the default one.
    assert!(session.delete(plain).unwrap());
    assert_eq!(fire(&mut session), ["1 from east to west, open: true"]);
    assert_eq!(session.get(east).map(|g| g.open), Some(false));
    let derived: Vec<u32> = session.query::<Gate>().unwrap().iter().map(|g| g.number).collect();
    assert_eq!(derived, [101]);
    assert!(session.entry("west").delete(west).unwrap());
}
