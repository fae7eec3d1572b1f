//! Reads the entries of a TOML file together with their comments, which a TOML parser drops.

/// One `key = value` of a TOML file, or the head of a dependency's own table.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// The table that it stands in, such as `workspace.dependencies`.
    pub(crate) table: String,
    pub(crate) key: String,
    /// The text of the value, without comments; may span lines.
    pub(crate) value: String,
    /// Line from 1.
    pub(crate) line: usize,
    /// Comment on its lines or on the lines directly above.
    pub(crate) comment: String,
}

/// All entries of `text`, in order.
pub(crate) fn entries(text: &str) -> Vec<Entry> {
    let mut entries: Vec<Entry> = Vec::new();
    let mut table = String::new();
    let mut above = String::new();
    let mut open_brackets = 0_i32;
    for (i, line) in text.lines().enumerate() {
        let (code, comment) = split_comment(line);
        let code = code.trim();
        if open_brackets > 0
            && let Some(entry) = entries.last_mut()
        {
            entry.value.push_str(code);
            entry.comment.push_str(comment);
            open_brackets += bracket_balance(code);
        } else if code.is_empty() {
            // A blank line ends a comment's reach.
            above = if comment.is_empty() { String::new() } else { above + comment };
        } else if let Some(head) = code.strip_prefix('[') {
            head.trim_matches(['[', ']']).clone_into(&mut table);
            if let Some((parent, name)) = dependency_table(&table) {
                let comment = std::mem::take(&mut above) + comment;
                let (table, key) = (parent.to_owned(), name.to_owned());
                entries.push(Entry { table, key, value: String::new(), line: i + 1, comment });
            }
            above.clear();
        } else if let Some((key, value)) = code.split_once('=') {
            let key = key.trim().trim_matches('"').to_owned();
            let comment = std::mem::take(&mut above) + comment;
            let value = value.trim().to_owned();
            open_brackets = bracket_balance(&value);
            entries.push(Entry { table: table.clone(), key, value, line: i + 1, comment });
        }
    }
    entries
}

/// `dependencies.serde` is the table of one dependency.
fn dependency_table(table: &str) -> Option<(&str, &str)> {
    table.rsplit_once('.').filter(|(parent, _)| is_dependency_table(parent))
}

/// Whether the entries of `table` are dependencies.
pub(crate) fn is_dependency_table(table: &str) -> bool {
    let last = table.rsplit('.').next().unwrap_or(table);
    matches!(last, "dependencies" | "dev-dependencies" | "build-dependencies")
}

/// The strings of an array value such as `["MIT", "ISC"]`.
pub(crate) fn strings(value: &str) -> Vec<&str> {
    value.split('"').skip(1).step_by(2).collect()
}

fn split_comment(line: &str) -> (&str, &str) {
    let mut quote = None;
    for (at, c) in line.char_indices() {
        match (quote, c) {
            (None, '#') => return (&line[..at], &line[at..]),
            (None, '"' | '\'') => quote = Some(c),
            (Some(open), _) if open == c => quote = None,
            _ => {}
        }
    }
    (line, "")
}

fn bracket_balance(code: &str) -> i32 {
    let mut in_string = false;
    let mut balance = 0;
    for c in code.chars() {
        match c {
            '"' => in_string = !in_string,
            '[' | '{' if !in_string => balance += 1,
            ']' | '}' if !in_string => balance -= 1,
            _ => {}
        }
    }
    balance
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &[(&str, &str, &str, usize, &str)]) {
        let actual = entries(text);
        let actual: Vec<_> = actual
            .iter()
            .map(|e| (&*e.table, &*e.key, &*e.value, e.line, e.comment.as_str()))
            .collect();
        assert_eq!(actual, expected);
    }

    #[test]
    fn comment_on_the_line_or_directly_above_belongs_to_the_entry() {
        check(
            "[dependencies]\na = \"1\" # why\n# because\nb = \"2\"\n# lost\n\nc = \"3\"\n",
            &[
                ("dependencies", "a", "\"1\"", 2, "# why"),
                ("dependencies", "b", "\"2\"", 4, "# because"),
                ("dependencies", "c", "\"3\"", 7, ""),
            ],
        );
    }

    #[test]
    fn value_over_several_lines_is_one_entry() {
        check(
            "[licenses]\nallow = [\n  \"MIT\", # short\n  \"ISC\",\n]\nnext = 1",
            &[
                ("licenses", "allow", "[\"MIT\",\"ISC\",]", 2, "# short"),
                ("licenses", "next", "1", 6, ""),
            ],
        );
        assert_eq!(strings("[\"MIT\",\"ISC\",]"), ["MIT", "ISC"]);
    }

    #[test]
    fn table_of_one_dependency_is_an_entry() {
        check(
            "[dependencies.serde] # facts\nversion = \"1\"\n",
            &[
                ("dependencies", "serde", "", 1, "# facts"),
                ("dependencies.serde", "version", "\"1\"", 2, ""),
            ],
        );
    }

    #[test]
    fn hash_in_a_string_is_no_comment() {
        check("url = \"a#b\" # c", &[("", "url", "\"a#b\"", 1, "# c")]);
    }
}
