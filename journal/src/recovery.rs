//! The check of a journal: reads everything, changes nothing, decides where it ends.
//!
//! Implements `docs/format.md#recovery`. The numbers in comments are the points of that rule.

mod checkup;
mod compacted;
mod examine;
mod header;
mod rest;

use std::io;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use crate::durable_slot::{self, Claims, Slot};
use crate::error::{At as _, Corrupt, CorruptReason, IoError, OpenError};
use crate::frame::{Kind, Salt};
use crate::ids::{Lsn, Position};
use crate::manifest::{SealEntry, SegmentEntry};
use crate::options::{Progress, ProgressFn};
use crate::segment::{SEGMENT_HEADER, SegmentHeader};
use crate::storage::{Access, StorageFile};
use crate::window::{Checked, Window};

pub(crate) use checkup::{Boundary, Checkup, Subject};
pub(crate) use compacted::is_left_over;
pub(crate) use examine::{Damage, DamagedTail, Finding, examine};
pub(crate) use header::{check_format, known_kind, read_header};
use rest::Rest;
pub(crate) use rest::zeros_in_cache;

/// How often progress is reported, in bytes.
const PROGRESS_BYTES: u64 = 1 << 20;

/// How much behind the place where a journal was closed must be zero.
const CLOSED_BYTES: u64 = 128 << 10;

/// Checks the journal.
pub(crate) fn check(
    subject: &Subject<'_>,
    progress: Option<&mut ProgressFn>,
) -> Result<Checkup, OpenError> {
    let slot = read_slot(subject)?;
    let mut walk = Walk::new(subject, slot, progress);
    for index in 0..subject.manifest.segments.len() {
        if let Some(checkup) = walk.segment(index)? {
            return Ok(checkup);
        }
    }
    // Every segment is sealed: the journal ends with the last of them.
    Ok(walk.finish_sealed())
}

/// Reads the `DURABLE` file (2.).
fn read_slot(subject: &Subject<'_>) -> Result<Slot, OpenError> {
    let path = subject.dir.join(durable_slot::NAME);
    let claims = match subject.storage.open(&path, Access::Read) {
        Ok(file) => durable_slot::read(&*file, subject.manifest.journal).at("read", &path)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Claims::Damaged,
        Err(error) => return Err(IoError::new("open", &path, error).into()),
    };
    match claims {
        Claims::Newest(slot) => Ok(slot),
        Claims::Damaged => Err(OpenError::Corrupt(Box::new(Corrupt {
            file: path,
            offset: 0,
            lsn: None,
            expected_lsn: Lsn::default(),
            durable_position: Position::new(subject.manifest.durable),
            reason: CorruptReason::DurableFile,
            bytes_after: 0,
        }))),
    }
}

/// The walk over all segments, in the order of the manifest.
struct Walk<'a, 'p> {
    subject: &'a Subject<'a>,
    slot: Slot,
    progress: Option<&'p mut ProgressFn>,
    done_bytes: u64,
    reported_bytes: u64,
    total_bytes: u64,
    window: Option<Window>,
    /// Behind the last valid frame.
    at: Boundary,
    safe: Boundary,
    safe_lsn: u64,
    next_lsn: u64,
    durable: u64,
    ends_with_seal: bool,
    skipped_frames: u64,
}

/// One step of the walk.
enum Step {
    Frame,
    Damage { reason: CorruptReason, lsn: Option<u64> },
}

impl<'a, 'p> Walk<'a, 'p> {
    fn new(subject: &'a Subject<'a>, slot: Slot, progress: Option<&'p mut ProgressFn>) -> Self {
        let start =
            Boundary { segment: 0, offset: SEGMENT_HEADER, position: 0, last_lsn: 0, prev_crc: 0 };
        let segments = &subject.manifest.segments;
        let sealed = segments.iter().filter_map(|entry| entry.seal);
        let durable = sealed.map(|seal| seal.end_position).max().unwrap_or(0);
        let bytes_of =
            |entry: &SegmentEntry| entry.seal.map_or(entry.physical_bytes, |seal| seal.bytes);
        Self {
            subject,
            slot,
            progress,
            done_bytes: 0,
            reported_bytes: 0,
            total_bytes: segments.iter().map(bytes_of).sum(),
            window: None,
            at: start,
            safe: start,
            safe_lsn: 0,
            next_lsn: 1,
            // 2. What manifest, slots and sealed lengths claim.
            durable: durable.max(subject.manifest.durable).max(slot.position),
            ends_with_seal: false,
            skipped_frames: 0,
        }
    }

