//! macros

mod derive;
mod errors;
mod rule;
mod ruleset;
mod tokens;

use proc_macro::TokenStream;
use proc_macro2::TokenStream as TokenStream2;
use syn::{DeriveInput, ItemFn, Result, parse_macro_input};

use rule::{RuleArgs, Sort};

/// Makes a type a fact.
#[proc_macro_derive(Fact, attributes(fact))]
pub fn derive_fact(input: TokenStream) -> TokenStream {
    derived(derive::fact(&parse_macro_input!(input as DeriveInput)))
}

/// Makes a type an effect.
#[proc_macro_derive(Effect, attributes(effect))]
pub fn derive_effect(input: TokenStream) -> TokenStream {
    derived(derive::effect(&parse_macro_input!(input as DeriveInput)))
}

/// Makes a type a global.
#[proc_macro_derive(Global, attributes(global))]
pub fn derive_global(input: TokenStream) -> TokenStream {
    derived(derive::global(&parse_macro_input!(input as DeriveInput)))
}

/// Makes a function a rule.
#[proc_macro_attribute]
pub fn rule(args: TokenStream, item: TokenStream) -> TokenStream {
    let args = syn::parse::<RuleArgs>(args);
    rule::expand(Sort::Rule, args, &parse_macro_input!(item as ItemFn)).into()
}

/// Makes a function a query.
#[proc_macro_attribute]
pub fn query(args: TokenStream, item: TokenStream) -> TokenStream {
    let args = syn::parse::<syn::parse::Nothing>(args).map(|_| RuleArgs::default());
    rule::expand(Sort::Query, args, &parse_macro_input!(item as ItemFn)).into()
}

/// Names a ruleset.
#[proc_macro]
pub fn ruleset(input: TokenStream) -> TokenStream {
    ruleset::expand(&parse_macro_input!(input as ruleset::Ruleset)).into()
}

fn derived(expansion: Result<TokenStream2>) -> TokenStream {
    expansion
        .unwrap_or_else(syn::Error::into_compile_error)
        .into()
}
