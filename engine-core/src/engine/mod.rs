//! The engine: working memory, network, agenda and truth maintenance as one deterministic machine.

mod abreast;
mod agenda_events;
mod apply;
mod apply_runs;
mod bare;
mod boundary;
mod calm;
mod derive;
mod descent;
mod digest;
mod distribute;
mod fire;
mod flush;
mod focus;
mod founded;
mod heirs;
mod install;
mod listen;
mod live;
mod load;
mod manifest;
mod net_changes;
mod operations;
mod picture;
mod queueing;
mod report;
mod restore;
mod rule_list;
mod rules;
mod run;
mod scope;
mod single;
mod straight;
mod time;
mod windows;

use std::fmt;
use std::sync::Arc;

use steadfast_wm::{Counters, FactHandle, MatchId, Member, Record, RuleTag, Seq, SessionId};

use focus::Turn;

pub use agenda_events::{AgendaEvent, Restraint};
pub(crate) use fire::panic_message;
pub use fire::{FireOptions, Fired};
pub use live::{RowChanges, RowId};
pub use picture::{Network, NetworkLevel, RuleNetwork};
pub use restore::{
    FactImage, RestoreOptions, RestoreProgress, Restoring, RulesPolicy, StagedImage,
};
pub use run::{Activation, FireRun, Verdict};
pub use time::{Missed, Waiting};

use crate::agenda::{Focus, GroupNames, Ranks, Terminal};
use crate::error::{ChangeError, EvaluateError};
use crate::fact::{Fact, Global, Handle, ReadError};
use crate::globals::Globals;
use crate::ir::{ConsequenceFn, OnError, Query, RuleDef, Ruleset, RulesetError, Salience, Timing};
use crate::keyed::KeyOf;
use crate::lineage::Lineage;
use crate::network::alpha::Alpha;
use crate::network::{Buffers, Net};
use crate::sink::ActionSink;
use crate::stage::{Drafts, Stage};
use crate::store::{DEFAULT_ENTRY, Op, Store};
use crate::then::{Ref, Row};
use crate::tms::Supports;
use crate::trail::{Cell, Column, Scope, trailed};

/// One rule, or one query, at work.
#[derive(Clone)]
pub(crate) struct RuleState {
    pub(crate) net: Net,
    pub(crate) terminal: Terminal,
    /// Whether the unit tuple is in the network: from the first evaluation on.
    pub(crate) planted: Cell<bool>,
}

trailed!(RuleState { net, terminal, planted });

/// What does not change while a ruleset is at work.
#[expect(clippy::struct_excessive_bools, reason = "each says something else, once for all")]
#[derive(Clone)]
pub(crate) struct RuleInfo {
    pub(crate) path: String,
    pub(crate) tag: RuleTag,
    /// Its place in the ruleset, which of the rule's branches this is, and how many there are. The
    /// branches of a rule stand side by side.
    pub(crate) place: u32,
    pub(crate) branch: u16,
    pub(crate) branches: u16,
    pub(crate) salience: Salience,
    pub(crate) turn: Turn,
    /// Whether nothing but its place on the agenda decides about its firings, and they about no other match: it
    /// has neither `enabled` nor an activation group nor branches.
    pub(crate) is_plain: bool,
    /// Whether its matches do nothing but become pending, and fire, or go: it is plain, they have one salience,
    /// wait for nothing, hold no events that expire, and give no group the focus.
    pub(crate) is_calm: bool,
    pub(crate) on_error: OnError,
    pub(crate) timing: Timing,
    /// Positions of its matches that hold events which expire, with their kinds.
    pub(crate) expiring: Vec<(usize, u32)>,
    /// Levels of its network that are absences bounded in time, and those of which tuples inside of others
    /// pass only when an absence is decided.
    pub(crate) absences: Vec<usize>,
    pub(crate) deciding: Vec<u32>,
    pub(crate) consequence: ConsequenceFn,
    pub(crate) is_query: bool,
    /// Whether matches that something triggers may stay dormant or wait all the same.
    pub(crate) holds_back: bool,
    /// Whether a fact that passes its only pattern's conditions is a match, and pending as such.
    pub(crate) bare: bool,
    /// Its definition; of a branch behind the first, the branch's.
    pub(crate) def: Arc<RuleDef>,
}

