//! Errors of the storage at every call, failed and lost syncs, full disks.

use std::path::Path;
use std::sync::{Arc, Barrier};

use steadfast_journal::testing::{Fault, Fixed, Planted, Seeded, SimDisk};
use steadfast_journal::{
    AppendError, CorruptReason, End, Journal, Level, OpenError, TruncateError, WaitError, WriteMode,
};

use crate::common::{append, batch, payloads, read_all};
use crate::world::{Crash, DIR, Setup, World, limited};

const STEPS: &str = "asbapnwrasBstaspxas";

fn setups() -> [Setup; 2] {
    [WriteMode::Map, WriteMode::Pwrite].map(Setup::new)
}

/// Runs the steps with one failing call; `false` if the run ended before that call.
fn run_with_fault(setup: Setup, disk: SimDisk, number: u64, fault: Fault) -> bool {
    disk.fail_call(number, fault);
    let mut world = World::new(disk, setup);
    // A journal that was never opened has nothing to lose.
    let opened = world.start(0).is_ok();
    if opened {
        // The steps of a history may reopen the journal, which the fault may prevent.
        let reopened = world.run(STEPS, &mut Fixed::Everything);
        drop(reopened);
    }
    let reached = world.disk.calls() > number;
    world.disk.heal();
    let mut chooser = Seeded::new(number);
    for cut in 0..4 {
        // What a failed sync leaves looks like a power loss without one: the option says so.
        let mut setup = setup;
        setup.after_power_loss = true;
        let mut after = world.branch(world.disk.fork());
        after.setup = setup;
        after.count_only_durable();
        let result = match cut {
            0 => after.crash(&mut Crash::Kill),
            1 => after.crash(&mut Crash::PowerCut(&mut Fixed::Nothing)),
            _ => after.crash(&mut Crash::PowerCut(&mut chooser)),
        };
        if let Err(violation) = result {
            panic!("{:?}, {fault:?} at call {number}, ending {cut}: {violation}", setup.mode);
        }
    }
    reached
}

#[test]
fn an_error_at_any_call_loses_nothing_that_was_acknowledged() {
    for setup in setups() {
        let mut number = 0;
        while run_with_fault(setup, SimDisk::new(number), number, Fault::Io) {
            number += 1;
        }
        assert!(number > 300, "{number}");
    }
}

#[test]
fn a_full_disk_at_any_call_loses_nothing_that_was_acknowledged() {
    for setup in setups() {
        for (number, disk) in limited(0..) {
            if !run_with_fault(setup, disk, number, Fault::Full) {
                break;
            }
        }
    }
}

#[test]
fn a_disk_that_breaks_at_any_call_loses_nothing_that_was_acknowledged() {
    for setup in setups() {
        let mut number = 0;
        loop {
            let disk = SimDisk::new(number);
            disk.break_at(number);
            let mut world = World::new(disk, setup);
            if world.start(0).is_ok() {
                drop(world.run(STEPS, &mut Fixed::Everything));
            }
            let reached = world.disk.calls() > number;
            world.disk.heal();
            world.setup.after_power_loss = true;
            let checked = world.crash(&mut Crash::PowerCut(&mut Seeded::new(number)));
            checked.unwrap_or_else(|violation| panic!("broken from call {number}: {violation}"));
            if !reached {
                break;
            }
            number += 1;
        }
    }
}

/// INV-27: those who wait, and those who come later.
#[test]
fn a_failed_sync_poisons_everybody_with_the_same_error() {
    for setup in setups() {
        let disk = SimDisk::new(1);
        let journal = Arc::new(setup.open(&disk).expect("a new journal"));
        append(&journal, b"kept");
        journal.wait_durable(journal.positions().appended).expect("durable");
        let threads = 8;
        let appended: Vec<_> = (0..threads).map(|n| append(&journal, &[n])).collect();
        // With `Pwrite`, a write comes first and takes the fault as well.
        disk.fail_call(0, Fault::Io);
        let barrier = Barrier::new(usize::from(threads));
        let errors: Vec<String> = std::thread::scope(|scope| {
            let wait = |position| {
                let (journal, barrier) = (&journal, &barrier);
                scope.spawn(move || {
                    barrier.wait();
                    match journal.wait_durable(position) {
                        Err(WaitError::Poisoned(poison)) => format!("{}", poison.cause()),
                        other => panic!("nothing is acknowledged after a failure: {other:?}"),
                    }
                })
            };
            let waiters: Vec<_> = appended.iter().map(|place| wait(place.position)).collect();
            waiters.into_iter().map(|waiter| waiter.join().expect("no panic")).collect()
        });
        assert!(errors.iter().all(|error| *error == errors[0]), "{errors:?}");
        // No retry: the next sync would succeed, and is not tried.
        let calls = disk.calls();
        let refused = journal.append(&batch([&b"more"[..]]), End::SafePoint);
        assert!(matches!(refused, Err(AppendError::Poisoned(_))), "{refused:?}");
        let refused = journal.wait_durable(appended[0].position);
        assert!(matches!(refused, Err(WaitError::Poisoned(_))), "{refused:?}");
        let refused = journal.truncate(appended[0].position);
        assert!(matches!(refused, Err(TruncateError::Poisoned(_))), "{refused:?}");
        assert_eq!(disk.calls(), calls, "a journal that failed does no I/O");
        drop(journal);
        let mut again = setup;
        again.after_power_loss = true;
        let journal = again.open(&disk).expect("what is on the disk is sound");
        assert_eq!(read_all(&journal)[0].records, [b"kept"]);
    }
}

