//! `cargo xtask ci [job]`: every check that a change must pass, or one of them. Never writes to the
//! sources; `cargo xtask fix` does.

mod examples;
mod servers;

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::tidy;
use crate::workspace::{Workspace, run as run_command};

struct Job {
    name: &'static str,
    about: &'static str,
    /// Runs when no job is named.
    by_default: bool,
    run: fn(&Workspace) -> Result<()>,
}

const fn job(name: &'static str, about: &'static str, run: fn(&Workspace) -> Result<()>) -> Job {
    Job { name, about, by_default: true, run }
}

/// In the order in which a mistake is cheapest to find.
const JOBS: &[Job] = &[
    job("fmt", "the sources are formatted", fmt),
    job("tidy", "layers, sizes, invariants, manifests, wording", tidy::run),
    job("xtask", "the checks find what is planted for them", xtask),
    job("clippy", "no warning in any target under any feature", clippy),
    job("features", "the tests of what is off by default", features),
    job(
        "servers",
        "the coordinator against etcd, one and three (fetches it if needed)",
        servers::run,
    ),
    job("doc", "the documentation builds without a warning", doc),
    job("examples", "every example builds, the quick ones run", examples::run),
    job(
        "shuttle",
        "group commit and upkeep under a scheduler that tries interleavings",
        |workspace| interleavings(workspace, false),
    ),
    job("bench-build", "the measuring programs build", bench_build),
    Job {
        name: "miri",
        about: "decoders and the pointers of maps under Miri (needs a nightly toolchain with it)",
        by_default: false,
        run: miri,
    },
    Job {
        name: "big-endian",
        about: "the bytes of journals are the same on s390x (installs the target; needs qemu-user)",
        by_default: false,
        run: big_endian,
    },
    Job {
        name: "msrv",
        about: "the libraries build with the oldest promised compiler (installs it)",
        by_default: false,
        run: msrv,
    },
];

/// Prints the jobs.
pub(crate) fn list() {
    for Job { name, about, by_default, .. } in JOBS {
        println!("{name:<12} {about}{}", if *by_default { "" } else { " (only when named)" });
    }
}

/// Runs the named job, or all.
pub(crate) fn run(workspace: &Workspace, name: Option<&str>) -> Result<()> {
    if name == Some("list") {
        list();
        return Ok(());
    }
    let jobs: Vec<_> =
        JOBS.iter().filter(|job| name.map_or(job.by_default, |name| job.name == name)).collect();
    ensure!(!jobs.is_empty(), "no job `{}`; `cargo xtask list` shows them", name.unwrap_or(""));
    let mut results = Vec::new();
    for job in &jobs {
        println!("== {}: {}", job.name, job.about);
        let start = Instant::now();
        let result = (job.run)(workspace);
        if let Err(error) = &result {
            println!("{}: {error:#}", job.name);
        }
        results.push((job.name, start.elapsed(), result.is_ok()));
    }
    let failed = summarize(&results);
    if !failed.is_empty() {
        bail!("ci: failed: {}; `cargo xtask ci JOB` repeats one", failed.join(", "));
    }
    println!("ci: ok");
    Ok(())
}

