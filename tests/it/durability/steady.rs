//! A session that works for ever takes no more memory than one that has worked for a while.

use std::fs;
use std::path::Path;

use steadfast::prelude::*;

use super::life::{Life, orders};
use crate::child::{Child, task, tell, wait_for_the_end};
use crate::support::Disk;

/// After so many works a session is as large as it gets.
const SETTLED: u64 = 4_000;
/// What it may grow by in three times as many: a byte for each would be a tenth of that.
const SLACK: u64 = 128 << 10;

/// Resident bytes of this process that are no pages of files, if the system tells it.
fn resident() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("RssAnon:"))?;
    Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()? * 1024)
}

/// Lives in memory, or on disk, and tells now and then how large it is.
fn live(dir: &Path, task: &str) -> ! {
    let mut session = match task {
        "memory" => Session::memory(orders()),
        _ => Session::durable(dir).sync(Sync::Process).segment_bytes(64 << 10).open(orders()),
    }
    .unwrap();
    for work in 0..4 * SETTLED {
        let mut life = Life { session: &mut session, deliver: &mut |_, _, _| () };
        while !life.part(work).unwrap() {}
        if (work + 1) % SETTLED == 0 {
            tell(resident().map_or_else(|| "unknown".to_owned(), |bytes| bytes.to_string()));
        }
    }
    wait_for_the_end()
}

#[expect(clippy::print_stdout, reason = "a test that is skipped says so")]
fn stays_as_large_as_it_is(test: &str, task: &str) {
    let disk = Disk::new();
    let mut child = Child::start(test, &disk.path(), task);
    let sizes: Vec<Option<u64>> =
        (0..4).map(|_| child.hear().expect("it lives").parse().ok()).collect();
    child.kill();
    let (Some(settled), Some(last)) = (sizes[0], sizes[3]) else {
        return println!("skipped: the system does not tell how large a process is");
    };
    assert!(last < settled + SLACK, "{task}: {sizes:?}");
}

const IN_MEMORY: &str = "durability::steady::a_session_in_memory_does_not_grow_with_its_work";
const ON_DISK: &str = "durability::steady::a_session_on_disk_does_not_grow_with_its_work";

#[test]
fn a_session_in_memory_does_not_grow_with_its_work() {
    if let Some((dir, task)) = task() {
        live(&dir, &task);
    }
    stays_as_large_as_it_is(IN_MEMORY, "memory");
}

#[test]
fn a_session_on_disk_does_not_grow_with_its_work() {
    if let Some((dir, task)) = task() {
        live(&dir, &task);
    }
    stays_as_large_as_it_is(ON_DISK, "disk");
}
