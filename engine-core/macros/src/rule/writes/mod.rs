//! What a consequence writes: as far as its body shows it, and what `writes(…)` says beside that.
//!
//! Only what is certain is taken: an expansion names types, and a wrong guess would be an error in code
//! of the user's that is right. Whatever is not certain is *unseen*.

mod body;

use proc_macro2::{Span, TokenStream};
use quote::quote_spanned;
use syn::parse::{Parse, ParseStream};
use syn::spanned::Spanned;
use syn::{Error, ItemFn, LitStr, Path, Result, Token, Type, parenthesized};

use super::emit::site;
use super::items;
use super::param::Param;

/// How a consequence writes something.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Way {
    Makes,
    Derives,
    Updates,
    Deletes,
    /// It does so in a way that is not told.
    Changes,
    Emits,
    SetsGlobal,
}

/// What is known of a value's type.
#[derive(Clone)]
pub(crate) enum Known {
    /// The type itself.
    Type(Type),
    /// A pattern that every value of it matches, or every value of one of its variants.
    Shape(TokenStream),
    /// A value of it.
    Value(Path),
}

impl Known {
    /// Where errors of the type belong.
    fn span(&self) -> Span {
        match self {
            Self::Type(ty) => ty.span(),
            Self::Shape(shape) => shape.span(),
            Self::Value(path) => path.span(),
        }
    }
}

/// The type of what is written, and the entry point of facts.
#[derive(Clone)]
pub(crate) struct Target {
    pub(crate) known: Known,
    pub(crate) entry: Option<LitStr>,
}

/// All that a consequence writes.
#[derive(Default)]
pub(crate) struct Writes {
    pub(crate) list: Vec<(Way, Target)>,
    /// Whether its body may write something else.
    pub(crate) unseen: bool,
}

impl Writes {
    /// What a rule's function writes, with what its arguments say it does.
    pub(crate) fn of(function: &ItemFn, declared: Option<&Declared>, params: &[Param]) -> Self {
        let mut writes = body::writes(&function.block, params);
        if let Some(declared) = declared {
            // Whoever says what the body writes says it of all that is not seen.
            writes.unseen = false;
            writes.list.extend(declared.0.iter().cloned().map(|target| (Way::Changes, target)));
        }
        writes
    }

    /// A `Writes`; `derived` is the type that a logical rule returns.
    pub(crate) fn emit(&self, derived: Option<&Type>) -> TokenStream {
        let of = |way: Way, what: fn(&Target) -> TokenStream| {
            let of_way = self.list.iter().filter(|(of, _)| *of == way);
            of_way.map(|(_, target)| what(target)).collect::<Vec<_>>()
        };
        let (makes, updates) = (of(Way::Makes, fact), of(Way::Updates, fact));
        let (deletes, changes) = (of(Way::Deletes, fact), of(Way::Changes, fact));
        let derived =
            derived.map(|ty| fact(&Target { known: Known::Type(ty.clone()), entry: None }));
        let derives = derived.into_iter().chain(of(Way::Derives, fact));
        let (emits, globals) = (of(Way::Emits, topic), of(Way::SetsGlobal, global));
        let unseen = self.unseen;
        quote_spanned! {site()=>
            ::steadfast::__macro::Writes {
                makes: ::std::vec![#(#makes),*],
                derives: ::std::vec![#(#derives),*],
                updates: ::std::vec![#(#updates),*],
                deletes: ::std::vec![#(#deletes),*],
                changes: ::std::vec![#(#changes),*],
                emits: ::std::vec![#(#emits),*],
                globals: ::std::vec![#(#globals),*],
                unseen: #unseen,
            }
        }
    }
}

/// A `FactType`.
fn fact(target: &Target) -> TokenStream {
    let from = target.entry.as_ref().map(|entry| quote_spanned!(site()=> .from_entry(#entry)));
    match &target.known {
        Known::Type(ty) => {
            quote_spanned!(ty.span()=> ::steadfast::__macro::FactType::of::<#ty>() #from)
        }
        known => {
            let witness = witness(known);
            let place = known.span();
            quote_spanned!(place=> ::steadfast::__macro::fact_type_of(#witness) #from)
        }
    }
}

/// The topic of an effect.
fn topic(target: &Target) -> TokenStream {
    match &target.known {
        Known::Type(ty) => quote_spanned! {ty.span()=>
            <#ty as ::steadfast::__macro::Effect>::TOPIC
        },
        known => {
            let witness = witness(known);
            quote_spanned!(known.span()=> ::steadfast::__macro::topic_of(#witness))
        }
    }
}

/// The name of a global.
fn global(target: &Target) -> TokenStream {
    match &target.known {
        Known::Type(ty) => quote_spanned! {ty.span()=>
            <#ty as ::steadfast::__macro::Global>::NAME
        },
        known => {
            let witness = witness(known);
            quote_spanned!(known.span()=> ::steadfast::__macro::global_of(#witness))
        }
    }
}

/// A function that is never called, of whose argument the type is.
fn witness(known: &Known) -> TokenStream {
    let value = super::emit::local("value", site());
    match known {
        Known::Type(ty) => quote_spanned!(site()=> |_: #ty| {}),
        Known::Shape(shape) => {
            quote_spanned!(site()=> |#value| { if let #shape = #value {} })
        }
        // Of one type with the argument.
        Known::Value(path) => quote_spanned!(site()=> |#value| { let _ = [#value, #path]; }),
    }
}

/// `writes(Order, Hold from "east")`
pub(crate) struct Declared(Vec<Target>);

impl Parse for Declared {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let content;
        let parens = parenthesized!(content in input);
        let mut targets = Vec::new();
        while !content.is_empty() {
            let ty: Type = content.parse()?;
            if !matches!(ty, Type::Path(_)) {
                return Err(Error::new(ty.span(), EXPECTED));
            }
            let entry = items::entry(&content)?;
            targets.push(Target { known: Known::Type(ty), entry });
            if !content.is_empty() {
                content.parse::<Token![,]>()?;
            }
        }
        if targets.is_empty() {
            return Err(Error::new(parens.span.join(), EXPECTED));
        }
        Ok(Self(targets))
    }
}

const EXPECTED: &str = "expected the types of facts that the consequence inserts, updates or deletes: \
                        `writes(Order, Hold from \"east\")`";