/// After a failed sync, the page cache still shows a group that the disk does not have, and the next
/// sync of the file succeeds without writing it. Counts how often a journal that was opened on such
/// a disk loses groups by a power cut.
fn beliefs_in_clean_pages(setup: Setup) -> usize {
    let mut lost = 0;
    for seed in 0..40 {
        let disk = SimDisk::new(seed);
        let journal = setup.open(&disk).expect("a new journal");
        append(&journal, &[1; 3000]);
        disk.fail_call(0, Fault::Io);
        journal.wait_durable(journal.positions().appended).expect_err("the sync fails");
        drop(journal);
        let mut again = setup;
        again.after_power_loss = true;
        let journal = again.open(&disk).expect("sound");
        let before = payloads(&read_all(&journal));
        let disk = disk.power_cut(&mut Fixed::Nothing);
        drop(journal);
        let after = again.open(&disk).map(|journal| payloads(&read_all(&journal)));
        lost += usize::from(after.ok() != Some(before));
    }
    lost
}

#[test]
fn pages_that_a_failed_sync_marked_clean_are_not_believed() {
    let mut setup = Setup::new(WriteMode::Map);
    assert_eq!(beliefs_in_clean_pages(setup), 0);
    setup.planted = Some(Planted::TrustOpenRead);
    assert!(beliefs_in_clean_pages(setup) > 0, "the check finds the planted bug");
}

#[test]
fn a_lost_sync_is_found_at_the_next_open_and_named() {
    let setup = Setup::new(WriteMode::Map);
    let disk = SimDisk::new(1);
    let journal = setup.open(&disk).expect("a new journal");
    append(&journal, &[1; 600]);
    disk.fail_call(0, Fault::LostSync);
    journal.wait_durable(journal.positions().appended).expect("the disk lies");
    // The next group tells that the first one was durable.
    append(&journal, &[2; 600]);
    journal.wait_durable(journal.positions().appended).expect("durable");
    // The truth comes out only if the first group's sectors did not make it by themselves.
    let segment = disk.names(DIR).into_iter().find(|name| name.starts_with("seg-"));
    let segment = Path::new(DIR).join(segment.expect("a segment"));
    disk.damage(&segment, |content| content[4096..4608].fill(0));
    let disk = disk.power_cut(&mut Fixed::Nothing);
    match setup.open(&disk) {
        Err(OpenError::Corrupt(corrupt)) => {
            assert_eq!((corrupt.offset, corrupt.reason), (4096, CorruptReason::FrameHeader));
            assert!(corrupt.durable_position.get() > 0);
        }
        other => panic!("expected a refusal, found {other:?}"),
    }
    // Lost at the very end, an idle slot tells.
    let disk = SimDisk::new(2);
    let journal = setup.open(&disk).expect("a new journal");
    append(&journal, b"lost");
    disk.fail_call(0, Fault::LostSync);
    journal.run_idle();
    let disk = disk.power_cut(&mut Fixed::Nothing);
    let refused = setup.open(&disk);
    assert!(matches!(refused, Err(OpenError::Corrupt(_))), "{refused:?}");
}

/// INV-32: the journal is as it was, and takes the same group later.
#[test]
fn a_full_disk_refuses_whole_groups_and_goes_on_when_there_is_room() {
    for setup in setups() {
        for (free, disk) in limited((0..300).map(|kib| kib * 1024)) {
            let journal = setup.open(&disk).expect("a new journal");
            append(&journal, b"first");
            disk.limit_free_bytes(free);
            let mut expected = vec![b"first".to_vec()];
            let mut refused = 0;
            for number in 0..30_u8 {
                let payload = vec![number; 9000];
                match journal.append(&batch([&payload[..]]), End::SafePoint) {
                    Ok(appended) => {
                        journal.wait_durable(appended.position).expect("durable");
                        expected.push(payload);
                    }
                    Err(AppendError::Full { needed }) => {
                        assert_eq!(needed, 64 << 10);
                        refused += 1;
                    }
                    Err(error) => panic!("{free} bytes free: {error:?}"),
                }
            }
            assert!(refused > 0, "{free}");
            assert_eq!(payloads(&read_all(&journal)), expected);
            // Small groups still find room at the end of what exists.
            if let Ok(appended) = journal.append(&batch([&b"small"[..]]), End::SafePoint) {
                journal.wait_durable(appended.position).expect("durable");
                expected.push(b"small".to_vec());
            }
            disk.heal();
            append(&journal, &[77; 9000]);
            append(&journal, &[78; 9000]);
            expected.extend([vec![77; 9000], vec![78; 9000]]);
            journal.wait_durable(journal.positions().appended).expect("durable");
            let disk = disk.power_cut(&mut Fixed::Nothing);
            drop(journal);
            let journal = setup.open(&disk).expect("sound");
            assert_eq!(payloads(&read_all(&journal)), expected);
        }
    }
}

