//! The whole product through its public face: sessions in memory and on disk.
//!
//! One binary. `semantics` has a test for each numbered statement of `docs/semantics.md`,
//! `durability` crashes sessions everywhere, `replication` kills leaders, `errors` provokes each error of `docs/errors.md`.

#![expect(clippy::unwrap_used, reason = "what tests share is test code, too")]

mod child;
mod documents;
mod durability;
mod effects;
mod errors;
pub(crate) mod replication;
mod semantics;
mod support;
mod transact;
mod transactions;
