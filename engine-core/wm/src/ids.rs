//! Identities: newtypes, so that a handle is never taken for a sequence number.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! number {
    ($(#[$doc:meta])* $name:ident($inner:ty), $short:literal) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
        )]
        #[serde(transparent)]
        pub struct $name($inner);

        impl $name {
            /// Wraps the number.
            pub const fn new(number: $inner) -> Self {
                Self(number)
            }

            /// The number itself.
            pub const fn get(self) -> $inner {
                self.0
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($short, "#{}"), self.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(self, f)
            }
        }
    };
}

number! {
    /// Identity of a fact: from 1, strictly increasing, never reused in the life of a session.
    ///
    /// A handle stays valid over restarts, normalization and fail-over. Only the numbers of
    /// operations that were rolled back are issued again.
    FactHandle(u64), "f"
}

number! {
    /// Sequence number of one operation on the working memory: from 1, increased by one per operation.
    ///
    /// It is the engine's notion of time: recency, trigger order and "since the last flush" are
    /// comparisons of these numbers, never of clocks.
    Seq(u64), "op"
}

number! {
    /// Sequence number of a commit: from 1, dense; the serial order of the session.
    CommitSeq(u64), "c"
}

number! {
    /// Small number of a fact type in a journal's type dictionary, from 0, never reassigned.
    TypeTag(u32), "t"
}

number! {
    /// Small number of a rule in a journal's rule dictionary, from 0, never reassigned.
    ///
    /// The dictionary maps it to the rule's path; a rule that leaves the ruleset keeps its number.
    RuleTag(u32), "r"
}

/// Identity of a session, shared by its journal, snapshots and followers: 128 random bits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct SessionId([u8; 16]);

impl SessionId {
    /// Wraps 16 bytes, usually random ones.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The bytes themselves.
    pub const fn to_bytes(self) -> [u8; 16] {
        self.0
    }

    /// A 32-bit fingerprint that handles carry, so that a handle of another session is refused.
    ///
    /// Two sessions share it with a chance of 2⁻³².
    pub fn fingerprint(self) -> u32 {
        let mut digester = Digester::new();
        digester.bytes(&self.0);
        let bytes = digester.finish().to_bytes();
        u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
    }
}

use crate::Digester;

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, byte) in self.0.iter().enumerate() {
            if matches!(at, 4 | 6 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Stable key of an effect: the same on every delivery, over restarts and fail-over.
///
/// Consumers deduplicate by it: an effect is delivered at least once, and a repeated key always
/// carries the same payload.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct EffectKey {
    /// The session that emitted it.
    pub session: SessionId,
    /// The commit that it belongs to.
    pub commit: CommitSeq,
    /// Its place among the effects of that commit, from 0.
    pub ordinal: u32,
}

impl fmt::Display for EffectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.session, self.commit.get(), self.ordinal)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_print_compactly() {
        assert_eq!(format!("{:?} {}", FactHandle::new(17), Seq::new(3)), "f#17 op#3");
    }

    #[test]
    fn session_id_prints_as_a_uuid() {
        let id = SessionId::from_bytes([0xab; 16]);
        assert_eq!(id.to_string(), "abababab-abab-abab-abab-abababababab");
    }

    #[test]
    fn fingerprints_of_different_sessions_differ() {
        let one = SessionId::from_bytes([1; 16]);
        let two = SessionId::from_bytes([2; 16]);
        assert_ne!(one.fingerprint(), two.fingerprint());
    }
}
