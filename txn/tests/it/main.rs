//! Random transactions over random rules: what is rolled back never was, and what is not makes no difference.

#![expect(clippy::unwrap_used, reason = "a test that fails says where")]

mod crashes;
mod limits;
#[path = "../../../engine-core/src/naive/random.rs"]
#[expect(unreachable_pub, reason = "shared with the engine's own tests")]
mod random;
mod twins;
mod world;

/// What the strategies call the engine.
use steadfast_engine_core as api;
