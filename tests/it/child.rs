//! Processes of their own: a test starts itself again as a child, listens to it, and kills it.

use std::io::{BufRead, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{ChildStderr, Command, ExitStatus, Stdio};

/// Set for a child: the directory that it works in.
const DIR: &str = "STEADFAST_IT_CHILD_DIR";
/// Set for a child: what it is to do, if there is a choice.
const TASK: &str = "STEADFAST_IT_CHILD_TASK";
/// What a child tells begins with this.
const MARK: &str = "child: ";

/// What this process is to do, and where, if it is a child.
pub(crate) fn task() -> Option<(PathBuf, String)> {
    let dir = std::env::var_os(DIR)?;
    Some((dir.into(), std::env::var(TASK).unwrap_or_default()))
}

/// A child tells its parent.
#[expect(clippy::print_stderr, reason = "a child's standard error is a pipe to its parent")]
pub(crate) fn tell(what: impl std::fmt::Display) {
    eprintln!("{MARK}{what}");
}

/// A child does nothing more, for it is to be killed.
pub(crate) fn wait_for_the_end() -> ! {
    loop {
        std::thread::park();
    }
}

/// A running child; killed at the latest when this goes.
#[derive(Debug)]
pub(crate) struct Child {
    process: std::process::Child,
    /// None once a thread listens.
    lines: Option<BufReader<ChildStderr>>,
}

impl Child {
    /// Starts the test with this full name once more; there [`task`] is something.
    pub(crate) fn start(test: &str, dir: &Path, task: &str) -> Self {
        let program = std::env::current_exe().expect("this program");
        Self::run(Command::new(program), test, dir, task)
    }

    /// As [`Child::start`], by way of a command that executes what its arguments say.
    pub(crate) fn run(mut command: Command, test: &str, dir: &Path, task: &str) -> Self {
        let mut process = command
            .args([test, "--exact", "--nocapture", "--test-threads=1"])
            .env(DIR, dir)
            .env(TASK, task)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("a process");
        let lines = BufReader::new(process.stderr.take().expect("it was asked for"));
        Self { process, lines: Some(lines) }
    }

    /// The next thing that the child tells; none when it has ended.
    pub(crate) fn hear(&mut self) -> Option<String> {
        hear(self.lines.as_mut().expect("nobody else listens"))
    }

    /// Has a thread hear what it tells from now on.
    pub(crate) fn listen(&mut self, mut told: impl FnMut(&str) + Send + 'static) {
        let mut lines = self.lines.take().expect("nobody else listens");
        std::thread::spawn(move || {
            while let Some(line) = hear(&mut lines) {
                told(&line);
            }
        });
    }

    /// Sends it a signal, `-STOP` or `-CONT`.
    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([name, &self.process.id().to_string()]).status();
        assert!(sent.expect("kill runs").success());
    }

    /// Kills the child, which gets no chance to do anything about it.
    pub(crate) fn kill(mut self) {
        self.process.kill().expect("it runs");
        self.process.wait().expect("it ends");
    }

    /// As [`Child::kill`], then takes in what it had told before it died and nobody has heard.
    pub(crate) fn kill_and_hear(mut self, mut take: impl FnMut(&str)) {
        self.process.kill().expect("it runs");
        // Its last line may be half a line.
        let mut rest = Vec::new();
        self.lines.as_mut().expect("nobody else listens").read_to_end(&mut rest).expect("a pipe");
        let whole = rest.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let text = String::from_utf8_lossy(&rest[..whole]);
        text.lines().filter_map(|line| line.strip_prefix(MARK)).for_each(&mut take);
        self.process.wait().expect("it ends");
    }

    /// Waits for the child's own end.
    pub(crate) fn end(mut self) -> ExitStatus {
        while self.hear().is_some() {}
        self.process.wait().expect("it ends")
    }
}

fn hear(lines: &mut impl BufRead) -> Option<String> {
    loop {
        let mut line = String::new();
        if lines.read_line(&mut line).expect("text") == 0 {
            return None;
        }
        if let Some(told) = line.strip_prefix(MARK) {
            return Some(told.trim_end().to_owned());
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // Also when the parent fails: nothing may be left running.
        let _ended = self.process.kill().and_then(|()| self.process.wait());
    }
}
