//! The bound that decides whether a range is folded: folding never finds more dead than it says.

use steadfast_wm::codec::take_varint;
use steadfast_wm::{
    CommitSeq, Counters, FactHandle, Inserts, MatchId, Member, RuleTag, RulesetManifest, SafePoint,
    Seq, TypeTag, Values,
};

use super::*;
use crate::normal::tests::{Draw, Session, ends_commit, normal_form, survivors};

type Groups = [Vec<Vec<u8>>];

fn bytes_of(groups: &Groups) -> u64 {
    groups.iter().flatten().map(|record| record.len() as u64).sum()
}

fn tally(groups: &Groups) -> (Tally, Longest) {
    let mut teller = Teller::default();
    for group in groups {
        let mut inserted = false;
        for record in group {
            let mut at = 0;
            let mut head = || take_varint(record, &mut at).expect("a head");
            let [tag, version, _] = [(); 3].map(|()| head());
            let payload = &record[at..];
            teller.take(tag, version, payload, record.len(), &mut inserted);
        }
    }
    teller.end(bytes_of(groups));
    teller.tally()
}

/// What a history is asked: how much of it has died since a place, and what tallies say.
#[derive(Debug)]
struct Case {
    dead: u64,
    before: Tally,
    since: Tally,
    longest: Longest,
}

impl Case {
    /// Of the groups from `from` on, what has died because of those from `since` on.
    fn of(groups: &Groups, from: usize, since: usize) -> Self {
        let live = |to| {
            let form = normal_form(&groups[from..to], from == 0);
            if from == to { 0 } else { bytes_of(&survivors(&form)) }
        };
        let dead = live(since) + bytes_of(&groups[since..]);
        Self {
            dead: dead.saturating_sub(live(groups.len())),
            before: tally(&groups[..since]).0,
            since: tally(&groups[since..]).0,
            longest: tally(groups).1,
        }
    }

    fn dead_max(&self) -> u64 {
        self.since.behind(&self.before).dead_max(self.longest)
    }
}

/// Of random histories, what has died between one commit and a later one, of everything and of a part.
#[test]
fn folding_finds_no_more_dead_than_the_tally_says() {
    let mut cases = 0;
    for seed in 0..600 {
        let groups = match seed % 4 {
            0 => Session::history(seed, 5 + seed / 4),
            _ => Session::plain_history(seed, 5 + seed % 100),
        };
        let mut draw = Draw(seed);
        let commits: Vec<usize> =
            (1..=groups.len()).filter(|end| ends_commit(&groups, *end)).collect();
        for _ in 0..8 {
            let mut place = || match draw.small::<usize>(commits.len() as u64 + 1) {
                0 => 0,
                nth => commits[nth - 1],
            };
            let mut range = [place(), place(), place()];
            range.sort_unstable();
            let [from, since, to] = range;
            if since < to {
                let case = Case::of(&groups[..to], from, since);
                assert!(case.dead <= case.dead_max(), "seed {seed}, {range:?}: {case:?}");
                cases += 1;
            }
        }
    }
    assert!(cases > 3000, "{cases}");
}

const MANY: u64 = 100;

fn group(records: &[Record<'_>]) -> Vec<Vec<u8>> {
    let bytes = |record: &Record<'_>| {
        let mut bytes = Vec::new();
        v1::encode(record, &mut bytes);
        bytes
    };
    records.iter().map(bytes).collect()
}

fn commit(number: u64) -> Record<'static> {
    let (commit, counters) = (CommitSeq::new(number), Counters::default());
    Record::Commit { commit, point: SafePoint::Evaluated, counters }
}

fn insert(number: u64) -> Record<'static> {
    let (handle, kind, seq) = (FactHandle::new(number), TypeTag::new(0), Seq::new(number));
    let (version, bytes, origin, stated, clock) = (1, &[7; 500], None, true, 0);
    Record::Insert { handle, kind, version, bytes, seq, origin, stated, clock }
}

fn by(key: u64) -> MatchId {
    MatchId {
        rule: RuleTag::new(0),
        branch: 0,
        members: vec![Member::Key(key.to_le_bytes().into())],
    }
}

/// Spoils one part of a bound.
type Spoil = fn(&mut Case);

