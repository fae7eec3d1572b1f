//! Reading groups back, in order, verified again.

mod adopt;
mod boundary;
mod current;
mod source;

use std::io;
use std::path::Path;

use crate::batch::End;
use crate::error::{At as _, Corrupt, CorruptReason, IoError, ReadError};
use crate::frame::{HEADER_BYTES, Header, Kind, Salt};
use crate::ids::{Lsn, Position};
use crate::manifest::SegmentEntry;
use crate::record::{self, Records};
use crate::recovery::{check_format, known_kind, read_header};
use crate::segment::SEGMENT_HEADER;
use crate::tail::Seen;

pub(crate) use boundary::find_safe_point;
use current::{At, Current, Payload};
pub(crate) use source::Source;

/// Where reading begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum From {
    /// With the oldest group that the journal has.
    #[default]
    Start,
    /// With the first group whose last frame has this sequence number or a later one.
    Lsn(Lsn),
    /// With the first group that begins at this position or later.
    Position(Position),
}

/// One group, borrowed from its reader.
#[derive(Clone, Copy, Debug)]
pub struct Group<'a> {
    /// Where the reader has it: it is long, and moving it costs as much as checking a short group.
    place: &'a GroupPlace,
    payload: &'a [u8],
}

/// A group's numbers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct GroupPlace {
    pub(crate) lsn: u64,
    pub(crate) begin: u64,
    pub(crate) end: u64,
    pub(crate) meaning: End,
    pub(crate) records: usize,
}

impl<'a> Group<'a> {
    /// What remains of a group in a compacted segment.
    pub(crate) const fn compacted(place: &'a GroupPlace, payload: &'a [u8]) -> Self {
        Self { place, payload }
    }

    /// Its last frame.
    #[must_use]
    pub const fn lsn(&self) -> Lsn {
        Lsn::new(self.place.lsn)
    }

    /// Where it begins.
    #[must_use]
    pub const fn begin(&self) -> Position {
        Position::new(self.place.begin)
    }

    /// Where it ends: the position that [`Appended`](crate::Appended) named.
    #[must_use]
    pub const fn position(&self) -> Position {
        Position::new(self.place.end)
    }

    /// Whether it completes a root.
    #[must_use]
    pub const fn end(&self) -> End {
        self.place.meaning
    }

    /// How many records it has.
    #[must_use]
    pub const fn record_count(&self) -> usize {
        self.place.records
    }

    /// Its records, in the order in which they were pushed.
    #[must_use]
    pub fn records(&self) -> Records<'a> {
        Records::new(self.payload, self.place.records)
    }

    /// The envelopes and payloads of all records.
    #[must_use]
    pub const fn payload(&self) -> &'a [u8] {
        self.payload
    }
}

/// A group that was verified, and where its payload is.
#[derive(Clone, Copy, Debug)]
struct Located {
    place: GroupPlace,
    /// `None` if it was assembled from several frames.
    payload: Option<Payload>,
}

/// A boundary between groups, and the segment that it is in.
#[derive(Debug)]
struct Here {
    at: At,
    segment: Option<SegmentEntry>,
}

/// Reads groups in order; also tails: at the end it answers `None`, and later what was appended.
///
/// Made by [`Journal::read`](crate::Journal::read). Every frame's checksums, number and chain are
/// verified again. Memory is constant but for groups of several frames, which are put together.
/// Reading never changes a file and takes no lock that appending waits for.
///
/// Nothing is kept for a reader: normalization may replace the segment that it reads. If it has read
/// nothing of what is replaced, or all of it, it goes on; in between its place is
/// [gone](ReadError::Gone), since what remains of groups that it has not read may stand before those
/// that it has. A [`Tail`](crate::Tail) keeps its place.
#[derive(Debug)]
pub struct Reader {
    source: Source,
    segments: Vec<SegmentEntry>,
    generation: u64,
    current: Option<Current>,
    at: At,
    from: From,
    /// Whether an error left the reader in the middle of a group.
    spent: bool,
    /// The frames of a group that spans several.
    assembled: Vec<u8>,
    /// The group that was found last.
    located: Located,
}

