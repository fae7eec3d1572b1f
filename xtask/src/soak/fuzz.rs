//! `cargo xtask soak fuzz`: each fuzz target for a while, with cargo-fuzz and a nightly toolchain.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};

use crate::workspace::{Workspace, run as run_command};

/// How long each target runs; the environment variable overrides it.
const SECONDS: &str = "600";
const SECONDS_VARIABLE: &str = "STEADFAST_FUZZ_SECONDS";

/// Where `fuzz/` is.
const CRATES: [&str; 2] = ["journal", "engine-core/wm"];

/// Runs every target; what it finds is in `fuzz/artifacts`, and belongs into the corpus once fixed.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    let seconds = std::env::var(SECONDS_VARIABLE).unwrap_or_else(|_| SECONDS.to_owned());
    ensure!(seconds.parse::<u32>().is_ok(), "{SECONDS_VARIABLE} is a number of seconds");
    let mut failed = Vec::new();
    for dir in CRATES {
        for target in targets(&workspace.root.join(dir))? {
            println!("== fuzz: {dir}, {target}, {seconds} s");
            // New inputs go to a directory of their own: the committed corpus stays small.
            let found = workspace.root.join("target/fuzz-corpus").join(&target);
            fs::create_dir_all(&found).with_context(|| format!("{}", found.display()))?;
            let mut command = workspace.nightly()?;
            command.current_dir(workspace.root.join(dir)).args(["fuzz", "run", &target]);
            command.arg(&found).arg(format!("fuzz/corpus/{target}"));
            command.args(["--", &format!("-max_total_time={seconds}")]);
            if run_command(&mut command).is_err() {
                failed.push(target);
            }
        }
    }
    if !failed.is_empty() {
        bail!("fuzz: failed: {} (`cargo install cargo-fuzz` brings it)", failed.join(", "));
    }
    println!("fuzz: ok");
    Ok(())
}

/// The targets of a crate: those that have a corpus.
fn targets(dir: &Path) -> Result<Vec<String>> {
    let corpus = dir.join("fuzz/corpus");
    let entries = fs::read_dir(&corpus).with_context(|| format!("{}", corpus.display()))?;
    let names = entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
    let mut names: Vec<String> = names.collect::<Result<_>>()?;
    names.sort();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_corpus_has_its_target() {
        let workspace = Workspace::find().expect("tests run inside the repository");
        let mut count = 0;
        for dir in CRATES {
            for target in targets(&workspace.root.join(dir)).expect("there is a corpus") {
                let source = format!("{dir}/fuzz/fuzz_targets/{target}.rs");
                assert!(workspace.root.join(&source).is_file(), "{source}");
                count += 1;
            }
        }
        assert!(count > 5, "{count}");
    }
}
