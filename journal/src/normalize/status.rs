//! What may be normalized, and why the rest is kept.

use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::Ordering;

use super::{Maintenance, NormalizeError};
use crate::ids::{Lsn, Position};

/// Why a segment is kept as it is.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Kept {
    /// It takes further frames.
    Active,
    /// It holds frames of a root that is still open, or of one that no safe point is known to have
    /// completed.
    OpenTransaction,
    /// Somebody reads it, or what comes before it.
    Pin {
        /// From where on everything is kept.
        position: Position,
        /// Who; `None` for a reader of this process.
        holder: Option<String>,
    },
    /// A snapshot stands there or before it, from which a session may have to be brought back.
    Snapshot {
        /// Where the snapshot stands.
        position: Position,
    },
    /// Too little of it is dead for rewriting it. The journal itself never says so; whoever knows
    /// what its records mean does.
    TooLive {
        /// How much of it would remain, in percent.
        live_percent: u8,
    },
}

impl fmt::Display for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Active => f.write_str("it takes further frames"),
            Self::OpenTransaction => f.write_str("a transaction in it is open"),
            Self::Pin { position, holder } => {
                let holder = holder.as_deref().unwrap_or("a reader of this process");
                write!(f, "{holder} reads from position {position} on")
            }
            Self::TooLive { live_percent } => write!(f, "{live_percent} % of it is live"),
            Self::Snapshot { position } => write!(f, "a snapshot stands at position {position}"),
        }
    }
}

/// One segment of an open journal, as normalization sees it.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct SegmentState {
    /// The file.
    pub file: PathBuf,
    /// The first frame of its range.
    pub first_lsn: Lsn,
    /// Where its range begins.
    pub begin: Position,
    /// Length of the file in bytes.
    pub file_bytes: u64,
    /// Whether it was normalized.
    pub compacted: bool,
    /// Why it may not be normalized; `None` if it may.
    pub kept: Option<Kept>,
}

impl Maintenance {
    /// The segments, in order, and why each is kept that may not be normalized.
    ///
    /// # Errors
    ///
    /// [`NormalizeError::Closed`], or that the pins of other processes could not be read.
    pub fn segments(&self) -> Result<Vec<SegmentState>, NormalizeError> {
        if self.shared.upkeep.has_ended() {
            return Err(NormalizeError::Closed);
        }
        let pin = self.slowest_pin()?;
        let safe = self.shared.published.safe.load(Ordering::Acquire);
        let writer = self.shared.lock();
        let snapshot = writer.manifest.snapshots.iter().map(|snapshot| snapshot.position).min();
        let kept = |end: Option<u64>| {
            let Some(end) = end else { return Some(Kept::Active) };
            if end > safe {
                return Some(Kept::OpenTransaction);
            }
            if let Some((position, holder)) =
                pin.clone().filter(|(position, _)| end > position.get())
            {
                return Some(Kept::Pin { position, holder });
            }
            let position = snapshot.filter(|position| end > *position)?;
            Some(Kept::Snapshot { position: Position::new(position) })
        };
        let segments = writer.manifest.segments.iter().map(|entry| SegmentState {
            file: self.shared.dir.file(&entry.name()),
            first_lsn: Lsn::new(entry.first_lsn),
            begin: Position::new(entry.first_position),
            file_bytes: entry.physical_bytes,
            compacted: entry.compacted,
            kept: kept(entry.seal.map(|seal| seal.end_position)),
        });
        Ok(segments.collect())
    }

    /// The pin that holds the most, and who holds it.
    pub(super) fn slowest_pin(&self) -> Result<Option<(Position, Option<String>)>, NormalizeError> {
        let pins = self.shared.pins.all(&self.shared.dir).map_err(NormalizeError::Io)?;
        Ok(pins.into_iter().next().map(|pin| (pin.position, pin.holder)))
    }
}
