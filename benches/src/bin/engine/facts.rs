//! The facts of the harness, with its 32-bit integers, and what its rules tell.

use std::cell::Cell;

use steadfast::prelude::*;

pub(crate) const P: i64 = 7919;
pub(crate) const Q: i64 = 104_729;

#[derive(Fact, Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct A {
    pub(crate) id: i32,
    pub(crate) k: i32,
    pub(crate) v: i32,
}

#[derive(Fact, Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct B {
    pub(crate) id: i32,
    pub(crate) k: i32,
    pub(crate) j: i32,
}

#[derive(Fact, Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct C {
    pub(crate) id: i32,
    pub(crate) j: i32,
}

/// `factor * at + shift` modulo `n`: the keys of the harness.
pub(crate) fn key(at: i32, factor: i64, shift: i64, n: i32) -> i32 {
    let key = (i64::from(at) * factor + shift) % i64::from(n);
    i32::try_from(key).expect("below n")
}

thread_local! {
    /// Firings and the sum that proves them; what a host program would do with its matches.
    static TALLY: Cell<(i64, i64)> = const { Cell::new((0, 0)) };
}

/// Counts a firing.
#[inline]
pub(crate) fn tally(value: i64) {
    let (fires, sum) = TALLY.get();
    TALLY.set((fires + 1, sum + value));
}

pub(crate) fn reset_tally() {
    TALLY.set((0, 0));
}

pub(crate) fn told() -> (i64, i64) {
    TALLY.get()
}

/// The checksum of most works.
pub(crate) fn checksum() -> String {
    let (fires, sum) = told();
    format!("{fires}:{sum}")
}

/// A session in memory, with the tally at zero.
pub(crate) fn session(ruleset: steadfast::Ruleset) -> Session {
    reset_tally();
    Session::memory(ruleset).expect("valid rules")
}

/// Fires everything.
pub(crate) fn fire(session: &mut Session) {
    session.fire_all().expect("the works have no errors");
}

/// Inserts facts in one transaction.
pub(crate) fn load<T: Fact>(session: &mut Session, facts: impl IntoIterator<Item = T>) {
    let loaded = session.transact(|stage| {
        for fact in facts {
            stage.insert(fact)?;
        }
        Ok(())
    });
    loaded.expect("the works have no errors");
}

/// The same; gives their handles, for works that change the facts later.
pub(crate) fn load_known<T: Fact>(
    session: &mut Session,
    facts: impl IntoIterator<Item = T>,
) -> Vec<Handle<T>> {
    let loaded = session.transact(|stage| {
        let facts = facts.into_iter();
        let mut handles = Vec::with_capacity(facts.size_hint().0);
        for fact in facts {
            handles.push(stage.insert(fact)?);
        }
        Ok(handles)
    });
    loaded.expect("the works have no errors")
}
