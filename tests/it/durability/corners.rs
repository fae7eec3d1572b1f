//! Corners where a session that is restored could differ from one that never stopped.

use steadfast::prelude::*;

use super::{World, step, survives};
use crate::support::say;

#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Order {
    id: u64,
    amount: i64,
}

fn order(id: u64, amount: i64) -> Order {
    Order { id, amount }
}

#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Stop {
    order: u64,
}

#[rule]
fn big(#[when(o.amount > 100)] o: &Order) {
    say(format!("big {}", o.id));
}

#[rule]
fn free(o: &Order, #[not(s.order == o.id)] s: Absent<Stop>) {
    say(format!("free {}", o.id));
}

#[rule]
fn nobody(o: Absent<Order>) {
    say("nobody");
}

ruleset!(bigness = 1: big);
ruleset!(freedom = 1: free);
ruleset!(emptiness = 1: nobody);

/// The update is staged, the match dormant: neither the pending set nor the facts of the last
/// evaluation know that it will fire again. Only the staged operation does.
#[test]
fn a_staged_update_that_rearms_a_dormant_match_does_so_after_a_crash() {
    survives(
        bigness,
        &[
            step("an order", |w| w.insert("order", order(1, 500)), []),
            step("fire", World::fire, ["big 1"]),
            step("an update", |w| w.update("order", |o: &mut Order| o.amount = 600), []),
            step("another", |w| w.update("order", |o: &mut Order| o.amount = 700), []),
            step("fire", World::fire, ["big 1"]),
            step("fire", World::fire, []),
        ],
    );
}

/// As before, but the update takes the match away and another brings it back in the same flush.
#[test]
fn staged_updates_out_of_a_match_and_back_are_one_update_after_a_crash_too() {
    survives(
        bigness,
        &[
            step("an order", |w| w.insert("order", order(1, 500)), []),
            step("fire", World::fire, ["big 1"]),
            step("out", |w| w.update("order", |o: &mut Order| o.amount = 5), []),
            step("back", |w| w.update("order", |o: &mut Order| o.amount = 500), []),
            step("fire", World::fire, ["big 1"]),
        ],
    );
}

/// A session that was never evaluated must not take the match of the unit tuple for dormant.
#[test]
fn a_rule_that_begins_with_an_absence_fires_once_although_the_session_was_closed_before() {
    survives(
        emptiness,
        &[
            step("nothing yet", |_| {}, []),
            step("still nothing", |_| {}, []),
            step("fire", World::fire, ["nobody"]),
            step("nothing more", |_| {}, []),
            step("fire", World::fire, []),
        ],
    );
    survives(
        emptiness,
        &[
            step("evaluate", World::flush, []),
            step("fire", World::fire, ["nobody"]),
            step("fire", World::fire, []),
        ],
    );
    survives(
        emptiness,
        &[
            step("somebody", |w| w.insert("order", order(1, 1)), []),
            step("nobody again", |w| w.delete::<Order>("order"), []),
            step("fire", World::fire, ["nobody"]),
            step("fire", World::fire, []),
        ],
    );
}

/// A pending match whose trigger moves is neither new nor gone, and changes its place in the order.
#[test]
fn a_pending_match_whose_trigger_moves_between_two_commits_keeps_its_new_place() {
    survives(
        bigness,
        &[
            step(
                "two orders",
                |w| {
                    w.insert("a", order(1, 500));
                    w.insert("b", order(2, 500));
                },
                [],
            ),
            step("evaluate", World::flush, []),
            step("the first grows", |w| w.update("a", |o: &mut Order| o.amount = 600), []),
            step("evaluate", World::flush, []),
            step("one firing", |w| w.fire_some(1), ["big 2"]),
            step("a third", |w| w.insert("c", order(3, 500)), []),
            step("the first grows again", |w| w.update("a", |o: &mut Order| o.amount = 700), []),
            step("evaluate", World::flush, []),
            step("fire", World::fire, ["big 3", "big 1"]),
        ],
    );
}

#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Line {
    article: String,
    quantity: i64,
}

fn line(article: &str, quantity: i64) -> Line {
    Line { article: article.to_owned(), quantity }
}

#[rule]
fn stock(
    #[group_by(l.article.clone())]
    #[aggregate(sum(l.quantity))]
    g: Group<Line, String, (i64,)>,
) {
    say(format!("{} {}", g.key, g.0));
}

ruleset!(stocks = 1: stock);

/// The network makes its groups anew in the order of the facts, not in that of their history: the
/// order in which they fire must not depend on it.
#[test]
fn groups_that_a_restoration_made_in_another_order_fire_in_the_same_one() {
    survives(
        stocks,
        &[
            step(
                "pears first",
                |w| {
                    w.insert("pear", line("pear", 1));
                    w.insert("fig", line("fig", 2));
                    w.insert("apple", line("apple", 3));
                },
                [],
            ),
            step("fire", World::fire, ["pear 1", "fig 2", "apple 3"]),
            step(
                "the oldest becomes the youngest group",
                |w| {
                    w.update("pear", |l: &mut Line| "plum".clone_into(&mut l.article));
                },
                [],
            ),
            step("fire", World::fire, ["plum 1"]),
            step(
                "two groups in one flush",
                |w| {
                    w.update("apple", |l: &mut Line| l.quantity = 4);
                    w.update("fig", |l: &mut Line| l.quantity = 5);
                },
                [],
            ),
            step("fire", World::fire, ["apple 4", "fig 5"]),
            step(
                "two groups by one operation",
                |w| {
                    w.update("pear", |l: &mut Line| "apple".clone_into(&mut l.article));
                },
                [],
            ),
            step("a second line", |w| w.insert("second", line("fig", 10)), []),
            step("fire", World::fire, ["apple 5", "fig 15"]),
            step(
                "two groups by one operation again",
                |w| {
                    w.update("second", |l: &mut Line| "apple".clone_into(&mut l.article));
                },
                [],
            ),
            step("fire", World::fire, ["fig 5", "apple 15"]),
        ],
    );
}

