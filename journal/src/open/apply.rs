//! Carrying out what the check has decided, up to a journal that takes appends.

use std::path::PathBuf;
use std::sync::Arc;

use super::{Found, Opened, SafePoint, first_bytes};
use crate::bytes::size;
use crate::cut::{self, Quarantined};
use crate::durable_slot::{self, DurableSlots};
use crate::error::{IoError, OpenError};
use crate::files::Dir;
use crate::frame::{ALIGN, HEADER, PAYLOAD_BYTES_MAX};
use crate::ids::{Lsn, Position};
use crate::manifest::{Manifest, SealEntry};
use crate::options::{Options, WriteMode};
use crate::pins::Pins;
use crate::primitives::atomic::{AtomicU64, Ordering};
use crate::primitives::{Condvar, Mutex};
use crate::recovery::Checkup;
use crate::roll::{Begin, Place, SegmentMaker};
use crate::rounds::Rounds;
use crate::segment::SEGMENT_HEADER;
use crate::shared::{Bugs, Shared};
use crate::spare::{Spare, Spares};
use crate::storage::{Access, Incarnation};
use crate::upkeep::Upkeep;
use crate::writer::{Active, Mark, Published, SEAL_BYTES, Streamed, Writer};
use crate::yields::Yields;

/// The spare that becomes a segment while opening.
const FIRST_SPARE: &str = "spare-0.tmp";

/// A journal between the decision and the first append.
pub(super) struct Opening {
    pub(super) dir: Dir,
    pub(super) manifest: Manifest,
    pub(super) checkup: Checkup,
    pub(super) write_mode: WriteMode,
    pub(super) incarnation: Incarnation,
    pub(super) bugs: Bugs,
}

impl Opening {
    /// Cuts if needed, makes a segment if needed, and switches the manifest, once.
    pub(super) fn apply(
        &mut self,
        first_bytes: u64,
    ) -> Result<(Active, Vec<Quarantined>), OpenError> {
        let checkup = self.checkup.clone();
        if checkup.needs_cut() {
            return self.apply_cut(&checkup, first_bytes);
        }
        let mut next = self.manifest.clone();
        let active = if checkup.ends_with_seal {
            if let Some(last) = next.segments.last_mut() {
                // A crash interrupted a roll behind its seal: complete it.
                last.seal.get_or_insert(SealEntry {
                    bytes: checkup.end.offset,
                    last_lsn: checkup.end.last_lsn,
                    end_position: checkup.end.position,
                    digest: u128::from(checkup.end.prev_crc),
                });
            }
            let begin = Begin {
                first_lsn: checkup.end.last_lsn + 1,
                first_position: checkup.end.position,
                prev_crc: checkup.end.prev_crc,
                continues_group: false,
            };
            self.begin_segment(&mut next, &begin, first_bytes)?
        } else {
            self.continue_segment()?
        };
        next.durable = checkup.end.position;
        self.switch(next)?;
        Ok((active, Vec::new()))
    }

    fn apply_cut(
        &mut self,
        checkup: &Checkup,
        first_bytes: u64,
    ) -> Result<(Active, Vec<Quarantined>), OpenError> {
        // INV-25, INV-26: files are made beside the old ones until the manifest switches to them. From
        // then on the discarded frames are in no listed segment, and before it nothing has happened.
        let (safe, end) = (&checkup.safe, checkup.written_end);
        let mut quarantined = cut::quarantine_tail(&self.dir, &self.manifest, safe, end)?;
        let (mut next, begin) = cut::cut(&self.manifest, safe);
        let leftover = cut::shorten(&self.dir, &mut next, self.bugs.drop_salt)?;
        let active = self.begin_segment(&mut next, &begin, first_bytes)?;
        let before = self.switch(next)?;
        quarantined.extend(cut::finish(&self.dir, &before, safe, end, leftover)?);
        Ok((active, quarantined))
    }

    /// Makes `next` the manifest of this start of the system; returns the one before.
    pub(super) fn switch(&mut self, mut next: Manifest) -> Result<Manifest, IoError> {
        next.incarnation = self.incarnation;
        next.closed = false;
        // A full disk keeps nobody from opening a journal of which nothing has changed; that its end
        // is durable, the first frame says.
        let says_nothing_new = Manifest { durable: self.manifest.durable, ..next.clone() };
        let is_needless = says_nothing_new == self.manifest;
        next.generation += 1;
        match self.dir.switch_manifest(Some(&self.manifest), &next, None) {
            Err(error) if is_needless && error.is_out_of_space() => {
                next.clone_from(&self.manifest);
            }
            switched => switched?,
        }
        Ok(std::mem::replace(&mut self.manifest, next))
    }

