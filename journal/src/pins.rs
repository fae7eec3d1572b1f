//! Pins: places in the journal that somebody still reads, so that what follows them is kept.
//!
//! A reader of this process pins in memory; one of another process by a file in `pins/` that it keeps
//! locked. The kernel gives the lock back however the process ends, so no pin outlives its reader.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use crate::bytes::{put, u32_at, u64_at};
use crate::error::{At as _, IoError, is_out_of_space};
use crate::files::{Dir, PINS};
use crate::ids::Position;
use crate::primitives::thread;
use crate::storage::{Access, Lock, LockError, StorageFile};

/// Where a pin's position stands in its file: behind the holder's note.
const POSITION_AT: u64 = 64;
const POSITION_BYTES: usize = 16;
const MAGIC: &[u8; 4] = b"STFN";
/// The lock between switching and pinning: held by the writer from its look at the pins until the
/// manifest is switched, and for a moment by a reader that has just pinned its place.
const SWITCH: &str = "switch.lock";
/// How long a reader sleeps while the writer switches.
const SWITCH_PAUSE: Duration = Duration::from_micros(200);
/// So many names are tried before a directory full of pins is an error.
const NAMES_MAX: u32 = 10_000;

/// A place that a reader holds.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Pinned {
    /// Everything from here on is kept.
    pub position: Position,
    /// Who holds it, as it named itself; `None` for a reader of this process.
    pub holder: Option<String>,
}

/// The pins of this process.
#[derive(Debug, Default)]
pub(crate) struct Pins(Mutex<Vec<Weak<AtomicU64>>>);

impl Pins {
    /// Pins a place until the pin is dropped.
    pub(crate) fn pin(&self, position: u64) -> Pin {
        let place = Arc::new(AtomicU64::new(position));
        let mut pins = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        pins.retain(|pin| pin.strong_count() > 0);
        pins.push(Arc::downgrade(&place));
        Pin::Memory(place)
    }

    fn list(&self) -> Vec<Pinned> {
        let pins = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let places = pins.iter().filter_map(Weak::upgrade);
        let at = |place: Arc<AtomicU64>| Position::new(place.load(Ordering::Acquire));
        places.map(|place| Pinned { position: at(place), holder: None }).collect()
    }

    /// The pins of this process and of all others; removes the files of readers that are gone.
    pub(crate) fn all(&self, dir: &Dir) -> Result<Vec<Pinned>, IoError> {
        let mut pins = self.list();
        pins.extend(in_directory(dir)?);
        pins.sort_by_key(|pin| pin.position);
        Ok(pins)
    }
}

