//! Manifests that are missing, old or damaged: a new journal is made of what the segments say.

use std::path::Path;
use std::sync::Arc;

use steadfast_journal::testing::{Exhaustive, Seeded, SimDisk};
use steadfast_journal::{
    CorruptReason, End, From, Journal, Level, Mend, OpenError, Options, Position, Repair,
};

use crate::common::{Seen, batch, read_all, small};
use crate::keyed::{GONE, Keyed, Values, fold};
use crate::world::DIR;

const INTO: &str = "/mended";

fn options(disk: &SimDisk) -> Options {
    small().storage(Arc::new(disk.clone())).without_background()
}

fn open(disk: &SimDisk) -> Journal {
    Journal::open(DIR, options(disk)).expect("sound").0
}

fn value(key: u8, round: u8) -> Vec<u8> {
    [&[key], [round].repeat(300 + usize::from(key) * 10).as_slice()].concat()
}

fn put(journal: &Journal, key: u8, round: u8, end: End) -> Position {
    let record = value(key, round);
    journal.append(&batch([record.as_slice()]), end).expect("room").position
}

fn values(journal: &Journal) -> Values {
    let mut values = Values::new();
    let mut reader = journal.read(From::Start).expect("readable");
    while let Some(group) = reader.next_group().expect("sound") {
        fold(&mut values, &group);
    }
    values
}

fn manifest(disk: &SimDisk) -> Vec<u8> {
    disk.content(Path::new(DIR).join("MANIFEST"))
}

fn segments(disk: &SimDisk) -> Vec<String> {
    disk.names(DIR).into_iter().filter(|name| name.starts_with("seg-")).collect()
}

/// Every file of the journal but its lock.
fn files(disk: &SimDisk) -> Vec<(String, Vec<u8>)> {
    let names = disk.names(DIR).into_iter().filter(|name| name != "LOCK");
    names.map(|name| (name.clone(), disk.content(Path::new(DIR).join(name)))).collect()
}

/// Makes the manifest again, in the new directory; nothing of the old one changes.
fn mend(disk: &SimDisk) -> Mended {
    let before = files(disk);
    let mend = Mend::examine(DIR, options(disk)).expect("readable").expect("it needs that");
    let mended = Mended {
        assumed: mend.assumed().len(),
        left_out: mend.left_out().len(),
        keeps_slots: mend.keeps_durable_slots(),
    };
    mend.copy_to(INTO).expect("room");
    assert!(files(disk) == before, "no byte of the old journal changes");
    mended
}

#[derive(PartialEq, Eq, Debug)]
struct Mended {
    assumed: usize,
    left_out: usize,
    keeps_slots: bool,
}

fn open_mended(disk: &SimDisk) -> Journal {
    Journal::open(INTO, options(disk)).expect("sound").0
}

/// Three segments, the second of which begins within a root, and an older manifest.
fn journal() -> (SimDisk, Vec<u8>, Vec<Seen>) {
    let disk = SimDisk::new(1);
    let journal = open(&disk);
    for round in 0..3 {
        for key in 0..10 {
            put(&journal, key, round, if key == 9 { End::Batch } else { End::SafePoint });
        }
        if round < 2 {
            journal.roll().expect("room");
        }
    }
    put(&journal, 11, 0, End::SafePoint);
    let old = manifest(&disk);
    journal.roll().expect("room");
    put(&journal, 12, 0, End::SafePoint);
    journal.wait(journal.positions().appended, Level::Paranoid).expect("durable");
    let seen = read_all(&journal);
    drop(journal);
    (disk.kill(), old, seen)
}

fn displace(disk: &SimDisk, name: &str) {
    disk.displace(Path::new(DIR).join(name), None);
}

/// Testing list 13: missing, old, cut and damaged.
#[test]
fn a_journal_is_made_again_without_its_manifest() {
    let damages: [fn(&SimDisk, &[u8]); 5] = [
        |disk, _| displace(disk, "MANIFEST"),
        |disk, old| disk.plant(Path::new(DIR).join("MANIFEST"), old),
        |disk, _| disk.damage(Path::new(DIR).join("MANIFEST"), |bytes| bytes[130] ^= 1),
        |disk, _| disk.damage(Path::new(DIR).join("MANIFEST"), |bytes| bytes.truncate(200)),
        |disk, _| disk.damage(Path::new(DIR).join("MANIFEST"), |bytes| bytes.fill(0)),
    ];
    for (number, damage) in damages.iter().enumerate() {
        for keeps_previous in [false, true] {
            let (disk, old, expected) = journal();
            let identity = Journal::inspect(DIR, options(&disk)).expect("sound");
            assert!(Mend::examine(DIR, options(&disk)).expect("readable").is_none());
            damage(&disk, &old);
            if !keeps_previous {
                displace(&disk, "MANIFEST.prev");
            }
            assert!(Journal::open(DIR, options(&disk)).is_err(), "damage {number} refuses");
            let all = Mended { assumed: 0, left_out: 0, keeps_slots: true };
            assert_eq!(mend(&disk), all, "damage {number}");
            let mended = Journal::inspect(INTO, options(&disk)).expect("sound");
            assert_eq!(mended.journal(), identity.journal());
            assert_eq!(mended.session(), identity.session());
            assert_eq!(mended.durable(), identity.durable());
            let journal = open_mended(&disk);
            assert_eq!(read_all(&journal), expected, "numbers and positions stay");
            let position = put(&journal, 13, 0, End::SafePoint);
            assert!(position.get() > expected[expected.len() - 1].position);
            assert!(Mend::examine(DIR, options(&disk)).is_ok_and(|mend| mend.is_some()));
        }
    }
}

