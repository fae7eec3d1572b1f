//! Replication against simulated worlds, and transports against their contract.

mod coordinators;
mod nodes;
mod process;
mod reigns;
mod replicas;
mod snapshots;
mod transports;
mod windows;
mod worlds;
