//! Transactions over a Steadfast engine: work that becomes one commit, or never was.
//!
//! A [`Root`] is a transaction that is open on an engine. Whatever is done to the engine meanwhile – facts, clock,
//! evaluations, firings – belongs to it, until it [commits](Root::commit) or [aborts](Root::abort). A *savepoint* is a
//! place in it to which it can be rolled back.
//!
//! # Guarantees
//!
//! - **Restoration (INV-76).** After a roll back the engine's digest is that at the savepoint, its future that of a
//!   copy taken there, and the sink has what it had. It takes time in proportion to what changed since.
//! - **Transparency.** As long as nothing fails or is rolled back, a root changes no firing, no handle and no digest.
//! - A firing or an evaluation that fails in a root leaves it *failed*: it takes no more work until it is rolled back
//!   to a savepoint, and does not commit.
//!
//! # What it is not
//!
//! It knows no journal and no session. What is recorded goes to a [`MarkedSink`], which can be cut back; the owner of
//! both writes what is there when the root commits. It has no threads: there is one root at a time, since one thread
//! works on an engine.
//!
//! # Limits
//!
//! As many savepoints lie in each other as [`Options::depth_max`] says, 65,536 unless told otherwise, and a root has
//! 2³² − 2 of them in its life. What undoing takes can be bounded by [`Options::trail_bytes_max`].
//!
//! # Example
//!
//! ```
//! use serde::{Deserialize, Serialize};
//! # extern crate steadfast_engine_core as steadfast;
//! use steadfast_engine_core::{ActionSink, ChangeError, Engine, ir::Ruleset};
//! use steadfast_macros::Fact;
//! use steadfast_txn::{MarkedSink, Options, Root};
//! use steadfast_wm::{CommitSeq, Record, SafePoint};
//!
//! #[derive(Fact, Clone, Serialize, Deserialize)]
//! struct Order { id: u64 }
//!
//! /// Counts records.
//! #[derive(Default)]
//! struct Count(u64);
//! impl ActionSink for Count {
//!     fn record(&mut self, _: &Record<'_>) {
//!         self.0 += 1;
//!     }
//! }
//! impl MarkedSink for Count {
//!     type Mark = u64;
//!     fn mark(&self) -> u64 {
//!         self.0
//!     }
//!     fn cut(&mut self, mark: &u64) {
//!         self.0 = *mark;
//!     }
//! }
//!
//! let mut sink = Count::default();
//! let rules = Ruleset::new("shop", 1).fact::<Order>();
//! let mut engine = Engine::new(&rules, Default::default(), &mut sink)?;
//! let mut root = Root::begin(&mut engine, &sink, Options::default());
//! let mut insert = |root: &mut Root<u64>, engine: &mut Engine, sink: &mut Count, id| {
//!     engine.stage(sink, |stage| stage.insert(Order { id }).map(drop))?;
//!     root.did(SafePoint::Staged);
//!     Ok::<(), ChangeError>(())
//! };
//! insert(&mut root, &mut engine, &mut sink, 1)?;
//! let savepoint = root.savepoint(&mut engine, &sink, "one order")?;
//! insert(&mut root, &mut engine, &mut sink, 2)?;
//! root.rollback_to(&mut engine, &mut sink, &savepoint)?;
//! assert_eq!(engine.fact_count(), 1);
//! let commit = root.commit(&mut engine, &mut sink, CommitSeq::new(1))?;
//! assert_eq!(commit, Some(CommitSeq::new(1)));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod error;
mod options;
mod root;
mod savepoint;
mod sink;

pub use error::{CommitError, TransactionError};
pub use options::Options;
pub use root::Root;
pub use savepoint::SavepointId;
pub use sink::MarkedSink;
