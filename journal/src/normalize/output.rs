//! The segments that normalization writes, until the manifest lists them.

use std::fmt;
use std::sync::Arc;

use xxhash_rust::xxh3::Xxh3Default;

use super::input::Input;
use super::{LastGroup, Normalize, NormalizeError, Pace, Refusal};
use crate::batch::End;
use crate::bytes::{round_up, size};
use crate::error::{At as _, IoError};
use crate::frame::{self, Content, HEADER, Kind, PAYLOAD_BYTES_MAX, Place, RECORDS_MAX, Salt};
use crate::ids::Lsn;
use crate::manifest::{SealEntry, SegmentEntry};
use crate::payload_crc::payload_crc;
use crate::reader::{Group, GroupPlace};
use crate::record;
use crate::segment::{COPY_OFFSETS, Format, RunEnd, SEGMENT_HEADER, SegmentHeader, segment_name};
use crate::shared::Shared;
use crate::storage::{Access, StorageFile};
use crate::window::{Checked, Window};

/// Bytes that are written at once.
const BUFFER_BYTES: usize = 256 << 10;

/// One file of the output.
pub(super) struct Part {
    /// Its name until it is adopted.
    pub(super) tmp: String,
    pub(super) entry: SegmentEntry,
}

/// The file that frames go to.
struct Open {
    file: Arc<dyn StorageFile>,
    /// Bytes that are not written yet, and where they go.
    buffer: Vec<u8>,
    at: u64,
    digest: Xxh3Default,
    salt: Salt,
}

impl Open {
    fn offset(&self) -> u64 {
        self.at + self.buffer.len() as u64
    }
}

/// What normalization writes.
pub(super) struct Output<'a> {
    pub(super) shared: &'a Arc<Shared>,
    pub(super) pace: Pace<'a>,
    pub(super) parts: Vec<Part>,
    open: Option<Open>,
    /// The range's first frame and position, end of its last frame and position.
    range: (SegmentEntry, SealEntry),
    end_crc: u32,
    /// The end of the range's last group.
    end_position: u64,
    prev_crc: u32,
    /// The frame that is being put together.
    payload: Vec<u8>,
    records: usize,
    lsn: u64,
}

/// Where what remains of a range is written to.
pub struct Survivors<'a>(&'a mut dyn Push);

impl fmt::Debug for Survivors<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Survivors").finish_non_exhaustive()
    }
}

/// Takes one record; hides the lifetimes of [`Output`].
trait Push {
    fn push(
        &mut self,
        lsn: u64,
        encode: &mut dyn FnMut(&mut Vec<u8>),
    ) -> Result<(), NormalizeError>;
}

impl Survivors<'_> {
    /// Writes a record that remains. `lsn` is that of the group that it came in, and not below those
    /// pushed before; `encode` appends the record with its envelope to what it is given.
    ///
    /// # Errors
    ///
    /// [`NormalizeError::Full`] and the others that writing meets; [`NormalizeError::Refused`] if
    /// what was appended is not one record, or out of order.
    pub fn push(
        &mut self,
        lsn: Lsn,
        encode: impl FnOnce(&mut Vec<u8>),
    ) -> Result<(), NormalizeError> {
        let mut encode = Some(encode);
        self.0.push(lsn.get(), &mut |buffer| {
            if let Some(encode) = encode.take() {
                encode(buffer);
            }
        })
    }
}

impl Push for Output<'_> {
    fn push(
        &mut self,
        lsn: u64,
        encode: &mut dyn FnMut(&mut Vec<u8>),
    ) -> Result<(), NormalizeError> {
        let refused = |why: &str| Err(NormalizeError::Refused(why.into()));
        if lsn < self.lsn.max(self.range.0.first_lsn) || lsn > self.range.1.last_lsn {
            return refused("a record that remains is out of order");
        }
        if lsn != self.lsn {
            self.frame(End::Batch)?;
            self.lsn = lsn;
        }
        let start = self.payload.len();
        encode(&mut self.payload);
        if record::check(&self.payload[start..], 1).is_err() {
            return refused("what remains is not one record");
        }
        let too_long = self.payload.len() > self.shared.payload_bytes_max.min(PAYLOAD_BYTES_MAX);
        if self.records > 0 && (too_long || self.records == RECORDS_MAX) {
            // What remains of one group can be longer than the group was: values are the last ones.
            let record = self.payload.split_off(start);
            self.frame(End::Batch)?;
            self.payload.extend_from_slice(&record);
        }
        self.records += 1;
        Ok(())
    }
}

