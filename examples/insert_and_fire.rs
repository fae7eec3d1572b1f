//! Facts, rules, derived facts and a query, in memory.
//!
//! ```console
//! $ cargo run --example insert_and_fire
//! ```

#![expect(clippy::print_stdout, reason = "an example talks to its reader")]

use steadfast::prelude::*;

// Facts are plain values. The engine owns them; they change only through the session.
#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Order {
    #[fact(key)]
    id: u64,
    amount: i64,
    paid: bool,
}

#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Payment {
    order: u64,
    amount: i64,
}

#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Hold {
    order: u64,
}

// A rule is a function. Its parameters are patterns, and their conditions stand before them: here a
// payment for the order, which is a key to look it up by, and large enough.
#[rule(salience = 10)]
fn pay(
    #[when(!o.paid)] o: Ref<Order>,
    #[when(p.order == o.id && p.amount >= o.amount)] p: &Payment,
    cx: &mut Then,
) -> RuleResult {
    println!("  order {} is paid with {}", o.id, p.amount);
    cx.modify(o, |o| o.paid = true)
}

// What a logical rule returns is a fact for as long as the rule's match holds. Nobody deletes it.
#[rule(logical)]
fn hold(
    #[when(!o.paid && o.amount >= 1000)] o: &Order,
    #[not(p.order == o.id)] p: Absent<Payment>,
) -> Hold {
    println!("  order {} is held until somebody pays", o.id);
    Hold { order: o.id }
}

// A query is a rule without a consequence.
#[query]
fn unpaid(#[when(!o.paid)] o: &Order) -> (u64, i64) {
    (o.id, o.amount)
}

// The order of the rules is theirs among equal saliences; the version is for the day they change.
ruleset!(shop = 1: pay, hold; queries: unpaid);

fn main() -> steadfast::Result<()> {
    let mut session = Session::memory(shop())?;
    session.insert(Order { id: 1, amount: 30, paid: false })?;
    let large = session.insert(Order { id: 2, amount: 5000, paid: false })?;
    session.insert(Payment { order: 1, amount: 30 })?;

    println!("first run:");
    let fired = session.fire_all()?;
    println!("{} rules fired; unpaid: {:?}", fired.count, session.rows::<unpaid>()?);

    // The payment ends the match that supports the hold, and with it the hold.
    println!("a payment arrives:");
    session.insert(Payment { order: 2, amount: 5000 })?;
    session.fire_all()?;
    println!("holds left: {}", session.query::<Hold>()?.len());

    // `update` tells the engine which fields changed. Nothing reads the amount of a paid order, so
    // nothing fires.
    session.update(large, |order| order.amount = 6000)?;
    println!("after the price went up: {} fired", session.fire_all()?.count);
    Ok(())
}
