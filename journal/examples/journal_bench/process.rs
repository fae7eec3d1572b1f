//! Level `Process`, the scan of what it wrote, and the bytes that it took.

use std::error::Error;
use std::time::{Duration, Instant};

use steadfast_journal::{From, Level, SEGMENT_BYTES_DEFAULT};

use crate::Plan;
use crate::contender::Contender;
use crate::ours::Ours;
use crate::records::{self, BATCH_RECORDS, Checker, RECORD_BYTES};
use crate::reference::Group;
use crate::row::{Row, median};

/// Records of the short runs.
pub(crate) const RECORDS: u64 = 1_000_000;
/// The reference has one file, made ahead of the measurement; so has the journal in this row. The
/// sustained row has segments of the default size, made while it runs.
pub(crate) const FILE_BYTES: u64 = 256 << 20;
/// Records that are made at once, outside the measured time.
const CHUNK: u64 = 10_000;

/// Nanoseconds that this thread has spent on a processor: what a loaded machine does not distort.
pub(crate) fn cpu_ns() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    text.split_whitespace().next().and_then(|field| field.parse().ok()).unwrap_or_default()
}

/// Processor time of the appending thread for each record, at level `Process`.
pub(crate) fn cpu(plan: &Plan, print: &mut dyn FnMut(Row)) -> Result<(), Box<dyn Error>> {
    let mut figures = [Vec::new(), Vec::new()];
    for round in 0..if plan.quick { 5 } else { 9 } {
        let dir = plan.dir.join(format!("cpu-{round}"));
        std::fs::create_dir_all(&dir)?;
        let group = Group::new(&dir.join("group"), FILE_BYTES)?;
        let ours = Ours::new(plan, &dir.join("ours"), FILE_BYTES)?;
        ours.journal.reserve(FILE_BYTES - (1 << 20))?;
        let batch = records::make(0, 0, BATCH_RECORDS as u64, RECORD_BYTES);
        let batches = RECORDS / BATCH_RECORDS as u64;
        let start = cpu_ns();
        for _ in 0..batches {
            ours.commit(&batch, RECORD_BYTES, Level::Process)?;
        }
        let middle = cpu_ns();
        for _ in 0..batches {
            group.append_buffered(&batch);
        }
        group.flush();
        let end = cpu_ns();
        #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
        {
            figures[0].push((middle - start) as f64 / RECORDS as f64);
            figures[1].push((end - middle) as f64 / RECORDS as f64);
        }
        drop(ours);
        std::fs::remove_dir_all(&dir)?;
    }
    let [mut ours, mut theirs] = figures;
    print(Row {
        work: "process-cpu".to_owned(),
        size: RECORDS,
        ours: median(&mut ours),
        theirs: median(&mut theirs),
        against: "ref-group",
        unit: "ns per record",
        higher_is_better: false,
    });
    Ok(())
}

pub(crate) fn run(plan: &Plan, print: &mut dyn FnMut(Row)) -> Result<(), Box<dyn Error>> {
    let rounds = if plan.quick { 5 } else { 9 };
    let mut figures = [const { Vec::new() }; 4];
    let mut bytes = 0.0;
    for round in 0..rounds {
        let dir = plan.dir.join(format!("process-{round}"));
        std::fs::create_dir_all(&dir)?;
        let group = Group::new(&dir.join("group"), FILE_BYTES)?;
        let ours = Ours::new(plan, &dir.join("ours"), FILE_BYTES)?;
        ours.journal.reserve(FILE_BYTES - (1 << 20))?;
        for turn in 0..2 {
            if (round + turn) % 2 == 0 {
                figures[0].push(process_ours(&ours, RECORDS)?);
            } else {
                figures[1].push(process_group(&group, RECORDS));
            }
        }
        let mut checker = Checker::new(1);
        ours.read_back(&mut |record| checker.see(record))?;
        checker.finish(&[RECORDS])?;
        let mut checker = Checker::new(1);
        group.read_back(&mut |record| checker.see(record))?;
        checker.finish(&[RECORDS])?;
        for turn in 0..2 {
            if (round + turn) % 2 == 0 {
                figures[2].push(scan_ours(&ours)?);
            } else {
                figures[3].push(scan_group(&group)?);
            }
        }
        let end = ours.journal.positions().appended.get();
        #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
        {
            bytes = end as f64 / RECORDS as f64;
        }
        drop(ours);
        std::fs::remove_dir_all(&dir)?;
    }
    let [mut process, mut process_ref, mut scan, mut scan_ref] = figures;
    let row = |work: &str, ours: f64, theirs: f64, unit: &'static str| Row {
        work: work.to_owned(),
        size: RECORDS,
        ours,
        theirs,
        against: "ref-group",
        unit,
        higher_is_better: unit != "bytes per record",
    };
    print(row("process", median(&mut process), median(&mut process_ref), "records/s"));
    print(row("scan", median(&mut scan), median(&mut scan_ref), "records/s"));
    let mut bytes = row("bytes", bytes, 100.0, "bytes per record");
    bytes.against = "raw";
    print(bytes);
    if !plan.quick {
        sustained(plan, print)?;
    }
    Ok(())
}

