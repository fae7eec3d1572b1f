//! The network of one rule: its levels from the root to the terminal.

use std::sync::Arc;

use steadfast_wm::Seq;

use crate::aggregate::AggregateError;
use crate::chains::NONE;
use crate::network::alpha::{Alpha, Memory};
use crate::network::block::Block;
use crate::network::context::{Buffers, Context};
use crate::network::gate::Gate;
use crate::network::group::Group;
use crate::network::inputs::with_inputs;
use crate::network::join::Join;
use crate::network::levels::LevelSet;
use crate::network::plan::{Plan, Source, Sources};
use crate::network::right::{Known, RightDelta, RightMemory};
use crate::network::subnet::{self, Subnet};
use crate::network::tokens::Tokens;
use crate::network::undecided::Undecided;
use crate::store::{Ops, Store};
use crate::then::Positions;
use crate::trail::{Scope, Trailed, trailed};

/// What one level does.
#[derive(Clone)]
pub(crate) enum Node {
    Join(Join),
    Block(Block),
    Group(Group),
    Subnet(Subnet),
    Gate(Gate),
}

impl Node {
    /// The level of the tuples that its own tokens extend, or pass on: the one before it, except for
    /// nodes that end a chain of inner levels.
    pub(crate) fn left_level(&self, own: usize) -> Option<usize> {
        match self {
            Self::Join(_) | Self::Block(_) | Self::Gate(_) => own.checked_sub(1),
            Self::Group(group) => group.plan.outer_level,
            Self::Subnet(subnet) => subnet.plan.outer_level,
        }
    }

    /// The tuples that pass only when an absence is decided, of a node that makes them wait.
    pub(crate) fn undecided(&self) -> Option<&Undecided> {
        match self {
            Self::Block(block) => block.undecided.as_deref(),
            Self::Subnet(subnet) => subnet.undecided.as_deref(),
            Self::Join(_) | Self::Group(_) | Self::Gate(_) => None,
        }
    }

    /// The plan of a node that has a right memory.
    pub(crate) fn plan(&self) -> Option<&Arc<Plan>> {
        match self {
            Self::Join(join) => Some(&join.plan),
            Self::Block(block) => Some(&block.plan),
            Self::Gate(gate) => Some(&gate.plan),
            Self::Group(_) | Self::Subnet(_) => None,
        }
    }

    /// Its facts are in the right memory in this place, from now on.
    pub(crate) fn listen_to(&mut self, place: u32) {
        match self {
            Self::Join(join) => join.memory = place,
            Self::Block(block) => block.memory = place,
            Self::Gate(gate) => gate.memory = place,
            Self::Group(_) | Self::Subnet(_) => {}
        }
    }

    /// Kind and place of its right memory, if it has one.
    #[inline]
    pub(super) fn memory_place(&self) -> Option<(u32, u32)> {
        match self {
            Self::Join(join) => Some((join.plan.kind, join.memory)),
            Self::Block(block) => Some((block.plan.kind, block.memory)),
            Self::Gate(gate) => Some((gate.plan.kind, gate.memory)),
            Self::Group(_) | Self::Subnet(_) => None,
        }
    }

    /// Its right memory, if it has one.
    pub(crate) fn memory<'a>(&self, alphas: &'a [Alpha]) -> Option<&'a Memory> {
        let (kind, place) = self.memory_place()?;
        Some(&alphas[kind as usize].memories[place as usize])
    }

    /// Whether tuples pass that nothing goes with.
    pub(crate) fn is_absence(&self) -> bool {
        match self {
            Self::Join(_) | Self::Group(_) | Self::Gate(_) => false,
            Self::Block(block) => !block.is_exists(),
            Self::Subnet(subnet) => !subnet.plan.exists,
        }
    }
}

impl Trailed for Node {
    fn undo(&mut self, scope: Scope) {
        match self {
            Self::Join(join) => join.undo(scope),
            Self::Block(block) => block.undo(scope),
            Self::Group(group) => group.undo(scope),
            Self::Subnet(subnet) => subnet.undo(scope),
            Self::Gate(gate) => gate.undo(scope),
        }
    }
    fn forget(&mut self) {
        match self {
            Self::Join(join) => join.forget(),
            Self::Block(block) => block.forget(),
            Self::Group(group) => group.forget(),
            Self::Subnet(subnet) => subnet.forget(),
            Self::Gate(gate) => gate.forget(),
        }
    }
    fn trail_bytes(&self) -> usize {
        match self {
            Self::Join(join) => join.trail_bytes(),
            Self::Block(block) => block.trail_bytes(),
            Self::Group(group) => group.trail_bytes(),
            Self::Subnet(subnet) => subnet.trail_bytes(),
            Self::Gate(gate) => gate.trail_bytes(),
        }
    }
}

