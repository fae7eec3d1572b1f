//! Dropping the new end of an open journal.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use crate::cut::{self, Quarantined};
use crate::error::{At as _, IoError, TruncateError};
use crate::group::Want;
use crate::ids::Position;
use crate::reader::{Source, find_safe_point};
use crate::recovery::Boundary;
use crate::shared::{Guard, Shared};
use crate::spare::{Need, Spare};
use crate::writer::{Mark, segment_bytes_for};

/// What a truncation has done.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Truncated {
    /// Where the next group begins: behind everything that the discarded bytes can have used.
    pub next: Position,
    /// What was cut off, and where it is now.
    pub quarantined: Vec<Quarantined>,
}

impl Shared {
    pub(crate) fn truncate(
        self: &std::sync::Arc<Self>,
        position: Position,
    ) -> Result<Truncated, TruncateError> {
        // One at a time: a boundary that was found stays where it is.
        let _one = self.truncating.lock().unwrap_or_else(PoisonError::into_inner);
        // The cut begins with a sync; what is read for the boundary is then in the file.
        let appended = Position::new(self.published.appended.load(Ordering::Acquire));
        if let Err(crate::error::WaitError::Poisoned(poison)) = self.wait(appended, Want::Durable) {
            return Err(poison.into());
        }
        let safe = find_safe_point(&Source::Open(self.clone()), position)?
            .ok_or(TruncateError::NoSafePoint { position })?;
        let mut writer = self.lock();
        while writer.poison.is_none() && (writer.writing || writer.rounds.is_any_in_flight()) {
            writer = self.roles.wait(writer).unwrap_or_else(PoisonError::into_inner);
        }
        if let Some(poison) = &writer.poison {
            return Err(poison.clone().into());
        }
        if safe.position == writer.end.position {
            return Ok(Truncated { next: position, quarantined: Vec::new() });
        }
        let need = self.need(&writer, writer.active.bytes, 0);
        let least = Need { segment_bytes: segment_bytes_for(0), ..need };
        let spare = match self.spares.take(need, least, false) {
            Ok(spare) => spare,
            Err(error) if error.is_out_of_space() => {
                return Err(TruncateError::Full { needed: need.segment_bytes });
            }
            Err(error) => return Err(self.fail(&mut writer, error).into()),
        };
        match self.try_truncate(&mut writer, &safe, &spare) {
            Ok(quarantined) => {
                self.wake_all(&mut writer);
                Ok(Truncated { next: Position::new(writer.end.position), quarantined })
            }
            Err(error) => Err(self.fail(&mut writer, error).into()),
        }
    }

    fn try_truncate(
        &self,
        writer: &mut Guard<'_>,
        safe: &Boundary,
        spare: &Spare,
    ) -> Result<Vec<Quarantined>, IoError> {
        Self::write_queue(writer)?;
        writer.active.file.sync().at("sync", &writer.active.path)?;
        let end = writer.active.offset;
        let mut quarantined = cut::quarantine_tail(&self.dir, &writer.manifest, safe, end)?;
        let (mut next, begin) = cut::cut(&writer.manifest, safe);
        let leftover = cut::shorten(&self.dir, &mut next, self.bugs.drop_salt)?;
        let active = self.maker().make(&mut next, &begin, spare)?;
        next.generation += 1;
        self.dir.switch_manifest(Some(&writer.manifest), &next, Some(&spare.manifest_name))?;
        let before = std::mem::replace(&mut writer.manifest, next);
        let position = begin.first_position;
        let mark = Mark { position, lsn: begin.first_lsn - 1, safe: position };
        writer.active = active;
        (writer.end, writer.written, writer.durable) = (mark, mark, position);
        writer.prev_crc = begin.prev_crc;
        self.published.generation.store(writer.manifest.generation, Ordering::Release);
        self.publish_durable(writer, position);
        self.publish(writer);
        quarantined.extend(cut::finish(&self.dir, &before, safe, end, leftover)?);
        Ok(quarantined)
    }
}
