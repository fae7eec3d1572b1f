//! The bytes of messages, version 1.
//!
//! All numbers are little-endian. A message is a header of 48 bytes and a body:
//!
//! | offset | bytes | what |
//! |---|---|---|
//! | 0 | 2 | `5F 48` |
//! | 2 | 1 | version, 1 |
//! | 3 | 1 | what it is, see the bodies |
//! | 4 | 8 | the group |
//! | 12 | 8 | the epoch in which it was said |
//! | 20 | 8 | a batch's number: see the bodies, 0 else |
//! | 28 | 8 | chain of the batch before, for `Prepare`, 0 else |
//! | 36 | 4 | bytes of the body |
//! | 40 | 4 | CRC-32C of header and body, with zeros in its own place |
//! | 44 | 4 | flags, 0 |
//!
//! | number | message | in the header | body |
//! |---|---|---|---|
//! | 1 | `Hello` | committed | log |
//! | 2 | `Prepare` | the batch's | its epoch, the epoch before it, committed (8 each), kind (1), payload |
//! | 3 | `Acknowledge` | durable | |
//! | 4 | `Decide` | committed | |
//! | 5 | `Fence` | | |
//! | 6 | `Promise` | up to where it is trimmed | log |
//! | 7 | `Fetch` | behind | |
//! | 8 | `Tail` | | for each batch: number, epoch, epoch before, chain before (8 each), kind (1), bytes of the payload (4), payload |
//! | 9 | `Refuse` | | |
//! | 10 | `HandOver` | last | |
//! | 11 | `SnapshotOffer` | the last batch in it | which snapshot, its epoch, bytes of the file (8 each) |
//! | 12 | `SnapshotWant` | | which snapshot, offset (8 each) |
//! | 13 | `SnapshotChunk` | | which snapshot, offset (8 each), the piece |
//! | 14 | `SnapshotDone` | | which snapshot (8), 1 if it is whole, else 0 (1) |
//!
//! Builds that know no snapshots ignore 11 to 14, and say 0 in a `Promise`: they keep everything.
//!
//! A log is the last batch (8), then each epoch with its first batch (8 each).
//!
//! A group's record, which a coordinator keeps, is `53 46 48 47`, the version 1 (4), the epoch (8), the leader (4), the phase (4,
//! 1 electing, 2 active), the least number of members (4), the epoch and the last batch of the last leader that took over by
//! force (8 each, 0 if there was none), how many members there are (4), the members (4 each), and the CRC-32C of all that (4).

use std::sync::Arc;

use crate::batch::{Batch, Kind};
use crate::epochs::Epochs;
use crate::group::{Forced, GroupRecord, Phase};
use crate::ids::{Chain, Epoch, NodeId, Seq};
use crate::message::Message;
use crate::snapshot::{Offer, SnapshotId};

/// Bytes of a header.
pub const HEADER_BYTES: usize = 48;
/// The most bytes of a message: a batch of the journal's largest group, and some.
pub const MESSAGE_BYTES_MAX: usize = (1 << 30) + 4096;

const MAGIC: [u8; 2] = [0x5f, 0x48];
const VERSION: u8 = 1;
const CRC_AT: usize = 40;

/// Why bytes are no message. Nothing of them is believed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum DecodeError {
    /// They end too early or go on too long.
    #[error("{found} bytes where the message has {expected}")]
    Length {
        /// How many there should be.
        expected: usize,
        /// How many there are.
        found: usize,
    },
    /// They are something else.
    #[error("no message of this protocol")]
    Magic,
    /// Another version of the protocol.
    #[error("protocol version {found}, this build knows {VERSION}; update the older node first")]
    Version {
        /// Which one.
        found: u8,
    },
    /// They were changed on their way.
    #[error("the checksum does not fit: the message was damaged on its way")]
    Checksum,
    /// A message of a later build. It may be ignored.
    #[error("message number {number} is not known to this build")]
    Unknown {
        /// Its number.
        number: u8,
    },
    /// The checksum fits and the body makes no sense.
    #[error("the body of message number {number} makes no sense")]
    Body {
        /// Its number.
        number: u8,
    },
}

