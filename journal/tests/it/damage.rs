//! Damage of every kind to a small journal, against an oracle that knows what was durable.
//!
//! The oracle records for each group where it stands and how far the journal was known to be
//! durable when it was appended. For a damaged journal it computes, from the bytes that differ
//! alone, whether opening must refuse, and if not, which groups must be left.

use std::ops::Range;
use std::path::{Path, PathBuf};

use steadfast_journal::testing::{Fixed, Planted, Seeded, SimDisk};
use steadfast_journal::{
    Corrupt, CorruptReason, End, From, Journal, Level, Lsn, OpenError, WriteMode,
};

use crate::common::batch;
use crate::world::{DIR, Setup};

/// Bytes before a segment's first frame.
const HEADER: usize = 4096;

struct Group {
    payload: Vec<u8>,
    end: End,
    file: PathBuf,
    /// Its bytes in the file, without padding.
    bytes: Range<usize>,
    begin: u64,
    /// What was known to be durable when it was appended.
    claim: u64,
}

/// A journal with several segments and the knowledge of what is in it.
struct Base {
    disk: SimDisk,
    setup: Setup,
    groups: Vec<Group>,
    /// What manifest and slots claim.
    durable: u64,
    /// The segment that takes frames.
    active: PathBuf,
}

/// What opening must do.
#[derive(PartialEq, Eq, Debug)]
enum Expected {
    Refuse,
    Groups(usize),
}

impl Base {
    /// `a` appends a safe point, `b` a batch, `s` syncs, `r` rolls, `w` writes an idle slot.
    fn new(setup: Setup, steps: &str) -> Self {
        Self::seeded(setup, steps, 3)
    }

    fn seeded(setup: Setup, steps: &str, seed: u64) -> Self {
        let disk = SimDisk::new(seed);
        let journal = setup.open(&disk).expect("a new journal");
        let mut groups = Vec::new();
        let mut durable = 0;
        for (number, step) in steps.chars().enumerate() {
            let positions = journal.positions();
            match step {
                'a' | 'b' => {
                    let end = if step == 'a' { End::SafePoint } else { End::Batch };
                    let payload = vec![b'0' + u8::try_from(number % 70).expect("small"); number];
                    let appended = journal.append(&batch([&payload[..]]), end).expect("room");
                    journal.wait(appended.position, Level::Process).expect("stored");
                    groups.push(Group {
                        payload,
                        end,
                        file: PathBuf::new(),
                        bytes: 0..0,
                        begin: positions.appended.get(),
                        claim: positions.durable.get(),
                    });
                }
                's' => drop(journal.wait_durable(positions.appended).expect("durable")),
                'r' => journal.roll().expect("room"),
                'w' => journal.run_idle(),
                other => unreachable!("no step {other}"),
            }
            if matches!(step, 'r' | 'w') {
                durable = journal.positions().durable.get();
            }
        }
        let disk = disk.power_cut(&mut Fixed::Everything);
        drop(journal);
        let mut base = Self { disk, setup, groups, durable, active: PathBuf::new() };
        base.locate();
        base
    }

    /// The same journal, closed in order.
    fn closed(setup: Setup, steps: &str) -> Self {
        let mut base = Self::new(setup, steps);
        let journal = setup.open(&base.disk).expect("sound");
        base.durable = journal.positions().appended.get();
        journal.close().expect("closes");
        base.disk = base.disk.power_cut(&mut Fixed::Nothing);
        base
    }

    /// Finds out where the groups stand.
    fn locate(&mut self) {
        let options = self.setup.options(&self.disk);
        let inspection = Journal::inspect(DIR, options).expect("sound");
        let segments = inspection.segments();
        for group in &mut self.groups {
            let of = segments.iter().rfind(|segment| segment.begin.get() <= group.begin);
            let segment = of.expect("a segment holds the group");
            let offset =
                HEADER + usize::try_from(group.begin - segment.begin.get()).expect("small");
            // Header, and tag, version and length of the one record.
            group.bytes = offset..offset + 32 + 3 + group.payload.len();
            group.file.clone_from(&segment.file);
        }
        self.active.clone_from(&segments.last().expect("a segment").file);
    }

    /// What must happen to a journal of which one file now has these bytes.
    fn expect(&self, file: &Path, damaged: &[u8]) -> Expected {
        let original = self.disk.content(file);
        let is_damaged = |group: &Group| {
            group.file == file
                && damaged.get(group.bytes.clone()) != Some(&original[group.bytes.clone()])
        };
        let claims = self.groups.iter().filter(|group| !is_damaged(group));
        let durable = claims.map(|group| group.claim).fold(self.durable, u64::max);
        let Some(first) = self.groups.iter().position(is_damaged) else {
            return Expected::Groups(self.safe_prefix(self.groups.len()));
        };
        if self.groups[first].begin < durable {
            return Expected::Refuse;
        }
        Expected::Groups(self.safe_prefix(first))
    }

