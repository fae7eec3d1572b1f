//! What transactions over several steps cost: beginning and ending them, what is done in them beside the same done
//! outside, and taking it back, by how much changed and by how much there is.

use std::time::Duration;

use steadfast::prelude::*;
use steadfast::{Transaction, TransactionOptions};
use steadfast_benches::{Args, Pair, median, print_note, print_point, timed};

#[derive(Fact, Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Order {
    id: u64,
    customer: u64,
    amount: u64,
}

#[derive(Fact, Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Customer {
    id: u64,
    limit: u64,
}

#[derive(Fact, Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Beyond {
    order: u64,
}

#[rule(logical)]
fn beyond(c: &Customer, #[when(o.customer == c.id && o.amount > c.limit)] o: &Order) -> Beyond {
    Beyond { order: o.id }
}

#[rule]
fn busy(
    #[group_by(o.customer)]
    #[aggregate(count(), sum(o.amount))]
    g: Group<Order, u64, (u64, u64)>,
    #[having(g.1 > 1_000_000)] _h: Having,
) {
    std::hint::black_box((g.key, g.0));
}

#[rule]
fn large(#[when(o.amount > 900)] o: &Order) {
    std::hint::black_box(o.id);
}

ruleset!(shop = 1: beyond, busy, large);

/// Customers: one for so many orders.
const ORDERS_EACH: u64 = 20;

fn amount(id: u64) -> u64 {
    id * 7919 % 1000
}

fn order(id: u64) -> Order {
    Order { id, customer: id / ORDERS_EACH, amount: amount(id) }
}

/// A session with so many orders, and their handles.
fn filled(orders: u64) -> steadfast::Result<(Session, Vec<Handle<Order>>)> {
    let mut session = Session::memory(shop())?;
    let handles = session.transact(|stage| {
        for id in 0..=orders / ORDERS_EACH {
            stage.insert(Customer { id, limit: 990 })?;
        }
        (0..orders).map(|id| Ok(stage.insert(order(id))?)).collect()
    })?;
    session.fire_all()?;
    Ok((session, handles))
}

/// Changes the orders of the first customers, as many of them as there are in the smaller session.
fn update_neighbors(
    session: &mut Session,
    orders: &[Handle<Order>],
    changes: u64,
) -> steadfast::Result<()> {
    update_hundreds(session, &orders[..usize::try_from(FEW).unwrap_or_default()], changes)
}

/// What a work is done to: a session, in a transaction or not.
type Work = fn(&mut Session, &[Handle<Order>], u64) -> steadfast::Result<()>;

/// So many orders come, a hundred at a time, each time with a run.
fn insert_hundreds(
    session: &mut Session,
    _: &[Handle<Order>],
    changes: u64,
) -> steadfast::Result<()> {
    for start in (0..changes).step_by(100) {
        session.transact(|stage| {
            (start..start + 100).try_for_each(|id| Ok(stage.insert(order(id)).map(drop)?))
        })?;
        session.fire_all()?;
    }
    Ok(())
}

/// So many orders change, a hundred at a time, each time with a run.
fn update_hundreds(
    session: &mut Session,
    orders: &[Handle<Order>],
    changes: u64,
) -> steadfast::Result<()> {
    for start in (0..changes).step_by(100) {
        session.transact(|stage| {
            (start..start + 100).try_for_each(|number| Ok(change(stage, orders, number)?))
        })?;
        session.fire_all()?;
    }
    Ok(())
}

fn change(
    stage: &mut steadfast::Stage<'_>,
    orders: &[Handle<Order>],
    number: u64,
) -> Result<(), steadfast::ChangeError> {
    stage.update(one_of(orders, number), |order| order.amount = (order.amount + 333) % 1000)
}

fn one_of(orders: &[Handle<Order>], number: u64) -> Handle<Order> {
    orders[usize::try_from(number * 7919).unwrap_or_default() % orders.len()]
}

/// So many orders change, each with a run.
fn update_singly(
    session: &mut Session,
    orders: &[Handle<Order>],
    changes: u64,
) -> steadfast::Result<()> {
    for number in 0..changes {
        session
            .update(one_of(orders, number), |order| order.amount = (order.amount + 333) % 1000)?;
        session.fire_all()?;
    }
    Ok(())
}

