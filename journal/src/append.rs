//! Appending: whole groups, or nothing of them.

use std::sync::PoisonError;

use crate::background::Wake;
use crate::batch::{Batch, End, Part};
use crate::error::{AppendError, CommitError, Poisoned};
use crate::frame::Kind;
use crate::ids::{Lsn, Position};
use crate::options::Level;
use crate::segment::SEGMENT_HEADER;
use crate::shared::{Guard, Shared};
use crate::spare::{Fill, Need, Spare};
use crate::writer::{Sink, Writer, fits, segment_bytes_for};

/// Bytes of one group at most: 1 GiB.
pub const GROUP_BYTES_MAX: usize = 1 << 30;

/// The queue is written by the appending thread when it is longer than this.
const QUEUE_BYTES_MAX: usize = 1 << 20;

/// Bytes of a group at most that waits in the queue for the sync that acknowledges it. A longer one is
/// not worth the copy.
const QUEUED_BYTES_MAX: usize = 64 << 10;

/// Fewer bytes than this are not worth a sync that nobody waits for.
pub(crate) const SYNC_EARLY_BYTES: u64 = 4 << 20;

/// Segments grow by this factor up to `segment_bytes`.
const GROWTH: u64 = 8;

/// Where a group went.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Appended {
    /// The group's last frame.
    pub lsn: Lsn,
    /// The end of the group: what [`Journal::wait_durable`](crate::Journal::wait_durable) waits
    /// for.
    pub position: Position,
}

/// What a part is in its group.
#[derive(Clone, Copy, Debug)]
struct Role {
    kind: Kind,
    more_follows: bool,
    /// Whether another part comes before it.
    continues: bool,
    /// See [`Writer::place`].
    may_queue: bool,
}

impl Shared {
    pub(crate) fn append(&self, batch: &Batch, end: End) -> Result<Appended, AppendError> {
        let (writer, appended) = self.append_locked(batch, end, self.level, false)?;
        let Sink { map, queue, .. } = &writer.active.sink;
        if queue.len() > QUEUE_BYTES_MAX || (map.is_some() && !queue.is_empty()) {
            drop(self.drain(writer));
        }
        Ok(appended)
    }

    /// Appends and waits, without letting go of the lock in between.
    pub(crate) fn commit(&self, batch: &Batch, level: Level) -> Result<Appended, CommitError> {
        self.use_level(level);
        // Whoever leads the sync writes it, together with those of others.
        let may_queue = level.acknowledges_by_sync();
        let (writer, appended) = self.append_locked(batch, End::SafePoint, level, may_queue)?;
        self.wait_locked(writer, appended.position, level.into())?;
        Ok(appended)
    }

    /// Appends a group that will be acknowledged at `level`. If it may be queued, the caller sees to it
    /// that the queue is written.
    fn append_locked(
        &self,
        batch: &Batch,
        end: End,
        level: Level,
        may_queue: bool,
    ) -> Result<(Guard<'_>, Appended), AppendError> {
        if batch.fits_one_frame(self.payload_bytes_max) {
            let part = Part::new(batch.payload(), batch.record_count());
            let may_queue = may_queue && batch.byte_len() <= QUEUED_BYTES_MAX;
            return self.append_parts(&[part], end, level, may_queue);
        }
        if batch.byte_len() > GROUP_BYTES_MAX {
            let bytes = batch.byte_len();
            return Err(AppendError::GroupTooLong { bytes, max: GROUP_BYTES_MAX });
        }
        let max = self.payload_bytes_max;
        let parts = batch.parts(max).map_err(|bytes| AppendError::RecordTooLong { bytes, max })?;
        self.append_parts(&parts, end, level, false)
    }

