//! Descents: what a fact that enters or leaves a right memory does from its level down to the matches, of as many
//! tokens as come of it.
//!
//! A few operations on facts of their own may concern several levels of a rule, each by facts that enter or leave
//! its memory. As long as these levels are joins, and nothing happens to the facts of others, nothing that one
//! takes away is brought back by another. First facts leave. Then facts enter, those of the last level
//! before those of the levels above it: the tuples before a level are by then those that were there without
//! them, and what an upper level makes later finds all facts where they are.
//!
//! Tokens are settled at once, so that nothing is marked or listed but the tokens of the level at work.

use crate::chains::{ABREAST, NONE};
use crate::network::alpha::Alpha;
use crate::network::context::{Buffers, Context};
use crate::network::gate::Gate;
use crate::network::join::Join;
use crate::network::net::{Flush, Level, Net, Node, look_for_facts, resolve};
use crate::network::plan::Sources;
use crate::network::right::RightMemory;
use crate::network::straight::{Step, Way};
use crate::network::tokens::Tokens;
use crate::store::{Change, Op};
use crate::trail::{Scope, clear};

/// So many tokens are looked at together, and what so many pairs are made of is brought near before.
const MANY: usize = if cfg!(test) { 2 } else { 8 };

/// A fact that enters the right memory of a level, or leaves it, in a flush of a few operations.
///
/// They are taken in their order: rule by rule, those that leave first, then those that enter, from the last level
/// up.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Descent {
    /// The rule in the upper half; in the lower one whether the fact enters, and the level, counted down. Compared
    /// as one number, as there are some to be sorted in most flushes.
    turn: u64,
    pub(crate) entry: u32,
}

impl Descent {
    const ENTERS: u32 = 1 << 31;

    #[inline]
    pub(crate) fn new(rule: u32, Step { level, entry, way }: Step) -> Self {
        let place = (Self::ENTERS - 1 - level) | if way == Way::Enters { Self::ENTERS } else { 0 };
        Self { turn: u64::from(rule) << 32 | u64::from(place), entry }
    }

    #[inline]
    pub(crate) fn rule(self) -> usize {
        usize::try_from(self.turn >> 32).expect("it was a u32")
    }

    /// The lower half of its turn.
    #[inline]
    fn place(self) -> u32 {
        u32::try_from(self.turn & u64::from(u32::MAX)).expect("it is masked")
    }

    #[inline]
    pub(crate) fn enters(self) -> bool {
        self.place() & Self::ENTERS != 0
    }

    #[inline]
    pub(crate) fn level(self) -> u32 {
        Self::ENTERS - 1 - (self.place() & !Self::ENTERS)
    }

    /// What a network is told instead.
    pub(crate) fn step(self) -> Step {
        let way = if self.enters() { Way::Enters } else { Way::Leaves };
        Step { level: self.level(), entry: self.entry, way }
    }
}

/// Tokens that came or went.
#[derive(Default)]
pub(crate) struct Descended {
    /// Those that reached the last level: matches.
    pub(crate) matches: Vec<u32>,
    /// Those of the level at work, and of the next one.
    tokens: Vec<u32>,
    pub(super) next: Vec<u32>,
}

impl Descended {
    /// Forgets the matches.
    #[inline]
    pub(crate) fn clear(&mut self) {
        clear(&mut self.matches);
    }

    /// Those of the next level are the ones from now on; says whether there are any.
    #[inline]
    fn turn(&mut self) -> bool {
        std::mem::swap(&mut self.tokens, &mut self.next);
        self.next.clear();
        !self.tokens.is_empty()
    }
}

impl Net {
    /// Whether what a fact that enters or leaves the memory of this level does may descend. What else it does,
    /// on whatever join of the network, may then as well.
    pub(crate) fn descends_from(&self, level: usize) -> bool {
        let is_join = matches!(self.levels[level].node, Node::Join(_));
        // What a group shows, or what hangs from it, may become something else later in the flush.
        is_join
            && self.levels.iter().all(|level| match &level.node {
                Node::Join(join) => join.plan.window.is_none(),
                Node::Block(block) => block.plan.window.is_none() && block.is_decided_at_once(),
                Node::Gate(_) => true,
                Node::Group(_) | Node::Subnet(_) => false,
            })
    }

    /// Whether a fact has tokens on the level of a join.
    #[inline]
    pub(crate) fn has_tokens(&self, level: u32, entry: u32) -> bool {
        match &self.levels[level as usize].node {
            Node::Join(join) => join.has_tokens(entry),
            _ => false,
        }
    }

    /// Whether some left token of a join may go with a right fact of these codes.
    #[inline]
    pub(crate) fn expects(&self, level: u32, codes: (u64, u64)) -> bool {
        match &self.levels[level as usize].node {
            Node::Join(join) => !join.is_deaf() && join.expects(codes),
            _ => false,
        }
    }

