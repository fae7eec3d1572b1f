//! Consequences that do nothing but derive one fact, which is new: what most rules of truth maintenance do.

use steadfast_wm::FactHandle;

use super::Engine;
use super::apply::Firing;
use crate::chains::NONE;
use crate::stage::Draft;
use crate::store::Place;

/// A fact that a consequence derives.
#[derive(Clone, Copy)]
struct Derived {
    kind: u32,
    handle: FactHandle,
    /// Where its value is in the arena of its kind.
    at: u32,
    /// The code of its derived key.
    code: u64,
}

impl Engine {
    /// Applies what a consequence wants if that is to derive one fact which is new, its match supports nothing yet,
    /// and nobody listens or wants records; says whether it is. As [`apply`](Self::apply) otherwise does.
    #[inline]
    pub(super) fn derive_alone(&mut self, firing: &Firing) -> bool {
        let derived = self.only_derived(firing);
        if let Some(derived) = derived {
            self.derive(firing, derived);
        }
        derived.is_some()
    }

    #[inline]
    fn only_derived(&self, firing: &Firing) -> Option<Derived> {
        let drafts = self.drafts.as_ref()?;
        let [
            Draft::Insert { kind, handle, at, count: 1, stated: false, derived: code },
            Draft::Support { handle: supported },
        ] = *drafts.list
        else {
            return None;
        };
        let is_watched = self.is_recorded() || self.is_heard();
        let is_only = handle == supported
            && !is_watched
            && *self.store.kind(kind).believed.get()
            && self.rules[firing.rule].terminal.state(firing.token).first_support == NONE;
        is_only.then_some(Derived { kind, handle, at, code })
    }

    fn derive(&mut self, firing: &Firing, Derived { kind, handle, at, code }: Derived) {
        let scope = self.scope;
        let drafts = self.drafts.as_mut().expect("the consequence had them");
        let arena = drafts.arenas[kind as usize].as_mut().expect("drafts have arenas");
        let columns = self.store.kind_mut(kind);
        let slot = columns.next_slot(scope);
        columns.table.put_from(scope, slot, arena.as_mut(), at);
        let (next_handle, random) = (drafts.next_handle, drafts.random);
        self.counters.change(scope, |counters| {
            (counters.next_handle, counters.random) = (next_handle, random);
        });
        let (place, issuer) = (Place { kind, slot }, Some(self.infos[firing.rule].tag));
        self.insert_placed(place, handle, issuer, false, Some(code));
        let rule = u32::try_from(firing.rule).expect("fewer than 2³² rules");
        let by = (rule, firing.token);
        let terminal = &mut self.rules[firing.rule].terminal;
        self.supports.add_first(scope, &mut self.store, terminal, by, place);
        self.lineage.note(firing.rule, kind);
    }
}
