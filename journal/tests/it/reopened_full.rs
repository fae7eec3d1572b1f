//! Journals that are opened on a disk that has no room left: they open, are read, are normalized,
//! and go on when there is room.

use std::path::Path;
use std::sync::Arc;

use steadfast_journal::testing::{Fixed, SimDisk};
use steadfast_journal::{
    AppendError, End, Found, Journal, Level, OpenError, Opened, Options, WriteMode,
};

use crate::common::{append, batch, payloads, read_all};
use crate::keyed::Keyed;
use crate::world::{DIR, limited};

/// By self-test, too.
const MODES: [Option<WriteMode>; 3] = [None, Some(WriteMode::Map), Some(WriteMode::Pwrite)];

fn open(disk: &SimDisk, mode: Option<WriteMode>) -> Result<(Journal, Opened), OpenError> {
    let options = Options::new().storage(Arc::new(disk.clone())).segment_bytes(64 << 10);
    let options = options.without_background();
    Journal::open(DIR, mode.into_iter().fold(options, Options::write_mode))
}

fn is_temporary(name: &str) -> bool {
    Path::new(name).extension().is_some_and(|extension| extension == "tmp")
}

/// What there was room for, somebody else takes: also what opening could free.
fn fill_up(disk: &SimDisk) {
    for name in disk.names(DIR).iter().filter(|name| is_temporary(name)) {
        disk.displace(Path::new(DIR).join(name), None);
    }
    disk.limit_free_bytes(0);
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Ending {
    Closed,
    Killed,
    PowerCut,
}

impl Ending {
    fn of(self, disk: &SimDisk, journal: Journal) -> SimDisk {
        match self {
            Self::Closed => {
                journal.close().expect("closing takes no room");
                disk.kill()
            }
            Self::Killed => disk.kill(),
            // The previous manifest, whose room is used, is not synced: it is there some seconds later.
            Self::PowerCut => disk.power_cut(&mut Fixed::Everything),
        }
    }
}

/// Opens on a full disk, three times in a row; what is there and what finds room is kept.
fn run(mode: Option<WriteMode>, groups: u8, ending: Ending) {
    let disk = SimDisk::new(u64::from(groups));
    if groups % 2 == 1 {
        disk.set_quota();
    }
    let (journal, _) = open(&disk, mode).expect("a new journal");
    let mut expected: Vec<Vec<u8>> = (0..groups).map(|n| vec![n; 5000]).collect();
    for payload in &expected {
        append(&journal, payload);
    }
    journal.wait(journal.positions().appended, Level::Batch).expect("durable");
    let mut disk = ending.of(&disk, journal);
    for round in 0..3 {
        fill_up(&disk);
        let opened = open(&disk, mode);
        let (journal, opened) =
            opened.unwrap_or_else(|error| panic!("{ending:?}, round {round}: {error:?}"));
        assert_eq!(opened.found, Found::Clean, "{ending:?}");
        assert_eq!(payloads(&read_all(&journal)), expected, "{ending:?}, round {round}");
        let payload = vec![100 + round; 5000];
        match journal.append(&batch([payload.as_slice()]), End::SafePoint) {
            Ok(appended) => {
                journal.wait(appended.position, Level::Batch).expect("durable");
                expected.push(payload);
            }
            Err(error) => assert!(matches!(error, AppendError::Full { .. }), "{error:?}"),
        }
        disk = ending.of(&disk, journal);
    }
    disk.heal();
    let (journal, _) = open(&disk, mode).expect("there is room");
    assert_eq!(payloads(&read_all(&journal)), expected);
    append(&journal, &vec![200; 20_000]);
}

#[test]
fn a_journal_on_a_full_disk_opens_and_goes_on_when_there_is_room() {
    for mode in MODES {
        for ending in [Ending::Closed, Ending::Killed, Ending::PowerCut] {
            for groups in 0..30 {
                run(mode, groups, ending);
            }
        }
    }
}

/// Without a manifest before the present one there is no room for another: a journal that was not
/// closed, of a system that was not started again, needs none.
#[test]
fn a_full_disk_without_room_for_a_manifest_refuses_only_where_one_must_be_written() {
    for ending in [Ending::Closed, Ending::Killed, Ending::PowerCut] {
        let disk = SimDisk::new(1);
        let (journal, _) = open(&disk, None).expect("a new journal");
        append(&journal, b"kept");
        journal.wait(journal.positions().appended, Level::Batch).expect("durable");
        let disk = ending.of(&disk, journal);
        disk.displace(Path::new(DIR).join("MANIFEST.prev"), None);
        fill_up(&disk);
        let before = (disk.names(DIR), disk.content(Path::new(DIR).join("MANIFEST")));
        match (open(&disk, None), ending) {
            (Ok((journal, _)), Ending::Killed) => {
                assert_eq!(payloads(&read_all(&journal)), [b"kept"]);
                append(&journal, b"at the end of what exists");
                journal.wait(journal.positions().appended, Level::Batch).expect("durable");
                // Its frames are as safe as ever.
                let disk = disk.power_cut(&mut Fixed::Nothing);
                drop(journal);
                disk.heal();
                let (journal, _) = open(&disk, None).expect("there is room");
                assert_eq!(read_all(&journal).len(), 2);
            }
            (Err(OpenError::Io(error)), Ending::Closed | Ending::PowerCut) => {
                assert!(error.is_out_of_space(), "{error:?}");
                let mut names = disk.names(DIR);
                names.retain(|name| !is_temporary(name));
                assert_eq!((names, disk.content(Path::new(DIR).join("MANIFEST"))), before);
                disk.heal();
                let (journal, _) = open(&disk, None).expect("there is room");
                assert_eq!(payloads(&read_all(&journal)), [b"kept"]);
            }
            (other, _) => panic!("{ending:?}: {other:?}"),
        }
    }
}

/// What the killed process held in reserve is room for the next one: to normalize, and to go on.
#[test]
fn a_journal_that_was_opened_on_a_full_disk_is_normalized_and_goes_on() {
    for mode in MODES {
        let (_, disk) = limited(2..3).nth(usize::from(mode.is_none())).expect("there are two");
        let (journal, _) = open(&disk, mode).expect("a new journal");
        for round in 0..100_u8 {
            append(&journal, &[&[round % 8][..], &[round; 2000]].concat());
        }
        journal.wait(journal.positions().appended, Level::Batch).expect("durable");
        disk.limit_free_bytes(0);
        let disk = Ending::Killed.of(&disk, journal);
        let (journal, _) = open(&disk, mode).expect("it opens");
        let maintenance = journal.maintenance();
        let segments = maintenance.segments().expect("open");
        let range = segments[0].begin..segments[segments.len() - 1].begin;
        let done = maintenance.normalize(range, &mut Keyed::default(), None).expect("in the room");
        assert!(done.bytes_after < done.bytes_before / 2, "{done:?}");
        for round in 0..20_u8 {
            append(&journal, &[&[round % 8][..], &[round; 2000]].concat());
        }
    }
}