/// One level: a node and the tokens that leave it.
#[derive(Clone)]
pub(crate) struct Level {
    pub(crate) node: Node,
    pub(crate) tokens: Tokens,
    /// Sources of the positions of its left tokens and of its own.
    pub(crate) left: Vec<Source>,
    pub(crate) own: Vec<Source>,
    /// Levels that take its tokens in.
    feeds: LevelSet,
    /// Scratch: the round's changes of its right memory.
    pub(crate) delta: RightDelta,
    /// Statistics: tuples that came to it and that left it, ever. They are counted once in a round and
    /// level, from lists that are there anyway. Nothing depends on them, so that they are neither
    /// trailed nor journaled, and in no digest: work that was rolled back was done.
    pub(crate) taken: u64,
    pub(crate) given: u64,
}

trailed!(Level { node, tokens });

impl Level {
    /// A level behind one whose positions are `left`.
    pub(crate) fn new(node: Node, left: Vec<Source>, own: Vec<Source>) -> Self {
        let tokens = Tokens::new(own.len());
        let (feeds, delta) = (LevelSet::default(), RightDelta::default());
        Self { node, tokens, left, own, feeds, delta, taken: 0, given: 0 }
    }

    /// Brings its tokens up to date with one round's changes of its facts, and of the tokens of the levels
    /// before it.
    #[inline]
    pub(super) fn work(
        &mut self,
        flush: &Flush<'_>,
        (root, before): (&Tokens, &[Level]),
        alphas: &mut [Alpha],
        buffers: &mut Buffers,
    ) -> Result<(), AggregateError> {
        let input = before.last().map_or(root, |left| &left.tokens);
        let coming = input.inserted().len();
        if coming > 0 || !input.updated.is_empty() {
            look_for_facts(&self.node, flush, (coming, alphas), buffers);
        }
        let mut sources = Sources::new();
        if self.asks(input, alphas) {
            sources.extend(self.left.iter().map(|it| resolve(flush.store, before, *it)));
        }
        let mut cx = Context::new(flush, sources.as_slice(), buffers);
        match &mut self.node {
            Node::Join(join) => {
                let right = join.right(alphas);
                join.process(&mut cx, input, (right, &self.delta), &mut self.tokens);
            }
            Node::Block(block) => {
                let right = block.right(alphas);
                block.process(&mut cx, input, (right, &self.delta), &mut self.tokens);
            }
            Node::Group(group) => {
                group_process(group, &mut cx, root, before, &mut self.tokens)?;
            }
            Node::Subnet(subnet) => {
                let until = subnet.plan.outer_level;
                let inputs = subnet::Inputs {
                    members: input,
                    outer: tokens_of(root, before, until),
                    outer_of: &|member| ascend(before, until, member),
                    decided: &self.delta.decided,
                    sources: cx.left_sources,
                    moment: cx.moment,
                };
                subnet.process(flush.scope, &inputs, &mut self.tokens);
            }
            Node::Gate(gate) => {
                let right = gate.right(alphas);
                gate_process(gate, &cx, input, (right, &self.delta), &mut self.tokens);
            }
        }
        self.taken += coming as u64;
        self.given += self.tokens.inserted().len() as u64;
        Ok(())
    }

    /// Forgets what a flush remembers that did not come to its end.
    fn abandon(&mut self) {
        self.tokens.abandon();
        self.delta = RightDelta::default();
        match &mut self.node {
            Node::Join(_) | Node::Block(_) | Node::Gate(_) => {}
            Node::Group(group) => group.abandon(),
            Node::Subnet(subnet) => subnet.abandon(),
        }
    }

