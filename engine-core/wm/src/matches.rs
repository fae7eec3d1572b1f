//! The identity of a match: what refraction, supports and the pending set are keyed by.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{FactHandle, RuleTag};

/// One member of a match.
///
/// The order is that of the agenda: handles by number, synthetic members by their bytes. Within one
/// branch of a rule a place always holds the same kind of member.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Member {
    /// A positive pattern contributes its fact.
    Fact(FactHandle),
    /// A group contributes the canonical bytes of its key, never its accumulated value.
    Key(Box<[u8]>),
}

impl fmt::Debug for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fact(handle) => write!(f, "{handle}"),
            Self::Key(bytes) => {
                f.write_str("k#")?;
                bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }
    }
}

/// Identity of a match: `(rule, branch, members)`.
///
/// `not`, `exists` and ungrouped accumulates contribute no member, so that a change of their inner
/// facts never makes a new match of it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct MatchId {
    /// The rule, by its number in the rule dictionary.
    pub rule: RuleTag,
    /// The branch of an `or`; 0 for rules without one.
    pub branch: u16,
    /// The members, in the order of the patterns.
    pub members: Vec<Member>,
}

impl fmt::Debug for MatchId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.rule)?;
        if self.branch > 0 {
            write!(f, ".{}", self.branch)?;
        }
        f.debug_list().entries(&self.members).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matches_print_compactly() {
        let id = MatchId {
            rule: RuleTag::new(2),
            branch: 0,
            members: vec![Member::Fact(FactHandle::new(4)), Member::Key([0x0a, 0xff].into())],
        };
        assert_eq!(format!("{id:?}"), "r#2[f#4, k#0aff]");
    }
}
