//! Replication against simulated worlds, and transports against their contract.

mod coordinators;
mod process;
mod reigns;
mod replicas;
mod transports;
mod worlds;