    /// How many of the first groups end with a safe point.
    fn safe_prefix(&self, groups: usize) -> usize {
        let safe = self.groups[..groups].iter().rposition(|group| group.end == End::SafePoint);
        safe.map_or(0, |index| index + 1)
    }

    /// Opens a copy with the damage, twice, and compares with what is expected.
    fn check(&self, what: &str, file: &Path, damaged: &[u8]) {
        let expected = self.expect(file, damaged);
        let disk = self.disk.fork();
        disk.damage(file, |content| damaged.clone_into(content));
        let before: Vec<Vec<u8>> = snapshot(&disk);
        for _ in 0..2 {
            match (self.setup.open(&disk), &expected) {
                (Err(OpenError::Corrupt(corrupt)), Expected::Refuse) => {
                    assert_eq!(corrupt.file, file, "{what}");
                    assert!(snapshot(&disk) == before, "{what}: refusing has changed a file");
                }
                (Ok(journal), Expected::Groups(count)) => {
                    let found = payloads_of(&journal);
                    let wanted = self.groups[..*count].iter().map(|group| group.payload.clone());
                    assert!(found == wanted.collect::<Vec<_>>(), "{what}: wrong groups");
                }
                (found, expected) => {
                    panic!("{what}: expected {expected:?}, found {:?}", found.map(drop))
                }
            }
        }
    }
}

fn payloads_of(journal: &Journal) -> Vec<Vec<u8>> {
    let mut reader = journal.read(From::Start).expect("readable");
    let mut found = Vec::new();
    while let Some(group) = reader.next_group().expect("verified when it was opened") {
        found.extend(group.records().map(|record| record.payload().to_vec()));
    }
    found
}

/// The content of every file of the journal that opening may not touch.
fn snapshot(disk: &SimDisk) -> Vec<Vec<u8>> {
    let names = disk.names(DIR).into_iter();
    names.map(|name| disk.content(Path::new(DIR).join(name))).collect()
}

const STEPS: &str = "asaasrabaswabbasaab";

fn setup() -> Setup {
    Setup::new(WriteMode::Map)
}

/// The segments of a journal with its own and its closed variant.
fn bases() -> [Base; 2] {
    [Base::new(setup(), STEPS), Base::closed(setup(), "asaasrabaswabbasaaba")]
}

fn files(base: &Base) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = base.groups.iter().map(|group| group.file.clone()).collect();
    files.dedup();
    files
}

/// Bytes of a file up to the end of its last group, and a little more.
fn used(base: &Base, file: &Path) -> usize {
    let groups = base.groups.iter().filter(|group| group.file == file);
    groups.map(|group| group.bytes.end).max().unwrap_or(HEADER).next_multiple_of(8) + 48
}

/// INV-24: against an oracle that knows what was durable.
#[test]
fn every_flipped_bit_is_answered_right() {
    for base in bases() {
        for file in files(&base) {
            let original = base.disk.content(&file);
            for at in HEADER..used(&base, &file) {
                if file != base.active
                    && !base.groups.iter().any(|g| g.file == file && g.bytes.contains(&at))
                {
                    continue; // Seals of rolled segments are tested apart.
                }
                for bit in 0..8 {
                    let mut damaged = original.clone();
                    damaged[at] ^= 1 << bit;
                    base.check(
                        &format!("{} bit {bit} of byte {at}", file.display()),
                        &file,
                        &damaged,
                    );
                }
            }
        }
    }
}

#[test]
fn every_truncation_of_the_last_segment_is_answered_right() {
    for base in bases() {
        let original = base.disk.content(&base.active);
        for len in HEADER..used(&base, &base.active) {
            base.check(&format!("cut to {len} bytes"), &base.active, &original[..len]);
        }
    }
}

/// Of a rolled segment, or of a header, nothing may be missing.
#[test]
fn every_truncation_of_a_rolled_segment_and_of_a_header_refuses() {
    for base in bases() {
        for file in files(&base) {
            let original = base.disk.content(&file);
            // What is behind a seal is not looked at.
            let sealed = used(&base, &file) - 48 + 32;
            for len in 0..if file == base.active { HEADER } else { sealed } {
                let disk = base.disk.fork();
                disk.damage(&file, |content| content.clone_from(&original[..len].to_vec()));
                let before = snapshot(&disk);
                assert_eq!(refusal(&base, &disk).file, file, "cut to {len} bytes");
                assert!(snapshot(&disk) == before, "refusing has changed a file");
            }
        }
    }
}

