//! Real file systems on loop devices: the power goes, processes are killed, the disk is full.
//!
//! The file behind a loop device holds what the file system has handed to its device, and nothing of
//! its page cache. So a copy of the file is what a power cut would leave, of the real file system,
//! its own journal and its allocation included.

use std::path::Path;

use steadfast_journal::{End, From, Journal, Level, Options, WriteMode};

use crate::common::batch;
use crate::keyed::Verbatim;
use crate::mounted::{KINDS, Kind, Mounted, copy_image, skipped};
use crate::process;

/// What is appended, and how much of it each sync covers.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Pace {
    /// Small groups, most of them acknowledged one by one.
    Steps,
    /// Large ones, acknowledged by tens: segments are allocated, and not written ahead.
    Stream,
}

impl Pace {
    pub(crate) fn options(self) -> Options {
        Options::new().segment_bytes(match self {
            Self::Steps => 64 << 10,
            Self::Stream => 1 << 20,
        })
    }

    pub(crate) fn payload(self, id: u64) -> Vec<u8> {
        let more = match self {
            Self::Steps => id * 211 % 3000,
            Self::Stream => id * 7919 % 120_000,
        };
        let len = usize::try_from(8 + more).expect("short");
        id.to_le_bytes().into_iter().chain([7]).cycle().take(len).collect()
    }

    /// Whether the group of this number is acknowledged.
    pub(crate) fn commits(self, number: u64) -> bool {
        match self {
            Self::Steps => number % 3 != 2,
            Self::Stream => number % 10 == 9,
        }
    }
}

pub(crate) fn ids(journal: &Journal, pace: Pace) -> Vec<u64> {
    let mut ids = Vec::new();
    let mut reader = journal.read(From::Start).expect("readable");
    while let Some(group) = reader.next_group().expect("sound") {
        ids.extend(group.records().map(|record| {
            let id = record.payload()[..8].try_into().map(u64::from_le_bytes).expect("8 bytes");
            assert!(record.payload() == pace.payload(id), "{id}");
            id
        }));
    }
    ids
}

/// Appends, rolls, cuts and normalizes, and cuts the power now and then; everything acknowledged must
/// be there, and nothing that was cut off.
fn power_cuts(kind: Kind, mode: WriteMode, pace: Pace, cuts: u64) -> bool {
    let images = tempfile::tempdir().expect("a temporary directory");
    let image = images.path().join("disk");
    let Some(disk) = Mounted::made(kind, &image) else { return false };
    let dir = disk.path("journal");
    let journal = Journal::open(&dir, pace.options().write_mode(mode)).expect("room").0;
    let (mut id, mut taken) = (0, Vec::new());
    for cut in 0..cuts {
        let mut acknowledged = 0;
        for number in 0..20 {
            id += 1;
            let bytes = pace.payload(id);
            let record = batch([&bytes[..]]);
            if pace.commits(number) {
                journal.commit(&record, Level::Batch).expect("acknowledged");
                acknowledged = id;
            } else {
                journal.append(&record, End::SafePoint).expect("room");
            }
            // Nothing waits for the last ones.
            if number == 16 {
                match cut % 3 {
                    0 => journal.roll().expect("room"),
                    1 => normalize(&journal),
                    _ => {}
                }
            }
        }
        let copy = images.path().join(format!("cut-{cut}"));
        copy_image(&image, &copy);
        taken.push((copy, acknowledged, id));
    }
    drop(journal);
    // A copy goes by the name of the original: not both at once.
    drop(disk);
    for (copy, acknowledged, appended) in taken {
        let disk = Mounted::image(kind, &copy).expect("as the original");
        let options = pace.options().write_mode(mode).after_power_loss(true);
        let opened = Journal::open(disk.path("journal"), options);
        let (journal, _) = opened.unwrap_or_else(|error| panic!("{}: {error:?}", kind.name));
        let found = ids(&journal, pace);
        assert!(found.iter().copied().eq(1..=found.len() as u64), "{}: {found:?}", kind.name);
        let count = found.len() as u64;
        assert!((acknowledged..=appended).contains(&count), "{}: {count}", kind.name);
        let next = pace.payload(count + 1);
        journal.commit(&batch([&next[..]]), Level::Batch).expect("it goes on");
    }
    true
}

