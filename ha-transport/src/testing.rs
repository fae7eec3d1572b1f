//! A simulated world – nodes, disks, a network and a coordinator, all from one seed – and what transports and
//! coordinators must pass.

pub mod conformance;
pub mod coordinator;
mod disk;
mod world;

pub use world::{Fault, World, WorldOptions};
