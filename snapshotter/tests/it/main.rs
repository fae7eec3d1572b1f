//! Tests of snapshotter through its public interface.

mod growth;
mod watched;
