//! Collects what the engine reports: records for the journal, effects for the outbox.

use steadfast_engine_core::{ActionSink, AgendaEvent};
use steadfast_journal::{Batch, BatchError, BatchMark};
use steadfast_txn::MarkedSink;
use steadfast_wm::Record;
use steadfast_wm::codec::v1;

use crate::events::Heard;
use crate::outbox::Emitted;

/// From this many bytes on a run of firings is cut into several commits.
const COMMIT_BYTES: usize = 4 << 20;

/// What a record has beside its value, at most: envelope, handle, numbers, names of topics.
const ENVELOPE_BYTES: usize = 512;

/// The records of the commit that is being built.
#[derive(Debug, Default)]
pub(crate) struct Recorder {
    /// The journal's batch; none for a session in memory.
    pub(crate) batch: Option<Batch>,
    /// Bytes of the longest record that the journal takes.
    pub(crate) record_bytes_max: usize,
    pub(crate) effects: Vec<Emitted>,
    /// What listeners will be told of; none without listeners.
    pub(crate) heard: Option<Heard>,
    /// The first record that the batch refused.
    pub(crate) refused: Option<BatchError>,
    /// Whether a root is open: all that it does is one commit.
    pub(crate) in_root: bool,
}

/// A place in what was recorded.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mark {
    batch: BatchMark,
    effects: usize,
    heard: (usize, usize),
    refused: bool,
}

impl Recorder {
    /// Whether nobody wants to know of a commit, and it emitted nothing.
    #[inline]
    pub(crate) fn is_idle(&self) -> bool {
        self.batch.is_none() && self.heard.is_none() && self.effects.is_empty()
    }

    pub(crate) fn has_records(&self) -> bool {
        self.batch.as_ref().is_some_and(|batch| !batch.is_empty())
    }
}

impl ActionSink for Recorder {
    fn record(&mut self, record: &Record<'_>) {
        if let Record::Effect { ordinal, topic, version, bytes } = record {
            let (topic, bytes) = ((*topic).to_owned(), (*bytes).into());
            self.effects.push(Emitted { ordinal: *ordinal, topic, version: *version, bytes });
        }
        if let Some(heard) = &mut self.heard {
            v1::encode(record, &mut heard.records);
        }
        if let Some(batch) = &mut self.batch
            && let Err(error) = batch.push_with(|bytes| v1::encode(record, bytes))
        {
            self.refused.get_or_insert(error);
        }
    }

    fn agenda_event(&mut self, event: AgendaEvent) {
        if let Some(heard) = &mut self.heard {
            heard.agenda.push((heard.records.len(), event));
        }
    }

    #[inline]
    fn wants_agenda_events(&self) -> bool {
        self.heard.is_some()
    }

    #[inline]
    fn wants_records(&self) -> bool {
        self.batch.is_some() || self.heard.is_some()
    }

    fn value_bytes_max(&self) -> usize {
        self.batch
            .as_ref()
            .map_or(usize::MAX, |_| self.record_bytes_max.saturating_sub(ENVELOPE_BYTES))
    }

    fn wants_commit(&self) -> bool {
        !self.in_root && self.batch.as_ref().is_some_and(|batch| batch.byte_len() >= COMMIT_BYTES)
    }
}

impl MarkedSink for Recorder {
    type Mark = Mark;

    fn mark(&self) -> Mark {
        Mark {
            batch: self.batch.as_ref().map(Batch::mark).unwrap_or_default(),
            effects: self.effects.len(),
            heard: self.heard.as_ref().map(Heard::mark).unwrap_or_default(),
            refused: self.refused.is_some(),
        }
    }

    fn cut(&mut self, mark: &Mark) {
        if let Some(batch) = &mut self.batch {
            batch.truncate(mark.batch);
        }
        self.effects.truncate(mark.effects);
        if let Some(heard) = &mut self.heard {
            heard.truncate(mark.heard);
        }
        if !mark.refused {
            self.refused = None;
        }
    }
}