/// A forward-chaining rule engine without files, clocks, threads or randomness.
///
/// Equal operations give equal actions, equal firings and equal digests, on every machine and in
/// every build. Whoever holds an engine decides what becomes of its actions: each method that
/// changes something takes an [`ActionSink`].
///
/// The engine works in steps: changes are *staged*, a *flush* matches everything staged since the
/// last one, *firing* runs consequences, each followed by its own flush.
///
/// # Example
///
/// ```
/// use serde::{Deserialize, Serialize};
/// use steadfast_engine_core::{Discard, Engine, FireOptions, Fact, ir::Ruleset};
/// # extern crate steadfast_engine_core as steadfast;
/// use steadfast_macros::{Fact, rule, ruleset};
/// use steadfast_engine_core::Then;
///
/// #[derive(Fact, Clone, PartialEq, Serialize, Deserialize)]
/// struct Order { id: u64, amount: i64 }
/// #[derive(Fact, Clone, PartialEq, Serialize, Deserialize)]
/// struct Big { order: u64 }
///
/// #[rule(logical)]
/// fn big(#[when(o.amount > 1000)] o: &Order) -> Big { Big { order: o.id } }
///
/// ruleset!(shop = 1: big);
///
/// let mut engine = Engine::new(&shop(), Default::default(), &mut Discard)?;
/// engine.stage(&mut Discard, |stage| stage.insert(Order { id: 7, amount: 5000 }))?;
/// let fired = engine.fire(FireOptions::default(), &mut Discard);
/// assert_eq!(fired.count, 1);
/// assert_eq!(engine.facts::<Big>().len(), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Engine {
    pub(crate) scope: Scope,
    /// The youngest scope in which something may have been written that was not undone.
    touched: Scope,
    pub(crate) session: SessionId,
    fingerprint: u32,
    pub(crate) store: Store,
    pub(crate) globals: Globals,
    /// By kind.
    alphas: Vec<Alpha>,
    /// Rules in their declared order, then queries; of a rule with branches each branch.
    pub(crate) rules: Vec<RuleState>,
    pub(crate) infos: Vec<RuleInfo>,
    /// Places of the rules whose matches may wait for their time.
    timed: Vec<usize>,
    /// Places of the rules and queries with an absence inside that time decides.
    deciding: Vec<usize>,
    /// Kinds whose facts expire, and places of the rules whose matches hold such facts.
    expiring: Vec<u32>,
    holding: Vec<usize>,
    /// Name and version of the ruleset.
    pub(crate) ruleset: (String, u32),
    ranks: Ranks,
    focus: Focus,
    /// Activation groups with their rules.
    activation_groups: Vec<(String, Vec<u32>)>,
    pub(crate) supports: Supports,
    lineage: Lineage,
    live: live::Live,
    /// Facts that lost something that they may have stood on since the last flush, and stay.
    suspects: Column<FactHandle>,
    /// Staged operations: those since the last flush.
    pub(crate) ops: Column<Op>,
    counters: Cell<Counters>,
    clock: Cell<i64>,
    /// Effects emitted since the last commit boundary.
    effects: Cell<u32>,
    /// Whether the network has ever been evaluated.
    pub(crate) evaluated: Cell<bool>,
    /// An evaluation failed in its middle: nothing in here can be trusted any more.
    failed: bool,
    /// The youngest scope when it did.
    failed_in: Scope,
    drafts: Option<Box<Drafts>>,
    buffers: Buffers,
    scratch: flush::FlushScratch,
}

trailed!(Engine {
    store,
    globals,
    alphas,
    rules,
    focus,
    supports,
    live,
    suspects,
    ops,
    counters,
    clock,
    effects,
    evaluated
});

