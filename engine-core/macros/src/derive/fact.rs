//! `#[derive(Fact)]`.

use proc_macro2::{Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::ext::IdentExt;
use syn::spanned::Spanned;
use syn::{
    Attribute, Data, DeriveInput, Error, Fields, Ident, Index, LitInt, LitStr, Member, Path,
    Result, Type,
};

use super::attributes::{
    arguments, first_version, refuse_generics, set_once, stable_name, string, unknown, version,
};
use super::event::{Event, EventWords};

/// Expands `#[derive(Fact)]`.
pub(crate) fn fact(input: &DeriveInput) -> Result<TokenStream> {
    refuse_generics(input, "a fact")?;
    let shape = Shape::of(input)?;
    let options = Options::of(input, &shape)?;
    let consts = consts(&options, &shape);
    let diff = diff(&shape);
    let read = read(&options);
    let key = key(&shape);
    let keyed = keyed(&input.ident, &shape);
    let derived_key = derived_key(&shape);
    let event = options.event.as_ref().map(|event| event.emit(&shape));
    let ident = &input.ident;
    let upcast_check = options.from.as_ref().map(|from| {
        quote_spanned! {from.span()=>
            const _: () = ::core::assert!(
                <#from as ::steadfast::__macro::Fact>::VERSION
                    < <#ident as ::steadfast::__macro::Fact>::VERSION,
                "the version of a fact must be above the version of the type that it is read `from`",
            );
        }
    });
    Ok(quote! {
        #upcast_check
        #[automatically_derived]
        #[allow(clippy::all, clippy::pedantic)]
        impl ::steadfast::__macro::Fact for #ident {
            #consts
            #diff
            #read
            #key
            #derived_key
            #event
        }
        #keyed
    })
}

/// What the attributes of the type say.
struct Options {
    name: LitStr,
    version: LitInt,
    from: Option<Path>,
    unique: bool,
    event: Option<Event>,
}

/// Refuses what journals tell a fact's type from its entry point by.
fn fact_name(name: LitStr) -> Result<LitStr> {
    if name.value().contains('@') {
        let message = "a stable name has no `@`: in journals the entry point stands behind it";
        return Err(Error::new(name.span(), message));
    }
    Ok(name)
}

impl Options {
    fn of(input: &DeriveInput, shape: &Shape<'_>) -> Result<Self> {
        let (mut name, mut found, mut from) = (None, None, None);
        let mut unique: Option<Span> = None;
        let mut event = EventWords::default();
        arguments(&input.attrs, "fact", |meta| {
            if meta.path.is_ident("rename") {
                set_once(&mut name, meta, fact_name(string(meta)?)?)
            } else if meta.path.is_ident("version") {
                set_once(&mut found, meta, version(meta)?)
            } else if meta.path.is_ident("from") {
                set_once(&mut from, meta, meta.value()?.parse::<Path>()?)
            } else if meta.path.is_ident("unique") {
                set_once(&mut unique, meta, meta.path.span())
            } else if event.take(meta)? {
                Ok(())
            } else if meta.path.is_ident("key") || meta.path.is_ident("derived_key") {
                Err(meta.error("this belongs on the fields of the key"))
            } else {
                Err(unknown(
                    meta,
                    "`rename = \"…\"`, `version = …`, `from = OldType`, `unique` or `event`",
                ))
            }
        })?;
        if let (Some(from), None) = (&from, &found) {
            let message = "`from` needs `version = …`, above the version of the old type";
            return Err(Error::new(from.span(), message));
        }
        if let (Some(span), false) = (unique, shape.fields.iter().any(|field| field.key)) {
            let message = "`unique` needs a key: mark its fields with `#[fact(key)]`";
            return Err(Error::new(span, message));
        }
        let name = stable_name(name.as_ref(), input);
        let version = found.unwrap_or_else(first_version);
        let event = event.finish(shape)?;
        Ok(Self { name, version, from, unique: unique.is_some(), event })
    }
}

/// The fields as the engine sees them.
pub(super) struct Shape<'a> {
    pub(super) fields: Vec<Field<'a>>,
    /// An enum is one value, not fields.
    whole: bool,
}

