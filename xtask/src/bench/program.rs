//! Runs a measuring program of the repository and reads its lines.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::workspace::{Workspace, display, run as run_command};

use super::row::Line;

/// The heap keeps its pages between samples, as the peers' virtual machine keeps its own: else every
/// sample pays the kernel for fresh memory again, which the peers' tuned runs do not.
const HEAP: &str = "glibc.malloc.mmap_threshold=4294967295:\
                    glibc.malloc.trim_threshold=4294967295:\
                    glibc.malloc.top_pad=268435456";

/// A program that cargo builds and runs.
pub(crate) struct Program<'a> {
    workspace: &'a Workspace,
    /// What selects it: package and target.
    selection: Vec<&'a str>,
    /// Where it lies, if cargo does not know.
    path: Option<PathBuf>,
}

impl<'a> Program<'a> {
    /// Binary `name` of `benches/`.
    pub(crate) fn of_benches(workspace: &'a Workspace, name: &'a str) -> Self {
        let selection = vec!["--package", "steadfast-benches", "--bin", name];
        Self { workspace, selection, path: None }
    }

    /// Example `name` of `package`.
    pub(crate) fn of_example(workspace: &'a Workspace, package: &'a str, name: &'a str) -> Self {
        let selection = vec!["--package", package, "--example", name];
        Self { workspace, selection, path: None }
    }

    /// The same program, built by somebody else.
    pub(crate) fn built_at(self, path: PathBuf) -> Self {
        Self { path: Some(path), ..self }
    }

    /// Compiles it, so that no later run pays for that.
    pub(crate) fn build(&self) -> Result<()> {
        let mut cargo = self.workspace.cargo();
        run_command(cargo.args(["build", "--locked", "--release"]).args(&self.selection))
    }

    /// Runs it with `args`, with a heap that keeps its pages.
    pub(crate) fn run(&self, args: &[&str]) -> Result<Vec<Line>> {
        lines_of(self.command(args).env("GLIBC_TUNABLES", HEAP))
    }

    /// Runs it with `args` as any program is run.
    pub(crate) fn run_plainly(&self, args: &[&str]) -> Result<Vec<Line>> {
        lines_of(&mut self.command(args))
    }

    fn command(&self, args: &[&str]) -> Command {
        if let Some(path) = &self.path {
            let mut program = Command::new(path);
            program.current_dir(&self.workspace.root).args(args);
            return program;
        }
        let mut cargo = self.workspace.cargo();
        cargo.args(["run", "--locked", "--quiet", "--release"]).args(&self.selection);
        cargo.arg("--").args(args);
        cargo
    }
}

/// Runs `command` and reads its stdout: JSON objects are lines, the rest is for people.
pub(crate) fn lines_of(command: &mut Command) -> Result<Vec<Line>> {
    let shown = display(command);
    eprintln!("$ {shown}");
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("failed to start `{shown}`"))?;
    let stdout = child.stdout.take().context("stdout was not piped")?;
    let mut lines = Vec::new();
    for text in BufReader::new(stdout).lines() {
        let text = text.with_context(|| format!("`{shown}` prints no text"))?;
        if text.starts_with('{') {
            let line = serde_json::from_str(&text);
            lines.push(line.with_context(|| format!("`{shown}` prints an unknown line: {text}"))?);
        } else {
            eprintln!("{text}");
        }
    }
    let status = child.wait()?;
    ensure!(status.success(), "`{shown}`: {status}");
    Ok(lines)
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use crate::bench::row::Measured;

    fn shell(script: &str) -> Result<Vec<Line>> {
        lines_of(Command::new("sh").args(["-c", script]))
    }

    #[test]
    fn program_prints_rows_notes_and_words_for_people() {
        let lines = shell(
            r#"echo warming up
               echo '{"note":"mode Map"}'
               echo '{"work":"w","size":1,"against":"a","ours":1,"theirs":2,"unit":"s"}'"#,
        );
        let measured = Measured::from_lines(lines.expect("the program ends well"));
        assert_eq!(measured.notes, ["mode Map"]);
        let ratios: Vec<_> = measured.rows.iter().map(|row| row.ratio).collect();
        assert_eq!(ratios, [2.0]);
    }

    #[test]
    fn program_that_fails_is_an_error() {
        let error = shell("echo '{\"note\":\"x\"}'; exit 3").expect_err("exit code 3");
        assert!(error.to_string().contains('3'), "{error}");
    }

    #[test]
    fn line_of_an_unknown_shape_is_an_error_that_shows_it() {
        let error = shell("echo '{\"word\":1}'").expect_err("no known shape");
        assert!(error.to_string().contains("{\"word\":1}"), "{error}");
    }
}
