//! Differential dataflow, with one worker. A firing is a record that appears in the output; firing
//! everything is an epoch.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Instant;

use differential_dataflow::input::InputSession;
use timely::dataflow::operators::probe::Handle;

use crate::works::{Outcome, j, k, updated};

/// A fact: its number and two fields.
type Fact = (i64, i64, i64);
type Input = InputSession<u64, Fact, isize>;

/// What the outputs have told.
#[derive(Default)]
struct Told {
    fired: i64,
    sum: i64,
    /// By group: sum and count.
    groups: HashMap<i64, (i64, i64)>,
}

pub fn run(work: &str, n: i64) -> Option<Outcome> {
    let known =
        ["join2", "join3", "update", "updjoin", "updjoinB", "groupby", "groupbyB", "not", "exists"];
    let work = known.into_iter().find(|known| *known == work)?;
    Some(timely::execute_directly(move |worker| {
        let told = Rc::new(RefCell::new(Told::default()));
        let probe = Handle::new();
        let mut inputs: [Input; 3] = std::array::from_fn(|_| InputSession::new());
        worker.dataflow(|scope| {
            let [a, b, c] = inputs.each_mut().map(|input| input.to_collection(scope));
            let fire = {
                let told = Rc::clone(&told);
                move |value: i64, appeared: isize| {
                    if appeared > 0 {
                        let mut told = told.borrow_mut();
                        told.fired += 1;
                        told.sum += value;
                    }
                }
            };
            match work {
                "update" => {
                    let set = a.filter(|(_, _, v)| *v == 1);
                    set.inspect(move |((id, ..), _, d)| fire(*id, *d)).probe_with(&probe);
                }
                "join2" | "updjoin" | "updjoinB" => {
                    let all = work == "join2";
                    let left = a.filter(move |(_, _, v)| all || *v == 1).map(|(id, k, _)| (k, id));
                    let pairs = left.join_map(b.map(|(id, k, _)| (k, id)), |_, a, b| 31 * a + b);
                    pairs.inspect(move |(sum, _, d)| fire(*sum, *d)).probe_with(&probe);
                }
                "join3" => {
                    let right = b.map(|(id, k, j)| (k, (id, j)));
                    let pairs = a.map(|(id, k, _)| (k, id));
                    let pairs = pairs.join_map(right, |_, a, (b, j)| (*j, 31 * a + 17 * b));
                    let triples = pairs.join_map(c.map(|(id, j, _)| (j, id)), |_, sum, c| sum + c);
                    triples.inspect(move |(sum, _, d)| fire(*sum, *d)).probe_with(&probe);
                }
                "groupby" | "groupbyB" => {
                    let told = Rc::clone(&told);
                    // Sum and count are the difference itself, so that an update costs no more than itself.
                    let weigh = |(_, group, value): Fact| Some((group, (value as isize, 1_isize)));
                    let groups = a.explode(weigh).count();
                    let note =
                        move |((group, (sum, count)), _, d): &((i64, (isize, isize)), _, isize)| {
                            if *d > 0 {
                                let result = (*sum as i64, *count as i64);
                                told.borrow_mut().groups.insert(*group, result);
                            }
                        };
                    groups.inspect(note).probe_with(&probe);
                }
                "not" => {
                    let others = b.map(|(_, k, _)| k).distinct();
                    let alone = a.map(|(id, k, _)| (k, id)).antijoin(others).consolidate();
                    alone.inspect(move |((_, id), _, d)| fire(*id, *d)).probe_with(&probe);
                }
                _ => {
                    let others = b.map(|(_, k, _)| k).distinct();
                    let accompanied = a.map(|(id, k, _)| (k, id)).semijoin(others);
                    accompanied.inspect(move |((_, id), _, d)| fire(*id, *d)).probe_with(&probe);
                }
            }
        });
        let mut epoch = 0;
        let mut fire_all = |inputs: &mut [Input; 3]| {
            epoch += 1;
            for input in inputs {
                input.advance_to(epoch);
                input.flush();
            }
            worker.step_while(|| probe.less_than(&epoch));
        };
        let (start, operations) = match work {
            "join2" | "join3" => joins(&mut inputs, n, work == "join3", &mut fire_all),
            "update" | "updjoin" => updates(&mut inputs, n, 1, &mut fire_all),
            "updjoinB" => updates(&mut inputs, n, 1000, &mut fire_all),
            "groupby" => groups(&mut inputs, n, 1, &mut fire_all),
            "groupbyB" => groups(&mut inputs, n, 1000, &mut fire_all),
            _ => presence(&mut inputs, n, if work == "not" { 1 } else { 2 }, &mut fire_all),
        };
        let time = start.elapsed();
        let told = told.borrow();
        let checksum = if told.groups.is_empty() {
            format!("{}:{}", told.fired, told.sum)
        } else {
            let groups = told.groups.iter();
            groups.map(|(group, (sum, count))| (group + 1) * sum + count).sum::<i64>().to_string()
        };
        Outcome { time, operations, checksum }
    }))
}

