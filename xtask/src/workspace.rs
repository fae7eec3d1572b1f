//! Where the repository is and how commands are run in it.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::metadata::Metadata;
use crate::tree::Tree;

/// The repository.
#[derive(Debug)]
pub(crate) struct Workspace {
    pub(crate) root: PathBuf,
}

impl Workspace {
    /// The repository that this tool was started in; cargo says where the tool's manifest is.
    pub(crate) fn find() -> Result<Self> {
        let manifest = env::var_os("CARGO_MANIFEST_DIR")
            .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
        let root = manifest.parent().context("the manifest of xtask has no parent directory")?;
        ensure!(root.join("Cargo.toml").is_file(), "no Cargo.toml in {}", root.display());
        Ok(Self { root: root.to_owned() })
    }

    /// `cargo`, to be run at the root.
    pub(crate) fn cargo(&self) -> Command {
        let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        command.current_dir(&self.root);
        command
    }

    /// The `cargo` of the nightly toolchain, to be run at the root; an error that says how to get it
    /// if there is none.
    pub(crate) fn nightly(&self) -> Result<Command> {
        let version =
            Command::new("rustup").args(["run", "nightly", "rustc", "--version"]).output();
        let is_there = version.is_ok_and(|version| version.status.success());
        ensure!(is_there, "no nightly toolchain: `rustup toolchain install nightly` brings it");
        let mut command = Command::new("rustup");
        command.current_dir(&self.root).args(["run", "nightly", "cargo"]);
        // Of the toolchain that runs this tool.
        command.env_remove("CARGO").env_remove("RUSTC");
        Ok(command)
    }

    pub(crate) fn metadata(&self) -> Result<Metadata> {
        let text = output(self.cargo().args(["metadata", "--format-version", "1", "--locked"]))?;
        serde_json::from_str(&text).context("cargo metadata answers in an unknown shape")
    }

    pub(crate) fn tree(&self) -> Result<Tree> {
        Tree::read(&self.root)
    }
}

/// Runs `command` with its output shown; an exit code other than 0 is an error.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let line = display(command);
    eprintln!("$ {line}");
    let status = command.status().with_context(|| format!("failed to start `{line}`"))?;
    ensure!(status.success(), "`{line}`: {status}");
    Ok(())
}

/// Runs `command` and returns what it prints on stdout.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let line = display(command);
    let output = command.output().with_context(|| format!("failed to start `{line}`"))?;
    let stderr = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "`{line}`: {}\n{stderr}", output.status);
    String::from_utf8(output.stdout).with_context(|| format!("`{line}` prints no text"))
}

/// Runs `command` and returns what it prints on stdout; what it prints on stderr is shown.
pub(crate) fn output_shown(command: &mut Command) -> Result<String> {
    let line = display(command);
    eprintln!("$ {line}");
    output(command.stderr(Stdio::inherit()))
}

/// Waits for `child`; one that runs longer than `limit` is killed, which is an error.
pub(crate) fn wait_within(child: &mut Child, limit: Duration) -> Result<ExitStatus> {
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        if start.elapsed() > limit {
            child.kill()?;
            child.wait()?;
            bail!("still ran after {} s", limit.as_secs());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Whether a program of this name can be started.
pub(crate) fn is_installed(program: &str) -> bool {
    find_program(program).is_some()
}

/// The program that is started under this name, if there is one.
pub(crate) fn find_program(program: &str) -> Option<PathBuf> {
    let paths = env::var_os("PATH")?;
    let named = |dir: PathBuf| ["", ".exe"].map(|end| dir.join(format!("{program}{end}")));
    env::split_paths(&paths).flat_map(named).find(|path| path.is_file())
}

/// The command as one would type it.
pub(crate) fn display(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let program = program.file_name().unwrap_or(command.get_program()).to_string_lossy();
    let args = command.get_args().map(|arg| arg.to_string_lossy());
    std::iter::once(program).chain(args).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn command_is_shown_as_typed() {
        let mut command = Command::new("/usr/bin/cargo");
        command.args(["test", "--locked"]);
        assert_eq!(display(&command), "cargo test --locked");
    }

    #[cfg(unix)]
    #[test]
    fn program_that_hangs_is_killed() {
        let mut child = Command::new("sleep").arg("1000").spawn().expect("sleep is there");
        let error = wait_within(&mut child, Duration::ZERO).expect_err("it sleeps longer");
        assert_eq!(error.to_string(), "still ran after 0 s");
    }

    #[test]
    fn program_that_fails_is_an_error_with_its_words() {
        let error = output(Command::new("git").arg("no-such-verb")).unwrap_err();
        assert!(error.to_string().contains("no-such-verb"), "{error}");
    }
}
