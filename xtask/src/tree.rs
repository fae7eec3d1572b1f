//! The text of the repository, in memory, so that a check can be shown a small planted one.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::lexer::{Lexed, lex};

/// Files above this size are data, not text that somebody wrote.
const TEXT_BYTES_MAX: u64 = 1 << 20;

/// Extensions (or whole names) of the files that people write here.
const TEXT_NAMES: &[&str] = &[
    "rs",
    "md",
    "toml",
    "lock",
    "yml",
    "yaml",
    "sh",
    "txt",
    "json",
    "html",
    "js",
    "css",
    "dot",
    "run",
    "LICENSE-MIT",
    "LICENSE-APACHE",
    ".gitignore",
    ".editorconfig",
    ".gitattributes",
];

/// The text files of the repository.
#[derive(Debug)]
pub(crate) struct Tree {
    pub(crate) files: Vec<File>,
}

/// One text file.
#[derive(Debug)]
pub(crate) struct File {
    /// Path from the root of the repository, with `/`.
    pub(crate) path: String,
    pub(crate) text: String,
    /// Code and comments apart; empty unless the file is Rust.
    pub(crate) lexed: Lexed,
}

impl Tree {
    /// Reads what git tracks and what it would track, leaving out ignored files and data.
    pub(crate) fn read(root: &Path) -> Result<Self> {
        let output = Command::new("git")
            .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
            .current_dir(root)
            .output()
            .context("failed to run git ls-files")?;
        ensure!(output.status.success(), "git ls-files failed: {}", output.status);
        let names = String::from_utf8(output.stdout).context("git lists a name that is no text")?;
        let mut files = Vec::new();
        for name in names.split('\0').filter(|name| is_text(name)) {
            let path = root.join(name);
            // A file that git still lists but that is gone from the work tree is no finding.
            let Ok(meta) = path.metadata() else { continue };
            if meta.is_file() && meta.len() <= TEXT_BYTES_MAX {
                let text = std::fs::read_to_string(&path)
                    .with_context(|| format!("failed to read {name}"))?;
                files.push(File::new(name, text));
            }
        }
        files.sort_by(|a, b| a.path.cmp(&b.path));
        files.dedup_by(|a, b| a.path == b.path);
        Ok(Self { files })
    }

    /// A planted repository.
    #[cfg(test)]
    pub(crate) fn planted(files: &[(&str, &str)]) -> Self {
        Self { files: files.iter().map(|(path, text)| File::new(path, (*text).into())).collect() }
    }

    pub(crate) fn rust(&self) -> impl Iterator<Item = &File> {
        self.files.iter().filter(|file| file.has_extension("rs"))
    }

    pub(crate) fn get(&self, path: &str) -> Option<&File> {
        self.files.iter().find(|file| file.path == path)
    }
}

impl File {
    fn new(path: &str, text: String) -> Self {
        let lexed = if extension(path) == Some("rs") { lex(&text) } else { Lexed::default() };
        Self { path: path.to_owned(), text, lexed }
    }

    pub(crate) fn has_extension(&self, extension: &str) -> bool {
        self::extension(&self.path) == Some(extension)
    }

    pub(crate) fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or(&self.path)
    }

    /// Whether the file holds nothing but tests.
    pub(crate) fn is_test(&self) -> bool {
        self.name() == "tests.rs" || self.path.split('/').any(|part| part == "tests")
    }

    /// Whether the file is a source of a library or binary (`src/`), tests excepted.
    pub(crate) fn is_source(&self) -> bool {
        self.path.split('/').any(|part| part == "src") && !self.is_test()
    }

    /// Whether line `line` (from 1) belongs to a test.
    pub(crate) fn is_test_line(&self, line: usize) -> bool {
        self.is_test() || self.lexed.test_lines.iter().any(|range| range.contains(&line))
    }

    /// Lines of code with comments and the insides of literals blanked, numbered from 1.
    pub(crate) fn code_lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.lexed.code.lines().enumerate().map(|(i, line)| (i + 1, line))
    }

    /// Lines with everything but comments blanked, numbered from 1.
    pub(crate) fn comment_lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.lexed.comments.lines().enumerate().map(|(i, line)| (i + 1, line))
    }

    /// Lines as written, numbered from 1.
    pub(crate) fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text.lines().enumerate().map(|(i, line)| (i + 1, line))
    }
}

fn is_text(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    TEXT_NAMES.contains(&name)
        || extension(path).is_some_and(|extension| TEXT_NAMES.contains(&extension))
}

fn extension(path: &str) -> Option<&str> {
    path.rsplit_once('.').map(|(_, extension)| extension)
}

/// Whether `word` stands in `text` with no letter, digit or underscore on either side.
pub(crate) fn has_word(text: &str, word: &str) -> bool {
    find_word(text, word).is_some()
}

/// Byte position of `word` in `text`, with no letter, digit or underscore on either side.
pub(crate) fn find_word(text: &str, word: &str) -> Option<usize> {
    let part = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(word).map(|(at, _)| at).find(|&at| {
        !text[..at].chars().next_back().is_some_and(part)
            && !text[at + word.len()..].chars().next().is_some_and(part)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_files_are_known_by_extension_or_name() {
        for path in ["a/b.rs", "Cargo.lock", "LICENSE-MIT", ".ci/run", "x/.gitignore"] {
            assert!(is_text(path), "{path}");
        }
        for path in ["a/flights.csv", "golden/v1/seg.jnl", "logo.png"] {
            assert!(!is_text(path), "{path}");
        }
    }

    #[test]
    fn word_needs_both_ends_free() {
        assert!(has_word("an unsafe { x }", "unsafe"));
        assert!(!has_word("unsafe_code", "unsafe"));
        assert!(!has_word("not_unsafe", "unsafe"));
        assert_eq!(find_word("aunsafe unsafe", "unsafe"), Some(8));
    }

    #[test]
    fn test_files_and_sources_are_told_apart() {
        let tree = Tree::planted(&[
            ("a/src/lib.rs", ""),
            ("a/src/x/tests.rs", ""),
            ("a/tests/it/main.rs", ""),
            ("examples/one.rs", ""),
        ]);
        let source: Vec<_> = tree.files.iter().map(File::is_source).collect();
        let test: Vec<_> = tree.files.iter().map(File::is_test).collect();
        assert_eq!(source, [true, false, false, false]);
        assert_eq!(test, [false, true, true, false]);
    }
}
