//! `cargo xtask fix`: does by machine what can be done about the findings of `ci`, then shows what is
//! left for people.

use anyhow::Result;

use crate::tidy;
use crate::workspace::{Workspace, run as run_command};

pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    let lint = ["clippy", "--fix", "--allow-dirty", "--allow-staged"];
    let everything = ["--workspace", "--all-targets", "--all-features"];
    run_command(workspace.cargo().args(lint).args(everything))?;
    run_command(workspace.cargo().args(["fmt", "--all"]))?;
    tidy::run(workspace)
}