    fn end_flush(&mut self, scope: Scope) {
        self.tokens.end_flush(scope);
        match &mut self.node {
            Node::Join(_) | Node::Block(_) | Node::Gate(_) => {}
            Node::Group(group) => group.end_flush(scope),
            Node::Subnet(subnet) => subnet.end_flush(),
        }
    }

    /// Whether it may ask anything of tuples or pairs in a round with these changes.
    #[inline]
    fn asks(&self, input: &Tokens, alphas: &[Alpha]) -> bool {
        match &self.node {
            Node::Join(join) => {
                let RightDelta { inserted, updated, .. } = &self.delta;
                let of_facts = || !inserted.is_empty() || !updated.is_empty();
                let of_tuples = !input.inserted().is_empty() || !input.updated.is_empty();
                of_tuples || of_facts() && join.verifies(join.right(alphas))
            }
            Node::Gate(_) => false,
            Node::Group(group) => !group.plan.having.is_empty(),
            Node::Block(_) | Node::Subnet(_) => true,
        }
    }
}

/// The network of one rule.
#[derive(Clone)]
pub(crate) struct Net {
    pub(crate) root: Tokens,
    pub(crate) levels: Vec<Level>,
    /// By position of complete matches the kind of its facts; `NONE` of a position of groups.
    kinds: Vec<u32>,
    /// Whether each level takes facts: a join, or a `not` or `exists` of one pattern.
    pub(crate) is_flat: bool,
    /// Whether each level is a join. Its matches are nothing but facts then: what one does to them is known as
    /// soon as it is done, whatever else happens in the flush.
    pub(crate) is_of_joins: bool,
    /// From this level on a step may go down token by token: no group has outer tuples that it changes.
    pub(super) singly_from: usize,
    /// Whether the last level is a gate.
    pub(crate) is_gated: bool,
    /// Levels that take the unit tuple in, and those that are no joins: whoever asks them for triggers
    /// may leave something behind in them until the flush ends.
    pub(super) root_feeds: LevelSet,
    asked: LevelSet,
    /// Scratch of the round: levels that may have something to do, and those that did it; of the flush:
    /// those that had something to do in any round.
    pub(super) waiting: LevelSet,
    worked: LevelSet,
    flushed: LevelSet,
}

trailed!(Net { root, levels });

/// What a flush gives to the networks.
#[derive(Clone, Copy)]
pub(crate) struct Flush<'a> {
    pub(crate) scope: Scope,
    /// The moment that is evaluated.
    pub(crate) moment: i64,
    pub(crate) store: &'a Store,
    pub(crate) ops: Ops<'a>,
    pub(crate) round_start: u32,
    /// Whether it has had more than one round.
    pub(crate) cascaded: bool,
}

/// How a match was touched in a flush.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Touch {
    /// By something that re-arms a match that was there before.
    pub(crate) rearm: Option<Seq>,
    /// By anything.
    pub(crate) any: Option<Seq>,
}

impl Net {
    pub(crate) fn new(mut levels: Vec<Level>) -> Self {
        let is_flat = levels.iter().all(|level| level.node.plan().is_some());
        let is_of_joins = levels.iter().all(|level| matches!(level.node, Node::Join(_)));
        let mut root_feeds = LevelSet::default();
        let mut asked = LevelSet::default();
        for at in 0..levels.len() {
            if !matches!(levels[at].node, Node::Join(_) | Node::Gate(_)) {
                asked.insert(at);
            }
            for from in [at.checked_sub(1), levels[at].node.left_level(at)] {
                from.map_or(&mut root_feeds, |from| &mut levels[from].feeds).insert(at);
            }
        }
        let outer_levels = levels.iter().filter_map(|level| match &level.node {
            Node::Group(group) => group.plan.outer_level,
            _ => None,
        });
        let singly_from = outer_levels.max().map_or(0, |last| last + 1);
        let none = LevelSet::default();
        let (waiting, worked, flushed) = (none, none, none);
        let is_gated = levels.last().is_some_and(|last| matches!(last.node, Node::Gate(_)));
        let root = Tokens::new(usize::from(is_gated));
        let own = levels.last().map_or(&[][..], |last| &last.own);
        let kinds = own.iter().map(|source| match source {
            Source::Facts(kind) => *kind,
            Source::Groups(_) => NONE,
        });
        let kinds = kinds.collect();
        Self {
            root,
            levels,
            kinds,
            is_flat,
            is_of_joins,
            singly_from,
            is_gated,
            root_feeds,
            asked,
            waiting,
            worked,
            flushed,
        }
    }

