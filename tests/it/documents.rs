//! What the documents say about the tests and the errors is so.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(repository().join(path)).unwrap()
}

/// The text of all sources below a directory.
fn sources(dir: &Path) -> String {
    let mut text = String::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let more = if path.is_dir() { sources(&path) } else { fs::read_to_string(&path).unwrap() };
        text.push_str(&more);
    }
    text
}

/// All words of a text that begin like this and go on with a digit.
fn words<'a>(text: &'a str, begin: &str) -> BTreeSet<&'a str> {
    let words = text.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
    let is_one = |word: &&str| {
        let rest = word.strip_prefix(begin).and_then(|rest| rest.chars().next());
        rest.is_some_and(|next| next.is_ascii_digit())
    };
    words.filter(is_one).collect()
}

#[test]
fn the_table_of_the_semantics_names_every_test_of_it_and_no_other() {
    let tests = sources(&repository().join("tests/it"));
    let document = read("docs/semantics.md");
    let named = words(&document, "s").into_iter().chain(words(&document, "sf"));
    for name in named.filter(|word| word.contains('_')) {
        assert!(tests.contains(&format!("fn {name}(")), "there is no test `{name}`");
    }
    let numbered = words(&tests, "s").into_iter().filter(|word| word.contains('_'));
    for name in numbered.filter(|name| tests.contains(&format!("fn {name}("))) {
        assert!(document.contains(&format!("`{name}`")), "the table lacks `{name}`");
    }
}

#[test]
fn every_code_of_an_error_has_its_section_and_its_test() {
    let codes = read("src/error.rs");
    let document = read("docs/errors.md");
    let tests = sources(&repository().join("tests/it/errors"));
    let codes = words(&codes, "SF");
    for code in &codes {
        assert!(document.contains(&format!("\n## {code}\n")), "{code} has no section");
        assert!(tests.contains(code), "{code} has no test");
    }
    assert_eq!(words(&document, "SF"), codes, "sections of codes that do not exist");
}
