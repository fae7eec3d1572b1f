//! The journal as a contender.

use std::cell::RefCell;
use std::error::Error;
use std::path::Path;

use steadfast_journal::{Batch, From, Journal, Level, Options};

use crate::Plan;
use crate::contender::Contender;

thread_local! {
    /// Each thread reuses one batch.
    static BATCH: RefCell<Batch> = RefCell::new(Batch::with_capacity(64 << 10));
}

/// The journal.
pub(crate) struct Ours {
    pub(crate) journal: Journal,
}

impl Ours {
    pub(crate) fn new(plan: &Plan, dir: &Path, segment_bytes: u64) -> Result<Self, Box<dyn Error>> {
        let options = Options::new().segment_bytes(segment_bytes);
        let options = match plan.mode {
            Some(mode) => options.write_mode(mode),
            None => options,
        };
        let (journal, _) = Journal::open(dir, options)?;
        Ok(Self { journal })
    }

    /// Appends a batch and waits for a level.
    pub(crate) fn commit(
        &self,
        records: &[u8],
        record_bytes: usize,
        level: Level,
    ) -> Result<(), Box<dyn Error>> {
        BATCH.with_borrow_mut(|batch| {
            batch.clear();
            for record in records.chunks_exact(record_bytes) {
                batch.push(1, 1, record)?;
            }
            self.journal.commit(batch, level)?;
            Ok(())
        })
    }
}

impl Contender for Ours {
    fn append_durable(&self, records: &[u8], record_bytes: usize) -> Result<(), Box<dyn Error>> {
        self.commit(records, record_bytes, Level::Batch)
    }

    fn read_back(
        &self,
        see: &mut dyn FnMut(&[u8]) -> Result<(), String>,
    ) -> Result<(), Box<dyn Error>> {
        let mut reader = self.journal.read(From::Start)?;
        while let Some(group) = reader.next_group()? {
            for record in group.records() {
                see(record.payload())?;
            }
        }
        Ok(())
    }
}