#[test]
fn what_normalization_has_left_is_found_in_its_order() {
    for keeps_previous in [false, true] {
        let disk = SimDisk::new(2);
        let journal = open(&disk);
        let normalize = |from: usize| {
            journal.roll().expect("room");
            let maintenance = journal.maintenance();
            let segments = maintenance.segments().expect("open");
            let range = segments[from].begin..segments[segments.len() - 1].begin;
            let done = maintenance.normalize(range, &mut Keyed::default(), None);
            done.expect("it works").segments_after
        };
        // The first run takes several segments, the second one.
        for round in 0..3 {
            for key in 0..200 {
                put(&journal, key, round, End::SafePoint);
            }
        }
        let base = normalize(0);
        assert!(base > 1);
        for key in 0..9 {
            put(&journal, key, 7, End::SafePoint);
            put(&journal, key, 8, End::SafePoint);
        }
        let end = put(&journal, 9, 8, End::SafePoint);
        normalize(base);
        put(&journal, 210, 1, End::SafePoint);
        // A cut right behind what was normalized, of which the manifest before still tells.
        if keeps_previous {
            journal.truncate(end).expect("a safe point ends there");
        }
        put(&journal, 211, 1, End::SafePoint);
        journal.roll().expect("room");
        put(&journal, 212, 1, End::SafePoint);
        journal.wait(journal.positions().appended, Level::Paranoid).expect("durable");
        let (expected, groups) = (values(&journal), read_all(&journal));
        drop(journal);
        let disk = disk.kill();
        displace(&disk, "MANIFEST");
        if !keeps_previous {
            displace(&disk, "MANIFEST.prev");
        }
        let mended = mend(&disk);
        assert_eq!((mended.left_out, mended.keeps_slots), (0, true));
        assert_eq!(mended.assumed, 0, "a run says what it ends with");
        let journal = open_mended(&disk);
        assert_eq!(values(&journal), expected);
        assert_eq!(read_all(&journal), groups);
    }
}

/// Two histories of one journal with the same numbers, one of which was normalized: what followed the
/// other one is not taken for its continuation.
#[test]
fn a_run_is_continued_by_no_other_history() {
    let disk = SimDisk::new(3);
    let journal = open(&disk);
    for key in 0..20 {
        put(&journal, key, 0, End::SafePoint);
    }
    journal.close().expect("sound");
    let branch = |round: u8| {
        let disk = disk.fork();
        let journal = open(&disk);
        put(&journal, 20, round, End::SafePoint);
        journal.roll().expect("room");
        put(&journal, 21, round, End::SafePoint);
        journal.wait(journal.positions().appended, Level::Paranoid).expect("durable");
        if round == 1 {
            let maintenance = journal.maintenance();
            let segments = maintenance.segments().expect("open");
            let range = segments[0].begin..segments[segments.len() - 1].begin;
            maintenance.normalize(range, &mut Keyed::default(), None).expect("it works");
        }
        drop(journal);
        disk.kill()
    };
    for foreign in [false, true] {
        let (disk, other) = (branch(1), branch(2));
        let last = segments(&disk).pop().expect("the active segment");
        assert_eq!(segments(&other).pop().as_ref(), Some(&last), "the numbers are the same");
        if foreign {
            let path = Path::new(DIR).join(&last);
            disk.plant(&path, &other.content(&path));
        }
        displace(&disk, "MANIFEST");
        displace(&disk, "MANIFEST.prev");
        assert_eq!(mend(&disk).assumed, 0);
        match Journal::open(INTO, options(&disk)) {
            Ok((journal, _)) => {
                assert!(!foreign, "two histories are mixed");
                assert_eq!(values(&journal).len(), 22);
            }
            Err(error) => assert!(foreign && matches!(error, OpenError::Corrupt(_)), "{error}"),
        }
    }
}

