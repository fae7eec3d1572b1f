//! docs/invariants.md and the code tell the same story.
//!
//! Every id that the code cites is in the document; every id of the document is cited by the code
//! that holds it and by a test that would fail without it. Ids under the heading `Planned` have no
//! code yet and are only kept from being given twice.

use std::collections::{BTreeMap, BTreeSet};

use crate::finding::Finding;
use crate::tree::Tree;

const DOCUMENT: &str = "docs/invariants.md";
const WHY: &str = "an invariant is worth what asserts and tests it";

#[derive(Debug, PartialEq, Eq)]
struct Invariant {
    line: usize,
    planned: bool,
}

pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    let document = tree.get(DOCUMENT).map_or("", |file| &file.text);
    let invariants = parse(document, &mut findings);
    let mut in_source = BTreeSet::new();
    let mut in_tests = BTreeSet::new();
    for file in tree.files.iter().filter(|file| file.path != DOCUMENT) {
        if !file.has_extension("rs") && !file.has_extension("md") {
            continue;
        }
        for (n, line) in file.lines() {
            for id in ids(line) {
                if !invariants.contains_key(id) {
                    let what = format!("{id} is not in {DOCUMENT}");
                    let fix = "add it there, or cite the id that is meant";
                    findings.push(Finding::new(&file.path, n, what, WHY, fix));
                }
                if file.has_extension("rs") {
                    let by = if file.is_test_line(n) { &mut in_tests } else { &mut in_source };
                    by.insert(id);
                }
            }
        }
    }
    for (id, invariant) in invariants.iter().filter(|(_, invariant)| !invariant.planned) {
        let mut missing = |cited: &BTreeSet<&str>, by: &str, fix| {
            if !cited.contains(id) {
                let what = format!("{id} is cited by no {by}");
                findings.push(Finding::new(DOCUMENT, invariant.line, what, WHY, fix));
            }
        };
        missing(&in_source, "source", "cite it at the assert or the code that holds it");
        missing(&in_tests, "test", "cite it at the test that fails without it");
    }
    findings
}

fn parse<'a>(document: &'a str, findings: &mut Vec<Finding>) -> BTreeMap<&'a str, Invariant> {
    let mut invariants = BTreeMap::new();
    let mut planned = false;
    for (i, line) in document.lines().enumerate() {
        if let Some(heading) = line.strip_prefix("## ") {
            planned = heading.to_lowercase().starts_with("planned");
        }
        let Some(id) = line.strip_prefix("| ").and_then(|row| ids(row).into_iter().next()) else {
            continue;
        };
        let invariant = Invariant { line: i + 1, planned };
        if line.starts_with(&format!("| {id} "))
            && let Some(first) = invariants.insert(id, invariant)
        {
            let what = format!("{id} is given twice, first in line {}", first.line);
            let fix = "give the newer one the next free number";
            findings.push(Finding::new(DOCUMENT, i + 1, what, WHY, fix));
        }
    }
    invariants
}

/// The invariant ids in `line`.
fn ids(line: &str) -> Vec<&str> {
    const PREFIX: &str = "INV-";
    let starts = line.match_indices(PREFIX).map(|(at, _)| at);
    starts
        .filter_map(|at| {
            let digits = &line[at + PREFIX.len()..];
            let count = digits.bytes().take_while(u8::is_ascii_digit).count();
            (count > 0).then(|| &line[at..at + PREFIX.len() + count])
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Planted text writes `@` for the prefix, so that it does not cite anything itself.
    #[track_caller]
    fn check_files(files: &[(&str, &str)], expected: &[&str]) {
        let files: Vec<_> = files.iter().map(|(p, t)| (*p, t.replace('@', "INV-"))).collect();
        let files: Vec<_> = files.iter().map(|(p, t)| (*p, &**t)).collect();
        let findings = check(&Tree::planted(&files));
        let found: Vec<_> = findings
            .iter()
            .map(|f| format!("{}:{}: {}", f.path, f.line, f.what.replace("INV-", "@")))
            .collect();
        assert_eq!(found, expected);
    }

    const SOURCE: (&str, &str) = ("a/src/b.rs", "assert!(x); // @01\n");
    const TEST: (&str, &str) = ("a/tests/it/b.rs", "/// @01\n#[test]\nfn t() {}\n");

    #[test]
    fn invariant_with_code_and_test_is_fine() {
        let document = ("docs/invariants.md", "| @01 | Holds. |\n");
        check_files(&[document, SOURCE, TEST], &[]);
        let inline = ("a/src/c.rs", "// @01\n#[cfg(test)]\nmod tests {\n// @01\n}\n");
        check_files(&[document, inline], &[]);
    }

    #[test]
    fn invariant_without_code_or_test_is_found() {
        let document = ("docs/invariants.md", "# I\n\n| @01 | Holds. |\n");
        check_files(&[document, TEST], &["docs/invariants.md:3: @01 is cited by no source"]);
        check_files(&[document, SOURCE], &["docs/invariants.md:3: @01 is cited by no test"]);
    }

    #[test]
    fn unknown_id_is_found_in_code_and_in_docs() {
        check_files(
            &[SOURCE, ("docs/a.md", "see @7\n")],
            &[
                "a/src/b.rs:1: @01 is not in docs/invariants.md",
                "docs/a.md:1: @7 is not in docs/invariants.md",
            ],
        );
    }

    #[test]
    fn planned_invariant_waits_for_its_code() {
        let document = ("docs/invariants.md", "## Planned\n| @01 | Will hold. |\n");
        check_files(&[document], &[]);
        check_files(&[document, SOURCE], &[]);
    }

    #[test]
    fn id_given_twice_is_found() {
        let document = ("docs/invariants.md", "| @01 | A. |\n## Planned\n| @01 | B. |\n");
        check_files(
            &[document, SOURCE, TEST],
            &["docs/invariants.md:3: @01 is given twice, first in line 1"],
        );
    }

    #[test]
    fn mention_in_another_row_gives_no_id() {
        let document = ("docs/invariants.md", "| @01 | Holds. |\n| note | see @01 |\n");
        check_files(&[document, SOURCE, TEST], &[]);
    }
}
