//! Snapshots: what a state wrote of itself, in a file that says of which place in the log it is.
//!
//! All numbers are little-endian:
//!
//! | offset | bytes | what |
//! |---|---|---|
//! | 0 | 4 | `STFP` |
//! | 4 | 4 | version, 1 |
//! | 8 | 8 | the group |
//! | 16 | 4 | the node that took it |
//! | 20 | 4 | how many epochs the log has up to there |
//! | 24 | 8 | the last batch that is in it |
//! | 32 | 8 | its epoch |
//! | 40 | 8 | the chain at it |
//! | 48 | 8 | bytes of the body |
//! | 56 | 16 | XXH3-128 of the body, seed 0 |
//! | 72 | 4 | 0 |
//! | 76 | 4 | CRC-32C of the 76 bytes before and of the epochs |
//! | 80 | 16 each | the epochs: number and first batch |
//! | … | | the body: what [`Apply::snapshot`](crate::Apply::snapshot) wrote |

use std::io::{self, Read, Write};

use xxhash_rust::xxh3::{Xxh3Default, xxh3_64};

use crate::epochs::Epochs;
use crate::ids::{Chain, Epoch, NodeId, Seq};

/// Bytes of a head without its epochs.
pub(crate) const HEAD_BYTES: usize = 80;
const CRC_AT: usize = 76;
const MAGIC: [u8; 4] = *b"STFP";
const VERSION: u32 = 1;
/// Epochs of a head at most: those of a leader that changes each minute for thirty years.
const EPOCHS_MAX: u32 = 1 << 24;

/// Which snapshot it is: a hash of its head, in which a hash of its body stands.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct SnapshotId(pub u64);

/// A snapshot as its owner offers it to others.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Offer {
    /// Which one.
    pub id: SnapshotId,
    /// The last batch that is in it.
    pub at: Seq,
    /// The epoch of that batch.
    pub epoch: Epoch,
    /// Bytes of the whole file.
    pub bytes: u64,
}

/// What stands before a snapshot's body.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Head {
    /// The group.
    pub group: u64,
    /// The node that took it.
    pub node: NodeId,
    /// The log up to the last batch that is in it.
    pub log: Epochs,
    /// The chain at that batch.
    pub chain: Chain,
    /// Bytes of the body.
    pub body_bytes: u64,
    /// XXH3-128 of the body.
    pub digest: u128,
}

/// Why a file or bytes are no snapshot. Nothing of them is used.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SnapshotDamage {
    /// It ends too early or goes on too long.
    #[error("{found} bytes where the snapshot has {expected}")]
    Length {
        /// How many there should be, as far as can be told.
        expected: u64,
        /// How many there are.
        found: u64,
    },
    /// It is something else.
    #[error("it does not begin as a snapshot does")]
    Magic,
    /// A later build wrote it.
    #[error("snapshot version {found}, this build knows {VERSION}")]
    Version {
        /// Its version.
        found: u32,
    },
    /// The head was changed since it was written.
    #[error("the checksum of its head does not fit")]
    Head,
    /// The head's checksum fits, and it makes no sense.
    #[error("its head makes no sense")]
    Sense,
    /// The body was changed since it was written.
    #[error("the checksum of its body does not fit")]
    Body,
    /// Its last batch is not that of the log beside it.
    #[error("its last batch is another one than that of the log")]
    Log,
    /// It is that of another group.
    #[error("it is that of group {group:016x}")]
    Other {
        /// Its group.
        group: u64,
    },
}

impl Head {
    /// The last batch that is in the snapshot.
    pub const fn at(&self) -> Seq {
        self.log.last()
    }

    /// Bytes of the head.
    pub fn head_bytes(&self) -> u64 {
        HEAD_BYTES as u64 + 16 * self.log.starts().len() as u64
    }

    /// Bytes of the whole file.
    pub fn file_bytes(&self) -> u64 {
        self.head_bytes() + self.body_bytes
    }

    /// The snapshot as it is offered to others.
    pub fn offer(&self) -> Offer {
        let (at, epoch) = (self.at(), self.log.last_epoch());
        Offer { id: SnapshotId(xxh3_64(&self.encode())), at, epoch, bytes: self.file_bytes() }
    }

