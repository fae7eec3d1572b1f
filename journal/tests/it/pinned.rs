//! Readers that pin their place in the very moment in which a normalization switches.

use std::sync::{Arc, mpsc};
use std::time::Duration;

use steadfast_journal::storage::{FileStorage, Storage as _};
use steadfast_journal::{
    End, From, Journal, Kept, Level, NormalizeError, Normalized, Options, ReadError, Tail,
};

use crate::common::{batch, open, small};
use crate::hooked::{Hooked, Moment};
use crate::keyed::{Keyed, Values, fold};

fn options(storage: &Hooked) -> Options {
    small().storage(Arc::new(storage.clone())).without_background()
}

fn files() -> Hooked {
    Hooked::new(Arc::new(FileStorage::new()))
}

/// Several segments of values that replace each other.
fn fill(journal: &Journal) {
    for round in 0..=u8::MAX {
        for key in 0..8 {
            let value = [&[key], [round].repeat(100).as_slice()].concat();
            journal.append(&batch([value.as_slice()]), End::SafePoint).expect("room");
        }
    }
    journal.roll().expect("room");
    journal.wait(journal.positions().appended, Level::Paranoid).expect("durable");
}

fn normalize(journal: &Journal) -> Result<Normalized, NormalizeError> {
    let maintenance = journal.maintenance();
    let segments = maintenance.segments()?;
    let range = segments[0].begin..segments[segments.len() - 1].begin;
    maintenance.normalize(range, &mut Keyed::default(), None)
}

/// What a tail makes of everything that is there.
fn read(tail: &mut Tail, values: &mut Values) -> Result<(), ReadError> {
    while let Some(group) = tail.next_group(Duration::ZERO)? {
        fold(values, &group);
    }
    Ok(())
}

/// INV-39: a tail that pins its place after the writer looked at the pins, and before it switches, would begin
/// in segments that go away beneath it.
#[test]
fn a_tail_that_is_opened_while_a_normalization_switches_misses_nothing() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().to_path_buf();
    let storage = files();
    let journal = open(dir.path(), options(&storage));
    fill(&journal);
    let mut expected = Values::new();
    read(&mut journal.tail(From::Start).expect("readable"), &mut expected).expect("sound");
    let (go_on, switched) = mpsc::channel();
    let (sender, reader) = mpsc::channel();
    storage.arm(Moment::BeforeSwitch, move || {
        let (has, at_it) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            let waiting = files();
            let waits = has.clone();
            waiting.arm(Moment::SwitchHeld, move || waits.send(()).expect("the writer waits"));
            let mut tail = Tail::open(&path, From::Start, options(&waiting)).expect("readable");
            let mut values = Values::new();
            let first = tail.next_group(Duration::ZERO).expect("sound").expect("one is durable");
            fold(&mut values, &first);
            // Too late, if the writer has heard that this one waits.
            let _heard = has.send(());
            switched.recv().expect("the switch goes on");
            read(&mut tail, &mut values).map(|()| values)
        });
        // It waits for the switch, or has read already.
        at_it.recv().expect("it runs");
        drop(sender.send(thread));
    });
    normalize(&journal).expect("nobody has pinned anything");
    go_on.send(()).expect("it waits");
    let values = reader.recv().expect("it was started").join().expect("no panic");
    assert_eq!(values.expect("its place is there"), expected);
}

/// A reader that makes sure of its pin right now counts as one that has pinned everything.
#[test]
fn nothing_is_switched_while_a_reader_makes_sure_of_its_pin() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let journal = open(dir.path(), options(&files()));
    fill(&journal);
    std::fs::create_dir(dir.path().join("pins")).expect("writable");
    let lock = dir.path().join("pins").join("switch.lock");
    let held = FileStorage::new().lock(&lock, "pid 1 at it").expect("free");
    match normalize(&journal) {
        Err(NormalizeError::Kept(Kept::Pin { position, holder })) => {
            assert_eq!((position.get(), holder.as_deref()), (0, Some("pid 1 at it")));
        }
        other => panic!("{other:?}"),
    }
    drop(held);
    let done = normalize(&journal).expect("nobody is at it");
    assert!(done.bytes_after < done.bytes_before, "{done:?}");
}
