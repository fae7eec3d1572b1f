//! The check for a repair: goes on behind damage, to tell what would be lost.

use std::path::Path;

use super::{Boundary, Checkup, Rest, Subject, Walk, read_slot, rest};
use crate::durable_slot::Slot;
use crate::error::{Corrupt, CorruptReason, OpenError};
use crate::frame::Salt;
use crate::ids::{Lsn, Position};
use crate::open::SafePoint;
use crate::options::ProgressFn;
use crate::segment::SEGMENT_HEADER;
use crate::storage::Access;
use crate::window::Window;

/// The answer of the check for a repair.
pub(crate) enum Finding {
    /// The journal can be opened.
    Sound,
    Damaged(Damage),
}

/// What is damaged.
#[derive(Debug)]
pub(crate) struct Damage {
    /// The first damage.
    pub(crate) corrupt: Box<Corrupt>,
    /// The last complete safe point before it.
    pub(crate) kept: Option<SafePoint>,
    /// Whether the file of durable slots is damaged.
    pub(crate) slots: bool,
    /// Where frames are damaged; `None` if it is the slots alone.
    pub(crate) tail: Option<DamagedTail>,
    /// D: everything before this was durable once.
    pub(crate) durable: u64,
    /// Valid frames behind the safe point, and their records.
    pub(crate) frames: u64,
    pub(crate) records: u64,
}

/// Where a journal goes back to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DamagedTail {
    pub(crate) safe: Boundary,
    /// Whether not even the header of the first segment holds.
    pub(crate) drops_first: bool,
}

impl DamagedTail {
    /// The check's answer as if the journal ended at the safe point.
    pub(crate) fn checkup(&self, durable: u64) -> Checkup {
        Checkup {
            end: self.safe,
            safe: self.safe,
            safe_lsn: 0,
            clean_end: false,
            written_end: self.safe.offset,
            ends_with_seal: false,
            durable,
            skipped_frames: 0,
            slot: Slot::default(),
        }
    }
}

/// Checks the journal and goes on behind damage. Changes nothing.
pub(crate) fn examine(
    subject: &Subject<'_>,
    progress: Option<&mut ProgressFn>,
) -> Result<Finding, OpenError> {
    let (slot, slots) = match read_slot(subject) {
        Ok(slot) => (slot, None),
        Err(OpenError::Corrupt(corrupt)) => (Slot::default(), Some(corrupt)),
        Err(error) => return Err(error),
    };
    let mut walk = Walk::new(subject, slot, progress);
    let mut damaged = None;
    for index in 0..subject.manifest.segments.len() {
        match walk.segment(index) {
            Ok(None) => {}
            Ok(Some(_)) => break,
            Err(error) => {
                damaged = Some((index, damage_of(&walk, error)?));
                break;
            }
        }
    }
    let Some((index, corrupt)) = damaged else {
        let Some(corrupt) = slots else {
            return Ok(Finding::Sound);
        };
        let (kept, durable) = (kept(&walk), walk.durable);
        let (tail, frames, records) = (None, 0, 0);
        let damage = Damage { corrupt, kept, slots: true, tail, durable, frames, records };
        return Ok(Finding::Damaged(damage));
    };
    let tail = tail_of(&walk, subject);
    let lost = count_lost(subject, &tail.safe, index);
    Ok(Finding::Damaged(Damage {
        kept: kept(&walk),
        slots: slots.is_some(),
        corrupt: slots.unwrap_or(corrupt),
        tail: Some(tail),
        durable: walk.durable.max(lost.durable),
        frames: lost.frames,
        records: lost.records,
    }))
}

/// Damage, of what the walk has stumbled over; bytes that cannot be read are as good as changed.
fn damage_of(walk: &Walk<'_, '_>, error: OpenError) -> Result<Box<Corrupt>, OpenError> {
    match error {
        OpenError::Corrupt(corrupt) => Ok(corrupt),
        OpenError::Io(error) if error.verb == "read" => Ok(Box::new(Corrupt {
            file: error.path,
            offset: walk.at.offset,
            lsn: None,
            expected_lsn: Lsn::new(walk.next_lsn),
            durable_position: Position::new(walk.durable),
            reason: CorruptReason::Unreadable,
            bytes_after: 0,
        })),
        error => Err(error),
    }
}

fn kept(walk: &Walk<'_, '_>) -> Option<SafePoint> {
    (walk.safe_lsn > 0).then(|| SafePoint {
        lsn: Lsn::new(walk.safe_lsn),
        position: Position::new(walk.safe.position),
    })
}

fn tail_of(walk: &Walk<'_, '_>, subject: &Subject<'_>) -> DamagedTail {
    // A compacted segment is good as a whole or not at all.
    let at_begin = walk.safe.segment == 0 && walk.safe.offset == SEGMENT_HEADER;
    let compacted = subject.manifest.segments.first().is_some_and(|first| first.compacted);
    let drops_first = walk.window.is_none() || (at_begin && compacted);
    let mut safe = walk.safe;
    if safe.segment == 0 && safe.offset == SEGMENT_HEADER {
        let first = &subject.manifest.segments[0];
        safe.position = first.first_position;
        safe.last_lsn = first.first_lsn - 1;
    }
    DamagedTail { safe, drops_first }
}

/// Frames behind the safe point that still hold, in the damaged segment and all later ones.
fn count_lost(subject: &Subject<'_>, safe: &Boundary, damaged: usize) -> Rest {
    let mut lost = Rest::NOTHING;
    let segments = &subject.manifest.segments;
    for (index, entry) in segments.iter().enumerate().skip(safe.segment.min(damaged)) {
        let path = subject.dir.join(entry.name());
        let from = if index == safe.segment { safe.offset } else { SEGMENT_HEADER };
        let salt = Salt::new(if subject.bugs.drop_salt { 0 } else { entry.salt });
        if let Some(rest) = scan(subject, &path, entry, salt, from) {
            lost.frames += rest.frames;
            lost.records += rest.records;
            lost.durable = lost.durable.max(rest.durable);
        }
    }
    lost
}

/// What holds in one segment, as far as it can be read at all.
fn scan(
    subject: &Subject<'_>,
    path: &Path,
    entry: &crate::manifest::SegmentEntry,
    salt: Salt,
    from: u64,
) -> Option<Rest> {
    let file = subject.storage.open(path, Access::Read).ok()?;
    let mut window = Window::new(file, entry.physical_bytes);
    let limit = entry.seal.map_or(entry.physical_bytes, |seal| seal.bytes);
    rest::scan(&mut window, entry, salt, from..limit).ok()
}