impl Reader {
    pub(crate) fn new(source: Source, from: From) -> Result<Self, ReadError> {
        let mut reader = Self {
            source,
            segments: Vec::new(),
            generation: 0,
            current: None,
            at: At::default(),
            from,
            spent: false,
            assembled: Vec::new(),
            located: Located {
                place: GroupPlace { lsn: 0, begin: 0, end: 0, meaning: End::Batch, records: 0 },
                payload: None,
            },
        };
        reader.refresh();
        loop {
            match reader.begin() {
                // A segment was replaced after the list was taken: begin in the new one.
                Err(ReadError::Gone { .. }) if reader.source.renew(reader.generation)? => {
                    reader.refresh();
                }
                begun => return begun.map(|()| reader),
            }
        }
    }

    /// Goes to the segment to begin in, if the place to begin with is there.
    fn begin(&mut self) -> Result<(), ReadError> {
        let Some(first) = self.segments.first() else { return Ok(()) };
        let position = Position::new(first.first_position);
        let before = match self.from {
            From::Start => false,
            From::Lsn(lsn) => lsn.get().max(1) < first.first_lsn,
            From::Position(position) => position.get() < first.first_position,
        };
        if before || self.begins_inside_compacted()? {
            return Err(ReadError::Gone { position });
        }
        self.enter(self.start_index())
    }

    /// The last segment that begins with a group, at or before the place to read from.
    fn start_index(&self) -> usize {
        let begins_before = |segment: &SegmentEntry| match self.from {
            From::Start => false,
            From::Lsn(lsn) => segment.first_lsn <= lsn.get(),
            From::Position(position) => segment.first_position <= position.get(),
        };
        let mut index = self.segments.partition_point(begins_before).saturating_sub(1);
        while index > 0 && self.segments[index].continues_group {
            index -= 1;
        }
        index
    }

    /// Whether a group comes before the place to read from.
    fn is_before(&self, place: &GroupPlace) -> bool {
        match self.from {
            From::Start => false,
            From::Lsn(lsn) => place.lsn < lsn.get(),
            From::Position(position) => place.begin < position.get(),
        }
    }

    /// Takes the present list of segments.
    fn refresh(&mut self) {
        (self.generation, self.segments) = self.source.segments();
    }

