//! INV-74 on records: ranges of random histories fold to the same image as their normal forms.

use std::collections::{BTreeMap, BTreeSet};

use steadfast_wm::codec::put_varint;
use steadfast_wm::{
    CommitSeq, Counters, Inserts, RuleTag, RulesetManifest, SafePoint, Seq, TypeTag, Values,
};

use super::*;
use crate::error::FoldError;
use crate::image::Image;

/// Numbers from a seed.
pub(crate) struct Draw(pub(crate) u64);

impl Draw {
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }

    pub(crate) fn small<T: TryFrom<u64, Error: std::fmt::Debug>>(&mut self, end: u64) -> T {
        T::try_from(self.below(end)).expect("a small number")
    }

    fn of<T: Clone>(&mut self, all: impl Iterator<Item = T>) -> Option<T> {
        let all: Vec<T> = all.collect();
        let index = usize::try_from(self.below(all.len().max(1) as u64)).expect("small");
        all.get(index).cloned()
    }
}

/// How many kinds of steps there are; any number behind them is a commit.
const KINDS: u64 = 27;

/// A session as its records know it.
pub(crate) struct Session {
    draw: Draw,
    groups: Vec<Vec<Vec<u8>>>,
    group: Vec<Vec<u8>>,
    types: u32,
    next_handle: u64,
    seq: u64,
    commit: u64,
    live: BTreeSet<FactHandle>,
    supports: BTreeSet<(FactHandle, MatchId)>,
    pending: BTreeSet<MatchId>,
    /// Matches that wait for their time.
    due: BTreeSet<MatchId>,
    waiting: BTreeMap<u64, BTreeSet<u32>>,
    emitted: u32,
    /// Whether a value in sixteen may be much longer than the others.
    has_long_values: bool,
    /// What its steps are drawn from.
    kinds: Vec<u64>,
    /// Whether its commits say which matches are pending.
    has_matches: bool,
}

impl Session {
    fn new(seed: u64) -> Self {
        let mut session = Self {
            draw: Draw(seed),
            has_long_values: seed.is_multiple_of(4),
            kinds: (0..KINDS).collect(),
            has_matches: true,
            groups: Vec::new(),
            group: Vec::new(),
            types: 0,
            next_handle: 1,
            seq: 0,
            commit: 0,
            live: BTreeSet::new(),
            supports: BTreeSet::new(),
            pending: BTreeSet::new(),
            due: BTreeSet::new(),
            waiting: BTreeMap::new(),
            emitted: 0,
        };
        let manifest = RulesetManifest::default();
        session.put(&Record::Ruleset { seq: Seq::new(1), manifest });
        session.name_type();
        session.commit();
        session
    }

    fn put(&mut self, record: &Record<'_>) {
        let mut bytes = Vec::new();
        v1::encode(record, &mut bytes);
        self.group.push(bytes);
    }

    fn name_type(&mut self) {
        let (tag, name) = (TypeTag::new(self.types), format!("T{}", self.types));
        self.put(&Record::Type { tag, name: &name });
        self.types += 1;
    }

    fn value(&mut self) -> Vec<u8> {
        let long = self.has_long_values && self.draw.below(16) == 0;
        let length = self.draw.small::<usize>(if long { 1000 } else { 20 });
        vec![self.draw.small::<u8>(256); length]
    }

    fn a_match(&mut self) -> MatchId {
        let mut members: Vec<Member> =
            self.draw.of(self.live.clone().into_iter()).map(Member::Fact).into_iter().collect();
        if members.is_empty() || self.draw.below(4) == 0 {
            members = vec![Member::Key([self.draw.small::<u8>(3)].into())];
        }
        MatchId { rule: RuleTag::new(self.draw.small(2)), branch: 0, members }
    }