/// INV-39: while this is held, no reader of another process is between its pin and its list of
/// segments. So whoever lists the pins now and switches before this is dropped takes nothing away
/// from anybody: a pin that is made later is that of a reader that sees the new list.
///
/// `None` where the directory takes no files, hence no pins either.
pub(crate) fn hold_still(dir: &Dir) -> Result<Option<Box<dyn Lock>>, LockError> {
    let made = dir.storage.create_dir(&dir.file(PINS));
    let locked = made.map_err(LockError::Io).and_then(|()| lock_switch(dir));
    match locked {
        Ok(lock) => Ok(Some(lock)),
        Err(LockError::Io(error)) if is_out_of_space(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

fn lock_switch(dir: &Dir) -> Result<Box<dyn Lock>, LockError> {
    let path = dir.file(PINS).join(SWITCH);
    dir.storage.lock(&path, &format!("pid {}", std::process::id()))
}

/// One reader's pin. It may only move forward.
#[derive(Debug)]
pub(crate) enum Pin {
    Memory(Arc<AtomicU64>),
    File(FilePin),
    /// The directory takes no files: what is read may be compacted meanwhile.
    None,
}

impl Pin {
    /// Lets go of everything before `position`.
    pub(crate) fn advance(&mut self, position: u64) -> Result<(), IoError> {
        match self {
            Self::Memory(place) => {
                place.fetch_max(position, Ordering::AcqRel);
                Ok(())
            }
            Self::File(pin) => pin.advance(position),
            Self::None => Ok(()),
        }
    }
}

/// A pin in `pins/`.
#[derive(Debug)]
pub(crate) struct FilePin {
    dir: Dir,
    path: PathBuf,
    file: Arc<dyn StorageFile>,
    position: u64,
    _lock: Box<dyn Lock>,
}

impl FilePin {
    /// Makes a file, locks it, and writes the position into it.
    pub(crate) fn new(dir: &Dir, position: u64) -> Result<Self, IoError> {
        let pins = dir.file(PINS);
        dir.storage.create_dir(&pins).at("create", &pins)?;
        let process = std::process::id();
        for number in 0..NAMES_MAX {
            let path = pins.join(format!("{process}-{number}.pin"));
            let lock = match dir.storage.lock(&path, &format!("pid {process}")) {
                Ok(lock) => lock,
                Err(LockError::Held { .. }) => continue,
                Err(LockError::Io(source)) => return Err(IoError::new("lock", &path, source)),
            };
            // Whoever sweeps pins may have removed the file before it was locked.
            let file = match dir.storage.open(&path, Access::Write) {
                Ok(file) => file,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(IoError::new("open", &path, error)),
            };
            let mut pin = Self { dir: dir.clone(), path, file, position: 0, _lock: lock };
            pin.write(position)?;
            pin.wait_for_switch()?;
            return Ok(pin);
        }
        let full = io::Error::new(io::ErrorKind::QuotaExceeded, "too many pins");
        Err(IoError::new("pin a place in", &pins, full))
    }

    /// Waits until no switch is on its way that may have overlooked this pin.
    fn wait_for_switch(&self) -> Result<(), IoError> {
        loop {
            match lock_switch(&self.dir) {
                Ok(_passed) => return Ok(()),
                Err(LockError::Held { .. }) => thread::sleep(SWITCH_PAUSE),
                Err(LockError::Io(source)) => {
                    return Err(IoError::new("lock", &self.dir.file(PINS).join(SWITCH), source));
                }
            }
        }
    }

    fn advance(&mut self, position: u64) -> Result<(), IoError> {
        if position > self.position { self.write(position) } else { Ok(()) }
    }

    fn write(&mut self, position: u64) -> Result<(), IoError> {
        self.position = position;
        let written = self.file.write_at(&encode(position), POSITION_AT);
        written.at("write", &self.path)
    }
}

impl Drop for FilePin {
    fn drop(&mut self) {
        // What stays is found without a lock, and removed, by the writer.
        drop(self.dir.storage.remove(&self.path));
    }
}

fn encode(position: u64) -> [u8; POSITION_BYTES] {
    let mut bytes = [0; POSITION_BYTES];
    put(&mut bytes, 0, MAGIC);
    put(&mut bytes, 8, &position.to_le_bytes());
    let crc = crc32c::crc32c_append(crc32c::crc32c(&bytes[..4]), &bytes[8..]);
    put(&mut bytes, 4, &crc.to_le_bytes());
    bytes
}

fn decode(bytes: &[u8; POSITION_BYTES]) -> Option<u64> {
    let crc = crc32c::crc32c_append(crc32c::crc32c(&bytes[..4]), &bytes[8..]);
    (&bytes[..4] == MAGIC && u32_at(bytes, 4) == crc).then(|| u64_at(bytes, 8))
}

/// The position that bytes of any length say, if they are those of a pin.
#[cfg(any(test, feature = "testing"))]
pub(crate) fn decode_any(bytes: &[u8]) -> Option<u64> {
    bytes.first_chunk().and_then(decode)
}

/// The pins of readers in other processes. A file that nobody locks belongs to nobody.
fn in_directory(dir: &Dir) -> Result<Vec<Pinned>, IoError> {
    let pins = dir.file(PINS);
    let entries = match dir.storage.list(&pins) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(IoError::new("list", &pins, error)),
    };
    let mut found = Vec::new();
    for entry in entries.iter().filter(|entry| !entry.is_dir && entry.name != SWITCH) {
        let path = pins.join(&entry.name);
        match dir.storage.lock(&path, "nobody") {
            // Removed under its lock, so that nobody can take it over meanwhile.
            Ok(_lock) => dir.storage.remove(&path).at("remove", &path)?,
            Err(LockError::Held { holder }) => {
                let holder = holder.unwrap_or_else(|| "an unknown process".to_owned());
                let position = Position::new(read_position(dir, &path)?);
                found.push(Pinned { position, holder: Some(holder) });
            }
            Err(LockError::Io(source)) => return Err(IoError::new("lock", &path, source)),
        }
    }
    Ok(found)
}

/// The position in a locked file; the journal's begin while it is not there yet.
fn read_position(dir: &Dir, path: &Path) -> Result<u64, IoError> {
    let file = match dir.storage.open(path, Access::Read) {
        Ok(file) => file,
        // Its reader went away since.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(u64::MAX),
        Err(error) => return Err(IoError::new("open", path, error)),
    };
    let mut bytes = [0; POSITION_BYTES];
    let count = file.read_at(&mut bytes, POSITION_AT).at("read", path)?;
    Ok(if count == bytes.len() { decode(&bytes).unwrap_or(0) } else { 0 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::FileStorage;

    fn dir(path: &Path) -> Dir {
        Dir { storage: Arc::new(FileStorage::new()), path: path.to_path_buf(), skip_sync: false }
    }

    #[test]
    fn a_position_survives_encoding_and_no_flipped_bit_does() {
        let bytes = encode(4096);
        assert_eq!(decode(&bytes), Some(4096));
        for bit in 0..POSITION_BYTES * 8 {
            let mut flipped = bytes;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(decode(&flipped), None, "bit {bit}");
        }
    }

    #[test]
    fn pins_are_listed_in_order_while_they_live_and_move() {
        let temporary = tempfile::tempdir().expect("a temporary directory");
        let dir = dir(temporary.path());
        let pins = Pins::default();
        assert_eq!(pins.all(&dir).expect("readable"), []);
        let mut own = pins.pin(64);
        let mut file = Pin::File(FilePin::new(&dir, 8).expect("writable"));
        let second = FilePin::new(&dir, 16).expect("writable");
        let positions = |pins: &Pins| -> Vec<u64> {
            let all = pins.all(&dir).expect("readable");
            all.iter().map(|pin| pin.position.get()).collect()
        };
        assert_eq!(positions(&pins), [8, 16, 64]);
        own.advance(32).expect("in memory");
        file.advance(128).expect("writable");
        file.advance(8).expect("writable");
        drop(second);
        assert_eq!(positions(&pins), [64, 128]);
        let holder = pins.all(&dir).expect("readable").remove(1).holder;
        assert_eq!(holder, Some(format!("pid {}", std::process::id())));
        drop((own, file));
        assert_eq!(positions(&pins), [0; 0]);
    }

    #[test]
    fn the_file_of_a_reader_that_is_gone_is_removed() {
        let temporary = tempfile::tempdir().expect("a temporary directory");
        let dir = dir(temporary.path());
        std::fs::create_dir(dir.file(PINS)).expect("writable");
        let left = dir.file(PINS).join("1-0.pin");
        std::fs::write(&left, "pid 1\n").expect("writable");
        assert_eq!(Pins::default().all(&dir).expect("readable"), []);
        assert!(!left.exists());
    }
}
