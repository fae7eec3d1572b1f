//! A journal on a simulated disk next to an oracle that knows what must be there.
//!
//! The oracle is the list of groups in the order in which they were appended, and two numbers: how
//! many of them were acknowledged against the death of the process, and how many against a power
//! cut. After a crash, the journal must hold a prefix of the list that ends with a safe point and
//! reaches at least as far as the crash allows. The list then becomes that prefix, so that whatever
//! was discarded is wrong if it ever comes back.

use std::path::Path;
use std::sync::Arc;

use steadfast_journal::testing::{Chooser, Planted, SimDisk};
use steadfast_journal::{
    AppendError, Batch, End, From, Journal, Level, OpenError, Options, Position, WriteMode,
};

use crate::keyed::Verbatim;

pub(crate) const DIR: &str = "/journal";

/// How the simulated process ends.
pub(crate) enum Crash<'a> {
    Kill,
    PowerCut(&'a mut dyn Chooser),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Entry {
    id: u64,
    /// Records of the group; 0 stands for a safe point without records.
    records: usize,
    end: End,
    position: u64,
    lsn: u64,
}

/// Disks of these seeds: each once as a disk that may be full, and once with a quota that may be used
/// up, which must be the same.
pub(crate) fn limited(seeds: impl Iterator<Item = u64>) -> impl Iterator<Item = (u64, SimDisk)> {
    seeds.flat_map(|seed| {
        let (disk, with_quota) = (SimDisk::new(seed), SimDisk::new(seed));
        with_quota.set_quota();
        [(seed, disk), (seed, with_quota)]
    })
}

/// What is wrong, for people.
pub(crate) type Violation = String;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Setup {
    pub(crate) mode: WriteMode,
    pub(crate) planted: Option<Planted>,
    pub(crate) after_power_loss: bool,
}

impl Setup {
    pub(crate) const fn new(mode: WriteMode) -> Self {
        Self { mode, planted: None, after_power_loss: false }
    }

    pub(crate) fn options(self, disk: &SimDisk) -> Options {
        let options = Options::new()
            .storage(Arc::new(disk.clone()))
            .segment_bytes(64 << 10)
            .write_mode(self.mode)
            .after_power_loss(self.after_power_loss)
            .without_background();
        match self.planted {
            Some(bug) => options.planted(bug),
            None => options,
        }
    }

    pub(crate) fn open(self, disk: &SimDisk) -> Result<Journal, OpenError> {
        Journal::open(Path::new(DIR), self.options(disk)).map(|(journal, _)| journal)
    }
}

/// The journal, its disk and the oracle.
pub(crate) struct World {
    pub(crate) disk: SimDisk,
    pub(crate) setup: Setup,
    journal: Option<Journal>,
    timeline: Vec<Entry>,
    acked_kill: usize,
    acked_power: usize,
    next_id: u64,
    /// Groups before this one may have been normalized: they are there with their records.
    maybe_compacted: usize,
    /// The greatest sequence number that was ever acknowledged against a power cut.
    durable_lsn: u64,
    batch: Batch,
}

impl World {
    pub(crate) fn new(disk: SimDisk, setup: Setup) -> Self {
        Self {
            disk,
            setup,
            journal: None,
            timeline: Vec::new(),
            acked_kill: 0,
            acked_power: 0,
            next_id: 1,
            durable_lsn: 0,
            maybe_compacted: 0,
            batch: Batch::new(),
        }
    }

    pub(crate) fn journal(&self) -> &Journal {
        self.journal.as_ref().expect("the journal is open")
    }

    /// The same oracle over a copy of the disk, without an open journal.
    pub(crate) fn branch(&self, disk: SimDisk) -> Self {
        Self {
            disk,
            setup: self.setup,
            journal: None,
            timeline: self.timeline.clone(),
            batch: Batch::new(),
            ..*self
        }
    }

    /// The records of a group: the first names it, the others fill it.
    fn fill(&mut self, id: u64, records: usize, bytes: usize) {
        self.batch.clear();
        for number in 0..records as u64 {
            let mut payload = id.to_le_bytes().to_vec();
            payload.extend_from_slice(&number.to_le_bytes());
            payload.resize(payload.len().max(bytes), 0x5a);
            self.batch.push(1, 1, &payload).expect("short");
        }
    }

    fn append_sized(&mut self, end: End, records: usize, bytes: usize) -> Option<Position> {
        let id = self.next_id;
        self.next_id += 1;
        self.fill(id, records, bytes);
        self.timeline.push(Entry { id, records, end, position: 0, lsn: 0 });
        let appended = match self.journal().append(&self.batch, end) {
            Ok(appended) => appended,
            Err(AppendError::Full { .. }) => {
                self.timeline.pop(); // Nothing of it was written.
                return None;
            }
            Err(_) => return None, // It may be there after the crash, as a whole.
        };
        let entry = self.timeline.last_mut().expect("just pushed");
        (entry.position, entry.lsn) = (appended.position.get(), appended.lsn.get());
        assert!(entry.lsn > self.durable_lsn, "a sequence number was used twice");
        Some(appended.position)
    }

