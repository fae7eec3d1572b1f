//! Tokens: the partial matches after one level of a rule.

use crate::chains::{Mates, NONE};
use crate::trail::{BULK, Column, KEPT, Scope, Sparse, clear, trailed};

/// How a token hangs in the network.
#[derive(Clone, Copy, Debug)]
struct Links {
    /// The token of the level before; with [`DEAD`] for a dead token.
    parent: u32,
    /// The right entry, or the group's context, that this token adds to its parent.
    entry: u32,
}

/// Marks the parent of a dead token; until the flush ends it still says who that was.
const DEAD: u32 = 1 << 31;

/// What happened to a token in the current flush.
const NEW: u8 = 1;
/// Set while the token is in this round's list of new tokens.
const IN_INSERTED: u8 = 2;
const IN_UPDATED: u8 = 4;

/// Tokens of one level, as rows of slots.
#[derive(Clone)]
pub(crate) struct Tokens {
    width: u32,
    rows: Column<u32>,
    /// Whether the row of each token is its own number and nothing else, as that of the first facts of a type is
    /// which lie as they came. Nothing depends on it but what is read, so that it is not trailed.
    are_own: bool,
    links: Column<Links>,
    /// Neighbors among the children of one parent, and among the tokens of one entry; few have any where
    /// keys are unique.
    siblings: Sparse<Mates>,
    mates: Sparse<Mates>,
    free: Column<u32>,
    /// Scratch of the flush: new tokens, those of this round from `round` on, and dead ones.
    new: Vec<u32>,
    round: usize,
    dead: Vec<u32>,
    /// By token, as far as any has been marked; after a flush none is.
    marks: Vec<u8>,
    /// Scratch of the round.
    pub(crate) updated: Vec<u32>,
    pub(crate) deleted: Vec<u32>,
}

trailed!(Tokens { rows, links, siblings, mates, free });

/// Heads of token lists by left token.
pub(crate) type Heads = Column<u32>;
/// Heads of token lists by right entry: as far as any had tokens.
pub(crate) type EntryHeads = Sparse<u32>;

impl Tokens {
    pub(crate) fn new(width: usize) -> Self {
        Self {
            width: u32::try_from(width).expect("few positions"),
            rows: Column::default(),
            are_own: width == 1,
            links: Column::default(),
            siblings: Sparse::new(Mates::NONE),
            mates: Sparse::new(Mates::NONE),
            free: Column::default(),
            new: Vec::new(),
            round: 0,
            dead: Vec::new(),
            marks: Vec::new(),
            updated: Vec::new(),
            deleted: Vec::new(),
        }
    }

    /// Makes room for so many tokens more.
    pub(crate) fn reserve(&mut self, more: usize) {
        if more >= BULK {
            let more = u32::try_from(more).expect("tokens are addressed by u32");
            self.rows.reserve(more * self.width);
            self.links.reserve(more);
            let tokens = (self.links.len() + more) as usize;
            self.marks.reserve(tokens.saturating_sub(self.marks.len()));
            self.new.reserve(more as usize);
        }
    }

    #[inline]
    pub(crate) fn row(&self, token: u32) -> &[u32] {
        let start = token as usize * self.width as usize;
        &self.rows.as_slice()[start..start + self.width as usize]
    }

    /// As [`row`](Self::row), without a look at the rows where they are known; `room` has that of the token itself.
    #[inline]
    pub(crate) fn known_row<'a>(&'a self, token: u32, room: &'a mut [u32; 1]) -> &'a [u32] {
        if self.are_own {
            *room = [token];
            return room;
        }
        self.row(token)
    }

    /// Has the row of a token [near](Column::warm), if it will be read.
    #[inline]
    pub(crate) fn warm(&self, token: u32) {
        if !self.are_own {
            self.rows.warm(token * self.width);
        }
    }

    #[inline]
    pub(crate) fn parent(&self, token: u32) -> u32 {
        self.links.get(token).parent
    }

