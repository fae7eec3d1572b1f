//! Flight operations: the control of New York's three airports, over the departures of January 2013.
//!
//! Departures and weather observations come in hour by hour, as they did. The rules in `rules.rs` tell
//! which delays are the weather's and which the carrier's, and raise alerts. All of that is state: a
//! controller who loses it at a crash is blind for the rest of the day, and one who gets it back by
//! going through the day again alerts everybody twice. So the session is durable, and to show what
//! that is worth the example runs itself as a child process, kills it in the middle of its work, and
//! goes on, three times. The figures and the alerts come out as if nothing had happened.
//!
//! - `facts.rs`, `rules.rs`: what the control knows, and the rules.
//! - `control.rs`: one session, from its opening to the end of the data; what a restart takes.
//! - `alerts.rs`: how effects reach the outside without getting lost, and are told apart when a
//!   crash repeats one.
//! - `group.rs`: several processes that keep the session together; the one that leads is killed.
//! - `supervisor.rs`: kills and restarts; `data.rs`, `options.rs`, `report.rs`, `failure.rs`: the rest.

#![expect(unreachable_pub, reason = "the modules are written as those of a library would be")]
#![expect(clippy::print_stderr, reason = "a program tells its user what went wrong")]

mod alerts;
mod control;
mod data;
mod facts;
mod failure;
mod group;
mod options;
mod report;
mod rules;
mod supervisor;

use std::process::ExitCode;

use control::Place;
use failure::{Failure, Result};
use options::{Command, Options};
use report::Outcome;

fn main() -> ExitCode {
    let done = match Options::from_command_line() {
        Ok(Command::Help) => report::print(options::HELP),
        Ok(Command::Run(options)) if options.worker => match &options.member {
            Some(member) => group::work(&options, member),
            None => supervisor::work(&options),
        },
        Ok(Command::Run(options)) => run(&options),
        Err(failure) => Err(failure),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if let Some(report) = failure.report() {
                eprintln!("{report}");
            }
            ExitCode::from(failure.exit_code())
        }
    }
}

fn run(options: &Options) -> Result<()> {
    let mut temporary = None;
    let session = match options.session() {
        Some(session) => session,
        None => temporary.insert(temporary_session()?).path().join("session"),
    };
    let place = Place { session, alerts: options.alerts.clone() };
    let mut outcome = Outcome::begin(options);
    if options.nodes > 1 {
        group::run(options, &place, &mut outcome)?;
    } else if options.kills == 0 {
        supervisor::run_here(options, &place, &mut outcome)?;
    } else {
        supervisor::run_killed(options, &place, &mut outcome)?;
    }
    report::print(&if options.json { outcome.json() } else { outcome.table() })?;
    outcome.verdict()
}

/// A directory that goes with the process, unless that is killed.
fn temporary_session() -> Result<tempfile::TempDir> {
    tempfile::Builder::new().prefix("flight_ops-").tempdir().map_err(|source| Failure::Io {
        verb: "make a directory in",
        path: std::env::temp_dir(),
        source,
    })
}