pub(super) struct Field<'a> {
    pub(super) member: Member,
    pub(super) ty: &'a Type,
    key: bool,
    derived_key: bool,
}

impl<'a> Shape<'a> {
    fn of(input: &'a DeriveInput) -> Result<Self> {
        match &input.data {
            Data::Struct(data) => Ok(Self { fields: fields(&data.fields)?, whole: false }),
            Data::Enum(data) => {
                for variant in &data.variants {
                    refuse_arguments(&variant.attrs)?;
                    for field in &variant.fields {
                        refuse_arguments(&field.attrs)?;
                        refuse_unordered(&field.ty, &field.attrs)?;
                    }
                }
                Ok(Self { fields: Vec::new(), whole: true })
            }
            Data::Union(data) => {
                let message = "a fact is a struct or an enum: unions have no value to compare";
                Err(Error::new(data.union_token.span(), message))
            }
        }
    }
}

fn fields(fields: &Fields) -> Result<Vec<Field<'_>>> {
    let each = fields.iter().enumerate().map(|(at, field)| {
        let (mut key, mut derived_key) = (None, None);
        arguments(&field.attrs, "fact", |meta| {
            if meta.path.is_ident("key") {
                set_once(&mut key, meta, ())
            } else if meta.path.is_ident("derived_key") {
                set_once(&mut derived_key, meta, ())
            } else if meta.path.is_ident("unique") {
                Err(meta.error("`unique` belongs on the type; its key's fields have `key`"))
            } else {
                Err(unknown(meta, "`key` or `derived_key` on a field"))
            }
        })?;
        refuse_unordered(&field.ty, &field.attrs)?;
        let member = match &field.ident {
            Some(ident) => Member::Named(ident.clone()),
            None => Member::Unnamed(Index::from(at)),
        };
        let (key, derived_key) = (key.is_some(), derived_key.is_some());
        Ok(Field { member, ty: &field.ty, key, derived_key })
    });
    each.collect()
}

/// Parts of an enum take no arguments: its whole value is one field.
fn refuse_arguments(attributes: &[Attribute]) -> Result<()> {
    let message = "an enum is one field as a whole: `#[fact(…)]` belongs on the type";
    arguments(attributes, "fact", |meta| Err(meta.error(message)))
}

/// Refuses the collections whose order, and so whose bytes, differ between equal values. Fields
/// with a serde attribute may have an order of their own and pass.
fn refuse_unordered(ty: &Type, attributes: &[Attribute]) -> Result<()> {
    let Type::Path(path) = ty else { return Ok(()) };
    let Some(last) = path.path.segments.last() else {
        return Ok(());
    };
    let ordered = match last.ident.to_string().as_str() {
        "HashMap" => "BTreeMap",
        "HashSet" => "BTreeSet",
        _ => return Ok(()),
    };
    if attributes.iter().any(|attribute| attribute.path().is_ident("serde")) {
        return Ok(());
    }
    let message =
        format!("a `{}` is stored in no stable order: use a `{ordered}` in facts", last.ident);
    Err(Error::new(last.ident.span(), message))
}

fn consts(options: &Options, shape: &Shape<'_>) -> TokenStream {
    let Options { name, version, unique, .. } = options;
    let keyed = shape.fields.iter().any(|field| field.key);
    let fields = shape.fields.iter().map(|field| match &field.member {
        Member::Named(ident) => LitStr::new(&ident.unraw().to_string(), ident.span()),
        Member::Unnamed(index) => LitStr::new(&index.index.to_string(), index.span()),
    });
    let whole = shape.whole.then_some("value");
    quote! {
        const NAME: &'static str = #name;
        const VERSION: u32 = #version;
        const FIELDS: &'static [&'static str] = &[#(#fields,)* #whole];
        const KEYED: bool = #keyed;
        const UNIQUE: bool = #unique;
    }
}

