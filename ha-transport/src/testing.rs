//! A simulated world – nodes, disks, a network and a coordinator, all from one seed – and what a transport must pass.

pub mod conformance;
mod disk;
mod world;

pub use world::{Fault, World, WorldOptions};
