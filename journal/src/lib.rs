//! A journal: frames of opaque records in memory-mapped segments, which after any crash is exactly as
//! long as it was acknowledged to be, or refuses and says where it is damaged.
//!
//! One process appends **groups** of records and decides which of them are **safe points**. After a
//! crash, opening finds the last complete safe point, discards what followed it, and goes on behind.
//! Readers get the groups back in order, verified again, also while others append.
//!
//! # What it is not
//!
//! It knows nothing of what records say, of rules, sessions or networks; it has no index, no
//! compression and no encryption; it never repairs itself ([`Repair`] is asked to), and it never retries
//! a failed sync. It is no queue between processes: one writes, others may read along ([`Tail::open`])
//! or look ([`Journal::inspect`]).
//!
//! # Guarantees
//!
//! - A group is there as a whole or not at all, in the order of its position, and never changed.
//! - A safe point that was acknowledged at level [`Process`](Level::Process) survives the death of the
//!   process, at [`Batch`](Level::Batch) also that of the machine; at [`Paranoid`](Level::Paranoid)
//!   damage of the medium is told from a torn tail up to the very last group.
//! - Damage to bytes that are known to have been durable refuses, with file and offset, and changes
//!   nothing. A torn tail always opens.
//! - What was discarded stays discarded; sequence numbers and positions that were durable once are
//!   never used again.
//! - After the first failed sync nothing is acknowledged any more.
//! - A full disk refuses whole groups, and appending goes on once there is room.
//!
//! Every one of them is a test that crashes, damages or fails the journal at every point of small
//! histories, and that fails itself if the bug it looks for is planted (`tests/it/`).
//!
//! # Limits
//!
//! | what | limit |
//! |---|---|
//! | record with its envelope | 16 MiB ([`RECORD_BYTES_MAX`]), and one segment |
//! | group | 1 GiB ([`GROUP_BYTES_MAX`]) |
//! | segment | 64 KiB to 1 GiB, 64 MiB by default |
//! | claim of durability in a frame | 32 GiB back; further back, none is made |
//! | opening | constant memory, time linear in the journal's length |
//! | reading | constant memory, but for groups of several frames |
//! | journals per directory, and handles per journal | 1 |
//!
//! A child of `fork(2)` must not use the handle. Truncating a segment that is mapped ends the process
//! with `SIGBUS`; the lock keeps well-behaved processes from that.
//!
//! # Example
//!
//! ```
//! use steadfast_journal::{Batch, End, From, Journal, Options};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let dir = tempfile::tempdir()?;
//! let (journal, _) = Journal::open(dir.path(), Options::new())?;
//! let mut batch = Batch::new();
//!
//! // Two groups of one root: recovery keeps both or none.
//! batch.push(1, 1, b"debit")?;
//! journal.append(&batch, End::Batch)?;
//! batch.clear();
//! batch.push(1, 1, b"credit")?;
//! let appended = journal.append(&batch, End::SafePoint)?;
//!
//! // Work goes on while the disk is at it; only the outside waits.
//! let durable = journal.wait_durable(appended.position)?;
//! assert_eq!(durable.position(), appended.position);
//! drop(journal); // Or the power.
//!
//! let (journal, opened) = Journal::open(dir.path(), Options::new())?;
//! assert_eq!(opened.safe_point.map(|safe| safe.lsn), Some(appended.lsn));
//! let mut reader = journal.read(From::Start)?;
//! while let Some(group) = reader.next_group()? {
//!     for record in group.records() {
//!         assert!(record.payload().ends_with(b"it"));
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # Features
//!
//! | feature | what |
//! |---|---|
//! | `testing` | the simulated disk and the planted bugs, for tests of this crate and of those above |
//!
//! The bytes on disk and the rule of recovery are in `docs/format.md`.

/// The examples of the README are tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

mod append;
mod background;
mod batch;
mod bytes;
mod cut;
mod durable_slot;
mod error;
mod files;
mod frame;
mod gate;
mod group;
mod ids;
mod inspect;
mod journal;
mod manifest;
mod mmap;
mod normalize;
mod open;
mod options;
mod pager;
mod payload_crc;
mod pins;
mod primitives;
mod reader;
mod record;
mod recovery;
mod registry;
mod roll;
mod rounds;
mod segment;
mod shared;
mod spare;
pub mod storage;
mod tail;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod truncate;
mod upkeep;
mod window;
mod writer;
mod yields;

pub use append::{Appended, GROUP_BYTES_MAX};
pub use batch::{Batch, BatchError, BatchMark, End, RECORD_BYTES_MAX};
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
pub use normalize::{
    Kept, Maintenance, Normalize, NormalizeError, Normalized, Refusal, SegmentState, Survivors,
};
pub use open::{Found, Loss, Mend, Opened, Repair, Repaired, SafePoint};
pub use options::{
    Create, Level, Options, Progress, ProgressFn, SEGMENT_BYTES_DEFAULT, SEGMENT_BYTES_MAX,
    SEGMENT_BYTES_MIN, WriteMode,
};
pub use pins::Pinned;
pub use reader::{From, Group, Reader};
pub use record::{MalformedRecord, Record, Records};
pub use tail::Tail;
pub use truncate::Truncated;
