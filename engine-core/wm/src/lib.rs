//! The shared vocabulary of Steadfast: handles, match identities, safe points, records and their bytes.
//!
//! Every layer of the project talks in these words: the engine reports [`Record`]s, the journal
//! stores their bytes, the snapshotter folds them, replay turns them back into a session.
//!
//! # What it is not
//!
//! It knows no files, no time, no threads and no rules. It never interprets the bytes of a fact:
//! they are opaque here and belong to the fact's type.
//!
//! # Guarantees
//!
//! - Decoding is total: any bytes give a record or a [`codec::DecodeError`] with an offset, never a
//!   panic, and never an allocation above the size of the input.
//! - Bytes written by [`codec::v1`] stay readable for ever (frozen with the first release).
//!
//! # Example
//!
//! ```
//! use steadfast_wm::{FactHandle, Record, Seq, codec};
//!
//! let record = Record::Delete { handle: FactHandle::new(7), seq: Seq::new(12), origin: None, cascade: false };
//! let mut bytes = Vec::new();
//! codec::v1::encode(&record, &mut bytes);
//!
//! let (decoded, rest) = codec::v1::decode(&bytes)?;
//! assert_eq!(decoded, record);
//! assert!(rest.is_empty());
//! # Ok::<(), codec::DecodeError>(())
//! ```

pub mod codec;
mod digest;
mod ids;
mod inserts;
mod matches;
mod record;
mod safe_point;

pub use digest::{Digest, Digester};
pub use ids::{CommitSeq, EffectKey, FactHandle, RuleTag, Seq, SessionId, TypeTag};
pub use inserts::{Inserts, Values};
pub use matches::{MatchId, Member};
pub use record::{Counters, Record, RuleManifest, RulesetManifest};
pub use safe_point::SafePoint;
