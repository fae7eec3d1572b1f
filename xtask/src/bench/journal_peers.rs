//! The journal against logs and stores of others.
//!
//! Our side is the example `journal_bench` of the journal; the peers' side is a program of their own,
//! `journal-bench`, that prints one line for each contender. Both write below one directory, so both
//! meet the same file system, and their rounds alternate.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::workspace::{Workspace, display, run as run_command, wait_within};

use super::program::Program;
use super::row::{Line, Measured, Note, Pair, median, median_pairs};
use super::{Bench, Effort, Request, peers};

/// A contender of the peers' program.
#[derive(Debug)]
struct Peer {
    name: &'static str,
    /// Takes part in a quick run.
    quick: bool,
    /// Its figures count for `best`: it is a product, and durable where it says so.
    comparable: bool,
}

const fn peer(name: &'static str, quick: bool, comparable: bool) -> Peer {
    Peer { name, quick, comparable }
}

const PEERS: &[Peer] = &[
    // Yardsticks: the near-limit reference, and the two ways that come to mind first.
    peer("ref-group", true, false),
    peer("naive-file", false, false),
    peer("naive-mmap", false, false),
    peer("okaywal", true, true),
    peer("raft-engine", true, true),
    peer("fjall", true, true),
    peer("rocksdb", true, true),
    peer("sqlite-full", true, true),
    peer("lmdb", false, true),
    peer("redb", true, true),
    peer("redis-aof", false, true),
    // Not durable at every commit, whatever they return.
    peer("sqlite-normal", false, false),
    peer("sled", false, false),
    peer("commitlog", false, false),
];

/// One of the works that both sides do, and where the peers' line tells it.
struct Work {
    name: &'static str,
    /// Our size of it that is the peers': bytes of a batch, or records.
    size: u64,
    /// Key of the rate.
    rate: &'static str,
    /// Key of the latencies in microseconds, of which the first is the median.
    latency: Option<&'static str>,
}

const WORKS: &[Work] = &[
    durable("durable-1", "sync batch/s", "sync p50/p99 us"),
    durable("durable-8", "group8 batch/s", "group8 p50/p99 us"),
    durable("durable-32", "group32 batch/s", "group32 p50/p99 us"),
    Work { name: "process", size: RECORDS, rate: "nosync rec/s", latency: None },
    Work { name: "scan", size: RECORDS, rate: "scan rec/s (first/best)", latency: None },
];

/// Records of a stream.
const RECORDS: u64 = 1_000_000;

/// Ten records of 100 bytes.
const BATCH_BYTES: u64 = 1000;

const fn durable(name: &'static str, rate: &'static str, latency: &'static str) -> Work {
    Work { name, size: BATCH_BYTES, rate, latency: Some(latency) }
}

/// Work, peer, and the ratio that we want against it.
const TARGETS: &[(&str, &[&str], f64)] = &[
    ("durable-1", &["raw", "ref-group"], 1.0 / 1.1),
    ("durable-1", &["okaywal"], 0.95),
    ("durable-1", &["fjall", "sqlite-full"], 1.5),
    ("durable-1", &["redb", "rocksdb", "redis-aof", "lmdb"], 2.0),
    ("durable-8", &["best"], 1.5),
    ("durable-32", &["best"], 1.9),
    ("durable-8-busy", &["ref-group"], 0.9),
    ("durable-32-busy", &["ref-group"], 0.9),
    ("process", &["raft-engine"], 7.0),
];

/// How long one contender may take in one round.
const PEER_SECONDS_MAX: u64 = 150;

/// Measures the journal against every contender that is there.
pub(super) fn run(
    workspace: &Workspace,
    _bench: &Bench,
    Request { effort, .. }: Request<'_>,
) -> Result<Measured> {
    let program = Program::of_example(workspace, "steadfast-journal", "journal_bench");
    program.build()?;
    let data = workspace.root.join("target/bench/journal-data");
    let contenders = Contenders::find(&peers::home().join("journal-bench"), &data, effort);
    let result = interleave(
        || {
            let dir = data.join("ours");
            fs::create_dir_all(&dir)?;
            let dir = dir.to_str().context("the path of the repository is no text")?;
            let mut args = vec!["--dir", dir];
            args.extend(effort.is_quick().then_some("--quick"));
            program.run(&args)
        },
        &contenders,
        effort,
    );
    drop(fs::remove_dir_all(&data)); // a failure leaves files under target/, nothing more
    result
}

