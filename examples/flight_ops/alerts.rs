//! The alerts file: the outside world of this example.
//!
//! A line is `KEY,ALERT`. It is on the disk before its effect is acknowledged, so that a kill loses no
//! alert; a kill between the two writes one line a second time, under the same key. Whoever reads the
//! file drops repeated keys.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use steadfast::{EffectKey, SessionId};

use crate::facts::Alert;

#[derive(Debug, thiserror::Error)]
pub enum AlertsError {
    #[error("failed to open the alerts file `{}`", path.display())]
    Open {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("failed to {verb} the alerts file `{}`", path.display())]
    Io {
        verb: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error(
        "the alerts file `{}` is of another session, {found}, and this one is {own}: name another \
         file, or the session that it belongs to",
        path.display()
    )]
    Foreign { path: PathBuf, found: String, own: SessionId },
    #[error(
        "the alerts file `{}` has two lines under the key {key}: `{first}` and `{second}`",
        path.display()
    )]
    Contradiction { path: PathBuf, key: String, first: String, second: String },
}

type Result<T, E = AlertsError> = std::result::Result<T, E>;

#[derive(Debug)]
pub struct AlertsFile {
    path: PathBuf,
    file: File,
}

impl AlertsFile {
    /// Opens the file to append to it, and cuts off the line that a kill left unfinished: its effect
    /// is not acknowledged, so it comes again.
    ///
    /// Only the holder of the session may do this.
    pub fn open(path: &Path, session: SessionId) -> Result<Self> {
        let file = open(path).map_err(|source| AlertsError::Open { path: path.into(), source })?;
        let mut alerts = Self { path: path.into(), file };
        let mut bytes = Vec::new();
        alerts.file.read_to_end(&mut bytes).map_err(alerts.io("read"))?;
        if let Some(found) = foreign_session(&bytes, session) {
            return Err(AlertsError::Foreign { path: path.into(), found, own: session });
        }
        let whole = bytes.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
        if whole < bytes.len() {
            alerts.file.set_len(whole as u64).map_err(alerts.io("cut"))?;
        }
        alerts.file.sync_all().map_err(alerts.io("sync"))?;
        sync_name(path).map_err(alerts.io("sync the directory of"))?;
        Ok(alerts)
    }

    /// Appends a line and syncs it.
    pub fn append(&mut self, key: EffectKey, alert: &Alert) -> Result<()> {
        let line = format!("{key},{alert}\n");
        self.file.write_all(line.as_bytes()).map_err(self.io("write"))?;
        self.file.sync_data().map_err(self.io("sync"))
    }

    /// Reads the file back as its readers do.
    pub fn read_back(&self) -> Result<Alerts> {
        let text = std::fs::read_to_string(&self.path).map_err(self.io("read"))?;
        let mut lines = BTreeMap::new();
        for line in text.lines() {
            let (key, alert) = line.split_once(',').unwrap_or((line, ""));
            let first = *lines.entry(key).or_insert(alert);
            if first != alert {
                return Err(AlertsError::Contradiction {
                    path: self.path.clone(),
                    key: key.to_owned(),
                    first: first.to_owned(),
                    second: alert.to_owned(),
                });
            }
        }
        Ok(Alerts::new(lines.into_values().map(str::to_owned).collect()))
    }

    fn io(&self, verb: &'static str) -> impl Fn(io::Error) -> AlertsError {
        let path = self.path.clone();
        move |source| AlertsError::Io { verb, path: path.clone(), source }
    }
}

fn open(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().read(true).append(true).create(true).open(path)?;
    if file.metadata()?.is_file() {
        Ok(file)
    } else {
        Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"))
    }
}

/// A new file's name is on the disk once its directory is synced.
fn sync_name(path: &Path) -> io::Result<()> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let directory = parent.unwrap_or(Path::new("."));
    // Elsewhere a directory cannot be opened, and needs not be.
    if cfg!(unix) { File::open(directory)?.sync_all() } else { Ok(()) }
}

/// The session of the first line that is not `own`'s, also of an unfinished one: a file that this
/// program has not written is left as it is.
fn foreign_session(bytes: &[u8], own: SessionId) -> Option<String> {
    let own = format!("{own}/").into_bytes();
    // A power cut can leave the length of a line without its bytes.
    let end = bytes.iter().rposition(|&byte| byte != 0).map_or(0, |at| at + 1);
    let bytes = &bytes[..end];
    let is_own = |line: &&[u8]| {
        let session = &line[..line.len().min(own.len())];
        own.starts_with(session)
    };
    let foreign = bytes.split(|&byte| byte == b'\n').find(|line| !is_own(line))?;
    let found = foreign.split(|&byte| byte == b'/').next()?;
    Some(String::from_utf8_lossy(found).chars().take(40).collect())
}

/// What was told to the outside, every alert once.
#[derive(Debug)]
pub struct Alerts(Vec<String>);

impl Alerts {
    fn new(mut lines: Vec<String>) -> Self {
        lines.sort_unstable();
        Self(lines)
    }

    pub fn count(&self) -> u64 {
        self.0.len() as u64
    }

    pub fn count_of(&self, kind: &str) -> u64 {
        let of_kind = self.0.iter().filter(|line| line.split(',').next() == Some(kind));
        of_kind.count() as u64
    }

    /// SHA-256 of the sorted lines, each ended by a newline.
    pub fn digest(&self) -> String {
        let mut hash = Sha256::new();
        for line in &self.0 {
            hash.update(line);
            hash.update(b"\n");
        }
        let mut hex = String::new();
        for byte in hash.finalize() {
            let _infallible = write!(hex, "{byte:02x}");
        }
        hex
    }
}