    /// Facts that enter one right behind the other, with this value and others.
    fn insert_run(&mut self, value: &[u8]) {
        let count = 1 + self.draw.below(5);
        let mut bytes = Vec::new();
        for nth in 0..count {
            let length = value.len() * usize::try_from(nth * self.draw.below(200)).expect("small");
            put_varint(length as u64, &mut bytes);
            bytes.extend(value.iter().cycle().take(length));
        }
        let handle = FactHandle::new(self.next_handle);
        self.live.extend(
            (self.next_handle..).map(FactHandle::new).take(usize::try_from(count).expect("small")),
        );
        let inserts = Inserts {
            handle,
            kind: TypeTag::new(self.draw.small(u64::from(self.types))),
            version: 1,
            values: Values::new(&bytes).expect("each is behind its length"),
            seq: Seq::new(self.seq),
            origin: None,
            stated: true,
            clock: 0,
        };
        self.put(&Record::Inserts(inserts));
        self.next_handle += count;
        self.seq += count - 1;
    }

    fn step(&mut self) {
        self.seq += 1;
        let seq = Seq::new(self.seq);
        let origin = (self.draw.below(2) == 0).then(|| RuleTag::new(1));
        let bytes = self.value();
        let live = self.draw.of(self.live.clone().into_iter());
        let kind = self.draw.of(self.kinds.clone().into_iter()).unwrap_or(KINDS);
        match (kind, live) {
            (0..=4, _) => {
                let handle = FactHandle::new(self.next_handle);
                self.next_handle += 1;
                self.live.insert(handle);
                let kind = TypeTag::new(self.draw.small(u64::from(self.types)));
                let (stated, clock) = (self.draw.below(3) > 0, self.draw.small(9));
                let bytes = &bytes;
                self.put(&Record::Insert {
                    handle,
                    kind,
                    version: 1,
                    bytes,
                    seq,
                    origin,
                    stated,
                    clock,
                });
            }
            (5..=8, Some(handle)) => {
                let mask = self.draw.below(8);
                self.put(&Record::Update { handle, version: 2, bytes: &bytes, mask, seq, origin });
            }
            (9..=10, Some(handle)) => {
                self.live.remove(&handle);
                self.supports.retain(|(of, _)| *of != handle);
                self.put(&Record::Delete {
                    handle,
                    seq,
                    origin,
                    cascade: self.seq.is_multiple_of(2),
                });
            }
            (11, Some(handle)) => {
                self.put(&Record::Stated { handle, stated: self.seq.is_multiple_of(3), seq });
            }
            (12, Some(handle)) => {
                let by = self.a_match();
                if self.supports.insert((handle, by.clone())) {
                    self.put(&Record::Justify { handle, by });
                }
            }
            (13, _) => {
                if let Some((handle, by)) = self.draw.of(self.supports.clone().into_iter()) {
                    self.supports.remove(&(handle, by.clone()));
                    self.put(&Record::Unjustify { handle, by });
                }
            }
            (14, _) => self.put(&Record::Evaluated),
            (15, _) => {
                let by = self.a_match();
                self.put(&Record::Fired { by });
            }
            (kind, _) => self.step_without_a_fact(kind, &bytes),
        }
    }

    fn step_without_a_fact(&mut self, kind: u64, bytes: &[u8]) {
        let seq = Seq::new(self.seq);
        match kind {
            16 => {
                let name = ["limit", "rate"][self.draw.small::<usize>(2)];
                self.put(&Record::SetGlobal { name, version: 1, bytes, seq });
            }
            17 if self.draw.below(3) == 0 => self.name_type(),
            17 => self.put(&Record::Clock { millis: self.seq.cast_signed(), seq }),
            18 => self.emit(bytes),
            19..=20 => self.agenda(),
            22..=23 => self.insert_run(bytes),
            24..=25 => self.timer(),
            26 if self.draw.below(3) == 0 => {
                let manifest = RulesetManifest::default();
                self.put(&Record::Ruleset { seq, manifest });
            }
            _ => self.commit(),
        }
    }

