//! Rolling: seal the active segment, go on in a spare.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::append::SYNC_EARLY_BYTES;
use crate::batch::Part;
use crate::error::{At as _, IoError, Poisoned};
use crate::files::Dir;
use crate::frame::{Kind, Salt};
use crate::ids::Uuid;
use crate::manifest::{Manifest, SealEntry, SegmentEntry};
use crate::mmap::MapPermit;
use crate::options::WriteMode;
use crate::rounds::FLIGHTS;
use crate::segment::{Format, SEGMENT_HEADER, SegmentHeader};
use crate::shared::{Bugs, Guard, Shared};
use crate::spare::Spare;
use crate::storage::{Access, StorageFile};
use crate::writer::{Active, Sink, Writer};

/// Where a new segment begins.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Begin {
    pub(crate) first_lsn: u64,
    pub(crate) first_position: u64,
    pub(crate) prev_crc: u32,
    /// Whether a group goes on in it.
    pub(crate) continues_group: bool,
}

/// What all segments of an open journal have in common.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SegmentMaker<'a> {
    pub(crate) dir: &'a Dir,
    pub(crate) mode: WriteMode,
    pub(crate) journal: Uuid,
    pub(crate) session: Uuid,
    pub(crate) bugs: Bugs,
}

impl SegmentMaker<'_> {
    /// Turns a spare into a segment, durably, and lists it in a manifest that is not written yet.
    pub(crate) fn make(
        &self,
        manifest: &mut Manifest,
        begin: &Begin,
        spare: &Spare,
    ) -> Result<Active, IoError> {
        let mut salt = [0; 8];
        self.dir.storage.random(&mut salt).at("draw a salt for", &self.dir.path)?;
        let salt = u64::from_le_bytes(salt);
        let entry = SegmentEntry {
            first_lsn: begin.first_lsn,
            first_position: begin.first_position,
            salt,
            physical_bytes: spare.bytes,
            generation: 0,
            compacted: false,
            end_crc: 0,
            continues_group: begin.continues_group,
            seal: None,
        };
        let header = SegmentHeader {
            format: Format::CURRENT,
            journal: self.journal,
            session: self.session,
            salt,
            first_lsn: begin.first_lsn,
            first_position: begin.first_position,
            prev_crc: begin.prev_crc,
            generation: 0,
            continues_group: begin.continues_group,
            compacted: false,
            run_end: None,
        };
        let name = entry.name();
        self.dir.make_segment(&spare.name, &*spare.file, &header, &name)?;
        manifest.segments.push(entry);
        let active = Place {
            path: self.dir.file(&name),
            file: spare.file.clone(),
            salt,
            offset: SEGMENT_HEADER,
            bytes: spare.bytes,
        };
        self.activate(active)
    }

    /// Opens the way of frames into a segment.
    pub(crate) fn activate(&self, place: Place) -> Result<Active, IoError> {
        let Place { path, file, salt, offset, bytes } = place;
        let sink = make_sink(self.mode, &*file, bytes).at("map", &path)?;
        let syncs = self.sync_handles(&path, &file)?;
        let salt = Salt::new(if self.bugs.drop_salt { 0 } else { salt });
        Ok(Active {
            path,
            file,
            syncs,
            sink,
            salt,
            offset,
            bytes,
            sync_announced: offset,
            syncs_begun: 0,
            sync_early_at: offset + SYNC_EARLY_BYTES,
            next_requested: false,
        })
    }
}

impl SegmentMaker<'_> {
    /// The handles of rounds of syncing. None of them is that of a roll or of another round: whoever
    /// syncs through the handle of somebody else may find that the failure was told already.
    fn sync_handles(
        &self,
        path: &Path,
        file: &Arc<dyn StorageFile>,
    ) -> Result<Vec<Arc<dyn StorageFile>>, IoError> {
        if self.bugs.share_sync_handle {
            return Ok(vec![Arc::clone(file); FLIGHTS]);
        }
        let dir = &self.dir.path;
        if !self.dir.storage.tells_every_handle(dir).at("examine", dir)? {
            return Ok(vec![Arc::clone(file)]);
        }
        let open = |_| self.dir.storage.open(path, Access::Write).at("open", path);
        (0..FLIGHTS).map(open).collect()
    }
}

