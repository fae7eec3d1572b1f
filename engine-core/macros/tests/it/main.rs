//! The macros through what they expand to.

// The name by which expansions call the runtime.
extern crate steadfast_engine_core as steadfast;

mod branches;
mod describe;
mod digests;

mod errors;
mod facts;
mod flight_ops;
mod groups;
mod matching;
mod parts;
mod rulesets;
mod sharing;
mod shop;
mod writes;
