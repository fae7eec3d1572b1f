//! `#[rule]` and `#[query]`.
//!
//! A function goes through four steps: its parameters are read ([`param`], [`attributes`]), analyzed
//! to a left-hand side with positions and classified conditions ([`analyze`]), digested
//! ([`digest`]), and written out as a definition ([`emit`]).

mod analyze;
mod args;
mod attributes;
mod classify;
mod digest;
mod emit;
mod function;
mod group;
mod inner_group;
mod item;
mod items;
mod model;
mod nested;
mod param;
mod scope;
mod temporal;
mod timing;
mod usage;
mod watch;
mod window;
mod writes;

pub(crate) use args::RuleArgs;
pub(crate) use item::{Sort, expand};
pub(crate) use items::entry;
