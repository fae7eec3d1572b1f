//! Tests of the journal through its public interface.

mod basics;
mod common;
mod crash;
mod damage;
mod faults;
mod format;
mod histories;
mod model;
mod process;
mod recovery;
mod threads;
mod world;
