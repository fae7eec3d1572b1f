//! The `DURABLE` file: two alternating slots that record how far the journal was durable.
//!
//! Each slot has a page of its own, so that writing one can never damage the other, and fits into
//! one sector. See `docs/format.md#durable`.

use std::io;
use std::sync::Arc;

use crate::bytes::{id_at, put, u32_at, u64_at};
use crate::ids::Uuid;
use crate::storage::StorageFile;

/// The file's name.
pub(crate) const NAME: &str = "DURABLE";
/// Distance of the two slots.
const SLOT_STRIDE: u64 = 4096;
/// Bytes of the file.
pub(crate) const FILE_BYTES: u64 = 2 * SLOT_STRIDE;

const SLOT_BYTES: usize = 64;
const MAGIC: &[u8; 4] = b"STFD";
const CRC_AT: usize = SLOT_BYTES - 4;

/// One claim: everything before `position` is durable.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Slot {
    /// One more with each claim; the slot's place is its parity.
    pub(crate) generation: u64,
    pub(crate) position: u64,
    pub(crate) lsn: u64,
}

impl Slot {
    fn encode(&self, journal: Uuid) -> [u8; SLOT_BYTES] {
        let mut bytes = [0; SLOT_BYTES];
        put(&mut bytes, 0, MAGIC);
        put(&mut bytes, 8, &self.generation.to_le_bytes());
        put(&mut bytes, 16, &self.position.to_le_bytes());
        put(&mut bytes, 24, &self.lsn.to_le_bytes());
        put(&mut bytes, 32, journal.as_bytes());
        let crc = crc32c::crc32c(&bytes[..CRC_AT]);
        put(&mut bytes, CRC_AT, &crc.to_le_bytes());
        bytes
    }

    fn decode(bytes: &[u8], journal: Uuid) -> Option<Self> {
        if &bytes[..4] != MAGIC || crc32c::crc32c(&bytes[..CRC_AT]) != u32_at(bytes, CRC_AT) {
            return None;
        }
        if id_at(bytes, 32) != *journal.as_bytes() {
            return None;
        }
        Some(Self {
            generation: u64_at(bytes, 8),
            position: u64_at(bytes, 16),
            lsn: u64_at(bytes, 24),
        })
    }
}

/// What the file says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Claims {
    /// The newest valid slot; generation 0 if none was ever written.
    Newest(Slot),
    /// Both slots hold something and neither is valid: no crash does that.
    Damaged,
}

/// Reads both slots. A slot that a crash tore is invalid, and the other one counts.
pub(crate) fn read(file: &dyn StorageFile, journal: Uuid) -> io::Result<Claims> {
    let mut newest = Slot::default();
    let mut damaged = 0;
    for index in 0..2 {
        let mut bytes = [0; SLOT_BYTES];
        let read = file.read_at(&mut bytes, index * SLOT_STRIDE)?;
        match Slot::decode(&bytes, journal) {
            Some(slot) if slot.generation >= newest.generation => newest = slot,
            Some(_) => {}
            None if read == SLOT_BYTES && bytes.iter().all(|byte| *byte == 0) => {}
            None => damaged += 1,
        }
    }
    Ok(if damaged == 2 { Claims::Damaged } else { Claims::Newest(newest) })
}

/// Writes claims in alternation.
#[derive(Debug)]
pub(crate) struct DurableSlots {
    file: Arc<dyn StorageFile>,
    journal: Uuid,
    newest: Slot,
}

impl DurableSlots {
    pub(crate) fn new(file: Arc<dyn StorageFile>, journal: Uuid, newest: Slot) -> Self {
        Self { file, journal, newest }
    }

    /// The newest claim.
    pub(crate) const fn newest(&self) -> Slot {
        self.newest
    }

    /// Writes a claim over the older slot and syncs it.
    pub(crate) fn write(&mut self, position: u64, lsn: u64) -> io::Result<()> {
        let slot = Slot { generation: self.newest.generation + 1, position, lsn };
        let at = (slot.generation % 2) * SLOT_STRIDE;
        self.file.write_at(&slot.encode(self.journal), at)?;
        self.file.sync()?;
        self.newest = slot;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::{Access, Storage as _};

    #[test]
    fn a_slot_survives_encoding_and_no_flipped_bit_does() {
        let journal = Uuid::from_bytes([9; 16]);
        let slot = Slot { generation: 3, position: 4096, lsn: 17 };
        let bytes = slot.encode(journal);
        assert_eq!(Slot::decode(&bytes, journal), Some(slot));
        assert_eq!(Slot::decode(&bytes, Uuid::default()), None);
        for bit in 0..SLOT_BYTES * 8 {
            let mut flipped = bytes;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Slot::decode(&flipped, journal), None, "bit {bit}");
        }
    }

    /// Whichever of the two places it has: also when the older one is read behind it.
    #[test]
    fn the_newest_of_two_valid_slots_counts() {
        let disk = crate::testing::SimDisk::new(1);
        let dir = std::path::Path::new("/slots");
        disk.create_dir(dir).expect("room");
        let file = disk.open(&dir.join(NAME), Access::Create).expect("room");
        file.write_at(&[0; 8192], 0).expect("room");
        let journal = Uuid::from_bytes([9; 16]);
        let mut slots = DurableSlots::new(Arc::clone(&file), journal, Slot::default());
        assert_eq!(read(&*file, journal).expect("readable"), Claims::Newest(Slot::default()));
        for generation in 1..6 {
            slots.write(generation * 64, generation * 2).expect("room");
            let newest = Slot { generation, position: generation * 64, lsn: generation * 2 };
            assert_eq!(slots.newest(), newest);
            assert_eq!(read(&*file, journal).expect("readable"), Claims::Newest(newest));
        }
    }
}