    /// Moves to the begin of a segment.
    fn enter(&mut self, index: usize) -> Result<(), ReadError> {
        let entry = &self.segments[index];
        let path = self.source.path(&entry.name());
        let opened = self.source.open(entry, &path);
        let (file, bytes) = match opened {
            Ok(opened) => opened,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(ReadError::Gone { position: Position::new(entry.first_position) });
            }
            Err(error) => return Err(IoError::new("open", &path, error).into()),
        };
        let header = read_header(&*file).at("read", &path)?;
        let Some(header) = header.filter(|header| header.salt == entry.salt) else {
            let reason = CorruptReason::SegmentHeader;
            return Err(corrupt(&path, 0, None, entry.first_lsn, entry.first_position, reason));
        };
        check_format(&header.format, &path)?;
        self.at = At {
            offset: SEGMENT_HEADER,
            position: entry.first_position,
            next_lsn: entry.first_lsn,
            prev_crc: header.prev_crc,
        };
        let salt = Salt::new(self.source.salt(entry));
        let compacted = entry.compacted;
        self.current = Some(Current { index, path, bytes, salt, compacted });
        Ok(())
    }

    /// The next group, `None` at the end of what was appended.
    ///
    /// # Errors
    ///
    /// [`ReadError::Corrupt`] if bytes were damaged since the journal was opened,
    /// [`ReadError::Malformed`] if a group's records are not delimited as its frame says; the reader
    /// stays in front of the group. [`ReadError::Gone`] if a cut or a normalization took the reader's
    /// place away, for good: begin again with a new one.
    pub fn next_group(&mut self) -> Result<Option<Group<'_>>, ReadError> {
        if self.advance()? { self.group().map(Some) } else { Ok(None) }
    }

    /// Where the next group begins, or the end of what was read so far.
    #[must_use]
    pub const fn position(&self) -> Position {
        Position::new(self.at.position)
    }

    /// Moves behind the next group that was asked for; whether there was one.
    pub(crate) fn advance(&mut self) -> Result<bool, ReadError> {
        if self.spent {
            return Err(self.gone());
        }
        loop {
            // In this order: every group below the limit is in a segment of the list.
            let limit = self.source.limit();
            if self.source.generation() != self.generation {
                self.adopt(&self.here())?;
            }
            let (at, index) = (self.at, self.current.as_ref().map(|current| current.index));
            match self.locate(limit) {
                Ok(false) => return Ok(false),
                Ok(true) if self.is_before(&self.located.place) => {}
                Ok(true) => return Ok(true),
                Err(error) => {
                    // The list of segments is still the one that `index` means.
                    let segment = index.map(|index| self.segments[index].clone());
                    let before = Here { at, segment };
                    // A segment may have been replaced after the list was taken.
                    let is_gone = matches!(error, ReadError::Gone { .. });
                    let renewed = is_gone.then(|| self.source.renew(self.generation));
                    let error = match renewed {
                        Some(Ok(true)) => {
                            self.adopt(&before)?;
                            continue;
                        }
                        Some(Err(error)) => error,
                        Some(Ok(false)) | None => error,
                    };
                    self.go_back(&before);
                    return Err(error);
                }
            }
        }
    }

    /// The group that [`advance`](Self::advance) has found.
    pub(crate) fn group(&mut self) -> Result<Group<'_>, ReadError> {
        let Self { current, assembled, located, .. } = self;
        let payload = payload_of(current.as_mut(), assembled, located.payload)?;
        Ok(Group { place: &located.place, payload })
    }

    /// The place of the group that [`advance`](Self::advance) has found.
    pub(crate) const fn place(&self) -> &GroupPlace {
        &self.located.place
    }

    pub(crate) const fn source(&self) -> &Source {
        &self.source
    }

    /// How far could be read at this moment, by the list of segments that it has.
    pub(crate) fn seen(&self) -> Seen {
        Seen { limit: self.source.limit(), generation: self.generation }
    }

    /// Where the segment begins that is being read.
    pub(crate) fn segment_begin(&self) -> u64 {
        let index = self.current.as_ref().map(|current| current.index);
        index.map_or(0, |index| self.segments[index].first_position)
    }

    fn here(&self) -> Here {
        let segment = self.current.as_ref().map(|current| current.index);
        Here { at: self.at, segment: segment.map(|index| self.segments[index].clone()) }
    }

    fn gone(&self) -> ReadError {
        ReadError::Gone { position: Position::new(self.at.position) }
    }

    /// Stays in front of a group that could not be read.
    fn go_back(&mut self, before: &Here) {
        let is_same = |segment: &SegmentEntry| Some(segment) == before.segment.as_ref();
        let index = self.segments.iter().position(is_same);
        let same = self.current.as_ref().map(|current| current.index) == index;
        let back = same || index.is_some_and(|index| self.enter(index).is_ok());
        self.spent = !back;
        self.at = before.at;
        if let Some(current) = &mut self.current {
            current.bytes.forget();
        }
    }

    /// Verifies the frames of the next group below `limit`, if there is one, and notes its place, and
    /// its payload if it is in one frame. That of several frames is assembled.
    fn locate(&mut self, limit: u64) -> Result<bool, ReadError> {
        self.assembled.clear();
        let (mut begin, mut records, mut offset) = (None, 0, 0);
        loop {
            if !self.next_segment(limit)? {
                return Ok(false);
            }
            let (header, payload) = self.frame(limit)?;
            let kind = {
                let path = &self.current().path;
                known_kind(&header, payload.offset - HEADER_BYTES as u64, path)?
            };
            if !kind.is_data() {
                continue;
            }
            let len = header.total_len();
            if begin.is_none() {
                (begin, offset) = (Some(self.at.position - len), self.at.offset - len);
            }
            records += usize::from(header.records);
            let single = records == usize::from(header.records) && self.assembled.is_empty();
            if header.more_follows() || !single {
                self.assemble(payload)?;
            }
            if header.more_follows() {
                continue;
            }
            let meaning = if kind == Kind::SafePoint { End::SafePoint } else { End::Batch };
            self.located.place = GroupPlace {
                lsn: header.lsn,
                begin: begin.unwrap_or_default(),
                end: self.at.position,
                meaning,
                records,
            };
            self.located.payload = self.assembled.is_empty().then_some(payload);
            self.check_records(records, offset)?;
            return Ok(true);
        }
    }

    fn check_records(&mut self, records: usize, offset: u64) -> Result<(), ReadError> {
        let Self { current, assembled, located, .. } = self;
        let bytes = payload_of(current.as_mut(), assembled, located.payload)?;
        record::check(bytes, records).map_err(|malformed| ReadError::Malformed {
            file: self.current().path.clone(),
            offset,
            malformed,
        })
    }

    fn current(&self) -> &Current {
        self.current.as_ref().expect("a frame was read from a segment")
    }

    fn assemble(&mut self, payload: Payload) -> Result<(), ReadError> {
        let current = self.current.as_mut().expect("a frame was read from a segment");
        let end = payload.offset + payload.len as u64;
        let bytes =
            current.bytes.get(payload.offset, payload.len, end).at("read", &current.path)?;
        self.assembled.extend_from_slice(bytes.unwrap_or_default());
        Ok(())
    }

    /// Makes sure that a frame follows in the current segment, or goes on in the next one. `false`
    /// at the end.
    fn next_segment(&mut self, limit: u64) -> Result<bool, ReadError> {
        loop {
            let Some(current) = &self.current else {
                if self.segments.is_empty() {
                    return Ok(false);
                }
                self.enter(self.start_index())?;
                continue;
            };
            let seal = self.segments[current.index].seal;
            if seal.is_some_and(|seal| self.at.offset >= seal.bytes) {
                let next = current.index + 1;
                if next == self.segments.len() {
                    return Ok(false);
                }
                self.enter(next)?;
                continue;
            }
            return Ok(self.at.position < limit);
        }
    }

    /// Verifies the next frame and moves behind it.
    fn frame(&mut self, limit: u64) -> Result<(Header, Payload), ReadError> {
        let at = self.at;
        let current = self.current.as_mut().expect("there is a segment to read from");
        let entry = &self.segments[current.index];
        let end = match entry.seal {
            Some(seal) => seal.bytes,
            None => SEGMENT_HEADER + (limit - entry.first_position),
        };
        let (header, crc, payload) = match current.frame(&at, end).at("read", &current.path)? {
            Ok(frame) => frame,
            Err((reason, lsn)) => {
                let path = &current.path;
                return Err(corrupt(path, at.offset, lsn, at.next_lsn, limit, reason));
            }
        };
        let len = header.total_len();
        self.at = At {
            offset: at.offset + len,
            position: at.position + len,
            next_lsn: header.lsn + 1,
            prev_crc: crc,
        };
        Ok((header, payload))
    }
}

/// The payload in the reader's buffer or map, or assembled.
fn payload_of<'a>(
    current: Option<&'a mut Current>,
    assembled: &'a [u8],
    payload: Option<Payload>,
) -> Result<&'a [u8], ReadError> {
    let Some(payload) = payload else {
        return Ok(assembled);
    };
    let current = current.expect("a frame was read from a segment");
    let end = payload.offset + payload.len as u64;
    let bytes = current.bytes.get(payload.offset, payload.len, end).at("read", &current.path)?;
    Ok(bytes.unwrap_or_default())
}

fn corrupt(
    path: &Path,
    offset: u64,
    lsn: Option<Lsn>,
    expected_lsn: u64,
    durable: u64,
    reason: CorruptReason,
) -> ReadError {
    ReadError::Corrupt(Box::new(Corrupt {
        file: path.to_path_buf(),
        offset,
        lsn,
        expected_lsn: Lsn::new(expected_lsn),
        durable_position: Position::new(durable),
        reason,
        bytes_after: 0,
    }))
}
