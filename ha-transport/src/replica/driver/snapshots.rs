//! Snapshots of a replica: when they are taken, what is dropped after, and how another node's is taken over.

use std::fs::File;
use std::io::ErrorKind;

use super::Driver;
use crate::epochs::Epochs;
use crate::ids::{Chain, NodeId, Seq};
use crate::node::{Effect, Input};
use crate::replica::keeper::{Done, Job};
use crate::replica::snapshots::{Kept, listed, read_piece};
use crate::snapshot::{Head, SnapshotDamage, SnapshotId};

/// How many files of snapshots are held open for followers: also of one that is not kept any more.
const OPEN_MAX: usize = 4;

/// Where somebody waits for a snapshot.
type Waiting = crossbeam_channel::Sender<Result<Option<Seq>, String>>;

/// What a driver knows of its snapshots.
#[derive(Default)]
pub(super) struct Snapshotting {
    /// Bytes of log behind which the next one is taken; never by itself if there are none.
    every: Option<u64>,
    /// Bytes of log that are kept for followers.
    retain: u64,
    /// Bytes that were applied since the last one.
    since: u64,
    /// Who waits for the one that is being written; nothing if none is.
    writing: Option<Vec<Waiting>>,
    /// Whether somebody wants one.
    is_wanted: bool,
    /// Who waits for the next one.
    waiting: Vec<Waiting>,
    /// One that came and was looked through.
    checked: Option<(SnapshotId, Head)>,
    open: Vec<(SnapshotId, File)>,
}

impl Snapshotting {
    pub(super) fn new(every: Option<u64>, retain: u64) -> Self {
        Self { every, retain, ..Self::default() }
    }

    pub(super) const fn applied(&mut self, payload: usize) {
        self.since += payload as u64 + 64;
    }
}

/// Nobody may wait any more.
fn tell(waiting: Vec<Waiting>, answer: &Result<Option<Seq>, String>) {
    waiting.into_iter().for_each(|it| it.send(answer.clone()).unwrap_or_default());
}

