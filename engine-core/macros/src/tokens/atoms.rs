//! Tokens in one canonical spelling.

use proc_macro2::{Delimiter, Group, Spacing, TokenStream, TokenTree};

/// A token in its canonical spelling.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Atom {
    /// A word, raw or not.
    Ident(String),
    /// A literal as written.
    Literal(String),
    /// A lifetime with its quote.
    Lifetime(String),
    /// An operator of one to three characters.
    Op(String),
    /// An opening delimiter.
    Open(char),
    /// A closing delimiter.
    Close(char),
}

impl Atom {
    pub(crate) fn as_str(&self) -> &str {
        match self {
            Self::Ident(text) | Self::Literal(text) | Self::Lifetime(text) | Self::Op(text) => text,
            Self::Open('(') => "(",
            Self::Open('[') => "[",
            Self::Open(_) => "{",
            Self::Close(')') => ")",
            Self::Close(']') => "]",
            Self::Close(_) => "}",
        }
    }

    fn is_op(&self, op: &str) -> bool {
        matches!(self, Self::Op(text) if text == op)
    }
}

/// Operators of more than one character, longest first.
const OPERATORS: [&str; 24] = [
    "<<=", ">>=", "...", "..=", "<<", ">>", "<=", ">=", "==", "!=", "&&", "||", "->", "=>", "::",
    "..", "+=", "-=", "*=", "/=", "%=", "^=", "&=", "|=",
];

/// The tokens in canonical spelling. Left out is what does not matter: documentation, invisible
/// groups, and commas that a formatter adds before a closing delimiter.
pub(crate) fn atoms(tokens: TokenStream) -> Vec<Atom> {
    let mut atoms = Vec::new();
    append(tokens, &mut atoms);
    atoms
}

fn append(tokens: TokenStream, atoms: &mut Vec<Atom>) {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    let mut rest = tokens.as_slice();
    while let [first, tail @ ..] = rest {
        rest = tail;
        match first {
            TokenTree::Ident(ident) => atoms.push(Atom::Ident(ident.to_string())),
            TokenTree::Literal(literal) => atoms.push(Atom::Literal(literal.to_string())),
            TokenTree::Group(group) => append_group(group, atoms),
            TokenTree::Punct(punct) => {
                if punct.as_char() == '#'
                    && let Some(after) = after_documentation(tail)
                {
                    rest = after;
                } else if let ('\'', [TokenTree::Ident(name), after @ ..]) = (punct.as_char(), tail)
                {
                    atoms.push(Atom::Lifetime(format!("'{name}")));
                    rest = after;
                } else {
                    let op = operator(punct.as_char(), punct.spacing(), tail);
                    rest = &tail[op.len() - 1..];
                    if op == ">" || op == ">>" {
                        drop_comma(atoms);
                    }
                    atoms.push(Atom::Op(op));
                }
            }
        }
    }
}

fn append_group(group: &Group, atoms: &mut Vec<Atom>) {
    let (open, close) = match group.delimiter() {
        Delimiter::Parenthesis => ('(', ')'),
        Delimiter::Bracket => ('[', ']'),
        Delimiter::Brace => ('{', '}'),
        Delimiter::None => return append(group.stream(), atoms),
    };
    let trailing_comma_matters = open == '(' && !follows_callee(atoms) && commas(group) == 1;
    atoms.push(Atom::Open(open));
    append(group.stream(), atoms);
    if !trailing_comma_matters {
        drop_comma(atoms);
    }
    atoms.push(Atom::Close(close));
}

fn drop_comma(atoms: &mut Vec<Atom>) {
    if atoms.last().is_some_and(|atom| atom.is_op(",")) {
        atoms.pop();
    }
}

/// Whether a parenthesis after these tokens holds arguments, and is not a tuple.
fn follows_callee(atoms: &[Atom]) -> bool {
    match atoms.last() {
        Some(Atom::Ident(word)) => !is_keyword(word),
        Some(Atom::Op(op)) => op == "!" || op == ">",
        Some(Atom::Close(_)) => true,
        _ => false,
    }
}

fn commas(group: &Group) -> usize {
    let is_comma = |token: &TokenTree| matches!(token, TokenTree::Punct(p) if p.as_char() == ',');
    group.stream().into_iter().filter(is_comma).count()
}

/// Whether a word can stand before an operand.
pub(crate) fn is_keyword(word: &str) -> bool {
    const KEYWORDS: [&str; 16] = [
        "as", "box", "break", "const", "dyn", "else", "for", "if", "in", "let", "match", "move",
        "mut", "ref", "return", "while",
    ];
    KEYWORDS.contains(&word)
}

/// What follows a documentation attribute whose `#` has been read.
fn after_documentation(tail: &[TokenTree]) -> Option<&[TokenTree]> {
    let tail = match tail {
        [TokenTree::Punct(bang), inner @ ..] if bang.as_char() == '!' => inner,
        _ => tail,
    };
    let [TokenTree::Group(group), after @ ..] = tail else {
        return None;
    };
    let first = group.stream().into_iter().next();
    let is_doc = matches!(first, Some(TokenTree::Ident(name)) if name == "doc");
    (is_doc && group.delimiter() == Delimiter::Bracket).then_some(after)
}

/// The longest operator that begins with `first`.
fn operator(first: char, spacing: Spacing, tail: &[TokenTree]) -> String {
    let mut run = String::from(first);
    let mut joint = spacing == Spacing::Joint;
    for token in tail.iter().take(2) {
        let TokenTree::Punct(punct) = token else {
            break;
        };
        if !joint {
            break;
        }
        run.push(punct.as_char());
        joint = punct.spacing() == Spacing::Joint;
    }
    let longest = OPERATORS.iter().find(|operator| run.starts_with(**operator));
    longest.map_or_else(|| String::from(first), |operator| String::from(*operator))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spelled(source: &str) -> String {
        let tokens: TokenStream = source.parse().expect("tokens");
        atoms(tokens).iter().map(Atom::as_str).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn operators_are_glued_as_the_compiler_does() {
        assert_eq!(spelled("a&&b"), "a && b");
        assert_eq!(spelled("a & & b"), "a & & b");
        assert_eq!(spelled("a==-1"), "a == - 1");
        assert_eq!(spelled("1..=2"), "1 ..= 2");
        assert_eq!(spelled("a<<=b"), "a <<= b");
        assert_eq!(spelled("&'a str"), "& 'a str");
    }

    #[test]
    fn comments_and_documentation_vanish() {
        assert_eq!(spelled("a /* why */ + // because\n b"), "a + b");
        assert_eq!(spelled("#[doc = \"x\"] struct A;"), "struct A ;");
        assert_eq!(spelled("#[inline] fn a() {}"), "# [ inline ] fn a ( ) { }");
    }

    #[test]
    fn trailing_commas_vanish_unless_they_make_a_tuple() {
        assert_eq!(spelled("f(a, b,)"), "f ( a , b )");
        assert_eq!(spelled("f(a,)"), "f ( a )");
        assert_eq!(spelled("(a,)"), "( a , )");
        assert_eq!(spelled("(a, b,)"), "( a , b )");
        assert_eq!(spelled("return (a,)"), "return ( a , )");
        assert_eq!(spelled("[a,]"), "[ a ]");
        assert_eq!(spelled("Group<A, (u8,),>"), "Group < A , ( u8 , ) >");
    }
}