impl<'a> Output<'a> {
    pub(super) fn new(
        shared: &'a Arc<Shared>,
        input: &Input,
        pace: Pace<'a>,
    ) -> Result<Self, NormalizeError> {
        Ok(Self {
            shared,
            pace,
            parts: Vec::new(),
            open: None,
            range: (input.first().clone(), input.end()),
            end_crc: input.last().chain_end().ok_or(NormalizeError::Overtaken)?,
            end_position: 0,
            prev_crc: input.prev_crc(shared)?,
            payload: Vec::new(),
            records: 0,
            lsn: 0,
        })
    }

    /// Writes everything, durably, under temporary names.
    pub(super) fn write(
        &mut self,
        normalize: &mut dyn Normalize,
        last: LastGroup,
    ) -> Result<(), NormalizeError> {
        self.end_position = last.end;
        normalize.write(&mut Survivors(self))?;
        // The range ends with its last group, whether or not anything remains of that.
        if self.lsn != last.lsn.get() {
            self.frame(End::Batch)?;
            self.lsn = last.lsn.get();
        }
        self.close_frame(End::SafePoint)?;
        self.close_part()?;
        let (end_crc, seal) = (self.end_crc, self.range.1);
        let entry = &mut self.parts.last_mut().expect("a frame was written").entry;
        let written = entry.seal.as_mut().expect("the part was closed");
        if written.end_position > last.end {
            return Err(NormalizeError::Refused("what remains is longer than the range".into()));
        }
        (written.end_position, written.last_lsn) = (last.end, seal.last_lsn);
        entry.end_crc = end_crc;
        self.shared.dir.sync().map_err(NormalizeError::Io)
    }

    /// Ends the frame that is being put together, if it has a record.
    fn frame(&mut self, meaning: End) -> Result<(), NormalizeError> {
        if self.records > 0 { self.close_frame(meaning) } else { Ok(()) }
    }

    fn close_frame(&mut self, meaning: End) -> Result<(), NormalizeError> {
        let payload = std::mem::take(&mut self.payload);
        let len = frame::frame_len(payload.len() as u64);
        let full = |open: &Open| open.offset() + len > self.shared.segment_bytes;
        if self.open.as_ref().is_some_and(full) {
            self.close_part()?;
        }
        if self.open.is_none() {
            self.open_part()?;
        }
        let open = self.open.as_mut().expect("a part was opened");
        let content = Content {
            kind: if meaning == End::SafePoint { Kind::SafePoint } else { Kind::Batch },
            more_follows: false,
            compacted: true,
            records: u16::try_from(self.records).expect("counted by `push`"),
            payload_len: u32::try_from(payload.len()).expect("a record is at most 16 MiB"),
            payload_plain_crc: payload_crc(&payload),
        };
        let place = Place {
            salt: open.salt,
            offset: open.offset(),
            position: 0,
            lsn: self.lsn,
            prev_crc: self.prev_crc,
            durable: None,
        };
        let (header, crc) = frame::encode(&content, &place);
        let end = open.buffer.len() + size(len);
        open.buffer.extend_from_slice(&header);
        open.buffer.extend_from_slice(&payload);
        open.buffer.resize(end, 0);
        self.prev_crc = crc;
        (self.payload, self.records) = (payload, 0);
        self.payload.clear();
        if open.buffer.len() >= BUFFER_BYTES { self.flush() } else { Ok(()) }
    }