/// A work comes to the same in a transaction, and is undone.
fn is_the_same(
    (work, changes): (Work, u64),
    (session, orders): &(Session, Vec<Handle<Order>>),
) -> steadfast::Result<()> {
    let (mut outside, mut inside) = (session.fork(), session.fork());
    work(&mut outside, orders, changes)?;
    let mut t = inside.begin()?;
    work(&mut t, orders, changes)?;
    assert_eq!(t.digest(), outside.digest(), "a transaction makes no difference");
    t.abort()?;
    assert_eq!(inside.digest(), session.digest(), "what is aborted was never there");
    Ok(())
}

/// How long a work takes outside of transactions, in one, and how long it takes to undo it.
fn in_and_out(
    (work, changes): (Work, u64),
    (session, orders): &(Session, Vec<Handle<Order>>),
) -> steadfast::Result<[Duration; 3]> {
    let mut outside = session.fork();
    let (done, without) = timed(|| work(&mut outside, orders, changes));
    done?;
    drop(outside);
    let mut inside = session.fork();
    let mut t = inside.begin()?;
    let (done, within) = timed(|| work(&mut t, orders, changes));
    done?;
    let (aborted, back) = timed(|| t.abort());
    aborted?;
    Ok([without, within, back])
}

/// How long it takes to undo a thousand changes, again and again in one session.
fn undone(
    work: Work,
    (session, orders): &mut (Session, Vec<Handle<Order>>),
) -> steadfast::Result<Duration> {
    let mut times = Vec::new();
    for _ in 0..5 {
        let mut t = session.begin()?;
        work(&mut t, orders, 1000)?;
        let (aborted, back) = timed(|| t.abort());
        aborted?;
        times.push(back);
    }
    Ok(Duration::from_secs_f64(median(&mut times)))
}

fn of_one(all: Duration, count: u64) -> Duration {
    all.div_f64(f64::from(u32::try_from(count).unwrap_or(u32::MAX)))
}

/// So many roots in which nothing happens; so many savepoints that are released again.
fn empty(session: &mut Session, count: u64) -> steadfast::Result<[Duration; 2]> {
    let (done, roots) = timed(|| (0..count).try_for_each(|_| session.begin()?.commit().map(drop)));
    done?;
    let mut t = session.begin()?;
    let (done, savepoints) = timed(|| {
        (0..count).try_for_each(|_| {
            let savepoint = t.savepoint("s")?;
            t.release(&savepoint)
        })
    });
    done?;
    t.commit()?;
    Ok([of_one(roots, count), of_one(savepoints, count)])
}

/// So many savepoints in each other with a change each, and all of it rolled back at once.
fn nested(
    (session, orders): &(Session, Vec<Handle<Order>>),
    depth: u64,
) -> steadfast::Result<[Duration; 2]> {
    let mut session = session.fork();
    let before = session.digest();
    let limits = TransactionOptions::new().depth_max(usize::MAX);
    let mut t = session.begin_with(limits)?;
    let first = t.savepoint("first")?;
    let step = |t: &mut Transaction<'_>, number| -> steadfast::Result<()> {
        t.update(one_of(orders, number), |order| order.amount += 1)?;
        t.savepoint("s").map(drop)
    };
    let (done, there) = timed(|| (0..depth).try_for_each(|number| step(&mut t, number)));
    done?;
    let (done, back) = timed(|| t.rollback_to(&first));
    done?;
    assert_eq!(t.digest(), before, "all of it is undone");
    t.abort()?;
    Ok([of_one(there, depth), of_one(back, depth)])
}

/// An aborted root leaves the journal as it was, to the byte.
fn writes_nothing() -> Result<(), Box<dyn std::error::Error>> {
    let dir = tempfile::tempdir()?;
    let mut session = Session::durable(dir.path().join("s")).sync(Sync::Process).open(shop())?;
    let handle = session.insert(order(1))?;
    session.fire_all()?;
    let bytes =
        |session: &Session| Ok::<_, steadfast::Error>(session.journal_status()?.map(|it| it.bytes));
    let before = bytes(&session)?;
    let mut t = session.begin()?;
    update_hundreds(&mut t, &[handle], 1000)?;
    t.abort()?;
    assert_eq!(bytes(&session)?, before, "what is aborted is not journaled");
    Ok(())
}

