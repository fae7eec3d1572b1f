//! The engine through its public interface: what must hold whatever the rules are.

extern crate steadfast_engine_core as steadfast;

mod invariants;