    /// Puts the unit tuple in, from which everything hangs. Where there is a gate it is put in when that
    /// [opens](Net::turn_gate).
    pub(crate) fn plant(&mut self, scope: Scope) {
        if !self.is_gated {
            self.put_unit(scope, &[]);
        }
    }

    pub(super) fn put_unit(&mut self, scope: Scope, row: &[u32]) {
        self.root.add(scope, 0, NONE, row, None);
        self.waiting.union(self.root_feeds);
    }

    /// By kind, right memories have other places from now on.
    pub(crate) fn memories_moved(&mut self, places: &[Vec<Option<u32>>]) {
        for Level { node, .. } in &mut self.levels {
            if let Some((kind, place)) = node.memory_place() {
                let place = places[kind as usize][place as usize];
                node.listen_to(place.expect("what somebody listens to stays"));
            }
        }
    }

    /// The tokens of complete matches.
    pub(crate) fn terminal(&self) -> &Tokens {
        &self.levels.last().expect("rules have parts").tokens
    }

    /// Sources of the positions of complete matches.
    pub(crate) fn positions(&self) -> &[Source] {
        &self.levels.last().expect("rules have parts").own
    }

    /// The tuples of a level that pass only when an absence is decided.
    pub(crate) fn undecided(&self, level: u32) -> &Undecided {
        self.levels[level as usize].node.undecided().expect("it waits for decisions")
    }

    /// Lets tuples of such a level pass that are decided by a moment; says whether there are any.
    pub(crate) fn decide(&mut self, scope: Scope, level: u32, moment: i64) -> bool {
        let level = &mut self.levels[level as usize];
        match &mut level.node {
            Node::Block(block) => {
                let undecided = block.undecided.as_mut().expect("it waits for decisions");
                let decided = undecided.take_until(scope, moment).into_iter();
                level.delta.decided.extend(decided.filter(|&token| block.is_free(token)));
            }
            Node::Subnet(subnet) => {
                let undecided = subnet.undecided.as_mut().expect("it waits for decisions");
                let decided = undecided.take_until(scope, moment).into_iter();
                level.delta.decided.extend(decided.filter(|&token| subnet.is_free(token)));
            }
            Node::Join(_) | Node::Group(_) | Node::Gate(_) => unreachable!("only absences wait"),
        }
        !level.delta.decided.is_empty()
    }

    /// Notes that the right memory of a level has changes in this round.
    #[inline]
    pub(crate) fn wake(&mut self, level: u32) {
        self.waiting.insert(level as usize);
    }

    /// Takes one round's changes through all levels.
    pub(crate) fn propagate(
        &mut self,
        flush: &Flush<'_>,
        alphas: &mut [Alpha],
        buffers: &mut Buffers,
    ) -> Result<(), AggregateError> {
        let is_idle = self.is_gated && !self.is_at_work(flush, alphas, buffers);
        let (mut next, mut moves) = (0, 0);
        while let Some(at) = self.waiting.next(next)
            && at < self.levels.len()
        {
            next = at + 1;
            let (before, rest) = self.levels.split_at_mut(at);
            let level = &mut rest[0];
            let input = at.checked_sub(1).map_or(&self.root, |left| &before[left].tokens);
            let is_told = !level.delta.is_empty();
            if !is_told && !input.has_changes() {
                let outer = tokens_of(&self.root, before, level.node.left_level(at));
                if !outer.has_changes() {
                    continue;
                }
            }
            level.work(flush, (&self.root, before), alphas, buffers)?;
            moves += level.tokens.moves();
            if is_told {
                level.delta.clear();
            }
            self.worked.insert(at);
            if level.tokens.has_changes() {
                self.waiting.union(level.feeds);
            }
        }
        self.waiting = LevelSet::default();
        if is_idle {
            self.note_moves(moves);
        }
        Ok(())
    }

    pub(crate) fn end_round(&mut self) {
        if self.root.has_changes() {
            self.root.end_round();
        }
        let worked = self.worked.take();
        self.flushed.union(worked);
        let mut next = 0;
        while let Some(at) = worked.next(next)
            && let Some(level) = self.levels.get_mut(at)
        {
            level.tokens.end_round();
            next = at + 1;
        }
    }

