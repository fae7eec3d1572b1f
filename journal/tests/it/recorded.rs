//! Real file systems on a device that records, loses and fails: testing list 21.
//!
//! What a power cut can leave of a device is everything before its last flush, and any part of what
//! was written since. A run is recorded once; then the device is made as it may have been at any moment
//! of it, the file system on it is mounted, and the journal is opened.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};

use steadfast_journal::testing::{Chooser, Fixed, Planted, Seeded};
use steadfast_journal::{End, Journal, Level, OpenError, Options, WriteMode};
use tempfile::TempDir;

use crate::common::batch;
use crate::mounted::{KINDS, Kind, Mounted, copy_image, skipped};
use crate::real_disks::{Pace, ids, normalize};
use crate::recorder::{Answer, Event, Recorder};

/// What a device writes whole. Of smaller pieces, ext4 does not survive that its superblock is torn;
/// that the journal survives torn sectors is tested on the simulated disk.
const PIECE: u64 = 4096;

/// File systems and ways of writing that go together.
fn setups() -> impl Iterator<Item = (Kind, WriteMode)> {
    let modes = [WriteMode::Map, WriteMode::Pwrite];
    let all = KINDS.into_iter().flat_map(move |kind| modes.map(|mode| (kind, mode)));
    // Where blocks are not overwritten in place, nothing is stored through maps.
    all.filter(|(kind, mode)| *mode == WriteMode::Pwrite || kind.name != "btrfs")
}

fn soak() -> bool {
    std::env::var_os("STEADFAST_SOAK").is_some()
}

/// A directory in memory where there is one: nothing here asks whether the images last.
fn in_memory() -> TempDir {
    let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
    dir.expect("a temporary directory")
}

/// A file system on a device that records.
struct Disk {
    kind: Kind,
    images: TempDir,
    // Unmounted before the device goes.
    mounted: Option<Mounted>,
    recorder: Recorder,
}

impl Disk {
    fn made(kind: Kind) -> Option<Self> {
        let images = in_memory();
        let image = images.path().join("image");
        if !kind.make(&image) {
            return None;
        }
        copy_image(&image, &images.path().join("base"));
        let recorder = Recorder::of(&image)?;
        let mounted = Mounted::image(kind, &recorder.device())?;
        Some(Self { kind, images, mounted: Some(mounted), recorder })
    }

    fn image(&self, name: &str) -> PathBuf {
        self.images.path().join(name)
    }

    fn journal(&self) -> PathBuf {
        self.mounted.as_ref().expect("mounted").path("journal")
    }

    /// Unmounts and mounts it again: what the cache held, and errors that somebody remembers, are gone.
    fn remount(&mut self) {
        self.mounted = None;
        self.mounted = Mounted::image(self.kind, &self.recorder.device());
        assert!(self.mounted.is_some(), "{}: as before", self.kind.name);
    }

    fn unmount(&mut self) {
        self.mounted = None;
    }
}

/// What a journal holds at least and at most.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    /// How far the record went.
    at: u64,
    acknowledged: u64,
    appended: u64,
}

/// A run and everything that the device did meanwhile.
struct Recording {
    kind: Kind,
    mode: WriteMode,
    pace: Pace,
    images: TempDir,
    events: Vec<(u64, Event)>,
    /// In order. Of each the time is that before an append, or behind an acknowledgement.
    bounds: Vec<Bounds>,
}

fn options(pace: Pace, mode: WriteMode) -> Options {
    pace.options().write_mode(mode).after_power_loss(true)
}

