//! Replication against simulated worlds, and transports against their contract.

mod process;
mod replicas;
mod transports;
mod worlds;
