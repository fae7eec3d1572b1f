//! Answers about rules and facts (S95): why a fact is there, and why a rule does not match.

mod panicked;
mod search;
mod why;
mod why_not;

use std::fmt;

use steadfast_wm::FactHandle;

pub use why::{Support, Why};
pub use why_not::{Judgement, Outcome, WhyNot};

/// A fact by its type and its handle.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NamedFact {
    /// Name of its type, with `@` and the entry point if it came through a named one.
    pub kind: String,
    /// Its handle.
    pub handle: FactHandle,
}

impl fmt::Display for NamedFact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.handle)
    }
}