impl Recording {
    /// Appends, rolls, normalizes, closes and opens.
    fn of(kind: Kind, mode: WriteMode, pace: Pace, planted: Option<Planted>) -> Option<Self> {
        let mut disk = Disk::made(kind)?;
        let mut bounds = vec![Bounds { at: 0, acknowledged: 0, appended: 0 }];
        let (mut id, mut acknowledged) = (0, 0);
        for round in 0..4 {
            let options = planted.into_iter().fold(options(pace, mode), Options::planted);
            let journal = Journal::open(disk.journal(), options).expect("sound").0;
            for number in 0..12 {
                id += 1;
                bounds.push(Bounds { at: disk.recorder.now(), acknowledged, appended: id });
                let bytes = pace.payload(id);
                let record = batch([&bytes[..]]);
                if pace.commits(number) {
                    journal.commit(&record, Level::Batch).expect("acknowledged");
                    acknowledged = id;
                    bounds.push(Bounds { at: disk.recorder.now(), acknowledged, appended: id });
                } else {
                    journal.append(&record, End::SafePoint).expect("room");
                }
                if number == 7 {
                    match round % 2 {
                        0 => journal.roll().expect("room"),
                        _ => normalize(&journal),
                    }
                }
            }
            // One is closed, the next is dropped.
            if round % 2 == 0 {
                journal.close().expect("closes");
                acknowledged = id;
                bounds.push(Bounds { at: disk.recorder.now(), acknowledged, appended: id });
            }
        }
        disk.unmount();
        let events = disk.recorder.events();
        let Disk { images, recorder, .. } = disk;
        drop(recorder);
        Some(Self { kind, mode, pace, images, events, bounds })
    }

    /// What is there after so many events.
    fn bounds_at(&self, count: usize) -> Bounds {
        let at = count.checked_sub(1).map_or(0, |last| self.events[last].0);
        // What is appended behind the last event can be in none of them.
        let appended = self.bounds.iter().rev().find(|bounds| bounds.at < at);
        let acknowledged = self.bounds.iter().rev().find(|bounds| bounds.at <= at);
        Bounds {
            at,
            acknowledged: acknowledged.map_or(0, |bounds| bounds.acknowledged),
            appended: appended.map_or(0, |bounds| bounds.appended),
        }
    }

    /// How many events lie before the last flush of the first `count`, with it.
    fn durable(&self, count: usize) -> usize {
        let flush = self.events[..count].iter().rposition(|(_, event)| *event == Event::Flush);
        flush.map_or(0, |flush| flush + 1)
    }

    /// Writes pieces of some events to an image.
    fn apply(&self, image: &File, events: std::ops::Range<usize>, chooser: &mut dyn Chooser) {
        for (_, event) in &self.events[events] {
            let Event::Write { offset, bytes } = event else { continue };
            let (mut at, mut rest) = (*offset, &bytes[..]);
            while !rest.is_empty() {
                let to_next = usize::try_from(PIECE - at % PIECE).expect("short");
                let (piece, behind) = rest.split_at(to_next.min(rest.len()));
                if chooser.choose(2) == 1 {
                    image.write_all_at(piece, at).expect("room");
                }
                (at, rest) = (at + piece.len() as u64, behind);
            }
        }
    }

    /// Cuts the power after `count` events, of which those in `durable` are in the image `base`.
    fn cut(&self, base: &Path, durable: usize, count: usize, chooser: &mut dyn Chooser) -> u64 {
        let image = self.images.path().join("cut");
        copy_image(base, &image);
        self.apply(
            &File::options().write(true).open(&image).expect("there"),
            durable..count,
            chooser,
        );
        let name = format!("{}, {:?}, after {count} events", self.kind.name, self.mode);
        let disk = Mounted::image(self.kind, &image);
        let disk = disk.unwrap_or_else(|| panic!("{name}: the file system is broken"));
        let opened = Journal::open(disk.path("journal"), options(self.pace, self.mode));
        let (journal, _) = opened.unwrap_or_else(|error| panic!("{name}: {error:?}"));
        let found = ids(&journal, self.pace);
        assert!(found.iter().copied().eq(1..=found.len() as u64), "{name}: {found:?}");
        let (count, bounds) = (found.len() as u64, self.bounds_at(count));
        assert!(
            (bounds.acknowledged..=bounds.appended).contains(&count),
            "{name}: {count} are there, {bounds:?}"
        );
        let next = self.pace.payload(count + 1);
        journal.commit(&batch([&next[..]]), Level::Batch).expect("it goes on");
        count
    }

