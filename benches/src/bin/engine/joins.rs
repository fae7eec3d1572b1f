//! Two and three facts joined by keys.

use std::time::Duration;

use steadfast::prelude::*;
use steadfast_benches::timed;

use crate::facts::{A, B, C, P, Q, checksum, fire, key, load, session, tally};

#[rule]
fn pair(a: &A, #[when(b.k == a.k)] b: &B) {
    tally(31 * i64::from(a.id) + i64::from(b.id));
}

#[rule]
fn triple(a: &A, #[when(b.k == a.k)] b: &B, #[when(c.j == b.j)] c: &C) {
    tally(31 * i64::from(a.id) + 17 * i64::from(b.id) + i64::from(c.id));
}

ruleset!(pairs = 1: pair);
ruleset!(pub(crate) triples = 1: triple);

pub(crate) fn join2(n: i32) -> (Duration, String) {
    let mut session = session(pairs());
    let ((), time) = timed(|| {
        load(&mut session, (0..n).map(|id| A { id, k: id, v: 0 }));
        load(&mut session, (0..n).map(|id| B { id, k: key(id, P, 13, n), j: 0 }));
        fire(&mut session);
    });
    (time, checksum())
}

pub(crate) fn join3(n: i32) -> (Duration, String) {
    let mut session = session(triples());
    let ((), time) = timed(|| load_and_fire(&mut session, n));
    (time, checksum())
}

pub(crate) fn load_and_fire(session: &mut Session, n: i32) {
    load(session, (0..n).map(|id| A { id, k: id, v: 0 }));
    load(session, (0..n).map(|id| B { id, k: key(id, P, 13, n), j: key(id, Q, 7, n) }));
    load(session, (0..n).map(|id| C { id, j: id }));
    fire(session);
}