impl Engine {
    /// An engine with no facts under a ruleset. The ruleset itself is the first operation.
    ///
    /// # Errors
    ///
    /// [`RulesetError`] if the rules do not make a ruleset.
    pub fn new(
        ruleset: &Ruleset,
        session: SessionId,
        sink: &mut dyn ActionSink,
    ) -> Result<Self, RulesetError> {
        ruleset.check()?;
        let tags: Vec<RuleTag> = (0..).map(RuleTag::new).take(ruleset.rules().len()).collect();
        let mut engine = Self::build(ruleset, session, &tags, Vec::new(), sink);
        let seq = engine.next_seq();
        let manifest = engine.manifest();
        sink.record(&Record::Ruleset { seq, manifest });
        Ok(engine)
    }

    /// Store and network without facts.
    fn build(
        ruleset: &Ruleset,
        session: SessionId,
        tags: &[RuleTag],
        names: Vec<String>,
        sink: &mut dyn ActionSink,
    ) -> Self {
        let counters = Counters { next_handle: 1, next_seq: 1, firings: 0, random: 0 };
        let groups = GroupNames::of(ruleset.rules());
        let mut engine = Self {
            scope: Scope::NONE,
            touched: Scope::NONE,
            session,
            fingerprint: session.fingerprint(),
            store: Store::default(),
            globals: Globals::default(),
            alphas: Vec::new(),
            rules: Vec::new(),
            infos: Vec::new(),
            timed: Vec::new(),
            deciding: Vec::new(),
            expiring: Vec::new(),
            holding: Vec::new(),
            ruleset: (ruleset.name().to_owned(), ruleset.version()),
            ranks: Ranks::default(),
            focus: Focus::new(groups, ruleset.rules()),
            activation_groups: Vec::new(),
            supports: Supports::default(),
            lineage: Lineage::default(),
            live: live::Live::default(),
            suspects: Column::default(),
            ops: Column::default(),
            counters: Cell::new(counters),
            clock: Cell::new(0),
            effects: Cell::new(0),
            evaluated: Cell::new(false),
            failed: false,
            failed_in: Scope::NONE,
            drafts: None,
            buffers: Buffers::default(),
            scratch: flush::FlushScratch::default(),
        };
        engine.store.adopt_names(names);
        for fact in ruleset.fact_types() {
            engine.register(fact, sink);
        }
        for (place, rule) in ruleset.rules().iter().enumerate() {
            engine.install(rule, tags[place], false);
        }
        for query in ruleset.queries() {
            engine.install(query, RuleTag::new(u32::MAX), true);
        }
        engine.rank();
        engine
    }

    /// The session's identity.
    pub fn session(&self) -> SessionId {
        self.session
    }

    /// How many facts live, staged ones included.
    pub fn fact_count(&self) -> u64 {
        self.store.live()
    }

    /// How many matches are pending, as of the last flush.
    pub fn pending_count(&self) -> u64 {
        self.rules.iter().map(|rule| u64::from(rule.terminal.pending_count())).sum()
    }

    /// The session's clock in milliseconds.
    pub fn now(&self) -> i64 {
        *self.clock.get()
    }

    /// The counters that the future depends on.
    pub fn counters(&self) -> Counters {
        *self.counters.get()
    }

    /// Whether operations are staged that no flush has matched yet.
    pub fn has_staged(&self) -> bool {
        !self.ops.is_empty() || !self.suspects.is_empty() || !*self.evaluated.get()
    }

    /// Whether an evaluation failed in its middle, so that only reopening helps.
    pub fn has_failed(&self) -> bool {
        self.failed
    }

    /// Stages changes: all of what `body` does, or nothing if it fails.
    ///
    /// # Errors
    ///
    /// The error of `body`; a [`ChangeError`] if a value cannot be serialized or the engine failed
    /// earlier.
    ///
    /// # Panics
    ///
    /// If `body` panics; nothing of it is applied then, and the engine goes on.
    pub fn stage<R, E: From<ChangeError>>(
        &mut self,
        sink: &mut dyn ActionSink,
        body: impl FnOnce(&mut Stage<'_>) -> Result<R, E>,
    ) -> Result<R, E> {
        if self.failed {
            return Err(ChangeError::Failed.into());
        }
        self.heed(sink);
        // They stay where they are while `body` works, which may panic: they know what it has given out.
        let drafts = self.drafts.get_or_insert_with(Drafts::boxed);
        let counters = *self.counters.get();
        drafts.begin(counters.next_handle, counters.random);
        let fingerprint = self.fingerprint;
        let names = (&self.globals, self.focus.names());
        let mut stage = Stage::new(&self.store, names, drafts, fingerprint, *self.clock.get());
        let result = body(&mut stage);
        let mut drafts = self.drafts.take().expect("they are there");
        let result = result.and_then(|result| {
            self.apply(&mut drafts, None, sink)?;
            Ok(result)
        });
        self.drafts = Some(drafts);
        result
    }

    /// All facts of a type in the order of their handles, staged changes included; of the default
    /// entry point.
    pub fn facts<T: Fact>(&self) -> Vec<Ref<'_, T>> {
        self.facts_from(DEFAULT_ENTRY)
    }