/// The copy is no better than the segments: what is damaged refuses, and a repair goes back.
#[test]
fn damage_and_holes_are_found_in_the_copy_and_repaired_there() {
    type Damage = fn(&SimDisk, &str);
    let damages: [(usize, Damage, usize); 5] = [
        // A payload in a sealed segment; the frame that the next segment continues; a header; a
        // segment; the last segment's header.
        (1, |disk, name| disk.damage(Path::new(DIR).join(name), |b| b[4096 + 400] ^= 1), 11),
        (1, |disk, name| disk.damage(Path::new(DIR).join(name), |b| last_frame(b)), 19),
        (1, |disk, name| disk.damage(Path::new(DIR).join(name), |b| b[..4096].fill(0)), 9),
        (2, |disk, name| displace(disk, name), 19),
        (3, |disk, name| disk.damage(Path::new(DIR).join(name), |b| b[..4096].fill(1)), 31),
    ];
    for (number, (segment, damage, kept)) in damages.into_iter().enumerate() {
        let (disk, _, expected) = journal();
        damage(&disk, &segments(&disk)[segment]);
        displace(&disk, "MANIFEST");
        displace(&disk, "MANIFEST.prev");
        mend(&disk);
        match Journal::open(INTO, options(&disk)) {
            Err(OpenError::Corrupt(_)) => {}
            other => panic!("damage {number}: {other:?}"),
        }
        let repair = Repair::examine(INTO, options(&disk)).expect("readable").expect("damaged");
        repair.carry_out().expect("room");
        let groups = read_all(&open_mended(&disk));
        assert!(expected.starts_with(&groups), "damage {number}");
        assert_eq!(groups.len(), kept, "damage {number}");
    }
}

/// Flips a bit in the last frame, which is the seal.
fn last_frame(bytes: &mut [u8]) {
    let last = bytes.iter().rposition(|byte| *byte != 0).expect("frames");
    bytes[last] ^= 1;
}

#[test]
fn a_manifest_that_fits_is_not_mended_whatever_its_segments_are() {
    let (disk, ..) = journal();
    let second = Path::new(DIR).join(&segments(&disk)[1]);
    disk.damage(&second, |bytes| bytes[4096 + 400] ^= 1);
    assert!(Mend::examine(DIR, options(&disk)).expect("readable").is_none());
    disk.displace(&second, None);
    assert!(Mend::examine(DIR, options(&disk)).expect("readable").is_none());
    // Without its begin it is nothing, manifest or not.
    disk.displace(Path::new(DIR).join(&segments(&disk)[0]), None);
    displace(&disk, "MANIFEST");
    match Mend::examine(DIR, options(&disk)) {
        Err(OpenError::Corrupt(corrupt)) => {
            assert_eq!(corrupt.reason, CorruptReason::SegmentMissing);
        }
        other => panic!("{other:?}"),
    }
    let missing = Mend::examine("/nowhere", options(&disk)).map(|_| ());
    assert!(matches!(missing, Err(OpenError::NotFound { .. })), "{missing:?}");
    let _open = Journal::open("/other", options(&disk)).expect("new").0;
    let refused = Mend::examine("/other", options(&disk)).map(|_| ());
    assert!(matches!(refused, Err(OpenError::AlreadyOpen { .. })), "{refused:?}");
}

#[test]
fn segments_of_other_journals_and_replaced_ones_are_left_out() {
    let (disk, _, expected) = journal();
    let other = Journal::open("/other", options(&disk)).expect("new").0;
    for round in 0..9 {
        put(&other, 1, round, End::SafePoint);
    }
    drop(other);
    let foreign = disk.names("/other").into_iter().find(|name| name.starts_with("seg-"));
    let foreign = disk.content(Path::new("/other").join(foreign.expect("a segment")));
    disk.plant(Path::new(DIR).join("seg-00000000000000000001-0007.jnl"), &foreign);
    disk.plant(Path::new(DIR).join("seg-00000000000000000999-0000.jnl"), b"no segment");
    displace(&disk, "MANIFEST");
    displace(&disk, "DURABLE");
    assert_eq!(mend(&disk), Mended { assumed: 0, left_out: 2, keeps_slots: false });
    assert_eq!(read_all(&open_mended(&disk)), expected);
}

