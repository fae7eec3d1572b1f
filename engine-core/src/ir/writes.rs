//! What consequences write, as far as definitions say.

use crate::store::FactType;

/// What a consequence writes, as far as known. Nothing depends on it but what is told of the ruleset:
/// [`Ruleset::impact`](crate::ir::Ruleset::impact), its warnings, and which types it knows.
#[derive(Clone, Debug, Default)]
pub struct Writes {
    /// Types of facts that it inserts.
    pub makes: Vec<FactType>,
    /// Types of facts that it derives: they stand on its matches.
    pub derives: Vec<FactType>,
    /// Types of facts that it updates.
    pub updates: Vec<FactType>,
    /// Types of facts that it deletes.
    pub deletes: Vec<FactType>,
    /// Types of facts that it inserts, updates, touches or deletes, whichever of it.
    pub changes: Vec<FactType>,
    /// Topics of effects that it emits.
    pub emits: Vec<&'static str>,
    /// Names of globals that it sets.
    pub globals: Vec<&'static str>,
    /// Whether it may write something else: of its body not everything could be told.
    pub unseen: bool,
}

impl Writes {
    /// All types of facts in it.
    pub fn fact_types(&self) -> impl Iterator<Item = FactType> + '_ {
        let all = [&self.makes, &self.derives, &self.updates, &self.deletes, &self.changes];
        all.into_iter().flatten().copied()
    }

    pub(crate) fn append(&mut self, other: Self) {
        let Self { makes, derives, updates, deletes, changes, emits, globals, unseen } = other;
        self.makes.extend(makes);
        self.derives.extend(derives);
        self.updates.extend(updates);
        self.deletes.extend(deletes);
        self.changes.extend(changes);
        self.emits.extend(emits);
        self.globals.extend(globals);
        self.unseen |= unseen;
    }
}