/// Histories in which one part of the bound is nearly all of it: what came before, what came since, the
/// part's name, and the bound without it.
fn scripts() -> Vec<(&'static str, Vec<Record<'static>>, Vec<Record<'static>>, Spoil)> {
    let all = |record: fn(u64) -> Record<'static>| (1..=MANY).map(record);
    let seq = Seq::new(1000);
    let change: fn(u64) -> Record<'static> = |number| {
        let (handle, seq, bytes) = (FactHandle::new(number), Seq::new(1000 + number), &[7]);
        Record::Update { handle, version: 1, bytes, mask: 1, seq, origin: None }
    };
    let pending: fn(u64) -> Record<'static> =
        |number| Record::Pending { by: by(number), salience: 0, trigger: Seq::new(1) };
    let withdrawn: fn(u64) -> Record<'static> = |number| Record::Withdrawn { by: by(number) };
    let effect: fn(u64) -> Record<'static> = |number| {
        let ordinal = u32::try_from(number).expect("small");
        Record::Effect { ordinal, topic: "Alert", version: 1, bytes: &[7; 200] }
    };
    let acknowledge: fn(u64) -> Record<'static> = |number| {
        let ordinal = u32::try_from(number).expect("small");
        Record::Acknowledge { commit: CommitSeq::new(1), ordinal }
    };
    let (handle, by_first) = (FactHandle::new(1), by(1));
    let support = |number| Record::Justify { handle, by: by(number) };
    let delete = Record::Delete { handle, seq, origin: None, cascade: false };
    let ruleset = |length: usize| {
        let manifest = RulesetManifest { name: "a".repeat(length), ..Default::default() };
        Record::Ruleset { seq, manifest }
    };
    let inserts: Vec<_> = all(insert).chain([Record::Evaluated]).collect();
    let between = all(insert).zip(all(pending)).flat_map(|(one, other)| [one, other]);
    let between = between.chain([Record::Evaluated]);
    let firings = all(insert).flat_map(|one| [one, Record::Fired { by: by_first.clone() }]);
    vec![
        ("marks", vec![], vec![Record::Evaluated; 200], |case| case.since.others = 0),
        ("insertions that become one record", vec![], firings.collect(), |case| {
            case.since.others -= MANY * (case.longest.envelope - 1);
        }),
        ("changes", inserts.clone(), all(change).collect(), |case| case.since.changes = 0),
        ("the longest value", inserts.clone(), all(change).collect(), |case| {
            case.longest.value = 0;
        }),
        ("what was staged", [inserts, all(change).collect()].concat(), vec![], |case| {
            case.before.staged = Staged::default();
        }),
        ("effects", all(effect).collect(), all(acknowledge).collect(), |case| {
            case.since.replacements = 0;
        }),
        ("the longest other record", all(effect).collect(), all(acknowledge).collect(), |case| {
            case.longest.other /= 3;
        }),
        ("insertions around other records", between.collect(), all(withdrawn).collect(), |case| {
            case.longest.envelope = 0;
        }),
        (
            "supports",
            [insert(1)].into_iter().chain((1..=MANY).map(support)).collect(),
            vec![delete],
            |case| {
                (case.longest.supports, case.longest.support_bytes) = (0, 0);
            },
        ),
        ("rulesets", vec![ruleset(2000)], vec![ruleset(0)], |case| case.since.rulesets = 0),
    ]
}

#[test]
fn a_bound_without_one_of_its_parts_is_wrong() {
    for (part, before, since, spoil) in scripts() {
        let before = [before, vec![commit(1)]].concat();
        let since = [since, vec![Record::Evaluated, commit(2)]].concat();
        let groups = [group(&before), group(&since)];
        let mut case = Case::of(&groups, 0, 1);
        assert!(case.dead <= case.dead_max(), "{part}: {case:?}");
        spoil(&mut case);
        assert!(case.dead > case.dead_max(), "{part}: {case:?}");
    }
}

/// What the tally is for: where nothing but facts is inserted, one or many a commit, nothing is folded.
#[test]
fn of_insertions_alone_little_may_be_dead() {
    for facts in [1, 100] {
        let commit_of = |nth: u64| {
            let value = [vec![100], vec![7; 100]].concat();
            let values = value.repeat(usize::try_from(facts).expect("small"));
            let first = 1 + nth * facts;
            let inserts = Record::Inserts(Inserts {
                handle: FactHandle::new(first),
                kind: TypeTag::new(0),
                version: 1,
                values: Values::new(&values).expect("each is behind its length"),
                seq: Seq::new(first),
                origin: None,
                stated: true,
                clock: 0,
            });
            group(&[inserts, Record::Evaluated, commit(1 + nth)])
        };
        let groups: Vec<_> = (0..1000).map(commit_of).collect();
        let (tally, longest) = tally(&groups);
        let (bytes, dead) = (bytes_of(&groups), tally.dead_max(longest));
        assert!(dead * 100 / bytes < 15, "{facts}: {dead} of {bytes}");
    }
}
