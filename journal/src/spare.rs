//! Segments made ahead: of zeros, durable, with room for the manifest that will list them.
//!
//! A background thread fills them, so that appending never waits for it in the common case. When
//! the disk is full, appending goes on to the end of what exists; one reserve lets an open root
//! reach its safe point, another is given up for what normalization writes, so that a full disk can
//! be made emptier.

use std::collections::VecDeque;
use std::sync::{Arc, PoisonError};
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender};

use crate::bytes::round_up;
use crate::error::IoError;
use crate::files::Dir;
use crate::primitives::atomic::{AtomicBool, Ordering};
use crate::primitives::{Condvar, Mutex, MutexGuard};
use crate::segment::SEGMENT_HEADER;
use crate::storage::{Access, StorageFile};

/// Normalization's reserve is this part of a segment, but no less than the other reserve. It is there
/// before the first spare that follows a sealed segment: with nothing sealed, nothing could be
/// normalized. While it cannot be made, no spare is.
const UPKEEP_SHARE: u64 = 8;

/// How the bytes of a spare are prepared for the frames that will be written over them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fill {
    /// Zeros are written: a sync then changes nothing but the bytes of frames, and is as fast as it can
    /// be.
    Zeros,
    /// They have room, and that is all: every byte goes to the medium once instead of twice. A sync
    /// that covers much hardly notices what it has to note besides.
    Room,
}

/// What a spare must have room for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Need {
    /// How the segment is best prepared.
    pub(crate) fill: Fill,
    /// Bytes of the segment.
    pub(crate) segment_bytes: u64,
    /// Bytes of the manifest that will list it.
    pub(crate) manifest_bytes: u64,
    /// Whether segments are sealed: what normalization may write anew.
    pub(crate) has_sealed: bool,
}

/// A file of zeros that can become a segment.
#[derive(Debug)]
pub(crate) struct Spare {
    pub(crate) name: String,
    pub(crate) file: Arc<dyn StorageFile>,
    pub(crate) bytes: u64,
    pub(crate) manifest_name: String,
    pub(crate) manifest_bytes: u64,
}

impl Spare {
    fn covers(&self, need: Need) -> bool {
        self.bytes >= need.segment_bytes && self.manifest_bytes >= need.manifest_bytes
    }
}

#[derive(Debug, Default)]
struct Pool {
    ready: VecDeque<Spare>,
    /// For an open root.
    reserve: Option<Spare>,
    /// For normalization: only its room counts.
    upkeep: Option<Spare>,
    /// What the reserve for normalization was when it was given up.
    given_up: Option<Need>,
    /// Requests that the filler has not answered.
    pending: usize,
    /// How many requests were answered with an error, and the last of these errors.
    failures: u64,
    error: Option<IoError>,
    next_number: u64,
}

/// The spares of one journal.
#[derive(Debug)]
pub(crate) struct Spares {
    dir: Dir,
    reserve_bytes: u64,
    pool: Mutex<Pool>,
    answered: Condvar,
    /// `None` without a background thread: spares are filled where they are asked for.
    requests: Mutex<Option<Sender<Job>>>,
    stop: AtomicBool,
}

/// What the filler is asked for.
#[derive(Debug)]
enum Job {
    /// A spare.
    Fill(Need),
    /// That the cache forgets a sealed segment, given by its name.
    Forget(String),
}

/// Runs the filler until the journal is closed.
#[derive(Debug)]
pub(crate) struct Filler {
    thread: Option<JoinHandle<()>>,
}

impl Spares {
    pub(crate) fn new(dir: Dir, reserve_bytes: u64) -> Self {
        Self {
            dir,
            reserve_bytes,
            pool: Mutex::default(),
            answered: Condvar::new(),
            requests: Mutex::new(None),
            stop: AtomicBool::new(false),
        }
    }

    /// Starts the background thread.
    pub(crate) fn start(self: &Arc<Self>) -> Result<Filler, std::io::Error> {
        let (sender, receiver) = crossbeam_channel::unbounded();
        let spares = Arc::clone(self);
        let thread = std::thread::Builder::new()
            .name("journal-filler".to_owned())
            .spawn(move || spares.run(&receiver))?;
        *self.requests.lock().unwrap_or_else(PoisonError::into_inner) = Some(sender);
        Ok(Filler { thread: Some(thread) })
    }

