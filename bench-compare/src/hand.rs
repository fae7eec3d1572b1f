//! Programs for one work each, with hash maps and without an engine: the lower bound.

use std::collections::HashMap;
use std::time::Instant;

use crate::works::{Outcome, j, k, updated};

pub fn run(work: &str, n: i64) -> Option<Outcome> {
    match work {
        "join2" => Some(joins(n, false)),
        "join3" => Some(joins(n, true)),
        "update" => Some(updates(n, false)),
        "updjoin" | "updjoinB" => Some(updates(n, true)),
        "groupby" | "groupbyB" => Some(groups(n)),
        _ => None,
    }
}

fn joins(n: i64, three: bool) -> Outcome {
    let start = Instant::now();
    let index = || {
        let mut index = HashMap::<i64, Vec<i64>>::new();
        (0..n).for_each(|id| index.entry(id).or_default().push(id));
        index
    };
    let a = index();
    let c = if three { index() } else { HashMap::new() };
    let (mut fired, mut sum) = (0, 0);
    for b in 0..n {
        for a in a.get(&k(b, n)).into_iter().flatten() {
            if !three {
                fired += 1;
                sum += 31 * a + b;
            }
            for c in c.get(&j(b, n)).into_iter().flatten() {
                fired += 1;
                sum += 31 * a + 17 * b + c;
            }
        }
    }
    let operations = if three { 3 * n } else { 2 * n };
    Outcome { time: start.elapsed(), operations, checksum: format!("{fired}:{sum}") }
}

fn updates(n: i64, joined: bool) -> Outcome {
    let mut values: HashMap<i64, i64> = (0..n).map(|id| (id, 0)).collect();
    let by_key: HashMap<i64, i64> = (0..n).map(|id| (k(id, n), id)).collect();
    let start = Instant::now();
    let (mut fired, mut sum) = (0, 0);
    for u in 0..10 * n {
        let id = updated(u, n);
        let value = values.get_mut(&id).expect("all are there");
        *value = 1 - *value;
        if *value == 1 {
            fired += 1;
            sum += if joined { 31 * id + by_key[&id] } else { id };
        }
    }
    Outcome { time: start.elapsed(), operations: 10 * n, checksum: format!("{fired}:{sum}") }
}

fn groups(n: i64) -> Outcome {
    let count = n / 100;
    let start = Instant::now();
    let mut values = HashMap::<i64, i64>::new();
    let mut groups = HashMap::<i64, (i64, i64)>::new();
    for id in 0..n {
        values.insert(id, id % 1000);
        let (sum, members) = groups.entry(id % count).or_default();
        *sum += id % 1000;
        *members += 1;
    }
    for u in 0..2 * n {
        let id = updated(u, n);
        let value = values.get_mut(&id).expect("all are there");
        let new = (*value * 31 + u) % 1000;
        groups.get_mut(&(id % count)).expect("all are there").0 += new - *value;
        *value = new;
    }
    let time = start.elapsed();
    let checksum: i64 = groups.iter().map(|(group, (sum, count))| (group + 1) * sum + count).sum();
    Outcome { time, operations: 3 * n, checksum: checksum.to_string() }
}
