//! What remains of segments whose batches are dropped: whose log it is, and where it goes on.

use steadfast_journal::{Group, Lsn, Normalize, NormalizeError, Refusal, Survivors};

use super::{Base, TAG_BASE, TAG_LOG, VERSION, decode};

/// Replaces batches by one record that says where the log goes on.
#[derive(Default)]
pub(in crate::replica) struct Trimmer {
    /// The group of the first record, and that record.
    head: Option<(Lsn, Vec<u8>)>,
    base: Base,
    /// What was read back.
    found: (Option<Vec<u8>>, Base),
}

impl Trimmer {
    fn take(&mut self, group: &Group<'_>) -> Result<(), Refusal> {
        for record in group.records().filter(|it| it.tag() == TAG_LOG || it.tag() == TAG_BASE) {
            if record.tag() == TAG_LOG {
                self.head = Some((group.lsn(), record.bytes().to_vec()));
            } else {
                self.base = Base::decode(record.payload()).ok_or("no base")?;
            }
        }
        if let Some(batch) = decode(group) {
            let base = &mut self.base;
            let fits = batch.seq == base.log.last().next()
                && (batch.prev_epoch, batch.prev_chain) == (base.log.last_epoch(), base.chain);
            if !fits {
                return Err("a batch does not follow the one before it".into());
            }
            base.log.push(batch.epoch);
            base.chain = batch.chain();
        }
        Ok(())
    }
}

impl Normalize for Trimmer {
    fn read(&mut self, group: &Group<'_>) -> Result<(), Refusal> {
        self.take(group)
    }

    fn is_worth(&mut self, _bytes: u64) -> bool {
        self.head.is_some() && self.base.log.last().0 > 0
    }

    fn write(&mut self, survivors: &mut Survivors<'_>) -> Result<(), NormalizeError> {
        let Some((lsn, head)) = &self.head else { return Ok(()) };
        survivors.push(*lsn, |buffer| buffer.extend_from_slice(head))?;
        let base = self.base.encode();
        survivors.push(*lsn, |buffer| {
            for number in [TAG_BASE, VERSION, u32::try_from(base.len()).unwrap_or(u32::MAX)] {
                push_varint(buffer, number);
            }
            buffer.extend_from_slice(&base);
        })
    }

    fn reads_twice(&self) -> bool {
        false
    }

    fn compare_old(&mut self, _group: &Group<'_>) -> Result<(), Refusal> {
        Ok(())
    }

    fn compare_new(&mut self, group: &Group<'_>) -> Result<(), Refusal> {
        let mut found = Self::default();
        found.take(group)?;
        if let Some((_, head)) = found.head {
            self.found = (Some(head), found.base);
        }
        Ok(())
    }

    fn verdict(&mut self) -> Result<(), Refusal> {
        let written = (self.head.as_ref().map(|(_, head)| head), &self.base);
        let found = (self.found.0.as_ref(), &self.found.1);
        if written == found { Ok(()) } else { Err("another base was read back".into()) }
    }
}

/// A number of a record's envelope.
fn push_varint(buffer: &mut Vec<u8>, mut number: u32) {
    while number >= 0x80 {
        buffer.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    buffer.push((number & 0x7f) as u8);
}