    /// Writes what is buffered.
    fn flush(&mut self) -> Result<(), NormalizeError> {
        let Some(open) = &mut self.open else { return Ok(()) };
        let part = self.parts.last().expect("a part is open");
        let path = self.shared.dir.file(&part.tmp);
        let needed = open.offset();
        self.shared
            .spares
            .with_reserve(|| open.file.write_at(&open.buffer, open.at).at("write", &path))
            .map_err(|error| NormalizeError::of(error, needed))?;
        open.digest.update(&open.buffer);
        open.at = needed;
        let bytes = open.buffer.len() as u64;
        open.buffer.clear();
        self.pace.step(bytes)
    }

    /// Begins the next file.
    fn open_part(&mut self) -> Result<(), NormalizeError> {
        let dir = &self.shared.dir;
        let (first_lsn, first_position) = match self.parts.last().map(|part| &part.entry) {
            None => (self.range.0.first_lsn, self.range.0.first_position),
            Some(entry) => {
                let seal = entry.seal.expect("the part before was closed");
                (seal.last_lsn + 1, seal.end_position)
            }
        };
        let mut salt = [0; 8];
        let drawn = dir.storage.random(&mut salt).at("draw a salt for", &dir.path);
        drawn.map_err(NormalizeError::Io)?;
        let salt = u64::from_le_bytes(salt);
        let entry = SegmentEntry {
            first_lsn,
            first_position,
            salt,
            physical_bytes: 0,
            generation: self.free_generation(first_lsn)?,
            compacted: true,
            end_crc: 0,
            continues_group: false,
            seal: None,
        };
        let header = SegmentHeader {
            format: Format::CURRENT,
            journal: self.shared.journal,
            session: self.shared.session,
            salt,
            first_lsn,
            first_position,
            prev_crc: self.prev_crc,
            generation: entry.generation,
            continues_group: false,
            compacted: true,
            run_end: Some(RunEnd {
                crc: self.end_crc,
                last_lsn: self.range.1.last_lsn,
                position: self.end_position,
            }),
        };
        let mut buffer = vec![0; size(SEGMENT_HEADER)];
        for offset in COPY_OFFSETS {
            crate::bytes::put(&mut buffer, size(offset), &header.encode());
        }
        let tmp = format!("norm-{}.tmp", self.parts.len());
        let created = self.shared.spares.with_reserve(|| dir.open(&tmp, Access::Create));
        self.parts.push(Part { tmp, entry });
        let file = created.map_err(|error| NormalizeError::of(error, SEGMENT_HEADER))?;
        let salt = Salt::new(if self.shared.bugs.drop_salt { 0 } else { salt });
        self.open = Some(Open { file, buffer, at: 0, digest: Xxh3Default::new(), salt });
        Ok(())
    }

    /// The least generation that no file and no part with this first frame has.
    fn free_generation(&self, first_lsn: u64) -> Result<u16, NormalizeError> {
        let dir = &self.shared.dir;
        let listed = dir.storage.list(&dir.path).at("list", &dir.path);
        let listed = listed.map_err(NormalizeError::Io)?;
        let is_free = |generation: &u16| {
            let name = segment_name(first_lsn, *generation);
            !listed.iter().any(|entry| entry.name == name.as_str())
                && !self.parts.iter().any(|part| part.entry.name() == name)
        };
        (1..=u16::MAX).find(is_free).ok_or(NormalizeError::Overtaken)
    }

    /// Ends the file that frames go to, durably.
    fn close_part(&mut self) -> Result<(), NormalizeError> {
        let Some(open) = &mut self.open else { return Ok(()) };
        let end = open.offset();
        let physical = round_up(end, SEGMENT_HEADER);
        open.buffer.resize(open.buffer.len() + size(physical - end), 0);
        self.flush()?;
        let open = self.open.take().expect("a part is open");
        let part = self.parts.last_mut().expect("a part is open");
        if !self.shared.bugs.normalize_without_sync {
            let path = self.shared.dir.file(&part.tmp);
            let synced = open.file.sync().at("sync", &path);
            synced.map_err(|error| NormalizeError::of(error, physical))?;
        }
        part.entry.physical_bytes = physical;
        part.entry.end_crc = self.prev_crc;
        part.entry.seal = Some(SealEntry {
            bytes: end,
            last_lsn: self.lsn.max(part.entry.first_lsn - 1),
            end_position: part.entry.first_position + (end - SEGMENT_HEADER),
            digest: open.digest.digest128(),
        });
        Ok(())
    }