#[test]
fn zeroed_duplicated_and_swapped_sectors_and_pages_are_answered_right() {
    for base in bases() {
        for file in files(&base) {
            let original = base.disk.content(&file);
            for unit in [512, 4096] {
                let first = HEADER / unit;
                let units = first..used(&base, &file).div_ceil(unit) + 1;
                let range = |index: usize| index * unit..(index + 1) * unit;
                for index in units.clone() {
                    let mut damaged = original.clone();
                    damaged[range(index)].fill(0);
                    if touches_only_groups(&base, &file, &original, &damaged) {
                        base.check(&format!("{unit} bytes zeroed at {index}"), &file, &damaged);
                    }
                    for other in units.clone().filter(|other| *other != index) {
                        let mut damaged = original.clone();
                        damaged.copy_within(range(other), index * unit);
                        if touches_only_groups(&base, &file, &original, &damaged) {
                            let what = format!("{unit} bytes of {other} also at {index}");
                            base.check(&what, &file, &damaged);
                        }
                        damaged[range(other)].copy_from_slice(&original[range(index)]);
                        if touches_only_groups(&base, &file, &original, &damaged) {
                            let what = format!("{unit} bytes of {other} and {index} swapped");
                            base.check(&what, &file, &damaged);
                        }
                    }
                }
            }
        }
    }
}

/// Whether the oracle can judge a change: of a sealed segment it knows the groups, not the seal.
fn touches_only_groups(base: &Base, file: &Path, original: &[u8], damaged: &[u8]) -> bool {
    file == base.active
        || base.groups.iter().any(|group| {
            group.file == file && original[group.bytes.clone()] != damaged[group.bytes.clone()]
        })
}

#[test]
fn garbage_of_every_length_after_the_end_is_cut_off() {
    let base = Base::new(setup(), STEPS);
    let original = base.disk.content(&base.active);
    let end = used(&base, &base.active) - 48;
    let mut random = Seeded::new(9);
    for len in 1..=4096 {
        let mut damaged = original.clone();
        for byte in &mut damaged[end..end + len] {
            *byte = u8::try_from(random.below(255) + 1).expect("a byte");
        }
        base.check(&format!("{len} bytes of garbage"), &base.active, &damaged);
    }
}

#[test]
fn both_copies_of_a_segment_header_are_needed_to_lose_it() {
    for base in bases() {
        for file in files(&base) {
            let original = base.disk.content(&file);
            for copy in [0, 3584] {
                for at in copy..copy + 128 {
                    let mut damaged = original.clone();
                    damaged[at] ^= 0x10;
                    base.check(&format!("header byte {at}"), &file, &damaged);
                }
            }
            let disk = base.disk.fork();
            disk.damage(&file, |content| {
                content[60] ^= 1;
                content[3584 + 9] ^= 1;
            });
            let corrupt = refusal(&base, &disk);
            assert_eq!((corrupt.file, corrupt.reason), (file, CorruptReason::SegmentHeader));
        }
    }
}

#[test]
fn an_intact_journal_that_ends_too_early_is_named() {
    // The manifest of before the roll, beside a slot from after it.
    let base = Base::new(setup(), STEPS);
    let disk = base.disk.fork();
    let previous = base.disk.content(Path::new(DIR).join("MANIFEST.prev"));
    disk.plant(Path::new(DIR).join("MANIFEST"), &previous);
    assert_eq!(refusal(&base, &disk).reason, CorruptReason::EndMissing);
}

/// The damage that opening reports.
fn refusal(base: &Base, disk: &SimDisk) -> Corrupt {
    match base.setup.open(disk) {
        Err(OpenError::Corrupt(corrupt)) => *corrupt,
        other => panic!("expected a refusal, found {other:?}"),
    }
}

#[test]
fn a_damaged_seal_of_a_rolled_segment_refuses() {
    let base = Base::new(setup(), STEPS);
    let file = base.groups[0].file.clone();
    let seal = used(&base, &file) - 48;
    for at in seal..seal + 32 {
        let disk = base.disk.fork();
        disk.damage(&file, |content| content[at] ^= 4);
        let corrupt = refusal(&base, &disk);
        assert_eq!((corrupt.offset, corrupt.reason), (seal as u64, CorruptReason::FrameHeader));
    }
}