    /// Cuts the power at moments that the seed chooses, or at so many that nearly all are among them; how
    /// often.
    fn cut_at_many(&self, moments: usize) -> usize {
        let base = self.images.path().join("base");
        let durable_image = File::options().write(true).open(&base).expect("there");
        let mut applied = 0;
        let mut random = Seeded::new(self.events.len() as u64);
        let every = (self.events.len() / moments).max(1);
        let mut most = 0;
        let last = self.events.len() / every;
        for moment in 0..=last {
            let count = (moment * every + random.choose(every)).min(self.events.len());
            let durable = self.durable(count);
            self.apply(&durable_image, applied..durable, &mut Fixed::Everything);
            applied = durable;
            let found = match moment % 4 {
                0 => self.cut(&base, durable, count, &mut Fixed::Nothing),
                1 => self.cut(&base, durable, count, &mut Fixed::Everything),
                _ => self.cut(&base, durable, count, &mut random),
            };
            most = most.max(found);
        }
        assert!(most > 10, "something was there: {most}");
        last + 1
    }
}

/// Says how much of a sweep is done.
#[expect(clippy::print_stdout, reason = "a sweep takes long, and says how far it went")]
fn done(what: &str) {
    if soak() {
        println!("{what}");
    }
}

#[test]
fn a_power_cut_between_any_two_writes_of_a_device_leaves_what_was_acknowledged() {
    for (kind, mode) in setups() {
        for pace in [Pace::Steps, Pace::Stream] {
            match Recording::of(kind, mode, pace, None) {
                Some(recording) => {
                    let cuts = recording.cut_at_many(if soak() { 400 } else { 6 });
                    let events = recording.events.len();
                    done(&format!(
                        "{}, {mode:?}, {pace:?}: {cuts} cuts in {events} events",
                        kind.name
                    ));
                }
                None => skipped(&format!("{} on a device that records", kind.name)),
            }
        }
    }
}

/// The check finds what is planted for it.
#[test]
fn skipped_syncs_are_found_on_a_device_that_records() {
    for planted in [Planted::SkipSync, Planted::SkipDirSync] {
        let [ext4, ..] = KINDS;
        let Some(recording) = Recording::of(ext4, WriteMode::Map, Pace::Steps, Some(planted))
        else {
            return skipped("ext4 on a device that records");
        };
        let checked = std::panic::catch_unwind(AssertUnwindSafe(|| recording.cut_at_many(100)));
        assert!(checked.is_err(), "{planted:?}");
    }
}

/// Commits until that fails, but no more than `most`; how many records there are then.
fn commit_until_it_fails(journal: &Journal, from: u64, most: u64) -> u64 {
    for id in from + 1..=from + most {
        let bytes = Pace::Steps.payload(id);
        if journal.commit(&batch([&bytes[..]]), Level::Batch).is_err() {
            return id - 1;
        }
    }
    from + most
}

/// The numbers of what is there, which has no gap.
fn count(journal: &Journal) -> u64 {
    let found = ids(journal, Pace::Steps);
    assert!(found.iter().copied().eq(1..=found.len() as u64), "{found:?}");
    found.len() as u64
}