    /// Forgets what a flush remembers that did not come to its end; what it has written is to be undone.
    pub(crate) fn abandon(&mut self) {
        self.root.abandon();
        self.levels.iter_mut().for_each(Level::abandon);
        let none = LevelSet::default();
        (self.waiting, self.worked, self.flushed) = (none, none, none);
    }

    /// Whether a function of a group panicked while it changed a state.
    pub(crate) fn is_torn(&self) -> bool {
        self.levels.iter().any(|level| match &level.node {
            Node::Group(group) => group.grouping.is_torn(),
            Node::Join(_) | Node::Block(_) | Node::Subnet(_) | Node::Gate(_) => false,
        })
    }

    pub(crate) fn end_flush(&mut self, scope: Scope) {
        if self.root.has_news() {
            self.root.end_flush(scope);
        }
        let mut flushed = self.flushed.take();
        flushed.union(self.asked);
        let mut next = 0;
        while let Some(at) = flushed.next(next)
            && let Some(level) = self.levels.get_mut(at)
        {
            next = at + 1;
            level.end_flush(scope);
        }
    }
}

/// Left tokens of a level come, so many, or change: its right facts may be looked for from now on.
#[inline]
pub(super) fn look_for_facts(
    node: &Node,
    flush: &Flush<'_>,
    (coming, alphas): (usize, &mut [Alpha]),
    buffers: &mut Buffers,
) {
    let Some((kind, place)) = node.memory_place() else { return };
    let memory = &mut alphas[kind as usize].memories[place as usize];
    if memory.right.knows(Known::Places) {
        return;
    }
    let by_right = match node {
        Node::Join(join) => join.goes_by_right(&flush.ops, &memory.right, coming),
        Node::Block(_) | Node::Gate(_) | Node::Group(_) | Node::Subnet(_) => false,
    };
    memory.learn(flush, if by_right { Known::Codes } else { Known::Places }, buffers);
}

pub(super) fn tokens_of<'a>(
    root: &'a Tokens,
    levels: &'a [Level],
    level: Option<usize>,
) -> &'a Tokens {
    level.map_or(root, |level| &levels[level].tokens)
}

/// The token of level `until` that a live token of the last of these levels comes from.
pub(super) fn ascend(levels: &[Level], until: Option<usize>, token: u32) -> u32 {
    let mut at = levels.len().checked_sub(1);
    let mut token = token;
    while at != until
        && let Some(level_at) = at
    {
        let level = &levels[level_at];
        token = level.tokens.parent(token);
        at = level.node.left_level(level_at);
    }
    token
}

pub(super) fn resolve<'a>(
    store: &'a Store,
    levels: &'a [Level],
    source: Source,
) -> &'a dyn std::any::Any {
    match source {
        Source::Facts(kind) => store.source(kind),
        Source::Groups(level) => groups(levels, level),
    }
}

fn groups(levels: &[Level], level: usize) -> &dyn std::any::Any {
    match &levels[level].node {
        Node::Group(group) => group.grouping.results(),
        _ => unreachable!("sources name groups"),
    }
}

impl Positions for Net {
    fn kinds(&self) -> &[u32] {
        &self.kinds
    }

    fn groups(&self, position: usize) -> Option<&dyn std::any::Any> {
        match self.positions().get(position)? {
            Source::Facts(_) => None,
            Source::Groups(level) => Some(groups(&self.levels, *level)),
        }
    }
}

/// Apart, as joins and absences are many.
#[inline(never)]
fn gate_process(
    gate: &mut Gate,
    cx: &Context<'_>,
    left: &Tokens,
    right: (&RightMemory, &RightDelta),
    out: &mut Tokens,
) {
    gate.process(cx, left, right, out);
}

/// Apart, as joins and absences are many.
#[inline(never)]
fn group_process(
    group: &mut Group,
    cx: &mut Context<'_>,
    root: &Tokens,
    before: &[Level],
    out: &mut Tokens,
) -> Result<(), AggregateError> {
    let (elements, outer) = (group.plan.elements, group.plan.outer_level);
    with_inputs((elements, outer), cx.store, (root, before), |inputs| {
        group.process(cx, inputs, out)
    })
}
