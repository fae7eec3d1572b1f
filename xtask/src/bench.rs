//! `cargo xtask bench NAME`: ratios against peers, each inside one interleaved run.
//!
//! The measuring programs are no part of this tool: they are binaries of `benches/`, or an example
//! of the crate that they measure, and print one JSON object a line. Peers that are programs of their
//! own are found in a directory that need not exist; one that is not there gives no row and a note.
//!
//! Absolute figures depend on the machine and on what else it does; only the ratios mean anything.

mod curves;
mod damage;
mod journal_peers;
mod machine;
mod micro;
mod peers;
mod plot;
mod profiled;
mod program;
mod report;
mod row;
mod rules_peers;

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::flags;
use crate::workspace::Workspace;

use self::program::Program;
use self::row::Measured;

struct Bench {
    name: &'static str,
    about: &'static str,
    run: fn(&Workspace, &Bench, Request<'_>) -> Result<Measured>,
}

/// What to measure of a bench.
#[derive(Debug, Clone, Copy)]
struct Request<'a> {
    effort: Effort,
    /// Only works that begin so.
    only: Option<&'a str>,
    /// Whether the program is built by a profile of itself.
    profiled: bool,
}

/// How much to measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effort {
    /// At most two minutes, compiling not counted.
    Quick,
    /// Twenty minutes, or one round if that takes longer.
    Full,
}

impl Effort {
    fn is_quick(self) -> bool {
        self == Self::Quick
    }

    /// No further round begins that would not end within this time.
    fn budget(self) -> Duration {
        Duration::from_secs(if self.is_quick() { 100 } else { 1200 })
    }
}

/// Add a line to add a bench.
const BENCHES: &[Bench] = &[
    Bench {
        name: "flight_ops",
        about: "the main example: in memory, journaled, recovered",
        run: run_program,
    },
    Bench {
        name: "session",
        about: "what durability costs a stream of insertions, and coming back",
        run: run_program,
    },
    Bench {
        name: "normalize",
        about: "how fast a journal is normalized, what a session notices, restarts by history",
        run: run_program,
    },
    Bench {
        name: "txn",
        about: "what transactions over several steps cost, and taking them back",
        run: run_program,
    },
    Bench {
        name: "replication",
        about: "what followers cost, and how long nobody leads",
        run: run_program,
    },
    Bench { name: "micro", about: "small operations beside their limits", run: micro::run },
    Bench { name: "join", about: "joins against rule engines", run: rules_peers::run },
    Bench {
        name: "engine",
        about: "every work of the engine against rule engines, its memory, its growth",
        run: rules_peers::run_engine,
    },
    Bench {
        name: "journal",
        about: "the journal against logs and stores",
        run: journal_peers::run,
    },
    Bench {
        name: "damage",
        about: "what logs say when their bytes were changed",
        run: damage::run,
    },
];

/// Runs one bench, or all; writes the results under target/bench/.
pub(crate) fn run(workspace: &Workspace, flags: &flags::Bench) -> Result<()> {
    let name = &*flags.name;
    let effort = if flags.quick { Effort::Quick } else { Effort::Full };
    let request = Request { effort, only: flags.only.as_deref(), profiled: flags.profiled };
    if name != "engine" && (request.only.is_some() || request.profiled) {
        bail!("only the works of `engine` can be chosen, or compiled by a profile");
    }
    let benches: Vec<_> =
        BENCHES.iter().filter(|bench| name == "all" || bench.name == name).collect();
    if benches.is_empty() {
        let names: Vec<_> = BENCHES.iter().map(|bench| bench.name).collect();
        bail!("no bench `{name}`; there are: {}, all", names.join(", "));
    }
    let mut failed = Vec::new();
    for bench in benches {
        println!("== {}: {}", bench.name, bench.about);
        if let Err(error) = run_one(workspace, bench, request) {
            println!("{}: {error:#}", bench.name);
            failed.push(bench.name);
        }
    }
    if !failed.is_empty() {
        bail!("bench: failed: {}", failed.join(", "));
    }
    Ok(())
}

fn run_one(workspace: &Workspace, bench: &Bench, request: Request<'_>) -> Result<()> {
    let start = Instant::now();
    let mut measured = (bench.run)(workspace, bench, request)?;
    measured.group_by_work();
    let machine = machine::Machine::this(workspace);
    let commit = machine::commit(workspace)?;
    let name = format!("{}{}", bench.name, if request.profiled { "-profiled" } else { "" });
    report::write(&workspace.root, &name, request.effort, &machine, &commit, &measured)?;
    println!("{}: {:.0} s", bench.name, start.elapsed().as_secs_f64());
    // The table is complete and written; wrong answers are still a failure.
    if !measured.refused.is_empty() {
        bail!("{} rows refused, see above", measured.refused.len());
    }
    Ok(())
}

/// The program of `benches/` with the bench's name prints all rows itself.
fn run_program(workspace: &Workspace, bench: &Bench, request: Request<'_>) -> Result<Measured> {
    let program = Program::of_benches(workspace, bench.name);
    program.build()?;
    let flags: &[&str] = if request.effort.is_quick() { &["--quick"] } else { &[] };
    let lines = program.run(flags).context("the measuring program failed")?;
    Ok(Measured::from_lines(lines))
}
