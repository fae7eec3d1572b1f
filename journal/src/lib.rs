//! A journal: frames of opaque records in memory-mapped segments, which after any crash is either
//! exactly as long as it was acknowledged to be, or refuses and says where it was damaged.

mod append;
mod background;
mod batch;
mod bytes;
mod cut;
mod durable_slot;
mod error;
mod files;
mod frame;
mod group;
mod ids;
mod inspect;
mod journal;
mod manifest;
mod mmap;
mod open;
mod options;
mod reader;
mod record;
mod recovery;
mod registry;
mod roll;
mod segment;
mod shared;
mod spare;
pub mod storage;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod truncate;
mod window;
mod writer;

pub use append::{Appended, GROUP_BYTES_MAX};
pub use batch::{Batch, BatchError, End, RECORD_BYTES_MAX};
pub use cut::Quarantined;
pub use error::{
    AppendError, CloseError, CommitError, Corrupt, CorruptReason, IoError, NewerFormat, OpenError,
    Poisoned, ReadError, TruncateError, WaitError,
};
pub use group::Durable;
pub use ids::{Lsn, Position, Uuid};
pub use inspect::{Inspection, SegmentInfo};
pub use journal::{Journal, Positions};
pub use manifest::ManifestDamage;
pub use open::{Found, Opened, SafePoint};
pub use options::{
    Create, Level, Options, Progress, ProgressFn, SEGMENT_BYTES_DEFAULT, SEGMENT_BYTES_MAX,
    SEGMENT_BYTES_MIN, WriteMode,
};
pub use reader::{From, Group, Reader};
pub use record::{MalformedRecord, Record, Records};
pub use truncate::Truncated;
