//! The lock and the thread of the session's upkeep; with `--cfg shuttle` those of a scheduler that
//! tries interleavings, so that `upkeep`'s tests run the code that ships.

#[cfg(not(shuttle))]
pub(crate) use std::{
    sync::{Mutex, MutexGuard},
    thread,
};

#[cfg(shuttle)]
pub(crate) use shuttle::{
    sync::{Mutex, MutexGuard},
    thread,
};