/// INV-36: it is begun again wherever it was interrupted, and never half of a journal.
#[test]
fn an_interrupted_mend_can_be_done_again() {
    let (base, _, expected) = journal();
    displace(&base, "MANIFEST");
    let mut crashes = 0;
    for changes in (1..).step_by(3) {
        let disk = base.fork();
        disk.crash_after(changes);
        let mend = Mend::examine(DIR, options(&disk));
        let done = mend.ok().flatten().is_some_and(|mend| mend.copy_to(INTO).is_ok());
        if done && !disk.has_crashed() {
            break;
        }
        crashes += 1;
        let mut chooser = Exhaustive::default();
        for _ in 0..3 {
            let after = disk.fork().power_cut(&mut chooser);
            match Journal::open(INTO, options(&after).create(steadfast_journal::Create::Never)) {
                Ok((journal, _)) => assert_eq!(read_all(&journal), expected),
                Err(OpenError::NotFound { .. } | OpenError::ManifestMissing { .. }) => {
                    let mend = Mend::examine(DIR, options(&after)).expect("readable");
                    mend.expect("still needed").copy_to(INTO).expect("done again");
                    assert_eq!(read_all(&open_mended(&after)), expected);
                }
                Err(error) => panic!("after {changes} changes: {error}"),
            }
            if !chooser.advance() {
                break;
            }
        }
    }
    assert!(crashes > 20, "it has many steps: {crashes}");
}

#[test]
fn a_directory_that_holds_anything_is_not_written_to() {
    let (disk, ..) = journal();
    displace(&disk, "MANIFEST");
    let examine = || Mend::examine(DIR, options(&disk)).expect("readable").expect("needed");
    let own = examine().copy_to(DIR);
    assert!(matches!(own, Err(OpenError::AlreadyOpen { .. })), "{own:?}");
    drop(Journal::open("/other", options(&disk)).expect("new"));
    let exists = examine().copy_to("/other");
    assert!(matches!(exists, Err(OpenError::Exists { .. })), "{exists:?}");
    disk.displace("/other/MANIFEST", None);
    let foreign = examine().copy_to("/other");
    assert!(matches!(foreign, Err(OpenError::ForeignDirectory { .. })), "{foreign:?}");
}

/// A random history, stopped anywhere: with its manifest or without, what is opened is the same.
fn any_history(seed: u64) {
    let mut random = Seeded::new(seed);
    let disk = SimDisk::new(seed);
    let journal = open(&disk);
    disk.crash_after(40 + random.below(600));
    // Safe points, and the values that they complete.
    let mut ends = vec![(Position::START, Values::new())];
    let mut last = Values::new();
    let mut dropping = None;
    for round in 0..90 {
        let key = u8::try_from(random.below(20)).expect("small");
        let record = if random.below(9) == 0 { [&[key], GONE].concat() } else { value(key, round) };
        let end = if random.below(4) == 0 { End::Batch } else { End::SafePoint };
        let Ok(appended) = journal.append(&batch([record.as_slice()]), end) else { break };
        if record.ends_with(GONE) {
            last.remove(&key);
        } else {
            last.insert(key, record[1..].to_vec());
        }
        if end == End::SafePoint {
            ends.push((appended.position, last.clone()));
        }
        match random.below(12) {
            0 | 1 => drop(journal.roll()),
            2 | 3 => drop(journal.wait(appended.position, Level::Batch)),
            4 => {
                let maintenance = journal.maintenance();
                let Ok(segments) = maintenance.segments() else { break };
                let ready = segments.iter().take_while(|segment| segment.kept.is_none()).count();
                if ready > 0 {
                    let range = segments[0].begin..segments[ready].begin;
                    drop(maintenance.normalize(range, &mut Keyed::default(), None));
                }
            }
            5 if ends.len() > 3 => {
                let (kept, values) = ends[ends.len() - 3].clone();
                if journal.truncate(kept).is_ok() {
                    ends.truncate(ends.len() - 2);
                    last = values;
                } else if disk.has_crashed() {
                    // The end that was to be dropped may be there or not.
                    dropping = Some(values);
                }
            }
            _ => {}
        }
    }
    drop(journal);
    let disk = disk.power_cut(&mut random);
    let without = disk.fork();
    let Ok((journal, _)) = Journal::open(DIR, options(&disk)) else {
        panic!("seed {seed}: a crash leaves a journal");
    };
    displace(&without, "MANIFEST");
    if random.below(2) == 0 {
        displace(&without, "MANIFEST.prev");
    }
    if segments(&without).is_empty() {
        return;
    }
    mend(&without);
    let mended = match Journal::open(INTO, options(&without)) {
        Ok((mended, _)) => mended,
        Err(error) => panic!("seed {seed}: {error:?}"),
    };
    let mended = values(&mended);
    assert!(mended == values(&journal) || Some(mended) == dropping, "seed {seed}");
}

#[test]
fn a_history_that_stopped_anywhere_is_the_same_with_its_manifest_and_without() {
    let seeds = if std::env::var_os("STEADFAST_SOAK").is_some() { 20_000 } else { 300 };
    (0..seeds).for_each(any_history);
}
