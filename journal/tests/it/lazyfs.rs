//! Processes that are killed on a file system that then forgets everything that was not synced.
//!
//! [LazyFS](https://github.com/dsrhaslab/lazyfs) keeps what is written in a cache of its own until an
//! `fsync`, and drops that on request. The variable `STEADFAST_LAZYFS` names its program; without it,
//! and without the right to mount, the test is empty.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use tempfile::TempDir;

use crate::mounted::skipped;
use crate::process;

const PROGRAM: &str = "STEADFAST_LAZYFS";

/// A mounted `LazyFS`.
struct LazyFs {
    dir: TempDir,
    program: Child,
    /// Where it is told what to do, and tells that it has done it. Held open in both directions, so
    /// that nothing is lost while it opens and closes its ends.
    faults: File,
    done: BufReader<File>,
}

impl LazyFs {
    fn mount(program: OsString) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let at = |name: &str| dir.path().join(name);
        let (mount, root) = (at("mount"), at("root"));
        fs::create_dir(&mount).and_then(|()| fs::create_dir(&root)).expect("room");
        let config = format!(
            "[faults]\nfifo_path=\"{}\"\nfifo_path_completed=\"{}\"\n[cache]\napply_eviction=false\n\
             [cache.simple]\ncustom_size=\"256mb\"\nblocks_per_page=1\n\
             [filesystem]\nlog_all_operations=false\nlogfile=\"\"\n",
            at("faults").display(),
            at("done").display(),
        );
        fs::write(at("config"), config).expect("room");
        let device = |path: &Path| fs::metadata(path).map(|data| data.dev()).ok();
        let before = device(&mount);
        let mut program = Command::new(program)
            .arg(&mount)
            .arg("--config-path")
            .arg(at("config"))
            .args(["-o", "allow_other", "-o", "modules=subdir", "-o"])
            .arg(format!("subdir={}", root.display()))
            .arg("-f")
            .stdout(std::process::Stdio::null())
            .spawn()
            .expect("the program runs");
        let is_mounted = || device(&mount).is_some_and(|device| Some(device) != before);
        while !(is_mounted() && at("faults").exists() && at("done").exists()) {
            let ended = program.try_wait().expect("it was started");
            assert!(ended.is_none(), "it does not mount: {ended:?}");
            std::thread::yield_now();
        }
        let open = |name| File::options().read(true).write(true).open(at(name)).expect("a pipe");
        let (faults, done) = (open("faults"), BufReader::new(open("done")));
        Self { dir, program, faults, done }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Drops everything that was written and not synced.
    fn forget(&mut self) {
        self.faults.write_all(b"lazyfs::clear-cache\n").expect("it listens");
        let mut line = String::new();
        self.done.read_line(&mut line).expect("text");
        assert_eq!(line.trim_end(), "finished::clear-cache");
    }
}

impl Drop for LazyFs {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg(self.at("mount")).status();
        let ended = self.program.kill().and_then(|()| self.program.wait());
        assert!(unmounted.is_ok_and(|status| status.success()) && ended.is_ok(), "nothing uses it");
    }
}

fn rounds() -> u64 {
    if std::env::var_os("STEADFAST_SOAK").is_some() { 200 } else { 20 }
}

/// Testing list 20.
#[test]
fn what_was_acknowledged_outlives_a_cache_that_forgets_what_was_not_synced() {
    let Some(program) = std::env::var_os(PROGRAM) else {
        skipped("LazyFS");
        return;
    };
    let mut disk = LazyFs::mount(program);
    let dir = disk.at("mount/journal");
    process::kill_and_cut(&dir, "batch", "pwrite", rounds(), Some(&mut || disk.forget()));
    // It does forget: what only survives the process is lost, and the check finds that.
    let dir = disk.at("mount/control");
    let control = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        process::kill_and_cut(&dir, "process", "pwrite", rounds(), Some(&mut || disk.forget()));
    }));
    assert!(control.is_err(), "nothing was forgotten");
}