/// Records per second while 4 GiB are written, every batch acknowledged at level `Process`.
fn sustained(plan: &Plan, print: &mut dyn FnMut(Row)) -> Result<(), Box<dyn Error>> {
    let records = (4_u64 << 30) / RECORD_BYTES as u64;
    let dir = plan.dir.join("sustained");
    let ours = Ours::new(plan, &dir, SEGMENT_BYTES_DEFAULT)?;
    let rate = process_ours(&ours, records)?;
    let mut checker = Checker::new(1);
    ours.read_back(&mut |record| checker.see(record))?;
    checker.finish(&[records])?;
    drop(ours);
    std::fs::remove_dir_all(&dir)?;
    let group_path = plan.dir.join("sustained-group");
    let group = Group::new(&group_path, (4 << 30) + (1 << 30))?;
    let theirs = process_group(&group, records);
    std::fs::remove_file(&group_path)?;
    print(Row {
        work: "process".to_owned(),
        size: records,
        ours: rate,
        theirs,
        against: "ref-group",
        unit: "records/s",
        higher_is_better: true,
    });
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "a figure for people")]
fn rate(records: u64, time: Duration) -> f64 {
    records as f64 / time.as_secs_f64()
}

fn process_ours(ours: &Ours, records: u64) -> Result<f64, Box<dyn Error>> {
    let mut time = Duration::ZERO;
    for first in (0..records).step_by(usize::try_from(CHUNK)?) {
        let chunk = records::make(0, first, CHUNK.min(records - first), RECORD_BYTES);
        let start = Instant::now();
        for batch in chunk.chunks(BATCH_RECORDS * RECORD_BYTES) {
            ours.commit(batch, RECORD_BYTES, Level::Process)?;
        }
        time += start.elapsed();
    }
    Ok(rate(records, time))
}

fn process_group(group: &Group, records: u64) -> f64 {
    let mut time = Duration::ZERO;
    for first in (0..records).step_by(usize::try_from(CHUNK).unwrap_or(1)) {
        let chunk = records::make(0, first, CHUNK.min(records - first), RECORD_BYTES);
        let start = Instant::now();
        for batch in chunk.chunks(BATCH_RECORDS * RECORD_BYTES) {
            group.append_buffered(batch);
        }
        time += start.elapsed();
    }
    let start = Instant::now();
    group.flush();
    rate(records, time + start.elapsed())
}

/// Looks at every record: its first number and its length.
fn scan_ours(ours: &Ours) -> Result<f64, Box<dyn Error>> {
    let start = Instant::now();
    let (mut records, mut sum) = (0, 0_u64);
    let mut reader = ours.journal.read(From::Start)?;
    while let Some(group) = reader.next_group()? {
        for record in group.records() {
            records += 1;
            sum = sum.wrapping_add(touch(record.payload()));
        }
    }
    check_sum(records, sum)?;
    Ok(rate(records, start.elapsed()))
}

fn scan_group(group: &Group) -> Result<f64, Box<dyn Error>> {
    let start = Instant::now();
    let (mut records, mut sum) = (0, 0_u64);
    group.scan(&mut |frame| {
        for record in frame.chunks(RECORD_BYTES) {
            records += 1;
            sum = sum.wrapping_add(touch(record));
        }
        Ok(())
    })?;
    check_sum(records, sum)?;
    Ok(rate(records, start.elapsed()))
}

fn touch(record: &[u8]) -> u64 {
    let number = record.get(8..16).and_then(|bytes| bytes.try_into().ok());
    number.map_or(0, u64::from_le_bytes) + record.len() as u64
}

fn check_sum(records: u64, sum: u64) -> Result<(), String> {
    let expected = records * (records - 1) / 2 + records * RECORD_BYTES as u64;
    if sum == expected { Ok(()) } else { Err(format!("scanned {records} records, sum {sum}")) }
}