    fn append_parts(
        &self,
        parts: &[Part<'_>],
        end: End,
        level: Level,
        may_queue: bool,
    ) -> Result<(Guard<'_>, Appended), AppendError> {
        let mut writer = self.lock();
        Self::writable(&writer)?;
        let is_empty = parts.iter().all(|part| part.records == 0);
        if is_empty && (end == End::Batch || !writer.root_open()) {
            let nowhere = appended(&writer); // Nothing to say: nothing is written.
            return Ok((writer, nowhere));
        }
        let mut room = Vec::new();
        if parts.len() > 1 || !writer.active.fits(parts[0].payload.len()) {
            (writer, room) = self.make_room(writer, parts, end)?;
        }
        let mut room = room.into_iter();
        let (last, body) = parts.split_last().expect("a group has at least one part");
        let mut continues = false;
        for part in body {
            let role = Role { kind: Kind::Batch, more_follows: true, continues, may_queue: false };
            self.place(&mut writer, &mut room, part, role)?;
            continues = true;
        }
        let kind = if end == End::SafePoint { Kind::SafePoint } else { Kind::Batch };
        self.place(
            &mut writer,
            &mut room,
            last,
            Role { kind, more_follows: false, continues, may_queue },
        )?;
        writer.end_group(end);
        self.publish(&mut writer);
        for unused in room {
            self.spares.give_back(unused);
        }
        self.after_append(&mut writer, level);
        let appended = appended(&writer);
        Ok((writer, appended))
    }

    /// Places one part, in the next segment if the active one has no room.
    #[inline]
    fn place(
        &self,
        writer: &mut Guard<'_>,
        room: &mut std::vec::IntoIter<Spare>,
        part: &Part<'_>,
        role: Role,
    ) -> Result<(), Poisoned> {
        let Role { kind, more_follows, continues, may_queue } = role;
        if !writer.active.fits(part.payload.len()) {
            let spare = room.next().expect("room was made for every part");
            self.roll(writer, &spare, continues)?;
        }
        writer.place(part, kind, more_follows, may_queue);
        Ok(())
    }

    /// INV-32: takes the spares that the group needs beyond the active segment, before anything is
    /// written.
    fn make_room<'a>(
        &'a self,
        mut writer: Guard<'a>,
        parts: &[Part<'_>],
        end: End,
    ) -> Result<(Guard<'a>, Vec<Spare>), AppendError> {
        // A roll writes the queue itself, so nobody else may be at it.
        while writer.writing {
            writer = self.roles.wait(writer).unwrap_or_else(PoisonError::into_inner);
        }
        Self::writable(&writer)?;
        let may_use_reserve = end == End::SafePoint && writer.root_open();
        let mut room: Vec<Spare> = Vec::new();
        let (mut offset, mut bytes) = (writer.active.offset, writer.active.bytes);
        for part in parts {
            if !fits(offset, bytes, part.payload.len()) {
                let need = self.need(&writer, bytes, part.payload.len());
                // The reserve is made for frames shorter than a whole segment.
                let least = Need {
                    segment_bytes: segment_bytes_for(part.payload.len()),
                    manifest_bytes: writer.manifest.file_bytes(1),
                    ..need
                };
                match self.spares.take(need, least, may_use_reserve) {
                    Ok(spare) => room.push(spare),
                    Err(error) => {
                        let full = error.is_out_of_space();
                        for spare in room {
                            self.spares.give_back(spare);
                        }
                        return Err(if full {
                            AppendError::Full { needed: need.segment_bytes }
                        } else {
                            self.fail(&mut writer, error).into()
                        });
                    }
                }
                bytes = room.last().map_or(bytes, |spare| spare.bytes);
                offset = SEGMENT_HEADER;
            }
            offset += crate::frame::frame_len(part.payload.len() as u64);
        }
        Ok((writer, room))
    }

    /// Makes segments ahead for so many bytes, and leaves one of the small first segments behind if the
    /// bytes do not fit into it.
    pub(crate) fn reserve(&self, bytes: u64) -> Result<(), AppendError> {
        let mut needs = Vec::new();
        let goes_on;
        {
            let writer = self.lock();
            Self::writable(&writer)?;
            let mut segment = writer.active.bytes;
            let left = segment - writer.active.offset;
            goes_on = segment < self.segment_bytes && left < bytes;
            let mut room = if goes_on { 0 } else { left };
            while room < bytes {
                // Whoever knows what comes needs no small segments first.
                segment = self.segment_bytes;
                room += segment - SEGMENT_HEADER;
                // There is time to write zeros.
                needs.push(Need { fill: Fill::Zeros, ..self.need(&writer, segment, 0) });
            }
        }
        self.spares.make_ready(&needs).map_err(|error| {
            if error.is_out_of_space() {
                AppendError::Full { needed: bytes }
            } else {
                self.fail(&mut self.lock(), error).into()
            }
        })?;
        if goes_on { self.roll_now() } else { Ok(()) }
    }

    /// Rolls although the active segment has room.
    pub(crate) fn roll_now(&self) -> Result<(), AppendError> {
        let mut writer = self.lock();
        while writer.writing {
            writer = self.roles.wait(writer).unwrap_or_else(PoisonError::into_inner);
        }
        Self::writable(&writer)?;
        if writer.active.offset == SEGMENT_HEADER {
            return Ok(()); // There is nothing to seal.
        }
        let need = self.need(&writer, writer.active.bytes, 0);
        match self.spares.take(need, need, false) {
            Ok(spare) => self.roll(&mut writer, &spare, false).map_err(AppendError::from)?,
            Err(error) if error.is_out_of_space() => {
                return Err(AppendError::Full { needed: need.segment_bytes });
            }
            Err(error) => return Err(self.fail(&mut writer, error).into()),
        }
        writer.written = writer.end;
        self.publish(&mut writer);
        Ok(())
    }

    /// What the next segment needs, given the size of the one before.
    pub(crate) fn need(&self, writer: &Writer, bytes: u64, payload_len: usize) -> Need {
        let Writer { active, manifest, .. } = writer;
        let grown = (bytes * GROWTH).min(self.segment_bytes);
        Need {
            fill: active.fill_of_next(),
            segment_bytes: grown.max(segment_bytes_for(payload_len)),
            // A page more than needed now: the spare may be used after many others.
            manifest_bytes: manifest.file_bytes(40),
            has_sealed: manifest.segments.len() > 1,
        }
    }

    /// What follows an append and needs no hurry.
    fn after_append(&self, writer: &mut Writer, level: Level) {
        let active = &mut writer.active;
        if !active.next_requested && active.offset > active.bytes / 4 {
            active.next_requested = true;
            let need = self.need(writer, writer.active.bytes, 0);
            self.spares.request_ahead(need);
        }
        if writer.active.offset >= writer.active.sync_early_at {
            self.sync_early(writer, level);
        }
        if !writer.watched {
            writer.watched = self.wake_watcher(Wake::Watch);
        }
    }

    /// Has the background thread sync what nobody waits for yet.
    ///
    /// Where a sync acknowledges the group, whoever waits in the end for many pipelined ones then waits
    /// for the last few MiB. Else only the next roll syncs, while everybody waits: half of what is left
    /// each time, from the middle on, leaves little for that.
    fn sync_early(&self, writer: &mut Writer, level: Level) {
        let active = &mut writer.active;
        let mut step = SYNC_EARLY_BYTES;
        if !level.acknowledges_by_sync() {
            if active.offset < active.bytes / 2 {
                // Looked at again soon, since groups that a sync acknowledges may come in between.
                active.sync_early_at = active.offset + SYNC_EARLY_BYTES;
                return;
            }
            step = step.max((active.bytes - active.offset) / 2);
        }
        active.sync_early_at = active.offset + step;
        if writer.end.position - writer.durable >= SYNC_EARLY_BYTES {
            self.wake_watcher(Wake::Sync);
        }
    }
}

fn appended(writer: &Writer) -> Appended {
    Appended { lsn: Lsn::new(writer.end.lsn), position: Position::new(writer.end.position) }
}