pub(crate) fn normalize(journal: &Journal) {
    let maintenance = journal.maintenance();
    let segments = maintenance.segments().expect("open");
    let ready = segments.iter().take_while(|segment| segment.kept.is_none()).count();
    if ready > 0 {
        let range = segments[0].begin..segments[ready].begin;
        maintenance.normalize(range, &mut Verbatim::default(), None).expect("it works");
    }
}

/// In how far the sweeps go beyond what runs each time.
fn times(few: u64) -> u64 {
    if std::env::var_os("STEADFAST_SOAK").is_some() { few * 10 } else { few }
}

#[test]
fn a_power_cut_on_a_real_file_system_leaves_what_was_acknowledged() {
    for kind in KINDS {
        for mode in [WriteMode::Map, WriteMode::Pwrite] {
            // Where blocks are not overwritten in place, nothing is stored through maps.
            let fits = mode == WriteMode::Pwrite || kind.name != "btrfs";
            for pace in [Pace::Steps, Pace::Stream] {
                if fits && !power_cuts(kind, mode, pace, times(4)) {
                    skipped(kind.name);
                }
            }
        }
    }
}

#[test]
fn processes_killed_on_a_real_file_system_lose_nothing() {
    for kind in KINDS {
        let images = tempfile::tempdir().expect("a temporary directory");
        let Some(disk) = Mounted::made(kind, &images.path().join("disk")) else {
            skipped(kind.name);
            continue;
        };
        process::kill_repeatedly_in(&disk.path("batch"), "batch", "pwrite", times(4));
        if kind.name != "btrfs" {
            process::kill_repeatedly_in(&disk.path("process"), "process", "map", times(4));
        }
    }
}

/// A full disk stops nothing that was acknowledged; where frames overwrite blocks, the journal goes on
/// once there is room, and else when it was opened again.
fn fills(kind: Kind, disk: &Mounted) {
    // All but a few megabytes are taken; four of them can be given back.
    let taken = std::fs::File::create(disk.path("taken")).expect("room");
    let free = rustix::fs::fstatvfs(&taken).map(|stat| stat.f_bavail * stat.f_frsize);
    let most = free.expect("mounted").saturating_sub(16 << 20);
    rustix::fs::fallocate(&taken, rustix::fs::FallocateFlags::empty(), 0, most).expect("room");
    let ballast = disk.path("ballast");
    std::fs::write(&ballast, vec![1; 4 << 20]).expect("room");
    let dir: &Path = &disk.path("journal");
    let options = || Options::new().segment_bytes(256 << 10);
    let mut journal = Journal::open(dir, options()).expect("room").0;
    let mut id = 0;
    let fill = |journal: &Journal, id: &mut u64| {
        let before = *id;
        loop {
            let level = if id.is_multiple_of(50) { Level::Batch } else { Level::Process };
            match journal.commit(&batch([&Pace::Steps.payload(*id + 1)[..]]), level) {
                Ok(_) => *id += 1,
                Err(_) => return *id - before,
            }
        }
    };
    assert!(fill(&journal, &mut id) > 100, "{}: something fits", kind.name);
    std::fs::remove_file(&ballast).expect("there");
    if kind.name == "btrfs" {
        // What is freed comes back with a commit of the file system.
        rustix::fs::syncfs(std::fs::File::open(disk.path("")).expect("there")).expect("it syncs");
    }
    if fill(&journal, &mut id) == 0 {
        assert_eq!(kind.name, "btrfs", "it goes on without being opened again");
        drop(journal);
        journal = Journal::open(dir, options()).expect("sound").0;
        assert!(fill(&journal, &mut id) > 100, "it goes on");
    }
    drop(journal);
    // It opens on the full disk, as often as anybody likes; but where overwriting takes room.
    for _ in 0..if kind.name == "btrfs" { 0 } else { 3 } {
        fill_to_the_last_byte(&disk.path("rest"));
        let opened = Journal::open(dir, options());
        let (journal, _) = opened.unwrap_or_else(|error| panic!("{}: {error:?}", kind.name));
        assert!(ids(&journal, Pace::Steps).len() as u64 >= id, "{}", kind.name);
        fill(&journal, &mut id);
    }
    taken.set_len(0).expect("it was taken");
    let found = ids(&Journal::open(dir, options()).expect("sound").0, Pace::Steps);
    assert!(found.iter().copied().eq(1..=found.len() as u64), "{}", kind.name);
    assert!(found.len() as u64 >= id, "{}: {id} acknowledged, {} found", kind.name, found.len());
}