    fn run(&self, jobs: &Receiver<Job>) {
        for job in jobs {
            if self.stop.load(Ordering::Relaxed) {
                return;
            }
            match job {
                Job::Fill(need) => self.answer(need),
                Job::Forget(name) => self.forget_now(&name),
            }
        }
    }

    /// Has the cache forget a sealed segment: the next segments find the pages that it gives back, which
    /// costs a fraction of what pages cost that nobody has used for long. Without a background thread
    /// nothing happens.
    pub(crate) fn forget(&self, name: String) {
        let requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sender) = &*requests {
            // Without the thread nothing happens either.
            drop(sender.send(Job::Forget(name)));
        }
    }

    fn forget_now(&self, name: &str) {
        // A hint: it may have been normalized away meanwhile.
        if let Ok(file) = self.dir.open(name, Access::Read) {
            drop(file.drop_cache(u64::MAX));
        }
    }

    fn pool(&self) -> MutexGuard<'_, Pool> {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Fills one spare, normalization's reserve before it, and that of roots after it.
    fn answer(&self, need: Need) {
        let filled = self.keep_upkeep(need).and_then(|()| self.fill(need));
        let mut pool = self.pool();
        pool.pending = pool.pending.saturating_sub(1);
        let succeeded = filled.is_ok();
        match filled {
            Ok(spare) => {
                pool.ready.push_back(spare);
                pool.error = None;
            }
            Err(error) => {
                pool.failures += 1;
                pool.error = Some(error);
            }
        }
        let of_roots = succeeded && pool.reserve.is_none();
        drop(pool);
        self.answered.notify_all();
        if of_roots && !self.stop.load(Ordering::Relaxed) {
            let need = Need { segment_bytes: self.reserve_bytes, fill: Fill::Zeros, ..need };
            // One that does not fit on the disk any more is missed later, not now.
            if let Ok(reserve) = self.fill(need) {
                self.pool().reserve = Some(reserve);
            }
        }
    }

    /// INV-38: makes sure of normalization's reserve where there is something to normalize.
    fn keep_upkeep(&self, need: Need) -> Result<(), IoError> {
        if !need.has_sealed || self.pool().upkeep.is_some() {
            return Ok(());
        }
        let share = round_up(need.segment_bytes / UPKEEP_SHARE, SEGMENT_HEADER);
        let segment_bytes = share.max(self.reserve_bytes);
        // Only its room counts.
        self.fill_upkeep(Need { segment_bytes, fill: Fill::Room, ..need })
    }

    fn fill_upkeep(&self, need: Need) -> Result<(), IoError> {
        match self.fill(need) {
            Ok(spare) => {
                let before = self.pool().upkeep.replace(spare);
                if let Some(before) = before {
                    self.remove(before); // Somebody else has filled it meanwhile.
                }
                Ok(())
            }
            Err(error) => {
                self.pool().given_up = Some(need);
                Err(error)
            }
        }
    }

    /// Does for normalization what may find the disk full; if it does, once more with the room of the
    /// reserve.
    pub(crate) fn with_reserve<T>(
        &self,
        mut attempt: impl FnMut() -> Result<T, IoError>,
    ) -> Result<T, IoError> {
        match attempt() {
            Err(error) if error.is_out_of_space() && self.give_up() => attempt(),
            result => result,
        }
    }

    /// Gives the room of normalization's reserve up; `false` if there is none.
    fn give_up(&self) -> bool {
        let mut pool = self.pool();
        let Some(spare) = pool.upkeep.take() else { return false };
        let (segment_bytes, manifest_bytes) = (spare.bytes, spare.manifest_bytes);
        let fill = Fill::Room;
        pool.given_up = Some(Need { segment_bytes, manifest_bytes, fill, has_sealed: true });
        drop(pool);
        self.remove(spare);
        true
    }

    /// Fills normalization's reserve again if it was given up and there is room.
    pub(crate) fn refill(&self) {
        let given_up = self.pool().given_up.take();
        if let Some(need) = given_up {
            // If there is none, the next spare tries again before it is made.
            drop(self.fill_upkeep(need));
        }
    }

    /// Removes a spare's files; the next open removes what stays.
    fn remove(&self, spare: Spare) {
        let Spare { name, file, manifest_name, .. } = spare;
        // Their room is free when nobody has them open.
        drop(file);
        drop(self.dir.remove(&name));
        drop(self.dir.remove(&manifest_name));
    }

    /// Makes the two files of a spare; leaves nothing behind if the disk is full.
    fn fill(&self, need: Need) -> Result<Spare, IoError> {
        let number = {
            let mut pool = self.pool();
            pool.next_number += 1;
            pool.next_number
        };
        let name = format!("spare-{number}.tmp");
        let manifest_name = format!("manifest-{number}.tmp");
        let segment = match need.fill {
            Fill::Zeros => self.dir.fill(&name, need.segment_bytes),
            Fill::Room => self.dir.allocate(&name, need.segment_bytes),
        };
        let made = segment.and_then(|file| {
            drop(self.dir.fill(&manifest_name, need.manifest_bytes)?);
            self.dir.sync()?;
            Ok(file)
        });
        match made {
            Ok(file) => Ok(Spare {
                name,
                file,
                bytes: need.segment_bytes,
                manifest_name,
                manifest_bytes: need.manifest_bytes,
            }),
            Err(error) => {
                // Removing may fail for the same reason; the next open does it again.
                drop(self.dir.remove(&name));
                drop(self.dir.remove(&manifest_name));
                Err(error)
            }
        }
    }

    /// Asks for a spare unless one is there or on its way.
    pub(crate) fn request_ahead(&self, need: Need) {
        let mut pool = self.pool();
        if pool.pending > 0 || pool.ready.iter().any(|spare| spare.covers(need)) {
            return;
        }
        pool.pending += 1;
        drop(pool);
        self.send(need);
    }

    fn send(&self, need: Need) {
        let requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        let sent = requests.as_ref().is_some_and(|sender| sender.send(Job::Fill(need)).is_ok());
        drop(requests);
        if !sent {
            self.answer(need);
        }
    }

    /// Takes a spare, waiting until the filler has answered. The error is that of an attempt that
    /// began after the call, so that a disk with space again is noticed. `least` is what the
    /// reserve, or a spare made before, must have room for.
    pub(crate) fn take(
        &self,
        need: Need,
        least: Need,
        may_use_reserve: bool,
    ) -> Result<Spare, IoError> {
        let mut pool = self.pool();
        let mut failures = pool.failures;
        let mut asked = false;
        loop {
            if let Some(index) = pool.ready.iter().position(|spare| spare.covers(least)) {
                return Ok(pool.ready.remove(index).expect("the index was just found"));
            }
            if asked
                && pool.failures != failures
                && let Some(error) = pool.error.take()
            {
                let usable = may_use_reserve && error.is_out_of_space();
                let reserve = pool.reserve.take_if(|spare| usable && spare.covers(least));
                return reserve.ok_or(error);
            }
            if pool.pending == 0 {
                pool.pending += 1;
                failures = pool.failures;
                asked = true;
                drop(pool);
                self.send(need);
                pool = self.pool();
            } else {
                pool = self.answered.wait(pool).unwrap_or_else(PoisonError::into_inner);
            }
        }
    }

    /// Makes sure that so many spares are ready, waiting for the filler.
    pub(crate) fn make_ready(&self, needs: &[Need]) -> Result<(), IoError> {
        let mut made = Vec::new();
        for need in needs {
            match self.take(*need, *need, false) {
                Ok(spare) => made.push(spare),
                Err(error) => {
                    self.pool().ready.extend(made);
                    return Err(error);
                }
            }
        }
        self.pool().ready.extend(made);
        Ok(())
    }

    /// Gives back a spare that was not needed after all.
    pub(crate) fn give_back(&self, spare: Spare) {
        self.pool().ready.push_front(spare);
    }

    /// Removes the files of all spares.
    pub(crate) fn remove_all(&self) {
        let mut pool = self.pool();
        let reserves = [pool.reserve.take(), pool.upkeep.take()];
        let spares: Vec<Spare> =
            pool.ready.drain(..).chain(reserves.into_iter().flatten()).collect();
        drop(pool);
        spares.into_iter().for_each(|spare| self.remove(spare));
    }
}

impl Filler {
    /// Stops the thread after the spare that it is filling.
    pub(crate) fn stop(&mut self, spares: &Spares) {
        spares.stop.store(true, Ordering::Relaxed);
        drop(spares.requests.lock().unwrap_or_else(PoisonError::into_inner).take());
        if let Some(thread) = self.thread.take() {
            // A panic of the filler left nothing behind but temporary files.
            drop(thread.join());
        }
    }
}