    fn agenda(&mut self) {
        if self.draw.below(2) == 0 {
            let groups = &["a", "b", "MAIN"][..self.draw.small::<usize>(4)];
            self.put(&Record::Focus { groups: groups.to_vec() });
        } else {
            let group = ["a", "b"][self.draw.small::<usize>(2)];
            let active = self.draw.below(2) == 0;
            let (activated, cleared) = (Seq::new(self.draw.below(2)), Seq::new(0));
            self.put(&Record::GroupMarks { group, active, activated, cleared });
        }
    }

    fn timer(&mut self) {
        let over = self.draw.of(self.due.clone().into_iter());
        if let Some(by) = over.filter(|_| self.draw.below(2) == 0) {
            self.due.remove(&by);
            self.put(&Record::Due { by, at: None });
        } else {
            let (by, at) = (self.a_match(), self.draw.small(9));
            self.due.insert(by.clone());
            self.put(&Record::Due { by, at: Some(at) });
        }
    }

    fn emit(&mut self, bytes: &[u8]) {
        let ordinal = self.emitted;
        self.emitted += 1;
        self.put(&Record::Effect { ordinal, topic: "Alert", version: 1, bytes });
    }

    fn commit(&mut self) {
        let pending: Vec<MatchId> = self.pending.clone().into_iter().collect();
        for by in pending {
            let is_dead = by.members.iter().any(|member| match member {
                Member::Fact(handle) => !self.live.contains(handle),
                Member::Key(_) => false,
            });
            if is_dead || self.draw.below(4) == 0 {
                self.pending.remove(&by);
                self.put(&Record::Withdrawn { by });
            }
        }
        let pending = self.draw.below(if self.has_matches { 3 } else { 1 });
        for _ in 0..pending {
            let by = self.a_match();
            self.pending.insert(by.clone());
            let salience = self.draw.small(5);
            self.put(&Record::Pending { by, salience, trigger: Seq::new(self.seq) });
        }
        self.commit += 1;
        let counters = Counters { next_handle: self.next_handle, ..Counters::default() };
        let commit = CommitSeq::new(self.commit);
        self.put(&Record::Commit { commit, point: SafePoint::Staged, counters });
        self.waiting.insert(self.commit, (0..std::mem::take(&mut self.emitted)).collect());
        self.groups.push(std::mem::take(&mut self.group));
        while self.draw.below(3) == 0 {
            let waiting =
                self.waiting.iter().flat_map(|(commit, all)| all.iter().map(|one| (*commit, *one)));
            let Some((commit, ordinal)) = self.draw.of(waiting.collect::<Vec<_>>().into_iter())
            else {
                break;
            };
            self.waiting.get_mut(&commit).expect("it waits").remove(&ordinal);
            self.put(&Record::Acknowledge { commit: CommitSeq::new(commit), ordinal });
            self.groups.push(std::mem::take(&mut self.group));
        }
    }

    pub(crate) fn history(seed: u64, steps: u64) -> Vec<Vec<Vec<u8>>> {
        Self::new(seed).live(steps)
    }

    /// One that does insertions and commits, and little else.
    pub(crate) fn plain_history(seed: u64, steps: u64) -> Vec<Vec<Vec<u8>>> {
        let mut session = Self::new(seed);
        let one_in = 2 + session.draw.below(6);
        let mut kinds = std::mem::take(&mut session.kinds);
        kinds.retain(|_| session.draw.below(one_in) == 0);
        kinds.extend([0, KINDS, KINDS]);
        session.kinds = kinds;
        session.has_matches = seed.is_multiple_of(3);
        session.live(steps)
    }

    fn live(mut self, steps: u64) -> Vec<Vec<Vec<u8>>> {
        (0..steps).for_each(|_| self.step());
        self.commit();
        self.groups
    }
}

fn fold(image: Image, groups: &[Vec<Vec<u8>>]) -> Image {
    try_fold(image, groups.iter().flatten()).unwrap_or_else(|error| panic!("{error}"))
}

fn try_fold<'a>(
    mut image: Image,
    mut records: impl Iterator<Item = &'a Vec<u8>>,
) -> Result<Image, FoldError> {
    records.try_for_each(|bytes| image.apply(&v1::decode(bytes).expect("valid").0))?;
    Ok(image)
}