/// The bytes of a message within a group.
///
/// # Panics
///
/// If the body has more than 4 GiB.
///
/// # Example
///
/// ```
/// use steadfast_ha_transport::{Epoch, Message, Seq, codec};
///
/// let message = Message::Decide { epoch: Epoch(3), committed: Seq(17) };
/// let bytes = codec::encode(9, &message);
/// assert_eq!(bytes.len(), codec::HEADER_BYTES);
/// assert_eq!(codec::decode(&bytes), Ok((9, message)));
/// ```
pub fn encode(group: u64, message: &Message) -> Vec<u8> {
    let (number, seq, chain) = match message {
        Message::Hello { committed, .. } => (1, *committed, Chain(0)),
        Message::Prepare { batch, .. } => (2, batch.seq, batch.prev_chain),
        Message::Acknowledge { durable, .. } => (3, *durable, Chain(0)),
        Message::Decide { committed, .. } => (4, *committed, Chain(0)),
        Message::Fence { .. } => (5, Seq(0), Chain(0)),
        Message::Promise { trimmed, .. } => (6, *trimmed, Chain(0)),
        Message::Fetch { behind, .. } => (7, *behind, Chain(0)),
        Message::Tail { .. } => (8, Seq(0), Chain(0)),
        Message::Refuse { .. } => (9, Seq(0), Chain(0)),
        Message::HandOver { last, .. } => (10, *last, Chain(0)),
        Message::SnapshotOffer { offer, .. } => (11, offer.at, Chain(0)),
        Message::SnapshotWant { .. } => (12, Seq(0), Chain(0)),
        Message::SnapshotChunk { .. } => (13, Seq(0), Chain(0)),
        Message::SnapshotDone { .. } => (14, Seq(0), Chain(0)),
    };
    let mut bytes = Vec::with_capacity(HEADER_BYTES + body_bytes(message));
    bytes.extend_from_slice(&MAGIC);
    bytes.extend_from_slice(&[VERSION, number]);
    for field in [group, message.epoch().0, seq.0, chain.0] {
        bytes.extend_from_slice(&field.to_le_bytes());
    }
    bytes.extend_from_slice(&[0; 12]);
    push_body(&mut bytes, message);
    let body = u32::try_from(bytes.len() - HEADER_BYTES).expect("below 4 GiB");
    bytes[36..40].copy_from_slice(&body.to_le_bytes());
    let crc = crc32c::crc32c(&bytes);
    bytes[CRC_AT..CRC_AT + 4].copy_from_slice(&crc.to_le_bytes());
    bytes
}

fn body_bytes(message: &Message) -> usize {
    match message {
        Message::Prepare { batch, .. } => 25 + batch.payload.len(),
        Message::Hello { log, .. } | Message::Promise { log, .. } => 8 + 16 * log.starts().len(),
        Message::Tail { batches, .. } => batches.iter().map(|it| 37 + it.payload.len()).sum(),
        Message::SnapshotOffer { .. } => 24,
        Message::SnapshotWant { .. } => 16,
        Message::SnapshotChunk { bytes, .. } => 16 + bytes.len(),
        Message::SnapshotDone { .. } => 9,
        _ => 0,
    }
}

fn push_body(bytes: &mut Vec<u8>, message: &Message) {
    match message {
        Message::Hello { log, .. } | Message::Promise { log, .. } => {
            bytes.extend_from_slice(&log.last().0.to_le_bytes());
            for (epoch, seq) in log.starts() {
                bytes.extend_from_slice(&epoch.0.to_le_bytes());
                bytes.extend_from_slice(&seq.0.to_le_bytes());
            }
        }
        Message::Prepare { batch, committed, .. } => {
            for field in [batch.epoch.0, batch.prev_epoch.0, committed.0] {
                bytes.extend_from_slice(&field.to_le_bytes());
            }
            bytes.push(batch.kind as u8);
            bytes.extend_from_slice(&batch.payload);
        }
        Message::Tail { batches, .. } => {
            for batch in batches {
                let Batch { epoch, seq, prev_epoch, prev_chain, kind, payload } = batch;
                for field in [seq.0, epoch.0, prev_epoch.0, prev_chain.0] {
                    bytes.extend_from_slice(&field.to_le_bytes());
                }
                bytes.push(*kind as u8);
                let length = u32::try_from(payload.len()).expect("below 4 GiB");
                bytes.extend_from_slice(&length.to_le_bytes());
                bytes.extend_from_slice(payload);
            }
        }
        Message::SnapshotOffer { offer, .. } => {
            for field in [offer.id.0, offer.epoch.0, offer.bytes] {
                bytes.extend_from_slice(&field.to_le_bytes());
            }
        }
        Message::SnapshotWant { id, offset, .. } => {
            bytes.extend_from_slice(&id.0.to_le_bytes());
            bytes.extend_from_slice(&offset.to_le_bytes());
        }
        Message::SnapshotChunk { id, offset, bytes: piece, .. } => {
            bytes.extend_from_slice(&id.0.to_le_bytes());
            bytes.extend_from_slice(&offset.to_le_bytes());
            bytes.extend_from_slice(piece);
        }
        Message::SnapshotDone { id, is_whole, .. } => {
            bytes.extend_from_slice(&id.0.to_le_bytes());
            bytes.push(u8::from(*is_whole));
        }
        _ => {}
    }
}

