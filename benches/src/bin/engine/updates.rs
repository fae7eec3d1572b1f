//! Updates that let a match appear and vanish, alone and joined, one or a thousand in a flush.

use std::time::Duration;

use steadfast::prelude::*;
use steadfast_benches::timed;

use crate::facts::{A, B, P, checksum, fire, key, load, load_known, reset_tally, session, tally};

#[rule]
fn set(#[when(a.v == 1)] a: &A) {
    tally(i64::from(a.id));
}

#[rule]
fn set_pair(#[when(a.v == 1)] a: &A, #[when(b.k == a.k)] b: &B) {
    tally(31 * i64::from(a.id) + i64::from(b.id));
}

ruleset!(alone_rules = 1: set);
ruleset!(joined_rules = 1: set_pair);

/// Updates for ten times as many times as there are facts, firing after every `batch` of them.
fn run(session: &mut Session, n: i32, joined: bool, batch: usize) -> (Duration, String) {
    let handles = load_known(session, (0..n).map(|id| A { id, k: id, v: 0 }));
    if joined {
        load(session, (0..n).map(|id| B { id, k: key(id, P, 13, n), j: 0 }));
    }
    fire(session);
    reset_tally();
    let count = handles.len() * 10;
    let fact = |u: usize| handles[usize::try_from(P).unwrap_or(1) * u % handles.len()];
    let ((), time) = timed(|| {
        if batch == 1 {
            for u in 0..count {
                session.update(fact(u), |a| a.v = 1 - a.v).expect("the fact lives");
                fire(session);
            }
            return;
        }
        for start in (0..count).step_by(batch) {
            let updated = session.transact(|stage| {
                for u in start..(start + batch).min(count) {
                    stage.update(fact(u), |a| a.v = 1 - a.v)?;
                }
                Ok(())
            });
            updated.expect("the facts live");
            fire(session);
        }
    });
    (time, checksum())
}

pub(crate) fn update(n: i32) -> (Duration, String) {
    run(&mut session(alone_rules()), n, false, 1)
}

pub(crate) fn updjoin(n: i32) -> (Duration, String) {
    run(&mut session(joined_rules()), n, true, 1)
}

pub(crate) fn updjoin_batched(n: i32) -> (Duration, String) {
    run(&mut session(joined_rules()), n, true, 1000)
}
