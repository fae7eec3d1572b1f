//! A session's journal.

use std::collections::VecDeque;

use steadfast_journal::{AppendError, Batch, End, Journal, Level, Position};
use steadfast_wm::{CommitSeq, Record};

use crate::durable::Recovery;
use crate::error::{Error, Result};
use crate::upkeep::{Housekeeping, JournalStatus, Normalized};

/// The journal's side of a session.
#[derive(Debug)]
pub(crate) struct JournalWriter {
    journal: Journal,
    /// Behind the journal: it waits for a thread that ends once the journal is closed.
    housekeeping: Housekeeping,
    level: Level,
    pipelined: bool,
    /// Commits that are appended and not known to be acknowledged, with where they end.
    unacknowledged: VecDeque<(CommitSeq, Position)>,
    /// A commit that found the disk full.
    unwritten: Option<(CommitSeq, Batch)>,
    recovery: Recovery,
}

impl JournalWriter {
    pub(crate) fn new(
        journal: Journal,
        housekeeping: Housekeeping,
        level: Level,
        pipelined: bool,
        recovery: Recovery,
    ) -> Self {
        let unacknowledged = VecDeque::new();
        Self { journal, housekeeping, level, pipelined, unacknowledged, unwritten: None, recovery }
    }

    pub(crate) fn recovery(&self) -> Recovery {
        self.recovery
    }

    /// Appends a commit, and waits for it unless the session is pipelined.
    pub(crate) fn append(&mut self, commit: CommitSeq, batch: &mut Batch) -> Result<()> {
        match self.journal.append(batch, End::SafePoint) {
            Ok(appended) => {
                batch.clear();
                if self.unacknowledged.len() == self.unacknowledged.capacity() {
                    self.forget_durable();
                }
                self.unacknowledged.push_back((commit, appended.position));
                if self.pipelined { Ok(()) } else { self.wait(commit) }
            }
            Err(AppendError::Full { needed }) => {
                self.unwritten = Some((commit, std::mem::take(batch)));
                Err(Error::Full { needed })
            }
            Err(error) => Err(Error::Append(error)),
        }
    }

    /// Forgets commits that are durable, so that a session that never waits does not remember all of them.
    fn forget_durable(&mut self) {
        if self.level == Level::Paranoid {
            return; // That they are durable is not all that is promised.
        }
        let durable = self.journal.positions().durable;
        while self.unacknowledged.front().is_some_and(|(_, end)| *end <= durable) {
            self.unacknowledged.pop_front();
        }
    }

    pub(crate) fn reserve(&self, bytes: u64) -> Result<()> {
        self.journal.reserve(bytes).map_err(|error| match error {
            AppendError::Full { needed } => Error::Full { needed },
            error => Error::Append(error),
        })
    }

    /// Appends what found the disk full earlier.
    pub(crate) fn retry(&mut self) -> Result<()> {
        let Some((commit, mut batch)) = self.unwritten.take() else { return Ok(()) };
        self.append(commit, &mut batch)
    }

    /// Appends an acknowledgement; it is in the page cache when this returns.
    pub(crate) fn acknowledge(&mut self, record: &Record<'_>) -> Result<()> {
        let mut batch = Batch::new();
        batch
            .push_with(|bytes| steadfast_wm::codec::v1::encode(record, bytes))
            .expect("an acknowledgement is a small record");
        let appended =
            self.journal.append(&batch, End::SafePoint).map_err(|error| match error {
                AppendError::Full { needed } => Error::Full { needed },
                other => Error::Append(other),
            })?;
        self.journal.wait(appended.position, Level::Process).map_err(Error::Wait)?;
        Ok(())
    }

    /// Waits until a commit is acknowledged at the session's level.
    pub(crate) fn wait(&mut self, commit: CommitSeq) -> Result<()> {
        let waiting = self.unacknowledged.iter().take_while(|(waiting, _)| *waiting <= commit);
        let Some((_, position)) = waiting.last().copied() else { return Ok(()) };
        self.journal.wait(position, self.level).map_err(Error::Wait)?;
        while self.unacknowledged.front().is_some_and(|(waiting, _)| *waiting <= commit) {
            self.unacknowledged.pop_front();
        }
        Ok(())
    }

    /// Normalizes everything up to now.
    pub(crate) fn normalize(&self) -> Result<Option<Normalized>> {
        let appended = self.journal.positions().appended;
        self.journal.wait(appended, Level::Batch).map_err(Error::Wait)?;
        match self.journal.roll() {
            Ok(()) => {}
            // No room to go on in a new segment: what is sealed may make some.
            Err(AppendError::Full { needed }) => {
                return self.normalize_sealed()?.map(Some).ok_or(Error::Full { needed });
            }
            Err(error) => return Err(Error::Append(error)),
        }
        self.normalize_sealed()
    }

    /// Normalizes everything before the segment that takes commits.
    pub(crate) fn normalize_sealed(&self) -> Result<Option<Normalized>> {
        self.housekeeping.normalize_all()
    }

    pub(crate) fn status(&self) -> Result<JournalStatus> {
        self.housekeeping.status()
    }

    pub(crate) fn close(self) -> Result<()> {
        self.journal.close().map_err(Error::Close)
    }
}

#[cfg(test)]
mod tests {
    use steadfast_journal::Options;

    use super::*;
    use crate::upkeep::Normalization;

    #[test]
    fn a_pipelined_session_remembers_what_is_not_durable_and_little_else() {
        let disk = tempfile::tempdir().unwrap();
        let (journal, _) = Journal::open(disk.path(), Options::new()).unwrap();
        let housekeeping = Housekeeping::start(&journal, Normalization::off());
        let recovery = Recovery { created: true, records: 0, cut: false, quarantined_bytes: 0 };
        let mut writer = JournalWriter::new(journal, housekeeping, Level::Batch, true, recovery);
        let mut batch = Batch::new();
        let mut commit = |writer: &mut JournalWriter, number| {
            batch.push(1, 1, b"a record").unwrap();
            writer.append(CommitSeq::new(number), &mut batch).unwrap();
        };
        for number in 1..=1000 {
            commit(&mut writer, number);
            if number % 10 == 0 {
                let appended = writer.journal.positions().appended;
                writer.journal.wait_durable(appended).unwrap();
            }
        }
        let remembered = writer.unacknowledged.len();
        assert!(remembered <= 20, "{remembered} commits");
        assert_eq!(writer.unacknowledged.back().map(|(commit, _)| commit.get()), Some(1000));
        writer.wait(CommitSeq::new(1)).unwrap();
        writer.wait(CommitSeq::new(1000)).unwrap();
        assert!(writer.unacknowledged.is_empty());
    }
}
