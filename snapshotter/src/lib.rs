//! Folds the stream of Steadfast's records into the minimal image of a session.
//!
//! An [`Image`] is what a session's future depends on and nothing more: facts as of the last flush,
//! operations staged since, the pending set with its keys, justifications, globals, clock, counters,
//! and effects that nobody has acknowledged. Folding never runs a rule and needs none: this crate
//! works in a process that links no rule network.
//!
//! # What it is not
//!
//! It does not rebuild sessions; that is `steadfast-replay`. It does not interpret facts: their
//! bytes stay opaque.
//!
//! # Guarantees
//!
//! - `fold(a ++ b) = fold b onto fold(a)`: an image and the tail behind it give the image of the
//!   whole.
//! - An image exists only at commit boundaries; a history that contradicts itself is a located
//!   [`FoldError`], never a panic and never a guess.
//!
//! # Example
//!
//! ```
//! use steadfast_snapshotter::Image;
//! use steadfast_wm::{FactHandle, Record, Seq, TypeTag};
//!
//! let mut image = Image::default();
//! image.apply(&Record::Type { tag: TypeTag::new(0), name: "Order" })?;
//! image.apply(&Record::Insert {
//!     handle: FactHandle::new(1), kind: TypeTag::new(0), version: 1, bytes: b"...",
//!     seq: Seq::new(2), origin: None, stated: true, clock: 0,
//! })?;
//! assert_eq!(image.staged().len(), 1);
//! image.apply(&Record::Evaluated)?;
//! assert_eq!(image.facts().count(), 1);
//! # Ok::<(), steadfast_snapshotter::FoldError>(())
//! ```

mod by_handle;
mod error;
mod fold;
mod image;
mod normal;
mod normalize;
mod records;
mod spare;
mod tally;
mod upkeep;

pub use error::{FoldError, FoldJournalError, NormalFormError, RecordError, RecordsError};
pub use fold::{Folded, fold_journal};
pub use image::{Effect, Fact, GroupMarks, Image, StagedOperation};
pub use normalize::{Normalizer, Survey, normal_form};
pub use upkeep::{Policy, SegmentKept, Status, Upkeep};