    /// As [`Engine::facts`], of the entry point of this name.
    pub fn facts_from<T: Fact>(&self, entry: &str) -> Vec<Ref<'_, T>> {
        let entry = self.store.entry(entry);
        let Some(kind) = self.store.kind_of::<T>(entry) else { return Vec::new() };
        let facts = self.store.in_order(kind).into_iter().filter_map(|(handle, slot)| {
            let place = crate::store::Place { kind, slot };
            let typed = Handle::new(handle, self.fingerprint);
            Some(Ref::new(self.store.value(place)?, typed))
        });
        facts.collect()
    }

    /// The fact with this key, if there is one; of several the oldest, as [`Stage::find`] looks for it. What is
    /// derived is as of the last flush.
    pub fn find<T: Fact>(&self, key: &(impl KeyOf<T> + ?Sized)) -> Option<Ref<'_, T>> {
        self.find_from(DEFAULT_ENTRY, key)
    }

    /// As [`Engine::find`], of the entry point of this name.
    pub fn find_from<T: Fact>(
        &self,
        entry: &str,
        key: &(impl KeyOf<T> + ?Sized),
    ) -> Option<Ref<'_, T>> {
        let kind = self.store.kind_of::<T>(self.store.entry(entry))?;
        let columns = self.store.kind(kind);
        let handles = columns.with_key(key.code()).map(|slot| columns.handle(slot));
        let equal = handles.filter_map(|handle| {
            let handle = Handle::new(handle, self.fingerprint);
            let value = self.get(handle).filter(|value| key.is_of(value))?;
            Some(Ref::new(value, handle))
        });
        equal.min_by_key(Ref::handle)
    }

    /// A fact, if it lives, whichever entry point it came through; `None` also for a handle of another
    /// session.
    pub fn get<T: Fact>(&self, handle: Handle<T>) -> Option<&T> {
        let recalls = self.drafts.as_ref().map(|drafts| &drafts.recalls);
        let is_recalled =
            recalls.is_some_and(|recalls| recalls.has(handle.fact(), handle.given_after()));
        if handle.session() != self.fingerprint || is_recalled {
            return None;
        }
        self.store.value(self.store.locate(handle.fact())?)
    }

    /// A fact's typed handle from its number, if such a fact of that type lives.
    pub fn handle<T: Fact>(&self, fact: FactHandle) -> Option<Handle<T>> {
        let handle = Handle::new(fact, self.fingerprint);
        self.get(handle).map(|_: &T| handle)
    }

    /// A global, if it is set.
    ///
    /// # Errors
    ///
    /// [`ReadError`] if the stored value does not fit the type.
    pub fn global<G: Global>(&self) -> Result<Option<G>, ReadError> {
        match self.globals.get(G::NAME) {
            Some((version, bytes)) => G::read(version, bytes).map(Some),
            None => Ok(None),
        }
    }

    /// The matches of a query in the order of their members. Flush first: staged changes are not in it.
    ///
    /// Gives `None` if the ruleset does not have the query.
    pub fn rows<Q: Query>(&self) -> Option<Vec<Q::Output>> {
        let path = Q::definition().path;
        let first = self.infos.iter().position(|info| info.is_query && info.path == path)?;
        let mut matches: Vec<(Vec<Member>, usize, u32)> = Vec::new();
        for at in self.branches_of(first) {
            let tokens = self.rules[at].net.terminal().live();
            matches.extend(tokens.map(|token| (self.members(at, token), at, token)));
        }
        matches.sort_unstable();
        let outputs = matches.into_iter().map(|(_, at, token)| self.with_row(at, token, Q::output));
        Some(outputs.collect())
    }

    /// Shows a match to code of the user.
    pub(crate) fn with_row<R>(
        &self,
        rule: usize,
        token: u32,
        look: impl FnOnce(&Row<'_>) -> R,
    ) -> R {
        let net = &self.rules[rule].net;
        let row = Row::new(&self.store, net, net.terminal().row(token), self.fingerprint);
        look(&row.in_branch(self.infos[rule].branch))
    }

    /// All branches of the rule of which this is one.
    pub(crate) fn branches_of(&self, rule: usize) -> std::ops::Range<usize> {
        let RuleInfo { branch, branches, .. } = self.infos[rule];
        let first = rule - usize::from(branch);
        first..first + usize::from(branches)
    }

    /// INV-41: every operation has a number of its own, above all before it.
    #[inline]
    pub(crate) fn next_seq(&mut self) -> Seq {
        self.next_seq_in(self.scope)
    }

    /// The same for whoever knows the scope.
    #[inline]
    pub(super) fn next_seq_in(&mut self, scope: Scope) -> Seq {
        self.counters.change(scope, |counters| {
            counters.next_seq += 1;
            Seq::new(counters.next_seq - 1)
        })
    }

    /// INV-41: every fact has a handle of its own, above all before it.
    #[inline]
    pub(super) fn next_handle(&mut self) -> FactHandle {
        self.counters.change(self.scope, |counters| {
            counters.next_handle += 1;
            FactHandle::new(counters.next_handle - 1)
        })
    }

    /// The members of a match, live or dying in this flush.
    pub(crate) fn members(&self, rule: usize, token: u32) -> Vec<Member> {
        self.rules[rule].net.members(&self.store, token)
    }

    pub(crate) fn match_id(&self, rule: usize, token: u32) -> MatchId {
        let RuleInfo { tag, branch, .. } = self.infos[rule];
        MatchId { rule: tag, branch, members: self.rules[rule].net.members(&self.store, token) }
    }

    pub(crate) fn failed_already(&self) -> Result<(), EvaluateError> {
        if self.failed { Err(EvaluateError::Failed) } else { Ok(()) }
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine")
            .field("session", &self.session)
            .field("ruleset", &self.ruleset)
            .field("facts", &self.fact_count())
            .field("pending", &self.pending_count())
            .finish_non_exhaustive()
    }
}

