//! The semantics of rules, one test for each numbered statement of `docs/semantics.md`.

mod absence;
mod accumulates;
mod changes;
mod explain;
mod firing;
mod focus;
mod founded;
mod groups;
mod groups_inside;
mod listeners;
mod loops;
mod order;
mod patterns;
mod refraction;
mod rules;
mod session;
mod truth;
