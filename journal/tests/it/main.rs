//! Tests of the journal through its public interface.

mod basics;
mod common;