/// The group and the message of these bytes.
///
/// # Errors
///
/// [`DecodeError`], whatever the bytes are; it never panics, and allocates no more than they are long.
pub fn decode(bytes: &[u8]) -> Result<(u64, Message), DecodeError> {
    let found = bytes.len();
    let Some((header, body)) = bytes.split_first_chunk::<HEADER_BYTES>() else {
        return Err(DecodeError::Length { expected: HEADER_BYTES, found });
    };
    if header[..2] != MAGIC {
        return Err(DecodeError::Magic);
    }
    let (version, number) = (header[2], header[3]);
    if version != VERSION {
        return Err(DecodeError::Version { found: version });
    }
    let mut fields = Fields(&header[4..]);
    let mut next = || fields.u64().unwrap_or(0);
    let (group, epoch, seq, chain) = (next(), Epoch(next()), Seq(next()), Chain(next()));
    let length = fields.u32().unwrap_or(0) as usize;
    let crc = fields.u32().unwrap_or(0);
    if body.len() != length {
        return Err(DecodeError::Length { expected: HEADER_BYTES.saturating_add(length), found });
    }
    let mut zeroed = *header;
    zeroed[CRC_AT..CRC_AT + 4].fill(0);
    if crc32c::crc32c_append(crc32c::crc32c(&zeroed), body) != crc {
        return Err(DecodeError::Checksum);
    }
    let mut body = Fields(body);
    let message = match number {
        1 => body.log().map(|log| Message::Hello { epoch, log, committed: seq }),
        2 => body.prepare(epoch, seq, chain),
        3 => Some(Message::Acknowledge { epoch, durable: seq }),
        4 => Some(Message::Decide { epoch, committed: seq }),
        5 => Some(Message::Fence { epoch }),
        6 => body.log().filter(|log| seq <= log.last()).map(|log| Message::Promise {
            epoch,
            log,
            trimmed: seq,
        }),
        7 => Some(Message::Fetch { epoch, behind: seq }),
        8 => body.tail(epoch),
        9 => Some(Message::Refuse { epoch }),
        10 => Some(Message::HandOver { epoch, last: seq }),
        11..=14 => body.snapshot(number, epoch, seq),
        number => return Err(DecodeError::Unknown { number }),
    };
    message
        .filter(|_| body.0.is_empty())
        .map(|message| (group, message))
        .ok_or(DecodeError::Body { number })
}

const RECORD_MAGIC: [u8; 4] = *b"SFHG";

/// The bytes of a group's record, for a coordinator.
///
/// # Example
///
/// ```
/// use steadfast_ha_transport::{GroupRecord, NodeId, codec};
///
/// let record = GroupRecord::new([NodeId(1), NodeId(2)]);
/// assert_eq!(codec::decode_record(&codec::encode_record(&record)), Some(record));
/// assert_eq!(codec::decode_record(b"something else"), None);
/// ```
pub fn encode_record(record: &GroupRecord) -> Vec<u8> {
    let GroupRecord { epoch, leader, members, phase, members_min, forced } = record;
    let phase = match phase {
        Phase::Electing => 1_u32,
        Phase::Active => 2,
    };
    let forced = forced.map_or((0, 0), |it| (it.epoch.0, it.adopted.0));
    let count = u32::try_from(members.len()).unwrap_or(u32::MAX);
    let mut bytes = RECORD_MAGIC.to_vec();
    bytes.extend_from_slice(&1_u32.to_le_bytes());
    bytes.extend_from_slice(&epoch.0.to_le_bytes());
    for field in [leader.0, phase, *members_min] {
        bytes.extend_from_slice(&field.to_le_bytes());
    }
    bytes.extend_from_slice(&forced.0.to_le_bytes());
    bytes.extend_from_slice(&forced.1.to_le_bytes());
    bytes.extend_from_slice(&count.to_le_bytes());
    members.iter().for_each(|member| bytes.extend_from_slice(&member.0.to_le_bytes()));
    bytes.extend_from_slice(&crc32c::crc32c(&bytes).to_le_bytes());
    bytes
}