pub(crate) fn normal_form(groups: &[Vec<Vec<u8>>], whole: bool) -> NormalForm {
    let mut form = NormalForm::new(whole);
    for (lsn, group) in (1..).zip(groups) {
        for bytes in group {
            let (record, _) = v1::decode(bytes).expect("valid");
            form.apply(lsn, &record, bytes).expect("a valid history");
        }
    }
    form
}

/// The records that remain, by the groups that they came in.
pub(crate) fn survivors(form: &NormalForm) -> Vec<Vec<Vec<u8>>> {
    let mut groups: BTreeMap<u64, Vec<Vec<u8>>> = BTreeMap::new();
    let written = form.write(|lsn, encode| {
        let mut bytes = Vec::new();
        encode(&mut bytes);
        groups.entry(lsn).or_default().push(bytes);
        Ok::<_, ()>(())
    });
    assert_eq!(written, Ok(()));
    groups.into_values().collect()
}

/// Where a range may end: behind a group that ends a commit.
pub(crate) fn ends_commit(groups: &[Vec<Vec<u8>>], end: usize) -> bool {
    end > 0
        && matches!(
            v1::decode(groups[end - 1].last().expect("a record")),
            Ok((Record::Commit { .. }, _))
        )
}

#[test]
fn ranges_and_their_normal_forms_fold_to_the_same() {
    let mut ranges = 0;
    for seed in 0..150 {
        let groups = Session::history(seed, 20 + 2 * seed);
        let mut draw = Draw(seed);
        for _ in 0..8 {
            let to = 1 + draw.small::<usize>(groups.len() as u64);
            let from = draw.small::<usize>(to as u64);
            let range = &groups[from..to];
            let form = normal_form(range, from == 0);
            if !form.is_complete() || !ends_commit(&groups, to) {
                continue;
            }
            ranges += 1;
            let normal = survivors(&form);
            let before = fold(Image::default(), &groups[..from]);
            let expected = fold(before.clone(), range);
            let image = fold(before, &normal);
            assert_eq!(image, expected, "seed {seed}, groups {from}..{to}");
            assert_eq!(image.digest(), expected.digest());
            assert_eq!(fold(image, &groups[to..]), fold(Image::default(), &groups));
            let (old, new) = (fold(form.premise(), range), fold(form.premise(), &normal));
            assert_eq!(old, new, "on the premise: seed {seed}, groups {from}..{to}");
            let twice = survivors(&normal_form(&normal, from == 0));
            assert_eq!(twice, normal, "twice is once: seed {seed}, groups {from}..{to}");
        }
    }
    assert!(ranges > 300, "{ranges}");
}

/// The comparison before a switch knows only the range and what it presupposes: it must find whatever a
/// normal form may lack.
#[test]
fn nothing_that_remains_can_be_left_out_unnoticed() {
    let mut left_out = 0;
    for seed in 0..60 {
        let groups = Session::history(seed, 30 + seed);
        let from = 1 + groups.len() / 3;
        let range = &groups[from..];
        let form = normal_form(range, false);
        let normal = survivors(&form).concat();
        let expected = fold(form.premise(), range);
        for missing in 0..normal.len() {
            let rest = normal.iter().enumerate().filter(|(at, _)| *at != missing);
            let folded = try_fold(form.premise(), rest.map(|(_, bytes)| bytes));
            let (record, _) = v1::decode(&normal[missing]).expect("valid");
            assert_ne!(folded.ok().as_ref(), Some(&expected), "seed {seed}: {record:?}");
            left_out += 1;
        }
    }
    assert!(left_out > 1000, "{left_out}");
}

