//! Commits that a crash cut short: they never were.

use std::fs;
use std::path::PathBuf;

use steadfast::prelude::*;

use super::Sight;
use crate::support::{Disk, fire, say};

#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Order {
    id: u64,
}

#[rule]
fn seen(o: &Order) {
    say(format!("seen {}", o.id));
}

ruleset!(sights = 1: seen);

/// The one segment of a small journal.
fn segment(disk: &Disk) -> PathBuf {
    let files = fs::read_dir(disk.path()).unwrap().map(|entry| entry.unwrap().path());
    let mut segments = files.filter(|file| file.extension().is_some_and(|is| is == "jnl"));
    let segment = segments.next().expect("a journal has a segment");
    assert!(segments.next().is_none(), "the test is about one segment");
    segment
}

/// Which bytes of a frame a crash left.
type Left = fn(usize, usize) -> bool;

/// What a crash leaves that comes while the last commit is written: of that commit's frame only some
/// bytes, and no claim anywhere that it had been durable.
fn torn(before: &Disk, after: &Disk, left: Left) -> (Disk, usize) {
    let (old, new) = (fs::read(segment(before)).unwrap(), fs::read(segment(after)).unwrap());
    let differs = |at: &usize| old[*at] != new[*at];
    let (begin, end) =
        ((0..new.len()).find(differs).unwrap(), (0..new.len()).rfind(differs).unwrap() + 1);
    let torn = before.crash();
    let mut bytes = old.clone();
    let kept = (begin..end).filter(|at| left(at - begin, end - begin));
    let kept = kept.inspect(|&at| bytes[at] = new[at]).filter(differs).count();
    fs::write(segment(&torn), bytes).unwrap();
    (torn, kept)
}

const HEADER: usize = 32;

#[test]
fn a_commit_that_a_crash_cut_short_is_gone_and_stays_gone() {
    let cases: [(&str, Left); 5] = [
        ("nothing of it", |_, _| false),
        ("half of its header", |at, _| at < HEADER / 2),
        ("its header alone", |at, _| at < HEADER),
        ("all but its last byte", |at, end| at < end - 1),
        ("all but its header, which is written last", |at, _| at >= HEADER),
    ];
    for (case, left) in cases {
        let disk = Disk::new();
        let mut session = disk.open(sights());
        session.insert(Order { id: 1 }).unwrap();
        assert_eq!(fire(&mut session), ["seen 1"]);
        let before = disk.crash();
        let sight = Sight::of(&session);
        session.insert(Order { id: 2 }).unwrap();
        let (torn, kept) = torn(&before, &disk.crash(), left);

        let mut session = torn.open(sights());
        assert_eq!(Sight::of(&session), sight, "{case}");
        let recovery = session.recovery().unwrap();
        assert_eq!(recovery.cut, kept > 0, "{case}: {recovery:?}");
        assert_eq!(recovery.quarantined_bytes > 0, kept > 0, "{case}: {recovery:?}");

        // Its numbers are given to what comes next, and it does not come back behind that.
        assert!(fire(&mut session).is_empty(), "{case}");
        session.insert(Order { id: 3 }).unwrap();
        let sight = Sight::of(&session);
        let mut session = torn.crash().open(sights());
        assert_eq!(Sight::of(&session), sight, "{case}");
        assert_eq!(fire(&mut session), ["seen 3"], "{case}");
        let ids: Vec<u64> =
            session.query::<Order>().unwrap().iter().map(|order| order.id).collect();
        assert_eq!(ids, [1, 3], "{case}");
    }
}

#[test]
fn a_journal_that_rolls_through_many_segments_is_one_history() {
    let disk = Disk::new();
    let mut session = disk.open(sights());
    for id in 0..400 {
        session
            .transact(|stage| {
                for id in 0..100 {
                    let passing = stage.insert(Order { id: 1000 + id })?;
                    stage.delete(passing)?;
                }
                stage.insert(Order { id })?;
                Ok(())
            })
            .unwrap();
    }
    let files = fs::read_dir(disk.path()).unwrap().map(|entry| entry.unwrap().path());
    let segments = files.filter(|file| file.extension().is_some_and(|is| is == "jnl")).count();
    assert!(segments > 2, "{segments} segments");
    let mut recovered = disk.crash().open(sights());
    assert_eq!(Sight::of(&recovered), Sight::of(&session));
    assert_eq!(fire(&mut recovered), fire(&mut session));
}
