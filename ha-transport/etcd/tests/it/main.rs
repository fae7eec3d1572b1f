//! The coordinator against etcd itself.
//!
//! `STEADFAST_ETCD` says where its program is; `cargo xtask ci servers` sees to that. Without it `etcd` is looked for
//! where programs are, and if there is none nothing is tested, and that is said.

mod away;
mod conformance;
mod etcd;
mod process;
mod secured;

#[path = "../../../tests/it/nodes.rs"]
mod nodes;