impl Driver<'_> {
    /// Makes the state that of the newest snapshot that is whole, or the one before the first batch.
    pub(super) fn rebuild(&mut self) -> Result<(), String> {
        self.read_ahead.clear();
        self.recent.truncate(Seq(0));
        self.snapshotting.since = 0;
        while let Some(kept) = self.log.snapshots().kept.last().cloned() {
            self.apply.reset();
            match self.install(&kept)? {
                Ok(()) => {
                    self.applied = kept.offer.at;
                    return Ok(());
                }
                Err(why) => self.refuse(&kept, why)?,
            }
        }
        let trimmed = self.log.trimmed();
        if trimmed > Seq(0) {
            let why = listed(self.log.refused_snapshots());
            return Err(format!(
                "the batches up to {trimmed} are in no snapshot that is whole{why}"
            ));
        }
        self.apply.reset();
        self.applied = Seq(0);
        Ok(())
    }

    /// Gives a snapshot to the state, if the file is whole.
    fn install(&mut self, kept: &Kept) -> Result<Result<(), SnapshotDamage>, String> {
        let mut body = kept.body().map_err(|error| error.to_string())?;
        let installed = self.apply.install(&mut body);
        Ok(match (installed, body.finish()) {
            (Ok(()), Ok(())) => Ok(()),
            (_, Err(error)) if error.kind() == ErrorKind::InvalidData => Err(SnapshotDamage::Body),
            (_, Err(error)) => return Err(format!("{}: {error}", kept.path.display())),
            // A state that does not take what is whole is another build's: nothing is dropped for that.
            (Err(why), Ok(())) => {
                return Err(format!("the snapshot at batch {} is not taken: {why}", kept.offer.at));
            }
        })
    }

    fn refuse(&mut self, kept: &Kept, why: SnapshotDamage) -> Result<(), String> {
        self.log.snapshots().refuse(kept.offer.id, why).map_err(|error| error.to_string())?;
        let newest = self.log.snapshots().newest();
        self.input(Input::Snapshot(newest))
    }

    /// Somebody wants a snapshot.
    pub(super) fn want_snapshot(&mut self, answer: Waiting) {
        self.snapshotting.is_wanted = true;
        self.snapshotting.waiting.push(answer);
    }

    /// Takes a snapshot if it is time for one.
    pub(super) fn take_snapshot(&mut self) -> Result<(), String> {
        let newest = self.log.snapshots().newest();
        let these = &mut self.snapshotting;
        // Not more often than after as many bytes as one has itself: so no more is written than twice what is replicated.
        let every = these.every.map(|every| every.max(newest.map_or(0, |it| it.bytes)));
        let is_time = every.is_some_and(|every| these.since >= every);
        if these.writing.is_some() || !is_time && !these.is_wanted {
            return Ok(());
        }
        let Some(log) = self.node.snapshot_at(self.applied) else {
            // Nothing new; or it has applied what it has adopted and is not committed yet: later.
            if newest.is_some_and(|it| it.at == self.applied) || self.applied == Seq(0) {
                self.tell_waiting(&Ok(newest.map(|it| it.at)));
            }
            return Ok(());
        };
        (self.snapshotting.since, self.snapshotting.is_wanted) = (0, false);
        let Some(writer) = self.apply.snapshot() else {
            self.tell_waiting(&Ok(None));
            return Ok(());
        };
        let read = self.log.read(self.applied, 1, 1).map_err(|error| error.to_string())?;
        let chain = read.first().map(crate::Batch::chain).ok_or("what was applied is not there")?;
        // Who asks from now on gets a later one.
        self.snapshotting.writing = Some(std::mem::take(&mut self.snapshotting.waiting));
        self.keeper.give(Job::Write { log, chain, writer });
        Ok(())
    }

    /// There is no new one for those who wait.
    fn tell_waiting(&mut self, answer: &Result<Option<Seq>, String>) {
        self.snapshotting.is_wanted = false;
        tell(std::mem::take(&mut self.snapshotting.waiting), answer);
    }

    /// The one that was written is there, or is not.
    fn tell_written(&mut self, answer: &Result<Option<Seq>, String>) {
        tell(self.snapshotting.writing.take().unwrap_or_default(), answer);
    }

    /// Takes in what the keeper has done.
    pub(super) fn kept(&mut self, done: Done) -> Result<(), String> {
        match done {
            Done::Written(Ok(kept)) => {
                // The log was replaced by a later one meanwhile.
                let is_old = self.log.snapshots().newest().is_some_and(|it| it.at >= kept.offer.at);
                let at = kept.offer.at;
                self.log.snapshots().add(kept).map_err(|error| error.to_string())?;
                if !is_old {
                    let newest = self.log.snapshots().newest();
                    self.input(Input::Snapshot(newest))?;
                    self.too_far_behind.clear();
                    self.trim()?;
                }
                self.tell_written(&Ok(Some(at)));
                Ok(())
            }
            // A full disk, say: the log goes on, and the next one is tried when it is time.
            Done::Written(Err(why)) => {
                self.tell_written(&Err(why));
                Ok(())
            }
            Done::Stored { id, durable } => self.input(Input::SnapshotStored { id, durable }),
            Done::Checked(id, head) => {
                let is_of = head.as_ref().map(|head| (head.log.clone(), head.chain));
                self.snapshotting.checked = head.map(|head| (id, head));
                self.input(Input::SnapshotChecked { id, is_of })
            }
            Done::Damaged(id, why) => {
                self.log.snapshots().refuse(id, why).map_err(|error| error.to_string())?;
                self.snapshotting.open.retain(|it| it.0 != id);
                let newest = self.log.snapshots().newest();
                self.snapshotting.is_wanted = true;
                self.input(Input::Snapshot(newest))
            }
        }
    }

    /// Drops what both kept snapshots have, and no follower needs within what is kept for them.
    fn trim(&mut self) -> Result<(), String> {
        let cap = self.log.last_before(self.snapshotting.retain);
        let kept = &self.log.snapshots().kept;
        let older = match &kept[..] {
            [older, _] => older.offer.at,
            // If the only one is damaged, the log must go back to its begin.
            _ => return Ok(()),
        };
        let upto = self.node.trimmable(older, cap);
        if upto > self.log.trimmed() {
            let (maintenance, place) = self.log.trim(upto).map_err(|error| error.to_string())?;
            self.node.trim(upto);
            self.read_ahead.retain(|batch| batch.seq > upto);
            self.keeper.give(Job::Trim(maintenance, place));
        }
        Ok(())
    }

    /// Does what the protocol wants with snapshots.
    pub(super) fn perform_snapshot(&mut self, effect: Effect) -> Result<(), String> {
        match effect {
            Effect::ReadSnapshot { to, id, offset, most } => {
                let bytes = self.piece(id, offset, most).into();
                self.input(Input::SnapshotRead { to, id, offset, bytes })
            }
            Effect::VerifySnapshot { id } => {
                let kept = &self.log.snapshots().kept;
                if let Some(kept) = kept.iter().find(|it| it.offer.id == id) {
                    let path = kept.path.clone();
                    self.keeper.give(Job::Verify(id, path));
                }
                Ok(())
            }
            Effect::Receive(offer) => {
                self.keeper.give(Job::Receive(offer));
                Ok(())
            }
            Effect::StoreSnapshot { id, offset, bytes } => {
                self.keeper.give(Job::Store { id, offset, bytes });
                Ok(())
            }
            Effect::CheckSnapshot { id } => {
                self.keeper.give(Job::Check(id));
                Ok(())
            }
            Effect::Install { id, log, chain } => self.replace(id, log, chain),
            _ => unreachable!("only those that concern snapshots"),
        }
    }

    /// A piece of a snapshot for a follower; empty if it cannot be had any more.
    fn piece(&mut self, id: SnapshotId, offset: u64, most: u64) -> Vec<u8> {
        let open = &mut self.snapshotting.open;
        if !open.iter().any(|it| it.0 == id) {
            let kept = self.log.snapshots().kept.iter().find(|it| it.offer.id == id);
            let Some(file) = kept.and_then(|kept| File::open(&kept.path).ok()) else {
                return Vec::new();
            };
            if open.len() >= OPEN_MAX {
                open.remove(0);
            }
            open.push((id, file));
        }
        // What cannot be read is damaged: the follower gets another one.
        let file = open.iter().find(|it| it.0 == id);
        file.and_then(|(_, file)| read_piece(file, offset, most).ok()).unwrap_or_default()
    }

    /// Takes over a snapshot that came.
    ///
    /// 1. The file gets its name, durable. A crash here leaves the old log and a snapshot of more: opening the log does the rest.
    /// 2. The log says that it goes on behind the snapshot, durable. A crash here leaves the new log and its snapshot.
    /// 3. What was before is dropped: older snapshots, then old batches. What was promised is elsewhere, and stays.
    fn replace(&mut self, id: SnapshotId, log: Epochs, chain: Chain) -> Result<(), String> {
        let text = |error: std::io::Error| error.to_string();
        let checked = self.snapshotting.checked.take().filter(|it| it.0 == id);
        let (_, head) = checked.ok_or("the snapshot was not looked through")?;
        let at = log.last();
        self.appended = None;
        self.log.snapshots().adopt_incoming(head).map_err(text)?;
        self.log.replace(log, chain).map_err(|error| error.to_string())?;
        self.log.snapshots().drop_before(at).map_err(text)?;
        self.rebuild()?;
        let (maintenance, place) = self.log.trim(at).map_err(|error| error.to_string())?;
        self.keeper.give(Job::Trim(maintenance, place));
        Ok(())
    }

    /// A follower cannot be sent what it lacks.
    pub(super) fn too_far_behind(&mut self, node: NodeId) {
        if !self.too_far_behind.contains(&node) {
            self.too_far_behind.push(node);
        }
        // If there can be a snapshot, there will be one to send.
        self.snapshotting.is_wanted = true;
    }
}
