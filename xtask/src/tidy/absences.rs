//! What a crate must never name: the outside world in the pure layers, the clock where history is
//! rebuilt.
//!
//! The absence is the promise: a crate that cannot see a clock cannot depend on one.

use crate::finding::Finding;
use crate::tree::{File, Tree, has_word};

struct Absence {
    /// Directories whose sources are read.
    dirs: &'static [&'static str],
    /// Paths below `std` (a module stands for all in it), or whole paths of other crates.
    banned: &'static [&'static str],
    why: &'static str,
    fix: &'static str,
}

const ABSENCES: &[Absence] = &[
    // INV-01, INV-02
    Absence {
        dirs: &["engine-core/wm/src/", "engine-core/src/"],
        banned: &[
            "std::env",
            "std::fs",
            "std::io",
            "std::net",
            "std::os",
            "std::path",
            "std::process",
            "std::sync::mpsc",
            "std::thread",
            "std::time::Instant",
            "std::time::SystemTime",
        ],
        why: "the engine never sees a path, a clock, a thread or a socket",
        fix: "let the caller pass the value in as an operation, or take what comes out of the sink",
    },
    // INV-05
    Absence {
        dirs: &["replay/src/", "snapshotter/src/"],
        banned: &["std::time::SystemTime", "std::hash::RandomState"],
        why: "what is rebuilt depends on recorded values alone",
        fix: "read the value from the record that holds it",
    },
];

pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for absence in ABSENCES {
        for file in tree.rust().filter(|file| is_in(file, absence.dirs)) {
            for (line, path) in std_paths(&file.lexed.code) {
                let is = |ban: &&&str| path == **ban || path.starts_with(&format!("{ban}::"));
                if absence.banned.iter().any(|ban| is(&ban)) && !file.is_test_line(line) {
                    let what = format!("`{path}`");
                    findings.push(Finding::new(&file.path, line, what, absence.why, absence.fix));
                }
            }
        }
    }
    findings
}

fn is_in(file: &File, dirs: &[&str]) -> bool {
    !file.is_test() && dirs.iter().any(|dir| file.path.starts_with(dir))
}

/// Every path that starts with `std::`, with its line; groups are written out.
fn std_paths(code: &str) -> Vec<(usize, String)> {
    let mut paths = Vec::new();
    for (at, _) in code.match_indices("std::") {
        let line = code[..at].matches('\n').count() + 1;
        if has_word(&code[at.saturating_sub(1)..at + 3], "std") {
            expand("std", &code[at + 5..], line, &mut paths);
        }
    }
    paths
}

/// Follows `rest` after `prefix::`.
fn expand(prefix: &str, rest: &str, line: usize, paths: &mut Vec<(usize, String)>) {
    let rest = rest.trim_start();
    if let Some(group) = rest.strip_prefix('{') {
        for part in top_level_parts(group) {
            expand(prefix, part, line, paths);
        }
        return;
    }
    let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
    let path = format!("{prefix}::{}", &rest[..end]);
    match rest[end..].strip_prefix("::") {
        Some(rest) => expand(&path, rest, line, paths),
        None => paths.push((line, path)),
    }
}

/// The comma-separated parts of a group, up to its closing brace.
fn top_level_parts(group: &str) -> Vec<&str> {
    let (mut parts, mut depth, mut start) = (Vec::new(), 0_usize, 0);
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => {
                parts.push(&group[start..at]);
                break;
            }
            '}' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&group[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_file(path: &str, text: &str, expected: &[&str]) {
        let findings = check(&Tree::planted(&[(path, text)]));
        let found: Vec<_> = findings.iter().map(|f| format!("{}: {}", f.line, f.what)).collect();
        assert_eq!(found, expected);
    }

    /// INV-01
    #[test]
    fn engine_that_sees_a_clock_a_path_or_a_socket_is_found() {
        check_file(
            "engine-core/src/agenda.rs",
            "use std::time::Duration;\nuse std::{fs::File, collections::BTreeMap, \
             time::{self, Instant}};\nfn f() { std::net::TcpStream::connect(x); }\n",
            &["2: `std::fs::File`", "2: `std::time::Instant`", "3: `std::net::TcpStream::connect`"],
        );
    }

    /// INV-02
    #[test]
    fn vocabulary_that_starts_a_thread_is_found_but_not_its_tests_or_comments() {
        check_file(
            "engine-core/wm/src/a.rs",
            "fn f() { std::thread::yield_now() }",
            &["1: `std::thread::yield_now`"],
        );
        check_file(
            "engine-core/wm/src/a.rs",
            "// std::thread\n#[cfg(test)]\nmod t {use std::fs;}",
            &[],
        );
        check_file("engine-core/src/a/tests.rs", "use std::thread;", &[]);
    }

    /// INV-05
    #[test]
    fn replay_that_reads_the_clock_is_found() {
        check_file(
            "replay/src/plan.rs",
            "use std::{path::Path, time::SystemTime};",
            &["1: `std::time::SystemTime`"],
        );
    }

    #[test]
    fn other_crates_and_other_words_are_free() {
        check_file("journal/src/segment.rs", "use std::fs::File;", &[]);
        check_file("engine-core/src/a.rs", "use my_std::fs; let x = nostd::fs;", &[]);
    }
}