/// The same of an image: its records fold to it, whatever follows, and each of them is needed.
#[test]
fn an_image_is_what_its_records_fold_to_and_none_is_too_many() {
    let (mut images, mut left_out) = (0, 0);
    for seed in 0..100 {
        let groups = Session::history(seed, 20 + 2 * seed);
        let whole = fold(Image::default(), &groups);
        let mut image = Image::default();
        for (at, group) in groups.iter().enumerate() {
            image = fold(image, std::slice::from_ref(group));
            if at % 3 != 0 {
                continue;
            }
            let (mut records, mut bytes) = (Vec::new(), Vec::new());
            let given = image.records(|record| {
                bytes.clear();
                v1::encode(record, &mut bytes);
                records.push(bytes.clone());
                Ok::<_, ()>(())
            });
            assert_eq!(given, Ok(()));
            let mut copy = Image::default();
            assert_eq!(copy.apply_all(&records.concat()).expect("they fold"), records.len());
            assert_eq!(copy, image, "seed {seed}, group {at}");
            assert!(copy.is_at_boundary());
            assert_eq!(fold(copy, &groups[at + 1..]), whole, "seed {seed}, group {at}");
            images += 1;
            if at % 12 != 0 {
                continue;
            }
            for missing in 0..records.len() {
                let rest = records.iter().enumerate().filter(|(it, _)| *it != missing);
                let folded = try_fold(Image::default(), rest.map(|(_, bytes)| bytes));
                let (record, _) = v1::decode(&records[missing]).expect("valid");
                assert_ne!(folded.ok().as_ref(), Some(&image), "seed {seed}: {record:?}");
                left_out += 1;
            }
        }
    }
    assert!(images > 300 && left_out > 1000, "{images} images, {left_out} left out");
}

/// Tiers: the normal form of normal forms is that of the whole.
#[test]
fn merging_normal_forms_gives_that_of_the_whole() {
    for seed in 0..60 {
        let groups = Session::history(seed, 150);
        let middle =
            (1..groups.len()).find(|at| *at >= groups.len() / 2 && ends_commit(&groups, *at));
        let middle = middle.expect("commits are frequent");
        let mut tiers = survivors(&normal_form(&groups[..middle], true));
        tiers.extend(survivors(&normal_form(&groups[middle..], false)));
        let merged = survivors(&normal_form(&tiers, true)).concat();
        assert_eq!(merged, survivors(&normal_form(&groups, true)).concat(), "seed {seed}");
    }
}

/// Scenarios 59 to 62: what a script of records leaves.
#[test]
fn what_cancels_vanishes_and_what_survives_stays_in_place() {
    let insert = |handle, value: &'static [u8]| Record::Insert {
        handle: FactHandle::new(handle),
        kind: TypeTag::new(0),
        version: 1,
        bytes: value,
        seq: Seq::new(handle),
        origin: None,
        stated: true,
        clock: 0,
    };
    let update = |handle, value: &'static [u8]| Record::Update {
        handle: FactHandle::new(handle),
        version: 1,
        bytes: value,
        mask: 1,
        seq: Seq::new(100),
        origin: Some(RuleTag::new(3)),
    };
    let delete = |handle| Record::Delete {
        handle: FactHandle::new(handle),
        seq: Seq::new(101),
        origin: None,
        cascade: false,
    };
    let counters = Counters { next_handle: 40, ..Counters::default() };
    let commit = Record::Commit { commit: CommitSeq::new(7), point: SafePoint::Fired, counters };
    let records = [
        insert(30, b"a"),
        insert(31, b"gone"),
        update(30, b"b"),
        update(4, b"old"),
        Record::Evaluated,
        delete(31),
        delete(5),
        update(30, b"c"),
        update(4, b"older"),
        Record::Evaluated,
        delete(30),
        commit.clone(),
    ];
    let mut form = NormalForm::new(false);
    for (lsn, record) in (1..).zip(&records) {
        let mut bytes = Vec::new();
        v1::encode(record, &mut bytes);
        form.apply(lsn, record, &bytes).expect("valid");
    }
    let mut bytes = Vec::new();
    let left = records_left(&form, &mut bytes);
    let Record::Insert { handle, kind, version, seq: _, origin: _, stated, clock, .. } =
        insert(30, b"")
    else {
        unreachable!("an insertion")
    };
    let (seq, origin) = (Seq::new(100), Some(RuleTag::new(3)));
    let folded = Record::Insert { handle, kind, version, bytes: b"c", seq, origin, stated, clock };
    assert_eq!(
        left,
        [folded, delete(5), update(4, b"older"), Record::Evaluated, delete(30), commit]
    );
}

