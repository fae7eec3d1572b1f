//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use lexopt::Arg::{Long, Short};
use lexopt::ValueExt as _;
use steadfast::Sync;

use crate::failure::{Failure, Result};

pub const HELP: &str = "\
Runs the operations control of New York's airports over real departures, and survives being killed.

Usage: flight_ops [OPTIONS]

  --data DIR      directory with flights, weather and planes as *.csv, *.csv.gz or *.csv.xz
                  [default: January 2013, which comes with the example]
  --session DIR   where the session lives; resumes what it finds there
                  [default: a temporary directory; with --alerts FILE it is FILE.session]
  --kills N       how often the program kills itself with SIGKILL and goes on [default: 3]
  --seed S        seed of the moments at which it does [default: 1]
  --sync LEVEL    process, interval:MS, batch or paranoid [default: batch]
  --alerts FILE   appends a line KEY,ALERT per delivered alert, synced before it is acknowledged
                  [default: alerts.csv in the session's directory]
  --json          prints one JSON object instead of the table
  -h, --help      prints this

Exit codes: 0 done, 1 usage, 2 a problem was found, 3 something cannot be opened. A run that stopped, or
was killed, is finished by the same command again; with the default session it begins anew.
";

#[derive(Debug)]
pub enum Command {
    Help,
    Run(Options),
}

#[derive(Clone, Debug)]
pub struct Options {
    /// None for the data that comes with the example.
    pub data: Option<PathBuf>,
    pub session: Option<PathBuf>,
    pub alerts: Option<PathBuf>,
    pub kills: usize,
    pub seed: u64,
    pub sync: Sync,
    pub json: bool,
    /// Not for users: this is the process that gets killed.
    pub worker: bool,
}

impl Options {
    pub fn from_command_line() -> Result<Command> {
        let usage = |error: lexopt::Error| {
            Failure::Usage(format!("{error}; `flight_ops --help` tells the options"))
        };
        parse(lexopt::Parser::from_env()).map_err(usage)
    }

    pub fn data(&self) -> PathBuf {
        let own = || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/data"));
        self.data.clone().unwrap_or_else(own)
    }

    /// The session's directory; none if a temporary one will do.
    ///
    /// It will not do with an alerts file, which outlives a kill: the keys in it are the session's.
    pub fn session(&self) -> Option<PathBuf> {
        let beside_alerts = || {
            let mut beside = OsString::from(self.alerts.as_ref()?);
            beside.push(".session");
            Some(PathBuf::from(beside))
        };
        self.session.clone().or_else(beside_alerts)
    }
}

fn parse(mut parser: lexopt::Parser) -> Result<Command, lexopt::Error> {
    let mut options = Options {
        data: None,
        session: None,
        alerts: None,
        kills: 3,
        seed: 1,
        sync: Sync::Batch,
        json: false,
        worker: false,
    };
    while let Some(argument) = parser.next()? {
        match argument {
            Long("data") => options.data = Some(parser.value()?.into()),
            Long("session") => options.session = Some(parser.value()?.into()),
            Long("alerts") => options.alerts = Some(parser.value()?.into()),
            Long("kills") => options.kills = parser.value()?.parse()?,
            Long("seed") => options.seed = parser.value()?.parse()?,
            Long("sync") => options.sync = parser.value()?.parse_with(sync)?,
            Long("json") => options.json = true,
            Long("worker") => options.worker = true,
            Long("help") | Short('h') => return Ok(Command::Help),
            other => return Err(other.unexpected()),
        }
    }
    Ok(Command::Run(options))
}

fn sync(text: &str) -> Result<Sync, &'static str> {
    const EXPECTED: &str = "expected process, interval:MS, batch or paranoid";
    match text.split_once(':') {
        Some(("interval", millis)) => {
            let millis = millis.parse().map_err(|_| EXPECTED)?;
            Ok(Sync::Interval(Duration::from_millis(millis)))
        }
        Some(_) => Err(EXPECTED),
        None => match text {
            "process" => Ok(Sync::Process),
            "batch" => Ok(Sync::Batch),
            "paranoid" => Ok(Sync::Paranoid),
            _ => Err(EXPECTED),
        },
    }
}
