//! Damages journals and looks at what opening says of them.
//!
//! `journal_damage [--dir DIR]` does to this journal what the peers' program does to other logs (mode
//! `corrupt` of `journal-bench`), prints one line for each case, and fails unless every answer is
//! right. `cargo xtask bench damage` puts the lines of both beside each other.
//!
//! A log of 20,000 records in batches of ten is closed in order, or its process dies without a word.
//! Then bits flip, pages turn to zeros, the file ends early, or garbage follows. The difference
//! between the two logs is the point: what was closed was durable, so its missing end is damage; what
//! a process left behind when it died may end in the middle of a batch.
#![expect(clippy::print_stdout, reason = "the matrix is the program's output")]

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use steadfast_journal::testing::Seeded;
use steadfast_journal::{Batch, From, Journal, Level, OpenError, Options};

type Outcome<T> = Result<T, Box<dyn Error>>;

const RECORDS: u64 = 20_000;
const BATCH_RECORDS: u64 = 10;
const RECORD_BYTES: usize = 100;

/// How the process ended that wrote the log.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ended {
    Closed,
    Killed,
}

/// A kind of damage, and the answers to it that are right.
struct Case {
    name: &'static str,
    trials: u64,
    /// Changes the bytes of the log, of which so many were written.
    damage: fn(&mut Vec<u8>, usize, &mut Seeded),
    right: fn(Ended) -> &'static [&'static str],
}

const CASES: &[Case] = &[
    Case {
        name: "bit flip, 5%..80% of the log",
        trials: 30,
        damage: |bytes, used, random| {
            let at = middle(used, random);
            bytes[at] ^= 1 << random.below(8);
        },
        // A flip of padding between frames changes nothing that anybody reads.
        right: |_| &["refused", "no-effect"],
    },
    Case {
        name: "zeroed 4 KiB page mid-log",
        trials: 8,
        damage: |bytes, used, random| {
            let at = middle(used, random) & !4095;
            bytes[at..at + 4096].fill(0);
        },
        right: |_| &["refused"],
    },
    Case {
        name: "tail cut at a random byte (torn)",
        trials: 8,
        damage: |bytes, used, random| bytes.truncate(used - 1 - below(900, random)),
        right: |ended| match ended {
            Ended::Closed => &["refused"],
            Ended::Killed => &["last-batch-dropped"],
        },
    },
    Case {
        name: "tail garbage after the end",
        trials: 8,
        damage: |bytes, used, random| {
            bytes.truncate(used);
            bytes.extend((0..300).map(|_| u8::try_from(random.below(256)).unwrap_or_default()));
        },
        right: |_| &["no-effect"],
    },
];

fn below(limit: usize, random: &mut Seeded) -> usize {
    usize::try_from(random.below(limit as u64)).unwrap_or_default()
}

fn middle(used: usize, random: &mut Seeded) -> usize {
    used / 20 + below(used * 3 / 4, random)
}

fn record(number: u64) -> [u8; RECORD_BYTES] {
    let mut bytes = [0; RECORD_BYTES];
    let mut word = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    for chunk in bytes[8..].chunks_mut(8) {
        word = word.rotate_left(7) ^ number;
        chunk.copy_from_slice(&word.to_le_bytes()[..chunk.len()]);
    }
    bytes[..8].copy_from_slice(&number.to_le_bytes());
    bytes
}

fn write(dir: &Path) -> Outcome<Journal> {
    let (journal, _) = Journal::open(dir, Options::new())?;
    let mut batch = Batch::new();
    for first in (0..RECORDS).step_by(usize::try_from(BATCH_RECORDS)?) {
        batch.clear();
        for number in first..first + BATCH_RECORDS {
            batch.push(1, 1, &record(number))?;
        }
        journal.commit(&batch, Level::Process)?;
    }
    Ok(journal)
}

/// Opens the journal and reads it; says what happened in the peers' words.
fn classify(dir: &Path) -> Outcome<&'static str> {
    let journal = match Journal::open(dir, Options::new()) {
        Ok((journal, _)) => journal,
        Err(OpenError::Corrupt(_)) => return Ok("refused"),
        Err(error) => return Err(error.into()),
    };
    let mut next = 0;
    let mut reader = journal.read(From::Start)?;
    while let Some(group) = reader.next_group()? {
        for found in group.records() {
            if found.payload() != record(next) {
                return Ok("WRONG-DATA");
            }
            next += 1;
        }
        if next % BATCH_RECORDS != 0 {
            return Ok("BROKEN-BATCH");
        }
    }
    Ok(match RECORDS - next {
        0 => "no-effect",
        BATCH_RECORDS => "last-batch-dropped",
        _ => "silent-prefix",
    })
}

fn used_of(bytes: &[u8]) -> usize {
    bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1)
}

fn copy(from: &Path, to: &Path) -> Outcome<()> {
    if to.exists() {
        fs::remove_dir_all(to)?;
    }
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            fs::copy(entry.path(), to.join(entry.file_name()))?;
        }
    }
    Ok(())
}

/// The segment with the most bytes in it.
fn fullest(dir: &Path) -> Outcome<(PathBuf, Vec<u8>)> {
    let mut fullest = None;
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "jnl") {
            let bytes = fs::read(&path)?;
            let is_fuller = |best: &(PathBuf, Vec<u8>)| used_of(&bytes) > used_of(&best.1);
            if fullest.as_ref().is_none_or(is_fuller) {
                fullest = Some((path, bytes));
            }
        }
    }
    fullest.ok_or_else(|| "the journal has a segment".into())
}

fn run_case(case: &Case, ended: Ended, log: &Path, work: &Path) -> Outcome<bool> {
    let mut tally = BTreeMap::<&str, u32>::new();
    for trial in 0..case.trials {
        copy(log, work)?;
        let (segment, mut bytes) = fullest(work)?;
        let used = used_of(&bytes);
        (case.damage)(&mut bytes, used, &mut Seeded::new(trial + 1));
        fs::write(&segment, bytes)?;
        *tally.entry(classify(work)?).or_default() += 1;
    }
    let name = match ended {
        Ended::Closed => "steadfast, closed",
        Ended::Killed => "steadfast, killed",
    };
    let counts: Vec<_> = tally.iter().map(|(class, count)| format!("{class}:{count}")).collect();
    println!("{name:<18} {:<34} {}", case.name, counts.join("  "));
    Ok(tally.keys().all(|class| (case.right)(ended).contains(class)))
}

fn main() -> Outcome<ExitCode> {
    let mut args = std::env::args().skip(1);
    let mut dir = std::env::temp_dir();
    while let Some(arg) = args.next() {
        let value = args.next().ok_or("every option has a value")?;
        match arg.as_str() {
            "--dir" => dir = value.into(),
            // The child of the run: writes and dies.
            "--write-and-die" => {
                std::mem::forget(write(Path::new(&value))?);
                std::process::abort();
            }
            other => return Err(format!("unknown option {other}").into()),
        }
    }
    let dir = dir.join(format!("journal-damage-{}", std::process::id()));
    let mut all_right = true;
    for ended in [Ended::Closed, Ended::Killed] {
        let (log, work) = (dir.join("log"), dir.join("work"));
        fs::create_dir_all(&log)?;
        if ended == Ended::Closed {
            write(&log)?.close()?;
        } else {
            let mut child = Command::new(std::env::current_exe()?);
            child.arg("--write-and-die").arg(&log).status()?;
        }
        for case in CASES {
            all_right &= run_case(case, ended, &log, &work)?;
        }
        fs::remove_dir_all(&dir)?;
    }
    Ok(if all_right { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
