//! Words that do not belong in the code or in its comments.

use crate::finding::Finding;
use crate::tree::{File, Tree, find_word, has_word};

/// The one file that may hold `unsafe`: INV-06.
const UNSAFE_FILE: &str = "journal/src/mmap.rs";

struct Word {
    text: &'static str,
    /// Only in test code.
    tests_only: bool,
    why: &'static str,
    fix: &'static str,
}

const fn word(text: &'static str, why: &'static str, fix: &'static str) -> Word {
    Word { text, tests_only: false, why, fix }
}

const WORDS: &[Word] = &[
    word(
        "#[ignore",
        "a test that does not run proves nothing",
        "run it, make it a sweep under `STEADFAST_SOAK`, or delete it",
    ),
    word(
        "#[should_panic",
        "it passes on any panic, also on the wrong one",
        "return a typed error, or catch the unwind and check its message",
    ),
    word("todo!", "it panics in the hands of a user", "write it, or leave the item out"),
    word("unimplemented!", "it panics in the hands of a user", "write it, or leave the item out"),
    Word {
        text: "thread::sleep",
        tests_only: true,
        why: "a test that sleeps is slow when it passes and flaky when the machine is busy",
        fix: "wait for the event itself: a channel, a join, a condition",
    },
];

pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree.rust() {
        findings.extend(check_code(file));
        findings.extend(check_unsafe(file));
        findings.extend(check_doc_fences(file));
        let comments = file.comment_lines();
        findings.extend(comments.filter_map(|(n, line)| check_marker(&file.path, n, line)));
    }
    for file in tree.files.iter().filter(|file| !file.has_extension("rs")) {
        findings.extend(file.lines().filter_map(|(n, line)| check_marker(&file.path, n, line)));
    }
    findings
}

fn check_code(file: &File) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (n, line) in file.code_lines() {
        for Word { text: word, tests_only, why, fix } in WORDS {
            let found = match word.strip_prefix(|c: char| !c.is_alphanumeric()) {
                Some(_) => line.contains(word),
                None => has_word(line, word.trim_end_matches('!')) && line.contains(word),
            };
            if found && (!tests_only || file.is_test_line(n)) {
                findings.push(Finding::new(&file.path, n, format!("`{word}`"), why, fix));
            }
        }
    }
    findings
}

fn check_unsafe(file: &File) -> Vec<Finding> {
    if file.path == UNSAFE_FILE {
        return Vec::new();
    }
    let lines = file.code_lines().filter(|(_, line)| has_word(line, "unsafe"));
    lines
        .map(|(n, _)| {
            Finding::new(
                &file.path,
                n,
                "`unsafe`",
                "all of it is argued in one place, journal/src/mmap.rs",
                "use a safe interface, or add one to that file with its argument",
            )
        })
        .collect()
}

/// An example in the documentation compiles, or it is no example.
fn check_doc_fences(file: &File) -> Vec<Finding> {
    let skipped = |line: &str| {
        let line = line.trim_start().trim_start_matches(['/', '!']).trim_start();
        line.strip_prefix("```").is_some_and(|tags| tags.split(',').any(|t| t.trim() == "ignore"))
    };
    let lines = file.comment_lines().filter(|(_, line)| skipped(line));
    lines
        .map(|(n, _)| {
            Finding::new(
                &file.path,
                n,
                "an example that is never compiled",
                "it rots unseen",
                "make it run, or mark it `no_run`, `compile_fail` or `text`",
            )
        })
        .collect()
}

/// A note to one's later self names the issue where it can be found again.
fn check_marker(path: &str, n: usize, line: &str) -> Option<Finding> {
    let marker = ["TODO", "FIXME"].into_iter().find(|marker| {
        find_word(line, marker).is_some_and(|at| {
            let number = line[at + marker.len()..].strip_prefix("(#");
            !number.is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
        })
    })?;
    // A sentence about the marker itself puts it between backquotes.
    if line.contains(&format!("`{marker}`")) {
        return None;
    }
    Some(Finding::new(
        path,
        n,
        format!("`{marker}` without an issue"),
        "nobody finds it again",
        "do it, or open an issue and write `(#12)` behind it",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_text(path: &str, text: &str, expected: &[&str]) {
        let findings = check(&Tree::planted(&[(path, text)]));
        let found: Vec<_> = findings.iter().map(|f| format!("{}: {}", f.line, f.what)).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn tests_that_prove_nothing_are_found() {
        check_text(
            "a/tests/it/b.rs",
            "#[test]\n#[ignore = \"slow\"]\nfn a() {}\n#[test]\n#[should_panic]\nfn b() {}\n",
            &["2: `#[ignore`", "5: `#[should_panic`"],
        );
    }

    #[test]
    fn unwritten_code_is_found_but_not_in_a_string() {
        check_text(
            "a/src/b.rs",
            "fn a() { todo!() }\nfn b() { unimplemented!(\"x\") }",
            &["1: `todo!`", "2: `unimplemented!`"],
        );
        check_text("a/src/b.rs", "const A: &str = \"todo!()\"; // todo!()", &[]);
    }

    #[test]
    fn sleep_is_found_in_tests_only() {
        let sleeping = "fn f() { std::thread::sleep(d) }\n";
        check_text("a/src/b.rs", sleeping, &[]);
        check_text("tests/it/b.rs", sleeping, &["1: `thread::sleep`"]);
        check_text(
            "a/src/b.rs",
            &format!("#[cfg(test)]\nmod tests {{\n{sleeping}}}\n"),
            &["3: `thread::sleep`"],
        );
    }

    /// INV-06
    #[test]
    fn unsafe_outside_its_file_is_found() {
        check_text("journal/src/segment.rs", "fn f() { unsafe { g() } }", &["1: `unsafe`"]);
        check_text("journal/src/mmap.rs", "fn f() { unsafe { g() } }", &[]);
        check_text("journal/src/segment.rs", "#![expect(unsafe_code)] // unsafe", &[]);
    }

    #[test]
    fn example_that_never_compiles_is_found() {
        check_text(
            "a/src/b.rs",
            "/// ```ignore\n/// x\n/// ```\n",
            &["1: an example that is never compiled"],
        );
        check_text("a/src/b.rs", "//! ```no_run\n//! x\n//! ```\n", &[]);
    }

    #[test]
    fn marker_needs_an_issue() {
        let marker = ["TO", "DO"].concat();
        check_text(
            "a/src/b.rs",
            &format!("// {marker}: later\n// {marker}(#12): later\n"),
            &["1: `TODO` without an issue"],
        );
        check_text("docs/a.md", &format!("{marker} write\n"), &["1: `TODO` without an issue"]);
        check_text("docs/a.md", &format!("no `{marker}` without an issue\n"), &[]);
    }
}
