//! The journal against a list: random operations, shrunk when they disagree.

use proptest::prelude::*;
use steadfast_journal::testing::{Fixed, Seeded, SimDisk};
use steadfast_journal::{AppendError, Batch, End, From, Journal, Level, Lsn, Position, WriteMode};

use crate::common::{Seen, drain, read_all};
use crate::world::Setup;

#[derive(Clone, Debug)]
enum Op {
    Append { records: Vec<u16>, safe_point: bool },
    Wait,
    Idle,
    Roll,
    Truncate(prop::sample::Index),
    ReadFrom(prop::sample::Index),
    Close,
    Kill,
    PowerCut(u64),
}

fn op() -> impl Strategy<Value = Op> {
    let len = prop_oneof![6 => 0_u16..200, 1 => 200_u16..5000, 1 => 20_000_u16..50_000];
    let records = prop::collection::vec(len, 0..6);
    prop_oneof![
        8 => (records, prop::bool::weighted(0.8))
            .prop_map(|(records, safe_point)| Op::Append { records, safe_point }),
        3 => Just(Op::Wait),
        1 => Just(Op::Idle),
        1 => Just(Op::Roll),
        1 => any::<prop::sample::Index>().prop_map(Op::Truncate),
        2 => any::<prop::sample::Index>().prop_map(Op::ReadFrom),
        1 => Just(Op::Close),
        1 => Just(Op::Kill),
        1 => any::<u64>().prop_map(Op::PowerCut),
    ]
}

struct Model {
    disk: SimDisk,
    setup: Setup,
    journal: Option<Journal>,
    groups: Vec<Seen>,
    durable: usize,
    batch: Batch,
}

impl Model {
    fn journal(&self) -> &Journal {
        self.journal.as_ref().expect("open between operations")
    }

    fn append(&mut self, number: u8, records: &[u16], end: End) {
        self.batch.clear();
        for (index, len) in records.iter().enumerate() {
            let fill = number.wrapping_mul(31).wrapping_add(u8::try_from(index).expect("few"));
            self.batch.push(7, 2, &vec![fill; usize::from(*len)]).expect("short");
        }
        let root_open = self.groups.last().is_some_and(|group| group.end == End::Batch);
        let appended = match self.journal().append(&self.batch, end) {
            Ok(appended) => appended,
            Err(AppendError::RecordTooLong { .. }) => return,
            Err(error) => panic!("{error:?}"),
        };
        if records.is_empty() && (end == End::Batch || !root_open) {
            return; // Nothing to say.
        }
        self.groups.push(Seen {
            lsn: appended.lsn.get(),
            position: appended.position.get(),
            end,
            records: self.batch.records().map(|record| record.payload().to_vec()).collect(),
        });
    }

    /// Everything up to the last safe point is durable once the journal was opened again.
    fn reopen(&mut self, disk: SimDisk, least: usize) {
        self.journal = None;
        self.disk = disk;
        let journal = self.setup.open(&self.disk).expect("sound");
        let found = read_all(&journal);
        let safe = |groups: &[Seen]| {
            groups
                .iter()
                .rposition(|group| group.end == End::SafePoint)
                .map_or(0, |index| index + 1)
        };
        assert!(self.groups.starts_with(&found), "{found:?} is no prefix of {:?}", self.groups);
        assert!(found.len() >= safe(&self.groups[..least]), "lost what was acknowledged");
        assert_eq!(safe(&found), found.len(), "an open root was kept");
        self.groups.truncate(found.len());
        self.durable = found.len();
        self.journal = Some(journal);
    }

    fn truncate(&mut self, index: prop::sample::Index) {
        let ends: Vec<usize> = (0..self.groups.len())
            .filter(|index| self.groups[*index].end == End::SafePoint)
            .collect();
        if ends.is_empty() {
            return;
        }
        let kept = ends[index.index(ends.len())];
        let position = Position::new(self.groups[kept].position);
        self.journal().truncate(position).expect("a safe point ends there");
        self.groups.truncate(kept + 1);
        self.durable = self.groups.len();
    }

    fn read_from(&self, index: prop::sample::Index) {
        self.journal().wait(self.journal().positions().appended, Level::Process).expect("stored");
        let all = drain(&mut self.journal().read(From::Start).expect("readable"));
        assert_eq!(all, self.groups);
        if self.groups.is_empty() {
            return;
        }
        let index = index.index(self.groups.len());
        let from = From::Lsn(Lsn::new(self.groups[index].lsn));
        let found = drain(&mut self.journal().read(from).expect("readable"));
        assert_eq!(found, self.groups[index..]);
        let from = From::Position(Position::new(self.groups[index].position));
        let found = drain(&mut self.journal().read(from).expect("readable"));
        assert_eq!(found, self.groups[index + 1..]);
    }

    fn apply(&mut self, number: u8, op: Op) {
        match op {
            Op::Append { records, safe_point } => {
                let end = if safe_point { End::SafePoint } else { End::Batch };
                self.append(number, &records, end);
            }
            Op::Wait => {
                let end = self.journal().positions().appended;
                self.journal().wait_durable(end).expect("durable");
                self.durable = self.groups.len();
            }
            Op::Idle => {
                self.journal().run_idle();
                self.durable = self.groups.len();
            }
            Op::Roll => {
                self.journal().roll().expect("room");
                self.durable = self.groups.len();
            }
            Op::Truncate(index) => self.truncate(index),
            Op::ReadFrom(index) => self.read_from(index),
            Op::Close => {
                let journal = self.journal.take().expect("open");
                journal.close().expect("closes");
                let disk = self.disk.power_cut(&mut Fixed::Nothing);
                self.reopen(disk, self.groups.len());
            }
            Op::Kill => {
                let stored = match self.setup.mode {
                    WriteMode::Map => self.groups.len(),
                    WriteMode::Pwrite => self.durable,
                };
                let disk = self.disk.kill();
                self.reopen(disk, stored);
            }
            Op::PowerCut(seed) => {
                let disk = self.disk.power_cut(&mut Seeded::new(seed));
                self.reopen(disk, self.durable);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(
        if std::env::var_os("STEADFAST_SOAK").is_some() { 20_000 } else { 250 }
    ))]

    #[test]
    // INV-20: numbers and positions of the list only grow.
    fn the_journal_is_a_list_that_survives(
        map: bool,
        seed: u64,
        ops in prop::collection::vec(op(), 1..40),
    ) {
        let setup = Setup::new(if map { WriteMode::Map } else { WriteMode::Pwrite });
        let disk = SimDisk::new(seed);
        let journal = setup.open(&disk).expect("a new journal");
        let mut model = Model {
            disk,
            setup,
            journal: Some(journal),
            groups: Vec::new(),
            durable: 0,
            batch: Batch::new(),
        };
        for (number, op) in (0..).zip(ops) {
            model.apply(number, op);
        }
        let end = model.journal().positions().appended;
        model.journal().wait(end, Level::Process).expect("stored");
        prop_assert_eq!(&read_all(model.journal()), &model.groups);
    }
}
