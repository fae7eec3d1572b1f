//! Manners and Waltz: the examples of the same names.

use std::time::Duration;

use steadfast::prelude::*;
use steadfast_benches::timed;

use crate::{guests, lines};

/// What the examples' data name.
pub(crate) mod rules {
    pub(crate) use super::seating::{Guest, Sex};
    pub(crate) use super::waltz_rules::{Line, point};
}

#[path = "../../../../examples/manners/rules.rs"]
#[expect(unreachable_pub, reason = "shared with the example")]
mod seating;
#[path = "../../../../examples/waltz/facts.rs"]
#[expect(unreachable_pub, reason = "shared with the example")]
mod waltz_facts;
#[path = "../../../../examples/waltz/rules.rs"]
#[expect(unreachable_pub, reason = "shared with the example")]
mod waltz_rules;

/// What `waltz_rules` finds beside it.
use waltz_facts as facts;

pub(crate) fn manners(size: i32) -> (Duration, String) {
    let guests = guests::guests(u32::try_from(size).expect("a number of guests"));
    let mut session = Session::memory(seating::manners()).expect("valid rules");
    let (fired, time) = timed(|| seating::seat(&mut session, &guests).expect("no errors"));
    let seated = session.query::<seating::Seated>().expect("no errors");
    let seated: Vec<_> = seated.iter().map(|seated| seated.get().clone()).collect();
    let valid = if seating::is_valid(&guests, &seated) { "valid" } else { "INVALID" };
    (time, format!("{fired}:{valid}"))
}

pub(crate) fn waltz(size: i32) -> (Duration, String) {
    let lines = lines::lines(i64::from(size));
    let mut session = Session::memory(waltz_rules::waltz()).expect("valid rules");
    let (fired, time) = timed(|| waltz_rules::label(&mut session, &lines).expect("no errors"));
    (time, waltz_rules::checksum(&mut session, fired).expect("no errors"))
}
