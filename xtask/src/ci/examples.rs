//! The examples: all are built, the quick ones are run, as their readers would.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use crate::metadata::{Package, Target};
use crate::workspace::{Workspace, output_shown, wait_within};

/// Examples that are built and not run, each with its reason.
const NOT_QUICK: &[(&str, &str)] = &[
    ("journal_bench", "measures; `cargo xtask bench journal` runs it"),
    ("journal_repair", "needs a damaged journal; `journal/tests/it/repair.rs` makes some"),
];

/// How long a quick example may take before it counts as hanging.
const EXAMPLE_SECONDS_MAX: u64 = 180;

/// A line of `cargo build --message-format json`.
#[derive(Debug, Deserialize)]
struct Message {
    #[serde(default)]
    target: Option<Built>,
    #[serde(default)]
    executable: Option<PathBuf>,
}

#[derive(Debug, Deserialize)]
struct Built {
    name: String,
    kind: Vec<String>,
}

/// Builds with the selection of a plain `cargo test`, so that what it has built is not built again.
pub(super) fn run(workspace: &Workspace) -> Result<()> {
    let mut built = build(workspace, &["--examples"])?;
    let metadata = workspace.metadata()?;
    for package in metadata.default_members() {
        for example in package.targets.iter().filter(|target| needs_features(target)) {
            built.extend(build_with_features(workspace, package, example)?);
        }
    }
    for (name, executable) in built {
        match NOT_QUICK.iter().find(|(slow, _)| *slow == name) {
            Some((_, reason)) => println!("{name}: built, not run: it {reason}"),
            None => run_one(workspace, &name, &executable)?,
        }
    }
    Ok(())
}

/// Cargo passes over an example whose features are off, so it is built on its own.
fn needs_features(target: &Target) -> bool {
    target.kind.iter().any(|kind| kind == "example") && !target.required_features.is_empty()
}

fn build_with_features(
    workspace: &Workspace,
    package: &Package,
    example: &Target,
) -> Result<Vec<(String, PathBuf)>> {
    let features = example.required_features.join(",");
    let target = ["--package", &package.name, "--example", &example.name];
    build(workspace, &[&target[..], &["--features", &features]].concat())
}

/// Names and executables of the examples that `selection` builds.
fn build(workspace: &Workspace, selection: &[&str]) -> Result<Vec<(String, PathBuf)>> {
    let mut cargo = workspace.cargo();
    cargo.args(["build", "--locked", "--message-format", "json-render-diagnostics"]);
    executables(&output_shown(cargo.args(selection))?)
}

fn executables(messages: &str) -> Result<Vec<(String, PathBuf)>> {
    let mut executables = Vec::new();
    for line in messages.lines() {
        let message: Message = serde_json::from_str(line)
            .with_context(|| format!("cargo prints an unknown message: {line}"))?;
        if let (Some(target), Some(executable)) = (message.target, message.executable)
            && target.kind.iter().any(|kind| kind == "example")
        {
            executables.push((target.name, executable));
        }
    }
    executables.sort();
    Ok(executables)
}

fn run_one(workspace: &Workspace, name: &str, executable: &PathBuf) -> Result<()> {
    println!("$ cargo run --example {name}");
    let mut command = Command::new(executable);
    let mut child = command.current_dir(&workspace.root).stdin(Stdio::null()).spawn()?;
    let status = wait_within(&mut child, Duration::from_secs(EXAMPLE_SECONDS_MAX))
        .with_context(|| format!("example `{name}`"))?;
    ensure!(status.success(), "example `{name}`: {status}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn executables_of_examples_are_found_among_the_messages() {
        let messages = r#"{"reason":"compiler-artifact","target":{"name":"serde","kind":["lib"]},"executable":null}
{"reason":"compiler-artifact","target":{"name":"tool","kind":["bin"]},"executable":"t/tool"}
{"reason":"compiler-artifact","target":{"name":"hello","kind":["example"]},"executable":"t/hello"}
{"reason":"build-finished","success":true}"#;
        let found = executables(messages).expect("cargo's messages");
        assert_eq!(found, [("hello".to_owned(), PathBuf::from("t/hello"))]);
    }
}
