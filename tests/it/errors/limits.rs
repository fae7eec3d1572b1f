//! SF0009 and SF0010: disks that are full, and journals that cannot write.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;

use steadfast::prelude::*;
use steadfast::{Error, WriteMode};

use crate::child::{Child, task, tell};
use crate::support::{Disk, copy_files, durable};

#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Page {
    number: u64,
    text: String,
}

/// Emitted with each page.
#[derive(Effect, Debug, Serialize, Deserialize)]
struct Printed {
    number: u64,
}

ruleset!(pages = 1: ; facts: Page);

/// Inserts pages of a kilobyte until one is refused; gives how many there are then, and why.
fn fill(session: &mut Session) -> (u64, Error) {
    for number in 1.. {
        let printed = session.transact(|stage| {
            stage.insert(Page { number, text: "x".repeat(1000) })?;
            Ok(stage.emit(Printed { number })?)
        });
        if let Err(error) = printed {
            return (number, error);
        }
    }
    unreachable!("it is refused some day")
}

/// A command that runs what follows where `dir` is a small disk of its own, if the system lets us
/// have one.
fn on_a_small_disk(dir: &Path) -> Option<Command> {
    let command = |script: &str| {
        let mut command = Command::new("unshare");
        command.args(["--mount", "--map-root-user", "sh", "-c", script, "sh"]).arg(dir);
        command
    };
    let mount = "mount -t tmpfs -o size=2m small \"$1\"";
    let possible = command(mount).output().is_ok_and(|output| output.status.success());
    possible.then(|| {
        let mut command = command(&format!("{mount} && shift && exec \"$@\""));
        command.arg(std::env::current_exe().expect("this program"));
        command
    })
}

/// Runs a test of this name in a process with a small disk of its own, if that can be had.
#[expect(clippy::print_stdout, reason = "a test that is skipped says so")]
fn child_on_a_small_disk(name: &str) -> Option<(Disk, Child)> {
    let disk = Disk::new();
    let dir = disk.path();
    fs::create_dir(&dir).unwrap();
    let Some(command) = on_a_small_disk(&dir) else {
        println!("skipped: this system does not let a user mount a disk of his own");
        return None;
    };
    let child = Child::run(command, name, &dir, "");
    Some((disk, child))
}

#[test]
fn sf0009_a_full_disk_refuses_work_until_there_is_space_and_then_goes_on() {
    const NAME: &str =
        "errors::limits::sf0009_a_full_disk_refuses_work_until_there_is_space_and_then_goes_on";
    if let Some((dir, _)) = task() {
        return on_the_small_disk(&dir);
    }
    let Some((_disk, mut child)) = child_on_a_small_disk(NAME) else { return };
    let expected = "error SF0009: the disk is full: 65536 bytes are needed
  help: free space and try again; nothing that was acknowledged is lost";
    assert_eq!(child.hear().unwrap().replace('|', "\n"), expected);
    assert_eq!(child.hear().as_deref(), Some("everything is there"));
    assert!(child.end().success());
}

/// What the child does: the disk is its own, and is gone with it.
fn on_the_small_disk(dir: &Path) {
    let ballast = dir.join("ballast");
    fs::write(&ballast, vec![1; 1 << 20]).unwrap();
    let session_dir = dir.join("session");
    let mut session = durable(&session_dir).open(pages()).unwrap();
    let (number, error) = fill(&mut session);
    tell(error.report().replace('\n', "|"));

    // The page is there, in memory; it waits to be journaled, and every call says so.
    assert_eq!(session.fact_count(), number);
    let digest = session.digest();
    for error in [
        session.insert(Page { number: 0, text: String::new() }).map(drop).unwrap_err(),
        session.fire_all().map(drop).unwrap_err(),
        session.query::<Page>().map(drop).unwrap_err(),
        session.effects::<Printed>().map(drop).unwrap_err(),
        session.begin().map(drop).unwrap_err(),
    ] {
        assert_eq!(error.code(), "SF0009");
    }
    assert_eq!(session.digest(), digest);
    let another = durable(&dir.join("another")).open(pages()).unwrap_err();
    assert_eq!(another.code(), "SF0009", "there is no space to begin another session either");
    // It is not durable: a crash now would lose it, and nothing else.
    let crashed = Disk::new();
    copy_files(&session_dir, &crashed.path());
    assert_eq!(crashed.open(pages()).fact_count(), number - 1);

    fs::remove_file(ballast).unwrap();
    session.insert(Page { number: 0, text: String::new() }).unwrap();
    let effects = session.effects::<Printed>().unwrap();
    assert_eq!(effects.last().unwrap().number, number, "its commit is durable now");
    let digest = session.digest();
    session.close().unwrap();
    let session = durable(&session_dir).open(pages()).unwrap();
    assert_eq!((session.fact_count(), session.digest()), (number + 1, digest));
    tell("everything is there");
}

