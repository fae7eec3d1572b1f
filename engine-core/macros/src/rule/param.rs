//! Parameters of a rule: what their types make of them.

use proc_macro2::Span;
use syn::spanned::Spanned;
use syn::{Error, FnArg, GenericArgument, Ident, Pat, PathArguments, PathSegment, Result, Type};

use super::attributes::Attributes;

/// One parameter.
#[derive(Clone)]
pub(crate) struct Param {
    /// The variable; `_` for none.
    pub(crate) name: Ident,
    /// What it is.
    pub(crate) kind: Kind,
    /// What its attributes say.
    pub(crate) attributes: Attributes,
}

/// What a parameter is.
#[derive(Clone)]
pub(crate) enum Kind {
    /// A fact that the match holds, by reference or with its handle.
    Fact { ty: Type, with_handle: bool },
    /// No such fact, or no such facts together: then the type is a tuple.
    Absent { ty: Type },
    /// At least one such fact, or such facts together.
    Exists { ty: Type },
    /// For each such fact, something holds.
    Forall { ty: Type },
    /// One of several branches.
    Either,
    /// A value over many facts.
    Group(Box<GroupType>),
    /// A condition on the group before it.
    Having,
    /// The consequence's context.
    Then,
}

/// `Group<Source, Key, (Results…,)>`.
#[derive(Clone)]
pub(crate) struct GroupType {
    /// The type as a whole, without a reference.
    pub(crate) whole: Type,
    /// What it is a group of.
    pub(crate) source: Type,
    /// Types of the elements.
    pub(crate) elements: Vec<Type>,
    /// Type of the key.
    pub(crate) key: Type,
    /// Types of the functions' results.
    pub(crate) results: Vec<Type>,
    /// Where the results are written.
    pub(crate) results_span: Span,
    /// Whether the function takes it by value.
    pub(crate) by_value: bool,
}

const EXPECTED: &str = "expected a pattern: `&Fact`, `Ref<Fact>`, `Absent<Fact>`, `Exists<Fact>`, \
                        `Forall<Fact>`, `Either`, `Group<Fact, Key, (Results,)>`, `Having`, or the \
                        context `&mut Then`";

impl Param {
    /// Reads one parameter.
    pub(crate) fn of(arg: &FnArg) -> Result<Self> {
        let typed = match arg {
            FnArg::Typed(typed) => typed,
            FnArg::Receiver(receiver) => {
                return Err(Error::new(receiver.span(), "a rule is a free function, not a method"));
            }
        };
        let name = match &*typed.pat {
            Pat::Ident(pat) if pat.by_ref.is_none() && pat.subpat.is_none() => pat.ident.clone(),
            Pat::Wild(wild) => Ident::new("_", wild.underscore_token.span()),
            other => {
                return Err(Error::new(other.span(), "expected a variable's name"));
            }
        };
        let kind = Kind::of(&typed.ty)?;
        let attributes = Attributes::of(&typed.attrs, &kind)?;
        Ok(Self { name, kind, attributes })
    }
}

impl Kind {
    pub(crate) fn of(ty: &Type) -> Result<Self> {
        match ty {
            Type::Group(group) => Self::of(&group.elem),
            Type::Paren(paren) => Self::of(&paren.elem),
            Type::Reference(reference) => {
                let last = last_segment(&reference.elem);
                let name = last.map(|segment| segment.ident.to_string()).unwrap_or_default();
                match (name.as_str(), reference.mutability) {
                    ("Then", Some(_)) => Ok(Self::Then),
                    ("Then", None) => Err(Error::new(ty.span(), "the context is `&mut Then`")),
                    (_, Some(mutability)) => Err(Error::new(
                        mutability.span(),
                        "facts are not changed in place: take `Ref<Fact>` and modify it through \
                         the context",
                    )),
                    ("Group", None) => group(&reference.elem, false),
                    ("Ref" | "Absent" | "Exists" | "Forall" | "Either" | "Having", None) => {
                        let message = format!("take `{name}` by value, without the `&`");
                        Err(Error::new(reference.and_token.span(), message))
                    }
                    _ if last.is_some() => {
                        Ok(Self::Fact { ty: (*reference.elem).clone(), with_handle: false })
                    }
                    _ => Err(Error::new(ty.span(), EXPECTED)),
                }
            }
            Type::Path(_) => Self::of_path(ty),
            _ => Err(Error::new(ty.span(), EXPECTED)),
        }
    }

