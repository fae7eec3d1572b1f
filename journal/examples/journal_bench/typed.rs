//! Level `Process` with typed records: what a program that uses the journal alone does with its own
//! types. Each record is encoded by postcard while the clock runs.

use std::error::Error;
use std::time::Instant;

use serde::{Deserialize, Serialize};
use steadfast_journal::{Batch, From, Journal, Level};

use crate::Plan;
use crate::ours::Ours;
use crate::process::{FILE_BYTES, RECORDS, cpu_ns};
use crate::records::BATCH_RECORDS;
use crate::row::{Row, median};

/// What is wanted, in records per second.
const WANTED: f64 = 10e6;
/// Tag and schema version of the records.
const KIND: (u32, u32) = (7, 1);
/// More than one record takes.
const RECORD_BYTES_MAX: usize = 160;

/// About 100 bytes: numbers, text and a few measurements, as events of some use have them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Reading<'a> {
    number: u64,
    at: i64,
    station: u32,
    name: &'a str,
    unit: &'a str,
    values: [f64; 6],
    quality: Option<u8>,
    verified: bool,
}

fn reading(number: u64) -> Reading<'static> {
    let at = 1_700_000_000_000 + number.cast_signed() * 20;
    let station = u32::try_from(number % 5000).unwrap_or_default();
    let name = ["inlet of the north basin", "outlet of the west basin"];
    let name = name[usize::from(number.is_multiple_of(3))];
    let values = [1.5, 2.5, 3.5, 4.5, 5.5, f64::from(station)];
    let quality = (!number.is_multiple_of(7)).then_some(9);
    Reading {
        number,
        at,
        station,
        name,
        unit: "m3/s",
        values,
        quality,
        verified: number.is_multiple_of(2),
    }
}

pub(crate) fn run(plan: &Plan, print: &mut dyn FnMut(Row)) -> Result<(), Box<dyn Error>> {
    let (mut rates, mut costs) = (Vec::new(), Vec::new());
    for round in 0..if plan.quick { 5 } else { 9 } {
        let dir = plan.dir.join(format!("typed-{round}"));
        std::fs::create_dir_all(&dir)?;
        let ours = Ours::new(plan, &dir, FILE_BYTES)?;
        ours.journal.reserve(FILE_BYTES - (1 << 20))?;
        let (start, start_ns) = (Instant::now(), cpu_ns());
        append(&ours.journal)?;
        let (time, ns) = (start.elapsed(), cpu_ns() - start_ns);
        #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
        {
            rates.push(RECORDS as f64 / time.as_secs_f64());
            costs.push(ns as f64 / RECORDS as f64);
        }
        read_back(&ours.journal)?;
        drop(ours);
        std::fs::remove_dir_all(&dir)?;
    }
    let row = |work: &str, ours, theirs, unit, higher_is_better| Row {
        work: work.to_owned(),
        size: RECORDS,
        ours,
        theirs,
        against: "what is wanted",
        unit,
        higher_is_better,
    };
    print(row("process-typed", median(&mut rates), WANTED, "records/s", true));
    print(row("process-typed-cpu", median(&mut costs), 60.0, "ns per record", false));
    Ok(())
}

fn append(journal: &Journal) -> Result<(), Box<dyn Error>> {
    let mut batch = Batch::with_capacity(64 << 10);
    let mut bytes = [0; RECORD_BYTES_MAX];
    for number in 0..RECORDS {
        let encoded = postcard::to_slice(&reading(number), &mut bytes)?;
        batch.push(KIND.0, KIND.1, encoded)?;
        if batch.record_count() == BATCH_RECORDS {
            journal.commit(&batch, Level::Process)?;
            batch.clear();
        }
    }
    Ok(())
}

fn read_back(journal: &Journal) -> Result<(), Box<dyn Error>> {
    let mut next = 0;
    let mut reader = journal.read(From::Start)?;
    while let Some(group) = reader.next_group()? {
        for record in group.records() {
            let found: Reading<'_> = postcard::from_bytes(record.payload())?;
            if (record.tag(), record.version()) != KIND || found != reading(next) {
                return Err(format!("record {next} is not what was written").into());
            }
            next += 1;
        }
    }
    if next == RECORDS { Ok(()) } else { Err(format!("read back {next} records").into()) }
}
