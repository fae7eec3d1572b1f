//! The journal alone: a ledger that survives whatever happens to its process.
//!
//! `cargo run --package steadfast-journal --example journal_alone -- DIR` books a transfer each time,
//! after it has read back all earlier ones.
#![expect(clippy::print_stdout, reason = "it shows what it does")]

use std::error::Error;
use std::path::PathBuf;

use steadfast_journal::{Batch, End, Found, From, Journal, Options};

/// What the records of this example are; the journal gives tags no meaning.
const DEBIT: u32 = 1;
const CREDIT: u32 = 2;
const VERSION: u32 = 1;

fn main() -> Result<(), Box<dyn Error>> {
    let dir = std::env::args_os().nth(1).map(PathBuf::from);
    let temporary = std::env::temp_dir().join(format!("journal-alone-{}", std::process::id()));
    let (dir, keep) = dir.map_or((temporary, false), |dir| (dir, true));
    let (journal, opened) = Journal::open(&dir, Options::new())?;
    match opened.found {
        Found::Created => println!("a new journal in {}", dir.display()),
        Found::Clean => println!("found as it was closed"),
        Found::Cut => println!("{} bytes of unfinished work cut off", opened.quarantined_bytes()),
    }

    // What happened so far.
    let mut balance = 0_i64;
    let mut reader = journal.read(From::Start)?;
    while let Some(group) = reader.next_group()? {
        for record in group.records() {
            let amount = record.payload().try_into().map(i64::from_le_bytes)?;
            balance += if record.tag() == CREDIT { amount } else { -amount };
        }
    }
    println!("balance {balance} after {} bytes", reader.position());

    // One transfer in two groups: a crash in between leaves neither.
    let mut batch = Batch::new();
    batch.push(DEBIT, VERSION, &40_i64.to_le_bytes())?;
    journal.append(&batch, End::Batch)?;
    batch.clear();
    batch.push(CREDIT, VERSION, &42_i64.to_le_bytes())?;
    let appended = journal.append(&batch, End::SafePoint)?;
    // Other work could go on here; whoever tells the outside waits.
    journal.wait_durable(appended.position)?;
    println!("booked as lsn {}", appended.lsn);
    journal.close()?;
    if !keep {
        std::fs::remove_dir_all(&dir)?;
    }
    Ok(())
}
