//! Listeners: they are told what every commit did, in order, and can change nothing.

use std::fmt;

use steadfast_engine_core::{AgendaEvent, Engine, Fact, ReadError, Restraint};
use steadfast_wm::codec::v1;
use steadfast_wm::{CommitSeq, FactHandle, MatchId, Record, SafePoint, Seq};

/// Something that a commit did.
///
/// Listeners get the events of a commit in the order in which they happened: operations as they were applied;
/// those of a firing between [`Event::Firing`] and [`Event::Fired`], followed by what truth maintenance made
/// of them. Behind that stands what the evaluation did to the agenda: which matches became pending or ceased to
/// be, each once, and which groups got the focus or lost it. At the end is [`Event::Committed`].
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A fact came.
    Inserted {
        /// The fact.
        fact: FactHandle,
        /// Its value.
        value: Value<'a>,
        /// The operation.
        seq: Seq,
        /// Path of the rule that inserted it, if one did.
        by: Option<&'a str>,
        /// Whether it is stated, not only derived.
        stated: bool,
    },
    /// A fact has another value.
    Updated {
        /// The fact.
        fact: FactHandle,
        /// Its value from now on.
        value: Value<'a>,
        /// The operation.
        seq: Seq,
        /// Path of the rule that updated it, if one did.
        by: Option<&'a str>,
    },
    /// A fact went.
    Deleted {
        /// The fact.
        fact: FactHandle,
        /// The operation.
        seq: Seq,
        /// Path of the rule that deleted it, or whose firing's consequences did.
        by: Option<&'a str>,
        /// Whether it went because it lost its last support.
        cascade: bool,
    },
    /// A fact became stated, or ceased to be.
    Stated {
        /// The fact.
        fact: FactHandle,
        /// What it is from now on.
        stated: bool,
        /// The operation.
        seq: Seq,
    },
    /// A match supports a fact.
    Supported {
        /// The fact.
        fact: FactHandle,
        /// The match.
        by: Match<'a>,
    },
    /// A match supports a fact no more that lives on.
    Unsupported {
        /// The fact.
        fact: FactHandle,
        /// The match.
        by: Match<'a>,
    },
    /// A match begins to fire; the operations that follow are its consequence's.
    Firing(Match<'a>),
    /// The match has fired, or was skipped because its consequence failed.
    Fired(Match<'a>),
    /// A match became pending in an evaluation, or because its time had come, or has a new trigger.
    Created {
        /// The match.
        of: Match<'a>,
        /// Its salience.
        salience: i32,
        /// What made it pending.
        trigger: Seq,
    },
    /// A match that was pending is it no more, and has not fired: it does not hold any more, was cancelled
    /// with its group, was used up by a filter or by `enabled`, or is kept back or waits after a new trigger.
    Cancelled(Match<'a>),
    /// A match that an evaluation would have made pending stays dormant.
    Suppressed {
        /// The match.
        of: Match<'a>,
        /// What would have made it pending.
        trigger: Seq,
        /// What keeps it from it.
        by: Restraint,
    },
    /// An agenda group got the focus.
    GroupPushed {
        /// Its name.
        group: &'a str,
    },
    /// An agenda group was taken off the focus, because it had nothing to fire or because no rule names it
    /// any more.
    GroupPopped {
        /// Its name.
        group: &'a str,
    },
    /// A global has another value.
    GlobalSet {
        /// Its name.
        name: &'a str,
        /// The operation.
        seq: Seq,
    },
    /// The clock was advanced.
    Clock {
        /// The time in milliseconds.
        millis: i64,
        /// The operation.
        seq: Seq,
    },
    /// An effect was emitted; the outbox has it.
    Emitted {
        /// Its topic.
        topic: &'a str,
        /// Its place in the commit.
        ordinal: u32,
    },
    /// Rules were added or removed.
    RulesChanged {
        /// The operation.
        seq: Seq,
    },
    /// The commit ends.
    Committed {
        /// Its number.
        commit: CommitSeq,
        /// What kind of safe point it is.
        point: SafePoint,
    },
}

/// The value of a fact as of one operation.
#[derive(Clone, PartialEq, Eq)]
pub struct Value<'a> {
    kind: Option<String>,
    version: u32,
    bytes: &'a [u8],
}

impl Value<'_> {
    /// Name of the fact's type, with `@` and the entry point if it came through a named one. Of an update
    /// of a fact that was deleted in the same commit it is not known any more.
    pub fn kind(&self) -> Option<&str> {
        self.kind.as_deref()
    }

    /// The value, if it is of this type.
    ///
    /// # Errors
    ///
    /// [`ReadError`] if the bytes are not those of such a fact.
    pub fn read<T: Fact>(&self) -> Result<Option<T>, ReadError> {
        let name = self.kind().and_then(|kind| kind.split('@').next());
        if name != Some(T::NAME) {
            return Ok(None);
        }
        T::read(self.version, self.bytes).map(Some)
    }
}

impl fmt::Debug for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} in {} bytes", self.kind().unwrap_or("a value"), self.bytes.len())
    }
}

/// A match, with its rule by name.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Match<'a> {
    /// Path of the rule; empty if the rule was removed meanwhile.
    pub rule: &'a str,
    /// The match.
    pub id: MatchId,
}

/// Names a listener, to end it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ListenerId(u64);

