//! The thread that writes snapshots, receives them and drops old batches, while the replica's own listens to others.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, unbounded};
use steadfast_journal::{Maintenance, NormalizeError, Position};

use super::SnapshotWriter;
use super::log::Trimmer;
use super::snapshots::{Files, Kept, verify};
use crate::epochs::Epochs;
use crate::ids::Chain;
use crate::snapshot::{Head, Offer, SnapshotDamage, SnapshotId};
use crate::transport::Wake;

/// What is to be done.
pub(super) enum Job {
    Write { log: Epochs, chain: Chain, writer: SnapshotWriter },
    Receive(Offer),
    Store { id: SnapshotId, offset: u64, bytes: Arc<[u8]> },
    Check(SnapshotId),
    Verify(SnapshotId, PathBuf),
    Trim(Maintenance, Position),
}

/// What was done.
pub(super) enum Done {
    /// A snapshot was written, or why not.
    Written(Result<Kept, String>),
    /// So much of a snapshot that comes is durable.
    Stored { id: SnapshotId, durable: u64 },
    /// A snapshot that came is whole, or was dropped.
    Checked(SnapshotId, Option<Head>),
    /// A snapshot is damaged.
    Damaged(SnapshotId, SnapshotDamage),
}

/// The thread.
pub(super) struct Keeper {
    jobs: Option<Sender<Job>>,
    done: Receiver<Result<Done, String>>,
    thread: Option<JoinHandle<()>>,
}

impl Keeper {
    pub(super) fn start(files: Files, wake: Arc<dyn Wake>) -> Result<Self, String> {
        let (jobs, receiver) = unbounded();
        let (tell, done) = unbounded();
        let work = move || {
            let mut at_work = AtWork { files, incoming: None };
            while let Ok(job) = receiver.recv() {
                let mut stores = Vec::new();
                let mut next = Some(job);
                // One sync for all pieces that have come meanwhile.
                while let Some(Job::Store { id, offset, bytes }) = next {
                    stores.push((id, offset, bytes));
                    next = receiver.try_recv().ok();
                }
                let stored = (!stores.is_empty()).then(|| at_work.store(stores));
                let rest = next.map(|job| at_work.work(job));
                for done in [stored, rest].into_iter().flatten() {
                    let done = done.map_err(|error| format!("snapshots: {error}")).transpose();
                    if done.is_some_and(|done| tell.send(done).is_err()) {
                        return;
                    }
                }
                wake.wake();
            }
        };
        let thread = std::thread::Builder::new().name("sf-replica-keep".to_owned()).spawn(work);
        let thread = Some(thread.map_err(|error| error.to_string())?);
        Ok(Self { jobs: Some(jobs), done, thread })
    }

    pub(super) fn give(&self, job: Job) {
        if let Some(jobs) = &self.jobs {
            // If the thread is gone, it has said why.
            jobs.send(job).ok();
        }
    }

    pub(super) fn done(&self) -> Option<Result<Done, String>> {
        self.done.try_recv().ok()
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

struct AtWork {
    files: Files,
    /// The snapshot that comes, its file, and how much of it is there.
    incoming: Option<(SnapshotId, File, u64)>,
}

impl AtWork {
    fn store(&mut self, pieces: Vec<(SnapshotId, u64, Arc<[u8]>)>) -> io::Result<Option<Done>> {
        let Some((of, file, end)) = &mut self.incoming else { return Ok(None) };
        for (id, offset, bytes) in pieces {
            if id == *of && offset == *end {
                file.write_all_at(&bytes, offset)?;
                *end += bytes.len() as u64;
            }
        }
        file.sync_data()?;
        Ok(Some(Done::Stored { id: *of, durable: *end }))
    }

    fn work(&mut self, job: Job) -> io::Result<Option<Done>> {
        match job {
            Job::Write { log, chain, writer } => {
                let written = self.files.write(log, chain, writer);
                Ok(Some(Done::Written(written.map_err(|error| error.to_string()))))
            }
            Job::Receive(offer) => {
                let (file, durable) = self.files.receive(&offer)?;
                self.incoming = Some((offer.id, file, durable));
                Ok(Some(Done::Stored { id: offer.id, durable }))
            }
            Job::Store { id, offset, bytes } => self.store(vec![(id, offset, bytes)]),
            Job::Check(id) => {
                if self.incoming.take_if(|it| it.0 == id).is_none() {
                    return Ok(None);
                }
                Ok(Some(Done::Checked(id, self.files.check_incoming()?)))
            }
            Job::Verify(id, path) => match verify(&path) {
                Ok(Err(why)) => Ok(Some(Done::Damaged(id, why))),
                Ok(Ok(_)) => Ok(None),
                // It is not kept any more.
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
                Err(error) => Err(error),
            },
            Job::Trim(maintenance, upto) => {
                // What is not dropped now is dropped with the next snapshot; a journal that stopped for good says so
                // to whoever appends.
                trim(&maintenance, upto).ok();
                Ok(None)
            }
        }
    }
}

/// Drops whole segments of batches that end at a place or before.
fn trim(maintenance: &Maintenance, upto: Position) -> Result<(), NormalizeError> {
    let segments = maintenance.segments()?;
    let Some(first) = segments.first() else { return Ok(()) };
    let free = segments.iter().take_while(|segment| segment.kept.is_none()).count();
    let ends = segments[1..].iter().take(free).take_while(|segment| segment.begin <= upto);
    let count = ends.clone().count();
    let Some(end) = ends.last().filter(|_| count > 1 || !first.compacted) else { return Ok(()) };
    maintenance.normalize(first.begin..end.begin, &mut Trimmer::default(), None).map(drop)
}