    /// Checks one segment; the answer if it is the one that takes further frames.
    fn segment(&mut self, index: usize) -> Result<Option<Checkup>, OpenError> {
        let entry = &self.subject.manifest.segments[index];
        let path = self.subject.dir.join(entry.name());
        if let Some(seal) = entry.seal.filter(|_| entry.compacted) {
            self.compacted(index, entry, &seal, &path)?;
            return Ok(None);
        }
        let file = self.open(index, entry, &path)?;
        let header = self.header(index, entry, &path, &*file)?;
        self.enter(index, entry, &header);
        match &mut self.window {
            Some(window) => window.switch_to(file, entry.physical_bytes),
            window => *window = Some(Window::new(file, entry.physical_bytes)),
        }
        let salt = Salt::new(if self.subject.bugs.drop_salt { 0 } else { entry.salt });
        let limit = entry.seal.map_or(entry.physical_bytes, |seal| seal.bytes);
        let damage = loop {
            if self.at.offset == limit || self.ends_with_seal {
                break None;
            }
            match self.step(salt, limit, &path)? {
                Step::Frame => self.report()?,
                Step::Damage { reason, lsn } => break Some((reason, lsn)),
            }
        };
        match (entry.seal, damage) {
            (Some(seal), None) => {
                self.sealed_end(index, &seal, &path)?;
                Ok(None)
            }
            (Some(_), Some((reason, lsn))) => Err(self.corrupt(index, &path, salt, reason, lsn)?),
            (None, damage) => self.tail(entry, &path, salt, damage).map(Some),
        }
    }

