//! The derives.

mod attributes;
mod effect;
mod event;
mod fact;

pub(crate) use effect::{effect, global};
pub(crate) use fact::fact;
