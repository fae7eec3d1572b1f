//! What the session's journal holds on disk, and making it smaller.

use crate::error::{Error, Result};
use crate::upkeep::{JournalStatus, Normalized};
use crate::writer::Writer;

use super::Session;

impl Session {
    /// Brings the journal into its normal form, whatever its dead share: what remains on disk is
    /// what the session's future depends on. Returns what that changed; `None` if there was nothing
    /// to gain, or for a session in memory.
    ///
    /// The journal goes on in a new segment, so that everything up to now can be normalized. Facts,
    /// handles, pending matches and waiting effects stay as they are, in memory as well as after the
    /// next opening. A crash leaves the old files or the new ones. The call takes as long as reading
    /// the journal and writing what lives does; a session that is opened without
    /// [`Normalization::off`](crate::Normalization::off) does the same in the background by itself.
    ///
    /// On a full disk there is room in reserve for it. A commit that waits for space is not part of it,
    /// and is journaled as soon as this has freed enough.
    ///
    /// # Errors
    ///
    /// [`Error::InTransaction`]; [`Error::Full`](crate::Error::Full) if the disk has no room for the normal form beside the
    /// journal, [`Error::Normalize`](crate::Error::Normalize) else; nothing was changed and the
    /// session goes on. The journal's errors as in [`Session::transact`].
    pub fn normalize(&mut self) -> Result<Option<Normalized>> {
        self.outside("normalize")?;
        match self.ready() {
            Ok(()) => self.writer.as_ref().map_or(Ok(None), Writer::normalize),
            Err(full @ Error::Full { .. }) => {
                let done = self.writer.as_ref().map_or(Ok(None), Writer::normalize_sealed)?;
                let done = done.ok_or(full)?;
                match self.ready() {
                    // The next call tells that it was not enough.
                    Ok(()) | Err(Error::Full { .. }) => Ok(Some(done)),
                    Err(error) => Err(error),
                }
            }
            Err(error) => Err(error),
        }
    }

    /// What the journal holds on disk, and why what is kept is kept; `None` for a session in memory, and for
    /// one that a group keeps.
    ///
    /// # Errors
    ///
    /// [`Error::Normalize`](crate::Error::Normalize) if the readers of other processes cannot be
    /// listed.
    pub fn journal_status(&self) -> Result<Option<JournalStatus>> {
        self.writer.as_ref().map_or(Ok(None), Writer::status)
    }
}
