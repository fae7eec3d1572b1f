//! What a journal says is enough: a session rebuilt from its records is the session that wrote them.

#![expect(clippy::unwrap_used, reason = "a test that fails says where")]

mod changing;
mod crashes;
#[path = "../../../engine-core/src/naive/random.rs"]
#[expect(unreachable_pub, reason = "shared with the engine's own tests")]
mod random;
mod recovered;
mod told;

/// What the strategies call the engine.
use steadfast_engine_core as api;