#[test]
fn the_reserve_lets_an_open_root_reach_its_safe_point() {
    for (mode, disk) in limited(0..2) {
        let setup = setups()[usize::from(mode == 1)];
        let journal = setup.open(&disk).expect("a new journal");
        // The filler makes the next segment and the reserve when the first is a quarter full.
        let mut expected = Vec::new();
        for number in 0..3_u8 {
            append(&journal, &[number; 9000]);
            expected.push(vec![number; 9000]);
        }
        disk.limit_free_bytes(0);
        let mut number = 3;
        loop {
            let payload = vec![number; 9000];
            match journal.append(&batch([&payload[..]]), End::Batch) {
                Ok(_) => expected.push(payload),
                Err(AppendError::Full { .. }) => break,
                Err(error) => panic!("{error:?}"),
            }
            number += 1;
        }
        append(&journal, &[99; 9000]);
        expected.push(vec![99; 9000]);
        let refused = journal.append(&batch([&vec![98; 60_000][..]]), End::SafePoint);
        assert!(matches!(refused, Err(AppendError::Full { .. })), "{refused:?}");
        journal.wait_durable(journal.positions().appended).expect("durable");
        let disk = disk.power_cut(&mut Fixed::Nothing);
        drop(journal);
        disk.heal();
        let journal = setup.open(&disk).expect("sound");
        assert_eq!(payloads(&read_all(&journal)), expected);
    }
}

#[test]
fn a_group_over_many_segments_is_refused_whole() {
    let setup = Setup::new(WriteMode::Map);
    let records: Vec<Vec<u8>> = (1..5).map(|n| vec![n; 50_000]).collect();
    let large = batch(records.iter().map(Vec::as_slice));
    for (free, disk) in limited((0..400).step_by(16).map(|kib| kib * 1024)) {
        let journal = setup.open(&disk).expect("a new journal");
        let before = append(&journal, b"before");
        disk.limit_free_bytes(free);
        match journal.append(&large, End::SafePoint) {
            Ok(_) => assert_eq!(read_all(&journal).len(), 2),
            Err(AppendError::Full { .. }) => {
                assert_eq!(journal.positions().appended, before.position);
                disk.heal();
                journal.append(&large, End::SafePoint).expect("room again");
            }
            Err(error) => panic!("{error:?}"),
        }
        journal.close().expect("closes");
        let groups = read_all(&setup.open(&disk).expect("sound"));
        assert_eq!((groups.len(), groups[1].records.len()), (2, 4));
    }
}

#[test]
fn truncation_on_a_full_disk_changes_nothing() {
    let setup = Setup::new(WriteMode::Map);
    for (_, disk) in limited(1..2) {
        let journal = setup.open(&disk).expect("a new journal");
        let first = append(&journal, b"first");
        append(&journal, b"second");
        disk.limit_free_bytes(0);
        let refused = journal.truncate(first.position);
        assert!(matches!(refused, Err(TruncateError::Full { .. })), "{refused:?}");
        assert_eq!(payloads(&read_all(&journal)), [&b"first"[..], b"second"]);
        disk.heal();
        journal.truncate(first.position).expect("room again");
        assert_eq!(payloads(&read_all(&journal)), [b"first"]);
    }
}

#[test]
fn a_medium_error_while_opening_always_refuses() {
    let setup = Setup::new(WriteMode::Map);
    let disk = SimDisk::new(1);
    let journal = setup.open(&disk).expect("a new journal");
    append(&journal, b"kept");
    journal.commit(&batch([&b"kept"[..]]), Level::Batch).expect("room");
    journal.close().expect("closes");
    let calls = {
        let disk = disk.fork();
        let before = disk.calls();
        drop(Journal::inspect(DIR, setup.options(&disk)).expect("sound"));
        disk.calls() - before
    };
    let mut refusals = 0;
    for number in 0..calls {
        let disk = disk.fork();
        disk.fail_call(number, Fault::Io);
        match Journal::inspect(DIR, setup.options(&disk)) {
            // Not knowing the start of the system is no reason not to look.
            Ok(inspection) => {
                assert_eq!(inspection.safe_point().map(|safe| safe.lsn.get()), Some(2));
            }
            Err(OpenError::Io(_)) => refusals += 1,
            Err(error) => panic!("call {number}: {error:?}"),
        }
    }
    assert_eq!(refusals, calls - 1);
}
