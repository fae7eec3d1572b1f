//! What a durable batch writes: bytes of dirtied pages, as the system counts them for this process.

use std::error::Error;

use crate::Plan;
use crate::contender::Contender;
use crate::ours::Ours;
use crate::records;
use crate::reference::Raw;
use crate::row::Row;

/// Bytes of a file that is large enough for all batches: no new segment comes in between.
const FILE_BYTES: u64 = 64 << 20;

/// Bytes that this process has caused to be written; `None` where the system does not count them.
fn written() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/io").ok()?;
    text.lines().find_map(|line| line.strip_prefix("write_bytes: ")?.parse().ok())
}

pub(crate) fn run(plan: &Plan, print: &mut dyn FnMut(Row)) -> Result<(), Box<dyn Error>> {
    let batches = if plan.quick { 300 } else { 2000 };
    for size in [200, 1000] {
        let dir = plan.dir.join(format!("durable-bytes-{size}"));
        std::fs::create_dir_all(&dir)?;
        let ours = Ours::new(plan, &dir.join("ours"), FILE_BYTES)?;
        // The segment of full size, made ahead, is in use before anything is counted.
        ours.journal.reserve(FILE_BYTES)?;
        let filling = records::make(0, 0, 1 << 14, 100);
        for _ in 0..2 {
            ours.append_durable(&filling, 100)?;
        }
        let mut raw = Raw::new(&dir.join("raw"), FILE_BYTES)?;
        let batch = records::make(0, 0, 1, size);
        let mut figures = [0.0; 2];
        for (contender, figure) in figures.iter_mut().enumerate() {
            let Some(before) = written() else {
                return Ok(());
            };
            for _ in 0..batches {
                if contender == 0 {
                    ours.append_durable(&batch, size)?;
                } else {
                    raw.append(&batch)?;
                }
            }
            let bytes = written().unwrap_or(before) - before;
            #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
            {
                *figure = bytes as f64 / f64::from(batches);
            }
        }
        print(Row {
            work: "durable-bytes".to_owned(),
            size: size as u64,
            ours: figures[0],
            theirs: figures[1],
            against: "raw",
            unit: "bytes per batch",
            higher_is_better: false,
        });
        drop(ours);
        std::fs::remove_dir_all(&dir)?;
    }
    Ok(())
}