    /// Everything appended was acknowledged, unless the process was dead by then.
    fn acknowledge(&mut self, level: Level) {
        if self.disk.has_crashed() {
            return;
        }
        self.acked_kill = self.timeline.len();
        if !matches!(level, Level::Process | Level::Interval(_)) {
            self.acked_power = self.timeline.len();
            let lsn = self.timeline.last().map_or(0, |entry| entry.lsn);
            self.durable_lsn = self.durable_lsn.max(lsn);
        }
    }

    fn commit(&mut self, level: Level) {
        let Some(position) = self.append_sized(End::SafePoint, 1, 0) else {
            return;
        };
        if self.journal().wait(position, level).is_ok() {
            self.acknowledge(level);
        }
    }

    /// Opens the journal after the crash and compares.
    fn reopen(&mut self, required: usize) -> Result<(), Violation> {
        self.journal = None;
        let journal = self.setup.open(&self.disk);
        if self.disk.has_crashed() {
            self.journal = journal.ok();
            return Ok(());
        }
        let journal = journal.map_err(|error| format!("refuses a good journal: {error:?}"))?;
        let found = Self::read(&journal)?;
        let kept = self.match_prefix(&found, required)?;
        self.timeline.truncate(kept);
        (self.acked_kill, self.acked_power) = (kept, kept);
        let lsn = self.timeline.last().map_or(0, |entry| entry.lsn);
        self.durable_lsn = self.durable_lsn.max(lsn);
        self.journal = Some(journal);
        Ok(())
    }

    fn read(journal: &Journal) -> Result<Vec<Entry>, Violation> {
        let mut found = Vec::new();
        let mut reader = journal.read(From::Start).map_err(|error| format!("{error:?}"))?;
        while let Some(group) = reader.next_group().map_err(|error| format!("{error:?}"))? {
            let mut id = 0;
            // What remains of a group in a compacted segment may be cut into several.
            let lsn = group.lsn().get();
            let begun = found.pop_if(|entry: &mut Entry| entry.lsn == lsn);
            let before = begun.map_or(0, |entry| entry.records);
            for (number, record) in (before..).zip(group.records()) {
                let payload = record.payload();
                let word = |at: usize| {
                    let bytes = payload.get(at..at + 8).and_then(|bytes| bytes.try_into().ok());
                    bytes.map(u64::from_le_bytes)
                };
                let (Some(of), Some(at)) = (word(0), word(8)) else {
                    return Err("a record that nobody wrote".to_owned());
                };
                id = if number == before { begun.map_or(of, |entry| entry.id) } else { id };
                if of != id || at != number as u64 {
                    return Err(format!("wrong record {at} of group {of} in group {id}"));
                }
            }
            found.push(Entry {
                id,
                records: before + group.record_count(),
                end: group.end(),
                position: group.position().get(),
                lsn: group.lsn().get(),
            });
        }
        Ok(found)
    }

    /// Checks that `found` is a prefix of the timeline that is long enough; returns its length.
    fn match_prefix(&mut self, found: &[Entry], required: usize) -> Result<usize, Violation> {
        // A safe point without records has no name in the journal.
        for (index, entry) in found.iter().enumerate() {
            let Some(expected) = self.timeline.get_mut(index) else {
                return Err(format!("{entry:?} was discarded or never written"));
            };
            if index < self.maybe_compacted
                && (entry.id, entry.records, entry.lsn)
                    == (expected.id, expected.records, expected.lsn)
            {
                continue;
            }
            let same = entry.end == expected.end
                && entry.records == expected.records
                && (entry.id == expected.id || entry.records == 0)
                && (expected.lsn == 0
                    || (entry.lsn, entry.position) == (expected.lsn, expected.position));
            if !same {
                return Err(format!("found {entry:?}, expected {expected:?}"));
            }
            (expected.lsn, expected.position) = (entry.lsn, entry.position);
        }
        if found.last().is_some_and(|last| last.end == End::Batch) {
            return Err("recovery kept a root that was never completed".to_owned());
        }
        let acknowledged = &self.timeline[..required.min(self.timeline.len())];
        let needed = acknowledged
            .iter()
            .rposition(|entry| entry.end == End::SafePoint)
            .map_or(0, |index| index + 1);
        if found.len() < needed {
            let lost = &self.timeline[found.len()..needed];
            return Err(format!("lost what was acknowledged: {lost:?}"));
        }
        Ok(found.len())
    }

