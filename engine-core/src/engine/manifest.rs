//! The ruleset as the journal knows it, and what makes another one of it.

use steadfast_wm::{RuleManifest, RuleTag, RulesetManifest};

use super::Engine;
use crate::ir::Ruleset;

impl Engine {
    /// The rules at work, as the journal knows them.
    pub(crate) fn manifest(&self) -> RulesetManifest {
        let firsts = self.infos.iter().filter(|info| info.branch == 0 && !info.is_query);
        let rules = firsts.map(|info| RuleManifest {
            tag: info.tag,
            path: info.path.clone(),
            conditions: info.def.conditions_digest,
            consequence: info.def.consequence_digest,
        });
        let (name, version) = self.ruleset.clone();
        RulesetManifest { name, version, rules: rules.collect() }
    }
}

/// Tags by path: those of the journal, and new ones behind them.
pub(super) fn tags_for(ruleset: &Ruleset, manifest: &RulesetManifest) -> Vec<RuleTag> {
    let mut next = manifest.rules.iter().map(|rule| rule.tag.get() + 1).max().unwrap_or(0);
    let tag_of = |path: &str| manifest.rules.iter().find(|old| old.path == path);
    let tags = ruleset.rules().iter().map(|rule| {
        if let Some(old) = tag_of(&rule.path) {
            old.tag
        } else {
            next += 1;
            RuleTag::new(next - 1)
        }
    });
    tags.collect()
}

/// The first difference between a ruleset and the one in the journal, in words.
pub(super) fn first_change(ruleset: &Ruleset, manifest: &RulesetManifest) -> Option<String> {
    let (name, version) = (ruleset.name(), ruleset.version());
    if (name, version) != (&manifest.name, manifest.version) {
        let (old_name, old) = (&manifest.name, manifest.version);
        return Some(format!("the ruleset is `{name}` {version}, was `{old_name}` {old}"));
    }
    for rule in ruleset.rules() {
        let path = &rule.path;
        let Some(old) = manifest.rules.iter().find(|old| old.path == *path) else {
            return Some(format!("rule `{path}` is new"));
        };
        if old.conditions != rule.conditions_digest {
            return Some(format!("the conditions of rule `{path}` changed"));
        }
        if old.consequence != rule.consequence_digest {
            return Some(format!("the consequence of rule `{path}` changed"));
        }
    }
    let removed =
        manifest.rules.iter().find(|old| !ruleset.rules().iter().any(|rule| rule.path == old.path));
    if let Some(old) = removed {
        return Some(format!("rule `{}` was removed", old.path));
    }
    let moved = ruleset.rules().iter().zip(&manifest.rules).find(|(new, old)| new.path != old.path);
    moved.map(|(new, _)| format!("the order of the rules changed at `{}`", new.path))
}
