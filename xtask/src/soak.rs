//! `cargo xtask soak [NAME]`: the long sweeps, of which the ordinary tests run a bounded part.
//!
//! A sweep is a test that looks at `STEADFAST_SOAK` and goes over more seeds, sizes or crash points
//! when it is set.

mod fuzz;

use std::time::Instant;

use anyhow::{Result, bail, ensure};

use crate::ci;
use crate::workspace::{Workspace, run as run_command};

struct Sweep {
    /// What `cargo xtask soak NAME` calls it.
    name: &'static str,
    package: &'static str,
    /// Which tests; all if there are none.
    tests: &'static [&'static str],
    about: &'static str,
    /// Runs only when named, for the sweep of its whole package has it.
    part: bool,
}

impl Sweep {
    /// The tests of a package, all of them.
    const fn of(name: &'static str, package: &'static str, about: &'static str) -> Self {
        Self { name, package, tests: &[], about, part: false }
    }

    /// Some tests of a package's.
    const fn part(
        name: &'static str,
        package: &'static str,
        tests: &'static [&'static str],
        about: &'static str,
    ) -> Self {
        Self { name, package, tests, about, part: true }
    }
}

const SWEEPS: &[Sweep] = &[
    Sweep::of(
        "engine",
        "steadfast-engine-core",
        "lazy = eager = naive over random rules and operations",
    ),
    Sweep::of(
        "journal",
        "steadfast-journal",
        "a crash after every I/O call, a fault at every one, damage at every byte",
    ),
    Sweep::of(
        "snapshotter",
        "steadfast-snapshotter",
        "normal forms of random histories; 10^8 pairs over 1,000 live facts stay bounded on disk",
    ),
    Sweep::of(
        "replay",
        "steadfast-replay",
        "replay(journal(x)) = x over random histories and cuts",
    ),
    Sweep::of(
        "replication",
        "steadfast-ha-transport",
        "a million simulated worlds; 300 rounds of killed and stopped processes",
    ),
    Sweep::of(
        "etcd",
        "steadfast-ha-etcd",
        "60 rounds of killed and stopped processes, on an etcd that is killed, too (if there is one)",
    ),
    Sweep::of(
        "session",
        "steadfast",
        "killed processes and random crash points against an uninterrupted session",
    ),
    Sweep::part(
        "devices",
        "steadfast-journal",
        &["--test", "it", "recorded::", "--", "--nocapture"],
        "power cuts between the writes of a device under ext4, xfs and btrfs (as root); part of `journal`",
    ),
    Sweep::part(
        "kills",
        "steadfast",
        &["--test", "it", "durability::kills", "--", "--nocapture"],
        "1,000 processes killed at random moments of one session's life; part of `session`",
    ),
];

/// What needs a nightly toolchain: only when named.
type Tool = (&'static str, fn(&Workspace) -> Result<()>);
const TOOLS: &[Tool] = &[("fuzz", fuzz::run), ("sanitizer", sanitizer)];

pub(crate) fn run(workspace: &Workspace, name: Option<&str>) -> Result<()> {
    if let Some((_, tool)) = TOOLS.iter().find(|(tool, _)| Some(*tool) == name) {
        return tool(workspace);
    }
    let sweeps: Vec<_> =
        SWEEPS.iter().filter(|sweep| name.map_or(!sweep.part, |name| sweep.name == name)).collect();
    let names = || {
        let sweeps = SWEEPS.iter().map(|sweep| sweep.name);
        sweeps.chain(TOOLS.iter().map(|(name, _)| *name)).collect::<Vec<_>>().join(", ")
    };
    ensure!(!sweeps.is_empty(), "no sweep `{}`; there are: {}", name.unwrap_or(""), names());
    let mut failed = Vec::new();
    for Sweep { name, package, tests, about, .. } in sweeps {
        println!("== {name}: {about}");
        let start = Instant::now();
        let args = ["test", "--locked", "--release", "--package", package];
        let mut command = workspace.cargo();
        command.args(args).args(*tests).env("STEADFAST_SOAK", "1");
        let result = run_command(&mut command);
        println!("{name}: {:.0} s", start.elapsed().as_secs_f64());
        if result.is_err() {
            failed.push(*name);
        }
    }
    if name.is_none_or(|name| name == "journal") {
        println!("== interleavings: a hundred times as many as in CI");
        if ci::interleavings(workspace, true).is_err() {
            failed.push("interleavings");
        }
    }
    if !failed.is_empty() {
        bail!("soak: failed: {}", failed.join(", "));
    }
    println!("soak: ok");
    Ok(())
}

/// The journal's maps of real files, its threads, tails and processes under `AddressSanitizer`.
fn sanitizer(workspace: &Workspace) -> Result<()> {
    println!("== sanitizer: maps, threads and tails of the journal under AddressSanitizer");
    let mut command = workspace.nightly()?;
    // A target of its own, or build scripts and macros would be instrumented, too.
    let target = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    command.args(["test", "--locked", "--package", "steadfast-journal", "--lib", "--test", "it"]);
    command.args(["--target", &target, "--target-dir", "target/sanitizer", "--"]);
    command.args([
        "mmap",
        "storage",
        "pins",
        "tail::",
        "threads::",
        "basics::",
        "overtaken::tails",
        "pinned",
    ]);
    run_command(command.env("RUSTFLAGS", "-Zsanitizer=address"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_sweep_is_an_error_that_lists_them() {
        let workspace = Workspace::find().expect("tests run inside the repository");
        let error = run(&workspace, Some("nothing")).expect_err("there is no such sweep");
        assert!(error.to_string().contains("engine, journal"), "{error}");
    }
}
