//! Parameter types of rules that bind no fact.

use std::fmt;
use std::marker::PhantomData;

macro_rules! markers {
    ($($(#[$doc:meta])* $name:ident;)*) => {
        $(
            $(#[$doc])*
            pub struct $name<T>(PhantomData<fn() -> T>);

            impl<T> Default for $name<T> {
                fn default() -> Self {
                    Self(PhantomData)
                }
            }
            impl<T> Clone for $name<T> {
                fn clone(&self) -> Self {
                    *self
                }
            }
            impl<T> Copy for $name<T> {}
            impl<T> fmt::Debug for $name<T> {
                fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    f.write_str(stringify!($name))
                }
            }
        )*
    };
}
markers! {
    /// Parameter of a `#[not(…)]`: no such fact exists.
    Absent;
    /// Parameter of an `#[exists(…)]`: at least one such fact exists; which one is not told.
    Exists;
}

/// Parameter of a `#[having(…)]`: a condition on the group before it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Having;
