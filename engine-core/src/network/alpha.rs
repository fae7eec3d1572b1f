//! The alpha side: the right memories of one kind of facts, and who listens to which.
//!
//! Patterns that ask the same of their facts and look for them by the same keys have one memory, whatever
//! rules they are in: a change of a fact is worked out once, and told to those levels that it may concern.

use std::sync::Arc;

use crate::chains::NONE;
use crate::fact::FieldMask;
use crate::ir::{Meaning, Window};
use crate::network::context::Buffers;
use crate::network::memberships::Memberships;
use crate::network::net::Flush;
use crate::network::plan::Plan;
use crate::network::right::{Known, RightMemory};
use crate::network::switch::{Arrangement, Switch};
use crate::rows::Rows;
use crate::trail::{Cell, Scope, trailed};

/// A level of a rule that takes its right facts from a memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Listener {
    pub(crate) net: u32,
    pub(crate) level: u32,
    /// Fields of which it wants to know changes: those that decide which facts are in the memory and where,
    /// and others.
    pub(crate) reads: FieldMask,
    /// Whether it is a `not` or an `exists`, which must know values from before a flush.
    pub(crate) blocks: bool,
    /// Whether what the only operation of a flush does here goes [straight down](super::straight): it concerns
    /// one level.
    pub(crate) straight: bool,
    /// Whether what a few operations do here [descends](super::descent), if facts enter or leave.
    pub(crate) descends: bool,
}

/// What an operation on one fact of a kind meets, as far as that is known before.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) enum Course {
    /// Any memories, and whoever listens to them.
    #[default]
    Any,
    /// Memories that one value of the fact finds, without windows.
    Found,
    /// One memory, the first, of which nothing is asked but its pattern's own conditions: no window decides which
    /// facts are in it.
    One,
    /// To which listens alone a rule of one pattern that is calm, has this salience and reads these fields.
    Bare { rule: u32, salience: i32, reads: FieldMask },
    /// The same of a level of a calm rule that takes steps.
    Step { rule: u32, level: u32, salience: i32 },
}

/// What a memory is of: those of equal ones hold the same facts under the same keys.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Content {
    pub(crate) tests: Vec<Meaning>,
    pub(crate) keys: Vec<Meaning>,
    pub(crate) order: Option<Meaning>,
    /// Whether facts are looked for.
    pub(crate) visited: bool,
}

/// A right memory with those who listen to it.
#[derive(Clone)]
pub(crate) struct Memory {
    pub(crate) right: RightMemory,
    /// The pattern of the listener that it was made for: all ask the same of the fact alone.
    pub(crate) plan: Arc<Plan>,
    pub(crate) listeners: Vec<Listener>,
    /// Fields that some listener reads, those of them that decide whether a fact is in it, and those that
    /// decide under which key.
    pub(crate) reads: FieldMask,
    pub(crate) tests: FieldMask,
    keys: FieldMask,
    /// Whether some listener must know values from before a flush.
    pub(crate) blocks: bool,
    /// Whether a window over the last facts decides which of those that pass are in it.
    pub(crate) slides: bool,
    /// Whether facts leave it with time.
    pub(crate) elapses: bool,
    /// The rule of one pattern that alone listens, if it is such a one, else `NONE`.
    pub(crate) bare: u32,
    /// Whether it has no facts because nobody could look for them yet: all who listen are behind gates that
    /// were never open since it was made.
    asleep: Cell<bool>,
}

trailed!(Memory { right, asleep });

impl Memory {
    fn new(plan: &Arc<Plan>, asleep: bool) -> Self {
        let mut memory = Self {
            asleep: Cell::new(asleep),
            right: RightMemory::new(plan),
            bare: NONE,
            listeners: Vec::new(),
            reads: FieldMask::NONE,
            tests: plan.tests(),
            keys: plan.indexed,
            blocks: false,
            slides: matches!(plan.window, Some(Window::Length(_))),
            elapses: matches!(plan.window, Some(Window::Time(_))),
            plan: Arc::clone(plan),
        };
        memory.summarize();
        memory
    }

    fn summarize(&mut self) {
        let reads = self.listeners.iter().map(|listener| listener.reads);
        self.reads = reads.fold(FieldMask::NONE, FieldMask::union);
        self.blocks = self.listeners.iter().any(|listener| listener.blocks);
    }

    #[inline]
    pub(crate) fn is_asleep(&self) -> bool {
        *self.asleep.get()
    }

    /// Facts that come are taken in from now on.
    pub(crate) fn rouse(&mut self, scope: Scope) {
        self.asleep.set(scope, false);
    }

    /// Whether an update of these fields can move a fact to another key.
    pub(crate) fn moves(&self, mask: FieldMask) -> bool {
        mask.intersects(self.keys)
    }

    /// Makes sure that the index knows so much of the facts.
    #[inline]
    pub(crate) fn learn(&mut self, flush: &Flush<'_>, known: Known, buffers: &mut Buffers) {
        if !self.right.knows(known) {
            self.right.learn(flush, &self.plan, known, buffers);
        }
    }
}

/// The right memories that facts of one kind go to, and which facts are in which.
#[derive(Clone, Default)]
pub(crate) struct Alpha {
    pub(crate) memories: Vec<Memory>,
    pub(crate) memberships: Memberships,
    /// How they are asked; made when it is needed.
    arrangement: Option<Box<Arrangement>>,
    /// Whether some memory must know values from before a flush: that of a `not` or an `exists`.
    pub(crate) keeps_before: bool,
    /// Whether some memory has a window over the last facts, and whether one has a window over time.
    pub(crate) slides: bool,
    pub(crate) elapses: bool,
    /// To how many memories a rule of one pattern listens alone.
    pub(crate) bare: usize,
    pub(crate) course: Course,
}

