//! Measures the journal against the calls below it and a plain reference, in one interleaved run.
//!
//! `journal_bench [--quick] [--mode map|pwrite] [--dir DIR] [WORK ...]` prints one JSON object per
//! line. The yardsticks:
//!
//! - `raw`: `pwrite` of the same bytes into a file of zeros and `fdatasync`, one thread;
//! - `ref-group`: the same file behind the plainest group commit: appenders copy checksummed frames
//!   into one buffer, one of them writes and syncs for all; no recovery, no rolling, no chain.
//!
//! Every figure is a median over rounds in which the contenders take turns. Before a row is printed,
//! all records are read back and compared, in order.
#![expect(clippy::print_stdout, reason = "the figures are the program's output")]
#![expect(clippy::print_stderr, reason = "what went wrong goes to the terminal")]

mod contender;
mod durable;
mod io;
mod ours;
mod process;
mod records;
mod reference;
mod row;
mod typed;

use std::path::PathBuf;
use std::process::ExitCode;

use durable::Beside;
use row::Row;
use steadfast_journal::WriteMode;

/// What the command line asks for.
pub(crate) struct Plan {
    dir: PathBuf,
    quick: bool,
    mode: Option<WriteMode>,
    works: Vec<String>,
}

impl Plan {
    fn wants(&self, work: &str) -> bool {
        self.works.is_empty() || self.works.iter().any(|wanted| wanted == work)
    }
}

fn plan() -> Result<Plan, String> {
    let mut plan = Plan { dir: std::env::temp_dir(), quick: false, mode: None, works: Vec::new() };
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--quick" => plan.quick = true,
            "--mode" => {
                plan.mode = match args.next().as_deref() {
                    Some("map") => Some(WriteMode::Map),
                    Some("pwrite") => Some(WriteMode::Pwrite),
                    _ => return Err("--mode needs map or pwrite".to_owned()),
                };
            }
            "--dir" => plan.dir = args.next().ok_or("--dir needs a directory")?.into(),
            work if !work.starts_with('-') => plan.works.push(work.to_owned()),
            other => return Err(format!("unknown option {other}")),
        }
    }
    plan.dir.push(format!("journal-bench-{}", std::process::id()));
    Ok(plan)
}

fn main() -> ExitCode {
    let plan = match plan() {
        Ok(plan) => plan,
        Err(what) => {
            eprintln!(
                "{what}\nusage: journal_bench [--quick] [--mode map|pwrite] [--dir DIR] [WORK ...]"
            );
            return ExitCode::FAILURE;
        }
    };
    let result = run(&plan);
    // The measured files are of no use afterwards, also if something failed.
    drop(std::fs::remove_dir_all(&plan.dir));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run(plan: &Plan) -> Result<(), Box<dyn std::error::Error>> {
    std::fs::create_dir_all(&plan.dir)?;
    let mut print = |row: Row| println!("{row}");
    if plan.wants("durable-1") {
        durable::one_thread(plan, &mut print)?;
    }
    if plan.wants("durable-bytes") {
        io::run(plan, &mut print)?;
    }
    for threads in [8, 32] {
        if plan.wants(&format!("durable-{threads}")) {
            durable::many_threads(plan, threads, Beside::Nothing, &mut print)?;
        }
        if plan.wants(&format!("durable-{threads}-busy")) {
            durable::many_threads(plan, threads, Beside::Computing, &mut print)?;
        }
    }
    if plan.wants("process") || plan.wants("scan") || plan.wants("bytes") {
        process::run(plan, &mut print)?;
    }
    if plan.wants("process-typed") {
        typed::run(plan, &mut print)?;
    }
    // Only on request: it explains the row above on a loaded machine.
    if plan.works.iter().any(|work| work == "process-cpu") {
        process::cpu(plan, &mut print)?;
    }
    Ok(())
}
