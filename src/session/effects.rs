//! The way out: effects, and when commits are durable.

use steadfast_engine_core::Effect;
use steadfast_wm::{CommitSeq, EffectKey, Record};

use super::Session;
use crate::error::{Error, Result};
use crate::outbox::Delivery;

impl Session {
    /// Effects of a type that nobody has acknowledged, in the order in which they were emitted.
    ///
    /// Only effects whose commit is acknowledged at the session's level are delivered; this waits for
    /// that. They are delivered again, under the same keys, until they are acknowledged.
    ///
    /// # Errors
    ///
    /// [`Error::Wait`] if their commits did not become durable; [`Error::Read`] if a stored effect
    /// does not fit the type.
    pub fn effects<E: Effect>(&mut self) -> Result<Vec<Delivery<E>>> {
        // INV-79: nothing leaves before its commit is acknowledged.
        if let Some(commit) = self.outbox.last_commit(E::TOPIC) {
            self.wait_durable(commit)?;
        }
        self.outbox.deliveries(self.id())
    }

    /// How many effects of all types nobody has acknowledged.
    pub fn effect_count(&self) -> usize {
        self.outbox.len()
    }

    /// Says that an effect was delivered; it is not delivered again.
    ///
    /// When this returns the acknowledgement survives the process; a power cut may deliver the effect
    /// once more, under the same key.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownEffect`] for a key that does not wait; [`Error::InTransaction`]; [`Error::Full`] if the disk is full: the
    /// effect then still waits.
    pub fn acknowledge(&mut self, key: EffectKey) -> Result<()> {
        self.outside("acknowledge")?;
        self.ready()?;
        if key.session != self.id() {
            return Err(Error::UnknownEffect { key });
        }
        self.outbox.check(key)?;
        if let Some(writer) = &mut self.writer {
            let (commit, ordinal) = (key.commit, key.ordinal);
            let acknowledged = writer.acknowledge(&Record::Acknowledge { commit, ordinal });
            self.failed |= matches!(&acknowledged, Err(error) if error.stops_session());
            acknowledged?;
        }
        self.outbox.remove(key);
        Ok(())
    }

    /// Waits until a commit is acknowledged at the session's level.
    ///
    /// # Errors
    ///
    /// [`Error::Wait`]; the session takes no more work then. [`Error::Full`] if the commit still
    /// waits for space on the disk.
    pub fn wait_durable(&mut self, commit: CommitSeq) -> Result<()> {
        self.ready()?;
        let Some(writer) = &mut self.writer else { return Ok(()) };
        let waited = writer.wait(commit);
        self.failed |= matches!(&waited, Err(error) if error.stops_session());
        waited
    }

    /// Makes room in the journal for so many bytes, ahead of a load that is faster than the disk can give
    /// new segments, and waits until it is there. A fact takes its own bytes and about thirty more. Nothing changes for a session in
    /// memory.
    ///
    /// # Errors
    ///
    /// [`Error::Full`] if the disk has no such room; the session goes on. [`Error::Append`].
    pub fn reserve(&mut self, bytes: u64) -> Result<()> {
        self.ready()?;
        let Some(writer) = &mut self.writer else { return Ok(()) };
        let reserved = writer.reserve(bytes);
        self.failed |= matches!(reserved, Err(Error::Append(_)));
        reserved
    }
}