/// A place in a segment, for the frames to come.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) path: PathBuf,
    pub(crate) file: Arc<dyn StorageFile>,
    pub(crate) salt: u64,
    pub(crate) offset: u64,
    pub(crate) bytes: u64,
}

impl Shared {
    pub(crate) fn maker(&self) -> SegmentMaker<'_> {
        SegmentMaker {
            dir: &self.dir,
            mode: self.mode,
            journal: self.journal,
            session: self.session,
            bugs: self.bugs,
        }
    }

    /// Makes the spare the active segment. Nobody else writes the queue meanwhile.
    ///
    /// 1. The seal is written and the old segment synced: a sealed length is a claim of durability.
    /// 2. The spare gets its header, is synced and renamed, and the directory is synced. A crash
    ///    here leaves a segment that no manifest lists; the next open moves it aside.
    /// 3. The manifest lists the old segment as sealed and the new one as active.
    /// 4. Only now do frames go into the new segment, so none can be acknowledged before.
    pub(crate) fn roll(
        &self,
        writer: &mut Guard<'_>,
        spare: &Spare,
        continues_group: bool,
    ) -> Result<(), Poisoned> {
        debug_assert!(!writer.writing, "the caller has waited for the queue");
        match self.try_roll(writer, spare, continues_group) {
            Ok(()) => {
                self.wake_all(writer);
                Ok(())
            }
            Err(error) => Err(self.fail(writer, error)),
        }
    }

    fn try_roll(
        &self,
        writer: &mut Guard<'_>,
        spare: &Spare,
        continues_group: bool,
    ) -> Result<(), IoError> {
        writer.place(&Part::new(&[], 0), Kind::Seal, false, false);
        Self::write_queue(writer)?;
        if let Some(release) = writer.active.announce_sync() {
            release();
        }
        if !self.bugs.roll_without_sync {
            writer.active.file.sync().at("sync", &writer.active.path)?;
        }
        let mut next = writer.manifest.clone();
        seal_last(&mut next, writer);
        let (streams, sealed) = (writer.active.streams(), writer.active.bytes);
        let begin = Begin {
            first_lsn: writer.end.lsn + 1,
            first_position: writer.end.position,
            prev_crc: writer.prev_crc,
            continues_group,
        };
        let active = self.maker().make(&mut next, &begin, spare)?;
        next.durable = writer.end.position;
        next.generation += 1;
        // The filler made room for the manifest; if many segments were listed since, the file grows.
        self.dir.switch_manifest(Some(&writer.manifest), &next, Some(&spare.manifest_name))?;
        self.published.generation.store(next.generation, Ordering::Release);
        writer.manifest = next;
        writer.active = active;
        writer.durable = writer.end.position;
        self.publish_durable(writer, writer.end.safe);
        self.upkeep.sealed();
        if streams {
            let sealed_at = writer.manifest.segments.len() - 2;
            let name = writer.manifest.segments[sealed_at].name();
            writer.streamed.push(name, sealed, |name| self.spares.forget(name));
        }
        Ok(())
    }

    /// Writes what is queued, under the lock.
    pub(crate) fn write_queue(writer: &mut Writer) -> Result<(), IoError> {
        let active = &mut writer.active;
        let Sink { queue, at, .. } = &mut active.sink;
        if !queue.is_empty() {
            active.file.write_at(queue, *at).at("write", &active.path)?;
            queue.clear();
        }
        Ok(())
    }
}

/// Opens the way of frames into a segment.
fn make_sink(mode: WriteMode, file: &dyn StorageFile, bytes: u64) -> std::io::Result<Sink> {
    let map = match mode {
        WriteMode::Map => Some(file.map_write(bytes, MapPermit::for_segment())?),
        WriteMode::Pwrite => None,
    };
    Ok(Sink { map, ..Sink::default() })
}

