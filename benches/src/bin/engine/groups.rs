//! Sums and counts, per group fact or by a key, one or a thousand updates in a flush.

use std::cell::RefCell;
use std::time::Duration;

use steadfast::prelude::*;
use steadfast_benches::timed;

use crate::facts::{P, fire, load, load_known, session};

#[derive(Fact, Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Team {
    id: i32,
}

#[derive(Fact, Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Item {
    id: i32,
    team: i32,
    value: i32,
}

thread_local! {
    /// By team the last result that fired.
    static RESULTS: RefCell<Vec<(i64, u64)>> = const { RefCell::new(Vec::new()) };
}

fn note(team: i32, result: (i64, u64)) {
    RESULTS.with_borrow_mut(|results| {
        if let Some(place) = usize::try_from(team).ok().and_then(|team| results.get_mut(team)) {
            *place = result;
        }
    });
}

#[rule]
fn accumulated(
    t: &Team,
    #[when(i.team == t.id)]
    #[aggregate(sum(i64::from(i.value)), count())]
    g: Group<Item, (), (i64, u64)>,
) {
    note(t.id, (g.0, g.1));
}

#[rule]
fn grouped(
    #[group_by(i.team)]
    #[aggregate(sum(i64::from(i.value)), count())]
    g: Group<Item, i32, (i64, u64)>,
) {
    note(g.key, (g.0, g.1));
}

ruleset!(accumulating = 1: accumulated);
ruleset!(grouping = 1: grouped);

fn run(ruleset: steadfast::Ruleset, n: i32, with_teams: bool, batch: usize) -> (Duration, String) {
    let mut session = session(ruleset);
    let teams = n / 100;
    RESULTS.set(vec![(0, 0); usize::try_from(teams).unwrap_or(0)]);
    let ((), time) = timed(|| {
        if with_teams {
            load(&mut session, (0..teams).map(|id| Team { id }));
        }
        let item = |id| Item { id, team: id % teams, value: id % 1000 };
        let handles = load_known(&mut session, (0..n).map(item));
        fire(&mut session);
        update(&mut session, &handles, batch);
    });
    let sum = RESULTS.with_borrow(|results| {
        let results = (1..).zip(results);
        results.map(|(at, &(sum, count))| at * sum + count.cast_signed()).sum::<i64>()
    });
    (time, sum.to_string())
}

fn update(session: &mut Session, handles: &[Handle<Item>], batch: usize) {
    let change = |u: usize| {
        let handle = handles[usize::try_from(P).unwrap_or(1) * u % handles.len()];
        let u = i32::try_from(u).expect("few updates");
        (handle, move |item: &mut Item| item.value = (item.value * 31 + u) % 1000)
    };
    let count = handles.len() * 2;
    for start in (0..count).step_by(batch) {
        if batch == 1 {
            let (handle, change) = change(start);
            session.update(handle, change).expect("the fact lives");
        } else {
            let updated = session.transact(|stage| {
                for (handle, change) in (start..(start + batch).min(count)).map(change) {
                    stage.update(handle, change)?;
                }
                Ok(())
            });
            updated.expect("the facts live");
        }
        fire(session);
    }
}

pub(crate) fn acc(n: i32) -> (Duration, String) {
    run(accumulating(), n, true, 1)
}

pub(crate) fn acc_batched(n: i32) -> (Duration, String) {
    run(accumulating(), n, true, 1000)
}

pub(crate) fn groupby(n: i32) -> (Duration, String) {
    run(grouping(), n, false, 1)
}

pub(crate) fn groupby_batched(n: i32) -> (Duration, String) {
    run(grouping(), n, false, 1000)
}
