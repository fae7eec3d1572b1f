//! How a match was touched in a flush: a walk from its token up to the root.

use smallvec::SmallVec;
use steadfast_wm::Seq;

use crate::fact::FieldMask;
use crate::network::alpha::Alpha;
use crate::network::block::Block;
use crate::network::context::{Buffers, Context};
use crate::network::gate::Gate;
use crate::network::group::TriggerContext;
use crate::network::join::Join;
use crate::network::members::members;
use crate::network::net::{Flush, Level, Net, Node, Touch, resolve, tokens_of};
use crate::network::plan::{Plan, Source, Sources};
use crate::network::subnet::Move;
use crate::network::tokens::Tokens;
use crate::store::{Op, Place, Store};

impl Net {
    /// How a live match was touched in this flush.
    pub(crate) fn touch(
        &mut self,
        flush: &Flush<'_>,
        alphas: &[Alpha],
        buffers: &mut Buffers,
        token: u32,
    ) -> Touch {
        let touching = self.touching(flush, alphas);
        self.touch_by(flush, touching.as_ref(), alphas, buffers, token)
    }

    /// The triggers of new matches, which are put to their tokens: of those that nothing touched, `otherwise`.
    pub(crate) fn triggers(
        &mut self,
        flush: &Flush<'_>,
        touching: Option<&Touching>,
        (alphas, buffers): (&[Alpha], &mut Buffers),
        matches: &mut [(u64, u32)],
        otherwise: u64,
    ) {
        let Some(touching) = touching else {
            for (trigger, token) in matches {
                let touch = self.touch_of_parts(flush, alphas, buffers, *token);
                *trigger = touch.any.map_or(otherwise, Seq::get);
            }
            return;
        };
        for (trigger, token) in matches.iter_mut() {
            let touched = self.touch_of_facts(flush, touching, *token).any;
            *trigger = touched.map_or(0, Seq::get);
        }
        if !touching.blocks.is_empty() {
            self.triggers_of_turns(flush, touching, (alphas, buffers), matches);
        }
        for (trigger, _) in matches.iter_mut().filter(|(trigger, _)| *trigger == 0) {
            *trigger = otherwise;
        }
    }

    /// The same of one of several matches, of which it is known what [may have touched](Net::touching) them.
    #[inline]
    pub(crate) fn touch_by(
        &mut self,
        flush: &Flush<'_>,
        touching: Option<&Touching>,
        alphas: &[Alpha],
        buffers: &mut Buffers,
        token: u32,
    ) -> Touch {
        match touching {
            Some(touching) => {
                let mut touch = self.touch_of_facts(flush, touching, token);
                if !touching.blocks.is_empty() {
                    let mut matches = [(touch.any.map_or(0, Seq::get), token)];
                    self.triggers_of_turns(flush, touching, (alphas, buffers), &mut matches);
                    touch.any = Some(matches[0].0).filter(|&seq| seq != 0).map(Seq::new);
                }
                touch
            }
            None => self.touch_of_parts(flush, alphas, buffers, token),
        }
    }

    /// How a live match was touched in this flush, of which [more](Net::touching) than its facts counts.
    fn touch_of_parts(
        &mut self,
        flush: &Flush<'_>,
        alphas: &[Alpha],
        buffers: &mut Buffers,
        token: u32,
    ) -> Touch {
        let mut touch =
            Walk { flush, alphas, buffers, root: &self.root }.up(&mut self.levels, None, token);
        touch.any = touch.any.max(touch.rearm);
        touch
    }
}

/// What a flush may have touched of the matches of a flat network.
pub(crate) struct Touching {
    facts: SmallVec<[TouchingAt; 4]>,
    /// Levels of each `not` and `exists` to which a fact came, or in which one changed or that one left, from the
    /// last one up.
    blocks: SmallVec<[usize; 2]>,
}

/// A position of facts that it may have touched.
struct TouchingAt {
    position: usize,
    kind: u32,
    /// What is read of its fact.
    reads: FieldMask,
    /// The run of insertions that is all that the flush did to facts of the kind, if it is that: no fact has to
    /// be asked then.
    run: Option<Op>,
}

impl Net {
    /// What of its matches a flush may have touched, of a flat network, if each `not` and `exists` that facts
    /// came to or left goes by keys alone.
    pub(crate) fn touching(&self, flush: &Flush<'_>, alphas: &[Alpha]) -> Option<Touching> {
        if !self.is_flat {
            return None;
        }
        let mut touching = Touching { facts: SmallVec::new(), blocks: SmallVec::new() };
        for (at, level) in self.levels.iter().enumerate().rev() {
            match &level.node {
                Node::Join(Join { plan, .. }) | Node::Gate(Gate { plan, .. }) => {
                    if flush.ops.kinds.may_hold(plan.kind) {
                        let Plan { position, kind, reads, .. } = **plan;
                        let run = flush.ops.only_run(kind);
                        touching.facts.push(TouchingAt { position, kind, reads, run });
                    }
                }
                Node::Block(block) => {
                    let right = block.right(alphas);
                    if block.may_have_turned(right, flush.ops.only_inserts) {
                        if block.verifies(right) {
                            return None;
                        }
                        touching.blocks.push(at);
                    }
                }
                Node::Group(_) | Node::Subnet(_) => return None,
            }
        }
        Some(touching)
    }

