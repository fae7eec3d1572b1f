//! A rule's left-hand side after analysis.

use proc_macro2::{Span, TokenStream};
use syn::{Expr, Ident, LitStr, Type};

use super::classify::Class;
use super::function::Function;
use super::usage::Use;
use super::watch::Watch;
use super::window::Window;

/// A variable of the rule with its place in rows.
#[derive(Clone)]
pub(crate) struct Variable {
    /// Its name; `_` for none.
    pub(crate) name: Ident,
    /// Type of the fact, or of the group as a whole.
    pub(crate) ty: Type,
    /// Whether it is a group.
    pub(crate) is_group: bool,
    /// Its position in rows of the rule.
    pub(crate) position: usize,
}

/// A variable that an expression uses.
#[derive(Clone)]
pub(crate) struct Used {
    pub(crate) variable: Variable,
    pub(crate) usage: Use,
}

/// A condition.
#[derive(Clone)]
pub(crate) struct Condition {
    /// What is evaluated.
    pub(crate) expr: Expr,
    /// What the user wrote.
    pub(crate) written: TokenStream,
    /// What it is to an index.
    pub(crate) class: Class,
    /// Variables that it uses, in the order of their positions.
    pub(crate) used: Vec<Used>,
}

/// A fact pattern, be it positive, of a `not`, an `exists`, or an element of a group.
#[derive(Clone)]
pub(crate) struct FactPattern {
    pub(crate) variable: Variable,
    /// The entry point that its facts come through, if that has a name.
    pub(crate) entry: Option<LitStr>,
    pub(crate) conditions: Vec<Condition>,
    /// Which of the last facts count, if not all do.
    pub(crate) window: Option<Window>,
    pub(crate) watch: Option<Watch>,
    /// Whether its fact is another one than every earlier one of its type.
    pub(crate) distinct: bool,
    /// Where to warn that it joins without any index.
    pub(crate) unindexed: Option<Span>,
}

/// An expression that gives a value: a part of a group's key, the input of a function.
#[derive(Clone)]
pub(crate) struct Value {
    pub(crate) expr: Expr,
    pub(crate) used: Vec<Used>,
}

/// One function over a group.
#[derive(Clone)]
pub(crate) struct Aggregate {
    pub(crate) function: Function,
    pub(crate) inputs: Vec<Value>,
    /// Type of its result, as declared.
    pub(crate) result: Type,
}

/// A group.
#[derive(Clone)]
pub(crate) struct GroupPattern {
    pub(crate) variable: Variable,
    pub(crate) source: Type,
    /// Types of the elements as the group's type says.
    pub(crate) declared: Vec<Type>,
    pub(crate) key: Type,
    pub(crate) elements: Vec<FactPattern>,
    /// The parts of the key; none for an accumulate over all.
    pub(crate) by: Vec<Value>,
    pub(crate) aggregates: Vec<Aggregate>,
    pub(crate) having: Vec<Condition>,
}

/// A `not` or `exists` over several patterns.
#[derive(Clone)]
pub(crate) struct Nested {
    pub(crate) exists: bool,
    pub(crate) parts: Vec<Part>,
}

/// One part of the left-hand side.
#[derive(Clone)]
pub(crate) enum Part {
    Each(FactPattern),
    Not(FactPattern),
    Exists(FactPattern),
    Group(Box<GroupPattern>),
    Nested(Nested),
}

impl Part {
    /// Its patterns, those inside of others included.
    pub(crate) fn patterns(&self) -> Vec<&FactPattern> {
        match self {
            Self::Each(pattern) | Self::Not(pattern) | Self::Exists(pattern) => vec![pattern],
            Self::Group(group) => group.elements.iter().collect(),
            Self::Nested(nested) => nested.parts.iter().flat_map(Self::patterns).collect(),
        }
    }

    /// Whether more than one tuple may stand behind it for one before it.
    pub(crate) fn joins_many(&self) -> bool {
        match self {
            Self::Each(_) => true,
            Self::Group(group) => !group.by.is_empty(),
            Self::Not(_) | Self::Exists(_) | Self::Nested(_) => false,
        }
    }
}

/// What the function is called with.
#[derive(Clone)]
pub(crate) enum Argument {
    Fact(Variable),
    Handle(Variable),
    Absent(Type),
    Exists(Type),
    Forall(Type),
    /// Which branch of its own this is.
    Either(u16),
    Group {
        variable: Variable,
        by_value: bool,
    },
    Having,
    Then,
}

/// Types that a parameter declares, and those that its attribute names.
#[derive(Clone)]
pub(crate) struct Declared {
    pub(crate) declared: Type,
    pub(crate) named: Type,
}

/// The left-hand side, and how the function is called. A rule with an `or` has one for each branch.
pub(crate) struct Analysis {
    pub(crate) parts: Vec<Part>,
    /// Types that must be the same.
    pub(crate) declared: Vec<Declared>,
    /// One per parameter.
    pub(crate) arguments: Vec<Argument>,
    /// The salience, unless it is a number.
    pub(crate) salience: Option<Value>,
    /// What is asked when a match is about to fire.
    pub(crate) enabled: Option<Value>,
    /// Names of the variables that some condition uses.
    pub(crate) used_names: Vec<String>,
}

impl Analysis {
    /// Whether some pattern joins through an index.
    pub(crate) fn has_index(&self) -> bool {
        let mut patterns = self.parts.iter().flat_map(Part::patterns);
        patterns.any(|pattern| is_indexed(&pattern.conditions))
    }
}

/// Whether some condition narrows a join through an index.
pub(crate) fn is_indexed(conditions: &[Condition]) -> bool {
    let is_index = |class: &Class| {
        matches!(class, Class::Key { .. } | Class::Range { .. } | Class::Temporal(_))
    };
    conditions.iter().any(|condition| is_index(&condition.class))
}
