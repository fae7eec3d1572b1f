//! Whether the time per fact, or per update, stays what it is when there are more facts.

use std::time::Duration;

use steadfast_benches::{Args, Pair, median, print_point};

use crate::{Run, alpha, joins, updates};

/// Works with how many facts (or updates) a size of one means.
const CURVES: &[(&str, i32, Run)] = &[
    ("alpha10", 1, alpha::alpha10),
    ("join2", 2, joins::join2),
    ("join3", 3, joins::join3),
    ("update", 10, updates::update),
];

const FACTS: &[i32] = &[10_000, 30_000, 100_000, 300_000, 1_000_000, 3_000_000];

pub(crate) fn measure(args: Args) {
    for &(work, per, run) in CURVES {
        let mut costs = Vec::new();
        for &facts in FACTS {
            let size = facts / per;
            // Small sizes are over too soon to be measured alone.
            let repeats = (1_000_000 / facts).clamp(1, 20);
            run(size);
            let mut times = Vec::new();
            for _ in 0..args.samples {
                let total: Duration = (0..repeats).map(|_| run(size).0).sum();
                times.push(total / repeats.unsigned_abs());
            }
            let ns = median(&mut times) * 1e9 / f64::from(facts);
            print_point(work, u64::from(facts.unsigned_abs()), ns);
            costs.push(ns);
        }
        let (first, last) = (costs[0], costs.iter().copied().fold(0.0, f64::max));
        Pair {
            work: &format!("{work}, growth"),
            size: 3_000_000,
            against: "10 k facts",
            ours: last,
            theirs: first,
            unit: "ns",
            higher_is_better: false,
            target: Some(1.0 / 1.2),
        }
        .print();
    }
}
