//! What logs say when their bytes were changed: the journal beside the peers.
//!
//! Both sides print a line for each case: who, what was done, and how often each answer came. Ours is
//! the example `journal_damage`, which fails unless every answer is right; the peers' is their
//! program in mode `corrupt`.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::workspace::{Workspace, display, wait_within};

use super::row::Measured;
use super::{Bench, Request, peers};

/// The cases, as both programs name them, and as the table does.
const CASES: &[(&str, &str)] = &[
    ("bit flip, 5%..80% of the log", "bit flip mid-log"),
    ("zeroed 4 KiB page mid-log", "zeroed 4 KiB mid-log"),
    ("tail cut at a random byte (torn)", "torn tail"),
    ("tail garbage after the end", "garbage after the tail"),
];

/// Peers with a log, in the order of the table; quick runs ask the first ones.
const PEERS: &[&str] = &[
    "okaywal",
    "raft-engine",
    "fjall",
    "rocksdb",
    "sqlite-full",
    "commitlog",
    "redis-aof",
    "naive-file",
];
const QUICK_PEERS: usize = 3;
const PEER_SECONDS_MAX: u64 = 600;

/// What one log answered to one case.
#[derive(Debug, PartialEq, Eq)]
struct Answer {
    log: String,
    case: usize,
    /// Answer and how often it came.
    counts: Vec<(String, u32)>,
}

pub(crate) fn run(workspace: &Workspace, _bench: &Bench, request: Request<'_>) -> Result<Measured> {
    let mut measured = Measured::default();
    let data = workspace.root.join("target/bench/damage-data");
    fs::create_dir_all(&data)?;
    let mut ours = workspace.cargo();
    ours.args(["run", "--locked", "--quiet", "--release", "--package", "steadfast-journal"]);
    ours.args(["--example", "journal_damage", "--", "--dir"]).arg(&data);
    let (text, right) = text_of(&mut ours)?;
    if !right {
        measured.refuse("the journal gives a wrong answer, see its lines".to_owned());
    }
    let mut answers = parse(&text);
    let binary = peers::home().join("journal-bench/target/release/peers");
    if binary.is_file() {
        let count = if request.effort.is_quick() { QUICK_PEERS } else { PEERS.len() };
        for peer in &PEERS[..count] {
            match text_of(Command::new(&binary).args(["corrupt", peer]).env("PEERS_DIR", &data)) {
                Ok((text, _)) => answers.extend(parse(&text)),
                Err(error) => measured.notes.push(format!("no row of {peer}: {error:#}")),
            }
        }
    } else {
        let home = peers::home().join("journal-bench");
        measured.notes.push(peers::how_to_install("damaged logs", &home));
    }
    let table = table(&answers);
    print!("{table}");
    measured.notes.extend(table.lines().map(str::to_owned));
    drop(fs::remove_dir_all(&data)); // a failure leaves files under target/, nothing more
    Ok(measured)
}

/// What a program prints, and whether it ends well.
fn text_of(command: &mut Command) -> Result<(String, bool)> {
    let path = std::env::temp_dir().join(format!("steadfast-damage-{}", std::process::id()));
    let out = fs::File::create(&path).with_context(|| path.display().to_string())?;
    let mut child = command.stdin(Stdio::null()).stdout(out).stderr(Stdio::null()).spawn()?;
    let status = wait_within(&mut child, Duration::from_secs(PEER_SECONDS_MAX))
        .with_context(|| display(command))?;
    let text = read_and_remove(&path)?;
    ensure!(status.success() || !text.is_empty(), "{}: {status}", display(command));
    Ok((text, status.success()))
}

fn read_and_remove(path: &Path) -> Result<String> {
    let text = fs::read_to_string(path)?;
    fs::remove_file(path)?;
    Ok(text)
}

/// Reads lines `log  case  answer:count  answer:count`; others are examples for people.
fn parse(text: &str) -> Vec<Answer> {
    let answer = |line: &str| {
        let (case, at) = CASES
            .iter()
            .enumerate()
            .find_map(|(index, (name, _))| line.find(name).map(|at| (index, at)))?;
        let log = line[..at].trim().to_owned();
        let counts = line[at + CASES[case].0.len()..].split_whitespace();
        let count = |part: &str| {
            let (class, count) = part.split_once(':')?;
            Some((class.to_owned(), count.parse().ok()?))
        };
        let counts: Option<Vec<_>> = counts.map(count).collect();
        counts.filter(|counts| !log.is_empty() && !counts.is_empty()).map(|counts| Answer {
            log,
            case,
            counts,
        })
    };
    text.lines().filter_map(answer).collect()
}

/// The answers as a table in Markdown, a log a row.
fn table(answers: &[Answer]) -> String {
    let mut text = String::from("| log |");
    for (_, name) in CASES {
        write!(text, " {name} |").expect("text takes text");
    }
    text.push_str("\n|---|");
    text.push_str(&"---|".repeat(CASES.len()));
    text.push('\n');
    let mut logs: Vec<&str> = Vec::new();
    for answer in answers {
        if !logs.contains(&&*answer.log) {
            logs.push(&answer.log);
        }
    }
    for log in logs {
        write!(text, "| {log} |").expect("text takes text");
        for case in 0..CASES.len() {
            let found = answers.iter().find(|answer| answer.log == log && answer.case == case);
            let counts = found.map_or(&[][..], |answer| &answer.counts);
            let cells: Vec<_> =
                counts.iter().map(|(class, count)| format!("{class} {count}")).collect();
            write!(text, " {} |", cells.join(", ")).expect("text takes text");
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_both_programs_become_one_table() {
        let text = "steadfast, closed  bit flip, 5%..80% of the log       refused:30\n\
                    fjall        bit flip, 5%..80% of the log       refused:27  silent-prefix:3\n\
                    \x20                e.g. refused: REFUSED something\n\
                    fjall        tail garbage after the end         no-effect:8\n";
        let answers = parse(text);
        assert_eq!(answers.len(), 3);
        assert_eq!(
            answers[1].counts,
            [("refused".to_owned(), 27), ("silent-prefix".to_owned(), 3)]
        );
        let table = table(&answers);
        assert!(table.contains("| steadfast, closed | refused 30 |  |  |  |"), "{table}");
        assert!(table.contains("| fjall | refused 27, silent-prefix 3 |"), "{table}");
    }
}
