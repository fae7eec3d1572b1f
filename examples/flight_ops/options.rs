//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use lexopt::Arg::{Long, Short};
use lexopt::ValueExt as _;
use steadfast::Sync;

use crate::failure::{Failure, Result};
use crate::group::Member;

pub const HELP: &str = "\
Runs the operations control of New York's airports over real departures, and survives being killed.

Usage: flight_ops [OPTIONS]

  --data DIR      directory with flights, weather and planes as *.csv, *.csv.gz or *.csv.xz
                  [default: January 2013, which comes with the example]
  --session DIR   where the session lives; resumes what it finds there
                  [default: a temporary directory; with --alerts FILE it is FILE.session]
  --nodes N       how many processes keep the session, 1 or 3 to 9; of several the one that leads is killed, and
                  another one goes on [default: 1]
  --kills N       how often the program kills itself with SIGKILL and goes on [default: 3]
  --seed S        seed of the moments at which it does [default: 1]
  --sync LEVEL    process, interval:MS, batch or paranoid; of one process alone [default: batch]
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
    /// How many processes keep the session.
    pub nodes: usize,
    pub kills: usize,
    pub seed: u64,
    pub sync: Sync,
    pub json: bool,
    /// Not for users: this is the process that gets killed.
    pub worker: bool,
    /// Not for users: which node of a group this is.
    pub member: Option<Member>,
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
        nodes: 1,
        kills: 3,
        seed: 1,
        sync: Sync::Batch,
        json: false,
        worker: false,
        member: None,
    };
    let (mut node, mut addresses) = (None, String::new());
    while let Some(argument) = parser.next()? {
        match argument {
            Long("data") => options.data = Some(parser.value()?.into()),
            Long("session") => options.session = Some(parser.value()?.into()),
            Long("alerts") => options.alerts = Some(parser.value()?.into()),
            Long("nodes") => options.nodes = parser.value()?.parse_with(nodes)?,
            Long("node") => node = Some(parser.value()?.parse()?),
            Long("addresses") => addresses = parser.value()?.string()?,
            Long("kills") => options.kills = parser.value()?.parse()?,
            Long("seed") => options.seed = parser.value()?.parse()?,
            Long("sync") => options.sync = parser.value()?.parse_with(sync)?,
            Long("json") => options.json = true,
            Long("worker") => options.worker = true,
            Long("help") | Short('h') => return Ok(Command::Help),
            other => return Err(other.unexpected()),
        }
    }
    let addresses = addresses.split(',').map(str::to_owned).collect();
    options.member = node.map(|node| Member { node, addresses });
    Ok(Command::Run(options))
}

/// One that is alone has no followers. Of two, none could go on at once without the other; and more than the example's
/// machine can run are no use.
fn nodes(text: &str) -> Result<usize, &'static str> {
    text.parse().ok().filter(|nodes| matches!(nodes, 1 | 3..=9)).ok_or("expected 1, or 3 to 9")
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
