//! File systems of the tests' own: in memory, or in a file on a loop device.
//!
//! Mounting needs rights that tests seldom have, and tools that not every machine has; without them
//! there is none.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// A file system that can be made in a file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    mkfs: &'static [&'static str],
    /// Nothing is written before it is asked for.
    options: &'static str,
    bytes: u64,
}

/// As large as each must be.
pub(crate) const KINDS: [Kind; 3] = [
    Kind {
        name: "ext4",
        mkfs: &["mkfs.ext4", "-q", "-F"],
        options: "loop,commit=3600",
        bytes: 32 << 20,
    },
    // Copies of one file system have one name.
    Kind { name: "xfs", mkfs: &["mkfs.xfs", "-q"], options: "loop,nouuid", bytes: 300 << 20 },
    Kind {
        name: "btrfs",
        mkfs: &["mkfs.btrfs", "-q", "-M"],
        options: "loop,commit=3600",
        bytes: 64 << 20,
    },
];

impl Kind {
    /// Makes one in the file `image`, and does not mount it.
    pub(crate) fn make(self, image: &Path) -> bool {
        let file = std::fs::File::create(image).expect("room");
        file.set_len(self.bytes).expect("room");
        succeeds(Command::new(self.mkfs[0]).args(&self.mkfs[1..]).arg(image))
    }
}

fn succeeds(command: &mut Command) -> bool {
    command.output().is_ok_and(|output| output.status.success())
}

/// A mounted file system; unmounted when dropped.
#[derive(Debug)]
pub(crate) struct Mounted {
    dir: TempDir,
}

impl Mounted {
    fn mount(kind: &str, options: &str, device: &Path) -> Option<Self> {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let mut mount = Command::new("mount");
        mount.args(["-t", kind, "-o", options]).arg(device).arg(dir.path());
        // Not before: what is dropped is unmounted.
        if succeeds(&mut mount) { Some(Self { dir }) } else { None }
    }

    /// One in memory.
    pub(crate) fn in_memory(bytes: u64) -> Option<Self> {
        Self::mount("tmpfs", &format!("size={bytes},mode=0700"), Path::new("tmpfs"))
    }

    /// A new one in the file `image`.
    pub(crate) fn made(kind: Kind, image: &Path) -> Option<Self> {
        if kind.make(image) { Self::image(kind, image) } else { None }
    }

    /// The one in the file `image`.
    pub(crate) fn image(kind: Kind, image: &Path) -> Option<Self> {
        Self::mount(kind.name, kind.options, image)
    }

    /// A directory in a btrfs in which no more than `bytes` have room.
    pub(crate) fn with_quota(&self, bytes: u64) -> Option<PathBuf> {
        let part = self.path("part");
        let btrfs =
            |args: &[&str], path: &Path| succeeds(Command::new("btrfs").args(args).arg(path));
        let limited = btrfs(&["quota", "enable"], self.dir.path())
            && btrfs(&["subvolume", "create"], &part)
            && btrfs(&["qgroup", "limit", &bytes.to_string()], &part);
        limited.then_some(part)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        assert!(unmount(self.dir.path()), "nothing uses it any more");
    }
}

/// Unmounts a file system that nobody uses any more. A process that another test's thread is about to
/// start has what is open here open for a moment, so this may take a few attempts.
pub(crate) fn unmount(dir: &Path) -> bool {
    (0..1000).any(|_| succeeds(Command::new("umount").arg(dir)))
}

/// Copies a file without its holes.
pub(crate) fn copy_image(from: &Path, to: &Path) {
    assert!(succeeds(Command::new("cp").arg("--sparse=always").arg(from).arg(to)), "room");
}

/// Says why a test is empty.
#[expect(clippy::print_stdout, reason = "an empty test says so")]
pub(crate) fn skipped(what: &str) {
    println!("skipped: {what} cannot be made and mounted here");
}