fn diff(shape: &Shape<'_>) -> TokenStream {
    let mask = quote!(::steadfast::__macro::FieldMask);
    let ne = quote!(::core::cmp::PartialEq::ne);
    let changed = shape.fields.iter().enumerate().map(|(at, Field { member, ty, .. })| {
        // The type's span: that is what lacks `PartialEq`, if anything does.
        quote_spanned! {ty.span()=>
            if #ne(&self.#member, &other.#member) {
                mask = mask.union(#mask::field(#at));
            }
        }
    });
    let whole = shape.whole.then(|| {
        quote! {
            if #ne(self, other) {
                mask = mask.union(#mask::field(0));
            }
        }
    });
    quote! {
        #[allow(unused_mut, unused_variables)]
        fn diff(&self, other: &Self) -> #mask {
            let mut mask = #mask::NONE;
            #(#changed)*
            #whole
            mask
        }
    }
}

fn read(options: &Options) -> TokenStream {
    let upcast = options.from.as_ref().map(|from| {
        quote_spanned! {from.span()=>
            if version <= <#from as ::steadfast::__macro::Fact>::VERSION {
                let old = <#from as ::steadfast::__macro::Fact>::read(version, bytes)?;
                return ::core::result::Result::Ok(
                    <Self as ::core::convert::From<#from>>::from(old)
                );
            }
        }
    });
    quote! {
        fn read(
            version: u32,
            bytes: &[u8],
        ) -> ::core::result::Result<Self, ::steadfast::__macro::ReadError> {
            #upcast
            ::steadfast::__macro::read_current(Self::NAME, Self::VERSION, version, bytes)
        }
    }
}

fn derived_key(shape: &Shape<'_>) -> Option<TokenStream> {
    let parts: Vec<&Member> =
        shape.fields.iter().filter(|field| field.derived_key).map(|field| &field.member).collect();
    (!parts.is_empty()).then(|| {
        quote! {
            const HAS_DERIVED_KEY: bool = true;

            fn derived_key(&self, key: &mut ::steadfast::__macro::DerivedKey<'_>) {
                #(key.part(&self.#parts);)*
            }
        }
    })
}

/// How many fields of a key make a tuple that has a hash.
const KEY_MAX: usize = 12;

fn key_fields<'a>(shape: &'a Shape<'_>) -> Vec<&'a Field<'a>> {
    shape.fields.iter().filter(|field| field.key).collect()
}

fn key(shape: &Shape<'_>) -> Option<TokenStream> {
    let keys = key_fields(shape);
    if keys.is_empty() {
        return None;
    }
    let same = keys.iter().map(|Field { member, ty, .. }| {
        quote_spanned! {ty.span()=>
            ::core::cmp::PartialEq::eq(&self.#member, &other.#member)
        }
    });
    let parts =
        keys.iter().map(|Field { member, ty, .. }| quote_spanned!(ty.span()=> &self.#member));
    let code = if keys.len() <= KEY_MAX {
        // The hash of a tuple is that of a tuple of what its references refer to.
        quote!(::steadfast::__macro::code_of(&(#(#parts),*)))
    } else {
        quote!(::steadfast::__macro::code_of(&[#(::steadfast::__macro::code_of(#parts)),*]))
    };
    Some(quote! {
        fn key_code(&self) -> ::core::option::Option<u64> {
            ::core::option::Option::Some(#code)
        }

        fn same_key(&self, other: &Self) -> bool {
            #(#same)&&*
        }
    })
}

/// What lets facts be found by their key.
fn keyed(ident: &Ident, shape: &Shape<'_>) -> Option<TokenStream> {
    let keys = key_fields(shape);
    if keys.is_empty() || keys.len() > KEY_MAX {
        return None;
    }
    let types = keys.iter().map(|field| field.ty);
    let members = keys.iter().map(|field| &field.member);
    let (ty, own) = if let [_] = keys.as_slice() {
        (quote!(#(#types)*), quote!(&self.#(#members)*))
    } else {
        let clones = members.map(|member| quote!(::core::clone::Clone::clone(&self.#member)));
        (quote!((#(#types),*)), quote!(&(#(#clones),*)))
    };
    Some(quote! {
        #[automatically_derived]
        impl ::steadfast::__macro::Keyed for #ident {
            type Key = #ty;

            fn has_key<Q: ::core::cmp::Eq + ?::core::marker::Sized>(&self, key: &Q) -> bool
            where
                Self::Key: ::core::borrow::Borrow<Q>,
            {
                let own: &Self::Key = #own;
                <Self::Key as ::core::borrow::Borrow<Q>>::borrow(own) == key
            }
        }
    })
}