impl Clone for Engine {
    /// A deep copy that shares nothing which can be written: the base of what-if sessions. It is in no scope:
    /// what the original may undo is done there.
    fn clone(&self) -> Self {
        let mut clone = Self {
            scope: Scope::NONE,
            touched: Scope::NONE,
            session: self.session,
            fingerprint: self.fingerprint,
            store: self.store.clone(),
            globals: self.globals.clone(),
            alphas: self.alphas.clone(),
            rules: self.rules.clone(),
            infos: self.infos.clone(),
            timed: self.timed.clone(),
            deciding: self.deciding.clone(),
            expiring: self.expiring.clone(),
            holding: self.holding.clone(),
            ruleset: self.ruleset.clone(),
            ranks: self.ranks.clone(),
            focus: self.focus.clone(),
            activation_groups: self.activation_groups.clone(),
            supports: self.supports.clone(),
            lineage: self.lineage.clone(),
            live: live::Live::default(),
            suspects: self.suspects.clone(),
            ops: self.ops.clone(),
            counters: self.counters.clone(),
            clock: self.clock.clone(),
            effects: self.effects.clone(),
            evaluated: self.evaluated.clone(),
            failed: self.failed,
            failed_in: Scope::NONE,
            drafts: self.drafts.as_ref().map(|drafts| Box::new(drafts.of_fork())),
            buffers: Buffers::default(),
            scratch: flush::FlushScratch::default(),
        };
        clone.scratch.wanted = self.scratch.wanted;
        // It may be a copy of what no commit has reported yet.
        clone.scratch.unreported.fill(clone.rules.len());
        // What else a scratch remembers is over when an evaluation is.
        clone.note_all_over();
        clone
    }
}