/// Takes what room there is, and what others give back.
fn fill_to_the_last_byte(path: &Path) {
    use std::io::Write as _;
    let file = std::fs::OpenOptions::new().append(true).create(true).open(path);
    let mut file = file.expect("a name has room");
    for bytes in [1 << 20, 4096, 64] {
        while file.write_all(&vec![1; bytes]).is_ok() {}
        // What was promised room is given it, and what is freed comes back.
        drop(file.sync_all());
    }
}

/// As a full disk: what overwrites blocks takes room there, so it goes on when it was opened again.
#[test]
fn a_quota_that_is_used_up_loses_nothing() {
    let [.., btrfs] = KINDS;
    let images = tempfile::tempdir().expect("a temporary directory");
    let disk = Mounted::made(btrfs, &images.path().join("disk"));
    let Some((_disk, dir)) = disk.and_then(|disk| disk.with_quota(6 << 20).map(|dir| (disk, dir)))
    else {
        return skipped("a btrfs with a quota");
    };
    let ballast = dir.join("ballast");
    std::fs::write(&ballast, vec![1; 3 << 20]).expect("room");
    let options = || Options::new().segment_bytes(256 << 10).write_mode(WriteMode::Pwrite);
    let open = || Journal::open(dir.join("journal"), options()).expect("sound").0;
    let fill = |journal: &Journal, from: u64| {
        let refused = (from + 1..from + 100_000).find_map(|id| {
            let level = if id.is_multiple_of(50) { Level::Batch } else { Level::Process };
            let refused = journal.commit(&batch([&Pace::Steps.payload(id)[..]]), level);
            Some((id - 1, refused.err()?))
        });
        refused.expect("the quota is small")
    };
    let journal = open();
    let (kept, refused) = fill(&journal, 0);
    assert!(kept > 100, "something fits: {kept}");
    let causes = std::iter::successors(Some(&refused as &dyn std::error::Error), |e| e.source());
    let says_why = |text: String| text.contains("is full") || text.contains("uota");
    assert!(causes.map(ToString::to_string).any(says_why), "{refused:?}");
    drop(journal);
    std::fs::remove_file(&ballast).expect("there");
    rustix::fs::syncfs(std::fs::File::open(&dir).expect("there")).expect("it syncs");
    let journal = open();
    let found = ids(&journal, Pace::Steps).len() as u64;
    assert!(found >= kept, "{found} of {kept}");
    let (more, _) = fill(&journal, found);
    assert!(more > found + 100, "it goes on");
    drop(journal);
    let found = ids(&open(), Pace::Steps);
    assert!(found.iter().copied().eq(1..=found.len() as u64) && found.len() as u64 >= more);
}

#[test]
fn a_real_file_system_that_is_full_loses_nothing() {
    for kind in KINDS {
        let images = tempfile::tempdir().expect("a temporary directory");
        match Mounted::made(kind, &images.path().join("disk")) {
            Some(disk) => fills(kind, &disk),
            None => skipped(kind.name),
        }
    }
}
