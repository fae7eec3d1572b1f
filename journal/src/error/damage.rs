//! Bytes that are wrong, or too new.

use std::fmt;
use std::path::PathBuf;

use thiserror::Error;

use crate::ids::{Lsn, Position};

/// What is wrong at the place of damage.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum CorruptReason {
    /// The bytes are not the header of a frame of this segment at this offset.
    FrameHeader,
    /// The frame's header holds, its payload's checksum does not.
    Payload,
    /// The frame's payload reaches past the end of the segment.
    Length,
    /// The frame has another sequence number than the next one.
    Sequence,
    /// The frame does not continue the frame before it.
    Chain,
    /// The frames of a sealed segment do not end where the manifest says.
    SealedLength,
    /// A seal stands where the manifest says that the segment goes on.
    Seal,
    /// Everything that is there is intact, and more was durable: the manifest is old, or a sync was
    /// answered and never done.
    EndMissing,
    /// A segment of the manifest is missing.
    SegmentMissing,
    /// Neither copy of the segment's header holds.
    SegmentHeader,
    /// The segment belongs to another journal, or to another place in this one.
    SegmentForeign,
    /// The medium answers with an error where the frame stands. Only a repair goes on behind that;
    /// opening answers with the error.
    Unreadable,
    /// A compacted segment has not the length that the manifest says.
    CompactedLength,
    /// A compacted segment is not, byte for byte, the one that the manifest lists.
    CompactedDigest,
    /// Both slots of the `DURABLE` file are damaged, or the file is missing.
    DurableFile,
    /// Valid frames follow damage although the system has not restarted since the journal was
    /// opened: a killed process tears at most its last frame. If page cache was lost all the same,
    /// open with [`Options::after_power_loss`](crate::Options::after_power_loss) (the flag
    /// `--after-power-loss`).
    HoleWithoutPowerLoss,
}

impl fmt::Display for CorruptReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::FrameHeader => "no valid frame header",
            Self::Payload => "payload checksum does not hold",
            Self::Length => "payload reaches past the end of the segment",
            Self::Sequence => "wrong sequence number",
            Self::Chain => "does not continue the frame before it",
            Self::SealedLength => "frames do not end at the sealed length",
            Self::Seal => "seal out of place",
            Self::EndMissing => "the journal ends before what was durable",
            Self::SegmentMissing => "segment missing",
            Self::SegmentHeader => "neither copy of the segment header holds",
            Self::SegmentForeign => "segment of another journal or place",
            Self::Unreadable => "the medium cannot be read",
            Self::CompactedLength => "compacted segment of another length",
            Self::CompactedDigest => "compacted segment with other bytes",
            Self::DurableFile => "both durable slots are damaged or missing",
            Self::HoleWithoutPowerLoss => {
                "valid frames follow damage without a restart of the system \
                 (if page cache was lost, use --after-power-loss)"
            }
        })
    }
}

/// Damage to bytes that were durable once. Nothing was changed.
///
/// The journal cannot tell what the damaged bytes said. Restore the file from a copy, fetch the
/// range from a follower, or give up what is lost with the separate repair tool.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[error(
    "corrupt journal: `{}` at offset {offset}: {reason}; expected lsn {expected_lsn}, \
     everything before position {durable_position} was durable, {bytes_after} bytes follow",
    file.display()
)]
pub struct Corrupt {
    /// The damaged file.
    pub file: PathBuf,
    /// Where the damage begins, in bytes from the begin of the file.
    pub offset: u64,
    /// The sequence number that the bytes there claim, if they are a frame header.
    pub lsn: Option<Lsn>,
    /// The sequence number of the frame that belongs there.
    pub expected_lsn: Lsn,
    /// Everything before this position is known to have been durable.
    pub durable_position: Position,
    /// What is wrong.
    pub reason: CorruptReason,
    /// Bytes from the damage to the end of what was written.
    pub bytes_after: u64,
}

/// A file that only a newer version can use.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum NewerFormat {
    /// The major version of the format is newer (or older) than this build's.
    #[error("`{}` has format {major}.{minor}, this build reads format {supported}", file.display())]
    Major {
        /// The file.
        file: PathBuf,
        /// Major version found; a build that reads it is needed.
        major: u16,
        /// Minor version found.
        minor: u16,
        /// The major version that this build reads.
        supported: u16,
    },
    /// The file uses features that this build does not know.
    #[error(
        "`{}` (format {major}.{minor}) needs the unknown incompatible features {bits:#x}",
        file.display()
    )]
    Incompat {
        /// The file.
        file: PathBuf,
        /// Major version found.
        major: u16,
        /// Minor version found: a build of at least this format is needed.
        minor: u16,
        /// The unknown feature bits.
        bits: u32,
    },
    /// The journal may be read, not written: it uses features that a writer must know. Open it with
    /// [`Journal::inspect`](crate::Journal::inspect).
    #[error(
        "`{}` (format {major}.{minor}) may only be read: unknown features {bits:#x}",
        file.display()
    )]
    ReadOnly {
        /// The file.
        file: PathBuf,
        /// Major version found.
        major: u16,
        /// Minor version found: a build of at least this format is needed to write.
        minor: u16,
        /// The unknown feature bits.
        bits: u32,
    },
    /// A frame is of a kind, or has flags, that this build does not know and may not skip.
    #[error(
        "`{}` at offset {offset}: unknown frame kind {kind} with flags {flags:#04x}",
        file.display()
    )]
    Frame {
        /// The file.
        file: PathBuf,
        /// Where the frame begins.
        offset: u64,
        /// The kind's code.
        kind: u8,
        /// The flags.
        flags: u8,
    },
}