#[test]
fn missing_renamed_and_foreign_segments_refuse() {
    let base = Base::new(setup(), STEPS);
    let other = Base::seeded(setup(), "asasaasra", 4);
    for file in files(&base) {
        let disk = base.disk.fork();
        disk.displace(&file, None);
        assert_eq!(refusal(&base, &disk).reason, CorruptReason::SegmentMissing);

        let disk = base.disk.fork();
        disk.displace(&file, Some(&file.with_file_name("seg-00000000000000000777-0000.jnl")));
        assert_eq!(refusal(&base, &disk).reason, CorruptReason::SegmentMissing);

        let disk = base.disk.fork();
        disk.plant(&file, &other.disk.content(&other.groups[0].file));
        assert_eq!(refusal(&base, &disk).reason, CorruptReason::SegmentForeign);
    }
    // The two segments in each other's place.
    let [first, second] = &files(&base)[..] else { panic!("two segments") };
    let disk = base.disk.fork();
    disk.plant(first, &base.disk.content(second));
    disk.plant(second, &base.disk.content(first));
    assert_eq!(refusal(&base, &disk).reason, CorruptReason::SegmentForeign);
}

#[test]
fn a_duplicated_segment_is_moved_aside() {
    let base = Base::new(setup(), STEPS);
    let disk = base.disk.fork();
    let name = "seg-00000000000000000002-0000.jnl";
    disk.plant(Path::new(DIR).join(name), &base.disk.content(&base.groups[0].file));
    let (journal, opened) =
        Journal::open(DIR, base.setup.options(&disk)).expect("the manifest knows better");
    assert_eq!(opened.moved_files, [Path::new(DIR).join("quarantine").join(name)]);
    assert_eq!(payloads_of(&journal).len(), base.safe_prefix(base.groups.len()));
}

/// INV-30: in whatever way it is unusable.
#[test]
fn a_manifest_that_is_missing_damaged_or_old_refuses() {
    let base = Base::new(setup(), "asaasrabasabbasaab");
    let manifest = Path::new(DIR).join("MANIFEST");
    let original = base.disk.content(&manifest);
    let open = |change: &dyn Fn(&SimDisk)| {
        let disk = base.disk.fork();
        change(&disk);
        let before = snapshot(&disk);
        let error = base.setup.open(&disk).expect_err("a bad manifest refuses");
        assert!(snapshot(&disk) == before, "refusing has changed a file");
        error
    };
    let missing = open(&|disk| disk.displace(&manifest, None));
    assert!(matches!(missing, OpenError::ManifestMissing { .. }), "{missing:?}");
    // Head, two segments, trailer.
    let content = 128 + 2 * 96 + 12;
    for at in 0..content {
        for bit in 0..8 {
            let error = open(&|disk| disk.damage(&manifest, |bytes| bytes[at] ^= 1 << bit));
            assert!(matches!(error, OpenError::ManifestDamaged { .. }), "byte {at}: {error:?}");
        }
        let error = open(&|disk| disk.damage(&manifest, |bytes| bytes.truncate(at)));
        assert!(matches!(error, OpenError::ManifestDamaged { .. }), "length {at}: {error:?}");
    }
    assert!(original[content..].iter().all(|byte| *byte == 0), "the rest says nothing");
    let previous = base.disk.content(Path::new(DIR).join("MANIFEST.prev"));
    let old = open(&|disk| disk.plant(&manifest, &previous));
    assert!(matches!(old, OpenError::ManifestOld { .. }), "{old:?}");
    // That of another journal.
    let other = Base::seeded(setup(), "asraaab", 4).disk.content(&manifest);
    let foreign = open(&|disk| disk.plant(&manifest, &other));
    assert!(matches!(foreign, OpenError::Corrupt(_)), "{foreign:?}");
}

#[test]
fn one_damaged_durable_slot_costs_nothing_and_two_refuse() {
    let base = Base::new(setup(), "asawasawa");
    let durable = Path::new(DIR).join("DURABLE");
    for slot in [0, 4096] {
        for at in slot..slot + 64 {
            let disk = base.disk.fork();
            disk.damage(&durable, |content| content[at] ^= 8);
            drop(base.setup.open(&disk).expect("the other slot counts"));
        }
    }
    let disk = base.disk.fork();
    disk.damage(&durable, |content| {
        content[1] ^= 8;
        content[4097] ^= 8;
    });
    assert_eq!(refusal(&base, &disk).reason, CorruptReason::DurableFile);
    let disk = base.disk.fork();
    disk.displace(&durable, None);
    assert_eq!(refusal(&base, &disk).reason, CorruptReason::DurableFile);
}