    fn maker(&self) -> SegmentMaker<'_> {
        SegmentMaker {
            dir: &self.dir,
            mode: self.write_mode,
            journal: self.manifest.journal,
            session: self.manifest.session,
            bugs: self.bugs,
        }
    }

    /// Goes on in the last segment.
    fn continue_segment(&self) -> Result<Active, IoError> {
        let entry = self.manifest.segments.last().expect("the journal ends in a segment");
        let path = self.dir.file(&entry.name());
        let file = self.dir.open(&entry.name(), Access::Write)?;
        self.maker().activate(Place {
            path,
            file,
            salt: entry.salt,
            offset: self.checkup.end.offset,
            bytes: entry.physical_bytes,
        })
    }

    pub(super) fn begin_segment(
        &self,
        next: &mut Manifest,
        begin: &Begin,
        bytes: u64,
    ) -> Result<Active, IoError> {
        let file = self.dir.fill(FIRST_SPARE, bytes)?;
        let spare = Spare {
            name: FIRST_SPARE.to_owned(),
            file,
            bytes,
            manifest_name: String::new(),
            manifest_bytes: 0,
        };
        self.maker().make(next, begin, &spare)
    }

    pub(super) fn opened(
        &self,
        exists: bool,
        after_power_loss: bool,
        quarantined: Vec<Quarantined>,
        moved_files: Vec<PathBuf>,
    ) -> Opened {
        let found = match (exists, self.checkup.needs_cut()) {
            (false, _) => Found::Created,
            (true, false) => Found::Clean,
            (true, true) => Found::Cut,
        };
        let safe_point = (self.checkup.safe_lsn > 0).then(|| SafePoint {
            lsn: Lsn::new(self.checkup.safe_lsn),
            position: Position::new(self.checkup.safe.position),
        });
        Opened {
            found,
            safe_point,
            quarantined,
            moved_files,
            journal: self.manifest.journal,
            session: self.manifest.session,
            write_mode: self.write_mode,
            after_power_loss,
            skipped_frames: self.checkup.skipped_frames,
        }
    }

    pub(super) fn into_shared(
        self,
        active: Active,
        options: &Options,
    ) -> Result<Shared, OpenError> {
        let slot_file = self.dir.open(durable_slot::NAME, Access::Write)?;
        let journal = self.manifest.journal;
        let slots = DurableSlots::new(slot_file, journal, self.checkup.slot);
        let spares = Spares::new(self.dir.clone(), first_bytes(options));
        let (dir, mode, bugs) = (self.dir.clone(), self.write_mode, self.bugs);
        let writer = self.into_writer(active);
        let published = Published::default();
        published.leaderless.store(u64::MAX, Ordering::Relaxed);
        published.update(&writer);
        published.durable.store(writer.durable, Ordering::Relaxed);
        published.safe.store(writer.end.safe, Ordering::Relaxed);
        published.generation.store(writer.manifest.generation, Ordering::Relaxed);
        let trimmed = writer.manifest.segments.first().map_or(0, |first| first.first_position);
        published.trimmed.store(trimmed, Ordering::Relaxed);
        let shared = Shared {
            journal,
            session: writer.manifest.session,
            level: options.level,
            mode,
            segment_bytes: options.segment_bytes,
            payload_bytes_max: payload_bytes_max(options.segment_bytes),
            bugs,
            writer: Mutex::new(writer),
            gates: Default::default(),
            yields: Yields::default(),
            roles: Condvar::new(),
            published,
            spares: Arc::new(spares),
            slots: Mutex::new(slots),
            interval_ns: AtomicU64::new(u64::MAX),
            upkeep: Upkeep::default(),
            truncating: Mutex::new(()),
            watch: Mutex::new(None),
            pins: Pins::default(),
            dir,
        };
        shared.use_level(options.level);
        Ok(shared)
    }

    fn into_writer(self, active: Active) -> Writer {
        let entry = self.manifest.segments.last().expect("there is an active segment");
        let continued = active.offset > SEGMENT_HEADER;
        let (position, lsn) = if continued {
            (self.checkup.end.position, self.checkup.end.last_lsn)
        } else {
            (entry.first_position, entry.first_lsn - 1)
        };
        let kept = if self.checkup.needs_cut() { self.checkup.safe } else { self.checkup.end };
        let end = Mark { position, lsn, safe: position };
        Writer {
            active,
            streamed: Streamed::default(),
            end,
            written: end,
            durable: position,
            slotted: self.checkup.slot.position,
            prev_crc: kept.prev_crc,
            writing: false,
            rounds: Rounds::default(),
            watched: false,
            poison: None,
            tails: Vec::new(),
            manifest: self.manifest,
        }
    }
}

/// Payload bytes that a segment of this size can hold in one frame.
fn payload_bytes_max(segment_bytes: u64) -> usize {
    let room = segment_bytes - SEGMENT_HEADER - HEADER - SEAL_BYTES;
    size(room - room % ALIGN).min(PAYLOAD_BYTES_MAX)
}
