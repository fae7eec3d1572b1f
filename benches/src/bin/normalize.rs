//! Normalization: how fast it goes, what a session notices of it, and what it does to a restart.
//!
//! A thousand facts live, and are updated again and again; the journal holds every update until it is
//! normalized.

use std::path::Path;
use std::time::Duration;

use steadfast::Normalization;
use steadfast::prelude::*;
use steadfast_benches::{Args, Pair, median, print_note, print_point, timed};

#[derive(Fact, Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Meter {
    id: u64,
    value: u64,
    note: String,
}

#[rule]
fn high(#[when(m.value == u64::MAX)] m: &Meter) {
    std::hint::black_box(m.id);
}

ruleset!(meters = 1: high);

const LIVE: u64 = 1_000;
/// Updates of one commit, each followed by a flush.
const COMMIT: u64 = 10;

fn open(dir: &Path, normalization: Normalization) -> steadfast::Result<Session> {
    let builder = Session::durable(dir).sync(Sync::Process).segment_bytes(8 << 20);
    builder.normalization(normalization).open(meters())
}

/// Inserts what lives.
fn fill(session: &mut Session) -> steadfast::Result<Vec<Handle<Meter>>> {
    let note = "a note of sixty-four bytes, as a fact of some use would have it.".to_owned();
    session.transact(|tx| {
        (0..LIVE).map(|id| Ok(tx.insert(Meter { id, value: 0, note: note.clone() })?)).collect()
    })
}

/// Updates; gives how long each commit took.
fn update(
    session: &mut Session,
    meters: &[Handle<Meter>],
    updates: u64,
) -> steadfast::Result<Vec<Duration>> {
    let mut times = Vec::new();
    for commit in 0..updates / COMMIT {
        let (done, time) = timed(|| {
            session.transact(|tx| {
                for number in commit * COMMIT..(commit + 1) * COMMIT {
                    let meter = meters[usize::try_from(number * 7919 % LIVE).unwrap_or_default()];
                    tx.update(meter, |meter| meter.value = number)?;
                }
                Ok(())
            })?;
            session.flush()
        });
        done?;
        times.push(time);
    }
    Ok(times)
}

/// The time that 99 of 100 commits stay below.
fn p99(times: &mut [Duration]) -> f64 {
    times.sort_unstable();
    times.get(times.len() * 99 / 100).map_or(0.0, Duration::as_secs_f64)
}

/// A session after so many updates; gives the times of its commits.
fn lived(
    dir: &Path,
    normalization: Normalization,
    updates: u64,
) -> steadfast::Result<Vec<Duration>> {
    let mut session = open(dir, normalization)?;
    let meters = fill(&mut session)?;
    let times = update(&mut session, &meters, updates)?;
    session.close()?;
    Ok(times)
}

fn restart(dir: &Path) -> steadfast::Result<Duration> {
    let (session, time) = timed(|| open(dir, Normalization::off()));
    drop(session?);
    Ok(time)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args = Args::from_env();
    let most: u64 = if args.quick { 200_000 } else { 1_600_000 };
    let unlimited = Normalization::off().bytes_per_second(None);
    let (mut speeds, mut with, mut without) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..args.samples.clamp(1, 3) {
        let dir = tempfile::tempdir()?;
        let path = dir.path().join("s");
        drop(lived(&path, unlimited, most)?);
        let mut session = open(&path, unlimited)?;
        let (done, time) = timed(|| session.normalize());
        let done = done?.ok_or("there was nothing to gain")?;
        let megabytes = f64::from(u32::try_from(done.bytes_before / 1000)?) / 1000.0;
        speeds.push(Duration::from_secs_f64(time.as_secs_f64() / megabytes));
        let quiet = tempfile::tempdir()?;
        let busy = tempfile::tempdir()?;
        without.push(Duration::from_secs_f64(p99(&mut lived(
            &quiet.path().join("s"),
            Normalization::off(),
            most,
        )?)));
        with.push(Duration::from_secs_f64(p99(&mut lived(
            &busy.path().join("s"),
            Normalization::default(),
            most,
        )?)));
    }
    let speed = 1.0 / median(&mut speeds);
    let (with, without) = (median(&mut with), median(&mut without));
    Pair {
        work: "journal normalized a second",
        size: most,
        against: "what is wanted",
        ours: speed,
        theirs: 500.0,
        unit: "MB",
        higher_is_better: true,
        target: Some(1.0),
    }
    .print();
    Pair {
        work: "p99 of a commit while normalizing",
        size: most,
        against: "not normalizing",
        ours: with,
        theirs: without,
        unit: "s",
        higher_is_better: false,
        target: Some(0.9),
    }
    .print();
    let mut updates = most / 16;
    while updates <= most {
        let dir = tempfile::tempdir()?;
        let path = dir.path().join("s");
        drop(lived(&path, Normalization::off(), updates)?);
        let nanoseconds = |time: Duration| time.as_secs_f64() * 1e9;
        print_point("restart", updates, nanoseconds(restart(&path)?));
        let mut session = open(&path, unlimited)?;
        session.normalize()?;
        session.close()?;
        print_point("restart, normalized", updates, nanoseconds(restart(&path)?));
        updates *= 2;
    }
    print_note("commits of ten updates at level Process; one machine, one disk, one run");
    Ok(())
}