#[test]
fn paranoid_tells_damage_of_the_last_group_from_a_torn_tail() {
    for (level, refuses) in [(Level::Batch, false), (Level::Paranoid, true)] {
        let setup = setup();
        let disk = SimDisk::new(5);
        let journal = setup.open(&disk).expect("a new journal");
        let mut batch = batch([&b"first"[..]]);
        journal.commit(&batch, level).expect("room");
        batch.clear();
        batch.push(1, 1, b"last").expect("short");
        journal.commit(&batch, level).expect("room");
        let disk = disk.power_cut(&mut Fixed::Nothing);
        let segment = disk.names(DIR).into_iter().find(|name| name.starts_with("seg-"));
        let segment = Path::new(DIR).join(segment.expect("a segment"));
        disk.damage(&segment, |content| content[HEADER + 40 + 33] ^= 1);
        let opened = setup.open(&disk);
        assert_eq!(matches!(opened, Err(OpenError::Corrupt(_))), refuses, "{opened:?}");
    }
}

#[test]
fn a_dropped_salt_is_found() {
    // The frames of an older life of a file must not pass for new ones. With salts, the begin of the
    // first segment copied to the same place of the second is damage; without, it is data.
    let mut setup = setup();
    let stale = |setup: Setup| {
        let base = Base::new(setup, "asaaasraaaasa");
        let first = base.disk.content(&base.groups[0].file);
        let disk = base.disk.fork();
        disk.damage(&base.active, |content| {
            content[HEADER..HEADER + 64].copy_from_slice(&first[HEADER..HEADER + 64]);
        });
        refusal(&base, &disk)
    };
    assert_eq!(stale(setup).reason, CorruptReason::FrameHeader);
    setup.planted = Some(Planted::DropSalt);
    assert_ne!(stale(setup).reason, CorruptReason::FrameHeader);
}

#[test]
fn a_bad_frame_taken_for_the_end_is_found() {
    let mut setup = setup();
    setup.planted = Some(Planted::IgnoreClaims);
    let base = Base::new(setup, "asasasas");
    let disk = base.disk.fork();
    disk.damage(&base.active, |content| content[HEADER + 33] ^= 1);
    let original = base.disk.content(&base.active);
    let mut damaged = original;
    damaged[HEADER + 33] ^= 1;
    assert_eq!(base.expect(&base.active, &damaged), Expected::Refuse);
    let journal = setup.open(&disk).expect("the planted bug loses everything without a word");
    assert!(payloads_of(&journal).is_empty());
}

#[test]
fn a_hole_without_a_restart_refuses_and_names_the_way_out() {
    let base = Base::new(setup(), "aaaa");
    // Opening and killing makes the last start of the system this one.
    drop(base.setup.open(&base.disk).map(|journal| {
        journal.append(&batch([&b"x"[..]]), End::SafePoint).expect("room");
    }));
    let disk = base.disk.kill();
    let inspection = Journal::inspect(DIR, base.setup.options(&disk)).expect("sound");
    let position = inspection.end().get();
    assert!(position > 0);
    let setup = setup();
    let disk = SimDisk::new(11);
    let journal = setup.open(&disk).expect("a new journal");
    for number in 0..4_u8 {
        journal.append(&batch([&[number; 9][..]]), End::SafePoint).expect("room");
    }
    let segment = disk.names(DIR).into_iter().find(|name| name.starts_with("seg-"));
    let segment = Path::new(DIR).join(segment.expect("a segment"));
    let disk = disk.kill();
    disk.damage(&segment, |content| content[HEADER + 48 + 33] ^= 1);
    let error = setup.open(&disk).expect_err("a killed process leaves no hole");
    assert!(error.to_string().contains("--after-power-loss"), "{error}");
    let mut lost = setup;
    lost.after_power_loss = true;
    assert_eq!(payloads_of(&lost.open(&disk).expect("told")), [[0; 9]]);
}

#[test]
fn the_report_of_damage_says_where_and_what() {
    let base = Base::new(setup(), "asasas");
    let disk = base.disk.fork();
    disk.damage(&base.active, |content| content[HEADER + 40 + 33] ^= 1);
    let corrupt = refusal(&base, &disk);
    assert_eq!(corrupt.lsn.map(Lsn::get), Some(2));
    assert_eq!(
        corrupt.to_string(),
        "corrupt journal: `/journal/seg-00000000000000000001-0000.jnl` at offset 4136: payload \
         checksum does not hold; expected lsn 2, everything before position 80 was durable, 80 \
         bytes follow"
    );
}
