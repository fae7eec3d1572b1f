//! Real processes: the lock between them, and `kill -9` against what they had acknowledged.
//!
//! The child is this test binary again, told by the environment to run [`child`] as its only test.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use steadfast_journal::testing::{Chooser, Seeded};
use steadfast_journal::{From, Journal, Level, OpenError, Options, WriteMode};

use crate::common::{batch, small};

const DIR: &str = "STEADFAST_TEST_CHILD_DIR";
const LEVEL: &str = "STEADFAST_TEST_CHILD_LEVEL";
const MODE: &str = "STEADFAST_TEST_CHILD_MODE";
const FIRST: &str = "STEADFAST_TEST_CHILD_FIRST";

fn options(mode: WriteMode) -> Options {
    small().write_mode(mode)
}

/// Tells the parent. The parent may be gone; then nobody needs to know.
fn tell(line: &str) {
    let mut out = std::io::stdout().lock();
    let _told = writeln!(out, "{line}").and_then(|()| out.flush());
}

/// The child's part: commits records until it is killed, and tells which were acknowledged. Without
/// a parent it is an empty test.
#[test]
fn child() {
    let Ok(dir) = std::env::var(DIR) else { return };
    let level = match std::env::var(LEVEL).as_deref() {
        Ok("process") => Level::Process,
        _ => Level::Batch,
    };
    let mode = match std::env::var(MODE).as_deref() {
        Ok("map") => WriteMode::Map,
        _ => WriteMode::Pwrite,
    };
    let first: u64 = std::env::var(FIRST).expect("set").parse().expect("a number");
    if dir.is_empty() {
        // Told to be there, until the parent has seen enough.
        tell("\nthere");
        let read = std::io::stdin().lines().count();
        assert_eq!(read, 0, "nothing is said to it");
        return;
    }
    let (journal, _) = match Journal::open(&dir, options(mode)) {
        Ok(opened) => opened,
        Err(OpenError::Io(error)) => return tell(&format!("\nrefused {error:?}")),
        Err(error) => panic!("the parent has let go of it: {error:?}"),
    };
    tell("\nopen");
    for id in first.. {
        let payload = payload_of(id);
        journal.commit(&batch([&payload[..]]), level).expect("the disk has room");
        tell(&format!("ack {id}"));
    }
}

/// Records of different lengths that name themselves.
fn payload_of(id: u64) -> Vec<u8> {
    let mut payload = id.to_le_bytes().to_vec();
    let len = usize::try_from(id * 37 % 3000).expect("below 3000");
    payload.resize(8 + len, u8::try_from(id % 256).expect("a byte"));
    payload
}

fn spawn(dir: &Path, level: &str, mode: &str, first: u64) -> (Child, BufReader<ChildStdout>) {
    let command = Command::new(std::env::current_exe().expect("this binary has a path"));
    spawn_by(command, dir, (level, mode), first)
}

/// The same by a command that runs this binary with what follows.
fn spawn_by(
    mut command: Command,
    dir: &Path,
    (level, mode): (&str, &str),
    first: u64,
) -> (Child, BufReader<ChildStdout>) {
    let mut child = command
        .args(["process::child", "--exact", "--nocapture", "--test-threads=1"])
        .env(DIR, dir)
        .env(LEVEL, level)
        .env(MODE, mode)
        .env(FIRST, first.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("this binary can be run");
    let out = child.stdout.take().expect("piped");
    (child, BufReader::new(out))
}

/// Reads the child's lines until `stop` says so, or it ends.
fn listen(out: &mut BufReader<ChildStdout>, mut stop: impl FnMut(&str) -> bool) {
    let mut line = String::new();
    while out.read_line(&mut line).is_ok_and(|count| count > 0) {
        if stop(line.trim_end()) {
            return;
        }
        line.clear();
    }
}

/// The identities of all records, checked to be whole and in order.
fn read_ids(journal: &Journal) -> Vec<u64> {
    let mut ids = Vec::new();
    let mut reader = journal.read(From::Start).expect("readable");
    while let Some(group) = reader.next_group().expect("sound") {
        for record in group.records() {
            let id = record.payload()[..8].try_into().map(u64::from_le_bytes).expect("8 bytes");
            assert_eq!(record.payload(), payload_of(id));
            ids.push(id);
        }
    }
    ids
}

fn kill_repeatedly(level: &str, mode: &str, rounds: u64) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    kill_repeatedly_in(dir.path(), level, mode, rounds);
}

