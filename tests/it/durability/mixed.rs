//! Rules that use several things at once, over restarts.

use steadfast::prelude::*;

use super::{World, step, survives};
use crate::support::say;

#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Desk {
    id: u64,
    limit: i64,
}

#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Trade {
    desk: u64,
    trader: String,
    amount: i64,
}

#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Breach {
    desk: u64,
    trader: String,
}

#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Waiver {
    desk: u64,
}

fn trade(desk: u64, trader: &str, amount: i64) -> Trade {
    Trade { desk, trader: trader.to_owned(), amount }
}

/// A group for each trader of each desk, over the trades in the desk's range.
#[rule(logical)]
fn breach(
    d: &Desk,
    #[not(w.desk == d.id)] w: Absent<Waiver>,
    #[each(t: Trade, t.desk == d.id && t.amount >= d.limit)]
    #[group_by(t.trader.clone())]
    #[aggregate(sum(t.amount), max(t.amount), collect(t.amount))]
    g: Group<Trade, String, (i64, i64, Vec<i64>)>,
    #[having(g.0 > 10 * d.limit)] _h: Having,
) -> Breach {
    say(format!("{} of {}: {} up to {}, {:?}", g.key, d.id, g.0, g.1, g.2));
    Breach { desk: d.id, trader: g.key.clone() }
}

/// Fires for the first trader of a desk, skips those whose name it does not like.
#[rule(on_error = "skip", salience = -1)]
fn call(
    b: &Breach,
    #[exists(o.desk == b.desk)]
    #[distinct]
    o: Exists<Breach>,
    cx: &mut Then,
) -> RuleResult {
    let line = cx.random() % 1000;
    say(format!("call {} on line {line}", b.trader));
    if b.trader.starts_with('x') {
        return Err(RuleError::new("no answer"));
    }
    Ok(())
}

ruleset!(desks = 1: breach, call; facts: Trade);

#[test]
fn groups_of_joined_facts_with_conditions_on_both_sides_go_on_where_they_were() {
    survives(
        desks,
        &[
            step("a desk", |w| w.insert("desk", Desk { id: 1, limit: 10 }), []),
            step(
                "trades",
                |w| {
                    w.insert("a1", trade(1, "ann", 90));
                    w.insert("b1", trade(1, "bob", 60));
                    w.insert("b2", trade(1, "bob", 5));
                    w.insert("a2", trade(1, "ann", 20));
                },
                [],
            ),
            step("fire", World::fire, ["ann of 1: 110 up to 90, [90, 20]"]),
            step("more range", |w| w.update("desk", |d: &mut Desk| d.limit = 5), []),
            step("one firing", |w| w.fire_some(1), ["ann of 1: 110 up to 90, [90, 20]"]),
            step("a trade", |w| w.insert("b3", trade(1, "bob", 7)), []),
            step(
                "fire",
                World::fire,
                [
                    "bob of 1: 72 up to 60, [60, 5, 7]",
                    "call ann on line 535",
                    "call bob on line 700",
                ],
            ),
            step("a waiver", |w| w.insert("waiver", Waiver { desk: 1 }), []),
            step("no breach", |w| assert_eq!(w.count::<Breach>(), 0), []),
            step("a trade moves", |w| w.update("a2", |t: &mut Trade| t.trader = "bob".into()), []),
            step("no waiver", |w| w.delete::<Waiver>("waiver"), []),
            step("evaluate", World::flush, []),
            step(
                "fire",
                World::fire,
                [
                    "ann of 1: 90 up to 90, [90]",
                    "bob of 1: 92 up to 60, [60, 5, 20, 7]",
                    "call ann on line 679",
                    "call bob on line 444",
                ],
            ),
        ],
    );
}

#[test]
fn what_was_skipped_is_used_up_and_what_is_drawn_by_chance_is_drawn_alike() {
    survives(
        desks,
        &[
            step(
                "breaches",
                |w| {
                    for trader in ["ann", "xaver", "bob"] {
                        w.insert(trader, Breach { desk: 7, trader: trader.to_owned() });
                    }
                },
                [],
            ),
            step("one firing", |w| w.fire_some(1), ["call ann on line 535"]),
            step("one firing", |w| w.fire_some(1), ["call xaver on line 700"]),
            // The number that was drawn in vain was given back, and is drawn by the next one.
            step("fire", World::fire, ["call bob on line 700"]),
            step("fire", World::fire, []),
            step("again", |w| w.session.touch(w.held::<Breach>("xaver")).unwrap(), []),
            step("fire", World::fire, ["call xaver on line 679"]),
        ],
    );
}

#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Ticket {
    id: u64,
    urgency: i32,
    open: bool,
}

fn ticket(id: u64, urgency: i32) -> Ticket {
    Ticket { id, urgency, open: true }
}

#[rule(salience = t.urgency)]
fn work(#[when(t.open)] t: &Ticket) {
    say(format!("work {} {}", t.id, t.urgency));
}

#[rule(salience = 5)]
fn look(t: &Ticket) {
    say(format!("look {}", t.id));
}

ruleset!(tickets = 1: work, look);

/// The urgency of a pending match is the one that it had when it became pending, which its facts do
/// not tell any more: only the journal does.
#[test]
fn saliences_of_matches_are_kept() {
    survives(
        tickets,
        &[
            step("tickets", |w| w.insert("a", ticket(1, 9)), []),
            step("tickets", |w| w.insert("b", ticket(2, 5)), []),
            step("tickets", |w| w.insert("c", ticket(3, 7)), []),
            step("fire", |w| w.fire_some(1), ["work 1 9"]),
            step("less urgent", |w| w.update("c", |t: &mut Ticket| t.urgency = 0), []),
            step("more urgent", |w| w.update("b", |t: &mut Ticket| t.urgency = 8), []),
            step("flush", World::flush, []),
            step("fire", |w| w.fire_some(1), ["work 3 0"]),
            step("still as urgent as it was", |w| w.fire_some(2), ["work 2 8", "look 1"]),
            step("touched", |w| w.session.touch(w.held::<Ticket>("a")).unwrap(), []),
            step("fire", World::fire, ["work 1 9", "look 2", "look 3", "look 1"]),
        ],
    );
}
