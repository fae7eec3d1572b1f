//! Builds a measuring program by a profile of itself, as who ships a program may: once with counters, a run that
//! counts, and again with what was counted.
//!
//! The compiler then knows which branches are taken and which calls are hot, which an engine in a virtual machine
//! learns while it is warmed up.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::workspace::{Workspace, output, run as run_command};

/// The binary `name` of `benches/`, built by a profile of what it does when it is run with `training`.
pub(super) fn build(workspace: &Workspace, name: &str, training: &[&str]) -> Result<PathBuf> {
    let compiler = Compiler::here(workspace)?;
    let dir = workspace.root.join("target/bench/profiled");
    let counts = dir.join("counts");
    // Those of another build would only be warned about.
    if counts.exists() {
        fs::remove_dir_all(&counts)
            .with_context(|| format!("failed to remove {}", counts.display()))?;
    }
    let counting = format!("-Cprofile-generate={}", counts.display());
    let counter = compiler.build(workspace, name, &dir.join("counting"), &counting)?;
    run_command(Command::new(counter).args(training))?;
    let profile = dir.join(format!("{name}.profdata"));
    let mut merge = Command::new(&compiler.merger);
    run_command(merge.arg("merge").arg("--output").arg(&profile).arg(&counts))?;
    let guided = format!("-Cprofile-use={}", profile.display());
    compiler.build(workspace, name, &dir.join("guided"), &guided)
}

struct Compiler {
    /// What it compiles for when nobody says otherwise.
    host: String,
    /// The tool that makes a profile of counts, of the compiler's own version.
    merger: PathBuf,
}

impl Compiler {
    fn here(workspace: &Workspace) -> Result<Self> {
        let rustc =
            |args: &[&str]| output(Command::new("rustc").args(args).current_dir(&workspace.root));
        let version = rustc(&["--version", "--verbose"])?;
        let host = host(&version).context("rustc does not say what it compiles for")?;
        let root = rustc(&["--print", "sysroot"])?;
        let tools = Path::new(root.trim()).join("lib/rustlib").join(host).join("bin");
        let merger = tools.join(format!("llvm-profdata{}", std::env::consts::EXE_SUFFIX));
        ensure!(
            merger.is_file(),
            "no {}: `rustup component add llvm-tools` brings it",
            merger.display()
        );
        Ok(Self { host: host.to_owned(), merger })
    }

    /// Builds with a flag more, which programs that run while it builds do not get: hence the target.
    fn build(&self, workspace: &Workspace, name: &str, dir: &Path, flag: &str) -> Result<PathBuf> {
        let mut cargo = workspace.cargo();
        cargo.args(["build", "--locked", "--release", "--package", "steadfast-benches"]);
        cargo.args(["--bin", name, "--target", &self.host, "--target-dir"]).arg(dir);
        run_command(cargo.env("CARGO_ENCODED_RUSTFLAGS", flag))?;
        let program = dir.join(&self.host).join("release").join(name);
        Ok(program.with_extension(std::env::consts::EXE_EXTENSION))
    }
}

/// The target in what `rustc --version --verbose` says.
fn host(version: &str) -> Option<&str> {
    version.lines().find_map(|line| line.strip_prefix("host: ")).map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_is_found_in_what_the_compiler_says() {
        let version =
            "rustc 1.0.0\nbinary: rustc\nhost: x86_64-unknown-linux-gnu\nrelease: 1.0.0\n";
        assert_eq!(host(version), Some("x86_64-unknown-linux-gnu"));
        assert_eq!(host("rustc 1.0.0\n"), None);
    }
}