type Listener = Box<dyn FnMut(&Event<'_>) + Send>;

/// The listeners of a session, and what they were not told yet.
#[derive(Default)]
pub(crate) struct Listeners {
    listeners: Vec<(ListenerId, Listener)>,
    next: u64,
}

impl Listeners {
    pub(crate) fn add(&mut self, listener: Listener) -> ListenerId {
        let id = ListenerId(self.next);
        self.next += 1;
        self.listeners.push((id, listener));
        id
    }

    /// Ends a listener; says whether there was one.
    pub(crate) fn remove(&mut self, id: ListenerId) -> bool {
        let before = self.listeners.len();
        self.listeners.retain(|(of, _)| *of != id);
        self.listeners.len() < before
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.listeners.is_empty()
    }

    /// Tells all listeners what happened in a commit.
    pub(crate) fn tell(&mut self, heard: &Heard, engine: &Engine) {
        let mut agenda = heard.agenda.iter().peekable();
        let mut rest = heard.records.as_slice();
        loop {
            let place = heard.records.len() - rest.len();
            while let Some((_, event)) = agenda.next_if(|(at, _)| *at <= place) {
                self.tell_all(&agenda_event_of(engine, event));
            }
            let Ok((record, behind)) = v1::decode(rest) else { break };
            rest = behind;
            if let Record::Inserts(inserts) = record {
                let events = inserts.records().filter_map(|record| event_of(engine, record));
                events.for_each(|event| self.tell_all(&event));
            } else if let Some(event) = event_of(engine, record) {
                self.tell_all(&event);
            }
        }
    }

    fn tell_all(&mut self, event: &Event<'_>) {
        self.listeners.iter_mut().for_each(|(_, listener)| listener(event));
    }
}

/// What happened in a commit that is being made.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    /// Its records, encoded.
    pub(crate) records: Vec<u8>,
    /// What happened on the agenda, each with the place in the records at which it did.
    pub(crate) agenda: Vec<(usize, AgendaEvent)>,
}

impl Heard {
    /// How many bytes of records and how many events of the agenda there are.
    pub(crate) fn mark(&self) -> (usize, usize) {
        (self.records.len(), self.agenda.len())
    }

    /// Forgets what is behind a mark. Who began to listen behind it has heard nothing then.
    pub(crate) fn truncate(&mut self, (records, agenda): (usize, usize)) {
        self.records.truncate(records);
        self.agenda.truncate(agenda);
    }

    pub(crate) fn clear(&mut self) {
        self.records.clear();
        self.agenda.clear();
    }
}

impl fmt::Debug for Listeners {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} listeners", self.listeners.len())
    }
}

fn match_of(engine: &Engine, id: MatchId) -> Match<'_> {
    Match { rule: engine.rule_path(id.rule).unwrap_or_default(), id }
}

fn agenda_event_of<'a>(engine: &'a Engine, event: &'a AgendaEvent) -> Event<'a> {
    let of = |id: &MatchId| match_of(engine, id.clone());
    match event {
        AgendaEvent::Firing(id) => Event::Firing(of(id)),
        AgendaEvent::Fired(id) => Event::Fired(of(id)),
        AgendaEvent::Created { id, salience, trigger } => {
            Event::Created { of: of(id), salience: *salience, trigger: *trigger }
        }
        AgendaEvent::Cancelled(id) => Event::Cancelled(of(id)),
        AgendaEvent::Suppressed { id, trigger, by } => {
            Event::Suppressed { of: of(id), trigger: *trigger, by: *by }
        }
        AgendaEvent::Pushed(group) => Event::GroupPushed { group },
        AgendaEvent::Popped(group) => Event::GroupPopped { group },
    }
}

fn event_of<'a>(engine: &'a Engine, record: Record<'a>) -> Option<Event<'a>> {
    let path = |origin: Option<steadfast_wm::RuleTag>| origin.and_then(|tag| engine.rule_path(tag));
    Some(match record {
        Record::Insert { handle, kind, version, bytes, seq, origin, stated, .. } => {
            let kind = engine.type_name(kind).map(str::to_owned);
            let value = Value { kind, version, bytes };
            Event::Inserted { fact: handle, value, seq, by: path(origin), stated }
        }
        Record::Update { handle, version, bytes, seq, origin, .. } => {
            let value = Value { kind: engine.type_of(handle), version, bytes };
            Event::Updated { fact: handle, value, seq, by: path(origin) }
        }
        Record::Delete { handle, seq, origin, cascade } => {
            Event::Deleted { fact: handle, seq, by: path(origin), cascade }
        }
        Record::Stated { handle, stated, seq } => Event::Stated { fact: handle, stated, seq },
        Record::Justify { handle, by } => {
            Event::Supported { fact: handle, by: match_of(engine, by) }
        }
        Record::Unjustify { handle, by } => {
            Event::Unsupported { fact: handle, by: match_of(engine, by) }
        }
        Record::SetGlobal { name, seq, .. } => Event::GlobalSet { name, seq },
        Record::Clock { millis, seq } => Event::Clock { millis, seq },
        Record::Effect { ordinal, topic, .. } => Event::Emitted { topic, ordinal },
        Record::Ruleset { seq, .. } => Event::RulesChanged { seq },
        Record::Commit { commit, point, .. } => Event::Committed { commit, point },
        // What only the journal needs is no event.
        _ => return None,
    })
}
