//! The digest of an engine: equal for equal states, whatever way led there.

use steadfast_wm::{Digest, Digester, FactHandle, MatchId, Member};

use super::{Engine, Waiting};
use crate::agenda::Pending;
use crate::network::Node;
use crate::store::{Change, Place};

impl Engine {
    /// Digest of everything that the future depends on: facts with handles, recency, origin and
    /// statedness; staged operations; the pending set with its keys; matches that wait and their times; the focus; justifications; values of
    /// groups; globals; clock; counters.
    ///
    /// It never flushes (INV-44). Slots, capacities, dormant matches' history and commit numbers are not in it,
    /// so that an engine that was restored, forked or rolled back has the digest of one that was not.
    pub fn digest(&self) -> Digest {
        let mut digester = Digester::new();
        self.digest_facts(&mut digester);
        self.digest_staged(&mut digester);
        self.digest_pending(&mut digester);
        self.digest_waiting(&mut digester);
        self.focus.digest(&mut digester);
        self.digest_supports(&mut digester);
        self.digest_groups(&mut digester);
        digester.section("globals");
        for (name, (version, bytes)) in self.globals.values.iter() {
            digester.bytes(name.as_bytes());
            digester.number(u64::from(*version));
            digester.bytes(bytes);
        }
        digester.section("clock");
        digester.bytes(&self.clock.get().to_le_bytes());
        digester.section("counters");
        let counters = self.counters();
        for counter in [counters.next_handle, counters.next_seq, counters.firings, counters.random]
        {
            digester.number(counter);
        }
        digester.number(u64::from(*self.evaluated.get()));
        digester.finish()
    }

    /// All live facts in the order of their handles.
    pub(crate) fn all_facts(&self) -> Vec<(FactHandle, Place)> {
        let mut facts = Vec::new();
        for kind in 0..u32::try_from(self.store.kinds.len()).expect("few types") {
            let of_kind = self.store.in_order(kind).into_iter();
            facts.extend(of_kind.map(|(handle, slot)| (handle, Place { kind, slot })));
        }
        facts.sort_unstable_by_key(|(handle, _)| *handle);
        facts
    }

    fn digest_facts(&self, digester: &mut Digester) {
        digester.section("facts");
        let mut bytes = Vec::new();
        for (handle, place) in self.all_facts() {
            let kind = self.store.kind(place.kind);
            bytes.clear();
            kind.table.encode(place.slot, &mut bytes).expect("live facts serialize");
            digester.number(handle.get());
            digester.bytes(kind.fact.stored_name().as_bytes());
            digester.bytes(&bytes);
            digester.number(kind.recency(place.slot).get());
            digester.number(kind.issuer(place.slot).map_or(0, |tag| u64::from(tag.get()) + 1));
            digester.number(u64::from(kind.is_stated(place.slot)));
            digester.bytes(&kind.clock(place.slot).to_le_bytes());
        }
    }

    fn digest_staged(&self, digester: &mut Digester) {
        digester.section("staged");
        let ops = self.ops.as_slice().iter();
        for (op, slot) in ops.flat_map(|op| op.slots().map(move |slot| (op, slot))) {
            digester.number(op.seq_of(slot).get());
            digester.number(match op.what {
                Change::Insert => 0,
                Change::Update => 1,
                Change::Delete => 2,
            });
            digester.number(self.store.kind(op.kind).handle(slot).get());
            digester.number(op.mask.bits());
            digester.number(u64::from(op.issuer));
        }
        self.suspects.as_slice().iter().for_each(|fact| digester.number(fact.get()));
    }

    fn digest_pending(&self, digester: &mut Digester) {
        digester.section("pending");
        for Pending { id, salience, trigger } in self.pending() {
            digest_match(digester, &id);
            digester.bytes(&salience.to_le_bytes());
            digester.number(trigger.get());
        }
    }

    fn digest_waiting(&self, digester: &mut Digester) {
        digester.section("waiting");
        for Waiting { id, due } in self.waiting() {
            digest_match(digester, &id);
            digester.bytes(&due.to_le_bytes());
        }
    }

    /// All justifications in the order of facts, then of matches.
    pub(crate) fn justifications(&self) -> Vec<(FactHandle, MatchId)> {
        let mut all = Vec::new();
        for (at, rule) in self.rules.iter().enumerate() {
            for token in rule.net.terminal().live() {
                let head = rule.terminal.state(token).first_support;
                for support in self.supports.of_match(head) {
                    let handle = self.handle_at(self.supports.get(support).place);
                    all.push((handle, self.match_id(at, token)));
                }
            }
        }
        all.sort_unstable();
        all
    }

    fn digest_supports(&self, digester: &mut Digester) {
        digester.section("justifications");
        for (handle, id) in self.justifications() {
            digester.number(handle.get());
            digest_match(digester, &id);
        }
    }

    fn digest_groups(&self, digester: &mut Digester) {
        digester.section("groups");
        for (at, rule) in self.rules.iter().enumerate().filter(|(at, _)| !self.infos[*at].is_query)
        {
            digester.number(u64::from(self.infos[at].tag.get()));
            for level in &rule.net.levels {
                let Node::Group(group) = &level.node else { continue };
                let contexts = group.grouping.contexts().into_iter();
                let mut values: Vec<Vec<u8>> = contexts
                    .filter(|&context| group.grouping.is_shown(context))
                    .map(|context| {
                        let mut bytes = Vec::new();
                        group.grouping.key_bytes(context, &mut bytes);
                        group.grouping.result_bytes(context, &mut bytes);
                        bytes
                    })
                    .collect();
                values.sort_unstable();
                values.iter().for_each(|value| digester.bytes(value));
            }
        }
    }
}

fn digest_match(digester: &mut Digester, id: &MatchId) {
    digester.number(u64::from(id.rule.get()));
    digester.number(u64::from(id.branch));
    digester.number(id.members.len() as u64);
    for member in &id.members {
        match member {
            Member::Fact(handle) => digester.number(handle.get()),
            Member::Key(bytes) => digester.bytes(bytes),
        }
    }
}
