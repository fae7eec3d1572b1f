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
    /// Parameter of a `#[not(…)]`: no such fact exists, or no such facts together.
    Absent;
    /// Parameter of an `#[exists(…)]`: at least one such fact exists; which one is not told.
    Exists;
    /// Parameter of a `#[forall(…)]`: something holds for every such fact, also if there is none.
    Forall;
}

/// Parameter of several `#[or(…)]`: one of the branches matched.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Either(u16);

impl Either {
    /// The branch of this number, from 0 in the order in which they are written.
    pub const fn of(branch: u16) -> Self {
        Self(branch)
    }

    /// Which of the parameter's branches matched, from 0 in the order in which they are written.
    pub const fn branch(self) -> u16 {
        self.0
    }
}

/// Parameter of a `#[having(…)]`: a condition on the group before it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Having;
