//! The only way out of the engine.

use steadfast_wm::Record;

use crate::engine::AgendaEvent;

/// Takes what the engine reports, in order. Implemented by whoever journals, follows or counts.
///
/// # Contract
///
/// The engine calls [`ActionSink::record`] for everything that happens, in the order in which it
/// happens, and never looks at what becomes of it. The implementor must not lose a record: if it
/// cannot keep one it remembers that and refuses the commit.
pub trait ActionSink {
    /// Takes one record; its bytes are borrowed for the call only.
    fn record(&mut self, record: &Record<'_>);

    /// Bytes of the longest value of a fact, an effect or a global that can be kept; longer ones are
    /// refused before anything is applied.
    fn value_bytes_max(&self) -> usize {
        usize::MAX
    }

    /// Whether a run of firings should stop after the current one, for a commit; asked if records are wanted.
    fn wants_commit(&self) -> bool {
        false
    }

    /// Takes an event of the agenda, which is for listeners alone: nothing of it is journaled. It comes
    /// between the records before and behind which it happened.
    fn agenda_event(&mut self, event: AgendaEvent) {
        drop(event);
    }

    /// Whether [`ActionSink::agenda_event`] is to be called; without, the engine saves making events.
    fn wants_agenda_events(&self) -> bool {
        false
    }

    /// Whether records are wanted at all; without, the engine saves making them. It asks once for each call of
    /// its own methods.
    fn wants_records(&self) -> bool {
        true
    }
}

/// Keeps nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Discard;

impl ActionSink for Discard {
    fn record(&mut self, _record: &Record<'_>) {}

    fn wants_records(&self) -> bool {
        false
    }
}
