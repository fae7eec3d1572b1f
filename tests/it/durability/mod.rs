//! Sessions that crash: whatever happens, they go on like one that never stopped.
//!
//! A scenario is a list of steps, each with what the consequences say in it. [`survives`] lives
//! through it without interruption, then crashes after every single step, and compares.

mod absences;
mod accumulates;
mod agenda;
mod corners;
#[cfg(feature = "decimal")]
mod decimals;
mod derived;
mod events;
mod facts;
mod firing;
mod golden;
mod killed;
pub(crate) mod kills;
pub(crate) mod life;
mod mixed;
mod normalize;
mod patterns;
mod restart;
mod rules;
mod steady;
mod timers;
mod torn;
mod windows;

use std::any::Any;
use std::collections::BTreeMap;
use std::rc::Rc;

use steadfast::prelude::*;
use steadfast::{CommitSeq, Digest, Pending, Ruleset};

use crate::support::{Disk, said};

/// Handles that a client keeps over crashes, by names of its own.
type Held = BTreeMap<&'static str, Rc<dyn Any>>;

/// A session and what its client remembers.
struct World {
    session: Session,
    held: Held,
}

impl World {
    fn insert<T: Fact>(&mut self, name: &'static str, fact: T) {
        let handle = self.session.insert(fact).unwrap();
        self.held.insert(name, Rc::new(handle));
    }

    fn held<T: Fact>(&self, name: &str) -> Handle<T> {
        *self.held[name].downcast_ref().expect("a handle of this type")
    }

    fn get<T: Fact>(&self, name: &str) -> Option<&T> {
        self.session.get(self.held::<T>(name))
    }

    fn update<T: Fact>(&mut self, name: &str, change: impl FnOnce(&mut T)) {
        self.session.update(self.held::<T>(name), change).unwrap();
    }

    fn delete<T: Fact>(&mut self, name: &str) {
        assert!(self.session.delete(self.held::<T>(name)).unwrap(), "{name} was there");
    }

    fn fire(&mut self) {
        self.session.fire_all().unwrap();
    }

    fn fire_some(&mut self, limit: u64) {
        self.session.fire(limit).unwrap();
    }

    fn flush(&mut self) {
        self.session.flush().unwrap();
    }

    /// How many facts of a type there are, derived ones up to date.
    fn count<T: Fact>(&mut self) -> usize {
        self.session.query::<T>().unwrap().len()
    }
}

/// One step of a scenario: what happens, and what the consequences say meanwhile.
struct Step {
    what: &'static str,
    act: fn(&mut World),
    says: Vec<&'static str>,
}

fn step(
    what: &'static str,
    act: fn(&mut World),
    says: impl IntoIterator<Item = &'static str>,
) -> Step {
    Step { what, act, says: says.into_iter().collect() }
}

/// Everything that can be seen of a session at one moment.
#[derive(PartialEq, Debug)]
struct Sight {
    digest: Digest,
    pending: Vec<Pending>,
    facts: u64,
    commit: CommitSeq,
    now: i64,
    effects: usize,
}

impl Sight {
    fn of(session: &Session) -> Self {
        Self {
            digest: session.digest(),
            pending: session.pending(),
            facts: session.fact_count(),
            commit: session.last_commit(),
            now: session.now(),
            effects: session.effect_count(),
        }
    }
}

/// A moment of the uninterrupted life: what a crash then would have left, and what there was to see.
struct Moment {
    disk: Disk,
    held: Held,
    sight: Sight,
}

fn live(world: &mut World, step: &Step, story: &str) {
    (step.act)(world);
    assert_eq!(said(), step.says, "{story}, {}", step.what);
}

/// Opens what a crash left and compares it with what was there; nothing may have run for that.
fn recover(disk: &Disk, rules: fn() -> Ruleset, moment: &Moment, story: &str) -> World {
    let session = disk.open(rules());
    assert!(said().is_empty(), "{story}: something ran in the recovery");
    assert_eq!(Sight::of(&session), moment.sight, "{story}");
    World { session, held: moment.held.clone() }
}

/// Lives through a scenario uninterrupted, with one crash after each of its steps in turn, with a
/// crash after every step, with a close in order after every step, and with its journal normalized
/// before every crash: always the same.
fn survives(rules: fn() -> Ruleset, steps: &[Step]) {
    let disk = Disk::new();
    let mut world = World { session: disk.open(rules()), held: Held::new() };
    let mut moments = vec![moment(&disk, &world)];
    for step in steps {
        live(&mut world, step, "uninterrupted");
        moments.push(moment(&disk, &world));
    }
    for crash in 0..=steps.len() {
        let story = format!("crashed before step {crash}");
        let first = recover(&moments[crash].disk, rules, &moments[crash], &story);
        // Crash again as soon as it is open, for recovery must not use up what it recovers from.
        let again = moments[crash].disk.crash();
        drop(first);
        let mut world = recover(&again, rules, &moments[crash], &story);
        for (step, moment) in steps.iter().zip(&moments[1..]).skip(crash) {
            live(&mut world, step, &story);
            assert_eq!(Sight::of(&world.session), moment.sight, "{story}, {}", step.what);
        }
    }
    for (story, in_order, normalized) in [
        ("crashed after every step", false, false),
        ("closed after every step", true, false),
        ("normalized and crashed after every step", false, true),
    ] {
        // The same session, so that handles within facts are the same, too.
        let mut disk = moments[0].disk.crash();
        let mut world = recover(&disk, rules, &moments[0], story);
        for (step, moment) in steps.iter().zip(&moments[1..]) {
            live(&mut world, step, story);
            let World { mut session, held } = world;
            if normalized {
                session.normalize().unwrap();
                assert_eq!(Sight::of(&session), moment.sight, "{story}, {}", step.what);
            }
            if in_order {
                session.close().unwrap();
            } else {
                disk = disk.crash();
                drop(session);
            }
            let moment = Moment { disk: Disk::new(), held, sight: same(&moment.sight) };
            world = recover(&disk, rules, &moment, story);
        }
    }
}

fn moment(disk: &Disk, world: &World) -> Moment {
    Moment { disk: disk.crash(), held: world.held.clone(), sight: Sight::of(&world.session) }
}

fn same(sight: &Sight) -> Sight {
    Sight { pending: sight.pending.clone(), ..*sight }
}
