//! The engine through its public interface: what must hold whatever the rules are.

#![expect(clippy::unwrap_used, reason = "a test that fails says where")]

extern crate steadfast_engine_core as steadfast;

mod gates;
mod groups;
mod invariants;
mod sharing;
