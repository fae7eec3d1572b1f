//! `#[derive(Effect)]` and `#[derive(Global)]`.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{DeriveInput, LitInt, LitStr, Result};

use super::attributes::{
    arguments, first_version, refuse_generics, set_once, stable_name, string, unknown, version,
};

struct Named {
    name: LitStr,
    version: LitInt,
}

fn named(input: &DeriveInput, attribute: &str, rename: &str, what: &str) -> Result<Named> {
    refuse_generics(input, what)?;
    let (mut name, mut found) = (None, None);
    arguments(&input.attrs, attribute, |meta| {
        if meta.path.is_ident(rename) {
            set_once(&mut name, meta, string(meta)?)
        } else if meta.path.is_ident("version") {
            set_once(&mut found, meta, version(meta)?)
        } else {
            Err(unknown(meta, &format!("`{rename} = \"…\"` or `version = …`")))
        }
    })?;
    let name = stable_name(name.as_ref(), input);
    Ok(Named { name, version: found.unwrap_or_else(first_version) })
}

/// Expands `#[derive(Effect)]`.
pub(crate) fn effect(input: &DeriveInput) -> Result<TokenStream> {
    let Named { name, version } = named(input, "effect", "topic", "an effect")?;
    let ident = &input.ident;
    Ok(quote! {
        #[automatically_derived]
        impl ::steadfast::__macro::Effect for #ident {
            const TOPIC: &'static str = #name;
            const VERSION: u32 = #version;
        }
    })
}

/// Expands `#[derive(Global)]`.
pub(crate) fn global(input: &DeriveInput) -> Result<TokenStream> {
    let Named { name, version } = named(input, "global", "rename", "a global")?;
    let ident = &input.ident;
    Ok(quote! {
        #[automatically_derived]
        impl ::steadfast::__macro::Global for #ident {
            const NAME: &'static str = #name;
            const VERSION: u32 = #version;
        }
    })
}
