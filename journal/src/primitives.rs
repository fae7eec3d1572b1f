//! Locks, atomics and threads of everything that several threads share.
//!
//! With `--cfg shuttle` they are those of a scheduler that tries interleavings, so that the tests of
//! `tests/it/interleavings.rs` run the code that ships, not a model of it.

#[cfg(not(shuttle))]
pub(crate) use std::{
    sync::{Condvar, Mutex, MutexGuard, atomic},
    thread,
};

#[cfg(shuttle)]
pub(crate) use shuttle::{
    sync::{Condvar, Mutex, MutexGuard, atomic},
    thread,
};
