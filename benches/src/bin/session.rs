//! What durability costs a session: streams of insertions in memory and journaled, and coming back.
//!
//! The figures of Drools' own persistence are quoted: its modules are in no public registry that this
//! was measured with. They were taken with drools-reliability on an H2 store, 100,000 facts under
//! one rule, level of durability that of a killed process, as `Sync::Process` is.

use std::ffi::OsString;
use std::path::Path;
use std::process::Command;
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

/// Facts of the stream of small commits and of the restart; a tenth of them fires.
const FACTS: i64 = 100_000;
/// Facts of the streams of batches: enough that the last sync is a small part of it, and that most
/// segments are made while it runs.
const STREAM: i64 = 4_000_000;
/// What the first of these segments take: the small ones that a session begins with are behind it.
const JOURNAL_BYTES: u64 = 60 << 20;

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
    // As a session that is not new has it: its segments are large.
    session.reserve(JOURNAL_BYTES)?;
    Ok(session)
}

/// One journaled stream in a directory of its own; gives its time, and that of opening it again.
fn journaled_stream(
    (sync, pipelined): (Sync, bool),
    (facts, batch): (i64, i64),
    expected: Digest,
) -> Result<(Duration, Duration), Box<dyn std::error::Error>> {
    let dir = tempfile::tempdir()?;
    let dir = dir.path().join("s");
    let mut session = journaled(&dir, sync, pipelined)?;
    let time = stream(&mut session, facts, batch)?;
    assert_eq!(session.digest(), expected, "the journal changes nothing");
    drop(session);
    let (reopened, restore) = timed(|| Session::durable(&dir).open(items()));
    assert_eq!(reopened?.digest(), expected, "everything comes back");
    Ok((time, restore))
}

/// Before the directory in which this program streams and then aborts, as a process does that is killed.
const DIES_IN: &str = "--dies-in";

/// Streams into a session and ends without closing it.
fn die_in(dir: &Path) -> steadfast::Result<()> {
    let mut session = journaled(dir, Sync::Process, false)?;
    stream(&mut session, FACTS, 1)?;
    std::process::abort()
}

/// How long it takes to open the session of a process that has died.
fn restart_after_death(expected: Digest) -> Result<Duration, Box<dyn std::error::Error>> {
    let dir = tempfile::tempdir()?;
    let dir = dir.path().join("s");
    let died = Command::new(std::env::current_exe()?).arg(DIES_IN).arg(&dir).status()?;
    if died.code().is_some() {
        return Err(format!("the process that was to abort ended with {died}").into());
    }
    let (reopened, restart) = timed(|| Session::durable(&dir).open(items()));
    assert_eq!(reopened?.digest(), expected, "what was acknowledged comes back");
    Ok(restart)
}

/// The stream in memory, and what it comes to.
fn in_memory((facts, batch): (i64, i64)) -> steadfast::Result<(Duration, Digest)> {
    let mut session = Session::memory(items())?;
    let time = stream(&mut session, facts, batch)?;
    Ok((time, session.digest()))
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let words: Vec<OsString> = std::env::args_os().skip(1).collect();
    if let [dies_in, dir] = words.as_slice()
        && dies_in == DIES_IN
    {
        return Ok(die_in(Path::new(dir))?);
    }
    let args = Args::from_env();
    let (long, short) = (STREAM / if args.quick { 2 } else { 1 }, FACTS);
    let mut times = [const { Vec::new() }; 6];
    for _ in 0..args.samples {
        let (memory, digest) = in_memory((long, 100))?;
        times[0].push(memory);
        times[1].push(journaled_stream((Sync::Process, false), (long, 100), digest)?.0);
        times[2].push(journaled_stream((Sync::Batch, true), (long, 100), digest)?.0);
        let (_, digest) = in_memory((short, 1))?;
        let (each, restore) = journaled_stream((Sync::Process, false), (short, 1), digest)?;
        times[3].push(each);
        times[4].push(restore);
        times[5].push(restart_after_death(digest)?);
    }
    let [memory, process, pipelined, each, restore, after_death] =
        times.each_mut().map(|times| median(times));
    let facts = |facts: i64| u32::try_from(facts).map(f64::from);
    let drools = "drools-reliability (quoted)";
    let by_hundreds = facts(long)? / DROOLS_HUNDREDS;
    let rows = [
        ("100 facts a commit, Process", long, "in memory", process, memory, 0.5),
        ("100 facts a commit, Batch, pipelined", long, "in memory", pipelined, memory, 0.7),
        ("1 fact a commit, Process", short, drools, each, facts(short)? / DROOLS_EACH, 100.0),
        ("100 facts a commit, Process", long, drools, process, by_hundreds, 10.0),
        ("restart", short, drools, restore, DROOLS_RESTORE, 20.0),
        ("restart after a kill", short, drools, after_death, DROOLS_RESTORE, 20.0),
    ];
    for (work, size, against, ours, theirs, target) in rows {
        let (size, unit, higher_is_better) = (u64::try_from(size)?, "s", false);
        let target = Some(target);
        Pair { work, size, against, ours, theirs, unit, higher_is_better, target }.print();
    }
    print_note("drools-reliability is quoted: measured elsewhere, on H2 MVStore, see the program");
    Ok(())
}