/// The record of these bytes, if they are one of this version.
pub fn decode_record(bytes: &[u8]) -> Option<GroupRecord> {
    let (said, crc) = bytes.split_last_chunk::<4>()?;
    if crc32c::crc32c(said) != u32::from_le_bytes(*crc) {
        return None;
    }
    let mut fields = Fields(said);
    if fields.chunk::<4>()? != RECORD_MAGIC || fields.u32()? != 1 {
        return None;
    }
    let (epoch, leader) = (Epoch(fields.u64()?), NodeId(fields.u32()?));
    let phase = match fields.u32()? {
        1 => Phase::Electing,
        2 => Phase::Active,
        _ => return None,
    };
    let members_min = fields.u32()?;
    let forced = Forced { epoch: Epoch(fields.u64()?), adopted: Seq(fields.u64()?) };
    let forced = (forced.epoch > Epoch(0)).then_some(forced);
    let count = fields.u32()? as usize;
    if fields.0.len() != count.checked_mul(4)? {
        return None;
    }
    let mut members = Vec::with_capacity(count);
    while !fields.0.is_empty() {
        members.push(NodeId(fields.u32()?));
    }
    let is_one = members.is_sorted_by(|a, b| a < b) && members.contains(&leader);
    is_one.then_some(GroupRecord { epoch, leader, members, phase, members_min, forced })
}

/// What is left to read.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn chunk<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (chunk, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*chunk)
    }

    fn u64(&mut self) -> Option<u64> {
        self.chunk().map(u64::from_le_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.chunk().map(u32::from_le_bytes)
    }

    fn bytes(&mut self, count: usize) -> Option<&'a [u8]> {
        let (bytes, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(bytes)
    }

    fn log(&mut self) -> Option<Epochs> {
        let last = Seq(self.u64()?);
        let mut starts = Vec::with_capacity(self.0.len() / 16);
        while !self.0.is_empty() {
            starts.push((Epoch(self.u64()?), Seq(self.u64()?)));
        }
        Epochs::of(starts, last)
    }

    fn prepare(&mut self, epoch: Epoch, seq: Seq, prev_chain: Chain) -> Option<Message> {
        let (of, prev_epoch) = (Epoch(self.u64()?), Epoch(self.u64()?));
        let committed = Seq(self.u64()?);
        let kind = Kind::of(self.chunk::<1>()?[0])?;
        let payload: Arc<[u8]> = std::mem::take(&mut self.0).into();
        let batch = Batch { epoch: of, seq, prev_epoch, prev_chain, kind, payload };
        let is_plausible = is_in_order(&batch) && of <= epoch;
        is_plausible.then_some(Message::Prepare { epoch, batch, committed })
    }

    fn tail(&mut self, said: Epoch) -> Option<Message> {
        let mut batches = Vec::new();
        while !self.0.is_empty() {
            let (seq, epoch) = (Seq(self.u64()?), Epoch(self.u64()?));
            let (prev_epoch, prev_chain) = (Epoch(self.u64()?), Chain(self.u64()?));
            let kind = Kind::of(self.chunk::<1>()?[0])?;
            let length = self.u32()? as usize;
            let payload = self.bytes(length)?.into();
            let batch = Batch { epoch, seq, prev_epoch, prev_chain, kind, payload };
            if !is_in_order(&batch) || epoch > said {
                return None;
            }
            batches.push(batch);
        }
        Some(Message::Tail { epoch: said, batches })
    }

    fn snapshot(&mut self, number: u8, epoch: Epoch, at: Seq) -> Option<Message> {
        let id = SnapshotId(self.u64()?);
        match number {
            11 => {
                let (of, bytes) = (Epoch(self.u64()?), self.u64()?);
                let is_plausible = at > Seq(0) && of > Epoch(0) && of <= epoch && bytes > 0;
                let offer = Offer { id, at, epoch: of, bytes };
                is_plausible.then_some(Message::SnapshotOffer { epoch, offer })
            }
            12 => Some(Message::SnapshotWant { epoch, id, offset: self.u64()? }),
            13 => {
                let offset = self.u64()?;
                let bytes: Arc<[u8]> = std::mem::take(&mut self.0).into();
                Some(Message::SnapshotChunk { epoch, id, offset, bytes })
            }
            _ => {
                let is_whole = match self.chunk::<1>()?[0] {
                    0 => false,
                    1 => true,
                    _ => return None,
                };
                Some(Message::SnapshotDone { epoch, id, is_whole })
            }
        }
    }
}

/// Whether a batch may be one: it has a number, and its epoch is not before that of the one before it. An epoch begins
/// with its start, and there only.
fn is_in_order(batch: &Batch) -> bool {
    let begins = batch.epoch > batch.prev_epoch;
    batch.seq > Seq(0)
        && batch.epoch >= batch.prev_epoch
        && begins == (batch.kind == Kind::EpochStart)
        && (batch.seq == Seq(1)) == (batch.prev_epoch == Epoch(0))
}

#[cfg(test)]
mod tests;
