//! What a check has found: where, what, why it matters and how to fix it.

use std::fmt;

/// One finding of one check, printed as `path:line: what; why; fix: how`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Finding {
    /// Path from the root of the repository, with `/`.
    pub(crate) path: String,
    /// Line from 1; 0 when the finding is about the whole file.
    pub(crate) line: usize,
    /// What is there.
    pub(crate) what: String,
    /// Why it should not be.
    pub(crate) why: &'static str,
    /// What to do instead.
    pub(crate) fix: &'static str,
}

impl Finding {
    pub(crate) fn new(
        path: &str,
        line: usize,
        what: impl Into<String>,
        why: &'static str,
        fix: &'static str,
    ) -> Self {
        Self { path: path.to_owned(), line, what: what.into(), why, fix }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, line, what, why, fix } = self;
        write!(f, "{path}:{line}: {what}; {why}; fix: {fix}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finding_prints_where_what_why_and_how() {
        let finding = Finding::new("a/b.rs", 7, "a `todo!`", "it panics", "write it");
        assert_eq!(finding.to_string(), "a/b.rs:7: a `todo!`; it panics; fix: write it");
    }
}
