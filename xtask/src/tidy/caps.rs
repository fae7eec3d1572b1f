//! How long a file may be.

use crate::finding::Finding;
use crate::tree::{File, Tree};

/// Lines of a source file, not counting the tests in it.
const SOURCE_LINES_MAX: usize = 600;
/// Lines of a test file, or of a source file with its tests.
const TEST_LINES_MAX: usize = 1000;

pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    tree.rust().filter_map(check_file).collect()
}

fn check_file(file: &File) -> Option<Finding> {
    let lines = file.lines().count();
    let source_lines = file.lines().filter(|&(line, _)| !file.is_test_line(line)).count();
    let (count, max, of) = if source_lines > SOURCE_LINES_MAX {
        (source_lines, SOURCE_LINES_MAX, "code")
    } else if lines > TEST_LINES_MAX {
        (lines, TEST_LINES_MAX, "code and tests")
    } else {
        return None;
    };
    Some(Finding::new(
        &file.path,
        max,
        format!("{count} lines of {of}, {max} are allowed"),
        "a file is one concept that a reader can hold",
        "split it by concept, tests into a file `tests.rs` of their own",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_lines(path: &str, code: usize, tests: usize, expected: Option<&str>) {
        let mut text = "x;\n".repeat(code);
        if tests > 0 {
            text += "#[cfg(test)]\nmod t {\n";
            text += &"x;\n".repeat(tests - 3);
            text += "}\n";
        }
        let findings = check(&Tree::planted(&[(path, &text)]));
        assert_eq!(findings.first().map(|f| &*f.what), expected);
    }

    #[test]
    fn source_is_capped_without_its_tests() {
        check_lines("a/src/b.rs", 600, 0, None);
        check_lines("a/src/b.rs", 600, 400, None);
        check_lines("a/src/b.rs", 601, 0, Some("601 lines of code, 600 are allowed"));
        check_lines("examples/b.rs", 601, 3, Some("601 lines of code, 600 are allowed"));
    }

    #[test]
    fn tests_are_capped_too() {
        check_lines("a/tests/it/b.rs", 1000, 0, None);
        check_lines(
            "a/tests/it/b.rs",
            1001,
            0,
            Some("1001 lines of code and tests, 1000 are allowed"),
        );
        check_lines("a/src/b.rs", 600, 401, Some("1001 lines of code and tests, 1000 are allowed"));
    }
}
