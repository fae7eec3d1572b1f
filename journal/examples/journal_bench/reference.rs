//! The yardsticks: raw calls, and the plainest group commit.

use std::error::Error;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use crate::contender::Contender;

/// A file of zeros, allocated and durable.
pub(crate) fn zeroed(path: &Path, bytes: u64) -> io::Result<File> {
    let file = File::options().read(true).write(true).create(true).truncate(true).open(path)?;
    let zeros = [0; 4096];
    for at in (0..bytes).step_by(zeros.len()) {
        file.write_all_at(&zeros, at)?;
    }
    file.sync_all()?;
    Ok(file)
}

/// `pwrite` and `fdatasync`, one after the other, through a file of zeros that is used again from
/// its begin when it is full.
pub(crate) struct Raw {
    file: File,
    bytes: u64,
    at: u64,
}

impl Raw {
    pub(crate) fn new(path: &Path, bytes: u64) -> io::Result<Self> {
        Ok(Self { file: zeroed(path, bytes)?, bytes, at: 0 })
    }

    pub(crate) fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.at + bytes.len() as u64 > self.bytes {
            self.at = 0;
        }
        self.file.write_all_at(bytes, self.at)?;
        self.file.sync_data()?;
        self.at += bytes.len() as u64;
        Ok(())
    }
}

/// Bytes of a reference frame's header: length, checksum, number.
const HEAD: usize = 16;

/// The plainest group commit.
pub(crate) struct Group {
    file: File,
    bytes: u64,
    state: Mutex<State>,
    synced: Condvar,
}

#[derive(Default)]
struct State {
    queue: Vec<u8>,
    other: Vec<u8>,
    written: u64,
    appended: u64,
    durable: u64,
    led: bool,
    failed: bool,
}

impl Group {
    pub(crate) fn new(path: &Path, bytes: u64) -> io::Result<Self> {
        let state = Mutex::default();
        Ok(Self { file: zeroed(path, bytes)?, bytes, state, synced: Condvar::new() })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the file has room for so many bytes more.
    pub(crate) fn has_room(&self, bytes: u64) -> bool {
        let state = self.lock();
        state.written + state.queue.len() as u64 + bytes < self.bytes
    }

    fn push(state: &mut State, records: &[u8]) -> u64 {
        state.appended += 1;
        let number = state.appended;
        let start = state.queue.len();
        state.queue.extend_from_slice(&[0; HEAD]);
        state.queue.extend_from_slice(records);
        let frame = &mut state.queue[start..];
        frame[..4].copy_from_slice(&u32::try_from(records.len()).unwrap_or(0).to_le_bytes());
        frame[8..16].copy_from_slice(&number.to_le_bytes());
        let crc = crc32c::crc32c(&frame[8..]);
        frame[4..8].copy_from_slice(&crc.to_le_bytes());
        number
    }

    /// Writes what is queued, and syncs if asked to; the caller leads.
    fn drain<'a>(&'a self, mut state: MutexGuard<'a, State>, sync: bool) -> MutexGuard<'a, State> {
        state.led = true;
        let other = std::mem::take(&mut state.other);
        let mut full = std::mem::replace(&mut state.queue, other);
        let (at, upto) = (state.written, state.appended);
        state.written += full.len() as u64;
        drop(state);
        let done = self.file.write_all_at(&full, at);
        let done = done.and_then(|()| if sync { self.file.sync_data() } else { Ok(()) });
        full.clear();
        let mut state = self.lock();
        state.other = full;
        state.led = false;
        state.failed |= done.is_err();
        if sync {
            state.durable = upto;
        }
        self.synced.notify_all();
        state
    }

    /// Appends a batch into memory, and from there into the page cache now and then: less than
    /// level `Process` promises.
    pub(crate) fn append_buffered(&self, records: &[u8]) {
        let mut state = self.lock();
        Self::push(&mut state, records);
        if state.queue.len() >= 256 << 10 && !state.led {
            drop(self.drain(state, false));
        }
    }

    /// Brings the rest into the page cache.
    pub(crate) fn flush(&self) {
        drop(self.drain(self.lock(), false));
    }

    /// Verifies and visits every frame's records.
    pub(crate) fn scan(&self, see: &mut dyn FnMut(&[u8]) -> Result<(), String>) -> io::Result<()> {
        let mut window = vec![0; 1 << 20];
        let (mut at, end) = (0_u64, self.lock().written);
        while at < end {
            let left = usize::try_from(end - at).unwrap_or(usize::MAX).min(window.len());
            self.file.read_exact_at(&mut window[..left], at)?;
            let mut used = 0;
            while used + HEAD <= left {
                let head = &window[used..];
                let len = u32::from_le_bytes([head[0], head[1], head[2], head[3]]) as usize;
                let frame_end = used + HEAD + len;
                if frame_end > left {
                    break;
                }
                let crc = u32::from_le_bytes([head[4], head[5], head[6], head[7]]);
                if crc32c::crc32c(&window[used + 8..frame_end]) != crc {
                    return Err(io::Error::other("a reference frame is damaged"));
                }
                see(&window[used + HEAD..frame_end]).map_err(io::Error::other)?;
                used = frame_end;
            }
            if used == 0 {
                return Err(io::Error::other("a reference frame is cut short"));
            }
            at += used as u64;
        }
        Ok(())
    }
}

impl Contender for Group {
    fn append_durable(&self, records: &[u8], _record_bytes: usize) -> Result<(), Box<dyn Error>> {
        let mut state = self.lock();
        let mine = Self::push(&mut state, records);
        loop {
            if state.failed {
                return Err("the reference failed to sync".into());
            }
            if state.durable >= mine {
                return Ok(());
            }
            state = if state.led {
                self.synced.wait(state).unwrap_or_else(PoisonError::into_inner)
            } else {
                self.drain(state, true)
            };
        }
    }

    fn read_back(
        &self,
        see: &mut dyn FnMut(&[u8]) -> Result<(), String>,
    ) -> Result<(), Box<dyn Error>> {
        let record_bytes = crate::records::RECORD_BYTES;
        self.scan(&mut |records| records.chunks(record_bytes).try_for_each(&mut *see))?;
        Ok(())
    }
}