    /// The parent of a token, dead or alive.
    pub(crate) fn last_parent(&self, token: u32) -> u32 {
        self.parent(token) & !DEAD
    }

    #[inline]
    pub(crate) fn entry(&self, token: u32) -> u32 {
        self.links.get(token).entry
    }

    #[inline]
    pub(crate) fn is_live(&self, token: u32) -> bool {
        self.parent(token) & DEAD == 0
    }

    /// Whether the token came into being in this flush.
    pub(crate) fn is_new(&self, token: u32) -> bool {
        self.marks.get(token as usize).is_some_and(|mark| mark & NEW != 0)
    }

    /// Whether the token came into being in this round.
    pub(crate) fn is_inserted(&self, token: u32) -> bool {
        self.marks.get(token as usize).is_some_and(|mark| mark & IN_INSERTED != 0)
    }

    /// How many tokens there are, with those that are not in use.
    pub(crate) fn count(&self) -> u32 {
        self.links.len()
    }

    pub(crate) fn live_count(&self) -> usize {
        (self.links.len() - self.free.len()) as usize - self.dead.len()
    }

    /// All live tokens.
    pub(crate) fn live(&self) -> impl Iterator<Item = u32> + '_ {
        (0..self.links.len()).filter(|&token| self.is_live(token))
    }

    pub(crate) fn next_of_entry(&self, token: u32) -> u32 {
        self.mates.get(token).next
    }

    pub(crate) fn next_sibling(&self, token: u32) -> u32 {
        self.siblings.get(token).next
    }

    /// Declares an unlinked token dead, and forgets it at once.
    pub(crate) fn kill_settled(&mut self, scope: Scope, token: u32) {
        self.links.change(scope, token, |links| links.parent |= DEAD);
        self.free.push(scope, token);
    }

    /// Adds a token whose row is that of its parent (`base`), followed by `slot` if there is one.
    #[inline(never)] // whoever adds tokens in a loop would grow by it and not be taken into that loop
    pub(crate) fn add(
        &mut self,
        scope: Scope,
        parent: u32,
        entry: u32,
        base: &[u32],
        slot: Option<u32>,
    ) -> u32 {
        let token = self.make(scope, parent, entry, base, slot);
        *self.mark(token) = NEW | IN_INSERTED;
        self.new.push(token);
        token
    }

    /// The same outside of rounds: no list holds it.
    #[inline(never)] // as `add`
    pub(crate) fn add_settled(
        &mut self,
        scope: Scope,
        parent: u32,
        entry: u32,
        base: &[u32],
        slot: Option<u32>,
    ) -> u32 {
        self.make(scope, parent, entry, base, slot)
    }

    /// The same of rows of one position.
    #[inline]
    pub(crate) fn add_alone(&mut self, scope: Scope, parent: u32, entry: u32, slot: u32) -> u32 {
        debug_assert_eq!(self.width, 1);
        let Some(token) = self.free.pop(scope) else {
            let token = self.links.len();
            self.links.push(scope, Links { parent, entry });
            self.rows.push(scope, slot);
            self.are_own &= slot == token;
            return token;
        };
        self.links.set(scope, token, Links { parent, entry });
        self.siblings.set(scope, token, Mates::NONE);
        self.mates.set(scope, token, Mates::NONE);
        self.rows.set(scope, token, slot);
        self.are_own &= slot == token;
        token
    }

    /// Adds a token for each of these entries, of rows of one position.
    pub(crate) fn add_all_alone(
        &mut self,
        scope: Scope,
        parent: u32,
        entries: &[u32],
        slots: impl Iterator<Item = u32>,
    ) {
        let first = self.links.len();
        let mut number = first..;
        self.links.extend(scope, entries.iter().map(|&entry| Links { parent, entry }));
        let are_own = &mut self.are_own;
        self.rows.extend(scope, slots.inspect(|slot| *are_own &= number.next() == Some(*slot)));
        self.new.extend(first..self.links.len());
        self.marks.resize(first as usize, 0);
        self.marks.resize(self.links.len() as usize, NEW | IN_INSERTED);
    }

    /// Whether tokens that come are given numbers behind those that there are.
    pub(crate) fn is_full(&self) -> bool {
        self.free.is_empty()
    }

    #[expect(clippy::inline_always, reason = "its callers are not taken into others themselves")]
    #[inline(always)]
    fn make(
        &mut self,
        scope: Scope,
        parent: u32,
        entry: u32,
        base: &[u32],
        slot: Option<u32>,
    ) -> u32 {
        debug_assert_eq!(base.len() + usize::from(slot.is_some()), self.width as usize);
        let links = Links { parent, entry };
        let first = base.first().copied().or(slot);
        if let Some(token) = self.free.pop(scope) {
            self.are_own = self.are_own && first == Some(token);
            self.links.set(scope, token, links);
            if scope.is_open() {
                self.siblings.set(scope, token, Mates::NONE);
                self.mates.set(scope, token, Mates::NONE);
            } else {
                self.siblings.reset(token);
                self.mates.reset(token);
            }
            let start = token * self.width;
            self.rows.set_all(scope, start, base);
            if let Some(slot) = slot {
                self.rows.set(scope, start + self.width - 1, slot);
            }
            token
        } else {
            self.are_own = self.are_own && first == Some(self.links.len());
            self.links.push(scope, links);
            // Rows are so short that to call for a copy costs more than to make one.
            base.iter().for_each(|&slot| self.rows.push(scope, slot));
            if let Some(slot) = slot {
                self.rows.push(scope, slot);
            }
            self.links.len() - 1
        }
    }

    /// Sets what a token has at its first position.
    #[inline]
    pub(crate) fn set_first(&mut self, scope: Scope, token: u32, slot: u32) {
        self.are_own &= slot == token;
        self.rows.set(scope, token * self.width, slot);
    }

    #[inline]
    fn mark(&mut self, token: u32) -> &mut u8 {
        let token = token as usize;
        if token == self.marks.len() {
            self.marks.push(0);
        } else if token > self.marks.len() {
            self.marks.resize(token + 1, 0);
        }
        &mut self.marks[token]
    }

    /// Links a token into its parent's list of children.
    #[inline]
    pub(crate) fn link_sibling(&mut self, scope: Scope, token: u32, heads: &mut Heads, left: u32) {
        self.put_before_sibling(scope, token, *heads.get(left));
        heads.set(scope, left, token);
    }

    /// Puts a token before the one that was the first child of its parent, or `NONE`.
    #[inline]
    pub(crate) fn put_before_sibling(&mut self, scope: Scope, token: u32, head: u32) {
        if head != NONE {
            self.siblings.change(scope, head, |head| head.prev = token);
            self.siblings.change(scope, token, |token| token.next = head);
        }
    }

    /// Links a token into the list of its right entry.
    #[inline]
    pub(crate) fn link_entry(
        &mut self,
        scope: Scope,
        token: u32,
        heads: &mut EntryHeads,
        entry: u32,
    ) {
        let head = *heads.get(entry);
        if head != NONE {
            self.mates.change(scope, head, |head| head.prev = token);
            self.mates.change(scope, token, |token| token.next = head);
        }
        heads.set(scope, entry, token);
    }

    pub(crate) fn unlink_sibling(&mut self, scope: Scope, token: u32, heads: &mut Heads) {
        if let Some(next) = self.part_from_siblings(scope, token) {
            heads.set(scope, self.parent(token), next);
        }
    }

    /// Takes a token from between its siblings; gives the next one, or `NONE`, if it was the first child.
    #[inline]
    pub(crate) fn part_from_siblings(&mut self, scope: Scope, token: u32) -> Option<u32> {
        let Mates { next, prev } = *self.siblings.get(token);
        if next != NONE {
            self.siblings.change(scope, next, |next| next.prev = prev);
        }
        if prev == NONE {
            return Some(next);
        }
        self.siblings.change(scope, prev, |prev| prev.next = next);
        None
    }

    pub(crate) fn unlink_entry(&mut self, scope: Scope, token: u32, heads: &mut EntryHeads) {
        let Mates { next, prev } = *self.mates.get(token);
        if next != NONE {
            self.mates.change(scope, next, |next| next.prev = prev);
        }
        if prev == NONE {
            heads.set(scope, self.entry(token), next);
        } else {
            self.mates.change(scope, prev, |prev| prev.next = next);
        }
    }

    /// Declares an unlinked token dead. Its row stays readable until the flush ends.
    pub(crate) fn kill(&mut self, scope: Scope, token: u32) {
        debug_assert!(self.is_live(token), "a token dies once");
        self.links.change(scope, token, |links| links.parent |= DEAD);
        self.deleted.push(token);
        self.dead.push(token);
    }

    /// Notes that something a live token depends on has changed.
    #[inline]
    pub(crate) fn mark_updated(&mut self, token: u32) {
        let mark = self.mark(token);
        if *mark & (IN_INSERTED | IN_UPDATED) == 0 {
            *mark |= IN_UPDATED;
            self.updated.push(token);
        }
    }

    /// Tokens that came in this round.
    pub(crate) fn inserted(&self) -> &[u32] {
        &self.new[self.round..]
    }

    /// How many tokens came or went in this round.
    #[inline]
    pub(crate) fn moves(&self) -> usize {
        self.inserted().len() + self.deleted.len()
    }

    pub(crate) fn has_changes(&self) -> bool {
        !(self.inserted().is_empty() && self.updated.is_empty() && self.deleted.is_empty())
    }

    /// Whether all tokens are gone that were there when the round began, and there were some.
    pub(crate) fn are_all_gone(&self) -> bool {
        let gone = self.free.len() as usize + self.dead.len();
        !self.deleted.is_empty() && self.links.len() as usize == gone + self.inserted().len()
    }

    /// Whether a token came or went in this flush.
    pub(crate) fn has_news(&self) -> bool {
        !self.new.is_empty() || !self.dead.is_empty()
    }

    /// Forgets what happened in this round.
    #[inline]
    pub(crate) fn end_round(&mut self) {
        for &token in &self.new[self.round..] {
            self.marks[token as usize] &= NEW;
        }
        for &token in &self.updated {
            self.marks[token as usize] &= NEW;
        }
        self.round = self.new.len();
        clear(&mut self.updated);
        clear(&mut self.deleted);
    }

    /// Forgets what happened in this flush; dead tokens may be used again.
    #[inline]
    pub(crate) fn end_flush(&mut self, scope: Scope) {
        for &token in &self.new {
            self.marks[token as usize] = 0;
        }
        if self.new.len() > KEPT {
            self.marks = Vec::new();
        }
        clear(&mut self.new);
        self.round = 0;
        if !self.dead.is_empty() {
            self.free.extend(scope, self.dead.iter().copied());
            clear(&mut self.dead);
        }
    }

    /// Forgets what happened in a flush that did not come to its end.
    pub(crate) fn abandon(&mut self) {
        for scratch in [&mut self.new, &mut self.dead, &mut self.updated, &mut self.deleted] {
            clear(scratch);
        }
        self.round = 0;
        self.marks = Vec::new();
    }

    /// Forgets what happened in a flush that was one round; as [`end_round`](Self::end_round) and
    /// [`end_flush`](Self::end_flush), of few changes.
    #[inline]
    pub(crate) fn settle(&mut self, scope: Scope) {
        if !self.new.is_empty() || !self.dead.is_empty() {
            self.end_flush(scope);
            clear(&mut self.deleted);
        }
        if !self.updated.is_empty() {
            self.updated.iter().for_each(|&token| self.marks[token as usize] = 0);
            clear(&mut self.updated);
        }
    }
}