    fn open(
        &self,
        index: usize,
        entry: &SegmentEntry,
        path: &Path,
    ) -> Result<Arc<dyn StorageFile>, OpenError> {
        let direct = self.subject.direct && entry.seal.is_none();
        let access = if direct { Access::ReadDirect } else { Access::Read };
        match self.subject.storage.open(path, access) {
            Ok(file) => Ok(file),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(self.unreadable(index, path, CorruptReason::SegmentMissing))
            }
            Err(error) => Err(IoError::new("open", path, error).into()),
        }
    }

    /// Reads the segment's header and compares it with the manifest.
    fn header(
        &self,
        index: usize,
        entry: &SegmentEntry,
        path: &Path,
        file: &dyn StorageFile,
    ) -> Result<SegmentHeader, OpenError> {
        let Some(header) = read_header(file).at("read", path)? else {
            return Err(self.unreadable(index, path, CorruptReason::SegmentHeader));
        };
        check_format(&header.format, path)?;
        let manifest = self.subject.manifest;
        let continues = index == 0 || header.prev_crc == self.at.prev_crc;
        let listed = header.journal == manifest.journal
            && header.session == manifest.session
            && header.salt == entry.salt
            && header.first_lsn == entry.first_lsn
            && header.first_position == entry.first_position
            && header.generation == entry.generation
            && header.compacted == entry.compacted
            && header.continues_group == entry.continues_group;
        if listed && continues {
            Ok(header)
        } else {
            Err(self.unreadable(index, path, CorruptReason::SegmentForeign))
        }
    }

    /// Moves to the begin of a segment.
    fn enter(&mut self, index: usize, entry: &SegmentEntry, header: &SegmentHeader) {
        let was_safe = index == 0 || self.safe == self.at;
        self.at = Boundary {
            segment: index,
            offset: SEGMENT_HEADER,
            position: entry.first_position,
            last_lsn: entry.first_lsn - 1,
            prev_crc: header.prev_crc,
        };
        self.next_lsn = entry.first_lsn;
        self.ends_with_seal = false;
        if was_safe {
            self.safe = self.at;
        }
    }

    /// Takes the next frame in.
    fn step(&mut self, salt: Salt, limit: u64, path: &Path) -> Result<Step, OpenError> {
        let window = self.window.as_mut().expect("the segment's window was made on entry");
        let checked = window.frame(salt, self.at.offset, limit).at("read", path)?;
        let (header, crc) = match checked {
            Checked::Frame { header, crc } => (header, crc),
            Checked::Damaged { reason, lsn } => return Ok(Step::Damage { reason, lsn }),
        };
        let damage = |reason| Ok(Step::Damage { reason, lsn: Some(header.lsn) });
        if header.lsn != self.next_lsn {
            return damage(CorruptReason::Sequence);
        }
        if header.prev_crc != self.at.prev_crc {
            return damage(CorruptReason::Chain);
        }
        let kind = known_kind(&header, self.at.offset, path)?;
        if let Some(claim) = header.claim(self.at.position) {
            self.durable = self.durable.max(claim.get());
        }
        let was_safe = self.safe == self.at;
        let len = header.total_len();
        self.at.offset += len;
        self.at.position += len;
        self.at.last_lsn = header.lsn;
        self.at.prev_crc = crc;
        self.next_lsn += 1;
        self.done_bytes += len;
        // INV-33: a group of frames ends where the last one says so.
        if kind == Kind::SafePoint && !header.more_follows() {
            self.safe = self.at;
            self.safe_lsn = header.lsn;
        } else if was_safe && !kind.is_data() {
            self.safe = self.at;
        }
        self.ends_with_seal = kind == Kind::Seal;
        self.skipped_frames += u64::from(kind == Kind::Skippable);
        Ok(Step::Frame)
    }

    /// Reports progress about once per MiB.
    fn report(&mut self) -> Result<(), OpenError> {
        if self.done_bytes - self.reported_bytes < PROGRESS_BYTES {
            return Ok(());
        }
        self.reported_bytes = self.done_bytes;
        let Some(progress) = self.progress.as_mut() else {
            return Ok(());
        };
        let position = Position::new(self.at.position);
        let report =
            Progress { done_bytes: self.done_bytes, total_bytes: self.total_bytes, position };
        match progress(report) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(OpenError::Stopped { position }),
        }
    }

    /// Compares the end of a sealed segment with the manifest.
    fn sealed_end(&self, index: usize, seal: &SealEntry, path: &Path) -> Result<(), OpenError> {
        let matches = self.at.offset == seal.bytes
            && self.at.position == seal.end_position
            && self.next_lsn == seal.last_lsn + 1
            && u128::from(self.at.prev_crc) == seal.digest;
        if matches {
            return Ok(());
        }
        let seal_inside = self.ends_with_seal && self.at.offset != seal.bytes;
        let reason = if seal_inside { CorruptReason::Seal } else { CorruptReason::SealedLength };
        Err(self.unreadable(index, path, reason))
    }

    /// Decides what follows the last valid frame of the journal (3., 4., 7.).
    fn tail(
        &mut self,
        entry: &SegmentEntry,
        path: &Path,
        salt: Salt,
        damage: Option<(CorruptReason, Option<u64>)>,
    ) -> Result<Checkup, OpenError> {
        if self.ends_where_it_was_closed(entry, path)? {
            return Ok(self.checkup(true, self.at.offset));
        }
        let rest = self.rest(entry, path, salt)?;
        let (reason, lsn) = damage.unwrap_or((CorruptReason::EndMissing, None));
        // INV-24: what was durable cannot be a torn tail.
        if self.at.position < self.durable && !self.subject.bugs.ignore_claims {
            return Err(self.corrupt_at(path, reason, lsn, &rest));
        }
        if self.subject.same_incarnation && rest.frames > 0 && !self.subject.bugs.ignore_claims {
            return Err(self.corrupt_at(path, CorruptReason::HoleWithoutPowerLoss, lsn, &rest));
        }
        let clean_end = rest.is_zero && (!self.subject.direct || self.cache_agrees(entry, path)?);
        Ok(self.checkup(clean_end, rest.written_end))
    }

    fn checkup(&self, clean_end: bool, written_end: u64) -> Checkup {
        Checkup {
            end: self.at,
            safe: self.safe,
            safe_lsn: self.safe_lsn,
            clean_end,
            written_end,
            ends_with_seal: self.ends_with_seal,
            durable: self.durable,
            skipped_frames: self.skipped_frames,
            slot: self.slot,
        }
    }

    /// Whether the walk has come to where the journal was closed in order, and nobody went on there
    /// (4.). Nothing was lost then and nothing can be torn: what follows is as it was made, and of a
    /// large segment only what an append would have written first is looked at.
    fn ends_where_it_was_closed(
        &mut self,
        entry: &SegmentEntry,
        path: &Path,
    ) -> Result<bool, IoError> {
        let manifest = self.subject.manifest;
        if !manifest.closed || self.at.position != manifest.durable {
            return Ok(false);
        }
        let window = self.window.as_mut().expect("the segment's window was made on entry");
        let to = entry.physical_bytes.min(self.at.offset + CLOSED_BYTES);
        let whole = window.file_len().at("examine", path)? >= entry.physical_bytes;
        Ok(whole && rest::is_zero(window, self.at.offset, to).at("read", path)?)
    }

    /// Whether the page cache, too, shows zeros behind the end. After a failed sync it may keep what
    /// never reached the disk as long as somebody maps the file; frames must not go next to that.
    fn cache_agrees(&self, entry: &SegmentEntry, path: &Path) -> Result<bool, OpenError> {
        let cached = self.subject.storage.open(path, Access::Read).at("open", path)?;
        let to = entry.physical_bytes.min(self.subject.zeros_from);
        let zero = rest::is_zero_in_cache(&*cached, self.at.offset, to);
        Ok(zero.at("read", path)?)
    }

    /// The answer for a journal without a segment that takes frames.
    fn finish_sealed(&self) -> Checkup {
        Checkup { ends_with_seal: true, ..self.checkup(true, self.at.offset) }
    }

    /// Scans what follows the walk's end in a segment (1.) and takes its claims in (2.).
    fn rest(&mut self, entry: &SegmentEntry, path: &Path, salt: Salt) -> Result<Rest, OpenError> {
        let window = self.window.as_mut().expect("the segment's window was made on entry");
        let limit = match entry.seal {
            Some(seal) => seal.bytes,
            None => entry.physical_bytes.min(self.subject.zeros_from),
        };
        let rest = rest::scan(window, entry, salt, self.at.offset..limit).at("read", path)?;
        self.durable = self.durable.max(rest.durable);
        Ok(rest)
    }

    /// Damage inside a sealed segment: those bytes were durable (3.).
    fn corrupt(
        &mut self,
        index: usize,
        path: &Path,
        salt: Salt,
        reason: CorruptReason,
        lsn: Option<u64>,
    ) -> Result<OpenError, OpenError> {
        let entry = &self.subject.manifest.segments[index];
        let rest = self.rest(entry, path, salt)?;
        Ok(self.corrupt_at(path, reason, lsn, &rest))
    }

    fn corrupt_at(
        &self,
        path: &Path,
        reason: CorruptReason,
        lsn: Option<u64>,
        rest: &Rest,
    ) -> OpenError {
        OpenError::Corrupt(Box::new(Corrupt {
            file: path.to_path_buf(),
            offset: self.at.offset,
            lsn: lsn.map(Lsn::new),
            expected_lsn: Lsn::new(self.next_lsn),
            durable_position: Position::new(self.durable),
            reason,
            bytes_after: rest.written_end.saturating_sub(self.at.offset),
        }))
    }

    /// Damage to a whole segment.
    fn unreadable(&self, index: usize, path: &Path, reason: CorruptReason) -> OpenError {
        let entry = &self.subject.manifest.segments[index];
        OpenError::Corrupt(Box::new(Corrupt {
            file: path.to_path_buf(),
            offset: 0,
            lsn: None,
            expected_lsn: Lsn::new(entry.first_lsn),
            durable_position: Position::new(self.durable),
            reason,
            bytes_after: entry.seal.map_or(entry.physical_bytes, |seal| seal.bytes),
        }))
    }
}
