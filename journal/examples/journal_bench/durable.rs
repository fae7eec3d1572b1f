//! Durable batches: latency from one thread, throughput from several.

use std::error::Error;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use steadfast_journal::SEGMENT_BYTES_DEFAULT;

use crate::Plan;
use crate::contender::Contender;
use crate::ours::Ours;
use crate::records::{self, BATCH_RECORDS, Checker, RECORD_BYTES};
use crate::reference::{Group, Raw};
use crate::row::{Row, median};

/// Bytes of the yardsticks' files.
const FILE_BYTES: u64 = 64 << 20;

/// Median latency of one durable batch, contenders taking turns batch by batch.
pub(crate) fn one_thread(plan: &Plan, print: &mut dyn FnMut(Row)) -> Result<(), Box<dyn Error>> {
    let rounds = if plan.quick { 700 } else { 4000 };
    for (size, record_bytes) in [(100, 100), (1000, 100), (4000, 100), (16_000, 1000)] {
        let dir = plan.dir.join(format!("durable-1-{size}"));
        std::fs::create_dir_all(&dir)?;
        let ours = Ours::new(plan, &dir.join("ours"), SEGMENT_BYTES_DEFAULT)?;
        let mut raw = Raw::new(&dir.join("raw"), FILE_BYTES)?;
        let group = Group::new(&dir.join("group"), FILE_BYTES)?;
        let count = (size / record_bytes) as u64;
        let mut times = [const { Vec::new() }; 3];
        for round in 0..rounds {
            let batch = records::make(0, round * count, count, record_bytes);
            // Who comes first changes, since a flush may pay for the one before.
            for turn in 0..3 {
                let contender = usize::try_from((round + turn) % 3)?;
                let start = Instant::now();
                match contender {
                    0 => ours.append_durable(&batch, record_bytes)?,
                    1 => {
                        let frame = frame_of(&batch, record_bytes);
                        raw.append(&frame)?;
                    }
                    _ if group.has_room(batch.len() as u64 + 64) => {
                        group.append_durable(&batch, record_bytes)?;
                    }
                    _ => continue,
                }
                times[contender].push(start.elapsed().as_secs_f64() * 1e6);
            }
        }
        let mut checker = Checker::new(1);
        ours.read_back(&mut |record| checker.see(record))?;
        checker.finish(&[rounds * count])?;
        let [mut ours, mut raw, mut group] = times;
        let ours = median(&mut ours);
        for (theirs, against) in [(median(&mut raw), "raw"), (median(&mut group), "ref-group")] {
            print(Row {
                work: "durable-1".to_owned(),
                size: size as u64,
                ours,
                theirs,
                against,
                unit: "us p50",
                higher_is_better: false,
            });
        }
        std::fs::remove_dir_all(&dir)?;
    }
    Ok(())
}

/// As many bytes as our frame of this batch takes: header, envelopes, payload, padding.
fn frame_of(batch: &[u8], record_bytes: usize) -> Vec<u8> {
    let envelope = if record_bytes < 128 { 3 } else { 4 };
    let envelopes = batch.len() / record_bytes * envelope;
    let mut frame = batch.to_vec();
    frame.resize((batch.len() + envelopes + 32).next_multiple_of(8), 0);
    frame
}

/// What else the machine does meanwhile.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Beside {
    Nothing,
    /// A thread for each processor that never sleeps.
    Computing,
}

/// Durable batches per second from several threads, in rounds.
pub(crate) fn many_threads(
    plan: &Plan,
    threads: usize,
    beside: Beside,
    print: &mut dyn FnMut(Row),
) -> Result<(), Box<dyn Error>> {
    let (rounds, time) = if plan.quick { (5, 400) } else { (9, 1500) };
    let time = Duration::from_millis(time);
    let (work, busy) = match beside {
        Beside::Nothing => (format!("durable-{threads}"), 0),
        Beside::Computing => {
            (format!("durable-{threads}-busy"), std::thread::available_parallelism()?.get())
        }
    };
    let dir = plan.dir.join(&work);
    std::fs::create_dir_all(&dir)?;
    let ours = Ours::new(plan, &dir.join("ours"), SEGMENT_BYTES_DEFAULT)?;
    let mut counts = vec![0; threads];
    let mut figures = [Vec::new(), Vec::new()];
    for round in 0..rounds {
        let group = Group::new(&dir.join("group"), 256 << 20)?;
        let mut group_counts = vec![0; threads];
        for turn in 0..2 {
            let contender = (round + turn) % 2;
            let rate = if contender == 0 {
                run_threads(&ours, &mut counts, busy, time)?
            } else {
                run_threads(&group, &mut group_counts, busy, time)?
            };
            figures[contender].push(rate);
        }
        let mut checker = Checker::new(threads);
        group.read_back(&mut |record| checker.see(record))?;
        checker.finish(&group_counts)?;
    }
    let mut checker = Checker::new(threads);
    ours.read_back(&mut |record| checker.see(record))?;
    checker.finish(&counts)?;
    let [mut ours, mut theirs] = figures;
    print(Row {
        work,
        size: (BATCH_RECORDS * RECORD_BYTES) as u64,
        ours: median(&mut ours),
        theirs: median(&mut theirs),
        against: "ref-group",
        unit: "batches/s",
        higher_is_better: true,
    });
    std::fs::remove_dir_all(&dir)?;
    Ok(())
}

/// Lets every thread append durable batches of its stream for a time, beside so many that compute;
/// returns batches per second.
fn run_threads(
    contender: &dyn Contender,
    counts: &mut [u64],
    busy: usize,
    time: Duration,
) -> Result<f64, Box<dyn Error>> {
    let stop = AtomicBool::new(false);
    let failed = AtomicBool::new(false);
    let start = Instant::now();
    let before: u64 = counts.iter().sum();
    std::thread::scope(|scope| {
        for (stream, count) in (0..).zip(counts.iter_mut()) {
            let (stop, failed) = (&stop, &failed);
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let batch = records::make(stream, *count, BATCH_RECORDS as u64, RECORD_BYTES);
                    if contender.append_durable(&batch, RECORD_BYTES).is_err() {
                        failed.store(true, Ordering::Relaxed);
                        return;
                    }
                    *count += BATCH_RECORDS as u64;
                }
            });
        }
        for _ in 0..busy {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            });
        }
        std::thread::sleep(time);
        stop.store(true, Ordering::Relaxed);
    });
    if failed.load(Ordering::Relaxed) {
        return Err("a thread failed to append".into());
    }
    let batches = (counts.iter().sum::<u64>() - before) / BATCH_RECORDS as u64;
    #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
    Ok(batches as f64 / start.elapsed().as_secs_f64())
}
