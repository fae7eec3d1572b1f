//! What the tests share: a journal in memory, steps on an engine, and random transactions.

use proptest::prelude::*;
use steadfast_engine_core::{ActionSink, AgendaEvent, Engine};
use steadfast_txn::MarkedSink;
use steadfast_wm::codec::v1;
use steadfast_wm::{MatchId, Record, SafePoint, SessionId};

use crate::random::{Step, fire, stage_on, steps};

pub(crate) const SESSION: SessionId = SessionId::from_bytes([5; 16]);

/// The bytes of all records, what fired, and what listeners hear of the agenda.
#[derive(Clone, Default, PartialEq, Debug)]
pub(crate) struct Log {
    pub(crate) bytes: Vec<u8>,
    pub(crate) fired: Vec<MatchId>,
    pub(crate) heard: Vec<AgendaEvent>,
    pub(crate) hears: bool,
}

impl ActionSink for Log {
    fn record(&mut self, record: &Record<'_>) {
        v1::encode(record, &mut self.bytes);
        if let Record::Fired { by } = record {
            self.fired.push(by.clone());
        }
    }

    fn agenda_event(&mut self, event: AgendaEvent) {
        self.heard.push(event);
    }

    fn wants_agenda_events(&self) -> bool {
        self.hears
    }
}

impl MarkedSink for Log {
    type Mark = (usize, usize, usize);

    fn mark(&self) -> Self::Mark {
        (self.bytes.len(), self.fired.len(), self.heard.len())
    }

    fn cut(&mut self, &(bytes, fired, heard): &Self::Mark) {
        self.bytes.truncate(bytes);
        self.fired.truncate(fired);
        self.heard.truncate(heard);
    }
}

/// What a step came to.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum Came {
    Done(SafePoint),
    /// A firing or an evaluation failed.
    Failed,
}

/// Takes a step.
pub(crate) fn take(engine: &mut Engine, step: Step, sink: &mut dyn ActionSink) -> Came {
    let (failed, point) = match step {
        Step::Flush => (engine.flush(sink).is_err(), SafePoint::Evaluated),
        Step::Advance(by) => {
            (engine.advance_clock(engine.now() + by, sink).is_err(), SafePoint::Evaluated)
        }
        Step::Fire(limit) => (fire(engine, limit, false, sink).error.is_some(), SafePoint::Fired),
        Step::FireFiltered(limit) => {
            (fire(engine, limit, true, sink).error.is_some(), SafePoint::Fired)
        }
        _ => {
            stage_on(engine, step, sink);
            (engine.has_failed(), SafePoint::Staged)
        }
    };
    if failed { Came::Failed } else { Came::Done(point) }
}

/// What somebody does in a transaction.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Deed {
    Step(Step),
    /// A step of which one of the functions panics, after so many calls.
    Panic(Step, u32),
    Savepoint,
    /// To one of the savepoints there are.
    RollBack(usize),
    Release(usize),
}

/// A transaction, and whether it commits.
#[derive(Clone, Debug)]
pub(crate) struct Transaction {
    pub(crate) deeds: Vec<Deed>,
    pub(crate) commits: bool,
}

fn deeds(steps: impl Strategy<Value = Vec<Step>>) -> impl Strategy<Value = Vec<Deed>> {
    steps.prop_flat_map(|steps| {
        let deeds: Vec<_> = steps.into_iter().map(deed).collect();
        deeds.prop_map(|deeds| deeds.concat())
    })
}

/// A step, with something about savepoints before it.
fn deed(step: Step) -> impl Strategy<Value = Vec<Deed>> {
    let before = prop_oneof![
        6 => Just(vec![]),
        4 => Just(vec![Deed::Savepoint]),
        1 => Just(vec![Deed::Savepoint, Deed::Savepoint]),
        3 => (0..9_usize).prop_map(|at| vec![Deed::RollBack(at)]),
        2 => (0..9_usize).prop_map(|at| vec![Deed::Release(at)]),
    ];
    let panics = prop::option::weighted(0.05, 1..12_u32);
    (before, panics).prop_map(move |(mut deeds, panics)| {
        deeds.push(panics.map_or(Deed::Step(step), |calls| Deed::Panic(step, calls)));
        deeds
    })
}

/// Up to four transactions.
pub(crate) fn transactions() -> impl Strategy<Value = Vec<Transaction>> {
    transactions_of(steps())
}

/// The same of such steps.
pub(crate) fn transactions_of(
    steps: impl Strategy<Value = Vec<Step>>,
) -> impl Strategy<Value = Vec<Transaction>> {
    let one = (deeds(steps), prop::bool::weighted(0.7))
        .prop_map(|(deeds, commits)| Transaction { deeds, commits });
    prop::collection::vec(one, 1..5)
}

/// Panics of the rules' functions are part of the game; their messages are not.
pub(crate) fn quiet() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let default = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if info.payload().downcast_ref::<&str>() != Some(&"the consequence's own") {
                default(info);
            }
        }));
    });
}

/// How many random cases: as many as `STEADFAST_CASES` says, or twenty times as many as usual in soak.
pub(crate) fn cases(default: u32) -> ProptestConfig {
    let cases = std::env::var("STEADFAST_CASES").ok().and_then(|cases| cases.parse().ok());
    let soaks = std::env::var_os("STEADFAST_SOAK").is_some();
    let default = if soaks { default * 20 } else { default };
    ProptestConfig { cases: cases.unwrap_or(default), ..ProptestConfig::default() }
}
