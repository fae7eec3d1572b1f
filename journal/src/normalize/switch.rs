//! The switch: one manifest makes the new segments the journal's and drops the old ones.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use super::input::Input;
use super::output::Output;
use super::{Kept, Maintenance, NormalizeError};
use crate::error::{At as _, IoError};
use crate::files::{Dir, PINS};
use crate::ids::Position;
use crate::manifest::{Manifest, SegmentEntry};
use crate::pins;
use crate::storage::{Lock, LockError};

/// The room for the manifest that will list the new segments.
const MANIFEST_TMP: &str = "manifest-norm.tmp";

impl Output<'_> {
    /// INV-34: makes what was written part of the journal, and removes what it replaces.
    ///
    /// 1. The files get their names, durably. A crash here leaves segments that no manifest lists.
    /// 2. A manifest that lists them instead of the old ones is made beside the present one, durably.
    /// 3. It is switched to. From here on the old segments are not part of the journal.
    /// 4. Only then are they unlinked; what a crash leaves of them, the next open removes.
    pub(super) fn adopt(&mut self, input: &Input) -> Result<Vec<SegmentEntry>, NormalizeError> {
        let dir = &self.shared.dir;
        if self.shared.bugs.unlink_before_switch {
            self.unlink(input);
        }
        for part in &mut self.parts {
            let name = part.entry.name();
            dir.rename(&part.tmp, &name).map_err(NormalizeError::Io)?;
            part.tmp = name;
        }
        dir.sync().map_err(NormalizeError::Io)?;
        let entries: Vec<SegmentEntry> = self.parts.iter().map(|part| part.entry.clone()).collect();
        self.switch(input, &entries)?;
        self.parts.clear();
        self.unlink(input);
        Ok(entries)
    }

    fn switch(&mut self, input: &Input, entries: &[SegmentEntry]) -> Result<(), NormalizeError> {
        let (shared, dir) = (self.shared, &self.shared.dir);
        // A truncation looks for its place and cuts there while it holds this.
        let _still = shared.truncating.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            self.pace.check()?;
            let current = shared.lock().manifest.clone();
            let next = replaced(&current, input.entries(), entries)?;
            let path = dir.file(MANIFEST_TMP);
            let full = |error| NormalizeError::of(error, next.file_bytes(0));
            let fill = || dir.fill(MANIFEST_TMP, next.file_bytes(0));
            let file = shared.spares.with_reserve(fill).map_err(full)?;
            file.write_at(&next.encode(), 0).at("write", &path).map_err(full)?;
            file.sync().at("sync", &path).map_err(full)?;
            // Before the writer's lock: a reader that pins meanwhile must not keep it from appending.
            let _pins_hold_still = hold_still(dir)?;
            let mut writer = shared.lock();
            crate::shared::Shared::writable(&writer)?;
            if writer.manifest.generation != current.generation {
                continue; // A roll came between.
            }
            // Under both locks: whoever pins from now on, in this process or another one, sees the new
            // list.
            if let Some((position, holder)) = Maintenance::new(shared)
                .slowest_pin()?
                .filter(|(position, _)| input.end().end_position > position.get())
            {
                return Err(NormalizeError::Kept(Kept::Pin { position, holder }));
            }
            // After an error of the rename nothing was renamed.
            dir.rename_manifest(&current, MANIFEST_TMP).map_err(NormalizeError::Io)?;
            // From here on nobody knows which of the two a power cut leaves, so neither loses a file.
            self.parts.clear();
            if let Err(error) = dir.sync() {
                return Err(shared.fail(&mut writer, error).into());
            }
            shared.published.generation.store(next.generation, Ordering::Release);
            writer.manifest = next;
            return Ok(());
        }
    }

    /// Removes the files of the old segments. Whoever has one open reads on.
    fn unlink(&self, input: &Input) {
        for entry in input.entries() {
            self.shared.dir.discard(&entry.name());
        }
    }
}

/// Keeps readers of other processes from pinning unseen; one that is at it right now has a pin.
fn hold_still(dir: &Dir) -> Result<Option<Box<dyn Lock>>, NormalizeError> {
    pins::hold_still(dir).map_err(|error| match error {
        LockError::Held { holder } => {
            let holder = holder.or_else(|| Some("an unknown process".to_owned()));
            NormalizeError::Kept(Kept::Pin { position: Position::new(0), holder })
        }
        LockError::Io(error) => NormalizeError::Io(IoError::new("lock", &dir.file(PINS), error)),
    })
}

/// The manifest with `new` instead of `old`.
fn replaced(
    current: &Manifest,
    old: &[SegmentEntry],
    new: &[SegmentEntry],
) -> Result<Manifest, NormalizeError> {
    let at = current.segments.iter().position(|entry| Some(entry) == old.first());
    let range = at.map(|at| at..at + old.len());
    let listed = range.clone().and_then(|range| current.segments.get(range));
    let Some(range) = range.filter(|_| listed == Some(old)) else {
        return Err(NormalizeError::Overtaken);
    };
    let mut next = current.clone();
    next.segments.splice(range, new.iter().cloned());
    next.generation += 1;
    Ok(next)
}
