//! What a complete match stands on: the facts without which it would not be.

use std::collections::BTreeMap;

use crate::network::alpha::Alpha;
use crate::network::context::{Buffers, Context};
use crate::network::net::{Flush, Net, Node, ascend, resolve, tokens_of};
use crate::network::plan::{Source, Sources};
use crate::store::Place;

/// What a tuple stands on: all of these facts, and each of these choices.
pub(crate) struct Grounds {
    pub(crate) facts: Vec<Place>,
    /// Of each choice, at least one.
    pub(crate) choices: Vec<Vec<Grounds>>,
}

/// Member tuples by level and by what they belong to, gathered once for all matches of a rule.
#[derive(Default)]
pub(crate) struct Gathered(BTreeMap<usize, BTreeMap<u32, Vec<u32>>>);

/// What the walk through one rule's levels needs.
pub(crate) struct Survey<'a> {
    pub(crate) flush: Flush<'a>,
    pub(crate) alphas: &'a [Alpha],
    pub(crate) buffers: &'a mut Buffers,
    pub(crate) gathered: &'a mut Gathered,
}

impl Net {
    /// Everything that a complete match stands on.
    ///
    /// Absences and accumulates without a key are no grounds: they are taken as they are. A group is
    /// there as long as it has a member.
    pub(crate) fn grounds(&self, survey: &mut Survey<'_>, token: u32) -> Grounds {
        self.grounds_of(survey, self.levels.len() - 1, (None, 0), token)
    }

    /// What a token of level `end` stands on, beyond its tuple of level `until` with that many positions.
    fn grounds_of(
        &self,
        survey: &mut Survey<'_>,
        end: usize,
        (until, outer_width): (Option<usize>, usize),
        token: u32,
    ) -> Grounds {
        let positions = self.levels[end].tokens.row(token).iter().zip(&self.levels[end].own);
        let facts = positions.skip(outer_width).filter_map(|(&slot, source)| match source {
            Source::Facts(kind) => Some(Place { kind: *kind, slot }),
            Source::Groups(_) => None,
        });
        let mut grounds = Grounds { facts: facts.collect(), choices: Vec::new() };
        let mut at = Some(end);
        let mut token = token;
        while at != until
            && let Some(level_at) = at
        {
            let level = &self.levels[level_at];
            let parent = level.tokens.parent(token);
            match &level.node {
                Node::Block(block) if block.is_exists() => {
                    let slots = self.supporters(survey, level_at, parent).into_iter();
                    let places = slots.map(|slot| Place { kind: block.plan.kind, slot });
                    let alone = |place| Grounds { facts: vec![place], choices: Vec::new() };
                    grounds.choices.push(places.map(alone).collect());
                }
                Node::Group(group) if group.grouping.keyed() => {
                    let context = level.tokens.entry(token);
                    let of = |member| group.grouping.context_of(member);
                    let inner = (group.plan.outer_level, group.plan.outer_width);
                    grounds.choices.push(self.alternatives(
                        survey,
                        level_at,
                        inner,
                        (context, &of),
                    ));
                }
                Node::Subnet(subnet) if subnet.plan.exists => {
                    let inner = (subnet.plan.outer_level, subnet.plan.outer_width);
                    let of = |member| ascend(&self.levels[..level_at], inner.0, member);
                    grounds.choices.push(self.alternatives(survey, level_at, inner, (parent, &of)));
                }
                Node::Join(_)
                | Node::Block(_)
                | Node::Group(_)
                | Node::Subnet(_)
                | Node::Gate(_) => {}
            }
            at = level.node.left_level(level_at);
            token = parent;
        }
        grounds
    }

    /// The slots of all facts that go with a left token of an `exists`.
    fn supporters(&self, survey: &mut Survey<'_>, level: usize, token: u32) -> Vec<u32> {
        let Node::Block(block) = &self.levels[level].node else {
            unreachable!("the caller found a block there")
        };
        let left = tokens_of(&self.root, &self.levels, level.checked_sub(1));
        let flush = survey.flush;
        let mut sources = Sources::new();
        for source in &self.levels[level].left {
            sources.push(resolve(flush.store, &self.levels, *source));
        }
        let mut cx = Context {
            scope: flush.scope,
            moment: flush.moment,
            store: flush.store,
            ops: &flush.ops,
            left_sources: sources.as_slice(),
            buffers: survey.buffers,
        };
        block.supporters(&mut cx, (left, block.right(survey.alphas)), token)
    }

    /// What each of the member tuples that end before a level and belong to `whose` stands on.
    fn alternatives(
        &self,
        survey: &mut Survey<'_>,
        level: usize,
        inner: (Option<usize>, usize),
        (whose, of): (u32, &dyn Fn(u32) -> u32),
    ) -> Vec<Grounds> {
        let by_owner = survey.gathered.0.entry(level).or_insert_with(|| {
            let mut by_owner: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
            for member in self.levels[level - 1].tokens.live() {
                by_owner.entry(of(member)).or_default().push(member);
            }
            by_owner
        });
        let members = by_owner.get(&whose).cloned().unwrap_or_default();
        let grounds = members.into_iter();
        grounds.map(|member| self.grounds_of(survey, level - 1, inner, member)).collect()
    }
}
