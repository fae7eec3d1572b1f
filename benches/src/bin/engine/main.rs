//! The engine alone, in memory, on the works of the peers' harness, and how it grows.
//!
//! Facts, rules, the order of the steps and what is timed are the harness's for each work, so that
//! checksums are equal. A run of a work is a session of its own; building rules and session is not timed.
//!
//! `--only WORK` runs one work (or those that begin with it; with `--exactly` no others), `--size N` at another
//! size, `--apart` each in a process of its own, as the harness does. `--first` makes the first run of a fresh process,
//! `--memory` tells what a session takes, `--growth` runs works at growing sizes.
#![expect(clippy::print_stderr, reason = "measuring programs tell people on stderr what is wrong")]

#[path = "../../../../examples/manners/data.rs"]
#[expect(unreachable_pub, reason = "shared with the example")]
mod guests;
#[path = "../../../../examples/waltz/data.rs"]
#[expect(unreachable_pub, reason = "shared with the example")]
mod lines;

mod alpha;
mod classics;
mod facts;
mod groups;
mod growth;
mod joins;
mod memory;
mod presence;
mod truth;
mod updates;

use std::process::Command;
use std::time::Duration;

use steadfast_benches::{Args, print_sample};

// The examples' data name the examples' rules.
use classics::rules;

/// Runs a work at a size; gives its time and what proves its result.
type Run = fn(i32) -> (Duration, String);

/// One work: its name in the peers' harness, its size there, and how it is run.
struct Work {
    name: &'static str,
    size: i32,
    /// Whether quick runs hold it.
    quick: bool,
    run: Run,
}

const fn work(name: &'static str, size: i32, run: Run) -> Work {
    Work { name, size, quick: false, run }
}

impl Work {
    const fn quick(self) -> Self {
        Self { quick: true, ..self }
    }
}

const WORKS: &[Work] = &[
    work("alpha10", 1_000_000, alpha::alpha10).quick(),
    work("alpha100", 1_000_000, alpha::alpha100),
    work("alphahash", 1_000_000, alpha::alphahash),
    work("join2", 100_000, joins::join2),
    work("join3", 100_000, joins::join3).quick(),
    work("update", 100_000, updates::update).quick(),
    work("updjoin", 100_000, updates::updjoin),
    work("updjoinB", 100_000, updates::updjoin_batched).quick(),
    work("tms", 10_000, truth::tms).quick(),
    work("acc", 100_000, groups::acc),
    work("accB", 100_000, groups::acc_batched),
    work("groupby", 100_000, groups::groupby),
    work("groupbyB", 100_000, groups::groupby_batched).quick(),
    work("not", 100_000, presence::not).quick(),
    work("exists", 100_000, presence::exists),
    work("manners", 128, classics::manners),
    work("manners", 64, classics::manners).quick(),
    work("waltz", 50, classics::waltz),
    work("waltz", 25, classics::waltz).quick(),
];

fn print(work: &str, size: i32, (time, checksum): &(Duration, String)) {
    print_sample(work, u64::try_from(size).unwrap_or(0), *time, checksum);
}

/// Runs each of these works in a process of its own: what the works before it did to the heap is none of
/// its business.
fn run_apart(works: &[&Work]) {
    let program = std::env::current_exe().expect("a program knows where it is");
    let others = ["--apart", "--only", "--exactly"];
    let only = std::env::args().skip_while(|arg| arg != "--only").nth(1);
    let args = std::env::args().skip(1);
    let args = args.filter(|arg| !others.contains(&&**arg) && Some(arg) != only.as_ref());
    let args: Vec<String> = args.collect();
    for of_name in works.chunk_by(|a, b| a.name == b.name) {
        let mut command = Command::new(&program);
        command.args(&args).args(["--exactly", "--only", of_name[0].name]);
        let status = command.status().expect("a program can run itself");
        assert!(status.success(), "{}: {status}", of_name[0].name);
    }
}

fn main() {
    let args = Args::from_env();
    let flag = |name: &str| std::env::args().any(|arg| arg == name);
    let value = |name: &str| std::env::args().skip_while(|arg| arg != name).nth(1);
    if flag("--memory") {
        return memory::measure();
    }
    if flag("--growth") {
        return growth::measure(args);
    }
    let only = value("--only");
    let size: Option<i32> = value("--size").and_then(|size| size.parse().ok());
    let chosen = WORKS.iter().filter(|work| match &only {
        Some(only) if flag("--exactly") => work.name == only && (work.quick || !args.quick),
        Some(only) => work.name.starts_with(&**only),
        None => work.quick || !args.quick,
    });
    let chosen: Vec<&Work> = chosen.collect();
    if chosen.is_empty() {
        eprintln!("no such work");
    }
    if flag("--first") {
        if let Some(work) = chosen.first() {
            print(&format!("{}, first run", work.name), work.size, &(work.run)(work.size));
        }
        return;
    }
    if flag("--apart") {
        return run_apart(&chosen);
    }
    for work in chosen {
        let size = size.unwrap_or(work.size);
        // The peers' virtual machines are warm, too.
        if !flag("--cold") {
            (work.run)(size);
        }
        for _ in 0..args.samples {
            print(work.name, size, &(work.run)(size));
        }
    }
}