    /// Its bytes.
    ///
    /// # Panics
    ///
    /// If there are more than 2^24 epochs.
    pub fn encode(&self) -> Vec<u8> {
        let count = u32::try_from(self.log.starts().len()).unwrap_or(u32::MAX);
        assert!(count <= EPOCHS_MAX, "leaders change less often");
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&self.group.to_le_bytes());
        bytes.extend_from_slice(&self.node.0.to_le_bytes());
        bytes.extend_from_slice(&count.to_le_bytes());
        for field in [self.at().0, self.log.last_epoch().0, self.chain.0, self.body_bytes] {
            bytes.extend_from_slice(&field.to_le_bytes());
        }
        bytes.extend_from_slice(&self.digest.to_le_bytes());
        bytes.extend_from_slice(&[0; 8]);
        for (epoch, first) in self.log.starts() {
            bytes.extend_from_slice(&epoch.0.to_le_bytes());
            bytes.extend_from_slice(&first.0.to_le_bytes());
        }
        let crc = head_crc(&bytes);
        bytes[CRC_AT..HEAD_BYTES].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// The head at the begin of these bytes.
    ///
    /// # Errors
    ///
    /// [`SnapshotDamage`], whatever the bytes are; it never panics, and allocates no more than they are long.
    ///
    /// # Example
    ///
    /// ```
    /// use steadfast_ha_transport::{Chain, Epoch, Epochs, NodeId, Seq, snapshot::Head};
    ///
    /// let log = Epochs::of(vec![(Epoch(1), Seq(1))], Seq(9)).unwrap();
    /// let head = Head { group: 7, node: NodeId(1), log, chain: Chain(5), body_bytes: 3, digest: 0 };
    /// assert_eq!(Head::decode(&head.encode()), Ok(head));
    /// ```
    pub fn decode(bytes: &[u8]) -> Result<Self, SnapshotDamage> {
        let found = bytes.len() as u64;
        let Some(head) = bytes.first_chunk::<HEAD_BYTES>() else {
            return Err(SnapshotDamage::Length { expected: HEAD_BYTES as u64, found });
        };
        if head[..4] != MAGIC {
            return Err(SnapshotDamage::Magic);
        }
        let u32_at = |at: usize| head[at..].first_chunk().copied().map_or(0, u32::from_le_bytes);
        let u64_at = |at: usize| head[at..].first_chunk().copied().map_or(0, u64::from_le_bytes);
        if u32_at(4) != VERSION {
            return Err(SnapshotDamage::Version { found: u32_at(4) });
        }
        let count = u32_at(20);
        let expected = HEAD_BYTES as u64 + 16 * u64::from(count);
        let Some(table) = usize::try_from(expected).ok().and_then(|end| bytes.get(HEAD_BYTES..end))
        else {
            return Err(SnapshotDamage::Length { expected, found });
        };
        let mut checked = head.to_vec();
        checked.extend_from_slice(table);
        if head_crc(&checked) != u32_at(CRC_AT) {
            return Err(SnapshotDamage::Head);
        }
        let (pairs, _) = table.as_chunks::<16>();
        let starts = pairs.iter().map(|pair| {
            let number =
                |at: usize| pair[at..].first_chunk().copied().map_or(0, u64::from_le_bytes);
            (Epoch(number(0)), Seq(number(8)))
        });
        let log = Epochs::of(starts.collect(), Seq(u64_at(24))).ok_or(SnapshotDamage::Sense)?;
        let digest = head[56..].first_chunk().copied().map_or(0, u128::from_le_bytes);
        let is_sound = log.last() > Seq(0)
            && log.last_epoch() == Epoch(u64_at(32))
            && u32_at(72) == 0
            && u64_at(48).checked_add(expected).is_some();
        let (group, node, chain) = (u64_at(8), NodeId(u32_at(16)), Chain(u64_at(40)));
        let head = Self { group, node, log, chain, body_bytes: u64_at(48), digest };
        if is_sound { Ok(head) } else { Err(SnapshotDamage::Sense) }
    }

    /// Reads a head, and leaves the reader at the body.
    ///
    /// # Errors
    ///
    /// What the reader says, or that it is no head.
    pub fn read(from: &mut dyn Read, file_bytes: u64) -> io::Result<Result<Self, SnapshotDamage>> {
        let mut bytes = Vec::with_capacity(HEAD_BYTES);
        from.take(HEAD_BYTES as u64).read_to_end(&mut bytes)?;
        let count = bytes.get(20..).and_then(<[u8]>::first_chunk).copied();
        // No longer than the file, whatever it says.
        let table = (16 * u64::from(count.map_or(0, u32::from_le_bytes))).min(file_bytes);
        from.take(table).read_to_end(&mut bytes)?;
        let head = Self::decode(&bytes);
        Ok(head.and_then(|head| {
            let (expected, found) = (head.file_bytes(), file_bytes);
            if expected == found {
                Ok(head)
            } else {
                Err(SnapshotDamage::Length { expected, found })
            }
        }))
    }
}

/// The checksum of a head, with zeros in its place.
fn head_crc(bytes: &[u8]) -> u32 {
    let crc = crc32c::crc32c(&bytes[..CRC_AT]);
    crc32c::crc32c_append(crc, &bytes[HEAD_BYTES..])
}

/// Writes a body and sees how long it is, and its hash.
pub(crate) struct Hashing<T> {
    inner: T,
    hash: Xxh3Default,
    bytes: u64,
}

impl<T> Hashing<T> {
    pub(crate) fn new(inner: T) -> Self {
        Self { inner, hash: Xxh3Default::new(), bytes: 0 }
    }

    /// How many bytes went through, and their hash.
    pub(crate) fn sum(&self) -> (u64, u128) {
        (self.bytes, self.hash.digest128())
    }

    pub(crate) fn into_inner(self) -> T {
        self.inner
    }
}

