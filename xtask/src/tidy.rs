//! `cargo xtask tidy`: what the compiler and clippy cannot know about this repository.
//!
//! Each check is a function from the text of the repository, or from `cargo metadata`, to findings.
//! The whole is a test of this package as well, so it runs wherever the tests run.

mod absences;
mod alone;
mod caps;
mod forbidden;
mod invariants;
mod layers;
mod licences;
mod module_docs;
mod msrv;
mod reasons;

use anyhow::{Result, bail};

use crate::finding::Finding;
use crate::workspace::{self, Workspace};

/// Prints the findings; any is an error. Runs `cargo deny` and `typos` too where they are installed.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    let findings = check(workspace)?;
    for finding in &findings {
        println!("{finding}");
    }
    if !findings.is_empty() {
        bail!("tidy has {} findings", findings.len());
    }
    if workspace::is_installed("cargo-deny") {
        let quiet = ["deny", "--all-features", "--log-level", "error"];
        let checks = ["check", "bans", "licenses", "sources"];
        workspace::run(workspace.cargo().args(quiet).args(checks))?;
    }
    if workspace::is_installed("typos") {
        workspace::run(std::process::Command::new("typos").current_dir(&workspace.root))?;
    }
    println!("tidy: ok");
    Ok(())
}

/// All findings, sorted by place.
fn check(workspace: &Workspace) -> Result<Vec<Finding>> {
    let tree = workspace.tree()?;
    let metadata = workspace.metadata()?;
    let mut findings = [
        absences::check(&tree),
        alone::check(&tree),
        caps::check(&tree),
        forbidden::check(&tree),
        invariants::check(&tree),
        layers::check(&tree, &metadata, &workspace.root),
        licences::check(&tree, &metadata),
        module_docs::check(&tree),
        msrv::check(&metadata),
        reasons::check(&tree),
    ]
    .concat();
    findings.sort();
    findings.dedup();
    Ok(findings)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repository_is_tidy() {
        let workspace = Workspace::find().expect("tests run inside the repository");
        let findings = check(&workspace).expect("the repository can be read");
        let lines: Vec<_> = findings.iter().map(Finding::to_string).collect();
        assert!(lines.is_empty(), "\n{}", lines.join("\n"));
    }
}