/// The same in a directory of the caller's.
pub(crate) fn kill_repeatedly_in(dir: &Path, level: &str, mode: &str, rounds: u64) {
    kill_and_cut(dir, level, mode, rounds, None);
}

/// The same, and behind each kill something that is as good as a power cut, if given.
pub(crate) fn kill_and_cut(
    dir: &Path,
    level: &str,
    mode: &str,
    rounds: u64,
    mut cut: Option<&mut dyn FnMut()>,
) {
    let write_mode = if mode == "map" { WriteMode::Map } else { WriteMode::Pwrite };
    let mut acknowledged = 0;
    let mut random = Seeded::new(rounds);
    for round in 0..rounds {
        let (mut child, mut out) = spawn(dir, level, mode, acknowledged + 1);
        let mut left = random.choose(60);
        let mut note = |line: &str| {
            if let Some(id) = line.strip_prefix("ack ") {
                acknowledged = id.parse().expect("a number");
                left = left.saturating_sub(1);
            }
            left == 0
        };
        listen(&mut out, &mut note);
        child.kill().expect("the child runs");
        // What it still said before it died counts.
        listen(&mut out, |line| {
            note(line);
            false
        });
        child.wait().expect("the child is dead");
        if let Some(cut) = &mut cut {
            cut();
        }
        let journal = Journal::open(dir, options(write_mode).after_power_loss(cut.is_some()));
        let (journal, _) = journal.unwrap_or_else(|error| panic!("round {round}: {error:?}"));
        let ids = read_ids(&journal);
        assert!(
            ids.iter().copied().eq(1..=ids.len() as u64) && ids.len() as u64 >= acknowledged,
            "round {round}: acknowledged {acknowledged}, found {ids:?}"
        );
        acknowledged = ids.len() as u64;
        journal.close().expect("closes");
    }
    assert!(acknowledged > rounds, "the children got somewhere: {acknowledged}");
}

/// 60 rounds in all, 1,200 with `STEADFAST_SOAK=1`.
fn rounds(few: u64) -> u64 {
    if std::env::var_os("STEADFAST_SOAK").is_some() { few * 20 } else { few }
}

#[test]
fn killed_at_level_process_with_a_map_loses_nothing() {
    kill_repeatedly("process", "map", rounds(20));
}

#[test]
fn killed_at_level_process_with_pwrite_loses_nothing() {
    kill_repeatedly("process", "pwrite", rounds(15));
}

#[test]
fn killed_at_level_batch_loses_nothing() {
    kill_repeatedly("batch", "map", rounds(15));
    kill_repeatedly("batch", "pwrite", rounds(10));
}

/// INV-31: by the kernel, so that a killed holder holds nothing.
#[test]
fn a_second_process_is_refused_with_the_holders_pid_until_the_first_is_killed() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (mut child, mut out) = spawn(dir.path(), "batch", "map", 1);
    listen(&mut out, |line| line == "open");
    let refused = Journal::open(dir.path(), small());
    let Err(OpenError::Locked { holder, .. }) = refused else {
        panic!("expected a lock, found {refused:?}");
    };
    assert_eq!(holder, Some(format!("pid {}", child.id())));
    // Looking is allowed meanwhile; only the end may be in motion.
    drop(Journal::inspect(dir.path(), small()));
    child.kill().expect("the child runs");
    child.wait().expect("the child is dead");
    drop(Journal::open(dir.path(), small()).expect("the lock went with its holder"));
}