type FireAll<'a> = &'a mut dyn FnMut(&mut [Input; 3]);

fn joins(inputs: &mut [Input; 3], n: i64, three: bool, fire_all: FireAll<'_>) -> (Instant, i64) {
    let start = Instant::now();
    (0..n).for_each(|id| inputs[0].insert((id, id, 0)));
    (0..n).for_each(|id| inputs[1].insert((id, k(id, n), if three { j(id, n) } else { 0 })));
    (0..if three { n } else { 0 }).for_each(|id| inputs[2].insert((id, id, 0)));
    fire_all(inputs);
    (start, if three { 3 * n } else { 2 * n })
}

fn updates(inputs: &mut [Input; 3], n: i64, batch: i64, fire_all: FireAll<'_>) -> (Instant, i64) {
    let mut values: Vec<i64> = (0..n).map(|_| 0).collect();
    (0..n).for_each(|id| inputs[0].insert((id, id, 0)));
    (0..n).for_each(|id| inputs[1].insert((id, k(id, n), 0)));
    fire_all(inputs);
    let start = Instant::now();
    for u in 0..10 * n {
        let id = updated(u, n);
        let value = &mut values[id as usize];
        inputs[0].remove((id, id, *value));
        *value = 1 - *value;
        inputs[0].insert((id, id, *value));
        if (u + 1) % batch == 0 {
            fire_all(inputs);
        }
    }
    (start, 10 * n)
}

fn groups(inputs: &mut [Input; 3], n: i64, batch: i64, fire_all: FireAll<'_>) -> (Instant, i64) {
    let count = n / 100;
    let mut values: Vec<i64> = (0..n).map(|id| id % 1000).collect();
    let start = Instant::now();
    (0..n).for_each(|id| inputs[0].insert((id, id % count, values[id as usize])));
    fire_all(inputs);
    for u in 0..2 * n {
        let id = updated(u, n);
        let value = &mut values[id as usize];
        inputs[0].remove((id, id % count, *value));
        *value = (*value * 31 + u) % 1000;
        inputs[0].insert((id, id % count, *value));
        if (u + 1) % batch == 0 {
            fire_all(inputs);
        }
    }
    (start, 3 * n)
}

fn presence(inputs: &mut [Input; 3], n: i64, per: i64, fire_all: FireAll<'_>) -> (Instant, i64) {
    let others = n / 2 * per;
    let other = |id: i64| (id, 2 * (id / per), 0);
    let start = Instant::now();
    (0..n).for_each(|id| inputs[0].insert((id, id, 0)));
    (0..others).for_each(|id| inputs[1].insert(other(id)));
    fire_all(inputs);
    (0..others).for_each(|id| inputs[1].remove(other(id)));
    fire_all(inputs);
    (0..others).for_each(|id| inputs[1].insert(other(id)));
    fire_all(inputs);
    (0..others).step_by(per as usize).for_each(|id| inputs[1].remove(other(id)));
    fire_all(inputs);
    (start, n + 3 * others + n / 2)
}
