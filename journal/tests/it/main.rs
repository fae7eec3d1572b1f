//! Tests of the journal through its public interface.

mod basics;
mod common;
mod crash;
mod damage;
mod faults;
mod histories;
mod process;
mod threads;
mod world;