/// Of a journal that is open, a process that is started meanwhile has neither the lock nor a map.
#[test]
fn a_process_that_is_started_while_a_journal_is_open_holds_nothing_of_it() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (journal, _) = Journal::open(dir.path(), small()).expect("new");
    journal.commit(&batch([&payload_of(1)[..]]), Level::Batch).expect("room");
    let mut command = Command::new(std::env::current_exe().expect("this binary has a path"));
    command.stdin(Stdio::piped());
    let (mut child, mut out) = spawn_by(command, Path::new(""), ("batch", "map"), 1);
    listen(&mut out, |line| line == "there");
    drop(journal);
    let (journal, _) = Journal::open(dir.path(), small()).expect("the child does not hold it");
    assert_eq!(read_ids(&journal), [1]);
    drop(child.stdin.take());
    assert!(child.wait().expect("it ends").success());
}

/// Sends a signal by its name.
#[cfg(unix)]
fn signal(child: &Child, name: &str) {
    let sent = Command::new("kill").args([name, &child.id().to_string()]).status();
    assert!(sent.expect("there is a `kill`").success());
}

#[cfg(unix)]
#[test]
fn a_process_that_is_stopped_keeps_its_journal_and_goes_on() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (mut child, mut out) = spawn(dir.path(), "batch", "map", 1);
    let mut acknowledged = 0;
    let mut more = |out: &mut BufReader<ChildStdout>, count: u64| {
        let until = acknowledged + count;
        listen(out, |line| {
            if let Some(id) = line.strip_prefix("ack ") {
                acknowledged = id.parse().expect("a number");
            }
            acknowledged >= until
        });
        acknowledged
    };
    for _ in 0..5 {
        let before = more(&mut out, 7);
        signal(&child, "-STOP");
        let refused = Journal::open(dir.path(), small());
        assert!(matches!(refused, Err(OpenError::Locked { .. })), "{refused:?}");
        drop(Journal::inspect(dir.path(), small()));
        signal(&child, "-CONT");
        assert!(more(&mut out, 7) > before, "it goes on");
    }
    child.kill().expect("the child runs");
    child.wait().expect("the child is dead");
    let (journal, _) = Journal::open(dir.path(), small()).expect("sound");
    let ids = read_ids(&journal);
    assert!(ids.iter().copied().eq(1..=ids.len() as u64) && ids.len() as u64 >= acknowledged);
}

/// Whatever cannot be opened for want of descriptors, nothing that was acknowledged is lost.
#[cfg(unix)]
#[test]
fn a_process_without_descriptors_is_told_and_loses_nothing() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut acknowledged = 0;
    let mut outcomes = [false, false];
    for limit in 4..24 {
        let mut command = Command::new("sh");
        let binary = std::env::current_exe().expect("this binary has a path");
        let limited = format!("ulimit -n {limit}; exec \"$0\" \"$@\"");
        command.args(["-c", &limited]).arg(binary);
        let (mut child, mut out) =
            spawn_by(command, dir.path(), ("process", "map"), acknowledged + 1);
        let enough = acknowledged + 80;
        listen(&mut out, |line| {
            if let Some(id) = line.strip_prefix("ack ") {
                acknowledged = id.parse().expect("a number");
            }
            outcomes[0] |= line.starts_with("refused") && line.contains("Too many open files");
            acknowledged >= enough
        });
        outcomes[1] |= acknowledged >= enough;
        drop(child.kill());
        child.wait().expect("the child is dead");
        let (journal, _) = Journal::open(dir.path(), options(WriteMode::Map)).expect("sound");
        let ids = read_ids(&journal);
        let all = ids.len() as u64;
        assert!(ids.iter().copied().eq(1..=all) && all >= acknowledged, "limit {limit}: {ids:?}");
        acknowledged = all;
    }
    assert_eq!(outcomes, [true, true], "refused with few, at work with more");
}
