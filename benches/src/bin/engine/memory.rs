//! What a session takes of the machine's memory, beyond its facts.

use crate::facts::{A, B, C, session};
use crate::joins;

/// Bytes per fact beside the fact that are wanted at most.
const LIMIT: f64 = 120.0;

/// Loads `join3` once, in a process that has done nothing else, and tells what stays.
pub(crate) fn measure() {
    let n = 1_000_000;
    let facts = f64::from(n) * 3.0;
    let values = f64::from(n)
        * [size_of::<A>(), size_of::<B>(), size_of::<C>()].map(bytes).iter().sum::<f64>();
    let mut session = session(joins::triples());
    let Some(before) = resident() else {
        return steadfast_benches::print_note("no row on memory: the system does not tell it");
    };
    joins::load_and_fire(&mut session, n);
    let after = resident().unwrap_or(before);
    let beside = (after - before - values) / facts;
    assert_eq!(session.fact_count(), u64::from(n.unsigned_abs()) * 3, "the session is still there");
    steadfast_benches::Pair {
        work: "join3, memory beside the fact",
        size: u64::from(n.unsigned_abs()) * 3,
        against: "limit",
        ours: beside,
        theirs: LIMIT,
        unit: "B",
        higher_is_better: false,
        target: Some(1.0),
    }
    .print();
}

fn bytes(size: usize) -> f64 {
    f64::from(u32::try_from(size).unwrap_or(u32::MAX))
}

/// Resident bytes of this process that are no pages of files: the program itself does not count.
fn resident() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("RssAnon:"))?;
    let kib: u32 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(f64::from(kib) * 1024.0)
}
