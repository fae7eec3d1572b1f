//! Joins: the workloads `join2` and `join3` of other rule engines' harnesses, in memory and journaled.

use std::cell::Cell;
use std::path::Path;
use std::time::Duration;

use steadfast::prelude::*;
use steadfast_benches::{Args, Pair, median, print_sample, timed};

const P: i64 = 7919;
const Q: i64 = 104_729;

#[derive(Fact, Clone, Debug, PartialEq, Serialize, Deserialize)]
struct A {
    id: i64,
    k: i64,
}

#[derive(Fact, Clone, Debug, PartialEq, Serialize, Deserialize)]
struct B {
    id: i64,
    k: i64,
    j: i64,
}

#[derive(Fact, Clone, Debug, PartialEq, Serialize, Deserialize)]
struct C {
    id: i64,
    j: i64,
}

/// More than the workload writes.
const JOURNAL_BYTES: u64 = 32 << 20;

thread_local! {
    /// Firings and the sum that proves them; what a host program would do with its matches.
    static TALLY: Cell<(i64, i64)> = const { Cell::new((0, 0)) };
}

fn tally(value: i64) {
    TALLY.set((TALLY.get().0 + 1, TALLY.get().1 + value));
}

#[rule]
fn join2(a: &A, #[when(b.k == a.k)] b: &B) {
    tally(31 * a.id + b.id);
}

#[rule]
fn join3(a: &A, #[when(b.k == a.k)] b: &B, #[when(c.j == b.j)] c: &C) {
    tally(31 * a.id + 17 * b.id + c.id);
}

ruleset!(two = 1: join2);
ruleset!(three = 1: join3);

/// Loads and fires; gives the checksum and the time.
fn run(session: &mut Session, n: i64, three: bool) -> (String, Duration) {
    TALLY.set((0, 0));
    let ((), time) = timed(|| {
        session
            .transact(|stage| {
                for id in 0..n {
                    stage.insert(A { id, k: id })?;
                }
                for id in 0..n {
                    let j = if three { (id * Q + 7) % n } else { 0 };
                    stage.insert(B { id, k: (id * P + 13) % n, j })?;
                }
                for id in 0..if three { n } else { 0 } {
                    stage.insert(C { id, j: id })?;
                }
                Ok(())
            })
            .and_then(|()| session.fire_all())
            .map(drop)
            .expect("the workload has no errors");
    });
    let (fires, sum) = TALLY.get();
    (format!("{fires}:{sum}"), time)
}

fn durable(dir: &Path, sync: Sync) -> Session {
    let opened = Session::durable(dir).sync(sync).open(three());
    opened.expect("a fresh directory opens")
}

fn main() {
    let args = Args::from_env();
    let n = 100_000;
    let size = u64::try_from(n).unwrap_or_default();
    let mut times = [const { Vec::new() }; 3];
    for _ in 0..args.samples {
        let (checksum, time) = run(&mut Session::memory(two()).expect("valid rules"), n, false);
        print_sample("join2", size, time, &checksum);
        let (checksum, memory) = run(&mut Session::memory(three()).expect("valid rules"), n, true);
        print_sample("join3", size, memory, &checksum);
        times[0].push(memory);
        for (at, sync) in [Sync::Process, Sync::Batch].into_iter().enumerate() {
            let dir = tempfile::tempdir().expect("a temporary directory");
            let mut session = durable(dir.path(), sync);
            // As a session that is not new has it: the first segments are small, the others large.
            session.reserve(JOURNAL_BYTES).expect("room on the disk");
            let (journaled, time) = run(&mut session, n, true);
            assert_eq!(journaled, checksum, "the journal changes nothing");
            times[at + 1].push(time);
        }
    }
    let [memory, process, batch] = times.each_mut().map(|times| median(times));
    for (against, time, target) in [("Process", process, Some(0.7)), ("Batch", batch, None)] {
        // Ours is the journaled session; the ratio is the share of its speed that is left.
        let pair = Pair {
            work: "join3 journaled",
            size,
            against: "in memory",
            ours: time,
            theirs: memory,
            unit: "s",
            higher_is_better: false,
            target,
        };
        Pair { work: &format!("join3 at {against}"), ..pair }.print();
    }
}