/// Prints one line for each job and returns the names of those that failed.
fn summarize(results: &[(&'static str, Duration, bool)]) -> Vec<&'static str> {
    println!("== summary");
    for (name, time, ok) in results {
        let state = if *ok { "ok" } else { "FAILED" };
        println!("{name:<12} {:>7.1} s  {state}", time.as_secs_f64());
    }
    results.iter().filter(|(_, _, ok)| !ok).map(|(name, ..)| *name).collect()
}

fn fmt(workspace: &Workspace) -> Result<()> {
    run_command(workspace.cargo().args(["fmt", "--all", "--check"]))
        .context("`cargo xtask fix` formats")
}

fn xtask(workspace: &Workspace) -> Result<()> {
    run_command(workspace.cargo().args(["test", "--locked", "--quiet", "--package", "xtask"]))
}

fn clippy(workspace: &Workspace) -> Result<()> {
    let args = ["clippy", "--locked", "--workspace", "--all-targets", "--all-features"];
    run_command(workspace.cargo().args(args).args(["--", "-D", "warnings"]))
}

/// The tests that a plain `cargo test` leaves out.
fn features(workspace: &Workspace) -> Result<()> {
    let engine =
        ["test", "--locked", "--package", "steadfast-engine-core", "--all-features", "--lib"];
    run_command(workspace.cargo().args(engine).args(["--", "decimal", "cron"]))?;
    let facade = ["test", "--locked", "--package", "steadfast", "--all-features", "--test", "it"];
    run_command(workspace.cargo().args(facade).args(["--", "decimals::", "cron::"]))?;
    // Links with TLS.
    let tls = ["test", "--locked", "--package", "steadfast-ha-certificates", "--tests"];
    run_command(workspace.cargo().args(tls))
}

fn doc(workspace: &Workspace) -> Result<()> {
    let args = ["doc", "--locked", "--workspace", "--no-deps", "--all-features"];
    run_command(workspace.cargo().args(args).env("RUSTDOCFLAGS", "-D warnings"))
}

/// The tests that need locks and threads of a scheduler: the journal's, and of the session's upkeep.
/// The journal's unit tests are all run with it: they hold what the interleavings are built of.
pub(crate) fn interleavings(workspace: &Workspace, soak: bool) -> Result<()> {
    let parts: [&[&str]; 3] = [
        &["steadfast-journal", "--lib"],
        &["steadfast-journal", "--test", "it", "interleavings::"],
        &["steadfast", "--lib", "interleavings::"],
    ];
    for part in parts {
        let mut command = workspace.cargo();
        command.args(["test", "--locked", "--package"]).args(part);
        command.env("RUSTFLAGS", "--cfg shuttle");
        if soak {
            command.env("STEADFAST_SOAK", "1");
        }
        // Everything is compiled differently: the ordinary artifacts stay.
        run_command(command.args(["--target-dir", "target/shuttle"]))?;
    }
    Ok(())
}

/// What Miri can run and has the patience for: the journal's decoders over files in memory, the
/// functions that store into maps and slice them (of memory; it maps no file), the codec of records.
fn miri(workspace: &Workspace) -> Result<()> {
    let parts: [(&str, &[&str]); 2] = [
        (
            "steadfast-journal",
            &[
                "bytes::",
                "durable_slot::",
                "frame::",
                "ids::",
                "mmap::tests::slices_",
                "record::",
                "segment::",
                "testing::fuzz::",
            ],
        ),
        (
            "steadfast-wm",
            &["codec::tests::", "v1::tests::golden", "v1::tests::a_lying", "digest::"],
        ),
    ];
    for (package, tests) in parts {
        let mut command = workspace.nightly()?;
        command.args(["miri", "test", "--locked", "--package", package, "--lib"]);
        command.args(["--target-dir", "target/miri", "--"]).args(tests);
        // The corpus is read from its files.
        run_command(command.env("MIRIFLAGS", "-Zmiri-disable-isolation")).context(
            "`rustup component add miri rust-src --toolchain nightly` brings what it needs",
        )?;
    }
    Ok(())
}

/// Golden journals, every decoder, opening, normalizing and repairing, in an emulator of a machine that
/// is big endian; the record codec with its golden bytes; and golden sessions, their digests and their
/// future.
fn big_endian(workspace: &Workspace) -> Result<()> {
    const TARGET: &str = "s390x-unknown-linux-gnu";
    let mut rustup = Command::new("rustup");
    run_command(rustup.current_dir(&workspace.root).args(["target", "add", TARGET]))?;
    let parts: [(&str, &[&str], &[&str]); 3] = [
        (
            "steadfast-journal",
            &["--lib", "--test", "it"],
            &[
                // Unit tests and integration tests by their modules.
                "batch::",
                "bytes::",
                "durable_slot::",
                "frame::",
                "manifest::",
                "record::",
                "segment::",
                "testing::",
                "basics::",
                "compacted::",
                "format::",
                "fuzz::",
                "golden::",
                "normalize::",
                "recovery::",
                "repair::",
            ],
        ),
        ("steadfast-wm", &["--lib"], &[]),
        ("steadfast", &["--test", "it"], &["durability::golden"]),
    ];
    for (package, targets, tests) in parts {
        let mut command = workspace.cargo();
        command.args(["test", "--locked", "--package", package]).args(targets);
        command.args(["--target", TARGET, "--target-dir", "target/big-endian", "--"]).args(tests);
        command.env("CARGO_TARGET_S390X_UNKNOWN_LINUX_GNU_LINKER", "s390x-linux-gnu-gcc");
        let emulator = "qemu-s390x-static -L /usr/s390x-linux-gnu";
        command.env("CARGO_TARGET_S390X_UNKNOWN_LINUX_GNU_RUNNER", emulator);
        run_command(&mut command).context(
            "the packages qemu-user-static, gcc-s390x-linux-gnu and libc6-dev-s390x-cross of Debian \
             and Ubuntu bring what it needs",
        )?;
    }
    Ok(())
}

fn bench_build(workspace: &Workspace) -> Result<()> {
    let args = ["build", "--locked", "--package", "steadfast-benches", "--all-targets"];
    run_command(workspace.cargo().args(args))
}

fn msrv(workspace: &Workspace) -> Result<()> {
    let metadata = workspace.metadata()?;
    let promised = metadata.default_members().find_map(|package| package.rust_version.clone());
    let promised = promised.context("no library has a `rust-version`")?;
    let mut command = Command::new("rustup");
    command.current_dir(&workspace.root).args(["run", "--install", &promised, "cargo", "check"]);
    // Each compiler keeps its own artifacts, so that they do not throw out each other's.
    let target = format!("target/msrv-{promised}");
    run_command(command.args(["--locked", "--all-features", "--target-dir", &target]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jobs_have_names_of_their_own() {
        let mut names: Vec<_> = JOBS.iter().map(|job| job.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), JOBS.len());
        assert!(!names.contains(&"list"));
    }

    #[test]
    fn unknown_job_is_an_error_that_says_where_to_look() {
        let workspace = Workspace::find().expect("tests run inside the repository");
        let error = run(&workspace, Some("nothing")).expect_err("there is no such job");
        assert_eq!(error.to_string(), "no job `nothing`; `cargo xtask list` shows them");
    }

    #[test]
    fn summary_names_the_jobs_that_failed() {
        let second = Duration::from_secs(1);
        let failed = summarize(&[("a", second, true), ("b", second, false), ("c", second, false)]);
        assert_eq!(failed, ["b", "c"]);
    }
}