impl<T: Write> Write for Hashing<T> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.inner.write(bytes)?;
        self.hash.update(&bytes[..count]);
        self.bytes += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// Reads a body, and ends with an error if it is not what was written.
pub(crate) struct Checking<T> {
    inner: T,
    hash: Xxh3Default,
    left: u64,
    digest: u128,
}

impl<T: Read> Checking<T> {
    pub(crate) fn new(inner: T, head: &Head) -> Self {
        Self { inner, hash: Xxh3Default::new(), left: head.body_bytes, digest: head.digest }
    }

    /// Reads what nobody has read; says whether all of it is what was written.
    pub(crate) fn finish(mut self) -> io::Result<()> {
        io::copy(&mut self, &mut io::sink()).map(drop)
    }
}

impl<T: Read> Read for Checking<T> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(into.len());
        let count = self.inner.read(&mut into[..most])?;
        self.hash.update(&into[..count]);
        self.left -= count as u64;
        let is_end = self.left == 0 || count == 0 && most > 0;
        if is_end && (self.left > 0 || self.hash.digest128() != self.digest) {
            return Err(io::Error::new(io::ErrorKind::InvalidData, SnapshotDamage::Body));
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head() -> Head {
        let log = Epochs::of(vec![(Epoch(1), Seq(1)), (Epoch(4), Seq(8))], Seq(17)).unwrap();
        let digest = xxhash_rust::xxh3::xxh3_128(b"a body");
        Head { group: 9, node: NodeId(2), log, chain: Chain(u64::MAX - 7), body_bytes: 6, digest }
    }

    #[test]
    fn the_bytes_are_those_of_version_1() {
        let golden = include_bytes!("../tests/golden/v1/snapshot");
        let bytes = [head().encode(), b"a body".to_vec()].concat();
        assert_eq!(bytes, golden);
        let mut reader = &golden[..];
        let read = Head::read(&mut reader, golden.len() as u64).unwrap();
        assert_eq!(read, Ok(head()));
        let mut body = String::new();
        Checking::new(reader, &head()).read_to_string(&mut body).unwrap();
        assert_eq!(body, "a body");
    }

    #[test]
    fn no_flipped_bit_and_no_cut_is_believed() {
        let bytes = [head().encode(), b"a body".to_vec()].concat();
        let is_whole = |bytes: &[u8]| {
            let mut reader = bytes;
            match Head::read(&mut reader, bytes.len() as u64).unwrap() {
                Ok(head) => Checking::new(reader, &head).finish().is_ok(),
                Err(_) => false,
            }
        };
        assert!(is_whole(&bytes));
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(!is_whole(&flipped), "bit {bit}");
        }
        for length in 0..bytes.len() {
            assert!(!is_whole(&bytes[..length]), "{length} bytes");
        }
        assert!(!is_whole(&[&bytes[..], &[0]].concat()));
    }

    /// A head of any content with a checksum that fits.
    fn sealed(mut bytes: Vec<u8>) -> Vec<u8> {
        let crc = head_crc(&bytes);
        bytes[CRC_AT..HEAD_BYTES].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    #[test]
    fn what_makes_no_sense_is_refused_though_its_checksum_fits() {
        let with = |change: fn(&mut Vec<u8>)| {
            let mut bytes = head().encode();
            change(&mut bytes);
            Head::decode(&sealed(bytes))
        };
        assert_eq!(with(|_| {}), Ok(head()));
        assert_eq!(with(|bytes| bytes[0] = 0), Err(SnapshotDamage::Magic));
        assert_eq!(with(|bytes| bytes[4] = 2), Err(SnapshotDamage::Version { found: 2 }));
        assert_eq!(with(|bytes| bytes[32] = 3), Err(SnapshotDamage::Sense));
        assert_eq!(with(|bytes| bytes[72] = 1), Err(SnapshotDamage::Sense));
        assert_eq!(with(|bytes| bytes[24] = 3), Err(SnapshotDamage::Sense));
        assert_eq!(with(|bytes| bytes[48..56].fill(255)), Err(SnapshotDamage::Sense));
        let expected = HEAD_BYTES as u64 + 16 * 0xff_ff02;
        let length = SnapshotDamage::Length { expected, found: 112 };
        assert_eq!(with(|bytes| bytes[21..23].fill(255)), Err(length));
    }

    proptest::proptest! {
        #[test]
        fn decoding_is_total(bytes in proptest::collection::vec(proptest::num::u8::ANY, 80..160), count in 0..4_u32) {
            let mut bytes = bytes;
            bytes[..4].copy_from_slice(&MAGIC);
            bytes[4..8].copy_from_slice(&VERSION.to_le_bytes());
            bytes[20..24].copy_from_slice(&count.to_le_bytes());
            bytes.truncate(HEAD_BYTES + 16 * count as usize);
            if let Ok(head) = Head::decode(&sealed(bytes.clone())) {
                proptest::prop_assert_eq!(head.encode(), sealed(bytes));
            }
        }
    }
}