    /// Ends the process, opens the journal again and compares; twice, since recovery must not
    /// change its own result.
    pub(crate) fn crash(&mut self, crash: &mut Crash<'_>) -> Result<(), Violation> {
        let required = self.end_process(crash);
        self.reopen(required)
    }

    /// A failed sync takes from the page cache what it could not write: level `Process` promises
    /// nothing any more.
    pub(crate) fn count_only_durable(&mut self) {
        self.acked_kill = self.acked_power;
    }

    /// How much must survive if the power is cut before the journal was opened again.
    pub(crate) const fn required_after_power_cut(&self) -> usize {
        self.acked_power
    }

    /// Ends the process; returns how much must survive.
    pub(crate) fn end_process(&mut self, crash: &mut Crash<'_>) -> usize {
        let (disk, required) = match crash {
            Crash::Kill => (self.disk.kill(), self.acked_kill),
            Crash::PowerCut(chooser) => (self.disk.power_cut(*chooser), self.acked_power),
        };
        self.journal = None;
        self.disk = disk;
        required
    }

    /// Opens the journal for the first time, or again after [`end_process`](Self::end_process).
    pub(crate) fn start(&mut self, required: usize) -> Result<(), Violation> {
        self.reopen(required)
    }

    /// The index behind the safe point before the last one.
    fn earlier_safe_point(&self) -> Option<usize> {
        let safe = |(_, entry): &(usize, &Entry)| entry.end == End::SafePoint && entry.position > 0;
        let ends = self.timeline.iter().enumerate().filter(safe).map(|(index, _)| index + 1);
        ends.rev().nth(1)
    }

    /// Does one step of a history. Errors of the journal end the step: the disk may be dead.
    pub(crate) fn step(&mut self, step: char, chooser: &mut dyn Chooser) -> Result<(), Violation> {
        match step {
            'a' => {
                self.append_sized(End::SafePoint, 1, 0);
            }
            'b' => {
                self.append_sized(End::Batch, 1, 0);
            }
            'B' => {
                // Several frames over several segments.
                self.append_sized(End::SafePoint, 5, 30_000);
            }
            'p' => self.commit(Level::Process),
            's' => {
                let position = self.journal().positions().appended;
                if self.journal().wait(position, Level::Batch).is_ok() {
                    self.acknowledge(Level::Batch);
                }
            }
            'n' => self.commit(Level::Paranoid),
            'w' => {
                self.journal().run_idle();
                let positions = self.journal().positions();
                if positions.durable == positions.appended && !self.timeline.is_empty() {
                    self.acknowledge(Level::Batch);
                }
            }
            'r' => drop(self.journal().roll()),
            't' => self.truncate(),
            'z' => self.normalize(chooser),
            'k' => return self.crash(&mut Crash::Kill),
            'c' => return self.crash(&mut Crash::PowerCut(chooser)),
            'x' => {
                let journal = self.journal.take().expect("the journal is open");
                if journal.close().is_ok() {
                    self.acknowledge(Level::Batch);
                }
                self.disk = self.disk.kill();
                return self.reopen(self.acked_kill);
            }
            other => unreachable!("no step {other}"),
        }
        Ok(())
    }

    /// Normalizes a run of segments in a way that loses nothing.
    fn normalize(&mut self, chooser: &mut dyn Chooser) {
        let maintenance = self.journal().maintenance();
        let Ok(segments) = maintenance.segments() else { return };
        let ready = segments.iter().take_while(|segment| segment.kept.is_none()).count();
        if ready == 0 {
            return;
        }
        self.maybe_compacted = self.timeline.len();
        let begin = segments[chooser.choose(ready)].begin;
        for end in segments[1..=ready].iter().rev().map(|segment| segment.begin) {
            // A range that ends in an open root is refused; a shorter one may do.
            if maintenance.normalize(begin..end, &mut Verbatim::default(), None).is_ok() {
                return;
            }
        }
    }

    fn truncate(&mut self) {
        let Some(kept) = self.earlier_safe_point() else {
            return;
        };
        // From here on the dropped end may be there after a crash, or not.
        self.acked_kill = self.acked_kill.min(kept);
        self.acked_power = self.acked_power.min(kept);
        let position = Position::new(self.timeline[kept - 1].position);
        if self.journal().truncate(position).is_ok() && !self.disk.has_crashed() {
            self.timeline.truncate(kept);
            self.acknowledge(Level::Batch);
        }
    }

    /// Runs a whole history, unless the process dies in it.
    pub(crate) fn run(&mut self, steps: &str, chooser: &mut dyn Chooser) -> Result<(), Violation> {
        for step in steps.chars() {
            if self.disk.has_crashed() || self.journal.is_none() {
                return Ok(());
            }
            self.step(step, chooser)?;
        }
        Ok(())
    }
}