    fn of_path(ty: &Type) -> Result<Self> {
        let Some(last) = last_segment(ty) else {
            return Err(Error::new(ty.span(), EXPECTED));
        };
        match last.ident.to_string().as_str() {
            "Ref" => Ok(Self::Fact { ty: only_type(last)?, with_handle: true }),
            "Absent" => Ok(Self::Absent { ty: only_type(last)? }),
            "Exists" => Ok(Self::Exists { ty: only_type(last)? }),
            "Forall" => Ok(Self::Forall { ty: only_type(last)? }),
            "Either" => Ok(Self::Either),
            "Group" => group(ty, true),
            "Having" => Ok(Self::Having),
            "Then" => Err(Error::new(ty.span(), "the context is `&mut Then`")),
            _ => Err(Error::new(ty.span(), EXPECTED)),
        }
    }

    /// What it is, in words of the user.
    pub(crate) fn words(&self) -> &'static str {
        match self {
            Self::Fact { .. } => "a fact pattern",
            Self::Absent { .. } => "`Absent`",
            Self::Exists { .. } => "`Exists`",
            Self::Forall { .. } => "`Forall`",
            Self::Either => "`Either`",
            Self::Group(_) => "`Group`",
            Self::Having => "`Having`",
            Self::Then => "the context",
        }
    }
}

pub(crate) fn last_segment(ty: &Type) -> Option<&PathSegment> {
    match ty {
        Type::Path(path) => path.path.segments.last(),
        Type::Group(group) => last_segment(&group.elem),
        Type::Paren(paren) => last_segment(&paren.elem),
        _ => None,
    }
}

/// The type arguments; lifetimes are left out.
pub(crate) fn type_arguments(segment: &PathSegment) -> Vec<&Type> {
    let PathArguments::AngleBracketed(arguments) = &segment.arguments else {
        return Vec::new();
    };
    let types = arguments.args.iter().filter_map(|argument| match argument {
        GenericArgument::Type(ty) => Some(ty),
        _ => None,
    });
    types.collect()
}

fn only_type(segment: &PathSegment) -> Result<Type> {
    if let [ty] = type_arguments(segment).as_slice() {
        return Ok((*ty).clone());
    }
    let message = format!("expected one fact type: `{}<Fact>`", segment.ident);
    Err(Error::new(segment.span(), message))
}

fn group(ty: &Type, by_value: bool) -> Result<Kind> {
    const EXPECTED: &str = "expected `Group<Fact, Key, (Results,)>`; \
                            several facts are a tuple, no key is `()`";
    let segment = last_segment(ty).ok_or_else(|| Error::new(ty.span(), EXPECTED))?;
    let arguments = type_arguments(segment);
    let [source, key, results] = arguments.as_slice() else {
        return Err(Error::new(segment.span(), EXPECTED));
    };
    let elements = match source {
        Type::Tuple(tuple) if tuple.elems.is_empty() => {
            return Err(Error::new(source.span(), "expected the type of the facts in the group"));
        }
        Type::Tuple(tuple) => tuple.elems.iter().cloned().collect(),
        one => vec![(*one).clone()],
    };
    let Type::Tuple(tuple) = results else {
        let message = "expected a tuple with one type per function, also for one: `(i64,)`";
        return Err(Error::new(results.span(), message));
    };
    Ok(Kind::Group(Box::new(GroupType {
        whole: ty.clone(),
        source: (*source).clone(),
        elements,
        key: (*key).clone(),
        results: tuple.elems.iter().cloned().collect(),
        results_span: results.span(),
        by_value,
    })))
}
