//! What can go wrong, and what the process answers.

use std::error::Error as StdError;
use std::fmt::Write as _;
use std::io;
use std::path::PathBuf;

use crate::alerts::AlertsError;
use crate::data::DataError;

pub type Result<T, E = Failure> = std::result::Result<T, E>;

#[derive(Debug, thiserror::Error)]
pub enum Failure {
    #[error("{0}")]
    Usage(String),
    #[error(transparent)]
    Data(#[from] DataError),
    #[error(transparent)]
    Alerts(#[from] AlertsError),
    #[error(transparent)]
    Session(#[from] steadfast::Error),
    #[error("failed to make the directory `{}`", path.display())]
    Directory {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("the data has no day")]
    NoDays,
}

impl Failure {
    /// 1 usage, 2 problem found, 3 cannot open.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) => 1,
            Self::Data(DataError::Io { .. } | DataError::Missing { .. }) | Self::Directory { .. } => 3,
            Self::Session(error) => match error {
                steadfast::Error::Open(_)
                | steadfast::Error::Recover(_)
                | steadfast::Error::Rules(_) => 3,
                _ => 2,
            },
            _ => 2,
        }
    }

    /// Message, causes and, for a session's errors, what to do.
    pub fn report(&self) -> String {
        if let Self::Session(error) = self {
            return error.report();
        }
        let mut report = format!("error: {self}");
        let mut cause = self.source();
        while let Some(error) = cause {
            let text = error.to_string();
            if !report.ends_with(&text) {
                let _infallible = write!(report, "\n  {text}");
            }
            cause = error.source();
        }
        report
    }
}