/// The peers' program.
struct Contenders {
    /// `None` when it is not there; the notes say why.
    binary: Option<PathBuf>,
    data: PathBuf,
    effort: Effort,
    notes: Vec<String>,
}

impl Contenders {
    fn find(home: &Path, data: &Path, effort: Effort) -> Self {
        let mut contenders =
            Self { binary: None, data: data.join("peers"), effort, notes: Vec::new() };
        let binary = home.join("target/release/peers");
        if !binary.is_file() && home.join("Cargo.toml").is_file() && !effort.is_quick() {
            contenders.notes.extend(build(home).err().map(|error| format!("{error:#}")));
        }
        if binary.is_file() {
            contenders.binary = Some(binary);
        } else if home.is_dir() {
            let note = "no rows against logs and stores: journal-bench is not built; \
                        `cargo build --release` in its directory does, a full run tries";
            contenders.notes.push(note.to_owned());
        } else {
            contenders.notes.push(peers::how_to_install("logs and stores", home));
        }
        contenders
    }

    fn names(&self) -> impl Iterator<Item = &'static str> {
        let quick = self.effort.is_quick();
        let there = self.binary.is_some();
        PEERS.iter().filter(move |peer| there && (peer.quick || !quick)).map(|peer| peer.name)
    }

    fn run(&self, name: &str) -> Result<Figures> {
        let binary = self.binary.as_ref().context("no program")?;
        fs::create_dir_all(&self.data)?;
        let (records, seconds) =
            if self.effort.is_quick() { ("200000", "0.5") } else { ("1000000", "2") };
        let mut command = Command::new(binary);
        command.args(["bench", name]).env("N", records).env("SECS", seconds);
        command.env("PEERS_DIR", &self.data).stdin(Stdio::null());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
        let status = wait_within(&mut child, Duration::from_secs(PEER_SECONDS_MAX))
            .with_context(|| display(&command))?;
        // A line or two, less than a pipe holds, so it can be read at the end.
        let mut text = String::new();
        child.stdout.take().context("stdout was not piped")?.read_to_string(&mut text)?;
        ensure!(status.success(), "{}: {status}", display(&command));
        figures(&text, name).with_context(|| format!("no figures: {}", text.trim()))
    }
}

/// Builds the peers' program, without `RocksDB` where its library is not installed.
fn build(home: &Path) -> Result<()> {
    let cargo = || {
        let mut cargo = Command::new("cargo");
        cargo.args(["build", "--release"]).current_dir(home).env_remove("CARGO_TARGET_DIR");
        cargo
    };
    let others = "okaywal,fjall,redb,sqlite,sled,raftengine,lmdb,commitlog-crate";
    run_command(&mut cargo())
        .or_else(|_| run_command(cargo().args(["--no-default-features", "--features", others])))
}

/// Numbers of one contender by key; of several in one value all.
type Figures = BTreeMap<String, Vec<f64>>;

/// Reads `name | key: 17121k | key: 19909k/19909k | …`.
fn figures(text: &str, name: &str) -> Option<Figures> {
    let is_line = |line: &&str| {
        line.strip_prefix(name).is_some_and(|rest| rest.trim_start().starts_with('|'))
    };
    let line = text.lines().find(is_line)?;
    let values = |text: &str| text.split('/').map(number).collect::<Option<Vec<_>>>();
    let pairs = line.split(" | ").skip(1).filter_map(|part| part.split_once(": "));
    // What is no number keeps its key: that a check is there at all tells that it failed.
    Some(
        pairs
            .map(|(key, text)| (key.trim().to_owned(), values(text.trim()).unwrap_or_default()))
            .collect(),
    )
}

fn number(text: &str) -> Option<f64> {
    match text.strip_suffix('k') {
        Some(thousands) => thousands.parse::<f64>().ok().map(|x| x * 1000.0),
        None => text.parse().ok(),
    }
}

/// Has written what was left in the page cache: a contender's disk is its own, not that of the one
/// before.
fn settle() {
    // Without such a program the figures are noisier, and as right.
    drop(Command::new("sync").stdin(Stdio::null()).status());
}

