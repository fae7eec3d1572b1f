//! Attributes of the derives: `#[fact(rename = "…", version = 2)]` and the like.

use proc_macro2::Span;
use syn::ext::IdentExt;
use syn::meta::ParseNestedMeta;
use syn::spanned::Spanned;
use syn::{Attribute, DeriveInput, Error, Ident, LitInt, LitStr, Result};

/// Calls `each` with every argument of every attribute of this name.
pub(crate) fn arguments(
    attributes: &[Attribute],
    name: &str,
    mut each: impl FnMut(&ParseNestedMeta<'_>) -> Result<()>,
) -> Result<()> {
    for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident(name)) {
        attribute.parse_nested_meta(|meta| each(&meta))?;
    }
    Ok(())
}

/// Sets a value that may be given once.
pub(crate) fn set_once<T>(
    slot: &mut Option<T>,
    meta: &ParseNestedMeta<'_>,
    value: T,
) -> Result<()> {
    if slot.is_some() {
        let name = meta.path.get_ident().map(Ident::to_string).unwrap_or_default();
        return Err(meta.error(format!("`{name}` is given twice")));
    }
    *slot = Some(value);
    Ok(())
}

/// Parses `= "name"`.
pub(crate) fn string(meta: &ParseNestedMeta<'_>) -> Result<LitStr> {
    let literal: LitStr = meta.value()?.parse()?;
    if literal.value().is_empty() {
        return Err(Error::new(literal.span(), "expected a name, found an empty string"));
    }
    Ok(literal)
}

/// Parses `= 2`: a schema version.
pub(crate) fn version(meta: &ParseNestedMeta<'_>) -> Result<LitInt> {
    let literal: LitInt = meta.value()?.parse()?;
    match literal.base10_parse::<u32>() {
        Ok(version) if version > 0 => Ok(literal),
        _ => Err(Error::new(literal.span(), "expected a version between 1 and 4294967295")),
    }
}

/// An argument that is none of the expected ones.
pub(crate) fn unknown(meta: &ParseNestedMeta<'_>, expected: &str) -> Error {
    meta.error(format!("unknown argument, expected {expected}"))
}

/// The stable name of a type: what an attribute says, or its own.
pub(crate) fn stable_name(renamed: Option<&LitStr>, input: &DeriveInput) -> LitStr {
    let own = || LitStr::new(&input.ident.unraw().to_string(), input.ident.span());
    renamed.cloned().unwrap_or_else(own)
}

/// Refuses type parameters: a stored type has one name, so it is one type.
pub(crate) fn refuse_generics(input: &DeriveInput, what: &str) -> Result<()> {
    if input.generics.params.is_empty() {
        return Ok(());
    }
    let message = format!("{what} cannot be generic: a stored name stands for one type");
    Err(Error::new(input.generics.span(), message))
}

/// Version 1.
pub(crate) fn first_version() -> LitInt {
    LitInt::new("1", Span::call_site())
}
