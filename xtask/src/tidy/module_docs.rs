//! Every source file says at its head what it is.

use crate::finding::Finding;
use crate::tree::{File, Tree};

pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    tree.rust().filter(|file| file.is_source() && !has_docs(file)).map(finding).collect()
}

fn has_docs(file: &File) -> bool {
    let head = file.text.lines().map(str::trim).find(|line| !line.is_empty());
    head.is_some_and(|line| line.starts_with("//!") || line.starts_with("#![doc"))
}

fn finding(file: &File) -> Finding {
    Finding::new(
        &file.path,
        1,
        "no module documentation",
        "a reader should learn what a file is for before reading it",
        "begin the file with `//!` and one sentence",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_text(path: &str, text: &str, expected: usize) {
        assert_eq!(check(&Tree::planted(&[(path, text)])).len(), expected, "{text}");
    }

    #[test]
    fn source_without_docs_is_found() {
        check_text("a/src/b.rs", "use x;\n//! late\n", 1);
        check_text("a/src/b.rs", "", 1);
        check_text("a/src/b.rs", "// plain\n", 1);
    }

    #[test]
    fn documented_source_and_test_files_are_fine() {
        check_text("a/src/b.rs", "\n//! What it is.\nuse x;\n", 0);
        check_text("src/lib.rs", "#![doc = include_str!(\"../README.md\")]\n", 0);
        check_text("a/tests/it/main.rs", "mod b;\n", 0);
        check_text("a/src/b/tests.rs", "use x;\n", 0);
    }
}
