//! What durability costs a session: streams of insertions in memory and journaled, and coming back.
//!
//! The figures of Drools' own persistence are quoted: its modules are in no public registry that this
//! was measured with. They were taken with drools-reliability on an H2 store, 100,000 facts under
//! one rule, level of durability that of a killed process, as `Sync::Process` is.

use std::path::Path;
use std::time::Duration;

use steadfast::Digest;
use steadfast::prelude::*;
use steadfast_benches::{Args, Pair, median, print_note, timed};

#[derive(Fact, Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Item {
    id: i64,
    k: i64,
    value: i64,
}

#[rule]
fn small(#[when(item.value < 100)] item: &Item) {
    std::hint::black_box(item.id);
}

ruleset!(items = 1: small);

/// Facts of the stream; a tenth of them fires.
const FACTS: i64 = 100_000;
/// More than they take in the journal.
const JOURNAL_BYTES: u64 = 32 << 20;

/// What Drools needs for 100,000 facts: facts per second with a safe point after each fact and after
/// each 100, seconds to bring them back. The best of each range.
const DROOLS_EACH: f64 = 3_800.0;
const DROOLS_HUNDREDS: f64 = 90_000.0;
const DROOLS_RESTORE: f64 = 1.8;

/// Inserts in batches, each followed by a run; gives how long it took.
fn stream(session: &mut Session, facts: i64, batch: i64) -> steadfast::Result<Duration> {
    let (done, time) = timed(|| -> steadfast::Result<()> {
        for start in (0..facts).step_by(usize::try_from(batch).unwrap_or(1)) {
            session.transact(|tx| {
                (start..facts.min(start + batch)).try_for_each(|id| {
                    let value = id * 7919 % 1000;
                    tx.insert(Item { id, k: 0, value }).map(drop)
                })?;
                Ok(())
            })?;
            session.fire_all()?;
        }
        if let Some(last) = Some(session.last_commit()).filter(|last| last.get() > 0) {
            session.wait_durable(last)?;
        }
        Ok(())
    });
    done.map(|()| time)
}

fn journaled(dir: &Path, sync: Sync, pipelined: bool) -> steadfast::Result<Session> {
    let mut session = Session::durable(dir).sync(sync).pipelined(pipelined).open(items())?;
    // As a session that is not new has it: the first segments are small, the others large.
    session.reserve(JOURNAL_BYTES)?;
    Ok(session)
}

/// One journaled stream in a directory of its own; gives its time, and that of opening it again.
fn journaled_stream(
    (sync, pipelined): (Sync, bool),
    batch: i64,
    expected: Digest,
) -> Result<(Duration, Duration), Box<dyn std::error::Error>> {
    let dir = tempfile::tempdir()?;
    let dir = dir.path().join("s");
    let mut session = journaled(&dir, sync, pipelined)?;
    let time = stream(&mut session, FACTS, batch)?;
    assert_eq!(session.digest(), expected, "the journal changes nothing");
    drop(session);
    let (reopened, restore) = timed(|| Session::durable(&dir).open(items()));
    assert_eq!(reopened?.digest(), expected, "everything comes back");
    Ok((time, restore))
}

/// The stream in memory, and what it comes to.
fn in_memory(batch: i64) -> steadfast::Result<(Duration, Digest)> {
    let mut session = Session::memory(items())?;
    let time = stream(&mut session, FACTS, batch)?;
    Ok((time, session.digest()))
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args = Args::from_env();
    let mut times = [const { Vec::new() }; 5];
    for _ in 0..args.samples {
        let (memory, digest) = in_memory(100)?;
        times[0].push(memory);
        let (process, restore) = journaled_stream((Sync::Process, false), 100, digest)?;
        times[1].push(process);
        times[2].push(restore);
        times[3].push(journaled_stream((Sync::Batch, true), 100, digest)?.0);
        let (_, each_digest) = in_memory(1)?;
        times[4].push(journaled_stream((Sync::Process, false), 1, each_digest)?.0);
    }
    let [memory, process, restore, pipelined, each] = times.each_mut().map(|times| median(times));
    let facts = f64::from(i32::try_from(FACTS)?);
    let drools = "drools-reliability (quoted)";
    let rows = [
        ("100 facts a commit, Process", "in memory", process, memory, Some(0.5)),
        ("100 facts a commit, Batch, pipelined", "in memory", pipelined, memory, Some(0.7)),
        ("1 fact a commit, Process", drools, each, facts / DROOLS_EACH, Some(100.0)),
        ("100 facts a commit, Process", drools, process, facts / DROOLS_HUNDREDS, Some(10.0)),
        ("restart", drools, restore, DROOLS_RESTORE, Some(20.0)),
    ];
    for (work, against, ours, theirs, target) in rows {
        let (size, unit, higher_is_better) = (u64::try_from(FACTS)?, "s", false);
        Pair { work, size, against, ours, theirs, unit, higher_is_better, target }.print();
    }
    print_note("drools-reliability is quoted: measured elsewhere, on H2 MVStore, see the program");
    Ok(())
}
