//! What can go wrong, and what the process answers.

use std::error::Error as StdError;
use std::fmt::Write as _;
use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;

use steadfast::ha::TransportError;

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
    #[error("failed to {verb} `{}`", path.display())]
    Io {
        verb: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("failed to {verb} the child process")]
    Child {
        verb: &'static str,
        #[source]
        source: io::Error,
    },
    #[error("the child process ended with {status}")]
    ChildFailed { status: ExitStatus },
    #[error("failed to listen on {address}")]
    Transport {
        address: String,
        #[source]
        source: TransportError,
    },
    #[error("failed to print")]
    Output(#[source] io::Error),
    #[error("the figures are not those of January")]
    Differs,
}

impl Failure {
    /// 1 usage, 2 a problem was found, 3 something cannot be opened.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) => 1,
            Self::Data(DataError::Open { .. } | DataError::Missing { .. })
            | Self::Alerts(AlertsError::Open { .. } | AlertsError::Foreign { .. })
            | Self::Transport { .. }
            | Self::Io { .. } => 3,
            Self::Session(error) if is_open(error) => 3,
            Self::ChildFailed { status } => {
                status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(2)
            }
            _ => 2,
        }
    }

    /// Message, causes and, for a session's errors, what to do; nothing if a child has told it already.
    pub fn report(&self) -> Option<String> {
        match self {
            Self::Session(error) => return Some(error.report()),
            Self::ChildFailed { status } if matches!(status.code(), Some(1..=3)) => return None,
            _ => {}
        }
        let mut report = format!("error: {self}");
        let mut cause = self.source();
        while let Some(error) = cause {
            let _infallible = write!(report, "\n  {error}");
            cause = error.source();
        }
        Some(report)
    }
}

fn is_open(error: &steadfast::Error) -> bool {
    use steadfast::Error;
    matches!(error, Error::Open(_) | Error::Recover(_) | Error::Rules(_) | Error::ReplicaLog(_))
}
