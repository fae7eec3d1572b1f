//! `cargo xtask ci servers`: what talks to servers of somebody else's, against these. The tests start and end them.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::workspace::{Workspace, find_program, is_installed, output, run as run_command};

/// The package of Debian and Ubuntu that has it.
const PACKAGE: &str = "etcd-server";

pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    let etcd = etcd(&workspace.root.join("target/servers"))?;
    let version = output(Command::new(&etcd).arg("--version"))?;
    println!("{}: {}", etcd.display(), version.lines().next().unwrap_or_default());
    let args = ["test", "--locked", "--package", "steadfast-ha-etcd"];
    run_command(workspace.cargo().args(args).env("STEADFAST_ETCD", &etcd))
}

/// The program of `STEADFAST_ETCD`, or one that is installed, or that of the distribution's package, unpacked below
/// `dir`: that takes no rights and starts no service.
fn etcd(dir: &Path) -> Result<PathBuf> {
    if let Some(named) = env::var_os("STEADFAST_ETCD") {
        return Ok(named.into());
    }
    if let Some(installed) = find_program("etcd") {
        return Ok(installed);
    }
    let unpacked = dir.join("usr/bin/etcd");
    if !unpacked.is_file() {
        unpack(dir)
            .context("etcd is needed; install it, or say in STEADFAST_ETCD where its program is")?;
    }
    Ok(unpacked)
}

fn unpack(dir: &Path) -> Result<()> {
    ensure!(is_installed("apt-get") && is_installed("dpkg-deb"), "this is no Debian or Ubuntu");
    std::fs::create_dir_all(dir)?;
    let download = || {
        run_command(Command::new("apt-get").current_dir(dir).args(["--quiet", "download", PACKAGE]))
    };
    if download().is_err() {
        // A fresh machine may never have heard which packages there are.
        run_command(Command::new("apt-get").args(["--quiet", "update"]))?;
        download()?;
    }
    let is_package = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with(PACKAGE) && path.extension().is_some_and(|extension| extension == "deb")
    };
    let files = std::fs::read_dir(dir)?.filter_map(|file| Some(file.ok()?.path()));
    let Some(package) = files.into_iter().find(is_package) else {
        bail!("apt-get left no package in {}", dir.display());
    };
    run_command(Command::new("dpkg-deb").arg("--extract").arg(package).arg(dir))
}
