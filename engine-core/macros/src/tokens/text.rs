//! Tokens as a person writes them.
//!
//! The texts of conditions are made from tokens, not from the source: so they are the same however
//! the source was wrapped, also for rules that another macro wrote.

use proc_macro2::TokenStream;

use super::atoms::{Atom, atoms, is_keyword};

/// The tokens as text, spaced as rustfmt does on one line.
pub(crate) fn text_of(tokens: TokenStream) -> String {
    let mut printer = Printer::default();
    let atoms = atoms(tokens);
    for (at, atom) in atoms.iter().enumerate() {
        printer.put(atom, atoms.get(at + 1));
    }
    printer.text
}

/// What the last atom was, as far as the next one's space depends on it.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
enum Last {
    /// Nothing yet, or an opening delimiter: no space follows, an operand is expected.
    #[default]
    Start,
    /// An operand ended.
    Operand,
    /// A name that can be called or indexed ended.
    Callee,
    /// A word or an operator with a space behind, and an operand is expected.
    Spaced,
    /// A prefix operator, a dot or the like: no space follows, an operand is expected.
    Tight,
}

#[derive(Default)]
struct Printer {
    text: String,
    last: Last,
    /// Whether the last name looks like that of a type.
    after_type: bool,
    /// Generic argument lists that are open.
    angles: u32,
    /// Whether the parameters of a closure are open.
    in_closure: bool,
}

impl Printer {
    fn put(&mut self, atom: &Atom, next: Option<&Atom>) {
        match atom {
            Atom::Ident(word) => self.word(word),
            Atom::Literal(text) | Atom::Lifetime(text) => self.operand(text, Last::Operand),
            Atom::Open(open) => self.open(*open),
            Atom::Close(close) => self.close(*close),
            Atom::Op(op) => self.op(op, next),
        }
        self.after_type = matches!(atom, Atom::Ident(word) if is_type_name(word));
    }

    fn expects_operand(&self) -> bool {
        !matches!(self.last, Last::Operand | Last::Callee)
    }

    fn space(&mut self) {
        if !matches!(self.last, Last::Start | Last::Tight) {
            self.text.push(' ');
        }
    }

    fn operand(&mut self, text: &str, last: Last) {
        self.space();
        self.text.push_str(text);
        self.last = last;
    }

    fn word(&mut self, word: &str) {
        let last = if is_keyword(word) { Last::Spaced } else { Last::Callee };
        self.operand(word, last);
    }

    fn open(&mut self, open: char) {
        if open == '{' || self.last != Last::Callee {
            self.space();
        }
        self.text.push(open);
        self.last = if open == '{' { Last::Spaced } else { Last::Start };
    }

    fn close(&mut self, close: char) {
        if close == '}' {
            // An empty block keeps its braces together.
            let empty = self.text.ends_with('{');
            self.text.push_str(if empty { "}" } else { " }" });
        } else {
            self.text.push(close);
        }
        self.last = Last::Callee;
    }

    fn op(&mut self, op: &str, next: Option<&Atom>) {
        match op {
            "." | "::" | ".." | "..=" | "..." => self.tight(op),
            "?" => self.behind(op, Last::Callee),
            "," | ";" | ":" => self.behind(op, Last::Spaced),
            "!" if self.last == Last::Callee && matches!(next, Some(Atom::Open(_))) => {
                self.behind(op, Last::Callee);
                self.last =
                    if matches!(next, Some(Atom::Open('{'))) { Last::Spaced } else { Last::Tight };
            }
            "<" if self.after_type || self.text.ends_with("::") || self.expects_operand() => {
                self.angles += 1;
                self.prefix(op);
            }
            ">" if self.angles > 0 => {
                self.angles -= 1;
                self.behind(op, Last::Callee);
            }
            ">>" if self.angles > 1 => {
                self.angles -= 2;
                self.behind(op, Last::Callee);
            }
            "|" if self.in_closure => {
                self.in_closure = false;
                self.behind(op, Last::Spaced);
            }
            "|" if self.expects_operand() => {
                self.in_closure = true;
                self.prefix(op);
            }
            "||" if self.expects_operand() => self.operand(op, Last::Spaced),
            "-" | "!" | "*" | "&" | "&&" if self.expects_operand() => self.prefix(op),
            _ => self.operand(op, Last::Spaced),
        }
    }

    /// No space on either side, unless a word stands before: `return ..`.
    fn tight(&mut self, op: &str) {
        if self.last == Last::Spaced {
            self.text.push(' ');
        }
        self.text.push_str(op);
        self.last = Last::Tight;
    }

    /// No space before.
    fn behind(&mut self, op: &str, last: Last) {
        self.text.push_str(op);
        self.last = last;
    }

    /// No space behind.
    fn prefix(&mut self, op: &str) {
        if !matches!(op, "<") || self.last == Last::Spaced {
            self.space();
        }
        self.text.push_str(op);
        self.last = Last::Tight;
    }
}

/// `Vec`, but neither `x` nor `MAX`.
fn is_type_name(word: &str) -> bool {
    word.starts_with(char::is_uppercase) && word.chars().any(char::is_lowercase)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every text is printed as it stands here, also with other white space.
    const TEXTS: [&str; 27] = [
        "o.customer == c.id",
        "p.amount >= o.amount && !p.open",
        "a.x < -1",
        "a.x - 1 < b.y",
        "a.x == *b.y",
        "a.x == &b.y",
        "matches!(o.status, Status::Paid | Status::Open)",
        "o.lines.iter().any(|line| line.open)",
        "o.lines.iter().all(|(a, b)| a < b)",
        "o.amount as i64 > MAX",
        "MAX < o.amount",
        "o.tail.as_deref() == Some(\"N14228\")",
        "(a.x + 1) * 2 > b.y",
        "Vec::<u8>::new().is_empty()",
        "<Order as Priced>::price(o) > 3",
        "o.days[0] == d.day",
        "o.days[(a + 1) * 2]?.x",
        "(1..=5).contains(&o.x)",
        "(..5).contains(&o.x)",
        "if o.open { a.x } else { b.x } == 1",
        "o.x == Money { cents: 3 }.cents",
        "o.f.map_or(true, || false)",
        "*o == *p",
        "o.name == 'c'",
        "o.values::<Vec<Vec<u8>>>().len() == 3",
        "(a, b,) == (c, d)",
        "format!(\"{c}\") == o.name",
    ];

    #[test]
    fn texts_are_spaced_as_people_do() {
        for text in TEXTS {
            let expected = text.replace(",)", ")");
            assert_eq!(text_of(text.parse().expect("tokens")), expected);
        }
    }
}