/// The first blocker is evaluated by the query, the second is staged when the crash comes: replacing
/// one by the other must not look like a gap.
#[test]
fn a_query_between_two_staged_blockers_makes_no_difference_that_a_crash_could_lose() {
    survives(
        freedom,
        &[
            step("an order", |w| w.insert("order", order(1, 1)), []),
            step("fire", World::fire, ["free 1"]),
            step("a blocker", |w| w.insert("first", Stop { order: 1 }), []),
            step("a query", |w| assert_eq!(w.count::<Stop>(), 1), []),
            step("a second blocker", |w| w.insert("second", Stop { order: 1 }), []),
            step("the first goes", |w| w.delete::<Stop>("first"), []),
            step("fire", World::fire, []),
            step("the second goes", |w| w.delete::<Stop>("second"), []),
            step("a third", |w| w.insert("third", Stop { order: 1 }), []),
            step("fire", World::fire, []),
            step("the third goes", |w| w.delete::<Stop>("third"), []),
            step("a query", |w| assert_eq!(w.count::<Stop>(), 0), []),
            step("fire", World::fire, ["free 1"]),
        ],
    );
}

#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Day {
    number: u32,
    over: bool,
}

#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Flight {
    day: u32,
    tail: String,
    delay: i64,
}

#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Bad {
    day: u32,
    tail: String,
}

fn day(number: u32) -> Day {
    Day { number, over: false }
}

fn flight(day: u32, tail: &str, delay: i64) -> Flight {
    Flight { day, tail: tail.to_owned(), delay }
}

/// Logical facts of groups, alerts that wait on them, and a rule that deletes the groups' members.
#[rule(logical)]
fn bad(
    #[group_by(f.day, f.tail.clone())]
    #[aggregate(sum(f.delay), count())]
    g: Group<Flight, (u32, String), (i64, u64)>,
    #[having(g.0 > 60)] _h: Having,
) -> Bad {
    say(format!("bad {} {}", g.key.0, g.key.1));
    Bad { day: g.key.0, tail: g.key.1.clone() }
}

#[rule(salience = -1)]
fn alert(b: &Bad) {
    say(format!("alert {} {}", b.day, b.tail));
}

#[rule(salience = 10)]
fn close(
    #[when(d.over)] d: &Day,
    #[when(f.day == d.number)] f: Ref<Flight>,
    cx: &mut Then,
) -> RuleResult {
    say(format!("close {} {}", f.day, f.tail));
    cx.delete(f)?;
    Ok(())
}

ruleset!(days = 1: close, bad, alert);

#[test]
fn a_day_that_rules_close_takes_its_alerts_with_it() {
    survives(
        days,
        &[
            step("a day", |w| w.insert("day", day(1)), []),
            step(
                "its flights",
                |w| {
                    w.insert("a1", flight(1, "A", 50));
                    w.insert("a2", flight(1, "A", 20));
                    w.insert("b1", flight(1, "B", 90));
                    w.insert("next", flight(2, "A", 70));
                },
                [],
            ),
            step("two firings", |w| w.fire_some(2), ["bad 1 A", "bad 1 B"]),
            // Two alerts wait, and a third fact is yet to be derived.
            step("the day is over", |w| w.update("day", |d: &mut Day| d.over = true), []),
            step("a firing", |w| w.fire_some(1), ["close 1 A"]),
            step("B still stands", |w| assert_eq!(w.count::<Bad>(), 1), []),
            step("fire", World::fire, ["close 1 A", "close 1 B", "bad 2 A", "alert 2 A"]),
            step(
                "one is left",
                |w| assert_eq!((w.count::<Flight>(), w.count::<Bad>()), (1, 1)),
                [],
            ),
            step("fire", World::fire, []),
        ],
    );
}

/// A flag that is raised derives a stop and goes: the stop comes in the first round of the flush and
/// falls in the second.
#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Flag {
    order: u64,
}

#[rule(salience = 10)]
fn flash(f: Ref<Flag>, cx: &mut Then) -> RuleResult {
    say(format!("flash {}", f.order));
    cx.insert_logical(Stop { order: f.order })?;
    cx.delete(f)?;
    Ok(())
}

#[rule(logical)]
fn mark(o: &Order, #[not(s.order == o.id)] s: Absent<Stop>) -> Line {
    say(format!("mark {}", o.id));
    line("mark", o.amount)
}

ruleset!(flashes = 1: flash, free, mark; facts: Line);

#[test]
fn what_a_round_takes_away_and_a_later_one_brings_back_is_the_same_after_a_crash() {
    survives(
        flashes,
        &[
            step("an order", |w| w.insert("order", order(1, 5)), []),
            step("fire", World::fire, ["free 1", "mark 1"]),
            step("a flag", |w| w.insert("flag", Flag { order: 1 }), []),
            // `free` was there before and after; `mark` lost what it supported meanwhile.
            step("fire", World::fire, ["flash 1", "mark 1"]),
            step("fire", World::fire, []),
            step("a flag", |w| w.insert("flag", Flag { order: 1 }), []),
            step("a change", |w| w.update("order", |o: &mut Order| o.amount = 6), []),
            step("two firings", |w| w.fire_some(2), ["flash 1", "mark 1"]),
            step("fire", World::fire, []),
        ],
    );
}