fn records_left<'a>(form: &NormalForm, bytes: &'a mut Vec<Vec<u8>>) -> Vec<Record<'a>> {
    *bytes = survivors(form).concat();
    bytes.iter().map(|bytes| v1::decode(bytes).expect("valid").0).collect()
}

/// A range that began before the journal's end knows what it gave itself: nothing remains of that. What
/// it took from before remains taken, also if it had it back for a while.
#[test]
fn of_matches_and_supports_only_what_the_range_took_from_before_remains() {
    let of = |handle| MatchId {
        rule: RuleTag::new(1),
        branch: 0,
        members: vec![Member::Fact(FactHandle::new(handle))],
    };
    let insert = Record::Insert {
        handle: FactHandle::new(30),
        kind: TypeTag::new(0),
        version: 1,
        bytes: b"a",
        seq: Seq::new(30),
        origin: None,
        stated: true,
        clock: 0,
    };
    let pending = |handle| Record::Pending { by: of(handle), salience: 0, trigger: Seq::new(31) };
    let withdrawn = |handle| Record::Withdrawn { by: of(handle) };
    let due = |handle, at| Record::Due { by: of(handle), at };
    let justify = |handle, by| Record::Justify { handle: FactHandle::new(handle), by: of(by) };
    let unjustify = |handle, by| Record::Unjustify { handle: FactHandle::new(handle), by: of(by) };
    let (commit, counters) = (CommitSeq::new(7), Counters::default());
    let commit = Record::Commit { commit, point: SafePoint::Fired, counters };
    let records = [
        insert.clone(),
        pending(30),
        withdrawn(30),
        due(30, Some(5)),
        due(30, None),
        pending(4),
        withdrawn(4),
        due(5, Some(5)),
        due(5, None),
        unjustify(4, 1),
        justify(4, 1),
        unjustify(4, 1),
        justify(5, 2),
        unjustify(5, 2),
        Record::Evaluated,
        commit.clone(),
    ];
    let mut form = NormalForm::new(false);
    for record in &records {
        let mut bytes = Vec::new();
        v1::encode(record, &mut bytes);
        form.apply(1, record, &bytes).expect("valid");
    }
    let mut bytes = Vec::new();
    let left = [insert, withdrawn(4), due(5, None), unjustify(4, 1), Record::Evaluated, commit];
    assert_eq!(records_left(&form, &mut bytes), left);
}

/// Commits of a range are numbered one by one, whether they remain or are folded.
#[test]
fn commits_out_of_order_are_refused() {
    let commit = |number| Record::Commit {
        commit: CommitSeq::new(number),
        point: SafePoint::Fired,
        counters: Counters::default(),
    };
    let folded = |through| Record::Folded { through: CommitSeq::new(through) };
    let cases = [
        ([commit(7), commit(8)], true),
        ([commit(7), commit(9)], false),
        ([commit(7), commit(7)], false),
        ([folded(7), commit(8)], true),
        ([folded(7), commit(9)], false),
        ([commit(7), folded(9)], true),
        ([commit(7), folded(7)], false),
        ([folded(7), folded(6)], false),
    ];
    for (records, is_in_order) in cases {
        let mut form = NormalForm::new(false);
        let applied = records.iter().try_for_each(|record| {
            let mut bytes = Vec::new();
            v1::encode(record, &mut bytes);
            form.apply(1, record, &bytes)
        });
        match applied {
            Ok(()) => assert!(is_in_order, "{records:?}"),
            Err(FoldError::CommitOrder { .. }) => assert!(!is_in_order, "{records:?}"),
            Err(error) => panic!("{records:?}: {error}"),
        }
    }
}
