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

/// Runs what uses them in a unit test: with `--cfg shuttle` they work only where the scheduler does.
#[cfg(test)]
pub(crate) fn scheduled(test: fn()) {
    #[cfg(shuttle)]
    shuttle::check_random(test, 1);
    #[cfg(not(shuttle))]
    test();
}
