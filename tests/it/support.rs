//! What the tests share: a record of the consequences that ran, and temporary directories.

use std::cell::RefCell;
use std::path::{Path, PathBuf};

use steadfast::prelude::*;
use steadfast::{MatchId, Normalization, Ruleset};
use tempfile::TempDir;

thread_local! {
    /// What the consequences of this thread, and so of this test, have said.
    static SAID: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// Called by a consequence: it ran. Unlike an effect this is not undone and not journaled, so a
/// consequence that runs while it must not, as in a recovery, is heard.
pub(crate) fn say(what: impl Into<String>) {
    SAID.with_borrow_mut(|said| said.push(what.into()));
}

/// What was said since this was last asked.
pub(crate) fn said() -> Vec<String> {
    SAID.take()
}

/// A session in memory.
pub(crate) fn memory(rules: Ruleset) -> Session {
    Session::memory(rules).expect("valid rules")
}

/// Fires whatever is pending and gives what was said.
pub(crate) fn fire(session: &mut Session) -> Vec<String> {
    session.fire_all().expect("consequences that work");
    said()
}

/// The pending matches in firing order.
pub(crate) fn pending(session: &mut Session) -> Vec<MatchId> {
    session.flush().expect("conditions that work");
    session.pending().into_iter().map(|pending| pending.id).collect()
}

/// A directory for one session, gone with the test.
#[derive(Debug)]
pub(crate) struct Disk {
    dir: TempDir,
}

impl Disk {
    /// In memory where the system has a place for that: a thousand sessions are opened here, and a
    /// crash of the process leaves the page cache wherever its files are.
    pub(crate) fn new() -> Self {
        let dir = TempDir::new_in("/dev/shm").or_else(|_| TempDir::new());
        Self { dir: dir.expect("a temporary directory") }
    }

    /// On a real disk.
    pub(crate) fn real() -> Self {
        Self { dir: TempDir::new().expect("a temporary directory") }
    }

    /// The session's directory; the session makes it.
    pub(crate) fn path(&self) -> PathBuf {
        self.dir.path().join("session")
    }

    /// Opens the session as a killed process leaves it: what is in the page cache counts.
    pub(crate) fn open(&self, rules: Ruleset) -> Session {
        self.try_open(rules).expect("a session that opens")
    }

    pub(crate) fn try_open(&self, rules: Ruleset) -> steadfast::Result<Session> {
        durable(&self.path()).open(rules)
    }

    /// What a crash right now would leave: a copy of the files while the session has them open.
    ///
    /// The copy is of the same session, so that its handles are good in both, and the original goes
    /// on as the one that never stopped.
    pub(crate) fn crash(&self) -> Self {
        let copy = Self::new();
        copy_files(&self.path(), &copy.path());
        copy
    }
}

/// How tests open sessions: small segments make crashes cheap to copy and let journals roll. Nothing
/// happens in the background, which files are copied under.
pub(crate) fn durable(path: &Path) -> steadfast::DurableBuilder {
    let builder = Session::durable(path).sync(Sync::Process).segment_bytes(64 << 10);
    builder.normalization(Normalization::off())
}

/// Copies a session's directory. Files that only wait to become segments are nothing that a crash
/// must leave.
pub(crate) fn copy_files(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a directory");
    for entry in std::fs::read_dir(from).expect("a directory") {
        let entry = entry.expect("an entry");
        let path = entry.path();
        if entry.file_type().expect("a type").is_dir() {
            copy_files(&path, &to.join(entry.file_name()));
        } else if path.extension().is_none_or(|extension| extension != "tmp") {
            std::fs::copy(&path, to.join(entry.file_name())).expect("a copy");
        }
    }
}
