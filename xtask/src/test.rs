//! `cargo xtask test`: the README's test command, with a word about what to do when it fails.

use std::ffi::OsString;

use anyhow::Result;

use crate::workspace::{Workspace, run as run_command};

const HINTS: &str = "\
one crate:          cargo xtask test -p steadfast-journal
one test:           cargo xtask test -p steadfast-journal --test it torn_tail
a script's output:  UPDATE=1 cargo xtask test, then read the diff
a printed seed:     set it as the failure message says; the same seed is the same run
long sweeps:        cargo xtask soak";

/// Runs `cargo test` with `args`; what follows `--` there goes to the tests.
pub(crate) fn run(workspace: &Workspace, args: &[OsString]) -> Result<()> {
    let result = run_command(workspace.cargo().arg("test").args(args));
    if result.is_err() {
        eprintln!("{HINTS}");
    }
    result
}
