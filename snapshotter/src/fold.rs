//! Folding a journal.

use std::ops::ControlFlow;

use steadfast_journal::{From, Journal, Lsn, Position};

use crate::error::FoldJournalError;
use crate::image::Image;
use crate::records::each;

/// An image and where in the journal it stands.
#[derive(Clone, Debug)]
pub struct Folded {
    /// The image.
    pub image: Image,
    /// Last frame that is in it; `None` for an empty journal.
    pub lsn: Option<Lsn>,
    /// How many records are in it.
    pub records: u64,
}

/// Folds everything that a journal holds.
///
/// `progress` is called now and then with the position reached and the end; breaking off stops it.
///
/// # Errors
///
/// [`FoldJournalError`], with the place in the journal. Nothing is changed.
pub fn fold_journal(
    journal: &Journal,
    mut progress: impl FnMut(Position, Position) -> ControlFlow<()>,
) -> Result<Folded, FoldJournalError> {
    let end = journal.positions().appended;
    let mut reader = journal.read(From::Start)?;
    let mut folded = Folded { image: Image::default(), lsn: None, records: 0 };
    let mut groups = 0_u64;
    while let Some(group) = reader.next_group()? {
        let lsn = group.lsn();
        let Folded { image, records, .. } = &mut folded;
        each(&group, |record, _| {
            *records += 1;
            image.apply(record)
        })?;
        folded.lsn = Some(lsn);
        groups += 1;
        if groups.is_multiple_of(1024) && progress(group.position(), end).is_break() {
            return Err(FoldJournalError::Stopped);
        }
    }
    if progress(end, end).is_break() {
        return Err(FoldJournalError::Stopped);
    }
    Ok(folded)
}