    /// Whether nothing is on its way through the network, and its gate, if it has one, stays as it is: open, or
    /// closed with what is behind it kept up to date.
    #[inline]
    pub(crate) fn is_at_rest(&self, alphas: &[Alpha]) -> bool {
        if self.waiting.next(0).is_some() {
            return false;
        }
        match self.levels.last().map(|last| &last.node) {
            Some(Node::Gate(gate)) => self.stays(gate, alphas),
            _ => true,
        }
    }

    #[inline]
    fn stays(&self, gate: &Gate, alphas: &[Alpha]) -> bool {
        if gate.right(alphas).fact_count() > 0 {
            return gate.is_in_use() && self.root.live_count() > 0;
        }
        let before = &self.levels[..self.levels.len() - 1];
        !gate.is_idle(|| before.iter().map(|level| level.tokens.live_count() as u64).sum())
    }

    /// Takes what facts do that leave down to the matches: those that went with them are listed then.
    pub(crate) fn descend_leaving(
        &mut self,
        scope: Scope,
        alphas: &[Alpha],
        steps: &[Descent],
        descended: &mut Descended,
    ) {
        let mut moves = 0;
        for step in steps {
            let levels = &mut self.levels[step.level() as usize..];
            let (first, behind) = levels.split_first_mut().expect("steps begin at levels");
            first.lose_fact(scope, step.entry, descended);
            for level in behind {
                if !descended.turn() {
                    break;
                }
                moves += descended.tokens.len();
                level.lose_tokens(scope, descended);
            }
            descended.matches.append(&mut descended.next);
        }
        self.note_descent(alphas, moves);
    }

    /// Takes what facts do that enter down to the matches: those that came of it are listed then. The steps are
    /// given from the last level up.
    pub(crate) fn descend_entering(
        &mut self,
        flush: &Flush<'_>,
        alphas: &mut [Alpha],
        buffers: &mut Buffers,
        steps: &[Descent],
        descended: &mut Descended,
    ) {
        let mut moves = 0;
        for step in steps {
            let first = step.level() as usize;
            let (before, rest) = self.levels.split_at_mut(first);
            let step = (step.entry, &mut *descended);
            rest[0].meet_fact(flush, (&self.root, before), alphas, buffers, step);
            for at in first + 1..self.levels.len() {
                if !descended.turn() {
                    break;
                }
                moves += descended.tokens.len();
                let (before, rest) = self.levels.split_at_mut(at);
                rest[0].meet_tokens(flush, (&self.root, before), alphas, buffers, descended);
            }
            descended.matches.append(&mut descended.next);
        }
        self.note_descent(alphas, moves);
    }

    /// As [`descend_leaving`](Self::descend_leaving), of many facts that leave the memory of one level, behind no gate.
    pub(crate) fn leave_abreast(
        &mut self,
        scope: Scope,
        level: u32,
        entries: &[u32],
        descended: &mut Descended,
    ) {
        let levels = &mut self.levels[level as usize..];
        let (first, behind) = levels.split_first_mut().expect("steps begin at levels");
        first.lose_facts(scope, entries, descended);
        for level in behind {
            if !descended.turn() {
                break;
            }
            level.lose_tokens(scope, descended);
        }
        descended.matches.append(&mut descended.next);
    }

    /// As [`descend_entering`](Self::descend_entering), of many facts that enter the memory of one level, behind no
    /// gate.
    pub(crate) fn enter_abreast(
        &mut self,
        flush: &Flush<'_>,
        (alphas, buffers): (&mut [Alpha], &mut Buffers),
        (level, entries): (u32, &[u32]),
        descended: &mut Descended,
    ) {
        let first = level as usize;
        let (before, rest) = self.levels.split_at_mut(first);
        let of = (&*alphas, &mut *buffers);
        rest[0].meet_facts(flush, (&self.root, before), of, entries, descended);
        for at in first + 1..self.levels.len() {
            if !descended.turn() {
                break;
            }
            let (before, rest) = self.levels.split_at_mut(at);
            rest[0].meet_tokens(flush, (&self.root, before), alphas, buffers, descended);
        }
        descended.matches.append(&mut descended.next);
    }

    /// The position of the facts of a level that is a join.
    #[inline]
    pub(crate) fn position_of(&self, level: u32) -> usize {
        let plan = self.levels[level as usize].node.plan();
        plan.expect("joins have plans").position
    }

    /// Whether the operation touches whatever comes of these steps, of which it is the cause: as long as a rule
    /// ignores no update by which a fact enters.
    #[inline]
    pub(crate) fn are_touched_by(&self, op: &Op, steps: &[Descent]) -> bool {
        let is_read = |step: &Descent| {
            let plan = self.levels[step.level() as usize].node.plan();
            plan.is_some_and(|plan| op.mask.intersects(plan.reads))
        };
        op.what != Change::Update || steps.iter().all(is_read)
    }