/// Seals the manifest's last segment where the writer stands.
fn seal_last(manifest: &mut Manifest, writer: &Writer) {
    let last = manifest.segments.last_mut().expect("the active segment is listed");
    last.seal = Some(SealEntry {
        bytes: writer.active.offset,
        last_lsn: writer.end.lsn,
        end_position: writer.end.position,
        digest: u128::from(writer.prev_crc),
    });
}

#[cfg(all(test, not(shuttle)))] // they open journals outside of a schedule
mod tests {
    use super::*;
    use crate::group::Want;
    use crate::ids::Position;
    use crate::testing::SimDisk;
    use crate::{Batch, End, Journal, Level, Options};

    fn open(disk: &SimDisk, options: Options) -> Journal {
        let options = options.storage(Arc::new(disk.clone())).level(Level::Process);
        Journal::open("/journal", options).expect("a new journal").0
    }

    fn append(journal: &Journal, bytes: usize) -> Position {
        let mut batch = Batch::new();
        batch.push(1, 1, &vec![7; bytes]).expect("short");
        journal.append(&batch, End::SafePoint).expect("room").position
    }

    fn until(what: impl Fn() -> bool) {
        while !what() {
            std::thread::yield_now();
        }
    }

    #[test]
    fn of_a_stream_the_oldest_sealed_segments_are_forgotten() {
        for streams in [true, false] {
            let disk = SimDisk::new(1);
            let journal = open(&disk, Options::new().segment_bytes(1 << 20));
            let before = disk.forgotten().len();
            for _ in 0..150 {
                let end = append(&journal, 50_000);
                if !streams {
                    journal.wait_durable(end).expect("durable");
                }
            }
            // The one that takes frames, and of a stream two of 1 MiB that were sealed last.
            let names: Vec<_> =
                journal.shared().lock().manifest.segments.iter().map(SegmentEntry::name).collect();
            let large = names
                .iter()
                .filter(|name| disk.content(format!("/journal/{name}")).len() == 1 << 20);
            let large: Vec<_> = large.cloned().collect();
            assert!(large.len() > 5, "{names:?}");
            let expected = if streams { &large[..large.len() - 3] } else { &[] };
            until(|| disk.forgotten().len() - before >= expected.len());
            journal.close().expect("closes");
            assert_eq!(disk.forgotten()[before..], *expected, "streams: {streams}");
        }
    }

    /// Else they would wait for the end of a sync that covers nothing of theirs.
    #[test]
    fn a_roll_wakes_those_who_wait_for_another_round() {
        let disk = SimDisk::new(1);
        let journal = open(&disk, Options::new().without_background());
        let first = append(&journal, 10);
        let shared = journal.shared();
        // A leader is at work for as long as we like.
        let place = {
            let mut writer = shared.lock();
            let place = writer.rounds.begin();
            writer.rounds.close(place, first.get());
            place
        };
        let second = append(&journal, 10);
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| shared.wait(second, Want::Durable));
            until(|| shared.lock().rounds.is_anybody_waiting());
            journal.roll().expect("room");
            waiter.join().expect("no panic").expect("durable by the roll");
        });
        let _gates = shared.lock().rounds.end(place);
        journal.close().expect("closes");
    }

    #[test]
    fn a_segment_has_as_many_handles_to_sync_as_the_storage_tells_of_failures() {
        for tells_all in [true, false] {
            let disk = SimDisk::new(1);
            disk.set_tells_every_handle(tells_all);
            let journal = open(&disk, Options::new().without_background());
            for _ in 0..2 {
                let writer = journal.shared().lock();
                let Active { file, syncs, .. } = &writer.active;
                if tells_all {
                    // None is told of what another one was told.
                    let [first, second] = &syncs[..] else { panic!("{syncs:?}") };
                    assert!(!Arc::ptr_eq(first, second));
                    assert!(syncs.iter().all(|sync| !Arc::ptr_eq(sync, file)));
                } else {
                    // Whoever rolls, and whoever syncs, is told of everything.
                    assert!(syncs.len() == 1 && Arc::ptr_eq(&syncs[0], file));
                }
                drop(writer);
                append(&journal, 10);
                journal.roll().expect("room");
            }
            journal.close().expect("closes");
        }
    }
}