fn interleave(
    mut ours: impl FnMut() -> Result<Vec<Line>>,
    contenders: &Contenders,
    effort: Effort,
) -> Result<Measured> {
    let rounds_max = if effort.is_quick() { 3 } else { 5 };
    let start = Instant::now();
    let mut pairs = Vec::new();
    let mut notes: BTreeSet<String> = contenders.notes.iter().cloned().collect();
    let mut theirs = BTreeMap::<&str, Vec<Figures>>::new();
    for round in 0..rounds_max {
        let round_start = Instant::now();
        let mut run_ours = || -> Result<()> {
            settle();
            for line in ours()? {
                match line {
                    Line::Pair(pair) => pairs.push(pair),
                    Line::Note(Note { note }) => _ = notes.insert(note),
                    line @ (Line::Sample(_) | Line::Point(_)) => {
                        bail!("the journal has no samples and no curves: {line:?}")
                    }
                }
            }
            Ok(())
        };
        if round % 2 == 0 {
            run_ours()?;
        }
        let mut failures = Vec::new();
        for name in contenders.names() {
            settle();
            match contenders.run(name) {
                Ok(figures) => theirs.entry(name).or_default().push(figures),
                Err(error) => failures.push(format!("no rows against {name}: {error:#}")),
            }
        }
        if round % 2 == 1 {
            run_ours()?;
        }
        notes.extend(failures);
        if start.elapsed() + round_start.elapsed() > effort.budget() {
            break;
        }
    }
    ensure!(!pairs.is_empty(), "the measuring program printed no rows");
    let mut measured = merge(&median_pairs(&pairs), &theirs);
    measured.notes.extend(notes);
    Ok(measured)
}

/// Puts our own figures beside the peers'; pairs that our program measured itself stay as they are.
fn merge(pairs: &[Pair], theirs: &BTreeMap<&str, Vec<Figures>>) -> Measured {
    let mut measured = Measured::default();
    for pair in pairs.iter().filter(|pair| pair.theirs.is_some()) {
        let target = pair.target.or_else(|| target(&pair.work, &pair.against));
        measured.push(&Pair { target, ..pair.clone() });
    }
    for work in WORKS {
        let is_of = |pair: &&Pair| pair.work == work.name && pair.size == work.size;
        let Some(ours) = pairs.iter().find(|pair| is_of(pair) && is_mergeable(pair)) else {
            continue;
        };
        let is_measured = |peer: &&Peer| {
            let against = |pair: &Pair| pair.theirs.is_some() && pair.against == peer.name;
            pairs.iter().filter(is_of).any(against)
        };
        let mut best: Option<Pair> = None;
        for peer in PEERS.iter().filter(|peer| !is_measured(peer)) {
            let runs = theirs.get(peer.name).map_or(&[][..], Vec::as_slice);
            if runs.iter().any(|figures| figures.contains_key("scan CHECK")) {
                measured.refuse(format!(
                    "{}: its scan does not give back what it was given",
                    peer.name
                ));
                continue;
            }
            let Some(value) = median(runs.iter().filter_map(|run| work.figure(run, &ours.unit)))
            else {
                continue;
            };
            let is_better = |best: &Pair| match best.theirs {
                Some(theirs) if ours.higher_is_better => value > theirs,
                Some(theirs) => value < theirs,
                None => true,
            };
            if peer.comparable && best.as_ref().is_none_or(is_better) {
                best = Some(against(ours, "best", value));
            }
            measured.push(&against(ours, peer.name, value));
        }
        if let Some(best) = best {
            measured.push(&best);
        }
    }
    measured
}

/// Rates and median latencies are what the peers tell as well.
fn is_mergeable(pair: &Pair) -> bool {
    if is_rate(&pair.unit) {
        pair.higher_is_better
    } else {
        pair.unit == "us p50" && !pair.higher_is_better
    }
}

fn against(ours: &Pair, name: &str, value: f64) -> Pair {
    let target = target(&ours.work, name);
    Pair { against: name.to_owned(), theirs: Some(value), target, ..ours.clone() }
}

/// The ratio that we want in a work against somebody.
fn target(work: &str, name: &str) -> Option<f64> {
    let row = TARGETS.iter().find(|(of, names, _)| *of == work && names.contains(&name));
    row.map(|(_, _, target)| *target)
}

impl Work {
    /// The contender's figure in our unit.
    fn figure(&self, figures: &Figures, unit: &str) -> Option<f64> {
        if is_rate(unit) {
            // Of two rates the second is the best of several runs.
            figures.get(self.rate)?.last().copied()
        } else {
            figures.get(self.latency?)?.first().copied()
        }
    }
}

/// Whether a unit is of something by the second.
fn is_rate(unit: &str) -> bool {
    unit.ends_with("/s")
}

#[cfg(test)]
mod tests;
