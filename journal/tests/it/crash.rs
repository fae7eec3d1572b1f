//! Crashes: after every I/O call of a run, with subsets of what was not synced, also in recovery.

use steadfast_journal::WriteMode;
use steadfast_journal::testing::{Exhaustive, Fixed, Seeded, SimDisk};

use crate::world::{Crash, Setup, Violation, World};

/// Power cuts that are tried at one point of a run if there are too many to try all.
const SAMPLES: u64 = 10;
/// Up to so many unsynced things, every combination is tried.
const EXHAUSTIVE_MAX: usize = 4;

/// Runs the steps until the process dies after so many changes of the disk.
fn run_until(setup: Setup, steps: &str, changes: u64) -> Result<World, Violation> {
    let disk = SimDisk::new(7);
    disk.crash_after(changes);
    let mut world = World::new(disk, setup);
    world.start(0)?;
    world.run(steps, &mut Fixed::Everything)?;
    Ok(world)
}

/// Tries the ways in which a run can end at this point.
pub(crate) fn check_end(world: &World, seed: u64) -> Result<(), Violation> {
    world.branch(world.disk.fork()).crash(&mut Crash::Kill)?;
    if world.disk.pending() <= EXHAUSTIVE_MAX {
        let mut choices = Exhaustive::default();
        loop {
            world.branch(world.disk.fork()).crash(&mut Crash::PowerCut(&mut choices))?;
            if !choices.advance() {
                return Ok(());
            }
        }
    }
    world.branch(world.disk.fork()).crash(&mut Crash::PowerCut(&mut Fixed::Nothing))?;
    for sample in 0..SAMPLES {
        let mut chooser = Seeded::new(seed * SAMPLES + sample);
        world.branch(world.disk.fork()).crash(&mut Crash::PowerCut(&mut chooser))?;
    }
    Ok(())
}

/// Crashes a run after each of its changes; returns how many there were.
pub(crate) fn crash_everywhere(setup: Setup, steps: &str) -> Result<u64, Violation> {
    for changes in 0.. {
        let world = run_until(setup, steps, changes);
        let dies = world.and_then(|world| {
            check_end(&world, changes)?;
            Ok(world.disk.has_crashed())
        });
        match dies {
            Ok(true) => {}
            Ok(false) => return Ok(changes),
            Err(violation) => {
                return Err(format!(
                    "{:?} {steps} after {changes} changes: {violation}",
                    setup.mode
                ));
            }
        }
    }
    unreachable!("a run has an end")
}

fn check_run(setup: Setup, steps: &str) -> u64 {
    crash_everywhere(setup, steps).unwrap_or_else(|violation| panic!("{violation}"))
}

/// INV-22: at every call and in both write modes.
#[test]
fn every_crash_of_a_run_keeps_what_was_acknowledged() {
    for mode in [WriteMode::Map, WriteMode::Pwrite] {
        let changes = check_run(Setup::new(mode), "asapbbasnwrasBsabxapsrt");
        assert!(changes > 200, "{changes}");
    }
}

#[test]
fn every_crash_of_a_roll_a_cut_and_an_idle_slot_keeps_what_was_acknowledged() {
    for mode in [WriteMode::Map, WriteMode::Pwrite] {
        for steps in ["asrasra", "asbkasbcas", "asaswasawa", "asasatasat", "nnbBrnxn", "Babrbasxk"]
        {
            check_run(Setup::new(mode), steps);
        }
    }
}

/// Kills recovery itself after each of its changes, then the recovery of that, and compares at the
/// end. Starts from what a run left behind.
fn check_recovery(setup: Setup, steps: &str, seed: u64) {
    let mut world = World::new(SimDisk::new(seed), setup);
    let mut chooser = Seeded::new(seed);
    let checked = world.start(0).and_then(|()| world.run(steps, &mut chooser));
    checked.unwrap_or_else(|violation| panic!("{steps}: {violation}"));
    let required = world.end_process(&mut Crash::PowerCut(&mut chooser));
    for first in 0.. {
        let mut once = world.branch(world.disk.fork());
        once.disk.crash_after(first);
        once.start(required).expect("a dead process claims nothing");
        let died = once.disk.has_crashed();
        for second in (0..60).step_by(7) {
            let mut twice = once.branch(once.disk.power_cut(&mut chooser));
            twice.disk.crash_after(second);
            twice.start(required).expect("a dead process claims nothing");
            let third = twice.branch(twice.disk.power_cut(&mut chooser)).start(required);
            third.unwrap_or_else(|violation| {
                panic!("{steps}, recovery stopped after {first} and {second}: {violation}")
            });
        }
        let mut killed = once.branch(once.disk.kill());
        let checked = killed.start(required);
        checked.unwrap_or_else(|violation| panic!("{steps}, killed after {first}: {violation}"));
        if !died {
            return;
        }
    }
}

/// INV-25, INV-26: what a stopped recovery leaves is recovered to the same.
#[test]
fn recovery_that_is_interrupted_twice_still_ends_right() {
    for mode in [WriteMode::Map, WriteMode::Pwrite] {
        for (seed, steps) in ["asab", "asaBba", "asrabb", "sasnatba", "abBrba"].iter().enumerate() {
            check_recovery(Setup::new(mode), steps, seed as u64);
        }
    }
}

/// Story: a process was killed while it made a journal, between the rename of the manifest and the
/// sync of the directory. The next one found the manifest in the page cache, went on behind it, and
/// lost its power: a segment had survived without the manifest, and was refused.
///
/// Kills a run after each of its changes, stops the next recovery after each of its own, then cuts the
/// power: what the second process found in the page cache of the first is not durable.
fn check_kill_and_stop(setup: Setup, steps: &str) -> Result<(), Violation> {
    for changes in 0.. {
        let mut world = run_until(setup, steps, changes)?;
        let died = world.disk.has_crashed();
        let required = world.end_process(&mut Crash::Kill);
        let durable = world.required_after_power_cut();
        // Where everything is durable, this is the interruption of any recovery.
        let mut running = world.disk.pending() > 0;
        for stopped in 0.. {
            if !running {
                break;
            }
            let mut second = world.branch(world.disk.fork());
            second.disk.crash_after(stopped);
            second.start(required)?;
            running = second.disk.has_crashed();
            check_power_cuts(&second, durable, stopped)
                .map_err(|violation| format!("{steps}, {changes} and {stopped}: {violation}"))?;
        }
        if !died {
            return Ok(());
        }
    }
    unreachable!("a run has an end")
}

/// Cuts the power in every way if there are few, in some ways if there are many.
fn check_power_cuts(world: &World, required: usize, seed: u64) -> Result<(), Violation> {
    if world.disk.pending() > EXHAUSTIVE_MAX {
        let mut chooser = Seeded::new(seed);
        return world.branch(world.disk.power_cut(&mut chooser)).start(required);
    }
    let mut choices = Exhaustive::default();
    loop {
        world.branch(world.disk.power_cut(&mut choices)).start(required)?;
        if !choices.advance() {
            return Ok(());
        }
    }
}

#[test]
fn a_kill_then_a_stopped_recovery_then_a_power_cut_lose_nothing() {
    for (mode, steps) in [(WriteMode::Map, "asrabx"), (WriteMode::Pwrite, "asratnw")] {
        let checked = check_kill_and_stop(Setup::new(mode), steps);
        checked.unwrap_or_else(|violation| panic!("{mode:?} {violation}"));
    }
}
