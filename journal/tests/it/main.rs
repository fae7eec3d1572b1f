//! Tests of the journal through its public interface.

mod basics;
mod common;
mod crash;
mod histories;
mod world;