    /// Notes how many tuples came or went behind a closed gate.
    #[inline]
    fn note_descent(&mut self, alphas: &[Alpha], moves: usize) {
        if let Some(Level { node: Node::Gate(gate), .. }) = self.levels.last_mut()
            && gate.right(alphas).fact_count() == 0
        {
            gate.note_idle(moves);
        }
    }
}

impl Level {
    /// A fact has left: its tokens go.
    fn lose_fact(&mut self, scope: Scope, entry: u32, descended: &mut Descended) {
        let Node::Join(join) = &mut self.node else { unreachable!("steps begin at joins") };
        join.drop_of_fact(scope, entry, &mut self.tokens, &mut descended.next);
    }

    /// The same of many.
    pub(super) fn lose_facts(&mut self, scope: Scope, entries: &[u32], descended: &mut Descended) {
        entries.iter().for_each(|&entry| self.lose_fact(scope, entry, descended));
    }

    /// Tokens of the level before are gone: those that extend them go.
    fn lose_tokens(&mut self, scope: Scope, Descended { tokens, next, .. }: &mut Descended) {
        match &mut self.node {
            Node::Join(join) => join.drop_of_lefts(scope, tokens, &mut self.tokens, next),
            Node::Block(block) => block.drop_of_lefts(scope, tokens, &mut self.tokens, next),
            Node::Gate(gate) => gate.drop_of_lefts(scope, tokens, &mut self.tokens, next),
            Node::Group(_) | Node::Subnet(_) => unreachable!("nothing descends to them"),
        }
    }

    /// A fact has entered: it meets the tokens of the level before.
    fn meet_fact(
        &mut self,
        flush: &Flush<'_>,
        (root, before): (&Tokens, &[Self]),
        alphas: &[Alpha],
        buffers: &mut Buffers,
        (entry, descended): (u32, &mut Descended),
    ) {
        let Node::Join(join) = &mut self.node else { unreachable!("steps begin at joins") };
        let sides = (before.last().map_or(root, |left| &left.tokens), join.right(alphas));
        buffers.pairs.clear();
        join.seek_left(flush.scope, sides, entry, &mut buffers.pairs);
        if buffers.pairs.is_empty() {
            return;
        }
        let mut sources = Sources::new();
        if join.verifies(sides.1) {
            sources.extend(self.left.iter().map(|it| resolve(flush.store, before, *it)));
        }
        let mut cx = Context::new(flush, sources.as_slice(), buffers);
        join.pair_all(&mut cx, sides, &mut self.tokens, &mut descended.next);
        self.given += descended.next.len() as u64;
    }

    /// The same of many.
    pub(super) fn meet_facts(
        &mut self,
        flush: &Flush<'_>,
        (root, before): (&Tokens, &[Self]),
        (alphas, buffers): (&[Alpha], &mut Buffers),
        entries: &[u32],
        descended: &mut Descended,
    ) {
        let Node::Join(join) = &mut self.node else { unreachable!("steps begin at joins") };
        if join.is_deaf() {
            return;
        }
        let sides = (before.last().map_or(root, |left| &left.tokens), join.right(alphas));
        let came = &mut descended.next;
        let is_alone = |unit: &u32| join.takes_all() && root.row(*unit).is_empty();
        if let Some(unit) = join.unit().filter(is_alone) {
            join.take_each(flush.scope, (unit, sides.1), entries, (&mut self.tokens, came));
        } else {
            buffers.pairs.clear();
            for few in entries.chunks(ABREAST) {
                join.seek_lefts(flush.scope, sides, few, &mut buffers.pairs);
            }
            if buffers.pairs.is_empty() {
                return;
            }
            let mut sources = Sources::new();
            if join.verifies(sides.1) {
                sources.extend(self.left.iter().map(|it| resolve(flush.store, before, *it)));
            }
            let mut cx = Context::new(flush, sources.as_slice(), buffers);
            join.pair_all(&mut cx, sides, &mut self.tokens, came);
        }
        self.given += came.len() as u64;
    }

