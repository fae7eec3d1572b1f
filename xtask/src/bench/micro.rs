//! Small operations beside their limits: the medians that criterion has measured, as rows.
//!
//! In `benches/benches/micro.rs` a group is a work; of its functions `ours`, and those whose names begin
//! with it, are ours, the others are limits that cannot be beaten.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use crate::workspace::{Workspace, run as run_command};

use super::row::{Measured, Pair};
use super::{Bench, Request};

/// The part of criterion's `estimates.json` that is read; nanoseconds.
#[derive(Deserialize)]
struct Estimates {
    median: Estimate,
}

#[derive(Deserialize)]
struct Estimate {
    point_estimate: f64,
}

pub(crate) fn run(workspace: &Workspace, bench: &Bench, request: Request<'_>) -> Result<Measured> {
    let home = workspace.root.join("target/bench/criterion");
    // What an earlier version of the program measured must not become a row.
    if home.exists() {
        fs::remove_dir_all(&home)
            .with_context(|| format!("failed to remove {}", home.display()))?;
    }
    let mut cargo = workspace.cargo();
    cargo.args(["bench", "--locked", "--package", "steadfast-benches", "--bench", bench.name]);
    cargo.args(["--", "--noplot"]).env("CRITERION_HOME", &home);
    if request.effort.is_quick() {
        cargo.args(["--measurement-time", "1", "--warm-up-time", "0.3", "--sample-size", "10"]);
    }
    run_command(&mut cargo)?;
    let measured = rows(&home)?;
    ensure!(!measured.rows.is_empty(), "no figures below {}", home.display());
    Ok(measured)
}

/// One row for each function of ours and each limit of its group.
fn rows(home: &Path) -> Result<Measured> {
    let mut measured = Measured::default();
    for group in names(home)? {
        let (ours, limits): (Vec<_>, Vec<_>) =
            names(&home.join(&group))?.into_iter().partition(|name| name.starts_with("ours"));
        for function in &ours {
            for limit in limits.iter().filter(|name| *name != "report") {
                let suffix = function.strip_prefix("ours").unwrap_or_default();
                measured.push(&Pair {
                    work: format!("{group}{suffix}"),
                    size: 1,
                    against: limit.clone(),
                    ours: median(home, &group, function)?,
                    theirs: Some(median(home, &group, limit)?),
                    unit: "ns".to_owned(),
                    higher_is_better: false,
                    target: None,
                });
            }
        }
    }
    Ok(measured)
}

/// The directories below a directory, sorted.
fn names(dir: &Path) -> Result<Vec<String>> {
    let entries = fs::read_dir(dir).with_context(|| format!("failed to list {}", dir.display()))?;
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry?;
        if entry.path().is_dir() {
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    names.sort_unstable();
    Ok(names)
}

fn median(home: &Path, group: &str, function: &str) -> Result<f64> {
    let path = home.join(group).join(function).join("new/estimates.json");
    let text =
        fs::read_to_string(&path).with_context(|| format!("failed to read {}", path.display()))?;
    let estimates: Estimates =
        serde_json::from_str(&text).with_context(|| format!("{} has no median", path.display()))?;
    Ok(estimates.median.point_estimate)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(home: &Path, group: &str, function: &str, ns: f64) {
        let dir = home.join(group).join(function).join("new");
        fs::create_dir_all(&dir).expect("a directory");
        let text = format!("{{\"median\":{{\"point_estimate\":{ns}}}}}");
        fs::write(dir.join("estimates.json"), text).expect("a file");
    }

    #[test]
    fn every_function_of_ours_meets_every_limit_of_its_group() {
        let home = tempfile::tempdir().expect("a directory");
        put(home.path(), "copy", "ours", 20.0);
        put(home.path(), "copy", "ours twice", 40.0);
        put(home.path(), "copy", "memcpy", 10.0);
        fs::create_dir_all(home.path().join("copy/report")).expect("a directory");
        let rows = rows(home.path()).expect("figures").rows;
        let told: Vec<_> = rows.iter().map(|row| (&*row.work, &*row.against, row.ratio)).collect();
        assert_eq!(told, [("copy", "memcpy", 0.5), ("copy twice", "memcpy", 0.25)]);
    }

    #[test]
    fn a_function_without_figures_is_an_error_that_names_its_file() {
        let home = tempfile::tempdir().expect("a directory");
        put(home.path(), "copy", "memcpy", 10.0);
        fs::create_dir_all(home.path().join("copy/ours")).expect("a directory");
        let error = rows(home.path()).expect_err("nothing was measured");
        assert!(error.to_string().contains("ours/new/estimates.json"), "{error}");
    }
}