/// The device fails writes and flushes for a while; afterwards everything acknowledged is there.
fn fails_for_a_while(kind: Kind, mode: WriteMode, rounds: u64) -> bool {
    let Some(mut disk) = Disk::made(kind) else { return false };
    let mut acknowledged = 0;
    for round in 0..rounds {
        let opened = Journal::open(disk.journal(), options(Pace::Steps, mode));
        let journal = opened.unwrap_or_else(|error| panic!("{}: {error:?}", kind.name)).0;
        let found = count(&journal);
        assert!(found >= acknowledged, "{}: {found} of {acknowledged}", kind.name);
        acknowledged = commit_until_it_fails(&journal, found, 5 + round % 9);
        assert_eq!(acknowledged, found + 5 + round % 9, "it works");
        disk.recorder.answer(Answer::FailsWrites);
        let failed_at = commit_until_it_fails(&journal, acknowledged, 50);
        assert_eq!(failed_at, acknowledged, "{}: nothing is made durable", kind.name);
        // A device that works again changes nothing about what may have been lost.
        disk.recorder.answer(Answer::Works);
        let later = commit_until_it_fails(&journal, acknowledged, 1);
        assert_eq!(later, acknowledged, "{}: it stopped for good", kind.name);
        drop(journal);
        disk.remount();
    }
    true
}

#[test]
fn a_device_that_fails_for_a_while_loses_nothing_that_was_acknowledged() {
    for (kind, mode) in setups() {
        if !fails_for_a_while(kind, mode, if soak() { 100 } else { 5 }) {
            skipped(&format!("{} on a device that fails", kind.name));
        }
    }
}

/// Nothing of a device can be read: the journal says so, and is there when it can be read again.
#[test]
fn a_device_that_cannot_be_read_refuses_and_loses_nothing() {
    for (kind, mode) in setups() {
        let Some(mut disk) = Disk::made(kind) else {
            skipped(&format!("{} on a device that fails", kind.name));
            continue;
        };
        let journal = Journal::open(disk.journal(), options(Pace::Steps, mode)).expect("new").0;
        assert_eq!(commit_until_it_fails(&journal, 0, 40), 40);
        journal.close().expect("closes");
        disk.remount();
        disk.recorder.answer(Answer::Fails);
        let refused = Journal::open(disk.journal(), options(Pace::Steps, mode));
        assert!(matches!(refused, Err(OpenError::Io(_))), "{}: {refused:?}", kind.name);
        disk.recorder.answer(Answer::Works);
        disk.remount();
        let journal = Journal::open(disk.journal(), options(Pace::Steps, mode)).expect("sound").0;
        assert_eq!(count(&journal), 40, "{}", kind.name);
    }
}

/// The device says that it has written what it has not, and then the power goes.
fn lies_until_the_power_goes(kind: Kind, mode: WriteMode, honest: u64) -> bool {
    let Some(mut disk) = Disk::made(kind) else { return false };
    let journal = Journal::open(disk.journal(), options(Pace::Steps, mode)).expect("new").0;
    assert_eq!(commit_until_it_fails(&journal, 0, honest), honest);
    disk.recorder.answer(Answer::Lies);
    assert_eq!(commit_until_it_fails(&journal, honest, 30), honest + 30, "nobody can know");
    drop(journal);
    let cut = disk.image("cut");
    copy_image(&disk.image("image"), &cut);
    disk.unmount();
    let mounted = Mounted::image(kind, &cut).expect("as after any power cut");
    let opened = Journal::open(mounted.path("journal"), options(Pace::Steps, mode));
    let journal = opened.unwrap_or_else(|error| panic!("{}: {error:?}", kind.name)).0;
    // What it said before it began to lie is true.
    let found = count(&journal);
    assert!((honest..honest + 30).contains(&found), "{}: {found} of {honest}", kind.name);
    assert_eq!(commit_until_it_fails(&journal, found, 3), found + 3);
    true
}

#[test]
fn a_device_that_lies_until_the_power_goes_loses_what_it_lied_about() {
    for (kind, mode) in setups() {
        for honest in if soak() { 1..40 } else { 17..18 } {
            if !lies_until_the_power_goes(kind, mode, honest) {
                skipped(&format!("{} on a device that lies", kind.name));
                break;
            }
        }
    }
}
