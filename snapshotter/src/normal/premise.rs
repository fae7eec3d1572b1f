//! What a range presupposes: the smallest image that it can be folded onto.

use std::collections::BTreeMap;

use steadfast_wm::codec::v1;
use steadfast_wm::{FactHandle, MatchId, Record, Seq, TypeTag};

use super::facts::Change;
use super::{Latest, NormalForm, Pending};
use crate::image::{Effect, Fact, Image};

impl NormalForm {
    /// An image that holds what the range refers to and does not bring along, with values that no
    /// session has. Folding touches nothing else, so that two ranges that give the same image on it
    /// give the same image on every one.
    pub(crate) fn premise(&self) -> Image {
        let mut image = Image::default();
        if self.whole {
            return image;
        }
        image.presume_types(self.types_before());
        for handle in self.facts_before() {
            image.presume_fact(handle, placeholder());
        }
        // What they become they are not yet, or nobody would miss the statement.
        for (handle, stated) in self.facts.statements() {
            image.presume_fact(handle, Fact { stated: !stated, ..placeholder() });
        }
        for (handle, by) in &self.supports.old {
            image.presume_justification(*handle, by.clone());
        }
        for (commit, ordinal) in self.commits.acknowledged.keys() {
            let effect = Effect { topic: String::new(), version: 0, bytes: Box::default() };
            image.presume_effect(*commit, *ordinal, effect);
        }
        self.presume_agenda(&mut image);
        image.presume_commit(self.commits.before());
        image
    }

    /// What the range takes away or sets to its default, which without it would be there.
    fn presume_agenda(&self, image: &mut Image) {
        let withdrawn = |matches: &BTreeMap<MatchId, Pending>| -> Vec<MatchId> {
            let withdrawn = matches.iter().filter(|(_, it)| it.withdrawn);
            withdrawn.map(|(by, _)| by.clone()).collect()
        };
        withdrawn(&self.pending).into_iter().for_each(|by| image.presume_pending(by));
        withdrawn(&self.waiting).into_iter().for_each(|by| image.presume_waiting(by));
        for latest in self.latest.keys() {
            match latest {
                Latest::Focus => image.presume_focus(),
                Latest::Group(group) => image.presume_group_marks(group.clone()),
                // Nothing takes them away, and there is no default.
                Latest::Ruleset | Latest::Clock | Latest::Global(_) => {}
            }
        }
    }

    /// How many types were named before the range, as far as it shows.
    fn types_before(&self) -> u32 {
        let named = self.types.first().and_then(|first| v1::decode(&first.bytes).ok());
        match named {
            Some((Record::Type { tag, .. }, _)) => tag.get(),
            _ => self.kinds,
        }
    }

    /// Facts that are older than the range and that it refers to.
    fn facts_before(&self) -> Vec<FactHandle> {
        let changed =
            self.facts.changes.unordered().filter(|(_, change)| !matches!(change, Change::Born(_)));
        let staged = self.facts.staged_changes();
        let mut handles: Vec<FactHandle> =
            changed.map(|(handle, _)| handle).chain(staged).chain(self.supports.facts()).collect();
        handles.retain(|handle| !self.is_born(*handle));
        handles.sort_unstable();
        handles.dedup();
        handles
    }
}

fn placeholder() -> Fact {
    Fact {
        kind: TypeTag::new(u32::MAX),
        version: u32::MAX,
        bytes: Box::default(),
        seq: Seq::new(u64::MAX),
        origin: None,
        stated: false,
        clock: i64::MIN,
    }
}