    /// Raises the triggers of matches to what came to each `not` and `exists`, or left it. None is 0.
    fn triggers_of_turns(
        &self,
        flush: &Flush<'_>,
        touching: &Touching,
        (alphas, buffers): (&[Alpha], &mut Buffers),
        matches: &mut [(u64, u32)],
    ) {
        let mut cx = Context::new(flush, &[], buffers);
        for &at in &touching.blocks {
            let Node::Block(block) = &self.levels[at].node else { unreachable!("it is one") };
            let right = block.right(alphas);
            for (trigger, token) in matches.iter_mut() {
                // The token of the level before it that the match comes from.
                let token = self.levels[at..]
                    .iter()
                    .rev()
                    .fold(*token, |token, level| level.tokens.parent(token));
                if let Some(turned) = block.trigger(&mut cx, right, &[], token) {
                    *trigger = (*trigger).max(turned.get());
                }
            }
        }
    }

    /// How the facts of a match were touched.
    #[inline]
    fn touch_of_facts(&self, flush: &Flush<'_>, touching: &Touching, token: u32) -> Touch {
        let row = self.terminal().row(token);
        let touched =
            touching.facts.iter().map(|&TouchingAt { position, kind, reads, ref run }| {
                let slot = row[position];
                match run {
                    Some(run) => run.slots().contains(&slot).then(|| run.seq_of(slot)),
                    None => flush.store.touched(&flush.ops, kind, slot, reads),
                }
            });
        let touched = touched.max().flatten();
        Touch { rearm: touched, any: touched }
    }
}

impl Plan {
    /// The last operation of this flush on its fact in a row that concerns what it reads.
    #[inline]
    fn touched(&self, flush: &Flush<'_>, row: &[u32]) -> Option<Seq> {
        flush.store.touched(&flush.ops, self.kind, row[self.position], self.reads)
    }
}

/// From so many members on that came or went, an outer tuple's trigger is kept until the flush ends: more
/// matches may come from it.
const DEAR: usize = 8;

/// A walk over the levels of a net, from the last one up.
struct Walk<'a> {
    flush: &'a Flush<'a>,
    alphas: &'a [Alpha],
    buffers: &'a mut Buffers,
    root: &'a Tokens,
}