    /// Tokens of the level before have come: they meet the facts.
    fn meet_tokens(
        &mut self,
        flush: &Flush<'_>,
        (root, before): (&Tokens, &[Self]),
        alphas: &mut [Alpha],
        buffers: &mut Buffers,
        Descended { tokens, next, .. }: &mut Descended,
    ) {
        // Each looks for its facts by itself.
        look_for_facts(&self.node, flush, (1, alphas), buffers);
        let left = before.last().map_or(root, |left| &left.tokens);
        match &mut self.node {
            Node::Join(join) => {
                let mut sources = Sources::new();
                sources.extend(self.left.iter().map(|it| resolve(flush.store, before, *it)));
                let mut cx = Context::new(flush, sources.as_slice(), buffers);
                let sides = (left, join.right(alphas));
                if tokens.len() < MANY {
                    cx.buffers.pairs.clear();
                    tokens.iter().for_each(|&token| join.take_one_left(&mut cx, sides, token));
                } else {
                    join.take_batch_in(&mut cx, sides, tokens, true);
                }
                join.pair_all(&mut cx, sides, &mut self.tokens, next);
            }
            Node::Block(block) => {
                let mut sources = Sources::new();
                sources.extend(self.left.iter().map(|it| resolve(flush.store, before, *it)));
                let mut cx = Context::new(flush, sources.as_slice(), buffers);
                let sides = (left, block.right(alphas));
                block.meet_lefts(&mut cx, sides, tokens, (&mut self.tokens, next));
            }
            Node::Gate(gate) => {
                let sides = (left, gate.right(alphas));
                gate.meet_lefts(flush.scope, sides, tokens, (&mut self.tokens, next));
            }
            Node::Group(_) | Node::Subnet(_) => unreachable!("nothing descends to them"),
        }
        self.taken += tokens.len() as u64;
        self.given += next.len() as u64;
    }
}

impl Join {
    /// As [`delete_right`](Self::delete_right); the tokens that go are added to `gone`.
    fn drop_of_fact(&mut self, scope: Scope, entry: u32, out: &mut Tokens, gone: &mut Vec<u32>) {
        let mut token = *self.heads.get(entry);
        self.heads.set(scope, entry, NONE);
        while token != NONE {
            let next = out.next_of_entry(token);
            self.left.children.remove(scope, token, out);
            out.kill_settled(scope, token);
            gone.push(token);
            token = next;
        }
    }

    /// As [`delete_left`](Self::delete_left), of several.
    fn drop_of_lefts(
        &mut self,
        scope: Scope,
        lefts: &[u32],
        out: &mut Tokens,
        gone: &mut Vec<u32>,
    ) {
        for &left in lefts {
            self.left.take_out(scope, left);
            let mut child = self.left.children.take(scope, left, out);
            while child != NONE {
                let next = out.next_sibling(child);
                out.unlink_entry(scope, child, &mut self.heads);
                out.kill_settled(scope, child);
                gone.push(child);
                child = next;
            }
        }
    }

    /// Takes in one left token, which is not the unit tuple; its pairs with right facts are added to the candidates.
    #[inline]
    pub(super) fn take_one_left(
        &mut self,
        cx: &mut Context<'_>,
        (left, right): (&Tokens, &RightMemory),
        token: u32,
    ) {
        let (code, order) = self.outer_code(cx, left, token);
        // What is read on the way there comes while the other side is searched.
        self.left.warm_link(code);
        let pairs = &mut cx.buffers.pairs;
        right.index.visit(code, self.plan.inner_bounds(order), |entry| {
            pairs.push((token, entry));
            true
        });
        self.left.take_in(cx.scope, token, (code, order));
    }

    /// Facts that go with the unit tuple, of which the row is empty, come, as every one does; their tokens are added
    /// to `came`.
    fn take_each(
        &mut self,
        scope: Scope,
        (unit, right): (u32, &RightMemory),
        entries: &[u32],
        (out, came): (&mut Tokens, &mut Vec<u32>),
    ) {
        for &entry in entries {
            let token = out.add_alone(scope, unit, entry, right.slot(entry));
            self.heads.set(scope, entry, token);
            came.push(token);
        }
    }

    /// Adds the pairs of [a few](ABREAST) right facts with those left tokens that may go with them.
    fn seek_lefts(
        &mut self,
        scope: Scope,
        (left, right): (&Tokens, &RightMemory),
        entries: &[u32],
        pairs: &mut Vec<(u32, u32)>,
    ) {
        self.left.opened(scope, left).warm_by(&right.index, entries);
        entries.iter().for_each(|&entry| self.seek_left(scope, (left, right), entry, pairs));
    }

    /// Makes tokens of the candidate pairs that pass, which are added to `came`.
    fn pair_all(
        &mut self,
        cx: &mut Context<'_>,
        (left, right): (&Tokens, &RightMemory),
        out: &mut Tokens,
        came: &mut Vec<u32>,
    ) {
        cx.verify_pairs(&self.plan, self.exact && right.exact, left, right);
        for pairs in cx.buffers.pairs.chunks(ABREAST) {
            if pairs.len() >= MANY {
                self.warm_pairs((left, right), pairs);
            }
            for &(parent, entry) in pairs {
                let slot = Some(right.slot(entry));
                let token = out.add_settled(cx.scope, parent, entry, left.row(parent), slot);
                self.hang(cx.scope, token, (parent, entry), out);
                came.push(token);
            }
        }
    }
}
