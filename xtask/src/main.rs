//! `cargo xtask`: the project's one tool.
//!
//! Each subcommand is one file. The tool depends on no crate of the project, so it builds when the
//! product does not; what it knows of the product it learns from `cargo metadata` and from the text
//! of the sources.

#![expect(clippy::print_stdout, reason = "a command line tool answers on stdout")]
#![expect(clippy::print_stderr, reason = "progress and notes go to stderr, so stdout can be piped")]

mod bench;
mod ci;
mod finding;
mod fix;
mod flags;
mod lexer;
mod manifest;
mod metadata;
mod soak;
mod test;
mod tidy;
mod tree;
mod workspace;

use std::process::ExitCode;

use anyhow::Result;

use crate::flags::{Xtask, XtaskCmd};
use crate::workspace::Workspace;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let workspace = Workspace::find()?;
    // What follows `test` is for cargo, its flags too.
    let mut args = std::env::args_os().skip(1);
    if args.next().is_some_and(|first| first == "test") {
        return test::run(&workspace, &args.collect::<Vec<_>>());
    }
    let flags = Xtask::from_env_or_exit();
    match flags.subcommand {
        XtaskCmd::Ci(flags) => ci::run(&workspace, flags.job.as_deref()),
        XtaskCmd::List(_) => {
            ci::list();
            Ok(())
        }
        XtaskCmd::Fix(_) => fix::run(&workspace),
        XtaskCmd::Tidy(_) => tidy::run(&workspace),
        XtaskCmd::Test(flags) => test::run(&workspace, &flags.args),
        XtaskCmd::Bench(flags) => bench::run(&workspace, &flags),
        XtaskCmd::Soak(flags) => soak::run(&workspace, flags.name.as_deref()),
    }
}