struct Times(Vec<(&'static str, u64, Vec<Duration>)>);

impl Times {
    fn add(&mut self, work: &'static str, size: u64, time: Duration) {
        match self.0.iter_mut().find(|(of, at, _)| (*of, *at) == (work, size)) {
            Some((.., times)) => times.push(time),
            None => self.0.push((work, size, vec![time])),
        }
    }

    /// The median, in seconds.
    fn of(&mut self, work: &str, size: u64) -> f64 {
        let found = self.0.iter_mut().find(|(of, at, _)| (*of, *at) == (work, size));
        found.map_or(f64::NAN, |(.., times)| median(times))
    }
}

const NANOSECOND: f64 = 1e-9;
const FEW: u64 = 10_000;
const NEIGHBORS: &str = "1,000 updates undone";
const EVERYWHERE: &str = "1,000 updates undone, everywhere";

type Works = [(&'static str, &'static str, &'static str, Work); 3];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args = Args::from_env();
    let (many, changes, depth) =
        if args.quick { (200_000, 20_000, 20_000) } else { (1_000_000, 100_000, 100_000) };
    writes_nothing()?;
    let mut times = Times(Vec::new());
    let works: Works = [
        ("insert, 100 a run", "the same in a transaction", "its abort", insert_hundreds),
        ("update, 100 a run", "updates in a transaction", "their abort", update_hundreds),
        ("update, 1 a run", "each update in a transaction", "the abort of each", update_singly),
    ];
    let (mut small, mut large) = (filled(FEW)?, filled(many)?);
    for (.., work) in works {
        is_the_same((work, 1000), &small)?;
    }
    for _ in 0..args.samples {
        let [root, savepoint] = empty(&mut filled(FEW)?.0, 200_000)?;
        times.add("root", 0, root);
        times.add("savepoint", 0, savepoint);
        for (outside, inside, abort, work) in works {
            let [without, within, back] = in_and_out((work, changes), &large)?;
            times.add(outside, changes, without);
            times.add(inside, changes, within);
            times.add(abort, changes, back);
        }
        for (session, facts) in [(&mut small, FEW), (&mut large, many)] {
            times.add(NEIGHBORS, facts, undone(update_neighbors, session)?);
            times.add(EVERYWHERE, facts, undone(update_hundreds, session)?);
        }
        for depth in [depth / 10, depth] {
            let [there, back] = nested(&small, depth)?;
            times.add("nested", depth, there);
            times.add("nested, undone", depth, back);
        }
        let mut session = large.0.fork();
        let ask = |t: &mut Session| update_hundreds(t, &large.1, 100);
        let (asked, what_if) = timed(|| session.what_if(|t| ask(t)));
        asked??;
        times.add("what_if", many, what_if);
        let (asked, fork) = timed(|| ask(&mut session.fork()));
        asked?;
        times.add("fork", many, fork);
    }
    print(&mut times, (many, changes, depth), works);
    Ok(())
}

fn print(times: &mut Times, (many, changes, depth): (u64, u64, u64), works: Works) {
    let print = |work: &str, size, against: &str, (ours, theirs): (f64, f64), target| {
        let (unit, higher_is_better, target) = ("s", false, Some(target));
        Pair { work, size, against, ours, theirs, unit, higher_is_better, target }.print();
    };
    let root = (times.of("root", 0), 300.0 * NANOSECOND);
    print("begin and commit of nothing", 1, "300 ns", root, 1.0);
    let savepoint = (times.of("savepoint", 0), 60.0 * NANOSECOND);
    print("a savepoint and its release", 1, "60 ns", savepoint, 1.0);
    for (outside, inside, abort, _) in works {
        let (without, within) = (times.of(outside, changes), times.of(inside, changes));
        print(inside, changes, "outside", (within, without), 0.85);
        print(abort, changes, "doing it", (times.of(abort, changes), within), 1.0);
    }
    for work in [NEIGHBORS, EVERYWHERE] {
        let undone = (times.of(work, many), times.of(work, FEW));
        print(work, many, "with 10,000 facts", undone, 1.0 / 1.5);
    }
    for (work, target) in [("nested", 0.7), ("nested, undone", 0.7)] {
        let (deep, flat) = (times.of(work, depth), times.of(work, depth / 10));
        print(work, depth, "a tenth of them, each", (deep, flat), target);
        print_point(work, depth / 10, flat * 1e9);
        print_point(work, depth, deep * 1e9);
    }
    let question = (times.of("what_if", many), times.of("fork", many));
    print("a question of 100 updates", many, "to a fork", question, 1.0);
    print_note("an aborted transaction leaves the journal as it was, to the byte: checked");
}