trailed!(Alpha { memories, memberships });

impl Alpha {
    /// The memory for a pattern's facts, by its place: one that there is, if it holds the same. A new one is
    /// asleep if nobody looks for facts before a gate opens.
    pub(crate) fn listen(&mut self, plan: &Arc<Plan>, listener: Listener, gated: bool) -> u32 {
        self.arrangement = None;
        let alike = |memory: &Memory| plan.content.is_some() && memory.plan.content == plan.content;
        let known = self.memories.iter().position(alike);
        let place = known.unwrap_or_else(|| {
            self.memories.push(Memory::new(plan, gated));
            self.memories.len() - 1
        });
        self.memories[place].listeners.push(listener);
        self.memories[place].summarize();
        self.summarize();
        u32::try_from(place).expect("few patterns")
    }

    /// Takes the facts into a memory that is asleep: somebody may look for them from now on.
    #[cold]
    pub(crate) fn wake(&mut self, place: u32, flush: &Flush<'_>, buffers: &mut Buffers) {
        let Self { memories, memberships, .. } = self;
        let memory = &mut memories[place as usize];
        memory.rouse(flush.scope);
        let Memory { right, plan, .. } = memory;
        let slots = flush.store.live_slots_in_flush(plan.kind);
        let answers = &mut buffers.answers;
        plan.alpha(None, &Rows::new(&[flush.store.source(plan.kind)], &slots), answers);
        right.reserve(answers.passed.iter().filter(|passed| **passed).count());
        for (&slot, _) in slots.iter().zip(&answers.passed).filter(|(_, passed)| **passed) {
            let entry = right.admit(flush.scope, slot);
            memberships.join(flush.scope, slot, place, entry);
        }
    }

    /// Makes room for so many new facts, in memories of which no value of the fact decides which of them it is.
    pub(crate) fn make_room(&mut self, facts: usize) {
        let arrangement = self.arrangement();
        for &(place, _) in &arrangement.plain {
            let memory = &mut self.memories[place as usize];
            if !memory.is_asleep() {
                memory.right.reserve(facts);
                if memory.blocks {
                    memory.right.reserve_turns(facts);
                }
                self.memberships.reserve(facts);
            }
        }
        self.arranged(arrangement);
    }

    fn summarize(&mut self) {
        self.keeps_before = self.memories.iter().any(|memory| memory.blocks);
        self.slides = self.memories.iter().any(|memory| memory.slides);
        self.elapses = self.memories.iter().any(|memory| memory.elapses);
    }

    /// How the memories are asked whether they take a fact; to be [given back](Alpha::arranged).
    #[inline]
    #[expect(
        clippy::unnecessary_box_returns,
        reason = "it is taken out and put back with each change"
    )]
    pub(crate) fn arrangement(&mut self) -> Box<Arrangement> {
        let Self { memories, arrangement, .. } = self;
        arrangement.take().unwrap_or_else(|| Box::new(Arrangement::of(memories)))
    }

    /// The same for a look at it.
    #[inline]
    pub(crate) fn arrange(&mut self) -> &Arrangement {
        let Self { memories, arrangement, .. } = self;
        arrangement.get_or_insert_with(|| Box::new(Arrangement::of(memories)))
    }

    /// Whether there is one memory, without a window, and nothing finds it but that it is asked.
    pub(crate) fn asks_one(&mut self) -> bool {
        !self.slides
            && !self.elapses
            && self.memories.len() == 1
            && self.arrange().counts() == (1, 0)
    }

    /// Whether all memories are found by one value of the fact, and none has a window.
    pub(crate) fn asks_found(&mut self) -> bool {
        !self.slides && !self.elapses && self.arrange().counts() == (0, 1)
    }

    /// How memories are found, of a kind of which [all are](Alpha::asks_found), if that has been arranged.
    #[inline]
    pub(crate) fn arranged_for(&self) -> Option<(&Arrangement, &Switch)> {
        let arrangement = self.arrangement.as_deref()?;
        Some((arrangement, arrangement.switches.first()?))
    }

    #[inline]
    pub(crate) fn arranged(&mut self, arrangement: Box<Arrangement>) {
        self.arrangement = Some(arrangement);
    }

    pub(crate) fn memory_count(&self) -> u32 {
        u32::try_from(self.memories.len()).expect("few patterns")
    }

    /// Keeps those listeners for which `keep` says what they are from now on, and the memories that somebody
    /// listens to; gives the new places of the memories.
    pub(crate) fn retain(
        &mut self,
        keep: impl Fn(Listener) -> Option<Listener>,
    ) -> Vec<Option<u32>> {
        self.arrangement = None;
        let mut places = Vec::with_capacity(self.memories.len());
        for mut memory in std::mem::take(&mut self.memories) {
            memory.listeners =
                memory.listeners.iter().filter_map(|&listener| keep(listener)).collect();
            memory.summarize();
            let stays = !memory.listeners.is_empty();
            places.push(stays.then(|| self.memory_count()));
            if stays {
                self.memories.push(memory);
            }
        }
        self.summarize();
        if places.contains(&None) {
            self.memberships.memories_moved(&places);
        }
        places
    }
}