impl Walk<'_> {
    /// How a live token of the last of these levels was touched, by the levels behind `until`.
    fn up(&mut self, levels: &mut [Level], until: Option<usize>, token: u32) -> Touch {
        let flush = self.flush;
        let mut touch = Touch::default();
        let mut at = levels.len().checked_sub(1);
        let mut token = token;
        while at != until
            && let Some(level_at) = at
        {
            let (before, rest) = levels.split_at_mut(level_at);
            let level = &mut rest[0];
            let parent = level.tokens.parent(token);
            at = level_at.checked_sub(1);
            match &mut level.node {
                Node::Join(Join { plan, .. }) | Node::Gate(Gate { plan, .. }) => {
                    touch.rearm = touch.rearm.max(plan.touched(flush, level.tokens.row(token)));
                }
                Node::Block(block) => {
                    let right = block.right(self.alphas);
                    if !right.turns.list.is_empty() {
                        let row = tokens_of(self.root, before, at).row(parent);
                        let asked = |block: &mut Block, cx: &mut Context<'_>| {
                            block.trigger(cx, right, row, parent)
                        };
                        // What is not compared need not be looked up.
                        let left = if block.verifies(right) { &*level.left } else { &[] };
                        touch.any = touch.any.max(self.ask(before, left, block, asked));
                    }
                }
                Node::Group(group) => {
                    let outer = tokens_of(self.root, before, group.plan.outer_level);
                    let cx = TriggerContext {
                        store: flush.store,
                        ops: &flush.ops,
                        members: tokens_of(self.root, before, level_at.checked_sub(1)),
                        outer,
                        cascaded: flush.cascaded,
                        identity: &|token| {
                            members(flush.store, before, &level.left, outer.row(token))
                        },
                    };
                    let seq = group.trigger(&cx, level.tokens.entry(token));
                    touch.rearm = touch.rearm.max(seq);
                    at = group.plan.outer_level;
                }
                Node::Subnet(subnet) => {
                    at = subnet.plan.outer_level;
                    if subnet.has_moves() {
                        let known = subnet.triggers.get(&parent).copied();
                        let seq = known.unwrap_or_else(|| {
                            self.subnet(before, level, parent, None, Way::Opens)
                        });
                        touch.any = touch.any.max(seq);
                    }
                }
            }
            token = parent;
        }
        touch
    }

    fn ask(
        &mut self,
        before: &[Level],
        left: &[Source],
        block: &mut Block,
        question: impl FnOnce(&mut Block, &mut Context<'_>) -> Option<Seq>,
    ) -> Option<Seq> {
        let flush = self.flush;
        let mut sources = Sources::new();
        for source in left {
            sources.push(resolve(flush.store, before, *source));
        }
        let mut cx = Context::new(flush, sources.as_slice(), self.buffers);
        question(block, &mut cx)
    }

    /// Highest operation of this flush on a member tuple that opened an outer tuple's way through a
    /// subnetwork, or closed it.
    ///
    /// `outer` is the token, dead or alive; `row` is what it stands for now, if that is not its own row.
    fn subnet(
        &mut self,
        before: &mut [Level],
        level: &mut Level,
        outer: u32,
        row: Option<&[u32]>,
        way: Way,
    ) -> Option<Seq> {
        let Node::Subnet(subnet) = &mut level.node else { unreachable!("its node was looked at") };
        let (until, width) = (subnet.plan.outer_level, subnet.plan.outer_width);
        let came = subnet.plan.exists == (way == Way::Opens);
        let moved = if self.flush.cascaded {
            let store = self.flush.store;
            let outers = tokens_of(self.root, before, until);
            let inner = before.last().expect("subnetworks have levels");
            let row = row.unwrap_or_else(|| outers.row(outer));
            let identity = members(store, before, &level.left, row);
            subnet.moved_in_rounds(&identity, |it| {
                let outer = members(store, before, &level.left, outers.row(it.outer));
                (outer, members(store, before, &inner.own, inner.tokens.row(it.member)))
            })
        } else {
            subnet.moved(outer)
        };
        let dear = moved.len() > DEAR;
        let mut trigger = None;
        for &Move { member, .. } in moved.iter().filter(|it| it.came == came) {
            let seq = if came {
                let touch = self.up(before, until, member);
                touch.any.max(touch.rearm)
            } else {
                let own = || tokens_of(self.root, before, until).row(outer);
                let mut gone = row.unwrap_or_else(own).to_vec();
                let inner = before.last().expect("subnetworks have levels").tokens.row(member);
                gone.extend_from_slice(&inner[width..]);
                self.up_from_dead(before, until, member, &gone)
            };
            trigger = trigger.max(seq);
        }
        if dear && way == Way::Opens {
            subnet.triggers.insert(outer, trigger);
        }
        trigger
    }

    /// Highest operation of this flush that made a member tuple of the last of these levels go.
    ///
    /// What a `not` or `exists` inside did to it counts only while its facts live: otherwise their
    /// deletions decide, and no condition is evaluated.
    fn up_from_dead(
        &mut self,
        levels: &mut [Level],
        until: Option<usize>,
        member: u32,
        row: &[u32],
    ) -> Option<Seq> {
        let flush = self.flush;
        let mut trigger = None;
        let mut at = levels.len().checked_sub(1);
        let mut token = member;
        while at != until
            && let Some(level_at) = at
        {
            let (before, rest) = levels.split_at_mut(level_at);
            let level = &mut rest[0];
            let parent = level.tokens.last_parent(token);
            let row = &row[..level.own.len()];
            at = level_at.checked_sub(1);
            let seq = match &mut level.node {
                Node::Join(Join { plan, .. }) | Node::Gate(Gate { plan, .. }) => {
                    plan.touched(flush, row)
                }
                Node::Block(block) if all_live(flush.store, &level.own, row) => {
                    let right = block.right(self.alphas);
                    let asked = |block: &mut Block, cx: &mut Context<'_>| {
                        block.closing_trigger(cx, right, row)
                    };
                    self.ask(before, &level.left, block, asked)
                }
                Node::Subnet(subnet) => {
                    at = subnet.plan.outer_level;
                    if subnet.has_moves() && all_live(flush.store, &level.own, row) {
                        self.subnet(before, level, parent, Some(row), Way::Closes)
                    } else {
                        None
                    }
                }
                Node::Group(group) => {
                    at = group.plan.outer_level;
                    if all_live(flush.store, &level.own, row) {
                        let outer = tokens_of(self.root, before, at);
                        let identity = |row: &[u32]| members(flush.store, before, &level.left, row);
                        let cx = TriggerContext {
                            store: flush.store,
                            ops: &flush.ops,
                            members: tokens_of(self.root, before, level_at.checked_sub(1)),
                            outer,
                            cascaded: flush.cascaded,
                            identity: &|token| identity(outer.row(token)),
                        };
                        let whose = identity(&row[..level.left.len()]);
                        group.closing_trigger(&cx, level.tokens.entry(token), whose)
                    } else {
                        None
                    }
                }
                Node::Block(_) => None,
            };
            trigger = trigger.max(seq);
            token = parent;
        }
        trigger
    }
}

/// What became of an outer tuple's way through a subnetwork.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Opens,
    Closes,
}

fn all_live(store: &Store, sources: &[Source], row: &[u32]) -> bool {
    row.iter().zip(sources).all(|(&slot, &source)| match source {
        Source::Facts(kind) => {
            store.locate(store.kind(kind).handle(slot)) == Some(Place { kind, slot })
        }
        Source::Groups(_) => true,
    })
}
