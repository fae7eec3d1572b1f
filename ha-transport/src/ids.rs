//! The numbers that replication goes by.

use std::fmt;

macro_rules! number {
    ($(#[$doc:meta])* $name:ident($inner:ty), $letter:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name(pub $inner);

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($letter, "{}"), self.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number! {
    /// A node of a group. It keeps its number for as long as it keeps its journal.
    NodeId(u32), "n"
}
number! {
    /// The number of a leader's reign, from 1; 0 is before the first one. What carries a lower one is refused.
    Epoch(u64), "e"
}
number! {
    /// The number of a batch, from 1, one more for each; 0 is before the first one. It may be used again only in a
    /// higher epoch, by a leader that has not adopted the batch that had it.
    Seq(u64), "s"
}
number! {
    /// The version of a group's record at the coordinator; 0 is that of a record that does not exist.
    Version(u64), "v"
}

/// 64 bits over a batch and all that came before it. Two logs with the same chain at a place are the same up to
/// there.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Chain(pub u64);

impl fmt::Debug for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "c{:016x}", self.0)
    }
}

impl Seq {
    /// The next number.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }

    /// The number before; 0 stays.
    #[must_use]
    pub const fn before(self) -> Self {
        Self(self.0.saturating_sub(1))
    }
}

impl Epoch {
    /// The epoch of the next leader.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}
