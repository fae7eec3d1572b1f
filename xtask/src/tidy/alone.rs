//! The repository speaks of the project alone: of no machine that it was written on, of no mirror
//! that its dependencies came through, and of nobody's tools.

use crate::finding::Finding;
use crate::tree::{File, Tree, has_word};

/// Directories of somebody's machine. Written in two halves, so that the list does not find itself.
const MACHINE_DIRS: &[&str] = &[
    concat!("/wo", "rk/"),
    concat!("/ho", "me/"),
    concat!("/ro", "ot/"),
    concat!("/t", "mp/"),
    concat!("/Us", "ers/"),
    concat!("/mn", "t/"),
];

/// Words about how a text came to be instead of what it says. In halves as well.
const TOOL_WORDS: &[&str] = &[
    concat!("as an ", "ai"),
    concat!("ai assis", "tant"),
    concat!("assis", "tant"),
    concat!("ai-gen", "erated"),
    concat!("ai to", "ol"),
    concat!("chat", "gpt"),
    concat!("cla", "ude"),
    concat!("co", "pilot"),
    concat!("gener", "ated with"),
    concat!("language mo", "del"),
    concat!("l", "lm"),
    concat!("session-pro", "mpt"),
    concat!("session pro", "mpt"),
    concat!("system pro", "mpt"),
    concat!("co-authored", "-by"),
];

/// The only index that a lock file may name.
const INDEX: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// Hosts that configuration may name.
const HOSTS: &[&str] = &["github.com", "crates.io", "docs.rs", "doc.rust-lang.org", "spdx.org"];

pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in &tree.files {
        for (n, line) in file.lines() {
            findings.extend(check_dirs(file, n, line));
            findings.extend(check_words(file, n, line));
            findings.extend(check_hosts(file, n, line));
            findings.extend(check_index(file, n, line));
        }
    }
    findings
}

fn check_dirs(file: &File, n: usize, line: &str) -> Option<Finding> {
    let dir = MACHINE_DIRS.iter().find(|dir| {
        line.match_indices(**dir).any(|(at, _)| {
            // `https://host/x/` and `a/x/` are no absolute paths.
            !line[..at].ends_with(|c: char| c.is_alphanumeric() || "-_.$}".contains(c))
        })
    })?;
    Some(Finding::new(
        &file.path,
        n,
        format!("the absolute path `{dir}…`"),
        "it exists on one machine",
        "write it relative to the repository, or take the directory from the caller",
    ))
}

fn check_words(file: &File, n: usize, line: &str) -> Option<Finding> {
    let lower = line.to_lowercase();
    let word = TOOL_WORDS.iter().find(|word| has_word(&lower, word))?;
    Some(Finding::new(
        &file.path,
        n,
        format!("the words `{word}`"),
        "the text is about the project, not about how it was written",
        "leave it out",
    ))
}

fn is_config(file: &File) -> bool {
    ["toml", "lock", "yml", "yaml", "sh"].iter().any(|extension| file.has_extension(extension))
        || file.name() == "run"
}

fn check_hosts(file: &File, n: usize, line: &str) -> Option<Finding> {
    if !is_config(file) {
        return None;
    }
    let host = line.split("://").skip(1).map(host_of).find(|host| !HOSTS.contains(host))?;
    Some(Finding::new(
        &file.path,
        n,
        format!("the host `{host}` in configuration"),
        "a build must not depend on a mirror that others cannot reach",
        "leave it out, or add a host that everybody can reach to xtask/src/tidy/alone.rs",
    ))
}

fn host_of(url_rest: &str) -> &str {
    url_rest.split(['/', '"', '\'', ' ', ')', '>', ':']).next().unwrap_or_default()
}

fn check_index(file: &File, n: usize, line: &str) -> Option<Finding> {
    let source = line.strip_prefix("source = ")?.trim_matches('"');
    let foreign = file.has_extension("lock") && source != INDEX;
    foreign.then(|| {
        let what = format!("the source `{source}`");
        let why = "every dependency comes from the index that everybody has";
        Finding::new(&file.path, n, what, why, "lock again without a replaced source")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Planted text writes `~` in the middle of what must not be found here.
    #[track_caller]
    fn check_text(path: &str, text: &str, expected: &[&str]) {
        let findings = check(&Tree::planted(&[(path, &text.replace('~', ""))]));
        let found: Vec<_> = findings.iter().map(|f| format!("{}: {}", f.line, f.what)).collect();
        let expected: Vec<_> = expected.iter().map(|e| e.replace('~', "")).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn path_of_a_machine_is_found() {
        check_text("docs/a.md", "see\n`/ho~me/me/x`\n", &["2: the absolute path `/ho~me/…`"]);
        check_text("a/src/b.rs", "let p = \"/t~mp/x\";", &["1: the absolute path `/t~mp/…`"]);
    }

    #[test]
    fn part_of_a_longer_path_is_no_path_of_a_machine() {
        check_text("docs/a.md", "https://example.org/ho~me/x, target/t~mp/x, $X/t~mp/", &[]);
    }

    #[test]
    fn words_about_tools_are_found() {
        check_text("docs/a.md", "Written by an assis~tant.", &["1: the words `assis~tant`"]);
        check_text("docs/a.md", "The assis~tantship of rules", &[]);
    }

    #[test]
    fn foreign_host_in_configuration_is_found() {
        check_text(
            ".cargo/config.toml",
            "registry = \"sparse+https://mirror.example/\"",
            &["1: the host `mirror.example` in configuration"],
        );
        check_text("Cargo.toml", "repository = \"https://github.com/a/b\"", &[]);
        check_text("docs/a.md", "https://example.org", &[]);
    }

    #[test]
    fn foreign_source_in_the_lock_file_is_found() {
        check_text(
            "Cargo.lock",
            "source = \"registry+https://github.com/rust-lang/crates.io-index\"\n\
             source = \"git+https://github.com/a/b\"\n",
            &["2: the source `git+https://github.com/a/b`"],
        );
    }
}
