//! Facts for which there is no other, or at least one, while the others come and go.

use std::time::Duration;

use steadfast::prelude::*;
use steadfast_benches::timed;

use crate::facts::{A, B, checksum, fire, load, load_known, session, tally};

#[rule]
fn alone(a: &A, #[not(b.k == a.k)] b: Absent<B>) {
    tally(i64::from(a.id));
}

#[rule]
fn accompanied(a: &A, #[exists(b.k == a.k)] b: Exists<B>) {
    tally(i64::from(a.id));
}

ruleset!(absence = 1: alone);
ruleset!(presence = 1: accompanied);

/// For every second `A`, `per` facts `B` go with it; they go, come back, and one of each goes again.
fn run(ruleset: steadfast::Ruleset, n: i32, per: i32) -> (Duration, String) {
    let mut session = session(ruleset);
    let others = || (0..n / 2 * per).map(|id| B { id, k: 2 * (id / per), j: 0 });
    let delete = |session: &mut Session, handles: &[Handle<B>], step: i32| {
        let deleted = session.transact(|stage| {
            let step = usize::try_from(step).unwrap_or(1);
            handles.iter().step_by(step).try_for_each(|&b| stage.delete(b).map(drop))?;
            Ok(())
        });
        deleted.expect("handles of this session");
        fire(session);
    };
    let ((), time) = timed(|| {
        load(&mut session, (0..n).map(|id| A { id, k: id, v: 0 }));
        let handles = load_known(&mut session, others());
        fire(&mut session);
        delete(&mut session, &handles, 1);
        let handles = load_known(&mut session, others());
        fire(&mut session);
        delete(&mut session, &handles, per);
    });
    (time, checksum())
}

pub(crate) fn not(n: i32) -> (Duration, String) {
    run(absence(), n, 1)
}

pub(crate) fn exists(n: i32) -> (Duration, String) {
    run(presence(), n, 2)
}