    /// Reads everything back from the disk, and hands over what it says.
    pub(super) fn read_back(
        &mut self,
        take: &mut dyn FnMut(&Group<'_>) -> Result<(), Refusal>,
    ) -> Result<(), NormalizeError> {
        for part in &self.parts {
            let (file, entry) = (self.shared.dir.file(&part.tmp), &part.entry);
            let verified = read_part(self.shared, &mut self.pace, part, take)?;
            if verified != entry.seal.map(|seal| seal.digest) {
                return Err(NormalizeError::Unverified { file });
            }
        }
        Ok(())
    }

    /// Removes what was written and is not part of the journal; what stays is removed by the next
    /// open.
    pub(super) fn remove(&mut self) {
        self.open = None;
        for part in self.parts.drain(..) {
            // It may have its name already.
            self.shared.dir.discard(&part.tmp);
        }
    }
}

/// Hands over the groups of one file; returns the digest of its bytes, none if a frame is damaged.
fn read_part(
    shared: &Shared,
    pace: &mut Pace<'_>,
    part: &Part,
    take: &mut dyn FnMut(&Group<'_>) -> Result<(), Refusal>,
) -> Result<Option<u128>, NormalizeError> {
    let (path, entry) = (shared.dir.file(&part.tmp), &part.entry);
    let end = entry.seal.map_or(0, |seal| seal.bytes);
    let read = |error| NormalizeError::Io(IoError::new("read", &path, error));
    let cached = shared.dir.open(&part.tmp, Access::Write).map_err(NormalizeError::Io)?;
    cached.drop_cache(u64::MAX).map_err(read)?;
    let file = shared.dir.open(&part.tmp, Access::ReadDirect).map_err(NormalizeError::Io)?;
    let mut window = Window::new(file, entry.physical_bytes);
    let salt = Salt::new(if shared.bugs.drop_salt { 0 } else { entry.salt });
    let mut digest = Xxh3Default::new();
    let mut offset = 0;
    let mut payload = Vec::new();
    let mut step = |window: &mut Window, to: u64| -> Result<(), NormalizeError> {
        while offset < to {
            let bytes = window.bytes(offset, size((to - offset).min(4096))).map_err(read)?;
            digest.update(bytes);
            let count = bytes.len() as u64;
            if count == 0 {
                break;
            }
            offset += count;
            pace.step(count)?;
        }
        Ok(())
    };
    step(&mut window, SEGMENT_HEADER)?;
    let mut at = SEGMENT_HEADER;
    while at < end {
        let Checked::Frame { header, .. } = window.frame(salt, at, end).map_err(read)? else {
            return Ok(None);
        };
        payload.clear();
        let payload_end = at + HEADER + u64::from(header.payload_len);
        let mut from = at + HEADER;
        while from < payload_end {
            let bytes = window.bytes(from, size((payload_end - from).min(4096))).map_err(read)?;
            payload.extend_from_slice(bytes);
            from += (bytes.len() as u64).max(1);
        }
        let next = at + header.total_len();
        let meaning =
            if header.kind() == Ok(Kind::SafePoint) { End::SafePoint } else { End::Batch };
        let records = usize::from(header.records);
        let place = GroupPlace { lsn: header.lsn, begin: at, end: next, meaning, records };
        take(&Group::compacted(&place, &payload)).map_err(NormalizeError::Refused)?;
        step(&mut window, next)?;
        at = next;
    }
    step(&mut window, entry.physical_bytes)?;
    Ok(Some(digest.digest128()))
}