/// Pages that are written over and over: most of the journal is dead.
fn rewrite(session: &mut Session) -> Error {
    let page = session.query::<Page>().unwrap()[0].handle();
    for number in 0.. {
        let text = format!("{number:0>1000}");
        // Evaluated, so that it is not staged any more when the next one comes.
        let updated = session.update(page, |page| page.text = text);
        if let Err(error) = updated.and_then(|()| session.flush()) {
            return error;
        }
    }
    unreachable!("it is refused some day")
}

/// Takes what room there is.
fn fill_to_the_last_byte(path: &Path) {
    let mut file = fs::File::create(path).unwrap();
    for bytes in [64 << 10, 4096] {
        while file.write_all(&vec![1; bytes]).is_ok() {}
    }
}

#[test]
fn a_full_disk_is_made_emptier_by_normalizing_and_a_session_on_it_opens() {
    const NAME: &str =
        "errors::limits::a_full_disk_is_made_emptier_by_normalizing_and_a_session_on_it_opens";
    if let Some((dir, _)) = task() {
        return emptier(&dir);
    }
    let Some((_disk, mut child)) = child_on_a_small_disk(NAME) else { return };
    assert_eq!(child.hear().as_deref(), Some("everything is there"));
    assert!(child.end().success());
}

fn emptier(dir: &Path) {
    let session_dir = dir.join("session");
    let open = || durable(&session_dir).open(pages());
    let mut session = open().unwrap();
    session.insert(Page { number: 1, text: String::new() }).unwrap();
    assert_eq!(rewrite(&mut session).code(), "SF0009");
    let digest = session.digest();
    let done = session.normalize().unwrap().expect("most of it is dead");
    assert!(done.bytes_after * 4 < done.bytes_before, "{done:?}");
    assert_eq!(session.digest(), digest);
    // The commit that waited is journaled, and there is room for more.
    let copied = Disk::new();
    copy_files(&session_dir, &copied.path());
    assert_eq!(copied.open(pages()).digest(), digest);
    session.insert(Page { number: 2, text: String::new() }).unwrap();

    // Full again, and now somebody else takes the rest: it opens all the same.
    assert_eq!(rewrite(&mut session).code(), "SF0009");
    drop(session);
    let rest = dir.join("rest");
    for _ in 0..3 {
        fill_to_the_last_byte(&rest.with_extension("more"));
        let mut session = open().unwrap();
        assert_eq!(session.query::<Page>().unwrap().len(), 2);
        drop(rewrite(&mut session));
        fs::rename(rest.with_extension("more"), &rest).unwrap();
    }
    fs::remove_file(rest).unwrap();
    let mut session = open().unwrap();
    session.insert(Page { number: 3, text: String::new() }).unwrap();
    let (digest, facts) = (session.digest(), session.fact_count());
    session.close().unwrap();
    let session = open().unwrap();
    assert_eq!((session.digest(), session.fact_count(), facts), (digest, 3, 3));
    tell("everything is there");
}

/// A limit on the size of files is not a full disk: the write fails, and nothing can be trusted then.
#[test]
fn sf0010_a_journal_whose_write_fails_stops_the_session_until_it_is_reopened() {
    const NAME: &str =
        "errors::limits::sf0010_a_journal_whose_write_fails_stops_the_session_until_it_is_reopened";
    if let Some((dir, _)) = task() {
        return under_a_limit(&dir);
    }
    let disk = Disk::new();
    let mut command = Command::new("sh");
    // In units of 512 bytes: more than the first segment has, less than the second one.
    let limited = "trap '' XFSZ && ulimit -f 3072 && exec \"$@\"";
    command.args(["-c", limited, "sh"]).arg(std::env::current_exe().expect("this program"));
    let mut child = Child::run(command, NAME, &disk.path(), "");
    let told = child.hear().expect("it fails");
    let (number, report) = told.split_once(' ').unwrap();
    let report = report.replace(&*disk.path().to_string_lossy(), "DIR").replace('|', "\n");
    let lines: Vec<&str> = report.lines().collect();
    assert_eq!(
        lines.first(),
        Some(&"error SF0010: the journal did not take the commit"),
        "{report}"
    );
    assert!(report.contains("the journal stopped for good, open it again to go on"), "{report}");
    assert!(report.contains("File too large"), "{report}");
    assert_eq!(
        child.hear().as_deref(),
        Some(
            "error SF0014: the session stopped after an earlier error|  help: reopen the session: it comes back at its last safe point"
        )
    );
    assert!(child.end().success());

    // Without the limit, everything that was acknowledged is there, and the work goes on.
    let mut session = Session::durable(disk.path()).open(pages()).unwrap();
    assert_eq!(session.fact_count(), number.parse::<u64>().unwrap() - 1);
    session.insert(Page { number: 0, text: String::new() }).unwrap();
}

fn under_a_limit(dir: &Path) {
    let durable = Session::durable(dir).sync(Sync::Process).write_mode(WriteMode::Pwrite);
    let mut session = durable.open(pages()).unwrap();
    let (number, error) = fill(&mut session);
    tell(format!("{number} {}", error.report().replace('\n', "|")));
    let error = session.insert(Page { number: 0, text: String::new() }).unwrap_err();
    tell(error.report().replace('\n', "|"));
    assert!(matches!(session.close(), Err(Error::Close(_))));
}
