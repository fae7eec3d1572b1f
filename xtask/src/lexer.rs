//! Splits Rust text into code and comments, line by line, without parsing it.
//!
//! Enough for checks that look for words: a word inside a string literal or a comment is no code, and
//! a word inside code is no comment. Both outputs keep the lines of the input.

use std::ops::Range;

/// Code and comments of one file, each with the rest blanked.
#[derive(Debug, Default)]
pub(crate) struct Lexed {
    /// The code; comments and literals are blank.
    pub(crate) code: String,
    /// The comments, with their slashes.
    pub(crate) comments: String,
    /// Lines (from 1) of the items under `#[cfg(test)]`.
    pub(crate) test_lines: Vec<Range<usize>>,
}

/// Splits `text`.
pub(crate) fn lex(text: &str) -> Lexed {
    let mut lexer = Lexer { rest: text, lexed: Lexed::default(), previous: ' ' };
    while let Some(c) = lexer.rest.chars().next() {
        lexer.step(c);
    }
    let test_lines = test_lines(&lexer.lexed.code);
    Lexed { test_lines, ..lexer.lexed }
}

struct Lexer<'a> {
    rest: &'a str,
    lexed: Lexed,
    /// The last character of code, to tell a prefix of a literal from the end of a word.
    previous: char,
}

#[derive(Clone, Copy, PartialEq)]
enum Part {
    Code,
    Comment,
    Literal,
}

impl Lexer<'_> {
    fn step(&mut self, c: char) {
        let word_before = self.previous.is_alphanumeric() || self.previous == '_';
        if self.rest.starts_with("//") {
            let end = self.rest.find('\n').unwrap_or(self.rest.len());
            self.take(end, Part::Comment);
        } else if self.rest.starts_with("/*") {
            self.take(block_comment_bytes(self.rest), Part::Comment);
        } else if let Some(bytes) = raw_string_bytes(self.rest).filter(|_| !word_before) {
            self.take(bytes, Part::Literal);
        } else if c == '"' {
            self.take(quoted_bytes(self.rest), Part::Literal);
        } else if let Some(bytes) = char_literal_bytes(self.rest) {
            self.take(bytes, Part::Literal);
        } else {
            self.previous = c;
            self.take(c.len_utf8(), Part::Code);
        }
    }

    fn take(&mut self, bytes: usize, part: Part) {
        let (taken, rest) = self.rest.split_at(bytes);
        for c in taken.chars() {
            let blank = if c == '\n' { c } else { ' ' };
            self.lexed.code.push(if part == Part::Code { c } else { blank });
            self.lexed.comments.push(if part == Part::Comment { c } else { blank });
        }
        if part != Part::Code {
            self.previous = ' ';
        }
        self.rest = rest;
    }
}

fn block_comment_bytes(text: &str) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while at < text.len() {
        let rest = &text.as_bytes()[at..];
        if rest.starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if rest.starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    text.len()
}

/// Length of a raw string literal (`r"…"`, `br#"…"#`, `cr"…"`) at the start of `text`.
fn raw_string_bytes(text: &str) -> Option<usize> {
    let prefix = ["r", "br", "cr"].into_iter().find(|prefix| {
        text.strip_prefix(prefix).is_some_and(|rest| rest.starts_with(['"', '#']))
    })?;
    let rest = &text[prefix.len()..];
    let hashes = rest.len() - rest.trim_start_matches('#').len();
    let body = rest[hashes..].strip_prefix('"')?; // otherwise a raw identifier
    let close = format!("\"{}", "#".repeat(hashes));
    let start = prefix.len() + hashes + 1;
    Some(body.find(&close).map_or(text.len(), |end| start + end + close.len()))
}

fn quoted_bytes(text: &str) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// Length of a character literal at the start of `text`; `None` for a lifetime.
fn char_literal_bytes(text: &str) -> Option<usize> {
    let body = text.strip_prefix('\'')?;
    if let Some(escape) = body.strip_prefix('\\') {
        let first = escape.chars().next()?.len_utf8();
        return escape[first..].find('\'').map(|end| 2 + first + end + 1);
    }
    let first = body.chars().next()?.len_utf8();
    body[first..].starts_with('\'').then_some(1 + first + 1)
}

/// Lines of the items that `#[cfg(test)]` guards: to the matching brace, or to the semicolon.
fn test_lines(code: &str) -> Vec<Range<usize>> {
    let mut ranges = Vec::new();
    for start in ["#[cfg(test)]", "#[cfg(all(test"] {
        for (at, _) in code.match_indices(start) {
            let line = |bytes: usize| code[..bytes].matches('\n').count() + 1;
            ranges.push(line(at)..line(item_end(code, at + start.len())) + 1);
        }
    }
    ranges
}

fn item_end(code: &str, from: usize) -> usize {
    let mut depth = 0_usize;
    for (at, c) in code[from..].char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth <= 1 => return from + at,
            '}' => depth -= 1,
            ';' if depth == 0 => return from + at,
            _ => {}
        }
    }
    code.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, code: &str, comments: &str) {
        let lexed = lex(text);
        let squeeze = |s: &str| s.split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(squeeze(&lexed.code), code);
        assert_eq!(squeeze(&lexed.comments), comments);
        assert_eq!(lexed.code.lines().count(), text.lines().count());
    }

    #[test]
    fn comments_are_no_code() {
        check(
            "a(); // b();\nc(); /* d /* e */ f */ g();",
            "a(); c(); g();",
            "// b(); /* d /* e */ f */",
        );
    }

    #[test]
    fn literals_are_no_code_and_no_comment() {
        check(r#"a("// no", "\" x", b"y", '"', '\'', b'\\');"#, "a( , , b , , , b );", "");
        check("a(r#\"x \" // y\"#, br\"z\\\");", "a( , );", "");
    }

    #[test]
    fn lifetime_is_no_character() {
        check("fn f<'a>(x: &'a str) {} // 'b", "fn f<'a>(x: &'a str) {}", "// 'b");
    }

    #[test]
    fn word_that_ends_in_r_is_no_raw_prefix() {
        check("for\"x\"; r#type", "for ; r#type", "");
    }

    #[test]
    fn test_module_ends_at_its_brace() {
        let lexed = lex("fn a() {}\n#[cfg(test)]\nmod tests {\n  fn b() {}\n}\nfn c() {}\n");
        assert_eq!(lexed.test_lines, vec![2..6]);
    }

    #[test]
    fn test_module_in_its_own_file_is_one_line() {
        let lexed = lex("#[cfg(test)]\nmod tests;\nfn c() {}\n");
        assert_eq!(lexed.test_lines, vec![1..3]);
    }
}
