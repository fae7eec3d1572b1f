//! Tokens as text and as digests, independent of spans, whitespace, comments and compiler version.

mod atoms;
mod digest;
mod text;

pub(crate) use digest::Digester;
pub(crate) use text::text_of;
