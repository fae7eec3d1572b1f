//! Looking facts up by their keys: what `find` takes.

use std::borrow::Borrow;
use std::hash::Hash;

use crate::fact::Fact;
use crate::key::code_of;

/// A type of which facts can be looked up by their key. Implemented by `#[derive(Fact)]` for types with
/// fields that are marked `#[fact(key)]`, up to twelve of them.
///
/// Keys need not be unique for that: of several facts with one key `find` gives the oldest.
#[diagnostic::on_unimplemented(
    message = "facts of `{Self}` have no key to be found by",
    note = "mark the fields of its key with `#[fact(key)]`"
)]
pub trait Keyed: Fact {
    /// The type of the key's field; of several fields the tuple of their types, in the order of the fields.
    type Key;

    /// Whether the fact has this key.
    fn has_key<Q: Eq + ?Sized>(&self, key: &Q) -> bool
    where
        Self::Key: Borrow<Q>;
}

/// What facts of a type are looked up by: their key, or what it can be borrowed as, as for a map of the
/// standard library. A key that is a `String` is found by a `&str`.
pub trait KeyOf<T> {
    /// The key's hash code.
    #[doc(hidden)]
    fn code(&self) -> u64;

    /// Whether the fact has this key.
    #[doc(hidden)]
    fn is_of(&self, fact: &T) -> bool;
}

impl<T: Keyed, Q: Hash + Eq + ?Sized> KeyOf<T> for Q
where
    T::Key: Borrow<Q>,
{
    fn code(&self) -> u64 {
        // Equal to `Fact::key_code`, as what is borrowed has the hash of what it is borrowed from.
        code_of(self)
    }

    fn is_of(&self, fact: &T) -> bool {
        fact.has_key(self)
    }
}
